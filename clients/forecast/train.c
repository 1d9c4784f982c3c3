#include "clients/forecast/backtest_default.h"
#include "clients/forecast/commands.h"
#include "clients/forecast/options.h"
#include "clients/forecast/run.h"
#include "clients/forecast/train_run.h"
#include "engine/keras/keras.h"
#include "engine/own.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *csv, *output, *config, *model;
    long horizon, epochs, seed, period;
    const char *stream, *columns, *time_column, *time_format, *delimiter;
} options = {.horizon = 24, .epochs = -1, .seed = -1, .period = -1, .delimiter = ","};

static const struct option_row rows_of_options[] = {
    {"csv", 0, OPTION_TEXT, "FILE", "the ticks of one stream; further files, of further streams, follow",
     &options.csv, 0, 0},
    {"output", 'o', OPTION_TEXT, "FILE", "where the model goes: .keras, or .h5 for tf-keras", &options.output, 0, 0},
    {"config", 'c', OPTION_TEXT, "FILE",
     "a configuration as the daemon has it (default: a model that is chosen from the files)", &options.config, 0, 0},
    {"model", 'm', OPTION_TEXT, "NAME", "which of its models (default: the first)", &options.model, 0, 0},
    {"horizon", 0, OPTION_INTEGER, "N", "the default model's steps ahead (default: 24)", &options.horizon, 1, 4096},
    {"period", 0, OPTION_INTEGER, "N", "its season, in steps; 0: none (default: found from the files)",
     &options.period, 0, 1 << 20},
    {"epochs", 0, OPTION_INTEGER, "N", "passes over the windows, at most (default: the configuration's)",
     &options.epochs, 1, 100000},
    {"seed", 0, OPTION_INTEGER, "N", "of weights and order (default: the configuration's)", &options.seed, 0,
     9007199254740991},
    {"stream", 's', OPTION_TEXT, "NAME", "of one file: its stream (default: the file's name, without its ending)",
     &options.stream, 0, 0},
    {"columns", 0, OPTION_TEXT, "LIST",
     "COLUMN or FEATURE=COLUMN, divided by commas (default: the features of the model's\nclass, or all columns with "
     "numbers)",
     &options.columns, 0, 0},
    {"time-column", 0, OPTION_TEXT, "COL", "the column with the time (default: the first that holds dates or epochs)",
     &options.time_column, 0, 0},
    {"time-format", 0, OPTION_TEXT, "FORMAT", "as forecast feed has it (default: found from the first row)",
     &options.time_format, 0, 0},
    {"delimiter", 'd', OPTION_TEXT, "C", "what divides fields (default: a comma; tab is \\t)", &options.delimiter, 0,
     0},
    {0},
};

static const struct option_command command = {
    .name = "forecast train",
    .usage = "--csv FILE... -o MODEL.keras [OPTIONS]",
    .summary = "trains a model on files, by the daemon's own code, for the daemon or for Keras.",
    .rows = rows_of_options,
    .notes =
        "The newest part of each file (training.validation) is not learnt from: its older third chooses the epoch whose\n"
        "weights are kept, the rest judges them. Ctrl-C ends the training with the best weights so far. A .keras holds\n"
        "all that the daemon needs: name it as the `file` of a model.\n",
    .examples = "  forecast train --csv ETTh1.csv -o etth1.keras\n"
                "  forecast train --csv plant-1.csv plant-2.csv -c forecastd.yaml -m boilers -o boilers.keras\n",
};

struct train {
    struct backtest_data data;
    struct backtest_default choice;
    struct config *config;
    struct config_model model; /* a copy, with what the options say */
    struct train_result result;
};

static int choose_model(struct train *train, struct error *err) {
    const struct config *config = train->config;
    int m = 0;
    while (options.model != NULL && m < config->n_models && strcmp(config->models[m].name, options.model) != 0)
        m++;
    if (m == config->n_models)
        return error_set(err, "%s has no model \"%s\"", options.config, options.model);
    train->model = config->models[m];
    if (!train->model.train)
        return error_set(err, "model %s says train: false", train->model.name);
    if (train->model.head == HEAD_EVENT)
        return error_set(err, "model %s: an event is learnt from labels, which these files do not have",
                         train->model.name);
    if (options.epochs > 0) {
        train->model.training.epochs = (int)options.epochs;
        train->model.training.min_steps = 0; /* which would make more of them, where windows are few */
    }
    if (options.seed >= 0)
        train->model.seed = (uint64_t)options.seed;
    return 0;
}

static int load_data(struct train *train, char *const *paths, int n_paths, struct error *err) {
    const struct config_class *class = train->config != NULL ? &train->config->classes[train->model.class] : NULL;
    const struct backtest_columns columns = {
        .rows = {.delimiter = strcmp(options.delimiter, "\\t") == 0 ? '\t' : options.delimiter[0],
                 .stream = options.stream,
                 .time_column = options.time_column,
                 .time_format = options.time_format},
        .spec = options.columns};
    return backtest_data_load(&train->data, paths, n_paths, &columns,
                              class != NULL ? (const char *const *)class->features : NULL,
                              class != NULL ? class->n_features : 0, stderr, err);
}

