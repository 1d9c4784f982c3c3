#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/recurrent.h"

static void test_every_option_is_keras(void **state) {
    (void)state;
    recurrent_check_options(recurrent_spec(LAYER_LSTM));
    recurrent_print_worst("options");
}

static void test_every_activation_is_keras(void **state) {
    (void)state;
    recurrent_check_activations(recurrent_spec(LAYER_LSTM));
    recurrent_print_worst("activations");
}

/* Keras 3.15 does not give a layer the mask when it gives it an initial state; those before it do. */
static void test_an_initial_state_hides_the_mask(void **state) {
    (void)state;
    struct recurrent_case c = {.masked = true, .seeded = true, .layer = recurrent_spec(LAYER_LSTM)};
    recurrent_check(&c);
    c.layer.return_sequences = true;
    recurrent_check(&c);
    recurrent_print_worst("an initial state and a mask");
}

static void test_what_cannot_be_is_refused(void **state) {
    (void)state;
    struct layer_spec spec = recurrent_spec(LAYER_LSTM);
    spec.units = 0;
    recurrent_check_refused(NETWORK_SAMPLES, spec, "layer lstm (LSTM): units is 0");
    spec = recurrent_spec(LAYER_LSTM);
    spec.go_backwards = true;
    recurrent_check_refused(NETWORK_STREAM, spec, "layer lstm (LSTM): looks at all steps of a sample at once");
    spec = recurrent_spec(LAYER_LSTM);
    spec.activation = N_ACTIVATIONS;
    recurrent_check_refused(NETWORK_SAMPLES, spec, "activation 14 is unknown");
    spec = recurrent_spec(LAYER_LSTM);
    spec.recurrent_activation = (enum activation)99;
    recurrent_check_refused(NETWORK_SAMPLES, spec, "recurrent_activation 99 is unknown");
    spec = recurrent_spec(LAYER_LSTM);
    spec.n_in = 2;
    spec.in[0] = spec.in[1] = (struct layer_input){-1, 0};
    recurrent_check_refused(NETWORK_SAMPLES, spec, "has 2 states, and an initial state of 1");
    spec.n_in = 3;
    spec.in[2] = spec.in[1];
    recurrent_check_refused(NETWORK_SAMPLES, spec, "its initial state 0 has a time axis");
}

static void test_initial_states_have_its_units(void **state) {
    (void)state;
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 3), recurrent_spec(LAYER_LSTM),
                                  recurrent_spec(LAYER_LSTM)};
    struct network_spec spec = {.n_inputs = 2, .layers = layers, .n_layers = 2};
    struct error err = {.text = ""};
    layers[0].return_state = true;
    layers[1].n_in = 3;
    layers[1].in[0] = (struct layer_input){-1, 0};
    layers[1].in[1] = (struct layer_input){0, 1};
    layers[1].in[2] = (struct layer_input){0, 2};
    assert_null(network_new(&spec, &err));
    assert_string_equal(err.text, "layer lstm_1 (LSTM): its initial state 0 is 3 wide, and must be 4, its units");
    layers[1].n_in = 0; /* what it reads then has no steps any more */
    assert_null(network_new(&spec, &err));
    assert_string_equal(err.text, "layer lstm_1 (LSTM): goes over steps, and its input has no time axis");
}

/* States are there to be read and set only where they are carried. */
static void test_states_are_told(void **state) {
    (void)state;
    struct layer_spec layers[] = {recurrent_spec(LAYER_GRU), recurrent_spec(LAYER_LSTM)};
    struct network_spec spec = {.mode = NETWORK_STREAM, .n_inputs = 2, .layers = layers, .n_layers = 2};
    struct error err = {.text = ""};
    size_t at;
    int n;
    layers[0].return_sequences = true;
    struct network *network = network_new(&spec, &err);
    assert_non_null(network);
    assert_int_equal(network_state_size(network), 3 * RECURRENT_UNITS);
    assert_int_equal(network_layer_states(network, 0, &at, &n), 1);
    assert_true(at == 0 && n == RECURRENT_UNITS);
    assert_int_equal(network_layer_states(network, 1, &at, &n), 2);
    assert_true(at == RECURRENT_UNITS && n == RECURRENT_UNITS);
    network_free(network);
    spec.mode = NETWORK_SAMPLES;
    network = network_new(&spec, &err);
    assert_int_equal(network_state_size(network), 0);
    assert_int_equal(network_layer_states(network, 1, &at, &n), 0);
    network_free(network);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_is_keras),           cmocka_unit_test(test_every_activation_is_keras),
        cmocka_unit_test(test_an_initial_state_hides_the_mask), cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_initial_states_have_its_units),   cmocka_unit_test(test_states_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
