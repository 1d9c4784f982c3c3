/*
 * What the journal holds behind the last images, at the start: each entry is kept for its stream, which returns and
 * takes it as it was taken then. Bus thread, or before it runs.
 */
#ifndef DAEMON_RECOVERY_H
#define DAEMON_RECOVERY_H

#include "daemon/ingest.h"
#include "daemon/returns.h"
#include "daemon/store.h"
#include "daemon/versions.h"

/* Reads all of it; versions keeps those that it names. Returns -1 with the sentence in err. */
int recovery_read(const struct config *config, struct store *store, const struct streams *streams,
                  struct ingest *ingest, struct returns *returns, struct versions *versions, struct error *err);

#endif
