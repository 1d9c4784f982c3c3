#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/baseline.h"
#include "tests/support/fixtures.h"

#include <math.h>

/* Steps 1 .. n of one feature. */
static struct history *history_of(const double *values, int n, int kept) {
    struct history *history = history_new(1, kept, FIXTURE_PENDING);
    for (int i = 0; i < n; i++)
        history_append(history, i, &values[i], false);
    return history;
}

/* h steps ahead. */
static double drift_at(const struct history *history, uint64_t step, int feature, int h, int period) {
    static double mean[4096];
    baseline_drift(history, step, feature, h, period, 1, mean);
    return mean[h - 1];
}

static void last_value(void **state) {
    (void)state;
    const double values[] = {NAN, 2, NAN, 4};
    struct history *history = history_of(values, 4, 8);
    assert_true(isnan(baseline_last_value(history, 0, 0)));
    assert_true(isnan(baseline_last_value(history, 1, 0)));
    assert_true(baseline_last_value(history, 2, 0) == 2);
    assert_true(baseline_last_value(history, 3, 0) == 2);
    assert_true(baseline_last_value(history, 4, 0) == 4);
    assert_true(isnan(baseline_last_value(history, 5, 0)));
    history_free(history);
}

/* Whatever h, the answer is the latest one that was known at the step and is whole seasons before step + h. */
static void seasonal(void **state) {
    (void)state;
    enum { N = 40 };
    double values[N];
    for (int i = 0; i < N; i++)
        values[i] = i + 1; /* each step's value is its number */
    struct history *history = history_of(values, N, N);
    for (int period = 1; period <= 12; period++)
        for (int step = 1; step <= N; step++)
            for (int h = 1; h <= 30; h++) {
                int at = step + h;
                while (at > step)
                    at -= period;
                double said = baseline_seasonal(history, (uint64_t)step, 0, h, period);
                if (!(at >= 1 ? said == at : isnan(said)))
                    fail_msg("period %d, step %d, %d ahead: %g instead of %d", period, step, h, said, at);
            }
    assert_true(isnan(baseline_seasonal(history, N, 0, 1, 0)));
    history_free(history);
}

static void seasonal_is_what_was_observed(void **state) {
    (void)state;
    const double values[] = {1, NAN, 3, 4};
    struct history *history = history_of(values, 4, 8);
    assert_true(baseline_seasonal(history, 4, 0, 1, 4) == 1);
    assert_true(isnan(baseline_seasonal(history, 4, 0, 2, 4)));
    assert_true(baseline_seasonal(history, 4, 0, 3, 4) == 3);
    history_free(history);
}

static void seasons_leave_the_ring(void **state) {
    (void)state;
    enum { KEPT = 4, N = 200 };
    struct history *history = history_new(1, KEPT, FIXTURE_PENDING);
    for (int i = 1; i <= N; i++) {
        double value = i;
        history_append(history, i, &value, false);
    }
    uint64_t oldest = history_oldest(history);
    assert_int_equal(oldest, N - KEPT - FIXTURE_PENDING + 1);
    int period = (int)(N + 1 - oldest);
    assert_true(baseline_seasonal(history, N, 0, 1, period) == (double)oldest);
    assert_true(isnan(baseline_seasonal(history, N, 0, 1, period + 1)));
    assert_true(isnan(baseline_last_value(history, oldest - 1, 0)));
    history_free(history);
}

static void the_forecast(void **state) {
    (void)state;
    const double values[] = {1, NAN, 3, 4};
    struct history *history = history_of(values, 4, 8);
    assert_true(baseline_forecast(BASELINE_LAST_VALUE, history, 4, 0, 1, 4) == 4);
    assert_true(baseline_forecast(BASELINE_SEASONAL, history, 4, 0, 1, 4) == 1);
    assert_true(baseline_forecast(BASELINE_SEASONAL, history, 4, 0, 2, 4) == 4); /* missing: the last value */
    assert_true(baseline_forecast(BASELINE_SEASONAL, history, 3, 0, 1, 6) == 3); /* no season yet: the same */
    history_free(history);
}

static void drift(void **state) {
    (void)state;
    enum { N = 400 };
    static double line[N], season[N];
    for (int i = 0; i < N; i++) {
        line[i] = 3 + .5 * i;
        season[i] = i % 24 < 12 ? 1 : -1;
    }
    struct history *history = history_of(line, N, N);
    assert_true(drift_at(history, 1, 0, 5, 0) == 3); /* nothing to draw a line through */
    assert_true(drift_at(history, 2, 0, 1, 0) == 4);
    /* Damped by 1 - 1/256: 10 steps ahead it falls short by .5 * (10 - sum) */
    double said = drift_at(history, N, 0, 10, 0), straight = line[N - 1] + 5;
    assert_true(said < straight && said > straight - .1);
    /* However far ahead, it goes no further than it looks back. */
    assert_true(drift_at(history, N, 0, 4096, 0) <= line[N - 1] + .5 * BASELINE_DRIFT_STEPS);
    assert_true(isnan(drift_at(history, 0, 0, 1, 0)));
    history_free(history);

    history = history_of(season, N, N);
    for (int step = N - 24; step <= N; step++) /* whole periods: a season is no slope */
        assert_true(drift_at(history, (uint64_t)step, 0, 7, 24) == season[step - 1]);
    history_free(history);
}

/* What a batch of waiting steps makes the ring hold longer is not looked at, and what was missing at first is passed
 * over. */
static void drift_looks_at_what_is_kept(void **state) {
    (void)state;
    const double values[] = {NAN, NAN, 7, 1, 5, 9, 13};
    struct history *few = history_of(values, 7, 4), *many = history_of(values, 7, 7);
    assert_true(drift_at(few, 7, 0, 1, 0) == 13 + 4);
    assert_true(drift_at(many, 4, 0, 1, 0) == 1 - 6);
    history_free(few);
    history_free(many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_value),
        cmocka_unit_test(seasonal),
        cmocka_unit_test(seasonal_is_what_was_observed),
        cmocka_unit_test(seasons_leave_the_ring),
        cmocka_unit_test(the_forecast),
        cmocka_unit_test(drift),
        cmocka_unit_test(drift_looks_at_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
