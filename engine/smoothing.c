#include "engine/smoothing.h"

#include "engine/quad.h"

#include <math.h>

/* Of level and trend; the trend is damped by DAMPING at each step ahead. */
static const struct { double level, trend; } sets[SMOOTHING_SETS] = {{.1, .01}, {.3, .03}, {.6, .06}, {.9, .3}};
static const double damping = .9;

enum { START = 10, MEMORY = 100 };

/* Gelper, Fried and Croux: Huber's psi and Tukey's rho with k = 2; rho's factor makes it consistent for Gaussian
 * errors. */
static const double bound = 2, rho_most = 2.52, scale_share = .1;

static double rho(double x) {
    double u = 1 - x * x / (bound * bound);
    return fabs(x) < bound ? rho_most * (1 - u * u * u) : rho_most;
}

/* What the error counts as; the scale takes it in. */
static double take_error(double *scale, uint64_t n, double error) {
    double variance = *scale * *scale;
    if (n < START || !(*scale > 0)) { /* nothing to bound it by */
        *scale = sqrt(variance + (error * error - variance) / (double)(n < START ? n : START));
        return error;
    }
    double ratio = error / *scale, before = *scale;
    *scale = sqrt(variance * (1 + scale_share * (rho(ratio) - 1)));
    ratio = ratio < bound ? ratio : bound;
    return (ratio > -bound ? ratio : -bound) * before;
}

/* share: of the error in the mean of squares. */
static void update_set(struct smoothing *smoothing, int i, double x, double share) {
    double foreseen = smoothing->level[i] + damping * smoothing->trend[i];
    if (isnan(x)) {
        smoothing->trend[i] *= damping;
        smoothing->level[i] = foreseen;
        return;
    }
    double error = take_error(&smoothing->scale[i], smoothing->n, x - foreseen);
    smoothing->loss[i] += share * (error * error - smoothing->loss[i]);
    double level = foreseen + sets[i].level * error;
    smoothing->trend[i] = damping * smoothing->trend[i] + sets[i].level * sets[i].trend * error;
    smoothing->level[i] = level;
}

/* The same of two sets at once, of a value behind the first ones, where both have a scale. */
static void update_two(struct smoothing *smoothing, int i, double x, double share) {
    const pair level_share = {sets[i].level, sets[i + 1].level}, one = pair_of(1), damped = pair_of(damping);
    const pair trend_share = level_share * (pair){sets[i].trend, sets[i + 1].trend};
    pair level = pair_load(smoothing->level + i), trend = pair_load(smoothing->trend + i);
    pair scale = pair_load(smoothing->scale + i), loss = pair_load(smoothing->loss + i);
    pair foreseen = level + damped * trend, ratio = (pair_of(x) - foreseen) / scale;
    pair u = one - ratio * ratio / pair_of(bound * bound), inside = pair_of(rho_most) * (one - u * u * u);
    pair_mask within = (ratio < pair_of(bound)) & (ratio > pair_of(-bound));
    pair rho_of = pair_choose(within, inside, pair_of(rho_most));
    pair error = pair_larger(pair_smaller(ratio, pair_of(bound)), pair_of(-bound)) * scale;
    pair_store(smoothing->scale + i, pair_root(scale * scale * (one + pair_of(scale_share) * (rho_of - one))));
    pair_store(smoothing->loss + i, loss + pair_of(share) * (error * error - loss));
    pair_store(smoothing->trend + i, damped * trend + trend_share * error);
    pair_store(smoothing->level + i, foreseen + level_share * error);
}

static bool is_usual(const struct smoothing *smoothing, double x, int i) {
    return !isnan(x) && smoothing->n >= START && smoothing->scale[i] > 0 && smoothing->scale[i + 1] > 0;
}

_Static_assert(SMOOTHING_SETS % 2 == 0, "two at once");

void smoothing_update(struct smoothing *smoothing, double x) {
    /* Squares of what is larger are no doubles: as in the scaler, rather a sender's way to say that there is none. */
    if (!(fabs(x) <= 1e150))
        x = NAN;
    if (!smoothing->began && isnan(x))
        return;
    bool first = !smoothing->began;
    smoothing->began = true;
    if (!isnan(x))
        smoothing->n++;
    double share = 1.0 / (double)(smoothing->n < MEMORY ? smoothing->n : MEMORY);
    for (int i = 0; first && i < SMOOTHING_SETS; i++) {
        smoothing->level[i] = x;
        smoothing->trend[i] = 0;
    }
    for (int i = 0; !first && i < SMOOTHING_SETS; i += 2) {
        if (is_usual(smoothing, x, i)) {
            update_two(smoothing, i, x, share);
            continue;
        }
        update_set(smoothing, i, x, share);
        update_set(smoothing, i + 1, x, share);
    }
}

void smoothing_restart(struct smoothing *smoothing) {
    smoothing->began = false;
}

void smoothing_forecast(const struct smoothing *smoothing, int horizon, int stride, double *mean) {
    double least = INFINITY, sum = 0, level = 0, trend = 0;
    for (int i = 0; i < SMOOTHING_SETS; i++)
        least = smoothing->loss[i] < least ? smoothing->loss[i] : least;
    for (int i = 0; i < SMOOTHING_SETS; i++) {
        double n = (double)(smoothing->n < MEMORY ? smoothing->n : MEMORY);
        double excess = smoothing->loss[i] - least, power = excess > 0 ? -.5 * n * excess / least : 0;
        double weight = power < -30 ? 0 : power < 0 ? (double)expf((float)power) : 1;
        sum += weight;
        level += weight * smoothing->level[i];
        trend += weight * smoothing->trend[i];
    }
    level = smoothing->began ? level / sum : NAN;
    trend /= sum;
    for (int h = 0; h < horizon; h++) {
        trend *= damping;
        level += trend;
        mean[h * stride] = level;
    }
}

void smoothing_serialize(struct smoothing *smoothing, struct image_io *io) {
    image_io(io, &smoothing->n, 1);
    image_bool(io, &smoothing->began);
    image_io(io, smoothing->level, SMOOTHING_SETS);
    image_io(io, smoothing->trend, SMOOTHING_SETS);
    image_io(io, smoothing->scale, SMOOTHING_SETS);
    image_io(io, smoothing->loss, SMOOTHING_SETS);
}
