/* Who serves a model outlives the daemon, however it ends; and a stop waits for nobody. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

static char folder[] = "/tmp/test_versions.XXXXXX";

/* A season that a small network learns at once; it trains on command. */
static const char configuration[] =
    "streams:\n"
    "  - {class: all, pattern: \"*\", features: [a], history: 512}\n"
    "models:\n"
    "  - name: m\n"
    "    class: all\n"
    "    horizon: 2\n"
    "    layers: [{lstm: 8}]\n"
    "    combine: network\n"
    "    retrain_every: 0\n"
    "    training: {window: 32, burn_in: 4, unroll: 16, first_after: 100000, epochs: 20, learning_rate: 0.02%s}\n";

static const int64_t second = INT64_C(1000000000);

static void feed(struct daemon *daemon, void *socket, int from, int to) {
    int64_t before = daemon_count(daemon, "steps");
    for (int step = from; step < to; step++) {
        const double value = sin(0.5 * step);
        feed_tick(socket, "s", step * second, &value, 1);
    }
    daemon_expect_count(daemon, "steps", before + to - from);
}

static struct daemon *make(const char *training) {
    static char rest[4096];
    int n = snprintf(rest, sizeof rest, "state_dir: %s/state\n", folder);
    snprintf(rest + n, sizeof rest - (size_t)n, configuration, training);
    return daemon_new(&(struct daemon_setup){.workers = 1, .rest = rest});
}

static void wait_for_number(struct daemon *daemon, const char *key, int64_t least) {
    int64_t until = scenario_now() + 60000;
    while (daemon_model_count(daemon, "m", key) < least) {
        if (scenario_now() > until)
            fail_msg("%s: %s", key, daemon_output(daemon));
        scenario_sleep(5);
    }
}

/* Trains until the version serves. */
static void train(struct daemon *daemon, int64_t version) {
    for (int64_t jobs = daemon_model_count(daemon, "m", "jobs");
         daemon_model_count(daemon, "m", "version") < version;) {
        daemon_command(daemon, "{\"cmd\":\"retrain\",\"model\":\"m\"}");
        wait_for_number(daemon, "jobs", ++jobs);
        scenario_sleep(50);
    }
}

static void kill_it(struct daemon *daemon) {
    daemon_signal(daemon, SIGKILL);
    assert_int_equal(daemon_wait(daemon), 128 + SIGKILL);
}

/* The latest forecast of the stream is of that version, by its network or not. */
static void expect_served(struct daemon *daemon, struct heard *heard, uint64_t version, bool network) {
    heard_rest(heard, 100);
    const struct heard_stream *stream = heard_find(heard, "m", "s");
    const struct heard_forecast *latest = heard_at(stream, stream->n - 1);
    assert_int_equal(latest->version, version);
    assert_true((latest->primed > 0) == network);
    assert_int_equal(daemon_model_count(daemon, "m", "version"), version);
}

static void test_restarts(void **state) {
    (void)state;
    struct daemon *daemon = make("");
    daemon_start(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed(daemon, socket, 1, 300);
    train(daemon, 1);
    int64_t jobs = daemon_model_count(daemon, "m", "jobs");
    daemon_close(daemon, socket);
    kill_it(daemon);

    /* It serves from the first tick on. */
    daemon_start(daemon);
    assert_true(daemon_model_count(daemon, "m", "jobs") == jobs && daemon_model_count(daemon, "m", "promoted") == 1);
    struct heard *heard = heard_new(daemon, "forecast/", 9, 1);
    heard->any_gaps = true;
    socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed(daemon, socket, 300, 400);
    expect_served(daemon, heard, 1, true);
    daemon_command(daemon, "{\"cmd\":\"rollback\",\"model\":\"m\"}");
    wait_for_number(daemon, "version", 2);
    scenario_sleep(100);
    feed(daemon, socket, 400, 410);
    expect_served(daemon, heard, 2, false);
    daemon_close(daemon, heard->socket);
    heard_free(heard);
    daemon_close(daemon, socket);
    daemon_stop(daemon);

    daemon_start(daemon);
    assert_int_equal(daemon_model_count(daemon, "m", "version"), 2);
    assert_int_equal(daemon_model_count(daemon, "m", "rolled_back"), 1);
    json_t *reply = daemon_ask(daemon, "{\"cmd\":\"decisions\",\"model\":\"m\"}");
    const json_t *list = json_object_get(reply, "decisions");
    const json_t *latest = json_array_get(list, json_array_size(list) - 1);
    assert_string_equal(json_string_value(json_object_get(latest, "kind")), "rolled_back");
    json_decref(reply);
    reply = daemon_ask(daemon, "{\"cmd\":\"rollback\",\"model\":\"m\"}");
    assert_string_equal(json_string_value(json_object_get(json_object_get(reply, "error"), "code")), "nothing");
    json_decref(reply);
    daemon_free(&daemon);
}

/* TERM in the midst of a training, with a subscriber that has stopped reading and another that has not: what was taken is
 * forecast, and nobody is waited for. */
static void test_stop(void **state) {
    (void)state;
    struct daemon *daemon = make(", min_steps: 1000000, patience: 0");
    daemon_start(daemon);
    void *stalled = daemon_connect_bounded(daemon, ZMQ_SUB, daemon->forecasts, 1);
    assert_int_equal(zmq_setsockopt(stalled, ZMQ_SUBSCRIBE, "", 0), 0);
    daemon_await_count(daemon, "forecasts.subscriptions", 1);
    struct heard *heard = heard_new(daemon, "forecast/", 9, 2);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed(daemon, socket, 1, 300);
    daemon_command(daemon, "{\"cmd\":\"retrain\",\"model\":\"m\"}");
    int64_t until = scenario_now() + 20000;
    for (bool trains = false; !trains && scenario_now() < until;) {
        json_t *model = daemon_model(daemon, "m");
        trains = json_integer_value(json_object_get(model, "optimizer_steps")) > 10;
        json_decref(model);
    }
    for (int step = 300; step < 5000; step++) {
        const double value = sin(0.5 * step);
        feed_tick(socket, "s", step * second, &value, 1);
    }
    daemon_await_count(daemon, "ticks.taken", 1000);
    int64_t began = scenario_now();
    daemon_stop(daemon);
    int64_t took = scenario_now() - began;
    heard_rest(heard, 200);
    const char *line = strstr(daemon_output(daemon), "stopped: ");
    long taken = 0;
    assert_true(line != NULL && sscanf(line, "stopped: %ld ticks", &taken) == 1);
    print_message("%ld ticks taken, %zu forecasts heard, %d ms\n", taken, heard->forecasts, (int)took);
    assert_int_equal(heard->forecasts, taken);
    assert_true(took < (scenario_slow() ? 20000 : 5000));
    heard_free(heard);
    daemon_free(&daemon);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int clear(void **state) {
    char command[128];
    int failed = scenario_teardown(state);
    snprintf(command, sizeof command, "rm -rf %s/state", folder);
    return failed != 0 || system(command) != 0;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_restarts, clear),
        cmocka_unit_test_teardown(test_stop, clear),
    };
    scenario_begin(120);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
