#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/layer_check.h"

/* Filters, kernel_size and what else. */
#define CONV(n, ...) \
    { .kind = LAYER_CONV1D, .use_bias = true, .units = (n), .kernel_size = __VA_ARGS__ }
#define CONV_NO_BIAS(n, ...) \
    { .kind = LAYER_CONV1D, .units = (n), .kernel_size = __VA_ARGS__ }
#define TANH      .activation = ACTIVATION_TANH
#define SAME      .padding = PADDING_SAME
#define CAUSAL    .padding = PADDING_CAUSAL
#define IN_4(...) .n_inputs = 3, .steps = 9, .layers = {DENSE(4, ACTIVATION_TANH), __VA_ARGS__}

static const struct layer_case cases[] = {
    {"first", .n_inputs = 3, .steps = 9, .layers = {CONV(5, 3, TANH)}},
    {"more than fits a block, in groups", .n_inputs = 4, .steps = 30, .layers = {CONV(6, 3, TANH, .groups = 2)}},
    {"valid", IN_4(CONV(5, 3, TANH))},
    {"valid, no bias", IN_4(CONV_NO_BIAS(5, 3, TANH))},
    {"of one step", IN_4(CONV(5, 1, TANH))},
    {"as long as the input", IN_4(CONV(5, 9, TANH))},
    {"same, odd", IN_4(CONV(5, 3, TANH, SAME))},
    {"same, even", IN_4(CONV(5, 4, TANH, SAME))},
    {"same, longer than the input", IN_4(CONV(5, 12, TANH, SAME))},
    {"causal", IN_4(CONV(5, 3, TANH, CAUSAL))},
    {"causal, longer than the input", IN_4(CONV(5, 12, TANH, CAUSAL))},
    {"valid, strides", IN_4(CONV(5, 3, TANH, .strides = 2))},
    {"valid, strides past the end", IN_4(CONV(5, 2, TANH, .strides = 4))},
    {"same, strides", IN_4(CONV(5, 3, TANH, SAME, .strides = 2))},
    {"same, strides longer than the kernel", IN_4(CONV(5, 2, TANH, SAME, .strides = 4))},
    {"causal, strides", IN_4(CONV(5, 3, TANH, CAUSAL, .strides = 2))},
    {"valid, dilation", IN_4(CONV(5, 3, TANH, .dilation = 3))},
    {"same, dilation", IN_4(CONV(5, 3, TANH, SAME, .dilation = 2))},
    {"causal, dilation", IN_4(CONV(5, 3, TANH, CAUSAL, .dilation = 2))},
    {"groups", IN_4(CONV(6, 3, TANH, SAME, .groups = 2))},
    {"a group for each input, no bias", IN_4(CONV_NO_BIAS(8, 3, TANH, CAUSAL, .groups = 4))},
    {"an activation that needs its input", IN_4(CONV(5, 3, SAME, .activation = ACTIVATION_SWISH))},
    {"three of them", IN_4(CONV(5, 3, TANH), CONV(3, 2, TANH, .strides = 2), CONV(2, 2, TANH))},
    {"the mask ends", .masked = true, .n_inputs = 3, .steps = 9,
     .layers = {{.kind = LAYER_MASKING},
                DENSE(4, ACTIVATION_TANH),
                CONV(5, 3, TANH, SAME),
                {.kind = LAYER_GLOBAL_AVERAGE_POOLING1D}}},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        layer_case_check(&cases[i]);
}

