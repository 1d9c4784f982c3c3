/* The activations in doubles, as Keras defines them, for oracles. */
#ifndef TESTS_SUPPORT_EXACT_H
#define TESTS_SUPPORT_EXACT_H

#include "engine/kernels/kernels.h"

#include <math.h>

static inline double exact_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static inline double exact_clip(double x) {
    return fmin(fmax(x, 0), 1);
}

/* Of one number; softmax is not. */
static inline double exact_activated(enum activation activation, double x) {
    switch (activation) {
    case ACTIVATION_TANH: return tanh(x);
    case ACTIVATION_SIGMOID: return exact_sigmoid(x);
    case ACTIVATION_RELU: return fmax(x, 0);
    case ACTIVATION_HARD_SIGMOID: return exact_clip(x / 6 + 0.5);
    case ACTIVATION_HARD_SIGMOID_KERAS2: return exact_clip(0.2 * x + 0.5);
    case ACTIVATION_SOFTSIGN: return x / (1 + fabs(x));
    case ACTIVATION_SOFTPLUS: return x > 700 ? x : log(1 + exp(x));
    case ACTIVATION_ELU: return x > 0 ? x : exp(x) - 1;
    case ACTIVATION_SELU: return 1.05070098 * (x > 0 ? x : 1.67326324 * (exp(x) - 1));
    case ACTIVATION_SWISH: return x * exact_sigmoid(x);
    case ACTIVATION_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACTIVATION_EXPONENTIAL: return exp(x);
    default: return x;
    }
}

/* x [width] in place. */
static inline void exact_activate(enum activation activation, int width, double *x) {
    double sum = 0;
    for (int j = 0; j < width; j++)
        sum += exp(x[j]);
    for (int j = 0; j < width; j++)
        x[j] = activation == ACTIVATION_SOFTMAX ? exp(x[j]) / sum : exact_activated(activation, x[j]);
}

#endif
