#include "engine/promotion.h"

#include "engine/config.h"

#include <assert.h>
#include <math.h>

/* How unlikely to be chance a gain must be: the usual level after a training; live, where it is looked at many times,
 * so little that of two that are alike one is seldom (2 %, over long horizons 10 %) ever taken to be better. */
static const double level = 0.05, live_level = 0.002;

static bool is_better(const struct comparison *comparison, double margin) {
    return comparison->gain > margin; /* not where it is NaN */
}

static bool is_significant(const struct comparison *comparison, double at) {
    return comparison->p < at; /* nor here */
}

double promotion_baseline(const struct promotion_losses *losses) {
    return fmin(losses->last_value, losses->seasonal); /* fmin passes over a NaN */
}

/* Whether the baseline is to serve in the place of the champion. */
static bool is_worse(const struct loss_series *champion, const struct loss_series *baseline,
                     const struct promotion_rules *rules) {
    const struct comparison comparison = comparison_of(baseline, champion, rules->horizon);
    return is_better(&comparison, rules->margin) && is_significant(&comparison, level);
}

static enum promotion decide(const struct promotion_losses *losses, const struct promotion_rules *rules,
                             struct promotion_verdict *verdict) {
    const struct promotion_series *series = &losses->over_time;
    const struct loss_series *baseline =
        losses->seasonal < losses->last_value ? &series->seasonal : &series->last_value;
    if (isnan(promotion_baseline(losses)))
        return PROMOTION_NO_WINDOWS;
    if (!isfinite(losses->challenger))
        return PROMOTION_NOT_FINITE;
    verdict->against_baseline = comparison_of(&series->challenger, baseline, rules->horizon);
    verdict->against_champion = comparison_of(&series->challenger, &series->champion, rules->horizon);
    bool has_champion = loss_series_weight(&series->champion) > 0;
    if (rules->beat_baseline && !is_better(&verdict->against_baseline, rules->margin))
        return has_champion && is_worse(&series->champion, baseline, rules) ? PROMOTION_DEMOTE : PROMOTION_BASELINE;
    if (has_champion && !is_better(&verdict->against_champion, rules->margin))
        return PROMOTION_CHAMPION;
    if (has_champion ? !is_significant(&verdict->against_champion, level)
                     : rules->beat_baseline && !is_significant(&verdict->against_baseline, level))
        return PROMOTION_CHANCE;
    return PROMOTION_PROMOTE;
}

struct promotion_rules promotion_rules_of(const struct config_model *model) {
    return (struct promotion_rules){.horizon = model->horizon,
                                    .margin = model->training.margin,
                                    /* An event has no mixture beside it. */
                                    .beat_baseline = model->combine != COMBINE_ONLINE || model->head == HEAD_EVENT};
}

struct promotion_verdict promotion_decide(const struct promotion_losses *losses,
                                          const struct promotion_rules *rules) {
    struct promotion_verdict verdict = {0};
    verdict.decision = decide(losses, rules, &verdict);
    return verdict;
}

struct promotion_verdict promotion_decide_shadow(const struct loss_series *challenger,
                                                 const struct loss_series *champion,
                                                 const struct promotion_rules *rules) {
    const struct comparison better = comparison_of(challenger, champion, rules->horizon);
    const struct comparison worse = comparison_of(champion, challenger, rules->horizon);
    struct promotion_verdict verdict = {.decision = PROMOTION_WAIT, .against_champion = better};
    uint64_t steps = loss_series_steps(challenger);
    if (steps < PROMOTION_LIVE_LEAST)
        return verdict;
    if (is_better(&better, rules->margin) && is_significant(&better, live_level))
        verdict.decision = PROMOTION_PROMOTE;
    else if (is_better(&worse, rules->margin) && is_significant(&worse, live_level))
        verdict.decision = PROMOTION_CHAMPION;
    else if (steps >= PROMOTION_LIVE_MOST)
        verdict.decision = is_better(&better, rules->margin) ? PROMOTION_CHANCE : PROMOTION_CHAMPION;
    return verdict;
}

struct promotion_verdict promotion_decide_back(const struct loss_series *champion, const struct loss_series *before,
                                               const struct promotion_rules *rules) {
    const struct comparison back = comparison_of(before, champion, rules->horizon);
    struct promotion_verdict verdict = {.decision = PROMOTION_WAIT, .against_champion = back};
    uint64_t steps = loss_series_steps(champion);
    if (steps < PROMOTION_LIVE_LEAST)
        return verdict;
    if (is_better(&back, rules->margin) && is_significant(&back, live_level))
        verdict.decision = PROMOTION_ROLL_BACK;
    else if (steps >= PROMOTION_LIVE_MOST)
        verdict.decision = PROMOTION_KEEP;
    return verdict;
}

static const struct {
    const char *name, *sentence;
} names[] = {
    [PROMOTION_PROMOTE] = {"promoted", "it is better than what served on steps it has not seen"},
    [PROMOTION_NO_WINDOWS] = {"no_windows", "the streams have too few steps to train on and judge by"},
    [PROMOTION_NOT_FINITE] = {"not_finite", "the challenger's loss is not finite"},
    [PROMOTION_BASELINE] = {"baseline", "the challenger does not beat the baseline on steps it has not seen"},
    [PROMOTION_CHAMPION] = {"champion", "the challenger does not beat the champion on steps it has not seen"},
    [PROMOTION_CHANCE] = {"chance",
                          "the challenger is better, but that may be chance, or was seen in too few answers"},
    [PROMOTION_DEMOTE] = {"demoted", "neither the challenger nor the champion beats the baseline"},
    [PROMOTION_WAIT] = {"waiting", "more answers are needed"},
    [PROMOTION_KEEP] = {"kept", "live, the champion is no worse than what it has replaced"},
    [PROMOTION_ROLL_BACK] = {"rolled_back", "live, the champion is worse than what it has replaced"},
};

const char *promotion_name(enum promotion promotion) {
    assert(promotion <= PROMOTION_ROLL_BACK);
    return names[promotion].name;
}

const char *promotion_sentence(enum promotion promotion) {
    assert(promotion <= PROMOTION_ROLL_BACK);
    return names[promotion].sentence;
}
