#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/baseline.h"
#include "engine/intervals.h"
#include "engine/random.h"
#include "engine/scores.h"
#include "tests/support/fixtures.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double ones[] = {1, 1};

/* A model of two targets, the first two features. */
static struct fixture fixture;

static struct config_model *model_of(int horizon, int n_targets, int period) {
    fixture_init(&fixture, 2);
    fixture.model.horizon = horizon;
    fixture.model.n_targets = n_targets;
    fixture.model.period = period;
    return &fixture.model;
}

/* Scores are floats. */
static void assert_near(double a, double b) {
    if (!(fabs(a - b) <= 1e-5 * fmax(1, fabs(b))) && !(isnan(a) && isnan(b)))
        fail_msg("%.17g is not %.17g", a, b);
}

static void append(struct history *history, double a, double b) {
    const double values[] = {a, b};
    history_append(history, (int64_t)history->n, values, false);
}

static void assert_no_score(const struct score *score, const struct score_level *levels) {
    assert_int_equal(score->n, 0);
    assert_true(isnan((double)score->recent.mae) && isnan((double)score->recent.mae_last_value) &&
                isnan((double)score->recent.mae_seasonal) && isnan((double)score->all.pinball));
    for (int l = 0; l < 2; l++) {
        assert_true(levels[l].n == 0 && levels[l].held == 0);
        assert_true(isnan((double)levels[l].coverage) && isnan((double)levels[l].width) &&
                    isnan((double)levels[l].width_all));
    }
}

/* Of a model with two targets and two levels. */
static void assert_unscored(const struct scores *scores, int slot) {
    assert_true(isnan(scores_anomaly(scores, slot)));
    for (int i = 0; i < scores_count(scores); i++) {
        assert_no_score(&scores_of(scores, slot)[i], scores_levels(scores, slot) + 2 * i);
        for (int j = 0; j < 2; j++)
            assert_no_score(scores_of_target(scores, slot, i, j), scores_levels_of_target(scores, slot, i, j));
    }
}

static void which_steps_ahead(void **state) {
    (void)state;
    const struct {
        int horizon, n, h[8];
    } examples[] = {{1, 1, {1}}, {2, 2, {1, 2}}, {3, 3, {1, 2, 3}}, {4, 3, {1, 2, 4}}, {12, 5, {1, 2, 4, 8, 12}}};
    for (size_t e = 0; e < sizeof examples / sizeof *examples; e++) {
        struct scores *scores = scores_new(2, model_of(examples[e].horizon, 1, 0));
        assert_int_equal(scores_count(scores), examples[e].n);
        for (int i = 0; i < examples[e].n; i++)
            assert_int_equal(scores_of(scores, 1)[i].h, examples[e].h[i]);
        assert_unscored(scores, 0);
        scores_free(scores);
    }
    scores_free(NULL);
    int h[CONFIG_SCORED_ALL_MOST];
    assert_int_equal(scores_steps(SCORED_ALL, CONFIG_SCORED_ALL_MOST, h), CONFIG_SCORED_ALL_MOST);
    assert_true(h[0] == 1 && h[1] == 2 && h[511] == 512);
    assert_int_equal(scores_steps(SCORED_ALL, 1, h), 1);
    assert_int_equal(scores_steps(SCORED_FEW, 4096, NULL), 13);
}

/* Steps (10, 100), (12, 100), (11, 130), (9, 130); at each the forecast is the last value plus one, for 1 and 2
 * ahead:
 *     1 ahead: answers at 2, 3, 4; |12 - 11|, |11 - 13|, |9 - 12| and |100 - 101|, |130 - 101|, |130 - 131|
 *     2 ahead: answers at 3, 4; |11 - 11|, |9 - 13| and |130 - 101|, |130 - 101|
 * in units of 1 and 10. Last value: the same without the one. Seasonal, period 2: at 3, 4 the value two before. */
