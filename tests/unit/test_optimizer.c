#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/optimizer.h"
#include "tests/support/floats.h"

static const struct optimizer_spec plain = {.learning_rate = 0.1, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-3};

static void assert_near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance))
        print_message("%.9g is not %.9g\n", a, b);
    assert_true(fabs(a - b) <= tolerance);
}

/* By hand, g = 2 then -1 from w = 1:
 *     t = 1: m = 0.2, v = 0.004; alpha = 0.1 sqrt(0.001) / 0.1 = 0.0316227766
 *            w = 1 - alpha 0.2 / (sqrt(0.004) + 0.001) = 1 - 0.00632455532 / 0.0642455532 = 0.901556528
 *     t = 2: m = 0.18 - 0.1 = 0.08, v = 0.003996 + 0.001 = 0.004996
 *            alpha = 0.1 sqrt(1 - 0.998001) / 0.19 = 0.023531673
 *            w = 0.901556528 - alpha 0.08 / (sqrt(0.004996) + 0.001) = 0.901556528 - 0.026262152 = 0.875294376 */
static void test_adam_by_hand(void **state) {
    (void)state;
    struct optimizer *optimizer = optimizer_new(&plain, 1);
    float w = 1, g = 2;
    assert_near(optimizer_step(optimizer, &w, &g), 2, 0);
    assert_near((double)w, 0.901556528, 1e-7);
    g = -1;
    assert_near(optimizer_step(optimizer, &w, &g), 1, 0);
    assert_near((double)w, 0.875294376, 2e-7);
    optimizer_free(optimizer);
}

static void test_parameters_are_apart(void **state) {
    (void)state;
    struct optimizer *both = optimizer_new(&plain, 2), *one = optimizer_new(&plain, 1);
    float w[] = {1, -1}, w_one = -1;
    for (int i = 0; i < 5; i++) {
        float g[] = {(float)i, 3.0f - (float)i}, g_one = g[1];
        optimizer_step(both, w, g);
        optimizer_step(one, &w_one, &g_one);
    }
    assert_true(w[1] == w_one);
    assert_true(w[0] != 1);
    optimizer_free(both);
    optimizer_free(one);
    optimizer_free(NULL);
}

static void test_clipping_is_to_the_global_norm(void **state) {
    (void)state;
    struct optimizer_spec spec = plain;
    spec.clip_norm = 1;
    struct optimizer *optimizer = optimizer_new(&spec, 2);
    float w[] = {0, 0}, g[] = {3, -4};
    assert_near(optimizer_step(optimizer, w, g), 5, 0);
    assert_near((double)g[0], 0.6, 1e-7);
    assert_near((double)g[1], -0.8, 1e-7);
    float small[] = {0.3f, 0.4f};
    assert_near(optimizer_step(optimizer, w, small), 0.5, 1e-7);
    assert_true(small[0] == 0.3f && small[1] == 0.4f);
    optimizer_free(optimizer);
}

/* The norm of what is in range for floats, but whose squares are not. */
static void test_large_gradients_have_a_norm(void **state) {
    (void)state;
    struct optimizer_spec spec = plain;
    spec.clip_norm = 1;
    struct optimizer *optimizer = optimizer_new(&spec, 2);
    float w[] = {0, 0}, g[] = {3e30f, 4e30f};
    assert_near(optimizer_step(optimizer, w, g) / 5e30, 1, 1e-6);
    assert_near((double)g[1], 0.8, 1e-6);
    optimizer_free(optimizer);
}

static void check_refused(float bad) {
    struct optimizer *optimizer = optimizer_new(&plain, 2), *untouched = optimizer_new(&plain, 2);
    float w[] = {1, 2}, w_untouched[] = {1, 2};
    for (int i = 0; i < 4; i++) {
        float g[] = {0.5f, (float)i}, same[] = {0.5f, (float)i}, broken[] = {1, bad};
        optimizer_step(optimizer, w, g);
        optimizer_step(untouched, w_untouched, same);
        float before[] = {w[0], w[1]};
        assert_true(!isfinite(optimizer_step(optimizer, w, broken)));
        assert_true(floats_same(2, before, w));
        assert_true(floats_same(2, w_untouched, w)); /* the moments too are as if nothing had been */
    }
    optimizer_free(optimizer);
    optimizer_free(untouched);
}

static void test_gradients_that_are_not_finite_are_refused(void **state) {
    (void)state;
    check_refused(NAN);
    check_refused(INFINITY);
    check_refused(-INFINITY);
}

