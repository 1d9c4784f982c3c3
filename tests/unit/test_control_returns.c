/* Commands on streams that are on disk, or on their way. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/control.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/requests.h"
#include "daemon/returns.h"
#include "tests/support/kept_fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zmq.h>

static void send_request(struct kept_scene *scene, const char *request) {
    rig_send(scene->dealer, request, strlen(request));
}

/* NULL: none comes while the bus takes some turns. */
static json_t *reply_soon(struct kept_scene *scene) {
    static char frame[1 << 18];
    for (int turn = 0; turn < 50; turn++) {
        rig_turn(&scene->rig);
        if (rig_receive(scene->dealer, frame, sizeof frame, 1) >= 0)
            return json_loads(frame, 0, NULL);
    }
    return NULL;
}

static json_t *reply_of(struct kept_scene *scene) {
    json_t *reply = NULL;
    for (int64_t began = 0; (reply = reply_soon(scene)) == NULL;)
        assert_true(rig_wait(&began));
    return reply;
}

static void expect_error(json_t *reply, const char *code) {
    assert_string_equal(json_string_value(json_object_get(json_object_get(reply, "error"), "code")), code);
    json_decref(reply);
}

/* One name, or (NULL) none. */
static void expect_name(json_t *reply, const char *name) {
    const json_t *names = json_object_get(reply, "names");
    assert_int_equal(json_array_size(names), name != NULL);
    if (name != NULL)
        assert_string_equal(json_string_value(json_array_get(names, 0)), name);
    assert_true(json_is_false(json_object_get(reply, "more")));
    json_decref(reply);
}

/* A tick that the journal held when the daemon began. */
static void keep_in_tail(struct kept_scene *scene, const char *name) {
    static const char text[] = "c/1 a=1,b=2 5";
    const struct journal_entry entry = {.kind = JOURNAL_TICKS, .bytes = text, .n = strlen(text)};
    uint64_t order;
    size_t n = opening_tick_bytes(scene->rig.config, 0);
    assert_true(store_append(scene->rig.store, &entry, &order));
    returns_read_tail(scene->rig.returns, true);
    struct returning *returning = returns_begin(scene->rig.returns, 0, name, strlen(name));
    struct record_tick *tick = returns_reserve(scene->rig.returns, returning, n);
    assert_non_null(tick);
    memset(tick, 0, n);
    tick->kind = RECORD_TICK;
    tick->order = order;
    tick->t = 5;
    returns_commit(scene->rig.returns, order, 1);
    returns_read_tail(scene->rig.returns, false);
}

