/*
 * NumPy's arrays in files: .npy, read whole and written row-major as little-endian float32, and .npz, which is a zip
 * of them. Format: numpy.lib.format, versions 1 to 3.
 */
#ifndef FORECAST_NPY_H
#define FORECAST_NPY_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { NPY_DIMS = 8 };

/* An array as it was in its file: either byte order, rows first or columns first. */
struct npy {
    char kind;     /* 'f' real, 'i' and 'u' integers, 'b' truth values */
    int item_size; /* bytes */
    bool swapped;  /* the other byte order than this machine's */
    bool fortran;  /* the first index runs fastest */
    int n_dims;
    size_t dims[NPY_DIMS];
    size_t n;             /* values; 1 of a scalar */
    unsigned char *bytes; /* of the file; owned */
    const unsigned char *data;
};

/* Reads a file. Returns -1 and a sentence that names it. npy_fini afterwards. */
int npy_read(const char *path, struct npy *ret_npy, struct error *err);
/* The same from the n bytes of a file, from malloc; they are the array's from then on, also on failure. */
int npy_take(unsigned char *bytes, size_t n, struct npy *ret_npy, struct error *err);
void npy_fini(struct npy *npy);

/* The value at a row-major index, whatever it is in the file. */
double npy_value(const struct npy *npy, size_t i);

/* "(2, 5, 3)" as NumPy says it. size >= 160 is enough. */
const char *npy_shape_text(int n_dims, const size_t *dims, char *text, size_t size);

int npy_write(const char *path, int n_dims, const size_t *dims, const float *data, struct error *err);

/* An .npz file that is open for reading. */
struct npz;
struct npz *npz_open(const char *path, struct error *err);
void npz_close(struct npz *npz);
/* Whether it has an array of that name. */
bool npz_has(struct npz *npz, const char *name);
int npz_read(struct npz *npz, const char *name, struct npy *ret_npy, struct error *err);

#endif
