/* Models: Sequential, and functional ones with their inbound nodes in the dialects of all versions. */
#include "engine/keras/builder.h"

#include <stdlib.h>
#include <string.h>

bool builder_is_sequential(const struct description *description) {
    return strcmp(description->class_name, "Sequential") == 0;
}

bool builder_is_model(const struct description *description) {
    return builder_is_sequential(description) || strcmp(description->class_name, "Functional") == 0 ||
           strcmp(description->class_name, "Model") == 0;
}

const json_t *builder_layers(const struct description *model) {
    const json_t *layers = json_is_array(model->config) ? model->config : json_object_get(model->config, "layers");
    return json_is_array(layers) ? layers : NULL;
}

/* "layer name (Class): " before what is wrong. Returns -1. */
static int blame(struct builder *builder, const struct description *it) {
    return error_prefix(builder->err, "layer %.120s (%.60s)", it->name[0] ? it->name : "without a name",
                        it->class_name[0] ? it->class_name : "without a class");
}

static int call_sequential(struct builder *builder, const struct description *model, const struct values *in,
                           struct values *ret_out) {
    const json_t *layers = builder_layers(model);
    struct values at = *in;
    for (size_t i = 0; i < json_array_size(layers); i++) {
        struct description layer = description_of(json_array_get(layers, i));
        if (strcmp(layer.class_name, "InputLayer") == 0)
            continue;
        struct values out;
        if (builder_call(builder, &layer, &at, &out))
            return -1;
        if (out.n != 1) {
            error_set(builder->err, "gives %d outputs within a Sequential model", out.n);
            return blame(builder, &layer);
        }
        at = out;
    }
    *ret_out = at;
    return 0;
}

/* ---- functional models -------------------------------------------------------------------------- */

/* A layer of a functional model: its calls, and what came out of them. */
struct node {
    struct description it;
    const json_t *inbound;
    int n_calls, done;
    int offset; /* before Keras 3: of the numbers by which others name its calls */
    struct values *outs;
};

struct graph {
    struct builder *builder;
    struct node *nodes;
    struct node **by_name;
    int n;
    bool keras3; /* calls are written in its dialect */
};

static int by_name(const void *a, const void *b) {
    return strcmp((*(struct node *const *)a)->it.name, (*(struct node *const *)b)->it.name);
}

static struct node *find_node(const struct graph *graph, const char *name) {
    struct node key = {.it.name = name}, *wanted = &key;
    struct node **found = bsearch(&wanted, graph->by_name, (size_t)graph->n, sizeof wanted, by_name);
    return found ? *found : NULL;
}

/* A reference to a tensor, [name, call, output, ...]. */
static bool is_reference(const json_t *value) {
    return json_array_size(value) >= 3 && json_is_string(json_array_get(value, 0)) &&
           json_is_integer(json_array_get(value, 1)) && json_is_integer(json_array_get(value, 2));
}

/* Of what a call is given. */
struct arguments {
    struct values tensors, states;
    bool waits;   /* something is not worked out yet */
    bool foreign; /* something that is no tensor */
    bool masked;  /* a mask was given */
};

typedef int on_reference(struct graph *graph, const json_t *reference, void *data);

/* Visits all references in a structure of any dialect, in order; *foreign: something else is in it. */
static int visit(struct graph *graph, const json_t *value, int depth, bool *foreign, on_reference *on, void *data) {
    if (depth > ARCHITECTURE_DEPTH_MAX)
        return error_set(graph->builder->err, "its inputs are nested too deeply");
    if (is_reference(value))
        return on(graph, value, data);
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++)
            if (visit(graph, json_array_get(value, i), depth + 1, foreign, on, data))
                return -1;
        return 0;
    }
    const char *class_name = json_string_value(json_object_get(value, "class_name"));
    const json_t *history = json_object_get(json_object_get(value, "config"), "keras_history");
    if (class_name && strcmp(class_name, "__keras_tensor__") == 0 && is_reference(history))
        return on(graph, history, data);
    if (json_is_object(value) && !class_name) {
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)value, key,
                            member) if (visit(graph, member, depth + 1, foreign, on, data)) return -1;
        return 0;
    }
    *foreign |= !json_is_null(value);
    return 0;
}

struct gathering {
    struct values *to;
    bool comes_out; /* the outputs of the model, not the inputs of a call */
    int n;          /* those that wait with them */
    bool waits;
};

/* A functional model has had a call when it was made. Keras 3 counts that among the outputs and not in calls
 * (serialize_node and get_config of keras/src/models/functional.py). */
