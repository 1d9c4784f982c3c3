/*
 * Learning is real: a model without weights trains on live streams in the background, takes over when it is better
 * than the baselines on steps that it has not seen, and then is better on those that come; where there is nothing to
 * learn the baseline stays.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "tests/support/daemon.h"
#include "tests/support/heard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { N_STREAMS = 16, PERIOD = 24, HORIZON = 6, FIRST = 700, LIVE = 500, HISTORY = 1024, MAX_STEPS = 2500 };

static const char configuration[] =
    "streams:\n"
    "  - {class: season, pattern: \"season/*\", history: 1024, features: [x]}\n"
    "  - {class: walk, pattern: \"walk/*\", features: [x]}\n"
    "models:\n"
    "  - name: season\n"
    "    class: season\n"
    "    horizon: 6\n"
    "    period: 24\n"
    "    layers: [{lstm: 24}]\n"
    "    seed: 3\n"
    "    combine: network\n"
    "    retrain_every: 0s\n"
    "    training: {window: 96, burn_in: 24, unroll: 48, batch: 16, epochs: 50, learning_rate: 0.01, first_after: 700}\n"
    "  - name: walk\n"
    "    class: walk\n"
    "    horizon: 6\n"
    "    layers: [{lstm: 8}]\n"
    "    seed: 3\n"
    "    combine: network\n"
    "    retrain_every: 0s\n"
    "    training: {window: 96, burn_in: 24, batch: 16, epochs: 6, margin: 5%, first_after: 700}\n";

/* ---- the series ----------------------------------------------------------------------------- */

static double season[N_STREAMS][MAX_STEPS], walk[N_STREAMS][MAX_STEPS];

/* A season with its phase and two harmonics, whose size and level change slowly, and noise; and a random walk. */
static int make_series(void **state) {
    (void)state;
    struct rng rng = {17};
    for (int s = 0; s < N_STREAMS; s++) {
        double phase = 24 * rng_uniform(&rng), level = 0, at = 0;
        for (int k = 0; k < MAX_STEPS; k++) {
            double angle = 2 * 3.141592653589793 * (k + phase) / PERIOD;
            double size = 1 + 0.3 * sin(2 * 3.141592653589793 * (k + 90 * s) / 600);
            level += 0.02 * rng_normal(&rng);
            at += rng_normal(&rng);
            season[s][k] = 50 + 5 * (level + size * (sin(angle) + 0.4 * cos(2 * angle)) + 0.3 * rng_normal(&rng));
            walk[s][k] = at;
        }
    }
    return 0;
}

/* Steps [from, to) of all streams, each time in one bundle, a little ahead of what is heard. */
static void feed(void *socket, struct heard *heard, int from, int to) {
    struct wire_bundle bundle = {0};
    for (int k = from; k < to; k++) {
        for (int s = 0; s < 2 * N_STREAMS; s++) {
            char name[32];
            int n = snprintf(name, sizeof name, "%s/%d", s % 2 ? "walk" : "season", s / 2);
            const double *x = s % 2 ? &walk[s / 2][k] : &season[s / 2][k];
            int64_t t = INT64_C(1700000000000000000) + k * INT64_C(60000000000);
            assert_int_equal(wire_bundle_add(&bundle, (struct wire_text){name, (size_t)n}, t, x, 1), 0);
        }
        struct wire_text message = wire_bundle_message(&bundle);
        assert_true(zmq_send(socket, message.at, message.n, 0) >= 0);
        wire_bundle_clear(&bundle);
        if (k % 20 == 19 || k == to - 1)
            heard_until(heard, (size_t)(2 * N_STREAMS * (k + 1)));
    }
    wire_bundle_fini(&bundle);
}

/* ---- what is to be seen --------------------------------------------------------------------- */

static double real_of(const json_t *map, const char *key) {
    assert_true(json_is_real(json_object_get(map, key)));
    return json_real_value(json_object_get(map, key));
}

/* The event of the kind about the model. */
static const json_t *await_outcome(struct heard *heard, const char *kind, const char *model) {
    for (size_t skip = 0;; skip++) {
        const json_t *event = heard_event(heard, kind, skip, 60);
        if (strcmp(json_string_value(json_object_get(event, "model")), model) == 0)
            return event;
    }
}

/* How often the model has been judged. */
static int count_outcomes(const struct heard *heard, const char *model) {
    int n = 0;
    const json_t *event;
    size_t i;
    json_array_foreach(heard->events, i, event) {
        const char *kind = json_string_value(json_object_get(event, "kind"));
        const char *of = json_string_value(json_object_get(event, "model"));
        n += (strcmp(kind, "promoted") == 0 || strcmp(kind, "rejected") == 0) && strcmp(of, model) == 0;
    }
    return n;
}

