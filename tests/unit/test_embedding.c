#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/layer_check.h"

#define EMBEDDING(n, ...) \
    { .kind = LAYER_EMBEDDING, .units = (n), .vocabulary = __VA_ARGS__ }
#define IDS .n_inputs = 1, .ids = true, .steps = 6
#define MEAN \
    { .kind = LAYER_GLOBAL_AVERAGE_POOLING1D }

static const struct layer_case cases[] = {
    {"alone", IDS, .layers = {EMBEDDING(4, 7)}},
    {"masked", IDS, .masked = true, .layers = {EMBEDDING(4, 7, .mask_zero = true), MEAN}},
    {"zeros, but no mask", IDS, .masked = true, .layers = {EMBEDDING(4, 7), MEAN}},
    {"the mask ends", IDS, .masked = true, .layers = {{.kind = LAYER_MASKING}, EMBEDDING(4, 7), MEAN}},
    {"two of one input", IDS,
     .layers = {EMBEDDING(4, 9, IN({-1, 0})),
                EMBEDDING(3, 9, IN({-1, 0})),
                {.kind = LAYER_CONCATENATE, IN({0, 0}, {1, 0})}}},
    {"one vector", .n_inputs = 1, .ids = true, .no_time = true, .steps = 1, .layers = {EMBEDDING(4, 7)}},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        layer_case_check(&cases[i]);
}

static void test_what_is_not_an_id(void **state) {
    (void)state;
    static const float others[] = {-1, 7, 0.5f, 6.99f, 1e30f, -1e-30f, INFINITY, -INFINITY, NAN};
    struct network *network = layer_case_network(&cases[0], NETWORK_SAMPLES);
    float *work = floats_new(network_work_size(network, 2, 1)), y[2 * 4], *outputs[] = {y};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        network_forward(network, kernels_choose(), 2, 1, (float[]){others[i], 6}, NULL, outputs, work);
        for (int j = 0; j < 4; j++)
            assert_true(isnan(y[j]));
        assert_true(floats_same(4, y + 4, network_params(network) + 6 * 4));
    }
    network_forward(network, kernels_choose(), 2, 1, (float[]){-0.0f, 0}, NULL, outputs, work);
    assert_true(floats_same(4, y, network_params(network)) && floats_same(4, y + 4, network_params(network)));
    free(work);
    network_free(network);
}

/* And adds nothing to a gradient, in or out of the array. */
static void test_gradient_of_what_is_not_an_id(void **state) {
    (void)state;
    struct network *network = layer_case_network(&cases[0], NETWORK_SAMPLES);
    struct tape *tape = tape_new(network, 3, 1);
    float *grads = floats_new(7 * 4), none, dy[3 * 4];
    const float *y;
    for (int i = 0; i < 3 * 4; i++)
        dy[i] = 1;
    tape_forward(tape, network, kernels_choose(), &(struct rng){1}, 3, 1, (float[]){-3, 5, 1e9f}, &none, &y);
    tape_backward(tape, network, (const float *const[]){dy}, grads);
    for (int i = 0; i < 7 * 4; i++)
        assert_true(grads[i] == (i / 4 == 5));
    free(grads);
    tape_free(tape);
    network_free(network);
}

static int vocabulary_of(const struct layer_case *of) {
    struct network *network = layer_case_network(of, NETWORK_SAMPLES);
    int vocabulary = network_vocabulary(network);
    network_free(network);
    return vocabulary;
}

static void test_vocabulary(void **state) {
    (void)state;
    static const struct layer_case two = {
        "two", IDS,
        .layers = {EMBEDDING(4, 9, IN({-1, 0})), EMBEDDING(3, 5, IN({-1, 0})), EMBEDDING(3, 30, IN({-1, 0}))}};
    static const struct layer_case behind = {"behind another layer", IDS,
                                             .layers = {DENSE(1, ACTIVATION_RELU), EMBEDDING(4, 7)}};
    static const struct layer_case no_ids = {"no ids", .n_inputs = 1, .steps = 6, .layers = {EMBEDDING(4, 7)}};
    assert_int_equal(vocabulary_of(&no_ids), 0);
    assert_int_equal(vocabulary_of(&cases[0]), 7);
    assert_int_equal(vocabulary_of(&two), 5);
    assert_int_equal(vocabulary_of(&behind), 0);
}

static void test_initial_weights(void **state) {
    (void)state;
    struct network *network = layer_case_network(&cases[0], NETWORK_SAMPLES);
    double most = 0;
    network_init_weights(network, 4);
    for (size_t i = 0; i < network_n_params(network); i++)
        most = fmax(most, fabs((double)network_params(network)[i]));
    assert_true(most <= 0.05 && most > 0.04);
    network_free(network);
}

static const struct {
    const char *text;
    struct layer_case of;
} refusals[] = {
    {"layer embedding (Embedding): has 0 ids, and may have from 1 to 16777216",
     {"no ids", IDS, .layers = {EMBEDDING(4, 0)}}},
    {"has 16777217 ids", {"too many", IDS, .layers = {EMBEDDING(4, (1 << 24) + 1)}}},
    {"its embeddings has more than", {"overflow", IDS, .layers = {EMBEDDING(65536, 1 << 24)}}},
    {"units is -1", {"no units", IDS, .layers = {EMBEDDING(-1, 7)}}},
    {"takes one id at each step, and its input is 3 wide", {"wide", .n_inputs = 3, .layers = {EMBEDDING(4, 7)}}},
    {"masks steps, and its input has no time axis",
     {"mask without steps", .n_inputs = 1, .no_time = true, .layers = {EMBEDDING(4, 7, .mask_zero = true)}}},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        layer_case_refused(&refusals[i].of, NETWORK_SAMPLES, refusals[i].text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_what_is_not_an_id),
        cmocka_unit_test(test_gradient_of_what_is_not_an_id),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_initial_weights),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
