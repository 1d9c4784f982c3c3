#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/kernels/kernels.h"
#include "tests/support/exact.h"
#include "tests/support/floats.h"

#include <stdio.h>

enum {
    BLOCK = 4096,
};

struct worst {
    double error;
    float at;
    int outside, nan_lost, nan_made; /* how often */
};

static void look_at(struct worst *worst, enum activation activation, float x, float y) {
    if (isnan(x) || isnan(y)) {
        worst->nan_lost += !isnan(y);
        worst->nan_made += !isnan(x);
        return;
    }
    double error = fabs((double)y - exact_activated(activation, (double)x));
    if (error > worst->error) {
        worst->error = error;
        worst->at = x;
    }
    worst->outside += y > 1 || y < (activation == ACTIVATION_TANH ? -1.0f : 0.0f);
}

/* Every stride-th of all 2^32 floats. */
static struct worst sweep(const struct kernels *kernels, enum activation activation, uint64_t stride) {
    static float x[BLOCK], y[BLOCK];
    struct worst worst = {0};
    size_t n = 0;

    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride) {
        uint32_t word = (uint32_t)bits;
        memcpy(&x[n++], &word, sizeof word);
        if (n < BLOCK && bits + stride <= UINT32_MAX)
            continue;
        memcpy(y, x, sizeof y);
        kernels->activate(activation, 1, n, y);
        for (size_t i = 0; i < n; i++)
            look_at(&worst, activation, x[i], y[i]);
        n = 0;
    }
    return worst;
}

/* With EVERY_FLOAT=1 in the environment over all of them, which takes minutes: once, since levels agree. */
static void check_sweep(const char *name, const struct kernels *kernels, enum activation activation) {
    uint64_t stride = getenv("EVERY_FLOAT") ? 1 : 127;
    struct worst worst = sweep(kernels, activation, stride);

    print_message("%s of %s: worst error %.3g at %.9g, over every %uth float\n", name, kernels->level, worst.error,
                  (double)worst.at, (unsigned)stride);
    assert_true(worst.error <= 3e-7);
    assert_true(worst.error > 0);
    assert_int_equal(worst.outside, 0);
    assert_int_equal(worst.nan_lost, 0);
    assert_int_equal(worst.nan_made, 0);
}

static void test_tanh_over_all_floats(void **state) {
    (void)state;
    check_sweep("tanh", kernels_choose(), ACTIVATION_TANH);
}

static void test_sigmoid_over_all_floats(void **state) {
    (void)state;
    check_sweep("sigmoid", kernels_choose(), ACTIVATION_SIGMOID);
}

/* A CPU without fused multiply-add has errors of its own. */
static void test_plain_over_all_floats(void **state) {
    (void)state;
    const struct kernels *plain = kernels_named("plain");
    if (!plain)
        skip();
    check_sweep("tanh", plain, ACTIVATION_TANH);
    check_sweep("sigmoid", plain, ACTIVATION_SIGMOID);
}

static float activated(const struct kernels *kernels, enum activation activation, float x) {
    kernels->activate(activation, 1, 1, &x);
    return x;
}

static void test_activations_of_special_values(void **state) {
    (void)state;
    for (int i = 0; kernels_at(i); i++) {
        const struct kernels *k = kernels_at(i);
        assert_true(activated(k, ACTIVATION_TANH, INFINITY) == 1.0f);
        assert_true(activated(k, ACTIVATION_TANH, -INFINITY) == -1.0f);
        assert_float_equal(activated(k, ACTIVATION_TANH, 1e-30f), 1e-30f, 3e-37);
        assert_true(activated(k, ACTIVATION_TANH, -1e-44f) == -1e-44f);
        assert_true(activated(k, ACTIVATION_TANH, 0.0f) == 0.0f);
        assert_true(signbit(activated(k, ACTIVATION_TANH, -0.0f)));
        assert_true(activated(k, ACTIVATION_SIGMOID, INFINITY) == 1.0f);
        assert_true(activated(k, ACTIVATION_SIGMOID, 0.0f) == 0.5f);
        assert_true(activated(k, ACTIVATION_SIGMOID, -INFINITY) < 1e-37f);
        assert_true(activated(k, ACTIVATION_RELU, INFINITY) == INFINITY);
        assert_true(activated(k, ACTIVATION_RELU, -3.0f) == 0.0f);
        assert_true(activated(k, ACTIVATION_RELU, 3.5f) == 3.5f);
        assert_true(activated(k, ACTIVATION_LINEAR, -3.5f) == -3.5f);
        for (enum activation a = ACTIVATION_LINEAR; a < N_ACTIVATIONS; a++)
            assert_true(isnan(activated(k, a, NAN)));
        for (float x = 0.01f; x < 20; x *= 1.1f)
            assert_true(activated(k, ACTIVATION_TANH, -x) == -activated(k, ACTIVATION_TANH, x));
    }
}

/* Also whatever the place in the array: vectorized or left over. */
static void test_activations_agree_between_levels(void **state) {
    (void)state;
    enum { N = 1003 };
    struct rng rng = {.state = 5};
    for (enum activation a = ACTIVATION_LINEAR; a < N_ACTIVATIONS; a++) {
        float *x = floats_random(&rng, N, 12), *base = floats_copy(N, x);
        kernels_at(0)->activate(a, 1, N, base);
        for (int i = 0; kernels_at(i); i++) {
            float *y = floats_copy(N, x);
            kernels_at(i)->activate(a, 1, N, y);
            assert_true(floats_same(N, y, base));
            for (size_t at = 0; at < N && a != ACTIVATION_SOFTMAX; at++)
                assert_true(activated(kernels_at(i), a, x[at]) == base[at]);
            free(y);
        }
        free(x);
        free(base);
    }
}

/* By bits, over the whole range: what a sweep of one level says holds for all. */
static void test_levels_agree_over_all_floats(void **state) {
    (void)state;
    static float x[BLOCK], base[BLOCK], y[BLOCK];
    for (uint64_t bits = 0, n = 0; bits <= UINT32_MAX; bits += 9973) {
        uint32_t word = (uint32_t)bits;
        memcpy(&x[n++], &word, sizeof word);
        if (n < BLOCK && bits + 9973 <= UINT32_MAX)
            continue;
        for (enum activation a = ACTIVATION_TANH; a <= ACTIVATION_SIGMOID; a++) {
            memcpy(base, x, sizeof base);
            kernels_at(0)->activate(a, 1, n, base);
            for (int i = 1; kernels_at(i); i++) {
                memcpy(y, x, sizeof y);
                kernels_at(i)->activate(a, 1, n, y);
                assert_true(floats_same(n, y, base));
            }
        }
        n = 0;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tanh_over_all_floats),
        cmocka_unit_test(test_sigmoid_over_all_floats),
        cmocka_unit_test(test_plain_over_all_floats),
        cmocka_unit_test(test_activations_of_special_values),
        cmocka_unit_test(test_activations_agree_between_levels),
        cmocka_unit_test(test_levels_agree_over_all_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
