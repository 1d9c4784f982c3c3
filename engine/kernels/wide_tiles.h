/*
 * The tiles of wide.h: up to ROWS rows by one block of packed weights, or one row by two blocks, to which an LSTM's half one
 * may come. Internal to the kernels.
 */
#ifndef ENGINE_KERNELS_WIDE_TILES_H
#define ENGINE_KERNELS_WIDE_TILES_H

#include "engine/kernels/update.h"

enum { SUMS = ROWS }; /* rows times blocks of a tile, at most */

/* ---- tiles -------------------------------------------------------------------------------------- */

/* Constants of a tile. */
struct tile {
    enum precision precision;
    int rows, blocks, vectors;
    int third; /* the sum of the third vector: the candidate of a GRU has two, one of each product */
    bool half; /* of one row: behind the blocks comes one of two vectors, with two gates each */
};

#define EACH_BLOCK_AND_VECTOR(tile) \
    UNROLL for (int b = 0; b < tile.blocks; b++) UNROLL for (int v = 0; v < tile.vectors; v++)

#define EACH_OF_HALF(tile) \
    if (tile.half) \
    UNROLL for (int v = 0; v < 2; v++)

#define EACH_SUM(n_rows, n_blocks, n_vectors) \
    UNROLL for (int b = 0; b < n_blocks; b++) UNROLL for (int r = 0; r < n_rows; r++) \
        UNROLL for (int v = 0; v < n_vectors; v++)

/* sums[block x row][vector] += x w, for input k of each row and a vector of weights. */
INLINE void multiply_vector(struct tile tile, int block, int vector, const float *const *x, int k, vec weights,
                            vec sums[SUMS][PACK_VECTORS]) {
    UNROLL for (int r = 0; r < tile.rows; r++) {
        vec *sum = &sums[block * tile.rows + r][vector == 2 ? tile.third : vector];
        *sum = v_fma(v_all(&x[r][k]), weights, *sum);
    }
}

/* The same for n inputs; the weights of an input are `stride` floats from those of the one before it, those of a block `apart`
 * from the block before it; those of the half one begin at `half`. Of the last vector there are `there` lanes. With each input a
 * vector more of what comes next, at `ahead`, is asked for; NULL: nothing. */
INLINE void multiply(struct tile tile, int n, const float *const *x, const float *w, size_t stride, size_t apart,
                     const float *half, int there, const float *ahead, vec sums[SUMS][PACK_VECTORS]) {
    for (int k = 0; k < n; k++, w += stride) {
        if (ahead)
            __builtin_prefetch(ahead + k * LANES);
        EACH_BLOCK_AND_VECTOR(tile) {
            const float *from = w + (size_t)b * apart + v * LANES;
            vec weights = v + 1 < tile.vectors ? v_load(from) : load_up_to(from, there);
            multiply_vector(tile, b, v, x, k, weights, sums);
        }
        EACH_OF_HALF(tile) multiply_vector(tile, tile.blocks, v, x, k, v_load(half + (2 * k + v) * LANES), sums);
    }
}

/* Of inputs k and k + 1. One row is as fast as its weights are read: once, and not again for the second half. */
INLINE void multiply_pair(struct tile tile, int block, int vector, const float *const *x, int k, vec pair,
                          vec sums[SUMS][PACK_VECTORS]) {
    if (tile.rows == 1)
        pair = v_keep(pair);
    multiply_vector(tile, block, vector, x, k, v_widen_low(pair), sums);
    multiply_vector(tile, block, vector, x, k + 1, v_widen_high(pair), sums);
}

/* The same of packed weights, which stand in pairs if they are halves; these ask for nothing. */
INLINE void multiply_packed(struct tile tile, int n, const float *const *x, const float *w, size_t apart,
                            const float *half, const float *ahead, vec sums[SUMS][PACK_VECTORS]) {
    size_t stride = (size_t)(tile.vectors * LANES);
    if (tile.precision == PRECISION_F32) {
        multiply(tile, n, x, w, stride, apart, half, LANES, ahead, sums);
        return;
    }
    for (int k = 0; k + 1 < n; k += 2, w += stride) {
        EACH_BLOCK_AND_VECTOR(tile) multiply_pair(tile, b, v, x, k, v_load(w + (size_t)b * apart + v * LANES), sums);
        EACH_OF_HALF(tile) multiply_pair(tile, tile.blocks, v, x, k, v_load(half + (k + v) * LANES), sums);
    }
    if (n % 2 == 0)
        return;
    EACH_BLOCK_AND_VECTOR(tile) {
        vec last = v_widen_low(v_load(w + (size_t)b * apart + v * LANES));
        multiply_vector(tile, b, v, x, n - 1, last, sums);
    }
    EACH_OF_HALF(tile)
    multiply_vector(tile, tile.blocks, v, x, n - 1, v_widen_low(v_load(half + (n - 1 + v) * LANES)), sums);
}

