/* Descriptions of models: those that Keras writes, and those that nobody should. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/keras/architecture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Descriptions stand here with ' for ". */
static json_t *json_of(const char *text) {
    char *copy = strdup(text);
    json_error_t error;
    assert_non_null(copy);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json_t *json = json_loads(copy, 0, &error);
    if (!json)
        fail_msg("%s at %d of %s", error.text, error.position, copy);
    free(copy);
    return json;
}

static json_t *json; /* that of the latest read() */
static struct architecture architecture;

static void forget(void) {
    architecture_fini(&architecture);
    json_decref(json);
    json = NULL;
}

static void read_as(const char *text, bool old) {
    struct error err = {""};
    forget();
    json = json_of(text);
    if (architecture_init(&architecture, json, old, &err))
        fail_msg("%s: %s", text, err.text);
}

static void refused(const char *text, const char *sentence) {
    struct error err = {""};
    forget();
    json = json_of(text);
    if (architecture_init(&architecture, json, false, &err) == 0)
        fail_msg("was read: %s", text);
    if (!strstr(err.text, sentence))
        fail_msg("\"%s\" does not have \"%s\"", err.text, sentence);
}

static const struct layer_spec *layer(int i) {
    assert_in_range(i, 0, architecture.spec.n_layers - 1);
    return &architecture.spec.layers[i];
}

static void assert_reads(int i, int input, int from, int port) {
    assert_true(input < layer(i)->n_in);
    assert_int_equal(layer(i)->in[input].layer, from);
    assert_int_equal(layer(i)->in[input].port, port);
}

static void assert_outputs(int n, const int (*outputs)[2]) {
    assert_int_equal(architecture.spec.n_outputs, n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(architecture.spec.outputs[i].layer, outputs[i][0]);
        assert_int_equal(architecture.spec.outputs[i].port, outputs[i][1]);
    }
}

/* ---- words of descriptions ---------------------------------------------------------------------- */

#define LAYER(class, name, options) "{'class_name': '" class "', 'config': {'name': '" name "'" options "}}"
#define SEQUENTIAL(layers)          "{'class_name': 'Sequential', 'config': {'name': 'chain', 'layers': [" layers "]}}"
#define INPUT                       "{'class_name': 'InputLayer', 'config': {'name': 'in', 'batch_shape': [null, 5, 2]}}"
#define FLAT                        "{'class_name': 'InputLayer', 'config': {'name': 'in', 'batch_shape': [null, 5]}}"
/* Of one layer on a sequence. */
#define ONE(class, options) SEQUENTIAL(INPUT ", " LAYER(class, "it", options))

/* Functional, Keras 2 and 3. */
#define MODEL(layers, outputs) \
    "{'class_name': 'Functional', 'config': {'name': 'graph', 'layers': [" layers \
    "], 'input_layers': [['in', 0, 0]], 'output_layers': " outputs "}}"
#define IN_NODE \
    "{'class_name': 'InputLayer', 'config': {'name': 'in', 'batch_shape': [null, 5, 2]}, 'name': 'in', " \
    "'inbound_nodes': []}"
#define NODE(class, name, options, nodes) \
    "{'class_name': '" class "', 'config': {'name': '" name "'" options "}, 'name': '" name \
                             "', 'inbound_nodes': [" nodes "]}"
#define OP(class, name, nodes) \
    "{'module': 'keras.src.ops.numpy', 'class_name': '" class "', 'config': {'name': '" name "'}, 'name': '" name \
                                                              "', 'inbound_nodes': [" nodes "]}"
#define OLD(name, call, output) "['" name "', " #call ", " #output ", {}]"
#define TENSOR(name, call, output) \
    "{'class_name': '__keras_tensor__', 'config': {'keras_history': ['" name "', " #call ", " #output "]}}"
#define CALL(args, kwargs) "{'args': [" args "], 'kwargs': {" kwargs "}}"

/* ---- inputs ------------------------------------------------------------------------------------- */

static void assert_input(const char *text, int n_inputs, int steps, bool ids, bool no_time) {
    read_as(text, false);
    assert_int_equal(architecture.spec.n_inputs, n_inputs);
    assert_int_equal(architecture.spec.steps, steps);
    assert_int_equal(architecture.spec.ids, ids);
    assert_int_equal(architecture.spec.no_time, no_time);
}

