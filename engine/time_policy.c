#include "engine/time_policy.h"

/* Floor division, as times before 1970 are negative. */
int64_t time_interval_start(int64_t t, int64_t length) {
    int64_t rest = t % length;
    if (rest < 0)
        rest += length;
    /* At the very beginning of int64 there is no earlier start. */
    return t < INT64_MIN + rest ? INT64_MIN : t - rest;
}

/* Unsigned: the distance of two int64 may exceed int64. */
static uint64_t distance(int64_t from, int64_t to) {
    return (uint64_t)to - (uint64_t)from;
}

static enum time_verdict take_irregular(struct time_policy *policy, const struct time_policy_spec *spec, int64_t t,
                                        int64_t *ret_t, bool *ret_gap) {
    *ret_t = t;
    *ret_gap = policy->started && spec->gap_after > 0 && distance(policy->latest, t) > (uint64_t)spec->gap_after;
    policy->latest = t;
    policy->started = true;
    return TIME_STEP;
}

enum time_verdict time_policy_take(struct time_policy *policy, const struct time_policy_spec *spec, int64_t t,
                                   int64_t *ret_t, bool *ret_gap) {
    if (policy->started && t < policy->latest)
        return TIME_LATE;
    if (policy->started && t == policy->latest)
        return TIME_REPEATED;
    if (spec->every == 0)
        return take_irregular(policy, spec, t, ret_t, ret_gap);

    int64_t start = time_interval_start(t, spec->every);
    bool first = !policy->started;
    policy->started = true;
    policy->latest = t;
    if (first || start == policy->open) {
        policy->open = start;
        return TIME_JOINS;
    }
    *ret_t = policy->open;
    *ret_gap = policy->gap;
    int64_t within = spec->gap_after > spec->every ? spec->gap_after : spec->every;
    policy->gap = distance(policy->open, start) > (uint64_t)within;
    policy->open = start;
    return TIME_CLOSES;
}

void time_policy_serialize(struct time_policy *policy, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "time", FORMAT, &section);
    image_bool(&section, &policy->started);
    image_io(&section, &policy->latest, 1);
    image_io(&section, &policy->open, 1);
    image_bool(&section, &policy->gap);
    image_leave(io, &section);
}
