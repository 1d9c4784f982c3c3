/*
 * Writes every model of tests/support/models.h into a folder in both formats, with a batch of samples and what this
 * engine says of them, for check_written.py to compare with what real Keras says. Usage: write_models FOLDER
 */
#include "clients/forecast/predict.h"
#include "engine/keras/keras.h"
#include "tests/support/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 5 };

static int failed(const char *name, const struct error *err) {
    fprintf(stderr, "write_models: %s: %s\n", name, err->text);
    return 1;
}

static int write_x(const struct model *model, const char *path, struct error *err) {
    size_t dims[] = {BATCH, (size_t)model->steps, (size_t)model->spec.n_inputs}, n = 0;
    int n_dims = 3, steps = model->spec.no_time ? 1 : model->steps;
    float *x = malloc(dims[0] * dims[1] * dims[2] * sizeof *x);

    for (int r = 0; r < BATCH; r++)
        for (int t = 0; t < steps; t++)
            for (int j = 0; j < model->spec.n_inputs; j++)
                x[n++] = model_x(model, (uint64_t)r, t, j);
    if (model->spec.no_time)
        dims[1] = dims[2];
    if (model->spec.no_time || model->spec.ids)
        n_dims = 2;
    int code = npy_write(path, n_dims, dims, x, err);
    free(x);
    return code;
}

static int write_model(const struct model *model, const char *folder) {
    struct error err;
    struct prediction prediction;
    struct npy x;
    char path[512];
    struct network *network = model_network(model, 7, &err);
    int steps;

    if (!network)
        return failed(model->name, &err);
    snprintf(path, sizeof path, "%s/%s.keras", folder, model->name);
    if (!model->not_keras3 && keras_write(path, network, "{}", &err) != 0)
        return failed(model->name, &err);
    snprintf(path, sizeof path, "%s/%s.h5", folder, model->name);
    if (!model->not_keras2 && keras_write(path, network, NULL, &err) != 0)
        return failed(model->name, &err);
    snprintf(path, sizeof path, "%s/%s.x.npy", folder, model->name);
    if (write_x(model, path, &err) != 0 || npy_read(path, &x, &err) != 0 ||
        predict_check(&model->spec, &x, 1, &steps, &err) != 0 ||
        predict(network, &x, 1, false, &prediction, &err) != 0)
        return failed(model->name, &err);
    for (int o = 0; o < prediction.n; o++) {
        snprintf(path, sizeof path, "%s/%s.y%d.npy", folder, model->name, o);
        if (npy_write(path, prediction.y[o].n_dims, prediction.y[o].dims, prediction.y[o].data, &err) != 0)
            return failed(model->name, &err);
    }
    prediction_fini(&prediction);
    npy_fini(&x);
    network_free(network);
    return 0;
}

int main(int argc, char **argv) {
    struct model model;
    int code = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: write_models FOLDER\n");
        return 2;
    }
    for (int i = 0; model_at(i, &model); i++)
        code |= write_model(&model, argv[1]);
    return code;
}
