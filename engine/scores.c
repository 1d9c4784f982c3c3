#include "engine/scores.h"

#include "engine/baseline.h"
#include "engine/head.h"
#include "engine/intervals.h"
#include "engine/quad.h"

#include <float.h>

#include <stdlib.h>

struct scores {
    const struct config_model *model;
    int n, n_targets, n_levels;
    int *h;                            /* [n] */
    size_t *first;                     /* [n] where the forecasts for h[i] begin within a slot's, in forecasts */
    size_t waiting;                    /* forecasts that one slot keeps: h[0] + h[1] + ... */
    struct score *pooled;              /* [slots x n] */
    struct score *targets;             /* [slots x n x n_targets] */
    struct score_level *pooled_levels; /* [slots x n x n_levels] */
    struct score_level *target_levels; /* [slots x n x n_targets x n_levels] */
    struct intervals *intervals;       /* cells of a slot: n x n_targets */
    float *anomaly;                    /* [slots] */
    float *radii;                      /* [slots x n_levels x n x n_targets] of the latest forecast */
    bool *capped;                      /* [slots] */

    uint64_t *made;                  /* [slots x waiting] step of each kept forecast; 0: none */
    double *mean;                    /* [slots x waiting x n_targets] */
    float *waiting_radii;            /* [slots x waiting x n_levels x n_targets] */
    float *waiting_own;              /* the same, of the network's own; NULL: its head gives none */
    double *answers;                 /* [n_targets] workspace */
    double alpha[CONFIG_MAX_LEVELS]; /* the shares of answers that are to lie outside */
};

static const struct score_means unknown = {NAN, NAN, NAN, NAN, NAN};

/* target -1: over all targets. */
static struct score_level *levels_of(const struct scores *scores, int slot, int i, int target) {
    size_t place = (size_t)slot * (size_t)scores->n + (size_t)i, n_levels = (size_t)scores->n_levels;
    if (target < 0)
        return scores->pooled_levels + place * n_levels;
    return scores->target_levels + (place * (size_t)scores->n_targets + (size_t)target) * n_levels;
}

static struct score *target_of(const struct scores *scores, int slot, int i, int target) {
    return scores->targets + ((size_t)slot * (size_t)scores->n + (size_t)i) * (size_t)scores->n_targets + target;
}

static void clear(struct scores *scores, int slot) {
    scores->anomaly[slot] = NAN;
    for (int i = 0; i < scores->n; i++) {
        const struct score none = {.h = scores->h[i], .recent = unknown, .all = unknown};
        scores->pooled[slot * scores->n + i] = none;
        for (int j = 0; j < scores->n_targets; j++)
            *target_of(scores, slot, i, j) = none;
        for (int j = -1; j < scores->n_targets; j++)
            for (int l = 0; l < scores->n_levels; l++)
                levels_of(scores, slot, i, j)[l] =
                    (struct score_level){.coverage = NAN, .width = NAN, .width_all = NAN};
    }
}

int scores_steps(enum scored_steps scored, int horizon, int *ret_h) {
    int n = 0;
    for (int h = 1; h <= horizon; n++) {
        if (ret_h != NULL)
            ret_h[n] = h;
        int next = scored == SCORED_ALL ? h + 1 : 2 * h;
        h = next > horizon && h < horizon ? horizon : next;
    }
    return n;
}

