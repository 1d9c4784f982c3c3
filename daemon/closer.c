#include "daemon/closer.h"

#include "daemon/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1 /* what has no room is not added: its hh.tbl is NULL */
#include <uthash.h>

/* A turn of the wheel is 41 seconds; who is due later is passed over until then. */
enum { SLOTS = 4096, MS = 1000000 };
static const int64_t slot_ns = INT64_C(10) * MS;

/* A stream that is not in memory. */
struct away {
    struct closing node; /* first */
    UT_hash_handle hh;
    int class;
    size_t n;
    char name[];
};

struct closer {
    struct away *away;           /* uthash */
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
    struct away *away, *next;
    if (closer == NULL)
        return;
    HASH_ITER (hh, closer->away, away, next) {
        HASH_DEL(closer->away, away);
        free(away);
    }
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

int64_t closer_end_of(const struct time_policy_spec *spec, int64_t t) {
    return sum(time_interval_start(t, spec->every), spec->every);
}

static void note(struct closer *closer, struct closing *node, const struct time_policy_spec *spec, int64_t end,
                 int64_t received) {
    node->received = received;
    if (node->next != NULL) {
        node->end = end > node->end ? end : node->end;
        return;
    }
    node->after = spec->close_after;
    node->end = end;
    node->at = due(node);
    put_in(closer, node);
}

void closer_note_end(struct closer *closer, struct stream *stream, const struct time_policy_spec *spec, int64_t end,
                     int64_t received) {
    struct closing *node = stream_closing(stream);
    node->stream = stream;
    note(closer, node, spec, end, received);
}

void closer_note(struct closer *closer, struct stream *stream, const struct time_policy_spec *spec, int64_t t,
                 int64_t received) {
    closer_note_end(closer, stream, spec, closer_end_of(spec, t), received);
}

void closer_forget(struct stream *stream) {
    struct closing *node = stream_closing(stream);
    if (node != NULL && node->next != NULL)
        take_out(node);
}

/* ---- streams that are not in memory ------------------------------------------------------------- */

static struct away *find_away(const struct closer *closer, const char *name, size_t n) {
    struct away *away;
    HASH_FIND(hh, closer->away, name, n, away);
    return away;
}

static struct away *add_away(struct closer *closer, int class, const char *name, size_t n) {
    struct away *away = calloc(1, sizeof *away + n);
    if (away == NULL)
        return NULL;
    away->class = class;
    away->n = n;
    memcpy(away->name, name, n);
    HASH_ADD_KEYPTR(hh, closer->away, away->name, n, away);
    if (away->hh.tbl != NULL)
        return away;
    free(away);
    return NULL;
}

static void forget_away(struct closer *closer, struct away *away) {
    take_out(&away->node);
    HASH_DEL(closer->away, away);
    free(away);
}

void closer_note_away(struct closer *closer, int class, const char *name, size_t n,
                      const struct time_policy_spec *spec, int64_t end, int64_t received) {
    struct away *away = find_away(closer, name, n);
    if (away == NULL)
        away = add_away(closer, class, name, n);
    if (away != NULL)
        note(closer, &away->node, spec, end, received);
}

/* What is open of one is that of the other. */
static void pass_on(struct closer *closer, const struct closing *from, struct closing *to) {
    bool open = to->next != NULL;
    if (open)
        take_out(to);
    to->end = open && to->end > from->end ? to->end : from->end;
    to->received = open && to->received > from->received ? to->received : from->received;
    to->after = from->after;
    to->at = due(to);
    put_in(closer, to);
}

int closer_leaves(struct closer *closer, struct stream *stream) {
    struct closing *node = stream_closing(stream);
    if (node == NULL || node->next == NULL)
        return 0;
    struct away *away = find_away(closer, stream->name, stream->name_length);
    if (away == NULL)
        away = add_away(closer, stream->class, stream->name, stream->name_length);
    if (away == NULL)
        return -1;
    pass_on(closer, node, &away->node);
    take_out(node);
    return 0;
}

void closer_returns(struct closer *closer, struct stream *stream) {
    struct closing *node = stream_closing(stream);
    struct away *away = node != NULL ? find_away(closer, stream->name, stream->name_length) : NULL;
    if (away == NULL)
        return;
    node->stream = stream;
    pass_on(closer, &away->node, node);
    forget_away(closer, away);
}

const char *closing_name(const struct closing *node, size_t *ret_n, int *ret_class) {
    const struct away *away = (const struct away *)(const void *)node;
    *ret_n = away->n;
    *ret_class = away->class;
    return away->name;
}

uint64_t closer_n_away(const struct closer *closer) {
    return HASH_COUNT(closer->away);
}

void closer_done(struct closer *closer, struct closing *node) {
    if (node->stream != NULL)
        take_out(node);
    else
        forget_away(closer, (struct away *)(void *)node);
}

void closer_later(struct closer *closer, struct closing *node, int64_t now) {
    take_out(node);
    node->received = now;
    node->at = due(node);
    put_in(closer, node);
}

/* ---- who is due --------------------------------------------------------------------------------- */

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

struct closing *closer_next(struct closer *closer, int64_t now) {
    int64_t slot = time_interval_start(now, slot_ns) / slot_ns;
    if (slot <= closer->turned || slot - closer->turned > SLOTS) /* the clock was set; or it begins */
        closer->turned = slot - SLOTS - 1;
    for (; closer->turned + 1 < slot; closer->turned++) { /* the present one is not over */
        struct closing *node = look_at(closer, slot_of(closer, closer->turned + 1), now);
        if (node != NULL)
            return node;
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
