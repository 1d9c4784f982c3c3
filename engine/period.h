/*
 * The season of a series, found from the series alone. A pure function.
 *
 * For each period p the series is made free of trend by taking away its centred moving mean of p steps (the first
 * step of classical decomposition; Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3.4), and p's
 * support is the mean autocorrelation of the rest at the lags p and 2 p: 1 where each season is like the one before,
 * about 0 for noise and for random walks. A ramp has none: what the moving mean leaves of it is rounding, or where it
 * bends a slope along which the autocorrelation falls without a dip before p. Values count by their ranks, so that
 * bursts weigh no more than any other value.
 */
#ifndef ENGINE_PERIOD_H
#define ENGINE_PERIOD_H

enum {
    PERIOD_MAX = 2048,    /* the longest that is looked for */
    PERIOD_STEPS = 16384, /* the newest steps that are looked at */
    PERIOD_SERIES = 8,    /* of more series that many are looked at, spread over all */
};

struct period {
    int period;     /* 0: none */
    double support; /* of that period, mean over the series; 0 where there is none */
};

/*
 * values [n x n_series]; NaN: missing, then the value before stands in. hints [n_hints]: periods that the clock
 * suggests, the preferred one first: one that is supported well enough is taken even where another has somewhat more
 * support. Otherwise the shortest with nearly the most support is. At least three seasons are needed to see one.
 * Returns -1 where memory is short.
 */
int period_find(const double *values, int n, int n_series, const int *hints, int n_hints, struct period *ret);

#endif
