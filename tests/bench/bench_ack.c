/*
 * Acknowledged ticks: how many a second in bundles, and how long one waits beside a bare write and fdatasync on the same disk.
 * Medians of RUNS (environment, 7) runs of ACK_SECONDS (1) for each part, by turns; while latencies are taken ACK_PULL (20,000)
 * ticks a second come through PULL, and are written too. An LSTM(32) alone on 8 features, 1,000 streams. TMPDIR says which disk.
 */
#include "clients/libforecast/forecast.h"
#include "daemon/wire.h"
#include "tests/support/bench.h"
#include "tests/support/daemon.h"

#include <assert.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { STREAMS = 1000, FEATURES = 8, BUNDLE = 256, PULL_BUNDLE = 100, WAIT = 60000, BLOCK = 4096 };

static const char model[] =
    "streams:\n  - {class: c, pattern: \"*\", features: [a, b, c, d, e, f, g, h], history: 128, max_streams: 10000}\n"
    "models:\n  - {name: m, class: c, horizon: 1, layers: [{lstm: 32}], combine: network, levels: [], train: false}\n";

static void check(int code) {
    if (code == FORECAST_OK)
        return;
    fprintf(stderr, "bench_ack: %s\n", forecast_error_text());
    exit(1);
}

/* ---- ticks -------------------------------------------------------------------------------------- */

static int64_t next_t;

static void make_tick(char name[32], const char *prefix, int64_t t, double values[FEATURES]) {
    snprintf(name, 32, "%s%03d", prefix, (int)(t % STREAMS));
    for (int f = 0; f < FEATURES; f++)
        values[f] = (double)((t / STREAMS + f) % 17);
}

static void add(struct forecast_sender *sender) {
    char name[32];
    double values[FEATURES];
    int64_t t = next_t++;
    make_tick(name, "ack/", t, values);
    check(forecast_sender_add(sender, name, t, values, FEATURES, WAIT));
}

static struct forecast_sender *open_sender(const struct daemon *daemon, const char *producer) {
    struct forecast_sender *sender;
    uint64_t durable;
    const struct forecast_sender_options options = {
        .endpoint = daemon->acknowledged, .producer = producer, .bundle = BUNDLE};
    check(forecast_sender_open(&options, &sender));
    check(forecast_sender_wait(sender, WAIT, &durable));
    return sender;
}

/* Those that go through PULL meanwhile. */
struct background {
    pthread_t thread;
    void *push;
    double rate;
    atomic_bool stop;
};

static void *flow(void *context) {
    struct background *background = context;
    struct wire_bundle bundle = {0};
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (int64_t t = 0; !atomic_load(&background->stop);) {
        for (int i = 0; i < PULL_BUNDLE; i++, t++) {
            char name[32];
            double values[FEATURES];
            make_tick(name, "pull/", t, values);
            wire_bundle_add(&bundle, (struct wire_text){name, strlen(name)}, t, values, FEATURES);
        }
        struct wire_text message = wire_bundle_message(&bundle);
        zmq_send(background->push, message.at, message.n, 0);
        wire_bundle_clear(&bundle);
        due.tv_nsec += (long)(1e9 * PULL_BUNDLE / background->rate);
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
    wire_bundle_fini(&bundle);
    return NULL;
}

/* ---- what is measured --------------------------------------------------------------------------- */

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Acknowledged ticks a second, as fast as they go. */
static double measure_rate(struct forecast_sender *sender, double seconds) {
    double began = seconds_now();
    int64_t first = next_t;
    while (seconds_now() - began < seconds)
        for (int i = 0; i < BUNDLE; i++)
            add(sender);
    check(forecast_sender_flush(sender, WAIT));
    return (double)(next_t - first) / (seconds_now() - began);
}

static size_t one_tick(void *context) {
    struct forecast_sender *sender = context;
    add(sender);
    check(forecast_sender_flush(sender, WAIT));
    return 1;
}

/* A block behind the others in a file of the same disk. */
static size_t one_sync(void *context) {
    static const char block[BLOCK];
    const int fd = *(const int *)context;
    if (write(fd, block, sizeof block) != (ssize_t)sizeof block || fdatasync(fd) != 0)
        abort();
    return 1;
}

int main(void) {
    int runs = (int)bench_setting("RUNS", 7);
    double seconds = bench_setting("ACK_SECONDS", 1), pull = bench_setting("ACK_PULL", 20000);
    double rates[BENCH_VALUES_MAX], p50[BENCH_VALUES_MAX], p99[BENCH_VALUES_MAX], sync50[BENCH_VALUES_MAX],
        sync99[BENCH_VALUES_MAX];
    assert(runs > 0 && runs <= BENCH_VALUES_MAX);
    scenario_begin(3600);
    struct daemon *daemon =
        daemon_run(&(struct daemon_setup){.workers = 1, .tcp = true, .durable = true, .rest = model});
    char path[160];
    snprintf(path, sizeof path, "%s/synced", daemon->directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0)
        abort();
    struct forecast_sender *sender = open_sender(daemon, "bench");
    for (int run = 0; run < runs; run++) {
        struct background background = {.push = daemon_connect_bounded(daemon, ZMQ_PUSH, daemon->ticks, 10),
                                        .rate = pull};
        rates[run] = measure_rate(sender, seconds);
        if (pthread_create(&background.thread, NULL, flow, &background) != 0)
            abort();
        const struct bench_latency acknowledged = bench_latency(one_tick, sender, seconds);
        const struct bench_latency synced = bench_latency(one_sync, &fd, seconds);
        atomic_store(&background.stop, true);
        pthread_join(background.thread, NULL);
        daemon_close(daemon, background.push);
        p50[run] = acknowledged.p50;
        p99[run] = acknowledged.p99;
        sync50[run] = synced.p50;
        sync99[run] = synced.p99;
    }
    forecast_sender_close(&sender, 0);
    close(fd);
    unlink(path);
    daemon_free(&daemon);
    bench_row("ack", "acknowledged_per_s", bench_median(rates, runs),
              "\"what\": \"bundles\", \"bundle\": %d, \"streams\": %d, \"features\": %d, \"hidden\": 32", BUNDLE,
              STREAMS, FEATURES);
    printf(
        bench_as_json()
            ? "{\"bench\": \"ack\", \"what\": \"one by one\", \"pull_per_s\": %.0f, \"latency\": {\"p50_us\": %.1f, "
              "\"p99_us\": %.1f}, \"peers\": {\"fdatasync\": {\"p50_us\": %.1f, \"p99_us\": %.1f}}, \"p50_ratio\": "
              "%.2f, \"p99_ratio\": %.2f}\n"
            : "ack            one by one, beside %.0f a second through PULL: %.1f us p50, %.1f us p99; write and "
              "fdatasync %.1f and %.1f: %.2f and %.2f times\n",
        pull, bench_median(p50, runs), bench_median(p99, runs), bench_median(sync50, runs),
        bench_median(sync99, runs), bench_ratio(p50, sync50, runs), bench_ratio(p99, sync99, runs));
    return 0;
}
