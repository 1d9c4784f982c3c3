/* The bus is started and stopped. */
#include "daemon/bus_internal.h"

#include "daemon/clock.h"
#include "daemon/priority.h"
#include "daemon/recovery.h"
#include "engine/keras/keras.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

/* How long what is queued may take to leave at the stop. */
enum { LINGER_MS = 1000 };

const char *const bus_monitored[N_MONITORS] = {"ticks",          "subscribe", "forecasts",
                                               "forecasts_json", "control",   "acknowledged"};

static int open_monitor(struct bus *bus, int monitor, void *socket, struct error *err) {
    char address[64];
    snprintf(address, sizeof address, "inproc://monitor-%s", bus_monitored[monitor]);
    if (socket == NULL)
        return 0;
    if (zmq_socket_monitor(socket, address, ZMQ_EVENT_DISCONNECTED) != 0 ||
        (bus->monitors[monitor] = zmq_socket(bus->zmq, ZMQ_PAIR)) == NULL ||
        zmq_connect(bus->monitors[monitor], address) != 0)
        return error_set(err, "bus: cannot watch %s: %s", bus_monitored[monitor], zmq_strerror(errno));
    return 0;
}

static int open_monitors(struct bus *bus, struct error *err) {
    const struct acknowledged *acknowledged = ingest_acknowledged(bus->ingest);
    void *const sockets[N_MONITORS] = {
        ingest_ticks_socket(bus->ingest), ingest_subscribe_socket(bus->ingest),
        publisher_socket(bus->publisher), publisher_json_socket(bus->publisher),
        control_socket(bus->control),     acknowledged != NULL ? acknowledged_socket(acknowledged) : NULL};
    for (int m = 0; m < N_MONITORS; m++)
        if (open_monitor(bus, m, sockets[m], err) != 0)
            return -1;
    return 0;
}

static int start_workers(struct bus *bus, struct error *err) {
    if (bus->config->state_dir[0] != '\0' && ((bus->store = store_open(bus->config, &bus->bell, err)) == NULL ||
                                              (bus->versions = versions_open(bus->config, &bus->bell, err)) == NULL))
        return -1;
    for (int w = 0; w < bus->config->workers; w++) {
        const struct worker_setup setup = {.config = bus->config,
                                           .index = w,
                                           .epoch = bus->epoch,
                                           .interest = &bus->interest,
                                           .bus = &bus->bell,
                                           .store = bus->store,
                                           .versions = bus->versions};
        bus->workers[w] = worker_start(&setup, err);
        if (bus->workers[w] == NULL)
            return -1;
        bus->running++;
    }
    bus->trainer = trainer_start(bus->config, &bus->bell, err);
    return bus->trainer != NULL ? 0 : -1;
}

static void stop_asked(void *context) {
    bus_request_stop(context);
}

static void reload_asked(void *context) {
    const struct bus *bus = context;
    const uint64_t one = 1;
    ssize_t put = write(bus->reload_fd, &one, sizeof one);
    (void)put; /* it has room for more than there are requests */
}

static void know_producer(void *context, uint64_t producer, uint64_t sequence, int64_t received) {
    acknowledged_restore(context, producer, sequence, received);
}

static int open_publisher(struct bus *bus, struct error *err) {
    priority_prompt(); /* ZeroMQ's threads are started with the first socket */
    bus->publisher = publisher_open(bus->zmq, bus->config, &bus->interest, err);
    priority_usual();
    return bus->publisher != NULL ? 0 : -1;
}

