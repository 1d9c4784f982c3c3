/*
 * The durable store in state_dir: the journal of what came in (ticks as their messages were, commands, takeovers), in
 * one order over all sources, on RocksDB. Only with `state_dir`.
 *
 * The store's thread alone writes to disk. The bus appends to a bounded ring; all that waits there becomes one block,
 * written and synced at once (group commit): as soon as somebody waits for it (store_hurry), else sync_every after the
 * first of it came. One daemon has a folder at a time.
 *
 * On disk every value has a checksum and the version of its format. A newer format, or damage, is refused in a sentence
 * that says what to do; nothing that is damaged is deleted.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include "daemon/doorbell.h"
#include "engine/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

/* The numbers are on disk. */
enum journal_kind {
    JOURNAL_TICKS = 1, /* a message of ticks as it came from a socket: frames and all */
    JOURNAL_COMMAND,   /* on streams, carried out at this place */
    JOURNAL_TAKEOVER,  /* a worker told that a stream's steps are a new version's from one on */
    JOURNAL_GAP,       /* entries before it are missing: the disk had failed */
};

/* One entry. What its bytes are is the appender's own; they are copied. */
struct journal_entry {
    enum journal_kind kind;
    uint32_t source;             /* enum source of ingest */
    int64_t received;            /* realtime, ns */
    uint64_t producer, sequence; /* of acknowledged ingest; producer 0: none */
    const void *head;            /* the first frame of a message of two (the stream's name); NULL: there is one */
    size_t n_head;
    const void *bytes;
    size_t n;
};

/* Opens or makes the folder, takes its lock, and starts the thread; `bus` is rung when store_durable has grown while
 * somebody waits, and when store_degraded changes. NULL with the sentence in err. */
struct store *store_open(const struct config *config, struct doorbell *bus, struct error *err);
/* Writes and syncs what was appended, and joins the thread. NULL is fine. */
void store_close(struct store *store);

/* Before the first append: hands over all entries behind the last trim, in their order. The entry's memory is borrowed
 * until the call returns; take returns false to end the reading. Returns 0, or -1 with the sentence in err. */
int store_tail(struct store *store, bool (*take)(void *context, uint64_t order, const struct journal_entry *entry),
               void *context, struct error *err);

/* Bus thread. Gives the entry the next order, from 1 on, also over restarts; false: the ring is full, try again. While
 * the store is degraded the entry is dropped, and counted, and has its order all the same. */
bool store_append(struct store *store, const struct journal_entry *entry, uint64_t *ret_order);
/* Bus thread: the last order that was given, 0: none yet. */
uint64_t store_order(const struct store *store);
/* Bus thread: somebody waits for the entries so far. */
void store_hurry(struct store *store);

/* Any thread: all entries up to this order are on disk. Does not grow while the store is degraded. */
uint64_t store_durable(const struct store *store);
/* Any thread: the disk does not take what it should. */
bool store_degraded(const struct store *store);

struct store_status {
    uint64_t order, durable;
    uint64_t entries, bytes, blocks; /* written since the start: entries, their bytes, groups synced */
    uint64_t dropped;                /* entries while degraded */
    uint64_t full;                   /* appends that found no room in the ring */
    bool degraded;
    char reason[256]; /* why; "" */
};
/* Any thread. */
void store_status(struct store *store, struct store_status *ret_status);

#endif
