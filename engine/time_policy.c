#include "engine/time_policy.h"

/* The start of the interval of length every that holds t; floor division, as times before 1970 are negative. */
static int64_t interval_start(int64_t t, int64_t every) {
    int64_t rest = t % every;
    if (rest < 0)
        rest += every;
    /* At the very beginning of int64 there is no earlier start. */
    return t < INT64_MIN + rest ? INT64_MIN : t - rest;
}

static enum time_verdict take_irregular(struct time_policy *policy, int64_t t, int64_t *ret_t, bool *ret_gap) {
    policy->latest = t;
    policy->started = true;
    *ret_t = t;
    *ret_gap = false;
    return TIME_STEP;
}

enum time_verdict time_policy_take(struct time_policy *policy, const struct time_policy_spec *spec, int64_t t,
                                   int64_t *ret_t, bool *ret_gap) {
    if (policy->started && t < policy->latest)
        return TIME_LATE;
    if (policy->started && t == policy->latest)
        return TIME_REPEATED;
    if (spec->every == 0)
        return take_irregular(policy, t, ret_t, ret_gap);

    int64_t start = interval_start(t, spec->every);
    bool first = !policy->started;
    policy->started = true;
    policy->latest = t;
    if (first || start == policy->open) {
        policy->open = start;
        return TIME_JOINS;
    }
    *ret_t = policy->open;
    *ret_gap = policy->gap;
    /* Unsigned: the distance of two int64 may exceed int64. */
    policy->gap = (uint64_t)start - (uint64_t)policy->open > (uint64_t)spec->every;
    policy->open = start;
    return TIME_CLOSES;
}
