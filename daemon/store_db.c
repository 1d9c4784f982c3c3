#include "daemon/store_db.h"

#include <dirent.h>
#include <endian.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { RECORD_FORMAT = 1 };

#define MIB ((size_t)1 << 20)

/* Memory: what was written lies there until it goes to a file, twice this where the disk is slower. */
static const size_t journal_buffer = 32 * MIB;
static const size_t streams_buffer = 256 * MIB; /* never full: the store flushes it long before */
static const size_t cache_bytes = 32 * MIB;
/* Memories of a family that wait for the disk; behind them writing waits. */
enum { BUFFERS = 4 };
/* Files that stay open; beyond that each one that is read is opened for it. Half of the descriptors that a process has
 * where nobody gave it more. */
enum { OPEN_FILES = 512 };
/* Values from this size on stand in files of their own, so that merging keys does not write them again; a file of them
 * is taken away when the most of what it holds has been overwritten. */
enum { LARGE = 512 };
/* Log behind which memory goes to files, so that a start reads no more than this. */
static const uint64_t log_bytes = 128 * MIB;

static const char *const names[N_DB_FAMILIES] = {"default", "journal", "streams"};
static const char record_key[] = "store";

/* Takes RocksDB's message. */
static int failed(struct error *err, char *message) {
    error_set(err, "%s", message);
    rocksdb_free(message);
    return -1;
}

static void set_options(struct db *db, int how) {
    rocksdb_options_t *o = db->options;
    rocksdb_options_set_create_if_missing(o, (how & DB_MAKE) != 0);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_env(o, db->env);
    rocksdb_options_set_wal_recovery_mode(o, rocksdb_point_in_time_recovery);
    rocksdb_options_set_max_total_wal_size(o, log_bytes);
    /* Under full load the journal's memory and that of a wave of images are written at the same time. */
    rocksdb_options_set_max_background_flushes(o, 2);
    rocksdb_options_set_max_background_compactions(o, 1);
    rocksdb_options_set_max_open_files(o, OPEN_FILES);
    /* In 64 parts, of few files each, files were opened all the time. */
    rocksdb_options_set_table_cache_numshardbits(o, 0);
    /* Streams come back in the order of their keys, so most of what is read lies behind what was read before: the kernel
     * sees that, and reads ahead. */
    rocksdb_options_set_advise_random_on_open(o, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
    rocksdb_options_set_skip_checking_sst_file_sizes_on_db_open(o, 1);
    rocksdb_options_set_bytes_per_sync(o, MIB); /* else a file's sync delays those of the log */
    /* RocksDB's own log stays empty: this RocksDB asserts that no line follows one that the disk did not take. */
    rocksdb_options_set_info_log_level(o, 6);
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
}

/* A stream's records have its name, with a zero behind it, in common. */
static char *prefix_of(void *state, const char *key, size_t n, size_t *ret_n) {
    (void)state;
    const char *end = memchr(key, 0, n);
    *ret_n = end != NULL ? (size_t)(end - key) + 1 : n;
    return (char *)(uintptr_t)key;
}

static unsigned char has_prefix(void *state, const char *key, size_t n) {
    (void)state;
    return memchr(key, 0, n) != NULL;
}

static const char *prefix_name(void *state) {
    (void)state;
    return "forecastd.stream";
}

static void nothing(void *state) {
    (void)state;
}

static void set_streams(rocksdb_options_t *o, rocksdb_block_based_table_options_t *table, int how) {
    rocksdb_options_set_prefix_extractor(
        o, rocksdb_slicetransform_create(NULL, nothing, prefix_of, has_prefix, has_prefix, prefix_name));
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_whole_key_filtering(table, 0);
    rocksdb_options_set_write_buffer_size(o, streams_buffer);
    rocksdb_options_set_enable_blob_files(o, 1);
    rocksdb_options_set_min_blob_size(o, LARGE);
    rocksdb_options_set_blob_file_size(o, 64 * MIB);
    rocksdb_options_set_enable_blob_gc(o, (how & DB_LEAVE_LARGE) == 0);
    rocksdb_options_set_disable_auto_compactions(o, (how & DB_HOLD_MERGES) != 0);
    rocksdb_options_set_blob_gc_age_cutoff(o, 0.5);
    rocksdb_options_set_blob_gc_force_threshold(o, 0.5);
    /* Never makes the journal wait: the store holds images back instead. */
    rocksdb_options_set_level0_slowdown_writes_trigger(o, 1 << 20);
    rocksdb_options_set_level0_stop_writes_trigger(o, 1 << 20);
    rocksdb_options_set_soft_pending_compaction_bytes_limit(o, 0);
    rocksdb_options_set_hard_pending_compaction_bytes_limit(o, 0);
}

static rocksdb_options_t *family_options(const struct db *db, int family, int how) {
    rocksdb_options_t *o = rocksdb_options_create_copy(db->options);
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, db->cache);
    rocksdb_options_set_compression(o, rocksdb_no_compression);
    if (family == DB_JOURNAL) {
        /* Files are never merged, as their keys ascend: they move down a level at once, from where a trim can take them
         * away whole. */
        rocksdb_options_set_write_buffer_size(o, journal_buffer);
        rocksdb_options_set_level0_file_num_compaction_trigger(o, 1);
        rocksdb_options_set_max_bytes_for_level_base(o, (uint64_t)1 << 50);
    } else if (family == DB_STREAMS) {
        set_streams(o, table, how);
    } else {
        rocksdb_options_set_write_buffer_size(o, MIB);
    }
    rocksdb_options_set_max_write_buffer_number(o, BUFFERS);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    return o;
}

