#include "clients/forecast/backtest_run.h"

#include "clients/forecast/backtest_learning.h"
#include "engine/forecaster.h"
#include "engine/series.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

/* The most that forecasts may take that wait for their answers. */
static const double scores_bytes_most = 8.0 * (1 << 30);

/* Ticks between two looks at whether to stop. */
enum { LOOK_EVERY = 64 };

struct place {
    struct series *series;
    size_t at; /* the next tick */
};

struct run {
    const struct backtest_setup *setup;
    struct place *places;              /* [n_streams] */
    struct backtest_learner *learners; /* [n_streams] */
    struct forecaster **forecasters;   /* [n_forecasters] of batch_size slots */
    int n_forecasters;
    struct backtest_learning *learning;
    struct backtest_result *result;
    double *lower, *upper; /* [n_levels x horizon x n_targets] of the latest forecast */
    double *silent;        /* [horizon x n_targets] NaN: what an expert says that there is not */
    size_t ticks, ticks_in_all;
};

/* ---- beginning and end ---------------------------------------------------------------------- */

/* -1: with err as it was without memory. */
static int open_streams(struct run *run, struct error *err) {
    const struct backtest_setup *setup = run->setup;
    const struct config_class *class = setup->class;
    for (int b = 0; b < run->n_forecasters; b++) {
        run->forecasters[b] = forecaster_new(class, setup->model, kernels_choose());
        if (run->forecasters[b] == NULL)
            return -1;
    }
    for (int i = 0; i < setup->n_streams; i++) {
        struct series *series = series_new(&class->time, class->n_features, class->history, class->pending);
        run->places[i].series = series;
        if (series == NULL)
            return -1;
        struct backtest_learner *learner = &run->learners[i];
        *learner = (struct backtest_learner){.name = setup->streams[i].name,
                                             .history = series->history,
                                             .forecaster = run->forecasters[i / setup->model->batch_size],
                                             .slot = i % setup->model->batch_size};
        if (setup->takeovers != NULL &&
            backtest_takeovers_follow(setup->takeovers, i, learner->forecaster, NULL, 0, err) != 0)
            return -1;
        forecaster_acquire(learner->forecaster, learner->slot, series->history);
        if (setup->takeovers != NULL &&
            backtest_takeovers_follow(setup->takeovers, i, learner->forecaster, series->history, 0, err) != 0)
            return -1;
    }
    return 0;
}

static struct backtest_plan plan_of(const struct backtest_setup *setup) {
    return (struct backtest_plan){.horizons = setup->horizons,
                                  .n_horizons = setup->n_horizons,
                                  .said_horizon = setup->model->horizon,
                                  .n_targets = setup->model->n_targets,
                                  .n_experts = EXPERT_COUNT,
                                  .n_levels = setup->model->n_levels,
                                  .train = setup->train,
                                  .valid = setup->valid};
}

int backtest_check(const struct backtest_setup *setup, struct error *err) {
    const struct backtest_plan plan = plan_of(setup);
    double bytes = backtest_scores_bytes(&plan) * setup->n_streams;
    if (bytes <= scores_bytes_most)
        return 0;
    return error_set(err,
                     "all steps up to %d ahead of %d targets and %d streams would take %.0f GiB to be scored; "
                     "--horizons and --columns choose fewer",
                     setup->horizons[setup->n_horizons - 1], plan.n_targets, setup->n_streams, bytes / (1 << 30));
}

static int open_scores(struct run *run) {
    const struct backtest_setup *setup = run->setup;
    struct backtest_result *result = run->result;
    const struct backtest_plan plan = plan_of(setup);
    result->scores = backtest_scores_new(&plan, setup->n_streams);
    if (result->scores == NULL)
        return -1;
    for (int i = 0; i < setup->n_streams; i++) {
        uint64_t steps = backtest_stream_steps(&setup->streams[i], &setup->class->time);
        result->least = i == 0 || steps < result->least ? steps : result->least;
        result->most = steps > result->most ? steps : result->most;
        if (backtest_scores_begin(result->scores, i, steps, setup->online) != 0)
            return -1;
    }
    return 0;
}

static int open_run(struct run *run, struct error *err) {
    const struct backtest_setup *setup = run->setup;
    int slots = setup->model->batch_size;
    run->n_forecasters = (setup->n_streams + slots - 1) / slots;
    run->places = calloc((size_t)setup->n_streams, sizeof *run->places);
    run->learners = calloc((size_t)setup->n_streams, sizeof *run->learners);
    run->forecasters = calloc((size_t)run->n_forecasters, sizeof *run->forecasters);
    size_t n = (size_t)setup->model->n_levels * (size_t)setup->model->horizon * (size_t)setup->model->n_targets;
    run->lower = malloc((n + 1) * sizeof *run->lower);
    run->upper = malloc((n + 1) * sizeof *run->upper);
    error_set(err, "out of memory");
    size_t outputs = (size_t)setup->model->horizon * (size_t)setup->model->n_targets;
    run->silent = malloc(outputs * sizeof *run->silent);
    for (size_t i = 0; run->silent != NULL && i < outputs; i++)
        run->silent[i] = NAN;
    if (run->lower == NULL || run->upper == NULL || run->silent == NULL || run->places == NULL ||
        run->learners == NULL || run->forecasters == NULL || open_streams(run, err) != 0 || open_scores(run) != 0)
        return -1;
    if (setup->takeovers == NULL)
        run->learning =
            backtest_learning_new(setup, kernels_choose(), run->learners, run->forecasters, run->n_forecasters, err);
    if (run->learning == NULL && setup->takeovers == NULL)
        return -1;
    for (int i = 0; i < setup->n_streams; i++)
        run->ticks_in_all += setup->streams[i].n;
    return 0;
}