static int choose_default(struct train *train, struct error *err) {
    static const struct time_policy_spec irregular = {0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < train->data.n_streams; i++) {
        uint64_t steps = backtest_stream_steps(&train->data.streams[i], &irregular);
        least = steps < least ? steps : least;
    }
    struct backtest_default *choice = &train->choice;
    *choice = (struct backtest_default){.train = least - least / 5,
                                        .valid = least / 5,
                                        .horizon = (int)options.horizon,
                                        .period = (int)options.period};
    if (backtest_default_choose(&train->data, choice, err) != 0 ||
        config_parse("the default model", (const uint8_t *)choice->text, strlen(choice->text), &train->config, err) !=
            0)
        return -1;
    return choose_model(train, err);
}

static void print_loss(const char *name, double loss) {
    char number[16];
    if (!isnan(loss))
        printf("  %-12s %s\n", name, run_format_number(loss, number, sizeof number));
}

static void report(const struct train *train) {
    const struct training_outcome *outcome = &train->result.outcome;
    train_curve_print(stdout, train->result.epochs, train->result.n_epochs, outcome->best_epoch);
    printf("%d epoch%s, %d steps of the optimizer on %d windows in %.1f s%s\n", train->result.n_epochs,
           train->result.n_epochs == 1 ? "" : "s", outcome->steps, outcome->n_training,
           1e-9 * (double)train->result.took, outcome->stopped ? "; stopped" : "");
    printf("loss on steps that it has not seen:\n");
    print_loss("the model", outcome->losses.challenger);
    print_loss("last value", outcome->losses.last_value);
    print_loss("seasonal", outcome->losses.seasonal);
}

/* The network as the daemon serves it, with what the daemon adds, where the format has room for that. */
static int write_model(const struct train *train, struct error *err) {
    const char *ending = strrchr(options.output, '.');
    bool keeps_own = strcmp(ending, ".keras") == 0;
    char *own = model_own_json(&train->model, &train->config->classes[train->model.class]);
    if (own == NULL)
        return error_set(err, "out of memory");
    int failed = keras_write(options.output, train->result.outcome.challenger, keeps_own ? own : NULL, err);
    free(own);
    return failed;
}

/* Whether the folder takes a file: before the training, and not when its result would be lost. */
static int check_folder(const char *path, struct error *err) {
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    char *folder = n > 0 ? strndup(path, n) : strdup(".");
    if (folder == NULL)
        return error_set(err, "out of memory");
    int failed = access(folder, W_OK | X_OK) == 0 ? 0 : error_set(err, "%s: %s", path, strerror(errno));
    free(folder);
    return failed;
}

static int train_all(struct train *train, char *const *paths, int n_paths, struct error *err) {
    char text[512];
    if (check_folder(options.output, err) != 0)
        return -1;
    if (options.config != NULL &&
        (config_load(options.config, &train->config, err) != 0 || choose_model(train, err) != 0))
        return -1;
    if (load_data(train, paths, n_paths, err) != 0)
        return -1;
    if (options.config == NULL && choose_default(train, err) != 0)
        return -1;
    config_model_text(&train->model, text, sizeof text);
    printf("model: %s\n", text);
    fflush(stdout);
    if (train_run(&train->config->classes[train->model.class], &train->model, &train->data, &train->result, err) != 0)
        return -1;
    report(train);
    if (write_model(train, err) != 0)
        return -1;
    printf("written: %s\n", options.output);
    return 0;
}

/* The files, of which the option names the first. */
static char **paths_of(int argc, char **argv, int first, int *ret_n) {
    char **paths = calloc((size_t)argc + 1, sizeof *paths);
    *ret_n = 0;
    if (paths == NULL)
        return NULL;
    if (options.csv != NULL)
        paths[(*ret_n)++] = (char *)options.csv;
    for (int i = first; i < argc; i++)
        paths[(*ret_n)++] = argv[i];
    return paths;
}

static int check_options(int n_paths) {
    const char *ending = options.output != NULL ? strrchr(options.output, '.') : NULL;
    if (n_paths == 0)
        return options_wrong(&command, "it needs a CSV file: --csv FILE");
    if (options.output == NULL)
        return options_wrong(&command, "it needs a file for the model: -o MODEL.keras");
    if (ending == NULL || (strcmp(ending, ".keras") != 0 && strcmp(ending, ".h5") != 0))
        return options_wrong(&command, "--output takes a name that ends in .keras or .h5, not \"%s\"",
                             options.output);
    if (options.model != NULL && options.config == NULL)
        return options_wrong(&command, "--model is one of a configuration; --config names that");
    if (options.config != NULL && options.period >= 0)
        return options_wrong(&command, "--period is of the default model; --config has its own");
    if (options.stream != NULL && n_paths > 1)
        return options_wrong(&command, "--stream goes with one file");
    if (strlen(options.delimiter) != 1 && strcmp(options.delimiter, "\\t") != 0)
        return options_wrong(&command, "--delimiter takes one character, not \"%s\"", options.delimiter);
    return -1;
}

int command_train(int argc, char **argv) {
    static struct train train;
    struct error err;
    int first, n_paths, code = options_begin(&command, argc, argv, &first);

    if (code >= 0)
        return code;
    char **paths = paths_of(argc, argv, first, &n_paths);
    code = paths != NULL ? check_options(n_paths) : 1;
    if (code < 0) {
        run_catch_signals();
        code = train_all(&train, paths, n_paths, &err) != 0;
        if (code != 0)
            fprintf(stderr, "%s: %s\n", command.name, err.text);
    }
    train_result_fini(&train.result);
    backtest_data_fini(&train.data);
    config_free(train.config);
    free(train.choice.text);
    free(paths);
    return code;
}
