/*
 * What LSTM and GRU make of the sums of their gates, by vectors: activations and the new state. A level includes this with
 *
 *     LANES                     floats of a vector
 *     what sigmoid.h asks for
 *     v_load(p), v_store(p, a)              LANES floats
 *     v_load_some(p, n), v_store_some(p, n, a)    the first n < LANES of them (n 0 too); no byte beyond is touched
 *
 * Internal to the kernels.
 */
#ifndef ENGINE_KERNELS_UPDATE_H
#define ENGINE_KERNELS_UPDATE_H

#include "engine/kernels/levels.h"
#include "engine/kernels/sigmoid.h"

INLINE vec load_up_to(const float *from, int n) {
    return n < LANES ? v_load_some(from, n) : v_load(from);
}

INLINE void store_up_to(float *to, int n, vec a) {
    if (n < LANES)
        v_store_some(to, n, a);
    else
        v_store(to, a);
}

/* Units side by side, up to LANES: gates[s] of n_sums times so many; there are n[s] of these, with c at c[s], and y goes to
 * y[s]. */
INLINE void lstm_update(int n_sums, vec (*gates)[PACK_VECTORS], const int *n, float *const *c, float *const *y) {
    vec in[SIGMOID_MOST], keep[SIGMOID_MOST], cell[SIGMOID_MOST], out[SIGMOID_MOST];
    EACH_OF(n_sums) {
        in[i] = gates[i][0];
        keep[i] = gates[i][1];
        cell[i] = gates[i][2];
        out[i] = gates[i][3];
    }
    sigmoid_times_tanh(n_sums, in, cell);
    sigmoid_divisors(n_sums, keep);
    EACH_OF(n_sums) cell[i] = v_add(v_div(load_up_to(c[i], n[i]), keep[i]), in[i]);
    EACH_OF(n_sums) store_up_to(c[i], n[i], cell[i]);
    sigmoid_times_tanh(n_sums, out, cell);
    EACH_OF(n_sums) store_up_to(y[i], n[i], out[i]);
}

INLINE void gru_update(int n_sums, vec (*gates)[PACK_VECTORS], const int *n, float *const *h, float *const *y) {
    vec update[SIGMOID_MOST], reset[SIGMOID_MOST], candidate[SIGMOID_MOST];
    EACH_OF(n_sums) {
        update[i] = gates[i][0];
        reset[i] = gates[i][1];
    }
    sigmoids(n_sums, reset);
    EACH_OF(n_sums) candidate[i] = v_fma(reset[i], gates[i][3], gates[i][2]);
    sigmoids(n_sums, update);
    tanhs(n_sums, candidate);
    EACH_OF(n_sums) {
        vec new = v_mul(v_sub(v_set(1.0f), update[i]), candidate[i]);
        store_up_to(y[i], n[i], v_fma(update[i], load_up_to(h[i], n[i]), new));
    }
}

#endif
