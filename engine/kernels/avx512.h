/*
 * Vectors of AVX-512 (F, BW, DQ and VL), as update.h and wide.h want them. Internal to the kernels.
 */
#ifndef ENGINE_KERNELS_AVX512_H
#define ENGINE_KERNELS_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LANES 16

typedef __m512 vec;

static inline vec v_set(float a) {
    return _mm512_set1_ps(a);
}

/* As integers: Zen 4 does not load a float into all lanes of 512 bits without a unit that multiplies and adds, too. */
static inline vec v_all(const float *from) {
    int32_t bits;
    memcpy(&bits, from, sizeof bits);
    return _mm512_castsi512_ps(_mm512_set1_epi32(bits));
}

static inline vec v_keep(vec a) {
    __asm__("" : "+v"(a));
    return a;
}

static inline vec v_load(const float *from) {
    return _mm512_loadu_ps(from);
}

static inline void v_store(float *to, vec a) {
    _mm512_storeu_ps(to, a);
}

static inline vec v_load_some(const float *from, int n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), from);
}

static inline void v_store_some(float *to, int n, vec a) {
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << n) - 1), a);
}

static inline vec v_add(vec a, vec b) {
    return _mm512_add_ps(a, b);
}

static inline vec v_sub(vec a, vec b) {
    return _mm512_sub_ps(a, b);
}

static inline vec v_mul(vec a, vec b) {
    return _mm512_mul_ps(a, b);
}

static inline vec v_div(vec a, vec b) {
    return _mm512_div_ps(a, b);
}

static inline vec v_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}

static inline vec v_less(vec a, vec b) {
    return _mm512_min_ps(a, b);
}

static inline vec v_more(vec a, vec b) {
    return _mm512_max_ps(a, b);
}

static inline vec v_power(vec a, vec t) {
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), n));
}

static inline vec v_upper(vec a) {
    return _mm512_shuffle_f32x4(a, a, 0x4e);
}

static inline vec v_widen_low(vec a) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 16));
}

static inline vec v_widen_high(vec a) {
    return _mm512_castsi512_ps(_mm512_and_epi32(_mm512_castps_si512(a), _mm512_set1_epi32((int)0xffff0000)));
}

static inline vec v_abs(vec a) {
    return _mm512_abs_ps(a);
}

static inline vec v_sign(vec a, vec b) {
    __m512i sign = _mm512_set1_epi32(INT32_MIN); /* a where it is 0, b where it is 1 */
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(sign, _mm512_castps_si512(b), _mm512_castps_si512(a), 0xca));
}

#endif
