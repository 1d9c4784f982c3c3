#include "engine/keras/description.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

static const char *text_of(const json_t *value) {
    return json_is_string(value) ? json_string_value(value) : "";
}

struct description description_of(const json_t *data) {
    struct description description = {.data = data, .config = json_object_get(data, "config")};
    description.class_name = text_of(json_object_get(data, "class_name"));
    description.name = text_of(json_object_get(description.config, "name"));
    if (!description.name[0])
        description.name = text_of(json_object_get(data, "name"));
    description.is_op = strstr(text_of(json_object_get(data, "module")), ".ops.") != NULL;
    return description;
}

/* ---- options ------------------------------------------------------------------------------------ */

void options_fail(struct options *options, const char *format, ...) {
    if (options->failed)
        return;
    options->failed = true;
    char text[sizeof options->err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_set(options->err, "%s", text);
}

const json_t *options_find(const struct options *options, const char *keys) {
    while (*keys) {
        char key[64];
        size_t n = strcspn(keys, "|");
        snprintf(key, sizeof key, "%.*s", (int)n, keys);
        const json_t *value = json_object_get(options->config, key);
        if (value && !json_is_null(value))
            return value;
        keys += n + (keys[n] == '|');
    }
    return NULL;
}

bool options_bool(struct options *options, const char *keys, bool otherwise) {
    const json_t *value = options_find(options, keys);
    if (!value)
        return otherwise;
    if (json_is_integer(value))
        return json_integer_value(value) != 0;
    if (!json_is_boolean(value))
        options_fail(options, "%.*s is neither true nor false", (int)strcspn(keys, "|"), keys);
    return json_is_true(value);
}

int options_int(struct options *options, const char *keys, int from, int to, int otherwise) {
    const json_t *value = options_find(options, keys);
    if (json_is_array(value) && json_array_size(value) == 1)
        value = json_array_get(value, 0);
    if (!value)
        return otherwise;
    int key_size = (int)strcspn(keys, "|");
    if (!json_is_integer(value)) {
        options_fail(options, "%.*s is not a whole number", key_size, keys);
        return otherwise;
    }
    json_int_t number = json_integer_value(value);
    if (number < from || number > to) {
        options_fail(options, "%.*s is %lld, and may be from %d to %d", key_size, keys, (long long)number, from, to);
        return otherwise;
    }
    return (int)number;
}

float options_float(struct options *options, const char *keys, float otherwise) {
    const json_t *value = options_find(options, keys);
    if (!value)
        return otherwise;
    if (!json_is_number(value))
        options_fail(options, "%.*s is not a number", (int)strcspn(keys, "|"), keys);
    return (float)json_number_value(value);
}

const char *options_text(struct options *options, const char *keys) {
    const json_t *value = options_find(options, keys);
    if (value && !json_is_string(value))
        options_fail(options, "%.*s is not a text", (int)strcspn(keys, "|"), keys);
    return text_of(value);
}

void options_last_axis(struct options *options) {
    int rank = options->sequence ? 3 : 2;
    int axis = options_int(options, "axis|concat_axis", -8, 8, -1);
    if (axis != -1 && axis != rank - 1)
        options_fail(options, "works along axis %d, and only the last axis is supported", axis);
}

void options_channels_last(struct options *options) {
    if (strcmp(options_text(options, "data_format"), "channels_first") == 0)
        options_fail(options, "data_format channels_first is not supported");
}

enum padding options_padding(struct options *options) {
    const char *padding = options_text(options, "padding|border_mode");
    if (strcmp(padding, "same") == 0)
        return PADDING_SAME;
    if (strcmp(padding, "causal") == 0)
        return PADDING_CAUSAL;
    if (padding[0] && strcmp(padding, "valid") != 0)
        options_fail(options, "padding %.40s is not supported", padding);
    return PADDING_VALID;
}

/* ---- activations -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum activation activation;
} activations[] = {
    {"linear", ACTIVATION_LINEAR},
    {"tanh", ACTIVATION_TANH},
    {"sigmoid", ACTIVATION_SIGMOID},
    {"relu", ACTIVATION_RELU},
    {"hard_sigmoid", ACTIVATION_HARD_SIGMOID},
    {"softsign", ACTIVATION_SOFTSIGN},
    {"softplus", ACTIVATION_SOFTPLUS},
    {"elu", ACTIVATION_ELU},
    {"selu", ACTIVATION_SELU},
    {"swish", ACTIVATION_SWISH},
    {"silu", ACTIVATION_SWISH},
    {"gelu", ACTIVATION_GELU},
    {"exponential", ACTIVATION_EXPONENTIAL},
    {"softmax", ACTIVATION_SOFTMAX},
};

/* By name, or as Keras 3 keeps a function: {"class_name": "function", "config": "relu"}; or a layer that is one. */
enum activation options_activation(struct options *options, const char *keys, enum activation otherwise) {
    const json_t *value = options_find(options, keys);
    if (!value)
        return otherwise;
    const char *name = text_of(value);
    if (json_is_object(value)) {
        struct description inner = description_of(value);
        name = json_is_string(inner.config) ? json_string_value(inner.config) : "";
        if (!name[0]) {
            struct options its = *options;
            struct layer_spec spec;
            its.config = inner.config;
            if (description_read(&inner, &its, &spec) == 0 && !its.failed && spec.kind == LAYER_ACTIVATION)
                return spec.activation;
            name = inner.class_name;
        }
    }
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (strcmp(name, activations[i].name) == 0)
            return activations[i].activation == ACTIVATION_HARD_SIGMOID && options->old
                       ? ACTIVATION_HARD_SIGMOID_KERAS2
                       : activations[i].activation;
    options_fail(options, "activation %.60s is not supported", name[0] ? name : "of that form");
    return otherwise;
}
