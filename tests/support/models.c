#include "tests/support/models.h"

#include "engine/random.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 3, STEPS = 6, VOCABULARY = 7 };
#define MASK_VALUE (-1.0f)

/* ---- making them -------------------------------------------------------------------------------- */

/* Adds a layer that reads the one before it; returns its index. */
static int add(struct model *m, struct layer_spec spec) {
    assert(m->spec.n_layers < MODEL_LAYERS_MAX);
    m->layers[m->spec.n_layers] = spec;
    return m->spec.n_layers++;
}

/* The same with what it reads: pairs of (layer, port). */
static int add_on(struct model *m, struct layer_spec spec, int n, const struct layer_input *in) {
    spec.n_in = n;
    memcpy(spec.in, in, (size_t)n * sizeof *in);
    return add(m, spec);
}

#define ON(...) \
    (int)(sizeof((struct layer_input[]){__VA_ARGS__}) / sizeof(struct layer_input)), (const struct layer_input[]) { \
        __VA_ARGS__ \
    }
#define INPUT \
    { -1, 0 }

static void set_outputs(struct model *m, int n, const struct layer_input *outputs) {
    m->spec.n_outputs = n;
    memcpy(m->spec.outputs, outputs, (size_t)n * sizeof *outputs);
}

static struct layer_spec dense(int units, enum activation activation) {
    struct layer_spec spec = layer_spec_of(LAYER_DENSE, units);

    spec.activation = activation;
    return spec;
}

static struct layer_spec recurrent(enum layer_kind kind, int units, bool sequences, bool state) {
    struct layer_spec spec = layer_spec_of(kind, units);

    spec.return_sequences = sequences;
    spec.return_state = state;
    return spec;
}

static struct layer_spec bidirectional(enum layer_kind cell, enum merge_mode merge, bool sequences) {
    struct layer_spec spec = recurrent(LAYER_BIDIRECTIONAL, 4, sequences, false);

    spec.cell = cell;
    spec.merge = merge;
    spec.zero_output_for_mask = sequences; /* Keras sets it so */
    return spec;
}

static struct layer_spec plain(enum layer_kind kind) {
    return layer_spec_of(kind, 0);
}

static struct layer_spec named(struct layer_spec spec, const char *name) {
    snprintf(spec.name, sizeof spec.name, "%s", name);
    return spec;
}

static struct layer_spec timed(struct layer_spec spec) {
    spec.time_distributed = true;
    return spec;
}

static struct layer_spec conv(int filters, int kernel, int strides, int dilation, enum padding padding) {
    struct layer_spec spec = layer_spec_of(LAYER_CONV1D, filters);

    spec.kernel_size = kernel;
    spec.strides = strides;
    spec.dilation = dilation;
    spec.padding = padding;
    return spec;
}

static struct layer_spec pool(enum layer_kind kind, int size, int strides, enum padding padding) {
    struct layer_spec spec = plain(kind);

    spec.kernel_size = size;
    spec.strides = strides;
    spec.padding = padding;
    return spec;
}

/* ---- the models --------------------------------------------------------------------------------- */

static void make_dense(struct model *m) {
    add(m, dense(5, ACTIVATION_RELU));
    struct layer_spec last = dense(2, ACTIVATION_LINEAR);
    last.use_bias = false;
    add(m, last);
}

static void make_dense_no_time(struct model *m) {
    m->spec.no_time = true;
    make_dense(m);
}

static void make_activations(struct model *m) {
    for (enum activation a = 0; a < N_ACTIVATIONS; a++)
        if (a != ACTIVATION_HARD_SIGMOID && a != ACTIVATION_HARD_SIGMOID_KERAS2)
            add(m, dense(6, a));
}

static void make_activation_layers(struct model *m) {
    for (enum activation a = 0; a < N_ACTIVATIONS; a++)
        if (a != ACTIVATION_HARD_SIGMOID && a != ACTIVATION_HARD_SIGMOID_KERAS2) {
            struct layer_spec spec = plain(LAYER_ACTIVATION);

            spec.activation = a;
            add(m, spec);
        }
    add(m, dense(2, ACTIVATION_LINEAR));
}