static bool allocate(struct scores *scores, size_t slots) {
    size_t n = (size_t)scores->n, n_targets = (size_t)scores->n_targets, n_levels = (size_t)scores->n_levels;
    scores->h = calloc(n, sizeof *scores->h);
    scores->first = calloc(n, sizeof *scores->first);
    if (scores->h == NULL || scores->first == NULL)
        return false;
    scores_steps(scores->model->scored, scores->model->horizon, scores->h);
    for (int i = 0; i < scores->n; i++) {
        scores->first[i] = scores->waiting;
        scores->waiting += (size_t)scores->h[i];
    }
    size_t forecasts = slots * scores->waiting;
    const struct loss_spec loss = head_loss(scores->model);
    bool own = loss_width(&loss) > 1;
    scores->pooled = calloc(slots * n, sizeof *scores->pooled);
    scores->targets = calloc(slots * n * n_targets, sizeof *scores->targets);
    scores->pooled_levels = calloc(slots * n * n_levels + 1, sizeof *scores->pooled_levels);
    scores->target_levels = calloc(slots * n * n_targets * n_levels + 1, sizeof *scores->target_levels);
    scores->intervals = intervals_new((int)slots, scores->h, scores->n, scores->n_targets, scores->model->levels,
                                      scores->n_levels, own);
    scores->anomaly = calloc(slots, sizeof *scores->anomaly);
    scores->radii = calloc(slots * n_levels * n * n_targets + 1, sizeof *scores->radii);
    scores->capped = calloc(slots, sizeof *scores->capped);
    scores->made = calloc(forecasts, sizeof *scores->made);
    scores->answers = calloc(n_targets + 1, sizeof *scores->answers);
    scores->mean = calloc(forecasts * n_targets, sizeof *scores->mean);
    scores->waiting_radii = calloc(forecasts * n_levels * n_targets + 1, sizeof *scores->waiting_radii);
    scores->waiting_own = own ? calloc(forecasts * n_levels * n_targets + 1, sizeof *scores->waiting_own) : NULL;
    return (!own || scores->waiting_own != NULL) && scores->pooled != NULL && scores->targets != NULL &&
           scores->pooled_levels != NULL && scores->target_levels != NULL && scores->intervals != NULL &&
           scores->anomaly != NULL && scores->radii != NULL && scores->capped != NULL && scores->made != NULL &&
           scores->mean != NULL && scores->answers != NULL && scores->waiting_radii != NULL;
}

struct scores *scores_new(int slots, const struct config_model *model) {
    struct scores *scores = calloc(1, sizeof *scores);
    if (scores == NULL)
        return NULL;
    scores->model = model;
    scores->n_targets = model->n_targets;
    scores->n_levels = model->n_levels;
    for (int l = 0; l < model->n_levels; l++)
        scores->alpha[l] = 1 - model->levels[l] / 100;
    scores->n = scores_steps(model->scored, model->horizon, NULL);
    if (!allocate(scores, (size_t)slots)) {
        scores_free(scores);
        return NULL;
    }
    /* The rest is zero as it comes, and is better not touched before it is needed. */
    for (int slot = 0; slot < slots; slot++)
        clear(scores, slot);
    return scores;
}

void scores_free(struct scores *scores) {
    if (scores == NULL)
        return;
    free(scores->h);
    free(scores->first);
    free(scores->pooled);
    free(scores->targets);
    free(scores->pooled_levels);
    free(scores->target_levels);
    intervals_free(scores->intervals);
    free(scores->anomaly);
    free(scores->radii);
    free(scores->capped);
    free(scores->made);
    free(scores->mean);
    free(scores->waiting_radii);
    free(scores->answers);
    free(scores->waiting_own);
    free(scores);
}

int scores_count(const struct scores *scores) {
    return scores->n;
}

const struct score *scores_of(const struct scores *scores, int slot) {
    return scores->pooled + (size_t)slot * (size_t)scores->n;
}

const struct score *scores_of_target(const struct scores *scores, int slot, int i, int target) {
    return target_of(scores, slot, i, target);
}

const struct score_level *scores_levels(const struct scores *scores, int slot) {
    return levels_of(scores, slot, 0, -1);
}

const struct score_level *scores_levels_of_target(const struct scores *scores, int slot, int i, int target) {
    return levels_of(scores, slot, i, target);
}

double scores_anomaly(const struct scores *scores, int slot) {
    return (double)scores->anomaly[slot];
}

void scores_restart(struct scores *scores, int slot) {
    clear(scores, slot);
    intervals_restart(scores->intervals, slot);
    for (size_t i = 0; i < scores->waiting; i++)
        scores->made[(size_t)slot * scores->waiting + i] = 0;
}

/* The place of the forecast made at `step` for h[i] steps ahead: a ring of h[i]. */
static size_t waiting_place(const struct scores *scores, int slot, int i, uint64_t step) {
    return (size_t)slot * scores->waiting + scores->first[i] + (size_t)(step % (uint64_t)scores->h[i]);
}

