/* Models that others made, in JSON of their own, with the outputs that came with them: keras-js' fixtures (Keras 2)
 * and RTNeural's streams. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/network.h"
#include "tests/support/floats.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#define MODELS    "../shared/models"
#define TOLERANCE 1e-5 /* of the output's scale */

enum { LAYERS_MAX = 8 };

static void need_models(void) {
    if (access(MODELS, R_OK) == 0)
        return;
    print_message("skipped: " MODELS " is absent\n");
    skip();
}

/* ---- JSON --------------------------------------------------------------------------------------- */

static json_t *json_read(const char *path) {
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return root;
}

static json_t *member(const json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    if (!value)
        fail_msg("no \"%s\"", key);
    return value;
}

/* The numbers of an array, and of the arrays in it, in order; *at moves on. NULL only counts. Of objects, what "data"
 * is. */
static void flatten(const json_t *value, float *to, size_t *at) {
    if (json_is_number(value)) {
        if (to)
            to[*at] = (float)json_number_value(value);
        (*at)++;
    }
    if (json_is_object(value))
        flatten(member(value, "data"), to, at);
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

/* ---- networks ----------------------------------------------------------------------------------- */

static struct network *network_with(const struct network_spec *spec, const json_t *weights) {
    struct error err;
    struct network *network = network_new(spec, &err);
    size_t n = 0, at = 0;

    if (!network)
        fail_msg("%s", err.text);
    flatten(weights, NULL, &n);
    assert_int_equal(network_n_params(network), n);
    flatten(weights, network_params(network), &at);
    return network;
}

static double error_of(size_t n, const float *y, const float *expected) {
    double scale = 0;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs((double)expected[i]));
    assert_true(scale > 0);
    return floats_distance(n, y, expected) / scale;
}

/* ---- keras-js ----------------------------------------------------------------------------------- */

/* What its notebooks (notebooks/layers/...) say of a fixture: the files do not. */
struct fixture {
    const char *file, *name;
    enum layer_kind kind, cell;
    enum merge_mode merge;
    bool sequences, backwards, stateful; /* stateful: the output is that of a second call with the same input */
    bool sigmoids;                       /* for the activation and for that of the gates */
    bool no_bias;
};

#define RECURRENT(file, NAME, KIND) \
    {file, NAME ".0", .kind = KIND}, {file, NAME ".1", .kind = KIND, .sigmoids = true}, \
        {file, NAME ".2", .kind = KIND, .sequences = true}, {file, NAME ".3", .kind = KIND, .backwards = true}, \
        {file, NAME ".4", .kind = KIND, .sequences = true, .backwards = true}, \
        {file, NAME ".5", .kind = KIND, .stateful = true}, \
        {file, NAME ".6", .kind = KIND, .sequences = true, .stateful = true}, { \
        file, NAME ".7", .kind = KIND, .backwards = true, .stateful = true \
    }
#define BIDIRECTIONAL(NUMBER, CELL, MERGE, SEQUENCES) \
    { \
        "wrappers/Bidirectional.json", "wrappers.Bidirectional." NUMBER, .kind = LAYER_BIDIRECTIONAL, .cell = CELL, \
                                                                         .merge = MERGE, .sequences = SEQUENCES \
    }

