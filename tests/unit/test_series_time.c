/* How a series treats ticks as they really come: intervals, gaps, ticks of one time; by tables and against an oracle. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"
#include "engine/series.h"
#include "tests/support/fixtures.h"

#include <math.h>
#include <stdio.h>
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

enum { WIDTH = 2 };

struct expected_step {
    int64_t t;
    double values[WIDTH];
    uint8_t flags;
    uint32_t ticks;
};

static void check_step(const struct series *series, const struct expected_step *step, const char *what) {
    const struct history *history = series->history;
    bool right =
        history_time(history, history->n) == step->t && history_flags(history, history->n) == step->flags &&
        (series->spec->every == 0 || series->spec->aggregate == AGGREGATE_LAST || series->of_ticks == step->ticks);
    for (int f = 0; f < WIDTH; f++)
        right = right && same(history_observed(history, history->n, f), step->values[f]);
    if (!right)
        fail_msg("%s: step %d at %lld is (%g, %g), flags %d, of %d ticks; not at %lld (%g, %g), flags %d, of %d",
                 what, (int)history->n, (long long)history_time(history, history->n),
                 history_observed(history, history->n, 0), history_observed(history, history->n, 1),
                 history_flags(history, history->n), (int)series->of_ticks, (long long)step->t, step->values[0],
                 step->values[1], step->flags, (int)step->ticks);
}

static void aggregates(void **state) {
    (void)state;
    const struct {
        enum aggregate aggregate;
        double first[WIDTH], second[WIDTH];
    } cases[] = {{AGGREGATE_LAST, {6, -2}, {.1, .3}},
                 {AGGREGATE_MEAN, {5, -2}, {.1, .3}}, /* equal values have just that mean */
                 {AGGREGATE_SUM, {15, -2}, {.1 + .1 + .1, .3}},
                 {AGGREGATE_MIN, {2, -2}, {.1, .3}},
                 {AGGREGATE_MAX, {7, -2}, {.1, .3}}};
    for (int c = 0; c < 5; c++) {
        const struct time_policy_spec spec = {.every = 10, .aggregate = cases[c].aggregate};
        struct series *series = series_new(&spec, WIDTH, 8, FIXTURE_PENDING);
        check_take(series, 11, 7, NAN, 0, TIME_JOINS);
        check_take(series, 12, 2, -2, 0, TIME_JOINS);
        check_take(series, 13, 6, NAN, 0, TIME_JOINS);
        check_take(series, 20, .1, NAN, 1, TIME_CLOSES);
        check_step(series, &(struct expected_step){10, {cases[c].first[0], cases[c].first[1]}, 0, 3}, "the first");
        check_take(series, 21, .1, NAN, 0, TIME_JOINS);
        check_take(series, 29, .1, .3, 0, TIME_JOINS);
        check_take(series, 30, NAN, NAN, 1, TIME_CLOSES);
        check_step(series, &(struct expected_step){20, {cases[c].second[0], cases[c].second[1]}, 0, 3}, "the second");
        check_take(series, 40, 1e308, 1, 1, TIME_CLOSES);
        check_step(series, &(struct expected_step){30, {NAN, NAN}, STEP_IMPUTED, 1}, "one without values");
        check_take(series, 41, 1.5e308, 1, 0, TIME_JOINS);
        check_take(series, 50, 1, 1, 1, TIME_CLOSES);
        if (cases[c].aggregate == AGGREGATE_SUM) /* which no double holds */
            check_step(series, &(struct expected_step){40, {NAN, 2}, STEP_IMPUTED, 2}, "a sum without end");
        series_free(series);
    }
}

