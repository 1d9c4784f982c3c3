#include "daemon/learning.h"

#include "daemon/clock.h"
#include "daemon/log.h"
#include "engine/retraining.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum stage { STAGE_IDLE, STAGE_COLLECTING, STAGE_TRAINING };

struct model_learning {
    enum stage stage;
    struct training_job *job; /* while collecting and training (then it is the trainer's, but for its epoch) */
    int still_out;            /* workers that have not handed their set back */
    struct windows **unsent;  /* [workers] sets that did not fit into a ring yet */
    struct retraining retraining;
    enum retraining_reason why; /* of the latest job */

    struct version *unsent_version; /* that has not reached all workers */
    bool *version_sent;             /* [workers] */

    /* The latest job, for people. */
    bool judged;
    struct promotion_verdict verdict;
    struct training_outcome outcome; /* without its network */
    double seconds;
    int64_t finished; /* ns since 1970 */
    uint64_t jobs, promoted, failed;
    char reason[256]; /* why who serves serves */
};

struct learning {
    struct learning_setup setup;
    struct model_learning *models; /* [n_models] */
};

/* ---- versions ------------------------------------------------------------------------------- */

/* Sends a new version to the workers that have not got it. */
static void send_version(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    bool all = true;
    for (int w = 0; model->unsent_version != NULL && w < learning->setup.config->workers; w++) {
        if (model->version_sent[w])
            continue;
        const struct record_version record = {RECORD_VERSION, m, model->unsent_version};
        version_acquire(model->unsent_version); /* the record's; taken before the worker can let go of it */
        model->version_sent[w] = ingest_command(learning->setup.ingest, w, &record, sizeof record);
        if (!model->version_sent[w])
            version_release(model->unsent_version);
        all &= model->version_sent[w];
    }
    if (!all)
        return;
    version_release(model->unsent_version);
    model->unsent_version = NULL;
}

/* Makes the network (NULL: none, the baseline) the model's next version. Returns it (the placement's), or NULL when memory is short. */
static struct version *install(struct learning *learning, int m, struct network *network) {
    struct version *before = placement_version(learning->setup.placement, m);
    struct version *version = version_new(before != NULL ? version_number(before) + 1 : 1, network);
    if (version == NULL)
        return NULL;
    struct model_learning *model = &learning->models[m];
    placement_set_version(learning->setup.placement, m, version);
    version_release(model->unsent_version); /* the newest is enough */
    model->unsent_version = version;
    memset(model->version_sent, 0, (size_t)learning->setup.config->workers * sizeof *model->version_sent);
    return version;
}

