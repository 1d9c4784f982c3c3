#include "engine/readout.h"

#include "engine/residuals.h"
#include "engine/ridge.h"
#include "engine/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOLVE_STEPS = 24, /* steps in which the coefficients are made anew */
    ROWS = 100,       /* before the first solution */
    LARGEST = 10,     /* of a hidden unit */
};

static const double penalty = 1000;

struct readout {
    const struct config_model *model;
    const struct kernels *kernels;
    size_t state_at; /* of the layer in the network's state */
    int n_steps, steps[SCORES_MAX], n_targets;
    struct ridge_shape shape;    /* inputs: 1 and the units; outputs: [n_steps x n_targets] */
    double *memory;              /* of the ridges and solvers */
    struct ridge *ridges;        /* [slots] */
    struct ridge_solver *solver; /* [slots] */
    bool *solving;               /* [slots] */
    float *x;                    /* [slots x (last step + 1) x inputs] by step; the first one NaN: not known */
    double *row, *said;          /* [inputs + outputs], [outputs] workspace */
    double *mean;                /* [horizon x n_targets] of the latest forecast */
};

bool readout_is_wanted(const struct config_model *model) {
    bool heard = model->combine == COMBINE_ONLINE || model->combine == COMBINE_ONLY + EXPERT_READOUT;
    return heard && model->experts == EXPERTS_FULL && model->mode == MODEL_STATEFUL && model->head == HEAD_FORECAST;
}

/* ---- memory ------------------------------------------------------------------------------------- */

/* The layer whose state is read: 0 units where there is none. */
static int find_state(const struct network *network, size_t *ret_at) {
    const struct network_spec *spec = network_spec(network);
    for (int i = spec->n_layers - 1; i >= 0; i--) {
        int units;
        if (layer_is_recurrent(spec->layers[i].kind) && network_layer_states(network, i, ret_at, &units) > 0)
            return units < READOUT_UNITS ? units : READOUT_UNITS;
    }
    return 0;
}

static bool allocate(struct readout *r, size_t slots) {
    size_t doubles = ridge_doubles(&r->shape), inputs = (size_t)r->shape.inputs, outputs = (size_t)r->shape.outputs;
    size_t kept = (size_t)readout_last(r) + 1;
    r->memory = calloc(slots * 2 * doubles, sizeof *r->memory);
    r->ridges = calloc(slots, sizeof *r->ridges);
    r->solver = calloc(slots, sizeof *r->solver);
    r->solving = calloc(slots, sizeof *r->solving);
    r->x = calloc(slots * kept * inputs, sizeof *r->x);
    r->row = calloc(inputs + outputs, sizeof *r->row);
    r->said = calloc(outputs, sizeof *r->said);
    r->mean = calloc((size_t)r->model->horizon * (size_t)r->n_targets, sizeof *r->mean);
    if (r->memory == NULL || r->ridges == NULL || r->solver == NULL || r->solving == NULL || r->x == NULL ||
        r->row == NULL || r->said == NULL || r->mean == NULL)
        return false;
    for (size_t slot = 0; slot < slots; slot++) {
        ridge_place(&r->ridges[slot], &r->shape, r->memory + slot * 2 * doubles);
        r->solver[slot].factor = r->memory + (slot * 2 + 1) * doubles;
        readout_clear(r, (int)slot);
    }
    return true;
}

int readout_new(const struct config_model *model, const struct network *network, const struct kernels *kernels,
                struct readout **ret_readout) {
    size_t at = 0;
    int units = readout_is_wanted(model) && network != NULL ? find_state(network, &at) : 0;
    if (units == 0) {
        *ret_readout = NULL;
        return 0;
    }
    struct readout *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -1;
    r->model = model;
    r->kernels = kernels;
    r->state_at = at;
    r->n_targets = model->n_targets;
    r->n_steps = residuals_steps(model, r->steps);
    r->shape = (struct ridge_shape){
        .inputs = 1 + units, .outputs = r->n_steps * r->n_targets, .sizes = {1 + units}, .n_sizes = 1};
    if (!allocate(r, (size_t)model->batch_size)) {
        readout_free(r);
        return -1;
    }
    *ret_readout = r;
    return 0;
}

void readout_free(struct readout *r) {
    if (r == NULL)
        return;
    free(r->memory);
    free(r->ridges);
    free(r->solver);
    free(r->solving);
    free(r->x);
    free(r->row);
    free(r->said);
    free(r->mean);
    free(r);
}

int readout_last(const struct readout *r) {
    return r->steps[r->n_steps - 1];
}

