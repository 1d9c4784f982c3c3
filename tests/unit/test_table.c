#include "clients/forecast/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void control_characters_do_not_reach_a_terminal(void **state) {
    (void)state;
    static const struct {
        const char *text, *tame;
    } cases[] = {
        {"plant/boiler-7", "plant/boiler-7"},
        {"a\x1b[31mred\nb\a\x7f", "a?[31mred?b??"},
        {"k\xc3\xbchl/\xc2\xb5", "k\xc3\xbchl/\xc2\xb5"}, /* UTF-8 stays */
        {"c1\xc2\x9b.", "c1??."},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        strcpy(text, cases[i].text);
        text_tame(text);
        assert_string_equal(text, cases[i].tame);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(control_characters_do_not_reach_a_terminal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
