/* From a spec to a network: names, the graph, room for tensors and parameters. */
#include "engine/layers/layer.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARAMS_ALIGNMENT = 64,
};

/* ---- names -------------------------------------------------------------------------------------- */

const char *layer_kind_name(enum layer_kind kind) {
    const struct layer_ops *ops = layer_ops_of(kind);
    return ops ? ops->name : NULL;
}

/* As to_snake_case of keras/src/utils/naming.py: "MaxPooling1D" is "max_pooling1d", "PReLU" is "p_re_lu". */
void layer_snake_case(const char *class, char *ret_name) {
    size_t n = 0;
    for (const char *c = class; *c != '\0'; c++) {
        if (c > class && isupper((unsigned char)*c) &&
            (islower((unsigned char)c[-1]) || islower((unsigned char)c[1])))
            ret_name[n++] = '_';
        ret_name[n++] = (char)tolower((unsigned char)*c);
    }
    ret_name[n] = '\0';
}

/* Keras' own name for a layer without one: its class in snake case, numbered from the second on. */
static void default_name(const char *class, int number, char *ret_name) {
    layer_snake_case(class, ret_name);
    if (number > 0)
        snprintf(ret_name + strlen(ret_name), LAYER_NAME_MAX - strlen(ret_name), "_%d", number);
}

static bool is_taken(const struct layer_spec *layers, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(layers[i].name, name) == 0)
            return true;
    return false;
}

static int name_layers(struct network *network, struct error *err) {
    struct layer_spec *layers = network->layer_specs;
    int n = network->spec.n_layers;
    for (int i = 0; i < n; i++) {
        const struct layer_ops *ops = layer_ops_of(layers[i].kind);
        if (ops == NULL)
            return error_set(err, "layer %d of %d: kind %d is unknown", i + 1, n, (int)layers[i].kind);
        if (layers[i].name[0] != '\0') {
            if (is_taken(layers, i, layers[i].name))
                return error_set(err, "layer %d of %d: a second layer %s", i + 1, n, layers[i].name);
            continue;
        }
        for (int number = 0; layers[i].name[0] == '\0' || is_taken(layers, i, layers[i].name); number++)
            default_name(ops->name, number, layers[i].name);
    }
    return 0;
}

/* ---- building ----------------------------------------------------------------------------------- */

bool layer_is_recurrent(enum layer_kind kind) {
    return kind == LAYER_LSTM || kind == LAYER_GRU || kind == LAYER_SIMPLE_RNN;
}

/* Whether it may carry a state. */
static bool has_state(enum layer_kind kind) {
    return layer_is_recurrent(kind) || kind == LAYER_BIDIRECTIONAL;
}

bool network_spec_is_stateful(const struct network_spec *spec) {
    for (int i = 0; i < spec->n_layers; i++)
        if (has_state(spec->layers[i].kind) && spec->layers[i].stateful)
            return true;
    return false;
}

/* The tensor that a layer reads; index is that of the reading layer. -1 with the reason when there is none. */
static int tensor_at(const struct network *network, struct layer_input from, int index, struct error *err) {
    if (from.layer == -1 && from.port == 0)
        return 0;
    if (from.layer < 0 || from.layer >= index)
        return error_set(err, "reads layer %d, which is not before it", from.layer + 1);
    const struct layer *layer = &network->layers[from.layer];
    if (from.port < 0 || from.port >= layer->n_out)
        return error_set(err, "reads output %d of %s, which has %d", from.port, layer->spec.name, layer->n_out);
    return layer->out[from.port];
}

/* Finds where the layer's parameters lie: its own, or another's. */
static int place_params(struct network *network, struct layer *layer, int index, struct error *err) {
    layer->params_at = network->n_params;
    if (layer->spec.shares == 0) {
        network->n_params += layer->n_params;
        return 0;
    }
    if (layer->spec.shares < 0 || layer->spec.shares > index)
        return error_set(err, "shares the parameters of layer %d, which is not before it", layer->spec.shares);
    const struct layer *other = &network->layers[layer->spec.shares - 1];
    bool same = other->ops == layer->ops && other->n_weights == layer->n_weights;
    for (int i = 0; same && i < layer->n_weights; i++)
        same = memcmp(other->weights[i].dims, layer->weights[i].dims, sizeof layer->weights[i].dims) == 0;
    if (!same)
        return error_set(err, "cannot share the parameters of %s, which have another shape", other->spec.name);
    layer->params_at = other->params_at;
    return 0;
}

