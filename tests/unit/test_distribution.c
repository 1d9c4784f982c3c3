#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/distribution.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static void assert_near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance))
        print_message("%.12g is not %.12g\n", a, b);
    assert_true(fabs(a - b) <= tolerance);
}

/* softplus(s) + 0.001 is 1. */
static const double s_of_one = 0.5397424171;

static void test_gaussian_by_hand(void **state) {
    (void)state;
    double slopes[2];
    assert_near(distribution_scale((const double[]){0, s_of_one}), 1, 1e-9);
    /* log sqrt(2 pi) + 2^2 / 2 */
    assert_near(distribution_loss(DISTRIBUTION_GAUSSIAN, (const double[]){1, s_of_one}, 3, slopes),
                0.918938533204673 + 2, 1e-8);
    assert_near(slopes[0], -2, 1e-8);
    /* (1 - 4) sigmoid(s): sigmoid is 1 - exp(-softplus) */
    assert_near(slopes[1], -3 * (1 - exp(-0.999)), 1e-8);
}

/* Of two degrees of freedom the density is (2 + z^2)^(-3/2). */
static void test_student_t_by_hand(void **state) {
    (void)state;
    double slopes[3];
    const double raw[] = {0, s_of_one, -800};
    assert_near(distribution_freedom(raw), 2, 0);
    assert_near(distribution_loss(DISTRIBUTION_STUDENT_T, raw, 3, slopes), 1.5 * log(11), 1e-8);
    assert_near(slopes[0], -3 * 3 / 11.0, 1e-8);
    assert_near(slopes[2], 0, 0);
    /* Of many degrees it is a Gaussian. */
    double of_gaussian[2];
    assert_near(distribution_loss(DISTRIBUTION_STUDENT_T, (const double[]){1, s_of_one, 1e30}, 3, slopes),
                distribution_loss(DISTRIBUTION_GAUSSIAN, (const double[]){1, s_of_one}, 3, of_gaussian), 1e-3);
    assert_near(slopes[0], of_gaussian[0], 1e-3);
}

static void test_far_answers_are_finite(void **state) {
    (void)state;
    static const double scales[] = {-1e4, -50, 0, 50, 1e4}, answers[] = {-1e30, 0, 1e30};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 3; j++) {
            const double raw[] = {0, scales[i], scales[i]};
            double slopes[3] = {0};
            for (int d = DISTRIBUTION_GAUSSIAN; d <= DISTRIBUTION_STUDENT_T; d++) {
                assert_true(isfinite(distribution_loss((enum distribution)d, raw, answers[j], slopes)));
                assert_true(isfinite(slopes[0]) && isfinite(slopes[1]) && isfinite(slopes[2]));
            }
        }
}

/* ---- quantiles ---------------------------------------------------------------------------------- */

static void test_normal_quantiles(void **state) {
    (void)state;
    assert_near(normal_quantile(0.975), 1.959963984540054, 1e-12);
    assert_near(normal_quantile(0.9), 1.2815515655446004, 1e-12);
    assert_near(normal_quantile(0.9995), 3.2905267314919, 1e-12);
    assert_near(normal_quantile(0.1), -1.2815515655446, 1e-12);
    assert_near(normal_quantile(0.5), 0, 1e-12);
    for (double p = 1e-6; p < 1; p += 0.0137) {
        assert_near(0.5 * erfc(-normal_quantile(p) / sqrt(2)), p, 1e-14);
        assert_near(normal_quantile(p), -normal_quantile(1 - p), 1e-9);
    }
}

/* Below x with Student's t: t is sqrt(nu) tan(angle), whose density is as cos^(nu - 1); by Simpson's rule. */
static double student_t_below(double nu, double x) {
    enum { N = 20000 };
    double to = atan(x / sqrt(nu)), step = (to + pi / 2) / N, sum = 0;
    for (int i = 0; i <= N; i++)
        sum += (i == 0 || i == N ? 1 : i % 2 == 1 ? 4 : 2) * pow(cos(-pi / 2 + i * step), nu - 1);
    return sum * step / 3 * exp(lgamma((nu + 1) / 2) - lgamma(nu / 2)) / sqrt(pi);
}

static void test_student_t_quantiles(void **state) {
    (void)state;
    static const double nus[] = {2, 2.1, 2.5, 3, 4, 7.5, 30, 1000}, ps[] = {0.001, 0.01, 0.025, 0.1, 0.3, 0.45};
    assert_near(student_t_quantile(3, 0.975), 3.182446305284263, 1e-4);
    assert_near(student_t_quantile(10, 0.9), 1.372183641110336, 1e-6);
    assert_near(student_t_quantile(7, 0.5), 0, 1e-12);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 6; j++) {
            double x = student_t_quantile(nus[i], ps[j]), off = nus[i] < 2.5 ? 2e-3 : 4e-5;
            assert_true(student_t_below(nus[i], x * (1 + off)) < ps[j]);
            assert_true(student_t_below(nus[i], x * (1 - off)) > ps[j]);
            assert_true(student_t_quantile(nus[i], 1 - ps[j]) == -student_t_quantile(nus[i], 1 - (1 - ps[j])));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaussian_by_hand),       cmocka_unit_test(test_student_t_by_hand),
        cmocka_unit_test(test_far_answers_are_finite), cmocka_unit_test(test_normal_quantiles),
        cmocka_unit_test(test_student_t_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
