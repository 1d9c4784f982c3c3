#include "engine/reorder.h"

#include "engine/history.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct reorder *reorder_new(int n_features, int most) {
    size_t room = (size_t)most + 1;
    struct reorder *reorder = calloc(1, sizeof *reorder);
    if (reorder == NULL)
        return NULL;
    reorder->n_features = n_features;
    reorder->most = most;
    reorder->newest = INT64_MIN;
    reorder->t = calloc(room, sizeof *reorder->t);
    reorder->flags = calloc(room, sizeof *reorder->flags);
    reorder->values = calloc(room * (size_t)n_features, sizeof *reorder->values);
    if (reorder->t != NULL && reorder->flags != NULL && reorder->values != NULL)
        return reorder;
    reorder_free(reorder);
    return NULL;
}

void reorder_free(struct reorder *reorder) {
    if (reorder == NULL)
        return;
    free(reorder->t);
    free(reorder->flags);
    free(reorder->values);
    free(reorder);
}

void reorder_renew(struct reorder *reorder, int most) {
    assert(most <= reorder->most);
    reorder->most = most;
    reorder->n = reorder->first = 0;
    reorder->newest = INT64_MIN;
}

/* Where the i-th is. */
static size_t place(const struct reorder *reorder, int i) {
    size_t at = (size_t)reorder->first + (size_t)i, room = (size_t)reorder->most + 1;
    return at < room ? at : at - room;
}

static double *row(const struct reorder *reorder, size_t at) {
    return reorder->values + at * (size_t)reorder->n_features;
}

static void set(struct reorder *reorder, int i, int64_t t, uint8_t flags, const double *values) {
    size_t at = place(reorder, i);
    reorder->t[at] = t;
    reorder->flags[at] = flags;
    memcpy(row(reorder, at), values, (size_t)reorder->n_features * sizeof *values);
}

enum reorder_verdict reorder_put(struct reorder *reorder, enum same_time same_time, int64_t t, const double *values) {
    int i = reorder->n; /* most ticks come in order, or nearly so: looked for from the end */
    assert(!reorder_overfull(reorder));
    while (i > 0 && reorder->t[place(reorder, i - 1)] > t)
        i--;
    uint8_t flags = i < reorder->n ? STEP_REORDERED : 0;
    if (same_time != SAME_TIME_KEEP && i > 0 && reorder->t[place(reorder, i - 1)] == t) {
        if (same_time == SAME_TIME_DROP)
            return REORDER_REPEATED;
        set(reorder, i - 1, t, flags | STEP_REPLACED, values);
        return REORDER_REPLACES;
    }
    for (int k = reorder->n; k > i; k--) {
        size_t from = place(reorder, k - 1);
        set(reorder, k, reorder->t[from], reorder->flags[from], row(reorder, from));
    }
    set(reorder, i, t, flags, values);
    reorder->n++;
    reorder->newest = t > reorder->newest ? t : reorder->newest;
    return flags != 0 ? REORDER_SORTED : REORDER_LAST;
}

const double *reorder_pop(struct reorder *reorder, int64_t *ret_t, uint8_t *ret_flags) {
    size_t at = (size_t)reorder->first;
    assert(reorder->n > 0);
    *ret_t = reorder->t[at];
    *ret_flags = reorder->flags[at];
    reorder->first = (int)place(reorder, 1);
    reorder->n--;
    return row(reorder, at);
}

void reorder_serialize(struct reorder *reorder, struct image_io *io) {
    image_io(io, &reorder->newest, 1);
    for (int i = 0; i < reorder->n; i++) {
        size_t at = place(reorder, i), before = place(reorder, i > 0 ? i - 1 : 0);
        image_io(io, &reorder->t[at], 1);
        image_io(io, &reorder->flags[at], 1);
        image_io(io, row(reorder, at), (size_t)reorder->n_features);
        if (image_reads(io) &&
            !image_check(io,
                         reorder->t[before] <= reorder->t[at] && reorder->t[at] <= reorder->newest &&
                             (reorder->flags[at] & ~(STEP_REORDERED | STEP_REPLACED)) == 0,
                         "a held tick is out of order"))
            reorder->n = 0;
    }
}
