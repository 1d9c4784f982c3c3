/* Keras' predict: a network over a whole array, [batch, time, features] in and [batch, ...] out. */
#ifndef FORECAST_PREDICT_H
#define FORECAST_PREDICT_H

#include "clients/forecast/npy.h"
#include "engine/network.h"

struct prediction {
    int n; /* outputs */
    struct {
        int n_dims;
        size_t dims[NPY_DIMS], n;
        float *data; /* [n], row-major */
    } y[LAYER_PORTS];
};

/*
 * Whether x is what a network of this spec takes: [batch, time, features], integers [batch, time] where the spec
 * takes ids, [batch, features] where it has no time axis. The time axis is cut into `calls` equal pieces; *ret_steps
 * is the length of one. Returns -1 and a sentence about x.
 */
int predict_check(const struct network_spec *spec, const struct npy *x, long calls, int *ret_steps,
                  struct error *err);

/* One call for each piece of x, which predict_check has taken for this network's spec. In NETWORK_STATEFUL the states
 * go on from piece to piece. stacked: the outputs of the calls stand behind one another on a new first axis; else
 * there is one call. Returns -1 with the reason, which may be an id of x out of its range. prediction_fini
 * afterwards. */
int predict(const struct network *network, const struct npy *x, long calls, bool stacked, struct prediction *ret,
            struct error *err);
void prediction_fini(struct prediction *prediction);

#endif
