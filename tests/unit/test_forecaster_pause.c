/* A pause: forecasts go on, and nothing is learnt. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "tests/support/fixtures.h"
#include "tests/support/replay.h"

#include <math.h>
#include <string.h>

enum { FEATURES = 2, BEFORE = 100, PAUSED = 30, STEPS = 220 };

/* What is sent in the pause is a million times what it should be. */
static void append(struct history *history, uint64_t step) {
    bool paused = step > BEFORE && step <= BEFORE + PAUSED;
    double values[FEATURES];
    for (int f = 0; f < FEATURES; f++)
        values[f] = fixture_value(9, step, f) * (paused ? 1e6 : 1);
    history_pause(history, paused);
    history_append(history, fixture_time(9, step), values, 0);
}

struct rig {
    struct fixture fixture;
    struct history *history;
    struct forecaster *forecaster;
};

static void open_rig(struct rig *rig, int combine, enum config_experts experts) {
    fixture_init(&rig->fixture, FEATURES);
    rig->fixture.class.history = STEPS;
    rig->fixture.model.combine = combine;
    rig->fixture.model.experts = experts;
    rig->history = history_new(FEATURES, STEPS, FIXTURE_PENDING);
    rig->forecaster = forecaster_new(&rig->fixture.class, &rig->fixture.model, kernels_choose());
    take_over(rig->forecaster, fixture_version(&rig->fixture.model, 1, 1));
    forecaster_acquire(rig->forecaster, 0, rig->history);
}

static void close_rig(struct rig *rig) {
    forecaster_free(rig->forecaster);
    history_free(rig->history);
}

static void nothing_is_learnt(void **state) {
    (void)state;
    const struct {
        int combine;
        enum config_experts experts;
    } cases[] = {{COMBINE_ONLINE, EXPERTS_LIGHT},
                 {COMBINE_ONLY + EXPERT_NETWORK, EXPERTS_LIGHT},
                 {COMBINE_ONLINE, EXPERTS_FULL}};
    for (int c = 0; c < 3; c++) {
        struct rig rig;
        open_rig(&rig, cases[c].combine, cases[c].experts);
        struct scaler scalers[FEATURES];
        struct saved before, saved;
        float shares[EXPERT_COUNT];
        for (uint64_t step = 1; step <= STEPS; step++) {
            append(rig.history, step);
            advance_one(rig.forecaster, 0, &rig.fixture.model, &saved);
            const struct forecast *forecast = forecaster_latest(rig.forecaster, 0);
            bool paused = step > BEFORE && step <= BEFORE + PAUSED;
            assert_int_equal((forecast->step_flags & STEP_PAUSED) != 0, paused);
            if (step == BEFORE) {
                memcpy(scalers, forecaster_scalers(rig.forecaster, 0), sizeof scalers);
                before = saved;
            }
            for (int i = 0; step > BEFORE && i < forecast->n_scores; i++) {
                uint64_t h = (uint64_t)forecast->scores[i].h, first = BEFORE + PAUSED + h;
                uint64_t most = before.n[i] + (step > first ? step - first : 0);
                if (forecast->scores[i].n > most || (paused && forecast->scores[i].n < most))
                    fail_msg("step %d, %d ahead: %d answers", (int)step, (int)h, (int)forecast->scores[i].n);
                assert_true(forecast->scores[i].recent.mae < 10);
            }
            /* What was said in the pause is not answered behind it, nor do the experts learn from that. */
            if (step == BEFORE + PAUSED + 1)
                assert_memory_equal(shares, forecast->shares, sizeof shares);
            memcpy(shares, forecast->shares, sizeof shares);
            if (!paused)
                continue;
            assert_memory_equal(scalers, forecaster_scalers(rig.forecaster, 0), sizeof scalers);
            assert_memory_equal(before.scores, saved.scores, sizeof before.scores);
            assert_memory_equal(before.radii, saved.radii, sizeof before.radii);
            assert_true(isnan(forecast->anomaly));
            assert_true(isnan(forecast->values[0]) == isnan(fixture_value(9, step, 0)));
            assert_true(isfinite(forecast->mean[0]));
        }
        close_rig(&rig);
    }
}

/* A version that takes over in a pause, or behind it, is scaled as the one before. */
static void takeovers(void **state) {
    (void)state;
    for (uint64_t at = BEFORE - 10; at <= BEFORE + PAUSED + 10; at += 10) {
        struct rig rig;
        struct saved saved;
        open_rig(&rig, COMBINE_ONLINE, EXPERTS_LIGHT);
        for (uint64_t step = 1; step <= STEPS; step++) {
            append(rig.history, step);
            advance_one(rig.forecaster, 0, &rig.fixture.model, &saved);
            if (step == at) {
                struct version *version = fixture_version(&rig.fixture.model, 2, 2);
                assert_int_equal(forecaster_propose(rig.forecaster, version), 0);
                version_release(version);
            } else if (step > at && forecaster_taking_over(rig.forecaster)) {
                struct scaler before[FEATURES];
                memcpy(before, forecaster_scalers(rig.forecaster, 0), sizeof before);
                forecaster_prime(rig.forecaster);
                assert_memory_equal(before, forecaster_scalers(rig.forecaster, 0), sizeof before);
            }
        }
        assert_int_equal(forecaster_version(rig.forecaster), 2);
        assert_true(forecaster_scalers(rig.forecaster, 0)[0].variance < 1e3);
        close_rig(&rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_learnt),
        cmocka_unit_test(takeovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
