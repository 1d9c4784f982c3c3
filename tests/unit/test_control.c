#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/control.h"

#include "daemon/log.h"
#include "engine/own.h"
#include "tests/support/bus_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct scene {
    struct rig rig;
    void *dealer;
};

static void open_scene_of(struct scene *scene, const struct rig_setup *setup) {
    rig_open(&scene->rig, setup);
    scene->dealer = rig_connect(&scene->rig, ZMQ_DEALER, scene->rig.config->bus.control);
}

static void open_scene(struct scene *scene) {
    const struct rig_setup setup = {.learns = true};
    open_scene_of(scene, &setup);
}

static void close_scene(struct scene *scene) {
    rig_disconnect(scene->dealer);
    rig_close(&scene->rig);
}

/* Serves until a frame of a reply has come to the socket. */
static int wait_for_frame(struct scene *scene, void *socket, char *frame, size_t size) {
    int64_t began = 0;
    int n;
    while ((n = rig_receive(socket, frame, size, 0)) < 0) {
        rig_turn(&scene->rig);
        assert_true(rig_wait(&began));
    }
    return n;
}

/* Sends a request in JSON, and returns its reply, which must be JSON in one frame. */
static json_t *ask(struct scene *scene, const char *request) {
    static char frame[1 << 20];
    rig_send(scene->dealer, request, strlen(request));
    wait_for_frame(scene, scene->dealer, frame, sizeof frame);
    assert_int_equal(frame[0], '{');
    json_t *reply = json_loads(frame, 0, NULL);
    assert_non_null(reply);
    int more;
    size_t size = sizeof more;
    zmq_getsockopt(scene->dealer, ZMQ_RCVMORE, &more, &size);
    assert_false(more);
    return reply;
}

/* Takes the reply. */
static void expect_ok(json_t *reply) {
    assert_true(json_is_true(json_object_get(reply, "ok")));
    assert_null(json_object_get(reply, "error"));
    json_decref(reply);
}

static void expect_error(json_t *reply, const char *code) {
    const json_t *error = json_object_get(reply, "error");
    assert_null(json_object_get(reply, "ok"));
    assert_string_equal(json_string_value(json_object_get(error, "code")), code);
    assert_true(json_string_length(json_object_get(error, "message")) > 5);
    json_decref(reply);
}

/* Each key, in the order of the text, "key:type key:type ...": s text, i integer, r real, o map, a array, t true, b
 * bool. */
static void expect_shape(const json_t *map, const char *shape) {
    size_t keys = 0;
    char copy[512], *rest = copy;
    snprintf(copy, sizeof copy, "%s", shape);
    for (const char *word; (word = strsep(&rest, " ")) != NULL; keys++) {
        char *colon = strchr(word, ':'), type = colon[1];
        *colon = '\0';
        const json_t *value = json_object_get(map, word);
        bool fits = type == 's'   ? json_is_string(value)
                    : type == 'i' ? json_is_integer(value)
                    : type == 'r' ? json_is_real(value)
                    : type == 'o' ? json_is_object(value)
                    : type == 'a' ? json_is_array(value)
                    : type == 't' ? json_is_true(value)
                                  : json_is_boolean(value);
        if (!fits)
            fail_msg("%s is not %c", word, type);
    }
    assert_int_equal(json_object_size(map), keys); /* and no others */
}

static void feed(struct scene *scene, const char *const *names, int n) {
    void *push = rig_connect(&scene->rig, ZMQ_PUSH, scene->rig.config->bus.ticks);
    const double values[2] = {1, 2};
    uint64_t before = ingest_counters(scene->rig.ingest)->messages;
    for (int i = 0; i < n; i++)
        rig_send_tick(push, names[i], 1, values, 2);
    int64_t began = 0;
    while (ingest_counters(scene->rig.ingest)->messages < before + (uint64_t)n) {
        rig_turn(&scene->rig);
        assert_true(rig_wait(&began));
    }
    rig_disconnect(push);
}

/* ---- requests ----------------------------------------------------------------------------------- */

