/*
 * GlobalMaxPooling1D and GlobalAveragePooling1D: over all steps of a sample, the greatest value or the mean, for each
 * element of the width. In [steps x rows x width], out [rows x width]. The mean passes over what is masked, and is
 * NaN where all of it is; the maximum does not look at masks. The mask ends here. (All as in Keras.)
 */
#include "engine/layers/layer.h"

#include <math.h>

enum {
    BLOCK = 64, /* elements summed up at once; bounds an array on the stack */
};

static int global_build(struct layer *layer, struct layer_build *build) {
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    if (!build->in[0].sequence)
        return error_set(build->err, "looks at all steps, and its input has no time axis");
    if (layer_refuse_stream(layer, build))
        return -1;
    layer_like_input(layer, build, build->in[0].width);
    struct tensor *out = &build->out[0];
    out->sequence = layer->spec.keep_steps;
    out->steps = 1;
    out->shrink = 0;
    out->stride = 1;
    out->of_call = false;
    out->mask = -1;
    return 0;
}

static void max_forward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)run->rows * (size_t)x->width;
    for (size_t i = 0; i < n; i++)
        y->data[i] = -INFINITY;
    for (size_t t = 0; t < (size_t)x->steps; t++)
        for (size_t i = 0; i < n; i++)
            if (x->data[t * n + i] > y->data[i] || isnan(x->data[t * n + i]))
                y->data[i] = x->data[t * n + i];
}

/* Where several are the greatest they share the gradient, as in TensorFlow's reduce_max. */
static void max_backward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)run->rows * (size_t)x->width;
    for (size_t i = 0; x->grad && i < n; i++) {
        int alike = 0;
        for (size_t t = 0; t < (size_t)x->steps; t++)
            alike += x->data[t * n + i] == y->data[i];
        for (size_t t = 0; t < (size_t)x->steps; t++)
            if (x->data[t * n + i] == y->data[i])
                x->grad[t * n + i] += y->grad[i] / (float)alike;
    }
}

const struct layer_ops layer_global_max_pooling1d = {
    .name = "GlobalMaxPooling1D",
    .build = global_build,
    .forward = max_forward,
    .backward = max_backward,
};

/* Whether a step of a row counts, and how many do. */
static bool counts(const struct layer_run *run, size_t step, size_t row) {
    return !run->in[0].mask || run->in[0].mask[step * (size_t)run->rows + row];
}

static size_t n_counting(const struct layer_run *run, size_t row) {
    size_t n = 0;
    for (size_t t = 0; t < (size_t)run->in[0].steps; t++)
        n += counts(run, t, row);
    return n;
}

/* The means of a row's elements from..to - 1, not more than BLOCK. */
static void average_block(const struct layer_run *run, size_t row, size_t from, size_t to, double n) {
    size_t rows = (size_t)run->rows, width = (size_t)run->in[0].width;
    double sum[BLOCK] = {0};
    for (size_t t = 0; t < (size_t)run->in[0].steps; t++)
        for (size_t j = from; counts(run, t, row) && j < to; j++)
            sum[j - from] += (double)run->in[0].data[(t * rows + row) * width + j];
    for (size_t j = from; j < to; j++)
        run->out[0].data[row * width + j] = (float)(sum[j - from] / n);
}

static void average_forward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    size_t width = (size_t)run->in[0].width;
    for (size_t r = 0; r < (size_t)run->rows; r++) {
        double n = (double)n_counting(run, r);
        for (size_t j = 0; j < width; j += BLOCK)
            average_block(run, r, j, j + BLOCK < width ? j + BLOCK : width, n);
    }
}

static void average_backward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t rows = (size_t)run->rows, width = (size_t)x->width;
    for (size_t r = 0; x->grad && r < rows; r++) {
        float n = (float)n_counting(run, r);
        for (size_t t = 0; t < (size_t)x->steps; t++)
            for (size_t j = 0; counts(run, t, r) && j < width; j++)
                x->grad[(t * rows + r) * width + j] += y->grad[r * width + j] / n;
    }
}

const struct layer_ops layer_global_average_pooling1d = {
    .name = "GlobalAveragePooling1D",
    .build = global_build,
    .forward = average_forward,
    .backward = average_backward,
};
