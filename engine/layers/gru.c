/*
 * GRU, as Keras' with reset_after: gates in the order z, r, h.
 *
 *     z, r = recurrent_activation(x W + b + h U + b')      of their columns
 *     g = activation(x Wh + bh + r (h Uh + b'h))           h' = z h + (1 - z) g
 *
 * Parameters W [n_in x 3 units], U [units x 3 units], b and b' [2 x 3 units]; state h [units] of each row.
 */
#include "engine/layers/activation.h"
#include "engine/layers/recurrent.h"

#include <string.h>

/* gates [3 units] of a row from what goes into them, x W + b, and inner, h U + b'; pre, unless NULL, gets their
 * sums. */
static void make_gates(const struct pass *pass, const struct kernels *kernels, float *gates, const float *inner,
                       float *pre) {
    size_t units = (size_t)pass->units;
    float *r = gates + units, *g = r + units;

    for (size_t j = 0; j < 2 * units; j++)
        gates[j] += inner[j];
    if (pre)
        memcpy(pre, gates, 2 * units * sizeof *pre);
    kernels->activate(pass->recurrent_activation, 2, units, gates);
    for (size_t j = 0; j < units; j++)
        g[j] = __builtin_fmaf(r[j], inner[2 * units + j], g[j]);
    if (pre)
        memcpy(pre + 2 * units, g, units * sizeof *pre);
    kernels->activate(pass->activation, 1, units, g);
}

/* inner [n x 3 units] = b' + h U; n <= CELL_ROWS. */
static void make_inner(const struct pass *pass, const struct kernels *kernels, int n, float *const *state,
                       float *inner) {
    size_t n_z = 3 * (size_t)pass->units;
    const float *h[CELL_ROWS];
    for (int i = 0; i < n; i++)
        h[i] = state[i];
    rows_begin((size_t)n, n_z, pass->bias ? pass->bias + n_z : NULL, inner);
    kernels->accumulate(n, pass->units, (int)n_z, h, n_z, pass->u, n_z, inner);
}

static void gru_step(const struct pass *pass, const struct kernels *kernels, int n, const float *x, const float *sums,
                     float *const *state, float *y, float *work) {
    size_t units = (size_t)pass->units;
    float *inner = work + CELL_ROWS * 3 * units;
    if (pass->is_plain) {
        kernels->gru(&pass->packed, n, x, sums, state, y);
        return;
    }
    for (int r = 0, taken; r < n; r += taken) {
        taken = n - r < CELL_ROWS ? n - r : CELL_ROWS;
        pass_affine(pass, kernels, taken, x + (size_t)r * (size_t)pass->n_in, state + r, 0, work);
        make_inner(pass, kernels, taken, state + r, inner);
        for (int i = 0; i < taken; i++) {
            float *z = work + (size_t)i * 3 * units, *h = state[r + i], *y_at = y + (size_t)(r + i) * units;
            make_gates(pass, kernels, z, inner + (size_t)i * 3 * units, NULL);
            for (size_t j = 0; j < units; j++)
                h[j] = y_at[j] = __builtin_fmaf(z[j], h[j], (1.0f - z[j]) * z[2 * units + j]);
        }
    }
}

/* ---- training: kept is inner, then d loss / d inner --------------------------------------------- */

static void gru_record(const struct pass *pass, const struct tape_step *step) {
    size_t units = (size_t)pass->units, n_z = 3 * units;

    step_sums(pass, step, true, false, pass->bias, step->gates);
    step_sums(pass, step, false, true, pass->bias ? pass->bias + n_z : NULL, step->kept);
    for (size_t r = 0; r < (size_t)step->rows; r++) {
        float *z = step->gates + r * n_z, *after = step->after[0] + r * units;
        const float *h = step->before[0] + r * units, *g = z + 2 * units;
        make_gates(pass, step->kernels, z, step->kept + r * n_z, step->pre ? step->pre + r * n_z : NULL);
        for (size_t j = 0; j < units; j++)
            after[j] = z[j] * h[j] + (1 - z[j]) * g[j];
    }
}

static void row_backward(const struct pass *pass, const struct tape_step *step, size_t row) {
    size_t units = (size_t)pass->units, at = 3 * row * units;
    float *z = step->gates + at, *r = z + units, *g = r + units, *inner = step->kept + at,
          *dh = step->d[0] + row * units;
    float *dz = step->dz + at, *dr = dz + units, *dg = dr + units;
    const float *h = step->before[0] + row * units, *pre = step->pre ? step->pre + at : z;

    for (size_t j = 0; j < units; j++) {
        dz[j] = dh[j] * (h[j] - g[j]);
        dg[j] = dh[j] * (1 - z[j]);
        dh[j] *= z[j];
    }
    activation_backward(pass->activation, 1, units, pre + 2 * units, g, dg, dg);
    for (size_t j = 0; j < units; j++) {
        dr[j] = dg[j] * inner[2 * units + j];
        inner[2 * units + j] = dg[j] * r[j];
    }
    activation_backward(pass->recurrent_activation, 2, units, pre, z, dz, dz);
    memcpy(inner, dz, 2 * units * sizeof *inner);
}

static void gru_backward(const struct pass *pass, const struct tape_step *step) {
    for (size_t r = 0; r < (size_t)step->rows; r++)
        row_backward(pass, step, r);
    step_back(pass, step, step->kept, true);
}

static void gru_recurrent_gradient(const struct pass *pass, const struct masks *dropped, int n, const float *h_before,
                                   const float *dz, const float *kept) {
    (void)dz;
    int n_z = 3 * pass->units;
    dropped_product_gradient(dropped, n, n_z, h_before, kept, pass->du, n_z);
    const struct product_gradient of_bias = {1, matrix_of_ones(), pass->db + n_z, n_z};
    if (pass->db)
        dropped->products->gradients(n_z, n, matrix_of(kept, n_z), 1, &of_bias);
}

const struct cell_ops cell_gru = {
    .n_gates = 3,
    .n_states = 1,
    .bias_rows = 2,
    .n_kept = 3,
    .has_kernel = true,
    .kernel = KERNEL_GRU,
    .step = gru_step,
    .record = gru_record,
    .backward = gru_backward,
    .recurrent_gradient = gru_recurrent_gradient,
};

const struct layer_ops layer_gru = {
    .name = "GRU",
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
