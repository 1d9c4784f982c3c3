#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/event.h"
#include "engine/forecaster.h"
#include "engine/random.h"
#include "engine/training.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <string.h>

static void assert_near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance))
        print_message("%.9g is not %.9g\n", a, b);
    assert_true(fabs(a - b) <= tolerance);
}

/* ---- probabilities and scores ----------------------------------------------------------------- */

static void test_probabilities(void **state) {
    (void)state;
    float two = logf(3), four[] = {logf(1), logf(2), logf(3), logf(4)}, far[] = {1000, 0, -1000};
    assert_int_equal(event_width(2), 1);
    assert_int_equal(event_width(4), 4);
    event_probabilities(2, &two, &two);
    assert_near((double)two, 0.75, 1e-6);
    event_probabilities(4, four, four);
    for (int i = 0; i < 4; i++)
        assert_near((double)four[i], (i + 1) / 10.0, 1e-6);
    event_probabilities(3, far, far);
    assert_true(far[0] == 1 && far[1] == 0 && far[2] == 0);
    far[1] = NAN;
    event_probabilities(3, far, far);
    assert_true(isnan(far[0]));
}

static void test_labels(void **state) {
    (void)state;
    assert_true(event_is_label(3, 0) && event_is_label(3, 2));
    assert_false(event_is_label(3, 3) || event_is_label(3, -1) || event_is_label(3, 0.5) || event_is_label(3, NAN) ||
                 event_is_label(3, INFINITY));
}

static void test_scores_by_hand(void **state) {
    (void)state;
    struct event_score two = {0}, three = {0};
    event_score_add(&two, 2, (const float[]){0.75f}, 1);
    assert_near(two.all.brier, 0.0625, 1e-9);
    event_score_add(&two, 2, (const float[]){0.75f}, 0);
    assert_true(two.n == 2);
    assert_near(two.all.brier, (0.0625 + 0.5625) / 2, 1e-9);
    assert_near(two.all.accuracy, 0.5, 1e-9);
    assert_near(two.recent.brier, two.all.brier, 1e-9);
    event_score_add(&three, 3, (const float[]){0.5f, 0.25f, 0.25f}, 1);
    assert_near(three.all.brier, 0.25 + 0.5625 + 0.0625, 1e-9);
    assert_near(three.all.accuracy, 0, 0);
    for (int i = 0; i < 20000; i++)
        event_score_add(&three, 3, (const float[]){0, 1, 0}, 1);
    assert_near(three.recent.accuracy, 1, 1e-6);
    assert_near(three.all.accuracy, 20000.0 / 20001, 1e-9);
}

static void test_baseline(void **state) {
    (void)state;
    double two[2] = {0}, three[3] = {0};
    float p[3];
    event_baseline(two, 2, p);
    assert_near((double)p[0], 0.5, 1e-7); /* nothing is known */
    event_baseline(three, 3, p);
    assert_near((double)p[2], 1.0 / 3, 1e-7);
    event_count(two, 2, 0);
    event_baseline(two, 2, p);
    assert_near((double)p[0], 1.0 / 3, 1e-7);
    for (int i = 0; i < 20000; i++)
        event_count(three, 3, i % 4 == 0 ? 2 : 0);
    event_baseline(three, 3, p);
    assert_near((double)p[0], 751.0 / 1003, 2e-3);
    assert_near((double)p[1], 1.0 / 1003, 1e-4); /* rare is not never */
    assert_near((double)p[0] + (double)p[1] + (double)p[2], 1, 1e-6);
    for (int i = 0; i < 5000; i++) /* what was long ago is forgotten */
        event_count(three, 3, 1);
    event_baseline(three, 3, p);
    assert_true(p[1] > 0.98f);
}

/* ---- learning from labels --------------------------------------------------------------------- */

/* The label of a step tells how many of its and the step before's two values are above the level; in one of ten steps
 * it is any other. Some steps have none. */
static int label_of(int classes, struct rng *rng, const double *values, const double *before) {
    int n = 0;
    for (int f = 0; f < 2; f++)
        n += (values[f] > 10) + (before[f] > 10);
    n = n * classes / 5;
    return rng_uniform(rng) < 0.1 ? (int)rng_below(rng, (uint64_t)classes) : n;
}

