/* Ticks that stood in the journal when the daemon died: what is refused of them is told to who has not heard. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/recovery.h"
#include "daemon/returns.h"

#include "daemon/log.h"
#include "tests/support/kept_fixture.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { PRODUCER = 7, ALL = 9 };

struct scene {
    struct kept_scene kept;
    void *client;
    char refused[512]; /* of the latest reply to ticks, dumped; "": it had none */
    int64_t durable;   /* of the latest one of any kind */
};

static char bus[512];
static const struct kept_setup setup = {.bus = bus, .of_class = "    max_streams: 2\n"};

static void connect_client(struct scene *scene) {
    scene->client = rig_connect(&scene->kept.rig, ZMQ_DEALER, scene->kept.rig.config->bus.acknowledged);
}

static void open_scene(struct scene *scene) {
    *scene = (struct scene){0};
    snprintf(bus, sizeof bus, "  acknowledged: ipc://%s/acknowledged\n  credit_ticks: 100\n", rig_folder());
    kept_scene_open(&scene->kept, &setup);
    connect_client(scene);
}

static void close_scene(struct scene *scene) {
    rig_disconnect(scene->client);
    kept_scene_close(&scene->kept);
}

static void know_producer(void *context, uint64_t producer, uint64_t sequence, int64_t received) {
    acknowledged_restore(context, producer, sequence, received);
}

/* As a start behind a crash does. */
static void recover_on(struct scene *scene, const struct kept_setup *on, bool returns) {
    struct rig *rig = &scene->kept.rig;
    struct error err;
    rig_disconnect(scene->client);
    kept_scene_restart(&scene->kept, on);
    rig->holds_returns = !returns;
    connect_client(scene);
    store_producers(rig->store, know_producer, ingest_acknowledged(rig->ingest));
    if (recovery_read(rig->config, rig->store, rig->streams, rig->ingest, rig->returns, rig->versions, &err) != 0)
        fail_msg("%s", err.text);
}

static void recover(struct scene *scene, bool returns) {
    recover_on(scene, &setup, returns);
}

static void send(struct scene *scene, const char *header, const char *payload) {
    assert_true(zmq_send(scene->client, header, strlen(header), payload != NULL ? ZMQ_SNDMORE : 0) >= 0);
    if (payload != NULL)
        assert_true(zmq_send(scene->client, payload, strlen(payload), 0) >= 0);
}

/* Takes turns until a reply has come. */
static void hear(struct scene *scene) {
    char text[4096];
    int n;
    for (int64_t began = 0; (n = rig_receive(scene->client, text, sizeof text, 0)) < 0; rig_turn(&scene->kept.rig))
        if (!rig_wait(&began))
            fail_msg("no reply");
    json_t *reply = json_loadb(text, (size_t)n, 0, NULL);
    const json_t *refused = json_object_get(reply, "refused");
    char *dumped = refused != NULL ? json_dumps(refused, JSON_COMPACT) : NULL;
    assert_null(json_object_get(reply, "error"));
    snprintf(scene->refused, sizeof scene->refused, "%s", dumped != NULL ? dumped : "");
    scene->durable = json_integer_value(json_object_get(reply, "durable"));
    free(dumped);
    json_decref(reply);
}

static void hear_durable(struct scene *scene, int64_t durable) {
    do
        hear(scene);
    while (scene->durable < durable);
    assert_int_equal(scene->durable, durable);
}

/* known -1: it does not say. */
static void ask(struct scene *scene, int known) {
    char text[128], more[32] = "";
    if (known >= 0)
        snprintf(more, sizeof more, ",\"known\":%d", known);
    snprintf(text, sizeof text, "{\"cmd\":\"ask\",\"producer\":%d%s}", PRODUCER, more);
    send(scene, text, NULL);
    hear(scene);
}

/* For each way of being refused one: by the bus, a worker, and for what there was at that moment. */
static void send_all(struct scene *scene) {
    ask(scene, -1);
    send(scene, "{\"seq\":1}",
         "[[\"c/1\",5,[1,2]],[\"x\",1,[1,2]],[\"x\",2,[1,2]],[\"c/1\",5,[1,2]],[\"c/1\",6,[1]]]");
    send(scene, "{\"seq\":6}", "[[\"c/2\",5,[1,2]],[\"c/3\",5,[1,2]]]");
    send(scene, "{\"seq\":8}", "[[\"c/1\",4,[1,2]],[\"c/1\",7,[1,2]]]");
    hear_durable(scene, ALL);
}

