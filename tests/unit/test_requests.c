/* Requests that are answered later; what is on the wire is in test_control.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/requests.h"

#include "tests/support/bus_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct scene {
    struct config *config;
    void *zmq, *dealer;
    struct requests *requests;
};

static void open_scene(struct scene *scene) {
    struct error err;
    scene->config = rig_config("", "workers: 1\n" RIG_CLASS RIG_MODEL);
    scene->zmq = zmq_ctx_new();
    scene->requests = requests_open(scene->zmq, &scene->config->bus, &err);
    assert_non_null(scene->requests);
    scene->dealer = zmq_socket(scene->zmq, ZMQ_DEALER);
    assert_int_equal(zmq_connect(scene->dealer, scene->config->bus.control), 0);
}

static void close_scene(struct scene *scene) {
    int zero = 0;
    zmq_setsockopt(scene->dealer, ZMQ_LINGER, &zero, sizeof zero);
    zmq_close(scene->dealer);
    requests_close(scene->requests, 0);
    zmq_ctx_term(scene->zmq);
    config_free(scene->config);
}

static const json_t *next(struct scene *scene) {
    const json_t *request = NULL;
    int64_t began = 0;
    while (!requests_next(scene->requests, &request))
        assert_true(rig_wait(&began));
    return request;
}

static void ask(struct scene *scene, int id) {
    char text[64];
    snprintf(text, sizeof text, "{\"cmd\":\"x\",\"id\":%d}", id);
    rig_send(scene->dealer, text, strlen(text));
}

/* The id that the next reply has; its key "n" must be n. */
static int heard(struct scene *scene, int n) {
    char text[256];
    assert_true(rig_receive(scene->dealer, text, sizeof text, RIG_WAIT_MS) > 0);
    json_t *reply = json_loads(text, 0, NULL);
    int id = (int)json_integer_value(json_object_get(reply, "id"));
    assert_int_equal(json_integer_value(json_object_get(reply, "n")), n);
    json_decref(reply);
    return id;
}

static void kept_requests_are_answered_in_any_order(void **state) {
    (void)state;
    struct scene scene;
    uint64_t numbers[REQUESTS_KEPT_MOST];
    open_scene(&scene);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < REQUESTS_KEPT_MOST; i++) {
            ask(&scene, i);
            assert_int_equal(json_integer_value(json_object_get(next(&scene), "id")), i);
            numbers[i] = requests_keep(scene.requests);
            assert_int_not_equal(numbers[i], 0);
        }
        /* There is no further place, but an answer at once. */
        ask(&scene, 1000);
        next(&scene);
        assert_int_equal(requests_keep(scene.requests), 0);
        requests_answer(scene.requests, json_pack("{s:i}", "n", 5));
        assert_int_equal(heard(&scene, 5), 1000);
        assert_int_equal(requests_counters(scene.requests).kept, REQUESTS_KEPT_MOST);
        for (int i = 0; i < REQUESTS_KEPT_MOST; i++) {
            int at = i * 27 % REQUESTS_KEPT_MOST;
            requests_answer_kept(scene.requests, numbers[at], json_pack("{s:i}", "n", at));
            assert_int_equal(heard(&scene, at), at);
        }
    }
    assert_int_equal(requests_counters(scene.requests).kept, 0);
    assert_int_equal(requests_counters(scene.requests).busy, 3);
    assert_int_equal(requests_counters(scene.requests).errors, 0);
    assert_int_equal(requests_counters(scene.requests).requests, 3 * (REQUESTS_KEPT_MOST + 1));
    close_scene(&scene);
}

