/*
 * Layers that disturb what goes through them, in training only, as Keras 3's: on the tape y = slope x + shift, of
 * each value or (SpatialDropout1D) of each feature of a sample, for all its steps. Masks are handed on.
 *
 *     Dropout, SpatialDropout1D   slope 0 with probability rate, else 1 / (1 - rate)   (Srivastava et al., 2014)
 *     GaussianDropout             slope normal, of mean 1 and variance rate / (1 - rate)
 *     GaussianNoise               shift normal, of mean 0 and deviation stddev
 *     AlphaDropout                SELU's lower end instead of a value with probability rate, and what of all of them
 *                                 leaves mean and variance as they were   (Klambauer et al., 2017)
 */
#include "engine/layers/layer.h"

#include <math.h>
#include <string.h>

static size_t n_values(const struct layer_run *run) {
    return (size_t)run->rows * (size_t)run->in[0].steps * (size_t)run->in[0].width;
}

static int dropout_build(struct layer *layer, struct layer_build *build) {
    float rate = layer->spec.dropout, most = layer->spec.kind == LAYER_GAUSSIAN_NOISE ? INFINITY : 1;
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    if (!(rate >= 0 && rate < most))
        return error_set(build->err, "%g is not a rate of dropout", (double)rate);
    if (layer->spec.kind == LAYER_SPATIAL_DROPOUT1D && !build->in[0].sequence)
        return error_set(build->err, "drops a feature at all steps, and its input has no time axis");
    layer_like_input(layer, build, build->in[0].width);
    layer->spec.units = build->in[0].width;
    return 0;
}

static void dropout_forward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    memcpy(run->out[0].data, run->in[0].data, n_values(run) * sizeof *run->out[0].data);
}

/* ---- on the tape, which keeps the slopes -------------------------------------------------------- */

static size_t n_slopes(const struct layer *layer, int rows, int steps, int width) {
    bool spatial = layer->spec.kind == LAYER_SPATIAL_DROPOUT1D;
    return (size_t)rows * (size_t)(spatial ? 1 : steps) * (size_t)width;
}

static size_t dropout_tape_size(const struct layer *layer, int rows, int steps) {
    return layer->spec.dropout > 0 ? n_slopes(layer, rows, steps, layer->spec.units) : 0;
}

struct disturbed {
    float slope, shift;
};

static struct disturbed draw(const struct layer_spec *spec, struct rng *rng) {
    const double lowest = -1.6732632423543772 * 1.0507009873554805; /* SELU's -alpha scale */
    double rate = (double)spec->dropout;
    switch (spec->kind) {
    case LAYER_GAUSSIAN_NOISE: return (struct disturbed){1, (float)(rate * rng_normal(rng))};
    case LAYER_GAUSSIAN_DROPOUT: return (struct disturbed){(float)(1 + sqrt(rate / (1 - rate)) * rng_normal(rng)), 0};
    case LAYER_ALPHA_DROPOUT: {
        double a = 1 / sqrt((1 - rate) * (1 + rate * lowest * lowest)), b = -a * lowest * rate;
        bool kept = rng_uniform(rng) >= rate;
        return (struct disturbed){kept ? (float)a : 0, (float)(kept ? b : a * lowest + b)};
    }
    default: return (struct disturbed){rng_uniform(rng) >= rate ? (float)(1 / (1 - rate)) : 0, 0};
    }
}

static void dropout_tape_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = n_slopes(layer, run->rows, x->steps, x->width);
    dropout_forward(layer, run);
    if (!run->rng || layer->spec.dropout == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        struct disturbed drawn = draw(&layer->spec, run->rng);
        run->work[i] = drawn.slope;
        for (size_t at = i; at < n_values(run); at += n)
            y->data[at] = drawn.slope * x->data[at] + drawn.shift;
    }
}

static void dropout_backward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = n_slopes(layer, run->rows, x->steps, x->width);
    bool disturbed = run->training && layer->spec.dropout > 0;
    for (size_t i = 0; x->grad && i < n_values(run); i++)
        x->grad[i] += disturbed ? run->work[i % n] * y->grad[i] : y->grad[i];
}

#define DISTURBING(kind) \
    { \
        .name = (kind), .build = dropout_build, .tape_size = dropout_tape_size, .forward = dropout_forward, \
        .tape_forward = dropout_tape_forward, .backward = dropout_backward \
    }

const struct layer_ops layer_dropout = DISTURBING("Dropout");
const struct layer_ops layer_spatial_dropout1d = DISTURBING("SpatialDropout1D");
const struct layer_ops layer_gaussian_noise = DISTURBING("GaussianNoise");
const struct layer_ops layer_gaussian_dropout = DISTURBING("GaussianDropout");
const struct layer_ops layer_alpha_dropout = DISTURBING("AlphaDropout");