static void what_is_no_request_is_answered_with_an_error(void **state) {
    (void)state;
    static const struct {
        const char *request, *code;
    } cases[] = {
        {"[]", "malformed"},
        {"{", "malformed"},
        {"{\"a\":1}{", "malformed"},
        {"{}", "argument"},
        {"{\"cmd\":7}", "argument"},
        {"{\"cmd\":\"dance\"}", "unknown_command"},
        {"{\"cmd\":\"retrain\"}", "argument"},
        {"{\"cmd\":\"retrain\",\"model\":7}", "argument"},
        {"{\"cmd\":\"retrain\",\"model\":\"none\"}", "unknown_model"},
        {"{\"cmd\":\"end\"}", "argument"},
        {"{\"cmd\":\"pause\"}", "argument"},
        {"{\"cmd\":\"scores\"}", "argument"},
        {"{\"cmd\":\"scores\",\"stream\":\"none\"}", "unknown_stream"},
        {"{\"cmd\":\"scores\",\"stream\":\"none\",\"forecasts\":1}", "argument"},
        {"{\"cmd\":\"resume\",\"stream\":\"none\"}", "unknown_stream"},
        {"{\"cmd\":\"end\",\"stream\":\"none\"}", "unknown_stream"},
        {"{\"cmd\":\"reset\",\"stream\":\"none\"}", "unknown_stream"},
        {"{\"cmd\":\"reset\",\"stream\":null}", "argument"},
        {"{\"cmd\":\"reset\"}", "argument"},
        {"{\"cmd\":\"reset\",\"all\":false}", "argument"},
        {"{\"cmd\":\"reset\",\"all\":1}", "argument"},
        {"{\"cmd\":\"reset\",\"all\":true,\"stream\":\"a\"}", "argument"},
        {"{\"cmd\":\"reset\",\"model\":\"none\"}", "unknown_model"},
        {"{\"cmd\":\"reset\",\"model\":7}", "argument"},
        {"{\"cmd\":\"reset\",\"model\":\"m\",\"stream\":\"none\"}", "unknown_stream"},
        {"{\"cmd\":\"state\"}", "argument"},
        {"{\"cmd\":\"state\",\"model\":\"m\"}", "argument"},
        {"{\"cmd\":\"state\",\"model\":\"none\",\"stream\":\"none\"}", "unknown_model"},
        {"{\"cmd\":\"state\",\"model\":\"m\",\"stream\":\"none\"}", "unknown_stream"},
        {"{\"cmd\":\"set_state\",\"model\":\"m\",\"stream\":\"none\"}", "unknown_stream"},
        {"{\"cmd\":\"save\"}", "argument"},
        {"{\"cmd\":\"save\",\"model\":\"m\"}", "argument"},
        {"{\"cmd\":\"save\",\"model\":\"m\",\"file\":\"m.keras\"}", "argument"},
        {"{\"cmd\":\"save\",\"model\":\"none\",\"file\":\"/m.keras\"}", "unknown_model"},
        {"{\"cmd\":\"save\",\"file\":\"/m.keras\"}", "argument"},
        {"{\"cmd\":\"streams\",\"limit\":0}", "argument"},
        {"{\"cmd\":\"streams\",\"limit\":1001}", "argument"},
        {"{\"cmd\":\"streams\",\"limit\":\"1\"}", "argument"},
        {"{\"cmd\":\"streams\",\"prefix\":1}", "argument"},
        {"{\"cmd\":\"names\",\"limit\":0}", "argument"},
        {"{\"cmd\":\"names\",\"after\":[]}", "argument"},
        {"{\"cmd\":\"export\"}", "argument"},
        {"{\"cmd\":\"export\",\"stream\":\"none\"}", "unknown_stream"},
        {"{\"cmd\":\"hello\",\"protocol\":2}", "protocol"},
    };
    struct scene scene;
    open_scene(&scene);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error(ask(&scene, cases[i].request), cases[i].code);
    json_t *reply = ask(&scene, "{\"cmd\":\"status\"}");
    const json_t *control = json_object_get(reply, "control");
    assert_int_equal(json_integer_value(json_object_get(control, "errors")), sizeof cases / sizeof *cases);
    json_decref(reply);
    close_scene(&scene);
}

static void an_id_of_any_type_comes_back(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    static const char *const ids[] = {"7", "\"x\"", "[1,{\"a\":null}]", "null"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char request[128];
        snprintf(request, sizeof request, "{\"cmd\":\"%s\",\"id\":%s}", i % 2 == 0 ? "models" : "none", ids[i]);
        json_t *reply = ask(&scene, request), *expected = json_loads(ids[i], JSON_DECODE_ANY, NULL);
        assert_true(json_equal(json_object_get(reply, "id"), expected));
        json_decref(expected);
        json_decref(reply);
    }
    close_scene(&scene);
}

