#include "daemon/spent.h"

#include <math.h>

enum { A_PART = 4 }; /* of an octave */

int64_t spent_part_end(int part) {
    return part < SPENT_PARTS - 1 ? llround(1000 * exp2((double)part / A_PART)) : INT64_MAX;
}

static int part_of(int64_t ns) {
    int part = ns <= 1000 ? 0 : (int)(A_PART * log2((double)ns / 1000));
    if (part >= SPENT_PARTS)
        return SPENT_PARTS - 1;
    return part + (ns > spent_part_end(part));
}

/* No other thread writes: no locked instruction is needed. */
static void count(atomic_uint_fast64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

void spent_add(struct spent *spent, int64_t ns) {
    uint64_t n = ns > 0 ? (uint64_t)ns : 0;
    count(&spent->n, 1);
    count(&spent->ns, n);
    count(&spent->parts[part_of(ns)], 1);
    if (n > atomic_load_explicit(&spent->longest, memory_order_relaxed))
        atomic_store_explicit(&spent->longest, n, memory_order_relaxed);
}

void spent_sum(const struct spent *spent, struct spent_counts *sum) {
    uint64_t longest = atomic_load_explicit(&spent->longest, memory_order_relaxed);
    sum->n += atomic_load_explicit(&spent->n, memory_order_relaxed);
    sum->ns += atomic_load_explicit(&spent->ns, memory_order_relaxed);
    sum->longest = longest > sum->longest ? longest : sum->longest;
    for (int p = 0; p < SPENT_PARTS; p++)
        sum->parts[p] += atomic_load_explicit(&spent->parts[p], memory_order_relaxed);
}

json_t *spent_describe(const struct spent_counts *counts) {
    json_t *parts = json_array();
    uint64_t told = 0;
    for (int p = 0; told < counts->n && p < SPENT_PARTS; told += counts->parts[p++])
        json_array_append_new(parts, json_integer((json_int_t)counts->parts[p]));
    return json_pack("{s:I, s:I, s:I, s:o}", "n", (json_int_t)counts->n, "ns", (json_int_t)counts->ns, "longest_ns",
                     (json_int_t)counts->longest, "parts", parts);
}
