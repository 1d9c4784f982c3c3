#include "tests/support/peak.h"

enum { CHAINS = 16, TURNS = 4096 }; /* chains: more than the latency of an operation times the units for it */

static volatile float sink; /* so that the compiler keeps it all */

#ifdef __x86_64__
#include <immintrin.h>

__attribute__((target("avx512f"))) static void turns_avx512(void) {
    __m512 sum[CHAINS], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (int turn = 0; turn < TURNS; turn++) {
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            sum[i] = _mm512_fmadd_ps(sum[i], a, b);
    }
    for (int i = 0; i < CHAINS; i++)
        sink = _mm512_reduce_add_ps(sum[i]);
}

__attribute__((target("avx2,fma"))) static void turns_avx2(void) {
    enum { HALF = CHAINS - 4 }; /* sixteen registers hold the chains and two factors */
    __m256 sum[HALF], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
    for (int i = 0; i < HALF; i++)
        sum[i] = _mm256_set1_ps((float)i);
    for (int turn = 0; turn < TURNS; turn++) {
#pragma GCC unroll 12
        for (int i = 0; i < HALF; i++)
            sum[i] = _mm256_fmadd_ps(sum[i], a, b);
    }
    for (int i = 0; i < HALF; i++)
        sink = _mm256_cvtss_f32(sum[i]);
}

size_t peak_flops(void *unused) {
    (void)unused;
    if (__builtin_cpu_supports("avx512f")) {
        turns_avx512();
        return (size_t)TURNS * CHAINS * 16 * 2;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        turns_avx2();
        return (size_t)TURNS * (CHAINS - 4) * 8 * 2;
    }
    return 0;
}
#else
size_t peak_flops(void *unused) {
    (void)unused;
    return 0;
}
#endif
