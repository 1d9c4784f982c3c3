/*
 * How a stream comes to its worker: it is made, gets its places, and goes over with RECORD_OPEN. Bus thread only.
 */
#ifndef DAEMON_OPENING_H
#define DAEMON_OPENING_H

#include "daemon/placement.h"
#include "daemon/publisher.h"
#include "daemon/streams.h"
#include "daemon/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct homecoming;

struct opening {
    const struct config *config;
    struct worker **workers; /* [config->workers] */
    struct streams *streams;
    struct placement *placement;
    struct publisher *publisher;
    struct closer *closer; /* ingest's; NULL: none */
    int64_t began;         /* monotonic, ns: `used` of streams is in seconds since then */
    uint64_t started;      /* streams that began */
};

/* Bytes of a tick's record. */
size_t opening_tick_bytes(const struct config *config, int class);

/* Whether every worker's ring has room for an opening and a tick behind it. */
bool opening_has_room(const struct opening *opening, int class);

/* So many of the class are in memory, beyond `max_resident`, that some have to leave before more come. */
bool opening_is_crowded(const struct opening *opening, int class);

/* A stream with places, and room for it in the table of streams; on that worker, -1: on any. NULL when memory is short. */
struct stream *opening_make(struct opening *opening, int class, const char *name, size_t n, uint32_t generation,
                            int worker);

/* The second it is now, as `used` of streams counts. */
uint32_t opening_second(const struct opening *opening);

/* Takes that back. */
void opening_unmake(struct opening *opening, struct stream *stream);

/* Hands it to its worker, which has room, with what it was (NULL: it begins); tells of it. The caller wakes the worker. */
void opening_hand_over(struct opening *opening, struct stream *stream, struct homecoming *homecoming, bool known);

#endif