static void errors_by_hand(void **state) {
    (void)state;
    const double values[][2] = {{10, 100}, {12, 100}, {11, 130}, {9, 130}}, units[] = {1, 10};
    struct history *history = history_new(2, 8, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model_of(2, 2, 2));
    for (uint64_t step = 1; step <= 4; step++) {
        const double *v = values[step - 1], mean[] = {v[0] + 1, v[1] + 1, v[0] + 1, v[1] + 1};
        append(history, v[0], v[1]);
        scores_answer(scores, 0, history, step, units);
        scores_publish(scores, 0, step, mean, NULL, true);
    }
    const struct score *one = &scores_of(scores, 0)[0], *two = &scores_of(scores, 0)[1];
    assert_int_equal(one->n, 3);
    assert_near((double)one->recent.mae, ((1 + 0.1) / 2 + (2 + 2.9) / 2 + (3 + 0.1) / 2) / 3);
    assert_near((double)one->recent.mae_last_value, ((2 + 0) / 2.0 + (1 + 3) / 2.0 + (2 + 0) / 2.0) / 3);
    assert_int_equal(two->n, 2);
    assert_near((double)two->recent.mae, ((0 + 2.9) / 2 + (4 + 2.9) / 2) / 2);
    assert_near((double)two->recent.mae_last_value, ((1 + 3) / 2.0 + (3 + 3) / 2.0) / 2);
    assert_near((double)two->recent.mae_seasonal,
                (double)two->recent.mae_last_value); /* two ahead, a season of two: the same value */
    scores_free(scores);
    history_free(history);
}

/* All answers that a stream had, by plain loops over everything that was ever said; every mean over all answers. */
static void against_all_that_was_said(void **state) {
    (void)state;
    enum { STEPS = 300, HORIZON = 6, PERIOD = 5 };
    static double said[STEPS + 1][HORIZON][2];
    struct rng rng = {11};
    struct history *history = history_new(2, STEPS, FIXTURE_PENDING);
    struct scores *scores = scores_new(3, model_of(HORIZON, 2, PERIOD));
    for (uint64_t step = 1; step <= STEPS; step++) {
        append(history, rng_below(&rng, 4) ? rng_normal(&rng) : NAN, rng_below(&rng, 4) ? rng_normal(&rng) : NAN);
        scores_answer(scores, 1, history, step, ones);
        for (int h = 0; h < HORIZON; h++)
            for (int j = 0; j < 2; j++)
                said[step][h][j] = rng_normal(&rng);
        scores_publish(scores, 1, step, &said[step][0][0], NULL, true);
    }
    for (int i = 0; i < scores_count(scores); i++) {
        const struct score *score = &scores_of(scores, 1)[i];
        int h = score->h, n = 0;
        double mae = 0, last = 0, seasonal = 0;
        for (uint64_t made = 1; made + (uint64_t)h <= STEPS; made++) {
            double own = 0, own_last = 0, own_seasonal = 0;
            int answers = 0;
            for (int j = 0; j < 2; j++) {
                double answer = history_observed(history, made + (uint64_t)h, j);
                double known = baseline_last_value(history, made, j);
                if (isnan(answer) || isnan(known))
                    continue;
                answers++;
                own += fabs(answer - said[made][h - 1][j]);
                own_last += fabs(answer - known);
                own_seasonal += fabs(answer - baseline_forecast(BASELINE_SEASONAL, history, made, j, h, PERIOD));
            }
            if (answers == 0)
                continue;
            n++;
            mae += own / answers;
            last += own_last / answers;
            seasonal += own_seasonal / answers;
        }
        assert_int_equal(score->n, n);
        assert_near((double)score->recent.mae, mae / n);
        assert_near((double)score->recent.mae_last_value, last / n);
        assert_near((double)score->recent.mae_seasonal, seasonal / n);
        assert_near((double)score->all.mae, mae / n);
        assert_near((double)score->all.mae_seasonal, seasonal / n);
    }
    assert_unscored(scores, 0);
    assert_unscored(scores, 2);
    scores_free(scores);
    history_free(history);
}

/* What the intervals of one target held, how wide they were and what that cost, by plain loops over everything that
 * was said; and how far outside of them each step was. */
