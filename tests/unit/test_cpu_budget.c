#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/cpu_budget.h"

#include "engine/random.h"

#include <stdbool.h>

enum { MS = 1000000 };
static const int64_t minute = INT64_C(60000) * MS;

/* The share of a minute that a thread takes whose pieces of work take up to so many ms, when it gets `given` of a
 * processor while it runs, and wakes up late by up to 1 ms. */
static double taken(double share, int work_ms, double given, uint64_t seed) {
    struct rng rng = {seed};
    struct cpu_budget budget;
    int64_t wall = 12345, cpu = 777, began = cpu;
    cpu_budget_begin(&budget, share, wall, cpu);
    int64_t until = wall + minute;
    while (wall < until) {
        int64_t work = 1 + (int64_t)(rng_uniform(&rng) * work_ms * MS);
        cpu += work;
        wall += (int64_t)((double)work / given);
        int64_t pause = cpu_budget_pause(&budget, wall, cpu);
        if (pause > 0)
            wall += pause + (int64_t)(rng_uniform(&rng) * MS);
    }
    return (double)(cpu - began) / (double)minute;
}

static void a_share_is_kept(void **state) {
    (void)state;
    static const double shares[] = {0.01, 0.05, 0.25, 0.5, 0.9};
    for (int s = 0; s < 5; s++)
        for (int work = 1; work <= 100; work *= 10)
            for (uint64_t seed = 1; seed <= 5; seed++) {
                double share = taken(shares[s], work, 1, seed);
                if (share < shares[s] - 0.02 || share > shares[s] + 0.02)
                    fail_msg("%.4f instead of %.4f, by %d ms", share, shares[s], work);
            }
}

static void all_of_it_is_no_pause(void **state) {
    (void)state;
    assert_true(taken(1, 10, 1, 1) > 0.9999);
}

/* Who gets less than the share takes what there is, and does not pile up a right to more. */
static void who_is_starved_does_not_catch_up(void **state) {
    (void)state;
    double share = taken(0.5, 5, 0.3, 1);
    assert_true(share > 0.29 && share < 0.31);
    struct cpu_budget budget;
    cpu_budget_begin(&budget, 0.25, 0, 0);
    assert_int_equal(cpu_budget_pause(&budget, minute, 0), 0); /* a minute without a turn */
    int64_t used = 0, wall = minute;
    while (cpu_budget_pause(&budget, wall, used) == 0) {
        used += MS;
        wall += MS;
    }
    assert_true(used < 300 * MS);
}

static void small_debts_wait(void **state) {
    (void)state;
    struct cpu_budget budget;
    cpu_budget_begin(&budget, 0.5, 0, 0);
    assert_int_equal(cpu_budget_pause(&budget, MS, MS), 0);
    int64_t pause = cpu_budget_pause(&budget, 4 * MS, 4 * MS);
    assert_in_range(pause, 4 * MS - 1, 4 * MS + 1);
    assert_in_range(cpu_budget_pause(&budget, 6 * MS, 4 * MS), 2 * MS - 1, 2 * MS + 1); /* woken in the middle */
}

/* Jobs of 10 ms that ask for a pause in their middle only: what they owe at their end is kept for the next. */
static void a_debt_outlives_a_job(void **state) {
    (void)state;
    struct cpu_budget budget;
    int64_t wall = 0, cpu = 0;
    cpu_budget_begin(&budget, 0.25, 0, 0);
    while (wall < minute) {
        cpu_budget_resume(&budget, wall, cpu);
        wall += 5 * MS;
        cpu += 5 * MS;
        wall += cpu_budget_pause(&budget, wall, cpu) + 5 * MS;
        cpu += 5 * MS;
    }
    assert_in_range(cpu, minute / 4 - 10 * MS, minute / 4 + 10 * MS);
}

static void idle_time_is_no_credit(void **state) {
    (void)state;
    struct cpu_budget budget;
    cpu_budget_begin(&budget, 0.25, 0, 0);
    cpu_budget_resume(&budget, minute, 0);
    assert_in_range(cpu_budget_pause(&budget, minute + 8 * MS, 8 * MS), 24 * MS - 1, 24 * MS + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_is_kept),
        cmocka_unit_test(all_of_it_is_no_pause),
        cmocka_unit_test(who_is_starved_does_not_catch_up),
        cmocka_unit_test(small_debts_wait),
        cmocka_unit_test(a_debt_outlives_a_job),
        cmocka_unit_test(idle_time_is_no_credit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