static void make_hard_sigmoid(struct model *m) {
    struct layer_spec spec = recurrent(LAYER_LSTM, 4, true, false);

    m->not_keras2 = true;
    spec.recurrent_activation = ACTIVATION_HARD_SIGMOID;
    add(m, spec);
    add(m, dense(2, ACTIVATION_HARD_SIGMOID));
}

static void make_hard_sigmoid_keras2(struct model *m) {
    struct layer_spec spec = recurrent(LAYER_GRU, 4, true, false);

    m->not_keras3 = true;
    spec.recurrent_activation = ACTIVATION_HARD_SIGMOID_KERAS2;
    spec.reset_after = false;
    add(m, spec);
    add(m, dense(2, ACTIVATION_HARD_SIGMOID_KERAS2));
}

static void make_lstm(struct model *m) {
    add(m, recurrent(LAYER_LSTM, 5, true, false));
    add(m, recurrent(LAYER_LSTM, 4, false, false));
    add(m, dense(1, ACTIVATION_SIGMOID));
}

static void make_lstm_options(struct model *m) {
    struct layer_spec spec = recurrent(LAYER_LSTM, 5, true, false);

    spec.use_bias = false;
    spec.go_backwards = true;
    spec.activation = ACTIVATION_SOFTSIGN;
    spec.dropout = 0.1f;
    spec.recurrent_dropout = 0.3f;
    add(m, spec);
    spec = recurrent(LAYER_LSTM, 4, false, false);
    spec.activation = ACTIVATION_RELU;
    add(m, spec);
}

static void make_states(struct model *m, enum layer_kind kind, bool sequences) {
    int n = kind == LAYER_LSTM ? 3 : 2;
    int a = add(m, recurrent(kind, 4, sequences, true));

    set_outputs(m, n, (struct layer_input[]){{a, 0}, {a, 1}, {a, 2}});
}

static void make_lstm_states(struct model *m) {
    make_states(m, LAYER_LSTM, false);
}

static void make_lstm_sequences_states(struct model *m) {
    make_states(m, LAYER_LSTM, true);
}

static void make_gru_states(struct model *m) {
    make_states(m, LAYER_GRU, true);
}

static void make_simple_rnn_states(struct model *m) {
    make_states(m, LAYER_SIMPLE_RNN, false);
}

static void make_gru(struct model *m) {
    struct layer_spec before = recurrent(LAYER_GRU, 4, true, false);

    add(m, recurrent(LAYER_GRU, 5, true, false));
    before.reset_after = false;
    add(m, before);
    before.use_bias = false;
    add(m, before);
    before.reset_after = true;
    before.return_sequences = false;
    before.activation = ACTIVATION_ELU;
    add(m, before);
}

static void make_simple_rnn(struct model *m) {
    struct layer_spec spec = recurrent(LAYER_SIMPLE_RNN, 5, true, false);

    add(m, spec);
    spec.go_backwards = true;
    spec.use_bias = false;
    add(m, spec);
    add(m, recurrent(LAYER_SIMPLE_RNN, 3, false, false));
}

static void make_stateful(struct model *m) {
    struct layer_spec spec = recurrent(LAYER_LSTM, 4, true, false);

    spec.stateful = true;
    add(m, spec);
    spec.kind = LAYER_GRU;
    add(m, spec);
    spec.kind = LAYER_SIMPLE_RNN;
    spec.return_sequences = false;
    add(m, spec);
    add(m, dense(2, ACTIVATION_LINEAR));
}

static void make_bidirectional(struct model *m) {
    add(m, bidirectional(LAYER_LSTM, MERGE_CONCAT, true));
    add(m, bidirectional(LAYER_GRU, MERGE_SUM, true));
    add(m, bidirectional(LAYER_SIMPLE_RNN, MERGE_MUL, true));
    struct layer_spec last = bidirectional(LAYER_LSTM, MERGE_AVE, false);
    last.use_bias = false;
    add(m, last);
}

