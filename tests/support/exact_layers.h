/*
 * Networks in doubles, straight from Keras' formulas and in Keras' order of axes: an oracle for tests of layers.
 * Dense, Masking and all layers that are not recurrent; no state, so that every call is whole samples.
 */
#ifndef TESTS_SUPPORT_EXACT_LAYERS_H
#define TESTS_SUPPORT_EXACT_LAYERS_H

#include "engine/network.h"

struct exact_tensor {
    int rows, steps, width;
    bool sequence;
    double *at;    /* [rows x steps x width] */
    uint8_t *mask; /* [rows x steps], 0: passed over; NULL: none is */
};

/* All layers of the spec into tensors [n_layers], to be freed by exact_free.
 * x: as the engine takes it, [steps x rows x width]; params: as network_params. */
void exact_run(const struct network_spec *spec, const double *params, bool training, int rows, int steps,
               const float *x, struct exact_tensor *tensors);
void exact_free(struct exact_tensor *tensors, int n);

/* Element of the engine's order, [steps x rows x width], in a tensor. */
double exact_at(const struct exact_tensor *tensor, size_t i);

#endif
