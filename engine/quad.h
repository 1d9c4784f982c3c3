/*
 * Four floats at once: what a stream keeps of targets and levels is updated with each tick, and four updates cost as
 * one. Each lane does what the same expression does of floats, to the last bit.
 */
#ifndef ENGINE_QUAD_H
#define ENGINE_QUAD_H

#include <math.h>
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

/* Neither is commutative for NaN: that gives b. */
static inline quad quad_larger(quad a, quad b) {
#ifdef __SSE__
    return (quad)__builtin_ia32_maxps(a, b);
#else
    return quad_choose(a > b, a, b);
#endif
}

static inline quad quad_smaller(quad a, quad b) {
#ifdef __SSE__
    return (quad)__builtin_ia32_minps(a, b);
#else
    return quad_choose(a < b, a, b);
#endif
}

/* Two doubles. */
typedef double pair __attribute__((vector_size(16)));
typedef int64_t pair_mask __attribute__((vector_size(16)));

static inline pair pair_load(const double *at) {
    pair x;
    memcpy(&x, at, sizeof x);
    return x;
}

static inline void pair_store(double *at, pair x) {
    memcpy(at, &x, sizeof x);
}

static inline pair pair_of(double x) {
    return (pair){x, x};
}

static inline pair pair_choose(pair_mask mask, pair a, pair b) {
    return (pair)((mask & (pair_mask)a) | (~mask & (pair_mask)b));
}

static inline pair pair_larger(pair a, pair b) {
#ifdef __SSE2__
    return (pair)__builtin_ia32_maxpd(a, b);
#else
    return pair_choose(a > b, a, b);
#endif
}

static inline pair pair_smaller(pair a, pair b) {
#ifdef __SSE2__
    return (pair)__builtin_ia32_minpd(a, b);
#else
    return pair_choose(a < b, a, b);
#endif
}

static inline pair pair_root(pair x) {
#ifdef __SSE2__
    return (pair)__builtin_ia32_sqrtpd(x);
#else
    return (pair){sqrt(x[0]), sqrt(x[1])};
#endif
}

#endif
