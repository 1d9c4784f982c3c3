#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/loss.h"
#include "tests/support/floats.h"

static const struct loss_spec losses[] = {{.loss = LOSS_MSE}, {.loss = LOSS_MAE}, {.loss = LOSS_HUBER}};

enum {
    N_LOSSES = sizeof losses / sizeof *losses,
};

static void test_values(void **state) {
    (void)state;
    const float y[] = {1, 2, -3, 0.5f}, answer[] = {1, 4, -2.75f, 0.75f}, weight[] = {1, 1, 1, 2};
    assert_true(loss_sum(&losses[0], 1, 4, y, answer, weight, 1, NULL) == 4 + 0.0625 + 2 * 0.0625);
    assert_true(loss_sum(&losses[1], 1, 4, y, answer, weight, 1, NULL) == 2 + 0.25 + 2 * 0.25);
    assert_true(loss_sum(&losses[2], 1, 4, y, answer, weight, 1, NULL) == 1.5 + 0.03125 + 2 * 0.03125);
    assert_true(loss_sum(&losses[0], 1, 0, NULL, NULL, NULL, 1, NULL) == 0);
}

static void test_gradient_values(void **state) {
    (void)state;
    const float y[] = {0, 2, -3, 0.5f}, answer[] = {0, 4, -2.75f, 0.75f}, weight[] = {1, 1, 1, 2};
    const float slopes[N_LOSSES][4] = {{0, -4, -0.5f, -0.5f}, {0, -1, -1, -1}, {0, -1, -0.25f, -0.25f}};
    for (int l = 0; l < N_LOSSES; l++) {
        float gradient[4];
        loss_sum(&losses[l], 1, 4, y, answer, weight, 0.5f, gradient);
        for (int i = 0; i < 4; i++)
            assert_true(gradient[i] == 0.5f * weight[i] * slopes[l][i]);
    }
}

static void test_gradients_are_the_slopes(void **state) {
    (void)state;
    enum { N = 200 };
    const float step = 0x1p-8f, one = 1;
    struct rng rng = {.state = 1};
    float *y = floats_random(&rng, N, 3), *answer = floats_random(&rng, N, 3), *gradient = floats_new(N);
    float *weight = floats_random(&rng, N, 1);
    for (int l = 0; l < N_LOSSES; l++) {
        loss_sum(&losses[l], 1, N, y, answer, weight, 2, gradient);
        for (int i = 0; i < N; i++) {
            double size = fabs((double)y[i] - (double)answer[i]);
            if (size < 0.01 || fabs(size - 1) < 0.01)
                continue; /* a kink in one of the losses */
            float above = y[i] + step, below = y[i] - step;
            double slope = (loss_sum(&losses[l], 1, 1, &above, &answer[i], &one, 1, NULL) -
                            loss_sum(&losses[l], 1, 1, &below, &answer[i], &one, 1, NULL)) /
                           ((double)above - (double)below);
            assert_true(fabs((double)gradient[i] - 2 * (double)weight[i] * slope) < 1e-5);
        }
    }
    free(y);
    free(answer);
    free(gradient);
    free(weight);
}

static void test_an_answer_without_weight_is_not_read(void **state) {
    (void)state;
    const float y[] = {1, 2}, answer[] = {NAN, 3}, weight[] = {0, 1};
    for (int l = 0; l < N_LOSSES; l++) {
        float gradient[2] = {7, 7};
        assert_true(loss_sum(&losses[l], 1, 2, y, answer, weight, 1, gradient) > 0);
        assert_true(gradient[0] == 0 && gradient[1] < 0);
    }
}

static void test_nan_shows(void **state) {
    (void)state;
    const float y[] = {NAN}, answer[] = {3}, weight[] = {1};
    for (int l = 0; l < N_LOSSES; l++) {
        float gradient[1] = {7};
        assert_true(isnan(loss_sum(&losses[l], 1, 1, y, answer, weight, 1, gradient)));
        assert_true(isnan(gradient[0]));
    }
}

static const double levels[] = {50, 90};
static const struct loss_spec heads[] = {
    {.loss = LOSS_QUANTILE, .levels = levels, .n_levels = 2},
    {.loss = LOSS_GAUSSIAN},
    {.loss = LOSS_STUDENT_T},
    {.loss = LOSS_BINARY_CROSSENTROPY},
    {.loss = LOSS_CATEGORICAL_CROSSENTROPY, .n_classes = 4},
    {.loss = LOSS_BINARY_CROSSENTROPY, .probabilities = true},
    {.loss = LOSS_CATEGORICAL_CROSSENTROPY, .n_classes = 4, .probabilities = true},
};
enum { N_HEADS = sizeof heads / sizeof *heads };

