#include "daemon/store_streams.h"

#include "daemon/wire.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* Format versions of what is read, and written. */
enum { STREAM_FORMAT = 1 };

/* The kinds of records; the numbers are on disk. A mark is so short that it stands among the keys: a question finds it,
 * or finds that there is none, without a look at large values. */
enum kind { KIND_MARK = 1, KIND_IMAGE = 2, KIND_BLOCK = 3 };

/* Before each value. The layout is on disk. */
struct head {
    uint32_t format, kind;
    uint64_t check;         /* XXH3 of the value, seeded with that of what follows here */
    uint64_t order, oldest; /* of a mark: oldest is 1 where the stream has ended; of a block: order is its number */
};

enum { KEY_MOST = WIRE_MAX_NAME + 1 + 4 + 1 + 8 };

struct key {
    char bytes[KEY_MOST];
    size_t n;
};

/* ---- keys --------------------------------------------------------------------------------------- */

static struct key key_of(const struct stored *stored, uint32_t generation, enum kind kind, uint64_t number) {
    struct key key;
    uint32_t newest_first = htobe32(~generation);
    uint64_t big = htobe64(number);
    assert(stored->name_length <= WIRE_MAX_NAME);
    memcpy(key.bytes, stored->name, stored->name_length);
    key.n = stored->name_length;
    key.bytes[key.n++] = 0;
    memcpy(key.bytes + key.n, &newest_first, sizeof newest_first);
    key.n += sizeof newest_first;
    key.bytes[key.n++] = (char)kind;
    if (kind == KIND_BLOCK) {
        memcpy(key.bytes + key.n, &big, sizeof big);
        key.n += sizeof big;
    }
    return key;
}

static bool is_of(const struct stored *stored, const char *key, size_t n) {
    return n > stored->name_length && memcmp(key, stored->name, stored->name_length) == 0 &&
           key[stored->name_length] == 0;
}

/* Takes a key of the stream apart. */
static bool read_key(const char *key, size_t n, size_t name_length, uint32_t *ret_generation, enum kind *ret_kind,
                     uint64_t *ret_number) {
    uint32_t generation;
    uint64_t number = 0;
    size_t at = name_length + 1;
    if (n != at + 5 && n != at + 13)
        return false;
    memcpy(&generation, key + at, sizeof generation);
    if (n == at + 13)
        memcpy(&number, key + at + 5, sizeof number);
    *ret_generation = ~be32toh(generation);
    *ret_kind = (enum kind)key[at + 4];
    *ret_number = be64toh(number);
    return (*ret_kind == KIND_BLOCK) == (n == at + 13);
}

/* ---- writing ------------------------------------------------------------------------------------ */

static uint64_t check_of(const struct head *head, const void *bytes, size_t n) {
    const uint64_t seed = XXH3_64bits(&head->order, sizeof *head - offsetof(struct head, order)) ^ head->kind;
    return XXH3_64bits_withSeed(bytes, n, seed);
}

static void put(struct db *db, const struct key *key, struct head *head, const void *bytes, size_t n) {
    const char *keys[] = {key->bytes}, *values[] = {(const char *)head, bytes};
    const size_t key_sizes[] = {key->n}, value_sizes[] = {sizeof *head, n};
    head->format = STREAM_FORMAT;
    head->check = check_of(head, bytes, n);
    rocksdb_writebatch_putv_cf(db->batch, db->families[DB_STREAMS], 1, keys, key_sizes, n > 0 ? 2 : 1, values,
                               value_sizes);
}

/* Takes away all records of the stream up to a generation. */
static void delete_records(struct db *db, const struct stored *stored) {
    struct key from = key_of(stored, stored->generation, KIND_MARK, 0),
               to = key_of(stored, 0, KIND_BLOCK, UINT64_MAX);
    rocksdb_iterator_t *at = rocksdb_create_iterator_cf(db->db, db->read_stream, db->families[DB_STREAMS]);
    for (rocksdb_iter_seek(at, from.bytes, from.n); rocksdb_iter_valid(at); rocksdb_iter_next(at)) {
        size_t n;
        const char *key = rocksdb_iter_key(at, &n);
        rocksdb_writebatch_delete_cf(db->batch, db->families[DB_STREAMS], key, n);
    }
    char *message = NULL;
    rocksdb_iter_get_error(at, &message);
    rocksdb_iter_destroy(at);
    /* One that cannot be read can still go, by a mark over all keys; many of those would make reading slow. */
    if (message != NULL)
        rocksdb_writebatch_delete_range_cf(db->batch, db->families[DB_STREAMS], from.bytes, from.n, to.bytes, to.n);
    rocksdb_free(message);
}

