/*
 * Ten steps of an optimizer from a model that Keras wrote, on the batches that it took: the weights afterwards against those of the
 * model that Keras then had. Or (curves) a hundred steps: the loss before each against Keras'. An argument is a pattern of the names to run: 'GRU*'.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/loss.h"
#include "engine/optimizer.h"
#include "tests/support/floats.h"
#include "tests/support/golden.h"

#include <math.h>

enum { UPDATES = 10 };

struct batches {
    int n, rows, steps;
    struct golden_array x, answers[LAYER_PORTS]; /* as in the file: [batches x rows x ...] */
    size_t n_x, n_answers[LAYER_PORTS];          /* of one batch */
    struct loss_spec loss;
};

/* LOSSES of cases_training.py. */
static struct loss_spec loss_of(const struct golden *golden) {
    static const double levels[] = {50, 90};
    int huber = golden_number(golden, "huber", 0) != 0;
    struct loss_spec spec = {.loss = (enum loss)golden_number(golden, "loss", huber ? LOSS_HUBER : LOSS_MSE)};

    spec.n_classes = 4;
    spec.probabilities = golden_number(golden, "probabilities", 0) != 0;
    if (spec.loss == LOSS_QUANTILE) {
        spec.levels = levels;
        spec.n_levels = 2;
    }
    return spec;
}

static struct batches batches_of(const struct golden *golden, const struct network *network) {
    struct batches batches = {.x = golden_array(golden, "x"), .loss = loss_of(golden)};

    batches.n = batches.x.dims[0];
    batches.rows = batches.x.dims[1];
    batches.steps = golden->model->spec.no_time ? 1 : batches.x.dims[2];
    batches.n_x = batches.x.n / (size_t)batches.n;
    assert_int_equal(batches.n_x, batches.rows * batches.steps * network_n_inputs(network));
    for (int o = 0; o < network_n_outputs(network); o++) {
        struct network_shape shape = network_output(network, o, batches.steps);
        batches.answers[o] = golden_output(golden, "answer", o);
        batches.n_answers[o] = (size_t)(batches.rows * shape.steps * (shape.width / loss_width(&batches.loss)));
        assert_int_equal(batches.answers[o].n, (size_t)batches.n * batches.n_answers[o]);
    }
    return batches;
}

static void batches_fini(struct batches *batches) {
    golden_array_fini(&batches->x);
    for (int o = 0; o < LAYER_PORTS; o++)
        golden_array_fini(&batches->answers[o]);
}

/* d loss / d y of an output; the loss, which is added to *loss, is the mean over all its answers. */
static float *output_gradient(const struct network *network, const struct batches *batches, int batch, int output,
                              const float *y, double *loss) {
    struct network_shape shape = network_output(network, output, batches->steps);
    int width = loss_width(&batches->loss), each = shape.width / width;
    size_t n = batches->n_answers[output];
    float *answer = floats_new(n), *weight = floats_new(n), *dy = floats_new(n * (size_t)width);

    golden_swap(batches->rows, shape.steps, each, batches->answers[output].data + (size_t)batch * n, answer);
    for (size_t i = 0; i < n; i++) {
        weight[i] = 1;
        if (batches->loss.loss == LOSS_BINARY_CROSSENTROPY)
            answer[i] = answer[i] > 0;
        if (batches->loss.loss == LOSS_CATEGORICAL_CROSSENTROPY)
            answer[i] = floorf(answer[i] + 2);
    }
    *loss +=
        loss_sum(&batches->loss, n / (size_t)each, (size_t)each, y, answer, weight, 1.0f / (float)n, dy) / (double)n;
    free(answer);
    free(weight);
    return dy;
}

/* Returns the loss before it. */
static double update(struct network *network, struct tape *tape, struct optimizer *optimizer,
                     const struct batches *batches, int step) {
    int batch = step % batches->n;
    struct rng rng = {.state = (uint64_t)step + 1};
    int n_outputs = network_n_outputs(network), width = network_n_inputs(network);
    float *x = floats_new(batches->n_x), *grads = floats_new(network_n_params(network));
    float *states = floats_new((size_t)batches->rows * network_state_size(network)), *dy[LAYER_PORTS];
    const float *y[LAYER_PORTS];
    double loss = 0;

    golden_swap(batches->rows, batches->steps, width, batches->x.data + (size_t)batch * batches->n_x, x);
    tape_forward(tape, network, kernels_choose(), &rng, batches->rows, batches->steps, x, states, y);
    for (int o = 0; o < n_outputs; o++)
        dy[o] = output_gradient(network, batches, batch, o, y[o], &loss);
    tape_backward(tape, network, (const float *const *)dy, grads);
    tape_learn_statistics(tape, network);
    optimizer_step(optimizer, network_params(network), grads);
    for (int o = 0; o < n_outputs; o++)
        free(dy[o]);
    free(x);
    free(grads);
    free(states);
    return loss;
}

