/* Whole files as models: weights where they belong, and one sentence for what is wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/keras/keras.h"
#include "engine/keras/weights_convert.h"
#include "tests/support/floats.h"
#include "tests/support/keras_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- whole files -------------------------------------------------------------------------------- */

static struct keras_model *read_good(const char *path, const char *architecture) {
    struct error err = {""};
    struct keras_model *model = keras_read(path, architecture, &err);
    if (!model)
        fail_msg("%s", err.text);
    return model;
}

static void refused(const char *path, const char *architecture, const char *sentence) {
    struct error err = {""};
    if (keras_read(path, architecture, &err))
        fail_msg("%s was read", path);
    if (strncmp(err.text, path, strlen(path)) != 0 || !strstr(err.text, sentence) || strchr(err.text, '\n'))
        fail_msg("\"%s\" does not have \"%s\"", err.text, sentence);
}

/* The pattern of h5_array: as many values of it as there are. */
static void assert_pattern(const float *params, size_t n) {
    for (size_t i = 0; i < n; i++)
        assert_float_equal(params[i], 0.1f * (float)(i % 17 + 1) - 0.9f, 1e-6);
}

static void assert_good_model(const struct keras_model *model) {
    assert_int_equal(model->spec.n_layers, 2);
    assert_int_equal(model->spec.n_inputs, 2);
    assert_int_equal(model->spec.steps, 4);
    assert_int_equal(model->n_params, 24 + 36 + 12 + 3 + 1);
    assert_pattern(model->params, 24);
    assert_pattern(model->params + 24, 36);
    assert_pattern(model->params + 60, 12);
    assert_pattern(model->params + 72, 3);
    struct error err = {""};
    struct network *network = keras_network(model, NETWORK_SAMPLES, 0, &err);
    if (!network)
        fail_msg("%s", err.text);
    assert_memory_equal(network_params(network), model->params, model->n_params * sizeof(float));
    network_free(network);
}

static void test_good_files(void **state) {
    (void)state;
    const char *path = temporary_path(0, "good.h5");
    keras_file_h5(path);
    struct keras_model *model = read_good(path, NULL);
    assert_good_model(model);
    assert_string_equal(model->version, "2.15.0");
    assert_null(model->own);
    assert_int_equal(model->spec.layers[0].recurrent_activation, ACTIVATION_HARD_SIGMOID_KERAS2);
    keras_model_free(model);

    path = temporary_path(0, "good.keras");
    keras_file_zip(path);
    model = read_good(path, NULL);
    assert_good_model(model);
    assert_string_equal(model->version, "3.15.1");
    assert_string_equal(model->own, "{\"own\": 1}");
    assert_int_equal(model->spec.layers[0].recurrent_activation, ACTIVATION_HARD_SIGMOID);
    keras_model_free(model);
    keras_model_free(NULL);
}

static const int kernel_dims[] = {2, 12}, recurrent_dims[] = {3, 12}, bias_dims[] = {12}, head_dims[] = {3, 1},
                 one_dims[] = {1};

/* The good model's HDF5 with its groups at the root, other names of layers, and lists of names in pieces. */
static void write_weights(const char *path, const float *bias, bool with_head, const int *kernel) {
    hid_t file = h5_new(path);
    h5_texts(file, "", "layer_names0", "lstm_7\0dropout_3\0");
    h5_texts(file, "", "layer_names1", "dense_9\0");
    h5_texts(file, "lstm_7", "weight_names0", "k\0");
    h5_texts(file, "lstm_7", "weight_names1", "r\0b\0");
    h5_array(file, "lstm_7/k", 2, kernel, NULL);
    h5_array(file, "lstm_7/r", 2, recurrent_dims, NULL);
    h5_array(file, "lstm_7/b", 1, bias_dims, bias);
    if (with_head)
        h5_texts(file, "dense_9", "weight_names", "k\0b\0");
    h5_array(file, "dense_9/k", 2, head_dims, NULL);
    h5_array(file, "dense_9/b", 1, one_dims, NULL);
    H5Fclose(file);
}

