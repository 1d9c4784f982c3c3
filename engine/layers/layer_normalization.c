/*
 * LayerNormalization over the last axis (Ba, Kiros and Hinton, 2016): each step of each row by its own mean and
 * variance (by n),
 *
 *     y = gamma (x - mean) / sqrt(variance + epsilon) + beta
 *
 * In and out [steps x rows x width]; parameters gamma and beta [width], both may be left out. Masks are handed on.
 */
#include "engine/layers/layer.h"

#include <math.h>

static int norm_build(struct layer *layer, struct layer_build *build) {
    int width = build->in[0].width;
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    layer_like_input(layer, build, width);
    if ((layer->spec.scale && layer_add_weight(layer, build, "gamma", true, 1, &width)) ||
        (layer->spec.center && layer_add_weight(layer, build, "beta", true, 1, &width)))
        return -1;
    return 0;
}

/* Of parameters or gradients; NULL: left out. */
static float *gamma_of(const struct layer *layer, float *params) {
    return layer->spec.scale ? params : NULL;
}

static float *beta_of(const struct layer *layer, float *params, size_t width) {
    return layer->spec.center ? params + (layer->spec.scale ? width : 0) : NULL;
}

static void norm_init_weights(const struct layer *layer, struct rng *rng, float *params) {
    (void)rng;
    for (size_t i = 0; i < layer->n_params; i++)
        params[i] = layer->spec.scale && i < layer->weights[0].n ? 1 : 0;
}

struct moments {
    float mean, root; /* 1 / sqrt(variance + epsilon) */
};

static struct moments moments_of(const struct layer *layer, const float *x, size_t width) {
    double sum = 0, squares = 0;
    for (size_t j = 0; j < width; j++)
        sum += (double)x[j];
    double mean = sum / (double)width;
    for (size_t j = 0; j < width; j++)
        squares += ((double)x[j] - mean) * ((double)x[j] - mean);
    return (struct moments){.mean = (float)mean,
                            .root = 1 / sqrtf((float)(squares / (double)width) + layer->spec.epsilon)};
}

/* In Keras' order of operations: x inv + (beta - mean inv), with inv = gamma root. */
static void norm_forward(const struct layer *layer, const struct layer_run *run) {
    size_t width = (size_t)run->in[0].width, n = (size_t)run->rows * (size_t)run->in[0].steps;
    const float *gamma = gamma_of(layer, (float *)run->params), *beta = beta_of(layer, (float *)run->params, width);
    for (size_t i = 0; i < n; i++) {
        const float *x = run->in[0].data + i * width;
        float *y = run->out[0].data + i * width;
        struct moments moments = moments_of(layer, x, width);
        for (size_t j = 0; j < width; j++) {
            float inv = moments.root * (gamma ? gamma[j] : 1);
            y[j] = x[j] * inv + ((beta ? beta[j] : 0) - moments.mean * inv);
        }
    }
}

/* With h = (x - mean) root and g = dy gamma: dx = root (g - mean(g) - h mean(g h)). */
static void vector_backward(const struct layer *layer, const struct layer_run *run, size_t at, float *dgamma,
                            float *dbeta) {
    size_t width = (size_t)run->in[0].width;
    const float *x = run->in[0].data + at, *dy = run->out[0].grad + at,
                *gamma = gamma_of(layer, (float *)run->params);
    struct moments moments = moments_of(layer, x, width);
    double mean = (double)moments.mean, root = (double)moments.root, sum = 0, along = 0;

    for (size_t j = 0; j < width; j++) {
        double h = ((double)x[j] - mean) * root, g = (double)dy[j] * (gamma ? (double)gamma[j] : 1);
        sum += g;
        along += g * h;
        if (dgamma)
            dgamma[j] += (float)((double)dy[j] * h);
        if (dbeta)
            dbeta[j] += dy[j];
    }
    for (size_t j = 0; run->in[0].grad && j < width; j++) {
        double h = ((double)x[j] - mean) * root, g = (double)dy[j] * (gamma ? (double)gamma[j] : 1);
        run->in[0].grad[at + j] += (float)(root * (g - (sum + h * along) / (double)width));
    }
}

static void norm_backward(const struct layer *layer, const struct layer_run *run) {
    size_t width = (size_t)run->in[0].width, n = (size_t)run->rows * (size_t)run->in[0].steps;
    for (size_t i = 0; i < n; i++)
        vector_backward(layer, run, i * width, gamma_of(layer, run->grads), beta_of(layer, run->grads, width));
}

const struct layer_ops layer_layer_normalization = {
    .name = "LayerNormalization",
    .build = norm_build,
    .init_weights = norm_init_weights,
    .forward = norm_forward,
    .backward = norm_backward,
};
