#include "engine/following.h"

static enum followed begin(struct following *following, struct forecaster *forecaster, uint64_t step) {
    int n;
    forecaster_takeovers(forecaster, &n); /* those before it are no news */
    if (forecaster_propose(forecaster, following->version) != 0)
        return FOLLOWED_NO_MEMORY;
    following->going = true;
    if (following->step > step && !forecaster_prime(forecaster) && forecaster_replaying(forecaster, 0) == 0)
        return FOLLOWED_OTHERWISE;
    return FOLLOWED_DONE;
}

static enum followed end(const struct following *following, struct forecaster *forecaster, uint64_t step) {
    int n;
    while (!forecaster_prime(forecaster))
        ;
    const struct takeover *done = forecaster_takeovers(forecaster, &n);
    /* Before its first step a stream is no stream yet. */
    bool same = step == 0 || (n == 1 && done->began == following->began && done->step == following->step);
    return same ? FOLLOWED_DONE : FOLLOWED_OTHERWISE;
}

enum followed following_go(struct following *following, struct forecaster *forecaster, uint64_t step) {
    if (!following->going && following->began > step)
        return FOLLOWED_LATER;
    if (!following->going && following->began < step)
        return FOLLOWED_OTHERWISE;
    enum followed begun = following->going ? FOLLOWED_DONE : begin(following, forecaster, step);
    if (begun != FOLLOWED_DONE)
        return begun;
    if (following->step == step)
        return end(following, forecaster, step);
    /* It keeps up, but does not catch up before its time. */
    while (forecaster_replaying(forecaster, 0) > FORECASTER_PRIME_STEPS)
        forecaster_prime(forecaster);
    return FOLLOWED_LATER;
}
