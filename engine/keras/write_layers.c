/* Layers as Keras' configurations of them. What is Keras' default everywhere (initializers, regularizers) is left
 * out. */
#include "engine/keras/write.h"
#include "engine/layers/layer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A configuration that is being filled. */
struct filling {
    const struct written *written;
    json_t *json;
    bool failed;       /* something did not go in */
    struct error *err; /* says what, where it is not memory */
};

/* ---- values ------------------------------------------------------------------------------------- */

static void put(struct filling *f, const char *key, json_t *value) {
    if (json_object_set_new(f->json, key, value) != 0)
        f->failed = true;
}

static void put_int(struct filling *f, const char *key, int value) {
    put(f, key, json_integer(value));
}

static void put_bool(struct filling *f, const char *key, bool value) {
    put(f, key, json_boolean(value));
}

static void put_text(struct filling *f, const char *key, const char *value) {
    put(f, key, json_string(value));
}

/* The shortest decimal that is this float again. */
static void put_float(struct filling *f, const char *key, float value) {
    char text[32];

    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    json_t *number = json_real(strtod(text, NULL));
    if (!number)
        error_set(f->err, "%s is %g, which JSON cannot say", key, (double)value);
    put(f, key, number);
}

/* Options of one dimension are lists of one number. */
static void put_dims(struct filling *f, const char *key, int value) {
    put(f, key, json_pack("[i]", value));
}

static void put_activation(struct filling *f, const char *key, enum activation activation) {
    static const char *const names[N_ACTIVATIONS] = {
        [ACTIVATION_LINEAR] = "linear",
        [ACTIVATION_TANH] = "tanh",
        [ACTIVATION_SIGMOID] = "sigmoid",
        [ACTIVATION_RELU] = "relu",
        [ACTIVATION_HARD_SIGMOID] = "hard_sigmoid",
        [ACTIVATION_HARD_SIGMOID_KERAS2] = "hard_sigmoid",
        [ACTIVATION_SOFTSIGN] = "softsign",
        [ACTIVATION_SOFTPLUS] = "softplus",
        [ACTIVATION_ELU] = "elu",
        [ACTIVATION_SELU] = "selu",
        [ACTIVATION_SWISH] = "swish", /* Keras 3 knows silu by this name too */
        [ACTIVATION_GELU] = "gelu",
        [ACTIVATION_EXPONENTIAL] = "exponential",
        [ACTIVATION_SOFTMAX] = "softmax",
    };
    bool keras3 = f->written->keras3;

    if (activation == (keras3 ? ACTIVATION_HARD_SIGMOID_KERAS2 : ACTIVATION_HARD_SIGMOID)) {
        f->failed = true;
        error_set(f->err, "its %s is the hard_sigmoid of %s, and a %s file means the other by that name", key,
                  keras3 ? "Keras 1 and 2, clip(0.2 x + 0.5)" : "Keras 3, clip(x / 6 + 0.5)",
                  keras3 ? ".keras" : ".h5");
        return;
    }
    put_text(f, key, names[activation]);
}

static void put_padding(struct filling *f, enum padding padding) {
    put_text(f, "padding", padding == PADDING_SAME ? "same" : padding == PADDING_CAUSAL ? "causal" : "valid");
}

static void put_channels(struct filling *f) {
    put_text(f, "data_format", "channels_last");
}

/* ---- by kind ------------------------------------------------------------------------------------ */

static void put_dense(struct filling *f, const struct layer_spec *spec) {
    put_int(f, "units", spec->units);
    put_activation(f, "activation", spec->activation);
    put_bool(f, "use_bias", spec->use_bias);
}

