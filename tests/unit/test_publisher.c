#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/publisher.h"

#include "tests/support/bus_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static void open_rig(struct rig *rig, const char *bus) {
    const struct rig_setup setup = {.bus = bus, .idle = true, .idle_bytes = 65536};
    rig_open(rig, &setup);
}

/* ---- subscriptions ------------------------------------------------------------------------------ */

/* Reads what has come until so many different subscriptions stand. Returns how many asked for last forecasts. */
static int read_until(struct rig *rig, uint64_t subscriptions, char *prefix, size_t *n) {
    int asked = 0;
    int64_t began = 0;
    do
        while (publisher_next_subscription(rig->publisher, prefix, n) == 1)
            asked++;
    while (publisher_counters(rig->publisher).subscriptions != subscriptions && rig_wait(&began));
    assert_int_equal(publisher_counters(rig->publisher).subscriptions, subscriptions);
    return asked;
}

static void subscriptions_tell_what_is_wanted(void **state) {
    (void)state;
    static const struct {
        const char *prefix;
        size_t n;
        bool single, bundle;
    } cases[] = {
        {"", 0, true, true},           {"f", 1, true, false},
        {"forecast/", 9, true, false}, {"forecast/m/c/1", 15, true, false},
        {"b", 1, false, true},         {"bundle/m", 9, false, true},
        {"event/", 6, false, false},   {"forecasting", 11, false, false},
        {"x", 1, false, false},
    };
    struct rig rig;
    char prefix[EMITTER_MAX_TOPIC];
    size_t n;
    open_rig(&rig, "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *socket = rig_connect(&rig, ZMQ_SUB, rig.config->bus.forecasts);
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, cases[i].prefix, cases[i].n);
        assert_int_equal(read_until(&rig, 1, prefix, &n), cases[i].single);
        if (cases[i].single) { /* whose last forecasts it wants */
            assert_int_equal(n, cases[i].n);
            assert_memory_equal(prefix, cases[i].prefix, n);
        }
        assert_int_equal(atomic_load(&rig.interest.single), cases[i].single);
        assert_int_equal(atomic_load(&rig.interest.bundle), cases[i].bundle);
        rig_disconnect(socket);
        assert_int_equal(read_until(&rig, 0, prefix, &n), 0);
        assert_false(atomic_load(&rig.interest.single));
        assert_false(atomic_load(&rig.interest.bundle));
    }
    rig_close(&rig);
}

/* Interest lasts until the last one who has it is gone; each who comes is told the last forecasts. */
static void interest_lasts_as_long_as_anybody_has_it(void **state) {
    (void)state;
    struct rig rig;
    char prefix[EMITTER_MAX_TOPIC];
    size_t n;
    open_rig(&rig, "");
    void *first = rig_connect(&rig, ZMQ_SUB, rig.config->bus.forecasts);
    zmq_setsockopt(first, ZMQ_SUBSCRIBE, "forecast/m/", 11);
    assert_int_equal(read_until(&rig, 1, prefix, &n), 1);
    void *second = rig_connect(&rig, ZMQ_SUB, rig.config->bus.forecasts);
    zmq_setsockopt(second, ZMQ_SUBSCRIBE, "forecast/m/", 11); /* the same, told all the same */
    zmq_setsockopt(second, ZMQ_SUBSCRIBE, "forecast/n/", 11);
    assert_int_equal(read_until(&rig, 2, prefix, &n), 2);
    rig_disconnect(second);
    assert_int_equal(read_until(&rig, 1, prefix, &n), 0);
    assert_true(atomic_load(&rig.interest.single));
    zmq_setsockopt(first, ZMQ_UNSUBSCRIBE, "forecast/m/", 11);
    assert_int_equal(read_until(&rig, 0, prefix, &n), 0);
    assert_false(atomic_load(&rig.interest.single));
    rig_disconnect(first);
    rig_close(&rig);
}

/* A prefix as long as a topic can be is taken; a longer one matches nothing. What is no subscription is nothing. */
static void strange_subscriptions_do_no_harm(void **state) {
    (void)state;
    struct rig rig;
    char prefix[EMITTER_MAX_TOPIC], asked[2 * EMITTER_MAX_TOPIC];
    size_t n;
    open_rig(&rig, "");
    void *socket = rig_connect(&rig, ZMQ_XSUB, rig.config->bus.forecasts);
    memset(asked, 'x', sizeof asked);
    memcpy(asked, "\1forecast/", 10);
    zmq_send(socket, asked, sizeof asked, 0);
    zmq_send(socket, asked, EMITTER_MAX_TOPIC + 1, 0);
    zmq_send(socket, "\2forecast/", 10, 0); /* a message of the user's own */
    zmq_send(socket, "", 0, 0);
    zmq_send(socket, asked, EMITTER_MAX_TOPIC, 0);
    assert_int_equal(read_until(&rig, 1, prefix, &n), 1);
    assert_int_equal(n, EMITTER_MAX_TOPIC - 1);
    assert_memory_equal(prefix, asked + 1, n);
    rig_disconnect(socket);
    rig_close(&rig);
}