static void test_weights_beside_an_architecture(void **state) {
    (void)state;
    const char *path = temporary_path(0, "weights.h5"), *architecture = temporary_path(1, "model.json");
    file_write(architecture, keras_file_config2, strlen(keras_file_config2));
    write_weights(path, NULL, true, kernel_dims);
    struct keras_model *model = read_good(path, architecture);
    assert_good_model(model);
    assert_string_equal(model->version, "");
    assert_int_equal(model->spec.layers[0].recurrent_activation, ACTIVATION_HARD_SIGMOID_KERAS2);
    keras_model_free(model);
    refused(path, NULL, "weights alone need the model's JSON beside them");
    refused(path, "/nowhere.json", "architecture /nowhere.json: ");
    refused(path, "/dev/zero", "architecture /dev/zero: is not a file");
    const char *pipe = temporary_path(2, "pipe.json");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    refused(path, pipe, "pipe.json: is not a file");
    unlink(pipe);
    file_write(architecture, "{", 1);
    refused(path, architecture, "model.json: ");
}

/* Keras 3's .weights.h5, by the names of the layers, with a JSON architecture that has no version. */
static void test_weights_by_names(void **state) {
    (void)state;
    const char *path = temporary_path(0, "a.weights.h5"), *architecture = temporary_path(1, "model.json");
    hid_t file = h5_new(path);
    keras_file_weights(file, (const char *const[]){"layers/memory/cell/vars/0", "layers/memory/cell/vars/1",
                                                   "layers/memory/cell/vars/2",
                                                   "_layer_checkpoint_dependencies/dense/vars/0",
                                                   "_layer_checkpoint_dependencies/dense/vars/1"});
    H5Fclose(file);
    file_write(architecture, keras_file_config3, strlen(keras_file_config3));
    struct keras_model *model = read_good(path, architecture);
    assert_good_model(model);
    assert_int_equal(model->spec.layers[0].recurrent_activation, ACTIVATION_HARD_SIGMOID);
    keras_model_free(model);
}

static void test_wrong_weights(void **state) {
    (void)state;
    const char *path = temporary_path(0, "weights.h5"), *architecture = temporary_path(1, "model.json");
    const int turned[] = {12, 2}, nothing_dims[] = {12, 0};
    float bias[12] = {0};
    file_write(architecture, keras_file_config2, strlen(keras_file_config2));
    bias[7] = NAN;
    write_weights(path, bias, true, kernel_dims);
    refused(path, architecture, "layer memory (LSTM): weight bias is not finite: element 7 is NaN");
    bias[7] = -INFINITY;
    write_weights(path, bias, true, kernel_dims);
    refused(path, architecture, "layer memory (LSTM): weight bias is not finite: element 7 is infinite");
    write_weights(path, NULL, true, turned);
    refused(path, architecture, "layer memory (LSTM): weight kernel has the shape (12, 2), and must have (2, 12)");
    write_weights(path, NULL, false, kernel_dims);
    refused(path, architecture, "layer memory (LSTM): the file has no weights for it");

    hid_t file = h5_new(path);
    h5_texts(file, "", "layer_names", "memory\0head\0");
    h5_texts(file, "memory", "weight_names", "k\0r\0");
    h5_texts(file, "head", "weight_names", "k\0missing\0");
    h5_array(file, "memory/k", 2, kernel_dims, NULL);
    h5_array(file, "memory/r", 2, recurrent_dims, NULL);
    h5_array(file, "head/k", 2, head_dims, NULL);
    h5_array(file, "nothing", 2, nothing_dims, NULL);
    h5_array(file, "elsewhere", 2, recurrent_dims, NULL);
    H5Fclose(file);
    refused(path, architecture, "layer memory (LSTM): the file has 2 weights for it, and it must have 3");
    file = h5_new(path);
    h5_array(file, "layers/lstm/vars/0", 2, recurrent_dims, NULL);
    H5Fclose(file);
    refused(path, architecture, "the model has 76 parameters, and the file only 36 numbers");
}

/* A model in a model keeps in one group first what can be trained of all its layers, then the rest; of a frozen layer
 * all is the rest. */
