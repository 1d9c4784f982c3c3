#include "daemon/worker.h"

#include "daemon/background.h"
#include "daemon/clock.h"
#include "daemon/records.h"
#include "daemon/wire.h"
#include "daemon/worker_internal.h"
#include "daemon/worker_restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Records that are taken before what is ready is advanced: bounds how long a command can wait, and how much of what they
 * touch has left the caches until then. */
enum { DRAIN_MOST = 1024 };

/* Asking for a thread's processor time is a system call: turns are measured no more often. */
static const int64_t measure_every = 1000000;

/* ---- taking records ------------------------------------------------------------------------- */

bool worker_take(struct worker *worker, const void *at) {
    const struct record *record = at;
    switch (record->kind) {
    case RECORD_TICK: return worker_take_tick(worker, at);
    case RECORD_LABEL: return worker_take_label(worker, at);
    case RECORD_OPEN: {
        const struct record_open *open = at;
        return worker_take_open(worker, open->stream, open->homecoming);
    }
    case RECORD_RESET: return worker_take_reset(worker, at);
    case RECORD_PAUSE: worker_take_pause(worker, at); return true;
    case RECORD_STATE: return worker_take_state(worker, ((const struct record_state *)at)->order);
    case RECORD_IMAGE: return worker_take_image(worker, ((const struct record_image *)at)->order);
    case RECORD_SCORES: return worker_take_scores(worker, ((const struct record_scores *)at)->report);
    case RECORD_CLOSE: return worker_take_close(worker, at);
    case RECORD_END: return worker_take_end(worker, ((const struct record_stream *)at)->stream, false);
    case RECORD_LEAVE: return worker_take_end(worker, ((const struct record_stream *)at)->stream, true);
    case RECORD_ROUND: background_round(worker, at); return true;
    case RECORD_VERSION: background_version(worker, at); return true;
    case RECORD_SHADOW: background_shadow(worker, at); return true;
    case RECORD_WATCH: background_watch(worker, at); return true;
    case RECORD_COLLECT: background_collect(worker, at); return true;
    case RECORD_REPEAT: background_repeat(worker, at); return true;
    case RECORD_STOP: worker->stopping = true; return true;
    default: break;
    }
    abort(); /* a bug: no other record comes to a worker */
}

/*
 * What a tick touches is spread over many lines of memory, which with many streams are in no cache. They are asked for
 * some records ahead, in three steps, as each is found by the one before: the stream; its parts; their rows.
 */
enum { AHEAD_STREAM = 12, AHEAD_PARTS = 8, AHEAD_ROWS = 4, AHEAD_MASK = 15 };

struct scout {
    const struct stream *streams[AHEAD_MASK + 1]; /* of the records from the one that is taken on; NULL: no tick */
    int n;                                        /* records looked at */
    size_t at;
};

static void fetch_parts(const struct stream *stream) {
    series_fetch(stream->series);
    __builtin_prefetch(stream->places); /* and the first arrivals, behind them */
}

static void fetch_rows(const struct stream *stream) {
    const struct history *history = stream->series->history;
    size_t at = history->at + 1 == (size_t)history->capacity ? 0 : history->at + 1;
    __builtin_prefetch(&history->t[at], 1);
    __builtin_prefetch(&history->values[at * (size_t)history->n_features], 1);
    __builtin_prefetch(&history->flags[at], 1);
    __builtin_prefetch(stream_arrival(stream, history->n + 1), 1);
}

/* taken: records of this go. */
static void look_ahead(const struct worker *worker, struct scout *scout, int taken) {
    const struct record_tick *record;
    while (scout->n <= taken + AHEAD_STREAM && (record = ring_look(worker->input, &scout->at)) != NULL) {
        const struct stream *stream = record->kind == RECORD_TICK ? record->stream : NULL;
        scout->streams[scout->n++ & AHEAD_MASK] = stream;
        if (stream != NULL)
            __builtin_prefetch(&stream->series);
    }
    const struct stream *parts = scout->streams[(taken + AHEAD_PARTS) & AHEAD_MASK];
    if (taken + AHEAD_PARTS < scout->n && parts != NULL)
        fetch_parts(parts);
    const struct stream *rows = scout->streams[(taken + AHEAD_ROWS) & AHEAD_MASK];
    if (taken + AHEAD_ROWS < scout->n && rows != NULL)
        fetch_rows(rows);
}

