/*
 * Series that nobody can learn from, in the real daemon: constant, all missing, of a single tick, enormous, denormal.
 * Each is forecast all the while, what cannot be trained is told, and a stream beside them is served as if they were
 * not there.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

enum { STEPS = 400, HORIZON = 24 };

/* alone: each series is a model's only one. together: one model learns from all of them. The horizon is longer than
 * the window of training; the last model never has enough steps. */
static const char configuration[] = "streams:\n"
                                    "  - {class: constant, pattern: 'alone/constant', features: [x], history: 300}\n"
                                    "  - {class: missing, pattern: 'alone/missing', features: [x], history: 300}\n"
                                    "  - {class: enormous, pattern: 'alone/enormous', features: [x], history: 300}\n"
                                    "  - {class: utmost, pattern: 'alone/utmost', features: [x], history: 300}\n"
                                    "  - {class: denormal, pattern: 'alone/denormal', features: [x], history: 300}\n"
                                    "  - {class: single, pattern: 'alone/single', features: [x], history: 300}\n"
                                    "  - {class: good, pattern: 'alone/good', features: [x], history: 300}\n"
                                    "  - {class: together, pattern: 'together/*', features: [x], history: 300}\n"
                                    "models:\n";

static const char *const kinds[] = {"constant", "missing", "enormous", "utmost", "denormal", "single", "good"};
enum { KINDS = sizeof kinds / sizeof *kinds, SINGLE = 5, GOOD = 6 };

static double value_of(int kind, int step) {
    switch (kind) {
    case 0: return 7;
    case 1: return NAN;
    case 2: return step % 3 ? 1e30 : -1e30;
    case 3: return step % 3 ? 1.7e308 : -1.7e308;
    case 4: return 5e-324 * (step % 5);
    case 5: return 3;
    default: return sin(0.5236 * step) + 0.1 * sin(0.1 * step * step);
    }
}

static struct daemon *start(void) {
    char rest[8192];
    int n = snprintf(rest, sizeof rest, "%s", configuration);
    for (int k = 0; k <= KINDS; k++)
        n += snprintf(
            rest + n, sizeof rest - (size_t)n,
            "  - {name: %s, class: %s, horizon: %d, period: 12, layers: [{lstm: 8}], retrain_every: 100s,\n"
            "     training: {window: 16, burn_in: 4, unroll: 8, epochs: 2, min_steps: 30, first_after: 150}}\n",
            k < KINDS ? kinds[k] : "together", k < KINDS ? kinds[k] : "together", HORIZON);
    return daemon_run(&(struct daemon_setup){.workers = 2, .bus = "  send_hwm: 1000000\n", .rest = rest});
}

/* Slowly enough for jobs to end while there is something to come. */
static void feed_all(void *socket, struct heard *heard) {
    size_t fed = 0;
    for (int step = 0; step < STEPS; step++) {
        for (int kind = 0; kind < KINDS; kind++) {
            if (kind == SINGLE && step > 0)
                continue;
            for (int together = 0; together < 2; together++) {
                char name[32];
                double x = value_of(kind, step);
                snprintf(name, sizeof name, "%s/%s", together ? "together" : "alone", kinds[kind]);
                feed_tick(socket, name, INT64_C(1000000000) * (1700000000 + step), &x, 1);
                fed++;
            }
        }
        heard_until(heard, fed);
        scenario_sleep(8);
    }
}

/* Whatever came: the value that is foretold is finite where there was one to be known, and lies within its
 * intervals. */
static void check_forecasts(const struct heard_stream *stream, int kind) {
    size_t steps = kind == SINGLE ? 1 : STEPS;
    assert_int_equal(stream->n, steps);
    for (size_t i = 0; i < stream->n; i++) {
        const struct heard_forecast *forecast = heard_at(stream, i);
        const double *mean = heard_mean(forecast);
        for (int h = 0; h < HORIZON; h++) {
            if (kind == 1 ? !isnan(mean[h]) : !isfinite(mean[h]))
                fail_msg("%s: step %zu, %d ahead: %g", stream->key, i + 1, h + 1, mean[h]);
            for (int l = 0; l < forecast->n_intervals; l++) {
                double lower = mean[(1 + 2 * l) * HORIZON + h], upper = mean[(2 + 2 * l) * HORIZON + h];
                if (!isnan(lower) && !(isfinite(lower) && isfinite(upper) && lower <= mean[h] && mean[h] <= upper))
                    fail_msg("%s: step %zu, %d ahead: %g is not within %g and %g", stream->key, i + 1, h + 1, mean[h],
                             lower, upper);
            }
        }
    }
}

/* The mean error one step ahead over the second half. */
static double error_of(const struct heard_stream *stream) {
    double sum = 0;
    for (int i = STEPS / 2; i + 1 < STEPS; i++)
        sum += fabs(heard_mean(heard_at(stream, (size_t)i))[0] - value_of(GOOD, i + 1));
    return sum / (STEPS / 2 - 1);
}

/* Waits until the model says why who serves serves. */
static void expect_reason(struct daemon *daemon, const char *name, const char *text) {
    char said[512] = "";
    for (int64_t end = scenario_now() + 60000; scenario_now() < end; scenario_sleep(50)) {
        json_t *model = daemon_model(daemon, name);
        snprintf(said, sizeof said, "%s", json_string_value(json_object_get(model, "reason")));
        json_decref(model);
        if (strstr(said, text) != NULL)
            return;
    }
    fail_msg("model %s: \"%s\" does not say \"%s\"", name, said, text);
}

static void odd_series_are_forecast(void **state) {
    (void)state;
    struct daemon *daemon = start();
    struct heard *heard = heard_new(daemon, "forecast/", 9, 1);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);
    feed_all(socket, heard);
    for (int kind = 0; kind < KINDS; kind++) {
        char name[32];
        snprintf(name, sizeof name, "alone/%s", kinds[kind]);
        const struct heard_stream *alone = heard_find(heard, kinds[kind], name);
        assert_non_null(alone);
        check_forecasts(alone, kind);
        snprintf(name, sizeof name, "together/%s", kinds[kind]);
        const struct heard_stream *together = heard_find(heard, "together", name);
        assert_non_null(together);
        check_forecasts(together, kind);
        if (kind != GOOD)
            continue;
        print_message("the stream that can be learnt: error %.3f alone, %.3f among the others\n", error_of(alone),
                      error_of(together));
        assert_true(error_of(together) < 1.25 * error_of(alone) + 0.01);
    }
    expect_reason(daemon, "single", "not trained yet: training begins when a stream has 150 steps");
    expect_reason(daemon, "missing", "the streams have too few steps to train on and judge by");
    heard_free(heard);
    daemon_free(&daemon);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(odd_series_are_forecast, scenario_teardown),
    };
    scenario_begin(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
