/*
 * The arithmetic of kernels.h in plain C. Compiled twice on x86: for any CPU, where a fused
 * multiply-add is a call into libm, and (KERNELS_FMA) for CPUs that have the instruction.
 *
 * Outputs are computed in tiles whose sums stay in registers over all k. The inner loops go over
 * neighbouring outputs, so that the compiler vectorizes them without changing the order of any sum.
 */
#include "engine/kernels/activations.h"
#include "engine/kernels/levels.h"

#include <assert.h>
#include <string.h>

/* Widths of tiles are constants only once a tile is inlined. */
#define INLINE static inline __attribute__((always_inline))

/* A term of every output: n inputs per row, those of row r at x[r], and weights w [n x outputs]. */
struct product {
    int n;
    const float *x[KERNELS_ROWS];
    const float *w;
};

/* Eight neighbouring outputs: one AVX register, two of NEON. */
typedef float float8 __attribute__((vector_size(32)));

INLINE void load(float8 *to, const float *from) {
    memcpy(to, from, sizeof *to);
}

INLINE void store(float *to, const float8 *from) {
    memcpy(to, from, sizeof *from);
}

INLINE void multiply_add(float8 *sum, float a, const float8 *w) {
    for (int i = 0; i < 8; i++)
        (*sum)[i] = __builtin_fmaf(a, (*w)[i], (*sum)[i]);
}

/* Outputs j0 .. j0 + 8 of four rows, or to j0 + 16 when `wide`: then eight sums are under way at once,
 * which hides the latency of an addition. In named variables: gcc keeps no array of vectors in registers. */
INLINE void tile_4(int wide, int j0, int n_out, const float *bias, const struct product *products, int n_products,
                   float *y) {
    float8 a0, a1, a2, a3, b0, b1, b2, b3, w0, w1;
    size_t stride = (size_t)n_out;

    load(&a0, bias + j0);
    load(&b0, bias + j0 + (wide ? 8 : 0));
    a1 = a2 = a3 = a0;
    b1 = b2 = b3 = b0;
    for (int i = 0; i < n_products; i++) {
        const float *x0 = products[i].x[0], *x1 = products[i].x[1];
        const float *x2 = products[i].x[2], *x3 = products[i].x[3];
        const float *w = products[i].w + j0;
        for (int k = 0; k < products[i].n; k++, w += stride) {
            load(&w0, w);
            multiply_add(&a0, x0[k], &w0);
            multiply_add(&a1, x1[k], &w0);
            multiply_add(&a2, x2[k], &w0);
            multiply_add(&a3, x3[k], &w0);
            if (!wide)
                continue;
            load(&w1, w + 8);
            multiply_add(&b0, x0[k], &w1);
            multiply_add(&b1, x1[k], &w1);
            multiply_add(&b2, x2[k], &w1);
            multiply_add(&b3, x3[k], &w1);
        }
    }
    y += j0;
    store(y, &a0);
    store(y + stride, &a1);
    store(y + 2 * stride, &a2);
    store(y + 3 * stride, &a3);
    if (!wide)
        return;
    store(y + 8, &b0);
    store(y + stride + 8, &b1);
    store(y + 2 * stride + 8, &b2);
    store(y + 3 * stride + 8, &b3);
}

/* The same for a few outputs, `width` of them, that are left over. */
INLINE void tile_4_narrow(int width, int j0, int n_out, const float *bias, const struct product *products,
                          int n_products, float *y) {
    float sum0[4], sum1[4], sum2[4], sum3[4];
    size_t stride = (size_t)n_out;

    for (int j = 0; j < width; j++)
        sum0[j] = sum1[j] = sum2[j] = sum3[j] = bias[j0 + j];
    for (int i = 0; i < n_products; i++) {
        const float *const *x = products[i].x, *w = products[i].w + j0;
        for (int k = 0; k < products[i].n; k++, w += stride) {
            for (int j = 0; j < width; j++) {
                sum0[j] = __builtin_fmaf(x[0][k], w[j], sum0[j]);
                sum1[j] = __builtin_fmaf(x[1][k], w[j], sum1[j]);
                sum2[j] = __builtin_fmaf(x[2][k], w[j], sum2[j]);
                sum3[j] = __builtin_fmaf(x[3][k], w[j], sum3[j]);
            }
        }
    }
    y += j0;
    for (int j = 0; j < width; j++) {
        y[j] = sum0[j];
        y[stride + (size_t)j] = sum1[j];
        y[2 * stride + (size_t)j] = sum2[j];
        y[3 * stride + (size_t)j] = sum3[j];
    }
}