static bool drain(struct worker *worker) {
    struct scout scout = {.n = 0};
    int taken = 0;
    size_t n;
    for (void *at; taken < DRAIN_MOST && (at = ring_peek(worker->input, &n)) != NULL; taken++) {
        look_ahead(worker, &scout, taken);
        if (!worker_take(worker, at))
            break;
        ring_consume(worker->input);
    }
    return taken > 0;
}

/* ---- advancing ------------------------------------------------------------------------------ */

/* to_come: slots that are advanced behind it in the same go. */
static void advance_batch(struct worker *worker, struct batch *batch, int to_come) {
    int n = batch->n_ready;
    uint64_t not_finite = forecaster_not_finite(batch->forecaster), anew = forecaster_time_resets(batch->forecaster);
    forecaster_advance(batch->forecaster, batch->ready, n);
    worker_tell_takeovers(worker, batch);
    worker_count(&worker->advances, 1);
    worker_count(&worker->not_finite, forecaster_not_finite(batch->forecaster) - not_finite);
    worker_count(&worker->resets_time, forecaster_time_resets(batch->forecaster) - anew);
    if (!worker->restoring) {
        emitter_forecasts(worker->emitter, batch, batch->ready, n, to_come);
        worker_tell_alarms(worker, batch, batch->ready, n);
    }
    batch->n_ready = 0;
    for (int i = 0; i < n; i++) {
        int slot = batch->ready[i];
        if (forecaster_pending(batch->forecaster, slot) > 0)
            batch->ready[batch->n_ready++] = slot;
        else
            batch->is_ready[slot] = false;
    }
}

bool worker_advance(struct worker *worker) {
    if (worker->n_ready == 0)
        return false;
    int ready = 0, to_come = 0;
    for (int b = 0; b < worker->n_ready; b++)
        to_come += worker->ready[b]->n_ready;
    for (int b = 0; b < worker->n_ready; b++) {
        struct batch *batch = worker->ready[b];
        to_come -= batch->n_ready;
        advance_batch(worker, batch, to_come);
        if (batch->n_ready > 0)
            worker->ready[ready++] = batch;
    }
    worker->n_ready = ready;
    emitter_flush(worker->emitter);
    return true;
}

static bool advance_measured(struct worker *worker) {
    int64_t began = clock_read(CLOCK_THREAD_CPUTIME_ID);
    bool advanced = worker_advance(worker);
    if (advanced)
        spent_add(&worker->advancing, clock_read(CLOCK_THREAD_CPUTIME_ID) - began);
    return advanced;
}

