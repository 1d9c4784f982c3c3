/* libforecast against ZeroMQ peers in this process, over TCP on the loopback. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/libforecast/forecast.h"
#include "daemon/wire.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { WAIT = 5000 }; /* ms until a test gives up what should come at once */

struct peer {
    void *context, *socket;
    char endpoint[64];
};

static void peer_open(struct peer *peer, int type) {
    size_t n = sizeof peer->endpoint;
    int wait = WAIT, zero = 0;

    peer->context = zmq_ctx_new();
    peer->socket = zmq_socket(peer->context, type);
    assert_non_null(peer->socket);
    zmq_setsockopt(peer->socket, ZMQ_RCVTIMEO, &wait, sizeof wait);
    zmq_setsockopt(peer->socket, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal(zmq_bind(peer->socket, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(peer->socket, ZMQ_LAST_ENDPOINT, peer->endpoint, &n), 0);
}

static void peer_close(struct peer *peer) {
    zmq_close(peer->socket);
    zmq_ctx_term(peer->context);
}

struct frames {
    zmq_msg_t message[4];
    struct wire_text text[4];
    size_t n;
};

static void peer_receive(struct peer *peer, struct frames *frames) {
    frames->n = 0;
    do {
        zmq_msg_t *message = &frames->message[frames->n];

        zmq_msg_init(message);
        assert_true(zmq_msg_recv(message, peer->socket, 0) >= 0);
        frames->text[frames->n++] = (struct wire_text){zmq_msg_data(message), zmq_msg_size(message)};
    } while (zmq_msg_more(&frames->message[frames->n - 1]));
}

static void frames_close(struct frames *frames) {
    for (size_t i = 0; i < frames->n; i++)
        zmq_msg_close(&frames->message[i]);
}

static void assert_text(struct wire_text text, const char *expected) {
    assert_int_equal(text.n, strlen(expected));
    assert_memory_equal(text.at, expected, text.n);
}

/* ---- feed --------------------------------------------------------------------------------- */

static struct wire_tick tick; /* large */

static void test_feed_sends_ticks(void **state) {
    (void)state;
    struct peer peer;
    struct frames frames;
    struct wire_ticks ticks;
    enum reason reason;
    struct forecast_feed *feed;
    const double values[] = {1.5, NAN, -3e300};

    peer_open(&peer, ZMQ_PULL);
    assert_int_equal(forecast_feed_open(peer.endpoint, 0, &feed), FORECAST_OK);
    assert_int_equal(forecast_feed_wait(feed, WAIT), FORECAST_OK);
    assert_int_equal(forecast_feed_send(feed, "plant/boiler-7", -5, values, 3, WAIT), FORECAST_OK);
    peer_receive(&peer, &frames);
    assert_int_equal(frames.n, 2);
    assert_int_equal(wire_ticks_begin(&ticks, frames.text, frames.n), REASON_NONE);
    assert_int_equal(wire_ticks_next(&ticks, &tick, &reason), 1);
    assert_text(tick.stream, "plant/boiler-7");
    assert_true(tick.has_time && !tick.named && !tick.has_seq);
    assert_int_equal(tick.t, -5);
    assert_int_equal(tick.n_values, 3);
    assert_true(tick.values[0] == 1.5 && isnan(tick.values[1]) && tick.values[2] == -3e300);
    assert_int_equal(wire_ticks_next(&ticks, &tick, &reason), 0);
    wire_ticks_end(&ticks);
    frames_close(&frames);
    assert_int_equal(forecast_feed_close(&feed, WAIT), FORECAST_OK);
    assert_null(feed);
    peer_close(&peer);
}

static void test_feed_sends_by_name(void **state) {
    (void)state;
    struct peer peer;
    struct frames frames;
    struct wire_ticks ticks;
    enum reason reason;
    struct forecast_feed *feed;
    const char *const names[] = {"temperature", "pressure"};
    const double values[] = {20.25, NAN};

    peer_open(&peer, ZMQ_PULL);
    assert_int_equal(forecast_feed_open(peer.endpoint, 0, &feed), FORECAST_OK);
    assert_int_equal(forecast_feed_send_named(feed, "s", INT64_MAX, names, values, 2, WAIT), FORECAST_OK);
    peer_receive(&peer, &frames);
    assert_int_equal(wire_ticks_begin(&ticks, frames.text, frames.n), REASON_NONE);
    assert_int_equal(wire_ticks_next(&ticks, &tick, &reason), 1);
    assert_int_equal(tick.t, INT64_MAX);
    assert_true(tick.named);
    assert_int_equal(tick.n_values, 2);
    assert_text(tick.names[0], "temperature");
    assert_text(tick.names[1], "pressure");
    assert_true(tick.values[0] == 20.25 && isnan(tick.values[1]));
    wire_ticks_end(&ticks);
    frames_close(&frames);
    forecast_feed_close(&feed, WAIT);
    peer_close(&peer);
}

static void test_feed_sends_labels(void **state) {
    (void)state;
    struct peer peer;
    struct frames frames;
    struct wire_ticks ticks;
    enum reason reason;
    struct forecast_feed *feed;

    peer_open(&peer, ZMQ_PULL);
    assert_int_equal(forecast_feed_open(peer.endpoint, 0, &feed), FORECAST_OK);
    assert_int_equal(forecast_feed_label(feed, "s", INT64_MIN, -1, WAIT), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_feed_label(feed, "", 0, 1, WAIT), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_feed_label(feed, "s", INT64_MIN, INT64_MAX, WAIT), FORECAST_OK);
    peer_receive(&peer, &frames);
    assert_int_equal(wire_ticks_begin(&ticks, frames.text, frames.n), REASON_NONE);
    assert_int_equal(wire_ticks_next(&ticks, &tick, &reason), 1);
    assert_text(tick.stream, "s");
    assert_true(tick.is_label && tick.t == INT64_MIN && tick.label == INT64_MAX && tick.n_values == 0);
    wire_ticks_end(&ticks);
    frames_close(&frames);
    forecast_feed_close(&feed, WAIT);
    peer_close(&peer);
}

static void test_feed_sends_bundles(void **state) {
    (void)state;
    struct peer peer;
    struct frames frames;
    struct wire_ticks ticks;
    enum reason reason;
    struct forecast_feed *feed;
    char name[16];

    peer_open(&peer, ZMQ_PULL);
    assert_int_equal(forecast_feed_open(peer.endpoint, 0, &feed), FORECAST_OK);
    for (int round = 0; round < 2; round++) { /* the second reuses the emptied bundle */
        for (int i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "s%d", i);
            assert_int_equal(forecast_feed_add(feed, name, i, (double[]){i, round}, 2), i + 1);
        }
        assert_int_equal(forecast_feed_flush(feed, WAIT), FORECAST_OK);
        peer_receive(&peer, &frames);
        assert_int_equal(frames.n, 1);
        assert_int_equal(wire_ticks_begin(&ticks, frames.text, frames.n), REASON_NONE);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(wire_ticks_next(&ticks, &tick, &reason), 1);
            snprintf(name, sizeof name, "s%d", i);
            assert_text(tick.stream, name);
            assert_int_equal(tick.t, i);
            assert_true(tick.values[0] == i && tick.values[1] == round);
        }
        assert_int_equal(wire_ticks_next(&ticks, &tick, &reason), 0);
        wire_ticks_end(&ticks);
        frames_close(&frames);
    }
    assert_int_equal(forecast_feed_flush(feed, 0), FORECAST_OK); /* nothing to send */
    forecast_feed_close(&feed, WAIT);
    peer_close(&peer);
}

