/*
 * Far more streams than may be in memory: each tick finds its own on disk, few are in memory at any time, and of each
 * every step is forecast once. Commands find streams that are on disk.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <stdio.h>
#include <zmq.h>

enum {
    RESIDENT = 100,
    ROUNDS = 3,
    MOST = RESIDENT + 128, /* and so many that wait for others to leave; DESIGN has the table of bounds */
    LEAVING = 128,
};

static const char classes[] =
    "  - {class: c, pattern: '*', features: [a], history: 16, max_resident: 100}\n"
    "models:\n"
    "  - {name: m, class: c, horizon: 1, layers: [{lstm: 4}], combine: network, train: false}\n";

static int known(void) {
    return scenario_count(10000, 1500);
}

/* A tick of each stream. What it takes in memory meanwhile is looked at. */
static void feed_round(struct daemon *daemon, struct heard *heard, void *socket, int round) {
    for (int s = 0; s < known(); s++) {
        char name[16];
        double value = s + round;
        snprintf(name, sizeof name, "s%d", s);
        feed_tick(socket, name, INT64_C(1000000000) * (1600000000 + round), &value, 1);
        while (heard_next(heard, 0))
            ;
        if (s % 250 != 0)
            continue;
        assert_in_range(daemon_count(daemon, "streams"), 0, MOST);
        assert_in_range(daemon_count(daemon, "kept.leaving"), 0, LEAVING);
    }
    heard_until(heard, (size_t)known() * (size_t)(round + 1));
}

static void test_few_of_many(void **state) {
    (void)state;
    char rest[1024];
    snprintf(rest, sizeof rest, "streams:\n%s", classes);
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.workers = 2, .durable = true, .rest = rest});
    struct heard *heard = heard_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int round = 0; round < ROUNDS; round++)
        feed_round(daemon, heard, socket, round);
    for (int s = 0; s < known(); s++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", s);
        struct heard_stream *stream = heard_find(heard, "m", name);
        assert_non_null(stream);
        assert_int_equal(stream->n, ROUNDS);
        assert_int_equal(stream->generation, heard_at(stream, 0)->generation);
    }
    assert_true(daemon_count(daemon, "kept.returned") >= (ROUNDS - 1) * (known() - MOST - LEAVING));
    heard_free(heard);
    daemon_stop(daemon);
    daemon_free(&daemon);
}

/* A stream that has been quiet is on disk, and the daemon has let go of it. */
static void await_away(struct daemon *daemon, int64_t evicted) {
    daemon_await_count(daemon, "kept.evicted", evicted);
    assert_int_equal(daemon_count(daemon, "streams"), 0);
}

static void expect_none(struct daemon *daemon, const char *name) {
    char request[100];
    snprintf(request, sizeof request, "{\"cmd\": \"end\", \"stream\": \"%s\"}", name);
    json_t *reply = daemon_ask(daemon, request), *code = json_object_get(json_object_get(reply, "error"), "code");
    assert_string_equal(json_string_value(code), "unknown_stream");
    json_decref(reply);
}

static void tick(void *socket, int64_t t) {
    const double value = 1;
    feed_tick(socket, "quiet", INT64_C(1000000000) * (1600000000 + t), &value, 1);
}

/* Who has come back, by a tick or for a command, is quiet from then on; commands find who is on disk. */
static void test_commands_on_who_is_away(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){
        .workers = 2,
        .durable = true,
        .rest = "streams:\n"
                "  - {class: c, pattern: '*', features: [a], history: 16, idle_timeout: 2s}\n"
                "models:\n"
                "  - {name: m, class: c, horizon: 1, layers: [{lstm: 4}], combine: network, train: false}\n"});
    struct heard *heard = heard_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    tick(socket, 1);
    heard_until(heard, 1);
    await_away(daemon, 1);
    tick(socket, 2);
    heard_until(heard, 2);
    scenario_sleep(700);
    assert_int_equal(daemon_count(daemon, "streams"), 1);
    await_away(daemon, 2);
    daemon_command(daemon, "{\"cmd\": \"pause\", \"stream\": \"quiet\"}");
    assert_int_equal(daemon_count(daemon, "streams"), 1);
    await_away(daemon, 3);
    tick(socket, 3);
    heard_until(heard, 3);
    struct heard_stream *stream = heard_find(heard, "m", "quiet");
    assert_true((heard_at(stream, 2)->flags & WIRE_FLAG(PAUSED)) != 0);
    await_away(daemon, 4);
    daemon_command(daemon, "{\"cmd\": \"end\", \"stream\": \"quiet\"}");
    daemon_await_count(daemon, "ended", 1);
    expect_none(daemon, "quiet");
    expect_none(daemon, "never was");
    assert_int_equal(heard_at(stream, 2)->step, 3);
    tick(socket, 4);
    heard_until(heard, 4);
    assert_int_equal(stream->generation, heard_at(stream, 2)->generation + 1);
    assert_int_equal(heard_at(stream, stream->n - 1)->step, 1);
    heard_free(heard);
    daemon_stop(daemon);
    daemon_free(&daemon);
}

int main(void) {
    scenario_begin(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_few_of_many, scenario_teardown),
        cmocka_unit_test_teardown(test_commands_on_who_is_away, scenario_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
