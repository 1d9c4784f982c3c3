#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/retraining.h"

#include <stdio.h>

static const struct config_model usual = {.name = "m",
                                          .train = true,
                                          .retrain_every = 1000,
                                          .retrain_on = RETRAIN_ON_CLOCK,
                                          .training = {.first_after = 256, .new_steps = 20}};

static void when(void **state) {
    (void)state;
    const struct {
        const char *what;
        struct retraining state;
        bool serves;
        uint64_t steps;
        int64_t now;
        enum retraining_reason expected;
    } examples[] = {
        {"nothing yet", {.busy = false}, false, 0, 0, RETRAINING_NOT_DUE},
        {"too few steps", {.busy = false}, false, 255, 0, RETRAINING_NOT_DUE},
        {"enough steps", {.busy = false}, false, 256, 0, RETRAINING_FIRST},
        {"enough, but busy", {.busy = true}, false, 256, 0, RETRAINING_NOT_DUE},
        {"asked", {.asked = true}, false, 0, 0, RETRAINING_ASKED},
        {"asked, but busy", {.asked = true, .busy = true}, false, 0, 0, RETRAINING_NOT_DUE},
        {"steps not doubled", {.tried = true, .tried_steps = 300}, false, 599, 0, RETRAINING_NOT_DUE},
        {"steps doubled", {.tried = true, .tried_steps = 300}, false, 600, 0, RETRAINING_FIRST},
        {"it serves", {.tried = true, .tried_steps = 300}, true, 600, 0, RETRAINING_NOT_DUE},
        {"not time", {.tried = true, .tried_at = 1000}, true, 100, 1500, RETRAINING_NOT_DUE},
        {"time", {.tried = true, .tried_at = 1000}, true, 100, 2500, RETRAINING_CLOCK},
        {"time, few new steps",
         {.tried = true, .tried_at = 1000, .tried_steps = 81},
         true,
         100,
         2500,
         RETRAINING_NOT_DUE},
        {"time, new steps", {.tried = true, .tried_at = 1000, .tried_steps = 80}, true, 100, 2500, RETRAINING_CLOCK},
        {"time, nothing serves", {.tried = true, .tried_steps = 300}, false, 320, 2000, RETRAINING_CLOCK},
        {"a clock that went back", {.tried = true, .tried_at = 1000}, true, 100, -5000, RETRAINING_NOT_DUE},
        {"all of time", {.tried = true, .tried_at = INT64_MIN}, true, 100, INT64_MAX, RETRAINING_CLOCK},
        /* A command before there was anything to train on: its failure is no reason to try again at once. */
        {"tried with no step", {.tried = true}, false, 0, 0, RETRAINING_NOT_DUE},
        {"tried with one step", {.tried = true, .tried_steps = 1}, false, 200, 0, RETRAINING_NOT_DUE},
        {"tried with one, enough now", {.tried = true, .tried_steps = 1}, false, 256, 0, RETRAINING_FIRST},
        {"enough, but a challenger waits", {.held = true}, false, 256, 0, RETRAINING_NOT_DUE},
        {"time, but a challenger waits",
         {.tried = true, .held = true, .tried_at = 1000},
         true,
         100,
         2500,
         RETRAINING_NOT_DUE},
        {"asked, while one waits", {.tried = true, .held = true, .asked = true}, true, 100, 0, RETRAINING_ASKED},
        {"drift, which is not asked for", {.tried = true, .drifted = true}, true, 100, 0, RETRAINING_NOT_DUE},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        struct retraining retraining = examples[i].state;
        enum retraining_reason reason =
            retraining_due(&retraining, &usual, examples[i].serves, examples[i].steps, examples[i].now);
        if (reason != examples[i].expected)
            fail_msg("%s: %s", examples[i].what, retraining_name(reason));
    }
}

static void on_drift(void **state) {
    (void)state;
    struct config_model model = usual;
    model.retrain_on = RETRAIN_ON_DRIFT;
    struct retraining retraining = {.tried = true, .drifted = true, .tried_steps = 500};
    assert_int_equal(retraining_due(&retraining, &model, true, 519, 0), RETRAINING_NOT_DUE);
    assert_int_equal(retraining_due(&retraining, &model, true, 520, 0), RETRAINING_DRIFT);
    retraining_begin(&retraining, 520, 0);
    retraining.busy = false;
    assert_int_equal(retraining_due(&retraining, &model, true, 600, 0), RETRAINING_NOT_DUE);
    assert_int_equal(retraining_due(&retraining, &model, true, 600, 2000), RETRAINING_CLOCK);
}

/* What the clock of the data showed at the jobs of a model, from its first one at 0 on. */
static int jobs_of(const struct config_model *model, int64_t until, int64_t *at, int most) {
    struct retraining retraining = {0};
    int n = 0;
    retraining_begin(&retraining, 256, 0);
    retraining.busy = false;
    for (int64_t now = 0; now < until && n < most; now += 10)
        if (retraining_due(&retraining, model, true, 256 + (uint64_t)now, now) != RETRAINING_NOT_DUE) {
            at[n++] = now;
            retraining_begin(&retraining, 256 + (uint64_t)now, now);
            retraining.busy = false;
        }
    return n;
}

/* Each model at its own time, in equal intervals. */
static void jobs_are_spread(void **state) {
    (void)state;
    int quarters[4] = {0};
    for (int m = 0; m < 100; m++) {
        char name[16];
        snprintf(name, sizeof name, "model-%d", m);
        struct config_model model = usual;
        model.name = name;
        int64_t at[20];
        assert_in_range(jobs_of(&model, 10000, at, 20), 9, 10);
        assert_in_range(at[0], 500, 1500);
        for (int i = 1; i < 9; i++)
            assert_int_equal(at[i] - at[i - 1], 1000);
        quarters[at[0] % 1000 / 250]++;
    }
    for (int q = 0; q < 4; q++)
        assert_true(quarters[q] > 10);
}

static void the_clock_goes_back(void **state) {
    (void)state;
    struct retraining retraining = {.tried = true, .tried_at = 1000000, .tried_steps = 1000};
    assert_int_equal(retraining_due(&retraining, &usual, true, 50, 5000), RETRAINING_NOT_DUE);
    assert_int_equal(retraining_due(&retraining, &usual, true, 80, 6500), RETRAINING_CLOCK);
}

static void only_on_command(void **state) {
    (void)state;
    struct config_model model = usual;
    model.retrain_every = 0;
    struct retraining retraining = {.tried = true};
    assert_int_equal(retraining_due(&retraining, &model, true, 1000, INT64_MAX), RETRAINING_NOT_DUE);
    retraining.asked = true;
    assert_int_equal(retraining_due(&retraining, &model, true, 1000, INT64_MAX), RETRAINING_ASKED);
}

static void never_where_weights_are_fixed(void **state) {
    (void)state;
    struct config_model model = usual;
    model.train = false;
    struct retraining retraining = {0};
    assert_int_equal(retraining_due(&retraining, &model, false, 100000, INT64_MAX), RETRAINING_NOT_DUE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when),
        cmocka_unit_test(on_drift),
        cmocka_unit_test(jobs_are_spread),
        cmocka_unit_test(the_clock_goes_back),
        cmocka_unit_test(only_on_command),
        cmocka_unit_test(never_where_weights_are_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
