/* The thread of the store: one group of entries after the other into the journal, images and requests between them. */
#include "daemon/store_internal.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/store_contents.h"

#include <poll.h>
#include <string.h>

/* While the database flushes, it is looked at so often, ns. */
static const int64_t flush_look = 2000000;

/* ---- a group -------------------------------------------------------------------------------- */

/* Takes what waits in the ring into the block. */
static void gather(struct store *store) {
    char *to = store->block + sizeof(struct block_head);
    size_t room = store->block_bytes - sizeof(struct block_head), n;
    store->block_n = store->block_entries = 0;
    for (const void *at; (at = ring_peek(store->ring, &n)) != NULL && n <= room - store->block_n;
         ring_consume(store->ring)) {
        memcpy(to + store->block_n, at, n);
        store->block_n += n;
        store->block_entries++;
    }
    store->taken += store->block_entries;
}

/* Notes the producers of the block's entries, and a gap. -1 when memory is short. */
static int note(struct store *store, struct db_record *record) {
    struct journal_entry entry;
    size_t at = 0;
    int failed = 0;
    for (uint64_t order = store->taken - store->block_entries + 1; block_next(store->block, &at, &entry); order++) {
        if (entry.producer != 0)
            failed |= producers_note(&store->producers, entry.producer, entry.sequence, entry.received);
        if (entry.kind == JOURNAL_GAP)
            record->gap = order;
    }
    return failed;
}

static int write_block(struct store *store, struct error *err) {
    char key[8];
    struct db_record record = store->record;
    uint64_t first = store->taken - store->block_entries + 1;
    block_seal((struct block_head *)(void *)store->block, record.epoch, first, store->block_entries, first - 1,
               store->block_n);
    /* Entries without their producers' numbers would be taken twice. */
    if (note(store, &record) != 0)
        return error_set(err, "out of memory");
    db_order_key(key, first);
    rocksdb_writebatch_put_cf(store->db.batch, store->db.families[DB_JOURNAL], key, sizeof key, store->block,
                              sizeof(struct block_head) + store->block_n);
    if (record.gap != store->record.gap)
        db_put_record(&store->db, &record);
    producers_put(&store->producers, &store->db);
    store->list_grown = store->list_grown && !contents_put(&store->db, store->path);
    if (db_write(&store->db, err) != 0)
        return -1;
    producers_written(&store->producers);
    store->record = record;
    return 0;
}

bool store_commit(struct store *store) {
    struct error err;
    if (atomic_load_explicit(&store->failing, memory_order_relaxed))
        return false;
    if (store->block_n == 0)
        gather(store);
    if (store->block_n == 0)
        return false;
    if (write_block(store, &err) != 0) {
        store_fail(store, err.text); /* the block is kept, and written again */
        return false;
    }
    uint64_t before = store->taken - store->block_entries;
    store_count(&store->counts.entries, store->block_entries);
    store_count(&store->counts.bytes, store->block_n);
    store_count(&store->counts.blocks, 1);
    store->block_n = 0;
    atomic_store_explicit(&store->durable, store->taken, memory_order_release);
    if (atomic_load_explicit(&store->wanted, memory_order_acquire) > before)
        doorbell_ring(store->bus);
    return true;
}

/* ---- waiting -------------------------------------------------------------------------------- */

static bool is_stopping(struct store *store) {
    return atomic_load_explicit(&store->stopping, memory_order_acquire);
}

bool store_is_hurried(struct store *store) {
    return is_stopping(store) || atomic_load_explicit(&store->wanted, memory_order_acquire) > store->taken;
}

static bool has_entries(struct store *store) {
    size_t n;
    return store->block_n > 0 || ring_peek(store->ring, &n) != NULL;
}

/* ns until there is something to do without anybody ringing; -1: there is not. */
static int64_t time_left(struct store *store, int64_t now) {
    int64_t left = -1;
    if (atomic_load_explicit(&store->failing, memory_order_relaxed))
        return store_recover_wait(store);
    if (store->due > 0)
        left = store->due > now ? store->due - now : 0;
    if (store->flushing.n > 0 && (left < 0 || left > flush_look))
        left = flush_look;
    return left;
}

/* Sleeps until the time is up or somebody rings; entries alone do so only where none waits yet. */
static void sleep_on(struct store *store) {
    bool failing = atomic_load_explicit(&store->failing, memory_order_relaxed), idle = store->due == 0 && !failing;
    int64_t left = time_left(store, clock_monotonic());
    struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    struct pollfd items[] = {{.fd = doorbell_fd(&store->urgent), .events = POLLIN},
                             {.fd = doorbell_fd(&store->bell), .events = POLLIN}};
    doorbell_arm(&store->urgent);
    if (idle)
        doorbell_arm(&store->bell);
    bool more = failing ? is_stopping(store)
                        : store_is_hurried(store) || (idle && has_entries(store)) || store_has_work(store);
    if (!more)
        ppoll(items, idle ? 2 : 1, left >= 0 ? &time : NULL, NULL);
    if (idle)
        doorbell_disarm(&store->bell);
    doorbell_disarm(&store->urgent);
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* Writes the entries that it is time for. */
static void commit_due(struct store *store) {
    int64_t now = clock_monotonic();
    if (store->due == 0 && has_entries(store))
        store->due = now + store->config->sync_every;
    bool bulky = ring_used(store->ring) > (size_t)store->config->journal_ring / 4;
    if (store->due == 0 || !(store->due <= now || bulky || store_is_hurried(store)))
        return;
    store_commit(store);
    store->due = 0;
}

/* Closes in order: the next start need not look for what is missing. */
static void end(struct store *store) {
    const struct timespec moment = {.tv_nsec = flush_look / 4};
    struct error err;
    while (store_commit(store))
        ;
    while (store_take_requests(store) || store_take_images(store) ||
           ((store_ends_round(store) || store->flushing.n > 0) &&
            !atomic_load_explicit(&store->failing, memory_order_relaxed))) {
        store_poll_flush(store);
        if (store->flushing.n > 0)
            nanosleep(&moment, NULL);
    }
    if (atomic_load_explicit(&store->failing, memory_order_relaxed)) {
        log_error("state_dir: %s: what came last is not kept: %s", store->folder, store->reason);
        return;
    }
    store->record.clean = 1;
    db_put_record(&store->db, &store->record);
    if (store_flush_all(store, &err) != 0 || db_write(&store->db, &err) != 0)
        log_error("state_dir: %s: %s", store->folder, err.text);
}

void *store_run(void *context) {
    struct store *store = context;
    while (!is_stopping(store)) {
        atomic_store_explicit(&store->working, clock_monotonic(), memory_order_relaxed);
        store_recover(store);
        commit_due(store);
        bool more = store_take_requests(store);
        more |= store_take_images(store);
        store_poll_flush(store);
        atomic_store_explicit(&store->working, 0, memory_order_relaxed);
        if (!more)
            sleep_on(store);
    }
    /* Read after the stop: all that was appended before it. */
    store_recover(store);
    end(store);
    return NULL;
}
