#include "engine/experts.h"

#include "engine/baseline.h"
#include "engine/mixture.h"
#include "engine/pooled.h"
#include "engine/readout.h"
#include "engine/regressors.h"
#include "engine/scores.h"
#include "engine/smoothing.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Voices are the experts and, behind them, the regressions beside the ridge expert. */
enum { VOICES = EXPERT_COUNT + REGRESSORS_MOST - 1 };

/* Mixtures learn apart where a target has just stood still, and, a few steps ahead, behind changes of WILD typical
 * ones: what is right there is right nowhere else. */
enum context { USUAL, STILL, WILD_CHANGE, CONTEXTS };
enum { STILL_STEPS = 6, WILD = 10, WILD_STEPS = 4 };

/* How much a target changes from one step to the next. */
struct activity {
    double typical; /* change, robust */
    float seen;     /* changes, up to 500 */
    float still;    /* steps for which changes have been small */
    float wild;     /* 2: the latest change was large; 1: the one before */
};

struct experts {
    const struct config_model *model;
    int n_targets, horizon, n_scored, n_voices;
    struct regressors *regressors;  /* NULL: light */
    struct residuals *residuals;    /* NULL: nobody learns from them */
    int *scored;                    /* [n_scored] steps ahead */
    size_t *first;                  /* [n_scored] where the forecasts of a scored step begin within a slot's */
    size_t waiting;                 /* forecasts that a slot keeps: the sum of scored */
    uint64_t *since;                /* [slots] forecasts of steps from here on are kept */
    uint64_t *network_since;        /* [slots] the same of networks */
    float *said;                    /* [slots x waiting x n_targets x (n_voices + SAID_MORE)] of the voices and
                                     * enum said: beyond the last value, in its unit then */
    float *unit;                    /* [slots x (horizon + 1) x n_targets] by step, within 1e-30 and 1e30 */
    size_t *mixture;                /* [n_scored + 1] where the records of a scored step begin within a slot's */
    struct mixture_record *records; /* [slots x mixture[n_scored]], of a scored step [n_targets x contexts x
                                     * n_voices] */
    struct mixture_errors *errors;  /* [slots x n_scored x n_targets x (n_voices + 1)]: the last of the mixture */
    struct activity *activity;      /* [slots x n_targets] */
    struct smoothing *smoothing;    /* [slots x n_targets] */
    float *shares;                  /* [slots x EXPERT_COUNT] */
    double *mean;                   /* [(n_voices + 1) x horizon x n_targets] of the latest slot; the last: the
                                     * regressions mixed, which a readout adds to */
    float *weights;                 /* [n_scored x VOICES] workspace */
    double *observed;               /* [2 x n_targets] workspace */
};

/* What is kept of a forecast beside what the voices said. */
enum said { SAID_PUBLISHED, SAID_REGRESSIONS, SAID_CONTEXT, SAID_MORE };

static unsigned contexts_at(int h) {
    return h <= WILD_STEPS ? CONTEXTS : WILD_CHANGE;
}

static void place_steps(struct experts *e) {
    scores_steps(e->model->scored, e->horizon, e->scored);
    for (int i = 0; i < e->n_scored; i++) {
        e->first[i] = e->waiting;
        e->waiting += (size_t)e->scored[i];
        size_t records = (size_t)e->n_targets * contexts_at(e->scored[i]) * (size_t)e->n_voices;
        e->mixture[i + 1] = e->mixture[i] + records;
    }
}

