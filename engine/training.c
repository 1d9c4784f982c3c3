#include "engine/training.h"

#include "engine/evaluation.h"
#include "engine/forecaster.h"
#include "engine/keras/keras.h"
#include "engine/optimizer.h"
#include "engine/random.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The learning rate falls linearly to this share of itself over the job. */
static const double last_rate = 0.1;

struct job {
    const struct config_model *model;
    const struct kernels *kernels;
    const struct training_watch *watch;
    struct network *network;
    struct optimizer *optimizer;
    struct tape *tape;
    struct chunk chunk;
    struct rng rng;
    float *state, *grads;
    const struct window **training, **validation; /* the windows of all sets */
    int n_training, n_validation;
    int at_once; /* steps of a chunk: unrolled ones, or a sample */
    int epochs;
    int64_t steps, steps_in_all; /* of the optimiser */
    double loss, weight;         /* of this epoch */
    bool stopped;                /* it has been told to */
};

static bool is_stopped(void *context) {
    struct job *job = context;
    job->stopped = job->stopped || (job->watch->stop != NULL && job->watch->stop(job->watch->context));
    return job->stopped;
}

/* ---- the network as it is trained ------------------------------------------------------------- */

/* Whether a layer reads the state of a recurrent one, which a chunk gives for its last step only. */
static bool reads_state(const struct network_spec *spec, const struct layer_spec *layer) {
    for (int i = 0; i < layer->n_in; i++)
        if (layer->in[i].layer >= 0 && layer->in[i].port > 0 &&
            layer_is_recurrent(spec->layers[layer->in[i].layer].kind))
            return true;
    return false;
}

/* The file's network with an output at every step: where a recurrent layer gives its last step only, all of them. On a
 * stream that is the same, tick by tick. */
static struct network *every_step(const struct config_model *model, struct error *err) {
    struct network_spec spec = model->keras->spec;
    struct layer_spec *layers = calloc((size_t)spec.n_layers, sizeof *layers);
    if (layers == NULL) {
        error_set(err, "out of memory");
        return NULL;
    }
    memcpy(layers, spec.layers, (size_t)spec.n_layers * sizeof *layers);
    for (int i = 0; i < spec.n_layers; i++) {
        if (layer_is_recurrent(layers[i].kind))
            layers[i].return_sequences = true;
        if (!reads_state(&spec, &layers[i]))
            continue;
        error_set(err, "layer %s reads a state, which is not trained at every step", layers[i].name);
        free(layers);
        return NULL;
    }
    spec.layers = layers;
    spec.mode = NETWORK_STREAM;
    struct network *network = network_new(&spec, err);
    free(layers);
    return network;
}

struct network *training_network(const struct config_model *model, struct error *err) {
    if (model->keras == NULL)
        return forecaster_network(model, err);
    bool windowed = model->mode == MODEL_WINDOWED;
    struct network *network = windowed ? forecaster_network(model, err) : every_step(model, err);
    if (network == NULL)
        return NULL;
    int steps = windowed ? model->window : 2;
    struct network_shape shape = network_output(network, 0, steps);
    if (network_n_outputs(network) == 1 && shape.width == model->horizon * model->n_targets &&
        (windowed ? !shape.sequence : shape.sequence && shape.steps == steps) &&
        network_n_params(network) == model->keras->n_params) {
        memcpy(network_params(network), model->keras->params, model->keras->n_params * sizeof(float));
        return network;
    }
    network_free(network);
    error_set(err, "a network is trained that gives the whole horizon at once, %s",
              windowed ? "for a whole sample" : "at every step");
    return NULL;
}

/* The parameters of one network in another form of it. */
static void take_params(struct network *network, const struct network *from) {
    memcpy(network_params(network), network_params_const(from), network_n_params(from) * sizeof(float));
}

/* ---- a job ------------------------------------------------------------------------------------ */

static int collect(struct job *job, struct windows *const *sets, int n_sets) {
    size_t all = 1;
    for (int s = 0; s < n_sets; s++)
        all += (size_t)windows_count(sets[s]);
    job->training = calloc(all, sizeof *job->training);
    job->validation = calloc(all, sizeof *job->validation);
    if (job->training == NULL || job->validation == NULL)
        return -1;
    for (int s = 0; s < n_sets; s++)
        for (int i = 0; i < windows_count(sets[s]); i++) {
            const struct window *window = windows_at(sets[s], i);
            if (window->validation)
                job->validation[job->n_validation++] = window;
            else
                job->training[job->n_training++] = window;
        }
    return 0;
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
    if (job->optimizer == NULL || job->tape == NULL || job->state == NULL || job->grads == NULL)
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
    free(job->training);
    free(job->validation);
}

/* One chunk: forward, loss, backward, a step of the optimiser. */
static void train_chunk(struct job *job, const struct window *const *windows, int rows, int from, int steps) {
    struct chunk *chunk = &job->chunk;
    double weight = chunk_fill(chunk, job->model, windows, rows, from, steps);
    const float *y;
    tape_forward(job->tape, job->network, job->kernels, true, rows, steps, chunk->x, job->state, &y);
    job->steps++;
    if (weight == 0)
        return;
    size_t n = (size_t)rows * (size_t)chunk_origins(job->model, steps) *
               (size_t)(job->model->horizon * job->model->n_targets);
    job->loss +=
        loss_sum(job->model->training.loss, n, y, chunk->answer, chunk->weight, (float)(1 / weight), chunk->gradient);
    job->weight += weight;
    memset(job->grads, 0, network_n_params(job->network) * sizeof *job->grads);
    const float *dy = chunk->gradient;
    tape_backward(job->tape, job->network, &dy, job->grads);
    double done = (double)job->steps / (double)job->steps_in_all;
    optimizer_set_rate(job->optimizer, job->model->training.learning_rate * (1 - (1 - last_rate) * fmin(done, 1)));
    optimizer_step(job->optimizer, network_params(job->network), job->grads);
    tape_learn_statistics(job->tape, job->network);
}

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

