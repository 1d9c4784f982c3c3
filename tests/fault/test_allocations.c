/*
 * Each allocation of the daemon's own code fails once: at the start it ends with a sentence, or serves; later it
 * refuses what it has no memory for, and all else goes on.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/libforecast/forecast.h"
#include "tests/fault/fault.h"
#include "tests/fault/sender.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static struct fault fault;
static char program[512];

static const char configuration[] =
    "streams:\n"
    "  - {class: c, pattern: 'c/*', features: [a, b], history: 64}\n"
    "  - {class: e, pattern: 'e/*', features: [a], history: 64}\n"
    "models:\n"
    "  - name: m\n"
    "    class: c\n"
    "    horizon: 3\n"
    "    layers: [{lstm: 4}]\n"
    "    batch_size: 2\n"
    "    promote: manual\n"
    "    training: {window: 16, burn_in: 2, unroll: 8, first_after: 24, epochs: 2, max_windows: 16}\n"
    "  - name: e\n"
    "    class: e\n"
    "    head: event\n"
    "    layers: [{lstm: 4}]\n"
    "    train: false\n";

static int tear_down(void **state) {
    if (atomic_load(&fault.plan->failed) > 0)
        print_message("allocation %ld has failed, at %s\n", atomic_load(&fault.plan->from),
                      fault_where(&fault, program));
    return fault_tear_down(state);
}

/* All of them in the long form, else some. */
static long next_of(long n, long short_step) {
    return n + (getenv("FAULT_LONG") != NULL ? 1 : n < 10 ? 1 : short_step);
}

static void give_up(const struct daemon *daemon, const char *what, long n) {
    fail_msg("allocation %ld fails, at %s: %s: %s", n, fault_where(&fault, program), what, daemon_output(daemon));
}

/* ---- the start ------------------------------------------------------------------------------ */

static void each_start(const char *rest) {
    struct daemon *daemon = daemon_new(&(struct daemon_setup){.rest = rest});
    long n = 1;
    int refused = 0, served = 0, status = 0;
    fault_begin(&fault, false);
    for (bool failed = true; failed; n = next_of(n, 17)) {
        fault_set(&fault, FAULT_ALLOCATION, ENOMEM, n, n);
        unlink(daemon->log);
        bool serves = daemon_try_start(daemon, &status);
        failed = atomic_load(&fault.plan->failed) > 0;
        fault_clear(&fault);
        if (serves) {
            daemon_signal(daemon, SIGTERM);
            status = daemon_wait(daemon);
        }
        if (status != (serves ? 0 : 1))
            give_up(daemon, "the daemon ended otherwise", n);
        if (!serves && strstr(daemon_output(daemon), "error") == NULL && strlen(daemon_output(daemon)) < 10)
            give_up(daemon, "no sentence", n);
        refused += !serves;
        served += serves;
    }
    fault_end();
    print_message("%ld allocations; %d starts refused, %d served\n", n, refused, served);
    assert_true(refused > 0 && served > 0);
    daemon_free(&daemon);
}

static void test_start(void **state) {
    (void)state;
    each_start(configuration);
}

static const char *durable_configuration(void) {
    static char text[4096];
    snprintf(text, sizeof text, "state_dir: %s/state\nsync_every: 5ms\nsnapshot_every: 1s\n%s", fault.root,
             configuration);
    return text;
}

static void test_durable_start(void **state) {
    (void)state;
    each_start(durable_configuration());
}

/* ---- serving -------------------------------------------------------------------------------- */

enum { STEADY_STEPS = 3, NEW_STEPS = 4, MOST_ROUNDS = 2000, WAIT = 20000 };

static int64_t time_of(long step) {
    return INT64_C(1700000000000000000) + step * INT64_C(1000000000);
}

struct scene {
    struct daemon *daemon;
    struct heard *heard;
    struct forecast_feed *feed;
    void *socket;
    long step, messages;
};

static void feed_steady(struct scene *scene) {
    for (int i = 0; i < STEADY_STEPS; i++, scene->step++) {
        const double values[] = {sin(0.3 * (double)scene->step), (double)(scene->step % 7)};
        feed_tick(scene->socket, "c/steady", time_of(scene->step), values, 2);
        scene->messages++;
    }
}

/* Whatever the answer is, there must be one. */
static void request(struct daemon *daemon, const char *format, const char *stream) {
    char text[256];
    snprintf(text, sizeof text, format, stream);
    json_decref(daemon_ask(daemon, text));
}

/* Until the daemon has looked at all that was sent; it may have no memory for an answer. */
static void await_messages(struct scene *scene) {
    json_int_t come = 0;
    for (int tries = 0; come < scene->messages; tries++) {
        json_t *reply = daemon_ask(scene->daemon, "{\"cmd\":\"status\"}");
        come = json_integer_value(json_object_get(json_object_get(reply, "ticks"), "messages"));
        json_decref(reply);
        assert_true(tries < WAIT);
        scenario_sleep(1);
    }
}