/* Empty intervals are steps without values; too many of them are a gap, behind which all begins anew. */
static void filled(void **state) {
    (void)state;
    const struct time_policy_spec spec = {.every = 10, .gap = GAP_FILL, .fill_most = 3};
    struct series *series = series_new(&spec, WIDTH, 8, FIXTURE_PENDING);
    assert_false(series_next(series));
    check_take(series, -35, 1, 2, 0, TIME_JOINS);
    check_take(series, 3, 3, 4, 1, TIME_CLOSES);
    check_step(series, &(struct expected_step){-40, {1, 2}, 0, 1}, "before");
    for (int i = 0; i < 3; i++) {
        assert_true(series_due(series) && series_next(series));
        check_step(series, &(struct expected_step){-30 + 10 * i, {NAN, NAN}, STEP_FILLED | STEP_IMPUTED, 0},
                   "filled");
        assert_true(history_values(series->history, series->history->n)[0] == 1);
    }
    assert_false(series_due(series) || series_next(series));
    check_take(series, 50, 5, 6, 1, TIME_CLOSES);
    assert_false(series_due(series));
    check_step(series, &(struct expected_step){0, {3, 4}, 0, 1}, "behind");
    check_take(series, 60, 7, 8, 1, TIME_CLOSES);
    check_step(series, &(struct expected_step){50, {5, 6}, STEP_GAP | STEP_RESET, 1}, "behind too many");
    series_free(series);
}

/* A tick takes the place of the one before it at its time with all that it has, and all that it has not. */
static void replaced(void **state) {
    (void)state;
    const double values[][WIDTH] = {{5, 4}, {4, 3}, {8, 6}, {3, 2}, {5, 4}}; /* by aggregate */
    for (int a = AGGREGATE_LAST; a <= AGGREGATE_MAX; a++) {
        const struct time_policy_spec spec = {
            .every = 10, .aggregate = (enum aggregate)a, .same_time = SAME_TIME_REPLACE};
        struct series *series = series_new(&spec, WIDTH, 8, FIXTURE_PENDING);
        check_take(series, 11, 3, 2, 0, TIME_JOINS);
        check_take(series, 15, 100, 100, 0, TIME_JOINS);
        check_take(series, 15, NAN, -100, 0, TIME_REPLACES);
        check_take(series, 15, NAN, 4, 0, TIME_REPLACES);
        check_take(series, 16, 5, NAN, 0, TIME_JOINS);
        check_take(series, 20, 1, 1, 1, TIME_CLOSES);
        check_step(series, &(struct expected_step){10, {values[a][0], values[a][1]}, STEP_REPLACED, 3}, "replaced");
        check_take(series, 20, 6, 7, 0, TIME_REPLACES);
        check_take(series, 30, 1, 1, 1, TIME_CLOSES);
        check_step(series, &(struct expected_step){20, {6, 7}, STEP_REPLACED, 1}, "at its begin");
        check_take(series, 40, 1, 1, 1, TIME_CLOSES);
        check_step(series, &(struct expected_step){30, {1, 1}, 0, 1}, "none");
        series_free(series);
    }
}

static void kept(void **state) {
    (void)state;
    const struct time_policy_spec every = {.every = 10, .aggregate = AGGREGATE_SUM, .same_time = SAME_TIME_KEEP};
    struct series *series = series_new(&every, WIDTH, 8, FIXTURE_PENDING);
    check_take(series, 11, 3, 2, 0, TIME_JOINS);
    check_take(series, 11, 3, 2, 0, TIME_JOINS);
    check_take(series, 20, 1, 1, 1, TIME_CLOSES);
    check_step(series, &(struct expected_step){10, {6, 4}, 0, 2}, "both");
    series_free(series);
    const struct time_policy_spec irregular = {.same_time = SAME_TIME_KEEP};
    series = series_new(&irregular, WIDTH, 8, FIXTURE_PENDING);
    check_take(series, 11, 3, 2, 1, TIME_STEP);
    check_take(series, 11, 4, NAN, 1, TIME_STEP);
    check_step(series, &(struct expected_step){11, {4, NAN}, STEP_IMPUTED, 1}, "the second");
    series_free(series);
}

static int take_held(struct series *series, int64_t t, double a, enum time_verdict verdict) {
    enum time_verdict got;
    int taken = series_take(series, t, (const double[WIDTH]){a, -a}, &got);
    assert_int_equal(got, verdict);
    return taken;
}

