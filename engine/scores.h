/*
 * Running errors of the published forecasts of one (stream, model), by steps ahead.
 *
 * A forecast is scored when the step it spoke of has closed, never before, against what was
 * observed; missing answers are not scored. Errors are absolute, in the unit of the target's scaler,
 * averaged over targets, and then over answers: alike over the first SCORES_MEMORY, then exponentially
 * with that memory. One owner; all memory is taken when the table for a batch is made.
 */
#ifndef ENGINE_SCORES_H
#define ENGINE_SCORES_H

#include "engine/config.h"
#include "engine/history.h"

#include <stddef.h>
#include <stdint.h>

enum { SCORES_MEMORY = 1000, SCORES_MAX = 16 };

struct score {
    int h;      /* steps ahead */
    uint64_t n; /* answers */
    double mae; /* of what was published */
    double mae_last_value;
    double mae_seasonal; /* of the last value where no season is known; NaN where there is no period */
};

/* The steps ahead that are scored, ascending, the horizon last. Returns their number; ret_h [CONFIG_SCORED_ALL_MOST], or
 * NULL. */
int scores_steps(enum scored_steps scored, int horizon, int *ret_h);

/* Of all slots of a batch. */
struct scores;

/* Scores 1, 2, 4, ... steps ahead and the horizon itself. NULL when memory is short. */
struct scores *scores_new(int slots, int horizon, int n_targets);
void scores_free(struct scores *scores);

int scores_count(const struct scores *scores);                        /* scored steps ahead */
const struct score *scores_of(const struct scores *scores, int slot); /* [scores_count] */

/* Forgets the errors and the forecasts that still wait for their answers. */
void scores_restart(struct scores *scores, int slot);

/* Scores whatever was forecast for `step` (just closed, in history): targets [n_targets] are feature indices,
 * units [n_targets] the scalers' units. */
void scores_answer(struct scores *scores, int slot, const struct history *history, uint64_t step, const int *targets,
                   const double *units, int period);

/* Remembers a forecast published at `step`: mean [horizon x n_targets]. */
void scores_publish(struct scores *scores, int slot, uint64_t step, const double *mean);

#endif
