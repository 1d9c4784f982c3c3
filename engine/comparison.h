/*
 * Is one forecaster better than another on the same answers, or is that chance? The test of Diebold and Mariano
 * (1995, "Comparing predictive accuracy") on the differences of their losses, with the Newey-West (1987) variance,
 * since forecasts of several steps overlap, and the small-sample correction of Harvey, Leybourne and Newbold (1997).
 *
 * Losses are kept as a series in bounded memory: their means over blocks of steps. Those of many streams go into the
 * same blocks, so that what moves all streams at once is not taken for many independent answers.
 */
#ifndef ENGINE_COMPARISON_H
#define ENGINE_COMPARISON_H

#include <stdint.h>

enum { LOSS_BLOCKS = 128 };

/* The losses of one forecaster over time. All zero: empty, with blocks of one step. */
struct loss_series {
    int doublings; /* a block is 2^doublings steps; it doubles when the blocks run out */
    int n;         /* blocks that have been reached */
    double loss[LOSS_BLOCKS], weight[LOSS_BLOCKS];
};

/* Adds a loss (weight x mean) of the forecast made `step` steps after the series began. A NaN counts as
 * infinite. */
void loss_series_add(struct loss_series *series, uint64_t step, double loss, double weight);
/* Adds what another one holds, which began at the same time. */
void loss_series_merge(struct loss_series *series, const struct loss_series *other);
/* NaN: there is no answer. */
double loss_series_mean(const struct loss_series *series);
double loss_series_weight(const struct loss_series *series);
/* Steps that it spans. */
uint64_t loss_series_steps(const struct loss_series *series);

struct comparison {
    int n;       /* complete blocks that both have answers in */
    double gain; /* the share by which the first one's mean loss is lower than the second's; below 0: higher */
    double p; /* of a gain as large by chance, one-sided (Student's t, n - 1 degrees of freedom); NaN: n is too few */
    double statistic; /* t; NaN where p is */
};

/* The first against the second, of forecasts up to `horizon` steps ahead. Too few to tell are fewer than 8 blocks, or
 * than twice as many as overlap. */
struct comparison comparison_of(const struct loss_series *first, const struct loss_series *second, int horizon);

#endif