static void levels_against_all_that_was_said(void **state) {
    (void)state;
    enum { STEPS = 400, HORIZON = 8, SCORED = 4 }; /* 1, 2, 4 and 8 ahead */
    static float radii[STEPS + 1][2][SCORED];      /* [level][scored step] */
    static double said[STEPS + 1], values[STEPS + 1];
    struct rng rng = {12};
    const double unit = 2, alphas[] = {0.2, 0.05};
    struct history *history = history_new(2, STEPS, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model_of(HORIZON, 1, 0));
    for (uint64_t step = 1; step <= STEPS; step++) {
        values[step] = rng_normal(&rng) * (rng_below(&rng, 20) ? 1 : 8);
        append(history, values[step], 0);
        scores_answer(scores, 0, history, step, &unit);
        double error = step > 1 ? fabs(values[step] - said[step - 1]) : NAN;
        double radius = step > 1 ? (double)radii[step - 1][1][0] : NAN;
        /* The first interval came at step 2: at 95 %, 18 answers to intervals are too few. */
        double outside = step <= 20 ? NAN : fmax(0, error - radius) / radius;
        assert_near(scores_anomaly(scores, 0), outside);
        said[step] = 0.1 * rng_normal(&rng);
        double mean[HORIZON];
        for (int h = 0; h < HORIZON; h++)
            mean[h] = said[step];
        scores_publish(scores, 0, step, mean, NULL, true);
        bool capped;
        memcpy(radii[step], scores_radii(scores, 0, &capped), sizeof radii[step]);
        assert_int_equal(capped, step > 1 && step <= 26); /* of eight ahead there are 19 answers at step 27 */
    }
    for (int i = 0; i < SCORED; i++) {
        int h = 1 << i;
        uint32_t held[2] = {0}, n = 0;
        double width[2] = {0}, pinball = 0, squares = 0, errors = 0;
        int answers = 0;
        for (int step = 1; step + h <= STEPS; step++) {
            double error = fabs(values[step + h] - said[step]);
            squares += error * error / (unit * unit);
            errors += error / unit;
            answers++;
            if (isnan(radii[step][0][i]))
                continue;
            n++;
            for (int l = 0; l < 2; l++) {
                double lower = said[step] - (double)radii[step][l][i], upper = said[step] + (double)radii[step][l][i];
                double answer = values[step + h], low = alphas[l] / 2, high = 1 - alphas[l] / 2;
                held[l] += answer >= lower && answer <= upper;
                width[l] += (upper - lower) / unit;
                pinball += (answer < lower ? (1 - low) * (lower - answer) : low * (answer - lower)) / unit;
                pinball += (answer > upper ? high * (answer - upper) : (1 - high) * (upper - answer)) / unit;
            }
        }
        const struct score *pooled = &scores_of(scores, 0)[i], *of_target = scores_of_target(scores, 0, i, 0);
        const struct score_level *levels = scores_levels(scores, 0) + 2 * i;
        assert_near(score_rmse(&pooled->recent), sqrt(squares / answers));
        assert_near((double)pooled->recent.pinball, pinball / (4 * n));
        assert_near((double)pooled->all.mae, errors / answers);
        assert_memory_equal(pooled, of_target, sizeof *pooled); /* of one target, all targets are the same */
        assert_memory_equal(levels, scores_levels_of_target(scores, 0, i, 0), 2 * sizeof *levels);
        for (int l = 0; l < 2; l++) {
            assert_int_equal(levels[l].n, n);
            assert_int_equal(levels[l].held, held[l]);
            assert_near(score_coverage(&levels[l]), (double)held[l] / n);
            assert_near((double)levels[l].coverage, (double)held[l] / n);
            assert_near((double)levels[l].width_all, width[l] / n);
            assert_near((double)levels[l].width, width[l] / n);
        }
    }
    scores_free(scores);
    history_free(history);
}

