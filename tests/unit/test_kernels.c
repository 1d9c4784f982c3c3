#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/kernels/kernels.h"
#include "tests/support/floats.h"

#include <stdio.h>

/* ---- activations -------------------------------------------------------------------------------- */

enum {
    BLOCK = 4096,
};

struct worst {
    double error;
    float at;
    int outside, nan_lost, nan_made; /* how often */
};

static double exact(enum activation activation, double x) {
    return activation == ACTIVATION_TANH ? tanh(x) : 1 / (1 + exp(-x));
}

static void look_at(struct worst *worst, enum activation activation, float x, float y) {
    if (isnan(x) || isnan(y)) {
        worst->nan_lost += !isnan(y);
        worst->nan_made += !isnan(x);
        return;
    }
    double error = fabs((double)y - exact(activation, (double)x));
    if (error > worst->error) {
        worst->error = error;
        worst->at = x;
    }
    worst->outside += y > 1 || y < (activation == ACTIVATION_TANH ? -1.0f : 0.0f);
}

/* Every stride-th of all 2^32 floats. */
static struct worst sweep(const struct kernels *kernels, enum activation activation, uint64_t stride) {
    static float x[BLOCK], y[BLOCK];
    struct worst worst = {0};
    size_t n = 0;

    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride) {
        uint32_t word = (uint32_t)bits;
        memcpy(&x[n++], &word, sizeof word);
        if (n < BLOCK && bits + stride <= UINT32_MAX)
            continue;
        memcpy(y, x, sizeof y);
        kernels->activate(activation, 1, n, y);
        for (size_t i = 0; i < n; i++)
            look_at(&worst, activation, x[i], y[i]);
        n = 0;
    }
    return worst;
}

static void check_sweep(const char *name, enum activation activation) {
    const struct kernels *kernels = kernels_choose();
    /* In software a sweep takes a hundred times as long. */
    uint64_t stride = kernels == kernels_at(0) ? 99991 : 127;
    struct worst worst = sweep(kernels, activation, stride);

    print_message("%s: worst error %.3g at %.9g, over every %uth float\n", name, worst.error, (double)worst.at,
                  (unsigned)stride);
    assert_true(worst.error <= 3e-7);
    assert_true(worst.error > 0);
    assert_int_equal(worst.outside, 0);
    assert_int_equal(worst.nan_lost, 0);
    assert_int_equal(worst.nan_made, 0);
}

static void test_tanh_over_all_floats(void **state) {
    (void)state;
    check_sweep("tanh", ACTIVATION_TANH);
}

static void test_sigmoid_over_all_floats(void **state) {
    (void)state;
    check_sweep("sigmoid", ACTIVATION_SIGMOID);
}

static float activated(const struct kernels *kernels, enum activation activation, float x) {
    kernels->activate(activation, 1, 1, &x);
    return x;
}

static void test_activations_of_special_values(void **state) {
    (void)state;
    for (int i = 0; kernels_at(i); i++) {
        const struct kernels *k = kernels_at(i);
        assert_true(activated(k, ACTIVATION_TANH, INFINITY) == 1.0f);
        assert_true(activated(k, ACTIVATION_TANH, -INFINITY) == -1.0f);
        assert_true(activated(k, ACTIVATION_TANH, 1e-30f) == 1e-30f);
        assert_true(activated(k, ACTIVATION_TANH, -1e-44f) == -1e-44f);
        assert_true(activated(k, ACTIVATION_TANH, 0.0f) == 0.0f);
        assert_true(signbit(activated(k, ACTIVATION_TANH, -0.0f)));
        assert_true(activated(k, ACTIVATION_SIGMOID, INFINITY) == 1.0f);
        assert_true(activated(k, ACTIVATION_SIGMOID, 0.0f) == 0.5f);
        assert_true(activated(k, ACTIVATION_SIGMOID, -INFINITY) < 1e-37f);
        assert_true(activated(k, ACTIVATION_RELU, INFINITY) == INFINITY);
        assert_true(activated(k, ACTIVATION_RELU, -3.0f) == 0.0f);
        assert_true(activated(k, ACTIVATION_RELU, 3.5f) == 3.5f);
        assert_true(activated(k, ACTIVATION_LINEAR, -3.5f) == -3.5f);
        for (enum activation a = ACTIVATION_LINEAR; a < N_ACTIVATIONS; a++)
            assert_true(isnan(activated(k, a, NAN)));
        for (float x = 0.01f; x < 20; x *= 1.1f)
            assert_true(activated(k, ACTIVATION_TANH, -x) == -activated(k, ACTIVATION_TANH, x));
    }
}

