/* A disk that fails, and comes back. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/store.h"

#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int teardown(void **state) {
    (void)state;
    disk_works(true);
    return 0;
}

static void await_degraded(struct store_scene *scene, bool degraded) {
    store_hurry(scene->store);
    for (int64_t began = 0; store_degraded(scene->store) != degraded;)
        assert_true(rig_wait(&began));
}

static void await_durable(struct store_scene *scene, uint64_t order) {
    store_hurry(scene->store);
    for (int64_t began = 0; store_durable(scene->store) < order;)
        assert_true(rig_wait(&began));
}

static struct store_status status_of(struct store_scene *scene) {
    struct store_status status;
    store_status(scene->store, &status);
    return status;
}

/* ---- streams ------------------------------------------------------------------------------------ */

static void put_image(struct store_scene *scene, const char *name, uint64_t order) {
    struct stored *stored = stored_new(name, strlen(name));
    stored->generation = 1;
    stored->order = order;
    stored->n = 1000;
    stored->bytes = calloc(1, stored->n);
    for (int64_t began = 0; !store_put(scene->store, 0, stored, false);)
        assert_true(rig_wait(&began));
}

static enum stored_found found(struct store_scene *scene, const char *name) {
    struct stored *stored;
    assert_true(store_ask(scene->store, name, strlen(name), NULL));
    for (int64_t began = 0; (stored = store_answer(scene->store)) == NULL;)
        assert_true(rig_wait(&began));
    enum stored_found is = stored->found;
    stored_free(stored);
    return is;
}

static void run_round(struct store_scene *scene) {
    uint64_t order = store_order(scene->store);
    assert_true(store_round_begin(scene->store, order));
    assert_true(store_round_end(scene->store));
    for (int64_t began = 0; store_trimmed(scene->store) < order;)
        assert_true(rig_wait(&began));
}

/* ---- nothing is lost ---------------------------------------------------------------------------- */

static void what_waits_is_written_when_the_disk_is_back(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    for (int i = 1; i <= 10; i++)
        store_scene_append(&scene, i);
    await_durable(&scene, 10);
    disk_works(false);
    for (int i = 11; i <= 20; i++)
        store_scene_append(&scene, i);
    await_degraded(&scene, true);
    assert_int_equal(store_durable(scene.store), 10);
    assert_true(strlen(status_of(&scene).reason) > 10);
    assert_int_equal(found(&scene, "c/1"), STORED_FAILED);
    for (int i = 21; i <= 30; i++)
        store_scene_append(&scene, i);
    disk_works(true);
    await_degraded(&scene, false);
    await_durable(&scene, 30);
    assert_string_equal(status_of(&scene).reason, "");
    assert_true(status_of(&scene).failures >= 1);
    assert_int_equal(status_of(&scene).dropped, 0);
    assert_false(store_round_wanted(scene.store));
    store_scene_append(&scene, 31);
    store_scene_reopen(&scene);
    store_scene_expect(&scene, 1, 31);
    store_scene_close(&scene);
}

static void images_are_put_again(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    put_image(&scene, "c/1", 0);
    put_image(&scene, "c/2", 0);
    assert_true(store_forget(scene.store, "c/2", 3, 1));
    assert_int_equal(found(&scene, "c/1"), STORED_IMAGE);
    disk_works(false);
    store_scene_append(&scene, 1);
    await_degraded(&scene, true);
    put_image(&scene, "c/3", 1);
    assert_true(store_forget(scene.store, "c/1", 3, 1));
    disk_works(true);
    await_degraded(&scene, false);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(found(&scene, "c/1"), STORED_ENDED);
        assert_int_equal(found(&scene, "c/2"), STORED_ENDED);
        assert_int_equal(found(&scene, "c/3"), STORED_IMAGE);
        store_scene_reopen(&scene);
    }
    store_scene_expect(&scene, 1, 1);
    store_scene_close(&scene);
}

