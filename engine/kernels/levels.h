/* The levels there are, each defined by a file of its own; whether this CPU can run one, choose.c says. And how weights are
 * packed. Internal to the kernels. */
#ifndef ENGINE_KERNELS_LEVELS_H
#define ENGINE_KERNELS_LEVELS_H

#include "engine/kernels/kernels.h"

#include <stdbool.h>
#include <string.h>

extern const struct kernels kernels_reference;
#ifdef __x86_64__
extern const struct kernels kernels_plain, kernels_avx2, kernels_avx512, kernels_amx;
#endif

/* Bytes of this CPU's nearest cache that are for weights: an eighth is left to inputs and states. Any thread. */
size_t kernels_nearest_cache(void);

enum {
    LANES_MAX = 16,   /* floats of the widest vector */
    PACK_VECTORS = 4, /* vectors of a block */
    PACK_TILE_ROWS = 16,
};

/*
 * Packed weights stand in blocks, which a tile reads from begin to end. A vector is `lanes` neighbouring outputs.
 *
 *     LSTM     a block for `lanes` units: bias [4][lanes], W [n_in][4][lanes], U [units][4][lanes], by gate
 *              the last one, where at most lanes / 2 units are left: the same with lanes / 2, so that a vector has two gates
 *     GRU      the same but for that: bias z, r, h, of the reset product [4][lanes], W [n_in][3][lanes], U [units][3][lanes]
 *     Dense    a block for 4 lanes outputs: bias [4][lanes], W [n_in][4][lanes]; the last one with as many vectors as are
 *              left
 *
 * What is past the outputs is zeros. Of PRECISION_BF16 two rows of W, or of U, stand together as one: in each place the
 * first in the lower half, and the second, zero where there is none, in the upper half.
 *
 * In tiles (of PRECISION_BF16, by 16 lanes, without halves) W and U are [tiles][vectors][16 pairs of rows][16 lanes], by gate,
 * the last tile filled up with zeros.
 */
/* Vectors of a block for each input: the gates, or of a Dense up to PACK_VECTORS. */
int pack_vectors(const struct packed *packed, int lanes, int block);
/* How many blocks there are, and the floats from one to the next. */
int pack_blocks(const struct packed *packed, int lanes);
size_t pack_block_size(const struct packed *packed, int lanes);

/* Rows that n inputs take, or n states. */
static inline size_t pack_rows(enum precision precision, int n) {
    return precision == PRECISION_BF16 ? ((size_t)n + 1) / 2 : (size_t)n;
}

/* Whether the last block is one of lanes / 2. */
bool pack_ends_in_half(const struct packed *packed, int lanes);

/* `pack` of a level of so many lanes; halves: of one that knows blocks of lanes / 2. */
void pack_weights(const struct packed *packed, int lanes, bool halves, const float *w, const float *u,
                  const float *bias, float *to);

/* Tiles that n inputs, or n states, take for each vector; floats from one block of them to the next. */
static inline int pack_tiles(int n) {
    return (n + 2 * PACK_TILE_ROWS - 1) / (2 * PACK_TILE_ROWS);
}
size_t pack_tiles_block_size(const struct packed *packed);

/* `pack` of a level with tiles, for PRECISION_BF16. */
void pack_weights_in_tiles(const struct packed *packed, const float *w, const float *u, const float *bias, float *to);

/* y becomes the new h of all rows, whose old one is read until the last block is done. */
static inline void put_hidden(int rows, int units, float *const *state, const float *y) {
    for (int r = 0; r < rows; r++)
        memcpy(state[r], y + (size_t)r * (size_t)units, (size_t)units * sizeof *y);
}

#endif
