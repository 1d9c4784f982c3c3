#include "clients/forecast/backtest_learning.h"

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
    struct retraining retraining;
    struct backtest_job *jobs;
    int n_jobs, size;
};

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- versions ------------------------------------------------------------------------------- */

/* Makes the network (NULL: none, the baseline) the next version and lets it take over at this step. The network is the
 * version's from then on. */
static int install(struct backtest_learning *learning, struct network *network, struct error *err) {
    struct version *before = learning->champion;
    struct version *version = version_new(before != NULL ? version_number(before) + 1 : 1, network);
    if (version == NULL) {
        network_free(network);
        return error_set(err, "model %s: out of memory", learning->setup->model->name);
    }
    learning->champion = version;
    version_release(before);
    for (int b = 0; b < learning->n_forecasters; b++) {
        if (forecaster_propose(learning->forecasters[b], version) != 0)
            return error_set(err, "model %s: out of memory", learning->setup->model->name);
        while (!forecaster_prime(learning->forecasters[b]))
            ;
    }
    return 0;
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
    return install(learning, network, err);
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
    free(learning->jobs);
    free(learning);
}

struct backtest_job *backtest_learning_take_jobs(struct backtest_learning *learning, int *ret_n) {
    struct backtest_job *jobs = learning->jobs;
    *ret_n = learning->n_jobs;
    learning->jobs = NULL;
    learning->n_jobs = learning->size = 0;
    return jobs;
}

/* ---- a job ---------------------------------------------------------------------------------- */

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

static struct backtest_job *next_job(struct backtest_learning *learning) {
    if (learning->n_jobs == learning->size) {
        int size = learning->size > 0 ? 2 * learning->size : 16;
        struct backtest_job *jobs = realloc(learning->jobs, (size_t)size * sizeof *jobs);
        if (jobs == NULL)
            return NULL;
        learning->jobs = jobs;
        learning->size = size;
    }
    struct backtest_job *job = &learning->jobs[learning->n_jobs++];
    *job = (struct backtest_job){0};
    return job;
}

/* Trains, decides, and installs what is promoted. A job that fails is noted; who serves goes on. */
static int run_job(struct backtest_learning *learning, struct backtest_job *job, struct windows *windows,
                   struct error *err) {
    const struct config_model *model = learning->setup->model;
    const struct network *champion = learning->champion != NULL ? version_network(learning->champion) : NULL;
    const struct training_watch watch = {.stop = told_to_stop, .context = (void *)learning->setup};
    struct training_outcome outcome;
    struct error failure;
    if (training_run(model, learning->kernels, &windows, 1, champion, &watch, &outcome, &failure) != 0) {
        job->failed = true;
        snprintf(job->text, sizeof job->text, "training failed: %.200s", failure.text);
        return 0;
    }
    const struct promotion_rules rules = promotion_rules_of(model);
    struct promotion_verdict verdict = promotion_decide(&outcome.losses, &rules);
    job->promotion = verdict.decision;
    job->losses = outcome.losses;
    job->windows = outcome.n_training;
    if (verdict.decision == PROMOTION_PROMOTE)
        return install(learning, outcome.challenger, err);
    network_free(outcome.challenger);
    return verdict.decision == PROMOTION_DEMOTE ? install(learning, NULL, err) : 0;
}

static int begin(struct backtest_learning *learning, uint64_t steps, int64_t clock, struct error *err) {
    retraining_begin(&learning->retraining, steps, clock);
    struct backtest_job *job = next_job(learning);
    struct windows *windows = collect(learning, steps);
    if (job == NULL || windows == NULL) {
        windows_free(windows);
        return error_set(err, "model %s: out of memory", learning->setup->model->name);
    }
    double began = now_seconds();
    job->step = steps;
    job->t = clock;
    int failed = run_job(learning, job, windows, err);
    job->version = learning->champion != NULL ? version_number(learning->champion) : 0;
    job->seconds = now_seconds() - began;
    learning->retraining.busy = false;
    windows_free(windows);
    return failed;
}

int backtest_learning_poll(struct backtest_learning *learning, struct error *err) {
    int64_t clock;
    uint64_t steps = most_steps(learning, &clock);
    if (learning->setup->no_network)
        return 0;
    enum retraining_reason why =
        retraining_due(&learning->retraining, learning->setup->model, learning->champion != NULL, steps, clock);
    return why != RETRAINING_NOT_DUE ? begin(learning, steps, clock, err) : 0;
}
