#include "clients/forecast/backtest_scores.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of one (horizon, who, target). */
struct sums {
    uint64_t n, n_mase;
    double se, ae, ase, raw;
    uint64_t n_levels[BACKTEST_LEVELS];
    double covered[BACKTEST_LEVELS], width[BACKTEST_LEVELS];
};

/* Of one target of one stream. */
struct unit {
    uint64_t n, n_changes;
    double mean, squares; /* squares: sum of squared deviations (Welford) */
    double changes;       /* sum of |change| between neighbouring observed steps */
    double last;          /* latest observed value; NaN: none */
    double deviation, change;
};

struct stream {
    uint64_t step, end; /* the latest step; the last online one */
    struct unit *units; /* [n_targets] */
    /* [horizon][who][horizon x n_targets], then intervals: what was said at step s is in s mod horizon. */
    double *kept;
};

struct backtest_scores {
    struct backtest_plan plan;
    int *horizons;
    int horizon;     /* the largest */
    int n_who;       /* published and experts */
    size_t n_values; /* horizon x n_targets */
    size_t n_kept;   /* doubles of what one step says */
    bool *spoke;     /* [n_experts] */
    int n_streams;
    struct stream *streams;
    struct sums *sums; /* [n_horizons][n_who][n_targets] */
};

double backtest_scores_bytes(const struct backtest_plan *plan) {
    double horizon = plan->horizons[plan->n_horizons - 1];
    return horizon * horizon * plan->n_targets * (1 + plan->n_experts + 2 * plan->n_levels) * (double)sizeof(double);
}

struct backtest_scores *backtest_scores_new(const struct backtest_plan *plan, int n_streams) {
    assert(plan->n_horizons > 0 && plan->n_targets > 0 && plan->n_levels <= BACKTEST_LEVELS);
    struct backtest_scores *scores = calloc(1, sizeof *scores);
    if (scores == NULL)
        return NULL;
    scores->plan = *plan;
    scores->horizon = plan->horizons[plan->n_horizons - 1];
    scores->n_who = 1 + plan->n_experts;
    scores->n_values = (size_t)scores->horizon * (size_t)plan->n_targets;
    scores->n_kept = ((size_t)scores->n_who + 2 * (size_t)plan->n_levels) * scores->n_values;
    scores->n_streams = n_streams;
    scores->streams = calloc((size_t)n_streams, sizeof *scores->streams);
    scores->horizons = calloc((size_t)plan->n_horizons, sizeof *scores->horizons);
    scores->sums = calloc((size_t)(plan->n_horizons * scores->n_who * plan->n_targets), sizeof *scores->sums);
    scores->spoke = calloc((size_t)scores->n_who, sizeof *scores->spoke);
    if (scores->spoke == NULL || scores->streams == NULL || scores->horizons == NULL || scores->sums == NULL) {
        backtest_scores_free(scores);
        return NULL;
    }
    memcpy(scores->horizons, plan->horizons, (size_t)plan->n_horizons * sizeof *scores->horizons);
    scores->plan.horizons = scores->horizons;
    return scores;
}

void backtest_scores_free(struct backtest_scores *scores) {
    if (scores == NULL)
        return;
    for (int i = 0; scores->streams != NULL && i < scores->n_streams; i++) {
        free(scores->streams[i].units);
        free(scores->streams[i].kept);
    }
    free(scores->streams);
    free(scores->horizons);
    free(scores->spoke);
    free(scores->sums);
    free(scores);
}

int backtest_scores_begin(struct backtest_scores *scores, int stream, uint64_t steps, uint64_t online) {
    struct stream *one = &scores->streams[stream];
    uint64_t before = scores->plan.train + scores->plan.valid;
    one->end = steps > before && steps - before > online ? before + online : steps;
    one->units = calloc((size_t)scores->plan.n_targets, sizeof *one->units);
    one->kept = calloc((size_t)scores->horizon * scores->n_kept, sizeof *one->kept);
    for (int j = 0; one->units != NULL && j < scores->plan.n_targets; j++)
        one->units[j] = (struct unit){.last = NAN, .deviation = 1}; /* of no train part: the target's own unit */
    return one->units != NULL && one->kept != NULL ? 0 : -1;
}

/* A value of the train part. */
static void learn_unit(struct unit *unit, double value) {
    if (isnan(value))
        return;
    unit->n++;
    double delta = value - unit->mean;
    unit->mean += delta / (double)unit->n;
    unit->squares += delta * (value - unit->mean);
    if (!isnan(unit->last)) {
        unit->changes += fabs(value - unit->last);
        unit->n_changes++;
    }
    unit->last = value;
    double deviation = sqrt(unit->squares / (double)unit->n);
    unit->deviation = deviation > 0 && isfinite(deviation) ? deviation : 1;
    unit->change = unit->n_changes > 0 && isfinite(unit->changes) ? unit->changes / (double)unit->n_changes : 0;
}

static void add(struct sums *sums, const struct unit *unit, double error) {
    double scaled = error / unit->deviation;
    sums->n++;
    sums->se += scaled * scaled;
    sums->ae += fabs(scaled);
    sums->raw += fabs(error);
    if (unit->change > 0) {
        sums->n_mase++;
        sums->ase += fabs(error) / unit->change;
    }
}

