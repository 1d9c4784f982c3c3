#include "daemon/learning_internal.h"

#include "daemon/clock.h"
#include "daemon/log.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void explain_own(struct learning *learning, int m) {
    const struct config_model *model = model_config(learning, m);
    char *reason = learning->models[m].reason;
    if (model->keras != NULL)
        snprintf(reason, sizeof learning->models[m].reason, "the weights of %.200s%s", model->file,
                 model->train ? "" : ", not trained (train: false)");
    else
        snprintf(reason, sizeof learning->models[m].reason, "seeded weights, not trained (train: false)");
}

/* The network serves from the start, as the next version; it is taken over, also on failure. */
static int serve_own(struct learning *learning, int m, struct network *network, struct error *err) {
    struct model_learning *model = &learning->models[m];
    struct version *version = version_new(model->last_number + 1, network);
    if (version == NULL) {
        network_free(network);
        return error_set(err, "model %s: out of memory", model_config(learning, m)->name);
    }
    model->last_number++;
    explain_own(learning, m);
    if (disk_put_first(learning, m, version, model->before, err) != 0) {
        version_release(version);
        return -1;
    }
    struct version *before = model->before;
    model->before = NULL;
    serving_begin(learning, m, version, before);
    return 0;
}

/* Who serves a model from the start. It has a network of its own unless it is to be trained first, which is made all the
 * same, to see that it can be made. */
static int install_first(struct learning *learning, int m, struct error *err) {
    const struct config_model *model = model_config(learning, m);
    struct network *network = forecaster_network(model, err);
    char text[512];
    if (network == NULL)
        return -1;
    if (model->train && model->keras == NULL) {
        network_free(network);
        network = NULL;
    } else if (model->keras == NULL) {
        network_init_weights(network, model->seed);
    }
    int restored = disk_restore(learning, m, network, err);
    if (restored != 0 || network == NULL) {
        network_free(network);
        return restored < 0 ? -1 : 0;
    }
    config_model_text(model, text, sizeof text);
    log_info("model %s: %s", model->name, text);
    return serve_own(learning, m, network, err);
}

struct learning *learning_new(const struct learning_setup *setup, struct error *err) {
    struct learning *learning = calloc(1, sizeof *learning);
    size_t workers = (size_t)setup->config->workers;
    error_set(err, "learning: out of memory");
    if (learning == NULL)
        return NULL;
    learning->setup = *setup;
    learning->models = calloc((size_t)setup->config->n_models, sizeof *learning->models);
    for (int m = 0; learning->models != NULL && m < setup->config->n_models; m++) {
        struct model_learning *model = &learning->models[m];
        model->unsent = calloc(workers, sizeof(struct windows *));
        model->version_sent = calloc(workers, sizeof *model->version_sent);
        model->shadow_sent = calloc(workers, sizeof *model->shadow_sent);
        model->decisions = json_array();
        snprintf(model->reason, sizeof model->reason, "not trained yet: training begins when a stream has %d steps",
                 setup->config->models[m].training.first_after);
        if (model->unsent == NULL || model->version_sent == NULL || model->shadow_sent == NULL ||
            model->decisions == NULL || install_first(learning, m, err) != 0) {
            learning_free(learning);
            return NULL;
        }
    }
    if (learning->models != NULL)
        return learning;
    learning_free(learning);
    return NULL;
}

void learning_free(struct learning *learning) {
    if (learning == NULL)
        return;
    disk_finish(learning);
    for (int m = 0; learning->models != NULL && m < learning->setup.config->n_models; m++) {
        struct model_learning *model = &learning->models[m];
        for (int w = 0; model->unsent != NULL && w < learning->setup.config->workers; w++)
            windows_free(model->unsent[w]);
        if (model->stage == STAGE_COLLECTING || model->stage == STAGE_WAITING)
            training_job_free(model->job);
        training_job_free(model->finished);
        serving_free(model);
        free(model->unsent);
        free(model->version_sent);
        free(model->shadow_sent);
        free(model->live);
        json_decref(model->decisions);
        json_decref(model->latest);
    }
    free(learning->models);
    free(learning);
}

/* ---- a job ---------------------------------------------------------------------------------- */

uint64_t learning_most_steps(const struct learning *learning, int class, int64_t *ret_clock) {
    uint64_t most = 0;
    *ret_clock = INT64_MIN;
    for (int w = 0; w < learning->setup.config->workers; w++) {
        uint64_t steps = worker_most_steps(learning->setup.workers[w], class);
        if (steps > most)
            *ret_clock = worker_clock(learning->setup.workers[w], class);
        most = steps > most ? steps : most;
    }
    return most;
}