/* Targets that come later than others: over all of them, each answer that had an interval counts alike. */
static void intervals_of_targets_that_come_late(void **state) {
    (void)state;
    enum { STEPS = 200 };
    struct rng rng = {14};
    struct history *history = history_new(2, STEPS, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model_of(1, 2, 0));
    for (uint64_t step = 1; step <= STEPS; step++) {
        const double mean[] = {0, 0};
        append(history, rng_normal(&rng), step > 120 ? 10 * rng_normal(&rng) : NAN);
        scores_answer(scores, 0, history, step, ones);
        scores_publish(scores, 0, step, mean, NULL, true);
    }
    for (int l = 0; l < 2; l++) {
        const struct score_level *pooled = &scores_levels(scores, 0)[l];
        double held = 0, width = 0, pinball = 0, n = 0;
        for (int j = 0; j < 2; j++) {
            const struct score_level *level = &scores_levels_of_target(scores, 0, 0, j)[l];
            n += level->n;
            held += level->held;
            width += (double)level->width_all * level->n;
            pinball += (double)scores_of_target(scores, 0, 0, j)->all.pinball * level->n;
        }
        assert_true(n == STEPS - 2 + STEPS - 122);
        assert_near((double)pooled->coverage, held / n);
        assert_near((double)pooled->width_all, width / n);
        assert_near((double)pooled->width, width / n);
        assert_near((double)scores_of(scores, 0)->all.pinball, pinball / n);
        assert_near((double)scores_of(scores, 0)->recent.pinball, pinball / n);
    }
    scores_free(scores);
    history_free(history);
}

/* A series that never changes, forecast as it is: intervals without a width hold it. */
static void what_is_certain_is_held(void **state) {
    (void)state;
    struct history *history = history_new(2, 64, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model_of(1, 1, 0));
    bool capped;
    for (uint64_t step = 1; step <= 40; step++) {
        const double mean[] = {5};
        append(history, 5, 0);
        scores_answer(scores, 0, history, step, ones);
        assert_true(step > 20 ? scores_anomaly(scores, 0) == 0 : isnan(scores_anomaly(scores, 0)));
        scores_publish(scores, 0, step, mean, NULL, true);
    }
    for (int l = 0; l < 2; l++) {
        const struct score_level *level = &scores_levels(scores, 0)[l];
        assert_true(level->n == 38 && level->held == 38 && level->coverage == 1 && level->width == 0);
        assert_true(scores_radii(scores, 0, &capped)[l] == 0);
    }
    scores_free(scores);
    history_free(history);
}

static void without_levels(void **state) {
    (void)state;
    struct history *history = history_new(2, 64, FIXTURE_PENDING);
    const struct config_model *model = model_of(4, 2, 0);
    fixture.model.n_levels = 0;
    struct scores *scores = scores_new(2, model);
    bool capped;
    for (uint64_t step = 1; step <= 30; step++) {
        const double mean[8] = {0};
        append(history, 1, 2);
        scores_answer(scores, 1, history, step, ones);
        assert_true(isnan(scores_anomaly(scores, 1)));
        scores_publish(scores, 1, step, mean, NULL, true);
        assert_null(scores_radii(scores, 1, &capped));
        assert_false(capped);
    }
    const struct score *score = scores_of(scores, 1);
    assert_true(score->n == 29 && score->all.mae == 1.5F && isnan((double)score->all.pinball));
    scores_free(scores);
    history_free(history);
}

static void ratios(void **state) {
    (void)state;
    const struct score_means one = {.mae = 2, .mae_last_value = 4}, far = {.mae = 6, .mae_last_value = 5};
    assert_near(score_mase(&far, &one), 1.5);
    assert_near(score_skill(one.mae, one.mae_last_value), 0.5);
    assert_near(score_skill(far.mae, far.mae_last_value), -0.2);
    assert_true(isnan(score_skill(far.mae, NAN)));
}

/* What is published without waiting for an answer (in a pause) gets none; its intervals are there. */
static void what_does_not_wait_is_not_scored(void **state) {
    (void)state;
    struct history *history = history_new(2, 64, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model_of(1, 1, 0));
    const double mean[] = {0}, *kept_mean;
    const float *kept_radii;
    bool capped;
    for (uint64_t step = 1; step <= 40; step++) {
        append(history, step > 20 ? 1000 : 1, 0);
        scores_answer(scores, 0, history, step, ones);
        scores_publish(scores, 0, step, mean, NULL, step < 20);
        assert_true(scores_kept(scores, 0, 0, step, &kept_mean, &kept_radii) == (step < 20));
        if (step > 1)
            assert_true(scores_radii(scores, 0, &capped)[0] < 3);
    }
    assert_int_equal(scores_of(scores, 0)->n, 19);
    assert_near((double)scores_of(scores, 0)->recent.mae, 1);
    assert_true(isnan(scores_anomaly(scores, 0)));
    scores_free(scores);
    history_free(history);
}

