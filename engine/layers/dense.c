/*
 * Dense, at every step by itself: y = activation(x W + b). In and out [steps x rows x width];
 * parameters W [n_in x units], b [units].
 */
#include "engine/init.h"
#include "engine/layers/layer.h"
#include "engine/product.h"

#include <assert.h>

static int dense_build(struct layer *layer, struct layer_build *build) {
    int n_in = build->in[0].width, units = layer->spec.units;
    if (layer_check_inputs(layer, build, 1, 1) || layer_check_size(build, "units", units))
        return -1;
    enum activation activation = layer->spec.activation;
    if (activation != ACTIVATION_LINEAR && activation != ACTIVATION_TANH && activation != ACTIVATION_SIGMOID &&
        activation != ACTIVATION_RELU)
        return error_set(build->err, "activation %d is unknown", (int)activation);
    layer_like_input(layer, build, units);
    if (layer_add_weight(layer, build, "kernel", true, 2, (int[]){n_in, units}) ||
        layer_add_weight(layer, build, "bias", true, 1, &units))
        return -1;
    return 0;
}

static const float *bias_of(const struct layer *layer, const struct port *x, const float *params) {
    return params + (size_t)x->width * (size_t)layer->spec.units;
}

static void dense_init_weights(const struct layer *layer, struct rng *rng, float *params) {
    int units = layer->spec.units, n_in = (int)(layer->n_params / (size_t)units) - 1;
    init_glorot_uniform(rng, n_in, units, params);
    memset(params + (size_t)n_in * (size_t)units, 0, (size_t)units * sizeof *params);
}

static void dense_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    int n = x->steps * run->rows, units = layer->spec.units;

    run->kernels->dense(n, x->width, units, run->params, bias_of(layer, x, run->params), x->data, y->data);
    run->kernels->activate(layer->spec.activation, (size_t)n, (size_t)units, y->data);
}

static void dense_tape_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    int n = x->steps * run->rows, units = layer->spec.units;

    rows_fill(n, units, bias_of(layer, x, run->params), y->data);
    product(n, units, x->width, x->data, run->params, 1, y->data);
    run->kernels->activate(layer->spec.activation, (size_t)n, (size_t)units, y->data);
}

/* The gradient before activation. */
static size_t dense_tape_size(const struct layer *layer, int rows, int steps) {
    return (size_t)rows * (size_t)steps * (size_t)layer->spec.units;
}

/* dz[i] = dy[i] times the activation's slope, by what came out of it. */
static void activation_backward(enum activation activation, size_t n, const float *y, const float *dy, float *dz) {
    switch (activation) {
    case ACTIVATION_LINEAR: memcpy(dz, dy, n * sizeof *dz); break;
    case ACTIVATION_TANH:
        for (size_t i = 0; i < n; i++)
            dz[i] = dy[i] * (1 - y[i] * y[i]);
        break;
    case ACTIVATION_SIGMOID:
        for (size_t i = 0; i < n; i++)
            dz[i] = dy[i] * y[i] * (1 - y[i]);
        break;
    case ACTIVATION_RELU:
        for (size_t i = 0; i < n; i++)
            dz[i] = y[i] > 0 ? dy[i] : 0;
        break;
    default: assert(!"an activation of Keras that is not there yet");
    }
}

static void dense_backward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    int n = x->steps * run->rows, units = layer->spec.units;
    float *dz = run->work;

    activation_backward(layer->spec.activation, (size_t)n * (size_t)units, y->data, y->grad, dz);
    product_of_transposed(x->width, units, n, x->data, dz, run->grads);
    rows_add(n, units, dz, run->grads + (size_t)x->width * (size_t)units);
    if (x->grad)
        product_with_transposed(n, x->width, units, dz, run->params, 1, x->grad);
}

const struct layer_ops layer_dense = {
    .name = "Dense",
    .build = dense_build,
    .init_weights = dense_init_weights,
    .tape_size = dense_tape_size,
    .forward = dense_forward,
    .tape_forward = dense_tape_forward,
    .backward = dense_backward,
};
