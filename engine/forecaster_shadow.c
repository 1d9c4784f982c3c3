/* A version in the shadow of the one that serves: it sees the same steps, and is compared with it on the same
 * answers. */
#include "engine/forecaster_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SERVING, SHADOW, BOTH };

struct shadow {
    struct lane *lane;
    struct shadow_losses *losses;
    uint64_t *from; /* [slots] the step at which the slot's comparison began */
    double *mean;   /* [slots x n_outputs] */
    int n, h[SCORES_MAX];
    /* Where the forecasts for h[i] begin within a slot's: a ring of h[i] + 1, as what was said at a step is put in
     * before what that step answers is taken out. */
    size_t first[SCORES_MAX];
    size_t waiting;     /* forecasts that one slot keeps */
    uint64_t *made;     /* [slots x waiting] step of each kept forecast; 0: none */
    double *said[BOTH]; /* [slots x waiting x n_targets] */
};

static void shadow_free(struct shadow *shadow) {
    if (shadow == NULL)
        return;
    lane_free(shadow->lane);
    free(shadow->from);
    free(shadow->mean);
    free(shadow->made);
    for (int who = 0; who < BOTH; who++)
        free(shadow->said[who]);
    free(shadow);
}

static struct shadow *shadow_new(const struct forecaster *f, struct version *version, struct shadow_losses *losses) {
    struct shadow *shadow = calloc(1, sizeof *shadow);
    if (shadow == NULL)
        return NULL;
    shadow->losses = losses;
    shadow->n = scores_steps(SCORED_FEW, f->model->horizon, shadow->h);
    for (int i = 0; i < shadow->n; i++) {
        shadow->first[i] = shadow->waiting;
        shadow->waiting += (size_t)shadow->h[i] + 1;
    }
    size_t slots = (size_t)f->n_slots, forecasts = slots * shadow->waiting;
    shadow->lane = lane_new(f->n_slots, f->class->n_features, version);
    shadow->from = calloc(slots, sizeof *shadow->from);
    shadow->mean = calloc(slots * (size_t)f->n_outputs, sizeof *shadow->mean);
    shadow->made = calloc(forecasts, sizeof *shadow->made);
    for (int who = 0; who < BOTH; who++)
        shadow->said[who] = calloc(forecasts * (size_t)f->model->n_targets, sizeof(double));
    if (shadow->lane != NULL && shadow->from != NULL && shadow->mean != NULL && shadow->made != NULL &&
        shadow->said[SERVING] != NULL && shadow->said[SHADOW] != NULL)
        return shadow;
    shadow_free(shadow);
    return NULL;
}

int forecaster_shadow(struct forecaster *f, struct version *version, struct shadow_losses *losses) {
    assert(f->model->head == HEAD_FORECAST);
    const struct network *network = version_network(version);
    if (f->incoming != NULL || f->shadow != NULL || (network != NULL && forecaster_fit(f, network) != 0))
        return -1;
    f->shadow = shadow_new(f, version, losses);
    return f->shadow != NULL ? 0 : -1;
}

void forecaster_end_shadow(struct forecaster *f) {
    shadow_free(f->shadow);
    f->shadow = NULL;
}

bool forecaster_has_shadow(const struct forecaster *f) {
    return f->shadow != NULL;
}

bool forecaster_prime_shadow(struct forecaster *f) {
    return f->shadow == NULL || !forecaster_prime_lane(f, f->shadow->lane);
}

/* ---- what happens to a slot ------------------------------------------------------------------- */

void shadow_ready(struct forecaster *f, int slot) {
    struct shadow *shadow = f->shadow;
    shadow->lane->phase[slot] = LANE_READY;
    shadow->from[slot] = shadow->lane->seen[slot];
    memset(shadow->made + (size_t)slot * shadow->waiting, 0, shadow->waiting * sizeof *shadow->made);
}

void shadow_wait(struct forecaster *f, int slot) {
    f->shadow->lane->phase[slot] = LANE_WAITING;
}

void shadow_acquire(struct forecaster *f, int slot) {
    lane_clear(f->shadow->lane, slot);
    lane_zero(f->shadow->lane, slot, f->serving->seen[slot]);
    shadow_ready(f, slot);
}

void shadow_begin_anew(struct forecaster *f, int slot) {
    struct lane *lane = f->shadow->lane;
    bool was_ready = lane->phase[slot] == LANE_READY;
    for (int i = 0; !was_ready && i < f->class->n_features; i++)
        lane_scalers(lane, slot)[i] = lane_scalers(f->serving, slot)[i];
    lane_zero(lane, slot, f->serving->seen[slot]);
    if (!was_ready) /* nothing before that is replayed */
        shadow_ready(f, slot);
}

