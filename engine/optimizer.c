#include "engine/optimizer.h"

#include <math.h>
#include <stdlib.h>

struct optimizer {
    struct optimizer_spec spec;
    size_t n;
    double power_1, power_2; /* beta_1 and beta_2 to the number of steps made */
    float *mean, *square;    /* first and second moment [n] */
};

struct optimizer *optimizer_new(const struct optimizer_spec *spec, size_t n) {
    struct optimizer *optimizer = calloc(1, sizeof *optimizer);
    if (!optimizer)
        return NULL;
    optimizer->spec = *spec;
    optimizer->n = n;
    optimizer->power_1 = optimizer->power_2 = 1;
    optimizer->mean = calloc(n + 1, sizeof *optimizer->mean); /* + 1: never of size zero */
    optimizer->square = calloc(n + 1, sizeof *optimizer->square);
    if (!optimizer->mean || !optimizer->square) {
        optimizer_free(optimizer);
        return NULL;
    }
    return optimizer;
}

void optimizer_free(struct optimizer *optimizer) {
    if (!optimizer)
        return;
    free(optimizer->mean);
    free(optimizer->square);
    free(optimizer);
}

void optimizer_set_rate(struct optimizer *optimizer, double learning_rate) {
    optimizer->spec.learning_rate = learning_rate;
}

/* Returns the norm before clipping. */
static double clip(double clip_norm, size_t n, float *grads) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)grads[i] * (double)grads[i];
    double norm = sqrt(sum);

    if (clip_norm > 0 && isfinite(norm) && norm > clip_norm) {
        float factor = (float)(clip_norm / norm);
        for (size_t i = 0; i < n; i++)
            grads[i] *= factor;
    }
    return norm;
}

/*     m = beta_1 m + (1 - beta_1) g        v = beta_2 v + (1 - beta_2) g^2
 *     w = w - alpha m / (sqrt(v) + epsilon)
 *     alpha = rate sqrt(1 - beta_2^t) / (1 - beta_1^t) */
double optimizer_step(struct optimizer *optimizer, float *params, float *grads) {
    const struct optimizer_spec *spec = &optimizer->spec;
    double norm = clip(spec->clip_norm, optimizer->n, grads);
    if (!isfinite(norm))
        return norm;

    optimizer->power_1 *= spec->beta_1;
    optimizer->power_2 *= spec->beta_2;
    float alpha = (float)(spec->learning_rate * sqrt(1 - optimizer->power_2) / (1 - optimizer->power_1));
    float blend_1 = (float)(1 - spec->beta_1), blend_2 = (float)(1 - spec->beta_2), epsilon = (float)spec->epsilon;
    float *mean = optimizer->mean, *square = optimizer->square;

    for (size_t i = 0; i < optimizer->n; i++) {
        mean[i] += (grads[i] - mean[i]) * blend_1;
        square[i] += (grads[i] * grads[i] - square[i]) * blend_2;
        params[i] -= alpha * mean[i] / (sqrtf(square[i]) + epsilon);
    }
    return norm;
}