static int open_ingest(struct bus *bus, struct error *err) {
    bus->opening = (struct opening){.config = bus->config,
                                    .workers = bus->workers,
                                    .streams = bus->streams,
                                    .placement = bus->placement,
                                    .publisher = bus->publisher,
                                    .began = clock_monotonic()};
    const struct returns_setup returns = {&bus->opening, bus->store};
    if (bus->store != NULL && (bus->returns = returns_new(&returns)) == NULL)
        return error_set(err, "bus: out of memory");
    const struct ingest_setup ingest = {.config = bus->config,
                                        .opening = &bus->opening,
                                        .returns = bus->returns,
                                        .workers = bus->workers,
                                        .streams = bus->streams,
                                        .placement = bus->placement,
                                        .publisher = bus->publisher,
                                        .store = bus->store,
                                        .durable = store_durable,
                                        .degraded = store_degraded};
    bus->ingest = ingest_open(bus->zmq, &ingest, err);
    return bus->ingest != NULL ? 0 : -1;
}

/* What the store has is known, and who moves between it and memory. */
static int restore(struct bus *bus, struct error *err) {
    if (bus->store == NULL)
        return 0;
    if (ingest_acknowledged(bus->ingest) != NULL)
        store_producers(bus->store, know_producer, ingest_acknowledged(bus->ingest));
    if (recovery_read(bus->config, bus->store, bus->streams, bus->ingest, bus->returns, bus->versions, err) != 0)
        return -1;
    bus->rounds = (struct rounds){.config = bus->config,
                                  .store = bus->store,
                                  .ingest = bus->ingest,
                                  .returns = bus->returns,
                                  .began = clock_monotonic(),
                                  .held_most = ROUNDS_HELD_MOST};
    reopening_init(&bus->reopening, bus->config, bus->returns, bus->ingest);
    bus->eviction = (struct eviction){&bus->opening, bus->ingest, bus->returns, bus->store};
    return 0;
}

static int open_learning(struct bus *bus, struct error *err) {
    if (bus->config->journal[0] != '\0' && (bus->journal = journal_open(bus->config, bus->epoch, err)) == NULL)
        return -1;
    const struct learning_setup learning = {.config = bus->config,
                                            .kernels = bus->kernels,
                                            .workers = bus->workers,
                                            .streams = bus->streams,
                                            .placement = bus->placement,
                                            .publisher = bus->publisher,
                                            .ingest = bus->ingest,
                                            .trainer = bus->trainer,
                                            .journal = bus->journal,
                                            .versions = bus->versions};
    bus->learning = learning_new(&learning, err);
    return bus->learning != NULL ? 0 : -1;
}

static int open_control(struct bus *bus, struct error *err) {
    const struct control_setup control = {.config = bus->config,
                                          .epoch = bus->epoch,
                                          .workers = bus->workers,
                                          .streams = bus->streams,
                                          .placement = bus->placement,
                                          .publisher = bus->publisher,
                                          .opening = &bus->opening,
                                          .returns = bus->returns,
                                          .ingest = bus->ingest,
                                          .learning = bus->learning,
                                          .store = bus->store,
                                          .write = keras_write,
                                          .bell = &bus->bell,
                                          .disconnects = &bus->disconnects,
                                          .stop = stop_asked,
                                          .reload = reload_asked,
                                          .context = bus};
    bus->control = control_open(bus->zmq, &control, err);
    return bus->control != NULL ? 0 : -1;
}

/* Each part is given those before it. */
static int open_all(struct bus *bus, struct error *err) {
    return open_publisher(bus, err) != 0 || open_ingest(bus, err) != 0 || restore(bus, err) != 0 ||
                   open_learning(bus, err) != 0 || open_control(bus, err) != 0 || open_monitors(bus, err) != 0
               ? -1
               : 0;
}

static void bus_free(struct bus *bus) {
    if (bus->control != NULL)
        control_close(bus->control, LINGER_MS);
    learning_free(bus->learning);
    versions_close(bus->versions);
    journal_close(bus->journal);
    for (int m = 0; m < N_MONITORS; m++)
        if (bus->monitors[m] != NULL)
            zmq_close(bus->monitors[m]);
    ingest_close(bus->ingest);
    returns_free(bus->returns);
    store_close(bus->store);
    publisher_close(bus->publisher, LINGER_MS);
    if (bus->zmq != NULL)
        zmq_ctx_term(bus->zmq);
    streams_free(bus->streams);
    placement_free(bus->placement);
    free(bus->workers);
    doorbell_fini(&bus->bell);
    reload_free(atomic_load(&bus->reload));
    if (bus->stopped_fd >= 0)
        close(bus->stopped_fd);
    if (bus->reload_fd >= 0)
        close(bus->reload_fd);
    free(bus);
}

