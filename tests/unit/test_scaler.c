#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "engine/scaler.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

static void assert_near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance))
        print_message("%.17g is not %.17g\n", a, b);
    assert_true(fabs(a - b) <= tolerance);
}

static void assert_sane(const struct scaler *scaler) {
    assert_true(isfinite(scaler->mean) && isfinite(scaler->variance) && scaler->variance >= 0);
    double unit = scaler_unit(SCALER_STANDARD, scaler);
    assert_true(isfinite(unit) && unit > 0);
    const double extremes[] = {0, -0.0, 1, -DBL_MAX, DBL_MAX, DBL_MIN, DBL_TRUE_MIN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof extremes / sizeof *extremes; i++)
        assert_true(fabsf(scaler_scale(SCALER_STANDARD, scaler, extremes[i])) <= SCALER_CLIP);
}

/* 2, 4, 4, 4, 5, 5, 7, 9: mean 5, variance of the population 4. */
static void mean_and_variance_by_hand(void **state) {
    (void)state;
    struct scaler scaler = {0};
    const double values[] = {2, 4, 4, 4, 5, 5, 7, 9};
    for (size_t i = 0; i < 8; i++)
        scaler_update(&scaler, values[i]);
    assert_near(scaler.mean, 5, 1e-15);
    assert_near(scaler.variance, 4, 1e-14);
    assert_int_equal(scaler.n, 8);
    assert_near(scaler_unit(SCALER_STANDARD, &scaler), 2, 1e-14);
    assert_near((double)scaler_scale(SCALER_STANDARD, &scaler, 8), 1.5, 1e-6);
    assert_near(scaler_unscale(SCALER_STANDARD, &scaler, -0.5), 4, 1e-14);
}

static void missing_values_are_passed_over(void **state) {
    (void)state;
    struct scaler with = {0}, without = {0};
    for (int i = 0; i < 50; i++) {
        scaler_update(&with, i * i);
        scaler_update(&with, NAN);
        scaler_update(&with, INFINITY);
        scaler_update(&with, -INFINITY);
        scaler_update(&without, i * i);
    }
    assert_memory_equal(&with, &without, sizeof with);
    assert_true(scaler_scale(SCALER_STANDARD, &with, NAN) == 0);
    assert_true(scaler_scale(SCALER_NONE, &with, NAN) == 0);
}

static void nothing_seen(void **state) {
    (void)state;
    const struct scaler scaler = {0};
    assert_sane(&scaler);
    assert_true(scaler_unit(SCALER_STANDARD, &scaler) == 1);
    assert_true(scaler_scale(SCALER_STANDARD, &scaler, NAN) == 0);
    assert_true(scaler_unscale(SCALER_STANDARD, &scaler, 3) == 3);
}

static void none_is_the_value(void **state) {
    (void)state;
    struct scaler scaler = {0};
    scaler_update(&scaler, 5);
    scaler_update(&scaler, 9);
    assert_true(scaler_scale(SCALER_NONE, &scaler, 123.5) == 123.5f);
    assert_true(scaler_unscale(SCALER_NONE, &scaler, 123.5) == 123.5);
    assert_true(scaler_unit(SCALER_NONE, &scaler) == 1);
}

/* The textbook formula (mean of squares less square of mean) has no digits left here. */
static void a_high_level_costs_no_digits(void **state) {
    (void)state;
    struct scaler scaler = {0};
    struct rng rng = {1};
    double around[5000], mean = 0, variance = 0;
    for (size_t i = 0; i < 5000; i++) {
        around[i] = rng_normal(&rng);
        mean += around[i] / 5000;
        scaler_update(&scaler, 1e8 + around[i]);
    }
    for (size_t i = 0; i < 5000; i++)
        variance += (around[i] - mean) * (around[i] - mean) / 5000;
    assert_near(scaler.mean - 1e8, mean, 1e-6);
    assert_near(scaler.variance, variance, 1e-6);
}

static void a_constant_has_no_unit(void **state) {
    (void)state;
    const double constants[] = {0, 0.1, -3e7, 1.0 / 3, 1e140, 1e-300, 12345678.9};
    for (size_t c = 0; c < sizeof constants / sizeof *constants; c++) {
        struct scaler scaler = {0};
        for (int i = 0; i < 30000; i++)
            scaler_update(&scaler, constants[c]);
        assert_true(scaler_unit(SCALER_STANDARD, &scaler) == 1);
        assert_true(scaler_scale(SCALER_STANDARD, &scaler, constants[c]) == 0);
        assert_sane(&scaler);
    }
}

/* What rounding leaves: values that are one, but for their last bit. */
static void rounding_is_no_unit(void **state) {
    (void)state;
    struct scaler scaler = {0};
    for (int i = 0; i < 1000; i++)
        scaler_update(&scaler, i % 2 ? 0.7 : nextafter(0.7, 1));
    assert_true(scaler_unit(SCALER_STANDARD, &scaler) == 1);
}

static void scaled_values_are_clipped(void **state) {
    (void)state;
    struct scaler scaler = {0};
    for (int i = 0; i < 100; i++)
        scaler_update(&scaler, i % 2 ? 1 : -1);
    assert_true(scaler_scale(SCALER_STANDARD, &scaler, 1e6) == SCALER_CLIP);
    assert_true(scaler_scale(SCALER_STANDARD, &scaler, -1e6) == -SCALER_CLIP);
    assert_near(scaler_unscale(SCALER_STANDARD, &scaler, 50), 50, 1e-9); /* the inverse is not */
}

