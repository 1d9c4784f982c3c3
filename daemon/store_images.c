/* Images of streams into the database, what the bus asks for, and rounds. All of the store's thread. */
#include "daemon/clock.h"
#include "daemon/store_internal.h"

#include "daemon/store_contents.h"

#include <stdlib.h>
#include <string.h>

/* Images that are in memory only, twice: while one wave goes to disk the next one gathers. */
enum { WAVE_MOST = 32768 };
static const size_t wave_bytes = (size_t)32 << 20;

/* Taken in one go, so that entries wait for no more. */
enum { GO_IMAGES = 64, GO_REQUESTS = 32 };
static const size_t go_bytes = (size_t)1 << 20;

/* ---- memory --------------------------------------------------------------------------------- */

static int new_wave(struct wave *wave) {
    wave->list = malloc(WAVE_MOST * sizeof(struct stored *));
    return wave->list != NULL ? 0 : -1;
}

static void empty_wave(struct wave *wave) {
    for (size_t i = 0; i < wave->n; i++)
        stored_free(wave->list[i]);
    wave->n = wave->bytes = 0;
}

int store_new_images(struct store *store) {
    size_t workers = (size_t)store->config->workers;
    store->images = calloc(workers, sizeof(struct ring *));
    store->before = calloc(workers, sizeof *store->before);
    if (store->images == NULL || store->before == NULL || new_wave(&store->filling) != 0 ||
        new_wave(&store->flushing) != 0)
        return -1;
    for (size_t w = 0; w < workers; w++)
        if ((store->images[w] = ring_new(IMAGE_RING)) == NULL)
            return -1;
    return 0;
}

static void free_ring_of_pointers(struct ring *ring) {
    size_t n;
    for (void *at; ring != NULL && (at = ring_peek(ring, &n)) != NULL; ring_consume(ring))
        stored_free(*(struct stored **)at);
    ring_free(ring);
}

void store_free_images(struct store *store) {
    size_t n;
    for (int w = 0; store->images != NULL && w < store->config->workers; w++)
        free_ring_of_pointers(store->images[w]);
    free_ring_of_pointers(store->answers);
    free_ring_of_pointers(store->asks);
    for (size_t q = 0; q < store->n_questions; q++)
        stored_free(store->questions[q]);
    free(store->questions);
    free(store->pending);
    for (const struct request *at; store->requests != NULL && (at = ring_peek(store->requests, &n)) != NULL;
         ring_consume(store->requests))
        stored_free(at->stored);
    ring_free(store->requests);
    empty_wave(&store->filling);
    empty_wave(&store->flushing);
    free(store->filling.list);
    free(store->flushing.list);
    free(store->images);
    free(store->before);
}

/* ---- images --------------------------------------------------------------------------------- */

static bool is_failing(const struct store *store) {
    return atomic_load_explicit(&store->failing, memory_order_relaxed);
}

static bool is_full(const struct wave *wave) {
    return wave->n == WAVE_MOST || wave->bytes >= wave_bytes;
}

/* Has the database write what it has in memory to files. */
static void start_flush(struct store *store) {
    struct error err;
    const struct wave empty = store->flushing;
    if (store->flushing.n > 0 || store->filling.n == 0)
        return;
    store->flushing = store->filling;
    store->filling = empty;
    if (db_flush(&store->db, DB_STREAMS, &err) != 0)
        store_fail(store, err.text);
}

static void keep_in_wave(struct store *store, struct stored *stored) {
    store->filling.list[store->filling.n++] = stored;
    store->filling.bytes += streams_size(stored);
}

/* An image says "up to order": these entries must be on disk before it is, lest their orders be given again; and before an end,
 * lest the stream begin with what the journal has of it. */
static bool has_its_entries(struct store *store, const struct stored *stored) {
    while (atomic_load_explicit(&store->durable, memory_order_relaxed) < stored->order)
        if (!store_commit(store))
            return is_failing(store) ? false
                                     : atomic_load_explicit(&store->durable, memory_order_relaxed) >= stored->order;
    return true;
}

