/* What networks see of missing values: the last, the mean, or that and a mask; the same in training as when serving. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/evaluation.h"
#include "engine/forecaster.h"
#include "engine/lane.h"
#include "engine/training.h"
#include "engine/windows.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FEATURES = 2, STEPS = 60 };

static struct config *configure(const char *missing, const char *model) {
    char text[800];
    struct config *config;
    struct error err;
    snprintf(text, sizeof text,
             "streams:\n  - {class: c, pattern: '*', features: [a, b], history: 64, missing: %s}\n"
             "models:\n  - {name: m, class: c, targets: [a], horizon: 1, layers: [], combine: network,\n"
             "     training: {window: 16, burn_in: 0, unroll: 16, epochs: 2, min_steps: 4, validation: 20%%}, %s}\n",
             missing, model);
    if (config_parse("text", (const uint8_t *)text, strlen(text), &config, &err) != 0)
        fail_msg("%s", err.text);
    return config;
}

static bool is_missing(uint64_t step, int feature) {
    return step % 5 == (uint64_t)feature + 1;
}

static double value_of(uint64_t step, int feature) {
    return 10 + sin((double)step * 0.7) + 3 * feature;
}

static void append(struct history *history, uint64_t step) {
    double values[FEATURES];
    for (int f = 0; f < FEATURES; f++)
        values[f] = is_missing(step, f) ? NAN : value_of(step, f);
    history_append(history, (int64_t)step, values, 0);
}

static const char *const policies[] = {"last", "mean", "mask"};
static const char *const scalers[] = {"scaler: standard", "scaler: none"};

/* By a table: what a missing value is, and its mask. */
static void a_missing_value_is_seen_so(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct config *config = configure(policies[i % 3], scalers[i / 3]);
        const struct config_model *model = &config->models[0];
        struct history *history = history_new(FEATURES, 64, 1);
        struct lane *lane = lane_new(1, FEATURES, NULL);
        bool mask = i % 3 == 2, none = i / 3 == 1;
        assert_int_equal(config_network_inputs(model), mask ? 4 : 2);
        lane_clear(lane, 0);
        for (uint64_t step = 1; step <= 30; step++) {
            append(history, step);
            lane_update_scalers(lane, 0, history, step);
            float x[4] = {-1, -1, -1, -1};
            const struct scaler *of = lane_scalers(lane, 0);
            lane_gather(of, history, step, model, x);
            for (int f = 0; f < FEATURES; f++) {
                double value = is_missing(step, f) ? (step > 1 ? value_of(step - 1, f) : NAN) : value_of(step, f);
                if (is_missing(step, f) && i % 3 > 0)
                    value = of[f].n > 0 ? of[f].mean : NAN;
                double unit = none ? 1 : scaler_unit(SCALER_STANDARD, &of[f]), from = none ? 0 : of[f].mean;
                float expected = isnan(value) ? 0 : (float)((value - from) / unit);
                if (fabsf(x[f] - expected) > 1e-6F)
                    fail_msg("%s, %s: step %d: %g, not %g", policies[i % 3], scalers[i / 3], (int)step, (double)x[f],
                             (double)expected);
                assert_true(x[FEATURES + f] == (!mask ? -1 : is_missing(step, f) ? 0 : 1));
            }
        }
        lane_free(lane);
        history_free(history);
        config_free(config);
    }
}

/* A window holds what the network is given when it serves. */
static void training_sees_the_same(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct config *config = configure(policies[i % 3], scalers[i / 3]);
        const struct config_model *model = &config->models[0];
        struct history *history = history_new(FEATURES, 64, 1);
        struct lane *lane = lane_new(1, FEATURES, NULL);
        lane_clear(lane, 0);
        for (uint64_t step = 1; step <= STEPS; step++) {
            append(history, step);
            lane_update_scalers(lane, 0, history, step);
        }
        struct windows *windows = windows_new(model, 100, 1, STEPS);
        struct windows_cursor cursor;
        assert_true(windows_begin(&cursor, model, "s", history, STEPS));
        while (windows_copy(windows, &cursor, history, lane_scalers(lane, 0)))
            ;
        assert_true(windows_count(windows) > 2);
        int width = config_network_inputs(model);
        for (int w = 0; w < windows_count(windows); w++) {
            const struct window *window = windows_at(windows, w);
            for (int s = 0; s < window->n; s++) {
                float x[4];
                lane_gather(lane_scalers(lane, 0), history, window->last + 1 - (uint64_t)(window->n - s), model, x);
                assert_memory_equal(x, window->x + (ptrdiff_t)s * width, (size_t)width * sizeof *x);
            }
            struct chunk chunk;
            assert_int_equal(chunk_init(&chunk, model, 1, window->n), 0);
            chunk_set_rows(&chunk, &window, 1, 0);
            chunk_fill(&chunk, model, EVALUATION_ALL, 1, window->n);
            assert_memory_equal(chunk.x, window->x, (size_t)(window->n * width) * sizeof *chunk.x);
            chunk_fini(&chunk);
        }
        /* And it can be trained, from what the network's inputs are. */
        struct training_outcome outcome;
        struct error err;
        if (training_run(model, kernels_choose(), &windows, 1, NULL, NULL, &outcome, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(network_n_inputs(outcome.challenger), width);
        training_outcome_fini(&outcome);
        windows_free(windows);
        lane_free(lane);
        history_free(history);
        config_free(config);
    }
}

/* A head that gives its mask of b, times 7: served so, step by step. */
static void a_mask_reaches_the_network(void **state) {
    (void)state;
    struct config *config = configure("mask", "scaler: none, residual: false");
    const struct config_model *model = &config->models[0];
    struct error err;
    struct network *network = forecaster_network(model, &err);
    assert_int_equal(network_n_params(network), 4 + 1);
    memcpy(network_params(network), (const float[]){0, 0, 0, 7, 0}, 5 * sizeof(float));
    struct version *version = version_new(1, network);
    struct forecaster *forecaster = forecaster_new(&config->classes[0], model, kernels_choose());
    struct history *history = history_new(FEATURES, 64, 1);
    int slot = 0;
    assert_int_equal(forecaster_propose(forecaster, version), 0);
    while (!forecaster_prime(forecaster))
        ;
    forecaster_acquire(forecaster, slot, history);
    for (uint64_t step = 1; step <= STEPS; step++) {
        append(history, step);
        forecaster_advance(forecaster, &slot, 1);
        const struct forecast *forecast = forecaster_latest(forecaster, slot);
        if (step > 40) /* behind burn-in, whatever that is */
            assert_true(forecast->mean[0] == (is_missing(step, 1) ? 0 : 7));
    }
    version_release(version);
    forecaster_free(forecaster);
    history_free(history);
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_value_is_seen_so),
        cmocka_unit_test(training_sees_the_same),
        cmocka_unit_test(a_mask_reaches_the_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
