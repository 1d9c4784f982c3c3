/*
 * More than the daemon can do: rings as small as they may be, slow models, senders that never pause, a subscriber
 * that does not read, and commands all the while. Nothing that was sent is lost, control goes on, and it all ends.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { N_STREAMS = 48, N_FEATURES = 4, N_SENDERS = 2, LARGE_BUNDLE = 1500 };

static const char bus[] = "  tick_ring: 64KiB\n"
                          "  forecast_ring: 64KiB\n"
                          "  receive_hwm: 1\n"
                          "  send_hwm: 20\n";

/* The second model has large forecasts, so that the way out is narrow, too. */
static const char models[] = "streams:\n"
                             "  - {class: all, pattern: \"*\", features: [a, b, c, d], history: 128}\n"
                             "models:\n"
                             "  - {name: slow, class: all, horizon: 4, layers: [{lstm: 256}], batch_size: 5,\n"
                             "     train: false}\n"
                             "  - {name: wide, class: all, horizon: 100, layers: [], batch_size: 64, train: false}\n";

/* ---- the flood ------------------------------------------------------------------------------ */

struct sender {
    pthread_t thread;
    int index;
    void *socket;
    int ticks; /* to be sent */
    atomic_bool failed;
    atomic_int sent; /* so far */
};

/* The next tick of a sender: streams are its own, times grow. */
static int64_t next_tick(const struct sender *sender, int i, char *name, size_t size, double *values) {
    snprintf(name, size, "%d/%02d", sender->index, i % (N_STREAMS / N_SENDERS));
    for (int f = 0; f < N_FEATURES; f++)
        values[f] = sin(i * 0.01 * (f + 1)) + f;
    return INT64_C(1000000) * (i + 1);
}

/* Singly, now and then a bundle that is far larger than a worker's ring. Asserts nothing: it is no thread of
 * cmocka's. */
static void *flood(void *context) {
    struct sender *sender = context;
    struct wire_bundle bundle = {0};
    for (int i = 0; i < sender->ticks && !sender->failed;) {
        char name[32], payload[WIRE_TICK_BOUND(N_FEATURES)];
        double values[N_FEATURES];
        int n = i % 4000 == 2000 && sender->ticks - i > LARGE_BUNDLE ? LARGE_BUNDLE : 1;
        for (int k = 0; n > 1 && k < n; k++) {
            int64_t t = next_tick(sender, i + k, name, sizeof name, values);
            if (wire_bundle_add(&bundle, (struct wire_text){name, strlen(name)}, t, values, N_FEATURES) != 0)
                sender->failed = true;
        }
        if (n > 1) {
            struct wire_text message = wire_bundle_message(&bundle);
            if (zmq_send(sender->socket, message.at, message.n, 0) < 0)
                sender->failed = true;
            wire_bundle_clear(&bundle);
        } else {
            int64_t t = next_tick(sender, i, name, sizeof name, values);
            size_t size = wire_tick_encode(payload, sizeof payload, t, values, N_FEATURES, NULL);
            if (zmq_send(sender->socket, name, strlen(name), ZMQ_SNDMORE) < 0 ||
                zmq_send(sender->socket, payload, size, 0) < 0)
                sender->failed = true;
        }
        i += n;
        atomic_store(&sender->sent, i);
    }
    wire_bundle_fini(&bundle);
    return NULL;
}

/* ---- commands meanwhile --------------------------------------------------------------------- */

struct commanded {
    int requests, resets, ends, busy;
    int64_t slowest; /* ms */
};

static void command(struct daemon *daemon, struct rng *rng, struct commanded *commanded) {
    static const char *const questions[] = {"{\"cmd\":\"status\"}", "{\"cmd\":\"streams\"}", "{\"cmd\":\"models\"}",
                                            "{\"cmd\":\"hello\",\"protocol\":1}"};
    char request[128];
    uint64_t which = rng_below(rng, 6);
    int stream = (int)rng_below(rng, N_STREAMS);
    if (which < 4)
        snprintf(request, sizeof request, "%s", questions[which]);
    else
        snprintf(request, sizeof request, "{\"cmd\":\"%s\",\"stream\":\"%d/%02d\"}", which == 4 ? "reset" : "end",
                 stream % N_SENDERS, stream / N_SENDERS);
    int64_t began = scenario_now();
    json_t *reply = daemon_ask(daemon, request);
    int64_t took = scenario_now() - began;
    commanded->slowest = took > commanded->slowest ? took : commanded->slowest;
    commanded->requests++;
    const char *code = json_string_value(json_object_get(json_object_get(reply, "error"), "code"));
    bool ok = json_is_true(json_object_get(reply, "ok"));
    /* A worker may be too far behind to be told; a stream that was just ended is unknown until its next tick. */
    if (!ok && (which < 4 || code == NULL || (strcmp(code, "busy") != 0 && strcmp(code, "unknown_stream") != 0)))
        fail_msg("%s: %s", request, json_dumps(reply, 0));
    commanded->busy += !ok;
    commanded->resets += ok && which == 4;
    commanded->ends += ok && which == 5;
    json_decref(reply);
}

