/*
 * What the world can send that it should not: each piece is refused for its reason, counted, told as an event at a
 * bounded rate, and disturbs nobody. A stream that behaves has, beside all of it, the forecasts that it has alone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"
#include "tests/support/wire_cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define LENGTH(a) (sizeof(a) / sizeof *(a))

enum { MAX_MESSAGE = 64 * 1024, GOOD_TICKS = 120 };

static const char classes[] =
    "streams:\n"
    "  - {class: plant, pattern: \"plant/*\", features: [a, b, c], max_streams: 40}\n"
    "  - {class: small, pattern: \"small/*\", features: [a], max_streams: 2}\n"
    "models:\n"
    "  - {name: plant, class: plant, horizon: 3, layers: [{lstm: 8}], combine: network, train: false}\n"
    "  - {name: small, class: small, horizon: 1, layers: [{lstm: 4}], train: false}\n";

static struct daemon *start(const char *bus) {
    return daemon_run(&(struct daemon_setup){.workers = 2, .tcp = true, .bus = bus, .rest = classes});
}

/* ---- the stream that behaves ---------------------------------------------------------------- */

static void feed_good(void *socket, int step) {
    double values[3] = {sin(step * 0.3), step % 7, step % 11 == 5 ? NAN : 100 + cos(step * 0.2)};
    feed_tick(socket, "plant/good", INT64_C(1700000000000000000) + step * INT64_C(1000000000), values, 3);
}

/* Its forecasts with nobody beside it. */
static struct heard *hear_quiet(struct daemon **ret_daemon) {
    struct daemon *daemon = start(NULL);
    struct heard *heard = heard_new(daemon, "forecast/plant/plant/good", 26, 1);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int step = 0; step < GOOD_TICKS; step++)
        feed_good(socket, step);
    heard_until(heard, GOOD_TICKS);
    *ret_daemon = daemon;
    return heard;
}

static void compare_good(const struct heard *heard) {
    struct daemon *daemon;
    struct heard *quiet = hear_quiet(&daemon);
    const struct heard_stream *good = heard_find(heard, "plant", "plant/good");
    assert_non_null(good);
    assert_int_equal(good->n, GOOD_TICKS);
    heard_compare(good, 0, heard_find(quiet, "plant", "plant/good"), 0, GOOD_TICKS);
    for (size_t i = 0; i < good->n; i++)
        assert_int_equal(heard_at(good, i)->source, WIRE_SOURCE_NETWORK);
    heard_free(quiet);
    daemon_free(&daemon);
}

/* ---- messages that do not ------------------------------------------------------------------- */

#define T     "cf 17979cfe362a0000 " /* 1700000000000000000 */
#define ABC   "93 01 02 03 "
#define PLANT "'plant/x'"

/* Frames as hex, text in quotes. What has no reason is fine; refusals have one, and each makes one event. */
struct message {
    const char *what;
    const char *frames[3];
    const char *reason;
    int refused, taken; /* ticks that it adds to the counters */
    const char *stream; /* of the event */
};

