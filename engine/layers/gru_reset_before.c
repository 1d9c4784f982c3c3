/*
 * GRU, as Keras' without reset_after (that of Keras 1 and 2.0): gates in the order z, r, h.
 *
 *     z, r = recurrent_activation(x W + h U + b)           of their columns
 *     g = activation(x Wh + (r h) Uh + bh)                 h' = z h + (1 - z) g
 *
 * Parameters W [n_in x 3 units], U [units x 3 units], b [3 units]; state h [units] of each row.
 */
#include "engine/layers/activation.h"
#include "engine/layers/recurrent.h"

#include <string.h>

static void gru_step(const struct pass *pass, const struct kernels *kernels, int n, const float *x, const float *sums,
                     float *const *state, float *y, float *work) {
    (void)sums;
    size_t units = (size_t)pass->units;
    float *reset = work + CELL_ROWS * 3 * units; /* r h, [CELL_ROWS x units] */
    const float *reset_at[CELL_ROWS];

    for (int r = 0, taken; r < n; r += taken) {
        taken = n - r < CELL_ROWS ? n - r : CELL_ROWS;
        pass_affine(pass, kernels, taken, x + (size_t)r * (size_t)pass->n_in, state + r, 2, work);
        for (int i = 0; i < taken; i++) {
            float *z = work + (size_t)i * 3 * units, *to = reset + (size_t)i * units;
            kernels->activate(pass->recurrent_activation, 2, units, z);
            for (size_t j = 0; j < units; j++)
                to[j] = z[units + j] * state[r + i][j];
            reset_at[i] = to;
        }
        kernels->accumulate(taken, pass->units, pass->units, reset_at, 3 * units, pass->u + 2 * units, 3 * units,
                            work + 2 * units);
        for (int i = 0; i < taken; i++) {
            float *z = work + (size_t)i * 3 * units, *g = z + 2 * units, *h = state[r + i];
            float *y_at = y + (size_t)(r + i) * units;
            kernels->activate(pass->activation, 1, units, g);
            for (size_t j = 0; j < units; j++)
                h[j] = y_at[j] = __builtin_fmaf(z[j], h[j], (1.0f - z[j]) * g[j]);
        }
    }
}

/* ---- training: kept is r h, of which the third gate's mask leaves what it does ------------------- */

static float left_of(const struct tape_step *step, size_t i) {
    const struct masks *masks = &step->dropped;
    return masks->n == 0 ? 1 : masks->at[2 * (size_t)masks->rows * (size_t)masks->width + i];
}

static void gru_record(const struct pass *pass, const struct tape_step *step) {
    int units = pass->units, n_z = 3 * units;
    size_t n = (size_t)units, rows = (size_t)step->rows;
    const float *h = step->before[0];

    struct masks dropped = masks_of_gates(&step->dropped, 0, 2);
    step_sums(pass, step, true, false, pass->bias, step->gates);
    dropped_product(&dropped, step->rows, 2 * units, h, pass->u, step->gates, n_z);
    for (size_t r = 0; r < rows; r++) {
        float *z = step->gates + r * 3 * n;
        if (step->pre)
            memcpy(step->pre + r * 3 * n, z, 2 * n * sizeof *z);
        step->kernels->activate(pass->recurrent_activation, 2, n, z);
        for (size_t j = 0; j < n; j++)
            step->kept[r * n + j] = z[n + j] * h[r * n + j] * left_of(step, r * n + j);
    }
    step->products->product(step->rows, units, units, matrix_of(step->kept, units), matrix_of(pass->u + 2 * n, n_z),
                            NULL, true, step->gates + 2 * n, n_z);
    for (size_t r = 0; r < rows; r++) {
        float *z = step->gates + r * 3 * n, *g = z + 2 * n;
        if (step->pre)
            memcpy(step->pre + r * 3 * n + 2 * n, g, n * sizeof *g);
        step->kernels->activate(pass->activation, 1, n, g);
        for (size_t j = 0; j < n; j++)
            step->after[0][r * n + j] = z[j] * h[r * n + j] + (1 - z[j]) * g[j];
    }
}

/* dh becomes what goes past the gates; dz: of g before its activation, of z behind it. */
static void candidate_backward(const struct pass *pass, const struct tape_step *step) {
    size_t units = (size_t)pass->units;
    for (size_t row = 0; row < (size_t)step->rows; row++) {
        size_t at = 3 * row * units;
        float *z = step->gates + at, *g = z + 2 * units, *dz = step->dz + at, *dg = dz + 2 * units;
        float *dh = step->d[0] + row * units;
        const float *h = step->before[0] + row * units;
        for (size_t j = 0; j < units; j++) {
            dz[j] = dh[j] * (h[j] - g[j]);
            dg[j] = dh[j] * (1 - z[j]);
            dh[j] *= z[j];
        }
        activation_backward(pass->activation, 1, units, step->pre ? step->pre + at + 2 * units : NULL, g, dg, dg);
    }
}

static void gru_backward(const struct pass *pass, const struct tape_step *step) {
    int units = pass->units, n_z = 3 * units;
    size_t n = (size_t)units;

    candidate_backward(pass, step);
    /* d loss / d (r h), into the middle of dz */
    step->products->product(step->rows, units, units, matrix_of(step->dz + 2 * n, n_z),
                            matrix_transposed(pass->u + 2 * n, n_z), NULL, false, step->dz + n, n_z);
    for (size_t row = 0; row < (size_t)step->rows; row++) {
        size_t at = 3 * row * n;
        float *z = step->gates + at, *r = z + n, *d_gates = step->dz + at, *dr = d_gates + n;
        for (size_t j = 0; j < n; j++) {
            float left = left_of(step, row * n + j);
            step->d[0][row * n + j] += dr[j] * r[j] * left;
            dr[j] *= step->before[0][row * n + j] * left;
        }
        activation_backward(pass->recurrent_activation, 2, n, step->pre ? step->pre + at : NULL, z, d_gates, d_gates);
    }
    struct masks dropped = masks_of_gates(&step->dropped, 0, 2);
    dropped_product_back(&dropped, step->rows, 2 * units, step->dz, pass->u, step->d[0], n_z);
}

static void gru_recurrent_gradient(const struct pass *pass, const struct masks *dropped, int n, const float *h_before,
                                   const float *dz, const float *kept) {
    int units = pass->units, n_z = 3 * units;
    struct masks of_z_and_r = masks_of_gates(dropped, 0, 2);
    dropped_product_gradient(&of_z_and_r, n, 2 * units, h_before, dz, pass->du, n_z);
    const struct product_gradient of_candidate = {units, matrix_of(kept, units), pass->du + 2 * units, n_z};
    dropped->products->gradients(units, n, matrix_of(dz + 2 * units, n_z), 1, &of_candidate);
}

const struct cell_ops cell_gru_reset_before = {
    .n_gates = 3,
    .n_states = 1,
    .bias_rows = 1,
    .n_kept = 1,
    .step = gru_step,
    .record = gru_record,
    .backward = gru_backward,
    .recurrent_gradient = gru_recurrent_gradient,
};
