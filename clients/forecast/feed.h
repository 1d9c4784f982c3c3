/* The parts of forecast feed that know each other. */
#ifndef FORECAST_FEED_H
#define FORECAST_FEED_H

#include "clients/forecast/feed_acknowledged.h"
#include "clients/libforecast/forecast.h"

#include <stdint.h>

extern const struct option_command feed_command;

/* Sends ticks as they are or in bundles, waiting while the daemon pushes back. */
struct feed_sender {
    struct forecast_feed *feed;
    struct feed_acknowledged *acknowledged; /* instead of it; or NULL */
    uint64_t skip;                          /* ticks and labels that come first and were acknowledged before */
    long bundle;                            /* ticks of a bundle; 0: each for itself */
    long waiting;                           /* ticks in the bundle */
    const char *const *names;               /* of the features: sent by name; NULL: in order */
    uint64_t sent;
};
/* Return 0, or a code after the sentence on stderr; FORECAST_ERROR_INTERRUPTED without one, when stopped. */
int feed_sender_tick(struct feed_sender *sender, const char *stream, int64_t t, const double *values, int n_values);
int feed_sender_flush(struct feed_sender *sender);
/* Behind the ticks before it. */
int feed_sender_label(struct feed_sender *sender, const char *stream, int64_t t, int64_t label);

/* Samples this machine hertz times a second, for so many seconds (0: until stopped). */
int feed_host_run(struct feed_sender *sender, double hertz, double seconds);

#endif
