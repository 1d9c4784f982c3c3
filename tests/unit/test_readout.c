/* The online readout: what a network's hidden state adds to the ridge expert, and the residuals it is learnt from. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/random.h"
#include "engine/readout.h"
#include "engine/residuals.h"
#include "tests/support/fixtures.h"
#include "tests/support/layers.h"
#include "tests/support/replay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- residuals ---------------------------------------------------------------------------------- */

static void residuals_wait_for_their_answers(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    enum { PAST = 48 + FIXTURE_PENDING + 3 }; /* the history, and the horizon */
    struct residuals *residuals = residuals_new(&fixture.class, &fixture.model);
    residuals_acquire(residuals, 1, 100);
    assert_null(residuals_of(residuals, 1, 100)); /* of another stream, or of none */
    for (uint64_t step = 101; step <= 2000; step++) {
        residuals_begin(residuals, 1, step);
        residuals_put(residuals, 1, step - 1, 1, 0, step - 1 > 100 ? (double)(step % 7) : NAN);
        residuals_put(residuals, 1, step - 1, 9, 0, 5); /* no such step ahead */
    }
    const float *row = residuals_of(residuals, 1, 1999);
    assert_true(row[0] == (float)(2000 % 7) && isnan(row[1]) && isnan(row[2]));
    assert_true(isnan(residuals_of(residuals, 1, 2000)[0]));
    assert_null(residuals_of(residuals, 1, 2001));
    assert_non_null(residuals_of(residuals, 1, 2001 - PAST));
    assert_null(residuals_of(residuals, 1, 2000 - PAST));
    assert_true(fabsf(residuals_deviations(residuals, 1)[0] - 3) < 0.1f);
    residuals_put(residuals, 1, 1998, 1, 0, -1e30); /* a burst says little */
    assert_true(residuals_of(residuals, 1, 1998)[0] > -3.1f * RESIDUALS_WIDTH);
    residuals_put(residuals, 1, 1998, 1, 0, 1.2345);
    assert_true(fabsf(residuals_of(residuals, 1, 1998)[0] - 1.2345f) < 0.003f);
    residuals_put(residuals, 1, 1999, 1, 0, NAN);
    residuals_put(residuals, 1, 1999, 1, 0, 1e300);
    assert_true(residuals_of(residuals, 1, 1999)[0] == (float)(2000 % 7));
    residuals_acquire(residuals, 1, 2000);
    assert_null(residuals_of(residuals, 1, 2000));
    assert_true(residuals_deviations(residuals, 1)[0] == 0);
    residuals_free(residuals);
    residuals_free(NULL);
}

/* ---- a readout by itself ------------------------------------------------------------------------ */

enum { UNITS = 7, ROWS = 6000 };

struct alone {
    struct fixture fixture;
    struct version *version;
    struct readout *readout;
    float state[2 * UNITS], deviations[16];
};

static void alone_open(struct alone *alone) {
    fixture_init(&alone->fixture, 3);
    alone->fixture.model.experts = EXPERTS_FULL;
    alone->fixture.model.combine = COMBINE_ONLINE;
    alone->fixture.model.horizon = 7; /* 1, 2, 4 and 7 are scored */
    alone->version = fixture_version(&alone->fixture.model, 1, 1);
    int made = readout_new(&alone->fixture.model, version_network(alone->version), kernels_choose(), &alone->readout);
    assert_int_equal(made, 0);
    for (int i = 0; i < 16; i++)
        alone->deviations[i] = 10;
}

static void alone_close(struct alone *alone) {
    readout_free(alone->readout);
    version_release(alone->version);
}

static void draw_state(struct alone *alone, struct rng *rng) {
    for (int i = 0; i < 2 * UNITS; i++)
        alone->state[i] = (float)rng_normal(rng) / 2;
}

/* The residuals are a function of the state at their origin: [4 scored steps x 2 targets]. */
static void truth(const float *state, float *residuals) {
    static const float scored[] = {1, 2, 4, 7};
    for (int i = 0; i < 4; i++) {
        residuals[2 * i] = scored[i] * state[0] - state[3];
        residuals[2 * i + 1] = 0.5f + scored[i] * state[6];
    }
}

