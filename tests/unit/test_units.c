#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/units.h"

#include <stdio.h>

#define LENGTH(a) (sizeof(a) / sizeof *(a))

struct example {
    const char *text;
    int64_t value; /* WRONG where the text is not one */
};

enum { WRONG = -77777 };

static void check(int (*parse)(const char *, int64_t *), const struct example *examples, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int64_t value = WRONG;
        int status = parse(examples[i].text, &value);
        if (value != examples[i].value || (status == 0) == (value == WRONG))
            fail_msg("\"%s\": %d, %lld", examples[i].text, status, (long long)value);
    }
}

static void integers(void **state) {
    (void)state;
    static const struct example examples[] = {
        {"0", 0},        {"17", 17},     {"-3", -3},       {"9223372036854775807", INT64_MAX},
        {"", WRONG},     {"-", WRONG},   {"1.5", WRONG},   {"9223372036854775808", WRONG},
        {"0x10", WRONG}, {"1e3", WRONG}, {" 1", WRONG},    {"1 ", WRONG},
        {"+1", WRONG},   {"1_0", WRONG}, {"seven", WRONG},
    };
    check(units_parse_integer, examples, LENGTH(examples));
}

static void durations(void **state) {
    (void)state;
    static const struct example examples[] = {
        {"0", 0},
        {"7ns", 7},
        {"7us", 7000},
        {"250ms", 250000000},
        {"1s", 1000000000},
        {"1.5s", 1500000000},
        {"0.1s", 100000000},
        {"5m", 300000000000},
        {"1h", 3600000000000},
        {"2d", 172800000000000},
        {"106751d", 9223286400000000000},
        {"106752d", WRONG},
        {"99999999999999999999s", WRONG},
        {"999999999.5d", WRONG},
        {"5", WRONG},
        {"5 s", WRONG},
        {"5 parsecs", WRONG},
        {"-5s", WRONG},
        {"1h30m", WRONG},
        {".5s", WRONG},
        {"5.s", WRONG},
        {"s", WRONG},
        {"", WRONG},
        {"1S", WRONG},
    };
    check(units_parse_duration, examples, LENGTH(examples));
}

static void sizes(void **state) {
    (void)state;
    static const struct example examples[] = {
        {"0", 0},         {"4096", 4096},   {"64KiB", 65536},     {"16MiB", 16777216},
        {"1.5KiB", 1536}, {"16MB", WRONG},  {"1GiB", 1073741824}, {"1TiB", 1099511627776},
        {"-1", WRONG},    {"1 KiB", WRONG}, {"KiB", WRONG},       {"9999999TiB", WRONG},
        {"", WRONG},
    };
    check(units_parse_bytes, examples, LENGTH(examples));
}

static void numbers_and_shares(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double number, share; /* WRONG where it is not one */
    } examples[] = {
        {"0.003", 0.003, 0.003}, {"1e-3", 0.001, 0.001}, {"-2", -2, -2},          {"20%", WRONG, 0.2},
        {"0.5%", WRONG, 0.005},  {"inf", WRONG, WRONG},  {"nan", WRONG, WRONG},   {"0x1p3", WRONG, WRONG},
        {"1e999", WRONG, WRONG}, {"", WRONG, WRONG},     {"%", WRONG, WRONG},     {"1 ", WRONG, WRONG},
        {"1,5", WRONG, WRONG},   {"e", WRONG, WRONG},    {"1.2.3", WRONG, WRONG}, {"20%%", WRONG, WRONG},
    };
    for (size_t i = 0; i < LENGTH(examples); i++) {
        double number = WRONG, share = WRONG;
        int number_status = units_parse_number(examples[i].text, &number);
        int share_status = units_parse_share(examples[i].text, &share);
        if (number != examples[i].number || (number_status == 0) == (number == WRONG) || share != examples[i].share ||
            (share_status == 0) == (share == WRONG))
            fail_msg("\"%s\": %g %g", examples[i].text, number, share);
    }
}

static void booleans(void **state) {
    (void)state;
    bool value = false;
    assert_int_equal(units_parse_boolean("true", &value), 0);
    assert_true(value);
    assert_int_equal(units_parse_boolean("yes", &value), -1);
    assert_true(value);
    assert_int_equal(units_parse_boolean("false", &value), 0);
    assert_false(value);
    assert_int_equal(units_parse_boolean("", &value), -1);
}

static void prints_what_it_parses(void **state) {
    (void)state;
    static const char *const spans[] = {"0", "1ns", "90s", "1h", "1500ms", "61m", "1d", "106751d"};
    static const char *const lengths[] = {"0", "1", "1023", "64KiB", "1025", "16MiB", "3GiB", "2TiB"};
    char text[32];
    int64_t value;
    for (size_t i = 0; i < LENGTH(spans); i++) {
        assert_int_equal(units_parse_duration(spans[i], &value), 0);
        units_print_duration(text, sizeof text, value);
        assert_string_equal(text, spans[i]);
        assert_int_equal(units_parse_bytes(lengths[i], &value), 0);
        units_print_bytes(text, sizeof text, value);
        assert_string_equal(text, lengths[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),           cmocka_unit_test(durations), cmocka_unit_test(sizes),
        cmocka_unit_test(numbers_and_shares), cmocka_unit_test(booleans),  cmocka_unit_test(prints_what_it_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