/* Mean absolute errors of what was published, of the last value, and of the season before, over the network's
 * forecasts of all streams for steps ahead in [1, HORIZON], or over all forecasts of one stream for one step ahead
 * (stream >= 0). */
struct errors {
    double published, last_value, seasonal;
    int n;
};

static struct errors measure(const struct heard *heard, int stream, int ahead) {
    struct errors sum = {0};
    for (int s = 0; s < N_STREAMS; s++) {
        char name[32];
        snprintf(name, sizeof name, "season/%d", s);
        const struct heard_stream *of = heard_find(heard, "season", name);
        for (size_t i = 0; i < of->n && (stream < 0 || s == stream); i++) {
            const struct heard_forecast *forecast = heard_at(of, i);
            if (stream < 0 && forecast->source != WIRE_SOURCE_NETWORK)
                continue;
            int k = (int)forecast->step - 1; /* index of the step in the series */
            for (int h = 1; h <= HORIZON && k + h < FIRST + LIVE; h++) {
                if (ahead > 0 && h != ahead)
                    continue;
                double answer = season[s][k + h];
                sum.published += fabs(heard_mean(forecast)[h - 1] - answer);
                sum.last_value += fabs(season[s][k] - answer);
                sum.seasonal += fabs(season[s][k + h < PERIOD ? k : k + h - PERIOD] - answer);
                sum.n++;
            }
        }
    }
    sum.published /= sum.n;
    sum.last_value /= sum.n;
    sum.seasonal /= sum.n;
    return sum;
}

/* The scores in the forecasts say the same as the test's own. */
static void check_scores(const struct heard *heard) {
    struct errors sum = {0};
    for (int s = 0; s < N_STREAMS; s++) {
        char name[32];
        snprintf(name, sizeof name, "season/%d", s);
        const struct heard_stream *of = heard_find(heard, "season", name);
        const struct heard_forecast *last = heard_at(of, of->n - 1);
        assert_true(last->n_scores > 1);
        for (int i = 0; i < last->n_scores; i++) {
            const struct wire_score *score = &heard_scores(last)[i];
            struct errors own = measure(heard, s, score->h);
            assert_true(score->n > LIVE / 2);
            sum.published += (double)score->recent.mae;
            sum.last_value += (double)score->recent.mae_last_value;
            sum.seasonal += (double)score->recent.mae_seasonal;
            /* The daemon's are in a unit that follows the data slowly: shares agree nearly. */
            double share = (double)(score->recent.mae / score->recent.mae_last_value),
                   own_share = own.published / own.last_value;
            assert_true(fabs(share / own_share - 1) < 0.1);
        }
    }
    /* Over all that was published, by the experts before the network too. */
    assert_true(sum.published < 0.9 * sum.last_value && sum.published < sum.seasonal);
}

/* Whether the latest forecast of each stream that can be learnt is the network's. */
static bool all_from_network(const struct heard *heard) {
    int n = 0;
    for (int s = 0; s < N_STREAMS; s++) {
        char name[32];
        snprintf(name, sizeof name, "season/%d", s);
        const struct heard_stream *of = heard_find(heard, "season", name);
        n += heard_at(of, of->n - 1)->source == WIRE_SOURCE_NETWORK;
    }
    return n == N_STREAMS;
}

static void check_sources(const struct heard *heard, const char *model, int from, int to, enum wire_source source) {
    for (int s = 0; s < N_STREAMS; s++) {
        char name[32];
        snprintf(name, sizeof name, "%s/%d", model, s);
        const struct heard_stream *of = heard_find(heard, model, name);
        assert_non_null(of);
        for (int k = from; k < to; k++) {
            const struct heard_forecast *forecast = heard_at(of, (size_t)k);
            if (forecast->source != (int32_t)source)
                fail_msg("%s: forecast %d has another source", name, k);
            if (source == WIRE_SOURCE_BASELINE)
                assert_int_equal(forecast->version, 0);
            else /* the first version has replayed all there was, a later one what the history keeps */
                assert_true(forecast->version == 1 ? forecast->primed == forecast->step
                                                   : forecast->version > 1 && forecast->primed >= HISTORY);
        }
    }
}

/* ---- the scenario --------------------------------------------------------------------------- */

