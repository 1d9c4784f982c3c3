#include "clients/forecast/backtest_default.h"
#include "clients/forecast/backtest_report.h"
#include "clients/forecast/commands.h"
#include "clients/forecast/options.h"
#include "clients/forecast/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *config, *model, *horizons, *takeovers, *forecasts;
    long train, valid, online, period;
    const char *stream, *stream_column, *columns, *time_column, *time_format, *delimiter;
    bool json, no_network, print_config;
} options = {.train = -1, .valid = -1, .period = -1, .delimiter = ","};

static const struct option_row rows_of_options[] = {
    {"config", 'c', OPTION_TEXT, "FILE",
     "a configuration as the daemon has it (default: a model that is chosen from the train rows)", &options.config, 0,
     0},
    {"model", 'm', OPTION_TEXT, "NAME", "which of its models (default: the first)", &options.model, 0, 0},
    {"train", 0, OPTION_INTEGER, "N",
     "the first N steps of each file: the errors' unit, and what the default model is chosen\nby and first trained on (default: two fifths)",
     &options.train, 0, 1 << 24},
    {"valid", 0, OPTION_INTEGER, "N", "further steps that are not scored (default: one tenth)", &options.valid, 0,
     1 << 24},
    {"online", 0, OPTION_INTEGER, "N", "score the N steps behind them (default: all)", &options.online, 1, 1e18},
    {"horizons", 0, OPTION_TEXT, "LIST",
     "steps ahead that are scored, as 1,24,48 (default: these, as far as the model goes)", &options.horizons, 0, 0},
    {"period", 0, OPTION_INTEGER, "N",
     "the default model's season, in steps; 0: none (default: found from the train rows)", &options.period, 0,
     1 << 20},
    {"takeovers", 0, OPTION_TEXT, "FILE",
     "a daemon's journal, DIR/EPOCH/takeovers.jsonl: its versions serve from the steps on at which they did,\nunder its configuration (--config), and nothing is trained",
     &options.takeovers, 0, 0},
    {"forecasts", 0, OPTION_TEXT, "FILE", "write each forecast to a CSV file, to the last bit", &options.forecasts, 0,
     0},
    {"no-network", 0, OPTION_FLAG, NULL, "what the cheap forecasts do alone: no network is trained or served",
     &options.no_network, 0, 0},
    {"stream", 's', OPTION_TEXT, "NAME", "of one file: its stream (default: the file's name, without its ending)",
     &options.stream, 0, 0},
    {"stream-column", 0, OPTION_TEXT, "COL", "rows of many streams: the column with their names",
     &options.stream_column, 0, 0},
    {"columns", 0, OPTION_TEXT, "LIST",
     "COLUMN or FEATURE=COLUMN, divided by commas (default: the features of the model's\nclass, or all columns with numbers)",
     &options.columns, 0, 0},
    {"time-column", 0, OPTION_TEXT, "COL", "the column with the time (default: the first that holds dates or epochs)",
     &options.time_column, 0, 0},
    {"time-format", 0, OPTION_TEXT, "FORMAT", "as forecast feed has it (default: found from the first row)",
     &options.time_format, 0, 0},
    {"delimiter", 'd', OPTION_TEXT, "C", "what divides fields (default: a comma; tab is \\t)", &options.delimiter, 0,
     0},
    {"json", 0, OPTION_FLAG, NULL, "one JSON object on standard output", &options.json, 0, 0},
    {"print-config", 0, OPTION_FLAG, NULL, "print the configuration of the default model, for the daemon, and end",
     &options.print_config, 0, 0},
    {0},
};

static const struct option_command command = {
    .name = "forecast backtest",
    .usage = "FILE.csv... [OPTIONS]",
    .summary =
        "says how well a model would have forecast: each row is forecast from, then learnt from, by the daemon's own code.",
    .rows = rows_of_options,
    .notes =
        "Each file is one stream of the model (or those that --stream-column names). Errors are means over the steps 1 to h, targets and forecasts:\n"
        "mse and mae in deviations of the train part, mase over its mean change, raw mae in the targets' own unit.\n",
    .examples = "  forecast backtest ETTh1.csv --train 2880 --valid 720 --horizons 1,24,48 --online 10800\n"
                "  forecast backtest plant-1.csv plant-2.csv -c forecastd.yaml --model boilers\n"
                "  forecast backtest plant.csv --print-config > forecastd.yaml\n",
};

enum { MAX_HORIZONS = 64 };

