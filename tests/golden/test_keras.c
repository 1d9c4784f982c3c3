/* The engine against what real Keras gave (make_goldens.py) and against models that others made. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/loss.h"
#include "engine/network.h"
#include "engine/optimizer.h"
#include "tests/support/floats.h"
#include "tests/support/layers.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#define TOLERANCE 1e-5 /* of the output scale; of a weight as it is */

enum {
    LAYERS_MAX = 8,
    ROWS_MAX = 16,
};

/* ---- reading ------------------------------------------------------------------------------------ */

static json_t *json_read(const char *path) {
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root)
        fail_msg("%s:%d: %s (tests run from the root of the repository)", path, error.line, error.text);
    return root;
}

static json_t *member(const json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    if (!value)
        fail_msg("a golden lacks \"%s\"", key);
    return value;
}

static int integer(const json_t *object, const char *key) {
    return (int)json_integer_value(member(object, key));
}

/* The numbers of an array, and of the arrays in it, in order; *at moves on. NULL only counts. */
static void flatten(const json_t *value, float *to, size_t *at) {
    if (json_is_number(value)) {
        if (to)
            to[*at] = (float)json_number_value(value);
        (*at)++;
    }
    for (size_t i = 0; i < json_array_size(value); i++)
        flatten(json_array_get(value, i), to, at);
}

/* The caller frees. */
static float *numbers(const json_t *value, size_t *ret_n) {
    size_t n = 0, at = 0;
    flatten(value, NULL, &n);
    float *x = floats_new(n);
    flatten(value, x, &at);
    *ret_n = n;
    return x;
}

static float *numbers_of(const json_t *object, const char *key, size_t expected) {
    size_t n;
    float *x = numbers(member(object, key), &n);
    assert_int_equal(n, expected);
    return x;
}

static enum activation activation_named(const char *name) {
    if (strcmp(name, "tanh") == 0)
        return ACTIVATION_TANH;
    if (strcmp(name, "sigmoid") == 0)
        return ACTIVATION_SIGMOID;
    if (strcmp(name, "relu") == 0)
        return ACTIVATION_RELU;
    if (strcmp(name, "linear") != 0 && strcmp(name, "") != 0)
        fail_msg("activation \"%s\" is unknown", name);
    return ACTIVATION_LINEAR;
}

static struct network *network_with(int n_in, const struct layer_spec *layers, int n_layers, const float *params,
                                    size_t n_params) {
    struct error err;
    struct network *network = chain_new(n_in, layers, n_layers, &err);
    if (!network)
        fail_msg("%s", err.text);
    assert_int_equal(network_n_params(network), n_params);
    memcpy(network_params(network), params, n_params * sizeof *params);
    return network;
}

static struct network *network_of(const json_t *golden) {
    struct layer_spec layers[LAYERS_MAX];
    json_t *specs = member(golden, "layers");
    size_t n_layers = json_array_size(specs), n_params;
    assert_in_range(n_layers, 1, LAYERS_MAX);
    for (size_t i = 0; i < n_layers; i++) {
        json_t *spec = json_array_get(specs, i);
        int lstm = strcmp(json_string_value(member(spec, "kind")), "lstm") == 0;
        layers[i] = layer_spec_of(lstm ? LAYER_LSTM : LAYER_DENSE, integer(spec, "units"));
        layers[i].return_sequences = true;
        if (!lstm)
            layers[i].activation = activation_named(json_string_value(member(spec, "activation")));
    }
    float *params = numbers(member(golden, "params"), &n_params);
    struct network *network = network_with(integer(golden, "inputs"), layers, (int)n_layers, params, n_params);
    free(params);
    return network;
}

/* ---- forward ------------------------------------------------------------------------------------ */

/* Largest |y - expected| over largest |expected|. */
static double relative_distance(size_t n, const float *y, const float *expected) {
    double scale = 0;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs((double)expected[i]));
    assert_true(scale > 0);
    return floats_distance(n, y, expected) / scale;
}