/* The last ones of the wave are in the database: questions need not wait for them. */
static void is_put(struct store *store) {
    for (; store->unput > 0; store->unput--) {
        const struct stored *stored = store->filling.list[store->filling.n - store->unput];
        atomic_fetch_sub_explicit(store_pending(store, stored->name, stored->name_length), 1, memory_order_release);
    }
}

/* While it fails it is kept in the wave, and put when the database is there again. */
static bool put(struct store *store, struct stored *stored) {
    struct error err;
    keep_in_wave(store, stored);
    store->unput++;
    if (is_failing(store))
        return false;
    streams_put(&store->db, stored);
    if (db_write_unlogged(&store->db, &err) != 0) {
        store_fail(store, err.text);
        return false;
    }
    is_put(store);
    return true;
}

static bool take_image(struct store *store, int worker) {
    size_t n;
    void *at = ring_peek(store->images[worker], &n);
    if (at == NULL)
        return false;
    struct stored *stored = *(struct stored **)at;
    if (!has_its_entries(store, stored))
        return false;
    ring_consume(store->images[worker]);
    if (store->before[worker] > 0)
        store->before[worker]--;
    store_count(&store->counts.images, 1);
    store_count(&store->counts.image_bytes, streams_size(stored));
    return put(store, stored);
}

bool store_take_images(struct store *store) {
    int workers = store->config->workers, idle = 0;
    size_t began = store->filling.bytes;
    for (int i = 0; i < GO_IMAGES && idle < workers && !is_failing(store); i++) {
        if (is_full(&store->filling))
            start_flush(store);
        if (is_full(&store->filling))
            return false; /* the disk is behind */
        if (store->filling.bytes - began > go_bytes && store->filling.bytes > began)
            return true;
        idle = take_image(store, store->next_worker) ? 0 : idle + 1;
        store->next_worker = (store->next_worker + 1) % workers;
    }
    return idle < workers && !is_failing(store);
}

int store_put_again(struct store *store, struct error *err) {
    const struct wave *const waves[] = {&store->flushing, &store->filling};
    for (int w = 0; w < 2; w++)
        for (size_t i = 0; i < waves[w]->n; i++) {
            streams_put(&store->db, waves[w]->list[i]);
            if (db_write_unlogged(&store->db, err) != 0)
                return -1;
        }
    is_put(store);
    return store->flushing.n > 0 ? db_flush(&store->db, DB_STREAMS, err) : 0;
}

/* ---- rounds --------------------------------------------------------------------------------- */

/* The first order of the last block that begins at an order or before it. */
static uint64_t block_before(struct store *store, uint64_t order) {
    char key[8];
    struct block_head head = {0};
    rocksdb_iterator_t *at = rocksdb_create_iterator_cf(store->db.db, store->db.read, store->db.families[DB_JOURNAL]);
    db_order_key(key, order);
    rocksdb_iter_seek_for_prev(at, key, sizeof key);
    size_t n;
    const char *block = rocksdb_iter_valid(at) ? rocksdb_iter_value(at, &n) : NULL;
    if (block != NULL && n >= sizeof head)
        block_head_at(block, &head);
    rocksdb_iter_destroy(at);
    return head.first;
}

/* All images of the round are on disk: what came before it is no longer needed. */
static void finish_round(struct store *store) {
    struct error err;
    struct db_record record = store->record;
    bool closes = store->round.gaps == atomic_load_explicit(&store->gaps, memory_order_relaxed);
    record.trimmed = store->round.order;
    record.gap = closes ? 0 : record.gap;
    store->round.phase = ROUND_NONE;
    db_put_record(&store->db, &record);
    producers_put(&store->producers, &store->db);
    contents_put(&store->db, store->path);
    if (db_write(&store->db, &err) != 0) {
        store_fail(store, err.text);
        return;
    }
    producers_written(&store->producers);
    store->record = record;
    atomic_store_explicit(&store->closed, store->round.gaps, memory_order_release);
    atomic_store_explicit(&store->trimmed, record.trimmed, memory_order_release);
    atomic_store_explicit(&store->trimmed_bytes, store->round.bytes, memory_order_relaxed);
    store_count(&store->counts.rounds, 1);
    atomic_store_explicit(&store->last_round, clock_monotonic() - store->round.began, memory_order_relaxed);
    uint64_t first = block_before(store, record.trimmed + 1);
    /* All other memory goes to files too, so that the log behind it goes, and a start has little to read. */
    if ((first > 1 && db_drop_journal(&store->db, first, &err) != 0) || db_flush(&store->db, DB_JOURNAL, &err) != 0 ||
        db_flush(&store->db, DB_DEFAULT, &err) != 0)
        store_fail(store, err.text);
    store->list_grown = true;
    doorbell_ring(store->bus);
}

