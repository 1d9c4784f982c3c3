/*
 * Kernels: one step of a cell for given rows.
 *
 * A level is the same arithmetic for one instruction set. Every output is
 *     bias, then + x[k] w[k][j] for k ascending, then + h[k] u[k][j] for k ascending,
 * each term by a fused multiply-add, and every activation is the one polynomial of activations.h.
 * Thus the result of a row depends neither on the number of rows, nor on its neighbours, nor on
 * the level: all levels agree to the last bit.
 *
 * Any thread may call a kernel; it keeps nothing, allocates nothing and never blocks. Rows may hold
 * NaN or infinities: they stay in their row.
 */
#ifndef ENGINE_KERNELS_H
#define ENGINE_KERNELS_H

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

enum {
    KERNELS_ROWS = 4, /* rows that share one pass over the weights */
};

struct kernels {
    const char *level; /* "reference" or "reference+fma"; for people */

    /* y[r][j] = bias[j] + sum_k x[r][k] w[k][j].
	 * x [rows x n_in], w [n_in x n_out] (Keras' kernel), bias [n_out] or NULL (zeros), y [rows x n_out]; row-major. */
    void (*dense)(int rows, int n_in, int n_out, const float *w, const float *bias, const float *x, float *y);

    /* y[r][j] += sum_k x[r][k] w[k][j], for parts of matrices and for cells without a kernel of their own.
	 * x[r] points to the n_in inputs of row r; the rows of w, n_in of them, are w_stride floats apart, those of y y_stride. */
    void (*accumulate)(int rows, int n_in, int n_out, const float *const *x, size_t w_stride, const float *w,
                       size_t y_stride, float *y);

    /* One step of Keras' LSTM (gates in the order i, f, c, o; sigmoid; tanh), the states in place:
	 *     i = sigmoid(x Wi + h Ui + bi)      f = sigmoid(x Wf + h Uf + bf)
	 *     g = tanh(x Wc + h Uc + bc)         o = sigmoid(x Wo + h Uo + bo)
	 *     c' = f c + i g                     h' = o tanh(c')
	 * x [rows x n_in], w [n_in x 4 hidden], u [hidden x 4 hidden], bias [4 hidden];
	 * state[r] points to h [hidden] then c [hidden] of row r; y [rows x hidden] gets h'.
	 * gates [KERNELS_ROWS x 4 hidden] is scratch. Source: Keras' LSTMCell, implementation 2. */
    void (*lstm)(int rows, int n_in, int hidden, const float *w, const float *u, const float *bias, const float *x,
                 float *const *state, float *y, float *gates);

    /* One step of Keras' GRU with reset_after (gates in the order z, r, h; sigmoid; tanh), the states in place:
	 *     z = sigmoid(x Wz + h Uz + bz + b'z)      r = sigmoid(x Wr + h Ur + br + b'r)
	 *     g = tanh(x Wh + bh + r (h Uh + b'h))     h' = z h + (1 - z) g
	 * x [rows x n_in], w [n_in x 3 hidden], u [hidden x 3 hidden], bias [2 x 3 hidden], b and b'; state[r] points to
	 * h [hidden] of row r; y [rows x hidden] gets h'. gates [KERNELS_ROWS x 4 hidden] is scratch. The sums of z and r
	 * begin at b + b', that of the reset product at b'h. Source: Keras' GRUCell, implementation 2. */
    void (*gru)(int rows, int n_in, int hidden, const float *w, const float *u, const float *bias, const float *x,
                float *const *state, float *y, float *gates);

    /* y += a x, n doubles: multiplied, then added, in two roundings. */
    void (*axpy)(int n, double a, const double *x, double *y);

    /* x = activation(x) in place, x [rows x width]; softmax over the width. */
    void (*activate)(enum activation activation, size_t rows, size_t width, float *x);
};

/* The fastest level that this CPU has. The table is constant and lives for ever. */
const struct kernels *kernels_choose(void);

/* Every level that this CPU can run, the plain reference first; NULL past the end. */
const struct kernels *kernels_at(int index);

#endif
