#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/layer_check.h"

#define ADD(...) \
    { .kind = LAYER_ADD, IN(__VA_ARGS__) }
#define MULTIPLY(...) \
    { .kind = LAYER_MULTIPLY, IN(__VA_ARGS__) }
#define CONCATENATE(...) \
    { .kind = LAYER_CONCATENATE, IN(__VA_ARGS__) }
#define MASKING(value, from) \
    { \
        .kind = LAYER_MASKING, .mask_value = (value), .n_in = 1, .in = { {from, 0} } \
    }
#define DENSE_OF(n, from) \
    { \
        .kind = LAYER_DENSE, .units = (n), .activation = ACTIVATION_TANH, .use_bias = true, .n_in = 1, .in = { \
            {from, 0} \
        } \
    }
#define AVERAGE_OF(keep, from) \
    { \
        .kind = LAYER_GLOBAL_AVERAGE_POOLING1D, .keep_steps = (keep), .n_in = 1, .in = { {from, 0} } \
    }
#define MEAN \
    { .kind = LAYER_GLOBAL_AVERAGE_POOLING1D }
#define BEHIND DENSE(2, ACTIVATION_TANH)
/* Three branches of width 4 from the input. */
#define BRANCHES DENSE_OF(4, -1), DENSE_OF(4, -1), DENSE_OF(4, -1)
#define IN_3     .n_inputs = 3, .steps = 6
#define NO_TIME  .n_inputs = 3, .steps = 1, .no_time = true

static const struct layer_case cases[] = {
    {"add", IN_3, .layers = {BRANCHES, ADD({0, 0}, {1, 0}, {2, 0}), BEHIND}},
    {"multiply", IN_3, .layers = {BRANCHES, MULTIPLY({0, 0}, {1, 0}, {2, 0}), BEHIND}},
    {"concatenate", IN_3, .layers = {BRANCHES, CONCATENATE({0, 0}, {1, 0}, {2, 0}), BEHIND}},
    {"concatenate, of different widths", IN_3,
     .layers = {DENSE_OF(4, -1), DENSE_OF(1, -1), CONCATENATE({0, 0}, {-1, 0}, {1, 0}), BEHIND}},
    {"add, no time", NO_TIME, .layers = {BRANCHES, ADD({0, 0}, {1, 0}, {2, 0}), BEHIND}},
    {"multiply, no time", NO_TIME, .layers = {BRANCHES, MULTIPLY({0, 0}, {1, 0}, {2, 0}), BEHIND}},
    {"concatenate, no time", NO_TIME, .layers = {BRANCHES, CONCATENATE({0, 0}, {1, 0}, {2, 0}), BEHIND}},
    {"add itself", IN_3, .layers = {DENSE_OF(4, -1), ADD({0, 0}, {0, 0}), BEHIND}},
    {"multiply by itself", IN_3, .layers = {DENSE_OF(4, -1), MULTIPLY({0, 0}, {0, 0}), BEHIND}},
    {"concatenate with itself", IN_3, .layers = {DENSE_OF(4, -1), CONCATENATE({0, 0}, {0, 0}), BEHIND}},
    {"of one", IN_3, .layers = {DENSE_OF(4, -1), ADD({0, 0}), MULTIPLY({1, 0}), CONCATENATE({2, 0}), BEHIND}},
    {"a residual", IN_3, .layers = {DENSE_OF(3, -1), ADD({-1, 0}, {0, 0}), BEHIND}},
    {"add at every step", IN_3,
     .layers = {DENSE_OF(4, -1), DENSE_OF(4, -1), AVERAGE_OF(false, 1), ADD({0, 0}, {2, 0}), BEHIND}},
    {"add at every step, the other way round", IN_3,
     .layers = {DENSE_OF(4, -1), DENSE_OF(4, -1), AVERAGE_OF(false, 1), ADD({2, 0}, {0, 0}), BEHIND}},
    {"multiply at every step", IN_3,
     .layers = {DENSE_OF(4, -1), DENSE_OF(4, -1), AVERAGE_OF(true, 1), MULTIPLY({0, 0}, {2, 0}), BEHIND}},
    {"multiply at every step, the other way round", IN_3,
     .layers = {DENSE_OF(4, -1), DENSE_OF(4, -1), AVERAGE_OF(true, 1), MULTIPLY({2, 0}, {0, 0}), BEHIND}},
    {"add one step and no time", IN_3,
     .layers = {DENSE_OF(4, -1), AVERAGE_OF(false, 0), AVERAGE_OF(true, 0), ADD({1, 0}, {2, 0}), BEHIND}},
    {"add one to the whole width", IN_3, .layers = {DENSE_OF(1, -1), DENSE_OF(4, -1), ADD({0, 0}, {1, 0}), BEHIND}},
    {"multiply the whole width by one", IN_3,
     .layers = {DENSE_OF(1, -1), DENSE_OF(4, -1), MULTIPLY({1, 0}, {0, 0}), BEHIND}},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        layer_case_check(&cases[i]);
}

