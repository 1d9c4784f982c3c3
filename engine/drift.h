/*
 * Has the law changed that a model has learnt? Page's test (1954), as Hinkley (1971) put it, with a mean that
 * forgets, on the error of what was published one step ahead, in the scalers' unit and pooled over the model's
 * streams: the sum of what exceeds the usual error by more than a tolerated share is compared with its least value.
 *
 * The unit is the mean error itself, so that the same bounds serve every model; a single error counts at most as five
 * of them, so that a burst is no drift. One owner; constant memory.
 */
#ifndef ENGINE_DRIFT_H
#define ENGINE_DRIFT_H

#include <stdbool.h>

/* Begins by all zero. */
struct drift {
    double n, mean;    /* steps seen since the start, and their mean error */
    double sum, least; /* of the excess, in mean errors */
};

/* Another version serves: what is known of the errors' size holds for now, and gives way to what comes. */
void drift_loosen(struct drift *drift);

/* Sees the mean error of `steps` steps (one step of a stream, or of all streams at once; more where several are seen
 * together). Errors that are not finite count as the largest. Returns true where the law has changed; then it begins
 * anew. */
bool drift_see(struct drift *drift, double error, double steps);

/* How near: 0 at rest, 1 where drift is told. */
double drift_level(const struct drift *drift);

#endif
