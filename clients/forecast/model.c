#include "clients/forecast/model.h"

#include "clients/forecast/commands.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"show", model_show, "what a model is: layers, shapes, parameters, how it can run, what a step costs"},
    {"convert", model_convert, "write a model anew: .keras for Keras 3, .h5 for tf-keras"},
    {"run", model_run, "a model over a .npy file, as Keras' predict"},
    {"check", model_check, "compare what a model says with outputs that are known"},
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *out) {
    fprintf(out, "forecast model: looks at Keras' models, runs and converts them; no daemon is asked.\n\n"
                 "Usage: forecast model COMMAND FILE [OPTIONS]\n\nCommands:\n");
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-8s%s\n", commands[i].name, commands[i].summary);
    fprintf(out,
            "\nFILE is a .keras file of Keras 3, or HDF5 (.h5, .hdf5) of Keras 1, 2 or tf-keras. Weights-only HDF5 "
            "needs\n--architecture with the model's JSON (Keras' model.to_json()).\n"
            "forecast model COMMAND --help tells more.\n\n"
            "Examples:\n"
            "  forecast model show house.keras\n"
            "  forecast model convert old.h5 new.keras\n"
            "  forecast model run house.keras --input x.npy --output y.npy\n");
}

int command_model(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "forecast model: there is no %s \"%s\"; see forecast model --help\n",
            argv[1][0] == '-' ? "option" : "command", argv[1]);
    return 2;
}

int model_failed(const struct error *err) {
    fprintf(stderr, "forecast model: %s\n", err->text);
    return 1;
}
