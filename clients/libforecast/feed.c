#include "clients/libforecast/client.h"

#include "daemon/wire_pack.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    TICK_BYTES = 32 + 9 * WIRE_MAX_VALUES, /* a tick by order: head, time, doubles */
    MAX_BUNDLE = 1 << 20,
};

struct forecast_feed {
    struct forecast_client client;
    struct wire_bundle bundle;
    char *named; /* the payload of a tick by name; grown and kept */
    size_t named_size;
    char tick[TICK_BYTES];
};

int forecast_feed_open(const char *endpoint, int high_water_mark, struct forecast_feed **ret_feed) {
    struct forecast_feed *feed = calloc(1, sizeof *feed);
    int code;

    if (!feed)
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a feed");
    code =
        forecast_client_init(&feed->client, ZMQ_PUSH, endpoint ? endpoint : FORECAST_DEFAULT_TICKS, high_water_mark);
    if (code)
        goto free_feed;
    code = forecast_client_connect(&feed->client);
    if (code)
        goto fini_client;
    *ret_feed = feed;
    return FORECAST_OK;

fini_client:
    forecast_client_fini(&feed->client, 0);
free_feed:
    free(feed);
    return code;
}

int forecast_feed_close(struct forecast_feed **feed, int linger_ms) {
    struct forecast_feed *closing = *feed;
    bool sent;

    if (!closing)
        return FORECAST_OK;
    *feed = NULL;
    sent = forecast_client_fini(&closing->client, linger_ms);
    wire_bundle_fini(&closing->bundle);
    free(closing->named);
    free(closing);
    if (!sent)
        return forecast_client_fail(FORECAST_ERROR_TIMEOUT, "ticks were left unsent after %d ms", linger_ms);
    return FORECAST_OK;
}

/*
 * A second socket that only gets a pipe once its handshake is done becomes writable then: ZeroMQ has no
 * question for that, and a monitor would have to be read for ever after.
 */
int forecast_feed_wait(struct forecast_feed *feed, int timeout_ms) {
    void *probe = zmq_socket(feed->client.context, ZMQ_PUSH);
    int one = 1, zero = 0, n = -1, code = FORECAST_OK;

    if (!probe || zmq_setsockopt(probe, ZMQ_IMMEDIATE, &one, sizeof one) ||
        zmq_setsockopt(probe, ZMQ_LINGER, &zero, sizeof zero) || zmq_connect(probe, feed->client.endpoint)) {
        code = forecast_client_fail_zmq("connecting to", feed->client.endpoint);
    } else {
        n = zmq_poll(&(zmq_pollitem_t){.socket = probe, .events = ZMQ_POLLOUT}, 1, timeout_ms < 0 ? -1 : timeout_ms);
        if (n < 0)
            code = forecast_client_fail_zmq("waiting for", feed->client.endpoint);
        else if (n == 0)
            code = forecast_client_fail(FORECAST_ERROR_TIMEOUT, "nobody answers at %s", feed->client.endpoint);
    }
    if (probe)
        zmq_close(probe);
    return code;
}

static int check_tick(const char *stream, const double *values, int n_values) {
    if (!forecast_client_name_valid(stream))
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a stream name is 1 to 255 bytes of UTF-8");
    if (n_values < 0 || n_values > WIRE_MAX_VALUES || (n_values && !values))
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a tick has 0 to %d values, not %d", WIRE_MAX_VALUES,
                                    n_values);
    for (int i = 0; i < n_values; i++)
        if (isinf(values[i]))
            return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "value %d of stream \"%s\" is infinite", i, stream);
    return FORECAST_OK;
}

/* Sends one or two frames as one message, whole or not at all. */
static int send_frames(struct forecast_feed *feed, struct wire_text first, struct wire_text second, int timeout_ms) {
    int64_t start = timeout_ms > 0 ? forecast_client_now() : 0;
    int left = timeout_ms;

    for (;;) {
        int code = forecast_client_timeout(&feed->client, ZMQ_SNDTIMEO, left);

        if (code)
            return code;
        if (zmq_send(feed->client.socket, first.at, first.n, second.at ? ZMQ_SNDMORE : 0) < 0)
            return forecast_client_fail_zmq("sending to", feed->client.endpoint);
        if (!second.at)
            return FORECAST_OK;
        /* A begun message is finished: the second frame finds room unless the connection went away between
		 * the two. Then ZeroMQ drops the first, and the message starts anew. */
        int sent;
        do
            sent = zmq_send(feed->client.socket, second.at, second.n, 0);
        while (sent < 0 && errno == EINTR);
        if (sent >= 0)
            return FORECAST_OK;
        if (errno != EAGAIN || (timeout_ms > 0 && (left = forecast_client_left(start, timeout_ms)) == 0))
            return forecast_client_fail_zmq("sending to", feed->client.endpoint);
    }
}

