/*
 * A lane: one version's view of a batch. During a takeover a batch has two, the one that serves and the one
 * that comes in; another may run in the shadow of the one that serves. They share nothing but the histories. Part of
 * the forecaster.
 */
#ifndef ENGINE_LANE_H
#define ENGINE_LANE_H

#include "engine/config.h"
#include "engine/history.h"
#include "engine/image.h"
#include "engine/readout.h"
#include "engine/scaler.h"
#include "engine/version.h"

/* Where a slot of a lane stands that does not serve yet. */
enum lane_phase {
    LANE_WAITING, /* its replay has not begun */
    LANE_PRIMING, /* its replay is under way */
    LANE_READY,   /* it has seen what the serving lane has */
};

struct lane {
    struct version *version; /* NULL: none yet */
    int n_features;
    size_t state_size;       /* floats per slot; 0 without a network */
    float *state;            /* [slots x state_size] */
    struct scaler *scalers;  /* [slots x n_features] */
    uint64_t *seen;          /* [slots] the latest step that the slot has taken in */
    uint8_t *phase;          /* [slots] enum lane_phase */
    uint64_t *frozen;        /* [slots] the step at which the replay began: scalers hold until then */
    uint64_t *zero;          /* [slots] the step at which its state was zero: seen - zero steps are in it */
    struct readout *readout; /* of its network's state; NULL: none */
};

/* Acquires the version (NULL is fine); without a readout. NULL when memory is short. */
struct lane *lane_new(int slots, int n_features, struct version *version);
void lane_free(struct lane *lane);

/* The slot's state becomes zero, as of the given step. Scalers, and what has been learnt, stay. */
void lane_zero(struct lane *lane, int slot, uint64_t step);
/* The slot forgets everything. */
void lane_clear(struct lane *lane, int slot);

/* The network of its version; NULL: none. */
const struct network *lane_network(const struct lane *lane);

float *lane_state(const struct lane *lane, int slot);
struct scaler *lane_scalers(const struct lane *lane, int slot);

/* Lets the scalers of a slot see a step; missing values are passed over. */
void lane_update_scalers(struct lane *lane, int slot, const struct history *history, uint64_t step);

/* The state of a slot and what has been read out of it, as a section of an image, or from one under the same version;
 * seen, which is not in it, is as it was. */
void lane_serialize(struct lane *lane, int slot, struct image_io *io);

/* The value of a feature at a step, as the model's network sees it before it is scaled. NaN: missing, which scales to
 * the mean. */
double lane_value(const struct config_model *model, const struct scaler *scaler, const struct history *history,
                  uint64_t step, int feature);

/* The inputs of a step under scalers [n_features]: x [config_network_inputs]. */
void lane_gather(const struct scaler *scalers, const struct history *history, uint64_t step,
                 const struct config_model *model, float *x);

#endif