static void test_learning(void **state) {
    (void)state;
    struct daemon *daemon =
        daemon_run(&(struct daemon_setup){.workers = 2, .bus = "  send_hwm: 1000000\n", .rest = configuration});
    struct heard *heard = heard_all(daemon);
    void *socket = daemon_connect(daemon, ZMQ_PUSH, daemon->ticks);

    /* Not trained yet: the baseline, and it says so. */
    json_t *model = daemon_model(daemon, "season");
    assert_string_equal(json_string_value(json_object_get(model, "source")), "baseline");
    assert_non_null(strstr(json_string_value(json_object_get(model, "reason")), "700"));
    json_decref(model);
    feed(socket, heard, 0, FIRST - 1);
    assert_int_equal(daemon_model_count(daemon, "season", "jobs"), 0);
    feed(socket, heard, FIRST - 1, FIRST);
    check_sources(heard, "season", 0, FIRST, WIRE_SOURCE_BASELINE);
    assert_int_equal(heard_at(heard_find(heard, "season", "season/0"), FIRST - 1)->baseline, WIRE_BASELINE_SEASONAL);

    /* It trains, and is better on what it has not seen. */
    await_outcome(heard, "training", "season");
    const json_t *promoted = await_outcome(heard, "promoted", "season");
    double loss = real_of(promoted, "loss"), last_value = real_of(promoted, "last_value_loss");
    double seasonal = real_of(promoted, "seasonal_loss");
    print_message("unseen part of the windows: loss %.4f, last value %.4f, seasonal %.4f\n", loss, last_value,
                  seasonal);
    assert_true(loss < 0.9 * last_value && loss < 0.9 * seasonal);
    assert_true(json_is_null(json_object_get(promoted, "champion_loss")));
    assert_string_equal(json_string_value(json_object_get(promoted, "decision")), "promoted");
    assert_int_equal(json_integer_value(json_object_get(promoted, "version")), 1);

    /* Where there is nothing to learn it says why the baseline stays. */
    const json_t *rejected = await_outcome(heard, "rejected", "walk");
    assert_string_equal(json_string_value(json_object_get(rejected, "decision")), "baseline");
    print_message("a random walk: loss %.4f, last value %.4f\n", real_of(rejected, "loss"),
                  real_of(rejected, "last_value_loss"));
    assert_true(real_of(rejected, "loss") > 0.95 * real_of(rejected, "last_value_loss"));
    model = daemon_model(daemon, "walk");
    assert_string_equal(json_string_value(json_object_get(model, "source")), "baseline");
    assert_non_null(strstr(json_string_value(json_object_get(model, "reason")), "baseline"));
    assert_int_equal(json_integer_value(json_object_get(model, "version")), 0);
    json_decref(model);

    /* It takes over, a moment after the event: each stream has to be replayed. Then it is better live, too. */
    int served = FIRST;
    for (; served < FIRST + LIVE / 4 && !all_from_network(heard); served++) {
        feed(socket, heard, served, served + 1);
        scenario_sleep(scenario_count(5, 50));
    }
    feed(socket, heard, served, FIRST + LIVE);
    check_sources(heard, "season", served, FIRST + LIVE, WIRE_SOURCE_NETWORK);
    check_sources(heard, "walk", 0, FIRST + LIVE, WIRE_SOURCE_BASELINE);
    struct errors errors = measure(heard, -1, 0);
    print_message("live, over %d answers: %.4f, last value %.4f, seasonal %.4f\n", errors.n, errors.published,
                  errors.last_value, errors.seasonal);
    assert_true(errors.n > N_STREAMS * HORIZON * LIVE / 2);
    assert_true(errors.published < 0.9 * errors.last_value && errors.published < 0.9 * errors.seasonal);
    check_scores(heard);

    /* Once more on command; by itself it would not. */
    assert_int_equal(daemon_model_count(daemon, "season", "jobs"), 1);
    assert_int_equal(count_outcomes(heard, "season"), 1);
    daemon_command(daemon, "{\"cmd\":\"retrain\",\"model\":\"season\"}");
    int step = FIRST + LIVE;
    int64_t until = scenario_now() + 1000 * scenario_count(60, 300);
    while (count_outcomes(heard, "season") == 1) {
        if (scenario_now() > until)
            fail_msg("the training by command has no outcome");
        /* Ticks do not wait for it. */
        if (step < MAX_STEPS - 50)
            feed(socket, heard, step, step + 1);
        step += step < MAX_STEPS - 50;
        heard_next(heard, 2);
    }
    assert_true(step > FIRST + LIVE + 20);
    assert_int_equal(daemon_model_count(daemon, "season", "jobs"), 2);
    model = daemon_model(daemon, "season");
    assert_true(json_is_real(json_object_get(json_object_get(model, "latest"), "champion_loss")));
    json_decref(model);
    feed(socket, heard, step, step + 50);
    check_sources(heard, "season", FIRST + LIVE, step + 50, WIRE_SOURCE_NETWORK);
    heard_free(heard);
    daemon_free(&daemon);
}

int main(void) {
    scenario_begin(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_learning, scenario_teardown),
    };
    return cmocka_run_group_tests_name("learning", tests, make_series, NULL);
}
