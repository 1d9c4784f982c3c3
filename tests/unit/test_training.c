#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/keras/keras.h"
#include "engine/optimizer.h"
#include "engine/random.h"
#include "engine/training.h"
#include "tests/support/floats.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- streams -------------------------------------------------------------------------------- */

enum { SINE_PERIOD = 20 };

/* A noisy sine of one feature, with a phase of its own. */
static double sine(struct rng *rng, int stream, int step) {
    return 5 + 3 * sin(2 * 3.14159265358979 * (step + 7 * stream) / SINE_PERIOD) + 0.2 * rng_normal(rng);
}

struct streams {
    int n, steps; /* streams, steps of each; every second stream has half as many */
    double (*value)(struct rng *rng, int stream, int step);
};

static void add_stream(struct windows *windows, const struct config_model *model, const struct streams *streams,
                       int s) {
    struct rng rng = {(uint64_t)s + 1};
    struct scaler scaler = {0};
    struct windows_cursor cursor;
    char name[16];
    int steps = s % 2 ? streams->steps / 2 : streams->steps;
    struct history *history = history_new(1, streams->steps, FIXTURE_PENDING);
    for (int step = 1; step <= steps; step++) {
        double value = streams->value(&rng, s, step);
        history_append(history, step, &value, false);
        scaler_update(&scaler, value);
    }
    snprintf(name, sizeof name, "%d", s);
    if (windows_begin(&cursor, model, name, history, (uint64_t)steps))
        while (windows_copy(windows, &cursor, history, &scaler))
            ;
    history_free(history);
}

/* Who serves then, of forecasts one step ahead. */
static enum promotion decide(const struct promotion_losses *losses, double margin) {
    const struct promotion_rules rules = {.horizon = 1, .margin = margin, .beat_baseline = true};
    return promotion_decide(losses, &rules).decision;
}

/* Two sets, as two workers would fill them. */
static void collect(struct windows *sets[2], const struct config_model *model, const struct streams *streams) {
    for (int i = 0; i < 2; i++)
        sets[i] = windows_new(model, 1000, 8, 1);
    for (int s = 0; s < streams->n; s++)
        add_stream(sets[s % 2], model, streams, s);
}

static struct training_outcome run(const struct config_model *model, const struct streams *streams,
                                   const struct network *champion, const struct training_watch *watch) {
    struct windows *sets[2];
    struct training_outcome outcome = {0};
    struct error err;
    collect(sets, model, streams);
    assert_int_equal(training_run(model, kernels_choose(), sets, 2, champion, watch, &outcome, &err), 0);
    windows_free(sets[0]);
    windows_free(sets[1]);
    return outcome;
}

