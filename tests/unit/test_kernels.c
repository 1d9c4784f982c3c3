#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/kernels/kernels.h"
#include "tests/support/exact.h"
#include "tests/support/floats.h"
#include "tests/support/guarded.h"

#include <stdbool.h>
#include <stdio.h>

enum { STEPS = 3, ROWS_MAX = 130 };

static const int gates_of[] = {[KERNEL_DENSE] = 1, [KERNEL_LSTM] = 4, [KERNEL_GRU] = 3};
static const int states_of[] = {[KERNEL_DENSE] = 0, [KERNEL_LSTM] = 2, [KERNEL_GRU] = 1};

struct shape {
    int rows, n_in, units;
};

/* Vectors are 16 and 8 wide, blocks 4 of them, tiles up to 6 rows high and of one row two blocks: every remainder
 * occurs. */
static const struct shape shapes[] = {
    {1, 1, 1},   {2, 3, 1},   {3, 1, 2},   {4, 5, 3},    {5, 2, 4},     {7, 8, 5},    {8, 7, 7},
    {9, 4, 8},   {4, 6, 9},   {6, 9, 12},  {11, 12, 15}, {13, 8, 16},   {5, 17, 17},  {64, 8, 32},
    {6, 31, 33}, {5, 33, 63}, {1, 33, 64}, {5, 3, 65},   {2, 64, 100},  {1, 300, 67}, {5, 100, 129},
    {1, 2, 300}, {65, 3, 20}, {1, 5, 48},  {12, 6, 128}, {1, 100, 200}, {3, 7, 256},
};

enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* A cell, its weights, its inputs for STEPS steps, and the states that it begins with. */
struct cell_case {
    enum kernel_cell cell;
    enum precision precision;
    bool ahead;
    struct shape shape;
    size_t wide, n_state, n_row; /* gates units; floats of a row's state; of its results: state and y */
    float *w, *u, *bias, *x, *start;
};

static struct cell_case cell_case_new(struct rng *rng, enum kernel_cell cell, struct shape shape) {
    size_t n_in = (size_t)shape.n_in, units = (size_t)shape.units, rows = (size_t)shape.rows;
    struct cell_case c = {.cell = cell, .shape = shape, .wide = (size_t)gates_of[cell] * units};
    c.n_state = (size_t)states_of[cell] * units;
    c.n_row = c.n_state + units;
    c.w = floats_random(rng, n_in * c.wide, 0.7);
    c.u = floats_random(rng, units * c.wide, 0.7);
    c.bias = floats_random(rng, 2 * c.wide, 1);
    c.x = floats_random(rng, STEPS * rows * n_in, 2);
    c.start = floats_random(rng, rows * c.n_state, 1);
    return c;
}

static void cell_case_free(struct cell_case *c) {
    free(c->w);
    free(c->u);
    free(c->bias);
    free(c->x);
    free(c->start);
}

/* ahead: the inputs' part is made first. */
static void step(const struct kernels *kernels, const struct packed *packed, bool ahead, int rows, const float *x,
                 float *const *state, float *y) {
    size_t n = (size_t)rows * kernels_inputs_size(packed->units);
    float *sums = ahead && packed->cell != KERNEL_DENSE ? guarded_new(n) : NULL;
    if (sums)
        kernels->inputs(packed, rows, x, sums);
    if (packed->cell == KERNEL_DENSE)
        kernels->dense(packed, rows, x, y);
    else
        (packed->cell == KERNEL_LSTM ? kernels->lstm : kernels->gru)(packed, rows, sums ? NULL : x, sums, state, y);
    guarded_free(n, sums);
}

/* STEPS steps of rows [from, to): of each row its state and the latest y [to - from x n_row]; the caller frees. Everything
 * that the kernels see ends at a guard page. */
