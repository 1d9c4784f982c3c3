/* What a worker tells the bus of its streams, for the events. */
#include "daemon/worker_internal.h"

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

void worker_tell(struct worker *worker, const struct stream *stream, enum told what) {
    if (!worker_may_tell(worker, &worker->told_telling))
        return;
    struct record_told *record = emitter_reserve(worker->emitter, sizeof *record + stream->name_length);
    *record = (struct record_told){
        .kind = RECORD_TOLD, .what = what, .step = stream->series->history->n, .n = stream->name_length};
    memcpy(record->name, stream->name, stream->name_length);
    ring_commit(worker->output, sizeof *record + stream->name_length);
}
