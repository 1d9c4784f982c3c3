#include "daemon/store.h"

#include "daemon/store_internal.h"
#include "engine/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Entries of one block, at least; a longer one has a block to itself. */
enum { BLOCK_BYTES = 2 << 20 };

/* The bus rings `urgent` when it has appended so much of the ring since. */
enum { HURRY_SHARE = 4 };

/* ---- opening -------------------------------------------------------------------------------- */

static int lock_folder(struct store *store, struct error *err) {
    char path[4200];
    if (whole_file_folder(store->folder, err) != 0)
        return error_prefix(err, "state_dir");
    if (chmod(store->folder, 0700) != 0)
        return error_set(err, "state_dir: cannot make %s private: %s", store->folder, strerror(errno));
    snprintf(path, sizeof path, "%s/lock", store->folder);
    store->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock < 0)
        return error_set(err, "state_dir: cannot open %s: %s", path, strerror(errno));
    if (flock(store->lock, LOCK_EX | LOCK_NB) != 0)
        return error_set(err,
                         "state_dir: another forecastd is using %s: end it, or give this one a folder of its own",
                         store->folder);
    return 0;
}

/* Finds the last order of the journal. */
static int find_end(struct store *store, uint64_t *ret_last, struct error *err) {
    uint64_t last = store->record.trimmed;
    rocksdb_iterator_t *at = rocksdb_create_iterator_cf(store->db.db, store->db.read, store->db.families[DB_JOURNAL]);
    int rc = 0;
    rocksdb_iter_seek_to_last(at);
    if (rocksdb_iter_valid(at)) {
        size_t n;
        const char *block = rocksdb_iter_value(at, &n);
        rc = block_check(block, n, err);
        struct block_head head;
        if (rc == 0 && block_head_at(block, &head) && head.first + head.n_entries - 1 > last)
            last = head.first + head.n_entries - 1;
    }
    rocksdb_iter_destroy(at);
    if (rc == 0)
        *ret_last = last;
    return rc;
}

/* Says in the store's own record that it is in use. */
static int begin(struct store *store, struct error *err) {
    if (db_read_record(&store->db, &store->record, err) != 0 || find_end(store, &store->order, err) != 0)
        return -1;
    store->record.epoch++;
    store->record.clean = 0;
    db_put_record(&store->db, &store->record);
    if (db_write(&store->db, err) != 0)
        return -1;
    store->taken = store->order;
    atomic_store_explicit(&store->given, store->order, memory_order_relaxed);
    atomic_store_explicit(&store->durable, store->order, memory_order_relaxed);
    return 0;
}

static int open_database(struct store *store, struct error *err) {
    snprintf(store->path, sizeof store->path, "%s/db", store->folder);
    /* RocksDB would make the folder, but leave its name to chance. */
    if (whole_file_folder(store->path, err) == 0 && db_open(&store->db, store->path, err) == 0 &&
        begin(store, err) == 0)
        return 0;
    return error_prefix(err,
                        "state_dir: the database in %s cannot be used: restore the folder from a copy, or move it "
                        "away to begin anew",
                        store->path);
}

static struct store *allocate(const struct config *config, struct doorbell *bus) {
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    store->config = config;
    store->bus = bus;
    store->lock = store->bell.fd = store->urgent.fd = -1;
    pthread_mutex_init(&store->told, NULL);
    snprintf(store->folder, sizeof store->folder, "%s", config->state_dir);
    /* The largest message fits. */
    size_t least = 2 * (size_t)config->bus.max_message + 4096;
    store->ring = ring_new((size_t)config->journal_ring > least ? (size_t)config->journal_ring : least);
    if (store->ring == NULL)
        return store;
    size_t most = ring_max_record(store->ring);
    store->block_bytes = sizeof(struct block_head) + (most > BLOCK_BYTES ? most : BLOCK_BYTES);
    store->block = malloc(store->block_bytes);
    return store;
}

