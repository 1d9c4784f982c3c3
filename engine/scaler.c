#include "engine/scaler.h"

/* The share of the stream's deviation that a flat sample is given: else what follows it would be infinitely far. */
static const double flat = 0.01;

struct scaler scaler_of_sample(const struct scaler *sample, const struct scaler *running) {
    if (sample->n == 0)
        return *running;
    struct scaler scaler = *sample;
    scaler.variance += flat * flat * running->variance;
    return scaler;
}

void scaler_serialize(struct scaler *scaler, struct image_io *io) {
    double mean = scaler->mean, variance = scaler->variance;
    uint64_t n = scaler->n;
    image_io(io, &mean, 1);
    image_io(io, &variance, 1);
    image_io(io, &n, 1);
    *scaler = (struct scaler){mean, variance, n < UINT32_MAX ? (uint32_t)n : UINT32_MAX};
}