static void make_bidirectional_last(struct model *m) {
    int a = add_on(m, bidirectional(LAYER_GRU, MERGE_CONCAT, false), ON(INPUT));
    int b = add_on(m, bidirectional(LAYER_LSTM, MERGE_MUL, false), ON(INPUT));

    set_outputs(m, 2, (struct layer_input[]){{a, 0}, {b, 0}});
}

static void make_bidirectional_states(struct model *m) {
    struct layer_spec spec = bidirectional(LAYER_LSTM, MERGE_CONCAT, true);

    spec.return_state = true;
    int a = add_on(m, spec, ON(INPUT));
    spec = bidirectional(LAYER_LSTM, MERGE_CONCAT, false);
    int b = add_on(m, spec, ON({a, 0}, {a, 1}, {a, 2}, {a, 3}, {a, 4}));
    set_outputs(m, 3, (struct layer_input[]){{b, 0}, {a, 2}, {a, 3}});
}

static void make_embedding(struct model *m) {
    struct layer_spec spec = layer_spec_of(LAYER_EMBEDDING, 4);

    m->spec.ids = true;
    m->spec.n_inputs = 1;
    spec.vocabulary = VOCABULARY;
    add(m, spec);
    add(m, bidirectional(LAYER_LSTM, MERGE_CONCAT, true));
    add(m, plain(LAYER_GLOBAL_MAX_POOLING1D));
    struct layer_spec drop = plain(LAYER_DROPOUT);
    drop.dropout = 0.25f;
    add(m, drop);
    add(m, dense(1, ACTIVATION_SIGMOID));
}

static void make_embedding_masked(struct model *m) {
    struct layer_spec spec = layer_spec_of(LAYER_EMBEDDING, 4), lstm = recurrent(LAYER_LSTM, 4, true, false);

    m->spec.ids = true;
    m->spec.n_inputs = 1;
    spec.vocabulary = VOCABULARY;
    spec.mask_zero = true;
    add(m, spec);
    lstm.zero_output_for_mask = true;
    add(m, lstm);
    add(m, recurrent(LAYER_GRU, 4, true, false));
    add(m, bidirectional(LAYER_SIMPLE_RNN, MERGE_CONCAT, true));
    add(m, plain(LAYER_GLOBAL_AVERAGE_POOLING1D));
}

static void make_masking(struct model *m) {
    struct layer_spec spec = plain(LAYER_MASKING);

    spec.mask_value = MASK_VALUE;
    add(m, spec);
    add(m, recurrent(LAYER_LSTM, 4, true, false));
    add(m, timed(dense(3, ACTIVATION_TANH)));
    add(m, recurrent(LAYER_GRU, 4, false, false));
}

static void make_masking_graph(struct model *m) {
    struct layer_spec spec = plain(LAYER_MASKING);

    spec.mask_value = MASK_VALUE;
    int mask = add_on(m, spec, ON(INPUT));
    int a = add_on(m, recurrent(LAYER_GRU, 4, true, true), ON({mask, 0}));
    int b = add_on(m, bidirectional(LAYER_LSTM, MERGE_SUM, true), ON({a, 0}));
    set_outputs(m, 2, (struct layer_input[]){{b, 0}, {a, 1}});
}

static void make_autoencoder(struct model *m) {
    add(m, recurrent(LAYER_LSTM, 5, false, false));
    add(m, layer_spec_of(LAYER_REPEAT_VECTOR, 4));
    add(m, recurrent(LAYER_LSTM, 5, true, false));
    add(m, timed(dense(WIDTH, ACTIVATION_LINEAR)));
}

static void make_encoder_decoder(struct model *m) {
    int encoder = add_on(m, named(recurrent(LAYER_LSTM, 4, false, true), "encoder"), ON(INPUT));
    int repeat = add_on(m, layer_spec_of(LAYER_REPEAT_VECTOR, 3), ON({encoder, 0}));
    int decoder = add_on(m, named(recurrent(LAYER_LSTM, 4, true, false), "decoder"),
                         ON({repeat, 0}, {encoder, 1}, {encoder, 2}));
    int gru = add_on(m, recurrent(LAYER_GRU, 4, true, false), ON({repeat, 0}, {encoder, 2}));
    int both = add_on(m, plain(LAYER_CONCATENATE), ON({decoder, 0}, {gru, 0}));
    add_on(m, timed(dense(2, ACTIVATION_LINEAR)), ON({both, 0}));
}

