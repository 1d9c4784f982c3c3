#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/loss.h"
#include "tests/support/floats.h"

static const enum loss losses[] = {LOSS_MSE, LOSS_MAE, LOSS_HUBER};

enum {
    N_LOSSES = sizeof losses / sizeof *losses,
};

static void test_values(void **state) {
    (void)state;
    const float y[] = {1, 2, -3, 0.5f}, answer[] = {1, 4, -2.75f, 0.75f}, weight[] = {1, 1, 1, 2};
    assert_true(loss_sum(LOSS_MSE, 4, y, answer, weight, 1, NULL) == 4 + 0.0625 + 2 * 0.0625);
    assert_true(loss_sum(LOSS_MAE, 4, y, answer, weight, 1, NULL) == 2 + 0.25 + 2 * 0.25);
    assert_true(loss_sum(LOSS_HUBER, 4, y, answer, weight, 1, NULL) == 1.5 + 0.03125 + 2 * 0.03125);
    assert_true(loss_sum(LOSS_MSE, 0, NULL, NULL, NULL, 1, NULL) == 0);
}

static void test_gradient_values(void **state) {
    (void)state;
    const float y[] = {0, 2, -3, 0.5f}, answer[] = {0, 4, -2.75f, 0.75f}, weight[] = {1, 1, 1, 2};
    const float slopes[N_LOSSES][4] = {{0, -4, -0.5f, -0.5f}, {0, -1, -1, -1}, {0, -1, -0.25f, -0.25f}};
    for (int l = 0; l < N_LOSSES; l++) {
        float gradient[4];
        loss_sum(losses[l], 4, y, answer, weight, 0.5f, gradient);
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
        loss_sum(losses[l], N, y, answer, weight, 2, gradient);
        for (int i = 0; i < N; i++) {
            double size = fabs((double)y[i] - (double)answer[i]);
            if (size < 0.01 || fabs(size - 1) < 0.01)
                continue; /* a kink in one of the losses */
            float above = y[i] + step, below = y[i] - step;
            double slope = (loss_sum(losses[l], 1, &above, &answer[i], &one, 1, NULL) -
                            loss_sum(losses[l], 1, &below, &answer[i], &one, 1, NULL)) /
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
        assert_true(loss_sum(losses[l], 2, y, answer, weight, 1, gradient) > 0);
        assert_true(gradient[0] == 0 && gradient[1] < 0);
    }
}

static void test_nan_shows(void **state) {
    (void)state;
    const float y[] = {NAN}, answer[] = {3}, weight[] = {1};
    for (int l = 0; l < N_LOSSES; l++) {
        float gradient[1] = {7};
        assert_true(isnan(loss_sum(losses[l], 1, y, answer, weight, 1, gradient)));
        assert_true(isnan(gradient[0]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_gradient_values),
        cmocka_unit_test(test_gradients_are_the_slopes),
        cmocka_unit_test(test_an_answer_without_weight_is_not_read),
        cmocka_unit_test(test_nan_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
