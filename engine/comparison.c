#include "engine/comparison.h"

#include <math.h>
#include <string.h>

enum { FEWEST_BLOCKS = 8 };

/* ---- a series of losses ----------------------------------------------------------------------- */

/* Blocks twice as long. */
static void coarsen(struct loss_series *series) {
    for (int i = 0; i < LOSS_BLOCKS / 2; i++) {
        series->loss[i] = series->loss[2 * i] + series->loss[2 * i + 1];
        series->weight[i] = series->weight[2 * i] + series->weight[2 * i + 1];
    }
    memset(series->loss + LOSS_BLOCKS / 2, 0, sizeof series->loss / 2);
    memset(series->weight + LOSS_BLOCKS / 2, 0, sizeof series->weight / 2);
    series->n = (series->n + 1) / 2;
    series->doublings++;
}

void loss_series_add(struct loss_series *series, uint64_t step, double loss, double weight) {
    while (step >> series->doublings >= LOSS_BLOCKS)
        coarsen(series);
    int block = (int)(step >> series->doublings);
    series->loss[block] += isnan(loss) ? INFINITY : loss;
    series->weight[block] += weight;
    series->n = block + 1 > series->n ? block + 1 : series->n;
}

void loss_series_merge(struct loss_series *series, const struct loss_series *other) {
    struct loss_series finer = *other;
    while (finer.doublings < series->doublings)
        coarsen(&finer);
    while (series->doublings < finer.doublings)
        coarsen(series);
    for (int i = 0; i < finer.n; i++) {
        series->loss[i] += finer.loss[i];
        series->weight[i] += finer.weight[i];
    }
    series->n = finer.n > series->n ? finer.n : series->n;
}

double loss_series_weight(const struct loss_series *series) {
    double weight = 0;
    for (int i = 0; i < series->n; i++)
        weight += series->weight[i];
    return weight;
}

uint64_t loss_series_steps(const struct loss_series *series) {
    return (uint64_t)series->n << series->doublings;
}

double loss_series_mean(const struct loss_series *series) {
    double loss = 0, weight = loss_series_weight(series);
    for (int i = 0; i < series->n; i++)
        loss += series->loss[i];
    return weight > 0 ? loss / weight : NAN;
}

/* ---- the test ----------------------------------------------------------------------------------- */

/* The continued fraction of the incomplete beta function, by Lentz's method (Numerical Recipes, 6.4; DLMF
 * 8.17.22). */
static double beta_fraction(double a, double b, double x) {
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double fraction = d;
    for (int m = 1; m < 300; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        const double terms[] = {even, odd};
        double change = 1;
        for (int i = 0; i < 2; i++) {
            d = 1 + terms[i] * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + terms[i] / c;
            c = fabs(c) < tiny ? tiny : c;
            change = c * d;
            fraction *= change;
        }
        if (fabs(change - 1) < 1e-15)
            break;
    }
    return fraction;
}

/* P(T > t) of Student's t with so many degrees of freedom: half the regularised incomplete beta function at
 * freedom / (freedom + t^2) for t > 0 (DLMF 8.17). */
static double upper_tail(double t, double freedom) {
    double x = freedom / (freedom + t * t), a = freedom / 2, b = 0.5;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    double two_sided = x >= 1                      ? 1
                       : x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                                   : 1 - front * beta_fraction(b, a, 1 - x) / b;
    return t > 0 ? two_sided / 2 : 1 - two_sided / 2;
}

/* The variance of the mean of d[n], times n: autocovariances up to `lags`, with Bartlett's weights (Newey and
 * West). */
static double long_run_variance(const double *d, int n, double mean, int lags) {
    double sum = 0;
    for (int lag = 0; lag <= lags; lag++) {
        double covariance = 0;
        for (int i = lag; i < n; i++)
            covariance += (d[i] - mean) * (d[i - lag] - mean);
        covariance /= n;
        sum += lag == 0 ? covariance : 2 * (1 - lag / (lags + 1.0)) * covariance;
    }
    return sum;
}

/* Diebold and Mariano's statistic of the differences d[n], as Harvey, Leybourne and Newbold correct it. */
static void test(struct comparison *result, const double *d, int n, int overlap) {
    double mean = 0;
    for (int i = 0; i < n; i++)
        mean += d[i];
    mean /= n;
    double variance = long_run_variance(d, n, mean, overlap - 1);
    double correction = (n + 1 - 2 * overlap + overlap * (overlap - 1.0) / n) / n;
    if (variance > 0)
        result->statistic = mean / sqrt(variance / n) * sqrt(correction);
    else /* always the same difference */
        result->statistic = mean > 0 ? INFINITY : mean < 0 ? -INFINITY : 0;
    result->p = isinf(result->statistic) ? (mean > 0 ? 0 : 1) : upper_tail(result->statistic, n - 1);
}

struct comparison comparison_of(const struct loss_series *first, const struct loss_series *second, int horizon) {
    struct loss_series a = *first, b = *second;
    struct comparison result = {.p = NAN, .statistic = NAN};
    while (a.doublings < b.doublings)
        coarsen(&a);
    while (b.doublings < a.doublings)
        coarsen(&b);
    double d[LOSS_BLOCKS];
    int complete = a.n < b.n ? a.n : b.n;
    complete -= a.doublings > 0; /* the last one of several steps may not be */
    for (int i = 0; i < complete; i++)
        if (a.weight[i] > 0 && b.weight[i] > 0)
            d[result.n++] = b.loss[i] / b.weight[i] - a.loss[i] / a.weight[i];
    result.gain = 1 - loss_series_mean(&a) / loss_series_mean(&b);
    int steps = a.doublings < 20 ? 1 << a.doublings : 1 << 20;
    int overlap = (horizon - 1 + steps - 1) / steps + 1; /* blocks that share an answer */
    if (!isfinite(result.gain) || result.n < FEWEST_BLOCKS || result.n < 2 * overlap)
        return result;
    test(&result, d, result.n, overlap);
    return result;
}
