/* Open intervals of streams that are on disk: found there, and closed by the clock; while the disk fails, later. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/reopening.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct scene {
    struct rig rig;
    void *push;
    char folder[256];
};

static void start(struct scene *scene) {
    char rest[1024];
    snprintf(rest, sizeof rest,
             "workers: 1\nstate_dir: %s\n" RIG_CLASS "    every: 100ms\n    close_after: 300ms\n" RIG_MODEL,
             scene->folder);
    rig_open(&scene->rig, &(struct rig_setup){.rest = rest, .returns = true});
    scene->push = rig_connect(&scene->rig, ZMQ_PUSH, scene->rig.config->bus.ticks);
}

static void stop(struct scene *scene) {
    rig_disconnect(scene->push);
    rig_close(&scene->rig);
}

static void open_scene(struct scene *scene) {
    static int number;
    snprintf(scene->folder, sizeof scene->folder, "%s/reopening-%d", rig_folder(), number++);
    start(scene);
}

static void close_scene(struct scene *scene) {
    char command[300];
    stop(scene);
    snprintf(command, sizeof command, "rm -rf %s", scene->folder);
    assert_int_equal(system(command), 0);
}

static int teardown(void **state) {
    (void)state;
    disk_works(true);
    return 0;
}

static struct stream *find(struct scene *scene, const char *name) {
    return streams_find(scene->rig.streams, name, strlen(name));
}

/* It has an interval that is open. */
static struct stream *begin(struct scene *scene, const char *name) {
    rig_send_tick(scene->push, name, clock_realtime(), (const double[]){1, 2}, 2);
    for (int64_t began = 0; find(scene, name) == NULL; rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
    return find(scene, name);
}

/* The same, and it is on disk. */
static void leave(struct scene *scene, const char *name) {
    assert_int_equal(ingest_evict(scene->rig.ingest, begin(scene, name)), 0);
    for (int64_t began = 0; returns_find(scene->rig.returns, name, strlen(name)) != NULL; rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
    assert_int_equal(ingest_n_open(scene->rig.ingest), 1);
}

static void fail_disk(struct scene *scene) {
    static const char text[] = "c/0 a=1,b=2 5";
    const struct journal_entry entry = {.kind = JOURNAL_TICKS, .bytes = text, .n = strlen(text)};
    uint64_t order;
    disk_works(false);
    assert_true(store_append(scene->rig.store, &entry, &order));
    store_hurry(scene->rig.store);
    for (int64_t began = 0; !store_degraded(scene->rig.store);)
        assert_true(rig_wait(&began));
}

static void take_turns(struct scene *scene, int64_t ns) {
    for (int64_t until = clock_monotonic() + ns; clock_monotonic() < until; rig_turn(&scene->rig))
        ingest_close_due(scene->rig.ingest);
}

/* Who cannot come back for it is in nobody's way, and comes when the disk is back. */
static void it_closes_when_the_disk_is_back(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    leave(&scene, "c/1");
    const struct stream *other = begin(&scene, "c/2");
    fail_disk(&scene);
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
    for (int64_t began = 0; find(&scene, "c/1") == NULL || atomic_load(&find(&scene, "c/1")->steps) == 0;) {
        take_turns(&scene, 1000000);
        assert_true(rig_wait(&began));
    }
    assert_int_equal(atomic_load(&find(&scene, "c/1")->steps), 1);
    assert_int_equal(ingest_n_open(scene.rig.ingest), 0);
    close_scene(&scene);
}

/* At a start: asked for again until the disk answers, and now and then only. */
static void they_are_found_when_the_disk_is_back(void **state) {
    (void)state;
    struct scene scene;
    struct store_status status;
    struct reopening reopening;
    open_scene(&scene);
    leave(&scene, "c/1");
    stop(&scene);
    start(&scene);
    fail_disk(&scene);
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
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_closes_when_the_disk_is_back, teardown),
        cmocka_unit_test_teardown(they_are_found_when_the_disk_is_back, teardown),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
