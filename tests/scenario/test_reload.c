/* The configuration taken over while the daemon runs: by SIGHUP and by the command. */
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
#include <zmq.h>

static const char configuration[] =
    "log: info\n"
    "streams:\n"
    "  - {class: all, pattern: \"*\", features: [a], history: 64, max_streams: 2}\n"
    "models:\n"
    "  - name: m\n"
    "    class: all\n"
    "    horizon: 2\n"
    "    layers: [{lstm: 4}]\n"
    "    combine: network\n"
    "    retrain_every: 0\n"
    "    training: {window: 16, burn_in: 2, unroll: 8, first_after: 100000, epochs: 2}\n";

static const int64_t second = INT64_C(1000000000);

static void feed_step(void *socket, const char *stream, int step) {
    const double value = sin(0.5 * step);
    feed_tick(socket, stream, step * second, &value, 1);
}

/* Puts one text of the file in the place of another. */
static void edit(struct daemon *daemon, const char *from, const char *to) {
    char text[4096], edited[4096];
    FILE *file = fopen(daemon->config, "r");
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    char *at = strstr(text, from);
    if (at == NULL)
        fail_msg("there is no %s in %s", from, text);
    snprintf(edited, sizeof edited, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    daemon_write_config(daemon, edited);
}

static void expect_list(const json_t *map, const char *key, const char *wanted) {
    char *text = json_dumps(json_object_get(map, key), JSON_COMPACT);
    assert_string_equal(text, wanted);
    free(text);
}

static void await_log(const struct daemon *daemon, const char *text) {
    int64_t until = scenario_now() + 20000;
    while (strstr(daemon_output(daemon), text) == NULL) {
        if (scenario_now() > until)
            fail_msg("no \"%s\" in: %s", text, daemon_output(daemon));
        scenario_sleep(5);
    }
}

static void test_hang_up(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.workers = 1, .rest = configuration});
    struct heard *heard = heard_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int s = 0; s < 3; s++)
        feed_step(socket, (const char *const[]){"s/1", "s/2", "s/3"}[s], 1);
    daemon_expect_count(daemon, "ticks.refused.stream_limit", 1);

    edit(daemon, "max_streams: 2", "max_streams: 3");
    edit(daemon, "horizon: 2", "horizon: 3");
    daemon_signal(daemon, SIGHUP);
    const json_t *event = heard_event(heard, "reloaded", 0, 20);
    expect_list(event, "applied", "[\"streams[0].max_streams\"]");
    expect_list(event, "restart", "[\"models[0].horizon\"]");
    await_log(daemon, "warning: configuration: streams[0].max_streams taken over; a restart is needed for "
                      "models[0].horizon");
    feed_step(socket, "s/3", 2);
    daemon_expect_count(daemon, "streams", 3);

    /* What is wrong changes nothing, not even what is right beside it. */
    edit(daemon, "max_streams: 3", "max_streams: 4");
    edit(daemon, "combine: network", "combine: nothing");
    daemon_signal(daemon, SIGHUP);
    event = heard_event(heard, "not_reloaded", 0, 20);
    assert_non_null(
        strstr(json_string_value(json_object_get(event, "error")), "models[0].combine: \"nothing\" is not "));
    await_log(daemon, "error: the configuration is not taken over: ");
    feed_step(socket, "s/4", 1);
    daemon_expect_count(daemon, "ticks.refused.stream_limit", 2);

    /* The horizon is still named, until there is a restart. */
    edit(daemon, "combine: nothing", "combine: network");
    daemon_signal(daemon, SIGHUP);
    event = heard_event(heard, "reloaded", 1, 20);
    expect_list(event, "applied", "[\"streams[0].max_streams\"]");
    expect_list(event, "restart", "[\"models[0].horizon\"]");
    heard_free(heard);
    daemon_free(&daemon);
}

