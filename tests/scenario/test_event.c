/*
 * Events: ticks come, and later, apart from them, what they turned out to be; a model learns from that, and then says
 * of each tick how likely it is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/libforecast/forecast.h"
#include "engine/random.h"
#include "tests/support/daemon.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_STREAMS = 4, FIRST = 600, LIVE = 400, LATE = 30, WAIT = 20000 };

static const char configuration[] = "streams:\n"
                                    "  - {class: card, pattern: \"card/*\", features: [amount, distance]}\n"
                                    "models:\n"
                                    "  - name: fraud\n"
                                    "    class: card\n"
                                    "    head: event\n"
                                    "    layers: [{lstm: 8}]\n"
                                    "    retrain_every: 0s\n"
                                    "    training: {window: 64, burn_in: 8, unroll: 32, batch: 16, epochs: 30,\n"
                                    "               learning_rate: 0.01, first_after: 100000}\n";

struct tick {
    double values[2];
    int label;
};

/* The label of a tick is 1 where both values are high together, but for one of twenty. */
static struct tick tick_of(int stream, int step) {
    struct rng rng = {.state = (uint64_t)(stream * 100000 + step)};
    struct tick tick = {.values = {100 + 20 * rng_normal(&rng), 5 + rng_normal(&rng)}};
    tick.label = (tick.values[0] > 100 && tick.values[1] > 5) != (rng_uniform(&rng) < 0.05);
    return tick;
}

static int64_t time_of(int step) {
    return INT64_C(1700000000000000000) + step * INT64_C(1000000000);
}

/* Ticks of steps [from, to), each step's labels LATE steps later. */
static void feed(struct forecast_feed *feed, int from, int to) {
    for (int step = from; step < to; step++)
        for (int s = 0; s < N_STREAMS; s++) {
            char name[16];
            snprintf(name, sizeof name, "card/%d", s);
            const struct tick tick = tick_of(s, step), before = tick_of(s, step - LATE);
            assert_int_equal(forecast_feed_send(feed, name, time_of(step), tick.values, 2, WAIT), FORECAST_OK);
            if (step >= LATE)
                assert_int_equal(forecast_feed_label(feed, name, time_of(step - LATE), before.label, WAIT),
                                 FORECAST_OK);
        }
}

/* Feeds steps until the version serves all streams. Returns the next step. */
static int await_version(struct forecast_feed *ticks, struct forecast_subscription *subscription) {
    struct forecast_message message;
    for (int step = FIRST;; step++) {
        int heard = 0, served = 0;
        assert_true(step < FIRST + 1000);
        feed(ticks, step, step + 1);
        while (heard < N_STREAMS) {
            assert_int_equal(forecast_subscription_next(subscription, WAIT, &message), FORECAST_OK);
            if (message.forecast == NULL || message.forecast->step != (uint64_t)step + 1)
                continue;
            heard++;
            served += message.forecast->version > 0 && message.forecast->n_outputs > 0;
        }
        if (served == N_STREAMS)
            return step + 1;
        scenario_sleep(10);
    }
}

/* Control tells what the probabilities were worth, too. */
static void expect_scores_of_labels(struct daemon *daemon) {
    json_t *reply = daemon_ask(daemon, "{\"cmd\":\"scores\",\"stream\":\"card/1\",\"model\":\"fraud\"}");
    const json_t *labels = json_object_get(reply, "labels"), *recent = json_object_get(labels, "recent");
    assert_true(json_integer_value(json_object_get(labels, "n")) > FIRST + LIVE - LATE - 10);
    assert_true(json_number_value(json_object_get(json_object_get(labels, "all"), "accuracy")) > 0.7);
    assert_true(json_number_value(json_object_get(recent, "brier")) < 0.2);
    assert_int_equal(json_array_size(json_object_get(reply, "scores")), 0);
    json_decref(reply);
}

/* The shares of the labels were published and scored, then what the network said, which was better. */
static void expect_better(const char *stream, const struct forecast_labels *before,
                          const struct forecast_labels *all) {
    double n = (double)(all->n - before->n);
    double accuracy = (all->accuracy_all * (double)all->n - before->accuracy_all * (double)before->n) / n;
    double brier = (all->brier_all * (double)all->n - before->brier_all * (double)before->n) / n;
    print_message("%s: %llu labels, accuracy %.3f, Brier score %.3f; %.0f more, %.3f, %.3f\n", stream,
                  (unsigned long long)before->n, before->accuracy_all, before->brier_all, n, accuracy, brier);
    assert_true(before->n > FIRST - LATE - 10 && before->accuracy_all < 0.8 && before->brier_all > 0.17);
    assert_true(accuracy > 0.85 && brier < 0.12);
}

