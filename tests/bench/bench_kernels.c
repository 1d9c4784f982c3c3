/*
 * Steps of LSTM and GRU layers on one core, beside other runtimes (tests/support/peers.h) and the core's peak: full
 * batches, one row, and the few ready slots of a batch; and the shape of STAC-ML's LSTM_A (100 features, two layers of
 * 100, Dense(1)) as one step with its state carried, and as a window of 50 steps from zero.
 */
#include "engine/network.h"
#include "tests/support/layers.h"
#include "tests/support/peers.h"

#include <stdlib.h>

enum { INPUTS = 16, BATCH = 64 };

struct run {
    const struct kernels *kernels;
    struct network *network;
    int rows, steps;
    float *x, *y, *states, **state, *work;
};

/* Of `rows` of so many slots, as far apart as they can be. */
static struct run run_new(const struct kernels *kernels, enum precision precision, struct network *network, int slots,
                          int rows, int steps) {
    struct run run = {.kernels = kernels, .network = network, .rows = rows, .steps = steps};
    size_t n = (size_t)rows, values = n * (size_t)steps * (size_t)network_n_inputs(network);
    size_t size = network_state_size(network);
    network_init_weights(network, 1);
    network_set_precision(network, precision);
    network_pack(network, kernels);
    run.x = calloc(values, sizeof *run.x);
    run.y = calloc(n * (size_t)steps * (size_t)chain_width(network), sizeof *run.y);
    run.states = calloc((size_t)slots * size + 1, sizeof *run.states);
    run.state = calloc(n, sizeof *run.state);
    run.work = calloc(network_work_size(network, rows, steps) + 1, sizeof *run.work);
    for (size_t i = 0; i < values; i++)
        run.x[i] = (float)(i % 7) * 0.25f - 0.75f;
    for (size_t r = 0; size > 0 && r < n; r++)
        run.state[r] = run.states + r * ((size_t)slots / n) * size;
    return run;
}

static void run_free(struct run *run) {
    network_free(run->network);
    free(run->x);
    free(run->y);
    free(run->states);
    free(run->state);
    free(run->work);
}

static size_t forward(void *context) {
    const struct run *run = context;
    float *y = run->y;
    network_forward(run->network, run->kernels, run->rows, run->steps, run->x, run->state, &y, run->work);
    return (size_t)run->rows;
}

static size_t advance(void *context) {
    forward(context);
    return 1;
}

static const char *name_of(enum precision precision) {
    return precision == PRECISION_BF16 ? "bf16" : "f32";
}

static struct network *cell_new(enum layer_kind kind, int hidden) {
    struct error err;
    struct layer_spec layer = layer_spec_of(kind, hidden);
    return chain_new(INPUTS, &layer, 1, &err);
}

/* In bfloat16 beside floats too. */
static void measure_steps(const struct kernels *kernels, enum precision precision, enum layer_kind kind, int hidden,
                          int rows) {
    struct run run = run_new(kernels, precision, cell_new(kind, hidden), rows, rows, 1);
    struct run floats = run_new(kernels, PRECISION_F32, cell_new(kind, hidden), rows, rows, 1);
    int gates = kind == LAYER_GRU ? 3 : 4;
    peers_row(&(struct peers_bench){.bench = kind == LAYER_GRU ? "gru_step" : "lstm_step",
                                    .work = forward,
                                    .context = &run,
                                    .other_name = "f32",
                                    .other = precision == PRECISION_F32 ? NULL : &floats,
                                    .unit = "steps_per_s",
                                    .flops = 2.0 * gates * hidden * (INPUTS + hidden)},
              "\"hidden\": %d, \"inputs\": %d, \"batch\": %d, \"precision\": \"%s\", \"level\": \"%s\"", hidden,
              INPUTS, rows, name_of(precision), kernels->level);
    run_free(&run);
    run_free(&floats);
}

static void measure_sparse(const struct kernels *kernels, int hidden, int ready) {
    struct run some = run_new(kernels, PRECISION_F32, cell_new(LAYER_LSTM, hidden), BATCH, ready, 1);
    struct run all = run_new(kernels, PRECISION_F32, cell_new(LAYER_LSTM, hidden), BATCH, BATCH, 1);
    peers_row(
        &(struct peers_bench){.bench = "lstm_sparse",
                              .work = advance,
                              .context = &some,
                              .other_name = "all_ready",
                              .other = &all,
                              .unit = "advances_per_s",
                              .alone = true},
        "\"hidden\": %d, \"inputs\": %d, \"batch\": %d, \"ready\": %d, \"precision\": \"f32\", \"level\": \"%s\"",
        hidden, INPUTS, BATCH, ready, kernels->level);
    run_free(&some);
    run_free(&all);
}

/* STAC-ML's LSTM_A. */
static void measure_model(const struct kernels *kernels, enum precision precision, int steps) {
    enum { WIDTH = 100 };
    struct layer_spec layers[] = {LSTM(WIDTH), LSTM(WIDTH), DENSE(1, ACTIVATION_LINEAR)};
    layers[1].return_sequences = steps == 1;
    struct network_spec spec = {
        .mode = steps > 1 ? NETWORK_SAMPLES : NETWORK_STREAM, .n_inputs = WIDTH, .layers = layers, .n_layers = 3};
    struct error err;
    struct run run = run_new(kernels, precision, network_new(&spec, &err), 1, 1, steps);
    peers_row(
        &(struct peers_bench){.bench = "lstm_model", .work = forward, .context = &run},
        "\"model\": \"STAC-ML LSTM_A\", \"hidden\": %d, \"inputs\": %d, \"layers\": 2, \"outputs\": 1, \"batch\": 1, "
        "\"steps\": %d, \"carried\": %s, \"precision\": \"%s\", \"level\": \"%s\"",
        WIDTH, WIDTH, steps, steps == 1 ? "true" : "false", name_of(precision), kernels->level);
    run_free(&run);
}

int main(void) {
    static const enum precision precisions[] = {PRECISION_F32, PRECISION_BF16};
    const struct kernels *best = kernels_choose();
    peers_start("onednn openblas onnxruntime openvino pytorch tensorflow");
    for (int kind = 0; kind < 3; kind++) /* LSTM, GRU, LSTM in bfloat16 */
        for (int rows = BATCH; rows >= 1; rows /= BATCH)
            for (int hidden = 32; hidden <= 256; hidden *= 2)
                measure_steps(best, precisions[kind == 2], kind == 1 ? LAYER_GRU : LAYER_LSTM, hidden, rows);
    for (int hidden = 32; hidden <= 256; hidden *= 2) {
        measure_sparse(best, hidden, BATCH / 10);
        measure_sparse(best, hidden, 1);
    }
    for (int p = 0; p < 2; p++)
        for (int steps = 1; steps <= 50; steps += 49)
            measure_model(best, precisions[p], steps);
    peers_stop();
    return 0;
}
