/* States begin anew by gap and time, are read and set: the third part of engine/forecaster. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/random.h"
#include "tests/support/fixtures.h"
#include "tests/support/layers.h"
#include "tests/support/replay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 3, KEPT = 48, OLD = 3, NEW = 4 };

/* Steps of about a second each; of the model, states begin anew every 20 s. */
static const int64_t every = INT64_C(20000000000);

struct rig {
    struct fixture fixture;
    struct history *history;
    struct forecaster *forecaster;
};

/* Without scalers a forecast depends on the steps in the state alone. */
static void open_rig(struct rig *rig, int64_t reset_every, struct version *version) {
    fixture_init(&rig->fixture, FEATURES);
    rig->fixture.class.history = KEPT;
    rig->fixture.model.scaler = SCALER_NONE;
    rig->fixture.model.reset_every = reset_every;
    rig->history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    rig->forecaster = forecaster_new(&rig->fixture.class, &rig->fixture.model, kernels_choose());
    if (version != NULL)
        take_over(rig->forecaster, version_acquire(version));
    forecaster_acquire(rig->forecaster, 1, rig->history);
}

static void close_rig(struct rig *rig) {
    forecaster_free(rig->forecaster);
    history_free(rig->history);
}

static struct version *version_of(uint64_t number, uint64_t seed, int units) {
    struct fixture fixture;
    fixture_init(&fixture, FEATURES);
    const struct layer_spec lstm = LSTM(units);
    fixture.layers[0] = lstm;
    return fixture_version(&fixture.model, number, seed);
}

static bool is_gap(uint64_t step) {
    struct rng rng = {step};
    return step > 1 && rng_below(&rng, 9) == 0;
}

/* The small values keep the gates away from their ends. */
static void append(struct rig *rig, bool with_gaps) {
    uint64_t step = rig->history->n + 1;
    double values[FEATURES];
    for (int f = 0; f < FEATURES; f++)
        values[f] = 0.01 * fixture_value(9, step, f);
    uint8_t flags = with_gaps && is_gap(step) ? STEP_GAP | STEP_RESET : 0;
    history_append(rig->history, fixture_time(9, step), values, flags);
}

static struct saved advance(struct rig *rig) {
    struct saved saved;
    advance_one(rig->forecaster, 1, &rig->fixture.model, &saved);
    return saved;
}

/* ---- by gap and by time ------------------------------------------------------------------------- */

static bool begins(uint64_t step, bool with_gaps, int64_t reset_every) {
    if (with_gaps && is_gap(step))
        return true;
    return reset_every > 0 && step > 1 &&
           fixture_time(9, step) / reset_every != fixture_time(9, step - 1) / reset_every;
}

/* Against the network by itself, its state zeroed before each such step, with several steps pending. */
static void check_serving(bool with_gaps, int64_t reset_every) {
    struct rig rig;
    struct version *version = version_of(OLD, 1, 7);
    open_rig(&rig, reset_every, version);
    struct history *all = history_new(FEATURES, 400, FIXTURE_PENDING);
    struct replay replay;
    replay_init(&replay, &rig.fixture.model, kernels_choose(), version, all);
    uint64_t since = 0, by_time = 0, step = 0;
    while (step < 300) {
        for (uint64_t n = 1 + step % 5; n > 0; n--) {
            append(&rig, with_gaps);
            uint64_t newest = rig.history->n;
            history_append(all, history_time(rig.history, newest), history_values(rig.history, newest), 0);
        }
        while (forecaster_pending(rig.forecaster, 1) > 0) {
            double mean[SAVED_HORIZON * SAVED_TARGETS] = {0};
            struct saved saved = advance(&rig);
            if (begins(++step, with_gaps, reset_every)) {
                since = step - 1;
                by_time += !(with_gaps && is_gap(step));
                replay_zero(&replay);
            }
            replay_step(&replay, step, mean);
            assert_int_equal(saved.step, step);
            assert_int_equal(saved.primed, step - since);
            assert_memory_equal(saved.mean, mean, sizeof mean);
        }
    }
    assert_int_equal(forecaster_time_resets(rig.forecaster), by_time);
    assert_int_equal(since > 0, with_gaps || reset_every > 0);
    replay_fini(&replay);
    history_free(all);
    close_rig(&rig);
    version_release(version);
}

static void states_begin_anew_behind_gaps_and_with_time(void **state) {
    (void)state;
    check_serving(false, 0);
    check_serving(true, 0);
    check_serving(false, every);
    check_serving(true, every);
}