/* The reply has the form of the request: an empty frame before it, MessagePack. */
static void replies_have_the_form_of_requests(void **state) {
    (void)state;
    struct scene scene;
    char frame[4096];
    bool is_json;
    open_scene(&scene);
    static const char request[] = "\x81\xa3"
                                  "cmd\xa6"
                                  "models";
    void *req = rig_connect(&scene.rig, ZMQ_REQ, scene.rig.config->bus.control);
    rig_send(req, request, sizeof request - 1);
    int n = wait_for_frame(&scene, req, frame, sizeof frame);
    json_t *reply = wire_message_decode(frame, (size_t)n, &is_json);
    assert_non_null(reply);
    assert_false(is_json);
    expect_ok(reply);
    zmq_send(scene.dealer, "", 0, ZMQ_SNDMORE);
    rig_send(scene.dealer, request, sizeof request - 1);
    assert_int_equal(wait_for_frame(&scene, scene.dealer, frame, sizeof frame), 0);
    n = wait_for_frame(&scene, scene.dealer, frame, sizeof frame);
    expect_ok(wire_message_decode(frame, (size_t)n, &is_json));
    /* More frames than there may be: an error, and the next request is read from its beginning. */
    zmq_send(scene.dealer, "{}", 2, ZMQ_SNDMORE);
    zmq_send(scene.dealer, "{\"cmd\":\"stop\"}", 14, ZMQ_SNDMORE);
    rig_send(scene.dealer, "{\"cmd\":\"stop\"}", 14);
    n = wait_for_frame(&scene, scene.dealer, frame, sizeof frame);
    expect_error(wire_message_decode(frame, (size_t)n, &is_json), "malformed");
    expect_ok(ask(&scene, "{\"cmd\":\"models\"}"));
    assert_int_equal(scene.rig.stops, 0);
    rig_disconnect(req);
    close_scene(&scene);
}

/* A client that goes away before its reply, and many requests at once. */
static void who_does_not_read_holds_up_nobody(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    void *rude = rig_connect(&scene.rig, ZMQ_DEALER, scene.rig.config->bus.control);
    for (int i = 0; i < 500; i++)
        rig_send(rude, "{\"cmd\":\"status\"}", 16);
    expect_ok(ask(&scene, "{\"cmd\":\"models\"}"));
    rig_disconnect(rude);
    expect_ok(ask(&scene, "{\"cmd\":\"models\"}"));
    close_scene(&scene);
}

/* ---- shapes of replies -------------------------------------------------------------------------- */

