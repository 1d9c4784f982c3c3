#include "engine/readout.h"

#include "engine/ridge.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps in which all targets' coefficients are made anew; rows before the first time; harmonics of the season. */
enum { SOLVE_STEPS = 24, ROWS = 48, HARMONICS = 2 };

static const double constant = .3, penalty = 100;

struct readout {
    const struct config_model *model;
    const struct kernels *kernels;
    int n_targets, steps, lags, harmonics, hidden;
    size_t at; /* of the hidden state in a slot's */
    struct ridge_shape shape;
    double *memory;              /* [slots x (n_targets ridges, a solver's factor)] */
    struct ridge *ridges;        /* [slots x n_targets] */
    struct ridge_solver *solver; /* [slots] */
    int *solving, *next;         /* [slots] the target whose solution is under way, -1: none; whose is next */
    float *states;               /* [slots x (steps + 1) x hidden] by step */
    uint64_t *seen;              /* [slots x (steps + 1)] whose state that is; 0: none */
    double *v, *said, *mean;     /* workspace: a row, [steps], [horizon x n_targets] */
};

/* h of the last recurrent layer with a state of its own. Returns how many, or 0. */
static int find_hidden(const struct network *network, size_t *ret_at) {
    const struct network_spec *spec = network_spec(network);
    for (int i = spec->n_layers - 1; i >= 0; i--) {
        int n;
        if (layer_is_recurrent(spec->layers[i].kind) && network_layer_states(network, i, ret_at, &n) > 0)
            return n;
    }
    return 0;
}

static int least(int a, int b) {
    return a < b ? a : b;
}

static bool allocate(struct readout *r, size_t slots) {
    size_t targets = (size_t)r->n_targets, ring = (size_t)r->steps + 1, each = ridge_doubles(&r->shape);
    r->memory = calloc(slots * (targets + 1) * each, sizeof *r->memory);
    r->ridges = calloc(slots * targets, sizeof *r->ridges);
    r->solver = calloc(slots, sizeof *r->solver);
    r->solving = calloc(slots, sizeof *r->solving);
    r->next = calloc(slots, sizeof *r->next);
    r->states = calloc(slots * ring * (size_t)r->hidden, sizeof *r->states);
    r->seen = calloc(slots * ring, sizeof *r->seen);
    r->v = calloc((size_t)(r->shape.inputs + r->shape.outputs), sizeof *r->v);
    r->said = calloc((size_t)r->steps, sizeof *r->said);
    r->mean = calloc((size_t)r->model->horizon * targets, sizeof *r->mean);
    if (r->memory == NULL || r->ridges == NULL || r->solver == NULL || r->solving == NULL || r->next == NULL ||
        r->states == NULL || r->seen == NULL || r->v == NULL || r->said == NULL || r->mean == NULL)
        return false;
    double *at = r->memory;
    for (size_t slot = 0; slot < slots; slot++) {
        for (size_t j = 0; j < targets; j++, at += each)
            ridge_place(&r->ridges[slot * targets + j], &r->shape, at);
        r->solver[slot].factor = at;
        at += each;
        r->solving[slot] = -1;
    }
    return true;
}

struct readout *readout_new(const struct config_model *model, const struct network *network,
                            const struct kernels *kernels, bool *ret_has) {
    size_t at;
    int hidden = find_hidden(network, &at);
    *ret_has = hidden > 0;
    struct readout *r = hidden > 0 ? calloc(1, sizeof *r) : NULL;
    if (r == NULL)
        return NULL;
    r->model = model;
    r->kernels = kernels;
    r->n_targets = model->n_targets;
    r->steps = least(model->horizon, READOUT_STEPS);
    r->lags = READOUT_LAGS;
    r->harmonics = model->period > 1 ? least(HARMONICS, model->period / 2) : 0;
    r->hidden = least(hidden, READOUT_HIDDEN);
    r->at = at;
    int inputs = 1 + r->lags + 2 * r->harmonics + r->hidden;
    r->shape = (struct ridge_shape){.inputs = inputs, .outputs = r->steps, .sizes = {inputs}, .n_sizes = 1};
    if (allocate(r, (size_t)model->batch_size))
        return r;
    readout_free(r);
    return NULL;
}

void readout_free(struct readout *r) {
    if (r == NULL)
        return;
    free(r->memory);
    free(r->ridges);
    free(r->solver);
    free(r->solving);
    free(r->next);
    free(r->states);
    free(r->seen);
    free(r->v);
    free(r->said);
    free(r->mean);
    free(r);
}

static struct ridge *ridge_of(const struct readout *r, int slot, int j) {
    return &r->ridges[slot * r->n_targets + j];
}

static size_t place_of(const struct readout *r, int slot, uint64_t step) {
    size_t ring = (size_t)r->steps + 1;
    return (size_t)slot * ring + (size_t)(step % ring);
}

