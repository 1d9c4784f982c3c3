/* The journal's tail behind the end of a stream, and behind images. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/recovery.h"

#include "daemon/journal_command.h"
#include "daemon/log.h"
#include "daemon/versions.h"
#include "daemon/worker_internal.h"
#include "tests/support/kept_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* c/1 has some steps, at 1, 2, ..., and is on disk alone; what the store has of it. */
static struct stored *prepare_steps(struct kept_scene *scene, uint64_t steps) {
    for (uint64_t t = 1; t <= steps; t++)
        rig_send_tick(scene->push, "c/1", (int64_t)t, (const double[]){1, 2}, 2);
    while (ingest_counters(scene->rig.ingest)->ticks < steps)
        rig_turn(&scene->rig);
    assert_int_equal(ingest_evict(scene->rig.ingest, kept_scene_await(scene, "c/1")), 0);
    kept_scene_await_left(scene, "c/1");
    uint64_t order = store_order(scene->rig.store);
    assert_true(store_round_begin(scene->rig.store, order) && store_round_end(scene->rig.store));
    for (int64_t began = 0; store_trimmed(scene->rig.store) < order;)
        assert_true(rig_wait(&began));
    struct stored *stored;
    assert_true(store_ask(scene->rig.store, "c/1", 3, NULL));
    for (int64_t began = 0; (stored = store_answer(scene->rig.store)) == NULL;)
        assert_true(rig_wait(&began));
    assert_int_equal(stored->found, STORED_IMAGE);
    assert_int_equal(stored->generation, 1);
    return stored;
}

static struct stored *prepare(struct kept_scene *scene) {
    return prepare_steps(scene, 2);
}

static void append(struct kept_scene *scene, enum journal_kind kind, const void *bytes, size_t n) {
    const struct journal_entry entry = {.kind = kind, .received = 1, .bytes = bytes, .n = n};
    uint64_t order;
    assert_true(store_append(scene->rig.store, &entry, &order));
}

static void append_command(struct kept_scene *scene, struct journal_command command) {
    struct image image = {0};
    strcpy(command.stream, "c/1");
    assert_int_equal(journal_command_write(&command, &image), 0);
    append(scene, command.what == JOURNALED_TAKEOVER ? JOURNAL_TAKEOVER : JOURNAL_COMMAND, image.bytes, image.n);
    image_free(&image);
}

/* The first generation's worker told of it when the stream had ended already. No such version is there. */
static void append_late_takeover(struct kept_scene *scene) {
    append_command(scene, (struct journal_command){
                              .what = JOURNALED_TAKEOVER, .generation = 1, .model = "m", .version = 77, .step = 2});
}

static void recover(struct kept_scene *scene) {
    struct error err;
    uint64_t order = store_order(scene->rig.store);
    store_hurry(scene->rig.store);
    for (int64_t began = 0; store_durable(scene->rig.store) < order;)
        assert_true(rig_wait(&began));
    if (recovery_read(scene->rig.config, scene->rig.store, scene->rig.streams, scene->rig.ingest, scene->rig.returns,
                      scene->rig.versions, &err) != 0)
        fail_msg("%s", err.text);
}

static void expect(struct kept_scene *scene, uint32_t generation, int steps) {
    static const char request[] = "{\"cmd\":\"state\",\"stream\":\"c/1\",\"model\":\"m\"}";
    char frame[2000];
    assert_int_equal(kept_scene_await(scene, "c/1")->generation, generation);
    rig_send(scene->dealer, request, strlen(request));
    for (int64_t began = 0; rig_receive(scene->dealer, frame, sizeof frame, 0) < 0; rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
    json_t *reply = json_loads(frame, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(reply, "step")), steps);
    json_decref(reply);
    assert_int_equal(returns_counters(scene->rig.returns).kept_bytes, 0);
}

static void a_late_takeover_is_of_the_one_that_ended(void **state) {
    (void)state;
    static const char tick[] = "c/1 a=1,b=2 5";
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    stored_free(prepare(&scene));
    append_command(&scene, (struct journal_command){.what = JOURNALED_STATE, .model = "m"});
    append_command(&scene, (struct journal_command){.what = JOURNALED_END, .generation = 1});
    append_late_takeover(&scene);
    append(&scene, JOURNAL_TICKS, tick, strlen(tick));
    append_late_takeover(&scene);
    recover(&scene);
    expect(&scene, 2, 1);
    kept_scene_close(&scene);
}

