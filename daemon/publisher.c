#include "daemon/publisher.h"

#include "daemon/clock.h"
#include "daemon/endpoint.h"
#include "daemon/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1 /* what has no room is not added: its hh.tbl is NULL */
#include <uthash.h>
#include <zmq.h>

/* A prefix that somebody subscribes to on one of the sockets. */
struct subscription {
    UT_hash_handle hh;
    size_t n;
    char key[]; /* which socket, then the prefix */
};

/* A token bucket per kind of event. */
struct event_kind {
    UT_hash_handle hh;
    double tokens;
    int64_t filled; /* ns */
    uint64_t suppressed;
    char name[32];
};

struct publisher {
    const struct config *config;
    void *sockets[2]; /* MessagePack, JSON; the latter may be NULL */
    struct interest *interest;
    struct subscription *subscriptions;
    int n_single, n_bundle; /* of them, that cover forecasts one by one, and bundles */
    int n_of[2];            /* on each socket */
    struct event_kind *kinds;
    struct publisher_counters counters;
};

static void *open_xpub(void *zmq, const struct config *config, const char *endpoint, const char *key,
                       struct error *err) {
    void *socket = zmq_socket(zmq, ZMQ_XPUB);
    int hwm = config->bus.send_hwm, one = 1;
    if (socket == NULL || zmq_setsockopt(socket, ZMQ_SNDHWM, &hwm, sizeof hwm) != 0 ||
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &config->bus.max_message, sizeof config->bus.max_message) != 0 ||
        /* A prefix that is subscribed to twice is told twice: the second subscriber wants last forecasts too. */
        zmq_setsockopt(socket, ZMQ_XPUB_VERBOSE, &one, sizeof one) != 0 || endpoint_bind(socket, endpoint) != 0) {
        error_set(err, "bus.%s: cannot bind to %s: %s", key, endpoint, zmq_strerror(errno));
        if (socket != NULL)
            zmq_close(socket);
        return NULL;
    }
    return socket;
}

struct publisher *publisher_open(void *zmq, const struct config *config, struct interest *interest,
                                 struct error *err) {
    struct publisher *publisher = calloc(1, sizeof *publisher);
    if (publisher == NULL) {
        error_set(err, "publisher: out of memory");
        return NULL;
    }
    publisher->config = config;
    publisher->interest = interest;
    publisher->sockets[0] = open_xpub(zmq, config, config->bus.forecasts, "forecasts", err);
    bool json = config->bus.forecasts_json[0] != '\0';
    if (publisher->sockets[0] != NULL && json)
        publisher->sockets[1] = open_xpub(zmq, config, config->bus.forecasts_json, "forecasts_json", err);
    if (publisher->sockets[0] == NULL || (json && publisher->sockets[1] == NULL)) {
        publisher_close(publisher, 0);
        return NULL;
    }
    return publisher;
}