static const struct message messages[] = {
    {"a tick", {PLANT, "92 " T ABC}, NULL, 0, 1, NULL},
    {"the same again", {PLANT, "92 " T ABC}, "repeated", 1, 1, "plant/x"},
    {"a time that goes back", {PLANT, "92 05" ABC}, "late", 1, 1, "plant/x"},
    {"a negative time", {PLANT, "92 ff" ABC}, "late", 1, 1, "plant/x"},
    {"the same, bundled", {"91 93 a7 'plant/x' " T ABC}, "repeated", 1, 1, "plant/x"},
    {"NaN and nil are missing", {"'plant/y'", "92 01 93 cb 7ff8000000000000 c0 ca 7fc00000"}, NULL, 0, 1, NULL},
    {"by name", {"'plant/y'", "92 02 82 a1'c' 05 a1'a' 06"}, NULL, 0, 1, NULL},
    {"packed", {"'plant/y'", "92 03 c4 0c 00000000 0000c07f 00004040"}, NULL, 0, 1, NULL},
    {"a map with seq", {"'plant/y'", "83 a1't' 04 a1'v'" ABC "a3'seq' 07"}, NULL, 0, 1, NULL},
    {"JSON", {"'plant/y'", "'[5,[1,null,2.5]]'"}, NULL, 0, 1, NULL},
    {"a bundle in JSON", {"'[[\"plant/y\",6,[1,2,3]],[\"plant/y\",7,{\"b\":1}]]'"}, NULL, 0, 2, NULL},
    {"lines", {"'plant,id=y a=1,b=2i,c=t,d=3 8' 0a '# a comment' 0d0a 'plant,id=y c=1 9' 0a"}, NULL, 0, 2, NULL},
    {"a comment", {"'# nothing'"}, NULL, 0, 0, NULL},
    {"nothing at all", {""}, "malformed", 1, 0, ""},

    {"not MessagePack", {PLANT, "c1"}, "malformed", 1, 0, "plant/x"},
    {"no payload", {PLANT, ""}, "malformed", 1, 0, "plant/x"},
    {"a truncated time", {PLANT, "92 cf 17 97"}, "malformed", 1, 0, "plant/x"},
    {"truncated values", {PLANT, "92 " T "93 01 02"}, "malformed", 1, 0, "plant/x"},
    {"bytes behind the tick", {PLANT, "92 " T ABC "00"}, "malformed", 1, 0, "plant/x"},
    {"broken JSON", {PLANT, "'[5,[1,2,3]'"}, "malformed", 1, 0, "plant/x"},
    {"a number beyond a double", {PLANT, "'[5,[1,2,1e999]]'"}, "malformed", 1, 0, "plant/x"},
    {"a bundle that claims 4 milliards", {"dd ffffffff"}, "malformed", 1, 0, ""},
    {"no line protocol", {"'what is this'"}, "malformed", 1, 0, NULL},
    {"a field without a value", {"'plant,id=x a= 5'"}, "malformed", 1, 0, NULL},
    {"three frames", {PLANT, "92 " T ABC, "00"}, "frames", 1, 0, ""},
    {"an array of one", {PLANT, "91 " T}, "shape", 1, 0, "plant/x"},
    {"a number", {PLANT, "05"}, "shape", 1, 0, "plant/x"},
    {"an array of four", {PLANT, "94 " T ABC "01 01"}, "shape", 1, 0, "plant/x"},
    {"a map without values", {PLANT, "81 a1't' 05"}, "shape", 1, 0, "plant/x"},
    {"values that are text", {PLANT, "92 " T "a3'abc'"}, "shape", 1, 0, "plant/x"},
    {"a bundle that is an object", {"'{\"t\":5}'"}, "shape", 1, 0, ""},
    {"a time with a fraction", {PLANT, "92 cb 3ff0000000000000" ABC}, "time", 1, 0, "plant/x"},
    {"a time in text", {PLANT, "92 a1'5'" ABC}, "time", 1, 0, "plant/x"},
    {"a timestamp extension", {PLANT, "92 d6ff 00000005" ABC}, "time", 1, 0, "plant/x"},
    {"a time beyond int64", {PLANT, "92 cf ffffffffffffffff" ABC}, "time", 1, 0, "plant/x"},
    {"a value of text", {PLANT, "92 " T "93 01 a1'1' 03"}, "value", 1, 0, "plant/x"},
    {"true as a value", {PLANT, "92 " T "93 01 c3 03"}, "value", 1, 0, "plant/x"},
    {"a byte too many of packed values",
     {PLANT, "92 " T "c4 0d 000000000000000000000000 00"},
     "value",
     1,
     0,
     "plant/x"},
    {"infinity", {PLANT, "92 " T "93 01 02 cb 7ff0000000000000"}, "infinite", 1, 0, "plant/x"},
    {"minus infinity, short", {PLANT, "92 " T "93 01 ca ff800000 03"}, "infinite", 1, 0, "plant/x"},
    {"infinity, packed", {PLANT, "92 " T "c4 0c 0000807f 00000000 00000000"}, "infinite", 1, 0, "plant/x"},
    {"too few values", {PLANT, "92 " T "92 01 02"}, "features", 1, 0, "plant/x"},
    {"too many values", {PLANT, "92 " T "94 01 02 03 04"}, "features", 1, 0, "plant/x"},
    {"no values", {PLANT, "92 " T "90"}, "features", 1, 0, "plant/x"},
    {"a name that the class does not have", {PLANT, "92 " T "82 a1'a' 01 a1'z' 02"}, "features", 1, 0, "plant/x"},
    {"too few values of a stream that is not there",
     {"'plant/never'", "92 " T "91 01"},
     "features",
     1,
     0,
     "plant/never"},
    {"too many values, JSON", {PLANT, "'[5,[1,2,3,4]]'"}, "features", 1, 0, "plant/x"},
    {"lines with unknown fields alone", {"'plant,id=x z=1 5'"}, "features", 1, 0, "plant/x"},
    {"no name", {"", "92 " T ABC}, "name", 1, 0, ""},
    {"a name that is not UTF-8", {"'plant/' ff", "92 " T ABC}, "name", 1, 0, ""},
    {"an overlong form", {"'plant/' c0af", "92 " T ABC}, "name", 1, 0, ""},
    {"a name with NUL", {"'plant/x' 00", "92 " T ABC}, "name", 1, 0, ""},
    {"no class", {"'unknown/x'", "92 " T ABC}, "no_class", 1, 0, "unknown/x"},
    {"a first stream", {"'small/1'", "92 05 91 01"}, NULL, 0, 1, NULL},
    {"a second stream", {"'small/2'", "92 05 91 01"}, NULL, 0, 1, NULL},
    {"a third stream", {"'small/3'", "92 05 91 01"}, "stream_limit", 1, 0, "small/3"},
    {"good ones around a bad one",
     {"93 93 a7'plant/y' 10" ABC "93 a7'plant/y' 11 91 01 93 a7'plant/y' 12" ABC},
     "features",
     1,
     2,
     "plant/y"},
    {"good lines around a bad one",
     {"'plant,id=y a=1 20' 0a 'nonsense' 0a 'plant,id=y a=1 21' 0a"},
     "malformed",
     1,
     2,
     NULL},
};

