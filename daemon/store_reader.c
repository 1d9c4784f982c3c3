/*
 * The thread that answers the bus' questions. It reads while the store's thread writes and syncs; all that it must not
 * miss is what has been handed over before the question: images, or ends, of that name which are not in the database
 * yet. `pending` counts these by a hash of the name.
 */
#include "daemon/store_internal.h"

#include "daemon/clock.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* Read by one iterator, which sees the database as it stood when that was made. */
enum { GO = 256 };

/* Answers with which the bus is woken, beside the first. */
enum { RING_EVERY = 64 };

/* RocksDB takes the processor, the disk and the machine's memory to merge what the last run has left, from streams that
 * come back all at once to a start. It is let do that when nobody has been asked for so long, */
static const int64_t hold_quiet = 5000000000;
/* or so long behind the start. */
static const int64_t hold_most = 60000000000;

/* While all questions wait for what is handed over they are looked at again so often. */
enum { LOOK_MS = 1 };
/* And while merging is held. */
enum { HOLD_LOOK_MS = 250 };

atomic_ushort *store_pending(struct store *store, const char *name, size_t n) {
    return &store->pending[XXH3_64bits(name, n) % PENDING_SLOTS];
}

/* Whether something that it must not miss is on its way to the database. */
static bool is_pending(struct store *store, const struct stored *stored) {
    if (stored->found == STORED_NAMES)
        return atomic_load_explicit(&store->turned, memory_order_acquire) < stored->page.turn;
    return atomic_load_explicit(store_pending(store, stored->name, stored->name_length), memory_order_acquire) != 0;
}

static void answer(struct store *store, struct stored *stored) {
    void *place = ring_reserve(store->answers, sizeof(struct stored *), 0);
    *(struct stored **)place = stored; /* has room: the bus asks no more than that */
    ring_commit(store->answers, sizeof(struct stored *));
    store_count(&store->counts.asked, 1);
}

static void answer_failed(struct store *store, struct stored *stored) {
    bool names = stored->found == STORED_NAMES;
    stored->found = STORED_FAILED;
    pthread_mutex_lock(&store->told);
    error_set(&stored->err, "%s%s: the disk has failed: %s", names ? "the names of streams" : "stream ",
              names ? "" : stored->name, store->reason);
    pthread_mutex_unlock(&store->told);
    answer(store, stored);
}

/* Answers some of the questions; the others stay in their order. Returns how many. */
static size_t answer_some(struct store *store) {
    struct stored *ready[GO];
    size_t n_ready = 0, left = 0;
    bool failing = atomic_load_explicit(&store->failing, memory_order_acquire);
    for (size_t q = 0; q < store->n_questions; q++) {
        struct stored *stored = store->questions[q];
        if (n_ready < GO && (failing || !is_pending(store, stored)))
            ready[n_ready++] = stored;
        else
            store->questions[left++] = stored;
    }
    store->n_questions = left;
    pthread_mutex_lock(&store->reading);
    failing = atomic_load_explicit(&store->failing, memory_order_acquire);
    struct streams_reader reader;
    if (!failing && n_ready > 0)
        streams_reader_init(&reader, &store->db);
    for (size_t r = 0; r < n_ready; r++) {
        if (failing) {
            answer_failed(store, ready[r]);
            continue;
        }
        if (ready[r]->found == STORED_NAMES)
            streams_list(&store->db, ready[r]);
        else
            streams_get(&reader, ready[r]);
        if (ready[r]->found == STORED_UNREADABLE &&
            !atomic_exchange_explicit(&store->leaves_large, true, memory_order_relaxed))
            db_leave_large(&store->db);
        answer(store, ready[r]);
        if (r % RING_EVERY == 0)
            doorbell_ring(store->bus);
    }
    if (!failing && n_ready > 0)
        streams_reader_fini(&reader);
    doorbell_ring(store->bus);
    pthread_mutex_unlock(&store->reading);
    return n_ready;
}

static void take_questions(struct store *store) {
    size_t n;
    for (void *at; store->n_questions < ASKED_MOST && (at = ring_peek(store->asks, &n)) != NULL;
         ring_consume(store->asks))
        store->questions[store->n_questions++] = *(struct stored **)at;
}

/* Whether merging is to be held on; answered: just now, at `latest`. */
static bool hold_merges(struct store *store, bool answered, int64_t began, int64_t *latest) {
    int64_t now = clock_monotonic();
    if (answered)
        *latest = now;
    if (now - began < hold_most && now - *latest < hold_quiet)
        return true;
    pthread_mutex_lock(&store->reading);
    /* What is opened anew behind a failure merges from its begin. */
    if (!atomic_load_explicit(&store->failing, memory_order_acquire))
        db_merge(&store->db);
    pthread_mutex_unlock(&store->reading);
    return false;
}

void *store_read(void *context) {
    struct store *store = context;
    size_t n;
    int64_t began = clock_monotonic(), latest = began;
    bool holds = true;
    while (!atomic_load_explicit(&store->stopping, memory_order_acquire)) {
        take_questions(store);
        bool answered = answer_some(store) > 0;
        holds = holds && hold_merges(store, answered, began, &latest);
        if (answered)
            continue;
        doorbell_arm(&store->asked_bell);
        if (ring_peek(store->asks, &n) == NULL && !atomic_load_explicit(&store->stopping, memory_order_acquire))
            doorbell_wait(&store->asked_bell, store->n_questions > 0 ? LOOK_MS : holds ? HOLD_LOOK_MS : -1);
        doorbell_disarm(&store->asked_bell);
    }
    return NULL;
}