static void test_it_finds_a_minimum(void **state) {
    (void)state;
    struct optimizer *optimizer = optimizer_new(&plain, 2);
    float w[] = {3, -2};
    for (int i = 0; i < 500; i++) {
        float g[] = {2 * (w[0] - 1), 8 * (w[1] - 0.5f)};
        optimizer_step(optimizer, w, g);
    }
    assert_near((double)w[0], 1, 1e-3);
    assert_near((double)w[1], 0.5, 1e-3);
    optimizer_free(optimizer);
}

/* One parameter from w = 1 along g = 2 then -1. */
static float after_two(const struct optimizer_spec *spec) {
    struct optimizer *optimizer = optimizer_new(spec, 1);
    float w = 1, g = 2;
    optimizer_step(optimizer, &w, &g);
    g = -1;
    optimizer_step(optimizer, &w, &g);
    optimizer_free(optimizer);
    return w;
}

/* SGD: 1 - 0.2 + 0.1. With momentum 0.5: m = -0.2, then -0.1 + 0.1 = 0. With Nesterov's:
 * 1 + 0.5 (-0.2) - 0.2 = 0.7, then m = 0 and 0.7 + 0 + 0.1. */
static void test_sgd_by_hand(void **state) {
    (void)state;
    struct optimizer_spec spec = optimizer_spec_of(OPTIMIZER_SGD);
    spec.learning_rate = 0.1;
    assert_near((double)after_two(&spec), 0.9, 1e-7);
    spec.momentum = 0.5;
    assert_near((double)after_two(&spec), 0.8, 1e-7);
    spec.nesterov = true;
    assert_near((double)after_two(&spec), 0.8, 1e-7);
    struct optimizer *optimizer = optimizer_new(&spec, 1);
    float w = 1, g = 2;
    optimizer_step(optimizer, &w, &g);
    assert_near((double)w, 0.7, 1e-7);
    optimizer_free(optimizer);
}

/* v = 0.4, step 0.2 / sqrt(0.4); v = 0.36 + 0.1, step -0.1 / sqrt(0.46). */
static void test_rmsprop_by_hand(void **state) {
    (void)state;
    struct optimizer_spec spec = optimizer_spec_of(OPTIMIZER_RMSPROP);
    spec.learning_rate = 0.1;
    assert_near((double)after_two(&spec), 1 - 0.2 / sqrt(0.4) + 0.1 / sqrt(0.46), 1e-6);
    spec.momentum = 0.5;
    double first = 0.2 / sqrt(0.4), second = 0.5 * first - 0.1 / sqrt(0.46);
    assert_near((double)after_two(&spec), 1 - first - second, 1e-6);
}

static void test_weights_decay_apart_from_the_gradient(void **state) {
    (void)state;
    struct optimizer_spec spec = optimizer_spec_of(OPTIMIZER_ADAMW);
    assert_true(spec.weight_decay == 0.004);
    spec.learning_rate = 0.1;
    spec.weight_decay = 0.5;
    struct optimizer *optimizer = optimizer_new(&spec, 3);
    optimizer_spare(optimizer, 1, 1);
    float w[] = {2, 2, -2}, g[] = {0, 0, 0};
    optimizer_step(optimizer, w, g);
    assert_near((double)w[0], 1.9, 1e-6);
    assert_true(w[1] == 2);
    assert_near((double)w[2], -1.9, 1e-6);
    optimizer_free(optimizer);
}

static void test_values_are_clipped_before_the_norm(void **state) {
    (void)state;
    struct optimizer_spec spec = plain;
    spec.clip_value = 3;
    spec.clip_norm = 1;
    struct optimizer *optimizer = optimizer_new(&spec, 2);
    float w[] = {0, 0}, g[] = {300, -4};
    assert_near(optimizer_step(optimizer, w, g), sqrt(90016), 1e-3);
    assert_near((double)g[0], sqrt(0.5), 1e-6);
    assert_near((double)g[1], -sqrt(0.5), 1e-6);
    optimizer_free(optimizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adam_by_hand),
        cmocka_unit_test(test_parameters_are_apart),
        cmocka_unit_test(test_clipping_is_to_the_global_norm),
        cmocka_unit_test(test_large_gradients_have_a_norm),
        cmocka_unit_test(test_gradients_that_are_not_finite_are_refused),
        cmocka_unit_test(test_sgd_by_hand),
        cmocka_unit_test(test_rmsprop_by_hand),
        cmocka_unit_test(test_weights_decay_apart_from_the_gradient),
        cmocka_unit_test(test_values_are_clipped_before_the_norm),
        cmocka_unit_test(test_it_finds_a_minimum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
