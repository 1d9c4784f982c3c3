/*
 * The level "amx": its own code, on a CPU that has tiles; on one with AVX-512 alone its tile instructions are emulated
 * (tests/support/amx_emulator.h).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/amx_emulator.h"
#include "tests/support/cell_case.h"
#include "tests/support/floats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
extern const struct kernels kernels_amx; /* where the CPU has no tiles it has no name */
#else
#define kernels_amx kernels_reference
extern const struct kernels kernels_reference;
#endif

/* First in each test, as cmocka has a handler of its own for each. */
static void begin(void) {
    if (!kernels_named("amx") && !amx_emulator_start())
        skip();
}

/* Shapes of cell_shapes, and random ones up to 300 units and inputs and 130 rows. */
enum { N_SHAPES = N_CELL_SHAPES + 4 };

static struct cell_case case_of(struct rng *rng, enum kernel_cell cell, int i) {
    struct cell_shape shape = i < N_CELL_SHAPES ? cell_shapes[i]
                                                : (struct cell_shape){1 + (int)rng_below(rng, CELL_ROWS_MAX),
                                                                      1 + (int)rng_below(rng, CELL_UNITS_MAX),
                                                                      1 + (int)rng_below(rng, CELL_UNITS_MAX)};
    struct cell_case c = cell_case_new(rng, cell, shape);
    c.precision = PRECISION_BF16;
    return c;
}

static void round_all(size_t n, float *x) {
    for (size_t i = 0; i < n; i++)
        x[i] = cell_case_rounded(x[i]);
}

/* Of one step from the start, [rows x n_row]: the equation in doubles with rounded weights, inputs and h. */
static double distance_from_equation(struct cell_case *c, size_t r, const float *row) {
    size_t n_in = (size_t)c->shape.n_in, units = (size_t)c->shape.units;
    double x[CELL_UNITS_MAX], h_in[CELL_UNITS_MAX], h[2 * CELL_UNITS_MAX], worst = 0;
    for (size_t k = 0; k < n_in; k++)
        x[k] = (double)cell_case_rounded(c->x[r * n_in + k]);
    for (size_t j = 0; j < c->n_state; j++)
        h[j] = (double)c->start[r * c->n_state + j];
    for (size_t j = 0; j < units && c->n_state > 0; j++)
        h_in[j] = (double)cell_case_rounded(c->start[r * c->n_state + j]);
    if (c->cell == KERNEL_DENSE)
        for (size_t j = 0; j < units; j++) {
            h[j] = (double)c->bias[j];
            for (size_t k = 0; k < n_in; k++)
                h[j] += x[k] * (double)c->w[k * units + j];
        }
    else
        cell_case_step(c, x, h_in, h);
    for (size_t j = 0; j < c->n_row - units; j++)
        worst = fmax(worst, fabs((double)row[j] - h[j]));
    for (size_t j = 0; j < units; j++)
        worst = fmax(worst, fabs((double)row[c->n_state + j] - h[j]));
    return worst;
}

static void test_a_step_is_the_equation_of_rounded_numbers(void **state) {
    static const char *const names[] = {"dense", "lstm", "gru"};
    struct rng rng = {.state = 41};
    (void)state;
    begin();
    for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
        double worst = 0;
        for (int i = 0; i < N_SHAPES; i++) {
            struct cell_case c = case_of(&rng, cell, i);
            unsigned long products = amx_emulator_products();
            float *results = cell_case_run_steps(&c, &kernels_amx, 1, 0, c.shape.rows);
            assert_true(kernels_named("amx") || amx_emulator_products() > products);
            assert_true(amx_emulator_is_released());
            round_all((size_t)c.shape.n_in * c.wide, c.w);
            round_all((size_t)c.shape.units * c.wide, c.u);
            for (size_t r = 0; r < (size_t)c.shape.rows; r++)
                worst = fmax(worst, distance_from_equation(&c, r, results + r * c.n_row));
            free(results);
            cell_case_free(&c);
        }
        print_message("%s: worst distance from the equation of rounded numbers %.3g\n", names[cell], worst);
        assert_true(worst < (cell == KERNEL_DENSE ? 1e-4 : 1e-5)); /* a Dense's sums are as large as they are */
    }
}

/* Of a whole that is rounded on the way: three decimal digits of bfloat16. */
static void test_steps_are_near_those_of_floats(void **state) {
    struct rng rng = {.state = 42};
    double worst = 0;
    (void)state;
    begin();
    for (int i = 0; i < N_SHAPES; i += 3)
        for (enum kernel_cell cell = KERNEL_LSTM; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = case_of(&rng, cell, i);
            float *results = cell_case_run(&c, &kernels_amx, 0, c.shape.rows);
            c.precision = PRECISION_F32;
            float *floats = cell_case_run(&c, kernels_at(0), 0, c.shape.rows);
            double sum = 0;
            for (size_t k = 0; k < (size_t)c.shape.rows * c.n_row; k++)
                sum += fabs((double)results[k] - (double)floats[k]);
            worst = fmax(worst, sum / (double)((size_t)c.shape.rows * c.n_row));
            free(results);
            free(floats);
            cell_case_free(&c);
        }
    print_message("worst mean distance from floats %.3g\n", worst);
    assert_true(worst < 1e-2);
}

