#include "engine/mixture.h"

#include <math.h>

static const float tiny = 1e-12f;

/* How fast a loss that is beyond the best rival's becomes the one that counts. */
enum { URGENCY = 30 };

static float bounded(float x, float most) {
    return fmaxf(-most, fminf(most, x));
}

/* Takes an error in. */
static void see_error(struct mixture_errors *errors, float error) {
    errors->n = fminf(errors->n + 1, MIXTURE_ERRORS);
    errors->square += (error * error - errors->square) / errors->n;
    errors->absolute += (fabsf(error) - errors->absolute) / errors->n;
}

/* How much a loss of the mixture exceeds the best rival's, as a weight of that loss. */
static float urgency(float mixture, float best) {
    return expf(bounded(URGENCY * (mixture / (best + tiny) - 1), 8));
}

/* The gradient of the loss at the mixture's error: of squares and absolute values, each over its mean, and weighed by
 * how far the mixture is from its best rival in it. */
static float gradient(const struct mixture_errors *errors, const struct mixture_record *records, int n,
                      unsigned rivals, float error, float bound) {
    struct mixture_errors best = {INFINITY, INFINITY, 0};
    for (int k = 0; k < n; k++)
        if ((rivals >> k & 1) != 0 && 2 * records[k].errors.n >= errors->n) {
            best.square = fminf(best.square, records[k].errors.square);
            best.absolute = fminf(best.absolute, records[k].errors.absolute);
        }
    float squares = urgency(errors->square, best.square), absolutes = urgency(errors->absolute, best.absolute);
    float sign = (float)(error > 0) - (float)(error < 0), both = (squares + absolutes) / 2;
    return (squares * 2 * bounded(error, bound) / (errors->square + tiny) +
            absolutes * sign / (errors->absolute + tiny)) /
           both;
}

/* The learning rate: 1 over the range at first, later by the sum of squares. */
static float rate_of(const struct mixture_record *record, int n) {
    return fminf(.5f / record->range, sqrtf(logf((float)n + 1) / record->squares));
}

static void learn(struct mixture_record *record, int n, float regret) {
    const float kept = 1.0f - 1.0f / MIXTURE_MEMORY;
    record->range = fmaxf(record->range, fabsf(regret));
    record->squares = kept * record->squares + regret * regret;
    if (!(record->squares > 0))
        return;
    float rate = rate_of(record, n);
    record->regret = kept * record->regret + regret - rate * regret * regret;
    record->logit = logf(rate) + rate * record->regret;
}

void mixture_learn(struct mixture_errors *errors, struct mixture_record *records, int n, unsigned rivals,
                   const float *forecasts, float mixed, float answer) {
    float error = bounded(mixed - answer, 1e15f); /* whose square is still a float */
    see_error(errors, error);
    for (int k = 0; k < n; k++)
        if (!isnan(forecasts[k]))
            see_error(&records[k].errors, bounded(forecasts[k] - answer, 1e15f));
    float bound = MIXTURE_CLIP * sqrtf(errors->square), slope = gradient(errors, records, n, rivals, error, bound);
    for (int k = 0; k < n; k++)
        if (!isnan(forecasts[k]))
            learn(&records[k], n, slope * bounded(mixed - forecasts[k], bound));
}

bool mixture_shares(const struct mixture_record *records, int n, const bool *speaks, const float *prior,
                    float *shares) {
    float rate = 0, known = 0, sum = 0;
    for (int k = 0; k < n; k++) {
        shares[k] = 0;
        if (records[k].squares > 0) {
            rate += rate_of(&records[k], n);
            known++;
        }
    }
    if (known == 0)
        return false;
    /* What has no record yet is one that did as the mixture did, at the others' rate. */
    float unknown = logf(rate / known), most = unknown;
    for (int k = 0; k < n; k++)
        if (speaks[k] && records[k].squares > 0)
            most = fmaxf(most, records[k].logit);
    for (int k = 0; k < n; k++)
        if (speaks[k]) {
            shares[k] = expf((records[k].squares > 0 ? records[k].logit : unknown) - most) * prior[k];
            sum += shares[k];
        }
    /* All that speak may be worse than nothing by more than a float can tell. */
    for (int k = 0; k < n && sum > 0; k++)
        shares[k] /= sum;
    return sum > 0;
}

void mixture_renew(struct mixture_record *records, int n, int k) {
    float range = 0, known = 0;
    for (int other = 0; other < n; other++)
        if (other != k && records[other].squares > 0) {
            range += records[other].range;
            known++;
        }
    records[k] = (struct mixture_record){0};
    if (known == 0)
        return;
    range /= known;
    records[k] = (struct mixture_record){.range = range, .squares = range * range};
    records[k].logit = logf(rate_of(&records[k], n));
}