static void become_idle(struct model_learning *model) {
    model->stage = STAGE_IDLE;
    model->retraining.busy = false;
    model->job = NULL;
}

/* Nothing can be trained now: tried again when it is due again. */
static void give_up(struct learning *learning, int m, const char *why) {
    struct model_learning *model = &learning->models[m];
    become_idle(model);
    model->failed++;
    snprintf(model->reason, sizeof model->reason, "training failed: %s", why);
    learning_tell(learning, m, "failed", json_object());
}

static void be_stopped(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    become_idle(model);
    model->stopped++;
    const char *name = model_config(learning, m)->name;
    publisher_event(learning->setup.publisher, "stopped", name, json_pack("{s:s}", "model", name),
                    "model %s: the training was stopped by command", name);
}

/* Hands the workers the sets that did not fit before; goes on to the trainer when all have come back. */
static void send_sets(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    for (int w = 0; w < learning->setup.config->workers; w++) {
        if (model->unsent[w] == NULL)
            continue;
        const struct record_windows record = {RECORD_COLLECT, m, model->unsent[w]};
        if (ingest_command(learning->setup.ingest, w, &record, sizeof record))
            model->unsent[w] = NULL;
    }
}

/* By the data. */
struct data_clock {
    uint64_t most;  /* steps of any stream of the class that is in memory */
    uint64_t steps; /* of the one that tells the time; 0: there is none */
    int64_t t;      /* ns */
};

static void begin(struct learning *learning, int m, const struct data_clock *clock) {
    const struct config *config = learning->setup.config;
    const struct config_model *of = &config->models[m];
    struct model_learning *model = &learning->models[m];
    retraining_begin(&model->retraining, clock->steps, clock->t);
    model->job = training_job_new(m, config->workers);
    if (model->job == NULL) {
        give_up(learning, m, "out of memory");
        return;
    }
    int64_t streams = placement_n_streams(learning->setup.placement, m);
    int history = config->classes[of->class].history;
    for (int w = 0; w < config->workers; w++) {
        /* Streams need not be spread evenly: each set has places for all, memory is taken only by windows. */
        model->unsent[w] = windows_new(of, of->training.max_windows, streams,
                                       clock->most < (uint64_t)history ? (int)clock->most : history);
        if (model->unsent[w] != NULL)
            continue;
        while (w-- > 0) {
            windows_free(model->unsent[w]);
            model->unsent[w] = NULL;
        }
        training_job_free(model->job);
        give_up(learning, m, "out of memory");
        return;
    }
    model->still_out = config->workers;
    model->unwanted = false;
    model->stage = STAGE_COLLECTING;
    send_sets(learning, m);
}

/* One job is prepared while the trainer runs another: jobs do not wait with windows that grow old. */
static bool may_begin(const struct learning *learning) {
    for (int m = 0; m < learning->setup.config->n_models; m++)
        if (learning->models[m].stage == STAGE_COLLECTING || learning->models[m].stage == STAGE_WAITING)
            return false;
    return true;
}

static void finish_job(struct learning *learning, int m);

/* Of the worker of whose streams the one with the most steps has taken one since it is in memory. */
static struct worker_ticking read_workers(const struct learning *learning, int m) {
    struct worker_ticking latest = {0};
    for (int w = 0; w < learning->setup.config->workers; w++) {
        struct worker_ticking of = worker_ticking(learning->setup.workers[w], m);
        if (of.steps > latest.steps)
            latest = of;
    }
    return latest;
}

/* From when on they count what is new: told before the first tick is read, as all is looked at before. */
static void tell_trained(const struct learning *learning, int m) {
    for (int w = 0; w < learning->setup.config->workers; w++)
        worker_trained(learning->setup.workers[w], m, learning->models[m].retraining.tried_at);
}

/* Behind a training the time goes on by what ticks: who comes back from the disk, and has more steps, or fewer, than who was
 * there, or stood still long ago, is not new. How many steps came since is read off their times, so that a start makes no
 * difference. */
static struct data_clock read_clock(struct learning *learning, int m) {
    struct retraining *retraining = &learning->models[m].retraining;
    struct data_clock clock;
    clock.most = clock.steps = learning_most_steps(learning, model_config(learning, m)->class, &clock.t);
    if (clock.most == 0 || (retraining->tried && clock.t < retraining->tried_at))
        clock.t = retraining->tried_at; /* no stream tells the time */
    if (!retraining->tried)
        return clock;
    tell_trained(learning, m);
    struct worker_ticking now = read_workers(learning, m);
    clock.steps = now.steps;
    if (now.steps == 0)
        return clock;
    clock.t = now.t;
    if (now.knows)
        retraining->tried_steps = now.steps > now.since ? now.steps - now.since : 0;
    return clock;
}

