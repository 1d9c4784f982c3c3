/*
 * The resident memory of many streams of 8 features with the defaults of a class for as many: light experts, its
 * history full, and all that the daemon keeps of a stream. First all together (STREAMS=100000: 8 GiB is the aim),
 * then its parts on some of them, by leaving them out. Each measurement is a process of its own.
 */
#include "daemon/stream.h"
#include "tests/support/bench.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FEATURES = 8, SOME = 2560, ADVANCES = 72 };

static const int64_t second = 1000000000;

/* Bytes of the process. */
static double resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long all, held = 0;
    if (file == NULL || fscanf(file, "%ld %ld", &all, &held) != 2)
        exit(1);
    fclose(file);
    return (double)held * (double)sysconf(_SC_PAGESIZE);
}

/* of_class, of_model: further keys. */
static struct config *load(const char *of_class, const char *of_model, int units) {
    char path[] = "/tmp/bench_capacity.XXXXXX";
    struct config *config = NULL;
    struct error err;
    int fd = mkstemp(path);
    dprintf(fd,
            "streams:\n  - {class: c, pattern: '*', features: [a, b, c, d, e, f, g, h]%s}\n"
            "models:\n  - {name: m, class: c, horizon: 12, layers: [{lstm: %d}]%s}\n",
            of_class, units, of_model);
    close(fd);
    if (config_load(path, &config, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    unlink(path);
    return config;
}

static struct version *new_version(const struct config_model *model) {
    struct error err;
    struct network *network = forecaster_network(model, &err);
    struct version *version;
    if (network == NULL || (version = version_new(1, network)) == NULL)
        exit(1);
    network_init_weights(network, 1);
    return version;
}

static void take(struct stream *stream, int i, int64_t t) {
    double values[FEATURES];
    enum time_verdict verdict;
    for (int f = 0; f < FEATURES; f++)
        values[f] = (double)((t * (f + 3) + i) % 101);
    series_take(stream->series, t * second, values, &verdict);
}

/* A batch whose streams have their histories full. */
static struct batch *open_batch(const struct config *config, int b, struct version *version,
                                struct stream **streams) {
    struct batch *batch = batch_new(config, 0, b, 0, kernels_choose(), version);
    for (int i = 0; batch != NULL && i < config->models[0].batch_size; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "plant/boiler-%d-%d", b, i);
        streams[i] = stream_new(config, 0, name, (size_t)n, 1, 1);
        if (streams[i] == NULL)
            exit(1);
        streams[i]->places[0] = (struct place){batch, i};
        batch->streams[i] = streams[i];
        for (int64_t t = 1; t <= config->classes[0].history; t++)
            take(streams[i], i, t);
        forecaster_acquire(batch->forecaster, i, streams[i]->series->history);
    }
    if (batch == NULL)
        exit(1);
    return batch;
}

static double bytes_of_a_stream(const struct config *config, int n) {
    const struct config_model *model = &config->models[0];
    int slots = model->batch_size, batches = n / slots, history = config->classes[0].history;
    struct version *version = new_version(model);
    double before = resident();
    struct batch **all = calloc((size_t)batches, sizeof(struct batch *));
    struct stream **streams = calloc((size_t)n, sizeof(struct stream *));
    int *ready = calloc((size_t)slots, sizeof *ready);
    for (int i = 0; i < slots; i++)
        ready[i] = i;
    for (int b = 0; b < batches; b++)
        all[b] = open_batch(config, b, version, streams + b * slots);
    for (int64_t t = history + 1; t <= history + ADVANCES; t++)
        for (int b = 0; b < batches; b++) {
            for (int i = 0; i < slots; i++)
                take(streams[b * slots + i], i, t);
            forecaster_advance(all[b]->forecaster, ready, slots);
        }
    return (resident() - before) / ((double)batches * slots);
}

/* Returns the bytes of a stream. */
static double measure(const char *of_class, const char *of_model, int units, int n) {
    int ends[2];
    double bytes = 0;
    if (pipe(ends) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        bytes = bytes_of_a_stream(load(of_class, of_model, units), n);
        _exit(write(ends[1], &bytes, sizeof bytes) != sizeof bytes);
    }
    close(ends[1]);
    if (read(ends[0], &bytes, sizeof bytes) != sizeof bytes)
        fprintf(stderr, "bench_capacity: a measurement failed\n");
    close(ends[0]);
    waitpid(child, NULL, 0);
    return bytes;
}

static void print_row(const char *what, double bytes, int n) {
    bench_row("capacity", "bytes_a_stream", bytes,
              "\"what\": \"%s\", \"streams\": %d, \"gib_of_100000\": %.2f, \"mib\": %.0f", what, n,
              bytes * 100000 / (1 << 30), bytes * n / (1 << 20));
}

int main(void) {
    int streams = getenv("STREAMS") != NULL ? atoi(getenv("STREAMS")) : SOME;
    setvbuf(stdout, NULL, _IOLBF, 0); /* nothing that a child would print once more */
    print_row("all", measure("", "", 32, streams), streams);
    double all = measure("", "", 32, SOME), rest = all;
    const struct {
        const char *what;
        double bytes;
    } parts[] = {
        /* By a shorter one: 384 steps and 64 pending ones against 128 and 64. */
        {"history", (all - measure(", history: 128", "", 32, SOME)) * (384 + 64) / (384 - 128)},
        {"light experts", all - measure("", ", combine: network", 32, SOME)},
        {"two levels of intervals", all - measure("", ", levels: []", 32, SOME)},
        {"31 of 32 units of the network", all - measure("", "", 1, SOME)},
    };
    for (size_t p = 0; p < sizeof parts / sizeof *parts; rest -= parts[p++].bytes)
        print_row(parts[p].what, parts[p].bytes, SOME);
    print_row("the rest: scores, what waits for its answers, state, name", rest, SOME);
    return 0;
}