/* A version that takes over serves as if it had always done: what it replays begins where the state did. */
static void check_takeover(bool with_gaps, int64_t reset_every, int before, int arrivals) {
    struct rig rig, always;
    struct version *old = version_of(OLD, 1, 7), *new = version_of(NEW, 2, 7);
    open_rig(&rig, reset_every, old);
    open_rig(&always, reset_every, new);
    for (int i = 0; i < before; i++) {
        append(&rig, with_gaps);
        append(&always, with_gaps);
        advance(&rig);
        advance(&always);
    }
    assert_int_equal(forecaster_propose(rig.forecaster, new), 0);
    for (int i = 0, left = 30; left > 0; i++) {
        if (forecaster_taking_over(rig.forecaster))
            forecaster_prime(rig.forecaster);
        left -= !forecaster_taking_over(rig.forecaster);
        for (int n = i % (arrivals + 1); n > 0; n--) {
            append(&rig, with_gaps);
            append(&always, with_gaps);
            struct saved saved = advance(&rig), expected = advance(&always);
            if (saved.version != NEW)
                continue;
            assert_int_equal(saved.primed, expected.primed);
            assert_memory_equal(saved.mean, expected.mean, sizeof saved.mean);
        }
    }
    assert_int_equal(forecaster_latest(rig.forecaster, 1)->version, NEW);
    close_rig(&rig);
    close_rig(&always);
    version_release(old);
    version_release(new);
}

static void a_replay_begins_where_the_state_did(void **state) {
    (void)state;
    for (int before = 1; before < 130; before += 3)
        for (int arrivals = 1; arrivals < 7; arrivals += 2) {
            check_takeover(false, every, before, arrivals);
            check_takeover(true, every, before, arrivals);
        }
}

/* ---- read and set ------------------------------------------------------------------------------- */

/* The state of one slot in another one: from there on both give the same, and a replay begins with it. */
static void a_state_can_be_carried_to_another_slot(void **state) {
    (void)state;
    for (int takes_over = 0; takes_over < 3; takes_over++) { /* not; before the state is set; behind it */
        struct rig from, to;
        struct version *old = version_of(OLD, 1, 7), *new = version_of(NEW, 2, 7);
        open_rig(&from, 0, old);
        open_rig(&to, 0, old);
        for (int i = 0; i < 25; i++) {
            append(&from, false);
            advance(&from);
        }
        for (int i = 0; i < 25; i++) { /* the same steps, and another past in its state */
            append(&to, false);
            advance(&to);
            if (i == 10)
                forecaster_reset(to.forecaster, 1);
        }
        if (takes_over == 1)
            assert_int_equal(forecaster_propose(to.forecaster, new), 0);
        struct slot_state read = forecaster_state(from.forecaster, 1);
        assert_ptr_equal(read.version, old);
        assert_true(read.step == 25 && read.primed == 25 && read.n == 14);
        assert_int_not_equal(memcmp(read.values, forecaster_state(to.forecaster, 1).values, 14 * sizeof(float)), 0);
        assert_int_equal(forecaster_set_state(to.forecaster, 1, read.values, read.n), 0);
        struct slot_state set = forecaster_state(to.forecaster, 1);
        assert_true(set.step == 25 && set.primed == 0 && set.n == 14);
        assert_memory_equal(set.values, read.values, 14 * sizeof(float));
        /* What a new version makes of it: the same state under its weights. */
        struct replay replay;
        replay_init(&replay, &to.fixture.model, kernels_choose(), takes_over > 0 ? new : old, to.history);
        memcpy(replay.state, read.values, 14 * sizeof(float));
        for (uint64_t step = 26; step <= 60; step++) {
            double mean[SAVED_HORIZON * SAVED_TARGETS] = {0};
            append(&from, false);
            append(&to, false);
            struct saved expected = advance(&from), saved = advance(&to);
            replay_step(&replay, step, mean);
            if (saved.version == OLD)
                assert_memory_equal(saved.mean, expected.mean, sizeof saved.mean);
            else
                assert_memory_equal(saved.mean, mean, sizeof saved.mean);
            assert_int_equal(saved.primed, step - 25);
            assert_int_equal(saved.version, takes_over == 1 || (takes_over == 2 && step > 40) ? NEW : OLD);
            if (takes_over == 2 && step == 40)
                take_over(to.forecaster, version_acquire(new));
        }
        replay_fini(&replay);
        close_rig(&from);
        close_rig(&to);
        version_release(old);
        version_release(new);
    }
}