static void it_learns_what_the_state_says(void **state) {
    (void)state;
    struct alone alone;
    alone_open(&alone);
    struct rng rng = {5};
    float kept[ROWS + 1][8];
    int last = readout_last(alone.readout), spoke = 0;
    assert_int_equal(last, 7);
    for (int step = 1; step <= ROWS; step++) {
        draw_state(&alone, &rng);
        truth(alone.state, kept[step]);
        if (step % 10 == 0)
            kept[step][0] = NAN; /* an answer is missing */
        bool known = step > last && step % 13 != 0;
        readout_see(alone.readout, 2, (uint64_t)step, step % 17 != 0 ? alone.state : NULL,
                    known ? kept[step - last] : NULL);
        const double *mean = readout_forecast(alone.readout, 2, (uint64_t)step, alone.deviations);
        assert_true(step > 100 || mean == NULL);
        assert_null(readout_forecast(alone.readout, 1, (uint64_t)step, alone.deviations)); /* another slot */
        if (step % 17 == 0)
            assert_null(mean);
        if (mean == NULL || step < 5500)
            continue;
        spoke++;
        float expected[8];
        truth(alone.state, expected);
        static const int at[] = {0, 2, 6, 12}; /* where h = 1, 2, 4, 7 are */
        for (int i = 0; i < 8; i++) {
            double got = mean[at[i / 2] + i % 2];
            assert_true(fabs(got - (double)expected[i]) < 0.4 + 0.35 * fabs((double)expected[i]));
        }
        for (int j = 0; j < 2; j++) { /* linear in between */
            assert_true(fabs(mean[4 + j] - (mean[2 + j] + mean[6 + j]) / 2) < 1e-12);
            assert_true(fabs(mean[8 + j] - (2 * mean[6 + j] + mean[12 + j]) / 3) < 1e-12);
        }
    }
    assert_true(spoke > 400);
    /* Beyond what residuals have been it does not go; and it may be made to forget. */
    memset(alone.deviations, 0, sizeof alone.deviations);
    const double *mean = readout_forecast(alone.readout, 2, ROWS, alone.deviations);
    for (int i = 0; i < 14; i++)
        assert_true(mean[i] == 0);
    readout_clear(alone.readout, 2);
    assert_null(readout_forecast(alone.readout, 2, ROWS, alone.deviations));
    alone_close(&alone);
}

/* What is not finite in a state is not known; what is large counts as less. */
static void odd_states(void **state) {
    (void)state;
    struct alone alone;
    alone_open(&alone);
    struct rng rng = {6};
    float residuals[8];
    for (int step = 1; step <= ROWS; step++) {
        draw_state(&alone, &rng);
        alone.state[step % UNITS] = step % 5 == 0 ? NAN : step % 3 == 0 ? 3e38f : step % 7 == 0 ? -INFINITY : 0;
        bool finite = step % 5 != 0 && (step % 3 == 0 || step % 7 != 0);
        truth((const float[UNITS]){0}, residuals);
        readout_see(alone.readout, 0, (uint64_t)step, alone.state, step > 7 ? residuals : NULL);
        const double *mean = readout_forecast(alone.readout, 0, (uint64_t)step, alone.deviations);
        assert_true(step < 300 || (mean != NULL) == finite);
        for (int i = 0; mean != NULL && i < 14; i++)
            assert_true(isfinite(mean[i]));
    }
    alone_close(&alone);
}

