#include "engine/head.h"

#include "engine/distribution.h"
#include "engine/event.h"

#include <math.h>
#include <stdio.h>

struct loss_spec head_loss(const struct config_model *model) {
    return (struct loss_spec){.loss = model->training.loss,
                              .levels = model->levels,
                              .n_levels = model->n_levels,
                              .n_classes = model->classes,
                              .probabilities = model->probabilities};
}

int head_targets(const struct config_model *model) {
    return model->head == HEAD_EVENT ? 1 : model->n_targets;
}

int head_answers(const struct config_model *model) {
    return model->head == HEAD_EVENT ? 1 : model->horizon * model->n_targets;
}

enum scaler_kind head_scaler(const struct config_model *model) {
    return model->training.loss == LOSS_BINARY_CROSSENTROPY ? SCALER_NONE : model->scaler;
}

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
    const struct loss_spec loss = head_loss(model);
    int of_a_step = model->n_targets * loss_width(&loss);
    if (model->form == FORECAST_RECURSIVE || (model->vocabulary > 0 && shape.width == model->vocabulary))
        return 1;
    if (is_decoded(&shape))
        return shape.width == of_a_step ? shape.steps : 0;
    if (shape.width == of_a_step)
        return 1;
    /* As many values as inputs are the next of each of them; what is given at every step is one step's. */
    if (shape.sequence || shape.width == model->n_inputs || is_softmax(network))
        return 0;
    return shape.width % of_a_step == 0 ? shape.width / of_a_step : 0;
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

int head_fits_event(const struct config_model *model, const struct network *network, bool *ret_probabilities,
                    struct error *err) {
    struct network_shape shape = network_output(network, 0, model->window);
    const struct network_spec *spec = network_spec(network);
    enum activation activation = spec->layers[spec->outputs[0].layer].activation;
    int width = event_width(model->classes);
    char text[64];
    if (is_decoded(&shape) || shape.width != width)
        return error_set(err, "it gives %s, and an event of %d classes has %d", shape_text(&shape, text, sizeof text),
                         model->classes, width);
    if (activation != ACTIVATION_LINEAR && activation != (width == 1 ? ACTIVATION_SIGMOID : ACTIVATION_SOFTMAX))
        return error_set(err, "its last activation is not %s, nor is it linear", width == 1 ? "sigmoid" : "softmax");
    *ret_probabilities = activation != ACTIVATION_LINEAR;
    return 0;
}

int head_fit(const struct config_model *model, const struct network *network, int sample, struct head *ret_head,
             struct error *err) {
    struct network_shape shape = network_output(network, 0, sample);
    bool recursive = model->form == FORECAST_RECURSIVE;
    int horizon = recursive ? 1 : model->horizon, n_targets = model->n_targets;
    char text[64];
    *ret_head =
        (struct head){.horizon = horizon, .steps = shape.steps, .width = shape.width, .loss = head_loss(model)};
    int numbers = loss_width(&ret_head->loss);
    for (int i = 0; i < model->n_levels; i++)
        ret_head->normal[i] = normal_quantile(0.5 + model->levels[i] / 200);
    if (horizon == 0)
        return error_set(err, "it gives %s, which may be targets, steps or classes",
                         shape_text(&shape, text, sizeof text));
    if (model->vocabulary > 0 && horizon == 1 && shape.width == model->vocabulary)
        ret_head->form = HEAD_CLASS;
    else if (shape.sequence && shape.width == n_targets * numbers && shape.steps == horizon &&
             (horizon > 1 || !recursive))
        ret_head->form = HEAD_BY_STEP;
    else if (!is_decoded(&shape) && shape.width == horizon * n_targets * numbers)
        ret_head->form = HEAD_ALL_AT_ONCE;
    else
        return error_set(err, "it gives %s, and %s of %d step%s for %d target%s%s has %d",
                         shape_text(&shape, text, sizeof text), recursive ? "what is fed back" : "a forecast",
                         horizon, horizon == 1 ? "" : "s", n_targets, n_targets == 1 ? "" : "s",
                         numbers > 1 ? " with its distribution (training.loss)" : "", horizon * n_targets * numbers);
    return 0;
}

static int likeliest(const float *y, int width) {
    int best = 0;
    for (int j = 1; j < width; j++)
        if (y[j] > y[best])
            best = j;
    return best;
}

/* Where the numbers for h steps ahead begin, and how far the next one of each answer is from the one before. */
static const float *numbers_of(const struct head *head, const float *y, int rows, int row, int h, int n_targets,
                               int *ret_apart) {
    bool by_step = head->form == HEAD_BY_STEP;
    int step = by_step ? h - 1 : head->steps - 1;
    *ret_apart = by_step ? n_targets : head->horizon * n_targets;
    return y + ((size_t)step * (size_t)rows + (size_t)row) * (size_t)head->width +
           (by_step ? 0 : (h - 1) * n_targets);
}

void head_values(const struct head *head, const float *y, int rows, int row, int h, int n_targets,
                 float *ret_values) {
    int apart;
    const float *at = numbers_of(head, y, rows, row, h, n_targets, &apart);
    if (head->form == HEAD_CLASS)
        *ret_values = isnan(*at) ? NAN : (float)likeliest(at, head->width);
    else
        loss_points(&head->loss, 1, (size_t)n_targets, at, ret_values);
}

/* ---- intervals ---------------------------------------------------------------------------------- */

/* Of a level and of all below it: a network's quantiles may cross. */
static float quantile_half_width(const float *at, int apart, int level) {
    float below = 0, above = 0;
    for (int i = 0; i <= level; i++) {
        below = fmaxf(below, at[0] - at[(1 + 2 * i) * apart]);
        above = fmaxf(above, at[(2 + 2 * i) * apart] - at[0]);
    }
    return (below + above) / 2;
}

void head_half_widths(const struct head *head, const float *y, int rows, int row, int h, int n_targets, int level,
                      float *ret_half_widths) {
    int apart;
    const float *at = numbers_of(head, y, rows, row, h, n_targets, &apart);
    for (int j = 0; j < n_targets; j++, at++) {
        if (head->loss.loss == LOSS_QUANTILE) {
            ret_half_widths[j] = quantile_half_width(at, apart, level);
            continue;
        }
        bool gaussian = head->loss.loss == LOSS_GAUSSIAN;
        const double raw[DISTRIBUTION_WIDTH_MAX] = {0, (double)at[apart], gaussian ? 0 : (double)at[2 * apart]};
        double quantile = gaussian
                              ? head->normal[level]
                              : student_t_quantile(distribution_freedom(raw), 0.5 + head->loss.levels[level] / 200);
        ret_half_widths[j] = (float)(distribution_scale(raw) * quantile);
    }
}
