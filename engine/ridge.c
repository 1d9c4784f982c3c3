#include "engine/ridge.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <string.h>

static const double decay = .9998;

static size_t row_at(const struct ridge_shape *shape, int i) {
    size_t all = (size_t)shape->inputs + (size_t)shape->outputs, row = (size_t)i;
    return row * all - row * (row - 1) / 2; /* for i = 0 the product is 0, whatever wraps */
}

static int row_length(const struct ridge_shape *shape, int i) {
    return shape->inputs + shape->outputs - i;
}

/* Where the coefficients of a size begin, behind the moments. */
static double *coefficients(double *memory, const struct ridge_shape *shape, int size) {
    memory += row_at(shape, shape->inputs);
    for (int s = 0; s < size; s++)
        memory += (size_t)shape->sizes[s] * (size_t)shape->outputs;
    return memory;
}

size_t ridge_doubles(const struct ridge_shape *shape) {
    size_t n = row_at(shape, shape->inputs);
    for (int s = 0; s < shape->n_sizes; s++)
        n += (size_t)shape->sizes[s] * (size_t)shape->outputs;
    return n;
}

void ridge_place(struct ridge *ridge, const struct ridge_shape *shape, double *memory) {
    assert(shape->n_sizes > 0 && shape->sizes[shape->n_sizes - 1] == shape->inputs);
    *ridge = (struct ridge){.shape = *shape, .moments = memory, .scale = 1};
    for (int s = 0; s < shape->n_sizes; s++)
        ridge->coefficients[s] = coefficients(memory, shape, s);
}

void ridge_clear(struct ridge *ridge) {
    if (ridge->rows > 0)
        memset(ridge->moments, 0, ridge_doubles(&ridge->shape) * sizeof *ridge->moments);
    ridge->scale = 1;
    ridge->total = 0;
    ridge->rows = 0;
    ridge->solved = false;
}

/* Instead of making all that is kept smaller at each row, the next row is made larger; now and then all is brought
 * back. */
static void rescale(struct ridge *ridge) {
    double by = 1 / ridge->scale;
    size_t n = row_at(&ridge->shape, ridge->shape.inputs);
    for (size_t i = 0; i < n; i++)
        ridge->moments[i] *= by;
    ridge->total *= by;
    ridge->scale = 1;
}

void ridge_learn(struct ridge *ridge, const struct kernels *kernels, const double *v) {
    double *row = ridge->moments;
    for (int i = 0; i < ridge->shape.inputs; i++) {
        int n = row_length(&ridge->shape, i);
        kernels->axpy(n, ridge->scale * v[i], v + i, row);
        row += n;
    }
    ridge->total += ridge->scale;
    ridge->rows++;
    ridge->scale /= decay;
    if (ridge->scale > 1e60)
        rescale(ridge);
}

void ridge_solve_begin(struct ridge_solver *solver, const struct ridge *ridge, double penalty) {
    const struct ridge_shape *shape = &ridge->shape;
    memcpy(solver->factor, ridge->moments, row_at(shape, shape->inputs) * sizeof *solver->factor);
    for (int i = 0; i < shape->inputs; i++) {
        double *diagonal = solver->factor + row_at(shape, i);
        /* An input that was never anything but zero gets a coefficient of zero. */
        *diagonal = *diagonal > 0 ? *diagonal * (1 + penalty * ridge->scale / ridge->total) : ridge->scale;
    }
    solver->phase = -1;
    solver->row = 0;
    solver->singular = false;
}

/* U's row i, and the forward substitution's: (M[i] - sum over k < i of U[k][i] U[k]) / U[i][i]. Returns the work. */
static long factorise_row(struct ridge_solver *solver, const struct ridge_shape *shape,
                          const struct kernels *kernels) {
    int i = solver->row, n = row_length(shape, i);
    double *row = solver->factor + row_at(shape, i);
    for (int k = 0; k < i; k++) {
        const double *before = solver->factor + row_at(shape, k) + (i - k);
        kernels->axpy(n, -before[0], before, row);
    }
    if (!(row[0] > 0)) {
        solver->singular = true;
        return 0;
    }
    double by = 1 / sqrt(row[0]);
    for (int j = 0; j < n; j++)
        row[j] *= by;
    return (long)(i + 1) * n;
}

