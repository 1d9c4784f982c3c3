/* Seeded numbers that are the same on every machine: splitmix64 (Steele, Lea and Flood, 2014). */
#ifndef ENGINE_RANDOM_H
#define ENGINE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

uint64_t rng_next(struct rng *rng);
double rng_uniform(struct rng *rng);             /* in [0, 1), 53 bits */
double rng_normal(struct rng *rng);              /* mean 0, variance 1 */
uint64_t rng_below(struct rng *rng, uint64_t n); /* in [0, n), n > 0 */

/* A well-mixed hash of bytes and a seed (FNV-1a, then splitmix64's finalizer). */
uint64_t rng_hash(uint64_t seed, const void *bytes, size_t n);

#endif
