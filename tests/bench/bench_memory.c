/* What a stream takes of the resident memory, with all that its model keeps beside the network: by part where parts
 * can be told apart by leaving them out. STREAMS=n for another number; the histories are filled first. */
#include "engine/forecaster.h"
#include "engine/series.h"
#include "tests/support/bench.h"
#include "tests/support/layers.h"

#include <assert.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { FEATURES = 8, SLOTS = 64, HORIZON = 12, PENDING = 64 };

static double resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long all, held = 0;
    assert(file != NULL && fscanf(file, "%ld %ld", &all, &held) == 2);
    fclose(file);
    return (double)held * (double)sysconf(_SC_PAGESIZE);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void put_version(struct forecaster *forecaster, const struct config_model *model) {
    struct error err;
    struct network *network = forecaster_network(model, &err);
    network_init_weights(network, 1);
    struct version *version = version_new(1, network);
    forecaster_propose(forecaster, version);
    while (forecaster_taking_over(forecaster))
        forecaster_prime(forecaster);
    version_release(version);
}

static struct forecaster *open_batch(const struct config_class *class, const struct config_model *model,
                                     struct series **series) {
    struct forecaster *forecaster = forecaster_new(class, model, kernels_choose());
    assert(forecaster != NULL);
    put_version(forecaster, model);
    for (int i = 0; i < SLOTS; i++) {
        series[i] = series_new(&class->time, FEATURES, class->history, class->pending);
        forecaster_acquire(forecaster, i, series[i]->history);
    }
    return forecaster;
}

static void step(struct forecaster *forecaster, struct series *const *series, int64_t t) {
    int slots[SLOTS];
    double values[FEATURES];
    enum time_verdict verdict;
    for (int i = 0; i < SLOTS; i++) {
        for (int f = 0; f < FEATURES; f++)
            values[f] = (double)((t * (f + 3) + i) % 101);
        series_take(series[i], t * 1000000000, values, &verdict);
        slots[i] = i;
    }
    forecaster_advance(forecaster, slots, SLOTS);
}

/* A row of resident bytes and of nanoseconds of processor time, for each stream and tick. */
static void measure(const char *what, struct config_model model, int history, int streams) {
    const struct config_class class = {
        .name = "bench", .n_features = FEATURES, .history = history, .pending = PENDING};
    int batches = streams / SLOTS;
    struct series **series = calloc((size_t)streams, sizeof *series);
    struct forecaster **forecasters = calloc((size_t)batches, sizeof *forecasters);
    malloc_trim(0);
    double before = resident();
    for (int b = 0; b < batches; b++)
        forecasters[b] = open_batch(&class, &model, series + b * SLOTS);
    double began = now();
    int ticks = history + PENDING;
    for (int64_t t = 1; t <= ticks; t++)
        for (int b = 0; b < batches; b++)
            step(forecasters[b], series + b * SLOTS, t);
    double ns = (now() - began) * 1e9 / ((double)ticks * batches * SLOTS);
    double bytes = (resident() - before) / (batches * SLOTS);
    bench_row("memory", "bytes_a_stream", bytes,
              "\"what\": \"%s\", \"streams\": %d, \"history\": %d, \"ns_a_tick\": %.0f", what, batches * SLOTS,
              history, ns);
    for (int b = 0; b < batches; b++)
        forecaster_free(forecasters[b]);
    for (int i = 0; i < batches * SLOTS; i++)
        series_free(series[i]);
    free(series);
    free(forecasters);
}

int main(void) {
    static int features[FEATURES];
    static struct layer_spec layer = LSTM(32);
    int streams = getenv("STREAMS") != NULL ? atoi(getenv("STREAMS")) : 1280;
    for (int f = 0; f < FEATURES; f++)
        features[f] = f;
    const struct config_model light = {.name = "bench",
                                       .inputs = features,
                                       .n_inputs = FEATURES,
                                       .targets = features,
                                       .n_targets = FEATURES,
                                       .horizon = HORIZON,
                                       .layers = &layer,
                                       .n_layers = 1,
                                       .batch_size = SLOTS,
                                       .levels = {80, 95},
                                       .n_levels = 2,
                                       .scaler = SCALER_STANDARD,
                                       .residual = true,
                                       .experts = EXPERTS_LIGHT};
    struct config_model bare = light, full = light, unread;
    bare.n_levels = 0;
    full.experts = EXPERTS_FULL;
    unread = full;
    unread.combine = COMBINE_ONLY + EXPERT_RIDGE;
    measure("light experts, without levels", bare, 384, streams);
    measure("light experts", light, 384, streams);
    measure("light experts", light, 1024, streams);
    measure("full experts, without a readout", unread, 512, streams < 256 ? streams : 256);
    measure("full experts", full, 512, streams < 256 ? streams : 256);
    return 0;
}
