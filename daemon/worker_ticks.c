/* Ticks become steps, and labels are put to them. The slots of a new step are ready to be advanced. */
#include "daemon/worker_internal.h"

#include <math.h>

static void make_ready(struct worker *worker, const struct place *place) {
    struct batch *batch = place->batch;
    if (batch->is_ready[place->slot])
        return;
    batch->is_ready[place->slot] = true;
    if (batch->n_ready++ == 0)
        worker->ready[worker->n_ready++] = batch;
    batch->ready[batch->n_ready - 1] = place->slot;
}

void worker_set_clock(struct worker *worker, const struct stream *stream) {
    const struct history *history = stream->series->history;
    atomic_uint_fast64_t *most = &worker->most_steps[stream->of_class];
    if (history->n == 0 || history->n < atomic_load_explicit(most, memory_order_relaxed))
        return;
    atomic_store_explicit(most, history->n, memory_order_relaxed);
    atomic_store_explicit(&worker->clocks[stream->of_class], history_time(history, history->n), memory_order_relaxed);
}

/* A step has been taken as it came. What a stream brings back from the disk, or has in its tail, tells no time: it may be of long
 * ago, and was taken then. */
static void tell_time(struct worker *worker, const struct stream *stream) {
    const struct history *history = stream->series->history;
    struct ticking *ticking = &worker->ticking[stream->of_class];
    if (history->n <= atomic_load_explicit(&ticking->steps, memory_order_relaxed))
        return;
    bool other = ticking->stream != stream;
    ticking->stream = stream;
    for (int i = 0; i < stream->n_places; i++) {
        struct trained *trained = &worker->trained[stream->places[i].batch->model];
        int64_t at = atomic_load_explicit(&trained->at, memory_order_relaxed);
        if (other || at != atomic_load_explicit(&trained->known, memory_order_relaxed))
            trained->until = history_step_until(history, at);
        atomic_store_explicit(&trained->since, history->n - trained->until, memory_order_relaxed);
        atomic_store_explicit(&trained->known, at, memory_order_release);
    }
    atomic_store_explicit(&ticking->t, history_time(history, history->n), memory_order_relaxed);
    atomic_store_explicit(&ticking->steps, history->n, memory_order_release);
}

/* What stands out of the step, by its flags. */
static void count_step(struct worker *worker, const struct stream *stream, uint8_t flags) {
    if ((flags & STEP_RESET) != 0)
        worker_tell_anew(worker, stream, true, -1, stream->series->history->n - 1);
    if ((flags & STEP_IMPUTED) != 0)
        worker_count(&worker->time[TIME_CASE_MISSING], 1);
    if ((flags & STEP_CLOCK) != 0)
        worker_count(&worker->time[TIME_CASE_CLOSED], 1);
    if ((flags & STEP_FILLED) != 0)
        worker_count(&worker->time[TIME_CASE_FILLED], 1);
}

/* The newest step of the history has just closed, by a tick that came so. */
static void take_step(struct worker *worker, struct stream *stream, const struct arrival *arrival) {
    const struct series *series = stream->series;
    uint64_t step = series->history->n;
    struct arrival *kept = stream_arrival(stream, step);
    *kept = *arrival;
    if (series->spec->aggregate != AGGREGATE_LAST && series->of_ticks > 1) {
        kept->ticks = series->of_ticks;
        worker_count(&worker->time[TIME_CASE_AGGREGATED], 1);
    }
    atomic_store_explicit(&stream->steps, step, memory_order_relaxed);
    worker_count(&worker->steps, !worker->restoring); /* what is taken once more has been counted */
    worker_set_clock(worker, stream);
    if (!worker->restoring)
        tell_time(worker, stream);
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
    bool room = waiting == 0 || waiting < (uint64_t)stream->series->history->pending;
    if (room && stream_keep_arrivals(stream, waiting + 1))
        return true;
    worker_count(&worker->pending_full, 1);
    return false;
}

bool worker_take_due(struct worker *worker, struct stream *stream, const struct arrival *arrival) {
    while (series_due(stream->series)) {
        if (!has_room(worker, stream))
            return false;
        if (series_next(stream->series))
            take_step(worker, stream, arrival);
    }
    return true;
}

/* What else follows from the tick at the ring's begin. Returns false when it has to wait. */
static bool take_more(struct worker *worker, struct stream *stream, const struct arrival *arrival) {
    worker->taken = !worker_take_due(worker, stream, arrival);
    return !worker->taken;
}

void worker_touch(struct stream *stream, uint64_t order) {
    stream->taken = stream->order == order ? stream->taken + 1 : 1;
    stream->order = order;
    stream->changed = true;
}

bool worker_take_tick(struct worker *worker, const struct record_tick *tick) {
    struct stream *stream = tick->stream;
    if (worker->taken)
        return take_more(worker, stream, &tick->arrival);
    if (!has_room(worker, stream))
        return false;
    worker_count(&worker->ticks, !worker->restoring);
    worker_touch(stream, tick->order);
    if (!ids_known(&worker->config->classes[stream->of_class], tick->values)) {
        worker_tell_refused(worker, stream, REASON_ID, tick->t, tick->producer, tick->arrival.number);
        return true;
    }
    enum time_verdict verdict;
    int closed = series_take(stream->series, tick->t, tick->values, &verdict);
    if (closed < 0)
        worker_tell_refused(worker, stream, verdict == TIME_LATE ? REASON_LATE : REASON_REPEATED, tick->t,
                            tick->producer, tick->arrival.number);
    else if (verdict == TIME_REPLACES || verdict == TIME_SORTED)
        worker_count(&worker->time[verdict == TIME_SORTED ? TIME_CASE_REORDERED : TIME_CASE_REPLACED], 1);
    if (stream->series->held != NULL && reorder_overfull(stream->series->held) &&
        !reorder_ripe(stream->series->held, stream->series->spec->reorder))
        worker_count(&worker->time[TIME_CASE_UNHELD], 1);
    if (closed > 0)
        take_step(worker, stream, &tick->arrival);
    return !series_due(stream->series) || take_more(worker, stream, &tick->arrival);
}

bool worker_take_close(struct worker *worker, const struct record_close *record) {
    if (!worker->taken)
        series_close(record->stream->series, record->end);
    worker_touch(record->stream, record->order);
    return take_more(worker, record->stream, &record->arrival);
}

/* Steps before it do not know it, whenever they are seen. In a stream with fixed intervals the label of any tick is that of
 * its interval's step. */
bool worker_take_label(struct worker *worker, const struct record_label *label) {
    struct stream *stream = label->stream;
    if (stream_pending(stream) > 0)
        return false;
    worker_touch(stream, label->order);
    int64_t every = worker->config->classes[stream->class].time.every;
    int64_t t = every > 0 ? time_interval_start(label->t, every) : label->t;
    uint64_t step = history_label(stream->series->history, t, label->label);
    if (step == 0)
        worker_tell_refused(worker, stream, REASON_LABEL, label->t, label->producer, label->number);
    for (int i = 0; step > 0 && i < stream->n_places; i++)
        forecaster_label(stream->places[i].batch->forecaster, stream->places[i].slot, step);
    return true;
}
