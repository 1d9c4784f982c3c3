#include "clients/forecast/bench.h"

#include "clients/forecast/options.h"
#include "clients/forecast/run.h"
#include "clients/libforecast/forecast.h"
#include "daemon/wire.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    QUEUE = 64,
    MAX_FEATURES = 1024
}; /* messages that wait on our side: few, so that little is under way at the end */

/* The values of a tick: different for each, cheap, and not constant. */
static void make_values(uint64_t k, long features, double *values) {
    for (long i = 0; i < features; i++)
        values[i] = (double)((k * 2654435761U + (uint64_t)i * 40503U) & 1023) / 64;
}

/* ---- the daemon --------------------------------------------------------------------------- */

struct daemon_target {
    struct forecast_feed *feed;
    struct forecast_subscription *subscription;
    char (*names)[32]; /* [streams] */
    long streams, features, bundle;
    bool network_only; /* a daemon that was started for this serves a network: a baseline would be no measure */
    double values[MAX_FEATURES];
};

static int fail(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", bench_command.name, what, forecast_error_text());
    return -1;
}

static int flush_bundle(void *self) {
    struct daemon_target *target = self;
    int code;

    do
        code = forecast_feed_flush(target->feed, 1000);
    while (code == FORECAST_ERROR_TIMEOUT && !run_stopped());
    return code == FORECAST_OK ? 0 : run_stopped() ? -1 : fail("sending");
}

static int send_to_daemon(void *self, uint64_t k, int64_t t) {
    struct daemon_target *target = self;
    const char *name = target->names[k % (uint64_t)target->streams];
    int code;

    make_values(k, target->features, target->values);
    if (target->bundle > 1) {
        code = forecast_feed_add(target->feed, name, t, target->values, (int)target->features);
        if (code < 0) { /* full of bytes before it is of ticks */
            if (flush_bundle(self))
                return -1;
            code = forecast_feed_add(target->feed, name, t, target->values, (int)target->features);
        }
        if (code < 0)
            return fail("sending");
        return code < target->bundle ? 0 : flush_bundle(self);
    }
    do
        code = forecast_feed_send(target->feed, name, t, target->values, (int)target->features, 1000);
    while (code == FORECAST_ERROR_TIMEOUT && !run_stopped());
    return code == FORECAST_OK ? 0 : run_stopped() ? -1 : fail("sending");
}

static int receive_from_daemon(void *self, int timeout_ms, int64_t *ret_t) {
    struct daemon_target *target = self;
    struct forecast_message message;
    int code = forecast_subscription_next(target->subscription, timeout_ms, &message);

    if (code == FORECAST_ERROR_TIMEOUT || code == FORECAST_ERROR_INTERRUPTED)
        return 0;
    if (code)
        return fail("receiving");
    if (message.forecast->flags & FORECAST_FLAG_LAST) /* of before, because we subscribed */
        return 0;
    if (target->network_only && message.forecast->source != FORECAST_SOURCE_NETWORK) {
        fprintf(stderr, "%s: a forecast is the baseline's, and not the network's\n", bench_command.name);
        return -1;
    }
    *ret_t = message.forecast->t;
    return 1;
}

static void close_daemon(void *self) {
    struct daemon_target *target = self;

    forecast_feed_close(&target->feed, 0);
    forecast_subscription_close(&target->subscription);
    free(target->names);
    free(target);
}

/* Gives each stream a tick and waits for the forecasts, so that slots are taken and connections stand; again,
 * while some are lost because the subscription came later than the tick. */
static int warm_up(struct daemon_target *target) {
    long got = 0;

    for (int round = 0; round < 10 && got < target->streams && !run_stopped(); round++) {
        int64_t t, end;

        got = 0;
        for (long i = 0; i < target->streams; i++) {
            if (send_to_daemon(target, (uint64_t)i, run_wall()))
                return -1;
            while (receive_from_daemon(target, 0, &t) == 1)
                got++;
        }
        if (flush_bundle(target))
            return -1;
        end = run_monotonic() + 3 * RUN_NS;
        while (got < target->streams && run_monotonic() < end && !run_stopped())
            got += receive_from_daemon(target, 100, &t) == 1;
    }
    if (got < target->streams && !run_stopped())
        fprintf(stderr,
                "%s: only %ld of %ld streams got a forecast; has the daemon a class for bench/* with %ld "
                "features?\n",
                bench_command.name, got, target->streams, target->features);
    return got < target->streams ? -1 : 0;
}

/* The last forecasts of all streams come again because we subscribed; they are waited for, so that they do not
 * come between those that are measured. */
static void drain(struct daemon_target *target) {
    struct forecast_message message;
    int64_t end = run_monotonic() + 30 * RUN_NS;

    while (!run_stopped() && run_monotonic() < end &&
           forecast_subscription_next(target->subscription, 300, &message) == FORECAST_OK)
        ;
}

