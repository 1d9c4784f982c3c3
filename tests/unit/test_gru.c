#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/recurrent.h"

static struct layer_spec gru(bool reset_after) {
    struct layer_spec spec = recurrent_spec(LAYER_GRU);
    spec.reset_after = reset_after;
    return spec;
}

static void test_every_option_is_keras(void **state) {
    (void)state;
    recurrent_check_options(gru(true));
    recurrent_print_worst("reset_after, options");
    recurrent_check_options(gru(false));
    recurrent_print_worst("reset before, options");
}

static void test_every_activation_is_keras(void **state) {
    (void)state;
    recurrent_check_activations(gru(true));
    recurrent_print_worst("reset_after, activations");
    recurrent_check_activations(gru(false));
    recurrent_print_worst("reset before, activations");
}

static void check_bias(bool reset_after, int n_dims, int first) {
    struct layer_spec layer = gru(reset_after);
    struct network_spec spec = {.n_inputs = 2, .layers = &layer, .n_layers = 1};
    struct network_weight weights[LAYER_WEIGHTS];
    struct error err;
    struct network *network = network_new(&spec, &err);
    assert_int_equal(network_weights(network, 0, weights), 3);
    assert_string_equal(weights[2].name, "bias");
    assert_int_equal(weights[2].n_dims, n_dims);
    assert_int_equal(weights[2].dims[0], first);
    assert_int_equal(weights[2].dims[n_dims - 1], 3 * RECURRENT_UNITS);
    network_free(network);
}

static void test_reset_after_has_two_rows_of_bias(void **state) {
    (void)state;
    check_bias(true, 2, 2);
    check_bias(false, 1, 3 * RECURRENT_UNITS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_is_keras),
        cmocka_unit_test(test_every_activation_is_keras),
        cmocka_unit_test(test_reset_after_has_two_rows_of_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
