#include "daemon/closer.h"

#include "daemon/stream.h"

#include <assert.h>
#include <stdlib.h>

/* A turn of the wheel is 41 seconds; who is due later is passed over until then. */
enum { SLOTS = 4096, MS = 1000000 };
static const int64_t slot_ns = INT64_C(10) * MS;

struct closer {
    int64_t turned;              /* slots up to this one, counted from 1970, have been looked at */
    struct closing slots[SLOTS]; /* each the begin and the end of a ring */
};

struct closer *closer_new(void) {
    struct closer *closer = calloc(1, sizeof *closer);
    for (int s = 0; closer != NULL && s < SLOTS; s++)
        closer->slots[s].previous = closer->slots[s].next = &closer->slots[s];
    return closer;
}

void closer_free(struct closer *closer) {
    free(closer);
}

static int64_t sum(int64_t a, int64_t b) {
    int64_t result;
    return __builtin_add_overflow(a, b, &result) ? INT64_MAX : result;
}

static struct closing *slot_of(struct closer *closer, int64_t slot) {
    return &closer->slots[(uint64_t)slot % SLOTS];
}

static void take_out(struct closing *node) {
    node->previous->next = node->next;
    node->next->previous = node->previous;
    node->previous = node->next = NULL;
}

/* Into the slot of its time, or of the next that is looked at. */
static void put_in(struct closer *closer, struct closing *node) {
    int64_t slot = time_interval_start(node->at, slot_ns) / slot_ns;
    struct closing *ring = slot_of(closer, slot > closer->turned ? slot : closer->turned + 1);
    node->previous = ring->previous;
    node->next = ring;
    node->previous->next = node->next->previous = node;
}

static int64_t due(const struct closing *node) {
    return sum(node->end > node->received ? node->end : node->received, node->after);
}

void closer_note(struct closer *closer, struct stream *stream, const struct time_policy_spec *spec, int64_t t,
                 int64_t received) {
    struct closing *node = stream_closing(stream);
    int64_t end = sum(time_interval_start(t, spec->every), spec->every);
    node->received = received;
    if (node->next != NULL) {
        node->end = end > node->end ? end : node->end;
        return;
    }
    node->stream = stream;
    node->after = spec->close_after;
    node->end = end;
    node->at = due(node);
    put_in(closer, node);
}

void closer_forget(struct stream *stream) {
    struct closing *node = stream_closing(stream);
    if (node != NULL && node->next != NULL)
        take_out(node);
}

void closer_done(struct stream *stream) {
    closer_forget(stream);
}

/* The first of a slot that is due; the others are put where they are by now. */
static struct closing *look_at(struct closer *closer, struct closing *ring, int64_t now) {
    for (struct closing *node = ring->next, *next; node != ring; node = next) {
        next = node->next;
        if (node->at > now)
            continue;
        node->at = due(node);
        if (node->at <= now)
            return node;
        take_out(node);
        put_in(closer, node);
    }
    return NULL;
}

struct stream *closer_next(struct closer *closer, int64_t now, int64_t *ret_end) {
    int64_t slot = time_interval_start(now, slot_ns) / slot_ns;
    if (slot <= closer->turned || slot - closer->turned > SLOTS) /* the clock was set; or it begins */
        closer->turned = slot - SLOTS - 1;
    for (; closer->turned + 1 < slot; closer->turned++) { /* the present one is not over */
        struct closing *node = look_at(closer, slot_of(closer, closer->turned + 1), now);
        if (node == NULL)
            continue;
        *ret_end = node->end;
        return node->stream;
    }
    return NULL;
}

int closer_wait_ms(const struct closer *closer, int64_t now, int most) {
    for (int64_t ahead = 1; ahead * slot_ns <= (int64_t)most * MS; ahead++) {
        const struct closing *ring = &closer->slots[(uint64_t)(closer->turned + ahead) % SLOTS];
        int64_t until = (closer->turned + ahead + 1) * slot_ns - now;
        for (const struct closing *node = ring->next; node != ring; node = node->next)
            if (node->at < sum(now, (int64_t)most * MS))
                return until <= 0 ? 0 : until / MS < most ? (int)(until / MS) + 1 : most;
    }
    return most;
}