void shadow_give(struct forecaster *f, int slot, const float *values, size_t n) {
    if (n == f->shadow->lane->state_size)
        memcpy(lane_state(f->shadow->lane, slot), values, n * sizeof *values);
}

/* ---- what both have said, and what came ------------------------------------------------------- */

static size_t place_of(const struct shadow *shadow, int slot, int i, uint64_t step) {
    return (size_t)slot * shadow->waiting + shadow->first[i] + (size_t)(step % ((uint64_t)shadow->h[i] + 1));
}

/* mean: [n_outputs], or NULL for the baseline. */
static void note(struct forecaster *f, int who, int slot, uint64_t step, const double *mean) {
    const struct config_model *model = f->model;
    struct shadow *shadow = f->shadow;
    enum baseline baseline = model->period > 0 ? BASELINE_SEASONAL : BASELINE_LAST_VALUE;
    for (int i = 0; i < shadow->n; i++) {
        size_t place = place_of(shadow, slot, i, step), n_targets = (size_t)model->n_targets;
        for (size_t j = 0; j < n_targets; j++)
            shadow->said[who][place * n_targets + j] =
                mean != NULL ? mean[(size_t)(shadow->h[i] - 1) * n_targets + j]
                             : baseline_forecast(baseline, f->history[slot], step, model->targets[j], shadow->h[i],
                                                 model->period);
        if (who == SHADOW)
            shadow->made[place] = (history_flags(f->history[slot], step) & STEP_PAUSED) == 0 ? step : 0;
    }
}

void shadow_note_serving(struct forecaster *f, int slot, const double *mean) {
    if (f->shadow->lane->phase[slot] == LANE_READY)
        note(f, SERVING, slot, f->serving->seen[slot], mean);
}

/* What was said h[i] steps before is answered by what has been observed. */
static void answer(struct forecaster *f, int slot, int i, uint64_t step) {
    struct shadow *shadow = f->shadow;
    uint64_t made = step - (uint64_t)shadow->h[i];
    size_t place = place_of(shadow, slot, i, made), n_targets = (size_t)f->model->n_targets;
    if (shadow->made[place] != made)
        return;
    const double *values = f->work->values; /* of the step */
    double losses[BOTH] = {0, 0}, weight = 0;
    for (size_t j = 0; j < n_targets; j++) {
        double serving = shadow->said[SERVING][place * n_targets + j];
        double said = shadow->said[SHADOW][place * n_targets + j];
        double unit = scaler_unit(f->model->scaler, &lane_scalers(f->serving, slot)[f->model->targets[j]]);
        if (isnan(values[j]) || isnan(serving) || isnan(said))
            continue;
        losses[SERVING] += fabs(values[j] - serving) / unit;
        losses[SHADOW] += fabs(values[j] - said) / unit;
        weight += 1;
    }
    if (weight == 0)
        return;
    loss_series_add(&shadow->losses->serving, made - shadow->from[slot] - 1, losses[SERVING], weight);
    loss_series_add(&shadow->losses->shadow, made - shadow->from[slot] - 1, losses[SHADOW], weight);
}

/* ---- an advance --------------------------------------------------------------------------------- */

static void see(struct forecaster *f, int slot) {
    struct lane *lane = f->shadow->lane;
    uint64_t step = ++lane->seen[slot];
    assert(step == f->serving->seen[slot]);
    lane_update_scalers(lane, slot, f->history[slot], step);
    history_sent_values(f->history[slot], step, f->model->targets, f->model->n_targets, f->work->values);
    bool paused = (history_flags(f->history[slot], step) & STEP_PAUSED) != 0;
    for (int i = 0; !paused && i < f->shadow->n && (uint64_t)f->shadow->h[i] < step; i++)
        answer(f, slot, i, step);
}

static void finish(struct forecaster *f, int slot, bool finite) {
    struct lane *lane = f->shadow->lane;
    if (!finite && f->model->mode == MODEL_STATEFUL)
        lane_zero(lane, slot, lane->seen[slot]);
    note(f, SHADOW, slot, lane->seen[slot], finite ? f->shadow->mean + (size_t)slot * (size_t)f->n_outputs : NULL);
}

void shadow_advance(struct forecaster *f, const int *slots, int n) {
    struct lane *lane = f->shadow->lane;
    int rows = 0;
    for (int i = 0; i < n; i++) {
        if (lane->phase[slots[i]] != LANE_READY)
            continue;
        see(f, slots[i]);
        if (runner_can(f->work->runner, lane, slots[i]))
            f->work->row[rows++] = slots[i];
        else
            note(f, SHADOW, slots[i], lane->seen[slots[i]], NULL);
    }
    if (rows > 0)
        forecaster_run(f, lane, rows, f->shadow->mean);
    for (int row = 0; row < rows; row++)
        finish(f, f->work->row[row], f->work->finite[row]);
}
