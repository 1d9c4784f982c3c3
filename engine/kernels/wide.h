/*
 * The kernels by vectors, for a level that has a fused multiply-add of them. The level includes this with
 *
 *     LANES, ROWS               floats of a vector; rows of a tile: as many as leave its sums in registers
 *     what sigmoid.h asks for
 *     v_load(p), v_store(p, a)              LANES floats
 *     v_load_some(p, n), v_store_some(p, n, a)    the first n < LANES of them (n 0 too); no byte beyond is touched
 *     v_widen_low(a), v_widen_high(a)       floats from the lower, or the upper, halves of each
 *     v_upper(a)                            the upper half of the lanes in the place of the lower one
 *     LEVEL, KERNELS            the level's name, and that of its table
 *
 * A tile is up to ROWS rows by one block of packed weights (of one row two blocks, to have as many sums under way as hide
 * the latency of an addition): its sums stay in registers over all inputs, and LSTM and GRU make the new states from them
 * there. The loops are: blocks, then rows, so that a block of weights stays in the nearest cache for all rows. The counts
 * of a tile are constants when it is inlined, and its loops unrolled. Internal to the kernels.
 */
#ifndef ENGINE_KERNELS_WIDE_H
#define ENGINE_KERNELS_WIDE_H

#include "engine/kernels/levels.h"
#include "engine/kernels/sigmoid.h"

enum {
    SUMS = ROWS,              /* rows times blocks of a tile, at most */
    NEAREST_CACHE = 28 << 10, /* bytes of it for weights */
    ROWS_AT_ONCE = 64,        /* that go over the blocks together: their inputs stay in the second cache */
};

INLINE vec load_up_to(const float *from, int n) {
    return n < LANES ? v_load_some(from, n) : v_load(from);
}

INLINE void store_up_to(float *to, int n, vec a) {
    if (n < LANES)
        v_store_some(to, n, a);
    else
        v_store(to, a);
}

/* ---- activations -------------------------------------------------------------------------------- */

enum { TOGETHER = 4 };

#define ACTIVATE(functions) \
    size_t i = 0; \
    for (; i + TOGETHER * LANES <= n; i += TOGETHER * LANES) { \
        vec a[TOGETHER]; \
        UNROLL for (int v = 0; v < TOGETHER; v++) a[v] = v_load(x + i + v * LANES); \
        functions(TOGETHER, a); \
        UNROLL for (int v = 0; v < TOGETHER; v++) v_store(x + i + v * LANES, a[v]); \
    } \
    for (; i < n; i += LANES) { \
        vec a = load_up_to(x + i, n - i < LANES ? (int)(n - i) : LANES); \
        functions(1, &a); \
        store_up_to(x + i, n - i < LANES ? (int)(n - i) : LANES, a); \
    }

static void activate_tanh(size_t n, float *x) {
    ACTIVATE(tanhs)
}

static void activate_sigmoid(size_t n, float *x) {
    ACTIVATE(sigmoids)
}

#include "engine/kernels/elementwise.h"

/* ---- tiles -------------------------------------------------------------------------------------- */

/* Constants of a tile. */
struct tile {
    enum precision precision;
    int rows, blocks, vectors;
    int third; /* the sum of the third vector: the candidate of a GRU has two, one of each product */
};

#define EACH_BLOCK_AND_VECTOR(tile) \
    UNROLL for (int b = 0; b < tile.blocks; b++) UNROLL for (int v = 0; v < tile.vectors; v++)

#define EACH_SUM(n_rows, n_blocks, n_vectors) \
    UNROLL for (int b = 0; b < n_blocks; b++) UNROLL for (int r = 0; r < n_rows; r++) \
        UNROLL for (int v = 0; v < n_vectors; v++)

/* sums[block x row][vector] += x w, for input k of each row and a vector of weights. */
INLINE void multiply_vector(struct tile tile, int block, int vector, const float *const *x, int k, vec weights,
                            vec sums[SUMS][PACK_VECTORS]) {
    UNROLL for (int r = 0; r < tile.rows; r++) {
        vec *sum = &sums[block * tile.rows + r][vector == 2 ? tile.third : vector];
        *sum = v_fma(v_set(x[r][k]), weights, *sum);
    }
}

/* The same for n inputs; the weights of an input are `stride` floats from those of the one before it, those of a block `apart`
 * from the block before it. Of the last vector there are `there` lanes. */
