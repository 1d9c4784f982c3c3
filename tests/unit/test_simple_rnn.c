#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/recurrent.h"

static void test_every_option_is_keras(void **state) {
    (void)state;
    recurrent_check_options(recurrent_spec(LAYER_SIMPLE_RNN));
    recurrent_print_worst("options");
}

static void test_every_activation_is_keras(void **state) {
    (void)state;
    recurrent_check_activations(recurrent_spec(LAYER_SIMPLE_RNN));
    recurrent_print_worst("activations");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_is_keras),
        cmocka_unit_test(test_every_activation_is_keras),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
