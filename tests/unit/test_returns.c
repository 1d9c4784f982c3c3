/* Who is asked for, and when; questions to a disk that fails. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/returns.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/records.h"
#include "daemon/rounds.h"
#include "daemon/worker_internal.h"
#include "tests/support/kept_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static void await_degraded(struct rig *rig, bool degraded) {
    store_hurry(rig->store);
    for (int64_t began = 0; store_degraded(rig->store) != degraded;)
        assert_true(rig_wait(&began));
}

enum looks { OF_OPEN, OF_NAMES, OF_STREAM };

static bool look(struct rig *rig, enum looks of) {
    switch (of) {
    case OF_OPEN: return returns_look_for_open(rig->returns, "", 10);
    case OF_NAMES: return returns_look_for_names(rig->returns, "", "", 10, 1);
    default: return returns_look(rig->returns, "c/1", 3, 1);
    }
}

static struct stored *looked(struct rig *rig, enum looks of) {
    uint64_t request;
    return of == OF_OPEN ? returns_looked_open(rig->returns) : returns_looked(rig->returns, &request);
}

/* Asks as often as may be, and waits for each answer. Returns how often. */
static int ask_for(struct rig *rig, enum looks of, int64_t ns) {
    int answers = 0;
    bool asked = false;
    for (int64_t began = clock_monotonic(); asked || clock_monotonic() < began + ns;) {
        asked = asked || look(rig, of);
        returns_poll(rig->returns);
        struct stored *answer = looked(rig, of);
        if (answer == NULL)
            continue;
        assert_int_equal(answer->found, STORED_FAILED);
        stored_free(answer);
        asked = false;
        answers++;
    }
    return answers;
}

static void a_disk_that_fails_is_left_alone_by_all_who_look(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){0});
    struct rig *rig = &scene.rig;
    kept_scene_fail_disk(&scene);
    for (enum looks of = OF_OPEN; of <= OF_STREAM; of++) {
        int64_t began = clock_monotonic();
        int answers = ask_for(rig, of, 200000000);
        assert_in_range(answers, 1, 2 + (clock_monotonic() - began) / 20000000);
    }
    disk_works(true);
    await_degraded(rig, false);
    for (int64_t began = 0; !look(rig, OF_OPEN);)
        assert_true(rig_wait(&began));
    struct stored *answer = NULL;
    for (int64_t began = 0; (answer = looked(rig, OF_OPEN)) == NULL; returns_poll(rig->returns))
        assert_true(rig_wait(&began));
    assert_int_equal(answer->found, STORED_NAMES);
    stored_free(answer);
    kept_scene_close(&scene);
}

/* ---- what is told of who has come back ---------------------------------------------------------- */

static bool is_paused(struct kept_scene *scene, const char *name) {
    return atomic_load(&kept_scene_await(scene, name)->paused);
}

/* A pause goes on while a stream is away, and is told of still, as an end of it is. */
static void a_pause_comes_back_with_its_stream(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){0});
    for (int paused = 1; paused >= 0; paused--) {
        kept_scene_tick(&scene, "c/1");
        struct stream *stream = kept_scene_await(&scene, "c/1");
        assert_int_equal(ingest_pause(scene.rig.ingest, "c/1", paused), 0);
        assert_int_equal(ingest_evict(scene.rig.ingest, stream), 0);
        kept_scene_await_left(&scene, "c/1");
        kept_scene_tick(&scene, "c/1");
        for (int64_t began = 0; is_paused(&scene, "c/1") != paused; rig_turn(&scene.rig))
            assert_true(rig_wait(&began));
    }
    kept_scene_close(&scene);
}

