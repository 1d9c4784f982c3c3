#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/pooled.h"
#include "engine/random.h"
#include "engine/training.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS = 6, STEPS = 400, KEPT = 512 };

/* What the next value is made of lies within the lags: two sines, each stream with a level and a size of its own. */
static double two_sines(int stream, int step) {
    double size = 1 + stream;
    return 100 * stream + size * (sin(step * 0.41 + stream) + 0.5 * sin(step * 0.13));
}

static double unknown(int stream, int step) {
    (void)stream, (void)step;
    return NAN;
}

struct scene {
    struct fixture fixture;
    struct history *history[STREAMS];
    struct scaler scalers[STREAMS][FIXTURE_FEATURES];
    struct windows *windows;
    const struct window **training;
    int n;
};

/* Two targets, of which the second is the first one's negative; windows with 48 steps, so 36 lags. */
static void scene_init(struct scene *scene, int period, double (*value)(int stream, int step)) {
    struct config_model *model = &scene->fixture.model;
    fixture_init(&scene->fixture, 2);
    model->period = period;
    model->training.window = 48;
    model->experts = EXPERTS_LIGHT;
    memset(scene->scalers, 0, sizeof scene->scalers);
    scene->windows = windows_new(model, 200, STREAMS, 1);
    for (int s = 0; s < STREAMS; s++) {
        struct windows_cursor cursor;
        char name[8];
        snprintf(name, sizeof name, "%d", s);
        scene->history[s] = history_new(2, KEPT, FIXTURE_PENDING);
        for (int step = 1; step <= STEPS; step++) {
            const double values[] = {value(s, step), -value(s, step)};
            history_append(scene->history[s], step, values, 0);
            for (int f = 0; f < 2; f++)
                scaler_update(&scene->scalers[s][f], values[f]);
        }
        assert_true(windows_begin(&cursor, model, name, scene->history[s], STEPS));
        while (windows_copy(scene->windows, &cursor, scene->history[s], scene->scalers[s]))
            ;
    }
    assert_int_equal(windows_choose(&scene->windows, 1, false, &scene->training, &scene->n), 0);
}

static void scene_fini(struct scene *scene) {
    for (int s = 0; s < STREAMS; s++)
        history_free(scene->history[s]);
    windows_free(scene->windows);
    free(scene->training);
}

static bool never(void *context) {
    (void)context;
    return false;
}

static bool later(void *context) {
    return ++*(int *)context > 3;
}

/* One set of coefficients serves all streams, each in its own unit, and is far better than the last value. */
static void it_forecasts_every_stream(void **state) {
    (void)state;
    static const int periods[] = {0, 12, 40};
    for (int p = 0; p < 3; p++) {
        struct scene scene;
        scene_init(&scene, periods[p], two_sines);
        const struct config_model *model = &scene.fixture.model;
        float *coefficients = pooled_solve(model, scene.training, scene.n, never, NULL);
        assert_non_null(coefficients);
        for (int s = 0; s < STREAMS; s++) {
            double mean[6], error = 0, last = 0;
            for (int step = 300; step <= STEPS; step++) {
                pooled_forecast(model, coefficients, scene.history[s], (uint64_t)step, scene.scalers[s], mean);
                for (int h = 1; h <= 3; h++) {
                    error += pow(mean[(h - 1) * 2] - two_sines(s, step + h), 2);
                    last += pow(two_sines(s, step) - two_sines(s, step + h), 2);
                    assert_true(fabs(mean[(h - 1) * 2] + mean[(h - 1) * 2 + 1]) < 1e-3 * (1 + s)); /* its negative */
                }
            }
            assert_true(error < 0.01 * last);
        }
        free(coefficients);
        scene_fini(&scene);
    }
}

