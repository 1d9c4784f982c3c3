#include "engine/promotion.h"

#include <assert.h>
#include <math.h>

double promotion_baseline(const struct promotion_losses *losses) {
    return fmin(losses->last_value, losses->seasonal); /* fmin passes over a NaN */
}

enum promotion promotion_decide(const struct promotion_losses *losses, double margin) {
    double baseline = promotion_baseline(losses);
    if (isnan(baseline))
        return PROMOTION_NO_WINDOWS;
    if (!isfinite(losses->challenger))
        return PROMOTION_NOT_FINITE;
    if (!(losses->challenger < (1 - margin) * baseline))
        return PROMOTION_BASELINE;
    if (!isnan(losses->champion) && !(losses->challenger < (1 - margin) * losses->champion))
        return PROMOTION_CHAMPION;
    return PROMOTION_PROMOTE;
}

static const struct {
    const char *name, *sentence;
} names[] = {
    [PROMOTION_PROMOTE] = {"promoted", "it is better than the baselines and the champion on steps it has not seen"},
    [PROMOTION_NO_WINDOWS] = {"no_windows", "the streams have too few steps to train on and judge by"},
    [PROMOTION_NOT_FINITE] = {"not_finite", "its loss is not finite"},
    [PROMOTION_BASELINE] = {"baseline", "it does not beat the baseline on steps it has not seen"},
    [PROMOTION_CHAMPION] = {"champion", "it does not beat the champion on steps it has not seen"},
};

const char *promotion_name(enum promotion promotion) {
    assert(promotion <= PROMOTION_CHAMPION);
    return names[promotion].name;
}

const char *promotion_sentence(enum promotion promotion) {
    assert(promotion <= PROMOTION_CHAMPION);
    return names[promotion].sentence;
}