static void test_feed_refuses(void **state) {
    (void)state;
    struct forecast_feed *feed, *untouched = NULL;
    static double many[1025];
    char long_name[257];
    int n, code;

    memset(long_name, 'x', 256);
    long_name[256] = '\0';
    assert_int_equal(forecast_feed_open("nonsense", 0, &untouched), FORECAST_ERROR_ARGUMENT);
    assert_non_null(strstr(forecast_error_text(), "\"nonsense\""));
    assert_int_equal(forecast_feed_open(NULL, -1, &untouched), FORECAST_ERROR_ARGUMENT);
    assert_null(untouched);
    assert_int_equal(forecast_feed_open("tcp://127.0.0.1:1", 0, &feed), FORECAST_OK);
    assert_int_equal(forecast_feed_send(feed, "", 0, many, 1, 0), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_feed_send(feed, long_name, 0, many, 1, 0), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_feed_send(feed, "\xff", 0, many, 1, 0), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_feed_send(feed, "s", 0, many, 1025, 0), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_feed_send(feed, "s", 0, (double[]){INFINITY}, 1, 0), FORECAST_ERROR_ARGUMENT);
    for (n = 0; (code = forecast_feed_add(feed, "s", n, many, 1000)) > 0; n++)
        assert_int_equal(code, n + 1);
    assert_int_equal(code, FORECAST_ERROR_ARGUMENT);
    assert_true(n > 100 && n < 120); /* 9 kB each, to 1 MiB */
    forecast_feed_close(&feed, 0);
    forecast_feed_close(&feed, 0); /* of nothing */
}