/* Also whatever the place in the array: vectorized or left over. */
static void test_activations_agree_between_levels(void **state) {
    (void)state;
    enum { N = 1003 };
    struct rng rng = {.state = 5};
    for (enum activation a = ACTIVATION_LINEAR; a < N_ACTIVATIONS; a++) {
        float *x = floats_random(&rng, N, 12), *base = floats_copy(N, x);
        kernels_at(0)->activate(a, 1, N, base);
        for (int i = 0; kernels_at(i); i++) {
            float *y = floats_copy(N, x);
            kernels_at(i)->activate(a, 1, N, y);
            assert_true(floats_same(N, y, base));
            for (size_t at = 0; at < N && a != ACTIVATION_SOFTMAX; at++)
                assert_true(activated(kernels_at(i), a, x[at]) == base[at]);
            free(y);
        }
        free(x);
        free(base);
    }
}

/* ---- cells -------------------------------------------------------------------------------------- */

struct shape {
    int rows, n_in, n_out;
};

/* Tiles are 64, 16, 8, 4 and 1 outputs wide and 4 or 1 rows high: every remainder occurs. */
static const struct shape shapes[] = {
    {1, 1, 1},   {2, 3, 1},   {3, 1, 2},  {4, 5, 3},    {5, 2, 4},    {7, 8, 5},     {8, 7, 7},
    {9, 4, 8},   {4, 6, 9},   {6, 9, 12}, {11, 12, 15}, {13, 8, 16},  {5, 17, 17},   {64, 8, 32},
    {6, 31, 33}, {5, 33, 63}, {5, 3, 65}, {2, 64, 100}, {1, 300, 67}, {5, 100, 129}, {1, 2, 300},
};

enum {
    N_SHAPES = sizeof shapes / sizeof *shapes,
    GUARD = 16, /* floats that no kernel may touch */
    STEPS = 3,
};

static const float guard_value = -123.25f;

static float *guarded_new(size_t n) {
    float *x = floats_new(n + GUARD);
    for (size_t i = n; i < n + GUARD; i++)
        x[i] = guard_value;
    return x;
}

static void guarded_check(size_t n, const float *x) {
    for (size_t i = n; i < n + GUARD; i++)
        assert_true(x[i] == guard_value);
}

struct dense_case {
    struct shape shape;
    float *w, *bias, *x;
};

static struct dense_case dense_case_new(struct rng *rng, struct shape shape) {
    size_t n_in = (size_t)shape.n_in, n_out = (size_t)shape.n_out;
    return (struct dense_case){
        .shape = shape,
        .w = floats_random(rng, n_in * n_out, 1),
        .bias = floats_random(rng, n_out, 1),
        .x = floats_random(rng, (size_t)shape.rows * n_in, 2),
    };
}

static void dense_case_free(struct dense_case *c) {
    free(c->w);
    free(c->bias);
    free(c->x);
}

/* Rows [from, to) in one call; the caller frees. */
static float *dense_run(const struct dense_case *c, const struct kernels *kernels, int from, int to) {
    size_t n = (size_t)(to - from) * (size_t)c->shape.n_out;
    float *y = guarded_new(n);
    for (size_t i = 0; i < n; i++)
        y[i] = NAN; /* what was there does not matter */
    kernels->dense(to - from, c->shape.n_in, c->shape.n_out, c->w, c->bias,
                   c->x + (size_t)from * (size_t)c->shape.n_in, y);
    guarded_check(n, y);
    return y;
}

/* The sum as kernels.h words it. */
static void test_dense_sums_in_the_documented_order(void **state) {
    (void)state;
    struct rng rng = {.state = 1};
    for (int i = 0; i < N_SHAPES; i++) {
        struct dense_case c = dense_case_new(&rng, shapes[i]);
        size_t rows = (size_t)c.shape.rows, n_in = (size_t)c.shape.n_in, n_out = (size_t)c.shape.n_out;
        float *expected = floats_new(rows * n_out);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < n_out; j++) {
                float sum = c.bias[j];
                for (size_t k = 0; k < n_in; k++)
                    sum = fmaf(c.x[r * n_in + k], c.w[k * n_out + j], sum);
                expected[r * n_out + j] = sum;
            }
        for (int level = 0; kernels_at(level); level++) {
            float *y = dense_run(&c, kernels_at(level), 0, c.shape.rows);
            assert_true(floats_same(rows * n_out, y, expected));
            free(y);
        }
        free(expected);
        dense_case_free(&c);
    }
}

