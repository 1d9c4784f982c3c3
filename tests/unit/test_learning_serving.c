/* Who serves: daemon/learning_serving.c and learning_live.c, with workers that stand still, whose part the test
 * plays. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/learning.h"

#include "daemon/log.h"
#include "daemon/worker_internal.h"
#include "engine/version_file.h"
#include "tests/support/bus_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

enum { WORKERS = 2 };

/* A model that first trains at 60 steps. */
#define REST(more) \
    "workers: 2\nstreams:\n  - {class: c, pattern: 'c/*', features: [a], history: 96}\n" \
    "models:\n  - name: m\n    class: c\n    horizon: 2\n    batch_size: 1\n    layers:\n      - lstm: 8\n" more \
    "    training: {window: 24, burn_in: 4, unroll: 12, first_after: 60, max_windows: 64, epochs: 40}\n"

struct scene {
    struct rig rig;
    uint64_t steps;
    uint64_t versions;                  /* the number of the latest that reached the workers */
    bool network;                       /* it has one */
    uint64_t shadow, trial;             /* the latest order for the shadow: 0: none */
    struct record_watch watch[WORKERS]; /* that wait for an answer */
    bool watched[WORKERS];
};

static void open_scene(struct scene *scene, const char *rest) {
    memset(scene, 0, sizeof *scene);
    const struct rig_setup setup = {
        .rest = rest, .bus = "  events_per_second: 1000\n", .idle = true, .idle_bytes = 65536, .learns = true};
    rig_open(&scene->rig, &setup);
}

static void say_steps(struct scene *scene, uint64_t steps) {
    scene->steps = steps;
    atomic_store(&scene->rig.workers[1]->most_steps[0], steps);
    atomic_store(&scene->rig.workers[1]->ticking[0].steps, steps);
}

/* Windows of a season, as a worker would copy them. */
static void fill_windows(struct scene *scene, struct windows *windows) {
    const struct config_model *of = &scene->rig.config->models[0];
    struct history *history = history_new(1, 96, 64);
    struct scaler scaler = {0};
    for (int t = 1; t <= 96; t++) {
        const double value = sin(0.5 * t);
        history_append(history, t, &value, false);
        scaler_update(&scaler, value);
    }
    struct windows_cursor cursor;
    if (windows_begin(&cursor, of, "c/1", history, history->n))
        while (windows_copy(windows, &cursor, history, &scaler))
            ;
    history_free(history);
}

/* What the bus has sent to a worker is done. */
static void play_worker(struct scene *scene, int w) {
    size_t n;
    struct ring *ring = worker_input(scene->rig.workers[w]);
    for (const void *at; (at = ring_peek(ring, &n)) != NULL; ring_consume(ring))
        switch (((const struct record *)at)->kind) {
        case RECORD_COLLECT:
            if (w == 0)
                fill_windows(scene, ((const struct record_windows *)at)->windows);
            learning_collected(scene->rig.learning, at);
            break;
        case RECORD_VERSION: {
            struct version *version = ((const struct record_version *)at)->version;
            scene->versions = version_number(version);
            scene->network = version_network(version) != NULL;
            version_release(version);
            break;
        }
        case RECORD_SHADOW: {
            const struct record_shadow *record = at;
            scene->shadow = record->version != NULL ? version_number(record->version) : 0;
            scene->trial = record->trial;
            version_release(record->version);
            break;
        }
        case RECORD_WATCH:
            scene->watch[w] = *(const struct record_watch *)at;
            scene->watched[w] = true;
            break;
        default: fail_msg("record %d", (int)((const struct record *)at)->kind);
        }
}

static void turn(struct scene *scene) {
    rig_turn(&scene->rig);
    for (int w = 0; w < WORKERS; w++)
        play_worker(scene, w);
}

static json_t *describe(const struct scene *scene) {
    json_t *list = learning_describe(scene->rig.learning), *map = json_incref(json_array_get(list, 0));
    json_decref(list);
    return map;
}

static json_int_t number_of(const struct scene *scene, const char *key) {
    json_t *map = describe(scene);
    json_int_t number = json_integer_value(json_object_get(map, key));
    json_decref(map);
    return number;
}

static void turn_until(struct scene *scene, const char *key, json_int_t least) {
    int64_t began = 0;
    for (turn(scene); number_of(scene, key) < least; turn(scene))
        if (!rig_wait(&began))
            fail_msg("%s is %d", key, (int)number_of(scene, key));
    turn(scene);
}

