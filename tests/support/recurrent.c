#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/exact.h"
#include "tests/support/floats.h"
#include "tests/support/recurrent.h"

#include <stdio.h>

enum {
    ROWS = RECURRENT_ROWS,
    STEPS = RECURRENT_STEPS,
    N_IN = RECURRENT_INPUTS,
    UNITS = RECURRENT_UNITS,
    WIDTH_MAX = 2 * UNITS,
    STATES_MAX = 4, /* of both passes */
    LAYERS_MAX = 2 + STATES_MAX,
    Y_MAX = STEPS * WIDTH_MAX + STATES_MAX * UNITS, /* floats that come out for a row */
    GUARD = 16,
};

static const float mask_value = -7.5f;
static const bool masks[ROWS][STEPS] = {{1, 1, 1, 1, 1}, {1, 0, 1, 0, 0}, {0, 0, 1, 1, 0}, {0, 0, 0, 0, 0}};

struct layer_spec recurrent_spec(enum layer_kind kind) {
    return layer_spec_of(kind, UNITS);
}

/* ---- in doubles --------------------------------------------------------------------------------- */

static enum layer_kind cell_of(const struct layer_spec *spec) {
    return spec->kind == LAYER_BIDIRECTIONAL ? spec->cell : spec->kind;
}

static int states_of(const struct layer_spec *spec) {
    return (cell_of(spec) == LAYER_LSTM ? 2 : 1) * (spec->kind == LAYER_BIDIRECTIONAL ? 2 : 1);
}

struct exact_cell {
    const struct layer_spec *spec;
    int n_in, n_gates;
    const double *w, *u, *b; /* b NULL: has none */
};

static struct exact_cell exact_cell_at(const struct layer_spec *spec, int n_in, const double **params) {
    struct exact_cell cell = {.spec = spec, .n_in = n_in};
    enum layer_kind kind = cell_of(spec);
    cell.n_gates = kind == LAYER_LSTM ? 4 : kind == LAYER_GRU ? 3 : 1;
    int n_z = cell.n_gates * UNITS, bias_rows = kind == LAYER_GRU && spec->reset_after ? 2 : 1;
    cell.w = *params;
    cell.u = cell.w + n_in * n_z;
    *params = cell.u + UNITS * n_z;
    if (spec->use_bias) {
        cell.b = *params;
        *params += bias_rows * n_z;
    }
    return cell;
}

/* z [UNITS] += v [n] times the columns of gate `gate` of m [n x n_gates UNITS] */
static void exact_add(const struct exact_cell *cell, int gate, int n, const double *v, const double *m, double *z) {
    for (int j = 0; j < UNITS; j++)
        for (int k = 0; k < n; k++)
            z[j] += v[k] * m[(k * cell->n_gates + gate) * UNITS + j];
}

/* x W + b of a gate. */
static void exact_input(const struct exact_cell *cell, int gate, const double *x, double *z) {
    for (int j = 0; j < UNITS; j++)
        z[j] = cell->b ? cell->b[gate * UNITS + j] : 0;
    exact_add(cell, gate, cell->n_in, x, cell->w, z);
}

/* activation(x W + h U + b) of a gate. */
static void exact_gate(const struct exact_cell *cell, int gate, enum activation activation, const double *x,
                       const double *h, double *z) {
    exact_input(cell, gate, x, z);
    exact_add(cell, gate, UNITS, h, cell->u, z);
    if (cell->b && cell_of(cell->spec) == LAYER_GRU && cell->spec->reset_after)
        for (int j = 0; j < UNITS; j++)
            z[j] += cell->b[(3 + gate) * UNITS + j];
    exact_activate(activation, UNITS, z);
}

static void exact_lstm(const struct exact_cell *cell, const double *x, double *h, double *c) {
    enum activation recurrent = cell->spec->recurrent_activation;
    double i[UNITS], f[UNITS], g[UNITS], o[UNITS];
    exact_gate(cell, 0, recurrent, x, h, i);
    exact_gate(cell, 1, recurrent, x, h, f);
    exact_gate(cell, 2, cell->spec->activation, x, h, g);
    exact_gate(cell, 3, recurrent, x, h, o);
    for (int j = 0; j < UNITS; j++)
        h[j] = c[j] = f[j] * c[j] + i[j] * g[j];
    exact_activate(cell->spec->activation, UNITS, h);
    for (int j = 0; j < UNITS; j++)
        h[j] *= o[j];
}