static void test_widths_and_probabilities(void **state) {
    (void)state;
    const double probabilities[] = {0.5, 0.25, 0.75, 0.05, 0.95};
    for (int l = 0; l < N_LOSSES; l++)
        assert_int_equal(loss_width(&losses[l]), 1);
    assert_int_equal(loss_width(&heads[0]), 5);
    assert_int_equal(loss_width(&heads[1]), 2);
    assert_int_equal(loss_width(&heads[2]), 3);
    for (int i = 0; i < 5; i++)
        assert_true(fabs(loss_level(&heads[0], i) - probabilities[i]) < 1e-15);
}

/* The answer is 1. Quantiles 0, 0.5, 2, -1, 1 of probabilities .5, .25, .75, .05, .95: pinball losses .5, .125, .25,
 * .1, 0. The median alone is MAE. */
static void test_quantile_by_hand(void **state) {
    (void)state;
    const float y[] = {0, 0.5f, 2, -1, 1}, answer = 1, one = 1;
    const float slopes[] = {-0.5f, -0.25f, 0.25f, -0.05f, 0};
    float gradient[5];
    assert_true(fabs(loss_sum(&heads[0], 1, 1, y, &answer, &one, 5, gradient) - 2 * 0.975 / 5) < 1e-12);
    for (int i = 0; i < 5; i++)
        assert_true(fabsf(gradient[i] - 2 * slopes[i]) < 1e-6f);
    const struct loss_spec median = {.loss = LOSS_QUANTILE};
    assert_true(loss_sum(&median, 1, 1, y, &answer, &one, 1, NULL) == 1);
}

/* Of two answers at a place all first numbers come first, then all second ones; so do the gradients. */
static void test_numbers_stand_by_kind(void **state) {
    (void)state;
    const float y[] = {1, 2, 0.5f, -1, /* the second place */ 3, 4, 0, 2}, answer[] = {1.5f, 0, 3, 7};
    const float weight[] = {1, 2, 1, 0.5f};
    float gradient[8], apart[2], points[4];
    double sum = 0;
    double together = loss_sum(&heads[1], 2, 2, y, answer, weight, 1, gradient);
    for (int i = 0; i < 4; i++) {
        const int at = i / 2 * 4 + i % 2;
        const float own[] = {y[at], y[at + 2]};
        sum += loss_sum(&heads[1], 1, 1, own, &answer[i], &weight[i], 1, apart);
        assert_true(gradient[at] == apart[0] && gradient[at + 2] == apart[1]);
    }
    assert_true(together == sum);
    loss_points(&heads[1], 2, 2, y, points);
    assert_true(points[0] == 1 && points[1] == 2 && points[2] == 3 && points[3] == 4);
}

/* Of the logit log 3 the probability is 0.75. */
static void test_binary_crossentropy_by_hand(void **state) {
    (void)state;
    const float y[] = {1.0986123f, 1.0986123f, 1.0986123f, 200, -200}, answer[] = {1, 0, 0.5f, 1, 1};
    const float one[] = {1, 1, 1, 1, 1};
    const double loss[] = {-log(0.75), -log(0.25), -0.5 * log(0.75 * 0.25), 0, 200};
    const float slope[] = {-0.25f, 0.75f, 0.25f, 0, -1};
    float gradient[5], points[5];
    for (int i = 0; i < 5; i++) {
        assert_true(fabs(loss_sum(&heads[3], 1, 1, &y[i], &answer[i], one, 1, NULL) - loss[i]) < 1e-6);
        loss_sum(&heads[3], 1, 5, y, answer, one, 1, gradient);
        assert_true(fabsf(gradient[i] - slope[i]) < 1e-6f);
    }
    loss_points(&heads[3], 5, 1, y, points);
    assert_true(fabsf(points[0] - 0.75f) < 1e-6f && points[3] == 1 && points[4] >= 0 && points[4] < 1e-30f);
}

/* Of the logits of 1, 2, 3, 4 tenths. */
static void test_categorical_crossentropy_by_hand(void **state) {
    (void)state;
    const float y[] = {0, 0.6931472f, 1.0986123f, 1.3862944f}, answer[] = {2, 4, -1}, one = 1;
    const float slope[] = {0.1f, 0.2f, -0.7f, 0.4f};
    float gradient[4];
    assert_true(fabs(loss_sum(&heads[4], 1, 1, y, answer, &one, 1, gradient) + log(0.3)) < 1e-6);
    for (int i = 0; i < 4; i++)
        assert_true(fabsf(gradient[i] - slope[i]) < 1e-6f);
    for (int i = 1; i < 3; i++)
        assert_true(isnan(loss_sum(&heads[4], 1, 1, y, &answer[i], &one, 1, gradient)) && isnan(gradient[0]));
}

