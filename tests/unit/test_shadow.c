/* A version in the shadow of the one that serves: engine/forecaster_shadow. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/random.h"
#include "tests/support/fixtures.h"
#include "tests/support/replay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 3, KEPT = 48 };

struct scene {
    struct fixture fixture;
    struct forecaster *forecaster;
    struct shadow_losses losses;
};

static void open_scene(struct scene *scene, uint64_t seed) {
    memset(scene, 0, sizeof *scene);
    fixture_init(&scene->fixture, FEATURES);
    scene->fixture.class.history = KEPT;
    scene->fixture.model.combine = COMBINE_ONLY + EXPERT_NETWORK;
    scene->forecaster = forecaster_new(&scene->fixture.class, &scene->fixture.model, kernels_choose());
    if (seed > 0)
        take_over(scene->forecaster, fixture_version(&scene->fixture.model, 1, seed));
}

static void begin_shadow(struct scene *scene, struct version *version) {
    assert_int_equal(forecaster_shadow(scene->forecaster, version, &scene->losses), 0);
    version_release(version);
}

static void step_on(struct scene *scene, struct history *history, uint64_t stream, int slot, uint64_t steps) {
    for (uint64_t i = 0; i < steps; i++) {
        fixture_append(history, stream, 1);
        forecaster_advance(scene->forecaster, &slot, 1);
    }
}

static void prime_all(struct scene *scene) {
    while (!forecaster_prime_shadow(scene->forecaster))
        ;
}

/* The same weights say the same: also when the replay began in the middle, with streams that come, end and are
 * reset. */
static void the_same_version_has_the_same_losses(void **state) {
    (void)state;
    enum { SLOTS = 8 };
    for (uint64_t round = 0; round < 2; round++) {
        struct scene scene;
        open_scene(&scene, 5);
        struct history *histories[SLOTS] = {NULL};
        struct rng rng = {9 + round};
        uint64_t streams = 0;
        for (int turn = 0; turn < 2000; turn++) {
            int slot = (int)rng_below(&rng, SLOTS);
            if (turn == 300)
                begin_shadow(&scene, fixture_version(&scene.fixture.model, 2, 5));
            if (histories[slot] == NULL) {
                histories[slot] = history_new(FEATURES, 2000, FIXTURE_PENDING);
                forecaster_acquire(scene.forecaster, slot, histories[slot]);
                streams++;
            }
            step_on(&scene, histories[slot], streams, slot, 1);
            if (rng_below(&rng, 3) == 0)
                forecaster_prime_shadow(scene.forecaster);
            if (rng_below(&rng, 60) == 0) {
                history_reset(histories[slot]);
                forecaster_reset(scene.forecaster, slot);
            }
            if (rng_below(&rng, 100) == 0) {
                forecaster_release(scene.forecaster, slot);
                history_free(histories[slot]);
                histories[slot] = NULL;
            }
        }
        assert_true(loss_series_weight(&scene.losses.serving) > 1000);
        /* Scalers hold during a replay, so states may differ a little; the answers are the same. */
        assert_true(loss_series_weight(&scene.losses.serving) == loss_series_weight(&scene.losses.shadow));
        double serving = loss_series_mean(&scene.losses.serving), shadow = loss_series_mean(&scene.losses.shadow);
        assert_true(fabs(shadow / serving - 1) < 0.01);
        forecaster_free(scene.forecaster);
        for (int slot = 0; slot < SLOTS; slot++)
            history_free(histories[slot]);
    }
}

