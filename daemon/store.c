#include "daemon/store.h"

#include "daemon/clock.h"
#include "daemon/store_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bus rings `urgent` when it has appended so much of the ring since. */
enum { HURRY_SHARE = 4 };

/* A go of the thread that takes longer is a disk that fails, ns. */
static const int64_t slow = 5000000000;

/* ---- entries -------------------------------------------------------------------------------- */

static uint64_t load(const atomic_uint_fast64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The thread has no database, or waits for the disk and does not come back. */
static bool is_stuck(const struct store *store) {
    int64_t since = atomic_load_explicit(&store->working, memory_order_relaxed);
    return atomic_load_explicit(&store->failing, memory_order_acquire) ||
           (since != 0 && clock_monotonic() - since > slow);
}

static bool put(struct store *store, const struct journal_entry *entry) {
    size_t n = block_entry_size(entry);
    void *place = ring_reserve(store->ring, n, 0);
    if (place == NULL)
        return false;
    block_entry_put(place, entry);
    ring_commit(store->ring, n);
    doorbell_ring(&store->bell);
    store->unhurried += n;
    if (store->unhurried > (size_t)store->config->journal_ring / HURRY_SHARE) {
        store->unhurried = 0;
        doorbell_ring(&store->urgent);
    }
    atomic_store_explicit(&store->counts.given, ++store->order, memory_order_relaxed);
    store_count(&store->given_bytes, n);
    return true;
}

/* The disk is back, and the ring not full any more: from here on entries are kept. */
static void end_gap(struct store *store) {
    const struct journal_entry gap = {.kind = JOURNAL_GAP,
                                      .received = clock_realtime(),
                                      .bytes = &store->dropped_now,
                                      .n = sizeof store->dropped_now};
    if (!is_stuck(store) && ring_used(store->ring) <= (size_t)store->config->journal_ring / 2 && put(store, &gap))
        store->dropping = false;
}

bool store_append(struct store *store, const struct journal_entry *entry, uint64_t *ret_order) {
    if (store->dropping)
        end_gap(store);
    if (!store->dropping && put(store, entry)) {
        *ret_order = store->order;
        return true;
    }
    if (!store->dropping && !is_stuck(store)) {
        store_hurry(store);
        return false;
    }
    if (entry->producer != 0)
        return false;
    if (!store->dropping) {
        store->dropping = true;
        store->dropped_now = 0;
        store_count(&store->gaps, 1);
    }
    store->dropped_now++;
    store_count(&store->counts.dropped, 1);
    *ret_order = store->order; /* of the entry before: it has none of its own */
    return true;
}

uint64_t store_order(const struct store *store) {
    return store->order;
}

void store_hurry(struct store *store) {
    atomic_store_explicit(&store->wanted, store->order, memory_order_release);
    doorbell_ring(&store->bell);
    doorbell_ring(&store->urgent);
}

uint64_t store_durable(const struct store *store) {
    return atomic_load_explicit(&store->durable, memory_order_acquire);
}

bool store_degraded(const struct store *store) {
    return is_stuck(store) || atomic_load_explicit(&store->gaps, memory_order_acquire) !=
                                  atomic_load_explicit(&store->closed, memory_order_acquire);
}

void store_producers(struct store *store,
                     void (*each)(void *context, uint64_t producer, uint64_t sequence, int64_t received),
                     void *context) {
    producers_each(&store->producers, each, context);
}

void store_forget_producer(struct store *store, uint64_t producer) {
    producers_forget(&store->producers, producer);
}

/* ---- streams -------------------------------------------------------------------------------- */

static bool put_pointer(struct ring *ring, struct stored *stored, size_t spare, struct doorbell *bell) {
    void *place = ring_reserve(ring, sizeof(struct stored *), spare);
    if (place == NULL)
        return false;
    *(struct stored **)place = stored;
    ring_commit(ring, sizeof(struct stored *));
    doorbell_ring(bell);
    return true;
}

static bool request(struct store *store, const struct request *request) {
    void *place = ring_reserve(store->requests, sizeof *request, 0);
    if (place == NULL)
        return false;
    memcpy(place, request, sizeof *request);
    ring_commit(store->requests, sizeof *request);
    doorbell_ring(&store->urgent);
    return true;
}

bool store_put(struct store *store, int worker, struct stored *stored, bool leaves) {
    atomic_ushort *pending = store_pending(store, stored->name, stored->name_length);
    atomic_fetch_add_explicit(pending, 1, memory_order_relaxed);
    if (put_pointer(store->images[worker], stored, leaves ? 0 : IMAGE_RING / 2, &store->urgent))
        return true;
    atomic_fetch_sub_explicit(pending, 1, memory_order_relaxed);
    return false;
}

bool store_takes_images(const struct store *store) {
    for (int w = 0; w < store->config->workers; w++)
        if (ring_used(store->images[w]) >= IMAGE_RING / 2)
            return false;
    return true;
}

bool store_ask(struct store *store, const char *name, size_t n, void *context) {
    struct stored *stored = store->asked < ASKED_MOST ? stored_new(name, n) : NULL;
    if (stored == NULL)
        return false;
    stored->context = context;
    if (!put_pointer(store->asks, stored, 0, &store->asked_bell)) {
        stored_free(stored);
        return false;
    }
    store->asked++;
    return true;
}

static bool ask_page(struct store *store, const char *prefix, const char *after, struct stored_page page,
                     void *context) {
    struct stored *stored = store->asked < ASKED_MOST ? stored_new(after, strlen(after)) : NULL;
    char *copy = strdup(prefix);
    if (stored == NULL || copy == NULL || !ring_has_room(store->asks, sizeof(struct stored *), 0)) {
        stored_free(stored);
        free(copy);
        return false;
    }
    stored->found = STORED_NAMES;
    stored->context = context;
    stored->bytes = copy;
    stored->n = strlen(prefix);
    stored->page = page;
    stored->page.turn = store->turn + 1;
    if (!request(store, &(struct request){.kind = REQUEST_TURN, .order = stored->page.turn})) {
        stored_free(stored);
        return false;
    }
    store->turn++;
    store->asked++;
    bool put = put_pointer(store->asks, stored, 0, &store->asked_bell);
    assert(put);
    (void)put;
    return true;
}

bool store_ask_names(struct store *store, const char *prefix, const char *after, int most, void *context) {
    return ask_page(store, prefix, after, (struct stored_page){.most = most}, context);
}

bool store_ask_open(struct store *store, const char *after, int most, void *context) {
    return ask_page(store, "", after, (struct stored_page){.most = most, .open = true}, context);
}

bool store_has_answer(const struct store *store) {
    size_t n;
    return ring_peek(store->answers, &n) != NULL;
}

struct stored *store_answer(struct store *store) {
    size_t n;
    void *at = ring_peek(store->answers, &n);
    if (at == NULL)
        return NULL;
    struct stored *stored = *(struct stored **)at;
    ring_consume(store->answers);
    store->asked--;
    return stored;
}

bool store_forget(struct store *store, const char *name, size_t n, uint32_t generation) {
    struct stored *stored = stored_new(name, n);
    if (stored == NULL)
        return false;
    stored->found = STORED_ENDED;
    stored->generation = generation;
    stored->order = store->order;
    atomic_ushort *pending = store_pending(store, name, n);
    atomic_fetch_add_explicit(pending, 1, memory_order_relaxed);
    if (request(store, &(struct request){.kind = REQUEST_FORGET, .stored = stored}))
        return true;
    atomic_fetch_sub_explicit(pending, 1, memory_order_relaxed);
    stored_free(stored);
    return false;
}

bool store_round_begin(struct store *store, uint64_t order) {
    /* A gap that has not ended yet is not closed by it. */
    return request(store, &(struct request){.kind = REQUEST_ROUND_BEGIN,
                                            .order = order,
                                            .gaps = load(&store->gaps) - store->dropping,
                                            .bytes = load(&store->given_bytes)});
}

bool store_round_end(struct store *store) {
    return request(store, &(struct request){.kind = REQUEST_ROUND_END});
}

uint64_t store_trimmed(const struct store *store) {
    return atomic_load_explicit(&store->trimmed, memory_order_acquire);
}

/* Bytes that have come since the last round that is on disk began; any thread, and so what only grows is looked at last. */
static uint64_t untrimmed(const struct store *store) {
    uint64_t trimmed = load(&store->trimmed_bytes);
    return load(&store->given_bytes) - trimmed;
}

bool store_round_wanted(const struct store *store) {
    return !is_stuck(store) &&
           (untrimmed(store) > (uint64_t)store->config->journal_size / 2 ||
            load(&store->gaps) - store->dropping != atomic_load_explicit(&store->closed, memory_order_acquire));
}

bool store_is_long(struct store *store) {
    bool is_long = untrimmed(store) > (uint64_t)store->config->journal_size && !is_stuck(store);
    if (is_long && !store->is_long)
        store_count(&store->counts.times_long, 1);
    store->is_long = is_long;
    return is_long;
}

void store_status(struct store *store, struct store_status *ret_status) {
    const struct store_counts *counts = &store->counts;
    uint64_t images_full = 0;
    for (int w = 0; w < store->config->workers; w++)
        images_full += ring_times_full(store->images[w]);
    *ret_status = (struct store_status){.order = load(&counts->given),
                                        .durable = store_durable(store),
                                        .trimmed = store_trimmed(store),
                                        .untrimmed = untrimmed(store),
                                        .times_long = load(&counts->times_long),
                                        .entries = load(&counts->entries),
                                        .bytes = load(&counts->bytes),
                                        .blocks = load(&counts->blocks),
                                        .images = load(&counts->images),
                                        .image_bytes = load(&counts->image_bytes),
                                        .rounds = load(&counts->rounds),
                                        .asked = load(&counts->asked),
                                        .dropped = load(&counts->dropped),
                                        .failures = load(&counts->failures),
                                        .cut = counts->cut,
                                        .full = ring_times_full(store->ring),
                                        .images_full = images_full,
                                        .last_round = atomic_load_explicit(&store->last_round, memory_order_relaxed),
                                        .degraded = store_degraded(store)};
    pthread_mutex_lock(&store->told);
    memcpy(ret_status->reason, store->reason, sizeof ret_status->reason);
    pthread_mutex_unlock(&store->told);
    if (ret_status->degraded && ret_status->reason[0] == '\0')
        snprintf(ret_status->reason, sizeof ret_status->reason, "%s",
                 is_stuck(store) ? "the disk does not answer" : "all streams are to be written first");
}
