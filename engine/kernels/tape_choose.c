#include "engine/kernels/tape_kernels.h"

extern const struct tape_kernels tape_kernels_plain;
#ifdef __x86_64__
extern const struct tape_kernels tape_kernels_avx2, tape_kernels_avx512;
#endif

/* The plain ones first, then ever faster ones; each implies that the CPU has what those before it need. */
const struct tape_kernels *tape_kernels_at(int index) {
    if (index == 0)
        return &tape_kernels_plain;
#ifdef __x86_64__
    if (index == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &tape_kernels_avx2;
    if (index == 2 && __builtin_cpu_supports("avx512f"))
        return &tape_kernels_avx512;
#endif
    return NULL;
}

const struct tape_kernels *tape_kernels_choose(void) {
    int best = 0;
    while (tape_kernels_at(best + 1))
        best++;
    return tape_kernels_at(best);
}
