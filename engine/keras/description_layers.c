/* Layers that are one layer of a network, from their class and options. Option names: Keras 3, 2 | Keras 1. */
#include "engine/keras/description.h"

#include <limits.h>
#include <math.h>
#include <string.h>

static void read_dense(struct options *options, struct layer_spec *spec) {
    spec->units = options_int(options, "units|output_dim", 1, NETWORK_WIDTH_MAX, 0);
    spec->activation = options_activation(options, "activation", ACTIVATION_LINEAR);
    spec->use_bias = options_bool(options, "use_bias|bias", true);
}

static void read_embedding(struct options *options, struct layer_spec *spec) {
    spec->vocabulary = options_int(options, "input_dim", 1, INT_MAX, 0);
    spec->units = options_int(options, "output_dim", 1, NETWORK_WIDTH_MAX, 0);
    spec->mask_zero = options_bool(options, "mask_zero", false);
}

static void read_masking(struct options *options, struct layer_spec *spec) {
    spec->mask_value = options_float(options, "mask_value", 0);
}

static void read_repeat_vector(struct options *options, struct layer_spec *spec) {
    spec->units = options_int(options, "n", 1, NETWORK_STEPS_MAX, 0);
}

static void read_dropout(struct options *options, struct layer_spec *spec) {
    spec->dropout = options_float(options, "rate|p", 0);
    if (!(spec->dropout >= 0 && spec->dropout < 1))
        options_fail(options, "rate is %g, and may be from 0 to below 1", (double)spec->dropout);
}

/* A noise_shape of (batch, 1, features) is SpatialDropout1D's. */
static void read_plain_dropout(struct options *options, struct layer_spec *spec) {
    const json_t *shape = options_find(options, "noise_shape"), *steps = json_array_get(shape, 1);
    if (json_array_size(shape) == 3 && json_is_integer(steps) && json_integer_value(steps) == 1)
        spec->kind = LAYER_SPATIAL_DROPOUT1D;
    read_dropout(options, spec);
}

static void read_noise(struct options *options, struct layer_spec *spec) {
    spec->dropout = options_float(options, "stddev|sigma", 0);
    if (!(spec->dropout >= 0 && isfinite(spec->dropout)))
        options_fail(options, "stddev is %g, and may not be below 0", (double)spec->dropout);
}

static void read_flatten(struct options *options, struct layer_spec *spec) {
    (void)spec;
    options_channels_last(options);
}

static void read_reshape(struct options *options, struct layer_spec *spec) {
    const json_t *shape = options_find(options, "target_shape");
    size_t rank = json_array_size(shape);
    int dims[2] = {0, 0};
    if (rank < 1 || rank > 2) {
        options_fail(options, "makes a tensor of %zu dimensions, and 2 or 3 are supported", rank + 1);
        return;
    }
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        json_int_t number = json_is_null(dim) ? -1 : json_is_integer(dim) ? json_integer_value(dim) : 0;
        if (number != -1 && (number < 1 || number > NETWORK_STEPS_MAX))
            options_fail(options, "a dimension of target_shape is not from 1 to %d", NETWORK_STEPS_MAX);
        else
            dims[i] = (int)number;
    }
    spec->target_steps = rank == 2 ? dims[0] : 0;
    spec->target_width = dims[rank - 1];
}

static void read_batch_normalization(struct options *options, struct layer_spec *spec) {
    options_last_axis(options);
    if (options_int(options, "mode", 0, 2, 0) != 0)
        options_fail(options, "only mode 0 is supported");
    if (options_bool(options, "renorm", false))
        options_fail(options, "renorm is not supported");
    spec->momentum = options_float(options, "momentum", 0.99f);
    spec->epsilon = options_float(options, "epsilon", 1e-3f);
    spec->center = options_bool(options, "center", true);
    spec->scale = options_bool(options, "scale", true);
}

static void read_layer_normalization(struct options *options, struct layer_spec *spec) {
    options_last_axis(options);
    if (options_bool(options, "rms_scaling", false))
        options_fail(options, "rms_scaling is not supported");
    spec->epsilon = options_float(options, "epsilon", 1e-3f);
    spec->center = options_bool(options, "center", true);
    spec->scale = options_bool(options, "scale", true);
}

static void read_activation(struct options *options, struct layer_spec *spec) {
    spec->activation = options_activation(options, "activation", ACTIVATION_LINEAR);
}

static void read_leaky_relu(struct options *options, struct layer_spec *spec) {
    spec->alpha = options_float(options, "negative_slope|alpha", 0.3f);
}

