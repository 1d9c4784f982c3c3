/* How a daemon begins and ends, and how streams do; its ways in and out, each against another. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static const int64_t start_of_time = INT64_C(1700000000000000000), second = INT64_C(1000000000);

static const char plain[] = "streams:\n"
                            "  - {class: all, pattern: \"*\", features: [a, b]}\n"
                            "models:\n"
                            "  - name: m\n"
                            "    class: all\n"
                            "    horizon: 3\n"
                            "    layers: [{lstm: 8}]\n"
                            "    combine: network\n"
                            "    train: false\n"
                            "    training: {burn_in: 4}\n";

static const char keep_all[] = "  send_hwm: 1000000\n";

/* Step `step` of a series of two features that all streams here share. */
static void feed_step(void *socket, const char *stream, int step) {
    double values[2] = {10 + sin(step * 0.4), step % 5 - 0.1 * step};
    feed_tick(socket, stream, start_of_time + step * second, values, 2);
}

static void feed_steps(void *socket, const char *stream, int from, int to) {
    for (int step = from; step < to; step++)
        feed_step(socket, stream, step);
}

static struct heard *hear_all(struct daemon *daemon) {
    return heard_new(daemon, "forecast/", 9, 1);
}

/* Closes what the test has opened on a daemon that it will stop or start itself. */
static void end_hearing(struct daemon *daemon, struct heard *heard) {
    daemon_close(daemon, heard->socket);
    heard_free(heard);
}

/* ---- configurations ------------------------------------------------------------------------- */

/* Files in the daemon's directory: a configuration and a log, and sockets when it has run. */
static int files_of(const struct daemon *daemon) {
    DIR *directory = opendir(daemon->directory);
    assert_non_null(directory);
    int n = -2; /* . and .. */
    while (readdir(directory) != NULL)
        n++;
    closedir(directory);
    return n;
}

#define CLASS "streams:\n  - {class: a, pattern: \"*\", features: [x]}\n"
#define MODEL "models:\n  - {name: m, class: a}\n"

static const struct {
    const char *text;
    const char *sentence[3]; /* what its sentence must have */
} wrong[] = {
    {CLASS "models:\n  - {name: m, class: a, horizonn: 3}\n", {":4:", "models[0]", "horizonn"}},
    {CLASS "models:\n  - {name: m, class: a, horizon: soon}\n", {":4:", "models[0].horizon", "soon"}},
    {"streams:\n  - {class: a, pattern: \"*\", features: [x], every: 5}\n" MODEL, {":2:", "every", "5"}},
    {CLASS "models:\n  - {name: m, class: b}\n", {"models[0].class", "b"}},
    {"streams:\n  - {class: a, pattern: \"*\", features: [x, x]}\n" MODEL, {"features", "x"}},
    {CLASS "models:\n  - {name: m/n, class: a}\n", {"models[0].name"}},
    {"workers: 2\n", {"streams"}},
    {"", {""}},
    {"streams: [\n", {""}},
};

static void test_wrong_configurations(void **state) {
    (void)state;
    struct daemon *daemon = daemon_new(&(struct daemon_setup){.rest = plain});
    static const char *const check[] = {"--check-config", "-c", NULL, NULL};
    const char *arguments[4];
    memcpy(arguments, check, sizeof check);
    arguments[2] = daemon->config;

    daemon_launch(daemon, arguments);
    assert_int_equal(daemon_wait(daemon), 0);
    assert_non_null(strstr(daemon_output(daemon), daemon->config));
    assert_int_equal(files_of(daemon), 2);

    for (size_t i = 0; i < LENGTH(wrong); i++)
        for (int serving = 0; serving < 2; serving++) {
            assert_int_equal(remove(daemon->log), 0);
            daemon_write_config(daemon, wrong[i].text);
            daemon_launch(daemon, serving ? NULL : arguments);
            assert_int_equal(daemon_wait(daemon), 1);
            const char *output = daemon_output(daemon);
            assert_non_null(strstr(output, daemon->config));
            for (int s = 0; s < 3 && wrong[i].sentence[s] != NULL; s++)
                if (strstr(output, wrong[i].sentence[s]) == NULL)
                    fail_msg("no %s in: %s", wrong[i].sentence[s], output);
            assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1); /* one line */
            assert_int_equal(files_of(daemon), 2);
        }

    assert_int_equal(remove(daemon->config), 0);
    daemon_launch(daemon, arguments);
    assert_int_equal(daemon_wait(daemon), 1);
    assert_non_null(strstr(daemon_output(daemon), "No such file"));
    daemon_free(&daemon);
}