#define BEHIND_7 "[8,8,\"late\",\"c/1\"]"
#define REFUSED \
    "[[2,3,\"no_class\",\"x\"],[4,4,\"repeated\",\"c/1\"],[5,5,\"features\",\"c/1\"],[7,7,\"stream_limit\",\"c/3\"]," BEHIND_7 \
    "]"

static void who_has_not_heard_is_told(void **state) {
    (void)state;
    static const int known[] = {0, 7, 8, ALL, ALL + 1};
    static const char *const told[] = {REFUSED, "[" BEHIND_7 "]", "", "", ""};
    struct scene scene;
    open_scene(&scene);
    send_all(&scene);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        recover(&scene, true);
        ask(&scene, known[k]);
        /* By then all may have been taken once more: then it waits for the refusals only. */
        assert_true(scene.durable == known[k] || (told[k][0] == '\0' && scene.durable == ALL));
        if (scene.durable < ALL)
            hear_durable(&scene, ALL);
        assert_string_equal(scene.refused, told[k]);
        /* Once. */
        ask(&scene, ALL);
        assert_int_equal(scene.durable, ALL);
    }
    send(&scene, "{\"seq\":10}", "[[\"c/1\",8,[1,2]]]");
    hear_durable(&scene, ALL + 1);
    assert_string_equal(scene.refused, "");
    assert_int_equal(streams_count(scene.kept.rig.streams), 2);
    close_scene(&scene);
}

/* It may be refused by a stream that is on disk yet. */
static void the_reply_waits_for_the_streams(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    send_all(&scene);
    recover(&scene, false);
    ask(&scene, 4);
    assert_int_equal(scene.durable, 4);
    send(&scene, "{\"seq\":6}", "[[\"c/2\",5,[1,2]],[\"c/3\",5,[1,2]]]"); /* had been taken */
    hear(&scene);
    assert_int_equal(scene.durable, 4);
    assert_string_equal(scene.refused, "");
    /* Who comes then, and does not say what it knows, is told what is durable. */
    rig_disconnect(scene.client);
    connect_client(&scene);
    ask(&scene, -1);
    assert_int_equal(scene.durable, ALL);
    rig_disconnect(scene.client);
    connect_client(&scene);
    ask(&scene, 4);
    assert_int_equal(scene.durable, 4);
    scene.kept.rig.holds_returns = false;
    hear_durable(&scene, ALL);
    assert_string_equal(scene.refused, ""); /* the one before has had them */
    close_scene(&scene);
}

/* A client that knows nothing of this is told what it always was. */
static void an_older_client(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    send_all(&scene);
    recover(&scene, false);
    ask(&scene, -1);
    assert_int_equal(scene.durable, ALL);
    send(&scene, "{\"seq\":10}", "[[\"c/1\",8,[1,2]],[\"c/1\",8,[1,2]]]");
    scene.kept.rig.holds_returns = false;
    hear_durable(&scene, ALL + 2);
    assert_string_equal(scene.refused, "[[11,11,\"repeated\",\"c/1\"]]");
    close_scene(&scene);
}

/* So far back no client can be that has kept to its credit. */
static void what_lies_behind_the_credit_is_not_told(void **state) {
    (void)state;
    enum { MORE = 60 };
    struct scene scene;
    char header[32], expected[64];
    open_scene(&scene);
    send_all(&scene);
    for (int i = 0; i < 2; i++) {
        char payload[4096] = "", *p = payload;
        for (int m = 0; m < MORE; m++)
            p += snprintf(p, sizeof payload - (size_t)(p - payload), "%s[\"y\",%d,[1,2]]", m == 0 ? "[" : ",", m);
        strcpy(p, "]");
        snprintf(header, sizeof header, "{\"seq\":%d}", ALL + 1 + i * MORE);
        send(&scene, header, payload);
        hear_durable(&scene, ALL + (i + 1) * MORE);
    }
    recover(&scene, true);
    ask(&scene, 0);
    assert_int_equal(scene.durable, 0);
    hear_durable(&scene, ALL + 2 * MORE);
    snprintf(expected, sizeof expected, "[[%d,%d,\"no_class\",\"y\"]]", ALL + 2 * MORE - 99, ALL + 2 * MORE);
    assert_string_equal(scene.refused, expected);
    close_scene(&scene);
}

