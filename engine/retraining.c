#include "engine/retraining.h"

bool retraining_due(const struct retraining *state, const struct config_model *model) {
	if (state->busy)
		return false;
	if (state->asked)
		return true;
	if (!model->train)
		return false;
	if (!state->tried)
		return state->steps >= (uint64_t)model->training.first_after;
	if (!state->serves && state->steps >= 2 * state->tried_steps)
		return true;
	/* Unsigned: a wild tick time must not overflow the difference. */
	uint64_t since = state->now > state->tried_at ? (uint64_t)state->now - (uint64_t)state->tried_at : 0;
	return model->retrain_every > 0 && since >= (uint64_t)model->retrain_every;
}