static bool is_to_be_measured(struct worker *worker, int64_t now) {
    if (now < worker->measured + measure_every)
        return false;
    worker->measured = now;
    return true;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void sleep_until_rung(struct worker *worker) {
    size_t n;
    doorbell_arm(&worker->bell);
    if (ring_peek(worker->input, &n) == NULL) {
        int timeout = background_timeout(worker);
        pthread_mutex_unlock(&worker->owner);
        doorbell_wait(&worker->bell, timeout);
        pthread_mutex_lock(&worker->owner);
    }
    doorbell_disarm(&worker->bell);
}

/* Advances what is ready, and does a slice of what there is in the background. Returns false with nothing to do. */
static bool take_turn(struct worker *worker) {
    bool advanced = worker_advance(worker);
    bool more = !worker->stopping && background_slice(worker);
    return advanced || more;
}

/* The same, with its processor time. */
static bool take_measured_turn(struct worker *worker) {
    bool advanced = advance_measured(worker);
    int64_t between = clock_read(CLOCK_THREAD_CPUTIME_ID);
    bool more = !worker->stopping && background_slice(worker);
    if (more)
        spent_add(&worker->background, clock_read(CLOCK_THREAD_CPUTIME_ID) - between);
    return advanced || more;
}

static void *run(void *context) {
    struct worker *worker = context;
    pthread_mutex_lock(&worker->owner);
    for (;;) {
        bool took = drain(worker);
        bool busy = is_to_be_measured(worker, clock_monotonic()) ? take_measured_turn(worker) : take_turn(worker);
        if (took || busy) {
            doorbell_ring(worker->bus);
            continue;
        }
        if (worker->stopping)
            break;
        sleep_until_rung(worker);
    }
    background_abandon(worker);
    struct record *record = emitter_reserve(worker->emitter, sizeof *record);
    record->kind = RECORD_STOPPED;
    ring_commit(worker->output, sizeof *record);
    doorbell_ring(worker->bus);
    pthread_mutex_unlock(&worker->owner);
    return NULL;
}

/* ---- by the bus ----------------------------------------------------------------------------- */

/* More than so long, and the next so many times the worker is woken: the bus has others to serve. */
static const int64_t alone_longest = 200000;
enum { ALONE_MOST = 4, DECLINED = 16 };

/* Whether more steps than one may follow from a tick: more than the output may have room for. */
static bool may_bring_many(const struct series *series) {
    return series->spec->gap == GAP_FILL || series->held != NULL;
}

/* Takes ticks alone, and advances until nothing is ready. Returns whether nothing is left to be taken. */
static bool serve_alone(struct worker *worker) {
    int64_t began = clock_monotonic();
    const struct record_tick *tick;
    size_t n;
    for (int taken = 0; taken < worker->alone_most; taken++) {
        tick = ring_peek(worker->input, &n);
        if (tick == NULL || tick->kind != RECORD_TICK || may_bring_many(tick->stream->series) ||
            !worker_take_tick(worker, tick))
            break;
        ring_consume(worker->input);
    }
    bool more = is_to_be_measured(worker, began) ? advance_measured(worker) : worker_advance(worker);
    while (more)
        more = worker_advance(worker);
    worker->declined = clock_monotonic() - began > alone_longest ? DECLINED : 0;
    return ring_peek(worker->input, &n) == NULL;
}

void worker_serve(struct worker *worker) {
    bool served = false;
    if (worker->alone_most > 0 && pthread_mutex_trylock(&worker->owner) == 0) {
        /* Looked at by the owner only: before that the worker may fill it, and sleep. */
        bool room = ring_used(worker->output) == 0 && worker->n_taking_over == 0;
        if (worker->declined > 0)
            worker->declined--;
        else if (room)
            served = serve_alone(worker);
        pthread_mutex_unlock(&worker->owner);
    }
    if (!served)
        worker_wake(worker);
}

static void worker_free(struct worker *worker) {
    if (worker == NULL)
        return;
    doorbell_fini(&worker->bell);
    ring_free(worker->input);
    ring_free(worker->output);
    emitter_free(worker->emitter);
    free(worker->batches);
    free(worker->ready);
    pthread_mutex_destroy(&worker->owner);
    free(worker->most_steps);
    free(worker->clocks);
    free(worker->ticking);
    free(worker->trained);
    free(worker->collections);
    free(worker->trials);
    free(worker->apart.models);
    free(worker);
}

static size_t at_least(int64_t configured, size_t record) {
    /* A ring takes records up to about half its size; some of them have to fit at once. */
    return (size_t)configured > 8 * record ? (size_t)configured : 8 * record;
}

/* The bus waits for nobody: what it serves by itself must have room in half of the output, the other half is for what
 * records skip at the ring's end. Of each model a tick may bring a forecast, by itself and in a bundle. While
 * versions take over there is any number of takeovers to tell of; then it serves none. */
static int most_alone(const struct config *config, size_t output, size_t forecast) {
    size_t tick = 0;
    for (int m = 0; m < config->n_models; m++)
        tick +=
            2 * forecast + (size_t)(config->models[m].n_alerts + 4) * (sizeof(struct record_told) + WIRE_MAX_NAME);
    size_t most = output / 2 / tick;
    return most < ALONE_MOST ? (int)most : ALONE_MOST;
}

struct worker *worker_start(const struct worker_setup *setup, struct error *err) {
    const struct config *config = setup->config;
    struct worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        goto memory;
    worker->config = config;
    worker->index = setup->index;
    worker->store = setup->store;
    worker->versions = setup->versions;
    worker->tells_takeovers = config->journal[0] != '\0' || setup->store != NULL;
    worker->bus = setup->bus;
    worker->bell.fd = -1;
    pthread_mutex_init(&worker->owner, NULL);
    int most_features = 0;
    for (int c = 0; c < config->n_classes; c++)
        most_features = config->classes[c].n_features > most_features ? config->classes[c].n_features : most_features;
    size_t tick = sizeof(struct record_tick) + (size_t)most_features * sizeof(double) + 1024;
    worker->input = ring_new(at_least(config->bus.tick_ring, tick));
    size_t forecast = emitter_max_record(config), output = at_least(config->bus.forecast_ring, forecast);
    worker->output = ring_new(output);
    worker->alone_most = most_alone(config, output, forecast);
    worker->most_steps = calloc((size_t)config->n_classes, sizeof *worker->most_steps);
    worker->clocks = calloc((size_t)config->n_classes, sizeof *worker->clocks);
    worker->ticking = calloc((size_t)config->n_classes, sizeof *worker->ticking);
    worker->trained = calloc((size_t)config->n_models, sizeof *worker->trained);
    worker->collections = calloc((size_t)config->n_models, sizeof *worker->collections);
    worker->trials = calloc((size_t)config->n_models, sizeof *worker->trials);
    if (worker->input == NULL || worker->output == NULL || worker->most_steps == NULL || worker->clocks == NULL ||
        worker->ticking == NULL || worker->trained == NULL || worker->collections == NULL || worker->trials == NULL ||
        (setup->store != NULL && worker_restore_prepare(worker) != 0))
        goto memory;
    worker->emitter = emitter_new(config, setup->epoch, worker->output, setup->bus, setup->interest);
    if (worker->emitter == NULL)
        goto memory;
    if (doorbell_init(&worker->bell) != 0) {
        error_set(err, "worker %d: eventfd: %s", setup->index, strerror(errno));
        goto fail;
    }
    int failed = pthread_create(&worker->thread, NULL, run, worker);
    if (failed != 0) {
        error_set(err, "worker %d: cannot start a thread: %s", setup->index, strerror(failed));
        goto fail;
    }
    char name[16];
    snprintf(name, sizeof name, "worker-%d", setup->index);
    pthread_setname_np(worker->thread, name);
    return worker;

memory:
    error_set(err, "worker %d: out of memory", setup->index);
fail:
    worker_free(worker);
    return NULL;
}

void worker_stop(struct worker *worker) {
    if (worker == NULL)
        return;
    pthread_join(worker->thread, NULL);
    worker_free(worker);
}

struct ring *worker_input(struct worker *worker) {
    return worker->input;
}

struct ring *worker_output(struct worker *worker) {
    return worker->output;
}

void worker_wake(struct worker *worker) {
    doorbell_ring(&worker->bell);
}

static uint64_t read_counter(const atomic_uint_fast64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void worker_counters(const struct worker *worker, struct worker_counters *ret_counters) {
    *ret_counters = (struct worker_counters){
        .ticks = read_counter(&worker->ticks),
        .steps = read_counter(&worker->steps),
        .advances = read_counter(&worker->advances),
        .forecasts = emitter_count(worker->emitter),
        .waits = emitter_waits(worker->emitter),
        .not_finite = read_counter(&worker->not_finite),
        .pending_full = read_counter(&worker->pending_full),
        .windows_left_out = read_counter(&worker->windows_left_out),
        .repeats = read_counter(&worker->repeats),
        .images = read_counter(&worker->images),
        .resets_asked = read_counter(&worker->resets_asked),
        .resets_gap = read_counter(&worker->resets_gap),
        .resets_time = read_counter(&worker->resets_time),
    };
    for (int c = 0; c < N_TIME_CASES; c++)
        ret_counters->time[c] = read_counter(&worker->time[c]);
    for (int r = 0; r < N_REASONS; r++)
        ret_counters->refused[r] = read_counter(&worker->refused[r]);
}

void worker_spent(const struct worker *worker, struct spent_counts *sum_advances,
                  struct spent_counts *sum_background) {
    spent_sum(&worker->advancing, sum_advances);
    spent_sum(&worker->background, sum_background);
}

uint64_t worker_most_steps(const struct worker *worker, int class) {
    return read_counter(&worker->most_steps[class]);
}

int64_t worker_clock(const struct worker *worker, int class) {
    return atomic_load_explicit(&worker->clocks[class], memory_order_relaxed);
}

struct worker_ticking worker_ticking(const struct worker *worker, int model) {
    const struct ticking *ticking = &worker->ticking[worker->config->models[model].class];
    const struct trained *trained = &worker->trained[model];
    struct worker_ticking ret = {.steps = atomic_load_explicit(&ticking->steps, memory_order_acquire)};
    ret.t = atomic_load_explicit(&ticking->t, memory_order_relaxed);
    ret.knows = atomic_load_explicit(&trained->known, memory_order_acquire) ==
                atomic_load_explicit(&trained->at, memory_order_relaxed);
    ret.since = atomic_load_explicit(&trained->since, memory_order_relaxed);
    return ret;
}

void worker_trained(struct worker *worker, int model, int64_t t) {
    atomic_store_explicit(&worker->trained[model].at, t, memory_order_relaxed);
}