static void put_recurrent(struct filling *f, const struct layer_spec *spec) {
    put_bool(f, "return_sequences", spec->return_sequences);
    put_bool(f, "return_state", spec->return_state);
    put_bool(f, "go_backwards", spec->go_backwards);
    put_bool(f, "stateful", spec->stateful);
    put_bool(f, "unroll", false);
    if (f->written->keras3 || spec->zero_output_for_mask)
        put_bool(f, "zero_output_for_mask", spec->zero_output_for_mask);
    put_dense(f, spec);
    if (spec->kind != LAYER_SIMPLE_RNN)
        put_activation(f, "recurrent_activation", spec->recurrent_activation);
    if (spec->kind == LAYER_GRU)
        put_bool(f, "reset_after", spec->reset_after);
    put_float(f, "dropout", spec->dropout);
    put_float(f, "recurrent_dropout", spec->recurrent_dropout);
}

static void put_embedding(struct filling *f, const struct layer_spec *spec) {
    put_int(f, "input_dim", spec->vocabulary);
    put_int(f, "output_dim", spec->units);
    put_bool(f, "mask_zero", spec->mask_zero);
}

static void put_masking(struct filling *f, const struct layer_spec *spec) {
    put_float(f, "mask_value", spec->mask_value);
}

static void put_repeat_vector(struct filling *f, const struct layer_spec *spec) {
    put_int(f, "n", spec->units);
}

static void put_dropout(struct filling *f, const struct layer_spec *spec) {
    put_float(f, "rate", spec->dropout);
}

/* Keras 3 does not take what all others do. */
static void put_spatial_dropout(struct filling *f, const struct layer_spec *spec) {
    put_dropout(f, spec);
    json_object_del(f->json, "trainable");
}

static void put_noise(struct filling *f, const struct layer_spec *spec) {
    put_float(f, "stddev", spec->dropout);
    if (!f->written->keras3 || spec->dropout <= 1)
        return;
    f->failed = true;
    error_set(f->err, "its stddev is %g, and Keras 3 takes none above 1", (double)spec->dropout);
}

static void put_flatten(struct filling *f, const struct layer_spec *spec) {
    (void)spec;
    put_channels(f);
}

static void put_reshape(struct filling *f, const struct layer_spec *spec) {
    put(f, "target_shape",
        spec->target_steps ? json_pack("[i,i]", spec->target_steps, spec->target_width)
                           : json_pack("[i]", spec->target_width));
}

static void put_permute(struct filling *f, const struct layer_spec *spec) {
    (void)spec;
    put(f, "dims", json_pack("[i,i]", 2, 1));
}

static void put_normalization(struct filling *f, const struct layer_spec *spec) {
    put_int(f, "axis", -1);
    if (spec->kind == LAYER_BATCH_NORMALIZATION)
        put_float(f, "momentum", spec->momentum);
    put_float(f, "epsilon", spec->epsilon);
    put_bool(f, "center", spec->center);
    put_bool(f, "scale", spec->scale);
}

static void put_only_activation(struct filling *f, const struct layer_spec *spec) {
    put_activation(f, "activation", spec->activation);
}

static void put_leaky_relu(struct filling *f, const struct layer_spec *spec) {
    put_float(f, f->written->keras3 ? "negative_slope" : "alpha", spec->alpha);
}

static void put_prelu(struct filling *f, const struct layer_spec *spec) {
    put(f, "shared_axes", spec->shared_steps ? json_pack("[i]", 1) : json_null());
}

static void put_conv(struct filling *f, const struct layer_spec *spec) {
    put_int(f, "filters", spec->units);
    put_dims(f, "kernel_size", spec->kernel_size);
    put_dims(f, "strides", spec->strides);
    put_padding(f, spec->padding);
    put_channels(f);
    put_dims(f, "dilation_rate", spec->dilation);
    put_int(f, "groups", spec->groups);
    put_activation(f, "activation", spec->activation);
    put_bool(f, "use_bias", spec->use_bias);
}

static void put_pooling(struct filling *f, const struct layer_spec *spec) {
    put_dims(f, "pool_size", spec->kernel_size);
    put_dims(f, "strides", spec->strides > 0 ? spec->strides : spec->kernel_size);
    put_padding(f, spec->padding);
    put_channels(f);
}

