/*
 * A cell with random weights, inputs and states, for tests of the kernels: its steps by a level, or by the equation in
 * doubles.
 */
#ifndef TESTS_SUPPORT_CELL_CASE_H
#define TESTS_SUPPORT_CELL_CASE_H

#include "engine/kernels/kernels.h"
#include "engine/random.h"

#include <stdbool.h>

enum { CELL_STEPS = 3, CELL_ROWS_MAX = 130, CELL_UNITS_MAX = 300, N_CELL_SHAPES = 29 };

struct cell_shape {
    int rows, n_in, units;
};

/* Vectors are 16 and 8 wide, blocks 4 of them, tiles up to 6 rows high (AMX: 16) and of one row two blocks: every
 * remainder occurs. */
extern const struct cell_shape cell_shapes[N_CELL_SHAPES];

/* A cell, its weights, its inputs for CELL_STEPS steps, and the states that it begins with. */
struct cell_case {
    enum kernel_cell cell;
    enum precision precision;
    bool ahead; /* the inputs' part is made first */
    struct cell_shape shape;
    size_t wide, n_state, n_row; /* gates units; floats of a row's state; of its results: state and y */
    float *w, *u, *bias, *x, *start;
};

struct cell_case cell_case_new(struct rng *rng, enum kernel_cell cell, struct cell_shape shape);
void cell_case_free(struct cell_case *c);

/* So many steps of rows [from, to), at most CELL_STEPS: of each row its state and the latest y [to - from x n_row]; the caller
 * frees. Everything that the kernels see ends at a guard page. */
float *cell_case_run_steps(const struct cell_case *c, const struct kernels *kernels, size_t steps, int from, int to);

/* All of them. */
float *cell_case_run(const struct cell_case *c, const struct kernels *kernels, int from, int to);

/* One step of an LSTM or a GRU in doubles: h [units] and, of an LSTM, c behind it. h_in [units] is what the products take for
 * h, and may be h. */
void cell_case_step(const struct cell_case *c, const double *x, const double *h_in, double *h);

/* A number as bfloat16 keeps it: eight bits, to the nearest, to even in the middle. */
float cell_case_rounded(float w);

/* Inputs and states as they should not be: denormals, huge numbers, infinities and NaN in some places. */
void cell_case_soil(struct rng *rng, size_t n, float *x);

#endif
