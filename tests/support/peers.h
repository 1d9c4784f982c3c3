/*
 * Rates beside those of peers: other runtimes, asked by turns on one core in one run.
 *
 * A peer is a program $BUILD/peers/NAME (`make peers` puts it there), which a bench starts as a child. It reads
 * lines, answers each with one, and otherwise stands still:
 *
 *     {"bench": "lstm_step", "hidden": 64, ...}   a case, by the members of its row: "ok", or "no" and why
 *     run SECONDS                                 does the case for so long: things done a second (bench_run)
 *     latency SECONDS                             call by call: p50 and p99 in microseconds (bench_latency)
 *
 * Everyone has one thread, on the same core: the last that this process may use, or CORE in the environment. PEERS
 * in the environment has the names of those that are asked; left out, all that are there are. Rounds are many and
 * short (ROUNDS, 15, of ROUND_SECONDS, 0.03, in the environment), and everyone has a turn in each. ROWS has the names
 * of the benches whose rows are wanted; left out, all are.
 */
#ifndef TESTS_SUPPORT_PEERS_H
#define TESTS_SUPPORT_PEERS_H

#include <stdbool.h>
#include <stddef.h>

/* Binds this process and starts those of the peers (names, with spaces between) that are there. One that is not is
 * null in every row; where none is, rows do not speak of peers. */
void peers_start(const char *names);
void peers_stop(void);

/* The answer of one of them to a line that is its own, until the next is asked; NULL: it is not there. */
const char *peers_ask(const char *name, const char *line);

struct peers_bench {
    const char *bench;
    size_t (*work)(void *context); /* one call; returns how many things it did */
    void *context;
    const char *other_name; /* of ours in another way, work(other), to compare with; NULL: none */
    void *other;
    const char *unit; /* of a rate; NULL: latencies are measured */
    double flops;     /* of one thing, where a rate's row is to say which share of the peak it makes; else 0 */
    bool alone;       /* no peer is asked */
};

/* A row as bench_row's, with the medians of the rounds. A ratio (how many times as fast as a peer; "ratio": as the
 * best of them) is the median of the rounds' ratios, of rates or of p50's. */
void peers_row(const struct peers_bench *bench, const char *members, ...) __attribute__((format(printf, 2, 3)));

/* A peer in C: reads and answers until its input ends. make_case gives what a case's line asks for, to be kept until
 * the next; or returns why it cannot be had. */
struct bench_work {
    size_t (*work)(void *context);
    void *context;
};
void peers_serve(const char *(*make_case)(const char *line, struct bench_work *ret_work));

#endif
