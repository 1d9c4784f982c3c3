/*
 * What the files that write Keras models share: a network seen as Keras will see it. For write*.c.
 *
 * A Keras layer may be applied several times; in a network each application is a layer of its own that shares the
 * parameters of the first. Keras finds weights by the order of a model's layers, and puts the layers of a functional
 * model into an order of its own when it loads one; so that order is worked out here, and written.
 */
#ifndef ENGINE_KERAS_WRITE_H
#define ENGINE_KERAS_WRITE_H

#include "engine/network.h"

#include <jansson.h>

struct written_layer {
    int first;                      /* the layer that this is an application of; itself where it shares nothing */
    int node;                       /* which application; 0 is the first */
    char name[LAYER_NAME_MAX + 16]; /* of the first: in Keras */
    char group[64];                 /* of the first, Keras 3: its group in model.weights.h5 ("lstm_1") */
};

enum { WRITTEN_INPUT = -1 }; /* the input layer */

struct written {
    const struct network *network;
    const struct network_spec *spec;
    bool keras3;
    bool sequential;
    char input_name[32];
    struct written_layer *layers; /* [spec->n_layers] */
    int *order; /* [n_order]: firsts, and in a functional model the input layer, as Keras orders them */
    int n_order;
};

/* Names, applications and order. Returns -1 with the reason for what Keras cannot hold. Keeps the network,
 * borrowed. */
int written_init(struct written *written, const struct network *network, bool keras3, struct error *err);
void written_fini(struct written *written);

/* The tensor that input i of a layer is; n is how many it has. */
int written_n_inputs(const struct layer_spec *spec);
struct layer_input written_input(const struct written *written, int layer, int i);

/* Whether the layer is written inside a TimeDistributed. */
bool written_is_wrapped(const struct layer_spec *spec);

/* The layer's entry of the architecture, without its place in the graph. NULL with the reason. */
json_t *written_layer_json(const struct written *written, int layer, struct error *err);
/* The whole architecture: config.json of Keras 3, model_config of Keras 2. NULL with the reason. */
char *written_model_json(const struct written *written, struct error *err);

/* An HDF5 file in memory, from malloc. Keras 3: the weights; Keras 2: the whole model. Returns -1 with the reason. */
int written_weights(const struct written *written, void **ret_bytes, size_t *ret_n, struct error *err);
int written_h5(const struct written *written, const char *model_json, void **ret_bytes, size_t *ret_n,
               struct error *err);

/* Keras as which files are written. */
#define WRITTEN_KERAS_3 "3.15.1"
#define WRITTEN_KERAS_2 "2.15.0"

#endif
