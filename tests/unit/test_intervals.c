#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/intervals.h"
#include "engine/random.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const double levels[] = {80, 95};

/* Before 1 / (1 - p) - 1 answers the interval is the largest error, and flagged. */
static void capped_while_answers_are_few(void **state) {
    (void)state;
    const int steps[] = {1};
    const double many[] = {50, 80, 95, 99.9};
    struct intervals *intervals = intervals_new(2, steps, 1, 1, many, 4, false);
    float radii[4] = {0};
    assert_false(intervals_radii(intervals, 1, 0, NULL, radii));
    for (int l = 0; l < 4; l++)
        assert_true(isnan(radii[l]));
    for (int n = 1; n <= 1100; n++) {
        intervals_answer(intervals, 1, 0, n % 2 ? -1 : 0.5, radii, NULL);
        assert_int_equal(intervals_radii(intervals, 1, 0, NULL, radii), n < 999);
        const int least[] = {1, 4, 19, 999};
        for (int l = 0; l < 4; l++)
            if (n < least[l])
                assert_true(radii[l] == fmaxf(1, radii[l - 1]));
            else
                assert_true(radii[l] > 0.3F && radii[l] < 2);
    }
    assert_false(intervals_radii(intervals, 0, 0, NULL, radii));
    assert_true(isnan(radii[0])); /* another slot's */
    intervals_restart(intervals, 1);
    intervals_radii(intervals, 1, 0, NULL, radii);
    assert_true(isnan(radii[0]));
    intervals_answer(intervals, 1, 0, 7, radii, NULL);
    assert_true(intervals_radii(intervals, 1, 0, NULL, radii));
    assert_true(radii[1] == fmaxf(7, radii[0]) && radii[3] == radii[1]);
    intervals_free(intervals);
    intervals_free(NULL);
}

static void never_negative_never_crossing(void **state) {
    (void)state;
    const int steps[] = {1, 5};
    const double many[] = {1, 30, 50, 80, 90, 95, 99, 99.9};
    const double sizes[] = {0, 1e-310, 1e-30, 1, 1e30, 1e200, DBL_MAX, INFINITY};
    struct intervals *intervals = intervals_new(1, steps, 2, 2, many, 8, false);
    struct rng rng = {3};
    float radii[8];
    for (int n = 0; n < 20000; n++) {
        double error = rng_normal(&rng) * sizes[n / 2000 % 10 < 8 ? n / 2000 % 8 : (int)rng_below(&rng, 8)];
        int cell = (int)rng_below(&rng, 4);
        intervals_radii(intervals, 0, cell, NULL, radii);
        for (int l = 0; l < 8; l++) {
            assert_true(isnan(radii[l]) || (radii[l] >= 0 && isfinite(radii[l])));
            assert_true(l == 0 || isnan(radii[l]) || isnan(radii[l - 1]) || radii[l] >= radii[l - 1]);
        }
        intervals_answer(intervals, 0, cell, error, radii, NULL);
    }
    intervals_free(intervals);
}

/* One owner's cells do not touch another's; the same answers give the same half-widths, to the bit. */
static void cells_are_their_own(void **state) {
    (void)state;
    const int steps[] = {1, 2};
    struct intervals *a = intervals_new(2, steps, 2, 3, levels, 2, false),
                     *b = intervals_new(1, steps, 2, 3, levels, 2, false);
    struct rng rng = {5};
    float one[2], two[2], other[2];
    for (int n = 0; n < 500; n++) {
        double error = rng_normal(&rng);
        intervals_radii(a, 1, 4, NULL, one);
        intervals_radii(b, 0, 4, NULL, two);
        assert_memory_equal(one, two, sizeof one);
        intervals_answer(a, 1, 4, error, one, NULL);
        intervals_answer(b, 0, 4, -error, two, NULL);
        for (int cell = 0; cell < 6; cell++) {
            intervals_radii(a, 0, cell, NULL, other);
            if (cell != 4)
                intervals_answer(a, 1, cell, 100 * error, other, NULL);
            intervals_answer(a, 0, cell, 10 * error, other, NULL);
        }
    }
    intervals_free(a);
    intervals_free(b);
}

/* ---- coverage ------------------------------------------------------------------------------- */

enum { ANSWERS = 12000, TARGETS = 4 };

/* The errors of some forecaster h steps ahead on series of several kinds, one step after another. */
struct source {
    const char *name;
    double (*next)(struct rng *rng, int step, double *level);
    double most; /* the quantile loss by that of the best constant interval in hindsight; 0: not compared */
};

static double noise(struct rng *rng, int step, double *level) {
    (void)step;
    (void)level;
    return rng_normal(rng);
}

/* A series that jumps, forecast by its last value: so many errors in a row as the horizon is long. */
static double jumps(struct rng *rng, int step, double *level) {
    (void)step;
    if (rng_below(rng, 500) == 0)
        *level += 20 * rng_normal(rng);
    return *level + rng_normal(rng);
}

