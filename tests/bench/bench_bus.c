/*
 * Ticks through the daemon beside a bare ZeroMQ echo, by `forecast bench`, which measures one after the other in each
 * run: medians of RUNS (environment, 9) runs of BUS_SECONDS (1) each, the cases by turns. All of the machine's
 * processors are shared by sender, daemon and receiver.
 */
#include "tests/support/bench.h"

#include <assert.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In each run; as fast as it goes a rate and processor time, else latencies too. */
struct figures {
    double rate[BENCH_VALUES_MAX], cpu[BENCH_VALUES_MAX], resident[BENCH_VALUES_MAX], p50[BENCH_VALUES_MAX],
        p99[BENCH_VALUES_MAX];
};

static struct bus_case {
    const char *what, *options;
    bool at_rate;
    int n;
    struct figures daemon, echo;
    json_t *shape; /* the latest line of the daemon's */
} cases[] = {
    {.what = "network alone", .options = "--ticks-per-second max --bundle 256"},
    {.what = "all the defaults", .options = "--ticks-per-second max --bundle 256 --defaults"},
    {.what = "single messages", .options = "--ticks-per-second max --bundle 1"},
    {.what = "1,000 streams", .options = "--ticks-per-second max --bundle 256 --streams 1000"},
    {.what = "100,000 streams", .options = "--ticks-per-second max --bundle 256 --streams 100000"},
    {.what = "network alone, on disk", .options = "--ticks-per-second max --bundle 256 --durable"},
    {.what = "all the defaults, on disk", .options = "--ticks-per-second max --bundle 256 --defaults --durable"},
    {.what = "single messages, on disk", .options = "--ticks-per-second max --bundle 1 --durable"},
    {.what = "10,000 ticks a second, on disk",
     .options = "--ticks-per-second 10000 --bundle 1 --durable",
     .at_rate = true},
    {.what = "10,000 ticks a second", .options = "--ticks-per-second 10000 --bundle 1", .at_rate = true},
    {.what = "no training",
     .options = "--ticks-per-second 10000 --bundle 1 --streams 100 --train later",
     .at_rate = true},
    {.what = "training meanwhile",
     .options = "--ticks-per-second 10000 --bundle 1 --streams 100 --train now",
     .at_rate = true},
};

/* Of the daemons of two cases, by their names, run by run. */
static const struct {
    const char *what;
    size_t figure; /* in struct figures */
    const char *of, *by;
} comparisons[] = {
    {"processor a tick, 100,000 streams by 1,000", offsetof(struct figures, cpu), "100,000 streams", "1,000 streams"},
    {"rate on disk by that without, network", offsetof(struct figures, rate), "network alone, on disk",
     "network alone"},
    {"rate on disk by that without, defaults", offsetof(struct figures, rate), "all the defaults, on disk",
     "all the defaults"},
    {"rate on disk by that without, single", offsetof(struct figures, rate), "single messages, on disk",
     "single messages"},
    {"p99 on disk by that without", offsetof(struct figures, p99), "10,000 ticks a second, on disk",
     "10,000 ticks a second"},
    {"p99 while training by that without", offsetof(struct figures, p99), "training meanwhile", "no training"},
};

static double number(const json_t *line, const char *member) {
    return json_number_value(json_object_get(line, member));
}

static void take(struct figures *figures, int run, const json_t *line) {
    figures->rate[run] = number(line, "forecasts_per_second");
    figures->cpu[run] = number(line, "cpu_us_daemon") + number(line, "cpu_us_ends");
    figures->resident[run] = number(line, "resident_mib");
    figures->p50[run] = number(line, "p50_us");
    figures->p99[run] = number(line, "p99_us");
}

/* A run counts when both lines have come. */
static void run_case(struct bus_case *bus_case) {
    char command[512], line[4096];
    const char *build = getenv("BUILD") != NULL ? getenv("BUILD") : "build";
    bool daemon = false, echo = false;
    snprintf(command, sizeof command, "%s/forecast bench --json --seconds %g %s", build,
             bench_setting("BUS_SECONDS", 1), bus_case->options);
    FILE *out = popen(command, "r");
    while (out != NULL && fgets(line, sizeof line, out) != NULL) {
        json_t *read = json_loads(line, 0, NULL);
        const char *what = json_string_value(json_object_get(read, "what"));
        if (what != NULL && strcmp(what, "forecastd") == 0) {
            take(&bus_case->daemon, bus_case->n, read);
            json_decref(bus_case->shape);
            bus_case->shape = json_incref(read);
            daemon = true;
        } else if (what != NULL) {
            take(&bus_case->echo, bus_case->n, read);
            echo = true;
        }
        json_decref(read);
    }
    bus_case->n += daemon && echo;
    if (out == NULL || pclose(out) != 0 || !daemon || !echo)
        fprintf(stderr, "bench_bus: %s: a run failed\n", bus_case->what);
}