static void test_dense_of_one_row_as_of_many(void **state) {
    (void)state;
    struct rng rng = {.state = 2};
    for (int i = 0; i < N_SHAPES; i++) {
        struct dense_case c = dense_case_new(&rng, shapes[i]);
        size_t n_out = (size_t)c.shape.n_out;
        float *all = dense_run(&c, kernels_choose(), 0, c.shape.rows);
        for (int r = 0; r < c.shape.rows; r++) {
            float *one = dense_run(&c, kernels_choose(), r, r + 1);
            assert_true(floats_same(n_out, one, all + (size_t)r * n_out));
            free(one);
        }
        free(all);
        dense_case_free(&c);
    }
}

/* Parts of matrices: rows of w and y are further apart than they are wide, and what lies between stays. */
static void test_accumulate_adds_in_order(void **state) {
    (void)state;
    struct rng rng = {.state = 8};
    for (int i = 0; i < N_SHAPES; i++) {
        size_t rows = (size_t)shapes[i].rows, n_in = (size_t)shapes[i].n_in, n_out = (size_t)shapes[i].n_out;
        size_t w_stride = n_out + 3, y_stride = n_out + 5;
        float *w = floats_random(&rng, (n_in - 1) * w_stride + n_out, 1), *x = floats_random(&rng, rows * n_in, 2);
        float *before = floats_random(&rng, rows * y_stride, 1), *expected = floats_copy(rows * y_stride, before);
        const float *x_at[64];
        for (size_t r = 0; r < rows; r++) {
            x_at[r] = x + (rows - 1 - r) * n_in;
            for (size_t j = 0; j < n_out; j++)
                for (size_t k = 0; k < n_in; k++)
                    expected[r * y_stride + j] = fmaf(x_at[r][k], w[k * w_stride + j], expected[r * y_stride + j]);
        }
        for (int level = 0; kernels_at(level); level++) {
            float *y = floats_copy((rows - 1) * y_stride + n_out, before);
            kernels_at(level)->accumulate((int)rows, (int)n_in, (int)n_out, x_at, w_stride, w, y_stride, y);
            assert_true(floats_same((rows - 1) * y_stride + n_out, y, expected));
            free(y);
        }
        free(w);
        free(x);
        free(before);
        free(expected);
    }
}

static void test_dense_without_bias(void **state) {
    (void)state;
    struct rng rng = {.state = 9};
    for (int i = 0; i < N_SHAPES; i++) {
        struct dense_case c = dense_case_new(&rng, shapes[i]);
        size_t n = (size_t)c.shape.rows * (size_t)c.shape.n_out;
        memset(c.bias, 0, (size_t)c.shape.n_out * sizeof *c.bias);
        float *with = dense_run(&c, kernels_choose(), 0, c.shape.rows), *bias = c.bias;
        c.bias = NULL;
        float *without = dense_run(&c, kernels_choose(), 0, c.shape.rows);
        c.bias = bias;
        assert_true(floats_same(n, with, without));
        free(with);
        free(without);
        dense_case_free(&c);
    }
}

struct lstm_case {
    struct shape shape; /* n_out: hidden */
    float *w, *u, *bias, *x, *start;
};

static struct lstm_case lstm_case_new(struct rng *rng, struct shape shape) {
    size_t n_in = (size_t)shape.n_in, hidden = (size_t)shape.n_out, rows = (size_t)shape.rows;
    return (struct lstm_case){
        .shape = shape,
        .w = floats_random(rng, n_in * 4 * hidden, 0.7),
        .u = floats_random(rng, hidden * 4 * hidden, 0.7),
        .bias = floats_random(rng, 4 * hidden, 1),
        .x = floats_random(rng, STEPS * rows * n_in, 2),
        .start = floats_random(rng, rows * 2 * hidden, 1),
    };
}

static void lstm_case_free(struct lstm_case *c) {
    free(c->w);
    free(c->u);
    free(c->bias);
    free(c->x);
    free(c->start);
}

/* STEPS steps of rows [from, to): their states, each in an allocation of its own, and the latest y, one
 * after the other [to - from x 3 hidden]; the caller frees. */