static int64_t sent_by(const struct sender *senders) {
    int64_t sum = 0;
    for (int i = 0; i < N_SENDERS; i++)
        sum += atomic_load(&senders[i].sent);
    return sum;
}

static void test_flood(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.workers = 2, .tcp = true, .bus = bus, .rest = models});
    /* Has singles and bundles made, and does not read until the end. */
    struct heard *idle = calloc(1, sizeof *idle);
    assert_non_null(idle);
    idle->events = json_array();
    idle->any_gaps = true;
    idle->socket = daemon_connect_bounded(daemon, ZMQ_SUB, daemon->forecasts, 1);
    heard_subscribe(idle, daemon, "forecast/slow/", 14, 1);
    heard_subscribe(idle, daemon, "bundle/wide", 12, 2);

    struct sender senders[N_SENDERS];
    for (int i = 0; i < N_SENDERS; i++) {
        senders[i] = (struct sender){.index = i, .ticks = scenario_count(24000, 4500)};
        senders[i].socket = daemon_connect_bounded(daemon, ZMQ_PUSH, daemon->ticks, 1);
        assert_int_equal(pthread_create(&senders[i].thread, NULL, flood, &senders[i]), 0);
    }
    int64_t all = N_SENDERS * senders[0].ticks;
    struct rng rng = {21};
    struct commanded commanded = {0};
    bool failed = false;
    while (sent_by(senders) < all && !failed) {
        command(daemon, &rng, &commanded);
        for (int i = 0; i < N_SENDERS; i++)
            failed |= atomic_load(&senders[i].failed);
        scenario_sleep(2);
    }
    for (int i = 0; i < N_SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    assert_false(failed);
    assert_int_equal(sent_by(senders), all);

    daemon_expect_count(daemon, "ticks.taken", all);
    daemon_expect_count(daemon, "steps", all);
    daemon_expect_count(daemon, "forecasts.made", 2 * all);
    daemon_expect_count(daemon, "ended", commanded.ends);
    assert_int_equal(daemon_count(daemon, "streams"), daemon_count(daemon, "started") - commanded.ends);
    assert_true(daemon_count(daemon, "ticks.parked") > 0);
    assert_true(daemon_count(daemon, "tick_rings.times_full") > 0);
    assert_int_equal(daemon_count(daemon, "tick_rings.bytes"), 0);
    assert_int_equal(daemon_count(daemon, "not_finite"), 0);
    print_message("%d requests, the slowest %lld ms; %d resets, %d ends, %d not possible; parked %lld times, "
                  "%lld waits for the way out\n",
                  commanded.requests, (long long)commanded.slowest, commanded.resets, commanded.ends, commanded.busy,
                  (long long)daemon_count(daemon, "ticks.parked"),
                  (long long)daemon_count(daemon, "forecast_rings.waits"));
    assert_true(commanded.requests > 10 && commanded.resets > 0 && commanded.ends > 0);
    assert_in_range(commanded.slowest, 0, scenario_count(2000, 10000));

    /* What the idle subscriber was sent is in order, and less than all; it did not stop the others. */
    heard_rest(idle, 300);
    assert_true(idle->forecasts > 0 && (int64_t)idle->forecasts < 2 * all);
    heard_free(idle);
    daemon_free(&daemon);
}

/* TERM while a tick is parked, and the senders go on: what was taken is worked off, no more is taken, and it ends. */
static void test_term_in_the_flood(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.workers = 1, .tcp = true, .bus = bus, .rest = models});
    struct sender senders[N_SENDERS];
    const int timeout_ms = 500;
    for (int i = 0; i < N_SENDERS; i++) {
        senders[i] = (struct sender){.index = i, .ticks = INT32_MAX};
        senders[i].socket = daemon_connect_bounded(daemon, ZMQ_PUSH, daemon->ticks, 1);
        assert_int_equal(zmq_setsockopt(senders[i].socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms), 0);
        assert_int_equal(pthread_create(&senders[i].thread, NULL, flood, &senders[i]), 0);
    }
    while (daemon_count(daemon, "ticks.parked") < 3)
        scenario_sleep(5);
    int64_t began = scenario_now();
    daemon_signal(daemon, SIGTERM);
    int status = daemon_wait(daemon);
    int64_t took = scenario_now() - began;
    for (int i = 0; i < N_SENDERS; i++) {
        atomic_store(&senders[i].failed, true);
        pthread_join(senders[i].thread, NULL);
    }
    assert_int_equal(status, 0);
    assert_in_range(took, 0, scenario_count(8000, 30000));
    daemon_free(&daemon);
}

int main(void) {
    scenario_begin(70);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_flood, scenario_teardown),
        cmocka_unit_test_teardown(test_term_in_the_flood, scenario_teardown),
    };
    return cmocka_run_group_tests_name("back pressure", tests, NULL, NULL);
}
