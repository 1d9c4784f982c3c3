/* The architecture of a model, as Keras 3's config.json or Keras 2's model_config. */
#include "engine/keras/write.h"

#include <stdlib.h>
#include <string.h>

/* ---- tensors ------------------------------------------------------------------------------------ */

/* What any layer's name is not: the input's stands apart. */
static const char *layer_name(const struct written *written, int layer) {
    return layer < 0 ? written->input_name : written->layers[written->layers[layer].first].name;
}

/* [name, application, output] */
static json_t *history_of(const struct written *written, struct layer_input tensor) {
    int node = tensor.layer < 0 ? 0 : written->layers[tensor.layer].node;

    return json_pack("[s,i,i]", layer_name(written, tensor.layer), node, tensor.port);
}

/* Keras counts the batch of a stateful layer among its options: one row then, and whoever serves it by more changes
 * it. */
static bool is_stateful(const struct written *written) {
    for (int i = 0; i < written->spec->n_layers; i++) {
        const struct layer_spec *spec = &written->spec->layers[i];

        if (spec->stateful && (spec->kind == LAYER_LSTM || spec->kind == LAYER_GRU ||
                               spec->kind == LAYER_SIMPLE_RNN || spec->kind == LAYER_BIDIRECTIONAL))
            return true;
    }
    return false;
}

/* A dimension that may be unknown. */
static json_t *dimension(bool known, int n) {
    return known ? json_integer(n) : json_null();
}

static json_t *input_shape(const struct written *written) {
    const struct network_spec *spec = written->spec;
    json_t *batch = dimension(is_stateful(written), 1);

    if (spec->no_time)
        return json_pack("[o,i]", batch, spec->n_inputs);
    json_t *steps = dimension(spec->steps > 0, spec->steps);
    return spec->ids ? json_pack("[o,o]", batch, steps) : json_pack("[o,o,i]", batch, steps, spec->n_inputs);
}

/* Steps are known where they do not depend on the call's. */
static json_t *shape_of(const struct written *written, struct layer_input tensor) {
    const struct network *network = written->network;
    int fixed = network_steps(network) ? network_steps(network) : written->spec->steps;
    int few = fixed ? fixed : network_min_steps(network), many = fixed ? fixed : few + 1024;

    if (tensor.layer < 0)
        return input_shape(written);
    struct network_shape shape = network_layer_output(network, tensor.layer, tensor.port, few);
    json_t *batch = dimension(is_stateful(written), 1);
    if (!shape.sequence)
        return json_pack("[o,i]", batch, shape.width);
    bool known = shape.steps == network_layer_output(network, tensor.layer, tensor.port, many).steps;
    return json_pack("[o,o,i]", batch, dimension(known, shape.steps), shape.width);
}

/* Keras 3: a tensor among the arguments of a layer. */
static json_t *tensor_of(const struct written *written, struct layer_input tensor) {
    return json_pack("{s:s, s:{s:o, s:s, s:o}}", "class_name", "__keras_tensor__", "config", "shape",
                     shape_of(written, tensor), "dtype", tensor.layer < 0 && written->spec->ids ? "int32" : "float32",
                     "keras_history", history_of(written, tensor));
}

/* ---- applications ------------------------------------------------------------------------------- */

static bool merges(enum layer_kind kind) {
    return kind == LAYER_ADD || kind == LAYER_MULTIPLY || kind == LAYER_CONCATENATE;
}

