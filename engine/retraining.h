/* When a model is trained: a pure function of what is known, on the clock of the data. */
#ifndef ENGINE_RETRAINING_H
#define ENGINE_RETRAINING_H

#include "engine/config.h"

#include <stdbool.h>
#include <stdint.h>

struct retraining {
    bool busy;            /* a job of this model is under way */
    bool asked;           /* a command waits */
    bool serves;          /* a trained version serves */
    bool tried;           /* there was a job before */
    uint64_t steps;       /* the most closed steps of any stream of the class */
    uint64_t tried_steps; /* the same when the latest job began */
    int64_t now;          /* latest tick time of the class, ns */
    int64_t tried_at;     /* the same when the latest job began */
};

/*
 * On command: at once. A model without weights: first at `first_after` steps, then each time the steps have doubled, since a
 * job that had too little may have enough now. Otherwise every `retrain_every` of the data's time.
 */
bool retraining_due(const struct retraining *state, const struct config_model *model);

#endif
