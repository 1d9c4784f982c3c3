/* What a worker tells the bus of its streams, for the events. */
#include "daemon/worker_internal.h"

#include "engine/alerts.h"

#include <string.h>
#include <time.h>

bool worker_may_tell(const struct worker *worker, struct telling *telling) {
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