static void many_subscriptions_are_kept_apart(void **state) {
    (void)state;
    enum { MANY = 3000 };
    struct rig rig;
    char prefix[EMITTER_MAX_TOPIC], topic[64];
    size_t n;
    open_rig(&rig, "");
    void *socket = rig_connect(&rig, ZMQ_SUB, rig.config->bus.forecasts);
    for (int i = 0; i < MANY; i++)
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic, (size_t)snprintf(topic, sizeof topic, "forecast/m/c/%d", i) + 1);
    assert_int_equal(read_until(&rig, MANY, prefix, &n), MANY);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "bundle/", 7);
    read_until(&rig, MANY + 1, prefix, &n);
    assert_true(atomic_load(&rig.interest.bundle));
    for (int i = 1; i < MANY; i++)
        zmq_setsockopt(socket, ZMQ_UNSUBSCRIBE, topic,
                       (size_t)snprintf(topic, sizeof topic, "forecast/m/c/%d", i) + 1);
    read_until(&rig, 2, prefix, &n);
    assert_true(atomic_load(&rig.interest.single));
    rig_disconnect(socket);
    read_until(&rig, 0, prefix, &n);
    rig_close(&rig);
}

/* ---- messages ----------------------------------------------------------------------------------- */

/* "forecast/m/<stream>" with a payload of one small map, {"step": 7}. */
static void publish(struct rig *rig, const char *stream) {
    _Alignas(struct record_message) char buffer[512];
    struct record_message *message = (struct record_message *)(void *)buffer;
    static const char payload[] = "\x81\xa4step\x07";
    message->kind = RECORD_FORECAST;
    message->forecasts = 1;
    message->topic = (size_t)snprintf(message->bytes, 256, "forecast/m/%s", stream) + 1;
    message->payload = sizeof payload - 1;
    memcpy(message->bytes + message->topic, payload, message->payload);
    publisher_message(rig->publisher, message);
}

static void messages_go_to_who_subscribes(void **state) {
    (void)state;
    struct rig rig;
    char frame[256];
    open_rig(&rig, "");
    void *one = rig_subscribe(&rig, "forecast/m/c/1", 15); /* with its NUL */
    void *all = rig_subscribe(&rig, "forecast/m/c/1", 14);
    publish(&rig, "c/10");
    publish(&rig, "c/2");
    publish(&rig, "c/1");
    assert_int_equal(rig_receive(one, frame, sizeof frame, RIG_WAIT_MS), 15);
    assert_string_equal(frame, "forecast/m/c/1");
    assert_int_equal(rig_receive(one, frame, sizeof frame, RIG_WAIT_MS), 7);
    assert_memory_equal(frame, "\x81\xa4step\x07", 7);
    rig_receive(all, frame, sizeof frame, RIG_WAIT_MS);
    assert_string_equal(frame, "forecast/m/c/10");
    rig_receive(all, frame, sizeof frame, RIG_WAIT_MS);
    rig_receive(all, frame, sizeof frame, RIG_WAIT_MS);
    assert_string_equal(frame, "forecast/m/c/1");
    assert_int_equal(publisher_counters(rig.publisher).forecasts, 3);
    assert_int_equal(publisher_counters(rig.publisher).bundles, 0);
    rig_disconnect(one);
    rig_disconnect(all);
    rig_close(&rig);
}

/* A rig with a second endpoint, in JSON. */
static void open_json_rig(struct rig *rig, char *endpoint, size_t size) {
    char bus[256];
    snprintf(endpoint, size, "ipc://%s/json", rig_folder());
    snprintf(bus, sizeof bus, "  forecasts_json: %s\n", endpoint);
    open_rig(rig, bus);
    assert_non_null(publisher_json_socket(rig->publisher));
}

