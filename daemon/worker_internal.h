/* The insides of a worker, for worker*.c and background*.c. All of it belongs to who has `owner` but the atomics. */
#ifndef DAEMON_WORKER_INTERNAL_H
#define DAEMON_WORKER_INTERNAL_H

#include "daemon/emit.h"
#include "daemon/records.h"
#include "daemon/spent.h"
#include "daemon/worker.h"
#include "engine/windows.h"

#include <pthread.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdbool.h>

struct homecoming;
struct scores_report;

/* Copying one model's windows: where it stands. */
struct collection {
    struct windows *windows; /* NULL: nothing to do */
    struct stream *stream;   /* whose windows are copied now; NULL: all done */
    bool begun;              /* cursor stands in that stream */
    struct windows_cursor cursor;
};

/* A version in the shadow, in some batches of a model. */
struct trial {
    uint64_t number;
    struct version *version;     /* with a reference; NULL: none */
    int slots;                   /* of these batches */
    struct shadow_losses losses; /* told by their forecasters */
};

/* A round of images: where it stands. */
struct imaging {
    uint64_t round;         /* 0: none */
    struct stream *stream;  /* the next one */
    struct stored *waiting; /* for room in the ring to the store, in a round or not; or NULL */
    bool again;             /* some could not be taken, and are to be looked at once more */
};

/* Sending last forecasts again: where it stands. */
struct repeating {
    bool active, again; /* again: somebody came in the middle of the round, so there is another one */
    size_t n;
    char prefix[EMITTER_MAX_TOPIC];
    struct stream *stream; /* the next one */
    double tokens;         /* forecasts that may be sent now */
    int64_t filled;        /* when they were counted, ns */
};

/* Of the streams of a class that have taken a step since they are in memory, the one with the most: the data's clock. */
struct ticking {
    const struct stream *stream; /* NULL: the next one that takes a step */
    atomic_uint_fast64_t steps;  /* of it; 0: there is none */
    atomic_int_fast64_t t;       /* of its latest one, ns */
};

/* Of a model: how many steps of that stream are later than the latest training. */
struct trained {
    atomic_int_fast64_t at;     /* the training, by that clock, ns; the bus writes it */
    uint64_t until;             /* the stream's latest step up to then */
    atomic_int_fast64_t known;  /* the training for which that has been looked up, */
    atomic_uint_fast64_t since; /* and the steps behind it */
};

struct worker {
    const struct config *config;
    struct config apart; /* the same as it was at the start, with batches of one slot; only with a store */
    int index;
    struct store *store;             /* NULL: none */
    const struct versions *versions; /* on disk; NULL: none */
    struct doorbell bell, *bus;
    struct ring *input, *output;
    struct emitter *emitter;
    pthread_t thread;
    pthread_mutex_t owner; /* of all that follows: the thread has it but while it sleeps, when the bus may take it */
    bool tells_takeovers;
    bool restoring; /* a stream comes back: what happens to it is not told */
    int alone_most; /* ticks that the bus may serve by itself: whose output surely has room; 0: none */
    int declined;   /* times that it is not to, as the last one took long */
    bool stopping;
    bool taken; /* the tick at the ring's begin is taken, but not all steps that follow from it */

    struct batch **batches;
    int n_batches, room;
    struct batch **ready; /* [n_ready] batches with ready slots */
    int n_ready;
    struct stream *streams;         /* in order of opening */
    struct collection *collections; /* [n_models] */
    int n_collections;              /* that are under way */
    struct trial *trials;           /* [n_models] */
    int n_shadows;                  /* batches whose shadow has not begun, or has not replayed all */
    struct repeating repeating;
    struct imaging imaging;
    int n_taking_over; /* batches that change version */

    struct telling {
        time_t second; /* in which so many were told */
        int told;
    } refused_telling, anew_telling;

