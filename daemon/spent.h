/*
 * How much processor time pieces of a thread's work have taken: how many, how long, and spread over the octaves, four
 * parts to each. One writer, any readers; nothing locks. Everything only grows, so that two readings give what lies
 * between them.
 */
#ifndef DAEMON_SPENT_H
#define DAEMON_SPENT_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

/* From 1 us to about 1 s; what is longer is in the last one. */
enum { SPENT_PARTS = 82 };

struct spent {
    atomic_uint_fast64_t n, ns, longest; /* ns: of all together */
    atomic_uint_fast64_t parts[SPENT_PARTS];
};

/* A snapshot, or the sum of several. */
struct spent_counts {
    uint64_t n, ns, longest;
    uint64_t parts[SPENT_PARTS];
};

/* The longest time that a part holds, ns: 1000 * 2^(part / 4); of the last part INT64_MAX. */
int64_t spent_part_end(int part);

/* The writer's. */
void spent_add(struct spent *spent, int64_t ns);

/* Adds what has been counted to sum. */
void spent_sum(const struct spent *spent, struct spent_counts *sum);

/* As control tells it: {n, ns, longest_ns, parts: [n, ...]}, up to the last part that is not empty. */
json_t *spent_describe(const struct spent_counts *counts);

#endif
