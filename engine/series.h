/*
 * One stream as its models see it: the time policy that closes its steps, and their history. Shared
 * by all models of the class. One owner: the stream's worker.
 */
#ifndef ENGINE_SERIES_H
#define ENGINE_SERIES_H

#include "engine/history.h"
#include "engine/time_policy.h"

struct series {
    struct time_policy_spec time_spec;
    struct time_policy time;
    struct history *history;
    double *open; /* [n_features] the values of the open interval; NaN: missing so far */
};

/* NULL when memory is short. */
struct series *series_new(const struct time_policy_spec *time, int n_features, int kept, int pending);
void series_free(struct series *series);

/* Takes a tick; values [n_features], NaN for missing. Returns 1 when it closed a step (the newest of the history),
 * 0 when it did not, -1 when its time is refused (*ret_verdict says which way). */
int series_take(struct series *series, int64_t t, const double *values, enum time_verdict *ret_verdict);

/* All but the steps (history_save), as a section of an image; or from one: then the series is a new one, and its steps
 * come next (history_load). With them it goes on as the one that was saved. */
void series_serialize(struct series *series, struct image_io *io);

#endif
