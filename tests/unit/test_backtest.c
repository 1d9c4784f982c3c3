/* A backtest: the daemon's own path, what it scores, that it never peeks, and what it says of bad input. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/backtest_run.h"
#include "engine/forecaster.h"
#include "engine/pooled.h"
#include "engine/random.h"
#include "engine/retraining.h"
#include "engine/series.h"
#include "engine/training.h"
#include "engine/version_file.h"
#include "engine/windows.h"
#include "tests/support/floats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 700, FEATURES = 2, HORIZON = 4, TRAIN = 200, VALID = 50, LEVELS = 2 };

static const char configuration[] =
    "streams:\n"
    "  - {class: c, pattern: '*', features: [a, b], history: 300}\n"
    "models:\n"
    "  - name: m\n"
    "    class: c\n"
    "    horizon: 4\n"
    "    period: 12\n"
    "    layers: [{lstm: 6}]\n"
    "    retrain_every: 120s\n"
    "    training: {window: 32, burn_in: 4, unroll: 16, batch: 8, epochs: 4,\n"
    "               min_steps: 150, learning_rate: 0.01, first_after: 250, margin: 0%}\n";

/* All that is said at a step: the forecast, its intervals, each expert's own. */
struct said {
    double mean[HORIZON * FEATURES], lower[LEVELS * HORIZON * FEATURES], upper[LEVELS * HORIZON * FEATURES];
    double experts[EXPERT_COUNT][HORIZON * FEATURES];
};

struct fixture {
    struct config *config;
    struct backtest_stream stream;
    int64_t t[ROWS];
    double values[ROWS * FEATURES];
    struct said said[ROWS]; /* what each step said; NaN: nothing */
    struct backtest_setup setup;
    struct backtest_result result;
};

static const int horizons[] = {1, 3, 4};

static double wave(int row, int feature) {
    return 10 * feature + sin(0.5236 * row + feature) * (1 + 0.3 * sin(0.21 * row)) + 0.3 * sin(1.7 * row * row);
}

static void note(void *context, int stream, uint64_t step, const struct backtest_said *said) {
    struct fixture *f = context;
    struct said *at = &f->said[step - 1];
    assert_int_equal(stream, 0);
    memcpy(at->mean, said->published, sizeof at->mean);
    memcpy(at->lower, said->lower, sizeof at->lower);
    memcpy(at->upper, said->upper, sizeof at->upper);
    for (int e = 0; e < EXPERT_COUNT; e++)
        memcpy(at->experts[e], said->experts[e], sizeof at->experts[e]);
}

/* The same of a forecaster that was driven by hand. */
static void take(struct said *said, const struct config_model *model, struct forecaster *forecaster, int slot) {
    const struct forecast *forecast = forecaster_latest(forecaster, slot);
    memcpy(said->mean, forecast->mean, sizeof said->mean);
    forecast_intervals(model, forecast, said->lower, said->upper);
    for (int e = 0; e < EXPERT_COUNT; e++)
        memcpy(said->experts[e], forecaster_expert(forecaster, (enum expert)e), sizeof said->experts[e]);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct error err;
    if (config_parse("text", (const uint8_t *)configuration, strlen(configuration), &f->config, &err) != 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < ROWS; i++) {
        f->t[i] = 1000000000LL * (i + 1);
        for (int k = 0; k < FEATURES; k++)
            f->values[i * FEATURES + k] = wave(i, k);
    }
    f->stream =
        (struct backtest_stream){.name = (char *)"s", .path = "s.csv", .t = f->t, .values = f->values, .n = ROWS};
    f->setup = (struct backtest_setup){.class = &f->config->classes[0],
                                       .model = &f->config->models[0],
                                       .streams = &f->stream,
                                       .n_streams = 1,
                                       .horizons = horizons,
                                       .n_horizons = 3,
                                       .train = TRAIN,
                                       .valid = VALID,
                                       .online = UINT64_MAX,
                                       .said = note,
                                       .context = f};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    backtest_result_fini(&f->result);
    config_free(f->config);
    free(f);
    return 0;
}

