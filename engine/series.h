/*
 * One stream as its models see it: the time policy that closes its steps, and their history. Shared
 * by all models of the class. One owner: the stream's worker.
 */
#ifndef ENGINE_SERIES_H
#define ENGINE_SERIES_H

#include "engine/history.h"
#include "engine/reorder.h"
#include "engine/time_policy.h"

/* What every tick touches comes first, a line; the history's is the one behind the struct. */
struct series {
    _Alignas(HISTORY_LINE) const struct time_policy_spec *spec; /* of the class, borrowed */
    struct time_policy time;
    struct history *history;
    double *open;         /* [n_features] what the ticks of the open interval come to so far; NaN: no value yet */
    struct reorder *held; /* NULL: ticks are not held */
    uint32_t ticks;       /* in the open interval */
    uint16_t fill_left;   /* steps without values that are still to be appended, right before the open interval */
    uint8_t flags;        /* STEP_* of the open interval beside those of gaps */
    bool closing;         /* intervals that end before close_to are still to be closed */

    int64_t close_to;
    uint32_t of_ticks; /* in the newest step, of an aggregate but the last; 0: it was filled in */
    uint32_t *counts;  /* [n_features] values in each of open, for their mean; NULL: other aggregates need none */
    /* [n_features] same_time: replace: the latest tick of the open interval, which is not in open yet; else NULL */
    double *newest;
    double *unseen; /* [n_features] NaN: a step that is filled in; NULL: none is */
};

/* Asks for the memory of the series and of its history that a tick touches. */
static inline void series_fetch(const struct series *series) {
    __builtin_prefetch(series);
    __builtin_prefetch(series + 1);
}

/* All of it is one allocation. spec must outlive it. NULL when memory is short. */
struct series *series_new(const struct time_policy_spec *spec, int n_features, int kept, int pending);
void series_free(struct series *series);

/* The same in memory of the caller's: so many bytes, which need not be zeros, at the begin of a cache line. init returns -1
 * when memory is short for what is held; it is to be finished all the same. */
size_t series_size(const struct time_policy_spec *spec, int n_features, int kept, int pending);
int series_init(struct series *series, const struct time_policy_spec *spec, int n_features, int kept, int pending);
void series_fini(struct series *series);

/* Whatever has come is forgotten: it is as a new one. */
void series_renew(struct series *series);

/* Takes a tick; values [n_features], NaN for missing. Returns 1 when it closed a step (the newest of the history),
 * 0 when it did not, -1 when its time is refused (*ret_verdict says which way). Before the next tick is taken, what else
 * follows from this one is to be appended, series_next: where ticks are held, all. */
int series_take(struct series *series, int64_t t, const double *values, enum time_verdict *ret_verdict);

/* By the clock: the intervals that end at t or before close, ticks of them that are held going on first. The steps are
 * to be appended, series_next, before the next tick is taken. */
void series_close(struct series *series, int64_t t);

/* Whether an interval of fixed length is open, or ticks of one are held: those up to *ret_end are still to be closed. */
bool series_is_open(const struct series *series, int64_t *ret_end);

/* Whether more steps follow from the latest tick, or from what the clock has closed. */
static inline bool series_due(const struct series *series) {
    return series->fill_left > 0 || series->closing ||
           (series->held != NULL && reorder_due(series->held, series->spec->reorder));
}

/* Appends one of them, where there is one. Returns whether there was. */
bool series_next(struct series *series);

/* All but the steps (history_save), as a section of an image; or from one: then the series is a new one, and its steps
 * come next (history_load). With them it goes on as the one that was saved. */
void series_serialize(struct series *series, struct image_io *io);

#endif
