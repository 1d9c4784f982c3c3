#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "engine/ridge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 9, OUTPUTS = 3, WIDTH = INPUTS + OUTPUTS, ROWS = 300 };

static const struct ridge_shape shape = {INPUTS, OUTPUTS, {2, 5, INPUTS}, 3};
static const double penalty = 7, decay = .9998;

static void make_rows(double rows[ROWS][WIDTH], uint64_t seed) {
    struct rng rng = {seed};
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < INPUTS; i++)
            rows[r][i] = (i + 1) * rng_normal(&rng) + (i > 0 ? .5 * rows[r][i - 1] : 0);
        for (int j = 0; j < OUTPUTS; j++)
            rows[r][INPUTS + j] = rows[r][j] - 2 * rows[r][j + 4] + rng_normal(&rng);
    }
}

/* The definition, by Gaussian elimination: b [size x OUTPUTS]. */
static void solve_plainly(double rows[ROWS][WIDTH], int size, double b[INPUTS][OUTPUTS]) {
    double m[INPUTS][WIDTH] = {{0}}, total = 0;
    for (int r = 0; r < ROWS; r++) {
        double w = pow(decay, ROWS - r);
        total += w;
        for (int i = 0; i < size; i++)
            for (int j = 0; j < WIDTH; j++)
                m[i][j] += w * rows[r][i] * rows[r][j];
    }
    for (int i = 0; i < size; i++)
        m[i][i] *= 1 + penalty / total;
    for (int i = 0; i < size; i++)
        for (int k = 0; k < size; k++)
            for (int j = WIDTH - 1; k != i && j >= i; j--)
                m[k][j] -= m[k][i] / m[i][i] * m[i][j];
    for (int i = 0; i < size; i++)
        for (int j = 0; j < OUTPUTS; j++)
            b[i][j] = m[i][INPUTS + j] / m[i][i];
}

struct rig {
    struct ridge ridge;
    struct ridge_solver solver;
    double *memory, *factor;
};

static void rig_open(struct rig *rig) {
    rig->memory = calloc(ridge_doubles(&shape), sizeof *rig->memory);
    rig->factor = calloc(ridge_doubles(&shape), sizeof *rig->factor);
    rig->solver.factor = rig->factor;
    ridge_place(&rig->ridge, &shape, rig->memory);
}

static void rig_close(struct rig *rig) {
    free(rig->memory);
    free(rig->factor);
}

static void solve(struct rig *rig, long work) {
    ridge_solve_begin(&rig->solver, &rig->ridge, penalty);
    while (!ridge_solve(&rig->solver, &rig->ridge, kernels_choose(), work))
        ;
}

static void it_is_the_definition(void **state) {
    (void)state;
    static double rows[ROWS][WIDTH];
    struct rig rig;
    rig_open(&rig);
    make_rows(rows, 1);
    for (int r = 0; r < ROWS; r++)
        ridge_learn(&rig.ridge, kernels_choose(), rows[r]);
    assert_false(rig.ridge.solved);
    solve(&rig, 1L << 40);
    assert_true(rig.ridge.solved);
    for (int s = 0; s < shape.n_sizes; s++) {
        double b[INPUTS][OUTPUTS], y[OUTPUTS];
        solve_plainly(rows, shape.sizes[s], b);
        ridge_forecast(&rig.ridge, s, kernels_choose(), rows[0], y);
        for (int j = 0; j < OUTPUTS; j++) {
            double expected = 0;
            for (int i = 0; i < shape.sizes[s]; i++) {
                expected += rows[0][i] * b[i][j];
                assert_true(fabs(rig.ridge.coefficients[s][i * OUTPUTS + j] - b[i][j]) < 1e-9);
            }
            assert_true(fabs(y[j] - expected) < 1e-9);
        }
    }
    rig_close(&rig);
}

/* However it is sliced, and at every level, to the last bit; what serves meanwhile is the solution before. */
static void slices_change_nothing(void **state) {
    (void)state;
    static double rows[ROWS][WIDTH];
    struct rig whole, sliced;
    rig_open(&whole);
    rig_open(&sliced);
    make_rows(rows, 2);
    for (int r = 0; r < ROWS; r++) {
        ridge_learn(&whole.ridge, kernels_at(0), rows[r]);
        ridge_learn(&sliced.ridge, kernels_choose(), rows[r]);
    }
    solve(&whole, 1L << 40);
    ridge_solve_begin(&sliced.solver, &sliced.ridge, penalty);
    int slices = 1;
    double zero = 0;
    while (!ridge_solve(&sliced.solver, &sliced.ridge, kernels_choose(), 20)) {
        assert_memory_equal(sliced.ridge.coefficients[2], &zero, sizeof zero);
        ridge_learn(&sliced.ridge, kernels_choose(), rows[0]); /* does not matter to a solution under way */
        slices++;
    }
    assert_true(slices > 10);
    for (int s = 0; s < shape.n_sizes; s++)
        assert_memory_equal(sliced.ridge.coefficients[s], whole.ridge.coefficients[s],
                            (size_t)(shape.sizes[s] * OUTPUTS) * sizeof(double));
    rig_close(&whole);
    rig_close(&sliced);
}

/* Inputs that are always zero, or the same as another one, take nothing from the rest. */
static void useless_inputs(void **state) {
    (void)state;
    struct rig rig;
    struct rng rng = {3};
    double row[WIDTH] = {0}, y[OUTPUTS];
    rig_open(&rig);
    for (int r = 0; r < 5000; r++) {
        row[1] = row[2] = rng_normal(&rng);
        row[INPUTS] = 3 * row[1];
        ridge_learn(&rig.ridge, kernels_choose(), row);
    }
    solve(&rig, 1000);
    ridge_forecast(&rig.ridge, 2, kernels_choose(), row, y);
    assert_true(fabs(y[0] - row[INPUTS]) < .01 * fabs(row[INPUTS]) && y[1] == 0);
    assert_true(rig.ridge.coefficients[2][0] == 0);
    rig_close(&rig);
}

/* Millions of rows: the growing weights are brought back, and the law that holds now is what is known. */
static void the_past_is_forgotten(void **state) {
    (void)state;
    struct rig rig;
    struct rng rng = {4};
    double row[WIDTH] = {0}, y[OUTPUTS];
    rig_open(&rig);
    for (int r = 0; r < 1000000; r++) {
        row[0] = rng_normal(&rng);
        row[INPUTS] = (r < 950000 ? 1 : -1) * row[0];
        ridge_learn(&rig.ridge, kernels_choose(), row);
    }
    assert_true(rig.ridge.scale < 1e61);
    solve(&rig, 1000);
    row[0] = 1;
    ridge_forecast(&rig.ridge, 0, kernels_choose(), row, y);
    assert_true(fabs(y[0] + 1) < .01);
    ridge_clear(&rig.ridge);
    assert_true(rig.ridge.rows == 0 && !rig.ridge.solved && rig.memory[0] == 0);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_definition),
        cmocka_unit_test(slices_change_nothing),
        cmocka_unit_test(useless_inputs),
        cmocka_unit_test(the_past_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
