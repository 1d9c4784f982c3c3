#include "engine/loss.h"

#include <math.h>

/* The loss of one error d = y - answer; *ret_slope is its derivative. */
static double loss_of(enum loss loss, double d, double *ret_slope) {
    double size = fabs(d), sign = d > 0 ? 1 : d < 0 ? -1 : d; /* of NaN it is NaN */

    switch (loss) {
    case LOSS_MAE: *ret_slope = sign; return size;
    case LOSS_HUBER:
        if (size > 1) {
            *ret_slope = sign;
            return size - 0.5;
        }
        *ret_slope = d;
        return 0.5 * d * d;
    case LOSS_MSE: break;
    }
    *ret_slope = 2 * d;
    return d * d;
}

double loss_sum(enum loss loss, size_t n, const float *y, const float *answer, const float *weight, float scale,
                float *gradient) {
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double slope = 0;
        if (weight[i] != 0)
            sum += (double)weight[i] * loss_of(loss, (double)y[i] - (double)answer[i], &slope);
        if (gradient)
            gradient[i] = (float)((double)scale * (double)weight[i] * slope);
    }
    return sum;
}