/* Ticks that were held where their class holds none any more: they go on before all else, also where nothing comes but a round. */
static void what_is_not_held_any_more_goes_on(void **state) {
    (void)state;
    enum { TICKS = 3 };
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.of_class = "    reorder: 2s\n"});
    for (int i = 0; i < TICKS; i++)
        kept_scene_tick(&scene, "c/1");
    assert_int_equal(atomic_load(&kept_scene_await(&scene, "c/1")->steps), 0);
    assert_int_equal(ingest_evict(scene.rig.ingest, kept_scene_await(&scene, "c/1")), 0);
    kept_scene_await_left(&scene, "c/1");
    kept_scene_restart(&scene, &(struct kept_setup){0});
    assert_int_equal(returns_bring(scene.rig.returns, 0, "c/1", 3, false), 0);
    const struct stream *stream = kept_scene_await(&scene, "c/1");
    for (int64_t began = 0; atomic_load(&stream->steps) < TICKS; rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    kept_scene_tick(&scene, "c/1");
    for (int64_t began = 0; atomic_load(&stream->steps) < TICKS + 1; rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    kept_scene_close(&scene);
}

/* What the shadow of the stream's batch has seen, and whether it has replayed all. */
static double seen_by_shadow(struct kept_scene *scene, bool *ret_ready) {
    struct worker *worker = scene->rig.workers[0];
    pthread_mutex_lock(&worker->owner);
    const struct batch *batch = worker->n_batches > 0 ? worker->batches[0] : NULL;
    *ret_ready = batch != NULL && forecaster_has_shadow(batch->forecaster) && !batch->shadow_replays;
    double weight = loss_series_weight(&worker->trials[0].losses.shadow);
    pthread_mutex_unlock(&worker->owner);
    return weight;
}

/* A version in the shadow of its batch sees it, too. */
static void a_stream_comes_back_beside_a_shadow(void **state) {
    (void)state;
    enum { TICKS = 4 };
    struct kept_scene scene;
    struct error err;
    bool ready = false;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    for (int i = 0; i < TICKS; i++)
        kept_scene_tick(&scene, "c/1");
    const struct stream *stream = kept_scene_await(&scene, "c/1");
    for (int64_t began = 0; atomic_load(&stream->steps) < TICKS; rig_turn(&scene.rig)) /* else the shadow sees them */
        assert_true(rig_wait(&began));
    struct version *version = version_new(2, forecaster_network(&scene.rig.config->models[0], &err));
    const struct record_shadow record = {RECORD_SHADOW, 0, version, 1};
    assert_true(ingest_command(scene.rig.ingest, 0, &record, sizeof record));
    for (int64_t began = 0; !ready; rig_turn(&scene.rig)) {
        assert_true(rig_wait(&began));
        assert_true(seen_by_shadow(&scene, &ready) == 0);
    }
    assert_int_equal(ingest_evict(scene.rig.ingest, kept_scene_await(&scene, "c/1")), 0);
    kept_scene_await_left(&scene, "c/1");
    for (int64_t began = 0; !(seen_by_shadow(&scene, &ready) > 0);) {
        assert_true(rig_wait(&began));
        kept_scene_tick(&scene, "c/1");
    }
    kept_scene_close(&scene);
}

/* ---- the order in which they are asked for ------------------------------------------------------ */

enum { BACKLOG = 3000 };

/* c/x is in memory, and on disk. */
static void bring_back(struct kept_scene *scene) {
    kept_scene_tick(scene, "c/x");
    kept_scene_await(scene, "c/x");
    assert_int_equal(ingest_evict(scene->rig.ingest, kept_scene_find(scene, "c/x")), 0);
    kept_scene_await_left(scene, "c/x");
    kept_scene_tick(scene, "c/x");
    kept_scene_await(scene, "c/x");
}

/* Something comes for many who are not in memory, in the reverse order of their names. */
static void send_backlog(struct kept_scene *scene) {
    char name[32];
    for (int i = 0; i < BACKLOG; i++) {
        snprintf(name, sizeof name, "c/%06d", BACKLOG - i);
        kept_scene_tick(scene, name);
    }
}

static void the_store_knows_of_ends_before_who_is_wanted(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){0});
    bring_back(&scene);
    scene.rig.holds_returns = true;
    send_backlog(&scene);
    assert_int_equal(ingest_end(scene.rig.ingest, "c/x"), 0);
    for (int64_t began = 0; !returns_has_ends(scene.rig.returns); rig_turn(&scene.rig))
        assert_true(rig_wait(&began));

    struct rounds rounds = {.config = scene.rig.config,
                            .store = scene.rig.store,
                            .ingest = scene.rig.ingest,
                            .returns = scene.rig.returns,
                            .to_close = true,
                            .began = clock_monotonic()};
    assert_true(store_round_begin(scene.rig.store, store_order(scene.rig.store)));
    rounds_poll(&rounds);
    assert_true(rounds.to_close); /* else the journal loses the end */
    returns_poll(scene.rig.returns);
    assert_false(returns_has_ends(scene.rig.returns));
    assert_int_equal(returns_counters(scene.rig.returns).kept, BACKLOG);
    rounds_poll(&rounds);
    assert_false(rounds.to_close);
    kept_scene_close(&scene);
}

static void they_come_in_the_order_of_the_store(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){0});
    scene.rig.holds_returns = true;
    send_backlog(&scene);
    scene.rig.holds_returns = false;
    kept_scene_await(&scene, "c/003000");
    const struct stream *before = streams_walk(scene.rig.streams); /* as they have come */
    for (int i = 1; i < BACKLOG; i++) {
        const struct stream *next = streams_walk(scene.rig.streams);
        assert_true(strcmp(before->name, next->name) < 0);
        before = next;
    }
    kept_scene_close(&scene);
}

/* What the journal held for a stream when it was read. */
static void keep_tail(struct kept_scene *scene) {
    struct returns *returns = scene->rig.returns;
    const struct record_pause record = {RECORD_PAUSE, NULL, 1, true};
    returns_read_tail(returns, true);
    struct returning *returning = returns_begin(returns, 0, "c/tail", 6);
    assert_non_null(returning);
    memcpy(returns_reserve(returns, returning, sizeof record), &record, sizeof record);
    returns_commit(returns, 1, 0);
    returns_read_tail(returns, false);
}

/* Something comes for others all the while, more than are brought back. */
static void who_stood_in_the_journal_does_not_wait_for_ever(void **state) {
    (void)state;
    struct kept_scene scene;
    char name[32];
    kept_scene_open(&scene, &(struct kept_setup){0});
    kept_scene_tick(&scene, "c/first");
    kept_scene_await(&scene, "c/first");
    keep_tail(&scene);
    int turns = 0, sent = 0;
    for (; returns_has_tail(scene.rig.returns); turns++) {
        assert_true(turns < 20);
        scene.rig.holds_returns = true;
        for (int i = 0; i < 2000; i++) {
            snprintf(name, sizeof name, "c/%06d", sent++);
            kept_scene_tick(&scene, name);
        }
        scene.rig.holds_returns = false;
        for (int i = 0; i < 10; i++)
            rig_turn(&scene.rig);
    }
    assert_true(returns_counters(scene.rig.returns).kept > 0);
    kept_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_store_knows_of_ends_before_who_is_wanted),
        cmocka_unit_test(they_come_in_the_order_of_the_store),
        cmocka_unit_test(who_stood_in_the_journal_does_not_wait_for_ever),
        cmocka_unit_test_teardown(a_disk_that_fails_is_left_alone_by_all_who_look, kept_scene_teardown),
        cmocka_unit_test(a_pause_comes_back_with_its_stream),
        cmocka_unit_test(what_is_not_held_any_more_goes_on),
        cmocka_unit_test(a_stream_comes_back_beside_a_shadow),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