/* A second daemon on the endpoints of a first is refused, and the first goes on. */
static void endpoints_in_use(bool tcp) {
    struct daemon *first = daemon_run(&(struct daemon_setup){.tcp = tcp, .rest = plain});
    static const char *const keys[] = {"ticks", "forecasts", "control"};
    const char *const taken[] = {first->ticks, first->forecasts, first->control};
    for (size_t i = 0; i < LENGTH(keys); i++) {
        struct daemon *second_one = daemon_new(&(struct daemon_setup){.rest = plain});
        char text[2048];
        snprintf(text, sizeof text, "bus: {ticks: \"%s\", forecasts: \"%s\", control: \"%s\"}\n%s",
                 i == 0 ? taken[0] : second_one->ticks, i == 1 ? taken[1] : second_one->forecasts,
                 i == 2 ? taken[2] : second_one->control, plain);
        daemon_write_config(second_one, text);
        daemon_launch(second_one, NULL);
        assert_int_equal(daemon_wait(second_one), 1);
        char sentence[256];
        snprintf(sentence, sizeof sentence, "bus.%s: cannot bind to %s: Address already in use", keys[i], taken[i]);
        if (strstr(daemon_output(second_one), sentence) == NULL)
            fail_msg("no %s in: %s", sentence, daemon_output(second_one));
        daemon_free(&second_one);
    }
    daemon_command(first, "{\"cmd\":\"status\"}");
    daemon_free(&first);
}

static void test_endpoint_in_use(void **state) {
    (void)state;
    endpoints_in_use(true);
    endpoints_in_use(false);
}

/* ---- the end -------------------------------------------------------------------------------- */

/* What the daemon says in its last line that it took. */
static long long taken_by(const struct daemon *daemon) {
    const char *line = strstr(daemon_output(daemon), "stopped: ");
    long long taken = -1;
    if (line == NULL || sscanf(line, "stopped: %lld ticks", &taken) != 1)
        fail_msg("no last line: %s", daemon_output(daemon));
    return taken;
}

/* Ends the daemon in the middle of its work: with a signal, or 0 for the command. */
static void end_in_flight(int signal_number, const char *more_bus) {
    char text[1024];
    int ticks = scenario_count(20000, 3000);
    snprintf(text, sizeof text, "%s%s", keep_all, more_bus);
    struct daemon *daemon = daemon_run(
        &(struct daemon_setup){.workers = 2,
                               .bus = text,
                               .rest = "streams:\n"
                                       "  - {class: all, pattern: \"*\", features: [a, b]}\n"
                                       "models:\n"
                                       "  - {name: m, class: all, layers: [{lstm: 128}], train: false}\n"});
    struct heard *heard = hear_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int i = 0; i < ticks; i++) {
        char name[32];
        snprintf(name, sizeof name, "s/%d", i % 20);
        feed_step(socket, name, i / 20);
    }
    daemon_await_count(daemon, "ticks.taken", ticks / 20);
    if (signal_number != 0)
        daemon_signal(daemon, signal_number);
    else
        daemon_command(daemon, "{\"cmd\":\"stop\"}");
    assert_int_equal(daemon_wait(daemon), 0);
    long long taken = taken_by(daemon);
    heard_rest(heard, 200);
    print_message("%lld of %d ticks were taken, %zu forecasts heard\n", taken, ticks, heard->forecasts);
    assert_int_equal(heard->forecasts, taken);
    assert_in_range(taken, ticks / 20, ticks);
    for (int s = 0; s < 20; s++) {
        char name[32];
        snprintf(name, sizeof name, "s/%d", s);
        assert_non_null(heard_find(heard, "m", name));
    }
    heard_free(heard);
    daemon_free(&daemon);
}

static void test_term_in_flight(void **state) {
    (void)state;
    end_in_flight(SIGTERM, "");
    /* A tick is parked nearly all the time. */
    end_in_flight(SIGTERM, "  tick_ring: 64KiB\n  forecast_ring: 64KiB\n");
}

