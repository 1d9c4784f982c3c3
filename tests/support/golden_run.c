#include "tests/support/golden_run.h"

#include "tests/support/floats.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

enum { ROWS_MAX = 16 };

/* ---- a model over an input ---------------------------------------------------------------------- */

/* A golden's network, served and by a tape, each on states of its own. */
struct runner {
    const struct network *network;
    struct tape *tape;
    int rows, steps, width; /* of one call's input */
    int n_outputs;
    float *served, *taped; /* states [rows x state size] */
    float *work, *x;
    float *y[2][LAYER_PORTS]; /* the latest call's outputs, rows first: served, taped */
    size_t n_y[LAYER_PORTS];
};

static struct runner runner_new(const struct network *network, int rows, int steps) {
    size_t n_state = (size_t)rows * network_state_size(network);
    struct runner run = {.network = network, .rows = rows, .steps = steps, .width = network_n_inputs(network)};

    assert_in_range(rows, 1, ROWS_MAX);
    run.tape = tape_new(network, rows, steps);
    run.served = floats_new(n_state);
    run.taped = floats_new(n_state);
    run.work = floats_new(network_work_size(network, rows, steps));
    run.x = floats_new((size_t)(rows * steps * run.width));
    run.n_outputs = network_n_outputs(network);
    for (int o = 0; o < run.n_outputs; o++) {
        struct network_shape shape = network_output(network, o, steps);
        run.n_y[o] = (size_t)(rows * shape.steps * shape.width);
        for (int i = 0; i < 2; i++)
            run.y[i][o] = floats_new(run.n_y[o]);
    }
    return run;
}

static void runner_free(struct runner *run) {
    tape_free(run->tape);
    free(run->served);
    free(run->taped);
    free(run->work);
    free(run->x);
    for (int o = 0; o < run->n_outputs; o++)
        for (int i = 0; i < 2; i++)
            free(run->y[i][o]);
}

static void runner_reset(struct runner *run, int row) {
    size_t n = network_state_size(run->network);

    memset(run->served + (size_t)row * n, 0, n * sizeof *run->served);
    memset(run->taped + (size_t)row * n, 0, n * sizeof *run->taped);
}

/* One call; x: [rows x steps x width]. */
static void runner_call(struct runner *run, const float *x) {
    float *state[ROWS_MAX], *y[LAYER_PORTS];
    const float *taped[LAYER_PORTS];

    for (int r = 0; r < run->rows; r++)
        state[r] = run->served + (size_t)r * network_state_size(run->network);
    for (int o = 0; o < run->n_outputs; o++)
        y[o] = floats_new(run->n_y[o]);
    golden_swap(run->rows, run->steps, run->width, x, run->x);
    network_forward(run->network, kernels_choose(), run->rows, run->steps, run->x, state, y, run->work);
    tape_forward(run->tape, run->network, kernels_choose(), NULL, run->rows, run->steps, run->x, run->taped, taped);
    for (int o = 0; o < run->n_outputs; o++) {
        struct network_shape shape = network_output(run->network, o, run->steps);
        golden_swap(shape.steps, run->rows, shape.width, y[o], run->y[0][o]);
        golden_swap(shape.steps, run->rows, shape.width, taped[o], run->y[1][o]);
        free(y[o]);
    }
}

/* ---- one golden --------------------------------------------------------------------------------- */

static void reset_states(const struct golden *golden, struct runner *run, int call) {
    for (int rows_too = 0; rows_too < 2; rows_too++) {
        const char *key = rows_too ? "reset_rows" : "reset_before";
        if (!golden_has(golden, key))
            continue;
        struct golden_array resets = golden_array(golden, key);
        for (int i = 0; i < resets.dims[0]; i++) {
            if (rows_too && (int)resets.data[2 * i] == call)
                runner_reset(run, (int)resets.data[2 * i + 1]);
            for (int r = 0; !rows_too && (int)resets.data[i] == call && r < run->rows; r++)
                runner_reset(run, r);
        }
        golden_array_fini(&resets);
    }
}

/* The shape that Keras gives: [calls][rows][steps]width. */
static void check_shape(const struct runner *run, int output, int calls, const struct golden_array *expected) {
    struct network_shape shape = network_output(run->network, output, run->steps);
    int at = 0;

    assert_int_equal(expected->n_dims, (calls > 1) + 2 + shape.sequence);
    if (calls > 1)
        assert_int_equal(expected->dims[at++], calls);
    assert_int_equal(expected->dims[at++], run->rows);
    if (shape.sequence)
        assert_int_equal(expected->dims[at++], shape.steps);
    assert_int_equal(expected->dims[at], shape.width);
}

/* Step `from` to `from` + steps of all rows. */
static void cut(const struct golden_array *x, int all_steps, const struct runner *run, int from, float *piece) {
    size_t n = (size_t)(run->steps * run->width);

    for (int r = 0; r < run->rows; r++)
        memcpy(piece + (size_t)r * n, x->data + ((size_t)(r * all_steps + from)) * (size_t)run->width,
               n * sizeof *piece);
}