/* One call, served and by a tape; each on its own states [rows x state size]. */
static double check_call(const struct network *network, const json_t *call, float *served_state, float *tape_state) {
    int rows = integer(call, "rows"), steps = integer(call, "steps");
    size_t n = (size_t)rows * (size_t)steps, n_y = n * (size_t)chain_width(network);
    float *x = numbers_of(call, "x", n * (size_t)network_n_inputs(network)), *expected = numbers_of(call, "y", n_y);
    float *y = floats_new(n_y), *state[ROWS_MAX];
    float *work = floats_new(network_work_size(network, rows, steps));
    struct tape *tape = tape_new(network, rows, steps);
    const float *taped;

    for (int r = 0; r < rows; r++)
        state[r] = served_state + (size_t)r * network_state_size(network);
    network_forward(network, kernels_choose(), rows, steps, x, state, (float *const[]){y}, work);
    tape_forward(tape, network, kernels_choose(), false, rows, steps, x, tape_state, &taped);
    double worst = fmax(relative_distance(n_y, y, expected), relative_distance(n_y, taped, expected));

    free(x);
    free(expected);
    free(y);
    free(work);
    tape_free(tape);
    return worst;
}

static void check_golden(const json_t *golden) {
    struct network *network = network_of(golden);
    size_t n_state = ROWS_MAX * network_state_size(network);
    float *served_state = floats_new(n_state), *tape_state = floats_new(n_state);
    json_t *calls = member(golden, "calls");
    double worst = 0;

    assert_true(json_array_size(calls) > 0);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *call = json_array_get(calls, i);
        if (json_is_true(member(call, "reset"))) {
            memset(served_state, 0, n_state * sizeof *served_state);
            memset(tape_state, 0, n_state * sizeof *tape_state);
        }
        worst = fmax(worst, check_call(network, call, served_state, tape_state));
    }
    print_message("%s: worst %.3g of the scale\n", json_string_value(member(golden, "name")), worst);
    assert_true(worst <= TOLERANCE);
    free(served_state);
    free(tape_state);
    network_free(network);
}

static void check_file(const char *path, size_t n_cases, void (*check)(const json_t *golden)) {
    json_t *root = json_read(path), *cases = member(root, "cases");
    assert_int_equal(json_array_size(cases), n_cases);
    for (size_t i = 0; i < n_cases; i++)
        check(json_array_get(cases, i));
    json_decref(root);
}

static void test_stateful_calls(void **state) {
    (void)state;
    check_file("tests/golden/stateful.json", 3, check_golden);
}

static void test_chains(void **state) {
    (void)state;
    check_file("tests/golden/chains.json", 3, check_golden);
}

static void test_dense_activations(void **state) {
    (void)state;
    check_file("tests/golden/dense.json", 4, check_golden);
}

/* ---- training ----------------------------------------------------------------------------------- */

static void check_adam(const json_t *golden) {
    struct network *network = network_of(golden);
    int rows = integer(golden, "rows"), steps = integer(golden, "steps"), updates = integer(golden, "updates");
    size_t n = (size_t)rows * (size_t)steps, n_y = n * (size_t)chain_width(network);
    size_t n_params = network_n_params(network), n_state = (size_t)rows * network_state_size(network);
    float *x = numbers_of(golden, "x", n * (size_t)network_n_inputs(network));
    float *answer = numbers_of(golden, "answer", n_y), *expected = numbers_of(golden, "params_after", n_params);
    float *weight = floats_new(n_y), *dy = floats_new(n_y);
    float *grads = floats_new(n_params), *row_state = floats_new(n_state);
    enum loss loss = strcmp(json_string_value(member(golden, "loss")), "huber") == 0 ? LOSS_HUBER : LOSS_MSE;
    struct optimizer_spec spec = {
        .learning_rate = json_number_value(member(golden, "learning_rate")),
        .beta_1 = 0.9,
        .beta_2 = 0.999,
        .epsilon = json_number_value(member(golden, "epsilon")),
        .clip_norm = json_number_value(member(golden, "clip_norm")),
    };
    struct optimizer *optimizer = optimizer_new(&spec, n_params);
    struct tape *tape = tape_new(network, rows, steps);
    double moved = floats_distance(n_params, network_params(network), expected);

    for (size_t i = 0; i < n_y; i++)
        weight[i] = 1;
    for (int update = 0; update < updates; update++) {
        const float *y;
        memset(row_state, 0, n_state * sizeof *row_state);
        memset(grads, 0, n_params * sizeof *grads);
        tape_forward(tape, network, kernels_choose(), true, rows, steps, x, row_state, &y);
        loss_sum(loss, n_y, y, answer, weight, 1.0f / (float)n_y, dy);
        tape_backward(tape, network, (const float *const[]){dy}, grads);
        optimizer_step(optimizer, network_params(network), grads);
    }
    double worst = floats_distance(n_params, network_params(network), expected);
    print_message("%d Adam steps, %s: weights off by %.3g, moved by %.3g\n", updates,
                  json_string_value(member(golden, "name")), worst, moved);
    assert_true(worst <= TOLERANCE);
    assert_true(moved > 0.01);
    free(x);
    free(answer);
    free(expected);
    free(weight);
    free(dy);
    free(grads);
    free(row_state);
    optimizer_free(optimizer);
    tape_free(tape);
    network_free(network);
}

