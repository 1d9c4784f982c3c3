#include "daemon/ahead.h"

/* Ticks before its own that a stream's place in the index is asked for, and then the stream. */
enum { AHEAD_PLACE = 8, AHEAD_STREAM = 4 };

void ahead_begin(struct ahead *ahead, const struct wire_ticks *ticks) {
    ahead->at = ticks->at;
    ahead->looked = ahead->taken = 0;
}

void ahead_step(struct ahead *ahead, const struct wire_ticks *ticks, const struct streams *streams) {
    if (ahead->looked <= ahead->taken) { /* seen no further: perhaps from the tick at hand on */
        ahead->at = ticks->at;
        ahead->looked = ahead->taken;
    }
    while (ahead->at != NULL && ahead->looked <= ahead->taken + AHEAD_PLACE) {
        struct wire_text name;
        ahead->at = wire_ticks_look(ticks, ahead->at, &name);
        if (ahead->at == NULL)
            break;
        uint64_t hash = streams_hash(streams, name.at, name.n);
        streams_fetch_place(streams, hash);
        ahead->seen[ahead->looked % AHEAD_SEEN].name = name.at;
        ahead->seen[ahead->looked++ % AHEAD_SEEN].hash = hash;
    }
    if (ahead->taken + AHEAD_STREAM < ahead->looked)
        streams_fetch(streams, ahead->seen[(ahead->taken + AHEAD_STREAM) % AHEAD_SEEN].hash);
    ahead->taken++;
}

struct stream *ahead_find(const struct ahead *ahead, const struct streams *streams, struct wire_text name) {
    unsigned last = ahead->taken - 1;
    if (last < ahead->looked && ahead->seen[last % AHEAD_SEEN].name == name.at)
        return streams_find_hashed(streams, ahead->seen[last % AHEAD_SEEN].hash, name.at, name.n);
    return streams_find(streams, name.at, name.n);
}