/* The next layer; its output tensors are new. */
static int add_layer(struct network *network, int index, bool said, bool *ret_needs_steps, struct error *err) {
    const struct layer_spec *spec = &network->layer_specs[index];
    struct layer layer = {.ops = layer_ops_of(spec->kind), .spec = *spec, .mode = network->spec.mode};
    struct tensor ins[LAYER_PORTS], outs[LAYER_PORTS];
    struct layer_build build = {.in = ins, .out = outs, .new_mask = network->n_masks, .err = err};

    if (spec->n_in < 0 || spec->n_in > LAYER_PORTS)
        return error_set(err, "has %d inputs, and may have %d", spec->n_in, LAYER_PORTS);
    layer.n_in = spec->n_in > 0 ? spec->n_in : 1;
    for (int i = 0; i < layer.n_in; i++) {
        struct layer_input before = {index - 1, 0};
        layer.in[i] = tensor_at(network, spec->n_in > 0 ? spec->in[i] : before, index, err);
        if (layer.in[i] < 0)
            return -1;
        ins[i] = network->tensors[layer.in[i]];
    }
    layer.carries = has_state(spec->kind) && layer.n_in == 1 && layer.mode != NETWORK_SAMPLES &&
                    (said ? spec->stateful : ins[0].of_call);
    int failed = layer.ops->build(&layer, &build);
    *ret_needs_steps = build.needs_steps;
    if (failed || place_params(network, &layer, index, err))
        return -1;
    for (int i = 0; i < layer.n_out; i++) {
        layer.out[i] = network->n_tensors++;
        outs[i].output = -1;
        network->tensors[layer.out[i]] = outs[i];
        if (outs[i].mask == network->n_masks)
            network->masks[network->n_masks++].tensor = layer.out[i];
    }
    layer.state_at = network->state_size;
    network->state_size += layer.n_state;
    network->layers[network->n_layers++] = layer;
    return 0;
}

/* Which tensors come out; those of the last layer where the spec does not say. */
static int choose_outputs(struct network *network, struct error *err) {
    struct network_spec *spec = &network->spec;
    if (spec->n_outputs == 0) {
        spec->outputs[0] = (struct layer_input){spec->n_layers - 1, 0};
        spec->n_outputs = 1;
    }
    network->n_outputs = spec->n_outputs;
    for (int o = 0; o < spec->n_outputs; o++) {
        int id = tensor_at(network, spec->outputs[o], spec->n_layers, err);
        if (id < 0)
            return error_prefix(err, "output %d", o);
        if (id == 0 || network->tensors[id].output >= 0)
            return error_set(err, "output %d: %s", o, id == 0 ? "is the input itself" : "comes out a second time");
        network->tensors[id].output = o;
        network->outputs[o] = id;
    }
    return 0;
}

/* All layers, on an input of so many steps (0: any). On failure *ret_needs_steps says whether a number would help. */
static int build_graph(struct network *network, int steps, bool *ret_needs_steps, struct error *err) {
    const struct network_spec *spec = &network->spec;
    bool said = network_spec_is_stateful(spec);
    network->n_layers = network->n_masks = 0;
    network->n_params = network->state_size = 0;
    network->steps = spec->no_time ? 1 : steps;
    network->n_tensors = 1;
    network->tensors[0] = (struct tensor){
        .width = spec->n_inputs,
        .sequence = !spec->no_time,
        .steps = network->steps,
        .stride = 1,
        .of_call = true,
        .mask = -1,
        .output = -1,
    };
    for (int i = 0; i < spec->n_layers; i++)
        if (add_layer(network, i, said, ret_needs_steps, err))
            return error_prefix(err, "layer %s (%s)", network->layer_specs[i].name,
                                layer_ops_of(network->layer_specs[i].kind)->name);
    return choose_outputs(network, err);
}

/* Room in the workspace for each tensor that is neither given by the caller nor returned to him, and each mask. That
 * of a tensor with fewer steps than the call is what the call's would take. */
static void place_tensors(struct network *network) {
    size_t fixed = 0, steps = 0;
    for (int i = 1; i < network->n_tensors; i++) {
        struct tensor *tensor = &network->tensors[i];
        tensor->fixed_at = fixed;
        tensor->steps_at = steps;
        if (tensor->output >= 0)
            continue;
        fixed += (size_t)tensor->steps * (size_t)tensor->width;
        steps += tensor->steps > 0 ? 0 : (size_t)tensor->width;
    }
    for (int m = 0; m < network->n_masks; m++) {
        const struct tensor *tensor = &network->tensors[network->masks[m].tensor];
        network->masks[m].fixed_at = fixed;
        network->masks[m].steps_at = steps;
        fixed += (size_t)tensor->steps;
        steps += tensor->steps > 0 ? 0 : 1;
    }
    network->room_fixed = fixed;
    network->room_steps = steps;
}

