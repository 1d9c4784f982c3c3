/*
 * BatchNormalization over the last axis, for each element of the width by itself:
 *
 *     y = gamma (x - mean) / sqrt(variance + epsilon) + beta
 *
 * Serving takes moving_mean and moving_variance; training (Ioffe and Szegedy, 2015) the mean and the variance, by n
 * and not by n - 1, of all steps and rows that are not masked. In and out [steps x rows x width]; parameters gamma,
 * beta (both may be left out), moving_mean and moving_variance, [width] each. Masks are handed on.
 */
#include "engine/layers/layer.h"

#include <math.h>
#include <string.h>

static int batch_build(struct layer *layer, struct layer_build *build) {
    int width = build->in[0].width;
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    layer_like_input(layer, build, width);
    if ((layer->spec.scale && layer_add_weight(layer, build, "gamma", true, 1, &width)) ||
        (layer->spec.center && layer_add_weight(layer, build, "beta", true, 1, &width)) ||
        layer_add_weight(layer, build, "moving_mean", false, 1, &width) ||
        layer_add_weight(layer, build, "moving_variance", false, 1, &width))
        return -1;
    return 0;
}

/* The arrays of the layer's parameters, or of their gradients; NULL: left out. */
struct arrays {
    float *gamma, *beta, *moving_mean, *moving_variance;
};

static struct arrays arrays_of(const struct layer *layer, float *params, size_t width) {
    struct arrays arrays = {0};
    if (layer->spec.scale) {
        arrays.gamma = params;
        params += width;
    }
    if (layer->spec.center) {
        arrays.beta = params;
        params += width;
    }
    arrays.moving_mean = params;
    arrays.moving_variance = params + width;
    return arrays;
}

/* Those of a run, which are only read. */
static struct arrays params_of(const struct layer *layer, const struct layer_run *run) {
    return arrays_of(layer, (float *)run->params, (size_t)run->in[0].width);
}

static void batch_init_weights(const struct layer *layer, struct rng *rng, float *params) {
    (void)rng;
    size_t width = (size_t)layer->weights[0].dims[0];
    struct arrays arrays = arrays_of(layer, params, width);
    for (size_t j = 0; j < width; j++) {
        if (arrays.gamma)
            arrays.gamma[j] = 1;
        if (arrays.beta)
            arrays.beta[j] = 0;
        arrays.moving_mean[j] = 0;
        arrays.moving_variance[j] = 1;
    }
}

static size_t n_vectors(const struct layer_run *run) {
    return (size_t)run->rows * (size_t)run->in[0].steps;
}

static float root_of(const struct layer *layer, float variance) {
    return 1 / sqrtf(variance + layer->spec.epsilon);
}

/* In the order of operations of TensorFlow (tf.nn.batch_normalization): x inv + (beta - mean inv), with inv =
 * gamma / sqrt(variance + epsilon). inv, offset: [width] of scratch. */
static void normalize(const struct layer *layer, const struct layer_run *run, const float *mean,
                      const float *variance, float *inv, float *offset) {
    size_t width = (size_t)run->in[0].width;
    struct arrays params = params_of(layer, run);
    for (size_t j = 0; j < width; j++) {
        inv[j] = root_of(layer, variance[j]) * (params.gamma ? params.gamma[j] : 1);
        offset[j] = (params.beta ? params.beta[j] : 0) - mean[j] * inv[j];
    }
    for (size_t i = 0; i < n_vectors(run); i++)
        for (size_t j = 0; j < width; j++)
            run->out[0].data[i * width + j] = run->in[0].data[i * width + j] * inv[j] + offset[j];
}

static size_t batch_work_size(const struct layer *layer, int rows, int steps) {
    (void)rows, (void)steps;
    return 2 * (size_t)layer->weights[0].dims[0];
}

static void batch_forward(const struct layer *layer, const struct layer_run *run) {
    struct arrays params = params_of(layer, run);
    normalize(layer, run, params.moving_mean, params.moving_variance, run->work, run->work + run->in[0].width);
}

/* ---- training ----------------------------------------------------------------------------------- */

/* On the tape, [width] each. */
struct record {
    float *mean, *variance; /* that y was made with */
    float *inv, *offset;    /* scratch */
};

static size_t batch_tape_size(const struct layer *layer, int rows, int steps) {
    (void)rows, (void)steps;
    return 4 * (size_t)layer->weights[0].dims[0];
}

static struct record record_of(const struct layer_run *run) {
    size_t width = (size_t)run->in[0].width;
    float *at = run->work;
    return (struct record){.mean = at, .variance = at + width, .inv = at + 2 * width, .offset = at + 3 * width};
}

