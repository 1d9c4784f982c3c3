#include "clients/forecast/backtest_learning.h"

#include "engine/contest.h"
#include "engine/drift.h"
#include "engine/retraining.h"
#include "engine/training.h"
#include "engine/windows.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

struct backtest_learning {
    const struct backtest_setup *setup;
    const struct kernels *kernels;
    const struct backtest_learner *streams;
    struct forecaster *const *forecasters;
    int n_forecasters;
    struct version *champion; /* NULL: none yet */
    struct version *before;   /* what it has replaced; NULL: there is no way back */
    uint64_t last_number;     /* of a version */
    enum contest_kind contest;
    struct version *other; /* that stands beside the champion; NULL: none */
    uint64_t began;        /* the contest: the most steps then */
    struct shadow_losses losses;
    struct drift drift;
    struct retraining retraining;
    struct backtest_decision *decisions;
    int n_decisions, size;
};

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The most steps of any stream, and its time, which is the clock of the data. */
static uint64_t most_steps(const struct backtest_learning *learning, int64_t *ret_clock) {
    uint64_t most = 0;
    *ret_clock = INT64_MIN;
    for (int i = 0; i < learning->setup->n_streams; i++) {
        const struct history *history = learning->streams[i].history;
        if (history->n > most)
            *ret_clock = history_time(history, history->n);
        most = history->n > most ? history->n : most;
    }
    return most;
}

static struct backtest_decision *note(struct backtest_learning *learning) {
    if (learning->n_decisions == learning->size) {
        int size = learning->size > 0 ? 2 * learning->size : 16;
        struct backtest_decision *decisions = realloc(learning->decisions, (size_t)size * sizeof *decisions);
        if (decisions == NULL)
            return NULL;
        learning->decisions = decisions;
        learning->size = size;
    }
    struct backtest_decision *decision = &learning->decisions[learning->n_decisions++];
    int64_t clock;
    *decision = (struct backtest_decision){.step = most_steps(learning, &clock)};
    return decision;
}

static int no_memory(const struct backtest_learning *learning, struct error *err) {
    return error_set(err, "model %s: out of memory", learning->setup->model->name);
}

/* ---- who serves, and beside whom ------------------------------------------------------------- */

/* Takes the reference; NULL with CONTEST_NONE and CONTEST_HELD's none. */
static int set_contest(struct backtest_learning *learning, enum contest_kind kind, struct version *version,
                       struct error *err) {
    int64_t clock;
    int slots = 0;
    version_release(learning->other);
    learning->contest = kind;
    learning->other = version;
    learning->began = most_steps(learning, &clock);
    learning->losses = (struct shadow_losses){0};
    learning->retraining.held = kind == CONTEST_SHADOW || kind == CONTEST_HELD;
    for (int b = 0; b < learning->n_forecasters; b++) {
        struct forecaster *forecaster = learning->forecasters[b];
        forecaster_end_shadow(forecaster);
        if (kind == CONTEST_NONE || kind == CONTEST_HELD || slots >= CONTEST_STREAMS)
            continue;
        slots += learning->setup->model->batch_size;
        if (forecaster_shadow(forecaster, version, &learning->losses) != 0)
            return no_memory(learning, err);
        while (!forecaster_prime_shadow(forecaster))
            ;
    }
    return 0;
}

/* The version, whose reference is taken, takes over at this step. */
static int install(struct backtest_learning *learning, struct version *version, struct error *err) {
    version_release(learning->before);
    /* Before the first version there was the baseline. */
    learning->before = learning->champion != NULL ? learning->champion : version_new(0, NULL);
    learning->champion = version;
    drift_loosen(&learning->drift);
    for (int b = 0; b < learning->n_forecasters; b++) {
        if (forecaster_propose(learning->forecasters[b], version) != 0)
            return no_memory(learning, err);
        while (!forecaster_prime(learning->forecasters[b]))
            ;
    }
    return learning->before != NULL ? 0 : no_memory(learning, err);
}

static int promote(struct backtest_learning *learning, struct version *version, struct error *err) {
    if (install(learning, version, err) != 0)
        return -1;
    enum contest_kind kind = contest_of_replaced(learning->setup->model, learning->before);
    return set_contest(learning, kind, kind != CONTEST_NONE ? version_acquire(learning->before) : NULL, err);
}

