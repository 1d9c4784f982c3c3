#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/network.h"
#include "tests/support/exact.h"
#include "tests/support/floats.h"
#include "tests/support/layers.h"

#include <stdio.h>

/* ---- no allocation while running: counted by standing in for malloc ----------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 0 /* a sanitizer brings its own malloc */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef COUNTS_ALLOCATIONS
#ifdef __GLIBC__
#define COUNTS_ALLOCATIONS 1
#else
#define COUNTS_ALLOCATIONS 0
#endif
#endif

#if COUNTS_ALLOCATIONS
static int n_allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);

__attribute__((visibility("default"))) void *malloc(size_t size) {
    n_allocations++;
    return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size) {
    n_allocations++;
    return __libc_calloc(n, size);
}
#endif

/* ---- the same networks in doubles, step by step and row by row, as an oracle --------------------- */

enum {
    ROWS = 3,
    STEPS = 5,
    N_IN = 4,
    LAYERS_MAX = 3,
    WIDTH_MAX = 8,
    STATE_MAX = 40,
};

struct network_case {
    const char *name;
    int n_layers;
    struct layer_spec layers[LAYERS_MAX];
};

static const struct network_case cases[] = {
    {"dense linear", 1, {DENSE(3, ACTIVATION_LINEAR)}},
    {"dense tanh", 1, {DENSE(3, ACTIVATION_TANH)}},
    {"dense sigmoid", 1, {DENSE(3, ACTIVATION_SIGMOID)}},
    {"dense relu", 1, {DENSE(5, ACTIVATION_RELU)}},
    {"dense swish", 1, {DENSE(5, ACTIVATION_SWISH)}},
    {"dense softmax", 1, {DENSE(5, ACTIVATION_SOFTMAX)}},
    {"dense without bias", 2, {{.kind = LAYER_DENSE, .units = 5}, DENSE(2, ACTIVATION_TANH)}},
    {"lstm", 1, {LSTM(5)}},
    {"lstm of one", 1, {LSTM(1)}},
    {"lstm, lstm, dense", 3, {LSTM(6), LSTM(3), DENSE(2, ACTIVATION_LINEAR)}},
    {"dense, lstm, dense", 3, {DENSE(7, ACTIVATION_TANH), LSTM(4), DENSE(2, ACTIVATION_SIGMOID)}},
};

enum {
    N_CASES = sizeof cases / sizeof *cases,
};

/* One layer at one step of one row, x [n_in] to y; returns the parameters it used, moves *state on. */
static size_t exact_layer(const struct layer_spec *spec, int n_in, const double *params, const double *x,
                          double **state, double *y) {
    int units = spec->units, lstm = spec->kind == LAYER_LSTM, n_z = lstm ? 4 * units : units;
    const double *u = params + n_in * n_z, *bias = lstm ? u + units * n_z : u;
    double z[4 * WIDTH_MAX], *h = *state, *c = h + units;

    for (int j = 0; j < n_z; j++) {
        z[j] = spec->use_bias ? bias[j] : 0;
        for (int k = 0; k < n_in; k++)
            z[j] += x[k] * params[k * n_z + j];
        for (int k = 0; lstm && k < units; k++)
            z[j] += h[k] * u[k * n_z + j];
    }
    for (int j = 0; lstm && j < units; j++) {
        c[j] = exact_sigmoid(z[units + j]) * c[j] + exact_sigmoid(z[j]) * tanh(z[2 * units + j]);
        h[j] = exact_sigmoid(z[3 * units + j]) * tanh(c[j]);
    }
    memcpy(y, lstm ? h : z, (size_t)units * sizeof *y);
    if (!lstm)
        exact_activate(spec->activation, units, y);
    if (lstm)
        *state += 2 * units;
    return (size_t)(bias - params + (spec->use_bias ? n_z : 0));
}

/* A problem: a network, what goes in, and a loss, sum_i pull[i] y[i] + y[i]^2 / 2. */
struct problem {
    const struct network_case *of;
    struct network *network;
    size_t n_params, n_y, state_size;
    double *params;
    float *x, *state, *pull; /* [STEPS x ROWS x N_IN], [ROWS x state_size], as y */
};

