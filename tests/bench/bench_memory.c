/*
 * What a stream costs, by part: bytes that are kept for it, and nanoseconds of processor time for each tick.
 *
 * A part is made and driven by itself, for one batch (bytes: of the heap; time: with the history that it reads, less
 * that of the history alone). "all" is the forecaster that has them all, "rest" what that takes beyond its parts:
 * scalers, the latest forecast, a readout. What the daemon keeps besides is in bench_capacity.
 */
#include "engine/experts.h"
#include "engine/forecaster.h"
#include "engine/series.h"
#include "tests/support/bench.h"
#include "tests/support/layers.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>

enum { FEATURES = 8, SLOTS = 64, PENDING = 64 };

/* One batch, and those parts of it that are driven; the others are NULL. */
struct batch {
    struct config_class class;
    const struct config_model *model;
    struct series *series[SLOTS];
    int64_t t;
    struct scaler scalers[SLOTS][FEATURES];
    double units[FEATURES], *mean;
    const struct network *network;
    float *x, *y, *states, *state[SLOTS], *work;
    struct experts *experts;
    struct scores *scores;
    struct version *version;
    struct workspace *workspace;
    struct forecaster *forecaster;
};

struct cost {
    double bytes, ns; /* a stream, a tick */
};

static double heap(void) {
    struct mallinfo2 info = mallinfo2();
    return (double)info.uordblks + (double)info.hblkhd;
}

/* ---- parts -------------------------------------------------------------------------------------- */

/* Its weights are those of many batches, as is a worker's workspace, and weigh nothing for a stream. */
static struct version *version_of(const struct config_model *model) {
    struct error err;
    struct network *network = forecaster_network(model, &err);
    assert(network != NULL);
    network_init_weights(network, 1);
    return version_new(1, network);
}

static void begin_batch(struct batch *batch, const struct config_model *model, int history) {
    *batch = (struct batch){
        .class = {.name = "bench", .n_features = FEATURES, .history = history, .pending = PENDING}, .model = model};
    batch->version = version_of(model);
    batch->workspace = workspace_new(model, kernels_choose());
    batch->mean = calloc((size_t)(model->horizon * model->n_targets), sizeof *batch->mean);
}

static void open_series(struct batch *batch) {
    for (int i = 0; i < SLOTS; i++)
        batch->series[i] = series_new(&batch->class.time, FEATURES, batch->class.history, PENDING);
}

static void open_network(struct batch *batch) {
    batch->network = version_network(batch->version);
    size_t size = network_state_size(batch->network);
    batch->x = calloc(SLOTS * FEATURES, sizeof *batch->x);
    batch->y = calloc(SLOTS * (size_t)chain_width(batch->network), sizeof *batch->y);
    batch->states = calloc(SLOTS * size, sizeof *batch->states);
    batch->work = calloc(network_work_size(batch->network, SLOTS, 1) + 1, sizeof *batch->work);
    for (size_t i = 0; i < SLOTS; i++)
        batch->state[i] = batch->states + i * size;
}

static void open_experts(struct batch *batch) {
    batch->experts = experts_new(&batch->class, batch->model, kernels_choose());
    for (int i = 0; i < SLOTS; i++)
        experts_acquire(batch->experts, i, 0);
}

static void open_scores(struct batch *batch) {
    batch->scores = scores_new(SLOTS, batch->model);
    for (int i = 0; i < SLOTS; i++)
        scores_restart(batch->scores, i);
}

static void open_all(struct batch *batch) {
    batch->forecaster = forecaster_new_sharing(&batch->class, batch->model, kernels_choose(), batch->workspace);
    forecaster_propose(batch->forecaster, batch->version);
    while (forecaster_taking_over(batch->forecaster))
        forecaster_prime(batch->forecaster);
    for (int i = 0; i < SLOTS; i++)
        forecaster_acquire(batch->forecaster, i, batch->series[i]->history);
}

static void close_batch(struct batch *batch) {
    for (int i = 0; i < SLOTS; i++)
        series_free(batch->series[i]);
    forecaster_free(batch->forecaster);
    workspace_free(batch->workspace);
    version_release(batch->version);
    experts_free(batch->experts);
    scores_free(batch->scores);
    free(batch->x);
    free(batch->y);
    free(batch->states);
    free(batch->work);
    free(batch->mean);
}

static void drive_slot(struct batch *batch, int i) {
    const struct history *history = batch->series[i]->history;
    for (int f = 0; f < FEATURES; f++)
        scaler_update(&batch->scalers[i][f], history_observed(history, history->n, f));
    if (batch->experts != NULL) {
        experts_see(batch->experts, i, history, history->n, batch->scalers[i]);
        experts_forecast(batch->experts, i, history, history->n, batch->scalers[i], false, NULL, NULL, batch->mean);
    }
    if (batch->scores != NULL) {
        for (int f = 0; f < FEATURES; f++)
            batch->units[f] = scaler_unit(SCALER_STANDARD, &batch->scalers[i][f]);
        scores_answer(batch->scores, i, history, history->n, batch->units);
        for (int k = 0; k < batch->model->horizon * FEATURES; k++)
            batch->mean[k] = history_values(history, history->n)[k % FEATURES];
        scores_publish(batch->scores, i, history->n, batch->mean, NULL, true);
    }
}

