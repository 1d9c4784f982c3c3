/*
 * Which worker and which slots a stream gets: the bus' book of batches. Bus thread only.
 *
 * A stream has one slot in each model of its class, all on one worker. Free slots are filled first, on the worker
 * that has them; when a model's batches are all full a new one opens on the worker with the fewest
 * streams. A slot is given out again only after its worker has let go of it.
 */
#ifndef DAEMON_PLACEMENT_H
#define DAEMON_PLACEMENT_H

#include "daemon/stream.h"

struct placement;

/* NULL when memory is short. */
struct placement *placement_new(const struct config *config, const struct kernels *kernels);
/* Frees all batches; the workers have stopped. */
void placement_free(struct placement *placement);

/* Models of a class. */
int placement_n_models(const struct placement *placement, int class);

/* Gives the stream (made for its class' models) a worker and slots, opening batches where needed. worker: where it
 * has to be; -1: anywhere. Returns 0, or -1 when memory is short, the stream then having no place. */
int placement_acquire(struct placement *placement, struct stream *stream, int worker);

/* Takes the stream's slots back. */
void placement_release(struct placement *placement, struct stream *stream);

/* The version that batches opened from now on serve; takes a reference, lets go of the one before. */
void placement_set_version(struct placement *placement, int model, struct version *version);
struct version *placement_version(const struct placement *placement, int model); /* borrowed; or NULL */

int placement_n_batches(const struct placement *placement, int model);
int64_t placement_n_streams(const struct placement *placement, int model);

#endif
