#include "clients/forecast/bench.h"

#include "clients/forecast/commands.h"
#include "clients/forecast/options.h"
#include "clients/forecast/run.h"
#include "clients/libforecast/forecast.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *rate, *ticks, *forecasts;
    struct bench_model model;
    long streams, bundle;
    double seconds;
    bool json;
} options = {.model = {.features = 8, .units = 32, .horizon = 1}, .streams = 10000, .seconds = 10};

static const struct option_row rows_of_options[] = {
    {"ticks-per-second", 'r', OPTION_TEXT, "N|max",
     "measure only at this rate, or only as fast as it goes (default: as fast\nas it goes, then at 10000)",
     &options.rate, 0, 0},
    {"streams", 0, OPTION_INTEGER, "N", "streams that take turns (default 10000)", &options.streams, 1, 1e7},
    {"features", 0, OPTION_INTEGER, "N", "values of a tick (default 8)", &options.model.features, 1, 1024},
    {"bundle", 'b', OPTION_INTEGER, "N", "ticks of a message (default: 256 as fast as it goes, else 1)",
     &options.bundle, 1, 1000},
    {"seconds", 0, OPTION_NUMBER, "S", "how long each measurement sends (default 10)", &options.seconds, 0.1, 1e6},
    {"units", 0, OPTION_INTEGER, "N", "of the LSTM of the daemon that is started (default 32)", &options.model.units,
     1, 4096},
    {"horizon", 0, OPTION_INTEGER, "N", "of its forecasts (default 1)", &options.model.horizon, 1, 4096},
    {"defaults", 0, OPTION_FLAG, NULL,
     "with experts and intervals, as a model has them by default: else the network alone", &options.model.defaults, 0,
     0},
    {"train", 0, OPTION_TEXT, "now|later", "with a model that trains, all the while, or not while this measures",
     &options.model.train, 0, 0},
    {"durable", 0, OPTION_FLAG, NULL, "with a state_dir: what comes is kept on disk", &options.model.durable, 0, 0},
    {"workers", 0, OPTION_INTEGER, "N", "of the daemon that is started (default 0: one per processor)",
     &options.model.workers, 0, 1024},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object per measurement", &options.json, 0, 0},
    {"ticks", 't', OPTION_TEXT, "ENDPOINT",
     "a daemon that runs already takes ticks here; it needs a class for bench/*\nwith the same number of features and a model named bench",
     &options.ticks, 0, 0},
    {"forecasts", 0, OPTION_TEXT, "ENDPOINT", "and publishes here", &options.forecasts, 0, 0},
    {0},
};

const struct option_command bench_command = {
    .name = "forecast bench",
    .usage = "[OPTIONS]",
    .summary = "measures ticks and forecasts a second, and latency.",
    .rows = rows_of_options,
    .notes =
        "Without --ticks and --forecasts it starts the forecastd beside it, on free ports of the loopback, with an\n"
        "untrained LSTM, and stops it at the end. Beside the daemon stands a bare ZeroMQ echo,\n"
        "measured in the same run: messages of the same sizes, with nothing done to them. Latency is from a tick\n"
        "sent to its forecast received.\n",
    .examples = "  forecast bench\n"
                "  forecast bench --ticks-per-second 50000 --streams 1000 --seconds 30\n"
                "  forecast bench --ticks-per-second max --bundle 1000 --json\n",
};

enum { MAX_ROWS = 2 };

/* One measurement, of the daemon and of the echo. */
struct row {
    double rate; /* 0: as fast as it goes */
    long bundle;
    struct bench_result daemon, echo;
};

static int measure(const struct bench_daemon *daemon, struct row *row) {
    struct bench_target target;
    struct bench_sizes sizes = {0};
    int code;

    if (bench_open_daemon(daemon, options.streams, options.model.features, row->bundle, &target, &sizes))
        return -1;
    /* A job begins behind the first ticks. */
    code = options.model.train ? bench_measure(&target, row->rate, 2, &row->daemon) : 0;
    code = code ? code : bench_measure(&target, row->rate, options.seconds, &row->daemon);
    target.close(target.self);
    if (code || bench_open_echo(&sizes, row->bundle, &target))
        return -1;
    code = bench_measure(&target, row->rate, options.seconds, &row->echo);
    target.close(target.self);
    return code;
}

static void print_json(const struct row *row, const char *what, double start, const struct bench_result *result) {
    printf("{\"bench\":\"forecast\",\"what\":\"%s\",\"rate\":", what);
    if (row->rate > 0)
        printf("%.0f", row->rate);
    else
        printf("\"max\"");
    printf(",\"streams\":%ld,\"features\":%ld,\"units\":%ld,\"horizon\":%ld,\"defaults\":%s,"
           "\"durable\":%s,\"bundle\":%ld,\"sent\":%llu,\"received\":%llu,"
           "\"seconds\":%.3f,\"ticks_per_second\":%.0f,\"forecasts_per_second\":%.0f,"
           "\"cpu_us_ends\":%.3f,\"cpu_us_daemon\":%.3f",
           options.streams, options.model.features, options.model.units, options.model.horizon,
           options.model.defaults ? "true" : "false", options.model.durable ? "true" : "false", row->bundle,
           (unsigned long long)result->sent, (unsigned long long)result->received, result->seconds,
           result->ticks_per_second, result->forecasts_per_second, result->cpu, result->cpu_target);
    if (result->resident > 0)
        printf(",\"start_mib\":%.1f,\"resident_mib\":%.1f", start, result->resident);
    if (!isnan(result->p50))
        printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"worst_us\":%.1f", result->p50, result->p99,
               result->p999, result->worst);
    puts("}");
    fflush(stdout);
}

