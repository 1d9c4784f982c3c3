#include "engine/kernels/levels.h"

#include <stdlib.h>

#ifdef __x86_64__
/* Each implies that the CPU has what those before it need. */
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const struct kernels *kernels_at(int index) {
    if (index == 0)
        return &kernels_reference;
#ifdef __x86_64__
    if (index == 1 && has_avx2())
        return &kernels_avx2;
    if (index == 2 && has_avx512())
        return &kernels_avx512;
#endif
    return NULL;
}

const struct kernels *kernels_named(const char *level) {
    for (int i = 0; kernels_at(i); i++)
        if (strcmp(kernels_at(i)->level, level) == 0)
            return kernels_at(i);
#ifdef __x86_64__
    if (strcmp(kernels_plain.level, level) == 0)
        return &kernels_plain;
#endif
    return NULL;
}

const struct kernels *kernels_choose(void) {
    const char *forced = getenv("FORECASTD_KERNELS");
    const struct kernels *named = forced ? kernels_named(forced) : NULL;
    int best = 0;
    if (named)
        return named;
    while (kernels_at(best + 1))
        best++;
#ifdef __x86_64__
    if (best == 0) /* the reference's multiply-adds are calls into libm */
        return &kernels_plain;
#endif
    return kernels_at(best);
}