INLINE void multiply(struct tile tile, int n, const float *const *x, const float *w, size_t stride, size_t apart,
                     int there, vec sums[SUMS][PACK_VECTORS]) {
    for (int k = 0; k < n; k++, w += stride)
        EACH_BLOCK_AND_VECTOR(tile) {
            const float *from = w + (size_t)b * apart + v * LANES;
            vec weights = v + 1 < tile.vectors ? v_load(from) : load_up_to(from, there);
            multiply_vector(tile, b, v, x, k, weights, sums);
        }
}

/* The same of packed weights, which stand in pairs if they are halves. */
INLINE void multiply_packed(struct tile tile, int n, const float *const *x, const float *w, size_t apart,
                            vec sums[SUMS][PACK_VECTORS]) {
    size_t stride = (size_t)(tile.vectors * LANES);
    if (tile.precision == PRECISION_F32) {
        multiply(tile, n, x, w, stride, apart, LANES, sums);
        return;
    }
    for (int k = 0; k + 1 < n; k += 2, w += stride)
        EACH_BLOCK_AND_VECTOR(tile) {
            vec pair = v_load(w + (size_t)b * apart + v * LANES);
            multiply_vector(tile, b, v, x, k, v_widen_low(pair), sums);
            multiply_vector(tile, b, v, x, k + 1, v_widen_high(pair), sums);
        }
    if (n % 2 == 1)
        EACH_BLOCK_AND_VECTOR(tile) {
            vec last = v_widen_low(v_load(w + (size_t)b * apart + v * LANES));
            multiply_vector(tile, b, v, x, n - 1, last, sums);
        }
}