static void run(struct fixture *f) {
    struct error err;
    backtest_result_fini(&f->result);
    memset(f->said, 0xff, sizeof f->said); /* NaNs */
    if (backtest_run(&f->setup, &f->result, &err) != 0)
        fail_msg("%s", err.text);
}

static int promoted(const struct fixture *f) {
    int n = 0;
    for (int i = 0; i < f->result.n_decisions; i++)
        n += !f->result.decisions[i].failed && f->result.decisions[i].decision == PROMOTION_PROMOTE;
    return n;
}

/* ---- the daemon's path ------------------------------------------------------------------------- */

/* What the daemon's threads do of one stream, written down once more; what is said goes to said. */
static void drive_by_hand(const struct fixture *f, struct said *said) {
    const struct config_class *class = &f->config->classes[0];
    const struct config_model *model = &f->config->models[0];
    struct series *series = series_new(&class->time, FEATURES, class->history, class->pending);
    struct forecaster *forecaster = forecaster_new(class, model, kernels_choose());
    struct version *champion = NULL;
    struct retraining retraining = {0};
    forecaster_acquire(forecaster, 3, series->history); /* which slot makes no difference */
    for (int i = 0; i < ROWS; i++) {
        enum time_verdict verdict;
        int slot = 3;
        struct error err;
        assert_int_equal(series_take(series, f->t[i], f->values + i * FEATURES, &verdict), 1);
        forecaster_advance(forecaster, &slot, 1);
        take(&said[i], model, forecaster, slot);
        uint64_t steps = series->history->n;
        if (retraining_due(&retraining, model, champion != NULL, steps, f->t[i]) == RETRAINING_NOT_DUE)
            continue;
        retraining_begin(&retraining, steps, f->t[i]);
        retraining.busy = false;
        int kept = (int)steps < class->history ? (int)steps : class->history;
        struct windows *windows = windows_new(model, model->training.max_windows, 1, kept);
        struct windows_cursor cursor;
        if (windows_begin(&cursor, model, "s", series->history, forecaster_seen(forecaster, slot)))
            while (windows_copy(windows, &cursor, series->history, forecaster_scalers(forecaster, slot)))
                ;
        struct training_outcome outcome;
        assert_int_equal(training_run(model, kernels_choose(), &windows, 1,
                                      champion != NULL ? version_network(champion) : NULL, NULL, &outcome, &err),
                         0);
        windows_free(windows);
        const struct promotion_rules rules = promotion_rules_of(model);
        enum promotion decision = promotion_decide(&outcome.losses, &rules).decision;
        if (decision != PROMOTION_PROMOTE && decision != PROMOTION_DEMOTE) {
            training_outcome_fini(&outcome);
            continue;
        }
        struct network *network = decision == PROMOTION_PROMOTE ? outcome.challenger : NULL;
        struct version *version = version_new(champion != NULL ? version_number(champion) + 1 : 1, network);
        version_set_ridge(version, outcome.ridge);
        if (network == NULL)
            network_free(outcome.challenger);
        version_release(champion);
        champion = version;
        assert_int_equal(forecaster_propose(forecaster, version), 0);
        while (!forecaster_prime(forecaster))
            ;
    }
    version_release(champion);
    forecaster_free(forecaster);
    series_free(series);
}

static void it_is_the_daemons_path_to_the_bit(void **state) {
    struct fixture *f = *state;
    struct said *said = calloc(ROWS, sizeof *said);
    run(f);
    assert_true(f->result.n_decisions >= 3);
    assert_true(promoted(f) >= 1);
    drive_by_hand(f, said);
    for (int i = 0; i < ROWS; i++)
        if (memcmp(&said[i], &f->said[i], sizeof said[i]) != 0)
            fail_msg("step %d: %.17g by hand, %.17g in the backtest", i + 1, said[i].mean[0], f->said[i].mean[0]);
    free(said);
}

/* ---- a daemon's journal ------------------------------------------------------------------------ */

static FILE *journal;

