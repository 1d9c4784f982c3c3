#include "engine/residuals.h"

#include "engine/kernels/bfloat16.h"
#include "engine/regressors.h"
#include "engine/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Answers over which the mean absolute residual is taken; in the scaler's unit, at most. */
enum { MEMORY = 500, LARGEST = 100 };

struct residuals {
    int n_targets, n_steps, steps[SCORES_MAX];
    size_t past;       /* origins that are kept */
    size_t row;        /* n_steps x n_targets */
    uint16_t *rows;    /* [slots x past x row] by origin, bfloat16 */
    float *deviations; /* [slots x row] */
    float *answers;    /* [slots x row] that deviations are of, up to MEMORY */
    uint64_t *since;   /* [slots] origins behind it are the stream's own */
    uint64_t *newest;  /* [slots] the latest origin */
    float *unpacked;   /* [row] */
};

int residuals_steps(const struct config_model *model, int *ret_steps) {
    int all = scores_steps(SCORED_FEW, model->horizon, ret_steps), n = 0;
    while (n < all && ret_steps[n] <= REGRESSORS_STEPS)
        n++;
    return n;
}

struct residuals *residuals_new(const struct config_class *class, const struct config_model *model) {
    struct residuals *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    size_t slots = (size_t)model->batch_size;
    r->n_targets = model->n_targets;
    r->n_steps = residuals_steps(model, r->steps);
    r->past = (size_t)(class->history + class->pending + r->steps[r->n_steps - 1]);
    r->row = (size_t)r->n_steps * (size_t)r->n_targets;
    r->rows = calloc(slots * r->past * r->row, sizeof *r->rows);
    r->deviations = calloc(slots * r->row, sizeof *r->deviations);
    r->answers = calloc(slots * r->row, sizeof *r->answers);
    r->since = calloc(slots, sizeof *r->since);
    r->newest = calloc(slots, sizeof *r->newest);
    r->unpacked = calloc(r->row, sizeof *r->unpacked);
    if (r->rows != NULL && r->deviations != NULL && r->answers != NULL && r->since != NULL && r->newest != NULL &&
        r->unpacked != NULL)
        return r;
    residuals_free(r);
    return NULL;
}

void residuals_free(struct residuals *r) {
    if (r == NULL)
        return;
    free(r->rows);
    free(r->deviations);
    free(r->answers);
    free(r->since);
    free(r->newest);
    free(r->unpacked);
    free(r);
}

void residuals_acquire(struct residuals *r, int slot, uint64_t step) {
    r->since[slot] = r->newest[slot] = step;
    memset(r->deviations + (size_t)slot * r->row, 0, r->row * sizeof *r->deviations);
    memset(r->answers + (size_t)slot * r->row, 0, r->row * sizeof *r->answers);
}

static size_t place_of(const struct residuals *r, int slot, uint64_t origin) {
    return ((size_t)slot * r->past + (size_t)(origin % r->past)) * r->row;
}

static bool keeps(const struct residuals *r, int slot, uint64_t origin) {
    uint64_t newest = r->newest[slot];
    return origin > r->since[slot] && origin <= newest && newest - origin < r->past;
}

void residuals_begin(struct residuals *r, int slot, uint64_t step) {
    uint16_t *row = r->rows + place_of(r, slot, step);
    for (size_t i = 0; i < r->row; i++)
        row[i] = bfloat16_of(NAN);
    r->newest[slot] = step;
}

/* The residual, bounded by what has come before it, of which it becomes a part. */
static float bounded(float *deviation, float *answers, float value) {
    float most = *answers > 0 && *deviation > 0 ? fminf(LARGEST, RESIDUALS_WIDTH * *deviation) : LARGEST;
    float kept = fmaxf(-most, fminf(most, value));
    *answers = fminf(*answers + 1, MEMORY);
    *deviation += (fabsf(kept) - *deviation) / *answers;
    return kept;
}

void residuals_put(struct residuals *r, int slot, uint64_t origin, int h, int j, double value) {
    int i = 0;
    while (i < r->n_steps && r->steps[i] != h)
        i++;
    if (i == r->n_steps || !isfinite((float)value) || !keeps(r, slot, origin))
        return;
    size_t at = (size_t)(i * r->n_targets + j), of = (size_t)slot * r->row + at;
    r->rows[place_of(r, slot, origin) + at] = bfloat16_of(bounded(&r->deviations[of], &r->answers[of], (float)value));
}

static const float *unpack_row(struct residuals *r, const uint16_t *row) {
    for (size_t i = 0; i < r->row; i++)
        r->unpacked[i] = bfloat16_widened(row[i]);
    return r->unpacked;
}

const float *residuals_of(struct residuals *r, int slot, uint64_t origin) {
    return keeps(r, slot, origin) ? unpack_row(r, r->rows + place_of(r, slot, origin)) : NULL;
}

const float *residuals_deviations(const struct residuals *r, int slot) {
    return r->deviations + (size_t)slot * r->row;
}

void residuals_serialize(struct residuals *r, int slot, uint64_t step, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    uint64_t newest = r->newest[slot], room = r->past, since = newest > room ? newest - room : 0;
    since = since > r->since[slot] ? since : r->since[slot];
    image_enter(io, "resi", FORMAT, &section);
    image_count(&section, &newest, step, "residuals of steps that have not come");
    image_count(&section, &since, newest, "residuals that begin behind the newest");
    image_io(&section, r->deviations + (size_t)slot * r->row, r->row);
    image_io(&section, r->answers + (size_t)slot * r->row, r->row);
    if (newest - since > room) { /* written where the history was longer */
        image_skip(&section, (size_t)(newest - since - room) * r->row * sizeof *r->rows);
        since = newest - room;
    }
    if (image_reads(io)) {
        r->newest[slot] = newest;
        r->since[slot] = since;
    }
    for (uint64_t origin = since + 1; origin <= newest; origin++)
        image_io(&section, r->rows + place_of(r, slot, origin), r->row);
    image_leave(io, &section);
}
