#include "daemon/eviction.h"

#include "daemon/returns.h"

/* Streams that are looked at in one go; and for each that has to leave, among which the quietest is chosen. */
enum { LOOKS = 2048, CANDIDATES = 16 };
/* On their way at a time: their images have room in the half of a worker's ring that others leave to them. */
enum { LEAVING_MOST = 128 };

static const int64_t second = 1000000000;

static bool idle(const struct eviction *eviction, const struct stream *stream, uint32_t now) {
    int64_t timeout = eviction->opening->config->classes[stream->class].idle_timeout;
    return timeout > 0 && (int64_t)(now - stream->used) * second >= timeout;
}

static bool too_many(const struct eviction *eviction, int class) {
    int64_t most = eviction->opening->config->classes[class].max_resident;
    return most > 0 && streams_count_of(eviction->opening->streams, class) > most;
}

/* The next of those that are looked at by turns. */
static struct stream *quietest(const struct eviction *eviction, int class) {
    struct stream *chosen = NULL;
    int candidates = 0;
    for (int looks = 0; looks < LOOKS && candidates < CANDIDATES; looks++) {
        struct stream *stream = streams_walk(eviction->opening->streams);
        if (stream == NULL || stream->class != class)
            continue;
        candidates++;
        if (chosen == NULL || stream->used < chosen->used)
            chosen = stream;
    }
    return chosen;
}

static bool may_leave(const struct eviction *eviction) {
    return !store_degraded(eviction->store) && returns_n_leaving(eviction->returns) < LEAVING_MOST &&
           store_takes_images(eviction->store);
}

void eviction_make_room(struct eviction *eviction) {
    for (int c = 0; c < eviction->opening->config->n_classes; c++)
        while (too_many(eviction, c) && may_leave(eviction)) {
            struct stream *stream = quietest(eviction, c);
            if (stream == NULL || ingest_evict(eviction->ingest, stream) != 0)
                return;
        }
}

void eviction_poll(struct eviction *eviction) {
    uint32_t now = opening_second(eviction->opening);
    for (int looks = 0; looks < LOOKS && may_leave(eviction); looks++) {
        struct stream *stream = streams_walk(eviction->opening->streams);
        if (stream == NULL)
            return;
        if (idle(eviction, stream, now) && ingest_evict(eviction->ingest, stream) != 0)
            return;
    }
}
