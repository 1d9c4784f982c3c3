/* Models as files: what is in them, what cannot be, and that they appear whole or not at all. What Keras makes of
 * them is checked by tests/golden/check_written.py; what is read back, by test_keras_round.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/keras/keras.h"
#include "tests/support/models.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

static char folder[] = "/tmp/test_keras_write.XXXXXX";

static const char *path_in(const char *name) {
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int count_files(void) {
    DIR *dir = opendir(folder);
    int n = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static int setup(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return rmdir(folder); /* each test removes what it made */
}

static char *contents(const char *path, size_t *ret_n) {
    FILE *file = fopen(path, "rb");
    struct stat status;

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &status), 0);
    *ret_n = (size_t)status.st_size;
    char *bytes = malloc(*ret_n + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *ret_n, file), *ret_n);
    bytes[*ret_n] = '\0';
    fclose(file);
    return bytes;
}

/* A member of a .keras file as a text of its own; it must be stored as it is and without a time. */
static char *member(const char *path, const char *name, size_t *ret_n) {
    int code;
    zip_t *zip = zip_open(path, ZIP_RDONLY, &code);
    zip_stat_t status;

    assert_non_null(zip);
    if (zip_stat(zip, name, 0, &status) != 0) {
        zip_discard(zip);
        return NULL;
    }
    assert_int_equal(status.comp_method, ZIP_CM_STORE);
    struct tm *time = localtime(&status.mtime);
    assert_int_equal(time->tm_year, 80);
    char *bytes = malloc(status.size + 1);
    zip_file_t *file = zip_fopen(zip, name, 0);
    assert_non_null(bytes);
    assert_non_null(file);
    assert_int_equal(zip_fread(file, bytes, status.size), status.size);
    bytes[status.size] = '\0';
    zip_fclose(file);
    zip_discard(zip);
    if (ret_n)
        *ret_n = status.size;
    return bytes;
}

static struct network *network_of(int n_inputs, const struct layer_spec *layers, int n_layers) {
    struct network_spec spec = {.n_inputs = n_inputs, .layers = layers, .n_layers = n_layers};
    struct error err;
    struct network *network = network_new(&spec, &err);

    if (!network)
        fail_msg("%s", err.text);
    network_init_weights(network, 3);
    return network;
}

/* ---- what is in them ---------------------------------------------------------------------------- */

static void test_members(void **state) {
    (void)state;
    struct layer_spec layers[] = {layer_spec_of(LAYER_DENSE, 4), layer_spec_of(LAYER_MASKING, 0)};
    char config_of[2][4096] = {"", ""}, *own, *text;
    struct error err;

    layers[1].mask_value = 0.1f;
    struct network *network = network_of(3, layers, 2);
    for (int i = 0; i < 2; i++) { /* the same twice */
        assert_int_equal(keras_write(path_in("m.keras"), network, i ? NULL : "{\"horizon\": 3}", &err), 0);
        own = member(path_in("m.keras"), "forecastd.json", NULL);
        if (i)
            assert_null(own);
        else
            assert_string_equal(own, "{\"horizon\": 3}");
        free(own);
        text = member(path_in("m.keras"), "config.json", NULL);
        snprintf(config_of[i], sizeof config_of[i], "%s", text);
        free(text);
    }
    assert_string_equal(config_of[0], config_of[1]);
    assert_non_null(strstr(config_of[0], "\"mask_value\":0.1}")); /* the shortest that is this float again */

    text = member(path_in("m.keras"), "metadata.json", NULL);
    json_t *metadata = json_loads(text, 0, NULL);
    assert_true(strncmp(json_string_value(json_object_get(metadata, "keras_version")), "3.", 2) == 0);
    assert_true(strlen(json_string_value(json_object_get(metadata, "date_saved"))) == strlen("2026-01-02@03:04:05"));
    json_decref(metadata);
    free(text);
    network_free(network);
    unlink(path_in("m.keras"));
    assert_int_equal(count_files(), 0);
}

