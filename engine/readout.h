/*
 * The online readout: what the hidden state of a version's network says beyond the regressions (regressors.h), mixed.
 * A ridge regression on x = [1, hidden state], one for all targets and scored steps of a slot, learns their residuals
 * (residuals.h):
 *
 *     readout(h) = regressions(h) + unit x W_h' x,    linear in h between the scored steps.
 *
 * The hidden state is that of the last recurrent layer that carries one from step to step, its first READOUT_UNITS
 * units. It means something else under another version: so this is part of a lane, and is learnt anew in the replay
 * of a takeover, from the same residuals. An origin is learnt when the answers of all its steps have come; not one
 * whose state was warming (burn_in), or more than half of whose answers are missing (a few count as no residual).
 *
 * A function of the slot's own steps, and of those at which a replay began and ended. Solutions are cut into equal
 * slices, one at each step. One owner at a time; memory is taken by readout_new alone. With n units and m outputs
 * (targets x scored steps) a slot has about 8 n (n + 4 m) bytes and a step n (n/2 + m) multiplications to learn and
 * n^2 (n/6 + m) / 24 to solve: of 32 units, 7 targets and 7 steps 70 kB and 6,000, besides the residuals.
 */
#ifndef ENGINE_READOUT_H
#define ENGINE_READOUT_H

#include "engine/config.h"
#include "engine/image.h"
#include "engine/kernels/kernels.h"
#include "engine/network.h"

#include <stdbool.h>
#include <stdint.h>

enum { READOUT_UNITS = 128 };

struct readout;

/* Whether a network's state is read out at all: full experts, a forecast of a stream, and a mixture, or nothing but a
 * readout. */
bool readout_is_wanted(const struct config_model *model);

/* For the slots of a batch of the model under a network (NULL: none). *ret_readout is NULL where it is not
 * wanted or the network has no state. Returns -1 when memory is short. model and kernels must outlive it. */
int readout_new(const struct config_model *model, const struct network *network, const struct kernels *kernels,
                struct readout **ret_readout);
void readout_free(struct readout *readout);

/* The slot forgets everything. */
void readout_clear(struct readout *readout, int slot);

/* The longest of its steps: a step answers the origin so many steps before. */
int readout_last(const struct readout *readout);

/* A step has been taken in, each in turn: state (the network's, of the slot) stands behind it, NULL where it is
 * warming or not finite; residuals: of the origin readout_last before (residuals_of), NULL where that is not to be
 * learnt. */
void readout_see(struct readout *readout, int slot, uint64_t step, const float *state, const float *residuals);

/* What is to be added to the regressions' forecast at the step just seen, in the scaler's unit:
 * [horizon x n_targets], within what residuals have been (deviations, of residuals_deviations); NULL: nothing is
 * known. Until the next call. */
const double *readout_forecast(struct readout *readout, int slot, uint64_t step, const float *deviations);

/* A slot's that has seen `step`, as a section of an image, or from one under the same network. */
void readout_serialize(struct readout *readout, int slot, uint64_t step, struct image_io *io);

#endif
