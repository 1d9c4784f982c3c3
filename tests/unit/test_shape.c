#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/layer_check.h"

#define IN_3(...) .n_inputs = 3, .steps = 6, .layers = {DENSE(4, ACTIVATION_TANH), __VA_ARGS__}
#define MASKED_3(...) \
    .masked = true, .n_inputs = 3, .steps = 6, \
    .layers = {{.kind = LAYER_MASKING}, DENSE(4, ACTIVATION_TANH), __VA_ARGS__}
#define KNOWN   .known_steps = true
#define NO_TIME .no_time = true, .n_inputs = 3, .steps = 1
#define BEHIND  DENSE(3, ACTIVATION_TANH)
#define FLATTEN \
    { .kind = LAYER_FLATTEN }
#define PERMUTE \
    { .kind = LAYER_PERMUTE }
#define RESHAPE(steps, width) \
    { .kind = LAYER_RESHAPE, .target_steps = (steps), .target_width = (width) }
#define REPEAT(n) \
    { .kind = LAYER_REPEAT_VECTOR, .units = (n) }
#define MEAN \
    { .kind = LAYER_GLOBAL_AVERAGE_POOLING1D }

static const struct layer_case cases[] = {
    {"dropout", IN_3({.kind = LAYER_DROPOUT, .dropout = 0.5f}, BEHIND)},
    {"dropout hands the mask on", MASKED_3({.kind = LAYER_DROPOUT, .dropout = 0.5f}, MEAN)},
    {"repeat", NO_TIME, .layers = {DENSE(4, ACTIVATION_TANH), REPEAT(5), BEHIND}},
    {"flatten", IN_3(FLATTEN, BEHIND), KNOWN},
    {"flatten, no time", NO_TIME, .layers = {DENSE(4, ACTIVATION_TANH), FLATTEN, BEHIND}},
    {"flatten as it comes", .n_inputs = 3, .steps = 6, KNOWN, .layers = {FLATTEN}},
    {"reshape", IN_3(RESHAPE(3, 8), BEHIND), KNOWN},
    {"reshape, wider than it was long", IN_3(RESHAPE(1, 24), BEHIND), KNOWN},
    {"reshape, any steps", IN_3(RESHAPE(-1, 3), BEHIND), KNOWN},
    {"reshape, any width", IN_3(RESHAPE(12, -1), BEHIND), KNOWN},
    {"reshape, flat", IN_3(RESHAPE(0, 24), BEHIND), KNOWN},
    {"reshape, flat, any width", IN_3(RESHAPE(0, -1), BEHIND), KNOWN},
    {"reshape, as it was", IN_3(RESHAPE(6, 4), BEHIND), KNOWN},
    {"reshape, as it was, any number of steps", IN_3(RESHAPE(-1, 4), BEHIND)},
    {"reshape, from no time", NO_TIME, .layers = {DENSE(12, ACTIVATION_TANH), RESHAPE(6, 2), BEHIND}},
    {"the mask ends at reshape", MASKED_3(RESHAPE(6, 4), MEAN), KNOWN},
    {"the mask ends at another reshape", MASKED_3(RESHAPE(3, 8), MEAN), KNOWN},
    {"permute", IN_3(PERMUTE, BEHIND), KNOWN},
    {"the mask ends at permute", MASKED_3(PERMUTE, MEAN), KNOWN},
    {"masking", .masked = true, .n_inputs = 3, .steps = 6, .layers = {{.kind = LAYER_MASKING}, BEHIND}},
    {"masking behind masking", MASKED_3({.kind = LAYER_MASKING, .mask_value = 5}, MEAN)},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        layer_case_check(&cases[i]);
}

static void run(const struct layer_case *of, int rows, int steps, const float *x, float *y) {
    struct network *network = layer_case_network(of, NETWORK_SAMPLES);
    float *work = floats_new(network_work_size(network, rows, steps));
    network_forward(network, kernels_choose(), rows, steps, x, NULL, (float *const[]){y}, work);
    free(work);
    network_free(network);
}

/* Two rows, three steps of two: row 0 is 1 2, 3 4, 5 6, row 1 ten times that. */
static const float two_rows[] = {1, 2, 10, 20, 3, 4, 30, 40, 5, 6, 50, 60};

