/*
 * How well is forecast, beside the cheap forecasts that anybody has: forecast backtest with its defaults on the real
 * series in ../shared/data, where they are, and on generated ones. Of each series and horizon: the errors, whether
 * what is published is at most 1.01 times the best of last value, seasonal and ridge, and what it loses without the
 * network.
 *
 * Usage: accuracy [--quick] [NAME...]; names are beginnings of series' names. JSON=1 in the environment: lines of
 * JSON.
 */
#include "tests/support/bench.h"
#include "tests/support/generated.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 6000, MOST_CASES = 64, MOST_ROWS = 8 };

static const double allowed = 1.01;

struct one {
    char name[64], path[256];
    const char *arguments; /* of the backtest, beside the file */
    double seconds;
};

static struct one cases[MOST_CASES];
static int n_cases;
static char folder[] = "/tmp/accuracy.XXXXXX";

/* ---- the series ------------------------------------------------------------------------------ */

static const struct {
    const char *name, *path, *arguments;
} files[] = {
    {"ETTh1", "ETTh1.csv", "--train 2880 --valid 720 --online 10800"},
    {"nyc_taxi", "nab/nyc_taxi.csv", ""},
    {"ambient_temperature", "nab/ambient_temperature_system_failure.csv", ""},
    {"ec2_latency", "nab/ec2_request_latency_system_failure.csv", ""},
    {"vix", "vix-daily.csv", ""},
    {"seattle_weather", "seattle-weather.csv", ""},
    {"TravelTime_387", "nab/realTraffic/TravelTime_387.csv", ""},
    {"TravelTime_451", "nab/realTraffic/TravelTime_451.csv", ""},
    {"occupancy_6005", "nab/realTraffic/occupancy_6005.csv", ""},
    {"occupancy_t4013", "nab/realTraffic/occupancy_t4013.csv", ""},
    {"speed_6005", "nab/realTraffic/speed_6005.csv", ""},
    {"speed_7578", "nab/realTraffic/speed_7578.csv", ""},
    {"speed_t4013", "nab/realTraffic/speed_t4013.csv", ""},
};

static bool wanted(const char *name, char **names, int n_names) {
    bool found = n_names == 0;
    for (int i = 0; i < n_names; i++)
        found = found || strncmp(name, names[i], strlen(names[i])) == 0;
    return found;
}

static void find_cases(char **names, int n_names) {
    int missing = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct one *one = &cases[n_cases];
        snprintf(one->path, sizeof one->path, "../shared/data/%s", files[i].path);
        snprintf(one->name, sizeof one->name, "%s", files[i].name);
        one->arguments = files[i].arguments;
        if (!wanted(one->name, names, n_names))
            continue;
        if (access(one->path, R_OK) == 0)
            n_cases++;
        else
            missing++;
    }
    if (missing > 0)
        fprintf(stderr, "accuracy: %d series are skipped, as ../shared/data does not have them\n", missing);
    for (int i = 0; i < generated_count; i++) {
        struct one *one = &cases[n_cases];
        const struct generated *series = &generated_series[i];
        snprintf(one->name, sizeof one->name, "generated/%s", series->name);
        snprintf(one->path, sizeof one->path, "%s/%s.csv", folder, series->name);
        one->arguments = "";
        if (!wanted(one->name, names, n_names))
            continue;
        if (generated_write(series, 1, ROWS, one->path) != 0) {
            perror(one->path);
            exit(1);
        }
        n_cases++;
    }
}

/* ---- running them ---------------------------------------------------------------------------- */

/* A case and whether it is without its network, as one number. */
static void output_path(int run, char *path, size_t size) {
    snprintf(path, size, "%s/%d.json", folder, run);
}

