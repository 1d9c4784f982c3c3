#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/learning.h"

#include "daemon/log.h"
#include "daemon/worker_internal.h"
#include "tests/support/bus_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

/* Two workers; a model that first trains at 60 steps. */
#define REST(training, more) \
    "workers: 2\nstreams:\n  - {class: c, pattern: 'c/*', features: [a], history: 96}\n" \
    "models:\n  - name: m\n    class: c\n    horizon: 2\n    batch_size: 1\n    combine: network\n    layers:\n      - lstm: 8\n" more \
    "    training: {window: 24, burn_in: 4, unroll: 12, first_after: 60, max_windows: 64, " training "}\n"

static void open_rig(struct rig *rig, const char *rest, size_t idle_bytes) {
    const struct rig_setup setup = {.rest = rest,
                                    .bus = "  events_per_second: 1000\n",
                                    .idle = idle_bytes > 0,
                                    .idle_bytes = idle_bytes,
                                    .learns = true};
    rig_open(rig, &setup);
}

/* What is told of the only model; borrowed from *ret_list, which the caller frees. */
static json_t *describe(const struct rig *rig, json_t **ret_list) {
    *ret_list = learning_describe(rig->learning);
    assert_int_equal(json_array_size(*ret_list), 1);
    return json_array_get(*ret_list, 0);
}

static json_int_t told_number(const struct rig *rig, const char *key) {
    json_t *list;
    json_int_t number = json_integer_value(json_object_get(describe(rig, &list), key)); /* 0 where there is none */
    json_decref(list);
    return number;
}

static void expect_text(const struct rig *rig, const char *key, const char *part) {
    json_t *list;
    const char *text = json_string_value(json_object_get(describe(rig, &list), key));
    if (text == NULL || strstr(text, part) == NULL)
        fail_msg("%s is \"%s\", without \"%s\"", key, text != NULL ? text : "", part);
    json_decref(list);
}

/* Takes turns until a number of the description has grown that far. */
static void turn_until(struct rig *rig, const char *key, json_int_t least) {
    int64_t began = 0;
    for (rig_turn(rig); told_number(rig, key) < least; rig_turn(rig))
        if (!rig_wait(&began))
            fail_msg("%s is %d", key, (int)told_number(rig, key));
}

/* Ticks of streams c/0 and c/1, taken by their workers. */
static void feed(struct rig *rig, void *push, int first, int n) {
    uint64_t before = ingest_counters(rig->ingest)->ticks;
    for (int t = first; t < first + n; t++)
        for (int i = 0; i < 2; i++) {
            char name[8];
            snprintf(name, sizeof name, "c/%d", i);
            const double value = sin(0.5 * t) + 10 * i;
            rig_send_tick(push, name, (int64_t)t * 1000000000, &value, 1);
        }
    int64_t began = 0;
    while (ingest_counters(rig->ingest)->ticks < before + 2 * (uint64_t)n) {
        ingest_read(rig->ingest);
        rig_publish(rig);
        assert_true(rig_wait(&began));
    }
    for (int w = 0; !rig->idle && w < 2; w++) /* and taken out of the rings */
        while (ring_used(worker_input(rig->workers[w])) > 0)
            assert_true(rig_wait(&began));
}

static json_t *receive_event(void *socket, const char *topic) {
    char frame[2048];
    bool is_json;
    do {
        assert_true(rig_receive(socket, frame, sizeof frame, RIG_WAIT_MS) > 0);
        bool wanted = strcmp(frame, topic) == 0;
        int n = rig_receive(socket, frame, sizeof frame, RIG_WAIT_MS);
        json_t *map = wanted ? wire_message_decode(frame, (size_t)n, &is_json) : NULL;
        if (map != NULL)
            return map;
    } while (true);
}

/* ---- with workers ------------------------------------------------------------------------------- */

static void a_model_that_does_not_train_serves_at_once(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, "workers: 2\n" RIG_CLASS RIG_MODEL, 0);
    assert_int_equal(told_number(&rig, "version"), 1);
    expect_text(&rig, "source", "network");
    expect_text(&rig, "training", "idle");
    expect_text(&rig, "reason", "train: false");
    rig_close(&rig);
}

