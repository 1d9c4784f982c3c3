/* The arrays of a model file become the parameters of a network, in Keras 3's layout whatever version wrote them. */
#ifndef ENGINE_KERAS_WEIGHTS_H
#define ENGINE_KERAS_WEIGHTS_H

#include "engine/keras/architecture.h"
#include "engine/keras/container.h"

/* network: of the architecture's spec. params: [network_n_params], zero. Returns -1 with a sentence that names layer
 * and weight. */
int weights_read(const struct container *container, const struct architecture *architecture,
                 const struct network *network, float *params, struct error *err);

/* Text `attribute` of the group that holds the weights, or of the file; "" where there is none. */
const char *weights_attribute(const struct container *container, const char *attribute);

#endif