/* The bias of a block, for all rows. */
INLINE void begin(struct tile tile, int n_bias, const float *bias, size_t apart, const float *half,
                  vec sums[SUMS][PACK_VECTORS]) {
    EACH_SUM(tile.rows, tile.blocks, n_bias)
    sums[b * tile.rows + r][v] = v_load(bias + (size_t)b * apart + v * LANES);
    EACH_OF_HALF(tile) sums[tile.blocks][v] = v_load(half + v * LANES);
}

/* ---- cells -------------------------------------------------------------------------------------- */

/* A call. */
struct work {
    const struct packed *packed;
    size_t apart; /* blocks */
    const float *x;
    int half;           /* the block whose vectors have two gates each; -1: none */
    const float *begun; /* what `inputs` has left, [rows x sums_row]; NULL: nothing */
    size_t sums_row;
    float *const *state;
    float *y;
};

/* Which blocks a tile is of: those of a cell; an LSTM's last one if its vectors have two gates each; LSTM_END: others, and
 * that one too. */
enum blocks { OF_LSTM, OF_LSTM_HALF, OF_LSTM_END, OF_GRU };

INLINE int vectors_of(enum blocks of) {
    return of == OF_LSTM_HALF ? 2 : of == OF_GRU ? 3 : 4;
}

INLINE int bias_of(enum blocks of) {
    return of == OF_LSTM_HALF ? 2 : PACK_VECTORS;
}

INLINE const float *sums_at(const struct work *work, int row, int block) {
    return work->begun + (size_t)row * work->sums_row + (size_t)block * PACK_VECTORS * LANES;
}

/* The four gates of a half block, which are in two vectors. */
INLINE void part_half(vec *sums) {
    sums[3] = v_upper(sums[1]);
    sums[2] = sums[1];
    sums[1] = v_upper(sums[0]);
}

/* Of n_rows rows from `first` on, the units of n_blocks blocks from `block` on; ahead: the weights that come next, NULL for none
 * to ask for. */
INLINE void cell_tile(enum blocks of, enum precision precision, int n_rows, int n_blocks, const struct work *work,
                      int first, int block, const float *ahead) {
    const struct packed *packed = work->packed;
    bool end = of == OF_LSTM_END;
    int n_vectors = vectors_of(of), n_bias = bias_of(of), units = packed->units, n_sums = n_rows * n_blocks + end;
    struct tile from_x = {precision, n_rows, n_blocks, n_vectors, 2, end}, from_h = from_x;
    size_t rows_of_w = pack_rows(precision, packed->n_in);
    const float *at = packed->blocks + (size_t)block * work->apart, *x[ROWS], *h[ROWS];
    const float *half = end ? packed->blocks + (size_t)work->half * work->apart : NULL;
    vec sums[SUMS][PACK_VECTORS];

    from_h.third = of == OF_GRU ? 3 : 2;
    UNROLL for (int r = 0; r < n_rows; r++) {
        x[r] = work->x + (size_t)(first + r) * (size_t)packed->n_in;
        h[r] = work->state[first + r];
    }
    if (work->begun) {
        EACH_SUM(n_rows, n_blocks, n_bias)
        sums[b * n_rows + r][v] = v_load(sums_at(work, first + r, block + b) + v * LANES);
        EACH_OF_HALF(from_x) sums[n_blocks][v] = v_load(sums_at(work, first, work->half) + v * LANES);
    } else {
        begin(from_x, n_bias, at, work->apart, half, sums);
        multiply_packed(from_x, packed->n_in, x, at + n_bias * LANES, work->apart, end ? half + 2 * LANES : NULL,
                        NULL, sums);
    }
    at += (n_bias + (int)rows_of_w * n_vectors) * LANES;
    half = end ? half + (2 + (int)rows_of_w * 2) * LANES : NULL;
    multiply_packed(from_h, units, h, at, work->apart, half, ahead, sums);
    UNROLL for (int s = 0; s < n_sums; s++) if (of == OF_LSTM_HALF || (end && s == n_blocks)) part_half(sums[s]);
    int n[SUMS];
    float *state[SUMS], *y[SUMS];
    UNROLL for (int s = 0; s < n_sums; s++) {
        int r = s % n_rows, unit = (end && s == n_blocks ? work->half : block + s / n_rows) * LANES;
        n[s] = units - unit;
        state[s] = work->state[first + r] + unit + (of == OF_GRU ? 0 : units);
        y[s] = work->y + (size_t)(first + r) * (size_t)units + unit;
    }
    if (of == OF_GRU)
        gru_update(n_sums, sums, n, state, y);
    else
        lstm_update(n_sums, sums, n, state, y);
}

