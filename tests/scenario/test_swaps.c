/*
 * A hundred versions take over, trained and rolled back, while ticks come as fast as they are answered: every tick of
 * every stream has one forecast, in order, and no version goes back. What the advances took of the processor
 * meanwhile is printed beside what they take without, and is bounded generously, as the machine is not the test's
 * alone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/spent.h"
#include "engine/random.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { STREAMS = 64, FEATURES = 2, UNDER_WAY = 24 };

/* One short epoch at a time: each training is better than the one before, and none is done. */
static const char configuration[] =
    "streams:\n"
    "  - {class: c, pattern: '*', features: [x, y], history: 384}\n"
    "models:\n"
    "  - name: m\n"
    "    class: c\n"
    "    horizon: 4\n"
    "    layers: [{lstm: 24}]\n"
    "    batch_size: 32\n"
    "    retrain_every: 0s\n"
    "    training: {window: 32, burn_in: 8, unroll: 16, batch: 16, epochs: 1, optimizer: sgd, learning_rate: 0.02,\n"
    "               patience: 0, min_steps: 32, first_after: 100000, max_windows: 128, margin: 0%}\n";

struct scene {
    struct daemon *daemon;
    struct heard *heard;
    void *socket;
    int steps;                 /* of each stream, fed */
    uint64_t seen[STREAMS];    /* forecasts that have been looked at */
    uint64_t version[STREAMS]; /* of the latest */
    uint64_t changes[STREAMS];
};

/* ---- load --------------------------------------------------------------------------------------- */

static const char *name_of(int stream, char name[16]) {
    snprintf(name, 16, "s%d", stream);
    return name;
}

static void send_step(struct scene *scene) {
    struct wire_bundle bundle = {0};
    for (int s = 0; s < STREAMS; s++) {
        const int place[] = {s, scene->steps};
        struct rng rng = {rng_hash(7, place, sizeof place)};
        double values[FEATURES];
        char name[16];
        for (int f = 0; f < FEATURES; f++)
            values[f] = s + sin(0.4 * scene->steps + 0.1 * s + f) + 0.1 * rng_normal(&rng);
        name_of(s, name);
        assert_int_equal(wire_bundle_add(&bundle, (struct wire_text){name, strlen(name)},
                                         INT64_C(1600000000000000000) + scene->steps * INT64_C(1000000000), values,
                                         FEATURES),
                         0);
    }
    struct wire_text message = wire_bundle_message(&bundle);
    assert_true(zmq_send(scene->socket, message.at, message.n, 0) >= 0);
    wire_bundle_fini(&bundle);
    scene->steps++;
}

/* What has come since: heard has asserted that no step is missing and none out of order. */
static void look(struct scene *scene) {
    for (int s = 0; s < STREAMS; s++) {
        char name[16];
        const struct heard_stream *stream = heard_find(scene->heard, "m", name_of(s, name));
        for (size_t i = 0; stream != NULL && i < stream->n; i++) {
            const struct heard_forecast *forecast = heard_at(stream, i);
            if (forecast->step <= scene->seen[s])
                continue; /* the latest of those before */
            assert_int_equal(forecast->step, ++scene->seen[s]);
            assert_true(forecast->version >= scene->version[s]); /* never back */
            scene->changes[s] += forecast->version > scene->version[s];
            scene->version[s] = forecast->version;
        }
    }
    heard_forget(scene->heard);
}

/* A step more of all streams; a few are always under way. */
static void pump(struct scene *scene) {
    send_step(scene);
    if (scene->steps > UNDER_WAY)
        heard_until(scene->heard, (size_t)(scene->steps - UNDER_WAY) * STREAMS);
    look(scene);
}

static void pump_until_served(struct scene *scene, uint64_t version) {
    for (bool all = false; !all;) {
        pump(scene);
        all = true;
        for (int s = 0; s < STREAMS; s++)
            all &= scene->version[s] >= version;
    }
}

/* ---- versions ----------------------------------------------------------------------------------- */

static void model_numbers(struct scene *scene, uint64_t *ret_version, int64_t *ret_jobs) {
    json_t *model = daemon_model(scene->daemon, "m");
    *ret_version = (uint64_t)json_integer_value(json_object_get(model, "version"));
    *ret_jobs = json_integer_value(json_object_get(model, "jobs"));
    json_decref(model);
}

/* Until a training has given a version that is better than the one that serves. */
static uint64_t train_one(struct scene *scene) {
    uint64_t before, version;
    int64_t jobs, done;
    model_numbers(scene, &before, &jobs);
    for (int trainings = 0; trainings < 10; trainings++) {
        daemon_command(scene->daemon, "{\"cmd\":\"retrain\",\"model\":\"m\"}");
        do {
            for (int i = 0; i < 8; i++)
                pump(scene);
            model_numbers(scene, &version, &done);
        } while (done == jobs);
        jobs = done;
        if (version > before)
            return version;
    }
    fail_msg("no training gives a better version than %d", (int)before);
    return 0;
}

