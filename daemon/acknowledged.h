/*
 * Ticks that are acknowledged: the ROUTER socket that they come through, its clients, and their replies. Bus thread only.
 *
 * A client asks first, for a producer, and is told its last durable number and its credit; then it sends messages of ticks
 * with consecutive numbers. The reply to ticks comes when the store has them on disk and their workers have taken them, and
 * lists those that were refused. A client that does not read its replies is forgotten, and has to ask again; what it had
 * sent stays taken. Nothing blocks.
 */
#ifndef DAEMON_ACKNOWLEDGED_H
#define DAEMON_ACKNOWLEDGED_H

#include "daemon/producers.h"
#include "daemon/ring.h"
#include "daemon/store.h"
#include "daemon/wire.h"
#include "engine/config.h"

#include <zmq.h>

struct acknowledged;

struct acknowledged_setup {
    const struct config *config;
    struct worker **workers; /* [config->workers] */
    struct store *store;
    uint64_t (*durable)(const struct store *store); /* store_durable, and store_degraded */
    bool (*degraded)(const struct store *store);
};

/* Binds the socket. NULL with the sentence in err. */
struct acknowledged *acknowledged_open(void *zmq, const struct acknowledged_setup *setup, struct error *err);
/* Replies that wait have linger_ms to leave. NULL is fine. */
void acknowledged_close(struct acknowledged *acknowledged, int linger_ms);
void *acknowledged_socket(const struct acknowledged *acknowledged);
/* Before the first message: a producer that was known before the start, its last durable number, and when it was heard of
 * last, ns since 1970. */
void acknowledged_restore(struct acknowledged *acknowledged, uint64_t producer, uint64_t last, int64_t used);

/* Who sent a message: its mark (producers.h) and what its ticks' positions have as their source, the number of the first tick, and the first
 * one that is to be told of if it is refused. */
struct acknowledged_origin {
    uint32_t mark, source;
    uint64_t producer, first, told_from;
};
/* Before the first message: that of a message of the journal, which is taken once more. */
struct acknowledged_origin acknowledged_again(struct acknowledged *acknowledged, uint32_t source, uint64_t producer,
                                              uint64_t first);
/* Before the first message: the journal has been read up to this order. Until its ticks have been taken once more, who asks may be
 * told less than is durable, as some of them may be refused. */
void acknowledged_restored(struct acknowledged *acknowledged, uint64_t order);

/* ---- a message, from its arrival on --------------------------------------------------------- */

enum acknowledged_got {
    ACKNOWLEDGED_NONE,     /* nothing has come */
    ACKNOWLEDGED_ANSWERED, /* what has come is answered */
    ACKNOWLEDGED_TICKS,    /* frames[*ret_n] is a message of ticks, the caller's; then one of the next three */
};
enum acknowledged_got acknowledged_read(struct acknowledged *acknowledged, zmq_msg_t frames[2], size_t *ret_n);

/* The message at hand cannot be read at all. */
void acknowledged_malformed(struct acknowledged *acknowledged, enum reason reason);

/* Whether its `count` ticks in so many bytes are to be taken; else it is answered. */
bool acknowledged_admit(struct acknowledged *acknowledged, uint64_t count, size_t bytes);

/* What was admitted is not taken after all, as the disk fails: it is answered. */
void acknowledged_not_kept(struct acknowledged *acknowledged);

/* That of what was admitted. */
struct acknowledged_origin acknowledged_origin(const struct acknowledged *acknowledged);

/* What was admitted is entry `order` of the journal from now on, and its ticks may go to the workers. */
void acknowledged_begin(struct acknowledged *acknowledged, uint64_t order);
/* What was taken as entry `of` is waited for until `order`, the latest of all, is durable, too. */
void acknowledged_kept(struct acknowledged *acknowledged, uint64_t of, uint64_t order);
/* Ticks of the producer with that mark were refused, by the bus or a worker. */
void acknowledged_refused(struct acknowledged *acknowledged, uint32_t mark, uint64_t first, uint64_t last,
                          enum reason reason, const char *stream, size_t n);
/* All ticks of the message at hand have been refused or put into their workers' rings. */
void acknowledged_taken(struct acknowledged *acknowledged);

/* ---- replies -------------------------------------------------------------------------------- */

/* Messages that were taken since the last call are waited for together from now on: called at the end of a go. */
void acknowledged_close_group(struct acknowledged *acknowledged);
/* Some ticks of entry `order` wait before their workers' rings, and perhaps of later ones, but of none before; UINT64_MAX: none
 * waits. What was taken from that entry on is not acknowledged until this is told anew. To be called before the two
 * around. */
void acknowledged_waiting(struct acknowledged *acknowledged, uint64_t order);
/* Sends the replies that are due. To be called when the workers' outputs have been looked at. */
void acknowledged_reply(struct acknowledged *acknowledged);
/* Whether acknowledged_reply would come further now than the last time. */
bool acknowledged_ready(const struct acknowledged *acknowledged);
/* Whether something that was taken is not acknowledged, or it is not known yet what was refused of what was taken before the
 * start. */
bool acknowledged_waits(const struct acknowledged *acknowledged);

struct acknowledged_counters {
    uint64_t asked, ticks, durable;               /* asks; ticks taken, and acknowledged */
    uint64_t repeated;                            /* messages that had been taken before */
    uint64_t gaps, over_credit, degraded, errors; /* messages that were answered so; errors: all of them */
    uint64_t replies, lost; /* sent; not sent since their client does not read: it was forgotten */
    uint64_t forgotten;     /* producers */
    int producers, clients; /* now */
};
struct acknowledged_counters acknowledged_counters(const struct acknowledged *acknowledged);

#endif
