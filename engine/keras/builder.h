/* Within the reader of architectures: a network_spec while it grows, call by call. */
#ifndef ENGINE_KERAS_BUILDER_H
#define ENGINE_KERAS_BUILDER_H

#include "engine/keras/description.h"

enum { BUILDER_VALUES = 32 }; /* most inputs, or outputs, of a call */

/* What flows between calls of layers. */
struct value {
    struct layer_input at;
    bool sequence; /* has a time axis */
    bool mask;     /* not a tensor but which of its steps count */
    bool masked;   /* a tensor that may have a mask */
};

struct values {
    int n;
    bool mask_given; /* as inputs: the call names the first one's mask */
    struct value value[BUILDER_VALUES];
};

/* Keras 3: a step of it is masked where all of it equals the constant. */
struct mask_made {
    struct layer_input of;
    double constant;
};
enum { BUILDER_MASKS = 64 };

struct builder {
    struct architecture *architecture;
    int layers_room, homes_room;
    bool old;
    int depth;             /* of models in models */
    int n_calls;           /* of layers and models so far */
    bool time_distributed; /* within a TimeDistributed */
    bool input_is_flat;    /* [batch, something]: ids where an Embedding reads it */
    bool reads_ids, reads_numbers;
    int n_masks;
    struct mask_made masks[BUILDER_MASKS];
    struct error *err;
};

/* The layers of a model's config, whatever the version: an array, or NULL. */
const json_t *builder_layers(const struct description *model);
bool builder_is_model(const struct description *description);
bool builder_is_sequential(const struct description *description);

/* architecture_homes.c: one for all that may own parameters, in the order of the file. */
int builder_list_homes(struct builder *builder, const struct description *model);
struct architecture_home *builder_home(struct builder *builder, const json_t *data);

/* architecture_calls.c: calls a layer that is no model; in: its inputs, initial states behind them. */
int builder_call_layer(struct builder *builder, const struct description *description, const struct values *in,
                       struct values *ret_out);

/* A layer that does nothing, of a name. Returns its index, or -1. */
int builder_add_identity(struct builder *builder, const char *name, const struct value *in);

/* architecture_graph.c: calls whatever it is. */
int builder_call(struct builder *builder, const struct description *description, const struct values *in,
                 struct values *ret_out);

#endif
