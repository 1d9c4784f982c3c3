#include "tests/support/fixtures.h"

#include "engine/forecaster.h"
#include "engine/random.h"
#include "tests/support/layers.h"

#include <math.h>
#include <stdlib.h>

void fixture_init(struct fixture *fixture, int n_features) {
    static char name[] = "fixture";
    if (n_features < 1 || n_features > FIXTURE_FEATURES)
        abort();
    *fixture = (struct fixture){
        .class = {.name = name, .n_features = n_features, .history = 48, .pending = FIXTURE_PENDING},
        .model = {.name = name,
                  .inputs = fixture->inputs,
                  .n_inputs = n_features,
                  .targets = fixture->targets,
                  .n_targets = n_features > 1 ? 2 : 1,
                  .horizon = 3,
                  .period = FIXTURE_PERIOD,
                  .layers = fixture->layers,
                  .n_layers = 2,
                  .batch_size = 8,
                  .levels = {80, 95},
                  .n_levels = 2,
                  .scaler = SCALER_STANDARD,
                  .residual = true,
                  .combine = COMBINE_ONLY + EXPERT_NETWORK,
                  .train = true,
                  .seed = 7,
                  .training = {.window = 24,
                               .burn_in = 4,
                               .unroll = 8,
                               .batch = 4,
                               .epochs = 3,
                               .max_windows = 64,
                               .learning_rate = 0.01,
                               .schedule = {.last = 0.1},
                               .clip_norm = 1,
                               .loss = LOSS_MSE,
                               .validation = 0.25,
                               .margin = 0.01,
                               .first_after = 32}},
        .layers = {LSTM(7), DENSE(5, ACTIVATION_TANH)},
    };
    for (int f = 0; f < n_features; f++)
        fixture->inputs[f] = f;
    fixture->targets[1] = n_features - 1;
}

struct version *fixture_version(const struct config_model *model, uint64_t number, uint64_t seed) {
    struct error err;
    struct network *network = forecaster_network(model, &err);
    if (network == NULL)
        abort();
    network_init_weights(network, seed);
    struct version *version = version_new(number, network);
    if (version == NULL)
        abort();
    return version;
}

static struct rng drawn_for(uint64_t seed, uint64_t step, int feature) {
    const uint64_t key[] = {step, (uint64_t)feature};
    return (struct rng){rng_hash(seed, key, sizeof key)};
}

double fixture_value(uint64_t seed, uint64_t step, int feature) {
    struct rng rng = drawn_for(seed, step, feature), own = drawn_for(seed, 0, feature);
    if (rng_below(&rng, 16) == 0)
        return NAN;
    double level = 100 * rng_normal(&own), size = 0.5 + rng_uniform(&own);
    return level + size * (sin(2 * 3.14159265358979 * (double)step / FIXTURE_PERIOD) + 0.3 * rng_normal(&rng));
}

int64_t fixture_time(uint64_t seed, uint64_t step) {
    struct rng rng = drawn_for(seed, step, -1);
    return INT64_C(1700000000000000000) + (int64_t)step * 1000000000 + (int64_t)rng_below(&rng, 500000000);
}

void fixture_append(struct history *history, uint64_t seed, uint64_t steps) {
    for (uint64_t i = 0; i < steps; i++) {
        double values[FIXTURE_FEATURES];
        uint64_t step = history->n + 1;
        for (int f = 0; f < history->n_features; f++)
            values[f] = fixture_value(seed, step, f);
        history_append(history, fixture_time(seed, step), values, false);
    }
}