static void test_inputs(void **state) {
    (void)state;
#define LSTM(shape) SEQUENTIAL(LAYER("LSTM", "it", ", 'units': 3, " shape))
    assert_input(LSTM("'batch_input_shape': [null, 5, 2]"), 2, 5, false, false);
    assert_input(LSTM("'batch_input_shape': [32, null, 2]"), 2, 0, false, false);
    assert_input(LSTM("'batch_shape': [1, 5, 2]"), 2, 5, false, false);
    assert_input(LSTM("'input_shape': [5, 2]"), 2, 5, false, false);
    assert_input(LSTM("'input_dim': 2, 'input_length': 5"), 2, 5, false, false);
    assert_input(LSTM("'input_dim': 2"), 2, 0, false, false);
    assert_input(ONE("LSTM", ", 'units': 3"), 2, 5, false, false);
    assert_input("{'class_name': 'Sequential', 'config': {'build_input_shape': [null, 5, 2], 'layers': [" LAYER(
                     "LSTM", "it", ", 'units': 3") "]}}",
                 2, 5, false, false);
    assert_input("{'class_name': 'Sequential', 'config': [" LAYER(
                     "LSTM", "it", ", 'output_dim': 3, 'batch_input_shape': [null, 5, 2]") "]}",
                 2, 5, false, false);
    assert_input(
        SEQUENTIAL(SEQUENTIAL(INPUT "," LAYER("LSTM", "a", ", 'units': 3")) "," LAYER("Dense", "b", ", 'units': 1")),
        2, 5, false, false);
    assert_input(SEQUENTIAL(LAYER("Embedding", "it", ", 'input_dim': 9, 'output_dim': 2, 'input_length': 4")), 1, 4,
                 true, false);
    assert_input(SEQUENTIAL(FLAT "," LAYER("Embedding", "it", ", 'input_dim': 9, 'output_dim': 2")), 1, 5, true,
                 false);
    assert_input(SEQUENTIAL(FLAT "," LAYER("Dense", "it", ", 'units': 2")), 5, 0, false, true);
    assert_input(SEQUENTIAL(LAYER("Dense", "it", ", 'units': 2, 'input_dim': 7")), 7, 0, false, true);

    refused(SEQUENTIAL(LAYER("Dense", "it", ", 'units': 2")), "does not say the shape of its input");
    refused(LSTM("'batch_input_shape': [null, 5, 4, 2]"),
            "the model's input has 4 dimensions, and 2 or 3 are supported");
    refused(LSTM("'batch_input_shape': [null, 5, null]"), "its width must be given");
    refused(LSTM("'batch_input_shape': [null, 5, 1000000]"), "its width must be given");
    refused(LSTM("'batch_input_shape': [null, -5, 2]"), "a shape that is not supported");
    refused(LSTM("'batch_input_shape': 7"), "does not say the shape of its input");
    refused(SEQUENTIAL(FLAT "," LAYER("LSTM", "it", ", 'units': 2")), "layer it (LSTM): its input has no time axis");
    refused(ONE("Embedding", ", 'input_dim': 9, 'output_dim': 2"),
            "layer it (Embedding): does not read an input of ids, [batch, time]");
#undef LSTM
}

/* ---- layers ------------------------------------------------------------------------------------- */

static void test_options_of_all_ages(void **state) {
    (void)state;
    read_as(ONE("LSTM",
                ", 'units': 3, 'activation': 'relu', 'recurrent_activation': 'hard_sigmoid', 'use_bias': false, "
                "'return_sequences': true, 'go_backwards': true, 'stateful': true, 'dropout': 0.25, "
                "'recurrent_dropout': 0.5, 'unroll': true, 'kernel_initializer': {'class_name': 'Zeros'}"),
            false);
    assert_int_equal(layer(0)->kind, LAYER_LSTM);
    assert_string_equal(layer(0)->name, "it");
    assert_int_equal(layer(0)->units, 3);
    assert_int_equal(layer(0)->activation, ACTIVATION_RELU);
    assert_int_equal(layer(0)->recurrent_activation, ACTIVATION_HARD_SIGMOID);
    assert_false(layer(0)->use_bias);
    assert_true(layer(0)->return_sequences && layer(0)->go_backwards && layer(0)->stateful);
    assert_float_equal(layer(0)->dropout, 0.25, 0);
    assert_float_equal(layer(0)->recurrent_dropout, 0.5, 0);

    read_as(ONE("GRU", ", 'output_dim': 4, 'inner_activation': 'hard_sigmoid', 'dropout_W': 0.25, 'dropout_U': 0.5"),
            true);
    assert_int_equal(layer(0)->units, 4);
    assert_int_equal(layer(0)->recurrent_activation, ACTIVATION_HARD_SIGMOID_KERAS2);
    assert_float_equal(layer(0)->dropout, 0.25, 0);
    assert_false(layer(0)->reset_after);
    read_as(ONE("CuDNNGRU", ", 'units': 4"), true);
    assert_int_equal(layer(0)->kind, LAYER_GRU);
    assert_true(layer(0)->reset_after);
    assert_int_equal(layer(0)->recurrent_activation, ACTIVATION_SIGMOID);

    read_as(ONE("Convolution1D",
                ", 'nb_filter': 4, 'filter_length': 3, 'border_mode': 'same', 'subsample_length': 2, "
                "'bias': false, 'activation': 'swish'"),
            true);
    assert_int_equal(layer(0)->units, 4);
    assert_int_equal(layer(0)->kernel_size, 3);
    assert_int_equal(layer(0)->strides, 2);
    assert_int_equal(layer(0)->padding, PADDING_SAME);
    assert_false(layer(0)->use_bias);
    read_as(ONE("Conv1D",
                ", 'filters': 4, 'kernel_size': [3], 'strides': [1], 'padding': 'causal', 'dilation_rate': [2], "
                "'groups': 2"),
            false);
    assert_int_equal(layer(0)->kernel_size, 3);
    assert_int_equal(layer(0)->dilation, 2);
    assert_int_equal(layer(0)->groups, 2);
    assert_int_equal(layer(0)->padding, PADDING_CAUSAL);
    read_as(ONE("MaxPooling1D", ", 'pool_length': 3, 'stride': null"), true);
    assert_int_equal(layer(0)->kernel_size, 3);
    assert_int_equal(layer(0)->strides, 3);
    read_as(ONE("TimeDistributedDense", ", 'output_dim': 3"), true);
    assert_int_equal(layer(0)->kind, LAYER_DENSE);
    assert_true(layer(0)->time_distributed);
    read_as(ONE("TimeDistributed", ", 'layer': " LAYER("Dense", "inner", ", 'units': 3")), false);
    assert_string_equal(layer(0)->name, "it");
    assert_true(layer(0)->time_distributed);
    assert_string_equal(architecture.homes[0].path, "layers/time_distributed/layer");
    read_as(ONE("BatchNormalization", ", 'axis': [2], 'momentum': 0.5, 'epsilon': 0.01, 'center': false"), false);
    assert_float_equal(layer(0)->epsilon, 0.01, 1e-9);
    assert_false(layer(0)->center);
    read_as(ONE("LeakyReLU", ", 'negative_slope': 0.125"), false);
    assert_float_equal(layer(0)->alpha, 0.125, 0);
    read_as(ONE("LeakyReLU", ", 'alpha': 0.125"), true);
    assert_float_equal(layer(0)->alpha, 0.125, 0);
    read_as(ONE("ReLU", ", 'max_value': null, 'negative_slope': 0.0, 'threshold': 0.0"), false);
    assert_int_equal(layer(0)->kind, LAYER_ACTIVATION);
    assert_int_equal(layer(0)->activation, ACTIVATION_RELU);
    read_as(ONE("Dropout", ", 'p': 0.5"), true);
    assert_float_equal(layer(0)->dropout, 0.5, 0);
    assert_int_equal(layer(0)->kind, LAYER_DROPOUT);
    read_as(ONE("Dropout", ", 'rate': 0.25, 'noise_shape': [null, 1, null]"), true);
    assert_int_equal(layer(0)->kind, LAYER_SPATIAL_DROPOUT1D);
    read_as(ONE("GaussianNoise", ", 'sigma': 2.5"), true);
    assert_float_equal(layer(0)->dropout, 2.5, 0);
    read_as(ONE("Reshape", ", 'target_shape': [-1, 5]"), false);
    assert_int_equal(layer(0)->target_steps, -1);
    assert_int_equal(layer(0)->target_width, 5);
    read_as(ONE("Reshape", ", 'target_shape': [10]"), false);
    assert_int_equal(layer(0)->target_steps, 0);
}