/* What stands between the end and the import is no stream. */
static void an_import_behind_an_end(void **state) {
    (void)state;
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    struct stored *image = prepare(&scene);
    append_command(&scene, (struct journal_command){.what = JOURNALED_END, .generation = 1});
    append_late_takeover(&scene);
    append_command(&scene, (struct journal_command){.what = JOURNALED_RESET});
    append_command(&scene, (struct journal_command){.what = JOURNALED_IMPORT, .image = image});
    append_late_takeover(&scene);
    recover(&scene);
    expect(&scene, 2, 2);
    stored_free(image);
    kept_scene_close(&scene);
}

/* Where ticks have come for the name before it was refused, and is so again. */
static void an_import_behind_ticks(void **state) {
    (void)state;
    static const char tick[] = "c/1 a=1,b=2 5";
    struct kept_scene scene;
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    struct stored *image = prepare(&scene);
    append_command(&scene, (struct journal_command){.what = JOURNALED_END, .generation = 1});
    append(&scene, JOURNAL_TICKS, tick, strlen(tick));
    append_command(&scene, (struct journal_command){.what = JOURNALED_IMPORT, .image = image});
    recover(&scene);
    expect(&scene, 2, 1);
    stored_free(image);
    kept_scene_close(&scene);
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* The stream was in memory when it came: nothing else of it stands behind its image. */
static void a_label_brings_its_stream_back(void **state) {
    (void)state;
    static const char label[] = "[{\"stream\": \"c/1\", \"t\": 2, \"label\": 1}]";
    struct kept_scene scene;
    kept_scene_open(
        &scene,
        &(struct kept_setup){
            .learns = true,
            .models =
                "  - {name: e, class: c, head: event, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n"});
    stored_free(prepare(&scene));
    append(&scene, JOURNAL_TICKS, label, strlen(label));
    recover(&scene);
    assert_int_equal(ingest_counters(scene.rig.ingest)->labels, 1);
    expect(&scene, 1, 2);
    kept_scene_close(&scene);
}

/* ---- of which order an image has how much ---------------------------------------------------- */

/* The stream's own part of an image as format 1 had it: without the number behind that of the features. */
static void make_format_1(struct stored *stored) {
    enum { FORMAT = 10, LENGTH = 12, TAKEN = 20, SUM = 8 }; /* engine/image.h: behind 6 bytes, tag, format, length */
    uint8_t *bytes = stored->bytes;
    uint16_t format;
    uint32_t length;
    memcpy(&format, bytes + FORMAT, sizeof format);
    memcpy(&length, bytes + LENGTH, sizeof length);
    assert_memory_equal(bytes + 6, "strm", 4);
    assert_int_equal(format, 2);
    format = 1;
    length -= 4;
    memcpy(bytes + FORMAT, &format, sizeof format);
    memcpy(bytes + LENGTH, &length, sizeof length);
    memmove(bytes + TAKEN, bytes + TAKEN + 4, stored->n - TAKEN - 4);
    stored->n -= 4;
    uint64_t sum = image_sum(bytes, stored->n - SUM);
    memcpy(bytes + stored->n - SUM, &sum, SUM);
}

/* The image has the first of its message's two ticks; format 1 did not say so, and had both. */
static void an_image_says_how_much_it_has(void **state) {
    (void)state;
    static const char ticks[] = "c/1 a=1,b=2 2\nc/1 a=1,b=2 5\n";
    for (int format = 1; format <= 2; format++) {
        struct kept_scene scene;
        kept_scene_open(&scene, &(struct kept_setup){.learns = true});
        struct stored *image = prepare(&scene);
        append(&scene, JOURNAL_TICKS, ticks, strlen(ticks));
        if (format == 1)
            make_format_1(image);
        image->order = store_order(scene.rig.store);
        assert_true(store_put(scene.rig.store, 0, image, false));
        recover(&scene);
        expect(&scene, 1, format == 1 ? 2 : 3);
        /* It is written anew, and comes back once more. */
        assert_int_equal(ingest_evict(scene.rig.ingest, kept_scene_await(&scene, "c/1")), 0);
        kept_scene_await_left(&scene, "c/1");
        rig_send_tick(scene.push, "c/1", 9, (const double[]){1, 2}, 2);
        expect(&scene, 1, format == 1 ? 3 : 4);
        kept_scene_close(&scene);
    }
}

/* Where a section of the image begins. */
static uint8_t *section_of(const struct stored *image, const char *tag) {
    uint8_t *at = image->bytes;
    while (memcmp(at, tag, 4) != 0)
        at++;
    return at;
}

/* The place in the model comes twice. */
static void repeat_place(struct stored *image) {
    enum { SUM = 8 };
    size_t n = image->n - SUM, at = (size_t)(section_of(image, "plac") - (uint8_t *)image->bytes);
    uint8_t *bytes = malloc(image->n + n - at);
    assert_non_null(bytes);
    memcpy(bytes, image->bytes, n);
    memcpy(bytes + n, bytes + at, n - at);
    image->n += n - at;
    image->bytes = stored_copy(image, bytes, image->n, 0);
    assert_non_null(image->bytes);
    free(bytes);
}

/* The slot has not seen the stream's latest step. */
static void leave_step_out(struct stored *image) {
    enum { SEEN = 10 + 16 + 16 * 4 }; /* engine/forecaster_image.c: behind version and keys */
    uint8_t *at = section_of(image, "fcst") + SEEN;
    uint64_t seen;
    memcpy(&seen, at, sizeof seen);
    seen--;
    memcpy(at, &seen, sizeof seen);
}

static void expect_steps(struct kept_scene *scene, uint64_t steps) {
    const struct stream *stream = kept_scene_await(scene, "c/1");
    for (int64_t began = 0; atomic_load(&stream->steps) < steps; rig_turn(&scene->rig))
        assert_true(rig_wait(&began));
    assert_int_equal(stream->generation, 1);
    /* What its worker tells of them comes behind them. */
    struct worker *worker = scene->rig.workers[stream->worker];
    pthread_mutex_lock(&worker->owner);
    pthread_mutex_unlock(&worker->owner);
    rig_turn(&scene->rig);
}

/* Images that nobody writes: the stream comes back, goes on, and can leave again. */
static void foreign_images(void **state) {
    (void)state;
    static void (*const damages[])(struct stored * image) = {repeat_place, leave_step_out};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        enum { SUM = 8 };
        struct kept_scene scene;
        kept_scene_open(&scene, &(struct kept_setup){.learns = true});
        struct stored *image = prepare_steps(&scene, 7);
        damages[i](image);
        uint64_t sum = image_sum(image->bytes, image->n - SUM);
        memcpy((uint8_t *)image->bytes + image->n - SUM, &sum, SUM);
        assert_true(store_put(scene.rig.store, 0, image, false));
        append_command(&scene,
                       (struct journal_command){.what = JOURNALED_RESET}); /* it waits for all steps before it */
        append(&scene, JOURNAL_TICKS, "c/1 a=1,b=2 8", 13);
        recover(&scene);
        expect_steps(&scene, 8);
        assert_int_equal(ingest_evict(scene.rig.ingest, kept_scene_await(&scene, "c/1")), 0);
        kept_scene_await_left(&scene, "c/1");
        kept_scene_close(&scene);
    }
}

