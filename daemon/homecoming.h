/*
 * What a worker gets with a stream that comes back: its image, and what came behind it before the daemon stopped. Made
 * by the bus, the worker's with RECORD_OPEN, which frees it.
 */
#ifndef DAEMON_HOMECOMING_H
#define DAEMON_HOMECOMING_H

#include "daemon/stored.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A record that waits for its worker. */
struct kept {
    struct kept *previous, *next; /* utlist, of all, by order */
    struct kept *before, *behind; /* of the stream; before: only while it is kept */
    uint64_t order;
    uint32_t nth; /* of its message's ticks, from 1; else 0 */
    size_t n;
    _Alignas(8) char record[]; /* a struct record_... */
};

/* With what it refers to. */
void kept_free(struct kept *kept);

struct homecoming {
    struct stored *image; /* NULL: the store has none */
    bool imported;        /* the store has nothing of it */
    struct kept *tail;    /* by behind: records behind the image */
    int64_t closed_to;    /* intervals up to there are closed by them, or by what follows at once */
};

/* An empty one. NULL when memory is short. */
struct homecoming *homecoming_new(void);
/* NULL is fine. */
void homecoming_free(struct homecoming *homecoming);

#endif