/* Without a reader, the queue fills to its mark; then sending waits for its timeout and no longer. */
static void test_feed_waits_when_full(void **state) {
    (void)state;
    struct forecast_feed *feed;
    int sent = 0, code;

    assert_int_equal(forecast_feed_open("tcp://127.0.0.1:1", 10, &feed), FORECAST_OK);
    while ((code = forecast_feed_send(feed, "s", sent, &(double){1}, 1, 0)) == FORECAST_OK)
        assert_true(++sent <= 10);
    assert_int_equal(code, FORECAST_ERROR_TIMEOUT);
    assert_int_equal(sent, 10);
    assert_int_equal(forecast_feed_send(feed, "s", sent, &(double){1}, 1, 50), FORECAST_ERROR_TIMEOUT);
    assert_int_equal(forecast_feed_add(feed, "s", 0, &(double){1}, 1), 1);
    assert_int_equal(forecast_feed_flush(feed, 0), FORECAST_ERROR_TIMEOUT);
    assert_int_equal(forecast_feed_add(feed, "s", 0, &(double){1}, 1), 2); /* the bundle stayed */
    assert_int_equal(forecast_feed_wait(feed, 50), FORECAST_ERROR_TIMEOUT);
    assert_int_equal(forecast_feed_close(&feed, 50), FORECAST_ERROR_TIMEOUT);
}

/* ---- subscription ------------------------------------------------------------------------- */

/* Behind the same forecast of another stream at the step before, where that is not below 0. */
static size_t encode_behind(char *buffer, size_t size, const char *model, const char *stream, uint64_t step,
                            int64_t before) {
    const int64_t times[] = {2000, 3000};
    const struct wire_text targets[] = {{"load", 4}, {"flow", 4}};
    const double values[] = {1, NAN}, mean[] = {1.5, 2.5, 3.5, 4.5};
    const double lower[] = {1, 2, 3, 4}, upper[] = {2, 3, 4, 5};
    const struct wire_score scores[] = {{.h = 1,
                                         .n = 7,
                                         .recent = {0.25F, 0.5F, NAN, 2, 3, 4, {0.75F}, {1.5F}},
                                         .all = {5, 6, 7, 8, 9, 10, {0.875F}, {2.5F}}}};
    const struct wire_interval intervals[] = {{90, lower, upper}};
    const struct wire_share shares[] = {{{"ridge", 5}, 0.75F}, {{"network", 7}, 0.25F}};
    const struct wire_forecast forecast = {
        .stream = {stream, strlen(stream)},
        .model = {model, strlen(model)},
        .version = 3,
        .epoch = 4,
        .generation = 5,
        .source_id = 1,
        .number = 99,
        .step = step,
        .primed = 6,
        .t = 1000,
        .horizon = 2,
        .n_targets = 2,
        .n_scores = 1,
        .times = times,
        .targets = targets,
        .values = values,
        .mean = mean,
        .n_intervals = 1,
        .intervals = intervals,
        .n_shares = 2,
        .shares = shares,
        .anomaly = 0.5,
        .scores = scores,
        .flags = WIRE_FLAG(WARMING) | WIRE_FLAG(CAPPED),
        .source = WIRE_SOURCE_BASELINE,
        .baseline = WIRE_BASELINE_SEASONAL,
        .received = 11,
        .sent = 12,
    };

    struct wire_forecast other = forecast;
    other.step = (uint64_t)before;
    assert_true(wire_forecast_bound(&forecast) <= size);
    return before < 0 ? wire_forecast_encode(&forecast, buffer, size)
                      : wire_forecast_encode_next(&forecast, &other, buffer, size);
}