/* The model of the image is another one by now: it begins behind the stream's steps, which are there. */
static void a_model_that_has_changed_begins_behind_the_steps(void **state) {
    (void)state;
    static const char *const models[] = {"    levels: [70]\n", "    targets: [b]\n"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        struct kept_scene scene;
        kept_scene_open(&scene, &(struct kept_setup){.learns = true});
        stored_free(prepare(&scene));
        kept_scene_restart(&scene, &(struct kept_setup){.learns = true, .models = models[m]});
        void *events = rig_subscribe(&scene.rig, "event/unreadable/", 17);
        append(&scene, JOURNAL_TICKS, "c/1 a=1,b=2 8", 13);
        recover(&scene);
        expect_steps(&scene, 3);
        char topic[300];
        assert_int_equal(scene.rig.unreadable, 1);
        assert_int_equal(rig_receive(events, topic, sizeof topic, 1000), 21);
        assert_string_equal(topic, "event/unreadable/c/1");
        rig_disconnect(events);
        scene.t = 10;
        kept_scene_tick(&scene, "c/1");
        expect_steps(&scene, 4);
        kept_scene_close(&scene);
    }
}

/* The model that a state was set in is another class' by now, and the stream has no such place. */
static void a_state_of_a_model_of_another_class(void **state) {
    (void)state;
    struct kept_scene scene;
    const struct kept_setup setup = {
        .learns = true,
        .of_class = "  - class: d\n    pattern: 'd/*'\n    features: [a, b]\n    history: 32\n",
        .models = RIG_MODEL_OF("n", "d") "    train: false\n" RIG_MODEL_OF("o", "d") "    train: false\n"};
    kept_scene_open(&scene, &setup);
    stored_free(prepare(&scene));
    float values[8] = {0};
    append_command(&scene, (struct journal_command){.what = JOURNALED_STATE, .model = "o", .n = 8, .values = values});
    append(&scene, JOURNAL_TICKS, "c/1 a=1,b=2 8", 13);
    recover(&scene);
    expect_steps(&scene, 3);
    kept_scene_close(&scene);
}

