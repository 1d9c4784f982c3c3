/*
 * Rounds of images: every `snapshot_every`, and when the store asks for one, each worker hands the store what has changed
 * of its streams; when that is on disk the journal begins behind what had come when the round began. Bus thread only.
 */
#ifndef DAEMON_ROUNDS_H
#define DAEMON_ROUNDS_H

#include "daemon/ingest.h"
#include "daemon/records.h"
#include "daemon/returns.h"
#include "daemon/store.h"

#include <stdbool.h>

struct rounds {
    const struct config *config;
    struct store *store;
    struct ingest *ingest;
    struct returns *returns;
    uint64_t round;     /* the number of the one that is under way, or was last */
    int told, to_end;   /* workers that know of it; that have not ended it */
    bool to_close;      /* all of it is handed over, and the store is still to be told */
    bool wanted;        /* another one, at once */
    int64_t began;      /* monotonic, ns */
    uint64_t held_most; /* bytes of the journal that stay for streams that cannot be read */
};

/* For held_most. */
enum { ROUNDS_HELD_MOST = 1 << 30 };

/* Begins a round if one is due, and goes on with telling the workers. To be called often. */
void rounds_poll(struct rounds *rounds);
/* One that begins with what has come until now is wanted. */
void rounds_want(struct rounds *rounds);
/* Whether one is under way, or wanted. */
bool rounds_busy(const struct rounds *rounds);
/* A worker has handed over all. */
void rounds_done(struct rounds *rounds, const struct record_round *record);

#endif
