/*
 * What a subscriber of a daemon hears, kept for comparison: each stream's forecasts as bytes that must not depend on
 * anything but the stream's own ticks, and events as JSON.
 *
 * While it listens it asserts (cmocka) what every subscriber may rely on: topics fit their messages, and the steps of
 * a (stream, generation) come once, in order, and without a gap. One stream of one model is one struct heard_stream.
 */
#ifndef TESTS_SUPPORT_HEARD_H
#define TESTS_SUPPORT_HEARD_H

#include "daemon/wire.h"
#include "tests/support/daemon.h"

#include <uthash.h>

/* A forecast without what may differ between two runs: epoch, position, generation, received, sent, the flag
 * "last". The arrays follow it: times, values, mean, bounds of intervals, scores. */
struct heard_forecast {
    uint64_t step, version, primed;
    int64_t t;
    uint32_t flags;
    int32_t source, baseline, has_times;
    int32_t horizon, n_targets, n_scores, n_intervals;
    int32_t generation; /* of the stream; compared only where a test does */
    /* Values [n_targets], mean [horizon x n_targets], lower and upper of each level; then scores and times, see
     * heard.c. */
    double numbers[];
};

struct heard_stream {
    UT_hash_handle hh;
    char key[520]; /* model/stream */
    uint32_t generation;
    uint64_t epoch;
    size_t n;    /* forecasts */
    size_t each; /* bytes of one */
    char *data;  /* [n x each] */
    size_t room;
    struct heard_stream *repeated; /* those flagged "last", without that flag; or NULL */
};

struct heard {
    void *socket;
    bool any_gaps; /* a subscriber that comes late, or is slow, sees steps missing */
    struct heard_stream *streams;
    size_t forecasts, repeats, bundles;
    json_t *events;               /* array */
    int64_t received_after_taken; /* forecasts whose times of arrival and leaving are in order; all must be */
    struct wire_arena arena;
};

/* Subscribes and waits until the daemon knows of it: `subscriptions` in all with this one. prefix may hold NULs. */
struct heard *heard_new(struct daemon *daemon, const char *prefix, size_t n, int subscriptions);
/* A first subscriber, to all forecasts and events. */
struct heard *heard_all(struct daemon *daemon);
/* Further prefixes for the same subscriber. */
void heard_subscribe(struct heard *heard, struct daemon *daemon, const char *prefix, size_t n, int subscriptions);
/* Before the daemon's, and when a test failed not at all. */
void heard_free(struct heard *heard);

/* Hears one message. Returns false when none comes for ms. */
bool heard_next(struct heard *heard, int ms);
/* Hears until there are that many forecasts in all; fails when they do not come. */
void heard_until(struct heard *heard, size_t forecasts);
/* Hears what comes until it is quiet for ms. */
void heard_rest(struct heard *heard, int ms);
/* Hears until there is an event of the kind after the first `skip` of them; fails after seconds. Returns it,
 * borrowed. */
const json_t *heard_event(struct heard *heard, const char *kind, size_t skip, int seconds);
size_t heard_count_events(const struct heard *heard, const char *kind);

/* Keeps of each stream the latest forecast only: for those who hear many and look at them as they come. */
void heard_forget(struct heard *heard);

/* The forecasts of a stream, or NULL. */
struct heard_stream *heard_find(const struct heard *heard, const char *model, const char *stream);
/* The i-th forecast of a stream. */
const struct heard_forecast *heard_at(const struct heard_stream *stream, size_t i);
const double *heard_mean(const struct heard_forecast *forecast);
const struct wire_score *heard_scores(const struct heard_forecast *forecast);
const int64_t *heard_times(const struct heard_forecast *forecast);

/* Fails, saying where, unless n forecasts of a, from the i-th on, are those of b from the j-th on, bit for bit. */
void heard_compare(const struct heard_stream *a, size_t i, const struct heard_stream *b, size_t j, size_t n);

#endif
