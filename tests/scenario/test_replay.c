/* What a start takes of the journal behind a kill: what was taken before, all of it, and once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/wire.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

enum { FEATURES = 2 };

static const int64_t second = 1000000000;

/* ---- one message of many ticks ------------------------------------------------------------------ */

/* All of one time, as a tick of an earlier one, if it is taken again, is dropped as late. */
static void feed_message(void *socket, int from, int n) {
    struct wire_bundle bundle = {0};
    for (int step = from; step < from + n; step++) {
        const double values[FEATURES] = {step % 17, step % 5};
        assert_int_equal(
            wire_bundle_add(&bundle, (struct wire_text){"s", 1}, second * (1600000000 + from), values, FEATURES), 0);
    }
    struct wire_text message = wire_bundle_message(&bundle);
    assert_int_equal(zmq_send(socket, message.at, message.n, 0), message.n);
    wire_bundle_fini(&bundle);
}

/* The forecast of one step comes; those of steps that were taken once more may come before. */
static void expect_step(struct daemon *daemon, void *socket, int step) {
    struct heard *heard = heard_new(daemon, "forecast/m/", 11, 1);
    heard->any_gaps = true;
    feed_message(socket, step, 1);
    uint64_t last = 0;
    while (last < (uint64_t)step) {
        heard_until(heard, heard->forecasts + 1);
        const struct heard_stream *stream = heard_find(heard, "m", "s");
        last = heard_at(stream, stream->n - 1)->step;
    }
    assert_int_equal(last, step);
    heard_free(heard);
}

/* Waits until two rounds of images were written since a part of the message was taken (true), or all of it was. */
static bool await_images_within(struct daemon *daemon, int64_t before, int ticks) {
    while (daemon_count(daemon, "steps") == before)
        scenario_sleep(1);
    daemon_await_durable(daemon);
    int64_t rounds = daemon_count(daemon, "store.rounds");
    while (daemon_count(daemon, "steps") - before < ticks && daemon_count(daemon, "store.rounds") < rounds + 2)
        scenario_sleep(1);
    return daemon_count(daemon, "steps") - before < ticks;
}

/* An image that is made when half of a message has been taken: the other half is not lost, nor the first one taken again. */
static void test_killed_within_a_message(void **state) {
    (void)state;
    static const char rest[] =
        "snapshot_every: 100ms\n"
        "streams:\n  - {class: c, pattern: '*', features: [a, b], history: 16, same_time: keep}\n"
        "models:\n  - {name: m, class: c, horizon: 1, layers: [{lstm: 4}], combine: network, train: false}\n";
    struct daemon *daemon = daemon_run(
        &(struct daemon_setup){.workers = 1, .durable = true, .bus = "  tick_ring: 64KiB\n", .rest = rest});
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    /* A machine that is too quick for two rounds gets a longer message; where all is slow (a sanitizer), the stream's
     * steps wait all the while, and no message is long enough. */
    const int most = scenario_slow() ? 10000 : 320000, wanted = scenario_slow() ? 2 : 3;
    int ticks = scenario_count(60000, 10000), within = 0;
    for (int tries = 0, at = 1; within < wanted && tries < (scenario_slow() ? wanted : 9); tries++) {
        int64_t before = daemon_count(daemon, "steps");
        feed_message(socket, at, ticks);
        bool is_within = await_images_within(daemon, before, ticks);
        daemon_close(daemon, socket);
        daemon_signal(daemon, SIGKILL);
        daemon_wait(daemon);
        daemon_start(daemon);
        socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
        expect_step(daemon, socket, at + ticks);
        within += is_within;
        at += ticks + 1;
        if (!is_within && 2 * ticks <= most)
            ticks *= 2;
    }
    assert_true(within > 0 || scenario_slow());
    daemon_stop(daemon);
    daemon_free(&daemon);
}

/* ---- what was taken, and no more ---------------------------------------------------------------- */

static struct daemon *start_few(int max_streams) {
    static char rest[1024];
    snprintf(rest, sizeof rest,
             "snapshot_every: 1h\n"
             "streams:\n  - {class: c, pattern: '*', features: [a, b], history: 16, max_streams: %d}\n"
             "models:\n  - {name: m, class: c, horizon: 1, layers: [{lstm: 4}], combine: network, train: false}\n",
             max_streams);
    return daemon_run(&(struct daemon_setup){.workers = 1, .durable = true, .rest = rest});
}

static void feed_two(struct daemon *daemon, const char *name) {
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    int64_t messages = daemon_count(daemon, "ticks.messages");
    for (int step = 0; step < 2; step++)
        feed_tick(socket, name, second * (1600000000 + step), (double[FEATURES]){1, 2}, FEATURES);
    daemon_expect_count(daemon, "ticks.messages", messages + 2);
    daemon_close(daemon, socket);
}

