/* Labels of streams that are not in memory, and of those that there are not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/returns.h"

#include "daemon/journal_command.h"
#include "daemon/log.h"
#include "daemon/recovery.h"
#include "daemon/worker_internal.h"
#include "tests/support/kept_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENT "  - {name: e, class: c, head: event, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n"

static const struct kept_setup setup = {.top = "return_queue: 64KiB\n", .models = EVENT};

static const struct ingest_counters *counters(const struct kept_scene *scene) {
    return ingest_counters(scene->rig.ingest);
}

static void await(struct kept_scene *scene, const uint64_t *counter, uint64_t least) {
    for (int64_t began = 0; *counter < least; rig_turn(&scene->rig))
        if (!rig_wait(&began))
            fail_msg("%d of %d", (int)*counter, (int)least);
}

/* Sends labels in one message, and takes turns until it has been read. */
static void tell(struct kept_scene *scene, const char *json) {
    uint64_t before = counters(scene)->messages;
    rig_send(scene->push, json, strlen(json));
    await(scene, &counters(scene)->messages, before + 1);
}

static void evict(struct kept_scene *scene, const char *name) {
    assert_int_equal(ingest_evict(scene->rig.ingest, kept_scene_await(scene, name)), 0);
    kept_scene_await_left(scene, name);
}

/* What the stream, which is in memory, has as the label of a step; NaN: none. */
static float label_of(struct kept_scene *scene, const char *name, uint64_t step) {
    const struct stream *stream = kept_scene_find(scene, name);
    struct worker *worker = scene->rig.workers[stream->worker];
    pthread_mutex_lock(&worker->owner);
    float label = history_label_of(stream->series->history, step);
    pthread_mutex_unlock(&worker->owner);
    return label;
}

