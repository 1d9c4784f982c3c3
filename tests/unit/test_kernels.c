#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/kernels/kernels.h"
#include "tests/support/cell_case.h"
#include "tests/support/floats.h"
#include "tests/support/guarded.h"

#include <stdio.h>

/* Of the levels that agree. */
static const struct kernels *highest(void) {
    int level = 0;
    while (kernels_at(level + 1))
        level++;
    return kernels_at(level);
}

/* ---- what they compute -------------------------------------------------------------------------- */

/* The sum as kernels.h words it. */
static void test_dense_sums_in_the_documented_order(void **state) {
    (void)state;
    struct rng rng = {.state = 1};
    for (int i = 0; i < N_CELL_SHAPES; i++) {
        struct cell_case c = cell_case_new(&rng, KERNEL_DENSE, cell_shapes[i]);
        size_t rows = (size_t)c.shape.rows, n_in = (size_t)c.shape.n_in, units = (size_t)c.shape.units;
        const float *x = c.x + (CELL_STEPS - 1) * rows * n_in;
        float *expected = floats_new(rows * units);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < units; j++) {
                float sum = c.bias[j];
                for (size_t k = 0; k < n_in; k++)
                    sum = fmaf(x[r * n_in + k], c.w[k * units + j], sum);
                expected[r * units + j] = sum;
            }
        for (int level = 0; kernels_at(level); level++) {
            float *y = cell_case_run(&c, kernels_at(level), 0, c.shape.rows);
            assert_true(floats_same(rows * units, y, expected));
            free(y);
        }
        free(expected);
        cell_case_free(&c);
    }
}

/* Parts of matrices: rows of w and y are further apart than they are wide, and what lies between stays. */
static void test_accumulate_adds_in_order(void **state) {
    (void)state;
    struct rng rng = {.state = 8};
    for (int i = 0; i < N_CELL_SHAPES; i++) {
        size_t rows = (size_t)cell_shapes[i].rows, n_in = (size_t)cell_shapes[i].n_in,
               n_out = (size_t)cell_shapes[i].units;
        size_t w_stride = n_out + 3, y_stride = n_out + 5, n_w = (n_in - 1) * w_stride + n_out;
        size_t n_y = (rows - 1) * y_stride + n_out;
        float *random_w = floats_random(&rng, n_w, 1), *w = guarded_copy(n_w, random_w);
        float *x = floats_random(&rng, rows * n_in, 2);
        float *before = floats_random(&rng, rows * y_stride, 1), *expected = floats_copy(n_y, before);
        const float *x_at[CELL_ROWS_MAX];
        for (size_t r = 0; r < rows; r++) {
            x_at[r] = x + (rows - 1 - r) * n_in;
            for (size_t j = 0; j < n_out; j++)
                for (size_t k = 0; k < n_in; k++)
                    expected[r * y_stride + j] = fmaf(x_at[r][k], w[k * w_stride + j], expected[r * y_stride + j]);
        }
        for (int level = 0; kernels_at(level); level++) {
            float *y = guarded_copy(n_y, before);
            kernels_at(level)->accumulate((int)rows, (int)n_in, (int)n_out, x_at, w_stride, w, y_stride, y);
            assert_true(floats_same(n_y, y, expected));
            guarded_free(n_y, y);
        }
        guarded_free(n_w, w);
        free(random_w);
        free(x);
        free(before);
        free(expected);
    }
}

/* The furthest that a row's results are from the equation in doubles. */
static double distance_from_equation(const struct cell_case *c, size_t r, const float *row) {
    size_t n_in = (size_t)c->shape.n_in, units = (size_t)c->shape.units;
    double x[300], h[2 * 300], worst = 0;
    for (size_t j = 0; j < c->n_state; j++)
        h[j] = (double)c->start[r * c->n_state + j];
    for (size_t t = 0; t < CELL_STEPS; t++) {
        for (size_t k = 0; k < n_in; k++)
            x[k] = (double)c->x[(t * (size_t)c->shape.rows + r) * n_in + k];
        cell_case_step(c, x, h, h);
    }
    for (size_t j = 0; j < c->n_state; j++)
        worst = fmax(worst, fabs((double)row[j] - h[j]));
    for (size_t j = 0; j < units; j++)
        assert_true(row[j] == row[c->n_state + j]); /* y is h */
    return worst;
}

static void check_equation(const char *name, const struct kernels *kernels, enum kernel_cell cell) {
    struct rng rng = {.state = 3};
    double worst = 0;
    for (int i = 0; i < N_CELL_SHAPES; i++) {
        struct cell_case c = cell_case_new(&rng, cell, cell_shapes[i]);
        float *results = cell_case_run(&c, kernels, 0, c.shape.rows);
        for (size_t r = 0; r < (size_t)c.shape.rows; r++)
            worst = fmax(worst, distance_from_equation(&c, r, results + r * c.n_row));
        free(results);
        cell_case_free(&c);
    }
    print_message("%s of %s: worst distance from the equation in doubles %.3g\n", name, kernels->level, worst);
    assert_true(worst < 2e-5);
}

