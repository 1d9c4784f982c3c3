/* A network under the names and in the order that Keras gives to its layers. */
#include "engine/keras/write.h"
#include "engine/layers/layer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names -------------------------------------------------------------------------------------- */

static int count_name(const struct written *written, const char *name) {
    int n = 0;

    for (int i = 0; i < written->spec->n_layers; i++)
        n += strcmp(written->layers[i].name, name) == 0;
    return n;
}

/* JSON has no others. */
static int check_names(const struct network_spec *spec, struct error *err) {
    for (int i = 0; i < spec->n_layers; i++) {
        json_t *text = json_string(spec->layers[i].name);

        if (!text)
            return error_set(err, "layer %d of %d: its name is not in UTF-8", i + 1, spec->n_layers);
        json_decref(text);
    }
    return 0;
}

/* Keras 3 has no "/" in names. What such a name becomes may be there already: then it is numbered. */
static void name_layers(struct written *written) {
    int n = written->spec->n_layers;

    for (int i = 0; i < n; i++)
        snprintf(written->layers[i].name, sizeof written->layers[i].name, "%s", written->spec->layers[i].name);
    for (int i = 0; i < n && written->keras3; i++) {
        char *name = written->layers[i].name, plain[LAYER_NAME_MAX];

        if (!strchr(name, '/'))
            continue;
        for (char *slash; (slash = strchr(name, '/'));)
            *slash = '_';
        snprintf(plain, sizeof plain, "%.*s", (int)sizeof plain - 1, name);
        for (int number = 1; count_name(written, name) > 1; number++)
            snprintf(name, sizeof written->layers[i].name, "%s_%d", plain, number);
    }
    snprintf(written->input_name, sizeof written->input_name, "input_layer");
    for (int number = 1; count_name(written, written->input_name) > 0; number++)
        snprintf(written->input_name, sizeof written->input_name, "input_layer_%d", number);
}

/* ---- applications ------------------------------------------------------------------------------- */

int written_n_inputs(const struct layer_spec *spec) {
    return spec->n_in > 0 ? spec->n_in : 1;
}

struct layer_input written_input(const struct written *written, int layer, int i) {
    const struct layer_spec *spec = &written->spec->layers[layer];

    return spec->n_in > 0 ? spec->in[i] : (struct layer_input){layer - 1, 0};
}

/* Whether one Keras layer can be both: all but name and place are the same. */
static bool is_same_layer(const struct layer_spec *a, const struct layer_spec *b) {
    return a->kind == b->kind && a->units == b->units && a->activation == b->activation &&
           a->use_bias == b->use_bias && a->cell == b->cell && a->merge == b->merge &&
           a->recurrent_activation == b->recurrent_activation && a->return_sequences == b->return_sequences &&
           a->return_state == b->return_state && a->go_backwards == b->go_backwards && a->stateful == b->stateful &&
           a->reset_after == b->reset_after && a->zero_output_for_mask == b->zero_output_for_mask &&
           a->dropout == b->dropout && a->recurrent_dropout == b->recurrent_dropout &&
           a->vocabulary == b->vocabulary && a->mask_zero == b->mask_zero && a->mask_value == b->mask_value &&
           a->kernel_size == b->kernel_size && a->strides == b->strides && a->dilation == b->dilation &&
           a->groups == b->groups && a->padding == b->padding && a->target_steps == b->target_steps &&
           a->target_width == b->target_width && a->epsilon == b->epsilon && a->momentum == b->momentum &&
           a->center == b->center && a->scale == b->scale && a->alpha == b->alpha &&
           a->shared_steps == b->shared_steps && a->keep_steps == b->keep_steps &&
           a->time_distributed == b->time_distributed;
}

static int find_applications(struct written *written, struct error *err) {
    const struct layer_spec *specs = written->spec->layers;

    for (int i = 0; i < written->spec->n_layers; i++) {
        struct written_layer *layer = &written->layers[i];

        layer->first = specs[i].shares ? written->layers[specs[i].shares - 1].first : i;
        if (layer->first != i && !is_same_layer(&specs[i], &specs[layer->first]))
            return error_set(err,
                             "layer %s has the parameters of %s but not its options, and a layer of Keras has one "
                             "set of options",
                             specs[i].name, specs[layer->first].name);
        for (int j = 0; j < i; j++)
            layer->node += written->layers[j].first == layer->first;
    }
    return 0;
}

static bool is_sequential(const struct written *written) {
    const struct network_spec *spec = written->spec;

    for (int i = 0; i < spec->n_layers; i++) {
        struct layer_input from = written_input(written, i, 0);

        if (written_n_inputs(&spec->layers[i]) != 1 || from.layer != i - 1 || from.port != 0 ||
            spec->layers[i].shares || spec->layers[i].return_state)
            return false;
    }
    return spec->n_outputs == 0 ||
           (spec->n_outputs == 1 && spec->outputs[0].layer == spec->n_layers - 1 && spec->outputs[0].port == 0);
}

/* ---- order -------------------------------------------------------------------------------------- */

/* Places while the order is worked out: of the input 0, of layer i 1 + i. */
struct ordering {
    const struct written *written;
    int n;
    int *finished, n_finished; /* places in the order in which the search leaves them: each after what it reads */
    int *stack, *next;         /* the search's way, and which input of each it looks at next */
    bool *seen;
    int *index, *depth; /* of Keras' layers, by the place of the first application */
    int *node_depth;    /* of places */
};

static int first_of(const struct ordering *o, int place) {
    return place == 0 ? 0 : 1 + o->written->layers[place - 1].first;
}