static void make_flatten(struct model *m) {
    m->spec.steps = STEPS;
    add(m, recurrent(LAYER_GRU, 4, true, false));
    add(m, plain(LAYER_FLATTEN));
    add(m, dense(8, ACTIVATION_TANH));
    struct layer_spec reshape = plain(LAYER_RESHAPE);
    reshape.target_steps = 4;
    reshape.target_width = 2;
    add(m, reshape);
    reshape.target_steps = -1;
    reshape.target_width = 4;
    add(m, reshape);
    reshape.target_steps = 0;
    reshape.target_width = 8;
    add(m, reshape);
}

static void make_permute(struct model *m) {
    m->spec.steps = STEPS;
    add(m, plain(LAYER_PERMUTE));
    add(m, recurrent(LAYER_SIMPLE_RNN, 4, true, false));
    add(m, dense(2, ACTIVATION_LINEAR));
}

static void make_normalizations(struct model *m) {
    struct layer_spec batch = plain(LAYER_BATCH_NORMALIZATION), layer = plain(LAYER_LAYER_NORMALIZATION);

    batch.epsilon = 0.01f;
    batch.momentum = 0.9f;
    add(m, batch);
    layer.epsilon = 1e-5f;
    add(m, layer);
    batch.center = layer.scale = false;
    add(m, batch);
    add(m, timed(layer));
    batch.center = layer.scale = true;
    batch.scale = layer.center = false;
    add(m, timed(batch));
    add(m, layer);
    add(m, dense(2, ACTIVATION_LINEAR));
}

static void make_leaky(struct model *m) {
    struct layer_spec leaky = plain(LAYER_LEAKY_RELU), prelu = plain(LAYER_PRELU);

    m->spec.steps = STEPS;
    leaky.alpha = 0.2f;
    add(m, leaky);
    add(m, prelu);
    add(m, dense(3, ACTIVATION_LINEAR));
    prelu.shared_steps = true;
    add(m, prelu);
    add(m, recurrent(LAYER_SIMPLE_RNN, 3, false, false));
    prelu.shared_steps = false;
    add(m, prelu);
}

static void make_conv(struct model *m) {
    struct layer_spec grouped = conv(4, 2, 1, 1, PADDING_VALID);

    add(m, conv(4, 3, 1, 2, PADDING_CAUSAL));
    add(m, conv(4, 3, 1, 1, PADDING_SAME));
    grouped.groups = 2;
    grouped.use_bias = false;
    grouped.activation = ACTIVATION_RELU;
    add(m, grouped);
    add(m, conv(3, 2, 2, 1, PADDING_CAUSAL));
}

static void make_pools(struct model *m) {
    struct layer_spec keeps = plain(LAYER_GLOBAL_AVERAGE_POOLING1D);

    add(m, pool(LAYER_MAX_POOLING1D, 2, 1, PADDING_SAME));
    add(m, pool(LAYER_AVERAGE_POOLING1D, 3, 1, PADDING_SAME));
    add(m, plain(LAYER_MAX_POOLING1D));
    add(m, pool(LAYER_AVERAGE_POOLING1D, 2, 1, PADDING_VALID));
    keeps.keep_steps = true;
    add(m, keeps);
    add(m, plain(LAYER_GLOBAL_MAX_POOLING1D));
}

static void make_residual(struct model *m) {
    int a = add_on(m, dense(4, ACTIVATION_TANH), ON(INPUT));
    int b = add_on(m, recurrent(LAYER_LSTM, 4, true, false), ON({a, 0}));
    int sum = add_on(m, plain(LAYER_ADD), ON({a, 0}, {b, 0}));
    int gate = add_on(m, dense(4, ACTIVATION_SIGMOID), ON({sum, 0}));
    int product = add_on(m, plain(LAYER_MULTIPLY), ON({sum, 0}, {gate, 0}, {b, 0}));

    add_on(m, plain(LAYER_CONCATENATE), ON({product, 0}, INPUT, {a, 0}));
}

