#include "engine/past.h"

#include <math.h>

static const double decays[PAST_AVERAGES] = {.7, .9, .97};

size_t past_doubles(int n, int period) {
    return (size_t)n * (period > 0 ? 2 + PAST_AVERAGES : 2) + 1;
}

void past_place(struct past *past, int n, int period, double *memory) {
    *past = (struct past){.n = n, .period = period, .values = memory, .sums = memory + n};
    for (int d = 0; d < PAST_AVERAGES && period > 0; d++)
        past->average[d] = memory + (size_t)n * (size_t)(2 + d) + 1;
}

double past_bounded(const struct past_range *range, double value) {
    return fmax(range->low, fmin(range->high, value));
}

static bool copy(struct past *past, const struct history *history, uint64_t step, int feature) {
    int held = (int)history_reach(history, step);
    double latest = history_values(history, step)[feature];
    if (!isfinite(latest))
        return false;
    for (int k = 0; k < past->n; k++) {
        double value = k < held ? history_values(history, step - (uint64_t)k)[feature] : NAN;
        latest = isfinite(value) ? value : latest;
        past->values[k] = latest;
    }
    return true;
}

static void find_range(struct past *past, double unit) {
    int n = past->n < PAST_RANGE_STEPS ? past->n : PAST_RANGE_STEPS;
    double mean = 0, deviation = 0;
    past->least = past->most = past->values[0];
    for (int k = 0; k < n; k++) {
        mean += past->values[k] / n;
        past->least = fmin(past->least, past->values[k]);
        past->most = fmax(past->most, past->values[k]);
    }
    for (int k = 0; k < n; k++)
        deviation += fabs(past->values[k] - mean) / n;
    double half = fmax(PAST_WIDTH * deviation, PAST_UNITS * unit);
    past->range = (struct past_range){mean - half, mean + half};
}

/* Each is a mean of the bounded values at its offset and whole periods before, each weighing `decay` of the one
 * behind it; from the oldest on, where the mean a period before has them all but its own. */
static void average(struct past *past, double decay, double *of) {
    double weights = 0; /* of all that a mean is made of */
    for (int end = past->n; end > 0; end -= past->period) {
        weights = 1 + decay * weights;
        for (int k = end - 1; k >= 0 && k >= end - past->period; k--) {
            double value = past_bounded(&past->range, past->values[k]);
            double before = k + past->period < past->n ? of[k + past->period] : value;
            of[k] = before + (value - before) / weights;
        }
    }
}

bool past_load(struct past *past, const struct history *history, uint64_t step, int feature, double unit) {
    past->range = (struct past_range){NAN, NAN};
    if (!copy(past, history, step, feature))
        return false;
    find_range(past, unit);
    past->sums[0] = 0;
    for (int k = 0; k < past->n; k++)
        past->sums[k + 1] = past->sums[k] + past_bounded(&past->range, past->values[k]);
    for (int d = 0; d < PAST_AVERAGES && past->period > 0; d++)
        average(past, decays[d], past->average[d]);
    return true;
}

double past_mean(const struct past *past, int offset, int n) {
    return (past->sums[offset + n] - past->sums[offset]) / n;
}
