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
                                        struct time_closed *ret_closed) {
    ret_closed->t = t;
    ret_closed->gap =
        policy->started && spec->gap_after > 0 && distance(policy->latest, t) > (uint64_t)spec->gap_after;
    policy->latest = t;
    policy->started = true;
    return TIME_STEP;
}

/* The interval that begins at start follows the one that was open. Returns the empty ones between that are steps. */
static int follow(struct time_policy *policy, const struct time_policy_spec *spec, int64_t start) {
    uint64_t apart = distance(policy->open, start);
    policy->open = start;
    if (spec->gap != GAP_FILL) {
        int64_t within = spec->gap_after > spec->every ? spec->gap_after : spec->every;
        policy->gap = apart > (uint64_t)within;
        return 0;
    }
    uint64_t empty = (apart - 1) / (uint64_t)spec->every; /* also where the first began with time itself */
    policy->gap = empty > (uint64_t)spec->fill_most;
    return policy->gap ? 0 : (int)empty;
}

enum time_verdict time_policy_judge(const struct time_policy *policy, const struct time_policy_spec *spec,
                                    int64_t t) {
    if (!policy->started)
        return TIME_HELD;
    if (t < policy->latest || (policy->closed && distance(policy->open, t) < (uint64_t)spec->every))
        return TIME_LATE;
    if (t > policy->latest)
        return TIME_HELD;
    if (spec->same_time == SAME_TIME_DROP || (spec->same_time == SAME_TIME_REPLACE && spec->every == 0))
        return TIME_REPEATED;
    return spec->same_time == SAME_TIME_KEEP ? TIME_HELD : TIME_REPLACES;
}

enum time_verdict time_policy_take(struct time_policy *policy, const struct time_policy_spec *spec, int64_t t,
                                   struct time_closed *ret_closed) {
    *ret_closed = (struct time_closed){0};
    enum time_verdict verdict = time_policy_judge(policy, spec, t);
    if (verdict != TIME_HELD)
        return verdict;
    if (spec->every == 0)
        return take_irregular(policy, spec, t, ret_closed);

    int64_t start = time_interval_start(t, spec->every);
    bool first = !policy->started, closed = policy->closed;
    policy->started = true;
    policy->latest = t;
    if (first || start == policy->open) {
        policy->open = start;
        return TIME_JOINS;
    }
    ret_closed->t = policy->open;
    ret_closed->gap = policy->gap;
    policy->closed = false;
    ret_closed->missing = follow(policy, spec, start);
    return closed ? TIME_JOINS : TIME_CLOSES;
}

bool time_policy_close(struct time_policy *policy, const struct time_policy_spec *spec, int64_t t,
                       struct time_closed *ret_closed) {
    if (spec->every == 0 || !policy->started || policy->closed || t < policy->open ||
        distance(policy->open, t) < (uint64_t)spec->every)
        return false;
    *ret_closed = (struct time_closed){.t = policy->open, .gap = policy->gap};
    policy->closed = true;
    return true;
}

void time_policy_serialize(struct time_policy *policy, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "time", FORMAT, &section);
    image_bool(&section, &policy->started);
    image_io(&section, &policy->latest, 1);
    image_io(&section, &policy->open, 1);
    image_bool(&section, &policy->gap);
    image_bool(&section, &policy->closed);
    image_leave(io, &section);
}
