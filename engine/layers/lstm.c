/*
 * LSTM, as Keras': gates in the order i, f, c, o.
 *
 *     z = x W + h U + b        i, f, o = recurrent_activation(zi, zf, zo)    g = activation(zc)
 *     c' = f c + i g           h' = o activation(c')
 *
 * Parameters W [n_in x 4 units], U [units x 4 units], b [4 units]; states h, c [units] of each row.
 */
#include "engine/layers/activation.h"
#include "engine/layers/recurrent.h"

#include <string.h>

/* The gates of a row in place, from what goes into their activations. */
static void activate_gates(const struct pass *pass, const struct kernels *kernels, float *z) {
    size_t units = (size_t)pass->units;
    kernels->activate(pass->recurrent_activation, 2, units, z);
    kernels->activate(pass->activation, 1, units, z + 2 * units);
    kernels->activate(pass->recurrent_activation, 1, units, z + 3 * units);
}

/* New h, c and y of one row from its gates before activation. */
static void lstm_update(const struct pass *pass, const struct kernels *kernels, float *gates, float *h, float *y) {
    size_t units = (size_t)pass->units;
    const float *i = gates, *f = i + units, *g = f + units, *o = g + units;
    float *c = h + units;

    activate_gates(pass, kernels, gates);
    for (size_t j = 0; j < units; j++)
        h[j] = c[j] = __builtin_fmaf(f[j], c[j], i[j] * g[j]);
    kernels->activate(pass->activation, 1, units, h);
    for (size_t j = 0; j < units; j++)
        h[j] = y[j] = o[j] * h[j];
}

static void lstm_step(const struct pass *pass, const struct kernels *kernels, int n, const float *x,
                      const float *sums, float *const *state, float *y, float *work) {
    size_t units = (size_t)pass->units;
    if (pass->is_plain) {
        kernels->lstm(&pass->packed, n, x, sums, state, y);
        return;
    }
    for (int r = 0, taken; r < n; r += taken) {
        taken = n - r < CELL_ROWS ? n - r : CELL_ROWS;
        pass_affine(pass, kernels, taken, x + (size_t)r * (size_t)pass->n_in, state + r, 4, work);
        for (int i = 0; i < taken; i++)
            lstm_update(pass, kernels, work + (size_t)i * 4 * units, state[r + i], y + (size_t)(r + i) * units);
    }
}

/* ---- training: kept is activation(c') ----------------------------------------------------------- */

static struct lstm_gates gates_of(const struct pass *pass, const struct tape_step *step) {
    return (struct lstm_gates){step->rows, pass->units, step->gates, step->before[1], step->kept};
}

static void lstm_record(const struct pass *pass, const struct tape_step *step) {
    size_t units = (size_t)pass->units, rows = (size_t)step->rows;
    float *z = step->gates;

    step_sums(pass, step, true, true, pass->bias, z);
    if (pass->is_plain) {
        const struct lstm_gates gates = gates_of(pass, step);
        step->products->lstm_forward(&gates, step->after[1], step->after[0]);
        return;
    }
    if (step->pre)
        memcpy(step->pre, z, rows * 4 * units * sizeof *z);
    for (size_t r = 0; r < rows; r++) {
        const float *i = z + r * 4 * units, *f = i + units, *g = f + units, *c = step->before[1] + r * units;
        activate_gates(pass, step->kernels, z + r * 4 * units);
        for (size_t j = 0; j < units; j++)
            step->after[1][r * units + j] = f[j] * c[j] + i[j] * g[j];
    }
    memcpy(step->kept, step->after[1], rows * units * sizeof *z);
    step->kernels->activate(pass->activation, rows, units, step->kept);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < units; j++)
            step->after[0][r * units + j] = z[(r * 4 + 3) * units + j] * step->kept[r * units + j];
}

/* The gradients of a row's gates, after activation, into d_gates; dc becomes that before the step. */
static void gates_backward(size_t units, const float *gates, const float *c_before, const float *activated_c,
                           const float *dh, float *dc, float *d_gates) {
    const float *i = gates, *f = i + units, *g = f + units;
    float *di = d_gates, *df = di + units, *dg = df + units, *d_o = dg + units;

    for (size_t j = 0; j < units; j++) {
        di[j] = dc[j] * g[j];
        df[j] = dc[j] * c_before[j];
        dg[j] = dc[j] * i[j];
        d_o[j] = dh[j] * activated_c[j];
        dc[j] *= f[j];
    }
}

static void row_backward(const struct pass *pass, const struct tape_step *step, size_t r) {
    size_t units = (size_t)pass->units, at = r * units;
    float *gates = step->gates + 4 * at, *d_gates = step->dz + 4 * at, *dh = step->d[0] + at, *dc = step->d[1] + at;
    const float *pre = step->pre ? step->pre + 4 * at : gates, *o = gates + 3 * units;

    for (size_t j = 0; j < units; j++)
        d_gates[j] = dh[j] * o[j];
    activation_backward(pass->activation, 1, units, step->after[1] + at, step->kept + at, d_gates, d_gates);
    for (size_t j = 0; j < units; j++)
        dc[j] += d_gates[j];
    gates_backward(units, gates, step->before[1] + at, step->kept + at, dh, dc, d_gates);
    activation_backward(pass->recurrent_activation, 2, units, pre, gates, d_gates, d_gates);
    activation_backward(pass->activation, 1, units, pre + 2 * units, gates + 2 * units, d_gates + 2 * units,
                        d_gates + 2 * units);
    activation_backward(pass->recurrent_activation, 1, units, pre + 3 * units, gates + 3 * units, d_gates + 3 * units,
                        d_gates + 3 * units);
}

static void lstm_backward(const struct pass *pass, const struct tape_step *step) {
    if (pass->is_plain) {
        const struct lstm_gates gates = gates_of(pass, step);
        step->products->lstm_backward(&gates, step->d[0], step->d[1], step->dz);
    }
    for (size_t r = 0; !pass->is_plain && r < (size_t)step->rows; r++)
        row_backward(pass, step, r);
    step_back(pass, step, step->dz, false);
}

const struct cell_ops cell_lstm = {
    .n_gates = 4,
    .n_states = 2,
    .bias_rows = 1,
    .n_kept = 1,
    .has_kernel = true,
    .kernel = KERNEL_LSTM,
    .step = lstm_step,
    .record = lstm_record,
    .backward = lstm_backward,
};

const struct layer_ops layer_lstm = {
    .name = "LSTM",
    .build = recurrent_build,
    .init_weights = recurrent_init_weights,
    .packed_size = recurrent_packed_size,
    .pack = recurrent_pack,
    .work_size = recurrent_work_size,
    .tape_size = recurrent_tape_size,
    .forward = recurrent_forward,
    .tape_forward = recurrent_tape_forward,
    .backward = recurrent_backward,
};
