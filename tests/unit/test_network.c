#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/layers/layer.h"
#include "tests/support/floats.h"
#include "tests/support/layers.h"

#include <stdio.h>

enum {
    ROWS = 70, /* more than a layer hands to the kernel at once */
    STEPS = 6,
    N_IN = 3,
    GUARD = 16,
};

static const uint64_t WEIGHTS_HASH = 0x9e50971b541e6ac2, FORECASTS_HASH = 0x7cea823cf4ea42d0;

static const struct layer_spec stack[] = {
    DENSE(5, ACTIVATION_RELU),
    LSTM(7),
    LSTM(9),
    DENSE(2, ACTIVATION_TANH),
};

static struct network *stack_new(uint64_t seed) {
    struct error err;
    struct network *network = chain_new(N_IN, stack, 4, &err);
    assert_non_null(network);
    network_init_weights(network, seed);
    return network;
}

/* ---- one sequence, run in pieces ---------------------------------------------------------------- */

struct sequence {
    float *x; /* [STEPS x ROWS x N_IN] */
};

static struct sequence sequence_new(uint64_t seed) {
    struct rng rng = {.state = seed};
    struct sequence s = {.x = floats_random(&rng, STEPS * ROWS * N_IN, 2)};
    return s;
}

static void sequence_free(struct sequence *s) {
    free(s->x);
}

struct results {
    size_t state_size;
    float *state; /* [ROWS x state_size] */
    float *y;     /* [STEPS x ROWS x n_out] */
};

static struct results results_new(const struct network *network) {
    struct results r = {.state_size = network_state_size(network)};
    r.state = floats_new(ROWS * r.state_size);
    r.y = floats_new(STEPS * ROWS * (size_t)chain_width(network));
    return r;
}

static void results_free(struct results *r) {
    free(r->state);
    free(r->y);
}

/* Steps [t, t + steps) of rows [row, row + rows) in one call, on copies of exactly their size. */
static void run_piece(const struct network *network, const struct kernels *kernels, const struct sequence *s, int t,
                      int steps, int row, int rows, struct results *results) {
    size_t n_out = (size_t)chain_width(network), n_work = network_work_size(network, rows, steps);
    size_t n_in = (size_t)network_n_inputs(network), n = (size_t)steps * (size_t)rows;
    float *x = floats_new(n * n_in), *y = floats_new(n * n_out), *work = floats_new(n_work), *state[ROWS];

    for (size_t i = 0; i < n; i++) {
        size_t at = ((size_t)t + i / (size_t)rows) * ROWS + (size_t)row + i % (size_t)rows;
        memcpy(x + i * n_in, s->x + at * n_in, n_in * sizeof *x);
    }
    for (int r = 0; r < rows; r++)
        state[r] = results->state + (size_t)(row + r) * results->state_size;
    network_forward(network, kernels, rows, steps, x, state, (float *const[]){y}, work);
    for (size_t i = 0; i < n; i++) {
        size_t at = ((size_t)t + i / (size_t)rows) * ROWS + (size_t)row + i % (size_t)rows;
        memcpy(results->y + at * n_out, y + i * n_out, n_out * sizeof *y);
    }
    free(x);
    free(y);
    free(work);
}

static struct results run_whole(const struct network *network, const struct kernels *kernels,
                                const struct sequence *s) {
    struct results results = results_new(network);
    run_piece(network, kernels, s, 0, STEPS, 0, ROWS, &results);
    return results;
}

static struct results run_in_pieces(const struct network *network, const struct kernels *kernels,
                                    const struct sequence *s, uint64_t seed) {
    struct rng rng = {.state = seed};
    struct results results = results_new(network);
    for (int t = 0, steps; t < STEPS; t += steps) {
        steps = 1 + (int)rng_below(&rng, (uint64_t)(STEPS - t));
        for (int row = 0, rows; row < ROWS; row += rows) {
            rows = 1 + (int)rng_below(&rng, (uint64_t)(ROWS - row));
            run_piece(network, kernels, s, t, steps, row, rows, &results);
        }
    }
    return results;
}

static int results_same(const struct network *network, const struct results *a, const struct results *b) {
    return floats_same(ROWS * a->state_size, a->state, b->state) &&
           floats_same(STEPS * ROWS * (size_t)chain_width(network), a->y, b->y);
}