void streams_put(struct db *db, const struct stored *stored) {
    bool ended = stored->found == STORED_ENDED;
    struct key key = key_of(stored, stored->generation, KIND_MARK, 0);
    struct head head = {.kind = KIND_MARK, .order = stored->order, .oldest = ended};
    if (ended)
        delete_records(db, stored);
    put(db, &key, &head, &stored->end, stored->open && !ended ? sizeof stored->end : 0);
    if (ended)
        return;
    key = key_of(stored, stored->generation, KIND_IMAGE, 0);
    head = (struct head){.kind = KIND_IMAGE, .order = stored->order, .oldest = stored->oldest};
    put(db, &key, &head, stored->bytes, stored->n);
    for (int b = 0; b < stored->n_blocks; b++) {
        const struct stored_block *block = &stored->blocks[b];
        struct head block_head = {.kind = KIND_BLOCK, .order = block->number};
        key = key_of(stored, stored->generation, KIND_BLOCK, block->number);
        put(db, &key, &block_head, block->bytes, block->n);
    }
    /* `oldest` has grown by no more than came. What a lost image leaves behind goes with the stream. */
    uint64_t most = (uint64_t)stored->n_blocks + 1;
    for (uint64_t old = stored->oldest > most ? stored->oldest - most : 0; old < stored->oldest; old++) {
        key = key_of(stored, stored->generation, KIND_BLOCK, old);
        rocksdb_writebatch_delete_cf(db->batch, db->families[DB_STREAMS], key.bytes, key.n);
    }
}