void publisher_close(struct publisher *publisher, int linger_ms) {
    if (publisher == NULL)
        return;
    for (int s = 0; s < 2; s++) {
        if (publisher->sockets[s] == NULL)
            continue;
        zmq_setsockopt(publisher->sockets[s], ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(publisher->sockets[s]);
    }
    struct subscription *subscription, *next;
    HASH_ITER (hh, publisher->subscriptions, subscription, next) {
        HASH_DEL(publisher->subscriptions, subscription);
        free(subscription);
    }
    struct event_kind *kind, *next_kind;
    HASH_ITER (hh, publisher->kinds, kind, next_kind) {
        HASH_DEL(publisher->kinds, kind);
        free(kind);
    }
    free(publisher);
}

void *publisher_socket(const struct publisher *publisher) {
    return publisher->sockets[0];
}

void *publisher_json_socket(const struct publisher *publisher) {
    return publisher->sockets[1];
}

/* ---- subscriptions -------------------------------------------------------------------------- */

/* Whether a topic that begins with head can match the prefix. */
static bool covers(const char *prefix, size_t n, const char *head) {
    size_t common = strlen(head) < n ? strlen(head) : n;
    return memcmp(prefix, head, common) == 0;
}

/* A subscription has come (by: 1) or is gone (-1). Counted, as there may be one per stream. */
static void count_subscription(struct publisher *publisher, const char *key, size_t n, int by) {
    const char *prefix = key + 1;
    publisher->n_single += covers(prefix, n - 1, "forecast/") ? by : 0;
    publisher->n_bundle += covers(prefix, n - 1, "bundle/") ? by : 0;
    publisher->n_of[key[0] - '0'] += by;
    publisher->counters.subscriptions = HASH_COUNT(publisher->subscriptions);
    atomic_store_explicit(&publisher->interest->single, publisher->n_single > 0, memory_order_relaxed);
    atomic_store_explicit(&publisher->interest->bundle, publisher->n_bundle > 0, memory_order_relaxed);
}

/* Without memory it is counted only, and for good: its subscriber hears all the same. */
static void add_subscription(struct publisher *publisher, const char *key, size_t n) {
    struct subscription *subscription = malloc(sizeof *subscription + n);
    if (subscription != NULL) {
        subscription->n = n;
        memcpy(subscription->key, key, n);
        HASH_ADD_KEYPTR(hh, publisher->subscriptions, subscription->key, subscription->n, subscription);
        if (subscription->hh.tbl == NULL)
            free(subscription);
    }
    count_subscription(publisher, key, n, 1);
}

/* Takes a subscription message: 1 or 0, then the prefix; that byte becomes the socket's, as in a key. Returns whether
 * it subscribes. */
static bool take_subscription(struct publisher *publisher, int socket, char *message, size_t n) {
    bool subscribes = message[0] == 1;
    struct subscription *known;
    message[0] = (char)('0' + socket);
    HASH_FIND(hh, publisher->subscriptions, message, n, known);
    if (!subscribes && known != NULL) {
        HASH_DEL(publisher->subscriptions, known);
        count_subscription(publisher, message, n, -1);
        free(known);
    } else if (subscribes && known == NULL) {
        add_subscription(publisher, message, n);
    }
    return subscribes;
}

/* One message of one socket. Returns -1 when there is none, 1 for a new subscription to forecasts, else 0. */
static int read_subscription(struct publisher *publisher, int socket, char *prefix, size_t *ret_n) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, publisher->sockets[socket], ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&message);
        return -1;
    }
    char *data = zmq_msg_data(&message);
    size_t n = zmq_msg_size(&message);
    int wants = 0;
    /* Longer prefixes than any topic match nothing. */
    if (n > 0 && n <= EMITTER_MAX_TOPIC && (data[0] == 0 || data[0] == 1) &&
        take_subscription(publisher, socket, data, n) && covers(data + 1, n - 1, "forecast/")) {
        memcpy(prefix, data + 1, n - 1);
        *ret_n = n - 1;
        wants = 1;
    }
    zmq_msg_close(&message);
    return wants;
}

int publisher_next_subscription(struct publisher *publisher, char *prefix, size_t *ret_n) {
    for (int s = 0; s < 2; s++) {
        int got = publisher->sockets[s] == NULL ? -1 : 0;
        while (got == 0)
            got = read_subscription(publisher, s, prefix, ret_n);
        if (got == 1)
            return 1;
    }
    return 0;
}

/* ---- messages ------------------------------------------------------------------------------- */

