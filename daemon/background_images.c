/* A round of images: what has changed of the worker's streams goes to the store, some streams in each slice. */
#include "daemon/background.h"

#include "daemon/store.h"
#include "daemon/stream_image.h"

#include <assert.h>

/* Streams that one slice looks at, and images that it makes: no more than an advance's work. */
enum { LOOKS = 1024, IMAGES = 2 };

void background_round(struct worker *worker, const struct record_round *record) {
    assert(worker->imaging.round == 0); /* the bus begins none before the last one is done */
    worker->imaging = (struct imaging){.round = record->round, .stream = worker->streams};
}

static void end_round(struct worker *worker) {
    struct record_round *record = emitter_reserve(worker->emitter, sizeof *record);
    *record = (struct record_round){RECORD_ROUND_DONE, worker->imaging.round};
    ring_commit(worker->output, sizeof *record);
    worker->imaging = (struct imaging){0};
}

bool background_image(struct worker *worker, struct stream *stream) {
    if (!stream->changed)
        return true;
    struct stored *stored = stream_image_can(stream) ? stream_image_new(worker->config, stream, stream->saved) : NULL;
    if (stored == NULL)
        return false;
    if (!store_put(worker->store, worker->index, stored)) {
        stored_free(stored);
        return false;
    }
    stream->changed = false;
    stream->saved = stream->series->history->n;
    atomic_store_explicit(&worker->images, atomic_load_explicit(&worker->images, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    return true;
}

bool background_round_slice(struct worker *worker) {
    struct imaging *imaging = &worker->imaging;
    if (imaging->round == 0)
        return false;
    int made = 0;
    for (int looked = 0; looked < LOOKS && made < IMAGES && imaging->stream != NULL; looked++) {
        struct stream *stream = imaging->stream;
        imaging->stream = stream->worker_next;
        made += stream->changed;
        /* Its steps wait, or a version takes it over, or there is no room: later. */
        imaging->again |= !background_image(worker, stream);
    }
    if (imaging->stream != NULL)
        return true;
    if (!imaging->again) {
        end_round(worker);
        return false;
    }
    imaging->stream = worker->streams;
    imaging->again = false;
    return false; /* what stands in the way goes on first */
}
