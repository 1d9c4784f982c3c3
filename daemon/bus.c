#include "daemon/bus.h"

#include "daemon/clock.h"
#include "daemon/control.h"
#include "daemon/doorbell.h"
#include "daemon/eviction.h"
#include "daemon/ingest.h"
#include "daemon/journal.h"
#include "daemon/learning.h"
#include "daemon/notices.h"
#include "daemon/log.h"
#include "daemon/priority.h"
#include "daemon/publisher.h"
#include "daemon/records.h"
#include "daemon/recovery.h"
#include "daemon/reopening.h"
#include "daemon/returns.h"
#include "daemon/rounds.h"
#include "daemon/service.h"
#include "daemon/store.h"
#include "daemon/trainer.h"
#include "daemon/versions.h"
#include "daemon/wire.h"
#include "engine/keras/keras.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

/* Records of one worker that are published in one go: bounds how long the others wait. */
enum { PUBLISH_MOST = 1024 };

/* New subscriptions that are told to the workers in one go. */
enum { SUBSCRIBE_MOST = 64 };

/* While a tick is parked it is tried again this often; models, and monitors, this often, in ms. */
enum { PARKED_WAIT_MS = 1, POLL_MS = 100 };

/* At the stop: how long messages that ZeroMQ holds are read on, and how long what is queued may take to leave. */
static const int64_t drain_ns = 500000000;
enum { LINGER_MS = 1000 };

/* The sockets whose disconnections are watched. */
enum { N_MONITORS = 6 };
static const char *const monitored[N_MONITORS] = {"ticks",          "subscribe", "forecasts",
                                                  "forecasts_json", "control",   "acknowledged"};

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

/* ---- outputs -------------------------------------------------------------------------------- */

static void tell_anew(struct bus *bus, const struct record_anew *anew) {
    char name[WIRE_MAX_NAME + 1];
    memcpy(name, anew->name, anew->n);
    name[anew->n] = '\0';
    json_t *fields = json_pack("{s:s, s:s, s:I}", "stream", name, "cause", anew->gap ? "gap" : "command", "step",
                               (json_int_t)anew->step);
    if (anew->model >= 0)
        json_object_set_new(fields, "model", json_string(bus->config->models[anew->model].name));
    publisher_event(bus->publisher, "reset", name, fields, "the states of stream %s begin anew behind step %llu%s",
                    name, (unsigned long long)anew->step, anew->gap ? ", after a gap" : "");
}

static void tell_unreadable(struct bus *bus, const struct record_unreadable *record) {
    publisher_event(bus->publisher, "unreadable", record->name,
                    json_pack("{s:s%, s:s}", "stream", record->name, record->n, "error", record->err.text),
                    "of stream %.*s not all can be read, and begins anew: %s", (int)record->n, record->name,
                    record->err.text);
}

static void take_output(struct bus *bus, const void *at) {
    switch (((const struct record *)at)->kind) {
    case RECORD_FORECAST:
    case RECORD_BUNDLE: publisher_message(bus->publisher, at); break;
    case RECORD_REFUSED: ingest_refused(bus->ingest, at); break;
    case RECORD_ANEW: tell_anew(bus, at); break;
    case RECORD_TOLD: notices_publish(bus->publisher, bus->config, at); break;
    case RECORD_UNREADABLE: tell_unreadable(bus, at); break;
    case RECORD_UNCLOSED: ingest_unclosed(bus->ingest, at); break;
    case RECORD_ROUND_DONE: rounds_done(&bus->rounds, at); break;
    case RECORD_STATE_DONE: {
        struct state_order *order = ((const struct record_state *)at)->order;
        journal_state(bus->journal, order);
        control_state_done(bus->control, order);
        break;
    }
    case RECORD_IMAGE_DONE: control_image_done(bus->control, ((const struct record_image *)at)->order); break;
    case RECORD_SCORES_DONE: control_scores_done(bus->control, ((const struct record_scores *)at)->report); break;
    case RECORD_ENDED: ingest_ended(bus->ingest, ((const struct record_stream *)at)->stream, false); break;
    case RECORD_LEFT: ingest_ended(bus->ingest, ((const struct record_stream *)at)->stream, true); break;
    case RECORD_WATCHED: learning_watched(bus->learning, at); break;
    case RECORD_TAKEOVER: journal_takeover(bus->journal, at); break;
    case RECORD_COMMANDED: journal_command(bus->journal, at); break;
    case RECORD_COLLECTED: learning_collected(bus->learning, at); break;
    case RECORD_STOPPED: bus->running--; break;
    default: abort(); /* a bug: no other record comes from a worker */
    }
}