static double walk(struct rng *rng, int step, double *level) {
    (void)step;
    return *level += rng_normal(rng);
}

static double variance_changes(struct rng *rng, int step, double *level) {
    (void)level;
    return rng_normal(rng) * (step / 700 % 2 ? 6 : 1);
}

static double variance_jumps_once(struct rng *rng, int step, double *level) {
    (void)level;
    return rng_normal(rng) * (step > 6000 ? 10 : 1);
}

static double variance_grows(struct rng *rng, int step, double *level) {
    (void)level;
    return rng_normal(rng) * exp(3.0 * step / ANSWERS);
}

static double seasonal_variance(struct rng *rng, int step, double *level) {
    (void)level;
    return rng_normal(rng) * (1 + 0.9 * sin(step * 2 * M_PI / 24));
}

static double bursts(struct rng *rng, int step, double *level) {
    if (rng_below(rng, 300) == 0)
        *level = step + 5;
    return rng_normal(rng) * (step < *level ? 50 : 1);
}

static double heavy_tails(struct rng *rng, int step, double *level) {
    (void)step;
    (void)level;
    return rng_normal(rng) / fmax(1e-3, fabs(rng_normal(rng))); /* Cauchy's: not even a mean */
}

static double steps_of_one(struct rng *rng, int step, double *level) {
    (void)step;
    (void)level;
    return round(3 * rng_normal(rng));
}

static const struct source sources[] = {
    {"noise", noise, 1.07},
    {"jumps", jumps, 0},
    {"walk", walk, 0},
    {"variance changes", variance_changes, 0.76},
    {"variance jumps once", variance_jumps_once, 0.75},
    {"variance grows", variance_grows, 0.7},
    {"seasonal variance", seasonal_variance, 1.06},
    {"bursts", bursts, 0.99},
    {"heavy tails", heavy_tails, 0},
    {"steps of one", steps_of_one, 1.07},
};

static void check_share(const char *name, int h, int level, int n, const int *held) {
    double share = (double)held[level] / (n * TARGETS), bound = n == 1000 ? 0.02 : 0.01;
    if (fabs(share - levels[level] / 100) > bound)
        fail_msg("%s, %d ahead: %.4f of %d answers held at %g %%", name, h, share, n, levels[level]);
}

/* The last value as the forecast of every source: what was said at a step is answered h steps later. */
static void cover(const struct source *source, int h, uint64_t seed) {
    static double values[TARGETS][ANSWERS + 64];
    static float said[TARGETS][64][2];
    int held[2] = {0}, n = 0;
    struct intervals *intervals = intervals_new(1, &h, 1, TARGETS, levels, 2, false);
    for (int j = 0; j < TARGETS; j++) {
        struct rng rng = {seed + (uint64_t)j};
        double level = 0;
        for (int step = 0; step < ANSWERS + h; step++)
            values[j][step] = source->next(&rng, step, &level);
    }
    for (int step = 0; step < ANSWERS + h; step++) {
        for (int j = 0; j < TARGETS; j++) {
            float *radii = said[j][step % h];
            if (step >= h) {
                double error = values[j][step] - values[j][step - h];
                for (int l = 0; l < 2; l++)
                    held[l] += isnan(radii[l]) || fabs(error) <= (double)radii[l];
                intervals_answer(intervals, 0, j, error, radii, NULL);
            }
            intervals_radii(intervals, 0, j, NULL, radii);
        }
        n += step >= h;
        for (int l = 0; l < 2; l++)
            if (n == 1000 || n == 10000)
                check_share(source->name, h, l, n, held);
    }
    intervals_free(intervals);
}

static void long_run_coverage(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        for (int h = 1; h <= 16; h *= 4)
            cover(&sources[i], h, 100 * i);
}

/* A network that knows how sure it is: the errors' size changes from step to step, and its half-widths with it, but
 * they are half as wide as they should be. Coverage holds with them as without, and the intervals are much narrower;
 * a network that is wrong about it (its half-widths are of some other step) does little harm, nor does one that is
 * silent now and then. */
