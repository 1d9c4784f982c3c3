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
#include "tests/support/bench.h"
#include "tests/support/fleet.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

enum { HISTORY = 256 };

static const char configuration[] =
    "snapshot_every: 10s\n"
    "streams:\n  - {class: c, pattern: \"*\", features: [a, b, c, d, e, f, g, h], history: 256, max_streams: 1000000}\n"
    "models:\n  - {name: m, class: c, horizon: 1, layers: [{lstm: 32}], combine: network, levels: [], train: false}\n";

/* ---- what is measured --------------------------------------------------------------------------- */

static void row(const struct fleet *fleet, const char *what, const char *unit, double value) {
    bench_row("restart", unit, value,
              "\"what\": \"%s\", \"streams\": %ld, \"features\": %d, \"hidden\": 32, \"history\": %d", what,
              fleet->streams, FLEET_FEATURES, HISTORY);
}

static double seconds_since(int64_t began) {
    return 1e-3 * (double)(scenario_now() - began);
}

static double send_for(struct fleet *fleet, double seconds) {
    int64_t began = scenario_now(), first = fleet->forecasts;
    while (seconds_since(began) < seconds)
        fleet_send(fleet, FLEET_BUNDLE);
    return (double)(fleet->forecasts - first) / seconds_since(began);
}

static void fill(struct fleet *fleet) {
    fleet_send_round(fleet); /* all begin */
    fleet_hear(fleet, fleet->sent);
    int64_t began = scenario_now(), first = fleet->forecasts;
    for (int step = 1; step < HISTORY; step++)
        fleet_send_round(fleet);
    fleet_hear(fleet, fleet->sent);
    row(fleet, "history filled, journal on", "ticks_per_s", (double)(fleet->sent - first) / seconds_since(began));
}

/* Until two rounds are done, of which the second one has begun meanwhile; under load or without. */
static void pass_rounds(struct fleet *fleet, bool load) {
    int64_t rounds = daemon_count(fleet->daemon, "store.rounds");
    while (daemon_count(fleet->daemon, "store.rounds") < rounds + 2)
        if (load)
            send_for(fleet, 0.5);
        else
            scenario_sleep(10);
}

/* All streams have changed when it begins, and go on meanwhile. */
static void measure_round(struct fleet *fleet) {
    pass_rounds(fleet, true);
    row(fleet, "a round of images under full load", "ms",
        1e-6 * (double)daemon_count(fleet->daemon, "store.last_round_ns"));
    row(fleet, "longest slice of it", "us",
        1e-3 * (double)daemon_count(fleet->daemon, "spent.background.longest_ns"));
    row(fleet, "longest advance", "us", 1e-3 * (double)daemon_count(fleet->daemon, "spent.advances.longest_ns"));
    fleet_hear(fleet, fleet->sent);
}

/* The next tick is the first stream's. */
static void start(struct fleet *fleet) {
    int status;
    daemon_launch(fleet->daemon, NULL);
    if (!daemon_await_start(fleet->daemon, &status))
        exit(1);
    fleet->ticks = (fleet->ticks + fleet->streams - 1) / fleet->streams * fleet->streams;
}

static void restart(struct fleet *fleet, const char *what) {
    char text[64];
    int64_t began = scenario_now();
    start(fleet);
    snprintf(text, sizeof text, "%s: control answers", what);
    row(fleet, text, "ms", 1e3 * seconds_since(began));
    fleet_connect(fleet);
    fleet_send(fleet, 1);
    fleet_hear(fleet, 1);
    snprintf(text, sizeof text, "%s: the first has forecast", what);
    row(fleet, text, "ms", 1e3 * seconds_since(began));
    fleet_send_round(fleet);
    fleet_hear(fleet, fleet->sent);
    snprintf(text, sizeof text, "%s: all have forecast", what);
    row(fleet, text, "ms", 1e3 * seconds_since(began));
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
static void restart_paced(struct fleet *fleet, const char *what) {
    enum { AT_ONCE = 10 };
    double each = 1e3 * AT_ONCE / bench_setting("RATE", 10000);
    long n = fleet->streams / AT_ONCE, sent = 0, heard = 0;
    double *waited = calloc((size_t)n, sizeof *waited);
    char text[64];
    start(fleet);
    fleet_connect(fleet);
    double began = now_ms();
    while (heard < n) {
        for (; sent < n && now_ms() >= began + (double)sent * each; sent++)
            fleet_send(fleet, AT_ONCE);
        zmq_poll(&(zmq_pollitem_t){.socket = fleet->heard, .events = ZMQ_POLLIN}, 1, sent < n ? 1 : 60000);
        fleet_hear(fleet, sent < n ? 0 : fleet->forecasts + 1);
        for (; (heard + 1) * AT_ONCE <= fleet->forecasts; heard++)
            waited[heard] = now_ms() - began - (double)heard * each;
    }
    qsort(waited, (size_t)n, sizeof *waited, by_size);
    snprintf(text, sizeof text, "%s, one after the other: p50", what);
    row(fleet, text, "ms", waited[n / 2]);
    snprintf(text, sizeof text, "%s, one after the other: p99", what);
    row(fleet, text, "ms", waited[n * 99 / 100]);
    free(waited);
}

/* Ticks of all of them stand in the journal behind their images. */
static double run_and_kill(struct fleet *fleet) {
    double rate = send_for(fleet, bench_setting("JOURNAL_SECONDS", 1));
    daemon_await_durable(fleet->daemon);
    fleet_disconnect(fleet);
    daemon_signal(fleet->daemon, SIGKILL);
    daemon_wait(fleet->daemon);
    return rate;
}

static double stop(struct fleet *fleet) {
    fleet_disconnect(fleet);
    int64_t began = scenario_now();
    daemon_stop(fleet->daemon);
    return 1e3 * seconds_since(began);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct fleet fleet = {.streams = (long)bench_setting("STREAMS", 10000)};
    scenario_begin(3600);
    fleet.daemon = daemon_run(
        &(struct daemon_setup){.workers = 2, .durable = true, .bus = "  send_hwm: 1000000\n", .rest = configuration});
    fleet_connect(&fleet);
    fill(&fleet);
    measure_round(&fleet);
    pass_rounds(&fleet, false);
    row(&fleet, "as fast as it goes, journal on", "ticks_per_s", run_and_kill(&fleet));
    restart(&fleet, "after kill -9");
    row(&fleet, "TERM", "ms", stop(&fleet));
    restart(&fleet, "after TERM");
    run_and_kill(&fleet);
    restart_paced(&fleet, "after kill -9");
    stop(&fleet);
    restart_paced(&fleet, "after TERM");
    fleet_disconnect(&fleet);
    daemon_free(&fleet.daemon);
    fleet_fini(&fleet);
    return 0;
}