/* Each layer's packed weights begin at a line of the cache. */
static void place_packed(struct network *network) {
    network->n_packed = 0;
    for (int i = 0; i < network->n_layers; i++) {
        struct layer *layer = &network->layers[i];
        layer->packed_at = network->n_packed;
        layer->n_packed = layer->ops->packed_size ? layer->ops->packed_size(layer) : 0;
        network->n_packed += whole_lines(layer->n_packed);
    }
}

/* Zeros that take no memory before they are written: a file may ask for much more than it then has weights for. */
static int allocate_params(struct network *network) {
    if (network->n_params > INT_MAX)
        return -1;
    network->params_block = calloc(network->n_params * sizeof(float) + PARAMS_ALIGNMENT, 1);
    if (!network->params_block)
        return -1;
    size_t past = (uintptr_t)network->params_block % PARAMS_ALIGNMENT;
    network->params = (float *)(void *)((char *)network->params_block + (PARAMS_ALIGNMENT - past));
    return 0;
}

/* A graph with room for the layers of the spec, which it copies, and nothing in it. NULL without memory. */
static struct network *network_alloc(const struct network_spec *spec) {
    struct network *network = calloc(1, sizeof *network);
    if (!network)
        return NULL;
    size_t n = (size_t)spec->n_layers;
    network->spec = *spec;
    network->tensors = calloc(1 + n * LAYER_PORTS, sizeof *network->tensors);
    network->masks = calloc(n, sizeof *network->masks);
    network->layers = calloc(n, sizeof *network->layers);
    network->layer_specs = calloc(n, sizeof *network->layer_specs);
    if (!network->tensors || !network->masks || !network->layers || !network->layer_specs) {
        network_free(network);
        return NULL;
    }
    memcpy(network->layer_specs, spec->layers, n * sizeof *spec->layers);
    network->spec.layers = network->layer_specs;
    return network;
}

static int check_spec(const struct network_spec *spec, struct error *err) {
    if (spec->n_inputs < 1 || spec->n_inputs > NETWORK_WIDTH_MAX)
        return error_set(err, "a network has %d inputs, and must have from 1 to %d", spec->n_inputs,
                         NETWORK_WIDTH_MAX);
    if (spec->steps < 0 || spec->steps > NETWORK_STEPS_MAX)
        return error_set(err, "a network's samples have %d steps, and may have %d", spec->steps, NETWORK_STEPS_MAX);
    if (spec->n_layers < 1)
        return error_set(err, "a network has no layers");
    if (spec->n_outputs < 0 || spec->n_outputs > LAYER_PORTS)
        return error_set(err, "a network has %d outputs, and may have %d", spec->n_outputs, LAYER_PORTS);
    return 0;
}

struct network *network_new(const struct network_spec *spec, struct error *err) {
    bool needs_steps = false;
    if (check_spec(spec, err))
        return NULL;
    struct network *network = network_alloc(spec);
    if (!network) {
        error_set(err, "not enough memory for a network");
        return NULL;
    }
    if (name_layers(network, err))
        goto free_network;
    if (build_graph(network, 0, &needs_steps, err) &&
        (!needs_steps || spec->steps == 0 || build_graph(network, spec->steps, &needs_steps, err)))
        goto free_network;
    place_tensors(network);
    place_packed(network);
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
    struct network *clone = network_alloc(&network->spec);
    if (!clone)
        return NULL;
    clone->n_tensors = network->n_tensors;
    clone->n_layers = network->n_layers;
    clone->n_masks = network->n_masks;
    clone->n_outputs = network->n_outputs;
    clone->steps = network->steps;
    clone->room_fixed = network->room_fixed;
    clone->room_steps = network->room_steps;
    clone->n_params = network->n_params;
    clone->n_packed = network->n_packed;
    clone->precision = network->precision;
    clone->state_size = network->state_size;
    memcpy(clone->outputs, network->outputs, sizeof network->outputs);
    memcpy(clone->tensors, network->tensors, (size_t)network->n_tensors * sizeof *network->tensors);
    memcpy(clone->masks, network->masks, (size_t)network->n_masks * sizeof *network->masks);
    memcpy(clone->layers, network->layers, (size_t)network->n_layers * sizeof *network->layers);
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
    free(network->masks);
    free(network->layers);
    free(network->layer_specs);
    free(network->params_block);
    free(network->packed);
    free(network);
}

void network_init_weights(struct network *network, uint64_t seed) {
    struct rng rng = {.state = seed};
    network->packed_for = NULL;
    for (int i = 0; i < network->n_layers; i++) {
        const struct layer *layer = &network->layers[i];
        if (layer->ops->init_weights && layer->spec.shares == 0)
            layer->ops->init_weights(layer, &rng, network->params + layer->params_at);
    }
}
