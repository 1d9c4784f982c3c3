/*
 * A stream's forecasts are bit for bit the same alone as among 200 others: whatever worker, batch, slot and
 * neighbours it has, however its ticks come grouped, and while streams around it end and begin.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { N_LIVING = 200, N_CHANGING = 50, N_STREAMS = N_LIVING + N_CHANGING, N_FEATURES = 7, MAX_ROWS = 20000 };

static const int64_t hour = INT64_C(3600000000000);

/* Two models for most streams, so that a stream has several slots; one stream in eight has steps of two hours. */
static const char configuration[] = "streams:\n"
                                    "  - class: slow\n"
                                    "    pattern: \"ett/*0\"\n"
                                    "    features: [HUFL, HULL, MUFL, MULL, LUFL, LULL, OT]\n"
                                    "    every: 2h\n"
                                    "  - class: ett\n"
                                    "    pattern: \"ett/*\"\n"
                                    "    features: [HUFL, HULL, MUFL, MULL, LUFL, LULL, OT]\n"
                                    "models:\n"
                                    "  - name: all\n"
                                    "    class: ett\n"
                                    "    horizon: 4\n"
                                    "    layers: [{lstm: 16}]\n"
                                    "    combine: network\n"
                                    "    batch_size: %d\n"
                                    "    train: false\n"
                                    "    seed: 7\n"
                                    "  - name: deep\n"
                                    "    class: ett\n"
                                    "    targets: [OT]\n"
                                    "    horizon: 2\n"
                                    "    period: 3\n"
                                    "    layers: [{lstm: 9}, {dense: 5, activation: tanh}, {lstm: 8}]\n"
                                    "    batch_size: %d\n"
                                    "    residual: false\n"
                                    "    train: false\n"
                                    "  - name: slow\n"
                                    "    class: slow\n"
                                    "    horizon: 3\n"
                                    "    layers: [{lstm: 8}]\n"
                                    "    batch_size: %d\n"
                                    "    train: false\n";

/* ---- the series ----------------------------------------------------------------------------- */

static double rows[MAX_ROWS][N_FEATURES];
static int n_rows;

static void read_rows(const char *path) {
    FILE *file = fopen(path, "r");
    char line[512];
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file)); /* the names */
    while (n_rows < MAX_ROWS && fgets(line, sizeof line, file) != NULL) {
        char *at = strchr(line, ',');
        for (int f = 0; f < N_FEATURES; f++) {
            assert_non_null(at);
            rows[n_rows][f] = strtod(at + 1, &at);
        }
        n_rows++;
    }
    fclose(file);
}

static void make_rows(void) {
    struct rng rng = {1};
    for (n_rows = 0; n_rows < 3000; n_rows++)
        for (int f = 0; f < N_FEATURES; f++)
            rows[n_rows][f] = 10 * sin(n_rows * 0.26 + f) + (f + 1) * rng_normal(&rng) + 0.01 * n_rows;
}

static int load(void **state) {
    (void)state;
    char path[256];
    if (scenario_data("ETTh1.csv", path, sizeof path)) {
        read_rows(path);
    } else {
        printf("skipped: %s absent, synthetic series instead\n", path);
        make_rows();
    }
    assert_true(n_rows > 2000);
    return 0;
}

static int row_of(int stream, int step) {
    return stream * 67 % (n_rows - 200) + step;
}

static void values_of(int stream, int step, double *values) {
    uint64_t place[2] = {(uint64_t)stream, (uint64_t)step};
    uint64_t chance = rng_hash(3, place, sizeof place);
    memcpy(values, rows[row_of(stream, step)], N_FEATURES * sizeof *values);
    if (chance % 20 == 0)
        values[chance / 20 % N_FEATURES] = NAN;
}

static int64_t time_of(int stream, int step) {
    return 409000 * hour + row_of(stream, step) * hour;
}

static bool is_slow(int stream) {
    return stream % 10 == 0;
}

/* Forecasts that the tick brings about: of two models, or of one when it closes a step. */
static size_t forecasts_of(int stream, int step) {
    if (!is_slow(stream))
        return 2;
    return step > 0 && time_of(stream, step) / (2 * hour) != time_of(stream, step - 1) / (2 * hour);
}

static void name_of(int stream, char *name, size_t size) {
    snprintf(name, size, "ett/%03d", stream);
}

