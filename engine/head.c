#include "engine/head.h"

#include <math.h>
#include <stdio.h>

/* Whether the steps are a number of their own: a decoder's. */
static bool is_decoded(const struct network_shape *shape) {
    return shape->sequence && !shape->of_call;
}

/* Whether output 0 is a share for each of several classes. */
static bool is_softmax(const struct network *network) {
    const struct network_spec *spec = network_spec(network);
    return spec->layers[spec->outputs[0].layer].activation == ACTIVATION_SOFTMAX;
}

int head_horizon(const struct config_model *model, const struct network *network, int sample) {
    struct network_shape shape = network_output(network, 0, sample);
    if (model->form == FORECAST_RECURSIVE || (model->vocabulary > 0 && shape.width == model->vocabulary))
        return 1;
    if (is_decoded(&shape))
        return shape.width == model->n_targets ? shape.steps : 0;
    if (shape.width == model->n_targets)
        return 1;
    /* As many values as inputs are the next of each of them; what is given at every step is one step's. */
    if (shape.sequence || shape.width == model->n_inputs || is_softmax(network))
        return 0;
    return shape.width % model->n_targets == 0 ? shape.width / model->n_targets : 0;
}

/* What output 0 is, for people: "24 values", "12 steps of 1 value". */
static const char *shape_text(const struct network_shape *shape, char *text, size_t size) {
    const char *s = shape->width == 1 ? "" : "s";
    if (is_decoded(shape))
        snprintf(text, size, "%d step%s of %d value%s", shape->steps, shape->steps == 1 ? "" : "s", shape->width, s);
    else
        snprintf(text, size, "%d value%s%s", shape->width, s, shape->sequence ? " at each step" : "");
    return text;
}

int head_fit(const struct config_model *model, const struct network *network, int sample, struct head *ret_head,
             struct error *err) {
    struct network_shape shape = network_output(network, 0, sample);
    bool recursive = model->form == FORECAST_RECURSIVE;
    int horizon = recursive ? 1 : model->horizon, n_targets = model->n_targets;
    char text[64];
    *ret_head = (struct head){.horizon = horizon, .steps = shape.steps, .width = shape.width};
    if (horizon == 0)
        return error_set(err, "it gives %s, which may be targets, steps or classes",
                         shape_text(&shape, text, sizeof text));
    if (model->vocabulary > 0 && horizon == 1 && shape.width == model->vocabulary)
        ret_head->form = HEAD_CLASS;
    else if (shape.sequence && shape.width == n_targets && shape.steps == horizon && (horizon > 1 || !recursive))
        ret_head->form = HEAD_BY_STEP;
    else if (!is_decoded(&shape) && shape.width == horizon * n_targets)
        ret_head->form = HEAD_ALL_AT_ONCE;
    else
        return error_set(err, "it gives %s, and %s of %d step%s for %d target%s has %d",
                         shape_text(&shape, text, sizeof text), recursive ? "what is fed back" : "a forecast",
                         horizon, horizon == 1 ? "" : "s", n_targets, n_targets == 1 ? "" : "s", horizon * n_targets);
    return 0;
}

static int likeliest(const float *y, int width) {
    int best = 0;
    for (int j = 1; j < width; j++)
        if (y[j] > y[best])
            best = j;
    return best;
}

const float *head_values(const struct head *head, const float *y, int rows, int row, int h, int n_targets,
                         float *ret_id) {
    int step = head->form == HEAD_BY_STEP ? h - 1 : head->steps - 1;
    const float *at = y + ((size_t)step * (size_t)rows + (size_t)row) * (size_t)head->width;
    switch (head->form) {
    case HEAD_CLASS: *ret_id = isnan(*at) ? NAN : (float)likeliest(at, head->width); return ret_id;
    case HEAD_BY_STEP: return at;
    case HEAD_ALL_AT_ONCE: break;
    }
    return at + (h - 1) * n_targets;
}