static void test_same_bytes(void **state) {
    (void)state;
    struct layer_spec layers[] = {layer_spec_of(LAYER_DENSE, 40), layer_spec_of(LAYER_DENSE, 2)};
    struct network *network = network_of(30, layers, 2);
    struct error err;
    size_t n[2];
    char *bytes[2], *weights[2];

    for (int i = 0; i < 2; i++) {
        assert_int_equal(keras_write(path_in("m.h5"), network, NULL, &err), 0);
        bytes[i] = contents(path_in("m.h5"), &n[i]);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(bytes[0], bytes[1], n[0]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(keras_write(path_in("m.keras"), network, NULL, &err), 0);
        weights[i] = member(path_in("m.keras"), "model.weights.h5", &n[i]);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(weights[0], weights[1], n[0]);
    for (int i = 0; i < 2; i++) {
        free(bytes[i]);
        free(weights[i]);
    }
    network_free(network);
    unlink(path_in("m.h5"));
    unlink(path_in("m.keras"));
}

/* Every float of the configuration is the same float when it is read. */
static void test_floats(void **state) {
    (void)state;
    static const float values[] = {0.1f,    0.2f,   1e-3f, 1e-7f,       0.99f,        1.0f / 3, 16777216,
                                   3.4e38f, 1e-45f, -2.5f, 0.30000001f, 1.17549e-38f, -0.0f,    123456.789f};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct layer_spec layer = layer_spec_of(LAYER_MASKING, 0);
        struct error err;
        char *text, *at;

        layer.mask_value = values[i];
        struct network *network = network_of(2, &layer, 1);
        assert_int_equal(keras_write(path_in("m.keras"), network, NULL, &err), 0);
        text = member(path_in("m.keras"), "config.json", NULL);
        at = strstr(text, "mask_value\":");
        assert_non_null(at);
        float again = strtof(at + strlen("mask_value\":"), NULL);
        assert_memory_equal(&again, &values[i], sizeof again);
        free(text);
        network_free(network);
    }
    unlink(path_in("m.keras"));
}

/* The order in which Keras 3.15.1 and tf-keras 2.21 have the layers of that model, which is not the order here. Both
 * find weights by it. */
static void test_order(void **state) {
    (void)state;
    static const char *const order[] = {"input_layer", "other", "short", "first", "third", "second", "concatenate"};
    struct model model;
    struct error err;
    int i = 0;

    while (model_at(i, &model) && strcmp(model.name, "branches") != 0)
        i++;
    struct network *network = model_network(&model, 1, &err);
    assert_non_null(network);
    assert_int_equal(keras_write(path_in("m.keras"), network, NULL, &err), 0);
    char *text = member(path_in("m.keras"), "config.json", NULL);
    json_t *config = json_loads(text, 0, NULL);
    const json_t *layers = json_object_get(json_object_get(config, "config"), "layers");
    assert_int_equal(json_array_size(layers), sizeof order / sizeof order[0]);
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(layers, k), "name")), order[k]);
    json_decref(config);
    free(text);
    network_free(network);
    unlink(path_in("m.keras"));
}

/* ---- what cannot be ----------------------------------------------------------------------------- */

static void expect_refused(const struct network *network, const char *name, const char *own, const char *reason) {
    struct error err;

    assert_int_equal(keras_write(path_in(name), network, own, &err), -1);
    if (!strstr(err.text, reason) || !strstr(err.text, path_in(name)))
        fail_msg("\"%s\" does not say \"%s\" and the path", err.text, reason);
    assert_int_equal(count_files(), 0);
}

