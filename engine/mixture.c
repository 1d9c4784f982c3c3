#include "engine/mixture.h"

#include <math.h>

static float bounded(float x, float most) {
    return fmaxf(-most, fminf(most, x));
}

/* Wintenberger's learning rate: 1 over the largest regret at first, later by the sum of squares. */
static float learning_rate(const struct mixture_record *record, int n) {
    if (!(record->squares > 0) || !(record->range > 0))
        return 0;
    return fminf(1 / record->range, sqrtf(logf((float)n + 1) / record->squares));
}

void mixture_learn(struct mixture_record *records, int n, const float *forecasts, float mixed, float answer) {
    float error = bounded(mixed - answer, MIXTURE_CLIP);
    const float kept = 1.0f - 1.0f / MIXTURE_MEMORY;
    for (int k = 0; k < n; k++) {
        struct mixture_record *record = &records[k];
        if (isnan(forecasts[k]))
            continue;
        float off = bounded(forecasts[k] - answer, MIXTURE_CLIP);
        float regret = 2 * error * (error - off);
        record->squares = kept * record->squares + regret * regret;
        record->range = fmaxf(kept * record->range, fabsf(regret));
        float rate = learning_rate(record, n);
        float more = rate * regret;
        record->regret = kept * record->regret + .5f * (regret * (1 - more) + (more > .5f ? record->range : 0));
        record->weight = rate * expf(bounded(rate * record->regret, 60));
    }
}

bool mixture_shares(const struct mixture_record *records, int n, const bool *speaks, float *shares) {
    float sum = 0, rate = 0;
    int known = 0;
    for (int k = 0; k < n; k++) {
        shares[k] = 0;
        if (records[k].squares > 0) {
            rate += learning_rate(&records[k], n);
            known++;
        }
    }
    if (known == 0)
        return false;
    /* What has no record yet is weighed as one that did as the mixture did, at the others' mean rate. */
    for (int k = 0; k < n; k++) {
        if (speaks[k])
            shares[k] = records[k].squares > 0 ? records[k].weight : rate / (float)known;
        sum += shares[k];
    }
    for (int k = 0; k < n && sum > 0; k++)
        shares[k] /= sum;
    return sum > 0;
}

void mixture_forget(struct mixture_record *record) {
    *record = (struct mixture_record){0};
}
