#include "clients/forecast/backtest_input.h"
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
    struct backtest_source source;
    const char *csv, *output;
    long horizon, epochs, seed, period;
} options = {
    .source = {.columns = {.rows = {.delimiter = ','}}}, .horizon = 24, .epochs = -1, .seed = -1, .period = -1};

static const struct option_row rows_of_options[] = {
    {"csv", 0, OPTION_TEXT, "FILE", "the ticks of one stream; further files, of further streams, follow",
     &options.csv, 0, 0},
    {"output", 'o', OPTION_TEXT, "FILE", "where the model goes: .keras, or .h5 for tf-keras", &options.output, 0, 0},
    {"config", 'c', OPTION_TEXT, "FILE",
     "a configuration as the daemon has it (default: a model that is chosen from the files)", &options.source.config,
     0, 0},
    {"model", 'm', OPTION_TEXT, "NAME", "which of its models (default: the first)", &options.source.model, 0, 0},
    {"horizon", 0, OPTION_INTEGER, "N", "the default model's steps ahead (default: 24)", &options.horizon, 1, 4096},
    {"period", 0, OPTION_INTEGER, "N", "its season, in steps; 0: none (default: found from the files)",
     &options.period, 0, 1 << 20},
    {"epochs", 0, OPTION_INTEGER, "N", "passes over the windows, at most (default: the configuration's)",
     &options.epochs, 1, 100000},
    {"seed", 0, OPTION_INTEGER, "N", "of weights and order (default: the configuration's)", &options.seed, 0,
     9007199254740991},
    BACKTEST_COLUMN_OPTIONS(options.source.columns),
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
    struct backtest_input input;
    struct train_result result;
};

/* What the options say otherwise than the configuration. */
static int adapt_model(struct config_model *model, struct error *err) {
    if (!model->train)
        return error_set(err, "model %s says train: false", model->name);
    if (model->head == HEAD_EVENT)
        return error_set(err, "model %s: an event is learnt from labels, which these files do not have", model->name);
    if (options.epochs > 0) {
        model->training.epochs = (int)options.epochs;
        model->training.min_steps = 0; /* which would make more of them, where windows are few */
    }
    if (options.seed >= 0)
        model->seed = (uint64_t)options.seed;
    return 0;
}

static int choose_default(struct backtest_input *input, struct error *err) {
    uint64_t least = backtest_input_least_steps(input);
    const struct backtest_default choice = {.train = least - least / 5,
                                            .valid = least / 5,
                                            .horizon = (int)options.horizon,
                                            .period = (int)options.period};
    return backtest_input_choose(input, &choice, err) != 0 ? -1 : adapt_model(&input->model, err);
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
    char *own = model_own_json(&train->input.model, &train->input.config->classes[train->input.model.class]);
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
    struct backtest_input *input = &train->input;
    char text[512];
    if (check_folder(options.output, err) != 0)
        return -1;
    if (options.source.config != NULL &&
        (backtest_input_configure(input, &options.source, err) != 0 || adapt_model(&input->model, err) != 0))
        return -1;
    if (backtest_input_load(input, paths, n_paths, &options.source, stderr, err) != 0)
        return -1;
    if (options.source.config == NULL && choose_default(input, err) != 0)
        return -1;
    config_model_text(&input->model, text, sizeof text);
    printf("model: %s\n", text);
    fflush(stdout);
    if (train_run(&input->config->classes[input->model.class], &input->model, &input->data, &train->result, err) != 0)
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
    if (options.source.config != NULL && options.period >= 0)
        return options_wrong(&command, "--period is of the default model; --config has its own");
    return backtest_source_check(&command, &options.source, n_paths);
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
    backtest_input_fini(&train.input);
    free(paths);
    return code;
}
