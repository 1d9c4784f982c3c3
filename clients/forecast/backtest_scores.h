/*
 * What a backtest says of forecasts: errors over whole answers, as papers have them. Fed with what each forecast says
 * and with what was observed, step by step; nothing is known here of a step that has not been.
 *
 * The steps of a stream are cut into three: `train` ones give the unit (mean and deviation of each target, and the
 * mean change from one step to the next), `valid` ones are passed over, `online` ones are scored. Of a horizon h all
 * forecasts count that were made at an online step with all of their first h answers within the online part: each of
 * these h answers, per target, where it was observed. One owner; memory is taken when a stream is added.
 */
#ifndef FORECAST_BACKTEST_SCORES_H
#define FORECAST_BACKTEST_SCORES_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BACKTEST_LEVELS = 8 };

struct backtest_scores;

struct backtest_plan {
    const int *horizons; /* [n_horizons] ascending */
    int n_horizons;
    int said_horizon; /* of what is said; the last of horizons at least */
    int n_targets;
    int n_experts; /* forecasts beside the published one */
    int n_levels;  /* of its intervals */
    uint64_t train, valid;
};

/* What is said at one step: arrays [said_horizon x n_targets]. */
struct backtest_said {
    const double *published;
    const double *const *experts; /* [n_experts]; NaN where one does not know: the last value stands in */
    const double *lower, *upper;  /* [n_levels x said_horizon x n_targets]; NaN: not known */
};

/* Means over the answers; NaN where there are none. */
struct backtest_errors {
    uint64_t n;     /* answers */
    double mse;     /* in units of the train part's deviation */
    double mae;     /* the same */
    double mase;    /* absolute errors over the train part's mean change; without targets that never changed there */
    double raw_mae; /* in the targets' own units */
    double coverage[BACKTEST_LEVELS], width[BACKTEST_LEVELS]; /* the width in units of the deviation */
};

/* Bytes that the forecasts of a stream take that wait for their answers. */
double backtest_scores_bytes(const struct backtest_plan *plan);

/* NULL when memory is short. */
struct backtest_scores *backtest_scores_new(const struct backtest_plan *plan, int n_streams);
void backtest_scores_free(struct backtest_scores *scores);

/* Begins with a stream that will have so many steps of which `online` at most are scored. Returns -1 without
 * memory. */
int backtest_scores_begin(struct backtest_scores *scores, int stream, uint64_t steps, uint64_t online);

/* A step of a stream has closed: its observed values [n_targets] (NaN: missing) answer what was said before, and what
 * is said at it waits for its own answers. */
void backtest_scores_step(struct backtest_scores *scores, int stream, const double *values,
                          const struct backtest_said *said);

/* Whether the expert knew anything at an online step. */
bool backtest_scores_spoke(const struct backtest_scores *scores, int expert);

/* who: -1 the published forecast, else an expert; target: -1 all. */
struct backtest_errors backtest_scores_of(const struct backtest_scores *scores, int horizon, int who, int target);

#endif
