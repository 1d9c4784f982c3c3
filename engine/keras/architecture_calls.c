/* A call of a layer that is no model becomes a layer of the network; RNN around a stack of cells becomes a chain. */
#include "engine/keras/builder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_MAX = 15 }; /* so that a chain's states are no more than BUILDER_VALUES */

/* ---- adding to the spec ------------------------------------------------------------------------- */

static bool is_taken(const struct architecture *architecture, const char *name) {
    for (int i = 0; i < architecture->spec.n_layers; i++)
        if (strcmp(architecture->layers[i].name, name) == 0)
            return true;
    return false;
}

/* Names are the file's; those of inlined models and of second calls are numbered where they meet. */
static void name_layer(const struct architecture *architecture, const char *name, char *ret_name) {
    snprintf(ret_name, LAYER_NAME_MAX, "%s", name);
    for (int i = 1; ret_name[0] && is_taken(architecture, ret_name); i++)
        snprintf(ret_name, LAYER_NAME_MAX, "%.100s_%d", name, i);
}

/* Adds a layer that reads these, and is called `name`. home NULL: it owns nothing. Returns its index, or -1. */
static int add_layer(struct builder *builder, const struct layer_spec *asked, const char *name,
                     struct architecture_home *home, const struct value *in, int n_in) {
    struct architecture *architecture = builder->architecture;
    int index = architecture->spec.n_layers;
    if (index == ARCHITECTURE_LAYERS_MAX)
        return error_set(builder->err, "the model has more than %d layers", ARCHITECTURE_LAYERS_MAX);
    if (n_in < 1 || n_in > LAYER_PORTS)
        return error_set(builder->err, "has %d inputs, and may have from 1 to %d", n_in, LAYER_PORTS);
    if (index == builder->layers_room) {
        int room = builder->layers_room ? 2 * builder->layers_room : 16;
        void *moved = realloc(architecture->layers, (size_t)room * sizeof *architecture->layers);
        if (!moved)
            return error_set(builder->err, "not enough memory");
        architecture->spec.layers = architecture->layers = moved;
        builder->layers_room = room;
    }
    struct layer_spec spec = *asked;
    name_layer(architecture, name, spec.name);
    for (int i = 0; i < n_in; i++) {
        spec.in[i] = in[i].at;
        if (in[i].at.layer < 0 && spec.kind == LAYER_EMBEDDING)
            builder->reads_ids = true;
        else if (in[i].at.layer < 0)
            builder->reads_numbers = true;
    }
    bool follows = n_in == 1 && in[0].at.layer == index - 1 && in[0].at.port == 0;
    spec.n_in = follows ? 0 : n_in;
    if (home && home->layer < 0)
        home->layer = index;
    else if (home) {
        spec.shares = 1 + home->layer;
        if (spec.stateful)
            return error_set(builder->err, "is stateful and called more than once, which is not supported");
    }
    architecture->layers[index] = spec;
    architecture->spec.n_layers++;
    return index;
}

int builder_add_identity(struct builder *builder, const char *name, const struct value *in) {
    struct layer_spec spec = layer_spec_of(LAYER_ACTIVATION, 0);
    return add_layer(builder, &spec, name, NULL, in, 1);
}

/* ---- what comes out ----------------------------------------------------------------------------- */

static int n_states(const struct layer_spec *spec) {
    enum layer_kind cell = spec->kind == LAYER_BIDIRECTIONAL ? spec->cell : spec->kind;
    return (cell == LAYER_LSTM ? 2 : 1) * (spec->kind == LAYER_BIDIRECTIONAL ? 2 : 1);
}

static bool gives_sequence(const struct layer_spec *spec, bool sequence) {
    switch (spec->kind) {
    case LAYER_LSTM:
    case LAYER_GRU:
    case LAYER_SIMPLE_RNN:
    case LAYER_BIDIRECTIONAL: return spec->return_sequences;
    case LAYER_FLATTEN: return false;
    case LAYER_RESHAPE: return spec->target_steps != 0;
    case LAYER_REPEAT_VECTOR:
    case LAYER_EMBEDDING: return true;
    case LAYER_GLOBAL_MAX_POOLING1D:
    case LAYER_GLOBAL_AVERAGE_POOLING1D: return spec->keep_steps;
    default: return sequence;
    }
}

