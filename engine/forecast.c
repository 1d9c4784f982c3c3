/* What can be said of a forecast. */
#include "engine/forecaster.h"

#include <assert.h>

/* The first scored step that is not before h, by its index. */
static int scored_from(const struct config_model *model, int n, int h) {
    if (model->scored == SCORED_ALL || h == 1)
        return h - 1;
    int power = 32 - __builtin_clz((unsigned)h - 1); /* 2^power is h or the next one */
    return power < n ? power : n - 1;
}

double forecast_radius(const struct config_model *model, const struct forecast *forecast, int level, int h,
                       int target) {
    assert(h >= 1 && h <= model->horizon && level < model->n_levels);
    int n = forecast->n_scores, i = scored_from(model, n, h);
    const float *radii = forecast->radii + (level * n + i) * model->n_targets + target;
    int after = forecast->scores[i].h;
    if (after == h)
        return (double)*radii;
    double from = (double)*(radii - model->n_targets);
    int before = forecast->scores[i - 1].h;
    return from + ((double)*radii - from) * (h - before) / (after - before);
}

void forecast_intervals(const struct config_model *model, const struct forecast *forecast, double *lower,
                        double *upper) {
    for (int l = 0; l < model->n_levels; l++)
        for (int h = 1; h <= model->horizon; h++)
            for (int j = 0; j < model->n_targets; j++) {
                double mean = forecast->mean[(h - 1) * model->n_targets + j];
                double radius = forecast_radius(model, forecast, l, h, j);
                *lower++ = mean - radius;
                *upper++ = mean + radius;
            }
}
