/* Acknowledged ticks from their socket to the workers' rings and back to replies, with a store that says to be durable when the
 * test does, and workers without threads. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/acknowledged.h"

#include "daemon/clock.h"
#include "daemon/records.h"
#include "daemon/returns_internal.h"
#include "tests/support/bus_fixture.h"
#include "tests/support/store_fixture.h"
#include "tests/support/wire_cases.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define CLASSES \
    "workers: 2\nstreams:\n" \
    "  - {class: c, pattern: 'c/*', features: [a], history: 16}\n" \
    "models:\n" \
    "  - {name: m, class: c, horizon: 1, batch_size: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n" \
    "  - {name: e, class: c, head: event, batch_size: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n"

/* What the store says; at most what was appended. */
static uint64_t said_durable;
static bool said_degraded;

static uint64_t durable(const struct store *store) {
    return said_durable < store_order(store) ? said_durable : store_order(store);
}

static bool degraded(const struct store *store) {
    (void)store;
    return said_degraded;
}

struct scene {
    struct rig rig;
    char folder[256];
    void *client, *push;
};

static void open_scene_with(struct scene *scene, const char *keys, bool returns) {
    static int number;
    char bus[512], rest[1024];
    *scene = (struct scene){0};
    snprintf(scene->folder, sizeof scene->folder, "%s/acknowledged-%d", rig_folder(), number++);
    snprintf(bus, sizeof bus, "  acknowledged: ipc://%s/acknowledged\n%s", rig_folder(), keys);
    snprintf(rest, sizeof rest, "state_dir: %s\n" CLASSES, scene->folder);
    const struct rig_setup setup = {.bus = bus,
                                    .rest = rest,
                                    .idle = true,
                                    .idle_bytes = 65536,
                                    .durable = durable,
                                    .degraded = degraded,
                                    .returns = returns};
    said_durable = 0;
    said_degraded = false;
    rig_open(&scene->rig, &setup);
    scene->client = rig_connect(&scene->rig, ZMQ_DEALER, scene->rig.config->bus.acknowledged);
    scene->push = rig_connect(&scene->rig, ZMQ_PUSH, scene->rig.config->bus.ticks);
}

static void open_scene_on(struct scene *scene, const char *keys) {
    open_scene_with(scene, keys, false);
}

static void open_scene(struct scene *scene) {
    open_scene_on(scene, "");
}

static void close_scene(struct scene *scene) {
    rig_disconnect(scene->client);
    rig_disconnect(scene->push);
    rig_close(&scene->rig);
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", scene->folder);
    assert_int_equal(system(command), 0);
}

/* One message of text frames, divided by NULL at the end. */
static void send_frames(void *socket, const char *first, const char *second, const char *third) {
    const char *const frames[] = {first, second, third};
    for (int f = 0; f < 3 && frames[f] != NULL; f++) {
        bool more = f < 2 && frames[f + 1] != NULL;
        assert_true(zmq_send(socket, frames[f], strlen(frames[f]), more ? ZMQ_SNDMORE : 0) >= 0);
    }
}

/* Takes turns until a reply has come to the client; a new reference. */
static json_t *next_reply_to(struct scene *scene, void *client) {
    char text[4096];
    int64_t began = 0;
    int n;
    while ((n = rig_receive(client, text, sizeof text, 0)) < 0) {
        rig_turn(&scene->rig);
        if (!rig_wait(&began))
            fail_msg("no reply");
    }
    bool as_json;
    json_t *reply = wire_message_decode(text, (size_t)n, &as_json);
    assert_non_null(reply);
    return reply;
}

/* What it says, as sorted JSON with single quotes; valid until the next call. */
static const char *heard_by(struct scene *scene, void *client) {
    static char text[4096];
    json_t *reply = next_reply_to(scene, client);
    char *dumped = json_dumps(reply, JSON_COMPACT | JSON_SORT_KEYS);
    snprintf(text, sizeof text, "%s", dumped);
    for (char *p = text; *p != '\0'; p++)
        if (*p == '"')
            *p = '\'';
    free(dumped);
    json_decref(reply);
    return text;
}

static const char *heard(struct scene *scene) {
    return heard_by(scene, scene->client);
}

static void expect_error(struct scene *scene, const char *code, int64_t expected) {
    json_t *reply = next_reply_to(scene, scene->client);
    const json_t *error = json_object_get(reply, "error");
    assert_string_equal(json_string_value(json_object_get(error, "code")), code);
    assert_true(json_string_length(json_object_get(error, "message")) > 10);
    if (expected > 0)
        assert_int_equal(json_integer_value(json_object_get(reply, "expected")), expected);
    json_decref(reply);
}

static void ask_by(void *client, const char *producer) {
    char text[128];
    snprintf(text, sizeof text, "{\"cmd\":\"ask\",\"producer\":%s}", producer);
    send_frames(client, text, NULL, NULL);
}

/* Asks, and has it answered with this last durable number. */
static void ask(struct scene *scene, const char *producer, int64_t durable) {
    ask_by(scene->client, producer);
    json_t *reply = next_reply_to(scene, scene->client);
    assert_true(json_is_true(json_object_get(reply, "ok")));
    assert_int_equal(json_integer_value(json_object_get(reply, "durable")), durable);
    json_decref(reply);
}

/* Ticks of a stream from a number on, at times that are the numbers. */
static void send_ticks(void *client, const char *stream, int first, int n) {
    char header[32], bundle[4096];
    int used = snprintf(bundle, sizeof bundle, "[");
    for (int i = first; i < first + n; i++)
        used += snprintf(bundle + used, sizeof bundle - (size_t)used, "%s[\"%s\",%d,[1]]", i > first ? "," : "",
                         stream, i);
    snprintf(bundle + used, sizeof bundle - (size_t)used, "]");
    snprintf(header, sizeof header, "{\"seq\":%d}", first);
    send_frames(client, header, bundle, NULL);
}

