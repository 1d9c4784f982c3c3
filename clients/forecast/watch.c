#include "clients/forecast/commands.h"

#include "clients/forecast/live.h"
#include "clients/forecast/options.h"
#include "clients/forecast/pace.h"
#include "clients/forecast/run.h"
#include "clients/forecast/table.h"
#include "clients/forecast/view.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *model, *stream, *target, *forecasts, *control;
    bool json, live, events;
    long count;
    double seconds, pace;
} options;

static const struct option_row rows_of_options[] = {
    {"model", 'm', OPTION_TEXT, "M", "only forecasts of this model", &options.model, 0, 0},
    {"stream", 's', OPTION_TEXT, "S", "only of this stream; PREFIX* is every stream whose name begins so",
     &options.stream, 0, 0},
    {"target", 0, OPTION_TEXT, "T", "the target that is shown, and only streams that have it (default: the first)",
     &options.target, 0, 0},
    {"live", 'l', OPTION_FLAG, NULL, "a table over the whole terminal, a row per stream", &options.live, 0, 0},
    {"json", 'j', OPTION_FLAG, NULL, "print forecasts whole, one JSON object per line", &options.json, 0, 0},
    {"events", 'e', OPTION_FLAG, NULL, "print events as well", &options.events, 0, 0},
    {"count", 'n', OPTION_INTEGER, "N", "stop after N lines", &options.count, 1, 1e18},
    {"pace", 0, OPTION_NUMBER, "SECONDS", "at most one line of each stream and model in this time", &options.pace,
     0.001, 1e9},
    {"for", 0, OPTION_NUMBER, "SECONDS", "stop after this time", &options.seconds, 0.001, 1e9},
    {"forecasts", 0, OPTION_TEXT, "ENDPOINT", "where the daemon publishes (default " FORECAST_DEFAULT_FORECASTS ")",
     &options.forecasts, 0, 0},
    {"control", 0, OPTION_TEXT, "ENDPOINT", "where --live asks for the models (default " FORECAST_DEFAULT_CONTROL ")",
     &options.control, 0, 0},
    {0},
};

static const struct option_command watch = {
    .name = "forecast watch",
    .usage = "[OPTIONS]",
    .summary = "shows forecasts as they come.",
    .rows = rows_of_options,
    .notes =
        "A line has the time of the tick in UTC, stream, model, what made the forecast (those with the largest\n"
        "shares), the step, the target's value, the forecast one step ahead and at the horizon, each with its interval\n"
        "of the highest level, and the running mean absolute errors, of what was served and of the last value, in\n"
        "standard deviations. --live shows the recent values and the forecast as sparklines on one scale, and as the\n"
        "error that of what is served, divided by that of the last value.\n",
    .examples = "  forecast watch --live\n"
                "  forecast watch --stream 'host/*' --target cpu_user\n"
                "  forecast watch --model boilers --json --count 100 > forecasts.jsonl\n",
};

/* Prints one message. Returns whether it was a line. pace may be NULL. */
static bool print_message(struct forecast_subscription *subscription, const struct forecast_message *message,
                          struct pace *pace) {
    char line[2048];
    const char *json;
    int target = message->forecast ? view_target(message->forecast, options.target) : 0;

    /* A raw head has no targets at all. */
    if (target < 0 && (options.target || message->forecast->n_targets > 0))
        return false;
    if (message->forecast && pace &&
        !pace_due(pace, message->forecast->model, message->forecast->stream, run_monotonic()))
        return false;
    if (options.json) {
        if (forecast_subscription_json(subscription, &json))
            return false;
        puts(json);
    } else if (message->event) {
        printf("event %s %s\n", message->event->kind, message->event->json);
    } else {
        view_line(message->forecast, target, line, sizeof line);
        text_tame(line);
        puts(line);
    }
    return true;
}

static int print_lines(struct forecast_subscription *subscription, struct pace *pace) {
    int64_t start = run_monotonic(),
            end = options.seconds > 0 ? start + (int64_t)(options.seconds * (double)RUN_NS) : INT64_MAX;
    int64_t hint = start + 5 * RUN_NS, now;
    struct forecast_message message;
    long printed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0); /* a line is worth nothing later */
    while (!run_stopped() && (!options.count || printed < options.count) && (now = run_monotonic()) < end) {
        int64_t wait = end - now < RUN_NS ? end - now : RUN_NS;
        int code = forecast_subscription_next(subscription, (int)(wait / 1000000) + 1, &message);

        if (code == FORECAST_OK)
            printed += print_message(subscription, &message, pace);
        else if (code != FORECAST_ERROR_TIMEOUT && code != FORECAST_ERROR_INTERRUPTED)
            fprintf(stderr, "%s: %s\n", watch.name, forecast_error_text());
        if (code == FORECAST_ERROR_NETWORK)
            return 1;
        if (ferror(stdout))
            return 1;
        if (printed == 0 && now > hint) {
            fprintf(stderr, "%s: nothing has come from %s yet\n", watch.name,
                    options.forecasts ? options.forecasts : FORECAST_DEFAULT_FORECASTS);
            hint = INT64_MAX;
        }
    }
    return 0;
}

int command_watch(int argc, char **argv) {
    struct forecast_subscription *subscription = NULL;
    int first, code = options_begin(&watch, argc, argv, &first);

    if (code >= 0)
        return code;
    if (first < argc)
        return options_wrong(&watch, "\"%s\" is too much; a stream is named with --stream", argv[first]);
    if (options.live && (options.json || options.events || options.count || options.pace > 0))
        return options_wrong(&watch, "--live excludes --json, --events, --count and --pace");
    if (options.live && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
        return options_wrong(&watch, "--live needs a terminal; without it, forecasts come as lines");
    run_catch_signals();
    code = forecast_subscription_open(options.forecasts, 100000, &subscription);
    if (code == FORECAST_OK)
        code = forecast_subscription_forecasts(subscription, options.model, options.stream);
    if (code == FORECAST_OK && options.events)
        code = forecast_subscription_events(subscription, NULL);
    if (code) {
        fprintf(stderr, "%s: %s\n", watch.name, forecast_error_text());
        code = 1;
    } else if (options.live) {
        code = live_run(watch.name, subscription, options.control, options.target, options.seconds);
    } else {
        struct pace *pace = options.pace > 0 ? pace_new((int64_t)(options.pace * (double)RUN_NS)) : NULL;

        code = print_lines(subscription, pace);
        pace_free(pace);
    }
    forecast_subscription_close(&subscription);
    return code;
}
