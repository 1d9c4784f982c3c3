#include "engine/period.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* Less support than this is none; nor is less than so much over the root of the number of steps, or of that of
 * seasons, as noise gives that much, and noise that lasts. */
static const double least_support = 0.15, noise_of_steps = 4, noise_of_seasons = 1.2;
/* Nor is there any where a series without its trend moves by no more than so many ranks: that is how ties fall and
 * how sums are rounded, which has periods of its own. */
static const double least_ranks = 2;
/* Somewhere between half a season and a whole one the autocorrelation falls to less than this share of that at the
 * whole; that of a bend falls slowly all the way. */
static const double dip_share = 0.5;
/* A hint needs this share of the greatest support, and this one of the greatest in its neighbourhood. */
static const double hint_share = 0.5, hint_neighbours = 0.9;
/* The shortest period with this share of the greatest support is the season: the others are its multiples. */
static const double shortest_share = 0.8;

struct ranked {
    double value;
    int at;
};

static int by_value(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* The ranks of one series as numbers from -1 to 1, equal values alike. Returns false where all values are the
 * same. */
static bool rank_series(const double *values, int n, int stride, struct ranked *work, double *ret_ranks) {
    double last = NAN;
    for (int i = 0; i < n; i++) {
        double value = values[(size_t)i * (size_t)stride];
        last = isnan(value) ? last : value;
        work[i] = (struct ranked){last, i};
    }
    for (int i = n - 1; i >= 0; i--) { /* before the first value: that one */
        if (isnan(work[i].value))
            work[i].value = i + 1 < n ? work[i + 1].value : 0;
    }
    qsort(work, (size_t)n, sizeof *work, by_value);
    for (int first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && work[end].value <= work[first].value; end++)
            ;
        for (int i = first; i < end; i++)
            ret_ranks[work[i].at] = (double)(first + end - 1) / (double)(n - 1) - 1;
    }
    return work[0].value < work[n - 1].value;
}

/* x less its centred moving mean of p steps, where that is whole: [*ret_n]. sums [n + 1] are x's running sums. */
static void take_trend_away(const double *x, const double *sums, int n, int p, double *ret_rest, int *ret_n) {
    int half = p / 2, m = 0;
    for (int i = half; i + half < n; i++) {
        /* Of an even number of steps the two at the ends count half. */
        double whole = sums[i + half + 1] - sums[i - half];
        double mean = p % 2 == 1 ? whole / p : (whole - 0.5 * (x[i - half] + x[i + half])) / p;
        ret_rest[m++] = x[i] - mean;
    }
    *ret_n = m;
}

static double autocorrelation(const double *x, int n, int lag, double squares) {
    double sum = 0;
    for (int i = lag; i < n; i++)
        sum += x[i] * x[i - lag];
    return sum / squares * (double)n / (double)(n - lag);
}

static bool dips(const double *x, int n, int p, double squares, double whole) {
    for (int eighths = 4; eighths < 8; eighths++)
        if (autocorrelation(x, n, eighths * p / 8, squares) < dip_share * whole)
            return true;
    return false;
}

static double support_of(const double *x, const double *sums, int n, int p, double *rest) {
    int m;
    double squares = 0;
    take_trend_away(x, sums, n, p, rest, &m);
    for (int i = 0; i < m; i++)
        squares += rest[i] * rest[i];
    double least = least_ranks * 2 / (n - 1); /* ranks are spread from -1 to 1 */
    if (m <= 2 * p || squares <= m * least * least)
        return 0;
    /* Both: what comes again once but not twice is no season. */
    double once = autocorrelation(rest, m, p, squares), twice = autocorrelation(rest, m, 2 * p, squares);
    double support = fmin(once, 0.5 * (once + twice));
    return support < least_support || dips(rest, m, p, squares, once) ? support : 0;
}

static void add_series(const double *ranks, int n, int longest, double *sums, double *rest, double *support) {
    sums[0] = 0;
    for (int i = 0; i < n; i++)
        sums[i + 1] = sums[i] + ranks[i];
    for (int p = 2; p <= longest; p++)
        support[p] += support_of(ranks, sums, n, p, rest);
}

static double best_between(const double *support, int from, int to) {
    double best = 0;
    for (int p = from; p <= to; p++)
        best = fmax(best, support[p]);
    return best;
}

/* The greatest support in the neighbourhood of p, an eighth either way. */
static double best_near(const double *support, int longest, int p) {
    int near = p / 8 > 1 ? p / 8 : 1;
    return best_between(support, p - near > 2 ? p - near : 2, p + near < longest ? p + near : longest);
}

/* Periods with too little support have none from here on. */
static void drop_noise(double *support, int n, int longest) {
    for (int p = 2; p <= longest; p++)
        if (support[p] < least_support || support[p] < noise_of_steps / sqrt(n) ||
            support[p] < noise_of_seasons / sqrt((double)n / p))
            support[p] = 0;
}

static struct period choose(const double *support, int longest, const int *hints, int n_hints) {
    double best = best_between(support, 2, longest);
    if (!(best > 0))
        return (struct period){0};
    for (int i = 0; i < n_hints; i++) {
        int p = hints[i];
        if (p < 2 || p > longest || support[p] < hint_share * best)
            continue;
        if (support[p] >= hint_neighbours * best_near(support, longest, p))
            return (struct period){p, support[p]};
    }
    for (int p = 2; p <= longest; p++)
        if (support[p] >= shortest_share * best && support[p] >= best_near(support, longest, p))
            return (struct period){p, support[p]};
    return (struct period){0};
}

int period_find(const double *values, int n, int n_series, const int *hints, int n_hints, struct period *ret) {
    if (n > PERIOD_STEPS) {
        values += (size_t)(n - PERIOD_STEPS) * (size_t)n_series;
        n = PERIOD_STEPS;
    }
    int longest = n / 3 < PERIOD_MAX ? n / 3 : PERIOD_MAX, used = 0, failed = -1;
    *ret = (struct period){0};
    if (longest < 2)
        return 0;
    double *ranks = malloc((size_t)n * sizeof *ranks), *rest = malloc((size_t)n * sizeof *rest);
    double *sums = malloc(((size_t)n + 1) * sizeof *sums), *support = calloc((size_t)longest + 1, sizeof *support);
    struct ranked *work = malloc((size_t)n * sizeof *work);
    if (ranks == NULL || rest == NULL || sums == NULL || support == NULL || work == NULL)
        goto out;
    int looked = n_series < PERIOD_SERIES ? n_series : PERIOD_SERIES;
    for (int i = 0; i < looked; i++) {
        int series = (int)((long)i * n_series / looked);
        if (!rank_series(values + series, n, n_series, work, ranks))
            continue;
        add_series(ranks, n, longest, sums, rest, support);
        used++;
    }
    for (int p = 0; p <= longest && used > 0; p++)
        support[p] /= used;
    drop_noise(support, n, longest);
    *ret = choose(support, longest, hints, n_hints);
    failed = 0;
out:
    free(ranks);
    free(rest);
    free(sums);
    free(support);
    free(work);
    return failed;
}