static void what_the_network_gives_is_used(void **state) {
    (void)state;
    enum { NONE, RIGHT, WRONG, SILENT, N_CASES };
    const int one = 1;
    double width[N_CASES] = {0}, held[N_CASES] = {0};
    for (int i = 0; i < N_CASES; i++) {
        struct intervals *intervals = intervals_new(1, &one, 1, 1, levels, 2, i != NONE);
        struct rng rng = {9}, other = {10};
        for (int step = 0; step < ANSWERS; step++) {
            double size = exp(2 * rng_uniform(&rng) - 1), error = size * rng_normal(&rng);
            double said = i == WRONG ? exp(2 * rng_uniform(&other) - 1) : size;
            float radii[2], own[2] = {(float)(0.5 * 1.2816 * said), (float)(0.5 * 1.96 * said)};
            if (i == SILENT && rng_uniform(&other) < 0.5)
                own[0] = own[1] = NAN;
            intervals_radii(intervals, 0, 0, own, radii);
            if (step >= 2000) {
                held[i] += (fabs(error) <= (double)radii[1]) / (double)(ANSWERS - 2000);
                width[i] += (double)radii[1] / (ANSWERS - 2000);
            }
            intervals_answer(intervals, 0, 0, error, radii, own);
        }
        intervals_free(intervals);
        print_message("held %.4f, width %.3f\n", held[i], width[i]);
        assert_true(fabs(held[i] - 0.95) < 0.01);
    }
    assert_true(width[RIGHT] < 0.9 * width[NONE] && width[SILENT] < 0.97 * width[NONE]);
    assert_true(width[WRONG] < 1.05 * width[NONE]);
}

/* Half-widths of the network's that are far too large do no harm, however large. */
static void beside_a_network_that_is_never_sure(void **state) {
    (void)state;
    const int one = 1;
    for (float unsure = 10; unsure < 1e31F; unsure *= 1e10F) {
        struct intervals *intervals = intervals_new(1, &one, 1, 1, levels, 2, true);
        struct rng rng = {16};
        int held[2] = {0};
        for (int step = 0; step < 2000; step++) {
            float radii[2], own[2] = {1.2816F * unsure, 1.96F * unsure};
            double error = rng_normal(&rng);
            intervals_radii(intervals, 0, 0, own, radii);
            for (int l = 0; l < 2 && step >= 1000; l++)
                held[l] += fabs(error) <= (double)radii[l];
            intervals_answer(intervals, 0, 0, error, radii, own);
        }
        for (int l = 0; l < 2; l++)
            if (fabs(held[l] / 1000.0 - levels[l] / 100) > 0.02)
                fail_msg("%g: %.4f held at %g %%", (double)unsure, held[l] / 1000.0, levels[l]);
        intervals_free(intervals);
    }
}

/* Half-widths of the network's that have been far too small for long do not make intervals too wide when another
 * version gives better ones. */
static void behind_a_network_that_was_too_sure(void **state) {
    (void)state;
    const int one = 1;
    for (float sure = 1e-2F; sure > 1e-37F; sure *= 1e-7F) {
        struct intervals *intervals = intervals_new(1, &one, 1, 1, levels, 2, true);
        struct rng rng = {15};
        int held[2] = {0};
        for (int step = 0; step < 5000; step++) {
            float radii[2], own[2] = {1.2816F, 1.96F};
            for (int l = 0; l < 2 && step < 3000; l++)
                own[l] *= sure;
            double error = rng_normal(&rng);
            intervals_radii(intervals, 0, 0, own, radii);
            for (int l = 0; l < 2 && step >= 3000; l++)
                held[l] += fabs(error) <= (double)radii[l];
            intervals_answer(intervals, 0, 0, error, radii, own);
        }
        for (int l = 0; l < 2; l++)
            if (fabs(held[l] / 2000.0 - levels[l] / 100) > 0.02)
                fail_msg("%g: %.4f held at %g %%", (double)sure, held[l] / 2000.0, levels[l]);
        intervals_free(intervals);
    }
}

/* A stream at which nothing goes wrong for very long: when it wakes up, its intervals do. */
static void after_a_long_sleep(void **state) {
    (void)state;
    const int one = 1;
    struct intervals *intervals = intervals_new(1, &one, 1, 1, levels, 2, false);
    struct rng rng = {8};
    float radii[2] = {0};
    int held[2][2] = {{0}}; /* of the first 200 awake, and of the 1,000 behind them */
    for (int step = 0; step < 202200; step++) {
        double error = step < 1000 || step >= 201000 ? rng_normal(&rng) : 0;
        intervals_radii(intervals, 0, 0, NULL, radii);
        for (int l = 0; l < 2 && step >= 201000; l++)
            held[step >= 201200][l] += fabs(error) <= (double)radii[l];
        intervals_answer(intervals, 0, 0, error, radii, NULL);
    }
    assert_in_range(held[0][0], 60, 200);
    assert_in_range(held[0][1], 100, 200);
    assert_in_range(held[1][0], 770, 830);
    assert_in_range(held[1][1], 930, 970);
    intervals_free(intervals);
}