/* The kind of the latest decision; how many there were. */
static int decisions(const struct scene *scene, char kind[32]) {
    json_t *list = learning_decisions(scene->rig.learning, 0);
    int n = (int)json_array_size(list);
    const json_t *latest = n > 0 ? json_array_get(list, (size_t)n - 1) : NULL;
    snprintf(kind, 32, "%s", n > 0 ? json_string_value(json_object_get(latest, "kind")) : "");
    if (n > 0) {
        assert_true(json_is_integer(json_object_get(latest, "t")) &&
                    json_is_integer(json_object_get(latest, "version")));
        assert_true(strlen(json_string_value(json_object_get(latest, "text"))) > 10);
        assert_non_null(json_object_get(latest, "decision"));
    }
    json_decref(list);
    return n;
}

static void expect_decision(const struct scene *scene, int n, const char *kind) {
    char latest[32];
    assert_int_equal(decisions(scene, latest), n);
    assert_string_equal(latest, kind);
}

/* More steps come, and both workers have seen that: over `steps` steps, the mean errors of who serves and of who is
 * in the shadow, and errors of what was published. */
static void live(struct scene *scene, uint64_t steps, double serving, double shadow, double published) {
    int64_t began = 0;
    say_steps(scene, scene->steps + 1);
    for (turn(scene); !(scene->watched[0] && scene->watched[1]); turn(scene))
        assert_true(rig_wait(&began));
    for (int w = 0; w < WORKERS; w++) {
        struct live *seen = scene->watch[w].live;
        memset(seen, 0, sizeof *seen);
        seen->trial = scene->trial;
        seen->errors = (struct forecast_errors){published * 50, 50};
        for (uint64_t i = (uint64_t)w; i < steps; i += WORKERS) {
            double noise = 0.1 * sin((double)(i * i));
            loss_series_add(&seen->losses.serving, i, serving * (1 + noise), 1);
            loss_series_add(&seen->losses.shadow, i, shadow * (1 - noise), 1);
        }
        scene->watched[w] = false;
        learning_watched(scene->rig.learning, &scene->watch[w]);
    }
    turn(scene);
}

static void train(struct scene *scene, json_int_t jobs) {
    if (jobs == 1)
        say_steps(scene, 60);
    else
        assert_int_equal(learning_retrain(scene->rig.learning, 0), 0);
    turn_until(scene, "jobs", jobs);
}

/* ---- challengers -------------------------------------------------------------------------------- */

static void it_serves_at_once(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("    combine: network\n"));
    train(&scene, 1);
    expect_decision(&scene, 1, "promoted");
    assert_true(scene.versions == 1 && scene.network);
    assert_true(scene.shadow == 0 && scene.trial == 1); /* the baseline, version 0, is in its shadow */
    rig_close(&scene.rig);
}

static void it_waits_for_a_command(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("    promote: manual\n"));
    assert_int_equal(learning_promote(scene.rig.learning, 0), -1);
    train(&scene, 1);
    expect_decision(&scene, 1, "held");
    assert_true(scene.versions == 0 && number_of(&scene, "version") == 0);
    /* Nothing else is trained meanwhile, but on command: that takes its place. */
    say_steps(&scene, 1000);
    for (int i = 0; i < 5; i++)
        turn(&scene);
    assert_int_equal(number_of(&scene, "jobs"), 1);
    train(&scene, 2);
    expect_decision(&scene, 2, "held");
    assert_int_equal(learning_promote(scene.rig.learning, 0), 0);
    turn(&scene);
    expect_decision(&scene, 3, "promoted");
    assert_true(scene.versions == 2 && scene.network && number_of(&scene, "promoted") == 1);
    assert_int_equal(learning_promote(scene.rig.learning, 0), -1);
    assert_int_equal(learning_reject(scene.rig.learning, 0), -1);
    rig_close(&scene.rig);
}

static void it_is_rejected_by_command(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("    promote: manual\n"));
    train(&scene, 1);
    assert_int_equal(learning_reject(scene.rig.learning, 0), 0);
    turn(&scene);
    expect_decision(&scene, 2, "rejected");
    assert_true(scene.versions == 0 && number_of(&scene, "promoted") == 0);
    rig_close(&scene.rig);
}

/* In the shadow of the baseline, which it has to beat. */
static void open_with_a_shadow(struct scene *scene) {
    open_scene(scene, REST("    promote: shadow\n    combine: network\n"));
    train(scene, 1);
    expect_decision(scene, 1, "shadow");
    assert_true(scene->versions == 0 && scene->shadow == 1);
}

