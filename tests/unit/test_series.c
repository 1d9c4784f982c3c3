#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "engine/series.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static void check_take(struct series *series, int64_t t, double a, double b, int expected,
                       enum time_verdict verdict) {
    const double values[] = {a, b};
    enum time_verdict got = (enum time_verdict) - 1;
    uint64_t before = series->history->n;
    int taken = series_take(series, t, values, &got);
    if (taken != expected || got != verdict || series->history->n != before + (expected == 1))
        fail_msg("tick at %lld: %d, verdict %d", (long long)t, taken, got);
}

static void check_newest(const struct series *series, int64_t t, double a, double b, uint8_t flags) {
    const struct history *history = series->history;
    assert_int_equal(history_time(history, history->n), t);
    assert_true(same(history_observed(history, history->n, 0), a));
    assert_true(same(history_observed(history, history->n, 1), b));
    assert_int_equal(history_flags(history, history->n), flags);
}

static void irregular(void **state) {
    (void)state;
    const struct time_policy_spec spec = {0};
    struct series *series = series_new(&spec, 2, 8, FIXTURE_PENDING);
    check_take(series, 5, 1, 2, 1, TIME_STEP);
    check_newest(series, 5, 1, 2, 0);
    check_take(series, 5, 9, 9, -1, TIME_REPEATED);
    check_take(series, 4, 9, 9, -1, TIME_LATE);
    check_newest(series, 5, 1, 2, 0);
    check_take(series, 6, NAN, 3, 1, TIME_STEP);
    check_newest(series, 6, NAN, 3, STEP_IMPUTED);
    series_free(series);
    series_free(NULL);
}

/* A step is the last value of each feature within its interval. */
static void every(void **state) {
    (void)state;
    const struct time_policy_spec spec = {.every = 10};
    struct series *series = series_new(&spec, 2, 8, FIXTURE_PENDING);
    check_take(series, 11, 1, NAN, 0, TIME_JOINS);
    check_take(series, 15, NAN, 2, 0, TIME_JOINS);
    check_take(series, 15, 7, 7, -1, TIME_REPEATED);
    check_take(series, 19, 3, NAN, 0, TIME_JOINS);
    check_take(series, 20, NAN, 4, 1, TIME_CLOSES);
    check_newest(series, 10, 3, 2, 0);
    check_take(series, 12, 7, 7, -1, TIME_LATE);
    check_take(series, 45, 5, 6, 1, TIME_CLOSES);
    check_newest(series, 20, NAN, 4, STEP_IMPUTED); /* what was of the interval before does not leak in */
    check_take(series, 50, NAN, NAN, 1, TIME_CLOSES);
    check_newest(series, 40, 5, 6, STEP_GAP);
    check_take(series, 60, 1, 1, 1, TIME_CLOSES);
    check_newest(series, 50, NAN, NAN, STEP_IMPUTED);
    series_free(series);
}

/* A step is flagged by what lies before its own interval, not by what closes it. */
static void gaps(void **state) {
    (void)state;
    const struct time_policy_spec specs[] = {{.every = 10, .gap = GAP_RESET},
                                             {.every = 10, .gap = GAP_RESET, .gap_after = 25},
                                             {.every = 10, .gap_after = 25}};
    const uint8_t both = STEP_GAP | STEP_RESET;
    const uint8_t flags[][4] = {{0, both, 0, both}, {0, 0, 0, both}, {0, 0, 0, STEP_GAP}};
    for (int s = 0; s < 3; s++) {
        struct series *series = series_new(&specs[s], 2, 8, FIXTURE_PENDING);
        const int64_t times[] = {10, 30, 40, 70, 80};
        for (int i = 0; i < 5; i++) {
            check_take(series, times[i], 1, 2, i > 0, i > 0 ? TIME_CLOSES : TIME_JOINS);
            if (i > 0)
                check_newest(series, times[i - 1], 1, 2, flags[s][i - 1]);
        }
        series_free(series);
    }
    const struct time_policy_spec irregular = {.gap_after = 5, .gap = GAP_RESET};
    struct series *series = series_new(&irregular, 2, 8, FIXTURE_PENDING);
    const int64_t times[] = {-100, -95, -89, -89, -86};
    const uint8_t flagged[] = {0, 0, STEP_GAP | STEP_RESET, 0, 0};
    for (int i = 0; i < 5; i++) {
        check_take(series, times[i], 1, 2, i == 3 ? -1 : 1, i == 3 ? TIME_REPEATED : TIME_STEP);
        if (i != 3)
            check_newest(series, times[i], 1, 2, flagged[i]);
    }
    series_free(series);
}

/* ---- images ------------------------------------------------------------------------------------- */

enum { FEATURES = 2, KEPT = 8, PENDING = 4, CAPACITY = KEPT + PENDING };

