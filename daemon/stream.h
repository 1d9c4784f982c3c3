/*
 * A stream and the places it has: what the bus makes, a worker then owns, and the bus takes back.
 *
 * A stream belongs to one worker for its life. The bus makes the struct whole (so that a shortage of memory is
 * told to the sender), hands it over with RECORD_OPEN, and frees it after RECORD_ENDED has come back.
 */
#ifndef DAEMON_STREAM_H
#define DAEMON_STREAM_H

#include "daemon/closer.h"
#include "daemon/pool.h"
#include "engine/forecaster.h"
#include "engine/series.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A fixed number of slots of one model, on one worker. */
struct batch {
    int model; /* index in the configuration */
    int id;    /* counts from 0 within the model */
    int worker;

    /* Bus: which slots are free, as a stack. */
    int *free_slots, n_free;

    /* Worker, once it has been handed over. */
    struct forecaster *forecaster;
    struct stream **streams;      /* [slots]; NULL: free */
    int *ready, n_ready;          /* slots with a step that they have not seen */
    bool *is_ready;               /* [slots] */
    struct version *next_version; /* to be proposed when the takeover under way is done; or NULL */
    struct version *next_shadow;  /* to run in the shadow of what serves then; or NULL */
    bool shadow_replays;          /* that of some of its slots is not done */
    bool listed;                  /* among the worker's batches */
};

struct place {
    struct batch *batch;
    int slot;
};

/* When and from where the tick came that closed a step. */
struct arrival {
    uint32_t source;
    uint32_t ticks;   /* that the step is an aggregate of; at most 1: of none */
    uint64_t number;  /* position: (source, number) */
    int64_t received; /* ns since 1970 UTC */
};

/*
 * What a tick touches on its way stands together: one line for the bus, which no worker writes, and two for the worker, of
 * which it finds the second one by itself.
 */
struct stream {
    /* Worker, at each tick. */
    _Alignas(POOL_LINE) struct series *series;
    struct place *places;       /* [n_places] one for each model of the class, in their order; constant */
    struct arrival *arrivals;   /* [arrivals_mask + 1] by step, from the latest one that all models have seen on */
    uint32_t arrivals_mask;     /* a power of two less 1; grows with the steps that wait */
    int n_places;               /* constant */
    uint64_t order;             /* of the latest thing that came for it, in the journal, */
    uint32_t taken;             /* and so many of that order: a message may have several */
    bool changed;               /* since the store had an image of it */
    atomic_uint_fast64_t steps; /* closed; written by the worker, read by anyone */
    int of_class;               /* its class, as the worker has it on this line; constant */

    /* Now and then: worker, then bus. */
    _Alignas(POOL_LINE) struct stream *worker_previous, *worker_next;
    uint64_t saved;                 /* the store has the steps up to that one */
    uint64_t imaged;                /* the latest round that has an image of it */
    struct stream *previous, *next; /* in order of starting */
    struct pool *pool;              /* that it lies in */

    /* Bus, at each tick; but `used` and `paused` constant, and the latter also written by the worker. */
    _Alignas(POOL_LINE) char *name; /* NUL-terminated */
    size_t name_length;
    int class;
    int worker;
    uint32_t generation;
    uint32_t used;      /* the second in which something came for it, since the daemon began */
    atomic_bool paused; /* by command, of this life or one before */
    bool closes;        /* it has a node of the closer, behind the text */
    char text[];        /* what name points to */
};

_Static_assert(offsetof(struct stream, worker_previous) == POOL_LINE, "what each tick touches is one line");

/* Making an image of a stream: the bus makes the order, the worker carries it out, the bus answers with it. */
struct image_order {
    uint64_t request; /* of control, which waits for it */
    struct stream *stream;
    struct stored *image; /* when done; NULL: memory was short */
};

/* Reading or setting the state of a slot: the bus makes it, the worker carries it out, the bus answers with it. */
struct state_order {
    uint64_t request; /* of control, which waits for it */
    struct stream *stream;
    int place;              /* index into its places */
    bool set;               /* else read */
    struct version *layout; /* with a reference: its network says what is where in values */

    /* When done. */
    enum state_outcome {
        STATE_DONE,
        STATE_OTHER, /* another version serves, or takes over, whose state has another size */
        STATE_NO_MEMORY,
    } outcome;
    uint64_t version, step, primed; /* of the state, behind the order */
    uint64_t journaled;             /* where the order stands in the journal of the store; 0: nowhere */

    size_t n;
    float values[]; /* set: NaN keeps what there is */
};

/* NULL when memory is short. */
struct state_order *state_order_new(struct stream *stream, int place, bool set, struct version *layout);
void state_order_free(struct state_order *order);

/* Slots for the model's streams, its forecaster serving the version (NULL: none yet). workspace: of the worker, for the
 * model; NULL: its own. NULL when memory is short. */
struct batch *batch_new(const struct config *config, int model, int id, int worker, const struct kernels *kernels,
                        struct version *version, struct workspace *workspace);
void batch_free(struct batch *batch);

/* A stream without places, in the pool, which outlives it; the caller owns it. NULL when memory is short. */
struct stream *stream_new(const struct config *config, struct pool *pool, int class, const char *name,
                          size_t name_length, uint32_t generation, int n_places);
void stream_free(struct stream *stream);

/* Any thread: which place a model has among those of its class, and the model of a place. By the configuration: while a stream is
 * restored its places are its worker's alone. */
int stream_place_of(const struct config *config, int model);
int stream_model_at(const struct config *config, int class, int place);

/* The stream's node of the closer; NULL where its class has no close_after. Bus only. */
static inline struct closing *stream_closing(struct stream *stream) {
    size_t at = offsetof(struct stream, text) + stream->name_length + 1, each = _Alignof(struct closing);
    return stream->closes ? (struct closing *)(void *)((char *)stream + (at + each - 1) / each * each) : NULL;
}

/* Has arrivals kept of so many steps that wait, and one more: returns false when memory is short. Worker only. */
bool stream_keep_arrivals(struct stream *stream, uint64_t waiting);

/* Where the arrival of a step is kept. Worker only. */
static inline struct arrival *stream_arrival(const struct stream *stream, uint64_t step) {
    return &stream->arrivals[step & stream->arrivals_mask];
}

/* Steps that the stream has and the slowest of its models has not seen. Worker only. */
uint64_t stream_pending(const struct stream *stream);

#endif