void readout_clear(struct readout *r, int slot) {
    if (r == NULL)
        return;
    for (int j = 0; j < r->n_targets; j++)
        ridge_clear(ridge_of(r, slot, j));
    memset(r->seen + (size_t)slot * ((size_t)r->steps + 1), 0, ((size_t)r->steps + 1) * sizeof *r->seen);
    r->solving[slot] = -1;
    r->next[slot] = 0;
}

/* ---- rows ------------------------------------------------------------------------------------- */

static double bounded(double x) {
    return fmax(-READOUT_CLIP, fmin(READOUT_CLIP, x));
}

/* The inputs of target j at an origin whose hidden state is kept. Returns false where its value is not known. */
static bool fill_inputs(const struct readout *r, int slot, const struct history *history, uint64_t origin, int j,
                        double unit, double *x) {
    int feature = r->model->targets[j], period = r->model->period;
    uint64_t oldest = history_oldest(history);
    double last = history_values(history, origin)[feature];
    if (!isfinite(last))
        return false;
    *x++ = constant;
    for (int k = 1; k <= r->lags; k++) {
        uint64_t step = origin >= oldest + (uint64_t)k ? origin - (uint64_t)k : oldest;
        double value = history_values(history, step)[feature];
        *x++ = isfinite(value) ? bounded((value - last) / unit) : 0;
    }
    for (int g = 1; g <= r->harmonics; g++) {
        double angle = 2 * M_PI * g * (double)(origin % (uint64_t)period) / period;
        *x++ = cos(angle);
        *x++ = sin(angle);
    }
    const float *state = r->states + place_of(r, slot, origin) * (size_t)r->hidden;
    for (int i = 0; i < r->hidden; i++)
        *x++ = bounded((double)state[i]);
    return true;
}

/* The answers of the horizon of an origin have come. */
static void learn(struct readout *r, int slot, const struct history *history, uint64_t origin,
                  const struct scaler *scalers) {
    for (int j = 0; j < r->n_targets; j++) {
        int feature = r->model->targets[j], missing = 0;
        double unit = scaler_unit(SCALER_STANDARD, &scalers[feature]), *y = r->v + r->shape.inputs;
        if (!fill_inputs(r, slot, history, origin, j, unit, r->v))
            continue;
        double last = history_values(history, origin)[feature];
        for (uint64_t h = 1; h <= (uint64_t)r->steps; h++) {
            missing += history_missing(history, origin + h, feature);
            *y++ = bounded((history_values(history, origin + h)[feature] - last) / unit);
        }
        if (2 * missing <= r->steps)
            ridge_learn(ridge_of(r, slot, j), r->kernels, r->v);
    }
}

/* One step's share of the solutions of all targets, one after another. */
static void solve_some(struct readout *r, int slot) {
    long work = r->n_targets * ridge_solve_work(&r->shape) / SOLVE_STEPS + 1;
    for (int begun = 0; work > 0;) {
        if (r->solving[slot] < 0) {
            int j = r->next[slot];
            if (begun++ == r->n_targets)
                return;
            r->next[slot] = (j + 1) % r->n_targets;
            if (ridge_of(r, slot, j)->rows < ROWS)
                continue;
            r->solving[slot] = j;
            ridge_solve_begin(&r->solver[slot], ridge_of(r, slot, j), penalty);
        }
        work = ridge_solve(&r->solver[slot], ridge_of(r, slot, r->solving[slot]), r->kernels, work);
        if (work > 0)
            r->solving[slot] = -1;
    }
}

void readout_see(struct readout *r, int slot, const struct history *history, uint64_t step, const float *state,
                 const struct scaler *scalers) {
    uint64_t steps = (uint64_t)r->steps;
    size_t place = place_of(r, slot, step);
    memcpy(r->states + place * (size_t)r->hidden, state + r->at, (size_t)r->hidden * sizeof *r->states);
    r->seen[place] = step;
    /* What a pause has seen is not learnt from; nor what the history does not hold any more. */
    if (step > steps && r->seen[place_of(r, slot, step - steps)] == step - steps &&
        step - steps >= history_oldest(history) && (history_flags(history, step - steps) & STEP_PAUSED) == 0)
        learn(r, slot, history, step - steps, scalers);
    solve_some(r, slot);
}

/* ---- a forecast ------------------------------------------------------------------------------- */

const double *readout_forecast(struct readout *r, int slot, const struct history *history, uint64_t step,
                               const struct scaler *scalers) {
    for (int j = 0; j < r->n_targets; j++) {
        int feature = r->model->targets[j];
        const struct ridge *ridge = ridge_of(r, slot, j);
        double unit = scaler_unit(SCALER_STANDARD, &scalers[feature]);
        bool known = ridge->solved && r->seen[place_of(r, slot, step)] == step &&
                     fill_inputs(r, slot, history, step, j, unit, r->v);
        if (known)
            ridge_forecast(ridge, 0, r->kernels, r->v, r->said);
        double last = history_values(history, step)[feature];
        for (int h = 0; h < r->model->horizon; h++)
            r->mean[h * r->n_targets + j] = known && h < r->steps ? last + unit * bounded(r->said[h]) : NAN;
    }
    return r->mean;
}
