#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/error.h"

#include <string.h>

static void test_set_formats_and_returns_minus_one(void **state) {
    (void)state;
    struct error err;
    assert_int_equal(error_set(&err, "units is %d, and must be %s", 0, "positive"), -1);
    assert_string_equal(err.text, "units is 0, and must be positive");
}

static void test_prefix_stands_before(void **state) {
    (void)state;
    struct error err;
    error_set(&err, "units is 0");
    assert_int_equal(error_prefix(&err, "layer %d", 2), -1);
    assert_string_equal(err.text, "layer 2: units is 0");
    error_prefix(&err, "model cpu");
    assert_string_equal(err.text, "model cpu: layer 2: units is 0");
}

static void test_text_is_taken_literally(void **state) {
    (void)state;
    struct error err;
    error_set(&err, "%s", "100%s %n");
    error_prefix(&err, "%s", "50%d");
    assert_string_equal(err.text, "50%d: 100%s %n");
}

static void test_long_texts_are_cut(void **state) {
    (void)state;
    struct error err;
    char lots[2000];
    memset(lots, 'a', sizeof lots - 1);
    lots[sizeof lots - 1] = '\0';

    error_set(&err, "%s", lots);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    error_prefix(&err, "here");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "here: aaa", 9);
    error_prefix(&err, "%s", lots);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "aaaa", 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_formats_and_returns_minus_one),
        cmocka_unit_test(test_prefix_stands_before),
        cmocka_unit_test(test_text_is_taken_literally),
        cmocka_unit_test(test_long_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
