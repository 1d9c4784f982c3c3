/*
 * What share of a processor the trainer of a whole daemon takes while ticks flow, beside the share that it may have
 * (training_cpu): in one long job, and in many short ones on each other's heels. SECONDS=n for another time than a
 * minute, SHARES="10 50" for other shares than 25 percent.
 */
#include "tests/support/bench.h"
#include "tests/support/daemon.h"

#include "daemon/wire.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { STREAMS = 32, FEATURES = 4, EVERY_MS = 20, SHORT = 8 };

struct scene {
    struct daemon *daemon;
    void *socket;
    int steps;
};

/* Processor time that the thread has taken, ns. */
static double taken(pid_t pid, const char *tid) {
    char path[300];
    double ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, tid);
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%lf", &ns) != 1)
        ns = NAN;
    if (file != NULL)
        fclose(file);
    return ns;
}

/* The id of the daemon's thread of that name. Returns false when there is none. */
static bool find_thread(pid_t pid, const char *name, char ret_tid[16]) {
    char path[300], comm[32];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && !found && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%d/task/%.15s/comm", (int)pid, entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        found = fgets(comm, sizeof comm, file) != NULL && strncmp(comm, name, strlen(name)) == 0;
        fclose(file);
        if (found)
            snprintf(ret_tid, 16, "%.15s", entry->d_name);
    }
    if (folder != NULL)
        closedir(folder);
    return found;
}

/* A step of all streams; their clock runs at a second each. */
static void send_step(struct scene *scene) {
    struct wire_bundle bundle = {0};
    for (int s = 0; s < STREAMS; s++) {
        double values[FEATURES];
        char name[16];
        int n = snprintf(name, sizeof name, "s%d", s);
        for (int f = 0; f < FEATURES; f++)
            values[f] = sin(0.3 * scene->steps + s + f) + 0.1 * ((scene->steps * (7 + f) + s) % 13);
        wire_bundle_add(&bundle, (struct wire_text){name, (size_t)n},
                        (INT64_C(1600000000) + scene->steps) * 1000000000, values, FEATURES);
    }
    struct wire_text message = wire_bundle_message(&bundle);
    zmq_send(scene->socket, message.at, message.n, 0);
    wire_bundle_fini(&bundle);
    scene->steps++;
}

static int64_t count_of(struct scene *scene, const char *key) {
    json_t *reply = daemon_ask(scene->daemon, "{\"cmd\":\"models\"}"), *model;
    int64_t sum = 0;
    size_t i;
    json_array_foreach(json_object_get(reply, "models"), i, model) sum +=
        json_integer_value(json_object_get(model, key));
    json_decref(reply);
    return sum;
}

static bool is_training(struct scene *scene) {
    json_t *reply = daemon_ask(scene->daemon, "{\"cmd\":\"models\"}"), *model;
    bool is = false;
    size_t i;
    json_array_foreach(json_object_get(reply, "models"), i, model) {
        const char *training = json_string_value(json_object_get(model, "training"));
        is |= strcmp(training, "training") == 0;
    }
    json_decref(reply);
    return is;
}

static char *configuration_of(int share, bool many) {
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    fprintf(to,
            "training_cpu: %d%%\n"
            "streams:\n  - {class: c, pattern: '*', features: [a, b, c, d], history: 512}\n"
            "models:\n",
            share);
    for (int m = 0; m < (many ? SHORT : 1); m++)
        fprintf(to,
                "  - {name: m%d, class: c, horizon: 4, combine: network, layers: [{lstm: %d}], retrain_every: %s,\n"
                "     training: {window: 64, burn_in: 16, batch: 32, epochs: %d, patience: 0, first_after: 200,\n"
                "                min_steps: 1, new_steps: 1, max_windows: %d}}\n",
                m, many ? 16 : 64, many ? "1s" : "0s", many ? 1 : 100000, many ? 64 : 4096);
    fclose(to);
    return text;
}

static void measure(int share, bool many, double seconds) {
    char *rest = configuration_of(share, many), tid[16];
    struct scene scene = {.daemon = daemon_run(&(struct daemon_setup){.workers = 1, .rest = rest})};
    scene.socket = daemon_connect(scene.daemon, ZMQ_PUSH, scene.daemon->ticks);
    while (scene.steps < 512)
        send_step(&scene);
    while (!is_training(&scene))
        scenario_sleep(1);
    if (!find_thread(scene.daemon->pid, "trainer", tid)) {
        fprintf(stderr, "the daemon has no thread \"trainer\"\n");
        exit(1);
    }
    int64_t began = scenario_now(), jobs = count_of(&scene, "jobs");
    double before = taken(scene.daemon->pid, tid);
    while ((double)(scenario_now() - began) < 1000 * seconds) {
        send_step(&scene);
        scenario_sleep(EVERY_MS);
    }
    double percent = 1e-4 * (taken(scene.daemon->pid, tid) - before) / (double)(scenario_now() - began);
    jobs = count_of(&scene, "jobs") - jobs;
    bench_row("training_cpu", "hundredths_of_a_percent", 100 * percent,
              "\"share\": %d, \"jobs\": \"%s\", \"ended\": %d, \"seconds\": %.0f", share, many ? "many" : "one",
              (int)jobs, seconds);
    daemon_stop(scene.daemon);
    daemon_free(&scene.daemon);
    free(rest);
}

int main(void) {
    const char *shares = getenv("SHARES");
    double seconds = bench_setting("SECONDS", 60);
    char *end;
    scenario_begin(86400);
    if (shares == NULL)
        shares = "25";
    for (long share; (share = strtol(shares, &end, 10)) > 0; shares = end) {
        measure((int)share, false, seconds);
        measure((int)share, true, seconds);
    }
    return 0;
}