/* The last forecasts are kept, with their intervals, whether their answers have come or not. */
static void last_forecasts_are_kept(void **state) {
    (void)state;
    struct history *history = history_new(2, 64, FIXTURE_PENDING);
    struct scores *scores = scores_new(2, model_of(4, 2, 0));
    const double *kept_mean;
    const float *kept_radii;
    for (uint64_t step = 1; step <= 30; step++) {
        append(history, (double)step, -(double)step);
        double mean[8];
        for (int i = 0; i < 8; i++)
            mean[i] = 100 * (double)step + i;
        scores_answer(scores, 1, history, step, ones);
        scores_publish(scores, 1, step, mean, NULL, true);
    }
    assert_false(scores_kept(scores, 0, 0, 30, &kept_mean, &kept_radii));
    assert_false(scores_kept(scores, 1, 2, 26, &kept_mean, &kept_radii));
    assert_false(scores_kept(scores, 1, 2, 0, &kept_mean, &kept_radii));
    for (uint64_t step = 27; step <= 30; step++) {
        assert_true(scores_kept(scores, 1, 2, step, &kept_mean, &kept_radii)); /* four steps ahead */
        assert_near(kept_mean[0], 100 * (double)step + 6);
        assert_near(kept_mean[1], 100 * (double)step + 7);
        assert_true(kept_radii[0] > 0 && kept_radii[2] >= kept_radii[0]);
    }
    scores_free(scores);
    history_free(history);
}

/* The history knows the future (steps wait in it), the scores must not. */
static void answers_do_not_count_before_their_step(void **state) {
    (void)state;
    struct history *history = history_new(2, 16, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model_of(4, 2, 0));
    for (int i = 0; i < 10; i++)
        append(history, i, -i);
    const double mean[8] = {0};
    for (uint64_t step = 1; step <= 10; step++) {
        scores_answer(scores, 0, history, step, ones);
        for (int i = 0; i < scores_count(scores); i++) {
            const struct score *score = &scores_of(scores, 0)[i];
            uint64_t h = (uint64_t)score->h, n = step > h ? step - h : 0;
            assert_int_equal(score->n, n);
            /* Of answers h, h + 1, .. step - 1, to which 0 was said. */
            assert_near((double)score->recent.mae, n > 0 ? (double)(h + step - 1) / 2 : NAN);
        }
        scores_publish(scores, 0, step, mean, NULL, true);
    }
    scores_free(scores);
    history_free(history);
}

static void missing_answers_are_not_scored(void **state) {
    (void)state;
    struct history *history = history_new(2, 16, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model_of(1, 2, 0));
    const double mean[] = {5, NAN};
    append(history, 1, 1);
    scores_publish(scores, 0, 1, mean, NULL, true);
    append(history, NAN, 7); /* what was said of the second target is not known */
    scores_answer(scores, 0, history, 2, ones);
    assert_unscored(scores, 0);
    scores_publish(scores, 0, 2, mean, NULL, true);
    append(history, 3, 7);
    scores_answer(scores, 0, history, 3, ones);
    assert_int_equal(scores_of(scores, 0)->n, 1);
    assert_near((double)scores_of(scores, 0)->recent.mae, 2);
    assert_near((double)scores_of(scores, 0)->recent.mae_last_value, 2); /* 1 was the last value that was known */
    assert_true(isnan((double)scores_of(scores, 0)->recent.mae_seasonal));
    scores_free(scores);
    history_free(history);
}

static void a_restart_forgets_what_waits(void **state) {
    (void)state;
    struct history *history = history_new(2, 16, FIXTURE_PENDING);
    struct scores *scores = scores_new(2, model_of(4, 2, 0));
    const double mean[8] = {0};
    for (uint64_t step = 1; step <= 12; step++) {
        append(history, 1, 1);
        for (int slot = 0; slot < 2; slot++) {
            scores_answer(scores, slot, history, step, ones);
            scores_publish(scores, slot, step, mean, NULL, true);
        }
        if (step != 6)
            continue;
        scores_restart(scores, 1);
        assert_unscored(scores, 1);
    }
    for (int i = 0; i < 3; i++) {
        uint64_t h = (uint64_t)scores_of(scores, 0)[i].h;
        assert_int_equal(scores_of(scores, 0)[i].n, 12 - h);
        assert_int_equal(scores_of(scores, 1)[i].n, 6 - h); /* said from step 7 on */
    }
    scores_free(scores);
    history_free(history);
}