static int offset_of(const struct graph *graph, const struct node *node, bool comes_out) {
    if (!graph->keras3)
        return node->offset;
    return comes_out && strcmp(node->it.class_name, "Functional") == 0 ? 1 : 0;
}

static int gather(struct graph *graph, const json_t *reference, void *data) {
    struct gathering *gathering = data;
    struct error *err = graph->builder->err;
    const char *name = json_string_value(json_array_get(reference, 0));
    json_int_t call = json_integer_value(json_array_get(reference, 1));
    json_int_t output = json_integer_value(json_array_get(reference, 2));
    const struct node *node = find_node(graph, name);
    if (!node)
        return error_set(err, "reads layer %.100s, which is not in the model", name);
    call -= offset_of(graph, node, gathering->comes_out);
    if (call < 0 || call >= node->n_calls)
        return error_set(err, "reads call %lld of layer %.100s, which has %d", (long long)call, name, node->n_calls);
    if (gathering->n++ == BUILDER_VALUES)
        return error_set(err, "has more than %d inputs", BUILDER_VALUES);
    if (call >= node->done) {
        gathering->waits = true;
        return 0;
    }
    const struct values *outs = &node->outs[call];
    if (output < 0 || output >= outs->n)
        return error_set(err, "reads output %lld of layer %.100s, which has %d", (long long)output, name, outs->n);
    gathering->to->value[gathering->to->n++] = outs->value[output];
    return 0;
}

/*
 * Keras 3 writes down how masks are worked out: not_equal(ids, 0), any(not_equal(x, mask_value)), and what merging
 * layers make of those of their inputs. The network does that itself where Embedding or Masking begin them; that
 * these do is seen when all layers are there. (Its .h5 does not say that these are no layers.)
 */
static bool is_mask_op(const struct description *it, const struct values *in) {
    static const char *const makers[] = {"NotEqual", "OnesLike", "ZerosLike"};
    static const char *const users[] = {"Any", "LogicalOr", "LogicalAnd", "ExpandDims", "Concatenate"};
    bool all_masks = true;
    for (int i = 0; i < in->n; i++)
        all_masks = all_masks && in->value[i].mask;
    for (size_t i = 0; in->n > 0 && i < sizeof makers / sizeof makers[0]; i++)
        if (strcmp(it->class_name, makers[i]) == 0)
            return true;
    for (size_t i = 0; all_masks && in->n > 0 && i < sizeof users / sizeof users[0]; i++)
        if (strcmp(it->class_name, users[i]) == 0)
            return true;
    return false;
}

static int call_mask_op(struct builder *builder, const struct description *it, const json_t *inbound,
                        const struct values *in, struct values *ret_out) {
    if (strcmp(it->class_name, "NotEqual") == 0) {
        const json_t *constant = json_array_get(json_object_get(inbound, "args"), 1);
        if (in->value[0].mask || !json_is_number(constant) || builder->n_masks == BUILDER_MASKS) {
            error_set(builder->err, "is not supported");
            return blame(builder, it);
        }
        builder->masks[builder->n_masks++] =
            (struct mask_made){.of = in->value[0].at, .constant = json_number_value(constant)};
    }
    *ret_out = (struct values){.n = 1, .value = {{.at = in->value[0].at, .mask = true}}};
    return 0;
}

/* Named arguments: initial_state's tensors are inputs, a mask must be one that the network works out itself. */
static int gather_named(struct graph *graph, const json_t *kwargs, struct arguments *ret) {
    struct error *err = graph->builder->err;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)kwargs, key, value) {
        struct values tensors = {0};
        struct gathering gathering = {.to = &tensors};
        bool foreign = false;
        if (visit(graph, value, 0, &foreign, gather, &gathering))
            return -1;
        ret->waits |= gathering.waits;
        bool is_mask = strcmp(key, "mask") == 0, is_states = strcmp(key, "initial_state") == 0;
        for (int i = 0; i < tensors.n; i++) {
            if (is_mask ? !tensors.value[i].mask : !is_states && strcmp(key, "inputs") != 0)
                return error_set(err, "is given %s%.60s, which is not supported", is_mask ? "its own " : "", key);
            ret->masked |= is_mask;
            struct values *to = is_states ? &ret->states : &ret->tensors;
            if (!is_mask && to->n < BUILDER_VALUES)
                to->value[to->n++] = tensors.value[i];
        }
        if (strcmp(key, "training") == 0 && json_is_true(value))
            return error_set(err, "is called with training=True, which is not supported");
    }
    return 0;
}