static void exact_gru(const struct exact_cell *cell, const double *x, double *h) {
    enum activation recurrent = cell->spec->recurrent_activation;
    double z[UNITS], r[UNITS], g[UNITS], inner[UNITS], reset[UNITS];
    exact_gate(cell, 0, recurrent, x, h, z);
    exact_gate(cell, 1, recurrent, x, h, r);
    exact_input(cell, 2, x, g);
    for (int j = 0; j < UNITS; j++) {
        reset[j] = r[j] * h[j];
        inner[j] = cell->spec->reset_after && cell->b ? cell->b[5 * UNITS + j] : 0;
    }
    exact_add(cell, 2, UNITS, cell->spec->reset_after ? h : reset, cell->u, inner);
    for (int j = 0; j < UNITS; j++)
        g[j] += (cell->spec->reset_after ? r[j] : 1) * inner[j];
    exact_activate(cell->spec->activation, UNITS, g);
    for (int j = 0; j < UNITS; j++)
        h[j] = z[j] * h[j] + (1 - z[j]) * g[j];
}

static void exact_step(const struct exact_cell *cell, const double *x, double *h, double *c) {
    double after[UNITS];
    switch (cell_of(cell->spec)) {
    case LAYER_LSTM: exact_lstm(cell, x, h, c); break;
    case LAYER_GRU: exact_gru(cell, x, h); break;
    default: exact_gate(cell, 0, cell->spec->activation, x, h, after); memcpy(h, after, sizeof after);
    }
}

/* One pass of one row: x [STEPS x N_IN], state [n_states x UNITS] in place, y [STEPS or 1 x UNITS]. As Keras'
 * backend.rnn. */
static void exact_pass(const struct exact_cell *cell, bool back, bool piece, const double *x, const bool *mask,
                       double *state, double *y) {
    const struct layer_spec *spec = cell->spec;
    double out[UNITS] = {0};
    if (piece)
        memcpy(out, state, sizeof out);
    for (int s = 0; s < STEPS; s++) {
        int t = back ? STEPS - 1 - s : s;
        if (mask[t]) {
            exact_step(cell, x + t * N_IN, state, state + UNITS);
            memcpy(out, state, sizeof out);
        } else if (spec->zero_output_for_mask) {
            memset(out, 0, sizeof out);
        }
        memcpy(y + (spec->return_sequences ? s * UNITS : 0), out, sizeof out);
    }
}

/* One layer of one row: y [its outputs, one after the other]. Returns the parameters behind its own. */
static const double *exact_layer(const struct layer_spec *given, bool piece, const double *params, const double *x,
                                 const bool *mask, double *state, double *y) {
    struct layer_spec spec = *given;
    bool two = spec.kind == LAYER_BIDIRECTIONAL;
    int n = spec.return_sequences ? STEPS : 1, n_states = states_of(&spec) / (two ? 2 : 1);
    double part[2][STEPS * UNITS];
    if (two)
        spec.zero_output_for_mask = spec.return_sequences;
    for (int i = 0; i <= two; i++) {
        struct exact_cell cell = exact_cell_at(&spec, N_IN, &params);
        exact_pass(&cell, spec.go_backwards != (i == 1), piece, x, mask, state + i * n_states * UNITS, part[i]);
    }
    for (int t = 0; t < n; t++)
        for (int j = 0; j < UNITS; j++) {
            double a = part[0][t * UNITS + j], b = two ? part[1][(n - 1 - t) * UNITS + j] : 0;
            if (two && spec.merge == MERGE_CONCAT) {
                y[t * 2 * UNITS + j] = a;
                y[(t * 2 + 1) * UNITS + j] = b;
            } else {
                y[t * UNITS + j] = !two                      ? a
                                   : spec.merge == MERGE_SUM ? a + b
                                   : spec.merge == MERGE_MUL ? a * b
                                                             : (a + b) / 2;
            }
        }
    y += n * UNITS * (two && spec.merge == MERGE_CONCAT ? 2 : 1);
    if (spec.return_state)
        memcpy(y, state, (size_t)states_of(&spec) * UNITS * sizeof *y);
    return params;
}

/* ---- cases -------------------------------------------------------------------------------------- */

static const char *case_name(const struct recurrent_case *c) {
    static char name[200];
    const struct layer_spec *spec = &c->layer;
    snprintf(name, sizeof name,
             "mode %d, masked %d, seeded %d, kind %d, cell %d, merge %d, activations %d %d, bias %d, sequences %d, "
             "state %d, back %d, zero %d, reset_after %d",
             c->mode, c->masked, c->seeded, spec->kind, spec->cell, spec->merge, spec->activation,
             spec->recurrent_activation, spec->use_bias, spec->return_sequences, spec->return_state,
             spec->go_backwards, spec->zero_output_for_mask, spec->reset_after);
    return name;
}

