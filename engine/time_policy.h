/*
 * How the ticks of a stream become steps. Pure functions of the ticks' own times.
 *
 * irregular: every tick closes a step.
 * every:     time is cut into intervals [k every, (k + 1) every); the ticks within an interval are its step, which
 *            closes when a tick of a later interval arrives; its time is the interval's start. Empty intervals make
 *            no step, but where gaps are filled.
 *
 * A gap lies between two ticks (every: between the starts of two intervals) that are more than gap_after apart;
 * without gap_after, between two intervals that have an empty one between them. Where gaps are filled, up to
 * fill_most empty intervals become steps and are no gap; more are one, and none of them is a step.
 */
#ifndef ENGINE_TIME_POLICY_H
#define ENGINE_TIME_POLICY_H

#include "engine/image.h"

#include <stdbool.h>
#include <stdint.h>

enum gap_policy {
    GAP_IGNORE, /* the states go on over it */
    GAP_FILL,   /* empty intervals are steps without values; behind too many of them states begin anew */
    GAP_RESET,  /* they begin anew behind it */
};

/* What the step of an interval is made of, for each feature: of its values in the order of their times. */
enum aggregate { AGGREGATE_LAST, AGGREGATE_MEAN, AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

/* A tick at the time of the latest one. */
enum same_time {
    SAME_TIME_DROP,    /* is not taken */
    SAME_TIME_KEEP,    /* is a tick as any other */
    SAME_TIME_REPLACE, /* takes its place, while that is held or no part of a closed step */
};

struct time_policy_spec {
    int64_t every;     /* ns; 0 for irregular */
    int64_t gap_after; /* ns; 0: empty intervals are gaps; irregular streams have none */
    enum gap_policy gap;
    int fill_most; /* with GAP_FILL: empty intervals in a row that become steps */
    enum aggregate aggregate;
    enum same_time same_time;
    int64_t reorder;  /* ns: ticks are held until one comes so much later; 0: they are not */
    int reorder_most; /* ticks that are held; then the first goes on */

    /* ns, 0: never: an interval closes so long after its end, and after the latest tick, by a clock; whose it is, and
     * that the time has come, is for the caller to say (time_policy_close). */
    int64_t close_after;
};

/* Of one stream. Zero-initialise. */
struct time_policy {
    int64_t latest; /* time of the latest tick taken */
    int64_t open;   /* start of the interval that is open (every) */
    bool started;
    bool gap;    /* the open interval comes after a gap */
    bool closed; /* none is open: `open` was closed without a later tick, and takes no more */
};

enum time_verdict {
    TIME_LATE,     /* before the latest tick: not taken */
    TIME_REPEATED, /* at the time of the latest tick: not taken */
    TIME_JOINS,    /* taken; it is one more tick of the open interval */
    TIME_REPLACES, /* taken; it is the latest tick of the open interval, in the place of the one before */
    TIME_CLOSES,   /* taken; what was open before it is now a step, and it begins the next */
    TIME_STEP,     /* taken; it is a step by itself */

    /* Of a series with reorder, beside the first two and TIME_REPLACES. */
    TIME_HELD,   /* taken, and held */
    TIME_SORTED, /* the same, before later ones that came before it */
};

/* What a tick has brought about. */
struct time_closed {
    int64_t t;   /* with TIME_CLOSES of the step that closed, with TIME_STEP of the tick's own */
    bool gap;    /* that step comes after a gap */
    int missing; /* the empty intervals right before the one that is open now that are to be steps */
};

/* Whether time_policy_take would refuse a tick at t now. Returns TIME_LATE or TIME_REPEATED; TIME_REPLACES where it
 * would take the place of the latest; else TIME_HELD. */
enum time_verdict time_policy_judge(const struct time_policy *policy, const struct time_policy_spec *spec, int64_t t);

/* Judges a tick at t and updates the policy unless the tick is refused; then, with TIME_JOINS and with TIME_REPLACES
 * nothing has closed. */
enum time_verdict time_policy_take(struct time_policy *policy, const struct time_policy_spec *spec, int64_t t,
                                   struct time_closed *ret_closed);

/* As a section of an image, or from one. */
void time_policy_serialize(struct time_policy *policy, struct image_io *io);

/* Closes the open interval, if there is one that ends at t or before. Returns whether it did: then *ret_closed tells of
 * its step. */
bool time_policy_close(struct time_policy *policy, const struct time_policy_spec *spec, int64_t t,
                       struct time_closed *ret_closed);

/* The start of the interval of that length (above 0), counted from 1970, in which t lies. */
int64_t time_interval_start(int64_t t, int64_t length);

#endif