static void expect_label(struct kept_scene *scene, const char *name, uint64_t step, float label) {
    kept_scene_await(scene, name);
    for (int64_t began = 0; label_of(scene, name, step) != label; rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
}

static bool count_refusal(void *context, uint64_t order, const struct journal_entry *entry) {
    struct journal_command command;
    struct error err;
    (void)order;
    if (entry->kind != JOURNAL_COMMAND)
        return true;
    assert_int_equal(journal_command_read(&command, entry->bytes, entry->n, &err), 0);
    *(int *)context += command.what == JOURNALED_REFUSED;
    free(command.values);
    return true;
}

static void await_durable(struct kept_scene *scene) {
    store_hurry(scene->rig.store);
    for (int64_t began = 0; store_durable(scene->rig.store) < store_order(scene->rig.store);)
        assert_true(rig_wait(&began));
}

/* So many refusals stand in the journal. */
static void expect_refusals(struct kept_scene *scene, int n) {
    struct error err;
    int found = 0;
    await_durable(scene);
    assert_int_equal(store_tail(scene->rig.store, count_refusal, &found, &err), 0);
    assert_int_equal(found, n);
}

static void recover(struct kept_scene *scene) {
    struct error err;
    await_durable(scene);
    kept_scene_restart(scene, &setup);
    if (recovery_read(scene->rig.config, scene->rig.store, scene->rig.streams, scene->rig.ingest, scene->rig.returns,
                      scene->rig.versions, &err) != 0)
        fail_msg("%s", err.text);
}

static void expect_nothing_waits(const struct kept_scene *scene) {
    assert_int_equal(returns_counters(scene->rig.returns).kept, 0);
    assert_int_equal(returns_counters(scene->rig.returns).kept_bytes, 0);
    assert_int_equal(returns_count_of(scene->rig.returns, 0), 0);
}

/* One that has been evicted, and behind a restart. */
static void a_stream_comes_back_for_its_label(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    kept_scene_tick(&scene, "c/1");
    kept_scene_tick(&scene, "c/1");
    evict(&scene, "c/1");
    tell(&scene, "[{\"stream\":\"c/1\",\"t\":1,\"label\":1}]");
    expect_label(&scene, "c/1", 1, 1);
    assert_true(isnan(label_of(&scene, "c/1", 2)));
    evict(&scene, "c/1");
    kept_scene_restart(&scene, &setup);
    tell(&scene, "[{\"stream\":\"c/1\",\"t\":2,\"label\":0}]");
    expect_label(&scene, "c/1", 2, 0);
    assert_true(label_of(&scene, "c/1", 1) == 1);
    assert_int_equal(atomic_load(&kept_scene_find(&scene, "c/1")->steps), 2);
    assert_int_equal(counters(&scene)->refused[REASON_LABEL], 0);
    assert_int_equal(scene.rig.refused, 0);
    for (int64_t began = 0; returns_count_of(scene.rig.returns, 0) > 0; rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    expect_nothing_waits(&scene);
    kept_scene_close(&scene);
}

/* It begins none, and a restart does not take what was refused. */
static void a_label_of_no_stream_is_refused(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    void *events = rig_subscribe(&scene.rig, "event/refused/label", 19);
    char text[300];
    tell(&scene, "[{\"stream\":\"c/1\",\"t\":1,\"label\":1},{\"stream\":\"c/1\",\"t\":1,\"label\":0}]");
    await(&scene, &counters(&scene)->refused[REASON_LABEL], 2);
    assert_true(rig_receive(events, text, sizeof text, 1000) > 0);
    assert_true(rig_receive(events, text, sizeof text, 1000) > 0);
    assert_non_null(strstr(text, "c/1"));
    rig_disconnect(events);
    assert_int_equal(counters(&scene)->refused[REASON_LABEL], 2);
    assert_int_equal(streams_count(scene.rig.streams), 0);
    expect_nothing_waits(&scene);
    expect_refusals(&scene, 2);
    kept_scene_tick(&scene, "c/1");
    assert_int_equal(kept_scene_await(&scene, "c/1")->generation, 1);
    recover(&scene);
    kept_scene_await(&scene, "c/1");
    assert_int_equal(scene.rig.refused + (int)counters(&scene)->refused[REASON_LABEL], 0);
    kept_scene_close(&scene);
}

/* Nothing of it is asked for. */
static void a_label_of_no_class_is_refused_at_once(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    scene.rig.holds_returns = true;
    tell(&scene, "[{\"stream\":\"c/1\",\"t\":1,\"label\":2},{\"stream\":\"d/1\",\"t\":1,\"label\":1}]");
    await(&scene, &counters(&scene)->refused[REASON_LABEL], 2);
    expect_nothing_waits(&scene);
    kept_scene_close(&scene);
}

/* Its worker has not let go of it. */
static void a_label_behind_an_end_is_refused(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    kept_scene_tick(&scene, "c/1");
    uint32_t generation = kept_scene_await(&scene, "c/1")->generation;
    assert_int_equal(ingest_end(scene.rig.ingest, "c/1"), 0);
    tell(&scene, "[{\"stream\":\"c/1\",\"t\":1,\"label\":1}]");
    await(&scene, &counters(&scene)->refused[REASON_LABEL], 1);
    assert_int_equal(streams_count(scene.rig.streams), 0);
    expect_refusals(&scene, 1);
    kept_scene_tick(&scene, "c/1");
    assert_int_equal(kept_scene_await(&scene, "c/1")->generation, generation + 1);
    kept_scene_close(&scene);
}

/* It is of no step, says the worker; a restart finds in the image all that it has of the message. */
static void a_label_before_the_first_tick(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    tell(&scene, "[{\"stream\":\"c/1\",\"t\":1,\"label\":1},{\"stream\":\"c/1\",\"t\":1,\"v\":[1,2]}]");
    rig_turn_until(&scene.rig, &scene.rig.refused, 1);
    assert_int_equal(scene.rig.latest_refused, REASON_LABEL);
    tell(&scene, "[{\"stream\":\"c/1\",\"t\":1,\"label\":1}]");
    expect_label(&scene, "c/1", 1, 1);
    evict(&scene, "c/1");
    recover(&scene);
    expect_label(&scene, "c/1", 1, 1);
    const struct worker *worker = scene.rig.workers[0];
    assert_int_equal(atomic_load(&worker->refused[REASON_LABEL]), 0);
    assert_int_equal(atomic_load(&worker->refused[REASON_REPEATED]), 0);
    kept_scene_close(&scene);
}

static void a_full_class_takes_nobody_back_for_a_label(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.of_class = "    max_streams: 1\n", .models = EVENT});
    kept_scene_tick(&scene, "c/1");
    evict(&scene, "c/1");
    kept_scene_tick(&scene, "c/2");
    kept_scene_await(&scene, "c/2");
    tell(&scene, "[{\"stream\":\"c/1\",\"t\":1,\"label\":1}]");
    await(&scene, &counters(&scene)->refused[REASON_STREAM_LIMIT], 1);
    assert_null(kept_scene_find(&scene, "c/1"));
    expect_refusals(&scene, 1);
    kept_scene_close(&scene);
}

