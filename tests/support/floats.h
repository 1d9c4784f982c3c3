/* Arrays of floats for tests of the engine. */
#ifndef TESTS_SUPPORT_FLOATS_H
#define TESTS_SUPPORT_FLOATS_H

#include "engine/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Exactly n floats, so that a sanitizer sees the first one past the end. */
static inline float *floats_new(size_t n) {
    float *x = calloc(n ? n : 1, sizeof *x);
    if (!x)
        abort();
    return x;
}

/* The same, uniform in +-scale. */
static inline float *floats_random(struct rng *rng, size_t n, double scale) {
    float *x = floats_new(n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(scale * (2 * rng_uniform(rng) - 1));
    return x;
}

static inline float *floats_copy(size_t n, const float *from) {
    float *x = floats_new(n);
    memcpy(x, from, n * sizeof *x);
    return x;
}

/* Bit by bit, but a NaN is as good as another. */
static inline int floats_same(size_t n, const float *a, const float *b) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i])))
            return 0;
    return 1;
}

static inline double floats_distance(size_t n, const float *a, const float *b) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double distance = fabs((double)a[i] - (double)b[i]);
        if (!(distance <= most)) /* NaN counts as far away, and stays */
            most = isnan(distance) ? INFINITY : distance;
    }
    return most;
}

#endif
