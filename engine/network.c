#include "engine/layers/layer.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

/* ---- what it is --------------------------------------------------------------------------------- */

const struct network_spec *network_spec(const struct network *network) {
    return &network->spec;
}

int network_n_inputs(const struct network *network) {
    return network->spec.n_inputs;
}

int network_vocabulary(const struct network *network) {
    int smallest = 0;
    for (int i = 0; network->spec.ids && i < network->n_layers; i++) {
        const struct layer *layer = &network->layers[i];
        if (layer->spec.kind == LAYER_EMBEDDING && layer->in[0] == 0 &&
            (smallest == 0 || layer->spec.vocabulary < smallest))
            smallest = layer->spec.vocabulary;
    }
    return smallest;
}

int network_n_outputs(const struct network *network) {
    return network->n_outputs;
}

static struct network_shape shape_of(const struct tensor *tensor, int steps) {
    return (struct network_shape){
        .width = tensor->width,
        .sequence = tensor->sequence,
        .of_call = tensor->of_call,
        .steps = tensor_steps(tensor, steps),
    };
}

struct network_shape network_output(const struct network *network, int output, int steps) {
    return shape_of(&network->tensors[network->outputs[output]], steps);
}

struct network_shape network_layer_output(const struct network *network, int layer, int port, int steps) {
    return shape_of(&network->tensors[network->layers[layer].out[port]], steps);
}

int network_steps(const struct network *network) {
    return network->steps;
}

int network_min_steps(const struct network *network) {
    int most = 0;
    for (int i = 0; i < network->n_tensors; i++)
        if (network->tensors[i].steps == 0 && network->tensors[i].shrink > most)
            most = network->tensors[i].shrink;
    return network->steps > 0 ? network->steps : most + 1;
}

size_t network_state_size(const struct network *network) {
    return network->state_size;
}

int network_layer_states(const struct network *network, int index, size_t *ret_at, int *ret_n) {
    const struct layer *layer = &network->layers[index];
    *ret_at = layer->state_at;
    if (layer->n_state == 0)
        return 0;
    bool inputs = layer->spec.kind == LAYER_CONV1D;
    *ret_n = inputs ? (int)layer->n_state : layer->spec.units;
    return (int)(layer->n_state / (size_t)*ret_n);
}

int network_weights(const struct network *network, int index, struct network_weight ret_weights[LAYER_WEIGHTS]) {
    const struct layer *layer = &network->layers[index];
    for (int i = 0; i < layer->n_weights; i++) {
        ret_weights[i] = layer->weights[i];
        ret_weights[i].at += layer->params_at;
    }
    return layer->n_weights;
}

float *network_params(struct network *network) {
    network->packed_for = NULL;
    return network->params;
}

const float *network_params_const(const struct network *network) {
    return network->params;
}

size_t network_n_params(const struct network *network) {
    return network->n_params;
}

/* ---- running ------------------------------------------------------------------------------------ */

size_t layer_work_size(const struct network *network, const struct layer *layer, int rows, int steps) {
    int own_steps = tensor_steps(&network->tensors[layer->in[0]], steps);
    return layer->ops->work_size ? layer->ops->work_size(layer, rows, own_steps) : 0;
}

size_t layer_tape_size(const struct network *network, const struct layer *layer, int rows, int steps) {
    int own_steps = tensor_steps(&network->tensors[layer->in[0]], steps);
    return layer->ops->tape_size ? layer->ops->tape_size(layer, rows, own_steps) : 0;
}

/* The layers' scratch, which they share: in the workspace packed weights come first, then the tensors, and then
 * this. */
static size_t scratch_size(const struct network *network, int rows, int steps) {
    size_t most = 0;
    for (int i = 0; i < network->n_layers; i++) {
        size_t size = layer_work_size(network, &network->layers[i], rows, steps);
        most = size > most ? size : most;
    }
    return most;
}

void network_pack_to(const struct network *network, const struct kernels *kernels, float *to) {
    for (int i = 0; i < network->n_layers; i++) {
        const struct layer *layer = &network->layers[i];
        if (layer->n_packed > 0)
            layer->ops->pack(layer, kernels, network->precision, network->params + layer->params_at,
                             to + layer->packed_at);
    }
}