static size_t encode_forecast(char *buffer, size_t size, const char *model, const char *stream, uint64_t step) {
    return encode_behind(buffer, size, model, stream, step, -1);
}

static void publish(struct peer *peer, const char *topic, size_t n_topic, const void *data, size_t n) {
    assert_true(zmq_send(peer->socket, topic, n_topic, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(peer->socket, data, n, 0) >= 0);
}

static void publish_forecast(struct peer *peer, const char *model, const char *stream, uint64_t step) {
    char topic[128], buffer[4096];
    int n = snprintf(topic, sizeof topic, "forecast/%s/%s", model, stream) + 1;

    publish(peer, topic, (size_t)n, buffer, encode_forecast(buffer, sizeof buffer, model, stream, step));
}

/* XPUB hands out subscriptions: once it has, what is published arrives. */
static void expect_subscription(struct peer *peer, const char *topic, size_t n) {
    struct frames frames;

    peer_receive(peer, &frames);
    assert_int_equal(frames.text[0].n, n + 1);
    assert_int_equal(frames.text[0].at[0], 1);
    assert_memory_equal(frames.text[0].at + 1, topic, n);
    frames_close(&frames);
}

static void expect_forecast(struct forecast_subscription *sub, const char *model, const char *stream, uint64_t step) {
    struct forecast_message message;

    assert_int_equal(forecast_subscription_next(sub, WAIT, &message), FORECAST_OK);
    assert_null(message.event);
    assert_non_null(message.forecast);
    const struct forecast *f = message.forecast;
    assert_string_equal(f->model, model);
    assert_string_equal(f->stream, stream);
    assert_int_equal(f->step, step);
    assert_int_equal(f->version, 3);
    assert_int_equal(f->epoch, 4);
    assert_int_equal(f->generation, 5);
    assert_int_equal(f->position_source, 1);
    assert_int_equal(f->position, 99);
    assert_int_equal(f->primed, 6);
    assert_int_equal(f->t, 1000);
    assert_int_equal(f->horizon, 2);
    assert_int_equal(f->n_targets, 2);
    assert_int_equal(f->times[1], 3000);
    assert_string_equal(f->targets[0], "load");
    assert_string_equal(f->targets[1], "flow");
    assert_true(f->values[0] == 1 && isnan(f->values[1]));
    assert_true(f->mean[0] == 1.5 && f->mean[3] == 4.5);
    assert_int_equal(f->n_scores, 1);
    assert_int_equal(f->scores[0].h, 1);
    assert_int_equal(f->scores[0].n, 7);
    assert_true(f->scores[0].mae == 0.25 && f->scores[0].mae_last_value == 0.5 && isnan(f->scores[0].mae_seasonal));
    const struct forecast_measures *recent = &f->scores[0].recent, *all = &f->scores[0].all;
    assert_true(recent->mae == 0.25 && recent->pinball == 4 && recent->coverage[0] == 0.75 &&
                recent->width[0] == 1.5);
    assert_true(all->mae == 5 && all->rmse == 8 && all->mase == 9 && all->coverage[0] == 0.875);
    assert_int_equal(f->n_intervals, 1);
    assert_true(f->intervals[0].level == 90 && f->intervals[0].lower[3] == 4 && f->intervals[0].upper[0] == 2);
    assert_int_equal(f->n_shares, 2);
    assert_string_equal(f->shares[0].expert, "ridge");
    assert_string_equal(f->shares[1].expert, "network");
    assert_true(f->shares[1].share == 0.25 && f->anomaly == 0.5);
    assert_int_equal(f->flags, FORECAST_FLAG_WARMING | FORECAST_FLAG_CAPPED);
    assert_int_equal(f->source, FORECAST_SOURCE_BASELINE);
    assert_int_equal(f->baseline, FORECAST_BASELINE_SEASONAL);
    assert_int_equal(f->received, 11);
    assert_int_equal(f->sent, 12);
}

static struct forecast_subscription *open_subscription(struct peer *peer) {
    struct forecast_subscription *sub;

    peer_open(peer, ZMQ_XPUB);
    assert_int_equal(forecast_subscription_open(peer->endpoint, 0, &sub), FORECAST_OK);
    return sub;
}

static void test_subscription_singles(void **state) {
    (void)state;
    struct peer peer;
    struct forecast_subscription *sub = open_subscription(&peer);
    struct forecast_message message;
    const char *json;

    assert_int_equal(forecast_subscription_json(sub, &json), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_subscription_forecasts(sub, "m", "boiler-1"), FORECAST_OK);
    expect_subscription(&peer, "forecast/m/boiler-1", sizeof "forecast/m/boiler-1");
    publish_forecast(&peer, "m", "boiler-10", 1); /* not this one */
    publish_forecast(&peer, "m", "boiler-1", 2);
    expect_forecast(sub, "m", "boiler-1", 2);
    assert_int_equal(forecast_subscription_json(sub, &json), FORECAST_OK);
    json_t *parsed = json_loads(json, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(parsed, "stream")), "boiler-1");
    assert_int_equal(json_integer_value(json_object_get(parsed, "step")), 2);
    json_decref(parsed);
    assert_int_equal(forecast_subscription_next(sub, 30, &message), FORECAST_ERROR_TIMEOUT);
    forecast_subscription_close(&sub);
    assert_null(sub);
    peer_close(&peer);
}

