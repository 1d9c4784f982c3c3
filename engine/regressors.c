#include "engine/regressors.h"

#include "engine/past.h"
#include "engine/ridge.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LAGS = 60,
    FEW_LAGS = 12,
    HARMONICS = 4,
    OTHERS = 16,  /* other targets that are looked at */
    CROSSED = 8,  /* of which so many by the phase, in */
    WAVES = 2,    /* harmonics */
    PROFILE = 24, /* phases of the season's profile */
    SEASONS = 30, /* whose same phases are averaged, where the history keeps them */
    WEEK = 7,     /* seasons */
    PAST_MOST = 4096,
    MEAN_STEPS = 168,
    SOLVE_STEPS = 24, /* steps in which all targets' coefficients are made anew */
    ROWS = 24,        /* before the first solution */
};

static const double constant = .3, penalty = 100, largest = 100;

/* What is looked at, of the model's horizon and period and the history. */
struct plan {
    int steps, period, lags, harmonics, others, waves, crossed, profile, week, mean_steps;
    int past; /* steps looked back from an origin */
    struct ridge_shape lagged, seasonal;
};

struct regressors {
    const struct config_model *model;
    const struct kernels *kernels;
    struct plan plan;
    int n_targets;
    size_t per_target, per_slot; /* doubles */
    double *memory;              /* [slots x per_slot] the ridges, and a solver's factor */
    struct ridge *lagged;        /* [slots x n_targets] */
    struct ridge *seasonal;      /* [slots x n_targets x steps] */
    struct ridge_solver *solver; /* [slots] */
    int *solving;                /* [slots] the target whose solution is under way; -1: none */
    int *next;                   /* [slots] */
    struct past_range *ranges;   /* [slots x (steps + 1) x n_targets] by step */

    /* Workspace, of the slot at hand. */
    struct past *pasts; /* [n_targets] */
    double *past_memory, *units, *x, *factor, *said;
    bool *known; /* [n_targets] */
};

/* ---- what is looked at -------------------------------------------------------------------------- */

static int at_most(int a, int b) {
    return a < b ? a : b;
}

static struct plan plan_of(const struct config_class *class, const struct config_model *model) {
    struct plan plan = {.steps = at_most(model->horizon, REGRESSORS_STEPS)};
    int most = class->history - plan.steps - 1; /* what an origin may look back */
    plan.lags = at_most(LAGS, most - 1);
    plan.others = at_most(model->n_targets - 1, OTHERS);
    plan.mean_steps = at_most(MEAN_STEPS, most);
    plan.past = plan.mean_steps > plan.lags + 1 ? plan.mean_steps : plan.lags + 1;
    int period = model->period;
    if (period > 1 && most >= 2 * period + 8) {
        plan.period = period;
        plan.harmonics = at_most(HARMONICS, period / 2);
        plan.waves = at_most(WAVES, plan.harmonics);
        plan.crossed = at_most(CROSSED, plan.others);
        plan.profile = at_most(PROFILE, at_most(period, plan.steps));
        int room = at_most(most, PAST_MOST > 2 * period + 8 ? PAST_MOST : 2 * period + 8);
        plan.week = room > WEEK * period ? WEEK * period : 0;
        if (plan.week > 0)
            plan.mean_steps = plan.week;
        int seasons = (SEASONS + 1) * period;
        plan.past = plan.past > at_most(room, seasons) ? plan.past : at_most(room, seasons);
    }
    struct ridge_shape *lagged = &plan.lagged;
    int few = at_most(FEW_LAGS, plan.lags), all = 3 + plan.lags;
    int more = all + plan.others + plan.harmonics * 2 * 5 + plan.waves * 2 * plan.crossed;
    lagged->sizes[lagged->n_sizes++] = 3 + few;
    if (plan.lags > few)
        lagged->sizes[lagged->n_sizes++] = all;
    if (more > all)
        lagged->sizes[lagged->n_sizes++] = more;
    int whole = more + (plan.period > 0 ? 2 * plan.profile + (plan.week > 0) : 0);
    if (whole > more)
        lagged->sizes[lagged->n_sizes++] = whole;
    lagged->inputs = whole;
    lagged->outputs = plan.steps;
    plan.seasonal = (struct ridge_shape){.outputs = 1, .n_sizes = 1};
    plan.seasonal.inputs = plan.seasonal.sizes[0] = 19 + 4 * plan.harmonics + (plan.week > 0);
    return plan;
}

/* ---- memory ------------------------------------------------------------------------------------- */