/* The frames of one forecast, as it is on the wire. */
static int sample_forecast(const char *endpoint, const char *stream, struct bench_sizes *sizes) {
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_SUB);
    int wait = 5000, zero = 0, n, m = -1;
    char topic[600], payload[65536];

    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait, sizeof wait);
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    n = snprintf(topic, sizeof topic, "forecast/bench/%s", stream);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic, (size_t)n + 1);
    zmq_connect(socket, endpoint);
    n = zmq_recv(socket, topic, sizeof topic, 0); /* the last one, sent again because we ask */
    if (n >= 0)
        m = zmq_recv(socket, payload, sizeof payload, 0);
    zmq_close(socket);
    zmq_ctx_term(context);
    if (m < 0) {
        fprintf(stderr, "%s: no forecast of a model bench comes from %s\n", bench_command.name, endpoint);
        return -1;
    }
    sizes->topic = (size_t)n;
    sizes->forecast = (size_t)m;
    return 0;
}

static int measure_sizes(const struct daemon_target *target, const char *endpoint, struct bench_sizes *sizes) {
    static char buffer[16384];
    struct wire_bundle bundle = {0};
    struct wire_text name = {target->names[0], strlen(target->names[0])};

    sizes->name = name.n;
    sizes->tick = wire_tick_encode(buffer, sizeof buffer, run_wall(), target->values, (int)target->features, NULL);
    wire_bundle_add(&bundle, name, run_wall(), target->values, (int)target->features);
    sizes->bundled_tick = wire_bundle_message(&bundle).n;
    wire_bundle_fini(&bundle);
    return sample_forecast(endpoint, target->names[0], sizes);
}

int bench_open_daemon(const struct bench_daemon *daemon, long streams, long features, long bundle,
                      struct bench_target *ret_target, struct bench_sizes *ret_sizes) {
    struct daemon_target *target = calloc(1, sizeof *target);

    if (!target || !(target->names = malloc((size_t)streams * sizeof *target->names))) {
        fprintf(stderr, "%s: there is no memory\n", bench_command.name);
        free(target);
        return -1;
    }
    for (long i = 0; i < streams; i++)
        snprintf(target->names[i], sizeof target->names[i], "bench/%07ld", i);
    target->streams = streams;
    target->features = features;
    target->bundle = bundle;
    target->network_only = daemon->network_only;
    if (forecast_feed_open(daemon->ticks, QUEUE, &target->feed) ||
        forecast_subscription_open(daemon->forecasts, 1000000, &target->subscription) ||
        (bundle > 1 ? forecast_subscription_bundles(target->subscription, "bench")
                    : forecast_subscription_forecasts(target->subscription, "bench", NULL)) ||
        forecast_feed_wait(target->feed, 5000)) {
        fail("connecting");
        close_daemon(target);
        return -1;
    }
    if (warm_up(target) || measure_sizes(target, daemon->forecasts, ret_sizes)) {
        close_daemon(target);
        return -1;
    }
    drain(target);
    *ret_target = (struct bench_target){"forecastd",         target,      daemon->pid, send_to_daemon, flush_bundle,
                                        receive_from_daemon, close_daemon};
    return 0;
}

/* ---- bare ZeroMQ -------------------------------------------------------------------------- */

struct echo_target {
    void *context, *push, *pull, *pub, *sub;
    struct bench_sizes sizes;
    long bundle, waiting;
    char *up, *down, *taken; /* messages: sent, answered, received */
    size_t up_size, down_size;
    pthread_t thread;
    bool running;
};

/* What an echo's messages begin with. */
struct stamp {
    int64_t t; /* of the first tick; 0 ends the echo */
    int64_t n; /* ticks, forecasts */
};

/* The middle: takes a message, answers with one of a forecast's (or a bundle of forecasts') size. */
static void *echo(void *self) {
    struct echo_target *target = self;
    char name[600], *topic = calloc(1, target->sizes.topic + 1);
    struct stamp stamp = {.t = 1};

    while (stamp.t) {
        if (target->bundle == 1 && zmq_recv(target->pull, name, sizeof name, 0) < 0)
            break;
        if (zmq_recv(target->pull, target->taken, target->up_size, 0) < 0)
            break;
        memcpy(&stamp, target->taken, sizeof stamp);
        memcpy(target->down, &stamp, sizeof stamp);
        zmq_send(target->pub, topic, target->sizes.topic, ZMQ_SNDMORE);
        zmq_send(target->pub, target->down, target->down_size, 0);
    }
    free(topic);
    return NULL;
}

static int push_message(struct echo_target *target, int64_t n) {
    static const char name[600];
    int got = 0;

    memcpy(target->up + offsetof(struct stamp, n), &n, sizeof n);
    if (target->bundle == 1)
        got = zmq_send(target->push, name, target->sizes.name, ZMQ_SNDMORE);
    if (got >= 0)
        got = zmq_send(target->push, target->up, target->up_size, 0);
    return got < 0 ? -1 : 0;
}

