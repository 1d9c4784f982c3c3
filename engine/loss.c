#include "engine/loss.h"

#include "engine/distribution.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* ---- of a point forecast ------------------------------------------------------------------------ */

/* The loss of one error d = y - answer; *ret_slope is its derivative. */
INLINE double point_loss(enum loss loss, double d, double *ret_slope) {
    double size = fabs(d), sign = d > 0 ? 1 : d < 0 ? -1 : d; /* of NaN it is NaN */

    if (loss == LOSS_MAE || (loss == LOSS_HUBER && size > 1)) {
        *ret_slope = sign;
        return loss == LOSS_MAE ? size : size - 0.5;
    }
    *ret_slope = loss == LOSS_HUBER ? d : 2 * d;
    return loss == LOSS_HUBER ? 0.5 * d * d : d * d;
}

enum loss loss_point(enum loss loss) {
    if (loss == LOSS_MAE || loss == LOSS_HUBER)
        return loss;
    return loss == LOSS_QUANTILE || loss == LOSS_STUDENT_T ? LOSS_MAE : LOSS_MSE;
}

/* ---- of probabilities --------------------------------------------------------------------------- */

double loss_probability(double logit) {
    return logit >= 0 ? 1 / (1 + exp(-logit)) : exp(logit) / (1 + exp(logit));
}

/* ---- of several numbers ------------------------------------------------------------------------- */

int loss_width(const struct loss_spec *spec) {
    switch (spec->loss) {
    case LOSS_QUANTILE: return 1 + 2 * spec->n_levels;
    case LOSS_GAUSSIAN: return 2;
    case LOSS_STUDENT_T: return 3;
    case LOSS_CATEGORICAL_CROSSENTROPY: return spec->n_classes;
    default: return 1;
    }
}

double loss_level(const struct loss_spec *spec, int index) {
    if (index == 0)
        return 0.5;
    double half = spec->levels[(index - 1) / 2] / 200;
    return index % 2 == 1 ? 0.5 - half : 0.5 + half;
}

/* One answer: y and gradient are `apart` floats apart; each slope is multiplied by scale. */
struct element {
    const float *y;
    float *gradient; /* NULL: not asked for */
    size_t apart;
    double scale;
};

static double y_of(const struct element *of, int i) {
    return (double)of->y[(size_t)i * of->apart];
}

static void put_slope(const struct element *of, int i, double slope) {
    if (of->gradient)
        of->gradient[(size_t)i * of->apart] = (float)(of->scale * slope);
}

static double quantile_loss(const struct loss_spec *spec, const struct element *of, double answer) {
    int width = loss_width(spec);
    double sum = 0;
    for (int i = 0; i < width; i++) {
        double p = loss_level(spec, i), d = y_of(of, i) - answer;
        double slope = d > 0 ? 1 - p : d < 0 ? -p : d; /* of NaN it is NaN */
        sum += slope * d;
        put_slope(of, i, 2 * slope / width);
    }
    return 2 * sum / width;
}

static double likelihood_loss(enum distribution distribution, const struct element *of, double answer) {
    double raw[DISTRIBUTION_WIDTH_MAX] = {0}, slopes[DISTRIBUTION_WIDTH_MAX];
    int width = distribution == DISTRIBUTION_GAUSSIAN ? 2 : 3;
    for (int i = 0; i < width; i++)
        raw[i] = y_of(of, i);
    double loss = distribution_loss(distribution, raw, answer, slopes);
    for (int i = 0; i < width; i++)
        put_slope(of, i, slopes[i]);
    return loss;
}

static const double least_probability = 1e-7;

static double binary_loss_of_probability(const struct element *of, double answer) {
    double p = y_of(of, 0), within = fmin(fmax(p, least_probability), 1 - least_probability);
    put_slope(of, 0, p == within ? (p - answer) / (p * (1 - p)) : isnan(p) ? p : 0);
    return isnan(p) ? p : -answer * log(within) - (1 - answer) * log(1 - within);
}

/* Of shares: what a softmax leaves of rounding is made one. */
static double categorical_loss_of_probability(int n_classes, const struct element *of, double answer) {
    double sum = 0;
    int label = answer >= 0 && answer < n_classes ? (int)answer : -1;
    for (int i = 0; i < n_classes; i++)
        sum += y_of(of, i);
    double p = label < 0 || isnan(sum) ? NAN : y_of(of, label) / sum;
    double within = fmin(fmax(p, least_probability), 1 - least_probability);
    for (int i = 0; i < n_classes; i++)
        put_slope(of, i, p == within ? 1 / sum - (i == label) / y_of(of, label) : isnan(p) ? p : 0);
    return isnan(p) ? p : -log(within);
}

/* Of a logit: log(1 + exp(y)) - answer y. */
static double binary_loss(const struct element *of, double answer) {
    double y = y_of(of, 0), softplus = fmax(y, 0) + log1p(exp(-fabs(y)));
    put_slope(of, 0, loss_probability(y) - answer);
    return isnan(y) ? y : softplus - answer * y;
}