static void test_numbers(void **state) {
    (void)state;
    static const struct layer_case flatten = {"flatten", .n_inputs = 2, .steps = 3, KNOWN, .layers = {FLATTEN}};
    static const struct layer_case reshape = {"reshape", .n_inputs = 2, .steps = 3, KNOWN, .layers = {RESHAPE(2, 3)}};
    static const struct layer_case permute = {"permute", .n_inputs = 2, .steps = 3, KNOWN, .layers = {PERMUTE}};
    static const struct layer_case masking = {"masking", .n_inputs = 2, .steps = 3,
                                              .layers = {{.kind = LAYER_MASKING, .mask_value = 7}}};
    float y[12];
    run(&flatten, 2, 3, two_rows, y);
    assert_true(floats_same(12, y, (float[]){1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60}));
    run(&reshape, 2, 3, two_rows, y);
    assert_true(floats_same(12, y, (float[]){1, 2, 3, 10, 20, 30, 4, 5, 6, 40, 50, 60}));
    run(&permute, 2, 3, two_rows, y);
    assert_true(floats_same(12, y, (float[]){1, 3, 5, 10, 30, 50, 2, 4, 6, 20, 40, 60}));
    run(&masking, 1, 3, (float[]){7, 7, 7, 1, NAN, 7}, y);
    assert_true(floats_same(6, y, (float[]){0, 0, 7, 1, NAN, 7}));
}

/* What is masked is nothing to its input: weight 1, and the second of the steps 7, 3 is all that the gradient
 * sees. */
static void test_masking_keeps_gradients_back(void **state) {
    (void)state;
    static const struct layer_case of = {
        "masking", .n_inputs = 1, .steps = 2,
        .layers = {DENSE(1, ACTIVATION_LINEAR), {.kind = LAYER_MASKING, .mask_value = 7}}};
    struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
    struct tape *tape = tape_new(network, 1, 2);
    float grads[2] = {0}, none;
    const float *y;
    memcpy(network_params(network), (float[]){1, 0}, 2 * sizeof(float));
    tape_forward(tape, network, kernels_choose(), &(struct rng){1}, 1, 2, (float[]){7, 3}, &none, &y);
    tape_backward(tape, network, (const float *const[]){(float[]){10, 1}}, grads);
    assert_true(grads[0] == 3 && grads[1] == 1);
    tape_free(tape);
    network_free(network);
}

static void check_shape(const struct layer_case *of, enum network_mode mode, struct network_shape expected) {
    struct network *network = layer_case_network(of, mode);
    struct network_shape shape = network_output(network, 0, of->steps);
    assert_int_equal(shape.width, expected.width);
    assert_int_equal(shape.sequence, expected.sequence);
    assert_int_equal(shape.steps, expected.steps);
    assert_int_equal(network_steps(network), of->no_time ? 1 : of->known_steps ? of->steps : 0);
    network_free(network);
}

static void test_shapes(void **state) {
    (void)state;
    static const struct layer_case flat = {"flat", IN_3(RESHAPE(0, -1)), KNOWN};
    static const struct layer_case reshape = {"reshape", IN_3(RESHAPE(-1, 3)), KNOWN};
    static const struct layer_case longer = {"longer", .n_inputs = 3, .steps = 17, .layers = {RESHAPE(-1, 3)}};
    static const struct layer_case largest = {"largest", .n_inputs = 65536, .steps = 1, KNOWN, .layers = {FLATTEN}};
    check_shape(&flat, NETWORK_SAMPLES, (struct network_shape){.width = 24, .sequence = false, .steps = 1});
    check_shape(&reshape, NETWORK_STATEFUL, (struct network_shape){.width = 3, .sequence = true, .steps = 8});
    check_shape(&longer, NETWORK_SAMPLES, (struct network_shape){.width = 3, .sequence = true, .steps = 17});
    check_shape(&longer, NETWORK_STREAM, (struct network_shape){.width = 3, .sequence = true, .steps = 17});
    check_shape(&largest, NETWORK_SAMPLES, (struct network_shape){.width = 65536, .sequence = false, .steps = 1});
}

/* A network is told its steps, but takes any number where no layer must know it. */
static void test_steps_are_fixed_only_where_needed(void **state) {
    (void)state;
    static const struct layer_case needless = {"needless", IN_3(DENSE(2, ACTIVATION_TANH)), KNOWN},
                                   needed = {"needed", IN_3(FLATTEN), KNOWN};
    struct network *network = layer_case_network(&needless, NETWORK_SAMPLES);
    assert_int_equal(network_steps(network), 0);
    network_free(network);
    network = layer_case_network(&needed, NETWORK_SAMPLES);
    assert_int_equal(network_steps(network), 6);
    assert_int_equal(network_min_steps(network), 6);
    network_free(network);
}