/* What stood behind a step: a ring. */
static float *x_of(const struct readout *r, int slot, uint64_t step) {
    size_t kept = (size_t)readout_last(r) + 1;
    return r->x + ((size_t)slot * kept + (size_t)(step % kept)) * (size_t)r->shape.inputs;
}

void readout_clear(struct readout *r, int slot) {
    ridge_clear(&r->ridges[slot]);
    r->solving[slot] = false;
    for (int k = 0; k <= readout_last(r); k++)
        x_of(r, slot, (uint64_t)k)[0] = NAN;
}

/* ---- a step ------------------------------------------------------------------------------------- */

static void learn(struct readout *r, int slot, uint64_t origin, const float *residuals) {
    const float *x = x_of(r, slot, origin);
    int inputs = r->shape.inputs, outputs = r->shape.outputs, missing = 0;
    for (int i = 0; i < outputs; i++)
        missing += isnan(residuals[i]);
    if (isnan(x[0]) || 2 * missing > outputs)
        return;
    for (int i = 0; i < inputs; i++)
        r->row[i] = (double)x[i];
    for (int i = 0; i < outputs; i++)
        r->row[inputs + i] = isnan(residuals[i]) ? 0 : (double)residuals[i];
    ridge_learn(&r->ridges[slot], r->kernels, r->row);
}

static void solve_some(struct readout *r, int slot) {
    struct ridge *ridge = &r->ridges[slot];
    if (ridge->rows < ROWS)
        return;
    if (!r->solving[slot])
        ridge_solve_begin(&r->solver[slot], ridge, penalty);
    long work = ridge_solve_work(&r->shape) / SOLVE_STEPS + 1;
    r->solving[slot] = ridge_solve(&r->solver[slot], ridge, r->kernels, work) == 0;
}

void readout_see(struct readout *r, int slot, uint64_t step, const float *state, const float *residuals) {
    if (residuals != NULL)
        learn(r, slot, step - (uint64_t)readout_last(r), residuals);
    solve_some(r, slot);
    float *x = x_of(r, slot, step);
    x[0] = state != NULL ? 1 : NAN;
    for (int i = 1; i < r->shape.inputs && state != NULL; i++) {
        float unit = state[r->state_at + (size_t)i - 1];
        x[i] = fmaxf(-LARGEST, fminf(LARGEST, unit));
        if (!isfinite(unit))
            x[0] = NAN;
    }
}

/* ---- a forecast --------------------------------------------------------------------------------- */

const double *readout_forecast(struct readout *r, int slot, uint64_t step, const float *deviations) {
    const float *x = x_of(r, slot, step);
    int n = r->n_targets;
    if (isnan(x[0]) || !r->ridges[slot].solved)
        return NULL;
    for (int i = 0; i < r->shape.inputs; i++)
        r->row[i] = (double)x[i];
    ridge_forecast(&r->ridges[slot], 0, r->kernels, r->row, r->said);
    for (int i = 0; i < r->shape.outputs; i++) {
        double most = RESIDUALS_WIDTH * (double)deviations[i];
        r->said[i] = fmax(-most, fmin(most, r->said[i]));
    }
    for (int h = 1, i = 0; h <= r->model->horizon; h++) {
        i += i + 1 < r->n_steps && h > r->steps[i];
        int gap = i > 0 ? r->steps[i] - r->steps[i - 1] : 1, before = h < r->steps[i] ? r->steps[i] - h : 0;
        double share = (double)before / gap;
        for (int j = 0; j < n; j++) {
            double mean = r->said[i * n + j];
            if (before > 0)
                mean += share * (r->said[(i - 1) * n + j] - mean);
            r->mean[(h - 1) * n + j] = mean;
        }
    }
    return r->mean;
}

/* ---- images ------------------------------------------------------------------------------------- */

void readout_serialize(struct readout *r, int slot, uint64_t step, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "read", FORMAT, &section);
    if (image_reads(io))
        readout_clear(r, slot);
    ridge_serialize(&r->ridges[slot], &section);
    image_bool(&section, &r->solving[slot]);
    if (r->solving[slot])
        ridge_solver_serialize(&r->solver[slot], &r->ridges[slot], &section);
    for (uint64_t back = (uint64_t)readout_last(r) + 1; back > 0; back--) {
        if (step < back)
            continue;
        float *x = x_of(r, slot, step + 1 - back);
        bool known = !isnan(x[0]);
        image_bool(&section, &known);
        x[0] = known ? 1 : NAN;
        if (known)
            image_io(&section, x + 1, (size_t)r->shape.inputs - 1);
    }
    image_leave(io, &section);
}
