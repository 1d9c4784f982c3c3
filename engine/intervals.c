#include "engine/intervals.h"

#include "engine/distribution.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum { TRACKERS = 4, ON_FAST = 2 }; /* the trackers from ON_FAST on are on the fast base */
enum { OWN_TRACKERS = 2 };          /* further ones, on what the network gives */

/* Of the errors, and what a single one may add to them, so that bursts do not blow them up. */
static const double slow_share = 0.002, fast_share = 0.1, slow_most = 8, fast_most = 10, fast_least = 0.25;
/* Of the weights. */
static const double learning_rate = 0.1, fixed_share = 0.01, loss_most = 0.5;
/* Steps in units of how much the share of misses changes with the logarithm of the width, under a normal distribution.
 * The widening learns quickly at first. */
static const double tracker_steps[TRACKERS] = {0.009, 0.045, 0.009, 0.045};
static const double own_steps[OWN_TRACKERS] = {0.009, 0.045};
static const double widening_step = 0.0045, widening_first = 0.025, widening_decay = 9, widening_most = 20;
static const double tracker_decay = 0.5;
/* An interval is at most so many times the largest error. */
static const double errors_most = 2;
/* Answers before single errors are bounded. */
enum { SETTLED = 5 };

struct cell {
    double slow, fast, largest; /* means and maximum of |error| */
    uint32_t n;                 /* answers; stays at its maximum */
};

struct tracker {
    float q[TRACKERS], weight[TRACKERS];
    float widening;
};

/* Its weights and the tracker's are one whole; with no answer yet that had one, q is 1. */
struct own_tracker {
    float q[OWN_TRACKERS], weight[OWN_TRACKERS];
};

/* What follows from a level. */
struct level {
    double alpha;   /* the share that is outside */
    double first;   /* the quantile of a normal error in units of its mean absolute value */
    double student; /* (z^2 + 1) / 4 */
    double slope;   /* d share / d log width, of a normal error */
    uint32_t least; /* answers before the interval is finite */
};

struct intervals {
    int n_cells, n_targets, n_levels;
    int *steps;               /* [n_steps] */
    struct level *levels;     /* [n_levels] */
    struct cell *cells;       /* [slots x n_cells] */
    struct tracker *trackers; /* [slots x n_cells x n_levels] */
    struct own_tracker *own;  /* the same; NULL: no network gives any */
};

static struct level level_of(double percent) {
    double alpha = 1 - percent / 100, z = normal_quantile(1 - alpha / 2);
    double density = exp(-z * z / 2) / sqrt(2 * M_PI);
    return (struct level){
        .alpha = alpha,
        .first = z / sqrt(2 / M_PI),
        .student = (z * z + 1) / 4,
        .slope = fmax(0.05, 2 * z * density),
        .least = (uint32_t)ceil(1 / alpha - 1 - 1e-9),
    };
}

struct intervals *intervals_new(int slots, const int *steps, int n_steps, int n_targets, const double *levels,
                                int n_levels, bool own) {
    struct intervals *intervals = calloc(1, sizeof *intervals);
    if (intervals == NULL)
        return NULL;
    size_t cells = (size_t)slots * (size_t)n_steps * (size_t)n_targets, n = (size_t)n_levels;
    intervals->n_cells = n_steps * n_targets;
    intervals->n_targets = n_targets;
    intervals->n_levels = n_levels;
    intervals->steps = calloc((size_t)n_steps, sizeof *intervals->steps);
    intervals->levels = calloc(n + 1, sizeof *intervals->levels);
    intervals->cells = calloc(cells, sizeof *intervals->cells);
    intervals->trackers = calloc(cells * n + 1, sizeof *intervals->trackers);
    intervals->own = own ? calloc(cells * n + 1, sizeof *intervals->own) : NULL;
    if ((own && intervals->own == NULL) || intervals->steps == NULL || intervals->levels == NULL ||
        intervals->cells == NULL || intervals->trackers == NULL) {
        intervals_free(intervals);
        return NULL;
    }
    for (int i = 0; i < n_steps; i++)
        intervals->steps[i] = steps[i];
    for (int l = 0; l < n_levels; l++)
        intervals->levels[l] = level_of(levels[l]);
    return intervals;
}