static void event_fixture(struct fixture *fixture, int classes) {
    fixture_init(fixture, 2);
    fixture->class.history = 600;
    fixture->model.n_targets = 0;
    fixture->model.horizon = 0;
    fixture->model.head = HEAD_EVENT;
    fixture->model.classes = classes;
    fixture->model.residual = false;
    fixture->model.n_layers = 1;
    fixture->model.training.loss = classes == 2 ? LOSS_BINARY_CROSSENTROPY : LOSS_CATEGORICAL_CROSSENTROPY;
    fixture->model.training.window = 48;
    fixture->model.training.unroll = 16;
    fixture->model.training.epochs = 40;
}

/* Appends a step, and tells its label; NaN in *ret_label: none. */
static void append(struct history *history, struct rng *rng, int classes, float *ret_label) {
    double values[2] = {10 + rng_normal(rng), 10 + rng_normal(rng)};
    const double none[2] = {0, 0}, *before = history->n > 0 ? history_values(history, history->n) : none;
    int label = label_of(classes, rng, values, before);
    *ret_label = rng_uniform(rng) < 0.2 ? NAN : (float)label;
    history_append(history, (int64_t)history->n + 1, values, 0);
}

static struct training_outcome train(const struct config_model *model) {
    struct windows *set = windows_new(model, 1000, 4, 600);
    struct training_outcome outcome = {0};
    struct error err;
    for (int s = 0; s < 4; s++) {
        struct history *history = history_new(2, 600, FIXTURE_PENDING);
        struct rng rng = {.state = (uint64_t)s + 1};
        struct scaler scalers[2] = {{0}};
        struct windows_cursor cursor;
        assert_int_equal(history_keep_labels(history), 0);
        for (int i = 0; i < 600; i++) {
            float label;
            append(history, &rng, model->classes, &label);
            if (i % 50 == 49) /* of another model's event, which has more classes */
                history_label(history, i + 1, 9);
            else if (!isnan(label))
                assert_int_equal(history_label(history, i + 1, label), i + 1);
            for (int f = 0; f < 2; f++)
                scaler_update(&scalers[f], history_values(history, history->n)[f]);
        }
        assert_true(windows_begin(&cursor, model, (const char[]){(char)('a' + s), 0}, history, 600));
        while (windows_copy(set, &cursor, history, scalers))
            ;
        history_free(history);
    }
    assert_int_equal(training_run(model, kernels_choose(), &set, 1, NULL, NULL, &outcome, &err), 0);
    windows_free(set);
    return outcome;
}

/* A forecaster with the network sees a new stream, whose labels come 20 steps later, or (at once) before the step is
 * seen. */
static struct event_score serve(const struct fixture *fixture, struct network *network, bool at_once) {
    enum { STEPS = 2000, LATE = 20 };
    struct forecaster *f = forecaster_new(&fixture->class, &fixture->model, kernels_choose());
    struct version *version = version_new(1, network);
    struct history *history = history_new(2, fixture->class.history, fixture->class.pending);
    struct rng rng = {.state = 77};
    float labels[STEPS + 1];
    assert_int_equal(history_keep_labels(history), 0);
    assert_int_equal(forecaster_propose(f, version), 0);
    while (!forecaster_prime(f))
        ;
    forecaster_acquire(f, 0, history);
    for (int step = 1; step <= STEPS; step++) {
        append(history, &rng, fixture->model.classes, &labels[step]);
        int told = at_once ? step : step - LATE;
        if (told > 0 && !isnan(labels[told]))
            forecaster_label(f, 0, history_label(history, told, labels[told]));
        forecaster_advance(f, (const int[]){0}, 1);
        const struct forecast *forecast = forecaster_latest(f, 0);
        assert_true(forecast->from_network && forecast->n_outputs == 1);
        assert_int_equal(forecast->outputs[0].shape.width, event_width(fixture->model.classes));
        if (told == STEPS / 2 && !isnan(labels[told])) { /* told once more, it counts once */
            uint64_t n = forecast->event->n;
            forecaster_label(f, 0, history_label(history, told, labels[told]));
            assert_int_equal(forecast->event->n, n);
        }
    }
    const struct event_score score = *forecaster_latest(f, 0)->event;
    version_release(version);
    history_free(history);
    forecaster_free(f);
    return score;
}

