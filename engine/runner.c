#include "engine/runner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct runner {
    const struct config_model *model;
    const struct kernels *kernels;
    int most, sample; /* rows; steps of a call */
    size_t n_inputs;
    int rows; /* of the latest run */
    bool again;

    float *x, *next;               /* [sample x rows x n_inputs]; [rows x n_inputs] of a recursive forecast */
    float **state, **copy_state;   /* [rows] */
    int n_features;                /* that inputs and targets are of */
    struct scaler *own;            /* [rows x n_features] of samples; SCALER_WINDOW alone has them */
    const struct scaler **scalers; /* [rows] */
    float *copies;                 /* [rows x state size] */
    float *y[LAYER_PORTS];         /* of each output */
    struct network_shape shape[LAYER_PORTS];
    struct head head;
    float *values; /* [n_targets] */
    float *work;
    size_t copies_size, work_size, y_size[LAYER_PORTS];
};

static int n_features(const struct config_model *model) {
    int n = 0;
    for (int i = 0; i < model->n_inputs; i++)
        n = model->inputs[i] >= n ? model->inputs[i] + 1 : n;
    for (int j = 0; j < model->n_targets; j++)
        n = model->targets[j] >= n ? model->targets[j] + 1 : n;
    return n;
}

struct runner *runner_new(const struct config_model *model, const struct kernels *kernels) {
    struct runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL)
        return NULL;
    size_t most = (size_t)model->batch_size, n_inputs = (size_t)config_network_inputs(model);
    runner->model = model;
    runner->kernels = kernels;
    runner->most = model->batch_size;
    runner->sample = model->window > 0 ? model->window : 1;
    runner->n_inputs = n_inputs;
    runner->x = calloc((size_t)runner->sample * most * n_inputs, sizeof *runner->x);
    runner->next = calloc(model->form == FORECAST_RECURSIVE ? most * n_inputs : 1, sizeof *runner->next);
    runner->n_features = n_features(model);
    size_t own = model->scaler == SCALER_WINDOW ? most * (size_t)runner->n_features : 1;
    runner->own = calloc(own, sizeof *runner->own);
    runner->scalers = calloc(most, sizeof *runner->scalers);
    runner->values = calloc((size_t)model->n_targets + 1, sizeof *runner->values);
    runner->state = calloc(most, sizeof *runner->state);
    runner->copy_state = calloc(most, sizeof *runner->copy_state);
    if (runner->values != NULL && runner->x != NULL && runner->next != NULL && runner->state != NULL &&
        runner->copy_state != NULL && runner->own != NULL && runner->scalers != NULL)
        return runner;
    runner_free(runner);
    return NULL;
}

void runner_free(struct runner *runner) {
    if (runner == NULL)
        return;
    free(runner->own);
    free(runner->scalers);
    free(runner->values);
    free(runner->x);
    free(runner->next);
    free(runner->state);
    free(runner->copy_state);
    free(runner->copies);
    for (int o = 0; o < LAYER_PORTS; o++)
        free(runner->y[o]);
    free(runner->work);
    free(runner);
}

static int grow(float **floats, size_t *size, size_t needed) {
    if (needed <= *size)
        return 0;
    float *grown = realloc(*floats, needed * sizeof *grown);
    if (grown == NULL)
        return -1;
    *floats = grown;
    *size = needed;
    return 0;
}

int runner_fit(struct runner *runner, const struct network *network) {
    const struct config_model *model = runner->model;
    size_t most = (size_t)runner->most;
    assert(network_n_inputs(network) == config_network_inputs(model));
    for (int o = 0; o < network_n_outputs(network); o++) {
        struct network_shape shape = network_output(network, o, runner->sample);
        if (grow(&runner->y[o], &runner->y_size[o], most * (size_t)shape.steps * (size_t)shape.width) != 0)
            return -1;
        runner->shape[o] = shape;
    }
    if (grow(&runner->work, &runner->work_size,
             network_serving_size(network, runner->kernels, runner->most, runner->sample)) != 0)
        return -1;
    if (model->form == FORECAST_RECURSIVE &&
        grow(&runner->copies, &runner->copies_size, most * network_state_size(network) + 1) != 0)
        return -1;
    if (model->head == HEAD_FORECAST) {
        struct error err;
        int fits = head_fit(model, network, runner->sample, &runner->head, &err);
        assert(fits == 0 && "the configuration has been checked");
        (void)fits;
    }
    return 0;
}

