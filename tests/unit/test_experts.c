#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

/* The experts of a forecaster, and what is published of them. */
#include "engine/baseline.h"
#include "engine/forecaster.h"
#include "tests/support/fixtures.h"
#include "tests/support/replay.h"

#include <math.h>
#include <string.h>

enum { FEATURES = 3, STEPS = 400 };

struct rig {
    struct fixture fixture;
    struct history *history;
    struct forecaster *forecaster;
};

static void rig_open_with(struct rig *rig, enum config_experts experts, int combine, bool network) {
    fixture_init(&rig->fixture, FEATURES);
    rig->fixture.model.combine = combine;
    rig->fixture.model.experts = experts;
    rig->history = history_new(FEATURES, 48, FIXTURE_PENDING);
    rig->forecaster = forecaster_new(&rig->fixture.class, &rig->fixture.model, kernels_choose());
    forecaster_acquire(rig->forecaster, 1, rig->history);
    if (network)
        take_over(rig->forecaster, fixture_version(&rig->fixture.model, 3, 1));
}

static void rig_open(struct rig *rig, int combine, bool network) {
    rig_open_with(rig, EXPERTS_FULL, combine, network);
}

static void rig_close(struct rig *rig) {
    forecaster_free(rig->forecaster);
    history_free(rig->history);
}

static const struct forecast *step(struct rig *rig) {
    fixture_append(rig->history, 5, 1);
    forecaster_advance(rig->forecaster, &(int){1}, 1);
    return forecaster_latest(rig->forecaster, 1);
}

static int outputs(const struct rig *rig) {
    return rig->fixture.model.horizon * rig->fixture.model.n_targets;
}

static void names(void **state) {
    (void)state;
    static const char *const expected[] = {"last_value", "seasonal", "drift",  "smoothing",
                                           "ridge",      "readout",  "network"};
    for (int k = 0; k < EXPERT_COUNT; k++)
        assert_string_equal(expert_name((enum expert)k), expected[k]);
}

/* What `combine` names is what goes out where it says something, and else the baseline. */
static void one_expert_may_be_chosen(void **state) {
    (void)state;
    for (int k = 0; k < EXPERT_COUNT; k++) {
        struct rig rig;
        rig_open(&rig, COMBINE_ONLY + k, true);
        int said = 0;
        for (int i = 0; i < STEPS; i++) {
            const struct forecast *forecast = step(&rig);
            const double *of = forecaster_expert(rig.forecaster, (enum expert)k);
            for (int at = 0; at < outputs(&rig); at++) {
                double baseline = forecaster_expert(rig.forecaster, EXPERT_SEASONAL)[at];
                if (isnan(baseline))
                    baseline = forecaster_expert(rig.forecaster, EXPERT_LAST_VALUE)[at];
                double expected = isnan(of[at]) ? baseline : of[at];
                assert_true(forecast->mean[at] == expected || (isnan(expected) && isnan(forecast->mean[at])));
                said += !isnan(of[at]);
            }
            assert_true(forecast->from_network == (k == EXPERT_NETWORK));
        }
        bool silent = k == EXPERT_READOUT;
        assert_true(silent || said > 300 * outputs(&rig));
        rig_close(&rig);
    }
}

/* A network without experts publishes what it does among them, and so does the baseline until there is one. */
static void a_network_alone_says_the_same(void **state) {
    (void)state;
    struct rig beside, alone;
    rig_open(&beside, COMBINE_ONLY + EXPERT_NETWORK, false);
    fixture_init(&alone.fixture, FEATURES);
    alone.fixture.model.combine = COMBINE_ONLY + EXPERT_NETWORK;
    alone.fixture.model.experts = EXPERTS_NONE;
    alone.forecaster = forecaster_new(&alone.fixture.class, &alone.fixture.model, kernels_choose());
    forecaster_acquire(alone.forecaster, 1, beside.history);
    assert_null(forecaster_expert(alone.forecaster, EXPERT_RIDGE));
    for (int i = 0; i < STEPS; i++) {
        if (i == STEPS / 2) {
            take_over(beside.forecaster, fixture_version(&beside.fixture.model, 3, 1));
            take_over(alone.forecaster, fixture_version(&alone.fixture.model, 3, 1));
        }
        const struct forecast *expected = step(&beside);
        forecaster_advance(alone.forecaster, &(int){1}, 1);
        const struct forecast *forecast = forecaster_latest(alone.forecaster, 1);
        for (int at = 0; at < outputs(&beside); at++)
            assert_true(forecast->mean[at] == expected->mean[at] ||
                        (isnan(forecast->mean[at]) && isnan(expected->mean[at])));
        assert_true(forecast->from_network == expected->from_network);
        if (i > 10 && i != STEPS / 2)
            assert_true(forecast->shares[EXPERT_NETWORK] == expected->shares[EXPERT_NETWORK]);
    }
    forecaster_free(alone.forecaster);
    rig_close(&beside);
}

