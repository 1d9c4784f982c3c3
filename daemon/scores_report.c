#include "daemon/scores_report.h"

#include <stdlib.h>
#include <string.h>

struct scores_report *scores_report_new(const struct config *config, struct stream *stream, int place,
                                        bool with_forecasts) {
    const struct config_model *model = &config->models[stream_model_at(config, stream->class, place)];
    struct scores_report *report = calloc(1, sizeof *report);
    if (report == NULL)
        return NULL;
    report->stream = stream;
    report->place = place;
    report->class = &config->classes[stream->class];
    report->model = model;
    report->with_forecasts = with_forecasts;
    report->n = scores_steps(model->scored, model->horizon, NULL);
    size_t n = (size_t)report->n, n_targets = (size_t)model->n_targets, n_levels = (size_t)model->n_levels;
    size_t kept = with_forecasts ? n * SCORES_REPORT_FORECASTS : 0;
    report->pooled = calloc(n + 1, sizeof *report->pooled);
    report->targets = calloc(n * n_targets + 1, sizeof *report->targets);
    report->pooled_levels = calloc(n * n_levels + 1, sizeof *report->pooled_levels);
    report->target_levels = calloc(n * n_targets * n_levels + 1, sizeof *report->target_levels);
    report->forecasts = calloc(kept + 1, sizeof *report->forecasts);
    report->mean = calloc(kept * n_targets + 1, sizeof *report->mean);
    report->radii = calloc(kept * n_levels * n_targets + 1, sizeof *report->radii);
    if (report->pooled != NULL && report->targets != NULL && report->pooled_levels != NULL &&
        report->target_levels != NULL && report->forecasts != NULL && report->mean != NULL && report->radii != NULL)
        return report;
    scores_report_free(report);
    return NULL;
}

void scores_report_free(struct scores_report *report) {
    if (report == NULL)
        return;
    free(report->pooled);
    free(report->targets);
    free(report->pooled_levels);
    free(report->target_levels);
    free(report->forecasts);
    free(report->mean);
    free(report->radii);
    free(report);
}

/* ---- on the worker ---------------------------------------------------------------------------- */

/* The latest forecasts for the i-th scored step, the oldest first. */
static void copy_forecasts(struct scores_report *report, const struct scores *scores, int slot, int i) {
    size_t n_targets = (size_t)report->model->n_targets, n_levels = (size_t)report->model->n_levels;
    uint64_t most = (uint64_t)report->pooled[i].h;
    most = most < SCORES_REPORT_FORECASTS ? most : SCORES_REPORT_FORECASTS;
    for (uint64_t made = report->step > most ? report->step - most + 1 : 1; made <= report->step; made++) {
        const double *mean;
        const float *radii;
        if (!scores_kept(scores, slot, i, made, &mean, &radii))
            continue;
        size_t at = (size_t)report->n_forecasts++;
        report->forecasts[at] = (struct scores_report_forecast){report->pooled[i].h, made};
        memcpy(report->mean + at * n_targets, mean, n_targets * sizeof *mean);
        memcpy(report->radii + at * n_levels * n_targets, radii, n_levels * n_targets * sizeof *radii);
    }
}

void scores_report_fill(struct scores_report *report) {
    const struct place *place = &report->stream->places[report->place];
    const struct scores *scores = forecaster_scores(place->batch->forecaster);
    size_t n = (size_t)report->n, n_targets = (size_t)report->model->n_targets;
    size_t n_levels = (size_t)report->model->n_levels;
    report->step = forecaster_seen(place->batch->forecaster, place->slot);
    const struct event_score *labels = forecaster_event_score(place->batch->forecaster, place->slot);
    if (labels != NULL)
        report->labels = *labels;
    if (scores == NULL) /* of a raw head */
        return;
    memcpy(report->pooled, scores_of(scores, place->slot), n * sizeof *report->pooled);
    memcpy(report->pooled_levels, scores_levels(scores, place->slot), n * n_levels * sizeof *report->pooled_levels);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n_targets; j++) {
            size_t at = i * n_targets + j;
            report->targets[at] = *scores_of_target(scores, place->slot, (int)i, (int)j);
            memcpy(report->target_levels + at * n_levels,
                   scores_levels_of_target(scores, place->slot, (int)i, (int)j),
                   n_levels * sizeof *report->target_levels);
        }
        if (report->with_forecasts)
            copy_forecasts(report, scores, place->slot, (int)i);
    }
}

/* ---- the reply -------------------------------------------------------------------------------- */