static void test_adam_steps(void **state) {
    (void)state;
    check_file("tests/golden/adam.json", 2, check_adam);
}

/* ---- models that others made -------------------------------------------------------------------- */

/* Of keras-js' nine LSTM fixtures none is used: eight have hard sigmoid gates, one a sigmoid for its cell,
 * and the engine's LSTM has neither. */

#define MODELS "../shared/models"

static int models_absent(void) {
    if (access(MODELS, R_OK) == 0)
        return 0;
    print_message("skipped: " MODELS " absent\n");
    return 1;
}

static float *column(const char *path, int *ret_n) {
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    float *x = floats_new(1000);
    int n = 0;
    while (n < 1000 && fscanf(file, "%f", &x[n]) == 1)
        n++;
    fclose(file);
    *ret_n = n;
    return x;
}

/* RTNeural's own form of JSON, Keras' weights in it. */
static struct network *rtneural_read(const char *path) {
    struct layer_spec layers[LAYERS_MAX];
    json_t *root = json_read(path), *specs = member(root, "layers"), *weights = json_array();
    int n_layers = (int)json_array_size(specs);
    size_t n_params;

    assert_in_range(n_layers, 1, LAYERS_MAX);
    for (int i = 0; i < n_layers; i++) {
        json_t *spec = json_array_get(specs, (size_t)i), *shape = member(spec, "shape");
        int lstm = strcmp(json_string_value(member(spec, "type")), "lstm") == 0;
        layers[i] = layer_spec_of(lstm ? LAYER_LSTM : LAYER_DENSE,
                                  (int)json_integer_value(json_array_get(shape, json_array_size(shape) - 1)));
        layers[i].return_sequences = true;
        if (!lstm)
            layers[i].activation = activation_named(json_string_value(member(spec, "activation")));
        json_array_append(weights, member(spec, "weights"));
    }
    float *params = numbers(weights, &n_params);
    struct network *network = network_with(1, layers, n_layers, params, n_params);
    free(params);
    json_decref(weights);
    json_decref(root);
    return network;
}

/* Its 100 samples as a live stream: one step per call, the state carried. */
static void check_rtneural(const char *model, const char *x_path, const char *y_path) {
    struct network *network = rtneural_read(model);
    int n, n_expected;
    float *x = column(x_path, &n), *expected = column(y_path, &n_expected), *y = floats_new((size_t)n);
    float *row_state = floats_new(network_state_size(network)), *work = floats_new(network_work_size(network, 1, 1));

    assert_int_equal(n, 100);
    assert_int_equal(n_expected, 100);
    for (int t = 0; t < n; t++)
        network_forward(network, kernels_choose(), 1, 1, x + t, (float *const[]){row_state}, (float *const[]){y + t},
                        work);
    double worst = relative_distance((size_t)n, y, expected);
    print_message("%s: worst %.3g of the scale\n", model, worst);
    assert_true(worst <= TOLERANCE);
    free(x);
    free(expected);
    free(y);
    free(row_state);
    free(work);
    network_free(network);
}

static void test_rtneural_streams(void **state) {
    (void)state;
    if (models_absent())
        return;
    check_rtneural(MODELS "/rtneural/lstm.json", MODELS "/rtneural/lstm_x_python.csv",
                   MODELS "/rtneural/lstm_y_python.csv");
    check_rtneural(MODELS "/rtneural/lstm_1d.json", MODELS "/rtneural/lstm_1d_x_python.csv",
                   MODELS "/rtneural/lstm_1d_y_python.csv");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stateful_calls),    cmocka_unit_test(test_chains),
        cmocka_unit_test(test_dense_activations), cmocka_unit_test(test_adam_steps),
        cmocka_unit_test(test_rtneural_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
