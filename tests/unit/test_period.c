#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/period.h"

#include "clients/forecast/backtest_data.h"
#include "engine/random.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEPS = 4000 };

static double x[STEPS];

/* Noise in which each step remembers the one before: memory 0 to 1 (a random walk). */
static void fill_noise(struct rng *rng, double memory, int n) {
    double value = 0;
    for (int i = 0; i < n; i++)
        x[i] = value = memory * value + rng_normal(rng);
}

static struct period find(int n, const int *hints, int n_hints) {
    struct period found;
    assert_int_equal(period_find(x, n, 1, hints, n_hints, &found), 0);
    return found;
}

static void seasons_are_found(void **state) {
    (void)state;
    static const int periods[] = {2, 7, 24, 48, 168, 500};
    for (size_t k = 0; k < sizeof periods / sizeof *periods; k++)
        for (int trend = 0; trend < 2; trend++) {
            struct rng rng = {k + 1};
            fill_noise(&rng, 0.5, STEPS);
            for (int i = 0; i < STEPS; i++)
                x[i] += 2 * cos(6.283185307179586 * i / periods[k]) + trend * 0.01 * i;
            struct period found = find(STEPS, NULL, 0);
            if (abs(found.period - periods[k]) > periods[k] / 40 || !(found.support > 0.3))
                fail_msg("season of %d steps, trend %d: %d is found, support %g", periods[k], trend, found.period,
                         found.support);
        }
}

static void a_season_of_any_form_is_found(void **state) {
    (void)state;
    struct rng rng = {3};
    fill_noise(&rng, 0, STEPS);
    for (int i = 0; i < STEPS; i++)
        x[i] = 0.5 * x[i] + (i % 24 < 3 ? 4 : 0); /* three hours of a day */
    assert_int_equal(find(STEPS, NULL, 0).period, 24);
}

/* Of fifty series without a season few seem to have one. */
static void noise_and_random_walks_have_none(void **state) {
    (void)state;
    static const double memories[] = {0, 0.5, 0.9, 0.99, 1};
    struct rng rng = {7};
    for (size_t m = 0; m < sizeof memories / sizeof *memories; m++) {
        int found = 0;
        for (int k = 0; k < 50; k++) {
            fill_noise(&rng, memories[m], 1000);
            found += find(1000, NULL, 0).period > 0;
        }
        if (found > 7)
            fail_msg("memory %g: %d of 50 have a season", memories[m], found);
    }
}

static void bursts_and_missing_values_do_not_hide_it(void **state) {
    (void)state;
    struct rng rng = {5};
    fill_noise(&rng, 0, STEPS);
    for (int i = 0; i < STEPS; i++) {
        x[i] += 2 * sin(6.283185307179586 * i / 24);
        if (rng_below(&rng, 50) == 0)
            x[i] += 100; /* fifty deviations */
        if (rng_below(&rng, 10) == 0)
            x[i] = NAN;
    }
    assert_int_equal(find(STEPS, NULL, 0).period, 24);
}

static void a_hint_is_taken_where_it_is_supported(void **state) {
    (void)state;
    static const int day[] = {48}, wrong[] = {30};
    struct rng rng = {9};
    fill_noise(&rng, 0, STEPS);
    for (int i = 0; i < STEPS; i++)
        x[i] = 0.2 * x[i] + sin(6.283185307179586 * i / 48) * (i / 48 % 7 < 5 ? 1 : -0.2); /* weekends are quiet */
    assert_int_equal(find(STEPS, day, 1).period, 48);
    assert_int_equal(find(STEPS, NULL, 0).period, 336);
    assert_int_equal(find(STEPS, wrong, 1).period, 336);
}

static void degenerate_series_have_none(void **state) {
    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        for (int i = 0; i < 300; i++)
            x[i] = kind == 0   ? 5
                   : kind == 1 ? NAN
                   : kind == 2 ? (i < 150 ? NAN : 1)
                   : kind == 3 ? i * 1e30
                   : kind == 4 ? (i == 7 ? 1e30 : 5e-324)
                               : -i;
        assert_int_equal(find(300, NULL, 0).period, 0);
    }
    for (int n = 0; n < 9; n++)
        assert_int_equal(find(n, NULL, 0).period, 0);
}

/* What goes up, or down and up again, comes back to no place by the clock: what is left of it without its trend is
 * how ranks and sums are rounded, and that has periods. */
static void ramps_have_none(void **state) {
    (void)state;
    static const int steps[] = {60, 144, 200, 500, 1000, 2000, 2880, 4000};
    static const char *const kinds[] = {"a line",
                                        "a line down",
                                        "a root",
                                        "a square",
                                        "two slopes",
                                        "up and down",
                                        "down and up again",
                                        "a decay to a line",
                                        "a counter",
                                        "a noisy line",
                                        "a line with gaps"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            int n = steps[s];
            struct rng rng = {100 * k + s};
            double sum = 0;
            for (int i = 0; i < n; i++) {
                double u = (double)i / n;
                const double forms[] = {i,
                                        -0.1 * i,
                                        sqrt(u),
                                        u * u,
                                        u < 0.3 ? u : 3 * u - 0.6,
                                        u < 0.5 ? u : 1 - u,
                                        fabs(u - 0.6),
                                        u + exp(-20 * u),
                                        sum += rng_uniform(&rng),
                                        u + 0.001 * rng_normal(&rng),
                                        rng_below(&rng, 10) == 0 ? (double)NAN : i};
                x[i] = forms[k];
            }
            struct period found = find(n, NULL, 0);
            if (found.period > 0)
                fail_msg("%s of %d steps: %d is found, support %g", kinds[k], n, found.period, found.support);
        }
}

/* The real series, by their first two fifths, as a backtest has them. */
static void real_series(void **state) {
    (void)state;
    static const struct {
        const char *path;
        int period;
    } files[] = {
        {"../shared/data/ETTh1.csv", 24},
        {"../shared/data/nab/nyc_taxi.csv", 48},
        {"../shared/data/nab/ambient_temperature_system_failure.csv", 24},
        {"../shared/data/vix-daily.csv", 0},
        {"../shared/data/seattle-weather.csv", 0}, /* a year and a half of days */
        {"../shared/data/nab/realTraffic/occupancy_6005.csv", 0},
    };
    static const struct backtest_columns columns = {.rows = {.delimiter = ','}};
    if (access("../shared/data", R_OK) != 0) {
        print_message("skipped: ../shared/data is not there\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct backtest_data data;
        struct error err;
        struct period found;
        char *path = (char *)files[i].path;
        if (backtest_data_load(&data, &path, 1, &columns, NULL, 0, NULL, &err) != 0)
            fail_msg("%s", err.text);
        const struct backtest_stream *stream = &data.streams[0];
        int64_t interval = backtest_stream_interval(stream);
        int day = interval > 0 ? (int)(86400 * 1000000000LL / interval) : 0;
        assert_int_equal(
            period_find(stream->values, (int)(stream->n * 2 / 5), data.n_features, &day, day > 1, &found), 0);
        if (found.period != files[i].period)
            fail_msg("%s: %d is found, support %g", path, found.period, found.support);
        backtest_data_fini(&data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seasons_are_found),
        cmocka_unit_test(a_season_of_any_form_is_found),
        cmocka_unit_test(noise_and_random_walks_have_none),
        cmocka_unit_test(bursts_and_missing_values_do_not_hide_it),
        cmocka_unit_test(a_hint_is_taken_where_it_is_supported),
        cmocka_unit_test(degenerate_series_have_none),
        cmocka_unit_test(ramps_have_none),
        cmocka_unit_test(real_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
