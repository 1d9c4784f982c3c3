/*
 * LeakyReLU and PReLU: what is below zero is multiplied by a slope, LeakyReLU's alpha or PReLU's parameters
 * [steps x width], or [1 x width] for all steps; [width] without a time axis. Masks are handed on.
 */
#include "engine/layers/layer.h"

#include <string.h>

/* ---- LeakyReLU ---------------------------------------------------------------------------------- */

static int leaky_build(struct layer *layer, struct layer_build *build) {
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    layer_like_input(layer, build, build->in[0].width);
    return 0;
}

static size_t n_values(const struct layer_run *run) {
    return (size_t)run->rows * (size_t)run->in[0].steps * (size_t)run->in[0].width;
}

static void leaky_forward(const struct layer *layer, const struct layer_run *run) {
    const float *x = run->in[0].data;
    for (size_t i = 0, n = n_values(run); i < n; i++)
        run->out[0].data[i] = x[i] > 0 ? x[i] : layer->spec.alpha * x[i];
}

/* At zero, TensorFlow's slope is the lower one. */
static void leaky_backward(const struct layer *layer, const struct layer_run *run) {
    const float *x = run->in[0].data, *dy = run->out[0].grad;
    for (size_t i = 0, n = run->in[0].grad ? n_values(run) : 0; i < n; i++)
        run->in[0].grad[i] += x[i] > 0 ? dy[i] : layer->spec.alpha * dy[i];
}

const struct layer_ops layer_leaky_relu = {
    .name = "LeakyReLU",
    .build = leaky_build,
    .forward = leaky_forward,
    .backward = leaky_backward,
};

/* ---- PReLU -------------------------------------------------------------------------------------- */

static int prelu_build(struct layer *layer, struct layer_build *build) {
    const struct tensor *in = &build->in[0];
    int steps = 1;
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    if (!layer->spec.shared_steps && layer->mode == NETWORK_STREAM && in->sequence && in->of_call)
        return error_set(build->err,
                         "has a slope for each step of a sample, and a stream has no end: it runs on windows");
    if (!layer->spec.shared_steps && layer_fixed_steps(build, in, &steps))
        return -1;
    layer_like_input(layer, build, in->width);
    if (!in->sequence)
        return layer_add_weight(layer, build, "alpha", true, 1, &in->width);
    return layer_add_weight(layer, build, "alpha", true, 2, (int[]){steps, in->width});
}

static void prelu_init_weights(const struct layer *layer, struct rng *rng, float *params) {
    (void)rng;
    memset(params, 0, layer->n_params * sizeof *params);
}

/* The slopes [width] for a vector of the tensor (steps and rows, counted through), from where they begin. */
static size_t alpha_at(const struct layer *layer, const struct layer_run *run, size_t vector) {
    size_t width = (size_t)run->in[0].width;
    return layer->n_params == width ? 0 : vector / (size_t)run->rows * width;
}

static size_t n_vectors(const struct layer_run *run) {
    return (size_t)run->rows * (size_t)run->in[0].steps;
}

static void prelu_forward(const struct layer *layer, const struct layer_run *run) {
    size_t width = (size_t)run->in[0].width;
    for (size_t i = 0; i < n_vectors(run); i++) {
        const float *x = run->in[0].data + i * width, *alpha = run->params + alpha_at(layer, run, i);
        float *y = run->out[0].data + i * width;
        for (size_t j = 0; j < width; j++)
            y[j] = x[j] > 0 ? x[j] : alpha[j] * x[j];
    }
}

/* Keras computes relu(x) - alpha relu(-x), which has no slope at zero. */
static void prelu_backward(const struct layer *layer, const struct layer_run *run) {
    size_t width = (size_t)run->in[0].width;
    for (size_t i = 0; i < n_vectors(run) * width; i++) {
        float x = run->in[0].data[i], dy = run->out[0].grad[i];
        size_t at = alpha_at(layer, run, i / width) + i % width;
        if (x < 0)
            run->grads[at] += dy * x;
        if (run->in[0].grad)
            run->in[0].grad[i] += x > 0 ? dy : x < 0 ? run->params[at] * dy : 0;
    }
}

const struct layer_ops layer_prelu = {
    .name = "PReLU",
    .build = prelu_build,
    .init_weights = prelu_init_weights,
    .forward = prelu_forward,
    .backward = prelu_backward,
};
