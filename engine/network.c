#include "engine/layer.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARAMS_ALIGNMENT = 64,
};

static const struct layer_ops *const kinds[] = {
    [LAYER_DENSE] = &layer_dense,
    [LAYER_LSTM] = &layer_lstm,
};

/* ---- building ----------------------------------------------------------------------------------- */

static int add_tensor(struct network *network, int width, int steps, int masked_by) {
    int id = network->n_tensors++;
    network->tensors[id] =
        (struct tensor){.width = width, .steps = steps, .masked_by = masked_by, .input = -1, .output = -1};
    return id;
}

/* The next layer, reading in[n_in]; its output tensors are new. It has no name in errors yet: see network_new. */
static int add_layer(struct network *network, const struct layer_spec *spec, int n_in, const int *in,
                     struct error *err) {
    struct layer layer = {.ops = kinds[spec->kind], .spec = *spec, .n_in = n_in};
    struct tensor ins[LAYER_PORTS], outs[LAYER_PORTS];

    if (spec->units < 1 || spec->units > NETWORK_WIDTH_MAX)
        return error_set(err, "units is %d, and must be from 1 to %d", spec->units, NETWORK_WIDTH_MAX);
    for (int i = 0; i < n_in; i++) {
        layer.in[i] = in[i];
        ins[i] = network->tensors[in[i]];
    }
    if (layer.ops->build(&layer, ins, outs, err))
        return -1;
    for (int i = 0; i < layer.n_out; i++)
        layer.out[i] = add_tensor(network, outs[i].width, outs[i].steps, outs[i].masked_by);
    layer.params_at = network->n_params;
    layer.state_at = network->state_size;
    network->n_params += layer.n_params;
    network->state_size += layer.n_state;
    network->layers[network->n_layers++] = layer;
    return 0;
}

/* Room in the workspace for each tensor that is neither given by the caller nor returned to him. */
static void place_tensors(struct network *network) {
    size_t fixed = 0, steps = 0;
    for (int i = 0; i < network->n_tensors; i++) {
        struct tensor *tensor = &network->tensors[i];
        if (tensor->input >= 0 || tensor->output >= 0)
            continue;
        tensor->fixed_at = fixed;
        tensor->steps_at = steps;
        if (tensor->steps)
            fixed += (size_t)tensor->steps * (size_t)tensor->width;
        else
            steps += (size_t)tensor->width;
    }
}

static int allocate_params(struct network *network) {
    size_t size = (network->n_params * sizeof(float) / PARAMS_ALIGNMENT + 1) * PARAMS_ALIGNMENT;
    network->params = aligned_alloc(PARAMS_ALIGNMENT, size);
    if (!network->params)
        return -1;
    memset(network->params, 0, size);
    return 0;
}

/* A graph with room for so much, and nothing in it. NULL without memory. */
static struct network *network_alloc(int n_tensors, int n_layers, int n_inputs, int n_outputs) {
    struct network *network = calloc(1, sizeof *network);
    if (!network)
        return NULL;
    network->tensors = calloc((size_t)n_tensors, sizeof *network->tensors);
    network->layers = calloc((size_t)n_layers, sizeof *network->layers);
    network->inputs = calloc((size_t)n_inputs, sizeof *network->inputs);
    network->outputs = calloc((size_t)n_outputs, sizeof *network->outputs);
    if (!network->tensors || !network->layers || !network->inputs || !network->outputs) {
        network_free(network);
        return NULL;
    }
    network->n_inputs = n_inputs;
    network->n_outputs = n_outputs;
    return network;
}

static int build_chain(struct network *network, int n_inputs, const struct layer_spec *layers, int n_layers,
                       struct error *err) {
    int at = add_tensor(network, n_inputs, 0, 0);
    network->tensors[at].input = 0;
    network->inputs[0] = at;
    for (int i = 0; i < n_layers; i++) {
        if ((size_t)layers[i].kind >= sizeof kinds / sizeof *kinds)
            return error_set(err, "layer %d of %d: kind %d is unknown", i + 1, n_layers, (int)layers[i].kind);
        if (add_layer(network, &layers[i], 1, &at, err))
            return error_prefix(err, "layer %d of %d (%s)", i + 1, n_layers, kinds[layers[i].kind]->name);
        at = network->layers[i].out[0];
    }
    network->tensors[at].output = 0;
    network->outputs[0] = at;
    return 0;
}

