/*
 * A streaming scaler: mean and variance of each feature of one stream, from that stream alone.
 *
 * The first SCALER_MEMORY values count alike (Welford, 1962); then old ones are forgotten
 * exponentially with that memory, so that a stream that changes is followed. Missing values (NaN),
 * and those beyond 1e150 either way, are passed over. One owner at a time; nothing is allocated: the
 * owner provides the array.
 */
#ifndef ENGINE_SCALER_H
#define ENGINE_SCALER_H

#include <stdint.h>

enum scaler_kind {
    SCALER_STANDARD, /* (x - mean) / standard deviation, within SCALER_CLIP either way */
    SCALER_NONE,     /* x */
    /* As SCALER_STANDARD, but by mean and deviation of the sample at hand, and back by the same: reversible instance
     * normalisation (Kim et al., 2022), without its learnt scale. Of windowed models. */
    SCALER_WINDOW,
};

enum { SCALER_MEMORY = 10000, SCALER_CLIP = 10 };

/* Of one feature. Zeros are a feature of which nothing has been seen. */
struct scaler {
    double mean;
    double variance; /* of the population */
    uint64_t n;      /* values seen, missing ones not counted */
};

void scaler_update(struct scaler *scaler, double x);

/* The scaler of one sample, given what scaler_update makes of its values: a hundredth of the stream's deviation
 * (running) is added, for samples that are flat. Of a sample without any value: running itself. */
struct scaler scaler_of_sample(const struct scaler *sample, const struct scaler *running);

/* The unit of the scaled value: the standard deviation, or 1 where that is zero or not known. */
double scaler_unit(enum scaler_kind kind, const struct scaler *scaler);

/* The scaled value; 0 (the mean) for a missing one. */
float scaler_scale(enum scaler_kind kind, const struct scaler *scaler, double x);

/* The inverse of scaler_scale, without its clipping. */
double scaler_unscale(enum scaler_kind kind, const struct scaler *scaler, double z);

#endif