static void sine_fixture(struct fixture *fixture) {
    fixture_init(fixture, 1);
    struct config_model *model = &fixture->model;
    model->experts = EXPERTS_FULL; /* else there are coefficients of a pooled ridge, too */
    model->n_layers = 1;
    fixture->layers[0].units = 8;
    model->period = 0;
    model->training.window = 48;
    model->training.burn_in = 8;
    model->training.unroll = 16;
    model->training.batch = 4;
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* Of how many of the steps of a new stream the network's own interval for the step before holds the value, and how wide it is,
 * for each level. */
static void try_intervals(struct fixture *fixture, struct network *network, double *ret_held, double *ret_width) {
    enum { STEPS = 3000, WARM = 200 };
    const struct config_model *model = &fixture->model;
    struct forecaster *f = forecaster_new(&fixture->class, model, kernels_choose());
    struct version *version = version_new(1, network);
    struct history *history = history_new(1, fixture->class.history, FIXTURE_PENDING);
    struct rng rng = {99};
    double bounds[2][CONFIG_MAX_LEVELS];
    assert_int_equal(forecaster_propose(f, version), 0);
    while (!forecaster_prime(f))
        ;
    forecaster_acquire(f, 0, history);
    for (int step = 1; step <= STEPS; step++) {
        double value = sine(&rng, 3, step);
        for (int level = 0; step > WARM && level < model->n_levels; level++) {
            ret_held[level] += (value >= bounds[0][level] && value <= bounds[1][level]) / (double)(STEPS - WARM);
            ret_width[level] += (bounds[1][level] - bounds[0][level]) / (STEPS - WARM);
        }
        history_append(history, step, &value, 0);
        forecaster_advance(f, (const int[]){0}, 1);
        const struct forecast *forecast = forecaster_latest(f, 0);
        assert_non_null(forecast->own);
        for (int level = 0; level < model->n_levels; level++) {
            int at = level * model->horizon * model->n_targets;
            bounds[0][level] = forecast->mean[0] - (double)forecast->own[at];
            bounds[1][level] = forecast->mean[0] + (double)forecast->own[at];
        }
    }
    version_release(version);
    history_free(history);
    forecaster_free(f);
}

/* The noise is normal, of deviation 0.2: 1.35 deviations hold a half of it, 3.29 of it 90 percent. */
static void it_learns_how_sure_it_is(void **state) {
    (void)state;
    const struct streams streams = {6, 400, sine};
    for (int loss = LOSS_QUANTILE; loss <= LOSS_STUDENT_T; loss++) {
        struct fixture fixture;
        sine_fixture(&fixture);
        fixture.model.combine = COMBINE_ONLY + EXPERT_NETWORK;
        fixture.model.training.epochs = 40;
        fixture.model.training.loss = (enum loss)loss;
        fixture.model.n_levels = 2;
        fixture.model.levels[0] = 50;
        fixture.model.levels[1] = 90;
        struct training_outcome outcome = run(&fixture.model, &streams, NULL, NULL);
        assert_non_null(outcome.challenger);
        assert_true(outcome.losses.challenger < 0.6 * outcome.losses.last_value);
        assert_int_equal(decide(&outcome.losses, 0.01), PROMOTION_PROMOTE);
        double held[2] = {0}, width[2] = {0};
        try_intervals(&fixture, outcome.challenger, held, width);
        print_message("loss %d: held %.3f %.3f, width %.3f %.3f\n", loss, held[0], held[1], width[0], width[1]);
        assert_true(fabs(held[0] - 0.5) < 0.1 && fabs(held[1] - 0.9) < 0.05);
        assert_true(width[0] < 2 * 1.35 * 0.2 && width[1] < 2 * 3.29 * 0.2 && width[0] > 0.2 && width[1] > 0.5);
    }
}

static double pure_sine(struct rng *rng, int stream, int step) {
    (void)rng;
    return 5 + 3 * sin(2 * 3.14159265358979 * (step + 7 * stream) / SINE_PERIOD);
}

/* Of a density above one: what begins far below zero has not exploded. */
static void a_likelihood_goes_below_zero(void **state) {
    (void)state;
    const struct streams streams = {6, 400, pure_sine};
    struct fixture fixture;
    sine_fixture(&fixture);
    fixture.model.training.loss = LOSS_GAUSSIAN;
    fixture.model.training.epochs = 60;
    struct training_outcome first = run(&fixture.model, &streams, NULL, NULL);
    print_message("loss %.3f\n", first.training_loss);
    assert_true(first.training_loss < -1.5);
    struct training_outcome second = run(&fixture.model, &streams, first.challenger, NULL);
    assert_non_null(second.challenger);
    network_free(first.challenger);
    network_free(second.challenger);
}

/* 1 while a hidden sine is high, with exceptions. */
static double alarm(struct rng *rng, int stream, int step) {
    bool high = sin(2 * 3.14159265358979 * (step + 7 * stream) / SINE_PERIOD) > 0.3;
    return high != (rng_uniform(rng) < 0.1);
}

/* The scaler, were it to touch the answers, would make them anything but 0 and 1. The Brier score of the best forecast there is
 * is 0.9 times 0.1. */
static void it_learns_a_probability(void **state) {
    (void)state;
    const struct streams streams = {6, 400, alarm};
    struct fixture fixture;
    sine_fixture(&fixture);
    fixture.model.training.loss = LOSS_BINARY_CROSSENTROPY;
    fixture.model.training.epochs = 30;
    fixture.model.residual = false;
    struct training_outcome outcome = run(&fixture.model, &streams, NULL, NULL);
    assert_non_null(outcome.challenger);
    print_message("Brier score %.3f, of the last value %.3f; cross-entropy %.3f\n", outcome.losses.challenger,
                  outcome.losses.last_value, outcome.training_loss);
    assert_true(outcome.losses.challenger < 0.14 && outcome.losses.challenger > 0.08);
    assert_true(outcome.losses.last_value > 0.2 && outcome.training_loss < 0.5);
    network_free(outcome.challenger);
}

static void it_learns_a_noisy_sine(void **state) {
    (void)state;
    const struct streams streams = {6, 400, sine};
    for (int residual = 0; residual < 2; residual++) {
        struct fixture fixture;
        sine_fixture(&fixture);
        fixture.model.residual = residual;
        fixture.model.training.epochs = 12;
        struct training_outcome outcome = run(&fixture.model, &streams, NULL, NULL);
        assert_non_null(outcome.challenger);
        assert_false(outcome.stopped);
        assert_int_equal(outcome.n_validation, 6);
        assert_true(outcome.n_training > 30);
        assert_true(outcome.losses.challenger < 0.3 * outcome.losses.last_value);
        assert_true(outcome.training_loss < 0.3 * outcome.losses.last_value);
        assert_true(isnan(outcome.losses.champion) && isnan(outcome.losses.seasonal));
        assert_int_equal(decide(&outcome.losses, 0.01), PROMOTION_PROMOTE);
        network_free(outcome.challenger);
    }
}

/* The noise has a deviation of about 0.09 of the series': no honest loss is below its square. */
static void it_does_not_learn_what_it_must_not_know(void **state) {
    (void)state;
    const struct streams streams = {2, 200, sine};
    struct fixture fixture;
    sine_fixture(&fixture);
    fixture.model.training.epochs = 40;
    struct training_outcome outcome = run(&fixture.model, &streams, NULL, NULL);
    assert_true(outcome.losses.challenger > 0.7 * 0.2 * 0.2 / (3 * 3 / 2.0 + 0.2 * 0.2));
    network_free(outcome.challenger);
}

static void assert_same_weights(const struct network *a, const struct network *b) {
    assert_memory_equal(network_params_const(a), network_params_const(b), network_n_params(a) * sizeof(float));
}

static void the_same_seed_gives_the_same_bits(void **state) {
    (void)state;
    const struct streams streams = {4, 200, sine};
    struct fixture fixture;
    sine_fixture(&fixture);
    struct training_outcome a = run(&fixture.model, &streams, NULL, NULL);
    struct training_outcome b = run(&fixture.model, &streams, NULL, NULL);
    assert_same_weights(a.challenger, b.challenger);
    assert_memory_equal(&a.losses.challenger, &b.losses.challenger, sizeof a.losses.challenger);
    assert_memory_equal(&a.losses.last_value, &b.losses.last_value, sizeof a.losses.last_value);
    assert_int_equal(a.steps, b.steps);
    fixture.model.seed++;
    struct training_outcome c = run(&fixture.model, &streams, NULL, NULL);
    assert_memory_not_equal(network_params_const(a.challenger), network_params_const(c.challenger),
                            network_n_params(a.challenger) * sizeof(float));
    network_free(a.challenger);
    network_free(b.challenger);
    network_free(c.challenger);
}

/* The challenger begins where the champion stands; the champion, which serves meanwhile, stays as it is. */
static void a_champion_is_the_start(void **state) {
    (void)state;
    const struct streams streams = {4, 300, sine};
    struct fixture fixture;
    sine_fixture(&fixture);
    fixture.model.training.epochs = 8;
    struct training_outcome first = run(&fixture.model, &streams, NULL, NULL);
    struct network *before = network_clone(first.challenger);
    fixture.model.training.epochs = 1;
    struct training_outcome anew = run(&fixture.model, &streams, NULL, NULL);
    struct training_outcome second = run(&fixture.model, &streams, first.challenger, NULL);
    assert_same_weights(before, first.challenger);
    /* It is judged on the same windows, to the same loss. */
    assert_memory_equal(&second.losses.champion, &first.losses.challenger, sizeof first.losses.challenger);
    assert_true(second.losses.challenger < 0.5 * anew.losses.challenger);
    network_free(first.challenger);
    network_free(anew.challenger);
    network_free(second.challenger);
    network_free(before);
}

/* One window's targets at origin `at`, as the loss wants them. */
static void answers_at(const struct config_model *model, const struct window *window, int at, float *answer,
                       float *weight) {
    for (int h = 1; h <= model->horizon; h++, answer++, weight++) {
        bool origin = at >= window->score_from && at + model->horizon < window->n;
        *answer = origin ? window->z[at + h] - window->base[at] : 0;
        *weight = origin ? 1 : 0;
    }
}

/* Truncated back-propagation through time over one window, written down once more: from a zero state at its start,
 * chunks of 16 of its 48 + 3 - 3 steps, the state carried, one step of Adam for each, with a rate that falls
 * to a tenth. */
static void train_by_hand(const struct config_model *model, const struct window *window, struct network *network) {
    struct optimizer_spec spec = optimizer_spec_of(OPTIMIZER_ADAM);
    spec.learning_rate = 0.01;
    spec.clip_norm = 1;
    size_t n_params = network_n_params(network);
    struct optimizer *optimizer = optimizer_new(&spec, n_params);
    struct tape *tape = tape_new(network, 1, 16);
    float *state = floats_new(network_state_size(network)), *grads = floats_new(n_params);
    for (int step = 1; step <= 9; step++) {
        int from = (step - 1) % 3 * 16;
        float answer[16 * 3], weight[16 * 3], gradient[16 * 3], sum = 0;
        const float *y, *dy = gradient;
        if (from == 0)
            memset(state, 0, network_state_size(network) * sizeof *state);
        for (int i = 0; i < 16; i++)
            answers_at(model, window, from + i, answer + 3 * i, weight + 3 * i);
        for (int i = 0; i < 48; i++)
            sum += weight[i];
        tape_forward(tape, network, kernels_choose(), &(struct rng){1}, 1, 16, window->x + from, state, &y);
        loss_sum(&(struct loss_spec){.loss = LOSS_MSE}, 1, 48, y, answer, weight, 1 / sum, gradient);
        memset(grads, 0, n_params * sizeof *grads);
        tape_backward(tape, network, &dy, grads);
        optimizer_set_rate(optimizer, 0.01 * (1 - 0.9 * step / 9));
        optimizer_step(optimizer, network_params(network), grads);
    }
    free(state);
    free(grads);
    tape_free(tape);
    optimizer_free(optimizer);
}

static void it_is_truncated_back_propagation(void **state) {
    (void)state;
    struct fixture fixture;
    sine_fixture(&fixture);
    const struct config_model *model = &fixture.model;
    struct error err;
    struct training_outcome outcome;
    fixture.model.seed = 4; /* of which the one window is not the oldest, which is shorter */
    struct windows *set = windows_new(model, 2, 1, 1); /* places for one of each kind */
    add_stream(set, model, &(struct streams){1, 400, sine}, 0);
    assert_int_equal(training_run(model, kernels_choose(), &set, 1, NULL, NULL, &outcome, &err), 0);
    assert_int_equal(outcome.n_training, 1);
    assert_int_equal(outcome.steps, 9);
    const struct window *window = windows_at(set, 1);
    assert_true(!window->validation && window->n == 48 + 3);
    struct network *network = forecaster_network(model, &err);
    network_init_weights(network, model->seed);
    train_by_hand(model, window, network);
    assert_true(floats_distance(network_n_params(network), network_params(network),
                                network_params(outcome.challenger)) < 1e-5);
    network_free(network);
    network_free(outcome.challenger);
    windows_free(set);
}

struct watcher {
    int asked, stop_at, told;
    int64_t steps;
    double losses[64];
};

static bool watch_stop(void *context) {
    struct watcher *watcher = context;
    return ++watcher->asked == watcher->stop_at;
}

static void watch_progress(void *context, const struct training_progress *progress) {
    struct watcher *watcher = context;
    assert_int_equal(progress->epochs, 3);
    assert_true(progress->steps > watcher->steps || progress->epoch > watcher->told);
    assert_true(progress->steps_in_all > 0 && progress->rate > 0);
    watcher->steps = progress->steps;
    if (progress->epoch == watcher->told)
        return; /* within an epoch */
    assert_int_equal(progress->epoch, watcher->told + 1);
    watcher->losses[watcher->told++] = progress->loss;
}

static void it_stops_when_told(void **state) {
    (void)state;
    const struct streams streams = {4, 200, sine};
    struct fixture fixture;
    sine_fixture(&fixture);
    for (int stop_at = 0; stop_at < 30; stop_at += 7) {
        struct watcher watcher = {.stop_at = stop_at};
        const struct training_watch watch = {.stop = watch_stop, .progress = watch_progress, .context = &watcher};
        struct training_outcome outcome = run(&fixture.model, &streams, NULL, &watch);
        assert_int_equal(outcome.stopped, stop_at > 0);
        assert_int_equal(outcome.challenger != NULL, stop_at == 0);
        assert_int_equal(isnan(outcome.losses.challenger) != 0, stop_at > 0);
        if (stop_at > 0) {
            assert_int_equal(watcher.asked, stop_at); /* nothing is done after that */
            assert_int_equal(outcome.steps, stop_at - 1);
        } else {
            assert_int_equal(watcher.told, 3);
            assert_true(watcher.losses[2] < watcher.losses[0]);
            assert_true(watcher.losses[2] == outcome.training_loss);
            assert_true(watcher.asked > outcome.steps);
        }
        network_free(outcome.challenger);
    }
}

/* Samples may be many and long: their judging takes longer than a stop may wait. */
static void it_stops_when_told_while_it_judges(void **state) {
    (void)state;
    const struct streams streams = {4, 200, sine};
    struct fixture fixture;
    sine_fixture(&fixture);
    struct watcher whole = {.stop_at = 0};
    struct training_outcome outcome =
        run(&fixture.model, &streams, NULL, &(struct training_watch){.stop = watch_stop, .context = &whole});
    network_free(outcome.challenger);
    int steps = outcome.steps;
    for (int stop_at = steps + 1; stop_at <= whole.asked; stop_at++) {
        struct watcher watcher = {.stop_at = stop_at};
        outcome =
            run(&fixture.model, &streams, NULL, &(struct training_watch){.stop = watch_stop, .context = &watcher});
        assert_true(outcome.stopped && outcome.challenger == NULL && isnan(outcome.losses.challenger));
        assert_true(watcher.asked == stop_at && outcome.steps == steps);
    }
}

static void check_no_outcome(const struct training_outcome *outcome) {
    assert_null(outcome->challenger);
    assert_false(outcome->stopped);
    assert_int_equal(outcome->steps, 0);
    assert_true(isnan(outcome->losses.challenger) && isnan(outcome->losses.champion) &&
                isnan(outcome->losses.last_value) && isnan(outcome->losses.seasonal) &&
                isnan(outcome->training_loss));
    assert_int_equal(decide(&outcome->losses, 0), PROMOTION_NO_WINDOWS);
}

static void without_windows(void **state) {
    (void)state;
    struct fixture fixture;
    sine_fixture(&fixture);
    struct training_outcome outcome = run(&fixture.model, &(struct streams){0, 1, sine}, NULL, NULL);
    check_no_outcome(&outcome);
    assert_int_equal(outcome.n_training + outcome.n_validation, 0);
    /* A place for one window alone: there is one to judge by and none to learn from. */
    struct windows *set = windows_new(&fixture.model, 1, 1, 1);
    struct error err;
    add_stream(set, &fixture.model, &(struct streams){1, 200, sine}, 0);
    assert_int_equal(training_run(&fixture.model, kernels_choose(), &set, 1, NULL, NULL, &outcome, &err), 0);
    check_no_outcome(&outcome);
    assert_int_equal(outcome.n_validation, 1);
    windows_free(set);
    assert_int_equal(training_run(&fixture.model, kernels_choose(), NULL, 0, NULL, NULL, &outcome, &err), 0);
    check_no_outcome(&outcome);
}

/* From the shortest that there may be; more rows than windows, and a rest of a batch. */
static void windows_of_different_lengths(void **state) {
    (void)state;
    struct fixture fixture;
    sine_fixture(&fixture);
    for (int steps = 20; steps < 200; steps += 23)
        for (int batch = 1; batch <= 64; batch *= 8) {
            fixture.model.training.batch = batch;
            fixture.model.training.epochs = 1;
            fixture.model.training.min_steps = 20;
            struct training_outcome outcome = run(&fixture.model, &(struct streams){3, steps, sine}, NULL, NULL);
            assert_true(outcome.n_training == 0 || outcome.steps >= 20);
            if (outcome.n_training > 0)
                assert_true(isfinite(outcome.losses.challenger) && outcome.losses.challenger > 0);
            assert_int_equal(outcome.challenger != NULL, outcome.n_training > 0);
            network_free(outcome.challenger);
        }
}

static double all_missing(struct rng *rng, int stream, int step) {
    (void)rng, (void)stream, (void)step;
    return NAN;
}

static double often_missing(struct rng *rng, int stream, int step) {
    double value = sine(rng, stream, step);
    return rng_below(rng, 2) == 0 ? NAN : value;
}

static double constant(struct rng *rng, int stream, int step) {
    (void)rng, (void)stream, (void)step;
    return 0.1;
}

static double out_of_range(struct rng *rng, int stream, int step) {
    double value = sine(rng, stream, step);
    return step % 50 == 17 ? 1e300 : value;
}

static double all_huge(struct rng *rng, int stream, int step) {
    return 1e300 * sine(rng, stream, step);
}

static void assert_finite_weights(const struct network *network) {
    for (size_t i = 0; i < network_n_params(network); i++)
        assert_true(isfinite(network_params_const(network)[i]));
}

static void odd_streams(void **state) {
    (void)state;
    const struct {
        double (*value)(struct rng *, int, int);
        enum promotion expected;
    } examples[] = {
        {all_missing, PROMOTION_NO_WINDOWS}, {often_missing, PROMOTION_PROMOTE}, {constant, PROMOTION_BASELINE},
        {out_of_range, PROMOTION_PROMOTE},   {all_huge, PROMOTION_NO_WINDOWS},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        struct fixture fixture;
        sine_fixture(&fixture);
        fixture.model.training.epochs = 8;
        const struct streams streams = {4, 300, examples[i].value};
        struct training_outcome outcome = run(&fixture.model, &streams, NULL, NULL);
        /* Without an answer there is no window. */
        assert_int_equal(outcome.challenger == NULL, examples[i].expected == PROMOTION_NO_WINDOWS);
        if (outcome.challenger != NULL)
            assert_finite_weights(outcome.challenger);
        enum promotion decision = decide(&outcome.losses, 0.01);
        if (decision != examples[i].expected)
            fail_msg("example %d: %s (%g, last value %g)", (int)i, promotion_name(decision),
                     outcome.losses.challenger, outcome.losses.last_value);
        network_free(outcome.challenger);
    }
}

/* Runs a job that is to fail, and gives its sentence. */
static void run_to_failure(const struct config_model *model, const struct streams *streams,
                           const struct network *champion, struct error *err) {
    struct windows *sets[2];
    struct training_outcome outcome;
    collect(sets, model, streams);
    assert_int_equal(training_run(model, kernels_choose(), sets, 2, champion, NULL, &outcome, err), -1);
    windows_free(sets[0]);
    windows_free(sets[1]);
}

/* A learning rate at which weights run away ends the job, whether or not the loss stays a number. */
static void a_rate_that_is_far_too_large(void **state) {
    (void)state;
    for (double rate = 1e2; rate < 1e40; rate *= 1e14) {
        struct fixture fixture;
        struct error err;
        sine_fixture(&fixture);
        fixture.model.training.learning_rate = rate;
        fixture.model.training.clip_norm = 0;
        run_to_failure(&fixture.model, &(struct streams){4, 200, sine}, NULL, &err);
        assert_non_null(strstr(err.text, "model fixture: training has diverged: the loss "));
    }
}

/* Weights that are no numbers, as a champion's would be that had been spoilt. */
static void a_loss_that_is_not_a_number(void **state) {
    (void)state;
    struct fixture fixture;
    struct error err;
    sine_fixture(&fixture);
    struct network *champion = forecaster_network(&fixture.model, &err);
    network_params(champion)[network_n_params(champion) - 1] = NAN;
    run_to_failure(&fixture.model, &(struct streams){4, 200, sine}, champion, &err);
    assert_string_equal(err.text, "model fixture: training has diverged: the loss is not a number (epoch 1 of 3)");
    network_free(champion);
}

/* A stream that changes its law at the end of what is learnt: old answers that weigh less do less harm. */
static double changed_law(struct rng *rng, int stream, int step) {
    double value = sine(rng, stream, step);
    return step > 300 ? 10 - value : value * (step % 2 ? 1 : 0.6);
}

static void what_is_old_weighs_less(void **state) {
    (void)state;
    const struct streams streams = {1, 600, changed_law};
    double losses[2];
    for (int weighted = 0; weighted < 2; weighted++) {
        struct fixture fixture;
        sine_fixture(&fixture);
        fixture.model.training.epochs = 20;
        fixture.model.training.half_life = weighted ? 40 : 0;
        struct training_outcome outcome = run(&fixture.model, &streams, NULL, NULL);
        losses[weighted] = outcome.losses.challenger;
        network_free(outcome.challenger);
    }
    print_message("changed law: loss %.4f, with a half-life %.4f\n", losses[0], losses[1]);
    assert_true(losses[1] < 0.9 * losses[0]);
}

/* ---- early stopping ------------------------------------------------------------------------- */

/* The lowest loss on the part that chooses, as the job told it epoch by epoch. */
struct best {
    int n, epoch;
    double loss;
};

static void watch_best(void *context, const struct training_progress *progress) {
    struct best *best = context;
    if (progress->epoch == best->n)
        return;
    best->n = progress->epoch;
    if (best->epoch == 0 || progress->validation < best->loss) {
        best->epoch = progress->epoch;
        best->loss = progress->validation;
    }
    assert_true(progress->best == best->loss && progress->best_epoch == best->epoch);
}

/* Noise alone: what is learnt of it is worth nothing later, so more epochs make it worse. */
static double noise(struct rng *rng, int stream, int step) {
    (void)stream, (void)step;
    return rng_normal(rng);
}

static void the_best_weights_are_kept(void **state) {
    (void)state;
    const struct streams streams = {2, 400, noise};
    struct fixture fixture;
    sine_fixture(&fixture);
    struct config_model *model = &fixture.model;
    model->residual = false;
    model->training.epochs = 60;
    model->training.patience = 6;
    struct best best = {0};
    const struct training_watch watch = {.progress = watch_best, .context = &best};
    struct training_outcome outcome = run(model, &streams, NULL, &watch);
    assert_in_range(outcome.epochs, 7, 59); /* ended early */
    assert_int_equal(outcome.epochs, outcome.best_epoch + 6);
    assert_int_equal(outcome.best_epoch, best.epoch);
    /* The same job, but for a patience that never ends, has the same weights; without any it has others, and worse ones. */
    model->training.patience = 1000;
    struct training_outcome patient = run(model, &streams, NULL, NULL);
    assert_int_equal(patient.epochs, 60);
    if (patient.best_epoch == outcome.best_epoch)
        assert_same_weights(patient.challenger, outcome.challenger);
    model->training.patience = 0;
    struct training_outcome last = run(model, &streams, NULL, NULL);
    assert_int_equal(last.best_epoch, 0);
    assert_true(last.training_loss < outcome.training_loss);
    assert_true(last.losses.last_value != outcome.losses.last_value); /* as what has chosen does not judge */
    assert_true(last.losses.challenger > outcome.losses.challenger);
    network_free(outcome.challenger);
    network_free(patient.challenger);
    network_free(last.challenger);
}

/* Told to stop, a job that is to keep what it has gives the best weights so far, and their losses. */
static void what_is_reached_is_kept(void **state) {
    (void)state;
    const struct streams streams = {4, 300, sine};
    struct fixture fixture;
    sine_fixture(&fixture);
    fixture.model.training.epochs = 20;
    for (int patience = 0; patience <= 8; patience += 8) {
        fixture.model.training.patience = patience;
        struct watcher watcher = {.stop_at = 150};
        const struct training_watch watch = {.stop = watch_stop, .context = &watcher, .keep = true};
        struct training_outcome outcome = run(&fixture.model, &streams, NULL, &watch);
        assert_true(outcome.stopped && outcome.challenger != NULL && outcome.epochs < 20);
        assert_true(outcome.losses.challenger < 0.5 * outcome.losses.last_value);
        assert_int_equal(outcome.best_epoch > 0, patience > 0);
        network_free(outcome.challenger);
    }
}

/* ---- stateful order ------------------------------------------------------------------------- */

struct counted {
    int64_t steps, steps_in_all;
};

static void count_steps(void *context, const struct training_progress *progress) {
    struct counted *counted = context;
    counted->steps = progress->steps;
    counted->steps_in_all = progress->steps_in_all;
}

/* Streams of all lengths, cut by resets into courses of all lengths; more slots than streams, and fewer: what is planned is
 * what comes, and it learns. (That it is Keras' training is shown by the goldens.) */
static void stateful_order(void **state) {
    (void)state;
    for (int reset_every = 0; reset_every <= 90; reset_every += 45)
        for (int batch = 1; batch <= 9; batch += 4) {
            struct fixture fixture;
            sine_fixture(&fixture);
            fixture.model.training.order = ORDER_STATEFUL;
            fixture.model.training.batch = batch;
            fixture.model.training.epochs = 12;
            fixture.model.reset_every = reset_every;
            struct counted counted = {0};
            const struct training_watch watch = {.progress = count_steps, .context = &counted};
            struct training_outcome outcome = run(&fixture.model, &(struct streams){5, 411, sine}, NULL, &watch);
            assert_in_range(counted.steps, counted.steps_in_all, counted.steps_in_all * 5 / 4);
            assert_int_equal(outcome.steps, counted.steps);
            assert_true(outcome.losses.challenger < 0.5 * outcome.losses.last_value);
            struct training_outcome again = run(&fixture.model, &(struct streams){5, 411, sine}, NULL, NULL);
            assert_same_weights(outcome.challenger, again.challenger);
            network_free(outcome.challenger);
            network_free(again.challenger);
        }
}

/* A slow square wave of 48 steps, of which a window of 16 mostly shows nothing: only a state that is carried on knows when
 * the next edge comes. */
static double square_wave(struct rng *rng, int stream, int step) {
    (void)stream;
    return (step / 24 % 2 ? 1 : -1) + 0.05 * rng_normal(rng);
}

static void carried_states_see_further(void **state) {
    (void)state;
    double losses[2];
    for (int order = ORDER_SHUFFLED; order <= ORDER_STATEFUL; order++) {
        struct fixture fixture;
        sine_fixture(&fixture);
        fixture.model.training.order = (enum training_order)order;
        fixture.model.training.window = fixture.model.training.unroll = 16;
        fixture.model.training.burn_in = 0;
        fixture.model.training.epochs = 40;
        fixture.model.training.min_steps = 1500;
        struct training_outcome outcome = run(&fixture.model, &(struct streams){4, 600, square_wave}, NULL, NULL);
        losses[order] = outcome.losses.challenger / outcome.losses.last_value;
        network_free(outcome.challenger);
    }
    print_message("square wave, loss by that of the last value: shuffled %.3f, stateful %.3f\n", losses[0],
                  losses[1]);
    assert_true(losses[1] < 0.9 * losses[0]);
}

/* ---- models from files ---------------------------------------------------------------------- */

/* The fixture's model with layers as if they had been read from a file, with random weights. */
static struct config_model file_model(struct fixture *fixture, struct keras_model *keras, struct layer_spec *layers,
                                      int n_layers) {
    struct error err;
    sine_fixture(fixture);
    struct config_model model = fixture->model;
    *keras = (struct keras_model){.spec = {.n_inputs = 1, .steps = 12, .layers = layers, .n_layers = n_layers}};
    struct network *network = network_new(&keras->spec, &err);
    if (network == NULL)
        fail_msg("%s", err.text);
    network_init_weights(network, 5);
    keras->n_params = network_n_params(network);
    keras->params = floats_copy(keras->n_params, network_params(network));
    network_free(network);
    model.keras = keras;
    model.training.epochs = 12;
    return model;
}

/* Trains the file's weights and returns the outcome; the challenger has the form that is served. */
static struct training_outcome run_file(const struct config_model *model) {
    const struct streams streams = {6, 400, sine};
    struct error err;
    struct network *champion = forecaster_network(model, &err);
    assert_non_null(champion);
    struct training_outcome outcome = run(model, &streams, champion, NULL);
    assert_non_null(outcome.challenger);
    assert_int_equal(network_output(outcome.challenger, 0, 12).sequence, network_output(champion, 0, 12).sequence);
    assert_true(outcome.losses.challenger < 0.3 * outcome.losses.last_value);
    assert_true(outcome.losses.challenger < 0.3 * outcome.losses.champion);
    network_free(champion);
    return outcome;
}

static void a_windowed_file_learns_from_samples(void **state) {
    (void)state;
    struct fixture fixture;
    struct keras_model keras;
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 8), layer_spec_of(LAYER_DENSE, 3)};
    struct config_model model = file_model(&fixture, &keras, layers, 2);
    model.mode = MODEL_WINDOWED;
    model.window = 12;
    model.training.burn_in = 11;
    struct training_outcome outcome = run_file(&model);
    network_free(outcome.challenger);
    free(keras.params);
}

