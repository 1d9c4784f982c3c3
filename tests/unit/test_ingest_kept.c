#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/ingest.h"
#include "daemon/journal_command.h"
#include "daemon/streams.h"

#include "tests/support/bus_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct scene {
    struct rig rig;
    void *push;
    char folder[256];
};

static void open_scene(struct scene *scene, const char *top, const char *bus) {
    static int number;
    char rest[1024];
    snprintf(scene->folder, sizeof scene->folder, "%s/kept-%d", rig_folder(), number++);
    snprintf(rest, sizeof rest, "state_dir: %s\n%s" RIG_CLASS RIG_MODEL, scene->folder, top);
    const struct rig_setup setup = {.bus = bus, .rest = rest, .idle = true, .idle_bytes = 1 << 20};
    rig_open(&scene->rig, &setup);
    scene->push = rig_connect(&scene->rig, ZMQ_PUSH, scene->rig.config->bus.ticks);
}

static void close_scene(struct scene *scene) {
    char command[300];
    rig_disconnect(scene->push);
    rig_close(&scene->rig);
    snprintf(command, sizeof command, "rm -rf %s", scene->folder);
    assert_int_equal(system(command), 0);
}

static void read_messages(struct scene *scene, uint64_t n) {
    for (int64_t began = 0; ingest_read(scene->rig.ingest) || ingest_parked(scene->rig.ingest) ||
                            ingest_counters(scene->rig.ingest)->messages < n;)
        assert_true(rig_wait(&began));
}

static const char *const heads[] = {"c/1", NULL, NULL};
static const char *const bodies[] = {"{\"t\": 5, \"v\": [1, 2]}", "c/2 a=1,b=2 7\nc/3 a=1,b=2 8\n", "c/2 a=1,b=2 9"};
enum { MESSAGES = 3 };

static void send_all(struct scene *scene) {
    for (int m = 0; m < MESSAGES; m++) {
        if (heads[m] != NULL)
            assert_true(zmq_send(scene->push, heads[m], strlen(heads[m]), ZMQ_SNDMORE) > 0);
        rig_send(scene->push, bodies[m], strlen(bodies[m]));
    }
}

static bool take(void *context, uint64_t order, const struct journal_entry *entry) {
    int m = (*(int *)context)++;
    assert_int_equal(order, m + 1);
    assert_int_equal(entry->kind, JOURNAL_TICKS);
    assert_true(entry->received > 0);
    assert_int_equal(entry->n, strlen(bodies[m]));
    assert_memory_equal(entry->bytes, bodies[m], entry->n);
    assert_int_equal(entry->n_head, heads[m] != NULL ? strlen(heads[m]) : 0);
    if (heads[m] != NULL)
        assert_memory_equal(entry->head, heads[m], entry->n_head);
    return true;
}

/* In their order, frames and all; what is refused as a whole is not. */
static void messages_are_kept_as_they_came(void **state) {
    (void)state;
    struct scene scene;
    struct error err;
    open_scene(&scene, "", "");
    rig_send(scene.push, "[", 1);
    send_all(&scene);
    read_messages(&scene, MESSAGES + 1);
    assert_int_equal(ingest_counters(scene.rig.ingest)->ticks, 4);
    store_close(scene.rig.store);
    scene.rig.store = store_open(scene.rig.config, &scene.rig.bell, &err);
    assert_non_null(scene.rig.store);
    int taken = 0;
    assert_int_equal(store_tail(scene.rig.store, take, &taken, &err), 0);
    assert_int_equal(taken, MESSAGES);
    close_scene(&scene);
}

/* More than the ring has room for: nothing is read until the store has taken what waits, and nothing is lost. */
static void a_full_store_parks_what_comes(void **state) {
    (void)state;
    enum { N = 900, SIZE = 900 };
    struct scene scene;
    struct store_status status;
    open_scene(&scene, "journal_ring: 64KiB\n", "  max_message: 1KiB\n");
    char text[SIZE + 1];
    memset(text, ' ', SIZE);
    memcpy(text, "c/2 a=1,b=2 9", 13);
    for (int i = 0; i < N; i++)
        rig_send(scene.push, text, SIZE);
    read_messages(&scene, N);
    store_status(scene.rig.store, &status);
    assert_true(ingest_counters(scene.rig.ingest)->parked > 0);
    assert_int_equal(status.order, N);
    assert_int_equal(status.dropped, 0);
    assert_int_equal(ingest_counters(scene.rig.ingest)->ticks, N);
    close_scene(&scene);
}

static bool pass(void *context, uint64_t order, const struct journal_entry *entry) {
    (void)context;
    (void)order;
    (void)entry;
    return true;
}

