/*
 * Four floats at once: what a stream keeps of targets and levels is updated with each tick, and four updates cost as
 * one. Each lane does what the same expression does of floats, to the last bit.
 */
#ifndef ENGINE_QUAD_H
#define ENGINE_QUAD_H

#include <stdint.h>
#include <string.h>

enum { QUAD = 4 };
typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_mask __attribute__((vector_size(16))); /* of a comparison: 0, or all bits */

static inline quad quad_load(const float *at) {
    quad x;
    memcpy(&x, at, sizeof x);
    return x;
}

static inline void quad_store(float *at, quad x) {
    memcpy(at, &x, sizeof x);
}

static inline quad quad_of(float x) {
    return (quad){x, x, x, x};
}

/* By lane: a where the mask is set, else b. */
static inline quad quad_choose(quad_mask mask, quad a, quad b) {
    return (quad)((mask & (quad_mask)a) | (~mask & (quad_mask)b));
}

static inline quad quad_larger(quad a, quad b) {
    return quad_choose(a > b, a, b);
}

static inline quad quad_smaller(quad a, quad b) {
    return quad_choose(a < b, a, b);
}

#endif