/* wrappers.TimeDistributed.1 is not among them: it wraps a Conv2D. */
static const struct fixture fixtures[] = {
    RECURRENT("recurrent/LSTM.json", "recurrent.LSTM", LAYER_LSTM),
    {"recurrent/LSTM.json", "recurrent.LSTM.8", .kind = LAYER_LSTM, .sequences = true, .backwards = true,
     .stateful = true},
    RECURRENT("recurrent/GRU.json", "recurrent.GRU", LAYER_GRU),
    {"recurrent/GRU.json", "recurrent.GRU.8", .kind = LAYER_GRU, .sequences = true, .backwards = true,
     .stateful = true, .no_bias = true},
    RECURRENT("recurrent/SimpleRNN.json", "recurrent.SimpleRNN", LAYER_SIMPLE_RNN),
    {"recurrent/SimpleRNN.json", "recurrent.SimpleRNN.8", .kind = LAYER_SIMPLE_RNN, .sequences = true,
     .backwards = true, .stateful = true, .no_bias = true},
    BIDIRECTIONAL("0", LAYER_SIMPLE_RNN, MERGE_SUM, false),
    BIDIRECTIONAL("1", LAYER_SIMPLE_RNN, MERGE_MUL, false),
    BIDIRECTIONAL("2", LAYER_SIMPLE_RNN, MERGE_CONCAT, false),
    BIDIRECTIONAL("3", LAYER_SIMPLE_RNN, MERGE_AVE, false),
    BIDIRECTIONAL("4", LAYER_SIMPLE_RNN, MERGE_CONCAT, true),
    BIDIRECTIONAL("5", LAYER_GRU, MERGE_CONCAT, true),
    BIDIRECTIONAL("6", LAYER_LSTM, MERGE_CONCAT, true),
    BIDIRECTIONAL("7", LAYER_SIMPLE_RNN, MERGE_SUM, true),
    {"wrappers/TimeDistributed.json", "wrappers.TimeDistributed.0", .kind = LAYER_DENSE},
    {"core/RepeatVector.json", "core.RepeatVector.0", .kind = LAYER_REPEAT_VECTOR},
    {"embeddings/Embedding.json", "embeddings.Embedding.0", .kind = LAYER_EMBEDDING},
    {"embeddings/Embedding.json", "embeddings.Embedding.1", .kind = LAYER_EMBEDDING},
    {"embeddings/Embedding.json", "embeddings.Embedding.2", .kind = LAYER_EMBEDDING},
};

/* The last of a "shape", and the first. */
static int last_dim(const json_t *array) {
    const json_t *shape = member(array, "shape");
    return (int)json_integer_value(json_array_get(shape, json_array_size(shape) - 1));
}

static int first_dim(const json_t *array) {
    return (int)json_integer_value(json_array_get(member(array, "shape"), 0));
}

static struct layer_spec layer_of(const struct fixture *fixture, const json_t *golden) {
    const json_t *weights = json_object_get(golden, "weights");
    struct layer_spec layer = layer_spec_of(fixture->kind, last_dim(member(golden, "expected")));

    if (fixture->kind == LAYER_DENSE)
        return layer;
    if (fixture->kind == LAYER_REPEAT_VECTOR)
        layer.units = first_dim(member(golden, "expected"));
    if (fixture->kind == LAYER_EMBEDDING)
        layer.vocabulary = first_dim(json_array_get(weights, 0));
    if (fixture->kind == LAYER_BIDIRECTIONAL)
        layer.units = first_dim(json_array_get(weights, 1)); /* the recurrent kernel's */
    layer.cell = fixture->cell;
    layer.merge = fixture->merge;
    layer.activation = fixture->sigmoids ? ACTIVATION_SIGMOID : ACTIVATION_TANH;
    layer.recurrent_activation = fixture->sigmoids ? ACTIVATION_SIGMOID : ACTIVATION_HARD_SIGMOID_KERAS2;
    layer.return_sequences = fixture->sequences;
    layer.go_backwards = fixture->backwards;
    layer.stateful = fixture->stateful;
    layer.use_bias = !fixture->no_bias;
    layer.reset_after = false;
    return layer;
}

static void test_keras_js(void **state) {
    const struct fixture *fixture = *state;
    char path[128];

    need_models();
    snprintf(path, sizeof path, MODELS "/keras-js/fixtures/%s", fixture->file);
    json_t *root = json_read(path), *golden = member(root, fixture->name), *input = member(golden, "input");
    bool ids = fixture->kind == LAYER_EMBEDDING, no_time = !ids && json_array_size(member(input, "shape")) == 1;
    struct layer_spec layer = layer_of(fixture, golden);
    struct network_spec spec = {
        .mode = fixture->stateful ? NETWORK_STATEFUL : NETWORK_SAMPLES,
        .n_inputs = ids ? 1 : last_dim(input),
        .ids = ids,
        .no_time = no_time,
        .layers = &layer,
        .n_layers = 1,
    };
    struct network *network = network_with(&spec, json_object_get(golden, "weights"));
    int steps = no_time ? 1 : first_dim(input);
    struct network_shape shape = network_output(network, 0, steps);
    size_t n_x, n_y;
    float *x = numbers(input, &n_x), *expected = numbers(member(golden, "expected"), &n_y);
    float *y = floats_new(n_y), *row_state = floats_new(network_state_size(network));
    float *work = floats_new(network_work_size(network, 1, steps));

    assert_int_equal(n_x, steps * spec.n_inputs);
    assert_int_equal(n_y, shape.steps * shape.width);
    for (int call = 0; call < (fixture->stateful ? 2 : 1); call++)
        network_forward(network, kernels_choose(), 1, steps, x, (float *const[]){row_state}, (float *const[]){y},
                        work);
    double error = error_of(n_y, y, expected);
    print_message("%s: error %.3g of the scale\n", fixture->name, error);
    assert_true(error <= TOLERANCE);
    free(x);
    free(expected);
    free(y);
    free(row_state);
    free(work);
    network_free(network);
    json_decref(root);
}

