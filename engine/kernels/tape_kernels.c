/*
 * The arithmetic of tape_kernels.h in C with vectors of the compiler's. Compiled once for each level, with its flags and
 * -ffp-contract=fast: LANES floats a vector, WIDE vectors of outputs at once.
 *
 * A tile is up to TILE_ROWS rows by WIDE vectors of outputs, whose sums stay in registers over all k: for each k so many
 * vectors of b are loaded, and as many elements of a spread. b is packed into panels of WIDE vectors, which a tile reads
 * from one end to the other.
 */
#ifndef LEVEL
#define LEVEL plain
#define LANES 4
#define WIDE  2
#endif

#include "engine/kernels/tape_kernels.h"
#include "engine/kernels/unroll.h"

#include <stdint.h>
#include <string.h>
#if LANES > 4
#include <immintrin.h>
#endif

enum {
    TILE_ROWS = 6,
    PANEL = WIDE * LANES,
    BLOCK = 256, /* of k that are packed at once, where b is not: a block of a panel stays in the caches */
};

typedef float vector __attribute__((vector_size(4 * LANES)));
typedef uint32_t integers __attribute__((vector_size(4 * LANES)));

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
        UNROLL for (int j = 0; j < wide; j++) {
            sum[i][j] = from ? load(from + j * LANES) : (vector){0};
            /* on a tape it is far away; it comes while the sums are made */
            __builtin_prefetch(tile->c + (size_t)i * tile->c_stride + j * LANES, 1);
        }
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
    int n_tiles = (m + TILE_ROWS - 1) / TILE_ROWS; /* of about as many rows each */
    for (int i = 0, rows; i < m; i += rows, n_tiles--) {
        rows = (m - i + n_tiles - 1) / n_tiles;
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

static void product(int m, int n, int k, struct matrix a, struct matrix b, const float *row, bool keep, float *c,
                    int c_stride) {
    _Alignas(64) float panel[BLOCK * PANEL];
    for (int j = 0; j < n; j += PANEL)
        for (int from = 0; from < k || from == 0; from += BLOCK) {
            int columns = least(n - j, PANEL), some = least(k - from, BLOCK);
            struct matrix part = {b.at + (size_t)from * b.row + (size_t)j * b.column, b.row, b.column};
            pack_panel(some, columns, part, panel);
            bool begins = from == 0 && row;
            struct tile tile = {.from = begins             ? row + j
                                        : keep || from > 0 ? c + j
                                                           : NULL,
                                .from_stride = begins ? 0 : (size_t)c_stride,
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

/* a where it is less (more) than b, else b: also where either is NaN. */
INLINE vector lesser(vector a, vector b) {
#if LANES == 16
    return (vector)_mm512_min_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (vector)_mm256_min_ps((__m256)a, (__m256)b);
#else
    for (int i = 0; i < LANES; i++)
        b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
#endif
}

INLINE vector greater(vector a, vector b) {
#if LANES == 16
    return (vector)_mm512_max_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (vector)_mm256_max_ps((__m256)a, (__m256)b);
#else
    for (int i = 0; i < LANES; i++)
        b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
#endif
}

/* 2^y - 1, |y| up to 30 and beyond that as there; near zero with all its digits. y = n + r, n whole, and (2^r - 1) / r by least
 * squares towards the least worst error, 1.1e-7 of 2^r. */
INLINE vector power_less_1(vector y) {
    const float round_by = 0x1.8p23f; /* adding it leaves an integer in the low bits of the mantissa */
    const vector most = (vector){0} + 30.0f;

    y = greater(-most, lesser(most, y));
    vector shifted = y + round_by, r = y - (shifted - round_by);
    vector q = 0x1.5caadap-10f * r + 0x1.3cdb4p-7f;
    q = q * r + 0x1.c6b3a6p-5f;
    q = q * r + 0x1.ebf9f2p-3f;
    q = q * r + 0x1.62e43p-1f;
    vector power = (vector)(((integers)shifted + 127u) << 23);
    return power * (q * r) + (power - 1.0f);
}

/* The first n lanes. */
INLINE vector load_some(const float *from, size_t n) {
    vector v = {0};
    memcpy(&v, from, n * sizeof *from);
    return v;
}

INLINE void store_some(float *to, size_t n, vector v) {
    memcpy(to, &v, n * sizeof *to);
}

/*
 *     sigmoid(x) = 1 / (d + 2), d = e^-x - 1        tanh(x) = d / (d + 2), d = e^2x - 1
 *
 * The four of a unit come from one division, of one by the product of all d + 2. Here and below: n units that lie side by side,
 * a vector of them or what is left of a row. Gates and outputs are made by loops of their own, as else too few units would be
 * under way at once to hide the latencies.
 */
static const float log2_e = 0x1.715476p0f;

INLINE void gates_forward(size_t units, size_t n, float *gates, const float *c_before, float *c) {
    vector over_i = power_less_1(load_some(gates, n) * -log2_e) + 2.0f;
    vector over_f = power_less_1(load_some(gates + units, n) * -log2_e) + 2.0f;
    vector d = power_less_1(load_some(gates + 2 * units, n) * (2.0f * log2_e)), over_g = d + 2.0f;
    vector over_o = power_less_1(load_some(gates + 3 * units, n) * -log2_e) + 2.0f;
    vector over_i_f = over_i * over_f, over_g_o = over_g * over_o, all = 1.0f / (over_i_f * over_g_o);
    vector i_f = all * over_g_o, g_o = all * over_i_f;
    vector i = i_f * over_f, f = i_f * over_i, g = g_o * over_o * d, o = g_o * over_g;
    vector after = f * load_some(c_before, n) + i * g;
    store_some(gates, n, i);
    store_some(gates + units, n, f);
    store_some(gates + 2 * units, n, g);
    store_some(gates + 3 * units, n, o);
    store_some(c, n, after);
}

INLINE void output_forward(size_t n, const float *o, const float *c, float *tanh_c, float *h) {
    vector d = power_less_1(load_some(c, n) * (2.0f * log2_e)), activated = d / (d + 2.0f);
    store_some(tanh_c, n, activated);
    store_some(h, n, load_some(o, n) * activated);
}

static void lstm_forward(const struct lstm_gates *step, float *c, float *h) {
    size_t n = (size_t)step->units;
    for (size_t r = 0; r < (size_t)step->rows; r++) {
        float *gates = step->gates + 4 * r * n;
        size_t j = 0, at = r * n;
        for (; j + LANES <= n; j += LANES, at += LANES)
            gates_forward(n, LANES, gates + j, step->c_before + at, c + at);
        if (j < n)
            gates_forward(n, n - j, gates + j, step->c_before + at, c + at);
        for (j = 0, at = r * n; j + LANES <= n; j += LANES, at += LANES)
            output_forward(LANES, gates + 3 * n + j, c + at, step->tanh_c + at, h + at);
        if (j < n)
            output_forward(n - j, gates + 3 * n + j, c + at, step->tanh_c + at, h + at);
    }
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

/* Asks for the row after the next, of what the forward pass has left on the tape, before it is needed. */
static void ask_ahead(const struct lstm_gates *step, size_t r) {
    enum { AHEAD = 2, LINE = 16 };
    size_t n = (size_t)step->units;
    if (r + AHEAD >= (size_t)step->rows)
        return;
    for (size_t j = 0; j < 4 * n; j += LINE)
        __builtin_prefetch(step->gates + 4 * (r + AHEAD) * n + j);
    for (size_t j = 0; j < n; j += LINE) {
        __builtin_prefetch(step->c_before + (r + AHEAD) * n + j);
        __builtin_prefetch(step->tanh_c + (r + AHEAD) * n + j);
    }
}

static void lstm_backward(const struct lstm_gates *step, const float *dh, float *dc, float *dz) {
    size_t n = (size_t)step->units;
    for (size_t r = 0; r < (size_t)step->rows; r++) {
        ask_ahead(step, r);
        backward_row(n, step->gates + 4 * r * n, step->c_before + r * n, step->tanh_c + r * n, dh + r * n, dc + r * n,
                     dz + 4 * r * n);
    }
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