/* By hand: what Keras' documentation calls a convolution does not turn the kernel round. */
static void test_numbers(void **state) {
    (void)state;
    static const struct layer_case of = {"numbers", .n_inputs = 1, .steps = 4,
                                         .layers = {CONV(1, 2, CAUSAL, .dilation = 2)}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    float *work = floats_new(network_work_size(network, 1, 4)), y[4];
    memcpy(network_params(network), (float[]){10, 1, 0.5f}, 3 * sizeof(float));
    network_forward(network, kernels_choose(), 1, 4, (float[]){1, 2, 3, 4}, NULL, (float *const[]){y}, work);
    assert_true(floats_same(4, y, (float[]){1.5f, 2.5f, 13.5f, 24.5f}));
    free(work);
    network_free(network);
}

/* ---- in a stream --------------------------------------------------------------------------------- */

enum { ROWS = 3, STEPS = 14 };

static const struct layer_case streams[] = {
    {"one", .n_inputs = 3, .steps = STEPS, .layers = {CONV(5, 4, TANH, CAUSAL)}},
    {"of one step", .n_inputs = 3, .steps = STEPS, .layers = {CONV(5, 1, TANH)}},
    {"dilated, in groups", .n_inputs = 4, .steps = STEPS,
     .layers = {CONV(6, 3, TANH, CAUSAL, .dilation = 3, .groups = 2)}},
    {"WaveNet's", .n_inputs = 3, .steps = STEPS,
     .layers = {CONV(4, 2, TANH, CAUSAL),
                CONV(4, 2, TANH, CAUSAL, .dilation = 2),
                CONV(4, 2, TANH, CAUSAL, .dilation = 4),
                {.kind = LAYER_ADD, IN({0, 0}, {1, 0}, {2, 0})},
                {.kind = LAYER_BATCH_NORMALIZATION},
                {.kind = LAYER_LAYER_NORMALIZATION}}},
};

/* Steps [from, to) of x and y [STEPS x ROWS x width] by serving, or by a tape. */
static void run_piece(const struct network *network, struct tape *tape, int from, int to, const float *x,
                      float *state, float *y) {
    struct network_shape shape = network_output(network, 0, to - from);
    size_t n_in = (size_t)network_n_inputs(network), size = network_state_size(network);
    float *work = floats_new(network_work_size(network, ROWS, to - from)), *states[ROWS];
    const float *out;
    x += (size_t)(from * ROWS) * n_in;
    y += from * ROWS * shape.width;
    for (size_t r = 0; r < ROWS; r++)
        states[r] = state + r * size;
    if (tape) {
        tape_forward(tape, network, kernels_choose(), NULL, ROWS, to - from, x, state, &out);
        memcpy(y, out, (size_t)((to - from) * ROWS * shape.width) * sizeof *y);
    } else {
        network_forward(network, kernels_choose(), ROWS, to - from, x, states, (float *const[]){y}, work);
    }
    free(work);
}

static void check_stream(const struct layer_case *of) {
    struct network *samples = layer_case_network(of, NETWORK_SAMPLES),
                   *stream = layer_case_network(of, NETWORK_STREAM);
    size_t n_y = (size_t)(STEPS * ROWS * network_output(stream, 0, 1).width), size = network_state_size(stream);
    struct rng rng = {.state = 3};
    struct tape *tape = tape_new(stream, ROWS, STEPS);
    float *x = floats_random(&rng, (size_t)(STEPS * ROWS * of->n_inputs), 1), *whole = floats_new(n_y);
    run_piece(samples, NULL, 0, STEPS, x, NULL, whole);
    assert_int_equal(network_state_size(samples), 0);
    for (int most = 1; most <= STEPS; most++) {
        float *state = floats_new(ROWS * size), *y = floats_new(n_y);
        float *tape_state = floats_new(ROWS * size), *tape_y = floats_new(n_y);
        for (int t = 0, n; t < STEPS; t += n) {
            n = t + most <= STEPS ? most : STEPS - t;
            run_piece(stream, NULL, t, t + n, x, state, y);
            run_piece(stream, tape, t, t + n, x, tape_state, tape_y);
        }
        if (!floats_same(n_y, whole, y) || floats_distance(n_y, whole, tape_y) > 2e-6 ||
            !(floats_distance(ROWS * size, state, tape_state) < 2e-6))
            fail_msg("%s: by %d steps at a time it gives something else", of->name, most);
        free(state);
        free(y);
        free(tape_state);
        free(tape_y);
    }
    free(x);
    free(whole);
    tape_free(tape);
    network_free(samples);
    network_free(stream);
}

static void test_a_stream_is_one_long_sample(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        check_stream(&streams[i]);
}

static void test_stateful_calls_are_samples_of_their_own(void **state) {
    (void)state;
    struct network *network = layer_case_network(&streams[0], NETWORK_STATEFUL);
    assert_int_equal(network_state_size(network), 0);
    network_free(network);
}

/* The last (4 - 1) inputs, the oldest first. */
static void test_state(void **state) {
    (void)state;
    struct network *network = layer_case_network(&streams[0], NETWORK_STREAM);
    size_t at;
    int n;
    float x[5 * ROWS * 3], kept[ROWS * 9] = {0}, y[STEPS * ROWS * 5];
    for (int i = 0; i < 5 * ROWS * 3; i++)
        x[i] = (float)i;
    assert_int_equal(network_state_size(network), 9);
    assert_int_equal(network_layer_states(network, 0, &at, &n), 1);
    assert_true(at == 0 && n == 9);
    run_piece(network, NULL, 0, 5, x, kept, y);
    for (int r = 0; r < ROWS; r++)
        for (int t = 0; t < 3; t++)
            for (int j = 0; j < 3; j++)
                assert_true(kept[r * 9 + t * 3 + j] == x[((2 + t) * ROWS + r) * 3 + j]);
    network_free(network);
}

/* The gradient of a chunk takes the carried inputs as they are. */
static void test_chunks_carry_no_gradient(void **state) {
    (void)state;
    static const struct layer_case of = {"chunk", .n_inputs = 1, .steps = 2, .layers = {CONV(1, 2, CAUSAL)}};
    struct network *network = layer_case_network(&of, NETWORK_STREAM);
    struct tape *tape = tape_new(network, 1, 2);
    float kept[1] = {7}, grads[3] = {0};
    const float *y;
    tape_forward(tape, network, kernels_choose(), NULL, 1, 2, (float[]){2, 3}, kept, &y);
    tape_backward(tape, network, (const float *const[]){(float[]){1, 10}}, grads);
    assert_true(floats_same(3, grads, (float[]){7 + 20, 2 + 30, 11}));
    assert_true(kept[0] == 3);
    tape_free(tape);
    network_free(network);
}

/* ---- sizes, refusals ------------------------------------------------------------------------------ */

static void test_steps(void **state) {
    (void)state;
    static const struct layer_case of = {"steps", .n_inputs = 3,
                                         .layers = {CONV(5, 3), CONV(4, 4, .strides = 3), CONV(3, 2, .dilation = 2)}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    /* 12: 10, 3, 1. 11: 9, 2, 0 */
    assert_int_equal(network_min_steps(network), 12);
    assert_int_equal(network_steps(network), 0);
    for (int steps = 12; steps < 60; steps++)
        assert_int_equal(network_output(network, 0, steps).steps, (steps - 2 - 4) / 3 + 1 - 2);
    network_free(network);
}

static void test_initial_weights(void **state) {
    (void)state;
    static const struct layer_case of = {"weights", .n_inputs = 6, .layers = {CONV(30, 5, .groups = 3)}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    struct network_weight weights[LAYER_WEIGHTS];
    double most = 0, limit = sqrt(6.0 / (5 * 2 + 5 * 30)); /* Keras: fans are kernel_size times the last two sizes */
    assert_int_equal(network_weights(network, 0, weights), 2);
    assert_int_equal(weights[0].dims[0], 5);
    assert_int_equal(weights[0].dims[1], 2);
    assert_int_equal(weights[0].dims[2], 30);
    network_init_weights(network, 4);
    for (size_t i = 0; i < weights[0].n; i++)
        most = fmax(most, fabs((double)network_params(network)[i]));
    assert_true(most <= limit && most > 0.95 * limit);
    for (size_t i = 0; i < weights[1].n; i++)
        assert_true(network_params(network)[weights[1].at + i] == 0);
    network_free(network);
}

static const struct {
    const char *text;
    enum network_mode mode;
    struct layer_case of;
} refusals[] = {
    {"layer conv1d (Conv1D): looks at 3 steps at once with padding `valid`",
     NETWORK_STREAM,
     {"stream, valid", IN_4(CONV(5, 3))}},
    {"padding `same`, and only a causal convolution runs on a stream",
     NETWORK_STREAM,
     {"stream, same", IN_4(CONV(5, 3, SAME))}},
    {"moves by 2 steps at a time, and a stream",
     NETWORK_STREAM,
     {"stream, strides", IN_4(CONV(5, 3, CAUSAL, .strides = 2))}},
    {"split 4 inputs and 6 filters into 3 groups", NETWORK_SAMPLES, {"groups", IN_4(CONV(6, 3, .groups = 3))}},
    {"into -1 groups", NETWORK_SAMPLES, {"no groups", IN_4(CONV(6, 3, .groups = -1))}},
    {"split 4 inputs and 5 filters into 2 groups", NETWORK_SAMPLES, {"filters", IN_4(CONV(5, 3, .groups = 2))}},
    {"its window of -1 steps", NETWORK_SAMPLES, {"no kernel", IN_4(CONV(5, -1))}},
    {"strides is -1", NETWORK_SAMPLES, {"no strides", IN_4(CONV(5, 3, .strides = -1))}},
    {"its window of 2 steps, each -1 from the next",
     NETWORK_SAMPLES,
     {"no dilation", IN_4(CONV(5, 2, .dilation = -1))}},
    {"its window of 1048576 steps, each 1048576 from the next, must reach",
     NETWORK_SAMPLES,
     {"overflow", IN_4(CONV(5, 1 << 20, .dilation = 1 << 20))}},
    {"one step needs more than 1048576 steps of the input",
     NETWORK_SAMPLES,
     {"overflow of strides", IN_4(CONV(1, 1, .strides = 1 << 20), CONV(1, 1, .strides = 1 << 20))}},
    {"its kernel has more than",
     NETWORK_SAMPLES,
     {"overflow of weights", .n_inputs = 65536, .layers = {CONV(65536, 1 << 19)}}},
    {"filters is -1", NETWORK_SAMPLES, {"no filters", IN_4(CONV(-1, 3))}},
    {"activation 99 is unknown", NETWORK_SAMPLES, {"activation", IN_4(CONV(5, 3, .activation = 99))}},
    {"its input has no time axis",
     NETWORK_SAMPLES,
     {"no time", .no_time = true, .n_inputs = 3, .layers = {CONV(5, 3)}}},
    {"its window reaches over 8 steps, and its input has 7",
     NETWORK_SAMPLES,
     {"too short", .no_time = true, .n_inputs = 3,
      .layers = {{.kind = LAYER_REPEAT_VECTOR, .units = 7}, CONV(5, 8)}}},
    {"takes 1 input, and got 2", NETWORK_SAMPLES, {"two", IN_4(CONV(5, 3, IN({0, 0}, {-1, 0})))}},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        layer_case_refused(&refusals[i].of, refusals[i].mode, refusals[i].text);
}

/* Behind a RepeatVector there are no ticks: every call has all steps. */
static void test_steps_of_their_own_may_be_looked_at_in_a_stream(void **state) {
    (void)state;
    static const struct layer_case of = {
        "decoder", .n_inputs = 3, .no_time = true,
        .layers = {{.kind = LAYER_REPEAT_VECTOR, .units = 7}, CONV(5, 3, SAME), CONV(5, 3, CAUSAL, .strides = 2)}};
    struct network *network = layer_case_network(&of, NETWORK_STREAM);
    assert_int_equal(network_state_size(network), 0);
    assert_int_equal(network_output(network, 0, 1).steps, 4);
    network_free(network);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_a_stream_is_one_long_sample),
        cmocka_unit_test(test_stateful_calls_are_samples_of_their_own),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_chunks_carry_no_gradient),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_initial_weights),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_steps_of_their_own_may_be_looked_at_in_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
