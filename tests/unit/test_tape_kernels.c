/* Every level of the kernels of training against sums in doubles, and those that fuse against each other, bit by bit. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/kernels/tape_kernels.h"
#include "tests/support/exact.h"
#include "tests/support/floats.h"

enum { SHAPES = 60 };

static const float canary = 12345.5f;

/* c [m x n], the rows `stride` floats apart, with what stands between them. */
static float *between(struct rng *rng, int m, int n, int stride) {
    float *c = floats_random(rng, (size_t)m * (size_t)stride, 1);
    for (int i = 0; i < m; i++)
        for (int j = n; j < stride; j++)
            c[i * stride + j] = canary;
    return c;
}

static double at(struct matrix a, int i, int j) {
    return (double)a.at[(size_t)i * a.row + (size_t)j * a.column];
}

/* The distance of c from what began as `before`, plus a b, relative to the sum of the sizes. */
static double off(int m, int n, int n_terms, const int *k, const struct matrix *a, const struct matrix *b,
                  const float *row, const float *before, const float *c, int stride) {
    double worst = 0;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < stride; j++) {
            if (j >= n) {
                assert_true(c[i * stride + j] == canary);
                continue;
            }
            double sum = row ? (double)row[j] : before ? (double)before[i * stride + j] : 0, size = fabs(sum) + 1;
            for (int t = 0; t < n_terms; t++)
                for (int l = 0; l < k[t]; l++) {
                    double one = at(a[t], i, l) * at(b[t], l, j);
                    sum += one;
                    size += fabs(one);
                }
            worst = fmax(worst, fabs((double)c[i * stride + j] - sum) / size);
        }
    return worst;
}

static int up_to(struct rng *rng, int n) {
    return 1 + (int)rng_below(rng, (uint64_t)n);
}

/* A matrix [m x n], or the transposed of one [n x m]; *ret_floats is the caller's. */
static struct matrix some_matrix(struct rng *rng, int m, int n, bool transposed, float **ret_floats) {
    int stride = (transposed ? m : n) + (int)rng_below(rng, 3);
    *ret_floats = floats_random(rng, (size_t)(transposed ? n : m) * (size_t)stride, 1);
    return transposed ? matrix_transposed(*ret_floats, stride) : matrix_of(*ret_floats, stride);
}

/* Levels from 1 on fuse, and agree. */
static void same_as_level_1(int level, size_t n, const float *c, float **first) {
    if (level == 1)
        *first = floats_copy(n, c);
    if (level > 1)
        assert_true(floats_same(n, c, *first));
}

static double check_multiply(struct rng *rng) {
    int m = up_to(rng, 70), n = up_to(rng, 150), n_terms = up_to(rng, PRODUCT_TERMS), stride = n + up_to(rng, 3);
    int how = up_to(rng, 3), k[PRODUCT_TERMS];
    struct matrix a[PRODUCT_TERMS], b[PRODUCT_TERMS];
    float *of_a[PRODUCT_TERMS], *of_b[PRODUCT_TERMS], *row = floats_random(rng, (size_t)n, 1), *first = NULL;
    float *before = between(rng, m, n, stride);
    double worst = 0;
    for (int t = 0; t < n_terms; t++) {
        k[t] = up_to(rng, 300);
        a[t] = some_matrix(rng, m, k[t], rng_below(rng, 2), &of_a[t]);
        b[t] = some_matrix(rng, k[t], n, rng_below(rng, 2), &of_b[t]);
    }
    for (int level = 0; tape_kernels_at(level); level++) {
        const struct tape_kernels *kernels = tape_kernels_at(level);
        struct product_term terms[PRODUCT_TERMS];
        float *packed[PRODUCT_TERMS], *c = floats_copy((size_t)(m * stride), before);
        for (int t = 0; t < n_terms; t++) {
            packed[t] = floats_new(product_packed_size(k[t], n));
            kernels->pack(k[t], n, b[t], packed[t]);
            terms[t] = (struct product_term){k[t], a[t], packed[t]};
        }
        kernels->multiply(m, n, n_terms, terms, how == 1 ? row : NULL, how == 2, c, stride);
        worst = fmax(worst, off(m, n, n_terms, k, a, b, how == 1 ? row : NULL, how == 2 ? before : NULL, c, stride));
        same_as_level_1(level, (size_t)(m * stride), c, &first);
        for (int t = 0; t < n_terms; t++)
            free(packed[t]);
        free(c);
    }
    for (int t = 0; t < n_terms; t++) {
        free(of_a[t]);
        free(of_b[t]);
    }
    free(row);
    free(first);
    free(before);
    return worst;
}

