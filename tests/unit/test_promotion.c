#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/promotion.h"

#include <math.h>
#include <string.h>

static void the_decision(void **state) {
    (void)state;
    const struct {
        struct promotion_losses losses; /* challenger, champion, last value, seasonal */
        double margin;
        enum promotion expected;
    } examples[] = {
        {{0.5, 1, 1, 1}, 0, PROMOTION_PROMOTE},
        {{0.5, NAN, 1, NAN}, 0, PROMOTION_PROMOTE},
        {{1, NAN, 1, NAN}, 0, PROMOTION_BASELINE}, /* as good is not better */
        {{0.95, NAN, 1, NAN}, 0.1, PROMOTION_BASELINE},
        {{0.89, NAN, 1, NAN}, 0.1, PROMOTION_PROMOTE},
        {{0.9, NAN, 1, 0.8}, 0, PROMOTION_BASELINE}, /* the better of the baselines counts */
        {{0.9, NAN, 0.8, 1}, 0, PROMOTION_BASELINE},
        {{0.7, 0.7, 1, 0.8}, 0, PROMOTION_CHAMPION},
        {{0.65, 0.7, 1, 0.8}, 0.1, PROMOTION_CHAMPION},
        {{0.6, 0.7, 1, 0.8}, 0.1, PROMOTION_PROMOTE},
        {{0.6, INFINITY, 1, NAN}, 0, PROMOTION_PROMOTE},
        {{2, 3, 1, NAN}, 0, PROMOTION_BASELINE},   /* better than the champion is not enough */
        {{0, NAN, 0, NAN}, 0, PROMOTION_BASELINE}, /* nothing beats a constant's last value */
        {{NAN, NAN, NAN, NAN}, 0, PROMOTION_NO_WINDOWS},
        {{0.5, 1, NAN, NAN}, 0, PROMOTION_NO_WINDOWS},
        {{NAN, 1, 1, 1}, 0, PROMOTION_NOT_FINITE},
        {{INFINITY, 1, 1, 1}, 0, PROMOTION_NOT_FINITE},
        {{INFINITY, INFINITY, INFINITY, NAN}, 0, PROMOTION_NOT_FINITE},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        if (promotion_decide(&examples[i].losses, examples[i].margin) != examples[i].expected)
            fail_msg("example %d: %s", (int)i,
                     promotion_name(promotion_decide(&examples[i].losses, examples[i].margin)));
}

static void the_best_baseline(void **state) {
    (void)state;
    assert_true(promotion_baseline(&(struct promotion_losses){.last_value = 2, .seasonal = 1}) == 1);
    assert_true(promotion_baseline(&(struct promotion_losses){.last_value = 2, .seasonal = 3}) == 2);
    assert_true(promotion_baseline(&(struct promotion_losses){.last_value = 2, .seasonal = NAN}) == 2);
    assert_true(isnan(promotion_baseline(&(struct promotion_losses){.last_value = NAN, .seasonal = NAN})));
}

static void each_has_words(void **state) {
    (void)state;
    const char *const names[] = {"promoted", "no_windows", "not_finite", "baseline", "champion"};
    for (int i = 0; i < 5; i++) {
        assert_string_equal(promotion_name((enum promotion)i), names[i]);
        assert_true(strlen(promotion_sentence((enum promotion)i)) > 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_decision),
        cmocka_unit_test(the_best_baseline),
        cmocka_unit_test(each_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
