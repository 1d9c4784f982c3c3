/* States begin anew by gap, time and command, are carried from stream to stream, and models are saved. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

static const int64_t second = INT64_C(1000000000);
/* 2023-11-15 00:00 UTC. */
static const int64_t midnight = INT64_C(1700006400000000000);

/* Without scalers a forecast depends on what is in the state, and on the latest step. */
#define MODEL(name, class, more) \
    "  - {name: " name \
    ", class: " class ", horizon: 3, layers: [{lstm: 8}, {lstm: 5}], scaler: none, train: false, " \
                      "batch_size: 4, combine: network, training: {burn_in: 4}" more "}\n"

static const char configuration[] =
    "streams:\n"
    "  - {class: gap, pattern: \"gap/*\", features: [a, b], gap: reset, gap_after: 10s}\n"
    "  - {class: every, pattern: \"every/*\", features: [a, b], gap: reset, every: 1s}\n"
    "  - {class: plain, pattern: \"*\", features: [a, b]}\n"
    "models:\n" MODEL("gap", "gap", "") MODEL("every", "every", "") MODEL("day", "plain", ", reset_every: 1d")
        MODEL("plain", "plain", "");

static void feed_step(void *socket, const char *stream, int64_t t, int step) {
    double values[2] = {0.5 * sin(step * 0.4), 0.1 * (step % 5)};
    feed_tick(socket, stream, t, values, 2);
}

struct scene {
    struct daemon *daemon;
    void *ticks;
    struct heard *heard;
};

static void open_scene(struct scene *scene) {
    const struct daemon_setup setup = {.bus = "  events_per_second: 1000\n", .rest = configuration};
    scene->daemon = daemon_run(&setup);
    scene->heard = heard_all(scene->daemon);
    scene->ticks = daemon_connect(scene->daemon, ZMQ_PUSH, scene->daemon->ticks);
}

static void close_scene(struct scene *scene) {
    heard_free(scene->heard);
    daemon_stop(scene->daemon);
    daemon_free(&scene->daemon);
}

/* From `i` on the forecasts of one stream are those of another from `j` on, but for where they are in time. */
static void expect_same_means(const struct heard *heard, const char *model, const char *a, size_t i, const char *b,
                              size_t j, size_t n) {
    struct heard_stream *one = heard_find(heard, model, a), *other = heard_find(heard, model, b);
    assert_true(one != NULL && other != NULL && one->n >= i + n && other->n >= j + n);
    for (size_t k = 0; k < n; k++)
        if (memcmp(heard_mean(heard_at(one, i + k)), heard_mean(heard_at(other, j + k)), 6 * sizeof(double)) != 0)
            fail_msg("%s: forecast %zu of %s is not %zu of %s", model, i + k, a, j + k, b);
}

/* Each forecast's `primed` is its step less those before the latest reset. */
static void expect_primed(const struct heard *heard, const char *model, const char *stream, size_t n,
                          const uint64_t *resets) {
    struct heard_stream *of = heard_find(heard, model, stream);
    assert_non_null(of);
    assert_int_equal(of->n, n);
    uint64_t since = 0;
    for (size_t i = 0; i < n; i++) {
        const struct heard_forecast *forecast = heard_at(of, i);
        if (resets != NULL && *resets != 0 && forecast->step == *resets + 1)
            since = *resets++;
        if (forecast->primed != forecast->step - since)
            fail_msg("%s of %s: step %d, primed %d", model, stream, (int)forecast->step, (int)forecast->primed);
    }
}

static const json_t *reset_event(struct heard *heard, size_t skip, const char *stream, const char *cause,
                                 int64_t step) {
    const json_t *event = heard_event(heard, "reset", skip, 10);
    assert_string_equal(json_string_value(json_object_get(event, "stream")), stream);
    assert_string_equal(json_string_value(json_object_get(event, "cause")), cause);
    assert_int_equal(json_integer_value(json_object_get(event, "step")), step);
    return event;
}

/* ---- by gap --------------------------------------------------------------------------------- */