/* One input of the sum has a mask and another has none: then the sum has none in Keras 3, and has it in Keras 2. */
static void make_masked_sum(struct model *m) {
    struct layer_spec mask = plain(LAYER_MASKING), sum = plain(LAYER_ADD), product = plain(LAYER_MULTIPLY);

    m->not_keras2 = true;
    mask.mask_value = MASK_VALUE;
    sum.keras2_masks = product.keras2_masks = m->not_keras3;
    int a = add_on(m, mask, ON(INPUT));
    int b = add_on(m, recurrent(LAYER_GRU, WIDTH, true, false), ON({a, 0}));
    int c = add_on(m, sum, ON({b, 0}, INPUT));
    int d = add_on(m, product, ON({b, 0}, {a, 0}));
    int e = add_on(m, recurrent(LAYER_LSTM, 4, false, false), ON({c, 0}));
    int f = add_on(m, recurrent(LAYER_LSTM, 4, false, false), ON({d, 0}));
    set_outputs(m, 3, (struct layer_input[]){{e, 0}, {f, 0}, {d, 0}});
}

static void make_masked_sum_keras2(struct model *m) {
    m->not_keras3 = true;
    make_masked_sum(m);
    m->not_keras2 = false;
}

/* Branches of the same shape in an order that is not Keras': a file that goes by this order has their weights
 * exchanged. */
static void make_branches(struct model *m) {
    int a = add_on(m, named(recurrent(LAYER_GRU, 4, true, false), "short"), ON(INPUT));
    int b = add_on(m, named(recurrent(LAYER_GRU, 4, true, false), "other"), ON(INPUT));
    int c = add_on(m, named(dense(4, ACTIVATION_TANH), "first"), ON({b, 0}));
    int d = add_on(m, named(dense(4, ACTIVATION_TANH), "second"), ON({c, 0}));
    int e = add_on(m, named(dense(4, ACTIVATION_TANH), "third"), ON({a, 0}));
    int f = add_on(m, plain(LAYER_CONCATENATE), ON({e, 0}, {d, 0}));

    set_outputs(m, 3, (struct layer_input[]){{f, 0}, {c, 0}, {a, 0}});
}

static void make_shared(struct model *m) {
    int a = add_on(m, named(dense(WIDTH, ACTIVATION_TANH), "shared"), ON(INPUT));
    struct layer_spec again = dense(WIDTH, ACTIVATION_TANH), lstm = recurrent(LAYER_LSTM, 4, false, false);

    again.shares = 1 + a;
    int b = add_on(m, again, ON({a, 0}));
    int p = add_on(m, named(lstm, "tower"), ON({a, 0}));
    lstm.shares = 1 + p;
    int q = add_on(m, lstm, ON({b, 0}));
    int sum = add_on(m, plain(LAYER_ADD), ON({p, 0}, {q, 0}));
    int last = add_on(m, dense(2, ACTIVATION_LINEAR), ON({sum, 0}));
    set_outputs(m, 2, (struct layer_input[]){{last, 0}, {q, 0}});
}

static struct layer_spec disturbing(enum layer_kind kind, float rate) {
    struct layer_spec spec = plain(kind);

    spec.dropout = rate;
    return spec;
}

static void make_disturbed(struct model *m) {
    add(m, dense(4, ACTIVATION_TANH));
    add(m, disturbing(LAYER_SPATIAL_DROPOUT1D, 0.25f));
    add(m, disturbing(LAYER_GAUSSIAN_NOISE, 0.75f));
    add(m, disturbing(LAYER_GAUSSIAN_DROPOUT, 0.5f));
    add(m, disturbing(LAYER_ALPHA_DROPOUT, 0.125f));
    add(m, timed(disturbing(LAYER_GAUSSIAN_NOISE, 0.5f)));
    add(m, recurrent(LAYER_GRU, 3, true, false));
}