/* ---- a problem: a network, what goes in, and a loss, sum_i pull[i] y[i] + y[i]^2 / 2 ------------- */

struct problem {
    const struct recurrent_case *of;
    struct layer_spec layers[LAYERS_MAX];
    struct network_spec spec;
    struct network *network;
    size_t n_params, state_size;
    int n_out; /* ports */
    double *params;
    float *x, *state; /* [STEPS x ROWS x N_IN], [ROWS x state_size] */
    float *pull[STATES_MAX + 1];
};

static int add_layer(struct problem *p, struct layer_spec spec) {
    p->layers[p->spec.n_layers] = spec;
    return p->spec.n_layers++;
}

/* Layers: Masking, the seeds, the layer itself; what reads what. */
static void put_layers(struct problem *p) {
    struct layer_input input = {-1, 0}, masked = input;
    struct layer_spec spec = p->of->layer, masking = layer_spec_of(LAYER_MASKING, 0);
    int seeds[STATES_MAX];
    masking.mask_value = mask_value;
    if (p->of->masked)
        masked.layer = add_layer(p, masking);
    for (int i = 0; p->of->seeded && i < states_of(&spec); i++) {
        struct layer_spec seed = layer_spec_of(LAYER_SIMPLE_RNN, UNITS);
        seed.n_in = 1;
        seed.in[0] = masked;
        seeds[i] = add_layer(p, seed);
    }
    spec.n_in = 1;
    spec.in[0] = masked;
    for (int i = 0; p->of->seeded && i < states_of(&spec); i++)
        spec.in[spec.n_in++] = (struct layer_input){seeds[i], 0};
    int last = add_layer(p, spec);
    p->n_out = 1 + (spec.return_state ? states_of(&spec) : 0);
    for (int o = 0; o < p->n_out; o++)
        p->spec.outputs[o] = (struct layer_input){last, o};
    p->spec.n_outputs = p->n_out;
}

static size_t output_size(const struct problem *p, int output, int rows, int steps) {
    struct network_shape shape = network_output(p->network, output, steps);
    return (size_t)shape.steps * (size_t)rows * (size_t)shape.width;
}

static struct problem problem_new(const struct recurrent_case *of, uint64_t seed) {
    struct rng rng = {.state = seed};
    struct error err = {.text = ""};
    struct problem p = {.of = of, .spec = {.mode = of->mode, .n_inputs = N_IN}};
    bool grows =
        of->layer.activation == ACTIVATION_EXPONENTIAL || of->layer.recurrent_activation == ACTIVATION_EXPONENTIAL;
    double scale = grows ? 0.03 : 0.6; /* e to the e to the ... */
    put_layers(&p);
    p.spec.layers = p.layers;
    p.network = network_new(&p.spec, &err);
    if (!p.network)
        fail_msg("%s: %s", case_name(of), err.text);
    p.n_params = network_n_params(p.network);
    p.state_size = network_state_size(p.network);
    p.params = calloc(p.n_params, sizeof *p.params);
    for (size_t i = 0; i < p.n_params; i++) {
        network_params(p.network)[i] = (float)(scale * (2 * rng_uniform(&rng) - 1));
        p.params[i] = (double)network_params(p.network)[i];
    }
    p.x = floats_random(&rng, STEPS * ROWS * N_IN, 1.2);
    for (int r = 0; of->masked && r < ROWS; r++)
        for (int t = 0; t < STEPS; t++)
            for (int k = 0; !masks[r][t] && k < N_IN; k++)
                p.x[(t * ROWS + r) * N_IN + k] = mask_value;
    p.state = floats_random(&rng, ROWS * p.state_size, 0.9);
    for (int o = 0; o < p.n_out; o++)
        p.pull[o] = floats_random(&rng, output_size(&p, o, ROWS, STEPS), 1);
    return p;
}

static void problem_free(struct problem *p) {
    for (int o = 0; o < p->n_out; o++)
        free(p->pull[o]);
    network_free(p->network);
    free(p->params);
    free(p->x);
    free(p->state);
}

