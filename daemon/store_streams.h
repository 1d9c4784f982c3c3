/*
 * What the store keeps of streams, as records of the database. By key:
 *
 *   name 0 ~generation kind [number]     big-endian, so that a stream's newest generation comes first, and in it its
 *                                        mark, the image, then the blocks of its steps in their order
 *
 * An ended stream has nothing but a mark that says so. That of one with
 * an interval that the clock is to close has the interval's end, int64_t, as its value. Every value has a head with format, kind and a checksum.
 */
#ifndef DAEMON_STORE_STREAMS_H
#define DAEMON_STORE_STREAMS_H

#include "daemon/store_db.h"
#include "daemon/stored.h"

/* Puts into db->batch what makes the image, or (STORED_ENDED) the end, the stream's. */
void streams_put(struct db *db, const struct stored *stored);

/* Sees the database as it stands when it is made. */
struct streams_reader {
    rocksdb_iterator_t *marks;  /* RocksDB checks what it reads */
    rocksdb_iterator_t *values; /* our own checksums do: those of the large values are slow */
    bool is_at_first;           /* values stands at the first record of some name */
    size_t typical;             /* bytes of the stream before: the next one has as many, about */
};
void streams_reader_init(struct streams_reader *reader, const struct db *db);
void streams_reader_fini(struct streams_reader *reader);

/* Fills a stored that has nothing but a name and a context: found, and what there is. Quick where the names come in their
 * order and no other lies between them: then nothing is looked for. */
void streams_get(struct streams_reader *reader, struct stored *stored);

/* Fills a stored that asks for names. */
void streams_list(const struct db *db, struct stored *stored);

/* Bytes that it takes in memory, about. */
size_t streams_size(const struct stored *stored);

#endif
