/*
 * The activations, as plain arithmetic on one float: fused multiply-adds, exact divisions and
 * comparisons, no branch, no table, no libm. Every level computes them by this file, scalar or
 * vectorized by the compiler, and gets the same bits. Internal to the kernels.
 *
 * Over all floats, infinities included: |tanh - exact| and |sigmoid - exact| <= 1.5e-7, tanh within
 * [-1, 1] and odd, sigmoid within [0, 1]. NaN gives NaN. tests/unit/test_kernels.c measures it.
 *
 * The rare ones, from softplus on, go through libm in double and are rounded once: every level gets
 * the same bits there too, but another libm may give others.
 */
#ifndef ENGINE_KERNELS_ACTIVATIONS_H
#define ENGINE_KERNELS_ACTIVATIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The comparisons are this way round so that NaN passes through. */
static inline float clamp_to(float x, float limit) {
    x = x > limit ? limit : x;
    return x < -limit ? -limit : x;
}

/* e^x for |x| <= 87, beyond that as at the border; relative error below 2e-7.
 * e^x = 2^n e^r, n = round(x / ln 2), |r| <= ln 2 / 2; the polynomial is Cephes' expf. */
static inline float activation_exp(float x) {
    const float round_by = 0x1.8p23f; /* adding it leaves an integer in the low bits of the mantissa */

    x = clamp_to(x, 87.0f);
    float shifted = __builtin_fmaf(x, 1.44269504f, round_by);
    float n = shifted - round_by;
    float r = __builtin_fmaf(n, -0.693359375f, x); /* ln 2 in two parts, the first one exact in 10 bits */
    r = __builtin_fmaf(n, 2.12194440e-4f, r);

    float p = 1.9875691500e-4f;
    p = __builtin_fmaf(p, r, 1.3981999507e-3f);
    p = __builtin_fmaf(p, r, 8.3334519073e-3f);
    p = __builtin_fmaf(p, r, 4.1665795894e-2f);
    p = __builtin_fmaf(p, r, 1.6666665459e-1f);
    p = __builtin_fmaf(p, r, 5.0000001201e-1f);
    p = __builtin_fmaf(p, r * r, r) + 1.0f;

    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23; /* n + 127 as an exponent; the rest of the mantissa falls off */
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* By bits: given ?:, gcc moves the arithmetic into the branches and then does not vectorize the loop. */
static inline float choose(int which, float if_true, float if_false) {
    uint32_t yes, no, mask = -(uint32_t)which;
    memcpy(&yes, &if_true, sizeof yes);
    memcpy(&no, &if_false, sizeof no);
    yes = (yes & mask) | (no & ~mask);
    memcpy(&if_true, &yes, sizeof if_true);
    return if_true;
}

static inline float activation_sigmoid(float x) {
    return 1.0f / (1.0f + activation_exp(-x));
}

/* Cephes' polynomial near zero, where the other form would lose its digits; beyond it
 * 1 - 2 / (e^2|x| + 1). */
static inline float activation_tanh(float x) {
    float size = __builtin_fabsf(x), z = x * x;

    float p = -5.70498872745e-3f;
    p = __builtin_fmaf(p, z, 2.06390887954e-2f);
    p = __builtin_fmaf(p, z, -5.37397155531e-2f);
    p = __builtin_fmaf(p, z, 1.33314422036e-1f);
    p = __builtin_fmaf(p, z, -3.33332819422e-1f);
    float near_zero = __builtin_fmaf(p * z, size, size);
    float far = 1.0f - 2.0f / (activation_exp(size + size) + 1.0f);
    return __builtin_copysignf(choose(size < 0.625f, near_zero, far), x);
}

static inline float activation_relu(float x) {
    return x < 0.0f ? 0.0f : x;
}

static inline float activation_hard_sigmoid(float x) {
    float y = (x + 3.0f) / 6.0f;
    y = y < 0.0f ? 0.0f : y;
    return y > 1.0f ? 1.0f : y;
}

static inline float activation_hard_sigmoid_keras2(float x) {
    float y = 0.2f * x + 0.5f;
    y = y < 0.0f ? 0.0f : y;
    return y > 1.0f ? 1.0f : y;
}

static inline float activation_softsign(float x) {
    return x / (1.0f + __builtin_fabsf(x));
}

/* log(1 + e^x), of which e^-|x| cannot overflow. */
static inline float activation_softplus(float x) {
    return (float)(fmax((double)x, 0) + log1p(exp(-fabs((double)x))));
}

static inline float activation_elu(float x) {
    return x > 0.0f ? x : (float)expm1((double)x);
}

/* Klambauer et al., Self-Normalizing Neural Networks: scale, and scale times alpha. */
static inline float activation_selu(float x) {
    const double scale = 1.0507009873554805, alpha = 1.6732632423543772;
    return (float)(x > 0.0f ? scale * (double)x : scale * alpha * expm1((double)x));
}

static inline float activation_swish(float x) {
    return (float)((double)x / (1 + exp(-(double)x)));
}

/* x times the normal distribution's share below x; by erfc, which keeps its digits far below zero. */
static inline float activation_gelu(float x) {
    return (float)(0.5 * (double)x * erfc(-0.70710678118654752 * (double)x));
}

static inline float activation_exponential(float x) {
    return (float)exp((double)x);
}

/* Over the whole of x [width]; what is subtracted from all of it does not change the shares. */
static inline void activation_softmax(size_t width, float *x) {
    float most = x[0];
    double sum = 0;
    for (size_t j = 1; j < width; j++)
        most = x[j] > most ? x[j] : most;
    for (size_t j = 0; j < width; j++)
        sum += exp((double)x[j] - (double)most);
    for (size_t j = 0; j < width; j++)
        x[j] = (float)(exp((double)x[j] - (double)most) / sum);
}

#endif