static void poll_model(struct learning *learning, int m) {
    const struct config_model *of = model_config(learning, m);
    struct model_learning *model = &learning->models[m];
    serving_send(learning, m);
    if (model->stage == STAGE_COLLECTING)
        send_sets(learning, m);
    disk_poll(learning, m);
    struct data_clock clock = read_clock(learning, m);
    live_poll(learning, m, clock.most);
    bool serves = placement_version(learning->setup.placement, m) != NULL;
    enum retraining_reason why = retraining_due(&model->retraining, of, serves, clock.steps, clock.t);
    if (why == RETRAINING_NOT_DUE || !may_begin(learning))
        return;
    model->why = why;
    begin(learning, m, &clock);
    learning->first = m + 1; /* the others are looked at before it the next time */
}

void learning_poll(struct learning *learning) {
    int n = learning->setup.config->n_models, first = learning->first;
    for (int i = 0; i < n; i++) {
        finish_job(learning, (first + i) % n);
        poll_model(learning, (first + i) % n);
    }
}

/* The job whose windows are there, if the trainer has none. */
static void submit(struct learning *learning) {
    int m = 0, n = learning->setup.config->n_models;
    while (m < n && learning->models[m].stage != STAGE_WAITING)
        m++;
    if (m == n || learning->trainer_busy)
        return;
    struct model_learning *model = &learning->models[m];
    struct version *champion = placement_version(learning->setup.placement, m);
    model->job->champion = champion != NULL ? version_acquire(champion) : NULL;
    model->stage = STAGE_TRAINING;
    learning->trainer_busy = true;
    int windows = 0;
    for (int s = 0; s < model->job->n_sets; s++)
        windows += windows_count(model->job->sets[s]);
    const char *name = model_config(learning, m)->name, *why = retraining_name(model->why);
    publisher_event(learning->setup.publisher, "training", name,
                    json_pack("{s:s, s:i, s:s}", "model", name, "windows", windows, "why", why),
                    "model %s: training begins on %d windows (%s)", name, windows, why);
    trainer_submit(learning->setup.trainer, model->job);
}

void learning_collected(struct learning *learning, const struct record_windows *record) {
    struct model_learning *model = &learning->models[record->model];
    assert(model->stage == STAGE_COLLECTING && model->still_out > 0);
    model->job->sets[model->job->n_sets++] = record->windows;
    if (--model->still_out > 0)
        return;
    model->stage = STAGE_WAITING;
    if (model->unwanted) {
        training_job_free(model->job);
        be_stopped(learning, record->model);
    }
    submit(learning);
}

static void finish(struct learning *learning, struct training_job *job) {
    int m = job->model;
    struct model_learning *model = &learning->models[m];
    assert(model->stage == STAGE_TRAINING && model->job == job);
    become_idle(model);
    model->jobs++;
    model->seconds = job->seconds;
    model->ended = clock_realtime();
    if (job->failed) {
        give_up(learning, m, job->err.text);
        return;
    }
    if (job->outcome.stopped) {
        be_stopped(learning, m);
        return;
    }
    const struct promotion_rules rules = promotion_rules_of(model_config(learning, m));
    model->outcome = job->outcome;
    model->outcome.challenger = NULL;
    model->outcome.ridge = NULL;
    model->verdict = promotion_decide(&job->outcome.losses, &rules);
    json_decref(model->latest);
    model->latest = describe_outcome(model);
    serving_judge(learning, m, &job->outcome);
}

/* The job that has come back, unless a version is on its way to the disk: one decision after the other. */
static void finish_job(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    struct training_job *job = model->finished;
    if (job == NULL || model->plan.version != NULL)
        return;
    model->finished = NULL;
    finish(learning, job);
    training_job_free(job);
}

void learning_finished(struct learning *learning) {
    struct training_job *job;
    while ((job = trainer_take(learning->setup.trainer)) != NULL) {
        learning->trainer_busy = false;
        learning->models[job->model].finished = job;
        finish_job(learning, job->model);
        submit(learning);
    }
}

int learning_retrain(struct learning *learning, int m) {
    if (!model_config(learning, m)->train)
        return -1;
    learning->models[m].retraining.asked = true;
    return 0;
}

int learning_stop_training(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    bool asked = model->retraining.asked;
    model->retraining.asked = false;
    switch (model->stage) {
    case STAGE_IDLE: return asked ? 0 : -1;
    case STAGE_COLLECTING: model->unwanted = true; return 0;
    case STAGE_WAITING:
        training_job_free(model->job);
        be_stopped(learning, m);
        return 0;
    case STAGE_TRAINING: atomic_store_explicit(&model->job->stop, true, memory_order_relaxed); return 0;
    }
    return 0;
}
