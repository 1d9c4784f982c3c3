/*
 * An errand: one piece of work that would block the bus, on a thread of its own, which ends with it. Bus thread only,
 * but for the work itself.
 */
#ifndef DAEMON_ERRAND_H
#define DAEMON_ERRAND_H

#include "daemon/doorbell.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct errand {
    void (*work)(void *context);
    void *context;
    struct doorbell *bus; /* rung when it is done */
    bool begun;           /* and not ended yet */
    atomic_bool done;
    pthread_t thread;
};

void errand_init(struct errand *errand, struct doorbell *bus);

/* None is under way. name: of the thread. Returns -1 where there is no thread for it. */
int errand_begin(struct errand *errand, const char *name, void (*work)(void *context), void *context);

/* Whether one has been begun and its work is done. */
bool errand_is_done(const struct errand *errand);

/* Waits for the work, where it is not done. Returns false when none was begun. */
bool errand_end(struct errand *errand);

#endif