static void it_learns_from_labels_that_come_later(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.rest = configuration});
    struct forecast_feed *ticks;
    struct forecast_subscription *subscription;
    struct forecast_message message;
    assert_int_equal(forecast_feed_open(daemon->ticks, 0, &ticks), FORECAST_OK);
    feed(ticks, 0, FIRST);
    daemon_expect_count(daemon, "ticks.taken", N_STREAMS * FIRST);
    daemon_expect_count(daemon, "ticks.labels", N_STREAMS * (FIRST - LATE));
    daemon_expect_count(daemon, "steps", N_STREAMS * FIRST);

    assert_int_equal(forecast_subscription_open(daemon->forecasts, 0, &subscription), FORECAST_OK);
    assert_int_equal(forecast_subscription_events(subscription, "promoted"), FORECAST_OK);
    daemon_await_count(daemon, "forecasts.subscriptions", 1);
    daemon_command(daemon, "{\"cmd\":\"retrain\",\"model\":\"fraud\"}");
    do
        assert_int_equal(forecast_subscription_next(subscription, WAIT, &message), FORECAST_OK);
    while (message.event == NULL);
    print_message("%s\n", message.event->json);

    assert_int_equal(forecast_subscription_forecasts(subscription, "fraud", NULL), FORECAST_OK);
    daemon_await_count(daemon, "forecasts.subscriptions", 2);
    int begun = await_version(ticks, subscription);
    feed(ticks, begun, begun + LIVE);
    struct forecast_labels before[N_STREAMS];
    int right = 0, n = 0, last = 0;
    while (last < N_STREAMS) {
        assert_int_equal(forecast_subscription_next(subscription, WAIT, &message), FORECAST_OK);
        const struct forecast *forecast = message.forecast;
        if (forecast == NULL || (forecast->flags & FORECAST_FLAG_LAST) != 0)
            continue;
        if (forecast->version > 0 && forecast->n_outputs > 0) {
            assert_true(forecast->n_outputs == 1 && forecast->outputs[0].width == 1 && forecast->n_targets == 0);
            float p = forecast->outputs[0].at[0];
            assert_true(p >= 0 && p <= 1);
            int step = (int)((forecast->t - time_of(0)) / INT64_C(1000000000));
            right += (p > 0.5f) == tick_of(forecast->stream[5] - '0', step).label;
            n++;
        }
        if (forecast->step == (uint64_t)begun + 1) /* scored so far: what was said without a network, but for a few */
            before[forecast->stream[5] - '0'] = forecast->labels;
        if (forecast->step == (uint64_t)(begun + LIVE)) {
            last++;
            expect_better(forecast->stream, &before[forecast->stream[5] - '0'], &forecast->labels);
            assert_int_equal(forecast->labels.n, begun + LIVE - LATE - 1);
        }
    }
    print_message("%d of %d right\n", right, n);
    assert_true(n >= N_STREAMS * LIVE && right > 0.85 * n);

    expect_scores_of_labels(daemon);

    /* Of no step, and of no class. */
    assert_int_equal(forecast_feed_label(ticks, "card/1", time_of(100000), 1, WAIT), FORECAST_OK);
    assert_int_equal(forecast_feed_label(ticks, "card/1", time_of(FIRST), 2, WAIT), FORECAST_OK);
    daemon_expect_count(daemon, "ticks.refused.label", 2);
    forecast_feed_close(&ticks, WAIT);
    forecast_subscription_close(&subscription);
    daemon_free(&daemon);
}

/* ---- the command -------------------------------------------------------------------------------- */

/* What `forecast feed`, through a socket of ticks, says of the file holds the text. */
static void run_feed_to(const struct daemon *daemon, const char *ticks, const char *csv, const char *options,
                        const char *wanted) {
    char command[1024], text[1024] = "";
    const char *build = getenv("BUILD");
    snprintf(command, sizeof command, "%s/forecast feed --ticks %s --control %s --csv %s %s 2>&1",
             build != NULL && *build != '\0' ? build : "build", ticks, daemon->control, csv, options);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    size_t n = fread(text, 1, sizeof text - 1, out);
    assert_int_equal(pclose(out), 0);
    text[n] = '\0';
    if (strstr(text, wanted) == NULL)
        fail_msg("not \"%s\": %s", wanted, text);
}

