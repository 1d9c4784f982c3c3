#include "clients/forecast/model.h"
#include "clients/forecast/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *architecture;

static const struct option_row rows[] = {
    {"architecture", 'a', OPTION_TEXT, "A.json", "the architecture of weights-only HDF5", &architecture, 0, 0},
    {0},
};

static const struct option_command show = {
    .name = "forecast model show",
    .usage = "FILE [OPTIONS]",
    .summary = "says what a model is, how it can run, and what that costs.",
    .rows = rows,
    .notes =
        "windowed: each forecast runs the last steps of a stream as one sample. stateful: each step runs once, on states\n"
        "that are kept. FLOP are those of the products with weights, two for a multiplication with its addition, and one\n"
        "for each value of other layers; bytes are parameters, states and values read and written.\n",
    .examples = "  forecast model show house.keras\n"
                "  forecast model show weights.h5 --architecture model.json\n",
};

enum { TEXT = 2 * LAYER_NAME_MAX + 64 };

/* ---- shapes ------------------------------------------------------------------------------------- */

/* Fewest and many steps of a call: what does not differ between them is fixed. */
static int few_steps(const struct network *network) {
    int fixed = network_spec(network)->steps;

    return fixed >= network_min_steps(network) ? fixed : network_min_steps(network);
}

static int many_steps(const struct network *network) {
    bool fixed = network_steps(network) || network_spec(network)->steps;

    return few_steps(network) + (fixed ? 0 : 4096);
}

/* "[batch, 5, 3]"; a number of steps that depends on the call's is "time", "time - 2", "time / 2". */
static void shape_text(struct network_shape few, struct network_shape many, int more, char *text) {
    char steps[48];
    int grows = many.steps - few.steps;

    if (!few.sequence) {
        snprintf(text, TEXT, "[batch, %d]", few.width);
        return;
    }
    if (grows == 0)
        snprintf(steps, sizeof steps, "%d", few.steps);
    else if (grows != more)
        snprintf(steps, sizeof steps, "time / %d", (more + grows / 2) / grows);
    else
        snprintf(steps, sizeof steps, "time");
    snprintf(text, TEXT, "[batch, %s, %d]", steps, few.width);
}

static void layer_shape_text(const struct network *network, int layer, int port, char *text) {
    int few = few_steps(network), many = many_steps(network);

    shape_text(network_layer_output(network, layer, port, few), network_layer_output(network, layer, port, many),
               many - few, text);
}

static void input_text(const struct network_spec *spec, char *text) {
    char steps[24] = "time";

    if (spec->steps)
        snprintf(steps, sizeof steps, "%d", spec->steps);
    if (spec->no_time)
        snprintf(text, TEXT, "[batch, %d]", spec->n_inputs);
    else if (spec->ids)
        snprintf(text, TEXT, "integers [batch, %s]", steps);
    else
        snprintf(text, TEXT, "[batch, %s, %d]", steps, spec->n_inputs);
}

/* ---- layers ------------------------------------------------------------------------------------- */

/* "LSTM", "Bidirectional(LSTM)", "TimeDistributed(Dense)". */
static void kind_text(const struct layer_spec *spec, char *text) {
    if (spec->kind == LAYER_BIDIRECTIONAL)
        snprintf(text, TEXT, "%s(%s)", layer_kind_name(spec->kind), layer_kind_name(spec->cell));
    else
        snprintf(text, TEXT, spec->time_distributed ? "TimeDistributed(%s)" : "%s", layer_kind_name(spec->kind));
}

static struct layer_input input_of(const struct network_spec *spec, int layer, int i) {
    return spec->layers[layer].n_in > 0 ? spec->layers[layer].in[i] : (struct layer_input){layer - 1, 0};
}

static int inputs_of(const struct network_spec *spec, int layer) {
    return spec->layers[layer].n_in > 0 ? spec->layers[layer].n_in : 1;
}

/* "lstm", "lstm:1" of a further output, "input". */
static size_t tensor_text(const struct network_spec *spec, struct layer_input tensor, char *text, size_t size) {
    int n;

    if (tensor.layer < 0)
        n = snprintf(text, size, "input");
    else
        n = snprintf(text, size, tensor.port ? "%s:%d" : "%s", spec->layers[tensor.layer].name, tensor.port);
    return n < 0 || (size_t)n >= size ? size - 1 : (size_t)n;
}

