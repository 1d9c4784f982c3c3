#include "engine/contest.h"

#include <assert.h>

static bool has_network(const struct version *version) {
    return version != NULL && version_network(version) != NULL;
}

/* Labels come too late, and too rarely, for live losses to decide soon. */
static bool has_shadows(const struct config_model *model) {
    return model->head == HEAD_FORECAST;
}

enum contest_kind contest_of_challenger(const struct config_model *model, const struct version *champion) {
    if (model->promote == PROMOTE_MANUAL)
        return CONTEST_HELD;
    /* A network that a mixture weighs need not beat the baseline. */
    bool compared = has_network(champion) || promotion_rules_of(model).beat_baseline;
    return model->promote == PROMOTE_SHADOW && compared && has_shadows(model) ? CONTEST_SHADOW : CONTEST_NONE;
}

enum contest_kind contest_of_replaced(const struct config_model *model, const struct version *before) {
    bool compared = before != NULL && (has_network(before) || promotion_rules_of(model).beat_baseline);
    return compared && has_shadows(model) ? CONTEST_PROBATION : CONTEST_NONE;
}

struct promotion_verdict contest_judge(enum contest_kind kind, const struct config_model *model,
                                       const struct shadow_losses *losses, uint64_t steps) {
    assert(kind == CONTEST_SHADOW || kind == CONTEST_PROBATION);
    const struct promotion_rules rules = promotion_rules_of(model);
    struct promotion_verdict verdict = kind == CONTEST_PROBATION
                                           ? promotion_decide_back(&losses->serving, &losses->shadow, &rules)
                                           : promotion_decide_shadow(&losses->shadow, &losses->serving, &rules);
    uint64_t most = 4 * PROMOTION_LIVE_MOST + (uint64_t)model->horizon;
    if (verdict.decision == PROMOTION_WAIT && steps > most)
        verdict.decision = kind == CONTEST_PROBATION ? PROMOTION_KEEP : PROMOTION_CHANCE;
    return verdict;
}
