/*
 * bfloat16: the upper half of a float, all of its range and 8 bits of its value.
 */
#ifndef ENGINE_KERNELS_BFLOAT16_H
#define ENGINE_KERNELS_BFLOAT16_H

#include <stdint.h>
#include <string.h>

/* To the nearest, to even in the middle; NaN stays one. */
static inline uint16_t bfloat16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float bfloat16_widened(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