/* The bytes of one frame; a message's are at most this long. */
struct frame {
    char bytes[20000];
    size_t n;
};

static int frames_of(const struct message *message, struct frame frames[3]) {
    int n = 0;
    for (; n < 3 && message->frames[n] != NULL; n++)
        frames[n].n = bytes_of(message->frames[n], frames[n].bytes, sizeof frames[n].bytes);
    return n;
}

static void send_frames(void *socket, struct frame frames[3], int n) {
    struct iovec parts[3];
    for (int f = 0; f < n; f++)
        parts[f] = (struct iovec){frames[f].bytes, frames[f].n};
    feed_frames(socket, parts, n);
}

/* ---- one by one ----------------------------------------------------------------------------- */

struct tally {
    struct daemon *daemon;
    struct heard *events;
    int64_t messages, taken, refused;
    size_t events_before;
};

static int64_t sum_refused(struct daemon *daemon) {
    json_t *reply = daemon_ask(daemon, "{\"cmd\":\"status\"}");
    json_t *map = json_object_get(json_object_get(reply, "ticks"), "refused"), *value;
    assert_non_null(map);
    const char *reason;
    int64_t sum = 0;
    json_object_foreach(map, reason, value) sum += json_integer_value(value);
    json_decref(reply);
    return sum;
}

static void check_event(struct tally *tally, const struct message *message) {
    const json_t *event = heard_event(tally->events, "refused", tally->events_before, 10);
    char topic[64];
    snprintf(topic, sizeof topic, "event/refused/%s", message->reason);
    assert_string_equal(json_string_value(json_object_get(event, "topic")), topic);
    assert_string_equal(json_string_value(json_object_get(event, "reason")), message->reason);
    assert_non_null(json_string_value(json_object_get(event, "stream")));
    if (message->stream != NULL)
        assert_string_equal(json_string_value(json_object_get(event, "stream")), message->stream);
    /* Those that a worker refuses tell the tick's time instead. */
    assert_true(json_is_integer(json_object_get(event, "total")) || json_is_integer(json_object_get(event, "time")));
    tally->events_before++;
}