static float *lstm_run(const struct lstm_case *c, const struct kernels *kernels, int from, int to) {
    size_t n_in = (size_t)c->shape.n_in, hidden = (size_t)c->shape.n_out, rows = (size_t)(to - from);
    float *results = floats_new(rows * 3 * hidden), *y = guarded_new(rows * hidden);
    float *gates = guarded_new(KERNELS_ROWS * 4 * hidden), *state[64];

    for (size_t r = 0; r < rows; r++) {
        state[r] = guarded_new(2 * hidden);
        memcpy(state[r], c->start + ((size_t)from + r) * 2 * hidden, 2 * hidden * sizeof(float));
    }
    for (size_t t = 0; t < STEPS; t++) {
        float *x = floats_copy(rows * n_in, c->x + (t * (size_t)c->shape.rows + (size_t)from) * n_in);
        kernels->lstm(to - from, c->shape.n_in, c->shape.n_out, c->w, c->u, c->bias, x, state, y, gates);
        free(x);
    }
    for (size_t r = 0; r < rows; r++) {
        memcpy(results + r * 3 * hidden, state[r], 2 * hidden * sizeof *y);
        memcpy(results + r * 3 * hidden + 2 * hidden, y + r * hidden, hidden * sizeof *y);
        guarded_check(2 * hidden, state[r]);
        free(state[r]);
    }
    guarded_check(rows * hidden, y);
    guarded_check(KERNELS_ROWS * 4 * hidden, gates);
    free(y);
    free(gates);
    return results;
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* h then c of one row after STEPS steps, in doubles. */
static void lstm_exact(const struct lstm_case *c, size_t row, double *h, double *cell) {
    size_t n_in = (size_t)c->shape.n_in, hidden = (size_t)c->shape.n_out, rows = (size_t)c->shape.rows;
    double z[4 * 300];

    for (size_t j = 0; j < hidden; j++) {
        h[j] = (double)c->start[row * 2 * hidden + j];
        cell[j] = (double)c->start[row * 2 * hidden + hidden + j];
    }
    for (size_t t = 0; t < STEPS; t++) {
        const float *x = c->x + (t * rows + row) * n_in;
        for (size_t j = 0; j < 4 * hidden; j++) {
            z[j] = (double)c->bias[j];
            for (size_t k = 0; k < n_in; k++)
                z[j] += (double)x[k] * (double)c->w[k * 4 * hidden + j];
            for (size_t k = 0; k < hidden; k++)
                z[j] += h[k] * (double)c->u[k * 4 * hidden + j];
        }
        for (size_t j = 0; j < hidden; j++) {
            cell[j] = sigmoid(z[hidden + j]) * cell[j] + sigmoid(z[j]) * tanh(z[2 * hidden + j]);
            h[j] = sigmoid(z[3 * hidden + j]) * tanh(cell[j]);
        }
    }
}

static void test_lstm_is_the_equation(void **state) {
    (void)state;
    struct rng rng = {.state = 3};
    double worst = 0;
    for (int i = 0; i < N_SHAPES; i++) {
        struct lstm_case c = lstm_case_new(&rng, shapes[i]);
        size_t hidden = (size_t)c.shape.n_out;
        float *results = lstm_run(&c, kernels_choose(), 0, c.shape.rows);
        for (size_t r = 0; r < (size_t)c.shape.rows; r++) {
            double h[300], cell[300];
            lstm_exact(&c, r, h, cell);
            for (size_t j = 0; j < hidden; j++) {
                worst = fmax(worst, fabs((double)results[r * 3 * hidden + j] - h[j]));
                worst = fmax(worst, fabs((double)results[r * 3 * hidden + hidden + j] - cell[j]));
                assert_true(results[r * 3 * hidden + j] == results[r * 3 * hidden + 2 * hidden + j]);
            }
        }
        free(results);
        lstm_case_free(&c);
    }
    print_message("lstm: worst distance from the equation in doubles %.3g\n", worst);
    assert_true(worst < 2e-5);
}

static void test_lstm_agrees_between_levels(void **state) {
    (void)state;
    struct rng rng = {.state = 4};
    if (!kernels_at(1))
        print_message("only the level \"%s\" runs on this CPU: nothing to compare\n", kernels_at(0)->level);
    for (int i = 0; i < N_SHAPES; i++) {
        struct lstm_case c = lstm_case_new(&rng, shapes[i]);
        size_t n = (size_t)c.shape.rows * 3 * (size_t)c.shape.n_out;
        float *base = lstm_run(&c, kernels_at(0), 0, c.shape.rows);
        for (int level = 1; kernels_at(level); level++) {
            float *results = lstm_run(&c, kernels_at(level), 0, c.shape.rows);
            assert_true(floats_same(n, results, base));
            free(results);
        }
        free(base);
        lstm_case_free(&c);
    }
}

static void test_lstm_of_some_rows_as_of_all(void **state) {
    (void)state;
    struct rng rng = {.state = 6};
    for (int i = 0; i < N_SHAPES; i++) {
        struct lstm_case c = lstm_case_new(&rng, shapes[i]);
        size_t row_size = 3 * (size_t)c.shape.n_out;
        float *all = lstm_run(&c, kernels_choose(), 0, c.shape.rows);
        for (int r = 0, n; r < c.shape.rows; r += n) {
            n = 1 + (int)rng_below(&rng, (uint64_t)(c.shape.rows - r));
            float *some = lstm_run(&c, kernels_choose(), r, r + n);
            assert_true(floats_same((size_t)n * row_size, some, all + (size_t)r * row_size));
            free(some);
        }
        free(all);
        lstm_case_free(&c);
    }
}

/* ---- GRU ---------------------------------------------------------------------------------------- */

/* As lstm_case; the state of a row is h alone, and results are [to - from x 2 hidden]: h, then the latest y. */
static struct lstm_case gru_case_new(struct rng *rng, struct shape shape) {
    size_t n_in = (size_t)shape.n_in, hidden = (size_t)shape.n_out, rows = (size_t)shape.rows;
    return (struct lstm_case){
        .shape = shape,
        .w = floats_random(rng, n_in * 3 * hidden, 0.7),
        .u = floats_random(rng, hidden * 3 * hidden, 0.7),
        .bias = floats_random(rng, 6 * hidden, 1),
        .x = floats_random(rng, STEPS * rows * n_in, 2),
        .start = floats_random(rng, rows * hidden, 1),
    };
}

static float *gru_run(const struct lstm_case *c, const struct kernels *kernels, int from, int to) {
    size_t n_in = (size_t)c->shape.n_in, hidden = (size_t)c->shape.n_out, rows = (size_t)(to - from);
    float *results = floats_new(rows * 2 * hidden), *y = guarded_new(rows * hidden);
    float *gates = guarded_new(KERNELS_ROWS * 4 * hidden), *state[64];

    for (size_t r = 0; r < rows; r++) {
        state[r] = guarded_new(hidden);
        memcpy(state[r], c->start + ((size_t)from + r) * hidden, hidden * sizeof(float));
    }
    for (size_t t = 0; t < STEPS; t++) {
        float *x = floats_copy(rows * n_in, c->x + (t * (size_t)c->shape.rows + (size_t)from) * n_in);
        kernels->gru(to - from, c->shape.n_in, c->shape.n_out, c->w, c->u, c->bias, x, state, y, gates);
        free(x);
    }
    for (size_t r = 0; r < rows; r++) {
        memcpy(results + r * 2 * hidden, state[r], hidden * sizeof *y);
        memcpy(results + r * 2 * hidden + hidden, y + r * hidden, hidden * sizeof *y);
        guarded_check(hidden, state[r]);
        free(state[r]);
    }
    guarded_check(rows * hidden, y);
    guarded_check(KERNELS_ROWS * 4 * hidden, gates);
    free(y);
    free(gates);
    return results;
}

/* h of one row after STEPS steps, in doubles. */
static void gru_exact(const struct lstm_case *c, size_t row, double *h) {
    size_t n_in = (size_t)c->shape.n_in, hidden = (size_t)c->shape.n_out, rows = (size_t)c->shape.rows;
    double from_x[3 * 300], from_h[3 * 300];

    for (size_t j = 0; j < hidden; j++)
        h[j] = (double)c->start[row * hidden + j];
    for (size_t t = 0; t < STEPS; t++) {
        const float *x = c->x + (t * rows + row) * n_in;
        for (size_t j = 0; j < 3 * hidden; j++) {
            from_x[j] = (double)c->bias[j];
            from_h[j] = (double)c->bias[3 * hidden + j];
            for (size_t k = 0; k < n_in; k++)
                from_x[j] += (double)x[k] * (double)c->w[k * 3 * hidden + j];
            for (size_t k = 0; k < hidden; k++)
                from_h[j] += h[k] * (double)c->u[k * 3 * hidden + j];
        }
        for (size_t j = 0; j < hidden; j++) {
            double z = sigmoid(from_x[j] + from_h[j]), r = sigmoid(from_x[hidden + j] + from_h[hidden + j]);
            h[j] = z * h[j] + (1 - z) * tanh(from_x[2 * hidden + j] + r * from_h[2 * hidden + j]);
        }
    }
}

static void test_gru_is_the_equation(void **state) {
    (void)state;
    struct rng rng = {.state = 10};
    double worst = 0;
    for (int i = 0; i < N_SHAPES; i++) {
        struct lstm_case c = gru_case_new(&rng, shapes[i]);
        size_t hidden = (size_t)c.shape.n_out;
        float *results = gru_run(&c, kernels_choose(), 0, c.shape.rows);
        for (size_t r = 0; r < (size_t)c.shape.rows; r++) {
            double h[300];
            gru_exact(&c, r, h);
            for (size_t j = 0; j < hidden; j++) {
                worst = fmax(worst, fabs((double)results[r * 2 * hidden + j] - h[j]));
                assert_true(results[r * 2 * hidden + j] == results[r * 2 * hidden + hidden + j]);
            }
        }
        free(results);
        lstm_case_free(&c);
    }
    print_message("gru: worst distance from the equation in doubles %.3g\n", worst);
    assert_true(worst < 2e-5);
}

static void test_gru_of_some_rows_as_of_all_at_any_level(void **state) {
    (void)state;
    struct rng rng = {.state = 11};
    for (int i = 0; i < N_SHAPES; i++) {
        struct lstm_case c = gru_case_new(&rng, shapes[i]);
        size_t row_size = 2 * (size_t)c.shape.n_out;
        float *all = gru_run(&c, kernels_choose(), 0, c.shape.rows);
        for (int r = 0, n; r < c.shape.rows; r += n) {
            n = 1 + (int)rng_below(&rng, (uint64_t)(c.shape.rows - r));
            for (int level = 0; kernels_at(level); level++) {
                float *some = gru_run(&c, kernels_at(level), r, r + n);
                assert_true(floats_same((size_t)n * row_size, some, all + (size_t)r * row_size));
                free(some);
            }
        }
        free(all);
        lstm_case_free(&c);
    }
}

static void test_nan_stays_in_its_row(void **state) {
    (void)state;
    struct rng rng = {.state = 7};
    struct lstm_case c = lstm_case_new(&rng, (struct shape){.rows = 9, .n_in = 5, .n_out = 11});
    size_t row_size = 3 * 11;
    float *clean = lstm_run(&c, kernels_choose(), 0, 9);
    c.x[2 * 5 + 1] = NAN;        /* row 2, first step */
    c.x[(9 + 6) * 5] = INFINITY; /* row 6, second step */
    float *soiled = lstm_run(&c, kernels_choose(), 0, 9);
    for (size_t r = 0; r < 9; r++)
        if (r == 2)
            assert_true(isnan(soiled[r * row_size]));
        else if (r != 6)
            assert_true(floats_same(row_size, soiled + r * row_size, clean + r * row_size));
    free(clean);
    free(soiled);
    lstm_case_free(&c);
}

static void test_choice_is_the_last_level(void **state) {
    (void)state;
    int n = 0;
    while (kernels_at(n))
        n++;
    assert_true(n >= 1);
    assert_string_equal(kernels_at(0)->level, "reference");
    assert_ptr_equal(kernels_choose(), kernels_at(n - 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tanh_over_all_floats),
        cmocka_unit_test(test_sigmoid_over_all_floats),
        cmocka_unit_test(test_activations_of_special_values),
        cmocka_unit_test(test_activations_agree_between_levels),
        cmocka_unit_test(test_dense_sums_in_the_documented_order),
        cmocka_unit_test(test_dense_of_one_row_as_of_many),
        cmocka_unit_test(test_dense_without_bias),
        cmocka_unit_test(test_accumulate_adds_in_order),
        cmocka_unit_test(test_lstm_is_the_equation),
        cmocka_unit_test(test_lstm_agrees_between_levels),
        cmocka_unit_test(test_lstm_of_some_rows_as_of_all),
        cmocka_unit_test(test_gru_is_the_equation),
        cmocka_unit_test(test_gru_of_some_rows_as_of_all_at_any_level),
        cmocka_unit_test(test_nan_stays_in_its_row),
        cmocka_unit_test(test_choice_is_the_last_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
