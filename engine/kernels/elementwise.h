/*
 * What every level compiles for itself from the same C: the activations but for tanh and sigmoid (sigmoid.h), and axpy. The
 * level defines activate_tanh and activate_sigmoid before it includes this. Internal to the kernels.
 *
 * The rare ones, from softplus on, go through libm in double and are rounded once: every level gets the same bits there
 * too, but another libm may give others.
 */
#ifndef ENGINE_KERNELS_ELEMENTWISE_H
#define ENGINE_KERNELS_ELEMENTWISE_H

#include "engine/kernels/kernels.h"

#include <assert.h>
#include <math.h>

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

static void axpy(int n, double a, const double *restrict x, double *restrict y) {
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

/* x [n] = function(x), a loop that the compiler vectorizes where it can. */
#define EACH(function) \
    for (size_t i = 0; i < n; i++) \
    x[i] = function(x[i])

static void activate(enum activation activation, size_t rows, size_t width, float *x) {
    size_t n = rows * width;
    switch (activation) {
    case ACTIVATION_LINEAR: break;
    case ACTIVATION_TANH: activate_tanh(n, x); break;
    case ACTIVATION_SIGMOID: activate_sigmoid(n, x); break;
    case ACTIVATION_RELU: EACH(activation_relu); break;
    case ACTIVATION_HARD_SIGMOID: EACH(activation_hard_sigmoid); break;
    case ACTIVATION_HARD_SIGMOID_KERAS2: EACH(activation_hard_sigmoid_keras2); break;
    case ACTIVATION_SOFTSIGN: EACH(activation_softsign); break;
    case ACTIVATION_SOFTPLUS: EACH(activation_softplus); break;
    case ACTIVATION_ELU: EACH(activation_elu); break;
    case ACTIVATION_SELU: EACH(activation_selu); break;
    case ACTIVATION_SWISH: EACH(activation_swish); break;
    case ACTIVATION_GELU: EACH(activation_gelu); break;
    case ACTIVATION_EXPONENTIAL: EACH(activation_exponential); break;
    case ACTIVATION_SOFTMAX:
        for (size_t r = 0; r < rows; r++)
            activation_softmax(width, x + r * width);
        break;
    case N_ACTIVATIONS: assert(0 && "no activation");
    }
}

#endif
