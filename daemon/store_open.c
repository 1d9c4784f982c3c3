/* The store is opened, read back, and closed. */
#include "daemon/store_internal.h"

#include "daemon/log.h"
#include "daemon/store_contents.h"
#include "daemon/store_damage.h"
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

/* Requests that wait, in bytes. */
enum { REQUEST_RING = 128 << 10 };

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

int store_find_end(struct store *store, uint64_t *ret_last, struct error *err) {
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

/* Reads what the database knows of itself. */
static int read_all(struct store *store, struct error *err) {
    if (db_read_record(&store->db, &store->record, err) != 0 || store_find_end(store, &store->order, err) != 0 ||
        producers_read(&store->producers, &store->db, err) != 0)
        return -1;
    store->taken = store->order;
    atomic_store_explicit(&store->counts.given, store->order, memory_order_relaxed);
    atomic_store_explicit(&store->durable, store->order, memory_order_relaxed);
    atomic_store_explicit(&store->trimmed, store->record.trimmed, memory_order_relaxed);
    atomic_store_explicit(&store->gaps, store->record.gap != 0, memory_order_relaxed);
    return 0;
}

/* Says in the store's own record that it is in use. */
static int begin(struct store *store, struct error *err) {
    store->record.epoch++;
    store->record.clean = 0;
    db_put_record(&store->db, &store->record);
    contents_put(&store->db, store->path);
    return db_write(&store->db, err);
}

static void tell_cut(struct store *store, const struct damage *damage) {
    if (damage->epoch < store->record.epoch || damage->last <= store->order)
        return;
    store->counts.cut = damage->last - store->order;
    log_info("state_dir: %s: %llu entries at the journal's end were not whole, and had not been synced: cut",
             store->folder, (unsigned long long)store->counts.cut);
}

static int open_database(struct store *store, struct error *err) {
    struct damage damage;
    snprintf(store->path, sizeof store->path, "%s/db", store->folder);
    if (damage_look(store->folder, &damage, err) != 0)
        return error_prefix(err, "state_dir");
    /* RocksDB would make the folder, but leave its name to chance; and take a database that has lost its CURRENT for
     * none. */
    if (whole_file_folder(store->path, err) != 0 || contents_mend(store->path, err) != 0 ||
        db_open(&store->db, store->path, DB_HOLD_MERGES | (damage.holds ? 0 : DB_MAKE), err) != 0 ||
        read_all(store, err) != 0)
        return error_prefix(
            err,
            "state_dir: the database in %s cannot be used: restore the folder from a copy, or move it "
            "away to begin anew",
            store->path);
    if (damage_judge(store->folder, &damage, store->record.epoch, store->order, err) != 0)
        return error_prefix(err, "state_dir");
    tell_cut(store, &damage);
    return begin(store, err) == 0 ? 0 : error_prefix(err, "state_dir: cannot write to %s", store->path);
}

static int allocate_rings(struct store *store, const struct config *config) {
    /* The largest message fits. */
    size_t least = 2 * (size_t)config->bus.max_message + 4096;
    store->ring = ring_new((size_t)config->journal_ring > least ? (size_t)config->journal_ring : least);
    store->requests = ring_new(REQUEST_RING);
    store->asks = ring_new(2 * ASKED_MOST * 16);
    store->answers = ring_new(2 * ASKED_MOST * 16);
    store->questions = calloc(ASKED_MOST, sizeof(struct stored *));
    store->pending = calloc(PENDING_SLOTS, sizeof *store->pending);
    if (store->ring == NULL || store->requests == NULL || store->asks == NULL || store->answers == NULL ||
        store->questions == NULL || store->pending == NULL || store_new_images(store) != 0)
        return -1;
    size_t most = ring_max_record(store->ring);
    store->block_bytes = sizeof(struct block_head) + (most > BLOCK_BYTES ? most : BLOCK_BYTES);
    store->block = malloc(store->block_bytes);
    return store->block != NULL && doorbell_init(&store->bell) == 0 && doorbell_init(&store->urgent) == 0 &&
                   doorbell_init(&store->asked_bell) == 0
               ? 0
               : -1;
}

static struct store *allocate(const struct config *config, struct doorbell *bus) {
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    store->config = config;
    store->bus = bus;
    store->lock = store->bell.fd = store->urgent.fd = store->asked_bell.fd = -1;
    pthread_mutex_init(&store->told, NULL);
    pthread_mutex_init(&store->reading, NULL);
    producers_init(&store->producers);
    snprintf(store->folder, sizeof store->folder, "%s", config->state_dir);
    if (allocate_rings(store, config) == 0)
        return store;
    store_close(store);
    return NULL;
}

static int start(struct store *store) {
    int failed = pthread_create(&store->thread, NULL, store_run, store);
    if (failed != 0)
        return failed;
    store->started = true;
    pthread_setname_np(store->thread, "store");
    failed = pthread_create(&store->reader, NULL, store_read, store);
    if (failed != 0)
        return failed;
    store->reader_started = true;
    pthread_setname_np(store->reader, "store-reader");
    return 0;
}

struct store *store_open(const struct config *config, struct doorbell *bus, struct error *err) {
    struct store *store = allocate(config, bus);
    if (store == NULL) {
        error_set(err, "state_dir: out of memory or descriptors");
        return NULL;
    }
    if (lock_folder(store, err) != 0 || open_database(store, err) != 0)
        goto fail;
    int failed = start(store);
    if (failed != 0) {
        error_set(err, "state_dir: cannot start a thread: %s", strerror(failed));
        goto fail;
    }
    return store;

fail:
    store_close(store);
    return NULL;
}

void store_close(struct store *store) {
    if (store == NULL)
        return;
    atomic_store_explicit(&store->stopping, true, memory_order_release);
    if (store->reader_started) {
        doorbell_ring(&store->asked_bell);
        pthread_join(store->reader, NULL);
    }
    if (store->started) {
        doorbell_ring(&store->bell);
        doorbell_ring(&store->urgent);
        pthread_join(store->thread, NULL);
    }
    db_close(&store->db);
    store_free_images(store);
    producers_fini(&store->producers);
    ring_free(store->ring);
    free(store->block);
    doorbell_fini(&store->bell);
    doorbell_fini(&store->urgent);
    doorbell_fini(&store->asked_bell);
    if (store->lock >= 0)
        close(store->lock);
    pthread_mutex_destroy(&store->told);
    pthread_mutex_destroy(&store->reading);
    free(store);
}

/* ---- reading back --------------------------------------------------------------------------- */

/* The entries of one block that are not trimmed. */
static bool hand_over(struct store *store, const struct block_head *head, const void *block,
                      bool (*take)(void *context, uint64_t order, const struct journal_entry *entry), void *context) {
    struct journal_entry entry;
    size_t at = 0;
    for (uint64_t order = head->first; block_next(block, &at, &entry); order++) {
        if (order <= store->record.trimmed)
            continue;
        store_count(&store->given_bytes, block_entry_size(&entry));
        if (!take(context, order, &entry))
            return false;
    }
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
