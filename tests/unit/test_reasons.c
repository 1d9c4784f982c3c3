#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/reasons.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The names are promised to clients for ever: a new reason goes to the end, none is renamed. */
static void names_are_those_promised(void **state) {
    static const char *const promised[] = {
        "none", "malformed", "frames",   "shape",        "time", "value",    "infinite",  "features",
        "name", "no_class",  "no_model", "stream_limit", "late", "repeated", "no_memory", "id"};
    (void)state;
    assert_true(N_REASONS >= sizeof(promised) / sizeof(promised[0]));
    for (unsigned i = 0; i < sizeof(promised) / sizeof(promised[0]); i++)
        assert_string_equal(reason_name((enum reason)i), promised[i]);
}

static void every_reason_has_a_name_of_its_own_and_a_sentence(void **state) {
    (void)state;
    for (unsigned i = 0; i < N_REASONS; i++) {
        const char *name = reason_name((enum reason)i);
        assert_true(strlen(name) > 0 && strlen(name) < 32);
        for (const char *p = name; *p; p++)
            assert_true(islower((unsigned char)*p) || *p == '_');
        assert_true(strlen(reason_sentence((enum reason)i)) > 10);
        for (unsigned other = 0; other < i; other++)
            assert_string_not_equal(name, reason_name((enum reason)other));
    }
}

static void a_number_that_is_no_reason_is_unknown(void **state) {
    (void)state;
    assert_string_equal(reason_name(N_REASONS), "unknown");
    assert_string_equal(reason_name((enum reason)1000), "unknown");
    assert_string_equal(reason_sentence(N_REASONS), "the reason is not known");
}

static bool is_in_protocol(const char *wanted) {
    char line[512];
    bool found = false;
    FILE *file = fopen("daemon/PROTOCOL.md", "r");
    assert_non_null(file); /* tests run in the top folder */
    while (!found && fgets(line, sizeof(line), file))
        found = strcmp(line, wanted) == 0;
    fclose(file);
    return found;
}

static void the_protocol_lists_every_reason(void **state) {
    (void)state;
    for (unsigned i = 1; i < N_REASONS; i++) {
        char row[256];
        snprintf(row, sizeof(row), "| `%s` | %s |\n", reason_name((enum reason)i), reason_sentence((enum reason)i));
        if (!is_in_protocol(row))
            fail_msg("daemon/PROTOCOL.md has no %s", row);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_promised),
        cmocka_unit_test(every_reason_has_a_name_of_its_own_and_a_sentence),
        cmocka_unit_test(a_number_that_is_no_reason_is_unknown),
        cmocka_unit_test(the_protocol_lists_every_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
