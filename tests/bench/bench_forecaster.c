/* What one core of a worker does with a tick: history, scalers, network, scores; by horizon and ready slots. */
#include "engine/forecaster.h"
#include "engine/series.h"
#include "tests/support/bench.h"
#include "tests/support/layers.h"

#include <stdlib.h>
#include <string.h>

enum { FEATURES = 8, SLOTS = 64 };

struct setup {
    struct forecaster *forecaster;
    struct series *series[SLOTS];
    int slots[SLOTS], ready;
    int64_t t;
};

static size_t tick(void *context) {
    struct setup *setup = context;
    double values[FEATURES];
    enum time_verdict verdict;
    setup->t += 1000000;
    for (int i = 0; i < setup->ready; i++) {
        for (int f = 0; f < FEATURES; f++)
            values[f] = (double)((setup->t / 1000000 * (f + 3) + i) % 101);
        series_take(setup->series[i], setup->t, values, &verdict);
    }
    forecaster_advance(setup->forecaster, setup->slots, setup->ready);
    return (size_t)setup->ready;
}

static void measure(int horizon, int ready) {
    int features[FEATURES];
    for (int f = 0; f < FEATURES; f++)
        features[f] = f;
    struct layer_spec layer = LSTM(32);
    struct config_class class = {.name = "bench", .n_features = FEATURES, .history = 1024, .pending = 64};
    struct config_model model = {.name = "bench",
                                 .inputs = features,
                                 .n_inputs = FEATURES,
                                 .targets = features,
                                 .n_targets = FEATURES,
                                 .horizon = horizon,
                                 .layers = &layer,
                                 .n_layers = 1,
                                 .batch_size = SLOTS,
                                 .scaler = SCALER_STANDARD,
                                 .residual = true};
    struct error err;
    struct setup setup = {.forecaster = forecaster_new(&class, &model, kernels_choose()), .ready = ready};
    struct network *network = forecaster_network(&model, &err);
    network_init_weights(network, 1);
    struct version *version = version_new(1, network);
    forecaster_propose(setup.forecaster, version);
    while (forecaster_taking_over(setup.forecaster))
        forecaster_prime(setup.forecaster);
    for (int i = 0; i < SLOTS; i++) {
        setup.series[i] = series_new(&class.time, FEATURES, class.history, class.pending);
        setup.slots[i] = i;
        forecaster_acquire(setup.forecaster, i, setup.series[i]->history);
    }
    bench_row("advance", "ticks_per_s", bench_rate(tick, &setup),
              "\"hidden\": 32, \"features\": %d, \"horizon\": %d, \"batch\": %d, \"ready\": %d", FEATURES, horizon,
              SLOTS, ready);
    forecaster_free(setup.forecaster);
    version_release(version);
    for (int i = 0; i < SLOTS; i++)
        series_free(setup.series[i]);
}

int main(void) {
    static const int horizons[] = {1, 24}, ready[] = {1, 6, 64};
    for (int h = 0; h < 2; h++)
        for (int r = 0; r < 3; r++)
            measure(horizons[h], ready[r]);
    return 0;
}
