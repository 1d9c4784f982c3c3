#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/promotion.h"

#include "engine/random.h"

#include <math.h>
#include <string.h>

enum { STEPS = 60 };

/* Losses with exactly that mean: all of them share half of their noise, as they have the same answers. NaN: none. */
static struct loss_series series_of(double mean, double noise, int steps, uint64_t own) {
    struct loss_series series = {0};
    struct rng shared = {1}, rng = {own};
    double x[PROMOTION_LIVE_MOST], sum = 0;
    for (int i = 0; i < steps; i++)
        sum += x[i] = noise * (rng_normal(&shared) + rng_normal(&rng));
    for (int i = 0; i < steps && !isnan(mean); i++)
        loss_series_add(&series, (uint64_t)i, isinf(mean) ? mean : mean * (1 + x[i] - sum / steps), 1);
    return series;
}

static struct promotion_losses losses_of(const double means[4], double noise, int steps) {
    struct promotion_losses losses;
    losses.over_time.challenger = series_of(means[0], noise, steps, 2);
    losses.over_time.champion = series_of(means[1], noise, steps, 3);
    losses.over_time.last_value = series_of(means[2], noise, steps, 4);
    losses.over_time.seasonal = series_of(means[3], noise, steps, 5);
    losses.challenger = means[0];
    losses.champion = loss_series_mean(&losses.over_time.champion);
    losses.last_value = loss_series_mean(&losses.over_time.last_value);
    losses.seasonal = loss_series_mean(&losses.over_time.seasonal);
    return losses;
}