static void life_promotes_it(void **state) {
    (void)state;
    struct scene scene;
    open_with_a_shadow(&scene);
    live(&scene, 50, 1, 0.5, 1);
    expect_decision(&scene, 1, "shadow"); /* too early to tell */
    uint64_t trial = scene.trial;
    scene.trial = trial - 1; /* what was in the shadow before tells nothing of it */
    live(&scene, 500, 1, 0.5, 1);
    expect_decision(&scene, 1, "shadow");
    scene.trial = trial;
    live(&scene, 500, 1, 0.5, 1);
    expect_decision(&scene, 2, "promoted");
    assert_true(scene.versions == 1 && scene.network);
    rig_close(&scene.rig);
}

static void life_rejects_it(void **state) {
    (void)state;
    struct scene scene;
    open_with_a_shadow(&scene);
    live(&scene, 200, 1, 1.5, 1);
    expect_decision(&scene, 2, "rejected");
    assert_true(scene.versions == 0 && scene.shadow == 0);
    rig_close(&scene.rig);
}

/* Streams end in the middle of it: it is not waited for for ever. */
static void life_says_nothing(void **state) {
    (void)state;
    struct scene scene;
    open_with_a_shadow(&scene);
    live(&scene, 0, 1, 1, 1);
    expect_decision(&scene, 1, "shadow");
    for (int i = 0; i < 5; i++) {
        expect_decision(&scene, 1, "shadow");
        say_steps(&scene, scene.steps + 1000);
        live(&scene, 0, 1, 1, 1);
    }
    expect_decision(&scene, 2, "rejected");
    rig_close(&scene.rig);
}

/* ---- the way back ------------------------------------------------------------------------------- */

static void it_is_rolled_back_once(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("    combine: network\n"));
    train(&scene, 1);
    uint64_t trial = scene.trial;
    live(&scene, 200, 1, 0.5, 1); /* the baseline is better */
    expect_decision(&scene, 2, "rolled_back");
    assert_true(scene.versions == 2 && !scene.network && scene.trial > trial);
    assert_true(number_of(&scene, "rolled_back") == 1);
    assert_int_equal(learning_rollback(scene.rig.learning, 0), -1);
    rig_close(&scene.rig);
}

static void it_is_kept(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("    combine: network\n"));
    train(&scene, 1);
    live(&scene, 500, 1, 1.2, 1);
    expect_decision(&scene, 1, "promoted");
    live(&scene, 1024, 1, 1.2, 1);
    expect_decision(&scene, 2, "kept");
    /* A person may still go back. */
    assert_int_equal(learning_rollback(scene.rig.learning, 0), 0);
    turn(&scene);
    expect_decision(&scene, 3, "rolled_back");
    assert_true(scene.versions == 2 && !scene.network);
    rig_close(&scene.rig);
}

/* A network that a mixture weighs need not beat the baseline, and is not compared with it. */
static void a_mixture_decides_itself(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("    promote: shadow\n"));
    train(&scene, 1);
    expect_decision(&scene, 1, "promoted");
    assert_true(scene.versions == 1 && scene.trial == 0);
    rig_close(&scene.rig);
}

/* ---- drift, stops, records ------------------------------------------------------------------------ */

#define DRIFTS REST("    retrain_on: drift\n    retrain_every: 0\n")

/* A training, a while, and a drift. */
static void let_it_drift(struct scene *scene) {
    atomic_store(&scene->rig.workers[1]->clocks[0], 1);
    atomic_store(&scene->rig.workers[1]->ticking[0].t, 1);
    train(scene, 1);
    /* Without a stream in the book, nobody knows how many steps these errors are. */
    live(scene, 0, 1, 1, 1);
    const double value = 1;
    void *push = rig_connect(&scene->rig, ZMQ_PUSH, scene->rig.config->bus.ticks);
    rig_send_tick(push, "c/1", 1, &value, 1);
    int64_t began = 0;
    while (placement_n_streams(scene->rig.placement, 0) == 0) {
        ingest_read(scene->rig.ingest);
        assert_true(rig_wait(&began));
    }
    rig_disconnect(push);
    size_t n;
    for (int w = 0; w < WORKERS; w++) /* OPEN and TICK, which nobody needs here */
        while (ring_peek(worker_input(scene->rig.workers[w]), &n) != NULL)
            ring_consume(worker_input(scene->rig.workers[w]));
    for (int i = 0; i < 2; i++)
        live(scene, 0, 1, 1, 1);
    assert_int_equal(number_of(scene, "drifts"), 0);
    live(scene, 0, 1, 1, 2);
    assert_int_equal(number_of(scene, "drifts"), 1);
}

