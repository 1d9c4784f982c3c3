#include "engine/training.h"

#include "engine/forecaster.h"
#include "engine/pooled.h"
#include "engine/training_internal.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct training_watch nobody;

/* The parameters of one network in another form of it. */
static void take_params(struct network *network, const struct network *from) {
    memcpy(network_params(network), network_params_const(from), network_n_params(from) * sizeof(float));
}

/* NULL without memory. */
static struct optimizer *new_optimizer(const struct config_training *training, const struct network *network) {
    struct optimizer_spec spec = optimizer_spec_of(training->optimizer);
    spec.learning_rate = training->learning_rate;
    spec.momentum = training->momentum;
    spec.nesterov = training->nesterov;
    spec.weight_decay = training->weight_decay;
    spec.clip_norm = training->clip_norm;
    spec.clip_value = training->clip_value;
    struct optimizer *optimizer = optimizer_new(&spec, network_n_params(network));
    for (int i = 0; optimizer != NULL && i < network_spec(network)->n_layers; i++) {
        struct network_weight weights[LAYER_WEIGHTS];
        for (int w = 0, n = network_weights(network, i, weights); w < n; w++)
            if (!weights[w].trainable)
                optimizer_spare(optimizer, weights[w].at, weights[w].n);
    }
    return optimizer;
}

static int prepare(struct job *job, const struct network *champion, struct error *err) {
    const struct config_training *training = &job->model->training;
    job->network = training_network(job->model, err);
    if (job->network == NULL)
        return -1;
    if (champion != NULL)
        take_params(job->network, champion);
    else if (job->model->keras == NULL)
        network_init_weights(job->network, job->model->seed);
    size_t n_params = network_n_params(job->network);
    job->optimizer = new_optimizer(training, job->network);
    job->at_once = job->model->mode == MODEL_WINDOWED ? job->model->window : training->unroll;
    job->tape = tape_new(job->network, training->batch, job->at_once);
    job->state = calloc((size_t)training->batch * network_state_size(job->network) + 1, sizeof *job->state);
    job->grads = calloc(n_params, sizeof *job->grads);
    if (training->order == ORDER_STATEFUL && job_carry(job) != 0)
        return -1;
    if (training->patience > 0)
        job->best = calloc(n_params, sizeof *job->best);
    if (job->optimizer == NULL || job->tape == NULL || job->state == NULL || job->grads == NULL ||
        (training->patience > 0 && job->best == NULL))
        return -1;
    return chunk_init(&job->chunk, job->model, training->batch, job->at_once);
}

static void fini(struct job *job) {
    network_free(job->network);
    optimizer_free(job->optimizer);
    tape_free(job->tape);
    chunk_fini(&job->chunk);
    free(job->state);
    free(job->grads);
    free(job->best);
    carried_free(job->carried);
    free(job->training);
    free(job->validation);
}

struct evaluation job_evaluation(struct job *job, enum evaluation_part part) {
    return (struct evaluation){.model = job->model,
                               .kernels = job->kernels,
                               .chunk = &job->chunk,
                               .tape = job->tape,
                               .state = job->state,
                               .part = part,
                               .windows = job->validation,
                               .n = job->n_validation,
                               .stop = job_is_stopped,
                               .context = job};
}

/* The losses of all, and the challenger as it would serve. Returns -1 when memory is short. */
static int judge(struct job *job, const struct network *champion, struct training_outcome *outcome) {
    struct error err;
    /* What has chosen the weights does not judge them. */
    const struct evaluation evaluation =
        job_evaluation(job, isnan(job->progress.best) ? EVALUATION_ALL : EVALUATION_JUDGES);
    evaluation_baselines(&evaluation, &outcome->losses);
    struct promotion_series *over_time = &outcome->losses.over_time;
    outcome->losses.challenger = evaluation_network(&evaluation, job->network, &over_time->challenger);
    struct network *challenger = forecaster_network(job->model, &err);
    if (challenger == NULL)
        return -1;
    take_params(challenger, job->network);
    if (champion != NULL) {
        take_params(job->network, champion);
        outcome->losses.champion = evaluation_network(&evaluation, job->network, &over_time->champion);
    }
    outcome->challenger = challenger;
    if (pooled_is_kept(job->model))
        outcome->ridge = pooled_solve(job->model, job->training, job->n_training, job_is_stopped, job);
    return 0;
}

/* Trains and judges. Returns -1 when memory is short, or when training has diverged. */
static int run(struct job *job, const struct network *champion, struct training_outcome *outcome) {
    bool trained = job_train(job);
    outcome->training_loss = job->progress.loss;
    if (job->failed)
        return -1;
    if (!trained && !job->watch->keep)
        return 0;
    if (job->watch->keep) /* what has been reached is wanted, and is judged in any case */
        job->watch = &nobody;
    job->stopped = false;
    int failed = judge(job, champion, outcome);
    outcome->stopped = !trained;
    return failed;
}

static const struct promotion_losses no_losses = {
    .challenger = NAN, .champion = NAN, .last_value = NAN, .seasonal = NAN};

void training_outcome_fini(struct training_outcome *outcome) {
    network_free(outcome->challenger);
    free(outcome->ridge);
    outcome->challenger = NULL;
    outcome->ridge = NULL;
}

int training_run(const struct config_model *model, const struct kernels *kernels, struct windows *const *sets,
                 int n_sets, const struct network *champion, const struct training_watch *watch,
                 struct training_outcome *ret_outcome, struct error *err) {
    struct job job = {.model = model,
                      .kernels = kernels,
                      .watch = watch != NULL ? watch : &nobody,
                      .rng = {model->seed},
                      .progress = {.loss = NAN, .validation = NAN, .best = NAN},
                      .first_loss = NAN,
                      .err = err};
    struct training_outcome outcome = {.losses = no_losses, .training_loss = NAN};
    /* More would spin while they wait; and how a sum is divided among threads shows in its last bits. */
    openblas_set_num_threads(1);
    error_set(err, "model %s: out of memory for training", model->name);
    if (windows_choose(sets, n_sets, false, &job.training, &job.n_training) != 0 ||
        windows_choose(sets, n_sets, true, &job.validation, &job.n_validation) != 0 ||
        prepare(&job, champion, err) != 0) {
        fini(&job);
        return -1;
    }
    outcome.n_training = job.n_training;
    outcome.n_validation = job.n_validation;
    if (job.n_training > 0 && job.n_validation > 0 && run(&job, champion, &outcome) != 0) {
        training_outcome_fini(&outcome);
        fini(&job);
        return -1;
    }
    if (job.stopped) {
        training_outcome_fini(&outcome);
        outcome.losses = no_losses;
    }
    outcome.stopped |= job.stopped;
    outcome.epochs = job.progress.epoch;
    outcome.best_epoch = job.progress.best_epoch;
    outcome.steps = (int)(job.progress.steps < INT_MAX ? job.progress.steps : INT_MAX);
    fini(&job);
    *ret_outcome = outcome;
    return 0;
}
