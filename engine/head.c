#include "engine/head.h"

#include <math.h>
#include <stdio.h>

/* Whether the steps of output 0 are a number of their own (a decoder's) and not those of the call. */
static bool has_own_steps(const struct network *network, int sample) {
    struct network_shape shape = network_output(network, 0, sample);
    if (!shape.sequence || network_steps(network) > 0)
        return false;
    return network_output(network, 0, sample + 1).steps == shape.steps;
}

int head_horizon(const struct config_model *model, const struct network *network, int sample) {
    struct network_shape shape = network_output(network, 0, sample);
    if (model->form == FORECAST_RECURSIVE || (model->vocabulary > 0 && shape.width == model->vocabulary))
        return 1;
    if (shape.width == model->n_targets && has_own_steps(network, sample))
        return shape.steps;
    return shape.width > model->n_targets && shape.width % model->n_targets == 0 ? shape.width / model->n_targets : 1;
}

static int refuse(const struct network_shape *shape, int horizon, int n_targets, struct error *err) {
    char steps[48] = "";
    if (shape->sequence)
        snprintf(steps, sizeof steps, " at each of %d step%s", shape->steps, shape->steps == 1 ? "" : "s");
    return error_set(err, "it gives %d value%s%s, and a forecast of %d step%s for %d target%s has %d", shape->width,
                     shape->width == 1 ? "" : "s", steps, horizon, horizon == 1 ? "" : "s", n_targets,
                     n_targets == 1 ? "" : "s", horizon * n_targets);
}

int head_fit(const struct config_model *model, const struct network *network, int sample, struct head *ret_head,
             struct error *err) {
    struct network_shape shape = network_output(network, 0, sample);
    int horizon = model->form == FORECAST_RECURSIVE ? 1 : model->horizon;
    *ret_head = (struct head){.horizon = horizon, .steps = shape.steps, .width = shape.width};
    if (model->vocabulary > 0 && horizon == 1 && shape.width == model->vocabulary)
        ret_head->form = HEAD_CLASS;
    else if (shape.width == horizon * model->n_targets)
        ret_head->form = HEAD_ALL_AT_ONCE;
    else if (shape.width == model->n_targets && shape.steps == horizon)
        ret_head->form = HEAD_BY_STEP;
    else
        return refuse(&shape, horizon, model->n_targets, err);
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
