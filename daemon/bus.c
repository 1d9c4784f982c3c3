#include "daemon/bus_internal.h"

#include "daemon/clock.h"
#include "daemon/notices.h"
#include "daemon/log.h"
#include "daemon/priority.h"
#include "daemon/records.h"
#include "daemon/service.h"
#include "daemon/wire.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

/* Records of one worker that are published in one go: bounds how long the others wait. */
enum { PUBLISH_MOST = 1024 };

/* New subscriptions that are told to the workers in one go. */
enum { SUBSCRIBE_MOST = 64 };

/* While a tick is parked it is tried again this often; models, and monitors, this often, in ms. */
enum { PARKED_WAIT_MS = 1, POLL_MS = 100 };

/* At the stop: how long messages that ZeroMQ holds are read on. */
static const int64_t drain_ns = 500000000;

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

static void take_output(struct bus *bus, const void *at) {
    switch (((const struct record *)at)->kind) {
    case RECORD_FORECAST:
    case RECORD_BUNDLE: publisher_message(bus->publisher, at); break;
    case RECORD_REFUSED: ingest_refused(bus->ingest, at); break;
    case RECORD_ANEW: tell_anew(bus, at); break;
    case RECORD_TOLD: notices_publish(bus->publisher, bus->config, at); break;
    case RECORD_UNREADABLE: notices_unreadable(bus->publisher, at); break;
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
                bus->publisher, "disconnected", bus_monitored[monitor],
                json_pack("{s:s, s:I}", "socket", bus_monitored[monitor], "total", (json_int_t)bus->disconnects),
                "a peer of %s has disconnected", bus_monitored[monitor]);
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
    void *const sockets[] = {control_is_full(bus->control) ? NULL : control_socket(bus->control),
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
    bool more = returns_poll(bus->returns);
    return ingest_refuse_orphans(bus->ingest) || more;
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

/* Commands on streams are in the journal; whoever asked for more is told that the daemon stops. */
static void drain_control(struct bus *bus) {
    int64_t until = clock_monotonic() + drain_ns;
    while (control_settle(bus->control) && clock_monotonic() < until) {
        doorbell_arm(&bus->bell);
        doorbell_wait(&bus->bell, PARKED_WAIT_MS);
        doorbell_disarm(&bus->bell);
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
        wait_for_work(bus, bring_back(bus));
        rounds_poll(&bus->rounds);
        publish(bus);
    }
}

/* Makes room for what is parked. */
static void go_on(struct bus *bus) {
    publish(bus);
    if (bus->store == NULL)
        return;
    bring_back(bus);
    rounds_poll(&bus->rounds);
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
    drain_control(bus);
}

void *bus_run(void *context) {
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
