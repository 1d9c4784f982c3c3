#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/forecaster.h"
#include "engine/head.h"
#include "engine/random.h"
#include "tests/support/fixtures.h"

#include <math.h>

/* A model of 3 steps ahead of 2 targets and levels 50, 90, with a loss. */
static void model_init(struct fixture *fixture, enum loss loss) {
    fixture_init(fixture, 2);
    fixture->model.training.loss = loss;
    fixture->model.levels[0] = 50;
    fixture->model.levels[1] = 90;
    fixture->model.n_levels = 2;
}

static struct head head_of(const struct config_model *model) {
    struct error err;
    struct head head;
    struct network *network = forecaster_network(model, &err);
    assert_non_null(network);
    assert_int_equal(head_fit(model, network, 1, &head, &err), 0);
    network_free(network);
    return head;
}

enum { ROWS = 2, N = 6, MOST = 5 };

/* Number k of answer i of row r. */
static float *at(float *y, int width, int r, int k, int i) {
    return &y[(r * width + k) * N + i];
}

static void test_the_loss_decides_the_width(void **state) {
    (void)state;
    const int widths[] = {1, 1, 1, 5, 2, 3, 1};
    for (int loss = LOSS_MSE; loss <= LOSS_BINARY_CROSSENTROPY; loss++) {
        struct fixture fixture;
        model_init(&fixture, (enum loss)loss);
        assert_int_equal(head_of(&fixture.model).width, widths[loss] * N);
    }
}

static void test_another_width_is_refused(void **state) {
    (void)state;
    struct fixture fixture;
    struct error err;
    struct head head;
    model_init(&fixture, LOSS_MSE);
    struct network *network = forecaster_network(&fixture.model, &err);
    fixture.model.training.loss = LOSS_GAUSSIAN;
    assert_int_equal(head_fit(&fixture.model, network, 1, &head, &err), -1);
    assert_string_equal(err.text, "it gives 6 values at each step, and a forecast of 3 steps for 2 targets with its "
                                  "distribution (training.loss) has 12");
    network_free(network);
}

static void test_quantiles(void **state) {
    (void)state;
    struct fixture fixture;
    float y[ROWS * MOST * N] = {0}, mean[2], half[2];
    model_init(&fixture, LOSS_QUANTILE);
    struct head head = head_of(&fixture.model);
    for (int k = 0; k < 5; k++) /* step 2 of row 1: its targets are answers 2 and 3 */
        for (int j = 0; j < 2; j++)
            *at(y, 5, 1, k, 2 + j) = (const float[2][5]){{1, 0.5f, 2, -3, 4}, {1, 2, 3, 1.5f, 2.5f}}[j][k];
    head_values(&head, y, ROWS, 1, 2, 2, mean);
    assert_true(mean[0] == 1 && mean[1] == 1);
    head_half_widths(&head, y, ROWS, 1, 2, 2, 0, half);
    assert_true(half[0] == 0.75f);
    assert_true(half[1] == 1); /* its lower bound crosses the median */
    head_half_widths(&head, y, ROWS, 1, 2, 2, 1, half);
    assert_true(half[0] == 3.5f);
    assert_true(half[1] == 1); /* it crosses the level before it */
}

static void test_likelihoods(void **state) {
    (void)state;
    const double z[] = {0.6744897501960817, 1.6448536269514722}; /* of 75 and 95 percent */
    const double t[] = {0.7648923284043532, 2.353363434801823};  /* of 3 degrees of freedom */
    const float one = 0.5397424f, of_three = 0.5413249f;         /* softplus of them is 0.999, and 1 */
    for (int loss = LOSS_GAUSSIAN; loss <= LOSS_STUDENT_T; loss++) {
        struct fixture fixture;
        float y[ROWS * MOST * N] = {0}, half[2];
        int width = loss == LOSS_GAUSSIAN ? 2 : 3;
        model_init(&fixture, (enum loss)loss);
        struct head head = head_of(&fixture.model);
        for (int j = 0; j < 2; j++) {
            *at(y, width, 0, 0, 4 + j) = 100;
            *at(y, width, 0, 1, 4 + j) = j == 0 ? one : 0;
            if (width == 3)
                *at(y, width, 0, 2, 4 + j) = of_three;
        }
        for (int level = 0; level < 2; level++) {
            double unit = loss == LOSS_GAUSSIAN ? z[level] : t[level];
            head_half_widths(&head, y, ROWS, 0, 3, 2, level, half);
            assert_true(fabs((double)half[0] - unit) < 1e-5 * unit);
            assert_true(fabs((double)half[1] - unit * (log(2) + 0.001)) < 1e-5 * unit);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_loss_decides_the_width),
        cmocka_unit_test(test_another_width_is_refused),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_likelihoods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
