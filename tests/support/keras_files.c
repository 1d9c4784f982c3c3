#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/keras_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

/* ---- HDF5 --------------------------------------------------------------------------------------- */

static hid_t good(hid_t id) {
    assert_true(id >= 0);
    return id;
}

hid_t h5_new(const char *path) {
    hid_t access = good(H5Pcreate(H5P_FILE_ACCESS));
    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hid_t file = good(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access));
    H5Pclose(access);
    return file;
}

static hid_t group_of(hid_t file, const char *group) {
    char path[256] = "";
    for (const char *at = group; *at;) {
        size_t n = strcspn(at, "/");
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%.*s", (int)n, at);
        if (H5Lexists(file, path, H5P_DEFAULT) <= 0)
            H5Gclose(good(H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)));
        at += n + (at[n] == '/');
    }
    return good(H5Gopen2(file, group[0] ? path : "/", H5P_DEFAULT));
}

static void attribute(hid_t file, const char *group, const char *name, hid_t type, hid_t space, const void *bytes) {
    hid_t at = group_of(file, group);
    hid_t attribute = good(H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT));
    good(H5Awrite(attribute, type, bytes));
    H5Aclose(attribute);
    H5Gclose(at);
    H5Sclose(space);
    H5Tclose(type);
}

static hid_t string_type(size_t size) {
    hid_t type = good(H5Tcopy(H5T_C_S1));
    good(H5Tset_size(type, size));
    return type;
}

void h5_text(hid_t file, const char *group, const char *name, const char *text) {
    attribute(file, group, name, string_type(strlen(text) + 1), good(H5Screate(H5S_SCALAR)), text);
}

void h5_variable_text(hid_t file, const char *group, const char *name, const char *text) {
    attribute(file, group, name, string_type(H5T_VARIABLE), good(H5Screate(H5S_SCALAR)), &text);
}

void h5_texts(hid_t file, const char *group, const char *name, const char *texts) {
    enum { WIDTH = 64 };
    char table[16][WIDTH] = {{0}};
    hsize_t n = 0;
    for (const char *at = texts; *at; at += strlen(at) + 1)
        snprintf(table[n++], WIDTH, "%s", at);
    attribute(file, group, name, string_type(WIDTH), good(H5Screate_simple(1, &n, NULL)), table);
}