static void the_second_endpoint_speaks_json(void **state) {
    (void)state;
    struct rig rig;
    char endpoint[128], frame[256], prefix[EMITTER_MAX_TOPIC];
    size_t n;
    open_json_rig(&rig, endpoint, sizeof endpoint);
    publish(&rig, "c/0"); /* for nobody */
    void *json = rig_connect(&rig, ZMQ_SUB, endpoint);
    zmq_setsockopt(json, ZMQ_SUBSCRIBE, "forecast/", 9);
    assert_int_equal(read_until(&rig, 1, prefix, &n), 1);
    assert_true(atomic_load(&rig.interest.single));
    publish(&rig, "c/1");
    assert_int_equal(rig_receive(json, frame, sizeof frame, RIG_WAIT_MS), 15);
    rig_receive(json, frame, sizeof frame, RIG_WAIT_MS);
    assert_string_equal(frame, "{\"step\":7}");
    /* The same prefix on the other endpoint is a subscription of its own. */
    void *packed = rig_subscribe(&rig, "forecast/", 9);
    assert_int_equal(publisher_counters(rig.publisher).subscriptions, 2);
    rig_disconnect(json);
    read_until(&rig, 1, prefix, &n);
    assert_true(atomic_load(&rig.interest.single));
    publish(&rig, "c/2");
    rig_receive(packed, frame, sizeof frame, RIG_WAIT_MS);
    assert_string_equal(frame, "forecast/m/c/2");
    rig_disconnect(packed);
    rig_close(&rig);
}

/* Who reads nothing loses messages, and holds up nobody. */
static void a_slow_subscriber_blocks_nothing(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, "  send_hwm: 2\n");
    void *slow = zmq_socket(rig.zmq, ZMQ_SUB);
    int one = 1, zero = 0;
    zmq_setsockopt(slow, ZMQ_RCVHWM, &one, sizeof one);
    zmq_setsockopt(slow, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(slow, ZMQ_SUBSCRIBE, "", 0);
    zmq_connect(slow, rig.config->bus.forecasts);
    char prefix[EMITTER_MAX_TOPIC];
    size_t n;
    read_until(&rig, 1, prefix, &n);
    for (int i = 0; i < 20000; i++)
        publish(&rig, "c/1");
    assert_int_equal(publisher_counters(rig.publisher).forecasts, 20000);
    zmq_close(slow);
    rig_close(&rig);
}

/* ---- events ------------------------------------------------------------------------------------- */

static json_t *receive_event(void *socket, const char *topic) {
    char frame[1024];
    bool is_json;
    assert_int_equal(rig_receive(socket, frame, sizeof frame, RIG_WAIT_MS), strlen(topic) + 1);
    assert_string_equal(frame, topic);
    int n = rig_receive(socket, frame, sizeof frame, RIG_WAIT_MS);
    assert_true(n > 0);
    json_t *map = wire_message_decode(frame, (size_t)n, &is_json);
    assert_non_null(map);
    return map;
}

static void events_have_kind_time_text_and_their_fields(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, "");
    void *socket = rig_subscribe(&rig, "event/", 6);
    publisher_event(rig.publisher, "started", "c/1", json_pack("{s:i}", "worker", 3), "stream %s begins", "c/1");
    publisher_event(rig.publisher, "plain", "x", NULL, "nothing more");
    json_t *map = receive_event(socket, "event/started/c/1");
    assert_string_equal(json_string_value(json_object_get(map, "kind")), "started");
    assert_string_equal(json_string_value(json_object_get(map, "text")), "stream c/1 begins");
    assert_int_equal(json_integer_value(json_object_get(map, "worker")), 3);
    assert_true(json_integer_value(json_object_get(map, "t")) > INT64_C(1600000000000000000));
    assert_null(json_object_get(map, "suppressed"));
    assert_int_equal(json_object_size(map), 4);
    json_decref(map);
    json_decref(receive_event(socket, "event/plain/x"));
    assert_int_equal(publisher_counters(rig.publisher).events, 2);
    rig_disconnect(socket);
    rig_close(&rig);
}

static void say(struct rig *rig, const char *kind, int n) {
    for (int i = 0; i < n; i++)
        publisher_event(rig->publisher, kind, "x", json_object(), "%d", i);
}

