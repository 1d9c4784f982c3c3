/* Who serves: pure functions of losses on steps that nobody has been trained on. */
#ifndef ENGINE_PROMOTION_H
#define ENGINE_PROMOTION_H

#include "engine/comparison.h"

#include <stdbool.h>

struct config_model;

/* Of who is compared, over the same forecasts. */
struct promotion_series {
    struct loss_series challenger, champion, last_value, seasonal;
};

struct promotion_losses {
    double challenger, champion, last_value, seasonal; /* means; NaN: there is none */
    struct promotion_series over_time;
};

/* Who decides on a challenger that has passed: it serves at once; what it does live; a person. */
enum promotion_policy { PROMOTE_AUTO, PROMOTE_SHADOW, PROMOTE_MANUAL };

struct promotion_rules {
    int horizon;        /* of the forecasts */
    double margin;      /* the least gain, as a share */
    bool beat_baseline; /* who serves must; else a mixture weighs it beside the baselines */
};

/* A model's rules: a network that is mixed with the experts beside it need not beat them. */
struct promotion_rules promotion_rules_of(const struct config_model *model);

enum promotion {
    PROMOTION_PROMOTE,
    PROMOTION_NO_WINDOWS, /* too few steps to train or to judge by */
    PROMOTION_NOT_FINITE, /* the challenger's loss is not a number */
    PROMOTION_BASELINE,   /* not better than the best baseline by the margin */
    PROMOTION_CHAMPION,   /* not better than the champion by the margin */
    PROMOTION_CHANCE,     /* better, but by what may be chance, or seen in too few answers */
    PROMOTION_DEMOTE,     /* neither it nor the champion is better than the best baseline, which is to serve */
    PROMOTION_WAIT,       /* live: more answers are needed */
    PROMOTION_KEEP,       /* live: the champion is no worse than what it has replaced */
    PROMOTION_ROLL_BACK,  /* live: the champion is worse than what it has replaced */
};

struct promotion_verdict {
    enum promotion decision;
    struct comparison against_champion, against_baseline; /* of the challenger; n is 0 where there is none */
};

/* The best of the baselines' losses. */
double promotion_baseline(const struct promotion_losses *losses);

/* After a training. Promotes a challenger whose loss is below (1 - margin) times that of the champion and, where the
 * rules say so, of each baseline, if the gain on the champion (without one, on the baseline) is not likely to be
 * chance. Without champion and without having to beat a baseline a finite loss is enough. */
struct promotion_verdict promotion_decide(const struct promotion_losses *losses, const struct promotion_rules *rules);

/*
 * Live, on the answers of streams as they come. Looked at again and again, so a gain has to be less likely to be
 * chance than after a training (p < 0.002), and is not looked for before LEAST steps; after MOST steps the matter is
 * closed.
 */
enum { PROMOTION_LIVE_LEAST = 100, PROMOTION_LIVE_MOST = 1000 };

/* A challenger in the champion's shadow (the baseline's, where none serves): promoted when it is better by the
 * margin; rejected when it is worse, or at the end; else waited for. */
struct promotion_verdict promotion_decide_shadow(const struct loss_series *challenger,
                                                 const struct loss_series *champion,
                                                 const struct promotion_rules *rules);

/* A champion, and what it has replaced in its shadow: rolled back when it is worse by the margin; kept at the end;
 * else waited for. */
struct promotion_verdict promotion_decide_back(const struct loss_series *champion, const struct loss_series *before,
                                               const struct promotion_rules *rules);

/* "promoted", "no_windows", "not_finite", "baseline", "champion", "chance", "demoted", "waiting", "kept",
 * "rolled_back". */
const char *promotion_name(enum promotion promotion);
/* One sentence for a person. */
const char *promotion_sentence(enum promotion promotion);

#endif
