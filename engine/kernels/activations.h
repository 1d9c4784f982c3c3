/*
 * tanh and sigmoid of one float, by sigmoid.h; a loop over them is vectorized by the compiler. With KERNELS_PLAIN without fused
 * multiply-add. Internal to the kernels.
 */
#ifndef ENGINE_KERNELS_ACTIVATIONS_H
#define ENGINE_KERNELS_ACTIVATIONS_H

#include <stdint.h>
#include <string.h>

typedef float vec;

static inline vec v_set(float a) {
    return a;
}

static inline vec v_add(vec a, vec b) {
    return a + b;
}

static inline vec v_sub(vec a, vec b) {
    return a - b;
}

static inline vec v_mul(vec a, vec b) {
    return a * b;
}

static inline vec v_div(vec a, vec b) {
    return a / b;
}

static inline vec v_fma(vec a, vec b, vec c) {
#ifdef KERNELS_PLAIN
    return a * b + c;
#else
    return __builtin_fmaf(a, b, c);
#endif
}

static inline vec v_less(vec a, vec b) {
    return a < b ? a : b;
}

static inline vec v_more(vec a, vec b) {
    return a > b ? a : b;
}

static inline vec v_power(vec a, vec t) {
    uint32_t bits, n;
    memcpy(&bits, &a, sizeof bits);
    memcpy(&n, &t, sizeof n);
    bits += n << 23;
    memcpy(&a, &bits, sizeof a);
    return a;
}

static inline vec v_abs(vec a) {
    return __builtin_fabsf(a);
}

static inline vec v_sign(vec a, vec b) {
    return __builtin_copysignf(a, b);
}

#include "engine/kernels/sigmoid.h"

static inline float activation_tanh(float x) {
    tanhs(1, &x);
    return x;
}

static inline float activation_sigmoid(float x) {
    sigmoids(1, &x);
    return x;
}

#endif