/* A single error, however large, and wherever it comes, does not make all intervals behind it too wide. */
static void behind_an_enormous_error(void **state) {
    (void)state;
    static const struct {
        double error;
        int at, recovers; /* answers */
    } cases[] = {{1e4, 2000, 0}, {1e6, 2000, 0}, {1e9, 2000, 0}, {1e30, 2000, 0}, {1e6, 0, 4000}, {1e9, 3, 8000}};
    const int one = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct intervals *intervals = intervals_new(1, &one, 1, 1, levels, 2, false);
        struct rng rng = {11};
        int held[2] = {0}, n = 0;
        for (int step = 0; n < 10000; step++) {
            float radii[2];
            double error = step == cases[i].at ? cases[i].error : rng_normal(&rng);
            bool counts = step > cases[i].at + cases[i].recovers;
            intervals_radii(intervals, 0, 0, NULL, radii);
            for (int l = 0; l < 2 && counts; l++)
                held[l] += fabs(error) <= (double)radii[l];
            n += counts;
            intervals_answer(intervals, 0, 0, error, radii, NULL);
        }
        for (int l = 0; l < 2; l++)
            if (fabs(held[l] / 10000.0 - levels[l] / 100) > 0.01)
                fail_msg("%g at %d: %.4f held at %g %%", cases[i].error, cases[i].at, held[l] / 10000.0, levels[l]);
        intervals_free(intervals);
    }
}

/* Where all errors become enormous the intervals follow. */
static void when_all_become_enormous(void **state) {
    (void)state;
    const int one = 1;
    struct intervals *intervals = intervals_new(1, &one, 1, 1, levels, 2, false);
    struct rng rng = {13};
    int held[2] = {0};
    for (int step = 0; step < 3000; step++) {
        float radii[2];
        double error = rng_normal(&rng) * (step < 2000 ? 1 : 1e12);
        intervals_radii(intervals, 0, 0, NULL, radii);
        for (int l = 0; l < 2 && step >= 2000; l++)
            held[l] += fabs(error) <= (double)radii[l];
        intervals_answer(intervals, 0, 0, error, radii, NULL);
    }
    assert_in_range(held[0], 770, 830);
    assert_in_range(held[1], 930, 970);
    intervals_free(intervals);
}

/* What was once large is forgotten where errors have been small for very long. */
static void when_all_has_become_calm(void **state) {
    (void)state;
    const int one = 1;
    struct intervals *intervals = intervals_new(1, &one, 1, 1, levels, 2, false);
    struct rng rng = {12};
    int held[2] = {0};
    for (int step = 0; step < 112000; step++) {
        float radii[2];
        double error = rng_normal(&rng) * (step < 2000 ? 1 : 1e-6);
        intervals_radii(intervals, 0, 0, NULL, radii);
        for (int l = 0; l < 2 && step >= 102000; l++)
            held[l] += fabs(error) <= (double)radii[l];
        intervals_answer(intervals, 0, 0, error, radii, NULL);
    }
    assert_in_range(held[0], 7900, 8100);
    assert_in_range(held[1], 9400, 9600);
    intervals_free(intervals);
}

/* Where the widths differ in time, intervals that follow them are narrower than those that do not: their mean
 * quantile loss comes near that of the best constant one, or below. */
static void as_narrow_as_the_best_constant(void **state) {
    (void)state;
    const int one = 1;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (sources[i].most == 0)
            continue;
        struct intervals *intervals = intervals_new(1, &one, 1, 1, levels, 2, false);
        struct rng rng = {i};
        static double errors[ANSWERS];
        double level = 0, own = 0, best = INFINITY;
        float radii[2];
        for (int step = 0; step < ANSWERS; step++) {
            double error = errors[step] = sources[i].next(&rng, step, &level);
            intervals_radii(intervals, 0, 0, NULL, radii);
            if (step >= 2000)
                own += 0.05 * (double)radii[1] + fmax(0, fabs(error) - (double)radii[1]);
            intervals_answer(intervals, 0, 0, error, radii, NULL);
        }
        for (double radius = 0.1; radius < 100; radius *= 1.05) {
            double sum = 0;
            for (int step = 2000; step < ANSWERS; step++)
                sum += 0.05 * radius + fmax(0, fabs(errors[step]) - radius);
            best = fmin(best, sum);
        }
        if (own > sources[i].most * best)
            fail_msg("%s: a quantile loss of %g, %g for the best constant", sources[i].name, own, best);
        intervals_free(intervals);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capped_while_answers_are_few),
        cmocka_unit_test(never_negative_never_crossing),
        cmocka_unit_test(cells_are_their_own),
        cmocka_unit_test(long_run_coverage),
        cmocka_unit_test(after_a_long_sleep),
        cmocka_unit_test(behind_an_enormous_error),
        cmocka_unit_test(when_all_become_enormous),
        cmocka_unit_test(when_all_has_become_calm),
        cmocka_unit_test(as_narrow_as_the_best_constant),
        cmocka_unit_test(what_the_network_gives_is_used),
        cmocka_unit_test(behind_a_network_that_was_too_sure),
        cmocka_unit_test(beside_a_network_that_is_never_sure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
