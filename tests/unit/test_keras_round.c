/*
 * Models out and in again, in both formats: the same weights bit for bit, the same numbers bit for bit, and written
 * once more the same file.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/predict.h"
#include "engine/keras/keras.h"
#include "tests/support/floats.h"
#include "tests/support/models.h"

#include <stdio.h>
#include <unistd.h>
#include <zip.h>

enum { BATCH = 3 };

static char folder[] = "/tmp/test_keras_round.XXXXXX";

static int setup(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return rmdir(folder);
}

/* ---- files -------------------------------------------------------------------------------------- */

struct bytes {
    size_t n;
    char *data;
};

static struct bytes file_bytes(const char *path) {
    FILE *file = fopen(path, "rb");
    struct bytes bytes = {0};

    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    bytes.n = (size_t)ftell(file);
    rewind(file);
    bytes.data = malloc(bytes.n);
    assert_int_equal(fread(bytes.data, 1, bytes.n, file), bytes.n);
    fclose(file);
    return bytes;
}

static struct bytes member_bytes(const char *path, const char *name) {
    int code;
    zip_t *zip = zip_open(path, ZIP_RDONLY, &code);
    zip_stat_t status;
    struct bytes bytes = {0};

    assert_non_null(zip);
    assert_int_equal(zip_stat(zip, name, 0, &status), 0);
    bytes.n = status.size;
    bytes.data = malloc(bytes.n);
    zip_file_t *file = zip_fopen(zip, name, 0);
    assert_int_equal(zip_fread(file, bytes.data, bytes.n), bytes.n);
    zip_fclose(file);
    zip_discard(zip);
    return bytes;
}

static void expect_same(const char *model, const char *what, struct bytes a, struct bytes b) {
    if (a.n != b.n || memcmp(a.data, b.data, a.n) != 0) {
        if (a.n < 20000 && strcmp(what, "config.json") == 0)
            print_message("%.*s\n%.*s\n", (int)a.n, a.data, (int)b.n, b.data);
        fail_msg("%s: %s is not the same when it is written again", model, what);
    }
    free(a.data);
    free(b.data);
}

/* ---- networks ----------------------------------------------------------------------------------- */

static void expect_same_weights(const char *name, const struct network *a, const struct network *b) {
    const struct network_spec *spec = network_spec(a), *other = network_spec(b);

    assert_int_equal(network_n_params(a), network_n_params(b));
    for (int i = 0; i < spec->n_layers; i++)
        for (int k = 0; k < other->n_layers; k++) {
            struct network_weight mine[LAYER_WEIGHTS], theirs[LAYER_WEIGHTS];

            if (strcmp(spec->layers[i].name, other->layers[k].name) != 0)
                continue;
            int n = network_weights(a, i, mine);
            assert_int_equal(n, network_weights(b, k, theirs));
            for (int w = 0; w < n; w++) {
                assert_string_equal(mine[w].name, theirs[w].name);
                assert_int_equal(mine[w].n, theirs[w].n);
                if (!floats_same(mine[w].n, network_params_const(a) + mine[w].at,
                                 network_params_const(b) + theirs[w].at))
                    fail_msg("%s: %s of %s", name, mine[w].name, spec->layers[i].name);
            }
        }
}

static struct npy samples_of(const struct model *model) {
    struct npy x = {.kind = 'f', .item_size = 4, .n_dims = 3, .dims = {BATCH, (size_t)model->steps, 0}};
    int steps = model->spec.no_time ? 1 : model->steps;
    float *data = floats_new((size_t)BATCH * (size_t)steps * (size_t)model->spec.n_inputs);

    for (int r = 0; r < BATCH; r++)
        for (int t = 0; t < steps; t++)
            for (int j = 0; j < model->spec.n_inputs; j++)
                data[x.n++] = model_x(model, (uint64_t)r, t, j);
    x.dims[2] = (size_t)model->spec.n_inputs;
    if (model->spec.no_time)
        x.dims[1] = x.dims[2];
    if (model->spec.no_time || model->spec.ids)
        x.n_dims = 2;
    x.bytes = (unsigned char *)data;
    x.data = x.bytes;
    return x;
}

static void expect_same_numbers(const struct model *model, const struct network *a, const struct network *b) {
    struct npy x = samples_of(model);
    struct prediction mine, theirs;
    struct error err;

    if (predict(a, &x, 1, false, &mine, &err) != 0 || predict(b, &x, 1, false, &theirs, &err) != 0)
        fail_msg("%s: %s", model->name, err.text);
    assert_int_equal(mine.n, theirs.n);
    for (int o = 0; o < mine.n; o++) {
        assert_int_equal(mine.y[o].n_dims, theirs.y[o].n_dims);
        assert_memory_equal(mine.y[o].dims, theirs.y[o].dims, (size_t)mine.y[o].n_dims * sizeof(size_t));
        if (!floats_same(mine.y[o].n, mine.y[o].data, theirs.y[o].data))
            fail_msg("%s: output %d says something else", model->name, o);
    }
    prediction_fini(&mine);
    prediction_fini(&theirs);
    npy_fini(&x);
}

/* ---- there and back ----------------------------------------------------------------------------- */

static void go_round(const struct model *model, bool keras3) {
    static const char own[] = "{\"targets\": [\"kw\"]}";
    char path[256], again[256];
    struct error err;
    struct network *network = model_network(model, 5, &err), *back = NULL;
    struct keras_model *file = NULL;

    if (!network)
        fail_msg("%s: %s", model->name, err.text);
    snprintf(path, sizeof path, "%s/m.%s", folder, keras3 ? "keras" : "h5");
    snprintf(again, sizeof again, "%s/n.%s", folder, keras3 ? "keras" : "h5");
    if (keras_write(path, network, keras3 ? own : NULL, &err) != 0 || !(file = keras_read(path, NULL, &err)) ||
        !(back = keras_network(file, NETWORK_SAMPLES, 0, &err)))
        fail_msg("%s: %s", model->name, err.text);
    if (keras3)
        assert_string_equal(file->own, own);
    else
        assert_null(file->own);
    expect_same_weights(model->name, network, back);
    expect_same_numbers(model, network, back);

    if (keras_write(again, back, keras3 ? own : NULL, &err) != 0)
        fail_msg("%s: %s", model->name, err.text);
    if (keras3) {
        expect_same(model->name, "config.json", member_bytes(path, "config.json"),
                    member_bytes(again, "config.json"));
        expect_same(model->name, "model.weights.h5", member_bytes(path, "model.weights.h5"),
                    member_bytes(again, "model.weights.h5"));
    } else {
        expect_same(model->name, "the file", file_bytes(path), file_bytes(again));
    }
    unlink(path);
    unlink(again);
    keras_model_free(file);
    network_free(network);
    network_free(back);
}

static void test_keras3(void **state) {
    (void)state;
    struct model model;

    for (int i = 0; model_at(i, &model); i++)
        if (!model.not_keras3)
            go_round(&model, true);
}

static void test_keras2(void **state) {
    (void)state;
    struct model model;

    for (int i = 0; model_at(i, &model); i++)
        if (!model.not_keras2)
            go_round(&model, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keras3),
        cmocka_unit_test(test_keras2),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