static const struct time_policy_spec fixed = {.every = 10, .gap_after = 15, .gap = GAP_RESET};

/* With all that an interval may have been taken apart into. */
static const struct time_policy_spec mean = {
    .every = 10, .gap = GAP_FILL, .fill_most = 3, .aggregate = AGGREGATE_MEAN, .same_time = SAME_TIME_REPLACE};
static const struct time_policy_spec sorted = {
    .every = 10, .aggregate = AGGREGATE_SUM, .same_time = SAME_TIME_KEEP, .reorder = 25, .reorder_most = 5};
static const struct time_policy_spec *of_class = &fixed;

static struct series *open_series(int kept) {
    struct series *series = series_new(of_class, FEATURES, kept, PENDING);
    assert_int_equal(history_keep_labels(series->history), 0);
    return series;
}

/* The i-th thing that happens to a series: ticks, labels, resets, pauses. */
static void happen(struct series *series, uint64_t i) {
    struct rng rng = {i};
    struct history *history = series->history;
    double values[FEATURES];
    enum time_verdict verdict;
    for (int f = 0; f < FEATURES; f++)
        values[f] = rng_below(&rng, 3) == 0 ? NAN : rng_normal(&rng);
    series_take(series, 4 * (int64_t)i - (int64_t)rng_below(&rng, 6) + 20 * (int64_t)(i / 16), values, &verdict);
    while (series_next(series))
        ;
    if (rng_below(&rng, 5) == 0)
        series_close(series, 4 * (int64_t)i);
    while (series_next(series))
        ;
    if (rng_below(&rng, 4) == 0 && history->n > 0)
        history_label(history, history_time(history, history->n), (float)rng_below(&rng, 5));
    if (rng_below(&rng, 20) == 0)
        history_reset(history);
    if (rng_below(&rng, 9) == 0)
        history_pause(history, !history->paused);
}

static void check_same(const struct series *a, const struct series *b) {
    assert_int_equal(a->history->n, b->history->n);
    assert_true(a->ticks == b->ticks && a->of_ticks == b->of_ticks && a->flags == b->flags);
    for (int f = 0; f < FEATURES; f++) {
        assert_true(same(a->open[f], b->open[f]));
        assert_true(a->counts == NULL || a->counts[f] == b->counts[f]);
        assert_true(a->newest == NULL || same(a->newest[f], b->newest[f]));
    }
    assert_int_equal(a->history->reset, b->history->reset);
    assert_int_equal(a->history->paused, b->history->paused);
    assert_int_equal(history_oldest(a->history), history_oldest(b->history));
    for (uint64_t step = history_oldest(a->history); step <= a->history->n; step++) {
        float labels[] = {history_label_of(a->history, step), history_label_of(b->history, step)};
        assert_int_equal(history_time(a->history, step), history_time(b->history, step));
        assert_int_equal(history_flags(a->history, step), history_flags(b->history, step));
        assert_true(same((double)labels[0], (double)labels[1]));
        for (int f = 0; f < FEATURES; f++) {
            assert_true(same(history_values(a->history, step)[f], history_values(b->history, step)[f]));
            assert_true(same(history_sent(a->history, step, f), history_sent(b->history, step, f)));
        }
    }
}

static void save(struct series *series, struct image *image) {
    struct image_io io;
    image_begin(&io, image);
    series_serialize(series, &io);
    assert_int_equal(image_end(&io), 0);
}

static void save_steps(const struct history *history, uint64_t from, uint64_t to, struct image *image) {
    struct image_io io;
    image_begin(&io, image);
    history_save(history, from, to, &io);
    assert_int_equal(image_end(&io), 0);
}

static int load(struct series *series, const struct image *image, struct error *err) {
    struct image_io io;
    if (image_open(&io, image->bytes, image->n, err) != 0)
        return -1;
    series_serialize(series, &io);
    return image_end(&io);
}

static int load_steps(struct history *history, const struct image *image, struct error *err) {
    struct image_io io;
    if (image_open(&io, image->bytes, image->n, err) != 0)
        return -1;
    history_load(history, &io);
    return image_end(&io);
}

/* In blocks of some steps, of which the last begins before what is held, the newest first. */
static struct series *come_back(struct series *series, uint64_t each) {
    struct image image = {0};
    struct error err;
    struct series *back = open_series(KEPT);
    save(series, &image);
    assert_int_equal(load(back, &image, &err), 0);
    uint64_t oldest = history_oldest(series->history);
    for (uint64_t to = series->history->n; to >= oldest && to > 0; to -= to < each ? to : each) {
        save_steps(series->history, to + 1 > oldest + each ? to + 1 - each : oldest, to, &image);
        assert_int_equal(load_steps(back->history, &image, &err), 0);
    }
    image_free(&image);
    return back;
}