static void streams_on_their_way_are_waited_for(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    keep_in_tail(&scene, "c/1");
    scene.rig.holds_returns = true;
    send_request(&scene, "{\"cmd\":\"names\"}");
    for (int64_t began = 0; !control_waits(scene.rig.control); rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    send_request(&scene, "{\"cmd\":\"export\",\"stream\":\"c/1\"}");
    assert_null(reply_soon(&scene));
    assert_true(control_waits(scene.rig.control));
    scene.rig.holds_returns = false;
    bool named = false, exported = false;
    for (int i = 0; i < 2; i++) {
        json_t *reply = reply_of(&scene);
        named |= json_object_get(reply, "names") != NULL;
        exported |= json_object_get(reply, "image") != NULL;
        if (json_object_get(reply, "names") != NULL)
            expect_name(reply, "c/1");
        else
            json_decref(reply);
    }
    assert_true(named && exported);
    assert_false(control_waits(scene.rig.control));
    kept_scene_close(&scene);
}

static struct stream *begin(struct kept_scene *scene, const char *name) {
    kept_scene_tick(scene, name);
    return kept_scene_await(scene, name);
}

/* A stream that has left, but of which the bus does not know it yet, is neither in memory nor surely on disk. */
static void streams_that_leave_are_waited_for(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    json_t *image[2];
    struct stream *stream = begin(&scene, "c/1");
    send_request(&scene, "{\"cmd\":\"export\",\"stream\":\"c/1\"}");
    image[0] = reply_of(&scene);
    assert_int_equal(ingest_evict(scene.rig.ingest, stream), 0);
    send_request(&scene, "{\"cmd\":\"names\"}");
    for (int turn = 0; turn < 20; turn++) { /* nothing is taken from the worker */
        control_serve(scene.rig.control);
        returns_poll(scene.rig.returns);
        assert_true(rig_receive(scene.dealer, (char[1000]){0}, 1000, 1) < 0);
    }
    expect_name(reply_of(&scene), "c/1");
    send_request(&scene, "{\"cmd\":\"export\",\"stream\":\"c/1\"}");
    image[1] = reply_of(&scene);
    assert_true(json_is_object(json_object_get(image[1], "image")));
    assert_true(json_equal(image[0], image[1]));
    assert_int_equal(streams_count(scene.rig.streams), 0);
    assert_int_equal(returns_counters(scene.rig.returns).returned, 0);
    json_decref(image[0]);
    json_decref(image[1]);
    send_request(&scene, "{\"cmd\":\"export\",\"stream\":\"c/2\"}");
    expect_error(reply_of(&scene), "unknown_stream");
    /* It comes back, and ends for good. */
    begin(&scene, "c/1");
    send_request(&scene, "{\"cmd\":\"end\",\"stream\":\"c/1\"}");
    json_decref(reply_of(&scene));
    send_request(&scene, "{\"cmd\":\"export\",\"stream\":\"c/1\"}");
    expect_error(reply_of(&scene), "unknown_stream");
    send_request(&scene, "{\"cmd\":\"names\"}");
    expect_name(reply_of(&scene), NULL);
    kept_scene_close(&scene);
}

static void expect_names(struct kept_scene *scene, const char *request, const char *names, bool more) {
    send_request(scene, request);
    json_t *reply = reply_of(scene);
    char *is = json_dumps(json_object_get(reply, "names"), JSON_COMPACT);
    assert_string_equal(is, names);
    assert_int_equal(json_is_true(json_object_get(reply, "more")), more);
    free(is);
    json_decref(reply);
}

/* One that has been imported, and has no room in memory yet, is named. */
static void what_is_imported_is_named(void **state) {
    (void)state;
    enum { CROWD = 1 + 128 };
    struct kept_scene scene;
    char name[16];
    kept_scene_open(&scene, &(struct kept_setup){.learns = true, .of_class = "    max_resident: 1\n"});
    for (int i = 0; i < CROWD; i++) {
        snprintf(name, sizeof name, "c/%d", i);
        begin(&scene, name);
    }
    send_request(&scene, "{\"cmd\":\"export\",\"stream\":\"c/1\"}");
    json_t *image = reply_of(&scene);
    json_object_set_new(image, "cmd", json_string("import"));
    static const char *const imported[] = {"c/y", "c/x1", "c/x3", "c/x2"};
    for (size_t i = 0; i < sizeof imported / sizeof *imported; i++) {
        json_object_set_new(json_object_get(image, "image"), "stream", json_string(imported[i]));
        char *request = json_dumps(image, 0);
        send_request(&scene, request);
        json_t *reply = reply_of(&scene);
        assert_true(json_is_true(json_object_get(reply, "ok")));
        json_decref(reply);
        free(request);
    }
    json_decref(image);
    assert_null(streams_find(scene.rig.streams, "c/x1", 4));
    expect_names(&scene, "{\"cmd\":\"names\",\"prefix\":\"c/x\"}", "[\"c/x1\",\"c/x2\",\"c/x3\"]", false);
    expect_names(&scene, "{\"cmd\":\"names\",\"prefix\":\"c/x\",\"limit\":2}", "[\"c/x1\",\"c/x2\"]", true);
    expect_names(&scene, "{\"cmd\":\"names\",\"prefix\":\"c/x\",\"after\":\"c/x2\"}", "[\"c/x3\"]", false);
    expect_names(&scene, "{\"cmd\":\"names\",\"after\":\"c/98\",\"limit\":3}", "[\"c/99\",\"c/x1\",\"c/x2\"]", true);
    expect_names(&scene, "{\"cmd\":\"names\",\"after\":\"c/97\",\"limit\":1}", "[\"c/98\"]", true);
    kept_scene_close(&scene);
}

/* ---- a disk that fails ---------------------------------------------------------------------- */

/* Who asks for a stream that cannot come is told at once, and it does not come later for that. */
static void commands_do_not_wait_for_a_disk_that_fails(void **state) {
    (void)state;
    static const char *const commands[] = {"{\"cmd\":\"scores\",\"stream\":\"c/1\"}",
                                           "{\"cmd\":\"end\",\"stream\":\"c/1\"}",
                                           "{\"cmd\":\"export\",\"stream\":\"c/1\"}", "{\"cmd\":\"names\"}"};
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    assert_int_equal(ingest_evict(scene.rig.ingest, begin(&scene, "c/1")), 0);
    for (int64_t began = 0; returns_find(scene.rig.returns, "c/1", 3) != NULL; rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    kept_scene_fail_disk(&scene);
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++) {
        send_request(&scene, commands[c]);
        expect_error(reply_of(&scene), "degraded");
        assert_null(returns_find(scene.rig.returns, "c/1", 3));
    }
    assert_false(control_waits(scene.rig.control));
    disk_works(true);
    for (int64_t began = 0; store_degraded(scene.rig.store); rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    assert_int_equal(streams_count(scene.rig.streams), 0);
    send_request(&scene, commands[0]);
    json_decref(reply_of(&scene));
    assert_int_equal(streams_count(scene.rig.streams), 1);
    kept_scene_close(&scene);
}

static void expect_done(json_t *reply, bool durable) {
    assert_true(json_is_true(json_object_get(reply, "ok")));
    assert_true(durable ? json_object_get(reply, "durable") == NULL
                        : json_is_false(json_object_get(reply, "durable")));
    json_decref(reply);
}

static void expect_durable(struct kept_scene *scene, const char *request) {
    uint64_t before = store_order(scene->rig.store);
    send_request(scene, request);
    json_t *reply = reply_of(scene);
    assert_true(store_order(scene->rig.store) > before);
    assert_true(store_durable(scene->rig.store) >= store_order(scene->rig.store));
    expect_done(reply, true);
    assert_false(control_settle(scene->rig.control));
}

/* The state that the stream has anyway. */
static char *set_state_of(struct kept_scene *scene, const char *stream) {
    char request[128];
    snprintf(request, sizeof request, "{\"cmd\":\"state\",\"stream\":\"%s\",\"model\":\"m\"}", stream);
    send_request(scene, request);
    json_t *reply = reply_of(scene);
    json_object_set_new(reply, "cmd", json_string("set_state"));
    char *text = json_dumps(reply, 0);
    json_decref(reply);
    return text;
}

/* What a command does is on the disk when it is answered, also of a stream that it brings back; where that fails, the answer
 * says so. */
static void commands_are_answered_when_they_are_durable(void **state) {
    (void)state;
    static const char *const commands[] = {
        "{\"cmd\":\"pause\",\"stream\":\"c/1\"}", "{\"cmd\":\"resume\",\"stream\":\"c/1\"}",
        "{\"cmd\":\"reset\",\"stream\":\"c/1\"}", "{\"cmd\":\"end\",\"stream\":\"c/1\"}"};
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++) {
        begin(&scene, "c/1");
        expect_durable(&scene, commands[c]);
        assert_int_equal(ingest_evict(scene.rig.ingest, begin(&scene, "c/1")), 0);
        kept_scene_await_left(&scene, "c/1");
        expect_durable(&scene, commands[c]);
    }
    begin(&scene, "c/2");
    expect_durable(&scene, "{\"cmd\":\"reset\",\"all\":true}");
    char *set_state = set_state_of(&scene, "c/2");
    expect_durable(&scene, set_state);
    free(set_state);
    kept_scene_fail_disk(&scene);
    send_request(&scene, "{\"cmd\":\"pause\",\"stream\":\"c/2\"}");
    expect_done(reply_of(&scene), false);
    send_request(&scene, "{\"cmd\":\"pause\",\"stream\":\"c/3\"}");
    expect_error(reply_of(&scene), "degraded");
    disk_works(true);
    kept_scene_close(&scene);
}

static atomic_bool disk_hangs;

/* RocksDB calls this one: the program's goes before the C library's. */
__attribute__((visibility("default"))) int fdatasync(int file) {
    while (atomic_load(&disk_hangs))
        usleep(1000);
    return (int)syscall(SYS_fdatasync, file);
}

static int hang_teardown(void **state) {
    (void)state;
    atomic_store(&disk_hangs, false);
    return 0;
}

/* Who asks is told before the store finds that the disk fails, and not before it might have been done. */
static void nobody_waits_long_for_a_disk_that_hangs(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    begin(&scene, "c/1");
    atomic_store(&disk_hangs, true);
    int64_t sent = clock_monotonic();
    send_request(&scene, "{\"cmd\":\"pause\",\"stream\":\"c/1\"}");
    expect_done(reply_of(&scene), false);
    assert_true(clock_monotonic() - sent >= INT64_C(2000000000));
    assert_false(store_degraded(scene.rig.store));
    atomic_store(&disk_hangs, false);
    expect_durable(&scene, "{\"cmd\":\"resume\",\"stream\":\"c/1\"}");
    kept_scene_close(&scene);
}

/* More of them than can wait are all carried out. */
static void many_commands_are_durable(void **state) {
    (void)state;
    enum { MANY = 3 * REQUESTS_KEPT_MOST };
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    begin(&scene, "c/1");
    for (int i = 0; i < MANY; i++)
        send_request(&scene, "{\"cmd\":\"reset\",\"stream\":\"c/1\"}");
    for (int i = 0; i < MANY; i++)
        expect_done(reply_of(&scene), true);
    kept_scene_close(&scene);
}

/* ---- memory --------------------------------------------------------------------------------- */

static long allocations_left;

static void *allocate(size_t n) {
    return allocations_left-- > 0 ? malloc(n) : NULL;
}

/* The store has told, and from any allocation of the answer's JSON on there is no memory: it is answered all the same. */
static void an_answer_without_memory(void **state) {
    (void)state;
    static const char *const commands[] = {"{\"cmd\":\"export\",\"stream\":\"c/1\"}", "{\"cmd\":\"names\"}"};
    struct kept_scene scene;
    char frame[1 << 16];
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    assert_int_equal(ingest_evict(scene.rig.ingest, begin(&scene, "c/1")), 0);
    for (int64_t began = 0; returns_find(scene.rig.returns, "c/1", 3) != NULL; rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    for (size_t c = 0; c < 2; c++) {
        bool failed = true;
        for (long n = 0; failed; n += 1 + n / 8) {
            send_request(&scene, commands[c]);
            while (!control_waits(scene.rig.control))
                control_serve(scene.rig.control);
            for (int turn = 0; turn < 3; turn++) /* the store is asked */
                control_serve(scene.rig.control);
            allocations_left = n;
            json_set_alloc_funcs(allocate, free);
            for (int64_t began = 0; rig_receive(scene.dealer, frame, sizeof frame, 0) < 0; rig_turn(&scene.rig))
                assert_true(rig_wait(&began));
            failed = allocations_left < 0;
            json_set_alloc_funcs(malloc, free);
            json_t *reply = json_loads(frame, 0, NULL);
            const json_t *error = json_object_get(reply, "error");
            assert_true(failed == (error != NULL));
            if (failed)
                assert_string_equal(json_string_value(json_object_get(error, "code")), "memory");
            json_decref(reply);
            assert_false(control_waits(scene.rig.control));
        }
    }
    kept_scene_close(&scene);
}

/* Requests that wait are let go at the end. */
static void an_end_does_not_wait(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    keep_in_tail(&scene, "c/1");
    scene.rig.holds_returns = true;
    for (int i = 0; i < 40; i++)
        send_request(&scene, "{\"cmd\":\"names\"}");
    assert_null(reply_soon(&scene));
    kept_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_on_their_way_are_waited_for),
        cmocka_unit_test(streams_that_leave_are_waited_for),
        cmocka_unit_test(what_is_imported_is_named),
        cmocka_unit_test_teardown(commands_do_not_wait_for_a_disk_that_fails, kept_scene_teardown),
        cmocka_unit_test_teardown(commands_are_answered_when_they_are_durable, kept_scene_teardown),
        cmocka_unit_test_teardown(nobody_waits_long_for_a_disk_that_hangs, hang_teardown),
        cmocka_unit_test(many_commands_are_durable),
        cmocka_unit_test(an_answer_without_memory),
        cmocka_unit_test(an_end_does_not_wait),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
