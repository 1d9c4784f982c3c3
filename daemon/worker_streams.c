/* Streams that come and go, and commands on them. */
#include "daemon/worker_internal.h"

#include "daemon/background.h"
#include "daemon/homecoming.h"
#include "daemon/scores_report.h"
#include "daemon/stream_image.h"
#include "daemon/worker_restore.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Streams that are looked at for the next clock of a class: who leaves memory must not cost more the more there are. */
enum { HEIRS = 64 };

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
    background_opened(worker, batch);
    return true;
}

static void acquire_all(const struct stream *stream) {
    for (int i = 0; i < stream->n_places; i++)
        forecaster_acquire(stream->places[i].batch->forecaster, stream->places[i].slot, stream->series->history);
}

/* Where what the store has of it cannot be read, it begins. */
static void come_back(struct worker *worker, struct stream *stream, struct homecoming *homecoming) {
    struct error err;
    int failed = worker_restore(worker, stream, homecoming, &err);
    if (failed < 0) {
        series_renew(stream->series);
        acquire_all(stream);
    }
    if (failed != 0)
        worker_tell_unreadable(worker, stream, &err);
    if (homecoming->imported) {
        stream->saved = 0;
        stream->changed = true;
    }
    for (int i = 0; i < stream->n_places; i++)
        background_came_back(worker, stream->places[i].batch);
    worker_tell_unclosed(worker, stream, homecoming->closed_to);
    homecoming_free(homecoming);
    atomic_store_explicit(&stream->steps, stream->series->history->n, memory_order_relaxed);
    atomic_store_explicit(&stream->paused, stream->series->history->paused, memory_order_relaxed);
    worker_set_clock(worker, stream);
}

/* Returns false to try again later: memory is short, or what is ready goes first. */
bool worker_take_open(struct worker *worker, struct stream *stream, struct homecoming *homecoming) {
    if (homecoming != NULL && worker->n_ready > 0)
        return false;
    for (int i = 0; i < stream->n_places; i++)
        if (!stream->places[i].batch->listed && !list_batch(worker, stream->places[i].batch))
            return false;
    if (homecoming == NULL)
        acquire_all(stream);
    else
        come_back(worker, stream, homecoming);
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
    worker_touch(stream, order);
    bool any = false;
    for (int i = 0; i < stream->n_places; i++) {
        const struct place *place = &stream->places[i];
        if (model >= 0 && place->batch->model != model)
            continue;
        if (!any)
            worker_tell_commanded(worker, stream, COMMANDED_RESET, model);
        forecaster_reset(place->batch->forecaster, place->slot);
        worker_tell_takeovers(worker, place->batch);
        any = true;
    }
    if (model < 0)
        history_reset(stream->series->history);
    if (any)
        worker_tell_anew(worker, stream, false, model, stream->series->history->n);
    return true;
}

bool worker_take_reset(struct worker *worker, const struct record_reset *record) {
    if (record->stream != NULL)
        return reset_stream(worker, record->stream, record->model, record->order);
    if (worker->n_ready > 0)
        return false;
    for (struct stream *stream = worker->streams; stream != NULL; stream = stream->worker_next)
        reset_stream(worker, stream, record->model, record->order);
    return true;
}

void worker_take_pause(struct worker *worker, const struct record_pause *record) {
    struct history *history = record->stream->series->history;
    worker_touch(record->stream, record->order);
    atomic_store_explicit(&record->stream->paused, record->paused, memory_order_relaxed);
    if (history->paused == record->paused)
        return;
    history_pause(history, record->paused);
    worker_tell_commanded(worker, record->stream, record->paused ? COMMANDED_PAUSE : COMMANDED_RESUME, -1);
    const struct record_told told = {
        .what = record->paused ? TOLD_PAUSED : TOLD_RESUMED, .step = history->n, .model = -1};
    worker_tell(worker, record->stream, &told);
}

bool worker_take_state(struct worker *worker, struct state_order *order) {
    const struct place *place = &order->stream->places[order->place];
    struct forecaster *forecaster = place->batch->forecaster;
    if (forecaster_pending(forecaster, place->slot) > 0)
        return false;
    if (order->set)
        worker_touch(order->stream, order->journaled);
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
bool worker_take_image(struct worker *worker, struct image_order *order) {
    if (!stream_image_can(order->stream))
        return false;
    order->image = stream_image_new(worker->config, order->stream, 0);
    struct record_image *record = emitter_reserve(worker->emitter, sizeof *record);
    *record = (struct record_image){RECORD_IMAGE_DONE, order};
    ring_commit(worker->output, sizeof *record);
    return true;
}

/* The same. */
bool worker_take_scores(struct worker *worker, struct scores_report *report) {
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
    struct ticking *ticking = &worker->ticking[ended->class];
    if (ticking->stream == ended) {
        ticking->stream = NULL;
        atomic_store_explicit(&ticking->steps, 0, memory_order_relaxed);
    }
    if (ended->series->history->n < atomic_load_explicit(most, memory_order_relaxed))
        return;
    atomic_store_explicit(most, 0, memory_order_relaxed);
    int looks = 0;
    for (const struct stream *stream = worker->streams; stream != NULL && looks < HEIRS;
         stream = stream->worker_next) {
        if (stream->class == ended->class)
            worker_set_clock(worker, stream);
        looks++;
    }
}

bool worker_take_end(struct worker *worker, struct stream *stream, bool kept) {
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