static void it_is_trained_after_drift(struct scene *scene) {
    say_steps(scene, 130);
    turn_until(scene, "jobs", 2);
    json_t *map = describe(scene);
    assert_string_equal(json_string_value(json_object_get(json_object_get(map, "latest"), "why")), "drift");
    json_decref(map);
}

static void drift_is_told_and_trained_after(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, DRIFTS);
    let_it_drift(&scene);
    turn(&scene);
    assert_int_equal(number_of(&scene, "jobs"), 1); /* too few new steps */
    it_is_trained_after_drift(&scene);
    rig_close(&scene.rig);
}

static void a_training_is_stopped(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, "workers: 2\nstreams:\n  - {class: c, pattern: 'c/*', features: [a], history: 96}\n"
                       "models:\n  - name: m\n    class: c\n    horizon: 2\n    training: {window: 24, burn_in: 4, "
                       "unroll: 12, first_after: 60, epochs: 100000, patience: 0}\n");
    struct learning *learning = scene.rig.learning;
    assert_int_equal(learning_stop_training(learning, 0), -1);
    assert_int_equal(learning_retrain(learning, 0), 0);
    assert_int_equal(learning_stop_training(learning, 0), 0); /* before it began */
    say_steps(&scene, 60);
    rig_turn(&scene.rig);
    assert_int_equal(learning_stop_training(learning, 0), 0); /* while windows are collected */
    turn(&scene);
    assert_int_equal(number_of(&scene, "stopped"), 1);
    assert_int_equal(learning_retrain(learning, 0), 0);
    turn_until(&scene, "optimizer_steps", 1);
    json_t *map = describe(&scene);
    assert_true(json_real_value(json_object_get(map, "steps_per_second")) > 0);
    assert_true(json_real_value(json_object_get(map, "remaining_s")) > 0);
    json_decref(map);
    assert_int_equal(learning_stop_training(learning, 0), 0); /* in the midst of it */
    turn_until(&scene, "stopped", 2);
    char kind[32];
    assert_int_equal(decisions(&scene, kind), 0);
    assert_int_equal(number_of(&scene, "version"), 0);
    rig_close(&scene.rig);
}

static void decisions_are_bounded(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("    promote: manual\n"));
    train(&scene, 1);
    char kind[32];
    for (int i = 0; i < 70; i++) {
        learning_reject(scene.rig.learning, 0);
        train(&scene, 2 + i);
    }
    assert_int_equal(decisions(&scene, kind), 64);
    assert_string_equal(kind, "held");
    rig_close(&scene.rig);
}

/* ---- on disk ------------------------------------------------------------------------------------ */

static void open_on_disk(struct scene *scene, const char *rest) {
    char text[2048];
    snprintf(text, sizeof text, "state_dir: %s/state\n%s", rig_folder(), rest);
    open_scene(scene, text);
}

static int remove_disk(void **state) {
    (void)state;
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s/state", rig_folder());
    return system(command);
}

static void promote_on_disk(struct scene *scene, json_int_t jobs, json_int_t version) {
    train(scene, jobs);
    turn_until(scene, "version", version);
}

static void it_serves_again_after_a_restart(void **state) {
    (void)state;
    static const char rest[] = REST("    combine: network\n    retrain_every: 0\n");
    struct scene scene;
    open_on_disk(&scene, rest);
    promote_on_disk(&scene, 1, 1);
    const struct version *version = placement_version(scene.rig.placement, 0);
    uint64_t weights = version_file_digest(version_network(version));
    rig_close(&scene.rig);

    open_on_disk(&scene, rest);
    turn(&scene);
    version = placement_version(scene.rig.placement, 0);
    assert_true(version_file_digest(version_network(version)) == weights);
    assert_true(scene.versions == 1 && scene.network); /* workers have it, too */
    expect_decision(&scene, 1, "promoted");
    assert_true(number_of(&scene, "promoted") == 1 && number_of(&scene, "jobs") == 1);
    json_t *map = describe(&scene);
    assert_non_null(strstr(json_string_value(json_object_get(map, "reason")), "version 1 serves: "));
    assert_non_null(json_object_get(map, "latest"));
    json_decref(map);
    assert_int_equal(learning_rollback(scene.rig.learning, 0), 0);
    turn_until(&scene, "rolled_back", 1);
    assert_true(scene.versions == 2 && !scene.network); /* the baseline, under a new number */
    rig_close(&scene.rig);

    open_on_disk(&scene, rest);
    expect_decision(&scene, 2, "rolled_back");
    assert_true(number_of(&scene, "version") == 2 && number_of(&scene, "rolled_back") == 1);
    assert_int_equal(learning_rollback(scene.rig.learning, 0), -1);
    promote_on_disk(&scene, 2, 3);
    assert_int_equal(learning_rollback(scene.rig.learning, 0), 0);
    turn_until(&scene, "version", 4);
    rig_close(&scene.rig);
}

