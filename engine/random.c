#include "engine/random.h"

#include <math.h>

/* The finalizer of splitmix64: Stafford's variant 13 of MurmurHash3's. */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t rng_next(struct rng *rng) {
    rng->state += 0x9e3779b97f4a7c15u;
    return mix(rng->state);
}

double rng_uniform(struct rng *rng) {
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

/* ln x for normal x > 0, by ln m = 2 artanh((m - 1) / (m + 1)). Not libm's, whose last bit varies
 * between machines, while additions, products and quotients do not. */
static double portable_log(double x) {
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2;
        exponent--;
    }
    double s = (m - 1) / (m + 1), z = s * s, sum = 0;
    for (int k = 23; k >= 1; k -= 2)
        sum = sum * z + 1.0 / k;
    return 2 * s * sum + exponent * 0.69314718055994531;
}

/* Marsaglia's polar method; its second number is dropped, so that the state stays one word. */
double rng_normal(struct rng *rng) {
    for (;;) {
        double u = 2 * rng_uniform(rng) - 1, v = 2 * rng_uniform(rng) - 1;
        double square = u * u + v * v;
        if (square > 0 && square < 1)
            return u * sqrt(-2 * portable_log(square) / square);
    }
}

uint64_t rng_below(struct rng *rng, uint64_t n) {
    uint64_t surplus = -n % n; /* 2^64 mod n: so many values would make the first ones likelier */
    for (;;) {
        uint64_t drawn = rng_next(rng);
        if (drawn >= surplus)
            return drawn % n;
    }
}

uint64_t rng_hash(uint64_t seed, const void *bytes, size_t n) {
    const unsigned char *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u ^ mix(seed);
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return mix(hash);
}
