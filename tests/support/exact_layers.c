#include "tests/support/exact_layers.h"
#include "tests/support/exact.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct exact_tensor tensor_new(int rows, int steps, int width, bool sequence) {
    struct exact_tensor tensor = {.rows = rows, .steps = steps, .width = width, .sequence = sequence};
    tensor.at = calloc((size_t)(rows * steps * width) + 1, sizeof *tensor.at);
    if (!tensor.at)
        abort();
    return tensor;
}

static double *vector(const struct exact_tensor *tensor, int row, int step) {
    return tensor->at + (row * tensor->steps + step) * tensor->width;
}

static bool counts(const struct exact_tensor *tensor, int row, int step) {
    return !tensor->mask || tensor->mask[row * tensor->steps + step];
}

static uint8_t *mask_new(const struct exact_tensor *tensor) {
    uint8_t *mask = calloc((size_t)(tensor->rows * tensor->steps) + 1, 1);
    if (!mask)
        abort();
    return mask;
}

static void hand_on_mask(const struct exact_tensor *in, struct exact_tensor *out) {
    if (!in->mask)
        return;
    out->mask = mask_new(out);
    memcpy(out->mask, in->mask, (size_t)(in->rows * in->steps));
}

static struct exact_tensor like(const struct exact_tensor *in, int width) {
    struct exact_tensor out = tensor_new(in->rows, in->steps, width, in->sequence);
    hand_on_mask(in, &out);
    return out;
}

double exact_at(const struct exact_tensor *tensor, size_t i) {
    size_t width = (size_t)tensor->width, rows = (size_t)tensor->rows;
    return vector(tensor, (int)(i / width % rows), (int)(i / width / rows))[i % width];
}

void exact_free(struct exact_tensor *tensors, int n) {
    for (int i = 0; i < n; i++) {
        free(tensors[i].at);
        free(tensors[i].mask);
    }
}

/* ---- the layers: each returns its output and adds to *params what it used ------------------------ */

struct inputs {
    const struct layer_spec *spec;
    const struct exact_tensor *in[LAYER_PORTS];
    bool training;
};

static struct exact_tensor dense(const struct inputs *of, const double **params) {
    const struct exact_tensor *in = of->in[0];
    struct exact_tensor out = like(in, of->spec->units);
    const double *kernel = *params, *bias = kernel + in->width * out.width;
    for (int r = 0; r < in->rows; r++)
        for (int t = 0; t < in->steps; t++)
            for (int j = 0; j < out.width; j++) {
                double sum = of->spec->use_bias ? bias[j] : 0;
                for (int k = 0; k < in->width; k++)
                    sum += vector(in, r, t)[k] * kernel[k * out.width + j];
                vector(&out, r, t)[j] = exact_activated(of->spec->activation, sum);
            }
    *params = bias + (of->spec->use_bias ? out.width : 0);
    return out;
}

static struct exact_tensor embedding(const struct inputs *of, const double **params) {
    const struct exact_tensor *in = of->in[0];
    struct exact_tensor out = tensor_new(in->rows, in->steps, of->spec->units, in->sequence);
    if (of->spec->mask_zero)
        out.mask = mask_new(&out);
    for (int r = 0; r < in->rows; r++)
        for (int t = 0; t < in->steps; t++) {
            int id = (int)vector(in, r, t)[0];
            memcpy(vector(&out, r, t), *params + id * out.width, (size_t)out.width * sizeof(double));
            if (out.mask)
                out.mask[r * in->steps + t] = id != 0;
        }
    *params += of->spec->vocabulary * out.width;
    return out;
}

static struct exact_tensor masking(const struct inputs *of, const double **params) {
    (void)params;
    const struct exact_tensor *in = of->in[0];
    struct exact_tensor out = tensor_new(in->rows, in->steps, in->width, true);
    out.mask = mask_new(&out);
    for (int r = 0; r < in->rows; r++)
        for (int t = 0; t < in->steps; t++) {
            bool any = false;
            for (int j = 0; j < in->width; j++)
                any |= vector(in, r, t)[j] != (double)of->spec->mask_value;
            out.mask[r * in->steps + t] = any;
            for (int j = 0; any && j < in->width; j++)
                vector(&out, r, t)[j] = vector(in, r, t)[j];
        }
    return out;
}

static struct exact_tensor same(const struct inputs *of, const double **params) {
    (void)params;
    struct exact_tensor out = like(of->in[0], of->in[0]->width);
    memcpy(out.at, of->in[0]->at, (size_t)(out.rows * out.steps * out.width) * sizeof *out.at);
    return out;
}

static struct exact_tensor repeat(const struct inputs *of, const double **params) {
    (void)params;
    const struct exact_tensor *in = of->in[0];
    struct exact_tensor out = tensor_new(in->rows, of->spec->units, in->width, true);
    for (int r = 0; r < out.rows; r++)
        for (int t = 0; t < out.steps; t++)
            memcpy(vector(&out, r, t), vector(in, r, 0), (size_t)in->width * sizeof(double));
    return out;
}