/* Of logits: log sum exp(y) - y[answer]. */
static double categorical_loss(int n_classes, const struct element *of, double answer) {
    double most = y_of(of, 0), sum = 0;
    int label =
        answer >= 0 && answer < n_classes ? (int)answer : -1; /* -1: not a class, and an error of the caller's */
    for (int i = 1; i < n_classes; i++)
        most = fmax(most, y_of(of, i));
    for (int i = 0; i < n_classes; i++)
        sum += exp(y_of(of, i) - most);
    for (int i = 0; i < n_classes; i++)
        put_slope(of, i, label < 0 ? NAN : exp(y_of(of, i) - most) / sum - (i == label));
    return label < 0 ? NAN : most + log(sum) - y_of(of, label);
}

static double element_loss(const struct loss_spec *spec, const struct element *of, double answer) {
    switch (spec->loss) {
    case LOSS_QUANTILE: return quantile_loss(spec, of, answer);
    case LOSS_GAUSSIAN: return likelihood_loss(DISTRIBUTION_GAUSSIAN, of, answer);
    case LOSS_STUDENT_T: return likelihood_loss(DISTRIBUTION_STUDENT_T, of, answer);
    case LOSS_BINARY_CROSSENTROPY:
        return spec->probabilities ? binary_loss_of_probability(of, answer) : binary_loss(of, answer);
    case LOSS_CATEGORICAL_CROSSENTROPY:
        return spec->probabilities ? categorical_loss_of_probability(spec->n_classes, of, answer)
                                   : categorical_loss(spec->n_classes, of, answer);
    default: assert(0 && "a point forecast's, which has a loop of its own"); return NAN;
    }
}

enum { SUMS = 8 }; /* at once, as one would have to wait for each addition */

/* loss_sum of n point forecasts, in as many sums. The loss is a constant once it is inlined, and nothing branches:
 * the compiler makes vectors of it. */
INLINE void points_add(enum loss loss, size_t n, const float *restrict y, const float *restrict answer,
                       const float *restrict weight, float scale, float *restrict gradient, double *restrict sums) {
    for (size_t i = 0; i < n; i++) {
        double d = weight[i] != 0 ? (double)y[i] - (double)answer[i] : 0, slope;
        sums[i] += (double)weight[i] * point_loss(loss, d, &slope);
        if (gradient)
            gradient[i] = (float)((double)scale * (double)weight[i] * slope);
    }
}

INLINE double points_sum(enum loss loss, size_t n, const float *y, const float *answer, const float *weight,
                         float scale, float *gradient) {
    double sums[SUMS] = {0}, sum = 0;
    size_t i = 0;
    for (; gradient && i + SUMS <= n; i += SUMS)
        points_add(loss, SUMS, y + i, answer + i, weight + i, scale, gradient + i, sums);
    for (; i + SUMS <= n; i += SUMS)
        points_add(loss, SUMS, y + i, answer + i, weight + i, scale, NULL, sums);
    points_add(loss, n - i, y + i, answer + i, weight + i, scale, gradient ? gradient + i : NULL, sums);
    for (int k = 0; k < SUMS; k++)
        sum += sums[k];
    return sum;
}

double loss_sum(const struct loss_spec *spec, size_t places, size_t n, const float *y, const float *answer,
                const float *weight, float scale, float *gradient) {
    size_t width = (size_t)loss_width(spec);
    double sum = 0;

    switch (spec->loss) {
    case LOSS_MSE: return points_sum(LOSS_MSE, places * n, y, answer, weight, scale, gradient);
    case LOSS_MAE: return points_sum(LOSS_MAE, places * n, y, answer, weight, scale, gradient);
    case LOSS_HUBER: return points_sum(LOSS_HUBER, places * n, y, answer, weight, scale, gradient);
    default: break;
    }
    for (size_t i = 0; i < places * n; i++) {
        size_t at = i / n * width * n + i % n;
        struct element element = {.y = y + at,
                                  .gradient = gradient ? gradient + at : NULL,
                                  .apart = n,
                                  .scale = (double)scale * (double)weight[i]};
        if (weight[i] != 0)
            sum += (double)weight[i] * element_loss(spec, &element, (double)answer[i]);
        else
            for (int k = 0; k < (int)width; k++)
                put_slope(&element, k, 0);
    }
    return sum;
}

void loss_points(const struct loss_spec *spec, size_t places, size_t n, const float *y, float *ret_points) {
    size_t width = (size_t)loss_width(spec);
    for (size_t i = 0; i < places; i++)
        memcpy(ret_points + i * n, y + i * width * n, n * sizeof *y);
    for (size_t i = 0; spec->loss == LOSS_BINARY_CROSSENTROPY && i < places * n; i++)
        ret_points[i] = (float)loss_probability((double)y[i]);
}