static void check_grouping(void) {
    struct network *network = stack_new(11);
    struct sequence s = sequence_new(12);
    struct results whole = run_whole(network, kernels_choose(), &s);

    for (uint64_t seed = 0; seed < 10; seed++) {
        struct results pieces = run_in_pieces(network, kernels_choose(), &s, seed);
        assert_true(results_same(network, &whole, &pieces));
        results_free(&pieces);
    }
    for (int level = 0; kernels_at(level); level++) {
        struct results other = run_whole(network, kernels_at(level), &s);
        assert_true(results_same(network, &whole, &other));
        results_free(&other);
    }
    assert_true(fabsf(whole.y[STEPS * ROWS - 1]) > 0 && fabsf(whole.state[ROWS - 1]) > 0);
    results_free(&whole);
    sequence_free(&s);
    network_free(network);
}

static void test_any_grouping_gives_the_same_bits(void **state) {
    (void)state;
    check_grouping();
}

/* ---- workspace, clone --------------------------------------------------------------------------- */

static void test_nan_stays_in_its_row(void **state) {
    (void)state;
    struct network *network = stack_new(25);
    struct sequence s = sequence_new(26);
    size_t size = network_state_size(network);
    struct results clean = run_whole(network, kernels_choose(), &s);
    s.x[(ROWS + 5) * N_IN] = NAN;
    struct results soiled = run_whole(network, kernels_choose(), &s);
    for (size_t r = 0; r < ROWS; r++)
        assert_int_equal(floats_same(size, clean.state + r * size, soiled.state + r * size), r != 5);
    results_free(&clean);
    results_free(&soiled);
    sequence_free(&s);
    network_free(network);
}

/* Nor by fewer rows in the workspace of a batch. */
static void test_nothing_is_written_past_the_workspace(void **state) {
    (void)state;
    enum { MOST = 8 };
    struct network *network = stack_new(31);
    struct sequence s = sequence_new(32);
    struct results results = results_new(network);
    float *row_state[MOST];
    for (int r = 0; r < MOST; r++)
        row_state[r] = results.state + (size_t)r * results.state_size;
    for (int steps = 1; steps <= STEPS * ROWS / MOST; steps += 3)
        for (int batch = 1; batch <= MOST; batch++) {
            size_t n = network_work_size(network, batch, steps);
            float *work = floats_new(n + GUARD);
            for (size_t i = 0; i < GUARD; i++)
                work[n + i] = 77;
            for (int rows = 1; rows <= batch; rows++)
                network_forward(network, kernels_choose(), rows, steps, s.x, row_state, (float *const[]){results.y},
                                work);
            for (size_t i = 0; i < GUARD; i++)
                assert_true(work[n + i] == 77);
            free(work);
        }
    results_free(&results);
    sequence_free(&s);
    network_free(network);
}

static void test_clone_is_equal_and_apart(void **state) {
    (void)state;
    struct network *network = stack_new(33), *clone = network_clone(network);
    struct sequence s = sequence_new(34);
    assert_non_null(clone);
    assert_int_equal(network_n_params(clone), network_n_params(network));
    struct results of_network = run_whole(network, kernels_choose(), &s);
    network_params(clone)[0] += 1;
    struct results of_changed = run_whole(clone, kernels_choose(), &s),
                   again = run_whole(network, kernels_choose(), &s);
    assert_true(results_same(network, &of_network, &again));
    assert_false(results_same(network, &of_network, &of_changed));
    network_params(clone)[0] = network_params(network)[0];
    network_free(network);
    struct results of_clone = run_whole(clone, kernels_choose(), &s);
    assert_true(results_same(clone, &of_network, &of_clone));
    results_free(&of_network);
    results_free(&of_changed);
    results_free(&again);
    results_free(&of_clone);
    sequence_free(&s);
    network_free(clone);
    network_free(NULL);
}

/* ---- packed weights ----------------------------------------------------------------------------- */

/* Whether packed once, or in each call; after the parameters have changed; by whichever kernels. */
static void test_packed_weights_give_the_same_bits(void **state) {
    (void)state;
    struct network *network = stack_new(41);
    struct sequence s = sequence_new(42);
    struct results before = run_whole(network, kernels_choose(), &s);
    assert_int_equal(network_pack(network, kernels_choose()), 0);
    struct results packed = run_whole(network, kernels_choose(), &s),
                   by_reference = run_whole(network, kernels_at(0), &s);
    assert_true(results_same(network, &before, &packed));
    assert_true(results_same(network, &before, &by_reference));
    network_params(network)[0] += 1;
    struct results changed = run_whole(network, kernels_choose(), &s);
    assert_false(results_same(network, &before, &changed));
    assert_int_equal(network_pack(network, kernels_choose()), 0);
    struct results again = run_whole(network, kernels_choose(), &s);
    assert_true(results_same(network, &changed, &again));
    results_free(&before);
    results_free(&packed);
    results_free(&by_reference);
    results_free(&changed);
    results_free(&again);
    sequence_free(&s);
    network_free(network);
}