/* What cannot be written is not taken over; it is tried again, and meanwhile nothing else is decided. */
static void nobody_takes_over_what_is_not_on_disk(void **state) {
    (void)state;
    struct scene scene;
    char command[512];
    open_on_disk(&scene, REST("    combine: network\n"));
    void *events = rig_subscribe(&scene.rig, "event/not_written/", 18);
    snprintf(command, sizeof command, "mv %s/state/versions/m %s/state/away", rig_folder(), rig_folder());
    assert_int_equal(system(command), 0);
    train(&scene, 1);
    char frame[1024];
    int64_t began = 0;
    while (rig_receive(events, frame, sizeof frame, 0) <= 0) {
        turn(&scene);
        assert_true(rig_wait(&began));
    }
    assert_true(number_of(&scene, "version") == 0 && number_of(&scene, "to_be_written") == 1);
    assert_int_equal(scene.versions, 0);
    assert_int_equal(learning_rollback(scene.rig.learning, 0), -3);
    assert_int_equal(learning_promote(scene.rig.learning, 0), -3);
    assert_int_equal(learning_retrain(scene.rig.learning, 0), 0); /* its result waits */
    turn_until(&scene, "jobs", 1);
    snprintf(command, sizeof command, "mv %s/state/away %s/state/versions/m", rig_folder(), rig_folder());
    assert_int_equal(system(command), 0);
    turn_until(&scene, "version", 1);
    assert_true(scene.versions == 1 && scene.network);
    turn_until(&scene, "jobs", 2);
    rig_disconnect(events);
    rig_close(&scene.rig);
}

/* Its contest begins anew. */
static void a_challenger_waits_on_after_a_restart(void **state) {
    (void)state;
    struct scene scene;
    open_on_disk(&scene, REST("    promote: manual\n"));
    train(&scene, 1);
    expect_decision(&scene, 1, "held");
    rig_close(&scene.rig);
    open_on_disk(&scene, REST("    promote: manual\n"));
    turn(&scene);
    assert_true(scene.versions == 0 && number_of(&scene, "version") == 0);
    assert_int_equal(learning_promote(scene.rig.learning, 0), 0);
    turn_until(&scene, "version", 1);
    expect_decision(&scene, 2, "promoted");
    assert_int_equal(learning_promote(scene.rig.learning, 0), -1);
    rig_close(&scene.rig);
    open_on_disk(&scene, REST("    promote: manual\n"));
    assert_true(number_of(&scene, "version") == 1);
    assert_int_equal(learning_promote(scene.rig.learning, 0), -1);
    rig_close(&scene.rig);

    assert_int_equal(remove_disk(state), 0);
    open_on_disk(&scene, REST("    promote: shadow\n    combine: network\n"));
    train(&scene, 1);
    expect_decision(&scene, 1, "shadow");
    rig_close(&scene.rig);
    open_on_disk(&scene, REST("    promote: shadow\n    combine: network\n"));
    turn(&scene);
    assert_int_equal(scene.shadow, 1);
    say_steps(&scene, 100000); /* of a stream that has come back */
    live(&scene, 0, 1, 1, 1);
    expect_decision(&scene, 1, "shadow");
    live(&scene, 500, 1, 0.5, 1);
    turn_until(&scene, "version", 1);
    rig_close(&scene.rig);
}

static bool is_on_probation(const struct scene *scene) {
    json_t *map = describe(scene);
    bool contest = json_object_get(map, "contest") != NULL;
    json_decref(map);
    return contest;
}

