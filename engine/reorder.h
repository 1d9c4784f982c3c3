/*
 * The ticks of one stream that are held until those before them can come no more: a bounded buffer in the order of
 * their times, and of those with one time in the order in which they came. Part of the series; one owner, and memory
 * is taken at new, none later.
 */
#ifndef ENGINE_REORDER_H
#define ENGINE_REORDER_H

#include "engine/image.h"
#include "engine/time_policy.h"

#include <stdbool.h>
#include <stdint.h>

struct reorder {
    int n_features;
    int most;       /* ticks that are held; there is room for one more, until the first has gone on */
    int n, first;   /* of a ring of most + 1 */
    int64_t newest; /* the latest time of all that came */
    int64_t *t;
    uint8_t *flags; /* STEP_REORDERED, STEP_REPLACED */
    double *values; /* [most + 1 x n_features] */
};

/* NULL when memory is short. */
struct reorder *reorder_new(int n_features, int most);
void reorder_free(struct reorder *reorder);

/* It holds none, and from now on `most` at most, which are no more than there is room for. */
void reorder_renew(struct reorder *reorder, int most);

enum reorder_verdict {
    REORDER_LAST,     /* held, behind all others */
    REORDER_SORTED,   /* held, before later ones */
    REORDER_REPLACES, /* held, in the place of one with its time */
    REORDER_REPEATED, /* one with its time is held: it is not */
};

/* Puts a tick in; none is to go on (reorder_due). */
enum reorder_verdict reorder_put(struct reorder *reorder, enum same_time same_time, int64_t t, const double *values);

/* Whether more are held than may be. */
static inline bool reorder_overfull(const struct reorder *reorder) {
    return reorder->n > reorder->most;
}

/* Whether the first one, of which there is one, goes on by its time: it is `span` or more before the newest. */
static inline bool reorder_ripe(const struct reorder *reorder, int64_t span) {
    return (uint64_t)reorder->newest - (uint64_t)reorder->t[reorder->first] >= (uint64_t)span;
}

/* Whether the first one goes on: by its time, or as there are too many. */
static inline bool reorder_due(const struct reorder *reorder, int64_t span) {
    return reorder->n > 0 && (reorder_overfull(reorder) || reorder_ripe(reorder, span));
}

/* The first one, of which there is one: its time, flags and values [n_features], which stay until the next is put in;
 * it is held no more. */
const double *reorder_pop(struct reorder *reorder, int64_t *ret_t, uint8_t *ret_flags);

/* All of it into a section of an image, or from one: n is their number, for which there must be room. */
void reorder_serialize(struct reorder *reorder, struct image_io *io);

#endif
