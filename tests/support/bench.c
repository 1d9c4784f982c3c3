#include "tests/support/bench.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS = 7, CALLS_MAX = 1 << 18 };
static const double seconds_of_run = 0.15;

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_quartiles(const double *values, int n, double ret_quartiles[3]) {
    double sorted[BENCH_VALUES_MAX];
    assert(n > 0 && n <= BENCH_VALUES_MAX);
    memcpy(sorted, values, (size_t)n * sizeof *values);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    ret_quartiles[0] = sorted[n / 4];
    ret_quartiles[1] = sorted[n / 2];
    ret_quartiles[2] = sorted[n - 1 - n / 4];
}

double bench_median(const double *values, int n) {
    double quartiles[3];
    bench_quartiles(values, n, quartiles);
    return quartiles[1];
}

double bench_ratio(const double *a, const double *b, int n) {
    double ratios[BENCH_VALUES_MAX];
    assert(n <= BENCH_VALUES_MAX);
    for (int i = 0; i < n; i++)
        ratios[i] = a[i] / b[i];
    return bench_median(ratios, n);
}

double bench_setting(const char *name, double otherwise) {
    return getenv(name) != NULL ? atof(getenv(name)) : otherwise;
}

bool bench_as_json(void) {
    return getenv("JSON") != NULL && strcmp(getenv("JSON"), "1") == 0;
}

double bench_run(size_t (*work)(void *context), void *context, double seconds) {
    double began = now(CLOCK_PROCESS_CPUTIME_ID), took;
    size_t n = 0, calls = 1; /* between two looks at the clock, which takes as long as a small call */
    do {
        for (size_t i = 0; i < calls; i++)
            n += work(context);
        took = now(CLOCK_PROCESS_CPUTIME_ID) - began;
        if (took < seconds / 64)
            calls *= 2;
    } while (took < seconds);
    return (double)n / took;
}

double bench_rate(size_t (*work)(void *context), void *context) {
    double rates[RUNS];
    for (int run = 0; run < RUNS; run++)
        rates[run] = bench_run(work, context, seconds_of_run);
    return bench_median(rates, RUNS);
}

struct bench_latency bench_latency(size_t (*work)(void *context), void *context, double seconds) {
    static double took[CALLS_MAX];
    double began = now(CLOCK_MONOTONIC), before = began, after;
    int n = 0;
    do {
        work(context);
        after = now(CLOCK_MONOTONIC);
        took[n++] = after - before;
        before = after;
    } while (n < CALLS_MAX && after - began < seconds);
    qsort(took, (size_t)n, sizeof *took, ascending);
    return (struct bench_latency){took[n / 2] * 1e6, took[n / 100 * 99 + n % 100 * 99 / 100] * 1e6};
}

void bench_row(const char *bench, const char *unit, double rate, const char *members, ...) {
    char text[512];
    va_list args;
    va_start(args, members);
    vsnprintf(text, sizeof text, members, args);
    va_end(args);
    if (bench_as_json()) {
        printf("{\"bench\": \"%s\", %s, \"%s\": %.0f}\n", bench, text, unit, rate);
        return;
    }
    for (char *at = text; *at != '\0'; at++)
        if (*at == '"' || *at == ':')
            *at = ' ';
    printf("%-14s %-72s %12.0f %s\n", bench, text, rate, unit);
}
