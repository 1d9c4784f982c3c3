/* What the parts of the store share; only daemon/store*.c include it. */
#ifndef DAEMON_STORE_INTERNAL_H
#define DAEMON_STORE_INTERNAL_H

#include "daemon/ring.h"
#include "daemon/store.h"
#include "daemon/store_block.h"
#include "daemon/store_db.h"

#include <pthread.h>
#include <stdatomic.h>

struct store {
    const struct config *config;
    struct doorbell *bus;
    char folder[4096], path[4200]; /* state_dir, and the database in it */
    int lock;                      /* descriptor of the locked file */

    /* Bus to thread: entries, as on disk. */
    struct ring *ring;
    struct doorbell bell;   /* rung with each entry */
    struct doorbell urgent; /* rung when waiting for sync_every is over */
    uint64_t order;         /* bus: the last one given */
    size_t unhurried;       /* bus: bytes since `urgent` was rung */

    pthread_t thread;
    bool started;
    atomic_bool stopping;
    atomic_uint_fast64_t wanted; /* somebody waits for the entries up to here */
    atomic_uint_fast64_t durable;
    atomic_bool degraded;
    atomic_uint_fast64_t given, entries, bytes, blocks, dropped; /* as in struct store_status; given: its order */
    pthread_mutex_t told;                                        /* guards reason */
    char reason[256];

    /* Of the thread. */
    struct db db;
    struct db_record record;
    char *block; /* [block_bytes] a head, then entries */
    size_t block_bytes;
    uint64_t taken; /* the last order that was taken from the ring */
};

void *store_run(void *store);

#endif
