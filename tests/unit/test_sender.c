/* Acknowledged sending of libforecast, against a daemon that the test plays. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/libforecast/client.h"
#include "daemon/wire.h"
#include "tests/support/wire_cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { WAIT = 10000 }; /* ms until a test gives up */

struct scene {
    void *context, *router;
    char endpoint[64];
    struct forecast_sender *sender;
    char refused[512]; /* as text */
    unsigned char client[16];
    size_t n_client;
    int64_t question;
    int64_t known; /* as the latest one says; -1: it does not */
};

static void note_refused(void *context, const struct forecast_refusal *refusal) {
    struct scene *scene = context;
    size_t n = strlen(scene->refused);

    snprintf(scene->refused + n, sizeof scene->refused - n, "%d-%d %s %s;", (int)refusal->first, (int)refusal->last,
             refusal->reason, refusal->stream);
}

static void open_scene_on(struct scene *scene, int bundle, int max_ticks) {
    size_t n = sizeof scene->endpoint;

    *scene = (struct scene){.context = zmq_ctx_new()};
    scene->router = zmq_socket(scene->context, ZMQ_ROUTER);
    assert_int_equal(zmq_bind(scene->router, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(scene->router, ZMQ_LAST_ENDPOINT, scene->endpoint, &n), 0);
    const struct forecast_sender_options options = {.endpoint = scene->endpoint,
                                                    .producer = "boiler",
                                                    .bundle = bundle,
                                                    .max_ticks = max_ticks,
                                                    .refused = note_refused,
                                                    .context = scene};
    assert_int_equal(forecast_sender_open(&options, &scene->sender), FORECAST_OK);
}

static void close_scene(struct scene *scene) {
    forecast_sender_close(&scene->sender, 0);
    int zero = 0;
    zmq_setsockopt(scene->router, ZMQ_LINGER, &zero, sizeof zero);
    zmq_close(scene->router);
    zmq_ctx_term(scene->context);
}

static struct forecast_sender_status status_of(const struct scene *scene) {
    struct forecast_sender_status status;

    forecast_sender_status(scene->sender, &status);
    return status;
}

/* What the sender sends next, "ask boiler" or "7: a@1[1]; b@2[2]"; "" if it is nothing within the time. */
static const char *next_within(struct scene *scene, int ms) {
    static char text[2048];
    char frames[3][1024];
    int64_t start = forecast_client_now();
    int n = -1, more = 1;
    size_t size = sizeof more, length[3] = {0};

    while ((n = zmq_recv(scene->router, scene->client, sizeof scene->client, ZMQ_DONTWAIT)) < 0) {
        forecast_sender_poll(scene->sender, 2);
        if (forecast_client_now() - start > ms)
            return "";
    }
    scene->n_client = (size_t)n;
    int count = 0;
    for (; zmq_getsockopt(scene->router, ZMQ_RCVMORE, &more, &size) == 0 && more; count++) {
        assert_true(count < 3);
        n = zmq_recv(scene->router, frames[count], sizeof frames[count], 0);
        assert_in_range(n, 1, sizeof frames[count]);
        length[count] = (size_t)n;
    }
    bool as_json;
    json_t *header = wire_message_decode(frames[0], length[0], &as_json);
    const json_t *known = json_object_get(header, "known");

    scene->known = known ? json_integer_value(known) : -1;
    if (count == 1) {
        scene->question = json_integer_value(json_object_get(header, "id"));
        snprintf(text, sizeof text, "%s %s", json_string_value(json_object_get(header, "cmd")),
                 json_string_value(json_object_get(header, "producer")));
    } else {
        const struct wire_text payload = {frames[1], length[1]};
        assert_int_equal(count, 2);
        snprintf(text, sizeof text, "%d: %s", (int)json_integer_value(json_object_get(header, "seq")),
                 ticks_as_text(&payload, 1));
    }
    json_decref(header);
    return text;
}

static const char *next(struct scene *scene) {
    return next_within(scene, WAIT);
}

static void reply(struct scene *scene, const char *text) {
    assert_true(zmq_send(scene->router, scene->client, scene->n_client, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(scene->router, text, strlen(text), 0) >= 0);
}

static void answer_with(struct scene *scene, int durable, int taken, int credit, bool degraded) {
    char text[256];

    snprintf(text, sizeof text,
             "{\"ok\":true,\"durable\":%d,\"taken\":%d,\"credit_ticks\":%d,\"credit_bytes\":65536,"
             "\"degraded\":%s,\"id\":%d}",
             durable, taken, credit, degraded ? "true" : "false", (int)scene->question);
    reply(scene, text);
}

static void answer(struct scene *scene, int durable) {
    answer_with(scene, durable, durable, 1000, false);
}

/* Waits until the sender knows that so much is durable. */
static void await_durable(struct scene *scene, uint64_t durable) {
    int64_t start = forecast_client_now();

    while (status_of(scene).durable < durable) {
        assert_int_equal(forecast_sender_poll(scene->sender, 5), FORECAST_OK);
        assert_true(forecast_client_now() - start < WAIT);
    }
    assert_int_equal(status_of(scene).durable, durable);
}

/* The sender has asked and been told. */
static void begin(struct scene *scene, int durable) {
    uint64_t known = 999;

    assert_string_equal(next(scene), "ask boiler");
    answer(scene, durable);
    assert_int_equal(forecast_sender_wait(scene->sender, WAIT, &known), FORECAST_OK);
    assert_int_equal(known, durable);
}

static void add(struct scene *scene, int t) {
    const double value = t;

    assert_int_equal(forecast_sender_add(scene->sender, "a", t, &value, 1, WAIT), FORECAST_OK);
}

static void numbers_go_on_behind_what_is_durable(void **state) {
    (void)state;
    struct scene scene;
    uint64_t durable = 999;

    open_scene_on(&scene, 2, 0);
    assert_int_equal(forecast_sender_wait(scene.sender, 0, &durable), FORECAST_ERROR_TIMEOUT);
    const double value = 1;
    assert_int_equal(forecast_sender_add(scene.sender, "a", 1, &value, 1, 20), FORECAST_ERROR_TIMEOUT);
    assert_int_equal(status_of(&scene).added, 0);
    begin(&scene, 40);
    for (int t = 1; t <= 5; t++)
        add(&scene, t);
    assert_string_equal(next(&scene), "41: a@1[1]; a@2[2]");
    assert_string_equal(next(&scene), "43: a@3[3]; a@4[4]");
    assert_string_equal(next(&scene), "45: a@5[5]"); /* by poll */
    reply(&scene, "{\"durable\":43}");               /* in the middle of a message */
    await_durable(&scene, 42);
    reply(&scene, "{\"durable\":45}");
    assert_int_equal(forecast_sender_flush(scene.sender, WAIT), FORECAST_OK);
    const struct forecast_sender_status status = status_of(&scene);
    assert_true(status.added == 45 && status.durable == 45 && status.acknowledged == 5 && status.kept == 0);
    assert_true(status.refused == 0 && status.resent == 0);
    assert_int_equal(forecast_sender_close(&scene.sender, 0), FORECAST_OK);
    assert_null(scene.sender);
    close_scene(&scene);
}

/* The frame that comes next at the daemon is the example, byte for byte. */
static void expect_example(struct scene *scene, const char *name) {
    char expected[256], frame[256];
    size_t n = protocol_example(name, expected, sizeof expected);
    int64_t start = forecast_client_now();
    int got;

    while ((got = zmq_recv(scene->router, scene->client, sizeof scene->client, ZMQ_DONTWAIT)) < 0) {
        forecast_sender_poll(scene->sender, 2);
        assert_true(forecast_client_now() - start < WAIT);
    }
    scene->n_client = (size_t)got;
    assert_int_equal(zmq_recv(scene->router, frame, sizeof frame, 0), n);
    assert_memory_equal(frame, expected, n);
}

static void the_examples_of_the_protocol(void **state) {
    (void)state;
    struct scene scene;
    const double values[] = {20.5, NAN, 3};
    char bundle[256], expected[256];
    size_t n = protocol_example("bundle", expected, sizeof expected);

    open_scene_on(&scene, 2, 0);
    forecast_sender_close(&scene.sender, 0);
    const struct forecast_sender_options options = {.endpoint = scene.endpoint, .producer = "meter", .bundle = 2};
    assert_int_equal(forecast_sender_open(&options, &scene.sender), FORECAST_OK);
    expect_example(&scene, "ask");
    scene.question = 1;
    answer(&scene, 4711);
    assert_int_equal(forecast_sender_add(scene.sender, "boiler-7", INT64_C(1700000000000000000), values, 3, WAIT), 0);
    assert_int_equal(forecast_sender_add(scene.sender, "boiler-8", INT64_C(1700000000000000000),
                                         (const double[]){21, 0.25, 3}, 3, WAIT),
                     0);
    expect_example(&scene, "header");
    assert_int_equal(zmq_recv(scene.router, bundle, sizeof bundle, 0), n);
    assert_memory_equal(bundle, expected, n);
    close_scene(&scene);
}

static void named_ticks_and_labels_go_in_bundles(void **state) {
    (void)state;
    struct scene scene;
    const char *const names[] = {"x", "y"};
    const double values[] = {1, NAN};

    open_scene_on(&scene, 3, 0);
    begin(&scene, 0);
    assert_int_equal(forecast_sender_add_named(scene.sender, "a", 5, names, values, 2, WAIT), FORECAST_OK);
    assert_int_equal(forecast_sender_add_label(scene.sender, "a", 5, 2, WAIT), FORECAST_OK);
    assert_int_equal(forecast_sender_add(scene.sender, "b", -6, values, 2, WAIT), FORECAST_OK);
    assert_string_equal(next(&scene), "1: a@5{x=1,y=nil}; a@5=2; b@-6[1,nil]");
    close_scene(&scene);
}

static void what_cannot_be_a_tick_is_not_added(void **state) {
    (void)state;
    struct scene scene;
    const double infinite = INFINITY, value = 1;
    const char *const nameless[] = {""};
    struct forecast_sender *none = NULL;

    assert_int_equal(forecast_sender_open(&(struct forecast_sender_options){.producer_id = 0}, &none),
                     FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_sender_open(&(struct forecast_sender_options){.producer = ""}, &none),
                     FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_sender_open(&(struct forecast_sender_options){.producer_id = 1, .bundle = -1}, &none),
                     FORECAST_ERROR_ARGUMENT);
    assert_null(none);
    assert_int_equal(forecast_sender_close(&none, 0), FORECAST_OK);
    open_scene_on(&scene, 1, 0);
    begin(&scene, 0);
    assert_int_equal(forecast_sender_add(scene.sender, "", 1, &value, 1, 0), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_sender_add(scene.sender, "a", 1, &infinite, 1, 0), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_sender_add(scene.sender, "a", 1, NULL, 1, 0), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_sender_add(scene.sender, "a", 1, &value, 1025, 0), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_sender_add_named(scene.sender, "a", 1, nameless, &value, 1, 0),
                     FORECAST_ERROR_ARGUMENT);
    assert_int_equal(forecast_sender_add_label(scene.sender, "a", 1, -1, 0), FORECAST_ERROR_ARGUMENT);
    assert_int_equal(status_of(&scene).added, 0);
    close_scene(&scene);
}

static void refusals_are_told(void **state) {
    (void)state;
    struct scene scene;

    open_scene_on(&scene, 3, 0);
    begin(&scene, 0);
    for (int t = 1; t <= 3; t++)
        add(&scene, t);
    assert_string_equal(next(&scene), "1: a@1[1]; a@2[2]; a@3[3]");
    reply(&scene, "{\"durable\":3,\"refused\":[[1,2,\"late\",\"a\"],[3,3,\"id\",\"b\"],[5,4,\"x\",\"y\"],7]}");
    await_durable(&scene, 3);
    assert_string_equal(scene.refused, "1-2 late a;3-3 id b;");
    assert_int_equal(status_of(&scene).refused, 3);
    assert_int_equal(status_of(&scene).acknowledged, 3);
    close_scene(&scene);
}

/* At first, and behind refusals: so long the daemon keeps them. */
static void it_says_how_far_it_has_heard(void **state) {
    (void)state;
    static const int said[] = {7, 8, -1, -1, 11};
    struct scene scene;
    char text[128];

    open_scene_on(&scene, 1, 0);
    begin(&scene, 7);
    for (int t = 0; t < 5; t++) {
        add(&scene, t);
        assert_non_null(strstr(next(&scene), "a@"));
        assert_int_equal(scene.known, said[t]);
        const char *refused = t == 0 || t == 3 ? ",\"refused\":[[8,8,\"late\",\"a\"]]" : "";
        snprintf(text, sizeof text, "{\"durable\":%d%s}", 8 + t, refused);
        reply(&scene, text);
        await_durable(&scene, (uint64_t)(8 + t));
    }
    close_scene(&scene);
}

/* Behind a crash the daemon has the ticks on disk, and judges them again: what it has refused comes with the reply, that nobody
 * misses who waits until all is acknowledged. */
static void refusals_of_before_a_crash_are_told(void **state) {
    (void)state;
    struct scene scene;

    open_scene_on(&scene, 1, 0);
    begin(&scene, 0);
    assert_int_equal(scene.known, -1);
    for (int t = 1; t <= 3; t++) {
        add(&scene, t);
        assert_non_null(strstr(next(&scene), "a@"));
    }
    reply(&scene, "{\"durable\":1}");
    await_durable(&scene, 1);
    reply(&scene, "{\"error\":{\"code\":\"ask\",\"message\":\"ask for a producer first\"}}");
    assert_string_equal(next(&scene), "ask boiler");
    assert_int_equal(scene.known, 1);
    answer_with(&scene, 1, 3, 1000, false);
    assert_int_equal(forecast_sender_flush(scene.sender, 50), FORECAST_ERROR_TIMEOUT);
    reply(&scene, "{\"durable\":3,\"refused\":[[2,2,\"late\",\"a\"]]}");
    assert_int_equal(forecast_sender_flush(scene.sender, WAIT), FORECAST_OK);
    assert_string_equal(scene.refused, "2-2 late a;");
    assert_int_equal(status_of(&scene).resent, 0);
    close_scene(&scene);
}

static void no_more_is_sent_than_the_credit(void **state) {
    (void)state;
    struct scene scene;

    open_scene_on(&scene, 256, 0);
    assert_string_equal(next(&scene), "ask boiler");
    answer_with(&scene, 0, 0, 3, false);
    for (int t = 1; t <= 5; t++)
        add(&scene, t);
    assert_string_equal(next(&scene), "1: a@1[1]; a@2[2]; a@3[3]"); /* no message is larger */
    assert_string_equal(next_within(&scene, 50), "");
    reply(&scene, "{\"durable\":3}");
    assert_string_equal(next(&scene), "4: a@4[4]; a@5[5]");
    close_scene(&scene);
}

/* Of wide ticks fewer than a bundle fill a message: it goes out by itself all the same. */
static void a_message_full_of_bytes_goes_out(void **state) {
    (void)state;
    struct scene scene;
    double values[512];
    char bytes[65536];
    int wait = WAIT;

    open_scene_on(&scene, 0, 0);
    begin(&scene, 0);
    for (int i = 0; i < 512; i++)
        values[i] = i + 0.5;
    for (int i = 0; i < 20; i++)
        assert_int_equal(forecast_sender_add(scene.sender, "a", i + 1, values, 512, WAIT), FORECAST_OK);
    assert_int_equal(zmq_setsockopt(scene.router, ZMQ_RCVTIMEO, &wait, sizeof wait), 0);
    assert_true(zmq_recv(scene.router, bytes, sizeof bytes, 0) > 0); /* who sends it */
    assert_true(zmq_recv(scene.router, bytes, sizeof bytes, 0) > 0);
    assert_in_range(zmq_recv(scene.router, bytes, sizeof bytes, 0), 32768, 65536);
    assert_int_equal(status_of(&scene).added, 20);
    close_scene(&scene);
}

static void a_full_sender_waits(void **state) {
    (void)state;
    struct scene scene;
    const double value = 3;

    open_scene_on(&scene, 1, 2);
    begin(&scene, 0);
    add(&scene, 1);
    add(&scene, 2);
    assert_int_equal(forecast_sender_add(scene.sender, "a", 3, &value, 1, 0), FORECAST_ERROR_TIMEOUT);
    assert_int_equal(forecast_sender_add(scene.sender, "a", 3, &value, 1, 20), FORECAST_ERROR_TIMEOUT);
    assert_string_equal(next(&scene), "1: a@1[1]");
    reply(&scene, "{\"durable\":1}");
    add(&scene, 3);
    assert_int_equal(forecast_sender_flush(scene.sender, 20), FORECAST_ERROR_TIMEOUT);
    assert_int_equal(forecast_sender_close(&scene.sender, 20), FORECAST_ERROR_TIMEOUT);
    assert_non_null(strstr(forecast_error_text(), "2 ticks are not acknowledged"));
    close_scene(&scene);
}

/* Behind an error it asks, and sends what is not taken. */
static void a_gap_is_closed(void **state) {
    (void)state;
    struct scene scene;

    open_scene_on(&scene, 1, 0);
    begin(&scene, 0);
    for (int t = 1; t <= 4; t++)
        add(&scene, t);
    assert_string_equal(next(&scene), "1: a@1[1]");
    assert_string_equal(next(&scene), "2: a@2[2]");
    assert_string_equal(next(&scene), "3: a@3[3]");
    assert_string_equal(next(&scene), "4: a@4[4]");
    reply(&scene, "{\"error\":{\"code\":\"gap\",\"message\":\"3 is expected\"},\"durable\":0,\"expected\":3}");
    reply(&scene, "{\"error\":{\"code\":\"gap\",\"message\":\"3 is expected\"},\"durable\":0,\"expected\":3}");
    assert_string_equal(next(&scene), "ask boiler");
    answer_with(&scene, 1, 2, 1000, false);
    assert_string_equal(next(&scene), "3: a@3[3]");
    assert_string_equal(next(&scene), "4: a@4[4]");
    assert_int_equal(status_of(&scene).durable, 1);
    assert_int_equal(status_of(&scene).resent, 2);
    reply(&scene, "{\"durable\":4}");
    await_durable(&scene, 4);
    close_scene(&scene);
}

/* As a daemon that began anew, and knows less than was taken. */
static void a_new_daemon_is_sent_what_it_does_not_know(void **state) {
    (void)state;
    struct scene scene;

    open_scene_on(&scene, 1, 0);
    begin(&scene, 0);
    for (int t = 1; t <= 3; t++) {
        add(&scene, t);
        assert_non_null(strstr(next(&scene), "a@"));
    }
    reply(&scene, "{\"durable\":1}");
    await_durable(&scene, 1);
    /* As it hears nothing for a while it asks; a daemon that only takes its time is sent nothing. */
    for (int i = 0; i < 2; i++) {
        assert_string_equal(next(&scene), "ask boiler");
        answer_with(&scene, 1, 3, 1000, false);
    }
    const char *sent = next(&scene);
    for (; strcmp(sent, "ask boiler") == 0; sent = next(&scene))
        answer(&scene, 1);
    assert_string_equal(sent, "2: a@2[2]");
    assert_string_equal(next(&scene), "3: a@3[3]");
    close_scene(&scene);
}

static void a_failing_disk_is_waited_for(void **state) {
    (void)state;
    struct scene scene;

    open_scene_on(&scene, 1, 0);
    begin(&scene, 0);
    add(&scene, 1);
    assert_string_equal(next(&scene), "1: a@1[1]");
    reply(&scene, "{\"error\":{\"code\":\"degraded\",\"message\":\"the disk fails\"}}");
    assert_string_equal(next(&scene), "ask boiler");
    assert_true(status_of(&scene).degraded);
    answer_with(&scene, 0, 0, 1000, true);
    assert_string_equal(next(&scene), "ask boiler");
    assert_int_equal(forecast_sender_flush(scene.sender, 0), FORECAST_ERROR_TIMEOUT);
    assert_non_null(strstr(forecast_error_text(), "disk"));
    answer(&scene, 0);
    assert_string_equal(next(&scene), "1: a@1[1]");
    assert_false(status_of(&scene).degraded);
    close_scene(&scene);
}

/* What a sender before has sent is waited for, so that the numbers behind are free. */
static void ticks_of_an_earlier_sender_are_waited_for(void **state) {
    (void)state;
    struct scene scene;
    uint64_t durable;

    open_scene_on(&scene, 1, 0);
    assert_string_equal(next(&scene), "ask boiler");
    answer_with(&scene, 5, 9, 1000, false);
    assert_int_equal(forecast_sender_wait(scene.sender, 5, &durable), FORECAST_ERROR_TIMEOUT);
    reply(&scene, "{\"durable\":7,\"refused\":[[6,6,\"late\",\"a\"]]}");
    assert_string_equal(next(&scene), "ask boiler");
    answer(&scene, 9);
    add(&scene, 1);
    assert_string_equal(next(&scene), "10: a@1[1]");
    assert_string_equal(scene.refused, "6-6 late a;");
    close_scene(&scene);
}

static void expect_failure(struct scene *scene, const char *part) {
    const double value = 1;
    int64_t start = forecast_client_now();

    while (forecast_sender_poll(scene->sender, 5) == FORECAST_OK)
        assert_true(forecast_client_now() - start < WAIT);
    assert_int_equal(forecast_sender_add(scene->sender, "a", 9, &value, 1, WAIT), FORECAST_ERROR_REFUSED);
    assert_int_equal(forecast_sender_flush(scene->sender, WAIT), FORECAST_ERROR_REFUSED);
    if (strstr(forecast_error_text(), part) == NULL)
        fail_msg("%s", forecast_error_text());
}

static void what_cannot_go_on_fails_for_good(void **state) {
    (void)state;
    struct scene scene;

    open_scene_on(&scene, 1, 0);
    begin(&scene, 5);
    add(&scene, 1);
    assert_string_equal(next(&scene), "6: a@1[1]");
    reply(&scene, "{\"error\":{\"code\":\"superseded\",\"message\":\"another client has asked\"}}");
    expect_failure(&scene, "another client");
    close_scene(&scene);

    static const struct {
        int durable;
        const char *part;
    } cases[] = {{4, "forgotten"}, {8, "not this sender's"}};
    for (int i = 0; i < 2; i++) {
        open_scene_on(&scene, 1, 0);
        begin(&scene, 5);
        add(&scene, 1);
        assert_string_equal(next(&scene), "6: a@1[1]");
        reply(&scene, "{\"error\":{\"code\":\"ask\",\"message\":\"ask first\"}}");
        assert_string_equal(next(&scene), "ask boiler");
        answer(&scene, cases[i].durable);
        expect_failure(&scene, cases[i].part);
        close_scene(&scene);
    }
}

static void nonsense_is_told_and_survived(void **state) {
    (void)state;
    struct scene scene;

    open_scene_on(&scene, 1, 0);
    begin(&scene, 0);
    add(&scene, 1);
    assert_string_equal(next(&scene), "1: a@1[1]");
    static const char *const texts[] = {"", "[]", "{}", "7", "{\"durable\":\"1\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int code = FORECAST_OK;
        int64_t start = forecast_client_now();
        reply(&scene, texts[i]);
        while (code == FORECAST_OK && forecast_client_now() - start < WAIT)
            code = forecast_sender_poll(scene.sender, 5);
        assert_int_equal(code, FORECAST_ERROR_MESSAGE);
    }
    reply(&scene, "{\"durable\":1}");
    await_durable(&scene, 1);
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_go_on_behind_what_is_durable),
        cmocka_unit_test(the_examples_of_the_protocol),
        cmocka_unit_test(named_ticks_and_labels_go_in_bundles),
        cmocka_unit_test(what_cannot_be_a_tick_is_not_added),
        cmocka_unit_test(refusals_are_told),
        cmocka_unit_test(it_says_how_far_it_has_heard),
        cmocka_unit_test(refusals_of_before_a_crash_are_told),
        cmocka_unit_test(no_more_is_sent_than_the_credit),
        cmocka_unit_test(a_message_full_of_bytes_goes_out),
        cmocka_unit_test(a_full_sender_waits),
        cmocka_unit_test(a_gap_is_closed),
        cmocka_unit_test(a_new_daemon_is_sent_what_it_does_not_know),
        cmocka_unit_test(a_failing_disk_is_waited_for),
        cmocka_unit_test(ticks_of_an_earlier_sender_are_waited_for),
        cmocka_unit_test(what_cannot_go_on_fails_for_good),
        cmocka_unit_test(nonsense_is_told_and_survived),
    };
    return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