/* Not where no state is carried, nor where experts are light, nor of what is no forecast. */
static void where_there_is_one(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 3);
    fixture.model.experts = EXPERTS_FULL;
    fixture.model.combine = COMBINE_ONLINE;
    struct config_model *model = &fixture.model;
    struct version *version = fixture_version(model, 1, 1);
    struct readout *readout;
    assert_int_equal(readout_new(model, version_network(version), kernels_choose(), &readout), 0);
    assert_non_null(readout);
    readout_free(readout);
    assert_int_equal(readout_new(model, NULL, kernels_choose(), &readout), 0);
    assert_null(readout);
    model->experts = EXPERTS_LIGHT;
    assert_int_equal(readout_new(model, version_network(version), kernels_choose(), &readout), 0);
    assert_null(readout);
    model->experts = EXPERTS_FULL;
    model->mode = MODEL_WINDOWED;
    assert_int_equal(readout_new(model, version_network(version), kernels_choose(), &readout), 0);
    assert_null(readout);
    model->mode = MODEL_STATEFUL;
    model->head = HEAD_EVENT;
    assert_int_equal(readout_new(model, version_network(version), kernels_choose(), &readout), 0);
    assert_null(readout);
    model->head = HEAD_FORECAST;
    model->combine = COMBINE_ONLY + EXPERT_NETWORK;
    assert_int_equal(readout_new(model, version_network(version), kernels_choose(), &readout), 0);
    assert_null(readout);
    model->combine = COMBINE_ONLY + EXPERT_READOUT;
    assert_int_equal(readout_new(model, version_network(version), kernels_choose(), &readout), 0);
    assert_non_null(readout);
    readout_free(readout);
    version_release(version);
    fixture.layers[0] = (struct layer_spec)DENSE(7, ACTIVATION_TANH);
    version = fixture_version(model, 1, 1);
    assert_int_equal(readout_new(model, version_network(version), kernels_choose(), &readout), 0);
    assert_null(readout);
    version_release(version);
}

/* ---- in a forecaster ---------------------------------------------------------------------------- */

enum { KEPT = 900, HORIZON = 3 };

/* Feature 1 follows feature 0, which is an input and no target, a step later: no lag of it tells, and the network's state does. */
static void follow(struct history *history, uint64_t seed) {
    uint64_t step = history->n + 1;
    struct rng now = {rng_hash(seed, &step, sizeof step)},
               before = {rng_hash(seed, &(uint64_t){step - 1}, sizeof step)};
    double values[2] = {rng_normal(&now), 50 + 4 * rng_normal(&before) + rng_normal(&now)};
    if (step % 31 == 0)
        values[1] = NAN;
    history_append(history, (int64_t)step * 1000000000, values, 0);
}

struct rig {
    struct fixture fixture;
    struct history *history;
    struct forecaster *forecaster;
};

static void rig_open(struct rig *rig, int batch_size) {
    fixture_init(&rig->fixture, 2);
    rig->fixture.class.history = KEPT;
    struct config_model *model = &rig->fixture.model;
    model->batch_size = batch_size;
    model->targets[0] = 1;
    model->n_targets = 1;
    model->period = 0;
    model->experts = EXPERTS_FULL;
    model->combine = COMBINE_ONLINE;
    rig->history = history_new(2, KEPT, FIXTURE_PENDING);
    rig->forecaster = forecaster_new(&rig->fixture.class, model, kernels_choose());
    forecaster_acquire(rig->forecaster, batch_size - 1, rig->history);
}

static void rig_close(struct rig *rig) {
    forecaster_free(rig->forecaster);
    history_free(rig->history);
}

static const struct forecast *rig_step(struct rig *rig) {
    int slot = rig->fixture.model.batch_size - 1;
    follow(rig->history, 9);
    forecaster_advance(rig->forecaster, &slot, 1);
    return forecaster_latest(rig->forecaster, slot);
}

static void rig_steps(struct rig *rig, int n) {
    for (int i = 0; i < n; i++)
        rig_step(rig);
}

static const double *said(const struct rig *rig) {
    return forecaster_expert(rig->forecaster, EXPERT_READOUT);
}

/* The squared error one step ahead of two experts and of what is published, over some steps. */
struct errors {
    double ridge, readout, published;
    int n;
};

static struct errors errors_over(struct rig *rig, int steps) {
    struct errors errors = {0};
    double ridge = NAN, readout = NAN, published = NAN;
    for (int i = 0; i < steps; i++) {
        const struct forecast *forecast = rig_step(rig);
        double value = history_observed(rig->history, rig->history->n, 1);
        if (!isnan(ridge) && !isnan(readout) && !isnan(value)) {
            errors.ridge += (value - ridge) * (value - ridge);
            errors.readout += (value - readout) * (value - readout);
            errors.published += (value - published) * (value - published);
            errors.n++;
        }
        ridge = forecaster_expert(rig->forecaster, EXPERT_RIDGE)[0];
        readout = said(rig)[0];
        published = forecast->mean[0];
    }
    return errors;
}