/* Two masks that differ: of the input, and of an embedding of it. The mean behind shows which steps are left. */
#define TWO_MASKS(kind_, keras2) \
    .n_inputs = 1, .ids = true, .steps = 8, .masked = true, \
    .layers = { \
        {.kind = LAYER_EMBEDDING, .units = 4, .vocabulary = 3, .mask_zero = true, IN({-1, 0})}, \
        MASKING(1, -1), \
        DENSE_OF(4, 1), \
        {.kind = (kind_), .keras2_masks = (keras2), IN({0, 0}, {2, 0})}, \
        MEAN, \
    }
#define ONE_MASK(kind_, keras2) \
    .masked = true, .n_inputs = 3, .steps = 8, \
    .layers = { \
        MASKING(0, -1), \
        DENSE_OF(4, 0), \
        DENSE_OF(4, -1), \
        {.kind = (kind_), .keras2_masks = (keras2), IN({1, 0}, {2, 0})}, \
        MEAN, \
    }
#define SAME_MASK(kind_, keras2) \
    .masked = true, .n_inputs = 3, .steps = 8, \
    .layers = { \
        MASKING(0, -1), DENSE_OF(4, 0), \
        DENSE_OF(4, 0), {.kind = (kind_), .keras2_masks = (keras2), IN({1, 0}, {2, 0})}, \
        MEAN, \
    }
#define MASKED_AND_NO_TIME(kind_, keras2) \
    .masked = true, .n_inputs = 3, .steps = 8, \
    .layers = { \
        MASKING(0, -1), \
        DENSE_OF(4, 0), \
        AVERAGE_OF(false, 1), \
        {.kind = (kind_), .keras2_masks = (keras2), IN({1, 0}, {2, 0})}, \
        MEAN, \
    }
#define ALL_KINDS(name, of) \
    {name ", add", of(LAYER_ADD, false)}, {name ", add, Keras 2", of(LAYER_ADD, true)}, \
        {name ", multiply", of(LAYER_MULTIPLY, false)}, {name ", multiply, Keras 2", of(LAYER_MULTIPLY, true)}, \
        {name ", concatenate", of(LAYER_CONCATENATE, false)}, { \
        name ", concatenate, Keras 2", of(LAYER_CONCATENATE, true) \
    }

static const struct layer_case masked[] = {
    ALL_KINDS("two masks", TWO_MASKS),
    ALL_KINDS("one mask", ONE_MASK),
    ALL_KINDS("the same mask", SAME_MASK),
    {"zero where all is masked", .masked = true, .n_inputs = 3, .steps = 8,
     .layers = {MASKING(0, -1),
                DENSE_OF(4, 0),
                DENSE_OF(4, 0),
                MULTIPLY({1, 0}, {2, 0}),
                {.kind = LAYER_AVERAGE_POOLING1D, .kernel_size = 2}}},
    {"masked and no time, add", MASKED_AND_NO_TIME(LAYER_ADD, false)},
    {"masked and no time, add, Keras 2", MASKED_AND_NO_TIME(LAYER_ADD, true)},
    {"masked and no time, multiply", MASKED_AND_NO_TIME(LAYER_MULTIPLY, false)},
};

static void test_masks(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
        layer_case_check(&masked[i]);
}

/* What Keras 3.15 and tf-keras 2.21 give for a = Embedding(3, 1, mask_zero=True), of 1, 2, 3, and b = Masking(20)
 * behind Embedding(3, 1), of 10, 20, 30; then GlobalAveragePooling1D of them merged, for two rows of ids. */
