/* LSTM, GRU, SimpleRNN, RNN around their cells, and Bidirectional. */
#include "engine/keras/description.h"

#include <string.h>

/* cuDNN's variants have no options for what cuDNN fixes, and the second bias. */
static const struct {
    const char *layer, *cell;
    enum layer_kind kind;
    bool cudnn;
} classes[] = {
    {"LSTM", "LSTMCell", LAYER_LSTM, false},
    {"GRU", "GRUCell", LAYER_GRU, false},
    {"SimpleRNN", "SimpleRNNCell", LAYER_SIMPLE_RNN, false},
    {"CuDNNLSTM", "", LAYER_LSTM, true},
    {"CuDNNGRU", "", LAYER_GRU, true},
};
enum { N_CLASSES = sizeof classes / sizeof classes[0] };

/* What cells have. */
static void read_cell(struct options *options, int class, struct layer_spec *spec) {
    *spec = layer_spec_of(classes[class].kind, options_int(options, "units|output_dim", 1, NETWORK_WIDTH_MAX, 0));
    if (spec->units < 1)
        options_fail(options, "its size is not given");
    spec->reset_after = options_bool(options, "reset_after", classes[class].cudnn);
    spec->use_bias = options_bool(options, "use_bias", true);
    spec->activation = options_activation(options, "activation", ACTIVATION_TANH);
    if (classes[class].kind != LAYER_SIMPLE_RNN && !classes[class].cudnn)
        spec->recurrent_activation =
            options_activation(options, "recurrent_activation|inner_activation", ACTIVATION_SIGMOID);
    spec->dropout = options_float(options, "dropout|dropout_W", 0);
    spec->recurrent_dropout = options_float(options, "recurrent_dropout|dropout_U", 0);
    if (!(spec->dropout >= 0 && spec->dropout < 1 && spec->recurrent_dropout >= 0 && spec->recurrent_dropout < 1))
        options_fail(options, "a rate of dropout is not from 0 to below 1");
}

/* What the layers around cells have. */
static void read_around(struct options *options, struct layer_spec *spec) {
    spec->return_sequences = options_bool(options, "return_sequences", false);
    spec->return_state = options_bool(options, "return_state", false);
    spec->go_backwards = options_bool(options, "go_backwards", false);
    spec->stateful = options_bool(options, "stateful", false);
    spec->zero_output_for_mask = options_bool(options, "zero_output_for_mask", false);
    if (options_bool(options, "time_major", false))
        options_fail(options, "time_major is not supported");
}

const json_t *description_cells(const struct description *description) {
    const json_t *cell = json_object_get(description->config, "cell");
    if (strcmp(description->class_name, "RNN") != 0 ||
        strcmp(description_of(cell).class_name, "StackedRNNCells") != 0)
        return NULL;
    return json_object_get(description_of(cell).config, "cells");
}

static void read_named_cell(const json_t *data, struct options *options, struct layer_spec *spec) {
    struct description cell = description_of(data);
    struct options its = *options;
    its.config = cell.config;
    for (int i = 0; i < N_CLASSES; i++)
        if (cell.class_name[0] && strcmp(cell.class_name, classes[i].cell) == 0) {
            read_cell(&its, i, spec);
            options->failed |= its.failed;
            return;
        }
    options_fail(options, "a cell of class %.60s is not supported", cell.class_name[0] ? cell.class_name : "unknown");
}

/* Each cell of a stack becomes a layer, which gives its whole sequence to the next. */
static int read_stack(const json_t *cells, struct options *options, struct layer_spec *specs, int max) {
    size_t n = json_array_size(cells);
    if (n < 1 || n > (size_t)max) {
        options_fail(options, "a stack of %zu cells is not supported", n);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        read_named_cell(json_array_get(cells, i), options, &specs[i]);
        read_around(options, &specs[i]);
        specs[i].return_sequences |= i + 1 < n;
        specs[i].go_backwards &= i == 0;
        specs[i].zero_output_for_mask &= i + 1 == n;
    }
    return options->failed ? 0 : (int)n;
}

int description_read_recurrent(const struct description *description, struct options *options,
                               struct layer_spec *ret_specs, int max) {
    for (int i = 0; i < N_CLASSES; i++)
        if (strcmp(description->class_name, classes[i].layer) == 0) {
            read_cell(options, i, &ret_specs[0]);
            read_around(options, &ret_specs[0]);
            return options->failed ? 0 : 1;
        }
    const json_t *cells = description_cells(description);
    if (cells) {
        const json_t *stack = json_object_get(json_object_get(description->config, "cell"), "config");
        if (json_is_true(json_object_get(stack, "reverse_state_order")))
            options_fail(options, "reverse_state_order is not supported");
        return read_stack(cells, options, ret_specs, max);
    }
    read_named_cell(json_object_get(description->config, "cell"), options, &ret_specs[0]);
    read_around(options, &ret_specs[0]);
    return options->failed ? 0 : 1;
}

static bool is_same_but_for_direction(const struct layer_spec *a, const struct layer_spec *b) {
    return a->kind == b->kind && a->units == b->units && a->activation == b->activation &&
           a->use_bias == b->use_bias && a->recurrent_activation == b->recurrent_activation &&
           a->return_sequences == b->return_sequences && a->return_state == b->return_state &&
           a->stateful == b->stateful && a->reset_after == b->reset_after &&
           a->zero_output_for_mask == b->zero_output_for_mask && a->go_backwards != b->go_backwards;
}

static void read_inner(const json_t *data, struct options *options, struct layer_spec *spec) {
    struct description inner = description_of(data);
    struct options its = *options;
    its.config = inner.config;
    bool known = strcmp(inner.class_name, "RNN") == 0;
    for (int i = 0; i < N_CLASSES; i++)
        known |= strcmp(inner.class_name, classes[i].layer) == 0;
    if (!known || description_cells(&inner))
        options_fail(options, "a Bidirectional around %.60s is not supported",
                     description_cells(&inner) ? "StackedRNNCells" : inner.class_name);
    else
        description_read_recurrent(&inner, &its, spec, 1);
    options->failed |= its.failed;
}

void description_read_bidirectional(const struct description *description, struct options *options,
                                    struct layer_spec *ret_spec) {
    static const char *const modes[] = {
        [MERGE_CONCAT] = "concat", [MERGE_SUM] = "sum", [MERGE_MUL] = "mul", [MERGE_AVE] = "ave"};
    *ret_spec = layer_spec_of(LAYER_BIDIRECTIONAL, 0);
    struct layer_spec forward = *ret_spec, backward;
    read_inner(json_object_get(description->config, "layer"), options, &forward);
    const json_t *other = options_find(options, "backward_layer");
    if (other && !options->failed) {
        read_inner(other, options, &backward);
        if (!options->failed && !is_same_but_for_direction(&forward, &backward))
            options_fail(options,
                         "its backward_layer differs from its layer in more than the direction, which is not "
                         "supported");
    }
    *ret_spec = forward;
    ret_spec->kind = LAYER_BIDIRECTIONAL;
    ret_spec->cell = forward.kind;
    const char *mode = options_text(options, "merge_mode");
    for (enum merge_mode i = MERGE_CONCAT; i <= MERGE_AVE; i++)
        if (strcmp(mode, modes[i]) == 0) {
            ret_spec->merge = i;
            return;
        }
    options_fail(options, "merge_mode %.40s is not supported", mode[0] ? mode : "null");
}