/* Everything that an output comes from, depth first. */
static void search(struct ordering *o, int from, int *n_indices) {
    int top = 0;

    if (o->seen[from])
        return;
    o->stack[top++] = from;
    for (o->seen[from] = true; top > 0;) {
        int place = o->stack[top - 1], *next = &o->next[place];

        if (*next == 0 && o->index[first_of(o, place)] < 0)
            o->index[first_of(o, place)] = (*n_indices)++;
        if (place > 0 && *next < written_n_inputs(&o->written->spec->layers[place - 1])) {
            int input = 1 + written_input(o->written, place - 1, (*next)++).layer;

            if (!o->seen[input]) {
                o->seen[input] = true;
                o->stack[top++] = input;
            }
        } else {
            o->finished[o->n_finished++] = place;
            top--;
        }
    }
}

/* How far from the outputs each is, as Keras counts it. */
static void measure_depths(struct ordering *o) {
    for (int i = o->n_finished - 1; i >= 0; i--) {
        int place = o->finished[i], first = first_of(o, place), depth = o->node_depth[place];

        depth = depth > o->depth[first] ? depth : o->depth[first];
        o->depth[first] = o->node_depth[place] = depth;
        for (int j = 0; place > 0 && j < written_n_inputs(&o->written->spec->layers[place - 1]); j++) {
            int *before = &o->node_depth[1 + written_input(o->written, place - 1, j).layer];

            *before = *before > depth + 1 ? *before : depth + 1;
        }
    }
}

/* Farthest first; among equals in the order of the search. */
static void sort_layers(const struct ordering *o, struct written *written) {
    int n = 0;

    for (int place = 0; place < o->n; place++)
        if (o->index[place] >= 0) {
            int at = n++;

            for (; at > 0; at--) {
                int other = 1 + written->order[at - 1];

                if (o->depth[other] > o->depth[place] ||
                    (o->depth[other] == o->depth[place] && o->index[other] < o->index[place]))
                    break;
                written->order[at] = written->order[at - 1];
            }
            written->order[at] = place - 1;
        }
    written->n_order = n;
}

/* As map_graph of keras/src/ops/function.py and its forebear in tf-keras do. */
static int order_graph(struct written *written, struct error *err) {
    const struct network_spec *spec = written->spec;
    size_t n = 1 + (size_t)spec->n_layers;
    int *room = calloc(n * 6, sizeof *room), n_indices = 0, failed = 0;
    bool *seen = calloc(n, sizeof *seen);
    struct ordering o = {.written = written, .n = (int)n, .seen = seen};

    if (!room || !seen) {
        failed = error_set(err, "not enough memory");
        goto free_room;
    }
    o.finished = room;
    o.stack = room + n;
    o.next = room + 2 * n;
    o.index = room + 3 * n;
    o.depth = room + 4 * n;
    o.node_depth = room + 5 * n;
    for (size_t i = 0; i < n; i++)
        o.index[i] = -1;
    for (int i = 0; i < network_n_outputs(written->network); i++)
        search(&o, 1 + (spec->n_outputs ? spec->outputs[i].layer : spec->n_layers - 1), &n_indices);
    for (int i = 0; i < spec->n_layers && !failed; i++)
        if (!seen[1 + i])
            failed =
                error_set(err, "layer %s leads to no output, and Keras keeps no such layer", spec->layers[i].name);
    if (failed)
        goto free_room;
    measure_depths(&o);
    sort_layers(&o, written);

free_room:
    free(room);
    free(seen);
    return failed;
}

static void order_chain(struct written *written) {
    for (int i = 0; i < written->spec->n_layers; i++)
        written->order[written->n_order++] = i;
}

/* Keras 3: a group is named for the layer's class, and numbered in the model's order. */
static void name_groups(struct written *written) {
    for (int i = 0; i < written->n_order; i++) {
        int number = 0, at = written->order[i];
        char snake[64];

        if (at == WRITTEN_INPUT)
            continue;
        const struct layer_spec *spec = &written->spec->layers[at];
        const char *class = written_is_wrapped(spec) ? "TimeDistributed" : layer_kind_name(spec->kind);
        for (int j = 0; j < i; j++) {
            const struct layer_spec *other = &written->spec->layers[written->order[j] < 0 ? at : written->order[j]];

            number += written->order[j] >= 0 && written_is_wrapped(other) == written_is_wrapped(spec) &&
                      (written_is_wrapped(spec) || other->kind == spec->kind);
        }
        layer_snake_case(class, snake);
        snprintf(written->layers[at].group, sizeof written->layers[at].group, number ? "%s_%d" : "%s", snake, number);
    }
}

int written_init(struct written *written, const struct network *network, bool keras3, struct error *err) {
    size_t n = (size_t)network_spec(network)->n_layers;

    *written = (struct written){.network = network, .spec = network_spec(network), .keras3 = keras3};
    written->layers = calloc(n, sizeof *written->layers);
    written->order = calloc(n + 1, sizeof *written->order);
    if (!written->layers || !written->order) {
        error_set(err, "not enough memory");
        goto fail;
    }
    if (check_names(written->spec, err) != 0)
        goto fail;
    name_layers(written);
    if (find_applications(written, err) != 0)
        goto fail;
    written->sequential = is_sequential(written);
    if (written->sequential)
        order_chain(written);
    else if (order_graph(written, err) != 0)
        goto fail;
    name_groups(written);
    return 0;
fail:
    written_fini(written);
    return -1;
}

void written_fini(struct written *written) {
    free(written->layers);
    free(written->order);
    *written = (struct written){0};
}