static void test_interrupt_and_command(void **state) {
    (void)state;
    end_in_flight(SIGINT, "");
    end_in_flight(0, "");
    /* With nothing to do, and as soon as it can be asked. */
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.rest = plain});
    daemon_command(daemon, "{\"cmd\":\"stop\"}");
    assert_int_equal(daemon_wait(daemon), 0);
    daemon_free(&daemon);
}

static void test_epoch(void **state) {
    (void)state;
    struct daemon *daemon = daemon_new(&(struct daemon_setup){.rest = plain});
    uint64_t before = 0;
    struct heard *heard = NULL;
    for (int i = 0; i < 3; i++) {
        daemon_start(daemon);
        struct heard *each = hear_all(daemon);
        void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
        feed_steps(socket, "s", 0, 20);
        heard_until(each, 20);
        struct heard_stream *stream = heard_find(each, "m", "s");
        assert_true(stream->epoch > before);
        assert_int_equal(stream->epoch, daemon_count(daemon, "epoch"));
        before = stream->epoch;
        if (heard != NULL)
            heard_compare(stream, 0, heard_find(heard, "m", "s"), 0, 20);
        daemon_stop(daemon);
        daemon_close(daemon, socket);
        if (heard != NULL)
            end_hearing(daemon, heard);
        heard = each;
    }
    end_hearing(daemon, heard);
    daemon_free(&daemon);
}

/* ---- ways in and out ------------------------------------------------------------------------ */

static json_t *hear_json(void *socket) {
    char topic[256], payload[8192];
    int n = zmq_recv(socket, topic, sizeof topic, 0), size = zmq_recv(socket, payload, sizeof payload, 0);
    assert_in_range(n, 1, sizeof topic);
    assert_in_range(size, 1, sizeof payload);
    assert_memory_equal(topic, "forecast/", 9);
    json_t *map = json_loadb(payload, (size_t)size, 0, NULL);
    assert_non_null(map);
    return map;
}

/* Sent again for the new subscription, which a worker may get to late. */
static bool is_repeated(const json_t *map) {
    const json_t *flags = json_object_get(map, "flags");
    bool repeated = false;
    for (size_t f = 0; f < json_array_size(flags); f++)
        repeated |= strcmp(json_string_value(json_array_get(flags, f)), "last") == 0;
    return repeated;
}

static void check_json(void *socket, const struct heard_stream *stream, size_t i, int source) {
    json_t *map = hear_json(socket);
    while (is_repeated(map)) {
        json_decref(map);
        map = hear_json(socket);
    }
    const struct heard_forecast *forecast = heard_at(stream, i);
    assert_int_equal(json_integer_value(json_object_get(map, "step")), forecast->step);
    assert_int_equal(json_integer_value(json_object_get(map, "t")), forecast->t);
    assert_string_equal(json_string_value(json_object_get(map, "source")), "network");
    const json_t *position = json_object_get(map, "position"), *mean = json_object_get(map, "mean");
    assert_int_equal(json_integer_value(json_array_get(position, 0)), source);
    assert_int_equal(json_integer_value(json_array_get(position, 1)), i + 1);
    assert_int_equal(json_array_size(mean), forecast->horizon);
    for (int h = 0; h < forecast->horizon; h++)
        for (int j = 0; j < forecast->n_targets; j++) {
            double x = json_number_value(json_array_get(json_array_get(mean, (size_t)h), (size_t)j));
            assert_memory_equal(&x, &heard_mean(forecast)[h * forecast->n_targets + j], sizeof x);
        }
    json_decref(map);
}

