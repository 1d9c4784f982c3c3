#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/past.h"

#include <math.h>
#include <stdlib.h>

enum { N = 60, PERIOD = 7 };

struct rig {
    struct history *history;
    struct past past;
    double *memory;
};

static void rig_open(struct rig *rig, int kept, int n, double (*value)(int)) {
    rig->history = history_new(1, kept, 64);
    rig->memory = calloc(past_doubles(N, PERIOD), sizeof *rig->memory);
    past_place(&rig->past, N, PERIOD, rig->memory);
    for (int i = 1; i <= n; i++)
        history_append(rig->history, i, (const double[]){value(i)}, 0);
}

static void rig_close(struct rig *rig) {
    history_free(rig->history);
    free(rig->memory);
}

static double line(int i) {
    return i;
}

static double season(int i) {
    return 10 + i % PERIOD;
}

static double late(int i) {
    return i < 5 || i == 9 ? (double)NAN : i;
}

static double burst(int i) {
    return i == 195 ? 1e6 : i % 2;
}

static void newest_first(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, 40, 100, line);
    assert_true(past_load(&rig.past, rig.history, 90, 0, 1)); /* ten wait */
    for (int k = 0; k < N; k++)                               /* what is held and no longer kept is not looked at */
        assert_true(rig.past.values[k] == (k < 40 ? 90 - k : 51));
    double mean = past_mean(&rig.past, 3, 4);
    assert_true(fabs(mean - (87 + 86 + 85 + 84) / 4.0) < 1e-9);
    assert_true(rig.past.most == 90 && rig.past.least == 51);
    rig_close(&rig);
}

static void before_the_first_value(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, 40, 12, late);
    assert_false(past_load(&rig.past, rig.history, 4, 0, 1));
    assert_true(isnan(rig.past.range.low));
    assert_true(past_load(&rig.past, rig.history, 12, 0, 1));
    assert_true(rig.past.values[0] == 12 && rig.past.values[3] == 8 && rig.past.values[7] == 5);
    assert_true(rig.past.values[N - 1] == 5);
    rig_close(&rig);
}

static void averages_are_of_a_phase(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, N, 100, season);
    assert_true(past_load(&rig.past, rig.history, 100, 0, 1));
    for (int d = 0; d < PAST_AVERAGES; d++)
        for (int k = 0; k < N; k++)
            assert_true(fabs(rig.past.average[d][k] - season(100 - k)) < 1e-9);
    /* By the definition, on a line: weights 1, .7, .49 ... of the values k, k + 7 ... */
    rig_close(&rig);
    rig_open(&rig, N, 100, line);
    assert_true(past_load(&rig.past, rig.history, 100, 0, 100));
    double sum = 0, weights = 0, weight = 1;
    for (int k = 2; k < N; k += PERIOD, weight *= .7) {
        sum += weight * (100 - k);
        weights += weight;
    }
    assert_true(fabs(rig.past.average[0][2] - sum / weights) < 1e-9);
    rig_close(&rig);
}

static void a_burst_is_beyond_the_range(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, 200, 200, burst);
    assert_true(past_load(&rig.past, rig.history, 194, 0, .5));
    assert_true(rig.past.range.low < 0 && rig.past.range.high > 1 && rig.past.range.high < 10);
    assert_true(past_bounded(&rig.past.range, 1e6) == rig.past.range.high);
    assert_true(past_bounded(&rig.past.range, .5) == .5);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_first),
        cmocka_unit_test(before_the_first_value),
        cmocka_unit_test(averages_are_of_a_phase),
        cmocka_unit_test(a_burst_is_beyond_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