/* The loss; y [STEPS x ROWS x n_out], unless NULL, gets the outputs. */
static double exact_loss(const struct problem *p, double *y) {
    double loss = 0;
    int n_out = chain_width(p->network);
    for (int r = 0; r < ROWS; r++) {
        double state[STATE_MAX];
        for (size_t i = 0; i < p->state_size; i++)
            state[i] = (double)p->state[(size_t)r * p->state_size + i];
        for (int t = 0; t < STEPS; t++) {
            double at[WIDTH_MAX], next[WIDTH_MAX], *states = state;
            const double *params = p->params;
            int width = N_IN;
            for (int k = 0; k < N_IN; k++)
                at[k] = (double)p->x[(t * ROWS + r) * N_IN + k];
            for (int i = 0; i < p->of->n_layers; i++) {
                params += exact_layer(&p->of->layers[i], width, params, at, &states, next);
                width = p->of->layers[i].units;
                memcpy(at, next, sizeof at);
            }
            for (int j = 0; j < n_out; j++) {
                int i = (t * ROWS + r) * n_out + j;
                loss += (double)p->pull[i] * at[j] + at[j] * at[j] / 2;
                if (y)
                    y[i] = at[j];
            }
        }
    }
    return loss;
}

static struct problem problem_new(const struct network_case *of, uint64_t seed) {
    struct rng rng = {.state = seed};
    struct error err;
    struct problem p = {.of = of, .network = chain_new(N_IN, of->layers, of->n_layers, &err)};
    assert_non_null(p.network);
    p.n_params = network_n_params(p.network);
    p.state_size = network_state_size(p.network);
    p.n_y = (size_t)(STEPS * ROWS * chain_width(p.network));
    p.params = calloc(p.n_params, sizeof *p.params);
    for (size_t i = 0; i < p.n_params; i++) {
        network_params(p.network)[i] = (float)(1.6 * rng_uniform(&rng) - 0.8);
        p.params[i] = (double)network_params(p.network)[i];
    }
    p.x = floats_random(&rng, STEPS * ROWS * N_IN, 1.5);
    p.state = floats_random(&rng, ROWS * p.state_size, 0.9);
    p.pull = floats_random(&rng, p.n_y, 1);
    return p;
}

static void problem_free(struct problem *p) {
    network_free(p->network);
    free(p->params);
    free(p->x);
    free(p->state);
    free(p->pull);
}

/* Through the tape: gradients into grads, outputs into y, the state after into state (each may be NULL). */
static void tape_run(const struct problem *p, struct tape *tape, float *grads, float *y, float *state) {
    float *own_state = floats_copy(ROWS * p->state_size, p->state), *dy = floats_new(p->n_y);
    const float *out;
    tape_forward(tape, p->network, kernels_choose(), NULL, ROWS, STEPS, p->x, own_state, &out);
    for (size_t i = 0; i < p->n_y; i++)
        dy[i] = p->pull[i] + out[i];
    if (y)
        memcpy(y, out, p->n_y * sizeof *y);
    if (state)
        memcpy(state, own_state, ROWS * p->state_size * sizeof *state);
    if (grads)
        tape_backward(tape, p->network, (const float *const[]){dy}, grads);
    free(own_state);
    free(dy);
}

/* ---- tests -------------------------------------------------------------------------------------- */

static double check_forward(const struct problem *p) {
    struct tape *tape = tape_new(p->network, ROWS, STEPS);
    float *y = floats_new(p->n_y), *state = floats_new(ROWS * p->state_size), *served = floats_new(p->n_y);
    float *served_state = floats_copy(ROWS * p->state_size, p->state), *rows[ROWS];
    float *work = floats_new(network_work_size(p->network, ROWS, STEPS));
    double *exact = calloc(p->n_y, sizeof *exact), worst = 0;

    tape_run(p, tape, NULL, y, state);
    tape_run(p, tape, NULL, y, state); /* whatever a tape held before */
    for (int r = 0; r < ROWS; r++)
        rows[r] = served_state + (size_t)r * p->state_size;
    network_forward(p->network, kernels_choose(), ROWS, STEPS, p->x, rows, (float *const[]){served}, work);
    for (size_t i = 0; i < p->n_y; i++)
        worst = fmax(worst, floats_distance(1, &y[i], &served[i]));
    worst = fmax(worst, floats_distance(ROWS * p->state_size, state, served_state));
    exact_loss(p, exact);
    for (size_t i = 0; i < p->n_y; i++)
        worst = fmax(worst, fabs((double)y[i] - exact[i]));
    free(y);
    free(state);
    free(served);
    free(served_state);
    free(work);
    free(exact);
    tape_free(tape);
    return worst;
}