/* Sends the message and waits until all that it must count is counted, and nothing else. */
static void send_and_check(struct tally *tally, void *socket, const struct message *message, struct frame frames[3],
                           int n) {
    char path[64];
    print_message("%s\n", message->what);
    snprintf(path, sizeof path, "ticks.refused.%s", message->reason != NULL ? message->reason : "none");
    int64_t before = daemon_count(tally->daemon, path);
    send_frames(socket, frames, n);
    daemon_expect_count(tally->daemon, "ticks.messages", tally->messages += 1);
    daemon_expect_count(tally->daemon, "ticks.taken", tally->taken += message->taken);
    if (message->reason != NULL) {
        daemon_expect_count(tally->daemon, path, before + message->refused);
        check_event(tally, message);
    }
    tally->refused += message->refused;
    assert_int_equal(sum_refused(tally->daemon), tally->refused);
}

/* Those that a table of texts cannot hold. */
static void send_long_ones(struct tally *tally, void *socket) {
    static struct frame frames[3];
    frames[0].n = 256;
    memcpy(frames[0].bytes, "plant/", 6);
    memset(frames[0].bytes + 6, 'n', 250);
    frames[1].n = bytes_of("92 05" ABC, frames[1].bytes, sizeof frames[1].bytes);
    send_and_check(tally, socket, &(struct message){"a name of 256 bytes", {0}, "name", 1, 0, ""}, frames, 2);
    frames[0].n = 255;
    send_and_check(tally, socket, &(struct message){"a name of 255 bytes", {0}, NULL, 0, 1, NULL}, frames, 2);
    frames[0].n = bytes_of(PLANT, frames[0].bytes, sizeof frames[0].bytes);
    frames[1].n = bytes_of("92" T "dc 0401", frames[1].bytes, sizeof frames[1].bytes);
    memset(frames[1].bytes + frames[1].n, 1, 1025);
    frames[1].n += 1025;
    send_and_check(tally, socket, &(struct message){"1025 values", {0}, "features", 1, 0, "plant/x"}, frames, 2);
    /* Nested as deep as a message is long. */
    frames[1].n = 10000;
    memset(frames[1].bytes, 0x91, frames[1].n);
    frames[1].bytes[frames[1].n - 1] = 0x05;
    send_and_check(tally, socket, &(struct message){"arrays in arrays", {0}, "shape", 1, 0, "plant/x"}, frames, 2);
}

static void test_each_reason(void **state) {
    (void)state;
    static struct frame frames[3];
    struct daemon *daemon = start("  events_per_second: 1000000\n  max_message: 64KiB\n");
    struct heard *heard = heard_new(daemon, "forecast/plant/plant/good", 26, 1);
    struct tally tally = {.daemon = daemon, .events = heard_new(daemon, "event/", 6, 2)};
    void *good = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks),
         *bad = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    int step = 0;
    for (size_t m = 0; m < LENGTH(messages); m++) {
        feed_good(good, step++);
        heard_until(heard, (size_t)step);
        tally.messages++;
        tally.taken++;
        int n = frames_of(&messages[m], frames);
        send_and_check(&tally, bad, &messages[m], frames, n);
    }
    send_long_ones(&tally, bad);
    assert_in_range(LENGTH(messages), 0, GOOD_TICKS - 1);
    while (step < GOOD_TICKS)
        feed_good(good, step++);
    heard_until(heard, GOOD_TICKS);
    compare_good(heard);
    /* Nobody but those that had a tick taken has become a stream. */
    assert_int_equal(daemon_count(daemon, "streams"), 6);
    assert_int_equal(daemon_count(daemon, "events.suppressed"), 0);
    heard_free(heard);
    heard_free(tally.events);
    daemon_free(&daemon);
}

/* ---- all at once ---------------------------------------------------------------------------- */

