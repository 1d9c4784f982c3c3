#include "engine/mixture.h"

#include <math.h>

static const float tiny = 1e-12f;

/* How fast a loss that is beyond the best rival's becomes the one that counts. */
enum { URGENCY = 100 };

/* Without the calls of fminf and fmaxf, which take most of an answer's time; neither is NaN. */
static float smaller(float a, float b) {
    return a < b ? a : b;
}

static float larger(float a, float b) {
    return a > b ? a : b;
}

static float bounded(float x, float most) {
    return larger(-most, smaller(most, x));
}

/* Takes an error in. */
static void see_error(struct mixture_errors *errors, float error) {
    errors->n = smaller(errors->n + 1, MIXTURE_ERRORS);
    float share = errors->n < MIXTURE_ERRORS ? 1 / errors->n : 1.0F / MIXTURE_ERRORS;
    errors->square += share * (error * error - errors->square);
    errors->absolute += share * (fabsf(error) - errors->absolute);
}

/* How much a loss of the mixture exceeds the best rival's, as a weight of that loss. */
static float urgency(float mixture, float best) {
    return expf(bounded(URGENCY * (mixture / (best + tiny) - 1), 8));
}

/* The gradient of the loss at the mixture's error: of squares and absolute values, each over its mean, and weighed by
 * how far the mixture is from its best rival in it. */
static float gradient(const struct mixture_errors *all, int n, unsigned rivals, float error, float bound) {
    const struct mixture_errors *errors = &all[n];
    struct mixture_errors best = {INFINITY, INFINITY, 0};
    for (int k = 0; k < n; k++)
        if ((rivals >> k & 1) != 0 && 2 * all[k].n >= errors->n) {
            best.square = smaller(best.square, all[k].square);
            best.absolute = smaller(best.absolute, all[k].absolute);
        }
    float squares = urgency(errors->square, best.square), absolutes = urgency(errors->absolute, best.absolute);
    float sign = (float)(error > 0) - (float)(error < 0), both = (squares + absolutes) / 2;
    return (squares * 2 * bounded(error, bound) / (errors->square + tiny) +
            absolutes * sign / (errors->absolute + tiny)) /
           both;
}

/* most: log (n + 1). 1 over the range at first, later by the sum of squares. */
static void set_rate(struct mixture_record *record, float most) {
    record->rate = smaller(.5f / record->range, sqrtf(most / record->squares));
}

static void learn(struct mixture_record *record, float most, int h, float regret) {
    const float kept = 1.0f - 1.0f / MIXTURE_MEMORY;
    record->range = larger(record->range, fabsf(regret));
    record->squares = kept * record->squares + (float)h * regret * regret;
    if (!(record->squares > 0))
        return;
    set_rate(record, most);
    record->regret = kept * record->regret + regret - record->rate * regret * regret;
}

void mixture_learn(struct mixture_errors *errors, struct mixture_record *records, int n, int h, unsigned rivals,
                   const float *forecasts, float mixed, float answer) {
    float error = bounded(mixed - answer, 1e15f); /* whose square is still a float */
    see_error(&errors[n], error);
    for (int k = 0; k < n; k++)
        if (!isnan(forecasts[k]))
            see_error(&errors[k], bounded(forecasts[k] - answer, 1e15f));
    float bound = MIXTURE_CLIP * sqrtf(errors[n].square), slope = gradient(errors, n, rivals, error, bound);
    float most = logf((float)n + 1);
    for (int k = 0; k < n; k++)
        if (!isnan(forecasts[k]))
            learn(&records[k], most, h, slope * bounded(mixed - forecasts[k], bound));
}

bool mixture_shares(const struct mixture_record *records, int n, const bool *speaks, const float *prior,
                    float *shares) {
    float rate = 0, known = 0, sum = 0, most = 0;
    for (int k = 0; k < n; k++) {
        shares[k] = 0;
        if (!(records[k].rate > 0))
            continue;
        rate += records[k].rate;
        known++;
        if (speaks[k])
            most = larger(most, records[k].rate * records[k].regret);
    }
    if (known == 0)
        return false;
    /* What has no record yet is one that did as the mixture did, at the others' mean rate. */
    for (int k = 0; k < n; k++)
        if (speaks[k]) {
            float of = records[k].rate > 0 ? records[k].rate : rate / known;
            shares[k] = prior[k] * of * expf(of * records[k].regret - most);
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
    set_rate(&records[k], logf((float)n + 1));
}

void mixture_serialize_records(struct mixture_record *records, int n, struct image_io *io) {
    bool known = false; /* many a context is never met */
    for (int k = 0; k < n && !image_reads(io); k++)
        known |= records[k].range != 0 || records[k].squares != 0 || records[k].regret != 0 || records[k].rate != 0;
    image_bool(io, &known);
    for (int k = 0; k < n; k++) {
        if (!known) {
            records[k] = (struct mixture_record){0};
            continue;
        }
        image_io(io, &records[k].regret, 1);
        image_io(io, &records[k].squares, 1);
        image_io(io, &records[k].range, 1);
        image_io(io, &records[k].rate, 1);
    }
}

void mixture_serialize_errors(struct mixture_errors *errors, int n, struct image_io *io) {
    for (int k = 0; k < n; k++) {
        image_io(io, &errors[k].square, 1);
        image_io(io, &errors[k].absolute, 1);
        image_io(io, &errors[k].n, 1);
    }
}