/* What the state of a stream is that had two steps when its model was new, and three more under that version, before another
 * one took over. */
static void live_again(struct kept_scene *scene, float *ret_state, size_t n) {
    struct error err;
    const struct config *config = scene->rig.config;
    struct history *history = history_new(2, config->classes[0].history, config->classes[0].pending);
    struct forecaster *forecaster = forecaster_new(&config->classes[0], &config->models[1], kernels_choose());
    for (int t = 1; t <= 2; t++)
        history_append(history, t, (const double[]){1, 2}, 0);
    for (uint64_t v = 1; v <= 2; v++) {
        struct version *version = versions_load(scene->rig.versions, 1, v, &err);
        assert_int_equal(forecaster_propose(forecaster, version), 0);
        version_release(version);
        while (!forecaster_prime(forecaster))
            ;
        if (v == 1)
            forecaster_acquire(forecaster, 0, history);
        for (int t = 3; v == 1 && t <= 5; t++) {
            history_append(history, t, (const double[]){t * t, 7 - t}, 0);
            forecaster_advance(forecaster, (const int[]){0}, 1);
        }
    }
    assert_int_equal(forecaster_state(forecaster, 0).n, n);
    memcpy(ret_state, forecaster_state(forecaster, 0).values, n * sizeof *ret_state);
    forecaster_free(forecaster);
    history_free(history);
}

/* A model is new since the image, and another version of it serves already: what served between is in the journal. */
static void a_model_that_is_new_since_the_image(void **state) {
    (void)state;
    enum { STATE = 8 };
    const struct kept_setup with = {.learns = true, .models = RIG_MODEL_OF("o", "c") "    train: false\n"};
    const struct kept_setup other = {.learns = true,
                                     .models = RIG_MODEL_OF("o", "c") "    train: false\n    seed: 7\n"};
    struct kept_scene scene;
    float expected[STATE];
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    stored_free(prepare(&scene));
    kept_scene_restart(&scene, &with);
    kept_scene_restart(&scene, &other);
    append_command(
        &scene, (struct journal_command){
                    .what = JOURNALED_TAKEOVER, .generation = 1, .model = "o", .version = 1, .began = 2, .step = 2});
    append(&scene, JOURNAL_TICKS, "c/1 a=9,b=4 3", 13);
    append(&scene, JOURNAL_TICKS, "c/1 a=16,b=3 4", 14);
    append(&scene, JOURNAL_TICKS, "c/1 a=25,b=2 5", 14);
    recover(&scene);
    expect_steps(&scene, 5);
    assert_int_equal(scene.rig.unreadable, 0);
    live_again(&scene, expected, STATE);
    struct worker *worker = scene.rig.workers[0];
    pthread_mutex_lock(&worker->owner);
    const struct place *place = &kept_scene_find(&scene, "c/1")->places[1];
    struct slot_state slot = forecaster_state(place->batch->forecaster, place->slot);
    assert_true(slot.n == STATE && version_number(slot.version) == 2 && slot.primed == 3);
    assert_memory_equal(slot.values, expected, sizeof expected);
    pthread_mutex_unlock(&worker->owner);
    kept_scene_close(&scene);
}

