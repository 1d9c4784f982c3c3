/*
 * How fast one core reads ticks and writes forecasts. Prints a table, or JSON lines with JSON=1 in the environment.
 */
#include "daemon/wire.h"
#include "tests/support/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TICKS = 1000, N_FEATURES = 8 };

/* Calls run, which does some things and returns how many. */
static void report(const char *what, size_t (*run)(void *)) {
    bench_row("wire", "per_second", bench_rate(run, NULL), "\"what\": \"%s\"", what);
}

static struct wire_bundle bundle;
static struct wire_text message;
static double sum; /* so that nothing is left out by the compiler */

static void fill_bundle(void) {
    for (int i = 0; i < N_TICKS; i++) {
        char name[64];
        double values[N_FEATURES];
        int n = snprintf(name, sizeof(name), "plant/boiler-%d", i);
        for (int k = 0; k < N_FEATURES; k++)
            values[k] = 20 + 0.1 * i + k;
        if (wire_bundle_add(&bundle, (struct wire_text){name, (size_t)n}, 1700000000000000000 + i, values,
                            N_FEATURES))
            exit(1);
    }
}

static size_t read_ticks(void *context) {
    (void)context;
    static struct wire_tick tick;
    struct wire_ticks ticks;
    enum reason reason;
    size_t n = 0;
    if (wire_ticks_begin(&ticks, &message, 1) != REASON_NONE)
        exit(1);
    while (wire_ticks_next(&ticks, &tick, &reason) == 1) {
        sum += tick.values[n % N_FEATURES];
        n++;
    }
    wire_ticks_end(&ticks);
    if (n == 0)
        exit(1);
    return n;
}

static size_t write_ticks(void *context) {
    (void)context;
    wire_bundle_clear(&bundle);
    fill_bundle();
    return N_TICKS;
}

static const struct wire_text target = {"temperature", 11};
static const struct wire_score score = {.h = 1, .n = 12345, .recent = {.mae = 0.123F, .mae_last_value = 0.2F}};
static double value = 71.25, mean = 71.5;
static int64_t target_time = 1700000001000000000;
static struct wire_forecast forecast = {
    .stream = {"plant/boiler-7", 14},
    .model = {"boilers", 7},
    .version = 3,
    .epoch = 12,
    .generation = 1,
    .source_id = 1,
    .number = 123456789,
    .step = 4711,
    .primed = 1024,
    .t = 1700000000000000000,
    .horizon = 1,
    .n_targets = 1,
    .n_scores = 1,
    .times = &target_time,
    .targets = &target,
    .values = &value,
    .mean = &mean,
    .scores = &score,
    .received = 1700000000100000000,
    .sent = 1700000000100200000,
};
static char buffer[2048];

static size_t write_forecasts(void *context) {
    (void)context;
    for (int i = 0; i < N_TICKS; i++) {
        forecast.step++;
        sum += (double)wire_forecast_encode(&forecast, buffer, sizeof(buffer));
    }
    return N_TICKS;
}

static size_t read_forecasts(void *context) {
    (void)context;
    static struct wire_arena arena;
    struct wire_forecast read;
    for (int i = 0; i < N_TICKS; i++) {
        if (wire_forecast_decode(buffer, sizeof(buffer), &arena, &read) == 0)
            exit(1);
        sum += read.mean[0];
    }
    return N_TICKS;
}

/* A bundle of forecasts that share what neighbours do, written and read; where its maps begin. */
static char bundled[1 << 18];
static size_t begin[N_TICKS + 1];

static size_t write_bundle(void *context) {
    struct wire_forecast before;
    (void)context;
    for (int i = 0; i < N_TICKS; i++) {
        size_t left = sizeof bundled - begin[i];
        forecast.number++;
        begin[i + 1] = begin[i] + (i == 0 ? wire_forecast_encode(&forecast, bundled, left)
                                          : wire_forecast_encode_next(&forecast, &before, bundled + begin[i], left));
        before = forecast;
    }
    return N_TICKS;
}

static size_t read_bundle(void *context) {
    static struct wire_arena arena;
    struct wire_forecast read;
    (void)context;
    for (int i = 0; i < N_TICKS; i++) {
        size_t n = begin[N_TICKS] - begin[i];
        if ((i == 0 ? wire_forecast_decode(bundled, n, &arena, &read)
                    : wire_forecast_decode_next(bundled + begin[i], n, &arena, &read)) == 0)
            exit(1);
        sum += read.mean[0];
    }
    return N_TICKS;
}

int main(void) {
    fill_bundle();
    message = wire_bundle_message(&bundle);
    report("ticks read, bundle of 8 values", read_ticks);
    report("ticks written, bundle of 8 values, snprintf", write_ticks);
    report("forecasts written, horizon 1, one target", write_forecasts);
    report("forecasts read, horizon 1, one target", read_forecasts);
    report("forecasts written in a bundle, likewise", write_bundle);
    report("forecasts read from a bundle, likewise", read_bundle);
    message =
        (struct wire_text){"plant,unit=boiler-7 a=1.5,b=2.25,c=3,d=4i,e=5,f=6,g=7,h=8.125 1700000000000000000\n", 0};
    message.n = strlen(message.at);
    report("ticks read, one line of 8 fields", read_ticks);
    message = (struct wire_text){"[[\"plant/boiler-7\",1700000000000000000,[1.5,2.25,3,4,5,6,7,8.125]]]", 0};
    message.n = strlen(message.at);
    report("ticks read, JSON bundle of one, 8 values", read_ticks);
    wire_bundle_fini(&bundle);
    return sum == 0;
}
