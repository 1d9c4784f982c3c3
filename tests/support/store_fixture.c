#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/store_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void store_scene_config(struct store_scene *scene, const char *top) {
    static int number;
    char rest[1024];
    *scene = (struct store_scene){0};
    snprintf(scene->folder, sizeof scene->folder, "%s/state-%d", rig_folder(), number++);
    snprintf(rest, sizeof rest, "state_dir: %s\n%s" RIG_CLASS RIG_MODEL, scene->folder, top);
    scene->config = rig_config("", rest);
    assert_int_equal(doorbell_init(&scene->bell), 0);
}

void store_scene_start(struct store_scene *scene) {
    struct error err;
    scene->store = store_open(scene->config, &scene->bell, &err);
    if (scene->store == NULL)
        fail_msg("%s", err.text);
}

void store_scene_open(struct store_scene *scene) {
    store_scene_config(scene, "");
    store_scene_start(scene);
}

void store_scene_reopen(struct store_scene *scene) {
    store_close(scene->store);
    store_scene_start(scene);
}

void store_scene_close(struct store_scene *scene) {
    char command[300];
    store_close(scene->store);
    snprintf(command, sizeof command, "rm -rf %s", scene->folder);
    assert_int_equal(system(command), 0);
    doorbell_fini(&scene->bell);
    config_free(scene->config);
}

uint64_t store_scene_append(struct store_scene *scene, int number) {
    char bytes[64];
    const struct journal_entry entry = {.kind = JOURNAL_TICKS,
                                        .source = 1,
                                        .received = number,
                                        .bytes = bytes,
                                        .n = (size_t)snprintf(bytes, sizeof bytes, "entry %d", number)};
    uint64_t order;
    for (int64_t began = 0; !store_append(scene->store, &entry, &order);)
        assert_true(rig_wait(&began));
    return order;
}

struct expected {
    uint64_t next, last;
};

static bool take(void *context, uint64_t order, const struct journal_entry *entry) {
    struct expected *expected = context;
    char bytes[64];
    int n = snprintf(bytes, sizeof bytes, "entry %llu", (unsigned long long)order);
    assert_int_equal(order, expected->next);
    assert_int_equal(entry->received, order);
    assert_int_equal(entry->n, n);
    assert_memory_equal(entry->bytes, bytes, (size_t)n);
    assert_null(entry->head);
    expected->next++;
    return true;
}

void store_scene_expect(struct store_scene *scene, uint64_t first, uint64_t last) {
    struct expected expected = {first, last};
    struct error err;
    if (store_tail(scene->store, take, &expected, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(expected.next, last + 1);
}

void disk_works(bool works) {
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN); /* then a write fails with an error */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = works ? limit.rlim_max : 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
