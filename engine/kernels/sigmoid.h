/*
 * tanh and sigmoid of vectors, which may be one float each: fused multiply-adds, exact divisions and operations on bits, no
 * branch, no table, no libm. Each goes over n vectors operation by operation, n a constant when it is inlined: one vector
 * alone would wait for each operation's result. Each level includes this with what it has, and gets the same bits:
 *
 *     vec                       floats
 *     v_set(a)                  all of them a
 *     v_add, v_sub, v_mul, v_div, v_fma(a, b, c)
 *     v_less(a, b), v_more(a, b)    a where it is less, or more, than b; else b, where either is NaN too
 *     v_power(a, t)             a 2^n, n the lowest bits of t: added to the exponent
 *     v_abs(a), v_sign(a, b)    a without its sign; with that of b
 *
 * Over all floats, infinities included: |tanh - exact| and |sigmoid - exact| <= 1.5e-7, tanh within [-1, 1] and odd, sigmoid
 * within [0, 1]. NaN gives NaN. tests/unit/test_kernels_activations.c measures it. Internal to the kernels.
 */
#ifndef ENGINE_KERNELS_SIGMOID_H
#define ENGINE_KERNELS_SIGMOID_H

#include "engine/kernels/unroll.h"

#define EACH_OF(n) UNROLL for (int i = 0; i < n; i++)

enum { SIGMOID_MOST = 8 }; /* vectors at once */

/* x scale = n + r with whole n, in the lowest bits of t, and |r| <= 1/2; r takes x's place. q = (2^r - 1) / r: the first
 * term exact, the others by least squares towards the least worst error, 1.1e-7 of 2^r. */
INLINE void sigmoid_split(int n, vec scale, vec *x, vec *t, vec *q) {
    vec round = v_set(0x1.8p23f); /* adding it leaves an integer in the low bits of the mantissa */
    EACH_OF(n) t[i] = v_fma(x[i], scale, round);
    EACH_OF(n) q[i] = v_sub(round, t[i]);
    EACH_OF(n) x[i] = v_fma(x[i], scale, q[i]);
    EACH_OF(n) q[i] = v_fma(v_set(0x1.5caadap-10f), x[i], v_set(0x1.3cdb4p-7f));
    EACH_OF(n) q[i] = v_fma(q[i], x[i], v_set(0x1.c6b3a6p-5f));
    EACH_OF(n) q[i] = v_fma(q[i], x[i], v_set(0x1.ebf9f2p-3f));
    EACH_OF(n) q[i] = v_fma(q[i], x[i], v_set(0x1.62e43p-1f));
}

/* x becomes 1 + e^-x, of which sigmoid(x) is the reciprocal. */
INLINE void sigmoid_divisors(int n, vec *x) {
    vec t[SIGMOID_MOST], q[SIGMOID_MOST], one = v_set(1.0f);
    EACH_OF(n) x[i] = v_less(v_set(86.0f), v_more(v_set(-86.0f), x[i]));
    sigmoid_split(n, v_set(-0x1.715476p0f), x, t, q);
    EACH_OF(n) q[i] = v_fma(q[i], x[i], one);
    EACH_OF(n) x[i] = v_fma(v_power(one, t[i]), q[i], one); /* the bits of a NaN cannot be added to */
}

/* x becomes d, with the sign of x, where tanh(|x|) = d / (d + 2): d = e^2|x| - 1, which near zero has all its digits, as n is
 * 0 there. Beyond the limit the quotient is 1. divisor: d + 2. */
INLINE void tanh_quotients(int n, vec *x, vec *divisor) {
    vec r[SIGMOID_MOST], t[SIGMOID_MOST], q[SIGMOID_MOST];
    EACH_OF(n) r[i] = v_less(v_set(10.0f), v_abs(x[i]));
    sigmoid_split(n, v_set(0x1.715476p1f), r, t, q);
    EACH_OF(n) t[i] = v_power(v_set(1.0f), t[i]);
    EACH_OF(n) q[i] = v_mul(q[i], r[i]);
    EACH_OF(n) q[i] = v_fma(t[i], q[i], v_sub(t[i], v_set(1.0f)));
    EACH_OF(n) divisor[i] = v_add(q[i], v_set(2.0f));
    EACH_OF(n) x[i] = v_sign(q[i], x[i]);
}

INLINE void sigmoids(int n, vec *x) {
    sigmoid_divisors(n, x);
    EACH_OF(n) x[i] = v_div(v_set(1.0f), x[i]);
}

INLINE void tanhs(int n, vec *x) {
    vec divisor[SIGMOID_MOST];
    tanh_quotients(n, x, divisor);
    EACH_OF(n) x[i] = v_div(x[i], divisor[i]);
}

/* x becomes sigmoid(x) tanh(y), by one division. */
INLINE void sigmoid_times_tanh(int n, vec *x, vec *y) {
    vec divisor[SIGMOID_MOST];
    sigmoid_divisors(n, x);
    tanh_quotients(n, y, divisor);
    EACH_OF(n) x[i] = v_div(y[i], v_mul(x[i], divisor[i]));
}

#endif