static void test_masks_in_numbers(void **state) {
    (void)state;
    static const float ids[6 * 2] = {0, 1, 1, 1, 2, 1, 1, 1, 0, 1, 2, 2};
    static const struct {
        enum layer_kind kind;
        bool keras2;
        float expected[4];
    } numbers[] = {
        {LAYER_ADD, false, {15.333333f, 7.1666665f}},
        {LAYER_ADD, true, {33, 33}},
        {LAYER_MULTIPLY, false, {34, 16.666666f}},
        {LAYER_MULTIPLY, true, {90, 90}},
        {LAYER_CONCATENATE, false, {2, 13.333333f, 2.1666667f, 5}},
        {LAYER_CONCATENATE, true, {3, 30, 3, 30}},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct layer_case of = {
            "numbers", .n_inputs = 1, .ids = true,
            .layers = {{.kind = LAYER_EMBEDDING, .units = 1, .vocabulary = 3, .mask_zero = true, IN({-1, 0})},
                       {.kind = LAYER_EMBEDDING, .units = 1, .vocabulary = 3, IN({-1, 0})},
                       MASKING(20, 1),
                       {.kind = numbers[i].kind, .keras2_masks = numbers[i].keras2, IN({0, 0}, {2, 0})},
                       MEAN}};
        struct network *network = layer_case_network(&of, NETWORK_SAMPLES);
        float *work = floats_new(network_work_size(network, 2, 6)), y[4] = {0};
        memcpy(network_params(network), (float[]){1, 2, 3, 10, 20, 30}, 6 * sizeof(float));
        network_forward(network, kernels_choose(), 2, 6, ids, NULL, (float *const[]){y}, work);
        assert_true(floats_distance(4, y, numbers[i].expected) < 2e-5);
        free(work);
        network_free(network);
    }
}

/* Steps that are the same only once their number is known. */
static void test_steps_that_must_be_known(void **state) {
    (void)state;
    static const struct layer_case of = {
        "pooled by two, and every second step", .n_inputs = 3, .steps = 7, .known_steps = true,
        .layers = {{.kind = LAYER_AVERAGE_POOLING1D, .kernel_size = 2, .padding = PADDING_SAME, IN({-1, 0})},
                   {.kind = LAYER_CONV1D, .units = 3, .kernel_size = 1, .strides = 2, IN({-1, 0})},
                   {.kind = LAYER_CONV1D, .units = 3, .kernel_size = 4, IN({-1, 0})},
                   ADD({0, 0}, {1, 0}, {2, 0})}};
    struct layer_case unknown = of;
    unknown.known_steps = false;
    layer_case_check(&of);
    layer_case_refused(&unknown, NETWORK_SAMPLES,
                       "layer add (Add): its inputs differ in steps: number 1 has any number "
                       "of steps, number 3 has any number of steps; their number must be known");
}

static const struct {
    const char *text;
    enum network_mode mode;
    struct layer_case of;
} refusals[] = {
    {"layer add (Add): its inputs differ in width: 3 and 4",
     NETWORK_SAMPLES,
     {"width", IN_3, .layers = {DENSE_OF(4, -1), ADD({-1, 0}, {0, 0})}}},
    {"differ in width: 3 and 4",
     NETWORK_SAMPLES,
     {"width", IN_3, .layers = {DENSE_OF(4, -1), MULTIPLY({-1, 0}, {0, 0})}}},
    {"number 1 has 6 steps, number 2 has 5 steps",
     NETWORK_SAMPLES,
     {"steps", IN_3, .known_steps = true,
      .layers = {{.kind = LAYER_CONV1D, .units = 3, .kernel_size = 2},
                 ADD({-1, 0}, {0, 0}),
                 {.kind = LAYER_FLATTEN}}}},
    {"layer concatenate (Concatenate): its inputs differ in steps: number 1 has any number of steps, number 2 has no time "
     "axis",
     NETWORK_SAMPLES,
     {"steps", IN_3, .layers = {AVERAGE_OF(false, -1), CONCATENATE({-1, 0}, {0, 0})}}},
    {"number 1 has any number of steps, number 2 has 1 steps; their number must be known",
     NETWORK_SAMPLES,
     {"steps", IN_3, .layers = {AVERAGE_OF(true, -1), CONCATENATE({-1, 0}, {0, 0})}}},
    {"makes a width of 65537, and it may be 65536",
     NETWORK_SAMPLES,
     {"width", .n_inputs = 65536, .steps = 6, .layers = {DENSE_OF(1, -1), CONCATENATE({-1, 0}, {0, 0})}}},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        layer_case_refused(&refusals[i].of, refusals[i].mode, refusals[i].text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_masks_in_numbers),
        cmocka_unit_test(test_steps_that_must_be_known),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