bool runner_can(const struct runner *runner, const struct lane *lane, int slot) {
    return lane_network(lane) != NULL && lane->seen[slot] - lane->zero[slot] >= (uint64_t)runner->sample;
}

static void forward(struct runner *runner, const struct lane *lane, float *const *state) {
    network_forward(lane_network(lane), runner->kernels, runner->rows, runner->sample, runner->x, state, runner->y,
                    runner->work);
}

/* The scalers of a row: the slot's, or those of the sample that begins at a step. */
static const struct scaler *choose_scalers(struct runner *runner, int row, const struct lane *lane, int slot,
                                           const struct history *history, uint64_t first) {
    const struct config_model *model = runner->model;
    const struct scaler *running = lane_scalers(lane, slot);
    if (model->scaler != SCALER_WINDOW)
        return running;
    struct scaler *own = runner->own + (size_t)row * (size_t)runner->n_features;
    for (int i = 0; i < model->n_inputs + model->n_targets; i++) {
        int f = i < model->n_inputs ? model->inputs[i] : model->targets[i - model->n_inputs];
        struct scaler sample = {0};
        for (int t = 0; t < runner->sample; t++)
            scaler_update(&sample, history_values(history, first + (uint64_t)t)[f]);
        own[f] = scaler_of_sample(&sample, &running[f]);
    }
    return own;
}

const struct scaler *runner_scalers(const struct runner *runner, int row) {
    return runner->scalers[row];
}

void runner_run(struct runner *runner, const struct lane *lane, const struct history *const *history,
                const int *slots, int rows) {
    runner->rows = rows;
    runner->again = false;
    for (int row = 0; row < rows; row++) {
        int slot = slots[row];
        uint64_t first = lane->seen[slot] + 1 - (uint64_t)runner->sample;
        runner->scalers[row] = choose_scalers(runner, row, lane, slot, history[slot], first);
        for (int t = 0; t < runner->sample; t++)
            lane_gather(runner->scalers[row], history[slot], first + (uint64_t)t, runner->model,
                        runner->x + ((size_t)t * (size_t)rows + (size_t)row) * runner->n_inputs);
        runner->state[row] = lane_state(lane, slot);
    }
    forward(runner, lane, runner->state);
}

float *runner_next(struct runner *runner, int row) {
    return runner->next + (size_t)row * runner->n_inputs;
}

void runner_run_again(struct runner *runner, const struct lane *lane) {
    size_t rows = (size_t)runner->rows, step = rows * runner->n_inputs, size = lane->state_size;
    for (size_t r = 0; !runner->again && r < rows; r++) {
        runner->copy_state[r] = runner->copies + r * size;
        memcpy(runner->copy_state[r], runner->state[r], size * sizeof(float));
    }
    runner->again = true;
    memmove(runner->x, runner->x + step, (size_t)(runner->sample - 1) * step * sizeof(float));
    memcpy(runner->x + (size_t)(runner->sample - 1) * step, runner->next, step * sizeof(float));
    forward(runner, lane, runner->copy_state);
}

const float *runner_values(struct runner *runner, int row, int h) {
    head_values(&runner->head, runner->y[0], runner->rows, row, h, runner->model->n_targets, runner->values);
    return runner->values;
}

void runner_half_widths(const struct runner *runner, int row, int h, int level, float *ret_half_widths) {
    head_half_widths(&runner->head, runner->y[0], runner->rows, row, h, runner->model->n_targets, level,
                     ret_half_widths);
}

const float *runner_last_output(const struct runner *runner, int row) {
    const struct network_shape *shape = &runner->shape[0];
    size_t at = (size_t)(shape->steps - 1) * (size_t)runner->rows + (size_t)row;
    return runner->y[0] + at * (size_t)shape->width;
}

void runner_copy_output(const struct runner *runner, int output, int row, float *ret) {
    const struct network_shape *shape = &runner->shape[output];
    size_t width = (size_t)shape->width, rows = (size_t)runner->rows;
    for (size_t t = 0; t < (size_t)shape->steps; t++)
        memcpy(ret + t * width, runner->y[output] + (t * rows + (size_t)row) * width, width * sizeof *ret);
}
