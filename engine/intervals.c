#include "engine/intervals.h"

#include "engine/distribution.h"
#include "engine/quad.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum { TRACKERS = QUAD, ON_FAST = 2 }; /* the trackers from ON_FAST on are on the fast base */
enum { OWN_TRACKERS = 2 };             /* further ones, on what the network gives */

/* Of the errors, and what a single one may add to them, so that bursts do not blow them up. Where nothing goes wrong
 * for long they do not vanish, so that the stream may wake up: the slow mean does not sink below slow_least of any
 * error, but an enormous one counts in that for a share of the mean itself, and all are forgotten where errors go
 * on. */
static const double slow_share = 0.002, fast_share = 0.1, slow_most = 8, fast_most = 10, fast_least = 0.25;
static const double slow_least = 1e-3, slow_least_most = 0.25, slow_least_share = 1e-4;
/* Of the weights. */
static const float learning_rate = 0.1F, fixed_share = 0.01F, loss_most = 0.5F;
/* Steps in units of how much the share of misses changes with the logarithm of the width, under a normal
 * distribution. The widening learns quickly at first. */
static const double tracker_steps[TRACKERS] = {0.009, 0.045, 0.009, 0.045};
static const double own_steps[OWN_TRACKERS] = {0.009, 0.045};
static const double widening_step = 0.0045, widening_first = 0.025, widening_decay = 9;
static const float widening_least = 0.5F, widening_most = 20;
static const float tracker_decay = 0.5F, q_least = 0.01F, q_most = 1e4F;
/* A network that is farther off tells nothing: q at most, and its half-widths in slow means. */
static const float own_most = 20;
static const double own_base_most = 100;
/* An interval is at most so many times the largest error. */
static const double errors_most = 2;
/* Answers before single errors are bounded, and enormous ones in a row behind which they are not. */
enum { SETTLED = 5, ANSWERS_MOST = (1 << 28) - 1 };
/* Answers behind which 1 / n is below all shares. */
enum { LEARNS = 500 };

