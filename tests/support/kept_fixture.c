#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/kept_fixture.h"

#include "daemon/returns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static const char *text_of(const char *lines) {
    return lines != NULL ? lines : "";
}

static void start(struct kept_scene *scene, const struct kept_setup *setup) {
    char rest[2048];
    snprintf(rest, sizeof rest, "workers: 1\nstate_dir: %s\n%s" RIG_CLASS "%s" RIG_MODEL "%s", scene->folder,
             text_of(setup->top), text_of(setup->of_class), text_of(setup->models));
    rig_open(&scene->rig,
             &(struct rig_setup){.rest = rest, .bus = setup->bus, .learns = setup->learns, .returns = true});
    scene->dealer = setup->learns ? rig_connect(&scene->rig, ZMQ_DEALER, scene->rig.config->bus.control) : NULL;
    scene->push = rig_connect(&scene->rig, ZMQ_PUSH, scene->rig.config->bus.ticks);
}

static void stop(struct kept_scene *scene) {
    if (scene->dealer != NULL)
        rig_disconnect(scene->dealer);
    rig_disconnect(scene->push);
    rig_close(&scene->rig);
}

void kept_scene_open(struct kept_scene *scene, const struct kept_setup *setup) {
    static int number;
    *scene = (struct kept_scene){0};
    snprintf(scene->folder, sizeof scene->folder, "%s/kept-%d", rig_folder(), number++);
    start(scene, setup);
}

void kept_scene_restart(struct kept_scene *scene, const struct kept_setup *setup) {
    stop(scene);
    start(scene, setup);
}

void kept_scene_close(struct kept_scene *scene) {
    char command[300];
    stop(scene);
    snprintf(command, sizeof command, "rm -rf %s", scene->folder);
    assert_int_equal(system(command), 0);
}

int kept_scene_teardown(void **state) {
    (void)state;
    disk_works(true);
    return 0;
}

void kept_scene_tick(struct kept_scene *scene, const char *name) {
    const double values[2] = {1, 2};
    rig_send_tick(scene->push, name, ++scene->t, values, 2);
    uint64_t before = ingest_counters(scene->rig.ingest)->messages;
    for (int64_t began = 0; ingest_counters(scene->rig.ingest)->messages == before; rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
}

struct stream *kept_scene_find(const struct kept_scene *scene, const char *name) {
    return streams_find(scene->rig.streams, name, strlen(name));
}

struct stream *kept_scene_await(struct kept_scene *scene, const char *name) {
    struct stream *stream;
    for (int64_t began = 0; (stream = kept_scene_find(scene, name)) == NULL; rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
    return stream;
}

void kept_scene_await_left(struct kept_scene *scene, const char *name) {
    for (int64_t began = 0;
         returns_find(scene->rig.returns, name, strlen(name)) != NULL || kept_scene_find(scene, name) != NULL;
         rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
}

void kept_scene_fail_disk(struct kept_scene *scene) {
    static const char text[] = "c/0 a=1,b=2 5";
    const struct journal_entry entry = {.kind = JOURNAL_TICKS, .bytes = text, .n = strlen(text)};
    uint64_t order;
    disk_works(false);
    assert_true(store_append(scene->rig.store, &entry, &order));
    store_hurry(scene->rig.store);
    for (int64_t began = 0; !store_degraded(scene->rig.store);)
        assert_true(rig_wait(&began));
}