size_t streams_size(const struct stored *stored) {
    size_t n = sizeof *stored + stored->name_length + stored->n;
    for (int b = 0; b < stored->n_blocks; b++)
        n += sizeof *stored->blocks + stored->blocks[b].n;
    return n;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static enum stored_found damaged(struct stored *stored, const char *what) {
    error_set(&stored->err, "stream %s: %s: restore state_dir from a copy, or end the stream to begin it anew",
              stored->name, what);
    return STORED_DAMAGED;
}

/* Checks a value: *value [*n] are its bytes behind the head then. */
static enum stored_found read_value(struct stored *stored, const char **value, size_t *n, enum kind kind,
                                    struct head *ret_head) {
    if (*n < sizeof *ret_head)
        return damaged(stored, "its record is damaged");
    memcpy(ret_head, *value, sizeof *ret_head);
    if (ret_head->format > STREAM_FORMAT)
        return damaged(stored, "its record was written by a newer forecastd");
    *value += sizeof *ret_head;
    *n -= sizeof *ret_head;
    if (ret_head->kind != (uint32_t)kind || ret_head->check != check_of(ret_head, *value, *n))
        return damaged(stored, "its record is damaged");
    return STORED_IMAGE;
}

/* Adds a record to what has been found so far, which has `all` bytes in the end, about. STORED_NONE: it belongs to an older
 * generation. */
static enum stored_found add_record(struct stored *stored, const char *key, size_t key_n, const char *value, size_t n,
                                    size_t all) {
    uint32_t generation;
    uint64_t number;
    enum kind kind;
    struct head head;
    if (!read_key(key, key_n, stored->name_length, &generation, &kind, &number))
        return damaged(stored, "its record has no such key");
    if (generation != stored->generation)
        return STORED_NONE;
    if (kind == KIND_BLOCK && number < stored->oldest)
        return STORED_IMAGE;
    enum stored_found found = read_value(stored, &value, &n, kind, &head);
    if (found != STORED_IMAGE)
        return found;
    void *bytes = stored_copy(stored, value, n, all);
    if (bytes == NULL || (kind == KIND_BLOCK && stored_add_block(stored, number, bytes, n) != 0)) {
        error_set(&stored->err, "stream %s: out of memory", stored->name);
        return STORED_UNREADABLE;
    }
    if (kind == KIND_IMAGE) {
        stored->order = head.order;
        stored->oldest = head.oldest;
        stored->bytes = bytes;
        stored->n = n;
    }
    return STORED_IMAGE;
}

/* What the iterator itself says. */
static enum stored_found failed(struct stored *stored, rocksdb_iterator_t *at, enum stored_found otherwise) {
    char *message = NULL;
    rocksdb_iter_get_error(at, &message);
    if (message == NULL)
        return otherwise;
    enum stored_found found = STORED_UNREADABLE;
    if (strncmp(message, "Corruption", strlen("Corruption")) == 0)
        found = damaged(stored, message);
    else
        error_set(&stored->err, "stream %s: %s", stored->name, message);
    rocksdb_free(message);
    return found;
}

/* The mark of the newest generation, where the iterator stands. */
static enum stored_found read_mark(struct stored *stored, rocksdb_iterator_t *at) {
    size_t key_n, n;
    uint64_t number;
    enum kind kind;
    struct head head;
    if (!rocksdb_iter_valid(at))
        return failed(stored, at, STORED_NONE);
    const char *key = rocksdb_iter_key(at, &key_n);
    if (!read_key(key, key_n, stored->name_length, &stored->generation, &kind, &number) || kind != KIND_MARK)
        return damaged(stored, "its mark is missing");
    const char *value = rocksdb_iter_value(at, &n);
    enum stored_found found = read_value(stored, &value, &n, KIND_MARK, &head);
    if (found != STORED_IMAGE)
        return found;
    stored->order = head.order;
    return head.oldest == 1 ? STORED_ENDED : STORED_IMAGE;
}

/* Whether `values` stands at the stream's first record, as it does behind the records of the name before. */
static bool stands_at(const struct streams_reader *reader, const struct stored *stored) {
    size_t n;
    if (!reader->is_at_first)
        return false;
    const char *key = rocksdb_iter_key(reader->values, &n);
    return is_of(stored, key, n) && n == stored->name_length + 1 + 4 + 1 && key[n - 1] == KIND_MARK;
}

/* Its mark, then `values` stands at what comes behind it. A mark that is looked for costs less where there is none. */
static enum stored_found find(const struct streams_reader *reader, struct stored *stored) {
    /* An end is believed only where RocksDB has checked its key, too. */
    if (stands_at(reader, stored) && read_mark(stored, reader->values) == STORED_IMAGE) {
        rocksdb_iter_next(reader->values);
        return STORED_IMAGE;
    }
    struct key mark = key_of(stored, UINT32_MAX, KIND_MARK, 0);
    rocksdb_iter_seek(reader->marks, mark.bytes, mark.n);
    enum stored_found found = read_mark(stored, reader->marks);
    if (found == STORED_IMAGE) {
        struct key image = key_of(stored, stored->generation, KIND_IMAGE, 0);
        rocksdb_iter_seek(reader->values, image.bytes, image.n);
    }
    return found;
}

void streams_get(struct streams_reader *reader, struct stored *stored) {
    rocksdb_iterator_t *at = reader->values;
    stored->found = find(reader, stored);
    reader->is_at_first = false;
    if (stored->found != STORED_IMAGE)
        return;
    enum stored_found added = STORED_IMAGE;
    while (added == STORED_IMAGE && rocksdb_iter_valid(at)) {
        size_t key_n, value_n;
        const char *key = rocksdb_iter_key(at, &key_n), *value = rocksdb_iter_value(at, &value_n);
        reader->is_at_first = !is_of(stored, key, key_n); /* else it is one of an older generation */
        added = reader->is_at_first ? STORED_NONE : add_record(stored, key, key_n, value, value_n, reader->typical);
        if (added == STORED_IMAGE)
            rocksdb_iter_next(at);
    }
    stored->found = added == STORED_NONE ? STORED_IMAGE : added;
    if (stored->found == STORED_IMAGE)
        stored->found = failed(stored, at, STORED_IMAGE);
    if (stored->found == STORED_IMAGE && stored->bytes == NULL)
        stored->found = damaged(stored, "its image is missing");
    stored->summed = stored->found == STORED_IMAGE;
    reader->typical = stored->used;
}

/* ---- names -------------------------------------------------------------------------------------- */

/* Marks that are looked at for one page: those of ended streams are not in it. */
enum { LOOKS_MOST = 4096 };

/* To the first record of a name, or behind all of its records. */
static void seek_name(rocksdb_iterator_t *at, const char *name, size_t n, bool behind) {
    char key[WIRE_MAX_NAME + 1];
    assert(n <= WIRE_MAX_NAME);
    memcpy(key, name, n);
    key[n] = 1; /* its records have a zero there, longer names at least this */
    rocksdb_iter_seek(at, key, n + behind);
}

static bool add(struct stored *stored, size_t *room, const void *bytes, size_t n) {
    if (*room - stored->n < n) {
        void *larger = realloc(stored->bytes, 2 * (*room + n));
        if (larger == NULL)
            return false;
        stored->bytes = larger;
        *room = 2 * (*room + n);
    }
    memcpy((char *)stored->bytes + stored->n, bytes, n);
    stored->n += n;
    return true;
}

static bool add_name(struct stored *stored, size_t *room, const char *name, size_t n) {
    return add(stored, room, name, n) && add(stored, room, "", 1);
}

/* Whether the mark's stream is in the page. One that cannot be read is: whoever then asks for the stream is told. */
static bool is_listed(const rocksdb_iterator_t *at, const struct stored_page *page, int64_t *ret_end) {
    size_t n;
    struct head head;
    const char *value = rocksdb_iter_value(at, &n);
    if (n < sizeof head)
        return !page->open;
    memcpy(&head, value, sizeof head);
    bool good = head.format == STREAM_FORMAT && head.kind == KIND_MARK;
    if (!page->open)
        return !good || head.oldest != 1;
    if (!good || n != sizeof head + sizeof *ret_end)
        return false;
    memcpy(ret_end, value + sizeof head, sizeof *ret_end);
    return true;
}

/* From where the iterator stands. Returns false when memory is short. */
static bool list_from(struct stored *stored, rocksdb_iterator_t *at, const char *prefix, size_t n_prefix) {
    struct stored_page *page = &stored->page;
    char name[WIRE_MAX_NAME];
    size_t room = 0, length = 0;
    for (int looks = 0; rocksdb_iter_valid(at); looks++) {
        size_t n;
        const char *key = rocksdb_iter_key(at, &n), *zero = memchr(key, 0, n);
        if (n < n_prefix || memcmp(key, prefix, n_prefix) != 0)
            return true;
        page->more = page->n == page->most || looks == LOOKS_MOST;
        if (page->more)
            return add_name(stored, &room, name, length);
        length = zero != NULL && zero - key < WIRE_MAX_NAME ? (size_t)(zero - key) : WIRE_MAX_NAME;
        memcpy(name, key, length);
        int64_t end;
        if (is_listed(at, page, &end)) {
            if (!add_name(stored, &room, name, length) || (page->open && !add(stored, &room, &end, sizeof end)))
                return false;
            page->n++;
        }
        seek_name(at, name, length, true);
    }
    return true;
}

void streams_list(const struct db *db, struct stored *stored) {
    rocksdb_iterator_t *at = rocksdb_create_iterator_cf(db->db, db->read, db->families[DB_STREAMS]);
    char *prefix = stored->bytes;
    size_t n_prefix = stored->n;
    stored->bytes = NULL;
    stored->n = 0;
    if (strcmp(prefix, stored->name) > 0)
        seek_name(at, prefix, n_prefix, false);
    else
        seek_name(at, stored->name, stored->name_length, true);
    bool listed = list_from(stored, at, prefix, n_prefix);
    char *message = NULL;
    rocksdb_iter_get_error(at, &message);
    if (!listed || message != NULL) {
        error_set(&stored->err, "the names of streams cannot be read: %s",
                  message != NULL ? message : "out of memory");
        stored->found = STORED_FAILED;
    }
    rocksdb_free(message);
    rocksdb_iter_destroy(at);
    free(prefix);
}

void streams_reader_init(struct streams_reader *reader, const struct db *db) {
    reader->is_at_first = false;
    reader->typical = 0;
    reader->marks = rocksdb_create_iterator_cf(db->db, db->read_stream, db->families[DB_STREAMS]);
    reader->values = rocksdb_create_iterator_cf(db->db, db->read_values, db->families[DB_STREAMS]);
}

void streams_reader_fini(struct streams_reader *reader) {
    rocksdb_iter_destroy(reader->marks);
    rocksdb_iter_destroy(reader->values);
}