/* A stream of every model, and a prefix of names: the library sorts out what ZeroMQ's filter lets through. */
static void test_subscription_filters(void **state) {
    (void)state;
    struct peer peer;
    struct forecast_subscription *sub = open_subscription(&peer);

    assert_int_equal(forecast_subscription_forecasts(sub, NULL, "a/b"), FORECAST_OK);
    expect_subscription(&peer, "forecast/", 9);
    assert_int_equal(forecast_subscription_forecasts(sub, "m", "cpu/*"), FORECAST_OK);
    expect_subscription(&peer, "forecast/m/cpu/", 15);
    publish_forecast(&peer, "m", "a", 1);
    publish_forecast(&peer, "m", "a/b", 2);
    publish_forecast(&peer, "m", "a/bc", 3);
    publish_forecast(&peer, "other", "a/b", 4);
    publish_forecast(&peer, "other", "cpu/1", 5);
    publish_forecast(&peer, "m", "cpu/1", 6);
    expect_forecast(sub, "m", "a/b", 2);
    expect_forecast(sub, "other", "a/b", 4);
    expect_forecast(sub, "m", "cpu/1", 6);
    assert_int_equal(forecast_subscription_forecasts(sub, "a/b", NULL), FORECAST_ERROR_ARGUMENT);
    forecast_subscription_close(&sub);
    peer_close(&peer);
}

static void expect_json(struct forecast_subscription *sub, const char *stream, int step) {
    const char *text;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(forecast_subscription_json(sub, &text), FORECAST_OK);
        json_t *json = json_loads(text, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(json, "stream")), stream);
        assert_string_equal(json_string_value(json_object_get(json, "model")), "m");
        assert_int_equal(json_integer_value(json_object_get(json, "step")), step);
        assert_int_equal(json_array_size(json_object_get(json, "mean")), 2);
        assert_int_equal(json_object_size(json), 22);
        json_decref(json);
    }
}

static void test_subscription_bundles(void **state) {
    (void)state;
    struct peer peer;
    struct forecast_subscription *sub = open_subscription(&peer);
    struct forecast_message message;
    char buffer[16384], other[4096], name[16];
    size_t n = WIRE_ARRAY_HEAD;

    assert_int_equal(forecast_subscription_bundles(sub, "m"), FORECAST_OK);
    expect_subscription(&peer, "bundle/m", 9); /* with the NUL that closes names */
    wire_array_head(buffer, 5);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "s%d", i);
        n += encode_behind(buffer + n, sizeof buffer - n, "m", name, (uint64_t)i, i - 1);
    }
    assert_true(n < 4 * encode_forecast(other, sizeof other, "m", "s0", 0));
    publish(&peer, "bundle/mm", 10, buffer, n); /* another model */
    wire_array_head(buffer, 0);
    publish(&peer, "bundle/m", 9, buffer, WIRE_ARRAY_HEAD);
    wire_array_head(buffer, 5);
    for (int round = 0; round < 2; round++)
        publish(&peer, "bundle/m", 9, buffer, n);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "s%d", i % 5);
        expect_forecast(sub, "m", name, (uint64_t)(i % 5));
        if (i % 3 != 1)
            expect_json(sub, name, i % 5); /* of any of them, whether those before were asked for or not */
    }
    /* A bundle cut short gives what is whole, one error, and then what comes behind it. */
    publish(&peer, "bundle/m", 9, buffer, n - 1);
    publish(&peer, "bundle/m", 9, "\x01", 1);
    publish(&peer, "bundle/m", 9, buffer, n);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "s%d", i);
        expect_forecast(sub, "m", name, (uint64_t)i);
    }
    assert_int_equal(forecast_subscription_next(sub, WAIT, &message), FORECAST_ERROR_MESSAGE);
    assert_int_equal(forecast_subscription_next(sub, WAIT, &message), FORECAST_ERROR_MESSAGE);
    expect_forecast(sub, "m", "s0", 0);
    forecast_subscription_close(&sub);
    peer_close(&peer);
}

