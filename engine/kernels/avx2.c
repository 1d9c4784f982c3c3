/* AVX2 and FMA. */
#include <immintrin.h>

#define LANES   8
#define ROWS    3 /* 12 sums, 3 inputs, and a vector of weights at a time */
#define LEVEL   "avx2"
#define KERNELS kernels_avx2

typedef __m256 vec;

/* The first n lanes' sign bits. */
static inline __m256i some(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vec v_set(float a) {
    return _mm256_set1_ps(a);
}

static inline vec v_all(const float *from) {
    return _mm256_broadcast_ss(from);
}

static inline vec v_keep(vec a) {
    __asm__("" : "+x"(a));
    return a;
}

static inline vec v_load(const float *from) {
    return _mm256_loadu_ps(from);
}

static inline void v_store(float *to, vec a) {
    _mm256_storeu_ps(to, a);
}

static inline vec v_load_some(const float *from, int n) {
    return _mm256_maskload_ps(from, some(n));
}

static inline void v_store_some(float *to, int n, vec a) {
    _mm256_maskstore_ps(to, some(n), a);
}

static inline vec v_add(vec a, vec b) {
    return _mm256_add_ps(a, b);
}

static inline vec v_sub(vec a, vec b) {
    return _mm256_sub_ps(a, b);
}

static inline vec v_mul(vec a, vec b) {
    return _mm256_mul_ps(a, b);
}

static inline vec v_div(vec a, vec b) {
    return _mm256_div_ps(a, b);
}

static inline vec v_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}

static inline vec v_less(vec a, vec b) {
    return _mm256_min_ps(a, b);
}

static inline vec v_more(vec a, vec b) {
    return _mm256_max_ps(a, b);
}

static inline vec v_power(vec a, vec t) {
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), n));
}

static inline vec v_upper(vec a) {
    return _mm256_permute2f128_ps(a, a, 1);
}

static inline vec v_widen_low(vec a) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 16));
}

static inline vec v_widen_high(vec a) {
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32((int)0xffff0000)));
}

static inline vec v_abs(vec a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

static inline vec v_sign(vec a, vec b) {
    return _mm256_or_ps(_mm256_and_ps(_mm256_set1_ps(-0.0f), b), v_abs(a));
}

#include "engine/kernels/wide.h"