static void test_activations(void **state) {
    (void)state;
    read_as(ONE("Dense", ", 'units': 1, 'activation': {'class_name': 'function', 'config': 'gelu'}"), false);
    assert_int_equal(layer(0)->activation, ACTIVATION_GELU);
    read_as(ONE("Dense", ", 'units': 1, 'activation': {'class_name': 'ReLU', 'config': {}}"), false);
    assert_int_equal(layer(0)->activation, ACTIVATION_RELU);
    read_as(ONE("Dense", ", 'units': 1, 'activation': null"), false);
    assert_int_equal(layer(0)->activation, ACTIVATION_LINEAR);
    refused(ONE("Dense", ", 'units': 1, 'activation': 'mish'"), "layer it (Dense): activation mish is not supported");
    refused(ONE("Dense", ", 'units': 1, 'activation': {'class_name': 'LeakyReLU', 'config': {}}"),
            "layer it (Dense): activation LeakyReLU is not supported");
    refused(ONE("Dense", ", 'units': 1, 'activation': [1]"), "activation of that form is not supported");
}

static void test_bidirectional(void **state) {
    (void)state;
#define BOTH(merge, more) \
    ONE("Bidirectional", \
        ", 'merge_mode': " merge ", 'layer': " LAYER("GRU", "f", ", 'units': 3, 'reset_after': true") more)
    read_as(BOTH("'ave'", ""), false);
    assert_int_equal(layer(0)->kind, LAYER_BIDIRECTIONAL);
    assert_int_equal(layer(0)->cell, LAYER_GRU);
    assert_int_equal(layer(0)->merge, MERGE_AVE);
    assert_int_equal(layer(0)->units, 3);
    assert_true(layer(0)->reset_after);
    read_as(BOTH("'concat'",
                 ", 'backward_layer': " LAYER("GRU", "b", ", 'units': 3, 'reset_after': true, 'go_backwards': true")),
            false);
    assert_int_equal(layer(0)->merge, MERGE_CONCAT);
    refused(BOTH("'concat'",
                 ", 'backward_layer': " LAYER("GRU", "b", ", 'units': 4, 'reset_after': true, 'go_backwards': true")),
            "layer it (Bidirectional): its backward_layer differs from its layer");
    refused(BOTH("'concat'", ", 'backward_layer': " LAYER("GRU", "b", ", 'units': 3, 'reset_after': true")),
            "differs from its layer");
    refused(BOTH("null", ""), "merge_mode null is not supported");
    refused(ONE("Bidirectional", ", 'merge_mode': 'sum', 'layer': " LAYER("Dense", "f", ", 'units': 3")),
            "a Bidirectional around Dense is not supported");
#undef BOTH
}

