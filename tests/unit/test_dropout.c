/* What training drops. That it is what Keras drops is shown by tests/golden, with Keras' masks drawn by our
 * numbers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/layer_check.h"

enum { ROWS = 50, STEPS = 20, WIDTH = 3, N = ROWS * STEPS * WIDTH };

#define FAMILY(layer, rate) \
    { \
        .n_inputs = WIDTH, .steps = STEPS, .layers = { {.kind = (layer), .dropout = (rate)} } \
    }

static const struct layer_case family[] = {
    {"serving", .n_inputs = 3, .steps = 4,
     .layers = {DENSE(4, ACTIVATION_TANH),
                {.kind = LAYER_DROPOUT, .dropout = 0.5f},
                {.kind = LAYER_SPATIAL_DROPOUT1D, .dropout = 0.5f},
                {.kind = LAYER_GAUSSIAN_NOISE, .dropout = 2},
                {.kind = LAYER_GAUSSIAN_DROPOUT, .dropout = 0.5f},
                {.kind = LAYER_ALPHA_DROPOUT, .dropout = 0.5f},
                DENSE(2, ACTIVATION_LINEAR)}},
};

static void test_it_does_nothing_when_serving(void **state) {
    (void)state;
    layer_case_check(&family[0]);
}

/* One layer, its parameters 0.5, in training on x, all ones, with numbers from a seed. */
static void train(const struct layer_spec *layer, uint64_t seed, float *ret_y, float *ret_grads) {
    struct error err;
    const struct network_spec spec = {.mode = NETWORK_SAMPLES, .n_inputs = WIDTH, .layers = layer, .n_layers = 1};
    struct network *network = network_new(&spec, &err);
    assert_non_null(network);
    struct tape *tape = tape_new(network, ROWS, STEPS);
    struct rng rng = {.state = seed};
    float *x = floats_new(N), *dy = floats_new(N), *none = floats_new(1);
    const float *y;
    for (size_t i = 0; i < network_n_params(network); i++)
        network_params(network)[i] = 0.5f;
    for (int i = 0; i < N; i++)
        x[i] = dy[i] = 1;
    tape_forward(tape, network, kernels_choose(), &rng, ROWS, STEPS, x, none, &y);
    memcpy(ret_y, y, N * sizeof *y);
    tape_backward(tape, network, (const float *const[]){dy}, ret_grads);
    tape_free(tape);
    network_free(network);
    free(x);
    free(dy);
    free(none);
}

static const struct layer_spec all[] = {
    {.kind = LAYER_DROPOUT, .dropout = 0.25f},
    {.kind = LAYER_SPATIAL_DROPOUT1D, .dropout = 0.25f},
    {.kind = LAYER_GAUSSIAN_NOISE, .dropout = 0.5f},
    {.kind = LAYER_GAUSSIAN_DROPOUT, .dropout = 0.2f},
    {.kind = LAYER_LSTM,
     .units = WIDTH,
     .dropout = 0.5f,
     .recurrent_dropout = 0.5f,
     .return_sequences = true,
     .activation = ACTIVATION_TANH,
     .recurrent_activation = ACTIVATION_SIGMOID,
     .use_bias = true},
};
enum { N_ALL = sizeof all / sizeof *all };

static void test_the_same_numbers_drop_the_same(void **state) {
    (void)state;
    float *a = floats_new(N), *b = floats_new(N), *other = floats_new(N);
    for (int i = 0; i < N_ALL; i++) {
        float grads[4 * WIDTH * (2 * WIDTH + 1)] = {0}, same[4 * WIDTH * (2 * WIDTH + 1)] = {0},
                                             others[4 * WIDTH * (2 * WIDTH + 1)] = {0};
        train(&all[i], 1, a, grads);
        train(&all[i], 1, b, same);
        train(&all[i], 2, other, others);
        assert_true(floats_same(N, a, b) && floats_same(sizeof grads / sizeof *grads, grads, same));
        assert_false(floats_same(N, a, other));
    }
    free(a);
    free(b);
    free(other);
}

/* Of ones: their mean stays about one, within four deviations of it, and the variance is what the kind says. */
static void test_means_and_variances(void **state) {
    (void)state;
    static const double variances[] = {0.25 / 0.75, 0.25 / 0.75, 0.25, 0.2 / 0.8};
    float *y = floats_new(N), none;
    for (int i = 0; i < 4; i++) {
        double mean = 0, square = 0, free_ones = all[i].kind == LAYER_SPATIAL_DROPOUT1D ? ROWS * WIDTH : N;
        train(&all[i], 7, y, &none);
        for (int j = 0; j < N; j++) {
            mean += (double)y[j] / N;
            square += ((double)y[j] - 1) * ((double)y[j] - 1) / N;
        }
        assert_true(fabs(mean - 1) < 4 * sqrt(variances[i] / free_ones));
        assert_true(fabs(square / variances[i] - 1) < 0.25);
    }
    free(y);
}

static void test_spatial_drops_a_feature_at_all_steps(void **state) {
    (void)state;
    float *y = floats_new(N), none;
    int dropped = 0;
    train(&all[1], 3, y, &none);
    for (int i = 0; i < N; i++) {
        assert_true(y[i] == y[i % (ROWS * WIDTH)]);
        dropped += y[i] == 0;
    }
    assert_true(dropped > N / 8 && dropped < N / 2);
    free(y);
}

static void test_refused(void **state) {
    (void)state;
    static const struct layer_case refused[] = {
        FAMILY(LAYER_DROPOUT, 1),
        FAMILY(LAYER_GAUSSIAN_NOISE, -1),
        {.n_inputs = 2, .steps = 2, .layers = {{.kind = LAYER_SIMPLE_RNN, .units = 2, .dropout = 1}}},
        {.n_inputs = 2, .steps = 1, .no_time = true, .layers = {{.kind = LAYER_SPATIAL_DROPOUT1D, .dropout = 0.5f}}},
    };
    static const char *const why[] = {"1 is not a rate of dropout", "-1 is not a rate of dropout",
                                      "a rate of dropout is not from 0 to below 1", "its input has no time axis"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        layer_case_refused(&refused[i], NETWORK_SAMPLES, why[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_does_nothing_when_serving),
        cmocka_unit_test(test_the_same_numbers_drop_the_same),
        cmocka_unit_test(test_means_and_variances),
        cmocka_unit_test(test_spatial_drops_a_feature_at_all_steps),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
