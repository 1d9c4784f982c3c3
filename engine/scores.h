/*
 * Published forecasts of one (stream, model) that wait for their answers, and what the answers say of them: errors by
 * steps ahead, over all targets and for each, and the intervals, which learn from them.
 *
 * A forecast is scored when the step it spoke of has closed, never before, against what was observed; missing answers
 * are not scored, nor is anything in a pause. Errors are in the unit of the target's scaler when the answer comes.
 * Each quantity is kept as two means over the answers: `recent`, alike over the first SCORES_MEMORY, then
 * exponentially with that memory; and `all`. Those over all targets are means over the targets of each answer first.
 * What is said of intervals counts the answers that had one.
 * Scores belong to the stream and the model, whatever version has served: they go on when another takes over. One
 * owner; all memory is taken when the table for a batch is made.
 */
#ifndef ENGINE_SCORES_H
#define ENGINE_SCORES_H

#include "engine/config.h"
#include "engine/history.h"
#include "engine/image.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCORES_MEMORY = 1000, SCORES_MAX = 16 }; /* SCORES_MAX: of few scored steps, at most */

/* NaN: not known. As floats, since there is one for each stream, target and step: a mean over all answers stands
 * still after some ten million of them. */
struct score_means {
    float mae, mse;       /* of what was published */
    float mae_last_value; /* of the last value at the time of the forecast */
    float mae_seasonal;   /* of the last value where no season is known; NaN where there is no period */
    float pinball; /* quantile loss of the ends of the intervals, mean over ends and levels; NaN without levels */
};

/* Of one level's intervals. */
struct score_level {
    uint32_t n, held;      /* answers that had an interval, and that it held; of all targets */
    float coverage, width; /* recent */
    float width_all;
};

struct score {
    int h;      /* steps ahead */
    uint32_t n; /* answers; stays at its maximum */
    struct score_means recent, all;
};

static inline double score_rmse(const struct score_means *means) {
    return sqrt((double)means->mse);
}

/* Of all answers. */
static inline double score_coverage(const struct score_level *level) {
    return level->n > 0 ? (double)level->held / (double)level->n : NAN;
}

/* The share of the baseline's error that is saved; below 0: it is better. NaN: not known. */
static inline double score_skill(float mae, float mae_of_baseline) {
    return 1 - (double)mae / (double)mae_of_baseline;
}

/* The mean absolute scaled error (Hyndman and Koehler 2006): by the error of the last value one step ahead. */
static inline double score_mase(const struct score_means *means, const struct score_means *one_ahead) {
    return (double)means->mae / (double)one_ahead->mae_last_value;
}

/* The steps ahead that are scored, ascending, the horizon last. Returns their number; ret_h [CONFIG_SCORED_ALL_MOST],
 * or NULL. */
int scores_steps(enum scored_steps scored, int horizon, int *ret_h);

/* Of all slots of a batch. */
struct scores;

/* The model must outlive it. NULL when memory is short. */
struct scores *scores_new(int slots, const struct config_model *model);
void scores_free(struct scores *scores);

/* Scored steps ahead. */
int scores_count(const struct scores *scores);

/* Over all targets: [scores_count]. */
const struct score *scores_of(const struct scores *scores, int slot);
/* Of one target, at the i-th scored step. */
const struct score *scores_of_target(const struct scores *scores, int slot, int i, int target);
/* The same of the levels: [scores_count x n_levels] over all targets, and [n_levels] of one target. */
const struct score_level *scores_levels(const struct scores *scores, int slot);
const struct score_level *scores_levels_of_target(const struct scores *scores, int slot, int i, int target);

/* Forgets everything of a slot. */
void scores_restart(struct scores *scores, int slot);

/* Scores whatever was forecast for `step` (just closed, in history); units [n_targets] of the scalers. */
void scores_answer(struct scores *scores, int slot, const struct history *history, uint64_t step,
                   const double *units);

/* Asks for the memory that scores_answer of the slot will touch. */
void scores_fetch(const struct scores *scores, int slot, uint64_t step);

/* How far outside its interval of the highest level the step that was answered last lies, which was made one step
 * before it: 0 inside, 1 where it is one half-width beyond, most SCORES_ANOMALY_MOST; the largest of all targets;
 * NaN: not known. */
enum { SCORES_ANOMALY_MOST = 1000 };
double scores_anomaly(const struct scores *scores, int slot);

/* The forecast made at `step`, mean [horizon x n_targets], gets its intervals, and is remembered (waits) until it is
 * answered, or not. own [n_levels x horizon x n_targets]: half-widths that the network gives, of a model whose head
 * does; NULL: none. */
void scores_publish(struct scores *scores, int slot, uint64_t step, const double *mean, const float *own, bool waits);

/* The half-widths of the latest forecast, [n_levels x scores_count x n_targets], NaN: not known; NULL without levels.
 * *ret_capped: some of them are capped. */
const float *scores_radii(const struct scores *scores, int slot, bool *ret_capped);

/* The means [n_targets] of the forecast that was published last, at `step`, for the i-th scored step ahead. */
const double *scores_published(const struct scores *scores, int slot, int i, uint64_t step);

/* A forecast that was made at `step` for the i-th scored step ahead, if it is still kept (its answer may have come):
 * its means [n_targets] and half-widths [n_levels x n_targets]. */
bool scores_kept(const struct scores *scores, int slot, int i, uint64_t step, const double **ret_mean,
                 const float **ret_radii);

/* A slot's that has seen `step`, as a section of an image, or from one of the same targets, scored steps and levels:
 * then what the latest forecast had (scores_radii, scores_anomaly) is not known until the next one. */
void scores_serialize(struct scores *scores, int slot, uint64_t step, struct image_io *io);

#endif
