#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/layer_check.h"

#define BATCH(...) \
    { .kind = LAYER_BATCH_NORMALIZATION, __VA_ARGS__ }
#define NORM(...) \
    { .kind = LAYER_LAYER_NORMALIZATION, __VA_ARGS__ }
#define BOTH .center = true, .scale = true
#define MEAN \
    { .kind = LAYER_GLOBAL_AVERAGE_POOLING1D }
#define BEHIND    DENSE(3, ACTIVATION_TANH)
#define IN_4(...) .n_inputs = 3, .steps = 6, .layers = {DENSE(4, ACTIVATION_TANH), __VA_ARGS__}
#define MASKED_4(...) \
    .masked = true, .n_inputs = 3, .steps = 6, \
    .layers = {{.kind = LAYER_MASKING}, DENSE(4, ACTIVATION_TANH), __VA_ARGS__}
#define NO_TIME(...) .no_time = true, .n_inputs = 3, .steps = 1, .layers = {DENSE(4, ACTIVATION_TANH), __VA_ARGS__}
#define TRAINING     .training = true

static const struct layer_case cases[] = {
    {"batch", IN_4(BATCH(BOTH), BEHIND), TRAINING},
    {"batch, first", .n_inputs = 3, .steps = 6, .layers = {BATCH(BOTH), BEHIND}, TRAINING},
    {"batch, scale", IN_4(BATCH(.scale = true), BEHIND), TRAINING},
    {"batch, center", IN_4(BATCH(.center = true), BEHIND), TRAINING},
    {"batch, neither", IN_4(BATCH(.epsilon = 0.1f), BEHIND), TRAINING},
    {"batch, masked", MASKED_4(BATCH(BOTH), BEHIND), TRAINING},
    {"batch hands the mask on", MASKED_4(BATCH(BOTH), BEHIND, MEAN), TRAINING},
    {"batch, no time", NO_TIME(BATCH(BOTH), BEHIND), TRAINING},
    {"batch, two of them", IN_4(BATCH(BOTH), DENSE(5, ACTIVATION_TANH), BATCH(BOTH), BEHIND), TRAINING},
    {"layer", IN_4(NORM(BOTH), BEHIND)},
    {"layer, first", .n_inputs = 3, .steps = 6, .layers = {NORM(BOTH), BEHIND}},
    {"layer, scale", IN_4(NORM(.scale = true), BEHIND)},
    {"layer, center", IN_4(NORM(.center = true), BEHIND)},
    {"layer, neither", IN_4(NORM(.epsilon = 0.1f), BEHIND)},
    {"layer hands the mask on", MASKED_4(NORM(BOTH), BEHIND, MEAN)},
    {"layer, no time", NO_TIME(NORM(BOTH), BEHIND)},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        layer_case_check(&cases[i]);
}

/* x [5 x rows] through a network of one BatchNormalization of width 1, in training or not; learns. */
static void learn(struct network *network, bool training, int rows, const float *x, float *y) {
    struct tape *tape = tape_new(network, rows, 5);
    float none;
    const float *out;
    tape_forward(tape, network, kernels_choose(), training ? &(struct rng){1} : NULL, rows, 5, x, &none, &out);
    memcpy(y, out, (size_t)(5 * rows) * sizeof *y);
    tape_learn_statistics(tape, network);
    tape_free(tape);
}

