#include "engine/lane.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lane *lane_new(int slots, int n_features, struct version *version) {
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL)
        return NULL;
    lane->n_features = n_features;
    const struct network *network = version != NULL ? version_network(version) : NULL;
    lane->state_size = network != NULL ? network_state_size(network) : 0;
    size_t n = (size_t)slots;
    lane->state = calloc(n * lane->state_size + 1, sizeof *lane->state); /* + 1: never an empty request */
    lane->scalers = calloc(n * (size_t)n_features, sizeof *lane->scalers);
    lane->seen = calloc(n, sizeof *lane->seen);
    lane->zero = calloc(n, sizeof *lane->zero);
    lane->phase = calloc(n, sizeof *lane->phase);
    lane->frozen = calloc(n, sizeof *lane->frozen);
    if (lane->state == NULL || lane->scalers == NULL || lane->seen == NULL || lane->zero == NULL ||
        lane->phase == NULL || lane->frozen == NULL) {
        lane_free(lane);
        return NULL;
    }
    if (version != NULL)
        lane->version = version_acquire(version);
    return lane;
}

void lane_free(struct lane *lane) {
    if (lane == NULL)
        return;
    version_release(lane->version);
    readout_free(lane->readout);
    free(lane->state);
    free(lane->scalers);
    free(lane->seen);
    free(lane->zero);
    free(lane->phase);
    free(lane->frozen);
    free(lane);
}

const struct network *lane_network(const struct lane *lane) {
    return lane->version != NULL ? version_network(lane->version) : NULL;
}

float *lane_state(const struct lane *lane, int slot) {
    return lane->state + (size_t)slot * lane->state_size;
}

struct scaler *lane_scalers(const struct lane *lane, int slot) {
    return lane->scalers + (size_t)slot * (size_t)lane->n_features;
}

void lane_zero(struct lane *lane, int slot, uint64_t step) {
    memset(lane_state(lane, slot), 0, lane->state_size * sizeof *lane->state);
    lane->seen[slot] = step;
    lane->zero[slot] = step;
}

void lane_clear(struct lane *lane, int slot) {
    lane_zero(lane, slot, 0);
    memset(lane_scalers(lane, slot), 0, (size_t)lane->n_features * sizeof *lane->scalers);
    if (lane->readout != NULL)
        readout_clear(lane->readout, slot);
}

void lane_update_scalers(struct lane *lane, int slot, const struct history *history, uint64_t step) {
    const double *values = history_values(history, step);
    struct scaler *scalers = lane_scalers(lane, slot);
    bool imputed = (history_flags(history, step) & (STEP_IMPUTED | STEP_PAUSED)) != 0;
    for (int f = 0; f < lane->n_features; f++)
        if (!imputed || !history_missing(history, step, f))
            scaler_update(&scalers[f], values[f]);
}

double lane_value(const struct config_model *model, const struct scaler *scaler, const struct history *history,
                  uint64_t step, int feature) {
    if (model->missing == MISSING_LAST)
        return history_values(history, step)[feature];
    double sent = history_sent(history, step, feature);
    /* What is not scaled has a mean all the same. */
    return isnan(sent) && model->scaler == SCALER_NONE && scaler->n > 0 ? scaler->mean : sent;
}

void lane_gather(const struct scaler *scalers, const struct history *history, uint64_t step,
                 const struct config_model *model, float *x) {
    const double *values = history_values(history, step);
    for (int i = 0; model->missing == MISSING_LAST && i < model->n_inputs; i++) {
        int f = model->inputs[i];
        x[i] = scaler_scale(model->scaler, &scalers[f], values[f]);
    }
    for (int i = 0; model->missing != MISSING_LAST && i < model->n_inputs; i++) {
        int f = model->inputs[i];
        x[i] = scaler_scale(model->scaler, &scalers[f], lane_value(model, &scalers[f], history, step, f));
        if (model->missing == MISSING_MASK)
            x[model->n_inputs + i] = isnan(history_sent(history, step, f)) ? 0.0F : 1.0F;
    }
}

void lane_serialize(struct lane *lane, int slot, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    uint64_t size = lane->state_size;
    image_enter(io, "lane", FORMAT, &section);
    image_count(&section, &lane->zero[slot], lane->seen[slot], "a state that begins behind the newest step");
    image_io(&section, &size, 1);
    if (!image_reads(io) || image_check(&section, size == lane->state_size, "a state of another size"))
        image_io(&section, lane_state(lane, slot), lane->state_size);
    if (lane->readout != NULL)
        readout_serialize(lane->readout, slot, lane->seen[slot], &section);
    image_leave(io, &section);
}
