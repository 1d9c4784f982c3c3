/*
 * Ridge regression of several outputs on the same inputs, learnt row by row with forgetting: the moments
 *
 *     M = sum over rows of w v v',   v = [x | y],  x [inputs], y [outputs],   w = .9998^(rows since)
 *
 * of which the first `inputs` rows of the upper triangle are kept, and coefficients B = (G + R)^-1 C, where G and C
 * are M's blocks of x x' and x y'. R is diagonal: `penalty` times an input's own mean square, so that it does not
 * depend on units. It is added when solving, never to M, and so is not forgotten.
 *
 * B comes from a Cholesky factorisation U'U = G + R in a fixed order of summation, one row after another, which may
 * be cut into slices of a given work. As row i of U needs rows before i only, the factor of all inputs holds the
 * factor of the first few: coefficients of several `sizes` (the first n inputs) come from one factorisation.
 *
 * One owner; a function of the rows alone. Nothing is allocated; a ridge lies in the caller's memory, about 8 bytes x
 * (inputs (inputs / 2 + outputs) + sum over sizes (size x outputs)); a solver as much again.
 */
#ifndef ENGINE_RIDGE_H
#define ENGINE_RIDGE_H

#include "engine/image.h"
#include "engine/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>

enum { RIDGE_SIZES = 4 };

struct ridge_shape {
    int inputs, outputs;
    int sizes[RIDGE_SIZES], n_sizes; /* ascending, the last one the inputs */
};

struct ridge {
    struct ridge_shape shape;
    double *moments;                   /* row i behind those before it, of inputs + outputs - i */
    double scale;                      /* of the next row: 1 / decay of all before it */
    double total;                      /* sum of w, in that scale */
    long rows;                         /* seen */
    double *coefficients[RIDGE_SIZES]; /* [size x outputs] */
    bool solved;
};

/* Room for one solution under way. */
struct ridge_solver {
    double *factor; /* as moments: U and, behind each row, that of the forward substitution; then as coefficients */
    int phase, row; /* which size is substituted back (-1: factorising; n_sizes: done), and which row is next */
    bool singular;
};

/* In memory of the caller, so many doubles for a ridge, and as many for a solver's factor. */
size_t ridge_doubles(const struct ridge_shape *shape);
void ridge_place(struct ridge *ridge, const struct ridge_shape *shape, double *memory);

/* Forgets all rows. */
void ridge_clear(struct ridge *ridge);

/* A row: v [inputs + outputs], finite. */
void ridge_learn(struct ridge *ridge, const struct kernels *kernels, const double *v);

/* A solution of what has been learnt so far begins; a slice of it does about `work` multiplications. Returns what is
 * left of the work when it is done: then the coefficients are the new ones (or, where the matrix was singular, the
 * old); else 0. */
void ridge_solve_begin(struct ridge_solver *solver, const struct ridge *ridge, double penalty);
long ridge_solve(struct ridge_solver *solver, struct ridge *ridge, const struct kernels *kernels, long work);
/* The multiplications of a whole solution. */
long ridge_solve_work(const struct ridge_shape *shape);

/* To an image, or from one of the same shape. The ridge of a solver is the one that it solves. */
void ridge_serialize(struct ridge *ridge, struct image_io *io);
void ridge_solver_serialize(struct ridge_solver *solver, const struct ridge *ridge, struct image_io *io);

/* y [outputs] = the first sizes[size] of x times the coefficients of that size. */
void ridge_forecast(const struct ridge *ridge, int size, const struct kernels *kernels, const double *x, double *y);

#endif
