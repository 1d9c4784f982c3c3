/* Keras' predict: rows and steps in their places, calls with and without states, and what is refused about x. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/predict.h"
#include "tests/support/floats.h"
#include "tests/support/layers.h"

#include <stdio.h>

enum { WIDTH = 3, STEPS = 6, UNITS = 4 };

/* An array in memory, row-major float32. */
static struct npy array_of(int n_dims, const size_t *dims, float (*value)(size_t i)) {
    struct npy npy = {.kind = 'f', .item_size = 4, .n_dims = n_dims, .n = 1};

    for (int d = 0; d < n_dims; d++) {
        npy.dims[d] = dims[d];
        npy.n *= dims[d];
    }
    float *data = floats_new(npy.n);
    for (size_t i = 0; i < npy.n; i++)
        data[i] = value(i);
    npy.bytes = (unsigned char *)data;
    npy.data = npy.bytes;
    return npy;
}

static float wave(size_t i) {
    return sinf(0.37f * (float)(i % 1009));
}

static struct network *network_of(enum network_mode mode, const struct layer_spec *layers, int n_layers) {
    struct network_spec spec = {.mode = mode, .n_inputs = WIDTH, .layers = layers, .n_layers = n_layers};
    struct error err;
    struct network *network = network_new(&spec, &err);

    if (!network)
        fail_msg("%s", err.text);
    network_init_weights(network, 11);
    return network;
}

/* ---- places ------------------------------------------------------------------------------------- */

/* A dense layer looks at each step by itself: every value has to be where its step was, in more rows than a block. */
static void test_places(void **state) {
    (void)state;
    static const struct layer_spec layers[] = {DENSE(UNITS, ACTIVATION_LINEAR)};
    struct network *network = network_of(NETWORK_SAMPLES, layers, 1);
    const size_t batch = 700, dims[] = {batch, STEPS, WIDTH};
    struct npy x = array_of(3, dims, wave);
    struct prediction prediction;
    struct error err;
    int steps;

    assert_int_equal(predict_check(network_spec(network), &x, 1, &steps, &err), 0);
    assert_int_equal(steps, STEPS);
    assert_int_equal(predict(network, &x, 1, false, &prediction, &err), 0);
    assert_int_equal(prediction.n, 1);
    assert_int_equal(prediction.y[0].n_dims, 3);
    assert_int_equal(prediction.y[0].dims[0], batch);
    assert_int_equal(prediction.y[0].dims[1], STEPS);
    assert_int_equal(prediction.y[0].dims[2], UNITS);
    const float *w = network_params_const(network);
    for (size_t i = 0; i < batch * STEPS * UNITS; i++) {
        double sum = 0;

        for (size_t j = 0; j < WIDTH; j++)
            sum += (double)wave(i / UNITS * WIDTH + j) * (double)w[j * UNITS + i % UNITS];
        assert_true(fabs(sum - (double)prediction.y[0].data[i]) < 1e-6);
    }
    prediction_fini(&prediction);
    npy_fini(&x);
    network_free(network);
}

/* K calls with states are one long call; without them each begins anew. */
static void test_calls(void **state) {
    (void)state;
    static const struct layer_spec layers[] = {LSTM(UNITS)};
    struct network *carries = network_of(NETWORK_STATEFUL, layers, 1);
    struct network *samples = network_of(NETWORK_SAMPLES, layers, 1);
    const size_t batch = 5, dims[] = {batch, STEPS, WIDTH}, piece = STEPS / 3 * UNITS;
    struct npy x = array_of(3, dims, wave);
    struct prediction sample, whole, pieces;
    struct error err;

    assert_int_equal(predict(samples, &x, 1, false, &sample, &err), 0);
    assert_int_equal(predict(carries, &x, 1, false, &whole, &err), 0);
    assert_true(floats_same(whole.y[0].n, sample.y[0].data, whole.y[0].data));
    assert_int_equal(predict(carries, &x, 3, true, &pieces, &err), 0);
    assert_int_equal(pieces.y[0].n_dims, 4);
    assert_int_equal(pieces.y[0].dims[0], 3);
    assert_int_equal(pieces.y[0].dims[1], batch);
    assert_int_equal(pieces.y[0].dims[2], STEPS / 3);
    assert_int_equal(pieces.y[0].dims[3], UNITS);
    for (size_t call = 0; call < 3; call++)
        for (size_t r = 0; r < batch; r++)
            assert_true(floats_same(piece, pieces.y[0].data + (call * batch + r) * piece,
                                    whole.y[0].data + (r * 3 + call) * piece));
    prediction_fini(&sample);
    prediction_fini(&whole);
    prediction_fini(&pieces);
    npy_fini(&x);
    network_free(carries);
    network_free(samples);
}

static float same_for_all(size_t i) {
    return wave(i % (2 * WIDTH)); /* every second step, and so every piece, is the same */
}

static void test_calls_without_states(void **state) {
    (void)state;
    static const struct layer_spec layers[] = {LSTM(UNITS)};
    struct network *network = network_of(NETWORK_SAMPLES, layers, 1);
    const size_t dims[] = {2, STEPS, WIDTH}, each = (size_t)2 * 2 * UNITS;
    struct npy x = array_of(3, dims, same_for_all);
    struct prediction prediction;
    struct error err;

    assert_int_equal(predict(network, &x, 3, true, &prediction, &err), 0);
    assert_true(floats_same(each, prediction.y[0].data, prediction.y[0].data + each));
    assert_true(floats_same(each, prediction.y[0].data, prediction.y[0].data + 2 * each));
    prediction_fini(&prediction);
    npy_fini(&x);
    network_free(network);
}

