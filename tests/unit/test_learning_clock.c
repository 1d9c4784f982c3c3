/* When a model is trained again while streams leave memory and come back, and behind a start, when none is there. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/learning.h"
#include "daemon/returns.h"

#include "daemon/log.h"
#include "tests/support/kept_fixture.h"

#include <string.h>

static const int64_t second = 1000000000, begin = 100000;

enum { FIRST = 24, NEW = 30 };

#define LEARNT(every) \
    "  - name: t\n    class: c\n    horizon: 1\n    batch_size: 2\n    layers:\n      - lstm: 4\n    retrain_every: " every \
    "\n    training: {window: 16, burn_in: 2, unroll: 8, first_after: 24, new_steps: 30, epochs: 1, max_windows: 16}\n"

/* Of the model that learns. */
static json_t *model(const struct kept_scene *scene) {
    json_t *all = learning_describe(scene->rig.learning), *of = json_incref(json_array_get(all, 1));
    json_decref(all);
    return of;
}

static bool is_trained(const struct kept_scene *scene, int times) {
    json_t *of = model(scene);
    bool is = json_integer_value(json_object_get(of, "jobs")) == times &&
              strcmp(json_string_value(json_object_get(of, "training")), "idle") == 0;
    json_decref(of);
    return is;
}

static void await_trained(struct kept_scene *scene, int times) {
    for (int64_t began = 0; !is_trained(scene, times); rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
}

static void take_turns(struct kept_scene *scene) {
    for (int turn = 0; turn < 5; turn++)
        rig_turn(&scene->rig);
}

/* The stream's step at a time; it has n steps then, and a training that is due has begun. */
static void tick(struct kept_scene *scene, const char *name, int64_t t, uint64_t n) {
    rig_send_tick(scene->push, name, t, (const double[]){(double)(n % 7), 2}, 2);
    const struct stream *stream = kept_scene_await(scene, name);
    for (int64_t began = 0; atomic_load(&stream->steps) < n; rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
    assert_int_equal(atomic_load(&stream->steps), n);
    take_turns(scene);
}

/* One a second from `begin` on, for as long as it is trained no more. */
static void tick_until(struct kept_scene *scene, int from, int to, int trained) {
    for (int n = from; n <= to; n++) {
        tick(scene, "c/1", (begin + n) * second, (uint64_t)n);
        if (!is_trained(scene, trained))
            fail_msg("it is trained with %d steps", n);
    }
}

static void leave(struct kept_scene *scene, const char *name) {
    assert_int_equal(ingest_evict(scene->rig.ingest, kept_scene_await(scene, name)), 0);
    kept_scene_await_left(scene, name);
}

/* c/1 has been trained on. */
static void train_first(struct kept_scene *scene) {
    tick_until(scene, 1, FIRST - 1, 0);
    tick(scene, "c/1", (begin + FIRST) * second, FIRST);
    await_trained(scene, 1);
    while (placement_version(scene->rig.placement, 1) == NULL) /* else it is trained when steps have doubled */
        take_turns(scene);
}

/* Those that came before the stream left count, as do those behind. */
static void new_steps_are_counted_on(void **state) {
    (void)state;
    const struct kept_setup setup = {.learns = true, .models = LEARNT("10s")};
    for (int restart = 0; restart < 2; restart++) {
        struct kept_scene scene;
        kept_scene_open(&scene, &setup);
        train_first(&scene);
        tick_until(&scene, FIRST + 1, FIRST + 20, 1);
        leave(&scene, "c/1");
        if (restart)
            kept_scene_restart(&scene, &setup);
        take_turns(&scene);
        tick_until(&scene, FIRST + 21, FIRST + NEW - 1, 1);
        tick(&scene, "c/1", (begin + FIRST + NEW) * second, FIRST + NEW);
        await_trained(&scene, 2);
        kept_scene_close(&scene);
    }
}

/* A stream that stood still long ago comes back, and is all that is there: by its time nothing is due, nor anything behind. */
static void who_comes_back_tells_no_time(void **state) {
    (void)state;
    const struct kept_setup setup = {.learns = true, .models = LEARNT("100s")};
    for (int restart = 0; restart < 2; restart++) {
        struct kept_scene scene;
        kept_scene_open(&scene, &setup);
        for (int n = 1; n <= 10; n++)
            tick(&scene, "c/old", n * second, (uint64_t)n);
        leave(&scene, "c/old");
        train_first(&scene);
        tick_until(&scene, FIRST + 1, FIRST + NEW + 6, 1);
        leave(&scene, "c/1");
        if (restart)
            kept_scene_restart(&scene, &setup);
        assert_int_equal(returns_bring(scene.rig.returns, 0, "c/old", 5, false), 0);
        kept_scene_await(&scene, "c/old");
        take_turns(&scene);
        tick_until(&scene, FIRST + NEW + 7, FIRST + 49, 1);
        kept_scene_close(&scene);
    }
}

/* Who told it is not there any more: the next one to tick tells it, from its first step on. */
static void who_leaves_takes_no_time_along(void **state) {
    (void)state;
    const struct kept_setup setup = {.learns = true, .models = LEARNT("10s")};
    for (int end = 0; end < 2; end++) {
        struct kept_scene scene;
        kept_scene_open(&scene, &setup);
        train_first(&scene);
        tick_until(&scene, FIRST + 1, FIRST + NEW - 1, 1);
        if (end)
            assert_int_equal(ingest_end(scene.rig.ingest, "c/1"), 0);
        else
            leave(&scene, "c/1");
        kept_scene_await_left(&scene, "c/1");
        for (int n = 1; n <= NEW; n++) {
            assert_true(is_trained(&scene, 1));
            tick(&scene, "c/2", (begin + FIRST + NEW + n) * second, (uint64_t)n);
        }
        await_trained(&scene, 2);
        kept_scene_close(&scene);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_steps_are_counted_on),
        cmocka_unit_test(who_comes_back_tells_no_time),
        cmocka_unit_test(who_leaves_takes_no_time_along),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