/* B[i] = (Z[i] - sum over k > i, k < size of U[i][k] B[k]) / U[i][i], from the last row on. Returns the work. */
static long substitute_row(struct ridge_solver *solver, const struct ridge_shape *shape,
                           const struct kernels *kernels) {
    int size = shape->sizes[solver->phase], i = size - 1 - solver->row, m = shape->outputs;
    const double *row = solver->factor + row_at(shape, i);
    double *of = coefficients(solver->factor, shape, solver->phase), *b = of + (size_t)i * (size_t)m;
    memcpy(b, row + (shape->inputs - i), (size_t)m * sizeof *b);
    for (int k = i + 1; k < size; k++)
        kernels->axpy(m, -row[k - i], of + (size_t)k * (size_t)m, b);
    for (int j = 0; j < m; j++)
        b[j] /= row[0];
    return (long)(size - i) * m;
}

long ridge_solve(struct ridge_solver *solver, struct ridge *ridge, const struct kernels *kernels, long work) {
    const struct ridge_shape *shape = &ridge->shape;
    while (work > 0 && solver->phase < shape->n_sizes && !solver->singular) {
        int rows = solver->phase < 0 ? shape->inputs : shape->sizes[solver->phase];
        work -= solver->phase < 0 ? factorise_row(solver, shape, kernels) : substitute_row(solver, shape, kernels);
        if (++solver->row == rows) {
            solver->phase++;
            solver->row = 0;
        }
    }
    if (solver->phase < shape->n_sizes && !solver->singular)
        return 0;
    if (!solver->singular)
        memcpy(ridge->coefficients[0], coefficients(solver->factor, shape, 0),
               (ridge_doubles(shape) - row_at(shape, shape->inputs)) * sizeof *solver->factor);
    ridge->solved |= !solver->singular;
    return work > 0 ? work : 1;
}

long ridge_solve_work(const struct ridge_shape *shape) {
    long work = 0;
    for (int i = 0; i < shape->inputs; i++)
        work += (long)(i + 1) * row_length(shape, i);
    for (int s = 0; s < shape->n_sizes; s++)
        work += (long)shape->sizes[s] * (shape->sizes[s] + 1) / 2 * shape->outputs;
    return work;
}

void ridge_forecast(const struct ridge *ridge, int size, const struct kernels *kernels, const double *x, double *y) {
    int m = ridge->shape.outputs;
    memset(y, 0, (size_t)m * sizeof *y);
    for (int i = 0; i < ridge->shape.sizes[size]; i++)
        kernels->axpy(m, x[i], ridge->coefficients[size] + (size_t)i * (size_t)m, y);
}

/* ---- images ------------------------------------------------------------------------------------- */

void ridge_serialize(struct ridge *ridge, struct image_io *io) {
    const struct ridge_shape *shape = &ridge->shape;
    size_t moments = row_at(shape, shape->inputs);
    uint64_t rows = image_reads(io) ? 0 : (uint64_t)ridge->rows;
    if (image_reads(io))
        ridge_clear(ridge);
    image_count(io, &rows, LONG_MAX / 2, "a regression of too many rows");
    ridge->rows = (long)rows;
    if (rows == 0)
        return;
    image_io(io, &ridge->scale, 1);
    image_io(io, &ridge->total, 1);
    image_bool(io, &ridge->solved);
    image_io(io, ridge->moments, moments);
    if (ridge->solved)
        image_io(io, ridge->coefficients[0], ridge_doubles(shape) - moments);
}

void ridge_solver_serialize(struct ridge_solver *solver, const struct ridge *ridge, struct image_io *io) {
    const struct ridge_shape *shape = &ridge->shape;
    image_int(io, &solver->phase, -1, shape->n_sizes, "a solution beyond its end");
    int rows = solver->phase < 0 ? shape->inputs : solver->phase < shape->n_sizes ? shape->sizes[solver->phase] : 1;
    image_int(io, &solver->row, 0, rows - 1, "a row beyond the matrix");
    solver->singular = false; /* else it is at its end */
    image_io(io, solver->factor, row_at(shape, shape->inputs));
    for (int s = 0; s < shape->n_sizes && s <= solver->phase; s++) {
        int made = s < solver->phase ? shape->sizes[s] : solver->row, m = shape->outputs;
        size_t first = (size_t)(shape->sizes[s] - made) * (size_t)m; /* from the last row on */
        image_io(io, coefficients(solver->factor, shape, s) + first, (size_t)made * (size_t)m);
    }
}