void intervals_free(struct intervals *intervals) {
    if (intervals == NULL)
        return;
    free(intervals->steps);
    free(intervals->levels);
    free(intervals->cells);
    free(intervals->trackers);
    free(intervals->own);
    free(intervals);
}

static struct cell *cell_of(const struct intervals *intervals, int slot, int cell) {
    return intervals->cells + (size_t)slot * (size_t)intervals->n_cells + (size_t)cell;
}

/* Those of a cell's levels. */
static struct tracker *trackers_of(const struct intervals *intervals, const struct cell *cell) {
    return intervals->trackers + (size_t)(cell - intervals->cells) * (size_t)intervals->n_levels;
}

static struct own_tracker *own_of(const struct intervals *intervals, const struct cell *cell) {
    return intervals->own + (size_t)(cell - intervals->cells) * (size_t)intervals->n_levels;
}

static bool is_given(const float *own, int level) {
    return own != NULL && own[level] > 0 && isfinite(own[level]);
}

void intervals_restart(struct intervals *intervals, int slot) {
    for (int c = 0; c < intervals->n_cells; c++)
        cell_of(intervals, slot, c)->n = 0;
}

static void first_answer(struct intervals *intervals, struct cell *cell) {
    struct tracker *trackers = trackers_of(intervals, cell);
    *cell = (struct cell){0};
    for (int l = 0; l < intervals->n_levels; l++) {
        trackers[l].widening = 1;
        for (int k = 0; k < TRACKERS; k++) {
            trackers[l].q[k] = (float)intervals->levels[l].first;
            trackers[l].weight[k] = 1.0F / (float)(TRACKERS + (intervals->own != NULL ? OWN_TRACKERS : 0));
        }
        for (int k = 0; intervals->own != NULL && k < OWN_TRACKERS; k++) {
            own_of(intervals, cell)[l].q[k] = 1;
            own_of(intervals, cell)[l].weight[k] = 1.0F / (TRACKERS + OWN_TRACKERS);
        }
    }
}

/* What one tracker's half-width, q x base, cost, in units of the slow base, changes its weight, which is returned; then it
 * follows the quantile. */
static double track_one(float *q, double weight, double base, double step, const struct level *level,
                        const struct cell *cell, double error) {
    double radius = (double)*q * base;
    bool miss = error > radius;
    double loss = miss ? (1 - level->alpha) * (error - radius) : level->alpha * (radius - error);
    step = fmax(step / level->slope, tracker_decay / ((double)cell->n + 2));
    *q = (float)((double)*q * (1 + step * ((miss ? 1 : 0) - level->alpha)));
    return weight * (1 - fmin(loss_most, learning_rate * loss / cell->slow));
}

/* Without a half-width of the network's its trackers rest, and keep their weight. */
static void track(struct tracker *tracker, struct own_tracker *own, double own_base, const struct level *level,
                  const struct cell *cell, double error) {
    double weights[TRACKERS + OWN_TRACKERS], sum = 0, whole = 1;
    int n = own != NULL && own_base > 0 ? TRACKERS + OWN_TRACKERS : TRACKERS;
    for (int k = 0; k < n; k++) {
        bool is_own = k >= TRACKERS;
        float *q = is_own ? &own->q[k - TRACKERS] : &tracker->q[k];
        double weight = (double)(is_own ? own->weight[k - TRACKERS] : tracker->weight[k]);
        double base = is_own ? own_base : k < ON_FAST ? cell->slow : cell->fast;
        double step = is_own ? own_steps[k - TRACKERS] : tracker_steps[k];
        weights[k] = track_one(q, weight, base, step, level, cell, error);
        sum += weights[k];
    }
    for (int k = 0; own != NULL && n == TRACKERS && k < OWN_TRACKERS; k++)
        whole -= (double)own->weight[k];
    for (int k = 0; k < n; k++)
        weights[k] = (1 - fixed_share) * whole * weights[k] / sum + fixed_share * whole / n;
    for (int k = 0; k < n; k++)
        *(k < TRACKERS ? &tracker->weight[k] : &own->weight[k - TRACKERS]) = (float)weights[k];
}

