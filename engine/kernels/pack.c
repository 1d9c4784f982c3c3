#include "engine/kernels/bfloat16.h"
#include "engine/kernels/levels.h"

#include <stdint.h>

static const int gates_of[] = {[KERNEL_DENSE] = 1, [KERNEL_LSTM] = 4, [KERNEL_GRU] = 3};

static int round_up(int n, int by) {
    return (n + by - 1) / by * by;
}

/* Floats for each lane of a block with so many rows of weights, or of a Dense for each output. */
static size_t depth(enum kernel_cell cell, size_t rows) {
    return (cell == KERNEL_DENSE ? 1 : PACK_VECTORS) + (size_t)gates_of[cell] * rows;
}

/* Rows of W and U, at most: floats, or tiles that are not full. */
static size_t rows_at_most(int n) {
    return n < PACK_TILE_ROWS ? PACK_TILE_ROWS : (size_t)n;
}

size_t kernels_packed_size(enum kernel_cell cell, int n_in, int units) {
    size_t rows = rows_at_most(n_in) + (cell == KERNEL_DENSE ? 0 : rows_at_most(units));
    return (size_t)round_up(units, LANES_MAX) * depth(cell, rows);
}

size_t kernels_inputs_size(int units) {
    return PACK_VECTORS * (size_t)round_up(units, LANES_MAX);
}

int pack_blocks(const struct packed *packed, int lanes) {
    int wide = packed->cell == KERNEL_DENSE ? PACK_VECTORS * lanes : lanes;
    return (packed->units + wide - 1) / wide;
}

static size_t block_size(const struct packed *packed, int lanes, size_t rows_of_w, size_t rows_of_u) {
    size_t wide = (size_t)(packed->cell == KERNEL_DENSE ? PACK_VECTORS * lanes : lanes);
    return wide * depth(packed->cell, rows_of_w + (packed->cell == KERNEL_DENSE ? 0 : rows_of_u));
}

size_t pack_block_size(const struct packed *packed, int lanes) {
    return block_size(packed, lanes, pack_rows(packed->precision, packed->n_in),
                      pack_rows(packed->precision, packed->units));
}

size_t pack_tiles_block_size(const struct packed *packed) {
    return block_size(packed, LANES_MAX, (size_t)pack_tiles(packed->n_in) * PACK_TILE_ROWS,
                      (size_t)pack_tiles(packed->units) * PACK_TILE_ROWS);
}

int pack_vectors(const struct packed *packed, int lanes, int block) {
    if (packed->cell != KERNEL_DENSE)
        return gates_of[packed->cell];
    int left = (packed->units + lanes - 1) / lanes - block * PACK_VECTORS;
    return left < PACK_VECTORS ? left : PACK_VECTORS;
}

bool pack_ends_in_half(const struct packed *packed, int lanes) {
    int rest = packed->units % lanes;
    return packed->cell == KERNEL_LSTM && rest > 0 && rest <= lanes / 2;
}

/* The columns of a block: of each vector the first one, and how many there are. */
struct columns {
    int n, lanes;
    int first[PACK_VECTORS], there[PACK_VECTORS];
};

static struct columns columns_of(const struct packed *packed, int lanes, bool half, int block) {
    struct columns columns = {.n = pack_vectors(packed, lanes, block), .lanes = half ? lanes / 2 : lanes};
    for (int v = 0; v < columns.n; v++) {
        int unit = (packed->cell == KERNEL_DENSE ? block * PACK_VECTORS + v : block) * lanes;
        columns.first[v] = packed->cell == KERNEL_DENSE ? unit : v * packed->units + unit;
        columns.there[v] = packed->units - unit < lanes ? packed->units - unit : lanes;
    }
    return columns;
}

/* The columns of one row, which is NULL for zeros. Returns where the next one goes. */
static float *put_row(const struct columns *columns, const float *row, float *to) {
    for (int v = 0; v < columns->n; v++, to += columns->lanes) {
        size_t there = row ? (size_t)columns->there[v] : 0;
        memset(to, 0, (size_t)columns->lanes * sizeof *to);
        if (there > 0)
            memcpy(to, row + columns->first[v], there * sizeof *to);
    }
    return to;
}