/* ---- that it is the same however it is computed ------------------------------------------------- */

static void test_some_rows_as_all(void **state) {
    struct rng rng = {.state = 43};
    (void)state;
    begin();
    for (int i = 0; i < N_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = case_of(&rng, cell, i);
            if (i % 2 == 1)
                cell_case_soil(&rng, CELL_STEPS * (size_t)c.shape.rows * (size_t)c.shape.n_in, c.x);
            float *all = cell_case_run(&c, &kernels_amx, 0, c.shape.rows);
            c.ahead = i % 3 == 0;
            for (int take = 0; take < 2; take++) {
                int r = (int)rng_below(&rng, (uint64_t)c.shape.rows);
                int n = take == 0 ? 1 : 1 + (int)rng_below(&rng, (uint64_t)(c.shape.rows - r));
                float *some = cell_case_run(&c, &kernels_amx, r, r + n);
                assert_true(floats_same((size_t)n * c.n_row, some, all + (size_t)r * c.n_row));
                free(some);
            }
            free(all);
            cell_case_free(&c);
        }
}

static void test_inputs_ahead_give_the_same_bits(void **state) {
    struct rng rng = {.state = 44};
    (void)state;
    begin();
    for (int i = 0; i < N_SHAPES; i += 2)
        for (enum kernel_cell cell = KERNEL_LSTM; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = case_of(&rng, cell, i);
            float *at_once = cell_case_run(&c, &kernels_amx, 0, c.shape.rows);
            c.ahead = true;
            float *ahead = cell_case_run(&c, &kernels_amx, 0, c.shape.rows);
            assert_true(floats_same((size_t)c.shape.rows * c.n_row, ahead, at_once));
            free(at_once);
            free(ahead);
            cell_case_free(&c);
        }
}

/* More inputs than are rounded at once. */
static void test_wide_inputs(void **state) {
    enum { ROWS = 70, WIDE = 2500, UNITS = 20 };
    struct rng rng = {.state = 45};
    (void)state;
    begin();
    struct cell_case c = cell_case_new(&rng, KERNEL_DENSE, (struct cell_shape){ROWS, WIDE, UNITS});
    c.precision = PRECISION_BF16;
    float *all = cell_case_run(&c, &kernels_amx, 0, ROWS), *one = cell_case_run(&c, &kernels_amx, 66, 67);
    assert_true(floats_same(UNITS, one, all + (size_t)66 * UNITS));
    round_all((size_t)WIDE * c.wide, c.w);
    const float *x = c.x + ((size_t)(CELL_STEPS - 1) * ROWS + 66) * WIDE;
    for (size_t j = 0; j < UNITS; j++) {
        double sum = (double)c.bias[j];
        for (size_t k = 0; k < WIDE; k++)
            sum += (double)cell_case_rounded(x[k]) * (double)c.w[k * UNITS + j];
        assert_true(fabs((double)one[j] - sum) < 1e-3);
    }
    free(all);
    free(one);
    cell_case_free(&c);
}

static void test_nan_stays_in_its_row(void **state) {
    struct rng rng = {.state = 46};
    (void)state;
    begin();
    for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
        struct cell_case c = cell_case_new(&rng, cell, (struct cell_shape){.rows = 19, .n_in = 5, .units = 21});
        c.precision = PRECISION_BF16;
        float *clean = cell_case_run(&c, &kernels_amx, 0, 19);
        c.x[(2 * 19 + 2) * 5 + 1] = NAN;  /* row 2, last step */
        c.x[(2 * 19 + 6) * 5] = INFINITY; /* row 6 */
        float *soiled = cell_case_run(&c, &kernels_amx, 0, 19);
        for (size_t r = 0; r < 19; r++)
            if (r == 2)
                assert_true(isnan(soiled[r * c.n_row]));
            else if (r != 6)
                assert_true(floats_same(c.n_row, soiled + r * c.n_row, clean + r * c.n_row));
        free(clean);
        free(soiled);
        cell_case_free(&c);
    }
}

static void test_floats_are_those_of_avx512(void **state) {
    struct rng rng = {.state = 47};
    (void)state;
    begin();
    for (int i = 0; i < N_CELL_SHAPES; i++)
        for (enum kernel_cell cell = KERNEL_DENSE; cell <= KERNEL_GRU; cell++) {
            struct cell_case c = cell_case_new(&rng, cell, cell_shapes[i]);
            c.ahead = i % 2 == 1;
            float *floats = cell_case_run(&c, kernels_named("avx512"), 0, c.shape.rows);
            float *amx = cell_case_run(&c, &kernels_amx, 0, c.shape.rows);
            assert_true(floats_same((size_t)c.shape.rows * c.n_row, amx, floats));
            free(floats);
            free(amx);
            cell_case_free(&c);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_step_is_the_equation_of_rounded_numbers),
        cmocka_unit_test(test_steps_are_near_those_of_floats),
        cmocka_unit_test(test_some_rows_as_all),
        cmocka_unit_test(test_inputs_ahead_give_the_same_bits),
        cmocka_unit_test(test_wide_inputs),
        cmocka_unit_test(test_nan_stays_in_its_row),
        cmocka_unit_test(test_floats_are_those_of_avx512),
    };
    print_message("tiles are %s\n", kernels_named("amx") ? "the CPU's" : "emulated");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