struct backtest {
    struct backtest_data data;
    struct config *config;
    struct config_model model; /* a copy, with what a backtest has otherwise */
    int horizons[MAX_HORIZONS], n_horizons;
    uint64_t train, valid;
    struct backtest_default choice;
    struct backtest_takeovers *takeovers;
    FILE *forecasts; /* NULL: not written */
    struct backtest_result result;
    struct progress progress;
};

static int by_size(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* "1,24,48" to ascending numbers; the model's horizon is not known yet. */
static int read_horizons(struct backtest *backtest, struct error *err) {
    const char *at = options.horizons != NULL ? options.horizons : "1,24,48";
    for (;; at++) {
        char *end;
        errno = 0;
        long h = strtol(at, &end, 10);
        if (end == at || (*end != ',' && *end != '\0') || errno != 0 || h < 1 || h > 4096)
            return error_set(err, "--horizons takes steps from 1 to 4096, divided by commas, not \"%s\"",
                             options.horizons);
        bool known = false;
        for (int i = 0; i < backtest->n_horizons; i++)
            known = known || backtest->horizons[i] == h;
        if (!known && backtest->n_horizons == MAX_HORIZONS)
            return error_set(err, "--horizons takes at most %d", MAX_HORIZONS);
        if (!known)
            backtest->horizons[backtest->n_horizons++] = (int)h;
        at = end;
        if (*end == '\0')
            break;
    }
    qsort(backtest->horizons, (size_t)backtest->n_horizons, sizeof *backtest->horizons, by_size);
    return 0;
}

/* ---- the model ------------------------------------------------------------------------------- */

static int choose_model(struct backtest *backtest, struct error *err) {
    const struct config *config = backtest->config;
    int m = 0;
    while (options.model != NULL && m < config->n_models && strcmp(config->models[m].name, options.model) != 0)
        m++;
    if (m == config->n_models)
        return error_set(err, "%s has no model \"%s\"", options.config, options.model);
    backtest->model = config->models[m];
    if (backtest->model.head == HEAD_EVENT)
        return error_set(err, "model %s: an event is scored by labels, which these files do not have",
                         backtest->model.name);
    if (backtest->model.head == HEAD_RAW)
        return error_set(err,
                         "model %s: a raw head gives what the network gives, and forecasts nothing that could be "
                         "scored",
                         backtest->model.name);
    if (options.takeovers != NULL) {
        /* As the daemon did. Whose slots are next to a stream's makes no difference. */
        backtest->model.batch_size = 1;
        return 0;
    }
    if (backtest->model.horizon <= CONFIG_SCORED_ALL_MOST)
        backtest->model.scored = SCORED_ALL;
    if (!backtest->model.experts_said)
        backtest->model.experts = EXPERTS_FULL;
    return 0;
}

static int load_data(struct backtest *backtest, char *const *paths, int n_paths, struct error *err) {
    const struct config_class *class =
        backtest->config != NULL ? &backtest->config->classes[backtest->model.class] : NULL;
    const struct backtest_columns columns = {
        .rows = {.delimiter = strcmp(options.delimiter, "\\t") == 0 ? '\t' : options.delimiter[0],
                 .stream = options.stream,
                 .stream_column = options.stream_column,
                 .time_column = options.time_column,
                 .time_format = options.time_format},
        .spec = options.columns};
    return backtest_data_load(&backtest->data, paths, n_paths, &columns,
                              class != NULL ? (const char *const *)class->features : NULL,
                              class != NULL ? class->n_features : 0, options.json ? NULL : stderr, err);
}

/* How the steps are cut: what was said, or shares of the shortest file. */
static void cut(struct backtest *backtest) {
    static const struct time_policy_spec irregular = {0};
    const struct time_policy_spec *time =
        backtest->config != NULL ? &backtest->config->classes[backtest->model.class].time : &irregular;
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < backtest->data.n_streams; i++) {
        uint64_t steps = backtest_stream_steps(&backtest->data.streams[i], time);
        least = steps < least ? steps : least;
    }
    backtest->train = options.train >= 0 ? (uint64_t)options.train : least * 2 / 5;
    backtest->valid = options.valid >= 0 ? (uint64_t)options.valid : least / 10;
}

static int choose_default(struct backtest *backtest, struct error *err) {
    struct backtest_default *choice = &backtest->choice;
    *choice = (struct backtest_default){.train = backtest->train,
                                        .valid = backtest->valid,
                                        .horizon = backtest->horizons[backtest->n_horizons - 1],
                                        .period = (int)options.period};
    if (backtest_default_choose(&backtest->data, choice, err) != 0)
        return -1;
    if (config_parse("the default model", (const uint8_t *)choice->text, strlen(choice->text), &backtest->config,
                     err) != 0)
        return error_prefix(err, "%s", backtest->data.streams[0].path);
    return choose_model(backtest, err);
}