/* A GRU's four vectors of bias from its two rows: what z and r get of both is one. */
static float *put_gru_bias(const struct columns *columns, const float *bias, int units, float *to) {
    size_t lanes = (size_t)columns->lanes, there = (size_t)columns->there[0];
    const float *second = bias ? bias + 3 * (size_t)units : NULL;

    put_row(columns, bias, to);
    for (size_t v = 0; bias && v < 2; v++)
        for (size_t j = 0; j < there; j++)
            to[v * lanes + j] += second[(size_t)columns->first[v] + j];
    memset(to + 3 * lanes, 0, lanes * sizeof *to);
    if (bias)
        memcpy(to + 3 * lanes, second + columns->first[2], there * sizeof *to);
    return to + 4 * lanes;
}

/* The columns of two rows, vectors so far apart; rows may be NULL for zeros. */
static void put_pair(const struct columns *columns, const float *row, const float *second, size_t apart, float *to) {
    for (int v = 0; v < columns->n; v++, to += apart) {
        memset(to, 0, (size_t)columns->lanes * sizeof *to);
        for (int j = 0; row && j < columns->there[v]; j++) {
            uint32_t pair = bfloat16_of(row[columns->first[v] + j]);
            if (second)
                pair |= (uint32_t)bfloat16_of(second[columns->first[v] + j]) << 16;
            memcpy(to + j, &pair, sizeof pair);
        }
    }
}

/* n rows of a matrix that is so wide. Return where the next ones go. */
static float *put_floats(const struct columns *columns, size_t n, size_t wide, const float *w, float *to) {
    for (size_t k = 0; k < n; k++)
        to = put_row(columns, w + k * wide, to);
    return to;
}

static float *put_pairs(const struct columns *columns, size_t n, size_t wide, const float *w, float *to) {
    for (size_t k = 0; k < n; k += 2, to += columns->n * columns->lanes)
        put_pair(columns, w + k * wide, k + 1 < n ? w + (k + 1) * wide : NULL, (size_t)columns->lanes, to);
    return to;
}

static float *put_tiles(const struct columns *columns, size_t n, size_t wide, const float *w, float *to) {
    size_t lanes = (size_t)columns->lanes, tile = PACK_TILE_ROWS * lanes;
    for (size_t first = 0; first < n; first += 2 * PACK_TILE_ROWS, to += (size_t)columns->n * tile)
        for (size_t row = 0, k = first; row < PACK_TILE_ROWS; row++, k += 2)
            put_pair(columns, k < n ? w + k * wide : NULL, k + 1 < n ? w + (k + 1) * wide : NULL, tile,
                     to + row * lanes);
    return to;
}

/* How rows of weights stand in blocks of so many floats. */
struct order {
    float *(*put)(const struct columns *columns, size_t n, size_t wide, const float *w, float *to);
    int lanes;
    bool halves;
    size_t block_size;
};

static void pack_in(const struct order *order, const struct packed *packed, const float *w, const float *u,
                    const float *bias, float *to) {
    size_t wide = (size_t)gates_of[packed->cell] * (size_t)packed->units;
    int n_blocks = pack_blocks(packed, order->lanes);
    for (int block = 0; block < n_blocks; block++) {
        bool half = order->halves && block == n_blocks - 1 && pack_ends_in_half(packed, order->lanes);
        struct columns columns = columns_of(packed, order->lanes, half, block);
        float *at = to + (size_t)block * order->block_size;
        at = packed->cell == KERNEL_GRU ? put_gru_bias(&columns, bias, packed->units, at)
                                        : put_row(&columns, bias, at);
        at = order->put(&columns, (size_t)packed->n_in, wide, w, at);
        if (packed->cell != KERNEL_DENSE)
            order->put(&columns, (size_t)packed->units, wide, u, at);
    }
}

void pack_weights(const struct packed *packed, int lanes, bool halves, const float *w, const float *u,
                  const float *bias, float *to) {
    struct order order = {.put = packed->precision == PRECISION_BF16 ? put_pairs : put_floats,
                          .lanes = lanes,
                          .halves = halves,
                          .block_size = pack_block_size(packed, lanes)};
    pack_in(&order, packed, w, u, bias, to);
}

void pack_weights_in_tiles(const struct packed *packed, const float *w, const float *u, const float *bias,
                           float *to) {
    struct order order = {.put = put_tiles, .lanes = LANES_MAX, .block_size = pack_tiles_block_size(packed)};
    pack_in(&order, packed, w, u, bias, to);
}