static float *run(const struct cell_case *c, const struct kernels *kernels, int from, int to) {
    size_t n_in = (size_t)c->shape.n_in, units = (size_t)c->shape.units, rows = (size_t)(to - from);
    size_t n_packed = kernels_packed_size(c->cell, c->shape.n_in, c->shape.units);
    float *results = floats_new(rows * c->n_row), *y = guarded_new(rows * units), *blocks = guarded_new(n_packed);
    struct packed packed = {c->cell, c->precision, c->shape.n_in, c->shape.units, blocks};
    float *state[ROWS_MAX];

    kernels->pack(&packed, c->w, c->u, c->bias, blocks);
    for (size_t r = 0; r < rows; r++)
        state[r] = guarded_copy(c->n_state, c->start + ((size_t)from + r) * c->n_state);
    for (size_t i = 0; i < rows * units; i++)
        y[i] = NAN; /* what was there does not matter */
    for (size_t t = 0; t < STEPS; t++) {
        float *x = guarded_copy(rows * n_in, c->x + (t * (size_t)c->shape.rows + (size_t)from) * n_in);
        step(kernels, &packed, c->ahead, to - from, x, state, y);
        guarded_free(rows * n_in, x);
    }
    for (size_t r = 0; r < rows; r++) {
        memcpy(results + r * c->n_row, state[r], c->n_state * sizeof *y);
        memcpy(results + r * c->n_row + c->n_state, y + r * units, units * sizeof *y);
        guarded_free(c->n_state, state[r]);
    }
    guarded_free(rows * units, y);
    guarded_free(n_packed, blocks);
    return results;
}

/* ---- what they compute -------------------------------------------------------------------------- */

