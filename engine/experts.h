/*
 * What a batch keeps of experts (expert.h): what each has learnt for each slot and target, their latest forecasts at
 * the scored steps until the answers have come, and the mixtures' weights (mixture.h), one per target and scored
 * step.
 *
 * All of a slot is learnt from its stream's own steps, each in its own turn: an answer counts at the step at which it
 * arrives. Part of the forecaster; one owner at a time. Memory is taken by experts_new alone.
 */
#ifndef ENGINE_EXPERTS_H
#define ENGINE_EXPERTS_H

#include "engine/config.h"
#include "engine/expert.h"
#include "engine/history.h"
#include "engine/image.h"
#include "engine/kernels/kernels.h"
#include "engine/residuals.h"
#include "engine/scaler.h"

#include <stdbool.h>
#include <stdint.h>

struct experts;

/* For the slots of a batch of the model; class, model and kernels must outlive it; weights are learnt at its scored
 * steps (scores_steps). NULL when memory is short. */
struct experts *experts_new(const struct config_class *class, const struct config_model *model,
                            const struct kernels *kernels);
void experts_free(struct experts *experts);

/* A slot becomes a stream's that has had `step` steps, of which nothing is known. */
void experts_acquire(struct experts *experts, int slot, uint64_t step);
/* The slot's state begins anew (forecaster_reset): a level begins with the next value; what has been learnt stays. */
void experts_begin_anew(struct experts *experts, int slot);
/* Another version's network serves the slot after `step`: the record of the one before is not its own.
 * The readout's goes on: it is the regressions' forecast and what the replay has taught it. */
void experts_change_network(struct experts *experts, int slot, uint64_t step);

/* A step has closed: it answers the forecasts made before, and the experts learn from it. scalers [n_features] have
 * taken it in. */
void experts_see(struct experts *experts, int slot, const struct history *history, uint64_t step,
                 const struct scaler *scalers);

/* The forecast of the slot at the step just seen. mean [horizon x n_targets] comes with the network's where there is
 * one (network) and leaves with what is published: never infinite; NaN where nothing is known. pooled: the
 * coefficients of the pooled ridge (pooled.h), which light experts have in the place of their own; NULL: none.
 * readout [horizon x n_targets]: what the network's state adds to the regressions' forecast (readout_forecast); NULL:
 * nothing. */
void experts_forecast(struct experts *experts, int slot, const struct history *history, uint64_t step,
                      const struct scaler *scalers, bool network, const float *pooled, const double *readout,
                      double *mean);

/* What the regressions, mixed, have left unexplained; a readout learns from it. NULL: none is wanted. */
struct residuals *experts_residuals(const struct experts *experts);

/* Who contributed to the slot's latest forecast: [EXPERT_COUNT], mean over targets and scored steps, sum 1 (or
 * zeros). */
const float *experts_shares(const struct experts *experts, int slot);

/* The expert's own forecast of the slot last given to experts_forecast: [horizon x n_targets], NaN where it has
 * none. */
const double *experts_mean(const struct experts *experts, enum expert expert);

/* A slot's that has seen `step`, as a section of an image, or from one of the same targets, horizon, scored steps and
 * experts; then first is the first step of its history, where
 * that came back with fewer than it had (0: it did not). */
void experts_serialize(struct experts *experts, int slot, uint64_t step, uint64_t first, struct image_io *io);

#endif
