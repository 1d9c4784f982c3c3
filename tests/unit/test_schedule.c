#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/schedule.h"

#include <math.h>

static void by_hand(void **state) {
    (void)state;
    const struct {
        struct schedule_spec spec;
        double done, expected;
    } examples[] = {
        {{SCHEDULE_LINEAR, 0.1, 0}, 1e-9, 1},        {{SCHEDULE_LINEAR, 0.1, 0}, 0.5, 0.55},
        {{SCHEDULE_LINEAR, 0.1, 0}, 1, 0.1},         {{SCHEDULE_LINEAR, 0.1, 0}, 7, 0.1},
        {{SCHEDULE_CONSTANT, 0.1, 0}, 0.7, 1},       {{SCHEDULE_COSINE, 0.2, 0}, 1e-9, 1},
        {{SCHEDULE_COSINE, 0.2, 0}, 0.5, 0.6},       {{SCHEDULE_COSINE, 0.2, 0}, 1, 0.2},
        {{SCHEDULE_EXPONENTIAL, 0.01, 0}, 0.5, 0.1}, {{SCHEDULE_EXPONENTIAL, 0.01, 0}, 1, 0.01},
        {{SCHEDULE_STEP, 0.01, 0}, 0.49, 1},         {{SCHEDULE_STEP, 0.01, 0}, 0.5, 0.1},
        {{SCHEDULE_STEP, 0.01, 0}, 0.75, 0.01},      {{SCHEDULE_LINEAR, 0.1, 0.2}, 0.05, 0.25},
        {{SCHEDULE_LINEAR, 0.1, 0.2}, 0.2, 1},       {{SCHEDULE_LINEAR, 0.1, 0.2}, 0.6, 0.55},
        {{SCHEDULE_CONSTANT, 0.1, 0.5}, 0.25, 0.5},  {{SCHEDULE_STEP, 0.01, 0.5}, 0.74, 1},
        {{SCHEDULE_STEP, 0.01, 0.5}, 0.75, 0.1},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        assert_true(fabs(schedule_share(&examples[i].spec, examples[i].done) - examples[i].expected) < 1e-8);
}

/* Behind the warm-up none of them ever rises, and all end where they should. */
static void they_fall(void **state) {
    (void)state;
    for (int kind = SCHEDULE_LINEAR; kind <= SCHEDULE_STEP; kind++)
        for (int tenths = 0; tenths < 9; tenths += 4) {
            double warm_up = tenths / 10.0;
            const struct schedule_spec spec = {(enum schedule)kind, 0.05, warm_up};
            double before = 0;
            for (int i = 1; i <= 1000; i++) {
                double share = schedule_share(&spec, i / 1000.0);
                assert_true(share > 0 && share <= 1);
                assert_true(i / 1000.0 <= warm_up || i == 1 ? share >= before : share <= before + 1e-12);
                before = share;
            }
            assert_true(fabs(before - (kind == SCHEDULE_CONSTANT ? 1 : 0.05)) < 1e-12);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(they_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