static void it_learns_from_labels(void **state) {
    (void)state;
    const struct promotion_rules rules = {.horizon = 0, .margin = 0.01, .beat_baseline = true};
    for (int classes = 2; classes <= 5; classes += 3) {
        struct fixture fixture;
        event_fixture(&fixture, classes);
        struct training_outcome outcome = train(&fixture.model);
        assert_non_null(outcome.challenger);
        struct network *twin = network_clone(outcome.challenger);
        print_message("%d classes: cross-entropy %.3f, of the shares %.3f\n", classes, outcome.losses.challenger,
                      outcome.losses.last_value);
        assert_true(outcome.losses.challenger < 0.75 * outcome.losses.last_value);
        assert_int_equal(promotion_decide(&outcome.losses, &rules).decision, PROMOTION_PROMOTE);
        struct event_score late = serve(&fixture, outcome.challenger, false), at_once = serve(&fixture, twin, true);
        print_message("%llu labels: accuracy %.3f, Brier score %.3f\n", (unsigned long long)late.n, late.all.accuracy,
                      late.all.brier);
        assert_true(late.n > 1500 && late.n < 1700 && at_once.n > late.n && at_once.n <= late.n + 20);
        assert_true(late.all.accuracy > (classes == 2 ? 0.85 : 0.65));
        assert_true(late.all.brier < (classes == 2 ? 0.12 : 0.5));
        assert_near(at_once.all.brier, late.all.brier, 0.01);
    }
}

/* Without a version the labels' shares are published, as they were known at each step, and scored; nothing in a pause
 * counts. */
static void before_a_version_the_labels_speak(void **state) {
    (void)state;
    struct fixture fixture;
    event_fixture(&fixture, 2);
    struct forecaster *f = forecaster_new(&fixture.class, &fixture.model, kernels_choose());
    struct history *history = history_new(2, fixture.class.history, fixture.class.pending);
    const double values[2] = {1, 2};
    double counts[2] = {0};
    float wanted;
    assert_int_equal(history_keep_labels(history), 0);
    forecaster_acquire(f, 0, history);
    for (int step = 1; step <= 300; step++) {
        bool paused = step > 100 && step <= 150;
        history_pause(history, paused);
        history_append(history, step, values, 0);
        forecaster_advance(f, (const int[]){0}, 1);
        const struct forecast *forecast = forecaster_latest(f, 0);
        assert_false(forecast->from_network);
        assert_int_equal(forecast->baseline, BASELINE_LABELS);
        assert_int_equal(forecast->n_outputs, 1);
        event_baseline(counts, 2, &wanted);
        assert_true(forecast->outputs[0].at[0] == wanted);
        forecaster_label(f, 0, history_label(history, step, step % 3 == 0));
        if (!paused)
            event_count(counts, 2, step % 3 == 0);
        assert_int_equal(forecaster_event_score(f, 0)->n, paused ? 100 : step < 101 ? step : step - 50);
    }
    assert_true(wanted > 0.3f && wanted < 0.36f);
    assert_near(forecaster_event_score(f, 0)->all.brier, 2.0 / 9, 0.02);
    forecaster_release(f, 0); /* another stream begins without them */
    forecaster_acquire(f, 0, history);
    history_append(history, 301, values, 0);
    forecaster_advance(f, (const int[]){0}, 1);
    assert_true(forecaster_latest(f, 0)->outputs[0].at[0] == 0.5f);
    history_free(history);
    forecaster_free(f);
}

/* ---- labels of steps -------------------------------------------------------------------------- */

static void test_labels_of_steps(void **state) {
    (void)state;
    struct history *history = history_new(1, 4, 2);
    const double value = 1;
    history_append(history, 10, &value, 0);
    assert_int_equal(history_label(history, 10, 1), 0); /* none are kept */
    assert_true(isnan(history_label_of(history, 1)));
    assert_int_equal(history_keep_labels(history), 0);
    for (int i = 2; i <= 9; i++)
        history_append(history, 10 * i, &value, 0);
    assert_int_equal(history_label(history, 90, 3), 9);
    assert_int_equal(history_label(history, 40, 2), 4); /* the oldest */
    assert_int_equal(history_label(history, 70, 1), 7);
    assert_int_equal(history_label(history, 30, 1), 0);
    assert_int_equal(history_label(history, 100, 1), 0);
    assert_int_equal(history_label(history, 75, 1), 0);
    assert_true(history_label_of(history, 9) == 3 && history_label_of(history, 4) == 2 &&
                history_label_of(history, 7) == 1);
    assert_true(isnan(history_label_of(history, 8)) && isnan(history_label_of(history, 3)) &&
                isnan(history_label_of(history, 10)));
    history_append(history, 100, &value, 0); /* in the place of step 4 */
    assert_true(isnan(history_label_of(history, 10)) && isnan(history_label_of(history, 4)));
    history_free(history);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probabilities),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_scores_by_hand),
        cmocka_unit_test(test_labels_of_steps),
        cmocka_unit_test(it_learns_from_labels),
        cmocka_unit_test(test_baseline),
        cmocka_unit_test(before_a_version_the_labels_speak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
