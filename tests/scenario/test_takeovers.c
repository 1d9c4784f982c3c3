/*
 * What a daemon has forecast, a backtest forecasts once more, to the last bit: from the rows that the daemon was
 * sent, its configuration, and its journal of which versions took which stream over at which step, and what was
 * commanded between.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/backtest_run.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"
#include "tests/support/waves.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { STREAMS = 5, MOST_STEPS = 2400, FEATURES = WAVES_FEATURES, HORIZON = 6, LEVELS = 2 };
enum { SEED = 5 }; /* of the ticks' noise */

static const int64_t second = 1000000000;
static char folder[] = "/tmp/test_takeovers.XXXXXX";

/* Jobs one after another, with little replay and much; a batch has two slots, so that takeovers wait for each
 * other. */
static const char configuration[] =
    "journal: %s\n"
    "streams:\n"
    "  - {class: c, pattern: '*', features: [a, b], gap: reset, gap_after: 60s, history: 400}\n"
    "models:\n"
    "  - name: m\n"
    "    class: c\n"
    "    horizon: 6\n"
    "    period: %d\n"
    "    targets: [b, a]\n"
    "    layers: [{lstm: 40}, {dense: 8, activation: tanh}]\n"
    "    batch_size: 2\n"
    "    combine: %s\n"
    "    retrain_every: 150s\n"
    "    training: {window: 48, burn_in: 8, unroll: 24, batch: 8, epochs: 4, min_steps: 80, learning_rate: 0.01,\n"
    "               patience: 0, first_after: 200,\n"
    "               new_steps: 60, margin: 0%%}\n";

static int steps_of(int stream) {
    return scenario_count(MOST_STEPS, 1000) - 137 * stream;
}

/* Streams begin at different times, so that they are at different steps when a version comes. */
static int64_t time_of(int stream, int step) {
    return second * (1600000000 + 200 * stream + step + step / 500 * 3600);
}

/* Commands between the ticks, wherever they happen to come: a state goes to another stream where versions allow. */
static void command(struct daemon *daemon, size_t n) {
    static const char *const commands[] = {
        "{\"cmd\":\"pause\",\"stream\":\"s1\"}", "{\"cmd\":\"reset\",\"stream\":\"s2\"}",
        "{\"cmd\":\"reset\",\"stream\":\"s3\",\"model\":\"m\"}", "{\"cmd\":\"resume\",\"stream\":\"s1\"}",
        "{\"cmd\":\"reset\",\"all\":true}"};
    enum { N = sizeof commands / sizeof *commands };
    json_t *reply = daemon_ask(daemon, "{\"cmd\":\"state\",\"stream\":\"s0\",\"model\":\"m\"}");
    json_t *state = json_object_get(reply, "state");
    if (state != NULL) {
        json_t *request =
            json_pack("{s:s, s:s, s:s, s:O}", "cmd", "set_state", "stream", "s4", "model", "m", "state", state);
        char *text = json_dumps(request, JSON_REAL_PRECISION(17));
        json_decref(daemon_ask(daemon, text)); /* refused while another version takes over */
        free(text);
        json_decref(request);
    }
    json_decref(reply);
    daemon_command(daemon, "%s", commands[n % N]);
}

/* In the order of the times. Not all at once, so that jobs end and versions take over while there is something to
 * come. */
static size_t feed_all(struct daemon *daemon, void *socket, struct heard *heard) {
    int next[STREAMS] = {0};
    size_t fed = 0, all = 0;
    for (int s = 0; s < STREAMS; s++)
        all += (size_t)steps_of(s);
    for (;;) {
        int first = -1;
        for (int s = 0; s < STREAMS; s++)
            if (next[s] < steps_of(s) && (first < 0 || time_of(s, next[s]) < time_of(first, next[first])))
                first = s;
        if (first < 0)
            return fed;
        double values[FEATURES];
        char name[16];
        waves_values(SEED, first, next[first], values);
        feed_tick(socket, waves_name(first, name), time_of(first, next[first]), values, FEATURES);
        next[first]++;
        if (++fed % 10 == 0)
            scenario_sleep(2);
        if (fed % 500 == 0)
            heard_until(heard, fed);
        if (fed == all / 3)
            daemon_await_version(daemon, "m");
        if (fed > all / 3 && fed % 333 == 0)
            command(daemon, fed / 333);
    }
}

struct comparison_of {
    const struct heard *heard;
    size_t n, versions; /* forecasts, and of them those by a version */
};

/* A bound as it goes over the wire: a float32, moved outward, where that moves it by little. */
static double as_sent(double bound, double half_width, float outward) {
    float nearest = (float)bound;
    if (outward > 0 ? (double)nearest < bound : (double)nearest > bound)
        nearest = nextafterf(nearest, outward);
    return fabs((double)nearest - bound) <= half_width / 1000 ? (double)nearest : bound;
}

static void compare(void *context, int stream, uint64_t step, const struct backtest_said *said) {
    struct comparison_of *comparison = context;
    enum { N = HORIZON * FEATURES };
    char name[16];
    const struct heard_stream *heard = heard_find(comparison->heard, "m", waves_name(stream, name));
    assert_non_null(heard);
    assert_true(step >= 1 && step <= heard->n);
    const struct heard_forecast *forecast = heard_at(heard, step - 1);
    const double *mean = heard_mean(forecast);
    assert_int_equal(forecast->n_intervals, LEVELS);
    for (int i = 0; i < N; i++) {
        const double told[] = {mean[i], mean[N + i], mean[2 * N + i], mean[3 * N + i], mean[4 * N + i]};
        double half[] = {(said->upper[i] - said->lower[i]) / 2, (said->upper[N + i] - said->lower[N + i]) / 2};
        const double here[] = {said->published[i], as_sent(said->lower[i], half[0], -INFINITY),
                               as_sent(said->upper[i], half[0], INFINITY),
                               as_sent(said->lower[N + i], half[1], -INFINITY),
                               as_sent(said->upper[N + i], half[1], INFINITY)};
        for (int k = 0; k < 5; k++)
            if (memcmp(&told[k], &here[k], sizeof told[k]) != 0 && !(isnan(told[k]) && isnan(here[k])))
                fail_msg("stream %s, step %d, version %d, value %d of %d: the daemon said %.17g, the backtest %.17g",
                         name, (int)step, (int)forecast->version, i, k, told[k], here[k]);
    }
    comparison->n++;
    comparison->versions += forecast->version > 0;
}