static void a_state_knows_what_lags_do_not(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, 8);
    rig_steps(&rig, 300);
    assert_true(isnan(said(&rig)[0])); /* no network, no state */
    take_over(rig.forecaster, fixture_version(&rig.fixture.model, 1, 1));
    rig_step(&rig);
    assert_true(!isnan(said(&rig)[0])); /* it has learnt in the replay */
    struct errors first = errors_over(&rig, 300);
    struct errors later = errors_over(&rig, 1000);
    print_message("squared errors: ridge %.2f, readout %.2f, later %.2f, published %.2f\n", first.ridge / first.n,
                  first.readout / first.n, later.readout / later.n, later.published / later.n);
    assert_true(first.n > 250 && later.n > 900);
    assert_true(first.readout < 0.7 * first.ridge && later.readout < 0.5 * later.ridge);
    assert_true(later.published < 0.7 * later.ridge);
    const float *shares = forecaster_latest(rig.forecaster, 7)->shares;
    assert_true(shares[EXPERT_READOUT] > shares[EXPERT_RIDGE]);
    rig_close(&rig);
}

/* Under other weights the state means something else: with other versions in turn it is as good at once. */
static void it_is_rebuilt_by_a_takeover(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, 8);
    rig_steps(&rig, 1000);
    for (uint64_t number = 1; number <= 4; number++) {
        take_over(rig.forecaster, fixture_version(&rig.fixture.model, number, number));
        float share = rig_step(&rig)->shares[EXPERT_READOUT];
        assert_true(number == 1 ? share == 0 : share > 0.25f); /* it goes on with its weight */
        struct errors errors = errors_over(&rig, 300);
        assert_true(errors.n > 250);
        assert_true(errors.readout < 0.6 * errors.ridge);
    }
    rig_close(&rig);
}

/* So much arrives between two slices, in turn, until `total` has. Then the replay catches up. */
struct course {
    int batch_size;
    const char *arrivals;
    int total;
};

enum { FOLLOWED = 150 };

/* What readout and forecaster say after a takeover that began at step 1200 and ended at 1200 + total. */
static void run_course(const struct course *course, double said_after[FOLLOWED][2 * HORIZON]) {
    struct rig rig;
    rig_open(&rig, course->batch_size);
    struct version *new = fixture_version(&rig.fixture.model, 2, 2);
    rig_steps(&rig, 500);
    take_over(rig.forecaster, fixture_version(&rig.fixture.model, 1, 1));
    rig_steps(&rig, 700);
    assert_int_equal(forecaster_propose(rig.forecaster, new), 0);
    version_release(new);
    const char *next = course->arrivals;
    int arrived = 0;
    while (!forecaster_prime(rig.forecaster)) {
        for (int i = 0; i < *next - '0' && arrived < course->total; i++, arrived++)
            rig_step(&rig);
        next = next[1] != '\0' ? next + 1 : course->arrivals;
    }
    int n;
    const struct takeover *takeovers = forecaster_takeovers(rig.forecaster, &n);
    assert_int_equal(n, 1);
    assert_int_equal(takeovers[0].began, 1200);
    assert_int_equal(takeovers[0].step, 1200 + course->total);
    for (int i = 0; i < FOLLOWED; i++) {
        const struct forecast *forecast = rig_step(&rig);
        assert_true(!isnan(said(&rig)[0]));
        memcpy(said_after[i], said(&rig), HORIZON * sizeof(double));
        memcpy(said_after[i] + HORIZON, forecast->mean, HORIZON * sizeof(double));
    }
    rig_close(&rig);
}