/* Row r in doubles: its outputs one after the other into y; its carried state, in place. */
static void exact_row(const struct problem *p, int r, double *carried, double *y) {
    static const bool unmasked[STEPS] = {1, 1, 1, 1, 1};
    const bool *mask = p->of->masked ? masks[r] : unmasked;
    const double *params = p->params;
    const struct layer_spec *layer = &p->layers[p->spec.n_layers - 1];
    double x[STEPS * N_IN], own[STATES_MAX * UNITS] = {0}, *state = p->state_size > 0 ? carried : own;
    for (int t = 0; t < STEPS; t++)
        for (int k = 0; k < N_IN; k++)
            x[t * N_IN + k] = mask[t] ? (double)p->x[(t * ROWS + r) * N_IN + k] : 0; /* Masking makes them zeros */
    for (int i = 0; p->of->seeded && i < states_of(layer); i++) {
        double end[UNITS] = {0};
        params = exact_layer(&p->layers[p->of->masked + i], false, params, x, mask, end, own + i * UNITS);
    }
    exact_layer(layer, p->of->mode == NETWORK_STREAM, params, x,
                p->of->seeded && !layer->keras2_masks ? unmasked : mask, state, y);
}

static double *exact_states(const struct problem *p) {
    double *state = calloc(ROWS * p->state_size + 1, sizeof *state);
    for (size_t i = 0; i < ROWS * p->state_size; i++)
        state[i] = (double)p->state[i];
    return state;
}

/* Where element j of output o of row r is within a row of y, as exact_row has it. */
static int exact_index(const struct problem *p, int o, int t, int j) {
    int at = 0;
    for (int i = 0; i < o; i++)
        at += (int)output_size(p, i, 1, STEPS);
    return at + t * network_output(p->network, o, STEPS).width + j;
}

static double exact_loss(const struct problem *p) {
    double loss = 0, *states = exact_states(p);
    for (int r = 0; r < ROWS; r++) {
        double y[Y_MAX];
        exact_row(p, r, states + (size_t)r * p->state_size, y);
        for (int o = 0; o < p->n_out; o++) {
            struct network_shape shape = network_output(p->network, o, STEPS);
            for (int t = 0; t < shape.steps; t++)
                for (int j = 0; j < shape.width; j++) {
                    double at = y[exact_index(p, o, t, j)];
                    loss += (double)p->pull[o][(t * ROWS + r) * shape.width + j] * at + at * at / 2;
                }
        }
    }
    free(states);
    return loss;
}

/* ---- forward ------------------------------------------------------------------------------------ */

/* Outputs, and the states they leave, one allocation each. */
struct results {
    float *y[STATES_MAX + 1], *state;
};

static struct results results_new(const struct problem *p) {
    struct results results = {.state = floats_copy(ROWS * p->state_size, p->state)};
    for (int o = 0; o < p->n_out; o++)
        results.y[o] = floats_new(output_size(p, o, ROWS, STEPS));
    return results;
}

static void results_free(const struct problem *p, struct results *results) {
    for (int o = 0; o < p->n_out; o++)
        free(results->y[o]);
    free(results->state);
}

/* Rows [row, row + rows) and steps [t, t + steps) in one call, on copies of their size. */
static void serve(const struct problem *p, const struct kernels *kernels, int t, int steps, int row, int rows,
                  struct results *results) {
    size_t n_work = network_work_size(p->network, rows, steps);
    float *x = floats_new((size_t)(steps * rows * N_IN)), *work = floats_new(n_work + GUARD), *y[STATES_MAX + 1];
    float *state[ROWS];
    for (size_t i = 0; i < n_work + GUARD; i++)
        work[i] = i < n_work ? NAN : 77; /* what it held before does not matter */
    for (int i = 0; i < steps * rows; i++)
        memcpy(x + i * N_IN, p->x + ((t + i / rows) * ROWS + row + i % rows) * N_IN, N_IN * sizeof *x);
    for (int r = 0; r < rows; r++)
        state[r] = results->state + (size_t)(row + r) * p->state_size;
    for (int o = 0; o < p->n_out; o++)
        y[o] = floats_new(output_size(p, o, rows, steps));
    network_forward(p->network, kernels, rows, steps, x, state, y, work);
    for (int o = 0; o < p->n_out; o++) {
        struct network_shape shape = network_output(p->network, o, steps);
        int at = shape.sequence ? t : 0;
        for (int i = 0; i < shape.steps * rows; i++)
            memcpy(results->y[o] + ((at + i / rows) * ROWS + row + i % rows) * shape.width, y[o] + i * shape.width,
                   (size_t)shape.width * sizeof *x);
        free(y[o]);
    }
    for (size_t i = n_work; i < n_work + GUARD; i++)
        assert_true(work[i] == 77);
    free(x);
    free(work);
}

