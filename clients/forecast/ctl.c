#include "clients/forecast/commands.h"

#include "clients/forecast/ctl.h"
#include "clients/forecast/options.h"
#include "clients/forecast/run.h"
#include "clients/forecast/table.h"
#include "clients/libforecast/forecast.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    bool json, all, reprime;
    const char *control, *prefix, *model;
    double timeout;
    long limit;
} options = {.timeout = 5};

static const struct option_row rows_of_options[] = {
    {"json", 'j', OPTION_FLAG, NULL, "print the daemon's reply as it is", &options.json, 0, 0},
    {"prefix", 'p', OPTION_TEXT, "TEXT", "of streams: only those whose names begin so", &options.prefix, 0, 0},
    {"limit", 'n', OPTION_INTEGER, "N", "of streams: at most so many", &options.limit, 1, 1e12},
    {"all", 'a', OPTION_FLAG, NULL, "of reset: all streams", &options.all, 0, 0},
    {"reprime", 0, OPTION_FLAG, NULL, "of import: under other weights the steps are run again", &options.reprime, 0,
     0},
    {"model", 'm', OPTION_TEXT, "MODEL", "of reset: only in this model", &options.model, 0, 0},
    {"timeout", 'w', OPTION_NUMBER, "SECONDS", "how long to wait for an answer (default 5)", &options.timeout, 0.001,
     1e6},
    {"control", 0, OPTION_TEXT, "ENDPOINT", "where the daemon answers (default " FORECAST_DEFAULT_CONTROL ")",
     &options.control, 0, 0},
    {0},
};

static const struct option_command ctl = {
    .name = "forecast ctl",
    .usage = "status|streams|models [OPTIONS]\n"
             "forecast ctl retrain|stop-training MODEL\n"
             "forecast ctl decisions|promote|reject|rollback MODEL\n"
             "forecast ctl reset STREAM|--all [--model MODEL]\n"
             "forecast ctl pause|resume STREAM\n"
             "forecast ctl scores STREAM [MODEL]\n"
             "forecast ctl state STREAM MODEL\n"
             "forecast ctl set-state STREAM MODEL FILE.json\n"
             "forecast ctl save MODEL FILE.keras\n"
             "forecast ctl export STREAM|PATTERN FILE\n"
             "forecast ctl import FILE [--reprime]\n"
             "forecast ctl end STREAM\n"
             "forecast ctl reload\n"
             "forecast ctl stop",
    .summary = "asks and commands the daemon.",
    .rows = rows_of_options,
    .notes =
        "status, streams and models print what the daemon knows of itself, its streams and its models.\n"
        "retrain trains a model now, and stop-training ends that without a result; decisions prints who was\n"
        "promoted, rejected or rolled back, and why; promote and reject decide on a challenger that waits (promote:\n"
        "manual or shadow); rollback has the version before serve again.\n"
        "reset sets a stream's states to zero; end forgets a stream; stop ends the daemon when it has finished\n"
        "what it took.\n"
        "scores prints what the forecasts of a stream were worth, by target and steps ahead, recently and over all time.\n"
        "pause stops learning from a stream, and its alarms, until resume: for maintenance. Forecasts go on.\n"
        "state prints what a stream's network carries, layer by layer (h and c, as Keras' return_state has them);\n"
        "set-state takes what state --json printed, or the map of some of its layers (-: standard input).\n"
        "reload has the daemon read its configuration again, and says what it has taken over and what needs a restart.\n"
        "export writes all that streams are (states, steps, experts, scores) to a file, a line of JSON each, of those\n"
        "whose names match, in memory or on disk; import makes streams of them, in another daemon or with another batch\n"
        "size; under other weights it is refused, but with --reprime (-: standard output and input).\n"
        "save has the daemon write the version that serves to a file of its machine (as a service: below\n"
        "/var/lib/forecastd).\n",
    .examples =
        "  forecast ctl status\n"
        "  forecast ctl streams --prefix plant/\n"
        "  forecast ctl retrain boilers\n"
        "  forecast ctl reset --all --model boilers\n"
        "  forecast ctl state plant/boiler-7 boilers --json | forecast ctl set-state plant/boiler-8 boilers -\n"
        "  forecast ctl models --json | jq .models[].reason\n",
};