/* A publisher that is there before the daemon; JSON beside MessagePack. */
static void test_publisher_and_json(void **state) {
    (void)state;
    struct daemon *reference = daemon_run(&(struct daemon_setup){.json = true, .rest = plain});
    struct heard *heard = hear_all(reference);
    void *json = daemon_connect(reference, ZMQ_SUB, reference->forecasts_json);
    assert_int_equal(zmq_setsockopt(json, ZMQ_SUBSCRIBE, "forecast/m/s\0", 13), 0);
    daemon_await_count(reference, "forecasts.subscriptions", 2);
    feed_steps(daemon_connect(reference, ZMQ_PUSH, reference->ticks), "s", 0, 50);
    heard_until(heard, 50);
    for (size_t i = 0; i < 50; i++)
        check_json(json, heard_find(heard, "m", "s"), i, 0);

    char endpoint[128], text[512];
    void *publisher = daemon_bind(reference, ZMQ_XPUB, endpoint, sizeof endpoint);
    snprintf(text, sizeof text, "  subscribe: [\"%s\"]\n", endpoint);
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.json = true, .bus = text, .rest = plain});
    struct heard *other = hear_all(daemon);
    json = daemon_connect(daemon, ZMQ_SUB, daemon->forecasts_json);
    assert_int_equal(zmq_setsockopt(json, ZMQ_SUBSCRIBE, "forecast/m/s\0", 13), 0);
    daemon_await_count(daemon, "forecasts.subscriptions", 2);
    char subscription[8];
    assert_int_equal(zmq_recv(publisher, subscription, sizeof subscription, 0), 1); /* to everything */
    assert_int_equal(subscription[0], 1);
    feed_steps(publisher, "s", 0, 50);
    heard_until(other, 50);
    heard_compare(heard_find(other, "m", "s"), 0, heard_find(heard, "m", "s"), 0, 50);
    for (size_t i = 0; i < 50; i++)
        check_json(json, heard_find(other, "m", "s"), i, 1);
    /* PULL goes on beside it. */
    feed_steps(daemon_connect(daemon, ZMQ_PUSH, daemon->ticks), "p", 0, 10);
    heard_until(other, 60);
    heard_compare(heard_find(other, "m", "p"), 0, heard_find(heard, "m", "s"), 0, 10);
    heard_free(other);
    daemon_free(&daemon);
    heard_free(heard);
    daemon_free(&reference);
}

static void test_bundles_and_singles(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.bus = keep_all, .rest = plain});
    struct heard *singles = hear_all(daemon), *bundles = heard_new(daemon, "bundle/m", 9, 2);
    struct heard *one = heard_new(daemon, "forecast/m/s/1", 15, 3);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int step = 0; step < 50; step++)
        for (int s = 0; s < 20; s++) {
            char name[32];
            snprintf(name, sizeof name, "s/%d", s);
            feed_step(socket, name, step + s);
        }
    heard_until(singles, 1000);
    heard_until(bundles, 1000);
    heard_until(one, 50);
    heard_rest(one, 50);
    assert_int_equal(one->forecasts, 50); /* s/1, and not s/10 */
    assert_true(bundles->bundles > 0 && bundles->bundles < 1000 && singles->bundles == 0);
    for (int s = 0; s < 20; s++) {
        char name[32];
        snprintf(name, sizeof name, "s/%d", s);
        heard_compare(heard_find(singles, "m", name), 0, heard_find(bundles, "m", name), 0, 50);
    }
    heard_compare(heard_find(one, "m", "s/1"), 0, heard_find(singles, "m", "s/1"), 0, 50);
    heard_free(singles);
    heard_free(bundles);
    heard_free(one);
    daemon_free(&daemon);
}

static void check_repeated(const struct heard *heard, const struct heard *first, const char *name) {
    const struct heard_stream *stream = heard_find(heard, "m", name), *said = heard_find(first, "m", name);
    assert_non_null(stream);
    assert_non_null(stream->repeated);
    assert_int_equal(stream->repeated->n, 1);
    heard_compare(stream->repeated, 0, said, said->n - 1, 1);
}

static void test_last_forecasts_again(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.bus = keep_all, .rest = plain});
    struct heard *first = hear_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    for (int s = 0; s < 30; s++) {
        char name[32];
        snprintf(name, sizeof name, "s/%d", s);
        feed_steps(socket, name, 0, 5 + s);
    }
    heard_until(first, 30 * 5 + 435);
    heard_rest(first, 20);
    assert_int_equal(first->repeats, 0);

    /* One stream by its whole name, then all of them. */
    struct heard *second_one = heard_new(daemon, "forecast/m/s/2", 15, 2);
    while (second_one->repeats < 1)
        assert_true(heard_next(second_one, 5000));
    heard_rest(second_one, 50);
    assert_int_equal(second_one->repeats, 1);
    check_repeated(second_one, first, "s/2");

    /* Everybody whose subscription matches gets them: they are flagged. */
    heard_rest(first, 20);
    assert_int_equal(first->repeats, 1);
    struct heard *third = heard_new(daemon, "forecast/m/s/", 13, 3);
    while (third->repeats < 30)
        assert_true(heard_next(third, 5000));
    heard_rest(third, 50);
    assert_int_equal(third->repeats, 30);
    assert_int_equal(third->forecasts, 0);
    for (int s = 0; s < 30; s++) {
        char name[32];
        snprintf(name, sizeof name, "s/%d", s);
        check_repeated(third, first, name);
    }
    assert_int_equal(daemon_count(daemon, "forecasts.repeated"), 31);
    heard_free(first);
    heard_free(second_one);
    heard_free(third);
    daemon_free(&daemon);
}