static double check_product(struct rng *rng) {
    int m = up_to(rng, 130), n = up_to(rng, 150), k = up_to(rng, 700), stride = n + up_to(rng, 3);
    int how = up_to(rng, 3);
    float *of_a, *of_b, *first = NULL, *row = floats_random(rng, (size_t)n, 1), *before = between(rng, m, n, stride);
    struct matrix a = some_matrix(rng, m, k, rng_below(rng, 2), &of_a);
    struct matrix b = some_matrix(rng, k, n, rng_below(rng, 2), &of_b);
    double worst = 0;
    for (int level = 0; tape_kernels_at(level); level++) {
        float *c = floats_copy((size_t)(m * stride), before);
        tape_kernels_at(level)->product(m, n, k, a, b, how == 1 ? row : NULL, how == 2, c, stride);
        worst = fmax(worst, off(m, n, 1, &k, &a, &b, how == 1 ? row : NULL, how == 2 ? before : NULL, c, stride));
        same_as_level_1(level, (size_t)(m * stride), c, &first);
        free(c);
    }
    free(of_a);
    free(of_b);
    free(first);
    free(row);
    free(before);
    return worst;
}

static double check_gradients(struct rng *rng) {
    int n = up_to(rng, 150), k = up_to(rng, 700), m[2] = {up_to(rng, 40), 1};
    float *of_a, *of_d, *first = NULL, *first_of_ones = NULL;
    struct matrix a[2] = {some_matrix(rng, k, m[0], false, &of_a), matrix_of_ones()};
    struct matrix d = some_matrix(rng, k, n, false, &of_d);
    float *before[2] = {between(rng, m[0], n, n + 1), between(rng, 1, n, n + 1)};
    double worst = 0;
    for (int level = 0; tape_kernels_at(level); level++) {
        struct product_gradient of[2];
        for (int i = 0; i < 2; i++) {
            float *c = floats_copy((size_t)(m[i] * (n + 1)), before[i]);
            of[i] = (struct product_gradient){m[i], a[i], c, n + 1};
        }
        tape_kernels_at(level)->gradients(n, k, d, 2, of);
        for (int i = 0; i < 2; i++) {
            const struct matrix turned = {a[i].at, a[i].column, a[i].row};
            worst = fmax(worst, off(m[i], n, 1, &k, &turned, &d, NULL, before[i], of[i].c, n + 1));
            same_as_level_1(level, (size_t)(m[i] * (n + 1)), of[i].c, i == 0 ? &first : &first_of_ones);
            free(of[i].c);
        }
    }
    for (int i = 0; i < 2; i++)
        free(before[i]);
    free(of_a);
    free(of_d);
    free(first);
    free(first_of_ones);
    return worst;
}

static void check_shapes(double (*check)(struct rng *rng), const char *what) {
    struct rng rng = {7};
    double worst = 0;
    for (int i = 0; i < SHAPES; i++)
        worst = fmax(worst, check(&rng));
    print_message("%s: worst distance %.3g of the terms\n", what, worst);
    assert_true(worst < 1e-6);
}

static void test_products(void **state) {
    (void)state;
    check_shapes(check_multiply, "multiply");
    check_shapes(check_product, "product");
    check_shapes(check_gradients, "gradients");
}

/* What is no number stays in its row. */
static void test_nan_stays_in_its_row(void **state) {
    (void)state;
    enum { M = 13, N = 21, K = 9 };
    struct rng rng = {3};
    float *a = floats_random(&rng, M * K, 1), *b = floats_random(&rng, K * N, 1), *c = floats_new(M * N);
    for (int k = 0; k < K; k++)
        a[5 * K + k] = k % 2 ? NAN : INFINITY;
    for (int level = 0; tape_kernels_at(level); level++) {
        tape_kernels_at(level)->product(M, N, K, matrix_of(a, K), matrix_of(b, N), NULL, false, c, N);
        for (int i = 0; i < M * N; i++)
            assert_int_equal(isfinite(c[i]) != 0, i / N != 5);
    }
    free(a);
    free(b);
    free(c);
}

/* ---- between products --------------------------------------------------------------------------- */

struct lstm_case {
    int rows, units;
    size_t n;
    float *z, *c_before, *dh, *dc;
};

static double check_forward(const struct lstm_case *of, const float *gates, const float *c, const float *tanh_c,
                            const float *h) {
    double worst = 0;
    int n = of->units;
    for (int i = 0; i < of->rows * n; i++) {
        const float *z = of->z + i / n * 4 * n + i % n, *made = gates + i / n * 4 * n + i % n;
        double in = exact_sigmoid((double)z[0]), forget = exact_sigmoid((double)z[n]), out;
        double g = tanh((double)z[2 * n]), after = forget * (double)of->c_before[i] + in * g;
        out = exact_sigmoid((double)z[3 * n]);
        const double expected[] = {in, forget, g, out, after, tanh(after), out * tanh(after)};
        const float got[] = {made[0], made[n], made[2 * n], made[3 * n], c[i], tanh_c[i], h[i]};
        for (int j = 0; j < 7; j++)
            worst = fmax(worst, fabs((double)got[j] - expected[j]));
    }
    return worst;
}

