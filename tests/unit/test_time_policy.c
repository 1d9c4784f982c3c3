#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/time_policy.h"

enum { UNTOUCHED = -12345 };

struct expected {
    int64_t t;
    enum time_verdict verdict;
    int64_t step_t; /* UNTOUCHED where no step closes */
    bool gap;
};

static void check(int64_t every, int64_t gap_after, const struct expected *expected, int n) {
    const struct time_policy_spec spec = {.every = every, .gap_after = gap_after};
    struct time_policy policy = {0};
    for (int i = 0; i < n; i++) {
        int64_t step_t = UNTOUCHED;
        bool gap = false;
        enum time_verdict verdict = time_policy_take(&policy, &spec, expected[i].t, &step_t, &gap);
        if (verdict != expected[i].verdict || step_t != expected[i].step_t || gap != expected[i].gap)
            fail_msg("tick %d: verdict %d, step at %lld, gap %d", i, verdict, (long long)step_t, gap);
    }
}

#define CHECK(every, expected) check(every, 0, expected, (int)(sizeof(expected) / sizeof *(expected)))

static void irregular(void **state) {
    (void)state;
    const struct expected expected[] = {
        {-5, TIME_STEP, -5, false},   {-5, TIME_REPEATED, UNTOUCHED, false}, {-6, TIME_LATE, UNTOUCHED, false},
        {100, TIME_STEP, 100, false}, {99, TIME_LATE, UNTOUCHED, false},     {101, TIME_STEP, 101, false},
    };
    CHECK(0, expected);
}

static void intervals(void **state) {
    (void)state;
    const struct expected expected[] = {
        {12, TIME_JOINS, UNTOUCHED, false}, /* [10, 20) opens */
        {19, TIME_JOINS, UNTOUCHED, false}, {19, TIME_REPEATED, UNTOUCHED, false}, {20, TIME_CLOSES, 10, false},
        {15, TIME_LATE, UNTOUCHED, false},  {29, TIME_JOINS, UNTOUCHED, false},    {35, TIME_CLOSES, 20, false},
        {60, TIME_CLOSES, 30, false}, /* [40, 60) was empty */
        {61, TIME_JOINS, UNTOUCHED, false}, {70, TIME_CLOSES, 60, true},           {80, TIME_CLOSES, 70, false},
    };
    CHECK(10, expected);
}

/* A refused tick leaves the policy as it was. */
static void refused_ticks_change_nothing(void **state) {
    (void)state;
    const struct expected expected[] = {
        {100, TIME_JOINS, UNTOUCHED, false}, {5, TIME_LATE, UNTOUCHED, false},
        {50, TIME_LATE, UNTOUCHED, false}, /* later than the refused one, still before the taken one */
        {105, TIME_JOINS, UNTOUCHED, false}, {110, TIME_CLOSES, 100, false},
    };
    CHECK(10, expected);
}

static void longer_gaps(void **state) {
    (void)state;
    const struct expected irregular[] = {
        {-50, TIME_STEP, -50, false},     {-20, TIME_STEP, -20, false}, {11, TIME_STEP, 11, true},
        {5, TIME_LATE, UNTOUCHED, false}, {41, TIME_STEP, 41, false},   {INT64_MAX, TIME_STEP, INT64_MAX, true},
    };
    check(0, 30, irregular, 6);
    const struct expected intervals[] = {
        {12, TIME_JOINS, UNTOUCHED, false},
        {45, TIME_CLOSES, 10, false}, /* 30 later, counted by their starts */
        {87, TIME_CLOSES, 40, false},
        {95, TIME_CLOSES, 80, true},
    };
    check(10, 30, intervals, 4);
    /* Less than an interval is no gap, whatever it says. */
    const struct expected next[] = {{12, TIME_JOINS, UNTOUCHED, false},
                                    {25, TIME_CLOSES, 10, false},
                                    {35, TIME_CLOSES, 20, false},
                                    {55, TIME_CLOSES, 30, false},
                                    {65, TIME_CLOSES, 50, true}};
    check(10, 1, next, 5);
}

static void before_1970(void **state) {
    (void)state;
    const struct expected expected[] = {
        {-20, TIME_JOINS, UNTOUCHED, false}, {-11, TIME_JOINS, UNTOUCHED, false}, {-10, TIME_CLOSES, -20, false},
        {-1, TIME_JOINS, UNTOUCHED, false},  {0, TIME_CLOSES, -10, false},        {9, TIME_JOINS, UNTOUCHED, false},
        {10, TIME_CLOSES, 0, false},
    };
    CHECK(10, expected);
}

static void the_ends_of_time(void **state) {
    (void)state;
    const struct expected expected[] = {
        {INT64_MIN, TIME_JOINS, UNTOUCHED, false}, {INT64_MIN, TIME_REPEATED, UNTOUCHED, false},
        {0, TIME_CLOSES, INT64_MIN, false},        {INT64_MAX, TIME_CLOSES, 0, true},
        {INT64_MIN, TIME_LATE, UNTOUCHED, false},
    };
    CHECK(10, expected);
    CHECK(INT64_C(31536000000000000), expected); /* 365 days */
    const struct expected steps[] = {
        {INT64_MIN, TIME_STEP, INT64_MIN, false},
        {INT64_MAX, TIME_STEP, INT64_MAX, false},
        {INT64_MAX, TIME_REPEATED, UNTOUCHED, false},
    };
    CHECK(0, steps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(irregular),   cmocka_unit_test(intervals),   cmocka_unit_test(refused_ticks_change_nothing),
        cmocka_unit_test(longer_gaps), cmocka_unit_test(before_1970), cmocka_unit_test(the_ends_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
