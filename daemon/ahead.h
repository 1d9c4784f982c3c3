/*
 * A look ahead at the streams of the next ticks of a bundle: with many streams, what finding one touches is in no cache,
 * and is asked for some ticks before. What was worked out for it is kept until the tick's turn. Of the bus' thread.
 */
#ifndef DAEMON_AHEAD_H
#define DAEMON_AHEAD_H

#include "daemon/streams.h"
#include "daemon/wire.h"

enum { AHEAD_SEEN = 16 }; /* a power of two, more than are looked ahead */

struct ahead {
    const char *at;         /* where to look next; NULL: the next one is not plain to see */
    unsigned looked, taken; /* ticks of the message */
    struct {
        const char *name; /* where it lies in the message */
        uint64_t hash;
    } seen[AHEAD_SEEN]; /* of the ticks looked at, in a ring */
};

/* A message has been opened. */
void ahead_begin(struct ahead *ahead, const struct wire_ticks *ticks);
/* Its next tick is about to be read. */
void ahead_step(struct ahead *ahead, const struct wire_ticks *ticks, const struct streams *streams);
/* The stream of the tick that has been read; NULL: there is none. */
struct stream *ahead_find(const struct ahead *ahead, const struct streams *streams, struct wire_text name);

#endif