/* What one version has said of all steps, by a forecaster of its own, and how wrong that was, counted by hand. */
static void sum_alone(const struct fixture *fixture, struct version *version, uint64_t from, uint64_t steps,
                      struct loss_series *series) {
    struct history *history = history_new(FEATURES, 1000, FIXTURE_PENDING);
    struct forecaster *forecaster = forecaster_new(&fixture->class, &fixture->model, kernels_choose());
    const struct config_model *model = &fixture->model;
    if (version != NULL)
        take_over(forecaster, version);
    forecaster_acquire(forecaster, 0, history);
    struct saved *saved = calloc(steps + 1, sizeof *saved);
    for (uint64_t step = 1; step <= steps; step++) {
        fixture_append(history, 3, 1);
        advance_one(forecaster, 0, model, &saved[step]);
        for (int h = 1; h <= 3; h++) { /* 1, 2, and the horizon */
            if (step < from + 1 + (uint64_t)h)
                continue;
            const double *said = saved[step - (uint64_t)h].mean + (h - 1) * model->n_targets;
            double loss = 0, weight = 0;
            for (int j = 0; j < model->n_targets; j++) {
                double answer = history_observed(history, step, model->targets[j]);
                double unit = scaler_unit(model->scaler, &forecaster_scalers(forecaster, 0)[model->targets[j]]);
                if (isnan(answer) || isnan(said[j]))
                    continue;
                loss += fabs(answer - said[j]) / unit;
                weight++;
            }
            if (weight > 0)
                loss_series_add(series, step - (uint64_t)h - from - 1, loss, weight);
        }
    }
    free(saved);
    forecaster_free(forecaster);
    history_free(history);
}

static void losses_by_hand(void **state) {
    (void)state;
    for (int shadow_network = 0; shadow_network < 2; shadow_network++)
        for (int serving_network = 0; serving_network < 2; serving_network++) {
            struct scene scene;
            open_scene(&scene, serving_network ? 5 : 0);
            struct history *history = history_new(FEATURES, 1000, FIXTURE_PENDING);
            forecaster_acquire(scene.forecaster, 0, history);
            const struct config_model *model = &scene.fixture.model;
            begin_shadow(&scene, shadow_network ? fixture_version(model, 2, 6) : version_new(2, NULL));
            prime_all(&scene);
            step_on(&scene, history, 3, 0, 100);
            struct shadow_losses expected;
            memset(&expected, 0, sizeof expected);
            sum_alone(&scene.fixture, serving_network ? fixture_version(model, 1, 5) : NULL, 0, 100,
                      &expected.serving);
            sum_alone(&scene.fixture, shadow_network ? fixture_version(model, 1, 6) : NULL, 0, 100, &expected.shadow);
            assert_int_equal(scene.losses.serving.n, 99);
            for (int b = 0; b < 99; b++) {
                assert_true(fabs(scene.losses.serving.loss[b] - expected.serving.loss[b]) < 1e-9);
                assert_true(fabs(scene.losses.shadow.loss[b] - expected.shadow.loss[b]) < 1e-9);
                assert_true(scene.losses.shadow.weight[b] == expected.shadow.weight[b]);
            }
            forecaster_free(scene.forecaster);
            history_free(history);
        }
}

/* To the last bit, whatever runs beside it. */
static void what_is_served_does_not_change(void **state) {
    (void)state;
    struct scene alone, beside;
    open_scene(&alone, 5);
    open_scene(&beside, 5);
    struct history *histories[2];
    for (int i = 0; i < 2; i++) {
        histories[i] = history_new(FEATURES, KEPT, FIXTURE_PENDING);
        forecaster_acquire(i ? beside.forecaster : alone.forecaster, 0, histories[i]);
    }
    for (int step = 1; step <= 200; step++) {
        if (step == 50)
            begin_shadow(&beside, fixture_version(&beside.fixture.model, 2, 6));
        if (step > 60 && step < 100)
            forecaster_prime_shadow(beside.forecaster);
        if (step == 150) {
            float values[64];
            struct slot_state held = forecaster_state(alone.forecaster, 0);
            for (size_t i = 0; i < held.n; i++)
                values[i] = 0.1f;
            assert_int_equal(forecaster_set_state(alone.forecaster, 0, values, held.n), 0);
            assert_int_equal(forecaster_set_state(beside.forecaster, 0, values, held.n), 0);
        }
        struct saved one, other;
        fixture_append(histories[0], 4, 1);
        fixture_append(histories[1], 4, 1);
        advance_one(alone.forecaster, 0, &alone.fixture.model, &one);
        advance_one(beside.forecaster, 0, &beside.fixture.model, &other);
        assert_memory_equal(&one, &other, sizeof one);
    }
    assert_true(loss_series_steps(&beside.losses.shadow) > 90);
    assert_true(loss_series_steps(&alone.losses.shadow) == 0);
    for (int i = 0; i < 2; i++) {
        forecaster_free(i ? beside.forecaster : alone.forecaster);
        history_free(histories[i]);
    }
}