struct network *network_new(int n_inputs, const struct layer_spec *layers, int n_layers, struct error *err) {
    if (n_inputs < 1 || n_inputs > NETWORK_WIDTH_MAX) {
        error_set(err, "a network has %d inputs, and must have from 1 to %d", n_inputs, NETWORK_WIDTH_MAX);
        return NULL;
    }
    if (n_layers < 1) {
        error_set(err, "a network has no layers");
        return NULL;
    }
    struct network *network = network_alloc(1 + n_layers * LAYER_PORTS, n_layers, 1, 1);
    if (!network) {
        error_set(err, "not enough memory for a network");
        return NULL;
    }
    if (build_chain(network, n_inputs, layers, n_layers, err))
        goto free_network;
    place_tensors(network);
    if (allocate_params(network)) {
        error_set(err, "not enough memory for %zu parameters", network->n_params);
        goto free_network;
    }
    return network;

free_network:
    network_free(network);
    return NULL;
}

struct network *network_clone(const struct network *network) {
    struct network *clone =
        network_alloc(network->n_tensors, network->n_layers, network->n_inputs, network->n_outputs);
    if (!clone)
        return NULL;
    clone->n_tensors = network->n_tensors;
    clone->n_layers = network->n_layers;
    clone->n_params = network->n_params;
    clone->state_size = network->state_size;
    memcpy(clone->tensors, network->tensors, (size_t)network->n_tensors * sizeof *network->tensors);
    memcpy(clone->layers, network->layers, (size_t)network->n_layers * sizeof *network->layers);
    memcpy(clone->inputs, network->inputs, (size_t)network->n_inputs * sizeof *network->inputs);
    memcpy(clone->outputs, network->outputs, (size_t)network->n_outputs * sizeof *network->outputs);
    if (allocate_params(clone)) {
        network_free(clone);
        return NULL;
    }
    memcpy(clone->params, network->params, network->n_params * sizeof *network->params);
    return clone;
}

void network_free(struct network *network) {
    if (!network)
        return;
    free(network->tensors);
    free(network->layers);
    free(network->inputs);
    free(network->outputs);
    free(network->params);
    free(network);
}

void network_init_weights(struct network *network, uint64_t seed) {
    struct rng rng = {.state = seed};
    for (int i = 0; i < network->n_layers; i++) {
        const struct layer *layer = &network->layers[i];
        layer->ops->init_weights(layer, &rng, network->params + layer->params_at);
    }
}

int network_n_inputs(const struct network *network) {
    return network->tensors[network->inputs[0]].width;
}

int network_n_outputs(const struct network *network) {
    return network->tensors[network->outputs[0]].width;
}

size_t network_state_size(const struct network *network) {
    return network->state_size;
}

float *network_params(struct network *network) {
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

/* The layers' scratch, which they share: it comes first in the workspace, the tensors after it. */
static size_t scratch_size(const struct network *network, int rows, int steps) {
    size_t most = 0;
    for (int i = 0; i < network->n_layers; i++) {
        size_t size = layer_work_size(network, &network->layers[i], rows, steps);
        most = size > most ? size : most;
    }
    return most;
}

size_t network_work_size(const struct network *network, int rows, int steps) {
    size_t size = scratch_size(network, rows, steps);
    for (int i = 0; i < network->n_tensors; i++)
        if (network->tensors[i].input < 0 && network->tensors[i].output < 0)
            size += tensor_size(&network->tensors[i], rows, steps);
    return size;
}

/* One call's arguments. */
struct call {
    int rows, steps;
    const float *const *x;
    const uint8_t *mask;
    float *const *y;
    float *tensors; /* the workspace past the scratch */
};

static struct port port_of(const struct network *network, int id, const struct call *call) {
    const struct tensor *tensor = &network->tensors[id];
    struct port port = {.width = tensor->width, .steps = tensor_steps(tensor, call->steps)};

    if (tensor->input >= 0)
        port.data = (float *)call->x[tensor->input]; /* layers only read what comes in */
    else if (tensor->output >= 0)
        port.data = call->y[tensor->output];
    else
        port.data = call->tensors + (size_t)call->rows * (tensor->fixed_at + (size_t)call->steps * tensor->steps_at);
    port.mask = tensor->masked_by >= 0 ? call->mask : NULL;
    return port;
}

void network_forward(const struct network *network, const struct kernels *kernels, int rows, int steps,
                     const float *const *x, const uint8_t *mask, float *const *state, float *const *y, float *work) {
    assert(rows >= 0 && steps >= 0 && (rows == 0 || steps <= INT_MAX / rows));
    struct call call = {.rows = rows,
                        .steps = steps,
                        .x = x,
                        .mask = mask,
                        .y = y,
                        .tensors = work + scratch_size(network, rows, steps)};

    for (int i = 0; i < network->n_layers; i++) {
        const struct layer *layer = &network->layers[i];
        struct layer_run run = {.kernels = kernels,
                                .rows = rows,
                                .state = state,
                                .work = work,
                                .params = network->params + layer->params_at};
        for (int p = 0; p < layer->n_in; p++)
            run.in[p] = port_of(network, layer->in[p], &call);
        for (int p = 0; p < layer->n_out; p++)
            run.out[p] = port_of(network, layer->out[p], &call);
        layer->ops->forward(layer, &run);
    }
}
