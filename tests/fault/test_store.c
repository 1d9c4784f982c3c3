/*
 * The store after a crash of the machine at every sync point of its life: all that was told to be durable is there, in
 * its order and whole, behind it at most what was appended, and it goes on from there.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/fault/disk.h"
#include "tests/fault/fault.h"
#include "tests/support/daemon.h"
#include "tests/support/store_fixture.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIVES = 3, ENTRIES = 400 /* of a life */, OUTLAST = 200 };

/* ---- what runs under the layer -------------------------------------------------------------- */

/* A configuration for a store in that folder. */
static void scene_in(struct store_scene *scene, char *folder) {
    store_scene_config(scene, "sync_every: 2ms\n");
    free(scene->config->state_dir);
    scene->config->state_dir = strdup(folder);
    assert_non_null(scene->config->state_dir);
}

static void scene_out(struct store_scene *scene) {
    store_close(scene->store);
    doorbell_fini(&scene->bell);
    config_free(scene->config);
}

static void await_durable(struct store_scene *scene, uint64_t order) {
    store_hurry(scene->store);
    for (int64_t began = 0; store_durable(scene->store) < order;)
        assert_true(rig_wait(&began));
    fault_note("durable %llu", (unsigned long long)order);
}

/* Groups of many sizes, some waited for; the end of a life is in order. */
static void live(const char *root) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s/state", root);
    uint64_t order = 0;
    for (int life = 0; life < LIVES; life++) {
        struct store_scene scene;
        scene_in(&scene, folder);
        store_scene_start(&scene);
        for (int i = 1; i <= ENTRIES; i++) {
            order = store_scene_append(&scene, (int)order + 1);
            if (i % 40 == 0 || i < 5)
                await_durable(&scene, order);
        }
        scene_out(&scene);
        fault_note("durable %llu", (unsigned long long)order);
    }
}

/* A shorter life, on a disk that fails: refused with a sentence, or degraded, or not told of. */
static void endure(const char *root) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s/state", root);
    uint64_t order = 0;
    for (int life = 0; life < 2; life++) {
        struct store_scene scene;
        struct error err = {""};
        scene_in(&scene, folder);
        scene.store = store_open(scene.config, &scene.bell, &err);
        if (scene.store == NULL && strlen(err.text) < 20)
            abort();
        order = scene.store != NULL ? store_order(scene.store) : 0;
        for (int i = 1; scene.store != NULL && i <= 30; i++) {
            order = store_scene_append(&scene, (int)order + 1);
            if (i % 10 != 0)
                continue;
            store_hurry(scene.store);
            for (int64_t began = 0; store_durable(scene.store) < order && !store_degraded(scene.store);)
                assert_true(rig_wait(&began));
            fault_note("durable %llu", (unsigned long long)store_durable(scene.store));
        }
        scene_out(&scene);
    }
}

/* The disk fails for a while: all that was appended meanwhile is durable when it is back. */
static void outlast(const char *root) {
    char folder[512];
    struct store_scene scene;
    snprintf(folder, sizeof folder, "%s/state", root);
    scene_in(&scene, folder);
    store_scene_start(&scene);
    fault_note("open %ld", fault_seen_here());
    for (int i = 1; i <= OUTLAST; i++) {
        uint64_t order = store_scene_append(&scene, i);
        if (i % 20 != 0)
            continue;
        store_hurry(scene.store);
        for (int64_t began = 0; store_durable(scene.store) < order || store_degraded(scene.store);) {
            assert_true(rig_wait(&began));
            if (!store_round_wanted(scene.store) || !store_round_begin(scene.store, 0))
                continue;
            for (began = 0; !store_round_end(scene.store);)
                assert_true(rig_wait(&began));
        }
        fault_note("durable %llu", (unsigned long long)order);
    }
    struct store_status status;
    store_status(scene.store, &status);
    assert_int_equal(status.dropped, 0);
    scene_out(&scene);
}

/* ---- what is left --------------------------------------------------------------------------- */

static struct fault fault;

/* Opens what is left, and lives a little more. Returns the last order that was there. */
static uint64_t open_left(char *folder, uint64_t durable, const char *which) {
    struct store_scene scene;
    struct error err;
    scene_in(&scene, folder);
    scene.store = store_open(scene.config, &scene.bell, &err);
    if (scene.store == NULL)
        fail_msg("%s: %s", which, err.text);
    uint64_t last = store_order(scene.store);
    if (last < durable)
        fail_msg("%s: %llu entries were durable, %llu are there", which, (unsigned long long)durable,
                 (unsigned long long)last);
    store_scene_expect(&scene, 1, last);
    assert_int_equal(store_scene_append(&scene, (int)last + 1), last + 1);
    await_durable(&scene, last + 1);
    scene_out(&scene);
    scene_in(&scene, folder);
    store_scene_start(&scene);
    store_scene_expect(&scene, 1, last + 1);
    scene_out(&scene);
    return last;
}

struct looking {
    char state[300];
    size_t every; /* of how many syncs one is looked at */
    uint64_t durable;
    int more;     /* crashes that left entries behind the durable ones */
    long to_open; /* operations */
};

