#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "engine/regressors.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 2, HORIZON = 6, KEPT = 256, OUTPUTS = HORIZON * FEATURES };

struct rig {
    struct fixture fixture;
    struct history *history;
    struct regressors *regressors;
    struct scaler scalers[FEATURES];
    double mean[REGRESSORS_MOST][OUTPUTS], *rows[REGRESSORS_MOST];
};

static void rig_open(struct rig *rig, int period) {
    memset(rig, 0, sizeof *rig);
    fixture_init(&rig->fixture, FEATURES);
    rig->fixture.class.history = KEPT;
    rig->fixture.model.horizon = HORIZON;
    rig->fixture.model.period = period;
    rig->fixture.model.experts = EXPERTS_FULL;
    rig->history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    rig->regressors = regressors_new(&rig->fixture.class, &rig->fixture.model, kernels_choose());
    for (int i = 0; i < REGRESSORS_MOST; i++)
        rig->rows[i] = rig->mean[i];
}

static void rig_close(struct rig *rig) {
    regressors_free(rig->regressors);
    history_free(rig->history);
}

static void see(struct rig *rig, const double *values) {
    history_append(rig->history, 0, values, 0);
    uint64_t step = rig->history->n;
    for (int f = 0; f < FEATURES; f++)
        if (!history_missing(rig->history, step, f))
            scaler_update(&rig->scalers[f], values[f]);
    regressors_step(rig->regressors, 3, rig->history, step, 1, rig->scalers, rig->rows);
}

/* An autoregressive process and a season: each comes near to the best that can be known. */
static void laws_are_found(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, 12);
    assert_int_equal(regressors_count(rig.regressors), REGRESSORS_MOST);
    struct rng rng = {1};
    double x = 0, y = 0, errors[REGRESSORS_MOST][FEATURES] = {{0}}, said[REGRESSORS_MOST][FEATURES] = {{0}};
    for (int t = 0; t < 6000; t++) {
        x = .8 * x + rng_normal(&rng);
        y = 10 * sin(2 * M_PI * t / 12) + .3 * rng_normal(&rng);
        for (int i = 0; i < REGRESSORS_MOST && t >= 3000; i++) {
            errors[i][0] += (said[i][0] - x) * (said[i][0] - x) / 3000;
            errors[i][1] += (said[i][1] - y) * (said[i][1] - y) / 3000;
        }
        see(&rig, (const double[]){x, y});
        for (int i = 0; i < REGRESSORS_MOST; i++)
            memcpy(said[i], rig.mean[i], sizeof said[i]); /* one step ahead */
    }
    for (int i = 0; i < REGRESSORS_MOST; i++) {
        assert_true(errors[i][0] < 1.15);    /* 1 at best; the last value has 1.1, two steps back more */
        assert_true(errors[i][1] < .09 * 2); /* .09 at best */
    }
    rig_close(&rig);
}

/* One value for the same stream, whatever it had been before in the slot. */
static void a_cleared_slot_is_as_new(void **state) {
    (void)state;
    static struct rig used, new;
    rig_open(&used, 12);
    rig_open(&new, 12);
    for (int t = 0; t < 300; t++)
        see(&used, (const double[]){t % 17, t % 5 == 0 ? (double)NAN : t % 12});
    regressors_clear(used.regressors, 3);
    history_free(used.history);
    used.history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    memset(used.scalers, 0, sizeof used.scalers);
    for (int t = 0; t < 300; t++) {
        const double values[] = {t % 10 < 3 ? (double)NAN : t % 13, t % 12 + 1e-3 * t};
        see(&used, values);
        see(&new, values);
        assert_memory_equal(used.mean, new.mean, sizeof new.mean);
    }
    rig_close(&used);
    rig_close(&new);
}

static const double odd[][8] = {
    {5, 5, 5, 5, 5, 5, 5, 5},        {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN}, {NAN, 1, NAN, 2, NAN, NAN, NAN, 3},
    {1e30, 0, 0, -1e30, 0, 1, 1, 1}, {1e300, -1e300, 1, 0, 0, 0, 0, 0},        {5e-324, 0, 0, 1e-310, 0, 0, 0, 0},
    {0, 0, 0, 0, 0, 0, 0, 50},
};

/* Whatever comes, what is said is finite where something is known, and near what has been. */
static void odd_series(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof odd / sizeof *odd; s++)
        for (int period = 0; period <= 8; period += 8) {
            struct rig rig;
            rig_open(&rig, period);
            double least = INFINITY, most = -INFINITY;
            for (int t = 0; t < 400; t++) {
                double value = odd[s][t % 8];
                least = fmin(least, value);
                most = fmax(most, value);
                see(&rig, (const double[]){value, -1});
                for (int i = 0; i < regressors_count(rig.regressors); i++)
                    for (int at = 0; at < OUTPUTS; at += FEATURES) {
                        double said = rig.mean[i][at];
                        assert_true(isinf(said) == 0);
                        if (!isnan(said))
                            assert_true(said >= least - (most - least) && said <= most + (most - least));
                    }
            }
            rig_close(&rig);
        }
}

/* Histories too short for lags or a season, horizons beyond what is forecast. */
static void short_histories_and_long_horizons(void **state) {
    (void)state;
    const struct {
        int history, horizon, period;
    } cases[] = {{8, 6, 0},  {8, 6, 2},      {20, 6, 12}, {40, 6, 12},
                 {40, 6, 2}, {300, 200, 24}, {3, 1, 1},   {4096, 2, 2000}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rig rig;
        rig_open(&rig, 12);
        regressors_free(rig.regressors);
        history_free(rig.history);
        rig.fixture.class.history = cases[c].history;
        rig.fixture.model.horizon = cases[c].horizon;
        rig.fixture.model.period = cases[c].period;
        rig.history = history_new(FEATURES, cases[c].history, FIXTURE_PENDING);
        rig.regressors = regressors_new(&rig.fixture.class, &rig.fixture.model, kernels_choose());
        for (int i = 0; i < REGRESSORS_MOST; i++)
            rig.rows[i] = calloc((size_t)cases[c].horizon * FEATURES, sizeof(double));
        for (int t = 0; t < 500; t++)
            see(&rig, (const double[]){t % 7, t % 24});
        assert_true(isfinite(rig.rows[0][0]));
        if (cases[c].horizon > REGRESSORS_STEPS)
            assert_true(isnan(rig.rows[0][REGRESSORS_STEPS * FEATURES]));
        for (int i = 0; i < REGRESSORS_MOST; i++)
            free(rig.rows[i]);
        rig_close(&rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laws_are_found),
        cmocka_unit_test(a_cleared_slot_is_as_new),
        cmocka_unit_test(odd_series),
        cmocka_unit_test(short_histories_and_long_horizons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