void h5_typed_array(hid_t file, const char *path, hid_t type, int n_dims, const int *dims, const float *data) {
    char group[256];
    const char *name = strrchr(path, '/');
    snprintf(group, sizeof group, "%.*s", name ? (int)(name - path) : 0, path);
    hsize_t extent[8], n = 1;
    for (int i = 0; i < n_dims; i++)
        n *= extent[i] = (hsize_t)dims[i];
    float *own = malloc((n + 1) * sizeof *own);
    assert_non_null(own);
    for (hsize_t i = 0; i < n; i++)
        own[i] = data ? data[i] : 0.1f * (float)(i % 17 + 1) - 0.9f;
    hid_t at = group_of(file, group), space = good(H5Screate_simple(n_dims, extent, NULL));
    hid_t set = good(H5Dcreate2(at, name ? name + 1 : path, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    good(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, own));
    H5Dclose(set);
    H5Sclose(space);
    H5Gclose(at);
    free(own);
}

void h5_array(hid_t file, const char *path, int n_dims, const int *dims, const float *data) {
    h5_typed_array(file, path, H5T_IEEE_F32LE, n_dims, dims, data);
}

/* ---- zip ---------------------------------------------------------------------------------------- */

void zip_new(const char *path, const char *weights, const char *const *members) {
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(zip);
    for (; members && members[0]; members += 2) {
        zip_source_t *source = zip_source_buffer(zip, members[1], strlen(members[1]), 0);
        assert_true(zip_file_add(zip, members[0], source, 0) >= 0);
    }
    if (weights)
        assert_true(zip_file_add(zip, "model.weights.h5", zip_source_file(zip, weights, 0, -1), 0) >= 0);
    assert_int_equal(zip_close(zip), 0);
}

/* ---- a good model ------------------------------------------------------------------------------- */

const char keras_file_config2[] =
    "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"sequential\", \"layers\": ["
    "{\"class_name\": \"LSTM\", \"config\": {\"name\": \"memory\", \"batch_input_shape\": [null, 4, 2], \"units\": 3, "
    "\"activation\": \"tanh\", \"recurrent_activation\": \"hard_sigmoid\", \"use_bias\": true}},"
    "{\"class_name\": \"Dense\", \"config\": {\"name\": \"head\", \"units\": 1, \"activation\": \"linear\"}}]}}";

const char keras_file_config3[] =
    "{\"module\": \"keras.src.models.functional\", \"class_name\": \"Functional\", \"config\": {\"name\": \"model\", \"layers\": ["
    "{\"module\": \"keras.layers\", \"class_name\": \"InputLayer\", \"config\": {\"batch_shape\": [null, 4, 2], \"name\": "
    "\"x\"}, \"name\": \"x\", \"inbound_nodes\": []},"
    "{\"module\": \"keras.layers\", \"class_name\": \"LSTM\", \"config\": {\"name\": \"memory\", \"units\": 3, "
    "\"recurrent_activation\": \"hard_sigmoid\"}, \"name\": \"memory\", \"inbound_nodes\": [{\"args\": [{\"class_name\": "
    "\"__keras_tensor__\", \"config\": {\"shape\": [null, 4, 2], \"keras_history\": [\"x\", 0, 0]}}], \"kwargs\": "
    "{\"mask\": null, \"training\": false}}]},"
    "{\"module\": \"keras.layers\", \"class_name\": \"Dense\", \"config\": {\"name\": \"head\", \"units\": 1}, \"name\": "
    "\"head\", \"inbound_nodes\": [{\"args\": [{\"class_name\": \"__keras_tensor__\", \"config\": {\"shape\": [null, 3], "
    "\"keras_history\": [\"memory\", 0, 0]}}], \"kwargs\": {}}]}],"
    "\"input_layers\": [\"x\", 0, 0], \"output_layers\": [[\"head\", 0, 0]]}}";

void keras_file_weights(hid_t file, const char *const paths[5]) {
    static const struct {
        int n, dims[2];
    } shapes[5] = {{2, {2, 12}}, {2, {3, 12}}, {1, {12}}, {2, {3, 1}}, {1, {1}}};
    for (int i = 0; i < 5; i++)
        h5_array(file, paths[i], shapes[i].n, shapes[i].dims, NULL);
}

void keras_file_h5(const char *path) {
    hid_t file = h5_new(path);
    h5_text(file, "", "model_config", keras_file_config2);
    h5_text(file, "", "keras_version", "2.15.0");
    h5_texts(file, "model_weights", "layer_names", "memory\0head\0");
    h5_texts(file, "model_weights/memory", "weight_names", "cell/kernel:0\0cell/recurrent_kernel:0\0cell/bias:0\0");
    h5_texts(file, "model_weights/head", "weight_names", "kernel:0\0bias:0\0");
    keras_file_weights(file, (const char *const[]){"model_weights/memory/cell/kernel:0",
                                                   "model_weights/memory/cell/recurrent_kernel:0",
                                                   "model_weights/memory/cell/bias:0", "model_weights/head/kernel:0",
                                                   "model_weights/head/bias:0"});
    H5Fclose(file);
}

void keras_file_zip(const char *path) {
    const char *weights = temporary_path(3, "weights-of-a-zip.h5");
    hid_t file = h5_new(weights);
    keras_file_weights(file, (const char *const[]){"layers/lstm/cell/vars/0", "layers/lstm/cell/vars/1",
                                                   "layers/lstm/cell/vars/2", "layers/dense/vars/0",
                                                   "layers/dense/vars/1"});
    H5Fclose(file);
    zip_new(path, weights,
            (const char *[]){"config.json", keras_file_config3, "metadata.json", "{\"keras_version\": \"3.15.1\"}",
                             "forecastd.json", "{\"own\": 1}", NULL});
}

/* ---- files -------------------------------------------------------------------------------------- */

static char folder[64];

const char *temporary_path(int slot, const char *name) {
    static char paths[4][256];
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/keras-files-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    snprintf(paths[slot], sizeof paths[slot], "%s/%s", folder, name);
    return paths[slot];
}

void temporary_remove(void) {
    char command[128];
    if (!folder[0])
        return;
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    folder[0] = '\0';
}

unsigned char *file_bytes(const char *path, size_t *ret_size) {
    FILE *file = fopen(path, "rb");
    struct stat stat;
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &stat), 0);
    unsigned char *bytes = malloc((size_t)stat.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)stat.st_size, file), stat.st_size);
    fclose(file);
    *ret_size = (size_t)stat.st_size;
    return bytes;
}

void file_write(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}