static void slices_change_nothing(void **state) {
    (void)state;
    const struct course courses[][4] = {
        {{1, "1", 60}, {8, "7", 60}, {19, "005", 60}, {8, "0", 0}},
        {{1, "75", 1000}, {8, "6", 1000}, {9, "3777", 1000}, {1, "7", 1000}}, /* more than is kept */
    };
    for (int c = 0; c < 2; c++) {
        static double first[FOLLOWED][2 * HORIZON], other[FOLLOWED][2 * HORIZON];
        run_course(&courses[c][0], first);
        for (int i = 1; i < 4; i++) {
            if (courses[c][i].total != courses[c][0].total)
                continue;
            run_course(&courses[c][i], other);
            assert_memory_equal(first, other, sizeof first);
        }
    }
}

/* More arrives between two slices than the history holds: the replay begins anew, as if it had begun then. */
static void a_burst_between_slices(void **state) {
    (void)state;
    double after[2][100];
    for (int run = 0; run < 2; run++) {
        struct rig rig;
        rig_open(&rig, 8);
        struct version *new = fixture_version(&rig.fixture.model, 2, 2);
        take_over(rig.forecaster, fixture_version(&rig.fixture.model, 1, 1));
        rig_steps(&rig, run == 0 ? 1000 : 2200);
        assert_int_equal(forecaster_propose(rig.forecaster, new), 0);
        for (int slice = 0; slice < 80 && run == 0; slice++)
            forecaster_prime(rig.forecaster);
        rig_steps(&rig, run == 0 ? 1200 : 0);
        while (!forecaster_prime(rig.forecaster))
            ;
        for (int i = 0; i < 100; i++) {
            rig_step(&rig);
            after[run][i] = said(&rig)[0];
            assert_true(!isnan(after[run][i]));
        }
        version_release(new);
        rig_close(&rig);
    }
    assert_memory_equal(after[0], after[1], sizeof after[0]);
}

/* A reset in the middle of a replay ends it: nothing of what it had learnt is left. */
static void a_reset_in_a_replay(void **state) {
    (void)state;
    double after[2][200];
    for (int run = 0; run < 2; run++) {
        struct rig rig;
        rig_open(&rig, 8);
        struct version *new = fixture_version(&rig.fixture.model, 2, 2);
        take_over(rig.forecaster, fixture_version(&rig.fixture.model, 1, 1));
        rig_steps(&rig, 900);
        assert_int_equal(forecaster_propose(rig.forecaster, new), 0);
        for (int slice = 0; slice < (run == 0 ? 1 : 60); slice++)
            forecaster_prime(rig.forecaster);
        assert_true(forecaster_replaying(rig.forecaster, 7) > 0);
        forecaster_reset(rig.forecaster, 7);
        assert_int_equal(forecaster_replaying(rig.forecaster, 7), 0);
        for (int i = 0; i < 200; i++) {
            rig_step(&rig);
            after[run][i] = said(&rig)[0];
            assert_true(i > 80 || isnan(after[run][i]));
        }
        version_release(new);
        rig_close(&rig);
    }
    assert_true(!isnan(after[0][199]));
    assert_memory_equal(after[0] + 120, after[1] + 120, 80 * sizeof(double));
}

/* A slot among others says what it says alone; one that had another stream before, too. */
static void alone_and_among_others(void **state) {
    (void)state;
    enum { SLOTS = 5, STEPS = 700 };
    struct rig rig;
    rig_open(&rig, 1);
    take_over(rig.forecaster, fixture_version(&rig.fixture.model, 1, 1));
    static double expected[STEPS][HORIZON];
    for (int i = 0; i < STEPS; i++) {
        rig_step(&rig);
        memcpy(expected[i], said(&rig), sizeof expected[i]);
    }
    rig_close(&rig);

    rig_open(&rig, SLOTS);
    take_over(rig.forecaster, fixture_version(&rig.fixture.model, 1, 1));
    rig_steps(&rig, 300);
    forecaster_release(rig.forecaster, SLOTS - 1);
    struct history *histories[SLOTS];
    int slots[SLOTS];
    for (int s = 0; s < SLOTS; s++) {
        histories[s] = history_new(2, KEPT, FIXTURE_PENDING);
        slots[s] = s;
        forecaster_acquire(rig.forecaster, s, histories[s]);
    }
    for (int i = 0; i < STEPS; i++) {
        for (int s = 0; s < SLOTS; s++)
            follow(histories[s], s == SLOTS - 1 ? 9 : (uint64_t)(100 + s));
        forecaster_advance(rig.forecaster, slots, SLOTS); /* the last one is SLOTS - 1 */
        assert_memory_equal(said(&rig), expected[i], sizeof expected[i]);
    }
    rig_close(&rig);
    for (int s = 0; s < SLOTS; s++)
        history_free(histories[s]);
}

