#include "engine/pooled.h"

#include "engine/evaluation.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows whose products are summed at once; the fewest, per input, that coefficients are made of; steps of the coming
 * season that are looked at a season before. */
enum {
    BLOCK = 256,
    ROWS_PER_INPUT = 2,
    AHEAD = 24,
    HARMONICS = 2,
    INPUTS_MOST = POOLED_LAGS + AHEAD + 4 * HARMONICS + 2
};

static const double constant = .3;

/* LAPACK, in OpenBLAS: the solution of A X = B with A symmetric and positive definite, in column-major order. */
extern void dposv_(const char *uplo, const int *n, const int *n_right, double *a, const int *lda, double *b,
                   const int *ldb, int *info);

struct plan {
    int inputs, steps, lags, ahead, past; /* past: steps looked back */
};

/* A window has what is looked back on before its first origin that counts. */
static struct plan plan_of(const struct config_model *model) {
    struct plan plan = {.steps = model->horizon < POOLED_STEPS ? model->horizon : POOLED_STEPS};
    int most = model->training.window * 3 / 4, period = model->period;
    plan.lags = most < POOLED_LAGS ? most : POOLED_LAGS;
    plan.past = plan.lags;
    if (period > plan.lags && period <= most) {
        plan.ahead = plan.steps < AHEAD ? plan.steps : AHEAD;
        plan.past = period;
    }
    plan.inputs = 2 + plan.lags + plan.ahead + (period > 1 ? 4 * HARMONICS : 0);
    return plan;
}

bool pooled_is_kept(const struct config_model *model) {
    return model->experts == EXPERTS_LIGHT && model->train && model->head == HEAD_FORECAST &&
           model->scaler != SCALER_NONE && model->vocabulary == 0;
}

size_t pooled_size(const struct config_model *model) {
    struct plan plan = plan_of(model);
    return (size_t)model->n_targets * (size_t)plan.inputs * (size_t)plan.steps;
}

static double bounded(double x) {
    return fmax(-POOLED_CLIP, fmin(POOLED_CLIP, x));
}

/* How many steps before an origin the i-th value lies that is looked at: now, the lags, the season before. */
static int back_of(const struct config_model *model, const struct plan *plan, int i) {
    if (i <= plan->lags)
        return i;
    int ahead = (i - plan->lags) * plan->steps / plan->ahead;
    return ahead < model->period ? model->period - ahead : 0;
}

/* The inputs of an origin; scaled [1 + lags + ahead]: the values that are looked at, in the scaler's unit. */
static void fill_inputs(const struct config_model *model, const struct plan *plan, const double *scaled,
                        uint64_t step, double *x) {
    double level = bounded(scaled[0]);
    *x++ = constant;
    *x++ = level;
    for (int i = 1; i <= plan->lags + plan->ahead; i++)
        *x++ = bounded(scaled[i] - scaled[0]);
    for (int g = 1; model->period > 1 && g <= HARMONICS; g++) {
        double angle = 2 * M_PI * g * (double)(step % (uint64_t)model->period) / model->period;
        *x++ = cos(angle);
        *x++ = sin(angle);
        *x++ = cos(angle) * level;
        *x++ = sin(angle) * level;
    }
}

/* ---- solving ---------------------------------------------------------------------------------- */

/* The moments of one target: M = sum w v v', v = [x | y], upper triangle, row-major. */
struct moments {
    const struct config_model *model;
    struct plan plan;
    int width;     /* of v */
    int n;         /* rows in the block */
    long rows;     /* in all */
    double *m;     /* [width x width] */
    double *block; /* [BLOCK x width] */
};

static void add_block(struct moments *moments) {
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, moments->width, moments->n, 1, moments->block, moments->width,
                1, moments->m, moments->width);
    moments->rows += moments->n;
    moments->n = 0;
}

