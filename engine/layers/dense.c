/*
 * Dense, at every step by itself: y = activation(x W + b). In and out [steps x rows x width], or without a time axis;
 * parameters W [n_in x units], and b [units] unless use_bias is false.
 */
#include "engine/init.h"
#include "engine/layers/activation.h"
#include "engine/layers/layer.h"

#include <string.h>

static int dense_build(struct layer *layer, struct layer_build *build) {
    int n_in = build->in[0].width, units = layer->spec.units;
    if (layer_check_inputs(layer, build, 1, 1) || layer_check_size(build, "units", units))
        return -1;
    if (!activation_is_known(layer->spec.activation))
        return error_set(build->err, "activation %d is unknown", (int)layer->spec.activation);
    layer_like_input(layer, build, units);
    if (layer_add_weight(layer, build, "kernel", true, 2, (int[]){n_in, units}) ||
        (layer->spec.use_bias && layer_add_weight(layer, build, "bias", true, 1, &units)))
        return -1;
    return 0;
}

/* NULL: has none. */
static const float *bias_of(const struct layer *layer, const float *params) {
    return layer->spec.use_bias ? params + layer->weights[1].at : NULL;
}

static void dense_init_weights(const struct layer *layer, struct rng *rng, float *params) {
    const struct network_weight *kernel = &layer->weights[0];
    init_glorot_uniform(rng, kernel->dims[0], kernel->dims[1], params);
    memset(params + kernel->n, 0, (layer->n_params - kernel->n) * sizeof *params);
}

static struct packed packed_of(const struct layer *layer, enum precision precision, const float *blocks) {
    return (struct packed){KERNEL_DENSE, precision, layer->weights[0].dims[0], layer->spec.units, blocks};
}

static size_t dense_packed_size(const struct layer *layer) {
    return kernels_packed_size(KERNEL_DENSE, layer->weights[0].dims[0], layer->spec.units);
}

static void dense_pack(const struct layer *layer, const struct kernels *kernels, enum precision precision,
                       const float *params, float *to) {
    struct packed packed = packed_of(layer, precision, to);
    kernels->pack(&packed, params, NULL, bias_of(layer, params), to);
}

static void dense_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    int n = x->steps * run->rows, units = layer->spec.units;
    struct packed packed = packed_of(layer, run->precision, run->packed);

    run->kernels->dense(&packed, n, x->data, y->data);
    run->kernels->activate(layer->spec.activation, (size_t)n, (size_t)units, y->data);
}

/* ---- training ----------------------------------------------------------------------------------- */

/* What goes into the activation, where its slope needs that. */
static size_t dense_tape_size(const struct layer *layer, int rows, int steps) {
    return activation_needs_input(layer->spec.activation) ? (size_t)rows * (size_t)steps * (size_t)layer->spec.units
                                                          : 0;
}

static void dense_tape_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    int n = x->steps * run->rows, units = layer->spec.units;
    const float *bias = bias_of(layer, run->params);

    run->products->product(n, units, x->width, matrix_of(x->data, x->width), matrix_of(run->params, units), bias,
                           false, y->data, units);
    memcpy(run->work, y->data, dense_tape_size(layer, run->rows, x->steps) * sizeof *y->data);
    run->kernels->activate(layer->spec.activation, (size_t)n, (size_t)units, y->data);
}

static void dense_backward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    int n = x->steps * run->rows, units = layer->spec.units;
    float *dz = y->grad;

    activation_backward(layer->spec.activation, (size_t)n, (size_t)units, run->work, y->data, y->grad, dz);
    const struct product_gradient of[] = {
        {x->width, matrix_of(x->data, x->width), run->grads, units},
        {1, matrix_of_ones(), run->grads + layer->weights[layer->spec.use_bias].at, units},
    };
    run->products->gradients(units, n, matrix_of(dz, units), layer->spec.use_bias ? 2 : 1, of);
    if (x->grad)
        run->products->product(n, x->width, units, matrix_of(dz, units), matrix_transposed(run->params, units), NULL,
                               true, x->grad, x->width);
}

const struct layer_ops layer_dense = {
    .name = "Dense",
    .build = dense_build,
    .init_weights = dense_init_weights,
    .packed_size = dense_packed_size,
    .pack = dense_pack,
    .tape_size = dense_tape_size,
    .forward = dense_forward,
    .tape_forward = dense_tape_forward,
    .backward = dense_backward,
};
