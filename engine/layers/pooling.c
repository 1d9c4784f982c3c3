/*
 * MaxPooling1D and AveragePooling1D: of what a window over the steps sees, the greatest value or the mean, for each
 * element of the width. Padding counts as nothing: it is never the greatest, and the mean is over the real steps only
 * (as TensorFlow's). In [steps x rows x width], out [out steps x rows x width]. Masks end here (as in Keras).
 */
#include "engine/layers/window.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 64, /* elements summed up at once; bounds an array on the stack */
};

static int pooling_build(struct layer *layer, struct layer_build *build) {
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    if (layer->spec.strides == 0)
        layer->spec.strides = layer->spec.kernel_size;
    layer->spec.dilation = 1;
    if (layer->spec.padding == PADDING_CAUSAL)
        return error_set(build->err, "padding `causal` is for convolutions only");
    layer_like_input(layer, build, build->in[0].width);
    build->out[0].mask = -1;
    return window_build(layer, build);
}

/* The steps that the window sees for one output step: from..to - 1. */
struct span {
    size_t from, to;
};

static struct span span_at(const struct layer *layer, const struct layer_run *run, size_t out_step) {
    int steps = run->in[0].steps, left = window_left(&layer->spec, steps, run->out[0].steps);
    int64_t from = (int64_t)out_step * layer->spec.strides - left, to = from + layer->spec.kernel_size;
    return (struct span){.from = (size_t)(from > 0 ? from : 0), .to = (size_t)(to < steps ? to : steps)};
}

/* ---- the greatest; a NaN is greater than anything ------------------------------------------------- */

static void max_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)run->rows * (size_t)x->width;
    for (size_t s = 0; s < (size_t)y->steps; s++) {
        struct span span = span_at(layer, run, s);
        float *most = y->data + s * n;
        memcpy(most, x->data + span.from * n, n * sizeof *most);
        for (size_t t = span.from + 1; t < span.to; t++)
            for (size_t i = 0; i < n; i++)
                if (x->data[t * n + i] > most[i] || isnan(x->data[t * n + i]))
                    most[i] = x->data[t * n + i];
    }
}

/* The first of the greatest, which takes the gradient as in TensorFlow. x [. x n], of
 * which column i is meant. */
static size_t place_of_greatest(struct span span, const float *x, size_t n, size_t i) {
    size_t best = span.from;
    for (size_t t = span.from + 1; t < span.to; t++)
        if (x[t * n + i] > x[best * n + i] || (isnan(x[t * n + i]) && !isnan(x[best * n + i])))
            best = t;
    return best;
}

static void max_backward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)run->rows * (size_t)x->width;
    for (size_t s = 0; x->grad && s < (size_t)y->steps; s++) {
        struct span span = span_at(layer, run, s);
        for (size_t i = 0; i < n; i++)
            x->grad[place_of_greatest(span, x->data, n, i) * n + i] += y->grad[s * n + i];
    }
}

const struct layer_ops layer_max_pooling1d = {
    .name = "MaxPooling1D",
    .build = pooling_build,
    .forward = max_forward,
    .backward = max_backward,
};

/* ---- the mean ----------------------------------------------------------------------------------- */

/* The means over a span for the elements from..to - 1, not more than BLOCK, of all rows' vectors together. */
static void average_block(struct span span, const float *x, size_t n, size_t from, size_t to, float *y) {
    double sum[BLOCK] = {0};
    for (size_t t = span.from; t < span.to; t++)
        for (size_t i = from; i < to; i++)
            sum[i - from] += (double)x[t * n + i];
    for (size_t i = from; i < to; i++)
        y[i] = (float)(sum[i - from] / (double)(span.to - span.from));
}

static void average_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)run->rows * (size_t)x->width;
    for (size_t s = 0; s < (size_t)y->steps; s++)
        for (size_t i = 0; i < n; i += BLOCK)
            average_block(span_at(layer, run, s), x->data, n, i, i + BLOCK < n ? i + BLOCK : n, y->data + s * n);
}

static void average_backward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)run->rows * (size_t)x->width;
    for (size_t s = 0; x->grad && s < (size_t)y->steps; s++) {
        struct span span = span_at(layer, run, s);
        for (size_t t = span.from; t < span.to; t++)
            for (size_t i = 0; i < n; i++)
                x->grad[t * n + i] += y->grad[s * n + i] / (float)(span.to - span.from);
    }
}

const struct layer_ops layer_average_pooling1d = {
    .name = "AveragePooling1D",
    .build = pooling_build,
    .forward = average_forward,
    .backward = average_backward,
};