static int n_steps(void) {
    return scenario_count(80, 16);
}

/* ---- sending -------------------------------------------------------------------------------- */

struct sender {
    void *socket;
    bool bundled;
    struct wire_bundle bundle;
    uint32_t goal; /* ticks of the bundle at which it leaves */
    struct rng rng;
    size_t expected; /* forecasts that what was sent brings about */
};

static void flush(struct sender *sender) {
    if (sender->bundle.n == 0)
        return;
    struct wire_text message = wire_bundle_message(&sender->bundle);
    assert_true(zmq_send(sender->socket, message.at, message.n, 0) >= 0);
    wire_bundle_clear(&sender->bundle);
    sender->goal = 1 + (uint32_t)rng_below(&sender->rng, 100);
}

static void send_step(struct sender *sender, int stream, int step) {
    char name[32];
    double values[N_FEATURES];
    name_of(stream, name, sizeof name);
    values_of(stream, step, values);
    sender->expected += forecasts_of(stream, step);
    if (!sender->bundled) {
        feed_tick(sender->socket, name, time_of(stream, step), values, N_FEATURES);
        return;
    }
    struct wire_text text = {name, strlen(name)};
    assert_int_equal(wire_bundle_add(&sender->bundle, text, time_of(stream, step), values, N_FEATURES), 0);
    if (sender->bundle.n >= sender->goal)
        flush(sender);
}

/* Steps [from, to) of streams [first, last), but for the ended ones, in an order that keeps that of each stream
 * only. Now and then it pauses, so that advances of all sizes come about. */
static void send_interleaved(struct sender *sender, int first, int last, int from, int to, bool some_ended) {
    int next[N_STREAMS], open[N_STREAMS], n_open = 0;
    for (int s = first; s < last; s++) {
        next[s] = from;
        if (!some_ended || s >= N_LIVING || s % 4 != 1)
            open[n_open++] = s;
    }
    while (n_open > 0) {
        uint64_t at = rng_below(&sender->rng, (uint64_t)n_open);
        int stream = open[at];
        /* A run of several ticks of one stream must keep its order within one advance after another. */
        int run = rng_below(&sender->rng, 8) == 0 ? 5 : 1;
        for (; run > 0 && next[stream] < to; run--)
            send_step(sender, stream, next[stream]++);
        if (next[stream] == to)
            open[at] = open[--n_open];
        if (rng_below(&sender->rng, 2000) == 0)
            scenario_sleep(5);
    }
    flush(sender);
}

/* ---- daemons -------------------------------------------------------------------------------- */

static struct daemon *start(int workers, int batch_size, bool tcp) {
    char text[2048];
    int n = snprintf(text, sizeof text, configuration, batch_size, batch_size, batch_size);
    assert_in_range(n, 1, sizeof text - 1);
    /* Whatever is published must wait for the subscriber rather than be lost. */
    return daemon_run(
        &(struct daemon_setup){.workers = workers, .tcp = tcp, .bus = "  send_hwm: 1000000\n", .rest = text});
}

/* Every stream by itself: one worker, batches of one, each ended before the next begins. */
static struct heard *hear_alone(struct daemon **ret_daemon) {
    struct daemon *daemon = start(1, 1, false);
    struct heard *heard = heard_new(daemon, "forecast/", 9, 1);
    struct sender sender = {.socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks)};
    for (int s = 0; s < N_STREAMS; s++) {
        char name[32];
        name_of(s, name, sizeof name);
        for (int step = 0; step < n_steps(); step++)
            send_step(&sender, s, step);
        heard_until(heard, sender.expected);
        daemon_command(daemon, "{\"cmd\":\"end\",\"stream\":\"%s\"}", name);
    }
    *ret_daemon = daemon;
    return heard;
}

static void compare_stream(const struct heard *heard, const struct heard *alone, int stream, int steps) {
    static const char *const models[] = {"all", "deep", "slow"};
    char name[32];
    size_t expected = 0, got = 0;
    name_of(stream, name, sizeof name);
    for (int step = 0; step < steps; step++)
        expected += forecasts_of(stream, step);
    for (int m = 0; m < 3; m++) {
        const struct heard_stream *one = heard_find(heard, models[m], name);
        if (one == NULL)
            continue;
        got += one->n;
        heard_compare(one, 0, heard_find(alone, models[m], name), 0, one->n);
        /* The others are mixtures, in which it does not always have a share. */
        for (size_t i = 0; m == 0 && i < one->n; i++)
            assert_int_equal(heard_at(one, i)->source, WIRE_SOURCE_NETWORK);
    }
    assert_int_equal(got, expected);
}