static struct acknowledged_counters counters(struct scene *scene) {
    return acknowledged_counters(ingest_acknowledged(scene->rig.ingest));
}

static void turn_until(struct scene *scene, const uint64_t *counter, uint64_t least) {
    int64_t began = 0;
    while (*counter < least) {
        rig_turn(&scene->rig);
        if (!rig_wait(&began))
            fail_msg("%d of %d", (int)*counter, (int)least);
    }
}

/* Turns until so many ticks have been taken, without a reply. */
static void take(struct scene *scene, uint64_t ticks) {
    turn_until(scene, &ingest_counters(scene->rig.ingest)->ticks, ticks);
    char text[64];
    for (int i = 0; i < 5; i++)
        rig_turn(&scene->rig);
    assert_int_equal(rig_receive(scene->client, text, sizeof text, 5), -1);
}

/* The workers have taken all that is in their rings. */
static void work(struct scene *scene) {
    for (int w = 0; w < scene->rig.config->workers; w++) {
        size_t n;
        while (ring_peek(worker_input(scene->rig.workers[w]), &n) != NULL)
            ring_consume(worker_input(scene->rig.workers[w]));
    }
}

/* A worker tells that it has refused the tick. */
static void refuse(struct scene *scene, int worker, uint64_t number, const char *stream) {
    struct ring *output = worker_output(scene->rig.workers[worker]);
    struct record_refused *record = ring_reserve(output, sizeof *record + strlen(stream), 0);
    *record = (struct record_refused){
        .kind = RECORD_REFUSED, .reason = REASON_LATE, .producer = 1, .number = number, .n = strlen(stream)};
    memcpy(record->name, stream, strlen(stream));
    ring_commit(output, sizeof *record + strlen(stream));
}

/* ---- asking --------------------------------------------------------------------------------------- */

static void an_ask_tells_what_is_durable_and_the_credit(void **state) {
    (void)state;
    struct scene scene;
    open_scene_on(&scene, "  credit_ticks: 50\n  credit_bytes: 4KiB\n");
    send_frames(scene.client, "{\"cmd\":\"ask\",\"producer\":7,\"id\":[3]}", NULL, NULL);
    assert_string_equal(heard(&scene), "{'credit_bytes':4096,'credit_ticks':50,'degraded':false,'durable':0,'id':[3],"
                                       "'ok':true,'source':2147483655,'taken':0}");
    acknowledged_restore(ingest_acknowledged(scene.rig.ingest), 8, 4711, 0);
    ask(&scene, "8", 4711);
    ask(&scene, "\"boiler\"", 0); /* a name */
    assert_int_equal(counters(&scene).producers, 3);
    assert_int_equal(counters(&scene).clients, 1);
    close_scene(&scene);
}

static void an_ask_in_messagepack_is_answered_so(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    char request[64], reply[256];
    size_t n = bytes_of("82 a3'cmd' a3'ask' a8'producer' 07", request, sizeof request);
    rig_send(scene.client, request, n);
    int64_t began = 0;
    while (rig_receive(scene.client, reply, sizeof reply, 0) < 0) {
        rig_turn(&scene.rig);
        assert_true(rig_wait(&began));
    }
    assert_int_equal((unsigned char)reply[0] & 0xf0, 0x80); /* a map */
    close_scene(&scene);
}

static void nonsense_is_answered_and_takes_nothing(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    static const char *const asks[] = {"",
                                       "{}",
                                       "[1]",
                                       "7",
                                       "{\"cmd\":\"ask\"}",
                                       "{\"cmd\":\"ask\",\"producer\":0}",
                                       "{\"cmd\":\"ask\",\"producer\":-1}",
                                       "{\"cmd\":\"ask\",\"producer\":1.5}",
                                       "{\"cmd\":\"ask\",\"producer\":\"\"}",
                                       "{\"cmd\":\"stop\",\"producer\":1}",
                                       "{\"cmd\":\"ask\",\"producer\":18446744073709551615}"};
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
        send_frames(scene.client, asks[i], NULL, NULL);
        expect_error(&scene, "argument", 0);
    }
    send_ticks(scene.client, "c/1", 1, 1);
    expect_error(&scene, "ask", 0); /* nobody has */
    ask(&scene, "1", 0);
    static const char *const headers[] = {"", "{}", "{\"seq\":0}", "{\"seq\":-1}", "{\"seq\":\"1\"}", "[1]"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        send_frames(scene.client, headers[i], "[[\"c/1\",1,[1]]]", NULL);
        expect_error(&scene, "argument", 1);
    }
    assert_true(zmq_send(scene.client, "{\"seq\":1}", 9, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(scene.client, "c/1", 3, ZMQ_SNDMORE) >= 0);
    send_frames(scene.client, "[1,[1]]", "and more", NULL);
    expect_error(&scene, "argument", 1);
    send_frames(scene.client, "{\"seq\":1}", "[[\"c/1\",1,[1]", NULL);
    expect_error(&scene, "malformed", 1);
    send_frames(scene.client, "{\"seq\":1}", "", NULL);
    expect_error(&scene, "malformed", 1);
    assert_int_equal(store_order(scene.rig.store), 0);
    assert_int_equal(ingest_counters(scene.rig.ingest)->ticks, 0);
    send_ticks(scene.client, "c/1", 1, 1); /* and it goes on */
    take(&scene, 1);
    close_scene(&scene);
}

static void the_latest_client_speaks_for_a_producer(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    ask(&scene, "1", 0);
    void *other = rig_connect(&scene.rig, ZMQ_DEALER, scene.rig.config->bus.acknowledged);
    ask_by(other, "1");
    assert_non_null(strstr(heard_by(&scene, other), "'ok':true"));
    expect_error(&scene, "superseded", 1);
    send_ticks(scene.client, "c/1", 1, 1);
    expect_error(&scene, "ask", 0);
    rig_disconnect(other);
    close_scene(&scene);
}