static struct version *write_version(const struct config_class *class, const struct config_model *model,
                                     uint64_t number, bool with_network) {
    struct error err;
    char path[64], *made_for = version_file_model(model, class, &err);
    struct network *network = with_network ? forecaster_network(model, &err) : NULL;
    if (network != NULL)
        network_init_weights(network, number);
    struct version *version = version_new(number, network);
    if (with_network && number % 2 == 1) {
        struct rng rng = {number};
        version_set_ridge(version, floats_random(&rng, pooled_size(model), 0.02));
    }
    snprintf(path, sizeof path, "/tmp/test_backtest.%d-m-%d.version", (int)getpid(), (int)number);
    assert_int_equal(version_file_write(path, model, version, made_for, "{}", &err), 0);
    fprintf(journal, "{\"model\": \"m\", \"version\": %d, \"file\": \"%s\"}\n", (int)number, strrchr(path, '/') + 1);
    free(made_for);
    return version;
}

/* Versions take over now at once, now in slices while steps come, and at last there is none. Writes the journal. */
static void take_over_by_hand(const struct fixture *f, const char *path, struct said *said) {
    static const struct {
        /* The row behind which it is proposed, and how many steps there are between two slices; 0: all at once. */
        int at, every;
    } plan[] = {{-1, 0}, {100, 0}, {250, 1}, {400, 2}, {560, 0}, {590, 1}};
    enum { N = sizeof plan / sizeof *plan };
    const struct config_class *class = &f->config->classes[0];
    const struct config_model *model = &f->config->models[0];
    struct series *series = series_new(&class->time, FEATURES, class->history, class->pending);
    struct forecaster *forecaster = forecaster_new(class, model, kernels_choose());
    int slot = 2, next = 0, n;
    journal = fopen(path, "w");
    fputs("{\"model\": \"another\", \"version\": 1, \"params\": null}\n", journal);
    for (int i = -1; i < ROWS; i++) {
        enum time_verdict verdict;
        if (i == 0)
            forecaster_acquire(forecaster, slot, series->history);
        if (i >= 0) {
            assert_int_equal(series_take(series, f->t[i], f->values + i * FEATURES, &verdict), 1);
            forecaster_advance(forecaster, &slot, 1);
            take(&said[i], model, forecaster, slot);
        }
        if (next < N && plan[next].at == i) {
            struct version *version = write_version(class, model, (uint64_t)next + 1, next != 4);
            assert_int_equal(forecaster_propose(forecaster, version), 0);
            version_release(version);
            next++;
        }
        int every = next > 0 ? plan[next - 1].every : 0;
        while (forecaster_taking_over(forecaster) && (every == 0 || i % every == 0))
            if (forecaster_prime(forecaster) || every != 0)
                break;
        const struct takeover *takeovers = forecaster_takeovers(forecaster, &n);
        for (int k = 0; k < n; k++)
            fprintf(journal,
                    "{\"stream\": \"s\", \"generation\": 3, \"model\": \"m\", \"version\": %d, \"began\": %d, "
                    "\"step\": %d}\n{\"stream\": \"s\", \"generation\": 4, \"model\": \"m\", \"version\": 1, "
                    "\"began\": 1, \"step\": 1}\n",
                    (int)takeovers[k].version, (int)takeovers[k].began, (int)takeovers[k].step);
    }
    assert_int_equal(next, N);
    assert_int_equal(forecaster_version(forecaster), N);
    fclose(journal);
    forecaster_free(forecaster);
    series_free(series);
}