/* Whether there may be a mask behind a layer, given whether there may be one before it. */
static bool gives_mask(const struct layer_spec *spec, bool masked) {
    switch (spec->kind) {
    case LAYER_MASKING: return true;
    case LAYER_EMBEDDING: return spec->mask_zero;
    case LAYER_LSTM:
    case LAYER_GRU:
    case LAYER_SIMPLE_RNN:
    case LAYER_BIDIRECTIONAL: return masked && spec->return_sequences;
    case LAYER_FLATTEN:
    case LAYER_RESHAPE:
    case LAYER_REPEAT_VECTOR:
    case LAYER_CONV1D:
    case LAYER_MAX_POOLING1D:
    case LAYER_AVERAGE_POOLING1D:
    case LAYER_GLOBAL_MAX_POOLING1D:
    case LAYER_GLOBAL_AVERAGE_POOLING1D: return false;
    default: return masked;
    }
}

static void give(struct values *out, int layer, int port, bool sequence, bool masked) {
    assert(out->n < BUILDER_VALUES);
    out->value[out->n++] = (struct value){.at = {layer, port}, .sequence = sequence, .masked = masked};
}

/* ---- recurrent layers --------------------------------------------------------------------------- */

/* specs: of the cells from the first on; one for a plain layer. The states of all cells come out, and go in, in
 * order. */
static int call_recurrent(struct builder *builder, const struct description *it, const struct layer_spec *specs,
                          int n, const struct values *in, struct values *out) {
    const json_t *cells = description_cells(it);
    int wanted = 1;
    for (int i = 0; i < n; i++)
        wanted += n_states(&specs[i]);
    if (in->n != 1 && in->n != wanted)
        return error_set(builder->err, "has %d initial states, and must have none or %d", in->n - 1, wanted - 1);
    if (!in->value[0].sequence)
        return error_set(builder->err, "its input has no time axis");
    struct value inputs[1 + 4] = {in->value[0]};
    bool masked = inputs[0].masked;
    /* Keras 3 hands masks on by itself only to calls with one tensor. */
    bool sees_mask = in->n == 1 || builder->old || in->mask_given;
    if (n > 1 && specs[0].go_backwards && masked && sees_mask)
        return error_set(builder->err, "go_backwards of a stack of cells with a mask is not supported");
    struct values states = {0};
    int state = 1, index = -1;
    for (int i = 0; i < n; i++) {
        int its = n_states(&specs[i]), n_in = 1;
        for (int s = 0; s < its && in->n > 1; s++)
            inputs[n_in++] = in->value[state++];
        struct description cell = description_of(cells ? json_array_get(cells, (size_t)i) : it->data);
        char name[LAYER_NAME_MAX];
        snprintf(name, sizeof name, cells ? "%.60s_%.60s" : "%s%.0s", it->name, cell.name);
        struct layer_spec spec = specs[i];
        spec.keras2_masks = n_in > 1 && sees_mask;
        index = add_layer(builder, &spec, name, builder_home(builder, cell.data), inputs, n_in);
        if (index < 0)
            return -1;
        inputs[0] = (struct value){.at = {index, 0}, .sequence = true};
        for (int s = 0; s < its && specs[i].return_state; s++)
            give(&states, index, 1 + s, false, false);
    }
    give(out, index, 0, specs[n - 1].return_sequences, gives_mask(&specs[n - 1], masked));
    for (int s = 0; s < states.n; s++)
        out->value[out->n++] = states.value[s];
    return 0;
}

/* ---- wrappers and the rest ---------------------------------------------------------------------- */