/* Horizons that nobody asked for end where the model's does; those that were asked for must be there. */
static int fit_horizons(struct backtest *backtest, struct error *err) {
    int most = backtest->model.horizon, *last = &backtest->horizons[backtest->n_horizons - 1];
    if (*last <= most)
        return 0;
    if (options.horizons != NULL)
        return error_set(err, "model %s forecasts %d step%s; --horizons asks for %d", backtest->model.name, most,
                         most == 1 ? "" : "s", *last);
    while (backtest->n_horizons > 0 && backtest->horizons[backtest->n_horizons - 1] >= most)
        backtest->n_horizons--;
    backtest->horizons[backtest->n_horizons++] = most;
    return 0;
}

static int check_lengths(const struct backtest *backtest, struct error *err) {
    const struct config_class *class = &backtest->config->classes[backtest->model.class];
    uint64_t train = backtest->train, valid = backtest->valid;
    for (int i = 0; i < backtest->data.n_streams; i++) {
        const struct backtest_stream *stream = &backtest->data.streams[i];
        uint64_t steps = backtest_stream_steps(stream, &class->time);
        char rows[96] = "";
        if (steps > train + valid + (uint64_t)backtest->horizons[0])
            continue;
        if (steps < stream->n && class->time.every == 0)
            snprintf(rows, sizeof rows, " (of %zu rows, as the others are not later than the one before)", stream->n);
        return error_set(
            err,
            "%s: stream \"%s\" makes %llu step%s%s: behind %llu to train and %llu to validate on none is "
            "left to be forecast %d ahead; --train and --valid say how many",
            stream->path, stream->name, (unsigned long long)steps, steps == 1 ? "" : "s", rows,
            (unsigned long long)train, (unsigned long long)valid, backtest->horizons[0]);
    }
    return 0;
}

