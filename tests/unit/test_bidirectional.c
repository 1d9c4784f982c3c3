#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/recurrent.h"

#include <string.h>

static struct layer_spec both_ways(enum layer_kind cell, enum merge_mode merge) {
    struct layer_spec spec = recurrent_spec(LAYER_BIDIRECTIONAL);
    spec.cell = cell;
    spec.merge = merge;
    return spec;
}

static void test_every_option_is_keras(void **state) {
    (void)state;
    recurrent_check_options(both_ways(LAYER_LSTM, MERGE_CONCAT));
    recurrent_print_worst("concat of LSTM");
    recurrent_check_options(both_ways(LAYER_GRU, MERGE_SUM));
    recurrent_print_worst("sum of GRU");
    recurrent_check_options(both_ways(LAYER_SIMPLE_RNN, MERGE_MUL));
    recurrent_print_worst("mul of SimpleRNN");
    recurrent_check_options(both_ways(LAYER_SIMPLE_RNN, MERGE_AVE));
    recurrent_print_worst("ave of SimpleRNN");
}

static void test_weights_are_in_keras_order(void **state) {
    (void)state;
    static const char *const names[] = {"forward_kernel",  "forward_recurrent_kernel",  "forward_bias",
                                        "backward_kernel", "backward_recurrent_kernel", "backward_bias"};
    struct layer_spec layer = both_ways(LAYER_GRU, MERGE_CONCAT);
    struct network_spec spec = {.n_inputs = 2, .layers = &layer, .n_layers = 1};
    struct network_weight weights[LAYER_WEIGHTS];
    struct error err;
    struct network *network = network_new(&spec, &err);
    assert_int_equal(network_weights(network, 0, weights), 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(weights[i].name, names[i]);
    network_init_weights(network, 1);
    const float *params = network_params(network);
    assert_memory_not_equal(params + weights[0].at, params + weights[3].at, weights[0].n * sizeof *params);
    assert_true(params[weights[4].at] != 0);
    network_free(network);
}

/* Both passes' states are carried: h and c of the first, then of the second. */
static void test_states_are_told(void **state) {
    (void)state;
    struct layer_spec layer = both_ways(LAYER_LSTM, MERGE_CONCAT);
    struct network_spec spec = {.mode = NETWORK_STATEFUL, .n_inputs = 2, .layers = &layer, .n_layers = 1};
    struct error err;
    size_t at;
    int n;
    struct network *network = network_new(&spec, &err);
    assert_int_equal(network_state_size(network), 4 * RECURRENT_UNITS);
    assert_int_equal(network_layer_states(network, 0, &at, &n), 4);
    assert_true(at == 0 && n == RECURRENT_UNITS);
    network_free(network);
}

static void test_what_cannot_be_is_refused(void **state) {
    (void)state;
    struct layer_spec spec = both_ways(LAYER_LSTM, MERGE_CONCAT);
    recurrent_check_refused(NETWORK_STREAM, spec, "looks at all steps of a sample at once");
    spec.cell = LAYER_DENSE;
    recurrent_check_refused(NETWORK_SAMPLES, spec, "kind 0 is not a cell that can go both ways");
    spec = both_ways(LAYER_LSTM, (enum merge_mode)9);
    recurrent_check_refused(NETWORK_SAMPLES, spec, "merge_mode 9 is unknown");
    spec = both_ways(LAYER_LSTM, MERGE_CONCAT);
    spec.units = 40000;
    recurrent_check_refused(NETWORK_SAMPLES, spec, "the width of its outputs is 80000");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_is_keras),
        cmocka_unit_test(test_weights_are_in_keras_order),
        cmocka_unit_test(test_states_are_told),
        cmocka_unit_test(test_what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