static pid_t start(int run) {
    const char *build = getenv("BUILD");
    const struct one *one = &cases[run / 2];
    char output[64], command[1024];
    output_path(run, output, sizeof output);
    snprintf(command, sizeof command, "exec %s/forecast backtest '%s' %s --json %s > %s",
             build != NULL ? build : "build", one->path, one->arguments, run % 2 ? "--no-network" : "", output);
    pid_t child = fork();
    if (child != 0)
        return child;
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* As many at once as there are processors. */
static void run_all(int n_runs, bool quick) {
    long at_once = sysconf(_SC_NPROCESSORS_ONLN);
    pid_t *children = calloc((size_t)n_runs, sizeof *children);
    double *began = calloc((size_t)n_runs, sizeof *began);
    int running = 0;
    for (int next = 0; next < n_runs || running > 0;) {
        if (next < n_runs && running < at_once) {
            if (!quick || next % 2 == 0) {
                began[next] = now_seconds();
                children[next] = start(next);
                running++;
            }
            next++;
            continue;
        }
        int status;
        pid_t child = wait(&status);
        if (child < 0)
            break;
        running--;
        for (int run = 0; run < n_runs; run++)
            if (children[run] == child) {
                if (run % 2 == 0)
                    cases[run / 2].seconds = now_seconds() - began[run];
                if (status != 0)
                    fprintf(stderr, "accuracy: the backtest of %s failed\n", cases[run / 2].name);
                else if (isatty(STDERR_FILENO))
                    fprintf(stderr, "accuracy: %d of %d: %s\033[K\r", run + 1, n_runs, cases[run / 2].name);
            }
    }
    if (isatty(STDERR_FILENO))
        fputs("\033[K", stderr);
    free(children);
    free(began);
}

/* ---- what came out --------------------------------------------------------------------------- */

static double field(const json_t *map, const char *name, const char *key) {
    const json_t *value = json_object_get(name != NULL ? json_object_get(map, name) : map, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double coverage(const json_t *horizon, const char *level) {
    return field(json_object_get(json_object_get(horizon, "published"), "coverage"), NULL, level);
}

/* The published error over that of the best single forecast in hindsight. */
static double ratio_to_best(const json_t *horizon, const char *key) {
    static const char *const single[] = {"last_value", "seasonal", "ridge"};
    double best = NAN;
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        best = fmin(best, field(json_object_get(horizon, "experts"), single[i], key));
    return field(horizon, "published", key) / best;
}

static void print_head(void) {
    printf("%-28s %3s  %8s %8s %8s %8s %8s %7s %6s %7s %6s %5s\n", "series", "h", "last", "seasonal", "ridge",
           "forecast", "no net", "mse/b", "mae/b", "net %", "in 80", "in 95");
}

static void print_number(int width, int places, double x) {
    if (isnan(x))
        printf(" %*s", width, "-");
    else
        printf(fabs(x) < 1e5 ? " %*.*f" : " %*.*e", width, fabs(x) < 1e5 ? places : 1, x);
}

/* One horizon of one series. Returns whether it holds. */
static bool print_row(const struct one *one, const json_t *horizon, const json_t *without) {
    const json_t *experts = json_object_get(horizon, "experts");
    double published = field(horizon, "published", "mse"), alone = field(without, "published", "mse");
    double mse = ratio_to_best(horizon, "mse"), mae = ratio_to_best(horizon, "mae");
    bool holds = !(mse > allowed) && !(mae > allowed);
    int h = (int)field(horizon, NULL, "h");
    if (bench_as_json()) {
        json_t *row = json_pack("{s:s, s:i, s:b}", "series", one->name, "h", h, "holds", holds);
        const struct {
            const char *key;
            double value;
        } numbers[] = {{"mse", published},
                       {"last_value", field(experts, "last_value", "mse")},
                       {"seasonal", field(experts, "seasonal", "mse")},
                       {"ridge", field(experts, "ridge", "mse")},
                       {"without_network", alone},
                       {"mse_to_best", mse},
                       {"mae_to_best", mae},
                       {"coverage_80", coverage(horizon, "80")},
                       {"coverage_95", coverage(horizon, "95")}};
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            json_object_set_new(row, numbers[i].key,
                                isfinite(numbers[i].value) ? json_real(numbers[i].value) : json_null());
        json_dumpf(row, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(row);
        return holds;
    }
    printf("%-28s %3d ", one->name, h);
    print_number(8, 4, field(experts, "last_value", "mse"));
    print_number(8, 4, field(experts, "seasonal", "mse"));
    print_number(8, 4, field(experts, "ridge", "mse"));
    print_number(8, 4, published);
    print_number(8, 4, alone);
    print_number(7, 3, mse);
    print_number(6, 3, mae);
    print_number(7, 2, 100 * (alone / published - 1));
    print_number(6, 1, 100 * coverage(horizon, "80"));
    print_number(5, 1, 100 * coverage(horizon, "95"));
    puts(holds ? "" : "  > 1.01");
    return holds;
}

static json_t *load(int run) {
    char path[64];
    output_path(run, path, sizeof path);
    return json_load_file(path, 0, NULL);
}

static void print_all(void) {
    int rows = 0, held = 0;
    if (!bench_as_json())
        print_head();
    for (int i = 0; i < n_cases; i++) {
        json_t *with = load(2 * i), *without = load(2 * i + 1);
        const json_t *horizons = json_object_get(with, "horizons");
        if (json_array_size(horizons) == 0)
            printf("%-28s failed\n", cases[i].name);
        for (size_t h = 0; h < json_array_size(horizons); h++) {
            rows++;
            held += print_row(&cases[i], json_array_get(horizons, h),
                              json_array_get(json_object_get(without, "horizons"), h));
        }
        json_decref(with);
        json_decref(without);
    }
    fprintf(
        stderr,
        "%d of %d hold: the forecast's mse and mae are at most %.2f times those of the best of last value, seasonal "
        "and ridge.\nColumns: mse of each; mse/b and mae/b by the best; net: what the mse grows by without the "
        "network; share of answers in the intervals.\n",
        held, rows, allowed);
}

int main(int argc, char **argv) {
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    find_cases(argv + 1 + quick, argc - 1 - quick);
    run_all(2 * n_cases, quick);
    print_all();
    for (int run = 0; run < 2 * n_cases; run++) {
        char path[64];
        output_path(run, path, sizeof path);
        unlink(path);
    }
    for (int i = 0; i < n_cases; i++)
        if (strncmp(cases[i].path, folder, strlen(folder)) == 0)
            unlink(cases[i].path);
    rmdir(folder);
    return 0;
}
