#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/layer_check.h"

#define MAX(...) \
    { .kind = LAYER_MAX_POOLING1D, .kernel_size = __VA_ARGS__ }
#define AVERAGE(...) \
    { .kind = LAYER_AVERAGE_POOLING1D, .kernel_size = __VA_ARGS__ }
#define SAME .padding = PADDING_SAME
#define GLOBAL_MAX(keep) \
    { .kind = LAYER_GLOBAL_MAX_POOLING1D, .keep_steps = (keep) }
#define GLOBAL_AVERAGE(keep) \
    { .kind = LAYER_GLOBAL_AVERAGE_POOLING1D, .keep_steps = (keep) }
#define BEHIND    DENSE(3, ACTIVATION_TANH)
#define IN_4(...) .n_inputs = 3, .steps = 9, .layers = {DENSE(4, ACTIVATION_TANH), __VA_ARGS__}
#define MASKED_4(...) \
    .masked = true, .n_inputs = 3, .steps = 9, \
    .layers = {{.kind = LAYER_MASKING}, DENSE(4, ACTIVATION_TANH), __VA_ARGS__}

static const struct layer_case cases[] = {
    {"max", IN_4(MAX(2), BEHIND)},
    {"max, strides", IN_4(MAX(3, .strides = 1), BEHIND)},
    {"max, strides past the window", IN_4(MAX(2, .strides = 3), BEHIND)},
    {"max, same", IN_4(MAX(4, SAME), BEHIND)},
    {"max, same, strides", IN_4(MAX(3, SAME, .strides = 2), BEHIND)},
    {"max, same, longer than the input", IN_4(MAX(20, SAME, .strides = 1), BEHIND)},
    {"max, all", IN_4(MAX(9), BEHIND)},
    {"average", IN_4(AVERAGE(2), BEHIND)},
    {"average, strides", IN_4(AVERAGE(3, .strides = 1), BEHIND)},
    {"average, strides past the window", IN_4(AVERAGE(2, .strides = 3), BEHIND)},
    {"average, same", IN_4(AVERAGE(4, SAME), BEHIND)},
    {"average, same, strides", IN_4(AVERAGE(3, SAME, .strides = 2), BEHIND)},
    {"average, same, longer than the input", IN_4(AVERAGE(20, SAME, .strides = 1), BEHIND)},
    {"global max", IN_4(GLOBAL_MAX(false), BEHIND)},
    {"global max, kept", IN_4(GLOBAL_MAX(true), BEHIND)},
    {"global average", IN_4(GLOBAL_AVERAGE(false), BEHIND)},
    {"global average, kept", IN_4(GLOBAL_AVERAGE(true), BEHIND)},
    {"averages of more than fit a block", .n_inputs = 70, .steps = 4,
     .layers = {AVERAGE(2), GLOBAL_AVERAGE(false), BEHIND}},
    {"global max does not look at the mask", MASKED_4(GLOBAL_MAX(false), BEHIND)},
    {"global average does", MASKED_4(GLOBAL_AVERAGE(false), BEHIND)},
    {"the mask ends at max", MASKED_4(MAX(3, SAME, .strides = 1), GLOBAL_AVERAGE(false))},
    {"the mask ends at average", MASKED_4(AVERAGE(3, SAME, .strides = 1), GLOBAL_AVERAGE(false))},
    {"behind a convolution",
     IN_4({.kind = LAYER_CONV1D, .units = 3, .kernel_size = 2, .strides = 2}, MAX(2, .strides = 1), AVERAGE(2))},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        layer_case_check(&cases[i]);
}