static void a_gap_begins_a_state_anew(void **state) {
    (void)state;
    enum { BEFORE = 200, AFTER = 30 };
    struct scene scene;
    open_scene(&scene);
    /* All at once, so that many are pending when the gap comes. A pause of just gap_after is none. */
    for (int step = 0; step < BEFORE; step++)
        feed_step(scene.ticks, "gap/a", midnight + (step + (step > 50) * 9) * second, step);
    for (int step = 0; step < AFTER; step++) {
        feed_step(scene.ticks, "gap/a", midnight + (BEFORE + 9 + 10 + step) * second, step);
        feed_step(scene.ticks, "gap/b", midnight + step * second, step);
    }
    heard_until(scene.heard, BEFORE + 2 * AFTER);
    expect_primed(scene.heard, "gap", "gap/a", BEFORE + AFTER, (const uint64_t[]){BEFORE, 0});
    expect_primed(scene.heard, "gap", "gap/b", AFTER, NULL);
    expect_same_means(scene.heard, "gap", "gap/a", BEFORE, "gap/b", 0, AFTER);
    struct heard_stream *heard = heard_find(scene.heard, "gap", "gap/a");
    for (size_t i = 0; i < heard->n; i++)
        assert_int_equal((heard_at(heard, i)->flags & WIRE_FLAG(GAP)) != 0, i == BEFORE);
    reset_event(scene.heard, 0, "gap/a", "gap", BEFORE);
    daemon_expect_count(scene.daemon, "resets.gap", 1);
    daemon_expect_count(scene.daemon, "resets.command", 0);
    close_scene(&scene);
}

/* What closes a step lies behind the gap; the step does not. */
static void of_intervals_the_first_one_behind_it(void **state) {
    (void)state;
    enum { BEFORE = 20, AFTER = 20 };
    struct scene scene;
    open_scene(&scene);
    for (int step = 0; step < BEFORE; step++)
        feed_step(scene.ticks, "every/a", midnight + step * second, step);
    for (int step = 0; step <= AFTER; step++) {
        feed_step(scene.ticks, "every/a", midnight + (BEFORE + 1 + step) * second, step);
        feed_step(scene.ticks, "every/b", midnight + step * second, step);
    }
    heard_until(scene.heard, BEFORE + 2 * AFTER);
    expect_primed(scene.heard, "every", "every/a", BEFORE + AFTER, (const uint64_t[]){BEFORE, 0});
    expect_same_means(scene.heard, "every", "every/a", BEFORE, "every/b", 0, AFTER);
    reset_event(scene.heard, 0, "every/a", "gap", BEFORE);
    close_scene(&scene);
}

/* ---- by time -------------------------------------------------------------------------------- */

static void a_state_begins_anew_at_midnight(void **state) {
    (void)state;
    enum { STEPS = 100, HOUR = 3600 };
    struct scene scene;
    open_scene(&scene);
    /* From 5 hours before to 95 hours behind it; the second stream begins there. */
    for (int step = 0; step < STEPS; step++)
        feed_step(scene.ticks, "a", midnight + (step - 5) * HOUR * second, step);
    for (int step = 5; step < STEPS; step++)
        feed_step(scene.ticks, "b", midnight + (step - 5) * HOUR * second, step);
    heard_until(scene.heard, 2 * (2 * STEPS - 5));
    expect_primed(scene.heard, "day", "a", STEPS, (const uint64_t[]){5, 29, 53, 77, 0});
    expect_primed(scene.heard, "day", "b", STEPS - 5, (const uint64_t[]){24, 48, 72, 0});
    expect_same_means(scene.heard, "day", "a", 5, "b", 0, STEPS - 5);
    /* The other model of the class goes on. */
    expect_primed(scene.heard, "plain", "a", STEPS, NULL);
    daemon_expect_count(scene.daemon, "resets.time", 4 + 3);
    assert_int_equal(heard_count_events(scene.heard, "reset"), 0);
    close_scene(&scene);
}

/* ---- by command ----------------------------------------------------------------------------- */

static void feed_all(struct scene *scene, int from, int to) {
    for (int step = from; step < to; step++)
        for (const char *const *name = (const char *const[]){"a", "b", "gap/c", NULL}; *name != NULL; name++)
            feed_step(scene->ticks, *name, midnight + step * second, step);
}

