/*
 * Baselines: what a network has to beat. Pure functions of a stream's history.
 */
#ifndef ENGINE_BASELINE_H
#define ENGINE_BASELINE_H

#include "engine/history.h"

enum baseline {
    BASELINE_LAST_VALUE,
    BASELINE_SEASONAL, /* last value until a whole season is known */
    BASELINE_LABELS,   /* of an event: the shares of its labels so far (event.h) */
};

/* What was known at `step` as the value of a feature h steps later (h >= 1): its last value; NaN while there was
 * none. */
double baseline_last_value(const struct history *history, uint64_t step, int feature);

/* The latest value known at `step` that lies whole seasons of `period` steps before step + h; NaN where it was
 * missing, is not held any more, or period is 0. */
double baseline_seasonal(const struct history *history, uint64_t step, int feature, int h, int period);

/* Steps that the slope of baseline_drift reaches back, where the history keeps them and a period is not longer. */
enum { BASELINE_DRIFT_STEPS = 256 };

/* A random walk with drift: the last value, and h times the slope of the line from the value BASELINE_DRIFT_STEPS
 * before to it (whole periods before, so that no season is taken for a slope; as far back as the history keeps and
 * values are known), damped by 1 - 1 / steps at each step ahead, so that it extrapolates at most as far as it has
 * seen. NaN while there is no value; the last value while there is one only. 1 .. horizon steps ahead: mean[0],
 * mean[stride], ... */
void baseline_drift(const struct history *history, uint64_t step, int feature, int horizon, int period, int stride,
                    double *mean);

/* The value the given baseline forecasts. */
double baseline_forecast(enum baseline baseline, const struct history *history, uint64_t step, int feature, int h,
                         int period);

#endif
