/*
 * Kernels: one step of a cell for given rows.
 *
 * A level is the same arithmetic for one instruction set. Every output is
 *     bias, then + x[k] w[k][j] for k ascending, then + h[k] u[k][j] for k ascending,
 * each term by a fused multiply-add, and every activation is the one polynomial of sigmoid.h. Thus the result of a row
 * depends neither on the number of rows, nor on its neighbours, nor on the level: all levels agree to the last bit. But
 * for "plain", for CPUs without a fused multiply-add, which rounds the products too, and for weights in bfloat16 "amx"
 * (amx.c), which rounds inputs too: they have bits of their own, that depend neither on rows nor on neighbours.
 *
 * Any thread may call a kernel; it allocates nothing and never blocks. Rows may hold NaN or infinities: they stay in
 * their row.
 */
#ifndef ENGINE_KERNELS_H
#define ENGINE_KERNELS_H

#include "engine/error.h"

#include <stddef.h>

/* By Keras' names and definitions. */
enum activation {
    ACTIVATION_LINEAR,
    ACTIVATION_TANH,
    ACTIVATION_SIGMOID,
    ACTIVATION_RELU,
    ACTIVATION_HARD_SIGMOID,        /* clip(x / 6 + 0.5, 0, 1): since Keras 3 */
    ACTIVATION_HARD_SIGMOID_KERAS2, /* clip(0.2 x + 0.5, 0, 1): before it */
    ACTIVATION_SOFTSIGN,
    ACTIVATION_SOFTPLUS,
    ACTIVATION_ELU, /* alpha 1 */
    ACTIVATION_SELU,
    ACTIVATION_SWISH, /* x sigmoid(x), silu */
    ACTIVATION_GELU,  /* exact, by erf */
    ACTIVATION_EXPONENTIAL,
    ACTIVATION_SOFTMAX, /* over the width */
    N_ACTIVATIONS,
};

enum kernel_cell { KERNEL_DENSE, KERNEL_LSTM, KERNEL_GRU };

/*
 * What weights are rounded to when they are packed. bfloat16 is the upper half of a float, half the way from memory: the kernels
 * widen it in registers, and all else (inputs, states, biases, sums, activations) stays float.
 */
enum precision { PRECISION_F32, PRECISION_BF16 };

/*
 * The weights of a layer as a level wants them, made by its `pack` once they are known:
 * W [n_in x gates units], of cells U [units x gates units] too, and bias; gates: 1, 4 (LSTM: i, f, c, o), 3 (GRU: z, r, h).
 */
struct packed {
    enum kernel_cell cell;
    enum precision precision;
    int n_in, units;
    const float *blocks; /* kernels_packed_size floats */
};

/* Floats that the weights take when packed, at whatever level and precision. */
size_t kernels_packed_size(enum kernel_cell cell, int n_in, int units);

/* Floats of a row of `inputs`, at whatever level. */
size_t kernels_inputs_size(int units);

struct kernels {
    const char *level; /* for people, and for FORECASTD_KERNELS */

    /* w [n_in x gates units] (Keras' kernel), u [units x gates units] (NULL for a Dense), bias [gates units] or NULL (zeros), of a
     * GRU two rows of it, row-major; to: packed->blocks. */
    void (*pack)(const struct packed *packed, const float *w, const float *u, const float *bias, float *to);

    /* y[r][j] = bias[j] + sum_k x[r][k] w[k][j]; x [rows x n_in], y [rows x units], row-major. */
    void (*dense)(const struct packed *packed, int rows, const float *x, float *y);

    /* y[r][j] += sum_k x[r][k] w[k][j], for weights that are not packed: parts of matrices, and cells without a kernel of
     * their own. x[r] points to the n_in inputs of row r; the rows of w, n_in of them, are w_stride floats apart, those of y
     * y_stride. */
    void (*accumulate)(int rows, int n_in, int n_out, const float *const *x, size_t w_stride, const float *w,
                       size_t y_stride, float *y);

    /* The inputs' part of an LSTM's or a GRU's gates, x W + b, for rows that may be those of several steps: sums [rows x
     * kernels_inputs_size] in an order of its own, with which lstm and gru may begin (`sums`, NULL: they take x). The bits of
     * what they give are the same. It saves the few rows of a step from reading W at each step. */
    void (*inputs)(const struct packed *packed, int rows, const float *x, float *sums);

    /* One step of Keras' LSTM (gates in the order i, f, c, o; sigmoid; tanh), the states in place:
     *     i = sigmoid(x Wi + h Ui + bi)      f = sigmoid(x Wf + h Uf + bf)
     *     g = tanh(x Wc + h Uc + bc)         o = sigmoid(x Wo + h Uo + bo)
     *     c' = f c + i g                     h' = o tanh(c')
     * x [rows x n_in]; state[r] points to h [units] then c [units] of row r; y [rows x units] gets h'.
     * Source: Keras' LSTMCell, implementation 2. */
    void (*lstm)(const struct packed *packed, int rows, const float *x, const float *sums, float *const *state,
                 float *y);

    /* One step of Keras' GRU with reset_after (gates in the order z, r, h; sigmoid; tanh), the states in place:
     *     z = sigmoid(x Wz + h Uz + bz + b'z)      r = sigmoid(x Wr + h Ur + br + b'r)
     *     g = tanh(x Wh + bh + r (h Uh + b'h))     h' = z h + (1 - z) g
     * x [rows x n_in]; state[r] points to h [units] of row r; y [rows x units] gets h'. The sums of z and r begin at
     * b + b', that of the reset product at b'h. Source: Keras' GRUCell, implementation 2. */
    void (*gru)(const struct packed *packed, int rows, const float *x, const float *sums, float *const *state,
                float *y);

    /* y += a x, n doubles: multiplied, then added, in two roundings. */
    void (*axpy)(int n, double a, const double *x, double *y);

    /* x = activation(x) in place, x [rows x width]; softmax over the width. */
    void (*activate)(enum activation activation, size_t rows, size_t width, float *x);
};

/* The fastest level that this CPU has, or, where the environment's FORECASTD_KERNELS names one that it has, that one. The
 * table is constant and lives for ever. The first call may ask the operating system for the use of tile registers, for all
 * threads of the process. */
const struct kernels *kernels_choose(void);

/* Whether FORECASTD_KERNELS is left out or names a level that there is; else -1, and err says which there are. */
int kernels_check(struct error *err);

/* Every level that this CPU can run and that agrees with the reference, which comes first; NULL past the end. */
const struct kernels *kernels_at(int index);

/* By its name; NULL where there is none, or this CPU or its operating system has not what it takes. */
const struct kernels *kernels_named(const char *level);

#endif