/* Flatten too: a row's elements stay in their order. */
static struct exact_tensor reshape(const struct inputs *of, const double **params) {
    (void)params;
    const struct exact_tensor *in = of->in[0];
    int n = in->steps * in->width, steps = of->spec->target_steps, width = of->spec->target_width;
    bool flat = of->spec->kind == LAYER_FLATTEN || steps == 0;
    if (flat)
        steps = 1, width = n;
    steps = steps == -1 ? n / width : steps;
    struct exact_tensor out = tensor_new(in->rows, steps, n / steps, !flat);
    memcpy(out.at, in->at, (size_t)(in->rows * n) * sizeof *out.at);
    return out;
}

static struct exact_tensor permute(const struct inputs *of, const double **params) {
    (void)params;
    const struct exact_tensor *in = of->in[0];
    struct exact_tensor out = tensor_new(in->rows, in->width, in->steps, true);
    for (int r = 0; r < in->rows; r++)
        for (int t = 0; t < in->steps; t++)
            for (int j = 0; j < in->width; j++)
                vector(&out, r, j)[t] = vector(in, r, t)[j];
    return out;
}

static struct exact_tensor batch_normalization(const struct inputs *of, const double **params) {
    const struct exact_tensor *in = of->in[0];
    struct exact_tensor out = like(in, in->width);
    const double *gamma = of->spec->scale ? *params : NULL, *beta = *params + (gamma ? in->width : 0);
    const double *moving_mean = beta + (of->spec->center ? in->width : 0), *moving_variance = moving_mean + in->width;
    for (int j = 0; j < in->width; j++) {
        double n = 0, mean = moving_mean[j], variance = moving_variance[j], sum = 0, squares = 0;
        for (int i = 0; of->training && i < in->rows * in->steps; i++) {
            bool in_it = counts(in, i / in->steps, i % in->steps);
            n += in_it;
            sum += in_it ? in->at[i * in->width + j] : 0;
        }
        mean = of->training ? sum / n : mean;
        for (int i = 0; of->training && i < in->rows * in->steps; i++)
            if (counts(in, i / in->steps, i % in->steps))
                squares += pow(in->at[i * in->width + j] - mean, 2);
        variance = of->training ? squares / n : variance;
        for (int i = 0; i < in->rows * in->steps; i++)
            out.at[i * in->width + j] = (in->at[i * in->width + j] - mean) /
                                            sqrt(variance + (double)of->spec->epsilon) * (gamma ? gamma[j] : 1) +
                                        (of->spec->center ? beta[j] : 0);
    }
    *params = moving_variance + in->width;
    return out;
}

static struct exact_tensor layer_normalization(const struct inputs *of, const double **params) {
    const struct exact_tensor *in = of->in[0];
    struct exact_tensor out = like(in, in->width);
    const double *gamma = of->spec->scale ? *params : NULL, *beta = *params + (gamma ? in->width : 0);
    for (int i = 0; i < in->rows * in->steps; i++) {
        const double *x = in->at + i * in->width;
        double mean = 0, variance = 0;
        for (int j = 0; j < in->width; j++)
            mean += x[j] / in->width;
        for (int j = 0; j < in->width; j++)
            variance += pow(x[j] - mean, 2) / in->width;
        for (int j = 0; j < in->width; j++)
            out.at[i * in->width + j] =
                (x[j] - mean) / sqrt(variance + (double)of->spec->epsilon) * (gamma ? gamma[j] : 1) +
                (of->spec->center ? beta[j] : 0);
    }
    *params = beta + (of->spec->center ? in->width : 0);
    return out;
}

/* LeakyReLU and PReLU. */
static struct exact_tensor leaky(const struct inputs *of, const double **params) {
    const struct exact_tensor *in = of->in[0];
    struct exact_tensor out = like(in, in->width);
    bool learned = of->spec->kind == LAYER_PRELU;
    int n_steps = of->spec->shared_steps ? 1 : in->steps;
    for (int r = 0; r < in->rows; r++)
        for (int t = 0; t < in->steps; t++)
            for (int j = 0; j < in->width; j++) {
                double x = vector(in, r, t)[j], alpha = (double)of->spec->alpha;
                if (learned)
                    alpha = (*params)[(n_steps == 1 ? 0 : t) * in->width + j];
                vector(&out, r, t)[j] = x > 0 ? x : alpha * x;
            }
    *params += learned ? n_steps * in->width : 0;
    return out;
}

/* ---- windows: convolution and pooling ------------------------------------------------------------ */

