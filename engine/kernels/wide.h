/*
 * The kernels by vectors, for a level that has a fused multiply-add of them. The level includes this with
 *
 *     ROWS                      of a tile: as many as leave its sums in registers
 *     what update.h asks for
 *     v_all(p)                              LANES times the float at p
 *     v_keep(a)                             a, which stays in its register instead of being read from memory once more
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

#include "engine/kernels/wide_tiles.h"

enum { ROWS_AT_ONCE = 64 }; /* that go over the blocks together: their inputs stay in the second cache */

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
/* ---- all rows and blocks ------------------------------------------------------------------------ */

/* Rows of the next tile, of so many that are left: as alike as can be, since a tile of few rows costs as much as its weights'
 * way from the cache. */
static int rows_of_tile(int left) {
    int tiles = (left + ROWS - 1) / ROWS;
    return (left + tiles - 1) / tiles;
}

/* Of a cell and a precision; pair NULL: one row goes as others do; end: n blocks and the half one; first: the block that comes
 * first, where it comes alone; NULL: as others do. */
struct tiles {
    void (*rows)(int n, const struct work *work, int first, int block);
    void (*pair)(const struct work *work, int block);
    void (*end)(const struct work *work, int block, int n);
    void (*first)(const struct work *work, int block, const float *ahead);
};

static const struct tiles tiles_of[][2] = {
    [KERNEL_DENSE] = {{dense_rows_f32, dense_pair_f32, NULL, NULL}, {dense_rows_bf16, dense_pair_bf16, NULL, NULL}},
    [KERNEL_LSTM] = {{lstm_rows_f32, lstm_pair_f32, lstm_end_f32, lstm_first},
                     {lstm_rows_bf16, lstm_pair_bf16, lstm_end_bf16, NULL}},
    [KERNEL_GRU] = {{gru_rows_f32, gru_pair_f32, NULL, gru_first}, {gru_rows_bf16, gru_pair_bf16, NULL, NULL}},
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

/* Whether one block would stay in the nearest cache for the call that turns back, and two would not. Not of bfloat16, which takes
 * too many operations to wait for their results one block at a time. */
static bool one_stays(const struct work *work) {
    size_t bytes = work->apart * sizeof(float), room = kernels_nearest_cache();
    return work->packed->precision == PRECISION_F32 && bytes <= room && 2 * bytes > room;
}

/* One row: two blocks at once. Where one stays for the call that turns back, that one, the last, comes alone, and so does the first,
 * which is there from the latest call: while it is in hand the second cache would stand still, and as much of the block behind it
 * as has room beside it is asked for. An LSTM's half block, whose two vectors alone would wait for each addition, comes with the
 * last ones. */
static void run_row(const struct work *work, const struct tiles *tiles) {
    const struct packed *packed = work->packed;
    int n_blocks = pack_blocks(packed, LANES), whole = n_blocks, done = 0;
    bool back = turns_back(packed), alone = one_stays(work);

    if (work->half >= 0 || (packed->cell == KERNEL_DENSE && packed->units % (PACK_VECTORS * LANES) != 0))
        whole--;
    int at_end = alone || work->half < 0 || whole == 0 ? 0 : 2 - whole % 2;
    if (alone && tiles->first && work->half < 0 && whole > 1) {
        tiles->first(work, back ? whole - 1 : 0, packed->blocks + (size_t)(back ? whole - 2 : 1) * work->apart);
        done++;
    }
    for (int until = alone ? whole - 1 : whole - at_end; done + 2 <= until; done += 2)
        tiles->pair(work, back ? whole - 2 - done : done);
    if (at_end > 0) {
        tiles->end(work, back ? 0 : done, at_end);
        return;
    }
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
        [KERNEL_LSTM] = {{.rows = lstm_inputs_f32}, {.rows = lstm_inputs_bf16}},
        [KERNEL_GRU] = {{.rows = gru_inputs_f32}, {.rows = gru_inputs_bf16}},
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
    struct tile tile = {PRECISION_F32, n_rows, n_blocks, n_vectors, 2, false};
    const float *x[ROWS];
    vec sums[SUMS][PACK_VECTORS];
    float *y = columns->y + (size_t)first * columns->y_stride;

    UNROLL for (int r = 0; r < n_rows; r++) {
        x[r] = columns->x[first + r];
        UNROLL for (int v = 0; v < n_vectors; v++) sums[r][v] =
            load_up_to(y + (size_t)r * columns->y_stride + v * LANES, v + 1 < n_vectors ? LANES : columns->there);
    }
    multiply(tile, columns->n_in, x, columns->w, columns->w_stride, 0, NULL, columns->there, NULL, sums);
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
