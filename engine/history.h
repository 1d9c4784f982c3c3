/*
 * The closed steps of one stream, newest last: the queue of what its models have still to see, the
 * past that re-priming replays, and the source of the windows for training.
 *
 * Steps are numbered from 1 as the stream lives. The ring holds the latest `kept` steps that its
 * models have seen and up to `pending` that they have not. One owner (the stream's worker);
 * memory is taken at new, none later.
 *
 * A history comes back from images: what it is besides its steps (history_serialize), then its steps in blocks, the
 * newest first. What a step is does not change, so a block is written once; labels come later than their steps and
 * are with the former.
 */
#ifndef ENGINE_HISTORY_H
#define ENGINE_HISTORY_H

#include "engine/image.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Flags of a step. */
enum {
    STEP_GAP = 1,        /* ticks are missing before it */
    STEP_IMPUTED = 2,    /* at least one value was missing and is the one before */
    STEP_RESET = 4,      /* all states begin anew with it, as it comes after a gap */
    STEP_PAUSED = 8,     /* it came in a pause: nothing is learnt from it */
    STEP_FILLED = 16,    /* no tick came in its interval */
    STEP_CLOCK = 128,    /* it closed by the clock */
    STEP_REORDERED = 64, /* a tick of it came after a later one */
    STEP_REPLACED = 32,  /* a tick of it took the place of another at the same time */
};

enum { HISTORY_LINE = 64 }; /* bytes of a cache line */

/* What each step touches comes first, a line. */
struct history {
    _Alignas(HISTORY_LINE) uint64_t n; /* the newest step's number; 0: none yet */
    uint64_t first; /* it came back without the steps before it; 0: with all that it has room for */
    int64_t *t;     /* [capacity] ns */
    double *values; /* [capacity x n_features]; a missing value is the one before, NaN while there is none */
    uint8_t *flags; /* [capacity] */
    float *labels;  /* [capacity] NaN: not told; NULL: none are kept */
    int n_features;
    int capacity; /* kept + pending */
    uint32_t at;  /* the newest step's place in the ring */
    bool paused;  /* what is appended comes in a pause */

    int mask_bytes;
    int kept;         /* steps that are kept once seen */
    int pending;      /* steps that may wait to be seen: the owner appends no more */
    uint64_t reset;   /* the latest step before the last reset by command; 0: never reset */
    uint8_t *missing; /* [capacity x bytes]: bit f is set where feature f was missing; zeros but with STEP_IMPUTED */
};

/* NULL when memory is short. */
struct history *history_new(int n_features, int kept, int pending);
void history_free(struct history *history);

/* The same in memory of the caller's: so many bytes, which need not be zeros, at the begin of a cache line. */
size_t history_size(int n_features, int kept, int pending);
void history_init(struct history *history, int n_features, int kept, int pending);
void history_fini(struct history *history);

/* Its steps are forgotten: it is as a new one, and keeps labels as before. */
void history_renew(struct history *history);

/* Has labels kept from now on. Returns -1 when memory is short. */
int history_keep_labels(struct history *history);

/* A label is told of the step at t. Returns the step, or 0 where none is held with that time, or no labels are
 * kept. */
uint64_t history_label(struct history *history, int64_t t, float label);

/* The label of a step; NaN: not told, or not held. */
float history_label_of(const struct history *history, uint64_t step);

/* Appends a step; values [n_features] with NaN for missing ones; flags: but STEP_IMPUTED and STEP_PAUSED. */
void history_append(struct history *history, int64_t t, const double *values, uint8_t flags);

/* By command: all states begin anew with the next step, and what was before it is forgotten. */
void history_reset(struct history *history);

/* By command: the steps that are appended from now on come in a pause (maintenance), or do not any more. */
void history_pause(struct history *history, bool paused);

/* Whether the state of a model with that reset_every (ns, 0: never) begins anew with a step that is held: behind a
 * gap, or where it lies in another interval of time than the step before (if that is held too). */
bool history_begins_anew(const struct history *history, uint64_t step, int64_t reset_every);

/* All but the steps: a section of an image, or what one says; then it holds no step yet. */
void history_serialize(struct history *history, struct image_io *io);