struct experts *experts_new(const struct config_class *class, const struct config_model *model,
                            const struct kernels *kernels) {
    struct experts *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    size_t slots = (size_t)model->batch_size, targets = (size_t)model->n_targets, steps;
    e->model = model;
    e->n_targets = model->n_targets;
    e->horizon = model->horizon;
    e->n_scored = scores_steps(model->scored, model->horizon, NULL);
    steps = (size_t)e->n_scored;
    bool full = model->experts == EXPERTS_FULL, reads = readout_is_wanted(model);
    if (full)
        e->regressors = regressors_new(class, model, kernels);
    if (reads)
        e->residuals = residuals_new(class, model);
    e->n_voices = EXPERT_COUNT + (e->regressors != NULL ? regressors_count(e->regressors) - 1 : 0);
    size_t voices = (size_t)e->n_voices;
    e->scored = calloc(steps, sizeof *e->scored);
    e->first = calloc(steps, sizeof *e->first);
    e->mixture = calloc(steps + 1, sizeof *e->mixture);
    if (e->scored != NULL && e->first != NULL && e->mixture != NULL)
        place_steps(e);
    e->since = calloc(slots, sizeof *e->since);
    e->network_since = calloc(slots, sizeof *e->network_since);
    e->said = calloc(slots * e->waiting * targets * (voices + SAID_MORE), sizeof *e->said);
    e->unit = calloc(slots * ((size_t)model->horizon + 1) * targets, sizeof *e->unit);
    e->records = e->mixture != NULL ? calloc(slots * e->mixture[steps], sizeof *e->records) : NULL;
    e->errors = calloc(slots * steps * targets * (voices + 1), sizeof *e->errors);
    e->activity = calloc(slots * targets, sizeof *e->activity);
    e->smoothing = calloc(slots * targets, sizeof *e->smoothing);
    e->shares = calloc(slots * EXPERT_COUNT, sizeof *e->shares);
    e->mean = calloc((voices + 1) * (size_t)model->horizon * targets, sizeof *e->mean);
    e->weights = calloc(steps * VOICES, sizeof *e->weights);
    e->observed = calloc(2 * targets, sizeof *e->observed);
    if (e->scored == NULL || e->first == NULL || e->since == NULL || e->network_since == NULL || e->said == NULL ||
        e->unit == NULL || e->records == NULL || e->smoothing == NULL || e->shares == NULL || e->mean == NULL ||
        e->weights == NULL || e->observed == NULL || e->errors == NULL || e->activity == NULL ||
        (full && e->regressors == NULL) || (reads && e->residuals == NULL)) {
        experts_free(e);
        return NULL;
    }
    return e;
}

void experts_free(struct experts *e) {
    if (e == NULL)
        return;
    regressors_free(e->regressors);
    residuals_free(e->residuals);
    free(e->scored);
    free(e->first);
    free(e->mixture);
    free(e->since);
    free(e->network_since);
    free(e->said);
    free(e->unit);
    free(e->records);
    free(e->errors);
    free(e->activity);
    free(e->smoothing);
    free(e->shares);
    free(e->mean);
    free(e->weights);
    free(e->observed);
    free(e);
}

/* ---- where things stand ----------------------------------------------------------------------- */

static struct mixture_record *slot_records(const struct experts *e, int slot) {
    return e->records + (size_t)slot * e->mixture[e->n_scored];
}

/* [n_voices] of scored step i and target j. */
static struct mixture_record *records_of(const struct experts *e, int slot, int i, int j, unsigned context) {
    unsigned contexts = contexts_at(e->scored[i]);
    size_t at = (size_t)j * contexts + (context < contexts ? context : USUAL);
    return slot_records(e, slot) + e->mixture[i] + at * (size_t)e->n_voices;
}

static struct mixture_errors *errors_of(const struct experts *e, int slot, int i, int j) {
    size_t at = ((size_t)slot * (size_t)e->n_scored + (size_t)i) * (size_t)e->n_targets + (size_t)j;
    return e->errors + at * ((size_t)e->n_voices + 1);
}

static struct activity *activity_of(const struct experts *e, int slot, int j) {
    return &e->activity[slot * e->n_targets + j];
}

static enum context context_of(const struct experts *e, int slot, int j) {
    const struct activity *activity = activity_of(e, slot, j);
    return activity->still >= STILL_STEPS ? STILL : activity->wild > 0 ? WILD_CHANGE : USUAL;
}

