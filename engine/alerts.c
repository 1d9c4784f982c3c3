#include "engine/alerts.h"

#include <math.h>

/* How many deviations of the normal distribution a distance from the mean is, at least; z and radii as
 * alerts_exceedance has them. What lies within an interval without a width is the mean itself. */
static double deviations_of(double distance, const double *radii, const double *z, int n) {
    double at = 0, at_z = 0, slope = INFINITY;
    for (int l = 0; l < n; l++) {
        if (radii[l] > at) {
            slope = (z[l] - at_z) / (radii[l] - at);
            if (distance <= radii[l])
                return at_z + slope * (distance - at);
        }
        at = radii[l];
        at_z = z[l];
    }
    return distance > at ? at_z + slope * (distance - at) : at_z;
}

double alerts_exceedance(double beyond, const double *radii, const double *z, int n) {
    for (int l = 0; l < n; l++)
        if (isnan(radii[l]))
            return NAN;
    if (n == 0 || isnan(beyond))
        return NAN;
    double deviations = deviations_of(fabs(beyond), radii, z, n);
    return 0.5 * erfc((beyond >= 0 ? deviations : -deviations) * M_SQRT1_2);
}

static int steps_of(const struct config_model *model, const struct config_alert *alert,
                    const struct forecast *forecast) {
    int steps = alert->steps < model->horizon ? alert->steps : model->horizon;
    if (alert->time == 0)
        return steps;
    /* Of irregular steps the times tell, at the mean interval. */
    int n = 0;
    while (forecast->times != NULL && n < steps && forecast->times[n] - forecast->t <= alert->time)
        n++;
    return n;
}

double alerts_probability(const struct config_model *model, const struct config_alert *alert,
                          const struct forecast *forecast, const double *z, int *ret_h) {
    double most = NAN, radii[CONFIG_MAX_LEVELS];
    int steps = steps_of(model, alert, forecast);
    bool above = !isnan(alert->above);
    *ret_h = 0;
    for (int h = 1; h <= steps; h++) {
        double mean = forecast->mean[(h - 1) * model->n_targets + alert->target];
        for (int l = 0; l < model->n_levels; l++)
            radii[l] = forecast_radius(model, forecast, l, h, alert->target);
        double beyond = above ? alert->above - mean : mean - alert->below;
        double probability = alerts_exceedance(beyond, radii, z, model->n_levels);
        if (isnan(probability) || probability <= most)
            continue;
        most = probability;
        *ret_h = h;
    }
    return most;
}

bool alerts_raised(const struct config_alert *alert, bool raised, double probability) {
    if (isnan(probability))
        return raised;
    return probability >= (raised ? ALERTS_RELEASE * alert->probability : alert->probability);
}

enum verdict alerts_verdict(enum verdict before, const struct score *scores, int n) {
    double recent = 0, all = 0, last_value = 0;
    for (int i = 0; i < n; i++) {
        if (scores[i].n < VERDICT_LEAST)
            continue;
        recent += (double)scores[i].recent.mae;
        all += (double)scores[i].all.mae;
        last_value += (double)scores[i].recent.mae_last_value;
    }
    if (!(recent > 0)) /* nothing to judge by; or not known */
        return isnan(recent) ? before : VERDICT_GOOD;
    if (recent > (before == VERDICT_WORSE_THAN_LAST_VALUE ? 1.0 : 1.1) * last_value)
        return VERDICT_WORSE_THAN_LAST_VALUE;
    if (recent > (before == VERDICT_WORSE_THAN_EVER ? 1.2 : 1.5) * all)
        return VERDICT_WORSE_THAN_EVER;
    return VERDICT_GOOD;
}
