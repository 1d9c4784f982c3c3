/*
 * The distributions that a head can forecast, by what a network puts out for one answer, [DISTRIBUTION_WIDTH_MAX]
 * numbers or fewer: the location, the scale before softplus, and of Student's t the degrees of freedom before
 * softplus. Pure functions.
 *
 *     sigma = softplus(s) + 0.001        nu = 2 + softplus(n), so that it has a variance
 *
 * Softplus rather than exp: an outlier moves it by a bounded step. The floor, in units of the scaled targets, keeps
 * the likelihood of a constant stretch finite.
 */
#ifndef ENGINE_DISTRIBUTION_H
#define ENGINE_DISTRIBUTION_H

enum distribution { DISTRIBUTION_GAUSSIAN, DISTRIBUTION_STUDENT_T };

enum { DISTRIBUTION_WIDTH_MAX = 3 };

/* The negative logarithm of the density at an answer; ret_slopes: by each of the numbers, [2] or [3]. */
double distribution_loss(enum distribution distribution, const double *raw, double answer, double *ret_slopes);

/* sigma, and nu of Student's t. */
double distribution_scale(const double *raw);
double distribution_freedom(const double *raw);

/* What is below it with probability p, 0 < p < 1, of the standard distributions. The normal one is exact to 1e-12;
 * Student's, for nu >= 2, to 0.2 % of itself, from 2.5 on to 0.004 % (Hill, 1970). */
double normal_quantile(double p);
double student_t_quantile(double nu, double p);

#endif