static void test_what_is_refused_by_name(void **state) {
    (void)state;
    refused(ONE("Attention", ""), "layer it (Attention): is not supported");
    refused(ONE("MultiHeadAttention", ""), "layer it (MultiHeadAttention): is not supported");
    refused(ONE("Lambda", ""), "layer it (Lambda): is not supported");
    refused(ONE("Conv2D", ""), "layer it (Conv2D): is not supported");
    refused(ONE("MyOwn>Layer", ""), "layer it (MyOwn>Layer): is not supported");
    refused(SEQUENTIAL(INPUT ", {}"), "layer without a name (without a class): is not supported");
    refused(SEQUENTIAL(INPUT ", 7"), "is not supported");
    refused(ONE("LSTM", ", 'units': 3, 'time_major': true"), "layer it (LSTM): time_major is not supported");
    refused(ONE("Conv1D", ", 'filters': 3, 'kernel_size': 2, 'data_format': 'channels_first'"),
            "data_format channels_first is not supported");
    refused(ONE("BatchNormalization", ", 'axis': 1"), "works along axis 1, and only the last axis is supported");
    refused(ONE("Permute", ", 'dims': [3, 1]"), "only the dims (2, 1) are supported");
    refused(ONE("ReLU", ", 'max_value': 6"), "max_value and threshold are not supported");
    refused(ONE("TimeDistributed", ", 'layer': " LAYER("LSTM", "inner", ", 'units': 3")),
            "layer it (LSTM): is not supported in a TimeDistributed");
    refused(ONE("TimeDistributed", ", 'layer': " LAYER("Flatten", "inner", "")),
            "is not supported in a TimeDistributed");
    refused(ONE("RNN", ", 'cell': {'class_name': 'MyCell', 'config': {}}"),
            "a cell of class MyCell is not supported");
    refused(ONE("RNN", ""), "a cell of class unknown is not supported");
    refused("{'class_name': 'MyModel', 'config': {}}", "a model of class MyModel is not supported");
    refused("[]", "a model of class unknown is not supported");
    refused(SEQUENTIAL(""), "the model has no layers");
    refused(SEQUENTIAL(INPUT), "the model has no layers");
}

static void test_numbers_out_of_range(void **state) {
    (void)state;
    refused(ONE("Dense", ""), "its size is not given");
    refused(ONE("Dense", ", 'units': 0"), "units is 0, and may be from 1 to ");
    refused(ONE("Dense", ", 'units': -1"), "units is -1");
    refused(ONE("LSTM", ", 'units': 99999999999"), "units is 99999999999");
    refused(ONE("LSTM", ", 'units': '3'"), "units is not a whole number");
    refused(ONE("LSTM", ", 'units': 3, 'use_bias': 'yes'"), "use_bias is neither true nor false");
    refused(ONE("LSTM", ", 'units': 3, 'dropout': 1.5"), "a rate of dropout is not from 0 to below 1");
    refused(ONE("RepeatVector", ", 'n': 2000000"), "n is 2000000");
    refused(ONE("Conv1D", ", 'filters': 3, 'kernel_size': [2, 2]"), "kernel_size is not a whole number");
    refused(ONE("Reshape", ", 'target_shape': [1, 2, 3]"), "makes a tensor of 4 dimensions");
    refused(ONE("Reshape", ", 'target_shape': [0]"), "a dimension of target_shape is not");
}

/* ---- graphs ------------------------------------------------------------------------------------- */

/* The encoder-decoder in three dialects. */
static void test_initial_state(void **state) {
    (void)state;
#define ENCODER(call) NODE("LSTM", "enc", ", 'units': 3, 'return_state': true", call)
#define REPEAT(call)  NODE("RepeatVector", "rep", ", 'n': 4", call)
#define DECODER(call) NODE("LSTM", "dec", ", 'units': 3, 'return_sequences': true", call)
    static const char *const dialects[] = {
        MODEL(IN_NODE "," ENCODER("[" OLD("in", 0, 0) "]") "," REPEAT("[" OLD("enc", 0, 0) "]") "," DECODER(
                  "[" OLD("rep", 0, 0) "," OLD("enc", 0, 1) "," OLD("enc", 0, 2) "]"),
              "[['dec', 0, 0], ['enc', 0, 1]]"),
        MODEL(IN_NODE "," ENCODER("[" OLD("in", 0, 0) "]") "," REPEAT("[" OLD("enc", 0, 0) "]") "," DECODER(
                  "[['rep', 0, 0, {'initial_state': [['enc', 0, 1], ['enc', 0, 2]]}]]"),
              "[['dec', 0, 0], [['enc', 0, 1]]]"),
        MODEL(DECODER(CALL(
                  TENSOR("rep", 0, 0),
                  "'initial_state': [" TENSOR("enc", 0, 1) "," TENSOR(
                      "enc", 0,
                      2) "], 'mask': null")) "," REPEAT(CALL(TENSOR("enc", 0, 0),
                                                             "")) "," ENCODER(CALL(TENSOR("in", 0, 0),
                                                                                   "'training': false")) "," IN_NODE,
              "[['dec', 0, 0], ['enc', 0, 1]]"),
    };
    for (int i = 0; i < 6; i++) {
        read_as(dialects[i % 3], i < 3);
        assert_int_equal(architecture.spec.n_layers, 3);
        assert_int_equal(layer(2)->keras2_masks, i < 3);
        assert_string_equal(layer(2)->name, "dec");
        assert_int_equal(layer(2)->n_in, 3);
        assert_reads(2, 0, 1, 0);
        assert_reads(2, 1, 0, 1);
        assert_reads(2, 2, 0, 2);
        assert_outputs(2, (const int[][2]){{2, 0}, {0, 1}});
    }
    refused(MODEL(IN_NODE
                  "," ENCODER("[" OLD("in", 0, 0) "]") "," DECODER("[" OLD("in", 0, 0) "," OLD("enc", 0, 1) "]"),
                  "[['dec', 0, 0]]"),
            "layer dec (LSTM): has 1 initial states, and must have none or 2");
    refused(MODEL(IN_NODE "," ENCODER("[" OLD("in", 0, 0) "]"), "[['enc', 0, 3]]"),
            "reads output 3 of layer enc, which has 3");
    refused(MODEL(IN_NODE "," ENCODER("[" OLD("enc", 0, 0) "]"), "[['enc', 0, 0]]"),
            "the model's outputs do not follow from its inputs");
    refused(MODEL(IN_NODE "," ENCODER("[" OLD("other", 0, 0) "]"), "[['enc', 0, 0]]"),
            "reads layer other, which is not in");
    refused(MODEL(IN_NODE "," ENCODER("[" OLD("in", 5, 0) "]"), "[['enc', 0, 0]]"),
            "reads call 5 of layer in, which has 1");
    refused(
        MODEL(IN_NODE "," ENCODER("[" OLD("in", 0, 0) "]") "," ENCODER("[" OLD("in", 0, 0) "]"), "[['enc', 0, 0]]"),
        "layer enc (LSTM): there is a second layer of this name");
}

