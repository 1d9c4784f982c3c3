#include "clients/forecast/commands.h"
#include "engine/kernels/kernels.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"feed", command_feed, "send ticks: rows of a CSV file, or this machine's metrics"},
    {"watch", command_watch, "see forecasts: a line each, or a live table"},
    {"ctl", command_ctl,
     "ask and command the daemon: status, streams, models, retrain, promote, rollback, reset, ..."},
    {"model", command_model, "look at Keras' models, run and convert them"},
    {"backtest", command_backtest, "say how well a model would have forecast a file, row by row"},
    {"train", command_train, "train a model on files"},
    {"bench", command_bench, "measure ticks and forecasts a second, and latency"},
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *out) {
    fprintf(out, "forecast: the command of forecastd, a daemon that forecasts live streams\n\n"
                 "Usage: forecast COMMAND [OPTIONS]\n\nCommands:\n");
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s%s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\nforecast COMMAND --help tells more. forecast --version prints the version.\n\n"
                 "Examples:\n"
                 "  forecast feed --csv plant.csv --stream plant/boiler-7\n"
                 "  forecast watch --stream plant/boiler-7\n"
                 "  forecast ctl models\n");
}

int main(int argc, char **argv) {
    setlocale(LC_CTYPE, ""); /* the terminal's characters; numbers stay with their points */
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("forecast %s\n", FORECASTD_VERSION);
        return 0;
    }
    struct error err;
    if (kernels_check(&err) != 0) {
        fprintf(stderr, "forecast: %s\n", err.text);
        return 2;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "forecast: there is no %s \"%s\"; see forecast --help\n",
            argv[1][0] == '-' ? "option" : "command", argv[1]);
    return 2;
}
