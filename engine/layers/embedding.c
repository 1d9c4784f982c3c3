/*
 * Embedding: the vector of an id. In [steps x rows x 1], ids as floats; out [steps x rows x units]; parameters
 * embeddings [vocabulary x units]. What is not an id, a whole number from 0 to vocabulary - 1, has the vector NaN.
 * With mask_zero, steps with id 0 are masked.
 */
#include "engine/layers/layer.h"

#include <math.h>
#include <string.h>

enum {
    IDS_MAX = 1 << 24, /* up to which floats have all whole numbers */
};

static int embedding_build(struct layer *layer, struct layer_build *build) {
    const struct layer_spec *spec = &layer->spec;
    const struct tensor *in = &build->in[0];
    if (layer_check_inputs(layer, build, 1, 1) || layer_check_size(build, "units", spec->units))
        return -1;
    if (spec->vocabulary < 1 || spec->vocabulary > IDS_MAX)
        return error_set(build->err, "has %d ids, and may have from 1 to %d", spec->vocabulary, IDS_MAX);
    if (in->width != 1)
        return error_set(build->err, "takes one id at each step, and its input is %d wide", in->width);
    if (spec->mask_zero && !in->sequence)
        return error_set(build->err, "masks steps, and its input has no time axis");
    layer_like_input(layer, build, spec->units);
    build->out[0].mask = spec->mask_zero ? build->new_mask : -1;
    return layer_add_weight(layer, build, "embeddings", true, 2, (int[]){spec->vocabulary, spec->units});
}

/* RandomUniform of Keras: between -0.05 and 0.05. */
static void embedding_init_weights(const struct layer *layer, struct rng *rng, float *params) {
    for (size_t i = 0; i < layer->n_params; i++)
        params[i] = (float)(0.05 * (2 * rng_uniform(rng) - 1));
}

static size_t n_ids(const struct layer_run *run) {
    return (size_t)run->rows * (size_t)run->in[0].steps;
}

static bool is_id(const struct layer *layer, float x) {
    return x >= 0 && x < (float)layer->spec.vocabulary && x == floorf(x);
}

static void embedding_forward(const struct layer *layer, const struct layer_run *run) {
    size_t width = (size_t)layer->spec.units;
    for (size_t i = 0; i < n_ids(run); i++) {
        float id = run->in[0].data[i], *y = run->out[0].data + i * width;
        if (is_id(layer, id))
            memcpy(y, run->params + (size_t)id * width, width * sizeof *y);
        else
            for (size_t j = 0; j < width; j++)
                y[j] = NAN;
        if (layer->spec.mask_zero)
            run->out[0].mask[i] = id != 0;
    }
}

static void embedding_backward(const struct layer *layer, const struct layer_run *run) {
    size_t width = (size_t)layer->spec.units;
    for (size_t i = 0; i < n_ids(run); i++) {
        float id = run->in[0].data[i];
        for (size_t j = 0; is_id(layer, id) && j < width; j++)
            run->grads[(size_t)id * width + j] += run->out[0].grad[i * width + j];
    }
}

const struct layer_ops layer_embedding = {
    .name = "Embedding",
    .build = embedding_build,
    .init_weights = embedding_init_weights,
    .forward = embedding_forward,
    .backward = embedding_backward,
};
