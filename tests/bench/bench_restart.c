/*
 * Streams with an LSTM(32) on 8 features and a history of 256 steps in a daemon that keeps them on disk: how fast ticks go by
 * with the journal on, what a round of images takes, and how soon they serve again. STREAMS (environment, 10,000; 100000 is the
 * figure of the README) of them, their histories full; TMPDIR says which disk.
 *
 * A restart is measured from the start of the program until each stream has forecast from a tick that was sent as soon as the
 * daemon took some: behind kill -9 with JOURNAL_SECONDS (1) of ticks at full rate in the journal, then behind TERM. Then the same
 * once more, but the streams tick one after the other, RATE (10,000) a second, and how long each one waits for its forecast is told,
 * counted from when its tick was due. What was written is in the machine's memory.
 */
#include "daemon/wire.h"
#include "tests/support/bench.h"
#include "tests/support/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

enum { FEATURES = 8, BUNDLE = 256, HISTORY = 256, IN_FLIGHT = 50000 };

static const char configuration[] =
    "snapshot_every: 10s\n"
    "streams:\n  - {class: c, pattern: \"*\", features: [a, b, c, d, e, f, g, h], history: 256, max_streams: 1000000}\n"
    "models:\n  - {name: m, class: c, horizon: 1, layers: [{lstm: 32}], combine: network, levels: [], train: false}\n";

struct scene {
    struct daemon *daemon;
    void *push, *heard;
    long streams;
    int64_t ticks;           /* the k-th is of stream k % streams */
    int64_t sent, forecasts; /* since the daemon started */
    struct wire_bundle bundle;
};

/* ---- in and out --------------------------------------------------------------------------------- */

static int64_t count(const void *bytes, size_t n) {
    uint32_t forecasts = 0;
    wire_array_open(bytes, n, &forecasts);
    return forecasts;
}

static void hear(struct scene *scene, int64_t until) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, scene->heard, scene->forecasts < until ? 0 : ZMQ_DONTWAIT) >= 0)
        if (!zmq_msg_more(&message))
            scene->forecasts += count(zmq_msg_data(&message), zmq_msg_size(&message));
    zmq_msg_close(&message);
    if (scene->forecasts >= until)
        return;
    fprintf(stderr, "bench_restart: %lld of %lld forecasts have come, and no more do\n", (long long)scene->forecasts,
            (long long)scene->sent);
    exit(1);
}

static void send_bundle(struct scene *scene, int n_ticks) {
    for (int i = 0; i < n_ticks; i++, scene->ticks++) {
        char name[32];
        double values[FEATURES];
        int64_t step = scene->ticks / scene->streams, s = scene->ticks % scene->streams;
        int n = snprintf(name, sizeof name, "stream-%06d", (int)s);
        for (int f = 0; f < FEATURES; f++)
            values[f] = (double)((step * (f + 3) + s) % 101);
        wire_bundle_add(&scene->bundle, (struct wire_text){name, (size_t)n}, step * 1000000000, values, FEATURES);
    }
    struct wire_text message = wire_bundle_message(&scene->bundle);
    zmq_send(scene->push, message.at, message.n, 0);
    wire_bundle_clear(&scene->bundle);
    scene->sent += n_ticks;
    hear(scene, scene->sent - IN_FLIGHT);
}

static void send_round(struct scene *scene) {
    for (int64_t left = scene->streams; left > 0; left -= BUNDLE)
        send_bundle(scene, left < BUNDLE ? (int)left : BUNDLE);
}

static void connect_all(struct scene *scene) {
    scene->push = daemon_connect_bounded(scene->daemon, ZMQ_PUSH, scene->daemon->ticks, 100);
    scene->heard = daemon_connect(scene->daemon, ZMQ_SUB, scene->daemon->forecasts);
    zmq_setsockopt(scene->heard, ZMQ_SUBSCRIBE, "bundle/", 7);
    while (daemon_count(scene->daemon, "forecasts.subscriptions") < 1)
        scenario_sleep(1);
    zmq_setsockopt(scene->heard, ZMQ_RCVTIMEO, &(int){60000}, sizeof(int));
    scene->sent = scene->forecasts = 0;
}

static void disconnect(struct scene *scene) {
    daemon_close(scene->daemon, scene->push);
    daemon_close(scene->daemon, scene->heard);
}

/* ---- what is measured --------------------------------------------------------------------------- */

static void row(const struct scene *scene, const char *what, const char *unit, double value) {
    bench_row("restart", unit, value,
              "\"what\": \"%s\", \"streams\": %ld, \"features\": %d, \"hidden\": 32, \"history\": %d", what,
              scene->streams, FEATURES, HISTORY);
}

static double seconds_since(int64_t began) {
    return 1e-3 * (double)(scenario_now() - began);
}

static double send_for(struct scene *scene, double seconds) {
    int64_t began = scenario_now(), first = scene->forecasts;
    while (seconds_since(began) < seconds)
        send_bundle(scene, BUNDLE);
    return (double)(scene->forecasts - first) / seconds_since(began);
}