static void without_enough_there_is_none(void **state) {
    (void)state;
    struct scene scene;
    int asked = 0;
    scene_init(&scene, 0, two_sines);
    assert_null(pooled_solve(&scene.fixture.model, scene.training, 2, never, NULL));
    assert_null(pooled_solve(&scene.fixture.model, scene.training, scene.n, later, &asked));
    assert_int_equal(asked, 4);
    scene_fini(&scene);
    scene_init(&scene, 0, unknown);
    assert_null(pooled_solve(&scene.fixture.model, scene.training, scene.n, never, NULL));
    double mean[6];
    float *zeros = calloc(pooled_size(&scene.fixture.model), sizeof *zeros);
    pooled_forecast(&scene.fixture.model, zeros, scene.history[0], STEPS, scene.scalers[0], mean);
    for (int i = 0; i < 6; i++)
        assert_true(isnan(mean[i]));
    free(zeros);
    scene_fini(&scene);
}

/* At the beginning of a stream, what was before it counts as its first value; wild values are bounded. */
static void beginnings_and_wild_values(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 12, two_sines);
    const struct config_model *model = &scene.fixture.model;
    float *coefficients = pooled_solve(model, scene.training, scene.n, never, NULL);
    struct history *history = history_new(2, KEPT, FIXTURE_PENDING);
    for (int step = 1; step <= 100; step++) {
        double mean[6], value = step % 10 == 7 ? 1e200 : step % 10 == 8 ? NAN : 1e-200 * step;
        history_append(history, step, (const double[]){value, step < 50 ? NAN : 3}, 0);
        pooled_forecast(model, coefficients, history, (uint64_t)step, scene.scalers[0], mean);
        for (int h = 0; h < 3; h++) {
            assert_true(isfinite(mean[2 * h]));
            assert_int_equal(isnan(mean[2 * h + 1]) != 0, step < 50);
        }
    }
    history_free(history);
    free(coefficients);
    scene_fini(&scene);
}

/* A version brings its coefficients to the slots that it serves; full experts have ridges of their own. */
static void it_comes_with_a_version(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene, 12, two_sines);
    struct config_model *model = &scene.fixture.model;
    struct training_outcome outcome;
    struct error err;
    model->combine = COMBINE_ONLINE;
    model->training.min_steps = 20;
    assert_int_equal(training_run(model, kernels_choose(), &scene.windows, 1, NULL, NULL, &outcome, &err), 0);
    assert_non_null(outcome.ridge);
    struct forecaster *forecaster = forecaster_new(&scene.fixture.class, model, kernels_choose());
    struct history *history = history_new(2, KEPT, FIXTURE_PENDING);
    forecaster_acquire(forecaster, 1, history);
    struct version *version = version_new(1, NULL); /* without a network, too */
    version_set_ridge(version, outcome.ridge);
    outcome.ridge = NULL;
    for (int step = 1; step <= 200; step++) {
        if (step == 100) {
            struct version *again = version_again(2, version);
            assert_int_equal(forecaster_propose(forecaster, again), 0);
            while (!forecaster_prime(forecaster))
                ;
            version_release(again);
        }
        const double values[] = {two_sines(1, step), -two_sines(1, step)};
        double mean[6];
        history_append(history, step, values, 0);
        forecaster_advance(forecaster, &(int){1}, 1);
        const double *ridge = forecaster_expert(forecaster, EXPERT_RIDGE);
        if (step < 100) {
            assert_true(isnan(ridge[0]));
            continue;
        }
        pooled_forecast(model, version_ridge(version), history, (uint64_t)step, forecaster_scalers(forecaster, 1),
                        mean);
        assert_memory_equal(ridge, mean, sizeof mean);
    }
    const float *shares = forecaster_latest(forecaster, 1)->shares;
    assert_true(shares[EXPERT_RIDGE] > 0.5f);
    version_release(version);
    forecaster_free(forecaster);
    history_free(history);
    training_outcome_fini(&outcome);
    model->experts = EXPERTS_FULL;
    assert_int_equal(training_run(model, kernels_choose(), &scene.windows, 1, NULL, NULL, &outcome, &err), 0);
    assert_null(outcome.ridge);
    training_outcome_fini(&outcome);
    scene_fini(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_forecasts_every_stream),
        cmocka_unit_test(without_enough_there_is_none),
        cmocka_unit_test(beginnings_and_wild_values),
        cmocka_unit_test(it_comes_with_a_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
