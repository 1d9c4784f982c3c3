/*
 * AMX for weights in bfloat16; with floats this level is avx512.
 *
 * A product of tiles (TDPBF16PS) takes up to 16 rows of 32 inputs, which are rounded to bfloat16 for it, and 32 weights of 16
 * outputs. As a row of the product depends on nothing but that row of inputs, and any number of rows, one too, goes through
 * tiles, a row's bits depend neither on the number of rows nor on its neighbours. They are not those of other levels:
 *
 *     sum = bias; for each 32 inputs of x, then for each 32 of h: sum = sum + (the product of the even ones + that of the odd ones)
 *
 * each product summed from zero by fused multiply-adds in ascending order, denormals taken as zeros (Intel's Software
 * Developer's Manual, volume 2, TDPBF16PS). What the last 32 lack is zeros. Activations and states are those of avx512, by
 * floats.
 *
 * The sums of a block (up to four vectors of 16 outputs, as levels.h has them in tiles) stay in tile registers over all
 * inputs, and reach the vectors' registers through memory. Blocks outside, rows inside: a block's weights stay in the
 * nearest caches.
 */
#include "engine/kernels/avx512.h"
#include "engine/kernels/update.h"

enum {
    HEIGHT = 16,                            /* rows of a tile, at most */
    CHUNK = 2 * PACK_TILE_ROWS,             /* inputs of a tile */
    TILE = PACK_TILE_ROWS * LANES,          /* floats' room of a tile of weights */
    ROW_BYTES = LANES * (int)sizeof(float), /* of any tile */
    ROWS_AT_ONCE = 64,                      /* that go over the blocks together */
    ROUNDED = 1024,                         /* chunks of rows that are rounded once for all blocks: 64 KB of stack */
    BATCH = 4,                              /* rows times blocks whose states are made together */
    SUMS = PACK_VECTORS * HEIGHT * LANES,   /* room for the sums of a tile, or of a few rows of several blocks */
};

/* ---- tile registers ----------------------------------------------------------------------------- */

/* 0 to 3 hold the sums of a block by vector, 5 to 7 weights. */
#define TILE_INPUTS 4

/* gcc's intrinsics do not say that they read memory: what was stored before is made to be there. */
#define STORED() __asm__ volatile("" ::: "memory")

/* What LDTILECFG takes. */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static void configure(int height) {
    struct tile_config config = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        config.row_bytes[tile] = ROW_BYTES;
        config.rows[tile] = (uint8_t)(tile <= TILE_INPUTS ? height : PACK_TILE_ROWS);
    }
    STORED();
    _tile_loadconfig(&config);
}

/* The sums of n vectors begin with 16 floats a row, rows so many bytes apart (0: the same for all), vectors side by side. */
static inline void begin_sums(int n, const float *from, size_t stride) {
    STORED();
    _tile_loadd(0, from, stride);
    if (n > 1)
        _tile_loadd(1, from + LANES, stride);
    if (n > 2)
        _tile_loadd(2, from + 2 * LANES, stride);
    if (n > 3)
        _tile_loadd(3, from + 3 * LANES, stride);
}

/* sums += inputs weights, n vectors; the third one's to sum 3 where the candidate of a GRU has a sum of its own for h. */
static inline void add_products(int n, bool third_apart, const uint16_t *inputs, const float *weights) {
    _tile_loadd(TILE_INPUTS, inputs, ROW_BYTES);
    _tile_loadd(5, weights, ROW_BYTES);
    _tile_dpbf16ps(0, TILE_INPUTS, 5);
    if (n > 1) {
        _tile_loadd(6, weights + TILE, ROW_BYTES);
        _tile_dpbf16ps(1, TILE_INPUTS, 6);
    }
    if (n > 2) {
        _tile_loadd(7, weights + 2 * TILE, ROW_BYTES);
        if (third_apart)
            _tile_dpbf16ps(3, TILE_INPUTS, 7);
        else
            _tile_dpbf16ps(2, TILE_INPUTS, 7);
    }
    if (n > 3) {
        _tile_loadd(5, weights + 3 * TILE, ROW_BYTES);
        _tile_dpbf16ps(3, TILE_INPUTS, 5);
    }
}

/* To rows so many bytes apart, vectors so many floats. */
static inline void end_sums(int n, float *to, size_t stride, size_t apart) {
    _tile_stored(0, to, stride);
    if (n > 1)
        _tile_stored(1, to + apart, stride);
    if (n > 2)
        _tile_stored(2, to + 2 * apart, stride);
    if (n > 3)
        _tile_stored(3, to + 3 * apart, stride);
}

/* ---- inputs ------------------------------------------------------------------------------------- */

/* A call, and the rows of it that are in hand. */
struct work {
    const struct packed *packed;
    const float *x;
    const float *begun; /* what `inputs` has left, [rows x sums_row]; NULL: nothing */
    size_t sums_row;
    float *const *state; /* NULL: none */
    float *y;
    float *sums;        /* of `inputs`: instead of y */
    int from, to, of_x; /* chunks: the first, behind the last; those before of_x are x, the others h */

