#include "clients/forecast/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void lets_one_through_in_a_while(void **state) {
    (void)state;
    struct pace *pace = pace_new(10);
    assert_true(pace_due(pace, "heat", "boiler-1", 100));
    assert_false(pace_due(pace, "heat", "boiler-1", 109));
    assert_true(pace_due(pace, "heat", "boiler-1", 110));
    assert_false(pace_due(pace, "heat", "boiler-1", 119)); /* counted from the one that was shown */
    pace_free(pace);
}

static void tells_streams_and_models_apart(void **state) {
    (void)state;
    struct pace *pace = pace_new(10);
    assert_true(pace_due(pace, "heat", "boiler-1", 0));
    assert_true(pace_due(pace, "heat", "boiler-2", 0));
    assert_true(pace_due(pace, "load", "boiler-1", 0));
    assert_true(pace_due(pace, "a", "b/c", 0));
    assert_false(pace_due(pace, "a", "b/c", 1));
    pace_free(pace);
    pace_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_one_through_in_a_while),
        cmocka_unit_test(tells_streams_and_models_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
