/*
 * Optimizers and gradient clipping, as Keras 3 has them. One thread at a time.
 *
 * SGD with momentum (Nesterov's where asked for), RMSprop (Tieleman and Hinton, 2012), Adam (Kingma and Ba, 2015, in
 * the form that closes their section 2: epsilon stands beside the root of the uncorrected moment, and the step's size
 * takes both corrections), AdamW (Loshchilov and Hutter, 2019): Adam with a decay of the weights that does not go
 * through the gradient.
 */
#ifndef ENGINE_OPTIMIZER_H
#define ENGINE_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>

enum optimizer_kind { OPTIMIZER_ADAM, OPTIMIZER_ADAMW, OPTIMIZER_SGD, OPTIMIZER_RMSPROP };

struct optimizer_spec {
    enum optimizer_kind kind;
    double learning_rate;  /* per step, > 0 */
    double beta_1, beta_2; /* Adam's */
    double epsilon;        /* Adam's and RMSprop's */
    double rho;            /* RMSprop's share of the past in its mean of squares */
    double momentum;       /* of SGD and RMSprop; 0 for none */
    bool nesterov;         /* SGD: the step looks ahead along its momentum */
    /* Each step takes the share learning_rate * weight_decay off the weights, whatever the kind, as in Keras; AdamW's
     * default there is 0.004. 0 for none. */
    double weight_decay;
    double clip_value; /* largest size of an element of a gradient; 0 for none */
    double clip_norm;  /* largest global L2 norm of a gradient, after clip_value; 0 for none */
};

/* Keras' defaults for a kind: beta_1, beta_2, epsilon, rho and weight_decay; no momentum, no clipping, rate 0. */
struct optimizer_spec optimizer_spec_of(enum optimizer_kind kind);

struct optimizer;

/* Moments for n parameters, all zero. NULL without memory. */
struct optimizer *optimizer_new(const struct optimizer_spec *spec, size_t n);
void optimizer_free(struct optimizer *optimizer);

/* The learning rate of the steps to come, > 0; schedules are the caller's. */
void optimizer_set_rate(struct optimizer *optimizer, double learning_rate);

/* Parameters at .. at + n - 1 are not decayed: for those that are not trained (a moving mean). */
void optimizer_spare(struct optimizer *optimizer, size_t at, size_t n);

/* Clips grads [n] in place, and makes one step on params [n]. Returns the norm before clipping; when it is not
 * finite, params and moments are left as they were. */
double optimizer_step(struct optimizer *optimizer, float *params, float *grads);

#endif
