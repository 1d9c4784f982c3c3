/*
 * The arithmetic of kernels.h, as it is written there: the other levels are tested against this one, and CPUs that have none
 * of them run it. Compiled twice on x86: with fused multiply-adds (where this is a call into libm), and as "plain"
 * (KERNELS_PLAIN) for CPUs that have none: multiplied, then added.
 *
 * The innermost loops go over the outputs of a block, so that the compiler may vectorize them without changing the
 * order of any sum.
 */
#include "engine/kernels/activations.h"
#include "engine/kernels/levels.h"

static void activate_tanh(size_t n, float *x) {
    for (size_t i = 0; i < n; i++)
        x[i] = activation_tanh(x[i]);
}

static void activate_sigmoid(size_t n, float *x) {
    for (size_t i = 0; i < n; i++)
        x[i] = activation_sigmoid(x[i]);
}

#include "engine/kernels/elementwise.h"

enum { LANES = 8, WIDE = PACK_VECTORS * LANES };

static void pack(const struct packed *packed, const float *w, const float *u, const float *bias, float *to) {
    pack_weights(packed, LANES, false, w, u, bias, to);
}

/* A float from the half of it that is kept. */
static inline float widen(uint32_t half) {
    float x;
    half <<= 16;
    memcpy(&x, &half, sizeof x);
    return x;
}

/* As multiply, of weights that stand in pairs. */
static const float *multiply_pairs(int n_in, int n, const float *x, const float *w, float *sums) {
    for (int k = 0; k < n_in; k += 2, w += n) {
        for (int j = 0; j < n; j++) {
            uint32_t pair;
            memcpy(&pair, &w[j], sizeof pair);
            sums[j] = v_fma(x[k], widen(pair), sums[j]);
            if (k + 1 < n_in)
                sums[j] = v_fma(x[k + 1], widen(pair >> 16), sums[j]);
        }
    }
    return w;
}

/* sums [n] += x w, w [n_in x n]. Returns the weights behind. */
static const float *multiply(enum precision precision, int n_in, int n, const float *x, const float *w, float *sums) {
    if (precision == PRECISION_BF16)
        return multiply_pairs(n_in, n, x, w, sums);
    for (int k = 0; k < n_in; k++, w += n)
        for (int j = 0; j < n; j++)
            sums[j] = v_fma(x[k], w[j], sums[j]);
    return w;
}

/* Outputs of a block, from the first unit on. */
static int units_there(const struct packed *packed, int first, int most) {
    return packed->units - first < most ? packed->units - first : most;
}

static void dense(const struct packed *packed, int rows, const float *x, float *y) {
    size_t n_in = (size_t)packed->n_in, units = (size_t)packed->units, size = pack_block_size(packed, LANES);
    for (int block = 0; block < pack_blocks(packed, LANES); block++) {
        const float *bias = packed->blocks + (size_t)block * size;
        int n = pack_vectors(packed, LANES, block) * LANES, first = block * WIDE;
        for (size_t r = 0; r < (size_t)rows; r++) {
            float sums[WIDE];
            memcpy(sums, bias, (size_t)n * sizeof *sums);
            multiply(packed->precision, packed->n_in, n, x + r * n_in, bias + n, sums);
            memcpy(y + r * units + first, sums, (size_t)units_there(packed, first, WIDE) * sizeof *sums);
        }
    }
}

static void accumulate(int rows, int n_in, int n_out, const float *const *x, size_t w_stride, const float *w,
                       size_t y_stride, float *y) {
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t k = 0; k < (size_t)n_in; k++)
            for (size_t j = 0; j < (size_t)n_out; j++)
                y[r * y_stride + j] = v_fma(x[r][k], w[k * w_stride + j], y[r * y_stride + j]);
}

