/*
 * Losses of a forecast against its answer, over weighted elements. Pure functions.
 *
 * A head puts out `width` numbers for each answer: one for a point forecast; the median and two bounds for each level
 * (quantile); the parameters of a distribution (gaussian, student_t: engine/distribution.h); a logit of the
 * probability that the answer is 1 and not 0 (binary_crossentropy), or a logit for each class, of which the answer is
 * one by its number (categorical_crossentropy).
 */
#ifndef ENGINE_LOSS_H
#define ENGINE_LOSS_H

#include <stdbool.h>
#include <stddef.h>

enum loss {
    LOSS_MSE,
    LOSS_MAE,
    LOSS_HUBER, /* delta 1: half the square up to 1, linear beyond; the loss of Keras' Huber */
    LOSS_QUANTILE,
    LOSS_GAUSSIAN,
    LOSS_STUDENT_T,
    LOSS_BINARY_CROSSENTROPY, /* answers between 0 and 1 are shares of the two */
    LOSS_CATEGORICAL_CROSSENTROPY,
};

/* A loss and what it must know. */
struct loss_spec {
    enum loss loss;
    const double *levels; /* quantile: [n_levels] percent of the answers that lie between two bounds; borrowed */
    int n_levels;
    int n_classes; /* categorical_crossentropy */
    /* Cross-entropies: y are no logits, but what a sigmoid or softmax has made of them; as in Keras within 1e-7 of 0
     * and 1 there is no slope. */
    bool probabilities;
};

/* Numbers for each answer. */
int loss_width(const struct loss_spec *spec);

/* The probabilities of the quantiles in their order: 0.5, then of each level the lower and the upper bound's. */
double loss_level(const struct loss_spec *spec, int index);

/* The probability that a logit means. */
double loss_probability(double logit);

/* Returns sum_i weight[i] loss(y of i, answer[i]); where weight[i] is 0 the answer is not read and may be NaN. With
 * gradient not NULL it gets scale * weight[i] * d loss / d y. answer, weight: [places x n]; y, gradient:
 * [places x width x n], so that the point forecasts of a place come first. The loss of
 *
 *     quantile                   2 / width  times the sum of the pinball losses, each p (a - q) or (p - 1) (a - q):
 *                                of no level it is MAE, of many the continuous ranked probability score
 *                                (Koenker and Bassett, 1978)
 *     gaussian, student_t        the negative logarithm of the density
 *     binary_crossentropy, categorical_crossentropy        the negative logarithm of the answer's probability
 */
double loss_sum(const struct loss_spec *spec, size_t places, size_t n, const float *y, const float *answer,
                const float *weight, float scale, float *gradient);

/* The point forecasts of a head (not of several classes), [places x n], from y [places x width x n]: the first number
 * of each answer; of a logit the probability. */
void loss_points(const struct loss_spec *spec, size_t places, size_t n, const float *y, float *ret_points);

/* What judges the point forecasts of a network that is trained by the loss, beside other point forecasts: MSE, MAE
 * and Huber themselves; of a median and of Student's location MAE, of a mean MSE, which of a probability is the Brier
 * score. */
enum loss loss_point(enum loss loss);

#endif