/* Keras 1 and 2: [[name, call, output, {kwargs}], ...]; the kwargs stand in each. */
static int gather_old_kwargs(struct graph *graph, const json_t *value, int depth, struct arguments *ret) {
    if (is_reference(value)) {
        const json_t *kwargs = json_array_get(value, 3);
        return json_is_object(kwargs) ? gather_named(graph, kwargs, ret) : 0;
    }
    for (size_t i = 0; depth < ARCHITECTURE_DEPTH_MAX && i < json_array_size(value); i++)
        if (gather_old_kwargs(graph, json_array_get(value, i), depth + 1, ret))
            return -1;
    return 0;
}

static int gather_call(struct graph *graph, const json_t *inbound, struct arguments *ret) {
    struct gathering gathering = {.to = &ret->tensors};
    bool keras3 = json_is_object(inbound);
    const json_t *positional = keras3 ? json_object_get(inbound, "args") : inbound;
    if (visit(graph, positional, 0, &ret->foreign, gather, &gathering))
        return -1;
    ret->waits |= gathering.waits;
    if (keras3 ? gather_named(graph, json_object_get(inbound, "kwargs"), ret)
               : gather_old_kwargs(graph, inbound, 0, ret))
        return -1;
    for (int i = 0; i < ret->states.n; i++) {
        if (ret->tensors.n == BUILDER_VALUES)
            return error_set(graph->builder->err, "has more than %d inputs", BUILDER_VALUES);
        ret->tensors.value[ret->tensors.n++] = ret->states.value[i];
    }
    ret->tensors.mask_given = ret->masked;
    return 0;
}

/* As far as its next calls have their inputs. Returns how many were made, or -1. */
static int advance(struct graph *graph, struct node *node) {
    int made = 0;
    while (node->done < node->n_calls) {
        struct arguments arguments = {0};
        if (gather_call(graph, json_array_get(node->inbound, (size_t)node->done), &arguments))
            return blame(graph->builder, &node->it);
        if (arguments.waits)
            break;
        const json_t *inbound = json_array_get(node->inbound, (size_t)node->done);
        if (is_mask_op(&node->it, &arguments.tensors)) {
            if (call_mask_op(graph->builder, &node->it, inbound, &arguments.tensors, &node->outs[node->done]))
                return -1;
        } else if (arguments.foreign) {
            error_set(graph->builder->err, "reads a constant, which is not supported");
            return blame(graph->builder, &node->it);
        } else if (builder_call(graph->builder, &node->it, &arguments.tensors, &node->outs[node->done]))
            return -1;
        node->done++;
        made++;
    }
    return made;
}

/* ---- setting up --------------------------------------------------------------------------------- */

/* Keras 1 and 2 count the call of their making, or not: they do where they name one that otherwise were not there. */
static int note_offset(struct graph *graph, const json_t *reference, void *data) {
    (void)data;
    struct node *node = find_node(graph, json_string_value(json_array_get(reference, 0)));
    if (node && builder_is_model(&node->it) && json_integer_value(json_array_get(reference, 1)) >= node->n_calls)
        node->offset = 1;
    return 0;
}

static int make_node(struct graph *graph, const json_t *data, size_t *n_calls) {
    struct error *err = graph->builder->err;
    struct node node = {.it = description_of(data), .inbound = json_object_get(data, "inbound_nodes")};
    const char *name = json_string_value(json_object_get(data, "name"));
    if (name)
        node.it.name = name; /* by which others call it */
    size_t its = strcmp(node.it.class_name, "InputLayer") == 0 ? 1 : json_array_size(node.inbound);
    *n_calls += its;
    if (its > ARCHITECTURE_LAYERS_MAX || *n_calls > ARCHITECTURE_LAYERS_MAX)
        return error_set(err, "the model has more than %d layers", ARCHITECTURE_LAYERS_MAX);
    graph->keras3 |= json_is_object(json_array_get(node.inbound, 0));
    node.n_calls = (int)its;
    node.outs = calloc(its + 1, sizeof *node.outs);
    if (!node.outs)
        return error_set(err, "not enough memory");
    graph->by_name[graph->n] = &graph->nodes[graph->n];
    graph->nodes[graph->n++] = node;
    return 0;
}

