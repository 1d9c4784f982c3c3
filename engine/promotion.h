/* Who serves: a pure function of losses on the newest, unseen part of the windows. */
#ifndef ENGINE_PROMOTION_H
#define ENGINE_PROMOTION_H

enum promotion {
    PROMOTION_PROMOTE,
    PROMOTION_NO_WINDOWS, /* too few steps to train or to judge by */
    PROMOTION_NOT_FINITE, /* the challenger's loss is not a number */
    PROMOTION_BASELINE,   /* not better than the best baseline */
    PROMOTION_CHAMPION,   /* not better than the champion */
};

/* Mean losses over the same forecasts; NaN: there is none. */
struct promotion_losses {
    double challenger, champion, last_value, seasonal;
};

/* The best of the baselines' losses. */
double promotion_baseline(const struct promotion_losses *losses);

/* Promotes when the challenger's loss is below (1 - margin) times that of the champion and of each baseline. */
enum promotion promotion_decide(const struct promotion_losses *losses, double margin);

/* "promoted", "no_windows", "not_finite", "baseline", "champion". */
const char *promotion_name(enum promotion promotion);
/* One sentence for a person. */
const char *promotion_sentence(enum promotion promotion);

#endif
