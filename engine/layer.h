/*
 * Inside a network: the graph, and the interface between it and the kinds of layers. For network.c,
 * tape.c and one file per kind; everybody else uses network.h.
 *
 * A layer takes tensors in and gives tensors out, through ports; the graph says which tensor is at
 * which port. It may own parameters, and state that each row carries from step to step. It is a plain
 * value: a copy of the struct is a copy of the layer.
 */
#ifndef ENGINE_LAYER_H
#define ENGINE_LAYER_H

#include "engine/network.h"
#include "engine/random.h"

enum {
    LAYER_PORTS = 8, /* most inputs, and most outputs, of a layer */
};

/* What flows along an edge of the graph: for each row `steps` vectors of `width` floats. */
struct tensor {
    int width;
    int steps;     /* a fixed number (1: no time axis), or 0: as many as the call has */
    int masked_by; /* the input tensor whose mask holds for this one too; -1: none */

    int input, output; /* which of the network's inputs, or outputs, this is; -1: none */
    /* Where it begins among all tensors: rows * (fixed_at + steps of the call * steps_at) floats. */
    size_t fixed_at, steps_at;
};

struct layer {
    const struct layer_ops *ops;
    struct layer_spec spec;
    int n_in, n_out;
    int in[LAYER_PORTS], out[LAYER_PORTS]; /* tensors, by their index */
    size_t params_at, n_params;            /* in the network's flat array */
    size_t state_at, n_state;              /* in a row's state */
};

/* A tensor during a run. */
struct port {
    int width, steps;
    float *data;         /* [steps x rows x width]; at an input it is only read */
    const uint8_t *mask; /* [steps x rows], 0 where the step is passed over; NULL: none is */
    float *grad;         /* backward only: d loss / d data; at an input it is added to, NULL where nobody asks */
};

struct layer_run {
    const struct kernels *kernels;
    int rows;
    struct port in[LAYER_PORTS], out[LAYER_PORTS];
    const float *params; /* this layer's */
    float *grads;        /* backward only: d loss / d params, added to */
    float *const *state; /* of each row all of its state; this layer's part is at state_at */
    float *work;         /* forward: work_size floats; on a tape: tape_size floats, kept from forward to backward */
};

struct layer_ops {
    const char *name;

    /* Checks in[] and the spec; sets n_out, out[] (width, steps, masked_by), n_params and n_state. */
    int (*build)(struct layer *layer, const struct tensor *in, struct tensor *out, struct error *err);
    void (*init_weights)(const struct layer *layer, struct rng *rng, float *params);

    /* Floats of scratch; steps are those of input 0. NULL: none. */
    size_t (*work_size)(const struct layer *layer, int rows, int steps);
    size_t (*tape_size)(const struct layer *layer, int rows, int steps);

    void (*forward)(const struct layer *layer, const struct layer_run *run);      /* through the kernels */
    void (*tape_forward)(const struct layer *layer, const struct layer_run *run); /* by matrix products */
    void (*backward)(const struct layer *layer, const struct layer_run *run);     /* of the latest tape_forward */
};

extern const struct layer_ops layer_dense, layer_lstm;

struct network {
    int n_tensors, n_layers, n_inputs, n_outputs;
    struct tensor *tensors;
    struct layer *layers;  /* in an order in which a tensor is written before it is read */
    int *inputs, *outputs; /* tensors, by their index */
    size_t n_params, state_size;
    float *params;
};

/* Steps of a tensor in a call of `steps` steps, and its floats. */
static inline int tensor_steps(const struct tensor *tensor, int steps) {
    return tensor->steps ? tensor->steps : steps;
}

static inline size_t tensor_size(const struct tensor *tensor, int rows, int steps) {
    return (size_t)rows * (size_t)tensor_steps(tensor, steps) * (size_t)tensor->width;
}

/* Floats of scratch, or of tape, for a layer in a call of `steps` steps. */
size_t layer_work_size(const struct network *network, const struct layer *layer, int rows, int steps);
size_t layer_tape_size(const struct network *network, const struct layer *layer, int rows, int steps);

#endif