/* ---- RTNeural ----------------------------------------------------------------------------------- */

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

static enum activation activation_named(const char *name) {
    static const struct {
        const char *name;
        enum activation activation;
    } known[] = {{"", ACTIVATION_LINEAR}, {"tanh", ACTIVATION_TANH}, {"sigmoid", ACTIVATION_SIGMOID}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].activation;
    fail_msg("activation \"%s\" is unknown", name);
    return ACTIVATION_LINEAR;
}

/* RTNeural's own form of JSON, Keras' weights in it. */
static struct network *rtneural_read(const char *path) {
    struct layer_spec layers[LAYERS_MAX];
    json_t *root = json_read(path), *specs = member(root, "layers"), *weights = json_array();
    struct network_spec spec = {
        .mode = NETWORK_STREAM, .n_inputs = 1, .layers = layers, .n_layers = (int)json_array_size(specs)};

    assert_in_range(spec.n_layers, 1, LAYERS_MAX);
    for (int i = 0; i < spec.n_layers; i++) {
        json_t *layer = json_array_get(specs, (size_t)i);
        const char *type = json_string_value(member(layer, "type"));
        enum layer_kind kind = strcmp(type, "lstm") == 0  ? LAYER_LSTM
                               : strcmp(type, "gru") == 0 ? LAYER_GRU
                                                          : LAYER_DENSE;
        layers[i] = layer_spec_of(kind, last_dim(layer));
        layers[i].activation = activation_named(json_string_value(member(layer, "activation")));
        layers[i].return_sequences = true;
        json_array_append(weights, member(layer, "weights"));
    }
    struct network *network = network_with(&spec, weights);
    json_decref(weights);
    json_decref(root);
    return network;
}

/* Its 100 samples as a live stream: one step per call, the state carried. */
static void test_rtneural(void **state) {
    const char *name = *state;
    char path[3][128];
    int n, n_expected;

    need_models();
    snprintf(path[0], sizeof path[0], MODELS "/rtneural/%s.json", name);
    snprintf(path[1], sizeof path[1], MODELS "/rtneural/%s_x_python.csv", name);
    snprintf(path[2], sizeof path[2], MODELS "/rtneural/%s_y_python.csv", name);
    struct network *network = rtneural_read(path[0]);
    float *x = column(path[1], &n), *expected = column(path[2], &n_expected), *y = floats_new((size_t)n);
    float *row_state = floats_new(network_state_size(network)), *work = floats_new(network_work_size(network, 1, 1));

    assert_int_equal(n, 100);
    assert_int_equal(n_expected, 100);
    for (int t = 0; t < n; t++)
        network_forward(network, kernels_choose(), 1, 1, x + t, (float *const[]){row_state}, (float *const[]){y + t},
                        work);
    double error = error_of((size_t)n, y, expected);
    print_message("RTNeural's %s: error %.3g of the scale\n", name, error);
    assert_true(error <= TOLERANCE);
    free(x);
    free(expected);
    free(y);
    free(row_state);
    free(work);
    network_free(network);
}

int main(void) {
    static const char *const streams[] = {"lstm", "lstm_1d", "gru", "gru_1d"};
    enum {
        FIXTURES = sizeof fixtures / sizeof *fixtures,
        STREAMS = sizeof streams / sizeof *streams,
    };
    struct CMUnitTest tests[FIXTURES + STREAMS];

    for (int i = 0; i < FIXTURES; i++)
        tests[i] = (struct CMUnitTest){fixtures[i].name, test_keras_js, NULL, NULL, (void *)(uintptr_t)&fixtures[i]};
    for (int i = 0; i < STREAMS; i++)
        tests[FIXTURES + i] =
            (struct CMUnitTest){streams[i], test_rtneural, NULL, NULL, (void *)(uintptr_t)streams[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
