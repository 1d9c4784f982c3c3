/* What the workers see of a model while it serves: errors, for drift, and the losses of who is in the shadow. */
#include "daemon/learning_internal.h"

#include "daemon/clock.h"

#include <assert.h>
#include <stdlib.h>

/* Workers are asked this often, ns, where there is something new. */
static const int64_t watch_every = 200000000;

static bool has_shadow(const struct model_learning *model) {
    return model->contest.kind == CONTEST_SHADOW || model->contest.kind == CONTEST_PROBATION;
}

static bool sees_drift(const struct config_model *of) {
    return of->train && of->retrain_on == RETRAIN_ON_DRIFT;
}

void live_poll(struct learning *learning, int m, uint64_t steps) {
    struct model_learning *model = &learning->models[m];
    int workers = learning->setup.config->workers;
    int64_t now = clock_monotonic();
    if (model->watches_out > 0 || steps == model->watched_steps || now - model->watched < watch_every ||
        !(has_shadow(model) || sees_drift(model_config(learning, m))))
        return;
    if (model->live == NULL)
        model->live = calloc((size_t)workers, sizeof *model->live);
    if (model->live == NULL)
        return; /* tried again */
    model->watched = now;
    model->watched_steps = steps;
    for (int w = 0; w < workers; w++) {
        const struct record_watch record = {RECORD_WATCH, m, w, &model->live[w]};
        model->watches_out += ingest_command(learning->setup.ingest, w, &record, sizeof record);
    }
}

/* One step of the model is one of each of its streams: errors of fewer are a part of one. */
static void look_for_drift(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    struct forecast_errors errors = model->errors;
    int64_t streams = placement_n_streams(learning->setup.placement, m);
    model->errors = (struct forecast_errors){0};
    if (errors.n == 0 || streams == 0 || !sees_drift(model_config(learning, m)) ||
        !drift_see(&model->drift, errors.sum / (double)errors.n, (double)errors.n / (double)streams))
        return;
    model->retraining.drifted = model->record_old = true;
    model->drifts++;
    const char *name = model_config(learning, m)->name;
    double error = errors.sum / (double)errors.n;
    publisher_event(learning->setup.publisher, "drift", name, json_pack("{s:s, s:f}", "model", name, "error", error),
                    "model %s: its errors have grown for long, to %.3g of the values' deviation", name, error);
}

static void judge_shadow(struct learning *learning, int m) {
    struct model_learning *model = &learning->models[m];
    struct shadow_losses sum = {0};
    if (!has_shadow(model))
        return;
    for (int w = 0; w < learning->setup.config->workers; w++) {
        if (model->live[w].trial != model->contest.number)
            continue;
        loss_series_merge(&sum.serving, &model->live[w].losses.serving);
        loss_series_merge(&sum.shadow, &model->live[w].losses.shadow);
    }
    serving_judge_live(learning, m, &sum);
}

void learning_watched(struct learning *learning, const struct record_watch *record) {
    struct model_learning *model = &learning->models[record->model];
    assert(model->watches_out > 0);
    model->errors.sum += record->live->errors.sum;
    model->errors.n += record->live->errors.n;
    if (--model->watches_out > 0)
        return;
    look_for_drift(learning, record->model);
    judge_shadow(learning, record->model);
}
