#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/random.h"
#include "engine/readout.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HORIZON = 3, KEPT = 300, SLOT = 2, UNITS = 7 };

/* ---- by itself -------------------------------------------------------------------------------- */

struct rig {
    struct fixture fixture;
    struct network *network;
    struct readout *readout;
    struct history *history;
    struct scaler scalers[1];
    float *state;
};

static void rig_open(struct rig *rig) {
    struct error err;
    bool has;
    memset(rig, 0, sizeof *rig);
    fixture_init(&rig->fixture, 1);
    rig->network = forecaster_network(&rig->fixture.model, &err);
    rig->readout = readout_new(&rig->fixture.model, rig->network, kernels_choose(), &has);
    assert_true(has && rig->readout != NULL);
    rig->history = history_new(1, KEPT, FIXTURE_PENDING);
    rig->state = calloc(network_state_size(rig->network), sizeof *rig->state);
}

static void rig_close(struct rig *rig) {
    readout_free(rig->readout);
    network_free(rig->network);
    history_free(rig->history);
    free(rig->state);
}

/* Steps of white noise whose coming two values stand in the hidden state, and whose third nobody knows. */
static double noise(uint64_t step) {
    struct rng rng = {step};
    return 50 + 4 * rng_normal(&rng);
}

static const double *see(struct rig *rig, uint64_t step, double value) {
    history_append(rig->history, (int64_t)step, &value, 0);
    if (!isnan(value))
        scaler_update(&rig->scalers[0], value);
    rig->state[1] = (float)((noise(step + 1) - 50) / 8);
    rig->state[4] = (float)((noise(step + 2) - 50) / 8);
    readout_see(rig->readout, SLOT, rig->history, step, rig->state, rig->scalers);
    return readout_forecast(rig->readout, SLOT, rig->history, step, rig->scalers);
}

static void what_the_state_knows_is_read_out(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig);
    double errors[HORIZON] = {0};
    int known = 0;
    for (uint64_t step = 1; step <= 1200; step++) {
        const double *mean = see(&rig, step, step % 50 == 7 ? NAN : noise(step));
        assert_true(step > 48 + HORIZON || isnan(mean[0])); /* before 48 origins are answered nothing is known */
        if (step <= 600)
            continue;
        known++;
        for (int h = 0; h < HORIZON; h++)
            errors[h] += pow((mean[h] - noise(step + 1 + (uint64_t)h)) / 4, 2);
    }
    print_message("read out: %.3f %.3f, unknown: %.3f\n", errors[0] / known, errors[1] / known, errors[2] / known);
    assert_true(errors[0] / known < 0.15 && errors[1] / known < 0.15);
    assert_true(errors[2] / known > 0.8 && errors[2] / known < 1.5);
    readout_clear(rig.readout, SLOT);
    assert_true(isnan(see(&rig, 1201, 50)[0]));
    readout_clear(NULL, 0);
    rig_close(&rig);
}

/* An answer counts when it has come: what comes later changes nothing before. */
static void nothing_is_learnt_before_its_time(void **state) {
    (void)state;
    struct rig one, other;
    rig_open(&one);
    rig_open(&other);
    for (uint64_t step = 1; step <= 400; step++) {
        const double *a = see(&one, step, noise(step));
        const double *b = see(&other, step, noise(step) + (step > 300 ? 3 : 0));
        bool same = memcmp(a, b, HORIZON * sizeof *a) == 0;
        assert_true(step > 300 ? !same : same);
    }
    rig_close(&one);
    rig_close(&other);
}

static void without_a_state_there_is_none(void **state) {
    (void)state;
    struct fixture fixture;
    struct error err;
    bool has = true;
    fixture_init(&fixture, 1);
    fixture.layers[0] = fixture.layers[1];
    struct network *network = forecaster_network(&fixture.model, &err);
    assert_null(readout_new(&fixture.model, network, kernels_choose(), &has));
    assert_false(has);
    network_free(network);
}

/* ---- in a forecaster -------------------------------------------------------------------------- */

struct scene {
    struct fixture fixture;
    struct forecaster *forecaster;
    struct history *history[2];
};

static void scene_open(struct scene *scene) {
    fixture_init(&scene->fixture, 2);
    scene->fixture.class.history = KEPT;
    scene->fixture.model.experts = EXPERTS_FULL;
    scene->fixture.model.combine = COMBINE_ONLINE;
    scene->forecaster = forecaster_new(&scene->fixture.class, &scene->fixture.model, kernels_choose());
    for (int s = 0; s < 2; s++) {
        scene->history[s] = history_new(2, KEPT, FIXTURE_PENDING);
        forecaster_acquire(scene->forecaster, 3 * s, scene->history[s]);
    }
}

static void scene_close(struct scene *scene) {
    forecaster_free(scene->forecaster);
    history_free(scene->history[0]);
    history_free(scene->history[1]);
}

static void propose(struct scene *scene, uint64_t number) {
    struct version *version = fixture_version(&scene->fixture.model, number, number);
    assert_int_equal(forecaster_propose(scene->forecaster, version), 0);
    version_release(version);
}

/* One step of the first stream, and of the other one where it takes part. */
static const double *advance(struct scene *scene, bool both) {
    int slots[] = {3, 0};
    fixture_append(scene->history[0], 11, 1);
    if (both)
        fixture_append(scene->history[1], 12, 1);
    forecaster_advance(scene->forecaster, both ? slots : slots + 1, both ? 2 : 1);
    assert_int_equal(forecaster_latest(scene->forecaster, 0)->slot, 0);
    return forecaster_expert(scene->forecaster, EXPERT_READOUT); /* of the slot that came last */
}

/* A takeover's replay learns anew what the readout knows, in one go or in slices, beside others or alone: the same bits. */
static void it_is_rebuilt_in_a_replay(void **state) {
    (void)state;
    struct scene one, other;
    scene_open(&one);
    scene_open(&other);
    propose(&one, 1);
    propose(&other, 1);
    while (!forecaster_prime(one.forecaster))
        ;
    while (!forecaster_prime(other.forecaster))
        ;
    int known = 0, step;
    for (step = 1; step <= 400; step++) {
        double a[2 * HORIZON], b[2 * HORIZON];
        memcpy(a, advance(&one, true), sizeof a);
        memcpy(b, advance(&other, false), sizeof b);
        if (step == 250) {
            propose(&one, 2);
            propose(&other, 2);
            while (!forecaster_prime(one.forecaster))
                ;
        }
        if (forecaster_taking_over(other.forecaster)) {
            forecaster_prime(other.forecaster);
            continue;
        }
        for (int i = 0; i < 2 * HORIZON; i++)
            assert_true(a[i] == b[i] || (isnan(a[i]) && isnan(b[i])));
        known += !isnan(a[0]);
        if (step == 251) /* at once */
            assert_true(!isnan(a[0]));
    }
    assert_true(known > 200 && !forecaster_taking_over(other.forecaster));
    assert_int_equal(forecaster_latest(other.forecaster, 0)->version, 2);
    scene_close(&one);
    scene_close(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_state_knows_is_read_out),
        cmocka_unit_test(nothing_is_learnt_before_its_time),
        cmocka_unit_test(without_a_state_there_is_none),
        cmocka_unit_test(it_is_rebuilt_in_a_replay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