/* A sine whose level wanders far and whose size grows: by itself each sample looks like the others. What the challenger says
 * where it serves has the loss that it was judged by. */
static double wandering(struct rng *rng, int stream, int step) {
    return (1 + 0.01 * step) * (sine(rng, stream, step) + 2 * sin(step * 0.003)) + 100 * sin(step * 0.001 + stream);
}

static double served_loss(const struct config_model *model, struct network *challenger, const struct streams *streams,
                          int judged_from) {
    const struct config_class class = {.name = (char *)"c", .n_features = 1, .history = 400, .pending = 8};
    struct forecaster *forecaster = forecaster_new(&class, model, kernels_choose());
    struct history *history = history_new(1, 400, 8);
    struct version *version = version_new(1, challenger);
    struct rng rng = {1};
    double said[512][3], values[512], units[512] = {0}, sum = 0;
    int n = 0;
    assert_int_equal(forecaster_propose(forecaster, version), 0);
    while (!forecaster_prime(forecaster))
        ;
    forecaster_acquire(forecaster, 0, history);
    for (int step = 1; step <= streams->steps; step++) {
        values[step] = streams->value(&rng, 0, step);
        history_append(history, step, &values[step], 0);
        forecaster_advance(forecaster, &(int){0}, 1);
        memcpy(said[step], forecaster_latest(forecaster, 0)->mean, sizeof said[step]);
        struct scaler sample = {0}, running = forecaster_scalers(forecaster, 0)[0];
        for (int t = step + 1 - model->window; t > 0 && t <= step; t++)
            scaler_update(&sample, values[t]);
        sample = scaler_of_sample(&sample, &running);
        units[step] = scaler_unit(SCALER_WINDOW, &sample);
    }
    for (int origin = streams->steps - 3; origin >= judged_from; origin -= 2)
        for (int h = 1; h <= 3; h++, n++)
            sum += pow((said[origin][h - 1] - values[origin + h]) / units[origin], 2);
    version_release(version);
    forecaster_free(forecaster);
    history_free(history);
    return sum / n;
}