/* Its own output as the next input, behind the calls: the widest as an id where the input is one. */
static double feed_back(const struct golden *golden, struct runner *run) {
    struct golden_array generated = golden_array(golden, "generated");
    bool ids = network_spec(run->network)->ids;
    int width = network_output(run->network, 0, 1).width, n = generated.dims[1];
    float *next = floats_new((size_t)run->rows), *mine = floats_new(generated.n);

    assert_int_equal(generated.n, run->rows * n);
    for (int i = 0; i < n; i++) {
        for (int r = 0; r < run->rows; r++) {
            const float *y = run->y[0][0] + r * width;
            int widest = 0;
            for (int j = 1; j < width; j++)
                widest = y[j] > y[widest] ? j : widest;
            next[r] = ids ? (float)widest : y[0];
            mine[r * n + i] = next[r];
        }
        runner_call(run, next);
    }
    double error = floats_distance(generated.n, mine, generated.data) / golden_scale(&generated);
    free(next);
    free(mine);
    golden_array_fini(&generated);
    return error;
}

/* The latest call's outputs against those of call `call`; in units of the scale of all calls. */
static double compare(const struct runner *run, const struct golden_array *expected, int call) {
    double error = 0;

    for (int o = 0; o < run->n_outputs; o++)
        for (int i = 0; i < 2; i++)
            error = fmax(error,
                         floats_distance(run->n_y[o], run->y[i][o], expected[o].data + (size_t)call * run->n_y[o]) /
                             golden_scale(&expected[o]));
    return error;
}

static double run_calls(const struct golden *golden, struct runner *run, const struct golden_array *x, int calls) {
    struct golden_array expected[LAYER_PORTS];
    float *piece = floats_new(x->n);
    double error = 0;

    assert_int_equal(x->n, run->rows * run->steps * calls * run->width);
    for (int o = 0; o < run->n_outputs; o++) {
        expected[o] = golden_output(golden, "y", o);
        check_shape(run, o, calls, &expected[o]);
    }
    for (int call = 0; call < calls; call++) {
        reset_states(golden, run, call);
        cut(x, run->steps * calls, run, call * run->steps, piece);
        runner_call(run, piece);
        error = fmax(error, compare(run, expected, call));
    }
    for (int o = 0; o < run->n_outputs; o++)
        golden_array_fini(&expected[o]);
    free(piece);
    return error;
}

static double check(const struct golden *golden, enum precision precision) {
    int calls = (int)golden_number(golden, "calls", 1);
    struct golden_array x = golden_array(golden, "x");
    int steps = golden->model->spec.no_time ? 1 : x.dims[1] / calls;
    struct network *network = golden_network(golden->model, calls > 1 ? NETWORK_STATEFUL : NETWORK_SAMPLES, steps);
    network_set_precision(network, precision);
    struct runner run = runner_new(network, x.dims[0], steps);
    double error = run_calls(golden, &run, &x, calls);

    if (golden_has(golden, "generated") && precision == PRECISION_F32)
        error = fmax(error, feed_back(golden, &run));
    golden_array_fini(&x);
    runner_free(&run);
    network_free(network);
    return error;
}

double golden_check(const struct golden *golden) {
    return check(golden, PRECISION_F32);
}

double golden_check_bf16(const struct golden *golden) {
    return check(golden, PRECISION_BF16);
}

/* ---- the same as a stream ----------------------------------------------------------------------- */

/* What comes out step by step against the sample's steps; what comes out whole against the sample's, at its end. */
static double compare_step(const struct runner *run, const struct golden_array *expected, int step, int n_steps) {
    double error = 0;

    for (int o = 0; o < run->n_outputs; o++) {
        struct network_shape shape = network_output(run->network, o, 1);
        bool each = shape.sequence && network_output(run->network, o, 2).steps == 2;
        size_t n = (size_t)(shape.steps * shape.width), apart = each ? (size_t)n_steps * n : n;
        if (!each && step < n_steps - 1)
            continue;
        assert_int_equal(expected[o].n, (size_t)run->rows * apart);
        for (int r = 0; r < run->rows; r++) {
            const float *known = expected[o].data + (size_t)r * apart + (each ? (size_t)step * n : 0);
            for (int i = 0; i < 2; i++)
                error =
                    fmax(error, floats_distance(n, run->y[i][o] + (size_t)r * n, known) / golden_scale(&expected[o]));
        }
    }
    return error;
}

double golden_check_stream(const struct golden *golden, bool *ret_streams) {
    struct error err;
    struct golden_array x = golden_array(golden, "x"), expected[LAYER_PORTS];
    bool sample = !golden->model->spec.no_time && golden_number(golden, "calls", 1) == 1;
    struct network *network = sample ? keras_network(golden->model, NETWORK_STREAM, 0, &err) : NULL;
    double error = 0;

    *ret_streams = network && network_steps(network) == 0 && network_min_steps(network) <= 1;
    if (*ret_streams) {
        struct runner run = runner_new(network, x.dims[0], 1);
        float *piece = floats_new((size_t)(run.rows * run.width));
        for (int o = 0; o < run.n_outputs; o++)
            expected[o] = golden_output(golden, "y", o);
        for (int t = 0; t < x.dims[1]; t++) {
            cut(&x, x.dims[1], &run, t, piece);
            runner_call(&run, piece);
            error = fmax(error, compare_step(&run, expected, t, x.dims[1]));
        }
        for (int o = 0; o < run.n_outputs; o++)
            golden_array_fini(&expected[o]);
        free(piece);
        runner_free(&run);
    }
    golden_array_fini(&x);
    network_free(network);
    return error;
}