static void read_relu(struct options *options, struct layer_spec *spec) {
    if (options_find(options, "max_value") || options_float(options, "threshold", 0) != 0)
        options_fail(options, "max_value and threshold are not supported");
    spec->alpha = options_float(options, "negative_slope", 0);
    spec->kind = spec->alpha == 0 ? LAYER_ACTIVATION : LAYER_LEAKY_RELU;
    spec->activation = ACTIVATION_RELU;
}

static void read_elu(struct options *options, struct layer_spec *spec) {
    spec->activation = ACTIVATION_ELU;
    if (options_float(options, "alpha", 1) != 1)
        options_fail(options, "alpha is not 1, which is not supported");
}

static void read_softmax(struct options *options, struct layer_spec *spec) {
    spec->activation = ACTIVATION_SOFTMAX;
    options_last_axis(options);
}

static void read_prelu(struct options *options, struct layer_spec *spec) {
    const json_t *axes = options_find(options, "shared_axes");
    spec->shared_steps = json_array_size(axes) > 0;
    if (spec->shared_steps &&
        (!options->sequence || json_array_size(axes) != 1 || json_integer_value(json_array_get(axes, 0)) != 1))
        options_fail(options, "slopes can be shared along the time axis only");
}

static void read_conv1d(struct options *options, struct layer_spec *spec) {
    options_channels_last(options);
    spec->units = options_int(options, "filters|nb_filter", 1, NETWORK_WIDTH_MAX, 0);
    spec->kernel_size = options_int(options, "kernel_size|filter_length", 1, NETWORK_STEPS_MAX, 0);
    spec->strides = options_int(options, "strides|subsample_length", 1, NETWORK_STEPS_MAX, 1);
    spec->dilation = options_int(options, "dilation_rate|atrous_rate", 1, NETWORK_STEPS_MAX, 1);
    spec->groups = options_int(options, "groups", 1, NETWORK_WIDTH_MAX, 1);
    spec->padding = options_padding(options);
    spec->activation = options_activation(options, "activation", ACTIVATION_LINEAR);
    spec->use_bias = options_bool(options, "use_bias|bias", true);
}

static void read_pooling(struct options *options, struct layer_spec *spec) {
    options_channels_last(options);
    spec->kernel_size = options_int(options, "pool_size|pool_length", 1, NETWORK_STEPS_MAX, 2);
    spec->strides = options_int(options, "strides|stride", 1, NETWORK_STEPS_MAX, spec->kernel_size);
    spec->padding = options_padding(options);
}

static void read_global_pooling(struct options *options, struct layer_spec *spec) {
    options_channels_last(options);
    spec->keep_steps = options_bool(options, "keepdims", false);
}

static void read_nothing(struct options *options, struct layer_spec *spec) {
    (void)options;
    (void)spec;
}

static void read_concatenate(struct options *options, struct layer_spec *spec) {
    (void)spec;
    options_last_axis(options);
}

/* Keras 1's one class for all of them. */
static void read_merge(struct options *options, struct layer_spec *spec) {
    const char *mode = options_text(options, "mode");
    if (strcmp(mode, "sum") == 0)
        spec->kind = LAYER_ADD;
    else if (strcmp(mode, "mul") == 0)
        spec->kind = LAYER_MULTIPLY;
    else if (strcmp(mode, "concat") == 0)
        options_last_axis(options);
    else
        options_fail(options, "merge mode %.40s is not supported", mode);
}

static void read_permute(struct options *options, struct layer_spec *spec) {
    const json_t *dims = options_find(options, "dims");
    json_int_t first = json_integer_value(json_array_get(dims, 0)),
               second = json_integer_value(json_array_get(dims, 1));
    size_t n = json_array_size(dims);
    if (first == 1 && (n == 1 || (n == 2 && second == 2)))
        spec->kind = LAYER_ACTIVATION; /* that does nothing either */
    else if (n != 2 || first != 2 || second != 1)
        options_fail(options, "only the dims (2, 1) are supported");
}