static void add_interval(struct sums *sums, const struct unit *unit, int level, double lower, double upper,
                         double value) {
    if (isnan(lower) || isnan(upper))
        return;
    sums->n_levels[level]++;
    sums->covered[level] += lower <= value && value <= upper;
    sums->width[level] += (upper - lower) / unit->deviation;
}

static struct sums *sums_of(const struct backtest_scores *scores, int horizon, int who, int target) {
    return &scores->sums[(horizon * scores->n_who + who) * scores->plan.n_targets + target];
}

/* What was said at step `origin`, h steps before now, of a target. */
static void answer(struct backtest_scores *scores, const struct stream *one, uint64_t origin, int h, int target,
                   double value) {
    const struct unit *unit = &one->units[target];
    const double *kept = one->kept + (size_t)(origin % (uint64_t)scores->horizon) * scores->n_kept;
    size_t at = (size_t)(h - 1) * (size_t)scores->plan.n_targets + (size_t)target;
    const double *intervals = kept + (size_t)scores->n_who * scores->n_values;
    if (isnan(kept[at]))
        return; /* before the first value of the target */
    for (int i = 0; i < scores->plan.n_horizons; i++) {
        if (h > scores->horizons[i] || origin + (uint64_t)scores->horizons[i] > one->end)
            continue;
        for (int who = 0; who < scores->n_who; who++)
            add(sums_of(scores, i, who, target), unit, kept[(size_t)who * scores->n_values + at] - value);
        for (int l = 0; l < scores->plan.n_levels; l++)
            add_interval(sums_of(scores, i, 0, target), unit, l, intervals[(size_t)(2 * l) * scores->n_values + at],
                         intervals[(size_t)(2 * l + 1) * scores->n_values + at], value);
    }
}

/* Copies what is said at the latest step; an expert that does not know says the last value. */
static void keep(struct backtest_scores *scores, struct stream *one, const struct backtest_said *said) {
    double *kept = one->kept + (size_t)(one->step % (uint64_t)scores->horizon) * scores->n_kept;
    size_t n = scores->n_values;
    memcpy(kept, said->published, n * sizeof *kept);
    for (int e = 0; e < scores->plan.n_experts; e++) {
        double *to = kept + (size_t)(e + 1) * n;
        for (size_t i = 0; i < n; i++) {
            to[i] = said->experts[e][i];
            scores->spoke[e] |= isfinite(to[i]);
            if (!isfinite(to[i]))
                to[i] = one->units[i % (size_t)scores->plan.n_targets].last;
        }
    }
    double *intervals = kept + (size_t)scores->n_who * n;
    size_t stride = (size_t)scores->plan.said_horizon * (size_t)scores->plan.n_targets;
    for (int l = 0; l < scores->plan.n_levels; l++) {
        memcpy(intervals + (size_t)(2 * l) * n, said->lower + (size_t)l * stride, n * sizeof *intervals);
        memcpy(intervals + (size_t)(2 * l + 1) * n, said->upper + (size_t)l * stride, n * sizeof *intervals);
    }
}

void backtest_scores_step(struct backtest_scores *scores, int stream, const double *values,
                          const struct backtest_said *said) {
    struct stream *one = &scores->streams[stream];
    uint64_t before = scores->plan.train + scores->plan.valid;
    one->step++;
    for (int j = 0; j < scores->plan.n_targets; j++) {
        if (one->step <= scores->plan.train)
            learn_unit(&one->units[j], values[j]);
        if (isnan(values[j]))
            continue;
        one->units[j].last = values[j];
        for (int h = 1; one->step <= one->end && h <= scores->horizon && one->step > before + (uint64_t)h; h++)
            answer(scores, one, one->step - (uint64_t)h, h, j, values[j]);
    }
    if (one->step > before && one->step < one->end)
        keep(scores, one, said);
}

bool backtest_scores_spoke(const struct backtest_scores *scores, int expert) {
    return scores->spoke[expert];
}

struct backtest_errors backtest_scores_of(const struct backtest_scores *scores, int horizon, int who, int target) {
    struct sums all = {0};
    for (int j = 0; j < scores->plan.n_targets; j++) {
        const struct sums *one = sums_of(scores, horizon, who + 1, j);
        if (target >= 0 && target != j)
            continue;
        all.n += one->n;
        all.n_mase += one->n_mase;
        all.se += one->se;
        all.ae += one->ae;
        all.ase += one->ase;
        all.raw += one->raw;
        for (int l = 0; l < scores->plan.n_levels; l++) {
            all.n_levels[l] += one->n_levels[l];
            all.covered[l] += one->covered[l];
            all.width[l] += one->width[l];
        }
    }
    /* 0 / 0 is the NaN that is meant. */
    struct backtest_errors errors = {.n = all.n,
                                     .mse = all.se / (double)all.n,
                                     .mae = all.ae / (double)all.n,
                                     .mase = all.ase / (double)all.n_mase,
                                     .raw_mae = all.raw / (double)all.n};
    for (int l = 0; l < BACKTEST_LEVELS; l++) {
        errors.coverage[l] = all.covered[l] / (double)all.n_levels[l];
        errors.width[l] = all.width[l] / (double)all.n_levels[l];
    }
    return errors;
}
