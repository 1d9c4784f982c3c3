#include "tests/support/waves.h"

#include "engine/random.h"

#include <math.h>
#include <stdio.h>

const char *waves_name(int stream, char name[16]) {
    snprintf(name, 16, "s%d", stream);
    return name;
}

void waves_values(uint64_t seed, int stream, int step, double *values) {
    const int place[] = {stream, step};
    struct rng rng = {rng_hash(seed, place, sizeof place)};
    for (int f = 0; f < WAVES_FEATURES; f++)
        values[f] = 10 * stream + sin(0.5236 * step + f) * (2 + sin(0.003 * step)) + 0.3 * rng_normal(&rng);
    if (rng_below(&rng, 30) == 0)
        values[rng_below(&rng, WAVES_FEATURES)] = NAN;
}
