/*
 * How the ticks of a stream become steps. Pure functions of the ticks' own times.
 *
 * irregular: every tick closes a step.
 * every:     time is cut into intervals [k every, (k + 1) every); the last values within an interval are
 *            its step, which closes when a tick of a later interval arrives; its time is the interval's
 *            start. Empty intervals make no step.
 *
 * A gap lies between two ticks (every: between the starts of two intervals) that are more than gap_after apart;
 * without gap_after, between two intervals that have an empty one between them.
 */
#ifndef ENGINE_TIME_POLICY_H
#define ENGINE_TIME_POLICY_H

#include "engine/image.h"

#include <stdbool.h>
#include <stdint.h>

enum gap_policy {
    GAP_IGNORE, /* the states go on over it */
    GAP_RESET,  /* they begin anew behind it */
};

struct time_policy_spec {
    int64_t every;     /* ns; 0 for irregular */
    int64_t gap_after; /* ns; 0: empty intervals are gaps; irregular streams have none */
    enum gap_policy gap;
};

/* Of one stream. Zero-initialise. */
struct time_policy {
    bool started;
    int64_t latest; /* time of the latest tick taken */
    int64_t open;   /* start of the interval that is open (every) */
    bool gap;       /* the open interval comes after a gap */
};

enum time_verdict {
    TIME_LATE,     /* before the latest tick: not taken */
    TIME_REPEATED, /* at the time of the latest tick: not taken */
    TIME_JOINS,    /* taken; its values replace those of the open interval */
    TIME_CLOSES,   /* taken; what was open before it is now a step, and its values open the next */
    TIME_STEP,     /* taken; it is a step by itself */
};

/* Judges a tick at t and updates the policy unless the tick is refused. With TIME_CLOSES, *ret_t and *ret_gap tell of
 * the step that closed; with TIME_STEP, of the tick's own. */
enum time_verdict time_policy_take(struct time_policy *policy, const struct time_policy_spec *spec, int64_t t,
                                   int64_t *ret_t, bool *ret_gap);

/* As a section of an image, or from one. */
void time_policy_serialize(struct time_policy *policy, struct image_io *io);

/* The start of the interval of that length (above 0), counted from 1970, in which t lies. */
int64_t time_interval_start(int64_t t, int64_t length);

#endif