/* A good message with some bytes changed: most are refused, some are not, none may do harm. */
static void send_mutation(void *socket, struct rng *rng, uint64_t *mutating) {
    static const struct message good[] = {
        {"", {"'plant/m'", "92 " T "93 cb 3ff8000000000000 c0 03"}, NULL, 0, 0, NULL},
        {"", {"'plant/m'", "83 a1't' " T " a1'v' 83 a1'a' 01 a1'b' 02 a1'c' 03 a3'seq' 05"}, NULL, 0, 0, NULL},
        {"", {"'plant/m'", "'{\"t\":1700000000000000000,\"v\":[1,2.5,null]}'"}, NULL, 0, 0, NULL},
        {"",
         {"93 93 a7'plant/m'" T ABC "93 a7'plant/m'" T "c4 0c 00000000 0000c07f 00004040 93 a7'plant/m'" T ABC},
         NULL,
         0,
         0,
         NULL},
        {"", {"'[[\"plant/m\",5,[1,2,3]],[\"plant/m\",6,{\"a\":1}]]'"}, NULL, 0, 0, NULL},
        {"", {"'plant,id=m a=1,b=2i,c=t,d=\"text\" 1700000000000000000' 0a 'plant,id=m a=1 5' 0a"}, NULL, 0, 0, NULL},
    };
    static struct frame frames[3];
    int n = frames_of(&good[rng_below(rng, LENGTH(good))], frames);
    struct frame *last = &frames[n - 1];
    last->n = mutate((unsigned char *)last->bytes, last->n, sizeof last->bytes, mutating);
    send_frames(socket, frames, n);
}

static void test_flood(void **state) {
    (void)state;
    enum { RATE = 5 };
    static struct frame frames[3];
    struct rng rng = {11};
    uint64_t mutating = 12;
    struct daemon *daemon = start("  events_per_second: 5\n  max_message: 64KiB\n  send_hwm: 1000000\n");
    struct heard *heard = heard_new(daemon, "forecast/plant/plant/good", 26, 1);
    struct heard *events = heard_new(daemon, "event/refused/", 14, 2);
    void *good = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    void *bad[3];
    for (int i = 0; i < 3; i++)
        bad[i] = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    int64_t began = scenario_now(), messages_sent = 0;
    int each = scenario_count(150, 20);
    for (int step = 0; step < GOOD_TICKS; step++) {
        feed_good(good, step);
        messages_sent++;
        for (int i = 0; i < each; i++, messages_sent++) {
            const struct message *message = &messages[rng_below(&rng, LENGTH(messages))];
            void *socket = bad[rng_below(&rng, 3)];
            if (i % 3 != 0)
                send_mutation(socket, &rng, &mutating);
            else
                send_frames(socket, frames, frames_of(message, frames));
        }
    }
    heard_until(heard, GOOD_TICKS);
    daemon_expect_count(daemon, "ticks.messages", messages_sent);
    heard_rest(events, 50);
    /* A token bucket: what has come together in a second may leave at once. */
    int64_t seconds = (scenario_now() - began) / 1000 + 1;
    size_t told = heard_count_events(events, "refused");
    assert_in_range(told, 1, RATE * (seconds + 1));
    assert_true(sum_refused(daemon) > messages_sent / 3);
    assert_true(daemon_count(daemon, "events.suppressed") > messages_sent / 4);
    /* The first event after silence says how much was not told. */
    scenario_sleep(400);
    size_t before = heard_count_events(events, "refused");
    send_frames(bad[0], frames, frames_of(&messages[13], frames));
    assert_true(json_integer_value(json_object_get(heard_event(events, "refused", before, 10), "suppressed")) > 100);
    compare_good(heard);
    heard_free(heard);
    heard_free(events);
    daemon_free(&daemon);
}

/* ---- too large ------------------------------------------------------------------------------ */

/* A sender that was cut off comes back and may be cut off again, for which there is an event too: those of the other
 * socket are passed over. */
static void check_disconnected(struct heard *events, size_t skip, const char *socket) {
    const json_t *event = heard_event(events, "disconnected", skip, 10);
    while (strcmp(json_string_value(json_object_get(event, "socket")), socket) != 0)
        event = heard_event(events, "disconnected", ++skip, 10);
    assert_true(json_integer_value(json_object_get(event, "total")) > 0);
}

