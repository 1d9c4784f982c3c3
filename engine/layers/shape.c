/*
 * Layers that compute nothing: what goes in comes out in another shape, or as it is.
 *
 * Keras' rows lie in memory as [steps x width]; Flatten, Reshape and Permute mean that order, whatever lies where
 * here. None of them hands on a mask (as in Keras).
 */
#include "engine/layers/layer.h"

#include <string.h>

/* ---- RepeatVector ------------------------------------------------------------------------------- */

/* One output, without a mask, of these fixed steps (0: without a time axis), which are not those of the call. */
static void build_fixed(struct layer *layer, struct layer_build *build, int steps, int width) {
    layer_like_input(layer, build, width);
    build->out[0].sequence = steps > 0;
    build->out[0].steps = steps > 0 ? steps : 1;
    build->out[0].shrink = 0;
    build->out[0].stride = 1;
    build->out[0].of_call = false;
    build->out[0].mask = -1;
}

static int repeat_build(struct layer *layer, struct layer_build *build) {
    if (layer_check_inputs(layer, build, 1, 1) || layer_check_size(build, "n", layer->spec.units))
        return -1;
    if (build->in[0].sequence)
        return error_set(build->err, "repeats one vector, and its input has a time axis");
    build_fixed(layer, build, layer->spec.units, build->in[0].width);
    return 0;
}

static void repeat_forward(const struct layer *layer, const struct layer_run *run) {
    size_t n = (size_t)run->rows * (size_t)run->in[0].width;
    for (size_t t = 0; t < (size_t)layer->spec.units; t++)
        memcpy(run->out[0].data + t * n, run->in[0].data, n * sizeof(float));
}

static void repeat_backward(const struct layer *layer, const struct layer_run *run) {
    size_t n = (size_t)run->rows * (size_t)run->in[0].width;
    for (size_t t = 0; run->in[0].grad && t < (size_t)layer->spec.units; t++)
        for (size_t i = 0; i < n; i++)
            run->in[0].grad[i] += run->out[0].grad[t * n + i];
}

const struct layer_ops layer_repeat_vector = {
    .name = "RepeatVector",
    .build = repeat_build,
    .forward = repeat_forward,
    .backward = repeat_backward,
};

/* ---- Flatten, Reshape --------------------------------------------------------------------------- */

static int flatten_build(struct layer *layer, struct layer_build *build) {
    const struct tensor *in = &build->in[0];
    int steps;
    if (layer_check_inputs(layer, build, 1, 1) || layer_refuse_stream(layer, build) ||
        layer_fixed_steps(build, in, &steps))
        return -1;
    if (steps > NETWORK_WIDTH_MAX / in->width)
        return error_set(build->err, "%d steps of %d make a vector of more than %d", steps, in->width,
                         NETWORK_WIDTH_MAX);
    build_fixed(layer, build, 0, steps * in->width);
    return 0;
}

/* The shape that n elements take, with one of its sizes left open. steps 0: without a time axis. */
static int resolve_shape(const struct layer *layer, const struct layer_build *build, int64_t n, int64_t *steps,
                         int64_t *width) {
    *steps = layer->spec.target_steps;
    *width = layer->spec.target_width;
    if (*steps < -1 || *width < -1 || *width == 0 || (*steps == -1 && *width == -1))
        return error_set(build->err, "cannot make the shape %d x %d", (int)*steps, (int)*width);
    int64_t known = (*steps > 0 ? *steps : 1) * (*width > 0 ? *width : 1);
    if (*steps == -1)
        *steps = n / known;
    if (*width == -1)
        *width = n / known;
    if ((*steps > 0 ? *steps : 1) * *width != n)
        return error_set(build->err, "cannot make the shape %d x %d of %lld elements", layer->spec.target_steps,
                         layer->spec.target_width, (long long)n);
    return 0;
}

static int reshape_build(struct layer *layer, struct layer_build *build) {
    const struct tensor *in = &build->in[0];
    const struct layer_spec *spec = &layer->spec;
    int in_steps;
    int64_t steps, width;
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    if (in->sequence && spec->target_width == in->width &&
        (spec->target_steps == -1 || (in->steps > 0 && spec->target_steps == in->steps))) {
        layer_like_input(layer, build, in->width); /* stays as it is, however many steps there are */
        build->out[0].mask = -1;
        return 0;
    }
    if (layer_refuse_stream(layer, build) || layer_fixed_steps(build, in, &in_steps) ||
        resolve_shape(layer, build, (int64_t)in_steps * in->width, &steps, &width))
        return -1;
    if (width > NETWORK_WIDTH_MAX || steps > NETWORK_WIDTH_MAX)
        return error_set(build->err, "makes the shape %lld x %lld, and neither may be more than %d", (long long)steps,
                         (long long)width, NETWORK_WIDTH_MAX);
    build_fixed(layer, build, (int)steps, (int)width);
    return 0;
}

/* Where the p-th element of the first row lies; the next rows' are a width further on each. */
static size_t place_of(const struct port *port, size_t rows, size_t p) {
    size_t width = (size_t)port->width;
    return p / width * rows * width + p % width;
}

static void reshape_forward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)x->steps * (size_t)x->width;
    for (size_t p = 0; p < n; p++) {
        size_t from = place_of(x, (size_t)run->rows, p), to = place_of(y, (size_t)run->rows, p);
        for (size_t r = 0; r < (size_t)run->rows; r++)
            y->data[to + r * (size_t)y->width] = x->data[from + r * (size_t)x->width];
    }
}

static void reshape_backward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)x->steps * (size_t)x->width;
    for (size_t p = 0; x->grad && p < n; p++) {
        size_t from = place_of(x, (size_t)run->rows, p), to = place_of(y, (size_t)run->rows, p);
        for (size_t r = 0; r < (size_t)run->rows; r++)
            x->grad[from + r * (size_t)x->width] += y->grad[to + r * (size_t)y->width];
    }
}

const struct layer_ops layer_flatten = {
    .name = "Flatten",
    .build = flatten_build,
    .forward = reshape_forward,
    .backward = reshape_backward,
};

const struct layer_ops layer_reshape = {
    .name = "Reshape",
    .build = reshape_build,
    .forward = reshape_forward,
    .backward = reshape_backward,
};

/* ---- Permute ------------------------------------------------------------------------------------ */

static int permute_build(struct layer *layer, struct layer_build *build) {
    const struct tensor *in = &build->in[0];
    int steps;
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    if (!in->sequence)
        return error_set(build->err, "swaps steps and width, and its input has no time axis");
    if (layer_refuse_stream(layer, build) || layer_fixed_steps(build, in, &steps) ||
        layer_check_size(build, "its width, the steps of its input,", steps))
        return -1;
    build_fixed(layer, build, in->width, steps);
    return 0;
}

static void permute_forward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    size_t rows = (size_t)run->rows, steps = (size_t)run->in[0].steps, width = (size_t)run->in[0].width;
    for (size_t t = 0; t < steps; t++)
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < width; j++)
                run->out[0].data[(j * rows + r) * steps + t] = run->in[0].data[(t * rows + r) * width + j];
}

static void permute_backward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    size_t rows = (size_t)run->rows, steps = (size_t)run->in[0].steps, width = (size_t)run->in[0].width;
    for (size_t t = 0; run->in[0].grad && t < steps; t++)
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < width; j++)
                run->in[0].grad[(t * rows + r) * width + j] += run->out[0].grad[(j * rows + r) * steps + t];
}

const struct layer_ops layer_permute = {
    .name = "Permute",
    .build = permute_build,
    .forward = permute_forward,
    .backward = permute_backward,
};