/* What was said at `step` of scored step i and target j, [n_voices + SAID_MORE]: a ring of scored[i] steps. */
static float *said_of(const struct experts *e, int slot, int i, uint64_t step, int j) {
    size_t at = (size_t)slot * e->waiting + e->first[i] + (size_t)(step % (uint64_t)e->scored[i]);
    return e->said + (at * (size_t)e->n_targets + (size_t)j) * ((size_t)e->n_voices + SAID_MORE);
}

/* The units [n_targets] as they stood at a step. */
static float *units_of(const struct experts *e, int slot, uint64_t step) {
    size_t steps = (size_t)e->horizon + 1;
    return e->unit + ((size_t)slot * steps + (size_t)(step % steps)) * (size_t)e->n_targets;
}

static struct smoothing *smoothing_of(const struct experts *e, int slot, int j) {
    return &e->smoothing[slot * e->n_targets + j];
}

/* Of a voice; n_voices: of the regressions mixed. */
static double *row_of(const struct experts *e, int voice) {
    return e->mean + (size_t)voice * (size_t)e->horizon * (size_t)e->n_targets;
}

const double *experts_mean(const struct experts *e, enum expert expert) {
    return row_of(e, (int)expert);
}

struct residuals *experts_residuals(const struct experts *e) {
    return e->residuals;
}

const float *experts_shares(const struct experts *e, int slot) {
    return e->shares + (size_t)slot * EXPERT_COUNT;
}

/* ---- beginnings ------------------------------------------------------------------------------- */

void experts_acquire(struct experts *e, int slot, uint64_t step) {
    e->since[slot] = step + 1;
    e->network_since[slot] = step + 1;
    size_t mixtures = (size_t)e->n_scored * (size_t)e->n_targets;
    memset(slot_records(e, slot), 0, e->mixture[e->n_scored] * sizeof *e->records);
    memset(errors_of(e, slot, 0, 0), 0, mixtures * ((size_t)e->n_voices + 1) * sizeof *e->errors);
    memset(activity_of(e, slot, 0), 0, (size_t)e->n_targets * sizeof *e->activity);
    if (e->regressors != NULL)
        regressors_clear(e->regressors, slot);
    if (e->residuals != NULL)
        residuals_acquire(e->residuals, slot, step);
    memset(smoothing_of(e, slot, 0), 0, (size_t)e->n_targets * sizeof *e->smoothing);
}

void experts_begin_anew(struct experts *e, int slot) {
    for (int j = 0; j < e->n_targets; j++)
        smoothing_restart(smoothing_of(e, slot, j));
}

void experts_change_network(struct experts *e, int slot, uint64_t step) {
    e->network_since[slot] = step + 1;
    for (int i = 0; i < e->n_scored; i++)
        for (int j = 0; j < e->n_targets; j++) {
            struct mixture_errors *errors = errors_of(e, slot, i, j);
            errors[EXPERT_NETWORK] = (struct mixture_errors){0};
            for (unsigned c = 0; c < contexts_at(e->scored[i]); c++)
                mixture_renew(records_of(e, slot, i, j, c), e->n_voices, EXPERT_NETWORK);
        }
}

/* ---- a step ------------------------------------------------------------------------------------- */

/* Those that the published forecast is to be no worse than, in squares and in absolute values. */
static const unsigned rivals = 1u << EXPERT_LAST_VALUE | 1u << EXPERT_SEASONAL | 1u << EXPERT_RIDGE;