static void mark(void *context, const char *text) {
    struct looking *looking = context;
    uint64_t durable = 0;
    assert_true(sscanf(text, "durable %lu", &durable) == 1 || sscanf(text, "open %ld", &looking->to_open) == 1);
    looking->durable = durable > looking->durable ? durable : looking->durable;
}

static void look(void *context, const char *which) {
    struct looking *looking = context;
    looking->more += open_left(looking->state, looking->durable, which) > looking->durable;
}

static int torn(void *context, size_t sync) {
    const struct looking *looking = context;
    return sync % looking->every == 0 ? 2 : -1;
}

static struct looking crash_all(size_t every) {
    struct looking looking = {.every = getenv("FAULT_LONG") != NULL ? 1 : every};
    snprintf(looking.state, sizeof looking.state, "%s/state", fault.left);
    int crashes = disk_crash_all(&(struct disk_crashes){
        .log = fault.log, .folder = fault.left, .torn = torn, .mark = mark, .look = look, .context = &looking});
    print_message("%d crashes, %d left more than was promised\n", crashes, looking.more);
    return looking;
}

static void test_crashes(void **state) {
    (void)state;
    assert_int_equal(fault_run_self(&fault, "live", NULL), 0);
    struct looking looking = crash_all(5);
    assert_int_equal(looking.durable, LIVES * ENTRIES);
    assert_true(looking.more > 0);
}

/* ---- a disk that fails ---------------------------------------------------------------------- */

/* What the process has left, and what a crash of the machine behind its end would have. */
static void look_after(const char *which) {
    char state[300];
    struct looking looking = {0};
    struct disk *disk = disk_at_end(fault.log, mark, &looking);
    snprintf(state, sizeof state, "%s/state", fault.root);
    open_left(state, looking.durable, which);
    snprintf(state, sizeof state, "%s/state", fault.left);
    disk_leave(disk, DISK_DROPPED, 0, fault.left);
    open_left(state, looking.durable, which);
    disk_remove_folder(fault.left);
    disk_free(disk);
}

static void fail_each(int kinds, int error, bool for_good) {
    fault_each(&fault, &(struct fault_each){.what = "endure",
                                            .kinds = kinds,
                                            .error = error,
                                            .for_good = for_good,
                                            .step = getenv("FAULT_LONG") != NULL ? 1
                                                    : for_good                   ? 61
                                                                                 : 29,
                                            .look = look_after});
}

static void test_one_error(void **state) {
    (void)state;
    fail_each(FAULT_FILES, EIO, false);
}

static void test_broken_disk(void **state) {
    (void)state;
    fail_each(FAULT_FILES, EIO, true);
}

static void test_full_disk(void **state) {
    (void)state;
    fail_each(FAULT_CHANGES, ENOSPC, true);
}

static void test_read_only_disk(void **state) {
    (void)state;
    fail_each(FAULT_CHANGES, EROFS, true);
}

/* How many operations a run without errors has, and how many of them open the store. */
static long operations_of(int kinds, long *ret_to_open) {
    fault_set(&fault, kinds, EIO, INT_MAX, INT_MAX);
    assert_int_equal(fault_run_self(&fault, "outlast", NULL), 0);
    struct looking looking = {0};
    disk_free(disk_at_end(fault.log, mark, &looking));
    *ret_to_open = looking.to_open;
    fault_begin_anew(&fault);
    return atomic_load(&fault.plan->seen);
}

/* Attempts to come back fail once more, and twice as long lies between them as before: what they fail in all stays within
 * the time that rig_wait gives. */
enum { LENGTHS = 4 };

/* It fails from some operation on, for a while, and the machine crashes anywhere. */
static void come_back(int kinds, int error) {
    long first, all = operations_of(kinds, &first);
    int runs = getenv("FAULT_LONG") != NULL ? 20 : 2;
    for (int run = 0; run < runs; run++) {
        long from = first + 1 + (all - first) * run / (2 * runs);
        fault_set(&fault, kinds, error, from, from + 2 * (run % LENGTHS));
        assert_int_equal(fault_run_self(&fault, "outlast", NULL), 0);
        assert_true(atomic_load(&fault.plan->failed) > 0);
        fault_clear(&fault);
        struct looking looking = crash_all(8);
        assert_int_equal(looking.durable, OUTLAST);
        fault_begin_anew(&fault);
    }
}

static void test_full_for_a_while(void **state) {
    (void)state;
    come_back(FAULT_CHANGES, ENOSPC);
}

static void test_syncs_fail_for_a_while(void **state) {
    (void)state;
    come_back(FAULT_SYNC, EIO);
}

int main(int argc, char **argv) {
    if (argc > 2) {
        (strcmp(argv[1], "live") == 0 ? live : strcmp(argv[1], "outlast") == 0 ? outlast : endure)(argv[2]);
        return 0;
    }
    scenario_begin(getenv("FAULT_LONG") != NULL ? 3000 : 280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_crashes, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_one_error, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_broken_disk, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_full_disk, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_read_only_disk, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_full_for_a_while, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_syncs_fail_for_a_while, fault_set_up, fault_tear_down, &fault),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