static void samples_scaled_by_themselves(void **state) {
    (void)state;
    const struct streams streams = {1, 400, wandering};
    struct fixture fixture;
    struct keras_model keras;
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 8), layer_spec_of(LAYER_DENSE, 3)};
    struct config_model model = file_model(&fixture, &keras, layers, 2);
    model.mode = MODEL_WINDOWED;
    model.window = 12;
    model.scaler = SCALER_WINDOW;
    model.combine = COMBINE_ONLY + EXPERT_NETWORK;
    model.training.burn_in = 11;
    model.training.min_steps = 600;
    struct training_outcome outcome = run(&model, &streams, NULL, NULL);
    assert_true(outcome.losses.challenger < 0.3 * outcome.losses.last_value);
    /* A quarter is held back: 100 steps. */
    double served = served_loss(&model, outcome.challenger, &streams, 300);
    if (fabs(served / outcome.losses.challenger - 1) > 0.01)
        fail_msg("judged by %g, served with %g", outcome.losses.challenger, served);
    free(keras.params);
}

/* Of a sample as long as a window there is one place, and each batch trains at it. */
static void each_batch_has_a_sample(void **state) {
    (void)state;
    static const int windows[] = {48, 40, 30, 12};
    const struct streams streams = {6, 400, sine};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        struct fixture fixture;
        struct keras_model keras;
        struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 8), layer_spec_of(LAYER_DENSE, 3)};
        struct config_model model = file_model(&fixture, &keras, layers, 2);
        model.mode = MODEL_WINDOWED;
        model.window = windows[i];
        model.training.burn_in = windows[i] - 1;
        model.training.epochs = 1;
        model.training.min_steps = 50;
        struct training_outcome outcome = run(&model, &streams, NULL, NULL);
        assert_true(outcome.steps >= 50);
        network_free(outcome.challenger);
        free(keras.params);
    }
}

