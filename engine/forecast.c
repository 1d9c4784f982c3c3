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

/* Where the half-widths h steps ahead are: [n_targets] at the scored step before and at the one that is not before
 * it, and how far from the one to the other. */
struct between {
    const float *from, *to;
    double share;
};

static struct between radii_at(const struct config_model *model, const struct forecast *forecast, int level, int h) {
    assert(h >= 1 && h <= model->horizon && level < model->n_levels);
    int n = forecast->n_scores, i = scored_from(model, n, h), after = forecast->scores[i].h;
    const float *to = forecast->radii + (level * n + i) * model->n_targets;
    if (after == h)
        return (struct between){to, to, 0};
    int before = forecast->scores[i - 1].h;
    return (struct between){to - model->n_targets, to, (double)(h - before) / (after - before)};
}

static double radius_of(const struct between *at, int target) {
    double from = (double)at->from[target];
    return from + ((double)at->to[target] - from) * at->share;
}

double forecast_radius(const struct config_model *model, const struct forecast *forecast, int level, int h,
                       int target) {
    struct between at = radii_at(model, forecast, level, h);
    return radius_of(&at, target);
}

void forecast_intervals(const struct config_model *model, const struct forecast *forecast, double *lower,
                        double *upper) {
    for (int l = 0; l < model->n_levels; l++)
        for (int h = 1; h <= model->horizon; h++) {
            struct between at = radii_at(model, forecast, l, h);
            const double *mean = forecast->mean + (h - 1) * model->n_targets;
            for (int j = 0; j < model->n_targets; j++) {
                double radius = radius_of(&at, j);
                *lower++ = mean[j] - radius;
                *upper++ = mean[j] + radius;
            }
        }
}
