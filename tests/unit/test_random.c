#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The published test vector of splitmix64. */
static void test_next_is_splitmix64(void **state) {
    (void)state;
    static const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                        4593380528125082431u, 16408922859458223821u};
    struct rng rng = {.state = 1234567};
    for (int i = 0; i < 5; i++)
        assert_true(rng_next(&rng) == expected[i]);
}

static void test_uniform(void **state) {
    (void)state;
    enum { N = 100000 };
    struct rng rng = {.state = 1};
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        double u = rng_uniform(&rng);
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += (u - 0.5) * (u - 0.5);
    }
    assert_true(fabs(sum / N - 0.5) < 0.005);
    assert_true(fabs(squares / N - 1.0 / 12) < 0.002);
}

static void test_normal(void **state) {
    (void)state;
    enum { N = 100000 };
    struct rng rng = {.state = 2};
    double sum = 0, squares = 0, fourth = 0;
    int beyond_two = 0;
    for (int i = 0; i < N; i++) {
        double z = rng_normal(&rng);
        sum += z;
        squares += z * z;
        fourth += z * z * z * z;
        beyond_two += fabs(z) > 2;
    }
    assert_true(fabs(sum / N) < 0.015);
    assert_true(fabs(squares / N - 1) < 0.02);
    assert_true(fabs(fourth / N - 3) < 0.2);
    assert_true(fabs((double)beyond_two / N - 0.0455) < 0.003);
}

/* Its own logarithm: against libm's, through the polar method done once more. */
static void test_normal_is_the_polar_method(void **state) {
    (void)state;
    struct rng rng = {.state = 3}, again = rng;
    for (int i = 0; i < 1000; i++) {
        double u, square;
        do {
            u = 2 * rng_uniform(&again) - 1;
            double v = 2 * rng_uniform(&again) - 1;
            square = u * u + v * v;
        } while (square >= 1 || square == 0);
        double expected = u * sqrt(-2 * log(square) / square), z = rng_normal(&rng);
        assert_true(fabs(z - expected) <= 1e-13 * (1 + fabs(expected)));
    }
}

static void test_below(void **state) {
    (void)state;
    struct rng rng = {.state = 4};
    int seen[7] = {0};
    for (int i = 0; i < 70000; i++)
        seen[rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 9600, 10400);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rng_below(&rng, 1), 0);
    /* With n just over half of 2^64 a remainder alone would favour the lower half of it, 2 to 1. */
    uint64_t n = ((uint64_t)1 << 63) + ((uint64_t)1 << 62);
    int lower = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t drawn = rng_below(&rng, n);
        assert_true(drawn < n);
        lower += drawn < n / 3;
    }
    assert_in_range(lower, 3100, 3570);
}

static void test_hash(void **state) {
    (void)state;
    assert_true(rng_hash(1, "plant/boiler-7", 14) == rng_hash(1, "plant/boiler-7", 14));
    assert_true(rng_hash(1, "plant/boiler-7", 14) != rng_hash(2, "plant/boiler-7", 14));
    assert_true(rng_hash(1, "plant/boiler-7", 14) != rng_hash(1, "plant/boiler-8", 14));
    assert_true(rng_hash(1, "plant/boiler-7", 14) != rng_hash(1, "plant/boiler-7", 13));
    assert_true(rng_hash(1, "\0", 1) != rng_hash(1, "", 0));

    /* Names that differ by a number spread evenly over a few buckets, by their low bits and by their high ones. */
    int low[8] = {0}, high[8] = {0};
    for (int i = 0; i < 8000; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "host/%d", i);
        uint64_t hash = rng_hash(9, name, (size_t)n);
        low[hash & 7]++;
        high[hash >> 61]++;
    }
    for (int i = 0; i < 8; i++) {
        assert_in_range(low[i], 880, 1120);
        assert_in_range(high[i], 880, 1120);
    }
}

/* What other modules choose by it (windows, weights) must not change with a release. */
static void test_hash_is_pinned(void **state) {
    (void)state;
    print_message("%#018lx\n", (unsigned long)rng_hash(42, "forecast", 8));
    assert_true(rng_hash(42, "forecast", 8) == 0x3160d5ed115710d7u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_is_splitmix64),
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_normal),
        cmocka_unit_test(test_normal_is_the_polar_method),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_hash_is_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
