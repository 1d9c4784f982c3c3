/*
 * A network: layers in a graph and their parameters in one flat array.
 *
 * While it serves, a network is constant: any number of threads may run it, each with its own
 * workspace and states. Training writes its parameters and therefore works on a clone.
 *
 * Sequences are time-major, [steps x rows x width], so that the rows of one step stand together;
 * a tensor without a time axis is [rows x width].
 *
 * State: whatever a layer carries from one call to the next (h and c of an LSTM), one run of
 * network_state_size() floats per row; zeros are the state of a stream that has seen nothing.
 */
#ifndef ENGINE_NETWORK_H
#define ENGINE_NETWORK_H

#include "engine/error.h"
#include "engine/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- what a network is made of -------------------------------------------------------------- */

/* In Keras' words; layers/kinds.c has the table of them, with their defaults. */
enum layer_kind {
    LAYER_DENSE,
    LAYER_LSTM,
    LAYER_GRU,
    LAYER_SIMPLE_RNN,
    LAYER_BIDIRECTIONAL,
    LAYER_EMBEDDING,
    LAYER_MASKING,
    LAYER_REPEAT_VECTOR,
    LAYER_DROPOUT, /* and its family (layers/dropout.c): they do nothing when serving */
    LAYER_SPATIAL_DROPOUT1D,
    LAYER_GAUSSIAN_NOISE,
    LAYER_GAUSSIAN_DROPOUT,
    LAYER_ALPHA_DROPOUT,
    LAYER_FLATTEN,
    LAYER_RESHAPE,
    LAYER_PERMUTE, /* swaps steps and width */
    LAYER_BATCH_NORMALIZATION,
    LAYER_LAYER_NORMALIZATION,
    LAYER_ACTIVATION,
    LAYER_LEAKY_RELU,
    LAYER_PRELU,
    LAYER_CONV1D,
    LAYER_MAX_POOLING1D,
    LAYER_AVERAGE_POOLING1D,
    LAYER_GLOBAL_MAX_POOLING1D,
    LAYER_GLOBAL_AVERAGE_POOLING1D,
    LAYER_ADD,
    LAYER_MULTIPLY,
    LAYER_CONCATENATE, /* along the width */
    N_LAYER_KINDS,
};

enum padding { PADDING_VALID, PADDING_SAME, PADDING_CAUSAL };
enum merge_mode { MERGE_CONCAT, MERGE_SUM, MERGE_MUL, MERGE_AVE };

enum {
    NETWORK_WIDTH_MAX = 65536, /* the widest a tensor may be: so that sizes in int cannot overflow */
    NETWORK_STEPS_MAX = 1 << 20,
    LAYER_PORTS = 8, /* most inputs, and most outputs, of a layer; and most outputs of a network */
    LAYER_NAME_MAX = 128,
};

/* Which tensor a layer reads: output `port` of layer `layer`, or (layer -1) the network's input. */
struct layer_input {
    int layer, port;
};

/* A layer as it is asked for. What a kind does not have it does not look at. layer_spec_of() gives Keras'
 * defaults. */
struct layer_spec {
    enum layer_kind kind;
    char name[LAYER_NAME_MAX]; /* "": its kind's, numbered; different within a network */

    int units;                  /* of dense and recurrent layers; filters; Embedding's outputs; RepeatVector's n */
    enum activation activation; /* dense, conv, recurrent, activation */
    bool use_bias;              /* dense, conv, recurrent */

    /* Recurrent layers; all of them, and merge, of Bidirectional, whose cell says which it holds twice. */
    enum layer_kind cell; /* of Bidirectional: LAYER_LSTM, LAYER_GRU or LAYER_SIMPLE_RNN */
    enum merge_mode merge;
    enum activation recurrent_activation;
    bool return_sequences, return_state, go_backwards, stateful;
    bool reset_after;                 /* GRU: the reset gate acts after the recurrent product; two rows of bias */
    bool zero_output_for_mask;        /* zeros come out at a masked step, else the output before it */
    float dropout, recurrent_dropout; /* in training; the rates of the Dropout family too, GaussianNoise's stddev */

    int vocabulary;   /* Embedding: ids are 0 .. vocabulary - 1 */
    bool mask_zero;   /* Embedding: id 0 is masked */
    float mask_value; /* Masking: a step is masked where all of it equals this */