/* Steps that come out, and steps of padding before. */
static int window_steps(const struct layer_spec *spec, int strides, int steps, int *ret_left) {
    int reach = (spec->kernel_size - 1) * (spec->kind == LAYER_CONV1D ? spec->dilation : 1);
    int out = spec->padding == PADDING_VALID ? (int)ceil((double)(steps - reach) / strides)
                                             : (int)ceil((double)steps / strides);
    int padding = spec->padding == PADDING_SAME ? (out - 1) * strides + reach + 1 - steps : 0;
    *ret_left = spec->padding == PADDING_CAUSAL ? reach : (padding > 0 ? padding : 0) / 2;
    return out;
}

static struct exact_tensor conv(const struct inputs *of, const double **params) {
    const struct exact_tensor *in = of->in[0];
    const struct layer_spec *spec = of->spec;
    int left, steps = window_steps(spec, spec->strides, in->steps, &left), of_group = in->width / spec->groups;
    struct exact_tensor out = tensor_new(in->rows, steps, spec->units, true);
    const double *kernel = *params, *bias = kernel + spec->kernel_size * of_group * spec->units;
    for (int r = 0; r < in->rows; r++)
        for (int t = 0; t < steps; t++)
            for (int j = 0; j < spec->units; j++) {
                double sum = spec->use_bias ? bias[j] : 0;
                int from = j / (spec->units / spec->groups) * of_group;
                for (int i = 0; i < spec->kernel_size; i++)
                    for (int k = 0; k < of_group; k++) {
                        int at = t * spec->strides - left + i * spec->dilation;
                        if (at >= 0 && at < in->steps)
                            sum += vector(in, r, at)[from + k] * kernel[(i * of_group + k) * spec->units + j];
                    }
                vector(&out, r, t)[j] = exact_activated(spec->activation, sum);
            }
    *params = bias + (spec->use_bias ? spec->units : 0);
    return out;
}

static struct exact_tensor pooling(const struct inputs *of, const double **params) {
    (void)params;
    const struct exact_tensor *in = of->in[0];
    const struct layer_spec *spec = of->spec;
    int strides = spec->strides > 0 ? spec->strides : spec->kernel_size;
    int left, steps = window_steps(spec, strides, in->steps, &left);
    struct exact_tensor out = tensor_new(in->rows, steps, in->width, true);
    for (int r = 0; r < in->rows; r++)
        for (int t = 0; t < steps; t++)
            for (int j = 0; j < in->width; j++) {
                double sum = 0, most = -INFINITY;
                int n = 0;
                for (int at = t * strides - left; at < t * strides - left + spec->kernel_size; at++)
                    if (at >= 0 && at < in->steps) {
                        sum += vector(in, r, at)[j];
                        most = fmax(most, vector(in, r, at)[j]);
                        n++;
                    }
                vector(&out, r, t)[j] = spec->kind == LAYER_MAX_POOLING1D ? most : sum / n;
            }
    return out;
}

static struct exact_tensor global_pooling(const struct inputs *of, const double **params) {
    (void)params;
    const struct exact_tensor *in = of->in[0];
    struct exact_tensor out = tensor_new(in->rows, 1, in->width, of->spec->keep_steps);
    for (int r = 0; r < in->rows; r++)
        for (int j = 0; j < in->width; j++) {
            double sum = 0, most = -INFINITY;
            int n = 0;
            for (int t = 0; t < in->steps; t++) {
                most = fmax(most, vector(in, r, t)[j]);
                sum += counts(in, r, t) ? vector(in, r, t)[j] : 0;
                n += counts(in, r, t);
            }
            vector(&out, r, 0)[j] = of->spec->kind == LAYER_GLOBAL_MAX_POOLING1D ? most : sum / n;
        }
    return out;
}

/* ---- merging ------------------------------------------------------------------------------------- */

static int at_most(int i, int n) {
    return n == 1 ? 0 : i;
}

/* The mask of the output, by Keras 3's rules or Keras 2's. */
static void merge_masks(const struct inputs *of, struct exact_tensor *out) {
    int n_masks = 0, n_in = of->spec->n_in;
    for (int p = 0; p < n_in; p++)
        n_masks += of->in[p]->mask != NULL;
    if (n_masks == 0 || (n_masks < n_in && !of->spec->keras2_masks))
        return;
    out->mask = mask_new(out);
    for (int r = 0; r < out->rows; r++)
        for (int t = 0; t < out->steps; t++) {
            int n_counting = 0;
            for (int p = 0; p < n_in; p++)
                n_counting += of->in[p]->mask && counts(of->in[p], r, at_most(t, of->in[p]->steps));
            out->mask[r * out->steps + t] = of->spec->keras2_masks ? n_counting == n_masks : n_counting > 0;
        }
}

