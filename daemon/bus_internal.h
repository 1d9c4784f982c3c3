/* The insides of the bus, for bus*.c. All of it belongs to its thread once that runs, but the atomics. */
#ifndef DAEMON_BUS_INTERNAL_H
#define DAEMON_BUS_INTERNAL_H

#include "daemon/bus.h"
#include "daemon/control.h"
#include "daemon/doorbell.h"
#include "daemon/eviction.h"
#include "daemon/ingest.h"
#include "daemon/journal.h"
#include "daemon/learning.h"
#include "daemon/publisher.h"
#include "daemon/reopening.h"
#include "daemon/returns.h"
#include "daemon/rounds.h"
#include "daemon/store.h"
#include "daemon/trainer.h"
#include "daemon/versions.h"

#include <pthread.h>
#include <stdatomic.h>

/* The sockets whose disconnections are watched. */
enum { N_MONITORS = 6 };
extern const char *const bus_monitored[N_MONITORS];

struct bus {
    struct config *config;
    const struct kernels *kernels;
    uint64_t epoch;
    void *zmq;
    struct doorbell bell;
    struct interest interest;
    struct worker **workers; /* [config->workers] */
    bool draining;           /* the stop has begun */
    int running;             /* workers that have not said that they stopped */
    struct trainer *trainer;
    struct journal *journal;   /* NULL: none */
    struct store *store;       /* NULL: none */
    struct versions *versions; /* NULL: none are kept */
    struct opening opening;
    struct returns *returns; /* these only with a store */
    struct rounds rounds;
    struct reopening reopening;
    struct eviction eviction;
    struct streams *streams;
    struct placement *placement;
    struct publisher *publisher;
    struct ingest *ingest;
    struct learning *learning;
    struct control *control;
    void *monitors[N_MONITORS];
    uint64_t disconnects;
    int64_t polled; /* when models were looked at, monotonic ns */
    int64_t status_told;

    pthread_t thread;
    bool started;
    atomic_bool stop_requested;
    int stopped_fd, reload_fd;       /* eventfds */
    _Atomic(struct reload *) reload; /* that was read, and waits for the bus; NULL: none */
};

/* bus.c: the thread. */
void *bus_run(void *bus);

#endif