    /* conv and pooling (kernel_size: pool_size; its strides may be 0, then they are the pool_size) */
    int kernel_size, strides, dilation;
    int groups;                     /* conv */
    enum padding padding;           /* conv and pooling */
    int target_steps, target_width; /* Reshape: either may be -1; target_steps 0: no time axis */

    float epsilon, momentum; /* normalization */
    bool center, scale;      /* normalization: has beta, has gamma */
    float alpha;             /* LeakyReLU: the slope below zero */
    bool shared_steps;       /* PReLU: one slope per width for all steps */
    bool keep_steps;         /* global pooling: keepdims */
    /* Layers of several inputs do with their masks as Keras 1 and 2 do, else as Keras 3 does: Add, Multiply,
     * Concatenate (layers/merge.c), and recurrent layers with an initial state, which in Keras 3 pass over no step,
     * and yet hand the mask on */
    bool keras2_masks;

    bool time_distributed;              /* was wrapped so in the file; means the same without */
    int n_in;                           /* 0: reads the layer before it (the first: the network's input) */
    struct layer_input in[LAYER_PORTS]; /* a recurrent layer's further inputs are its initial state */
    int shares;                         /* 1 + the layer whose parameters this one has too; 0: its own */
};

/* Whether it is a layer of one recurrent cell: LSTM, GRU, SimpleRNN. */
bool layer_is_recurrent(enum layer_kind kind);

/* Keras' defaults for a kind: glorot weights apart, what Keras' constructor has when only `units` is said. */
struct layer_spec layer_spec_of(enum layer_kind kind, int units);

/* How calls of a network follow each other. */
enum network_mode {
    NETWORK_SAMPLES,  /* each call is whole samples: every state begins at zero and is not kept */
    NETWORK_STATEFUL, /* Keras' predict on stateful layers: recurrent layers carry their state to the next call */
    NETWORK_STREAM,   /* calls are pieces of one sample without an end: causal convolutions carry their inputs too */
};

/*
 * A network as it is asked for. Which recurrent layers carry a state: those that say stateful; where none of them
 * does, all whose steps are those of the network's input (a decoder behind a RepeatVector begins anew in every call).
 * A layer with an initial state wired in never does.
 */
struct network_spec {
    enum network_mode mode;
    int n_inputs; /* width of the input; 1 where ids */
    bool ids;     /* the input is integer ids, [batch, time] in Keras */
    bool no_time; /* the input has no time axis: [batch, features] in Keras */
    /* Of a sample, for layers that must know it (Flatten, Reshape, Permute, PReLU): then every call has so many. 0:
     * not known, and such layers are refused. */
    int steps;
    /* [n_layers], in an order in which each reads only what is before it; borrowed. */
    const struct layer_spec *layers;
    int n_layers;
    struct layer_input outputs[LAYER_PORTS];
    int n_outputs; /* 0: the one output is that of the last layer */
};

/* Keras' name for a kind, "MaxPooling1D"; NULL where there is none. */
const char *layer_kind_name(enum layer_kind kind);

/* Whether a layer says itself which state is carried; else all on the steps of the call are. */
bool network_spec_is_stateful(const struct network_spec *spec);

/* ---- making one ----------------------------------------------------------------------------- */

struct network;

/* The network, its parameters zero. On failure returns NULL and says which layer is wrong and why (also where a layer
 * cannot run in the mode). Free with network_free. */
struct network *network_new(const struct network_spec *spec, struct error *err);
struct network *network_clone(const struct network *network); /* NULL without memory */
void network_free(struct network *network);

/* Keras' initial weights: Glorot uniform kernels, orthogonal recurrent kernels, zero biases but for
 * the forget gate's, which is one. The same seed gives the same bits. */
void network_init_weights(struct network *network, uint64_t seed);

/* ---- what it is ----------------------------------------------------------------------------- */

/* What it was made from; its layers have their names, and live as long as the network. */
const struct network_spec *network_spec(const struct network *network);

int network_n_inputs(const struct network *network); /* width of the input */
/* Of a network that reads ids: the smallest vocabulary of the Embeddings that do. 0: none does. */
int network_vocabulary(const struct network *network);
size_t network_state_size(const struct network *network); /* floats per row */

struct network_shape {
    int width;
    bool sequence; /* has a time axis */
    bool of_call;  /* its steps are those of the call, or follow from them; not those of a decoder */
    int steps;     /* in a call of the given steps; 1 without a time axis */
};
int network_n_outputs(const struct network *network);
/* Output `output` in a call of `steps` steps. */
struct network_shape network_output(const struct network *network, int output, int steps);
/* Output `port` of layer `layer`, the same way. */
struct network_shape network_layer_output(const struct network *network, int layer, int port, int steps);

