/*
 * What the regressions (regressors.h), mixed, have left unexplained of a stream: for each origin that a replay may go
 * back to, the answer less their forecast, per scored step and target, in the unit of the stream's scaler at the
 * origin; known once the answer has come. It is what a readout (readout.h) learns from. Residuals beyond
 * RESIDUALS_WIDTH of their own mean absolute value count as that, so that bursts say little.
 *
 * Of a slot's stream: it goes on through takeovers. An origin is kept as long as the step that answers all of it is
 * in the history's ring, so that a replay finds what it needs wherever it finds its steps.
 *
 * One owner at a time. Memory is taken by residuals_new alone: 2 bytes x steps of the history x targets x scored
 * steps for each slot.
 */
#ifndef ENGINE_RESIDUALS_H
#define ENGINE_RESIDUALS_H

#include "engine/config.h"
#include "engine/image.h"

#include <stdint.h>

enum { RESIDUALS_WIDTH = 6 };

struct residuals;

/* Scored steps that have residuals, ascending: the few ones (SCORED_FEW) that the ridge forecasts. Returns their
 * number; ret_steps [SCORES_MAX]. */
int residuals_steps(const struct config_model *model, int *ret_steps);

/* For the slots of a batch of the model. NULL when memory is short. */
struct residuals *residuals_new(const struct config_class *class, const struct config_model *model);
void residuals_free(struct residuals *residuals);

/* A slot becomes a stream's that has had `step` steps. */
void residuals_acquire(struct residuals *residuals, int slot, uint64_t step);

/* `step` becomes an origin; no answer has come. Each step in turn. */
void residuals_begin(struct residuals *residuals, int slot, uint64_t step);
/* The answer to the forecast made at `origin` for h steps ahead of target j has come; an h without residuals, and
 * what is not finite, is passed over. */
void residuals_put(struct residuals *residuals, int slot, uint64_t origin, int h, int j, double value);

/* Of an origin, [steps x n_targets], to 8 bits, NaN: not known; NULL: it is not kept. Until the next call. */
const float *residuals_of(struct residuals *residuals, int slot, uint64_t origin);

/* The mean absolute residual so far, robust, [steps x n_targets]. */
const float *residuals_deviations(const struct residuals *residuals, int slot);

/* A slot's that has seen `step`, as a section of an image, or from one. */
void residuals_serialize(struct residuals *residuals, int slot, uint64_t step, struct image_io *io);

#endif