static void tell_choice(const struct backtest *backtest, FILE *out) {
    const struct backtest_default *choice = &backtest->choice;
    char text[512];
    config_model_text(&backtest->model, text, sizeof text);
    fprintf(out, "model: %s", text);
    if (choice->text != NULL && options.period < 0 && choice->period > 0)
        fprintf(out, "; a season of %d steps was found (support %.2f)", choice->period, choice->support);
    else if (choice->text != NULL && options.period < 0)
        fprintf(out, "; no season was found");
    else if (backtest->model.period > 0)
        fprintf(out, "; a season of %d steps", backtest->model.period);
    if (backtest->takeovers != NULL)
        fprintf(out, "; %d takeovers of the daemon's", backtest_takeovers_count(backtest->takeovers));
    fprintf(out, "\n%d stream%s, %d feature%s; %llu steps to train, %llu to validate, the rest online\n",
            backtest->data.n_streams, backtest->data.n_streams == 1 ? "" : "s", backtest->data.n_features,
            backtest->data.n_features == 1 ? "" : "s", (unsigned long long)backtest->train,
            (unsigned long long)backtest->valid);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void show_progress(void *context, double share) {
    struct backtest *backtest = context;
    progress_show(&backtest->progress, share, (uint64_t)(share * 100));
}

static bool stopped(void *context) {
    (void)context;
    return run_stopped();
}

/* One row for each target and step ahead. */
static void write_forecast(void *context, int stream, uint64_t step, const struct backtest_said *said) {
    const struct backtest *backtest = context;
    const struct config_model *model = &backtest->model;
    const struct config_class *class = &backtest->config->classes[model->class];
    size_t n = (size_t)model->horizon * (size_t)model->n_targets;
    for (size_t i = 0; i < n; i++) {
        fprintf(backtest->forecasts, "%s,%llu,%d,%s,%.17g", backtest->data.streams[stream].name,
                (unsigned long long)step, (int)(i / (size_t)model->n_targets) + 1,
                class->features[model->targets[i % (size_t)model->n_targets]], said->published[i]);
        for (size_t l = 0; l < (size_t)model->n_levels; l++)
            fprintf(backtest->forecasts, ",%.17g,%.17g", said->lower[l * n + i], said->upper[l * n + i]);
        fputc('\n', backtest->forecasts);
    }
}

static int open_forecasts(struct backtest *backtest, struct error *err) {
    backtest->forecasts = fopen(options.forecasts, "w");
    if (backtest->forecasts == NULL)
        return error_set(err, "%s: %s", options.forecasts, strerror(errno));
    fputs("stream,step,h,target,forecast", backtest->forecasts);
    for (int l = 0; l < backtest->model.n_levels; l++)
        fprintf(backtest->forecasts, ",lower %g,upper %g", backtest->model.levels[l], backtest->model.levels[l]);
    fputc('\n', backtest->forecasts);
    return 0;
}

static int run_and_report(struct backtest *backtest, struct error *err) {
    const struct backtest_setup setup = {.class = &backtest->config->classes[backtest->model.class],
                                         .model = &backtest->model,
                                         .streams = backtest->data.streams,
                                         .n_streams = backtest->data.n_streams,
                                         .horizons = backtest->horizons,
                                         .n_horizons = backtest->n_horizons,
                                         .train = backtest->train,
                                         .valid = backtest->valid,
                                         .online = options.online > 0 ? (uint64_t)options.online : UINT64_MAX,
                                         .no_network = options.no_network,
                                         .takeovers = backtest->takeovers,
                                         .said = backtest->forecasts != NULL ? write_forecast : NULL,
                                         .progress = show_progress,
                                         .stopped = stopped,
                                         .context = backtest};
    if (backtest_check(&setup, err) != 0)
        return -1;
    if (!options.json)
        tell_choice(backtest, stdout);
    progress_start(&backtest->progress, "%");
    int failed = backtest_run(&setup, &backtest->result, err);
    progress_end(&backtest->progress);
    if (failed)
        return -1;
    if (!options.json)
        backtest_report_text(&setup, &backtest->result, stdout);
    else if (backtest_report_json(&setup, &backtest->result, stdout) != 0)
        return error_set(err, "the result cannot be written");
    return 0;
}

static int backtest_all(struct backtest *backtest, char *const *paths, int n_paths, struct error *err) {
    if (read_horizons(backtest, err) != 0)
        return -1;
    if (options.config != NULL &&
        (config_load(options.config, &backtest->config, err) != 0 || choose_model(backtest, err) != 0))
        return -1;
    if (load_data(backtest, paths, n_paths, err) != 0)
        return -1;
    cut(backtest);
    if (options.config == NULL && choose_default(backtest, err) != 0)
        return -1;
    if (options.print_config) {
        fputs(backtest->choice.text, stdout);
        return 0;
    }
    if (fit_horizons(backtest, err) != 0 || check_lengths(backtest, err) != 0)
        return -1;
    if (options.takeovers != NULL) {
        backtest->takeovers = backtest_takeovers_load(options.takeovers, &backtest->model, backtest->data.streams,
                                                      backtest->data.n_streams, err);
        if (backtest->takeovers == NULL)
            return -1;
    }
    if (options.forecasts != NULL && open_forecasts(backtest, err) != 0)
        return -1;
    return run_and_report(backtest, err);
}

int command_backtest(int argc, char **argv) {
    static struct backtest backtest;
    struct error err;
    int first, code = options_begin(&command, argc, argv, &first);

    if (code >= 0)
        return code;
    if (first == argc)
        return options_wrong(&command, "it needs a CSV file");
    if (options.model != NULL && options.config == NULL)
        return options_wrong(&command, "--model is one of a configuration; --config names that");
    if (options.config != NULL && (options.print_config || options.period >= 0))
        return options_wrong(&command, "--%s is of the default model; --config has its own",
                             options.print_config ? "print-config" : "period");
    if (options.takeovers != NULL && (options.config == NULL || options.no_network))
        return options_wrong(&command, options.no_network ? "--takeovers and --no-network exclude each other"
                                                          : "--takeovers needs the daemon's configuration, --config");
    if (options.stream != NULL && options.stream_column != NULL)
        return options_wrong(&command, "--stream and --stream-column exclude each other");
    if (options.stream != NULL && argc - first > 1)
        return options_wrong(&command, "--stream goes with one file");
    if (strlen(options.delimiter) != 1 && strcmp(options.delimiter, "\\t") != 0)
        return options_wrong(&command, "--delimiter takes one character, not \"%s\"", options.delimiter);
    run_catch_signals();
    code = backtest_all(&backtest, argv + first, argc - first, &err) != 0;
    if (code != 0)
        fprintf(stderr, "%s: %s\n", command.name, err.text);
    if (backtest.forecasts != NULL && fclose(backtest.forecasts) != 0 && code == 0) {
        fprintf(stderr, "%s: %s: %s\n", command.name, options.forecasts, strerror(errno));
        code = 1;
    }
    backtest_takeovers_free(backtest.takeovers);
    backtest_result_fini(&backtest.result);
    backtest_data_fini(&backtest.data);
    config_free(backtest.config);
    free(backtest.choice.text);
    return code;
}