static void test_weights_of_a_model_in_a_model(void **state) {
    (void)state;
    static const char *const orders[] = {
        "d.k\0d.b\0n.gamma\0n.beta\0e.k\0e.b\0n.mean\0n.variance\0",
        "n.gamma\0n.beta\0e.k\0e.b\0d.k\0d.b\0n.mean\0n.variance\0",
    };
    static const char *const names[] = {"d.k", "d.b", "n.gamma", "n.beta", "n.mean", "n.variance", "e.k", "e.b"};
    const char *path = temporary_path(0, "nested.h5");
    for (int frozen = 0; frozen < 2; frozen++) {
        char config[1000], array[64];
        snprintf(
            config, sizeof config,
            "{\"class_name\": \"Sequential\", \"config\": [{\"class_name\": \"Sequential\", \"config\": {\"name\": "
            "\"inner\", \"layers\": [{\"class_name\": \"Dense\", \"config\": {\"name\": \"d\", \"units\": 1, "
            "\"trainable\": %s, \"batch_input_shape\": [null, 4, 1]}}, {\"class_name\": \"BatchNormalization\", "
            "\"config\": {\"name\": \"n\"}}, {\"class_name\": \"Dense\", \"config\": {\"name\": \"e\", \"units\": "
            "1}}]}}]}",
            frozen ? "false" : "true");
        hid_t file = h5_new(path);
        h5_text(file, "", "model_config", config);
        h5_texts(file, "model_weights", "layer_names", "inner\0");
        h5_texts(file, "model_weights/inner", "weight_names", orders[frozen]);
        for (int i = 0; i < 8; i++) {
            float value = (float)i;
            snprintf(array, sizeof array, "model_weights/inner/%s", names[i]);
            h5_array(file, array, names[i][2] == 'k' ? 2 : 1, (int[]){1, 1}, &value);
        }
        H5Fclose(file);
        struct keras_model *model = read_good(path, NULL);
        assert_int_equal(model->n_params, 8);
        for (int i = 0; i < 8; i++)
            assert_true(model->params[i] == (float)i);
        keras_model_free(model);
    }
}