/* ---- streams -------------------------------------------------------------------------------- */

static void test_end_and_begin_again(void **state) {
    (void)state;
    struct daemon *daemon =
        daemon_run(&(struct daemon_setup){.bus = "  send_hwm: 1000000\n  events_per_second: 1000\n", .rest = plain});
    struct heard *heard = hear_all(daemon);
    heard_subscribe(heard, daemon, "event/", 6, 2);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    /* Neighbours keep the slots around it busy. */
    for (int s = 0; s < 10; s++) {
        char name[32];
        snprintf(name, sizeof name, "n/%d", s);
        feed_steps(socket, name, 0, 40);
    }
    for (int round = 0; round < 3; round++) {
        feed_steps(socket, "s", 0, 60);
        heard_until(heard, 400 + 60 * (size_t)(round + 1));
        daemon_command(daemon, "{\"cmd\":\"end\",\"stream\":\"s\"}");
    }
    const struct heard_stream *stream = heard_find(heard, "m", "s");
    for (size_t round = 0; round < 3; round++) {
        heard_compare(stream, 60 * round, stream, 0, 60);
        assert_int_equal(heard_at(stream, 60 * round)->step, 1);
        assert_int_equal(heard_at(stream, 60 * round)->primed, 1);
        const json_t *ended = heard_event(heard, "ended", round, 10);
        assert_string_equal(json_string_value(json_object_get(ended, "stream")), "s");
        assert_int_equal(json_integer_value(json_object_get(ended, "steps")), 60);
        if (round > 0)
            assert_true(heard_at(stream, 60 * round)->generation > heard_at(stream, 60 * round - 1)->generation);
    }
    /* Alone in a daemon of its own, nothing before it. */
    struct daemon *fresh = daemon_run(&(struct daemon_setup){.rest = plain});
    struct heard *alone = hear_all(fresh);
    feed_steps(daemon_connect(fresh, ZMQ_PUSH, fresh->ticks), "s", 0, 60);
    heard_until(alone, 60);
    heard_compare(stream, 120, heard_find(alone, "m", "s"), 0, 60);
    heard_free(alone);
    daemon_free(&fresh);

    assert_int_equal(heard_count_events(heard, "started"), 13);
    daemon_expect_count(daemon, "ended", 3);
    assert_int_equal(daemon_count(daemon, "streams"), 10);
    json_t *page = daemon_ask(daemon, "{\"cmd\":\"streams\",\"prefix\":\"n/\",\"after\":\"n/3\",\"limit\":4}");
    const json_t *list = json_object_get(page, "streams");
    assert_int_equal(json_array_size(list), 4);
    assert_true(json_is_true(json_object_get(page, "more")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "stream")), "n/4");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "step")), 40);
    json_decref(page);
    heard_free(heard);
    daemon_free(&daemon);
}

/* The order stands behind the ticks that were taken before it: state zero, steps and scale go on. */
static void test_reset(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.bus = keep_all, .rest = plain});
    struct heard *heard = hear_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed_steps(socket, "s", 0, 30);
    feed_steps(socket, "r", 0, 30);
    heard_until(heard, 60);
    daemon_command(daemon, "{\"cmd\":\"reset\",\"stream\":\"r\"}");
    feed_steps(socket, "s", 30, 60);
    feed_steps(socket, "r", 30, 60);
    heard_until(heard, 120);
    const struct heard_stream *one = heard_find(heard, "m", "s"), *other = heard_find(heard, "m", "r");
    heard_compare(other, 0, one, 0, 30);
    for (size_t i = 0; i < 60; i++) {
        const struct heard_forecast *forecast = heard_at(other, i);
        size_t primed = i < 30 ? i + 1 : i - 29;
        assert_int_equal(forecast->step, i + 1);
        assert_int_equal(forecast->primed, primed);
        assert_int_equal((forecast->flags & WIRE_FLAG(WARMING)) != 0, primed < 4);
        assert_memory_equal(forecast->numbers, heard_at(one, i)->numbers, 2 * sizeof(double));
    }
    /* Another state, so other forecasts; it is forgotten in time. */
    size_t outputs = 6 * sizeof(double);
    assert_memory_not_equal(heard_mean(heard_at(other, 30)), heard_mean(heard_at(one, 30)), outputs);
    assert_int_equal(heard_at(one, 59)->primed, 60);
    heard_free(heard);
    daemon_free(&daemon);
}

