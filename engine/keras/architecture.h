/*
 * Keras' description of a model in JSON, of all its versions, becomes a network_spec, and a list of where the
 * parameters of its layers lie in a file.
 */
#ifndef ENGINE_KERAS_ARCHITECTURE_H
#define ENGINE_KERAS_ARCHITECTURE_H

#include "engine/network.h"

#include <jansson.h>

enum {
    ARCHITECTURE_LAYERS_MAX = 1024, /* calls of layers, those of models in models with them */
    ARCHITECTURE_DEPTH_MAX = 16,    /* of models in models */
    ARCHITECTURE_PATH_MAX = 512,
};

/* A layer, or a cell of a stack of them, as often as it may be called: what parameters belong to. */
struct architecture_home {
    const json_t *data; /* its description */
    int layer;          /* of the spec, where it was first called; -1: never */
    int top; /* which of the model's own layers it is in, from 0; that one's weights stand together in an HDF5 */
    const char *top_name; /* that layer's name */
    bool trainable;
    char path[ARCHITECTURE_PATH_MAX];  /* in Keras 3: by classes, "layers/sequential/layers/lstm_1" */
    char named[ARCHITECTURE_PATH_MAX]; /* by names: "layers/encoder/layers/memory" */
};

struct architecture {
    struct network_spec spec; /* spec.layers is layers */
    struct layer_spec *layers;
    struct architecture_home *homes; /* in the file's order */
    int n_homes;
};

/* json: the model, which must outlive the architecture; old: Keras before 3 wrote it (its hard_sigmoid is another).
 * Returns -1 with a sentence that names the layer. architecture_fini after either. */
int architecture_init(struct architecture *architecture, const json_t *json, bool old, struct error *err);
void architecture_fini(struct architecture *architecture);

#endif
