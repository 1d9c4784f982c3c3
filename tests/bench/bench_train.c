/*
 * Window steps a second of training on one core, beside PyTorch and Keras on TensorFlow (tests/bench/peer_train.py): windows of
 * 60 steps of 7 features, batches of 64, Adam, the mean squared error of a head of 168; forward, back and the optimizer's step.
 * The peers begin with the same weights and take the same batches; train_losses says how far the losses of 100 steps lie apart.
 */
#include "engine/head.h"
#include "engine/loss.h"
#include "engine/optimizer.h"
#include "engine/random.h"
#include "tests/support/bench.h"
#include "tests/support/layers.h"
#include "tests/support/peers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 60, INPUTS = 7, ROWS = 64, OUTPUTS = 168, BATCHES = 4, LOSSES = 100 };
#define PEERS "pytorch_train keras_train"

struct setup {
    struct network *network;
    struct tape *tape;
    struct optimizer *optimizer;
    float *x, *answer, *weight, *gradient, *state, *grads;
    int made;
};

static float *uniform(uint64_t seed, size_t n, double scale) {
    struct rng rng = {seed};
    float *a = calloc(n, sizeof *a);
    for (size_t i = 0; i < n; i++)
        a[i] = (float)(2 * rng_uniform(&rng) - 1) * (float)scale;
    return a;
}

static double train(struct setup *setup) {
    const struct loss_spec mse = {.loss = LOSS_MSE};
    size_t n = ROWS * OUTPUTS, batch = (size_t)(setup->made++ % BATCHES);
    const float *y, *dy = setup->gradient;
    struct rng rng = {1};
    memset(setup->grads, 0, network_n_params(setup->network) * sizeof *setup->grads);
    tape_forward(setup->tape, setup->network, kernels_choose(), &rng, ROWS, STEPS,
                 setup->x + batch * STEPS * ROWS * INPUTS, setup->state, &y);
    double loss =
        loss_sum(&mse, ROWS, OUTPUTS, y, setup->answer + batch * n, setup->weight, 1.0f / (float)n, setup->gradient);
    tape_backward(setup->tape, setup->network, &dy, setup->grads);
    optimizer_step(setup->optimizer, network_params(setup->network), setup->grads);
    return loss / (double)n;
}

static size_t train_steps(void *context) {
    train(context);
    return STEPS * ROWS;
}

static struct network *new_network(int hidden, int n_layers) {
    struct layer_spec layers[3];
    struct error err;
    for (int i = 0; i < n_layers; i++) {
        layers[i] = layer_spec_of(LAYER_LSTM, hidden);
        layers[i].return_sequences = i < n_layers - 1;
    }
    layers[n_layers] = layer_spec_of(LAYER_DENSE, OUTPUTS);
    const struct network_spec spec = {
        .mode = NETWORK_SAMPLES, .n_inputs = INPUTS, .layers = layers, .n_layers = n_layers + 1};
    return network_new(&spec, &err);
}

static struct setup setup_new(int hidden, int n_layers) {
    struct setup setup = {.network = new_network(hidden, n_layers)};
    size_t n = network_n_params(setup.network);
    struct optimizer_spec spec = optimizer_spec_of(OPTIMIZER_ADAM);
    float *params = uniform(1, n, 1 / sqrt(hidden));
    spec.learning_rate = 1e-3;
    memcpy(network_params(setup.network), params, n * sizeof *params);
    free(params);
    setup.optimizer = optimizer_new(&spec, n);
    setup.tape = tape_new(setup.network, ROWS, STEPS);
    setup.x = uniform(2, BATCHES * STEPS * ROWS * INPUTS, 1);
    setup.answer = uniform(3, BATCHES * ROWS * OUTPUTS, 1);
    setup.weight = calloc(ROWS * OUTPUTS, sizeof *setup.weight);
    setup.gradient = calloc(ROWS * OUTPUTS, sizeof *setup.gradient);
    setup.state = calloc(ROWS * network_state_size(setup.network) + 1, sizeof *setup.state);
    setup.grads = calloc(n, sizeof *setup.grads);
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        setup.weight[i] = 1;
    return setup;
}

static void setup_free(struct setup *setup) {
    network_free(setup->network);
    optimizer_free(setup->optimizer);
    tape_free(setup->tape);
    free(setup->x);
    free(setup->answer);
    free(setup->weight);
    free(setup->gradient);
    free(setup->state);
    free(setup->grads);
}

/* ---- beside peers ------------------------------------------------------------------------------- */

/* The largest distance of a peer's losses from these; NaN where it has none. */
static double distance(const double *losses, const char *peer) {
    char line[32];
    double worst = 0;
    snprintf(line, sizeof line, "losses %d", LOSSES);
    const char *at = peers_ask(peer, line);
    for (int i = 0; i < LOSSES; i++) {
        char *end = NULL;
        double loss = at != NULL ? strtod(at, &end) : NAN;
        if (end == at)
            return NAN;
        worst = fmax(worst, fabs(loss - losses[i]));
        at = end;
    }
    return worst;
}

static void compare_losses(int hidden, int n_layers) {
    static const char *const peers[] = {"pytorch_train", "keras_train"};
    struct setup setup = setup_new(hidden, n_layers);
    double losses[LOSSES];
    for (int i = 0; i < LOSSES; i++)
        losses[i] = train(&setup);
    setup_free(&setup);
    for (int i = 0; i < 2; i++) {
        double worst = distance(losses, peers[i]);
        if (isnan(worst))
            continue;
        if (bench_as_json())
            printf("{\"bench\": \"train_losses\", \"hidden\": %d, \"layers\": %d, \"steps\": %d, \"peer\": \"%s\", "
                   "\"first\": %.6g, \"last\": %.6g, \"apart\": %.3g}\n",
                   hidden, n_layers, LOSSES, peers[i], losses[0], losses[LOSSES - 1], worst);
        else
            printf("losses of %d steps, from %.6g to %.6g: at most %.3g from those of %s\n", LOSSES, losses[0],
                   losses[LOSSES - 1], worst, peers[i]);
    }
}

static void measure(int hidden, int n_layers) {
    struct setup setup = setup_new(hidden, n_layers);
    double inputs = INPUTS + (n_layers - 1) * hidden, products = 4 * hidden * (inputs + n_layers * hidden);
    peers_row(&(struct peers_bench){.bench = "train",
                                    .work = train_steps,
                                    .context = &setup,
                                    .unit = "window_steps_per_s",
                                    .flops = 6 * products},
              "\"hidden\": %d, \"layers\": %d, \"inputs\": %d, \"steps\": %d, \"batch\": %d, \"outputs\": %d, "
              "\"precision\": \"f32\"",
              hidden, n_layers, INPUTS, STEPS, ROWS, OUTPUTS);
    setup_free(&setup);
    compare_losses(hidden, n_layers);
}

int main(void) {
    peers_start(PEERS);
    for (int hidden = 32; hidden <= 128; hidden *= 2)
        measure(hidden, 1);
    measure(64, 2);
    peers_stop();
    return 0;
}