/* The round ends with an error of the disk: nothing is trimmed, another round does it. */
static void a_round_that_fails_trims_nothing(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    store_scene_append(&scene, 1);
    await_durable(&scene, 1);
    assert_true(store_round_begin(scene.store, 1));
    put_image(&scene, "c/1", 1);
    assert_int_equal(found(&scene, "c/1"), STORED_IMAGE);
    disk_works(false);
    assert_true(store_round_end(scene.store));
    await_degraded(&scene, true);
    disk_works(true);
    await_degraded(&scene, false);
    assert_int_equal(store_trimmed(scene.store), 0);
    assert_int_equal(found(&scene, "c/1"), STORED_IMAGE);
    run_round(&scene);
    store_scene_reopen(&scene);
    assert_int_equal(store_trimmed(scene.store), 1);
    assert_int_equal(found(&scene, "c/1"), STORED_IMAGE);
    store_scene_close(&scene);
}

/* ---- what has no room --------------------------------------------------------------------------- */

/* Appends until some are dropped; what comes from producer 7 never is. Returns how many came before. */
static uint64_t fill(struct store_scene *scene) {
    static char bytes[1000];
    struct journal_entry entry = {
        .kind = JOURNAL_TICKS, .producer = 7, .sequence = 1, .bytes = bytes, .n = sizeof bytes};
    uint64_t order = 0;
    for (; store_append(scene->store, &entry, &order); entry.sequence++)
        assert_true(entry.sequence < 1000);
    assert_int_equal(status_of(scene).dropped, 0);
    entry.producer = 0;
    while (status_of(scene).dropped < 5)
        for (int64_t began = 0; !store_append(scene->store, &entry, &order);)
            assert_true(rig_wait(&began));
    entry.producer = 7;
    uint64_t none = 0;
    assert_false(store_append(scene->store, &entry, &none));
    assert_true(store_degraded(scene->store)); /* it is to be refused */
    assert_int_equal(none, 0);
    assert_int_equal(status_of(scene).dropped, 5);
    return order;
}

struct seen {
    uint64_t n, gap, gaps, dropped;
};

static bool see(void *context, uint64_t order, const struct journal_entry *entry) {
    struct seen *seen = context;
    seen->n++;
    if (entry->kind == JOURNAL_GAP) {
        seen->gap = order;
        seen->gaps++;
        memcpy(&seen->dropped, entry->bytes, sizeof seen->dropped);
    }
    return true;
}

static struct seen look(struct store_scene *scene) {
    struct seen seen = {0};
    struct error err;
    if (store_tail(scene->store, see, &seen, &err) != 0)
        fail_msg("%s", err.text);
    return seen;
}

static void hear(void *context, uint64_t producer, uint64_t sequence, int64_t received) {
    (void)received;
    assert_int_equal(producer, 7);
    *(uint64_t *)context = sequence;
}

static uint64_t sequence_of(struct store_scene *scene) {
    uint64_t sequence = 0;
    store_producers(scene->store, hear, &sequence);
    return sequence;
}

/* A store that has dropped some entries and kept one behind them. */
static uint64_t open_gapped(struct store_scene *scene) {
    store_scene_config(scene, "journal_ring: 64KiB\n");
    scene->config->bus.max_message = 8 << 10;
    store_scene_start(scene);
    disk_works(false);
    store_scene_append(scene, 1);
    await_degraded(scene, true);
    uint64_t before = fill(scene);
    disk_works(true);
    for (int64_t began = 0; store_durable(scene->store) < before;)
        assert_true(rig_wait(&began));
    assert_true(store_degraded(scene->store));
    uint64_t order = store_scene_append(scene, 2);
    assert_int_equal(order, before + 2); /* the gap has one */
    await_durable(scene, order);
    assert_true(store_degraded(scene->store));
    assert_true(store_round_wanted(scene->store));
    return before;
}