/* A state that begins anew says nothing until it is warm; what has been learnt of its meaning stays. */
static void a_reset_keeps_what_is_learnt(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, 8);
    int burn_in = rig.fixture.model.training.burn_in;
    take_over(rig.forecaster, fixture_version(&rig.fixture.model, 1, 1));
    rig_steps(&rig, 1500);
    forecaster_reset(rig.forecaster, 7);
    for (int i = 1; i <= 20; i++) {
        rig_step(&rig);
        assert_true(isnan(said(&rig)[0]) == (i < burn_in));
    }
    struct errors errors = errors_over(&rig, 100);
    assert_true(errors.readout < 0.5 * errors.ridge);
    rig_close(&rig);
}

/* In a pause nothing is learnt from: what came in it makes no difference. */
static void a_pause_teaches_nothing(void **state) {
    (void)state;
    enum { PAUSED = 60 };
    struct rig rig;
    rig_open(&rig, 8);
    take_over(rig.forecaster, fixture_version(&rig.fixture.model, 1, 1));
    rig_steps(&rig, 1500);
    history_pause(rig.history, true);
    for (int i = 0; i < PAUSED; i++) {
        history_append(rig.history, (int64_t)(rig.history->n + 1) * 1000000000, (const double[]){0, -4000}, 0);
        forecaster_advance(rig.forecaster, &(int){7}, 1);
    }
    history_pause(rig.history, false);
    rig_steps(&rig, 30);
    struct errors errors = errors_over(&rig, 200);
    assert_true(errors.readout < 0.6 * errors.ridge);
    rig_close(&rig);
}

/* Whatever comes, what goes out is finite once something is known, and the readout finite or silent. */
static void never_not_finite(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, 8);
    take_over(rig.forecaster, fixture_version(&rig.fixture.model, 1, 1));
    struct rng rng = {3};
    static const double odd[] = {1e30, -1e30, 0, 5e-324, 1e300, NAN, -1e308, 7};
    int spoke = 0;
    for (int i = 0; i < 2000; i++) {
        bool wild = i / 100 % 2 == 1;
        double values[2] = {wild ? odd[rng_below(&rng, 8)] : rng_normal(&rng),
                            wild ? odd[rng_below(&rng, 8)] : i % 9};
        history_append(rig.history, (int64_t)(rig.history->n + 1) * 1000000000, values, 0);
        forecaster_advance(rig.forecaster, &(int){7}, 1);
        for (int h = 0; h < HORIZON; h++) {
            assert_true(!isinf(said(&rig)[h]));
            assert_true(isfinite(forecaster_latest(rig.forecaster, 7)->mean[h]));
            spoke += isfinite(said(&rig)[h]);
        }
    }
    assert_true(spoke > 1000);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(residuals_wait_for_their_answers),
        cmocka_unit_test(it_learns_what_the_state_says),
        cmocka_unit_test(odd_states),
        cmocka_unit_test(where_there_is_one),
        cmocka_unit_test(a_state_knows_what_lags_do_not),
        cmocka_unit_test(it_is_rebuilt_by_a_takeover),
        cmocka_unit_test(slices_change_nothing),
        cmocka_unit_test(a_burst_between_slices),
        cmocka_unit_test(a_reset_in_a_replay),
        cmocka_unit_test(alone_and_among_others),
        cmocka_unit_test(a_reset_keeps_what_is_learnt),
        cmocka_unit_test(a_pause_teaches_nothing),
        cmocka_unit_test(never_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