struct store *store_open(const struct config *config, struct doorbell *bus, struct error *err) {
    struct store *store = allocate(config, bus);
    if (store == NULL || store->block == NULL || doorbell_init(&store->bell) != 0 ||
        doorbell_init(&store->urgent) != 0) {
        error_set(err, "state_dir: out of memory or descriptors");
        goto fail;
    }
    if (lock_folder(store, err) != 0 || open_database(store, err) != 0)
        goto fail;
    int failed = pthread_create(&store->thread, NULL, store_run, store);
    if (failed != 0) {
        error_set(err, "state_dir: cannot start a thread: %s", strerror(failed));
        goto fail;
    }
    store->started = true;
    pthread_setname_np(store->thread, "store");
    return store;

fail:
    store_close(store);
    return NULL;
}

void store_close(struct store *store) {
    if (store == NULL)
        return;
    if (store->started) {
        atomic_store_explicit(&store->stopping, true, memory_order_release);
        doorbell_ring(&store->bell);
        doorbell_ring(&store->urgent);
        pthread_join(store->thread, NULL);
    }
    db_close(&store->db);
    ring_free(store->ring);
    free(store->block);
    doorbell_fini(&store->bell);
    doorbell_fini(&store->urgent);
    if (store->lock >= 0)
        close(store->lock);
    pthread_mutex_destroy(&store->told);
    free(store);
}

/* ---- reading back --------------------------------------------------------------------------- */

/* The entries of one block that are not trimmed. */
static bool hand_over(const struct store *store, const struct block_head *head, const void *block,
                      bool (*take)(void *context, uint64_t order, const struct journal_entry *entry), void *context) {
    struct journal_entry entry;
    size_t at = 0;
    for (uint64_t order = head->first; block_next(block, &at, &entry); order++)
        if (order > store->record.trimmed && !take(context, order, &entry))
            return false;
    return true;
}

int store_tail(struct store *store, bool (*take)(void *context, uint64_t order, const struct journal_entry *entry),
               void *context, struct error *err) {
    rocksdb_iterator_t *at = rocksdb_create_iterator_cf(store->db.db, store->db.read, store->db.families[DB_JOURNAL]);
    int rc = 0;
    bool going = true;
    for (rocksdb_iter_seek_to_first(at); rc == 0 && going && rocksdb_iter_valid(at); rocksdb_iter_next(at)) {
        size_t n;
        const char *block = rocksdb_iter_value(at, &n);
        struct block_head head;
        rc = block_check(block, n, err);
        if (rc == 0 && block_head_at(block, &head))
            going = hand_over(store, &head, block, take, context);
    }
    char *message = NULL;
    rocksdb_iter_get_error(at, &message);
    if (rc == 0 && message != NULL)
        rc = error_set(err, "%s", message);
    rocksdb_free(message);
    rocksdb_iter_destroy(at);
    return rc == 0 ? 0
                   : error_prefix(err, "state_dir: %s: restore the folder from a copy, or move it away to begin anew",
                                  store->path);
}

/* ---- the bus -------------------------------------------------------------------------------- */

bool store_append(struct store *store, const struct journal_entry *entry, uint64_t *ret_order) {
    if (store_degraded(store)) {
        atomic_fetch_add_explicit(&store->dropped, 1, memory_order_relaxed);
    } else {
        size_t n = block_entry_size(entry);
        void *place = ring_reserve(store->ring, n, 0);
        if (place == NULL) {
            store_hurry(store);
            return false;
        }
        block_entry_put(place, entry);
        ring_commit(store->ring, n);
        doorbell_ring(&store->bell);
        store->unhurried += n;
    }
    *ret_order = ++store->order;
    atomic_store_explicit(&store->given, store->order, memory_order_relaxed);
    if (store->unhurried > (size_t)store->config->journal_ring / HURRY_SHARE) {
        store->unhurried = 0;
        doorbell_ring(&store->urgent);
    }
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
    return atomic_load_explicit(&store->degraded, memory_order_acquire);
}

static uint64_t load(const atomic_uint_fast64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void store_status(struct store *store, struct store_status *ret_status) {
    *ret_status = (struct store_status){.order = load(&store->given),
                                        .durable = store_durable(store),
                                        .entries = load(&store->entries),
                                        .bytes = load(&store->bytes),
                                        .blocks = load(&store->blocks),
                                        .dropped = load(&store->dropped),
                                        .full = ring_times_full(store->ring),
                                        .degraded = store_degraded(store)};
    pthread_mutex_lock(&store->told);
    memcpy(ret_status->reason, store->reason, sizeof ret_status->reason);
    pthread_mutex_unlock(&store->told);
}
