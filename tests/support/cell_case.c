#include "tests/support/cell_case.h"

#include "tests/support/exact.h"
#include "tests/support/floats.h"
#include "tests/support/guarded.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int gates_of[] = {[KERNEL_DENSE] = 1, [KERNEL_LSTM] = 4, [KERNEL_GRU] = 3};
static const int states_of[] = {[KERNEL_DENSE] = 0, [KERNEL_LSTM] = 2, [KERNEL_GRU] = 1};

const struct cell_shape cell_shapes[N_CELL_SHAPES] = {
    {1, 1, 1},    {2, 3, 1},     {3, 1, 2},    {4, 5, 3},    {5, 2, 4},     {7, 8, 5},   {8, 7, 7},   {9, 4, 8},
    {4, 6, 9},    {6, 9, 12},    {11, 12, 15}, {13, 8, 16},  {5, 17, 17},   {64, 8, 32}, {6, 31, 33}, {5, 33, 63},
    {1, 33, 64},  {5, 3, 65},    {2, 64, 100}, {1, 300, 67}, {5, 100, 129}, {1, 2, 300}, {65, 3, 20}, {1, 5, 48},
    {12, 6, 128}, {1, 100, 200}, {3, 7, 256},  {1, 7, 22},   {1, 100, 55},
};

struct cell_case cell_case_new(struct rng *rng, enum kernel_cell cell, struct cell_shape shape) {
    size_t n_in = (size_t)shape.n_in, units = (size_t)shape.units, rows = (size_t)shape.rows;
    struct cell_case c = {.cell = cell, .shape = shape, .wide = (size_t)gates_of[cell] * units};
    c.n_state = (size_t)states_of[cell] * units;
    c.n_row = c.n_state + units;
    c.w = floats_random(rng, n_in * c.wide, 0.7);
    c.u = floats_random(rng, units * c.wide, 0.7);
    c.bias = floats_random(rng, 2 * c.wide, 1);
    c.x = floats_random(rng, CELL_STEPS * rows * n_in, 2);
    c.start = floats_random(rng, rows * c.n_state, 1);
    return c;
}

void cell_case_free(struct cell_case *c) {
    free(c->w);
    free(c->u);
    free(c->bias);
    free(c->x);
    free(c->start);
}

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

float *cell_case_run_steps(const struct cell_case *c, const struct kernels *kernels, size_t steps, int from, int to) {
    size_t n_in = (size_t)c->shape.n_in, units = (size_t)c->shape.units, rows = (size_t)(to - from);
    size_t n_packed = kernels_packed_size(c->cell, c->shape.n_in, c->shape.units);
    float *results = floats_new(rows * c->n_row), *y = guarded_new(rows * units), *blocks = guarded_new(n_packed);
    struct packed packed = {c->cell, c->precision, c->shape.n_in, c->shape.units, blocks};
    float *state[CELL_ROWS_MAX];

    kernels->pack(&packed, c->w, c->u, c->bias, blocks);
    for (size_t r = 0; r < rows; r++)
        state[r] = guarded_copy(c->n_state, c->start + ((size_t)from + r) * c->n_state);
    for (size_t i = 0; i < rows * units; i++)
        y[i] = NAN; /* what was there does not matter */
    for (size_t t = 0; t < steps; t++) {
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

float *cell_case_run(const struct cell_case *c, const struct kernels *kernels, int from, int to) {
    return cell_case_run_steps(c, kernels, CELL_STEPS, from, to);
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

void cell_case_step(const struct cell_case *c, const double *x, const double *h_in, double *h) {
    static double zx[4 * CELL_UNITS_MAX], zh[4 * CELL_UNITS_MAX];
    static const float no_bias[4 * CELL_UNITS_MAX];
    size_t units = (size_t)c->shape.units;
    exact_product(c, (size_t)c->shape.n_in, x, c->w, c->bias, zx);
    exact_product(c, units, h_in, c->u, c->cell == KERNEL_GRU ? c->bias + c->wide : no_bias, zh);
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

float cell_case_rounded(float w) {
    int exponent;
    double mantissa = frexp((double)w, &exponent);
    return (float)ldexp(nearbyint(ldexp(mantissa, 8)), exponent - 8);
}

void cell_case_soil(struct rng *rng, size_t n, float *x) {
    static const float values[] = {1e-40f, -1e-44f, 3e38f, -3e38f, INFINITY, NAN, 0.0f, -0.0f, 1e-38f, 100.0f};
    for (size_t i = 0; i < n; i++)
        if (rng_below(rng, 50) == 0)
            x[i] = values[rng_below(rng, sizeof values / sizeof *values)];
}
