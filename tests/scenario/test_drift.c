/*
 * Streams change their law in the middle: drift is told, a challenger is trained and promoted, and the error comes
 * back to what a model reaches that has never known the old law. Decisions are told and kept on the way.
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
#include <stdio.h>
#include <string.h>
#include <zmq.h>

enum { N_STREAMS = 8, HORIZON = 4, CHANGE = 1000, JUDGED = 300, MAX_STEPS = 6000, AT_ONCE = 20 };

#define TRAINING(first) \
    "    combine: network\n    horizon: 4\n    layers: [{lstm: 16}]\n    seed: 3\n" \
    "    training: {window: 64, burn_in: 16, unroll: 32, batch: 16, epochs: 30, learning_rate: 0.01, first_after: " first \
    ", new_steps: 100}\n"

static const char configuration[] = "streams:\n"
                                    "  - {class: c, pattern: \"c/*\", features: [x], history: 600}\n"
                                    "models:\n"
                                    "  - name: live\n"
                                    "    class: c\n"
                                    "    retrain_on: drift\n"
                                    "    retrain_every: 15h\n" /* 900 steps */
    TRAINING("500") "  - name: fresh\n"
                    "    class: c\n"
                    "    retrain_every: 0\n" TRAINING("1000000");

static double series[N_STREAMS][MAX_STEPS];

static int make_series(void **state) {
    (void)state;
    struct rng rng = {23};
    for (int s = 0; s < N_STREAMS; s++) {
        double phase = 20 * rng_uniform(&rng);
        for (int k = 0; k < MAX_STEPS; k++) {
            double before = sin(2 * 3.141592653589793 * (k + phase) / 16);
            double angle = 2 * 3.141592653589793 * (k + phase) / 11;
            double after = 1.2 * sin(angle) + 0.8 * sin(2 * angle + 1);
            series[s][k] = 20 + 3 * (k < CHANGE ? before : after) + 0.3 * rng_normal(&rng);
        }
    }
    return 0;
}

struct scene {
    struct daemon *daemon;
    struct heard *heard;
    void *socket;
    int step;
};

static bool is_training(struct scene *scene, const char *model) {
    json_t *map = daemon_model(scene->daemon, model);
    bool training = strcmp(json_string_value(json_object_get(map, "training")), "idle") != 0;
    json_decref(map);
    return training;
}

/* Steps of all streams; who learns is waited for, as the steps go a thousand times faster than they would. */
static void feed(struct scene *scene, int n) {
    struct wire_bundle bundle = {0};
    for (int to = scene->step + n; scene->step < to;) {
        for (int i = 0; i < AT_ONCE; i++, scene->step++)
            for (int s = 0; s < N_STREAMS; s++) {
                char name[32];
                int length = snprintf(name, sizeof name, "c/%d", s);
                int64_t t = INT64_C(1700000000000000000) + scene->step * INT64_C(60000000000);
                assert_int_equal(
                    wire_bundle_add(&bundle, (struct wire_text){name, (size_t)length}, t, &series[s][scene->step], 1),
                    0);
            }
        struct wire_text message = wire_bundle_message(&bundle);
        assert_true(zmq_send(scene->socket, message.at, message.n, 0) >= 0);
        wire_bundle_clear(&bundle);
        heard_until(scene->heard, (size_t)(2 * N_STREAMS * scene->step));
        scenario_sleep(15); /* the daemon looks ten times a second whether something is due */
        int64_t until = scenario_now() + 1000 * scenario_count(60, 300);
        while (is_training(scene, "live") || is_training(scene, "fresh")) {
            assert_true(scenario_now() < until);
            heard_next(scene->heard, 5);
        }
    }
    wire_bundle_fini(&bundle);
}

/* The mean absolute error of what was published at steps [from, to), over all steps ahead. */
static double error_of(const struct scene *scene, const char *model, int from, int to) {
    double sum = 0;
    int n = 0;
    for (int s = 0; s < N_STREAMS; s++) {
        char name[32];
        snprintf(name, sizeof name, "c/%d", s);
        const struct heard_stream *of = heard_find(scene->heard, model, name);
        for (int k = from; k < to; k++) {
            const struct heard_forecast *forecast = heard_at(of, (size_t)k);
            assert_int_equal(forecast->step, k + 1);
            for (int h = 1; h <= HORIZON && k + h < scene->step; h++, n++)
                sum += fabs(heard_mean(forecast)[h - 1] - series[s][k + h]);
        }
    }
    return sum / n;
}

static void expect_told(struct scene *scene, const char *kind) {
    if (heard_count_events(scene->heard, kind) == 0)
        fail_msg("no event %s", kind);
}

static void the_law_changes(void **state) {
    (void)state;
    struct scene scene = {.step = 0};
    scene.daemon =
        daemon_run(&(struct daemon_setup){.workers = 2, .bus = "  send_hwm: 1000000\n", .rest = configuration});
    scene.heard = heard_all(scene.daemon);
    scene.socket = daemon_connect(scene.daemon, ZMQ_PUSH, scene.daemon->ticks);

    feed(&scene, CHANGE);
    assert_true(daemon_model_count(scene.daemon, "live", "promoted") >= 1);
    assert_int_equal(daemon_model_count(scene.daemon, "live", "drifts"), 0);
    int64_t promoted = daemon_model_count(scene.daemon, "live", "promoted");
    double before = error_of(&scene, "live", CHANGE - 200, CHANGE);

    /* Drift is seen, a challenger comes and serves. */
    while (daemon_model_count(scene.daemon, "live", "drifts") == 0) {
        assert_true(scene.step < CHANGE + 600); /* the daemon asks its workers five times a second */
        feed(&scene, AT_ONCE);
    }
    int seen = scene.step;
    double worst = error_of(&scene, "live", CHANGE, seen);
    while (daemon_model_count(scene.daemon, "live", "promoted") == promoted) {
        assert_true(scene.step < CHANGE + 1000);
        feed(&scene, AT_ONCE);
    }
    int took = scene.step;
    expect_told(&scene, "drift");
    expect_told(&scene, "promoted");

    /* A model that has known nothing else, when the history knows nothing else. */
    feed(&scene, CHANGE + 1500 - scene.step);
    daemon_command(scene.daemon, "{\"cmd\":\"retrain\",\"model\":\"fresh\"}");
    while (daemon_model_count(scene.daemon, "fresh", "promoted") == 0)
        feed(&scene, AT_ONCE);
    feed(&scene, 2 * AT_ONCE); /* every slot has been replayed */
    int from = scene.step;
    feed(&scene, JUDGED);
    double live = error_of(&scene, "live", from, scene.step - HORIZON);
    double fresh = error_of(&scene, "fresh", from, scene.step - HORIZON);
    print_message("error %.3f; %.3f after the change; drift told after %d steps, a new version after %d, %d in all; "
                  "then %.3f, of a fresh model %.3f: %.2f times\n",
                  before, worst, seen - CHANGE, took - CHANGE,
                  (int)daemon_model_count(scene.daemon, "live", "promoted"), live, fresh, live / fresh);
    assert_true(worst > 1.5 * before && live <= 1.1 * fresh);

    json_t *reply = daemon_ask(scene.daemon, "{\"cmd\":\"decisions\",\"model\":\"live\"}");
    assert_true(json_array_size(json_object_get(reply, "decisions")) >= 2);
    json_decref(reply);
    heard_free(scene.heard);
    daemon_free(&scene.daemon);
}

int main(void) {
    scenario_begin(140);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_law_changes, scenario_teardown),
    };
    return cmocka_run_group_tests_name("drift", tests, make_series, NULL);
}