/* RocksDB writes its options into a file at each opening, fails at the level of its log that is set above, and leaves a
 * half of it behind, of which nothing is ever read. */
static void remove_leftovers(const char *path) {
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        if (fnmatch("OPTIONS-*.dbtmp", entry->d_name, 0) == 0)
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder != NULL)
        closedir(folder);
}

static void set_up(struct db *db, int how) {
    *db = (struct db){.options = rocksdb_options_create(),
                      .env = rocksdb_create_default_env(),
                      .cache = rocksdb_cache_create_lru(cache_bytes),
                      .synced = rocksdb_writeoptions_create(),
                      .unlogged = rocksdb_writeoptions_create(),
                      .read = rocksdb_readoptions_create(),
                      .read_stream = rocksdb_readoptions_create(),
                      .read_values = rocksdb_readoptions_create(),
                      .unwaited = rocksdb_flushoptions_create(),
                      .batch = rocksdb_writebatch_create()};
    rocksdb_env_lower_thread_pool_cpu_priority(db->env);
    rocksdb_env_lower_thread_pool_io_priority(db->env);
    rocksdb_writeoptions_set_sync(db->synced, 1);
    rocksdb_writeoptions_disable_WAL(db->unlogged, 1);
    rocksdb_flushoptions_set_wait(db->unwaited, 0);
    rocksdb_readoptions_set_total_order_seek(db->read, 1);
    rocksdb_readoptions_set_prefix_same_as_start(db->read_stream, 1);
    /* From the records of a name to those of the next. */
    rocksdb_readoptions_set_total_order_seek(db->read_values, 1);
    rocksdb_readoptions_set_verify_checksums(db->read_values, 0);
    set_options(db, how);
    for (int f = 0; f < N_DB_FAMILIES; f++)
        db->family_options[f] = family_options(db, f, how);
}

static int opened(struct db *db, char *message, struct error *err) {
    if (message == NULL)
        return 0;
    db->db = NULL;
    db_close(db);
    return failed(err, message);
}

int db_open(struct db *db, const char *path, int how, struct error *err) {
    char *message = NULL;
    set_up(db, how);
    remove_leftovers(path);
    db->db =
        rocksdb_open_column_families(db->options, path, N_DB_FAMILIES, names,
                                     (const rocksdb_options_t *const *)db->family_options, db->families, &message);
    return opened(db, message, err);
}

int db_look(struct db *db, const char *path, struct error *err) {
    char *message = NULL;
    set_up(db, 0);
    db->db = rocksdb_open_for_read_only_column_families(db->options, path, N_DB_FAMILIES, names,
                                                        (const rocksdb_options_t *const *)db->family_options,
                                                        db->families, 0, &message);
    return opened(db, message, err);
}

static void set_false(struct db *db, const char *option) {
    const char *const value = "false";
    char *message = NULL;
    rocksdb_set_options_cf(db->db, db->families[DB_STREAMS], 1, &option, &value, &message);
    rocksdb_free(message); /* whatever fails in merging fails then */
}

void db_merge(struct db *db) {
    set_false(db, "disable_auto_compactions");
}

void db_leave_large(struct db *db) {
    set_false(db, "enable_blob_garbage_collection");
}