/* The bias of a block, for all rows. */
INLINE void begin(struct tile tile, int n_bias, const float *bias, size_t apart, vec sums[SUMS][PACK_VECTORS]) {
    EACH_SUM(tile.rows, tile.blocks, n_bias)
    sums[b * tile.rows + r][v] = v_load(bias + (size_t)b * apart + v * LANES);
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

/* The units of a block: gates[s] of n_sums tiles of them; there are n[s] of these, with c at c[s], and y goes to y[s]. */
INLINE void lstm_update(int n_sums, vec gates[SUMS][PACK_VECTORS], const int *n, float *const *c, float *const *y) {
    vec in[SUMS], keep[SUMS], cell[SUMS], out[SUMS];
    EACH_OF(n_sums) {
        in[i] = gates[i][0];
        keep[i] = gates[i][1];
        cell[i] = gates[i][2];
        out[i] = gates[i][3];
    }
    sigmoid_times_tanh(n_sums, in, cell);
    sigmoid_divisors(n_sums, keep);
    EACH_OF(n_sums) cell[i] = v_add(v_div(load_up_to(c[i], n[i]), keep[i]), in[i]);
    EACH_OF(n_sums) store_up_to(c[i], n[i], cell[i]);
    sigmoid_times_tanh(n_sums, out, cell);
    EACH_OF(n_sums) store_up_to(y[i], n[i], out[i]);
}

INLINE void gru_update(int n_sums, vec gates[SUMS][PACK_VECTORS], const int *n, float *const *h, float *const *y) {
    vec update[SUMS], reset[SUMS], candidate[SUMS];
    EACH_OF(n_sums) {
        update[i] = gates[i][0];
        reset[i] = gates[i][1];
    }
    sigmoids(n_sums, reset);
    EACH_OF(n_sums) candidate[i] = v_fma(reset[i], gates[i][3], gates[i][2]);
    sigmoids(n_sums, update);
    tanhs(n_sums, candidate);
    EACH_OF(n_sums) {
        vec new = v_mul(v_sub(v_set(1.0f), update[i]), candidate[i]);
        store_up_to(y[i], n[i], v_fma(update[i], load_up_to(h[i], n[i]), new));
    }
}

/* Which blocks a tile is of: those of a cell, or an LSTM's last one if its vectors have two gates each. */
enum blocks { OF_LSTM, OF_LSTM_HALF, OF_GRU };

INLINE int vectors_of(enum blocks of) {
    return of == OF_LSTM ? 4 : of == OF_GRU ? 3 : 2;
}

INLINE int bias_of(enum blocks of) {
    return of == OF_LSTM_HALF ? 2 : PACK_VECTORS;
}

INLINE const float *sums_at(const struct work *work, int row, int block) {
    return work->begun + (size_t)row * work->sums_row + (size_t)block * PACK_VECTORS * LANES;
}

/* Of n_rows rows from `first` on, the units of n_blocks blocks from `block` on. */
INLINE void cell_tile(enum blocks of, enum precision precision, int n_rows, int n_blocks, const struct work *work,
                      int first, int block) {
    const struct packed *packed = work->packed;
    int n_vectors = vectors_of(of), n_bias = bias_of(of), units = packed->units;
    struct tile from_x = {precision, n_rows, n_blocks, n_vectors, 2}, from_h = from_x;
    size_t rows_of_w = pack_rows(precision, packed->n_in);
    const float *at = packed->blocks + (size_t)block * work->apart, *x[ROWS], *h[ROWS];
    vec sums[SUMS][PACK_VECTORS];

    from_h.third = of == OF_GRU ? 3 : 2;
    UNROLL for (int r = 0; r < n_rows; r++) {
        x[r] = work->x + (size_t)(first + r) * (size_t)packed->n_in;
        h[r] = work->state[first + r];
    }
    if (work->begun) {
        EACH_SUM(n_rows, n_blocks, n_bias)
        sums[b * n_rows + r][v] = v_load(sums_at(work, first + r, block + b) + v * LANES);
        at += n_bias * LANES;
    } else {
        begin(from_x, n_bias, at, work->apart, sums);
        at += n_bias * LANES;
        multiply_packed(from_x, packed->n_in, x, at, work->apart, sums);
    }
    multiply_packed(from_h, units, h, at + rows_of_w * (size_t)(n_vectors * LANES), work->apart, sums);
    UNROLL for (int s = 0; s < n_rows; s++) {
        if (of != OF_LSTM_HALF)
            break;
        sums[s][3] = v_upper(sums[s][1]);
        sums[s][2] = sums[s][1];
        sums[s][1] = v_upper(sums[s][0]);
    }
    int n[SUMS];
    float *state[SUMS], *y[SUMS];
    UNROLL for (int b = 0; b < n_blocks; b++) UNROLL for (int r = 0; r < n_rows; r++) {
        int unit = (block + b) * LANES, s = b * n_rows + r;
        n[s] = units - unit;
        state[s] = work->state[first + r] + unit + (of == OF_GRU ? 0 : units);
        y[s] = work->y + (size_t)(first + r) * (size_t)units + unit;
    }
    if (of == OF_GRU)
        gru_update(n_rows * n_blocks, sums, n, state, y);
    else
        lstm_update(n_rows * n_blocks, sums, n, state, y);
}

/* The inputs' part of the sums alone, to y, which are sums here. */
INLINE void inputs_tile(enum blocks of, enum precision precision, int n_rows, int n_blocks, const struct work *work,
                        int first, int block) {
    const struct packed *packed = work->packed;
    struct tile tile = {precision, n_rows, n_blocks, vectors_of(of), 2};
    const float *at = packed->blocks + (size_t)block * work->apart, *x[ROWS];
    vec sums[SUMS][PACK_VECTORS];

    UNROLL for (int r = 0; r < n_rows; r++) x[r] = work->x + (size_t)(first + r) * (size_t)packed->n_in;
    begin(tile, bias_of(of), at, work->apart, sums);
    multiply_packed(tile, packed->n_in, x, at + bias_of(of) * LANES, work->apart, sums);
    EACH_SUM(n_rows, n_blocks, bias_of(of)) {
        size_t to = (size_t)(first + r) * work->sums_row + (size_t)((block + b) * PACK_VECTORS + v) * LANES;
        v_store(work->y + to, sums[b * n_rows + r][v]);
    }
}

/* The same of a Dense: of n_vectors in each block. */
INLINE void dense_tile(int n_vectors, enum precision precision, int n_rows, int n_blocks, const struct work *work,
                       int first, int block) {
    const struct packed *packed = work->packed;
    struct tile tile = {precision, n_rows, n_blocks, n_vectors, 2};
    const float *at = packed->blocks + (size_t)block * work->apart, *x[ROWS];
    vec sums[SUMS][PACK_VECTORS];

    UNROLL for (int r = 0; r < n_rows; r++) x[r] = work->x + (size_t)(first + r) * (size_t)packed->n_in;
    begin(tile, n_vectors, at, work->apart, sums);
    multiply_packed(tile, packed->n_in, x, at + n_vectors * LANES, work->apart, sums);
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

#define LSTM_TILE(precision, ...)        cell_tile(OF_LSTM, precision, __VA_ARGS__)
#define LSTM_HALF(precision, ...)        cell_tile(OF_LSTM_HALF, precision, __VA_ARGS__)
#define GRU_TILE(precision, ...)         cell_tile(OF_GRU, precision, __VA_ARGS__)
#define LSTM_INPUTS(precision, ...)      inputs_tile(OF_LSTM, precision, __VA_ARGS__)
#define LSTM_HALF_INPUTS(precision, ...) inputs_tile(OF_LSTM_HALF, precision, __VA_ARGS__)
#define GRU_INPUTS(precision, ...)       inputs_tile(OF_GRU, precision, __VA_ARGS__)
#define DENSE_4(precision, ...)          dense_tile(4, precision, __VA_ARGS__)
#define DENSE_3(precision, ...)          dense_tile(3, precision, __VA_ARGS__)
#define DENSE_2(precision, ...)          dense_tile(2, precision, __VA_ARGS__)
#define DENSE_1(precision, ...)          dense_tile(1, precision, __VA_ARGS__)

/* The functions of a precision: one block, and n <= ROWS rows; one row, and two blocks, of a Dense whole ones. */
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
    static void gru_pair_##suffix(const struct work *work, int block) { \
        GRU_TILE(precision, 1, 2, work, 0, block); \
    } \
    static void dense_pair_##suffix(const struct work *work, int block) { \
        DENSE_4(precision, 1, 2, work, 0, block); \
    }

