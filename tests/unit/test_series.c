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

/* A step is flagged by what lies before its own interval, not by what closes it. */
static void gaps(void **state) {
    (void)state;
    const struct time_policy_spec specs[] = {{.every = 10, .gap = GAP_RESET},
                                             {.every = 10, .gap = GAP_RESET, .gap_after = 25},
                                             {.every = 10, .gap_after = 25}};
    const uint8_t both = STEP_GAP | STEP_RESET;
    const uint8_t flags[][4] = {{0, both, 0, both}, {0, 0, 0, both}, {0, 0, 0, STEP_GAP}};
    for (int s = 0; s < 3; s++) {
        struct series *series = series_new(&specs[s], 2, 8, FIXTURE_PENDING);
        const int64_t times[] = {10, 30, 40, 70, 80};
        for (int i = 0; i < 5; i++) {
            check_take(series, times[i], 1, 2, i > 0, i > 0 ? TIME_CLOSES : TIME_JOINS);
            if (i > 0)
                check_newest(series, times[i - 1], 1, 2, flags[s][i - 1]);
        }
        series_free(series);
    }
    const struct time_policy_spec irregular = {.gap_after = 5, .gap = GAP_RESET};
    struct series *series = series_new(&irregular, 2, 8, FIXTURE_PENDING);
    const int64_t times[] = {-100, -95, -89, -89, -86};
    const uint8_t flagged[] = {0, 0, STEP_GAP | STEP_RESET, 0, 0};
    for (int i = 0; i < 5; i++) {
        check_take(series, times[i], 1, 2, i == 3 ? -1 : 1, i == 3 ? TIME_REPEATED : TIME_STEP);
        if (i != 3)
            check_newest(series, times[i], 1, 2, flagged[i]);
    }
    series_free(series);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(irregular),
        cmocka_unit_test(every),
        cmocka_unit_test(gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