/* A mixture lies within its experts' forecasts, and its shares are of those that speak. */
static void a_mixture_lies_between(void **state) {
    (void)state;
    struct rig rig;
    rig_open_with(&rig, EXPERTS_LIGHT, COMBINE_ONLINE, true); /* without further regressions */
    for (int i = 0; i < STEPS; i++) {
        const struct forecast *forecast = step(&rig);
        float sum = 0;
        for (int at = 0; at < outputs(&rig); at++) {
            double least = INFINITY, most = -INFINITY;
            for (int k = 0; k < EXPERT_COUNT; k++) {
                least = fmin(least, forecaster_expert(rig.forecaster, (enum expert)k)[at]);
                most = fmax(most, forecaster_expert(rig.forecaster, (enum expert)k)[at]);
            }
            double slack = 1e-9 * (fabs(least) + fabs(most));
            if (!isnan(forecast->mean[at]))
                assert_true(forecast->mean[at] >= least - slack && forecast->mean[at] <= most + slack);
        }
        for (int k = 0; k < EXPERT_COUNT; k++)
            sum += forecast->shares[k];
        if (!isnan(forecast->mean[0]))
            assert_true(fabsf(sum - 1) < 1e-5f);
        assert_true(forecast->from_network == (forecast->shares[EXPERT_NETWORK] > 0));
    }
    rig_close(&rig);
}

/* Until an answer has come the baseline is published: at h steps ahead, for h steps. */
static void nothing_is_learnt_before_its_answer(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, COMBINE_ONLINE, true);
    rig.fixture.model.period = 0;
    for (int i = 1; i <= 3; i++) {
        const struct forecast *forecast = step(&rig);
        const double *last = forecaster_expert(rig.forecaster, EXPERT_LAST_VALUE);
        assert_true(forecast->mean[4] == last[4] || isnan(last[4])); /* 3 steps ahead; the answer comes at step 4 */
    }
    rig_close(&rig);
}

/* A version has no part in the mixture until enough of its forecasts have been answered, and little if it is bad. */
static void a_new_network_has_to_earn_its_share(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, COMBINE_ONLINE, false);
    for (int i = 0; i < 200; i++)
        assert_true(step(&rig)->shares[EXPERT_NETWORK] == 0);
    for (uint64_t version = 1; version <= 3; version++) {
        take_over(rig.forecaster, fixture_version(&rig.fixture.model, version, version));
        float later = 0, most = 0;
        for (int i = 0; i < 200; i++) {
            later = step(&rig)->shares[EXPERT_NETWORK];
            assert_true(i >= 40 || later == 0);
            most = fmaxf(most, later);
        }
        assert_true(most > 0 && later < .05f); /* random weights */
    }
    rig_close(&rig);
}

/* What is missing does not stand still: where nothing comes the mixture stays as it was. */
static void a_gap_is_no_standstill(void **state) {
    (void)state;
    struct rig rig;
    const double missing[FEATURES] = {NAN, NAN, NAN};
    float before[EXPERT_COUNT] = {0};
    rig_open(&rig, COMBINE_ONLINE, false);
    rig.fixture.model.period = 0;
    for (int i = 0; i < 200; i++)
        step(&rig);
    for (int i = 0; i < 12; i++) {
        history_append(rig.history, INT64_C(1700000000000000000) + (int64_t)rig.history->n * 1000000000 + 1000000000,
                       missing, 0);
        forecaster_advance(rig.forecaster, &(int){1}, 1);
        const float *shares = forecaster_latest(rig.forecaster, 1)->shares;
        if (i == 0)
            memcpy(before, shares, sizeof before);
        assert_memory_equal(shares, before, sizeof before);
    }
    assert_true(before[EXPERT_RIDGE] > 0);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(one_expert_may_be_chosen),
        cmocka_unit_test(a_network_alone_says_the_same),
        cmocka_unit_test(a_mixture_lies_between),
        cmocka_unit_test(nothing_is_learnt_before_its_answer),
        cmocka_unit_test(a_gap_is_no_standstill),
        cmocka_unit_test(a_new_network_has_to_earn_its_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