/* Near the floats, not the same; its clone too, and its parameters are as they were. */
static void test_precision_rounds_what_serves(void **state) {
    (void)state;
    struct network *network = stack_new(43);
    struct sequence s = sequence_new(44);
    size_t n = STEPS * ROWS * (size_t)chain_width(network);
    struct results floats = run_whole(network, kernels_choose(), &s);
    float weight = network_params_const(network)[1];
    network_pack(network, kernels_choose());
    network_set_precision(network, PRECISION_BF16);
    struct network *clone = network_clone(network);
    struct results unpacked = run_whole(network, kernels_choose(), &s);
    network_pack(network, kernels_choose());
    struct results packed = run_whole(network, kernels_choose(), &s),
                   of_clone = run_whole(clone, kernels_choose(), &s);
    assert_true(results_same(network, &unpacked, &packed));
    assert_true(results_same(network, &unpacked, &of_clone));
    double distance = floats_distance(n, packed.y, floats.y);
    assert_true(distance > 0 && distance < 0.02);
    assert_true(network_params_const(network)[1] == weight);
    results_free(&floats);
    results_free(&unpacked);
    results_free(&packed);
    results_free(&of_clone);
    sequence_free(&s);
    network_free(network);
    network_free(clone);
}

/* ---- sizes, initial weights --------------------------------------------------------------------- */

static void test_sizes(void **state) {
    (void)state;
    struct network *network = stack_new(41);
    size_t dense_1 = (3 + 1) * 5, lstm_1 = 4 * 7 * (5 + 7 + 1), lstm_2 = 4 * 9 * (7 + 9 + 1), dense_2 = (9 + 1) * 2;
    assert_int_equal(network_n_inputs(network), 3);
    assert_int_equal(chain_width(network), 2);
    assert_int_equal(network_state_size(network), 2 * 7 + 2 * 9);
    assert_int_equal(network_n_params(network), dense_1 + lstm_1 + lstm_2 + dense_2);
    assert_ptr_equal(network_params(network), network_params_const(network));
    network_free(network);
}

static void test_new_parameters_are_zero(void **state) {
    (void)state;
    struct error err;
    struct network *network = chain_new(N_IN, stack, 4, &err);
    for (size_t i = 0; i < network_n_params(network); i++)
        assert_true(network_params(network)[i] == 0);
    network_free(network);
}

static void check_uniform(size_t n, const float *w, double limit) {
    double most = 0, sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)w[i]));
        sum += (double)w[i];
        squares += (double)w[i] * (double)w[i];
    }
    assert_true(most <= limit && most > 0.98 * limit);
    assert_true(fabs(sum / (double)n) < 0.05 * limit);
    assert_true(fabs(squares / (double)n / (limit * limit / 3) - 1) < 0.1);
}

static void test_initial_weights_are_keras(void **state) {
    (void)state;
    enum { HIDDEN = 24, IN = 20, GATES = 4 * HIDDEN, UNITS = 60 };
    struct error err;
    struct network *network =
        chain_new(IN, (struct layer_spec[]){LSTM(HIDDEN), DENSE(UNITS, ACTIVATION_LINEAR)}, 2, &err);
    network_init_weights(network, 1);
    const float *kernel = network_params(network), *recurrent = kernel + IN * GATES;
    const float *bias = recurrent + HIDDEN * GATES, *dense = bias + GATES;

    check_uniform(IN * GATES, kernel, sqrt(6.0 / (IN + GATES)));
    check_uniform(HIDDEN * UNITS, dense, sqrt(6.0 / (HIDDEN + UNITS)));
    for (int a = 0; a < HIDDEN; a++)
        for (int b = 0; b < HIDDEN; b++) {
            double dot = 0;
            for (int j = 0; j < GATES; j++)
                dot += (double)recurrent[a * GATES + j] * (double)recurrent[b * GATES + j];
            assert_true(fabs(dot - (a == b)) < 1e-6);
        }
    for (int j = 0; j < GATES; j++)
        assert_true(bias[j] == (j >= HIDDEN && j < 2 * HIDDEN ? 1.0f : 0.0f));
    for (int j = 0; j < UNITS; j++)
        assert_true(dense[HIDDEN * UNITS + j] == 0);
    network_free(network);
}