static bool allocate(struct regressors *r, size_t slots) {
    const struct plan *plan = &r->plan;
    size_t targets = (size_t)r->n_targets, steps = (size_t)plan->steps;
    size_t past = past_doubles(plan->past + plan->steps + 8, plan->period);
    size_t widest = (size_t)plan->lagged.inputs + steps + (size_t)plan->seasonal.inputs + 1;
    r->memory = calloc(slots * r->per_slot, sizeof *r->memory);
    r->lagged = calloc(slots * targets, sizeof *r->lagged);
    r->seasonal = calloc(slots * targets * steps, sizeof *r->seasonal);
    r->solver = calloc(slots, sizeof *r->solver);
    r->solving = calloc(slots, sizeof *r->solving);
    r->next = calloc(slots, sizeof *r->next);
    r->ranges = calloc(slots * (steps + 1) * targets, sizeof *r->ranges);
    r->pasts = calloc(targets, sizeof *r->pasts);
    r->past_memory = calloc(targets * past, sizeof *r->past_memory);
    r->units = calloc(targets, sizeof *r->units);
    r->x = calloc(widest, sizeof *r->x);
    r->factor = calloc(ridge_doubles(&plan->seasonal), sizeof *r->factor);
    r->said = calloc(steps, sizeof *r->said);
    r->known = calloc(targets, sizeof *r->known);
    if (r->memory == NULL || r->lagged == NULL || r->seasonal == NULL || r->solver == NULL || r->solving == NULL ||
        r->next == NULL || r->ranges == NULL || r->pasts == NULL || r->past_memory == NULL || r->units == NULL ||
        r->x == NULL || r->factor == NULL || r->said == NULL || r->known == NULL)
        return false;
    for (size_t j = 0; j < targets; j++)
        past_place(&r->pasts[j], plan->past + plan->steps + 8, plan->period, r->past_memory + j * past);
    return true;
}

static struct ridge *lagged_of(const struct regressors *r, int slot, int j) {
    return &r->lagged[slot * r->n_targets + j];
}

static struct ridge *seasonal_of(const struct regressors *r, int slot, int j, int h) {
    return &r->seasonal[(slot * r->n_targets + j) * r->plan.steps + h - 1];
}

static void place_slot(struct regressors *r, int slot) {
    double *memory = r->memory + (size_t)slot * r->per_slot;
    for (int j = 0; j < r->n_targets; j++) {
        ridge_place(lagged_of(r, slot, j), &r->plan.lagged, memory);
        memory += ridge_doubles(&r->plan.lagged);
        for (int h = 1; h <= r->plan.steps && r->plan.period > 0; h++) {
            ridge_place(seasonal_of(r, slot, j, h), &r->plan.seasonal, memory);
            memory += ridge_doubles(&r->plan.seasonal);
        }
    }
    r->solver[slot].factor = memory;
    r->solving[slot] = -1;
}

struct regressors *regressors_new(const struct config_class *class, const struct config_model *model,
                                  const struct kernels *kernels) {
    struct regressors *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->model = model;
    r->kernels = kernels;
    r->n_targets = model->n_targets;
    r->plan = plan_of(class, model);
    size_t lagged = ridge_doubles(&r->plan.lagged), seasonal = ridge_doubles(&r->plan.seasonal);
    r->per_target = lagged + (r->plan.period > 0 ? (size_t)r->plan.steps * seasonal : 0);
    r->per_slot = (size_t)r->n_targets * r->per_target + lagged;
    if (!allocate(r, (size_t)model->batch_size)) {
        regressors_free(r);
        return NULL;
    }
    for (int slot = 0; slot < model->batch_size; slot++)
        place_slot(r, slot);
    return r;
}

void regressors_free(struct regressors *r) {
    if (r == NULL)
        return;
    free(r->memory);
    free(r->lagged);
    free(r->seasonal);
    free(r->solver);
    free(r->solving);
    free(r->next);
    free(r->ranges);
    free(r->pasts);
    free(r->past_memory);
    free(r->units);
    free(r->x);
    free(r->factor);
    free(r->said);
    free(r->known);
    free(r);
}

int regressors_count(const struct regressors *r) {
    return r->plan.lagged.n_sizes + (r->plan.period > 0);
}

int regressors_plain(const struct regressors *r) {
    return r->plan.lags > FEW_LAGS ? 1 : 0;
}

void regressors_clear(struct regressors *r, int slot) {
    for (int j = 0; j < r->n_targets; j++) {
        ridge_clear(lagged_of(r, slot, j));
        for (int h = 1; h <= r->plan.steps && r->plan.period > 0; h++)
            ridge_clear(seasonal_of(r, slot, j, h));
    }
    r->solving[slot] = -1;
    r->next[slot] = 0;
}