/* What a client asked that has gone is read behind what the next one asks, when the daemon was busy. */
static void who_has_gone_takes_nobodys_place(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    void *gone = rig_connect(&scene.rig, ZMQ_DEALER, scene.rig.config->bus.acknowledged);
    const struct timespec arrival = {.tv_nsec = 100000000}; /* while the daemon reads nothing */
    zmq_setsockopt(gone, ZMQ_LINGER, &(int){-1}, sizeof(int)); /* what it asked comes, however long that takes */
    for (int i = 0; i < 3; i++)
        ask_by(gone, "7");
    rig_disconnect(gone);
    nanosleep(&arrival, NULL);
    ask_by(scene.client, "7");
    nanosleep(&arrival, NULL);
    int64_t began = 0;
    while (counters(&scene).asked < 4) {
        rig_turn(&scene.rig);
        assert_true(rig_wait(&began));
    }
    assert_non_null(strstr(heard(&scene), "'ok':true"));
    send_ticks(scene.client, "c/1", 1, 2);
    take(&scene, 2);
    close_scene(&scene);
}

static void producers_are_bounded(void **state) {
    (void)state;
    struct scene scene;
    open_scene_on(&scene, "  producers: 2\n  producer_idle: 1h\n");
    ask(&scene, "1", 0);
    ask(&scene, "2", 0);
    send_frames(scene.client, "{\"cmd\":\"ask\",\"producer\":3}", NULL, NULL);
    expect_error(&scene, "producers", 0);
    ask(&scene, "1", 0);
    close_scene(&scene);
}

static void hear_of_9(void *context, uint64_t producer, uint64_t sequence, int64_t received) {
    (void)received;
    if (producer == 9)
        *(uint64_t *)context = sequence;
}

/* One for whom there was no room at the start is told that it begins anew. So it does in the store: else, behind the next
 * start, all would be passed over as repeated up to the number that it once had. */
static void who_begins_anew_does_so_in_the_store(void **state) {
    (void)state;
    struct scene scene;
    open_scene_on(&scene, "  producers: 1\n  producer_idle: 0s\n");
    struct store *store = scene.rig.store;
    uint64_t order, sequence = 0;
    static const char text[] = "c/1 a=1 5";
    assert_true(
        store_append(store,
                     &(struct journal_entry){
                         .kind = JOURNAL_TICKS, .producer = 9, .sequence = 1000, .bytes = text, .n = strlen(text)},
                     &order));
    store_hurry(store);
    for (int64_t began = 0; store_durable(store) < order;)
        assert_true(rig_wait(&began));
    store_producers(store, hear_of_9, &sequence);
    assert_int_equal(sequence, 1000);
    acknowledged_restore(ingest_acknowledged(scene.rig.ingest), 8, 4711, 10);
    acknowledged_restore(ingest_acknowledged(scene.rig.ingest), 9, 1000, 5); /* for whom there is no room */
    ask(&scene, "9", 0);
    send_ticks(scene.client, "c/1", 1, 2);
    turn_until(&scene, &ingest_counters(scene.rig.ingest)->ticks, 2);
    for (int64_t began = 0; store_durable(store) < order + 1;)
        assert_true(rig_wait(&began));
    store_producers(store, hear_of_9, &sequence);
    assert_int_equal(sequence, 2);
    close_scene(&scene);
}

/* A tick that had waited for long is refused when its producer has been forgotten, and its place is free, or another's. */
static void what_is_refused_too_late_is_told_to_nobody_else(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    ask(&scene, "7", 0);
    for (uint32_t mark = 1; mark <= 2; mark++)
        acknowledged_refused(ingest_acknowledged(scene.rig.ingest), mark, 2, 2, REASON_LATE, "c/9", 3);
    said_durable = UINT64_MAX;
    send_ticks(scene.client, "c/1", 1, 3);
    turn_until(&scene, &ingest_counters(scene.rig.ingest)->ticks, 3);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':3}");
    close_scene(&scene);
}

/* ---- acknowledging -------------------------------------------------------------------------------- */

static void a_reply_comes_when_ticks_are_durable_and_taken(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    ask(&scene, "7", 0);
    send_ticks(scene.client, "c/1", 1, 3);
    take(&scene, 3);
    said_durable = 1;
    take(&scene, 3); /* the worker has not seen them */
    assert_false(acknowledged_ready(ingest_acknowledged(scene.rig.ingest)));
    work(&scene);
    assert_true(acknowledged_ready(ingest_acknowledged(scene.rig.ingest)));
    assert_string_equal(heard(&scene), "{'durable':3}");
    assert_false(acknowledged_ready(ingest_acknowledged(scene.rig.ingest)));
    assert_false(acknowledged_waits(ingest_acknowledged(scene.rig.ingest)));

    send_ticks(scene.client, "c/1", 4, 1);
    take(&scene, 4);
    work(&scene);
    take(&scene, 4); /* the disk has not got it */
    assert_true(acknowledged_waits(ingest_acknowledged(scene.rig.ingest)));
    said_durable = 2;
    assert_string_equal(heard(&scene), "{'durable':4}");
    assert_int_equal(counters(&scene).ticks, 4);
    assert_int_equal(counters(&scene).durable, 4);
    close_scene(&scene);
}

static void one_reply_covers_many_messages(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    ask(&scene, "7", 0);
    for (int i = 0; i < 1000; i++) { /* more than there are groups */
        send_ticks(scene.client, "c/1", 1 + i, 1);
        if (i % 3 == 0) {
            turn_until(&scene, &ingest_counters(scene.rig.ingest)->ticks, (uint64_t)i + 1);
            work(&scene);
        }
    }
    take(&scene, 1000);
    work(&scene);
    said_durable = 700;
    json_t *reply = next_reply_to(&scene, scene.client);
    int64_t durable = json_integer_value(json_object_get(reply, "durable"));
    assert_in_range(durable, 1, 700);
    json_decref(reply);
    said_durable = UINT64_MAX;
    assert_string_equal(heard(&scene), "{'durable':1000}");
    close_scene(&scene);
}