/* 1 for SCORES_MEMORY answers, then 0: the weight of what is old falls by 1 - 1 / SCORES_MEMORY with each. */
static void old_errors_are_forgotten(void **state) {
    (void)state;
    struct history *history = history_new(2, 16, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model_of(1, 2, 0));
    const double ahead[] = {1, 1}, exact[] = {0, 0};
    for (uint64_t step = 1; step <= 3 * SCORES_MEMORY; step++) {
        append(history, 0, 0);
        scores_answer(scores, 0, history, step, ones);
        scores_publish(scores, 0, step, step <= SCORES_MEMORY ? ahead : exact, NULL, true);
    }
    assert_int_equal(scores_of(scores, 0)->n, 3 * SCORES_MEMORY - 1);
    double expected = pow(1 - 1.0 / SCORES_MEMORY, 2 * SCORES_MEMORY - 1);
    assert_true(fabs((double)scores_of(scores, 0)->recent.mae - expected) < 1e-5);
    scores_free(scores);
    history_free(history);
}

/* Their difference is no double; the mean must outlive it. */
static void absurd_answers(void **state) {
    (void)state;
    struct history *history = history_new(2, 16, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model_of(1, 2, 0));
    const double mean[] = {-DBL_MAX, -DBL_MAX};
    for (uint64_t step = 1; step <= 20; step++) {
        append(history, step == 10 ? DBL_MAX : -DBL_MAX, step == 10 ? DBL_MAX : -DBL_MAX);
        scores_answer(scores, 0, history, step, ones);
        scores_publish(scores, 0, step, mean, NULL, true);
        if (step > 1)
            assert_true((double)scores_of(scores, 0)->recent.mae == 0);
    }
    scores_free(scores);
    history_free(history);
}

/* What the intervals of a cell learn from: its errors, what was published for them, and what the network gave then;
 * some of the time it gives nothing. */
static void intervals_learn_from_what_was_said(void **state) {
    (void)state;
    enum { HORIZON = 4, TARGETS = 2, LEVELS = 2, SCORED = 3, STEPS = 300, N = LEVELS * HORIZON * TARGETS };
    static const int h[SCORED] = {1, 2, 4};
    static float own[STEPS + 1][N], said[STEPS + 1][LEVELS * SCORED * TARGETS];
    static double values[STEPS + 1][TARGETS];
    struct config_model *model = model_of(HORIZON, TARGETS, 0);
    model->training.loss = LOSS_GAUSSIAN;
    struct history *history = history_new(2, 16, FIXTURE_PENDING);
    struct scores *scores = scores_new(2, model);
    struct intervals *intervals = intervals_new(1, h, SCORED, TARGETS, model->levels, LEVELS, true);
    struct rng rng = {17};
    const double mean[HORIZON * TARGETS] = {0};
    bool capped;
    for (int step = 1; step <= STEPS; step++) {
        for (int j = 0; j < TARGETS; j++)
            values[step][j] = (1 + 9 * j) * rng_normal(&rng);
        append(history, values[step][0], values[step][1]);
        scores_answer(scores, 1, history, (uint64_t)step, ones);
        bool gives = rng_below(&rng, 3) > 0;
        for (int i = 0; i < N; i++)
            own[step][i] = gives ? (float)(0.5 + rng_uniform(&rng)) : 0;
        scores_publish(scores, 1, (uint64_t)step, mean, gives ? own[step] : NULL, true);
        memcpy(said[step], scores_radii(scores, 1, &capped), sizeof said[step]);
        for (int cell = 0; cell < SCORED * TARGETS; cell++) {
            int ahead = h[cell / TARGETS], j = cell % TARGETS, made = step - ahead;
            float published[LEVELS], given[LEVELS], radii[LEVELS];
            for (int l = 0; l < LEVELS && made > 0; l++) {
                published[l] = said[made][l * SCORED * TARGETS + cell];
                given[l] = own[made][(l * HORIZON + ahead - 1) * TARGETS + j];
            }
            if (made > 0)
                intervals_answer(intervals, 0, cell, values[step][j], published, given);
            for (int l = 0; l < LEVELS; l++)
                given[l] = own[step][(l * HORIZON + ahead - 1) * TARGETS + j];
            intervals_radii(intervals, 0, cell, given, radii);
            for (int l = 0; l < LEVELS; l++)
                assert_memory_equal(&radii[l], &said[step][l * SCORED * TARGETS + cell], sizeof radii[l]);
        }
    }
    intervals_free(intervals);
    scores_free(scores);
    history_free(history);
}

