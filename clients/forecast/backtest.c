#include "clients/forecast/backtest_input.h"
#include "clients/forecast/backtest_report.h"
#include "clients/forecast/commands.h"
#include "clients/forecast/options.h"
#include "clients/forecast/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct backtest_source source;
    const char *horizons, *takeovers, *forecasts;
    long train, valid, online, period;
    bool json, no_network, print_config;
} options = {.source = {.columns = {.rows = {.delimiter = ','}}}, .train = -1, .valid = -1, .period = -1};

static const struct option_row rows_of_options[] = {
    {"config", 'c', OPTION_TEXT, "FILE",
     "a configuration as the daemon has it (default: a model that is chosen from the train\nrows)",
     &options.source.config, 0, 0},
    {"model", 'm', OPTION_TEXT, "NAME", "which of its models (default: the first)", &options.source.model, 0, 0},
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
     "a daemon's journal, DIR/EPOCH/takeovers.jsonl: its versions serve from the steps on\nat which they did, under its configuration (--config), and nothing is trained",
     &options.takeovers, 0, 0},
    {"forecasts", 0, OPTION_TEXT, "FILE", "write each forecast to a CSV file, to the last bit", &options.forecasts, 0,
     0},
    {"no-network", 0, OPTION_FLAG, NULL, "what the cheap forecasts do alone: no network is trained or served",
     &options.no_network, 0, 0},
    BACKTEST_COLUMN_OPTIONS(options.source.columns),
    {"json", 0, OPTION_FLAG, NULL, "one JSON object on standard output", &options.json, 0, 0},
    {"print-config", 0, OPTION_FLAG, NULL, "print the configuration of the default model, for the daemon, and end",
     &options.print_config, 0, 0},
    {0},
};

static const struct option_command command = {
    .name = "forecast backtest",
    .usage = "FILE.csv... [OPTIONS]",
    .summary = "says how well a model would have forecast:\n"
               "each row is forecast from, then learnt from, by the daemon's own code.",
    .rows = rows_of_options,
    .notes =
        "Each file is one stream of the model (or those that --stream-column names); with --config its rows become\n"
        "steps as the class' ticks do (every, aggregate, same_time, reorder, gap), but for close_after, as files have\n"
        "no clock. Errors are means over the steps 1 to h, targets and forecasts: mse and mae in deviations of the\n"
        "train part, mase over its mean change, raw mae in the targets' own unit.\n",
    .examples = "  forecast backtest ETTh1.csv --train 2880 --valid 720 --horizons 1,24,48 --online 10800\n"
                "  forecast backtest plant-1.csv plant-2.csv -c forecastd.yaml --model boilers\n"
                "  forecast backtest plant.csv --print-config > forecastd.yaml\n",
};

enum { MAX_HORIZONS = 64 };

