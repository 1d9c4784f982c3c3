/* Processor time that is counted in parts of octaves. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/spent.h"

/* The part in which a time is counted. */
static int part_of(int64_t ns) {
    struct spent spent = {0};
    struct spent_counts counts = {0};
    spent_add(&spent, ns);
    spent_sum(&spent, &counts);
    for (int p = 0; p < SPENT_PARTS; p++)
        if (counts.parts[p] > 0)
            return p;
    return -1;
}

static void ends_belong_to_their_parts(void **state) {
    (void)state;
    assert_int_equal(spent_part_end(0), 1000);
    assert_int_equal(spent_part_end(4), 2000);
    assert_int_equal(spent_part_end(80), 1000 << 20);
    assert_int_equal(part_of(-5), 0);
    assert_int_equal(part_of(0), 0);
    for (int p = 0; p < SPENT_PARTS - 1; p++) {
        assert_int_equal(part_of(spent_part_end(p)), p);
        assert_int_equal(part_of(spent_part_end(p) + 1), p + 1);
    }
    assert_int_equal(part_of(INT64_MAX), SPENT_PARTS - 1);
}

static void sums_are_told(void **state) {
    (void)state;
    struct spent one = {0}, other = {0};
    struct spent_counts sum = {0};
    spent_add(&one, 900);
    spent_add(&one, 1900);
    spent_add(&other, 2000);
    spent_add(&other, 2001);
    spent_sum(&one, &sum);
    spent_sum(&other, &sum);
    json_t *told = spent_describe(&sum);
    json_t *wanted =
        json_loads("{\"n\": 4, \"ns\": 6801, \"longest_ns\": 2001, \"parts\": [1, 0, 0, 0, 2, 1]}", 0, NULL);
    assert_true(json_equal(told, wanted));
    json_decref(told);
    json_decref(wanted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_belong_to_their_parts),
        cmocka_unit_test(sums_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