/* ---- answers -------------------------------------------------------------------------------- */

/* What one answer says: of one target, or summed over targets. */
struct outcome {
    float errors[QUAD]; /* absolute, squared, of the last value, of the season: as score_means has them */
    float pinball;
    int n_held[CONFIG_MAX_LEVELS], n[CONFIG_MAX_LEVELS]; /* answers that had an interval, and that it held */
    float width[CONFIG_MAX_LEVELS];
};

/* Of a further answer to a mean. */
struct shares {
    float recent, all;
};

/* Of the latest of n, or of `some` that have come together. */
static struct shares shares_of(int some, uint32_t n) {
    float all = (float)some / (float)n, least = 1.0F / SCORES_MEMORY;
    return (struct shares){all > least ? all : least, all};
}

static void see(float *mean, float share, float x) {
    if (isfinite(x)) /* infinite: between values whose difference is no float */
        *mean = isnan(*mean) ? x : *mean + share * (x - *mean);
}

_Static_assert(offsetof(struct score_means, mse) == sizeof(float) &&
                   offsetof(struct score_means, mae_last_value) == 2 * sizeof(float) &&
                   offsetof(struct score_means, mae_seasonal) == 3 * sizeof(float),
               "the errors are a quad");

/* As see does, of the four errors. each: one by how many targets the outcome is summed over. */
static void see_errors(struct score_means *means, float share, const struct outcome *outcome, float each) {
    quad x = quad_load(outcome->errors) * quad_of(each), mean = quad_load(&means->mae), most = quad_of(FLT_MAX);
    quad next = quad_choose(mean == mean, mean + quad_of(share) * (x - mean), x);
    quad_store(&means->mae, quad_choose((x <= most) & (x >= -most), next, mean));
}

static inline void see_outcome(struct score *score, struct score_level *levels, int n_levels,
                               const struct outcome *outcome, int targets) {
    score->n += score->n < UINT32_MAX;
    struct shares shares = shares_of(1, score->n);
    see_errors(&score->recent, shares.recent, outcome, 1 / (float)targets);
    see_errors(&score->all, shares.all, outcome, 1 / (float)targets);
    for (int l = 0; l < n_levels; l++) {
        struct score_level *level = &levels[l];
        if (outcome->n[l] == 0 || level->n > UINT32_MAX - (uint32_t)outcome->n[l])
            continue;
        float one = outcome->n[l] == 1 ? 1 : 1 / (float)outcome->n[l];
        level->n += (uint32_t)outcome->n[l];
        level->held += (uint32_t)outcome->n_held[l];
        if (outcome->n[l] != 1 || level->n != score->n)
            shares = shares_of(outcome->n[l], level->n);
        see(&level->coverage, shares.recent, (float)outcome->n_held[l] * one);
        see(&level->width, shares.recent, outcome->width[l] * one);
        see(&level->width_all, shares.all, outcome->width[l] * one);
        if (l > 0)
            continue; /* an answer has the interval of the lowest level, or none */
        see(&score->recent.pinball, shares.recent, outcome->pinball * one);
        see(&score->all.pinball, shares.all, outcome->pinball * one);
    }
}

/* What the intervals of an answer say, in units of the target; per: one by the unit. */
static void see_intervals(const struct scores *scores, double error, double per, const float *radii,
                          struct outcome *outcome) {
    double sum = 0;
    int n = 0;
    for (int l = 0; l < scores->n_levels; l++) {
        double radius = (double)radii[l];
        outcome->n[l] = !isnan(radius);
        outcome->n_held[l] = error <= radius;
        outcome->width[l] = isnan(radius) ? 0 : (float)(2 * radius * per);
        if (isnan(radius))
            continue;
        /* Both ends together: alpha / 2 of the width, and all that lies outside. */
        sum += (scores->alpha[l] * radius + (error > radius ? error - radius : 0)) / 2;
        n++;
    }
    outcome->pinball = n > 0 ? (float)(sum * per / n) : 0;
}

