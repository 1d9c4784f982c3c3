/* The two clocks, in nanoseconds. Any thread. */
#ifndef DAEMON_CLOCK_H
#define DAEMON_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_read(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Since 1970 UTC. */
static inline int64_t clock_realtime(void) {
    return clock_read(CLOCK_REALTIME);
}

/* Since some point in the past; never goes back. */
static inline int64_t clock_monotonic(void) {
    return clock_read(CLOCK_MONOTONIC);
}

#endif
