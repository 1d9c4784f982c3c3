/* The insides of ingest, for ingest*.c. */
#ifndef DAEMON_INGEST_INTERNAL_H
#define DAEMON_INGEST_INTERNAL_H

#include "daemon/ahead.h"
#include "daemon/closer.h"
#include "daemon/ingest.h"
#include "daemon/wire.h"

#include <zmq.h>

/* Sources of ticks. The position of a tick is (source, number); an acknowledged one's is its producer's. What closes by
 * the clock has numbers too. */
enum source { SOURCE_TICKS, SOURCE_SUBSCRIBE, SOURCE_ACKNOWLEDGED, N_SOURCES, SOURCE_CLOCK = N_SOURCES };

struct ingest {
    struct ingest_setup setup;
    void *sockets[N_SOURCES];
    struct acknowledged *acknowledged; /* NULL: none */
    uint64_t numbers[N_SOURCES];       /* ticks taken */
    int next;                          /* source to be read next: they take turns */
    struct closer *closer;             /* NULL: no class closes intervals by the clock */
    uint64_t closes;                   /* so many were */
    bool close_later;                  /* some are to be closed, and could not be */

    /* The message at hand. */
    bool open;
    int source;
    zmq_msg_t frames[2];
    size_t n_frames;
    int64_t received;
    uint64_t order;  /* in the journal; 0: there is none */
    bool replays;    /* it comes from the journal */
    bool kept;       /* it stands there */
    uint32_t nth;    /* of its ticks: the one at hand, from 1 */
    uint32_t second; /* of receiving, as `used` of streams counts */
    struct wire_ticks ticks;
    struct ahead ahead;
    struct wire_tick tick;
    bool parked;          /* tick is decoded and does not fit */
    bool unkept;          /* the store has not taken the message; parked as well when it had no room */
    int budget;           /* ticks that may still be looked at in this go */
    size_t count, passed; /* of its ticks: all, and those that have been read; where it is acknowledged */
    struct acknowledged_origin origin; /* of an acknowledged one */

    bool *touched;  /* [workers] to be woken */
    double *values; /* [most features] of a tick, in order */
    int bad;        /* of these, whose quality is */
    int *n_models;  /* [n_classes] */
    struct ingest_counters counters;
};

/* ingest.c */
/* Counts a refused message, tick or label, and tells of it; the name may be empty. */
void ingest_refuse(struct ingest *ingest, enum reason reason, struct wire_text name);

/* ingest_commands.c */
/* Puts into the journal that the tick at hand, which stands there, is refused for what another start may find otherwise.
 * Returns false when there is no room now. */
bool ingest_keep_refusal(struct ingest *ingest, enum reason reason);

static inline struct ring *ingest_ring(const struct ingest *ingest, int worker) {
    return worker_input(ingest->setup.workers[worker]);
}

/* Puts the tick at hand, or the label, on its way. PARKED: there is no room now; REFUSED: *ret_reason says why. */
enum routed { ROUTED, PARKED, REFUSED };
enum routed ingest_route(struct ingest *ingest, enum reason *ret_reason);

#endif
