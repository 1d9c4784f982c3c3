#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/layers/activation.h"
#include "engine/network.h"
#include "tests/support/exact.h"
#include "tests/support/floats.h"
#include "tests/support/layers.h"

#include <float.h>
#include <stdio.h>

enum {
    ROWS = 5,
    WIDTH = 7,
    N = ROWS * WIDTH,
};

/* ---- values ------------------------------------------------------------------------------------- */

static void test_values_are_keras(void **state) {
    (void)state;
    for (enum activation a = 0; a < ACTIVATION_SOFTMAX; a++) {
        double worst = 0;
        for (double x = -25; x <= 25; x += 0.00390625) {
            float y = (float)x;
            kernels_choose()->activate(a, 1, 1, &y);
            double exact = exact_activated(a, x);
            worst = fmax(worst, fabs((double)y - exact) / fmax(1, fabs(exact)));
        }
        print_message("activation %d: off by %.3g\n", (int)a, worst);
        assert_true(worst < 2e-7);
    }
}

static float activated(enum activation activation, float x) {
    kernels_choose()->activate(activation, 1, 1, &x);
    return x;
}

static void test_far_values_stay_finite(void **state) {
    (void)state;
    for (enum activation a = 0; a < N_ACTIVATIONS; a++) {
        assert_true(isnan(activated(a, NAN)));
        assert_true(isfinite(activated(a, -1e30f)));
        assert_true(isfinite(activated(a, 1e30f)) || a == ACTIVATION_EXPONENTIAL || a == ACTIVATION_SELU);
    }
    assert_true(activated(ACTIVATION_EXPONENTIAL, 1000) == INFINITY);
    assert_true(activated(ACTIVATION_EXPONENTIAL, -1000) == 0);
    assert_true(activated(ACTIVATION_SOFTPLUS, 1000) == 1000);
    assert_true(activated(ACTIVATION_SOFTPLUS, -1000) == 0);
    assert_true(activated(ACTIVATION_SOFTPLUS, -50) > 0);
    assert_true(activated(ACTIVATION_SWISH, -1000) == 0);
    assert_true(activated(ACTIVATION_GELU, -1000) == 0);
    assert_true(activated(ACTIVATION_ELU, -1000) == -1);
    assert_true(activated(ACTIVATION_SOFTSIGN, FLT_MAX) == 1);
    assert_true(activated(ACTIVATION_HARD_SIGMOID, 3) == 1 && activated(ACTIVATION_HARD_SIGMOID, -3) == 0);
    assert_true(activated(ACTIVATION_HARD_SIGMOID_KERAS2, 2.5f) == 1);
    assert_true(activated(ACTIVATION_HARD_SIGMOID_KERAS2, 2.4f) < 1);
}

static void test_softmax_is_over_each_row(void **state) {
    (void)state;
    struct rng rng = {.state = 1};
    float *x = floats_random(&rng, N, 4), *y = floats_copy(N, x), *shifted = floats_copy(N, x);
    double exact[WIDTH];
    kernels_choose()->activate(ACTIVATION_SOFTMAX, ROWS, WIDTH, y);
    for (int i = 0; i < N; i++)
        shifted[i] += 1024; /* e^1024 is no float, and no double */
    kernels_choose()->activate(ACTIVATION_SOFTMAX, ROWS, WIDTH, shifted);
    for (int r = 0; r < ROWS; r++) {
        for (int j = 0; j < WIDTH; j++)
            exact[j] = (double)x[r * WIDTH + j];
        exact_activate(ACTIVATION_SOFTMAX, WIDTH, exact);
        for (int j = 0; j < WIDTH; j++) {
            assert_true(fabs((double)y[r * WIDTH + j] - exact[j]) < 1e-7);
            assert_true(fabs((double)shifted[r * WIDTH + j] - exact[j]) < 1e-4);
        }
    }
    x[WIDTH] = NAN;
    kernels_choose()->activate(ACTIVATION_SOFTMAX, ROWS, WIDTH, x);
    for (int i = 0; i < N; i++)
        assert_int_equal(isnan(x[i]), i / WIDTH == 1);
    free(x);
    free(y);
    free(shifted);
}

/* ---- slopes ------------------------------------------------------------------------------------- */

/* sum_j pull[j] activation(z)[j] of a row. */
static double exact_pulled(enum activation activation, const double *z, const float *pull) {
    double y[WIDTH], sum = 0;
    memcpy(y, z, sizeof y);
    exact_activate(activation, WIDTH, y);
    for (int j = 0; j < WIDTH; j++)
        sum += (double)pull[j] * y[j];
    return sum;
}