static void test_descriptions_in_files(void **state) {
    (void)state;
    const char *path = temporary_path(0, "a.h5");
    static const char *const texts[][2] = {
        {"{", "model_config is not JSON: line 1"},
        {"", "model_config is not JSON"},
        {"null", "model_config is not JSON"},
        {"[1, 2]", "a model of class unknown is not supported"},
        {"{\"class_name\": \"Sequential\", \"config\": [{\"class_name\": \"Attention\", \"config\": {\"name\": \"attention\", "
         "\"batch_input_shape\": [null, 4, 2]}}]}",
         "layer attention (Attention): is not supported"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        hid_t file = h5_new(path);
        h5_text(file, "", "model_config", texts[i][0]);
        H5Fclose(file);
        refused(path, NULL, texts[i][1]);
    }
    /* What would take terabytes. */
    hid_t file = h5_new(path);
    h5_text(file, "", "model_config",
            "{\"class_name\": \"Sequential\", \"config\": [{\"class_name\": \"LSTM\", \"config\": {\"name\": \"l\", "
            "\"units\": 9000, \"batch_input_shape\": [null, 4, 9000]}}]}");
    H5Fclose(file);
    refused(path, NULL, "the model has 648036000 parameters, and the file only 0 numbers");
}

/* ---- layouts ------------------------------------------------------------------------------------ */

/* Arrays made of one float each: [1 x 1] kernels of LSTM(1) or GRU(1) on one input. */
struct small {
    struct container_array arrays[16];
    struct arrays list;
    float values[64];
    int n_values;
};

static void add_small(struct small *small, int n_dims, int rows, int width) {
    struct container_array *array = &small->arrays[small->list.n];
    *array = (struct container_array){.n_dims = n_dims, .dims = {rows, width}, .n = (size_t)(rows * width)};
    if (n_dims == 1)
        array->dims[0] = width;
    array->data = small->values + small->n_values;
    for (size_t i = 0; i < array->n; i++)
        small->values[small->n_values + (int)i] = (float)(small->n_values + (int)i);
    small->n_values += (int)array->n;
    small->list.array[small->list.n++] = array;
}

static int convert_small(const struct small *small, enum layer_kind kind, int n_in, int units, bool reset_after,
                         float *params, struct error *err) {
    int gates = kind == LAYER_LSTM ? 4 : 3, width = gates * units, biases = reset_after ? 2 : 1;
    struct layer_spec spec = layer_spec_of(kind, units);
    spec.reset_after = reset_after;
    struct network_weight weights[3] = {
        {.name = "kernel", .n_dims = 2, .dims = {n_in, width}, .at = 0, .n = (size_t)(n_in * width)},
        {.name = "recurrent_kernel", .n_dims = 2, .dims = {units, width}, .n = (size_t)(units * width)},
        {.name = "bias", .n_dims = biases, .dims = {biases == 2 ? 2 : width, width}, .n = (size_t)(biases * width)},
    };
    weights[1].at = weights[0].n;
    weights[2].at = weights[1].at + weights[1].n;
    struct conversion conversion = {.spec = &spec, .n_weights = 3, .weights = weights, .params = params};
    return weights_convert(&conversion, &small->list, err);
}

static void test_gates_of_keras1(void **state) {
    (void)state;
    struct error err = {""};
    struct small small = {.n_values = 0};
    float params[12];
    for (int gate = 0; gate < 4; gate++) {
        add_small(&small, 2, 1, 1);
        add_small(&small, 2, 1, 1);
        add_small(&small, 1, 1, 1);
    }
    /* i, c, f, o with W, U, b each become i, f, c, o */
    assert_int_equal(convert_small(&small, LAYER_LSTM, 1, 1, false, params, &err), 0);
    assert_memory_equal(params, ((float[]){0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11}), sizeof params);
    small.list.n = 9; /* z, r, h stay */
    assert_int_equal(convert_small(&small, LAYER_GRU, 1, 1, false, params, &err), 0);
    assert_memory_equal(params, ((float[]){0, 3, 6, 1, 4, 7, 2, 5, 8}), 9 * sizeof(float));
    small.list.n = 8;
    assert_int_equal(convert_small(&small, LAYER_GRU, 1, 1, false, params, &err), -1);
    assert_string_equal(err.text, "the file has 8 weights for it, and it must have 3");
    small.list.n = 12;
    small.arrays[4].dims[1] = 2;
    assert_int_equal(convert_small(&small, LAYER_LSTM, 1, 1, false, params, &err), -1);
    assert_non_null(strstr(err.text, "weight recurrent_kernel has the shape (1, 2), and must have (1, 1)"));
}

static void test_cudnn(void **state) {
    (void)state;
    struct error err = {""};
    struct small small = {.n_values = 0};
    float params[64];
    /* GRU(1) on two inputs: each gate's kernel [2 x 1] read as [1 x 2] and transposed is itself; six biases are two
     * rows. */
    add_small(&small, 2, 2, 3);
    add_small(&small, 2, 1, 3);
    add_small(&small, 1, 1, 6);
    assert_int_equal(convert_small(&small, LAYER_GRU, 2, 1, true, params, &err), 0);
    for (int i = 0; i < 15; i++)
        assert_true(params[i] == (float)i);

    /* LSTM(2) on one input: a gate's kernel [1 x 2], read as [2 x 1] and transposed, is itself; U is transposed. */
    small = (struct small){.n_values = 0};
    add_small(&small, 2, 1, 8);
    add_small(&small, 2, 2, 8);
    add_small(&small, 1, 1, 16);
    assert_int_equal(convert_small(&small, LAYER_LSTM, 1, 2, false, params, &err), 0);
    for (int i = 0; i < 8; i++) {
        assert_true(params[i] == (float)i);
        assert_true(params[24 + i] == (float)(2 * (24 + i) + 8));
    }
    assert_memory_equal(params + 8, ((float[]){8, 16, 10, 18, 12, 20, 14, 22, 9, 17, 11, 19, 13, 21, 15, 23}),
                        16 * sizeof(float));
    /* LSTM(2) on three inputs: the first gate's [3 x 2] is 0 1, 8 9, 16 17; as [2 x 3] it is 0 1 8, 9 16 17. */
    small = (struct small){.n_values = 0};
    add_small(&small, 2, 3, 8);
    add_small(&small, 2, 2, 8);
    add_small(&small, 1, 1, 16);
    assert_int_equal(convert_small(&small, LAYER_LSTM, 3, 2, false, params, &err), 0);
    assert_float_equal(params[0], 0, 0);
    assert_float_equal(params[1], 9, 0);
    assert_float_equal(params[8], 1, 0);
    assert_float_equal(params[9], 16, 0);
    assert_float_equal(params[16], 8, 0);
    assert_float_equal(params[17], 17, 0);
}

static void test_convolutions(void **state) {
    (void)state;
    struct error err = {""};
    float data[12], params[12];
    for (int i = 0; i < 12; i++)
        data[i] = (float)i;
    struct layer_spec spec = layer_spec_of(LAYER_CONV1D, 2);
    struct network_weight weight = {.name = "kernel", .n_dims = 3, .dims = {3, 2, 2}, .n = 12};
    struct conversion conversion = {.spec = &spec, .n_weights = 1, .weights = &weight, .params = params};
    struct container_array newer = {.n_dims = 4, .dims = {3, 1, 2, 2}, .n = 12, .data = data};
    struct container_array older = {.n_dims = 4, .dims = {2, 2, 3, 1}, .n = 12, .data = data};
    struct arrays arrays = {.n = 1, .array = {&newer}};
    assert_int_equal(weights_convert(&conversion, &arrays, &err), 0);
    assert_memory_equal(params, data, sizeof params);
    conversion.flipped = true;
    assert_int_equal(weights_convert(&conversion, &arrays, &err), 0);
    assert_memory_equal(params, ((float[]){8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3}), sizeof params);
    conversion.flipped = false;
    arrays.array[0] = &older;
    assert_int_equal(weights_convert(&conversion, &arrays, &err), 0);
    assert_memory_equal(params, ((float[]){0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11}), sizeof params);
    older.dims[3] = 2;
    older.dims[2] = 2;
    assert_int_equal(weights_convert(&conversion, &arrays, &err), -1);
}

/* ---- damaged ------------------------------------------------------------------------------------ */

static uint32_t random_next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Files of which a few bytes are others: a sentence, or a model that runs. */
static void test_damaged_files(void **state) {
    (void)state;
    const char *text = getenv("FUZZ_RUNS");
    int n = text ? atoi(text) : 60;
    uint32_t seed = 3;
    for (int kind = 0; kind < 2; kind++) {
        size_t size;
        const char *path = temporary_path(0, "whole"), *damaged = temporary_path(1, "damaged");
        if (kind)
            keras_file_zip(path);
        else
            keras_file_h5(path);
        unsigned char *bytes = file_bytes(path, &size), *copy = malloc(size);
        for (int i = 0; i < n; i++) {
            struct error err = {""};
            memcpy(copy, bytes, size);
            for (uint32_t k = 1 + random_next(&seed) % 4; k > 0; k--)
                copy[random_next(&seed) % size] = (unsigned char)random_next(&seed);
            file_write(damaged, copy, size);
            struct keras_model *model = keras_read(damaged, NULL, &err);
            struct network *network = model ? keras_network(model, NETWORK_SAMPLES, 4, &err) : NULL;
            if (!model)
                assert_true(strlen(err.text) > strlen(damaged) + 7 && !strchr(err.text, '\n'));
            network_free(network);
            keras_model_free(model);
        }
        free(copy);
        free(bytes);
    }
}

static int teardown(void **state) {
    (void)state;
    temporary_remove();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_weights_beside_an_architecture),
        cmocka_unit_test(test_weights_by_names),
        cmocka_unit_test(test_wrong_weights),
        cmocka_unit_test(test_weights_of_a_model_in_a_model),
        cmocka_unit_test(test_descriptions_in_files),
        cmocka_unit_test(test_gates_of_keras1),
        cmocka_unit_test(test_cudnn),
        cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_damaged_files),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
