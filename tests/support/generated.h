/* Series that are hard to forecast each in its own way, made from a seed: what a mixture must not be thrown off
 * by. */
#ifndef TESTS_SUPPORT_GENERATED_H
#define TESTS_SUPPORT_GENERATED_H

#include <stddef.h>
#include <stdint.h>

enum { GENERATED_FEATURES = 2 };

struct generated {
    const char *name, *what;
    int period; /* of its season; 0: none */
    /* Fills values [n x GENERATED_FEATURES]; NaN: missing. */
    void (*fill)(uint64_t seed, size_t n, double *values);
    int gap_every; /* steps from one stretch without rows to the next; 0: there are none */
};

extern const struct generated generated_series[];
extern const int generated_count;

/* By its name; aborts where there is none. */
const struct generated *generated_of(const char *name);

/* The time of a row, ns: an hour from one to the next, and two days over a stretch without rows. */
int64_t generated_time(const struct generated *series, size_t row);

/* Writes so many rows as a CSV file with the columns time, a, b. Returns 0, or -1 with errno. */
int generated_write(const struct generated *series, uint64_t seed, size_t n, const char *path);

#endif