/* Ticks go on in the order of their times when nothing can come between, or when there are too many. */
static void held(void **state) {
    (void)state;
    const struct time_policy_spec spec = {.reorder = 10, .reorder_most = 3};
    struct series *series = series_new(&spec, WIDTH, 8, FIXTURE_PENDING);
    assert_int_equal(take_held(series, 20, 1, TIME_HELD), 0);
    assert_int_equal(take_held(series, 15, 2, TIME_SORTED), 0);
    assert_int_equal(take_held(series, 20, 9, TIME_REPEATED), -1);
    assert_false(series_next(series));
    assert_int_equal(take_held(series, 25, 3, TIME_HELD), 0);
    assert_true(series_next(series));
    check_step(series, &(struct expected_step){15, {2, -2}, STEP_REORDERED, 1}, "sorted");
    assert_false(series_next(series));
    assert_int_equal(take_held(series, 14, 9, TIME_LATE), -1);
    assert_int_equal(take_held(series, 15, 9, TIME_REPEATED), -1);
    assert_int_equal(take_held(series, 16, 4, TIME_SORTED),
                     0); /* more than 10 late would do, too: nothing is behind */
    assert_false(series_due(series));
    assert_int_equal(take_held(series, 22, 5, TIME_SORTED), 0); /* a fourth */
    assert_true(series_next(series));
    check_step(series, &(struct expected_step){16, {4, -4}, STEP_REORDERED, 1}, "let on early");
    assert_int_equal(take_held(series, 100, 6, TIME_HELD), 0);
    const struct expected_step steps[] = {{20, {1, -1}, 0, 1}, {22, {5, -5}, STEP_REORDERED, 1}, {25, {3, -3}, 0, 1}};
    for (int i = 0; i < 3; i++) {
        assert_true(series_next(series));
        check_step(series, &steps[i], "in order");
    }
    assert_false(series_next(series));
    assert_int_equal(series->held->n, 1);
    series_free(series);
}

/* By the clock an interval closes without a later tick, and what is held before its end goes on; it takes no more. */
static void closed_by_the_clock(void **state) {
    (void)state;
    const struct time_policy_spec spec = {
        .every = 10, .gap = GAP_FILL, .fill_most = 2, .aggregate = AGGREGATE_SUM, .same_time = SAME_TIME_REPLACE};
    struct series *series = series_new(&spec, WIDTH, 8, FIXTURE_PENDING);
    int64_t end = 0;
    assert_false(series_is_open(series, &end));
    series_close(series, 1000);
    assert_false(series_next(series)); /* nothing is open */
    check_take(series, 12, 3, 4, 0, TIME_JOINS);
    assert_true(series_is_open(series, &end) && end == 20);
    series_close(series, 19);
    assert_false(series_next(series));
    series_close(series, 20);
    assert_true(series_next(series));
    check_step(series, &(struct expected_step){10, {3, 4}, STEP_CLOCK, 1}, "by the clock");
    assert_false(series_is_open(series, &end));
    series_close(series, 30);
    assert_false(series_next(series));
    check_take(series, 12, 9, 9, -1, TIME_LATE);
    check_take(series, 19, 9, 9, -1, TIME_LATE);
    check_take(series, 35, 5, 6, 0, TIME_JOINS);
    assert_true(series_next(series));
    check_step(series, &(struct expected_step){20, {NAN, NAN}, STEP_FILLED | STEP_IMPUTED, 0}, "filled behind it");
    assert_false(series_next(series));
    check_take(series, 40, 1, 1, 1, TIME_CLOSES);
    check_step(series, &(struct expected_step){30, {5, 6}, 0, 1}, "by a tick");
    series_close(series, INT64_MAX);
    assert_true(series_next(series));
    check_take(series, 90, 1, 1, 0, TIME_JOINS);
    check_take(series, 100, 1, 1, 1, TIME_CLOSES);
    check_step(series, &(struct expected_step){90, {1, 1}, STEP_GAP | STEP_RESET, 1}, "behind a gap");
    series_free(series);

    const struct time_policy_spec sorted = {.every = 10, .reorder = 100, .reorder_most = 9};
    series = series_new(&sorted, WIDTH, 8, FIXTURE_PENDING);
    take_held(series, 15, 1, TIME_HELD);
    take_held(series, 32, 3, TIME_HELD);
    take_held(series, 25, 2, TIME_SORTED);
    assert_true(series_is_open(series, &end) && end == 40);
    series_close(series, 38);
    assert_true(series_next(series));
    check_step(series, &(struct expected_step){10, {1, -1}, STEP_CLOCK, 1}, "of those held");
    assert_true(series_next(series));
    check_step(series, &(struct expected_step){20, {2, -2}, STEP_CLOCK | STEP_REORDERED, 1}, "the last");
    assert_false(series_next(series));
    assert_int_equal(series->held->n, 1);
    series_free(series);
}