static void test_lstm_is_the_equation(void **state) {
    (void)state;
    check_equation("lstm", kernels_choose(), KERNEL_LSTM);
}

static void test_gru_is_the_equation(void **state) {
    (void)state;
    check_equation("gru", kernels_choose(), KERNEL_GRU);
}

static void test_plain_is_the_equation(void **state) {
    (void)state;
    if (!kernels_named("plain"))
        skip();
    check_equation("lstm", kernels_named("plain"), KERNEL_LSTM);
    check_equation("gru", kernels_named("plain"), KERNEL_GRU);
}

static void test_without_bias_it_is_zeros(void **state) {
    (void)state;
    struct rng rng = {.state = 9};
    for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++)
        for (int level = 0; kernels_at(level); level++) {
            struct cell_case c = cell_case_new(&rng, cell, (struct cell_shape){5, 7, 21});
            float *bias = c.bias;
            memset(bias, 0, 2 * c.wide * sizeof *bias);
            float *with = cell_case_run(&c, kernels_at(level), 0, 5);
            c.bias = NULL;
            float *without = cell_case_run(&c, kernels_at(level), 0, 5);
            c.bias = bias;
            assert_true(floats_same(5 * c.n_row, with, without));
            free(with);
            free(without);
            cell_case_free(&c);
        }
}

/* Halves give the bits of floats that are as short, whatever the shape. */
static void test_bf16_is_weights_that_are_rounded(void **state) {
    (void)state;
    const struct kernels *kernels = highest();
    struct rng rng = {.state = 31};
    for (int i = 0; i < N_CELL_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = cell_case_new(&rng, cell, cell_shapes[i]);
            size_t n = (size_t)c.shape.rows * c.n_row;
            float *floats = cell_case_run(&c, kernels, 0, c.shape.rows);
            c.precision = PRECISION_BF16;
            float *halves = cell_case_run(&c, kernels, 0, c.shape.rows);
            for (size_t k = 0; k < (size_t)c.shape.n_in * c.wide; k++)
                c.w[k] = cell_case_rounded(c.w[k]);
            for (size_t k = 0; k < (size_t)c.shape.units * c.wide; k++)
                c.u[k] = cell_case_rounded(c.u[k]);
            c.precision = PRECISION_F32;
            float *expected = cell_case_run(&c, kernels, 0, c.shape.rows);
            assert_true(floats_same(n, halves, expected));
            assert_false(floats_same(n, halves, floats));
            free(floats);
            free(halves);
            free(expected);
            cell_case_free(&c);
        }
}

/* ---- that it is the same however it is computed ------------------------------------------------- */

static void check_levels(const struct cell_case *c) {
    size_t n = (size_t)c->shape.rows * c->n_row;
    float *base = cell_case_run(c, kernels_at(0), 0, c->shape.rows);
    for (int level = 1; kernels_at(level); level++) {
        float *results = cell_case_run(c, kernels_at(level), 0, c->shape.rows);
        assert_true(floats_same(n, results, base));
        free(results);
    }
    free(base);
}

static void test_levels_agree(void **state) {
    (void)state;
    struct rng rng = {.state = 4};
    if (!kernels_at(1))
        print_message("only the level \"%s\" runs on this CPU: nothing to compare\n", kernels_at(0)->level);
    for (int i = 0; i < N_CELL_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = cell_case_new(&rng, cell, cell_shapes[i]);
            check_levels(&c);
            cell_case_free(&c);
        }
}

static void test_levels_agree_on_random_shapes(void **state) {
    (void)state;
    struct rng rng = {.state = 21};
    for (int i = 0; i < 60; i++) {
        /* Now and then large; all together a second or two of the reference. */
        uint64_t most = i % 6 == 0 ? 300 : 60;
        struct cell_shape shape = {1 + (int)rng_below(&rng, i % 6 == 1 ? CELL_ROWS_MAX : 20),
                                   1 + (int)rng_below(&rng, most), 1 + (int)rng_below(&rng, most)};
        struct cell_case c = cell_case_new(&rng, (enum kernel_cell)(i % 3), shape);
        c.precision = i % 5 < 2 ? PRECISION_BF16 : PRECISION_F32;
        c.ahead = i % 7 < 2;
        if (i % 2 == 1) {
            cell_case_soil(&rng, CELL_STEPS * (size_t)shape.rows * (size_t)shape.n_in, c.x);
            cell_case_soil(&rng, (size_t)shape.rows * c.n_state, c.start);
        }
        if (i % 4 == 3)
            for (size_t k = 0; k < (size_t)shape.n_in * c.wide; k++)
                c.w[k] *= 1e-39f; /* denormals */
        check_levels(&c);
        cell_case_free(&c);
    }
}

static void test_inputs_ahead_give_the_same_bits(void **state) {
    (void)state;
    struct rng rng = {.state = 33};
    for (int i = 0; i < N_CELL_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_LSTM; cell <= KERNEL_GRU; cell++)
            for (int level = 0; kernels_at(level); level++) {
                struct cell_case c = cell_case_new(&rng, cell, cell_shapes[i]);
                c.precision = i % 2 == 0 ? PRECISION_BF16 : PRECISION_F32;
                float *at_once = cell_case_run(&c, kernels_at(level), 0, c.shape.rows);
                c.ahead = true;
                float *ahead = cell_case_run(&c, kernels_at(level), 0, c.shape.rows);
                assert_true(floats_same((size_t)c.shape.rows * c.n_row, ahead, at_once));
                free(at_once);
                free(ahead);
                cell_case_free(&c);
            }
}

