#include "daemon/worker.h"

#include "daemon/background.h"
#include "daemon/clock.h"
#include "daemon/homecoming.h"
#include "daemon/records.h"
#include "daemon/scores_report.h"
#include "daemon/stream_image.h"
#include "daemon/wire.h"
#include "daemon/worker_internal.h"
#include "daemon/worker_restore.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

/* Records that are taken before what is ready is advanced: bounds how long a command can wait, and how much of what they
 * touch has left the caches until then. */
enum { DRAIN_MOST = 1024 };

/* Streams that are looked at for the next clock of a class: who leaves memory must not cost more the more there are. */
enum { HEIRS = 64 };

/* Asking for a thread's processor time is a system call: turns are measured no more often. */
static const int64_t measure_every = 1000000;

static void count(atomic_uint_fast64_t *counter, uint64_t n) {
    /* The worker is the only writer: no locked instruction is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* ---- taking records ------------------------------------------------------------------------- */

static void tell_refused(struct worker *worker, const struct stream *stream, enum reason reason, int64_t t,
                         uint32_t producer, uint64_t number) {
    count(&worker->refused[reason], 1);
    bool tell = worker_may_tell(worker, &worker->refused_telling);
    if (worker->restoring || (!tell && producer == 0))
        return;
    struct record_refused *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
    record->kind = RECORD_REFUSED;
    record->reason = reason;
    record->tell = tell;
    record->producer = producer;
    record->number = number;
    record->t = t;
    record->n = stream->name_length;
    memcpy(record->name, stream->name, stream->name_length);
    ring_commit(worker->output, sizeof *record + stream->name_length);
}

/* model: -1 for all. */
static void tell_anew(struct worker *worker, const struct stream *stream, bool gap, int model, uint64_t step) {
    count(gap ? &worker->resets_gap : &worker->resets_asked, 1);
    if (worker->restoring || !worker_may_tell(worker, &worker->anew_telling))
        return;
    struct record_anew *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
    *record =
        (struct record_anew){.kind = RECORD_ANEW, .gap = gap, .model = model, .step = step, .n = stream->name_length};
    memcpy(record->name, stream->name, stream->name_length);
    ring_commit(worker->output, sizeof *record + stream->name_length);
}

void worker_tell_takeovers(struct worker *worker, const struct batch *batch) {
    int n;
    if (worker->restoring)
        return;
    const struct takeover *takeovers = forecaster_takeovers(batch->forecaster, &n);
    for (int i = 0; i < n && worker->tells_takeovers; i++) {
        struct stream *stream = batch->streams[takeovers[i].slot];
        stream->changed = true;
        struct record_takeover *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
        *record = (struct record_takeover){.kind = RECORD_TAKEOVER,
                                           .model = batch->model,
                                           .generation = stream->generation,
                                           .takeover = takeovers[i],
                                           .n = stream->name_length};
        memcpy(record->name, stream->name, stream->name_length);
        ring_commit(worker->output, sizeof *record + stream->name_length);
    }
}

/* Before what it brings about is told. model: -1 for all. */
static void tell_commanded(struct worker *worker, const struct stream *stream, enum commanded what, int model) {
    if (worker->config->journal[0] == '\0' || worker->restoring)
        return;
    struct record_commanded *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
    *record = (struct record_commanded){.kind = RECORD_COMMANDED,
                                        .what = what,
                                        .model = model,
                                        .generation = stream->generation,
                                        .step = stream->series->history->n,
                                        .n = stream->name_length};
    memcpy(record->name, stream->name, stream->name_length);
    ring_commit(worker->output, sizeof *record + stream->name_length);
}

static void make_ready(struct worker *worker, const struct place *place) {
    struct batch *batch = place->batch;
    if (batch->is_ready[place->slot])
        return;
    batch->is_ready[place->slot] = true;
    if (batch->n_ready++ == 0)
        worker->ready[worker->n_ready++] = batch;
    batch->ready[batch->n_ready - 1] = place->slot;
}

/* The stream with the most steps is the clock of its class: a sender whose times are wrong does not become it. */
static void set_clock(struct worker *worker, const struct stream *stream) {
    const struct history *history = stream->series->history;
    atomic_uint_fast64_t *most = &worker->most_steps[stream->class];
    if (history->n == 0 || history->n < atomic_load_explicit(most, memory_order_relaxed))
        return;
    atomic_store_explicit(most, history->n, memory_order_relaxed);
    atomic_store_explicit(&worker->clocks[stream->class], history_time(history, history->n), memory_order_relaxed);
}

/* What stands out of the step, by its flags. */
static void count_step(struct worker *worker, const struct stream *stream, uint8_t flags) {
    if ((flags & STEP_RESET) != 0)
        tell_anew(worker, stream, true, -1, stream->series->history->n - 1);
    if ((flags & STEP_IMPUTED) != 0)
        count(&worker->time[TIME_CASE_MISSING], 1);
    if ((flags & STEP_CLOCK) != 0)
        count(&worker->time[TIME_CASE_CLOSED], 1);
    if ((flags & STEP_FILLED) != 0)
        count(&worker->time[TIME_CASE_FILLED], 1);
}

/* The newest step of the history has just closed, by a tick that came so. */
static void take_step(struct worker *worker, struct stream *stream, const struct arrival *arrival) {
    const struct series *series = stream->series;
    uint64_t step = series->history->n;
    struct arrival *kept = stream_arrival(stream, step);
    *kept = *arrival;
    if (series->spec->aggregate != AGGREGATE_LAST && series->of_ticks > 1) {
        kept->ticks = series->of_ticks;
        count(&worker->time[TIME_CASE_AGGREGATED], 1);
    }
    atomic_store_explicit(&stream->steps, step, memory_order_relaxed);
    count(&worker->steps, !worker->restoring); /* what is taken once more has been counted */
    set_clock(worker, stream);
    uint8_t flags = history_flags(series->history, step);
    if (flags != 0)
        count_step(worker, stream, flags);
    for (int i = 0; i < stream->n_places; i++)
        make_ready(worker, &stream->places[i]);
}

/* Whether every category of a tick is an id that the models know; a missing one is no wrong one. */
static bool ids_known(const struct config_class *class, const double *values) {
    for (int f = 0; class->vocabulary != NULL && f < class->n_features; f++)
        if (class->vocabulary[f] > 0 && !isnan(values[f]) &&
            !(values[f] >= 0 && values[f] < class->vocabulary[f] && values[f] == floor(values[f])))
            return false;
    return true;
}

/* Whether some model of the stream has not seen all its steps: cheaper to know than how many. */
static bool waits(const struct stream *stream) {
    for (int i = 0; i < stream->n_places; i++)
        if (stream->places[i].batch->is_ready[stream->places[i].slot])
            return true;
    return false;
}

/* Whether the stream may close one more step: else its models have to catch up. */
static bool has_room(struct worker *worker, struct stream *stream) {
    uint64_t waiting = waits(stream) ? stream_pending(stream) : 0;
    if (waiting < (uint64_t)stream->series->history->pending && stream_keep_arrivals(stream, waiting + 1))
        return true;
    count(&worker->pending_full, 1);
    return false;
}

/* What else follows from the tick at the ring's begin. Returns false when it has to wait. */
static bool take_more(struct worker *worker, struct stream *stream, const struct arrival *arrival) {
    worker->taken = true;
    while (series_due(stream->series)) {
        if (!has_room(worker, stream))
            return false;
        if (series_next(stream->series))
            take_step(worker, stream, arrival);
    }
    worker->taken = false;
    return true;
}

/* Something has come for the stream. */
static void touch(struct stream *stream, uint64_t order) {
    stream->taken = stream->order == order ? stream->taken + 1 : 1;
    stream->order = order;
    stream->changed = true;
}

/* Returns false when the tick has to wait until the stream's models have caught up. */
static bool take_tick(struct worker *worker, const struct record_tick *tick) {
    struct stream *stream = tick->stream;
    if (worker->taken)
        return take_more(worker, stream, &tick->arrival);
    if (!has_room(worker, stream))
        return false;
    count(&worker->ticks, !worker->restoring);
    touch(stream, tick->order);
    if (!ids_known(&worker->config->classes[stream->class], tick->values)) {
        tell_refused(worker, stream, REASON_ID, tick->t, tick->producer, tick->arrival.number);
        return true;
    }
    enum time_verdict verdict;
    int closed = series_take(stream->series, tick->t, tick->values, &verdict);
    if (closed < 0)
        tell_refused(worker, stream, verdict == TIME_LATE ? REASON_LATE : REASON_REPEATED, tick->t, tick->producer,
                     tick->arrival.number);
    else if (verdict == TIME_REPLACES || verdict == TIME_SORTED)
        count(&worker->time[verdict == TIME_SORTED ? TIME_CASE_REORDERED : TIME_CASE_REPLACED], 1);
    if (stream->series->held != NULL && reorder_overfull(stream->series->held) &&
        !reorder_ripe(stream->series->held, stream->series->spec->reorder))
        count(&worker->time[TIME_CASE_UNHELD], 1);
    if (closed > 0)
        take_step(worker, stream, &tick->arrival);
    return !series_due(stream->series) || take_more(worker, stream, &tick->arrival);
}

/* Intervals close by the clock. Returns false when the stream's models have to catch up. */
static bool take_close(struct worker *worker, const struct record_close *record) {
    if (!worker->taken)
        series_close(record->stream->series, record->end);
    touch(record->stream, record->order);
    return take_more(worker, record->stream, &record->arrival);
}

/* Steps before it do not know it, whenever they are seen. In a stream with fixed intervals the label of any tick is that of its interval's step. */
static bool take_label(struct worker *worker, const struct record_label *label) {
    struct stream *stream = label->stream;
    if (stream_pending(stream) > 0)
        return false;
    touch(stream, label->order);
    int64_t every = worker->config->classes[stream->class].time.every;
    int64_t t = every > 0 ? time_interval_start(label->t, every) : label->t;
    uint64_t step = history_label(stream->series->history, t, label->label);
    if (step == 0)
        tell_refused(worker, stream, REASON_LABEL, label->t, label->producer, label->number);
    for (int i = 0; step > 0 && i < stream->n_places; i++)
        forecaster_label(stream->places[i].batch->forecaster, stream->places[i].slot, step);
    return true;
}

static bool list_batch(struct worker *worker, struct batch *batch) {
    if (worker->n_batches == worker->room) {
        int room = worker->room == 0 ? 8 : worker->room * 2;
        struct batch **batches = realloc(worker->batches, (size_t)room * sizeof(struct batch *));
        if (batches == NULL)
            return false;
        worker->batches = batches;
        struct batch **ready = realloc(worker->ready, (size_t)room * sizeof(struct batch *));
        if (ready == NULL)
            return false;
        worker->ready = ready;
        worker->room = room;
    }
    worker->batches[worker->n_batches++] = batch;
    batch->listed = true;
    return true;
}

static void acquire_all(const struct stream *stream) {
    for (int i = 0; i < stream->n_places; i++)
        forecaster_acquire(stream->places[i].batch->forecaster, stream->places[i].slot, stream->series->history);
}

static void tell_restored(struct worker *worker, struct stream *stream, const struct error *err) {
    struct record_unreadable *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
    record->kind = RECORD_UNREADABLE;
    record->err = *err;
    record->n = stream->name_length;
    memcpy(record->name, stream->name, stream->name_length);
    ring_commit(worker->output, sizeof *record + stream->name_length);
}

static void tell_unclosed(struct worker *worker, const struct stream *stream, int64_t closed_to) {
    int64_t end;
    if (stream->series->spec->close_after == 0 || !series_is_open(stream->series, &end) || end <= closed_to)
        return;
    struct record_unclosed *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
    *record = (struct record_unclosed){RECORD_UNCLOSED, stream->class, end, stream->name_length};
    memcpy(record->name, stream->name, stream->name_length);
    ring_commit(worker->output, sizeof *record + stream->name_length);
}

/* Where what the store has of it cannot be read, it begins. Returns false when memory is short. */
static bool come_back(struct worker *worker, struct stream *stream, struct homecoming *homecoming) {
    struct series *spare = stream_new_series(worker->config, stream->class);
    if (spare == NULL)
        return false;
    struct error err;
    int failed = worker_restore(worker, stream, homecoming, &err);
    if (failed < 0) {
        struct series *unread = stream->series;
        stream->series = spare;
        spare = unread;
        acquire_all(stream);
    }
    series_free(spare);
    if (failed != 0)
        tell_restored(worker, stream, &err);
    if (homecoming->imported) {
        stream->saved = 0;
        stream->changed = true;
    }
    tell_unclosed(worker, stream, homecoming->closed_to);
    homecoming_free(homecoming);
    atomic_store_explicit(&stream->steps, stream->series->history->n, memory_order_relaxed);
    set_clock(worker, stream);
    return true;
}

/* Returns false to try again later: memory is short, or what is ready goes first. */
static bool take_open(struct worker *worker, struct stream *stream, struct homecoming *homecoming) {
    if (homecoming != NULL && worker->n_ready > 0)
        return false;
    for (int i = 0; i < stream->n_places; i++)
        if (!stream->places[i].batch->listed && !list_batch(worker, stream->places[i].batch))
            return false;
    if (homecoming == NULL)
        acquire_all(stream);
    else if (!come_back(worker, stream, homecoming))
        return false;
    for (int i = 0; i < stream->n_places; i++) {
        const struct place *place = &stream->places[i];
        place->batch->streams[place->slot] = stream;
        worker_tell_takeovers(worker, place->batch);
    }
    DL_APPEND2(worker->streams, stream, worker_previous, worker_next);
    return true;
}

/* Commands on a stream stand in its order of ticks: they wait until all steps before them have been seen. */
static bool reset_stream(struct worker *worker, struct stream *stream, int model, uint64_t order) {
    if (stream_pending(stream) > 0)
        return false;
    touch(stream, order);
    bool any = false;
    for (int i = 0; i < stream->n_places; i++) {
        const struct place *place = &stream->places[i];
        if (model >= 0 && place->batch->model != model)
            continue;
        if (!any)
            tell_commanded(worker, stream, COMMANDED_RESET, model);
        forecaster_reset(place->batch->forecaster, place->slot);
        worker_tell_takeovers(worker, place->batch);
        any = true;
    }
    if (model < 0)
        history_reset(stream->series->history);
    if (any)
        tell_anew(worker, stream, false, model, stream->series->history->n);
    return true;
}

static bool take_reset(struct worker *worker, const struct record_reset *record) {
    if (record->stream != NULL)
        return reset_stream(worker, record->stream, record->model, record->order);
    if (worker->n_ready > 0)
        return false;
    for (struct stream *stream = worker->streams; stream != NULL; stream = stream->worker_next)
        reset_stream(worker, stream, record->model, record->order);
    return true;
}

static void take_pause(struct worker *worker, const struct record_pause *record) {
    struct history *history = record->stream->series->history;
    touch(record->stream, record->order);
    if (history->paused == record->paused)
        return;
    history_pause(history, record->paused);
    tell_commanded(worker, record->stream, record->paused ? COMMANDED_PAUSE : COMMANDED_RESUME, -1);
    const struct record_told told = {
        .what = record->paused ? TOLD_PAUSED : TOLD_RESUMED, .step = history->n, .model = -1};
    worker_tell(worker, record->stream, &told);
}

static bool take_state(struct worker *worker, struct state_order *order) {
    if (order->set)
        touch(order->stream, order->journaled);
    const struct place *place = &order->stream->places[order->place];
    struct forecaster *forecaster = place->batch->forecaster;
    if (forecaster_pending(forecaster, place->slot) > 0)
        return false;
    order->outcome = STATE_DONE;
    int failed = order->set ? forecaster_set_state(forecaster, place->slot, order->values, order->n) : 0;
    struct slot_state state = forecaster_state(forecaster, place->slot);
    if (failed == -1)
        order->outcome = STATE_NO_MEMORY;
    else if (failed != 0 || state.version == NULL || state.n != order->n)
        order->outcome = STATE_OTHER;
    else
        memcpy(order->values, state.values, state.n * sizeof *state.values);
    order->version = state.version != NULL ? version_number(state.version) : 0;
    order->step = state.step;
    order->primed = state.primed;
    if (worker->restoring)
        return true; /* nobody waits for it */
    struct record_state *record = emitter_reserve(worker->emitter, sizeof *record);
    *record = (struct record_state){RECORD_STATE_DONE, order};
    ring_commit(worker->output, sizeof *record);
    worker_tell_takeovers(worker, place->batch); /* that the new state has brought about */
    return true;
}

/* Behind the ticks before it, as a state. */
static bool take_image(struct worker *worker, struct image_order *order) {
    if (!stream_image_can(order->stream))
        return false;
    order->image = stream_image_new(worker->config, order->stream, 0);
    struct record_image *record = emitter_reserve(worker->emitter, sizeof *record);
    *record = (struct record_image){RECORD_IMAGE_DONE, order};
    ring_commit(worker->output, sizeof *record);
    return true;
}

/* The same. */
static bool take_scores(struct worker *worker, struct scores_report *report) {
    if (stream_pending(report->stream) > 0)
        return false;
    scores_report_fill(report);
    struct record_scores *record = emitter_reserve(worker->emitter, sizeof *record);
    *record = (struct record_scores){RECORD_SCORES_DONE, report};
    ring_commit(worker->output, sizeof *record);
    return true;
}

/* The clock of the class has gone: of some streams, those that came first, the one with the most steps becomes it, until
 * one with more takes its next step. */
static void pass_clock_on(struct worker *worker, const struct stream *ended) {
    atomic_uint_fast64_t *most = &worker->most_steps[ended->class];
    if (ended->series->history->n < atomic_load_explicit(most, memory_order_relaxed))
        return;
    atomic_store_explicit(most, 0, memory_order_relaxed);
    int looks = 0;
    for (const struct stream *stream = worker->streams; stream != NULL && looks < HEIRS;
         stream = stream->worker_next) {
        if (stream->class == ended->class)
            set_clock(worker, stream);
        looks++;
    }
}

/* Lets go of it; its image, if it is to be kept, is the store's before the bus knows. */
static bool take_end(struct worker *worker, struct stream *stream, bool kept) {
    if (stream_pending(stream) > 0 || (kept && !background_image(worker, stream, true)))
        return false;
    background_forget(worker, stream);
    for (int i = 0; i < stream->n_places; i++) {
        forecaster_release(stream->places[i].batch->forecaster, stream->places[i].slot);
        stream->places[i].batch->streams[stream->places[i].slot] = NULL;
    }
    DL_DELETE2(worker->streams, stream, worker_previous, worker_next);
    pass_clock_on(worker, stream);
    struct record_stream *record = emitter_reserve(worker->emitter, sizeof *record);
    *record = (struct record_stream){kept ? RECORD_LEFT : RECORD_ENDED, stream};
    ring_commit(worker->output, sizeof *record);
    return true;
}

bool worker_take(struct worker *worker, const void *at) {
    const struct record *record = at;
    switch (record->kind) {
    case RECORD_TICK: return take_tick(worker, at);
    case RECORD_LABEL: return take_label(worker, at);
    case RECORD_OPEN: {
        const struct record_open *open = at;
        return take_open(worker, open->stream, open->homecoming);
    }
    case RECORD_RESET: return take_reset(worker, at);
    case RECORD_PAUSE: take_pause(worker, at); return true;
    case RECORD_STATE: return take_state(worker, ((const struct record_state *)at)->order);
    case RECORD_IMAGE: return take_image(worker, ((const struct record_image *)at)->order);
    case RECORD_SCORES: return take_scores(worker, ((const struct record_scores *)at)->report);
    case RECORD_CLOSE: return take_close(worker, at);
    case RECORD_END: return take_end(worker, ((const struct record_stream *)at)->stream, false);
    case RECORD_LEAVE: return take_end(worker, ((const struct record_stream *)at)->stream, true);
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
    const struct history *history = stream->series->history;
    __builtin_prefetch(stream->series);
    __builtin_prefetch(history);
    __builtin_prefetch(&history->values);
    __builtin_prefetch(stream->places);
}

static void fetch_rows(const struct stream *stream) {
    const struct history *history = stream->series->history;
    size_t at = history->at + 1 == (size_t)history->capacity ? 0 : history->at + 1;
    __builtin_prefetch(&history->t[at], 1);
    __builtin_prefetch(&history->values[at * (size_t)history->n_features], 1);
    __builtin_prefetch(&history->flags[at], 1);
    __builtin_prefetch(&history->missing[at * (size_t)history->mask_bytes], 1);
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
    count(&worker->advances, 1);
    count(&worker->not_finite, forecaster_not_finite(batch->forecaster) - not_finite);
    count(&worker->resets_time, forecaster_time_resets(batch->forecaster) - anew);
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
            !take_tick(worker, tick))
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
    worker->collections = calloc((size_t)config->n_models, sizeof *worker->collections);
    worker->trials = calloc((size_t)config->n_models, sizeof *worker->trials);
    if (worker->input == NULL || worker->output == NULL || worker->most_steps == NULL || worker->clocks == NULL ||
        worker->collections == NULL || worker->trials == NULL ||
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