/* ---- against an oracle ------------------------------------------------------------------------ */

/* The ticks that were taken, in the order of their times, and by them alone, from the first one on, the steps. */
enum { TICKS_MOST = 200, STEPS_MOST = 1000, INTERVALS = 4096 };

struct taken_tick {
    int64_t t;
    double values[WIDTH];
    bool replaced, reordered;
};

struct oracle {
    struct time_policy_spec spec;
    struct taken_tick ticks[TICKS_MOST]; /* [n] of which the first n_gone are held no more */
    int n, n_gone;
    int64_t newest;
    bool closed[INTERVALS], flagged[INTERVALS]; /* by the clock: that interval; in the course of that */
    struct expected_step steps[STEPS_MOST];
    int n_steps;
};

static int64_t floor_to(int64_t t, int64_t every) {
    int64_t quotient = t / every;
    return (quotient - (quotient * every > t)) * every;
}

static bool *by_interval(bool *of, int64_t start) {
    assert_true(start / 10 + 100 >= 0 && start / 10 + 100 < INTERVALS);
    return &of[start / 10 + 100];
}

/* Returns whether it is taken. */
static bool oracle_put(struct oracle *oracle, struct taken_tick tick) {
    const struct time_policy_spec *spec = &oracle->spec;
    const struct taken_tick *gone = oracle->n_gone > 0 ? &oracle->ticks[oracle->n_gone - 1] : NULL;
    int at = oracle->n;
    if (gone != NULL && spec->every > 0 && *by_interval(oracle->closed, floor_to(gone->t, spec->every)) &&
        tick.t < floor_to(gone->t, spec->every) + spec->every)
        return false;
    if (gone != NULL && tick.t < gone->t)
        return false;
    while (at > 0 && oracle->ticks[at - 1].t > tick.t)
        at--;
    tick.reordered = at < oracle->n;
    bool same = at > 0 && oracle->ticks[at - 1].t == tick.t, closed = spec->every == 0 && at == oracle->n_gone;
    if (same && (spec->same_time == SAME_TIME_DROP || (spec->same_time == SAME_TIME_REPLACE && closed)))
        return false;
    if (same && spec->same_time == SAME_TIME_REPLACE) {
        tick.replaced = true;
        tick.reordered |= oracle->ticks[at - 1].reordered;
        oracle->ticks[at - 1] = tick;
        return true;
    }
    memmove(&oracle->ticks[at + 1], &oracle->ticks[at], (size_t)(oracle->n - at) * sizeof tick);
    oracle->ticks[at] = tick;
    oracle->n++;
    return true;
}

static bool oracle_take(struct oracle *oracle, const struct taken_tick *tick) {
    if (!oracle_put(oracle, *tick))
        return false;
    oracle->newest = oracle->ticks[oracle->n - 1].t;
    while (oracle->n_gone < oracle->n && (oracle->ticks[oracle->n_gone].t <= oracle->newest - oracle->spec.reorder ||
                                          oracle->n - oracle->n_gone > oracle->spec.reorder_most))
        oracle->n_gone++;
    return true;
}

