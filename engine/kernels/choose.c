#include "engine/kernels/levels.h"

/* The plain reference first, then ever faster ones; each implies that the CPU has what those before it need. */
const struct kernels *kernels_at(int index) {
    if (index == 0)
        return &kernels_reference;
#ifdef __x86_64__
    if (index == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &kernels_reference_fma;
#endif
    return NULL;
}

const struct kernels *kernels_choose(void) {
    int best = 0;
    while (kernels_at(best + 1))
        best++;
    return kernels_at(best);
}
