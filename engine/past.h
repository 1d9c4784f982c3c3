/*
 * The recent past of one target of one stream, newest first, as regressions look at it: what the history keeps,
 * copied into one run of doubles, with running sums, averages of the same phase of the season, and the range that
 * values lie in. A pure function of the history's steps up to one of them.
 *
 * Steps before the first known value are as that one. Offsets count steps back from the step it was loaded at.
 */
#ifndef ENGINE_PAST_H
#define ENGINE_PAST_H

#include "engine/history.h"

#include <stdbool.h>
#include <stddef.h>

/* Averages of the same phase; of the i-th a season before weighs .7, .9, .97 of the one behind it. */
enum { PAST_AVERAGES = 3 };

/* Where values lie: beyond it they are outliers, and count as if they stood on its edge. */
struct past_range {
    double low, high;
};

struct past {
    int n, period;
    double *values; /* [n] */
    double *sums;   /* [n + 1] of the bounded values before an offset */
    double *average
        [PAST_AVERAGES];     /* [n] of bounded values at an offset and whole periods before; none without a period */
    struct past_range range; /* at offset 0 */
    double least, most;      /* of the values that the range is made of */
};

/* Over so many steps, or as many as there are, the range is made: mean -+ PAST_WIDTH mean absolute deviations, at
 * least PAST_UNITS units. */
enum { PAST_RANGE_STEPS = 168, PAST_WIDTH = 8, PAST_UNITS = 2 };

/* Doubles of a past of n steps. */
size_t past_doubles(int n, int period);
void past_place(struct past *past, int n, int period, double *memory);

/* Loads the feature's values up to `step`; unit: the scaler's. False, and the range NaN, where none is known. */
bool past_load(struct past *past, const struct history *history, uint64_t step, int feature, double unit);

double past_bounded(const struct past_range *range, double value);
/* The mean of n bounded values from an offset on. */
double past_mean(const struct past *past, int offset, int n);

#endif