static void each_kind_has_a_rate_and_tells_what_was_left_out(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, "  events_per_second: 20\n");
    void *socket = rig_subscribe(&rig, "event/", 6);
    say(&rig, "noisy", 120);
    say(&rig, "quiet", 1); /* not held up by the other kind */
    int sent = (int)publisher_counters(rig.publisher).events - 1;
    assert_in_range(sent, 20, 25); /* a second's worth, and what a slow machine adds */
    assert_int_equal(publisher_counters(rig.publisher).events_suppressed, 120 - sent);
    for (int i = 0; i < sent; i++) {
        json_t *map = receive_event(socket, "event/noisy/x");
        assert_true(i > 0 || json_object_get(map, "suppressed") == NULL);
        json_decref(map);
    }
    json_decref(receive_event(socket, "event/quiet/x"));
    nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL); /* one more may be sent */
    say(&rig, "noisy", 1);
    json_t *map = receive_event(socket, "event/noisy/x");
    assert_int_equal(json_integer_value(json_object_get(map, "suppressed")), 120 - sent);
    json_decref(map);
    nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
    say(&rig, "noisy", 1);
    map = receive_event(socket, "event/noisy/x");
    assert_null(json_object_get(map, "suppressed")); /* told once */
    json_decref(map);
    rig_disconnect(socket);
    rig_close(&rig);
}

/* Even where there is less than one a second, the first one is sent; with a rate of zero none is. */
static void the_first_of_a_kind_is_sent(void **state) {
    (void)state;
    struct rig rig;
    open_rig(&rig, "  events_per_second: 0.01\n");
    say(&rig, "rare", 5);
    say(&rig, "other", 1);
    assert_int_equal(publisher_counters(rig.publisher).events, 2);
    assert_int_equal(publisher_counters(rig.publisher).events_suppressed, 4);
    rig_close(&rig);
    open_rig(&rig, "  events_per_second: 0\n");
    say(&rig, "none", 5);
    assert_int_equal(publisher_counters(rig.publisher).events, 0);
    assert_int_equal(publisher_counters(rig.publisher).events_suppressed, 5);
    rig_close(&rig);
}

static void events_go_to_both_endpoints(void **state) {
    (void)state;
    struct rig rig;
    char endpoint[128], frame[512], prefix[EMITTER_MAX_TOPIC];
    size_t n;
    open_json_rig(&rig, endpoint, sizeof endpoint);
    void *json = rig_connect(&rig, ZMQ_SUB, endpoint);
    zmq_setsockopt(json, ZMQ_SUBSCRIBE, "event/", 6);
    read_until(&rig, 1, prefix, &n);
    say(&rig, "told", 1);
    assert_int_equal(rig_receive(json, frame, sizeof frame, RIG_WAIT_MS), strlen("event/told/x") + 1);
    rig_receive(json, frame, sizeof frame, RIG_WAIT_MS);
    assert_int_equal(frame[0], '{');
    rig_disconnect(json);
    rig_close(&rig);
}

/* ---- opening ------------------------------------------------------------------------------------ */

static void an_endpoint_that_cannot_be_bound_is_named(void **state) {
    (void)state;
    struct rig rig;
    struct error err;
    struct interest interest;
    open_rig(&rig, "");
    char *endpoint = rig.config->bus.forecasts, *json = rig.config->bus.forecasts_json;
    static char nowhere[] = "ipc:///nowhere/at/all";
    rig.config->bus.forecasts = nowhere;
    assert_null(publisher_open(rig.zmq, rig.config, &interest, &err));
    assert_non_null(strstr(err.text, "bus.forecasts: cannot bind to ipc:///nowhere/at/all"));
    static char here[] = "inproc://here";
    rig.config->bus.forecasts = here;
    rig.config->bus.forecasts_json = nowhere;
    assert_null(publisher_open(rig.zmq, rig.config, &interest, &err));
    assert_non_null(strstr(err.text, "bus.forecasts_json: cannot bind to ipc:///nowhere/at/all"));
    rig.config->bus.forecasts = endpoint;
    rig.config->bus.forecasts_json = json;
    publisher_close(NULL, 0);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscriptions_tell_what_is_wanted),
        cmocka_unit_test(interest_lasts_as_long_as_anybody_has_it),
        cmocka_unit_test(strange_subscriptions_do_no_harm),
        cmocka_unit_test(many_subscriptions_are_kept_apart),
        cmocka_unit_test(messages_go_to_who_subscribes),
        cmocka_unit_test(the_second_endpoint_speaks_json),
        cmocka_unit_test(a_slow_subscriber_blocks_nothing),
        cmocka_unit_test(events_have_kind_time_text_and_their_fields),
        cmocka_unit_test(each_kind_has_a_rate_and_tells_what_was_left_out),
        cmocka_unit_test(the_first_of_a_kind_is_sent),
        cmocka_unit_test(events_go_to_both_endpoints),
        cmocka_unit_test(an_endpoint_that_cannot_be_bound_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