static void widen(struct tracker *tracker, const struct level *level, uint32_t n, bool miss) {
    double first = fmin(widening_first, widening_decay / ((double)n + 1));
    double step = fmax(widening_step, first) / level->slope;
    double widening = (double)tracker->widening * (1 + step * ((miss ? 1 : 0) - level->alpha));
    tracker->widening = (float)fmax(1 / widening_most, fmin(widening_most, widening));
}

static double bounded(double error, double most, const struct cell *cell) {
    return cell->n > SETTLED && cell->slow > 0 ? fmin(error, most * cell->slow) : error;
}

static void see_error(struct cell *cell, double error) {
    double n = (double)cell->n + 1;
    cell->slow += fmax(1 / n, slow_share) * (bounded(error, slow_most, cell) - cell->slow);
    cell->fast += fmax(1 / n, fast_share) * (bounded(error, fast_most, cell) - cell->fast);
    cell->fast = fmax(cell->fast, fast_least * cell->slow);
    cell->largest = fmax(cell->largest, error);
    cell->n += cell->n < UINT32_MAX;
}

void intervals_answer(struct intervals *intervals, int slot, int cell_index, double error, const float *published,
                      const float *own) {
    struct cell *cell = cell_of(intervals, slot, cell_index);
    error = fabs(error);
    if (!isfinite(error))
        return;
    if (cell->n == 0)
        first_answer(intervals, cell);
    struct tracker *trackers = trackers_of(intervals, cell);
    for (int l = 0; l < intervals->n_levels; l++) {
        if (!isnan(published[l]))
            widen(&trackers[l], &intervals->levels[l], cell->n, error > (double)published[l]);
        if (cell->n > 0 && cell->slow > 0)
            track(&trackers[l], intervals->own != NULL ? &own_of(intervals, cell)[l] : NULL,
                  is_given(own, l) ? (double)own[l] : 0, &intervals->levels[l], cell, error);
    }
    see_error(cell, error);
}

/* own, own_base: as track has them; where the network gives nothing the others have all the weight. */
static double radius_of(const struct tracker *tracker, const struct own_tracker *own, double own_base,
                        const struct level *level, const struct cell *cell, int h) {
    double slow = 0, fast = 0, given = 0, rest = 1;
    for (int k = 0; k < TRACKERS; k++)
        *(k < ON_FAST ? &slow : &fast) += (double)tracker->weight[k] * (double)tracker->q[k];
    for (int k = 0; own != NULL && k < OWN_TRACKERS; k++) {
        given += (double)own->weight[k] * (double)own->q[k];
        rest -= own_base > 0 ? 0 : (double)own->weight[k];
    }
    return (double)tracker->widening * (slow * cell->slow + fast * cell->fast + given * own_base) / rest *
           (1 + level->student / (1 + (double)cell->n / h));
}

bool intervals_radii(const struct intervals *intervals, int slot, int cell_index, const float *own,
                     float *ret_radii) {
    const struct cell *cell = cell_of(intervals, slot, cell_index);
    const struct tracker *trackers = trackers_of(intervals, cell);
    bool any_capped = false;
    double least = 0;
    for (int l = 0; l < intervals->n_levels; l++) {
        if (cell->n == 0) {
            ret_radii[l] = NAN;
            continue;
        }
        const struct level *level = &intervals->levels[l];
        double radius = radius_of(&trackers[l], intervals->own != NULL ? &own_of(intervals, cell)[l] : NULL,
                                  is_given(own, l) ? (double)own[l] : 0, level, cell,
                                  intervals->steps[cell_index / intervals->n_targets]);
        bool few = cell->n < level->least, capped = few || radius > errors_most * cell->largest;
        if (capped)
            radius = few ? cell->largest : errors_most * cell->largest;
        any_capped |= capped;
        least = fmax(least, radius);
        ret_radii[l] = least <= (double)FLT_MAX ? (float)least : NAN;
    }
    return any_capped;
}