static void test_subscription_events(void **state) {
    (void)state;
    struct peer peer;
    struct forecast_subscription *sub = open_subscription(&peer);
    struct forecast_message message;
    const char *json;
    static const char packed[] = "\x81\xa6stream\xa1s"; /* {"stream": "s"} */

    assert_int_equal(forecast_subscription_events(sub, NULL), FORECAST_OK);
    expect_subscription(&peer, "event/", 6);
    publish(&peer, "event/late/s", sizeof "event/late/s", packed, sizeof packed - 1);
    assert_int_equal(forecast_subscription_next(sub, WAIT, &message), FORECAST_OK);
    assert_null(message.forecast);
    assert_string_equal(message.event->kind, "late");
    assert_string_equal(message.event->json, "{\"stream\":\"s\"}");
    assert_int_equal(forecast_subscription_json(sub, &json), FORECAST_OK);
    assert_string_equal(json, "{\"stream\":\"s\"}");
    assert_true(zmq_send(peer.socket, "event/late/s", 12, 0) >= 0); /* one frame */
    assert_int_equal(forecast_subscription_next(sub, WAIT, &message), FORECAST_ERROR_MESSAGE);
    publish(&peer, "event/late/s", 12, "\xc1", 1);
    assert_int_equal(forecast_subscription_next(sub, WAIT, &message), FORECAST_ERROR_MESSAGE);
    forecast_subscription_close(&sub);
    peer_close(&peer);
}

/* ---- control ------------------------------------------------------------------------------ */