static void a_model_is_trained_when_it_is_due_and_promoted(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, REST("epochs: 40", ""), 0);
    void *push = rig_connect(&rig, ZMQ_PUSH, rig.config->bus.ticks);
    void *events = rig_subscribe(&rig, "event/", 6);
    assert_int_equal(told_number(&rig, "version"), 0);
    expect_text(&rig, "source", "baseline");
    expect_text(&rig, "reason", "not trained yet: training begins when a stream has 60 steps");
    feed(&rig, push, 0, 59);
    for (int i = 0; i < 5; i++)
        rig_turn(&rig);
    assert_int_equal(told_number(&rig, "steps"), 59);
    expect_text(&rig, "training", "idle");
    feed(&rig, push, 59, 37);
    turn_until(&rig, "promoted", 1);
    assert_int_equal(told_number(&rig, "jobs"), 1);
    assert_int_equal(told_number(&rig, "failed"), 0);
    assert_int_equal(told_number(&rig, "version"), 1);
    assert_int_equal(told_number(&rig, "streams"), 2);
    assert_int_equal(told_number(&rig, "batches"), 2);
    expect_text(&rig, "source", "network");
    expect_text(&rig, "reason", "version 1 serves");
    json_t *map = receive_event(events, "event/training/m");
    json_int_t windows = json_integer_value(json_object_get(map, "windows"));
    assert_true(windows > 0);
    json_decref(map);
    map = receive_event(events, "event/promoted/m");
    assert_string_equal(json_string_value(json_object_get(map, "model")), "m");
    assert_string_equal(json_string_value(json_object_get(map, "decision")), "promoted");
    assert_int_equal(json_integer_value(json_object_get(map, "version")), 1);
    assert_int_equal(json_integer_value(json_object_get(map, "windows")) +
                         json_integer_value(json_object_get(map, "validation_windows")),
                     windows);
    assert_true(json_real_value(json_object_get(map, "loss")) <
                json_real_value(json_object_get(map, "last_value_loss")));
    assert_true(json_is_null(json_object_get(map, "champion_loss")));
    json_decref(map);
    /* Both workers have it. */
    char frame[64];
    void *forecasts = rig_subscribe(&rig, "forecast/", 9);
    int64_t began = 0;
    bool served = false;
    for (int t = 96; !served; t++) {
        feed(&rig, push, t, 1);
        int before = rig.forecasts;
        rig_turn_until(&rig, &rig.forecasts, before > 0 ? before : 1);
        served = true;
        for (int w = 0; w < 2; w++)
            for (int b = 0; b < rig.workers[w]->n_batches; b++)
                served &= forecaster_version(rig.workers[w]->batches[b]->forecaster) == 1;
        assert_true(rig_wait(&began));
    }
    assert_true(rig_receive(forecasts, frame, sizeof frame, RIG_WAIT_MS) > 0);
    rig_disconnect(push);
    rig_disconnect(events);
    rig_disconnect(forecasts);
    rig_close(&rig);
}

static void what_does_not_beat_the_baseline_is_rejected(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, REST("margin: 90%, epochs: 1, min_steps: 1", ""), 0);
    void *push = rig_connect(&rig, ZMQ_PUSH, rig.config->bus.ticks);
    void *events = rig_subscribe(&rig, "event/rejected/", 15);
    feed(&rig, push, 0, 80);
    turn_until(&rig, "jobs", 1);
    assert_int_equal(told_number(&rig, "promoted"), 0);
    assert_int_equal(told_number(&rig, "version"), 0);
    expect_text(&rig, "reason", "the baseline serves");
    json_t *map = receive_event(events, "event/rejected/m");
    assert_string_equal(json_string_value(json_object_get(map, "decision")), "baseline");
    assert_int_equal(json_integer_value(json_object_get(map, "version")), 0);
    json_decref(map);
    rig_disconnect(push);
    rig_disconnect(events);
    rig_close(&rig);
}

/* A rate at which the loss explodes: a counted failure with its reason; who serves goes on, and the next job
 * comes. */
static void a_training_that_diverges_is_a_failure(void **state) {
    (void)state;
    struct rig rig;
    open_rig(
        &rig,
        REST("optimizer: sgd, learning_rate: 1, momentum: 0.99, clip_norm: 0, epochs: 40", "      - dense: 64\n"), 0);
    void *push = rig_connect(&rig, ZMQ_PUSH, rig.config->bus.ticks);
    feed(&rig, push, 0, 80);
    turn_until(&rig, "jobs", 1);
    expect_text(&rig, "reason", "training failed: model m: training has diverged: the loss ");
    assert_int_equal(told_number(&rig, "failed"), 1);
    assert_int_equal(told_number(&rig, "version"), 0);
    expect_text(&rig, "training", "idle");
    assert_int_equal(learning_retrain(rig.learning, 0), 0);
    turn_until(&rig, "failed", 2);
    rig_disconnect(push);
    rig_close(&rig);
}