static int install_first(struct learning *learning, int m, struct error *err) {
    const struct config_model *model = &learning->setup.config->models[m];
    struct network *network = forecaster_network(model, err);
    if (network == NULL)
        return -1;
    if (model->train && model->keras == NULL) {
        /* It was made to see that it can be made. */
        network_free(network);
        return 0;
    }
    if (model->keras == NULL)
        network_init_weights(network, model->seed);
    if (install(learning, m, network) == NULL) {
        network_free(network);
        return error_set(err, "model %s: out of memory", model->name);
    }
    char *reason = learning->models[m].reason, text[512];
    config_model_text(model, text, sizeof text);
    log_info("model %s: %s", model->name, text);
    if (model->keras != NULL)
        snprintf(reason, sizeof learning->models[m].reason, "the weights of %.200s%s", model->file,
                 model->train ? "" : ", not trained (train: false)");
    else
        snprintf(reason, sizeof learning->models[m].reason, "seeded weights, not trained (train: false)");
    return 0;
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
        snprintf(model->reason, sizeof model->reason, "not trained yet: it needs a stream with %d steps",
                 setup->config->models[m].training.first_after);
        if (model->unsent == NULL || model->version_sent == NULL || install_first(learning, m, err) != 0) {
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
    for (int m = 0; learning->models != NULL && m < learning->setup.config->n_models; m++) {
        struct model_learning *model = &learning->models[m];
        for (int w = 0; model->unsent != NULL && w < learning->setup.config->workers; w++)
            windows_free(model->unsent[w]);
        if (model->stage == STAGE_COLLECTING)
            training_job_free(model->job);
        version_release(model->unsent_version);
        free(model->unsent);
        free(model->version_sent);
    }
    free(learning->models);
    free(learning);
}

/* ---- a job ---------------------------------------------------------------------------------- */

/* The most steps of any stream of the class, and its time, which is the clock of the data. */
static uint64_t most_steps(const struct learning *learning, int class, int64_t *ret_clock) {
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

/* Nothing can be trained now, for want of memory: tried again when it is due again. */
static void give_up(struct learning *learning, int m, const char *why) {
    struct model_learning *model = &learning->models[m];
    model->stage = STAGE_IDLE;
    model->retraining.busy = false;
    model->failed++;
    snprintf(model->reason, sizeof model->reason, "training failed: %s", why);
    log_error("model %s: training failed: %s", learning->setup.config->models[m].name, why);
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

static void begin(struct learning *learning, int m, uint64_t steps, int64_t clock) {
    const struct config *config = learning->setup.config;
    const struct config_model *of = &config->models[m];
    struct model_learning *model = &learning->models[m];
    retraining_begin(&model->retraining, steps, clock);
    model->job = training_job_new(m, config->workers);
    if (model->job == NULL) {
        give_up(learning, m, "out of memory");
        return;
    }
    int64_t streams = placement_n_streams(learning->setup.placement, m);
    int history = config->classes[of->class].history;
    for (int w = 0; w < config->workers; w++) {
        /* Streams need not be spread evenly: each set has places for all, memory is taken only by windows. */
        model->unsent[w] =
            windows_new(of, of->training.max_windows, streams, steps < (uint64_t)history ? (int)steps : history);
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
    model->stage = STAGE_COLLECTING;
    send_sets(learning, m);
}

void learning_poll(struct learning *learning) {
    for (int m = 0; m < learning->setup.config->n_models; m++) {
        const struct config_model *of = &learning->setup.config->models[m];
        struct model_learning *model = &learning->models[m];
        send_version(learning, m);
        if (model->stage == STAGE_COLLECTING)
            send_sets(learning, m);
        int64_t clock;
        uint64_t steps = most_steps(learning, of->class, &clock);
        bool serves = placement_version(learning->setup.placement, m) != NULL;
        enum retraining_reason why = retraining_due(&model->retraining, of, serves, steps, clock);
        if (why == RETRAINING_NOT_DUE)
            continue;
        model->why = why;
        begin(learning, m, steps, clock);
    }
}

void learning_collected(struct learning *learning, const struct record_windows *record) {
    int m = record->model;
    struct model_learning *model = &learning->models[m];
    assert(model->stage == STAGE_COLLECTING && model->still_out > 0);
    model->job->sets[model->job->n_sets++] = record->windows;
    if (--model->still_out > 0)
        return;
    struct version *champion = placement_version(learning->setup.placement, m);
    model->job->champion = champion != NULL ? version_acquire(champion) : NULL;
    model->stage = STAGE_TRAINING;
    int windows = 0;
    for (int s = 0; s < model->job->n_sets; s++)
        windows += windows_count(model->job->sets[s]);
    const char *name = learning->setup.config->models[m].name;
    publisher_event(
        learning->setup.publisher, "training", name,
        json_pack("{s:s, s:i, s:s}", "model", name, "windows", windows, "why", retraining_name(model->why)),
        "model %s: training begins on %d windows (%s)", name, windows, retraining_name(model->why));
    trainer_submit(learning->setup.trainer, model->job);
}

/* ---- its outcome ---------------------------------------------------------------------------- */

static json_t *real_or_null(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static void describe_comparison(json_t *map, const char *key, const struct comparison *comparison) {
    if (comparison->n > 0)
        json_object_set_new(map, key,
                            json_pack("{s:o, s:o, s:i}", "gain", real_or_null(comparison->gain), "p",
                                      real_or_null(comparison->p), "n", comparison->n));
}

static json_t *describe_outcome(const struct model_learning *model) {
    const struct training_outcome *outcome = &model->outcome;
    json_t *map = json_object();
    json_object_set_new(map, "decision", json_string(promotion_name(model->verdict.decision)));
    json_object_set_new(map, "why", json_string(retraining_name(model->why)));
    json_object_set_new(map, "loss", real_or_null(outcome->losses.challenger));
    json_object_set_new(map, "champion_loss", real_or_null(outcome->losses.champion));
    json_object_set_new(map, "last_value_loss", real_or_null(outcome->losses.last_value));
    json_object_set_new(map, "seasonal_loss", real_or_null(outcome->losses.seasonal));
    describe_comparison(map, "against_champion", &model->verdict.against_champion);
    describe_comparison(map, "against_baseline", &model->verdict.against_baseline);
    json_object_set_new(map, "training_loss", real_or_null(outcome->training_loss));
    json_object_set_new(map, "windows", json_integer(outcome->n_training));
    json_object_set_new(map, "validation_windows", json_integer(outcome->n_validation));
    json_object_set_new(map, "optimizer_steps", json_integer(outcome->steps));
    json_object_set_new(map, "seconds", json_real(model->seconds));
    json_object_set_new(map, "finished", json_integer(model->finished));
    return map;
}

static const char *event_of(enum promotion decision) {
    return decision == PROMOTION_PROMOTE ? "promoted" : decision == PROMOTION_DEMOTE ? "demoted" : "rejected";
}

static void explain(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    const struct promotion_losses *losses = &model->outcome.losses;
    const char *name = learning->setup.config->models[m].name;
    struct version *version = placement_version(learning->setup.placement, m);
    bool network = version != NULL && version_network(version) != NULL;
    const char *serves = network ? "the version before still" : "the baseline still";
    char champion[64] = "";
    if (!isnan(losses->champion))
        snprintf(champion, sizeof champion, ", %.4g of the version before", losses->champion);
    if (model->verdict.decision == PROMOTION_PROMOTE)
        snprintf(model->reason, sizeof model->reason,
                 "version %llu serves: its loss on unseen steps is %.4g, against %.4g of "
                 "the baseline%s",
                 (unsigned long long)version_number(version), losses->challenger, promotion_baseline(losses),
                 champion);
    else if (model->verdict.decision == PROMOTION_NO_WINDOWS || model->verdict.decision == PROMOTION_NOT_FINITE)
        snprintf(model->reason, sizeof model->reason, "%s serves: of the challenger, %s", serves,
                 promotion_sentence(model->verdict.decision));
    else
        snprintf(model->reason, sizeof model->reason,
                 "%s serves: of the challenger, %s: its loss there is %.4g, against %.4g of the baseline%s", serves,
                 promotion_sentence(model->verdict.decision), losses->challenger, promotion_baseline(losses),
                 champion);
    log_info("model %s: %s (%d windows, %.1f s)", name, model->reason, model->outcome.n_training, model->seconds);
    json_t *fields = describe_outcome(model);
    json_object_set_new(fields, "model", json_string(name));
    json_object_set_new(fields, "version", json_integer(version != NULL ? (json_int_t)version_number(version) : 0));
    publisher_event(learning->setup.publisher, event_of(model->verdict.decision), name, fields, "model %s: %s", name,
                    model->reason);
}

static void finish(struct learning *learning, struct training_job *job) {
    int m = job->model;
    struct model_learning *model = &learning->models[m];
    assert(model->stage == STAGE_TRAINING && model->job == job);
    model->stage = STAGE_IDLE;
    model->retraining.busy = false;
    model->job = NULL;
    model->jobs++;
    model->seconds = job->seconds;
    model->finished = clock_realtime();
    if (job->failed) {
        give_up(learning, m, job->err.text);
        return;
    }
    model->judged = true;
    model->outcome = job->outcome;
    model->outcome.challenger = NULL;
    const struct config_model *of = &learning->setup.config->models[m];
    const struct promotion_rules rules = promotion_rules_of(of);
    model->verdict = promotion_decide(&job->outcome.losses, &rules);
    bool promoted = model->verdict.decision == PROMOTION_PROMOTE;
    if (promoted || model->verdict.decision == PROMOTION_DEMOTE) {
        if (install(learning, m, promoted ? job->outcome.challenger : NULL) == NULL) {
            give_up(learning, m, "out of memory");
            return;
        }
        if (promoted)
            job->outcome.challenger = NULL;
        model->promoted += promoted;
        send_version(learning, m);
    }
    explain(learning, m);
}

void learning_finished(struct learning *learning) {
    struct training_job *job;
    while ((job = trainer_take(learning->setup.trainer)) != NULL) {
        finish(learning, job);
        training_job_free(job);
    }
}

int learning_retrain(struct learning *learning, const char *name) {
    for (int m = 0; m < learning->setup.config->n_models; m++) {
        if (strcmp(learning->setup.config->models[m].name, name) != 0)
            continue;
        if (!learning->setup.config->models[m].train)
            return -2;
        learning->models[m].retraining.asked = true;
        return 0;
    }
    return -1;
}

json_t *learning_describe(const struct learning *learning) {
    static const char *const stages[] = {"idle", "collecting", "training"};
    json_t *list = json_array();
    for (int m = 0; m < learning->setup.config->n_models; m++) {
        const struct config_model *of = &learning->setup.config->models[m];
        const struct model_learning *model = &learning->models[m];
        const struct version *version = placement_version(learning->setup.placement, m);
        json_t *map = json_object();
        json_object_set_new(map, "model", json_string(of->name));
        json_object_set_new(map, "class", json_string(learning->setup.config->classes[of->class].name));
        json_object_set_new(map, "version", json_integer(version != NULL ? (json_int_t)version_number(version) : 0));
        json_object_set_new(
            map, "source", json_string(version != NULL && version_network(version) != NULL ? "network" : "baseline"));
        json_object_set_new(map, "training", json_string(stages[model->stage]));
        if (model->stage == STAGE_TRAINING) {
            json_object_set_new(map, "epoch", json_integer(atomic_load(&model->job->epoch)));
            json_object_set_new(map, "epochs", json_integer(atomic_load(&model->job->epochs)));
        }
        json_object_set_new(map, "reason", json_string(model->reason));
        int64_t clock;
        json_object_set_new(map, "steps", json_integer((json_int_t)most_steps(learning, of->class, &clock)));
        json_object_set_new(map, "streams", json_integer(placement_n_streams(learning->setup.placement, m)));
        json_object_set_new(map, "batches", json_integer(placement_n_batches(learning->setup.placement, m)));
        json_object_set_new(map, "jobs", json_integer((json_int_t)model->jobs));
        json_object_set_new(map, "promoted", json_integer((json_int_t)model->promoted));
        json_object_set_new(map, "failed", json_integer((json_int_t)model->failed));
        if (model->judged)
            json_object_set_new(map, "latest", describe_outcome(model));
        json_array_append_new(list, map);
    }
    return list;
}