/* Answers the request that is waiting at the ROUTER with the same envelope. */
static void answer(struct peer *peer, struct frames *frames, const char *reply) {
    for (size_t i = 0; i + 1 < frames->n; i++)
        assert_true(zmq_send(peer->socket, frames->text[i].at, frames->text[i].n, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(peer->socket, reply, strlen(reply), 0) >= 0);
    frames_close(frames);
}

static void test_control_asks(void **state) {
    (void)state;
    struct peer peer;
    struct frames frames;
    struct forecast_control *control;
    const char *reply = NULL;

    peer_open(&peer, ZMQ_ROUTER);
    assert_int_equal(forecast_control_open(peer.endpoint, &control), FORECAST_OK);
    assert_int_equal(forecast_control_receive(control, 0, &reply), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_control_send(control, "{\"cmd\":\"status\"}"), FORECAST_OK);
    assert_int_equal(forecast_control_receive(control, 0, &reply), FORECAST_ERROR_TIMEOUT);
    peer_receive(&peer, &frames);
    assert_text(frames.text[frames.n - 1], "{\"cmd\":\"status\"}");
    answer(&peer, &frames, "{\"ok\": true, \"streams\": 3}");
    assert_int_equal(forecast_control_receive(control, WAIT, &reply), FORECAST_OK);
    assert_string_equal(reply, "{\"ok\":true,\"streams\":3}");

    assert_int_equal(forecast_control_send(control, "{\"cmd\":\"dance\"}"), FORECAST_OK);
    peer_receive(&peer, &frames);
    answer(&peer, &frames, "{\"error\": {\"code\": \"unknown\", \"message\": \"no such command\"}}");
    assert_int_equal(forecast_control_receive(control, WAIT, &reply), FORECAST_ERROR_REFUSED);
    assert_string_equal(forecast_error_text(), "no such command");
    assert_non_null(strstr(reply, "unknown"));

    assert_int_equal(forecast_control_send(control, "{}"), FORECAST_OK);
    peer_receive(&peer, &frames);
    answer(&peer, &frames, "gibberish");
    assert_int_equal(forecast_control_receive(control, WAIT, &reply), FORECAST_ERROR_MESSAGE);
    forecast_control_close(&control);
    peer_close(&peer);
}

/* The answer to a question that was given up comes late, and is not taken for that of the next. */
static void test_control_gives_up(void **state) {
    (void)state;
    struct peer peer;
    struct frames first, second;
    struct forecast_control *control;
    const char *reply = "untouched";

    peer_open(&peer, ZMQ_ROUTER);
    assert_int_equal(forecast_control_open(peer.endpoint, &control), FORECAST_OK);
    assert_int_equal(forecast_control_request(control, "{\"cmd\":\"first\"}", 30, &reply), FORECAST_ERROR_TIMEOUT);
    assert_string_equal(reply, "untouched");
    peer_receive(&peer, &first);
    assert_int_equal(forecast_control_send(control, "{\"cmd\":\"second\"}"), FORECAST_OK);
    peer_receive(&peer, &second);
    assert_text(second.text[second.n - 1], "{\"cmd\":\"second\"}");
    answer(&peer, &first, "{\"ok\":1}");
    answer(&peer, &second, "{\"ok\":2}");
    assert_int_equal(forecast_control_receive(control, WAIT, &reply), FORECAST_OK);
    assert_string_equal(reply, "{\"ok\":2}");
    forecast_control_close(&control);
    peer_close(&peer);
}

/* One answer, from a thread of its own, since hello waits. */
struct responder {
    struct peer peer;
    const char *reply;
};

static void *respond(void *argument) {
    struct responder *responder = argument;
    struct frames frames;

    peer_receive(&responder->peer, &frames);
    answer(&responder->peer, &frames, responder->reply);
    return NULL;
}

static int hello_with(const char *text) {
    struct responder responder = {.reply = text};
    struct forecast_control *control;
    pthread_t thread;
    const char *reply;

    peer_open(&responder.peer, ZMQ_ROUTER);
    assert_int_equal(forecast_control_open(responder.peer.endpoint, &control), FORECAST_OK);
    assert_int_equal(pthread_create(&thread, NULL, respond, &responder), 0);
    int code = forecast_control_hello(control, WAIT, &reply);
    pthread_join(thread, NULL);
    forecast_control_close(&control);
    peer_close(&responder.peer);
    return code;
}

static void test_control_hello(void **state) {
    (void)state;
    assert_int_equal(hello_with("{\"ok\":true,\"protocol\":1,\"version\":\"0.1.0\"}"), FORECAST_OK);
    assert_int_equal(hello_with("{\"ok\":true,\"protocol\":2}"), FORECAST_ERROR_PROTOCOL);
    assert_int_equal(hello_with("{\"error\":{\"code\":\"protocol\",\"message\":\"too old\"}}"),
                     FORECAST_ERROR_REFUSED);
}

static void test_texts(void **state) {
    (void)state;
    assert_string_equal(forecast_version(), FORECASTD_VERSION);
    assert_string_equal(forecast_error_name(FORECAST_ERROR_REFUSED), "refused");
    assert_string_equal(forecast_error_name(-100), "unknown");
    assert_string_equal(forecast_error_name(1), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feed_sends_ticks),     cmocka_unit_test(test_feed_sends_by_name),
        cmocka_unit_test(test_feed_sends_labels),    cmocka_unit_test(test_feed_sends_bundles),
        cmocka_unit_test(test_feed_refuses),         cmocka_unit_test(test_feed_waits_when_full),
        cmocka_unit_test(test_subscription_singles), cmocka_unit_test(test_subscription_filters),
        cmocka_unit_test(test_subscription_bundles), cmocka_unit_test(test_subscription_events),
        cmocka_unit_test(test_control_asks),         cmocka_unit_test(test_control_gives_up),
        cmocka_unit_test(test_control_hello),        cmocka_unit_test(test_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
