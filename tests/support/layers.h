/* Chains of layers for tests, as static initializers, and networks of them that run as a stream. */
#ifndef TESTS_SUPPORT_LAYERS_H
#define TESTS_SUPPORT_LAYERS_H

#include "engine/network.h"

#define DENSE(n, a) \
    { .kind = LAYER_DENSE, .units = (n), .activation = (a), .use_bias = true }
#define LSTM(n) \
    { \
        .kind = LAYER_LSTM, .units = (n), .activation = ACTIVATION_TANH, .recurrent_activation = ACTIVATION_SIGMOID, \
        .use_bias = true, .return_sequences = true \
    }

static inline struct network *chain_new(int n_inputs, const struct layer_spec *layers, int n_layers,
                                        struct error *err) {
    const struct network_spec spec = {
        .mode = NETWORK_STREAM, .n_inputs = n_inputs, .layers = layers, .n_layers = n_layers};
    return network_new(&spec, err);
}

/* Width of output 0. */
static inline int chain_width(const struct network *network) {
    return network_output(network, 0, 1).width;
}

#endif