static void run_feed(const struct daemon *daemon, const char *csv, const char *options, const char *wanted) {
    char of_stream[256];
    snprintf(of_stream, sizeof of_stream, "--stream card/7 %s", options);
    run_feed_to(daemon, daemon->ticks, csv, of_stream, wanted);
}

/* Ticks with the labels of two of three, which come four rows later; and those that become known afterwards. */
static void the_command_tells_labels(void **state) {
    (void)state;
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.rest = configuration});
    char csv[160];
    snprintf(csv, sizeof csv, "%s/x.csv", daemon->directory);
    FILE *file = fopen(csv, "w");
    fputs("time,amount,distance,fraud,found\n", file);
    for (int i = 0; i < 30; i++)
        fprintf(file, "%d,%d,%d,%s,%s\n", 1700000000 + i, i, 2 * i,
                i % 3 == 0 ? ""
                : i % 2    ? "1"
                           : "0",
                i % 3 == 0 ? "1" : "");
    assert_int_equal(fclose(file), 0);
    run_feed(daemon, csv, "--label fraud --label-after 4", "sent 30 ticks and 20 labels");
    daemon_expect_count(daemon, "steps", 30);
    daemon_expect_count(daemon, "ticks.labels", 20);
    run_feed(daemon, csv, "--label found --labels-only", "sent 0 ticks and 10 labels");
    daemon_expect_count(daemon, "ticks.labels", 30);
    daemon_expect_count(daemon, "ticks.refused.label", 0);
    run_feed(daemon, csv, "--label distance --labels-only",
             "the daemon refused 29 ticks or labels meanwhile: label 29");
    unlink(csv);
    daemon_free(&daemon);
}

/* Labels that come when the daemon has begun anew, and their streams are on disk; of one there is none. */
static void labels_come_behind_a_restart(void **state) {
    (void)state;
    enum { ROWS = 30, STREAMS = 3 };
    struct daemon *daemon = daemon_run(&(struct daemon_setup){.rest = configuration, .durable = true});
    char csv[160], unknown[160];
    snprintf(csv, sizeof csv, "%s/x.csv", daemon->directory);
    snprintf(unknown, sizeof unknown, "%s/y.csv", daemon->directory);
    FILE *file = fopen(csv, "w"), *of_none = fopen(unknown, "w");
    fputs("time,card,amount,distance,found\n", file);
    fputs("time,card,amount,distance,found\n", of_none);
    for (int i = 0; i < ROWS; i++) {
        fprintf(file, "%d,card/%d,%d,%d,%d\n", 1700000000 + i, i % STREAMS, i, 2 * i, i % 2);
        fprintf(of_none, "%d,card/none,%d,%d,%d\n", 1700000000 + i, i, 2 * i, i % 2);
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(fclose(of_none), 0);
    run_feed_to(daemon, daemon->acknowledged, csv, "--ack --stream-column card --columns amount,distance",
                "30 ticks are acknowledged");
    daemon_stop(daemon);
    daemon_start(daemon);
    run_feed_to(daemon, daemon->acknowledged, csv,
                "--ack --producer found --stream-column card --label found --labels-only",
                "30 ticks are acknowledged");
    daemon_expect_count(daemon, "ticks.labels", ROWS);
    daemon_expect_count(daemon, "ticks.refused.label", 0);
    daemon_expect_count(daemon, "streams", STREAMS);
    run_feed_to(daemon, daemon->acknowledged, unknown, "--ack --stream-column card --label found --labels-only",
                "the daemon refused 30 of them: label 30");
    daemon_expect_count(daemon, "ticks.refused.label", ROWS);
    daemon_expect_count(daemon, "streams", STREAMS);
    unlink(csv);
    unlink(unknown);
    daemon_free(&daemon);
}

int main(void) {
    scenario_begin(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_learns_from_labels_that_come_later, scenario_teardown),
        cmocka_unit_test_teardown(the_command_tells_labels, scenario_teardown),
        cmocka_unit_test_teardown(labels_come_behind_a_restart, scenario_teardown),
    };
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