static void put_global_pooling(struct filling *f, const struct layer_spec *spec) {
    put_channels(f);
    put_bool(f, "keepdims", spec->keep_steps);
}

static void put_nothing(struct filling *f, const struct layer_spec *spec) {
    (void)f;
    (void)spec;
}

static void put_concatenate(struct filling *f, const struct layer_spec *spec) {
    (void)spec;
    put_int(f, "axis", -1);
}

static void put_bidirectional(struct filling *f, const struct layer_spec *spec);

static const struct {
    void (*put)(struct filling *f, const struct layer_spec *spec);
    bool wrapped; /* where the file had it in a TimeDistributed; other kinds are no different without */
} kinds[N_LAYER_KINDS] = {
    [LAYER_DENSE] = {put_dense, true},
    [LAYER_LSTM] = {put_recurrent, false},
    [LAYER_GRU] = {put_recurrent, false},
    [LAYER_SIMPLE_RNN] = {put_recurrent, false},
    [LAYER_BIDIRECTIONAL] = {put_bidirectional, false},
    [LAYER_EMBEDDING] = {put_embedding, false},
    [LAYER_MASKING] = {put_masking, false},
    [LAYER_REPEAT_VECTOR] = {put_repeat_vector, false},
    [LAYER_DROPOUT] = {put_dropout, true},
    [LAYER_SPATIAL_DROPOUT1D] = {put_spatial_dropout, false},
    [LAYER_GAUSSIAN_NOISE] = {put_noise, true},
    [LAYER_GAUSSIAN_DROPOUT] = {put_dropout, true},
    [LAYER_ALPHA_DROPOUT] = {put_dropout, true},
    [LAYER_FLATTEN] = {put_flatten, false},
    [LAYER_RESHAPE] = {put_reshape, false},
    [LAYER_PERMUTE] = {put_permute, false},
    [LAYER_BATCH_NORMALIZATION] = {put_normalization, true},
    [LAYER_LAYER_NORMALIZATION] = {put_normalization, true},
    [LAYER_ACTIVATION] = {put_only_activation, true},
    [LAYER_LEAKY_RELU] = {put_leaky_relu, true},
    [LAYER_PRELU] = {put_prelu, false},
    [LAYER_CONV1D] = {put_conv, false},
    [LAYER_MAX_POOLING1D] = {put_pooling, false},
    [LAYER_AVERAGE_POOLING1D] = {put_pooling, false},
    [LAYER_GLOBAL_MAX_POOLING1D] = {put_global_pooling, false},
    [LAYER_GLOBAL_AVERAGE_POOLING1D] = {put_global_pooling, false},
    [LAYER_ADD] = {put_nothing, false},
    [LAYER_MULTIPLY] = {put_nothing, false},
    [LAYER_CONCATENATE] = {put_concatenate, false},
};

bool written_is_wrapped(const struct layer_spec *spec) {
    return spec->time_distributed && kinds[spec->kind].wrapped;
}

/* ---- entries ------------------------------------------------------------------------------------ */

/* {"class_name", "config"}, in Keras 3 and inside other layers with the module too. Takes the configuration. */
static json_t *entry_of(const struct written *written, const char *class, bool inner, json_t *config) {
    if (!written->keras3 && !inner)
        return json_pack("{s:s, s:o}", "class_name", class, "config", config);
    return json_pack("{s:s, s:s, s:o, s:n}", "module", "keras.layers", "class_name", class, "config", config,
                     "registered_name");
}

static void begin(struct filling *f, const char *name) {
    f->json = json_object();
    put_text(f, "name", name);
    put_bool(f, "trainable", true);
    put_text(f, "dtype", "float32");
}

