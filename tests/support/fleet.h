/*
 * Many streams of one class on a daemon, for benches: stream-000000 and so on, of eight features, whose ticks go in bundles
 * through PUSH, one of each stream in turn, while the forecasts are counted. Ends the program with a sentence when forecasts fail
 * to come. One thread.
 */
#ifndef TESTS_SUPPORT_FLEET_H
#define TESTS_SUPPORT_FLEET_H

#include "daemon/wire.h"
#include "tests/support/daemon.h"

#include <stdint.h>

enum { FLEET_FEATURES = 8, FLEET_BUNDLE = 256, FLEET_IN_FLIGHT = 50000 };

/* Zero-initialise but for the first two. */
struct fleet {
    struct daemon *daemon;
    long streams;
    void *push, *heard;
    int64_t ticks;           /* the k-th is of stream k % streams */
    int64_t sent, forecasts; /* since the sockets were connected */
    struct wire_bundle bundle;
};

/* To the daemon, which runs; and before it ends. */
void fleet_connect(struct fleet *fleet);
void fleet_disconnect(struct fleet *fleet);

/* Sends so many ticks in a bundle, and hears what has come; waits while FLEET_IN_FLIGHT are on their way. */
void fleet_send(struct fleet *fleet, int n_ticks);
/* A tick of each stream. */
void fleet_send_round(struct fleet *fleet);
/* Hears what has come, and waits until so many have. */
void fleet_hear(struct fleet *fleet, int64_t until);
/* Frees the bundle. */
void fleet_fini(struct fleet *fleet);

#endif
