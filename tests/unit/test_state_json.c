#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/state_json.h"

#include "tests/support/layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Two LSTMs around a dense layer: their states are h [2], c [2], and h [1], c [1]. */
static struct network *make(void) {
    struct layer_spec layers[] = {LSTM(2), DENSE(3, ACTIVATION_TANH), LSTM(1)};
    strcpy(layers[0].name, "first");
    strcpy(layers[2].name, "naïve");
    struct error err;
    struct network *network = chain_new(1, layers, 3, &err);
    assert_non_null(network);
    assert_int_equal(network_state_size(network), 6);
    return network;
}

static void a_state_is_a_map_of_pieces(void **state) {
    (void)state;
    struct network *network = make();
    const float values[] = {0.5f, -1, 0.1f, 3, 1e-30f, -0.0f};
    json_t *map = state_json_make(network, values);
    char *text = json_dumps(map, JSON_COMPACT | JSON_SORT_KEYS);
    /* 0.1f as the double that it is: nothing is lost. */
    assert_string_equal(text, "{\"first\":[[0.5,-1.0],[0.10000000149011612,3.0]],"
                              "\"naïve\":[[1.0000000031710769e-30],[-0.0]]}");
    free(text);
    float back[6];
    struct error err;
    assert_int_equal(state_json_read(network, map, back, &err), 0);
    assert_memory_equal(back, values, sizeof values);
    json_decref(map);
    network_free(network);
}

static void layers_may_be_left_out(void **state) {
    (void)state;
    struct network *network = make();
    json_t *map = json_loads("{\"naïve\":[[1],[-2]]}", 0, NULL); /* integers are numbers */
    float back[6];
    struct error err;
    assert_int_equal(state_json_read(network, map, back, &err), 0);
    for (int i = 0; i < 4; i++)
        assert_true(isnan(back[i]));
    assert_true(back[4] == 1 && back[5] == -2);
    json_decref(map);
    network_free(network);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[]", "state is not a map with a layer"},
        {"{}", "state is not a map with a layer"},
        {"{\"second\":[[1],[1]]}", "the model has no layer second"},
        {"{\"first\":7}", "state.first is not an array of 2 arrays"},
        {"{\"first\":[[1,2]]}", "state.first is not an array of 2 arrays"},
        {"{\"first\":[[1,2],[3,4],[5,6]]}", "state.first is not an array of 2 arrays"},
        {"{\"first\":[[1,2],[3]]}", "state.first[1] is not an array of 2 numbers"},
        {"{\"first\":[{},[3,4]]}", "state.first[0] is not an array of 2 numbers"},
        {"{\"first\":[[1,2],[3,null]]}", "state.first[1][1] is not a number that a float holds"},
        {"{\"first\":[[\"1\",2],[3,4]]}", "state.first[0][0] is not a number that a float holds"},
        {"{\"first\":[[1,2],[3,4e38]]}", "state.first[1][1] is not a number that a float holds"},
        {"{\"naïve\":[[1],[1]],\"first\":[[1,2],[-1e300,0]]}",
         "state.first[1][0] is not a number that a float holds"},
    };
    struct network *network = make();
    const struct network_spec *spec = network_spec(network);
    float back[6];
    struct error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *map = json_loads(cases[i].text, 0, NULL);
        assert_non_null(map);
        assert_int_equal(state_json_read(network, map, back, &err), -1);
        assert_string_equal(err.text, cases[i].says);
        json_decref(map);
    }
    /* The dense layer has a name and no state. */
    json_t *map = json_pack("{s:[]}", spec->layers[1].name);
    assert_int_equal(state_json_read(network, map, back, &err), -1);
    assert_non_null(strstr(err.text, "has no state"));
    json_decref(map);
    /* A name of any length makes a sentence that is UTF-8 still. */
    char name[2000] = "";
    for (int i = 0; i < 900; i++)
        strcat(name, "é");
    map = json_pack("{s:[]}", name);
    assert_int_equal(state_json_read(network, map, back, &err), -1);
    assert_string_equal(err.text, "the model has no layer of so long a name");
    json_decref(map);
    assert_int_equal(state_json_read(network, NULL, back, &err), -1);
    network_free(network);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_a_map_of_pieces),
        cmocka_unit_test(layers_may_be_left_out),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