static double oracle_value(const struct oracle *oracle, int from, int end, int feature) {
    double values[TICKS_MOST], value = NAN, sum = 0;
    int n = 0;
    for (int i = from; i < end; i++)
        if (!isnan(oracle->ticks[i].values[feature]))
            values[n++] = oracle->ticks[i].values[feature];
    for (int i = 0; i < n; i++) {
        sum += values[i];
        bool lower = oracle->spec.aggregate == AGGREGATE_MIN && values[i] < value;
        bool higher = oracle->spec.aggregate == AGGREGATE_MAX && values[i] > value;
        if (i == 0 || lower || higher || oracle->spec.aggregate == AGGREGATE_LAST)
            value = values[i];
    }
    if (n > 0 && oracle->spec.aggregate == AGGREGATE_SUM)
        return sum;
    return n > 0 && oracle->spec.aggregate == AGGREGATE_MEAN ? sum / n : value;
}

static void oracle_step(struct oracle *oracle, int64_t t, int from, int end, uint8_t flags) {
    struct expected_step step = {.t = t, .flags = flags, .ticks = (uint32_t)(end - from)};
    for (int f = 0; f < WIDTH; f++) {
        step.values[f] = oracle_value(oracle, from, end, f);
        if (isnan(step.values[f]))
            step.flags |= STEP_IMPUTED;
    }
    if (end > from && oracle->spec.every > 0 && *by_interval(oracle->flagged, t))
        step.flags |= STEP_CLOCK;
    for (int i = from; i < end; i++)
        step.flags |= (uint8_t)((oracle->ticks[i].replaced ? STEP_REPLACED : 0) |
                                (oracle->ticks[i].reordered ? STEP_REORDERED : 0));
    oracle->steps[oracle->n_steps++] = step;
}

static uint8_t oracle_gap(const struct time_policy_spec *spec, int64_t apart) {
    int64_t within = spec->gap_after;
    if (spec->gap == GAP_FILL)
        within = (spec->fill_most + 1) * spec->every;
    else if (spec->every > 0 && within < spec->every)
        within = spec->every;
    if (within == 0 || apart <= within)
        return 0;
    return (uint8_t)(STEP_GAP | (spec->gap == GAP_IGNORE ? 0 : STEP_RESET));
}

/* All steps that the ticks so far have closed. */
static void oracle_steps(struct oracle *oracle) {
    const struct time_policy_spec *spec = &oracle->spec;
    oracle->n_steps = 0;
    for (int from = 0, end; from < oracle->n_gone; from = end) {
        int64_t t = oracle->ticks[from].t, before = from > 0 ? oracle->ticks[from - 1].t : t;
        if (spec->every == 0) {
            end = from + 1;
            oracle_step(oracle, t, from, end, oracle_gap(spec, t - before));
            continue;
        }
        int64_t start = floor_to(t, spec->every);
        before = floor_to(before, spec->every);
        uint8_t gap = oracle_gap(spec, start - before);
        for (int64_t fill = before + spec->every; gap == 0 && spec->gap == GAP_FILL && fill < start;
             fill += spec->every)
            oracle_step(oracle, fill, 0, 0, STEP_FILLED);
        for (end = from; end < oracle->n_gone && oracle->ticks[end].t < start + spec->every; end++)
            ;
        if (end < oracle->n_gone || *by_interval(oracle->closed, start))
            oracle_step(oracle, start, from, end, gap);
    }
}

static void oracle_close(struct oracle *oracle, int64_t t) {
    int64_t to = floor_to(t, 10), start;
    int before = oracle->n_steps;
    if (oracle->spec.every == 0)
        return;
    while (oracle->n_gone < oracle->n && oracle->ticks[oracle->n_gone].t < to)
        oracle->n_gone++;
    if (oracle->n_gone > 0 && (start = floor_to(oracle->ticks[oracle->n_gone - 1].t, 10)) + 10 <= to)
        *by_interval(oracle->closed, start) = true;
    oracle_steps(oracle);
    for (int i = before; i < oracle->n_steps; i++)
        *by_interval(oracle->flagged, oracle->steps[i].t) = true;
    oracle_steps(oracle);
}

