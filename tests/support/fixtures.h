/* Classes, models, versions and streams for tests of the engine, made by hand. */
#ifndef TESTS_SUPPORT_FIXTURES_H
#define TESTS_SUPPORT_FIXTURES_H

#include "engine/config.h"
#include "engine/history.h"
#include "engine/version.h"

#include <stdint.h>

enum { FIXTURE_FEATURES = 8, FIXTURE_LAYERS = 4, FIXTURE_PERIOD = 6, FIXTURE_PENDING = 64 };

/* A class and a model of it; not to be copied, as the model points into it. */
struct fixture {
    struct config_class class;
    struct config_model model;
    int inputs[FIXTURE_FEATURES], targets[FIXTURE_FEATURES];
    struct layer_spec layers[FIXTURE_LAYERS];
};

/* All features are inputs, the first and the last are targets; horizon 3, a season, LSTM(7) and a dense layer,
 * batches of 8, the standard scaler, residual, 48 steps kept. Every field may be changed before it is used. */
void fixture_init(struct fixture *fixture, int n_features);

/* A network of the model with initial weights of that seed, as a version of that number. */
struct version *fixture_version(const struct config_model *model, uint64_t number, uint64_t seed);

/* What a synthetic stream is at a step, as a function of its seed: a noisy season around a level of its own; now and
 * then NaN. Times are irregular and grow. */
double fixture_value(uint64_t seed, uint64_t step, int feature);
int64_t fixture_time(uint64_t seed, uint64_t step);

/* Appends so many steps of that stream. */
void fixture_append(struct history *history, uint64_t seed, uint64_t steps);

#endif