static void run_tape(const struct problem *p, struct tape *tape, struct results *results) {
    const float *out[STATES_MAX + 1];
    tape_forward(tape, p->network, kernels_choose(), NULL, ROWS, STEPS, p->x, results->state, out);
    for (int o = 0; o < p->n_out; o++)
        memcpy(results->y[o], out[o], output_size(p, o, ROWS, STEPS) * sizeof(float));
}

static double results_distance(const struct problem *p, const struct results *a, const struct results *b) {
    double worst = floats_distance(ROWS * p->state_size, a->state, b->state);
    for (int o = 0; o < p->n_out; o++)
        worst = fmax(worst, floats_distance(output_size(p, o, ROWS, STEPS), a->y[o], b->y[o]));
    return worst;
}

static double exact_distance(const struct problem *p, double *states, const struct results *results) {
    double worst = 0;
    for (int r = 0; r < ROWS; r++) {
        double y[Y_MAX];
        exact_row(p, r, states + (size_t)r * p->state_size, y);
        for (int o = 0; o < p->n_out; o++) {
            struct network_shape shape = network_output(p->network, o, STEPS);
            for (int t = 0; t < shape.steps; t++)
                for (int j = 0; j < shape.width; j++) {
                    double exact = y[exact_index(p, o, t, j)];
                    double off = fabs((double)results->y[o][(t * ROWS + r) * shape.width + j] - exact);
                    worst = fmax(worst, isnan(off) ? INFINITY : off / fmax(1, fabs(exact)));
                }
        }
    }
    for (size_t i = 0; i < ROWS * p->state_size; i++) {
        double off = fabs((double)results->state[i] - states[i]);
        worst = fmax(worst, isnan(off) ? INFINITY : off / fmax(1, fabs(states[i])));
    }
    return worst;
}

static double forward_distance(const struct recurrent_case *c) {
    struct problem p = problem_new(c, 1);
    struct tape *tape = tape_new(p.network, ROWS, STEPS);
    struct results served = results_new(&p), taped = results_new(&p);
    double *states = exact_states(&p), worst = 0;
    for (int call = 0; call < 2; call++) {
        serve(&p, kernels_choose(), 0, STEPS, 0, ROWS, &served);
        run_tape(&p, tape, &taped);
        worst = fmax(worst, exact_distance(&p, states, &served));
        worst = fmax(worst, results_distance(&p, &served, &taped) / 10);
    }
    free(states);
    results_free(&p, &served);
    results_free(&p, &taped);
    tape_free(tape);
    problem_free(&p);
    return worst;
}

/* ---- back --------------------------------------------------------------------------------------- */

static void run_back(const struct problem *p, struct tape *tape, float *grads) {
    struct results results = results_new(p);
    float *dy[STATES_MAX + 1];
    run_tape(p, tape, &results);
    for (int o = 0; o < p->n_out; o++) {
        dy[o] = results.y[o];
        for (size_t i = 0; i < output_size(p, o, ROWS, STEPS); i++)
            dy[o][i] += p->pull[o][i];
    }
    tape_backward(tape, p->network, (const float *const *)dy, grads);
    results_free(p, &results);
}

static double gradient_distance(const struct recurrent_case *c) {
    const double step = 1e-5;
    struct problem p = problem_new(c, 2);
    struct tape *tape = tape_new(p.network, ROWS + 1, STEPS + 2);
    float *grads = floats_new(p.n_params), *again = floats_new(p.n_params);
    double worst = 0, largest = 0;

    run_back(&p, tape, grads);
    run_back(&p, tape, again);
    assert_true(floats_same(p.n_params, grads, again));
    for (size_t i = 0; i < p.n_params; i += 1 + p.n_params / 200) { /* of many, some */
        double kept = p.params[i];
        p.params[i] = kept + step;
        double above = exact_loss(&p);
        p.params[i] = kept - step;
        double below = exact_loss(&p);
        p.params[i] = kept;
        double slope = (above - below) / (2 * step);
        double off = fabs((double)grads[i] - slope);
        worst = fmax(worst, isnan(off) ? INFINITY : off);
        largest = fmax(largest, fabs(slope));
    }
    free(grads);
    free(again);
    tape_free(tape);
    problem_free(&p);
    if (largest <= 0.02)
        fail_msg("%s: slopes up to %g show nothing", case_name(c), largest);
    return worst / largest;
}

