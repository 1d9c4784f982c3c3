/*
 * When a stream's forecasts are to be told of: alerts, that a value will probably lie beyond a bound, and verdicts,
 * that forecasts have become worse. Pure functions.
 */
#ifndef ENGINE_ALERTS_H
#define ENGINE_ALERTS_H

#include "engine/config.h"
#include "engine/forecaster.h"

#include <stdbool.h>

/* An alert ends where its probability is below this share of what raises it. */
#define ALERTS_RELEASE 0.8

/* The probability that a value lies above mean + beyond, where intervals of half-widths radii [n] around the mean
 * hold what a normal distribution holds within z [n] deviations (ascending): between their ends, and behind the last,
 * the value is linear in the deviation; what an interval without a width holds is at the mean. NaN where a half-width
 * is not known, or there is none. */
double alerts_exceedance(double beyond, const double *radii, const double *z, int n);

/* The largest probability within the steps of an alert that its target lies beyond its bound, and (ret_h) how many
 * steps ahead; z [n_levels] of the model's levels. NaN where it is not known. */
double alerts_probability(const struct config_model *model, const struct config_alert *alert,
                          const struct forecast *forecast, const double *z, int *ret_h);

/* Whether an alert that was raised, or not, is raised now. What is not known changes nothing. */
bool alerts_raised(const struct config_alert *alert, bool raised, double probability);

/* Whether the scores [n] of a stream's forecasts say that they have become worse, given what was said before. Errors
 * are summed over the steps ahead that have VERDICT_LEAST answers. Worse than ever: the recent ones by half more than
 * those of all time, until they are within a fifth; worse than the last value: by a tenth, until they are not. */
enum { VERDICT_LEAST = 200 };
enum verdict alerts_verdict(enum verdict before, const struct score *scores, int n);

#endif