struct cell {
    double slow, fast, largest; /* means and maximum of |error| */
    float least;                /* of slow */
    uint32_t n : 28;            /* answers; stays at its maximum */
    uint32_t in_a_row : 4;      /* the latest ones that were enormous */
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
    uint32_t least; /* answers before the interval is finite */
    float steps[TRACKERS], own_steps[OWN_TRACKERS];
    float widening_step, widening_first, widening_decay;
    float widening_learns; /* answers behind which its step is the least */
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
    double slope = fmax(0.05, 2 * z * density); /* d share / d log width, of a normal error */
    struct level level = {
        .alpha = alpha,
        .first = z / sqrt(2 / M_PI),
        .student = (z * z + 1) / 4,
        .least = (uint32_t)ceil(1 / alpha - 1 - 1e-9),
        .widening_step = (float)(widening_step / slope),
        .widening_first = (float)(widening_first / slope),
        .widening_decay = (float)(widening_decay / slope),
        .widening_learns = (float)(widening_decay / widening_step),
    };
    for (int k = 0; k < TRACKERS; k++)
        level.steps[k] = (float)(tracker_steps[k] / slope);
    for (int k = 0; k < OWN_TRACKERS; k++)
        level.own_steps[k] = (float)(own_steps[k] / slope);
    return level;
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

/* The network's half-width as a base; 0: it gives none. */
static double own_base_of(const float *own, int level, const struct cell *cell) {
    if (own == NULL || !(own[level] > 0) || !isfinite(own[level]))
        return 0;
    double base = (double)own[level], most = own_base_most * cell->slow;
    return most > 0 && base > most ? most : base;
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

/* An answer as the trackers of a cell see it: in units of the slow base. */
struct seen {
    float error, fast, own; /* own: the network's half-width; 0: none */
    float least;            /* step, while answers are few */
};

static float larger(float a, float b) {
    return a > b ? a : b;
}

/* What one tracker's half-width, q x base, cost changes its weight, which is returned; then it follows the quantile,
 * to `most`. */
static float track_one(float *q, float most, float weight, float base, float step, float alpha, float error) {
    float over = error - *q * base, miss = over > 0 ? 1 : 0;
    float cost = learning_rate * (over > 0 ? (1 - alpha) * over : -alpha * over);
    float next = larger(q_least, *q * (1 + step * (miss - alpha)));
    *q = next < most ? next : most;
    return weight * (1 - (cost < loss_most ? cost : loss_most));
}

/* The same of all trackers at once. */
static float track_fast_and_slow(struct tracker *tracker, const struct level *level, const struct seen *seen,
                                 float *ret_weights) {
    const quad base = {1, 1, seen->fast, seen->fast}, one = quad_of(1), alpha = quad_of((float)level->alpha);
    quad q = quad_load(tracker->q), step = quad_larger(quad_load(level->steps), quad_of(seen->least));
    quad over = quad_of(seen->error) - q * base;
    quad_mask missed = over > quad_of(0);
    quad cost = quad_of(learning_rate) * quad_choose(missed, (one - alpha) * over, -alpha * over);
    quad next = q * (one + step * (quad_choose(missed, one, quad_of(0)) - alpha));
    quad_store(tracker->q, quad_smaller(quad_larger(quad_of(q_least), next), quad_of(q_most)));
    quad weights = quad_load(tracker->weight) * (one - quad_smaller(cost, quad_of(loss_most)));
    quad_store(ret_weights, weights);
    return weights[0] + weights[1] + weights[2] + weights[3];
}

/* Exponential weights with a fixed share, of what adds up to whole. */
static void share_out(float *weights, const float *unnormalised, int n, float whole, float sum, int n_all) {
    float factor = (1 - fixed_share) * whole / sum, fixed = fixed_share * whole / (float)n_all;
    if (n == TRACKERS) {
        quad_store(weights, quad_of(factor) * quad_load(unnormalised) + quad_of(fixed));
        return;
    }
    for (int k = 0; k < n; k++)
        weights[k] = factor * unnormalised[k] + fixed;
}

/* Without a half-width of the network's its trackers rest, and keep their weight. */
static void track(struct tracker *tracker, struct own_tracker *own, const struct level *level,
                  const struct seen *seen) {
    float weights[TRACKERS], own_weights[OWN_TRACKERS], whole = 1;
    float sum = track_fast_and_slow(tracker, level, seen, weights);
    if (own == NULL || !(seen->own > 0)) {
        for (int k = 0; own != NULL && k < OWN_TRACKERS; k++)
            whole -= own->weight[k];
        share_out(tracker->weight, weights, TRACKERS, whole, sum, TRACKERS);
        return;
    }
    for (int k = 0; k < OWN_TRACKERS; k++) {
        own_weights[k] = track_one(&own->q[k], own_most, own->weight[k], seen->own,
                                   larger(level->own_steps[k], seen->least), (float)level->alpha, seen->error);
        sum += own_weights[k];
    }
    share_out(tracker->weight, weights, TRACKERS, whole, sum, TRACKERS + OWN_TRACKERS);
    share_out(own->weight, own_weights, OWN_TRACKERS, whole, sum, TRACKERS + OWN_TRACKERS);
}

static void widen(struct tracker *tracker, const struct level *level, float n, bool miss) {
    float first = 0, step = level->widening_step;
    if (n < level->widening_learns) {
        first = level->widening_decay / (n + 1);
        first = first < level->widening_first ? first : level->widening_first;
    }
    float widening = tracker->widening * (1 + larger(step, first) * ((miss ? 1 : 0) - (float)level->alpha));
    tracker->widening = widening > widening_most ? widening_most : larger(widening_least, widening);
}

static double bounded(double error, double most, const struct cell *cell) {
    bool alone = cell->n > SETTLED && cell->in_a_row <= SETTLED && cell->slow > 0;
    return alone && error > most * cell->slow ? most * cell->slow : error;
}

/* The first errors may be anything. */
static void raise_least(struct cell *cell, double error) {
    double raised = slow_least * error, most = slow_least_most * cell->slow;
    raised = raised < most ? raised : most;
    raised = raised < (double)FLT_MAX ? raised : (double)FLT_MAX;
    double least = (1 - slow_least_share) * (double)cell->least;
    raised = cell->n > SETTLED ? raised : 0;
    cell->least = (float)(least > raised ? least : raised);
}

static void see_error(struct cell *cell, double error) {
    double share = cell->n < LEARNS ? 1 / ((double)cell->n + 1) : 0;
    if (!(slow_least * error > cell->slow))
        cell->in_a_row = 0;
    else if (cell->in_a_row <= SETTLED)
        cell->in_a_row++;
    double slow = bounded(error, slow_most, cell), fast = bounded(error, fast_most, cell);
    cell->slow += (share > slow_share ? share : slow_share) * (slow - cell->slow);
    cell->fast += (share > fast_share ? share : fast_share) * (fast - cell->fast);
    cell->largest = error > cell->largest ? error : cell->largest;
    if (error > 0)
        raise_least(cell, error);
    cell->slow = cell->slow > (double)cell->least ? cell->slow : (double)cell->least;
    if (cell->fast < fast_least * cell->slow)
        cell->fast = fast_least * cell->slow;
    if (cell->n < ANSWERS_MOST)
        cell->n++;
}

static struct seen seen_of(const struct cell *cell, double error) {
    double most = 1e9; /* beyond it all are alike */
    double of_slow = error / cell->slow;
    return (struct seen){.error = (float)(of_slow < most ? of_slow : most),
                         .fast = (float)(cell->fast / cell->slow),
                         .least = tracker_decay / ((float)cell->n + 2)};
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
    bool known = cell->n > 0 && cell->slow > 0;
    struct seen seen = known ? seen_of(cell, error) : (struct seen){0};
    for (int l = 0; l < intervals->n_levels; l++) {
        if (!isnan(published[l]))
            widen(&trackers[l], &intervals->levels[l], (float)cell->n, error > (double)published[l]);
        if (!known)
            continue;
        seen.own = (float)(own_base_of(own, l, cell) / cell->slow);
        track(&trackers[l], intervals->own != NULL ? &own_of(intervals, cell)[l] : NULL, &intervals->levels[l],
              &seen);
    }
    see_error(cell, error);
}

/* own, own_base: as track has them; where the network gives nothing the others have all the weight. */
static double radius_of(const struct tracker *tracker, const struct own_tracker *own, double own_base,
                        const struct cell *cell) {
    double slow = 0, fast = 0, given = 0, rest = 1;
    for (int k = 0; k < ON_FAST; k++)
        slow += (double)tracker->weight[k] * (double)tracker->q[k];
    for (int k = ON_FAST; k < TRACKERS; k++)
        fast += (double)tracker->weight[k] * (double)tracker->q[k];
    for (int k = 0; own != NULL && k < OWN_TRACKERS; k++) {
        given += (double)own->weight[k] * (double)own->q[k];
        rest -= own_base > 0 ? 0 : (double)own->weight[k];
    }
    double radius = (double)tracker->widening * (slow * cell->slow + fast * cell->fast + given * own_base);
    return own != NULL ? radius / rest : radius;
}

bool intervals_radii(const struct intervals *intervals, int slot, int cell_index, const float *own,
                     float *ret_radii) {
    const struct cell *cell = cell_of(intervals, slot, cell_index);
    const struct tracker *trackers = trackers_of(intervals, cell);
    bool any_capped = false;
    double least = 0, ahead = intervals->steps[cell_index / intervals->n_targets];
    double few_answers = ahead / (ahead + (double)cell->n);
    for (int l = 0; l < intervals->n_levels; l++) {
        if (cell->n == 0) {
            ret_radii[l] = NAN;
            continue;
        }
        const struct level *level = &intervals->levels[l];
        double radius = radius_of(&trackers[l], intervals->own != NULL ? &own_of(intervals, cell)[l] : NULL,
                                  own_base_of(own, l, cell), cell) *
                        (1 + level->student * few_answers);
        bool few = cell->n < level->least, capped = few || radius > errors_most * cell->largest;
        if (capped)
            radius = few ? cell->largest : errors_most * cell->largest;
        any_capped |= capped;
        least = radius > least ? radius : least;
        ret_radii[l] = least <= (double)FLT_MAX ? (float)least : NAN;
    }
    return any_capped;
}

/* ---- images ------------------------------------------------------------------------------------- */

static void serialize_cell(struct intervals *intervals, struct cell *cell, struct image_io *io) {
    uint32_t n = cell->n;
    uint8_t in_a_row = (uint8_t)cell->in_a_row;
    image_io(io, &n, 1);
    image_check(io, n <= ANSWERS_MOST, "too many answers");
    cell->n = n & ANSWERS_MOST;
    if (cell->n == 0)
        return;
    image_io(io, &in_a_row, 1);
    cell->in_a_row = (uint32_t)in_a_row & 0xf;
    image_io(io, &cell->slow, 1);
    image_io(io, &cell->fast, 1);
    image_io(io, &cell->largest, 1);
    image_io(io, &cell->least, 1);
    for (int l = 0; l < intervals->n_levels; l++) {
        struct tracker *tracker = &trackers_of(intervals, cell)[l];
        image_io(io, tracker->q, TRACKERS);
        image_io(io, tracker->weight, TRACKERS);
        image_io(io, &tracker->widening, 1);
        if (intervals->own == NULL)
            continue;
        image_io(io, own_of(intervals, cell)[l].q, OWN_TRACKERS);
        image_io(io, own_of(intervals, cell)[l].weight, OWN_TRACKERS);
    }
}

void intervals_serialize(struct intervals *intervals, int slot, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "intv", FORMAT, &section);
    for (int c = 0; c < intervals->n_cells; c++)
        serialize_cell(intervals, cell_of(intervals, slot, c), &section);
    image_leave(io, &section);
}