/* Of a target, by its interval one step ahead; not known while the level has had too few answers for one that is not
 * capped. */
static double anomaly_of(const struct scores *scores, int slot, int target, double error, const float *radii) {
    int last = scores->n_levels - 1;
    if (last < 0 || isnan(radii[last]))
        return NAN;
    double radius = (double)radii[last], least = 1 / scores->alpha[last] - 1;
    if ((double)levels_of(scores, slot, 0, target)[last].n < least - 1e-9)
        return NAN;
    double beyond = error <= radius ? 0 : (error - radius) / radius;
    return beyond < SCORES_ANOMALY_MOST ? beyond : SCORES_ANOMALY_MOST;
}

/* What was said at a step, h[i] steps before the one that answers it. */
struct said {
    int i;
    uint64_t made;
    size_t place;
    const double *last; /* values of the features then; NULL: not held any more */
};

/* The value a season before, as it would have been served, so that the means are over the same answers. */
static inline double seasonal_value(const struct scores *scores, const struct history *history,
                                    const struct said *said, int feature) {
    int period = scores->model->period;
    return period > 0 ? baseline_forecast(BASELINE_SEASONAL, history, said->made, feature, scores->h[said->i], period)
                      : NAN;
}

/* The half-widths of one target that went out, and the network's own; [n_levels]. */
static void take_radii(const struct scores *scores, const struct said *said, int target, float *ret_radii,
                       float *ret_own) {
    size_t n_targets = (size_t)scores->n_targets, n_levels = (size_t)scores->n_levels;
    for (size_t l = 0; l < n_levels; l++) {
        size_t at = (said->place * n_levels + l) * n_targets + (size_t)target;
        ret_radii[l] = scores->waiting_radii[at];
        ret_own[l] = scores->waiting_own != NULL ? scores->waiting_own[at] : 0;
    }
}

/* The answer of one target to what was said. n_levels is the scores', known when this is compiled where there are none.
 * Returns false where there is no answer. */
static inline bool answer_target(struct scores *scores, int slot, const struct history *history,
                                 const struct said *said, int target, double answer, double per, int n_levels,
                                 struct outcome *ret_outcome) {
    int feature = scores->model->targets[target];
    double mean = scores->mean[said->place * (size_t)scores->n_targets + (size_t)target];
    double last = said->last != NULL ? said->last[feature] : NAN;
    if (isnan(answer) || isnan(mean) || isnan(last))
        return false;
    double error = fabs(answer - mean), scaled = error * per;
    ret_outcome->errors[0] = (float)scaled;
    ret_outcome->errors[1] = (float)(scaled * scaled);
    ret_outcome->errors[2] = (float)(fabs(answer - last) * per);
    ret_outcome->errors[3] = (float)(fabs(answer - seasonal_value(scores, history, said, feature)) * per);
    ret_outcome->pinball = 0;
    float radii[CONFIG_MAX_LEVELS], own[CONFIG_MAX_LEVELS];
    if (n_levels > 0) {
        take_radii(scores, said, target, radii, own);
        see_intervals(scores, error, per, radii, ret_outcome);
    }
    see_outcome(target_of(scores, slot, said->i, target), levels_of(scores, slot, said->i, target), n_levels,
                ret_outcome, 1);
    if (n_levels == 0)
        return true;
    double anomaly = said->i == 0 ? anomaly_of(scores, slot, target, error, radii) : NAN;
    if (!isnan(anomaly) && !((double)scores->anomaly[slot] >= anomaly))
        scores->anomaly[slot] = (float)anomaly;
    intervals_answer(scores->intervals, slot, said->i * scores->n_targets + target, error, radii, own);
    return true;
}

static inline void add(struct outcome *sum, const struct outcome *outcome, int n_levels) {
    quad_store(sum->errors, quad_load(sum->errors) + quad_load(outcome->errors));
    sum->pinball += outcome->pinball;
    for (int l = 0; l < n_levels; l++) {
        sum->n[l] += outcome->n[l];
        sum->n_held[l] += outcome->n_held[l];
        sum->width[l] += outcome->width[l];
    }
}