/* c and y of n units from their gates before activation. */
static void lstm_update(int n, float gates[4][LANES], float *c, float *y) {
    for (int j = 0; j < n; j++) {
        vec in = gates[0][j], keep = gates[1][j], candidate = gates[2][j], out = gates[3][j];
        sigmoid_times_tanh(1, &in, &candidate);
        sigmoid_divisors(1, &keep);
        c[j] = v_add(v_div(c[j], keep), in);
        vec cell = c[j];
        sigmoid_times_tanh(1, &out, &cell);
        y[j] = out;
    }
}

/* The gates of a block [4][LANES], from bias and inputs, or as `inputs` has left them. Returns the weights of h. */
static const float *begin_gates(const struct packed *packed, const float *block, const float *x, const float *sums,
                                float *gates) {
    int n = packed->cell == KERNEL_LSTM ? WIDE : 3 * LANES;
    memcpy(gates, sums ? sums : block, WIDE * sizeof *gates);
    if (!sums)
        return multiply(packed->precision, packed->n_in, n, x, block + WIDE, gates);
    return block + WIDE + pack_rows(packed->precision, packed->n_in) * (size_t)n;
}

static void inputs(const struct packed *packed, int rows, const float *x, float *sums) {
    size_t row = kernels_inputs_size(packed->units), size = pack_block_size(packed, LANES);
    for (size_t block = 0; block < (size_t)pack_blocks(packed, LANES); block++)
        for (size_t r = 0; r < (size_t)rows; r++)
            begin_gates(packed, packed->blocks + block * size, x + r * (size_t)packed->n_in, NULL,
                        sums + r * row + block * WIDE);
}

/* What `inputs` has left of a block of a row. */
static const float *sums_at(const struct packed *packed, const float *sums, size_t r, int block) {
    return sums ? sums + r * kernels_inputs_size(packed->units) + (size_t)block * WIDE : NULL;
}

/* y of n units from z, r, and the two parts of the candidate, of which r acts on the recurrent one, the third gate. */
static void gru_update(int n, float gates[4][LANES], const float *candidate, const float *h, float *y) {
    for (int j = 0; j < n; j++) {
        vec z = activation_sigmoid(gates[0][j]), r = activation_sigmoid(gates[1][j]);
        vec g = activation_tanh(v_fma(r, gates[2][j], candidate[j]));
        y[j] = v_fma(z, h[j], v_mul(v_sub(1.0f, z), g));
    }
}

static void cell(const struct packed *packed, int rows, const float *x, const float *sums, float *const *state,
                 float *y) {
    size_t n_in = (size_t)packed->n_in, units = (size_t)packed->units, size = pack_block_size(packed, LANES);
    for (int block = 0; block < pack_blocks(packed, LANES); block++) {
        int first = block * LANES, n = units_there(packed, first, LANES);
        for (size_t r = 0; r < (size_t)rows; r++) {
            float gates[4][LANES], candidate[LANES], *y_at = y + r * units + first;
            const float *u = begin_gates(packed, packed->blocks + (size_t)block * size, x + r * n_in,
                                         sums_at(packed, sums, r, block), gates[0]);
            if (packed->cell == KERNEL_LSTM) {
                multiply(packed->precision, packed->units, WIDE, state[r], u, gates[0]);
                lstm_update(n, gates, state[r] + units + first, y_at);
            } else {
                memcpy(candidate, gates[2], sizeof candidate);
                memcpy(gates[2], gates[3], sizeof gates[2]);
                multiply(packed->precision, packed->units, 3 * LANES, state[r], u, gates[0]);
                gru_update(n, gates, candidate, state[r] + first, y_at);
            }
        }
    }
    put_hidden(rows, packed->units, state, y);
}

#ifdef KERNELS_PLAIN
const struct kernels kernels_plain = {
    .level = "plain",
#else
const struct kernels kernels_reference = {
    .level = "reference",
#endif
    .pack = pack,
    .dense = dense,
    .accumulate = accumulate,
    .inputs = inputs,
    .lstm = cell,
    .gru = cell,
    .axpy = axpy,
    .activate = activate,
};