static void test_merging_and_sharing(void **state) {
    (void)state;
#define DENSE(name, calls) NODE("Dense", name, ", 'units': 2", calls)
    read_as(MODEL(IN_NODE "," DENSE("a", "[" OLD("in", 0, 0) "],[" OLD("sum", 0, 0) "]") "," NODE(
                      "Add", "sum", "", "[" OLD("in", 0, 0) "," OLD("a", 0, 0) "]"),
                  "[['a', 1, 0]]"),
            false);
    assert_int_equal(architecture.spec.n_layers, 3);
    assert_reads(1, 0, -1, 0);
    assert_reads(1, 1, 0, 0);
    assert_int_equal(layer(2)->shares, 1);
    assert_string_equal(layer(2)->name, "a_1");
    assert_int_equal(architecture.n_homes, 2);
    assert_int_equal(architecture.homes[0].layer, 0);

    read_as(MODEL(IN_NODE "," DENSE("a", CALL(TENSOR("in", 0, 0), "")) "," OP(
                      "Add", "sum", CALL(TENSOR("in", 0, 0) "," TENSOR("a", 0, 0), "")),
                  "[['sum', 0, 0]]"),
            false);
    assert_int_equal(layer(1)->kind, LAYER_ADD);
    assert_int_equal(architecture.n_homes, 1);
    refused(MODEL(IN_NODE "," OP("Add", "sum", CALL(TENSOR("in", 0, 0) ", 1.5", "")), "[['sum', 0, 0]]"),
            "layer sum (Add): reads a constant, which is not supported");
    refused(MODEL(IN_NODE "," OP("Exp", "e", CALL(TENSOR("in", 0, 0), "")), "[['e', 0, 0]]"),
            "layer e (Exp): is not supported");
    read_as(MODEL(IN_NODE "," NODE("Merge", "m", ", 'mode': 'mul'", "[" OLD("in", 0, 0) "," OLD("in", 0, 0) "]"),
                  "[['m', 0, 0]]"),
            true);
    assert_int_equal(layer(0)->kind, LAYER_MULTIPLY);
    refused(MODEL(IN_NODE "," NODE("Merge", "m", ", 'mode': 'cos'", "[" OLD("in", 0, 0) "," OLD("in", 0, 0) "]"),
                  "[['m', 0, 0]]"),
            "merge mode cos is not supported");
    refused(MODEL(IN_NODE "," NODE("Concatenate", "m", ", 'axis': 1", "[" OLD("in", 0, 0) "," OLD("in", 0, 0) "]"),
                  "[['m', 0, 0]]"),
            "works along axis 1");
    refused(MODEL(IN_NODE "," DENSE("a", "[" OLD("in", 0, 0) "," OLD("in", 0, 0) "]"), "[['a', 0, 0]]"),
            "layer a (Dense): has 2 inputs, and must have one");
    refused(MODEL(IN_NODE "," NODE("GRU", "g", ", 'units': 2, 'return_sequences': true, 'stateful': true",
                                   "[" OLD("in", 0, 0) "],[" OLD("g", 0, 0) "]"),
                  "[['g', 1, 0]]"),
            "layer g (GRU): is stateful and called more than once");
    refused(MODEL(IN_NODE, "[['in', 0, 0]]"), "the model has no layers");
    /* An input that comes out, and an output that comes out twice. */
    read_as(MODEL(IN_NODE "," DENSE("a", "[" OLD("in", 0, 0) "]"), "[['a', 0, 0], ['in', 0, 0], ['a', 0, 0]]"),
            false);
    assert_int_equal(architecture.spec.n_layers, 3);
    assert_int_equal(layer(1)->kind, LAYER_ACTIVATION);
    assert_reads(1, 0, -1, 0);
    assert_reads(2, 0, 0, 0);
    assert_outputs(3, (const int[][2]){{0, 0}, {1, 0}, {2, 0}});
}

