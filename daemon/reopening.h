/*
 * After a start: which streams on disk have an interval that the clock is to close (close_after). The store is looked
 * through for them, a page at a time. Bus thread only.
 */
#ifndef DAEMON_REOPENING_H
#define DAEMON_REOPENING_H

#include "daemon/ingest.h"
#include "daemon/returns.h"

struct reopening {
    struct returns *returns;
    struct ingest *ingest;
    bool asked, done;
    char after[WIRE_MAX_NAME + 1];
};

/* One of a daemon without such a class is done at once. */
void reopening_init(struct reopening *reopening, const struct config *config, struct returns *returns,
                    struct ingest *ingest);
/* Goes on with it. To be called often. */
void reopening_poll(struct reopening *reopening);

#endif
