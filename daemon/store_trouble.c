/* The disk fails, and comes back. */
#include "daemon/store_internal.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/store_contents.h"

#include <stdio.h>
#include <string.h>

static const int64_t wait_first = 100000000, wait_most = 10000000000; /* ns between two attempts */

static void tell(struct store *store, const char *reason) {
    pthread_mutex_lock(&store->told);
    snprintf(store->reason, sizeof store->reason, "%.*s", (int)sizeof store->reason - 1, reason);
    pthread_mutex_unlock(&store->told);
}

void store_fail(struct store *store, const char *reason) {
    if (atomic_load_explicit(&store->failing, memory_order_relaxed))
        return;
    log_error("state_dir: %s: durability is suspended: %s", store->folder, reason);
    tell(store, reason);
    store_count(&store->counts.failures, 1);
    store->round.phase = ROUND_NONE; /* the bus begins another one */
    store->wait = wait_first;
    store->retry = clock_monotonic() + store->wait;
    atomic_store_explicit(&store->failing, true, memory_order_release);
    pthread_mutex_lock(&store->reading);
    db_close(&store->db);
    pthread_mutex_unlock(&store->reading);
    doorbell_ring(store->bus);
}

/* The database is the one that it was, with all that had been synced. */
static int check_same(struct store *store, struct error *err) {
    struct db_record record;
    uint64_t last;
    if (db_read_record(&store->db, &record, err) != 0)
        return -1;
    if (record.epoch != store->record.epoch)
        return error_set(err, "%s holds another database now", store->path);
    store->record = record;
    if (store_find_end(store, &last, err) != 0)
        return -1;
    if (last < atomic_load_explicit(&store->durable, memory_order_relaxed))
        return error_set(err, "%s has lost entries of the journal that had been synced", store->path);
    return 0;
}

static int reopen(struct store *store, struct error *err) {
    int how = atomic_load_explicit(&store->leaves_large, memory_order_relaxed) ? DB_LEAVE_LARGE : 0;
    if (contents_mend(store->path, err) != 0 || db_open(&store->db, store->path, how, err) != 0)
        return -1;
    if (check_same(store, err) == 0 && store_put_again(store, err) == 0)
        return 0;
    db_close(&store->db);
    return -1;
}

bool store_recover(struct store *store) {
    struct error err;
    if (!atomic_load_explicit(&store->failing, memory_order_relaxed))
        return true;
    if (clock_monotonic() < store->retry && !atomic_load_explicit(&store->stopping, memory_order_acquire))
        return false;
    if (reopen(store, &err) != 0) {
        tell(store, err.text);
        store->wait = store->wait * 2 < wait_most ? store->wait * 2 : wait_most;
        store->retry = clock_monotonic() + store->wait;
        return false;
    }
    log_info("state_dir: %s: the disk takes what comes again", store->folder);
    tell(store, "");
    store->list_grown = true; /* it is another one */
    atomic_store_explicit(&store->failing, false, memory_order_release);
    doorbell_ring(store->bus);
    return true;
}

int64_t store_recover_wait(const struct store *store) {
    int64_t left = store->retry - clock_monotonic();
    return left > 0 ? left : 0;
}