/* What was forecast h = scored[i] steps before is answered. */
static void answer(struct experts *e, int slot, const struct history *history, uint64_t step, int i) {
    uint64_t h = (uint64_t)e->scored[i];
    if (step < e->since[slot] + h)
        return;
    const float *units = units_of(e, slot, step - h);
    const double *last = step - h >= history_oldest(history) ? history_values(history, step - h) : NULL;
    for (int j = 0; j < e->n_targets; j++) {
        double from = last != NULL ? last[e->model->targets[j]] : NAN;
        double beyond = (e->observed[j] - from) / (double)units[j];
        float *said = said_of(e, slot, i, step - h, j), *more = said + e->n_voices;
        if (step - h < e->network_since[slot])
            said[EXPERT_NETWORK] = NAN;
        if (e->residuals != NULL)
            residuals_put(e->residuals, slot, step - h, (int)h, j, beyond - (double)more[SAID_REGRESSIONS]);
        if (isfinite(beyond) && isfinite(more[SAID_PUBLISHED]))
            mixture_learn(errors_of(e, slot, i, j), records_of(e, slot, i, j, (unsigned)more[SAID_CONTEXT]),
                          e->n_voices, (int)h, rivals, said, more[SAID_PUBLISHED], (float)beyond);
    }
}

/* Small is 2 % of what is typical; a change counts as five typical ones at most. */
static void see_change(struct activity *activity, double change) {
    if (!isfinite(change)) { /* nothing is known of it: as usual */
        activity->still = activity->wild = 0;
        return;
    }
    activity->still = change <= .02 * activity->typical ? fminf(activity->still + 1, STILL_STEPS) : 0;
    activity->wild = activity->seen > 20 && change > WILD * activity->typical ? 2 : fmaxf(activity->wild - 1, 0);
    if (!(change > 0))
        return;
    activity->seen = fminf(activity->seen + 1, 500);
    double most = activity->seen > STILL_STEPS ? 5 * activity->typical : change;
    activity->typical += (fmin(change, most) - activity->typical) / (double)activity->seen;
}

/* What the targets were at a step, and then at the one before. */
static void observe(struct experts *e, const struct history *history, uint64_t step) {
    const int *targets = e->model->targets, n = e->n_targets;
    history_observed_values(history, step, targets, n, e->observed);
    if (step > history_oldest(history))
        history_observed_values(history, step - 1, targets, n, e->observed + n);
    else
        for (int j = 0; j < n; j++)
            e->observed[n + j] = NAN;
}

void experts_see(struct experts *e, int slot, const struct history *history, uint64_t step,
                 const struct scaler *scalers) {
    if (e->residuals != NULL)
        residuals_begin(e->residuals, slot, step);
    const double *before = e->observed + e->n_targets;
    observe(e, history, step);
    for (int i = 0; i < e->n_scored; i++)
        answer(e, slot, history, step, i);
    if ((history_flags(history, step) & STEP_PAUSED) != 0) /* what is said in a pause is never answered */
        e->since[slot] = step + 1;
    float *units = units_of(e, slot, step);
    for (int j = 0; j < e->n_targets; j++) {
        double unit = scaler_unit(SCALER_STANDARD, &scalers[e->model->targets[j]]); /* which is no NaN */
        unit = unit < 1e30 ? unit : 1e30;
        units[j] = (float)(unit > 1e-30 ? unit : 1e-30);
        smoothing_update(smoothing_of(e, slot, j), e->observed[j]);
        /* What is missing, or came in a pause, neither stands still nor leaps. */
        see_change(activity_of(e, slot, j), fabs(e->observed[j] - before[j]));
    }
}

/* ---- a forecast --------------------------------------------------------------------------------- */

/* The ridge expert is one of the regressions; the others have rows behind the experts. */
static void ask_regressors(struct experts *e, int slot, const struct history *history, uint64_t step,
                           const struct scaler *scalers) {
    double *rows[REGRESSORS_MOST];
    int plain = regressors_plain(e->regressors), next = EXPERT_COUNT;
    for (int i = 0; i < regressors_count(e->regressors); i++)
        rows[i] = row_of(e, i == plain ? EXPERT_RIDGE : next++);
    regressors_step(e->regressors, slot, history, step, e->since[slot], scalers, rows);
}

