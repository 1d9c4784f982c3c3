/* Within the reader of weights: the arrays of one layer, as some Keras kept them, become what Keras 3 has. */
#ifndef ENGINE_KERAS_WEIGHTS_CONVERT_H
#define ENGINE_KERAS_WEIGHTS_CONVERT_H

#include "engine/keras/container.h"
#include "engine/network.h"

enum { WEIGHTS_ARRAYS_MAX = 32 }; /* of one layer: Keras 1's Bidirectional LSTM has 24 */

struct arrays {
    int n;
    const struct container_array *array[WEIGHTS_ARRAYS_MAX];
};

struct conversion {
    const struct layer_spec *spec;
    int n_weights;
    const struct network_weight *weights; /* of the layer */
    bool flipped;                         /* convolutions of Theano run backwards */
    float *params;
};

/* How many arrays Keras 1 had for a layer that now has n weights. */
int weights_n_keras1(const struct layer_spec *spec, int n_weights);
/* Returns -1 with a sentence that names the weight. */
int weights_convert(const struct conversion *conversion, const struct arrays *arrays, struct error *err);

#endif
