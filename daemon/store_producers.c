#include "daemon/store_producers.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1 /* what has no room is not added: its hh.tbl is NULL */
#include <uthash.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PRODUCER_FORMAT = 1 };

enum { KEY = 9 }; /* "p" and the number, big-endian */

/* The layout is on disk. */
struct value {
    uint32_t format, reserved;
    uint64_t check; /* XXH3 of what follows, seeded with the producer */
    uint64_t sequence;
    int64_t received;
};

/* What of a producer the database does not have yet. PUT, GONE: it is in the batch. */
enum change { WRITTEN, PUT, CHANGED, FORGOTTEN, GONE };

struct producer {
    uint64_t id, sequence;
    int64_t received;
    enum change change;
    bool listed; /* among the changed */
    struct producer *next;
    UT_hash_handle hh;
};

void producers_init(struct producers *producers) {
    producers->table = producers->changed = NULL;
    pthread_mutex_init(&producers->lock, NULL);
}

void producers_fini(struct producers *producers) {
    struct producer *producer, *next;
    HASH_ITER (hh, producers->table, producer, next) {
        HASH_DEL(producers->table, producer);
        free(producer);
    }
    pthread_mutex_destroy(&producers->lock);
}

static uint64_t check_of(const struct value *value, uint64_t id) {
    return XXH3_64bits_withSeed(&value->sequence, sizeof *value - offsetof(struct value, sequence), id);
}

static struct producer *find(struct producers *producers, uint64_t id) {
    struct producer *producer;
    HASH_FIND(hh, producers->table, &id, sizeof id, producer);
    return producer;
}

static struct producer *find_or_add(struct producers *producers, uint64_t id) {
    struct producer *producer = find(producers, id);
    if (producer != NULL)
        return producer;
    producer = calloc(1, sizeof *producer);
    if (producer == NULL)
        return NULL;
    producer->id = id;
    HASH_ADD(hh, producers->table, id, sizeof producer->id, producer);
    if (producer->hh.tbl != NULL)
        return producer;
    free(producer);
    return NULL;
}

/* ---- the database ------------------------------------------------------------------------------- */

static void key_of(char key[KEY], uint64_t id) {
    uint64_t big = htobe64(id);
    key[0] = 'p';
    memcpy(key + 1, &big, sizeof big);
}

static int read_one(struct producers *producers, const char *key, const char *bytes, size_t n, struct error *err) {
    struct value value;
    uint64_t id;
    memcpy(&id, key + 1, sizeof id);
    id = be64toh(id);
    if (n == sizeof value)
        memcpy(&value, bytes, n);
    if (n != sizeof value || value.format > PRODUCER_FORMAT || value.check != check_of(&value, id))
        return error_set(err, "the record of producer %llu is damaged, or of a newer forecastd",
                         (unsigned long long)id);
    struct producer *producer = find_or_add(producers, id);
    if (producer == NULL)
        return error_set(err, "out of memory");
    producer->sequence = value.sequence;
    producer->received = value.received;
    return 0;
}

int producers_read(struct producers *producers, const struct db *db, struct error *err) {
    rocksdb_iterator_t *at = rocksdb_create_iterator_cf(db->db, db->read, db->families[DB_DEFAULT]);
    int rc = 0;
    for (rocksdb_iter_seek(at, "p", 1); rc == 0 && rocksdb_iter_valid(at); rocksdb_iter_next(at)) {
        size_t key_n, n;
        const char *key = rocksdb_iter_key(at, &key_n), *bytes = rocksdb_iter_value(at, &n);
        if (key_n != KEY || key[0] != 'p')
            break;
        rc = read_one(producers, key, bytes, n, err);
    }
    char *message = NULL;
    rocksdb_iter_get_error(at, &message);
    rocksdb_iter_destroy(at);
    if (message != NULL)
        rc = error_set(err, "%s", message);
    rocksdb_free(message);
    return rc;
}

static void put_one(struct producer *producer, struct db *db) {
    char key[KEY];
    key_of(key, producer->id);
    if (producer->change == FORGOTTEN || producer->change == GONE) {
        rocksdb_writebatch_delete_cf(db->batch, db->families[DB_DEFAULT], key, sizeof key);
        producer->change = GONE;
        return;
    }
    struct value value = {.format = PRODUCER_FORMAT, .sequence = producer->sequence, .received = producer->received};
    value.check = check_of(&value, producer->id);
    rocksdb_writebatch_put_cf(db->batch, db->families[DB_DEFAULT], key, sizeof key, (const char *)&value,
                              sizeof value);
    producer->change = PUT;
}

void producers_put(struct producers *producers, struct db *db) {
    pthread_mutex_lock(&producers->lock);
    for (struct producer *producer = producers->changed; producer != NULL; producer = producer->next)
        put_one(producer, db);
    pthread_mutex_unlock(&producers->lock);
}

void producers_written(struct producers *producers) {
    pthread_mutex_lock(&producers->lock);
    for (struct producer **at = &producers->changed; *at != NULL;) {
        struct producer *producer = *at;
        if (producer->change != PUT && producer->change != GONE) {
            at = &producer->next;
            continue;
        }
        *at = producer->next;
        producer->listed = false;
        if (producer->change == GONE) {
            HASH_DEL(producers->table, producer);
            free(producer);
        } else {
            producer->change = WRITTEN;
        }
    }
    pthread_mutex_unlock(&producers->lock);
}

/* ---- what is known ------------------------------------------------------------------------------ */

static void set_change(struct producers *producers, struct producer *producer, enum change change) {
    producer->change = change;
    if (producer->listed)
        return;
    producer->listed = true;
    producer->next = producers->changed;
    producers->changed = producer;
}

int producers_note(struct producers *producers, uint64_t id, uint64_t sequence, int64_t received) {
    pthread_mutex_lock(&producers->lock);
    struct producer *producer = find_or_add(producers, id);
    if (producer != NULL && (sequence > producer->sequence || producer->change >= FORGOTTEN)) {
        producer->sequence = sequence;
        producer->received = received;
        set_change(producers, producer, CHANGED);
    }
    pthread_mutex_unlock(&producers->lock);
    return producer != NULL ? 0 : -1;
}

void producers_forget(struct producers *producers, uint64_t id) {
    pthread_mutex_lock(&producers->lock);
    struct producer *producer = find(producers, id);
    if (producer != NULL)
        set_change(producers, producer, FORGOTTEN);
    pthread_mutex_unlock(&producers->lock);
}

void producers_each(struct producers *producers,
                    void (*each)(void *context, uint64_t producer, uint64_t sequence, int64_t received),
                    void *context) {
    pthread_mutex_lock(&producers->lock);
    for (const struct producer *producer = producers->table; producer != NULL; producer = producer->hh.next)
        each(context, producer->id, producer->sequence, producer->received);
    pthread_mutex_unlock(&producers->lock);
}