static void test_models_in_models(void **state) {
    (void)state;
#define INNER \
    SEQUENTIAL(LAYER("Dense", "d", ", 'units': 2") "," LAYER("BatchNormalization", "n", \
                                                             "") "," LAYER("Dense", "e", ", 'units': 2"))
#define INNER_NODE(nodes) \
    "{'class_name': 'Sequential', 'config': {'name': 'chain', 'layers': [" LAYER( \
        "Dense", "d", ", 'units': 2") "," LAYER("Dense", "e", \
                                                ", 'units': 2") "]}, 'name': 'chain', 'inbound_nodes': [" nodes "]}"
    read_as(SEQUENTIAL(INPUT "," LAYER("Dense", "d", ", 'units': 2") "," INNER "," INNER), false);
    assert_int_equal(architecture.spec.n_layers, 7);
    assert_string_equal(layer(1)->name, "d_1");
    assert_int_equal(architecture.n_homes, 7);
    assert_string_equal(architecture.homes[0].path, "layers/dense");
    assert_string_equal(architecture.homes[3].path, "layers/sequential/layers/dense_1");
    assert_string_equal(architecture.homes[5].path, "layers/sequential_1/layers/batch_normalization");
    assert_string_equal(architecture.homes[5].named, "layers/chain/layers/n");
    assert_int_equal(architecture.homes[3].top, 2);
    assert_string_equal(architecture.homes[3].top_name, "chain");

    /* Called twice, with its calls numbered from 1, as Keras 2 does, or from 0. */
    for (int from = 0; from < 2; from++) {
        read_as(from ? MODEL(IN_NODE "," INNER_NODE("[" OLD("in", 0, 0) "],[" OLD("chain", 1, 0) "]"),
                             "[['chain', 2, 0]]")
                     : MODEL(IN_NODE "," INNER_NODE("[" OLD("in", 0, 0) "],[" OLD("chain", 0, 0) "]"),
                             "[['chain', 1, 0]]"),
                true);
        assert_int_equal(architecture.spec.n_layers, 4);
        assert_int_equal(layer(2)->shares, 1);
        assert_int_equal(layer(3)->shares, 2);
        assert_int_equal(architecture.n_homes, 2);
    }

    /* Keras 3 numbers the calls of a functional model from 0 in calls, and from 1 in the outputs. */
#define INNER_GRAPH(nodes) \
    "{'class_name': 'Functional', 'config': {'name': 'g', 'layers': [" IN_NODE \
    "," NODE("Dense", "d", ", 'units': 2", \
             CALL(TENSOR("in", 0, 0), \
                  "")) "], 'input_layers': [['in', 0, 0]], 'output_layers': [['d', 0, 0]]}, 'name': 'g', " \
                       "'inbound_nodes': [" nodes "]}"
    read_as(MODEL(IN_NODE "," INNER_GRAPH(CALL(TENSOR("in", 0, 0), "") "," CALL(TENSOR("g", 0, 0), "")) "," NODE(
                      "Dense", "after", ", 'units': 1", CALL(TENSOR("g", 1, 0), "")),
                  "[['g', 1, 0], ['after', 0, 0], ['g', 2, 0]]"),
            false);
    assert_int_equal(architecture.spec.n_layers, 3);
    assert_true(layer(1)->shares == 1 && layer(1)->n_in == 0);
    assert_true(layer(2)->units == 1 && layer(2)->n_in == 0);
    assert_outputs(3, (const int[][2]){{0, 0}, {2, 0}, {1, 0}});

    read_as(ONE("TimeDistributed", ", 'layer': " INNER), false);
    assert_int_equal(architecture.spec.n_layers, 3);
    assert_true(layer(2)->time_distributed);
    assert_string_equal(architecture.homes[2].path, "layers/time_distributed/layer/layers/dense_1");
}

static void test_stacks_of_cells(void **state) {
    (void)state;
#define CELLS \
    "{'class_name': 'StackedRNNCells', 'config': {'cells': [" LAYER("LSTMCell", "a", ", 'units': 3") "," LAYER( \
        "GRUCell", "b", ", 'units': 4, 'reset_after': true") "," LAYER("LSTMCell", "c", ", 'units': 5") "]}}"
    read_as(MODEL(IN_NODE "," NODE("RNN", "r", ", 'return_state': true, 'go_backwards': true, 'cell': " CELLS,
                                   "[" OLD("in", 0, 0) "]"),
                  "[['r', 0, 0], [['r', 0, 1], ['r', 0, 2]], ['r', 0, 3], [['r', 0, 4], ['r', 0, 5]]]"),
            false);
    assert_int_equal(architecture.spec.n_layers, 3);
    assert_true(layer(0)->return_sequences && layer(1)->return_sequences && !layer(2)->return_sequences);
    assert_true(layer(0)->go_backwards && !layer(1)->go_backwards && !layer(2)->go_backwards);
    assert_string_equal(layer(1)->name, "r_b");
    assert_string_equal(architecture.homes[0].path, "layers/rnn/cell/cells/lstm_cell");
    assert_string_equal(architecture.homes[1].path, "layers/rnn/cell/cells/gru_cell");
    assert_string_equal(architecture.homes[2].path, "layers/rnn/cell/cells/lstm_cell_1");
    assert_outputs(6, (const int[][2]){{2, 0}, {0, 1}, {0, 2}, {1, 1}, {2, 1}, {2, 2}});
    read_as(ONE("RNN", ", 'return_sequences': true, 'cell': " LAYER("SimpleRNNCell", "a", ", 'units': 3")), false);
    assert_int_equal(layer(0)->kind, LAYER_SIMPLE_RNN);
    assert_string_equal(layer(0)->name, "it");
    assert_true(layer(0)->return_sequences);
}

