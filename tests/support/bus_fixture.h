/*
 * Parts of the bus for unit tests: configurations from text, endpoints in a temporary folder, workers without a
 * thread (the test takes what is in their rings), and a rig, the bus without its thread, whose turns a test takes by
 * hand.
 */
#ifndef TESTS_SUPPORT_BUS_RIG_H
#define TESTS_SUPPORT_BUS_RIG_H

#include "daemon/control.h"
#include "daemon/ingest.h"
#include "daemon/learning.h"
#include "daemon/publisher.h"
#include "daemon/wire.h"
#include "daemon/worker.h"

#include <stdbool.h>
#include <stddef.h>

enum { RIG_WAIT_MS = 20000 }; /* until a test gives up what should come at once */

/* The folder of this program's endpoints; made at the first call, removed when the program ends. */
const char *rig_folder(void);

/* A configuration: `bus` are further lines of its section (two blanks deep), which has endpoints ticks, forecasts and
 * control in the folder; `rest` is the other sections. Fails the test where it is wrong. */
struct config *rig_config(const char *bus, const char *rest);

/* A class "c" (of names that begin with c/, features a and b) and a model "m" for it with a small LSTM: seeded
 * weights that serve. */
#define RIG_CLASS "streams:\n  - class: c\n    pattern: 'c/*'\n    features: [a, b]\n    history: 32\n"
#define RIG_TRAINING \
    "    training: {window: 16, burn_in: 2, unroll: 8, first_after: 24, epochs: 2, max_windows: 16}\n"
#define RIG_MODEL_OF(name, class) \
    "  - name: " name "\n    class: " class \
        "\n    horizon: 3\n    batch_size: 2\n    layers:\n      - lstm: 4\n    combine: network\n" RIG_TRAINING
#define RIG_MODEL "models:\n" RIG_MODEL_OF("m", "c") "    train: false\n"

/* For streams of a test's own. */
struct pool *rig_pool(void);

/* A worker that has rings and counters, and no thread: whoever holds it plays the worker. */
struct worker *idle_worker_new(const struct config *config, size_t input_bytes);
void idle_worker_free(struct worker *worker);

enum { RIG_MAX_WORKERS = 4 };

/* While it is set no model that is being saved comes to its end. */
extern atomic_bool rig_hold_write;

struct rig_setup {
    const char *bus, *rest; /* of the configuration */
    bool idle;              /* workers without threads */
    size_t idle_bytes;      /* of their input rings */
                            /* Instead of the store's, where the configuration has state_dir; or NULL. */
    uint64_t (*durable)(const struct store *store);
    bool (*degraded)(const struct store *store);
    bool learns;  /* has a trainer, learning and control */
    bool returns; /* with state_dir: streams come back from there, and leave for it */
};

struct rig {
    struct config *config;
    bool idle;
    void *zmq;
    struct doorbell bell;
    struct interest interest;
    struct worker *workers[RIG_MAX_WORKERS];
    struct streams *streams;
    struct placement *placement;
    struct publisher *publisher;
    struct store *store; /* with state_dir */
    struct returns *returns;
    bool holds_returns; /* nobody comes back */
    struct opening opening;
    struct ingest *ingest;
    struct trainer *trainer;
    struct versions *versions; /* with a state_dir */
    struct learning *learning;
    struct control *control;
    uint64_t disconnects;
    int stops, reloads; /* asked for by commands */

    /* What came out of the workers. */
    int stopped, ended, refused, forecasts, bundles, collected, resets, gaps, told, takeovers, rounds_done,
        unreadable;
    enum reason latest_refused;
};

void rig_open(struct rig *rig, const struct rig_setup *setup);
/* Stops the workers, takes what they still have, and frees everything in the order of the bus. */
void rig_close(struct rig *rig);

/* Takes what is in the workers' output rings, as the bus does. */
void rig_publish(struct rig *rig);
/* Takes turns as the bus does, until *counter is at least least, or fails the test. */
void rig_turn_until(struct rig *rig, const int *counter, int least);
/* One turn: outputs, control, learning, ticks. */
void rig_turn(struct rig *rig);

/* Sockets of the test, connected to an endpoint of the configuration; closed by rig_disconnect. */
void *rig_connect(struct rig *rig, int type, const char *endpoint);
/* A SUB socket whose subscription the publisher has seen (and told of in rig->interest). */
void *rig_subscribe(struct rig *rig, const char *prefix, size_t n);
void rig_disconnect(void *socket);

/* Puts one tick into a message of two frames, or a ready payload into one. */
void rig_send_tick(void *socket, const char *stream, int64_t t, const double *values, int n);
void rig_send(void *socket, const void *data, size_t n);

/* Receives one frame within the time (ms), NUL-terminated; returns its length, or -1. */
int rig_receive(void *socket, char *buffer, size_t size, int wait_ms);

/* Sleeps for a moment between two looks; returns false when the time since *began (0 at first) is up. */
bool rig_wait(int64_t *began);

#endif