/* After SCALER_MEMORY zeros, the weight of k ones is 1 - (1 - 1 / SCALER_MEMORY)^k. */
static void old_values_are_forgotten(void **state) {
    (void)state;
    struct scaler scaler = {0};
    for (int i = 0; i < SCALER_MEMORY; i++)
        scaler_update(&scaler, 0);
    for (int k = 1; k <= 2 * SCALER_MEMORY; k++) {
        scaler_update(&scaler, 1);
        if (k % 5000 != 0)
            continue;
        double weight = 1 - pow(1 - 1.0 / SCALER_MEMORY, k);
        assert_near(scaler.mean, weight, 1e-9);
        assert_near(scaler.variance, weight * (1 - weight), 1e-9);
    }
}

/* Some senders mean "no value" by the largest double. It must not blind the scaler for ever. */
static void what_has_no_square_is_passed_over(void **state) {
    (void)state;
    const double huge[] = {1e300, -1e300, DBL_MAX, -DBL_MAX, 1e160};
    for (size_t h = 0; h < sizeof huge / sizeof *huge; h++)
        for (int first = 0; first < 2; first++) {
            struct scaler with = {0}, without = {0};
            for (int i = 0; i < 200; i++) {
                if (i == (first ? 0 : 100))
                    scaler_update(&with, huge[h]);
                scaler_update(&with, i % 7);
                scaler_update(&without, i % 7);
            }
            assert_memory_equal(&with, &without, sizeof with);
            assert_sane(&with);
        }
}

/* Whatever comes, in whatever order, statistics stay finite and what is scaled stays within bounds. */
static void wild_values(void **state) {
    (void)state;
    struct rng rng = {5};
    for (int run = 0; run < 50; run++) {
        struct scaler scaler = {0};
        for (int i = 0; i < 400; i++) {
            uint64_t bits = rng_next(&rng);
            double x;
            memcpy(&x, &bits, sizeof x);
            if (run % 2) /* all the same order of magnitude */
                x = copysign(ldexp(1 + rng_uniform(&rng), 40 * run - 1060), x);
            scaler_update(&scaler, x);
            assert_sane(&scaler);
        }
    }
}

static void tiny_values(void **state) {
    (void)state;
    /* Their squares are still doubles: a unit like any other. */
    struct scaler scaler = {0};
    for (int i = 0; i < 100; i++)
        scaler_update(&scaler, i % 2 ? 1e-150 : 3e-150);
    assert_near(scaler_unit(SCALER_STANDARD, &scaler) / 1e-150, 1, 1e-9);
    assert_near((double)scaler_scale(SCALER_STANDARD, &scaler, 3e-150), 1, 1e-6);
    /* They are not: a constant, as far as can be told. */
    scaler = (struct scaler){0};
    for (int i = 0; i < 100; i++)
        scaler_update(&scaler, i % 2 ? DBL_TRUE_MIN : 1e-310);
    assert_true(scaler_unit(SCALER_STANDARD, &scaler) == 1);
    assert_sane(&scaler);
}

static void unscale_undoes_scale(void **state) {
    (void)state;
    struct rng rng = {9};
    struct scaler scaler = {0};
    for (int i = 0; i < 1000; i++)
        scaler_update(&scaler, -40 + 3 * rng_normal(&rng));
    for (int i = 0; i < 100; i++) {
        double x = -40 + 3 * rng_normal(&rng);
        double z = (double)scaler_scale(SCALER_STANDARD, &scaler, x);
        assert_near(scaler_unscale(SCALER_STANDARD, &scaler, z), x, 1e-5);
    }
}

/* Its own mean and deviation, with a hundredth of the stream's; of nothing, the stream's. */
static void a_sample(void **state) {
    (void)state;
    const struct scaler running = {.mean = 7, .variance = 400, .n = 1000};
    struct scaler sample = {0};
    struct scaler none = scaler_of_sample(&sample, &running);
    assert_true(none.mean == 7 && none.variance == 400);
    scaler_update(&sample, 3);
    struct scaler flat = scaler_of_sample(&sample, &running);
    assert_near(scaler_unit(SCALER_WINDOW, &flat), 0.2, 1e-12);
    scaler_update(&sample, 5);
    struct scaler two = scaler_of_sample(&sample, &running);
    assert_near(two.mean, 4, 1e-12);
    assert_near(two.variance, 1.04, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_and_variance_by_hand),
        cmocka_unit_test(missing_values_are_passed_over),
        cmocka_unit_test(nothing_seen),
        cmocka_unit_test(none_is_the_value),
        cmocka_unit_test(a_high_level_costs_no_digits),
        cmocka_unit_test(a_constant_has_no_unit),
        cmocka_unit_test(rounding_is_no_unit),
        cmocka_unit_test(scaled_values_are_clipped),
        cmocka_unit_test(old_values_are_forgotten),
        cmocka_unit_test(what_has_no_square_is_passed_over),
        cmocka_unit_test(wild_values),
        cmocka_unit_test(tiny_values),
        cmocka_unit_test(unscale_undoes_scale),
        cmocka_unit_test(a_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
