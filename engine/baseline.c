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

double baseline_forecast(enum baseline baseline, const struct history *history, uint64_t step, int feature, int h,
                         int period) {
    if (baseline == BASELINE_SEASONAL) {
        double seasonal = baseline_seasonal(history, step, feature, h, period);
        if (!isnan(seasonal))
            return seasonal;
    }
    return baseline_last_value(history, step, feature);
}