static void close_run(struct run *run) {
    if (run->learning != NULL)
        run->result->decisions = backtest_learning_take(run->learning, &run->result->n_decisions);
    backtest_learning_free(run->learning);
    for (int b = 0; run->forecasters != NULL && b < run->n_forecasters; b++) {
        if (run->forecasters[b] != NULL)
            run->result->not_finite += forecaster_not_finite(run->forecasters[b]);
        forecaster_free(run->forecasters[b]);
    }
    for (int i = 0; run->places != NULL && i < run->setup->n_streams; i++)
        series_free(run->places[i].series);
    free(run->lower);
    free(run->silent);
    free(run->upper);
    free(run->places);
    free(run->learners);
    free(run->forecasters);
}

void backtest_result_fini(struct backtest_result *result) {
    backtest_scores_free(result->scores);
    free(result->decisions);
    *result = (struct backtest_result){0};
}

/* ---- the way through the data --------------------------------------------------------------- */

/* The last step of a stream that is scored. */
static uint64_t last_step(const struct backtest_setup *setup) {
    uint64_t before = setup->train + setup->valid;
    return setup->online < UINT64_MAX - before ? before + setup->online : UINT64_MAX;
}

/* The stream whose next tick is the earliest, of those that are still to be scored; -1 at the end of all. */
static int next_stream(const struct run *run) {
    const struct backtest_setup *setup = run->setup;
    uint64_t end = last_step(setup);
    int next = -1;
    int64_t earliest = 0;
    for (int i = 0; i < setup->n_streams; i++) {
        const struct backtest_stream *stream = &setup->streams[i];
        size_t at = run->places[i].at;
        if (at < stream->n && run->places[i].series->history->n < end && (next < 0 || stream->t[at] < earliest)) {
            next = i;
            earliest = stream->t[at];
        }
    }
    return next;
}

/* A step has closed: forecast, score, then learn. */
static int take_step(struct run *run, int i, struct error *err) {
    const struct backtest_setup *setup = run->setup;
    struct backtest_learner *learner = &run->learners[i];
    forecaster_advance(learner->forecaster, &learner->slot, 1);
    const struct forecast *forecast = forecaster_latest(learner->forecaster, learner->slot);
    assert(forecast->step == learner->history->n);
    run->result->steps++;
    const double *experts[EXPERT_COUNT];
    for (int e = 0; e < EXPERT_COUNT; e++) {
        experts[e] = forecaster_expert(learner->forecaster, (enum expert)e);
        if (experts[e] == NULL)
            experts[e] = run->silent;
    }
    forecast_intervals(setup->model, forecast, run->lower, run->upper);
    const struct backtest_said said = {
        .published = forecast->mean, .experts = experts, .lower = run->lower, .upper = run->upper};
    backtest_scores_step(run->result->scores, i, forecast->values, &said);
    if (setup->said != NULL)
        setup->said(setup->context, i, forecast->step, &said);
    return setup->takeovers != NULL ? backtest_takeovers_follow(setup->takeovers, i, learner->forecaster,
                                                                run->places[i].series->history, forecast->step, err)
                                    : backtest_learning_poll(run->learning, err);
}

static int take_tick(struct run *run, int i, struct error *err) {
    const struct backtest_stream *stream = &run->setup->streams[i];
    struct place *place = &run->places[i];
    const double *values = stream->values + place->at * (size_t)run->setup->class->n_features;
    enum time_verdict verdict;
    int closed = series_take(place->series, stream->t[place->at], values, &verdict);
    place->at++;
    run->ticks++;
    run->result->refused += closed < 0;
    if (closed == 1 && take_step(run, i, err) != 0)
        return -1;
    while (place->series->history->n < last_step(run->setup) && series_next(place->series))
        if (take_step(run, i, err) != 0)
            return -1;
    return 0;
}

static int go_through(struct run *run, struct error *err) {
    const struct backtest_setup *setup = run->setup;
    for (int i; (i = next_stream(run)) >= 0;) {
        if (take_tick(run, i, err) != 0)
            return -1;
        if (run->ticks % LOOK_EVERY != 0)
            continue;
        if (setup->progress != NULL)
            setup->progress(setup->context, (double)run->ticks / (double)run->ticks_in_all);
        run->result->stopped = setup->stopped != NULL && setup->stopped(setup->context);
        if (run->result->stopped)
            break;
    }
    return 0;
}

int backtest_run(const struct backtest_setup *setup, struct backtest_result *ret, struct error *err) {
    struct run run = {.setup = setup, .result = ret};
    struct timespec began, ended;
    *ret = (struct backtest_result){0};
    assert(setup->horizons[setup->n_horizons - 1] <= setup->model->horizon);
    clock_gettime(CLOCK_MONOTONIC, &began);
    int failed = open_run(&run, err);
    if (failed == 0)
        failed = go_through(&run, err);
    close_run(&run);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    ret->seconds = (double)(ended.tv_sec - began.tv_sec) + 1e-9 * (double)(ended.tv_nsec - began.tv_nsec);
    return failed;
}
