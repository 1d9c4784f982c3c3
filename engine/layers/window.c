#include "engine/layers/window.h"

static int check_window(const struct layer_build *build, const struct layer_spec *spec) {
    if (spec->kernel_size < 1 || spec->kernel_size > NETWORK_STEPS_MAX)
        return error_set(build->err, "its window of %d steps must have from 1 to %d", spec->kernel_size,
                         NETWORK_STEPS_MAX);
    if (spec->strides < 1 || spec->strides > NETWORK_STEPS_MAX)
        return error_set(build->err, "strides is %d, and must be from 1 to %d", spec->strides, NETWORK_STEPS_MAX);
    if (spec->dilation < 1 || spec->dilation > NETWORK_STEPS_MAX ||
        (int64_t)(spec->kernel_size - 1) * spec->dilation >= NETWORK_STEPS_MAX)
        return error_set(build->err, "its window of %d steps, each %d from the next, must reach over less than %d",
                         spec->kernel_size, spec->dilation, NETWORK_STEPS_MAX);
    if (!build->in[0].sequence)
        return error_set(build->err, "moves along the steps, and its input has no time axis");
    return 0;
}

/* A stream goes on step by step: what comes out of a step must be known when it comes in. */
static int check_stream(const struct layer *layer, const struct layer_build *build) {
    const struct layer_spec *spec = &layer->spec;
    if (layer->mode != NETWORK_STREAM || !build->in[0].of_call)
        return 0;
    if (spec->strides > 1)
        return error_set(build->err,
                         "moves by %d steps at a time, and a stream has one tick after the other: it runs on windows",
                         spec->strides);
    if (spec->kernel_size > 1 && spec->padding != PADDING_CAUSAL)
        return error_set(
            build->err,
            "looks at %d steps at once with padding `%s`, and only a causal convolution runs on a stream: "
            "it runs on windows",
            spec->kernel_size, spec->padding == PADDING_SAME ? "same" : "valid");
    return 0;
}

int window_build(struct layer *layer, struct layer_build *build) {
    const struct layer_spec *spec = &layer->spec;
    const struct tensor *in = &build->in[0];
    struct tensor *out = &build->out[0];

    if (check_window(build, spec) || check_stream(layer, build))
        return -1;
    int shrink = spec->padding == PADDING_VALID ? window_reach(spec) : 0;
    if (in->steps > 0) {
        if (in->steps <= shrink)
            return error_set(build->err, "its window reaches over %d steps, and its input has %d", shrink + 1,
                             in->steps);
        out->steps = window_out_steps(spec, in->steps);
        return 0;
    }
    int64_t all_shrink = in->shrink + (int64_t)shrink * in->stride, all_stride = (int64_t)in->stride * spec->strides;
    if (all_shrink >= NETWORK_STEPS_MAX || all_stride > NETWORK_STEPS_MAX)
        return error_set(build->err, "with it, one step needs more than %d steps of the input", NETWORK_STEPS_MAX);
    out->shrink = (int)all_shrink;
    out->stride = (int)all_stride;
    return 0;
}

int window_left(const struct layer_spec *spec, int steps, int out_steps) {
    if (spec->padding == PADDING_VALID)
        return 0;
    if (spec->padding == PADDING_CAUSAL)
        return window_reach(spec);
    int64_t padding = (int64_t)(out_steps - 1) * spec->strides + window_reach(spec) + 1 - steps;
    return padding > 0 ? (int)(padding / 2) : 0;
}