/* Nothing is read until a round has made what is there superfluous; a start knows how long it is. */
static void a_long_journal_parks_what_comes(void **state) {
    (void)state;
    enum { N = 300, SIZE = 9000, MOST = (1 << 20) / SIZE + 1, ROUNDS = N / MOST };
    struct scene scene;
    struct store_status status;
    struct error err;
    open_scene(&scene, "journal_size: 1MiB\n", "");
    const struct ingest *ingest = scene.rig.ingest;
    struct store *store = scene.rig.store;
    char text[SIZE + 1];
    memset(text, ' ', SIZE);
    memcpy(text, "c/2 a=1,b=2 9", 13);
    for (int i = 0; i < N; i++)
        rig_send(scene.push, text, SIZE);
    for (int round = 1; round <= ROUNDS; round++) {
        const uint64_t before = store_order(store);
        for (int64_t began = 0; store_order(store) == before || !ingest_parked(ingest); ingest_read(scene.rig.ingest))
            assert_true(rig_wait(&began));
        uint64_t order = store_order(store);
        assert_in_range(order, round * (MOST - 4), round * MOST);
        assert_int_equal(ingest_counters(ingest)->ticks, order);
        for (int i = 0; i < 100; i++)
            assert_false(ingest_read(scene.rig.ingest));
        assert_int_equal(store_order(store), order);
        store_hurry(store);
        for (int64_t began = 0; store_durable(store) < order;)
            assert_true(rig_wait(&began));
        assert_true(store_round_begin(store, order) && store_round_end(store));
        for (int64_t began = 0; store_trimmed(store) < order;)
            assert_true(rig_wait(&began));
        store_status(store, &status);
        assert_int_equal(status.untrimmed, 0);
        assert_int_equal(status.times_long, round);
    }
    read_messages(&scene, N);
    assert_int_equal(ingest_counters(ingest)->ticks, N);
    store_close(scene.rig.store);
    scene.rig.store = store_open(scene.rig.config, &scene.rig.bell, &err);
    assert_non_null(scene.rig.store);
    assert_int_equal(store_tail(scene.rig.store, pass, NULL, &err), 0);
    store_status(scene.rig.store, &status);
    assert_in_range(status.untrimmed, (N - ROUNDS * MOST) * SIZE, 1 << 20);
    close_scene(&scene);
}

static bool count_refusals(void *context, uint64_t order, const struct journal_entry *entry) {
    struct journal_command command;
    struct error err;
    (void)order;
    if (entry->kind != JOURNAL_COMMAND)
        return true;
    assert_int_equal(journal_command_read(&command, entry->bytes, entry->n, &err), 0);
    *(uint64_t *)context += command.what == JOURNALED_REFUSED && command.version == 1;
    free(command.values);
    return true;
}

static bool fails;

static bool is_degraded(const struct store *store) {
    (void)store;
    return fails;
}

/* Until n ticks have been looked at. Nobody comes back from the store. */
static void take_ticks(struct scene *scene, uint64_t n) {
    const struct ingest_counters *counters = ingest_counters(scene->rig.ingest);
    for (int64_t began = 0; counters->ticks + counters->refused[REASON_DISK] < n; ingest_read(scene->rig.ingest))
        if (!rig_wait(&began))
            fail_msg("%d of %d ticks", (int)counters->ticks, (int)n);
}

/* What is not in memory waits for the disk, so far; who is in memory does not wait for that. */
static void a_disk_that_fails_holds_up_nobody_in_memory(void **state) {
    (void)state;
    enum { MANY = 2000 };
    struct scene scene;
    char rest[1024], text[64];
    snprintf(scene.folder, sizeof scene.folder, "%s/failing", rig_folder());
    snprintf(rest, sizeof rest, "state_dir: %s\nreturn_queue: 64KiB\n" RIG_CLASS RIG_MODEL, scene.folder);
    rig_open(&scene.rig, &(struct rig_setup){.rest = rest, .returns = true, .degraded = is_degraded});
    scene.push = rig_connect(&scene.rig, ZMQ_PUSH, scene.rig.config->bus.ticks);
    fails = false;
    rig_send(scene.push, "c/0 a=1,b=2 1", 13);
    for (int64_t began = 0; streams_find(scene.rig.streams, "c/0", 3) == NULL; rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    fails = true;
    const struct ingest_counters *counters = ingest_counters(scene.rig.ingest);
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(text, sizeof text, "c/%d a=1,b=2 %d", i % 3, 2 + i);
        rig_send(scene.push, text, (size_t)n);
    }
    take_ticks(&scene, MANY + 1);
    uint64_t refused = counters->refused[REASON_DISK];
    assert_in_range(refused, 100, 2 * MANY / 3);
    assert_int_equal(counters->ticks + refused, MANY + 1); /* so all of c/0 */
    assert_false(ingest_parked(scene.rig.ingest));
    /* Each refusal stands behind its message, so that a restart does not take it. */
    uint64_t order = store_order(scene.rig.store), kept = 0;
    struct error err;
    store_hurry(scene.rig.store);
    for (int64_t began = 0; store_durable(scene.rig.store) < order;)
        assert_true(rig_wait(&began));
    assert_int_equal(store_tail(scene.rig.store, count_refusals, &kept, &err), 0);
    assert_int_equal(kept, refused);
    /* A disk that is only slow is waited for. */
    fails = false;
    rig_send(scene.push, "c/1 a=1,b=2 9000", 16);
    for (int64_t began = 0; !ingest_parked(scene.rig.ingest); ingest_read(scene.rig.ingest))
        assert_true(rig_wait(&began));
    assert_int_equal(counters->refused[REASON_DISK], refused);
    for (int64_t began = 0; ingest_parked(scene.rig.ingest); rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    assert_int_equal(streams_count(scene.rig.streams), 3);
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_kept_as_they_came),
        cmocka_unit_test(a_full_store_parks_what_comes),
        cmocka_unit_test(a_long_journal_parks_what_comes),
        cmocka_unit_test(a_disk_that_fails_holds_up_nobody_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