static void test_over_size(void **state) {
    (void)state;
    struct daemon *daemon = start("  max_message: 64KiB\n");
    struct heard *heard = heard_new(daemon, "forecast/plant/plant/good", 26, 1);
    struct heard *events = heard_new(daemon, "event/disconnected/", 19, 2);
    void *good = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    char *large = calloc(1, 2 * MAX_MESSAGE);
    assert_non_null(large);
    int step = 0;
    for (; step < GOOD_TICKS / 2; step++)
        feed_good(good, step);
    heard_until(heard, (size_t)step);
    assert_int_equal(daemon_count(daemon, "disconnects"), 0);

    void *sender = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed_frames(sender, &(struct iovec){large, 2 * MAX_MESSAGE}, 1);
    daemon_await_count(daemon, "disconnects", 1);
    daemon_close(daemon, sender);
    check_disconnected(events, 0, "ticks");
    /* It was cut off, not read; one of exactly the limit is read, and refused for what it holds. */
    assert_int_equal(daemon_count(daemon, "ticks.messages"), step);
    memset(large, 'x', MAX_MESSAGE);
    sender = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed_frames(sender, &(struct iovec){large, MAX_MESSAGE}, 1);
    daemon_expect_count(daemon, "ticks.refused.malformed", 1);

    int64_t disconnects = daemon_count(daemon, "disconnects");
    size_t before = heard_count_events(events, "disconnected");
    void *asker = daemon_connect(daemon, ZMQ_DEALER, daemon->control);
    feed_frames(asker, &(struct iovec){large, 2 * MAX_MESSAGE}, 1);
    daemon_await_count(daemon, "disconnects", disconnects + 1);
    daemon_close(daemon, asker);
    check_disconnected(events, before, "control");

    for (; step < GOOD_TICKS; step++)
        feed_good(good, step);
    heard_until(heard, GOOD_TICKS);
    compare_good(heard);
    free(large);
    heard_free(heard);
    heard_free(events);
    daemon_free(&daemon);
}

/* ---- control -------------------------------------------------------------------------------- */

/* One frame after perhaps an empty one. Returns the reply; *ret_json whether it was JSON. */
static json_t *exchange(void *socket, bool delimited, const void *request, size_t n, bool *ret_json) {
    if (delimited)
        assert_true(zmq_send(socket, "", 0, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(socket, request, n, 0) >= 0);
    char reply[8192];
    int got = zmq_recv(socket, reply, sizeof reply, 0);
    if (delimited) {
        assert_int_equal(got, 0);
        got = zmq_recv(socket, reply, sizeof reply, 0);
    }
    assert_in_range(got, 1, sizeof reply);
    int more = 0;
    size_t size = sizeof more;
    assert_int_equal(zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size), 0);
    assert_int_equal(more, 0);
    json_t *map = wire_message_decode(reply, (size_t)got, ret_json);
    assert_true(json_is_object(map));
    return map;
}

/* The reply must be an error of the code with a sentence, or ok when code is NULL. */
static void check_reply(const json_t *reply, const char *code, const char *what) {
    const json_t *error = json_object_get(reply, "error");
    const char *got = json_string_value(json_object_get(error, "code"));
    bool ok = json_is_true(json_object_get(reply, "ok"));
    if (code == NULL ? !ok || error != NULL : got == NULL || strcmp(got, code) != 0)
        fail_msg("%s: %s instead of %s", what, json_dumps(reply, 0), code != NULL ? code : "ok");
    if (code != NULL)
        assert_true(json_string_length(json_object_get(error, "message")) > 5);
}

