/* When a model is trained: pure functions of what is known, on the clock of the data. */
#ifndef ENGINE_RETRAINING_H
#define ENGINE_RETRAINING_H

#include "engine/config.h"

#include <stdbool.h>
#include <stdint.h>

/* What is remembered of a model's jobs. All zero: there was none. */
struct retraining {
    bool busy;            /* one is under way */
    bool asked;           /* a command waits */
    bool held;            /* a challenger waits to be decided on: only a command trains another one */
    bool drifted;         /* drift was seen since the latest one began */
    bool tried;           /* there was one before */
    uint64_t tried_steps; /* when the latest one began: the most closed steps of any stream of the class, */
    int64_t tried_at;     /* and its latest tick's time, ns, which is the clock of the data */
};

enum retraining_reason {
    RETRAINING_NOT_DUE,
    RETRAINING_ASKED,
    RETRAINING_FIRST, /* nothing serves */
    RETRAINING_CLOCK,
    RETRAINING_DRIFT,
};

/*
 * On command: at once. A model without weights (it does not serve): first at `first_after` steps, then each time the
 * steps have doubled, since a job that had too little may have enough now. Otherwise each `retrain_every` of the
 * data's time, at times of day that differ from model to model, and after drift with `retrain_on: drift`; but not
 * before `new_steps` have come since the latest one. now: time of the stream with the most steps; where that has gone
 * back it counts from there.
 */
enum retraining_reason retraining_due(struct retraining *retraining, const struct config_model *model, bool serves,
                                      uint64_t steps, int64_t now);

/* A job begins. */
void retraining_begin(struct retraining *retraining, uint64_t steps, int64_t now);

/* "not due", "command", "first", "clock", "drift". */
const char *retraining_name(enum retraining_reason reason);

#endif