/* Another number for what served before; once, and no further. */
static int go_back(struct backtest_learning *learning, struct error *err) {
    struct version *version = version_again(++learning->last_number, learning->before);
    if (version == NULL)
        return no_memory(learning, err);
    if (install(learning, version, err) != 0)
        return -1;
    version_release(learning->before);
    learning->before = NULL;
    return set_contest(learning, CONTEST_NONE, NULL, err);
}

static int install_first(struct backtest_learning *learning, struct error *err) {
    const struct config_model *model = learning->setup->model;
    if (learning->setup->no_network || (model->train && model->keras == NULL))
        return 0;
    struct network *network = forecaster_network(model, err);
    if (network == NULL)
        return -1;
    if (model->keras == NULL)
        network_init_weights(network, model->seed);
    struct version *version = version_new(++learning->last_number, network);
    if (version == NULL) {
        network_free(network);
        return no_memory(learning, err);
    }
    if (install(learning, version, err) != 0)
        return -1;
    version_release(learning->before); /* nobody asked for the baseline */
    learning->before = NULL;
    return 0;
}

struct backtest_learning *backtest_learning_new(const struct backtest_setup *setup, const struct kernels *kernels,
                                                const struct backtest_learner *streams,
                                                struct forecaster *const *forecasters, int n_forecasters,
                                                struct error *err) {
    struct backtest_learning *learning = calloc(1, sizeof *learning);
    if (learning == NULL) {
        error_set(err, "out of memory");
        return NULL;
    }
    *learning = (struct backtest_learning){.setup = setup,
                                           .kernels = kernels,
                                           .streams = streams,
                                           .forecasters = forecasters,
                                           .n_forecasters = n_forecasters};
    openblas_set_num_threads(1); /* as in the daemon: the sums' order is that of one thread */
    if (install_first(learning, err) == 0)
        return learning;
    backtest_learning_free(learning);
    return NULL;
}

void backtest_learning_free(struct backtest_learning *learning) {
    if (learning == NULL)
        return;
    version_release(learning->champion);
    version_release(learning->before);
    version_release(learning->other);
    free(learning->decisions);
    free(learning);
}

struct backtest_decision *backtest_learning_take(struct backtest_learning *learning, int *ret_n) {
    struct backtest_decision *decisions = learning->decisions;
    *ret_n = learning->n_decisions;
    learning->decisions = NULL;
    learning->n_decisions = learning->size = 0;
    return decisions;
}

/* ---- a job ---------------------------------------------------------------------------------- */

static struct windows *collect(const struct backtest_learning *learning, uint64_t steps) {
    const struct config_model *model = learning->setup->model;
    int history = learning->setup->class->history, max = model->training.max_windows;
    struct windows *windows =
        windows_new(model, max, learning->setup->n_streams, steps < (uint64_t)history ? (int)steps : history);
    for (int i = 0; windows != NULL && i < learning->setup->n_streams; i++) {
        const struct backtest_learner *stream = &learning->streams[i];
        struct windows_cursor cursor;
        uint64_t seen = forecaster_seen(stream->forecaster, stream->slot);
        if (!windows_begin(&cursor, model, stream->name, stream->history, seen))
            continue;
        while (windows_copy(windows, &cursor, stream->history, forecaster_scalers(stream->forecaster, stream->slot)))
            ;
    }
    return windows;
}

static bool told_to_stop(void *context) {
    const struct backtest_setup *setup = context;
    return setup->stopped != NULL && setup->stopped(setup->context);
}

/* A challenger that was judged. */
static int judge(struct backtest_learning *learning, struct backtest_decision *decision,
                 struct training_outcome *outcome, struct error *err) {
    const struct config_model *model = learning->setup->model;
    const struct promotion_rules rules = promotion_rules_of(model);
    decision->decision = promotion_decide(&outcome->losses, &rules).decision;
    bool demote = decision->decision == PROMOTION_DEMOTE && model->promote != PROMOTE_MANUAL;
    if (decision->decision != PROMOTION_PROMOTE && !demote)
        return 0;
    struct version *version = version_new(learning->last_number + 1, demote ? NULL : outcome->challenger);
    if (version == NULL)
        return no_memory(learning, err);
    learning->last_number++;
    version_set_ridge(version, outcome->ridge);
    outcome->ridge = NULL;
    if (demote)
        return install(learning, version, err) != 0 || set_contest(learning, CONTEST_NONE, NULL, err) != 0 ? -1 : 0;
    outcome->challenger = NULL;
    enum contest_kind kind = contest_of_challenger(model, learning->champion);
    decision->shadow = kind == CONTEST_SHADOW;
    decision->held = kind == CONTEST_HELD;
    return kind != CONTEST_NONE ? set_contest(learning, kind, version, err) : promote(learning, version, err);
}

