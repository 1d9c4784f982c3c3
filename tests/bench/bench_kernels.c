/* Steps a second of one LSTM or GRU layer, on one core, by kernel level, units and rows. */
#include "engine/network.h"
#include "tests/support/bench.h"
#include "tests/support/layers.h"

#include <stdlib.h>

enum { INPUTS = 16 };

struct setup {
    const struct kernels *kernels;
    struct network *network;
    int rows;
    float *x, *y, *states, **state, *work;
};

static size_t step(void *context) {
    const struct setup *setup = context;
    float *y = setup->y;
    network_forward(setup->network, setup->kernels, setup->rows, 1, setup->x, setup->state, &y, setup->work);
    return (size_t)setup->rows;
}

static void measure(const struct kernels *kernels, enum layer_kind kind, int hidden, int rows) {
    struct layer_spec layer = layer_spec_of(kind, hidden);
    struct error err;
    struct setup setup = {.kernels = kernels, .network = chain_new(INPUTS, &layer, 1, &err), .rows = rows};
    size_t n = (size_t)rows, size = network_state_size(setup.network);
    network_init_weights(setup.network, 1);
    network_pack(setup.network, kernels);
    setup.x = calloc(n * INPUTS, sizeof *setup.x);
    setup.y = calloc(n * (size_t)hidden, sizeof *setup.y);
    setup.states = calloc(n * size, sizeof *setup.states);
    setup.state = calloc(n, sizeof *setup.state);
    setup.work = calloc(network_work_size(setup.network, rows, 1) + 1, sizeof *setup.work);
    for (size_t i = 0; i < n * INPUTS; i++)
        setup.x[i] = (float)(i % 7) * 0.25f - 0.75f;
    for (size_t r = 0; r < n; r++)
        setup.state[r] = setup.states + r * size;
    bench_row(kind == LAYER_GRU ? "gru_step" : "lstm_step", "steps_per_s", bench_rate(step, &setup),
              "\"hidden\": %d, \"inputs\": %d, \"batch\": %d, \"precision\": \"f32\", \"level\": \"%s\"", hidden,
              INPUTS, rows, kernels->level);
    network_free(setup.network);
    free(setup.x);
    free(setup.y);
    free(setup.states);
    free(setup.state);
    free(setup.work);
}

int main(void) {
    const struct kernels *best = kernels_choose();
    for (int gru = 0; gru < 2; gru++)
        for (int hidden = 32; hidden <= 256; hidden *= 2)
            for (int rows = 1; rows <= 64; rows *= 64)
                measure(best, gru ? LAYER_GRU : LAYER_LSTM, hidden, rows);
    return 0;
}
