#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/retraining.h"

static const struct config_model usual = {.train = true, .retrain_every = 1000, .training = {.first_after = 256}};

static void when(void **state) {
    (void)state;
    const struct {
        const char *what;
        struct retraining state;
        bool due;
    } examples[] = {
        {"nothing yet", {.steps = 0}, false},
        {"too few steps", {.steps = 255}, false},
        {"enough steps", {.steps = 256}, true},
        {"enough, but busy", {.steps = 256, .busy = true}, false},
        {"asked", {.asked = true}, true},
        {"asked, but busy", {.asked = true, .busy = true}, false},
        {"tried, steps not doubled", {.tried = true, .steps = 599, .tried_steps = 300}, false},
        {"tried, steps doubled", {.tried = true, .steps = 600, .tried_steps = 300}, true},
        {"it serves: doubling is no reason",
         {.tried = true, .serves = true, .steps = 600, .tried_steps = 300},
         false},
        {"not yet time", {.tried = true, .serves = true, .now = 1999, .tried_at = 1000}, false},
        {"time", {.tried = true, .serves = true, .now = 2000, .tried_at = 1000}, true},
        {"time, though nothing serves", {.tried = true, .steps = 301, .tried_steps = 300, .now = 2000}, true},
        {"a clock that went back", {.tried = true, .serves = true, .now = -5000, .tried_at = 1000}, false},
        {"all of time", {.tried = true, .serves = true, .now = INT64_MAX, .tried_at = INT64_MIN}, true},
        /* A command before there was anything to train on: its failure is no reason to try again at once. */
        {"tried with no step", {.tried = true, .steps = 0, .tried_steps = 0}, false},
        {"tried with one step", {.tried = true, .steps = 200, .tried_steps = 1}, false},
        {"tried with one step, now enough", {.tried = true, .steps = 256, .tried_steps = 1}, true},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        if (retraining_due(&examples[i].state, &usual) != examples[i].due)
            fail_msg("%s", examples[i].what);
}

static void only_on_command(void **state) {
    (void)state;
    struct config_model model = usual;
    model.retrain_every = 0;
    struct retraining retraining = {.tried = true, .serves = true, .steps = 1000, .now = INT64_MAX};
    assert_false(retraining_due(&retraining, &model));
    retraining.asked = true;
    assert_true(retraining_due(&retraining, &model));
}

static void never_where_weights_are_fixed(void **state) {
    (void)state;
    struct config_model model = usual;
    model.train = false;
    const struct retraining retraining = {.steps = 100000, .now = INT64_MAX};
    assert_false(retraining_due(&retraining, &model));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when),
        cmocka_unit_test(only_on_command),
        cmocka_unit_test(never_where_weights_are_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