/* Trains and decides. A job that fails is noted; who serves goes on. */
static int train(struct backtest_learning *learning, struct backtest_decision *decision, struct windows *windows,
                 struct error *err) {
    const struct network *champion = learning->champion != NULL ? version_network(learning->champion) : NULL;
    const struct training_watch watch = {.stop = told_to_stop, .context = (void *)learning->setup};
    struct training_outcome outcome;
    struct error failure;
    if (training_run(learning->setup->model, learning->kernels, &windows, 1, champion, &watch, &outcome, &failure) !=
        0) {
        decision->failed = true;
        snprintf(decision->text, sizeof decision->text, "%.150s", failure.text);
        return 0;
    }
    if (outcome.stopped) {
        decision->failed = true;
        snprintf(decision->text, sizeof decision->text, "it was stopped");
        training_outcome_fini(&outcome);
        return 0;
    }
    decision->loss = outcome.losses.challenger;
    decision->other_loss = outcome.losses.champion;
    decision->baseline_loss = promotion_baseline(&outcome.losses);
    decision->windows = outcome.n_training;
    int failed = judge(learning, decision, &outcome, err);
    training_outcome_fini(&outcome);
    return failed;
}

static uint64_t champion_number(const struct backtest_learning *learning) {
    return learning->champion != NULL ? version_number(learning->champion) : 0;
}

static int run_job(struct backtest_learning *learning, uint64_t steps, int64_t clock, struct error *err) {
    retraining_begin(&learning->retraining, steps, clock);
    struct backtest_decision *decision = note(learning);
    struct windows *windows = collect(learning, steps);
    if (decision == NULL || windows == NULL) {
        windows_free(windows);
        return no_memory(learning, err);
    }
    double began = now_seconds();
    int failed = train(learning, decision, windows, err);
    decision->version = champion_number(learning);
    decision->seconds = now_seconds() - began;
    learning->retraining.busy = false;
    windows_free(windows);
    return failed;
}

/* ---- while it lives --------------------------------------------------------------------------- */

/* One step of the model is one of each of its streams: errors of fewer are a part of one. */
static void look_for_drift(struct backtest_learning *learning) {
    struct forecast_errors errors = {0};
    for (int b = 0; b < learning->n_forecasters; b++) {
        struct forecast_errors of_batch = forecaster_take_errors(learning->forecasters[b]);
        errors.sum += of_batch.sum;
        errors.n += of_batch.n;
    }
    const struct config_model *model = learning->setup->model;
    if (errors.n == 0 || !model->train || model->retrain_on != RETRAIN_ON_DRIFT)
        return;
    if (drift_see(&learning->drift, errors.sum / (double)errors.n,
                  (double)errors.n / (double)learning->setup->n_streams))
        learning->retraining.drifted = true;
}

static int judge_live(struct backtest_learning *learning, uint64_t steps, struct error *err) {
    if (learning->contest != CONTEST_SHADOW && learning->contest != CONTEST_PROBATION)
        return 0;
    enum promotion verdict =
        contest_judge(learning->contest, learning->setup->model, &learning->losses, steps - learning->began).decision;
    if (verdict == PROMOTION_WAIT)
        return 0;
    struct backtest_decision *decision = note(learning);
    if (decision == NULL)
        return no_memory(learning, err);
    decision->live = true;
    decision->decision = verdict;
    decision->loss = loss_series_mean(&learning->losses.shadow);
    decision->other_loss = loss_series_mean(&learning->losses.serving);
    int failed = verdict == PROMOTION_ROLL_BACK ? go_back(learning, err)
                 : verdict == PROMOTION_PROMOTE ? promote(learning, version_acquire(learning->other), err)
                                                : set_contest(learning, CONTEST_NONE, NULL, err);
    decision->version = champion_number(learning);
    return failed;
}

int backtest_learning_poll(struct backtest_learning *learning, struct error *err) {
    int64_t clock;
    uint64_t steps = most_steps(learning, &clock);
    if (learning->setup->no_network)
        return 0;
    look_for_drift(learning);
    if (judge_live(learning, steps, err) != 0)
        return -1;
    enum retraining_reason why =
        retraining_due(&learning->retraining, learning->setup->model, learning->champion != NULL, steps, clock);
    return why != RETRAINING_NOT_DUE ? run_job(learning, steps, clock, err) : 0;
}