static void test_command(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.workers = 1, .rest = configuration});
    json_t *reply = daemon_ask(daemon, "{\"cmd\":\"reload\"}");
    assert_true(json_is_true(json_object_get(reply, "ok")));
    expect_list(reply, "applied", "[]");
    expect_list(reply, "restart", "[]");
    json_decref(reply);
    edit(daemon, "workers: 1", "workers: 2\ntraining_cpu: 50%\nsync_every: 3ms");
    reply = daemon_ask(daemon, "{\"cmd\":\"reload\"}");
    expect_list(reply, "applied", "[\"training_cpu\",\"sync_every\"]");
    expect_list(reply, "restart", "[\"workers\"]");
    json_decref(reply);
    edit(daemon, "workers: 2", "workers: many");
    reply = daemon_ask(daemon, "{\"cmd\":\"reload\"}");
    const json_t *error = json_object_get(reply, "error");
    assert_string_equal(json_string_value(json_object_get(error, "code")), "configuration");
    assert_non_null(strstr(json_string_value(json_object_get(error, "message")), "workers: \"many\""));
    json_decref(reply);
    daemon_free(&daemon);
}

/* 0 where it is not told. */
static int64_t model_number(struct daemon *daemon, const char *key) {
    json_t *model = daemon_model(daemon, "m");
    int64_t number = json_integer_value(json_object_get(model, key));
    json_decref(model);
    return number;
}

/* The schedule of trainings, what they are made of, and who decides on what comes of them. */
static void test_training(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.workers = 1, .rest = configuration});
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int step = 1; step <= 64; step++)
        feed_step(socket, "s/1", step);
    daemon_expect_count(daemon, "steps", 64);
    scenario_sleep(300);
    assert_int_equal(model_number(daemon, "jobs"), 0);

    edit(daemon, "first_after: 100000, epochs: 2", "first_after: 60, epochs: 100000, patience: 0");
    json_decref(daemon_ask(daemon, "{\"cmd\":\"reload\"}"));
    int64_t until = scenario_now() + 20000;
    while (model_number(daemon, "epochs") == 0)
        assert_true(scenario_now() < until);
    assert_true(model_number(daemon, "epochs") >= 100000);

    /* What is under way goes on as it began. */
    edit(daemon, "epochs: 100000, patience: 0", "epochs: 3");
    edit(daemon, "    retrain_every: 0\n", "    retrain_every: 0\n    promote: manual\n");
    json_decref(daemon_ask(daemon, "{\"cmd\":\"reload\"}"));
    scenario_sleep(100);
    assert_true(model_number(daemon, "epochs") >= 100000);
    daemon_command(daemon, "{\"cmd\":\"stop_training\",\"model\":\"m\"}");
    while (model_number(daemon, "stopped") == 0)
        assert_true(scenario_now() < until);
    daemon_command(daemon, "{\"cmd\":\"retrain\",\"model\":\"m\"}");
    while (model_number(daemon, "jobs") < 2)
        assert_true(scenario_now() < until);
    json_t *model = daemon_model(daemon, "m");
    assert_true(json_integer_value(json_object_get(json_object_get(model, "latest"), "optimizer_steps")) < 5000);
    assert_int_equal(json_integer_value(json_object_get(model, "promoted")), 0);
    json_decref(model);
    daemon_free(&daemon);
}

static void test_log(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.workers = 1, .rest = configuration});
    edit(daemon, "log: info", "log: error");
    json_decref(daemon_ask(daemon, "{\"cmd\":\"reload\"}"));
    edit(daemon, "max_streams: 2", "max_streams: 9");
    json_decref(daemon_ask(daemon, "{\"cmd\":\"reload\"}"));
    daemon_stop(daemon);
    assert_null(strstr(daemon_output(daemon), "max_streams"));
    assert_null(strstr(daemon_output(daemon), "stopped: "));
    daemon_free(&daemon);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_hang_up, scenario_teardown),
        cmocka_unit_test_teardown(test_command, scenario_teardown),
        cmocka_unit_test_teardown(test_training, scenario_teardown),
        cmocka_unit_test_teardown(test_log, scenario_teardown),
    };
    scenario_begin(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
