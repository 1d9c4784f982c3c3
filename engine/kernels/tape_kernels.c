/*
 * The arithmetic of tape_kernels.h in C with vectors of the compiler's. Compiled once for each level, with its flags and
 * -ffp-contract=fast: LANES floats a vector, WIDE vectors of outputs at once.
 *
 * A tile is up to TILE_ROWS rows by WIDE vectors of outputs, whose sums stay in registers over all k: for each k so many
 * vectors of b are loaded, and as many elements of a spread. b is packed into panels of WIDE vectors, which a tile reads
 * from one end to the other.
 */
#include "engine/kernels/tape_kernels.h"

#include "engine/kernels/activations.h"

#include <string.h>

#ifndef LEVEL
#define LEVEL plain
#define LANES 4
#define WIDE  2
#endif

enum {
    TILE_ROWS = 6,
    PANEL = WIDE * LANES,
    BLOCK = 256, /* of k that are packed at once, where b is not: a block of a panel stays in the caches */
};

typedef float vector __attribute__((vector_size(4 * LANES)));

INLINE vector load(const float *from) {
    vector v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(float *to, vector v) {
    memcpy(to, &v, sizeof v);
}

static int least(int a, int b) {
    return a < b ? a : b;
}

/* ---- tiles -------------------------------------------------------------------------------------- */

/* Where a tile's sums begin: with a row, or (step 0 or not) with what is there; `from` NULL: with zero. */
struct tile {
    const float *from;
    size_t from_stride;
    float *c;
    size_t c_stride;
    int n_terms;
    struct {
        int k;
        struct matrix a; /* from the tile's first row on */
        const float *b;  /* of the panel */
    } terms[PRODUCT_TERMS];
};

/* rows and wide are constants once it is inlined. */
INLINE void tile_of(int rows, int wide, const struct tile *tile) {
    vector sum[TILE_ROWS][WIDE];
    UNROLL for (int i = 0; i < rows; i++) {
        const float *from = tile->from ? tile->from + (size_t)i * tile->from_stride : NULL;
        UNROLL for (int j = 0; j < wide; j++) sum[i][j] = from ? load(from + j * LANES) : (vector){0};
    }
    for (int t = 0; t < tile->n_terms; t++) {
        size_t row = tile->terms[t].a.row, column = tile->terms[t].a.column;
        const float *b = tile->terms[t].b, *a0 = tile->terms[t].a.at;
        const float *a1 = a0 + row, *a2 = a1 + row, *a3 = a2 + row, *a4 = a3 + row, *a5 = a4 + row;
        int k = tile->terms[t].k;
        do {
            vector w[WIDE];
            UNROLL for (int j = 0; j < wide; j++) w[j] = load(b + j * LANES);
            UNROLL for (int i = 0; i < rows; i++) {
                float x = i == 0 ? *a0 : i == 1 ? *a1 : i == 2 ? *a2 : i == 3 ? *a3 : i == 4 ? *a4 : *a5;
                UNROLL for (int j = 0; j < wide; j++) sum[i][j] += x * w[j];
            }
            b += wide * LANES;
            a0 += column, a1 += column, a2 += column, a3 += column, a4 += column, a5 += column;
        } while (--k > 0);
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < wide; j++) store(tile->c + (size_t)i * tile->c_stride + j * LANES, sum[i][j]);
    }
}

/* One function for each size, so that each has its registers. */
#define TILE(rows, wide) \
    static void tile_##rows##_##wide(const struct tile *tile) { \
        tile_of(rows, wide, tile); \
    }