static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *means_json(const struct score_means *means, const struct score_means *one_ahead,
                          const struct score_level *levels, int n_levels, bool recent) {
    json_t *coverage = json_array(), *width = json_array();
    for (int l = 0; l < n_levels; l++) {
        json_array_append_new(coverage, number(recent ? (double)levels[l].coverage : score_coverage(&levels[l])));
        json_array_append_new(width, number((double)(recent ? levels[l].width : levels[l].width_all)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "mae", number((double)means->mae), "rmse",
                     number(score_rmse(means)), "mase", number(score_mase(means, one_ahead)), "mae_last_value",
                     number((double)means->mae_last_value), "mae_seasonal", number((double)means->mae_seasonal),
                     "skill_last_value", number(score_skill(means->mae, means->mae_last_value)), "skill_seasonal",
                     number(score_skill(means->mae, means->mae_seasonal)), "pinball", number((double)means->pinball),
                     "coverage", coverage, "width", width);
}

/* first: of the same, one step ahead. */
static json_t *score_json(const struct score *score, const struct score *first, const struct score_level *levels,
                          int n_levels) {
    return json_pack("{s:i, s:I, s:o, s:o}", "h", score->h, "n", (json_int_t)score->n, "recent",
                     means_json(&score->recent, &first->recent, levels, n_levels, true), "all",
                     means_json(&score->all, &first->all, levels, n_levels, false));
}

static const char *target_name(const struct scores_report *report, int j) {
    return report->class->features[report->model->targets[j]];
}

static json_t *forecast_json(const struct scores_report *report, int at) {
    int n_targets = report->model->n_targets, n_levels = report->model->n_levels;
    const double *mean = report->mean + at * n_targets;
    json_t *means = json_array(), *intervals = json_array();
    for (int j = 0; j < n_targets; j++)
        json_array_append_new(means, number(mean[j]));
    for (int l = 0; l < n_levels; l++) {
        const float *radii = report->radii + (at * n_levels + l) * n_targets;
        json_t *lower = json_array(), *upper = json_array();
        for (int j = 0; j < n_targets; j++) {
            json_array_append_new(lower, number(mean[j] - (double)radii[j]));
            json_array_append_new(upper, number(mean[j] + (double)radii[j]));
        }
        json_array_append_new(intervals, json_pack("[f, o, o]", report->model->levels[l], lower, upper));
    }
    return json_pack("{s:i, s:I, s:o, s:o}", "h", report->forecasts[at].h, "step",
                     (json_int_t)report->forecasts[at].made, "mean", means, "intervals", intervals);
}

static json_t *labels_json(const struct event_score *labels) {
    const struct event_means none = {NAN, NAN};
    const struct event_means *recent = labels->n > 0 ? &labels->recent : &none;
    const struct event_means *all = labels->n > 0 ? &labels->all : &none;
    return json_pack("{s:I, s:{s:o, s:o}, s:{s:o, s:o}}", "n", (json_int_t)labels->n, "recent", "accuracy",
                     number(recent->accuracy), "brier", number(recent->brier), "all", "accuracy",
                     number(all->accuracy), "brier", number(all->brier));
}

json_t *scores_report_json(const struct scores_report *report) {
    int n_targets = report->model->n_targets, n_levels = report->model->n_levels;
    json_t *levels = json_array(), *scores = json_array(), *targets = json_object();
    for (int l = 0; l < n_levels; l++)
        json_array_append_new(levels, json_real(report->model->levels[l]));
    for (int i = 0; i < report->n; i++)
        json_array_append_new(
            scores, score_json(&report->pooled[i], report->pooled, report->pooled_levels + i * n_levels, n_levels));
    for (int j = 0; j < n_targets; j++) {
        json_t *own = json_array();
        for (int i = 0; i < report->n; i++) {
            int at = i * n_targets + j;
            json_array_append_new(own, score_json(&report->targets[at], &report->targets[j],
                                                  report->target_levels + at * n_levels, n_levels));
        }
        json_object_set_new(targets, target_name(report, j), own);
    }
    json_t *reply = json_pack("{s:b, s:s, s:s, s:I, s:o, s:o, s:o}", "ok", 1, "stream", report->stream->name, "model",
                              report->model->name, "step", (json_int_t)report->step, "levels", levels, "scores",
                              scores, "targets", targets);
    if (report->model->head == HEAD_EVENT)
        json_object_set_new(reply, "labels", labels_json(&report->labels));
    if (!report->with_forecasts)
        return reply;
    json_t *forecasts = json_array();
    for (int at = 0; at < report->n_forecasts; at++)
        json_array_append_new(forecasts, forecast_json(report, at));
    json_object_set_new(reply, "forecasts", forecasts);
    return reply;
}