/* The entry of a layer within another one. */
static json_t *inner_entry(const struct filling *outer, const char *prefix, const struct layer_spec *spec,
                           bool *ret_failed) {
    struct filling f = {.written = outer->written, .err = outer->err};
    char name[64];
    size_t n = (size_t)snprintf(name, sizeof name, "%s", prefix);

    layer_snake_case(layer_kind_name(spec->kind), name + n);
    begin(&f, name);
    kinds[spec->kind].put(&f, spec);
    *ret_failed |= f.failed;
    return entry_of(outer->written, layer_kind_name(spec->kind), true, f.json);
}

static void put_bidirectional(struct filling *f, const struct layer_spec *spec) {
    static const char *const merges[] = {
        [MERGE_CONCAT] = "concat", [MERGE_SUM] = "sum", [MERGE_MUL] = "mul", [MERGE_AVE] = "ave"};
    bool keras3 = f->written->keras3;
    struct layer_spec cell = *spec;

    cell.kind = spec->cell;
    put(f, "layer", inner_entry(f, keras3 ? "forward_" : "", &cell, &f->failed));
    cell.go_backwards = !spec->go_backwards;
    if (keras3) /* Keras 2 makes it by itself */
        put(f, "backward_layer", inner_entry(f, "backward_", &cell, &f->failed));
    put_text(f, "merge_mode", merges[spec->merge]);
}

/* Whether Keras 2 and 3 make different things of the masks that come to a layer. */
static bool masks_matter(const struct network *network, const struct layer *layer) {
    bool first = network->tensors[layer->in[0]].mask >= 0, any = false, differ = false;

    for (int i = 0; i < layer->n_in; i++) {
        any |= network->tensors[layer->in[i]].mask >= 0;
        differ |= network->tensors[layer->in[i]].mask != network->tensors[layer->in[0]].mask;
    }
    switch (layer->spec.kind) {
    case LAYER_LSTM:
    case LAYER_GRU:
    case LAYER_SIMPLE_RNN:
    case LAYER_BIDIRECTIONAL: return layer->n_in > 1 && first; /* Keras 3 loses it to the initial state */
    case LAYER_MULTIPLY: return layer->n_in > 1 && any;
    case LAYER_ADD:
    case LAYER_CONCATENATE: return layer->n_in > 1 && differ;
    default: return false;
    }
}

static void check_masks(struct filling *f, int layer) {
    const struct written *written = f->written;
    const struct layer_spec *spec = &written->spec->layers[layer];
    bool keras3 = written->keras3;

    if (spec->keras2_masks != keras3 || !masks_matter(written->network, &written->network->layers[layer]))
        return;
    f->failed = true;
    if (spec->kind == LAYER_ADD || spec->kind == LAYER_MULTIPLY || spec->kind == LAYER_CONCATENATE)
        error_set(f->err, "it merges masked inputs as %s, and in a %s file it would not",
                  keras3 ? "Keras 1 and 2 do" : "Keras 3 does", keras3 ? ".keras" : ".h5");
    else
        error_set(f->err, "with its initial state it %s, and in a %s file it would not",
                  keras3 ? "passes over masked steps, as in Keras 1 and 2" : "sees no mask, as in Keras 3",
                  keras3 ? ".keras" : ".h5");
}

json_t *written_layer_json(const struct written *written, int layer, struct error *err) {
    const struct layer_spec *spec = &written->spec->layers[layer];
    struct error why = {"not enough memory"};
    struct filling f = {.written = written, .err = &why};
    bool wrapped = written_is_wrapped(spec);

    begin(&f, written->layers[layer].name);
    check_masks(&f, layer);
    if (wrapped)
        put(&f, "layer", inner_entry(&f, "", spec, &f.failed));
    else
        kinds[spec->kind].put(&f, spec);
    json_t *entry = entry_of(written, wrapped ? "TimeDistributed" : layer_kind_name(spec->kind), false, f.json);
    if (f.failed || !entry) {
        json_decref(entry);
        error_set(err, "layer %s (%s): %s", spec->name, layer_kind_name(spec->kind), why.text);
        return NULL;
    }
    return entry;
}
