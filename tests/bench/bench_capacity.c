/*
 * The resident memory of many streams of 8 features with the defaults of a class for as many: light experts, its
 * history full, and all that the daemon keeps of a stream. STREAMS=100000 for really so many, which are to fit in
 * 8 GiB. bench_memory tells the parts.
 */
#include "daemon/stream.h"
#include "tests/support/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FEATURES = 8, ADVANCES = 72 };

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

static struct config *load(void) {
    char path[] = "/tmp/bench_capacity.XXXXXX";
    struct config *config = NULL;
    struct error err;
    int fd = mkstemp(path);
    dprintf(fd, "streams:\n  - {class: c, pattern: '*', features: [a, b, c, d, e, f, g, h]}\n"
                "models:\n  - {name: m, class: c, horizon: 12, layers: [{lstm: 32}]}\n");
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
    if (network_pack(network, kernels_choose()) != 0)
        exit(1);
    return version;
}

static void take(struct stream *stream, int i, int64_t t) {
    double values[FEATURES];
    enum time_verdict verdict;
    for (int f = 0; f < FEATURES; f++)
        values[f] = (double)((t * (f + 3) + i) % 101);
    series_take(stream->series, t * second, values, &verdict);
}

/* What all batches have in common, as in a worker. */
struct common {
    const struct config *config;
    struct version *version;
    struct workspace *workspace;
    struct pool *pool;
};

/* A batch whose streams have their histories full. */
static struct batch *open_batch(const struct common *common, int b, struct stream **streams) {
    const struct config *config = common->config;
    struct batch *batch = batch_new(config, 0, b, 0, kernels_choose(), common->version, common->workspace);
    for (int i = 0; batch != NULL && i < config->models[0].batch_size; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "plant/boiler-%d-%d", b, i);
        streams[i] = stream_new(config, common->pool, 0, name, (size_t)n, 1, 1);
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

/* Fills whole batches, for n streams at least. */
static void measure(const struct config *config, int n) {
    const struct config_model *model = &config->models[0];
    int slots = model->batch_size, batches = (n + slots - 1) / slots, history = config->classes[0].history;
    int filled = batches * slots;
    const struct common common = {config, new_version(model), workspace_new(model, kernels_choose()), pool_new()};
    if (common.workspace == NULL || common.pool == NULL)
        exit(1);
    double before = resident();
    struct batch **all = calloc((size_t)batches, sizeof(struct batch *));
    struct stream **streams = calloc((size_t)filled, sizeof(struct stream *));
    int *ready = calloc((size_t)slots, sizeof *ready);
    for (int i = 0; i < slots; i++)
        ready[i] = i;
    for (int b = 0; b < batches; b++)
        all[b] = open_batch(&common, b, streams + b * slots);
    for (int64_t t = history + 1; t <= history + ADVANCES; t++)
        for (int b = 0; b < batches; b++) {
            for (int i = 0; i < slots; i++)
                take(streams[b * slots + i], i, t);
            forecaster_advance(all[b]->forecaster, ready, slots);
        }
    double bytes = (resident() - before) / filled;
    bench_row("capacity", "bytes_a_stream", bytes, "\"streams\": %d, \"gib_of_100000\": %.2f, \"mib\": %.0f", filled,
              bytes * 100000 / (1 << 30), bytes * filled / (1 << 20));
}

int main(void) {
    measure(load(), (int)bench_setting("STREAMS", 2560));
    return 0;
}
