#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/evaluation.h"
#include "engine/forecaster.h"
#include "engine/random.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void assert_near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance * fmax(1, fabs(b))))
        fail_msg("%.12g is not %.12g", a, b);
}

/* ---- windows by hand ------------------------------------------------------------------------ */

/* Of random values; missing ones with some probability, the first ones always. base is as its comment says. */
static struct window window_random(const struct config_model *model, struct rng *rng, int n, int score_from,
                                   int never_before) {
    size_t n_inputs = (size_t)model->n_inputs, n_targets = (size_t)model->n_targets;
    struct window window = {.n = n, .score_from = score_from, .validation = true};
    window.x = malloc((size_t)n * n_inputs * sizeof *window.x);
    window.z = malloc((size_t)n * n_targets * sizeof *window.z);
    window.base = malloc((size_t)n * n_targets * sizeof *window.base);
    for (size_t i = 0; i < (size_t)n * n_inputs; i++)
        window.x[i] = (float)rng_normal(rng);
    for (size_t i = 0; i < (size_t)n * n_targets; i++) {
        bool missing = i < (size_t)never_before * n_targets || rng_below(rng, 5) == 0;
        window.z[i] = missing ? NAN : (float)rng_normal(rng);
        window.base[i] = !missing ? window.z[i] : i >= n_targets ? window.base[i - n_targets] : NAN;
    }
    return window;
}

static void window_fini(struct window *window) {
    free(window->x);
    free(window->z);
    free(window->base);
}

enum { WINDOWS = 7 };

struct set {
    struct window window[WINDOWS];
    const struct window *windows[WINDOWS];
};

static void set_init(struct set *set, const struct config_model *model) {
    const int lengths[WINDOWS] = {20, 33, 9, 50, 20, 14, 4}; /* the last has no origin */
    struct rng rng = {4};
    for (int i = 0; i < WINDOWS; i++) {
        set->window[i] = window_random(model, &rng, lengths[i], i == 2 ? 0 : 3, i == 1 ? 12 : 0);
        set->windows[i] = &set->window[i];
    }
}

static void set_fini(struct set *set) {
    for (int i = 0; i < WINDOWS; i++)
        window_fini(&set->window[i]);
}

static bool never(void *context) {
    (void)context;
    return false;
}

static void baselines(const struct config_model *model, enum evaluation_part part,
                      const struct window *const *windows, int n, struct promotion_losses *losses) {
    const struct evaluation evaluation = {.model = model, .part = part, .windows = windows, .n = n, .stop = never};
    evaluation_baselines(&evaluation, losses);
}

static double evaluate_part(const struct config_model *model, const struct network *network,
                            enum evaluation_part part, const struct set *set, int rows, int steps,
                            struct loss_series *series) {
    struct chunk chunk;
    assert_int_equal(chunk_init(&chunk, model, rows, steps), 0);
    struct tape *tape = tape_new(network, rows, steps);
    float *state = malloc((size_t)rows * network_state_size(network) * sizeof *state + 1);
    const struct evaluation evaluation = {.model = model,
                                          .kernels = kernels_choose(),
                                          .chunk = &chunk,
                                          .tape = tape,
                                          .state = state,
                                          .part = part,
                                          .windows = set->windows,
                                          .n = WINDOWS,
                                          .stop = never};
    double loss = evaluation_network(&evaluation, network, series);
    chunk_fini(&chunk);
    tape_free(tape);
    free(state);
    return loss;
}

static double evaluate(const struct config_model *model, const struct network *network, const struct set *set,
                       int rows, int steps) {
    return evaluate_part(model, network, EVALUATION_ALL, set, rows, steps, NULL);
}

