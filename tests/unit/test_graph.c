/* Networks whose layers are not a chain: branches, several outputs, shared parameters, known steps. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/layer_check.h"

#include <stdio.h>

#define IN_3 .n_inputs = 3, .steps = 6
#define DENSE_OF(n, from) \
    { \
        .kind = LAYER_DENSE, .units = (n), .activation = ACTIVATION_TANH, .use_bias = true, .n_in = 1, .in = { \
            {from, 0} \
        } \
    }
#define SHARED(n, from, with) \
    { \
        .kind = LAYER_DENSE, .units = (n), .activation = ACTIVATION_TANH, .use_bias = true, .n_in = 1, \
        .in = {{from, 0}}, .shares = 1 + (with) \
    }
#define ADD(...) \
    { .kind = LAYER_ADD, IN(__VA_ARGS__) }
#define FLATTEN \
    { .kind = LAYER_FLATTEN }
#define OUTPUTS(...) \
    .n_outputs = sizeof((struct layer_input[]){__VA_ARGS__}) / sizeof(struct layer_input), .outputs = {__VA_ARGS__}

static const struct layer_case cases[] = {
    {"branches of different length", IN_3,
     .layers = {DENSE_OF(4, -1), DENSE_OF(5, 0), DENSE_OF(4, 1), DENSE_OF(4, -1), ADD({2, 0}, {0, 0}, {3, 0})}},
    {"two outputs", IN_3, .layers = {DENSE_OF(4, -1), DENSE_OF(2, 0), DENSE_OF(3, 0)}, OUTPUTS({2, 0}, {1, 0})},
    {"an output that is read on", IN_3, .layers = {DENSE_OF(4, -1), DENSE_OF(2, 0), DENSE_OF(3, 1)},
     OUTPUTS({0, 0}, {2, 0}, {1, 0})},
    {"outputs with and without steps", IN_3, .known_steps = true,
     .layers = {DENSE_OF(4, -1),
                {.kind = LAYER_GLOBAL_MAX_POOLING1D, IN({0, 0})},
                {.kind = LAYER_FLATTEN, IN({0, 0})},
                {.kind = LAYER_CONV1D, .units = 2, .kernel_size = 3, IN({0, 0})}},
     OUTPUTS({1, 0}, {0, 0}, {2, 0}, {3, 0})},
    {"a layer for nobody", IN_3,
     .layers = {DENSE_OF(4, -1), {.kind = LAYER_DROPOUT, IN({0, 0})}, ADD({0, 0}, {0, 0})}},
    {"shared", IN_3, .layers = {DENSE_OF(3, -1), SHARED(3, 0, 0), SHARED(3, 1, 0)}},
    {"shared by branches", IN_3, .layers = {DENSE_OF(3, -1), DENSE_OF(3, -1), SHARED(3, 0, 1), ADD({1, 0}, {2, 0})}},
    {"shared with one that shares", IN_3, .layers = {DENSE_OF(3, -1), SHARED(3, 0, 0), SHARED(3, -1, 1)},
     OUTPUTS({1, 0}, {2, 0})},
    {"shared, of a network that learns its steps late", IN_3, .known_steps = true,
     .layers = {DENSE_OF(3, -1), SHARED(3, 0, 0), FLATTEN, DENSE(2, ACTIVATION_TANH)}},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        layer_case_check(&cases[i]);
}

static void test_shared_parameters(void **state) {
    (void)state;
    struct network *network = layer_case_network(&cases[6], NETWORK_SAMPLES), *clone = network_clone(network);
    struct network_weight own[LAYER_WEIGHTS], shared[LAYER_WEIGHTS];
    assert_int_equal(network_n_params(network), 2 * (3 * 3 + 3));
    assert_int_equal(network_weights(network, 1, own), 2);
    assert_int_equal(network_weights(network, 2, shared), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(own[i].at, shared[i].at);
        assert_int_equal(own[i].at, 12 + (i == 0 ? 0 : 9));
    }
    network_init_weights(network, 7);
    network_init_weights(clone, 7);
    assert_true(floats_same(24, network_params(network), network_params(clone)));
    assert_true(network_params(network)[12] != 0);
    network_free(network);
    network_free(clone);
}

/* A network that is built again with known steps has of everything as much as one that was not. */
static void test_building_again_leaves_nothing_behind(void **state) {
    (void)state;
    static const struct layer_case of = {"masks, state, parameters", IN_3, .known_steps = true,
                                         .layers = {{.kind = LAYER_MASKING},
                                                    LSTM(4),
                                                    DENSE(3, ACTIVATION_TANH),
                                                    {.kind = LAYER_CONV1D, .units = 2, .kernel_size = 3},
                                                    FLATTEN}};
    struct network *network = layer_case_network(&of, NETWORK_STATEFUL);
    struct network_shape shape = network_output(network, 0, 6);
    size_t rnn = 4 * 4 * (3 + 4 + 1), dense = 3 * (4 + 1), conv = 2 * 3 * 3;
    assert_int_equal(network_steps(network), 6);
    assert_int_equal(network_min_steps(network), 6);
    assert_int_equal(network_n_params(network), rnn + dense + conv);
    assert_int_equal(network_state_size(network), 2 * 4);
    assert_int_equal(shape.width, 2 * 4);
    assert_string_equal(network_spec(network)->layers[4].name, "flatten");
    assert_int_equal(network_layer_output(network, 3, 0, 6).steps, 4);
    network_free(network);
}

