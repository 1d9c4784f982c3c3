/*
 * A daemon at full rate whose streams come and go, and whose subscribers and senders do: after a while its memory,
 * descriptors and files stay as they are. Ten minutes in the long form (SOAK_SECONDS for another time).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    AT_ONCE = 60,
    STEPS = 200 /* of a stream's life */,
    IN_FLIGHT = 2000,
    NAMES = 50 /* of one after another */,
    MIB = 1024
};

static const char configuration[] =
    "streams:\n"
    "  - {class: c, pattern: 'c/*', features: [a, b], history: 64}\n"
    "models:\n"
    "  - name: m\n"
    "    class: c\n"
    "    horizon: 3\n"
    "    layers: [{lstm: 8}]\n"
    "    batch_size: 16\n"
    "    retrain_every: 2000s\n"
    "    training: {window: 16, burn_in: 2, unroll: 8, first_after: 100, epochs: 2, max_windows: 64}\n";

/* ---- what it takes -------------------------------------------------------------------------- */

struct taken {
    long memory; /* KiB, resident */
    int descriptors;
};

static int entries_of(const char *path) {
    DIR *folder = opendir(path);
    int n = -2;
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n;
}

static struct taken taken_by(const struct daemon *daemon) {
    char path[64], line[256];
    struct taken taken = {0};
    snprintf(path, sizeof path, "/proc/%d/status", daemon->pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "VmRSS: %ld", &taken.memory);
    fclose(file);
    snprintf(path, sizeof path, "/proc/%d/fd", daemon->pid);
    taken.descriptors = entries_of(path);
    return taken;
}

/* ---- what it does --------------------------------------------------------------------------- */

struct load {
    struct daemon *daemon;
    struct heard *heard;
    void *push;
    struct wire_bundle bundle;
    int64_t fed;
    int lives[AT_ONCE], steps[AT_ONCE];
};

/* A step of every stream; who has lived long enough ends, and another one begins under another name. */
static void feed_row(struct load *load) {
    for (int s = 0; s < AT_ONCE; s++) {
        char name[32];
        int n = snprintf(name, sizeof name, "c/%d-%d", s, load->lives[s] % NAMES), step = load->steps[s]++;
        const double values[] = {sin(0.3 * step + s), s + cos(0.1 * step)};
        assert_int_equal(wire_bundle_add(&load->bundle, (struct wire_text){name, (size_t)n},
                                         INT64_C(1000000000) * (1700000000 + step), values, 2),
                         0);
        if (load->steps[s] < STEPS + s)
            continue;
        struct wire_text message = wire_bundle_message(&load->bundle);
        assert_true(zmq_send(load->push, message.at, message.n, 0) >= 0);
        wire_bundle_clear(&load->bundle);
        heard_until(load->heard, (size_t)load->fed + (size_t)s + 1);
        daemon_command(load->daemon, "{\"cmd\":\"end\",\"stream\":\"%s\"}", name);
        load->lives[s]++;
        load->steps[s] = 0;
    }
    struct wire_text message = wire_bundle_message(&load->bundle);
    if (message.n > 0)
        assert_true(zmq_send(load->push, message.at, message.n, 0) >= 0);
    wire_bundle_clear(&load->bundle);
    load->fed += AT_ONCE;
    if ((size_t)load->fed > load->heard->forecasts + IN_FLIGHT)
        heard_until(load->heard, (size_t)load->fed - IN_FLIGHT / 2);
    heard_forget(load->heard);
}

/* Somebody comes, hears a little, sends a little, and goes. */
static void visit(struct load *load, int visit) {
    struct heard *guest = heard_new(load->daemon, "event/", 6, 2);
    void *push = daemon_connect(load->daemon, ZMQ_PUSH, load->daemon->ticks);
    feed_tick(push, "d/unknown", visit, (double[]){1, 2}, 2);
    heard_rest(guest, 1);
    daemon_close(load->daemon, push);
    daemon_close(load->daemon, guest->socket);
    heard_free(guest);
    daemon_await_count(load->daemon, "disconnects", 1);
}

static void run_for(struct load *load, int64_t ms) {
    static int visits;
    int64_t until = scenario_now() + ms, next = 0;
    while (scenario_now() < until) {
        feed_row(load);
        if (scenario_now() > next) {
            visit(load, visits++);
            next = scenario_now() + 200;
        }
    }
    heard_until(load->heard, (size_t)load->fed);
    heard_rest(load->heard, 100);
}

static void test_soak(void **state) {
    (void)state;
    const char *wanted = getenv("SOAK_SECONDS");
    int64_t seconds = wanted != NULL ? atoi(wanted) : getenv("FAULT_LONG") != NULL ? 600 : 15;
    static struct load load;
    load.daemon = daemon_run(&(struct daemon_setup){.rest = configuration});
    load.heard = heard_new(load.daemon, "forecast/", 9, 1);
    load.push = daemon_connect_bounded(load.daemon, ZMQ_PUSH, load.daemon->ticks, 100);
    run_for(&load, seconds * 1000 / 3);
    struct taken before = taken_by(load.daemon);
    run_for(&load, seconds * 2000 / 3);
    struct taken behind = taken_by(load.daemon);
    print_message("%lld ticks, %d streams came and went; %ld to %ld KiB, %d to %d descriptors\n", (long long)load.fed,
                  (int)daemon_count(load.daemon, "ended"), before.memory, behind.memory, before.descriptors,
                  behind.descriptors);
    assert_true(behind.memory < before.memory + before.memory / 10 + 4 * MIB);
    assert_in_range(behind.descriptors, 0, before.descriptors + 4);
    assert_int_equal(entries_of(load.daemon->directory), 5); /* its configuration, log and sockets */
    assert_in_range(daemon_count(load.daemon, "streams"), 1, AT_ONCE);
    wire_bundle_fini(&load.bundle);
    heard_free(load.heard);
    daemon_free(&load.daemon);
}

int main(void) {
    scenario_begin(getenv("FAULT_LONG") != NULL ? 3000 : 280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_soak, scenario_teardown),
    };
    return cmocka_run_group_tests_name("soak", tests, NULL, NULL);
}
