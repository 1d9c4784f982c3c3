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

/* A term of every output: n inputs per row, those of row r at x[r], and weights w [n x outputs], whose rows are `stride`
 * floats apart. */
struct product {
    int n;
    size_t stride;
    const float *x[KERNELS_ROWS];
    const float *w;
};

/* Where the outputs go, and from what their sums begin: bias, or (NULL) what is there. Rows of y are `stride` floats apart. */
struct outputs {
    int n;
    size_t stride;
    const float *bias;
    float *y;
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
INLINE void tile_4(int wide, int j0, const struct outputs *to, const struct product *products, int n_products) {
    float8 a0, a1, a2, a3, b0, b1, b2, b3, w0, w1;
    float *y0 = to->y + j0, *y1 = y0 + to->stride, *y2 = y1 + to->stride, *y3 = y2 + to->stride;
    int second = wide ? 8 : 0;

    if (to->bias) {
        load(&a0, to->bias + j0);
        load(&b0, to->bias + j0 + second);
        a1 = a2 = a3 = a0;
        b1 = b2 = b3 = b0;
    } else {
        load(&a0, y0), load(&b0, y0 + second);
        load(&a1, y1), load(&b1, y1 + second);
        load(&a2, y2), load(&b2, y2 + second);
        load(&a3, y3), load(&b3, y3 + second);
    }
    for (int i = 0; i < n_products; i++) {
        const float *x0 = products[i].x[0], *x1 = products[i].x[1];
        const float *x2 = products[i].x[2], *x3 = products[i].x[3];
        const float *w = products[i].w + j0;
        size_t stride = products[i].stride;
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
    store(y0, &a0);
    store(y1, &a1);
    store(y2, &a2);
    store(y3, &a3);
    if (!wide)
        return;
    store(y0 + 8, &b0);
    store(y1 + 8, &b1);
    store(y2 + 8, &b2);
    store(y3 + 8, &b3);
}

/* The same for a few outputs, `width` of them, that are left over. */
INLINE void tile_4_narrow(int width, int j0, const struct outputs *to, const struct product *products,
                          int n_products) {
    float sum0[4], sum1[4], sum2[4], sum3[4];
    float *y0 = to->y + j0, *y1 = y0 + to->stride, *y2 = y1 + to->stride, *y3 = y2 + to->stride;

    for (int j = 0; j < width; j++) {
        sum0[j] = to->bias ? to->bias[j0 + j] : y0[j];
        sum1[j] = to->bias ? to->bias[j0 + j] : y1[j];
        sum2[j] = to->bias ? to->bias[j0 + j] : y2[j];
        sum3[j] = to->bias ? to->bias[j0 + j] : y3[j];
    }
    for (int i = 0; i < n_products; i++) {
        const float *const *x = products[i].x, *w = products[i].w + j0;
        for (int k = 0; k < products[i].n; k++, w += products[i].stride) {
            for (int j = 0; j < width; j++) {
                sum0[j] = __builtin_fmaf(x[0][k], w[j], sum0[j]);
                sum1[j] = __builtin_fmaf(x[1][k], w[j], sum1[j]);
                sum2[j] = __builtin_fmaf(x[2][k], w[j], sum2[j]);
                sum3[j] = __builtin_fmaf(x[3][k], w[j], sum3[j]);
            }
        }
    }
    for (int j = 0; j < width; j++) {
        y0[j] = sum0[j];
        y1[j] = sum1[j];
        y2[j] = sum2[j];
        y3[j] = sum3[j];
    }
}

/* Outputs j0 .. j0 + width of one row; up to 64, to have as many sums at once. */
INLINE void tile_1(int width, int j0, const struct outputs *to, const struct product *products, int n_products) {
    const float *from = to->bias ? to->bias : to->y;
    float sum[64];

    for (int j = 0; j < width; j++)
        sum[j] = from[j0 + j];
    for (int i = 0; i < n_products; i++) {
        const float *x = products[i].x[0], *w = products[i].w + j0;
        size_t stride = products[i].stride;
        for (int k = 0; k < products[i].n; k++, w += stride) {
            float a = x[k];
            for (int j = 0; j < width; j++)
                sum[j] = __builtin_fmaf(a, w[j], sum[j]);
        }
    }
    for (int j = 0; j < width; j++)
        to->y[j0 + j] = sum[j];
}

/* The outputs of KERNELS_ROWS rows: bias + the products. */
static void affine_4(const struct outputs *to, const struct product *products, int n_products) {
    int j = 0;
    for (; j + 16 <= to->n; j += 16)
        tile_4(1, j, to, products, n_products);
    for (; j + 8 <= to->n; j += 8)
        tile_4(0, j, to, products, n_products);
    for (; j + 4 <= to->n; j += 4)
        tile_4_narrow(4, j, to, products, n_products);
    for (; j < to->n; j++)
        tile_4_narrow(1, j, to, products, n_products);
}

/* The same for one row. */
static void affine_1(const struct outputs *to, const struct product *products, int n_products) {
    int j = 0;
    for (; j + 64 <= to->n; j += 64)
        tile_1(64, j, to, products, n_products);
    for (; j + 16 <= to->n; j += 16)
        tile_1(16, j, to, products, n_products);
    for (; j + 4 <= to->n; j += 4)
        tile_1(4, j, to, products, n_products);
    for (; j < to->n; j++)
        tile_1(1, j, to, products, n_products);
}

/* As many rows as the next call of affine_4 or affine_1 takes. */
static int rows_at_once(int rows_left) {
    return rows_left >= KERNELS_ROWS ? KERNELS_ROWS : 1;
}

static void affine(int rows, const struct outputs *to, const struct product *products, int n_products) {
    (rows == 1 ? affine_1 : affine_4)(to, products, n_products);
}

static void dense(int rows, int n_in, int n_out, const float *w, const float *bias, const float *x, float *y) {
    struct product product = {.n = n_in, .stride = (size_t)n_out, .w = w};
    struct outputs to = {.n = n_out, .stride = (size_t)n_out, .bias = bias};

    if (!bias)
        memset(y, 0, (size_t)rows * (size_t)n_out * sizeof *y);
    for (int r = 0, taken; r < rows; r += taken) {
        taken = rows_at_once(rows - r);
        for (int i = 0; i < taken; i++)
            product.x[i] = x + (size_t)(r + i) * (size_t)n_in;
        to.y = y + (size_t)r * (size_t)n_out;
        affine(taken, &to, &product, 1);
    }
}

static void accumulate(int rows, int n_in, int n_out, const float *const *x, size_t w_stride, const float *w,
                       size_t y_stride, float *y) {
    struct product product = {.n = n_in, .stride = w_stride, .w = w};
    struct outputs to = {.n = n_out, .stride = y_stride};

    for (int r = 0, taken; r < rows; r += taken) {
        taken = rows_at_once(rows - r);
        memcpy(product.x, x + r, (size_t)taken * sizeof *x);
        to.y = y + (size_t)r * y_stride;
        affine(taken, &to, &product, 1);
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
    size_t n_gates = 4 * (size_t)hidden;
    struct product products[2] = {{.n = n_in, .stride = n_gates, .w = w}, {.n = hidden, .stride = n_gates, .w = u}};
    struct outputs to = {.n = 4 * hidden, .stride = n_gates, .bias = bias, .y = gates};

    for (int r = 0, taken; r < rows; r += taken) {
        taken = rows_at_once(rows - r);
        for (int i = 0; i < taken; i++) {
            products[0].x[i] = x + (size_t)(r + i) * (size_t)n_in;
            products[1].x[i] = state[r + i];
        }
        affine(taken, &to, products, 2);
        for (int i = 0; i < taken; i++)
            lstm_update(hidden, gates + (size_t)i * n_gates, state[r + i], state[r + i] + hidden,
                        y + (size_t)(r + i) * (size_t)hidden);
    }
}

/* New h and y of one row from its gates before activation; the candidate's two parts are apart, for r acts on one. */
static void gru_update(int hidden, const float *restrict gates, float *restrict h, float *restrict y) {
    const float *zz = gates, *zr = zz + hidden, *zx = zr + hidden, *zh = zx + hidden;

    for (int j = 0; j < hidden; j++) {
        float z = activation_sigmoid(zz[j]), r = activation_sigmoid(zr[j]);
        float g = activation_tanh(__builtin_fmaf(r, zh[j], zx[j]));
        h[j] = y[j] = __builtin_fmaf(z, h[j], (1.0f - z) * g);
    }
}

static void gru(int rows, int n_in, int hidden, const float *w, const float *u, const float *bias, const float *x,
                float *const *state, float *y, float *gates) {
    size_t n = (size_t)hidden;
    const float *recurrent_bias = bias + 3 * n;
    struct product from_x = {.n = n_in, .stride = 3 * n, .w = w};
    struct product from_h = {.n = hidden, .stride = 3 * n, .w = u},
                   candidate = {.n = hidden, .stride = 3 * n, .w = u + 2 * n};
    struct outputs all = {.n = 3 * hidden, .stride = 4 * n, .y = gates},
                   z_and_r = {.n = 2 * hidden, .stride = 4 * n, .y = gates};
    struct outputs inner = {.n = hidden, .stride = 4 * n, .bias = recurrent_bias + 2 * n, .y = gates + 3 * n};

    for (int r = 0, taken; r < rows; r += taken) {
        taken = rows_at_once(rows - r);
        for (int i = 0; i < taken; i++) {
            from_x.x[i] = x + (size_t)(r + i) * (size_t)n_in;
            from_h.x[i] = candidate.x[i] = state[r + i];
            float *z = gates + (size_t)i * 4 * n;
            memcpy(z + 2 * n, bias + 2 * n, n * sizeof *z);
            for (size_t j = 0; j < 2 * n; j++)
                z[j] = bias[j] + recurrent_bias[j];
        }
        affine(taken, &all, &from_x, 1);
        affine(taken, &z_and_r, &from_h, 1);
        affine(taken, &inner, &candidate, 1);
        for (int i = 0; i < taken; i++)
            gru_update(hidden, gates + (size_t)i * 4 * n, state[r + i], y + (size_t)(r + i) * n);
    }
}

static void axpy(int n, double a, const double *restrict x, double *restrict y) {
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

/* x [n] = function(x), a loop that the compiler vectorizes where it can. */
#define EACH(function) \
    for (size_t i = 0; i < n; i++) \
    x[i] = function(x[i])

static void activate(enum activation activation, size_t rows, size_t width, float *x) {
    size_t n = rows * width;
    switch (activation) {
    case ACTIVATION_LINEAR: break;
    case ACTIVATION_TANH: EACH(activation_tanh); break;
    case ACTIVATION_SIGMOID: EACH(activation_sigmoid); break;
    case ACTIVATION_RELU: EACH(activation_relu); break;
    case ACTIVATION_HARD_SIGMOID: EACH(activation_hard_sigmoid); break;
    case ACTIVATION_HARD_SIGMOID_KERAS2: EACH(activation_hard_sigmoid_keras2); break;
    case ACTIVATION_SOFTSIGN: EACH(activation_softsign); break;
    case ACTIVATION_SOFTPLUS: EACH(activation_softplus); break;
    case ACTIVATION_ELU: EACH(activation_elu); break;
    case ACTIVATION_SELU: EACH(activation_selu); break;
    case ACTIVATION_SWISH: EACH(activation_swish); break;
    case ACTIVATION_GELU: EACH(activation_gelu); break;
    case ACTIVATION_EXPONENTIAL: EACH(activation_exponential); break;
    case ACTIVATION_SOFTMAX:
        for (size_t r = 0; r < rows; r++)
            activation_softmax(width, x + r * width);
        break;
    case N_ACTIVATIONS: assert(0 && "no activation");
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
    .accumulate = accumulate,
    .lstm = lstm,
    .gru = gru,
    .axpy = axpy,
    .activate = activate,
};
