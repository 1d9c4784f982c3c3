/*
 * From forecasts to finished messages in the ring to the bus: what a worker does after an advance. Encodes only what
 * somebody subscribes to. One emitter per worker, used by who owns that.
 */
#ifndef DAEMON_EMIT_H
#define DAEMON_EMIT_H

#include "daemon/doorbell.h"
#include "daemon/ring.h"
#include "daemon/stream.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What subscribers want, as the bus knows it: written by the bus, read by the workers. */
struct interest {
    atomic_bool single; /* some subscription covers forecasts one by one */
    atomic_bool bundle; /* some subscription covers bundles */
};

struct emitter;

/* ring: worker to bus; bell: the bus'. They, config and interest outlive the emitter. NULL when memory is short. */
struct emitter *emitter_new(const struct config *config, uint64_t epoch, struct ring *ring, struct doorbell *bell,
                            const struct interest *interest);
void emitter_free(struct emitter *emitter);

/* The most bytes that one forecast of any of the models can take, topic and record included. */
size_t emitter_max_record(const struct config *config);

/* Emits the latest forecasts of n slots of a batch. Blocks while the ring is full, which the bus drains: in its own
 * thread there has to be room. to_come: so many more are about to follow from other batches, for which a bundle may have room;
 * the bundle stays open until it is full, something else is emitted, or emitter_flush, before which nothing may advance again. */
void emitter_forecasts(struct emitter *emitter, struct batch *batch, const int *slots, int n, int to_come);
void emitter_flush(struct emitter *emitter);

/* Emits the latest forecast of one slot again, flagged "last". */
void emitter_repeat(struct emitter *emitter, struct batch *batch, int slot);

/* The topic of a (model, stream): "forecast/<model>/<stream>" and a NUL. Returns its length with the NUL; at most
 * EMITTER_MAX_TOPIC. */
enum { EMITTER_MAX_TOPIC = 640 };
size_t emitter_topic(const struct config_model *model, const struct stream *stream, char *topic);

/* Room for a record that must not be lost; blocks while the ring is full. Then ring_commit, and doorbell_ring in
 * time. */
void *emitter_reserve(struct emitter *emitter, size_t n);

/* Records that had to wait for room. Any thread. */
uint64_t emitter_waits(const struct emitter *emitter);
/* Forecasts made. Any thread. */
uint64_t emitter_count(const struct emitter *emitter);

#endif