static void check_steps(struct oracle *oracle, const struct series *series, int *n_steps, const char *what) {
    assert_true(*n_steps < oracle->n_steps);
    struct expected_step step = oracle->steps[(*n_steps)++];
    for (int f = 0; f < WIDTH; f++) /* a running mean ends with other bits */
        if (fabs(history_observed(series->history, series->history->n, f) - step.values[f]) < 1e-12)
            step.values[f] = history_observed(series->history, series->history->n, f);
    check_step(series, &step, what);
}

static void check_oracle(struct oracle *oracle, struct rng *rng, const char *what) {
    struct series *series = series_new(&oracle->spec, WIDTH, STEPS_MOST, 1);
    int64_t t = -300;
    int n_steps = 0;
    for (int i = 0; i < TICKS_MOST; i++) {
        const int64_t hops[] = {0, 0, -3, 1, 2, 3, 7, 12, 26, 90};
        t += hops[rng_below(rng, 10)];
        struct taken_tick tick = {.t = t};
        if (oracle->spec.reorder > 0 && rng_below(rng, 2) == 0)
            tick.t -= (int64_t)rng_below(rng, 24);
        for (int f = 0; f < WIDTH; f++) /* whole ones: their sums are the same in any order */
            tick.values[f] = rng_below(rng, 4) == 0 ? NAN : (double)rng_below(rng, 64);
        bool taken = oracle_take(oracle, &tick);
        oracle_steps(oracle);
        enum time_verdict verdict;
        int got = series_take(series, tick.t, tick.values, &verdict);
        assert_int_equal(got >= 0, taken);
        for (bool closed = got == 1; closed || series_next(series); closed = false)
            check_steps(oracle, series, &n_steps, what);
        assert_int_equal(n_steps, oracle->n_steps);
        if (oracle->spec.close_after > 0 && rng_below(rng, 5) == 0) {
            int64_t now = t + (int64_t)rng_below(rng, 50) - 25;
            oracle_close(oracle, now);
            series_close(series, now);
            while (series_next(series))
                check_steps(oracle, series, &n_steps, what);
            assert_int_equal(n_steps, oracle->n_steps);
        }
        t = oracle->n > 0 ? oracle->ticks[oracle->n - 1].t : t;
    }
    assert_true(n_steps > 10);
    series_free(series);
}

static void random_ticks(void **state) {
    (void)state;
    struct rng rng = {7};
    static struct oracle oracle;
    for (int round = 0; round < 2000; round++) {
        bool holds = rng_below(&rng, 2) == 0;
        oracle = (struct oracle){.spec = {.close_after = (int64_t)rng_below(&rng, 2),
                                          .reorder = holds ? 1 + (int64_t)rng_below(&rng, 20) : 0,
                                          .reorder_most = 1 + (int)rng_below(&rng, 6),
                                          .every = rng_below(&rng, 3) == 0 ? 0 : 10,
                                          .gap_after = rng_below(&rng, 2) == 0 ? 0 : 25,
                                          .gap = (enum gap_policy)rng_below(&rng, 3),
                                          .fill_most = 1 + (int)rng_below(&rng, 6),
                                          .aggregate = (enum aggregate)rng_below(&rng, 5),
                                          .same_time = (enum same_time)rng_below(&rng, 3)}};
        if (oracle.spec.gap == GAP_FILL && oracle.spec.every == 0)
            oracle.spec.gap = GAP_IGNORE;
        if (oracle.spec.gap == GAP_FILL)
            oracle.spec.gap_after = 0;
        char what[100];
        snprintf(what, sizeof what, "round %d: every %d, gap %d, aggregate %d, same %d, reorder %d (%d)", round,
                 (int)oracle.spec.every, oracle.spec.gap, oracle.spec.aggregate, oracle.spec.same_time,
                 (int)oracle.spec.reorder, oracle.spec.reorder_most);
        check_oracle(&oracle, &rng, what);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggregates),   cmocka_unit_test(filled), cmocka_unit_test(replaced),
        cmocka_unit_test(kept),         cmocka_unit_test(held),   cmocka_unit_test(closed_by_the_clock),
        cmocka_unit_test(random_ticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
