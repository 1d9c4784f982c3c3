#include "engine/scaler.h"

#include <math.h>
#include <stdbool.h>

/* Up to here the squares of values and of their differences are doubles. A single value beyond would make the
 * variance infinite and then NaN, for ever; and it is rather a sender's way to say that there is none. */
static const double largest = 1e150;

/* The share of the stream's deviation that a flat sample is given: else what follows it would be infinitely far. */
static const double flat = 0.01;

void scaler_update(struct scaler *scaler, double x) {
    if (!(fabs(x) <= largest))
        return;
    uint64_t n = ++scaler->n;
    double share = 1.0 / (double)(n < SCALER_MEMORY ? n : SCALER_MEMORY);
    double off = x - scaler->mean;
    scaler->mean += share * off;
    /* Welford's update as an exponential one: the two agree while share is 1/n. */
    scaler->variance += share * (off * (x - scaler->mean) - scaler->variance);
}

struct scaler scaler_of_sample(const struct scaler *sample, const struct scaler *running) {
    if (sample->n == 0)
        return *running;
    struct scaler scaler = *sample;
    scaler.variance += flat * flat * running->variance;
    return scaler;
}

double scaler_unit(enum scaler_kind kind, const struct scaler *scaler) {
    if (kind == SCALER_NONE)
        return 1.0;
    double deviation = sqrt(scaler->variance);
    /* Rounding leaves a constant series a deviation of some ulps of its mean: that is no unit to divide by. */
    bool constant = !(deviation > 1e-9 * fabs(scaler->mean)) || !isfinite(deviation);
    return constant ? 1.0 : deviation;
}

float scaler_scale(enum scaler_kind kind, const struct scaler *scaler, double x) {
    if (isnan(x))
        return 0.0f;
    if (kind == SCALER_NONE)
        return (float)x;
    double z = (x - scaler->mean) / scaler_unit(kind, scaler);
    return (float)fmax(-SCALER_CLIP, fmin(SCALER_CLIP, z));
}

double scaler_unscale(enum scaler_kind kind, const struct scaler *scaler, double z) {
    if (kind == SCALER_NONE)
        return z;
    return scaler->mean + scaler_unit(kind, scaler) * z;
}
