#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "engine/smoothing.h"

#include <math.h>

static double ahead(const struct smoothing *smoothing, int h) {
    double mean[64];
    smoothing_forecast(smoothing, h, 1, mean);
    return mean[h - 1];
}

static void nothing_and_one_value(void **state) {
    (void)state;
    struct smoothing smoothing = {0};
    assert_true(isnan(ahead(&smoothing, 1)));
    smoothing_update(&smoothing, NAN);
    assert_true(isnan(ahead(&smoothing, 1)));
    smoothing_update(&smoothing, 4);
    assert_true(ahead(&smoothing, 1) == 4 && ahead(&smoothing, 9) == 4);
    for (int i = 0; i < 100; i++)
        smoothing_update(&smoothing, 4);
    assert_true(ahead(&smoothing, 9) == 4);
}

/* A noisy level: the slow parameters win, and the forecast is much nearer to it than the last value is. */
static void a_level_is_found(void **state) {
    (void)state;
    struct smoothing smoothing = {0};
    struct rng rng = {1};
    double error = 0;
    for (int i = 0; i < 3000; i++) {
        smoothing_update(&smoothing, 10 + rng_normal(&rng));
        if (i >= 1000)
            error += (ahead(&smoothing, 5) - 10) * (ahead(&smoothing, 5) - 10) / 2000;
    }
    assert_true(error < .15);
}

/* A random walk: the fast ones win. */
static void a_walk_is_followed(void **state) {
    (void)state;
    struct smoothing smoothing = {0};
    struct rng rng = {2};
    double x = 0, error = 0;
    for (int i = 0; i < 3000; i++) {
        if (i >= 1000)
            error += (ahead(&smoothing, 1) - x) * (ahead(&smoothing, 1) - x) / 2000;
        x += rng_normal(&rng);
        smoothing_update(&smoothing, x);
    }
    assert_true(error < .4); /* of the level itself, which the last value knows */
}

/* A burst moves it by twice the scale at most; a level that stays is followed. */
static void a_burst_is_bounded_and_a_jump_is_followed(void **state) {
    (void)state;
    struct smoothing smoothing = {0};
    struct rng rng = {3};
    for (int i = 0; i < 500; i++)
        smoothing_update(&smoothing, rng_normal(&rng));
    smoothing_update(&smoothing, 50);
    assert_true(fabs(ahead(&smoothing, 1)) < 2);
    for (int i = 0; i < 60; i++)
        smoothing_update(&smoothing, 50 + rng_normal(&rng));
    assert_true(fabs(ahead(&smoothing, 1) - 50) < 3);
}

static void missing_and_wild_values(void **state) {
    (void)state;
    struct smoothing smoothing = {0};
    const double wild[] = {1, NAN, 1e300, -1e300, INFINITY, 5e-324, 1e150, -1e150, 2};
    for (int i = 0; i < 90; i++) {
        smoothing_update(&smoothing, wild[i % 9]);
        assert_true(isfinite(ahead(&smoothing, 64)));
    }
    smoothing_restart(&smoothing);
    assert_true(isnan(ahead(&smoothing, 1)));
    smoothing_update(&smoothing, 3);
    assert_true(ahead(&smoothing, 1) == 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_and_one_value),   cmocka_unit_test(a_level_is_found),
        cmocka_unit_test(a_walk_is_followed),      cmocka_unit_test(a_burst_is_bounded_and_a_jump_is_followed),
        cmocka_unit_test(missing_and_wild_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