static void test_forward_agrees_with_serving(void **state) {
    (void)state;
    double worst = 0;
    for (int i = 0; i < N_CASES; i++) {
        struct problem p = problem_new(&cases[i], (uint64_t)i);
        worst = fmax(worst, check_forward(&p));
        problem_free(&p);
    }
    print_message("forward: worst distance %.3g\n", worst);
    assert_true(worst < 3e-6);
}

/* The worst distance of a gradient from central differences, relative to the largest gradient. */
static double check_gradient(struct problem *p) {
    const double step = 1e-5;
    struct tape *tape = tape_new(p->network, ROWS, STEPS);
    float *grads = floats_new(p->n_params);
    double worst = 0, largest = 0;

    tape_run(p, tape, grads, NULL, NULL);
    for (size_t i = 0; i < p->n_params; i++) {
        double kept = p->params[i];
        p->params[i] = kept + step;
        double above = exact_loss(p, NULL);
        p->params[i] = kept - step;
        double below = exact_loss(p, NULL);
        p->params[i] = kept;
        double slope = (above - below) / (2 * step);
        worst = fmax(worst, fabs((double)grads[i] - slope));
        largest = fmax(largest, fabs(slope));
    }
    free(grads);
    tape_free(tape);
    assert_true(largest > 0.1);
    return worst / largest;
}

static void test_gradients_are_the_slopes(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        struct problem p = problem_new(&cases[i], 100 + (uint64_t)i);
        double worst = check_gradient(&p);
        print_message("%s: gradient off by %.3g\n", p.of->name, worst);
        assert_true(worst < 2e-6);
        problem_free(&p);
    }
}

static void test_gradients_add_up(void **state) {
    (void)state;
    struct problem p = problem_new(&cases[9], 3);
    struct tape *tape = tape_new(p.network, ROWS, STEPS);
    float *once = floats_new(p.n_params), *twice = floats_new(p.n_params);
    tape_run(&p, tape, once, NULL, NULL);
    tape_run(&p, tape, twice, NULL, NULL);
    tape_run(&p, tape, twice, NULL, NULL);
    for (size_t i = 0; i < p.n_params; i++)
        assert_true(fabs((double)twice[i] - 2 * (double)once[i]) <= 1e-5 * (1 + fabs((double)once[i])));
    free(once);
    free(twice);
    tape_free(tape);
    problem_free(&p);
}

/* A tape that is larger than what is asked of it gives the same. */
static void test_part_of_a_tape(void **state) {
    (void)state;
    struct problem p = problem_new(&cases[10], 4);
    struct tape *tape = tape_new(p.network, ROWS, STEPS), *large = tape_new(p.network, ROWS + 5, STEPS + 4);
    float *a = floats_new(p.n_params), *b = floats_new(p.n_params);
    float *after_a = floats_new(ROWS * p.state_size), *after_b = floats_new(ROWS * p.state_size);
    tape_run(&p, tape, a, NULL, after_a);
    tape_run(&p, large, b, NULL, after_b);
    assert_true(floats_same(p.n_params, a, b));
    assert_true(floats_same(ROWS * p.state_size, after_a, after_b));
    free(a);
    free(b);
    free(after_a);
    free(after_b);
    tape_free(tape);
    tape_free(large);
    problem_free(&p);
}

/* Forward over two chunks with the state carried is forward over both at once; the gradient of the
 * second one alone is that of a problem which begins in the carried state. */
static void test_chunks_carry_the_state_and_no_gradient(void **state) {
    (void)state;
    enum { FIRST = 2 };
    struct problem p = problem_new(&cases[9], 5);
    size_t n_out = (size_t)chain_width(p.network), split = FIRST * ROWS;
    struct tape *tape = tape_new(p.network, ROWS, STEPS), *other = tape_new(p.network, ROWS, STEPS);
    float *y = floats_new(p.n_y), *after = floats_new(ROWS * p.state_size);
    float *carried = floats_copy(ROWS * p.state_size, p.state), *start;
    float *grads = floats_new(p.n_params), *grads_alone = floats_new(p.n_params);
    const float *out;

    tape_run(&p, tape, NULL, y, after);
    tape_forward(tape, p.network, kernels_choose(), NULL, ROWS, FIRST, p.x, carried, &out);
    assert_true(floats_distance(split * n_out, out, y) < 1e-6);
    start = floats_copy(ROWS * p.state_size, carried);
    tape_forward(tape, p.network, kernels_choose(), NULL, ROWS, STEPS - FIRST, p.x + split * N_IN, carried, &out);
    assert_true(floats_distance(p.n_y - split * n_out, out, y + split * n_out) < 1e-6);
    assert_true(floats_distance(ROWS * p.state_size, carried, after) < 1e-6);
    tape_backward(tape, p.network, (const float *const[]){p.pull}, grads);

    tape_forward(other, p.network, kernels_choose(), NULL, ROWS, STEPS - FIRST, p.x + split * N_IN, start, &out);
    tape_backward(other, p.network, (const float *const[]){p.pull}, grads_alone);
    assert_true(floats_same(p.n_params, grads, grads_alone));

    free(y);
    free(after);
    free(carried);
    free(start);
    free(grads);
    free(grads_alone);
    tape_free(tape);
    tape_free(other);
    problem_free(&p);
}