/* A stream of either model opens, is asked about, commanded and ended. */
static void one_round(struct scene *scene, long n) {
    static const char *const requests[] = {
        "{\"cmd\":\"status\"}",
        "{\"cmd\":\"streams\"}",
        "{\"cmd\":\"models\"}",
        "{\"cmd\":\"scores\",\"stream\":\"c/%s\"}",
        "{\"cmd\":\"reset\",\"stream\":\"c/%s\"}",
        "{\"cmd\":\"state\",\"stream\":\"c/%s\",\"model\":\"m\"}",
        "{\"cmd\":\"set_state\",\"stream\":\"c/%s\",\"model\":\"m\",\"state\":[1,2,3,4,5,6,7,8]}",
        "{\"cmd\":\"pause\",\"stream\":\"c/%s\"}",
        "{\"cmd\":\"resume\",\"stream\":\"c/%s\"}",
        "{\"cmd\":\"end\",\"stream\":\"c/%s\"}",
        "{\"cmd\":\"end\",\"stream\":\"e/%s\"}",
    };
    char name[32], stream[32];
    snprintf(name, sizeof name, "%ld", n);
    snprintf(stream, sizeof stream, "event/c/%ld", n);
    if (scene->heard != NULL)
        zmq_setsockopt(scene->heard->socket, ZMQ_SUBSCRIBE, stream, strlen(stream));
    for (int i = 0; i < NEW_STEPS; i++) {
        snprintf(stream, sizeof stream, "c/%ld", n);
        forecast_feed_send(scene->feed, stream, time_of(i), (double[]){i, -i}, 2, WAIT);
        snprintf(stream, sizeof stream, "e/%ld", n);
        forecast_feed_send(scene->feed, stream, time_of(i), (double[]){i}, 1, WAIT);
        forecast_feed_label(scene->feed, stream, time_of(i), i % 2, WAIT);
    }
    scene->messages += 3 * NEW_STEPS;
    await_messages(scene);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        request(scene->daemon, requests[i], name);
}

static void scene_open(struct scene *scene) {
    *scene = (struct scene){0};
    fault_begin(&fault, false);
    scene->daemon = daemon_run(&(struct daemon_setup){.rest = configuration});
    fault_end();
    scene->socket = daemon_connect(scene->daemon, ZMQ_PUSH, scene->daemon->ticks);
    assert_int_equal(forecast_feed_open(scene->daemon->ticks, 0, &scene->feed), FORECAST_OK);
}

static void scene_hear(struct scene *scene) {
    scene->heard = heard_new(scene->daemon, "forecast/m/c/steady", 20, 1);
}

/* It must be as whole as it was. */
static void scene_close(struct scene *scene) {
    feed_steady(scene);
    heard_until(scene->heard, (size_t)scene->step);
    forecast_feed_close(&scene->feed, 0);
    heard_free(scene->heard);
    daemon_free(&scene->daemon);
}

/* What was published of it is what a daemon publishes that had all the memory. */
static void compare_steady(const struct scene *scene) {
    struct scene other;
    scene_open(&other);
    scene_hear(&other);
    while (other.step < scene->step)
        feed_steady(&other);
    heard_until(other.heard, (size_t)other.step);
    heard_compare(heard_find(scene->heard, "m", "c/steady"), 0, heard_find(other.heard, "m", "c/steady"), 0,
                  (size_t)scene->step);
    scene_close(&other);
}

/* One daemon after all of these. */
static void test_serving(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene);
    scene_hear(&scene);
    long n = 1;
    for (bool failed = true; failed; n++) {
        assert_true(n < MOST_ROUNDS);
        fault_set(&fault, FAULT_ALLOCATION, ENOMEM, n, n);
        one_round(&scene, n);
        feed_steady(&scene);
        heard_until(scene.heard, (size_t)scene.step);
        failed = atomic_load(&fault.plan->failed) > 0;
        fault_clear(&fault);
    }
    print_message("%ld allocations, %ld ticks refused without memory\n", n - 2,
                  (long)daemon_count(scene.daemon, "ticks.refused.no_memory"));
    compare_steady(&scene);
    scene_close(&scene);
}

