/*
 * What a model file holds, as plain named arrays and texts. HDF5 and zip are parsed in a short-lived child process
 * with limits on memory, time and system calls: libhdf5 is not safe on hostile files. Any thread may call;
 * container_read blocks until the child has ended.
 */
#ifndef ENGINE_KERAS_CONTAINER_H
#define ENGINE_KERAS_CONTAINER_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { CONTAINER_DIMS = 4 };

/* A dataset. name: its path from the root, "model_weights/lstm_1/lstm_1/kernel:0". */
struct container_array {
    char *name;
    int n_dims, dims[CONTAINER_DIMS];
    size_t n;
    float *data; /* row-major */
};

/*
 * A text: a member of a zip ("config.json") or a string attribute of a group ("model_weights@keras_version",
 * "@model_config" of the root). An attribute with several strings is as many texts of one name.
 */
struct container_text {
    char *name, *text;
    size_t order; /* in the file */
};

struct container {
    bool keras3; /* a zip, .keras */
    size_t n_arrays, n_texts;
    struct container_array *arrays; /* by name */
    struct container_text *texts;   /* by name, then order */
};

/* NULL on failure, with one sentence that does not name the file. Free with container_free. */
struct container *container_read(const char *path, struct error *err);
void container_free(struct container *container);

/* NULL: there is none. */
const struct container_array *container_array(const struct container *container, const char *name);
/* The first text of a name; ret_n (may be NULL) how many of them follow each other. NULL: there is none. */
const struct container_text *container_text(const struct container *container, const char *name, size_t *ret_n);
/* Whether the name of some array begins so. */
bool container_has_arrays(const struct container *container, const char *prefix);

#endif
