/* Part of a worker: streams that come back. */
#ifndef DAEMON_WORKER_RESTORE_H
#define DAEMON_WORKER_RESTORE_H

#include "daemon/worker_internal.h"

struct homecoming;

/* A new stream, with places, that nothing of the worker is in yet, becomes what its image and its tail say. No slot is
 * ready. Returns -1 with the sentence in err, where the image is not for this configuration, a version cannot be had, or
 * memory is short: the stream is then to be made anew. */
int worker_restore(struct worker *worker, struct stream *stream, struct homecoming *homecoming, struct error *err);

#endif