/* The inputs' part of the sums alone, to y, which are sums here. */
INLINE void inputs_tile(enum blocks of, enum precision precision, int n_rows, int n_blocks, const struct work *work,
                        int first, int block) {
    const struct packed *packed = work->packed;
    struct tile tile = {precision, n_rows, n_blocks, vectors_of(of), 2, false};
    const float *at = packed->blocks + (size_t)block * work->apart, *x[ROWS];
    vec sums[SUMS][PACK_VECTORS];

    UNROLL for (int r = 0; r < n_rows; r++) x[r] = work->x + (size_t)(first + r) * (size_t)packed->n_in;
    begin(tile, bias_of(of), at, work->apart, NULL, sums);
    multiply_packed(tile, packed->n_in, x, at + bias_of(of) * LANES, work->apart, NULL, NULL, sums);
    EACH_SUM(n_rows, n_blocks, bias_of(of)) {
        size_t to = (size_t)(first + r) * work->sums_row + (size_t)((block + b) * PACK_VECTORS + v) * LANES;
        v_store(work->y + to, sums[b * n_rows + r][v]);
    }
}

/* The same of a Dense: of n_vectors in each block. */
INLINE void dense_tile(int n_vectors, enum precision precision, int n_rows, int n_blocks, const struct work *work,
                       int first, int block) {
    const struct packed *packed = work->packed;
    struct tile tile = {precision, n_rows, n_blocks, n_vectors, 2, false};
    const float *at = packed->blocks + (size_t)block * work->apart, *x[ROWS];
    vec sums[SUMS][PACK_VECTORS];

    UNROLL for (int r = 0; r < n_rows; r++) x[r] = work->x + (size_t)(first + r) * (size_t)packed->n_in;
    begin(tile, n_vectors, at, work->apart, NULL, sums);
    multiply_packed(tile, packed->n_in, x, at + n_vectors * LANES, work->apart, NULL, NULL, sums);
    EACH_SUM(n_rows, n_blocks, n_vectors) {
        int unit = ((block + b) * PACK_VECTORS + v) * LANES, n = packed->units - unit;
        store_up_to(work->y + (size_t)(first + r) * (size_t)packed->units + unit, n, sums[b * n_rows + r][v]);
    }
}

/* tile(..., rows, 1, more) with the number of rows, up to ROWS, as a constant. */
#if ROWS == 3
#define BY_ROWS(n, tile, kind, ...) \
    switch (n) { \
    case 1: tile(kind, 1, 1, __VA_ARGS__); break; \
    case 2: tile(kind, 2, 1, __VA_ARGS__); break; \
    default: tile(kind, 3, 1, __VA_ARGS__); break; \
    }
#else
#define BY_ROWS(n, tile, kind, ...) \
    switch (n) { \
    case 1: tile(kind, 1, 1, __VA_ARGS__); break; \
    case 2: tile(kind, 2, 1, __VA_ARGS__); break; \
    case 3: tile(kind, 3, 1, __VA_ARGS__); break; \
    case 4: tile(kind, 4, 1, __VA_ARGS__); break; \
    case 5: tile(kind, 5, 1, __VA_ARGS__); break; \
    default: tile(kind, 6, 1, __VA_ARGS__); break; \
    }
