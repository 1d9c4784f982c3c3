/*
 * RocksDB as the store uses it: its options, its column families, the record that tells of the whole, and a value's frame. One thread
 * writes; any may read.
 *
 *   default   the store's own record, by the key "store"
 *   journal   blocks (store_block.h), by their first order, big-endian
 */
#ifndef DAEMON_STORE_DB_H
#define DAEMON_STORE_DB_H

#include "engine/error.h"

#include <rocksdb/c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DB_DEFAULT, DB_JOURNAL, N_DB_FAMILIES };

struct db {
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[N_DB_FAMILIES];
    rocksdb_options_t *options, *family_options[N_DB_FAMILIES];
    rocksdb_cache_t *cache;
    rocksdb_env_t *env;
    rocksdb_writeoptions_t *synced;
    rocksdb_readoptions_t *read;
    rocksdb_writebatch_t *batch; /* of the writing thread */
};

/* What the store knows of itself. Its layout is on disk. */
struct db_record {
    uint32_t format, reserved;
    uint64_t check;
    uint64_t epoch;   /* starts so far */
    uint64_t trimmed; /* entries up to this order are no longer needed */
    uint64_t clean;   /* it was closed in order */
};

/* Opens the database in `path`, made if missing; what a crash has left half written at the end is cut by RocksDB. */
int db_open(struct db *db, const char *path, struct error *err);
void db_close(struct db *db);

/* Writes the batch, synced, and clears it. */
int db_write(struct db *db, struct error *err);

/* The store's own record, all zero when there is none; and into the batch. */
int db_read_record(const struct db *db, struct db_record *ret_record, struct error *err);
void db_put_record(struct db *db, struct db_record *record);

/* A key of the journal. */
void db_order_key(char key[8], uint64_t order);

#endif