static const struct {
    const char *name;
    enum layer_kind kind;
    void (*read)(struct options *options, struct layer_spec *spec);
} classes[] = {
    {"Dense", LAYER_DENSE, read_dense},
    {"TimeDistributedDense", LAYER_DENSE, read_dense},
    {"Embedding", LAYER_EMBEDDING, read_embedding},
    {"Masking", LAYER_MASKING, read_masking},
    {"RepeatVector", LAYER_REPEAT_VECTOR, read_repeat_vector},
    {"Dropout", LAYER_DROPOUT, read_plain_dropout},
    {"SpatialDropout1D", LAYER_SPATIAL_DROPOUT1D, read_dropout},
    {"GaussianNoise", LAYER_GAUSSIAN_NOISE, read_noise},
    {"GaussianDropout", LAYER_GAUSSIAN_DROPOUT, read_dropout},
    {"AlphaDropout", LAYER_ALPHA_DROPOUT, read_dropout},
    {"ActivityRegularization", LAYER_DROPOUT, read_nothing}, /* of losses; it does nothing here */
    {"Flatten", LAYER_FLATTEN, read_flatten},
    {"Reshape", LAYER_RESHAPE, read_reshape},
    {"Permute", LAYER_PERMUTE, read_permute},
    {"BatchNormalization", LAYER_BATCH_NORMALIZATION, read_batch_normalization},
    {"BatchNormalizationV1", LAYER_BATCH_NORMALIZATION, read_batch_normalization},
    {"BatchNormalizationV2", LAYER_BATCH_NORMALIZATION, read_batch_normalization},
    {"LayerNormalization", LAYER_LAYER_NORMALIZATION, read_layer_normalization},
    {"Activation", LAYER_ACTIVATION, read_activation},
    {"ReLU", LAYER_ACTIVATION, read_relu},
    {"ELU", LAYER_ACTIVATION, read_elu},
    {"Softmax", LAYER_ACTIVATION, read_softmax},
    {"LeakyReLU", LAYER_LEAKY_RELU, read_leaky_relu},
    {"PReLU", LAYER_PRELU, read_prelu},
    {"Conv1D", LAYER_CONV1D, read_conv1d},
    {"Convolution1D", LAYER_CONV1D, read_conv1d},
    {"MaxPooling1D", LAYER_MAX_POOLING1D, read_pooling},
    {"MaxPool1D", LAYER_MAX_POOLING1D, read_pooling},
    {"AveragePooling1D", LAYER_AVERAGE_POOLING1D, read_pooling},
    {"AvgPool1D", LAYER_AVERAGE_POOLING1D, read_pooling},
    {"GlobalMaxPooling1D", LAYER_GLOBAL_MAX_POOLING1D, read_global_pooling},
    {"GlobalMaxPool1D", LAYER_GLOBAL_MAX_POOLING1D, read_global_pooling},
    {"GlobalAveragePooling1D", LAYER_GLOBAL_AVERAGE_POOLING1D, read_global_pooling},
    {"GlobalAvgPool1D", LAYER_GLOBAL_AVERAGE_POOLING1D, read_global_pooling},
    {"Add", LAYER_ADD, read_nothing},
    {"Multiply", LAYER_MULTIPLY, read_nothing},
    {"Concatenate", LAYER_CONCATENATE, read_concatenate},
    {"Merge", LAYER_CONCATENATE, read_merge},
};

/* What must be said, as 0 is none. */
static void check_sizes(struct options *options, const struct layer_spec *spec) {
    bool has_units = spec->kind == LAYER_DENSE || spec->kind == LAYER_EMBEDDING || spec->kind == LAYER_CONV1D ||
                     spec->kind == LAYER_REPEAT_VECTOR;
    if ((has_units && spec->units < 1) || (spec->kind == LAYER_EMBEDDING && spec->vocabulary < 1) ||
        (spec->kind == LAYER_CONV1D && spec->kernel_size < 1))
        options_fail(options, "its size is not given");
}

int description_read(const struct description *description, struct options *options, struct layer_spec *ret_spec) {
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (strcmp(description->class_name, classes[i].name) != 0)
            continue;
        *ret_spec = layer_spec_of(classes[i].kind, 0);
        classes[i].read(options, ret_spec);
        check_sizes(options, ret_spec);
        ret_spec->time_distributed = strcmp(classes[i].name, "TimeDistributedDense") == 0;
        return 0;
    }
    return -1;
}

bool description_is_per_step(enum layer_kind kind) {
    return kind == LAYER_DENSE || kind == LAYER_DROPOUT || kind == LAYER_GAUSSIAN_NOISE ||
           kind == LAYER_GAUSSIAN_DROPOUT || kind == LAYER_ALPHA_DROPOUT || kind == LAYER_BATCH_NORMALIZATION ||
           kind == LAYER_LAYER_NORMALIZATION || kind == LAYER_ACTIVATION || kind == LAYER_LEAKY_RELU;
}