static void it_begins_and_ends(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, 5);
    assert_true(forecaster_prime_shadow(scene.forecaster) && !forecaster_has_shadow(scene.forecaster));
    struct version *version = fixture_version(&scene.fixture.model, 2, 6);
    begin_shadow(&scene, version_acquire(version));
    assert_int_equal(forecaster_shadow(scene.forecaster, version, &scene.losses), -1);
    forecaster_end_shadow(scene.forecaster);
    assert_false(forecaster_has_shadow(scene.forecaster));
    begin_shadow(&scene, version_acquire(version));
    /* A takeover ends it, and none begins in the middle of one. */
    assert_int_equal(forecaster_propose(scene.forecaster, version), 0);
    assert_false(forecaster_has_shadow(scene.forecaster));
    assert_int_equal(forecaster_shadow(scene.forecaster, version, &scene.losses), -1);
    while (!forecaster_prime(scene.forecaster))
        ;
    begin_shadow(&scene, version_acquire(version));
    version_release(version);
    forecaster_free(scene.forecaster);
}

static void errors_one_step_ahead(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, 5);
    const struct config_model *model = &scene.fixture.model;
    struct history *history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    forecaster_acquire(scene.forecaster, 0, history);
    double sum = 0;
    uint64_t n = 0;
    struct saved before, now = {0};
    for (int step = 1; step <= 60; step++) {
        before = now;
        fixture_append(history, 4, 1);
        advance_one(scene.forecaster, 0, model, &now);
        double error = 0;
        int answers = 0;
        for (int j = 0; j < model->n_targets && step > 1; j++) {
            double unit = scaler_unit(model->scaler, &forecaster_scalers(scene.forecaster, 0)[model->targets[j]]);
            if (isnan(now.values[j]) || isnan(before.mean[j]))
                continue;
            error += fabs(now.values[j] - before.mean[j]) / unit;
            answers++;
        }
        if (answers > 0)
            sum += error / answers;
        n += answers > 0;
    }
    struct forecast_errors errors = forecaster_take_errors(scene.forecaster);
    assert_true(errors.n == n && n > 50 && fabs(errors.sum - sum) < 1e-9);
    assert_true(forecaster_take_errors(scene.forecaster).n == 0);
    forecaster_free(scene.forecaster);
    history_free(history);
}

/* Of many steps told at once a single enormous value is no drift. */
static void an_error_counts_so_much_at_most(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, 5);
    struct history *history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    forecaster_acquire(scene.forecaster, 0, history);
    struct rng rng = {6};
    struct saved now;
    for (int step = 1; step <= 2001; step++) {
        double values[FEATURES];
        for (int i = 0; i < FEATURES; i++)
            values[i] = step == 2001 ? 1e12 : rng_normal(&rng);
        if (step == 2001)
            forecaster_take_errors(scene.forecaster);
        history_append(history, step, values, 0);
        advance_one(scene.forecaster, 0, &scene.fixture.model, &now);
    }
    struct forecast_errors errors = forecaster_take_errors(scene.forecaster);
    assert_int_equal(errors.n, 1);
    assert_true(errors.sum == SCALER_CLIP);
    forecaster_free(scene.forecaster);
    history_free(history);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_version_has_the_same_losses),
        cmocka_unit_test(losses_by_hand),
        cmocka_unit_test(what_is_served_does_not_change),
        cmocka_unit_test(it_begins_and_ends),
        cmocka_unit_test(errors_one_step_ahead),
        cmocka_unit_test(an_error_counts_so_much_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
