/* What workers tell, as the events that subscribers hear. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/notices.h"
#include "tests/support/bus_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char models[] =
    "workers: 1\nstreams:\n  - {class: c, pattern: '*', features: [a, b], history: 64}\n"
    "models:\n  - {name: m, class: c, horizon: 4, layers: [], train: false,\n"
    "     alerts: [{target: b, above: 7, probability: 40%}, {target: a, below: -1.5, within: 2}]}\n";

struct scene {
    struct rig rig;
    void *subscriber;
};

static void open_scene(struct scene *scene, const char *bus) {
    const struct rig_setup setup = {.rest = models, .bus = bus};
    rig_open(&scene->rig, &setup);
    scene->subscriber = rig_subscribe(&scene->rig, "event/", 6);
}

static void close_scene(struct scene *scene) {
    rig_disconnect(scene->subscriber);
    rig_close(&scene->rig);
}

static void tell(struct scene *scene, struct record_told told) {
    _Alignas(struct record_told) char buffer[sizeof told + 16];
    struct record_told *record = (struct record_told *)(void *)buffer;
    *record = told;
    record->kind = RECORD_TOLD;
    record->n = 3;
    memcpy(record->name, "x/1", 3);
    notices_publish(scene->rig.publisher, scene->rig.config, record);
}

/* The next event, which has this topic. */
static json_t *hear(struct scene *scene, const char *topic) {
    char frame[4096];
    bool is_json;
    int n = rig_receive(scene->subscriber, frame, sizeof frame, RIG_WAIT_MS);
    assert_int_equal(n, strlen(topic) + 1);
    assert_string_equal(frame, topic);
    n = rig_receive(scene->subscriber, frame, sizeof frame, RIG_WAIT_MS);
    assert_true(n > 0);
    json_t *map = wire_message_decode(frame, (size_t)n, &is_json);
    assert_non_null(map);
    assert_string_equal(json_string_value(json_object_get(map, "stream")), "x/1");
    return map;
}

static void expect_text(json_t *map, const char *text) {
    assert_string_equal(json_string_value(json_object_get(map, "text")), text);
    json_decref(map);
}

static double number_of(const json_t *map, const char *key) {
    assert_true(json_is_number(json_object_get(map, key)));
    return json_number_value(json_object_get(map, key));
}

static void what_is_told(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, "  events_per_second: 1000\n");
    tell(&scene, (struct record_told){.what = TOLD_PAUSED, .step = 7, .model = -1});
    json_t *map = hear(&scene, "event/paused/x/1");
    assert_true(number_of(map, "step") == 7);
    expect_text(map, "stream x/1 is paused behind step 7: nothing is learnt from it, and no alarm raised");
    tell(&scene, (struct record_told){.what = TOLD_RESUMED, .step = 9, .model = -1});
    expect_text(hear(&scene, "event/resumed/x/1"), "stream x/1 is learnt from again, behind step 9");

    tell(&scene,
         (struct record_told){
             .what = TOLD_ALERT, .step = 10, .t = 1000, .alert = {.raised = true, .h = 3, .probability = 0.5F}});
    map = hear(&scene, "event/alert/x/1");
    assert_string_equal(json_string_value(json_object_get(map, "model")), "m");
    assert_string_equal(json_string_value(json_object_get(map, "target")), "b");
    assert_true(json_is_true(json_object_get(map, "raised")) && json_object_get(map, "below") == NULL);
    assert_true(number_of(map, "above") == 7 && number_of(map, "probability") == 0.5 && number_of(map, "h") == 3);
    assert_true(number_of(map, "threshold") == 0.4 && number_of(map, "step") == 10 && number_of(map, "time") == 1000);
    expect_text(map, "stream x/1: b above 7 has a probability of 50 %, 3 steps ahead (model m)");
    tell(&scene, (struct record_told){.what = TOLD_ALERT, .index = 1, .alert = {.probability = NAN}});
    map = hear(&scene, "event/alert/x/1");
    assert_true(json_is_false(json_object_get(map, "raised")) && number_of(map, "below") == -1.5);
    assert_true(json_is_null(json_object_get(map, "probability")));
    expect_text(map, "stream x/1: a below -1.5 is no longer to be expected (model m)");

    struct record_told told = {
        .what = TOLD_VERDICT, .verdict = VERDICT_WORSE_THAN_EVER, .mae = 2, .mae_all = 1, .mae_last_value = 3};
    tell(&scene, told);
    map = hear(&scene, "event/degraded/x/1");
    assert_string_equal(json_string_value(json_object_get(map, "verdict")), "worse_than_ever");
    assert_true(number_of(map, "mae") == 2 && number_of(map, "mae_all") == 1 &&
                number_of(map, "mae_last_value") == 3);
    json_decref(map);
    told.verdict = VERDICT_WORSE_THAN_LAST_VALUE;
    tell(&scene, told);
    map = hear(&scene, "event/degraded/x/1");
    assert_string_equal(json_string_value(json_object_get(map, "verdict")), "worse_than_last_value");
    json_decref(map);
    told.verdict = VERDICT_GOOD;
    tell(&scene, told);
    map = hear(&scene, "event/recovered/x/1");
    assert_string_equal(json_string_value(json_object_get(map, "verdict")), "good");
    json_decref(map);
    close_scene(&scene);
}

/* Each kind has its own rate; what was left out is counted. */
static void rates_are_bounded(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, "  events_per_second: 1\n");
    for (int i = 0; i < 5; i++)
        tell(&scene, (struct record_told){.what = TOLD_VERDICT, .verdict = VERDICT_WORSE_THAN_EVER});
    tell(&scene, (struct record_told){.what = TOLD_ALERT, .alert = {.raised = true}});
    json_decref(hear(&scene, "event/degraded/x/1"));
    json_decref(hear(&scene, "event/alert/x/1"));
    assert_int_equal(publisher_counters(scene.rig.publisher).events_suppressed, 4);
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told),
        cmocka_unit_test(rates_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