/* ---- inputs ------------------------------------------------------------------------------------- */

/* An origin: what is looked at from one step, `back` steps before the one at hand. */
struct origin {
    const struct past *past;
    int back;
    uint64_t step;
    struct past_range range; /* as it was there */
    double unit, from;       /* the last value there, bounded */
};

static double bounded(double x) {
    return fmax(-largest, fmin(largest, x));
}

/* The bounded value k steps before the origin, less the last one. */
static double lag(const struct origin *o, int k) {
    return bounded((past_bounded(&o->range, o->past->values[o->back + k]) - o->from) / o->unit);
}

static double mean_of(const struct origin *o, int n) {
    return bounded((past_mean(o->past, o->back, n) - o->from) / o->unit);
}

/* How far a value lies beyond the range. */
static double excess(const struct origin *o, int k) {
    double value = o->past->values[o->back + k];
    return bounded((value - past_bounded(&o->range, value)) / o->unit);
}

/* The d-th average of the phase k steps before the origin. */
static double average_of(const struct origin *o, int d, int k) {
    return bounded((o->past->average[d][o->back + k] - o->from) / o->unit);
}

static struct origin origin_of(const struct regressors *r, int slot, int j, uint64_t step, int back) {
    size_t steps = (size_t)r->plan.steps + 1, place = ((size_t)slot * steps + (size_t)(step % steps));
    struct origin origin = {.past = &r->pasts[j],
                            .back = back,
                            .step = step,
                            .range = r->ranges[place * (size_t)r->n_targets + (size_t)j],
                            .unit = r->units[j]};
    origin.from = isnan(origin.range.low) ? NAN : past_bounded(&origin.range, origin.past->values[back]);
    return origin;
}

static double *harmonic(double *x, uint64_t step, int period, int g) {
    double angle = 2 * M_PI * g * (double)(step % (uint64_t)period) / period;
    x[0] = cos(angle);
    x[1] = sin(angle);
    return x + 2;
}

static double *start_inputs(const struct origin *o, double *x) {
    *x++ = constant;
    *x++ = excess(o, 0);
    *x++ = excess(o, 1);
    return x;
}

/* The levels of other targets, the next ones behind it. */
static double *other_inputs(const struct regressors *r, int j, int back, double *x) {
    for (int i = 1; i <= r->plan.others; i++) {
        int other = (j + i) % r->n_targets;
        const struct past *past = &r->pasts[other];
        double level = past_bounded(&past->range, past->values[back]) - past_mean(past, back, r->plan.mean_steps);
        *x++ = r->known[other] ? bounded(level / r->units[other]) : 0;
    }
    return x;
}

/* The inputs of the first kind, [lagged.inputs]. */
static void lagged_inputs(const struct regressors *r, int j, const struct origin *o, double *x) {
    const struct plan *plan = &r->plan;
    double *end = x + plan->lagged.inputs;
    x = start_inputs(o, x);
    for (int k = 1; k <= plan->lags; k++)
        *x++ = lag(o, k);
    const double *others = x;
    x = other_inputs(r, j, o->back, x);
    double mean = mean_of(o, plan->mean_steps);
    for (int g = 1; g <= plan->harmonics; g++) {
        double *wave = x;
        x = harmonic(x, o->step, plan->period, g);
        for (int i = 0; i < 2; i++) {
            *x++ = wave[i] * (0 - mean);
            *x++ = wave[i] * (lag(o, 1) - mean);
            *x++ = wave[i] * (lag(o, 2) - mean);
            *x++ = wave[i] * (lag(o, plan->period - 1) - mean);
            for (int k = 0; k < plan->crossed && g <= plan->waves; k++)
                *x++ = wave[i] * others[k];
        }
    }
    for (int i = 1; i <= plan->profile; i++) {
        int ahead = (i * at_most(plan->period, plan->steps) + plan->profile - 1) / plan->profile;
        *x++ = average_of(o, 1, plan->period - ahead);
        *x++ = average_of(o, 2, plan->period - ahead);
    }
    if (plan->week > 0)
        *x++ = lag(o, plan->week - 1);
    assert(x == end);
}

/* A phase, and the level by the phase. */
static double *phase_inputs(double *x, uint64_t step, int period, int g, double mean) {
    harmonic(x, step, period, g);
    x[2] = x[0] * mean;
    x[3] = x[1] * mean;
    return x + 4;
}