#endif

#define LSTM_TILE(precision, ...)        cell_tile(OF_LSTM, precision, __VA_ARGS__, NULL)
#define LSTM_HALF(precision, ...)        cell_tile(OF_LSTM_HALF, precision, __VA_ARGS__, NULL)
#define LSTM_END(precision, ...)         cell_tile(OF_LSTM_END, precision, __VA_ARGS__, NULL)
#define GRU_TILE(precision, ...)         cell_tile(OF_GRU, precision, __VA_ARGS__, NULL)
#define LSTM_INPUTS(precision, ...)      inputs_tile(OF_LSTM, precision, __VA_ARGS__)
#define LSTM_HALF_INPUTS(precision, ...) inputs_tile(OF_LSTM_HALF, precision, __VA_ARGS__)
#define GRU_INPUTS(precision, ...)       inputs_tile(OF_GRU, precision, __VA_ARGS__)
#define DENSE_4(precision, ...)          dense_tile(4, precision, __VA_ARGS__)
#define DENSE_3(precision, ...)          dense_tile(3, precision, __VA_ARGS__)
#define DENSE_2(precision, ...)          dense_tile(2, precision, __VA_ARGS__)
#define DENSE_1(precision, ...)          dense_tile(1, precision, __VA_ARGS__)

/* The functions of a precision: one block, and n <= ROWS rows; one row, and two blocks, of a Dense whole
 * ones; one row, and n blocks, up to two, with the half one. */
#define TILES(suffix, precision) \
    static void lstm_rows_##suffix(int n, const struct work *work, int first, int block) { \
        if (block == work->half) \
            BY_ROWS(n, LSTM_HALF, precision, work, first, block) \
        else \
            BY_ROWS(n, LSTM_TILE, precision, work, first, block) \
    } \
    static void gru_rows_##suffix(int n, const struct work *work, int first, int block) { \
        BY_ROWS(n, GRU_TILE, precision, work, first, block) \
    } \
    static void lstm_inputs_##suffix(int n, const struct work *work, int first, int block) { \
        if (block == work->half) \
            BY_ROWS(n, LSTM_HALF_INPUTS, precision, work, first, block) \
        else \
            BY_ROWS(n, LSTM_INPUTS, precision, work, first, block) \
    } \
    static void gru_inputs_##suffix(int n, const struct work *work, int first, int block) { \
        BY_ROWS(n, GRU_INPUTS, precision, work, first, block) \
    } \
    static void dense_rows_##suffix(int n, const struct work *work, int first, int block) { \
        switch (pack_vectors(work->packed, LANES, block)) { \
        case 1: BY_ROWS(n, DENSE_1, precision, work, first, block) break; \
        case 2: BY_ROWS(n, DENSE_2, precision, work, first, block) break; \
        case 3: BY_ROWS(n, DENSE_3, precision, work, first, block) break; \
        default: BY_ROWS(n, DENSE_4, precision, work, first, block) break; \
        } \
    } \
    static void lstm_pair_##suffix(const struct work *work, int block) { \
        LSTM_TILE(precision, 1, 2, work, 0, block); \
    } \
    static void lstm_end_##suffix(const struct work *work, int block, int n) { \
        if (n == 2) \
            LSTM_END(precision, 1, 2, work, 0, block); \
        else \
            LSTM_END(precision, 1, 1, work, 0, block); \
    } \
    static void gru_pair_##suffix(const struct work *work, int block) { \
        GRU_TILE(precision, 1, 2, work, 0, block); \
    } \
    static void dense_pair_##suffix(const struct work *work, int block) { \
        DENSE_4(precision, 1, 2, work, 0, block); \
    }

TILES(f32, PRECISION_F32)
TILES(bf16, PRECISION_BF16)

/* One row and one block, the first: at `ahead` is the next one. */
static void lstm_first(const struct work *work, int block, const float *ahead) {
    cell_tile(OF_LSTM, PRECISION_F32, 1, 1, work, 0, block, ahead);
}

static void gru_first(const struct work *work, int block, const float *ahead) {
    cell_tile(OF_GRU, PRECISION_F32, 1, 1, work, 0, block, ahead);
}

#endif
