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
    int missing;
};

static void check_spec(const struct time_policy_spec *spec, const struct expected *expected, int n) {
    struct time_policy policy = {0};
    for (int i = 0; i < n; i++) {
        struct time_closed closed;
        enum time_verdict verdict = time_policy_take(&policy, spec, expected[i].t, &closed);
        int64_t step_t = verdict == TIME_CLOSES || verdict == TIME_STEP ? closed.t : UNTOUCHED;
        if (verdict != expected[i].verdict || step_t != expected[i].step_t || closed.gap != expected[i].gap ||
            closed.missing != expected[i].missing)
            fail_msg("tick %d: verdict %d, step at %lld, gap %d, %d missing", i, verdict, (long long)step_t,
                     closed.gap, closed.missing);
    }
}

static void check(int64_t every, int64_t gap_after, const struct expected *expected, int n) {
    const struct time_policy_spec spec = {.every = every, .gap_after = gap_after};
    check_spec(&spec, expected, n);
}

#define CHECK(every, expected) check(every, 0, expected, (int)(sizeof(expected) / sizeof *(expected)))

static void irregular(void **state) {
    (void)state;
    const struct expected expected[] = {
        {-5, TIME_STEP, -5, false, 0},        {-5, TIME_REPEATED, UNTOUCHED, false, 0},
        {-6, TIME_LATE, UNTOUCHED, false, 0}, {100, TIME_STEP, 100, false, 0},
        {99, TIME_LATE, UNTOUCHED, false, 0}, {101, TIME_STEP, 101, false, 0},
    };
    CHECK(0, expected);
}

static void intervals(void **state) {
    (void)state;
    const struct expected expected[] = {
        {12, TIME_JOINS, UNTOUCHED, false, 0}, /* [10, 20) opens */
        {19, TIME_JOINS, UNTOUCHED, false, 0}, {19, TIME_REPEATED, UNTOUCHED, false, 0},
        {20, TIME_CLOSES, 10, false, 0},       {15, TIME_LATE, UNTOUCHED, false, 0},
        {29, TIME_JOINS, UNTOUCHED, false, 0}, {35, TIME_CLOSES, 20, false, 0},
        {60, TIME_CLOSES, 30, false, 0}, /* [40, 60) was empty */
        {61, TIME_JOINS, UNTOUCHED, false, 0}, {70, TIME_CLOSES, 60, true, 0},
        {80, TIME_CLOSES, 70, false, 0},
    };
    CHECK(10, expected);
}

/* A refused tick leaves the policy as it was. */
static void refused_ticks_change_nothing(void **state) {
    (void)state;
    const struct expected expected[] = {
        {100, TIME_JOINS, UNTOUCHED, false, 0}, {5, TIME_LATE, UNTOUCHED, false, 0},
        {50, TIME_LATE, UNTOUCHED, false, 0}, /* later than the refused one, still before the taken one */
        {105, TIME_JOINS, UNTOUCHED, false, 0}, {110, TIME_CLOSES, 100, false, 0},
    };
    CHECK(10, expected);
}

static void longer_gaps(void **state) {
    (void)state;
    const struct expected irregular[] = {
        {-50, TIME_STEP, -50, false, 0}, {-20, TIME_STEP, -20, false, 0},
        {11, TIME_STEP, 11, true, 0},    {5, TIME_LATE, UNTOUCHED, false, 0},
        {41, TIME_STEP, 41, false, 0},   {INT64_MAX, TIME_STEP, INT64_MAX, true, 0},
    };
    check(0, 30, irregular, 6);
    const struct expected intervals[] = {
        {12, TIME_JOINS, UNTOUCHED, false, 0},
        {45, TIME_CLOSES, 10, false, 0}, /* 30 later, counted by their starts */
        {87, TIME_CLOSES, 40, false, 0},
        {95, TIME_CLOSES, 80, true, 0},
    };
    check(10, 30, intervals, 4);
    /* Less than an interval is no gap, whatever it says. */
    const struct expected next[] = {{12, TIME_JOINS, UNTOUCHED, false, 0},
                                    {25, TIME_CLOSES, 10, false, 0},
                                    {35, TIME_CLOSES, 20, false, 0},
                                    {55, TIME_CLOSES, 30, false, 0},
                                    {65, TIME_CLOSES, 50, true, 0}};
    check(10, 1, next, 5);
}