TILES(f32, PRECISION_F32)
TILES(bf16, PRECISION_BF16)

/* ---- all rows and blocks ------------------------------------------------------------------------ */

/* Rows of the next tile, of so many that are left: as alike as can be, since a tile of few rows costs as much as its weights'
 * way from the cache. */
static int rows_of_tile(int left) {
    int tiles = (left + ROWS - 1) / ROWS;
    return (left + tiles - 1) / tiles;
}

/* Of a cell and a precision; pair NULL: one row goes as others do. */
struct tiles {
    void (*rows)(int n, const struct work *work, int first, int block);
    void (*pair)(const struct work *work, int block);
};

static const struct tiles tiles_of[][2] = {
    [KERNEL_DENSE] = {{dense_rows_f32, dense_pair_f32}, {dense_rows_bf16, dense_pair_bf16}},
    [KERNEL_LSTM] = {{lstm_rows_f32, lstm_pair_f32}, {lstm_rows_bf16, lstm_pair_bf16}},
    [KERNEL_GRU] = {{gru_rows_f32, gru_pair_f32}, {gru_rows_bf16, gru_pair_bf16}},
};

/*
 * One row reads all weights once, and a cache that they do not fit would always have just dropped what is read next: so
 * a call for the same weights as this thread's latest one goes over the blocks the other way, and finds there what that one
 * read last. Nothing but the time depends on it.
 */
static bool turns_back(const struct packed *packed) {
    static _Thread_local const float *latest;
    bool back = latest == packed->blocks;
    latest = back ? NULL : packed->blocks;
    return back;
}

/* One row: two blocks at once, unless one of them would stay in the nearest cache for the call that turns back (halves take
 * too many operations to wait for their results one block at a time). */
static void run_row(const struct work *work, const struct tiles *tiles) {
    const struct packed *packed = work->packed;
    int n_blocks = pack_blocks(packed, LANES), whole = n_blocks, done = 0;
    size_t bytes = work->apart * sizeof(float);
    bool back = turns_back(packed);
    bool alone = packed->precision == PRECISION_F32 && bytes <= NEAREST_CACHE && 2 * bytes > NEAREST_CACHE;

    if (work->half >= 0 || (packed->cell == KERNEL_DENSE && packed->units % (PACK_VECTORS * LANES) != 0))
        whole--;
    for (; !alone && done + 2 <= whole; done += 2)
        tiles->pair(work, back ? whole - 2 - done : done);
    for (; done < n_blocks; done++)
        tiles->rows(1, work, 0, back && done < whole ? whole - 1 - done : done);
}