static void refused_ticks_are_listed(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    said_durable = UINT64_MAX;
    ask(&scene, "7", 0);
    send_frames(scene.client, "{\"seq\":1}",
                "[[\"c/1\",1,[1]],[\"x\",2,[1]],[\"x\",3,[1]],[\"c/2\",4,[1]],[\"c/1\",5,[1,2]],[\"c/1\",1,[1]]]",
                NULL);
    take(&scene, 3);
    refuse(&scene, 0, 6, "c/1"); /* before the others are told of */
    work(&scene);
    assert_string_equal(heard(&scene),
                        "{'durable':6,'refused':[[2,3,'no_class','x'],[5,5,'features','c/1'],[6,6,'late','c/1']]}");
    /* Told once. */
    send_ticks(scene.client, "c/1", 7, 1);
    take(&scene, 4);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':7}");
    close_scene(&scene);
}

/* Replies may be lost with a connection: who says how far it has heard is told again what came behind. */
static void refusals_that_were_not_heard_are_told_again(void **state) {
    (void)state;
    struct scene scene;
    open_scene_on(&scene, "  credit_ticks: 10\n");
    said_durable = UINT64_MAX;
    ask(&scene, "7", 0);
    send_frames(scene.client, "{\"seq\":1,\"known\":0}", "[[\"x\",1,[1]],[\"c/1\",2,[1]],[\"y\",3,[1]]]", NULL);
    turn_until(&scene, &ingest_counters(scene.rig.ingest)->ticks, 1);
    work(&scene);
    const char *const all = "{'durable':3,'refused':[[1,1,'no_class','x'],[3,3,'no_class','y']]}";
    assert_string_equal(heard(&scene), all);
    static const char *const asks[] = {
        "{\"cmd\":\"ask\",\"producer\":7,\"known\":0}", "{\"cmd\":\"ask\",\"producer\":7,\"known\":1}",
        "{\"cmd\":\"ask\",\"producer\":7,\"known\":3}", "{\"cmd\":\"ask\",\"producer\":7,\"known\":0}"};
    const char *const told[] = {all, "{'durable':3,'refused':[[3,3,'no_class','y']]}", NULL, NULL};
    for (int i = 0; i < 4; i++) {
        rig_disconnect(scene.client);
        scene.client = rig_connect(&scene.rig, ZMQ_DEALER, scene.rig.config->bus.acknowledged);
        send_frames(scene.client, asks[i], NULL, NULL);
        assert_non_null(strstr(heard(&scene), told[i] == NULL ? "'durable':3"
                                              : i == 0        ? "'durable':0"
                                                              : "'durable':1"));
        if (told[i] != NULL)
            assert_string_equal(heard(&scene), told[i]);
    }
    /* With the next ticks it says that it has heard, or it has by its credit. */
    static const char *const headers[] = {"{\"seq\":4,\"known\":3}", "{\"seq\":6,\"known\":4}", "{\"seq\":11}"};
    static const int first[] = {4, 6, 11}, n[] = {2, 5, 9}, kept[] = {4, 5, 10};
    for (int m = 0; m < 3; m++) {
        char bundle[512], *p = bundle;
        for (int i = 0; i < n[m]; i++)
            p += sprintf(p, "%s[\"z%d\",1,[1]]", i == 0 ? "[" : ",", first[m] + i);
        strcpy(p, "]");
        send_frames(scene.client, headers[m], bundle, NULL);
        json_t *reply = next_reply_to(&scene, scene.client);
        assert_int_equal(json_integer_value(json_object_get(reply, "durable")), first[m] + n[m] - 1);
        assert_int_equal(json_array_size(json_object_get(reply, "refused")), n[m]);
        json_decref(reply);
        send_frames(scene.client, asks[0], NULL, NULL);
        assert_non_null(strstr(heard(&scene), "'durable':0"));
        reply = next_reply_to(&scene, scene.client);
        const json_t *refused = json_object_get(reply, "refused");
        assert_int_equal(json_integer_value(json_array_get(json_array_get(refused, 0), 0)), kept[m]);
        assert_int_equal(json_array_size(refused), first[m] + n[m] - kept[m]);
        json_decref(reply);
    }
    ask(&scene, "7", 19); /* does not say it: nothing is told again */
    send_ticks(scene.client, "c/1", 20, 1);
    turn_until(&scene, &ingest_counters(scene.rig.ingest)->ticks, 2);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':20}");
    close_scene(&scene);
}

/* Refusals in the workers' outputs come before the reply, however full these are. */
static void what_workers_refused_is_waited_for(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    said_durable = UINT64_MAX;
    ask(&scene, "7", 0);
    send_ticks(scene.client, "c/1", 1, 2);
    take(&scene, 2);
    refuse(&scene, 0, 2, "c/1");
    work(&scene);
    struct acknowledged *acknowledged = ingest_acknowledged(scene.rig.ingest);
    acknowledged_reply(acknowledged); /* the output has not been read */
    char text[64];
    assert_int_equal(rig_receive(scene.client, text, sizeof text, 20), -1);
    assert_false(acknowledged_ready(acknowledged));
    assert_string_equal(heard(&scene), "{'durable':2,'refused':[[2,2,'late','c/1']]}");
    close_scene(&scene);
}

static void the_rest_of_a_bundle_that_cannot_be_read_is_refused_as_one(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    said_durable = UINT64_MAX;
    ask(&scene, "7", 0);
    char bundle[64];
    size_t n = bytes_of("95 93 a3'c/1' 01 91 01 c1 c1 c1 c1 c1", bundle, sizeof bundle);
    assert_true(zmq_send(scene.client, "{\"seq\":1}", 9, ZMQ_SNDMORE) >= 0);
    rig_send(scene.client, bundle, n);
    take(&scene, 1);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':5,'refused':[[2,5,'malformed','']]}");
    /* Bytes behind the last tick have no number. */
    n = bytes_of("91 93 a3'c/1' 02 91 01 c1", bundle, sizeof bundle);
    assert_true(zmq_send(scene.client, "{\"seq\":6}", 9, ZMQ_SNDMORE) >= 0);
    rig_send(scene.client, bundle, n);
    take(&scene, 2);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':6}");
    close_scene(&scene);
}