/* Returns whether there may be more. */
static bool publish(struct bus *bus) {
    bool more = false;
    for (int w = 0; w < bus->config->workers; w++) {
        struct ring *output = worker_output(bus->workers[w]);
        size_t n;
        int taken = 0;
        for (void *at; taken < PUBLISH_MOST && (at = ring_peek(output, &n)) != NULL; taken++) {
            /* A takeover is kept before anything that follows from it goes out. */
            if (bus->store != NULL && ((const struct record *)at)->kind == RECORD_TAKEOVER) {
                const struct record_takeover *record = at;
                if (!ingest_takeover(bus->ingest, record))
                    break;
                versions_named(bus->versions, record->model, record->takeover.version, store_order(bus->store));
            }
            take_output(bus, at);
            ring_consume(output);
        }
        more |= taken == PUBLISH_MOST;
    }
    return more;
}

static void acknowledge(struct bus *bus) {
    struct acknowledged *acknowledged = ingest_acknowledged(bus->ingest);
    if (acknowledged == NULL)
        return;
    acknowledged_waiting(acknowledged, returns_lowest(bus->returns));
    acknowledged_reply(acknowledged);
}

/* ---- inputs --------------------------------------------------------------------------------- */

/* New subscribers get the last forecasts of what they subscribe to. */
static void take_subscriptions(struct bus *bus) {
    _Alignas(struct record_repeat) char buffer[sizeof(struct record_repeat) + EMITTER_MAX_TOPIC];
    struct record_repeat *record = (struct record_repeat *)(void *)buffer;
    record->kind = RECORD_REPEAT;
    for (int i = 0;
         i < SUBSCRIBE_MOST && publisher_next_subscription(bus->publisher, record->prefix, &record->n) == 1; i++)
        for (int w = 0; w < bus->config->workers; w++)
            /* No room: the worker is so far behind that fresh forecasts come soon. */
            ingest_command(bus->ingest, w, record, sizeof *record + record->n);
}

/* ZeroMQ tells of a peer that sent too much, or nonsense, only by its disconnection. */
static void take_monitor(struct bus *bus, int monitor) {
    zmq_msg_t event, endpoint;
    for (;;) {
        zmq_msg_init(&event);
        zmq_msg_init(&endpoint);
        bool got = zmq_msg_recv(&event, bus->monitors[monitor], ZMQ_DONTWAIT) >= 0 &&
                   zmq_msg_recv(&endpoint, bus->monitors[monitor], ZMQ_DONTWAIT) >= 0;
        if (got) {
            bus->disconnects++;
            publisher_event(
                bus->publisher, "disconnected", monitored[monitor],
                json_pack("{s:s, s:I}", "socket", monitored[monitor], "total", (json_int_t)bus->disconnects),
                "a peer of %s has disconnected", monitored[monitor]);
        }
        zmq_msg_close(&event);
        zmq_msg_close(&endpoint);
        if (!got)
            return;
    }
}