static struct exact_tensor elementwise(const struct inputs *of, const double **params) {
    (void)params;
    int steps = 1, width = 1;
    bool sequence = false, multiply = of->spec->kind == LAYER_MULTIPLY;
    for (int p = 0; p < of->spec->n_in; p++) {
        steps = of->in[p]->steps > steps ? of->in[p]->steps : steps;
        width = of->in[p]->width > width ? of->in[p]->width : width;
        sequence |= of->in[p]->sequence;
    }
    struct exact_tensor out = tensor_new(of->in[0]->rows, steps, width, sequence);
    merge_masks(of, &out);
    for (int r = 0; r < out.rows; r++)
        for (int t = 0; t < steps; t++)
            for (int j = 0; j < width; j++) {
                double sum = 0, product = 1;
                for (int p = 0; p < of->spec->n_in; p++) {
                    const struct exact_tensor *in = of->in[p];
                    double x = vector(in, r, at_most(t, in->steps))[at_most(j, in->width)];
                    sum += x;
                    if (of->spec->keras2_masks || counts(in, r, at_most(t, in->steps)))
                        product *= x;
                }
                if (!of->spec->keras2_masks && !counts(&out, r, t))
                    product = 0;
                vector(&out, r, t)[j] = multiply ? product : sum;
            }
    return out;
}

static struct exact_tensor concatenate(const struct inputs *of, const double **params) {
    (void)params;
    int width = 0;
    for (int p = 0; p < of->spec->n_in; p++)
        width += of->in[p]->width;
    struct exact_tensor out = tensor_new(of->in[0]->rows, of->in[0]->steps, width, of->in[0]->sequence);
    merge_masks(of, &out);
    for (int r = 0; r < out.rows; r++)
        for (int t = 0; t < out.steps; t++) {
            double *to = vector(&out, r, t);
            for (int p = 0; p < of->spec->n_in; p++)
                for (int j = 0; j < of->in[p]->width; j++)
                    *to++ = vector(of->in[p], r, t)[j];
        }
    return out;
}

/* ---- all of them --------------------------------------------------------------------------------- */

static struct exact_tensor (*const layers[N_LAYER_KINDS])(const struct inputs *of, const double **params) = {
    [LAYER_DENSE] = dense,
    [LAYER_EMBEDDING] = embedding,
    [LAYER_MASKING] = masking,
    [LAYER_REPEAT_VECTOR] = repeat,
    [LAYER_DROPOUT] = same,
    [LAYER_SPATIAL_DROPOUT1D] = same,
    [LAYER_GAUSSIAN_NOISE] = same,
    [LAYER_GAUSSIAN_DROPOUT] = same,
    [LAYER_ALPHA_DROPOUT] = same,
    [LAYER_FLATTEN] = reshape,
    [LAYER_RESHAPE] = reshape,
    [LAYER_PERMUTE] = permute,
    [LAYER_BATCH_NORMALIZATION] = batch_normalization,
    [LAYER_LAYER_NORMALIZATION] = layer_normalization,
    [LAYER_LEAKY_RELU] = leaky,
    [LAYER_PRELU] = leaky,
    [LAYER_CONV1D] = conv,
    [LAYER_MAX_POOLING1D] = pooling,
    [LAYER_AVERAGE_POOLING1D] = pooling,
    [LAYER_GLOBAL_MAX_POOLING1D] = global_pooling,
    [LAYER_GLOBAL_AVERAGE_POOLING1D] = global_pooling,
    [LAYER_ADD] = elementwise,
    [LAYER_MULTIPLY] = elementwise,
    [LAYER_CONCATENATE] = concatenate,
};

void exact_run(const struct network_spec *spec, const double *params, bool training, int rows, int steps,
               const float *x, struct exact_tensor *tensors) {
    struct exact_tensor input = tensor_new(rows, steps, spec->n_inputs, !spec->no_time);
    const double *params_of[64], *next = params;
    assert(spec->n_layers <= 64);
    for (int t = 0; t < steps; t++)
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < spec->n_inputs; j++)
                vector(&input, r, t)[j] = (double)x[(t * rows + r) * spec->n_inputs + j];
    for (int i = 0; i < spec->n_layers; i++) {
        const struct layer_spec *layer = &spec->layers[i];
        struct inputs of = {.spec = layer, .training = training};
        struct layer_spec said = *layer;
        if (said.n_in == 0) {
            said.n_in = 1;
            said.in[0] = (struct layer_input){i - 1, 0};
        }
        of.spec = &said;
        for (int p = 0; p < said.n_in; p++)
            of.in[p] = said.in[p].layer < 0 ? &input : &tensors[said.in[p].layer];
        const double *own = layer->shares > 0 ? params_of[layer->shares - 1] : next;
        params_of[i] = own;
        assert(layers[layer->kind] != NULL);
        tensors[i] = layers[layer->kind](&of, &own);
        next = layer->shares > 0 ? next : own;
    }
    exact_free(&input, 1);
}
