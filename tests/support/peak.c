#include "tests/support/peak.h"

/* Chains: more than the latency of an operation times the units for it; sixteen registers hold those of AVX2 and two
 * factors. */
enum { CHAINS = 16, CHAINS_AVX2 = 12, TURNS = 4096 };

#ifdef __x86_64__
#include <immintrin.h>

static volatile float sink; /* where chains begin and end, so that the compiler keeps them all */

/* A function that makes TURNS of so many chains, of the vectors and the intrinsics of a level. */
#define DEFINE_TURNS(name, level, vector, of, chains, unroll) \
    __attribute__((target(level))) static void name(void) { \
        vector sum[chains], a = of##_set1_ps(0.999f), b = of##_set1_ps(1e-3f); \
        for (int i = 0; i < (chains); i++) \
            sum[i] = of##_set1_ps(sink + (float)i); \
        for (int turn = 0; turn < TURNS; turn++) { \
            _Pragma(unroll) for (int i = 0; i < (chains); i++) sum[i] = of##_fmadd_ps(sum[i], a, b); \
        } \
        for (int i = 0; i < (chains); i++) \
            sink = sum[i][0]; \
    }

DEFINE_TURNS(turns_avx512, "avx512f", __m512, _mm512, CHAINS, "GCC unroll 16")
DEFINE_TURNS(turns_avx2, "avx2,fma", __m256, _mm256, CHAINS_AVX2, "GCC unroll 12")

size_t peak_flops(void *unused) {
    (void)unused;
    if (__builtin_cpu_supports("avx512f")) {
        turns_avx512();
        return (size_t)TURNS * CHAINS * 16 * 2;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        turns_avx2();
        return (size_t)TURNS * CHAINS_AVX2 * 8 * 2;
    }
    return 0;
}
#else
size_t peak_flops(void *unused) {
    (void)unused;
    return 0;
}
#endif
