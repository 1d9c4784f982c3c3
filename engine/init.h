/* Initial weights, by Keras' initializers and drawn in the order of the array. Pure functions of the
 * generator's state; the same bits on every machine. */
#ifndef ENGINE_INIT_H
#define ENGINE_INIT_H

#include "engine/random.h"

#include <stddef.h>

/* w [fan_in x fan_out], uniform in +- sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010). */
void init_glorot_uniform(struct rng *rng, int fan_in, int fan_out, float *w);

/* The same of n weights that are laid out otherwise, as a convolution's are. */
void init_glorot_uniform_of(struct rng *rng, double fan_in, double fan_out, size_t n, float *w);

/* w [rows x cols], rows <= cols, of random direction with orthonormal rows (Saxe et al., 2014): the Q of a
 * normal matrix' QR decomposition with R's diagonal positive, transposed. */
void init_orthogonal(struct rng *rng, int rows, int cols, float *w);

#endif
