/*
 * The pooled ridge regression of `experts: light`: one for each target of a model, over the windows of all its
 * streams, solved in a training job and published with the version that comes of it. A stream keeps nothing for it.
 *
 * Of the differences to the last value, in the unit of the stream's scaler, at most POOLED_CLIP either way:
 *     y[h] = B' x,    B = (G + R)^-1 C,   G = sum x x',   C = sum x y',   R = POOLED_PENALTY x an input's mean square
 * x: a constant, how far the last value stands from the mean, recent lags, with a period the phases of the coming
 * season one season before (where the lags do not reach so far), and two harmonics of the phase, alone and times the
 * level.
 */
#ifndef ENGINE_POOLED_H
#define ENGINE_POOLED_H

#include "engine/config.h"
#include "engine/history.h"
#include "engine/scaler.h"
#include "engine/windows.h"

#include <stdbool.h>
#include <stddef.h>

enum { POOLED_LAGS = 60, POOLED_STEPS = 96, POOLED_CLIP = 10, POOLED_PENALTY = 100 };

/* Whether a model has one: with light experts, of values that are scaled. */
bool pooled_is_kept(const struct config_model *model);

/* Floats of the coefficients, [n_targets x inputs x steps]; steps ahead are at most POOLED_STEPS. */
size_t pooled_size(const struct config_model *model);

/* The coefficients by the windows, weighed as training weighs them; the caller's to free. NULL: memory is short,
 * there are too few answers, or stop (asked for each window) said so. One thread: OpenBLAS is to have one. */
float *pooled_solve(const struct config_model *model, const struct window *const *windows, int n,
                    bool (*stop)(void *context), void *context);

/* What they forecast at a step that the history holds: mean [horizon x n_targets], NaN where there is nothing.
 * Allocates nothing; a function of its arguments, to the last bit. scalers [n_features]. */
void pooled_forecast(const struct config_model *model, const float *coefficients, const struct history *history,
                     uint64_t step, const struct scaler *scalers, double *mean);

#endif
