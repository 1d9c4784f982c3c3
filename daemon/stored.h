/*
 * What the store keeps of a stream: made by its worker, handed to the store, and given back by it when the stream
 * returns. Memory alone; one owner at a time.
 */
#ifndef DAEMON_STORED_H
#define DAEMON_STORED_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stored_found {
    STORED_IMAGE,
    STORED_NONE,       /* no such stream */
    STORED_ENDED,      /* it was ended for good: generation is its last one's */
    STORED_DAMAGED,    /* set aside; err says what, and where it is now */
    STORED_FAILED,     /* the disk cannot be read now; err says why */
    STORED_UNREADABLE, /* the stream cannot be, though others may; err says why, generation is 0 where its mark cannot */
    STORED_NAMES,      /* asked for names */
};

/* A page of names. Asked for: the first ones behind `name` that begin with the bytes [n]. Answered: the bytes are their
 * texts, one behind the other, in order, and where there may be more another text, behind which those come. */
struct stored_page {
    int most, n;   /* at most, and so many */
    bool open;     /* only of streams that are open; behind each text its end stands (int64_t) */
    bool more;     /* there may be further ones */
    uint64_t turn; /* of the store: behind which request it is answered */
};

/* A block of steps; every block but the last one is full, and one of the same number takes the place of what was. */
struct stored_block {
    uint64_t number; /* of the block: 0, 1, ... */
    void *bytes;     /* malloc, or in the memory of all */
    size_t n;
};

struct stored {
    enum stored_found found; /* of an answer */
    void *context;           /* of an answer: whose */
    struct error err;
    uint32_t generation;
    uint64_t order; /* all entries of the journal before it are in the image, as far as they concern the stream, */
    uint32_t taken; /* and so many records of this one (UINT32_MAX: all); see stream_image_fits */
    void *bytes;    /* malloc, or in the memory of all: the image, without steps */
    size_t n;
    bool open; /* an interval of it, up to `end` (ns), is open, and the clock is to close it */
    int64_t end;
    bool summed;     /* of an answer: image and blocks are what was written; the store has looked at their sums */
    uint64_t oldest; /* blocks before this number are needed no more */
    int n_blocks;
    struct stored_block *blocks; /* by number; of an answer: all that are held; else what is new */
    struct stored_page page;     /* of names */
    char *memory;                /* malloc: in which image and blocks lie (stored_copy); NULL: each has its own */
    size_t used, room;           /* of it */
    size_t name_length;
    char name[];
};

/* NULL when memory is short. */
struct stored *stored_new(const char *name, size_t n);
/* With all that it points to. NULL is fine. */
void stored_free(struct stored *stored);
/* Takes bytes (malloc) over as the next block. -1 when memory is short: they stay the caller's. */
int stored_add_block(struct stored *stored, uint64_t number, void *bytes, size_t n);

/* A copy of bytes for the image, or a block, of a stored that has only such: all lie in one piece of memory, so that a
 * stream which comes back costs one allocation rather than one for each block. all: how many bytes are expected in the
 * end. NULL when memory is short. */
void *stored_copy(struct stored *stored, const void *bytes, size_t n, size_t all);

#endif
