/* What the parts of the store share; only daemon/store*.c include it. */
#ifndef DAEMON_STORE_INTERNAL_H
#define DAEMON_STORE_INTERNAL_H

#include "daemon/ring.h"
#include "daemon/store.h"
#include "daemon/store_block.h"
#include "daemon/store_db.h"
#include "daemon/store_producers.h"
#include "daemon/store_streams.h"

#include <pthread.h>
#include <stdatomic.h>

/* Of a worker's ring of images: each is a pointer with the ring's own head before it. */
enum { IMAGE_RING = 8192, IMAGE_RECORD = 16 };

/* Streams that are asked for and not answered; slots of `pending`. */
enum { ASKED_MOST = 1024, PENDING_SLOTS = 1 << 16 };

/* What the bus asks the thread for. */
struct request {
    enum { REQUEST_FORGET, REQUEST_ROUND_BEGIN, REQUEST_ROUND_END, REQUEST_TURN } kind;
    struct stored *stored; /* of FORGET: handed over */
    uint64_t order, gaps;  /* of ROUND_BEGIN; order: of TURN its number */
    uint64_t bytes;        /* of ROUND_BEGIN: given_bytes then */
};

/* Images that are in the database's memory, and are kept here until they are in its files. */
struct wave {
    struct stored **list; /* [WAVE_MOST] in the order in which they were put */
    size_t n, bytes;
};

/* Since the start, as in struct store_status; given: its order. */
struct store_counts {
    atomic_uint_fast64_t given, entries, bytes, blocks, images, image_bytes, rounds, asked, dropped, failures,
        times_long;
    uint64_t cut; /* constant once open */
};

/* A round of images. */
struct round {
    enum { ROUND_NONE, ROUND_OPEN, ROUND_ENDED, ROUND_FLUSHING } phase;
    uint64_t order; /* what its images make superfluous */
    uint64_t gaps;  /* those that it closes */
    uint64_t bytes; /* given_bytes then */
    int64_t began;  /* monotonic, ns */
};

struct store {
    const struct config *config;
    struct doorbell *bus;
    char folder[4096], path[4200]; /* state_dir, and the database in it */
    int lock;                      /* descriptor of the locked file */

    struct ring *ring;     /* bus to thread: entries, as on disk */
    struct ring *requests; /* bus to thread */
    struct ring *asks;     /* bus to the reading thread: struct stored * */
    struct ring *answers;  /* and back */
    struct doorbell asked_bell;
    struct ring **images;   /* [workers] worker to thread: struct stored * */
    struct doorbell bell;   /* rung with each entry */
    struct doorbell urgent; /* rung with all else, and when waiting for sync_every is over */

    /* Of the bus. */
    uint64_t order;       /* the last one given */
    size_t unhurried;     /* bytes since `urgent` was rung */
    int asked;            /* answers that have not come */
    uint64_t turn;        /* the number of the last REQUEST_TURN */
    bool is_long;         /* store_is_long, when it was asked last */
    bool dropping;        /* entries, since there was no room for one while the disk fails */
    uint64_t dropped_now; /* since then */

    pthread_t thread;
    bool started;
    atomic_bool stopping;
    atomic_uint_fast64_t wanted; /* somebody waits for the entries up to here */
    atomic_uint_fast64_t durable, trimmed;
    atomic_uint_fast64_t turned;        /* all that was handed over before this REQUEST_TURN has been put */
    atomic_bool failing;                /* the thread has no database that it can write */
    atomic_bool leaves_large;           /* something of the database cannot be read: db_leave_large, until the end */
    atomic_uint_fast64_t gaps, closed;  /* in the journal: begun by the bus; that a round has made harmless */
    atomic_int_fast64_t working;        /* since when the thread is in one go, monotonic ns; 0: it sleeps */
    atomic_uint_fast64_t given_bytes;   /* of entries: those that a start has read, and all since */
    atomic_uint_fast64_t trimmed_bytes; /* of these: when the last round began that came to its end */
    atomic_int_fast64_t last_round;     /* what that took, ns; 0: there was none */
    struct store_counts counts;         /* as in struct store_status */
    pthread_mutex_t told;               /* guards reason */
    char reason[256];
    struct producers producers; /* has a lock of its own */

    pthread_t reader;
    bool reader_started;
    pthread_mutex_t reading;   /* held while it reads, and while the database is closed or opened */
    atomic_ushort *pending;    /* [PENDING_SLOTS] images and ends that are not in the database, by name */
    struct stored **questions; /* [ASKED_MOST] of the reader */
    size_t n_questions;

    /* Of the thread. */
    struct db db;
    struct db_record record;
    char *block; /* [block_bytes] a head, then entries */
    size_t block_bytes;
    size_t block_n; /* bytes of the entries in it that are to be written; 0: none */
    uint32_t block_entries;
    uint64_t taken; /* the last order that was taken from the ring */
    int64_t due;    /* when what is in the ring is to be written; 0: it is empty */
    struct wave filling, flushing;
    size_t unput; /* the last ones of `filling` that are not in the database */
    struct round round;
    bool list_grown;     /* and it is to be noted how long RocksDB's list is when it does not grow any more */
    bool request_open;   /* the request at hand has been looked at: it comes behind `before` */
    size_t *before;      /* [workers] images that go before it */
    int next_worker;     /* whose image is taken next */
    int64_t retry, wait; /* while failing: when the database is opened anew, and how long it then waits again, ns */
};

/* Of the thread: a round has ended, and is not all on disk. */
static inline bool store_ends_round(const struct store *store) {
    return store->round.phase == ROUND_ENDED || store->round.phase == ROUND_FLUSHING;
}

static inline void store_count(atomic_uint_fast64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* store_thread.c */
void *store_run(void *store);
/* All that waits in the ring as one block, synced. Returns whether there was something, and it is written. */
bool store_commit(struct store *store);
/* Somebody waits, or the store is to end. */
bool store_is_hurried(struct store *store);

/* store_reader.c */
void *store_read(void *store);
atomic_ushort *store_pending(struct store *store, const char *name, size_t n);

/* store_images.c: all of the thread. */
/* Takes some images; true: there may be more to do at once. */
bool store_take_images(struct store *store);
/* Serves some requests of the bus; true: there may be more to do at once. */
bool store_take_requests(struct store *store);
/* Goes on with what is being flushed, and with the round that ends with it. */
void store_poll_flush(struct store *store);
/* Whether there is something for these two. */
bool store_has_work(struct store *store);
/* Has all images in files; of the end. */
int store_flush_all(struct store *store, struct error *err);
/* Puts all images of both waves into a database that was opened anew. */
int store_put_again(struct store *store, struct error *err);
void store_free_images(struct store *store);
int store_new_images(struct store *store);

/* store_trouble.c: of the thread. */
/* The disk has failed: the database is closed, and opened anew later. */
void store_fail(struct store *store, const char *reason);
/* Opens it when it is time to; true: the store goes on. */
bool store_recover(struct store *store);
/* ns until it is time to. */
int64_t store_recover_wait(const struct store *store);

/* store_open.c: finds the last order of the journal. */
int store_find_end(struct store *store, uint64_t *ret_last, struct error *err);

#endif