    int first, rows, height;    /* rows of the call; of a tile */
    int kept;                   /* chunks that are rounded */
    uint16_t (*rounded)[CHUNK]; /* [kept x rows] */
};

static void round_chunk(const struct work *work, int chunk, int row, uint16_t *to) {
    const struct packed *packed = work->packed;
    bool is_x = chunk < work->of_x;
    int at = (is_x ? chunk : chunk - work->of_x) * CHUNK, left = (is_x ? packed->n_in : packed->units) - at;
    const float *from = (is_x ? work->x + (size_t)row * (size_t)packed->n_in : work->state[row]) + at;
    vec low = load_up_to(from, left), high = left > LANES ? load_up_to(from + LANES, left - LANES) : v_set(0);
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* Of the tile's rows; beyond what is kept each block rounds anew. */
static const uint16_t *inputs_at(const struct work *work, int chunk, int row, uint16_t (*own)[CHUNK]) {
    int index = chunk - work->from;
    if (index < work->kept)
        return work->rounded[index * work->rows + row];
    for (int r = 0; r < work->height; r++)
        round_chunk(work, chunk, work->first + row + r, own[r]);
    STORED();
    return own[0];
}

/* The next rows in hand, of so many that are left. */
static void take_rows(struct work *work, int left) {
    int chunks = work->to - work->from;
    work->rows = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;
    while (work->rows > HEIGHT && work->rows * chunks > ROUNDED)
        work->rows = (work->rows - 1) / HEIGHT * HEIGHT;
    work->height = work->rows < HEIGHT ? work->rows : HEIGHT;
    work->kept = ROUNDED / work->rows < chunks ? ROUNDED / work->rows : chunks;
    for (int i = 0; i < work->kept; i++)
        for (int r = 0; r < work->rows; r++)
            round_chunk(work, work->from + i, work->first + r, work->rounded[i * work->rows + r]);
    configure(work->height);
}

/* ---- blocks ------------------------------------------------------------------------------------- */

/* The sums of a tile's rows, from the row-th in hand on, and a block: to rows so many floats apart, vectors so many. */
static void sum_block(const struct work *work, int row, int block, float *to, size_t stride, size_t apart) {
    const struct packed *packed = work->packed;
    int n = pack_vectors(packed, LANES, block), n_bias = packed->cell == KERNEL_DENSE ? n : PACK_VECTORS;
    const float *bias = packed->blocks + (size_t)block * pack_tiles_block_size(packed),
                *weights = bias + n_bias * LANES;
    uint16_t own[HEIGHT][CHUNK] __attribute__((aligned(ROW_BYTES)));

    if (work->begun)
        begin_sums(n_bias, work->begun + (size_t)(work->first + row) * work->sums_row + block * PACK_VECTORS * LANES,
                   work->sums_row * sizeof(float));
    else
        begin_sums(n_bias, bias, 0);
    weights += work->from * n * TILE;
    for (int chunk = work->from; chunk < work->to; chunk++, weights += n * TILE)
        add_products(n, packed->cell == KERNEL_GRU && chunk >= work->of_x, inputs_at(work, chunk, row, own), weights);
    end_sums(n_bias, to, stride * sizeof(float), apart);
}

/* A tile's sums on their way: [blocks][vectors][height][LANES]; n_rows new rows from `first` of the call on, which are the
 * last ones of the tile. */
struct sums {
    const float *at;
    int block, first, n_rows, n_blocks;
};

static const float *sums_of(const struct work *work, const struct sums *sums, int block, int vector, int row) {
    int above = work->height - sums->n_rows;
    return sums->at + ((block * PACK_VECTORS + vector) * work->height + above + row) * LANES;
}

static void put_dense(const struct work *work, const struct sums *sums) {
    int units = work->packed->units;
    for (int r = 0; r < sums->n_rows; r++)
        for (int v = 0; v < sums->n_blocks * PACK_VECTORS; v++) {
            int unit = (sums->block * PACK_VECTORS + v) * LANES;
            if (unit < units)
                store_up_to(work->y + (size_t)(sums->first + r) * (size_t)units + unit, units - unit,
                            v_load(sums_of(work, sums, v / PACK_VECTORS, v % PACK_VECTORS, r)));
        }
}

/* n rows times blocks, from the item-th on. */
INLINE void update(enum kernel_cell cell, int n, const struct work *work, const struct sums *sums, int item) {
    vec gates[BATCH][PACK_VECTORS];
    int units = work->packed->units, there[BATCH];
    float *state[BATCH], *y[BATCH];
    EACH_OF(n) {
        int block = (item + i) / sums->n_rows, row = (item + i) % sums->n_rows;
        int unit = (sums->block + block) * LANES;
        UNROLL for (int v = 0; v < PACK_VECTORS; v++) gates[i][v] = v_load(sums_of(work, sums, block, v, row));
        there[i] = units - unit;
        state[i] = work->state[sums->first + row] + unit + (cell == KERNEL_GRU ? 0 : units);
        y[i] = work->y + (size_t)(sums->first + row) * (size_t)units + unit;
    }
    if (cell == KERNEL_GRU)
        gru_update(n, gates, there, state, y);
    else
        lstm_update(n, gates, there, state, y);
}

#define UPDATE_ALL(cell) \
    do { \
        for (; n - item >= BATCH; item += BATCH) \
            update(cell, BATCH, work, sums, item); \
        for (; item < n; item++) \
            update(cell, 1, work, sums, item); \
    } while (0)

static void update_states(const struct work *work, const struct sums *sums) {
    int item = 0, n = sums->n_rows * sums->n_blocks;
    if (work->packed->cell == KERNEL_GRU)
        UPDATE_ALL(KERNEL_GRU);
    else
        UPDATE_ALL(KERNEL_LSTM);
}

/* n_blocks blocks of the rows in hand, from the row-th on; the last tile begins earlier rather than be lower, and does some
 * sums once more. */
static void run_tile(const struct work *work, int row, int block, int n_blocks) {
    float at[SUMS] __attribute__((aligned(ROW_BYTES)));
    int start = row + work->height > work->rows ? work->rows - work->height : row;
    size_t apart = (size_t)(work->height * LANES);

    if (work->sums) {
        float *to = work->sums + (size_t)(work->first + start) * work->sums_row + block * PACK_VECTORS * LANES;
        sum_block(work, start, block, to, work->sums_row, LANES);
        return;
    }
    for (int b = 0; b < n_blocks; b++)
        sum_block(work, start, block + b, at + (size_t)b * PACK_VECTORS * apart, LANES, apart);
    struct sums sums = {at, block, work->first + row, start + work->height - row, n_blocks};
    if (work->packed->cell == KERNEL_DENSE)
        put_dense(work, &sums);
    else
        update_states(work, &sums);
}

static void run(struct work *work, int rows) {
    uint16_t rounded[ROUNDED][CHUNK] __attribute__((aligned(ROW_BYTES)));
    int n_blocks = pack_blocks(work->packed, LANES);

    work->rounded = rounded;
    work->sums_row = kernels_inputs_size(work->packed->units);
    for (; work->first < rows; work->first += work->rows) {
        take_rows(work, rows - work->first);
        int together = work->sums || work->height > BATCH ? 1 : BATCH / work->height;
        for (int b = 0; b < n_blocks; b += together)
            for (int r = 0; r < work->rows; r += HEIGHT)
                run_tile(work, r, b, n_blocks - b < together ? n_blocks - b : together);
    }
    _tile_release();
}

/* ---- the table ---------------------------------------------------------------------------------- */

static void pack(const struct packed *packed, const float *w, const float *u, const float *bias, float *to) {
    if (packed->precision == PRECISION_F32)
        kernels_avx512.pack(packed, w, u, bias, to);
    else
        pack_weights_in_tiles(packed, w, u, bias, to);
}

static void dense(const struct packed *packed, int rows, const float *x, float *y) {
    int of_x = pack_tiles(packed->n_in);
    if (packed->precision == PRECISION_F32)
        kernels_avx512.dense(packed, rows, x, y);
    else
        run(&(struct work){.packed = packed, .x = x, .y = y, .to = of_x, .of_x = of_x}, rows);
}

static void inputs(const struct packed *packed, int rows, const float *x, float *sums) {
    int of_x = pack_tiles(packed->n_in);
    if (packed->precision == PRECISION_F32)
        kernels_avx512.inputs(packed, rows, x, sums);
    else
        run(&(struct work){.packed = packed, .x = x, .sums = sums, .to = of_x, .of_x = of_x}, rows);
}

static void cell(const struct packed *packed, int rows, const float *x, const float *sums, float *const *state,
                 float *y) {
    int of_x = pack_tiles(packed->n_in);
    if (packed->precision == PRECISION_F32) {
        (packed->cell == KERNEL_LSTM ? kernels_avx512.lstm : kernels_avx512.gru)(packed, rows, x, sums, state, y);
        return;
    }
    struct work work = {.packed = packed,
                        .x = x,
                        .begun = sums,
                        .state = state,
                        .y = y,
                        .from = sums ? of_x : 0,
                        .to = of_x + pack_tiles(packed->units),
                        .of_x = of_x};
    run(&work, rows);
    put_hidden(rows, packed->units, state, y);
}

static void accumulate(int rows, int n_in, int n_out, const float *const *x, size_t w_stride, const float *w,
                       size_t y_stride, float *y) {
    kernels_avx512.accumulate(rows, n_in, n_out, x, w_stride, w, y_stride, y);
}

static void axpy(int n, double a, const double *x, double *y) {
    kernels_avx512.axpy(n, a, x, y);
}

static void activate(enum activation activation, size_t rows, size_t width, float *x) {
    kernels_avx512.activate(activation, rows, width, x);
}

const struct kernels kernels_amx = {
    .level = "amx",
    .pack = pack,
    .dense = dense,
    .accumulate = accumulate,
    .inputs = inputs,
    .lstm = cell,
    .gru = cell,
    .axpy = axpy,
    .activate = activate,
};
