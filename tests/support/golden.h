/*
 * Goldens: model files as Keras wrote them, and what Keras gives for an input. What is in them is said in
 * tests/golden/golden_box.py and, of training, in cases_training.py. Functions fail the test when a golden is not
 * what it should be.
 */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include "clients/forecast/npy.h"
#include "engine/keras/keras.h"

/* A compressed tar of goldens under tests/golden, or a folder there, opened. */
struct golden_box {
    const char *name; /* borrowed; of the tar without its ending */
    char folder[64];  /* with the files; a temporary one of a tar */
    int n;
    char **goldens; /* the file names of the models, sorted */
};
/* 0, or -1: tests run from the root of the repository. */
int golden_box_open(struct golden_box *box, const char *name);
void golden_box_close(struct golden_box *box);

/* An array as float32; integers too. */
struct golden_array {
    int n_dims;
    int dims[NPY_DIMS];
    size_t n;
    float *data; /* row-major */
};

struct golden {
    struct keras_model *model;
    struct npz *arrays;
};
struct golden golden_open(const struct golden_box *box, const char *name);
void golden_close(struct golden *golden);
/* The model of that file in the box, extra put before its ending (.k3.keras); architecture: as keras_read. */
struct keras_model *golden_model(const struct golden_box *box, const char *name, const char *extra,
                                 const char *architecture);

bool golden_has(const struct golden *golden, const char *key);
struct golden_array golden_array(const struct golden *golden, const char *key); /* golden_array_fini */
void golden_array_fini(struct golden_array *array);
/* Of a scalar; otherwise where there is none. */
double golden_number(const struct golden *golden, const char *key, double otherwise);
/* "y" where there is one output, else "y0", "y1", ...: NAME, or NAME and the number. */
struct golden_array golden_output(const struct golden *golden, const char *name, int output);

/* A network of the model for samples of so many steps. */
struct network *golden_network(const struct keras_model *model, enum network_mode mode, int steps);

/* Keras has rows first, the engine steps: [rows x steps x width] -> [steps x rows x width], and back with rows and
 * steps exchanged. */
void golden_swap(int rows, int steps, int width, const float *from, float *to);

/* Checks a golden; the error in units of a scale. */
typedef double golden_check_fn(const struct golden_box *box, const char *name, const struct golden *golden);
/* A cmocka test for every golden of the boxes (or every n-th of a box, from the first on): its error is printed, and
 * is at most 1e-5. At the end the worst of each box. argv[1], where there is one, is a pattern of the names to run.
 * Returns how many failed. */
int golden_main(int argc, char **argv, const char *const *boxes, int n_boxes, int every, golden_check_fn *check);

/* The largest |value|; more than zero. */
double golden_scale(const struct golden_array *array);

#endif