/* The inputs of the second kind for h steps ahead, [seasonal.inputs]. */
static void seasonal_inputs(const struct regressors *r, const struct origin *o, int h, double *x) {
    const struct plan *plan = &r->plan;
    double *end = x + plan->seasonal.inputs;
    int period = plan->period, same = (h + period - 1) / period * period - h; /* steps back to the same phase */
    x = start_inputs(o, x);
    *x++ = lag(o, same);
    *x++ = lag(o, same + period);
    *x++ = lag(o, same + 1);
    *x++ = lag(o, same > 0 ? same - 1 : period - 1);
    if (plan->week > 0)
        *x++ = lag(o, (h + plan->week - 1) / plan->week * plan->week - h);
    *x++ = mean_of(o, period);
    double mean = *x++ = mean_of(o, plan->mean_steps);
    for (int d = 0; d < PAST_AVERAGES; d++)
        *x++ = average_of(o, d, same);
    *x++ = average_of(o, 0, period);
    *x++ = average_of(o, 1, period);
    *x++ = lag(o, 1);
    *x++ = lag(o, 2);
    *x++ = lag(o, period - 1);
    double off = 0;
    for (int k = 0; k < 6; k++) {
        off += lag(o, k) - average_of(o, 1, k + period);
        if (k == 2 || k == 5)
            *x++ = off / (k + 1);
    }
    for (int g = 1; g <= plan->harmonics; g++)
        x = phase_inputs(x, o->step + (uint64_t)h, period, g, mean);
    assert(x == end);
}

/* ---- a step --------------------------------------------------------------------------------------- */

static void load(struct regressors *r, const struct history *history, uint64_t step, const struct scaler *scalers) {
    for (int j = 0; j < r->n_targets; j++) {
        int feature = r->model->targets[j];
        r->units[j] = scaler_unit(SCALER_STANDARD, &scalers[feature]);
        r->known[j] = past_load(&r->pasts[j], history, step, feature, r->units[j]);
    }
}

/* The answer `k` steps back, as a difference to the last value of an origin. */
static double answer(const struct regressors *r, int j, const struct origin *o, int k) {
    const struct past *past = &r->pasts[j];
    return bounded((past_bounded(&past->range, past->values[k]) - past->values[o->back]) / o->unit);
}

/* The answers of the horizon of the origin `steps` back have come. */
static void learn_lagged(struct regressors *r, int slot, const struct history *history, uint64_t step, int j) {
    int n = r->plan.steps, missing = 0;
    for (int k = 0; k < n; k++)
        missing += history_missing(history, step - (uint64_t)k, r->model->targets[j]);
    if (2 * missing > n)
        return;
    struct origin origin = origin_of(r, slot, j, step - (uint64_t)n, n);
    if (isnan(origin.from)) /* nothing was known there */
        return;
    lagged_inputs(r, j, &origin, r->x);
    for (int h = 1; h <= n; h++)
        r->x[r->plan.lagged.inputs + h - 1] = answer(r, j, &origin, n - h);
    ridge_learn(lagged_of(r, slot, j), r->kernels, r->x);
}

static void learn_seasonal(struct regressors *r, int slot, const struct history *history, uint64_t step,
                           uint64_t since, int j) {
    if (history_missing(history, step, r->model->targets[j]))
        return;
    for (int h = 1; h <= r->plan.steps && step >= since + (uint64_t)h; h++) {
        struct origin origin = origin_of(r, slot, j, step - (uint64_t)h, h);
        if (isnan(origin.from))
            return;
        seasonal_inputs(r, &origin, h, r->x);
        r->x[r->plan.seasonal.inputs] = answer(r, j, &origin, 0);
        struct ridge *ridge = seasonal_of(r, slot, j, h);
        ridge_learn(ridge, r->kernels, r->x);
        if ((step + (uint64_t)h) % SOLVE_STEPS != 0 || ridge->rows < ROWS)
            continue;
        struct ridge_solver solver = {.factor = r->factor};
        ridge_solve_begin(&solver, ridge, penalty);
        while (!ridge_solve(&solver, ridge, r->kernels, ridge_solve_work(&ridge->shape)))
            ;
    }
}

/* One step's share of the solutions of all targets, one after another. */
static void solve_some(struct regressors *r, int slot) {
    long work = r->n_targets * ridge_solve_work(&r->plan.lagged) / SOLVE_STEPS + 1;
    for (int begun = 0; work > 0;) {
        if (r->solving[slot] < 0) {
            int j = r->next[slot];
            r->next[slot] = (j + 1) % r->n_targets;
            if (begun++ == r->n_targets)
                return;
            if (lagged_of(r, slot, j)->rows < ROWS)
                continue;
            r->solving[slot] = j;
            ridge_solve_begin(&r->solver[slot], lagged_of(r, slot, j), penalty);
        }
        work = ridge_solve(&r->solver[slot], lagged_of(r, slot, r->solving[slot]), r->kernels, work);
        if (work > 0)
            r->solving[slot] = -1;
    }
}

