/*
 * What a carried state is for: a series whose pattern spans 500 steps, forecast by a network that runs step by step
 * with its state carried, and by one of the same size that sees windows of 20 steps.
 *
 * Each 50 steps there is a pulse, as high as a sequence of ten says; between two there are 40 steps of nothing but
 * noise. Where a pulse stands both networks are told by a clock of 50 steps; how high it is only the one before it
 * says.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/backtest_run.h"
#include "engine/keras/keras.h"
#include "engine/random.h"
#include "tests/support/keras_files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 8000, TRAIN = 6000, VALID = 1000, FEATURES = 3, HORIZON = 5, UNITS = 24, PULSE = 50 };

static int64_t times[ROWS];
static double values[ROWS * FEATURES];

/* alike: all pulses are as high, and there is no long pattern. */
static void fill(bool alike) {
    static const double height[] = {0.5, -0.9, 0.1, 0.9, -0.3, -0.7, 0.3, -0.5, 0.7, -0.1};
    struct rng rng = {1};
    for (int i = 0; i < ROWS; i++) {
        int phase = i % PULSE, quiet = PULSE - 10;
        double x = phase >= quiet
                       ? (alike ? 0.5 : height[i / PULSE % 10]) * sin(3.141592653589793 * (phase - quiet + 1) / 11)
                       : 0;
        double turn = 6.283185307179586 * phase / PULSE;
        times[i] = 60000000000LL * (i + 1);
        values[i * FEATURES] = x + 0.03 * rng_normal(&rng);
        values[i * FEATURES + 1] = sin(turn);
        values[i * FEATURES + 2] = cos(turn);
    }
}

/* An untrained network for samples of 20 steps, as a file: a model of layers has its state carried. */
static const char *write_windowed(void) {
    const char *path = temporary_path(0, "windowed.keras");
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, UNITS), layer_spec_of(LAYER_DENSE, HORIZON)};
    const struct network_spec spec = {.mode = NETWORK_SAMPLES, .n_inputs = FEATURES, .layers = layers, .n_layers = 2};
    struct error err;
    struct network *network = network_new(&spec, &err);
    if (network == NULL)
        fail_msg("%s", err.text);
    network_init_weights(network, 1);
    if (keras_write(path, network, NULL, &err) != 0)
        fail_msg("%s", err.text);
    network_free(network);
    return path;
}

/* Trained once on the train part; the errors over the steps 1 to HORIZON of the rest. */
static double error_of(const char *network, const char *training) {
    static const int horizons[] = {HORIZON};
    char text[2048];
    struct config *config;
    struct error err;
    struct backtest_result result;
    snprintf(
        text, sizeof text,
        "streams:\n  - {class: c, pattern: '*', features: [x, sine, cosine], history: %d}\n"
        "models:\n  - {name: m, class: c, targets: [x], horizon: %d, combine: network, retrain_every: 0s,\n"
        "     scaler: standard, residual: true, train: true, %s,\n"
        "     training: {window: 600, stride: 37, epochs: 40, min_steps: 0, patience: 100, learning_rate: 0.003,\n"
        "       first_after: %d, validation: 14%%, %s}}\n",
        TRAIN + VALID, HORIZON, network, TRAIN + VALID, training);
    if (config_parse("text", (const uint8_t *)text, strlen(text), &config, &err) != 0)
        fail_msg("%s", err.text);
    const struct backtest_stream stream = {.name = (char *)"s", .path = "s", .t = times, .values = values, .n = ROWS};
    const struct backtest_setup setup = {.class = &config->classes[0],
                                         .model = &config->models[0],
                                         .streams = &stream,
                                         .n_streams = 1,
                                         .horizons = horizons,
                                         .n_horizons = 1,
                                         .train = TRAIN,
                                         .valid = VALID,
                                         .online = UINT64_MAX};
    if (backtest_run(&setup, &result, &err) != 0)
        fail_msg("%s", err.text);
    assert_true(result.n_decisions > 0 && !result.decisions[0].failed);
    assert_int_equal(result.decisions[0].decision, PROMOTION_PROMOTE);
    double mse = backtest_scores_of(result.scores, 0, -1, -1).mse;
    backtest_result_fini(&result);
    config_free(config);
    return mse;
}

/* The errors of both networks on the series as it is filled. */
static void measure(double *ret_carried, double *ret_seen) {
    char windowed[512];
    snprintf(windowed, sizeof windowed, "file: %s, mode: windowed, window: 20", write_windowed());
    *ret_seen = error_of(windowed, "burn_in: 20, unroll: 20, batch: 64");
    *ret_carried = error_of("layers: [{lstm: 24}]", "burn_in: 200, unroll: 200, batch: 8");
    temporary_remove();
    print_message("mean squared error: state carried %.4f, windows of 20 steps %.4f\n", *ret_carried, *ret_seen);
}

static void a_carried_state_remembers_what_a_window_cannot_see(void **state) {
    double carried, seen;
    (void)state;
    fill(false);
    measure(&carried, &seen);
    assert_true(carried <= 0.5 * seen);
}

static void without_a_long_pattern_windows_do_as_well(void **state) {
    double carried, seen;
    (void)state;
    fill(true);
    measure(&carried, &seen);
    assert_true(seen <= 1.2 * carried);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_carried_state_remembers_what_a_window_cannot_see),
        cmocka_unit_test(without_a_long_pattern_windows_do_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