static void reads_text(const struct network_spec *spec, int layer, char *text) {
    size_t used = 0;

    for (int i = 0; i < inputs_of(spec, layer) && used + 4 < TEXT; i++) {
        if (i)
            used += (size_t)snprintf(text + used, TEXT - used, ", ");
        used += tensor_text(spec, input_of(spec, layer, i), text + used, TEXT - used);
    }
}

/* Whether each layer reads the one before it. */
static bool is_chain(const struct network_spec *spec) {
    for (int i = 0; i < spec->n_layers; i++)
        if (inputs_of(spec, i) != 1 || input_of(spec, i, 0).layer != i - 1)
            return false;
    return true;
}

static size_t count_weights(const struct network *network, int layer, bool trainable) {
    struct network_weight weights[LAYER_WEIGHTS];
    size_t n = 0;

    if (network_spec(network)->layers[layer].shares)
        return 0;
    for (int i = 0, n_weights = network_weights(network, layer, weights); i < n_weights; i++)
        n += weights[i].trainable == trainable ? weights[i].n : 0;
    return n;
}

static void add_cell(struct table *table, char *text) {
    text_tame(text);
    table_cell(table, text);
}

static void print_layers(const struct network *network) {
    const struct network_spec *spec = network_spec(network);
    bool chain = is_chain(spec);
    struct table table = {.n_columns = chain ? 4 : 5, .right = {false, false, false, true}};
    char text[TEXT];

    table_cell(&table, "layer");
    table_cell(&table, "kind");
    table_cell(&table, "output");
    table_cell(&table, "parameters");
    if (!chain)
        table_cell(&table, "reads");
    for (int i = 0; i < spec->n_layers; i++) {
        snprintf(text, sizeof text, "%s", spec->layers[i].name);
        add_cell(&table, text);
        kind_text(&spec->layers[i], text);
        add_cell(&table, text);
        layer_shape_text(network, i, 0, text);
        add_cell(&table, text);
        if (spec->layers[i].shares)
            snprintf(text, sizeof text, "those of %s", spec->layers[spec->layers[i].shares - 1].name);
        else
            snprintf(text, sizeof text, "%zu", count_weights(network, i, true) + count_weights(network, i, false));
        add_cell(&table, text);
        if (!chain) {
            reads_text(spec, i, text);
            add_cell(&table, text);
        }
    }
    table_print(&table, stdout);
    table_fini(&table);
}

static void print_outputs(const struct network *network) {
    const struct network_spec *spec = network_spec(network);
    struct layer_input last = {spec->n_layers - 1, 0};

    for (int o = 0; o < network_n_outputs(network); o++) {
        struct layer_input from = spec->n_outputs ? spec->outputs[o] : last;
        char name[TEXT], shape[TEXT];

        tensor_text(spec, from, name, sizeof name);
        text_tame(name);
        layer_shape_text(network, from.layer, from.port, shape);
        printf("output %d    %s %s\n", o, name, shape);
    }
}

/* ---- cost --------------------------------------------------------------------------------------- */

struct cost {
    double flop, bytes;
};

/* One call of `steps` steps of a row. */
static struct cost cost_of(const struct network *network, int steps) {
    const struct network_spec *spec = network_spec(network);
    struct cost cost = {.bytes = 2.0 * (double)network_state_size(network)};