/* A daemon for each: what it allocates once, and what is larger the second time. */
static void test_first_streams(void **state) {
    (void)state;
    long n = 1;
    for (bool failed = true; failed; n = next_of(n, 4)) {
        struct scene scene;
        scene_open(&scene);
        fault_set(&fault, FAULT_ALLOCATION, ENOMEM, n, n);
        for (int i = 0; i < 3; i++)
            one_round(&scene, i);
        failed = atomic_load(&fault.plan->failed) > 0;
        fault_clear(&fault);
        scene_hear(&scene);
        if (scene.daemon->pid == 0)
            give_up(scene.daemon, "the daemon ended", n);
        scene_close(&scene);
    }
    print_message("%ld allocations\n", n);
}

/* ---- training ------------------------------------------------------------------------------- */

static int64_t jobs_done(struct daemon *daemon) {
    return daemon_model_count(daemon, "m", "jobs") + daemon_model_count(daemon, "m", "failed");
}

/* A job, whose version takes over, and the one before once more. */
static void train_once(struct scene *scene) {
    int64_t done = jobs_done(scene->daemon);
    request(scene->daemon, "{\"cmd\":\"retrain\",\"model\":\"m\"}", "");
    for (int tries = 0; jobs_done(scene->daemon) == done; tries++) {
        assert_true(tries < WAIT);
        scenario_sleep(5);
    }
    request(scene->daemon, "{\"cmd\":\"promote\",\"model\":\"m\"}", "");
    feed_steady(scene);
    heard_until(scene->heard, (size_t)scene->step);
    request(scene->daemon, "{\"cmd\":\"rollback\",\"model\":\"m\"}", "");
    feed_steady(scene);
    heard_until(scene->heard, (size_t)scene->step);
}

static void test_training(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene);
    scene_hear(&scene);
    while (scene.step < 60)
        feed_steady(&scene);
    heard_until(scene.heard, (size_t)scene.step);
    while (jobs_done(scene.daemon) == 0)
        scenario_sleep(5);
    long n = 1;
    for (bool failed = true; failed; n = next_of(n, 23)) {
        fault_set(&fault, FAULT_ALLOCATION, ENOMEM, n, n);
        train_once(&scene);
        failed = atomic_load(&fault.plan->failed) > 0;
        fault_clear(&fault);
    }
    print_message("%ld allocations; %lld jobs, %lld failed, %lld promoted\n", n,
                  (long long)daemon_model_count(scene.daemon, "m", "jobs"),
                  (long long)daemon_model_count(scene.daemon, "m", "failed"),
                  (long long)daemon_model_count(scene.daemon, "m", "promoted"));
    train_once(&scene);
    scene_close(&scene);
}

/* ---- acknowledged ticks --------------------------------------------------------------------- */

enum { SENT_AT_ONCE = 25 };

/* Of new streams, each time some. */
static void tick_of(uint64_t number, struct sender_tick *ret_tick) {
    *ret_tick = (struct sender_tick){.t = time_of((long)number), .n = 2};
    snprintf(ret_tick->stream, sizeof ret_tick->stream, "c/%d", (int)(number / 10 % 40));
    ret_tick->values[0] = (double)(number % 13);
}

/* What is refused is sent again, and no connection, round of images or order of the journal is lost. */
static void test_acknowledged(void **state) {
    (void)state;
    char bus[256], endpoint[160];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/acknowledged", fault.folder);
    snprintf(bus, sizeof bus, "  acknowledged: %s\n", endpoint);
    fault_begin(&fault, false);
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.bus = bus, .rest = durable_configuration()});
    fault_end();
    struct sender sender;
    sender_open(&sender, endpoint, tick_of);
    sender.may_refuse = true;
    long n = 1;
    for (bool failed = true; failed; n = next_of(n, 3)) {
        uint64_t wanted = sender.durable + SENT_AT_ONCE;
        fault_set(&fault, FAULT_ALLOCATION, ENOMEM, n, n);
        for (int tries = 0; sender.durable < wanted; tries++) {
            sender_go(&sender, wanted, 5);
            if (tries > WAIT / 5)
                give_up(daemon, "ticks are not acknowledged", n);
        }
        failed = atomic_load(&fault.plan->failed) > 0;
        fault_clear(&fault);
    }
    print_message("%ld allocations, %lld refused answers\n", n, (long long)sender.errors);
    daemon_stop(daemon);
    daemon_start(daemon);
    sender_reconnect(&sender);
    while (!sender.known)
        sender_go(&sender, 0, 5);
    sender_close(&sender);
    daemon_free(&daemon);
}

int main(void) {
    const char *build = getenv("BUILD");
    snprintf(program, sizeof program, "%s/forecastd", build != NULL ? build : "build");
    scenario_begin(getenv("FAULT_LONG") != NULL ? 3000 : 250);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_start, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_durable_start, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_first_streams, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_serving, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_training, fault_set_up, tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_acknowledged, fault_set_up, tear_down, &fault),
    };
    return cmocka_run_group_tests_name("allocations", tests, NULL, NULL);
}
