#include "engine/scores.h"

#include "engine/baseline.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

struct scores {
    int slots, n_targets, n;
    int h[SCORES_MAX];
    size_t first[SCORES_MAX]; /* where the forecasts of h[i] begin within a slot's, in forecasts */
    size_t waiting;           /* forecasts that one slot keeps: h[0] + h[1] + ... */
    struct score *score;      /* [slots x n] */
    uint64_t *made;           /* [slots x waiting] step of each kept forecast; 0: none */
    double *mean;             /* [slots x waiting x n_targets] */
};

static void clear(struct scores *scores, int slot) {
    for (int i = 0; i < scores->n; i++)
        scores->score[slot * scores->n + i] =
            (struct score){.h = scores->h[i], .mae = NAN, .mae_last_value = NAN, .mae_seasonal = NAN};
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

struct scores *scores_new(int slots, int horizon, int n_targets) {
    struct scores *scores = calloc(1, sizeof *scores);
    if (scores == NULL)
        return NULL;
    scores->slots = slots;
    scores->n_targets = n_targets;
    scores->n = scores_steps(SCORED_FEW, horizon, scores->h);
    for (int i = 0; i < scores->n; i++) {
        scores->first[i] = scores->waiting;
        scores->waiting += (size_t)scores->h[i];
    }
    size_t forecasts = (size_t)slots * scores->waiting;
    scores->score = calloc((size_t)slots * (size_t)scores->n, sizeof *scores->score);
    scores->made = calloc(forecasts, sizeof *scores->made);
    scores->mean = calloc(forecasts * (size_t)n_targets, sizeof *scores->mean);
    if (scores->score == NULL || scores->made == NULL || scores->mean == NULL) {
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
    free(scores->score);
    free(scores->made);
    free(scores->mean);
    free(scores);
}

int scores_count(const struct scores *scores) {
    return scores->n;
}

const struct score *scores_of(const struct scores *scores, int slot) {
    return scores->score + (size_t)slot * (size_t)scores->n;
}

void scores_restart(struct scores *scores, int slot) {
    clear(scores, slot);
    for (size_t i = 0; i < scores->waiting; i++)
        scores->made[(size_t)slot * scores->waiting + i] = 0;
}

/* The place of the forecast made at `step` for h[i] steps ahead: a ring of h[i]. */
static size_t waiting_place(const struct scores *scores, int slot, int i, uint64_t step) {
    return (size_t)slot * scores->waiting + scores->first[i] + (size_t)(step % (uint64_t)scores->h[i]);
}

static void running_mean(double *mean, uint64_t n, double x) {
    if (!isfinite(x)) /* infinite: between values whose difference is no double */
        return;
    double share = 1.0 / (double)(n < SCORES_MEMORY ? n : SCORES_MEMORY);
    *mean = isnan(*mean) ? x : *mean + share * (x - *mean);
}

void scores_answer(struct scores *scores, int slot, const struct history *history, uint64_t step, const int *targets,
                   const double *units, int period) {
    for (int i = 0; i < scores->n; i++) {
        uint64_t h = (uint64_t)scores->h[i];
        if (step <= h)
            break;
        size_t place = waiting_place(scores, slot, i, step - h);
        if (scores->made[place] != step - h)
            continue;
        double error = 0, error_last = 0, error_seasonal = 0;
        int answers = 0;
        for (int j = 0; j < scores->n_targets; j++) {
            double answer = history_observed(history, step, targets[j]);
            double said = scores->mean[place * (size_t)scores->n_targets + (size_t)j];
            double last = baseline_last_value(history, step - h, targets[j]);
            if (isnan(answer) || isnan(said) || isnan(last))
                continue;
            /* As it would have been served, so that the three means are over the same answers. */
            double seasonal =
                period > 0 ? baseline_forecast(BASELINE_SEASONAL, history, step - h, targets[j], (int)h, period)
                           : NAN;
            error += fabs(answer - said) / units[j];
            error_last += fabs(answer - last) / units[j];
            error_seasonal += fabs(answer - seasonal) / units[j];
            answers++;
        }
        if (answers == 0)
            continue;
        struct score *score = scores->score + slot * scores->n + i;
        score->n++;
        running_mean(&score->mae, score->n, error / answers);
        running_mean(&score->mae_last_value, score->n, error_last / answers);
        running_mean(&score->mae_seasonal, score->n, error_seasonal / answers);
    }
}

void scores_publish(struct scores *scores, int slot, uint64_t step, const double *mean) {
    size_t n_targets = (size_t)scores->n_targets;
    for (int i = 0; i < scores->n; i++) {
        size_t place = waiting_place(scores, slot, i, step);
        const double *at_h = mean + (size_t)(scores->h[i] - 1) * n_targets;
        scores->made[place] = step;
        for (size_t j = 0; j < n_targets; j++)
            scores->mean[place * n_targets + j] = at_h[j];
    }
}
