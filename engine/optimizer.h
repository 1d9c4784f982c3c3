/* Adam and gradient clipping. One thread at a time.
 * Kingma and Ba, 2015, in the form that closes their section 2, as Keras has it: epsilon stands beside
 * the root of the uncorrected moment, and the step's size takes both corrections. */
#ifndef ENGINE_OPTIMIZER_H
#define ENGINE_OPTIMIZER_H

#include <stddef.h>

struct optimizer_spec {
    double learning_rate; /* per step, > 0 */
    double beta_1, beta_2;
    double epsilon;
    double clip_norm; /* largest global L2 norm of a gradient; 0 for none */
};

struct optimizer;

/* Moments for n parameters, all zero. NULL without memory. */
struct optimizer *optimizer_new(const struct optimizer_spec *spec, size_t n);
void optimizer_free(struct optimizer *optimizer);

/* The learning rate of the steps to come, > 0; schedules are the caller's. */
void optimizer_set_rate(struct optimizer *optimizer, double learning_rate);

/* Clips grads [n] in place to the global norm, and makes one step on params [n]. Returns the norm
 * before clipping; when it is not finite, params and moments are left as they were. */
double optimizer_step(struct optimizer *optimizer, float *params, float *grads);

#endif
