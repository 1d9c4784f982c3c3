/*
 * The ridge regressions that a batch keeps for each slot and target. Each forecasts the difference to the last value,
 * in the unit of the stream's scaler:
 *   - one on the recent lags and more (the season's profile, other targets), all steps ahead at once, of which the
 *     factorisation gives several nested ones: few lags, all lags, ..., all of it;
 *   - and, with a period, one for each step ahead on few inputs that depend on that step: the same phase of seasons
 *     before, averages of it, means.
 * Inputs and answers beyond the range of the recent past count as if they stood on its edge, and how far the last
 * value stands beyond it is an input of its own, so that a burst and a jump can be told apart. An origin is learnt
 * from when the answers of its whole horizon have come.
 *
 * All is a function of the stream's own steps. Solutions are cut into equal slices, one at each step, so that no
 * step is long. One owner at a time; memory is taken by regressors_new alone, and touched as slots are used: with a
 * period of 24, 7 targets and a horizon of 48 about 3 MB per slot, without one and with a horizon of 12 0.3 MB.
 */
#ifndef ENGINE_REGRESSORS_H
#define ENGINE_REGRESSORS_H

#include "engine/config.h"
#include "engine/history.h"
#include "engine/scaler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct regressors;

/* Steps ahead that they forecast at most. */
enum { REGRESSORS_STEPS = 96, REGRESSORS_MOST = 5 };

/* For the slots of a batch of the model. NULL when memory is short. class, model and kernels must outlive it. */
struct regressors *regressors_new(const struct config_class *class, const struct config_model *model,
                                  const struct kernels *kernels);
void regressors_free(struct regressors *regressors);

/* How many there are, at most REGRESSORS_MOST. */
int regressors_count(const struct regressors *regressors);

/* Which of them is the plain one: on the recent lags of its target and nothing else. */
int regressors_plain(const struct regressors *regressors);

/* The slot forgets everything. */
void regressors_clear(struct regressors *regressors, int slot);

/* A step has closed: what it answers is learnt, a slice of a solution is done, and they forecast: mean[i]
 * [horizon x n_targets] of the i-th; NaN where it has none. since: the first step whose history is the slot's own.
 * scalers [n_features]. */
void regressors_step(struct regressors *regressors, int slot, const struct history *history, uint64_t step,
                     uint64_t since, const struct scaler *scalers, double *const *mean);

/* What a slot that has seen `step` has learnt, as a section of an image, or from one; since: as above. */
void regressors_serialize(struct regressors *regressors, int slot, uint64_t step, uint64_t since,
                          struct image_io *io);

#endif
