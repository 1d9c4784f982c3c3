#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/series.h"
#include "tests/support/fixtures.h"

#include <math.h>

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static void check_take(struct series *series, int64_t t, double a, double b, int expected,
                       enum time_verdict verdict) {
    const double values[] = {a, b};
    enum time_verdict got = (enum time_verdict) - 1;
    uint64_t before = series->history->n;
    int taken = series_take(series, t, values, &got);
    if (taken != expected || got != verdict || series->history->n != before + (expected == 1))
        fail_msg("tick at %lld: %d, verdict %d", (long long)t, taken, got);
}

static void check_newest(const struct series *series, int64_t t, double a, double b, uint8_t flags) {
    const struct history *history = series->history;
    assert_int_equal(history_time(history, history->n), t);
    assert_true(same(history_observed(history, history->n, 0), a));
    assert_true(same(history_observed(history, history->n, 1), b));
    assert_int_equal(history_flags(history, history->n), flags);
}

static void irregular(void **state) {
    (void)state;
    const struct time_policy_spec spec = {0};
    struct series *series = series_new(&spec, 2, 8, FIXTURE_PENDING);
    check_take(series, 5, 1, 2, 1, TIME_STEP);
    check_newest(series, 5, 1, 2, 0);
    check_take(series, 5, 9, 9, -1, TIME_REPEATED);
    check_take(series, 4, 9, 9, -1, TIME_LATE);
    check_newest(series, 5, 1, 2, 0);
    check_take(series, 6, NAN, 3, 1, TIME_STEP);
    check_newest(series, 6, NAN, 3, STEP_IMPUTED);
    series_free(series);
    series_free(NULL);
}

/* A step is the last value of each feature within its interval. */
static void every(void **state) {
    (void)state;
    const struct time_policy_spec spec = {.every = 10};
    struct series *series = series_new(&spec, 2, 8, FIXTURE_PENDING);
    check_take(series, 11, 1, NAN, 0, TIME_JOINS);
    check_take(series, 15, NAN, 2, 0, TIME_JOINS);
    check_take(series, 15, 7, 7, -1, TIME_REPEATED);
    check_take(series, 19, 3, NAN, 0, TIME_JOINS);
    check_take(series, 20, NAN, 4, 1, TIME_CLOSES);
    check_newest(series, 10, 3, 2, 0);
    check_take(series, 12, 7, 7, -1, TIME_LATE);
    check_take(series, 45, 5, 6, 1, TIME_CLOSES);
    check_newest(series, 20, NAN, 4, STEP_IMPUTED); /* what was of the interval before does not leak in */
    check_take(series, 50, NAN, NAN, 1, TIME_CLOSES);
    check_newest(series, 40, 5, 6, STEP_GAP);
    check_take(series, 60, 1, 1, 1, TIME_CLOSES);
    check_newest(series, 50, NAN, NAN, STEP_IMPUTED);
    series_free(series);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(irregular),
        cmocka_unit_test(every),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