static void a_gap_is_closed_by_a_round(void **state) {
    (void)state;
    struct store_scene scene;
    uint64_t before = open_gapped(&scene);
    struct seen seen = look(&scene);
    assert_int_equal(seen.n, before + 2);
    assert_int_equal(seen.gaps, 1);
    assert_int_equal(seen.gap, before + 1);
    assert_int_equal(seen.dropped, status_of(&scene).dropped);
    put_image(&scene, "c/1", before + 2);
    run_round(&scene);
    for (int64_t began = 0; store_degraded(scene.store);)
        assert_true(rig_wait(&began));
    assert_false(store_round_wanted(scene.store));
    store_scene_reopen(&scene);
    assert_false(store_degraded(scene.store));
    assert_int_equal(sequence_of(&scene), before - 1); /* the first entry was nobody's */
    store_scene_close(&scene);
}

/* Without a round the gap is there after a start, too; and the journal's entries, which are taken once more, are not to be sent
 * again, before the gap or behind it. */
static void a_gap_outlives_the_daemon(void **state) {
    (void)state;
    struct store_scene scene;
    uint64_t before = open_gapped(&scene), order;
    store_scene_reopen(&scene);
    assert_int_equal(sequence_of(&scene), before - 1);
    const struct journal_entry more = {
        .kind = JOURNAL_TICKS, .producer = 7, .sequence = before, .bytes = "x", .n = 1};
    assert_true(store_append(scene.store, &more, &order));
    store_scene_reopen(&scene);
    assert_true(store_degraded(scene.store));
    assert_true(store_round_wanted(scene.store));
    assert_int_equal(look(&scene).gap, before + 1);
    assert_int_equal(sequence_of(&scene), before);
    run_round(&scene);
    for (int64_t began = 0; store_degraded(scene.store);)
        assert_true(rig_wait(&began));
    store_scene_reopen(&scene);
    assert_false(store_degraded(scene.store));
    store_scene_close(&scene);
}

/* A round that began before entries were dropped does not hold them. */
static void a_round_from_before_does_not_close_a_gap(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_config(&scene, "journal_ring: 64KiB\n");
    scene.config->bus.max_message = 8 << 10;
    store_scene_start(&scene);
    disk_works(false);
    store_scene_append(&scene, 1);
    await_degraded(&scene, true);
    uint64_t before = fill(&scene);
    assert_true(store_round_begin(scene.store, before));
    disk_works(true);
    uint64_t order;
    for (int64_t began = 0;
         (order = store_scene_append(&scene, 2)) == before;) /* the ring may be full for a moment */
        assert_true(rig_wait(&began));
    await_durable(&scene, order);
    assert_true(store_round_end(scene.store));
    for (int64_t began = 0; store_trimmed(scene.store) < before;)
        assert_true(rig_wait(&began));
    assert_true(store_degraded(scene.store));
    store_scene_reopen(&scene);
    assert_true(store_degraded(scene.store));
    run_round(&scene);
    for (int64_t began = 0; store_degraded(scene.store);)
        assert_true(rig_wait(&began));
    store_scene_close(&scene);
}

/* ---- opening and closing ------------------------------------------------------------------------ */

static void it_ends_while_the_disk_fails(void **state) {
    (void)state;
    struct store_scene scene;
    store_scene_open(&scene);
    store_scene_append(&scene, 1);
    await_durable(&scene, 1);
    disk_works(false);
    store_scene_append(&scene, 2);
    await_degraded(&scene, true);
    put_image(&scene, "c/1", 0);
    assert_true(store_ask(scene.store, "c/1", 3, NULL));
    store_close(scene.store);
    struct error err;
    assert_null(store_open(scene.config, &scene.bell, &err));
    assert_true(strlen(err.text) > 20);
    disk_works(true);
    store_scene_start(&scene);
    store_scene_expect(&scene, 1, 1);
    store_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_waits_is_written_when_the_disk_is_back, teardown),
        cmocka_unit_test_teardown(images_are_put_again, teardown),
        cmocka_unit_test_teardown(a_round_that_fails_trims_nothing, teardown),
        cmocka_unit_test_teardown(a_gap_is_closed_by_a_round, teardown),
        cmocka_unit_test_teardown(a_gap_outlives_the_daemon, teardown),
        cmocka_unit_test_teardown(a_round_from_before_does_not_close_a_gap, teardown),
        cmocka_unit_test_teardown(it_ends_while_the_disk_fails, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
