/* Small networks of every kind of layer and every option that a Keras file can hold, by name. */
#ifndef TESTS_SUPPORT_MODELS_H
#define TESTS_SUPPORT_MODELS_H

#include "engine/network.h"

enum { MODEL_LAYERS_MAX = 24 };

struct model {
    const char *name;
    bool not_keras2, not_keras3; /* has what only the other format can say */
    struct network_spec spec;    /* of layers */
    struct layer_spec layers[MODEL_LAYERS_MAX];
    int steps; /* of a sample */
};

/* The i-th of them; false past the last. The model must not be copied: its spec points into it. */
bool model_at(int i, struct model *ret_model);

/* Its network with weights of that seed, all of them moved away from their initial zeros and ones. */
struct network *model_network(const struct model *model, uint64_t seed, struct error *err);

/* A value of a sample for it: an id where the network takes ids. Masked steps come among them. */
float model_x(const struct model *model, uint64_t row, int step, int feature);

#endif