/* The network gives half-widths that are right; then, for one level, step and target, ten times as large a one: of
 * the published ones that alone grows, with what lies around it. */
static void half_widths_of_the_network_are_of_their_cell(void **state) {
    (void)state;
    enum { HORIZON = 4, TARGETS = 2, LEVELS = 2, SCORED = 3, STEPS = 400, N = LEVELS * HORIZON * TARGETS };
    static const int h[SCORED] = {1, 2, 4};
    struct config_model *model = model_of(HORIZON, TARGETS, 0);
    model->training.loss = LOSS_GAUSSIAN;
    model->n_levels = LEVELS;
    model->levels[0] = 80;
    model->levels[1] = 95;
    struct history *history = history_new(2, 16, FIXTURE_PENDING);
    struct scores *scores = scores_new(1, model);
    struct rng rng = {4};
    const double mean[HORIZON * TARGETS] = {0};
    float own[N], usual[LEVELS * SCORED * TARGETS];
    bool capped;
    for (int i = 0; i < N; i++) /* errors are of size 1 and 10 */
        own[i] = (i / (HORIZON * TARGETS) == 0 ? 1.28F : 1.96F) * (i % TARGETS == 0 ? 1 : 10);
    for (uint64_t step = 1; step <= STEPS; step++) {
        append(history, rng_normal(&rng), 10 * rng_normal(&rng));
        scores_answer(scores, 0, history, step, ones);
        scores_publish(scores, 0, step, mean, own, true);
    }
    memcpy(usual, scores_radii(scores, 0, &capped), sizeof usual);
    for (int level = 0; level < LEVELS; level++)
        for (int i = 0; i < SCORED; i++)
            for (int j = 0; j < TARGETS; j++) {
                float *one = &own[(level * HORIZON + h[i] - 1) * TARGETS + j], kept = *one;
                *one *= 10;
                scores_publish(scores, 0, STEPS + 1, mean, own, true);
                *one = kept;
                const float *radii = scores_radii(scores, 0, &capped);
                for (int at = 0; at < LEVELS * SCORED * TARGETS; at++) {
                    bool is_cell = at % (SCORED * TARGETS) == i * TARGETS + j,
                         is_level = at / (SCORED * TARGETS) == level;
                    if (is_cell && is_level)
                        assert_true(radii[at] > 1.2F * usual[at]);
                    else if (!is_cell || at / (SCORED * TARGETS) < level)
                        assert_true(radii[at] == usual[at]);
                }
            }
    scores_free(scores);
    history_free(history);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_steps_ahead),
        cmocka_unit_test(errors_by_hand),
        cmocka_unit_test(against_all_that_was_said),
        cmocka_unit_test(levels_against_all_that_was_said),
        cmocka_unit_test(intervals_of_targets_that_come_late),
        cmocka_unit_test(what_is_certain_is_held),
        cmocka_unit_test(without_levels),
        cmocka_unit_test(ratios),
        cmocka_unit_test(what_does_not_wait_is_not_scored),
        cmocka_unit_test(last_forecasts_are_kept),
        cmocka_unit_test(answers_do_not_count_before_their_step),
        cmocka_unit_test(missing_answers_are_not_scored),
        cmocka_unit_test(a_restart_forgets_what_waits),
        cmocka_unit_test(old_errors_are_forgotten),
        cmocka_unit_test(absurd_answers),
        cmocka_unit_test(intervals_learn_from_what_was_said),
        cmocka_unit_test(half_widths_of_the_network_are_of_their_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