static void test_refused(void **state) {
    (void)state;
    struct layer_spec layers[3] = {layer_spec_of(LAYER_DENSE, 3), layer_spec_of(LAYER_DENSE, 3),
                                   layer_spec_of(LAYER_DENSE, 3)};
    struct network *network = network_of(3, layers, 3);

    expect_refused(network, "m.json", NULL, "end in .keras or .h5");
    expect_refused(network, "keras", NULL, "end in .keras or .h5");
    expect_refused(network, "m.h5", "{}", "only a .keras file");
    network_free(network);

    snprintf(layers[2].name, sizeof layers[2].name, "gr\xc3");
    network = network_of(3, layers, 3);
    expect_refused(network, "m.keras", NULL, "layer 3 of 3: its name is not in UTF-8");
    network_free(network);
    layers[2].name[0] = '\0';

    layers[1].activation = ACTIVATION_HARD_SIGMOID;
    snprintf(layers[1].name, sizeof layers[1].name, "gate");
    network = network_of(3, layers, 3);
    expect_refused(network, "m.h5", NULL, "layer gate (Dense): its activation is the hard_sigmoid of Keras 3");
    network_free(network);
    layers[1].activation = ACTIVATION_HARD_SIGMOID_KERAS2;
    network = network_of(3, layers, 3);
    expect_refused(network, "m.keras", NULL,
                   "layer gate (Dense): its activation is the hard_sigmoid of Keras 1 and 2");
    network_free(network);

    layers[0] = layer_spec_of(LAYER_GAUSSIAN_NOISE, 0);
    layers[0].dropout = 1.5f;
    layers[1].activation = ACTIVATION_TANH;
    network = network_of(3, layers, 3);
    expect_refused(network, "m.keras", NULL, "its stddev is 1.5, and Keras 3 takes none above 1");
    network_free(network);
    layers[0] = layer_spec_of(LAYER_DENSE, 3);

    layers[2].shares = 2;
    network = network_of(3, layers, 3);
    expect_refused(network, "m.keras", NULL, "has the parameters of gate but not its options");
    network_free(network);

    layers[2].shares = 0;
    layers[2].n_in = 1;
    layers[2].in[0] = (struct layer_input){0, 0};
    network = network_of(3, layers, 3);
    expect_refused(network, "m.h5", NULL, "layer gate leads to no output");
    network_free(network);

    layers[0] = layer_spec_of(LAYER_MASKING, 0);
    layers[1] = layers[2] = layer_spec_of(LAYER_LSTM, 3);
    layers[1].return_state = true;
    layers[2].n_in = 3;
    for (int i = 0; i < 3; i++)
        layers[2].in[i] = (struct layer_input){i > 0, i};
    network = network_of(3, layers, 3);
    expect_refused(network, "m.h5", NULL,
                   "layer lstm_1 (LSTM): with its initial state it sees no mask, as in Keras 3");
    network_free(network);
    layers[2].keras2_masks = true;
    network = network_of(3, layers, 3);
    expect_refused(network, "m.keras", NULL,
                   "layer lstm_1 (LSTM): with its initial state it passes over masked steps");
    network_free(network);

    layers[0] = layer_spec_of(LAYER_MASKING, 0);
    layers[1] = layer_spec_of(LAYER_ADD, 0);
    layers[1].n_in = 2;
    layers[1].in[0] = (struct layer_input){0, 0};
    layers[1].in[1] = (struct layer_input){-1, 0};
    network = network_of(3, layers, 2);
    expect_refused(network, "m.h5", NULL, "layer add (Add): it merges masked inputs as Keras 3 does");
    network_free(network);
    layers[1].keras2_masks = true;
    network = network_of(3, layers, 2);
    expect_refused(network, "m.keras", NULL, "layer add (Add): it merges masked inputs as Keras 1 and 2 do");
    network_free(network);

    layers[0].mask_value = NAN;
    network = network_of(3, layers, 1);
    expect_refused(network, "m.keras", NULL, "layer masking (Masking): mask_value is nan, which JSON cannot say");
    network_free(network);
}

/* ---- whole or not at all ------------------------------------------------------------------------ */

static void test_no_place(void **state) {
    (void)state;
    struct layer_spec layer = layer_spec_of(LAYER_DENSE, 3);
    struct network *network = network_of(3, &layer, 1);
    struct error err;

    expect_refused(network, "none/m.h5", NULL, "No such file or directory");
    assert_int_equal(mkdir(path_in("m.h5"), 0700), 0); /* a folder by that name */
    assert_int_equal(keras_write(path_in("m.h5"), network, NULL, &err), -1);
    assert_int_equal(count_files(), 1);
    rmdir(path_in("m.h5"));
    network_free(network);
}

static void test_full(void **state) {
    (void)state;
    struct layer_spec layer = layer_spec_of(LAYER_DENSE, 50);
    struct network *network = network_of(50, &layer, 1);
    struct rlimit before, little;
    struct error err;
    FILE *file = fopen(path_in("m.keras"), "w");
    char *bytes;
    size_t n;

    assert_non_null(file);
    fputs("what was there", file);
    fclose(file);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    little = (struct rlimit){4096, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &little);
    int code = keras_write(path_in("m.keras"), network, NULL, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(code, -1);
    assert_non_null(strstr(err.text, "File too large"));
    assert_int_equal(count_files(), 1);
    bytes = contents(path_in("m.keras"), &n);
    assert_string_equal(bytes, "what was there");
    free(bytes);

    assert_int_equal(keras_write(path_in("m.keras"), network, NULL, &err), 0); /* and over it, when there is room */
    bytes = member(path_in("m.keras"), "config.json", &n);
    assert_non_null(bytes);
    free(bytes);
    assert_int_equal(count_files(), 1);
    unlink(path_in("m.keras"));
    network_free(network);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members), cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_floats),
        cmocka_unit_test(test_order),   cmocka_unit_test(test_refused),    cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
