/*
 * The machine crashes at every sync point of promotions: there is always one champion, and it is whole; never an older
 * one than was told to be published.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/versions.h"
#include "tests/fault/disk.h"
#include "tests/fault/fault.h"
#include "tests/support/bus_fixture.h"
#include "tests/support/daemon.h"
#include "tests/support/fixtures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSIONS = 24 }; /* more than are kept */

struct scene {
    struct config *config;
    struct doorbell bell;
    struct versions *versions; /* NULL: refused */
    struct error err;
};

static void open_scene(struct scene *scene, const char *state_dir) {
    char text[1024];
    snprintf(text, sizeof text,
             "state_dir: %s\nstreams:\n  - {class: c, pattern: 'c/*', features: [a, b]}\nmodels:\n"
             "  - {name: m, class: c, batch_size: 2, layers: [{lstm: 4}]}\n",
             state_dir);
    scene->config = rig_config("", text);
    assert_int_equal(doorbell_init(&scene->bell), 0);
    scene->versions = versions_open(scene->config, &scene->bell, &scene->err);
}

static void close_scene(struct scene *scene) {
    versions_close(scene->versions);
    doorbell_fini(&scene->bell);
    config_free(scene->config);
}

/* Number 0: the baseline. */
static struct version *version_of(const struct scene *scene, uint64_t number) {
    return number == 0 ? version_new(0, NULL) : fixture_version(&scene->config->models[0], number, number);
}

/* What runs under the layer: one version after the other; one that cannot be published serves nobody. */
static void publish(const char *root) {
    char folder[512];
    struct scene scene;
    uint64_t serving = 0;
    snprintf(folder, sizeof folder, "%s/state", root);
    open_scene(&scene, folder);
    for (uint64_t number = 1; scene.versions != NULL && number <= VERSIONS; number++) {
        struct version *champion = version_of(&scene, number), *before = version_of(&scene, serving);
        const struct versions_record record = {
            .champion = champion, .before = before, .facts = "{\"a\": 1}", .about = "how it came"};
        if (versions_put(scene.versions, &record, &scene.err) == 0) {
            fault_note("published %d", (int)number);
            serving = number;
        }
        version_release(champion);
        version_release(before);
    }
    close_scene(&scene);
}

/* ---- what is left --------------------------------------------------------------------------- */

static struct fault fault;

static void check_weights(const struct scene *scene, const struct version *version, const char *which) {
    struct version *same = version_of(scene, version_number(version));
    const struct network *a = version_network(same), *b = version_network(version);
    if ((a == NULL) != (b == NULL) ||
        (a != NULL && memcmp(network_params_const(a), network_params_const(b), network_n_params(a) * 4) != 0))
        fail_msg("%s: version %d has other weights", which, (int)version_number(version));
    version_release(same);
}

struct looking {
    char state[300];
    uint64_t published;
    int newer; /* a champion that had not been told of yet */
};

static void mark(void *context, const char *text) {
    assert_int_equal(sscanf(text, "published %lu", &((struct looking *)context)->published), 1);
}

/* It is found, with the one before it, and another one can be published. */
static void look(void *context, const char *which) {
    struct looking *looking = context;
    struct scene scene;
    struct versions_found found;
    open_scene(&scene, looking->state);
    if (scene.versions == NULL || versions_find(scene.versions, 0, &found, &scene.err) != 0)
        fail_msg("%s: %s", which, scene.err.text);
    uint64_t number = found.champion != NULL ? version_number(found.champion) : 0;
    if (number < looking->published || number > looking->published + 1)
        fail_msg("%s: version %d was published, version %d is there", which, (int)looking->published, (int)number);
    if (number > 0) {
        check_weights(&scene, found.champion, which);
        assert_non_null(found.before);
        assert_true(version_number(found.before) < number);
        check_weights(&scene, found.before, which);
    }
    looking->newer += number > looking->published;
    struct version *next = version_of(&scene, found.highest + 1);
    const struct versions_record record = {.champion = next, .before = found.champion, .facts = "{}", .about = "it"};
    if (versions_put(scene.versions, &record, &scene.err) != 0)
        fail_msg("%s: %s", which, scene.err.text);
    version_release(next);
    version_release(found.champion);
    version_release(found.before);
    free(found.facts);
    close_scene(&scene);
}

static int torn(void *context, size_t sync) {
    (void)context, (void)sync;
    return getenv("FAULT_LONG") != NULL ? 20 : 4;
}

static void test_crashes(void **state) {
    (void)state;
    struct looking looking = {0};
    snprintf(looking.state, sizeof looking.state, "%s/state", fault.left);
    assert_int_equal(fault_run_self(&fault, "publish", NULL), 0);
    int crashes = disk_crash_all(&(struct disk_crashes){
        .log = fault.log, .folder = fault.left, .torn = torn, .mark = mark, .look = look, .context = &looking});
    print_message("%d crashes, %d left a champion that had not been told of\n", crashes, looking.newer);
    assert_int_equal(looking.published, VERSIONS);
    assert_true(looking.newer > 0);
}

/* The process goes on when an operation fails, and what it has left is as good. */
static void look_after(const char *which) {
    struct looking looking = {0};
    disk_free(disk_at_end(fault.log, mark, &looking));
    snprintf(looking.state, sizeof looking.state, "%s/state", fault.root);
    look(&looking, which);
}

static void fail_each(int error, bool for_good) {
    fault_each(&fault, &(struct fault_each){.what = "publish",
                                            .kinds = FAULT_FILES,
                                            .error = error,
                                            .for_good = for_good,
                                            .step = getenv("FAULT_LONG") != NULL ? 1 : 7,
                                            .look = look_after});
}

static void test_one_error(void **state) {
    (void)state;
    fail_each(EIO, false);
}

static void test_full_disk(void **state) {
    (void)state;
    fail_each(ENOSPC, true);
}

int main(int argc, char **argv) {
    if (argc > 2) {
        publish(argv[2]);
        return 0;
    }
    scenario_begin(getenv("FAULT_LONG") != NULL ? 3000 : 280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_crashes, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_one_error, fault_set_up, fault_tear_down, &fault),
        cmocka_unit_test_prestate_setup_teardown(test_full_disk, fault_set_up, fault_tear_down, &fault),
    };
    return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}