static void test_some_rows_as_all_at_any_level(void **state) {
    (void)state;
    struct rng rng = {.state = 6};
    for (int i = 0; i < N_CELL_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = cell_case_new(&rng, cell, cell_shapes[i]);
            c.precision = i % 2 == 0 ? PRECISION_BF16 : PRECISION_F32;
            float *all = cell_case_run(&c, highest(), 0, c.shape.rows);
            for (int r = 0, n; r < c.shape.rows; r += n) {
                n = 1 + (int)rng_below(&rng, (uint64_t)(c.shape.rows - r));
                for (int level = 0; kernels_at(level); level++) {
                    float *some = cell_case_run(&c, kernels_at(level), r, r + n);
                    assert_true(floats_same((size_t)n * c.n_row, some, all + (size_t)r * c.n_row));
                    free(some);
                }
            }
            free(all);
            cell_case_free(&c);
        }
}

static void test_nan_stays_in_its_row(void **state) {
    (void)state;
    struct rng rng = {.state = 7};
    for (int level = 0; kernels_at(level); level++)
        for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = cell_case_new(&rng, cell, (struct cell_shape){.rows = 9, .n_in = 5, .units = 21});
            float *clean = cell_case_run(&c, kernels_at(level), 0, 9);
            c.x[(2 * 9 + 2) * 5 + 1] = NAN;  /* row 2, last step */
            c.x[(2 * 9 + 6) * 5] = INFINITY; /* row 6 */
            float *soiled = cell_case_run(&c, kernels_at(level), 0, 9);
            for (size_t r = 0; r < 9; r++)
                if (r == 2)
                    assert_true(isnan(soiled[r * c.n_row]));
                else if (r != 6)
                    assert_true(floats_same(c.n_row, soiled + r * c.n_row, clean + r * c.n_row));
            free(clean);
            free(soiled);
            cell_case_free(&c);
        }
}

/* ---- which one ---------------------------------------------------------------------------------- */

static void test_choice_is_the_highest_level(void **state) {
    (void)state;
    unsetenv("FORECASTD_KERNELS");
    assert_string_equal(kernels_at(0)->level, "reference");
    if (kernels_named("amx"))
        assert_ptr_equal(kernels_choose(), kernels_named("amx"));
    else if (kernels_at(1))
        assert_ptr_equal(kernels_choose(), highest());
}

static void test_a_level_can_be_forced(void **state) {
    struct error err;
    (void)state;
    for (int i = 0; kernels_at(i); i++) {
        setenv("FORECASTD_KERNELS", kernels_at(i)->level, 1);
        assert_ptr_equal(kernels_choose(), kernels_at(i));
        assert_ptr_equal(kernels_named(kernels_at(i)->level), kernels_at(i));
        assert_int_equal(kernels_check(&err), 0);
    }
    unsetenv("FORECASTD_KERNELS");
    assert_int_equal(kernels_check(&err), 0);
}

static void test_a_level_that_is_not_there_is_told(void **state) {
    struct error err;
    (void)state;
    unsetenv("FORECASTD_KERNELS");
    const struct kernels *best = kernels_choose();
    setenv("FORECASTD_KERNELS", "mmx", 1);
    assert_ptr_equal(kernels_choose(), best);
    assert_null(kernels_named("mmx"));
    assert_int_equal(kernels_check(&err), -1);
    assert_non_null(strstr(err.text, "FORECASTD_KERNELS=mmx"));
    assert_non_null(strstr(err.text, "reference"));
    if (!kernels_named("amx")) {
        setenv("FORECASTD_KERNELS", "amx", 1);
        assert_ptr_equal(kernels_choose(), best);
        assert_int_equal(kernels_check(&err), -1);
        assert_non_null(strstr(err.text, "FORECASTD_KERNELS=amx"));
    }
    unsetenv("FORECASTD_KERNELS");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense_sums_in_the_documented_order),
        cmocka_unit_test(test_accumulate_adds_in_order),
        cmocka_unit_test(test_lstm_is_the_equation),
        cmocka_unit_test(test_gru_is_the_equation),
        cmocka_unit_test(test_plain_is_the_equation),
        cmocka_unit_test(test_without_bias_it_is_zeros),
        cmocka_unit_test(test_bf16_is_weights_that_are_rounded),
        cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_levels_agree_on_random_shapes),
        cmocka_unit_test(test_inputs_ahead_give_the_same_bits),
        cmocka_unit_test(test_some_rows_as_all_at_any_level),
        cmocka_unit_test(test_nan_stays_in_its_row),
        cmocka_unit_test(test_choice_is_the_highest_level),
        cmocka_unit_test(test_a_level_can_be_forced),
        cmocka_unit_test(test_a_level_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