static void run(const struct work *work, int rows, const struct tiles *tiles) {
    int n_blocks = pack_blocks(work->packed, LANES);

    if (rows == 1 && tiles->pair) {
        run_row(work, tiles);
        return;
    }
    for (int first = 0, end; first < rows; first = end) {
        end = rows - first > ROWS_AT_ONCE ? first + ROWS_AT_ONCE : rows;
        for (int b = 0; b < n_blocks; b++)
            for (int r = first, n; r < end; r += n) {
                n = rows_of_tile(end - r);
                tiles->rows(n, work, r, b);
            }
    }
}

static struct work work_of(const struct packed *packed, const float *x, float *y) {
    int half = pack_ends_in_half(packed, LANES) ? pack_blocks(packed, LANES) - 1 : -1;
    return (struct work){.packed = packed,
                         .apart = pack_block_size(packed, LANES),
                         .half = half,
                         .sums_row = kernels_inputs_size(packed->units),
                         .x = x,
                         .y = y};
}

static void cell(const struct packed *packed, int rows, const float *x, const float *sums, float *const *state,
                 float *y) {
    struct work work = work_of(packed, x, y);
    work.begun = sums;
    work.state = state;
    run(&work, rows, &tiles_of[packed->cell][packed->precision]);
    put_hidden(rows, packed->units, state, y);
}

static void inputs(const struct packed *packed, int rows, const float *x, float *sums) {
    static const struct tiles inputs_of[][2] = {
        [KERNEL_LSTM] = {{lstm_inputs_f32, NULL}, {lstm_inputs_bf16, NULL}},
        [KERNEL_GRU] = {{gru_inputs_f32, NULL}, {gru_inputs_bf16, NULL}},
    };
    struct work work = work_of(packed, x, sums);
    run(&work, rows, &inputs_of[packed->cell][packed->precision]);
}

static void dense(const struct packed *packed, int rows, const float *x, float *y) {
    struct work work = work_of(packed, x, y);
    run(&work, rows, &tiles_of[KERNEL_DENSE][packed->precision]);
}

static void pack(const struct packed *packed, const float *w, const float *u, const float *bias, float *to) {
    pack_weights(packed, LANES, true, w, u, bias, to);
}

/* ---- weights that are not packed ---------------------------------------------------------------- */

/* Where the columns in hand are. */
struct columns {
    int n_in, there; /* there: lanes of the last vector */
    const float *const *x;
    size_t w_stride, y_stride;
    const float *w;
    float *y;
};

INLINE void columns_tile(int n_vectors, int n_rows, int n_blocks, const struct columns *columns, int first) {
    struct tile tile = {PRECISION_F32, n_rows, n_blocks, n_vectors, 2};
    const float *x[ROWS];
    vec sums[SUMS][PACK_VECTORS];
    float *y = columns->y + (size_t)first * columns->y_stride;

    UNROLL for (int r = 0; r < n_rows; r++) {
        x[r] = columns->x[first + r];
        UNROLL for (int v = 0; v < n_vectors; v++) sums[r][v] =
            load_up_to(y + (size_t)r * columns->y_stride + v * LANES, v + 1 < n_vectors ? LANES : columns->there);
    }
    multiply(tile, columns->n_in, x, columns->w, columns->w_stride, 0, columns->there, sums);
    UNROLL for (int r = 0; r < n_rows; r++) UNROLL for (int v = 0; v < n_vectors; v++) store_up_to(
        y + (size_t)r * columns->y_stride + v * LANES, v + 1 < n_vectors ? LANES : columns->there, sums[r][v]);
}

static void accumulate(int rows, int n_in, int n_out, const float *const *x, size_t w_stride, const float *w,
                       size_t y_stride, float *y) {
    for (int j = 0, wide; j < n_out; j += wide) {
        wide = n_out - j >= PACK_VECTORS * LANES ? PACK_VECTORS * LANES : LANES;
        struct columns columns = {n_in, LANES, x, w_stride, y_stride, w + j, y + j};
        if (n_out - j < LANES)
            columns.there = n_out - j;
        for (int r = 0, n; r < rows; r += n) {
            n = rows_of_tile(rows - r);
            if (wide > LANES)
                BY_ROWS(n, columns_tile, PACK_VECTORS, &columns, r)
            else
                BY_ROWS(n, columns_tile, 1, &columns, r)
        }
    }
}

const struct kernels KERNELS = {
    .level = LEVEL,
    .pack = pack,
    .dense = dense,
    .accumulate = accumulate,
    .inputs = inputs,
    .lstm = cell,
    .gru = cell,
    .axpy = axpy,
    .activate = activate,
};

#endif