static double check_backward(const struct lstm_case *of, const float *gates, const float *tanh_c, const float *dz,
                             const float *dc) {
    double worst = 0;
    int n = of->units;
    for (int r = 0; r < of->rows * n; r++) {
        const float *at = gates + r / n * 4 * n + r % n, *made = dz + r / n * 4 * n + r % n;
        double i = (double)at[0], f = (double)at[n], g = (double)at[2 * n], o = (double)at[3 * n];
        double a = (double)tanh_c[r], dh = (double)of->dh[r], d = (double)of->dc[r] + dh * o * (1 - a * a);
        const double expected[] = {d * g * i * (1 - i), d * (double)of->c_before[r] * f * (1 - f),
                                   d * i * (1 - g * g), dh * a * o * (1 - o), d * f};
        const float got[] = {made[0], made[n], made[2 * n], made[3 * n], dc[r]};
        for (int j = 0; j < 5; j++)
            worst = fmax(worst, fabs((double)got[j] - expected[j]));
    }
    return worst;
}

/* Each level forward and back; returns the worst distance. The largest inputs are beyond where activations saturate. */
static double check_lstm(struct rng *rng) {
    struct lstm_case of = {.rows = up_to(rng, 9), .units = up_to(rng, 70)};
    float *first = NULL, *first_dz = NULL;
    double worst = 0;
    of.n = (size_t)(of.rows * of.units);
    of.z = floats_random(rng, 4 * of.n, 30);
    of.c_before = floats_random(rng, of.n, 2);
    of.dh = floats_random(rng, of.n, 1);
    of.dc = floats_random(rng, of.n, 1);
    for (int level = 0; tape_kernels_at(level); level++) {
        float *gates = floats_copy(4 * of.n, of.z), *c = floats_new(of.n), *tanh_c = floats_new(of.n);
        float *h = floats_new(of.n), *dc = floats_copy(of.n, of.dc), *dz = floats_new(4 * of.n);
        const struct lstm_gates step = {of.rows, of.units, gates, of.c_before, tanh_c};
        tape_kernels_at(level)->lstm_forward(&step, c, h);
        worst = fmax(worst, check_forward(&of, gates, c, tanh_c, h));
        tape_kernels_at(level)->lstm_backward(&step, of.dh, dc, dz);
        worst = fmax(worst, check_backward(&of, gates, tanh_c, dz, dc));
        same_as_level_1(level, of.n, h, &first);
        same_as_level_1(level, 4 * of.n, dz, &first_dz);
        free(gates);
        free(c);
        free(tanh_c);
        free(h);
        free(dc);
        free(dz);
    }
    free(of.z);
    free(of.c_before);
    free(of.dh);
    free(of.dc);
    free(first);
    free(first_dz);
    return worst;
}

static void test_lstm(void **state) {
    (void)state;
    check_shapes(check_lstm, "lstm");
}

static double check_adam(struct rng *rng) {
    size_t n = (size_t)up_to(rng, 300);
    float *grads = floats_random(rng, n, 1), *params = floats_random(rng, n, 1), *first = NULL;
    float *m = floats_random(rng, n, 1), *v = floats_random(rng, n, 1);
    double worst = 0;
    for (int level = 0; tape_kernels_at(level); level++) {
        float *own_m = floats_copy(n, m), *own_v = floats_new(n), *own = floats_copy(n, params);
        for (size_t i = 0; i < n; i++)
            own_v[i] = fabsf(v[i]);
        tape_kernels_at(level)->adam(n, 0.01f, 0.125f, 0.25f, 0.5f, grads, own_m, own_v, own);
        for (size_t i = 0; i < n; i++) {
            double g = (double)grads[i], mean = 0.875 * (double)m[i] + 0.125 * g;
            double square = 0.75 * fabs((double)v[i]) + 0.25 * g * g;
            worst = fmax(worst, fabs((double)own_m[i] - mean));
            worst = fmax(worst, fabs((double)own_v[i] - square));
            worst = fmax(worst, fabs((double)own[i] - ((double)params[i] - 0.01 * mean / (sqrt(square) + 0.5))));
        }
        same_as_level_1(level, n, own, &first);
        free(own_m);
        free(own_v);
        free(own);
    }
    free(grads);
    free(params);
    free(m);
    free(v);
    free(first);
    return worst;
}

static void test_adam(void **state) {
    (void)state;
    check_shapes(check_adam, "adam");
}

static void test_levels(void **state) {
    (void)state;
    int n = 0;
    while (tape_kernels_at(n))
        n++;
    assert_ptr_equal(tape_kernels_choose(), tape_kernels_at(n - 1));
    print_message("%d levels, the fastest %s\n", n, tape_kernels_choose()->level);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_nan_stays_in_its_row),
        cmocka_unit_test(test_lstm),     cmocka_unit_test(test_adam),
        cmocka_unit_test(test_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