static bool counts(const struct layer_run *run, size_t vector) {
    return !run->in[0].mask || run->in[0].mask[vector];
}

/* How many vectors the statistics are of. With a mask Keras 3 adds its epsilon, so that none makes no NaN. */
static double n_counting(const struct layer_run *run) {
    size_t n = 0;
    for (size_t i = 0; i < n_vectors(run); i++)
        n += counts(run, i);
    return (double)n + (run->in[0].mask ? 1e-7 : 0);
}

static void take_moments(const struct layer_run *run, struct record *record) {
    const float *x = run->in[0].data;
    size_t width = (size_t)run->in[0].width;
    double n = n_counting(run);
    for (size_t j = 0; j < width; j++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < n_vectors(run); i++)
            sum += counts(run, i) ? (double)x[i * width + j] : 0;
        double mean = sum / n;
        for (size_t i = 0; i < n_vectors(run); i++)
            squares += counts(run, i) ? ((double)x[i * width + j] - mean) * ((double)x[i * width + j] - mean) : 0;
        record->mean[j] = (float)mean;
        record->variance[j] = (float)(squares / n);
    }
}

static void batch_tape_forward(const struct layer *layer, const struct layer_run *run) {
    struct record record = record_of(run);
    struct arrays params = params_of(layer, run);
    size_t width = (size_t)run->in[0].width;
    if (run->training) {
        take_moments(run, &record);
    } else {
        memcpy(record.mean, params.moving_mean, width * sizeof(float));
        memcpy(record.variance, params.moving_variance, width * sizeof(float));
    }
    normalize(layer, run, record.mean, record.variance, record.inv, record.offset);
}

/*
 * With r = 1 / sqrt(variance + epsilon), h = (x - mean) r and n vectors that count:
 *
 *     dgamma = sum dy h     dbeta = sum dy     dx = gamma r dy, and where the vector counts also
 *     - gamma r (sum dy + h sum dy h) / n, through the mean and the variance of the batch.
 */
static void column_backward(const struct layer *layer, const struct layer_run *run, size_t j, double n,
                            const struct arrays *params, const struct arrays *grads) {
    const float *x = run->in[0].data, *dy = run->out[0].grad;
    size_t width = (size_t)run->in[0].width;
    struct record record = record_of(run);
    double mean = (double)record.mean[j], root = (double)root_of(layer, record.variance[j]), sum = 0, along = 0;

    for (size_t i = j; i < n_vectors(run) * width; i += width) {
        sum += (double)dy[i];
        along += (double)dy[i] * ((double)x[i] - mean) * root;
    }
    if (grads->gamma)
        grads->gamma[j] += (float)along;
    if (grads->beta)
        grads->beta[j] += (float)sum;
    double slope = root * (params->gamma ? (double)params->gamma[j] : 1);
    for (size_t i = 0; run->in[0].grad && i < n_vectors(run); i++) {
        size_t at = i * width + j;
        double d = (double)dy[at];
        if (run->training && counts(run, i))
            d -= (sum + ((double)x[at] - mean) * root * along) / n;
        run->in[0].grad[at] += (float)(slope * d);
    }
}

static void batch_backward(const struct layer *layer, const struct layer_run *run) {
    size_t width = (size_t)run->in[0].width;
    struct arrays params = params_of(layer, run), grads = arrays_of(layer, run->grads, width);
    double n = n_counting(run);
    for (size_t j = 0; j < width; j++)
        column_backward(layer, run, j, n, &params, &grads);
}

static void batch_learn_statistics(const struct layer *layer, const struct layer_run *run, float *params) {
    size_t width = (size_t)run->in[0].width;
    struct arrays arrays = arrays_of(layer, params, width);
    struct record record = record_of(run);
    float momentum = layer->spec.momentum;
    for (size_t j = 0; run->training && j < width; j++) {
        arrays.moving_mean[j] = arrays.moving_mean[j] * momentum + record.mean[j] * (1 - momentum);
        arrays.moving_variance[j] = arrays.moving_variance[j] * momentum + record.variance[j] * (1 - momentum);
    }
}

const struct layer_ops layer_batch_normalization = {
    .name = "BatchNormalization",
    .build = batch_build,
    .init_weights = batch_init_weights,
    .work_size = batch_work_size,
    .tape_size = batch_tape_size,
    .forward = batch_forward,
    .tape_forward = batch_tape_forward,
    .backward = batch_backward,
    .learn_statistics = batch_learn_statistics,
};