void db_close(struct db *db) {
    if (db->options == NULL)
        return;
    for (int f = 0; f < N_DB_FAMILIES; f++) {
        if (db->db != NULL)
            rocksdb_column_family_handle_destroy(db->families[f]);
        rocksdb_options_destroy(db->family_options[f]);
    }
    if (db->db != NULL)
        rocksdb_close(db->db);
    rocksdb_writebatch_destroy(db->batch);
    rocksdb_readoptions_destroy(db->read);
    rocksdb_readoptions_destroy(db->read_stream);
    rocksdb_readoptions_destroy(db->read_values);
    rocksdb_flushoptions_destroy(db->unwaited);
    rocksdb_writeoptions_destroy(db->synced);
    rocksdb_writeoptions_destroy(db->unlogged);
    rocksdb_options_destroy(db->options);
    rocksdb_cache_destroy(db->cache);
    rocksdb_env_destroy(db->env);
    *db = (struct db){0};
}

static int write_batch(struct db *db, const rocksdb_writeoptions_t *how, struct error *err) {
    char *message = NULL;
    rocksdb_write(db->db, how, db->batch, &message);
    rocksdb_writebatch_clear(db->batch);
    return message == NULL ? 0 : failed(err, message);
}

int db_write(struct db *db, struct error *err) {
    return write_batch(db, db->synced, err);
}

int db_write_unlogged(struct db *db, struct error *err) {
    return write_batch(db, db->unlogged, err);
}

/* ---- memory and files --------------------------------------------------------------------------- */

int db_flush(struct db *db, int family, struct error *err) {
    char *message = NULL;
    rocksdb_flush_cf(db->db, db->unwaited, db->families[family], &message);
    return message == NULL ? 0 : failed(err, message);
}

static uint64_t property(const struct db *db, int family, const char *name) {
    uint64_t value = 0;
    rocksdb_property_int_cf(db->db, db->families[family], name, &value);
    return value;
}

bool db_is_flushing(const struct db *db, int family) {
    return property(db, family, "rocksdb.num-immutable-mem-table") > 0;
}

bool db_is_busy(const struct db *db) {
    for (int f = 0; f < N_DB_FAMILIES; f++)
        if (db_is_flushing(db, f) || property(db, f, "rocksdb.compaction-pending") > 0)
            return true;
    return property(db, DB_DEFAULT, "rocksdb.num-running-flushes") > 0 ||
           property(db, DB_DEFAULT, "rocksdb.num-running-compactions") > 0;
}

bool db_has_failed(const struct db *db) {
    return property(db, DB_DEFAULT, "rocksdb.background-errors") > 0;
}

int db_drop_journal(struct db *db, uint64_t before, struct error *err) {
    char *message = NULL, first[8], last[8];
    db_order_key(first, 0);
    db_order_key(last, before - 1);
    rocksdb_delete_file_in_range_cf(db->db, db->families[DB_JOURNAL], first, sizeof first, last, sizeof last,
                                    &message);
    return message == NULL ? 0 : failed(err, message);
}

/* ---- the store's own record --------------------------------------------------------------------- */

static uint64_t check_of(const struct db_record *record) {
    return XXH3_64bits(&record->epoch, sizeof *record - offsetof(struct db_record, epoch));
}

int db_read_record(const struct db *db, struct db_record *ret_record, struct error *err) {
    char *message = NULL;
    size_t n;
    char *value =
        rocksdb_get_cf(db->db, db->read, db->families[DB_DEFAULT], record_key, strlen(record_key), &n, &message);
    if (message != NULL)
        return failed(err, message);
    struct db_record record = {0};
    int rc = 0;
    if (value != NULL) {
        memcpy(&record, value, n < sizeof record ? n : sizeof record);
        if (record.format > RECORD_FORMAT)
            rc = error_set(err, "it was written by a newer forecastd (format %u, this one reads up to %d)",
                           record.format, RECORD_FORMAT);
        else if (n != sizeof record || record.check != check_of(&record))
            rc = error_set(err, "its own record is damaged");
    }
    rocksdb_free(value);
    if (rc == 0)
        *ret_record = record;
    return rc;
}

void db_put_record(struct db *db, struct db_record *record) {
    record->format = RECORD_FORMAT;
    record->check = check_of(record);
    rocksdb_writebatch_put_cf(db->batch, db->families[DB_DEFAULT], record_key, strlen(record_key),
                              (const char *)record, sizeof *record);
}

void db_order_key(char key[8], uint64_t order) {
    uint64_t big = htobe64(order);
    memcpy(key, &big, sizeof big);
}
