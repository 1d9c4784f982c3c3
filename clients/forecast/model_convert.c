#include "clients/forecast/model.h"

#include <stdio.h>
#include <string.h>

static const char *architecture;

static const struct option_row rows[] = {
    {"architecture", 'a', OPTION_TEXT, "A.json", "the architecture of weights-only HDF5", &architecture, 0, 0},
    {0},
};

static const struct option_command convert = {
    .name = "forecast model convert",
    .usage = "FROM TO [OPTIONS]",
    .summary = "writes a model anew, bit for bit the same weights.",
    .rows = rows,
    .notes =
        "The ending of TO says what it becomes: .keras for Keras 3, .h5 for tf-keras. Options that serving does not know\n"
        "(initializers, regularizers, the optimizer's state) are not kept. A model with stateful layers has a fixed\n"
        "batch size in Keras; it is written with 1. What the daemon adds to a model (forecastd.json) has no room in\n"
        "a .h5 and is left out there.\n",
    .examples = "  forecast model convert old.h5 new.keras\n"
                "  forecast model convert weights.h5 new.keras --architecture model.json\n",
};

int model_convert(int argc, char **argv) {
    struct keras_model *model;
    struct network *network;
    struct error err;
    int first, code = options_begin(&convert, argc, argv, &first);

    if (code >= 0)
        return code;
    if (argc - first != 2)
        return options_wrong(&convert, "it takes two files, not %d", argc - first);
    model = keras_read(argv[first], architecture, &err);
    if (!model)
        return model_failed(&err);
    const char *to = argv[first + 1], *ending = strrchr(to, '.');
    bool keeps_own = ending && strcmp(ending, ".keras") == 0;
    network = keras_network(model, NETWORK_SAMPLES, 0, &err);
    code = network && keras_write(to, network, keeps_own ? model->own : NULL, &err) == 0 ? 0 : model_failed(&err);
    if (code == 0 && model->own && !keeps_own)
        fprintf(stderr, "forecast model: %s: its forecastd.json is left out\n", to);
    network_free(network);
    keras_model_free(model);
    return code;
}