static void publish_version(struct kept_scene *scene, uint64_t number) {
    struct error err;
    struct version *version = version_new(number, forecaster_network(&scene->rig.config->models[0], &err));
    const struct versions_record record = {.model = 0, .champion = version, .facts = "{}", .about = "{}"};
    assert_int_equal(versions_put(scene->rig.versions, &record, &err), 0);
    version_release(version);
}

/* Many steps follow from one tick of the tail, which runs under a version that does not serve any more. */
static void many_steps_at_once_under_another_version(void **state) {
    (void)state;
    const struct kept_setup setup = {.learns = true,
                                     .of_class = "    every: 1us\n    gap: fill\n    fill_most: 20\n"};
    struct kept_scene scene;
    kept_scene_open(&scene, &setup);
    stored_free(prepare(&scene));
    publish_version(&scene, 2);
    kept_scene_restart(&scene, &setup);
    append(&scene, JOURNAL_TICKS, "c/1 a=1,b=2 9000", 16);
    recover(&scene);
    expect_steps(&scene, 9);
    assert_int_equal(scene.rig.unreadable, 0);
    kept_scene_close(&scene);
}

/* The image stands under a version that is not there any more (lost), and behind it another one took over: where it stood, as it
 * came back, or later. */
static void check_takeovers(bool lost, uint64_t step, int unreadable) {
    struct kept_scene scene;
    char path[400];
    kept_scene_open(&scene, &(struct kept_setup){.learns = true});
    stored_free(prepare(&scene));
    publish_version(&scene, 2);
    publish_version(&scene, 3);
    snprintf(path, sizeof path, "%s/versions/m/1.version", scene.folder);
    assert_true(!lost || remove(path) == 0);
    kept_scene_restart(&scene, &(struct kept_setup){.learns = true});
    scene.t = 10;
    kept_scene_tick(&scene, "c/2"); /* of the same batch */
    kept_scene_await(&scene, "c/2");
    append_command(
        &scene,
        (struct journal_command){
            .what = JOURNALED_TAKEOVER, .generation = 1, .model = "m", .version = 2, .began = step, .step = step});
    append(&scene, JOURNAL_TICKS, "c/1 a=1,b=2 8", 13);
    append_command(
        &scene, (struct journal_command){
                    .what = JOURNALED_TAKEOVER, .generation = 1, .model = "m", .version = 3, .began = 3, .step = 3});
    append(&scene, JOURNAL_TICKS, "c/1 a=1,b=2 9", 13);
    recover(&scene);
    expect_steps(&scene, 4);
    assert_int_equal(scene.rig.unreadable, unreadable);
    kept_scene_close(&scene);
}

/* That at the step where the image stands needs nothing of the version before. */
static void a_version_before_takeovers_is_gone(void **state) {
    (void)state;
    check_takeovers(false, 2, 0);
    check_takeovers(true, 2, 0);
}

/* What serves takes over where the image stands, and the others of its batch do not know of it. */
static void takeovers_that_cannot_be_done(void **state) {
    (void)state;
    check_takeovers(true, 3, 1);
    check_takeovers(false, 1, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_takeover_is_of_the_one_that_ended),
        cmocka_unit_test(an_import_behind_an_end),
        cmocka_unit_test(an_import_behind_ticks),
        cmocka_unit_test(a_label_brings_its_stream_back),
        cmocka_unit_test(an_image_says_how_much_it_has),
        cmocka_unit_test(foreign_images),
        cmocka_unit_test(a_model_that_has_changed_begins_behind_the_steps),
        cmocka_unit_test(a_model_that_is_new_since_the_image),
        cmocka_unit_test(a_state_of_a_model_of_another_class),
        cmocka_unit_test(many_steps_at_once_under_another_version),
        cmocka_unit_test(a_version_before_takeovers_is_gone),
        cmocka_unit_test(takeovers_that_cannot_be_done),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