static void before_1970(void **state) {
    (void)state;
    const struct expected expected[] = {
        {-20, TIME_JOINS, UNTOUCHED, false, 0}, {-11, TIME_JOINS, UNTOUCHED, false, 0},
        {-10, TIME_CLOSES, -20, false, 0},      {-1, TIME_JOINS, UNTOUCHED, false, 0},
        {0, TIME_CLOSES, -10, false, 0},        {9, TIME_JOINS, UNTOUCHED, false, 0},
        {10, TIME_CLOSES, 0, false, 0},
    };
    CHECK(10, expected);
}

static void the_ends_of_time(void **state) {
    (void)state;
    const struct expected expected[] = {
        {INT64_MIN, TIME_JOINS, UNTOUCHED, false, 0}, {INT64_MIN, TIME_REPEATED, UNTOUCHED, false, 0},
        {0, TIME_CLOSES, INT64_MIN, false, 0},        {INT64_MAX, TIME_CLOSES, 0, true, 0},
        {INT64_MIN, TIME_LATE, UNTOUCHED, false, 0},
    };
    CHECK(10, expected);
    CHECK(INT64_C(31536000000000000), expected); /* 365 days */
    const struct expected steps[] = {
        {INT64_MIN, TIME_STEP, INT64_MIN, false, 0},
        {INT64_MAX, TIME_STEP, INT64_MAX, false, 0},
        {INT64_MAX, TIME_REPEATED, UNTOUCHED, false, 0},
    };
    CHECK(0, steps);
}

/* Up to two empty intervals are steps and no gap; more are one, and no steps. */
static void filled_gaps(void **state) {
    (void)state;
    const struct time_policy_spec spec = {.every = 10, .gap = GAP_FILL, .fill_most = 2};
    const struct expected expected[] = {
        {12, TIME_JOINS, UNTOUCHED, false, 0}, {25, TIME_CLOSES, 10, false, 0},
        {49, TIME_CLOSES, 20, false, 1},       {70, TIME_CLOSES, 40, false, 2},
        {110, TIME_CLOSES, 70, false, 0},      {120, TIME_CLOSES, 110, true, 0},
        {130, TIME_CLOSES, 120, false, 0},     {INT64_MAX, TIME_CLOSES, 130, false, 0},
    };
    check_spec(&spec, expected, 8);
    /* Where time itself begins an interval is shorter; INT64_MIN ends with an 8. */
    const struct expected begins[] = {{INT64_MIN, TIME_JOINS, UNTOUCHED, false, 0},
                                      {INT64_MIN + 28, TIME_CLOSES, INT64_MIN, false, 2}};
    check_spec(&spec, begins, 2);
}

static void the_same_time(void **state) {
    (void)state;
    const struct expected keeps[] = {{5, TIME_STEP, 5, false, 0},
                                     {5, TIME_STEP, 5, false, 0},
                                     {4, TIME_LATE, UNTOUCHED, false, 0},
                                     {50, TIME_STEP, 50, true, 0},
                                     {50, TIME_STEP, 50, false, 0}};
    const struct time_policy_spec keep = {.gap_after = 30, .same_time = SAME_TIME_KEEP};
    check_spec(&keep, keeps, 5);
    const struct time_policy_spec replace = {.same_time = SAME_TIME_REPLACE};
    const struct expected replaces[] = {{5, TIME_STEP, 5, false, 0}, {5, TIME_REPEATED, UNTOUCHED, false, 0}};
    check_spec(&replace, replaces, 2);
    for (int r = 0; r < 2; r++) {
        const struct time_policy_spec spec = {.every = 10, .same_time = r ? SAME_TIME_REPLACE : SAME_TIME_KEEP};
        enum time_verdict same = r ? TIME_REPLACES : TIME_JOINS;
        const struct expected expected[] = {
            {15, TIME_JOINS, UNTOUCHED, false, 0}, {15, same, UNTOUCHED, false, 0},
            {20, TIME_CLOSES, 10, false, 0},       {15, TIME_LATE, UNTOUCHED, false, 0},
            {20, same, UNTOUCHED, false, 0},       {29, TIME_JOINS, UNTOUCHED, false, 0},
            {28, TIME_LATE, UNTOUCHED, false, 0},
        };
        check_spec(&spec, expected, 7);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filled_gaps),
        cmocka_unit_test(the_same_time),
        cmocka_unit_test(irregular),
        cmocka_unit_test(intervals),
        cmocka_unit_test(refused_ticks_change_nothing),
        cmocka_unit_test(longer_gaps),
        cmocka_unit_test(before_1970),
        cmocka_unit_test(the_ends_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
