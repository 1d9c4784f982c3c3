#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/comparison.h"

#include "engine/random.h"

#include <math.h>
#include <string.h>

static void assert_near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.17g is not %.17g", a, b);
}

/* A series of the given losses, one a step. */
static struct loss_series series_of(const double *losses, int n) {
    struct loss_series series = {0};
    for (int i = 0; i < n; i++)
        loss_series_add(&series, (uint64_t)i, losses[i], 1);
    return series;
}

static void means_over_blocks(void **state) {
    (void)state;
    struct loss_series series = {0};
    assert_true(isnan(loss_series_mean(&series)));
    assert_int_equal(loss_series_steps(&series), 0);
    double sum = 0;
    for (int i = 0; i < 1000; i++) {
        loss_series_add(&series, (uint64_t)i, 2 * (double)i, 2);
        sum += i;
    }
    assert_int_equal(series.doublings, 3);
    assert_int_equal(series.n, 125);
    assert_int_equal(loss_series_steps(&series), 1000);
    assert_near(loss_series_mean(&series), sum / 1000, 1e-9);
    assert_near(loss_series_weight(&series), 2000, 0);
    assert_near(series.loss[1] / series.weight[1], 11.5, 1e-12); /* steps 8 to 15 */
    loss_series_add(&series, UINT64_MAX, 1, 1);                  /* as far as it goes */
    assert_true(series.n <= LOSS_BLOCKS);
    loss_series_add(&series, 0, NAN, 1);
    assert_true(isinf(loss_series_mean(&series)));
}

/* What two workers have seen is what one would have, in whichever order. */
static void series_are_merged(void **state) {
    (void)state;
    struct loss_series all = {0}, parts[2] = {{0}, {0}};
    for (uint64_t i = 0; i < 600; i++) {
        loss_series_add(&all, i, (double)(i % 7), 1);
        if (i < 90 || i % 3 == 0) /* the other one is behind */
            loss_series_add(&parts[i % 3 == 0], i, (double)(i % 7), 1);
        else
            loss_series_add(&parts[1], i, (double)(i % 7), 1);
    }
    for (int first = 0; first < 2; first++) {
        struct loss_series merged = parts[first];
        loss_series_merge(&merged, &parts[!first]);
        assert_int_equal(merged.n, all.n);
        for (int b = 0; b < all.n; b++) {
            assert_near(merged.loss[b], all.loss[b], 1e-12);
            assert_near(merged.weight[b], all.weight[b], 0);
        }
    }
}

/* Differences of losses, and what an independent program (numpy; the tail integrated numerically) makes of them. */
static void against_known_values(void **state) {
    (void)state;
    static const double d[] = {0.3, -0.1, 0.4, 0.2, 0.0, 0.5, 0.1, -0.2, 0.3, 0.2, 0.1, 0.4};
    enum { N = sizeof d / sizeof *d };
    const struct {
        int horizon;
        double statistic, p;
    } expected[] = {
        {1, 2.988793386308306, 0.006162125255546491},
        {3, 4.9450574126466185, 0.00021952775415756687},
        {4, 3.630431139298208, 0.0019768330823768943},
    };
    double first[N], second[N];
    for (int i = 0; i < N; i++) {
        second[i] = 5;
        first[i] = 5 - d[i];
    }
    struct loss_series a = series_of(first, N), b = series_of(second, N);
    for (size_t e = 0; e < sizeof expected / sizeof *expected; e++) {
        struct comparison result = comparison_of(&a, &b, expected[e].horizon);
        assert_int_equal(result.n, N);
        assert_near(result.statistic, expected[e].statistic, 1e-9);
        assert_near(result.p, expected[e].p, 1e-9);
        assert_near(result.gain, 2.2 / 12 / 5, 1e-12);
        struct comparison reverse = comparison_of(&b, &a, expected[e].horizon);
        assert_near(reverse.statistic, -expected[e].statistic, 1e-9);
        assert_near(reverse.p, 1 - expected[e].p, 1e-9);
    }
}

/* Of what is nearly nothing the tail is nearly a half: on its other side from the values above. */
static void against_a_small_value(void **state) {
    (void)state;
    static const double d[] = {0.3, -0.4, 0.2, -0.1, 0.0, 0.25, -0.2, 0.1, -0.15, 0.2, -0.1, 0.05};
    enum { N = sizeof d / sizeof *d };
    double first[N], second[N];
    for (int i = 0; i < N; i++) {
        second[i] = 5;
        first[i] = 5 - d[i];
    }
    struct loss_series a = series_of(first, N), b = series_of(second, N);
    struct comparison result = comparison_of(&a, &b, 1);
    assert_near(result.statistic, 0.20608503698969136, 1e-9);
    assert_near(result.p, 0.42024457704440416, 1e-9);
}