static struct optimizer *optimizer_of(const struct golden *golden, const struct network *network) {
    struct optimizer_spec spec =
        optimizer_spec_of((enum optimizer_kind)golden_number(golden, "optimizer", OPTIMIZER_ADAM));
    spec.learning_rate = golden_number(golden, "learning_rate", 0.01);
    spec.epsilon = golden_number(golden, "epsilon", 1e-3);
    spec.rho = golden_number(golden, "rho", spec.rho);
    spec.momentum = golden_number(golden, "momentum", 0);
    spec.nesterov = golden_number(golden, "nesterov", 0) != 0;
    spec.weight_decay = golden_number(golden, "weight_decay", 0);
    spec.clip_norm = golden_number(golden, "clip_norm", 0);
    spec.clip_value = golden_number(golden, "clip_value", 0);
    struct optimizer *optimizer = optimizer_new(&spec, network_n_params(network));
    for (int i = 0; i < network_spec(network)->n_layers; i++) {
        struct network_weight weights[LAYER_WEIGHTS];
        for (int w = 0, n = network_weights(network, i, weights); w < n; w++)
            if (!weights[w].trainable)
                optimizer_spare(optimizer, weights[w].at, weights[w].n);
    }
    return optimizer;
}

/* Returns the largest distance of a loss from the one in losses [n]; 0 where that is NULL. */
static double train(const struct golden *golden, struct network *network, const struct batches *batches, size_t n,
                    const float *losses) {
    struct optimizer *optimizer = optimizer_of(golden, network);
    struct tape *tape = tape_new(network, batches->rows, batches->steps);
    double worst = 0;

    for (size_t i = 0; i < n; i++) {
        double loss = update(network, tape, optimizer, batches, (int)i);
        if (losses)
            worst = fmax(worst, fabs(loss - (double)losses[i]));
    }
    optimizer_free(optimizer);
    tape_free(tape);
    return worst;
}

static double check_losses(const struct golden *golden) {
    struct golden_array losses = golden_array(golden, "losses");
    struct network *network = golden_network(golden->model, NETWORK_SAMPLES, 0);
    struct batches batches = batches_of(golden, network);
    double worst = train(golden, network, &batches, losses.n, losses.data);

    assert_int_equal(losses.n, 100);
    assert_true(losses.data[99] < 0.95f * losses.data[0]);
    batches_fini(&batches);
    golden_array_fini(&losses);
    network_free(network);
    return worst;
}

/* In units of the weights' scale; of losses as they are. */
static double check(const struct golden_box *box, const char *name, const struct golden *golden) {
    if (golden_number(golden, "learning_rate", 0) != 0)
        return check_losses(golden);
    struct keras_model *after = golden_model(box, name, ".after", NULL);
    struct golden_array x = golden_array(golden, "x");
    int steps = golden->model->spec.no_time ? 1 : x.dims[2];
    struct network *network = golden_network(golden->model, NETWORK_SAMPLES, steps);
    struct batches batches = batches_of(golden, network);
    size_t n = network_n_params(network);

    assert_int_equal(after->n_params, n);
    double moved = floats_distance(n, network_params(network), after->params), scale = 0;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs((double)after->params[i]));
    train(golden, network, &batches, UPDATES, NULL);
    double error = floats_distance(n, network_params(network), after->params) / scale;
    print_message("%s: %d steps moved the weights by %.3g\n", name, UPDATES, moved);
    assert_true(moved > 0.01);
    batches_fini(&batches);
    golden_array_fini(&x);
    network_free(network);
    keras_model_free(after);
    return error;
}

int main(int argc, char **argv) {
    static const char *const boxes[] = {"training", "optimizers", "dropout", "losses", "curves"};
    return golden_main(argc, argv, boxes, sizeof boxes / sizeof *boxes, 1, check);
}