static void commands_reset_one_some_or_all(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    size_t events = 0;
    for (int round = 0; round < 5; round++) {
        feed_all(&scene, 10 * round, 10 * round + 10);
        heard_until(scene.heard, (size_t)(50 * (round + 1)));
        int64_t step = 10 * round + 10;
        if (round == 0) {
            daemon_command(scene.daemon, "{\"cmd\":\"reset\",\"stream\":\"a\"}");
            assert_null(json_object_get(reset_event(scene.heard, events++, "a", "command", step), "model"));
        } else if (round == 1) {
            daemon_command(scene.daemon, "{\"cmd\":\"reset\",\"stream\":\"b\",\"model\":\"day\"}");
            const json_t *event = reset_event(scene.heard, events++, "b", "command", step);
            assert_string_equal(json_string_value(json_object_get(event, "model")), "day");
        } else if (round == 2) {
            daemon_command(scene.daemon, "{\"cmd\":\"reset\",\"model\":\"plain\"}");
            heard_event(scene.heard, "reset", ++events, 10);
            events++;
        } else if (round == 3) {
            daemon_command(scene.daemon, "{\"cmd\":\"reset\",\"all\":true}");
            heard_event(scene.heard, "reset", events + 2, 10);
        }
    }
    const struct {
        const char *model, *stream;
        uint64_t resets[4];
    } cases[] = {
        {"plain", "a", {10, 30, 40}}, {"day", "a", {10, 40}}, {"plain", "b", {30, 40}},
        {"day", "b", {20, 40}},       {"gap", "gap/c", {40}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_primed(scene.heard, cases[i].model, cases[i].stream, 50, cases[i].resets);
    expect_same_means(scene.heard, "plain", "a", 30, "b", 30, 20);
    daemon_expect_count(scene.daemon, "resets.command", 1 + 1 + 2 + 3);
    close_scene(&scene);
}

/* ---- the forecast command ------------------------------------------------------------------- */

/* Runs `forecast ctl ...` in the daemon's folder. Returns its exit code; what it wrote is in output. */
static char output[1 << 16];
static int ctl(const struct scene *scene, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int ctl(const struct scene *scene, const char *format, ...) {
    char command[2048], here[512], arguments[1024];
    const char *build = getenv("BUILD") != NULL ? getenv("BUILD") : "build";
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    assert_non_null(getcwd(here, sizeof here));
    if (build[0] == '/')
        here[0] = '\0';
    snprintf(command, sizeof command, "cd %s && %s%s%s/forecast ctl --control %s %s 2>&1", scene->daemon->directory,
             here, here[0] != '\0' ? "/" : "", build, scene->daemon->control, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(output, 1, sizeof output - 1, pipe);
    output[n] = '\0';
    return WEXITSTATUS(pclose(pipe));
}

static void expect_ctl(const struct scene *scene, const char *arguments, int code, const char *says) {
    int got = ctl(scene, "%s", arguments);
    if (got != code || strstr(output, says) == NULL)
        fail_msg("ctl %s: exit %d: %s", arguments, got, output);
}

/* One stream's state in another one's slot: from there on both forecast the same, bit for bit. */
static void a_state_is_carried_by_commands(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    for (int step = 0; step < 50; step++)
        feed_step(scene.ticks, "from", midnight + step * second, step);
    for (int step = 0; step < 20; step++) {
        feed_step(scene.ticks, "to", midnight + step * second, 3 * step + 1);
        feed_step(scene.ticks, "beside", midnight + step * second, 5 * step);
    }
    heard_until(scene.heard, 2 * (50 + 20 + 20));
    assert_int_equal(ctl(&scene, "state beside plain --json"), 0);
    char *beside = strdup(output);
    assert_int_equal(ctl(&scene, "state to day --json"), 0);
    char *other_model = strdup(output);
    assert_int_equal(ctl(&scene, "state from plain --json > state.json"), 0);
    expect_ctl(&scene, "set-state to plain state.json", 0, "primed");
    assert_int_equal(ctl(&scene, "state beside plain --json"), 0);
    assert_string_equal(output, beside); /* no other slot has changed */
    assert_int_equal(ctl(&scene, "state to day --json"), 0);
    assert_string_equal(output, other_model);
    for (int step = 0; step < 60; step++) {
        feed_step(scene.ticks, "from", midnight + (100 + step) * second, step);
        feed_step(scene.ticks, "to", midnight + (100 + step) * second, step);
    }
    heard_until(scene.heard, 2 * (50 + 20 + 20 + 120));
    expect_same_means(scene.heard, "plain", "from", 50, "to", 20, 60);
    expect_primed(scene.heard, "plain", "to", 80, (const uint64_t[]){20, 0});
    expect_primed(scene.heard, "plain", "from", 110, NULL);
    struct heard_stream *day = heard_find(scene.heard, "day", "from"), *to = heard_find(scene.heard, "day", "to");
    assert_int_not_equal(memcmp(heard_mean(heard_at(day, 50)), heard_mean(heard_at(to, 20)), 6 * sizeof(double)), 0);
    /* A part of it, from standard input; and what a person sees. */
    assert_int_equal(ctl(&scene, "state from plain --json | sed -n 's/.*\\(\"lstm\":\\)/{\\1/p' > part.json; true"),
                     0);
    expect_ctl(&scene, "state from plain", 0, "lstm[1]");
    free(beside);
    free(other_model);
    close_scene(&scene);
}

static void wrong_use_is_told(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    feed_step(scene.ticks, "a", midnight, 0);
    heard_until(scene.heard, 2);
    static const struct {
        const char *arguments;
        int code;
        const char *says;
    } cases[] = {
        {"reset", 2, "reset needs the name of a stream, or --all"},
        {"reset --all a", 2, "\"a\" is too much"},
        {"end a --model m", 2, "--all and --model are of reset"},
        {"state a", 2, "state needs the name of a model"},
        {"set-state a plain", 2, "set-state needs the name of a file"},
        {"save plain", 2, "save needs the name of a file"},
        {"reset a --model gap", 1, "does not serve this stream"},
        {"reset --all --model none", 1, "no such model"},
        {"state nobody plain", 1, "no such stream"},
        {"set-state a plain nowhere.json", 1, "nowhere.json: No such file"},
        {"set-state a plain config.yaml", 1, "config.yaml"},
        {"set-state a plain - </dev/null", 1, "-:"},
        {"set-state a plain - <<< '[]'", 1, "not a JSON object"},
        {"save plain model.zip", 1, "model.zip: models are written to files that end in .keras or .h5"},
        {"save plain no/folder.keras", 1, "no/folder.keras"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strstr(cases[i].arguments, "<<<") == NULL && strstr(cases[i].arguments, "config.yaml") == NULL)
            expect_ctl(&scene, cases[i].arguments, cases[i].code, cases[i].says);
    assert_int_equal(ctl(&scene, "state a plain > /dev/null; echo '{\"none\":[[1]]}' > wrong.json"), 0);
    expect_ctl(&scene, "set-state a plain wrong.json", 1, "the model has no layer none");
    assert_int_equal(ctl(&scene, "state a plain > /dev/null; echo '[]' > wrong.json"), 0);
    expect_ctl(&scene, "set-state a plain wrong.json", 1, "wrong.json: not a JSON object");
    expect_ctl(&scene, "scores a plain", 0, "COVERAGE");
    expect_ctl(&scene, "scores a", 1, "several models");
    expect_ctl(&scene, "scores", 2, "needs the name of a stream");
    expect_ctl(&scene, "pause a", 0, "done");
    expect_ctl(&scene, "streams", 0, "PAUSED");
    expect_ctl(&scene, "resume a", 0, "done");
    expect_ctl(&scene, "reset --all", 0, "done");
    expect_ctl(&scene, "reset a --model day", 0, "done");
    close_scene(&scene);
}

/* ---- saving --------------------------------------------------------------------------------- */

/* A daemon that serves the file forecasts what the one does that wrote it. */
static void a_saved_model_is_served_alike(void **state) {
    (void)state;
    enum { STEPS = 40 };
    struct scene scene;
    open_scene(&scene);
    expect_ctl(&scene, "save plain model.keras", 0, "version");
    expect_ctl(&scene, "save plain model.h5", 0, "version");
    char rest[1024];
    snprintf(rest, sizeof rest,
             "streams:\n  - {class: plain, pattern: \"*\", features: [a, b]}\nmodels:\n"
             "  - {name: plain, class: plain, file: %s/model.keras, train: false, training: {burn_in: 4}}\n",
             scene.daemon->directory);
    const struct daemon_setup setup = {.rest = rest};
    struct daemon *other = daemon_run(&setup);
    struct heard *heard = heard_new(other, "forecast/plain/", 15, 1);
    void *ticks = daemon_connect(other, ZMQ_PUSH, other->ticks);
    for (int step = 0; step < STEPS; step++) {
        feed_step(scene.ticks, "a", midnight + step * second, step);
        feed_step(ticks, "a", midnight + step * second, step);
    }
    heard_until(scene.heard, 2 * STEPS);
    heard_until(heard, STEPS);
    heard_compare(heard_find(scene.heard, "plain", "a"), 0, heard_find(heard, "plain", "a"), 0, STEPS);
    heard_free(heard);
    daemon_stop(other);
    daemon_free(&other);
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_gap_begins_a_state_anew, scenario_teardown),
        cmocka_unit_test_teardown(of_intervals_the_first_one_behind_it, scenario_teardown),
        cmocka_unit_test_teardown(a_state_begins_anew_at_midnight, scenario_teardown),
        cmocka_unit_test_teardown(commands_reset_one_some_or_all, scenario_teardown),
        cmocka_unit_test_teardown(a_state_is_carried_by_commands, scenario_teardown),
        cmocka_unit_test_teardown(wrong_use_is_told, scenario_teardown),
        cmocka_unit_test_teardown(a_saved_model_is_served_alike, scenario_teardown),
    };
    scenario_begin(180);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