static const struct {
    const char *text;
    enum network_mode mode;
    struct layer_case of;
} refusals[] = {
    {"layer flatten (Flatten): needs a known number of steps", NETWORK_SAMPLES, {"flatten", IN_3(FLATTEN)}},
    {"layer flatten (Flatten): looks at all steps of a sample at once",
     NETWORK_STREAM,
     {"flatten", IN_3(FLATTEN), KNOWN}},
    {"6 steps of 65536 make a vector of more than 65536",
     NETWORK_SAMPLES,
     {"flatten", .n_inputs = 65536, .steps = 6, KNOWN, .layers = {FLATTEN}}},
    {"needs a known number of steps", NETWORK_SAMPLES, {"reshape", IN_3(RESHAPE(3, 8))}},
    {"looks at all steps", NETWORK_STREAM, {"reshape", IN_3(RESHAPE(3, 8)), KNOWN}},
    {"cannot make the shape 5 x 5 of 24 elements", NETWORK_SAMPLES, {"reshape", IN_3(RESHAPE(5, 5)), KNOWN}},
    {"cannot make the shape -1 x 5 of 24 elements", NETWORK_SAMPLES, {"reshape", IN_3(RESHAPE(-1, 5)), KNOWN}},
    {"cannot make the shape 48 x -1 of 24 elements", NETWORK_SAMPLES, {"reshape", IN_3(RESHAPE(48, -1)), KNOWN}},
    {"cannot make the shape -1 x -1", NETWORK_SAMPLES, {"reshape", IN_3(RESHAPE(-1, -1)), KNOWN}},
    {"cannot make the shape -2 x 4", NETWORK_SAMPLES, {"reshape", IN_3(RESHAPE(-2, 4)), KNOWN}},
    {"cannot make the shape 6 x 0", NETWORK_SAMPLES, {"reshape", IN_3(RESHAPE(6, 0)), KNOWN}},
    {"cannot make the shape 2147483647 x 2147483647 of 24",
     NETWORK_SAMPLES,
     {"reshape", IN_3(RESHAPE(INT32_MAX, INT32_MAX)), KNOWN}},
    {"makes the shape 131072 x 1, and neither may be more",
     NETWORK_SAMPLES,
     {"reshape", .n_inputs = 65536, .steps = 2, KNOWN, .layers = {RESHAPE(-1, 1)}}},
    {"swaps steps and width, and its input has no time axis",
     NETWORK_SAMPLES,
     {"permute", .no_time = true, .n_inputs = 3, .layers = {PERMUTE}}},
    {"needs a known number of steps", NETWORK_SAMPLES, {"permute", IN_3({.kind = LAYER_PERMUTE})}},
    {"looks at all steps", NETWORK_STREAM, {"permute", IN_3(PERMUTE), KNOWN}},
    {"the steps of its input, is 65537, and must be",
     NETWORK_SAMPLES,
     {"permute", .n_inputs = 3, .steps = 65537, KNOWN, .layers = {PERMUTE}}},
    {"repeats one vector, and its input has a time axis", NETWORK_SAMPLES, {"repeat", IN_3(REPEAT(3))}},
    {"n is 0, and must be from 1 to 65536",
     NETWORK_SAMPLES,
     {"repeat", .no_time = true, .n_inputs = 3, .layers = {REPEAT(0)}}},
    {"n is 65537", NETWORK_SAMPLES, {"repeat", .no_time = true, .n_inputs = 3, .layers = {REPEAT(65537)}}},
    {"layer masking (Masking): masks steps, and its input has no time axis",
     NETWORK_SAMPLES,
     {"masking", .no_time = true, .n_inputs = 3, .layers = {{.kind = LAYER_MASKING}}}},
    {"takes 1 input, and got 2", NETWORK_SAMPLES, {"dropout", IN_3({.kind = LAYER_DROPOUT, IN({0, 0}, {-1, 0})})}},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        layer_case_refused(&refusals[i].of, refusals[i].mode, refusals[i].text);
}

/* Behind a RepeatVector there are no ticks: every call has all steps. */
static void test_steps_of_their_own_may_be_looked_at_in_a_stream(void **state) {
    (void)state;
    static const struct layer_case of = {"decoder", .n_inputs = 3, .no_time = true, .steps = 1,
                                         .layers = {REPEAT(5), PERMUTE, FLATTEN}};
    check_shape(&of, NETWORK_STREAM, (struct network_shape){.width = 15, .sequence = false, .steps = 1});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_masking_keeps_gradients_back),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_steps_are_fixed_only_where_needed),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_steps_of_their_own_may_be_looked_at_in_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
