#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/alerts.h"
#include "tests/support/fixtures.h"
#include "tests/support/replay.h"

#include <math.h>
#include <string.h>

/* ---- probabilities -------------------------------------------------------------------------- */

static double above(double deviations) {
    return 0.5 * erfc(deviations / sqrt(2));
}

static void exceedance(void **state) {
    (void)state;
    const struct {
        double beyond, radii[3], z[3];
        int n;
        double expected;
    } cases[] = {
        /* A normal distribution of deviation 2, within its intervals, between them, and behind the last. */
        {0, {2, 4}, {1, 2}, 2, 0.5},
        {2, {2, 4}, {1, 2}, 2, above(1)},
        {-2, {2, 4}, {1, 2}, 2, above(-1)},
        {3, {2, 4}, {1, 2}, 2, above(1.5)},
        {10, {2, 4}, {1, 2}, 2, above(5)},
        {-10, {2, 4}, {1, 2}, 2, above(-5)},
        {1, {2}, {1}, 1, above(0.5)},
        /* Heavier tails: linear between the ends, the last slope behind them. */
        {5, {1, 9}, {1, 2}, 2, above(1.5)},
        {17, {1, 9}, {1, 2}, 2, above(3)},
        /* Two that are equally wide: nothing lies between them. */
        {3, {3, 3, 5}, {1, 2, 3}, 3, above(1)},
        {4, {3, 3, 5}, {1, 2, 3}, 3, above(2.5)},
        {6, {3, 3}, {1, 2}, 2, above(3)},
        /* No width at all: what is certain. */
        {0, {0, 0}, {1, 2}, 2, above(2)}, /* at the bound is not beyond it */
        {0, {0, 2}, {1, 2}, 2, above(1)},
        {1e-9, {0, 0}, {1, 2}, 2, 0},
        {-1e-9, {0, 0}, {1, 2}, 2, 1},
        {1, {0, 2}, {1, 2}, 2, above(1.5)},
        /* What is not known. */
        {1, {0}, {0}, 0, NAN},
        {1, {2, NAN}, {1, 2}, 2, NAN},
        {NAN, {2, 4}, {1, 2}, 2, NAN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double said = alerts_exceedance(cases[i].beyond, cases[i].radii, cases[i].z, cases[i].n);
        if (!(fabs(said - cases[i].expected) < 1e-12) && !(isnan(said) && isnan(cases[i].expected)))
            fail_msg("case %zu: %g, not %g", i, said, cases[i].expected);
    }
}

/* Targets 0 and 1, three steps ahead, half-widths of one level that holds what a deviation does. */
static void probability_within_steps(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    fixture.model.n_levels = 1;
    const double mean[] = {1, 10, 3, 8, 2, 9}, z[] = {1};
    const struct score scores[] = {{.h = 1}, {.h = 2}, {.h = 3}};
    const float radii[] = {1, 2, 1, 2, 1, 2};
    const int64_t times[] = {110, 120, 130};
    struct forecast forecast = {
        .mean = mean, .scores = scores, .n_scores = 3, .radii = radii, .t = 100, .times = times};
    const struct {
        struct config_alert alert;
        double expected;
        int h;
    } cases[] = {
        {{.target = 0, .above = 4, .below = NAN, .steps = 3}, above(1), 2},
        {{.target = 0, .above = 4, .below = NAN, .steps = 1}, above(3), 1},
        {{.target = 1, .above = NAN, .below = 6, .steps = 3}, above(1), 2},
        {{.target = 1, .above = NAN, .below = 12, .steps = 1}, above(-1), 1},
        {{.target = 0, .above = 4, .below = NAN, .steps = 3, .time = 20}, above(1), 2},
        {{.target = 0, .above = 4, .below = NAN, .steps = 3, .time = 19}, above(3), 1},
        {{.target = 0, .above = 4, .below = NAN, .steps = 3, .time = 9}, NAN, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int h;
        double said = alerts_probability(&fixture.model, &cases[i].alert, &forecast, z, &h);
        if ((!(fabs(said - cases[i].expected) < 1e-12) && !(isnan(said) && isnan(cases[i].expected))) ||
            h != cases[i].h)
            fail_msg("case %zu: %g at %d, not %g at %d", i, said, h, cases[i].expected, cases[i].h);
    }
    forecast.times = NULL; /* not known yet */
    int h;
    assert_true(isnan(alerts_probability(&fixture.model, &cases[4].alert, &forecast, z, &h)));
}

static void raised_with_hysteresis(void **state) {
    (void)state;
    const struct config_alert alert = {.probability = 0.5};
    const struct {
        bool before;
        double probability;
        bool after;
    } cases[] = {{false, 0.49, false}, {false, 0.5, true}, {false, 1, true},  {true, 0.5, true},  {true, 0.41, true},
                 {true, 0.39, false},  {true, 0, false},   {true, NAN, true}, {false, NAN, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(alerts_raised(&alert, cases[i].before, cases[i].probability), cases[i].after);
}

/* ---- verdicts ------------------------------------------------------------------------------- */

#define GOOD VERDICT_GOOD
#define EVER VERDICT_WORSE_THAN_EVER
#define LAST VERDICT_WORSE_THAN_LAST_VALUE

static void verdicts(void **state) {
    (void)state;
    const struct {
        enum verdict before;
        uint32_t n;
        float recent, all, last_value;
        enum verdict after;
    } cases[] = {
        {GOOD, 1000, 1, 1, 2, GOOD},          {GOOD, 1000, 1.4F, 1, 2, GOOD},  {GOOD, 1000, 1.6F, 1, 2, EVER},
        {EVER, 1000, 1.3F, 1, 2, EVER},       {EVER, 1000, 1.1F, 1, 2, GOOD},  {GOOD, 1000, 1.05F, 1, 1, GOOD},
        {GOOD, 1000, 1.15F, 1, 1, LAST},      {LAST, 1000, 1.05F, 1, 1, LAST}, {LAST, 1000, 0.95F, 1, 1, GOOD},
        {LAST, 1000, 1.6F, 1, 2, EVER},       {EVER, 1000, 3, 1, 2, LAST},     {GOOD, 199, 3, 1, 1, GOOD},
        {GOOD, 200, 3, 3, 1, LAST},           {LAST, 1000, 0, 0, 0, GOOD},     {LAST, 1000, NAN, 1, 1, LAST},
        {EVER, 1000, 1.3F, 1, INFINITY, EVER}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct score scores[] = {
            {.h = 1, .n = 10, .recent = {.mae = 100, .mae_last_value = 1}, .all = {.mae = 1}}, /* too few to count */
            {.h = 2,
             .n = cases[i].n,
             .recent = {.mae = cases[i].recent, .mae_last_value = cases[i].last_value},
             .all = {.mae = cases[i].all}}};
        enum verdict after = alerts_verdict(cases[i].before, scores, 2);
        if (after != cases[i].after)
            fail_msg("case %zu: %d, not %d", i, (int)after, (int)cases[i].after);
    }
}

/* ---- in the forecaster ---------------------------------------------------------------------- */

enum { CALM = 600, HIGH = 700 };

/* Around 0 but for steps CALM to HIGH, when it is around 10. */
static double value_at(uint64_t step) {
    double noise = 0.1 * sin(17.0 * (double)step);
    return step >= CALM && step < HIGH ? 10 + noise : noise;
}

static void alerts_of_a_stream(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    struct config_alert alerts[] = {{.target = 0, .above = 5, .below = NAN, .steps = 3, .probability = 0.5},
                                    {.target = 0, .above = NAN, .below = -50, .steps = 3, .probability = 0.5}};
    fixture.model.alerts = alerts;
    fixture.model.n_alerts = 2;
    fixture.model.period = 0;
    fixture.model.combine = COMBINE_ONLY + EXPERT_LAST_VALUE;
    struct history *history = history_new(1, 64, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    forecaster_acquire(forecaster, 2, history);
    int changes = 0;
    uint64_t at[2] = {0};
    for (uint64_t step = 1; step <= 1000; step++) {
        const double value = value_at(step);
        bool paused = step >= CALM + 20 && step < CALM + 30;
        history_pause(history, paused);
        history_append(history, (int64_t)step, paused ? &(double){-100} : &value, 0);
        forecaster_advance(forecaster, &(int){2}, 1);
        const struct forecast *forecast = forecaster_latest(forecaster, 2);
        assert_false(forecast->alerts[1].raised || forecast->alerts[1].changed);
        if (forecast->alerts[0].changed) {
            assert_true(changes < 2);
            assert_int_equal(forecast->alerts[0].raised, changes == 0);
            at[changes++] = step;
        }
    }
    assert_int_equal(changes, 2);
    assert_int_equal(at[0], CALM);
    assert_int_equal(at[1], HIGH);
    forecaster_release(forecaster, 2);
    forecaster_acquire(forecaster, 2, history); /* another stream */
    forecaster_free(forecaster);
    history_free(history);
}

/* A season of two steps, forecast by itself; then a slow wave, for which the last value is better; then as before. */
static void a_verdict_of_a_stream(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    fixture.model.period = 2;
    fixture.model.combine = COMBINE_ONLY + EXPERT_SEASONAL;
    struct history *history = history_new(1, 64, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    forecaster_acquire(forecaster, 0, history);
    int changes = 0;
    enum verdict said[4];
    uint64_t at[4];
    for (uint64_t step = 1; step <= 9000; step++) {
        double k = (double)step, off = 0.01 * sin(17 * k);
        double value = step <= 3000 || step > 5000 ? (step % 2 ? 1 : -1) : sin(k / 3);
        value += off;
        history_append(history, (int64_t)step, &value, 0);
        forecaster_advance(forecaster, &(int){0}, 1);
        const struct forecast *forecast = forecaster_latest(forecaster, 0);
        if (!forecast->verdict_changed)
            continue;
        assert_true(changes < 4);
        said[changes] = forecast->verdict;
        at[changes++] = step;
    }
    assert_true(changes >= 2);
    assert_true(at[0] > 3000 && at[0] < 3200);
    assert_true(said[0] != VERDICT_GOOD);
    assert_int_equal(said[changes - 1], VERDICT_GOOD);
    assert_true(at[changes - 1] > 5000);
    forecaster_free(forecaster);
    history_free(history);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exceedance),
        cmocka_unit_test(probability_within_steps),
        cmocka_unit_test(raised_with_hysteresis),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(alerts_of_a_stream),
        cmocka_unit_test(a_verdict_of_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