/* Returns false when the job was told to stop. */
static bool train_batch(struct job *job, const struct window *const *windows, int rows) {
    /* The last `horizon` steps are answers only. */
    int steps = longest_window(windows, rows) - job->model->horizon, unroll = job->model->training.unroll;
    bool windowed = job->model->mode == MODEL_WINDOWED;
    memset(job->state, 0, (size_t)rows * network_state_size(job->network) * sizeof *job->state);
    for (int from = first_chunk(job, steps); windowed ? from + job->at_once <= steps : from < steps; from += unroll) {
        if (is_stopped(job))
            return false;
        train_chunk(job, windows, rows, from, steps - from < job->at_once ? steps - from : job->at_once);
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

/* Of so many steps: samples have places to begin at, of which the first one is drawn. */
static int fewest_chunks(const struct job *job, int steps) {
    int unroll = job->model->training.unroll, places = steps - job->at_once + 1;
    if (job->model->mode != MODEL_WINDOWED)
        return (steps + unroll - 1) / unroll;
    return places < unroll ? places > 0 : places / unroll;
}

static bool train(struct job *job) {
    const struct config_training *training = &job->model->training;
    const struct training_watch *watch = job->watch;
    int batches = (job->n_training + training->batch - 1) / training->batch;
    int64_t chunks = 0;
    for (int i = 0; i < job->n_training; i++)
        chunks += fewest_chunks(job, job->training[i]->n - job->model->horizon);
    int64_t each = chunks * batches / job->n_training; /* or more: a batch has as many as its longest window */
    each = each > 1 ? each : 1;
    int enough = (int)((training->min_steps + each - 1) / each);
    job->epochs = training->epochs > enough ? training->epochs : enough;
    job->steps_in_all = job->epochs * each;
    for (int epoch = 0; epoch < job->epochs; epoch++) {
        job->loss = job->weight = 0;
        shuffle(job->training, job->n_training, &job->rng);
        for (int first = 0; first < job->n_training; first += training->batch) {
            int rows = job->n_training - first < training->batch ? job->n_training - first : training->batch;
            if (!train_batch(job, job->training + first, rows))
                return false;
        }
        const struct training_progress progress = {
            .epoch = epoch + 1, .epochs = job->epochs, .loss = job->loss / job->weight};
        if (watch->progress != NULL)
            watch->progress(watch->context, &progress);
    }
    return true;
}

static double loss_of(struct job *job, const struct network *network) {
    return evaluation_network(job->model, job->kernels, &job->chunk, job->tape, job->state, network, job->validation,
                              job->n_validation, is_stopped, job);
}

/* The losses of all, and the challenger as it would serve. Returns -1 when memory is short. */
static int judge(struct job *job, const struct network *champion, struct training_outcome *outcome) {
    struct error err;
    evaluation_baselines(job->model, job->validation, job->n_validation, &outcome->losses);
    outcome->losses.challenger = loss_of(job, job->network);
    outcome->training_loss = job->loss / job->weight;
    struct network *challenger = forecaster_network(job->model, &err);
    if (challenger == NULL)
        return -1;
    take_params(challenger, job->network);
    if (champion != NULL) {
        take_params(job->network, champion);
        outcome->losses.champion = loss_of(job, job->network);
    }
    outcome->challenger = challenger;
    return 0;
}

int training_run(const struct config_model *model, const struct kernels *kernels, struct windows *const *sets,
                 int n_sets, const struct network *champion, const struct training_watch *watch,
                 struct training_outcome *ret_outcome, struct error *err) {
    static const struct training_watch nobody = {0};
    struct job job = {
        .model = model, .kernels = kernels, .watch = watch != NULL ? watch : &nobody, .rng = {model->seed}};
    struct training_outcome outcome = {.losses = {NAN, NAN, NAN, NAN}, .training_loss = NAN};
    error_set(err, "model %s: out of memory for training", model->name);
    if (collect(&job, sets, n_sets) != 0 || prepare(&job, champion, err) != 0) {
        fini(&job);
        return -1;
    }
    outcome.n_training = job.n_training;
    outcome.n_validation = job.n_validation;
    if (job.n_training > 0 && job.n_validation > 0) {
        if (train(&job) && judge(&job, champion, &outcome) != 0) {
            fini(&job);
            return -1;
        }
    }
    if (job.stopped) {
        network_free(outcome.challenger);
        outcome.challenger = NULL;
        outcome.losses = (struct promotion_losses){NAN, NAN, NAN, NAN};
        outcome.stopped = true;
    }
    outcome.steps = (int)(job.steps < INT_MAX ? job.steps : INT_MAX);
    fini(&job);
    *ret_outcome = outcome;
    return 0;
}
