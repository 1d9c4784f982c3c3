/* What a worker tells the bus of its streams: for the events, the journal and the senders of ticks. */
#include "daemon/worker_internal.h"

#include "engine/alerts.h"

#include <string.h>
#include <time.h>

/* Whether one more event of a kind need go to the bus in this second: all are counted, more than may be sent are not
 * told. */
static bool may_tell(const struct worker *worker, struct telling *telling) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (telling->second != now.tv_sec)
        telling->told = 0;
    telling->second = now.tv_sec;
    return telling->told++ <= (int)worker->config->bus.events_per_second;
}

void worker_tell(struct worker *worker, const struct stream *stream, const struct record_told *told) {
    struct record_told *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
    *record = *told;
    record->kind = RECORD_TOLD;
    record->n = stream->name_length;
    memcpy(record->name, stream->name, stream->name_length);
    ring_commit(worker->output, sizeof *record + stream->name_length);
}

/* The means that the verdict was passed by. */
static void tell_verdict(struct worker *worker, const struct stream *stream, struct record_told *told,
                         const struct forecast *forecast) {
    int n = 0;
    for (int i = 0; i < forecast->n_scores; i++) {
        const struct score *score = &forecast->scores[i];
        if (score->n < VERDICT_LEAST)
            continue;
        told->mae += (double)score->recent.mae;
        told->mae_last_value += (double)score->recent.mae_last_value;
        told->mae_all += (double)score->all.mae;
        n++;
    }
    told->mae /= n;
    told->mae_last_value /= n;
    told->mae_all /= n;
    told->what = TOLD_VERDICT;
    told->verdict = forecast->verdict;
    worker_tell(worker, stream, told);
}

void worker_tell_alarms(struct worker *worker, const struct batch *batch, const int *slots, int n) {
    int n_alerts = worker->config->models[batch->model].n_alerts;
    for (int i = 0; i < n; i++) {
        if (!forecaster_has_news(batch->forecaster, slots[i]))
            continue;
        const struct forecast *forecast = forecaster_latest(batch->forecaster, slots[i]);
        struct record_told told = {.step = forecast->step, .t = forecast->t, .model = batch->model};
        if (forecast->verdict_changed)
            tell_verdict(worker, batch->streams[slots[i]], &told, forecast);
        for (int a = 0; a < n_alerts; a++) {
            if (!forecast->alerts[a].changed)
                continue;
            told.what = TOLD_ALERT;
            told.index = a;
            told.alert = forecast->alerts[a];
            worker_tell(worker, batch->streams[slots[i]], &told);
        }
    }
}

void worker_tell_refused(struct worker *worker, const struct stream *stream, enum reason reason, int64_t t,
                         uint32_t producer, uint64_t number) {
    worker_count(&worker->refused[reason], 1);
    bool tell = !worker->restoring && may_tell(worker, &worker->refused_telling);
    if (!tell && producer == 0)
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

void worker_tell_anew(struct worker *worker, const struct stream *stream, bool gap, int model, uint64_t step) {
    worker_count(gap ? &worker->resets_gap : &worker->resets_asked, 1);
    if (worker->restoring || !may_tell(worker, &worker->anew_telling))
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

void worker_tell_commanded(struct worker *worker, const struct stream *stream, enum commanded what, int model) {
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

void worker_tell_unreadable(struct worker *worker, const struct stream *stream, const struct error *err) {
    struct record_unreadable *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
    record->kind = RECORD_UNREADABLE;
    record->err = *err;
    record->n = stream->name_length;
    memcpy(record->name, stream->name, stream->name_length);
    ring_commit(worker->output, sizeof *record + stream->name_length);
}

void worker_tell_unclosed(struct worker *worker, const struct stream *stream, int64_t closed_to) {
    int64_t end;
    if (stream->series->spec->close_after == 0 || !series_is_open(stream->series, &end) || end <= closed_to)
        return;
    struct record_unclosed *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
    *record = (struct record_unclosed){RECORD_UNCLOSED, stream->class, end, stream->name_length};
    memcpy(record->name, stream->name, stream->name_length);
    ring_commit(worker->output, sizeof *record + stream->name_length);
}
