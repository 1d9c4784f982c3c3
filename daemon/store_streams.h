/*
 * What the store keeps of streams, as records of the database. By key:
 *
 *   name 0 ~generation kind [number]     big-endian, so that a stream's newest generation comes first, and in it the
 *                                        image, then the blocks of its steps in their order
 *
 * An ended stream has nothing but the record that says so. Every value has a head with format, kind and a checksum.
 */
#ifndef DAEMON_STORE_STREAMS_H
#define DAEMON_STORE_STREAMS_H

#include "daemon/store_db.h"
#include "daemon/stored.h"

/* Puts into db->batch what makes the image, or (STORED_ENDED) the end, the stream's. */
void streams_put(struct db *db, const struct stored *stored);

/* For streams_get: sees the database as it stands now. To be destroyed. */
rocksdb_iterator_t *streams_iterator(const struct db *db);
/* Fills a stored that has nothing but a name and a context: found, and what there is. */
void streams_get(rocksdb_iterator_t *at, struct stored *stored);

/* Bytes that it takes in memory, about. */
size_t streams_size(const struct stored *stored);

#endif