    for (int i = 0; i < spec->n_layers; i++) {
        const struct layer_spec *layer = &spec->layers[i];
        bool recurs = layer->kind == LAYER_LSTM || layer->kind == LAYER_GRU || layer->kind == LAYER_SIMPLE_RNN ||
                      layer->kind == LAYER_BIDIRECTIONAL;
        bool multiplies = recurs || layer->kind == LAYER_DENSE || layer->kind == LAYER_CONV1D;
        struct layer_input from = input_of(spec, i, 0);
        struct network_shape out = network_layer_output(network, i, 0, steps);
        struct network_shape in =
            from.layer < 0
                ? (struct network_shape){.width = spec->n_inputs, .sequence = !spec->no_time, .steps = steps}
                : network_layer_output(network, from.layer, from.port, steps);
        double runs = recurs ? in.steps : out.steps, values = (double)out.steps * out.width;
        struct network_weight weights[LAYER_WEIGHTS];
        double n = 0, products = 0;

        for (int w = 0, n_weights = network_weights(network, i, weights); w < n_weights; w++) {
            n += (double)weights[w].n;
            products += weights[w].n_dims > 1 && !strstr(weights[w].name, "bias") ? (double)weights[w].n : 0;
        }
        cost.flop += multiplies ? runs * (products + n) : values;
        cost.bytes += runs * (layer->kind == LAYER_EMBEDDING ? layer->units
                              : multiplies                   ? n
                                                             : 0) +
                      (multiplies || layer->kind == LAYER_EMBEDDING ? 0 : n) + values + (double)in.steps * in.width;
    }
    cost.bytes *= sizeof(float);
    return cost;
}

static void print_cost(const char *what, struct cost cost) {
    printf("%-12s%.0f FLOP, %.0f bytes\n", what, cost.flop, cost.bytes);
}

/* ---- how it runs -------------------------------------------------------------------------------- */

static void print_windowed(const struct network *network) {
    const struct network_spec *spec = network_spec(network);
    int steps = few_steps(network);

    if (network_steps(network) || spec->steps)
        printf("windowed    yes, samples of %d step%s\n", steps, steps == 1 ? "" : "s");
    else if (steps > 1)
        printf("windowed    yes, samples of any length from %d steps on\n", steps);
    else
        printf("windowed    yes, samples of any length\n");
}

/* What the daemon does when it is told nothing. */
static void print_served(const struct keras_model *model) {
    if (!model->own)
        printf("served      %s\n", network_spec_is_stateful(&model->spec) ? "stateful, as its layers are"
                                                                          : "windowed, as no layer is stateful");
}

static void print_modes(const struct keras_model *model, const struct network *samples) {
    struct error err;
    struct network *stream = keras_network(model, NETWORK_STREAM, 0, &err);

    print_windowed(samples);
    if (stream)
        printf("stateful    yes, %zu floats of state for each stream\n", network_state_size(stream));
    else
        printf("stateful    no: %s\n", err.text);
    print_served(model);
    if (stream)
        print_cost("one step", cost_of(stream, 1));
    if (!stream || few_steps(samples) > 1)
        print_cost("one sample", cost_of(samples, few_steps(samples)));
    network_free(stream);
}

static void print_model(const char *path, const struct keras_model *model, const struct network *network) {
    char text[TEXT], version[64];
    size_t trained = 0, fixed = 0;

    snprintf(version, sizeof version, "%s", model->version);
    text_tame(version);
    input_text(&model->spec, text);
    printf("%s: %s%s\n", path, *version ? "of Keras " : "of an unknown Keras", version);
    printf("input       %s\n\n", text);
    print_layers(network);
    printf("\n");
    print_outputs(network);
    for (int i = 0; i < model->spec.n_layers; i++) {
        trained += count_weights(network, i, true);
        fixed += count_weights(network, i, false);
    }
    printf("parameters  %zu", trained + fixed);
    if (fixed)
        printf(", %zu of them not trained", fixed);
    printf("\n");
    print_modes(model, network);
    if (model->own)
        printf("forecastd   %zu bytes of its own\n", strlen(model->own));
    else
        printf("forecastd   nothing of its own: served as it is\n");
}

int model_show(int argc, char **argv) {
    struct keras_model *model;
    struct network *network;
    struct error err;
    int first, code = options_begin(&show, argc, argv, &first);

    if (code >= 0)
        return code;
    if (argc - first != 1)
        return options_wrong(&show, "it takes one model, not %d", argc - first);
    model = keras_read(argv[first], architecture, &err);
    if (!model)
        return model_failed(&err);
    network = keras_network(model, NETWORK_SAMPLES, 0, &err);
    if (network)
        print_model(argv[first], model, network);
    code = network ? 0 : model_failed(&err);
    network_free(network);
    keras_model_free(model);
    return code;
}