static void a_series_comes_back(void **state) {
    (void)state;
    static const struct time_policy_spec *const classes[] = {&fixed, &mean, &sorted};
    for (uint64_t round = 0; round < 270; round++) {
        uint64_t until = round / 3;
        of_class = classes[round % 3];
        struct series *series = open_series(KEPT);
        for (uint64_t i = 0; i < until; i++)
            happen(series, i);
        struct series *back = come_back(series, 1 + until % 5);
        check_same(series, back);
        for (uint64_t i = until; i < until + 40; i++) {
            happen(series, i);
            happen(back, i);
            check_same(series, back);
        }
        struct image image = {0}, again = {0};
        save(series, &image);
        save(back, &again);
        assert_true(image.n == again.n && memcmp(image.bytes, again.bytes, image.n) == 0);
        image_free(&image);
        image_free(&again);
        series_free(series);
        series_free(back);
    }
}

/* An interval that was taken apart goes on in a class that does not, and the other way round. */
static void into_a_class_that_aggregates_otherwise(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        const double first[] = {4, NAN}, second[] = {7, 5};
        enum time_verdict verdict;
        of_class = i == 0 ? &mean : &fixed;
        struct series *series = open_series(KEPT);
        series_take(series, 11, first, &verdict);
        series_take(series, 12, second, &verdict);
        of_class = i == 0 ? &fixed : &mean;
        struct series *back = come_back(series, 1);
        series_take(back, 13, (const double[]){9, NAN}, &verdict);
        assert_int_equal(series_take(back, 20, first, &verdict), 1);
        assert_true(history_values(back->history, 1)[0] == (i == 0 ? 9 : 8));
        assert_true(history_values(back->history, 1)[1] == 5);
        series_free(series);
        series_free(back);
    }
    /* Where none are held, or fewer, those that were go on. */
    static const struct time_policy_spec few = {.every = 10, .reorder = 25, .reorder_most = 2};
    for (int i = 0; i < 2; i++) {
        enum time_verdict verdict;
        of_class = &sorted;
        struct series *series = open_series(KEPT);
        for (int64_t t = 15; t > 10; t--)
            series_take(series, t, (const double[]){(double)t, NAN}, &verdict);
        of_class = i == 0 ? &fixed : &few;
        struct series *back = come_back(series, 1);
        assert_true(series_due(back) == (i == 0) && !series_next(back));
        assert_int_equal(back->held->n, i == 0 ? 0 : 5);
        series_take(back, i == 0 ? 30 : 50, (const double[]){2, NAN}, &verdict);
        assert_true(series_next(back) == (i == 0) && back->open[0] == (i == 0 ? 2 : 15));
        if (i == 0)
            assert_true(history_values(back->history, 1)[0] == 15);
        series_free(series);
        series_free(back);
    }
    of_class = &fixed;
}

static void check_times(const struct series *series, int64_t least) {
    const struct history *history = series->history;
    for (uint64_t step = history_oldest(history); step <= history->n; step++)
        assert_true(history_time(history, step) >= least);
}

/* Whatever it has been, renewed it is as a new one. */
static void check_renewed(struct series *series) {
    struct series *fresh = open_series(KEPT);
    struct image renewed = {0}, image = {0};
    series_renew(series);
    for (uint64_t i = 5; i < 25; i++) {
        save(series, &renewed);
        save(fresh, &image);
        assert_true(renewed.n == image.n && memcmp(renewed.bytes, image.bytes, image.n) == 0);
        check_same(series, fresh);
        happen(series, i);
        happen(fresh, i);
    }
    image_free(&renewed);
    image_free(&image);
    series_free(fresh);
}

/* Whatever the class says of time since, what was held and what was open goes on, or is left out, and ticks are taken; no step is
 * of a time of which nothing came. */
static void into_a_class_that_cuts_time_otherwise(void **state) {
    (void)state;
    enum { EARLIEST = 1000 };
    static const struct time_policy_spec classes[] = {
        {.gap_after = 0},
        {.every = 10, .gap = GAP_RESET},
        {.every = 70, .gap = GAP_FILL, .fill_most = 3, .aggregate = AGGREGATE_MEAN, .same_time = SAME_TIME_REPLACE},
        {.reorder = 25, .reorder_most = 5, .same_time = SAME_TIME_KEEP},
        {.reorder = 9, .reorder_most = 3, .same_time = SAME_TIME_DROP},
        {.every = 10, .reorder = 25, .reorder_most = 5, .same_time = SAME_TIME_KEEP},
        {.every = 30,
         .reorder = 5,
         .reorder_most = 2,
         .same_time = SAME_TIME_REPLACE,
         .gap = GAP_FILL,
         .fill_most = 9},
    };
    enum { N = sizeof classes / sizeof *classes };
    for (uint64_t round = 0; round < 40 * N * N; round++) {
        uint64_t i = EARLIEST, until = EARLIEST + 1 + round / (N * N);
        of_class = &classes[round % N];
        struct series *series = open_series(KEPT);
        for (; i < until; i++)
            happen(series, i);
        of_class = &classes[round / N % N];
        struct series *back = come_back(series, 3);
        while (series_next(back))
            ;
        assert_false(series_due(back));
        uint64_t before = back->history->n;
        for (; i < until + 30; i++)
            happen(back, i);
        assert_true(back->history->n > before);
        check_times(back, 4 * EARLIEST);
        check_renewed(back);
        series_free(series);
        series_free(back);
    }
    of_class = &fixed;
}