/* One row of width 1, by serving and by the tape. */
static void run(const struct layer_spec *layer, int steps, const float *x, float *y) {
    struct layer_case of = {"numbers", .n_inputs = 1, .steps = steps, .layers = {*layer}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    struct tape *tape = tape_new(network, 1, steps);
    float *work = floats_new(network_work_size(network, 1, steps)), none;
    const float *out;
    network_forward(network, kernels_choose(), 1, steps, x, NULL, (float *const[]){y}, work);
    tape_forward(tape, network, kernels_choose(), &(struct rng){1}, 1, steps, x, &none, &out);
    assert_true(floats_same((size_t)network_output(network, 0, steps).steps, y, out));
    free(work);
    tape_free(tape);
    network_free(network);
}

static void test_numbers(void **state) {
    (void)state;
    static const float x[] = {1, 5, 2, 8, -3};
    const struct layer_spec max = MAX(2), same = AVERAGE(3, SAME, .strides = 2), all = GLOBAL_MAX(false);
    float y[5];
    run(&max, 5, x, y);
    assert_true(floats_same(2, y, (float[]){5, 8}));
    run(&same, 5, x, y);
    assert_true(floats_same(3, y, (float[]){3, 5, 2.5f}));
    run(&all, 5, x, y);
    assert_true(y[0] == 8);
    run(&all, 5, (float[]){1, 5, NAN, 8, -3}, y);
    assert_true(isnan(y[0]));
    run(&max, 5, (float[]){NAN, 5, 2, NAN, -3}, y);
    assert_true(isnan(y[0]) && isnan(y[1]));
    run(&all, 5, (float[]){-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY}, y);
    assert_true(y[0] == -INFINITY);
}

static void test_mean_of_nothing_is_nan(void **state) {
    (void)state;
    static const struct layer_case of = {"masked", .n_inputs = 1, .steps = 2,
                                         .layers = {{.kind = LAYER_MASKING}, GLOBAL_AVERAGE(false)}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    float *work = floats_new(network_work_size(network, 2, 2)), y[2];
    network_forward(network, kernels_choose(), 2, 2, (float[]){0, 3, 0, 0}, NULL, (float *const[]){y}, work);
    assert_true(isnan(y[0]) && y[1] == 3);
    free(work);
    network_free(network);
}

/* dx where the inputs are alike: a Dense of one weight over a width of one sees the sum of dx x. */
static float gradient_of(const struct layer_spec *layer, int steps, const float *x, const float *dy) {
    struct layer_case of = {"ties", .n_inputs = 2, .steps = steps, .layers = {DENSE(1, ACTIVATION_LINEAR)}};
    of.layers[1] = *layer;
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    struct tape *tape = tape_new(network, 1, steps);
    float grads[3] = {0}, none;
    const float *y;
    memcpy(network_params(network), (float[]){1, 0, 0}, 3 * sizeof(float));
    tape_forward(tape, network, kernels_choose(), &(struct rng){1}, 1, steps, x, &none, &y);
    tape_backward(tape, network, &dy, grads);
    tape_free(tape);
    network_free(network);
    return grads[1]; /* of the weight that does not show: sum of dx times the second input, which marks the step */
}

static void test_gradient_where_several_are_the_greatest(void **state) {
    (void)state;
    static const float x[] = {4, 1, 4, 10, 2, 100, 4, 1000};
    const struct layer_spec max = MAX(4), all = GLOBAL_MAX(false);
    assert_true(gradient_of(&max, 4, x, (float[]){3}) == 3);    /* the first takes it: TensorFlow's MaxPoolGrad */
    assert_true(gradient_of(&all, 4, x, (float[]){3}) == 1011); /* they share it: its gradient of reduce_max */
}

static void test_steps(void **state) {
    (void)state;
    static const struct layer_case of = {"steps", .n_inputs = 3,
                                         .layers = {MAX(3), AVERAGE(2, SAME), MAX(2, .strides = 1)}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    assert_int_equal(network_min_steps(network), 9); /* 9: 3, 2, 1 */
    for (int steps = 9; steps < 40; steps++)
        assert_int_equal(network_output(network, 0, steps).steps, (steps / 3 + 1) / 2 - 1);
    network_free(network);
}

static const struct {
    const char *text;
    enum network_mode mode;
    struct layer_case of;
} refusals[] = {
    {"layer max_pooling1d (MaxPooling1D): moves by 2 steps at a time", NETWORK_STREAM, {"max", IN_4(MAX(2))}},
    {"looks at 2 steps at once with padding `same`",
     NETWORK_STREAM,
     {"average", IN_4(AVERAGE(2, SAME, .strides = 1))}},
    {"looks at all steps of a sample at once, and a stream has no end",
     NETWORK_STREAM,
     {"global", IN_4(GLOBAL_MAX(false))}},
    {"looks at all steps of a sample at once", NETWORK_STREAM, {"global", IN_4(GLOBAL_AVERAGE(true))}},
    {"padding `causal` is for convolutions only",
     NETWORK_SAMPLES,
     {"causal", IN_4(MAX(2, .padding = PADDING_CAUSAL))}},
    {"its window of -1 steps", NETWORK_SAMPLES, {"none", IN_4(MAX(-1))}},
    {"strides is -1", NETWORK_SAMPLES, {"strides", IN_4(MAX(2, .strides = -1))}},
    {"its input has no time axis", NETWORK_SAMPLES, {"no time", .no_time = true, .n_inputs = 3, .layers = {MAX(2)}}},
    {"its input has no time axis",
     NETWORK_SAMPLES,
     {"no time", .no_time = true, .n_inputs = 3, .layers = {GLOBAL_MAX(false)}}},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        layer_case_refused(&refusals[i].of, refusals[i].mode, refusals[i].text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_mean_of_nothing_is_nan),
        cmocka_unit_test(test_gradient_where_several_are_the_greatest),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