/* 0 and 1 are as 1e-7 beside them, without a slope, as in Keras. */
static void test_probabilities(void **state) {
    (void)state;
    const float none = 0, all = 1, one = 1, half = 0.5f, shares[] = {0.1f, 0.2f, 0.3f, 0.4f}, third = 2;
    float gradient[4];
    assert_true(fabs(loss_sum(&heads[5], 1, 1, &none, &one, &one, 1, gradient) + log(1e-7)) < 1e-9);
    assert_true(gradient[0] == 0);
    assert_true(loss_sum(&heads[5], 1, 1, &all, &one, &one, 1, gradient) < 2e-7 && gradient[0] == 0);
    assert_true(fabs(loss_sum(&heads[5], 1, 1, &half, &one, &one, 1, gradient) - log(2)) < 1e-9);
    assert_true(gradient[0] == -2);
    assert_true(fabs(loss_sum(&heads[6], 1, 1, shares, &third, &one, 1, gradient) + log(0.3)) < 1e-6);
    assert_true(fabsf(gradient[0] - 1) < 1e-6f && fabsf(gradient[2] - (1 - 1 / 0.3f)) < 1e-5f);
}

static void test_gradients_of_heads(void **state) {
    (void)state;
    enum { N = 300, WIDTH = 5 };
    struct rng rng = {.state = 5};
    const float one = 1;
    for (int l = 0; l < N_HEADS; l++)
        for (int i = 0; i < N; i++) {
            int width = loss_width(&heads[l]);
            float y[WIDTH], gradient[WIDTH] = {0}, answer = (float)(4 * rng_uniform(&rng) - 2);
            if (heads[l].loss == LOSS_CATEGORICAL_CROSSENTROPY)
                answer = (float)rng_below(&rng, 4);
            for (int k = 0; k < width; k++)
                y[k] = (float)(heads[l].probabilities ? 0.2 + 0.6 * rng_uniform(&rng) : 4 * rng_uniform(&rng) - 2);
            loss_sum(&heads[l], 1, 1, y, &answer, &one, 1, gradient);
            for (int k = 0; k < width; k++) {
                const float kept = y[k], step = 0x1p-9f;
                if (heads[l].loss == LOSS_QUANTILE && fabsf(kept - answer) < 2 * step)
                    continue;
                y[k] = kept + step;
                double slope = loss_sum(&heads[l], 1, 1, y, &answer, &one, 1, NULL);
                y[k] = kept - step;
                slope = (slope - loss_sum(&heads[l], 1, 1, y, &answer, &one, 1, NULL)) / (2 * (double)step);
                y[k] = kept;
                assert_true(fabs(slope - (double)gradient[k]) < 2e-4 * (1 + fabs(slope)));
            }
        }
}

static void test_heads_without_an_answer_or_with_nan(void **state) {
    (void)state;
    for (int l = 0; l < N_HEADS; l++) {
        const float y[] = {1, 1, 1, 1, 1}, bad[] = {NAN, 1, 1, 1, 1}, nothing = NAN, zero = 0, one = 1;
        float gradient[5] = {7, 7, 7, 7, 7};
        assert_true(loss_sum(&heads[l], 1, 1, y, &nothing, &zero, 1, gradient) == 0);
        for (int k = 0; k < loss_width(&heads[l]); k++)
            assert_true(gradient[k] == 0);
        assert_true(isnan(loss_sum(&heads[l], 1, 1, bad, &one, &one, 1, gradient)));
        assert_true(isnan(gradient[0]));
    }
}

static void test_what_judges(void **state) {
    (void)state;
    for (int l = 0; l < N_LOSSES; l++)
        assert_int_equal(loss_point(losses[l].loss), losses[l].loss);
    assert_int_equal(loss_point(LOSS_QUANTILE), LOSS_MAE);
    assert_int_equal(loss_point(LOSS_STUDENT_T), LOSS_MAE);
    assert_int_equal(loss_point(LOSS_GAUSSIAN), LOSS_MSE);
    assert_int_equal(loss_point(LOSS_BINARY_CROSSENTROPY), LOSS_MSE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_gradient_values),
        cmocka_unit_test(test_gradients_are_the_slopes),
        cmocka_unit_test(test_an_answer_without_weight_is_not_read),
        cmocka_unit_test(test_nan_shows),
        cmocka_unit_test(test_widths_and_probabilities),
        cmocka_unit_test(test_quantile_by_hand),
        cmocka_unit_test(test_numbers_stand_by_kind),
        cmocka_unit_test(test_binary_crossentropy_by_hand),
        cmocka_unit_test(test_categorical_crossentropy_by_hand),
        cmocka_unit_test(test_probabilities),
        cmocka_unit_test(test_gradients_of_heads),
        cmocka_unit_test(test_heads_without_an_answer_or_with_nan),
        cmocka_unit_test(test_what_judges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