/* All forms that come through PULL. */
static void each_form_has_its_numbers(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    said_durable = UINT64_MAX;
    ask(&scene, "7", 0);
    send_frames(scene.client, "{\"seq\":1}", "c/1", "[1,[1]]");
    take(&scene, 1);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':1}");
    send_frames(scene.client, "{\"seq\":2}", "# a comment\nc/1 a=1 2\n\nc/2 a=1 x\nc/\\ 3,t=\\, a=1 3\n", NULL);
    take(&scene, 3);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':4,'refused':[[3,3,'time','c/2']]}");
    send_frames(scene.client, "{\"seq\":5}", "# nothing\n", NULL); /* no ticks: what was durable */
    assert_string_equal(heard(&scene), "{'durable':4}");
    assert_int_equal(store_order(scene.rig.store), 2);
    close_scene(&scene);
}

static void a_position_is_the_sequence_number(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    acknowledged_restore(ingest_acknowledged(scene.rig.ingest), 7, 40, 0);
    ask(&scene, "7", 40);
    send_frames(scene.client, "{\"seq\":41}", "[[\"x\",1,[1]],[\"c/1\",1,[1]]]", NULL);
    take(&scene, 1);
    size_t n;
    struct ring *input = worker_input(scene.rig.workers[0]);
    ring_peek(input, &n); /* the opening */
    ring_consume(input);
    const struct record_tick *tick = ring_peek(input, &n);
    assert_int_equal(tick->kind, RECORD_TICK);
    assert_int_equal(tick->arrival.number, 42);
    assert_int_equal(tick->arrival.source, UINT32_C(0x80000007));
    assert_int_equal(tick->producer, 1);
    close_scene(&scene);
}

/* Ticks of a stream that is on its way back from the disk, say. */
static void what_waits_before_the_rings_is_not_acknowledged(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    struct acknowledged *acknowledged = ingest_acknowledged(scene.rig.ingest);
    said_durable = UINT64_MAX;
    ask(&scene, "7", 0);
    send_ticks(scene.client, "c/1", 1, 1);
    take(&scene, 1);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':1}");
    acknowledged_waiting(acknowledged, 2);
    send_ticks(scene.client, "c/1", 2, 2);
    take(&scene, 3);
    work(&scene);
    take(&scene, 3);
    acknowledged_waiting(acknowledged, 3); /* they are in the rings now, and not beyond */
    const struct record record = {RECORD_STOP};
    assert_true(ingest_command(scene.rig.ingest, 0, &record, sizeof record));
    acknowledged_waiting(acknowledged, UINT64_MAX);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':3}");
    acknowledged_waiting(acknowledged, 3);
    send_ticks(scene.client, "c/1", 4, 1);
    take(&scene, 4);
    work(&scene);
    assert_true(ingest_command(scene.rig.ingest, 0, &record, sizeof record));
    acknowledged_waiting(acknowledged, UINT64_MAX);
    take(&scene, 4); /* the worker has not come to what it has got */
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':4}");
    refuse(&scene, 0, 2, "c/1"); /* and what is found late all the same is told */
    assert_string_equal(heard(&scene), "{'durable':4,'refused':[[2,2,'late','c/1']]}");
    close_scene(&scene);
}

/* Labels of no stream, say: each waits for what the store says, and then for its refusal, a later entry, while others come. */
static void a_late_refusal_is_waited_for_by_its_own_group(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    struct acknowledged *acknowledged = ingest_acknowledged(scene.rig.ingest);
    said_durable = UINT64_MAX;
    ask(&scene, "7", 0);
    acknowledged_waiting(acknowledged, 1);
    for (uint64_t i = 1; i <= 4; i++) {
        send_ticks(scene.client, "c/1", (int)i, 1);
        take(&scene, i);
    }
    work(&scene);
    /* Of the first tick; the entry is durable, and ticks of those up to it wait. */
    acknowledged_kept(acknowledged, 1, 3);
    acknowledged_waiting(acknowledged, 2);
    assert_string_equal(heard(&scene), "{'durable':1}");
    /* Of the second and the third one: of two groups. */
    acknowledged_kept(acknowledged, 2, 4);
    acknowledged_kept(acknowledged, 3, 5);
    acknowledged_waiting(acknowledged, UINT64_MAX);
    assert_string_equal(heard(&scene), "{'durable':2}");
    take(&scene, 4);
    close_scene(&scene);
}

/* That a tick was refused for what another start may find otherwise stands in the journal behind it, and is on disk when it
 * is told. */
static void a_refusal_is_durable_when_it_is_told(void **state) {
    (void)state;
    struct scene scene;
    open_scene_with(&scene, "", true);
    scene.rig.holds_returns = true;
    returns_begin(scene.rig.returns, 0, "c/1", 3)->held = true; /* the disk cannot read it */
    scene.rig.returns->counters.held++;
    ask(&scene, "7", 0);
    said_durable = 1;
    send_ticks(scene.client, "c/1", 1, 1);
    turn_until(&scene, &ingest_counters(scene.rig.ingest)->refused[REASON_UNREADABLE], 1);
    assert_int_equal(store_order(scene.rig.store), 2);
    for (int turn = 0; turn < 5; turn++)
        rig_turn(&scene.rig);
    assert_true(acknowledged_waits(ingest_acknowledged(scene.rig.ingest)));
    said_durable = 2;
    assert_string_equal(heard(&scene), "{'durable':1,'refused':[[1,1,'unreadable','c/1']]}");
    close_scene(&scene);
}

