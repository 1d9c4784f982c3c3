/* Model files that others made (../shared/models), with their outputs where they came with some. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/npy.h"
#include "engine/keras/keras.h"
#include "tests/support/floats.h"

#include <glob.h>
#include <stdio.h>
#include <unistd.h>

#define MODELS    "../shared/models"
#define TOLERANCE 1e-5

enum { STEPS = 5 }; /* where a file gives none */

static void need_models(void) {
    if (access(MODELS, R_OK) == 0)
        return;
    print_message("skipped: " MODELS " is absent\n");
    skip();
}

static struct network *network_of(const char *path, const char *architecture, int steps) {
    struct error err = {""};
    struct keras_model *model = keras_read(path, architecture, &err);
    if (!model)
        fail_msg("%s", err.text);
    struct network *network = keras_network(model, NETWORK_SAMPLES, steps, &err);
    if (!network)
        fail_msg("%s: %s", path, err.text);
    keras_model_free(model);
    return network;
}

/* The first output of one sample [steps x width]; the caller frees. */
static float *run(const struct network *network, int steps, const float *x, size_t *ret_n) {
    float *work = floats_new(network_work_size(network, 1, steps)), *y[LAYER_PORTS] = {NULL};
    float *state = floats_new(network_state_size(network));
    for (int o = 0; o < network_n_outputs(network); o++) {
        struct network_shape shape = network_output(network, o, steps);
        size_t n = (size_t)shape.steps * (size_t)shape.width;
        y[o] = floats_new(n);
        if (o == 0)
            *ret_n = n;
    }
    network_forward(network, kernels_choose(), 1, steps, x, &state, y, work);
    for (int o = 1; o < network_n_outputs(network); o++)
        free(y[o]);
    free(state);
    free(work);
    return y[0];
}

/* The first 12 of a row's columns, the first four rows. */
static void read_sequence(int number, float x[4][12]) {
    char path[128];
    snprintf(path, sizeof path, MODELS "/dl4j-stacked-lstm/sequences/%d.csv", number);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int row = 0; row < 4; row++)
        for (int column = 0; column <= 12; column++) {
            double value;
            assert_int_equal(fscanf(file, "%lf%*[;\n]", &value), 1);
            if (column < 12)
                x[row][column] = (float)value;
        }
    fclose(file);
}

/* Keras 2.0.8 on Theano: weights beside a JSON architecture, with what it predicted. */
static void test_stacked_lstm(void **state) {
    (void)state;
    need_models();
    struct network *network = network_of(MODELS "/dl4j-stacked-lstm/lstm_th_keras_2_weights.h5",
                                         MODELS "/dl4j-stacked-lstm/lstm_th_keras_2_config.json", 0);
    struct npy predictions;
    struct error err;
    assert_int_equal(npy_read(MODELS "/dl4j-stacked-lstm/predictions.npy", &predictions, &err), 0);
    assert_int_equal(predictions.n, 283);
    double worst = 0;
    for (int i = 0; i < 283; i++) {
        float x[4][12];
        size_t n;
        read_sequence(i, x);
        float *y = run(network, 4, x[0], &n);
        assert_int_equal(n, 1);
        double error = fabs((double)y[0] - npy_value(&predictions, (size_t)i));
        worst = error > worst ? error : worst;
        free(y);
    }
    print_message("dl4j-stacked-lstm: worst %.1e of 1 over 283 sequences\n", worst);
    assert_true(worst <= TOLERANCE);
    npy_fini(&predictions);
    network_free(network);
}

/* The others load and run. */
static void test_the_others(void **state) {
    (void)state;
    need_models();
    glob_t files = {0};
    struct rng rng = {.state = 1};
    glob(MODELS "/dl4j-weights/*.h5", 0, NULL, &files);
    glob(MODELS "/third-party/*", GLOB_APPEND, NULL, &files);
    assert_true(files.gl_pathc >= 12);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        size_t n = 0;
        struct network *network = network_of(files.gl_pathv[i], NULL, STEPS);
        int steps = network_spec(network)->steps ? network_spec(network)->steps : STEPS;
        bool ids = network_spec(network)->ids;
        float *x = floats_random(&rng, (size_t)(steps * network_n_inputs(network)), 1);
        for (int k = 0; ids && k < steps; k++)
            x[k] = (float)(k % 4);
        float *y = run(network, steps, x, &n);
        for (size_t k = 0; k < n; k++)
            if (!isfinite(y[k]))
                fail_msg("%s gives %g", files.gl_pathv[i], (double)y[k]);
        assert_true(n > 0);
        free(y);
        free(x);
        network_free(network);
    }
    globfree(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stacked_lstm),
        cmocka_unit_test(test_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