/* All experts' forecasts to their rows. What is not finite becomes NaN. */
static void ask(struct experts *e, int slot, const struct history *history, uint64_t step,
                const struct scaler *scalers, const float *pooled) {
    const struct config_model *model = e->model;
    double *last = row_of(e, EXPERT_LAST_VALUE), *seasonal = row_of(e, EXPERT_SEASONAL);
    double *drift = row_of(e, EXPERT_DRIFT), *smoothing = row_of(e, EXPERT_SMOOTHING);
    double *ridge = row_of(e, EXPERT_RIDGE), *readout = row_of(e, EXPERT_READOUT);
    int n = e->n_voices * e->horizon * e->n_targets;
    const double *values = history_values(history, step); /* the step at hand is held */
    for (int j = 0; j < e->n_targets; j++) {
        int feature = model->targets[j];
        double value = values[feature];
        baseline_drift(history, step, feature, e->horizon, model->period, e->n_targets, drift + j);
        for (int h = 1; h <= e->horizon; h++) {
            int at = (h - 1) * e->n_targets + j;
            last[at] = value;
            seasonal[at] = model->period > 0 ? baseline_seasonal(history, step, feature, h, model->period) : NAN;
            ridge[at] = readout[at] = NAN;
        }
        smoothing_forecast(smoothing_of(e, slot, j), e->horizon, e->n_targets, smoothing + j);
    }
    if (e->regressors != NULL)
        ask_regressors(e, slot, history, step, scalers);
    else if (pooled != NULL)
        pooled_forecast(model, pooled, history, step, scalers, ridge);
    for (int i = 0; i < n; i++)
        if (!isfinite(e->mean[i]))
            e->mean[i] = NAN;
}

/* What the shares are without losses, but for a factor: who is rarely the best alone is trusted less at first, and
 * the last value, which nothing that is learnt beats on a random walk, more. */
static const float prior[VOICES] = {2, 1, .2f, .2f, 1.7f, .5f, .2f, .5f, .5f, .5f, .5f};

static bool speaks(const struct experts *e, int voice, int at) {
    return !isnan(row_of(e, voice)[at]);
}

/* Those that are mixed, a bit each; and who speaks before the first answer, and where nobody else does: the first of
 * these that can. */
struct among {
    unsigned voices;
    int instead, otherwise;
};

static const struct among all = {~0u, EXPERT_SEASONAL, EXPERT_LAST_VALUE};
static const struct among regressions = {1u << EXPERT_RIDGE | ~0u << EXPERT_COUNT, EXPERT_RIDGE, EXPERT_RIDGE};

static int instead_of(const struct experts *e, const struct among *among, int at) {
    return speaks(e, among->instead, at) ? among->instead : among->otherwise;
}

/* A network is mixed when so many of its forecasts have been answered: a new version has to earn its weight. So is
 * the first readout. */
enum { PROVEN = 40 };

static bool has_proven_itself(const struct mixture_errors *errors, int h) {
    return errors->n >= (float)(PROVEN + 2 * h);
}

/* The weights at the scored steps of target j, [n_scored x n_voices]. */
static void weigh(struct experts *e, const struct among *among, int slot, int j) {
    enum context context = context_of(e, slot, j);
    int n = e->n_voices;
    for (int i = 0; i < e->n_scored; i++) {
        float *weights = e->weights + i * n;
        int at = (e->scored[i] - 1) * e->n_targets + j;
        const struct mixture_errors *errors = errors_of(e, slot, i, j);
        bool heard[VOICES];
        const double *said = e->mean + at;
        const size_t row = (size_t)e->horizon * (size_t)e->n_targets;
        for (int k = 0; k < n; k++)
            heard[k] = (among->voices >> k & 1) != 0 && !isnan(said[(size_t)k * row]);
        heard[EXPERT_NETWORK] &= has_proven_itself(&errors[EXPERT_NETWORK], e->scored[i]);
        heard[EXPERT_READOUT] &= has_proven_itself(&errors[EXPERT_READOUT], e->scored[i]);
        if (!mixture_shares(records_of(e, slot, i, j, context), n, heard, prior, weights))
            weights[instead_of(e, among, at)] = 1;
    }
}

