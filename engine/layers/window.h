/*
 * A window that moves along the steps of a tensor: what convolutions and pooling share.
 *
 * Output step s looks at the input steps s strides - left + i dilation, for i from 0 to kernel_size - 1; what of them
 * lies outside of the input is padding. In TensorFlow's words (tf.nn.convolution): `valid` pads nothing, `same` pads
 * so that ceil(steps / strides) come out, the odd one behind; Keras' `causal` pads only before.
 */
#ifndef ENGINE_LAYERS_WINDOW_H
#define ENGINE_LAYERS_WINDOW_H

#include "engine/layers/layer.h"

/* Steps from the first to the last that a window sees, less one. */
static inline int window_reach(const struct layer_spec *spec) {
    return (spec->kernel_size - 1) * spec->dilation;
}

/* For build(), with kernel_size, strides, dilation and padding of the spec checked and out[0] like in[0]: sets the
 * steps of out[0]. Refuses an input without a time axis, and what a stream cannot have. */
int window_build(struct layer *layer, struct layer_build *build);

/* Steps that come out of `steps` input steps. */
static inline int window_out_steps(const struct layer_spec *spec, int steps) {
    int shrink = spec->padding == PADDING_VALID ? window_reach(spec) : 0;
    return steps > shrink ? (steps - shrink + spec->strides - 1) / spec->strides : 0;
}

/* Steps of padding before the first of `steps` input steps, of which out_steps come out. */
int window_left(const struct layer_spec *spec, int steps, int out_steps);

#endif