static int make_nodes(struct graph *graph, const json_t *layers, const json_t *outputs) {
    struct error *err = graph->builder->err;
    size_t n = json_array_size(layers), n_calls = 0;
    if (n > ARCHITECTURE_LAYERS_MAX)
        return error_set(err, "the model has more than %d layers", ARCHITECTURE_LAYERS_MAX);
    graph->nodes = calloc(n + 1, sizeof *graph->nodes);
    graph->by_name = calloc(n + 1, sizeof *graph->by_name);
    if (!graph->nodes || !graph->by_name)
        return error_set(err, "not enough memory");
    for (size_t i = 0; i < n; i++)
        if (make_node(graph, json_array_get(layers, i), &n_calls))
            return -1;
    qsort(graph->by_name, (size_t)graph->n, sizeof *graph->by_name, by_name);
    for (int i = 1; i < graph->n; i++)
        if (by_name(&graph->by_name[i - 1], &graph->by_name[i]) == 0) {
            error_set(err, "there is a second layer of this name");
            return blame(graph->builder, &graph->by_name[i]->it);
        }
    bool foreign = false;
    for (int i = 0; i < graph->n; i++)
        if (visit(graph, graph->nodes[i].inbound, 0, &foreign, note_offset, NULL))
            return blame(graph->builder, &graph->nodes[i].it);
    return visit(graph, outputs, 0, &foreign, note_offset, NULL);
}

struct feeding {
    const struct values *in;
    int n;
};

static int feed(struct graph *graph, const json_t *reference, void *data) {
    struct feeding *feeding = data;
    const char *name = json_string_value(json_array_get(reference, 0));
    struct node *node = find_node(graph, name);
    if (!node || strcmp(node->it.class_name, "InputLayer") != 0)
        return error_set(graph->builder->err, "input %.100s of the model is not an input layer", name);
    if (feeding->n < feeding->in->n) {
        node->outs[0] = (struct values){.n = 1, .value = {feeding->in->value[feeding->n]}};
        node->done = 1;
    }
    feeding->n++;
    return 0;
}

static int run_graph(struct graph *graph, const struct description *model, const struct values *in,
                     struct values *ret_out) {
    const json_t *inputs = json_object_get(model->config, "input_layers");
    const json_t *outputs = json_object_get(model->config, "output_layers");
    struct error *err = graph->builder->err;
    struct feeding feeding = {.in = in};
    bool foreign = false;
    if (make_nodes(graph, builder_layers(model), outputs) || visit(graph, inputs, 0, &foreign, feed, &feeding))
        return -1;
    if (feeding.n != in->n)
        return error_set(err, "the model has %d inputs, and %s", feeding.n,
                         graph->builder->depth == 1 ? "only one is supported" : "is given another number");
    for (int made = 1; made > 0;) {
        made = 0;
        for (int i = 0; i < graph->n; i++) {
            int its = advance(graph, &graph->nodes[i]);
            if (its < 0)
                return -1;
            made += its;
        }
    }
    struct gathering gathering = {.to = ret_out, .comes_out = true};
    ret_out->n = 0;
    ret_out->mask_given = false;
    if (visit(graph, outputs, 0, &foreign, gather, &gathering))
        return error_prefix(err, "output_layers");
    if (gathering.waits || ret_out->n < 1)
        return error_set(err, "the model's outputs do not follow from its inputs");
    return 0;
}

static int call_functional(struct builder *builder, const struct description *model, const struct values *in,
                           struct values *ret_out) {
    struct graph graph = {.builder = builder};
    int failed = run_graph(&graph, model, in, ret_out);
    for (int i = 0; i < graph.n; i++)
        free(graph.nodes[i].outs);
    free(graph.nodes);
    free(graph.by_name);
    return failed;
}

int builder_call(struct builder *builder, const struct description *it, const struct values *in,
                 struct values *ret_out) {
    if (builder->n_calls++ == 16 * ARCHITECTURE_LAYERS_MAX)
        return error_set(builder->err, "the model has more than %d layers", ARCHITECTURE_LAYERS_MAX);
    if (!builder_is_model(it))
        return builder_call_layer(builder, it, in, ret_out) ? blame(builder, it) : 0;
    if (builder->depth == ARCHITECTURE_DEPTH_MAX)
        return error_set(builder->err, "more than %d models in each other", ARCHITECTURE_DEPTH_MAX);
    builder->depth++;
    int failed = builder_is_sequential(it) ? call_sequential(builder, it, in, ret_out)
                                           : call_functional(builder, it, in, ret_out);
    builder->depth--;
    return failed;
}
