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

#include "engine/image.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum scaler_kind {
    SCALER_STANDARD, /* (x - mean) / standard deviation, within SCALER_CLIP either way */
    SCALER_NONE,     /* x */
    /* As SCALER_STANDARD, but by mean and deviation of the sample at hand, and back by the same: reversible instance
     * normalisation (Kim et al., 2022), without its learnt scale. Of windowed models. */
    SCALER_WINDOW,
};

enum { SCALER_MEMORY = 10000, SCALER_CLIP = 10 };

/* Of one feature. Zeros are a feature of which nothing has been seen. There is one for each feature of each stream, without
 * gaps between them. */
struct __attribute__((packed, aligned(4))) scaler {
    double mean;
    double variance; /* of the population */
    uint32_t n;      /* values seen, missing ones not counted; stays at its maximum */
};

/* Up to here the squares of values and of their differences are doubles. A single value beyond would make the
 * variance infinite and then NaN, for ever; and it is rather a sender's way to say that there is none. */
#define SCALER_LARGEST 1e150

static inline void scaler_update(struct scaler *scaler, double x) {
    if (!(fabs(x) <= SCALER_LARGEST))
        return;
    uint32_t n = scaler->n += scaler->n < UINT32_MAX;
    double share = n < SCALER_MEMORY ? 1.0 / (double)n : 1.0 / SCALER_MEMORY;
    double off = x - scaler->mean;
    scaler->mean += share * off;
    /* Welford's update as an exponential one: the two agree while share is 1/n. */
    scaler->variance += share * (off * (x - scaler->mean) - scaler->variance);
}

/* To an image, or from one. */
void scaler_serialize(struct scaler *scaler, struct image_io *io);

/* The scaler of one sample, given what scaler_update makes of its values: a hundredth of the stream's deviation
 * (running) is added, for samples that are flat. Of a sample without any value: running itself. */
struct scaler scaler_of_sample(const struct scaler *sample, const struct scaler *running);

/* The unit of the scaled value: the standard deviation, or 1 where that is zero or not known. */
static inline double scaler_unit(enum scaler_kind kind, const struct scaler *scaler) {
    if (kind == SCALER_NONE)
        return 1.0;
    double deviation = sqrt(scaler->variance);
    /* Rounding leaves a constant series a deviation of some ulps of its mean: that is no unit to divide by. */
    bool constant = !(deviation > 1e-9 * fabs(scaler->mean)) || !isfinite(deviation);
    return constant ? 1.0 : deviation;
}

/* The scaled value; 0 (the mean) for a missing one. */
static inline float scaler_scale(enum scaler_kind kind, const struct scaler *scaler, double x) {
    if (isnan(x))
        return 0.0F;
    if (kind == SCALER_NONE)
        return (float)x;
    double z = (x - scaler->mean) / scaler_unit(kind, scaler);
    z = z < SCALER_CLIP ? z : SCALER_CLIP;
    return (float)(z > -SCALER_CLIP ? z : -SCALER_CLIP);
}

/* The inverse of scaler_scale, without its clipping. */
static inline double scaler_unscale(enum scaler_kind kind, const struct scaler *scaler, double z) {
    if (kind == SCALER_NONE)
        return z;
    return scaler->mean + scaler_unit(kind, scaler) * z;
}

#endif
