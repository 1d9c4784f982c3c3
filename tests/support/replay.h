/* What a forecaster should say: forecasts kept for comparison, and a plain re-computation of them. */
#ifndef TESTS_SUPPORT_REPLAY_H
#define TESTS_SUPPORT_REPLAY_H

#include "engine/forecaster.h"
#include "tests/support/fixtures.h"

enum { SAVED_HORIZON = 8, SAVED_TARGETS = 2, SAVED_SCORES = 5, SAVED_LEVELS = 2 };

/* A copy of a forecast, all but its slot, to be compared byte by byte: what is not used is zero. */
struct saved {
    uint64_t step, version, primed;
    int64_t t, times[SAVED_HORIZON]; /* zeros where they are not known */
    double values[SAVED_TARGETS], mean[SAVED_HORIZON * SAVED_TARGETS];
    uint64_t n[SAVED_SCORES];
    double scores[SAVED_SCORES][3];
    float radii[SAVED_LEVELS * SAVED_SCORES * SAVED_TARGETS];
    double anomaly;
    uint32_t from_network, warming, times_known, baseline, step_flags, n_scores, capped;
};

/* Saves the slot's latest forecast. */
void saved_take(struct saved *saved, const struct forecaster *forecaster, int slot, const struct config_model *model);

/* Lets the version take over at once, and lets go of the caller's reference. */
void take_over(struct forecaster *forecaster, struct version *version);

/* Advances one slot by one step and saves its forecast. */
void advance_one(struct forecaster *forecaster, int slot, const struct config_model *model, struct saved *ret_saved);

/* The same arithmetic as a slot's, one row at a time, written down once more; steps are the history's. */
struct replay {
    const struct config_model *model;
    const struct kernels *kernels;
    const struct network *network;
    const struct history *history;
    struct scaler scalers[FIXTURE_FEATURES];
    float *state, *work, *y;
};

void replay_init(struct replay *replay, const struct config_model *model, const struct kernels *kernels,
                 const struct version *version, const struct history *history);
void replay_fini(struct replay *replay);

void replay_zero(struct replay *replay);               /* the state; scalers stay */
void replay_see(struct replay *replay, uint64_t step); /* scalers take the step in */
/* The state takes the step in; mean [horizon x n_targets] is the forecast made there. */
void replay_step(struct replay *replay, uint64_t step, double *mean);

#endif