/* It gives its last step only; it learns from all of them, and gives its last step again. */
static void a_stateful_file_learns_at_every_step(void **state) {
    (void)state;
    struct fixture fixture;
    struct keras_model keras;
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 8), layer_spec_of(LAYER_DENSE, 3)};
    struct config_model model = file_model(&fixture, &keras, layers, 2);
    struct training_outcome outcome = run_file(&model);
    network_free(outcome.challenger);
    free(keras.params);
}

static void a_decoder_is_not_trained(void **state) {
    (void)state;
    struct fixture fixture;
    struct keras_model keras;
    struct error err;
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 8), layer_spec_of(LAYER_REPEAT_VECTOR, 3),
                                  layer_spec_of(LAYER_LSTM, 4), layer_spec_of(LAYER_DENSE, 1)};
    layers[2].return_sequences = true;
    struct config_model model = file_model(&fixture, &keras, layers, 4);
    assert_null(training_network(&model, &err));
    free(keras.params);
}

/* The state at the end of a chunk would be what its first steps learn from. */
static void what_reads_a_state_is_not_trained(void **state) {
    (void)state;
    struct fixture fixture;
    struct keras_model keras;
    struct error err;
    struct layer_spec layers[] = {layer_spec_of(LAYER_LSTM, 3), layer_spec_of(LAYER_ADD, 0),
                                  layer_spec_of(LAYER_DENSE, 3)};
    layers[0].return_state = true;
    layers[1].n_in = 2;
    layers[1].in[1] = (struct layer_input){.layer = 0, .port = 1};
    struct config_model model = file_model(&fixture, &keras, layers, 3);
    assert_null(training_network(&model, &err));
    assert_non_null(strstr(err.text, "reads a state"));
    free(keras.params);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_truncated_back_propagation),
        cmocka_unit_test(it_learns_a_noisy_sine),
        cmocka_unit_test(it_learns_how_sure_it_is),
        cmocka_unit_test(it_learns_a_probability),
        cmocka_unit_test(a_likelihood_goes_below_zero),
        cmocka_unit_test(it_does_not_learn_what_it_must_not_know),
        cmocka_unit_test(the_same_seed_gives_the_same_bits),
        cmocka_unit_test(a_champion_is_the_start),
        cmocka_unit_test(it_stops_when_told),
        cmocka_unit_test(it_stops_when_told_while_it_judges),
        cmocka_unit_test(without_windows),
        cmocka_unit_test(windows_of_different_lengths),
        cmocka_unit_test(odd_streams),
        cmocka_unit_test(what_is_old_weighs_less),
        cmocka_unit_test(stateful_order),
        cmocka_unit_test(carried_states_see_further),
        cmocka_unit_test(a_loss_that_is_not_a_number),
        cmocka_unit_test(the_best_weights_are_kept),
        cmocka_unit_test(what_is_reached_is_kept),
        cmocka_unit_test(a_rate_that_is_far_too_large),
        cmocka_unit_test(a_windowed_file_learns_from_samples),
        cmocka_unit_test(samples_scaled_by_themselves),
        cmocka_unit_test(each_batch_has_a_sample),
        cmocka_unit_test(a_stateful_file_learns_at_every_step),
        cmocka_unit_test(a_decoder_is_not_trained),
        cmocka_unit_test(what_reads_a_state_is_not_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