static void make_timed(struct model *m) {
    struct layer_spec drop = plain(LAYER_DROPOUT), act = plain(LAYER_ACTIVATION);

    drop.dropout = 0.5f;
    act.activation = ACTIVATION_SWISH;
    add(m, timed(dense(4, ACTIVATION_TANH)));
    add(m, timed(drop));
    add(m, timed(act));
    add(m, timed(plain(LAYER_LEAKY_RELU)));
    add(m, timed(dense(3, ACTIVATION_LINEAR)));
    add(m, recurrent(LAYER_LSTM, 4, true, false));
}

static void make_slashes(struct model *m) {
    add(m, named(dense(4, ACTIVATION_TANH), "a_b"));
    add(m, named(dense(4, ACTIVATION_TANH), "a/b"));
    add(m, named(dense(4, ACTIVATION_TANH), "input_layer"));
}

static const struct {
    const char *name;
    void (*make)(struct model *m);
} models[] = {
    {"dense", make_dense},
    {"dense_no_time", make_dense_no_time},
    {"activations", make_activations},
    {"activation_layers", make_activation_layers},
    {"hard_sigmoid", make_hard_sigmoid},
    {"hard_sigmoid_keras2", make_hard_sigmoid_keras2},
    {"lstm", make_lstm},
    {"lstm_options", make_lstm_options},
    {"lstm_states", make_lstm_states},
    {"lstm_sequences_states", make_lstm_sequences_states},
    {"gru", make_gru},
    {"gru_states", make_gru_states},
    {"simple_rnn", make_simple_rnn},
    {"simple_rnn_states", make_simple_rnn_states},
    {"stateful", make_stateful},
    {"bidirectional", make_bidirectional},
    {"bidirectional_last", make_bidirectional_last},
    {"bidirectional_states", make_bidirectional_states},
    {"embedding", make_embedding},
    {"embedding_masked", make_embedding_masked},
    {"masking", make_masking},
    {"masking_graph", make_masking_graph},
    {"autoencoder", make_autoencoder},
    {"encoder_decoder", make_encoder_decoder},
    {"flatten", make_flatten},
    {"permute", make_permute},
    {"normalizations", make_normalizations},
    {"leaky", make_leaky},
    {"conv", make_conv},
    {"pools", make_pools},
    {"residual", make_residual},
    {"masked_sum", make_masked_sum},
    {"masked_sum_keras2", make_masked_sum_keras2},
    {"branches", make_branches},
    {"shared", make_shared},
    {"timed", make_timed},
    {"disturbed", make_disturbed},
    {"slashes", make_slashes},
};

bool model_at(int i, struct model *ret_model) {
    if (i < 0 || (size_t)i >= sizeof models / sizeof models[0])
        return false;
    *ret_model = (struct model){.name = models[i].name, .steps = STEPS, .spec = {.n_inputs = WIDTH}};
    models[i].make(ret_model);
    ret_model->spec.layers = ret_model->layers;
    return true;
}

struct network *model_network(const struct model *model, uint64_t seed, struct error *err) {
    struct network *network = network_new(&model->spec, err);
    struct rng rng = {.state = seed};

    if (!network)
        return NULL;
    network_init_weights(network, seed);
    for (int i = 0; i < model->spec.n_layers; i++) {
        struct network_weight weights[LAYER_WEIGHTS];

        for (int w = 0, n = model->layers[i].shares ? 0 : network_weights(network, i, weights); w < n; w++) {
            float *values = network_params(network) + weights[w].at;

            for (size_t k = 0; k < weights[w].n; k++)
                values[k] = strcmp(weights[w].name, "moving_variance") == 0
                                ? 0.5f + (float)rng_uniform(&rng)
                                : values[k] + 0.4f * (float)rng_uniform(&rng) - 0.2f;
        }
    }
    return network;
}

float model_x(const struct model *model, uint64_t row, int step, int feature) {
    struct rng rng = {.state = 1000 * row + 10 * (uint64_t)step + (uint64_t)feature};
    struct rng of_step = {.state = 77 + 1000 * row + (uint64_t)step};

    if (model->spec.ids)
        return (float)(int)(VOCABULARY * rng_uniform(&rng));
    if (rng_uniform(&of_step) < 0.3) /* masked, where there is a mask */
        return MASK_VALUE;
    return (float)(4 * rng_uniform(&rng) - 2);
}
