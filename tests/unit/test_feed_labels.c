/* In which order labels go out between ticks. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/feed_labels.h"
#include "daemon/wire.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

struct scene {
    void *zmq, *pull;
    struct feed_sender sender;
    struct feed_labels labels;
};

static void open_scene(struct scene *scene, long bundle, long after) {
    char endpoint[64];
    size_t n = sizeof endpoint;
    scene->zmq = zmq_ctx_new();
    scene->pull = zmq_socket(scene->zmq, ZMQ_PULL);
    assert_int_equal(zmq_setsockopt(scene->pull, ZMQ_RCVTIMEO, &(int){10000}, sizeof(int)), 0);
    assert_int_equal(zmq_bind(scene->pull, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(scene->pull, ZMQ_LAST_ENDPOINT, endpoint, &n), 0);
    scene->sender = (struct feed_sender){.bundle = bundle};
    scene->labels = (struct feed_labels){.sender = &scene->sender, .after = after};
    assert_int_equal(forecast_feed_open(endpoint, 0, &scene->sender.feed), FORECAST_OK);
}

static void close_scene(struct scene *scene) {
    feed_labels_fini(&scene->labels);
    assert_int_equal(forecast_feed_close(&scene->sender.feed, 1000), FORECAST_OK);
    zmq_close(scene->pull);
    zmq_ctx_term(scene->zmq);
}

/* A tick and its label, as rows come. */
static void row(struct scene *scene, const char *stream, int64_t t, int64_t label) {
    const double value = 1;
    assert_int_equal(feed_sender_tick(&scene->sender, stream, t, &value, 1), 0);
    assert_int_equal(feed_labels_row(&scene->labels, stream, t, label), 0);
}

/* The next message: "a@3" a tick of stream a at 3, "a@3=1" its label, "[2]" a bundle of two. */
static const char *next(struct scene *scene) {
    static char text[64];
    char name[256], payload[256];
    int more = 0, n = zmq_recv(scene->pull, name, sizeof name, 0);
    size_t size = sizeof more;
    assert_true(n > 0 && n < (int)sizeof name);
    assert_int_equal(zmq_getsockopt(scene->pull, ZMQ_RCVMORE, &more, &size), 0);
    if (!more) {
        uint32_t ticks;
        assert_true(wire_array_open(name, (size_t)n, &ticks) > 0);
        snprintf(text, sizeof text, "[%u]", ticks);
        return text;
    }
    name[n] = '\0';
    n = zmq_recv(scene->pull, payload, sizeof payload, 0);
    assert_true(n > 0);
    bool is_json;
    json_t *map = wire_message_decode(payload, (size_t)n, &is_json);
    if (json_is_object(map))
        snprintf(text, sizeof text, "%.31s@%d=%d", name, (int)json_integer_value(json_object_get(map, "t")),
                 (int)json_integer_value(json_object_get(map, "label")));
    else
        snprintf(text, sizeof text, "%.31s@%d", name, (int)json_integer_value(json_array_get(map, 0)));
    json_decref(map);
    return text;
}

static void expect(struct scene *scene, const char *const *wanted, size_t n) {
    for (size_t i = 0; i < n; i++)
        assert_string_equal(next(scene), wanted[i]);
}

#define EXPECT(scene, ...) \
    expect(scene, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void labels_come_rows_of_their_stream_later(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, 0, 2);
    row(&scene, "a", 1, 1);
    row(&scene, "a", 2, ROWS_NO_LABEL);
    row(&scene, "b", 2, 0);
    row(&scene, "a", 3, 0);
    row(&scene, "a", 4, 1);
    row(&scene, "a", 5, 1);
    assert_int_equal(feed_labels_flush(&scene.labels), 0);
    EXPECT(&scene, "a@1", "a@2", "b@2", "a@3", "a@1=1", "a@4", "a@5", "a@3=0", "a@4=1", "a@5=1", "b@2=0");
    assert_int_equal(scene.labels.sent, 5);
    assert_int_equal(feed_labels_flush(&scene.labels), 0); /* nothing waits */
    close_scene(&scene);
}

static void labels_at_once(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, 0, 0);
    row(&scene, "a", 1, 3);
    row(&scene, "a", 2, ROWS_NO_LABEL);
    row(&scene, "a", 3, 4);
    EXPECT(&scene, "a@1", "a@1=3", "a@2", "a@3", "a@3=4");
    close_scene(&scene);
}

/* A label goes out behind its tick, though that waits in a bundle. */
static void bundles_go_before_labels(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, 10, 1);
    row(&scene, "a", 1, 1);
    row(&scene, "a", 2, ROWS_NO_LABEL);
    row(&scene, "a", 3, ROWS_NO_LABEL);
    assert_int_equal(feed_sender_flush(&scene.sender), 0);
    EXPECT(&scene, "[2]", "a@1=1", "[1]");
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_come_rows_of_their_stream_later),
        cmocka_unit_test(labels_at_once),
        cmocka_unit_test(bundles_go_before_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
