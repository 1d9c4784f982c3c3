#include "engine/retraining.h"

bool retraining_due(const struct retraining *state, const struct config_model *model) {
    if (state->busy)
        return false;
    if (state->asked)
        return true;
    if (!model->train)
        return false;
    uint64_t first_after = (uint64_t)model->training.first_after;
    if (!state->tried)
        return state->steps >= first_after;
    /* Not before first_after: a command may have come when there was nothing, and its double is nothing too. */
    if (!state->serves && state->steps >= first_after && state->steps >= 2 * state->tried_steps)
        return true;
    /* Unsigned: a wild tick time must not overflow the difference. */
    uint64_t since = state->now > state->tried_at ? (uint64_t)state->now - (uint64_t)state->tried_at : 0;
    return model->retrain_every > 0 && since >= (uint64_t)model->retrain_every;
}
