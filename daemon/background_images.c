/* A round of images: what has changed of the worker's streams goes to the store, some streams in each slice. */
#include "daemon/background.h"

#include "daemon/store.h"
#include "daemon/stream_image.h"

#include <assert.h>

/* Streams that one slice looks at, and images that it makes: no more than an advance's work. */
enum { LOOKS = 1024, IMAGES = 8 };

void background_round(struct worker *worker, const struct record_round *record) {
    assert(worker->imaging.round == 0); /* the bus begins none before the last one is done */
    worker->imaging.round = record->round;
    worker->imaging.stream = worker->streams;
    worker->imaging.again = false;
}

static void end_round(struct worker *worker) {
    struct record_round *record = emitter_reserve(worker->emitter, sizeof *record);
    *record = (struct record_round){RECORD_ROUND_DONE, worker->imaging.round};
    ring_commit(worker->output, sizeof *record);
    worker->imaging.round = 0;
}

/* One that found no room goes before any other, lest it take the place of a later one of its stream. */
static bool hand_over(struct worker *worker, bool leaves) {
    struct imaging *imaging = &worker->imaging;
    if (imaging->waiting != NULL && store_put(worker->store, worker->index, imaging->waiting, leaves)) {
        imaging->waiting = NULL;
        atomic_store_explicit(&worker->images, atomic_load_explicit(&worker->images, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    }
    return imaging->waiting == NULL;
}

bool background_image(struct worker *worker, struct stream *stream, bool leaves) {
    if (!hand_over(worker, leaves))
        return false;
    if (!stream->changed)
        return true;
    if (!stream_image_can(stream))
        return false;
    worker->imaging.waiting = stream_image_new(worker->config, stream, stream->saved);
    if (worker->imaging.waiting == NULL)
        return false;
    stream->changed = false;
    stream->imaged = worker->imaging.round;
    stream->saved = stream->series->history->n;
    return hand_over(worker, leaves);
}

bool background_round_slice(struct worker *worker) {
    struct imaging *imaging = &worker->imaging;
    if (imaging->round == 0)
        return false;
    int made = 0;
    for (int looked = 0; looked < LOOKS && made < IMAGES && imaging->stream != NULL; looked++) {
        if (!hand_over(worker, false))
            return false; /* the disk is behind */
        struct stream *stream = imaging->stream;
        imaging->stream = stream->worker_next;
        /* What has come since its image is the next round's: under load this one would not end. */
        if (!stream->changed || stream->imaged == imaging->round)
            continue;
        made++;
        /* Its steps wait, or a version takes it over: later. */
        imaging->again |= !background_image(worker, stream, false) && imaging->waiting == NULL;
    }
    if (imaging->stream != NULL)
        return true;
    if (!hand_over(worker, false))
        return false;
    if (!imaging->again) {
        end_round(worker);
        return false;
    }
    imaging->stream = worker->streams;
    imaging->again = false;
    return false; /* what stands in the way goes on first */
}
