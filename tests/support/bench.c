#include "tests/support/bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

double bench_median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, ascending);
    return values[n / 2];
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
    const char *json = getenv("JSON");
    if (json != NULL && json[0] == '1') {
        printf("{\"bench\": \"%s\", %s, \"%s\": %.0f}\n", bench, text, unit, rate);
        return;
    }
    for (char *at = text; *at != '\0'; at++)
        if (*at == '"' || *at == ':')
            *at = ' ';
    printf("%-14s %-72s %12.0f %s\n", bench, text, rate, unit);
}