static void send_two(void *socket, const void *topic, size_t topic_n, const void *payload, size_t payload_n) {
    /* XPUB never blocks; it fails only when the context ends or memory is out, and then nobody is served. */
    if (zmq_send(socket, topic, topic_n, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        zmq_send(socket, payload, payload_n, ZMQ_DONTWAIT);
}

static void send_json(const struct publisher *publisher, const void *topic, size_t topic_n, const void *payload,
                      size_t payload_n) {
    size_t n;
    char *text = wire_to_json(payload, payload_n, &n);
    if (text != NULL)
        send_two(publisher->sockets[1], topic, topic_n, text, n);
    free(text);
}

void publisher_message(struct publisher *publisher, const struct record_message *message) {
    const char *payload = message->bytes + message->topic;
    if (message->kind == RECORD_BUNDLE)
        publisher->counters.bundles++;
    else
        publisher->counters.forecasts++;
    send_two(publisher->sockets[0], message->bytes, message->topic, payload, message->payload);
    if (publisher->n_of[1] > 0) /* encoding JSON for nobody would be waste */
        send_json(publisher, message->bytes, message->topic, payload, message->payload);
}

/* ---- events --------------------------------------------------------------------------------- */

/* The most tokens of a kind: a second's worth, and one where less than one a second is allowed. */
static double most_tokens(const struct publisher *publisher) {
    double rate = publisher->config->bus.events_per_second;
    return rate > 0 && rate < 1 ? 1 : rate;
}

static struct event_kind *find_kind(struct publisher *publisher, const char *name) {
    struct event_kind *kind;
    HASH_FIND_STR(publisher->kinds, name, kind);
    if (kind != NULL)
        return kind;
    kind = calloc(1, sizeof *kind);
    if (kind == NULL)
        return NULL;
    snprintf(kind->name, sizeof kind->name, "%s", name);
    kind->tokens = most_tokens(publisher);
    kind->filled = clock_monotonic();
    HASH_ADD_STR(publisher->kinds, name, kind);
    if (kind->hh.tbl != NULL)
        return kind;
    free(kind);
    return NULL;
}

/* Whether one more event of the kind may be sent now. */
static bool has_token(const struct publisher *publisher, struct event_kind *kind) {
    double most = most_tokens(publisher);
    int64_t now = clock_monotonic();
    kind->tokens += publisher->config->bus.events_per_second * 1e-9 * (double)(now - kind->filled);
    kind->tokens = kind->tokens < most ? kind->tokens : most;
    kind->filled = now;
    return kind->tokens >= 1;
}

bool publisher_would_tell(struct publisher *publisher, const char *kind_name) {
    struct event_kind *kind = find_kind(publisher, kind_name);
    if (kind != NULL && has_token(publisher, kind))
        return true;
    publisher->counters.events_suppressed++;
    if (kind != NULL)
        kind->suppressed++;
    return false;
}

static void send_event(const struct publisher *publisher, const char *topic, size_t topic_n, const json_t *map) {
    for (int s = 0; s < 2; s++) {
        char *data;
        size_t n;
        if (publisher->sockets[s] == NULL || wire_message_encode(map, s == 1, &data, &n) != 0)
            continue;
        send_two(publisher->sockets[s], topic, topic_n, data, n);
        free(data);
    }
}

void publisher_event(struct publisher *publisher, const char *kind_name, const char *name, json_t *fields,
                     const char *format, ...) {
    if (!publisher_would_tell(publisher, kind_name)) {
        json_decref(fields);
        return;
    }
    struct event_kind *kind = find_kind(publisher, kind_name);
    kind->tokens -= 1;
    char text[512], topic[EMITTER_MAX_TOPIC];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int n = snprintf(topic, sizeof topic, "event/%s/%s", kind_name, name);
    assert((size_t)n < sizeof topic);
    json_t *map = fields != NULL ? fields : json_object();
    json_object_set_new(map, "kind", json_string(kind_name));
    json_object_set_new(map, "t", json_integer(clock_realtime()));
    json_object_set_new(map, "text", json_string(text));
    if (kind->suppressed > 0)
        json_object_set_new(map, "suppressed", json_integer((json_int_t)kind->suppressed));
    kind->suppressed = 0;
    publisher->counters.events++;
    send_event(publisher, topic, (size_t)n + 1, map);
    json_decref(map);
}

struct publisher_counters publisher_counters(const struct publisher *publisher) {
    return publisher->counters;
}
