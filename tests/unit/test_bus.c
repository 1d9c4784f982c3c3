/* The bus as a whole: that it starts or says why not, and that it stops, and leaves nothing behind, in every
 * state. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/bus.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "tests/support/bus_fixture.h"

#include <dirent.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define REST(training) \
    "workers: 2\nstreams:\n  - {class: c, pattern: 'c/*', features: [a], history: 96}\n" \
    "models:\n  - name: m\n    class: c\n    horizon: 2\n    batch_size: 2\n    layers:\n      - lstm: 8\n" \
    "    training: {window: 24, burn_in: 4, unroll: 12, first_after: 60, max_windows: 64, " training "}\n"

static struct bus *start(struct config *config) {
    struct error err;
    struct bus *bus = bus_start(config, &err);
    if (bus == NULL)
        fail_msg("%s", err.text);
    return bus;
}

static bool has_stopped(const struct bus *bus, int wait_ms) {
    struct pollfd item = {.fd = bus_stopped_fd(bus), .events = POLLIN};
    return poll(&item, 1, wait_ms) == 1;
}

/* A client's socket, in a context of its own as in another process. */
struct client {
    void *zmq, *socket;
};

static struct client open_client(int type, const char *endpoint) {
    struct client client = {.zmq = zmq_ctx_new()};
    client.socket = zmq_socket(client.zmq, type);
    int hwm = 0, linger = 0;
    zmq_setsockopt(client.socket, ZMQ_SNDHWM, &hwm, sizeof hwm);
    zmq_setsockopt(client.socket, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_setsockopt(client.socket, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(client.socket, endpoint), 0);
    return client;
}

static void close_client(struct client *client) {
    zmq_close(client->socket);
    zmq_ctx_term(client->zmq);
}

static json_t *ask(struct client *client, const char *request) {
    static char frame[1 << 16];
    rig_send(client->socket, request, strlen(request));
    assert_true(rig_receive(client->socket, frame, sizeof frame, RIG_WAIT_MS) > 0);
    json_t *reply = json_loads(frame, 0, NULL);
    assert_non_null(reply);
    return reply;
}

static json_int_t status_of(struct client *control, const char *key, const char *inner) {
    json_t *reply = ask(control, "{\"cmd\":\"status\"}");
    json_t *value = json_object_get(reply, key);
    json_int_t number = json_integer_value(inner != NULL ? json_object_get(value, inner) : value);
    json_decref(reply);
    return number;
}

static void feed(struct client *push, int first, int n, int streams) {
    for (int t = first; t < first + n; t++)
        for (int i = 0; i < streams; i++) {
            char name[8];
            snprintf(name, sizeof name, "c/%d", i);
            const double value = sin(0.5 * t) + i;
            rig_send_tick(push->socket, name, (int64_t)t * 1000000000, &value, 1);
        }
}

static int open_files(void) {
    int n = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n;
}

/* ---- starting ----------------------------------------------------------------------------------- */

static void an_endpoint_in_use_is_named_and_all_is_undone(void **state) {
    (void)state;
    struct config *config = rig_config("", "workers: 2\n" RIG_CLASS RIG_MODEL);
    char **const endpoints[] = {&config->bus.ticks, &config->bus.forecasts, &config->bus.control};
    static const char *const keys[] = {"bus.ticks", "bus.forecasts", "bus.control"};
    struct bus *warm = start(config); /* what libraries open once and keep is open from here on */
    bus_stop(warm);
    int files = open_files();
    for (int i = 0; i < 3; i++) {
        struct error err;
        char *before = *endpoints[i];
        static char nowhere[] = "ipc:///nowhere/at/all";
        *endpoints[i] = nowhere;
        assert_null(bus_start(config, &err));
        assert_non_null(strstr(err.text, keys[i]));
        *endpoints[i] = before;
        assert_int_equal(open_files(), files);
    }
    bus_stop(start(config)); /* nothing is in the way of the next one */
    assert_int_equal(open_files(), files);
    bus_stop(NULL);
    config_free(config);
}

/* ---- stopping ----------------------------------------------------------------------------------- */

static void it_stops_when_told(void **state) {
    (void)state;
    struct config *config = rig_config("", "workers: 2\n" RIG_CLASS RIG_MODEL);
    struct bus *bus = start(config);
    assert_false(has_stopped(bus, 20));
    bus_request_stop(bus);
    bus_request_stop(bus);
    assert_true(has_stopped(bus, RIG_WAIT_MS));
    bus_stop(bus);
    bus = start(config);
    struct client control = open_client(ZMQ_DEALER, config->bus.control);
    json_t *reply = ask(&control, "{\"cmd\":\"stop\"}");
    assert_true(json_is_true(json_object_get(reply, "ok")));
    json_decref(reply);
    assert_true(has_stopped(bus, RIG_WAIT_MS));
    bus_stop(bus);
    close_client(&control);
    config_free(config);
}

/* All that was taken is forecast and published before it is gone, also where the rings are full at the time. */
static void what_was_taken_is_forecast_before_it_stops(void **state) {
    (void)state;
    enum { STREAMS = 5, STEPS = 3000 };
    struct config *config =
        rig_config("  tick_ring: 64KiB\n  forecast_ring: 64KiB\n  send_hwm: 100000\n", REST("epochs: 1"));
    struct bus *bus = start(config);
    struct client push = open_client(ZMQ_PUSH, config->bus.ticks);
    struct client sub = open_client(ZMQ_SUB, config->bus.forecasts),
                  control = open_client(ZMQ_DEALER, config->bus.control);
    zmq_setsockopt(sub.socket, ZMQ_SUBSCRIBE, "forecast/", 9);
    int64_t began = 0;
    while (status_of(&control, "forecasts", "subscriptions") < 1)
        assert_true(rig_wait(&began));
    struct wire_bundle bundle = {0};
    for (int t = 0; t < STEPS; t++)
        for (int i = 0; i < STREAMS; i++) {
            char name[8];
            snprintf(name, sizeof name, "c/%d", i);
            const double value = t;
            wire_bundle_add(&bundle, (struct wire_text){name, 3}, t, &value, 1);
        }
    struct wire_text message = wire_bundle_message(&bundle);
    rig_send(push.socket, message.at, message.n);
    wire_bundle_fini(&bundle);
    while (status_of(&control, "ticks", "messages") < 1)
        assert_true(rig_wait(&began));
    bus_request_stop(bus); /* in the midst of the bundle */
    char frame[2048];
    int forecasts[STREAMS] = {0};
    for (int n = 0; n < STREAMS * STEPS; n++) {
        if (rig_receive(sub.socket, frame, sizeof frame, RIG_WAIT_MS) < 0)
            fail_msg("%d of %d forecasts", n, STREAMS * STEPS);
        forecasts[frame[strlen("forecast/m/c/")] - '0']++;
        rig_receive(sub.socket, frame, sizeof frame, RIG_WAIT_MS);
    }
    for (int i = 0; i < STREAMS; i++)
        assert_int_equal(forecasts[i], STEPS);
    assert_true(has_stopped(bus, RIG_WAIT_MS));
    bus_stop(bus);
    close_client(&push);
    close_client(&sub);
    close_client(&control);
    config_free(config);
}

/* A bundle in JSON, which takes the longest to read. */
static char *make_bundle(int first, int n) {
    char *text = malloc((size_t)n * 32 + 3), *at = text;
    assert_non_null(text);
    for (int t = first; t < first + n; t++)
        at += sprintf(at, "%c[\"c/1\",%d,[1.5]]", t == first ? '[' : ',', t);
    memcpy(at, "]", 2);
    return text;
}

/* More has come than it will read when it stops: it reads on for a while, and the message at hand to its end. */
static void a_message_is_not_cut_by_the_stop(void **state) {
    (void)state;
    enum { BUNDLES = 60, BUNDLE = 20000 };
    struct config *config = rig_config("  tick_ring: 64MiB\n", REST("epochs: 1"));
    config->models[0].training.first_after = INT32_MAX;
    struct bus *bus = start(config);
    struct client push = open_client(ZMQ_PUSH, config->bus.ticks),
                  control = open_client(ZMQ_DEALER, config->bus.control);
    for (int i = 0; i < BUNDLES; i++) {
        char *text = make_bundle(i * BUNDLE, BUNDLE);
        rig_send(push.socket, text, strlen(text));
        free(text);
    }
    int64_t began = 0;
    while (status_of(&control, "ticks", "messages") < 3)
        assert_true(rig_wait(&began));
    /* What it took is what its last line says. */
    FILE *log = tmpfile();
    int before = dup(STDERR_FILENO);
    assert_true(log != NULL && before >= 0);
    log_open(LOG_LEVEL_INFO);
    dup2(fileno(log), STDERR_FILENO);
    bus_stop(bus);
    dup2(before, STDERR_FILENO);
    close(before);
    log_open(LOG_LEVEL_ERROR);
    char line[256];
    rewind(log);
    assert_non_null(fgets(line, sizeof line, log));
    fclose(log);
    int taken = 0;
    assert_non_null(strstr(line, "stopped: "));
    assert_int_equal(sscanf(strstr(line, "stopped: "), "stopped: %d ticks taken", &taken), 1);
    assert_in_range(taken, 3 * BUNDLE, BUNDLES * BUNDLE);
    assert_int_equal(taken % BUNDLE, 0);
    close_client(&push);
    close_client(&control);
    config_free(config);
}

/* Stopped while windows are collected, while a model trains, and while a version takes over. */
static void it_stops_whatever_is_learnt(void **state) {
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct config *config = rig_config("", round < 2 ? REST("epochs: 100000, batch: 1") : REST("epochs: 40"));
        struct bus *bus = start(config);
        struct client push = open_client(ZMQ_PUSH, config->bus.ticks);
        struct client control = open_client(ZMQ_DEALER, config->bus.control);
        feed(&push, 0, 90, 20);
        int64_t began = 0;
        for (bool ready = false; !ready; assert_true(ready || rig_wait(&began))) {
            json_t *reply = ask(&control, "{\"cmd\":\"models\"}");
            json_t *model = json_array_get(json_object_get(reply, "models"), 0);
            ready = round == 0   ? json_integer_value(json_object_get(model, "steps")) > 60
                    : round == 1 ? json_integer_value(json_object_get(model, "epoch")) > 0
                                 : json_integer_value(json_object_get(model, "promoted")) > 0;
            json_decref(reply);
        }
        int64_t told = clock_monotonic();
        bus_stop(bus);
        assert_true(clock_monotonic() - told < INT64_C(4000000000));
        close_client(&push);
        close_client(&control);
        config_free(config);
    }
}

