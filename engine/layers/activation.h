/* Back through the activations of kernels.h; any thread. */
#ifndef ENGINE_LAYERS_ACTIVATION_H
#define ENGINE_LAYERS_ACTIVATION_H

#include "engine/kernels/kernels.h"

#include <stdbool.h>

/* Whether there is such an activation: what comes from a file may be anything. */
static inline bool activation_is_known(enum activation activation) {
    return (unsigned)activation < N_ACTIVATIONS;
}

/* Whether what came out does not tell the slope, so that activation_backward needs what went in. */
bool activation_needs_input(enum activation activation);

/* dz = dy times the slope of the activation, all [rows x width]: z went in (NULL where it is not needed), y came out.
 * dz may be z or dy. At a corner the slope is TensorFlow's. */
void activation_backward(enum activation activation, size_t rows, size_t width, const float *z, const float *y,
                         const float *dy, float *dz);

#endif
