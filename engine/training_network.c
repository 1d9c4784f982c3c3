#include "engine/forecaster.h"
#include "engine/head.h"
#include "engine/keras/keras.h"
#include "engine/training.h"

#include <stdlib.h>
#include <string.h>

/* Whether a layer reads the state of a recurrent one, which a chunk gives for its last step only. */
static bool reads_state(const struct network_spec *spec, const struct layer_spec *layer) {
    for (int i = 0; i < layer->n_in; i++)
        if (layer->in[i].layer >= 0 && layer->in[i].port > 0 &&
            layer_is_recurrent(spec->layers[layer->in[i].layer].kind))
            return true;
    return false;
}

/* The file's network with an output at every step: where a recurrent layer gives its last step only, all of them. On a
 * stream that is the same, tick by tick. */
static struct network *every_step(const struct config_model *model, struct error *err) {
    struct network_spec spec = model->keras->spec;
    struct layer_spec *layers = calloc((size_t)spec.n_layers, sizeof *layers);
    if (layers == NULL) {
        error_set(err, "out of memory");
        return NULL;
    }
    memcpy(layers, spec.layers, (size_t)spec.n_layers * sizeof *layers);
    for (int i = 0; i < spec.n_layers; i++) {
        if (layer_is_recurrent(layers[i].kind))
            layers[i].return_sequences = true;
        if (!reads_state(&spec, &layers[i]))
            continue;
        error_set(err, "layer %s reads a state, which is not trained at every step", layers[i].name);
        free(layers);
        return NULL;
    }
    spec.layers = layers;
    spec.mode = NETWORK_STREAM;
    struct network *network = network_new(&spec, err);
    free(layers);
    return network;
}

struct network *training_network(const struct config_model *model, struct error *err) {
    if (model->keras == NULL)
        return forecaster_network(model, err);
    bool windowed = model->mode == MODEL_WINDOWED;
    struct network *network = windowed ? forecaster_network(model, err) : every_step(model, err);
    if (network == NULL)
        return NULL;
    const struct loss_spec loss = head_loss(model);
    int steps = windowed ? model->window : 2;
    struct network_shape shape = network_output(network, 0, steps);
    if (network_n_outputs(network) == 1 && shape.width == head_answers(model) * loss_width(&loss) &&
        (windowed ? !shape.sequence : shape.sequence && shape.steps == steps) &&
        network_n_params(network) == model->keras->n_params) {
        memcpy(network_params(network), model->keras->params, model->keras->n_params * sizeof(float));
        return network;
    }
    network_free(network);
    error_set(err, "a network is trained that gives the whole horizon at once, %s",
              windowed ? "for a whole sample" : "at every step");
    return NULL;
}
