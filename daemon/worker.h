/*
 * A worker: the thread that owns streams and their batches, advances them and emits their forecasts.
 *
 * Work-conserving: it takes what its ring holds, then advances what is ready, at once; while it is busy, ticks gather
 * in the ring and slots in batches. While it sleeps the bus may do the same in its place (worker_serve). Between two
 * advances it does a bounded slice of each background task: re-priming under a new version, copying windows for
 * training, sending last forecasts again.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include "daemon/doorbell.h"
#include "daemon/emit.h"
#include "daemon/reasons.h"
#include "daemon/ring.h"
#include "daemon/spent.h"
#include "engine/config.h"

#include <stdint.h>

struct store;
struct versions;
struct worker;

struct worker_setup {
    const struct config *config;
    int index;
    uint64_t epoch;
    const struct interest *interest;
    struct doorbell *bus; /* rung when something is in the output ring */
    struct store *store;  /* NULL: streams are not kept */
    const struct versions *versions;
};

/* What becomes of ticks as they really come; X(constant, name in the status). */
#define TIME_CASES(X) \
    X(AGGREGATED, "aggregated") /* steps that are an aggregate of several ticks */ \
    X(FILLED, "filled")         /* steps of intervals without a tick */ \
    X(REPLACED, "replaced")     /* ticks that took the place of another */ \
    X(MISSING, "missing")       /* steps with a value missing */ \
    X(CLOSED, "closed")         /* steps that closed by the clock */ \
    X(REORDERED, "reordered")   /* ticks that were put before later ones */ \
    X(UNHELD, "unheld")         /* ticks that went on early, as more were held than may be */
enum time_case {
#define X(constant, name) TIME_CASE_##constant,
    TIME_CASES(X)
#undef X
        N_TIME_CASES
};

/* Counters, a snapshot of them; each only grows. */
struct worker_counters {
    uint64_t ticks, steps, advances, forecasts, waits, pending_full, not_finite, windows_left_out, repeats;
    uint64_t resets_asked, resets_gap; /* streams whose states began anew: by command, behind a gap */
    uint64_t images;                   /* handed to the store */
    uint64_t resets_time;              /* states that began anew by reset_every */
    uint64_t time[N_TIME_CASES];
    uint64_t refused[N_REASONS];
};

/* Starts the thread. NULL with the sentence in err. */
struct worker *worker_start(const struct worker_setup *setup, struct error *err);
/* Joins the thread, which has been sent RECORD_STOP and has said RECORD_STOPPED, and frees the worker. NULL is
 * fine. */
void worker_stop(struct worker *worker);

/* Room in its input ring that ticks leave to commands. */
enum { WORKER_COMMAND_SPARE = 16 * 1024 };

/* The bus' ends of its rings. */
struct ring *worker_input(struct worker *worker);
struct ring *worker_output(struct worker *worker);
/* Wakes it after something was put into its input. */
void worker_wake(struct worker *worker);

/* Has what the bus put into its input served: where it is little and the worker sleeps, by the caller, at once, which
 * spares two threads from being woken; else it is woken. The bus' thread, which then publishes what is in the
 * output. */
void worker_serve(struct worker *worker);

/* Any thread. */
void worker_counters(const struct worker *worker, struct worker_counters *ret_counters);
/* Adds the processor time of advances, each of all slots that were ready together, and of the slices of background
 * work between them; of at most a thousand of either in a second, as asking for it is dear. Any thread. */
void worker_spent(const struct worker *worker, struct spent_counts *sum_advances,
                  struct spent_counts *sum_background);
/* The most closed steps that any stream of the class has on this worker, and the time of that stream's latest, ns.
 * Any thread. */
uint64_t worker_most_steps(const struct worker *worker, int class);
int64_t worker_clock(const struct worker *worker, int class);

/* The data's clock, as this worker knows it: of the streams of the model's class that have taken a step since they are in
 * memory, the one with the most. Any thread. */
struct worker_ticking {
    uint64_t steps; /* of it; 0: there is none */
    int64_t t;      /* of its latest one, ns */
    bool knows;     /* how many of its steps are later than the training that was told last: */
    uint64_t since; /* so many; all that it ever took where its history does not reach so far back */
};
struct worker_ticking worker_ticking(const struct worker *worker, int model);
/* The model was trained latest when that clock showed t. The bus. */
void worker_trained(struct worker *worker, int model, int64_t t);

#endif
