/* Between the child that parses a file and its parent: records on a pipe, one struct container_record and what it
 * tells of. */
#ifndef ENGINE_KERAS_CONTAINER_WIRE_H
#define ENGINE_KERAS_CONTAINER_WIRE_H

#include "engine/keras/container.h"

#include <stdint.h>

enum {
    CONTAINER_NAME_MAX = 1024,       /* bytes of a name, its NUL with it */
    CONTAINER_TEXT_MAX = 4 << 20,    /* bytes of a text: parsed JSON takes forty times as much memory */
    CONTAINER_RECORDS_MAX = 1 << 16, /* of either kind together */
    CONTAINER_DEPTH_MAX = 24,        /* of groups in groups */
    CONTAINER_SECONDS = 5,           /* of the processor for a file, and one more for each of these: */
    CONTAINER_SECOND_BYTES = 32 << 20,
};
#define CONTAINER_FILE_MAX ((uint64_t)2 << 30)

/* Bytes of arrays and texts, and of unpacked members, that a file of a size may hold: float16 doubles, compressed
 * weights hardly shrink; what unfolds to more is a bomb. */
static inline uint64_t container_budget(uint64_t file_size) {
    uint64_t most = 2 * CONTAINER_FILE_MAX, budget = ((uint64_t)64 << 20) + 8 * file_size;
    return budget < most ? budget : most;
}

enum container_kind { CONTAINER_TEXT = 1, CONTAINER_ARRAY, CONTAINER_ZIP, CONTAINER_ERROR, CONTAINER_END };

struct container_record {
    uint32_t kind;
    uint32_t name_size; /* bytes of the name that follows, without a NUL */
    uint32_t n_dims;
    uint32_t dims[CONTAINER_DIMS];
    uint32_t unused;
    uint64_t size; /* bytes of the text or of the array after the name */
};

/* The child's side: all of these leave the process when they cannot go on. */
struct container_child {
    int out;         /* the pipe */
    uint64_t budget; /* bytes that may still be sent */
    unsigned records;
};

void container_send_text(struct container_child *child, const char *name, const char *text, size_t size);
void container_send_array(struct container_child *child, const char *name, int n_dims, const int *dims,
                          const float *data, size_t n);
/* Sends the sentence and leaves. */
_Noreturn void container_fail(struct container_child *child, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* All that the HDF5 file in memory holds of groups, datasets and the attributes that Keras writes. Takes the bytes
 * over. */
void container_hdf5(struct container_child *child, void *bytes, size_t size);
/* The members of a .keras that Keras and the daemon write. Takes the bytes over. */
void container_zip(struct container_child *child, void *bytes, size_t size);

/* Limits on memory (beyond what is mapped), time and system calls, for good. Returns -1 with what could not be
 * limited. */
int container_confine(uint64_t memory, unsigned seconds, const char **ret_what);

/* Reads file descriptor `in`, of that size, and writes records to `out`. */
_Noreturn void container_child_main(int in, uint64_t size, int out);

#endif
