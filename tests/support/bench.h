/* Rates of things that are called again and again: medians, as a table, or JSON lines with JSON=1 in the
 * environment. */
#ifndef TESTS_SUPPORT_BENCH_H
#define TESTS_SUPPORT_BENCH_H

#include <stddef.h>

/* Calls work, which does some things and returns how many, for about a second in several runs. Returns the median
 * rate a second. */
double bench_rate(size_t (*work)(void *context), void *context);

/* One row: the name of the bench, what was measured (JSON members without braces, as "\"hidden\": 32"), and the
 * rate. */
void bench_row(const char *bench, const char *unit, double rate, const char *members, ...)
    __attribute__((format(printf, 4, 5)));

#endif