/* What the step answers is learnt. */
static void learn(struct regressors *r, int slot, const struct history *history, uint64_t step, uint64_t since) {
    size_t steps = (size_t)r->plan.steps + 1, place = ((size_t)slot * steps + (size_t)(step % steps));
    for (int j = 0; j < r->n_targets; j++)
        r->ranges[place * (size_t)r->n_targets + (size_t)j] = r->pasts[j].range;
    for (int j = 0; j < r->n_targets; j++) {
        if (!r->known[j])
            continue;
        if (step >= since + (uint64_t)r->plan.steps)
            learn_lagged(r, slot, history, step, j);
        if (r->plan.period > 0)
            learn_seasonal(r, slot, history, step, since, j);
    }
}

/* ---- a forecast ------------------------------------------------------------------------------------ */

/* Within the recent values, and half their width around them. */
static double within(const struct past *past, double x) {
    double half = (past->most - past->least) / 2;
    return fmax(past->least - half, fmin(past->most + half, x));
}

static void forecast(struct regressors *r, int slot, uint64_t step, double *const *mean) {
    int n = r->n_targets, sizes = r->plan.lagged.n_sizes;
    for (int i = 0; i < regressors_count(r); i++)
        for (int at = 0; at < r->model->horizon * n; at++)
            mean[i][at] = NAN;
    for (int j = 0; j < n; j++) {
        if (!r->known[j])
            continue;
        struct origin origin = origin_of(r, slot, j, step, 0);
        const struct past *past = origin.past;
        const struct ridge *lagged = lagged_of(r, slot, j);
        lagged_inputs(r, j, &origin, r->x);
        for (int i = 0; i < sizes && lagged->solved; i++) {
            ridge_forecast(lagged, i, r->kernels, r->x, r->said);
            for (int h = 0; h < r->plan.steps; h++)
                mean[i][h * n + j] = within(past, past->values[0] + origin.unit * r->said[h]);
        }
        for (int h = 1; h <= r->plan.steps && r->plan.period > 0; h++) {
            const struct ridge *seasonal = seasonal_of(r, slot, j, h);
            if (!seasonal->solved)
                continue;
            seasonal_inputs(r, &origin, h, r->x);
            ridge_forecast(seasonal, 0, r->kernels, r->x, r->said);
            mean[sizes][(h - 1) * n + j] = within(past, past->values[0] + origin.unit * r->said[0]);
        }
    }
}

void regressors_step(struct regressors *r, int slot, const struct history *history, uint64_t step, uint64_t since,
                     const struct scaler *scalers, double *const *mean) {
    load(r, history, step, scalers);
    learn(r, slot, history, step, since);
    solve_some(r, slot);
    forecast(r, slot, step, mean);
}

/* ---- images ------------------------------------------------------------------------------------------ */

static void serialize_ranges(struct regressors *r, int slot, uint64_t step, uint64_t since, struct image_io *io) {
    size_t steps = (size_t)r->plan.steps + 1;
    uint64_t first = step + 1 > steps ? step + 1 - steps : 1;
    for (uint64_t at = first > since ? first : since; at <= step; at++)
        for (int j = 0; j < r->n_targets; j++) {
            size_t place = (size_t)slot * steps + (size_t)(at % steps);
            struct past_range *range = &r->ranges[place * (size_t)r->n_targets + (size_t)j];
            image_io(io, &range->low, 1);
            image_io(io, &range->high, 1);
        }
}

void regressors_serialize(struct regressors *r, int slot, uint64_t step, uint64_t since, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "regr", FORMAT, &section);
    for (int j = 0; j < r->n_targets; j++) {
        ridge_serialize(lagged_of(r, slot, j), &section);
        for (int h = 1; h <= r->plan.steps && r->plan.period > 0; h++)
            ridge_serialize(seasonal_of(r, slot, j, h), &section);
    }
    image_int(&section, &r->solving[slot], -1, r->n_targets - 1, "a solution of no target");
    image_int(&section, &r->next[slot], 0, r->n_targets - 1, "no target comes next");
    if (r->solving[slot] >= 0)
        ridge_solver_serialize(&r->solver[slot], lagged_of(r, slot, r->solving[slot]), &section);
    serialize_ranges(r, slot, step, since, &section);
    image_leave(io, &section);
}
