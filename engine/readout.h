/*
 * The online readout of a lane: for each slot and target a ridge regression (ridge.h) on the network's hidden state, a
 * few recent lags and the season's phase, whose answers are the differences to the last value at each step ahead, in the unit of the stream's scaler,
 * at most READOUT_CLIP either way. An origin is learnt from when the answers of its whole horizon have come.
 *
 * The hidden state is h of the last recurrent layer that carries a state, of it the first READOUT_HIDDEN. As another version
 * gives it another meaning, the readout belongs to the lane, and is learnt anew in the replay of a takeover.
 *
 * A function of the steps it has seen. Solutions are cut into slices, one at each step. One owner at a time; memory is taken by
 * readout_new alone: with 64 hidden units, a horizon of 48 and 7 targets 0.6 MB per slot.
 */
#ifndef ENGINE_READOUT_H
#define ENGINE_READOUT_H

#include "engine/config.h"
#include "engine/history.h"
#include "engine/kernels/kernels.h"
#include "engine/scaler.h"

#include <stdint.h>

enum { READOUT_HIDDEN = 128, READOUT_LAGS = 24, READOUT_STEPS = 96, READOUT_CLIP = 10 };

struct readout;

/* For the slots of a batch. NULL without memory, and where there is no hidden state: *ret_has says which. model and kernels
 * must outlive it. */
struct readout *readout_new(const struct config_model *model, const struct network *network,
                            const struct kernels *kernels, bool *ret_has);
void readout_free(struct readout *readout);

/* The slot forgets everything. NULL is fine. */
void readout_clear(struct readout *readout, int slot);

/* The network has taken a step of the slot in; state: behind it, network_state_size floats. */
void readout_see(struct readout *readout, int slot, const struct history *history, uint64_t step, const float *state,
                 const struct scaler *scalers);

/* The forecast at the step just seen, into mean [horizon x n_targets]; NaN where nothing is known yet. The mean is the
 * readout's and lives until the next call. */
const double *readout_forecast(struct readout *readout, int slot, const struct history *history, uint64_t step,
                               const struct scaler *scalers);

#endif