/* The steps from .. to, which it holds, as a section. */
void history_save(const struct history *history, uint64_t from, uint64_t to, struct image_io *io);
/* Takes the steps of such a section in that reach up to those that it holds, or to its newest, as far as it has room.
 * A failure leaves a history that is to be freed. */
void history_load(struct history *history, struct image_io *io);

/* The oldest step that is still held, 1 at least; above n when there is none. */
static inline uint64_t history_oldest(const struct history *history) {
    uint64_t capacity = (uint64_t)history->capacity;
    uint64_t oldest = history->n > capacity ? history->n - capacity + 1 : 1;
    return oldest > history->first ? oldest : history->first;
}

/* How many steps may be looked at from a step: it and those before it, `kept` at most. The same whatever has come
 * since. */
static inline uint64_t history_reach(const struct history *history, uint64_t step) {
    uint64_t kept = (uint64_t)history->kept, first = history->first > 0 ? history->first : 1;
    uint64_t all = step + 1 > first ? step + 1 - first : 0;
    return all < kept ? all : kept;
}

/* Where the ring holds a step between oldest and n. */
static inline size_t history_place(const struct history *history, uint64_t step) {
    uint64_t back = history->n - step;
    size_t at = history->at;
    assert(step > 0 && step <= history->n && back < (uint64_t)history->capacity);
    return at >= back ? at - back : at + (size_t)history->capacity - back;
}

/* The latest step that it holds with a time up to t; 0: it holds none. */
uint64_t history_step_until(const struct history *history, int64_t t);

/* What it holds of it. */
static inline int64_t history_time(const struct history *history, uint64_t step) {
    return history->t[history_place(history, step)];
}

static inline const double *history_values(const struct history *history, uint64_t step) {
    return history->values + history_place(history, step) * (size_t)history->n_features;
}

static inline uint8_t history_flags(const struct history *history, uint64_t step) {
    return history->flags[history_place(history, step)];
}

/* The value as it was sent, of a step that is held: NaN where there was none. */
static inline double history_sent(const struct history *history, uint64_t step, int feature) {
    size_t place = history_place(history, step);
    const uint8_t *mask = history->missing + place * (size_t)history->mask_bytes;
    bool sent = (mask[feature / 8] >> (feature % 8) & 1) == 0;
    return sent ? history->values[place * (size_t)history->n_features + (size_t)feature] : (double)NAN;
}

/* Whether there is nothing to be learnt from a feature of a step: it was missing, or the step came in a pause. */
static inline bool history_missing(const struct history *history, uint64_t step, int feature) {
    size_t place = history_place(history, step);
    uint8_t flags = history->flags[place];
    if ((flags & (STEP_PAUSED | STEP_IMPUTED)) == 0)
        return false;
    const uint8_t *mask = history->missing + place * (size_t)history->mask_bytes;
    return (flags & STEP_PAUSED) != 0 || (mask[feature / 8] >> (feature % 8) & 1) != 0;
}

/* The value as it was observed: NaN where it is missing (history_missing), or where the step is not held. */
static inline double history_observed(const struct history *history, uint64_t step, int feature) {
    if (step < history_oldest(history) || step > history->n || history_missing(history, step, feature))
        return (double)NAN;
    return history_values(history, step)[feature];
}

/* history_sent, and history_observed, of n features of a step that is held: one look at its flags is enough where
 * nothing is missing. */
static inline void history_sent_values(const struct history *history, uint64_t step, const int *features, int n,
                                       double *ret_values) {
    bool all = (history_flags(history, step) & STEP_IMPUTED) == 0;
    const double *values = history_values(history, step);
    for (int i = 0; i < n; i++)
        ret_values[i] = all ? values[features[i]] : history_sent(history, step, features[i]);
}

static inline void history_observed_values(const struct history *history, uint64_t step, const int *features, int n,
                                           double *ret_values) {
    bool all = (history_flags(history, step) & (STEP_PAUSED | STEP_IMPUTED)) == 0;
    const double *values = history_values(history, step);
    for (int i = 0; i < n; i++)
        ret_values[i] = all ? values[features[i]] : history_observed(history, step, features[i]);
}

#endif
