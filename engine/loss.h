/* Losses of a forecast against its answer, over weighted elements. Pure functions. */
#ifndef ENGINE_LOSS_H
#define ENGINE_LOSS_H

#include <stddef.h>

enum loss {
    LOSS_MSE,
    LOSS_MAE,
    LOSS_HUBER, /* delta 1: half the square up to 1, linear beyond; the loss of Keras' Huber */
};

/* Returns sum_i weight[i] loss(y[i] - answer[i]); where weight[i] is 0 the answer is not read and may be
 * NaN. With gradient not NULL, gradient[i] = scale * weight[i] * d loss / d y[i]. All arrays [n]. */
double loss_sum(enum loss loss, size_t n, const float *y, const float *answer, const float *weight, float scale,
                float *gradient);

#endif