/* Nor is a label whose stream is looked for on disk acknowledged before the store has told that there is none, and what
 * was taken behind it goes with it. */
static void a_label_is_answered_when_its_stream_is_known(void **state) {
    (void)state;
    struct scene scene;
    open_scene_with(&scene, "", true);
    scene.rig.holds_returns = true;
    ask(&scene, "7", 0);
    said_durable = 2;
    for (int seq = 1; seq <= 2; seq++) {
        char header[32], label[64];
        snprintf(header, sizeof header, "{\"seq\":%d}", seq);
        snprintf(label, sizeof label, "[{\"stream\":\"c/%d\",\"t\":1,\"label\":1}]", seq);
        send_frames(scene.client, header, label, NULL);
        turn_until(&scene, &ingest_counters(scene.rig.ingest)->labels, (uint64_t)seq);
    }
    for (int turn = 0; turn < 5; turn++)
        rig_turn(&scene.rig);
    assert_int_equal(store_order(scene.rig.store), 2);
    assert_true(acknowledged_waits(ingest_acknowledged(scene.rig.ingest)));
    scene.rig.holds_returns = false;
    turn_until(&scene, &ingest_counters(scene.rig.ingest)->refused[REASON_LABEL], 2);
    for (int turn = 0; turn < 5; turn++)
        rig_turn(&scene.rig);
    assert_int_equal(store_order(scene.rig.store), 4); /* the refusals, too */
    assert_true(acknowledged_waits(ingest_acknowledged(scene.rig.ingest)));
    said_durable = 4;
    assert_string_equal(heard(&scene), "{'durable':2,'refused':[[1,1,'label','c/1'],[2,2,'label','c/2']]}");
    close_scene(&scene);
}

/* ---- sequence numbers ----------------------------------------------------------------------------- */

static void what_was_taken_is_not_taken_again(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    ask(&scene, "7", 0);
    send_ticks(scene.client, "c/1", 1, 4);
    send_ticks(scene.client, "c/1", 1, 4); /* in flight */
    assert_string_equal(heard(&scene), "{'durable':0}");
    work(&scene);
    said_durable = UINT64_MAX;
    assert_string_equal(heard(&scene), "{'durable':4}");
    send_ticks(scene.client, "c/1", 2, 2); /* durable */
    assert_string_equal(heard(&scene), "{'durable':4}");
    assert_int_equal(ingest_counters(scene.rig.ingest)->ticks, 4);
    assert_int_equal(counters(&scene).repeated, 2);
    assert_int_equal(store_order(scene.rig.store), 1);
    close_scene(&scene);
}

static void a_gap_names_the_number_that_is_expected(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    ask(&scene, "7", 0);
    send_ticks(scene.client, "c/1", 2, 1);
    expect_error(&scene, "gap", 1);
    send_ticks(scene.client, "c/1", 1, 3);
    send_ticks(scene.client, "c/1", 3, 2); /* one of them was taken */
    expect_error(&scene, "gap", 4);
    send_frames(scene.client, "{\"seq\":9223372036854775807}", "[[\"c/1\",1,[1]],[\"c/1\",2,[1]]]", NULL);
    expect_error(&scene, "gap", 4);
    assert_int_equal(counters(&scene).gaps, 3);
    send_ticks(scene.client, "c/1", 4, 1);
    take(&scene, 4);
    close_scene(&scene);
}

static void credit_bounds_what_is_in_flight(void **state) {
    (void)state;
    struct scene scene;
    open_scene_on(&scene, "  credit_ticks: 10\n");
    ask(&scene, "7", 0);
    send_ticks(scene.client, "c/1", 1, 8);
    send_ticks(scene.client, "c/1", 9, 3);
    expect_error(&scene, "credit", 9);
    assert_int_equal(ingest_counters(scene.rig.ingest)->ticks, 8); /* nothing of it */
    send_ticks(scene.client, "c/1", 9, 2);
    take(&scene, 10);
    work(&scene);
    said_durable = UINT64_MAX;
    assert_string_equal(heard(&scene), "{'durable':10}");
    send_ticks(scene.client, "c/1", 11, 10); /* it is free again */
    take(&scene, 20);
    assert_int_equal(counters(&scene).over_credit, 1);
    close_scene(&scene);
}

static void credit_counts_bytes_too(void **state) {
    (void)state;
    struct scene scene;
    open_scene_on(&scene, "  credit_bytes: 1KiB\n");
    ask(&scene, "7", 0);
    send_ticks(scene.client, "c/1", 1, 40);
    send_ticks(scene.client, "c/1", 41, 60);
    expect_error(&scene, "credit", 41);
    work(&scene);
    said_durable = UINT64_MAX;
    assert_string_equal(heard(&scene), "{'durable':40}");
    send_ticks(scene.client, "c/1", 41, 40); /* they are free again */
    take(&scene, 80);
    close_scene(&scene);
}

/* ---- trouble -------------------------------------------------------------------------------------- */

static void a_failing_disk_is_told_and_takes_nothing(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    ask(&scene, "7", 0);
    send_ticks(scene.client, "c/1", 1, 1);
    take(&scene, 1);
    said_degraded = true;
    expect_error(&scene, "degraded", 2); /* of what is in flight */
    send_ticks(scene.client, "c/1", 2, 1);
    expect_error(&scene, "degraded", 2);
    assert_int_equal(ingest_counters(scene.rig.ingest)->ticks, 1);
    const double value = 1;
    rig_send_tick(scene.push, "c/2", 1, &value, 1); /* PULL goes on */
    turn_until(&scene, &ingest_counters(scene.rig.ingest)->ticks, 2);
    ask_by(scene.client, "7");
    assert_non_null(strstr(heard(&scene), "'degraded':true"));
    said_durable = UINT64_MAX;
    work(&scene);
    take(&scene, 2); /* nothing is acknowledged */
    said_degraded = false;
    assert_string_equal(heard(&scene), "{'durable':1}");
    send_ticks(scene.client, "c/1", 2, 1);
    turn_until(&scene, &ingest_counters(scene.rig.ingest)->ticks, 3);
    close_scene(&scene);
}

