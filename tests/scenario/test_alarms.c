/* What the daemon tells of its forecasts: alerts, verdicts, scores; and that it is quiet in a pause. */
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
#include <zmq.h>

static const char configuration[] =
    "streams:\n"
    "  - {class: pump, pattern: \"pump/*\", features: [pressure, flow], every: 1s, history: 128}\n"
    "  - {class: season, pattern: \"season/*\", features: [x], history: 128}\n"
    "models:\n"
    "  - {name: pump, class: pump, horizon: 4, combine: last_value, train: false, layers: [],\n"
    "     alerts: [{target: pressure, above: 50, within: 3s}, {target: flow, below: -50, probability: 90%}]}\n"
    "  - {name: season, class: season, horizon: 1, period: 2, combine: seasonal, train: false, layers: [], levels: []}\n";

struct scene {
    struct daemon *daemon;
    void *ticks;
    struct heard *heard;
    int steps; /* of pump/1 */
};

static void open_scene(struct scene *scene) {
    const struct daemon_setup setup = {.bus = "  events_per_second: 1000\n", .rest = configuration};
    scene->daemon = daemon_run(&setup);
    scene->heard = heard_all(scene->daemon);
    scene->ticks = daemon_connect(scene->daemon, ZMQ_PUSH, scene->daemon->ticks);
    scene->steps = 0;
}

static void close_scene(struct scene *scene) {
    heard_free(scene->heard);
    daemon_stop(scene->daemon);
    daemon_free(&scene->daemon);
}

/* n ticks of pump/1, and then their forecasts: of an interval, when the next one begins. */
static void pump(struct scene *scene, int n, double pressure) {
    for (int i = 0; i < n; i++, scene->steps++) {
        const double values[] = {pressure + sin(17.0 * scene->steps), cos(5.0 * scene->steps)};
        feed_tick(scene->ticks, "pump/1", scene->steps * INT64_C(1000000000), values, 2);
    }
    heard_until(scene->heard, (size_t)scene->steps - 1);
}

static double number_of(const json_t *map, const char *key) {
    assert_true(json_is_number(json_object_get(map, key)));
    return json_number_value(json_object_get(map, key));
}

static void expect_alert(struct scene *scene, size_t skip, bool raised) {
    const json_t *event = heard_event(scene->heard, "alert", skip, 10);
    assert_string_equal(json_string_value(json_object_get(event, "stream")), "pump/1");
    assert_string_equal(json_string_value(json_object_get(event, "model")), "pump");
    assert_string_equal(json_string_value(json_object_get(event, "target")), "pressure");
    assert_int_equal(json_is_true(json_object_get(event, "raised")), raised);
    assert_true(number_of(event, "above") == 50 && number_of(event, "threshold") == 0.5);
    assert_int_equal(number_of(event, "probability") >= 0.5, raised);
    assert_true(number_of(event, "h") >= 1 && number_of(event, "h") <= 3);
}

static void expect_scores(const json_t *scores, int n_steps) {
    assert_int_equal(json_array_size(scores), n_steps);
    for (int i = 0; i < n_steps; i++) {
        const json_t *score = json_array_get(scores, (size_t)i);
        assert_true(number_of(score, "n") > 100);
        const json_t *recent = json_object_get(score, "recent"), *all = json_object_get(score, "all");
        assert_true(number_of(recent, "mae") == number_of(recent, "mae_last_value"));
        assert_true(fabs(number_of(recent, "skill_last_value")) < 1e-6);
        assert_true(number_of(all, "rmse") >= number_of(all, "mae"));
        assert_true(json_is_null(json_object_get(all, "mae_seasonal"))); /* no period */
        assert_int_equal(json_array_size(json_object_get(all, "coverage")), 2);
        assert_true(json_number_value(json_array_get(json_object_get(all, "coverage"), 1)) > 0.7);
    }
}

static void alerts_and_scores(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    pump(&scene, 60, 10);
    assert_int_equal(heard_count_events(scene.heard, "alert"), 0);
    pump(&scene, 40, 100);
    expect_alert(&scene, 0, true);
    pump(&scene, 40, 10);
    expect_alert(&scene, 1, false);

    daemon_command(scene.daemon, "{\"cmd\":\"pause\",\"stream\":\"pump/1\"}");
    heard_event(scene.heard, "paused", 0, 10);
    pump(&scene, 30, 1e6);
    const struct heard_stream *of = heard_find(scene.heard, "pump", "pump/1");
    assert_true((heard_at(of, of->n - 1)->flags & WIRE_FLAG(PAUSED)) != 0);
    daemon_command(scene.daemon, "{\"cmd\":\"resume\",\"stream\":\"pump/1\"}");
    heard_event(scene.heard, "resumed", 0, 10);
    assert_int_equal(heard_count_events(scene.heard, "alert"), 2);
    /* The interval that was open when it ended closes outside of it, and may raise one; then what is usual. */
    pump(&scene, 30, 10);
    of = heard_find(scene.heard, "pump", "pump/1");
    assert_true((heard_at(of, of->n - 1)->flags & WIRE_FLAG(PAUSED)) == 0);

    json_t *reply = daemon_ask(scene.daemon, "{\"cmd\":\"scores\",\"stream\":\"pump/1\",\"forecasts\":true}");
    assert_true(json_is_true(json_object_get(reply, "ok")));
    assert_string_equal(json_string_value(json_object_get(reply, "model")), "pump");
    assert_int_equal(json_integer_value(json_object_get(reply, "step")), scene.steps - 1);
    expect_scores(json_object_get(reply, "scores"), 3);
    expect_scores(json_object_get(json_object_get(reply, "targets"), "pressure"), 3);
    expect_scores(json_object_get(json_object_get(reply, "targets"), "flow"), 3);
    /* Those of 1, 2 and 4 steps ahead, the latest of each made at the latest step, as they were published. */
    const json_t *forecasts = json_object_get(reply, "forecasts");
    assert_int_equal(json_array_size(forecasts), 1 + 2 + 4);
    const json_t *last = json_array_get(forecasts, 6);
    assert_true(number_of(last, "h") == 4 && number_of(last, "step") == scene.steps - 1);
    const double *mean = heard_mean(heard_at(of, of->n - 1)) + 3 * 2;
    const json_t *interval = json_array_get(json_object_get(last, "intervals"), 1);
    for (size_t j = 0; j < 2; j++) {
        double lower = json_number_value(json_array_get(json_array_get(interval, 1), j));
        double upper = json_number_value(json_array_get(json_array_get(interval, 2), j));
        assert_true(json_number_value(json_array_get(json_object_get(last, "mean"), j)) == mean[j]);
        assert_true(lower < mean[j] && mean[j] < upper);
    }
    json_decref(reply);
    close_scene(&scene);
}

/* A season of two steps that ends: its forecasts are then worse than the last value. */
static void forecasts_that_become_worse(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    for (int k = 0; k < 4000; k++) {
        double value = k < 3000 ? k % 2 : sin(k / 3.0);
        feed_tick(scene.ticks, "season/1", k + 1, &value, 1);
    }
    const json_t *event = heard_event(scene.heard, "degraded", 0, 20);
    assert_string_equal(json_string_value(json_object_get(event, "stream")), "season/1");
    assert_string_equal(json_string_value(json_object_get(event, "model")), "season");
    assert_non_null(strstr(json_string_value(json_object_get(event, "verdict")), "worse_than_"));
    assert_true(number_of(event, "step") > 3000);
    close_scene(&scene);
}

int main(void) {
    scenario_begin(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(alerts_and_scores, scenario_teardown),
        cmocka_unit_test_teardown(forecasts_that_become_worse, scenario_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
