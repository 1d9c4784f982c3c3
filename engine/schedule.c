#include "engine/schedule.h"

#include <assert.h>
#include <math.h>

double schedule_share(const struct schedule_spec *spec, double done) {
    static const double pi = 3.14159265358979323846;
    assert(done > 0 && spec->warm_up < 1 && spec->last > 0);
    done = fmin(done, 1);
    if (done < spec->warm_up)
        return done / spec->warm_up;
    double along = (done - spec->warm_up) / (1 - spec->warm_up);
    switch (spec->kind) {
    case SCHEDULE_CONSTANT: return 1;
    case SCHEDULE_COSINE: return spec->last + (1 - spec->last) * (1 + cos(pi * along)) / 2;
    case SCHEDULE_EXPONENTIAL: return pow(spec->last, along);
    case SCHEDULE_STEP: return along < 0.5 ? 1 : along < 0.75 ? sqrt(spec->last) : spec->last;
    case SCHEDULE_LINEAR: break;
    }
    return 1 - (1 - spec->last) * along;
}
