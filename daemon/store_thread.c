/* The thread of the store: one group of entries after the other into the journal. */
#include "daemon/store_internal.h"

#include "daemon/log.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

static void count(atomic_uint_fast64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void degrade(struct store *store, const char *reason) {
    pthread_mutex_lock(&store->told);
    snprintf(store->reason, sizeof store->reason, "%.*s", (int)sizeof store->reason - 1, reason);
    pthread_mutex_unlock(&store->told);
    atomic_store_explicit(&store->degraded, true, memory_order_release);
    log_error("state_dir: %s: nothing more is kept: %s", store->folder, reason);
    doorbell_ring(store->bus);
}

/* ---- a group -------------------------------------------------------------------------------- */

/* Takes what waits in the ring into the block. Returns the entries; *ret_n their bytes. */
static uint32_t gather(struct store *store, size_t *ret_n) {
    char *to = store->block + sizeof(struct block_head);
    size_t room = store->block_bytes - sizeof(struct block_head), n, used = 0;
    uint32_t entries = 0;
    for (const void *at; (at = ring_peek(store->ring, &n)) != NULL && n <= room - used; ring_consume(store->ring)) {
        memcpy(to + used, at, n);
        used += n;
        entries++;
    }
    *ret_n = used;
    return entries;
}

/* Group commit: all that waits, in one block, synced. Returns whether there was something. */
static bool commit(struct store *store) {
    size_t n;
    uint32_t entries = gather(store, &n);
    if (entries == 0)
        return false;
    struct error err;
    char key[8];
    uint64_t first = store->taken + 1, last = store->taken + entries;
    store->taken = last;
    if (store_degraded(store)) {
        count(&store->dropped, entries);
        return true;
    }
    block_seal((struct block_head *)(void *)store->block, store->record.epoch, first, entries, first - 1, n);
    db_order_key(key, first);
    rocksdb_writebatch_put_cf(store->db.batch, store->db.families[DB_JOURNAL], key, sizeof key, store->block,
                              sizeof(struct block_head) + n);
    if (db_write(&store->db, &err) != 0) {
        count(&store->dropped, entries);
        degrade(store, err.text);
        return true;
    }
    count(&store->entries, entries);
    count(&store->bytes, n);
    count(&store->blocks, 1);
    atomic_store_explicit(&store->durable, last, memory_order_release);
    if (atomic_load_explicit(&store->wanted, memory_order_acquire) >= first)
        doorbell_ring(store->bus);
    return true;
}

/* ---- waiting -------------------------------------------------------------------------------- */

static bool has_entries(struct store *store) {
    size_t n;
    return ring_peek(store->ring, &n) != NULL;
}

static bool is_hurried(struct store *store) {
    return atomic_load_explicit(&store->stopping, memory_order_acquire) ||
           atomic_load_explicit(&store->wanted, memory_order_acquire) > store->taken;
}

/* Until there is an entry. */
static void wait_for_entries(struct store *store) {
    doorbell_arm(&store->bell);
    if (!has_entries(store) && !is_hurried(store))
        doorbell_wait(&store->bell, -1);
    doorbell_disarm(&store->bell);
}

/* Lets entries gather for sync_every, or until somebody waits for them, or the ring fills. */
static void wait_for_more(struct store *store) {
    struct pollfd item = {.fd = doorbell_fd(&store->urgent), .events = POLLIN};
    const struct timespec time = {.tv_sec = store->config->sync_every / 1000000000,
                                  .tv_nsec = store->config->sync_every % 1000000000};
    doorbell_arm(&store->urgent);
    if (!is_hurried(store))
        ppoll(&item, 1, &time, NULL);
    doorbell_disarm(&store->urgent);
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* Closes in order: the next start need not look for what is missing. */
static void end(struct store *store) {
    struct error err;
    if (store_degraded(store))
        return;
    store->record.clean = 1;
    db_put_record(&store->db, &store->record);
    if (db_write(&store->db, &err) != 0)
        log_error("state_dir: %s: %s", store->folder, err.text);
}

void *store_run(void *context) {
    struct store *store = context;
    for (;;) {
        /* Read first: what was appended before the stop is written. */
        bool stopping = atomic_load_explicit(&store->stopping, memory_order_acquire);
        while (commit(store) && (stopping || is_hurried(store)))
            ;
        if (stopping)
            break;
        wait_for_entries(store);
        wait_for_more(store);
    }
    end(store);
    return NULL;
}