void scores_fetch(const struct scores *scores, int slot, uint64_t step) {
    enum { LINE = 64 };
    size_t each = (size_t)scores->n_targets * sizeof *scores->targets;
    const char *targets = (const char *)target_of(scores, slot, 0, 0);
    size_t begin = (uintptr_t)targets % LINE;
    for (size_t at = 0; at < begin + each; at += LINE)
        __builtin_prefetch(targets - begin + at, 1);
    __builtin_prefetch(&scores->pooled[slot * scores->n], 1);
    for (int i = 0; i < scores->n && (uint64_t)scores->h[i] < step; i++) {
        size_t place = waiting_place(scores, slot, i, step - (uint64_t)scores->h[i]);
        __builtin_prefetch(&scores->made[place], 1);
        __builtin_prefetch(scores->mean + place * (size_t)scores->n_targets, 1);
        __builtin_prefetch(scores->mean + (place + 1) * (size_t)scores->n_targets - 1, 1);
    }
}

/* All targets at one scored step. n_levels: as of answer_target. */
static inline __attribute__((always_inline)) void answer_targets(struct scores *scores, int slot,
                                                                 const struct history *history,
                                                                 const struct said *said, const double *units,
                                                                 int n_levels) {
    struct outcome outcome, sum = {0};
    int targets = 0;
    for (int j = 0; j < scores->n_targets; j++)
        if (answer_target(scores, slot, history, said, j, scores->answers[j], 1 / units[j], n_levels, &outcome)) {
            add(&sum, &outcome, n_levels);
            targets++;
        }
    if (targets > 0)
        see_outcome(&scores->pooled[slot * scores->n + said->i], levels_of(scores, slot, said->i, -1), n_levels, &sum,
                    targets);
}

void scores_answer(struct scores *scores, int slot, const struct history *history, uint64_t step,
                   const double *units) {
    scores->anomaly[slot] = NAN;
    history_observed_values(history, step, scores->model->targets, scores->n_targets, scores->answers);
    for (int i = 0; i < scores->n && (uint64_t)scores->h[i] < step; i++) {
        struct said said = {.i = i, .made = step - (uint64_t)scores->h[i]};
        said.place = waiting_place(scores, slot, i, said.made);
        if (scores->made[said.place] != said.made)
            continue;
        said.last = said.made >= history_oldest(history) ? history_values(history, said.made) : NULL;
        if (scores->n_levels == 0)
            answer_targets(scores, slot, history, &said, units, 0);
        else
            answer_targets(scores, slot, history, &said, units, scores->n_levels);
    }
}

/* ---- forecasts ------------------------------------------------------------------------------ */

static float *radii_of(const struct scores *scores, int slot) {
    return scores->radii + (size_t)slot * (size_t)scores->n_levels * (size_t)scores->n * (size_t)scores->n_targets;
}

/* Where the half-widths of a level at the i-th scored step begin among the network's. */
static int own_place(const struct scores *scores, int level, int i) {
    return (level * scores->model->horizon + scores->h[i] - 1) * scores->n_targets;
}

static void find_radii(struct scores *scores, int slot, const float *own) {
    if (scores->n_levels == 0)
        return;
    float *radii = radii_of(scores, slot), of_cell[CONFIG_MAX_LEVELS], own_of_cell[CONFIG_MAX_LEVELS] = {0};
    int n_cells = scores->n * scores->n_targets;
    scores->capped[slot] = false;
    for (int cell = 0; cell < n_cells; cell++) {
        for (int l = 0; own != NULL && l < scores->n_levels; l++)
            own_of_cell[l] = own[own_place(scores, l, cell / scores->n_targets) + cell % scores->n_targets];
        scores->capped[slot] |= intervals_radii(scores->intervals, slot, cell, own_of_cell, of_cell);
        for (int l = 0; l < scores->n_levels; l++)
            radii[l * n_cells + cell] = of_cell[l];
    }
}

