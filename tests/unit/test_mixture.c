#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/mixture.h"
#include "engine/random.h"

#include <math.h>
#include <string.h>

enum { K = 5, T = 2000 };

static const float alike[K] = {1, 1, 1, 1, 1};
static const bool all[K] = {true, true, true, true, true};

/* Forecasts mixed by the shares so far; a mean of all before the first answer. */
static float mix(const struct mixture_record *records, const bool *speaks, const float *said, float *shares) {
    float mixed = 0;
    if (!mixture_shares(records, K, speaks, alike, shares))
        for (int k = 0; k < K; k++)
            shares[k] = 1.0f / K;
    for (int k = 0; k < K; k++)
        if (shares[k] > 0)
            mixed += shares[k] * said[k];
    return mixed;
}

struct losses {
    double mixed, of[K];
};

/* The answers come `delay` rounds later. */
static struct losses play(uint64_t seed, int delay, float (*speak)(struct rng *rng, int k, int t, float answer)) {
    static float said[T][K], mixed[T], answers[T];
    struct mixture_record records[K] = {{0}};
    struct mixture_errors errors[K + 1] = {{0}};
    struct rng rng = {seed};
    struct losses losses = {0};
    for (int t = 0; t < T; t++) {
        float shares[K];
        answers[t] = (float)rng_normal(&rng);
        for (int k = 0; k < K; k++)
            said[t][k] = speak(&rng, k, t, answers[t]);
        mixed[t] = mix(records, all, said[t], shares);
        losses.mixed += (mixed[t] - answers[t]) * (mixed[t] - answers[t]);
        for (int k = 0; k < K; k++)
            losses.of[k] += (said[t][k] - answers[t]) * (said[t][k] - answers[t]);
        if (t >= delay)
            mixture_learn(errors, records, K, delay, ~0u, said[t - delay], mixed[t - delay], answers[t - delay]);
    }
    return losses;
}

static double least(const struct losses *losses) {
    double of = INFINITY;
    for (int k = 0; k < K; k++)
        of = fmin(of, losses->of[k]);
    return of;
}

/* Nobody knows anything: whoever happens to be best is best by luck. */
static float blind(struct rng *rng, int k, int t, float answer) {
    (void)k;
    (void)t;
    (void)answer;
    return (float)fmax(-1, fmin(1, rng_normal(rng)));
}

/* One is near the answer, the others are biased or noisy. */
static float one_knows(struct rng *rng, int k, int t, float answer) {
    (void)t;
    return k == 2 ? answer + .3f * (float)rng_normal(rng) : answer + (float)(k % 2 == 0 ? k + 1 : -k - 1);
}

/* First one knows, then another. */
static float they_change(struct rng *rng, int k, int t, float answer) {
    int best = t < T / 2 ? 1 : 3;
    return answer + (k == best ? .2f : 2.0f) * (float)rng_normal(rng);
}

/* The regret's bound, with the largest gradient that these can have; far above what is seen, as bounds are. */
static void the_regret_is_bounded(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        for (int delay = 1; delay <= 24; delay += 23) {
            struct losses losses = play(seed, delay, blind);
            double largest = 2 * 5 * 5, regret = losses.mixed - least(&losses);
            assert_true(regret <= 2 * largest * sqrt(T * log(K)));
            assert_true(regret <= .02 * least(&losses)); /* in fact: mixing the blind even helps */
        }
}

static void who_knows_is_found(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct losses losses = play(seed, 1, one_knows);
        assert_true(losses.mixed <= losses.of[2]); /* together the others know more */
        /* Late answers would let it go too far, from one that is wrong to another: at the rates of prompt ones 14 times. */
        losses = play(seed, 48, one_knows);
        assert_true(losses.mixed <= 1.1 * losses.of[2]);
    }
}

static void who_knows_may_change(void **state) {
    (void)state;
    struct losses losses = play(1, 1, they_change);
    assert_true(losses.mixed < .2 * least(&losses));
}

/* Who is silent has no share, and enters as one that did as the mixture did. */
static void the_silent_have_no_share(void **state) {
    (void)state;
    struct mixture_record records[K] = {{0}};
    struct mixture_errors errors[K + 1] = {{0}};
    float shares[K];
    assert_false(mixture_shares(records, K, all, alike, shares));
    for (int t = 0; t < 100; t++) {
        const float said[K] = {1, NAN, 0, 3, NAN};
        mixture_learn(errors, records, K, 1, ~0u, said, 1.5f, 0);
    }
    const bool some[K] = {true, false, true, true, true}, none[K] = {false};
    assert_true(mixture_shares(records, K, some, alike, shares));
    assert_true(shares[1] == 0 && shares[4] > 0 && shares[2] > shares[4] && shares[4] > shares[3]);
    assert_true(fabsf(shares[0] + shares[2] + shares[3] + shares[4] - 1) < 1e-6f);
    assert_false(mixture_shares(records, K, none, alike, shares));
}

/* Nothing is known of who is new, but for the size of regrets: a first answer that happens to be right does not count for all. */
static void who_is_new_begins_anew(void **state) {
    (void)state;
    struct mixture_record records[K] = {{0}};
    struct mixture_errors errors[K + 1] = {{0}};
    const float said[K] = {1, 2, 3, 0, 2};
    float shares[K];
    mixture_renew(records, K, 3);
    assert_true(records[3].squares == 0);
    for (int t = 0; t < 100; t++)
        mixture_learn(errors, records, K, 1, ~0u, said, 1, 0);
    assert_true(mixture_shares(records, K, all, alike, shares) && shares[3] > .9f);
    mixture_renew(records, K, 3);
    assert_true(records[3].regret == 0 && records[3].rate > 0 && records[3].range > 0);
    mixture_learn(errors, records, K, 1, ~0u, (const float[K]){1, 2, 3, 1 - 1e-6f, 2}, 1, 0);
    assert_true(mixture_shares(records, K, all, alike, shares) && shares[3] < .9f);
}

static void wild_errors_stay_finite(void **state) {
    (void)state;
    struct mixture_record records[K] = {{0}};
    struct mixture_errors errors[K + 1] = {{0}};
    float shares[K], sum = 0;
    for (int t = 0; t < 10000; t++) {
        const float said[K] = {1e30f, -1e30f, 0, 1e-30f, t % 100 == 0 ? 50 : 0};
        mixture_learn(errors, records, K, 1, ~0u, said, t % 7 == 0 ? 1e30f : .1f, t % 3 == 0 ? 1e30f : 0);
    }
    assert_true(mixture_shares(records, K, all, alike, shares));
    for (int k = 0; k < K; k++) {
        assert_true(shares[k] >= 0 && shares[k] <= 1);
        sum += shares[k];
    }
    assert_true(fabsf(sum - 1) < 1e-5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_regret_is_bounded),   cmocka_unit_test(who_knows_is_found),
        cmocka_unit_test(who_knows_may_change),    cmocka_unit_test(the_silent_have_no_share),
        cmocka_unit_test(wild_errors_stay_finite), cmocka_unit_test(who_is_new_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