    atomic_uint_fast64_t ticks, steps, advances, pending_full, not_finite, windows_left_out, repeats, images;
    atomic_uint_fast64_t resets_asked, resets_gap, resets_time;
    atomic_uint_fast64_t time[N_TIME_CASES];
    atomic_uint_fast64_t refused[N_REASONS];
    struct spent advancing, background;
    int64_t measured;                 /* when these were measured last, ns */
    atomic_uint_fast64_t *most_steps; /* [n_classes] of the stream that has the most */
    atomic_int_fast64_t *clocks;      /* [n_classes] the time of its latest step, ns */
    struct ticking *ticking;          /* [n_classes] */
    struct trained *trained;          /* [n_models] */
};

static inline void worker_count(atomic_uint_fast64_t *counter, uint64_t n) {
    /* The worker is the only writer: no locked instruction is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* worker.c */
/* Takes a record; false when it has to wait until the ready slots have been advanced. Advances them by one step. */
bool worker_take(struct worker *worker, const void *record);
bool worker_advance(struct worker *worker);

/* worker_ticks.c: these, too, return false to be called again when the stream's models have caught up. */
bool worker_take_tick(struct worker *worker, const struct record_tick *tick);
/* Closes what is to be closed of the stream, as by a tick that came so. Returns false to go on when more has been advanced. */
bool worker_take_due(struct worker *worker, struct stream *stream, const struct arrival *arrival);
/* Intervals close by the clock. */
bool worker_take_close(struct worker *worker, const struct record_close *record);
bool worker_take_label(struct worker *worker, const struct record_label *label);
/* Something has come for the stream, by the journal's entry of that order. */
void worker_touch(struct stream *stream, uint64_t order);
/* The stream with the most steps is the clock of its class: a sender whose times are wrong does not become it. */
void worker_set_clock(struct worker *worker, const struct stream *stream);

/* worker_streams.c: these, too, return false to be called again: what is ready goes first, or memory is short. */
/* homecoming: what the stream was; NULL: it begins. */
bool worker_take_open(struct worker *worker, struct stream *stream, struct homecoming *homecoming);
bool worker_take_reset(struct worker *worker, const struct record_reset *record);
void worker_take_pause(struct worker *worker, const struct record_pause *record);
bool worker_take_state(struct worker *worker, struct state_order *order);
bool worker_take_image(struct worker *worker, struct image_order *order);
bool worker_take_scores(struct worker *worker, struct scores_report *report);
/* Lets go of it; its image, if it is to be kept, is the store's before the bus knows. */
bool worker_take_end(struct worker *worker, struct stream *stream, bool kept);

/* worker_told.c */
/* A tick, or a label, of that time. producer: record_tick's. */
void worker_tell_refused(struct worker *worker, const struct stream *stream, enum reason reason, int64_t t,
                         uint32_t producer, uint64_t number);
/* The stream's states begin anew behind the step. model: -1 for all. */
void worker_tell_anew(struct worker *worker, const struct stream *stream, bool gap, int model, uint64_t step);
/* Before what it brings about is told. model: -1 for all. */
void worker_tell_commanded(struct worker *worker, const struct stream *stream, enum commanded what, int model);
/* What the store has of it cannot all be read. */
void worker_tell_unreadable(struct worker *worker, const struct stream *stream, const struct error *err);
/* It has come back with an interval that the clock is to close, if the clock has not closed it before: closed_to. */
void worker_tell_unclosed(struct worker *worker, const struct stream *stream, int64_t closed_to);

/* Tells of the slots that another version serves now; to be called where that may have happened. */
void worker_tell_takeovers(struct worker *worker, const struct batch *batch);

/* Tells of a stream: told without its name. All go to the bus, which counts those that it leaves out: they are
 * few. */
void worker_tell(struct worker *worker, const struct stream *stream, const struct record_told *told);

/* Tells of the alerts and verdicts that have changed with the latest forecasts of n slots of a batch. */
void worker_tell_alarms(struct worker *worker, const struct batch *batch, const int *slots, int n);

#endif
