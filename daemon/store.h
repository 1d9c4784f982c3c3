/*
 * The durable store in state_dir, on RocksDB: the journal of what came in (ticks as their messages were, commands,
 * takeovers), in one order over all sources, and images of streams. Only with `state_dir`.
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
#include "daemon/stored.h"
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

/* Before the first append: the last sequence of each producer, as far as it survives. */
void store_producers(struct store *store,
                     void (*each)(void *context, uint64_t producer, uint64_t sequence, int64_t received),
                     void *context);
/* Bus thread: it is not known any more; at the next writing it is not in the store either. */
void store_forget_producer(struct store *store, uint64_t producer);

/* ---- entries ------------------------------------------------------------------------------------ */

/* Bus thread. Gives the entry the next order, from 1 on, also over restarts; false: the ring is full, try again. While
 * the disk fails entries are still taken until the ring is full; then they are dropped, and counted, and have the order
 * of the entry before them. Behind them stands a JOURNAL_GAP: what a stream's image does not have from behind it
 * on, its tail has not either, so its tail ends there. Those of a producer are never dropped, as it sends them again: with
 * false, while store_degraded, they are to be refused. */
bool store_append(struct store *store, const struct journal_entry *entry, uint64_t *ret_order);
/* Bus thread: the last order that was given, 0: none yet. */
uint64_t store_order(const struct store *store);
/* Bus thread: somebody waits for the entries so far. */
void store_hurry(struct store *store);

/* Any thread: all entries up to this order are on disk. Where store_degraded, that acknowledges none. */
uint64_t store_durable(const struct store *store);
/* Any thread: the disk fails, or has failed so long that entries are missing, and no round has been completed since. */
bool store_degraded(const struct store *store);

/* ---- streams ------------------------------------------------------------------------------------ */

/* The worker's thread: an image with new blocks of steps, which it hands over; false: the ring is full, it stays the
 * caller's. Half of the ring is kept for those whose streams leave memory. */
bool store_put(struct store *store, int worker, struct stored *stored, bool leaves);
/* Any thread: whether every worker's ring has less than half of its room in use. */
bool store_takes_images(const struct store *store);

/* Bus thread: asks for all that is kept of a stream; images that were handed over before are seen. The answer comes by
 * store_answer, with the context; false: too many are under way. */
bool store_ask(struct store *store, const char *name, size_t n, void *context);
/* The same for names: of all streams that there are which begin with `prefix` and come behind `after` ("": from the first on), in
 * the order of their bytes, at most `most` of them. The answer is STORED_NAMES, or STORED_FAILED. */
bool store_ask_names(struct store *store, const char *prefix, const char *after, int most, void *context);
/* The same for those of which the clock is to close an interval (struct stored_page: open). */
bool store_ask_open(struct store *store, const char *after, int most, void *context);
/* Bus thread, when rung: the next answer, to be freed by stored_free; NULL: none. */
struct stored *store_answer(struct store *store);
bool store_has_answer(const struct store *store);

/* Bus thread: the stream's generations up to this one have ended for good: all goes but that they have (STORED_ENDED).
 * false: too many requests are under way. */
bool store_forget(struct store *store, const char *name, size_t n, uint32_t generation);

/* Bus thread. A round: begin, then each stream that has changed is put as it stands at `order` or later, then end. When all
 * of it is on disk store_trimmed is `order`, and the entries up to there are gone. `order` is one whose ticks have all
 * been handed to the workers. Where the disk fails meanwhile, nothing is trimmed, and another round is due. false: too
 * many requests are under way. */
bool store_round_begin(struct store *store, uint64_t order);
bool store_round_end(struct store *store);
uint64_t store_trimmed(const struct store *store); /* any thread */
/* Whether a round should begin before its time: behind a gap, or where the journal has become long. */
bool store_round_wanted(const struct store *store);
/* Bus thread: whether the journal is so long that no more ticks are to be put there until a round has ended; not while the
 * disk fails. */
bool store_is_long(struct store *store);

/* ---- how it is -------------------------------------------------------------------------------- */

struct store_status {
    uint64_t order, durable, trimmed;
    uint64_t untrimmed, times_long;  /* bytes behind the last round's begin; times that store_is_long began */
    uint64_t entries, bytes, blocks; /* written since the start: entries, their bytes, groups synced */
    uint64_t images, image_bytes;    /* written */
    uint64_t rounds, asked;          /* completed; streams that were asked for */
    uint64_t dropped, failures;      /* entries dropped while the disk failed; times that it began to */
    uint64_t cut;                    /* entries that were not whole, and not synced, when it was opened */
    uint64_t full, images_full;      /* appends, and images, that found no room in their ring */
    int64_t last_round;              /* ns from the begin to the end of the last one completed; 0: there was none */
    bool degraded;
    char reason[256]; /* why; "" */
};
/* Any thread. */
void store_status(struct store *store, struct store_status *ret_status);

#endif
