/*
 * A network: layers in a graph and their parameters in one flat array.
 *
 * While it serves, a network is constant: any number of threads may run it, each with its own
 * workspace and states. Training writes its parameters and therefore works on a clone.
 *
 * Sequences are time-major, [steps x rows x width], so that the rows of one step stand together;
 * with one step that is [rows x width].
 *
 * State: whatever a layer carries from one step to the next (h and c of an LSTM), one run of
 * network_state_size() floats per row; zeros are the state of a stream that has seen nothing.
 */
#ifndef ENGINE_NETWORK_H
#define ENGINE_NETWORK_H

#include "engine/error.h"
#include "engine/kernels/kernels.h"

#include <stddef.h>
#include <stdint.h>

enum layer_kind {
    LAYER_DENSE,
    LAYER_LSTM,
};

struct layer_spec {
    enum layer_kind kind;
    int units;
    enum activation activation; /* of a dense layer; an LSTM has Keras' own */
};

/* The widest a tensor may be: so that sizes in int cannot overflow. */
enum { NETWORK_WIDTH_MAX = 16384 };

struct network;

/* A chain of layers over n_inputs features, its parameters zero. On failure returns NULL and says
 * which layer is wrong. Free with network_free. */
struct network *network_new(int n_inputs, const struct layer_spec *layers, int n_layers, struct error *err);
struct network *network_clone(const struct network *network); /* NULL without memory */
void network_free(struct network *network);

/* Keras' initial weights: Glorot uniform kernels, orthogonal recurrent kernels, zero biases but for
 * the forget gate's, which is one. The same seed gives the same bits. */
void network_init_weights(struct network *network, uint64_t seed);

int network_n_inputs(const struct network *network);      /* width of input 0 */
int network_n_outputs(const struct network *network);     /* width of output 0 */
size_t network_state_size(const struct network *network); /* floats per row */

/* The parameters, layer after layer, in Keras' order (kernel, recurrent kernel, bias) and layout. */
float *network_params(struct network *network);
const float *network_params_const(const struct network *network);
size_t network_n_params(const struct network *network);

/* Floats of scratch that network_forward needs for so many rows and steps. */
size_t network_work_size(const struct network *network, int rows, int steps);

/* Runs `steps` steps of `rows` rows through the kernels, bit for bit the same for any grouping of
 * rows and steps into calls.
 * x[i]: input i, [steps x rows x width]; mask: [steps x rows], 0 where a step is to be passed over
 * (the row's state stays, and the output repeats the one before; it means nothing where no layer has
 * state), or NULL; state[r]: the state of row r, read and updated in place; y[o]: output o,
 * [steps x rows x width]; work: network_work_size floats.
 * Allocates nothing, never blocks. */
void network_forward(const struct network *network, const struct kernels *kernels, int rows, int steps,
                     const float *const *x, const uint8_t *mask, float *const *state, float *const *y, float *work);

/*
 * Training: the same network by matrix products (OpenBLAS), keeping on a tape what
 * back-propagation needs. Results agree with network_forward up to rounding. Truncated
 * back-propagation through time is a run of chunks: forward and backward over `steps` steps, the
 * state carried into the next chunk, no gradient across the border.
 * A tape belongs to one thread at a time, and runs on it alone: OpenBLAS is set to one thread, for the
 * whole process, when a tape is made.
 */
struct tape;

/* For up to so many rows and steps of this network and of its clones. NULL without memory. */
struct tape *tape_new(const struct network *network, int max_rows, int max_steps);
void tape_free(struct tape *tape);

/* As network_forward, with state [rows x network_state_size] in one piece. The outputs (y[o]) stay
 * valid until the next call on this tape. */
void tape_forward(struct tape *tape, const struct network *network, const struct kernels *kernels, int rows,
                  int steps, const float *const *x, const uint8_t *mask, float *state, const float **y);

/* Adds d loss / d parameters to grads [network_n_params], given dy[o] = d loss / d y[o] of the
 * latest tape_forward; once for each of them, under the parameters that it saw. */
void tape_backward(struct tape *tape, const struct network *network, const float *const *dy, float *grads);

#endif
