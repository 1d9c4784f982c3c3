/*
 * Far more streams than may be in memory: each tick finds its own on disk, few are in memory at any time, and of each
 * every step is forecast once.
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

int main(void) {
    scenario_begin(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_few_of_many, scenario_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