/* Each in its own form, to its own client; who has left is no harm. */
static void forms_are_kept_too(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    void *req = zmq_socket(scene.zmq, ZMQ_REQ);
    assert_int_equal(zmq_connect(req, scene.config->bus.control), 0);
    rig_send(req,
             "\x81\xa3"
             "cmd\xa1x",
             7);
    assert_non_null(next(&scene));
    uint64_t first = requests_keep(scene.requests);
    ask(&scene, 4);
    next(&scene);
    uint64_t second = requests_keep(scene.requests);
    void *gone = zmq_socket(scene.zmq, ZMQ_DEALER);
    assert_int_equal(zmq_connect(gone, scene.config->bus.control), 0);
    rig_send(gone, "{}", 2);
    next(&scene);
    uint64_t third = requests_keep(scene.requests);
    zmq_close(gone);
    requests_answer_kept(scene.requests, third, json_pack("{s:{}}", "error"));
    requests_answer_kept(scene.requests, second, json_pack("{s:i}", "n", 3));
    requests_answer_kept(scene.requests, first, json_pack("{s:i}", "n", 1));
    assert_int_equal(heard(&scene, 3), 4);
    char reply[64];
    assert_int_equal(rig_receive(req, reply, sizeof reply, RIG_WAIT_MS), 4);
    assert_memory_equal(reply, "\x81\xa1n\x01", 4);
    assert_int_equal(requests_counters(scene.requests).errors, 1);
    zmq_close(req);
    /* What is still kept at the end is let go. */
    ask(&scene, 5);
    next(&scene);
    assert_int_not_equal(requests_keep(scene.requests), 0);
    close_scene(&scene);
    requests_close(NULL, 0);
}

/* Without memory for a reply there still is one, with the request's number. */
static void no_memory_is_answered_too(void **state) {
    (void)state;
    struct scene scene;
    char reply[256];
    open_scene(&scene);
    ask(&scene, -7);
    next(&scene);
    assert_true(requests_is_open(scene.requests));
    requests_answer(scene.requests, NULL);
    assert_false(requests_is_open(scene.requests));
    assert_int_equal(rig_receive(scene.dealer, reply, sizeof reply, RIG_WAIT_MS), 61);
    assert_string_equal(reply, "{\"error\":{\"code\":\"memory\",\"message\":\"out of memory\"},\"id\":-7}");
    rig_send(scene.dealer,
             "\x82\xa3"
             "cmd\xa1x\xa2id\xcd\x01\x02",
             13);
    next(&scene);
    uint64_t kept = requests_keep(scene.requests);
    assert_false(requests_is_open(scene.requests));
    requests_answer_kept(scene.requests, kept, NULL);
    static const char packed[] = "\x82\xa5"
                                 "error\x82\xa4"
                                 "code\xa6memory\xa7message\xad"
                                 "out of memory\xa2id\xcd\x01\x02";
    assert_int_equal(rig_receive(scene.dealer, reply, sizeof reply, RIG_WAIT_MS), sizeof packed - 1);
    assert_memory_equal(reply, packed, sizeof packed - 1);
    /* One without a number has none; one that is a text has no room. */
    rig_send(scene.dealer, "{\"id\":\"a\"}", 10);
    next(&scene);
    requests_answer(scene.requests, NULL);
    assert_true(rig_receive(scene.dealer, reply, sizeof reply, RIG_WAIT_MS) > 0);
    assert_string_equal(reply, "{\"error\":{\"code\":\"memory\",\"message\":\"out of memory\"}}");
    assert_int_equal(requests_counters(scene.requests).errors, 3);
    close_scene(&scene);
}

/* Who waits at the end is told so. */
static void an_end_is_told(void **state) {
    (void)state;
    struct scene scene;
    char reply[128];
    open_scene(&scene);
    for (int i = 0; i < 2; i++) {
        ask(&scene, i);
        next(&scene);
        assert_int_not_equal(requests_keep(scene.requests), 0);
    }
    requests_close(scene.requests, 1000);
    scene.requests = NULL;
    for (int i = 0; i < 2; i++) {
        int n = rig_receive(scene.dealer, reply, sizeof reply, RIG_WAIT_MS);
        char expected[128];
        snprintf(expected, sizeof expected,
                 "{\"error\":{\"code\":\"stopping\",\"message\":\"the daemon stops: ask the next one\"},\"id\":%d}",
                 i);
        assert_int_equal(n, strlen(expected));
        assert_memory_equal(reply, expected, strlen(expected));
    }
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_is_answered_too),
        cmocka_unit_test(an_end_is_told),
        cmocka_unit_test(kept_requests_are_answered_in_any_order),
        cmocka_unit_test(forms_are_kept_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