/* ---- many ----------------------------------------------------------------------------------- */

enum { MANY = 2000 };

static void tell_many(struct kept_scene *scene) {
    for (int i = 0; i < MANY; i++) {
        char text[100];
        int n = snprintf(text, sizeof text, "[{\"stream\":\"c/%d\",\"t\":1,\"label\":1}]", i);
        rig_send(scene->push, text, (size_t)n);
    }
}

/* They wait in no more memory than ticks do. */
static void labels_of_no_streams_fill_no_memory(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    scene.rig.holds_returns = true;
    tell_many(&scene);
    for (int64_t began = 0; !ingest_parked(scene.rig.ingest); rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    assert_in_range(returns_counters(scene.rig.returns).kept_bytes, 32768, 65536);
    scene.rig.holds_returns = false;
    await(&scene, &counters(&scene)->refused[REASON_LABEL], MANY);
    expect_nothing_waits(&scene);
    assert_int_equal(streams_count(scene.rig.streams), 0);
    expect_refusals(&scene, MANY);
    kept_scene_close(&scene);
}

/* Others do not wait for them. */
static void many_labels_of_one_are_refused_in_goes(void **state) {
    (void)state;
    enum { LABELS = 10000, GO = 4096 };
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.models = EVENT});
    scene.rig.holds_returns = true;
    for (int i = 0; i < LABELS; i++)
        tell(&scene, "[{\"stream\":\"c/1\",\"t\":1,\"label\":1}]");
    await(&scene, &counters(&scene)->labels, LABELS);
    scene.rig.holds_returns = false;
    int64_t began = 0;
    for (uint64_t before = 0, now; before < LABELS; before = now) {
        assert_true(rig_wait(&began));
        rig_turn(&scene.rig);
        now = counters(&scene)->refused[REASON_LABEL];
        assert_in_range(now - before, 0, GO);
    }
    expect_nothing_waits(&scene);
    expect_refusals(&scene, LABELS);
    kept_scene_close(&scene);
}

/* Nobody waits for a disk that fails, and what waits is refused when it works again. */
static void labels_beside_a_disk_that_fails(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    kept_scene_fail_disk(&scene);
    tell_many(&scene);
    for (int64_t began = 0; counters(&scene)->labels + counters(&scene)->refused[REASON_DISK] < MANY;
         rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    uint64_t waiting = returns_counters(scene.rig.returns).kept;
    assert_int_equal(waiting, counters(&scene)->labels);
    assert_in_range(waiting, 100, MANY - 100);
    assert_int_equal(counters(&scene)->refused[REASON_LABEL], 0);
    disk_works(true);
    await(&scene, &counters(&scene)->refused[REASON_LABEL], waiting);
    expect_nothing_waits(&scene);
    kept_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_comes_back_for_its_label),
        cmocka_unit_test(a_label_of_no_stream_is_refused),
        cmocka_unit_test(a_label_of_no_class_is_refused_at_once),
        cmocka_unit_test(a_label_behind_an_end_is_refused),
        cmocka_unit_test(a_label_before_the_first_tick),
        cmocka_unit_test(a_full_class_takes_nobody_back_for_a_label),
        cmocka_unit_test(labels_of_no_streams_fill_no_memory),
        cmocka_unit_test(many_labels_of_one_are_refused_in_goes),
        cmocka_unit_test_teardown(labels_beside_a_disk_that_fails, kept_scene_teardown),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