void store_poll_flush(struct store *store) {
    if (is_failing(store))
        return;
    if (db_has_failed(&store->db)) {
        atomic_store_explicit(&store->leaves_large, true, memory_order_relaxed); /* may be one that cannot be read */
        store_fail(store, "the database could not write its files");
        return;
    }
    if (store->flushing.n > 0 && !db_is_flushing(&store->db, DB_STREAMS)) {
        empty_wave(&store->flushing);
        if (store->round.phase == ROUND_FLUSHING)
            finish_round(store);
    }
    if (store->round.phase != ROUND_ENDED || store->flushing.n > 0)
        return;
    store->round.phase = ROUND_FLUSHING;
    if (store->filling.n == 0)
        finish_round(store);
    else
        start_flush(store);
}

int store_flush_all(struct store *store, struct error *err) {
    struct timespec moment = {.tv_nsec = 1000000};
    empty_wave(&store->flushing);
    if (db_flush(&store->db, DB_STREAMS, err) != 0)
        return -1;
    while (db_is_flushing(&store->db, DB_STREAMS)) {
        if (db_has_failed(&store->db))
            return error_set(err, "the database could not write its files");
        nanosleep(&moment, NULL);
    }
    empty_wave(&store->filling);
    return 0;
}

/* ---- what the bus asks for ------------------------------------------------------------------ */

/* Images that were handed over before the request go before it. */
static bool is_its_turn(struct store *store) {
    size_t left = 0;
    for (int w = 0; w < store->config->workers; w++) {
        if (!store->request_open)
            store->before[w] = ring_used(store->images[w]) / IMAGE_RECORD;
        left += store->before[w];
    }
    store->request_open = true;
    return left == 0;
}

/* A round begins when the one before is on disk; what is to be forgotten goes where images go. */
static bool has_room_for(const struct store *store, const struct request *request) {
    if (request->kind == REQUEST_ROUND_BEGIN)
        return !store_ends_round(store);
    return request->kind != REQUEST_FORGET || store->filling.n < WAVE_MOST;
}

static bool serve_request(struct store *store) {
    size_t n;
    struct request *request = ring_peek(store->requests, &n);
    if (request == NULL || !is_its_turn(store) || !has_room_for(store, request) ||
        (request->kind == REQUEST_FORGET && !has_its_entries(store, request->stored)))
        return false;
    switch (request->kind) {
    case REQUEST_FORGET: put(store, request->stored); break;
    case REQUEST_ROUND_BEGIN:
        store->round = (struct round){ROUND_OPEN, request->order, request->gaps, request->bytes, clock_monotonic()};
        break;
    case REQUEST_ROUND_END:
        if (store->round.phase == ROUND_OPEN)
            store->round.phase = ROUND_ENDED;
        break;
    case REQUEST_TURN: atomic_store_explicit(&store->turned, request->order, memory_order_release); break;
    }
    ring_consume(store->requests);
    store->request_open = false;
    return true;
}

bool store_has_work(struct store *store) {
    size_t n;
    const struct request *request = ring_peek(store->requests, &n);
    bool has = request != NULL && has_room_for(store, request);
    for (int w = 0; w < store->config->workers; w++)
        has |= ring_peek(store->images[w], &n) != NULL;
    return has && (!is_full(&store->filling) || store->flushing.n == 0);
}

bool store_take_requests(struct store *store) {
    int taken = 0;
    while (taken < GO_REQUESTS && serve_request(store))
        taken++;
    return taken > 0;
}