static int flush_echo(void *self) {
    struct echo_target *target = self;
    long n = target->waiting;

    target->waiting = 0;
    return n ? push_message(target, n) : 0;
}

static int send_to_echo(void *self, uint64_t k, int64_t t) {
    struct echo_target *target = self;

    (void)k;
    if (target->waiting == 0)
        memcpy(target->up + offsetof(struct stamp, t), &t, sizeof t);
    return ++target->waiting < target->bundle ? 0 : flush_echo(self);
}

static int receive_from_echo(void *self, int timeout_ms, int64_t *ret_t) {
    static char topic[600], payload[1 << 22]; /* one thread receives */
    struct echo_target *target = self;
    zmq_pollitem_t item = {.socket = target->sub, .events = ZMQ_POLLIN};

    /* Polling costs, as it does in no client: only where nothing waits. */
    if (zmq_recv(target->sub, topic, sizeof topic, ZMQ_DONTWAIT) < 0 &&
        (zmq_poll(&item, 1, timeout_ms) <= 0 || zmq_recv(target->sub, topic, sizeof topic, ZMQ_DONTWAIT) < 0))
        return 0;
    if (zmq_recv(target->sub, payload, sizeof payload, 0) < 0)
        return -1;
    struct stamp stamp;
    memcpy(&stamp, payload, sizeof stamp);
    *ret_t = stamp.t;
    return (int)stamp.n;
}

static void close_echo(void *self) {
    struct echo_target *target = self;
    int zero = 0;

    if (target->running) {
        memset(target->up, 0, sizeof(struct stamp));
        push_message(target, 0);
        pthread_join(target->thread, NULL);
    }
    void *sockets[] = {target->push, target->pull, target->pub, target->sub};
    for (size_t i = 0; i < 4; i++)
        if (sockets[i]) {
            zmq_setsockopt(sockets[i], ZMQ_LINGER, &zero, sizeof zero);
            zmq_close(sockets[i]);
        }
    if (target->context)
        zmq_ctx_term(target->context);
    free(target->up);
    free(target->down);
    free(target->taken);
    free(target);
}

/* Binds one socket to a free port and connects the other. */
static bool join(void *context, int bound_type, int connected_type, int queue, void **ret_bound,
                 void **ret_connected) {
    char endpoint[80];
    size_t n = sizeof endpoint;
    void *bound = *ret_bound = zmq_socket(context, bound_type);
    void *connected = *ret_connected = zmq_socket(context, connected_type);

    for (int i = 0; bound && connected && i < 4; i++)
        zmq_setsockopt(i % 2 ? bound : connected, i / 2 ? ZMQ_SNDHWM : ZMQ_RCVHWM, &queue, sizeof queue);
    if (connected && connected_type == ZMQ_SUB)
        zmq_setsockopt(connected, ZMQ_SUBSCRIBE, "", 0);
    return bound && connected && zmq_bind(bound, "tcp://127.0.0.1:*") == 0 &&
           zmq_getsockopt(bound, ZMQ_LAST_ENDPOINT, endpoint, &n) == 0 && zmq_connect(connected, endpoint) == 0;
}

int bench_open_echo(const struct bench_sizes *sizes, long bundle, struct bench_target *ret_target) {
    struct echo_target *target = calloc(1, sizeof *target);
    int64_t t, end = run_monotonic() + 5 * RUN_NS;
    int got = 0;

    if (!target)
        return -1;
    target->sizes = *sizes;
    target->bundle = bundle;
    target->up_size = bundle > 1 ? (size_t)bundle * sizes->bundled_tick : sizes->tick;
    target->down_size = (size_t)bundle * sizes->forecast;
    if (target->up_size < sizeof(struct stamp))
        target->up_size = sizeof(struct stamp);
    target->up = calloc(1, target->up_size);
    target->down = calloc(1, target->down_size);
    target->taken = calloc(1, target->up_size);
    target->context = zmq_ctx_new();
    if (target->up && target->down && target->taken && target->context &&
        join(target->context, ZMQ_PULL, ZMQ_PUSH, QUEUE, &target->pull, &target->push) &&
        join(target->context, ZMQ_PUB, ZMQ_SUB, 1000000, &target->pub, &target->sub))
        target->running = pthread_create(&target->thread, NULL, echo, target) == 0;
    /* Until a subscription stands, answers go nowhere. */
    while (target->running && got <= 0 && run_monotonic() < end && !run_stopped()) {
        send_to_echo(target, 0, end);
        flush_echo(target);
        got = receive_from_echo(target, 10, &t);
    }
    while (got > 0 && receive_from_echo(target, 100, &t) > 0)
        ;
    if (got <= 0) {
        if (!run_stopped())
            fprintf(stderr, "%s: the echo does not start: %s\n", bench_command.name, zmq_strerror(zmq_errno()));
        close_echo(target);
        return -1;
    }
    *ret_target = (struct bench_target){"zeromq", target, 0, send_to_echo, flush_echo, receive_from_echo, close_echo};
    return 0;
}