static const struct {
    const char *request, *code;
} requests[] = {
    {"{\"cmd\":\"hello\",\"protocol\":1,\"producer\":\"a test\"}", NULL},
    {"{\"cmd\":\"hello\",\"protocol\":1,\"later\":{\"x\":[1]}}", NULL},
    {"{\"cmd\":\"hello\",\"protocol\":2}", "protocol"},
    {"{\"cmd\":\"hello\",\"protocol\":0}", "protocol"},
    {"{\"cmd\":\"hello\"}", "argument"},
    {"{\"cmd\":\"hello\",\"protocol\":\"1\"}", "argument"},
    {"{\"cmd\":\"status\"}", NULL},
    {"{\"cmd\":\"models\"}", NULL},
    {"{\"cmd\":\"streams\"}", NULL},
    {"{\"cmd\":\"streams\",\"prefix\":\"plant/\",\"after\":\"plant/a\",\"limit\":1000}", NULL},
    {"{\"cmd\":\"streams\",\"limit\":0}", "argument"},
    {"{\"cmd\":\"streams\",\"limit\":1001}", "argument"},
    {"{\"cmd\":\"streams\",\"limit\":\"7\"}", "argument"},
    {"{\"cmd\":\"streams\",\"limit\":1.5}", "argument"},
    {"{\"cmd\":\"streams\",\"prefix\":7}", "argument"},
    {"{\"cmd\":\"streams\",\"after\":[]}", "argument"},
    {"{\"cmd\":\"end\"}", "argument"},
    {"{\"cmd\":\"end\",\"stream\":7}", "argument"},
    {"{\"cmd\":\"end\",\"stream\":\"plant/none\"}", "unknown_stream"},
    {"{\"cmd\":\"end\",\"stream\":\"\"}", "unknown_stream"},
    {"{\"cmd\":\"reset\"}", "argument"},
    {"{\"cmd\":\"reset\",\"stream\":null}", "argument"},
    {"{\"cmd\":\"reset\",\"stream\":\"plant/none\"}", "unknown_stream"},
    {"{\"cmd\":\"retrain\"}", "argument"},
    {"{\"cmd\":\"retrain\",\"model\":\"none\"}", "unknown_model"},
    {"{\"cmd\":\"fly\"}", "unknown_command"},
    {"{\"cmd\":\"\"}", "unknown_command"},
    {"{\"cmd\":\"STATUS\"}", "unknown_command"},
    {"{\"cmd\":7}", "argument"},
    {"{}", "argument"},
};

static const struct {
    const char *what, *bytes;
    bool json;
} malformed[] = {
    {"nothing", "", false},
    {"not MessagePack", "c1", false},
    {"a truncated map", "82 a3'cmd' a6'status'", false},
    {"an array", "91 a6'status'", false},
    {"text", "a6'status'", false},
    {"a map and more", "81 a3'cmd' a6'status' 00", false},
    {"a key that is a number", "82 a3'cmd' a6'status' 05 05", false},
    {"an ext", "82 a3'cmd' a6'status' a1'x' d4 05 05", false},
    {"broken JSON", "'{\"cmd\":\"status\"'", true},
    {"a JSON array", "'[\"status\"]'", true},
};

/* A request in all forms, from both sockets; the reply has the form of the request, and its id. */
static void check_request(void *req, void *dealer, const char *request, const char *code) {
    static const char *const ids[] = {"7", "\"seven\"", "{\"n\":[7,null]}", "null", "false"};
    json_t *map = json_loads(request, 0, NULL);
    assert_non_null(map);
    for (int form = 0; form < 6; form++) {
        bool as_json = form % 2 == 0, got_json;
        json_t *id = json_loads(ids[form % 5], JSON_DECODE_ANY, NULL);
        assert_non_null(id);
        json_object_set_new(map, "id", id);
        char *bytes;
        size_t n;
        assert_int_equal(wire_message_encode(map, as_json, &bytes, &n), 0);
        json_t *reply = exchange(form < 2 ? req : dealer, form >= 4, bytes, n, &got_json);
        free(bytes);
        check_reply(reply, code, request);
        assert_int_equal(got_json, as_json);
        assert_true(json_equal(json_object_get(reply, "id"), id));
        json_decref(reply);
    }
    json_decref(map);
}

