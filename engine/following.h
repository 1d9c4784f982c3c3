/*
 * A takeover that has happened, done once more: where a stream's steps are run again, a version has to begin its replay
 * and to take over behind the same steps, so that everything comes out as it was.
 */
#ifndef ENGINE_FOLLOWING_H
#define ENGINE_FOLLOWING_H

#include "engine/forecaster.h"

struct following {
    struct version *version; /* borrowed */
    uint64_t began, step;    /* as struct takeover has them */
    bool going;              /* its replay has begun */
};

/* Goes on with it in a forecaster of which slot 0 alone is in use, that has seen `step` steps: to be called before each
 * further one. */
enum followed {
    FOLLOWED_LATER, /* it is not due, or goes on */
    FOLLOWED_DONE,
    FOLLOWED_OTHERWISE, /* it cannot come out as it did: the steps or the model are not the same */
    FOLLOWED_NO_MEMORY,
};
enum followed following_go(struct following *following, struct forecaster *forecaster, uint64_t step);

#endif
