/* Open intervals of streams that are on disk: found there, and closed by the clock; while the disk fails, later. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/reopening.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "tests/support/kept_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static const struct kept_setup setup = {.of_class = "    every: 100ms\n    close_after: 300ms\n"};

/* It has an interval that is open. */
static struct stream *begin(struct kept_scene *scene, const char *name) {
    rig_send_tick(scene->push, name, clock_realtime(), (const double[]){1, 2}, 2);
    return kept_scene_await(scene, name);
}

/* The same, and it is on disk. */
static void leave(struct kept_scene *scene, const char *name) {
    assert_int_equal(ingest_evict(scene->rig.ingest, begin(scene, name)), 0);
    kept_scene_await_left(scene, name);
    assert_int_equal(ingest_n_open(scene->rig.ingest), 1);
}

static void take_turns(struct kept_scene *scene, int64_t ns) {
    for (int64_t until = clock_monotonic() + ns; clock_monotonic() < until; rig_turn(&scene->rig))
        ingest_close_due(scene->rig.ingest);
}

/* Who cannot come back for it is in nobody's way, and comes when the disk is back. */
static void it_closes_when_the_disk_is_back(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    leave(&scene, "c/1");
    const struct stream *other = begin(&scene, "c/2");
    kept_scene_fail_disk(&scene);
    take_turns(&scene, INT64_C(600000000));
    for (int64_t began = 0; atomic_load(&other->steps) == 0; take_turns(&scene, 1000000))
        assert_true(rig_wait(&began));
    assert_null(returns_find(scene.rig.returns, "c/1", 3));
    assert_int_equal(ingest_n_open(scene.rig.ingest), 1);
    int most = 0; /* it is not tried all the time */
    for (int turn = 0; turn < 400 && most <= 50; turn++, take_turns(&scene, 1000000)) {
        int wait = ingest_close_wait_ms(scene.rig.ingest, 1000);
        most = wait > most ? wait : most;
    }
    assert_true(most > 50);
    disk_works(true);
    for (int64_t began = 0;
         kept_scene_find(&scene, "c/1") == NULL || atomic_load(&kept_scene_find(&scene, "c/1")->steps) == 0;) {
        take_turns(&scene, 1000000);
        assert_true(rig_wait(&began));
    }
    assert_int_equal(atomic_load(&kept_scene_find(&scene, "c/1")->steps), 1);
    assert_int_equal(ingest_n_open(scene.rig.ingest), 0);
    kept_scene_close(&scene);
}

/* At a start: asked for again until the disk answers, and now and then only. */
static void they_are_found_when_the_disk_is_back(void **state) {
    (void)state;
    struct kept_scene scene;
    struct store_status status;
    struct reopening reopening;
    kept_scene_open(&scene, &setup);
    leave(&scene, "c/1");
    kept_scene_restart(&scene, &setup);
    kept_scene_fail_disk(&scene);
    reopening_init(&reopening, scene.rig.config, scene.rig.returns, scene.rig.ingest);
    int64_t began = clock_monotonic();
    while (clock_monotonic() < began + 300000000) {
        reopening_poll(&reopening);
        returns_poll(scene.rig.returns);
    }
    store_status(scene.rig.store, &status);
    assert_in_range(status.asked, 1, 2 + (clock_monotonic() - began) / 50000000);
    assert_false(reopening.done);
    assert_int_equal(ingest_n_open(scene.rig.ingest), 0);
    disk_works(true);
    for (began = 0; !reopening.done; reopening_poll(&reopening)) {
        returns_poll(scene.rig.returns);
        assert_true(rig_wait(&began));
    }
    assert_int_equal(ingest_n_open(scene.rig.ingest), 1);
    kept_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_closes_when_the_disk_is_back, kept_scene_teardown),
        cmocka_unit_test_teardown(they_are_found_when_the_disk_is_back, kept_scene_teardown),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