/* The same of one voice alone. */
static void choose(struct experts *e, int voice, int j) {
    memset(e->weights, 0, (size_t)(e->n_scored * e->n_voices) * sizeof *e->weights);
    for (int i = 0; i < e->n_scored; i++) {
        int at = (e->scored[i] - 1) * e->n_targets + j;
        e->weights[i * e->n_voices + (speaks(e, voice, at) ? voice : instead_of(e, &all, at))] = 1;
    }
}

/* The mixture h = scored[i] - before steps ahead, of the weights at scored step i and at the one before it. */
static double mixed(const struct experts *e, const struct among *among, int i, int before, int at) {
    const float *weights = e->weights + i * e->n_voices;
    int gap = i > 0 ? e->scored[i] - e->scored[i - 1] : 1;
    double share = (double)before / gap, sum = 0, mean = 0;
    const double *said = e->mean + at;
    const size_t row = (size_t)e->horizon * (size_t)e->n_targets;
    for (int k = 0; k < e->n_voices; k++, said += row) {
        double w = (double)weights[k];
        if (before > 0)
            w = (1 - share) * w + share * (double)weights[k - e->n_voices];
        if (w == 0 || isnan(*said))
            continue;
        sum += w;
        mean += w * *said;
    }
    mean /= sum;
    return isfinite(mean) ? mean : row_of(e, instead_of(e, among, at))[at];
}

static void blend(struct experts *e, const struct among *among, int j, double *mean) {
    for (int h = 1, i = 0; h <= e->horizon; h++) {
        i += h > e->scored[i];
        int at = (h - 1) * e->n_targets + j;
        mean[at] = mixed(e, among, i, e->scored[i] - h, at);
    }
}

/* The regressions of target j mixed as they are among themselves in the mixture of all, and the readout: what the
 * network's state adds to that. */
static void add_readout(struct experts *e, int slot, uint64_t step, int j, const double *readout) {
    double unit = units_of(e, slot, step)[j], *base = row_of(e, e->n_voices);
    weigh(e, &regressions, slot, j);
    blend(e, &regressions, j, base);
    for (int h = 0; h < e->horizon; h++) {
        int at = h * e->n_targets + j;
        double sum = readout != NULL ? base[at] + unit * readout[at] : NAN;
        row_of(e, EXPERT_READOUT)[at] = isfinite(sum) ? sum : NAN;
    }
}

/* Who the voices' weights are of: regressions count as the ridge expert. */
static void add_shares(const struct experts *e, float *shares) {
    for (int i = 0; i < e->n_scored; i++)
        for (int k = 0; k < e->n_voices; k++)
            shares[k < EXPERT_COUNT ? k : EXPERT_RIDGE] += e->weights[i * e->n_voices + k];
}

static void publish(struct experts *e, int slot, uint64_t step, const double *readout, double *mean) {
    float *shares = e->shares + (size_t)slot * EXPERT_COUNT, sum = 0;
    memset(shares, 0, EXPERT_COUNT * sizeof *shares);
    for (int j = 0; j < e->n_targets; j++) {
        if (e->residuals != NULL)
            add_readout(e, slot, step, j, readout);
        if (e->model->combine == COMBINE_ONLINE)
            weigh(e, &all, slot, j);
        else
            choose(e, e->model->combine - COMBINE_ONLY, j);
        blend(e, &all, j, mean);
        add_shares(e, shares);
    }
    for (int k = 0; k < EXPERT_COUNT; k++)
        sum += shares[k];
    for (int k = 0; k < EXPERT_COUNT && sum > 0; k++)
        shares[k] /= sum;
}

