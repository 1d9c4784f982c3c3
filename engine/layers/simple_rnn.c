/*
 * SimpleRNN, as Keras': h' = activation(x W + h U + b).
 *
 * Parameters W [n_in x units], U [units x units], b [units]; state h [units] of each row.
 */
#include "engine/layers/activation.h"
#include "engine/layers/recurrent.h"

#include <string.h>

static void simple_rnn_step(const struct pass *pass, const struct kernels *kernels, int n, const float *x,
                            const float *sums, float *const *state, float *y, float *work) {
    (void)sums;
    size_t units = (size_t)pass->units;
    (void)work;
    for (int r = 0, taken; r < n; r += taken) {
        taken = n - r < CELL_ROWS ? n - r : CELL_ROWS;
        float *y_at = y + (size_t)r * units;
        pass_affine(pass, kernels, taken, x + (size_t)r * (size_t)pass->n_in, state + r, 1, y_at);
        kernels->activate(pass->activation, (size_t)taken, units, y_at);
        for (int i = 0; i < taken; i++)
            memcpy(state[r + i], y_at + (size_t)i * units, units * sizeof *y);
    }
}

static void simple_rnn_record(const struct pass *pass, const struct tape_step *step) {
    size_t units = (size_t)pass->units, rows = (size_t)step->rows, size = rows * units * sizeof(float);

    step_sums(pass, step, true, true, pass->bias, step->gates);
    if (step->pre)
        memcpy(step->pre, step->gates, size);
    step->kernels->activate(pass->activation, rows, units, step->gates);
    memcpy(step->after[0], step->gates, size);
}

static void simple_rnn_backward(const struct pass *pass, const struct tape_step *step) {
    activation_backward(pass->activation, (size_t)step->rows, (size_t)pass->units, step->pre, step->gates, step->d[0],
                        step->dz);
    step_back(pass, step, step->dz, false);
}

const struct cell_ops cell_simple_rnn = {
    .n_gates = 1,
    .n_states = 1,
    .bias_rows = 1,
    .step = simple_rnn_step,
    .record = simple_rnn_record,
    .backward = simple_rnn_backward,
};

const struct layer_ops layer_simple_rnn = {
    .name = "SimpleRNN",
    .build = recurrent_build,
    .init_weights = recurrent_init_weights,
    .work_size = recurrent_work_size,
    .tape_size = recurrent_tape_size,
    .forward = recurrent_forward,
    .tape_forward = recurrent_tape_forward,
    .backward = recurrent_backward,
};