static void fill(struct scene *scene) {
    send_round(scene); /* all begin */
    hear(scene, scene->sent);
    int64_t began = scenario_now(), first = scene->forecasts;
    for (int step = 1; step < HISTORY; step++)
        send_round(scene);
    hear(scene, scene->sent);
    row(scene, "history filled, journal on", "ticks_per_s", (double)(scene->sent - first) / seconds_since(began));
}

/* Until two rounds are done, of which the second one has begun meanwhile; under load or without. */
static void pass_rounds(struct scene *scene, bool load) {
    int64_t rounds = daemon_count(scene->daemon, "store.rounds");
    while (daemon_count(scene->daemon, "store.rounds") < rounds + 2)
        if (load)
            send_for(scene, 0.5);
        else
            scenario_sleep(10);
}

/* All streams have changed when it begins, and go on meanwhile. */
static void measure_round(struct scene *scene) {
    pass_rounds(scene, true);
    row(scene, "a round of images under full load", "ms",
        1e-6 * (double)daemon_count(scene->daemon, "store.last_round_ns"));
    row(scene, "longest slice of it", "us",
        1e-3 * (double)daemon_count(scene->daemon, "spent.background.longest_ns"));
    row(scene, "longest advance", "us", 1e-3 * (double)daemon_count(scene->daemon, "spent.advances.longest_ns"));
    hear(scene, scene->sent);
}

/* The next tick is the first stream's. */
static void start(struct scene *scene) {
    int status;
    daemon_launch(scene->daemon, NULL);
    if (!daemon_await_start(scene->daemon, &status))
        exit(1);
    scene->ticks = (scene->ticks + scene->streams - 1) / scene->streams * scene->streams;
}

static void restart(struct scene *scene, const char *what) {
    char text[64];
    int64_t began = scenario_now();
    start(scene);
    snprintf(text, sizeof text, "%s: control answers", what);
    row(scene, text, "ms", 1e3 * seconds_since(began));
    connect_all(scene);
    send_bundle(scene, 1);
    hear(scene, 1);
    snprintf(text, sizeof text, "%s: the first has forecast", what);
    row(scene, text, "ms", 1e3 * seconds_since(began));
    send_round(scene);
    hear(scene, scene->sent);
    snprintf(text, sizeof text, "%s: all have forecast", what);
    row(scene, text, "ms", 1e3 * seconds_since(began));
}

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The k-th forecast is taken for that of the k-th tick. */
static void restart_paced(struct scene *scene, const char *what) {
    enum { AT_ONCE = 10 };
    double each = 1e3 * AT_ONCE / bench_setting("RATE", 10000);
    long n = scene->streams / AT_ONCE, sent = 0, heard = 0;
    double *waited = calloc((size_t)n, sizeof *waited);
    char text[64];
    start(scene);
    connect_all(scene);
    double began = now_ms();
    while (heard < n) {
        for (; sent < n && now_ms() >= began + (double)sent * each; sent++)
            send_bundle(scene, AT_ONCE);
        zmq_poll(&(zmq_pollitem_t){.socket = scene->heard, .events = ZMQ_POLLIN}, 1, sent < n ? 1 : 60000);
        hear(scene, sent < n ? 0 : scene->forecasts + 1);
        for (; (heard + 1) * AT_ONCE <= scene->forecasts; heard++)
            waited[heard] = now_ms() - began - (double)heard * each;
    }
    qsort(waited, (size_t)n, sizeof *waited, by_size);
    snprintf(text, sizeof text, "%s, one after the other: p50", what);
    row(scene, text, "ms", waited[n / 2]);
    snprintf(text, sizeof text, "%s, one after the other: p99", what);
    row(scene, text, "ms", waited[n * 99 / 100]);
    free(waited);
}

/* Ticks of all of them stand in the journal behind their images. */
static double run_and_kill(struct scene *scene) {
    double rate = send_for(scene, bench_setting("JOURNAL_SECONDS", 1));
    daemon_await_durable(scene->daemon);
    disconnect(scene);
    daemon_signal(scene->daemon, SIGKILL);
    daemon_wait(scene->daemon);
    return rate;
}

static double stop(struct scene *scene) {
    disconnect(scene);
    int64_t began = scenario_now();
    daemon_stop(scene->daemon);
    return 1e3 * seconds_since(began);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct scene scene = {.streams = (long)bench_setting("STREAMS", 10000)};
    scenario_begin(3600);
    scene.daemon = daemon_run(
        &(struct daemon_setup){.workers = 2, .durable = true, .bus = "  send_hwm: 1000000\n", .rest = configuration});
    connect_all(&scene);
    fill(&scene);
    measure_round(&scene);
    pass_rounds(&scene, false);
    row(&scene, "as fast as it goes, journal on", "ticks_per_s", run_and_kill(&scene));
    restart(&scene, "after kill -9");
    row(&scene, "TERM", "ms", stop(&scene));
    restart(&scene, "after TERM");
    run_and_kill(&scene);
    restart_paced(&scene, "after kill -9");
    stop(&scene);
    restart_paced(&scene, "after TERM");
    disconnect(&scene);
    daemon_free(&scene.daemon);
    wire_bundle_fini(&scene.bundle);
    return 0;
}