/* Streams that are told to end, and ticks on their way, when it stops; a publisher that was never there. */
static void it_stops_with_streams_that_end(void **state) {
    (void)state;
    char bus_lines[256];
    snprintf(bus_lines, sizeof bus_lines, "  subscribe: ['ipc://%s/nobody']\n", rig_folder());
    struct config *config = rig_config(bus_lines, REST("epochs: 1"));
    struct bus *bus = start(config);
    struct client push = open_client(ZMQ_PUSH, config->bus.ticks),
                  control = open_client(ZMQ_DEALER, config->bus.control);
    feed(&push, 0, 20, 9);
    int64_t began = 0;
    while (status_of(&control, "ticks", "taken") < 180)
        assert_true(rig_wait(&began));
    for (int i = 0; i < 9; i += 2) {
        char request[64];
        snprintf(request, sizeof request, "{\"cmd\":\"end\",\"stream\":\"c/%d\"}", i);
        rig_send(control.socket, request, strlen(request));
    }
    feed(&push, 20, 20, 9);
    bus_stop(bus);
    close_client(&push);
    close_client(&control);
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endpoint_in_use_is_named_and_all_is_undone),
        cmocka_unit_test(it_stops_when_told),
        cmocka_unit_test(what_was_taken_is_forecast_before_it_stops),
        cmocka_unit_test(a_message_is_not_cut_by_the_stop),
        cmocka_unit_test(it_stops_whatever_is_learnt),
        cmocka_unit_test(it_stops_with_streams_that_end),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