/* The number of steps that every call must have, or 0: any from network_min_steps on (a valid convolution needs its
 * kernel's). */
int network_steps(const struct network *network);
int network_min_steps(const struct network *network);

/* A layer's part of a row's state: the pieces (h, c; of a convolution its last inputs, in one) as [n] floats each,
 * from `at` on. 0: it has none. */
int network_layer_states(const struct network *network, int layer, size_t *ret_at, int *ret_n);

/* An array among the parameters of a layer, by Keras' name for it. */
struct network_weight {
    /* "kernel", "recurrent_kernel", "bias", "gamma"...; Bidirectional's with "forward_" before it. */
    const char *name;
    int n_dims, dims[3];
    bool trainable;
    size_t at, n; /* in the flat array */
};
enum { LAYER_WEIGHTS = 6 };
/* Those of a layer in Keras 3's order of get_weights(), row-major and in Keras 3's gate order; returns how many. */
int network_weights(const struct network *network, int layer, struct network_weight ret_weights[LAYER_WEIGHTS]);

/* The parameters, layer after layer; a layer that shares another's has none of its own. Whoever writes them calls
 * network_pack afterwards, if ever. */
float *network_params(struct network *network);
const float *network_params_const(const struct network *network);
size_t network_n_params(const struct network *network);

/* ---- running -------------------------------------------------------------------------------- */

/* What the weights of Dense, LSTM and GRU (of tanh and sigmoid) are rounded to when the network serves; at first
 * floats. The parameters stay as they are, and so does training. */
void network_set_precision(struct network *network, enum precision precision);

/* Lays the weights out for the kernels, once they are what they will stay: until then each network_forward does it
 * for itself. Asking for the (writable) parameters undoes it. Returns -1 without memory. */
int network_pack(struct network *network, const struct kernels *kernels);

/* Floats of scratch that network_forward needs for so many rows and steps, or fewer rows. */
size_t network_work_size(const struct network *network, int rows, int steps);
/* The same with these kernels, as long as the weights stay as they are: fewer where they have been packed for them. */
size_t network_serving_size(const struct network *network, const struct kernels *kernels, int rows, int steps);

/* Runs `steps` steps of `rows` rows through the kernels. In a stateful network without masks results are bit for bit
 * the same for any grouping of rows and steps into calls, in every network for any grouping of rows.
 * x: the input, [steps x rows x width]; ids as floats (one out of range makes its row NaN);
 * state[r]: the state of row r, read and updated in place (NULL where network_state_size is 0); y[o]: output o,
 * [its steps x rows x its width]; work: network_work_size floats.
 * Allocates nothing, never blocks. */
void network_forward(const struct network *network, const struct kernels *kernels, int rows, int steps,
                     const float *x, float *const *state, float *const *y, float *work);

/*
 * Training: the same network by matrix products (engine/kernels/tape_kernels.h), keeping on a tape what
 * back-propagation needs. Results agree with network_forward up to rounding. Truncated
 * back-propagation through time is a run of chunks: forward and backward over `steps` steps, the
 * state carried into the next chunk, no gradient across the border.
 * A tape belongs to one thread at a time, and runs on it alone.
 */
struct tape;

/* For up to so many rows and steps of this network and of its clones. NULL without memory. */
struct tape *tape_new(const struct network *network, int max_rows, int max_steps);
void tape_free(struct tape *tape);

/* As network_forward, with state [rows x network_state_size] in one piece. With rng layers that differ in training do
 * as they do there (BatchNormalization takes the batch's own mean and variance; what is dropped is drawn from rng,
 * the same for the same rng); NULL: as when serving. The outputs (y[o]) stay valid until the next call on this
 * tape. */
struct rng;
void tape_forward(struct tape *tape, const struct network *network, const struct kernels *kernels, struct rng *rng,
                  int rows, int steps, const float *x, float *state, const float **y);

/* Adds d loss / d parameters to grads [network_n_params], given dy[o] = d loss / d y[o] of the
 * latest tape_forward; once for each of them, under the parameters that it saw. What is not trainable gets none. */
void tape_backward(struct tape *tape, const struct network *network, const float *const *dy, float *grads);

/* After a tape_forward in training: moves the moving mean and variance in the network's parameters towards those that
 * it saw. */
void tape_learn_statistics(const struct tape *tape, struct network *network);

#endif