static void hello_tells_of_classes_and_models(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    json_t *reply = ask(&scene, "{\"cmd\":\"hello\",\"protocol\":1,\"producer\":\"me\"}");
    expect_shape(reply, "ok:t protocol:i version:s epoch:i workers:i classes:a models:a");
    assert_int_equal(json_integer_value(json_object_get(reply, "protocol")), 1);
    assert_int_equal(json_integer_value(json_object_get(reply, "epoch")), 17);
    char *classes = json_dumps(json_object_get(reply, "classes"), JSON_COMPACT | JSON_SORT_KEYS);
    char *models = json_dumps(json_object_get(reply, "models"), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(classes, "[{\"class\":\"c\",\"features\":[\"a\",\"b\"],\"pattern\":\"c/*\"}]");
    assert_string_equal(models, "[{\"class\":\"c\",\"horizon\":3,\"inputs\":[\"a\",\"b\"],\"model\":\"m\","
                                "\"targets\":[\"a\",\"b\"]}]");
    free(classes);
    free(models);
    json_decref(reply);
    close_scene(&scene);
}

static void status_counts(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.rig.disconnects = 4;
    static const char *const names[] = {"c/1", "c/2", "c/1",
                                        "x"}; /* the third repeats its time, the last has no class */
    feed(&scene, names, 4);
    rig_turn_until(&scene.rig, &scene.rig.refused, 1);
    json_t *reply = ask(&scene, "{\"cmd\":\"status\"}");
    expect_shape(
        reply,
        "ok:t version:s epoch:i workers:i kernels:s uptime_s:r streams:i started:i ended:i ticks:o steps:i "
        "advances:i spent:o pending_full:i not_finite:i resets:o time:o windows_left_out:i tick_rings:o forecast_rings:o forecasts:o events:o "
        "disconnects:i control:o");
    expect_shape(json_object_get(reply, "ticks"), "taken:i bad:i labels:i messages:i bytes:i parked:i refused:o");
    expect_shape(json_object_get(reply, "spent"), "advances:o background:o");
    expect_shape(json_object_get(json_object_get(reply, "spent"), "advances"), "n:i ns:i longest_ns:i parts:a");
    expect_shape(json_object_get(reply, "tick_rings"), "bytes:i times_full:i");
    expect_shape(json_object_get(reply, "forecast_rings"), "bytes:i waits:i");
    expect_shape(json_object_get(reply, "forecasts"), "made:i singles:i bundles:i repeated:i subscriptions:i");
    expect_shape(json_object_get(reply, "events"), "sent:i suppressed:i");
    expect_shape(json_object_get(reply, "control"), "requests:i errors:i waiting:i busy:i");
    expect_shape(json_object_get(reply, "resets"), "command:i gap:i time:i");
    expect_shape(json_object_get(reply, "time"),
                 "aggregated:i filled:i replaced:i missing:i closed:i reordered:i unheld:i");
    char *refused =
        json_dumps(json_object_get(json_object_get(reply, "ticks"), "refused"), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(refused, "{\"no_class\":1,\"repeated\":1}"); /* the bus' and the workers' */
    free(refused);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(reply, "ticks"), "taken")), 3);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(reply, "ticks"), "messages")), 4);
    assert_int_equal(json_integer_value(json_object_get(reply, "streams")), 2);
    assert_int_equal(json_integer_value(json_object_get(reply, "started")), 2);
    assert_int_equal(json_integer_value(json_object_get(reply, "steps")), 2);
    assert_int_equal(json_integer_value(json_object_get(reply, "disconnects")), 4);
    json_decref(reply);
    close_scene(&scene);
}

static void streams_come_in_pages(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    static const char *const names[] = {"c/b", "c/a", "c/aa", "c/d", "c/c"};
    static const char *const sorted[] = {"c/a", "c/aa", "c/b", "c/c", "c/d"};
    feed(&scene, names, 5);
    char request[128], after[16] = "";
    int seen = 0;
    for (bool more = true; more;) {
        snprintf(request, sizeof request, "{\"cmd\":\"streams\",\"limit\":2,\"after\":\"%s\"}", after);
        json_t *reply = ask(&scene, request);
        expect_shape(reply, "ok:t streams:a more:b");
        size_t i;
        json_t *each;
        json_array_foreach(json_object_get(reply, "streams"), i, each) {
            expect_shape(each, "stream:s class:s generation:i worker:i paused:b step:i");
            snprintf(after, sizeof after, "%s", json_string_value(json_object_get(each, "stream")));
            assert_string_equal(after, sorted[seen++]);
            assert_int_equal(json_integer_value(json_object_get(each, "generation")), 1);
        }
        more = json_is_true(json_object_get(reply, "more"));
        json_decref(reply);
    }
    assert_int_equal(seen, 5);
    json_t *reply = ask(&scene, "{\"cmd\":\"streams\",\"prefix\":\"c/a\"}");
    assert_int_equal(json_array_size(json_object_get(reply, "streams")), 2);
    assert_true(json_is_false(json_object_get(reply, "more")));
    json_decref(reply);
    close_scene(&scene);
}

static void models_tell_who_serves_and_why(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    json_t *reply = ask(&scene, "{\"cmd\":\"models\"}");
    expect_shape(reply, "ok:t models:a");
    expect_shape(
        json_array_get(json_object_get(reply, "models"), 0),
        "model:s class:s version:i source:s training:s reason:s steps:i streams:i batches:i jobs:i promoted:i "
        "failed:i rolled_back:i stopped:i drifts:i");
    json_decref(reply);
    close_scene(&scene);
}