static float same_rows(size_t i) {
    return wave(i % (STEPS * WIDTH));
}

/* The states of a row begin at zero, whatever the rows before it left in the same memory. */
static void test_rows_begin_anew(void **state) {
    (void)state;
    static const struct layer_spec layers[] = {LSTM(UNITS)};
    struct network *network = network_of(NETWORK_STATEFUL, layers, 1);
    const size_t batch = 600, dims[] = {batch, STEPS, WIDTH}, each = (size_t)STEPS / 2 * UNITS;
    struct npy x = array_of(3, dims, same_rows);
    struct prediction prediction;
    struct error err;

    assert_int_equal(predict(network, &x, 2, true, &prediction, &err), 0);
    for (size_t r = 1; r < batch; r++)
        assert_true(floats_same(each, prediction.y[0].data, prediction.y[0].data + r * each));
    prediction_fini(&prediction);
    npy_fini(&x);
    network_free(network);
}

static void test_no_rows(void **state) {
    (void)state;
    static const struct layer_spec layers[] = {DENSE(UNITS, ACTIVATION_TANH)};
    struct network *network = network_of(NETWORK_SAMPLES, layers, 1);
    const size_t dims[] = {0, STEPS, WIDTH};
    struct npy x = array_of(3, dims, wave);
    struct prediction prediction;
    struct error err;

    assert_int_equal(predict(network, &x, 1, false, &prediction, &err), 0);
    assert_int_equal(prediction.y[0].n, 0);
    assert_int_equal(prediction.y[0].dims[1], STEPS);
    prediction_fini(&prediction);
    npy_fini(&x);
    network_free(network);
}

/* ---- what is refused ---------------------------------------------------------------------------- */

static float thirds(size_t i) {
    return (float)i / 3;
}

static float counts(size_t i) {
    return (float)i;
}

static float below_zero(size_t i) {
    return (float)i - 1;
}

static void test_refused(void **state) {
    (void)state;
    static const struct layer_spec dense[] = {DENSE(UNITS, ACTIVATION_TANH)};
    static const struct layer_spec embedding[] = {{.kind = LAYER_EMBEDDING, .units = 2, .vocabulary = 6}};
    static const struct network_spec features = {.n_inputs = WIDTH, .layers = dense, .n_layers = 1};
    static const struct network_spec flat = {.n_inputs = WIDTH, .layers = dense, .n_layers = 1, .no_time = true};
    static const struct network_spec ids = {.n_inputs = 1, .layers = embedding, .n_layers = 1, .ids = true};
    static const struct {
        const struct network_spec *spec;
        int n_dims;
        size_t dims[4];
        long calls;
        float (*value)(size_t i);
        const char *reason;
    } cases[] = {
        {&features, 3, {2, 6, 3}, 3, wave, NULL},
        {&features, 2, {2, 6}, 1, wave, "its shape is (2, 6), and the model takes (batch, time, features)"},
        {&features, 4, {1, 2, 6, 3}, 1, wave, "its shape is (1, 2, 6, 3), and"},
        {&features, 0, {0}, 1, wave, "its shape is (), and"},
        {&features, 3, {2, 6, 4}, 1, wave, "its shape is (2, 6, 4), and the model takes 3 features"},
        {&features, 3, {2, 6, 3}, 4, wave, "its 6 steps cannot be cut into 4 equal pieces"},
        {&features, 3, {2, 0, 3}, 1, wave, "from 1 to"},
        {&flat, 2, {2, 3}, 1, wave, NULL},
        {&flat, 3, {2, 6, 3}, 1, wave, "and the model takes (batch, features)"},
        {&flat, 2, {2, 3}, 2, wave, "no time axis that could be cut into 2"},
        {&ids, 2, {2, 3}, 1, counts, NULL},
        {&ids, 3, {2, 3, 1}, 1, counts, "and the model takes ids, (batch, time)"},
        {&ids, 2, {2, 4}, 1, counts, "row 1, step 2 is the id 6, and the Embedding knows those from 0 to 5"},
        {&ids, 2, {2, 3}, 1, below_zero, "row 0, step 0 is the id -1"},
        {&ids, 2, {2, 3}, 1, thirds, "row 0, step 1 is 0.333333, and ids are whole numbers"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct npy x = array_of(cases[i].n_dims, cases[i].dims, cases[i].value);
        struct error err = {""};
        struct prediction prediction;
        int steps, code = predict_check(cases[i].spec, &x, cases[i].calls, &steps, &err);

        if (code == 0) {
            struct network *network = network_new(cases[i].spec, &err);

            assert_non_null(network);
            code = predict(network, &x, cases[i].calls, cases[i].calls > 1, &prediction, &err);
            if (code == 0)
                prediction_fini(&prediction);
            network_free(network);
        }
        if (code != (cases[i].reason ? -1 : 0) || (cases[i].reason && !strstr(err.text, cases[i].reason)))
            fail_msg("case %zu: %d, \"%s\"", i, code, err.text);
        npy_fini(&x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_calls_without_states),
        cmocka_unit_test(test_rows_begin_anew),
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
