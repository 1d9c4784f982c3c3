/*
 * What commands that run for a while have in common: being stopped, keeping time, finding the daemon,
 * and telling how far they are.
 */
#ifndef FORECAST_RUN_H
#define FORECAST_RUN_H

#include "clients/libforecast/forecast.h"

#include <stdbool.h>
#include <stdint.h>

#define RUN_NS 1000000000LL /* in a second */

/* From here on, SIGINT and SIGTERM set a flag and interrupt waits; a second one kills as usual. */
void run_catch_signals(void);
bool run_stopped(void);

int64_t run_monotonic(void); /* ns */
int64_t run_wall(void);      /* ns since 1970 UTC */

/* Sleeps until a monotonic time in ns. Returns false when stopped. Deadlines are absolute: what one
 * step takes too long is not added to the next. */
bool run_sleep_until(int64_t deadline);

/* Opens a feed for bundles of so many ticks (0: single ones) and waits until a daemon is there, at most seconds.
 * Returns 0, or 1 after the sentence on stderr. */
int run_open_feed(const char *command, const char *endpoint, double seconds, long bundle,
                  struct forecast_feed **ret_feed);

/* Closes a feed, giving what waits in the queue time to go. Returns 0, or 1 after the sentence. */
int run_close_feed(const char *command, struct forecast_feed **feed);

/* Sends what send(argument, timeout_ms) sends, waiting as long as the daemon pushes back, and says so on
 * stderr when that takes long. Returns 0, FORECAST_ERROR_INTERRUPTED when stopped, or the code, after the
 * sentence. */
int run_send(const char *command, int (*send)(void *argument, int timeout_ms), void *argument);

/* A line on stderr that is written over, while stderr is a terminal. total 0: not known. */
struct progress {
    bool on;
    int64_t start, shown; /* ns, monotonic */
    const char *unit;
};
void progress_start(struct progress *progress, const char *unit);
void progress_show(struct progress *progress, double share,
                   uint64_t n);               /* cheap to call often; share < 0: not known */
void progress_end(struct progress *progress); /* clears the line */

/* "2016-07-01 00:00:00.250" in UTC; milliseconds only where there are some. size >= 32. */
const char *run_format_time(int64_t t, char *buffer, size_t size);

/* A number in at most 8 columns: "1234.5", "-0.0125", "1.2e+09", "-" for NaN. size >= 16. */
const char *run_format_number(double value, char *buffer, size_t size);

#endif