/* Keeps what was said at the scored steps until the answers come. */
static void keep(struct experts *e, int slot, uint64_t step, const double *mean) {
    const float *units = units_of(e, slot, step);
    const size_t row = (size_t)e->horizon * (size_t)e->n_targets;
    for (int i = 0; i < e->n_scored; i++)
        for (int j = 0; j < e->n_targets; j++) {
            float *said = said_of(e, slot, i, step, j);
            int at = (e->scored[i] - 1) * e->n_targets + j;
            double last = row_of(e, EXPERT_LAST_VALUE)[at], unit = (double)units[j];
            const double *of_voice = e->mean + at;
            for (int k = 0; k < e->n_voices; k++, of_voice += row)
                said[k] = (float)((*of_voice - last) / unit);
            said += e->n_voices;
            said[SAID_PUBLISHED] = (float)((mean[at] - last) / unit);
            said[SAID_REGRESSIONS] = (float)((*of_voice - last) / unit);
            said[SAID_CONTEXT] = (float)context_of(e, slot, j);
        }
}

void experts_forecast(struct experts *e, int slot, const struct history *history, uint64_t step,
                      const struct scaler *scalers, bool network, const float *pooled, const double *readout,
                      double *mean) {
    int n = e->horizon * e->n_targets;
    double *row = row_of(e, EXPERT_NETWORK);
    for (int i = 0; i < n; i++)
        row[i] = network ? mean[i] : NAN;
    ask(e, slot, history, step, scalers, pooled);
    publish(e, slot, step, readout, mean);
    keep(e, slot, step, mean);
}

/* ---- images ------------------------------------------------------------------------------------- */

static void serialize_activity(struct activity *activity, struct image_io *io) {
    image_io(io, &activity->typical, 1);
    image_io(io, &activity->seen, 1);
    image_io(io, &activity->still, 1);
    image_io(io, &activity->wild, 1);
}

/* The latest `n` steps up to `step`, as far as they are kept. */
static uint64_t first_kept(const struct experts *e, int slot, uint64_t step, uint64_t n) {
    uint64_t first = step >= n ? step - n + 1 : 1;
    return first > e->since[slot] ? first : e->since[slot];
}

static void serialize_said(struct experts *e, int slot, uint64_t step, int i, struct image_io *io) {
    for (uint64_t at = first_kept(e, slot, step, (uint64_t)e->scored[i]); at <= step; at++)
        for (int j = 0; j < e->n_targets; j++) {
            float *said = said_of(e, slot, i, at, j), *context = said + e->n_voices + SAID_CONTEXT;
            image_io(io, said, (size_t)e->n_voices + SAID_MORE);
            if (image_reads(io) && !image_check(io, *context >= 0 && *context < CONTEXTS, "no context"))
                *context = USUAL;
        }
}

static void serialize_mixtures(struct experts *e, int slot, int i, struct image_io *io) {
    for (int j = 0; j < e->n_targets; j++) {
        mixture_serialize_errors(errors_of(e, slot, i, j), e->n_voices + 1, io);
        for (unsigned c = 0; c < contexts_at(e->scored[i]); c++)
            mixture_serialize_records(records_of(e, slot, i, j, c), e->n_voices, io);
    }
}

void experts_serialize(struct experts *e, int slot, uint64_t step, uint64_t first, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "expt", FORMAT, &section);
    image_count(&section, &e->since[slot], step + 1, "experts that begin behind the newest step");
    image_count(&section, &e->network_since[slot], step + 1, "a network that begins behind the newest step");
    for (int j = 0; j < e->n_targets; j++) {
        serialize_activity(activity_of(e, slot, j), &section);
        smoothing_serialize(smoothing_of(e, slot, j), &section);
    }
    for (uint64_t at = first_kept(e, slot, step, (uint64_t)e->horizon); at <= step; at++)
        image_io(&section, units_of(e, slot, at), (size_t)e->n_targets);
    for (int i = 0; i < e->n_scored; i++) {
        serialize_said(e, slot, step, i, &section);
        serialize_mixtures(e, slot, i, &section);
    }
    if (e->regressors != NULL)
        regressors_serialize(e->regressors, slot, step, e->since[slot], &section);
    if (e->residuals != NULL)
        residuals_serialize(e->residuals, slot, step, &section);
    image_leave(io, &section);
    if (image_reads(io) && e->since[slot] < first)
        e->since[slot] = first;
}
