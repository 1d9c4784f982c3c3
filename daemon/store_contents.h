/*
 * RocksDB's list of its own files (MANIFEST-N, named by CURRENT), and what a crash of the machine may leave of its end.
 *
 * Each change of the list is a record at its end, synced before anything relies on it. If the machine stops while one is
 * being written, parts of it may be on disk; RocksDB takes an end that is missing for what it is, but refuses the
 * database for one that is there and wrong. Such an end is cut here, if no whole record lies behind it, and if the
 * database does not say that the list had been longer: then it is damage.
 */
#ifndef DAEMON_STORE_CONTENTS_H
#define DAEMON_STORE_CONTENTS_H

#include "daemon/store_db.h"
#include "engine/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Before the database in `path` is opened. The list as it was is MANIFEST-N~torn until it is known that it may be cut, then
 * MANIFEST-N~cut. Returns -1 with the sentence in err where it is damage; nothing is changed then. */
int contents_mend(const char *path, struct error *err);

/* Puts into the batch how long the list is, as far as it is synced. Returns false, and puts nothing, where a thread of
 * RocksDB's may be at it. */
bool contents_put(struct db *db, const char *path);

#endif
