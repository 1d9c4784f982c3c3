#include "engine/drift.h"

#include <math.h>

/* Steps that the mean is learnt from before any drift is told; the excess that is tolerated, and that which is drift,
 * in mean errors; the largest error. With errors twice as large as before, drift is told after 60 steps. */
static const double first_steps = 100, tolerated = 0.2, bound = 50, largest = 5;
static const double memory = 1000; /* of the mean, in steps */

void drift_loosen(struct drift *drift) {
    drift->n = fmin(drift->n, 3 * first_steps);
    drift->sum = drift->least = 0;
}

double drift_level(const struct drift *drift) {
    return (drift->sum - drift->least) / bound;
}

bool drift_see(struct drift *drift, double error, double steps) {
    if (!(steps > 0))
        return false;
    if (drift->mean > 0 && !(error < largest * drift->mean))
        error = largest * drift->mean;
    if (!isfinite(error))
        return false; /* the very first one */
    bool known = drift->n >= first_steps && drift->mean > 0;
    if (known) /* against the mean before, as many steps may be seen at once */
        drift->sum += steps * (error / drift->mean - 1 - tolerated);
    drift->n += steps;
    drift->mean += (error - drift->mean) * fmin(steps / fmin(drift->n, memory), 1);
    if (!known)
        return false;
    drift->least = fmin(drift->least, drift->sum);
    if (drift_level(drift) < 1)
        return false;
    *drift = (struct drift){0};
    return true;
}
