/* Rates of things that are called again and again: medians, as a table, or JSON lines with JSON=1 in the
 * environment. peers.h has those beside other runtimes. */
#ifndef TESTS_SUPPORT_BENCH_H
#define TESTS_SUPPORT_BENCH_H

#include <stdbool.h>
#include <stddef.h>

enum { BENCH_VALUES_MAX = 200 }; /* of which medians are taken */

/* Calls work, which does some things and returns how many, for about a second in several runs. Returns the median
 * rate a second. */
double bench_rate(size_t (*work)(void *context), void *context);

/* One run of that, of so many seconds of this process' time on the processor: neighbours on the machine count for
 * little. */
double bench_run(size_t (*work)(void *context), void *context, double seconds);

/* Calls it for so long and times each call by the clock; microseconds. */
struct bench_latency {
    double p50, p99;
};
struct bench_latency bench_latency(size_t (*work)(void *context), void *context, double seconds);

double bench_median(const double *values, int n);
/* The lower quartile, the median, the upper quartile. */
void bench_quartiles(const double *values, int n, double ret_quartiles[3]);
/* The median of a[i] / b[i]. */
double bench_ratio(const double *a, const double *b, int n);

/* The number of that name in the environment. */
double bench_setting(const char *name, double otherwise);
/* Whether rows are to be JSON lines. */
bool bench_as_json(void);

/* One row: the name of the bench, what was measured (JSON members without braces, as "\"hidden\": 32"), and the
 * rate. */
void bench_row(const char *bench, const char *unit, double rate, const char *members, ...)
    __attribute__((format(printf, 4, 5)));

#endif
