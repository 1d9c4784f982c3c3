#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/layer_check.h"

#define MEAN \
    { .kind = LAYER_GLOBAL_AVERAGE_POOLING1D }
#define BEHIND    DENSE(3, ACTIVATION_TANH)
#define IN_4(...) .n_inputs = 3, .steps = 6, .layers = {DENSE(4, ACTIVATION_TANH), __VA_ARGS__}
#define MASKED_4(...) \
    .masked = true, .n_inputs = 3, .steps = 6, \
    .layers = {{.kind = LAYER_MASKING}, DENSE(4, ACTIVATION_TANH), __VA_ARGS__}
#define LEAKY(slope) \
    { .kind = LAYER_LEAKY_RELU, .alpha = (slope) }
#define PRELU(shared) \
    { .kind = LAYER_PRELU, .shared_steps = (shared) }
#define KNOWN .known_steps = true

static const struct layer_case cases[] = {
    {"leaky", IN_4(LEAKY(0.3f), BEHIND)},
    {"leaky, steeper below", IN_4(LEAKY(1.7f), BEHIND)},
    {"leaky hands the mask on", MASKED_4(LEAKY(0.2f), MEAN)},
    {"prelu", IN_4(PRELU(false), BEHIND), KNOWN},
    {"prelu, first", .n_inputs = 3, .steps = 6, KNOWN, .layers = {PRELU(false)}},
    {"prelu, shared", IN_4(PRELU(true), BEHIND)},
    {"prelu, no time", .no_time = true, .n_inputs = 3, .steps = 1,
     .layers = {DENSE(4, ACTIVATION_TANH), PRELU(false), BEHIND}},
    {"prelu hands the mask on", MASKED_4(PRELU(false), MEAN), KNOWN},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        layer_case_check(&cases[i]);
}

/* Two inputs, weighted by one, are 0 and -0: what comes of the first weight says what the slope at zero is. */
static float slope_at_zero(const struct layer_case *of) {
    struct network *network = layer_case_network(of, NETWORK_SAMPLES);
    struct tape *tape = tape_new(network, 1, 1);
    float grads[8] = {0}, none;
    const float *y;
    memcpy(network_params(network), (float[]){1, -1, 0, 0.25f}, network_n_params(network) * sizeof(float));
    tape_forward(tape, network, kernels_choose(), &(struct rng){1}, 1, 1, (float[]){5, 5}, &none, &y);
    assert_true(y[0] == 0);
    tape_backward(tape, network, (const float *const[]){(float[]){1}}, grads);
    tape_free(tape);
    network_free(network);
    return grads[2]; /* the bias' */
}

static void test_slope_at_zero(void **state) {
    (void)state;
    static const struct layer_case leaky = {"leaky", .n_inputs = 2, .steps = 1,
                                            .layers = {DENSE(1, ACTIVATION_LINEAR), LEAKY(0.125f)}};
    static const struct layer_case prelu = {"prelu", .n_inputs = 2, .steps = 1,
                                            .layers = {DENSE(1, ACTIVATION_LINEAR), PRELU(true)}};
    assert_true(slope_at_zero(&leaky) == 0.125f); /* TensorFlow's LeakyReluGrad */
    assert_true(slope_at_zero(&prelu) == 0);      /* of relu(x) - alpha relu(-x) */
}

static void test_sizes(void **state) {
    (void)state;
    static const struct layer_case sizes[] = {
        {"each step", .n_inputs = 3, .steps = 6, KNOWN, .layers = {PRELU(false)}},
        {"shared", .n_inputs = 3, .steps = 6, KNOWN, .layers = {PRELU(true)}},
        {"no time", .n_inputs = 3, .no_time = true, .layers = {PRELU(false)}},
    };
    static const int n_dims[] = {2, 2, 1}, dims[][2] = {{6, 3}, {1, 3}, {3, 0}}, steps[] = {6, 0, 1};
    for (int i = 0; i < 3; i++) {
        struct network *network = layer_case_network(&sizes[i], NETWORK_SAMPLES);
        struct network_weight weights[LAYER_WEIGHTS];
        assert_int_equal(network_weights(network, 0, weights), 1);
        assert_string_equal(weights[0].name, "alpha");
        assert_int_equal(weights[0].n_dims, n_dims[i]);
        assert_memory_equal(weights[0].dims, dims[i], 2 * sizeof(int));
        assert_int_equal(network_steps(network), steps[i]);
        network_init_weights(network, 1);
        for (size_t j = 0; j < network_n_params(network); j++)
            assert_true(network_params(network)[j] == 0);
        network_free(network);
    }
}

static void test_refusals(void **state) {
    (void)state;
    static const struct layer_case known = {"known", IN_4(PRELU(false)), KNOWN},
                                   unknown = {"unknown", IN_4(PRELU(false))};
    layer_case_refused(&unknown, NETWORK_SAMPLES, "layer p_re_lu (PReLU): needs a known number of steps");
    layer_case_refused(&known, NETWORK_STREAM,
                       "(PReLU): has a slope for each step of a sample, and a stream has no end");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_slope_at_zero),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