static void test_control(void **state) {
    (void)state;
    struct daemon *daemon = start(NULL);
    void *req = daemon_connect(daemon, ZMQ_REQ, daemon->control);
    void *dealer = daemon_connect(daemon, ZMQ_DEALER, daemon->control);
    bool got_json;
    int errors = 0;
    for (size_t i = 0; i < LENGTH(requests); i++) {
        check_request(req, dealer, requests[i].request, requests[i].code);
        errors += requests[i].code != NULL ? 6 : 0;
    }
    for (size_t i = 0; i < LENGTH(malformed); i++) {
        char bytes[256];
        size_t n = bytes_of(malformed[i].bytes, bytes, sizeof bytes);
        json_t *reply = exchange(req, false, bytes, n, &got_json);
        check_reply(reply, "malformed", malformed[i].what);
        json_decref(reply);
        errors++;
    }
    /* Deeper than the limit; and more frames than one. */
    char deep[256];
    size_t n = bytes_of("82 a3'cmd' a6'status' a1'x'", deep, sizeof deep);
    memset(deep + n, 0x91, 100);
    deep[n + 100] = 0x01;
    json_t *reply = exchange(req, false, deep, n + 101, &got_json);
    check_reply(reply, "malformed", "deep");
    json_decref(reply);
    assert_true(zmq_send(dealer, "{\"cmd\":\"status\"}", 16, ZMQ_SNDMORE) >= 0);
    reply = exchange(dealer, false, "{\"cmd\":\"status\"}", 16, &got_json);
    check_reply(reply, "malformed", "two frames");
    json_decref(reply);
    errors += 2;
    assert_int_equal(daemon_count(daemon, "control.errors"), errors);

    /* Many on their way: answered in their order. */
    char request[64];
    for (int i = 0; i < 500; i++) {
        int length = snprintf(request, sizeof request, "{\"cmd\":\"streams\",\"id\":%d}", i);
        assert_true(zmq_send(dealer, request, (size_t)length, 0) >= 0);
    }
    for (int i = 0; i < 500; i++) {
        char text[512];
        int got = zmq_recv(dealer, text, sizeof text, 0);
        assert_in_range(got, 1, sizeof text);
        reply = json_loadb(text, (size_t)got, 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(reply, "id")), i);
        json_decref(reply);
    }
    daemon_free(&daemon);
}

/* ---- forecast feed -------------------------------------------------------------------------- */

/* What `forecast feed` says of a file; to be freed. */
static char *say_of_feed(struct daemon *daemon, const char *csv) {
    char command[1024], *text = calloc(1, 4096);
    const char *build = getenv("BUILD");
    snprintf(command, sizeof command, "%s/forecast feed --ticks %s --control %s --csv %s --stream plant/fed 2>&1",
             build != NULL && *build != '\0' ? build : "build", daemon->ticks, daemon->control, csv);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_true(fread(text, 1, 4095, out) > 0);
    assert_int_equal(pclose(out), 0);
    return text;
}

/* A sender through PUSH hears nothing: the command asks afterwards. */
static void test_feed_tells_what_was_refused(void **state) {
    (void)state;
    struct daemon *daemon = start("");
    char csv[160];
    snprintf(csv, sizeof csv, "%s/x.csv", daemon->directory);
    FILE *file = fopen(csv, "w");
    fputs("time,a,b,c\n1700000000,1,2,3\n1700000060,4,5,6\n1700000120,7,8,9\n", file);
    assert_int_equal(fclose(file), 0);
    char *first = say_of_feed(daemon, csv), *second = say_of_feed(daemon, csv);
    assert_null(strstr(first, "refused"));
    assert_non_null(strstr(second, "the daemon refused 3 ticks meanwhile: late 2, repeated 1"));
    free(first);
    free(second);
    unlink(csv);
    daemon_free(&daemon);
}

int main(void) {
    scenario_begin(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_each_reason, scenario_teardown),
        cmocka_unit_test_teardown(test_flood, scenario_teardown),
        cmocka_unit_test_teardown(test_over_size, scenario_teardown),
        cmocka_unit_test_teardown(test_control, scenario_teardown),
        cmocka_unit_test_teardown(test_feed_tells_what_was_refused, scenario_teardown),
    };
    return cmocka_run_group_tests_name("bad input", tests, NULL, NULL);
}