void scores_publish(struct scores *scores, int slot, uint64_t step, const double *mean, const float *own,
                    bool waits) {
    size_t n_targets = (size_t)scores->n_targets, n_levels = (size_t)scores->n_levels, n = (size_t)scores->n;
    find_radii(scores, slot, own);
    const float *radii = radii_of(scores, slot);
    for (size_t i = 0; i < n; i++) {
        size_t place = waiting_place(scores, slot, (int)i, step);
        const double *at_h = mean + (size_t)(scores->h[i] - 1) * n_targets;
        scores->made[place] = waits ? step : 0;
        for (size_t j = 0; j < n_targets; j++)
            scores->mean[place * n_targets + j] = at_h[j];
        for (size_t l = 0; l < n_levels; l++)
            for (size_t j = 0; j < n_targets; j++) {
                size_t at = (place * n_levels + l) * n_targets + j;
                scores->waiting_radii[at] = radii[(l * n + i) * n_targets + j];
                if (scores->waiting_own != NULL)
                    scores->waiting_own[at] = own != NULL ? own[own_place(scores, (int)l, (int)i) + (int)j] : 0;
            }
    }
}

const float *scores_radii(const struct scores *scores, int slot, bool *ret_capped) {
    *ret_capped = scores->capped[slot];
    return scores->n_levels > 0 ? radii_of(scores, slot) : NULL;
}

const double *scores_published(const struct scores *scores, int slot, int i, uint64_t step) {
    return scores->mean + waiting_place(scores, slot, i, step) * (size_t)scores->n_targets;
}

bool scores_kept(const struct scores *scores, int slot, int i, uint64_t step, const double **ret_mean,
                 const float **ret_radii) {
    size_t place = waiting_place(scores, slot, i, step);
    if (step == 0 || scores->made[place] != step)
        return false;
    *ret_mean = scores->mean + place * (size_t)scores->n_targets;
    *ret_radii = scores->waiting_radii + place * (size_t)scores->n_levels * (size_t)scores->n_targets;
    return true;
}

/* ---- images --------------------------------------------------------------------------------- */

static void serialize_score(struct score *score, struct score_level *levels, int n_levels, struct image_io *io) {
    image_io(io, &score->n, 1);
    if (score->n == 0)
        return;
    image_io(io, &score->recent.mae, sizeof score->recent / sizeof(float));
    image_io(io, &score->all.mae, sizeof score->all / sizeof(float));
    for (int l = 0; l < n_levels; l++) {
        image_io(io, &levels[l].n, 1);
        image_io(io, &levels[l].held, 1);
        image_io(io, &levels[l].coverage, 1);
        image_io(io, &levels[l].width, 1);
        image_io(io, &levels[l].width_all, 1);
    }
}

/* The forecasts for h[i] steps ahead that wait, or have been answered last. */
static void serialize_waiting(struct scores *scores, int slot, uint64_t step, int i, struct image_io *io) {
    size_t n_targets = (size_t)scores->n_targets, radii = (size_t)scores->n_levels * n_targets;
    uint64_t h = (uint64_t)scores->h[i];
    for (uint64_t made = step >= h ? step - h + 1 : 1; made <= step; made++) {
        size_t place = waiting_place(scores, slot, i, made);
        bool waits = scores->made[place] == made;
        image_bool(io, &waits);
        scores->made[place] = waits ? made : 0;
        if (!waits)
            continue;
        image_io(io, scores->mean + place * n_targets, n_targets);
        image_io(io, scores->waiting_radii + place * radii, radii);
        if (scores->waiting_own != NULL)
            image_io(io, scores->waiting_own + place * radii, radii);
    }
}

void scores_serialize(struct scores *scores, int slot, uint64_t step, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "scor", FORMAT, &section);
    if (image_reads(io))
        scores_restart(scores, slot);
    for (int i = 0; i < scores->n; i++) {
        serialize_score(&scores->pooled[slot * scores->n + i], levels_of(scores, slot, i, -1), scores->n_levels,
                        &section);
        for (int j = 0; j < scores->n_targets; j++)
            serialize_score(target_of(scores, slot, i, j), levels_of(scores, slot, i, j), scores->n_levels, &section);
        serialize_waiting(scores, slot, step, i, &section);
    }
    intervals_serialize(scores->intervals, slot, &section);
    image_leave(io, &section);
}
