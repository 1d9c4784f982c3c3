/* Streams that the store cannot read, or whose record is damaged, while all else of the disk is well. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/returns_internal.h"

#include "daemon/homecoming.h"
#include "daemon/log.h"
#include "daemon/rounds.h"
#include "daemon/stored_json.h"
#include "daemon/worker_internal.h"
#include "tests/support/kept_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define EVENT "  - {name: e, class: c, head: event, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n"

static const struct kept_setup setup = {.top = "return_queue: 64KiB\n", .learns = true};

static void run_there(const struct kept_scene *scene, const char *what) {
    char command[600];
    snprintf(command, sizeof command, "cd %s && %s", scene->folder, what);
    assert_int_equal(system(command), 0);
}

/* The files of large values are away, as if nothing of them could be read. */
static void is_readable(const struct kept_scene *scene, bool readable) {
    run_there(scene, readable ? "mv blobs/*.blob db/" : "mkdir -p blobs && mv db/*.blob blobs/");
}

/* One byte in each of them is another. */
static void damage(const struct kept_scene *scene) {
    run_there(scene, "for f in db/*.blob; do printf X | dd of=$f bs=1 seek=200 conv=notrunc status=none; done");
}

static void take_turns(struct kept_scene *scene, bool (*until)(struct kept_scene *scene)) {
    for (int64_t began = 0; !until(scene); rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
}

static bool is_here(struct kept_scene *scene) {
    return kept_scene_find(scene, "c/1") != NULL;
}

static bool has_left(struct kept_scene *scene) {
    return returns_find(scene->rig.returns, "c/1", 3) == NULL && !is_here(scene);
}

static bool is_held(struct kept_scene *scene) {
    const struct returning *returning = returns_find(scene->rig.returns, "c/1", 3);
    return returning != NULL && returning_is_held(returning);
}

static uint64_t held(struct kept_scene *scene) {
    return returns_counters(scene->rig.returns).held;
}

static void flush(struct kept_scene *scene) {
    uint64_t order = store_order(scene->rig.store);
    assert_true(store_round_begin(scene->rig.store, order) && store_round_end(scene->rig.store));
    for (int64_t began = 0; store_trimmed(scene->rig.store) < order;)
        assert_true(rig_wait(&began));
}

/* c/1 has two steps. */
static void begin(struct kept_scene *scene) {
    kept_scene_tick(scene, "c/1");
    kept_scene_tick(scene, "c/1");
    take_turns(scene, is_here);
}

/* And is on disk alone. */
static void leave(struct kept_scene *scene) {
    if (!is_here(scene))
        begin(scene);
    assert_int_equal(ingest_evict(scene->rig.ingest, kept_scene_find(scene, "c/1")), 0);
    take_turns(scene, has_left);
    flush(scene);
}

static json_t *ask(struct kept_scene *scene, const char *request) {
    static char frame[1 << 18];
    rig_send(scene->dealer, request, strlen(request));
    for (int64_t began = 0; rig_receive(scene->dealer, frame, sizeof frame, 0) < 0; rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
    return json_loads(frame, 0, NULL);
}

static void expect(struct kept_scene *scene, const char *request, const char *code) {
    json_t *reply = ask(scene, request);
    const char *is = json_string_value(json_object_get(json_object_get(reply, "error"), "code"));
    assert_string_equal(is != NULL ? is : "ok", code);
    json_decref(reply);
}

static uint64_t refused(struct kept_scene *scene) {
    return ingest_counters(scene->rig.ingest)->refused[REASON_UNREADABLE];
}

/* ---- held ----------------------------------------------------------------------------------- */

static void nobody_waits_for_one_that_cannot_be_read(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    leave(&scene);
    uint64_t order = store_order(scene.rig.store);
    is_readable(&scene, false);
    kept_scene_tick(&scene, "c/1");
    kept_scene_tick(&scene, "c/2");
    kept_scene_tick(&scene, "c/1");
    take_turns(&scene, is_held);
    assert_int_equal(held(&scene), 1);
    assert_int_equal(returns_lowest(scene.rig.returns), UINT64_MAX);
    assert_int_equal(returns_lowest_held(scene.rig.returns), order + 1);
    for (int i = 0; i < 200; i++)
        kept_scene_tick(&scene, i % 2 == 0 ? "c/1" : "c/2");
    assert_int_equal(refused(&scene), 100);
    assert_int_equal(returns_counters(scene.rig.returns).kept, 2);
    assert_non_null(kept_scene_find(&scene, "c/2"));
    is_readable(&scene, true);
    take_turns(&scene, is_here);
    assert_int_equal(held(&scene), 0);
    assert_int_equal(returns_lowest_held(scene.rig.returns), UINT64_MAX);
    assert_int_equal(returns_counters(scene.rig.returns).kept_bytes, 0);
    kept_scene_tick(&scene, "c/1");
    json_t *reply = ask(&scene, "{\"cmd\":\"state\",\"stream\":\"c/1\",\"model\":\"m\"}");
    assert_int_equal(json_integer_value(json_object_get(reply, "step")), 2 + 2 + 1);
    json_decref(reply);
    kept_scene_close(&scene);
}

/* Those that came first are its labels when it can be read. */
static void labels_do_not_wait_for_it(void **state) {
    (void)state;
    static const char *const labels[] = {"[{\"stream\":\"c/1\",\"t\":1,\"label\":1}]",
                                         "[{\"stream\":\"c/1\",\"t\":2,\"label\":1}]"};
    const struct kept_setup with = {
        .models = "  - {name: e, class: c, head: event, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n"};
    struct kept_scene scene;
    kept_scene_open(&scene, &with);
    leave(&scene);
    is_readable(&scene, false);
    rig_send(scene.push, labels[0], strlen(labels[0]));
    take_turns(&scene, is_held);
    rig_send(scene.push, labels[1], strlen(labels[1]));
    for (int64_t began = 0; refused(&scene) == 0; rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    is_readable(&scene, true);
    take_turns(&scene, is_here);
    const struct stream *stream = kept_scene_find(&scene, "c/1");
    struct worker *worker = scene.rig.workers[0];
    for (int64_t began = 0;;) {
        pthread_mutex_lock(&worker->owner);
        bool has = history_label_of(stream->series->history, 1) == 1;
        assert_true(isnan(history_label_of(stream->series->history, 2)));
        pthread_mutex_unlock(&worker->owner);
        if (has)
            break;
        assert_true(rig_wait(&began));
        rig_turn(&scene.rig);
    }
    kept_scene_close(&scene);
}

/* What waits for it is not in the way of what waits for others, and takes its places again. */
static void it_is_in_nobodys_way(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    leave(&scene);
    is_readable(&scene, false);
    struct returns *returns = scene.rig.returns;
    for (int i = 0; i < 300; i++) /* half of return_queue and more */
        kept_scene_tick(&scene, "c/1");
    uint64_t order = store_order(scene.rig.store);
    take_turns(&scene, is_held);
    assert_true(returns_counters(returns).kept_bytes > 33000);
    scene.rig.holds_returns = true;
    for (int i = 0; i < 300; i++)
        kept_scene_tick(&scene, "c/2");
    assert_false(ingest_parked(scene.rig.ingest));
    assert_int_equal(returns_counters(returns).full, 0);
    assert_int_equal(returns_lowest(returns), order + 1);
    returns_unhold(returns, returns_find(returns, "c/1", 3));
    assert_int_equal(returns_lowest(returns), order - 299);
    int n = 0;
    for (const struct kept *kept = returns->kept; kept != NULL; kept = kept->next, n++)
        assert_true(kept->next == NULL || kept->next->order > kept->order);
    assert_int_equal(n, 600);
    scene.rig.holds_returns = false;
    is_readable(&scene, true);
    take_turns(&scene, is_here);
    assert_int_equal(returns_counters(returns).kept_bytes, 0);
    kept_scene_close(&scene);
}

/* The journal stays for it, as long as it may become; behind that the round has all. */
static void the_journal_stays_for_a_while(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    leave(&scene);
    uint64_t order = store_order(scene.rig.store);
    is_readable(&scene, false);
    kept_scene_tick(&scene, "c/1");
    take_turns(&scene, is_held);
    struct rounds rounds = {.config = scene.rig.config,
                            .store = scene.rig.store,
                            .ingest = scene.rig.ingest,
                            .returns = scene.rig.returns,
                            .held_most = 20000};
    struct store_status status;
    store_status(scene.rig.store, &status);
    for (int i = 0; i < 600; i++) { /* 50 bytes each, and more */
        kept_scene_tick(&scene, "c/2");
        if (i % 100 != 99)
            continue;
        rounds_want(&rounds);
        for (int64_t began = 0; rounds_busy(&rounds); rig_turn(&scene.rig)) {
            rounds_poll(&rounds);
            if (scene.rig.rounds_done > 0) {
                scene.rig.rounds_done = 0;
                rounds_done(&rounds, &(struct record_round){RECORD_ROUND_DONE, rounds.round});
            }
            assert_true(rig_wait(&began));
        }
        uint64_t done = status.rounds + 1, before = status.trimmed;
        for (int64_t began = 0; store_status(scene.rig.store, &status), status.rounds < done;)
            assert_true(rig_wait(&began));
        assert_true(i == 99 ? status.trimmed == order : status.trimmed >= before);
    }
    assert_true(status.trimmed > order + 400);
    assert_int_equal(held(&scene), 1); /* in memory it is there as before */
    is_readable(&scene, true);
    take_turns(&scene, is_here);
    json_t *reply = ask(&scene, "{\"cmd\":\"state\",\"stream\":\"c/1\",\"model\":\"m\"}");
    assert_int_equal(json_integer_value(json_object_get(reply, "step")), 3);
    json_decref(reply);
    kept_scene_close(&scene);
}

/* ---- questions ------------------------------------------------------------------------------ */

static const char *const questions[] = {
    "{\"cmd\":\"scores\",\"stream\":\"c/1\"}", "{\"cmd\":\"state\",\"stream\":\"c/1\",\"model\":\"m\"}",
    "{\"cmd\":\"reset\",\"stream\":\"c/1\"}", "{\"cmd\":\"pause\",\"stream\":\"c/1\"}"};
enum { QUESTIONS = sizeof questions / sizeof *questions };

static void a_question_begins_nothing(void **state) {
    (void)state;
    for (int damaged = 0; damaged < 2; damaged++) {
        struct kept_scene scene;
        kept_scene_open(&scene, &setup);
        leave(&scene);
        damaged ? damage(&scene) : is_readable(&scene, false);
        for (int q = 0; q < QUESTIONS; q++) {
            expect(&scene, questions[q], damaged ? "damaged" : "unreadable");
            assert_null(returns_find(scene.rig.returns, "c/1", 3));
            assert_false(is_here(&scene));
        }
        assert_int_equal(returns_counters(scene.rig.returns).damaged, 0);
        if (!damaged) {
            kept_scene_tick(&scene, "c/1");
            take_turns(&scene, is_held);
            for (int q = 0; q < QUESTIONS; q++)
                expect(&scene, questions[q], "unreadable");
            assert_int_equal(held(&scene), 1);
        }
        /* Who is to end does. */
        expect(&scene, "{\"cmd\":\"end\",\"stream\":\"c/1\"}", "ok");
        assert_int_equal(returns_counters(scene.rig.returns).damaged, 1);
        assert_int_equal(held(&scene), 0);
        for (int q = 0; q < QUESTIONS; q++)
            expect(&scene, questions[q], "unknown_stream");
        /* A tick of one that is damaged begins it anew. */
        kept_scene_tick(&scene, "c/1");
        take_turns(&scene, is_here);
        assert_int_equal(kept_scene_find(&scene, "c/1")->generation, 3);
        kept_scene_close(&scene);
    }
}

/* There is such a stream, as far as can be seen. */
static void an_import_does_not_wait(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    begin(&scene);
    json_t *image = ask(&scene, "{\"cmd\":\"export\",\"stream\":\"c/1\"}");
    json_object_set_new(image, "cmd", json_string("import"));
    char *request = json_dumps(image, 0);
    leave(&scene);
    is_readable(&scene, false);
    expect(&scene, request, "exists");
    assert_null(returns_find(scene.rig.returns, "c/1", 3));
    is_readable(&scene, true);
    expect(&scene, request, "exists");
    free(request);
    json_decref(image);
    kept_scene_close(&scene);
}

/* Nor is there one because somebody labels it. */
static void an_import_beside_a_label(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true, .models = EVENT});
    begin(&scene);
    json_t *image = ask(&scene, "{\"cmd\":\"export\",\"stream\":\"c/1\"}");
    json_object_set_new(image, "cmd", json_string("import"));
    json_object_set_new(json_object_get(image, "image"), "stream", json_string("c/2"));
    char *request = json_dumps(image, 0);
    static const char label[] = "[{\"stream\":\"c/2\",\"t\":1,\"label\":1}]";
    scene.rig.holds_returns = true;
    rig_send(scene.push, label, strlen(label));
    for (int64_t began = 0; ingest_counters(scene.rig.ingest)->labels == 0; rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    expect(&scene, request, "busy");
    scene.rig.holds_returns = false;
    for (int64_t began = 0; returns_find(scene.rig.returns, "c/2", 3) != NULL; rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    expect(&scene, request, "ok");
    expect(&scene, request, "exists");
    free(request);
    json_decref(image);
    kept_scene_close(&scene);
}

/* It stands in the journal alone, and the record that cannot be read is of a stream that had ended before. */
static void an_import_of_the_journal_is_held(void **state) {
    (void)state;
    struct kept_scene scene;
    struct error err;
    kept_scene_open(&scene, &setup);
    struct returns *returns = scene.rig.returns;
    begin(&scene);
    json_t *reply = ask(&scene, "{\"cmd\":\"export\",\"stream\":\"c/1\"}");
    struct stored *image = stored_json_read(json_object_get(reply, "image"), &err);
    assert_non_null(image);
    json_decref(reply);
    leave(&scene);
    is_readable(&scene, false);
    uint64_t order;
    assert_true(
        store_append(scene.rig.store, &(struct journal_entry){.kind = JOURNAL_TICKS, .bytes = "x", .n = 1}, &order));
    returns_read_tail(returns, true);
    struct returning *returning = returns_begin(returns, 0, "c/1", 3);
    assert_int_equal(returns_import(returns, returning, image, 0), 0);
    returns_import_at(returns, returning, order);
    returns_read_tail(returns, false);
    assert_true(returns_has_tail(returns));
    take_turns(&scene, is_held);
    assert_false(returns_has_tail(returns)); /* nobody waits for it */
    assert_int_equal(returns_lowest(returns), UINT64_MAX);
    assert_int_equal(returns_lowest_held(returns), order);
    assert_true(store_forget(scene.rig.store, "c/1", 3, 1));
    take_turns(&scene, is_here);
    assert_int_equal(returns_lowest_held(returns), UINT64_MAX);
    reply = ask(&scene, "{\"cmd\":\"state\",\"stream\":\"c/1\",\"model\":\"m\"}");
    assert_int_equal(json_integer_value(json_object_get(reply, "step")), 2);
    json_decref(reply);
    kept_scene_close(&scene);
}

/* ---- refused -------------------------------------------------------------------------------- */

static void keep(struct kept_scene *scene, struct returning *returning, uint64_t order, uint32_t nth) {
    size_t n = opening_tick_bytes(scene->rig.config, 0);
    struct record_tick *record = returns_reserve(scene->rig.returns, returning, n);
    assert_non_null(record);
    memset(record, 0, n);
    record->kind = RECORD_TICK;
    record->order = order;
    record->t = ++scene->t;
    returns_commit(scene->rig.returns, order, nth);
}

/* Of the journal's tail. */
static void what_was_refused_is_not_taken(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    struct returns *returns = scene.rig.returns;
    for (int i = 0; i < 4; i++)
        store_append(scene.rig.store, &(struct journal_entry){.kind = JOURNAL_TICKS, .bytes = "x", .n = 1},
                     &(uint64_t){0});
    returns_read_tail(returns, true);
    struct returning *one = returns_begin(returns, 0, "c/1", 3), *two = returns_begin(returns, 0, "c/2", 3);
    keep(&scene, one, 1, 1);
    for (uint32_t nth = 1; nth <= 4; nth++)
        keep(&scene, nth == 2 ? two : one, 2, nth);
    kept_free(returns_refused(returns, one, 2, 3));
    assert_null(returns_refused(returns, one, 2, 2)); /* it is none of this stream */
    kept_free(returns_refused(returns, two, 2, 2));
    assert_null(returns_refused(returns, two, 2, 2));
    assert_int_equal(returns_counters(returns).kept, 3);
    kept_free(returns_refused(returns, one, 2, 4));
    kept_free(returns_refused(returns, one, 2, 1));
    assert_int_equal(returns_counters(returns).kept, 1);
    kept_free(returns_refused(returns, one, 1, 1));
    assert_int_equal(returns_counters(returns).kept_bytes, 0);
    keep(&scene, one, 3, 1);
    keep(&scene, one, 4, 1);
    returns_read_tail(returns, false);
    take_turns(&scene, is_here);
    json_t *reply = ask(&scene, "{\"cmd\":\"state\",\"stream\":\"c/1\",\"model\":\"m\"}");
    assert_int_equal(json_integer_value(json_object_get(reply, "step")), 2);
    json_decref(reply);
    expect(&scene, "{\"cmd\":\"scores\",\"stream\":\"c/2\"}", "unknown_stream");
    kept_scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_waits_for_one_that_cannot_be_read),
        cmocka_unit_test(labels_do_not_wait_for_it),
        cmocka_unit_test(it_is_in_nobodys_way),
        cmocka_unit_test(the_journal_stays_for_a_while),
        cmocka_unit_test(a_question_begins_nothing),
        cmocka_unit_test(an_import_does_not_wait),
        cmocka_unit_test(an_import_beside_a_label),
        cmocka_unit_test(an_import_of_the_journal_is_held),
        cmocka_unit_test(what_was_refused_is_not_taken),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