#define TILES(wide) TILE(1, wide) TILE(2, wide) TILE(3, wide) TILE(4, wide) TILE(5, wide) TILE(6, wide)
#define NAMES(wide) \
    { tile_1_##wide, tile_2_##wide, tile_3_##wide, tile_4_##wide, tile_5_##wide, tile_6_##wide }

TILES(1)
TILES(2)
#if WIDE == 4
TILES(3)
TILES(4)
#endif

static void (*const tiles[WIDE][TILE_ROWS])(const struct tile *tile) = {
    NAMES(1),
    NAMES(2),
#if WIDE == 4
    NAMES(3),
    NAMES(4),
#endif
};

/* ---- panels ------------------------------------------------------------------------------------- */

/* The columns of a panel and what their vectors hold. */
static int padded(int columns) {
    return (columns + LANES - 1) / LANES * LANES;
}

/* `columns` columns of b, up to a panel. */
static void pack_panel(int k, int columns, struct matrix b, float *panel) {
    size_t width = (size_t)padded(columns), n = (size_t)columns;
    if (b.column == 1) {
        for (int i = 0; i < k; i++, panel += width, b.at += b.row) {
            if (columns == PANEL) {
                UNROLL for (int j = 0; j < WIDE; j++) store(panel + j * LANES, load(b.at + j * LANES));
                continue;
            }
            memcpy(panel, b.at, n * sizeof *panel);
            memset(panel + n, 0, (width - n) * sizeof *panel);
        }
        return;
    }
    for (int i = 0; i < k; i++, panel += width) {
        for (size_t j = 0; j < n; j++)
            panel[j] = b.at[(size_t)i * b.row + j * b.column];
        memset(panel + n, 0, (width - n) * sizeof *panel);
    }
}

static void pack(int k, int n, struct matrix b, float *packed) {
    for (int j = 0; j < n; j += PANEL) {
        int columns = least(n - j, PANEL);
        pack_panel(k, columns, b, packed);
        packed += (size_t)k * (size_t)padded(columns);
        b.at += PANEL * b.column;
    }
}

/* A tile whose last vector is not full: by way of a whole one. */
static void tile_in_part(const struct tile *tile, int rows, int columns) {
    float whole[TILE_ROWS * PANEL] = {0};
    struct tile full = *tile;
    for (int i = 0; tile->from && i < rows; i++)
        memcpy(whole + i * PANEL, tile->from + (size_t)i * tile->from_stride, (size_t)columns * sizeof *whole);
    full.from = full.c = whole;
    full.from_stride = full.c_stride = PANEL;
    tiles[padded(columns) / LANES - 1][rows - 1](&full);
    for (int i = 0; i < rows; i++)
        memcpy(tile->c + (size_t)i * tile->c_stride, whole + i * PANEL, (size_t)columns * sizeof *whole);
}

/* The columns of one panel for m rows; tile: as the first of them has it. */
static void panel_of(int m, int columns, struct tile *tile) {
    for (int i = 0, rows; i < m; i += rows) {
        rows = least(m - i, TILE_ROWS);
        if (columns % LANES == 0)
            tiles[columns / LANES - 1][rows - 1](tile);
        else
            tile_in_part(tile, rows, columns);
        if (tile->from)
            tile->from += (size_t)rows * tile->from_stride;
        tile->c += (size_t)rows * tile->c_stride;
        for (int t = 0; t < tile->n_terms; t++)
            tile->terms[t].a.at += (size_t)rows * tile->terms[t].a.row;
    }
}

/* ---- products ----------------------------------------------------------------------------------- */

static void multiply(int m, int n, int n_terms, const struct product_term *terms, const float *row, bool keep,
                     float *c, int c_stride) {
    for (int j = 0; j < n; j += PANEL) {
        struct tile tile = {.from = row    ? row + j
                                    : keep ? c + j
                                           : NULL,
                            .from_stride = row ? 0 : (size_t)c_stride,
                            .c = c + j,
                            .c_stride = (size_t)c_stride};
        for (int t = 0; t < n_terms; t++)
            if (terms[t].k > 0) {
                tile.terms[tile.n_terms].k = terms[t].k;
                tile.terms[tile.n_terms].a = terms[t].a;
                tile.terms[tile.n_terms++].b = terms[t].packed + (size_t)j * (size_t)terms[t].k;
            }
        panel_of(m, least(n - j, PANEL), &tile);
    }
}

static void product(int m, int n, int k, struct matrix a, struct matrix b, bool keep, float *c, int c_stride) {
    _Alignas(64) float panel[BLOCK * PANEL];
    for (int j = 0; j < n; j += PANEL)
        for (int from = 0; from < k || from == 0; from += BLOCK) {
            int columns = least(n - j, PANEL), some = least(k - from, BLOCK);
            struct matrix part = {b.at + (size_t)from * b.row + (size_t)j * b.column, b.row, b.column};
            pack_panel(some, columns, part, panel);
            struct tile tile = {.from = keep || from > 0 ? c + j : NULL,
                                .from_stride = (size_t)c_stride,
                                .c = c + j,
                                .c_stride = (size_t)c_stride,
                                .n_terms = some > 0,
                                .terms = {{some, {a.at + (size_t)from * a.column, a.row, a.column}, panel}}};
            panel_of(m, columns, &tile);
        }
}

static void gradients(int n, int k, struct matrix d, int n_of, const struct product_gradient *of) {
    _Alignas(64) float panel[BLOCK * PANEL];
    for (int from = 0; from < k; from += BLOCK)
        for (int j = 0; j < n; j += PANEL) {
            int columns = least(n - j, PANEL), some = least(k - from, BLOCK);
            struct matrix part = {d.at + (size_t)from * d.row + (size_t)j * d.column, d.row, d.column};
            pack_panel(some, columns, part, panel);
            for (int i = 0; i < n_of; i++) {
                struct matrix a = of[i].a;
                struct tile tile = {.from = of[i].c + j,
                                    .from_stride = (size_t)of[i].c_stride,
                                    .c = of[i].c + j,
                                    .c_stride = (size_t)of[i].c_stride,
                                    .n_terms = 1,
                                    .terms = {{some, {a.at + (size_t)from * a.row, a.column, a.row}, panel}}};
                panel_of(of[i].m, columns, &tile);
            }
        }
}

/* ---- between them ------------------------------------------------------------------------------- */

static void forward_row(size_t n, float *restrict gates, const float *restrict c_before, float *restrict tanh_c,
                        float *restrict c, float *restrict h) {
    float *restrict at_i = gates, *restrict at_f = gates + n, *restrict at_g = gates + 2 * n,
                    *restrict at_o = gates + 3 * n;
    for (size_t j = 0; j < n; j++) {
        float i = activation_sigmoid(at_i[j]), f = activation_sigmoid(at_f[j]), g = activation_tanh(at_g[j]);
        float o = activation_sigmoid(at_o[j]), after = f * c_before[j] + i * g, activated = activation_tanh(after);
        at_i[j] = i;
        at_f[j] = f;
        at_g[j] = g;
        at_o[j] = o;
        c[j] = after;
        tanh_c[j] = activated;
        h[j] = o * activated;
    }
}

static void lstm_forward(const struct lstm_gates *step, float *c, float *h) {
    size_t n = (size_t)step->units;
    for (size_t r = 0; r < (size_t)step->rows; r++)
        forward_row(n, step->gates + 4 * r * n, step->c_before + r * n, step->tanh_c + r * n, c + r * n, h + r * n);
}

static void backward_row(size_t n, const float *restrict gates, const float *restrict c_before,
                         const float *restrict tanh_c, const float *restrict dh, float *restrict dc,
                         float *restrict dz) {
    for (size_t j = 0; j < n; j++) {
        float i = gates[j], f = gates[n + j], g = gates[2 * n + j], o = gates[3 * n + j], a = tanh_c[j];
        float d = dc[j] + dh[j] * o * (1 - a * a);
        dz[j] = d * g * i * (1 - i);
        dz[n + j] = d * c_before[j] * f * (1 - f);
        dz[2 * n + j] = d * i * (1 - g * g);
        dz[3 * n + j] = dh[j] * a * o * (1 - o);
        dc[j] = d * f;
    }
}

static void lstm_backward(const struct lstm_gates *step, const float *dh, float *dc, float *dz) {
    size_t n = (size_t)step->units;
    for (size_t r = 0; r < (size_t)step->rows; r++)
        backward_row(n, step->gates + 4 * r * n, step->c_before + r * n, step->tanh_c + r * n, dh + r * n, dc + r * n,
                     dz + 4 * r * n);
}

static void adam(size_t n, float alpha, float blend_1, float blend_2, float epsilon, const float *restrict grads,
                 float *restrict m, float *restrict v, float *restrict params) {
    for (size_t i = 0; i < n; i++) {
        m[i] += (grads[i] - m[i]) * blend_1;
        v[i] += (grads[i] * grads[i] - v[i]) * blend_2;
        params[i] -= alpha * m[i] / (__builtin_sqrtf(v[i]) + epsilon);
    }
}

#define NAME_OF(level) tape_kernels_##level
#define NAME(level)    NAME_OF(level)
#define TEXT_OF(level) #level
#define TEXT(level)    TEXT_OF(level)

extern const struct tape_kernels NAME(LEVEL);
const struct tape_kernels NAME(LEVEL) = {
    .level = TEXT(LEVEL),
    .pack = pack,
    .multiply = multiply,
    .product = product,
    .gradients = gradients,
    .lstm_forward = lstm_forward,
    .lstm_backward = lstm_backward,
    .adam = adam,
};