/* Ends workers that have been started without a bus thread to talk to. */
static void stop_workers(struct bus *bus) {
    trainer_stop(bus->trainer);
    bus->trainer = NULL;
    for (int w = 0; w < bus->config->workers; w++) {
        if (bus->workers[w] == NULL)
            continue;
        if (!bus->started) {
            struct record *record = ring_reserve(worker_input(bus->workers[w]), sizeof *record, 0);
            record->kind = RECORD_STOP;
            ring_commit(worker_input(bus->workers[w]), sizeof *record);
            worker_wake(bus->workers[w]);
        }
        worker_stop(bus->workers[w]);
        bus->workers[w] = NULL;
    }
}

struct bus *bus_start(struct config *config, struct error *err) {
    struct bus *bus = calloc(1, sizeof *bus);
    if (bus == NULL) {
        error_set(err, "bus: out of memory");
        return NULL;
    }
    bus->config = config;
    bus->kernels = kernels_choose();
    bus->epoch = (uint64_t)(clock_realtime() / 1000000);
    atomic_init(&bus->stop_requested, false);
    atomic_init(&bus->interest.single, false);
    atomic_init(&bus->interest.bundle, false);
    bus->bell.fd = -1;
    atomic_init(&bus->reload, NULL);
    bus->stopped_fd = eventfd(0, EFD_CLOEXEC);
    bus->reload_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bus->workers = calloc((size_t)config->workers, sizeof(struct worker *));
    bus->streams = streams_new(config);
    bus->placement = placement_new(config, bus->kernels);
    bus->zmq = zmq_ctx_new();
    error_set(err, "bus: cannot start: out of memory or file descriptors");
    if (bus->workers == NULL || bus->streams == NULL || bus->placement == NULL || bus->zmq == NULL ||
        bus->stopped_fd < 0 || bus->reload_fd < 0 || doorbell_init(&bus->bell) != 0 || start_workers(bus, err) != 0 ||
        open_all(bus, err) != 0)
        goto fail;
    int failed = pthread_create(&bus->thread, NULL, bus_run, bus);
    if (failed != 0) {
        error_set(err, "bus: cannot start a thread: %s", strerror(failed));
        goto fail;
    }
    bus->started = true;
    pthread_setname_np(bus->thread, "bus");
    return bus;

fail:
    if (bus->workers != NULL)
        stop_workers(bus);
    bus_free(bus);
    return NULL;
}

void bus_request_stop(struct bus *bus) {
    atomic_store_explicit(&bus->stop_requested, true, memory_order_release);
    doorbell_ring(&bus->bell);
}

int bus_stopped_fd(const struct bus *bus) {
    return bus->stopped_fd;
}

int bus_reload_fd(const struct bus *bus) {
    return bus->reload_fd;
}

void bus_reload(struct bus *bus, struct reload *reload) {
    /* What has not been taken yet is older; a command that waits for it is answered with this one. */
    struct reload *older = atomic_exchange_explicit(&bus->reload, NULL, memory_order_acq_rel);
    reload->asked |= older != NULL && older->asked;
    reload_free(older);
    atomic_store_explicit(&bus->reload, reload, memory_order_release);
    doorbell_ring(&bus->bell);
}

void bus_stop(struct bus *bus) {
    if (bus == NULL)
        return;
    bus_request_stop(bus);
    pthread_join(bus->thread, NULL);
    stop_workers(bus);
    bus_free(bus);
}