/* ---- the scenario --------------------------------------------------------------------------- */

static void run_variant(const struct heard *alone, int workers, int batch_size, bool bundled, bool changing) {
    struct daemon *daemon = start(workers, batch_size, workers == 4);
    char prefix[] = "forecast/";
    struct heard *heard = heard_new(daemon, prefix, bundled ? 7 : 9, 1);
    if (bundled) { /* heard in bundles, too */
        assert_int_equal(zmq_setsockopt(heard->socket, ZMQ_UNSUBSCRIBE, prefix, 7), 0);
        heard_subscribe(heard, daemon, "bundle/", 7, 1);
    }
    struct sender sender = {.socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks),
                            .bundled = bundled,
                            .goal = 10,
                            .rng = {(uint64_t)(1000 * workers + batch_size)}};
    int half = n_steps() / 2;
    send_interleaved(&sender, 0, N_LIVING, 0, half, false);
    if (changing) {
        /* Their last ticks must be in before the command, which takes another way. */
        heard_until(heard, sender.expected);
        for (int s = 1; s < N_LIVING; s += 4) {
            char name[32];
            name_of(s, name, sizeof name);
            daemon_command(daemon, "{\"cmd\":\"end\",\"stream\":\"%s\"}", name);
        }
        struct sender fresh = {.socket = sender.socket, .bundled = bundled, .goal = 3, .rng = {5}};
        send_interleaved(&fresh, N_LIVING, N_STREAMS, 0, half / 2, false);
        send_interleaved(&sender, 0, N_LIVING, half, n_steps(), true);
        send_interleaved(&fresh, N_LIVING, N_STREAMS, half / 2, half, false);
        sender.expected += fresh.expected;
        wire_bundle_fini(&fresh.bundle);
    } else {
        send_interleaved(&sender, 0, N_LIVING, half, n_steps(), false);
    }
    heard_until(heard, sender.expected);
    heard_rest(heard, 20);
    assert_int_equal(heard->forecasts, sender.expected);
    assert_int_equal(heard->received_after_taken, sender.expected);
    assert_true(bundled ? heard->bundles > 0 : heard->bundles == 0);
    for (int s = 0; s < N_STREAMS; s++) {
        bool ended = changing && s < N_LIVING && s % 4 == 1;
        int steps = s >= N_LIVING ? (changing ? half : 0) : ended ? half : n_steps();
        compare_stream(heard, alone, s, steps);
    }
    assert_int_equal(daemon_count(daemon, "streams"), N_LIVING);
    assert_int_equal(daemon_count(daemon, "not_finite"), 0);
    wire_bundle_fini(&sender.bundle);
    heard_free(heard);
    daemon_free(&daemon);
}

static void test_alone_as_among_others(void **state) {
    (void)state;
    static const int workers[] = {1, 2, 4}, batch_sizes[] = {8, 64};
    struct daemon *reference;
    struct heard *alone = hear_alone(&reference);
    for (size_t w = 0; w < 3; w++)
        for (size_t b = 0; b < 2; b++) {
            run_variant(alone, workers[w], batch_sizes[b], false, true);
            run_variant(alone, workers[w], batch_sizes[b], true, w + b != 1);
        }
    /* One after another in one daemon is as good as each in a daemon of its own. */
    for (int s = 0; s < N_STREAMS; s += 83) {
        struct daemon *daemon = start(2, 64, false);
        struct heard *heard = heard_new(daemon, "forecast/", 9, 1);
        struct sender sender = {.socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks)};
        for (int step = 0; step < n_steps(); step++)
            send_step(&sender, s, step);
        heard_until(heard, sender.expected);
        compare_stream(heard, alone, s, n_steps());
        heard_free(heard);
        daemon_free(&daemon);
    }
    heard_free(alone);
    daemon_free(&reference);
}

int main(void) {
    scenario_begin(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_alone_as_among_others, scenario_teardown),
    };
    return cmocka_run_group_tests_name("continuity", tests, load, NULL);
}