static void commands_on_streams_and_models_are_done(void **state) {
    (void)state;
    struct scene scene;
    const struct rig_setup setup = {.learns = true,
                                    .rest = "workers: 1\n" RIG_CLASS "models:\n" RIG_MODEL_OF("m", "c")
                                        RIG_MODEL_OF("fixed", "c") "    train: false\n"};
    open_scene_of(&scene, &setup);
    static const char *const names[] = {"c/1", "c/2"};
    feed(&scene, names, 2);
    expect_ok(ask(&scene, "{\"cmd\":\"reset\",\"stream\":\"c/1\"}"));
    expect_ok(ask(&scene, "{\"cmd\":\"end\",\"stream\":\"c/1\"}"));
    expect_error(ask(&scene, "{\"cmd\":\"end\",\"stream\":\"c/1\"}"), "unknown_stream");
    rig_turn_until(&scene.rig, &scene.rig.ended, 1);
    assert_int_equal(streams_count(scene.rig.streams), 1);
    expect_error(ask(&scene, "{\"cmd\":\"retrain\",\"model\":\"fixed\"}"), "argument");
    expect_ok(ask(&scene, "{\"cmd\":\"retrain\",\"model\":\"m\"}"));
    rig_turn_until(&scene.rig, &scene.rig.collected, 1);
    static const char *const nothing[] = {"promote", "reject", "rollback", "stop_training"};
    for (int i = 0; i < 4; i++) {
        char request[128];
        snprintf(request, sizeof request, "{\"cmd\":\"%s\",\"model\":\"fixed\"}", nothing[i]);
        expect_error(ask(&scene, request), "nothing");
        snprintf(request, sizeof request, "{\"cmd\":\"%s\",\"model\":\"none\"}", nothing[i]);
        expect_error(ask(&scene, request), "unknown_model");
        snprintf(request, sizeof request, "{\"cmd\":\"%s\"}", nothing[i]);
        expect_error(ask(&scene, request), "argument");
    }
    json_t *reply = ask(&scene, "{\"cmd\":\"decisions\",\"model\":\"m\"}");
    expect_shape(reply, "ok:t decisions:a");
    json_decref(reply);
    expect_error(ask(&scene, "{\"cmd\":\"decisions\",\"model\":\"none\"}"), "unknown_model");
    expect_ok(ask(&scene, "{\"cmd\":\"stop\"}"));
    assert_int_equal(scene.rig.stops, 1);

    /* The configuration is read by another thread; meanwhile nobody else asks. */
    static const char reload[] = "{\"cmd\":\"reload\",\"id\":9}";
    rig_send(scene.dealer, reload, sizeof reload - 1);
    int64_t began = 0;
    for (; scene.rig.reloads == 0; control_serve(scene.rig.control))
        assert_true(rig_wait(&began));
    expect_error(ask(&scene, "{\"cmd\":\"reload\"}"), "busy");
    control_reloaded(scene.rig.control, json_pack("{s:b}", "ok", 1));
    reply = ask(&scene, "{\"cmd\":\"hello\",\"protocol\":1}"); /* the answers come in their order */
    assert_int_equal(json_integer_value(json_object_get(reply, "id")), 9);
    json_decref(reply);
    close_scene(&scene);
}

/* ---- states and files --------------------------------------------------------------------------- */