static void test_masks(void **state) {
    (void)state;
#define MASKED(constant, mask_value) \
    MODEL(IN_NODE "," OP("NotEqual", "ne", CALL(TENSOR("in", 0, 0) ", " constant, "")) "," NODE( \
              "Masking", "m", ", 'mask_value': " mask_value, \
              CALL(TENSOR("in", 0, 0), "")) "," OP("Any", "any", \
                                                   CALL(TENSOR("ne", 0, 0), \
                                                        "")) "," NODE("LSTM", "l", ", 'units': 3", \
                                                                      CALL(TENSOR("m", 0, 0), \
                                                                           "'mask': " TENSOR("any", 0, 0))), \
          "[['l', 0, 0]]")
    read_as(MASKED("0.5", "0.5"), false);
    assert_int_equal(architecture.spec.n_layers, 2);
    /* What Keras 3 makes of two masks that meet. */
    read_as(
        MODEL(IN_NODE "," NODE("Masking", "m", ", 'mask_value': 1.0", CALL(TENSOR("in", 0, 0), "")) "," OP(
                  "NotEqual", "ne",
                  CALL(TENSOR("in", 0, 0) ", 1.0",
                       "")) "," OP("OnesLike", "o",
                                   CALL(TENSOR("m", 0, 0),
                                        "")) "," OP("LogicalOr", "or",
                                                    CALL(TENSOR("ne", 0, 0) "," TENSOR("o", 0, 0),
                                                         "")) "," OP("Any", "any",
                                                                     CALL(TENSOR("or", 0, 0),
                                                                          "")) "," NODE("LSTM", "l", ", 'units': 3",
                                                                                        CALL(TENSOR("m", 0, 0),
                                                                                             "'mask': " TENSOR(
                                                                                                 "any", 0, 0))),
              "[['l', 0, 0]]"),
        false);
    assert_int_equal(architecture.spec.n_layers, 2);
    read_as(MODEL(IN_NODE "," NODE("Masking", "m", "", CALL(TENSOR("in", 0, 0), "")) "," NODE(
                      "NotEqual", "ne", "",
                      CALL(TENSOR("in", 0, 0) ", 0",
                           "")) "," NODE("Any", "any", "",
                                         CALL(TENSOR("ne", 0, 0), "")) "," NODE("LSTM", "l", ", 'units': 3",
                                                                                CALL(TENSOR("m", 0, 0),
                                                                                     "'mask': " TENSOR("any", 0, 0))),
                  "[['l', 0, 0]]"),
            false);
    assert_int_equal(architecture.spec.n_layers, 2);
    refused(MASKED("0.25", "0.5"), "a mask of the model is not made by Embedding or Masking (not equal to 0.25)");
    refused(MODEL(IN_NODE
                  "," NODE("LSTM", "l", ", 'units': 3", CALL(TENSOR("in", 0, 0), "'mask': " TENSOR("in", 0, 0))),
                  "[['l', 0, 0]]"),
            "is given its own mask");
    refused(MODEL(IN_NODE "," OP("NotEqual", "ne", CALL(TENSOR("in", 0, 0) ", 0", "")), "[['ne', 0, 0]]"),
            "the model has no layers");
    refused(MODEL(IN_NODE "," NODE("LSTM", "l", ", 'units': 3", CALL(TENSOR("in", 0, 0), "'training': true")),
                  "[['l', 0, 0]]"),
            "is called with training=True");
}

/* Before Keras 3 merging layers made another mask; and Keras 3 hands none on to a call with an initial state. */
static void test_masks_of_versions(void **state) {
    (void)state;
#define ADDED(options) \
    MODEL(IN_NODE "," NODE("Masking", "m", "", "[" OLD("in", 0, 0) "]") "," NODE( \
              "Add", "a", "", \
              "[" OLD("m", 0, 0) "," OLD("in", 0, 0) "]") "," NODE("Add", "b", "", \
                                                                   "[" OLD("in", 0, 0) "," OLD("in", 0, 0) "]"), \
          "[['a', 0, 0], ['b', 0, 0]]")
    for (int old = 0; old < 2; old++) {
        read_as(ADDED(""), old);
        assert_int_equal(layer(1)->keras2_masks, old);
        assert_false(layer(2)->keras2_masks);
    }
#define DECODED(mask) \
    MODEL(IN_NODE "," NODE("Masking", "m", "", CALL(TENSOR("in", 0, 0), "")) "," NODE( \
              "GRU", "e", ", 'units': 3, 'return_state': true", \
              CALL(TENSOR("m", 0, 0), \
                   "'mask': null")) "," OP("NotEqual", "ne", \
                                           CALL(TENSOR("in", 0, 0) ", 0.0", \
                                                "")) "," NODE("GRU", "d", ", 'units': 3", \
                                                              CALL(TENSOR("m", 0, 0), \
                                                                   "'initial_state': " TENSOR("e", 0, 1) mask)), \
          "[['d', 0, 0]]")
    read_as(DECODED(""), false);
    assert_int_equal(architecture.spec.n_layers, 3);
    assert_reads(2, 0, 0, 0);
    assert_reads(2, 1, 1, 1);
    assert_false(layer(2)->keras2_masks);
    read_as(DECODED(", 'mask': " TENSOR("ne", 0, 0)), false);
    assert_int_equal(architecture.spec.n_layers, 3);
    assert_true(layer(2)->keras2_masks);
}

/* ---- hostile ------------------------------------------------------------------------------------ */

/* As many calls as there are paths through models that call the model in them ten times each. */
static void multiply_calls(const char *innermost) {
    struct error err = {""};
    char *text = strdup(innermost);
    for (int i = 0; i < 12; i++) {
        size_t size = strlen(text) + 2000;
        char *outer = malloc(size);
        snprintf(outer, size, "{%.*s, 'name': 'm', 'inbound_nodes': [", (int)strlen(text) - 2, text + 1);
        for (int k = 0; k < 10; k++)
            snprintf(outer + strlen(outer), 64, "%s[%s]", k ? ", " : "", OLD("in", 0, 0));
        free(text);
        size_t more = strlen(outer) + 1000;
        text = malloc(more);
        snprintf(
            text, more,
            "{'class_name': 'Functional', 'config': {'name': 'm', 'layers': [%s, %s]}], 'input_layers': [['in', 0, "
            "0]], 'output_layers': [['m', 9, 0]]}}",
            IN_NODE, outer);
        free(outer);
    }
    forget();
    json = json_of(text);
    free(text);
    assert_int_equal(architecture_init(&architecture, json, true, &err), -1);
    if (!strstr(err.text, "the model has more than 1024 layers"))
        fail_msg("%s", err.text);
}

