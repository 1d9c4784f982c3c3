/*
 * Inside a network: the graph, and the interface between it and the kinds of layers. For network.c,
 * tape.c and the files of this folder, one per kind or family; everybody else uses network.h.
 *
 * A layer takes tensors in and gives tensors out, through ports; the graph says which tensor is at
 * which port. It may own parameters, and state that each row carries from call to call. It is a plain
 * value: a copy of the struct is a copy of the layer.
 */
#ifndef ENGINE_LAYERS_LAYER_H
#define ENGINE_LAYERS_LAYER_H

#include "engine/kernels/tape_kernels.h"
#include "engine/network.h"
#include "engine/random.h"

/* What flows along an edge of the graph: for each row `steps` vectors of `width` floats. */
struct tensor {
    int width;
    bool sequence; /* has a time axis; else steps is 1 */
    int steps;     /* a fixed number, or 0: ceil((steps of the call - shrink) / stride) */
    int shrink, stride;
    bool of_call; /* its steps come from the steps of the call (they do not behind a RepeatVector) */
    int mask;     /* the mask, by its index, that says which of its steps are passed over; -1: none */

    /* The network's. */
    int output; /* which of the network's outputs this is; -1: none */
    /* Where it begins among all tensors: rows * (fixed_at + steps of the call * steps_at) floats. */
    size_t fixed_at, steps_at;
};

/* Which steps of a tensor are passed over: a byte for each of them, in the room of a float. */
struct mask {
    int tensor; /* that it was made with */
    size_t fixed_at, steps_at;
};

struct layer {
    const struct layer_ops *ops;
    struct layer_spec spec;
    enum network_mode mode;
    bool carries; /* recurrent: the state goes on from call to call */
    int n_in, n_out;
    int in[LAYER_PORTS], out[LAYER_PORTS]; /* tensors, by their index */

    int n_weights;
    struct network_weight weights[LAYER_WEIGHTS]; /* at: within the layer */
    size_t params_at, n_params;                   /* in the network's flat array */
    size_t packed_at, n_packed;                   /* among the network's packed weights */
    size_t state_at, n_state;                     /* in a row's state */
};

/* What build() works with besides the layer; kept no longer. */
struct layer_build {
    const struct tensor *in; /* [n_in] */
    struct tensor *out;      /* [LAYER_PORTS], to be filled by layer_like_input and what differs */
    int new_mask;            /* the index of a mask that this layer makes: out[0].mask = new_mask */
    struct error *err;       /* without the layer's name */
    bool needs_steps;        /* set by layer_fixed_steps */
};

/* A tensor during a run. */
struct port {
    int width, steps;
    float *data; /* [steps x rows x width]; at an input it is only read */
    /* [steps x rows], 0 where the step is passed over; NULL: none is. At an output that has a mask of its own (not
     * its input's) the layer writes it. */
    uint8_t *mask;
    /* Backward only: d loss / d data. At an input it is added to, NULL where nobody asks; at an output the layer may
     * write over it, as nobody reads it afterwards. */
    float *grad;
};

struct layer_run {
    const struct kernels *kernels;
    const struct tape_kernels *products; /* tape only */
    int rows;
    bool training;   /* tape only */
    struct rng *rng; /* tape_forward in training only: what is random comes from it */
    struct port in[LAYER_PORTS], out[LAYER_PORTS];
    const float *params; /* this layer's */
    const float *packed; /* forward: the layer's weights as these kernels want them */
    enum precision precision;
    float *grads;        /* backward only: d loss / d params, added to */
    float *const *state; /* of each row all of its state; this layer's part is at state_at */
    float *work;         /* forward: work_size floats; on a tape: tape_size floats, kept from forward to backward */
};

struct layer_ops {
    const char *name; /* Keras' class name */

    /* Checks the spec and in[] (n_in and in[] are set); resolves what the spec leaves open; sets n_out, out[], the
     * weights by layer_add_weight, and n_state. */
    int (*build)(struct layer *layer, struct layer_build *build);
    void (*init_weights)(const struct layer *layer, struct rng *rng, float *params); /* NULL: has none */

    /* The weights as the kernels want them (kernels.h): how many floats, 0 where the layer runs on its parameters as
     * they are; and making them. NULL: always runs so. */
    size_t (*packed_size)(const struct layer *layer);
    void (*pack)(const struct layer *layer, const struct kernels *kernels, enum precision precision,
                 const float *params, float *to);

    /* Floats of scratch; steps are those of input 0. NULL: none. */
    size_t (*work_size)(const struct layer *layer, int rows, int steps);
    size_t (*tape_size)(const struct layer *layer, int rows, int steps);

