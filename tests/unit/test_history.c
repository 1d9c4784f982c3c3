#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/history.h"
#include "engine/random.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <string.h>

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static void append(struct history *history, double a, double b) {
    const double values[] = {a, b};
    history_append(history, (int64_t)history->n * 10, values, false);
}

static void an_empty_one(void **state) {
    (void)state;
    struct history *history = history_new(2, 4, FIXTURE_PENDING);
    assert_int_equal(history->n, 0);
    assert_int_equal(history->reset, 0);
    assert_true(history_oldest(history) > history->n);
    assert_true(isnan(history_observed(history, 0, 0)) && isnan(history_observed(history, 1, 0)));
    history_free(history);
    history_free(NULL);
}

static void missing_values_are_the_ones_before(void **state) {
    (void)state;
    struct history *history = history_new(2, 8, FIXTURE_PENDING);
    append(history, NAN, 1);
    append(history, NAN, NAN);
    append(history, 5, NAN);
    append(history, 6, 7);
    append(history, NAN, 0);
    const double values[][2] = {{NAN, 1}, {NAN, 1}, {5, 1}, {6, 7}, {6, 0}};
    const double observed[][2] = {{NAN, 1}, {NAN, NAN}, {5, NAN}, {6, 7}, {NAN, 0}};
    const int imputed[] = {1, 1, 1, 0, 1};
    for (uint64_t step = 1; step <= 5; step++) {
        for (int f = 0; f < 2; f++) {
            assert_true(same(history_values(history, step)[f], values[step - 1][f]));
            assert_true(same(history_observed(history, step, f), observed[step - 1][f]));
            assert_int_equal(history_missing(history, step, f), isnan(observed[step - 1][f]) != 0);
        }
        assert_int_equal(history_flags(history, step), imputed[step - 1] ? STEP_IMPUTED : 0);
        assert_int_equal(history_time(history, step), (int64_t)(step - 1) * 10);
    }
    history_free(history);
}

/* What comes in a pause is there, but not to be learnt from. */
static void pauses(void **state) {
    (void)state;
    struct history *history = history_new(2, 8, FIXTURE_PENDING);
    append(history, 1, 2);
    history_pause(history, true);
    append(history, 3, NAN);
    history_pause(history, false);
    append(history, 5, 6);
    const int flags[] = {0, STEP_PAUSED | STEP_IMPUTED, 0};
    for (uint64_t step = 1; step <= 3; step++) {
        assert_int_equal(history_flags(history, step), flags[step - 1]);
        assert_int_equal(history_missing(history, step, 0), step == 2);
        assert_true(same(history_observed(history, step, 0), step == 2 ? NAN : 2 * (double)step - 1));
        assert_true(history_sent(history, step, 0) == 2 * (double)step - 1);
    }
    assert_true(isnan(history_sent(history, 2, 1)) && history_values(history, 2)[1] == 2);
    history_free(history);
}

/* By a gap or by time; a reset by command is none of a step's flags. */
static void states_begin_anew(void **state) {
    (void)state;
    const double one = 1;
    struct history *history = history_new(1, 3, 1);
    const struct {
        int64_t t;
        uint8_t flags;
        bool by_time; /* with intervals of 10 */
    } steps[] = {{-11, 0, false}, {-10, 0, true}, {-1, 0, false},        {0, STEP_GAP | STEP_RESET, true},
                 {9, 0, false},   {30, 0, true},  {38, STEP_GAP, false}, {39, STEP_RESET, false}};
    for (uint64_t n = 1; n <= sizeof steps / sizeof *steps; n++) {
        history_append(history, steps[n - 1].t, &one, steps[n - 1].flags);
        bool flagged = (steps[n - 1].flags & STEP_RESET) != 0;
        assert_int_equal(history_begins_anew(history, n, 0), flagged);
        assert_int_equal(history_begins_anew(history, n, 10), flagged || steps[n - 1].by_time);
        if (n == 5)
            history_reset(history);
    }
    history_free(history);
    /* Of the oldest one that is held it cannot be told. */
    history = history_new(1, 3, 1);
    for (int64_t t = 10; t <= 60; t += 10)
        history_append(history, t, &one, 0);
    assert_int_equal(history_oldest(history), 3);
    assert_false(history_begins_anew(history, 3, 10));
    assert_true(history_begins_anew(history, 4, 10));
    assert_true(history_begins_anew(history, 5, 10));
    history_free(history);
}

static void gaps_and_resets_are_flagged(void **state) {
    (void)state;
    const double one = 1;
    struct history *history = history_new(1, 8, FIXTURE_PENDING);
    history_reset(history); /* before the first step there is nothing to forget */
    history_append(history, 1, &one, false);
    history_append(history, 2, &one, true);
    history_reset(history);
    history_reset(history);
    assert_int_equal(history->reset, 2);
    history_append(history, 3, &one, STEP_GAP | STEP_RESET);
    history_append(history, 4, &one, false);
    const uint8_t flags[] = {0, STEP_GAP, STEP_GAP | STEP_RESET, 0};
    for (uint64_t step = 1; step <= 4; step++)
        assert_int_equal(history_flags(history, step), flags[step - 1]);
    history_free(history);
}

