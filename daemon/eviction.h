/*
 * Who leaves memory for the store: streams for which nothing has come for `idle_timeout` of their class, and of a class
 * that has more than `max_resident` in memory those that have been quiet for longest, as far as a look at a few of them
 * tells. Bus thread only.
 */
#ifndef DAEMON_EVICTION_H
#define DAEMON_EVICTION_H

#include "daemon/ingest.h"
#include "daemon/opening.h"

struct eviction {
    const struct opening *opening;
    struct ingest *ingest;
    const struct returns *returns;
    const struct store *store;
};

/* Sends away who is too many: to be called as often as streams come. While the store cannot write nobody leaves. */
void eviction_make_room(struct eviction *eviction);
/* The same with who has been quiet: to be called some times a second. */
void eviction_poll(struct eviction *eviction);

#endif
