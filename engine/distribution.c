#include "engine/distribution.h"

#include <math.h>

static const double pi = 3.14159265358979323846;
static const double least_scale = 1e-3;
/* Beyond it Student's t is a Gaussian, and differences of lgamma are rounding. */
static const double most_freedom = 1e4;

static double softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double sigmoid(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

double distribution_scale(const double *raw) {
    return softplus(raw[1]) + least_scale;
}

double distribution_freedom(const double *raw) {
    return 2 + softplus(fmin(raw[2], most_freedom));
}

/* ---- likelihood --------------------------------------------------------------------------------- */

static double gaussian_loss(const double *raw, double answer, double *ret_slopes) {
    double scale = distribution_scale(raw), z = (answer - raw[0]) / scale;
    ret_slopes[0] = -z / scale;
    ret_slopes[1] = (1 - z * z) / scale * sigmoid(raw[1]);
    return 0.5 * log(2 * pi) + log(scale) + 0.5 * z * z;
}

/* The logarithmic derivative of the gamma function, x > 0: up to 10 by its recurrence, then its asymptotic series
 * (Abramowitz and Stegun, 6.3.5 and 6.3.18). */
static double digamma(double x) {
    double sum = 0;
    for (; x < 10; x++)
        sum -= 1 / x;
    double z = 1 / (x * x);
    return sum + log(x) - 0.5 / x -
           z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132)))));
}

static double student_t_loss(const double *raw, double answer, double *ret_slopes) {
    double scale = distribution_scale(raw), nu = distribution_freedom(raw), z = (answer - raw[0]) / scale,
           square = z * z;
    double slope = (nu + 1) * z / (nu + square), tail = log1p(square / nu);
    int sign;
    ret_slopes[0] = -slope / scale;
    ret_slopes[1] = (1 - z * slope) / scale * sigmoid(raw[1]);
    ret_slopes[2] =
        0.5 * (digamma(nu / 2) - digamma((nu + 1) / 2) + 1 / nu + tail - z * slope / nu) * sigmoid(raw[2]);
    if (raw[2] > most_freedom)
        ret_slopes[2] = 0;
    return lgamma_r(nu / 2, &sign) - lgamma_r((nu + 1) / 2, &sign) + 0.5 * log(pi * nu) + log(scale) +
           0.5 * (nu + 1) * tail;
}

double distribution_loss(enum distribution distribution, const double *raw, double answer, double *ret_slopes) {
    return distribution == DISTRIBUTION_GAUSSIAN ? gaussian_loss(raw, answer, ret_slopes)
                                                 : student_t_loss(raw, answer, ret_slopes);
}

/* ---- quantiles ---------------------------------------------------------------------------------- */

/* Of the lower half: a rational function that is right to 4.5e-4 (Abramowitz and Stegun, 26.2.23), made better by two
 * steps of Halley's. */
double normal_quantile(double p) {
    if (p > 0.5)
        return -normal_quantile(1 - p);
    double t = sqrt(-2 * log(p));
    double x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
    for (int i = 0; i < 2; i++) {
        double off = (0.5 * erfc(-x / sqrt(2)) - p) * sqrt(2 * pi) * exp(0.5 * x * x);
        x -= off / (1 + 0.5 * x * off);
    }
    return x;
}

/* Of the lower half, by Hill's expansions (Communications of the ACM 13, algorithm 396, 1970): one about the normal
 * quantile, one for far tails. */
double student_t_quantile(double nu, double p) {
    if (p > 0.5)
        return -student_t_quantile(nu, 1 - p);
    double a = 1 / (nu - 0.5), b = 48 / (a * a), c = ((20700 * a / b - 98) * a - 16) * a + 96.36;
    double d = ((94.5 / (b + c) - 3) / b + 1) * sqrt(a * pi / 2) * nu;
    double y = pow(2 * p * d, 2 / nu);
    if (y > 0.05 + a) {
        double x = normal_quantile(p), square = x * x;
        if (nu < 5)
            c += 0.3 * (nu - 4.5) * (x + 0.6);
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b;
        y = (((((0.4 * square + 6.3) * square + 36) * square + 94.5) / c - square - 3) / b + 1) * x;
        y = expm1(a * y * y);
    } else {
        y = ((1 / (((nu + 6) / (nu * y) - 0.089 * d - 0.822) * (nu + 2) * 3) + 0.5 / (nu + 4)) * y - 1) * (nu + 1) /
                (nu + 2) +
            1 / y;
    }
    return -sqrt(nu * y);
}