/* Calls what a TimeDistributed holds, as if without it. */
static int call_time_distributed(struct builder *builder, const struct description *it, const struct values *in,
                                 struct values *out) {
    struct description inner = description_of(json_object_get(it->config, "layer"));
    if (!in->n || !in->value[0].sequence)
        return error_set(builder->err, "its input has no time axis");
    bool before = builder->time_distributed;
    builder->time_distributed = true;
    /* Wrapped layers are known by their wrapper's name, which is the one that is different from all others. */
    if (!builder_is_model(&inner))
        inner.name = it->name;
    int failed = builder_call(builder, &inner, in, out);
    builder->time_distributed = before;
    return failed;
}

/* Add and Multiply take an input without a time axis as the same at every step. */
static int check_merged(struct builder *builder, enum layer_kind kind, const struct values *in, bool *sequence) {
    for (int i = 1; i < in->n; i++) {
        if (kind == LAYER_CONCATENATE && in->value[i].sequence != in->value[0].sequence)
            return error_set(builder->err, "its inputs differ in the number of dimensions, which is not supported");
        *sequence |= in->value[i].sequence;
    }
    return 0;
}

static bool is_merging(enum layer_kind kind) {
    return kind == LAYER_ADD || kind == LAYER_MULTIPLY || kind == LAYER_CONCATENATE;
}

static int call_plain(struct builder *builder, const struct description *it, struct options *options,
                      const struct values *in, struct values *out) {
    struct layer_spec spec;
    if (description_read(it, options, &spec))
        return error_set(builder->err, "is not supported");
    if (options->failed)
        return -1;
    if (in->n != 1 && !is_merging(spec.kind))
        return error_set(builder->err, "has %d inputs, and must have one", in->n);
    bool sequence = in->value[0].sequence, masked = false;
    for (int i = 0; i < in->n; i++)
        masked |= in->value[i].masked;
    if (is_merging(spec.kind) && check_merged(builder, spec.kind, in, &sequence))
        return -1;
    spec.keras2_masks = is_merging(spec.kind) && builder->old && masked;
    if (builder->time_distributed) {
        if (!description_is_per_step(spec.kind))
            return error_set(builder->err, "is not supported in a TimeDistributed");
        spec.time_distributed = true;
    }
    if (spec.kind == LAYER_EMBEDDING && (in->value[0].at.layer >= 0 || !builder->input_is_flat))
        return error_set(builder->err, "does not read an input of ids, [batch, time]");
    int index = add_layer(builder, &spec, it->name, builder_home(builder, it->data), in->value, in->n);
    if (index < 0)
        return -1;
    give(out, index, 0, gives_sequence(&spec, sequence), gives_mask(&spec, masked));
    return 0;
}

static bool is_recurrent_class(const char *class_name) {
    static const char *const classes[] = {"LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "RNN"};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strcmp(class_name, classes[i]) == 0)
            return true;
    return false;
}

int builder_call_layer(struct builder *builder, const struct description *it, const struct values *in,
                       struct values *ret_out) {
    struct options options = {.config = it->config, .old = builder->old, .err = builder->err};
    struct layer_spec specs[CELLS_MAX];
    ret_out->n = 0;
    ret_out->mask_given = false;
    if (in->n < 1)
        return error_set(builder->err, "has no input");
    for (int i = 0; i < in->n; i++)
        if (in->value[i].mask)
            return error_set(builder->err, "reads a mask, which is not supported");
    if (it->is_op && strcmp(it->class_name, "Add") != 0 && strcmp(it->class_name, "Multiply") != 0)
        return error_set(builder->err, "is not supported");
    options.sequence = in->value[0].sequence && !builder->time_distributed;
    if (strcmp(it->class_name, "TimeDistributed") == 0)
        return call_time_distributed(builder, it, in, ret_out);
    if (is_recurrent_class(it->class_name) || strcmp(it->class_name, "Bidirectional") == 0) {
        if (builder->time_distributed)
            return error_set(builder->err, "is not supported in a TimeDistributed");
        int n = 1;
        if (it->class_name[0] == 'B')
            description_read_bidirectional(it, &options, &specs[0]);
        else
            n = description_read_recurrent(it, &options, specs, CELLS_MAX);
        return options.failed ? -1 : call_recurrent(builder, it, specs, n, in, ret_out);
    }
    return call_plain(builder, it, &options, in, ret_out);
}
