#include "tests/support/bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RUNS = 7 };
static const double seconds = 0.15; /* of one run */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_rate(size_t (*work)(void *context), void *context) {
    double rates[RUNS];
    for (int run = 0; run < RUNS; run++) {
        double began = now(), took;
        size_t n = 0;
        do {
            n += work(context);
            took = now() - began;
        } while (took < seconds);
        rates[run] = (double)n / took;
    }
    qsort(rates, RUNS, sizeof *rates, ascending);
    return rates[RUNS / 2];
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