static uint64_t roll_back(struct scene *scene) {
    uint64_t version;
    int64_t jobs;
    daemon_command(scene->daemon, "{\"cmd\":\"rollback\",\"model\":\"m\"}");
    model_numbers(scene, &version, &jobs);
    return version;
}

/* ---- processor time ----------------------------------------------------------------------------- */

static struct spent_counts spent_so_far(struct scene *scene, const char *what) {
    struct spent_counts counts = {0};
    json_t *reply = daemon_ask(scene->daemon, "{\"cmd\":\"status\"}");
    const json_t *map = json_object_get(json_object_get(reply, "spent"), what);
    counts.n = (uint64_t)json_integer_value(json_object_get(map, "n"));
    counts.ns = (uint64_t)json_integer_value(json_object_get(map, "ns"));
    for (size_t p = 0; p < json_array_size(json_object_get(map, "parts")); p++)
        counts.parts[p] = (uint64_t)json_integer_value(json_array_get(json_object_get(map, "parts"), p));
    json_decref(reply);
    return counts;
}

static struct spent_counts between(struct spent_counts before, struct spent_counts after) {
    after.n -= before.n;
    after.ns -= before.ns;
    for (int p = 0; p < SPENT_PARTS; p++)
        after.parts[p] -= before.parts[p];
    return after;
}

/* us that the share of them took at most. */
static double quantile(const struct spent_counts *counts, double share) {
    uint64_t n = 0;
    for (int p = 0; p < SPENT_PARTS - 1; p++)
        if ((double)(n += counts->parts[p]) >= share * (double)counts->n)
            return (double)spent_part_end(p) / 1000;
    return INFINITY;
}

static void print_spent(const char *what, const struct spent_counts *counts) {
    print_message("%-28s %6d measured, mean %.0f us, half at most %.0f, 99 %% %.0f, 99.9 %% %.0f, all %.0f\n", what,
                  (int)counts->n, (double)counts->ns / 1000 / (double)counts->n, quantile(counts, 0.5),
                  quantile(counts, 0.99), quantile(counts, 0.999), quantile(counts, 1));
}

/* ---- the test ----------------------------------------------------------------------------------- */

static void a_hundred_versions_take_over_under_load(void **state) {
    (void)state;
    int swaps = scenario_count(100, 6), calm_steps = scenario_count(1000, 200);
    struct scene scene = {.daemon = daemon_run(&(struct daemon_setup){
                              .workers = 2, .bus = "  send_hwm: 1000000\n", .rest = configuration})};
    scene.heard = heard_new(scene.daemon, "bundle/m", 9, 1);
    scene.socket = daemon_connect(scene.daemon, ZMQ_PUSH, scene.daemon->ticks);
    while (scene.steps < 200)
        pump(&scene);
    pump_until_served(&scene, train_one(&scene)); /* everything is filled and warm */
    const struct spent_counts begun = spent_so_far(&scene, "advances");
    for (int i = 0; i < calm_steps; i++)
        pump(&scene);
    const struct spent_counts calm = spent_so_far(&scene, "advances"), idle = spent_so_far(&scene, "background");
    int steps = scene.steps;
    for (int s = 0; s < STREAMS; s++)
        scene.changes[s] = 0;
    for (int swap = 0; swap < swaps; swap++)
        pump_until_served(&scene, swap % 2 == 0 ? train_one(&scene) : roll_back(&scene));
    const struct spent_counts swapped = spent_so_far(&scene, "advances"), slices = spent_so_far(&scene, "background");
    heard_until(scene.heard, (size_t)scene.steps * STREAMS);
    look(&scene);
    for (int s = 0; s < STREAMS; s++) {
        assert_int_equal(scene.seen[s], scene.steps);
        assert_int_equal(scene.changes[s], swaps);
    }
    const struct spent_counts usual = between(begun, calm), during = between(calm, swapped),
                              others = between(idle, slices);
    print_message("%d versions took over in %d steps of %d streams; processor time of\n", swaps, scene.steps - steps,
                  STREAMS);
    print_spent("advances without takeovers", &usual);
    print_spent("advances while they happen", &during);
    print_spent("slices of takeovers and more", &others);
    assert_true(quantile(&during, 0.99) <= 4 * quantile(&usual, 0.9));
    daemon_stop(scene.daemon);
    heard_free(scene.heard);
    daemon_free(&scene.daemon);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_hundred_versions_take_over_under_load, scenario_teardown),
    };
    scenario_begin(180);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
