/* Masking: a step of which every value equals mask_value is passed over by the layers behind; its values become
 * zeros. */
#include "engine/layers/layer.h"

#include <string.h>

static int masking_build(struct layer *layer, struct layer_build *build) {
    if (layer_check_inputs(layer, build, 1, 1))
        return -1;
    if (!build->in[0].sequence)
        return error_set(build->err, "masks steps, and its input has no time axis");
    layer_like_input(layer, build, build->in[0].width);
    build->out[0].mask = build->new_mask;
    return 0;
}

static bool is_masked(const struct layer *layer, const float *x, int width) {
    for (int j = 0; j < width; j++)
        if (x[j] != layer->spec.mask_value)
            return false;
    return true;
}

static void masking_forward(const struct layer *layer, const struct layer_run *run) {
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)x->steps * (size_t)run->rows, width = (size_t)x->width;
    memcpy(y->data, x->data, n * width * sizeof *y->data);
    for (size_t i = 0; i < n; i++) {
        y->mask[i] = !is_masked(layer, x->data + i * width, x->width);
        if (!y->mask[i])
            memset(y->data + i * width, 0, width * sizeof *y->data);
    }
}

static void masking_backward(const struct layer *layer, const struct layer_run *run) {
    (void)layer;
    const struct port *x = &run->in[0], *y = &run->out[0];
    size_t n = (size_t)x->steps * (size_t)run->rows, width = (size_t)x->width;
    for (size_t i = 0; x->grad != NULL && i < n; i++)
        for (size_t j = 0; y->mask[i] && j < width; j++)
            x->grad[i * width + j] += y->grad[i * width + j];
}

const struct layer_ops layer_masking = {
    .name = "Masking",
    .build = masking_build,
    .forward = masking_forward,
    .backward = masking_backward,
};