static void print_line(const char *name, double daemon, double echo, int digits) {
    printf("  %-28s%14.*f%14.*f\n", name, digits, daemon, digits, echo);
}

static void print_table(const struct row *row) {
    if (row->rate > 0)
        printf("at %.0f ticks a second", row->rate);
    else
        printf("as fast as it goes");
    printf(", %ld tick%s a message\n", row->bundle, row->bundle == 1 ? "" : "s");
    printf("  %-28s%14s%14s\n", "", "forecastd", "bare ZeroMQ");
    print_line("ticks in, a second", row->daemon.ticks_per_second, row->echo.ticks_per_second, 0);
    print_line("forecasts out, a second", row->daemon.forecasts_per_second, row->echo.forecasts_per_second, 0);
    print_line("processor a tick, ends, us", row->daemon.cpu, row->echo.cpu, 2);
    print_line("processor a tick, daemon, us", row->daemon.cpu_target, row->echo.cpu_target, 2);
    if (row->daemon.received < row->daemon.sent || row->echo.received < row->echo.sent)
        print_line("forecasts lost", (double)(row->daemon.sent - row->daemon.received),
                   (double)(row->echo.sent - row->echo.received), 0);
    if (!isnan(row->daemon.p50)) {
        print_line("latency, p50, us", row->daemon.p50, row->echo.p50, 1);
        print_line("latency, p99, us", row->daemon.p99, row->echo.p99, 1);
        print_line("latency, p99.9, us", row->daemon.p999, row->echo.p999, 1);
        print_line("latency, worst, us", row->daemon.worst, row->echo.worst, 1);
    }
    putchar('\n');
    fflush(stdout);
}

/* The measurements that the options ask for. Returns how many, or -1. */
static int plan(struct row rows[MAX_ROWS]) {
    char *end;
    double rate;

    rows[0] = (struct row){.rate = 0, .bundle = options.bundle ? options.bundle : 256};
    rows[1] = (struct row){.rate = 10000, .bundle = options.bundle ? options.bundle : 1};
    if (!options.rate)
        return 2;
    if (strcmp(options.rate, "max") == 0)
        return 1;
    rate = strtod(options.rate, &end);
    if (*options.rate == '\0' || *end || !(rate >= 1 && rate <= 1e8))
        return -1;
    rows[0] = (struct row){.rate = rate, .bundle = options.bundle ? options.bundle : 1};
    return 1;
}

int command_bench(int argc, char **argv) {
    struct bench_daemon daemon = {0};
    struct row rows[MAX_ROWS];
    int first, code = options_begin(&bench_command, argc, argv, &first), n;

    if (code >= 0)
        return code;
    if (first < argc)
        return options_wrong(&bench_command, "\"%s\" is too much", argv[first]);
    n = plan(rows);
    if (n < 0)
        return options_wrong(&bench_command, "--ticks-per-second takes a number from 1 to 1e8 or max, not \"%s\"",
                             options.rate);
    if (options.model.train && strcmp(options.model.train, "now") != 0 && strcmp(options.model.train, "later") != 0)
        return options_wrong(&bench_command, "--train takes now or later, not \"%s\"", options.model.train);
    if (!options.ticks != !options.forecasts)
        return options_wrong(&bench_command, "--ticks and --forecasts go together");
    run_catch_signals();
    /* As the daemon: messages are to cost what they do, not what pages do. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 32 << 20);
    if (options.ticks) {
        snprintf(daemon.ticks, sizeof daemon.ticks, "%s", options.ticks);
        snprintf(daemon.forecasts, sizeof daemon.forecasts, "%s", options.forecasts);
    } else if (bench_daemon_start(&daemon, options.streams, &options.model)) {
        return 1;
    }
    if (!options.json)
        printf("%ld streams of %ld features, LSTM(%ld)%s%s, horizon %ld, %g s each\n\n", options.streams,
               options.model.features, options.model.units, options.model.defaults ? ", experts and intervals" : "",
               options.model.durable ? ", kept on disk" : "", options.model.horizon, options.seconds);
    fflush(stdout);
    code = 0;
    for (int i = 0; i < n && code == 0; i++) {
        code = measure(&daemon, &rows[i]) ? 1 : 0;
        if (code == 0 && options.json) {
            print_json(&rows[i], "forecastd", daemon.start, &rows[i].daemon);
            print_json(&rows[i], "zeromq", 0, &rows[i].echo);
        } else if (code == 0) {
            print_table(&rows[i]);
        }
    }
    bench_daemon_stop(&daemon);
    return code;
}