/* With real workers: in the shadow of the baseline on both, then promoted on what has come live, then kept. */
static void a_challenger_proves_itself_in_the_shadow(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, REST("epochs: 40", "    promote: shadow\n    retrain_every: 0s\n"), 0);
    void *push = rig_connect(&rig, ZMQ_PUSH, rig.config->bus.ticks);
    void *events = rig_subscribe(&rig, "event/", 6);
    feed(&rig, push, 0, 90);
    turn_until(&rig, "jobs", 1);
    int64_t began = 0;
    int t = 90;
    static const char *const counted[] = {"promoted", "rolled_back"};
    for (; told_number(&rig, counted[0]) == 0; t++) {
        feed(&rig, push, t, 1);
        rig_turn(&rig);
        assert_true(rig_wait(&began));
    }
    assert_true(t >= 90 + 100);
    json_t *map = receive_event(events, "event/shadow/m");
    assert_int_equal(json_integer_value(json_object_get(map, "version")), 0);
    json_decref(map);
    map = receive_event(events, "event/promoted/m");
    assert_string_equal(json_string_value(json_object_get(map, "contest")), "shadow");
    assert_int_equal(json_integer_value(json_object_get(map, "version")), 1);
    assert_true(json_integer_value(json_object_get(map, "live_steps")) >= 100);
    assert_true(json_real_value(json_object_get(map, "live_error")) <
                0.99 * json_real_value(json_object_get(map, "champion_live_error")));
    json_decref(map);
    assert_int_equal(told_number(&rig, "version"), 1);
    /* A person goes back, and the baseline serves as version 2. */
    assert_int_equal(learning_rollback(rig.learning, 0), 0);
    assert_int_equal(told_number(&rig, counted[1]), 1);
    expect_text(&rig, "source", "baseline");
    assert_int_equal(told_number(&rig, "version"), 2);
    rig_disconnect(push);
    rig_disconnect(events);
    rig_close(&rig);
}

static void a_command_trains_whatever_the_schedule_says(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, REST("epochs: 40", "    retrain_every: 0s\n"), 0);
    void *push = rig_connect(&rig, ZMQ_PUSH, rig.config->bus.ticks);
    feed(&rig, push, 0, 90);
    turn_until(&rig, "jobs", 1);
    for (int i = 0; i < 10; i++)
        rig_turn(&rig);
    assert_int_equal(told_number(&rig, "jobs"), 1);
    assert_int_equal(learning_retrain(rig.learning, 0), 0);
    rig_turn(&rig);
    assert_int_equal(learning_retrain(rig.learning, 0), 0); /* while it runs: once more afterwards */
    turn_until(&rig, "jobs", 3);
    json_t *list;
    json_t *latest = json_object_get(describe(&rig, &list), "latest");
    assert_true(json_is_number(json_object_get(latest, "champion_loss")));
    json_decref(list);
    rig_disconnect(push);
    rig_close(&rig);
}

/* Asked for before there is anything to train on: one job, which says so, and not one after the other. */
static void a_command_without_streams_is_one_job(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, REST("epochs: 40", ""), 0);
    assert_int_equal(learning_retrain(rig.learning, 0), 0);
    turn_until(&rig, "jobs", 1);
    for (int i = 0; i < 50; i++) {
        rig_turn(&rig);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(told_number(&rig, "jobs"), 1);
    expect_text(&rig, "reason", "too few steps");
    expect_text(&rig, "training", "idle");
    rig_close(&rig);
}

/* Stopped in the middle: what the workers, the rings and the trainer hold is freed, as a leak checker sees. */
static void it_stops_in_every_state(void **state) {
    (void)state;
    for (int turns = 0; turns < 6; turns++) {
        struct rig rig;
        open_rig(&rig, REST("epochs: 100000, batch: 1", ""), 0);
        void *push = rig_connect(&rig, ZMQ_PUSH, rig.config->bus.ticks);
        feed(&rig, push, 0, 90);
        for (int i = 0; i < turns; i++)
            rig_turn(&rig);
        if (turns == 5)
            turn_until(&rig, "epoch", 2); /* in the midst of it */
        rig_disconnect(push);
        rig_close(&rig);
    }
}

/* ---- with workers that stand still -------------------------------------------------------------- */

static void say_steps(struct rig *rig, uint64_t steps) {
    atomic_store(&rig->workers[1]->most_steps[0], steps);
    atomic_store(&rig->workers[1]->ticking[0].steps, steps);
}

/* The oldest record in a worker's ring, which must be of that kind, is taken out; NULL where the ring is empty. */
static bool take(struct rig *rig, int worker, enum record_kind kind, void *ret_record, size_t size) {
    size_t n;
    const struct record *record = ring_peek(worker_input(rig->workers[worker]), &n);
    if (record == NULL)
        return false;
    assert_int_equal(record->kind, kind);
    memcpy(ret_record, record, size);
    ring_consume(worker_input(rig->workers[worker]));
    return true;
}

/* Fills a worker's ring to the last place with resets of nobody; they are to be taken out by empty. */
static void fill(struct rig *rig, int worker) {
    const struct record_reset nothing = {.kind = RECORD_RESET, .model = -1};
    while (ingest_command(rig->ingest, worker, &nothing, sizeof nothing))
        ;
}

