#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/store.h"

#include "daemon/clock.h"
#include "tests/support/store_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void entries_come_back_in_their_order(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    assert_int_equal(store_order(scene.store), 0);
    for (int i = 1; i <= 1000; i++)
        assert_int_equal(store_scene_append(&scene, i), i);
    store_scene_reopen(&scene);
    assert_int_equal(store_order(scene.store), 1000);
    assert_int_equal(store_durable(scene.store), 1000);
    store_scene_expect(&scene, 1, 1000);
    assert_int_equal(store_scene_append(&scene, 1001), 1001);
    store_scene_reopen(&scene);
    store_scene_expect(&scene, 1, 1001);
    store_scene_close(&scene);
}

static bool take_whole(void *context, uint64_t order, const struct journal_entry *entry) {
    assert_int_equal(order, 1);
    assert_int_equal(entry->kind, JOURNAL_COMMAND);
    assert_int_equal(entry->source, 3);
    assert_int_equal(entry->received, -5);
    assert_int_equal(entry->producer, UINT64_MAX);
    assert_int_equal(entry->sequence, UINT64_MAX - 1);
    assert_int_equal(entry->n_head, 3);
    assert_memory_equal(entry->head, "c/1", 3);
    assert_int_equal(entry->n, 5);
    assert_memory_equal(entry->bytes, "a\0b\0c", 5);
    ++*(int *)context;
    return false;
}

static void an_entry_comes_back_whole(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    const struct journal_entry entry = {.kind = JOURNAL_COMMAND,
                                        .source = 3,
                                        .received = -5,
                                        .producer = UINT64_MAX,
                                        .sequence = UINT64_MAX - 1,
                                        .head = "c/1",
                                        .n_head = 3,
                                        .bytes = "a\0b\0c",
                                        .n = 5};
    uint64_t order;
    assert_true(store_append(scene.store, &entry, &order));
    assert_true(store_append(scene.store, &(struct journal_entry){.kind = JOURNAL_TICKS}, &order));
    store_scene_reopen(&scene);
    int taken = 0;
    struct error err;
    assert_int_equal(store_tail(scene.store, take_whole, &taken, &err), 0);
    assert_int_equal(taken, 1); /* it said that it wants no more */
    store_scene_close(&scene);
}

static void who_waits_is_told_at_once(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_config(&scene, "sync_every: 60s\n");
    store_scene_start(&scene);
    uint64_t order = store_scene_append(&scene, 1);
    doorbell_arm(&scene.bell);
    store_hurry(scene.store);
    int64_t began = clock_monotonic();
    while (store_durable(scene.store) < order) {
        assert_true(clock_monotonic() - began < INT64_C(20000000000));
        doorbell_wait(&scene.bell, 20000);
        doorbell_disarm(&scene.bell);
        doorbell_arm(&scene.bell);
    }
    doorbell_disarm(&scene.bell);
    store_scene_close(&scene);
}

static void nobody_waits_longer_than_sync_every(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    for (int round = 1; round <= 3; round++) {
        uint64_t order = store_scene_append(&scene, round);
        for (int64_t began = 0; store_durable(scene.store) < order;)
            assert_true(rig_wait(&began));
    }
    store_scene_close(&scene);
}

/* Whatever comes while the disk is busy goes with the next group. */
static void what_waits_goes_in_one_group(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_config(&scene, "sync_every: 60s\n");
    store_scene_start(&scene);
    for (int i = 1; i <= 5000; i++)
        store_scene_append(&scene, i);
    store_hurry(scene.store);
    struct store_status status;
    for (int64_t began = 0; store_durable(scene.store) < 5000;)
        assert_true(rig_wait(&began));
    store_status(scene.store, &status);
    assert_int_equal(status.entries, 5000);
    assert_true(status.blocks <= 2); /* the first one may have been taken before the rest came */
    assert_int_equal(status.order, 5000);
    assert_false(status.degraded);
    store_scene_close(&scene);
}

/* An entry nearly as long as the ring allows, and many that do not fit at once. */
static void a_full_ring_says_so(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_config(&scene, "sync_every: 60s\njournal_ring: 64KiB\n");
    scene.config->bus.max_message = 64 << 10;
    store_scene_start(&scene);
    static char bytes[64 << 10];
    const struct journal_entry entry = {.kind = JOURNAL_TICKS, .bytes = bytes, .n = sizeof bytes};
    uint64_t order, full = 0;
    for (uint64_t i = 1; i <= 200; i++) {
        for (int64_t began = 0; !store_append(scene.store, &entry, &order); full++)
            assert_true(rig_wait(&began));
        assert_int_equal(order, i);
    }
    struct store_status status;
    store_status(scene.store, &status);
    assert_true(full > 0);
    assert_int_equal(status.full, full);
    assert_int_equal(status.dropped, 0);
    store_scene_reopen(&scene);
    assert_int_equal(store_order(scene.store), 200);
    store_scene_close(&scene);
}

static void a_folder_has_one_daemon(void **state) {
    (void)state;
    struct store_scene scene;
    struct error err;
    store_scene_open(&scene);
    struct stat status;
    assert_int_equal(stat(scene.folder, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_null(store_open(scene.config, &scene.bell, &err));
    assert_non_null(strstr(err.text, "another forecastd is using"));
    store_scene_append(&scene, 1);
    store_scene_reopen(&scene);
    store_scene_expect(&scene, 1, 1);
    store_scene_close(&scene);
}

static int files_in(const struct store_scene *scene) {
    char path[300];
    snprintf(path, sizeof path, "%s/db", scene->folder);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    int n = 0;
    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n;
}

/* Nor does each start leave something behind. */
static void starts_leave_no_files_behind(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    int most = 0;
    for (int i = 0; i < 20; i++) {
        store_scene_reopen(&scene);
        if (i < 8)
            most = files_in(&scene) > most ? files_in(&scene) : most;
    }
    assert_true(files_in(&scene) <= most + 2);
    store_scene_close(&scene);
}

static void a_folder_that_cannot_be_made_is_refused(void **state) {
    (void)state;
    struct store_scene scene;
    struct error err;
    store_scene_config(&scene, "");
    char *folder = scene.config->state_dir;
    scene.config->state_dir = "/nowhere/at/all";
    assert_null(store_open(scene.config, &scene.bell, &err));
    assert_non_null(strstr(err.text, "cannot make /nowhere/at/all"));
    scene.config->state_dir = folder;
    store_scene_start(&scene);
    store_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back_in_their_order),
        cmocka_unit_test(an_entry_comes_back_whole),
        cmocka_unit_test(who_waits_is_told_at_once),
        cmocka_unit_test(nobody_waits_longer_than_sync_every),
        cmocka_unit_test(what_waits_goes_in_one_group),
        cmocka_unit_test(a_full_ring_says_so),
        cmocka_unit_test(a_folder_has_one_daemon),
        cmocka_unit_test(starts_leave_no_files_behind),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