static struct backtest_stream stream_of(int s) {
    static char names[STREAMS][16];
    size_t n = (size_t)steps_of(s);
    struct backtest_stream stream = {.name = (char *)waves_name(s, names[s]), .path = names[s], .n = n};
    stream.t = malloc(n * sizeof *stream.t);
    stream.values = malloc(n * FEATURES * sizeof *stream.values);
    for (size_t i = 0; i < n; i++) {
        stream.t[i] = time_of(s, (int)i);
        waves_values(SEED, s, (int)i, stream.values + i * FEATURES);
    }
    return stream;
}

/* Takeovers whose replay lasted while steps came, and commands of each kind. */
struct written {
    int lasting, resets, states, pauses, resumes;
};

static struct written count_lines(const char *path) {
    char *line = NULL;
    size_t size = 0;
    struct written n = {0};
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (getline(&line, &size, file) > 0) {
        json_t *map = json_loads(line, 0, NULL);
        const char *command = json_string_value(json_object_get(map, "command"));
        n.lasting += command == NULL && json_integer_value(json_object_get(map, "step")) >
                                            json_integer_value(json_object_get(map, "began"));
        n.resets += command != NULL && strcmp(command, "reset") == 0;
        n.states += command != NULL && strcmp(command, "set_state") == 0;
        n.pauses += command != NULL && strcmp(command, "pause") == 0;
        n.resumes += command != NULL && strcmp(command, "resume") == 0;
        json_decref(map);
    }
    free(line);
    fclose(file);
    return n;
}

/* One run more, from the journal. */
static void replay(const struct daemon *daemon, const struct heard *heard, uint64_t epoch, int *ret_takeovers) {
    static const int horizons[] = {1, HORIZON};
    char path[256];
    struct config *config;
    struct error err;
    struct backtest_result result;
    struct backtest_stream streams[STREAMS];
    struct comparison_of comparison = {.heard = heard};
    size_t all = 0;
    if (config_load(daemon->config, &config, &err) != 0)
        fail_msg("%s", err.text);
    config->models[0].batch_size = 1;
    for (int s = 0; s < STREAMS; s++) {
        streams[s] = stream_of(s);
        all += streams[s].n;
    }
    snprintf(path, sizeof path, "%s/%llu/takeovers.jsonl", folder, (unsigned long long)epoch);
    struct backtest_takeovers *takeovers =
        backtest_takeovers_load(path, &config->models[0], &config->classes[0], streams, STREAMS, &err);
    if (takeovers == NULL)
        fail_msg("%s", err.text);
    *ret_takeovers = backtest_takeovers_count(takeovers);
    const struct backtest_setup setup = {.class = &config->classes[0],
                                         .model = &config->models[0],
                                         .streams = streams,
                                         .n_streams = STREAMS,
                                         .horizons = horizons,
                                         .n_horizons = 2,
                                         .online = UINT64_MAX,
                                         .takeovers = takeovers,
                                         .said = compare,
                                         .context = &comparison};
    if (backtest_run(&setup, &result, &err) != 0)
        fail_msg("%s", err.text);
    const struct written written = count_lines(path);
    print_message("%zu forecasts, %zu of them by a version, %d takeovers, %d of them while steps came; %d resets, %d "
                  "states, %d pauses, %d ends of one\n",
                  comparison.n, comparison.versions, *ret_takeovers, written.lasting, written.resets, written.states,
                  written.pauses, written.resumes);
    assert_true(written.resets > STREAMS && written.states > 0 && written.pauses > 0 && written.resumes > 0);
    assert_int_equal(comparison.n, all);
    assert_true(comparison.versions > all / 2);
    backtest_result_fini(&result);
    backtest_takeovers_free(takeovers);
    for (int s = 0; s < STREAMS; s++) {
        free(streams[s].t);
        free(streams[s].values);
    }
    config_free(config);
}

static void try_with(const char *combine, int period) {
    char rest[2048];
    int takeovers;
    snprintf(rest, sizeof rest, configuration, folder, period, combine);
    struct daemon *daemon =
        daemon_run(&(struct daemon_setup){.workers = 2, .bus = "  send_hwm: 1000000\n", .rest = rest});
    struct heard *heard = heard_new(daemon, "forecast/", 9, 1);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    heard_until(heard, feed_all(daemon, socket, heard));
    uint64_t epoch = heard->streams->epoch;
    daemon_stop(daemon);
    replay(daemon, heard, epoch, &takeovers);
    assert_true(takeovers >= scenario_count(2, 1) * STREAMS);
    heard_free(heard);
    daemon_free(&daemon);
}

static void a_mixture_is_forecast_once_more(void **state) {
    (void)state;
    try_with("online", 12);
}

static void a_network_is_forecast_once_more(void **state) {
    (void)state;
    try_with("network", 0);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_mixture_is_forecast_once_more, scenario_teardown),
        cmocka_unit_test_teardown(a_network_is_forecast_once_more, scenario_teardown),
    };
    scenario_begin(120);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
