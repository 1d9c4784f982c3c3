#include "engine/layers/layer.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct tape {
    int max_rows, max_steps;
    int rows, steps;               /* of the latest tape_forward */
    bool fresh;                    /* tape_backward has not used that one up yet */
    bool training;                 /* of that one */
    const struct kernels *kernels; /* of that one */
    const struct tape_kernels *products;
    float **data, **grad; /* of each tensor; an input has no grad */
    float **kept;         /* of each layer: what it keeps from forward to backward */
    float **state;        /* [max_rows], into the caller's, during tape_forward */
    uint8_t **mask;       /* of each mask */
    uint8_t *bytes;       /* where all of them lie */
    float *floats;        /* where all of them lie, each from the beginning of a cache line on */
};

static size_t floats_needed(const struct network *network, int rows, int steps) {
    size_t n = 0;
    for (int i = 0; i < network->n_tensors; i++)
        n += whole_lines(tensor_size(&network->tensors[i], rows, steps)) * (i == 0 ? 1 : 2);
    for (int i = 0; i < network->n_layers; i++)
        n += whole_lines(layer_tape_size(network, &network->layers[i], rows, steps));
    return n;
}

static size_t mask_size(const struct network *network, int m, int rows, int steps) {
    return (size_t)rows * (size_t)tensor_steps(&network->tensors[network->masks[m].tensor], steps);
}

static size_t bytes_needed(const struct network *network, int rows, int steps) {
    size_t n = 0;
    for (int m = 0; m < network->n_masks; m++)
        n += mask_size(network, m, rows, steps);
    return n;
}

static void place(struct tape *tape, const struct network *network, int rows, int steps) {
    float *at = tape->floats;
    for (int i = 0; i < network->n_tensors; i++) {
        const struct tensor *tensor = &network->tensors[i];
        tape->data[i] = at;
        at += whole_lines(tensor_size(tensor, rows, steps));
        if (i == 0)
            continue;
        tape->grad[i] = at;
        at += whole_lines(tensor_size(tensor, rows, steps));
    }
    for (int i = 0; i < network->n_layers; i++) {
        tape->kept[i] = at;
        at += whole_lines(layer_tape_size(network, &network->layers[i], rows, steps));
    }
    uint8_t *bytes = tape->bytes;
    for (int m = 0; m < network->n_masks; m++) {
        tape->mask[m] = bytes;
        bytes += mask_size(network, m, rows, steps);
    }
}

struct tape *tape_new(const struct network *network, int max_rows, int max_steps) {
    assert(max_rows > 0 && max_steps > 0 && max_steps <= INT_MAX / max_rows);
    assert(max_steps >= network_min_steps(network));
    struct tape *tape = calloc(1, sizeof *tape);
    if (!tape)
        return NULL;
    tape->products = tape_kernels_choose();
    tape->max_rows = max_rows;
    tape->max_steps = max_steps;
    tape->data = calloc((size_t)network->n_tensors, sizeof *tape->data);
    tape->grad = calloc((size_t)network->n_tensors, sizeof *tape->grad);
    tape->kept = calloc((size_t)network->n_layers, sizeof *tape->kept);
    tape->state = calloc((size_t)max_rows, sizeof *tape->state);
    tape->mask = calloc((size_t)network->n_masks + 1, sizeof *tape->mask);
    tape->bytes = calloc(bytes_needed(network, max_rows, max_steps) + 1, 1);
    size_t size = floats_needed(network, max_rows, max_steps) * sizeof *tape->floats;
    tape->floats = aligned_alloc(LINE * sizeof *tape->floats, size);
    if (!tape->data || !tape->grad || !tape->kept || !tape->state || !tape->mask || !tape->bytes || !tape->floats) {
        tape_free(tape);
        return NULL;
    }
    memset(tape->floats, 0, size);
    place(tape, network, max_rows, max_steps);
    return tape;
}

void tape_free(struct tape *tape) {
    if (!tape)
        return;
    free(tape->data);
    free(tape->grad);
    free(tape->kept);
    free(tape->state);
    free(tape->mask);
    free(tape->bytes);
    free(tape->floats);
    free(tape);
}

static struct port port_of(const struct tape *tape, const struct network *network, int id) {
    const struct tensor *tensor = &network->tensors[id];
    return (struct port){
        .width = tensor->width,
        .steps = tensor_steps(tensor, tape->steps),
        .data = tape->data[id],
        .mask = tensor->mask >= 0 ? tape->mask[tensor->mask] : NULL,
        .grad = tape->grad[id],
    };
}

static struct layer_run run_of(const struct tape *tape, const struct network *network, int index) {
    const struct layer *layer = &network->layers[index];
    struct layer_run run = {.kernels = tape->kernels,
                            .products = tape->products,
                            .rows = tape->rows,
                            .training = tape->training,
                            .state = tape->state,
                            .params = network->params + layer->params_at,
                            .work = tape->kept[index]};
    for (int p = 0; p < layer->n_in; p++)
        run.in[p] = port_of(tape, network, layer->in[p]);
    for (int p = 0; p < layer->n_out; p++)
        run.out[p] = port_of(tape, network, layer->out[p]);
    return run;
}

void tape_forward(struct tape *tape, const struct network *network, const struct kernels *kernels, struct rng *rng,
                  int rows, int steps, const float *x, float *state, const float **y) {
    assert(rows > 0 && rows <= tape->max_rows && steps > 0 && steps <= tape->max_steps);
    tape->rows = rows;
    tape->steps = steps;
    tape->kernels = kernels;
    tape->training = rng != NULL;
    tape->fresh = true;
    for (size_t r = 0; r < (size_t)rows; r++)
        tape->state[r] = state + r * network->state_size;
    memcpy(tape->data[0], x, tensor_size(&network->tensors[0], rows, steps) * sizeof *x);

    for (int i = 0; i < network->n_layers; i++) {
        const struct layer *layer = &network->layers[i];
        struct layer_run run = run_of(tape, network, i);
        run.rng = rng;
        (layer->ops->tape_forward ? layer->ops->tape_forward : layer->ops->forward)(layer, &run);
    }
    for (int o = 0; o < network->n_outputs; o++)
        y[o] = tape->data[network->outputs[o]];
}

void tape_backward(struct tape *tape, const struct network *network, const float *const *dy, float *grads) {
    assert(tape->fresh && "one tape_backward for each tape_forward");
    for (int i = 0; i < network->n_tensors; i++) {
        const struct tensor *tensor = &network->tensors[i];
        size_t size = tensor_size(tensor, tape->rows, tape->steps) * sizeof(float);
        if (tensor->output >= 0)
            memcpy(tape->grad[i], dy[tensor->output], size);
        else if (tape->grad[i])
            memset(tape->grad[i], 0, size);
    }
    for (int i = network->n_layers - 1; i >= 0; i--) {
        struct layer_run run = run_of(tape, network, i);
        run.grads = grads + network->layers[i].params_at;
        network->layers[i].ops->backward(&network->layers[i], &run);
    }
    tape->fresh = false;
}

void tape_learn_statistics(const struct tape *tape, struct network *network) {
    network->packed_for = NULL;
    for (int i = 0; i < network->n_layers; i++) {
        const struct layer *layer = &network->layers[i];
        if (!layer->ops->learn_statistics)
            continue;
        struct layer_run run = run_of(tape, network, i);
        layer->ops->learn_statistics(layer, &run, network->params + layer->params_at);
    }
}
