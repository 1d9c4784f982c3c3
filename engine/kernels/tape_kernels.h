/*
 * Kernels for training: matrix products, and what lies between them in a step of an LSTM, forward and back.
 *
 * The products are made for those of training, whose matrices are some hundred wide and stay in the caches. Every element of
 * a product is summed over k ascending, in one order at all levels; those whose CPU has a fused multiply-add, and uses it,
 * agree to the last bit.
 *
 * Any thread may call them; they keep nothing, allocate nothing and never block.
 */
#ifndef ENGINE_TAPE_KERNELS_H
#define ENGINE_TAPE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

/* A matrix, or the transposed of one: element (i, j) is at[i * row + j * column]. */
struct matrix {
    const float *at;
    size_t row, column;
};

static inline struct matrix matrix_of(const float *at, int stride) {
    return (struct matrix){at, (size_t)stride, 1};
}

static inline struct matrix matrix_transposed(const float *at, int stride) {
    return (struct matrix){at, 1, (size_t)stride};
}

/* Ones everywhere. */
static inline struct matrix matrix_of_ones(void) {
    static const float one = 1;
    return (struct matrix){&one, 0, 0};
}

/* Floats of a packed matrix [k x n], whatever the level. */
static inline size_t product_packed_size(int k, int n) {
    return (size_t)k * (((size_t)n + 15) / 16 * 16);
}

/* a [m x k] times b [k x n], which is packed. */
struct product_term {
    int k;
    struct matrix a;
    const float *packed;
};

/* c [m x n] += a' d, with a [k x m]. */
struct product_gradient {
    int m;
    struct matrix a;
    float *c;
    int c_stride;
};

enum { PRODUCT_TERMS = 2 };

/* One step of `rows` rows of an LSTM whose activations are tanh and sigmoid. */
struct lstm_gates {
    int rows, units;
    float *gates; /* [rows x 4 units], i, f, g, o of a row side by side; as what goes into or comes out of them */
    const float *c_before;
    float *tanh_c; /* of c after; [rows x units], as all below */
};

struct tape_kernels {
    const char *level; /* for people */

    /* b [k x n] in the order in which products read it: product_packed_size floats. */
    void (*pack)(int k, int n, struct matrix b, float *packed);

    /* c [m x n] = the sum of the terms, which begins with row [n], if given, else (keep) with c, else with zero. */
    void (*multiply)(int m, int n, int n_terms, const struct product_term *terms, const float *row, bool keep,
                     float *c, int c_stride);

    /* The same of one a [m x k] times b [k x n], which is packed on the way. */
    void (*product)(int m, int n, int k, struct matrix a, struct matrix b, const float *row, bool keep, float *c,
                    int c_stride);

    /* For several a and c, with the same d [k x n]. */
    void (*gradients)(int n, int k, struct matrix d, int n_of, const struct product_gradient *of);

    /* gates become i, f, g, o from what goes into them; c and h are those after the step. */
    void (*lstm_forward)(const struct lstm_gates *step, float *c, float *h);
    /* dz [rows x 4 units]: d loss / d what went into the gates; dc becomes that before the step. */
    void (*lstm_backward)(const struct lstm_gates *step, const float *dh, float *dc, float *dz);

    /* One step of Adam (optimizer.h) on n parameters, m and v its moments. */
    void (*adam)(size_t n, float alpha, float blend_1, float blend_2, float epsilon, const float *grads, float *m,
                 float *v, float *params);
};

/* The fastest level that this CPU has. The table is constant and lives for ever. */
const struct tape_kernels *tape_kernels_choose(void);

/* Every level that this CPU can run, the plain one first; NULL past the end. */
const struct tape_kernels *tape_kernels_at(int index);

#endif