/* -1: there is no such stream. */
static int64_t steps_of(struct daemon *daemon, const char *name) {
    char request[128];
    snprintf(request, sizeof request, "{\"cmd\":\"state\",\"stream\":\"%s\",\"model\":\"m\"}", name);
    for (int64_t until = scenario_now() + 20000; scenario_now() < until; scenario_sleep(5)) {
        json_t *reply = daemon_ask(daemon, request);
        const char *code = json_string_value(json_object_get(json_object_get(reply, "error"), "code"));
        bool is_busy = code != NULL && strcmp(code, "busy") == 0; /* it is on its way */
        int64_t n = code == NULL ? json_integer_value(json_object_get(reply, "step")) : -1;
        if (code != NULL && !is_busy)
            assert_string_equal(code, "unknown_stream");
        json_decref(reply);
        if (!is_busy)
            return n;
    }
    fail_msg("stream %s is busy", name);
    return -1;
}

static void crash(struct daemon *daemon) {
    daemon_await_durable(daemon);
    daemon_signal(daemon, SIGKILL);
    daemon_wait(daemon);
    daemon_start(daemon);
}

/* The journal has more streams than may be at once, as one of them had ended by then. */
static void test_taken_within_the_limit(void **state) {
    (void)state;
    struct daemon *daemon = start_few(2);
    feed_two(daemon, "a");
    feed_two(daemon, "b");
    assert_int_equal(steps_of(daemon, "a"), 2);
    daemon_command(daemon, "{\"cmd\":\"end\",\"stream\":\"a\"}");
    daemon_expect_count(daemon, "ended", 1); /* its worker has let go of it */
    feed_two(daemon, "c");
    assert_int_equal(steps_of(daemon, "c"), 2);
    crash(daemon);
    assert_int_equal(steps_of(daemon, "a"), -1);
    assert_int_equal(steps_of(daemon, "b"), 2);
    assert_int_equal(steps_of(daemon, "c"), 2);
    daemon_stop(daemon);
    daemon_free(&daemon);
}

/* What was refused then is so for good, though there would be room for it now. */
static void test_refused_beyond_the_limit(void **state) {
    (void)state;
    struct daemon *daemon = start_few(2);
    feed_two(daemon, "a");
    feed_two(daemon, "b");
    feed_two(daemon, "c");
    daemon_expect_count(daemon, "ticks.refused.stream_limit", 2);
    assert_int_equal(steps_of(daemon, "a"), 2);
    daemon_command(daemon, "{\"cmd\":\"end\",\"stream\":\"a\"}");
    crash(daemon);
    assert_int_equal(steps_of(daemon, "b"), 2);
    assert_int_equal(steps_of(daemon, "c"), -1);
    daemon_stop(daemon);
    daemon_free(&daemon);
}

/* What has other features by now cannot be taken once more: that is told. */
static void test_of_other_features(void **state) {
    (void)state;
    static const char rest[] =
        "streams:\n  - {class: c, pattern: '*', features: [%s], history: 16}\n"
        "models:\n  - {name: m, class: c, horizon: 1, layers: [{lstm: 4}], combine: network, train: false}\n";
    char of_two[sizeof rest + 16], text[2048];
    snprintf(of_two, sizeof of_two, rest, "a, b");
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.durable = true, .rest = of_two});
    feed_message(daemon_connect(daemon, ZMQ_PUSH, daemon->ticks), 1, 1);
    daemon_await_count(daemon, "steps", 1);
    daemon_await_durable(daemon);
    daemon_signal(daemon, SIGKILL);
    daemon_wait(daemon);
    FILE *file = fopen(daemon->config, "r");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 8, file);
    fclose(file);
    text[n] = '\0';
    char *features = strstr(text, "a, b]");
    assert_non_null(features);
    memmove(features + 7, features + 4, strlen(features + 4) + 1);
    memcpy(features, "a, b, c", 7);
    daemon_write_config(daemon, text);
    daemon_start(daemon);
    assert_non_null(strstr(daemon_output(daemon), "1 ticks of the journal are left out"));
    daemon_expect_count(daemon, "steps", 0);
    daemon_free(&daemon);
}

int main(void) {
    scenario_begin(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_killed_within_a_message, scenario_teardown),
        cmocka_unit_test_teardown(test_taken_within_the_limit, scenario_teardown),
        cmocka_unit_test_teardown(test_refused_beyond_the_limit, scenario_teardown),
        cmocka_unit_test_teardown(test_of_other_features, scenario_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
