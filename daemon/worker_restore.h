/* Part of a worker: streams that come back. */
#ifndef DAEMON_WORKER_RESTORE_H
#define DAEMON_WORKER_RESTORE_H

#include "daemon/worker_internal.h"

struct homecoming;

/* Before the worker's thread runs, as the bus writes live keys later: copies the configuration, for batches of one slot.
 * -1 when memory is short. */
int worker_restore_prepare(struct worker *worker);

/* A new stream, with places, that nothing of the worker is in yet, becomes what its image and its tail say. No slot is
 * ready. Returns 0; above 0 with the sentence in err, where a model of it begins behind its steps, or a version that it has had
 * is gone, so that it took over what serves; -1 with the sentence, where nothing can be read or memory is short: the
 * stream is then to be made anew. */
int worker_restore(struct worker *worker, struct stream *stream, struct homecoming *homecoming, struct error *err);

#endif