static int disk_is_back(void **state) {
    (void)state;
    disk_works(true);
    return 0;
}

static void fill_ring(struct store *store) {
    static char bytes[1 << 16];
    uint64_t order;
    for (size_t n = sizeof bytes; n > 0; n /= 2)
        while (store_append(
            store,
            &(struct journal_entry){.kind = JOURNAL_TICKS, .producer = 9, .sequence = 1, .bytes = bytes, .n = n},
            &order))
            store_hurry(store);
}

/* As full as the store's ring can be, while its thread cannot write: of a producer nothing is dropped. */
static void fill_store(struct scene *scene) {
    struct store *store = scene->rig.store;
    disk_works(false);
    fill_ring(store);
    for (int64_t began = 0; !store_degraded(store);) /* before, it may have taken some of it */
        assert_true(rig_wait(&began));
    fill_ring(store);
}

/* It was admitted, and the disk fails before the journal has room: it is not taken without standing there, as a restart would
 * then take it again. */
static void a_message_that_finds_no_room_is_refused_when_the_disk_fails(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    ask(&scene, "7", 0);
    fill_store(&scene);
    send_ticks(scene.client, "c/1", 1, 2);
    for (int64_t began = 0; !ingest_parked(scene.rig.ingest); rig_turn(&scene.rig))
        assert_true(rig_wait(&began));
    said_degraded = true;
    expect_error(&scene, "degraded", 1);
    assert_false(ingest_parked(scene.rig.ingest));
    assert_int_equal(ingest_counters(scene.rig.ingest)->ticks, 0);
    assert_int_equal(counters(&scene).degraded, 1);
    disk_works(true);
    for (int64_t began = 0; store_degraded(scene.rig.store);)
        assert_true(rig_wait(&began));
    said_degraded = false;
    said_durable = UINT64_MAX;
    ask(&scene, "7", 0);
    send_ticks(scene.client, "c/1", 1, 2);
    turn_until(&scene, &ingest_counters(scene.rig.ingest)->ticks, 2);
    work(&scene);
    assert_string_equal(heard(&scene), "{'durable':2}");
    close_scene(&scene);
}

struct kept {
    uint64_t producer, sequence;
    uint32_t source;
    const char *head, *bytes; /* NULL: not looked at */
};
static const struct kept kept[] = {{0, 0, 0, "c/1", NULL},
                                   {7, 2, UINT32_C(0x80000007), "", "[[\"c/1\",1,[1]],[\"c/1\",2,[1]]]"},
                                   {0, 1, 0, "c/1", NULL},
                                   {7, 4, UINT32_C(0x80000007), "", "c/1 a=1 3\nc/1 a=1 4"}};

static bool expect_kept(void *context, uint64_t order, const struct journal_entry *entry) {
    const struct kept *expected = &kept[(*(int *)context)++];
    assert_int_equal(order, expected - kept + 1);
    assert_int_equal(entry->kind, JOURNAL_TICKS);
    assert_true(entry->producer == expected->producer && entry->sequence == expected->sequence);
    assert_int_equal(entry->source, expected->source);
    assert_true(entry->received > 0);
    assert_int_equal(entry->n_head, strlen(expected->head));
    assert_memory_equal(entry->head != NULL ? entry->head : "", expected->head, entry->n_head);
    if (expected->bytes != NULL) {
        assert_int_equal(entry->n, strlen(expected->bytes));
        assert_memory_equal(entry->bytes, expected->bytes, entry->n);
    }
    return true;
}

/* In one order, also of those that nobody waits for: as they came, each with the last number of its ticks. */
static void messages_are_in_the_journal_in_one_order(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    const double value = 1;
    ask(&scene, "7", 0);
    rig_send_tick(scene.push, "c/1", 1, &value, 1);
    take(&scene, 1);
    send_ticks(scene.client, "c/1", 1, 2);
    take(&scene, 3);
    rig_send_tick(scene.push, "c/1", 9, &value, 1);
    take(&scene, 4);
    send_ticks(scene.client, "c/1", 1, 2); /* repeated */
    assert_string_equal(heard(&scene), "{'durable':0}");
    send_frames(scene.client, "{\"seq\":3}", "c/1 a=1 3\nc/1 a=1 4", NULL);
    take(&scene, 6);
    struct error err;
    int n = 0;
    store_close(scene.rig.store);
    scene.rig.store = store_open(scene.rig.config, &scene.rig.bell, &err);
    assert_int_equal(store_tail(scene.rig.store, expect_kept, &n, &err), 0);
    assert_int_equal(n, sizeof kept / sizeof *kept);
    close_scene(&scene);
}

/* Of ticks that wait for room in a worker's ring. */
static void a_parked_message_is_acknowledged_whole(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    said_durable = UINT64_MAX;
    ask(&scene, "7", 0);
    int sent = 0;
    while (!ingest_parked(scene.rig.ingest)) {
        send_ticks(scene.client, "c/1", sent + 1, 100);
        sent += 100;
        turn_until(&scene, &ingest_counters(scene.rig.ingest)->messages, (uint64_t)sent / 100);
    }
    assert_true(ingest_counters(scene.rig.ingest)->ticks < (uint64_t)sent);
    char text[64];
    assert_int_equal(rig_receive(scene.client, text, sizeof text, 10), -1);
    work(&scene);
    json_t *reply = next_reply_to(&scene, scene.client);
    while (json_integer_value(json_object_get(reply, "durable")) < sent) {
        json_decref(reply);
        work(&scene);
        reply = next_reply_to(&scene, scene.client);
    }
    assert_null(json_object_get(reply, "refused"));
    json_decref(reply);
    assert_int_equal(ingest_counters(scene.rig.ingest)->ticks, sent);
    close_scene(&scene);
}

