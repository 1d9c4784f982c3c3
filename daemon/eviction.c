#include "daemon/eviction.h"

/* Streams that are looked at in one go; and for each that has to leave, among which the quietest is chosen. */
enum { LOOKS = 2048, CANDIDATES = 16 };
/* That leave in one go. */
enum { LEAVE_MOST = 256 };

static const int64_t second = 1000000000;

static bool idle(const struct eviction *eviction, const struct stream *stream, uint32_t now) {
    int64_t timeout = eviction->config->classes[stream->class].idle_timeout;
    return timeout > 0 && (int64_t)(now - stream->used) * second >= timeout;
}

static bool too_many(const struct eviction *eviction, int class) {
    int64_t most = eviction->config->classes[class].max_resident;
    return most > 0 && streams_count_of(eviction->streams, class) > most;
}

/* The next of those that are looked at by turns. */
static struct stream *quietest(const struct eviction *eviction, int class) {
    struct stream *chosen = NULL;
    int candidates = 0;
    for (int looks = 0; looks < LOOKS && candidates < CANDIDATES; looks++) {
        struct stream *stream = streams_walk(eviction->streams);
        if (stream == NULL || stream->class != class)
            continue;
        candidates++;
        if (chosen == NULL || stream->used < chosen->used)
            chosen = stream;
    }
    return chosen;
}

void eviction_make_room(struct eviction *eviction) {
    int left = 0;
    for (int c = 0; c < eviction->config->n_classes && !store_degraded(eviction->store); c++)
        while (left < LEAVE_MOST && too_many(eviction, c)) {
            struct stream *stream = quietest(eviction, c);
            if (stream == NULL || ingest_evict(eviction->ingest, stream) != 0)
                return;
            left++;
        }
}

void eviction_poll(struct eviction *eviction) {
    uint32_t now = ingest_second(eviction->ingest);
    int left = 0;
    for (int looks = 0; looks < LOOKS && left < LEAVE_MOST && !store_degraded(eviction->store); looks++) {
        struct stream *stream = streams_walk(eviction->streams);
        if (stream == NULL)
            return;
        if (idle(eviction, stream, now) && ingest_evict(eviction->ingest, stream) == 0)
            left++;
    }
}