static void the_decision(void **state) {
    (void)state;
    const struct {
        double means[4]; /* challenger, champion, last value, seasonal */
        double margin, noise;
        int steps;
        bool any; /* it need not beat the baseline */
        enum promotion expected;
    } examples[] = {
        {{0.5, 1, 1, 1}, 0, 0, STEPS, false, PROMOTION_PROMOTE},
        {{0.5, NAN, 1, NAN}, 0, 0, STEPS, false, PROMOTION_PROMOTE},
        {{1, NAN, 1, NAN}, 0, 0, STEPS, false, PROMOTION_BASELINE}, /* as good is not better */
        {{0.95, NAN, 1, NAN}, 0.1, 0, STEPS, false, PROMOTION_BASELINE},
        {{0.89, NAN, 1, NAN}, 0.1, 0, STEPS, false, PROMOTION_PROMOTE},
        {{0.9, NAN, 1, 0.8}, 0, 0, STEPS, false, PROMOTION_BASELINE}, /* the better of the baselines counts */
        {{0.9, NAN, 0.8, 1}, 0, 0, STEPS, false, PROMOTION_BASELINE},
        {{0.7, 0.7, 1, 0.8}, 0, 0, STEPS, false, PROMOTION_CHAMPION},
        {{0.65, 0.7, 1, 0.8}, 0.1, 0, STEPS, false, PROMOTION_CHAMPION},
        {{0.6, 0.7, 1, 0.8}, 0.1, 0, STEPS, false, PROMOTION_PROMOTE},
        {{0.6, INFINITY, 1, NAN}, 0, 0, STEPS, false, PROMOTION_PROMOTE},
        {{0, NAN, 0, NAN}, 0, 0, STEPS, false, PROMOTION_BASELINE}, /* nothing beats a constant's last value */
        {{NAN, NAN, NAN, NAN}, 0, 0, STEPS, false, PROMOTION_NO_WINDOWS},
        {{0.5, 1, NAN, NAN}, 0, 0, STEPS, false, PROMOTION_NO_WINDOWS},
        {{NAN, 1, 1, 1}, 0, 0, STEPS, false, PROMOTION_NOT_FINITE},
        {{INFINITY, 1, 1, 1}, 0, 0, STEPS, false, PROMOTION_NOT_FINITE},
        {{INFINITY, INFINITY, INFINITY, NAN}, 0, 0, STEPS, false, PROMOTION_NOT_FINITE},
        /* What may be chance. */
        {{0.97, NAN, 1, NAN}, 0.01, 0.3, STEPS, false, PROMOTION_CHANCE},
        {{0.5, NAN, 1, NAN}, 0.01, 0.3, STEPS, false, PROMOTION_PROMOTE},
        {{0.95, 1, 2, NAN}, 0.01, 0.3, STEPS, false, PROMOTION_CHANCE},
        {{0.5, 1, 2, NAN}, 0.01, 0.3, STEPS, false, PROMOTION_PROMOTE},
        {{0.5, NAN, 1, NAN}, 0.01, 0, 7, false, PROMOTION_CHANCE}, /* too few to tell */
        {{0.5, 1, 2, NAN}, 0.01, 0, 7, false, PROMOTION_CHANCE},
        /* Better than a champion that is worse than the baseline is not enough: the baseline serves. */
        {{2, 3, 1, NAN}, 0, 0, STEPS, false, PROMOTION_DEMOTE},
        {{3, 2, 1, NAN}, 0, 0, STEPS, false, PROMOTION_DEMOTE},
        {{3, INFINITY, 1, NAN}, 0, 0, STEPS, false, PROMOTION_DEMOTE},
        {{2, 1, 1, NAN}, 0.01, 0, STEPS, false, PROMOTION_BASELINE},
        {{2, 1.04, 1, NAN},
         0.01,
         0.3,
         STEPS,
         false,
         PROMOTION_BASELINE}, /* that the champion is worse may be chance */
        {{NAN, 3, 1, NAN}, 0, 0, STEPS, false, PROMOTION_NOT_FINITE},
        /* With a mixture beside it. */
        {{2, NAN, 1, NAN}, 0, 0, STEPS, true, PROMOTION_PROMOTE},
        {{2, NAN, 1, NAN}, 0, 0.3, 3, true, PROMOTION_PROMOTE},
        {{2, 3, 1, NAN}, 0, 0, STEPS, true, PROMOTION_PROMOTE},
        {{3, 2, 1, NAN}, 0, 0, STEPS, true, PROMOTION_CHAMPION},
        {{1.95, 2, 1, NAN}, 0.01, 0.3, STEPS, true, PROMOTION_CHANCE},
        {{NAN, NAN, 1, NAN}, 0, 0, STEPS, true, PROMOTION_NOT_FINITE},
        {{0.5, NAN, NAN, NAN}, 0, 0, STEPS, true, PROMOTION_NO_WINDOWS},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const struct promotion_losses losses = losses_of(examples[i].means, examples[i].noise, examples[i].steps);
        const struct promotion_rules rules = {
            .horizon = 3, .margin = examples[i].margin, .beat_baseline = !examples[i].any};
        enum promotion decision = promotion_decide(&losses, &rules).decision;
        if (decision != examples[i].expected)
            fail_msg("example %d: %s", (int)i, promotion_name(decision));
    }
}

static void numbers_go_with_it(void **state) {
    (void)state;
    const struct promotion_losses losses = losses_of((const double[]){0.6, 0.8, 1, NAN}, 0.1, STEPS);
    const struct promotion_verdict verdict =
        promotion_decide(&losses, &(struct promotion_rules){.horizon = 3, .beat_baseline = true});
    assert_int_equal(verdict.against_baseline.n, STEPS);
    assert_int_equal(verdict.against_champion.n, STEPS);
    assert_true(fabs(verdict.against_baseline.gain - 0.4) < 0.05);
    assert_true(fabs(verdict.against_champion.gain - 0.25) < 0.05);
    assert_true(verdict.against_champion.p < 0.05);
}

