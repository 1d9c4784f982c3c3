/*
 * The models of the goldens written by this engine, as .keras and as .h5, and read again: bit for bit the same
 * weights, and the outputs that Keras gives for the original. An argument is a pattern of the names to run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/golden_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64]; /* in memory where it can be: every file is synced */
static int n_written, n_refused;

static double check_format(const struct golden *golden, const struct network *network, const char *ending) {
    struct error err;
    struct golden again = {.arrays = golden->arrays};
    char path[96];

    snprintf(path, sizeof path, "%s/model.%s", folder, ending);
    if (keras_write(path, network, NULL, &err) != 0) {
        print_message("not written: %s\n", err.text);
        n_refused++;
        return 0;
    }
    again.model = keras_read(path, NULL, &err);
    remove(path);
    if (!again.model)
        fail_msg("%s", err.text);
    assert_int_equal(again.model->n_params, golden->model->n_params);
    assert_memory_equal(again.model->params, golden->model->params,
                        golden->model->n_params * sizeof *golden->model->params);
    double error = golden_check(&again);
    keras_model_free(again.model);
    n_written++;
    return error;
}

static double check(const struct golden_box *box, const char *name, const struct golden *golden) {
    struct golden_array x = golden_array(golden, "x");
    int steps = golden->model->spec.no_time ? 1 : x.dims[1] / (int)golden_number(golden, "calls", 1);
    struct network *network = golden_network(golden->model, NETWORK_SAMPLES, steps);
    double error = fmax(check_format(golden, network, "keras"), check_format(golden, network, "h5"));

    (void)box;
    (void)name;
    golden_array_fini(&x);
    network_free(network);
    return error;
}

int main(int argc, char **argv) {
    static const char *const boxes[] = {"recurrent", "layers", "masks", "stateful", "models", "whole", "legacy"};

    snprintf(folder, sizeof folder, "%s/forecastd-written-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    /* Each one takes four forks: under a sanitizer a part of them is enough. */
    const char *slow = getenv("SCENARIO_SLOW");
    int every = slow && strcmp(slow, "0") != 0 ? 7 : 1;
    int failed = golden_main(argc, argv, boxes, sizeof boxes / sizeof *boxes, every, check);
    print_message("%d files were written and read again; %d times a format could not hold the model\n", n_written,
                  n_refused);
    rmdir(folder);
    return failed;
}