/* ---- how values look ---------------------------------------------------------------------- */

/* One value as a cell. size >= 32. */
static const char *format_value(const json_t *value, char *buffer, size_t size) {
    if (json_is_integer(value))
        snprintf(buffer, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(buffer, size, "%.5g", json_real_value(value));
    else if (json_is_string(value))
        return json_string_value(value);
    else
        snprintf(buffer, size, "%s", json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
    return buffer;
}

/* "a, b" of an array; buffer gets what fits. */
static void format_list(const json_t *array, char *buffer, size_t size) {
    size_t used = 0;

    snprintf(buffer, size, "%s", json_array_size(array) == 0 ? "-" : "");
    for (size_t i = 0; i < json_array_size(array) && used < size; i++) {
        char number[32];
        const char *text = format_value(json_array_get(array, i), number, sizeof number);

        used += (size_t)snprintf(buffer + used, size - used, "%s%s", i ? ", " : "", text);
    }
}

static void add_cell(struct table *table, const json_t *value) {
    char buffer[256];

    if (json_is_array(value)) {
        format_list(value, buffer, sizeof buffer);
        table_cell(table, buffer);
    } else {
        table_cell(table, value ? format_value(value, buffer, sizeof buffer) : "-");
    }
}

/* A map as dotted names with their values; maps in arrays have numbers for names. */
static void add_status(struct table *table, const char *prefix, const char *key, const json_t *value) {
    char name[256], number[24];
    const char *inner;
    json_t *each;
    size_t i;

    snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", key);
    if (json_is_object(value)) {
        json_object_foreach((json_t *)value, inner, each) if (*name || strcmp(inner, "ok") != 0)
            add_status(table, name, inner, each);
    } else if (json_is_object(json_array_get(value, 0))) {
        json_array_foreach((json_t *)value, i, each) {
            snprintf(number, sizeof number, "%zu", i);
            add_status(table, name, number, each);
        }
    } else {
        table_cell(table, name);
        add_cell(table, value);
    }
}

/* ---- tables of what the daemon has -------------------------------------------------------- */

/* The keys of all objects of an array: those of order first, then others as they come, and last "reason",
 * which is a sentence. What is itself a map has no room in a table; --json has it. */
static int collect_keys(const json_t *array, const char *const *order, const char **keys) {
    int n = 0;
    size_t i;
    json_t *object, *value;
    const char *key;
    bool reason = false;

    for (; *order; order++)
        json_array_foreach((json_t *)array, i, object) if (json_object_get(object, *order)) {
            keys[n++] = *order;
            break;
        }
    json_array_foreach((json_t *)array, i, object) json_object_foreach(object, key, value) {
        bool known = strcmp(key, "reason") == 0 || json_is_object(value);

        reason |= strcmp(key, "reason") == 0;
        for (int k = 0; k < n && !known; k++)
            known = strcmp(keys[k], key) == 0;
        if (!known && n < TABLE_MAX_COLUMNS - 1)
            keys[n++] = key;
    }
    if (reason)
        keys[n++] = "reason";
    return n;
}

/* How far a training is, as one cell in the place of its keys: "training 73/200, 43 steps/s, 13 s left". */
static void join_progress(json_t *models) {
    static const char *const keys[] = {
        "epoch", "epochs", "optimizer_steps", "optimizer_steps_in_all", "steps_per_second", "remaining_s"};
    size_t i;
    json_t *model;

    json_array_foreach(models, i, model) {
        char text[128];
        const char *training = json_string_value(json_object_get(model, "training"));
        const json_t *rate = json_object_get(model, "steps_per_second"),
                     *left = json_object_get(model, "remaining_s");

        if (training && json_object_get(model, "epochs")) {
            int n = snprintf(text, sizeof text, "%s %" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT, training,
                             json_integer_value(json_object_get(model, "epoch")),
                             json_integer_value(json_object_get(model, "epochs")));
            if (n > 0 && (size_t)n < sizeof text && json_is_number(rate) && json_is_number(left))
                snprintf(text + n, sizeof text - (size_t)n, ", %.0f steps/s, %.0f s left", json_number_value(rate),
                         json_number_value(left));
            json_object_set_new(model, "training", json_string(text));
        }
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            json_object_del(model, keys[k]);
    }
}

static void print_objects(const json_t *array, const char *const *order) {
    const char *keys[TABLE_MAX_COLUMNS];
    struct table table = {.n_columns = collect_keys(array, order, keys)};
    size_t i;
    json_t *object;

    if (table.n_columns == 0)
        return;
    for (int k = 0; k < table.n_columns; k++) {
        char head[64];
        size_t c;

        for (c = 0; keys[k][c] && c < sizeof head - 1; c++)
            head[c] = (char)(keys[k][c] >= 'a' && keys[k][c] <= 'z' ? keys[k][c] - 'a' + 'A' : keys[k][c]);
        head[c] = '\0';
        table_cell(&table, head);
        table.right[k] = json_is_number(json_object_get(json_array_get(array, 0), keys[k]));
    }
    json_array_foreach((json_t *)array, i, object) for (int k = 0; k < table.n_columns; k++)
        add_cell(&table, json_object_get(object, keys[k]));
    table_print(&table, stdout);
    table_fini(&table);
}

/* ---- asking ------------------------------------------------------------------------------- */

json_t *ctl_ask(struct forecast_control *control, json_t *request) {
    char *text = json_dumps(request, JSON_COMPACT);
    const char *reply = NULL;
    int code = text ? forecast_control_request(control, text, (int)(options.timeout * 1000), &reply)
                    : FORECAST_ERROR_ARGUMENT;

    json_decref(request);
    if (code == FORECAST_ERROR_REFUSED && options.json)
        puts(reply);
    if (!text)
        fprintf(stderr, "%s: this name is not UTF-8\n", ctl.name);
    else if (code == FORECAST_ERROR_TIMEOUT)
        fprintf(stderr, "%s: no daemon answers at %s within %g s; is forecastd running?\n", ctl.name,
                options.control ? options.control : FORECAST_DEFAULT_CONTROL, options.timeout);
    else if (code)
        fprintf(stderr, "%s: %s\n", ctl.name, forecast_error_text());
    free(text);
    return code ? NULL : json_loads(reply, 0, NULL);
}

/* What is left of --limit, in a page that every daemon gives. */
static json_int_t page_limit(size_t had) {
    json_int_t left = options.limit - (json_int_t)had;

    return left < 1000 ? left : 1000;
}

/* The reply to `streams`, of those whose names begin with prefix (NULL: all). They come in pages, and are one. */
static json_t *ask_streams(struct forecast_control *control, const char *prefix) {
    json_t *all = json_array(), *reply = NULL;
    const char *after = NULL; /* in all, which outlives the replies */
    bool more = true;

    while (more && !run_stopped()) {
        json_t *request = json_pack("{s:s}", "cmd", "streams");

        json_decref(reply);
        if (prefix)
            json_object_set_new(request, "prefix", json_string(prefix));
        if (after)
            json_object_set_new(request, "after", json_string(after));
        if (options.limit)
            json_object_set_new(request, "limit", json_integer(page_limit(json_array_size(all))));
        reply = ctl_ask(control, request);
        if (!reply) {
            json_decref(all);
            return NULL;
        }
        size_t before = json_array_size(all);
        json_array_extend(all, json_object_get(reply, "streams"));
        size_t n = json_array_size(all);
        after = n ? json_string_value(json_object_get(json_array_get(all, n - 1), "stream")) : NULL;
        /* A page without a name to go on from ends it, whatever the daemon says. */
        more = json_is_true(json_object_get(reply, "more")) && n > before && after &&
               !(options.limit && n >= (size_t)options.limit);
    }
    json_object_set_new(reply, "streams", all);
    return reply;
}

/* One line each: when, what, and why. */
static void print_decisions(const json_t *decisions) {
    size_t i;
    const json_t *each;

    json_array_foreach((json_t *)decisions, i, each) {
        char when[32] = "";
        time_t t = (time_t)(json_integer_value(json_object_get(each, "t")) / 1000000000);
        struct tm utc;

        if (gmtime_r(&t, &utc))
            strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &utc);
        printf("%s  %-11s  %s\n", when, json_string_value(json_object_get(each, "kind")),
               json_string_value(json_object_get(each, "text")));
    }
    if (json_array_size(decisions) == 0)
        puts("none yet");
}

static void print_reply(const char *cmd, const json_t *reply) {
    static const char *const stream_keys[] = {"stream", "class", "generation", "worker", NULL};
    static const char *const model_keys[] = {"model",   "class",   "version", "source",   "training",
                                             "streams", "batches", "steps",   "promoted", NULL};
    struct table table = {.n_columns = 2};

    if (strcmp(cmd, "streams") == 0) {
        print_objects(json_object_get(reply, "streams"), stream_keys);
        size_t n = json_array_size(json_object_get(reply, "streams"));
        printf("%zu stream%s\n", n, n == 1 ? "" : "s");
    } else if (strcmp(cmd, "state") == 0) {
        ctl_print_state(reply);
    } else if (strcmp(cmd, "scores") == 0) {
        ctl_print_scores(reply);
    } else if (strcmp(cmd, "decisions") == 0) {
        print_decisions(json_object_get(reply, "decisions"));
    } else if (strcmp(cmd, "models") == 0) {
        join_progress(json_object_get(reply, "models"));
        print_objects(json_object_get(reply, "models"), model_keys);
    } else if (json_object_size(reply) <= 1) {
        puts("done");
    } else {
        add_status(&table, "", "", reply);
        table_print(&table, stdout);
        table_fini(&table);
    }
}

enum { OPERANDS = 3 };

static const struct ctl_command {
    const char *name, *cmd;
    const char *keys[OPERANDS]; /* of its operands in the request */
} commands[] = {
    {"status", "status", {NULL}},
    {"streams", "streams", {NULL}},
    {"models", "models", {NULL}},
    {"hello", "hello", {NULL}},
    {"stop", "stop", {NULL}},
    {"reload", "reload", {NULL}},
    {"retrain", "retrain", {"model"}},
    {"stop-training", "stop_training", {"model"}},
    {"decisions", "decisions", {"model"}},
    {"promote", "promote", {"model"}},
    {"reject", "reject", {"model"}},
    {"rollback", "rollback", {"model"}},
    {"reset", "reset", {"stream"}},
    {"scores", "scores", {"stream", "model"}},
    {"pause", "pause", {"stream"}},
    {"resume", "resume", {"stream"}},
    {"end", "end", {"stream"}},
    {"state", "state", {"stream", "model"}},
    {"set-state", "set_state", {"stream", "model", "state"}},
    {"save", "save", {"model", "file"}},
    {"export", "export", {"stream", "to"}},
    {"import", "import", {"from"}},
};

static const char known[] =
    "status, streams, models, retrain, stop-training, decisions, promote, reject, rollback, "
    "reset, scores, pause, resume, state, set-state, save, export, import, end, reload or stop";

static bool is_file(const char *key) {
    return strcmp(key, "state") == 0 || strcmp(key, "to") == 0 || strcmp(key, "from") == 0;
}

/* Returns -1 when the operands fit the command, else what to exit with. */
static int check_operands(const struct ctl_command *command, int n, char **operands) {
    bool resets = strcmp(command->name, "reset") == 0;
    int expected = 0;

    if (!resets && (options.all || options.model))
        return options_wrong(&ctl, "--all and --model are of reset");
    while (expected < OPERANDS && command->keys[expected] && !(resets && options.all))
        expected++;
    if (resets && n < expected)
        return options_wrong(&ctl, "reset needs the name of a stream, or --all");
    if (n == 1 && strcmp(command->name, "scores") == 0) /* of the only model */
        return -1;
    if (n < expected)
        return options_wrong(&ctl, "%s needs the name of a %s", command->name,
                             is_file(command->keys[n]) ? "file" : command->keys[n]);
    if (n > expected)
        return options_wrong(&ctl, "\"%s\" is too much", operands[expected]);
    return -1;
}

/* One operand as the value of its key; NULL after a sentence. */
static json_t *operand_value(const char *key, const char *operand) {
    if (strcmp(key, "state") == 0)
        return ctl_read_state(operand);
    if (strcmp(key, "file") != 0)
        return json_string_nocheck(operand); /* what is not UTF-8 is told when it is sent */
    char *path = ctl_absolute(operand);
    json_t *value = path ? json_string_nocheck(path) : NULL;

    free(path);
    return value;
}

/* NULL after a sentence. */
static json_t *make_request(const struct ctl_command *command, int n, char **operands) {
    json_t *request = json_pack("{s:s}", "cmd", command->cmd);

    for (int i = 0; i < n; i++) {
        json_t *value = operand_value(command->keys[i], operands[i]);

        if (!value) {
            json_decref(request);
            return NULL;
        }
        json_object_set_new(request, command->keys[i], value);
    }
    if (options.all)
        json_object_set_new(request, "all", json_true());
    if (options.model)
        json_object_set_new(request, "model", json_string_nocheck(options.model));
    if (strcmp(command->name, "hello") == 0)
        json_object_set_new(request, "protocol", json_integer(1));
    return request;
}

static int run_command(struct forecast_control *control, const struct ctl_command *command, int n, char **operands) {
    json_t *request = make_request(command, n, operands), *reply = NULL;

    if (request && strcmp(command->name, "streams") == 0) {
        json_decref(request);
        reply = ask_streams(control, options.prefix);
    } else if (request) {
        reply = ctl_ask(control, request);
    }
    if (reply && options.json) {
        json_dumpf(reply, stdout, JSON_COMPACT);
        putchar('\n');
    } else if (reply) {
        print_reply(command->name, reply);
    }
    if (json_is_false(json_object_get(reply, "durable")))
        fprintf(stderr, "forecast ctl: it is done, but not on the daemon's disk yet: a crash may lose it\n");
    json_decref(reply);
    return reply ? 0 : 1;
}

int command_ctl(int argc, char **argv) {
    struct forecast_control *control;
    const struct ctl_command *command = NULL;
    int first, code = options_begin(&ctl, argc, argv, &first);

    if (code >= 0)
        return code;
    if (first == argc)
        return options_wrong(&ctl, "what to ask is missing: %s", known);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[first], commands[i].name) == 0)
            command = &commands[i];
    if (!command)
        return options_wrong(&ctl, "there is no \"%s\": %s", argv[first], known);
    int n = argc - first - 1;
    char **operands = argv + first + 1;
    code = check_operands(command, n, operands);
    if (code >= 0)
        return code;
    if (forecast_control_open(options.control, &control)) {
        fprintf(stderr, "%s: %s\n", ctl.name, forecast_error_text());
        return 1;
    }
    if (strcmp(command->name, "export") == 0)
        code = ctl_export(control, operands[0], operands[1]);
    else if (strcmp(command->name, "import") == 0)
        code = ctl_import(control, operands[0], options.reprime);
    else
        code = run_command(control, command, n, operands);
    forecast_control_close(&control);
    return code;
}
