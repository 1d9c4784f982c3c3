/*
 * RocksDB as the store uses it: its options, its column families, the record that tells of the whole, and a value's frame. One thread
 * writes; any may read.
 *
 *   default   the store's own record, by the key "store"; producers (store_producers.c);
 *             how far RocksDB's own list of files is synced (store_contents.c)
 *   journal   blocks (store_block.h), by their first order, big-endian
 *   streams   what is kept of streams (store_streams.h)
 */
#ifndef DAEMON_STORE_DB_H
#define DAEMON_STORE_DB_H

#include "engine/error.h"

#include <rocksdb/c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DB_DEFAULT, DB_JOURNAL, DB_STREAMS, N_DB_FAMILIES };

struct db {
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[N_DB_FAMILIES];
    rocksdb_options_t *options, *family_options[N_DB_FAMILIES];
    rocksdb_cache_t *cache;
    rocksdb_env_t *env;
    rocksdb_writeoptions_t *synced, *unlogged;
    rocksdb_readoptions_t *read, *read_stream, *read_values; /* the latter two: of one stream; without checksums */
    rocksdb_flushoptions_t *unwaited;
    rocksdb_writebatch_t *batch; /* of the writing thread */
};

/* What the store knows of itself. Its layout is on disk. */
struct db_record {
    uint32_t format, reserved;
    uint64_t check;
    uint64_t epoch;   /* starts so far */
    uint64_t trimmed; /* entries up to this order are no longer needed */
    uint64_t clean;   /* it was closed in order */
    uint64_t gap;     /* the order of a JOURNAL_GAP that no round has made harmless; 0: none */
};

/* Opens the database in `path`. What a crash has left half written at the end is cut by RocksDB. */
enum {
    DB_MAKE = 1,        /* made if missing */
    DB_LEAVE_LARGE = 2, /* as db_leave_large */
    DB_HOLD_MERGES = 4, /* nothing of the streams is merged until db_merge */
};
int db_open(struct db *db, const char *path, int how, struct error *err);
/* Any thread. */
void db_merge(struct db *db);
/* Any thread: large values stay where they are, until it is opened again: of some a file cannot be read, which would fail
 * whatever moves them. Their files keep what was overwritten. */
void db_leave_large(struct db *db);
/* Opens what is there to be read only: nothing of it is changed. */
int db_look(struct db *db, const char *path, struct error *err);
void db_close(struct db *db);

/* Writes the batch, synced, and clears it. */
int db_write(struct db *db, struct error *err);
/* The same without the log: what it holds is lost unless db_flush comes to its end. */
int db_write_unlogged(struct db *db, struct error *err);

/* Begins to write what a family has in memory to files; db_is_flushing until it is there. */
int db_flush(struct db *db, int family, struct error *err);
bool db_is_flushing(const struct db *db, int family);
/* RocksDB's own threads may be writing files. */
bool db_is_busy(const struct db *db);
/* RocksDB's own threads have failed to write something. */
bool db_has_failed(const struct db *db);
/* Takes away the journal's files that hold nothing but entries before the order. */
int db_drop_journal(struct db *db, uint64_t before, struct error *err);

/* The store's own record, all zero when there is none; and into the batch. */
int db_read_record(const struct db *db, struct db_record *ret_record, struct error *err);
void db_put_record(struct db *db, struct db_record *record);

/* A key of the journal. */
void db_order_key(char key[8], uint64_t order);

#endif