static void test_fixed_intervals(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(
        &(struct daemon_setup){.rest = "streams:\n"
                                       "  - {class: all, pattern: \"*\", features: [a, b], every: 1s}\n"
                                       "models:\n"
                                       "  - {name: m, class: all, horizon: 3, layers: [{lstm: 8}], train: false}\n"});
    struct heard *heard = hear_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    static const struct {
        int64_t ms;
        double a, b;
    } ticks[] = {
        {100, 1, 10},    {400, 2, 20}, {999, 3, NAN}, /* one step: 3, 20 */
        {1000, 4, 40},                                /* closes it */
        {2500, NAN, 50},                              /* closes 4, 40 */
        {5000, 6, 60},                                /* closes missing, 50; two empty intervals follow */
        {6100, 7, 70},                                /* closes 6, 60, which has a gap before it */
        {6200, 8, 80},
    };
    static const struct {
        int64_t t;
        double a, b;
        uint32_t flags;
    } steps[] = {
        {0, 3, 20, 0},
        {1, 4, 40, 0},
        {2, NAN, 50, WIRE_FLAG(MISSING)},
        {5, 6, 60, WIRE_FLAG(GAP)},
    };
    for (size_t i = 0; i < LENGTH(ticks); i++)
        feed_tick(socket, "s", start_of_time + ticks[i].ms * 1000000, (double[]){ticks[i].a, ticks[i].b}, 2);
    heard_until(heard, LENGTH(steps));
    daemon_expect_count(daemon, "ticks.taken", LENGTH(ticks));
    heard_rest(heard, 50);
    assert_int_equal(heard->forecasts, LENGTH(steps)); /* the last interval is open, however late it is */
    for (size_t i = 0; i < LENGTH(steps); i++) {
        const struct heard_forecast *forecast = heard_at(heard_find(heard, "m", "s"), i);
        assert_int_equal(forecast->step, i + 1);
        assert_int_equal(forecast->t, start_of_time + steps[i].t * second);
        assert_int_equal(forecast->flags & ~(WIRE_FLAG(WARMING) | WIRE_FLAG(CAPPED)), steps[i].flags);
        assert_true(isnan(steps[i].a) ? isnan(forecast->numbers[0]) : forecast->numbers[0] == steps[i].a);
        assert_true(forecast->numbers[1] == steps[i].b);
        assert_true(forecast->has_times);
        for (int h = 0; h < 3; h++)
            assert_int_equal(heard_times(forecast)[h], forecast->t + (h + 1) * second);
    }
    heard_free(heard);
    daemon_free(&daemon);
}

int main(void) {
    scenario_begin(100);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_wrong_configurations, scenario_teardown),
        cmocka_unit_test_teardown(test_endpoint_in_use, scenario_teardown),
        cmocka_unit_test_teardown(test_term_in_flight, scenario_teardown),
        cmocka_unit_test_teardown(test_interrupt_and_command, scenario_teardown),
        cmocka_unit_test_teardown(test_epoch, scenario_teardown),
        cmocka_unit_test_teardown(test_publisher_and_json, scenario_teardown),
        cmocka_unit_test_teardown(test_bundles_and_singles, scenario_teardown),
        cmocka_unit_test_teardown(test_last_forecasts_again, scenario_teardown),
        cmocka_unit_test_teardown(test_end_and_begin_again, scenario_teardown),
        cmocka_unit_test_teardown(test_reset, scenario_teardown),
        cmocka_unit_test_teardown(test_fixed_intervals, scenario_teardown),
    };
    return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