/* The worst distance of dz from central differences. */
static double slopes_off(enum activation activation, const float *z, const float *dy, const float *dz) {
    const double step = 1e-6;
    double worst = 0;
    for (int i = 0; i < N; i++) {
        int row = i / WIDTH * WIDTH;
        double at[WIDTH];
        for (int j = 0; j < WIDTH; j++)
            at[j] = (double)z[row + j];
        at[i - row] += step;
        double above = exact_pulled(activation, at, dy + row);
        at[i - row] -= 2 * step;
        double below = exact_pulled(activation, at, dy + row);
        worst = fmax(worst, fabs((double)dz[i] - (above - below) / (2 * step)));
    }
    return worst;
}

static void test_slopes(void **state) {
    (void)state;
    struct rng rng = {.state = 2};
    for (enum activation a = 0; a < N_ACTIVATIONS; a++) {
        float *z = floats_random(&rng, N, 4), *dy = floats_random(&rng, N, 1), *y = floats_copy(N, z);
        float *dz = floats_new(N), *in_place = floats_copy(N, dy), *over_z = floats_copy(N, z);
        kernels_choose()->activate(a, ROWS, WIDTH, y);
        activation_backward(a, ROWS, WIDTH, activation_needs_input(a) ? z : NULL, y, dy, dz);
        activation_backward(a, ROWS, WIDTH, z, y, in_place, in_place);
        activation_backward(a, ROWS, WIDTH, over_z, y, dy, over_z);
        double off = slopes_off(a, z, dy, dz);
        print_message("activation %d: slopes off by %.3g\n", (int)a, off);
        assert_true(off < (a == ACTIVATION_EXPONENTIAL ? 1e-5 : 1e-6));
        assert_true(floats_same(N, dz, in_place) && floats_same(N, dz, over_z));
        free(z);
        free(dy);
        free(y);
        free(dz);
        free(in_place);
        free(over_z);
    }
}

/* ---- the layer ---------------------------------------------------------------------------------- */

/* Dense and then Activation, with and without a time axis, is Dense with that activation. */
static void check_layer(enum activation a, bool no_time) {
    struct layer_spec dense = layer_spec_of(LAYER_DENSE, 4), activation = layer_spec_of(LAYER_ACTIVATION, 0);
    struct layer_spec apart[] = {dense, dense, activation}, together[] = {dense, dense};
    apart[2].activation = together[1].activation = a;
    struct network_spec specs[2] = {
        {.n_inputs = WIDTH, .no_time = no_time, .layers = apart, .n_layers = 3},
        {.n_inputs = WIDTH, .no_time = no_time, .layers = together, .n_layers = 2},
    };
    struct rng rng = {.state = 3};
    int steps = no_time ? 1 : 3;
    size_t n_y = (size_t)(steps * ROWS * 4);
    float *x = floats_random(&rng, (size_t)(steps * ROWS * WIDTH), 1), *pull = floats_random(&rng, n_y, 1);
    float *grads[2], *y[2], none;

    for (int i = 0; i < 2; i++) {
        struct error err;
        struct network *network = network_new(&specs[i], &err);
        assert_non_null(network);
        network_init_weights(network, 4);
        struct tape *tape = tape_new(network, ROWS, steps);
        float *work = floats_new(network_work_size(network, ROWS, steps));
        const float *out;
        y[i] = floats_new(n_y);
        grads[i] = floats_new(network_n_params(network));
        network_forward(network, kernels_choose(), ROWS, steps, x, NULL, &y[i], work);
        tape_forward(tape, network, kernels_choose(), NULL, ROWS, steps, x, &none, &out);
        assert_true(floats_distance(n_y, y[i], out) < 1e-6);
        tape_backward(tape, network, (const float *const[]){pull}, grads[i]);
        free(work);
        tape_free(tape);
        network_free(network);
    }
    assert_true(floats_same(n_y, y[0], y[1]));
    assert_true(floats_same(WIDTH * 4 + 4 + 4 * 4 + 4, grads[0], grads[1]));
    for (int i = 0; i < 2; i++) {
        free(y[i]);
        free(grads[i]);
    }
    free(x);
    free(pull);
}

static void test_layer_is_the_activation_of_a_layer(void **state) {
    (void)state;
    for (enum activation a = 0; a < N_ACTIVATIONS; a++) {
        check_layer(a, false);
        check_layer(a, true);
    }
}

static void test_unknown_activations_are_refused(void **state) {
    (void)state;
    struct error err;
    struct layer_spec layers[] = {layer_spec_of(LAYER_ACTIVATION, 0)};
    struct network_spec spec = {.n_inputs = 2, .layers = layers, .n_layers = 1};
    layers[0].activation = N_ACTIVATIONS;
    assert_null(network_new(&spec, &err));
    assert_non_null(strstr(err.text, "layer activation (Activation): activation 14 is unknown"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_keras),
        cmocka_unit_test(test_far_values_stay_finite),
        cmocka_unit_test(test_softmax_is_over_each_row),
        cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_layer_is_the_activation_of_a_layer),
        cmocka_unit_test(test_unknown_activations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