static json_t *ask_for(struct scene *scene, const char *format, ...) __attribute__((format(printf, 2, 3)));
static json_t *ask_for(struct scene *scene, const char *format, ...) {
    char request[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(request, sizeof request, format, arguments);
    va_end(arguments);
    for (char *c = request; *c != '\0'; c++)
        *c = *c == '\'' ? '"' : *c;
    return ask(scene, request);
}

static bool is_paused(struct scene *scene) {
    json_t *reply = ask_for(scene, "{'cmd':'streams'}");
    const json_t *first = json_array_get(json_object_get(reply, "streams"), 0);
    bool paused = json_is_true(json_object_get(first, "paused"));
    json_decref(reply);
    return paused;
}

static void pauses_of_streams(void **state) {
    (void)state;
    struct scene scene;
    const struct rig_setup setup = {.learns = true,
                                    .rest = "workers: 1\n" RIG_CLASS "models:\n" RIG_MODEL_OF("m", "c")};
    open_scene_of(&scene, &setup);
    static const char *const names[] = {"c/1"};
    feed(&scene, names, 1);
    assert_false(is_paused(&scene));
    for (int i = 1; i <= 4; i++) {
        expect_ok(ask_for(&scene, "{'cmd':'%s','stream':'c/1'}", i % 2 ? "pause" : "resume"));
        expect_ok(ask_for(&scene, "{'cmd':'%s','stream':'c/1'}", i % 2 ? "pause" : "resume")); /* tells nothing new */
        assert_int_equal(is_paused(&scene), i % 2);
        rig_turn_until(&scene.rig, &scene.rig.told, i);
    }
    assert_int_equal(scene.rig.told, 4);
    close_scene(&scene);
}

/* Of one model, of the only one, of a raw head; and not of one of several. */
static void scores_of_streams(void **state) {
    (void)state;
    struct scene scene;
    const struct rig_setup setup = {.learns = true,
                                    .rest = "workers: 1\nstreams:\n  - {class: c, pattern: 'c/*', features: [a, b], "
                                            "history: 32}\n  - {class: d, pattern: 'd/*', features: [a, b], history: "
                                            "32}\nmodels:\n" RIG_MODEL_OF("m", "c") RIG_MODEL_OF("n", "d")
                                                RIG_MODEL_OF("o", "d")};
    open_scene_of(&scene, &setup);
    static const char *const names[] = {"c/1", "d/1"};
    feed(&scene, names, 2);
    json_t *reply = ask_for(&scene, "{'cmd':'scores','stream':'c/1'}");
    expect_shape(reply, "ok:t stream:s model:s step:i levels:a scores:a targets:o");
    assert_string_equal(json_string_value(json_object_get(reply, "model")), "m");
    expect_shape(json_array_get(json_object_get(reply, "scores"), 0), "h:i n:i recent:o all:o");
    json_decref(reply);
    reply = ask_for(&scene, "{'cmd':'scores','stream':'d/1','model':'o','forecasts':true}");
    expect_shape(reply, "ok:t stream:s model:s step:i levels:a scores:a targets:o forecasts:a");
    json_decref(reply);
    expect_error(ask_for(&scene, "{'cmd':'scores','stream':'d/1'}"), "argument");
    expect_error(ask_for(&scene, "{'cmd':'scores','stream':'d/1','model':'m'}"), "argument");
    expect_error(ask_for(&scene, "{'cmd':'scores','stream':'d/1','model':'x'}"), "unknown_model");
    close_scene(&scene);
}

static void resets_of_streams_and_models(void **state) {
    (void)state;
    struct scene scene;
    const struct rig_setup setup = {.learns = true,
                                    .rest = "workers: 2\nstreams:\n  - {class: c, pattern: 'c/*', features: [a, b], "
                                            "history: 32}\n  - {class: d, pattern: 'd/*', features: [a, b], history: "
                                            "32}\nmodels:\n" RIG_MODEL_OF("m", "c") RIG_MODEL_OF("n", "d")};
    open_scene_of(&scene, &setup);
    static const char *const names[] = {"c/1", "c/2", "d/1"};
    feed(&scene, names, 3);
    expect_ok(ask_for(&scene, "{'cmd':'reset','stream':'c/1','model':'m'}"));
    expect_error(ask_for(&scene, "{'cmd':'reset','stream':'c/1','model':'n'}"), "argument");
    rig_turn_until(&scene.rig, &scene.rig.resets, 1);
    expect_ok(ask_for(&scene, "{'cmd':'reset','model':'m'}"));
    rig_turn_until(&scene.rig, &scene.rig.resets, 3);
    expect_ok(ask_for(&scene, "{'cmd':'reset','model':'n','all':true}"));
    rig_turn_until(&scene.rig, &scene.rig.resets, 4);
    expect_ok(ask_for(&scene, "{'cmd':'reset','all':true}"));
    rig_turn_until(&scene.rig, &scene.rig.resets, 7);
    json_t *reply = ask_for(&scene, "{'cmd':'status'}");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(reply, "resets"), "command")), 7);
    json_decref(reply);
    close_scene(&scene);
}

