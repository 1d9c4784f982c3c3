#include "daemon/opening.h"

#include "daemon/clock.h"
#include "daemon/records.h"

#include <assert.h>

/* Streams in memory beyond `max_resident`, so that some leave while others come. */
enum { CROWD = 128 };

size_t opening_tick_bytes(const struct config *config, int class) {
    return sizeof(struct record_tick) + (size_t)config->classes[class].n_features * sizeof(double);
}

bool opening_has_room(const struct opening *opening, int class) {
    size_t n = opening_tick_bytes(opening->config, class) + sizeof(struct record_open) + 16;
    for (int w = 0; w < opening->config->workers; w++)
        if (!ring_has_room(worker_input(opening->workers[w]), n, WORKER_COMMAND_SPARE))
            return false;
    return true;
}

bool opening_is_crowded(const struct opening *opening, int class) {
    int64_t most = opening->config->classes[class].max_resident;
    return most > 0 && streams_count_of(opening->streams, class) >= most + CROWD;
}

struct stream *opening_make(struct opening *opening, int class, const char *name, size_t n, uint32_t generation,
                            int worker) {
    struct stream *stream = stream_new(opening->config, streams_pool(opening->streams), class, name, n, generation,
                                       placement_n_models(opening->placement, class));
    if (stream == NULL || streams_reserve(opening->streams) != 0) {
        stream_free(stream);
        return NULL;
    }
    if (placement_acquire(opening->placement, stream, worker) != 0) {
        streams_unreserve(opening->streams);
        stream_free(stream);
        return NULL;
    }
    stream->used = opening_second(opening);
    return stream;
}

uint32_t opening_second(const struct opening *opening) {
    return (uint32_t)((clock_monotonic() - opening->began) / 1000000000);
}

void opening_unmake(struct opening *opening, struct stream *stream) {
    placement_release(opening->placement, stream);
    streams_unreserve(opening->streams);
    stream_free(stream);
}

void opening_hand_over(struct opening *opening, struct stream *stream, struct homecoming *homecoming, bool known) {
    struct worker *worker = opening->workers[stream->worker];
    struct record_open *record = ring_reserve(worker_input(worker), sizeof *record, 0);
    assert(record != NULL);
    *record = (struct record_open){RECORD_OPEN, stream, homecoming};
    ring_commit(worker_input(worker), sizeof *record);
    opening->started += !known;
    const char *kind = known ? "returned" : "started";
    if (!publisher_would_tell(opening->publisher, kind))
        return; /* of many at once most are counted only */
    publisher_event(opening->publisher, kind, stream->name,
                    json_pack("{s:s, s:s, s:i, s:i}", "stream", stream->name, "class",
                              opening->config->classes[stream->class].name, "generation", (int)stream->generation,
                              "worker", stream->worker),
                    known ? "stream %s has come back" : "stream %s begins", stream->name);
}
