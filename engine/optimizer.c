#include "engine/optimizer.h"

#include "engine/kernels/tape_kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct optimizer {
    struct optimizer_spec spec;
    const struct tape_kernels *kernels;
    size_t n;
    double power_1, power_2; /* Adam: beta_1 and beta_2 to the number of steps made */
    float *moment, *square;  /* [n]: Adam's first and second moment; the momentum, RMSprop's mean of squares */
    unsigned char *spared;   /* [n] 1: is not decayed; NULL: nothing is decayed */
};

struct optimizer_spec optimizer_spec_of(enum optimizer_kind kind) {
    return (struct optimizer_spec){
        .kind = kind,
        .beta_1 = 0.9,
        .beta_2 = 0.999,
        .epsilon = 1e-7,
        .rho = 0.9,
        .weight_decay = kind == OPTIMIZER_ADAMW ? 0.004 : 0,
    };
}

struct optimizer *optimizer_new(const struct optimizer_spec *spec, size_t n) {
    struct optimizer *optimizer = calloc(1, sizeof *optimizer);
    if (!optimizer)
        return NULL;
    optimizer->spec = *spec;
    optimizer->kernels = tape_kernels_choose();
    optimizer->n = n;
    optimizer->power_1 = optimizer->power_2 = 1;
    optimizer->moment = calloc(n + 1, sizeof *optimizer->moment); /* + 1: never of size zero */
    optimizer->square = calloc(n + 1, sizeof *optimizer->square);
    optimizer->spared = spec->weight_decay > 0 ? calloc(n + 1, 1) : NULL;
    if (!optimizer->moment || !optimizer->square || (spec->weight_decay > 0 && !optimizer->spared)) {
        optimizer_free(optimizer);
        return NULL;
    }
    return optimizer;
}

void optimizer_free(struct optimizer *optimizer) {
    if (!optimizer)
        return;
    free(optimizer->moment);
    free(optimizer->square);
    free(optimizer->spared);
    free(optimizer);
}

void optimizer_set_rate(struct optimizer *optimizer, double learning_rate) {
    optimizer->spec.learning_rate = learning_rate;
}

void optimizer_spare(struct optimizer *optimizer, size_t at, size_t n) {
    if (optimizer->spared)
        memset(optimizer->spared + at, 1, n);
}

/* In eight sums, as one would have to wait for each addition. */
static double norm_of(size_t n, const float *grads) {
    double sums[8] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++)
        sums[i % 8] += (double)grads[i] * (double)grads[i];
    for (int i = 0; i < 8; i++)
        sum += sums[i];
    return sqrt(sum);
}

/* grads have that norm, which is finite. */
static void clip(const struct optimizer_spec *spec, double norm, size_t n, float *grads) {
    if (spec->clip_value > 0) {
        float most = (float)spec->clip_value;
        for (size_t i = 0; i < n; i++)
            grads[i] = fminf(fmaxf(grads[i], -most), most);
        norm = norm_of(n, grads);
    }
    if (spec->clip_norm > 0 && norm > spec->clip_norm) {
        float factor = (float)(spec->clip_norm / norm);
        for (size_t i = 0; i < n; i++)
            grads[i] *= factor;
    }
}

static void decay(const struct optimizer *optimizer, float *params) {
    float share = (float)(optimizer->spec.weight_decay * optimizer->spec.learning_rate);
    for (size_t i = 0; i < optimizer->n; i++)
        if (!optimizer->spared[i])
            params[i] -= share * params[i];
}

/*     m = beta_1 m + (1 - beta_1) g        v = beta_2 v + (1 - beta_2) g^2
 *     w = w - alpha m / (sqrt(v) + epsilon)
 *     alpha = rate sqrt(1 - beta_2^t) / (1 - beta_1^t) */
static void step_adam(struct optimizer *optimizer, float *params, const float *grads) {
    const struct optimizer_spec *spec = &optimizer->spec;
    optimizer->power_1 *= spec->beta_1;
    optimizer->power_2 *= spec->beta_2;
    float alpha = (float)(spec->learning_rate * sqrt(1 - optimizer->power_2) / (1 - optimizer->power_1));
    float blend_1 = (float)(1 - spec->beta_1), blend_2 = (float)(1 - spec->beta_2), epsilon = (float)spec->epsilon;
    optimizer->kernels->adam(optimizer->n, alpha, blend_1, blend_2, epsilon, grads, optimizer->moment,
                             optimizer->square, params);
}

/*     m = momentum m - rate g        w = w + m, or with Nesterov w + momentum m - rate g */
static void step_sgd(struct optimizer *optimizer, float *params, const float *grads) {
    float rate = (float)optimizer->spec.learning_rate, momentum = (float)optimizer->spec.momentum;
    float *m = optimizer->moment;

    for (size_t i = 0; i < optimizer->n; i++) {
        m[i] = momentum * m[i] - rate * grads[i];
        params[i] += optimizer->spec.nesterov ? momentum * m[i] - rate * grads[i] : m[i];
    }
}

/*     v = rho v + (1 - rho) g^2        m = momentum m + rate g / sqrt(v + epsilon)        w = w - m */
static void step_rmsprop(struct optimizer *optimizer, float *params, const float *grads) {
    const struct optimizer_spec *spec = &optimizer->spec;
    float rate = (float)spec->learning_rate, momentum = (float)spec->momentum, epsilon = (float)spec->epsilon;
    float rho = (float)spec->rho, blend = (float)(1 - spec->rho);
    float *m = optimizer->moment, *square = optimizer->square;

    for (size_t i = 0; i < optimizer->n; i++) {
        square[i] = rho * square[i] + blend * (grads[i] * grads[i]);
        m[i] = momentum * m[i] + rate * grads[i] / sqrtf(square[i] + epsilon);
        params[i] -= m[i];
    }
}

double optimizer_step(struct optimizer *optimizer, float *params, float *grads) {
    const struct optimizer_spec *spec = &optimizer->spec;
    double norm = norm_of(optimizer->n, grads);
    if (!isfinite(norm))
        return norm;
    clip(spec, norm, optimizer->n, grads);
    if (optimizer->spared)
        decay(optimizer, params);
    switch (spec->kind) {
    case OPTIMIZER_ADAM:
    case OPTIMIZER_ADAMW: step_adam(optimizer, params, grads); break;
    case OPTIMIZER_SGD: step_sgd(optimizer, params, grads); break;
    case OPTIMIZER_RMSPROP: step_rmsprop(optimizer, params, grads); break;
    }
    return norm;
}