/* Against plain arrays that keep everything; more features than a word of the mask has bits. */
static void the_ring_holds_the_latest(void **state) {
    (void)state;
    enum { FEATURES = 131, KEPT = 3, STEPS = 4 * (KEPT + FIXTURE_PENDING) };
    static double observed[STEPS + 1][FEATURES], values[STEPS + 1][FEATURES];
    struct rng rng = {3};
    struct history *history = history_new(FEATURES, KEPT, FIXTURE_PENDING);
    assert_int_equal(history->capacity, KEPT + FIXTURE_PENDING);
    for (uint64_t step = 1; step <= STEPS; step++) {
        for (int f = 0; f < FEATURES; f++) {
            observed[step][f] = rng_below(&rng, 3) == 0 ? NAN : rng_normal(&rng);
            values[step][f] = !isnan(observed[step][f]) ? observed[step][f] : step > 1 ? values[step - 1][f] : NAN;
        }
        history_append(history, (int64_t)step * 7, observed[step], false);
        uint64_t oldest = step > KEPT + FIXTURE_PENDING ? step - KEPT - FIXTURE_PENDING + 1 : 1;
        assert_int_equal(history_oldest(history), oldest);
        for (uint64_t at = oldest; at <= step; at++) {
            assert_int_equal(history_time(history, at), (int64_t)at * 7);
            for (int f = 0; f < FEATURES; f++)
                if (!same(history_observed(history, at, f), observed[at][f]) ||
                    !same(history_values(history, at)[f], values[at][f]))
                    fail_msg("step %d, feature %d", (int)at, f);
        }
        assert_true(isnan(history_observed(history, oldest - 1, 0)));
        assert_true(isnan(history_observed(history, step + 1, 0)));
    }
    history_free(history);
}

/* Renewed it holds nothing; what it then takes from an image without labels has none, whatever there were before. */
static void renewed_it_is_as_a_new_one(void **state) {
    (void)state;
    enum { STEPS = 5 };
    struct history *history = history_new(2, 8, FIXTURE_PENDING), *other = history_new(2, 8, FIXTURE_PENDING);
    struct image image = {0};
    struct image_io io;
    struct error err;
    assert_int_equal(history_keep_labels(history), 0);
    for (int i = 0; i < history->capacity; i++) {
        append(history, i, NAN);
        assert_int_equal(history_label(history, 10 * i, 1), i + 1);
    }
    for (int i = 0; i < STEPS; i++)
        append(other, 2 * i, 7);
    history_pause(history, true);
    history_renew(history);
    assert_int_equal(history->n, 0);
    assert_false(history->paused);
    assert_true(isnan(history_observed(history, 3, 0)));
    image_begin(&io, &image);
    history_serialize(other, &io);
    history_save(other, 1, STEPS, &io);
    assert_int_equal(image_end(&io), 0);
    assert_int_equal(image_open(&io, image.bytes, image.n, &err), 0);
    history_serialize(history, &io);
    history_load(history, &io);
    assert_int_equal(image_end(&io), 0);
    for (uint64_t step = 1; step <= STEPS; step++) {
        assert_true(same(history_observed(history, step, 0), 2 * (double)(step - 1)));
        assert_false(history_missing(history, step, 1));
        assert_true(isnan(history_label_of(history, step)));
    }
    assert_int_equal(history_label(history, 20, 1), 3);
    image_free(&image);
    history_free(other);
    history_free(history);
}

static void steps_are_found_by_their_time(void **state) {
    (void)state;
    struct history *history = history_new(2, 8, FIXTURE_PENDING);
    assert_int_equal(history_step_until(history, INT64_MAX), 0);
    while (history->n < 100)
        append(history, 1, 1); /* at 0, 10, ... */
    uint64_t oldest = history_oldest(history);
    assert_true(oldest > 1);
    assert_int_equal(history_step_until(history, INT64_MIN), 0);
    assert_int_equal(history_step_until(history, history_time(history, oldest) - 1), 0);
    for (uint64_t step = oldest; step <= 100; step++)
        for (int64_t more = 0; more < 10; more += 9)
            assert_int_equal(history_step_until(history, (int64_t)(step - 1) * 10 + more), step);
    assert_int_equal(history_step_until(history, INT64_MAX), 100);
    /* Of several at one time: the last one, and the first one has their label. */
    for (int i = 0; i < 3; i++)
        history_append(history, 5000, (const double[]){1, 1}, false);
    assert_int_equal(history_step_until(history, 5000), 103);
    assert_int_equal(history_keep_labels(history), 0);
    assert_int_equal(history_label(history, 5000, 1), 101);
    history_free(history);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one),
        cmocka_unit_test(missing_values_are_the_ones_before),
        cmocka_unit_test(gaps_and_resets_are_flagged),
        cmocka_unit_test(pauses),
        cmocka_unit_test(states_begin_anew),
        cmocka_unit_test(the_ring_holds_the_latest),
        cmocka_unit_test(renewed_it_is_as_a_new_one),
        cmocka_unit_test(steps_are_found_by_their_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