/* Nor room in the workspace: two tensors and two masks of 6 steps, and the output is the caller's. */
static void test_building_again_takes_no_more_room(void **state) {
    (void)state;
    static const struct layer_case of = {"masks", IN_3, .known_steps = true,
                                         .layers = {{.kind = LAYER_MASKING}, {.kind = LAYER_MASKING}, FLATTEN}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    assert_int_equal(network_work_size(network, 1, 6), 2 * (6 * 3 + 6));
    network_free(network);
}

/* Serving hands tensors over in the workspace, outputs to the caller: each to its own place. */
static void test_order_of_outputs(void **state) {
    (void)state;
    struct network *network = layer_case_network(&cases[1], NETWORK_SAMPLES);
    assert_int_equal(network_n_outputs(network), 2);
    assert_int_equal(network_output(network, 0, 6).width, 3);
    assert_int_equal(network_output(network, 1, 6).width, 2);
    assert_int_equal(network_layer_output(network, 1, 0, 6).width, 2);
    network_free(network);
}

/* ---- errors -------------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    struct layer_case of;
} refusals[] = {
    {"layer dense_1 (Dense): reads layer 3, which is not before it",
     {"after", IN_3, .layers = {DENSE_OF(3, -1), DENSE_OF(3, 2)}}},
    {"layer dense_1 (Dense): reads layer 2, which is not before it",
     {"itself", IN_3, .layers = {DENSE_OF(3, -1), DENSE_OF(3, 1)}}},
    {"reads layer -1, which is not before it", {"nowhere", IN_3, .layers = {DENSE_OF(3, -2)}}},
    {"layer dense_1 (Dense): reads output 1 of dense, which has 1",
     {"port", IN_3, .layers = {DENSE_OF(3, -1), {.kind = LAYER_DENSE, .units = 3, IN({0, 1})}}}},
    {"layer mine (Add): its inputs differ in width",
     {"name", IN_3, .layers = {DENSE_OF(4, -1), {.kind = LAYER_ADD, .name = "mine", IN({-1, 0}, {0, 0})}}}},
    {"layer 2 of 2: a second layer mine",
     {"names", IN_3, .layers = {{.kind = LAYER_DROPOUT, .name = "mine"}, {.kind = LAYER_FLATTEN, .name = "mine"}}}},
    {"layer 1 of 1: kind 99 is unknown", {"kind", IN_3, .layers = {{.kind = 99}}}},
    {"layer add (Add): has 9 inputs, and may have 8", {"inputs", IN_3, .layers = {{.kind = LAYER_ADD, .n_in = 9}}}},
    {"layer add (Add): has -1 inputs", {"inputs", IN_3, .layers = {{.kind = LAYER_ADD, .n_in = -1}}}},
    {"layer dense_1 (Dense): cannot share the parameters of dense, which have another shape",
     {"width", IN_3, .layers = {DENSE_OF(4, -1), SHARED(4, 0, 0)}}},
    {"layer conv1d (Conv1D): cannot share the parameters of dense",
     {"kinds", IN_3, .layers = {DENSE_OF(4, -1), {.kind = LAYER_CONV1D, .units = 4, .kernel_size = 3, .shares = 1}}}},
    {"layer p_re_lu (PReLU): cannot share the parameters of embedding",
     {"kinds of one shape", .n_inputs = 1,
      .layers = {{.kind = LAYER_EMBEDDING, .vocabulary = 1, .units = 4},
                 {.kind = LAYER_PRELU, .shared_steps = true, .shares = 1}}}},
    {"layer dense_1 (Dense): shares the parameters of layer 2, which is not before it",
     {"itself", IN_3, .layers = {DENSE_OF(3, -1), SHARED(3, 0, 1)}}},
    {"output 0: reads layer 2, which is not before it",
     {"no such layer", IN_3, .layers = {DENSE_OF(3, -1)}, OUTPUTS({1, 0})}},
    {"output 1: reads output 1 of dense",
     {"no such port", IN_3, .layers = {DENSE_OF(3, -1)}, OUTPUTS({0, 0}, {0, 1})}},
    {"output 1: comes out a second time", {"twice", IN_3, .layers = {DENSE_OF(3, -1)}, OUTPUTS({0, 0}, {0, 0})}},
    {"output 0: is the input itself", {"the input", IN_3, .layers = {DENSE_OF(3, -1)}, OUTPUTS({-1, 0})}},
    {"has 9 outputs, and may have 8", {"outputs", IN_3, .layers = {DENSE_OF(3, -1)}, .n_outputs = 9}},
    {"has no layers", {"none", IN_3}},
    {"samples have 1048577 steps",
     {"steps", .n_inputs = 3, .steps = (1 << 20) + 1, .known_steps = true, .layers = {FLATTEN}}},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        layer_case_refused(&refusals[i].of, NETWORK_SAMPLES, refusals[i].text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_shared_parameters),
        cmocka_unit_test(test_building_again_leaves_nothing_behind),
        cmocka_unit_test(test_building_again_takes_no_more_room),
        cmocka_unit_test(test_order_of_outputs),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