/* A history of another length takes what there is, and what it has room for; it reaches no further back. */
static void into_a_history_of_another_length(void **state) {
    (void)state;
    struct series *series = open_series(KEPT), *longer = open_series(20), *shorter = open_series(3);
    struct image image = {0}, steps = {0};
    struct error err;
    for (uint64_t i = 0; i < 90; i++)
        happen(series, i);
    uint64_t n = series->history->n, oldest = history_oldest(series->history);
    save(series, &image);
    save_steps(series->history, oldest, n, &steps);
    struct series *const others[] = {longer, shorter};
    for (int o = 0; o < 2; o++) {
        struct history *history = others[o]->history;
        assert_int_equal(load(others[o], &image, &err), 0);
        assert_true(history_oldest(history) > n && history_reach(history, n) == 0);
        assert_int_equal(load_steps(history, &steps, &err), 0);
        assert_int_equal(history_oldest(history), o == 0 ? oldest : n + 1 - (3 + PENDING));
        assert_int_equal(history_reach(history, n), o == 0 ? CAPACITY : 3);
        for (uint64_t step = history_oldest(history); step <= n; step++) {
            assert_int_equal(history_time(history, step), history_time(series->history, step));
            assert_true(same(history_values(history, step)[1], history_values(series->history, step)[1]));
        }
        for (uint64_t i = 90; i < 400; i++)
            happen(others[o], i);
        assert_int_equal(history_reach(history, history->n), o == 0 ? 20 : 3);
        series_free(others[o]);
    }
    image_free(&image);
    image_free(&steps);
    series_free(series);
}

/* Steps that do not belong together, other features, and bytes that are anything. */
static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct series *series = open_series(KEPT), *back = open_series(KEPT);
    struct image image = {0}, steps = {0};
    struct error err;
    for (uint64_t i = 0; i < 90; i++)
        happen(series, i);
    uint64_t n = series->history->n;
    save(series, &image);
    assert_int_equal(load(back, &image, &err), 0);
    save_steps(series->history, n - 2, n, &steps);
    assert_int_equal(load_steps(back->history, &steps, &err), 0);
    save_steps(series->history, n - 5, n - 4, &steps);
    assert_int_equal(load_steps(back->history, &steps, &err), -1);
    assert_non_null(strstr(err.text, "do not reach up to"));
    save_steps(series->history, n - 5, n - 1, &steps); /* some of them are there already */
    assert_int_equal(load_steps(back->history, &steps, &err), 0);
    assert_int_equal(history_oldest(back->history), n - 5);
    series_free(back);

    struct series *other = series_new(&fixed, FEATURES + 1, KEPT, PENDING);
    assert_int_equal(load(other, &image, &err), -1);
    assert_string_equal(err.text, "the image is of a stream of 2 features, and its class has 3");
    series_free(other);
    for (size_t byte = 0; byte < image.n - 8; byte++) {
        struct image_io io;
        struct image wrong = {.bytes = malloc(image.n), .n = image.n - 8, .room = image.n};
        memcpy(wrong.bytes, image.bytes, image.n);
        wrong.bytes[byte] ^= 0x55;
        io = (struct image_io){.to = &wrong};
        assert_int_equal(image_end(&io), 0); /* with a sum that is right */
        back = open_series(KEPT);
        if (load(back, &wrong, &err) == 0 && load_steps(back->history, &steps, &err) == 0)
            for (uint64_t i = 90; i < 100; i++)
                happen(back, i);
        series_free(back);
        image_free(&wrong);
    }
    image_free(&image);
    image_free(&steps);
    series_free(series);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(irregular),
        cmocka_unit_test(every),
        cmocka_unit_test(gaps),
        cmocka_unit_test(a_series_comes_back),
        cmocka_unit_test(into_a_class_that_aggregates_otherwise),
        cmocka_unit_test(into_a_class_that_cuts_time_otherwise),
        cmocka_unit_test(into_a_history_of_another_length),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