int forecast_feed_send(struct forecast_feed *feed, const char *stream, int64_t t, const double *values, int n_values,
                       int timeout_ms) {
    int code = check_tick(stream, values, n_values);

    if (code)
        return code;
    size_t n = wire_tick_encode(feed->tick, sizeof feed->tick, t, values, n_values, NULL);
    return send_frames(feed, (struct wire_text){stream, strlen(stream)}, (struct wire_text){feed->tick, n},
                       timeout_ms);
}

/* {"t": t, "v": {name: value}} into feed->named. Returns its bytes, or 0 when memory is short. */
static size_t encode_named(struct forecast_feed *feed, int64_t t, const char *const *names, const double *values,
                           int n_values) {
    size_t need = 64;

    for (int i = 0; i < n_values; i++)
        need += strlen(names[i]) + 2 * PACK_MAX;
    if (need > feed->named_size) {
        char *grown = realloc(feed->named, need);

        if (!grown)
            return 0;
        feed->named = grown;
        feed->named_size = need;
    }
    char *p = pack_map(feed->named, 2);
    p = PACK_LITERAL(p, "t");
    p = pack_int(p, t);
    p = PACK_LITERAL(p, "v");
    p = pack_map(p, (size_t)n_values);
    for (int i = 0; i < n_values; i++) {
        p = pack_text(p, (struct wire_text){names[i], strlen(names[i])});
        p = pack_double(p, values[i]);
    }
    return (size_t)(p - feed->named);
}

int forecast_feed_send_named(struct forecast_feed *feed, const char *stream, int64_t t, const char *const *names,
                             const double *values, int n_values, int timeout_ms) {
    int code = check_tick(stream, values, n_values);

    if (code)
        return code;
    for (int i = 0; i < n_values; i++)
        if (!forecast_client_name_valid(names[i]))
            return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a feature name is 1 to 255 bytes of UTF-8");
    size_t n = encode_named(feed, t, names, values, n_values);
    if (!n)
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a tick of %d values", n_values);
    return send_frames(feed, (struct wire_text){stream, strlen(stream)}, (struct wire_text){feed->named, n},
                       timeout_ms);
}

int forecast_feed_label(struct forecast_feed *feed, const char *stream, int64_t t, int64_t label, int timeout_ms) {
    if (!forecast_client_name_valid(stream))
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a stream name is 1 to 255 bytes of UTF-8");
    if (label < 0)
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "a label is the number of a class, not %lld",
                                    (long long)label);
    char *p = pack_map(feed->tick, 2);
    p = pack_int(PACK_LITERAL(p, "t"), t);
    p = pack_int(PACK_LITERAL(p, "label"), label);
    return send_frames(feed, (struct wire_text){stream, strlen(stream)},
                       (struct wire_text){feed->tick, (size_t)(p - feed->tick)}, timeout_ms);
}

int forecast_feed_add(struct forecast_feed *feed, const char *stream, int64_t t, const double *values, int n_values) {
    int code = check_tick(stream, values, n_values);

    if (code)
        return code;
    /* Bounds of one element: name, time and doubles with their heads. */
    if (feed->bundle.used + strlen(stream) + 32 + 9 * (size_t)n_values > MAX_BUNDLE)
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "the bundle is full with %lu ticks; flush it first",
                                    (unsigned long)feed->bundle.n);
    if (wire_bundle_add(&feed->bundle, (struct wire_text){stream, strlen(stream)}, t, values, n_values))
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a bundle of ticks");
    return (int)feed->bundle.n;
}

int forecast_feed_flush(struct forecast_feed *feed, int timeout_ms) {
    int code;

    if (feed->bundle.n == 0)
        return FORECAST_OK;
    code = send_frames(feed, wire_bundle_message(&feed->bundle), (struct wire_text){0}, timeout_ms);
    if (code == FORECAST_OK)
        wire_bundle_clear(&feed->bundle);
    return code;
}
