/*
 * The incoming side of the bus: ticks from PULL, SUB and acknowledged ones to the workers' rings; with a store each message
 * goes into its journal before. Bus thread only.
 *
 * Never blocks. When a worker's ring is full the tick that does not fit is parked, with the rest of its message,
 * and nothing is read until it fits: senders then wait at their high-water marks. What was read is never dropped;
 * what cannot be taken is refused with a reason, counted, and told in an event.
 */
#ifndef DAEMON_INGEST_H
#define DAEMON_INGEST_H

#include "daemon/acknowledged.h"
#include "daemon/opening.h"
#include "daemon/placement.h"
#include "daemon/publisher.h"
#include "daemon/reasons.h"
#include "daemon/records.h"
#include "daemon/store.h"
#include "daemon/streams.h"
#include "daemon/worker.h"

#include <stdbool.h>
#include <stdint.h>

struct ingest;

struct returns;

struct ingest_setup {
    const struct config *config;
    struct worker **workers; /* [config->workers] */
    struct streams *streams;
    struct placement *placement;
    struct publisher *publisher;
    struct opening *opening;
    struct returns *returns; /* NULL: no stream is on disk */
    struct store *store;     /* NULL: what comes is not kept */
    uint64_t (*durable)(
        const struct store *store); /* store_durable, and store_degraded: what is acknowledged goes by them */
    bool (*degraded)(const struct store *store);
};

/* Opens the sockets: PULL and ROUTER bound, SUB connected, as configured. NULL with the sentence in err. */
struct ingest *ingest_open(void *zmq, const struct ingest_setup *setup, struct error *err);
void ingest_close(struct ingest *ingest);

/* For polling; NULL where not configured. */
void *ingest_ticks_socket(const struct ingest *ingest);
void *ingest_subscribe_socket(const struct ingest *ingest);

/* Acknowledged ticks; NULL: none. It is the ingest's. */
struct acknowledged *ingest_acknowledged(const struct ingest *ingest);

/* Takes a bounded number of messages and ticks. Returns whether there may be more that can be taken now. */
bool ingest_read(struct ingest *ingest);
/* Whether a tick, or a message that the store has no room for, is parked: then ingest_read tries it again, and reads
 * nothing else. */
bool ingest_parked(const struct ingest *ingest);

/* Closes what is to be closed by the wall clock, as far as there is room. */
void ingest_close_due(struct ingest *ingest);
/* Milliseconds until there may be something, `most` at most. */
int ingest_close_wait_ms(const struct ingest *ingest, int most);

/* A stream has come back with an interval that is open. */
void ingest_unclosed(struct ingest *ingest, const struct record_unclosed *record);
/* The store has such a stream of the name, unless it is in memory, or on its way. */
void ingest_open_on_disk(struct ingest *ingest, const char *name, int64_t end);
/* Streams that are not in memory, and have one that the clock is to close. */
uint64_t ingest_n_open(const struct ingest *ingest);

/* Labels that have waited for streams of which the store now tells that there are none are refused. Returns whether it can go on at
 * once. */
bool ingest_refuse_orphans(struct ingest *ingest);

/* Goes on with the message at hand, and reads no other. Returns whether it is done: else it is to be called again. */
bool ingest_finish(struct ingest *ingest);

/* Has the stream of the name end behind the ticks that were taken. Returns 0; -1: no such stream; -2: the worker's
 * ring has no room for a command now. */
int ingest_end(struct ingest *ingest, const char *name);
/* The same for the begin or the end of a pause of a stream. */
int ingest_pause(struct ingest *ingest, const char *name, bool paused);
/* The same for a reset, of a stream or (NULL) all of them, in one model or (-1) all of them. */
int ingest_reset(struct ingest *ingest, const char *name, int model);

/* A worker has refused a tick. */
void ingest_refused(struct ingest *ingest, const struct record_refused *refused);

/* A state is set, or (it has none to set) read; the order is the worker's when it could be handed over. Returns 0, or
 * -2. */
int ingest_state(struct ingest *ingest, struct state_order *order);
/* Has a stream leave for the store. Returns 0, or -2. */
int ingest_evict(struct ingest *ingest, struct stream *stream);

/* Has a stream become what its image says. Returns 0: it is on its way, and the image taken over; 1: the same, and
 * returns_imported tells what came of it; -1: there is such a stream; -2: it is not known now whether there is, a
 * worker's ring has no room, or memory is short. */
int ingest_import(struct ingest *ingest, int class, struct stored *image, uint64_t request);

/* Puts what a worker has told of a takeover into the journal. Returns false when there is no room now. */
bool ingest_takeover(struct ingest *ingest, const struct record_takeover *record);

/* A worker has let go of a stream, that has ended or (kept) is in the store: its slots are free again, and it is
 * freed. */
void ingest_ended(struct ingest *ingest, struct stream *stream, bool kept);

/* Puts a record into a worker's ring, using the room that ticks leave over; false when even that is full. */
bool ingest_command(struct ingest *ingest, int worker, const void *record, size_t n);

/* All entries of the journal up to this order have been handed over, to workers or to those who return. */
uint64_t ingest_settled(const struct ingest *ingest);

/* Before anything is read: a message of the journal's tail goes to those who return. Returns false when memory is short: not
 * all of it has. */
bool ingest_replay(struct ingest *ingest, uint64_t order, const struct journal_entry *entry);
/* The tick or label that it made this record of was refused then. */
void ingest_replay_refused(struct ingest *ingest, const struct record *record, enum reason reason, const char *name);

struct ingest_counters {
    uint64_t messages, bytes, ticks, labels, parked;
    uint64_t bad;      /* values of bad quality */
    uint64_t replayed; /* ticks and labels of the journal */
    uint64_t ended, evicted;
    uint64_t refused[N_REASONS]; /* by the bus; the workers have their own */
    uint64_t not_replayed[N_REASONS];
};
const struct ingest_counters *ingest_counters(const struct ingest *ingest);

#endif
