#include "clients/forecast/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *architecture, *input, *output;
    bool stateful;
    long calls;
} options;

static const struct option_row rows[] = {
    {"input", 'i', OPTION_TEXT, "X.npy", "the samples", &options.input, 0, 0},
    {"output", 'o', OPTION_TEXT, "Y.npy", "what comes out; of several outputs Y-0.npy, Y-1.npy, ...", &options.output,
     0, 0},
    {"stateful", 's', OPTION_FLAG, NULL, "states go on from call to call", &options.stateful, 0, 0},
    {"calls", 'k', OPTION_INTEGER, "K", "cut the time axis into K equal pieces, one call each (default 1)",
     &options.calls, 1, 1e9},
    {"architecture", 'a', OPTION_TEXT, "A.json", "the architecture of weights-only HDF5", &options.architecture, 0,
     0},
    {0},
};

static const struct option_command run = {
    .name = "forecast model run",
    .usage = "FILE --input X.npy --output Y.npy [OPTIONS]",
    .summary = "runs a model over a file, as Keras' predict does.",
    .rows = rows,
    .notes =
        "X is float32 [batch, time, features]; integers [batch, time] into an Embedding; [batch, features] for a model\n"
        "without time. Y is what Keras' predict returns: float32 [batch, ...].\n"
        "With --calls or --stateful, Y has a new first axis, [K, batch, ...], with the outputs of the K calls. --stateful\n"
        "keeps each row's states from call to call, as K calls of predict on a stateful model without a reset do: of the\n"
        "layers that are stateful in the file, or of all recurrent layers where none is. Without it every call begins anew.\n",
    .examples = "  forecast model run house.keras --input x.npy --output y.npy\n"
                "  forecast model run house.keras --input x.npy --output y.npy --stateful --calls 3\n",
};

int model_predict(const struct keras_model *model, const struct npy *x, const char *what, bool stateful, long calls,
                  struct prediction *ret, struct error *err) {
    struct network *network;
    int steps, failed;

    if (predict_check(&model->spec, x, calls ? calls : 1, &steps, err) != 0)
        return error_prefix(err, "%s", what);
    network = keras_network(model, stateful ? NETWORK_STATEFUL : NETWORK_SAMPLES, steps, err);
    if (!network)
        return -1;
    failed = predict(network, x, calls ? calls : 1, calls != 0, ret, err);
    network_free(network);
    return failed ? error_prefix(err, "%s", what) : 0;
}

/* y.npy, or y-2.npy of several. */
static char *output_path(const char *path, int n, int output) {
    const char *slash = strrchr(path, '/'), *ending = strrchr(path, '.');
    size_t size = strlen(path) + 16, stem;
    char *text = malloc(size);

    if (!ending || (slash && ending < slash))
        ending = path + strlen(path);
    stem = (size_t)(ending - path);
    if (text && n > 1)
        snprintf(text, size, "%.*s-%d%s", (int)stem, path, output, ending);
    else if (text)
        snprintf(text, size, "%s", path);
    return text;
}

static int write_outputs(const struct prediction *prediction, const char *path, struct error *err) {
    for (int o = 0; o < prediction->n; o++) {
        char *name = output_path(path, prediction->n, o);
        int failed = name
                         ? npy_write(name, prediction->y[o].n_dims, prediction->y[o].dims, prediction->y[o].data, err)
                         : error_set(err, "not enough memory");

        free(name);
        if (failed)
            return -1;
    }
    return 0;
}

int model_run(int argc, char **argv) {
    struct keras_model *model;
    struct prediction prediction;
    struct npy x;
    struct error err;
    int first, code = options_begin(&run, argc, argv, &first);

    if (code >= 0)
        return code;
    if (argc - first != 1)
        return options_wrong(&run, "it takes one model, not %d", argc - first);
    if (!options.input || !options.output)
        return options_wrong(&run, "it needs --%s", options.input ? "output" : "input");
    model = keras_read(argv[first], options.architecture, &err);
    if (!model)
        return model_failed(&err);
    code = 1;
    if (npy_read(options.input, &x, &err) != 0)
        goto free_model;
    long calls = options.calls ? options.calls : options.stateful;
    if (model_predict(model, &x, options.input, options.stateful, calls, &prediction, &err) != 0)
        goto free_x;
    code = write_outputs(&prediction, options.output, &err) != 0;
    prediction_fini(&prediction);

free_x:
    npy_fini(&x);
free_model:
    keras_model_free(model);
    return code ? model_failed(&err) : 0;
}