/* The row of one origin; returns false where it has no answers, or where ticks are missing between it and them. */
static bool fill_row(struct moments *moments, const struct window *window, int origin, int target, double *v) {
    const struct config_model *model = moments->model;
    const struct plan *plan = &moments->plan;
    const float *base = window->base + target, *z = window->z + target;
    ptrdiff_t n_targets = model->n_targets;
    int missing = 0;
    if ((window->flags[origin] & WINDOW_BLIND) != 0 || isnan(base[(origin - plan->past) * n_targets]))
        return false;
    for (int h = 1; h <= plan->steps; h++) {
        if ((window->flags[origin + h] & WINDOW_GAP) != 0)
            return false;
        missing += isnan(z[(origin + h) * n_targets]);
        v[plan->inputs + h - 1] = bounded((double)(base[(origin + h) * n_targets] - base[origin * n_targets]));
    }
    if (2 * missing > plan->steps)
        return false;
    double scaled[INPUTS_MOST];
    for (int i = 0; i <= plan->lags + plan->ahead; i++)
        scaled[i] = (double)base[(origin - back_of(model, plan, i)) * n_targets];
    fill_inputs(model, plan, scaled, window->last + 1 - (uint64_t)(window->n - origin), v);
    for (int i = 0; i < moments->width; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

static void add_window(struct moments *moments, const struct window *window, int target) {
    const struct config_model *model = moments->model;
    int first = window->score_from > moments->plan.past ? window->score_from : moments->plan.past;
    for (int origin = first; origin + model->horizon < window->n; origin++) {
        double *v = moments->block + (size_t)moments->n * (size_t)moments->width;
        if (!fill_row(moments, window, origin, target, v))
            continue;
        double weight = sqrt((double)evaluation_weight(model, window, origin));
        for (int i = 0; i < moments->width; i++)
            v[i] *= weight;
        if (++moments->n == BLOCK)
            add_block(moments);
    }
}

/* Solves for the coefficients of a target. Returns false where there are too few rows. */
static bool solve(struct moments *moments, double *gram, double *right, float *ret) {
    int n = moments->plan.inputs, steps = moments->plan.steps, width = moments->width, info;
    if (moments->rows < (long)ROWS_PER_INPUT * n)
        return false;
    for (int i = 0; i < n; i++) {
        for (int k = i; k < n; k++)
            gram[i * n + k] = moments->m[i * width + k];
        gram[i * n + i] += POOLED_PENALTY * moments->m[i * width + i] / (double)moments->rows + 1e-9;
        for (int h = 0; h < steps; h++)
            right[h * n + i] = moments->m[i * width + n + h];
    }
    /* The upper triangle by rows is the lower one by columns. */
    dposv_("L", &n, &steps, gram, &n, right, &n, &info);
    if (info != 0)
        return false;
    for (int i = 0; i < n; i++)
        for (int h = 0; h < steps; h++)
            ret[i * steps + h] = (float)right[h * n + i];
    return true;
}

static bool solve_target(struct moments *moments, int target, const struct window *const *windows, int n,
                         bool (*stop)(void *context), void *context, double *gram, double *right, float *ret) {
    memset(moments->m, 0, (size_t)moments->width * (size_t)moments->width * sizeof *moments->m);
    moments->n = 0;
    moments->rows = 0;
    for (int i = 0; i < n; i++) {
        if (stop(context))
            return false;
        add_window(moments, windows[i], target);
    }
    add_block(moments);
    return solve(moments, gram, right, ret);
}

float *pooled_solve(const struct config_model *model, const struct window *const *windows, int n,
                    bool (*stop)(void *context), void *context) {
    struct moments moments = {.model = model, .plan = plan_of(model)};
    size_t inputs = (size_t)moments.plan.inputs, steps = (size_t)moments.plan.steps, width = inputs + steps;
    moments.width = (int)width;
    moments.m = calloc(width * width, sizeof *moments.m);
    moments.block = calloc(BLOCK * width, sizeof *moments.block);
    double *gram = calloc(inputs * inputs, sizeof *gram), *right = calloc(inputs * steps, sizeof *right);
    float *coefficients = calloc(pooled_size(model), sizeof *coefficients);
    bool solved = moments.m != NULL && moments.block != NULL && gram != NULL && right != NULL && coefficients != NULL;
    for (int j = 0; solved && j < model->n_targets; j++)
        solved = solve_target(&moments, j, windows, n, stop, context, gram, right,
                              coefficients + (size_t)j * inputs * steps);
    free(moments.m);
    free(moments.block);
    free(gram);
    free(right);
    if (solved)
        return coefficients;
    free(coefficients);
    return NULL;
}

/* ---- a forecast ------------------------------------------------------------------------------- */

/* The value at a step, or the oldest one that is held. */
static double value_at(const struct history *history, uint64_t step, int back, int feature) {
    uint64_t most = history_reach(history, step) - 1;
    return history_values(history, step - ((uint64_t)back < most ? (uint64_t)back : most))[feature];
}

static void forecast_target(const struct config_model *model, const struct plan *plan, const float *coefficients,
                            const struct history *history, uint64_t step, int j, const struct scaler *scaler,
                            double *mean) {
    int feature = model->targets[j], n_targets = model->n_targets;
    double unit = scaler_unit(SCALER_STANDARD, scaler), scaled[INPUTS_MOST], x[INPUTS_MOST];
    double last = value_at(history, step, 0, feature), value = last;
    for (int i = 0; i <= plan->lags + plan->ahead; i++) {
        double found = value_at(history, step, back_of(model, plan, i), feature);
        value = isfinite(found) ? found : value; /* before the first one that is known */
        scaled[i] = (value - scaler->mean) / unit;
    }
    fill_inputs(model, plan, scaled, step, x);
    for (int h = 0; h < model->horizon; h++) {
        double sum = 0;
        for (int i = 0; h < plan->steps && i < plan->inputs; i++)
            sum = fma(x[i], (double)coefficients[i * plan->steps + h], sum);
        mean[h * n_targets + j] = h < plan->steps && isfinite(last) ? last + unit * sum : NAN;
    }
}

void pooled_forecast(const struct config_model *model, const float *coefficients, const struct history *history,
                     uint64_t step, const struct scaler *scalers, double *mean) {
    struct plan plan = plan_of(model);
    size_t each = (size_t)plan.inputs * (size_t)plan.steps;
    for (int j = 0; j < model->n_targets; j++)
        forecast_target(model, &plan, coefficients + (size_t)j * each, history, step, j, &scalers[model->targets[j]],
                        mean);
}
