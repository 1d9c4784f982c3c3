/*
 * A version that takes over is published so that whenever the machine stops, and whichever operation on its files
 * fails, there is one champion and it is whole: the new one, if its publication was told as done, else that or the one
 * before.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/versions.h"

#include "daemon/log.h"
#include "tests/fault/disk.h"
#include "tests/fault/fault.h"
#include "tests/support/fixtures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSIONS = 3 };

/* ---- what runs under the layer ---------------------------------------------------------------- */

struct scene {
    struct fixture fixture;
    char *features[2];
    struct config config;
    struct doorbell bell;
    struct versions *versions;
};

static bool open_scene(struct scene *scene, const char *root, struct error *err) {
    static char a[] = "a", b[] = "b";
    fixture_init(&scene->fixture, 2);
    scene->features[0] = a;
    scene->features[1] = b;
    scene->fixture.class.features = scene->features;
    scene->config = (struct config){.state_dir = (char *)(uintptr_t)root,
                                    .classes = &scene->fixture.class,
                                    .n_classes = 1,
                                    .models = &scene->fixture.model,
                                    .n_models = 1};
    doorbell_init(&scene->bell);
    scene->versions = versions_open(&scene->config, &scene->bell, err);
    return scene->versions != NULL;
}

static void close_scene(struct scene *scene) {
    versions_close(scene->versions);
    doorbell_fini(&scene->bell);
}

/* Publishes version after version, each with the one before as the way back; tells which were. What fails is tried a
 * second time. */
static int publish_all(const char *root) {
    struct scene scene;
    struct error err;
    log_open((enum log_level)0);
    if (!open_scene(&scene, root, &err) && !open_scene(&scene, root, &err))
        return 3;
    struct version *before = version_new(0, NULL);
    for (uint64_t number = 1; number <= VERSIONS; number++) {
        struct version *version = fixture_version(&scene.fixture.model, number, number);
        const struct versions_record record = {
            .champion = version, .before = before, .facts = "{}", .about = "{\"loss\": 1}"};
        int tries = 0;
        while (versions_put(scene.versions, &record, &err) != 0)
            if (++tries == 2)
                return 4;
        fault_note("%d", (int)number);
        version_release(before);
        before = version;
    }
    version_release(before);
    close_scene(&scene);
    return 0;
}

/* ---- what the tests look at ------------------------------------------------------------------- */

static struct fault fault;

static int set_up(void **state) {
    (void)state;
    fault_open(&fault);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    fault_close_all();
    return 0;
}

/* The champion that a daemon would find, 0 for none; whole, and with its way back. */
static int champion_in(const char *root) {
    struct scene scene;
    struct versions_found found;
    struct error err;
    if (!open_scene(&scene, root, &err) || versions_find(scene.versions, 0, &found, &err) != 0)
        fail_msg("%s", err.text);
    int number = 0;
    if (found.champion != NULL) {
        number = (int)version_number(found.champion);
        struct version *same = fixture_version(&scene.fixture.model, (uint64_t)number, (uint64_t)number);
        const struct network *a = version_network(same), *b = version_network(found.champion);
        assert_memory_equal(network_params_const(a), network_params_const(b), network_n_params(a) * sizeof(float));
        version_release(same);
        assert_non_null(found.before);
        assert_int_equal(version_number(found.before), number - 1);
    }
    assert_true(found.highest >= (uint64_t)number);
    version_release(found.champion);
    version_release(found.before);
    free(found.facts);
    close_scene(&scene);
    return number;
}

static void look(const struct disk *disk, enum disk_crash crash, uint64_t seed, int told) {
    char folder[160];
    snprintf(folder, sizeof folder, "%s/left", fault.folder);
    disk_leave(disk, crash, seed, folder);
    int found = champion_in(folder);
    if (found != told && found != told + 1)
        fail_msg("version %d serves behind a crash, and %d was told", found, told);
    disk_remove_folder(folder);
}

static void test_crashes(void **state) {
    (void)state;
    assert_int_equal(fault_run_self(&fault, "publish", ""), 0);
    struct disk *disk = disk_new(fault.log, NULL);
    struct disk_step step;
    int told = 0, instants = 0;
    do {
        look(disk, DISK_DROPPED, 0, told);
        look(disk, DISK_WRITTEN_OUT, 0, told);
        for (uint64_t seed = 1; seed <= 3; seed++)
            look(disk, DISK_TORN, seed, told);
        instants++;
        if (!disk_step(disk, &step))
            break;
        if (step.kind == DISK_MARK)
            told = atoi(step.path);
    } while (true);
    print_message("%d instants, %zu syncs\n", instants, disk_syncs(disk));
    assert_int_equal(told, VERSIONS);
    assert_int_equal(champion_in(fault.root), VERSIONS);
    disk_free(disk);
}

/* Each operation fails once: the second try does it. All fail from some on, as on a disk that is full: what was told is
 * there. */
static void test_failures(void **state) {
    (void)state;
    static const struct {
        int error;
        bool for_good;
    } plans[] = {{EIO, false}, {ENOSPC, true}, {FAULT_SHORT, true}};
    for (size_t p = 0; p < sizeof plans / sizeof *plans; p++) {
        bool is_short = plans[p].error == FAULT_SHORT;
        long n = 1, failed = 1;
        for (; failed > 0; n++) {
            disk_remove_folder(fault.root);
            assert_int_equal(mkdir(fault.root, 0700), 0);
            fault_set(&fault, is_short ? FAULT_WRITE : FAULT_CHANGES, plans[p].error, n,
                      plans[p].for_good ? 1000000 : n);
            int status = fault_run_self(&fault, "publish", "");
            failed = atomic_load(&fault.plan->failed);
            fault_clear(&fault);
            if (is_short || !plans[p].for_good)
                assert_int_equal(status, 0);
            else
                assert_true(status == 0 || status == 3 || status == 4);
            int found = champion_in(fault.root);
            assert_true(found >= 0 && found <= VERSIONS && (status != 0 || found == VERSIONS));
        }
        print_message("%s%s: %ld operations\n", is_short ? "short writes" : strerror(plans[p].error),
                      plans[p].for_good ? " from then on" : "", n - 2);
        assert_true(n > VERSIONS);
    }
}

int main(int argc, char **argv) {
    if (argc > 2)
        return publish_all(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_crashes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
    };
    log_open((enum log_level)0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
