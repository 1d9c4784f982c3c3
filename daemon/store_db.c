#include "daemon/store_db.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { RECORD_FORMAT = 1 };

#define MIB ((size_t)1 << 20)

/* Memory: what was written lies there until it goes to a file, twice this where the disk is slower. */
static const size_t journal_buffer = 32 * MIB;
static const size_t cache_bytes = 32 * MIB;
/* Log behind which memory goes to files, so that a start reads no more than this. */
static const uint64_t log_bytes = 128 * MIB;

static const char *const names[N_DB_FAMILIES] = {"default", "journal"};
static const char record_key[] = "store";

/* Takes RocksDB's message. */
static int failed(struct error *err, char *message) {
    error_set(err, "%s", message);
    rocksdb_free(message);
    return -1;
}

static void set_options(struct db *db) {
    rocksdb_options_t *o = db->options;
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_env(o, db->env);
    rocksdb_options_set_wal_recovery_mode(o, rocksdb_point_in_time_recovery);
    rocksdb_options_set_max_total_wal_size(o, log_bytes);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_max_open_files(o, 256);
    rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
    rocksdb_options_set_skip_checking_sst_file_sizes_on_db_open(o, 1);
    rocksdb_options_set_bytes_per_sync(o, MIB); /* else a file's sync delays those of the log */
    /* RocksDB's own log stays empty: this RocksDB asserts that no line follows one that the disk did not take. */
    rocksdb_options_set_info_log_level(o, 6);
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
}

static rocksdb_options_t *family_options(const struct db *db, int family) {
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
    } else {
        rocksdb_options_set_write_buffer_size(o, MIB);
    }
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    return o;
}

int db_open(struct db *db, const char *path, struct error *err) {
    *db = (struct db){.options = rocksdb_options_create(),
                      .env = rocksdb_create_default_env(),
                      .cache = rocksdb_cache_create_lru(cache_bytes),
                      .synced = rocksdb_writeoptions_create(),
                      .read = rocksdb_readoptions_create(),
                      .batch = rocksdb_writebatch_create()};
    rocksdb_env_lower_thread_pool_cpu_priority(db->env);
    rocksdb_env_lower_thread_pool_io_priority(db->env);
    rocksdb_writeoptions_set_sync(db->synced, 1);
    set_options(db);
    for (int f = 0; f < N_DB_FAMILIES; f++)
        db->family_options[f] = family_options(db, f);
    char *message = NULL;
    db->db =
        rocksdb_open_column_families(db->options, path, N_DB_FAMILIES, names,
                                     (const rocksdb_options_t *const *)db->family_options, db->families, &message);
    if (message == NULL)
        return 0;
    db->db = NULL;
    db_close(db);
    return failed(err, message);
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
    rocksdb_writeoptions_destroy(db->synced);
    rocksdb_options_destroy(db->options);
    rocksdb_cache_destroy(db->cache);
    rocksdb_env_destroy(db->env);
    *db = (struct db){0};
}

int db_write(struct db *db, struct error *err) {
    char *message = NULL;
    rocksdb_write(db->db, db->synced, db->batch, &message);
    rocksdb_writebatch_clear(db->batch);
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