/* Inputs [from, n) of a layer. */
static json_t *tensors_from(const struct written *written, int layer, int from) {
    json_t *list = json_array();

    for (int i = from; i < written_n_inputs(&written->spec->layers[layer]); i++)
        if (json_array_append_new(list, tensor_of(written, written_input(written, layer, i))) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* Keras 3: the arguments of one call of the layer. */
static json_t *call_of(const struct written *written, int layer) {
    const struct layer_spec *spec = &written->spec->layers[layer];

    if (merges(spec->kind))
        return json_pack("{s:[o], s:{}}", "args", tensors_from(written, layer, 0), "kwargs");
    json_t *input = tensor_of(written, written_input(written, layer, 0));
    if (written_n_inputs(spec) == 1)
        return json_pack("{s:[o], s:{}}", "args", input, "kwargs");
    return json_pack("{s:[o], s:{s:o}}", "args", input, "kwargs", "initial_state", tensors_from(written, layer, 1));
}

/* Keras 2: a list of tensors; the initial state stands behind the input. */
static json_t *legacy_call_of(const struct written *written, int layer) {
    json_t *list = json_array();

    for (int i = 0; i < written_n_inputs(&written->spec->layers[layer]); i++) {
        json_t *history = history_of(written, written_input(written, layer, i));

        json_array_append_new(history, json_object());
        if (json_array_append_new(list, history) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* All applications of a Keras layer. */
static json_t *calls_of(const struct written *written, int first) {
    json_t *calls = json_array();

    for (int i = first; i < written->spec->n_layers; i++)
        if (written->layers[i].first == first &&
            json_array_append_new(calls, written->keras3 ? call_of(written, i) : legacy_call_of(written, i)) != 0) {
            json_decref(calls);
            return NULL;
        }
    return calls;
}

/* ---- the model ---------------------------------------------------------------------------------- */

static json_t *input_entry(const struct written *written) {
    const char *dtype = written->spec->ids ? "int32" : "float32";
    const char *shape = written->keras3 ? "batch_shape" : "batch_input_shape";
    json_t *config = json_pack("{s:o, s:s, s:b, s:b, s:s}", shape, input_shape(written), "dtype", dtype, "sparse", 0,
                               "ragged", 0, "name", written->input_name);

    if (!written->keras3)
        return json_pack("{s:s, s:o}", "class_name", "InputLayer", "config", config);
    return json_pack("{s:s, s:s, s:o, s:n}", "module", "keras.layers", "class_name", "InputLayer", "config", config,
                     "registered_name");
}

/* The entry of the model's layer (WRITTEN_INPUT: its input), with its place in the graph where there is one. */
static json_t *layer_entry(const struct written *written, int layer, struct error *err) {
    json_t *entry = layer < 0 ? input_entry(written) : written_layer_json(written, layer, err);

    if (entry && !written->sequential &&
        (json_object_set_new(entry, "name", json_string(layer_name(written, layer))) != 0 ||
         json_object_set_new(entry, "inbound_nodes", layer < 0 ? json_array() : calls_of(written, layer)) != 0)) {
        json_decref(entry);
        return NULL;
    }
    return entry;
}

/* All layers as Keras orders them. */
static json_t *layer_entries(const struct written *written, struct error *err) {
    json_t *entries = json_array();
    bool failed = written->sequential && json_array_append_new(entries, input_entry(written)) != 0;

    for (int i = 0; i < written->n_order && !failed; i++)
        failed = json_array_append_new(entries, layer_entry(written, written->order[i], err)) != 0;
    if (failed) {
        json_decref(entries);
        return NULL;
    }
    return entries;
}

/* One tensor by itself in Keras 3, else a list of them. */
static json_t *outputs_of(const struct written *written) {
    const struct network_spec *spec = written->spec;
    struct layer_input last = {spec->n_layers - 1, 0};
    int n = network_n_outputs(written->network);
    json_t *list = json_array();

    if (n == 1 && written->keras3) {
        json_decref(list);
        return history_of(written, spec->n_outputs ? spec->outputs[0] : last);
    }
    for (int i = 0; i < n; i++)
        json_array_append_new(list, history_of(written, spec->n_outputs ? spec->outputs[i] : last));
    return list;
}

static json_t *model_json(const struct written *written, struct error *err) {
    json_t *layers = layer_entries(written, err);
    struct layer_input input = {-1, 0};
    bool sequential = written->sequential, keras3 = written->keras3;
    const char *name = sequential ? "sequential" : "functional";
    const char *class = sequential ? "Sequential" : "Functional";

    if (!layers)
        return NULL;
    json_t *config =
        sequential
            ? json_pack("{s:s, s:b, s:o}", "name", name, "trainable", 1, "layers", layers)
            : json_pack("{s:s, s:b, s:o, s:o, s:o}", "name", name, "trainable", 1, "layers", layers, "input_layers",
                        keras3 ? history_of(written, input) : json_pack("[o]", history_of(written, input)),
                        "output_layers", outputs_of(written));
    if (!keras3)
        return json_pack("{s:s, s:o}", "class_name", class, "config", config);
    return json_pack("{s:s, s:s, s:o, s:o}", "module", sequential ? "keras" : "keras.src.models.functional",
                     "class_name", class, "config", config, "registered_name",
                     sequential ? json_null() : json_string("Functional"));
}

char *written_model_json(const struct written *written, struct error *err) {
    enum { FLOAT_DIGITS = 9 };
    char *text = NULL;

    error_set(err, "not enough memory for its configuration");
    json_t *model = model_json(written, err);
    if (model)
        text = json_dumps(model, JSON_COMPACT | JSON_REAL_PRECISION(FLOAT_DIGITS));
    json_decref(model);
    return text;
}
