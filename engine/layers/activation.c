/* The slopes of the activations, and Activation as a layer of its own: y = activation(x), at every step by itself. */
#include "engine/layers/activation.h"
#include "engine/layers/layer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

bool activation_needs_input(enum activation activation) {
    return activation == ACTIVATION_SWISH || activation == ACTIVATION_GELU;
}

/* d (x sigmoid(x)) = s + x s (1 - s) */
static double swish_slope(double z) {
    double s = 1 / (1 + exp(-z));
    return s + z * s * (1 - s);
}

/* d (x P(x)) = P(x) + x p(x), P the normal distribution and p its density */
static double gelu_slope(double z) {
    const double root_half = 0.70710678118654752, density_at_0 = 0.39894228040143268;
    return 0.5 * erfc(-root_half * z) + z * density_at_0 * exp(-0.5 * z * z);
}

/* dz_i = y_i (dy_i - sum_j dy_j y_j) */
static void softmax_backward(size_t width, const float *y, const float *dy, float *dz) {
    double along = 0;
    for (size_t j = 0; j < width; j++)
        along += (double)dy[j] * (double)y[j];
    for (size_t j = 0; j < width; j++)
        dz[j] = (float)((double)y[j] * ((double)dy[j] - along));
}

/* dz [n] = dy times a slope, in terms of y[i] and z[i] */
#define EACH(slope) \
    for (size_t i = 0; i < n; i++) \
    dz[i] = dy[i] * (slope)

void activation_backward(enum activation activation, size_t rows, size_t width, const float *z, const float *y,
                         const float *dy, float *dz) {
    const float selu_scale = 1.0507009873554805f, selu_scale_alpha = 1.7580993408473766f;
    size_t n = rows * width;
    switch (activation) {
    case ACTIVATION_LINEAR:
        if (dz != dy)
            memcpy(dz, dy, n * sizeof *dz);
        break;
    case ACTIVATION_TANH: EACH(1 - y[i] * y[i]); break;
    case ACTIVATION_SIGMOID: /* in this order: a product of three */
        for (size_t i = 0; i < n; i++)
            dz[i] = dy[i] * y[i] * (1 - y[i]);
        break;
    case ACTIVATION_RELU:
        for (size_t i = 0; i < n; i++)
            dz[i] = y[i] > 0 ? dy[i] : 0;
        break;
    case ACTIVATION_HARD_SIGMOID: EACH(y[i] > 0 && y[i] < 1 ? 1.0f / 6.0f : 0.0f); break;
    case ACTIVATION_HARD_SIGMOID_KERAS2: EACH(y[i] > 0 && y[i] < 1 ? 0.2f : 0.0f); break;
    case ACTIVATION_SOFTSIGN: EACH((1 - fabsf(y[i])) * (1 - fabsf(y[i]))); break;
    case ACTIVATION_SOFTPLUS: EACH(-expm1f(-y[i])); break;
    case ACTIVATION_ELU: EACH(y[i] > 0 ? 1.0f : y[i] + 1); break;
    case ACTIVATION_SELU: EACH(y[i] > 0 ? selu_scale : y[i] + selu_scale_alpha); break;
    case ACTIVATION_SWISH: EACH((float)swish_slope((double)z[i])); break;
    case ACTIVATION_GELU: EACH((float)gelu_slope((double)z[i])); break;
    case ACTIVATION_EXPONENTIAL: EACH(y[i]); break;
    case ACTIVATION_SOFTMAX:
        for (size_t r = 0; r < rows; r++)
            softmax_backward(width, y + r * width, dy + r * width, dz + r * width);
        break;
    case N_ACTIVATIONS: assert(0 && "no activation");
    }
}

/* ---- the layer ---------------------------------------------------------------------------------- */

static int activation_build(struct layer *layer, struct layer_build *build) {
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    if (!activation_is_known(layer->spec.activation))
        return error_set(build->err, "activation %d is unknown", (int)layer->spec.activation);
    layer_like_input(layer, build, build->in[0].width);
    return 0;
}

static void activation_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t rows = (size_t)x->steps * (size_t)run->rows, width = (size_t)x->width;
    memcpy(y->data, x->data, rows * width * sizeof *y->data);
    run->kernels->activate(layer->spec.activation, rows, width, y->data);
}

static void activation_layer_backward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t rows = (size_t)x->steps * (size_t)run->rows, width = (size_t)x->width;
    if (!x->grad)
        return;
    activation_backward(layer->spec.activation, rows, width, x->data, y->data, y->grad, y->grad);
    for (size_t i = 0; i < rows * width; i++)
        x->grad[i] += y->grad[i];
}

const struct layer_ops layer_activation = {
    .name = "Activation",
    .build = activation_build,
    .forward = activation_forward,
    .backward = activation_layer_backward,
};