static void in_the_shadow(void **state) {
    (void)state;
    const struct {
        double challenger, champion, noise;
        int steps;
        enum promotion expected, back; /* the other way round: the champion in the place of the challenger */
    } examples[] = {
        {0.5, 1, 0.1, PROMOTION_LIVE_LEAST - 4, PROMOTION_WAIT, PROMOTION_WAIT},
        {0.5, 1, 0.1, PROMOTION_LIVE_LEAST, PROMOTION_PROMOTE, PROMOTION_ROLL_BACK},
        {0.97, 1, 0.5, PROMOTION_LIVE_LEAST, PROMOTION_WAIT, PROMOTION_WAIT},
        {0.97, 1, 0.5, PROMOTION_LIVE_MOST, PROMOTION_CHANCE, PROMOTION_KEEP},
        {0.995, 1, 0, PROMOTION_LIVE_LEAST, PROMOTION_WAIT, PROMOTION_WAIT}, /* within the margin */
        {0.995, 1, 0, PROMOTION_LIVE_MOST, PROMOTION_CHAMPION, PROMOTION_KEEP},
        {1.5, 1, 0.1, PROMOTION_LIVE_LEAST, PROMOTION_CHAMPION, PROMOTION_WAIT},
        {1.5, 1, 0.1, PROMOTION_LIVE_MOST, PROMOTION_CHAMPION, PROMOTION_KEEP},
        {NAN, NAN, 0, 0, PROMOTION_WAIT, PROMOTION_WAIT}, /* no answer yet */
    };
    const struct promotion_rules rules = {.horizon = 12, .margin = 0.01};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const struct loss_series challenger =
            series_of(examples[i].challenger, examples[i].noise, examples[i].steps, 2);
        const struct loss_series champion = series_of(examples[i].champion, examples[i].noise, examples[i].steps, 3);
        enum promotion decision = promotion_decide_shadow(&challenger, &champion, &rules).decision;
        enum promotion back = promotion_decide_back(&champion, &challenger, &rules).decision;
        if (decision != examples[i].expected || back != examples[i].back)
            fail_msg("example %d: %s, back %s", (int)i, promotion_name(decision), promotion_name(back));
    }
}

/* Of two that are alike, looked at again and again, one is seldom taken to be better; also where answers overlap. */
static void alike_and_looked_at_often(void **state) {
    (void)state;
    enum { TRIALS = 300 };
    struct rng rng = {3};
    for (int horizon = 1; horizon <= 24; horizon += 23) {
        const struct promotion_rules rules = {.horizon = horizon, .margin = 0.01};
        int promoted = 0;
        for (int trial = 0; trial < TRIALS; trial++) {
            struct loss_series one = {0}, other = {0};
            double errors[2][24] = {{0}};
            enum promotion decision = PROMOTION_WAIT;
            for (uint64_t step = 0; decision == PROMOTION_WAIT; step++) {
                double losses[2] = {0};
                for (int who = 0; who < 2; who++) {
                    errors[who][step % (uint64_t)horizon] = fabs(rng_normal(&rng));
                    for (int k = 0; k < horizon; k++)
                        losses[who] += errors[who][k] / horizon;
                }
                loss_series_add(&one, step, losses[0], 1);
                loss_series_add(&other, step, losses[1], 1);
                if (step % 5 == 4)
                    decision = promotion_decide_shadow(&one, &other, &rules).decision;
            }
            promoted += decision == PROMOTION_PROMOTE;
        }
        if (promoted > TRIALS * (horizon == 1 ? 0.05 : 0.12))
            fail_msg("horizon %d: %d of %d", horizon, promoted, TRIALS);
    }
}

static void the_best_baseline(void **state) {
    (void)state;
    assert_true(promotion_baseline(&(struct promotion_losses){.last_value = 2, .seasonal = 1}) == 1);
    assert_true(promotion_baseline(&(struct promotion_losses){.last_value = 2, .seasonal = 3}) == 2);
    assert_true(promotion_baseline(&(struct promotion_losses){.last_value = 2, .seasonal = NAN}) == 2);
    assert_true(isnan(promotion_baseline(&(struct promotion_losses){.last_value = NAN, .seasonal = NAN})));
}

static void each_has_words(void **state) {
    (void)state;
    const char *const names[] = {"promoted", "no_windows", "not_finite", "baseline", "champion",
                                 "chance",   "demoted",    "waiting",    "kept",     "rolled_back"};
    for (int i = 0; i < 10; i++) {
        assert_string_equal(promotion_name((enum promotion)i), names[i]);
        assert_true(strlen(promotion_sentence((enum promotion)i)) > 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_decision),      cmocka_unit_test(numbers_go_with_it),
        cmocka_unit_test(in_the_shadow),     cmocka_unit_test(alike_and_looked_at_often),
        cmocka_unit_test(the_best_baseline), cmocka_unit_test(each_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