/* Whoever is forgotten for another meanwhile leaves it a place, and no refusals. */
static void nobody_is_told_of_anothers(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    send_all(&scene);
    snprintf(bus + strlen(bus), sizeof bus - strlen(bus), "  producers: 1\n  producer_idle: 0s\n");
    recover(&scene, false);
    rig_turn(&scene.kept.rig);
    send(&scene, "{\"cmd\":\"ask\",\"producer\":8,\"known\":0}", NULL);
    hear(&scene);
    assert_int_equal(scene.durable, 0);
    send(&scene, "{\"seq\":1}",
         "[[\"c/2\",11,[1,2]],[\"c/2\",12,[1,2]],[\"c/2\",13,[1,2]],[\"c/2\",14,[1,2]],[\"c/2\",15,[1,2]],"
         "[\"c/2\",16,[1,2]],[\"c/2\",17,[1,2]],[\"c/2\",18,[1,2]]]");
    for (int i = 0; i < 5; i++)
        rig_turn(&scene.kept.rig);
    scene.kept.rig.holds_returns = false;
    hear_durable(&scene, 8);
    assert_string_equal(scene.refused, "");
    close_scene(&scene);
}

static void wants(struct scene *scene, const char *request, int64_t durable) {
    send(scene, request, NULL);
    hear(scene);
    assert_int_equal(scene->durable, durable);
}

/* It has been forgotten, and has sent its first numbers anew: those that stand in the journal before them are no more its own. */
static void who_has_begun_anew_is_told_of_no_earlier_life(void **state) {
    (void)state;
    struct scene scene = {0};
    snprintf(bus, sizeof bus, "  acknowledged: ipc://%s/acknowledged\n  producers: 1\n  producer_idle: 0s\n",
             rig_folder());
    kept_scene_open(&scene.kept, &setup);
    connect_client(&scene);
    send_all(&scene);
    wants(&scene, "{\"cmd\":\"ask\",\"producer\":8}", 0);
    wants(&scene, "{\"cmd\":\"ask\",\"producer\":7}", 0);
    send(&scene, "{\"seq\":1}",
         "[[\"c/1\",11,[1,2]],[\"c/1\",12,[1,2]],[\"c/1\",13,[1,2]],[\"c/1\",14,[1,2]],[\"c/1\",15,[1,2]]]");
    send(&scene, "{\"seq\":6}", "[[\"c/1\",16,[1,2]],[\"c/1\",16,[1,2]],[\"c/1\",17,[1,2]],[\"c/1\",18,[1,2]]]");
    hear_durable(&scene, 9);
    recover(&scene, true);
    ask(&scene, 0);
    hear_durable(&scene, 9);
    assert_string_equal(scene.refused, "[[7,7,\"repeated\",\"c/1\"]]");
    close_scene(&scene);
}

/* A label of no stream that no one had got to: it is refused in a later entry, for which a stop has to wait, too. */
static void a_stop_waits_for_them(void **state) {
    (void)state;
    static const char event[] =
        "  - {name: e, class: c, head: event, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n";
    struct scene scene = {0};
    snprintf(bus, sizeof bus, "  acknowledged: ipc://%s/acknowledged\n", rig_folder());
    kept_scene_open(&scene.kept, &(struct kept_setup){.bus = bus, .models = event});
    connect_client(&scene);
    struct rig *rig = &scene.kept.rig;
    ask(&scene, -1);
    rig->holds_returns = true;
    send(&scene, "{\"seq\":1}", "[{\"stream\":\"c/9\",\"t\":1,\"label\":1}]");
    for (int64_t began = 0; ingest_counters(rig->ingest)->labels == 0 || store_durable(rig->store) == 0;
         rig_turn(rig))
        assert_true(rig_wait(&began));
    recover_on(&scene, &(struct kept_setup){.bus = bus, .models = event}, false);
    ask(&scene, 0);
    assert_int_equal(scene.durable, 0);
    for (int64_t began = 0; returns_lowest(rig->returns) != UINT64_MAX; ingest_refuse_orphans(rig->ingest)) {
        assert_true(acknowledged_waits(ingest_acknowledged(rig->ingest)));
        returns_poll(rig->returns);
        assert_true(rig_wait(&began));
    }
    assert_true(acknowledged_waits(ingest_acknowledged(rig->ingest)));
    hear_durable(&scene, 1);
    assert_string_equal(scene.refused, "[[1,1,\"label\",\"c/9\"]]");
    assert_false(acknowledged_waits(ingest_acknowledged(rig->ingest)));
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_not_heard_is_told),
        cmocka_unit_test(the_reply_waits_for_the_streams),
        cmocka_unit_test(an_older_client),
        cmocka_unit_test(what_lies_behind_the_credit_is_not_told),
        cmocka_unit_test(a_stop_waits_for_them),
        cmocka_unit_test(nobody_is_told_of_anothers),
        cmocka_unit_test(who_has_begun_anew_is_told_of_no_earlier_life),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