static void empty(struct rig *rig, int worker) {
    size_t n;
    while (ring_peek(worker_input(rig->workers[worker]), &n) != NULL)
        ring_consume(worker_input(rig->workers[worker]));
}

static void sets_wait_for_room_with_their_worker(void **state) {
    (void)state;
    struct rig rig;
    struct record_windows sets[2], none;
    open_rig(&rig, REST("epochs: 40", ""), 4096);
    fill(&rig, 0);
    say_steps(&rig, 60);
    rig_turn(&rig);
    expect_text(&rig, "training", "collecting");
    assert_true(take(&rig, 1, RECORD_COLLECT, &sets[1], sizeof sets[1]));
    rig_turn(&rig);
    learning_collected(rig.learning, &sets[1]);
    expect_text(&rig, "training", "collecting"); /* one is still out */
    empty(&rig, 0);
    rig_turn(&rig);
    assert_true(take(&rig, 0, RECORD_COLLECT, &sets[0], sizeof sets[0]));
    for (int i = 0; i < 3; i++)
        rig_turn(&rig);
    assert_false(take(&rig, 0, RECORD_COLLECT, &none, sizeof none)); /* each is sent once */
    assert_false(take(&rig, 1, RECORD_COLLECT, &none, sizeof none));
    assert_ptr_not_equal(sets[0].windows, sets[1].windows);
    learning_collected(rig.learning, &sets[0]);
    turn_until(&rig, "jobs", 1);
    rig_close(&rig);
}

/* Closed with a set that was never sent, one with a worker, one that has come back. */
static void sets_are_freed_wherever_they_are(void **state) {
    (void)state;
    for (int back = 0; back < 2; back++) {
        struct rig rig;
        struct record_windows set;
        open_rig(&rig, REST("epochs: 40", ""), 4096);
        fill(&rig, 0);
        say_steps(&rig, 60);
        rig_turn(&rig);
        assert_true(take(&rig, 1, RECORD_COLLECT, &set, sizeof set));
        if (back)
            learning_collected(rig.learning, &set);
        else
            windows_free(set.windows);
        empty(&rig, 0);
        rig_close(&rig);
    }
}

/* A version reaches each worker once, one that is behind later; a newer one takes the place of what was not sent. */
static void a_version_reaches_every_worker_once(void **state) {
    (void)state;
    struct rig rig;
    struct record_version versions[2], none;
    open_rig(&rig, "workers: 2\n" RIG_CLASS RIG_MODEL, 4096);
    fill(&rig, 0);
    learning_poll(rig.learning);
    assert_true(take(&rig, 1, RECORD_VERSION, &versions[1], sizeof versions[1]));
    learning_poll(rig.learning);
    assert_false(take(&rig, 1, RECORD_VERSION, &none, sizeof none));
    empty(&rig, 0);
    learning_poll(rig.learning);
    assert_true(take(&rig, 0, RECORD_VERSION, &versions[0], sizeof versions[0]));
    learning_poll(rig.learning);
    for (int w = 0; w < 2; w++) {
        assert_false(take(&rig, w, RECORD_VERSION, &none, sizeof none));
        assert_ptr_equal(versions[w].version, placement_version(rig.placement, 0));
        version_release(versions[w].version); /* each has a reference of its own */
    }
    assert_int_equal(version_number(placement_version(rig.placement, 0)), 1);
    rig_close(&rig);
}

static void an_unsent_version_is_freed(void **state) {
    (void)state;
    struct rig rig;
    struct record_version version;
    open_rig(&rig, "workers: 2\n" RIG_CLASS RIG_MODEL, 4096);
    fill(&rig, 0);
    learning_poll(rig.learning);
    assert_true(take(&rig, 1, RECORD_VERSION, &version, sizeof version));
    version_release(version.version);
    rig_close(&rig);
    learning_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_that_does_not_train_serves_at_once),
        cmocka_unit_test(a_model_is_trained_when_it_is_due_and_promoted),
        cmocka_unit_test(what_does_not_beat_the_baseline_is_rejected),
        cmocka_unit_test(a_training_that_diverges_is_a_failure),
        cmocka_unit_test(a_challenger_proves_itself_in_the_shadow),
        cmocka_unit_test(a_command_trains_whatever_the_schedule_says),
        cmocka_unit_test(a_command_without_streams_is_one_job),
        cmocka_unit_test(it_stops_in_every_state),
        cmocka_unit_test(sets_wait_for_room_with_their_worker),
        cmocka_unit_test(sets_are_freed_wherever_they_are),
        cmocka_unit_test(a_version_reaches_every_worker_once),
        cmocka_unit_test(an_unsent_version_is_freed),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
