/* The kinds of layers there are, their defaults, and what their builders share. */
#include "engine/layers/layer.h"

#include <limits.h>
#include <string.h>

static const struct layer_ops *const kinds[N_LAYER_KINDS] = {
    [LAYER_DENSE] = &layer_dense,
    [LAYER_LSTM] = &layer_lstm,
    [LAYER_GRU] = &layer_gru,
    [LAYER_SIMPLE_RNN] = &layer_simple_rnn,
    [LAYER_BIDIRECTIONAL] = &layer_bidirectional,
    [LAYER_EMBEDDING] = &layer_embedding,
    [LAYER_MASKING] = &layer_masking,
    [LAYER_REPEAT_VECTOR] = &layer_repeat_vector,
    [LAYER_DROPOUT] = &layer_dropout,
    [LAYER_SPATIAL_DROPOUT1D] = &layer_spatial_dropout1d,
    [LAYER_GAUSSIAN_NOISE] = &layer_gaussian_noise,
    [LAYER_GAUSSIAN_DROPOUT] = &layer_gaussian_dropout,
    [LAYER_ALPHA_DROPOUT] = &layer_alpha_dropout,
    [LAYER_FLATTEN] = &layer_flatten,
    [LAYER_RESHAPE] = &layer_reshape,
    [LAYER_PERMUTE] = &layer_permute,
    [LAYER_BATCH_NORMALIZATION] = &layer_batch_normalization,
    [LAYER_LAYER_NORMALIZATION] = &layer_layer_normalization,
    [LAYER_ACTIVATION] = &layer_activation,
    [LAYER_LEAKY_RELU] = &layer_leaky_relu,
    [LAYER_PRELU] = &layer_prelu,
    [LAYER_CONV1D] = &layer_conv1d,
    [LAYER_MAX_POOLING1D] = &layer_max_pooling1d,
    [LAYER_AVERAGE_POOLING1D] = &layer_average_pooling1d,
    [LAYER_GLOBAL_MAX_POOLING1D] = &layer_global_max_pooling1d,
    [LAYER_GLOBAL_AVERAGE_POOLING1D] = &layer_global_average_pooling1d,
    [LAYER_ADD] = &layer_add,
    [LAYER_MULTIPLY] = &layer_multiply,
    [LAYER_CONCATENATE] = &layer_concatenate,
};

const struct layer_ops *layer_ops_of(enum layer_kind kind) {
    return (unsigned)kind < N_LAYER_KINDS ? kinds[kind] : NULL;
}

struct layer_spec layer_spec_of(enum layer_kind kind, int units) {
    struct layer_spec spec = {
        .kind = kind,
        .units = units,
        .use_bias = true,
        .cell = LAYER_LSTM,
        .recurrent_activation = ACTIVATION_SIGMOID,
        .reset_after = true,
        .kernel_size = kind == LAYER_CONV1D ? 1 : 2,
        .strides = kind == LAYER_CONV1D ? 1 : 0,
        .dilation = 1,
        .groups = 1,
        .epsilon = 1e-3f,
        .momentum = 0.99f,
        .center = true,
        .scale = true,
        .alpha = 0.3f,
    };
    if (kind == LAYER_LSTM || kind == LAYER_GRU || kind == LAYER_SIMPLE_RNN || kind == LAYER_BIDIRECTIONAL)
        spec.activation = ACTIVATION_TANH;
    return spec;
}

/* ---- for build() -------------------------------------------------------------------------------- */

int layer_check_inputs(const struct layer *layer, const struct layer_build *build, int from, int to) {
    if (layer->n_in >= from && layer->n_in <= to)
        return 0;
    if (from == to)
        return error_set(build->err, "takes %d input%s, and got %d", from, from == 1 ? "" : "s", layer->n_in);
    return error_set(build->err, "takes from %d to %d inputs, and got %d", from, to, layer->n_in);
}

int layer_check_size(const struct layer_build *build, const char *what, int size) {
    if (size >= 1 && size <= NETWORK_WIDTH_MAX)
        return 0;
    return error_set(build->err, "%s is %d, and must be from 1 to %d", what, size, NETWORK_WIDTH_MAX);
}

int layer_add_weight(struct layer *layer, const struct layer_build *build, const char *name, bool trainable,
                     int n_dims, const int *dims) {
    struct network_weight *weight = &layer->weights[layer->n_weights++];
    *weight = (struct network_weight){
        .name = name, .n_dims = n_dims, .trainable = trainable, .at = layer->n_params, .n = 1};
    for (int i = 0; i < n_dims; i++) {
        weight->dims[i] = dims[i];
        if (dims[i] < 1 || weight->n > (size_t)INT_MAX / (size_t)dims[i])
            return error_set(build->err, "its %s has more than %d elements", name, INT_MAX);
        weight->n *= (size_t)dims[i];
    }
    layer->n_params += weight->n;
    return 0;
}

void layer_like_input(struct layer *layer, const struct layer_build *build, int width) {
    layer->n_out = 1;
    build->out[0] = build->in[0];
    build->out[0].width = width;
}

int layer_fixed_steps(struct layer_build *build, const struct tensor *in, int *ret_steps) {
    if (!in->sequence || in->steps > 0) {
        *ret_steps = in->steps;
        return 0;
    }
    build->needs_steps = true;
    return error_set(build->err, "needs a known number of steps");
}

int layer_refuse_stream(const struct layer *layer, const struct layer_build *build) {
    if (layer->mode != NETWORK_STREAM || !build->in[0].sequence || !build->in[0].of_call)
        return 0;
    return error_set(build->err,
                     "looks at all steps of a sample at once, and a stream has no end: it runs on windows");
}