static uint64_t params_hash(uint64_t seed) {
    struct network *network = stack_new(seed);
    uint64_t hash = rng_hash(0, network_params(network), network_n_params(network) * sizeof(float));
    network_free(network);
    return hash;
}

static void test_a_seed_gives_its_weights(void **state) {
    (void)state;
    assert_true(params_hash(5) == params_hash(5));
    assert_true(params_hash(5) != params_hash(6));
}

/* The bits that any machine, compiler and level have to give. They change only with the arithmetic, and
 * then every stored state and recorded forecast changes its meaning too. */
static void test_the_bits_are_those_of_every_machine(void **state) {
    (void)state;
    struct network *network = stack_new(51);
    struct sequence s = sequence_new(52);
    struct results results = run_whole(network, kernels_choose(), &s);
    uint64_t hash = rng_hash(0, results.y, STEPS * ROWS * 2 * sizeof(float));
    print_message("weights %#018lx, forecasts %#018lx\n", (unsigned long)params_hash(51), (unsigned long)hash);
    assert_true(params_hash(51) == WEIGHTS_HASH);
    assert_true(hash == FORECASTS_HASH);
    results_free(&results);
    sequence_free(&s);
    network_free(network);
}

/* What Keras 3.15's to_snake_case makes of them. */
static void test_names_are_keras(void **state) {
    (void)state;
    static const char *const names[][2] = {
        {"Dense", "dense"},
        {"LSTM", "lstm"},
        {"SimpleRNN", "simple_rnn"},
        {"PReLU", "p_re_lu"},
        {"LeakyReLU", "leaky_re_lu"},
        {"Conv1D", "conv1d"},
        {"MaxPooling1D", "max_pooling1d"},
        {"GlobalAveragePooling1D", "global_average_pooling1d"},
        {"BatchNormalization", "batch_normalization"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[64];
        layer_snake_case(names[i][0], name);
        assert_string_equal(name, names[i][1]);
    }
    assert_string_equal(layer_kind_name(LAYER_MASKING), "Masking");
    assert_null(layer_kind_name(N_LAYER_KINDS));
}

/* ---- errors ------------------------------------------------------------------------------------- */

static void check_refused(int n_inputs, const struct layer_spec *layers, int n_layers, const char *text) {
    struct error err = {.text = ""};
    assert_null(chain_new(n_inputs, layers, n_layers, &err));
    if (!strstr(err.text, text))
        print_message("\"%s\" lacks \"%s\"\n", err.text, text);
    assert_non_null(strstr(err.text, text));
}

static void test_errors_name_the_layer(void **state) {
    (void)state;
    struct layer_spec layers[] = {LSTM(4), DENSE(0, ACTIVATION_LINEAR)};
    check_refused(0, layers, 1, "0 inputs");
    check_refused(3, layers, 0, "no layers");
    check_refused(3, layers, 2, "layer dense (Dense): units is 0");
    layers[1].units = 1 << 20;
    check_refused(3, layers, 2, "layer dense (Dense): units is 1048576");
    layers[1] = (struct layer_spec){.kind = LAYER_DENSE, .units = 1, .activation = N_ACTIVATIONS};
    check_refused(3, layers, 2, "layer dense (Dense): activation 14 is unknown");
    layers[0].kind = (enum layer_kind)77;
    check_refused(3, layers, 2, "layer 1 of 2: kind 77 is unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_grouping_gives_the_same_bits),
        cmocka_unit_test(test_nan_stays_in_its_row),
        cmocka_unit_test(test_nothing_is_written_past_the_workspace),
        cmocka_unit_test(test_clone_is_equal_and_apart),
        cmocka_unit_test(test_packed_weights_give_the_same_bits),
        cmocka_unit_test(test_precision_rounds_what_serves),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_new_parameters_are_zero),
        cmocka_unit_test(test_initial_weights_are_keras),
        cmocka_unit_test(test_a_seed_gives_its_weights),
        cmocka_unit_test(test_the_bits_are_those_of_every_machine),
        cmocka_unit_test(test_names_are_keras),
        cmocka_unit_test(test_errors_name_the_layer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
