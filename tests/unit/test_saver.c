#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/saver.h"

#include "tests/support/fixtures.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What was asked of the writer, which waits until it may go on. */
static struct {
    atomic_bool may_go;
    char path[64], own[64];
    const struct network *network;
    int calls;
} written;

static int write_it(const char *path, const struct network *network, const char *own, struct error *err) {
    while (!atomic_load(&written.may_go))
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    written.calls++;
    written.network = network;
    snprintf(written.path, sizeof written.path, "%s", path);
    snprintf(written.own, sizeof written.own, "%s", own != NULL ? own : "none");
    return strcmp(path, "/full") == 0 ? error_set(err, "%s: no space", path) : 0;
}

struct scene {
    struct doorbell bell;
    struct version *version;
    struct saver *saver;
};

static void open_scene(struct scene *scene) {
    struct fixture fixture;
    fixture_init(&fixture, 2);
    assert_int_equal(doorbell_init(&scene->bell), 0);
    scene->version = fixture_version(&fixture.model, 12, 1);
    scene->saver = saver_new(write_it, &scene->bell);
    assert_non_null(scene->saver);
    written.calls = 0;
    atomic_store(&written.may_go, false);
}

static void close_scene(struct scene *scene) {
    saver_free(scene->saver);
    version_release(scene->version);
    doorbell_fini(&scene->bell);
}

static void one_is_written_at_a_time(void **state) {
    (void)state;
    struct scene scene;
    struct error err;
    struct saver_result result;
    open_scene(&scene);
    assert_false(saver_has_result(scene.saver));
    assert_false(saver_take(scene.saver, &result));
    assert_int_equal(saver_start(scene.saver, 7, scene.version, strdup("/first"), strdup("{}"), &err), 0);
    assert_int_equal(saver_start(scene.saver, 8, scene.version, strdup("/second"), strdup("{}"), &err), -1);
    assert_false(saver_has_result(scene.saver));
    doorbell_arm(&scene.bell);
    atomic_store(&written.may_go, true);
    doorbell_wait(&scene.bell, 10000); /* rung when it is done */
    doorbell_disarm(&scene.bell);
    for (int i = 0; !saver_has_result(scene.saver) && i < 10000; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(saver_has_result(scene.saver));
    assert_int_equal(saver_start(scene.saver, 8, scene.version, strdup("/second"), NULL, &err),
                     -1); /* not taken yet */
    assert_true(saver_take(scene.saver, &result));
    assert_true(result.request == 7 && result.version == 12 && !result.failed);
    assert_string_equal(written.path, "/first");
    assert_string_equal(written.own, "{}");
    assert_ptr_equal(written.network, version_network(scene.version));
    assert_false(saver_take(scene.saver, &result));
    assert_int_equal(saver_start(scene.saver, 9, scene.version, strdup("/second"), NULL, &err), 0);
    assert_true(saver_take(scene.saver, &result)); /* waits */
    assert_int_equal(result.request, 9);
    assert_string_equal(written.own, "none");
    assert_int_equal(written.calls, 2);
    close_scene(&scene);
}

static void why_not_is_told(void **state) {
    (void)state;
    struct scene scene;
    struct error err;
    struct saver_result result;
    open_scene(&scene);
    atomic_store(&written.may_go, true);
    assert_int_equal(saver_start(scene.saver, 1, scene.version, strdup("/full"), NULL, &err), 0);
    assert_true(saver_take(scene.saver, &result));
    assert_true(result.failed);
    assert_string_equal(result.err.text, "/full: no space");
    close_scene(&scene);
}

/* The version lives until it is written, whoever else lets go of it; and freeing waits. */
static void what_is_written_lives(void **state) {
    (void)state;
    struct scene scene;
    struct error err;
    open_scene(&scene);
    assert_int_equal(saver_start(scene.saver, 1, scene.version, strdup("/last"), strdup("{}"), &err), 0);
    version_release(scene.version);
    scene.version = NULL;
    atomic_store(&written.may_go, true);
    close_scene(&scene);
    assert_int_equal(written.calls, 1);
    saver_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_written_at_a_time),
        cmocka_unit_test(why_not_is_told),
        cmocka_unit_test(what_is_written_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