/* What serves, and has been promoted lately, has what it replaced in its shadow still, from the begin. */
static void a_probation_goes_on_after_a_restart(void **state) {
    static const char rest[] = REST("    combine: network\n");
    for (int kept = 0; kept < 2; kept++) {
        struct scene scene;
        open_on_disk(&scene, rest);
        promote_on_disk(&scene, 1, 1);
        for (int restart = 0; restart < 2; restart++) {
            rig_close(&scene.rig);
            open_on_disk(&scene, rest);
            turn(&scene);
            assert_true(scene.versions == 1 && scene.trial > 0 && is_on_probation(&scene));
        }
        live(&scene, kept ? 1024 : 200, 1, kept ? 1.2 : 0.5, 1);
        turn_until(&scene, "version", kept ? 1 : 2);
        expect_decision(&scene, 2, kept ? "kept" : "rolled_back");
        rig_close(&scene.rig);
        open_on_disk(&scene, rest);
        turn(&scene);
        assert_false(is_on_probation(&scene));
        rig_close(&scene.rig);
        assert_int_equal(remove_disk(state), 0);
    }
}

static void drift_is_trained_after_behind_a_restart(void **state) {
    (void)state;
    struct scene scene;
    open_on_disk(&scene, DRIFTS);
    let_it_drift(&scene);
    rig_close(&scene.rig);
    open_on_disk(&scene, DRIFTS);
    assert_int_equal(number_of(&scene, "drifts"), 1);
    it_is_trained_after_drift(&scene);
    rig_close(&scene.rig);
}

/* The weights of the configuration itself are a version like others: when they change that serves, and the one before is
 * the way back. */
static void other_weights_of_the_configuration(void **state) {
    (void)state;
    struct scene scene;
    open_on_disk(&scene, REST("    train: false\n    seed: 1\n"));
    assert_int_equal(number_of(&scene, "version"), 1);
    uint64_t weights = version_file_digest(version_network(placement_version(scene.rig.placement, 0)));
    rig_close(&scene.rig);
    open_on_disk(&scene, REST("    train: false\n    seed: 1\n"));
    assert_int_equal(number_of(&scene, "version"), 1);
    json_t *map = describe(&scene);
    assert_string_equal(json_string_value(json_object_get(map, "reason")),
                        "seeded weights, not trained (train: false)");
    json_decref(map);
    rig_close(&scene.rig);
    open_on_disk(&scene, REST("    train: false\n    seed: 2\n"));
    assert_int_equal(number_of(&scene, "version"), 2);
    assert_true(version_file_digest(version_network(placement_version(scene.rig.placement, 0))) != weights);
    assert_int_equal(learning_rollback(scene.rig.learning, 0), 0);
    turn_until(&scene, "version", 3);
    assert_true(version_file_digest(version_network(placement_version(scene.rig.placement, 0))) == weights);
    rig_close(&scene.rig);
    open_on_disk(&scene, REST("    train: false\n    seed: 2\n")); /* a person has gone back: that stays */
    assert_int_equal(number_of(&scene, "version"), 3);
    rig_close(&scene.rig);
    /* None of its own: trained anew, and there is a way back, also later. */
    open_on_disk(&scene, REST("    promote: manual\n"));
    assert_int_equal(number_of(&scene, "version"), 0);
    train(&scene, 1);
    rig_close(&scene.rig);
    open_on_disk(&scene, REST("    promote: manual\n"));
    assert_int_equal(number_of(&scene, "version"), 0);
    assert_int_equal(learning_rollback(scene.rig.learning, 0), 0);
    turn_until(&scene, "version", 5); /* 4 is the challenger */
    assert_true(version_file_digest(version_network(placement_version(scene.rig.placement, 0))) == weights);
    rig_close(&scene.rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_serves_at_once),
        cmocka_unit_test(it_waits_for_a_command),
        cmocka_unit_test(it_is_rejected_by_command),
        cmocka_unit_test(life_promotes_it),
        cmocka_unit_test(life_rejects_it),
        cmocka_unit_test(life_says_nothing),
        cmocka_unit_test(it_is_rolled_back_once),
        cmocka_unit_test(it_is_kept),
        cmocka_unit_test(a_mixture_decides_itself),
        cmocka_unit_test(drift_is_told_and_trained_after),
        cmocka_unit_test_teardown(it_serves_again_after_a_restart, remove_disk),
        cmocka_unit_test_teardown(nobody_takes_over_what_is_not_on_disk, remove_disk),
        cmocka_unit_test_teardown(a_challenger_waits_on_after_a_restart, remove_disk),
        cmocka_unit_test_teardown(a_probation_goes_on_after_a_restart, remove_disk),
        cmocka_unit_test_teardown(drift_is_trained_after_behind_a_restart, remove_disk),
        cmocka_unit_test_teardown(other_weights_of_the_configuration, remove_disk),
        cmocka_unit_test(a_training_is_stopped),
        cmocka_unit_test(decisions_are_bounded),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