struct backtest {
    struct backtest_input input;
    int horizons[MAX_HORIZONS], n_horizons;
    uint64_t train, valid;
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

/* What a backtest has otherwise than a daemon. */
static int adapt_model(struct config_model *model, struct error *err) {
    if (model->head == HEAD_EVENT)
        return error_set(err, "model %s: an event is scored by labels, which these files do not have", model->name);
    if (model->head == HEAD_RAW)
        return error_set(err,
                         "model %s: a raw head gives what the network gives, and forecasts nothing that could be "
                         "scored",
                         model->name);
    if (model->experts == EXPERTS_NONE) /* what is published is the same beside them */
        model->experts = EXPERTS_LIGHT;
    if (options.takeovers != NULL) {
        /* As the daemon did. Whose slots are next to a stream's makes no difference. */
        model->batch_size = 1;
        return 0;
    }
    if (model->horizon <= CONFIG_SCORED_ALL_MOST)
        model->scored = SCORED_ALL;
    if (!model->experts_said)
        model->experts = EXPERTS_FULL;
    return 0;
}

/* How the steps are cut: what was said, or shares of the shortest file. */
static void cut(struct backtest *backtest) {
    uint64_t least = backtest_input_least_steps(&backtest->input);
    backtest->train = options.train >= 0 ? (uint64_t)options.train : least * 2 / 5;
    backtest->valid = options.valid >= 0 ? (uint64_t)options.valid : least / 10;
}

static int choose_default(struct backtest *backtest, struct error *err) {
    const struct backtest_default choice = {.train = backtest->train,
                                            .valid = backtest->valid,
                                            .horizon = backtest->horizons[backtest->n_horizons - 1],
                                            .period = (int)options.period};
    return backtest_input_choose(&backtest->input, &choice, err) != 0 ? -1 : adapt_model(&backtest->input.model, err);
}

/* Horizons that nobody asked for end where the model's does; those that were asked for must be there. */
static int fit_horizons(struct backtest *backtest, struct error *err) {
    int most = backtest->input.model.horizon, *last = &backtest->horizons[backtest->n_horizons - 1];
    if (*last <= most)
        return 0;
    if (options.horizons != NULL)
        return error_set(err, "model %s forecasts %d step%s; --horizons asks for %d", backtest->input.model.name,
                         most, most == 1 ? "" : "s", *last);
    while (backtest->n_horizons > 0 && backtest->horizons[backtest->n_horizons - 1] >= most)
        backtest->n_horizons--;
    backtest->horizons[backtest->n_horizons++] = most;
    return 0;
}

static int check_lengths(const struct backtest *backtest, struct error *err) {
    const struct backtest_input *input = &backtest->input;
    const struct config_class *class = &input->config->classes[input->model.class];
    uint64_t train = backtest->train, valid = backtest->valid;
    for (int i = 0; i < input->data.n_streams; i++) {
        const struct backtest_stream *stream = &input->data.streams[i];
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
    const struct backtest_input *input = &backtest->input;
    const struct backtest_default *choice = &input->choice;
    char text[512];
    config_model_text(&input->model, text, sizeof text);
    fprintf(out, "model: %s", text);
    if (choice->text != NULL && options.period < 0 && choice->period > 0)
        fprintf(out, "; a season of %d steps was found (support %.2f)", choice->period, choice->support);
    else if (choice->text != NULL && options.period < 0)
        fprintf(out, "; no season was found");
    else if (input->model.period > 0)
        fprintf(out, "; a season of %d steps", input->model.period);
    if (backtest->takeovers != NULL)
        fprintf(out, "; %d takeovers of the daemon's", backtest_takeovers_count(backtest->takeovers));
    fprintf(out, "\n%d stream%s, %d feature%s; %llu steps to train, %llu to validate, the rest online\n",
            input->data.n_streams, input->data.n_streams == 1 ? "" : "s", input->data.n_features,
            input->data.n_features == 1 ? "" : "s", (unsigned long long)backtest->train,
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
    const struct config_model *model = &backtest->input.model;
    const struct config_class *class = &backtest->input.config->classes[model->class];
    size_t n = (size_t)model->horizon * (size_t)model->n_targets;
    for (size_t i = 0; i < n; i++) {
        fprintf(backtest->forecasts, "%s,%llu,%d,%s,%.17g", backtest->input.data.streams[stream].name,
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
    for (int l = 0; l < backtest->input.model.n_levels; l++)
        fprintf(backtest->forecasts, ",lower %g,upper %g", backtest->input.model.levels[l],
                backtest->input.model.levels[l]);
    fputc('\n', backtest->forecasts);
    return 0;
}

static int run_and_report(struct backtest *backtest, struct error *err) {
    const struct backtest_input *input = &backtest->input;
    const struct backtest_setup setup = {.class = &input->config->classes[input->model.class],
                                         .model = &input->model,
                                         .streams = input->data.streams,
                                         .n_streams = input->data.n_streams,
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
    struct backtest_input *input = &backtest->input;
    if (read_horizons(backtest, err) != 0)
        return -1;
    if (options.source.config != NULL &&
        (backtest_input_configure(input, &options.source, err) != 0 || adapt_model(&input->model, err) != 0))
        return -1;
    if (backtest_input_load(input, paths, n_paths, &options.source, options.json ? NULL : stderr, err) != 0)
        return -1;
    cut(backtest);
    if (options.source.config == NULL && choose_default(backtest, err) != 0)
        return -1;
    if (options.print_config) {
        fputs(input->choice.text, stdout);
        return 0;
    }
    if (fit_horizons(backtest, err) != 0 || check_lengths(backtest, err) != 0)
        return -1;
    if (options.takeovers != NULL) {
        backtest->takeovers =
            backtest_takeovers_load(options.takeovers, &input->model, &input->config->classes[input->model.class],
                                    input->data.streams, input->data.n_streams, err);
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
    code = backtest_source_check(&command, &options.source, argc - first);
    if (code >= 0)
        return code;
    if (options.source.config != NULL && (options.print_config || options.period >= 0))
        return options_wrong(&command, "--%s is of the default model; --config has its own",
                             options.print_config ? "print-config" : "period");
    if (options.takeovers != NULL && (options.source.config == NULL || options.no_network))
        return options_wrong(&command, options.no_network ? "--takeovers and --no-network exclude each other"
                                                          : "--takeovers needs the daemon's configuration, --config");
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
    backtest_input_fini(&backtest.input);
    return code;
}