static void print_json(const struct bus_case *c) {
    printf("{\"bench\": \"bus\", \"what\": \"%s\", \"streams\": %.0f, \"features\": %.0f, \"hidden\": %.0f, "
           "\"bundle\": %.0f, ",
           c->what, number(c->shape, "streams"), number(c->shape, "features"), number(c->shape, "units"),
           number(c->shape, "bundle"));
    if (c->at_rate)
        printf("\"latency\": {\"p50_us\": %.1f, \"p99_us\": %.1f}, \"peers\": {\"zeromq\": {\"p50_us\": %.1f, "
               "\"p99_us\": %.1f}}, \"ratios\": {\"zeromq\": %.2f}, \"p99_ratio\": %.2f}\n",
               bench_median(c->daemon.p50, c->n), bench_median(c->daemon.p99, c->n), bench_median(c->echo.p50, c->n),
               bench_median(c->echo.p99, c->n), bench_ratio(c->echo.p50, c->daemon.p50, c->n),
               bench_ratio(c->echo.p99, c->daemon.p99, c->n));
    else
        printf(
            "\"forecasts_per_s\": %.0f, \"cpu_us_a_tick\": %.3f, \"resident_mib\": %.1f, \"peers\": {\"zeromq\": %.0f}, "
            "\"ratios\": {\"zeromq\": %.2f}}\n",
            bench_median(c->daemon.rate, c->n), bench_median(c->daemon.cpu, c->n),
            bench_median(c->daemon.resident, c->n), bench_median(c->echo.rate, c->n),
            bench_ratio(c->daemon.rate, c->echo.rate, c->n));
}

static void print_table(const struct bus_case *c) {
    if (c->at_rate)
        printf("bus  %-30s %10.1f us p50 %10.1f us p99, %.2f and %.2f times a bare ZeroMQ echo's %.1f and %.1f\n",
               c->what, bench_median(c->daemon.p50, c->n), bench_median(c->daemon.p99, c->n),
               bench_ratio(c->daemon.p50, c->echo.p50, c->n), bench_ratio(c->daemon.p99, c->echo.p99, c->n),
               bench_median(c->echo.p50, c->n), bench_median(c->echo.p99, c->n));
    else
        printf(
            "bus  %-30s %10.0f forecasts a second, %.2f us of processor each, all three; a bare ZeroMQ echo %.0f\n",
            c->what, bench_median(c->daemon.rate, c->n), bench_median(c->daemon.cpu, c->n),
            bench_median(c->echo.rate, c->n));
}

static const struct bus_case *case_of(const char *what) {
    const struct bus_case *found = cases;
    while (strcmp(found->what, what) != 0)
        found++;
    return found;
}

/* The median of the runs' ratios, and between what half of them lie. */
static void print_comparison(int i) {
    const struct bus_case *of = case_of(comparisons[i].of), *by = case_of(comparisons[i].by);
    const double *a = (const double *)(const void *)((const char *)&of->daemon + comparisons[i].figure);
    const double *b = (const double *)(const void *)((const char *)&by->daemon + comparisons[i].figure);
    int n = of->n < by->n ? of->n : by->n;
    double ratios[BENCH_VALUES_MAX], quartiles[3];
    for (int run = 0; run < n; run++)
        ratios[run] = a[run] / b[run];
    if (n == 0)
        return;
    bench_quartiles(ratios, n, quartiles);
    printf(
        bench_as_json()
            ? "{\"bench\": \"bus\", \"what\": \"%s\", \"ratio\": %.3f, \"quartiles\": [%.3f, %.3f], \"runs\": %d}\n"
            : "bus  %-42s %.3f times; half of the runs %.3f to %.3f (%d runs)\n",
        comparisons[i].what, quartiles[1], quartiles[0], quartiles[2], n);
}

int main(void) {
    int runs = (int)bench_setting("RUNS", 9), n = sizeof cases / sizeof *cases;
    assert(runs > 0 && runs <= BENCH_VALUES_MAX);
    for (int run = 0; run < runs; run++)
        for (int i = 0; i < n; i++)
            run_case(&cases[i]);
    for (int i = 0; i < n; i++) {
        if (cases[i].n == 0)
            continue;
        if (bench_as_json())
            print_json(&cases[i]);
        else
            print_table(&cases[i]);
        json_decref(cases[i].shape);
    }
    for (int i = 0; i < (int)(sizeof comparisons / sizeof *comparisons); i++)
        print_comparison(i);
    return 0;
}