/* The tape's inputs are copies: the caller's may go. */
static void test_backward_does_not_need_the_inputs(void **state) {
    (void)state;
    struct problem p = problem_new(&cases[7], 7);
    struct tape *tape = tape_new(p.network, ROWS, STEPS);
    float *expected = floats_new(p.n_params), *grads = floats_new(p.n_params), *dy = floats_copy(p.n_y, p.pull);
    float *own_state = floats_copy(ROWS * p.state_size, p.state);
    const float *out;
    tape_run(&p, tape, expected, NULL, NULL);
    tape_forward(tape, p.network, kernels_choose(), NULL, ROWS, STEPS, p.x, own_state, &out);
    for (size_t i = 0; i < p.n_y; i++)
        dy[i] += out[i];
    for (size_t i = 0; i < STEPS * ROWS * N_IN; i++)
        p.x[i] = 1e9f;
    tape_backward(tape, p.network, (const float *const[]){dy}, grads);
    assert_true(floats_same(p.n_params, grads, expected));
    free(expected);
    free(grads);
    free(dy);
    free(own_state);
    tape_free(tape);
    problem_free(&p);
}

#if COUNTS_ALLOCATIONS
/* On inputs and states of zeros. */
static void check_allocations(const struct network *network) {
    struct network_shape shape = network_output(network, 0, STEPS);
    size_t n_y = (size_t)(shape.steps * ROWS * shape.width), state_size = network_state_size(network);
    struct tape *tape = tape_new(network, ROWS, STEPS);
    float *grads = floats_new(network_n_params(network)), *y = floats_new(n_y), *x = floats_new(STEPS * ROWS * N_IN);
    float *state = floats_new(ROWS * state_size), *rows[ROWS];
    float *work = floats_new(network_work_size(network, ROWS, STEPS));
    const float *out;
    for (size_t r = 0; r < ROWS; r++)
        rows[r] = state + r * state_size;

    int before = n_allocations;
    tape_forward(tape, network, kernels_choose(), NULL, ROWS, STEPS, x, state, &out);
    tape_backward(tape, network, (const float *const[]){y}, grads);
    network_forward(network, kernels_choose(), ROWS, STEPS, x, rows, (float *const[]){y}, work);
    assert_int_equal(n_allocations, before);
    assert_true(n_allocations > 0); /* or they are not counted at all */
    free(grads);
    free(y);
    free(x);
    free(state);
    free(work);
    tape_free(tape);
}
#endif

static void test_running_allocates_nothing(void **state) {
    (void)state;
#if COUNTS_ALLOCATIONS
    struct layer_spec layers[] = {layer_spec_of(LAYER_MASKING, 0), layer_spec_of(LAYER_BIDIRECTIONAL, 5),
                                  layer_spec_of(LAYER_GRU, 6), layer_spec_of(LAYER_SIMPLE_RNN, 4)};
    struct network_spec spec = {.n_inputs = N_IN, .layers = layers, .n_layers = 4};
    struct error err;
    layers[1].return_sequences = layers[2].return_sequences = true;
    layers[2].reset_after = false;
    struct network *network = network_new(&spec, &err);
    assert_non_null(network);
    check_allocations(network);
    network_free(network);
    struct problem p = problem_new(&cases[10], 8);
    check_allocations(p.network);
    problem_free(&p);
#else
    print_message("skipped: allocations are not counted in this build\n");
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_agrees_with_serving),
        cmocka_unit_test(test_gradients_are_the_slopes),
        cmocka_unit_test(test_gradients_add_up),
        cmocka_unit_test(test_part_of_a_tape),
        cmocka_unit_test(test_chunks_carry_the_state_and_no_gradient),
        cmocka_unit_test(test_backward_does_not_need_the_inputs),
        cmocka_unit_test(test_running_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