/* The sum as kernels.h words it. */
static void test_dense_sums_in_the_documented_order(void **state) {
    (void)state;
    struct rng rng = {.state = 1};
    for (int i = 0; i < N_SHAPES; i++) {
        struct cell_case c = cell_case_new(&rng, KERNEL_DENSE, shapes[i]);
        size_t rows = (size_t)c.shape.rows, n_in = (size_t)c.shape.n_in, units = (size_t)c.shape.units;
        const float *x = c.x + (STEPS - 1) * rows * n_in;
        float *expected = floats_new(rows * units);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < units; j++) {
                float sum = c.bias[j];
                for (size_t k = 0; k < n_in; k++)
                    sum = fmaf(x[r * n_in + k], c.w[k * units + j], sum);
                expected[r * units + j] = sum;
            }
        for (int level = 0; kernels_at(level); level++) {
            float *y = run(&c, kernels_at(level), 0, c.shape.rows);
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
    for (int i = 0; i < N_SHAPES; i++) {
        size_t rows = (size_t)shapes[i].rows, n_in = (size_t)shapes[i].n_in, n_out = (size_t)shapes[i].units;
        size_t w_stride = n_out + 3, y_stride = n_out + 5, n_w = (n_in - 1) * w_stride + n_out;
        size_t n_y = (rows - 1) * y_stride + n_out;
        float *random_w = floats_random(&rng, n_w, 1), *w = guarded_copy(n_w, random_w);
        float *x = floats_random(&rng, rows * n_in, 2);
        float *before = floats_random(&rng, rows * y_stride, 1), *expected = floats_copy(n_y, before);
        const float *x_at[ROWS_MAX];
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

/* Sums [gates x units] of x w + bias. */
static void exact_product(const struct cell_case *c, size_t n, const double *x, const float *w, const float *bias,
                          double *z) {
    for (size_t j = 0; j < c->wide; j++) {
        z[j] = (double)bias[j];
        for (size_t k = 0; k < n; k++)
            z[j] += x[k] * (double)w[k * c->wide + j];
    }
}

/* One step: h [units] and, of an LSTM, c behind it. */
static void exact_step(const struct cell_case *c, const double *x, double *h) {
    static double zx[4 * 300], zh[4 * 300];
    static const float no_bias[4 * 300];
    size_t units = (size_t)c->shape.units;
    exact_product(c, (size_t)c->shape.n_in, x, c->w, c->bias, zx);
    exact_product(c, units, h, c->u, c->cell == KERNEL_GRU ? c->bias + c->wide : no_bias, zh);
    for (size_t j = 0; j < units; j++) {
        double *cell = h + units + j;
        double a = exact_sigmoid(zx[j] + zh[j]), b = exact_sigmoid(zx[units + j] + zh[units + j]);
        if (c->cell == KERNEL_LSTM) {
            *cell = b * *cell + a * tanh(zx[2 * units + j] + zh[2 * units + j]);
            h[j] = exact_sigmoid(zx[3 * units + j] + zh[3 * units + j]) * tanh(*cell);
        } else {
            h[j] = a * h[j] + (1 - a) * tanh(zx[2 * units + j] + b * zh[2 * units + j]);
        }
    }
}

/* The furthest that a row's results are from the equation in doubles. */
static double distance_from_equation(const struct cell_case *c, size_t r, const float *row) {
    size_t n_in = (size_t)c->shape.n_in, units = (size_t)c->shape.units;
    double x[300], h[2 * 300], worst = 0;
    for (size_t j = 0; j < c->n_state; j++)
        h[j] = (double)c->start[r * c->n_state + j];
    for (size_t t = 0; t < STEPS; t++) {
        for (size_t k = 0; k < n_in; k++)
            x[k] = (double)c->x[(t * (size_t)c->shape.rows + r) * n_in + k];
        exact_step(c, x, h);
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
    for (int i = 0; i < N_SHAPES; i++) {
        struct cell_case c = cell_case_new(&rng, cell, shapes[i]);
        float *results = run(&c, kernels, 0, c.shape.rows);
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
            struct cell_case c = cell_case_new(&rng, cell, (struct shape){5, 7, 21});
            float *bias = c.bias;
            memset(bias, 0, 2 * c.wide * sizeof *bias);
            float *with = run(&c, kernels_at(level), 0, 5);
            c.bias = NULL;
            float *without = run(&c, kernels_at(level), 0, 5);
            c.bias = bias;
            assert_true(floats_same(5 * c.n_row, with, without));
            free(with);
            free(without);
            cell_case_free(&c);
        }
}

/* A weight as bfloat16 keeps it: eight bits, to the nearest, to even in the middle. */
static float rounded(float w) {
    int exponent;
    double mantissa = frexp((double)w, &exponent);
    return (float)ldexp(nearbyint(ldexp(mantissa, 8)), exponent - 8);
}

/* Halves give the bits of floats that are as short, whatever the shape. */
static void test_bf16_is_weights_that_are_rounded(void **state) {
    (void)state;
    struct rng rng = {.state = 31};
    for (int i = 0; i < N_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = cell_case_new(&rng, cell, shapes[i]);
            size_t n = (size_t)c.shape.rows * c.n_row;
            float *floats = run(&c, kernels_choose(), 0, c.shape.rows);
            c.precision = PRECISION_BF16;
            float *halves = run(&c, kernels_choose(), 0, c.shape.rows);
            for (size_t k = 0; k < (size_t)c.shape.n_in * c.wide; k++)
                c.w[k] = rounded(c.w[k]);
            for (size_t k = 0; k < (size_t)c.shape.units * c.wide; k++)
                c.u[k] = rounded(c.u[k]);
            c.precision = PRECISION_F32;
            float *expected = run(&c, kernels_choose(), 0, c.shape.rows);
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
    float *base = run(c, kernels_at(0), 0, c->shape.rows);
    for (int level = 1; kernels_at(level); level++) {
        float *results = run(c, kernels_at(level), 0, c->shape.rows);
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
    for (int i = 0; i < N_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = cell_case_new(&rng, cell, shapes[i]);
            check_levels(&c);
            cell_case_free(&c);
        }
}

/* Inputs and states as they should not be: denormals, huge numbers, infinities and NaN in some places. */
static void soil(struct rng *rng, size_t n, float *x) {
    static const float values[] = {1e-40f, -1e-44f, 3e38f, -3e38f, INFINITY, NAN, 0.0f, -0.0f, 1e-38f, 100.0f};
    for (size_t i = 0; i < n; i++)
        if (rng_below(rng, 50) == 0)
            x[i] = values[rng_below(rng, sizeof values / sizeof *values)];
}

static void test_levels_agree_on_random_shapes(void **state) {
    (void)state;
    struct rng rng = {.state = 21};
    for (int i = 0; i < 60; i++) {
        /* Now and then large; all together a second or two of the reference. */
        uint64_t most = i % 6 == 0 ? 300 : 60;
        struct shape shape = {1 + (int)rng_below(&rng, i % 6 == 1 ? ROWS_MAX : 20), 1 + (int)rng_below(&rng, most),
                              1 + (int)rng_below(&rng, most)};
        struct cell_case c = cell_case_new(&rng, (enum kernel_cell)(i % 3), shape);
        c.precision = i % 5 < 2 ? PRECISION_BF16 : PRECISION_F32;
        c.ahead = i % 7 < 2;
        if (i % 2 == 1) {
            soil(&rng, STEPS * (size_t)shape.rows * (size_t)shape.n_in, c.x);
            soil(&rng, (size_t)shape.rows * c.n_state, c.start);
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
    for (int i = 0; i < N_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_LSTM; cell <= KERNEL_GRU; cell++)
            for (int level = 0; kernels_at(level); level++) {
                struct cell_case c = cell_case_new(&rng, cell, shapes[i]);
                c.precision = i % 2 == 0 ? PRECISION_BF16 : PRECISION_F32;
                float *at_once = run(&c, kernels_at(level), 0, c.shape.rows);
                c.ahead = true;
                float *ahead = run(&c, kernels_at(level), 0, c.shape.rows);
                assert_true(floats_same((size_t)c.shape.rows * c.n_row, ahead, at_once));
                free(at_once);
                free(ahead);
                cell_case_free(&c);
            }
}

static void test_some_rows_as_all_at_any_level(void **state) {
    (void)state;
    struct rng rng = {.state = 6};
    for (int i = 0; i < N_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = cell_case_new(&rng, cell, shapes[i]);
            c.precision = i % 2 == 0 ? PRECISION_BF16 : PRECISION_F32;
            float *all = run(&c, kernels_choose(), 0, c.shape.rows);
            for (int r = 0, n; r < c.shape.rows; r += n) {
                n = 1 + (int)rng_below(&rng, (uint64_t)(c.shape.rows - r));
                for (int level = 0; kernels_at(level); level++) {
                    float *some = run(&c, kernels_at(level), r, r + n);
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
            struct cell_case c = cell_case_new(&rng, cell, (struct shape){.rows = 9, .n_in = 5, .units = 21});
            float *clean = run(&c, kernels_at(level), 0, 9);
            c.x[(2 * 9 + 2) * 5 + 1] = NAN;  /* row 2, last step */
            c.x[(2 * 9 + 6) * 5] = INFINITY; /* row 6 */
            float *soiled = run(&c, kernels_at(level), 0, 9);
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

static void test_choice_is_the_last_level(void **state) {
    (void)state;
    int n = 0;
    unsetenv("FORECASTD_KERNELS");
    while (kernels_at(n))
        n++;
    assert_string_equal(kernels_at(0)->level, "reference");
    if (n > 1)
        assert_ptr_equal(kernels_choose(), kernels_at(n - 1));
}

static void test_a_level_can_be_forced(void **state) {
    (void)state;
    for (int i = 0; kernels_at(i); i++) {
        setenv("FORECASTD_KERNELS", kernels_at(i)->level, 1);
        assert_ptr_equal(kernels_choose(), kernels_at(i));
        assert_ptr_equal(kernels_named(kernels_at(i)->level), kernels_at(i));
    }
    unsetenv("FORECASTD_KERNELS");
    const struct kernels *best = kernels_choose();
    setenv("FORECASTD_KERNELS", "mmx", 1);
    assert_ptr_equal(kernels_choose(), best);
    unsetenv("FORECASTD_KERNELS");
    assert_null(kernels_named("mmx"));
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
        cmocka_unit_test(test_choice_is_the_last_level),
        cmocka_unit_test(test_a_level_can_be_forced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