/* Whatever comes, in one to four frames: what is not taken is answered once, or what is durable is told. */
static void mutated_messages_are_survived(void **state) {
    (void)state;
    enum { MESSAGES = 20000 };
    struct scene scene;
    open_scene(&scene);
    said_durable = UINT64_MAX;
    static const char *const seeds[] = {"{\"cmd\":\"ask\",\"producer\":5,\"id\":1}",
                                        "{\"cmd\":\"ask\",\"producer\":\"boiler\"}",
                                        "{\"seq\":1}",
                                        "[[\"c/1\",1,[1]],[\"c/2\",2,[1]]]",
                                        "c/1",
                                        "[7,[1]]",
                                        "c/1 a=1 5\nc/2 a=2",
                                        "\x81\xa3"
                                        "seq\x01",
                                        "\x91\x93\xa3"
                                        "c/1\x05\x91\x01"};
    uint64_t random = 88172645463325252;
    char reply[4096];
    for (int i = 0; i < MESSAGES; i++) {
        int frames = 1 + i % 4;
        for (int f = 0; f < frames; f++) {
            unsigned char bytes[256];
            const char *seed = seeds[(size_t)(random >> 20) % (sizeof seeds / sizeof *seeds)];
            size_t n = strlen(seed);
            memcpy(bytes, seed, n);
            size_t mutated = mutate(bytes, n, sizeof bytes, &random);
            assert_true(zmq_send(scene.client, random % 3 == 0 ? (const void *)bytes : seed,
                                 random % 3 == 0 ? mutated : n, f + 1 < frames ? ZMQ_SNDMORE : 0) >= 0);
        }
        rig_turn(&scene.rig);
        work(&scene);
        while (rig_receive(scene.client, reply, sizeof reply, 0) >= 0)
            ;
    }
    /* Replies that the client was too slow for are lost: it asks until it is told. */
    int64_t began = 0;
    for (int n = -1, turn = 0; n < 0 || strstr(reply, "\"id\":77") == NULL; turn++) {
        if (turn % 500 == 0)
            send_frames(scene.client, "{\"cmd\":\"ask\",\"producer\":99,\"id\":77}", NULL, NULL);
        rig_turn(&scene.rig);
        work(&scene);
        n = rig_receive(scene.client, reply, sizeof reply, 0);
        assert_true(n >= 0 || rig_wait(&began));
    }
    const struct acknowledged_counters n = counters(&scene);
    assert_true(n.errors > 0 && n.ticks > 0 && n.ticks == n.durable);
    close_scene(&scene);
}

/* A client that reads nothing is forgotten, and what it had sent stays taken. */
static void a_slow_reader_has_to_ask_again(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    said_durable = UINT64_MAX;
    void *slow = zmq_socket(scene.rig.zmq, ZMQ_DEALER);
    int one = 1, zero = 0;
    zmq_setsockopt(slow, ZMQ_RCVHWM, &one, sizeof one);
    zmq_setsockopt(slow, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal(zmq_connect(slow, scene.rig.config->bus.acknowledged), 0);
    ask_by(slow, "7");
    int sent = 0;
    int64_t began = 0;
    while (counters(&scene).lost == 0) {
        /* Each is answered with what is durable. */
        send_ticks(slow, "c/1", 1, 100);
        rig_turn(&scene.rig);
        work(&scene);
        if (++sent % 256 == 0)
            assert_true(rig_wait(&began));
    }
    assert_int_equal(counters(&scene).clients, 0);
    ask(&scene, "7", 100);
    rig_disconnect(slow);
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ask_tells_what_is_durable_and_the_credit),
        cmocka_unit_test(an_ask_in_messagepack_is_answered_so),
        cmocka_unit_test(nonsense_is_answered_and_takes_nothing),
        cmocka_unit_test(the_latest_client_speaks_for_a_producer),
        cmocka_unit_test(who_has_gone_takes_nobodys_place),
        cmocka_unit_test(producers_are_bounded),
        cmocka_unit_test(who_begins_anew_does_so_in_the_store),
        cmocka_unit_test(what_is_refused_too_late_is_told_to_nobody_else),
        cmocka_unit_test(a_reply_comes_when_ticks_are_durable_and_taken),
        cmocka_unit_test(one_reply_covers_many_messages),
        cmocka_unit_test(refused_ticks_are_listed),
        cmocka_unit_test(refusals_that_were_not_heard_are_told_again),
        cmocka_unit_test(what_workers_refused_is_waited_for),
        cmocka_unit_test(the_rest_of_a_bundle_that_cannot_be_read_is_refused_as_one),
        cmocka_unit_test(each_form_has_its_numbers),
        cmocka_unit_test(a_position_is_the_sequence_number),
        cmocka_unit_test(a_late_refusal_is_waited_for_by_its_own_group),
        cmocka_unit_test(a_refusal_is_durable_when_it_is_told),
        cmocka_unit_test(a_label_is_answered_when_its_stream_is_known),
        cmocka_unit_test(what_waits_before_the_rings_is_not_acknowledged),
        cmocka_unit_test(what_was_taken_is_not_taken_again),
        cmocka_unit_test(a_gap_names_the_number_that_is_expected),
        cmocka_unit_test(credit_bounds_what_is_in_flight),
        cmocka_unit_test(credit_counts_bytes_too),
        cmocka_unit_test(a_failing_disk_is_told_and_takes_nothing),
        cmocka_unit_test_teardown(a_message_that_finds_no_room_is_refused_when_the_disk_fails, disk_is_back),
        cmocka_unit_test(messages_are_in_the_journal_in_one_order),
        cmocka_unit_test(a_parked_message_is_acknowledged_whole),
        cmocka_unit_test(mutated_messages_are_survived),
        cmocka_unit_test(a_slow_reader_has_to_ask_again),
    };
    return cmocka_run_group_tests_name("acknowledged", tests, NULL, NULL);
}
