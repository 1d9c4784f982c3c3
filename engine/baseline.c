#include "engine/baseline.h"

#include <assert.h>
#include <math.h>

double baseline_last_value(const struct history *history, uint64_t step, int feature) {
    if (step < history_oldest(history) || step > history->n)
        return NAN;
    return history_values(history, step)[feature];
}

double baseline_seasonal(const struct history *history, uint64_t step, int feature, int h, int period) {
    assert(h >= 1);
    if (period == 0)
        return NAN;
    uint64_t seasons = ((uint64_t)h + (uint64_t)period - 1) / (uint64_t)period;
    uint64_t back = seasons * (uint64_t)period;
    if (step + (uint64_t)h <= back)
        return NAN;
    return history_observed(history, step + (uint64_t)h - back, feature);
}

/* The steps that the slope reaches back: what the history keeps of a step, not what it holds at this moment. */
static int drift_steps(const struct history *history, uint64_t step, int feature, int period) {
    uint64_t most = history_reach(history, step) - 1;
    uint64_t back = period > BASELINE_DRIFT_STEPS ? (uint64_t)period : BASELINE_DRIFT_STEPS;
    for (back = back < most ? back : most; back > 0; back /= 2) {
        if (period > 0 && back > (uint64_t)period)
            back -= back % (uint64_t)period;
        if (!isnan(history_values(history, step - back)[feature]))
            break;
    }
    return (int)back;
}

void baseline_drift(const struct history *history, uint64_t step, int feature, int horizon, int period, int stride,
                    double *mean) {
    double last = baseline_last_value(history, step, feature), slope = 0, damping = 0, ahead = 0, share = 1;
    int back = isnan(last) ? 0 : drift_steps(history, step, feature, period);
    if (back > 0) {
        slope = (last - history_values(history, step - (uint64_t)back)[feature]) / back;
        damping = 1.0 - 1.0 / back;
    }
    for (int h = 0; h < horizon; h++, share *= damping) {
        ahead += share;
        mean[h * stride] = back > 0 ? last + slope * ahead : last;
    }
}

double baseline_forecast(enum baseline baseline, const struct history *history, uint64_t step, int feature, int h,
                         int period) {
    if (baseline == BASELINE_SEASONAL) {
        double seasonal = baseline_seasonal(history, step, feature, h, period);
        if (!isnan(seasonal))
            return seasonal;
    }
    return baseline_last_value(history, step, feature);
}