    void (*forward)(const struct layer *layer, const struct layer_run *run); /* through the kernels */
    /* By matrix products; NULL: as forward, which then may keep on its tape what backward needs. */
    void (*tape_forward)(const struct layer *layer, const struct layer_run *run);
    void (*backward)(const struct layer *layer, const struct layer_run *run); /* of the latest tape_forward */
    /* After a tape_forward in training: params, this layer's, take in what it kept. NULL: nothing to learn so. */
    void (*learn_statistics)(const struct layer *layer, const struct layer_run *run, float *params);
};

/* By kind; NULL past what there is. */
const struct layer_ops *layer_ops_of(enum layer_kind kind);
/* Keras' name for layers of a class, without a number; at most twice as long. */
void layer_snake_case(const char *class, char *ret_name);
extern const struct layer_ops layer_dense, layer_lstm, layer_gru, layer_simple_rnn, layer_bidirectional,
    layer_masking, layer_activation;
extern const struct layer_ops layer_embedding, layer_repeat_vector, layer_dropout, layer_spatial_dropout1d,
    layer_gaussian_noise, layer_gaussian_dropout, layer_alpha_dropout, layer_flatten, layer_reshape, layer_permute,
    layer_batch_normalization, layer_layer_normalization, layer_leaky_relu, layer_prelu, layer_conv1d,
    layer_max_pooling1d, layer_average_pooling1d, layer_global_max_pooling1d, layer_global_average_pooling1d,
    layer_add, layer_multiply, layer_concatenate;

/* ---- for build(); those that return int return -1 with the reason in build->err ------------- */

/* Whether the layer has from..to inputs. */
int layer_check_inputs(const struct layer *layer, const struct layer_build *build, int from, int to);
/* spec.units, and whatever else becomes a width: 1 .. NETWORK_WIDTH_MAX. */
int layer_check_size(const struct layer_build *build, const char *what, int size);
/* The next of the layer's weights, dims [n_dims]. */
int layer_add_weight(struct layer *layer, const struct layer_build *build, const char *name, bool trainable,
                     int n_dims, const int *dims);
/* The (only) output takes the shape and the mask of input 0, with another width; sets n_out. */
void layer_like_input(struct layer *layer, const struct layer_build *build, int width);
/* The fixed steps of an input, for a layer that must know them. */
int layer_fixed_steps(struct layer_build *build, const struct tensor *in, int *ret_steps);
/* For a layer that looks at all steps of input 0 at once: refuses the stream of a call's steps. */
int layer_refuse_stream(const struct layer *layer, const struct layer_build *build);

struct network {
    struct network_spec spec; /* layers: the network's copy */
    struct layer_spec *layer_specs;
    int n_tensors, n_layers, n_masks, n_outputs;
    int steps;              /* that every call has; 0: any */
    struct tensor *tensors; /* the input first */
    struct mask *masks;
    size_t room_fixed, room_steps; /* of all tensors and masks, as fixed_at and steps_at */
    struct layer *layers;          /* in an order in which a tensor is written before it is read */
    int outputs[LAYER_PORTS];      /* tensors, by their index */
    size_t n_params, state_size;
    void *params_block; /* as malloc gave it; params is aligned in it */
    float *params;
    enum precision precision;
    size_t n_packed;
    float *packed;                    /* the layers' packed weights; NULL: none yet */
    const struct kernels *packed_for; /* what they were packed for; NULL: the parameters may have changed since */
};

enum { LINE = 16 }; /* floats of a cache line, and of the widest vector */

/* So many floats, up to whole lines: what begins on one is followed by what begins on one. */
static inline size_t whole_lines(size_t n) {
    return (n + LINE - 1) / LINE * LINE;
}

/* Every row of y [n x width] = bias, or (NULL) zeros. */
static inline void rows_begin(size_t n, size_t width, const float *bias, float *y) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < width; j++)
            y[i * width + j] = bias ? bias[j] : 0;
}

/* Steps of a tensor in a call of `steps` steps, and its floats. */
static inline int tensor_steps(const struct tensor *tensor, int steps) {
    if (tensor->steps > 0)
        return tensor->steps;
    return steps > tensor->shrink ? (steps - tensor->shrink + tensor->stride - 1) / tensor->stride : 0;
}

static inline size_t tensor_size(const struct tensor *tensor, int rows, int steps) {
    return (size_t)rows * (size_t)tensor_steps(tensor, steps) * (size_t)tensor->width;
}

/* The weights of all layers, for those kernels, to [n_packed]. */
void network_pack_to(const struct network *network, const struct kernels *kernels, float *to);

/* Floats of scratch, or of tape, for a layer in a call of `steps` steps. */
size_t layer_work_size(const struct network *network, const struct layer *layer, int rows, int steps);
size_t layer_tape_size(const struct network *network, const struct layer *layer, int rows, int steps);

#endif
