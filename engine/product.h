/* Matrix products for training, row-major and dense, by OpenBLAS; and the sums over rows that go with them.
 * Any thread may call them. */
#ifndef ENGINE_PRODUCT_H
#define ENGINE_PRODUCT_H

#include <cblas.h>
#include <stddef.h>
#include <string.h>

/* c [m x n] = keep * c + a [m x k] b [k x n] */
static inline void product(int m, int n, int k, const float *a, const float *b, float keep, float *c) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a, k, b, n, keep, c, n);
}

/* c [m x n] += a' b, with a [k x m], b [k x n] */
static inline void product_of_transposed(int m, int n, int k, const float *a, const float *b, float *c) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, k, 1, a, m, b, n, 1, c, n);
}

/* c [m x n] = keep * c + a b', with a [m x k], b [n x k] */
static inline void product_with_transposed(int m, int n, int k, const float *a, const float *b, float keep,
                                           float *c) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a, k, b, k, keep, c, n);
}

/* The same three of parts of matrices, added to c: rows of a, b and c are so many floats apart as their arguments
 * say. */
static inline void product_of_parts(int m, int n, int k, const float *a, int a_stride, const float *b, int b_stride,
                                    float *c, int c_stride) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a, a_stride, b, b_stride, 1, c, c_stride);
}

static inline void product_of_transposed_parts(int m, int n, int k, const float *a, int a_stride, const float *b,
                                               int b_stride, float *c, int c_stride) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, k, 1, a, a_stride, b, b_stride, 1, c, c_stride);
}

static inline void product_with_transposed_parts(int m, int n, int k, const float *a, int a_stride, const float *b,
                                                 int b_stride, float *c, int c_stride) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a, a_stride, b, b_stride, 1, c, c_stride);
}

/* Every row of c [m x n] = row [n] */
static inline void rows_fill(int m, int n, const float *row, float *c) {
    for (int r = 0; r < m; r++)
        memcpy(c + (size_t)r * (size_t)n, row, (size_t)n * sizeof *c);
}

/* The same, or with row NULL zeros. */
static inline void rows_begin(int m, int n, const float *row, float *c) {
    if (row)
        rows_fill(m, n, row, c);
    else
        memset(c, 0, (size_t)m * (size_t)n * sizeof *c);
}

/* sum [n] += the rows of a [m x n] */
static inline void rows_add(int m, int n, const float *a, float *sum) {
    for (int r = 0; r < m; r++)
        for (int j = 0; j < n; j++)
            sum[j] += a[(size_t)r * (size_t)n + (size_t)j];
}

#endif