void network_set_precision(struct network *network, enum precision precision) {
    network->precision = precision;
    network->packed_for = NULL;
}

int network_pack(struct network *network, const struct kernels *kernels) {
    if (network->packed == NULL) {
        size_t line = LINE * sizeof *network->packed, bytes = network->n_packed * sizeof *network->packed;
        network->packed = aligned_alloc(line, bytes + line); /* never of size zero */
        if (network->packed == NULL)
            return -1;
    }
    network_pack_to(network, kernels, network->packed);
    network->packed_for = kernels;
    return 0;
}

/* Weights that are packed in each call begin the workspace. */
static size_t room_to_pack(const struct network *network, const struct kernels *kernels) {
    return network->packed_for != kernels ? network->n_packed : 0;
}

/* Behind them. */
static size_t room_to_run(const struct network *network, int rows, int steps) {
    return scratch_size(network, rows, steps) +
           (size_t)rows * (network->room_fixed + (size_t)steps * network->room_steps);
}

size_t network_work_size(const struct network *network, int rows, int steps) {
    return network->n_packed + room_to_run(network, rows, steps);
}

size_t network_serving_size(const struct network *network, const struct kernels *kernels, int rows, int steps) {
    return room_to_pack(network, kernels) + room_to_run(network, rows, steps);
}

/* One call's arguments. */
struct call {
    int rows, steps;
    const float *x;
    float *const *y;
    float *tensors; /* in the workspace */
};

static float *room_at(const struct call *call, size_t fixed_at, size_t steps_at) {
    return call->tensors + (size_t)call->rows * (fixed_at + (size_t)call->steps * steps_at);
}

/* Through a pointer: a struct that is returned is written by parts and read as a whole, for which the processor waits. */
static void set_port(const struct network *network, int id, const struct call *call, struct port *port) {
    const struct tensor *tensor = &network->tensors[id];

    port->width = tensor->width;
    port->steps = tensor_steps(tensor, call->steps);
    if (id == 0)
        port->data = (float *)call->x; /* layers only read what comes in */
    else if (tensor->output >= 0)
        port->data = call->y[tensor->output];
    else
        port->data = room_at(call, tensor->fixed_at, tensor->steps_at);
    port->mask = NULL;
    if (tensor->mask >= 0) {
        const struct mask *mask = &network->masks[tensor->mask];
        port->mask = (uint8_t *)room_at(call, mask->fixed_at, mask->steps_at);
    }
}

/* Of a layer's n tensors; those that only the layer before it had, of so many, are none again. */
static void set_ports(const struct network *network, int n, const int *ids, const struct call *call, int before,
                      struct port *ports) {
    for (int p = 0; p < n; p++)
        set_port(network, ids[p], call, &ports[p]);
    for (int p = n; p < before; p++)
        ports[p] = (struct port){0};
}

void network_forward(const struct network *network, const struct kernels *kernels, int rows, int steps,
                     const float *x, float *const *state, float *const *y, float *work) {
    assert(rows >= 0 && steps >= 0 && (rows == 0 || steps <= INT_MAX / rows));
    assert(steps == 0 || (network->steps > 0 ? steps == network->steps : steps >= network_min_steps(network)));
    const float *packed = network->packed;
    if (network->packed_for != kernels) {
        network_pack_to(network, kernels, work);
        packed = work;
    }
    work += room_to_pack(network, kernels);
    struct call call = {.rows = rows, .steps = steps, .x = x, .y = y, .tensors = work};
    work += (size_t)rows * (network->room_fixed + (size_t)steps * network->room_steps);

    struct layer_run run = {
        .kernels = kernels, .rows = rows, .state = state, .work = work, .precision = network->precision};
    int n_in = 0, n_out = 0;
    for (int i = 0; i < network->n_layers; i++) {
        const struct layer *layer = &network->layers[i];
        run.params = network->params + layer->params_at;
        run.packed = packed + layer->packed_at;
        set_ports(network, layer->n_in, layer->in, &call, n_in, run.in);
        set_ports(network, layer->n_out, layer->out, &call, n_out, run.out);
        n_in = layer->n_in;
        n_out = layer->n_out;
        layer->ops->forward(layer, &run);
    }
}
