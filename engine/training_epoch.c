#include "engine/head.h"
#include "engine/schedule.h"
#include "engine/training_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* An epoch's mean loss that is so many times that of a forecast of zero, or of the network before it learnt, is no
 * learning any more. */
static const double exploded = 1000;

bool job_is_stopped(void *context) {
    struct job *job = context;
    job->stopped = job->stopped || (job->watch->stop != NULL && job->watch->stop(job->watch->context));
    return job->stopped;
}

/* Gives up the job with a sentence. Returns false. */
__attribute__((format(printf, 2, 3))) static bool job_fail(struct job *job, const char *format, ...) {
    char why[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    job->failed = true;
    error_set(job->err, "model %s: training has diverged: %s (epoch %d of %d)", job->model->name, why,
              job->progress.epoch + 1, job->progress.epochs);
    return false;
}

/* ---- one step of the optimiser ---------------------------------------------------------------- */

static double learning_rate(const struct job *job) {
    const struct config_training *training = &job->model->training;
    return training->learning_rate *
           schedule_share(&training->schedule, (double)job->progress.steps / (double)job->progress.steps_in_all);
}

bool job_train_chunk(struct job *job, int rows, int steps) {
    struct chunk *chunk = &job->chunk;
    double weight = chunk_fill(chunk, job->model, EVALUATION_ALL, rows, steps);
    const float *y;
    tape_forward(job->tape, job->network, job->kernels, &job->rng, rows, steps, chunk->x, job->state, &y);
    job->progress.steps++;
    if (weight == 0)
        return true;
    const struct loss_spec spec = head_loss(job->model);
    size_t places = (size_t)rows * (size_t)chunk_origins(job->model, steps);
    size_t n = (size_t)head_answers(job->model);
    /* Not by the weights: else a batch of old windows would weigh as much as any. */
    float scale = 1 / (float)chunk->n_answers;
    double loss = loss_sum(&spec, places, n, y, chunk->answer, chunk->weight, scale, chunk->gradient);
    if (!isfinite(loss))
        return job_fail(job, "the loss is not a number");
    job->loss += loss;
    job->weight += weight;
    if (isnan(job->first_loss))
        job->first_loss = loss / weight;
    memset(job->grads, 0, network_n_params(job->network) * sizeof *job->grads);
    const float *dy = chunk->gradient;
    tape_backward(job->tape, job->network, &dy, job->grads);
    job->progress.rate = learning_rate(job);
    optimizer_set_rate(job->optimizer, job->progress.rate);
    optimizer_step(job->optimizer, network_params(job->network), job->grads);
    tape_learn_statistics(job->tape, job->network);
    /* Else it is no part of an explosion, and need not be looked at once more. */
    if (loss > exploded * weight * fmax(job->first_loss, 0)) {
        /* Has been used: zeros to compare with. */
        memset(chunk->gradient, 0, places * n * (size_t)loss_width(&spec) * sizeof *chunk->gradient);
        job->zero_loss += loss_sum(&spec, places, n, chunk->gradient, chunk->answer, chunk->weight, 1, NULL);
    }
    return true;
}

/* ---- batches of windows ----------------------------------------------------------------------- */

static int longest_window(const struct window *const *windows, int n) {
    int most = 0;
    for (int i = 0; i < n; i++)
        most = windows[i]->n > most ? windows[i]->n : most;
    return most;
}

/* Where the first chunk begins. Samples begin elsewhere each time, so that in the end all of them are seen. */
static int first_chunk(struct job *job, int steps) {
    int unroll = job->model->training.unroll, places = steps - job->at_once + 1;
    if (job->model->mode != MODEL_WINDOWED || places < 1)
        return 0;
    return (int)rng_below(&job->rng, (uint64_t)(places < unroll ? places : unroll));
}

/* Returns false when the job was told to stop, or has failed. */
static bool train_batch(struct job *job, const struct window *const *windows, int rows) {
    /* The last `horizon` steps are answers only. */
    int steps = longest_window(windows, rows) - job->model->horizon, unroll = job->model->training.unroll;
    bool windowed = job->model->mode == MODEL_WINDOWED;
    memset(job->state, 0, (size_t)rows * network_state_size(job->network) * sizeof *job->state);
    for (int from = first_chunk(job, steps); windowed ? from + job->at_once <= steps : from < steps; from += unroll) {
        if (job_is_stopped(job))
            return false;
        chunk_set_rows(&job->chunk, windows, rows, from);
        if (!job_train_chunk(job, rows, steps - from < job->at_once ? steps - from : job->at_once))
            return false;
    }
    return true;
}

static void shuffle(const struct window **windows, int n, struct rng *rng) {
    for (int i = n - 1; i > 0; i--) {
        int j = (int)rng_below(rng, (uint64_t)i + 1);
        const struct window *kept = windows[i];
        windows[i] = windows[j];
        windows[j] = kept;
    }
}

void job_tell(const struct job *job) {
    if (job->watch->progress != NULL)
        job->watch->progress(job->watch->context, &job->progress);
}

static bool shuffled_epoch(struct job *job) {
    int batch = job->model->training.batch;
    shuffle(job->training, job->n_training, &job->rng);
    for (int first = 0; first < job->n_training; first += batch) {
        int rows = job->n_training - first < batch ? job->n_training - first : batch;
        if (!train_batch(job, job->training + first, rows))
            return false;
        job->progress.loss = job->loss / job->weight;
        if (first + batch < job->n_training)
            job_tell(job);
    }
    return true;
}

static bool train_epoch(struct job *job) {
    job->loss = job->zero_loss = job->weight = 0;
    if (!(job->carried != NULL ? job_carried_epoch(job) : shuffled_epoch(job)))
        return false;
    if (job->loss > exploded * (job->zero_loss + job->weight * fmax(job->first_loss, 0)))
        return job_fail(job, "the loss has grown to %.3g from %.3g", job->loss / job->weight, job->first_loss);
    return true;
}

/* ---- epochs ----------------------------------------------------------------------------------- */

/* Of so many steps: samples have places to begin at, of which the first one is drawn. */
static int fewest_chunks(const struct job *job, int steps) {
    int unroll = job->model->training.unroll, places = steps - job->at_once + 1;
    if (job->model->mode != MODEL_WINDOWED)
        return (steps + unroll - 1) / unroll;
    return places < unroll ? places > 0 : places / unroll;
}

/* How many there will be: where windows are few, more than the configuration says. */
static void plan(struct job *job) {
    const struct config_training *training = &job->model->training;
    int batches = (job->n_training + training->batch - 1) / training->batch;
    int64_t chunks = 0;
    for (int i = 0; i < job->n_training; i++)
        chunks += fewest_chunks(job, job->training[i]->n - job->model->horizon);
    int64_t each = chunks * batches / job->n_training; /* or more: a batch has as many as its longest window */
    if (job->carried != NULL)
        each = job_carried_chunks(job);
    each = each > 1 ? each : 1;
    int enough = (int)((training->min_steps + each - 1) / each);
    job->progress.epochs = training->epochs > enough ? training->epochs : enough;
    job->progress.steps_in_all = job->progress.epochs * each;
}

/* Whether the validation part is looked at behind this epoch, counted from 1: as often as the configuration has epochs. */
static bool is_check(const struct job *job, int epoch) {
    int every = (job->progress.epochs + job->model->training.epochs - 1) / job->model->training.epochs;
    return job->best != NULL && (epoch % every == 0 || epoch == job->progress.epochs);
}

/* Keeps the weights when they are the best so far. Returns false when there have been no better ones for too long. */
static bool check(struct job *job) {
    struct training_progress *progress = &job->progress;
    const struct evaluation evaluation = job_evaluation(job, EVALUATION_CHOOSES);
    progress->validation = evaluation_network(&evaluation, job->network, NULL);
    if (job->stopped)
        return false;
    if (isnan(progress->validation)) /* there is nothing to choose by */
        return true;
    if (isnan(progress->best) || progress->validation < progress->best) {
        progress->best = progress->validation;
        progress->best_epoch = progress->epoch;
        job->waited = 0;
        memcpy(job->best, network_params(job->network), network_n_params(job->network) * sizeof *job->best);
        return true;
    }
    return ++job->waited < job->model->training.patience;
}

bool job_train(struct job *job) {
    bool more = true;
    plan(job);
    for (int epoch = 1; more && epoch <= job->progress.epochs; epoch++) {
        more = train_epoch(job);
        if (!more)
            break;
        job->progress.epoch = epoch;
        if (is_check(job, epoch))
            more = check(job);
        job_tell(job);
    }
    if (job->best != NULL && !isnan(job->progress.best))
        memcpy(network_params(job->network), job->best, network_n_params(job->network) * sizeof *job->best);
    return !job->stopped && !job->failed;
}