/* Keras: moving * momentum + batch's * (1 - momentum); the variance is by n. */
static void test_moving_statistics(void **state) {
    (void)state;
    static const struct layer_case of = {"statistics", .n_inputs = 1, .steps = 5,
                                         .layers = {BATCH(BOTH, .momentum = 0.75f, .epsilon = 1)}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    float *params = network_params(network), y[10];
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; /* mean 5.5, variance 8.25 */
    memcpy(params, (float[]){2, 0.5f, 3, 3}, 4 * sizeof *params);
    learn(network, false, 2, x, y);
    assert_true(floats_same(4, params, (float[]){2, 0.5f, 3, 3}));
    assert_true(floats_same(2, y, (float[]){-1.5f, -0.5f})); /* 2 (x - 3) / 2 + 0.5 */
    learn(network, true, 2, x, y);
    assert_true(floats_same(4, params, (float[]){2, 0.5f, 3.625f, 4.3125f}));
    assert_true(fabs((double)y[9] - (2 * 4.5 / sqrt(9.25) + 0.5)) < 1e-6);
    network_free(network);
}

/* Masked steps are no part of them; where all are masked there is nothing to divide by, and no NaN. */
static void test_moving_statistics_of_what_counts(void **state) {
    (void)state;
    static const struct layer_case of = {"statistics", .n_inputs = 1, .steps = 5,
                                         .layers = {{.kind = LAYER_MASKING}, BATCH(BOTH, .momentum = 0.75f)}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    float *params = network_params(network), y[10];
    memcpy(params, (float[]){2, 0.5f, 3, 3}, 4 * sizeof *params);
    learn(network, true, 2, (float[]){0, 2, 0, 4, 0, 0, 6, 0, 0, 0}, y); /* mean 4, variance 8 / 3 */
    assert_true(floats_distance(4, params, (float[]){2, 0.5f, 3.25f, (float)(2.25 + 2.0 / 3)}) < 1e-6);
    learn(network, true, 2, (float[10]){0}, y);
    assert_true(floats_distance(4, params, (float[]){2, 0.5f, 2.4375f, (float)(0.75 * (2.25 + 2.0 / 3))}) < 1e-6);
    for (int i = 0; i < 10; i++)
        assert_true(fabs((double)y[i] - 0.5) < 1e-6);
    network_free(network);
}

/* Two layers with one set of parameters: both move the statistics, the first one first. */
static void test_shared_statistics(void **state) {
    (void)state;
    static const struct layer_case of = {"shared", .n_inputs = 1, .steps = 5,
                                         .layers = {BATCH(.momentum = 0.5f),
                                                    {.kind = LAYER_ADD, IN({-1, 0}, {-1, 0})},
                                                    BATCH(.momentum = 0.5f, .shares = 1)}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    float y[5];
    assert_int_equal(network_n_params(network), 2);
    memcpy(network_params(network), (float[]){0, 0}, 2 * sizeof(float));
    learn(network, true, 1, (float[]){1, 1, 1, 3, 4}, y); /* mean 2, variance 1.6; of the doubles 4, 6.4 */
    assert_true(floats_distance(2, network_params(network), (float[]){0.5f + 2, 0.4f + 3.2f}) < 1e-6);
    network_free(network);
}

static void test_initial_weights(void **state) {
    (void)state;
    static const struct layer_case of = {
        "weights", .n_inputs = 2, .layers = {BATCH(BOTH), NORM(BOTH), BATCH(.center = true), NORM(.center = true)}};
    static const float expected[] = {1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0};
    static const char *const names[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    struct network_weight weights[LAYER_WEIGHTS];
    network_init_weights(network, 4);
    assert_int_equal(network_n_params(network), sizeof expected / sizeof *expected);
    assert_true(floats_same(network_n_params(network), network_params(network), expected));
    assert_int_equal(network_weights(network, 0, weights), 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(weights[i].name, names[i]);
        assert_int_equal(weights[i].trainable, i < 2);
    }
    network_free(network);
}

/* A vector of one value has no variance: it is epsilon that decides, not rounding. */
static void test_layer_of_equal_values(void **state) {
    (void)state;
    static const struct layer_case of = {"equal", .n_inputs = 3, .steps = 1, .layers = {NORM()}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    float *work = floats_new(network_work_size(network, 1, 1)), y[3];
    network_forward(network, kernels_choose(), 1, 1, (float[]){0.1f, 0.1f, 0.1f}, NULL, (float *const[]){y}, work);
    for (int j = 0; j < 3; j++)
        assert_true(fabsf(y[j]) < 1e-6f);
    free(work);
    network_free(network);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_moving_statistics),
        cmocka_unit_test(test_moving_statistics_of_what_counts),
        cmocka_unit_test(test_shared_statistics),
        cmocka_unit_test(test_initial_weights),
        cmocka_unit_test(test_layer_of_equal_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