/* ---- grouping ----------------------------------------------------------------------------------- */

static bool results_same(const struct problem *p, const struct results *a, const struct results *b) {
    bool same = floats_same(ROWS * p->state_size, a->state, b->state);
    for (int o = 0; o < p->n_out; o++)
        same = same && floats_same(output_size(p, o, ROWS, STEPS), a->y[o], b->y[o]);
    return same;
}

static void check_grouping(const struct recurrent_case *c) {
    struct problem p = problem_new(c, 3);
    struct results whole = results_new(&p);
    bool pieces = c->mode == NETWORK_STREAM && !c->masked;
    serve(&p, kernels_choose(), 0, STEPS, 0, ROWS, &whole);
    for (int level = 0; kernels_at(level); level++)
        for (int rows = 1; rows <= ROWS; rows += 2)
            for (int steps = pieces ? 1 : STEPS; steps <= STEPS; steps += 2) {
                struct results parts = results_new(&p);
                for (int t = 0; t < STEPS; t += steps)
                    for (int row = 0; row < ROWS; row += rows)
                        serve(&p, kernels_at(level), t, STEPS - t < steps ? STEPS - t : steps, row,
                              ROWS - row < rows ? ROWS - row : rows, &parts);
                if (!results_same(&p, &whole, &parts))
                    fail_msg("%s: %d rows, %d steps at %s differ", case_name(c), rows, steps,
                             kernels_at(level)->level);
                results_free(&p, &parts);
            }
    results_free(&p, &whole);
    problem_free(&p);
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static double worst_forward, worst_gradient;

void recurrent_check(const struct recurrent_case *c) {
    double forward = forward_distance(c), gradient = gradient_distance(c);
    if (!(forward < 2e-6 && gradient < 4e-6))
        fail_msg("%s: off by %g, gradient by %g", case_name(c), forward, gradient);
    worst_forward = fmax(worst_forward, forward);
    worst_gradient = fmax(worst_gradient, gradient);
    check_grouping(c);
}

void recurrent_print_worst(const char *name) {
    print_message("%s: worst distance %.3g, gradient %.3g\n", name, worst_forward, worst_gradient);
    assert_true(worst_forward > 0 && worst_gradient > 0);
    worst_forward = worst_gradient = 0;
}

static bool runs(const struct recurrent_case *c) {
    bool causal = !c->layer.go_backwards && c->layer.kind != LAYER_BIDIRECTIONAL && !c->seeded;
    bool forced = c->layer.kind == LAYER_BIDIRECTIONAL && c->layer.zero_output_for_mask; /* either way */
    return (c->mode != NETWORK_STREAM || causal) && !forced;
}

void recurrent_check_options(struct layer_spec layer) {
    for (int bits = 0; bits < 1 << 7; bits++)
        for (enum network_mode mode = NETWORK_SAMPLES; mode <= NETWORK_STREAM; mode++) {
            struct recurrent_case c = {.mode = mode, .masked = bits & 1, .seeded = bits & 2, .layer = layer};
            c.layer.stateful =
                c.seeded; /* said, so that the seeds carry nothing; and it does not, having initial states */
            c.layer.keras2_masks = c.seeded && c.masked;
            c.layer.return_sequences = bits & 4;
            c.layer.return_state = bits & 8;
            c.layer.go_backwards = bits & 16;
            c.layer.zero_output_for_mask = bits & 32;
            c.layer.use_bias = !(bits & 64);
            if (runs(&c))
                recurrent_check(&c);
        }
}

void recurrent_check_activations(struct layer_spec layer) {
    for (enum activation a = ACTIVATION_LINEAR; a < N_ACTIVATIONS; a++)
        for (int recurrent = 0; recurrent < 2; recurrent++) {
            struct recurrent_case c = {.masked = true, .layer = layer};
            *(recurrent ? &c.layer.recurrent_activation : &c.layer.activation) = a;
            c.layer.return_sequences = true;
            recurrent_check(&c);
        }
}

void recurrent_check_refused(enum network_mode mode, struct layer_spec layer, const char *text) {
    struct error err = {.text = ""};
    struct network_spec spec = {.mode = mode, .n_inputs = N_IN, .layers = &layer, .n_layers = 1};
    assert_null(network_new(&spec, &err));
    if (!strstr(err.text, text))
        fail_msg("\"%s\" lacks \"%s\"", err.text, text);
}