static struct network *network_of(const struct config_model *model, uint64_t seed) {
    struct error err;
    struct network *network = forecaster_network(model, &err);
    if (seed > 0)
        network_init_weights(network, seed);
    return network;
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* A residual network without weights says the last value: its loss is that baseline's, over the same forecasts. */
static void a_network_that_says_the_last_value(void **state) {
    (void)state;
    for (enum loss loss = LOSS_MSE; loss <= LOSS_HUBER; loss++) {
        struct fixture fixture;
        fixture_init(&fixture, 3);
        fixture.model.training.loss = loss;
        struct set set;
        set_init(&set, &fixture.model);
        struct network *zero = network_of(&fixture.model, 0);
        struct promotion_losses losses;
        baselines(&fixture.model, EVALUATION_ALL, set.windows, WINDOWS, &losses);
        assert_true(losses.last_value > 0.1);
        assert_near(evaluate(&fixture.model, zero, &set, 4, 8), losses.last_value, 1e-6);
        network_free(zero);
        set_fini(&set);
    }
}

/* One that says zero: the mean over the forecasts by which the baselines are judged, and no others. */
static void the_same_forecasts_are_judged(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    const struct config_model *model = &fixture.model;
    fixture.model.residual = false;
    struct set set;
    set_init(&set, model);
    double sum = 0;
    int n = 0;
    for (int w = 0; w < WINDOWS; w++)
        for (int origin = set.window[w].score_from; origin + model->horizon < set.window[w].n; origin++)
            for (int h = 1; h <= model->horizon; h++)
                for (int j = 0; j < 2; j++) {
                    double z = (double)set.window[w].z[(origin + h) * 2 + j];
                    if (isnan(z) || isnan(set.window[w].base[origin * 2 + j]))
                        continue;
                    sum += z * z;
                    n++;
                }
    struct network *zero = network_of(model, 0);
    assert_near(evaluate(model, zero, &set, 4, 8), sum / n, 1e-6);
    network_free(zero);
    set_fini(&set);
}

/* However windows are put together: rows that have ended, and borders of chunks, count nothing. */
static void grouping_changes_nothing(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    struct set set;
    set_init(&set, &fixture.model);
    struct network *network = network_of(&fixture.model, 5);
    double expected = evaluate(&fixture.model, network, &set, 1, 64);
    const int groups[][2] = {{1, 1}, {2, 7}, {3, 64}, {7, 10}, {16, 50}, {16, 1}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        assert_near(evaluate(&fixture.model, network, &set, groups[i][0], groups[i][1]), expected, 1e-5);
    network_free(network);
    set_fini(&set);
}

/* What is judged is what would be served: the same windows through network_forward, from a zero state. */
static void it_is_what_serves(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    const struct config_model *model = &fixture.model;
    struct set set;
    set_init(&set, model);
    struct network *network = network_of(model, 5);
    double sum = 0;
    int n = 0;
    for (int w = 0; w < WINDOWS; w++) {
        const struct window *window = &set.window[w];
        float *row = calloc(network_state_size(network), sizeof *row), y[6], *out = y;
        float *work = malloc(network_work_size(network, 1, 1) * sizeof *work);
        for (int at = 0; at < window->n; at++) {
            network_forward(network, kernels_choose(), 1, 1, window->x + 3 * at, &row, &out, work);
            for (int h = 1; at >= window->score_from && at + 3 < window->n && h <= 3; h++)
                for (int j = 0; j < 2; j++) {
                    double z = (double)window->z[(at + h) * 2 + j], base = (double)window->base[at * 2 + j];
                    double error = base + (double)y[(h - 1) * 2 + j] - z;
                    if (isnan(error))
                        continue;
                    sum += error * error;
                    n++;
                }
        }
        free(row);
        free(work);
    }
    assert_near(evaluate(model, network, &set, 3, 8), sum / n, 1e-5);
    network_free(network);
    set_fini(&set);
}

/* Steps 1 2 3 | 1 2 9 ..., horizon 2, a season of 3, scored at the fourth and fifth step:
 *     origin 4 (1): answers 2, 9; last value 1, 1: 1, 64; seasonal 2, 3: 0, 36
 *     origin 5 (2): answers 9, missing; last value: 49; seasonal 3: 36 */
static void baselines_by_hand(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    fixture.model.horizon = 2;
    fixture.model.period = 3;
    float values[] = {1, 2, 3, 1, 2, 9, NAN}, base[] = {1, 2, 3, 1, 2, 9, 9};
    const struct window window = {.n = 7, .score_from = 3, .x = base, .z = values, .base = base};
    struct promotion_losses losses;
    baselines(&fixture.model, EVALUATION_ALL, &(const struct window *){&window}, 1, &losses);
    assert_near(losses.last_value, (1 + 64 + 49) / 3.0, 1e-12);
    assert_near(losses.seasonal, (0 + 36 + 36) / 3.0, 1e-12);
    fixture.model.period = 0;
    baselines(&fixture.model, EVALUATION_ALL, &(const struct window *){&window}, 1, &losses);
    assert_near(losses.last_value, (1 + 64 + 49) / 3.0, 1e-12);
    assert_true(isnan(losses.seasonal));
    /* Seasons shorter than the horizon: what was known at the origin, and nothing later. */
    fixture.model.period = 1;
    baselines(&fixture.model, EVALUATION_ALL, &(const struct window *){&window}, 1, &losses);
    assert_near(losses.seasonal, (1 + 64 + 49) / 3.0, 1e-12);
    /* A window that begins where its states do has the season before it. */
    fixture.model.period = 3;
    const struct window later = {.n = 4, .before = 3, .x = base + 3, .z = values + 3, .base = base + 3};
    baselines(&fixture.model, EVALUATION_ALL, &(const struct window *){&later}, 1, &losses);
    assert_near(losses.last_value, (1 + 64 + 49) / 3.0, 1e-12);
    assert_near(losses.seasonal, (0 + 36 + 36) / 3.0, 1e-12);
    const struct window alone = {.n = 4, .before = 1, .x = base + 3, .z = values + 3, .base = base + 3};
    baselines(&fixture.model, EVALUATION_ALL, &(const struct window *){&alone}, 1, &losses);
    assert_near(losses.seasonal, (1 + 36 + 36) / 3.0, 1e-12);
    /* Without a season in the window, or where it is missing: the last value. */
    fixture.model.period = 6;
    baselines(&fixture.model, EVALUATION_ALL, &(const struct window *){&window}, 1, &losses);
    assert_near(losses.seasonal, (1 + 64 + 49) / 3.0, 1e-12);
    fixture.model.period = 3;
    values[2] = NAN;
    base[2] = 2;
    baselines(&fixture.model, EVALUATION_ALL, &(const struct window *){&window}, 1, &losses);
    assert_near(losses.seasonal, (0 + 64 + 49) / 3.0, 1e-12);
}

/* Each origin's loss is told, counted back from the newest one of its window, so that windows meet at the same
 * times. */
static void losses_over_time(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    struct set set;
    set_init(&set, &fixture.model);
    struct network *zero = network_of(&fixture.model, 0);
    for (enum evaluation_part part = EVALUATION_ALL; part <= EVALUATION_JUDGES; part++) {
        struct promotion_losses losses;
        baselines(&fixture.model, part, set.windows, WINDOWS, &losses);
        const struct loss_series *expected = &losses.over_time.last_value;
        struct loss_series series = {0};
        double loss = evaluate_part(&fixture.model, zero, part, &set, 4, 8, &series);
        assert_near(loss_series_mean(&series), loss, 1e-6);
        assert_true(series.n > 0 && series.n == expected->n && series.doublings == 0);
        for (int i = 0; i < series.n; i++) {
            assert_near(series.weight[i], expected->weight[i], 0);
            assert_near(series.loss[i], expected->loss[i], 1e-4);
        }
    }
    network_free(zero);
    set_fini(&set);
}

static void nothing_to_judge_by(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    float missing[] = {NAN, NAN, NAN, NAN, NAN, NAN}, x[6] = {0};
    const struct window all_missing = {.n = 6, .score_from = 0, .x = x, .z = missing, .base = missing};
    const struct window too_short = {.n = 3, .score_from = 0, .x = x, .z = x, .base = x};
    const struct window *const windows[] = {&all_missing, &too_short};
    struct network *network = network_of(&fixture.model, 1);
    struct chunk chunk;
    chunk_init(&chunk, &fixture.model, 2, 4);
    struct tape *tape = tape_new(network, 2, 4);
    float *scratch = calloc(2 * network_state_size(network), sizeof *scratch);
    for (int n = 0; n <= 2; n++) {
        struct promotion_losses losses;
        baselines(&fixture.model, EVALUATION_ALL, windows, n, &losses);
        assert_true(isnan(losses.last_value) && isnan(losses.seasonal));
        const struct evaluation evaluation = {.model = &fixture.model,
                                              .kernels = kernels_choose(),
                                              .chunk = &chunk,
                                              .tape = tape,
                                              .state = scratch,
                                              .windows = windows,
                                              .n = n,
                                              .stop = never};
        assert_true(isnan(evaluation_network(&evaluation, network, NULL)));
        assert_true(isnan(evaluation_network(&evaluation, NULL, NULL)));
    }
    chunk_fini(&chunk);
    tape_free(tape);
    free(scratch);
    network_free(network);
}

/* Steps 1 2 4 7 11 16 22 29 37 46, horizon 1, all scored: nine origins, of which the older third but the last one,
 * whose answer the others begin at, chooses. The last value errs by the step's number. */
static void parts_by_hand(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    fixture.model.horizon = 1;
    fixture.model.period = 0;
    float values[] = {1, 2, 4, 7, 11, 16, 22, 29, 37, 46};
    const struct window window = {.n = 10, .x = values, .z = values, .base = values}, *one = &window;
    struct promotion_losses losses;
    baselines(&fixture.model, EVALUATION_CHOOSES, &one, 1, &losses);
    assert_near(losses.last_value, (1 + 4 + 9) / 3.0, 1e-12);
    baselines(&fixture.model, EVALUATION_JUDGES, &one, 1, &losses);
    assert_near(losses.last_value, (16 + 25 + 36 + 49 + 64 + 81) / 6.0, 1e-12);
    /* Of six that are scored the first two choose. */
    const struct window behind = {.n = 10, .score_from = 3, .x = values, .z = values, .base = values},
                        *other = &behind;
    baselines(&fixture.model, EVALUATION_CHOOSES, &other, 1, &losses);
    assert_near(losses.last_value, (16 + 25) / 2.0, 1e-12);
    baselines(&fixture.model, EVALUATION_JUDGES, &other, 1, &losses);
    assert_near(losses.last_value, (36 + 49 + 64 + 81) / 4.0, 1e-12);
    /* Eight origins, two of which could choose: but the answers of both reach into the rest. */
    fixture.model.horizon = 2;
    baselines(&fixture.model, EVALUATION_CHOOSES, &one, 1, &losses);
    assert_near(losses.last_value, (1 + 9) / 2.0, 1e-12);
    fixture.model.horizon = 3;
    baselines(&fixture.model, EVALUATION_CHOOSES, &one, 1, &losses);
    assert_true(isnan(losses.last_value));
}

/* Steps 1 2 4 7 11 16 22 29 37, horizon 2, all scored, ticks missing before the fifth, nothing observed at the
 * seventh: what is behind the gap answers nothing from before it, and nothing is forecast at the seventh. The last
 * value errs by
 *     1, 3 | 2, 5 | 3 | nothing | 5, 11 | 6, 13 | nothing */
static void gaps_by_hand(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    fixture.model.horizon = 2;
    fixture.model.period = 0;
    float values[] = {1, 2, 4, 7, 11, 16, 22, 29, 37};
    uint8_t flags[9] = {0};
    flags[4] = WINDOW_GAP;
    flags[6] = WINDOW_BLIND;
    const struct window window = {.n = 9, .x = values, .z = values, .base = values, .flags = flags}, *one = &window;
    struct promotion_losses losses;
    baselines(&fixture.model, EVALUATION_ALL, &one, 1, &losses);
    assert_near(losses.last_value, (1 + 9 + 4 + 25 + 9 + 25 + 121 + 36 + 169) / 9.0, 1e-12);
    struct set set;
    for (int i = 0; i < WINDOWS; i++)
        set.windows[i] = &window;
    struct network *network = network_of(&fixture.model, 0);
    assert_near(evaluate(&fixture.model, network, &set, 3, 4), losses.last_value, 1e-5);
    network_free(network);
}

/* Weights of a window whose last step is four steps old, with a half-life of two. */
static void older_answers_weigh_less(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    fixture.model.horizon = 1;
    fixture.model.training.half_life = 2;
    float values[] = {1, 2, NAN, 7};
    struct window window = {.n = 4, .age = 4, .x = values, .z = values, .base = values};
    const struct window *one = &window;
    struct chunk chunk;
    assert_int_equal(chunk_init(&chunk, &fixture.model, 1, 4), 0);
    chunk_set_rows(&chunk, &one, 1, 0);
    assert_near(chunk_fill(&chunk, &fixture.model, EVALUATION_ALL, 1, 4), exp2(-3.5), 1e-6);
    assert_int_equal(chunk.n_answers, 1);
    values[2] = 4;
    assert_near(chunk_fill(&chunk, &fixture.model, EVALUATION_ALL, 1, 4), exp2(-3.5) + exp2(-3) + exp2(-2.5), 1e-6);
    assert_int_equal(chunk.n_answers, 3);
    window.validation = true; /* all judge alike */
    assert_near(chunk_fill(&chunk, &fixture.model, EVALUATION_ALL, 1, 4), 3, 0);
    chunk_fini(&chunk);
}

/* A windowed network is judged at origins half a horizon apart, counted from the last, at which a sample ends; and so
 * are the baselines. */
static void samples_are_spaced(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    fixture.model.mode = MODEL_WINDOWED;
    fixture.model.window = 3;
    fixture.model.horizon = 3;
    fixture.model.period = 0;
    float values[] = {0, 1, 4, 9, 16, 25, 36, 49, 64};
    struct window window = {.n = 9, .validation = true, .x = values, .z = values, .base = values};
    const struct window *one = &window;
    struct promotion_losses losses;
    baselines(&fixture.model, EVALUATION_ALL, &one, 1, &losses);
    double sum = 0;
    for (int origin = 3; origin <= 5; origin += 2)
        for (int h = 1; h <= 3; h++)
            sum += pow((double)(values[origin + h] - values[origin]), 2);
    assert_near(losses.last_value, sum / 6, 1e-9);
}

/* With SCALER_WINDOW each sample is scaled by itself, each feature by its own mean and deviation; so are its answers,
 * and what the baselines err by. */
static void samples_are_scaled_by_themselves(void **state) {
    (void)state;
    enum { STEPS = 5, SAMPLE = 3 };
    struct fixture fixture;
    fixture_init(&fixture, 2);
    fixture.model.mode = MODEL_WINDOWED;
    fixture.model.window = SAMPLE;
    fixture.model.scaler = SCALER_WINDOW;
    fixture.model.horizon = 1;
    fixture.model.period = 0;
    float values[STEPS][2] = {{1, 40}, {3, 10}, {2, 25}, {6, 70}, {5, 30}};
    struct window window = {.n = STEPS, .x = values[0], .z = values[0], .base = values[0]};
    const struct window *one = &window;
    struct promotion_losses losses;
    struct chunk chunk;
    double sum = 0;
    assert_int_equal(chunk_init(&chunk, &fixture.model, 2, SAMPLE), 0);
    for (int origin = SAMPLE - 1; origin < STEPS - 1; origin++) {
        chunk.row[0] = (struct chunk_row){NULL, 0};
        chunk.row[1] = (struct chunk_row){&window, origin - SAMPLE + 1};
        assert_near(chunk_fill(&chunk, &fixture.model, EVALUATION_ALL, 2, SAMPLE), 2, 0);
        for (int j = 0; j < 2; j++) {
            double mean = 0, variance = 0.01 * 0.01;
            for (int s = origin - SAMPLE + 1; s <= origin; s++)
                mean += (double)values[s][j] / SAMPLE;
            for (int s = origin - SAMPLE + 1; s <= origin; s++)
                variance += ((double)values[s][j] - mean) * ((double)values[s][j] - mean) / SAMPLE;
            for (int s = 0; s < SAMPLE; s++)
                assert_near((double)chunk.x[(s * 2 + 1) * 2 + j],
                            ((double)values[origin - SAMPLE + 1 + s][j] - mean) / sqrt(variance), 1e-6);
            double answer = (double)(values[origin + 1][j] - values[origin][j]) / sqrt(variance);
            assert_near((double)chunk.answer[2 + j], answer, 1e-5);
            sum += answer * answer;
        }
    }
    chunk_fini(&chunk);
    baselines(&fixture.model, EVALUATION_ALL, &one, 1, &losses);
    assert_near(losses.last_value, sum / 4, 1e-5);
}

/* What chooses and what judges, for the network and the baselines alike. */
static void the_parts_are_judged_alike(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    struct set set;
    set_init(&set, &fixture.model);
    struct network *network = network_of(&fixture.model, 0);
    double before = NAN;
    for (int part = EVALUATION_ALL; part <= EVALUATION_JUDGES; part++) {
        struct promotion_losses losses;
        baselines(&fixture.model, (enum evaluation_part)part, set.windows, WINDOWS, &losses);
        assert_near(evaluate_part(&fixture.model, network, (enum evaluation_part)part, &set, 3, 8, NULL),
                    losses.last_value, 1e-5);
        assert_true(losses.last_value != before);
        before = losses.last_value;
    }
    network_free(network);
    set_fini(&set);
}

static void a_network_that_is_not_finite(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    struct set set;
    set_init(&set, &fixture.model);
    struct network *network = network_of(&fixture.model, 5);
    network_params(network)[network_n_params(network) - 1] = NAN; /* a bias of the head */
    assert_true(!isfinite(evaluate(&fixture.model, network, &set, 4, 8)));
    network_free(network);
    set_fini(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_that_says_the_last_value),
        cmocka_unit_test(the_same_forecasts_are_judged),
        cmocka_unit_test(grouping_changes_nothing),
        cmocka_unit_test(it_is_what_serves),
        cmocka_unit_test(baselines_by_hand),
        cmocka_unit_test(parts_by_hand),
        cmocka_unit_test(the_parts_are_judged_alike),
        cmocka_unit_test(losses_over_time),
        cmocka_unit_test(gaps_by_hand),
        cmocka_unit_test(older_answers_weigh_less),
        cmocka_unit_test(samples_are_spaced),
        cmocka_unit_test(samples_are_scaled_by_themselves),
        cmocka_unit_test(nothing_to_judge_by),
        cmocka_unit_test(a_network_that_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