/* A tick of each stream, for the parts that are there. */
static size_t tick(void *context) {
    struct batch *batch = context;
    int slots[SLOTS];
    double values[FEATURES];
    enum time_verdict verdict;
    batch->t += 1000000000;
    for (int i = 0; i < SLOTS; i++) {
        for (int f = 0; f < FEATURES; f++)
            values[f] = (double)((batch->t / 1000000000 * (f + 3) + i) % 101);
        series_take(batch->series[i], batch->t, values, &verdict);
        slots[i] = i;
        if (batch->experts != NULL || batch->scores != NULL)
            drive_slot(batch, i);
    }
    if (batch->network != NULL)
        network_forward(batch->network, kernels_choose(), SLOTS, 1, batch->x, batch->state, &batch->y, batch->work);
    if (batch->forecaster != NULL)
        forecaster_advance(batch->forecaster, slots, SLOTS);
    return SLOTS;
}

/* ---- rows --------------------------------------------------------------------------------------- */

static const char *name; /* of what is measured */

static void row(const char *part, int history, struct cost cost) {
    bench_row("memory", "bytes_a_stream", cost.bytes,
              "\"what\": \"%s\", \"part\": \"%s\", \"history\": %d, \"ns_a_tick\": %.0f", name, part, history,
              cost.ns);
}

enum { PAST, NETWORK, EXPERTS, SCORES, INTERVALS, ALL, PARTS, ROUNDS = 15 };
static void (*const opens[PARTS])(struct batch *) = {NULL,        open_network, open_experts,
                                                     open_scores, open_scores,  open_all};

/* A batch with one part, its histories full; returns the bytes that the part takes of a stream. */
static double open_part(struct batch *batch, int part, const struct config_model *model, int history) {
    begin_batch(batch, model, history);
    double before = heap();
    open_series(batch);
    if (opens[part] != NULL) {
        before = heap();
        opens[part](batch);
    }
    double bytes = (heap() - before) / SLOTS;
    for (int i = 0; i < history + PENDING; i++)
        tick(batch);
    return part == NETWORK ? (double)(network_state_size(batch->network) * sizeof *batch->states) : bytes;
}

/* Nanoseconds of a tick, of all of them by turns: medians of what each takes more than the histories alone. */
static void time_parts(struct batch *batches, struct cost *cost) {
    double took[PARTS][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int part = 0; part < PARTS; part++) {
            took[part][round] = 1e9 / bench_run(tick, &batches[part], 0.02);
            if (part != PAST)
                took[part][round] -= took[PAST][round] + (part == INTERVALS ? took[SCORES][round] : 0);
        }
    for (int part = 0; part < PARTS; part++)
        cost[part].ns = bench_median(took[part], ROUNDS);
}

static void measure_parts(const char *what, const struct config_model *model, int history) {
    static const char *const names[] = {"history", "state, network", "experts", "scores", "intervals"};
    struct batch *batches = calloc(PARTS, sizeof *batches);
    struct cost cost[PARTS], rest;
    struct config_model bare = *model;
    bare.n_levels = 0;
    name = what;
    for (int part = 0; part < PARTS; part++)
        cost[part].bytes = open_part(&batches[part], part, part == SCORES ? &bare : model, history);
    cost[INTERVALS].bytes -= cost[SCORES].bytes;
    time_parts(batches, cost);
    cost[ALL].bytes += cost[PAST].bytes;
    cost[ALL].ns += cost[PAST].ns;
    rest = cost[ALL];
    for (int part = 0; part < ALL; part++) {
        row(names[part], history, cost[part]);
        rest.bytes -= cost[part].bytes;
        rest.ns -= cost[part].ns;
    }
    row("rest", history, rest);
    row("all", history, cost[ALL]);
    for (int part = 0; part < PARTS; part++)
        close_batch(&batches[part]);
    free(batches);
}

int main(void) {
    static int features[FEATURES];
    static struct layer_spec layer = LSTM(32);
    for (int f = 0; f < FEATURES; f++)
        features[f] = f;
    struct config_model model = {.name = "bench",
                                 .inputs = features,
                                 .n_inputs = FEATURES,
                                 .targets = features,
                                 .n_targets = FEATURES,
                                 .horizon = 12,
                                 .layers = &layer,
                                 .n_layers = 1,
                                 .batch_size = SLOTS,
                                 .levels = {80, 95},
                                 .n_levels = 2,
                                 .scaler = SCALER_STANDARD,
                                 .residual = true,
                                 .experts = EXPERTS_LIGHT};
    measure_parts("light experts, 12 steps ahead", &model, 384);
    model.horizon = 1;
    measure_parts("light experts, 1 step ahead", &model, 384);
    model.horizon = 12;
    model.experts = EXPERTS_FULL;
    measure_parts("full experts, 12 steps ahead", &model, 512);
    return 0;
}