/* Values that are not given stay; the neighbour does not notice; a reset, a gap and the time forget what was set. */
static void what_is_set_lasts_until_the_state_begins_anew(void **state) {
    (void)state;
    enum { BY_NOTHING, BY_RESET, BY_GAP, BY_END, CAUSES };
    for (int cause = 0; cause < CAUSES; cause++) {
        struct rig rig;
        struct version *old = version_of(OLD, 1, 7), *new = version_of(NEW, 2, 7);
        open_rig(&rig, 0, old);
        struct history *beside = history_new(FEATURES, KEPT, FIXTURE_PENDING);
        forecaster_acquire(rig.forecaster, 0, beside);
        float neighbour[14], before[14], given[14];
        for (int i = 0; i < 20; i++) {
            append(&rig, false);
            advance(&rig);
        }
        fixture_append(beside, 4, 1);
        forecaster_advance(rig.forecaster, &(int){0}, 1);
        memcpy(neighbour, forecaster_state(rig.forecaster, 0).values, sizeof neighbour);
        memcpy(before, forecaster_state(rig.forecaster, 1).values, sizeof before);
        for (int i = 0; i < 14; i++)
            given[i] = i % 2 == 0 ? 0.125f * (float)i : NAN;
        assert_int_equal(forecaster_set_state(rig.forecaster, 1, given, 14), 0);
        const float *values = forecaster_state(rig.forecaster, 1).values;
        for (int i = 0; i < 14; i++)
            assert_true(values[i] == (i % 2 == 0 ? given[i] : before[i]));
        assert_memory_equal(forecaster_state(rig.forecaster, 0).values, neighbour, sizeof neighbour);
        uint64_t since = 20;
        if (cause == BY_RESET) {
            forecaster_reset(rig.forecaster, 1);
        } else if (cause == BY_GAP) {
            history_append(rig.history, fixture_time(9, 21), (double[FEATURES]){0.3, 0.2, 0.1},
                           STEP_GAP | STEP_RESET);
            advance(&rig);
        } else if (cause == BY_END) {
            forecaster_release(rig.forecaster, 1);
            forecaster_acquire(rig.forecaster, 1, rig.history);
        }
        take_over(rig.forecaster, version_acquire(new));
        struct slot_state after = forecaster_state(rig.forecaster, 1);
        assert_int_equal(after.primed, rig.history->n - since);
        float sum = 0;
        for (int i = 0; i < 14; i++)
            sum += fabsf(after.values[i]);
        /* The gap's own step is in the state, and nothing else. */
        assert_int_equal(sum > 0, cause == BY_NOTHING || cause == BY_GAP);
        if (cause == BY_NOTHING)
            assert_true(after.values[2] == given[2]);
        if (cause == BY_GAP)
            assert_true(fabsf(after.values[12]) < 1); /* it was 1.5 */
        close_rig(&rig);
        history_free(beside);
        version_release(old);
        version_release(new);
    }
}

static void a_state_of_another_size_is_refused(void **state) {
    (void)state;
    struct rig rig;
    struct version *old = version_of(OLD, 1, 7), *new = version_of(NEW, 2, 5);
    const float given[14] = {1, 2, 3};
    open_rig(&rig, 0, NULL);
    assert_null(forecaster_state(rig.forecaster, 1).version);
    assert_int_equal(forecaster_state(rig.forecaster, 1).n, 0);
    assert_int_equal(forecaster_set_state(rig.forecaster, 1, given, 14), -2); /* nothing serves */
    take_over(rig.forecaster, version_acquire(old));
    append(&rig, false);
    advance(&rig);
    assert_int_equal(forecaster_set_state(rig.forecaster, 1, given, 13), -2);
    assert_int_equal(forecaster_set_state(rig.forecaster, 1, given, 14), 0);
    /* A version with another state begins at zero where the other one was set. */
    assert_int_equal(forecaster_propose(rig.forecaster, new), 0);
    assert_int_equal(forecaster_set_state(rig.forecaster, 1, given, 14), -2);
    assert_int_equal(forecaster_set_state(rig.forecaster, 1, given, 10), -2);
    while (!forecaster_prime(rig.forecaster))
        ;
    struct slot_state after = forecaster_state(rig.forecaster, 1);
    assert_true(after.version == new &&after.n == 10 && after.step == 1 && after.primed == 0);
    for (int i = 0; i < 10; i++)
        assert_true(after.values[i] == 0);
    close_rig(&rig);
    version_release(old);
    version_release(new);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_begin_anew_behind_gaps_and_with_time),
        cmocka_unit_test(a_replay_begins_where_the_state_did),
        cmocka_unit_test(a_state_can_be_carried_to_another_slot),
        cmocka_unit_test(what_is_set_lasts_until_the_state_begins_anew),
        cmocka_unit_test(a_state_of_another_size_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
