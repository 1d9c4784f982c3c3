#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/own.h"

#include <stdlib.h>
#include <string.h>

static void what_is_written_is_read(void **state) {
    (void)state;
    char *features[] = {"load", "temperature", "wind"};
    int inputs[] = {2, 0}, targets[] = {0};
    const struct config_class class = {.features = features, .n_features = 3};
    const struct config_model model = {.inputs = inputs,
                                       .n_inputs = 2,
                                       .targets = targets,
                                       .n_targets = 1,
                                       .horizon = 24,
                                       .period = 7,
                                       .scaler = SCALER_STANDARD,
                                       .residual = true,
                                       .mode = MODEL_WINDOWED,
                                       .window = 48,
                                       .form = FORECAST_RECURSIVE,
                                       .levels = {50, 97.5},
                                       .n_levels = 2,
                                       .training = {.loss = LOSS_QUANTILE}};
    char *text = model_own_json(&model, &class);
    struct own own;
    struct error err;
    assert_non_null(text);
    assert_int_equal(own_read(text, &own, &err), 0);
    assert_int_equal(own.n_inputs, 2);
    assert_string_equal(own.inputs[0], "wind");
    assert_string_equal(own.inputs[1], "load");
    assert_int_equal(own.n_targets, 1);
    assert_string_equal(own.targets[0], "load");
    assert_int_equal(own.horizon, 24);
    assert_int_equal(own.period, 7);
    assert_int_equal(own.window, 48);
    assert_int_equal(own.scaler, SCALER_STANDARD);
    assert_int_equal(own.residual, 1);
    assert_int_equal(own.mode, MODEL_WINDOWED);
    assert_int_equal(own.form, FORECAST_RECURSIVE);
    assert_int_equal(own.head, HEAD_FORECAST);
    assert_int_equal(own.loss, LOSS_QUANTILE);
    assert_int_equal(own.n_levels, 2);
    assert_true(own.levels[0] == 50 && own.levels[1] == 97.5);
    own_fini(&own);
    free(text);
}

static void what_is_not_said_is_left_open(void **state) {
    (void)state;
    struct own own;
    struct error err;
    assert_int_equal(own_read("{\"format\": 1, \"later\": 3}", &own, &err), 0);
    assert_true(own.n_inputs == 0 && own.n_targets == 0 && own.horizon == -1 && own.period == -1 && own.window == -1);
    assert_true(own.scaler == -1 && own.residual == -1 && own.mode == -1 && own.form == -1 && own.head == -1);
    assert_true(own.loss == -1 && own.n_levels == 0);
    own_fini(&own);
}

static void nonsense_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "forecastd.json: line"},
        {"[1]", "not an object"},
        {"{}", "format is not 1"},
        {"{\"format\": 2}", "format is not 1"},
        {"{\"format\": 1, \"horizon\": 0}", "horizon is not an integer from 1"},
        {"{\"format\": 1, \"horizon\": 4097}", "horizon is not an integer from 1 to 4096"},
        {"{\"format\": 1, \"window\": 1048577}", "window is not an integer from 1 to 1048576"},
        {"{\"format\": 1, \"horizon\": 1.5}", "horizon is not an integer"},
        {"{\"format\": 1, \"window\": 99999999999}", "window is not an integer"},
        {"{\"format\": 1, \"mode\": \"sideways\"}", "mode is not one of"},
        {"{\"format\": 1, \"scaler\": 3}", "scaler is not one of"},
        {"{\"format\": 1, \"residual\": 1}", "residual is not true or false"},
        {"{\"format\": 1, \"loss\": \"rmse\"}", "loss is not one of"},
        {"{\"format\": 1, \"levels\": 80}", "levels is not a list of 1 to 8 numbers"},
        {"{\"format\": 1, \"levels\": [95, 80]}", "levels are not ascending numbers from 1 to 99.9"},
        {"{\"format\": 1, \"levels\": [\"80\"]}", "levels are not ascending"},
        {"{\"format\": 1, \"inputs\": []}", "inputs is not a list"},
        {"{\"format\": 1, \"inputs\": \"x\"}", "inputs is not a list"},
        {"{\"format\": 1, \"targets\": [\"a\", 1]}", "targets[1] is not a name"},
        {"{\"format\": 1, \"targets\": [\"\"]}", "targets[0] is not a name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct own own;
        struct error err = {.text = ""};
        assert_int_equal(own_read(cases[i].text, &own, &err), -1);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].text, err.text, cases[i].says);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_not_said_is_left_open),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