static void a_state_is_read_and_set(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    static const char *const names[] = {"c/1", "c/2"};
    feed(&scene, names, 2);
    json_t *read = ask_for(&scene, "{'cmd':'state','stream':'c/1','model':'m','id':5}");
    expect_shape(read, "ok:t stream:s model:s version:i step:i primed:i state:o id:i");
    assert_int_equal(json_integer_value(json_object_get(read, "version")), 1);
    assert_int_equal(json_integer_value(json_object_get(read, "step")), 1);
    assert_int_equal(json_integer_value(json_object_get(read, "primed")), 1);
    const json_t *lstm = json_object_iter_value(json_object_iter(json_object_get(read, "state")));
    const char *layer = json_object_iter_key(json_object_iter(json_object_get(read, "state")));
    assert_int_equal(json_object_size(json_object_get(read, "state")), 1);
    assert_int_equal(json_array_size(lstm), 2);
    assert_int_equal(json_array_size(json_array_get(lstm, 1)), 4);
    /* It comes back as it was set, and only there. */
    json_t *done = ask_for(&scene,
                           "{'cmd':'set_state','stream':'c/2','model':'m','state':{'%s':[[1,2,3,4],"
                           "[0.1,-6,7,8]]}}",
                           layer);
    expect_shape(done, "ok:t stream:s model:s version:i step:i primed:i");
    json_decref(done);
    json_t *set = ask_for(&scene, "{'cmd':'state','stream':'c/2','model':'m'}");
    char *text = json_dumps(json_array_get(json_object_get(json_object_get(set, "state"), layer), 1), JSON_COMPACT);
    assert_string_equal(text, "[0.10000000149011612,-6.0,7.0,8.0]");
    assert_int_equal(json_integer_value(json_object_get(set, "primed")), 0);
    free(text);
    json_t *again = ask_for(&scene, "{'cmd':'state','stream':'c/1','model':'m','id':5}");
    assert_true(json_equal(again, read));
    /* What does not fit changes nothing. */
    static const char *const wrong[] = {"{'%s':[[1,2,3,4],[0,0,0]]}", "{'%s':[[1,2,3,4],[0,0,0,1e39]]}", "{'x%s':[]}",
                                        "[]"};
    for (int i = 0; i < 4; i++) {
        char given[128];
        snprintf(given, sizeof given, wrong[i], layer);
        expect_error(ask_for(&scene, "{'cmd':'set_state','stream':'c/2','model':'m','state':%s}", given), "argument");
    }
    expect_error(ask_for(&scene, "{'cmd':'set_state','stream':'c/2','model':'m'}"), "argument");
    json_t *still = ask_for(&scene, "{'cmd':'state','stream':'c/2','model':'m'}");
    assert_true(json_equal(still, set));
    json_decref(read);
    json_decref(set);
    json_decref(again);
    json_decref(still);
    close_scene(&scene);
}

/* Their worker never answers: so many requests may wait, and who comes then is told. */
static void waiting_requests_have_a_bound(void **state) {
    (void)state;
    enum { BOUND = 64 };
    struct scene scene;
    const struct rig_setup setup = {.learns = true, .idle = true, .idle_bytes = 65536};
    open_scene_of(&scene, &setup);
    static const char *const names[] = {"c/1"};
    feed(&scene, names, 1);
    static const char request[] = "{\"cmd\":\"state\",\"stream\":\"c/1\",\"model\":\"m\"}";
    for (int i = 0; i < BOUND; i++)
        rig_send(scene.dealer, request, sizeof request - 1);
    expect_error(ask(&scene, request), "busy");
    json_t *reply = ask_for(&scene, "{'cmd':'status'}");
    const json_t *control = json_object_get(reply, "control");
    assert_int_equal(json_integer_value(json_object_get(control, "waiting")), BOUND);
    assert_int_equal(json_integer_value(json_object_get(control, "busy")), 1);
    json_decref(reply);
    /* The test is the worker. */
    size_t n;
    int answered = 0;
    for (const struct record *at; (at = ring_peek(worker_input(scene.rig.workers[0]), &n)) != NULL;) {
        if (at->kind == RECORD_STATE) {
            struct state_order *order = ((const struct record_state *)(const void *)at)->order;
            order->outcome = answered % 2 == 0 ? STATE_OTHER : STATE_NO_MEMORY;
            control_state_done(scene.rig.control, order);
            char frame[512];
            assert_true(rig_receive(scene.dealer, frame, sizeof frame, RIG_WAIT_MS) > 0);
            expect_error(json_loads(frame, 0, NULL), answered++ % 2 == 0 ? "busy" : "memory");
        }
        if (at->kind == RECORD_VERSION)
            version_release(((const struct record_version *)(const void *)at)->version);
        ring_consume(worker_input(scene.rig.workers[0]));
    }
    assert_int_equal(answered, BOUND);
    close_scene(&scene);
}

/* Takes the reply, and removes the file, which holds a number of parameters and the daemon's own. */
static void expect_saved(json_t *reply, const char *path, const char *own) {
    assert_int_equal(json_integer_value(json_object_get(reply, "version")), 1);
    json_decref(reply);
    char text[4096] = "", *end;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_true(strtol(text, &end, 10) > 100);
    assert_string_equal(end + 1, own);
    assert_int_equal(remove(path), 0);
}

