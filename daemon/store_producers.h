/*
 * The last sequence of each producer of acknowledged ticks, as far as it is in the journal. The store's thread notes what it
 * writes, the bus who is forgotten; a lock guards it, held for a moment.
 */
#ifndef DAEMON_STORE_PRODUCERS_H
#define DAEMON_STORE_PRODUCERS_H

#include "daemon/store_db.h"

#include <pthread.h>

struct producer;

struct producers {
    struct producer *table;
    struct producer *changed; /* those that are to be written */
    pthread_mutex_t lock;
};

void producers_init(struct producers *producers);
void producers_fini(struct producers *producers);

/* Reads all of them from the database. */
int producers_read(struct producers *producers, const struct db *db, struct error *err);
/* A later sequence of a producer, which goes to disk with the next batch. -1 when memory is short. */
int producers_note(struct producers *producers, uint64_t producer, uint64_t sequence, int64_t received);
void producers_forget(struct producers *producers, uint64_t producer);
/* Puts those that have changed into db->batch. They count as written when it has been. */
void producers_put(struct producers *producers, struct db *db);
void producers_written(struct producers *producers);
void producers_each(struct producers *producers,
                    void (*each)(void *context, uint64_t producer, uint64_t sequence, int64_t received),
                    void *context);

#endif