static void poll_models(struct bus *bus) {
    int64_t now = clock_monotonic();
    if (now - bus->polled < POLL_MS * INT64_C(1000000))
        return;
    bus->polled = now;
    if (bus->store != NULL) {
        eviction_poll(&bus->eviction);
        versions_keep_from(bus->versions, store_trimmed(bus->store) + 1);
    }
    learning_poll(bus->learning);
    for (int m = 0; m < N_MONITORS; m++)
        if (bus->monitors[m] != NULL)
            take_monitor(bus, m);
    if (now - bus->status_told < INT64_C(5000000000))
        return;
    bus->status_told = now;
    service_status("%lld streams, %llu ticks taken", (long long)streams_count(bus->streams),
                   (unsigned long long)ingest_counters(bus->ingest)->ticks);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void wait_for_work(struct bus *bus, bool busy) {
    bool parked = ingest_parked(bus->ingest);
    const struct acknowledged *acknowledged = ingest_acknowledged(bus->ingest);
    /* Each socket costs, with each tick. Absent ones, and ticks that could not be taken, are not looked at; monitors
     * are by poll_models. */
    void *const sockets[] = {control_socket(bus->control),
                             publisher_socket(bus->publisher),
                             publisher_json_socket(bus->publisher),
                             parked ? NULL : ingest_ticks_socket(bus->ingest),
                             parked ? NULL : ingest_subscribe_socket(bus->ingest),
                             parked || acknowledged == NULL ? NULL : acknowledged_socket(acknowledged)};
    enum { N_SOCKETS = sizeof sockets / sizeof *sockets };
    zmq_pollitem_t items[1 + N_SOCKETS] = {{.fd = doorbell_fd(&bus->bell), .events = ZMQ_POLLIN}};
    int n = 1;
    for (int i = 0; i < N_SOCKETS && !bus->draining; i++) /* then nobody reads them any more */
        if (sockets[i] != NULL)
            items[n++] = (zmq_pollitem_t){.socket = sockets[i], .events = ZMQ_POLLIN};

    doorbell_arm(&bus->bell);
    bool waiting = trainer_has_result(bus->trainer) || control_has_result(bus->control) ||
                   (bus->versions != NULL && versions_has_result(bus->versions)) ||
                   (!bus->draining && (atomic_load_explicit(&bus->stop_requested, memory_order_acquire) ||
                                       atomic_load_explicit(&bus->reload, memory_order_relaxed) != NULL));
    size_t size;
    for (int w = 0; w < bus->config->workers; w++)
        waiting |= ring_peek(worker_output(bus->workers[w]), &size) != NULL;
    waiting |= bus->store != NULL && store_has_answer(bus->store);
    waiting |= acknowledged != NULL && acknowledged_ready(acknowledged);
    zmq_poll(items, n,
             busy || waiting                         ? 0
             : parked || control_waits(bus->control) ? PARKED_WAIT_MS
                                                     : ingest_close_wait_ms(bus->ingest, POLL_MS));
    doorbell_disarm(&bus->bell);
}

static void take_reload(struct bus *bus) {
    struct reload *reload = NULL;
    if (atomic_load_explicit(&bus->reload, memory_order_relaxed) != NULL)
        reload = atomic_exchange_explicit(&bus->reload, NULL, memory_order_acq_rel);
    if (reload == NULL)
        return;
    json_t *reply = reload_take(bus->config, reload, bus->publisher);
    if (reload->asked)
        control_reloaded(bus->control, json_incref(reply));
    json_decref(reply);
    reload_free(reload);
}

/* Streams leave as others come. Returns whether it can go on at once. */
static bool bring_back(struct bus *bus) {
    eviction_make_room(&bus->eviction);
    return returns_poll(bus->returns);
}

static bool serve_once(struct bus *bus) {
    bool busy = publish(bus);
    take_reload(bus);
    busy |= control_serve(bus->control);
    take_subscriptions(bus);
    if (bus->store != NULL) {
        busy |= bring_back(bus);
        reopening_poll(&bus->reopening);
        rounds_poll(&bus->rounds);
    }
    learning_finished(bus->learning);
    learning_written(bus->learning);
    poll_models(bus);
    return busy;
}

/* What was taken is acknowledged when the disk has it, if that does not take too long: else its senders send it again. */
static void drain_acknowledged(struct bus *bus) {
    const struct acknowledged *acknowledged = ingest_acknowledged(bus->ingest);
    int64_t until = clock_monotonic() + drain_ns;
    acknowledge(bus);
    while (acknowledged != NULL && acknowledged_waits(acknowledged) && clock_monotonic() < until) {
        doorbell_arm(&bus->bell);
        if (!acknowledged_ready(acknowledged))
            doorbell_wait(&bus->bell, POLL_MS);
        doorbell_disarm(&bus->bell);
        acknowledge(bus);
    }
}

/* What is in memory goes to the store; on a disk that cannot be written it does not. */
static void save_all(struct bus *bus) {
    if (bus->store == NULL)
        return;
    /* What was taken for streams on disk is forecast, too. */
    while (returns_lowest(bus->returns) != UINT64_MAX && !store_degraded(bus->store)) {
        wait_for_work(bus, bring_back(bus));
        publish(bus);
    }
    rounds_want(&bus->rounds);
    while (rounds_busy(&bus->rounds) && !store_degraded(bus->store)) {
        wait_for_work(bus, returns_poll(bus->returns));
        rounds_poll(&bus->rounds);
        publish(bus);
    }
}

/* Makes room for what is parked. */
static void go_on(struct bus *bus) {
    publish(bus);
    if (bus->returns != NULL)
        bring_back(bus);
}

/* No new ticks are read; what has been read, and what ZeroMQ had already received, goes its way to the end. */
static void drain(struct bus *bus) {
    int64_t until = clock_monotonic() + drain_ns;
    bus->draining = true;
    while (ingest_read(bus->ingest) || ingest_parked(bus->ingest)) {
        go_on(bus);
        if (clock_monotonic() > until)
            break;
    }
    /* Streams do not come back from a disk that fails: what still waits for them is in the journal, or too late. */
    while (!ingest_finish(bus->ingest) &&
           (bus->store == NULL || !store_degraded(bus->store) || clock_monotonic() <= until))
        go_on(bus);
    save_all(bus);
    const struct record stop = {RECORD_STOP};
    for (int w = 0; w < bus->config->workers; w++)
        while (!ingest_command(bus->ingest, w, &stop, sizeof stop))
            publish(bus);
    while (bus->running > 0) {
        wait_for_work(bus, false);
        publish(bus);
    }
    drain_acknowledged(bus);
}

static void *run(void *context) {
    struct bus *bus = context;
    bool busy = false;
    priority_prompt();
    while (!atomic_load_explicit(&bus->stop_requested, memory_order_acquire)) {
        wait_for_work(bus, busy);
        busy = serve_once(bus);
        busy |= ingest_read(bus->ingest);
        ingest_close_due(bus->ingest);
        busy |= publish(bus); /* of what was served at once */
        acknowledge(bus);
    }
    service_stopping();
    drain(bus);
    log_info("stopped: %llu ticks taken, %llu messages published",
             (unsigned long long)ingest_counters(bus->ingest)->ticks,
             (unsigned long long)(publisher_counters(bus->publisher).forecasts +
                                  publisher_counters(bus->publisher).bundles));
    uint64_t one = 1;
    ssize_t put = write(bus->stopped_fd, &one, sizeof one);
    (void)put; /* a fresh counter has room */
    return NULL;
}

/* ---- start and stop ------------------------------------------------------------------------- */

static int open_monitor(struct bus *bus, int monitor, void *socket, struct error *err) {
    char address[64];
    snprintf(address, sizeof address, "inproc://monitor-%s", monitored[monitor]);
    if (socket == NULL)
        return 0;
    if (zmq_socket_monitor(socket, address, ZMQ_EVENT_DISCONNECTED) != 0 ||
        (bus->monitors[monitor] = zmq_socket(bus->zmq, ZMQ_PAIR)) == NULL ||
        zmq_connect(bus->monitors[monitor], address) != 0)
        return error_set(err, "bus: cannot watch %s: %s", monitored[monitor], zmq_strerror(errno));
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
                                  .began = clock_monotonic()};
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
    int failed = pthread_create(&bus->thread, NULL, run, bus);
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