/* Outputs j0 .. j0 + width of one row; up to 64, to have as many sums at once. */
INLINE void tile_1(int width, int j0, int n_out, const float *bias, const struct product *products, int n_products,
                   float *y) {
    float sum[64];
    size_t stride = (size_t)n_out;

    for (int j = 0; j < width; j++)
        sum[j] = bias[j0 + j];
    for (int i = 0; i < n_products; i++) {
        const float *x = products[i].x[0], *w = products[i].w + j0;
        for (int k = 0; k < products[i].n; k++, w += stride) {
            float a = x[k];
            for (int j = 0; j < width; j++)
                sum[j] = __builtin_fmaf(a, w[j], sum[j]);
        }
    }
    for (int j = 0; j < width; j++)
        y[j0 + j] = sum[j];
}

/* y [KERNELS_ROWS x n_out] = bias + the products, for as many rows. */
static void affine_4(int n_out, const float *bias, const struct product *products, int n_products, float *y) {
    int j = 0;
    for (; j + 16 <= n_out; j += 16)
        tile_4(1, j, n_out, bias, products, n_products, y);
    for (; j + 8 <= n_out; j += 8)
        tile_4(0, j, n_out, bias, products, n_products, y);
    for (; j + 4 <= n_out; j += 4)
        tile_4_narrow(4, j, n_out, bias, products, n_products, y);
    for (; j < n_out; j++)
        tile_4_narrow(1, j, n_out, bias, products, n_products, y);
}

/* y [n_out] = bias + the products, for one row. */
static void affine_1(int n_out, const float *bias, const struct product *products, int n_products, float *y) {
    int j = 0;
    for (; j + 64 <= n_out; j += 64)
        tile_1(64, j, n_out, bias, products, n_products, y);
    for (; j + 16 <= n_out; j += 16)
        tile_1(16, j, n_out, bias, products, n_products, y);
    for (; j + 4 <= n_out; j += 4)
        tile_1(4, j, n_out, bias, products, n_products, y);
    for (; j < n_out; j++)
        tile_1(1, j, n_out, bias, products, n_products, y);
}

/* As many rows as the next call of affine_4 or affine_1 takes. */
static int rows_at_once(int rows_left) {
    return rows_left >= KERNELS_ROWS ? KERNELS_ROWS : 1;
}

static void dense(int rows, int n_in, int n_out, const float *w, const float *bias, const float *x, float *y) {
    struct product product = {.n = n_in, .w = w};

    for (int r = 0, taken; r < rows; r += taken) {
        taken = rows_at_once(rows - r);
        for (int i = 0; i < taken; i++)
            product.x[i] = x + (size_t)(r + i) * (size_t)n_in;
        (taken == 1 ? affine_1 : affine_4)(n_out, bias, &product, 1, y + (size_t)r * (size_t)n_out);
    }
}

/* New c, h and y of one row from its gates before activation. */
static void lstm_update(int hidden, const float *restrict gates, float *restrict h, float *restrict c,
                        float *restrict y) {
    const float *zi = gates, *zf = zi + hidden, *zg = zf + hidden, *zo = zg + hidden;

    for (int j = 0; j < hidden; j++) {
        float i = activation_sigmoid(zi[j]), f = activation_sigmoid(zf[j]);
        float g = activation_tanh(zg[j]), o = activation_sigmoid(zo[j]);
        c[j] = __builtin_fmaf(f, c[j], i * g);
        h[j] = y[j] = o * activation_tanh(c[j]);
    }
}

static void lstm(int rows, int n_in, int hidden, const float *w, const float *u, const float *bias, const float *x,
                 float *const *state, float *y, float *gates) {
    struct product products[2] = {{.n = n_in, .w = w}, {.n = hidden, .w = u}};
    int n_gates = 4 * hidden;

    for (int r = 0, taken; r < rows; r += taken) {
        taken = rows_at_once(rows - r);
        for (int i = 0; i < taken; i++) {
            products[0].x[i] = x + (size_t)(r + i) * (size_t)n_in;
            products[1].x[i] = state[r + i];
        }
        (taken == 1 ? affine_1 : affine_4)(n_gates, bias, products, 2, gates);
        for (int i = 0; i < taken; i++)
            lstm_update(hidden, gates + (size_t)i * (size_t)n_gates, state[r + i], state[r + i] + hidden,
                        y + (size_t)(r + i) * (size_t)hidden);
    }
}

static void activate(enum activation activation, size_t rows, size_t width, float *x) {
    size_t n = rows * width;
    switch (activation) {
    case ACTIVATION_LINEAR: break;
    case ACTIVATION_TANH:
        for (size_t i = 0; i < n; i++)
            x[i] = activation_tanh(x[i]);
        break;
    case ACTIVATION_SIGMOID:
        for (size_t i = 0; i < n; i++)
            x[i] = activation_sigmoid(x[i]);
        break;
    case ACTIVATION_RELU:
        for (size_t i = 0; i < n; i++)
            x[i] = activation_relu(x[i]);
        break;
    default: assert(!"an activation of Keras that is not there yet");
    }
}

#ifdef KERNELS_FMA
const struct kernels kernels_reference_fma = {
    .level = "reference+fma",
#else
const struct kernels kernels_reference = {
    .level = "reference",
#endif
    .dense = dense,
    .lstm = lstm,
    .activate = activate,
};