static void a_journal_is_followed_to_the_bit(void **state) {
    struct fixture *f = *state;
    struct said *said = calloc(ROWS, sizeof *said);
    struct error err;
    char path[64], command[96];
    snprintf(path, sizeof path, "/tmp/test_backtest.%d", (int)getpid());
    take_over_by_hand(f, path, said);
    f->config->models[0].batch_size = 1;
    f->setup.takeovers = backtest_takeovers_load(path, f->setup.model, &f->config->classes[0], &f->stream, 1, &err);
    if (f->setup.takeovers == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(backtest_takeovers_count(f->setup.takeovers), 6);
    run(f);
    for (int i = 0; i < ROWS; i++)
        if (memcmp(&said[i], &f->said[i], sizeof said[i]) != 0)
            fail_msg("step %d: %.17g by hand, %.17g in the backtest", i + 1, said[i].mean[0], f->said[i].mean[0]);
    backtest_takeovers_free(f->setup.takeovers);

    /* A journal with a hole is of no use. */
    journal = fopen(path, "a");
    fputs("{\"lost\": 7}\n", journal);
    fclose(journal);
    assert_null(backtest_takeovers_load(path, f->setup.model, &f->config->classes[0], &f->stream, 1, &err));
    assert_non_null(strstr(err.text, "the daemon had no room for 7 lines"));
    journal = fopen(path, "w");
    fputs("{\"stream\": \"s\", \"generation\": 1, \"model\": \"m\", \"version\": 9, \"began\": 1, \"step\": 2}\n",
          journal);
    fclose(journal);
    assert_null(backtest_takeovers_load(path, f->setup.model, &f->config->classes[0], &f->stream, 1, &err));
    assert_non_null(strstr(err.text, ":1: this takeover is of a version that no line before it tells of"));
    snprintf(command, sizeof command, "rm -f %s*", path);
    assert_int_equal(system(command), 0);
    free(said);
}

/* ---- no answer before its time ----------------------------------------------------------------- */

/*
 * The guard: what is said up to a row must not depend on the rows behind it. They are made enormous, and everything
 * is run again; returns the first row at which the two runs differ, or ROWS.
 */
static int first_leak(struct fixture *f, int poisoned_from, void (*feed)(struct fixture *f, const double *values)) {
    struct said *said = calloc(ROWS, sizeof *said);
    double values[ROWS * FEATURES];
    for (int i = 0; i < ROWS * FEATURES; i++)
        values[i] = wave(i / FEATURES, i % FEATURES);
    feed(f, values);
    run(f);
    memcpy(said, f->said, sizeof f->said);
    for (int i = poisoned_from * FEATURES; i < ROWS * FEATURES; i++)
        values[i] = 1e12 * (i % 2 ? 1 : -1);
    feed(f, values);
    run(f);
    int row = 0;
    while (row < poisoned_from && memcmp(&said[row], &f->said[row], sizeof said[row]) == 0)
        row++;
    free(said);
    return row;
}

static void feed_honestly(struct fixture *f, const double *values) {
    memcpy(f->values, values, sizeof f->values);
}

/* The planted leak: the target's value of each row is that of the row behind it, a label one step early. */
static void feed_labels_early(struct fixture *f, const double *values) {
    memcpy(f->values, values, sizeof f->values);
    for (int i = 0; i + 1 < ROWS; i++)
        f->values[i * FEATURES] = values[(i + 1) * FEATURES];
}

static void the_future_changes_nothing(void **state) {
    struct fixture *f = *state;
    static const int from[] = {TRAIN, 251, 400, 650}; /* 250 steps are the first job's */
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        assert_int_equal(first_leak(f, from[i], feed_honestly), from[i]);
}

static void a_planted_leak_is_caught(void **state) {
    struct fixture *f = *state;
    assert_int_equal(first_leak(f, 400, feed_labels_early), 399);
}

/* Steps that wait in the history are the future of those before them. */
static void waiting_steps_change_nothing(void **state) {
    struct fixture *f = *state;
    const struct config_class *class = &f->config->classes[0];
    struct said *said = calloc(ROWS, sizeof *said);
    f->setup.no_network = true;
    run(f);
    struct series *series = series_new(&class->time, FEATURES, class->history, class->pending);
    struct forecaster *forecaster = forecaster_new(class, &f->config->models[0], kernels_choose());
    int slot = 0, appended = 0;
    forecaster_acquire(forecaster, slot, series->history);
    for (int i = 0; i < ROWS; i++) {
        enum time_verdict verdict;
        for (; appended < ROWS && appended <= i / 50 * 50 + 50; appended++)
            series_take(series, f->t[appended], f->values + appended * FEATURES, &verdict);
        forecaster_advance(forecaster, &slot, 1);
        take(&said[i], &f->config->models[0], forecaster, slot);
        if (memcmp(&said[i], &f->said[i], sizeof said[i]) != 0)
            fail_msg("step %d differs when the steps behind it are there already", i + 1);
    }
    forecaster_free(forecaster);
    series_free(series);
    free(said);
}

/* ---- scores ------------------------------------------------------------------------------------ */

static void assert_near(double got, double expected) {
    if (!(fabs(got - expected) <= 1e-9 * (1 + fabs(expected))))
        fail_msg("%.17g is not %.17g", got, expected);
}

static void errors_are_those_of_the_definition(void **state) {
    struct fixture *f = *state;
    f->values[300 * FEATURES] = NAN; /* a missing answer is not scored */
    f->setup.online = 300;
    run(f);
    assert_int_equal(f->result.steps, TRAIN + VALID + 300);
    double deviation[FEATURES], change[FEATURES];
    for (int k = 0; k < FEATURES; k++) {
        double mean = 0, squares = 0, changes = 0;
        for (int i = 0; i < TRAIN; i++)
            mean += f->values[i * FEATURES + k] / TRAIN;
        for (int i = 0; i < TRAIN; i++)
            squares += pow(f->values[i * FEATURES + k] - mean, 2) / TRAIN;
        for (int i = 1; i < TRAIN; i++)
            changes += fabs(f->values[i * FEATURES + k] - f->values[(i - 1) * FEATURES + k]) / (TRAIN - 1);
        deviation[k] = sqrt(squares);
        change[k] = changes;
    }
    int end = TRAIN + VALID + 300;
    for (int i = 0; i < 3; i++) {
        double mse = 0, mae = 0, mase = 0, raw = 0, last = 0, held = 0, width = 0;
        uint64_t n = 0, intervals = 0;
        for (int row = TRAIN + VALID; row + horizons[i] < end; row++)
            for (int h = 1; h <= horizons[i]; h++)
                for (int k = 0; k < FEATURES; k++) {
                    double value = f->values[(row + h) * FEATURES + k];
                    double error = f->said[row].mean[(h - 1) * FEATURES + k] - value;
                    double known = f->values[(row == 300 && k == 0 ? 299 : row) * FEATURES + k];
                    if (isnan(value))
                        continue;
                    n++;
                    mse += pow(error / deviation[k], 2);
                    mae += fabs(error / deviation[k]);
                    mase += fabs(error) / change[k];
                    raw += fabs(error);
                    last += pow((known - value) / deviation[k], 2);
                    double lower = f->said[row].lower[((size_t)HORIZON + (size_t)h - 1) * FEATURES + (size_t)k];
                    double upper = f->said[row].upper[((size_t)HORIZON + (size_t)h - 1) * FEATURES + (size_t)k];
                    if (isnan(lower))
                        continue;
                    intervals++;
                    held += lower <= value && value <= upper;
                    width += (upper - lower) / deviation[k];
                }
        struct backtest_errors errors = backtest_scores_of(f->result.scores, i, -1, -1);
        assert_int_equal(errors.n, n);
        assert_near(errors.mse, mse / (double)n);
        assert_near(errors.mae, mae / (double)n);
        assert_near(errors.mase, mase / (double)n);
        assert_near(errors.raw_mae, raw / (double)n);
        assert_near(errors.coverage[1], held / (double)intervals);
        assert_near(errors.width[1], width / (double)intervals);
        assert_near(backtest_scores_of(f->result.scores, i, EXPERT_LAST_VALUE, -1).mse, last / (double)n);
    }
}

/* Steps are the time policy's, not the file's rows; what is late or repeated is counted. */
static void steps_are_those_of_the_class(void **state) {
    struct fixture *f = *state;
    f->setup.no_network = true;
    f->t[500] = f->t[499];
    f->t[501] = f->t[300];
    run(f);
    assert_int_equal(f->result.refused, 2);
    assert_int_equal(f->result.steps, ROWS - 2);
    assert_int_equal(f->result.most, ROWS - 2);
    f->config->classes[0].time.every = 2 * 1000000000LL;
    run(f);
    /* Seconds 1 to ROWS in intervals of two, the last of which stays open; what is late for one is refused. */
    assert_int_equal(f->result.steps, ROWS / 2);
    assert_int_equal(f->result.most, ROWS / 2);
    assert_int_equal(backtest_scores_of(f->result.scores, 0, -1, 0).n, ROWS / 2 - TRAIN - VALID - 1);
}

static void several_streams_share_a_model(void **state) {
    struct fixture *f = *state;
    struct backtest_stream streams[3];
    double *values = malloc(3 * sizeof f->values);
    for (int s = 0; s < 3; s++) {
        streams[s] = f->stream;
        streams[s].name = (char *)(s == 0 ? "s" : s == 1 ? "x" : "y");
        streams[s].n = (size_t)(ROWS - 100 * s);
        streams[s].values = values + s * ROWS * FEATURES;
        for (int i = 0; i < ROWS * FEATURES; i++)
            streams[s].values[i] = wave(i / FEATURES + 5 * s, i % FEATURES) * (1 + s);
    }
    f->setup.streams = streams;
    f->setup.n_streams = 3;
    f->setup.said = NULL;
    f->config->models[0].batch_size = 2; /* and two batches */
    run(f);
    assert_int_equal(f->result.steps, 3 * ROWS - 300);
    assert_int_equal(f->result.least, ROWS - 200);
    assert_int_equal(f->result.most, ROWS);
    uint64_t each = 0;
    for (int s = 0; s < 3; s++)
        each += (uint64_t)(ROWS - 100 * s - TRAIN - VALID - 1) * FEATURES;
    assert_int_equal(backtest_scores_of(f->result.scores, 0, -1, -1).n, each);
    free(values);
}

/* Another law from row 450 on: a job soon, and none by the clock. */
static void drift_brings_a_job(void **state) {
    struct fixture *f = *state;
    f->config->models[0].retrain_every = 0;
    f->config->models[0].training.new_steps = 20;
    run(f);
    assert_int_equal(f->result.decisions[0].step, 250);
    uint64_t before = (uint64_t)f->result.n_decisions;
    for (int i = 450; i < ROWS; i++)
        for (int k = 0; k < FEATURES; k++)
            f->values[i * FEATURES + k] = 10 * k + 20 * ((i * 7919 + k) % 13 - 6) / 6.0;
    f->config->models[0].retrain_on = RETRAIN_ON_DRIFT;
    run(f);
    assert_true((uint64_t)f->result.n_decisions > before);
    uint64_t step = 0;
    for (int i = 1; i < f->result.n_decisions && step == 0; i++)
        step = f->result.decisions[i].live ? 0 : f->result.decisions[i].step;
    if (step < 451 || step > 520)
        fail_msg("the job comes at step %llu", (unsigned long long)step);
}

/* A version that is worse live than what it has replaced: the way back, once. */
static void what_fails_live_is_rolled_back(void **state) {
    struct fixture *f = *state;
    struct config_model *model = &f->config->models[0];
    model->combine = COMBINE_ONLY + EXPERT_NETWORK;
    model->retrain_every = 0;
    /* The season turns into a walk when the version has just been promoted: the baseline is better from then on. */
    double level = 0;
    struct rng rng = {1};
    model->period = 0;
    for (int i = 255; i < ROWS; i++)
        for (int k = 0; k < FEATURES; k++)
            f->values[i * FEATURES + k] = 10 * k + (level += rng_normal(&rng));
    run(f);
    assert_int_equal(f->result.decisions[0].decision, PROMOTION_PROMOTE);
    assert_true(f->result.n_decisions > 1);
    assert_true(f->result.decisions[1].live);
    assert_int_equal(f->result.decisions[1].decision, PROMOTION_ROLL_BACK);
    assert_int_equal(f->result.decisions[1].version, 2);
    assert_true(f->result.decisions[1].loss < f->result.decisions[1].other_loss);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_the_daemons_path_to_the_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_journal_is_followed_to_the_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(the_future_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_planted_leak_is_caught, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_steps_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_are_those_of_the_definition, setup, teardown),
        cmocka_unit_test_setup_teardown(drift_brings_a_job, setup, teardown),
        cmocka_unit_test_setup_teardown(what_fails_live_is_rolled_back, setup, teardown),
        cmocka_unit_test_setup_teardown(steps_are_those_of_the_class, setup, teardown),
        cmocka_unit_test_setup_teardown(several_streams_share_a_model, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