static void a_model_is_saved(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    const char *folder = rig_folder();
    char request[256], frame[512];
    snprintf(request, sizeof request, "{\"cmd\":\"save\",\"model\":\"m\",\"file\":\"%s/m.keras\",\"id\":1}", folder);
    /* The second comes while the first is being written. */
    atomic_store(&rig_hold_write, true);
    rig_send(scene.dealer, request, strlen(request));
    expect_error(ask(&scene, request), "busy");
    atomic_store(&rig_hold_write, false);
    wait_for_frame(&scene, scene.dealer, frame, sizeof frame);
    json_t *reply = json_loads(frame, 0, NULL);
    expect_shape(reply, "ok:t version:i id:i");
    char path[128], *own = model_own_json(&scene.rig.config->models[0], &scene.rig.config->classes[0]);
    snprintf(path, sizeof path, "%s/m.keras", folder);
    expect_saved(reply, path, own);
    free(own);
    /* Where there is no room for them the daemon's own settings are left out. */
    snprintf(path, sizeof path, "%s/m.h5", folder);
    expect_saved(ask_for(&scene, "{'cmd':'save','model':'m','file':'%s'}", path), path, "none");
    snprintf(path, sizeof path, "%s/m.keras", folder);
    expect_error(ask_for(&scene, "{'cmd':'save','model':'m','file':'/nowhere/at/all.keras'}"), "file");
    /* One that is being written when the daemon ends is written to its end. */
    atomic_store(&rig_hold_write, true);
    rig_send(scene.dealer, request, strlen(request));
    expect_error(ask(&scene, request), "busy");
    atomic_store(&rig_hold_write, false);
    close_scene(&scene);
    assert_int_equal(remove(path), 0);
}

static void a_model_without_a_version_has_no_state_and_no_file(void **state) {
    (void)state;
    struct scene scene;
    const struct rig_setup setup = {.learns = true,
                                    .rest = "workers: 1\n" RIG_CLASS "models:\n" RIG_MODEL_OF("m", "c")};
    open_scene_of(&scene, &setup);
    static const char *const names[] = {"c/1"};
    feed(&scene, names, 1);
    expect_error(ask_for(&scene, "{'cmd':'state','stream':'c/1','model':'m'}"), "no_version");
    expect_error(ask_for(&scene, "{'cmd':'set_state','stream':'c/1','model':'m','state':{}}"), "no_version");
    expect_error(ask_for(&scene, "{'cmd':'save','model':'m','file':'/m.keras'}"), "no_version");
    close_scene(&scene);
}

static void an_endpoint_that_cannot_be_bound_is_named(void **state) {
    (void)state;
    struct scene scene;
    struct error err;
    open_scene(&scene);
    char *endpoint = scene.rig.config->bus.control;
    static char nowhere[] = "ipc:///nowhere/at/all";
    scene.rig.config->bus.control = nowhere;
    const struct control_setup setup = {.config = scene.rig.config};
    assert_null(control_open(scene.rig.zmq, &setup, &err));
    assert_non_null(strstr(err.text, "bus.control: cannot bind to ipc:///nowhere/at/all"));
    scene.rig.config->bus.control = endpoint;
    control_close(NULL, 0);
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_request_is_answered_with_an_error),
        cmocka_unit_test(an_id_of_any_type_comes_back),
        cmocka_unit_test(replies_have_the_form_of_requests),
        cmocka_unit_test(who_does_not_read_holds_up_nobody),
        cmocka_unit_test(hello_tells_of_classes_and_models),
        cmocka_unit_test(status_counts),
        cmocka_unit_test(streams_come_in_pages),
        cmocka_unit_test(models_tell_who_serves_and_why),
        cmocka_unit_test(commands_on_streams_and_models_are_done),
        cmocka_unit_test(pauses_of_streams),
        cmocka_unit_test(scores_of_streams),
        cmocka_unit_test(resets_of_streams_and_models),
        cmocka_unit_test(a_state_is_read_and_set),
        cmocka_unit_test(waiting_requests_have_a_bound),
        cmocka_unit_test(a_model_is_saved),
        cmocka_unit_test(a_model_without_a_version_has_no_state_and_no_file),
        cmocka_unit_test(an_endpoint_that_cannot_be_bound_is_named),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
