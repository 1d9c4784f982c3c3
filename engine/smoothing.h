/*
 * Exponential smoothing with a damped trend (Holt; Gardner and McKenzie, 1985) of one target of one stream, made
 * robust: an observation further from what was foreseen than twice the scale of such errors counts as if it stood
 * there, and the scale itself follows bounded errors (Gelper, Fried and Croux, 2010). A level that really moved is
 * followed within a few steps, as the scale grows with each.
 *
 * Several parameters run beside each other; the forecast is theirs, weighted by their recent errors one step ahead
 * (each as if it were a Gaussian with the best one's variance: Bayesian averaging with forgetting).
 * One owner; nothing is allocated.
 */
#ifndef ENGINE_SMOOTHING_H
#define ENGINE_SMOOTHING_H

#include "engine/image.h"

#include <stdbool.h>
#include <stdint.h>

enum { SMOOTHING_SETS = 4 };

/* Zeros are a target of which nothing has been seen. */
struct smoothing {
    uint64_t n; /* values seen */
    bool began; /* there is a level */
    double level[SMOOTHING_SETS], trend[SMOOTHING_SETS];
    double scale[SMOOTHING_SETS]; /* of the errors one step ahead, robust; 0: not known */
    double loss[SMOOTHING_SETS];  /* mean of their squares, bounded, forgotten exponentially */
};

/* A step passes with the value observed there; NaN: missing. */
void smoothing_update(struct smoothing *smoothing, double x);
/* The level begins anew with the next value; what is known of parameters and scale stays. */
void smoothing_restart(struct smoothing *smoothing);

/* Forecasts 1 .. horizon steps ahead: mean[0], mean[stride], ...; NaN while nothing has been seen. */
void smoothing_forecast(const struct smoothing *smoothing, int horizon, int stride, double *mean);

/* To an image, or from one. */
void smoothing_serialize(struct smoothing *smoothing, struct image_io *io);

#endif