/* Blocks of two steps are compared as steps of one are, with half the horizon; the last one may be incomplete, and
 * where only one of the two has an answer there is nothing to compare. */
static void blocks_are_compared(void **state) {
    (void)state;
    enum { BLOCKS = 100, MISSING = 40 };
    struct loss_series a = {0}, b = {0}, fine_a = {0}, fine_b = {0};
    struct rng rng = {9};
    for (uint64_t i = 0; i < BLOCKS; i++) {
        double loss = 1 + 0.3 * rng_uniform(&rng);
        for (uint64_t step = 2 * i; step < 2 * i + 2; step++) {
            loss_series_add(&a, step, loss, 1);
            if (i != MISSING)
                loss_series_add(&b, step, 1.2, 1);
        }
        if (i == MISSING || i == BLOCKS - 1)
            continue;
        loss_series_add(&fine_a, i < MISSING ? i : i - 1, loss, 1);
        loss_series_add(&fine_b, i < MISSING ? i : i - 1, 1.2, 1);
    }
    assert_int_equal(loss_series_steps(&a), 2 * BLOCKS);
    struct comparison coarse = comparison_of(&a, &b, 5), fine = comparison_of(&fine_a, &fine_b, 3);
    assert_int_equal(coarse.n, BLOCKS - 2);
    assert_near(coarse.statistic, fine.statistic, 1e-9);
    assert_near(coarse.p, fine.p, 1e-12);
}

static void too_few_to_tell(void **state) {
    (void)state;
    double first[64], second[64];
    for (int i = 0; i < 64; i++) {
        first[i] = 1 + 0.01 * i;
        second[i] = 2;
    }
    for (int n = 0; n < 64; n++)
        for (int horizon = 1; horizon < 40; horizon++) {
            struct loss_series a = series_of(first, n), b = series_of(second, n);
            struct comparison result = comparison_of(&a, &b, horizon);
            assert_int_equal(!isnan(result.p), n >= 8 && n >= 2 * horizon);
            assert_true(isnan(result.p) || result.p < 0.001);
        }
}

static void what_never_varies(void **state) {
    (void)state;
    double ones[20], twos[20], infinite[20];
    for (int i = 0; i < 20; i++) {
        ones[i] = 1;
        twos[i] = 2;
        infinite[i] = INFINITY;
    }
    struct loss_series a = series_of(ones, 20), b = series_of(twos, 20), c = series_of(infinite, 20);
    assert_true(comparison_of(&a, &b, 3).p < 1e-12);
    assert_true(comparison_of(&b, &a, 3).p > 1 - 1e-12);
    assert_true(comparison_of(&a, &a, 3).p == 0.5);
    assert_true(comparison_of(&a, &c, 3).p < 1e-12 && comparison_of(&a, &c, 3).gain == 1);
    assert_true(isnan(comparison_of(&c, &a, 3).p)); /* a loss without bounds is no better than anything */
}

/* Where there is no difference, one in twenty comparisons finds one: also where forecasts overlap. */
static void its_level_is_kept(void **state) {
    (void)state;
    struct rng rng = {5};
    for (int horizon = 1; horizon <= 6; horizon += 5)
        for (int steps = 120; steps <= 480; steps *= 4) {
            int found = 0;
            enum { TRIALS = 2000 };
            for (int trial = 0; trial < TRIALS; trial++) {
                struct loss_series a = {0}, b = {0};
                double shocks[6] = {0};
                for (int i = 0; i < steps; i++) { /* differences that overlap as forecasts do */
                    shocks[i % horizon] = rng_normal(&rng);
                    double d = 0;
                    for (int k = 0; k < horizon; k++)
                        d += shocks[k];
                    loss_series_add(&a, (uint64_t)i, 10 + d, 1);
                    loss_series_add(&b, (uint64_t)i, 10, 1);
                }
                found += comparison_of(&a, &b, horizon).p < 0.05;
            }
            if (found < TRIALS / 50 || found > TRIALS / 10)
                fail_msg("horizon %d, %d steps: %d of %d", horizon, steps, found, TRIALS);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_over_blocks),     cmocka_unit_test(series_are_merged),
        cmocka_unit_test(against_known_values),  cmocka_unit_test(too_few_to_tell),
        cmocka_unit_test(against_a_small_value), cmocka_unit_test(blocks_are_compared),
        cmocka_unit_test(what_never_varies),     cmocka_unit_test(its_level_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
