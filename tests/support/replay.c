#include "tests/support/replay.h"

#include "tests/support/floats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void saved_take(struct saved *saved, const struct forecaster *forecaster, int slot,
                const struct config_model *model) {
    const struct forecast *forecast = forecaster_latest(forecaster, slot);
    size_t horizon = (size_t)model->horizon, n_targets = (size_t)model->n_targets;
    if (forecast == NULL || forecast->slot != slot || horizon > SAVED_HORIZON || n_targets > SAVED_TARGETS ||
        forecast->n_scores > SAVED_SCORES || model->n_levels > SAVED_LEVELS)
        abort();
    memset(saved, 0, sizeof *saved);
    saved->step = forecast->step;
    saved->version = forecast->version;
    saved->primed = forecast->primed;
    saved->t = forecast->t;
    if (forecast->times != NULL)
        memcpy(saved->times, forecast->times, horizon * sizeof *saved->times);
    memcpy(saved->values, forecast->values, n_targets * sizeof *saved->values);
    memcpy(saved->mean, forecast->mean, horizon * n_targets * sizeof *saved->mean);
    for (int i = 0; i < forecast->n_scores; i++) {
        saved->n[i] = forecast->scores[i].n;
        const struct score_means *recent = &forecast->scores[i].recent;
        saved->scores[i][0] = (double)recent->mae;
        saved->scores[i][1] = (double)recent->mae_last_value;
        saved->scores[i][2] = (double)recent->mae_seasonal;
    }
    size_t n_radii = (size_t)model->n_levels * (size_t)forecast->n_scores * n_targets;
    if (n_radii > 0)
        memcpy(saved->radii, forecast->radii, n_radii * sizeof *saved->radii);
    saved->capped = forecast->capped;
    saved->anomaly = forecast->anomaly;
    saved->from_network = forecast->from_network;
    saved->warming = forecast->warming;
    saved->times_known = forecast->times != NULL;
    saved->baseline = (uint32_t)forecast->baseline;
    saved->step_flags = forecast->step_flags;
    saved->n_scores = (uint32_t)forecast->n_scores;
}

void take_over(struct forecaster *forecaster, struct version *version) {
    if (forecaster_propose(forecaster, version) != 0)
        abort();
    version_release(version);
    while (!forecaster_prime(forecaster))
        ;
}

void advance_one(struct forecaster *forecaster, int slot, const struct config_model *model, struct saved *ret_saved) {
    forecaster_advance(forecaster, &slot, 1);
    saved_take(ret_saved, forecaster, slot, model);
}

void replay_init(struct replay *replay, const struct config_model *model, const struct kernels *kernels,
                 const struct version *version, const struct history *history) {
    *replay =
        (struct replay){.model = model, .kernels = kernels, .network = version_network(version), .history = history};
    replay->state = floats_new(network_state_size(replay->network));
    replay->work = floats_new(network_work_size(replay->network, 1, 1));
    replay->y = floats_new((size_t)network_output(replay->network, 0, 1).width);
}

void replay_fini(struct replay *replay) {
    free(replay->state);
    free(replay->work);
    free(replay->y);
}

void replay_zero(struct replay *replay) {
    memset(replay->state, 0, network_state_size(replay->network) * sizeof *replay->state);
}

void replay_see(struct replay *replay, uint64_t step) {
    for (int f = 0; f < replay->history->n_features; f++)
        scaler_update(&replay->scalers[f], history_observed(replay->history, step, f));
}

/* The latest value that was observed up to the step, searched for. */
static double known(const struct history *history, uint64_t step, int feature) {
    for (; step >= history_oldest(history); step--)
        if (!isnan(history_observed(history, step, feature)))
            return history_observed(history, step, feature);
    return NAN;
}

void replay_step(struct replay *replay, uint64_t step, double *mean) {
    const struct config_model *model = replay->model;
    float inputs[FIXTURE_FEATURES];
    for (int i = 0; i < model->n_inputs; i++) {
        int f = model->inputs[i];
        inputs[i] = scaler_scale(model->scaler, &replay->scalers[f], known(replay->history, step, f));
    }
    network_forward(replay->network, replay->kernels, 1, 1, inputs, &replay->state, &replay->y, replay->work);
    for (int h = 0; h < model->horizon; h++)
        for (int j = 0; j < model->n_targets; j++) {
            int f = model->targets[j];
            double unit = scaler_unit(model->scaler, &replay->scalers[f]);
            double z = (double)replay->y[h * model->n_targets + j];
            double from = model->scaler == SCALER_STANDARD ? replay->scalers[f].mean : 0;
            if (model->residual)
                from = known(replay->history, step, f);
            mean[h * model->n_targets + j] = from + unit * z;
        }
}