static void test_calls_that_multiply(void **state) {
    (void)state;
    multiply_calls(LAYER("Dense", "d", ", 'units': 2"));
    /* Of which nothing is a layer of the network. */
    multiply_calls(MODEL(IN_NODE, "[['in', 0, 0]]"));
    refused(SEQUENTIAL(INPUT "," SEQUENTIAL(
                SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(
                    SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL(SEQUENTIAL("")))))))))))))))))),
            "more than 16 models in each other");
}

static uint32_t random_next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static json_t *nonsense(uint32_t *seed, json_t *root) {
    switch (random_next(seed) % 12) {
    case 0: return json_null();
    case 1: return json_integer(-1);
    case 2: return json_integer(1 << (random_next(seed) % 31));
    case 3: return json_integer((json_int_t)1 << 62);
    case 4: return json_real(1e308);
    case 5: return json_string("");
    case 6: return json_string("Sequential");
    case 7: return json_array();
    case 8: return json_object();
    case 9: return json_true();
    case 10: return json_deep_copy(root);
    default: return json_integer(random_next(seed) % 4);
    }
}

/* Changes something in it, at any depth: a value, or a member of a list that goes, comes twice or moves. */
static void mutate(uint32_t *seed, json_t *value, json_t *root) {
    size_t n = json_is_object(value) ? json_object_size(value) : json_array_size(value);
    if (n == 0)
        return;
    size_t pick = random_next(seed) % n;
    if (json_is_array(value)) {
        json_t *member = json_array_get(value, pick);
        if (random_next(seed) % 4 && (json_is_object(member) || json_is_array(member)))
            mutate(seed, member, root);
        else if (random_next(seed) % 4 == 0)
            json_array_remove(value, pick);
        else if (random_next(seed) % 4 == 0)
            json_array_append_new(value, json_deep_copy(member));
        else
            json_array_set_new(value, pick, nonsense(seed, root));
        return;
    }
    void *at = json_object_iter(value);
    for (size_t i = 0; i < pick; i++)
        at = json_object_iter_next(value, at);
    json_t *member = json_object_iter_value(at);
    if (random_next(seed) % 8 && (json_is_object(member) || json_is_array(member)))
        mutate(seed, member, root);
    else
        json_object_iter_set_new(value, at, nonsense(seed, root));
}

/* Whatever is described: a sentence or a network. */
static void test_mutated_descriptions(void **state) {
    (void)state;
    static const char *const seeds[] = {
        MASKED("0.5", "0.5"),
        SEQUENTIAL(INPUT "," LAYER("Conv1D", "c", ", 'filters': 4, 'kernel_size': [3]") "," INNER "," LAYER(
            "Bidirectional", "b",
            ", 'merge_mode': 'sum', 'layer': " LAYER(
                "LSTM", "f",
                ", 'units': 3")) "," LAYER("Reshape", "r",
                                           ", 'target_shape': [-1, 1]") "," LAYER("Flatten", "fl",
                                                                                  "") "," LAYER("Dense", "d",
                                                                                                ", 'units': 1")),
        MODEL(IN_NODE
              "," NODE("RNN", "r", ", 'return_state': true, 'cell': " CELLS, "[" OLD("in", 0, 0) "]") "," INNER_NODE(
                  "[" OLD("r", 0, 0) "],[" OLD(
                      "chain", 1, 0) "]") "," NODE("Add", "a", "", "[" OLD("chain", 1, 0) "," OLD("chain", 2, 0) "]"),
              "[['a', 0, 0], ['r', 0, 2]]"),
        MODEL(IN_NODE "," ENCODER("[" OLD("in", 0, 0) "]") "," REPEAT("[" OLD("enc", 0, 0) "]") "," DECODER(
                  "[" OLD("rep", 0, 0) "," OLD("enc", 0, 1) "," OLD("enc", 0, 2) "]"),
              "[['dec', 0, 0], ['enc', 0, 1]]"),
    };
    const char *text = getenv("FUZZ_RUNS");
    int n = text ? atoi(text) * 20 : 3000, read = 0;
    uint32_t seed = 7;
    forget();
    for (int i = 0; i < n; i++) {
        struct error err = {""};
        json_t *root = json_of(seeds[i % 4]);
        for (uint32_t k = 1 + random_next(&seed) % 3; k > 0; k--)
            mutate(&seed, root, root);
        if (architecture_init(&architecture, root, i % 2, &err) == 0) {
            struct network *network = network_new(&architecture.spec, &err);
            network_free(network);
            read++;
        } else
            assert_true(strlen(err.text) > 10);
        architecture_fini(&architecture);
        json_decref(root);
    }
    assert_in_range(read, n / 20, n);
}

static int teardown(void **state) {
    (void)state;
    forget();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_options_of_all_ages),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_bidirectional),
        cmocka_unit_test(test_what_is_refused_by_name),
        cmocka_unit_test(test_numbers_out_of_range),
        cmocka_unit_test(test_initial_state),
        cmocka_unit_test(test_merging_and_sharing),
        cmocka_unit_test(test_models_in_models),
        cmocka_unit_test(test_stacks_of_cells),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_masks_of_versions),
        cmocka_unit_test(test_calls_that_multiply),
        cmocka_unit_test(test_mutated_descriptions),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
