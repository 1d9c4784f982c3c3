#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/ingest.h"

#include "daemon/clock.h"
#include "daemon/records.h"
#include "engine/random.h"
#include "tests/support/bus_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Two workers, batches of one: streams go to them in turn. Three features; class "few" has room for two streams. */
#define CLASSES \
    "workers: 2\nstreams:\n" \
    "  - {class: c, pattern: 'c/*', features: [a, b, d], history: 16}\n" \
    "  - {class: few, pattern: 'few/*', features: [a], history: 16, max_streams: 2, max_clock_skew: 1m}\n" \
    "  - {class: event, pattern: 'event/*', features: [a], history: 16}\n" \
    "models:\n" \
    "  - {name: m, class: c, horizon: 1, batch_size: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n" \
    "  - {name: n, class: few, horizon: 1, batch_size: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n" \
    "  - {name: e, class: event, head: event, classes: 3, batch_size: 1, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n"

struct scene {
    struct rig rig;
    void *push;
};

static void open_scene_on(struct scene *scene, const char *bus, size_t ring_bytes) {
    const struct rig_setup setup = {.bus = bus, .rest = CLASSES, .idle = true, .idle_bytes = ring_bytes};
    rig_open(&scene->rig, &setup);
    scene->push = rig_connect(&scene->rig, ZMQ_PUSH, scene->rig.config->bus.ticks);
}

static void open_scene(struct scene *scene) {
    open_scene_on(scene, "", 65536);
}

static void close_scene(struct scene *scene) {
    rig_disconnect(scene->push);
    rig_close(&scene->rig);
}

static const struct ingest_counters *counters(const struct scene *scene) {
    return ingest_counters(scene->rig.ingest);
}

/* Reads until so many messages have come, and nothing is left to do but what is parked. */
static void read_messages(struct scene *scene, uint64_t n) {
    int64_t began = 0;
    while (ingest_read(scene->rig.ingest) || (counters(scene)->messages < n && !ingest_parked(scene->rig.ingest)))
        if (!rig_wait(&began))
            fail_msg("%d of %d messages", (int)counters(scene)->messages, (int)n);
    assert_int_equal(counters(scene)->messages, n);
}

static const void *peek(struct scene *scene, int worker, enum record_kind kind) {
    size_t n;
    const struct record *record = ring_peek(worker_input(scene->rig.workers[worker]), &n);
    assert_non_null(record);
    assert_int_equal(record->kind, kind);
    return record;
}

static void consume(struct scene *scene, int worker) {
    size_t n;
    assert_non_null(ring_peek(worker_input(scene->rig.workers[worker]), &n));
    ring_consume(worker_input(scene->rig.workers[worker]));
}

static bool is_empty(struct scene *scene, int worker) {
    size_t n;
    return ring_peek(worker_input(scene->rig.workers[worker]), &n) == NULL;
}

/* The next record of a worker is the tick of that time and these values. */
static void expect_tick(struct scene *scene, int worker, const char *stream, int64_t t, const double *values, int n) {
    const struct record_tick *tick = peek(scene, worker, RECORD_TICK);
    assert_string_equal(tick->stream->name, stream);
    assert_int_equal(tick->stream->worker, worker);
    assert_int_equal(tick->t, t);
    for (int i = 0; i < n; i++)
        assert_true(isnan(values[i]) ? isnan(tick->values[i]) : tick->values[i] == values[i]);
    consume(scene, worker);
}

static struct stream *find(struct scene *scene, const char *name) {
    return streams_find(scene->rig.streams, name, strlen(name));
}

static void send_text(struct scene *scene, const char *text) {
    rig_send(scene->push, text, strlen(text));
}

static void send_named(struct scene *scene, const char *stream, const char *text) {
    assert_int_equal(zmq_send(scene->push, stream, strlen(stream), ZMQ_SNDMORE), (int)strlen(stream));
    send_text(scene, text);
}

/* ---- what a worker gets ------------------------------------------------------------------------- */

static void a_tick_reaches_its_worker_behind_the_opening(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    const double values[3] = {1, NAN, -3};
    int64_t before = clock_realtime();
    rig_send_tick(scene.push, "c/1", 100, values, 3);
    rig_send_tick(scene.push, "c/1", -5, values, 3); /* late, which is for its worker to judge */
    rig_send_tick(scene.push, "c/2", 300, values, 3);
    read_messages(&scene, 3);
    const struct record_stream *opened = peek(&scene, 0, RECORD_OPEN);
    assert_ptr_equal(opened->stream, find(&scene, "c/1"));
    assert_int_equal(opened->stream->generation, 1);
    consume(&scene, 0);
    const struct record_tick *tick = peek(&scene, 0, RECORD_TICK);
    assert_int_equal(tick->arrival.source, 0);
    assert_int_equal(tick->arrival.number, 1);
    assert_in_range(tick->arrival.received, before, clock_realtime());
    expect_tick(&scene, 0, "c/1", 100, values, 3);
    expect_tick(&scene, 0, "c/1", -5, values, 3);
    peek(&scene, 1, RECORD_OPEN);
    consume(&scene, 1);
    tick = peek(&scene, 1, RECORD_TICK);
    assert_int_equal(tick->arrival.number, 3);
    expect_tick(&scene, 1, "c/2", 300, values, 3);
    assert_true(is_empty(&scene, 0) && is_empty(&scene, 1));
    assert_int_equal(counters(&scene)->ticks, 3);
    assert_int_equal(scene.rig.opening.started, 2);
    assert_int_equal(counters(&scene)->parked, 0);
    close_scene(&scene);
}

static void names_put_values_in_their_order(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double values[3];
    } cases[] = {
        {"{\"t\":1,\"v\":{\"a\":1,\"b\":2,\"d\":3}}", {1, 2, 3}},
        {"{\"t\":1,\"v\":{\"d\":3,\"b\":2,\"a\":1}}", {1, 2, 3}},
        {"{\"t\":1,\"v\":{\"b\":2,\"d\":3,\"a\":1}}", {1, 2, 3}},
        {"{\"t\":1,\"v\":{\"d\":3}}", {NAN, NAN, 3}},
        {"{\"t\":1,\"v\":{\"d\":3,\"a\":null}}", {NAN, NAN, 3}},
        {"{\"t\":1,\"v\":{\"b\":2,\"a\":1}}", {1, 2, NAN}},
    };
    struct scene scene;
    open_scene(&scene);
    rig_send_tick(scene.push, "c/1", 0, cases[0].values, 3);
    read_messages(&scene, 1);
    consume(&scene, 0);
    expect_tick(&scene, 0, "c/1", 0, cases[0].values, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send_named(&scene, "c/1", cases[i].text);
        read_messages(&scene, i + 2);
        expect_tick(&scene, 0, "c/1", 1, cases[i].values, 3);
    }
    close_scene(&scene);
}

/* A value whose quality is bad is missing; of line protocol the quality is a field beside it. */
static void a_value_of_bad_quality_is_missing(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double values[3];
        uint64_t bad;
    } cases[] = {
        {"c/1 a=1,b=2,d=3 1", {1, 2, 3}, 0},
        {"c/1 a=1,a.q=f,b=2,b.q=t,d=3 1", {NAN, 2, 3}, 1},
        {"c/1 d.q=0,b.q=F,x.q=f,.q=f,a=1,b=2,d=3 1", {1, NAN, NAN}, 2},
        {"[[\"c/1\",1,[1,2,3]],{\"stream\":\"c/1\",\"t\":1,\"v\":[1,2,3],\"q\":[true,false,null]}]", {1, NAN, 3}, 1},
    };
    struct scene scene;
    open_scene(&scene);
    rig_send_tick(scene.push, "c/1", 1, cases[0].values, 3);
    read_messages(&scene, 1);
    consume(&scene, 0);
    expect_tick(&scene, 0, "c/1", 1, cases[0].values, 3);
    uint64_t bad = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send_text(&scene, cases[i].text);
        read_messages(&scene, i + 2);
        if (i == 3)
            consume(&scene, 0);
        expect_tick(&scene, 0, "c/1", 1, cases[i].values, 3);
        bad += cases[i].bad;
        assert_int_equal(counters(&scene)->bad, bad);
    }
    send_text(&scene, "c/1 a.q=f 1"); /* and no value */
    read_messages(&scene, 6);
    assert_int_equal(counters(&scene)->refused[REASON_FEATURES], 1);
    close_scene(&scene);
}

/* By the time at which its message came; and it opens no stream. */
static void a_tick_too_far_ahead_is_refused(void **state) {
    (void)state;
    static const int64_t minute = INT64_C(60000000000);
    const double value = 1;
    struct scene scene;
    open_scene(&scene);
    int64_t now = clock_realtime();
    rig_send_tick(scene.push, "few/1", now + minute + minute / 2, &value, 1);
    read_messages(&scene, 1);
    assert_int_equal(counters(&scene)->refused[REASON_AHEAD], 1);
    assert_null(find(&scene, "few/1"));
    rig_send_tick(scene.push, "few/1", now + minute / 2, &value, 1);
    rig_send_tick(scene.push, "few/1", INT64_MIN, &value, 1);
    rig_send_tick(scene.push, "few/1", INT64_MAX, &value, 1);
    rig_send_tick(scene.push, "few/1", now + 2 * minute, &value, 1);
    read_messages(&scene, 5);
    assert_int_equal(counters(&scene)->ticks, 2);
    assert_int_equal(counters(&scene)->refused[REASON_AHEAD], 3);
    close_scene(&scene);
}

/* A message with a name twice, in MessagePack: the last value counts. */
static void of_a_name_that_comes_twice_the_last_value_counts(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    zmq_send(scene.push, "c/1", 3, ZMQ_SNDMORE);
    static const char payload[] = "\x92\x01\x83\xa1"
                                  "a"
                                  "\x05\xa1"
                                  "b"
                                  "\x06\xa1"
                                  "a"
                                  "\x07";
    rig_send(scene.push, payload, sizeof payload - 1);
    read_messages(&scene, 1);
    consume(&scene, 0);
    const double values[3] = {7, 6, NAN};
    expect_tick(&scene, 0, "c/1", 1, values, 3);
    close_scene(&scene);
}

static void lines_pass_over_what_the_class_does_not_know(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    int64_t before = clock_realtime();
    send_text(&scene, "c,host=1 x=9,d=3,y=8,a=1 77\n"
                      "c,host=1 x=9,y=8 78\n" /* knows none of them */
                      "c,host=1 b=2\n");      /* has no time: that of its coming */
    read_messages(&scene, 1);
    consume(&scene, 0);
    const double first[3] = {1, NAN, 3}, second[3] = {NAN, 2, NAN};
    expect_tick(&scene, 0, "c/1", 77, first, 3);
    const struct record_tick *tick = peek(&scene, 0, RECORD_TICK);
    assert_in_range(tick->t, before, clock_realtime());
    assert_int_equal(tick->t, tick->arrival.received);
    expect_tick(&scene, 0, "c/1", tick->t, second, 3);
    assert_int_equal(counters(&scene)->refused[REASON_FEATURES], 1);
    assert_int_equal(counters(&scene)->ticks, 2);
    close_scene(&scene);
}

/* ---- what is refused ---------------------------------------------------------------------------- */

static void what_cannot_be_taken_is_refused_with_its_reason(void **state) {
    (void)state;
    static const struct {
        const char *stream, *payload; /* stream NULL: one frame */
        enum reason reason;
    } cases[] = {
        {NULL, "", REASON_MALFORMED},
        {NULL, "{\"t\":1,\"v\":[1]}", REASON_SHAPE}, /* a tree has been made by then */
        {NULL, "[[\"c/1\",1,[1,2,3]]", REASON_MALFORMED},
        {"c/1", "[1,[1,2,3]", REASON_MALFORMED},
        {"c/1", "[1]", REASON_SHAPE},
        {"c/1", "[1.5,[1,2,3]]", REASON_TIME},
        {"c/1", "[1,[1,2,true]]", REASON_VALUE},
        {"c/1", "[1,[1,2]]", REASON_FEATURES},
        {"c/1", "[1,[1,2,3,4]]", REASON_FEATURES},
        {"c/1", "[1,{\"a\":1,\"x\":2}]", REASON_FEATURES},
        {"c/1", "[1,{}]", REASON_FEATURES},
        {"", "[1,[1,2,3]]", REASON_NAME},
        {"c/\xff", "[1,[1,2,3]]", REASON_NAME},
        {"other", "[1,[1,2,3]]", REASON_NO_CLASS},
        {"c/1", "{\"t\":1,\"label\":0}", REASON_LABEL}, /* no such stream is open */
    };
    struct scene scene;
    open_scene(&scene);
    uint64_t expected[N_REASONS] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].stream != NULL)
            send_named(&scene, cases[i].stream, cases[i].payload);
        else
            send_text(&scene, cases[i].payload);
        read_messages(&scene, i + 1);
        expected[cases[i].reason]++;
        assert_memory_equal(counters(&scene)->refused, expected, sizeof expected);
    }
    assert_int_equal(streams_count(scene.rig.streams), 0); /* none of them opened a stream */
    assert_int_equal(scene.rig.opening.started, 0);
    assert_true(is_empty(&scene, 0) && is_empty(&scene, 1));
    close_scene(&scene);
}

static void a_label_goes_where_its_tick_went(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    send_named(&scene, "event/1", "[7,[1]]");
    send_named(&scene, "event/1", "{\"t\":7,\"label\":2}");
    send_named(&scene, "event/1", "{\"t\":7,\"label\":3}");
    send_named(&scene, "event/1", "{\"t\":7,\"label\":-1}");
    send_named(&scene, "few/1", "[7,[1]]");
    send_named(&scene, "few/1", "{\"t\":7,\"label\":0}"); /* whose class has no event */
    read_messages(&scene, 6);
    const struct stream *stream = streams_find(scene.rig.streams, "event/1", 7);
    assert_non_null(stream);
    peek(&scene, stream->worker, RECORD_OPEN);
    consume(&scene, stream->worker);
    peek(&scene, stream->worker, RECORD_TICK);
    consume(&scene, stream->worker);
    const struct record_label *label = peek(&scene, stream->worker, RECORD_LABEL);
    assert_ptr_equal(label->stream, stream);
    assert_true(label->t == 7 && label->label == 2);
    consume(&scene, stream->worker);
    assert_int_equal(counters(&scene)->labels, 1);
    assert_int_equal(counters(&scene)->ticks, 2);
    assert_int_equal(counters(&scene)->refused[REASON_LABEL], 3);
    close_scene(&scene);
}

static void a_message_has_one_frame_or_two(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    for (int frames = 3; frames <= 5; frames++) {
        for (int i = 1; i < frames; i++)
            zmq_send(scene.push, "c/1", 3, ZMQ_SNDMORE);
        send_text(&scene, "[1,[1,2,3]]");
    }
    send_named(&scene, "c/1", "[1,[1,2,3]]"); /* the next message is whole */
    read_messages(&scene, 4);
    assert_int_equal(counters(&scene)->refused[REASON_FRAMES], 3);
    assert_int_equal(counters(&scene)->ticks, 1);
    close_scene(&scene);
}

static void a_refused_tick_refuses_no_other(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    send_text(&scene, "[[\"c/1\",1,[1,2,3]],[\"c/1\",2,[1]],[\"other\",3,[1]],7,[\"c/1\",4,[4,5,6]]]");
    read_messages(&scene, 1);
    consume(&scene, 0);
    const double first[3] = {1, 2, 3}, second[3] = {4, 5, 6};
    expect_tick(&scene, 0, "c/1", 1, first, 3);
    expect_tick(&scene, 0, "c/1", 4, second, 3);
    assert_true(is_empty(&scene, 0) && is_empty(&scene, 1));
    assert_int_equal(counters(&scene)->refused[REASON_FEATURES], 1);
    assert_int_equal(counters(&scene)->refused[REASON_NO_CLASS], 1);
    assert_int_equal(counters(&scene)->refused[REASON_SHAPE], 1);
    close_scene(&scene);
}

static void a_class_has_a_limit_of_streams(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    const double value = 1;
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "few/%d", i);
        rig_send_tick(scene.push, name, 1, &value, 1);
    }
    rig_send_tick(scene.push, "few/0", 2, &value, 1); /* there already */
    read_messages(&scene, 5);
    assert_int_equal(counters(&scene)->refused[REASON_STREAM_LIMIT], 2);
    assert_int_equal(streams_count(scene.rig.streams), 2);
    assert_int_equal(counters(&scene)->ticks, 3);
    /* Room again once one has ended. */
    assert_int_equal(ingest_end(scene.rig.ingest, "few/1"), 0);
    rig_send_tick(scene.push, "few/3", 1, &value, 1);
    read_messages(&scene, 6);
    assert_non_null(find(&scene, "few/3"));
    close_scene(&scene);
}

/* ---- parking ------------------------------------------------------------------------------------ */

static double value_of(int64_t t, int feature) {
    return (double)t * 4 + feature;
}

/* Ticks of streams c/0 and c/1, the i-th at time i, each stream as `which` says. */
static void send_bundle(struct scene *scene, int64_t first, int n, int (*which)(int64_t t)) {
    static const char *const names[] = {"c/0", "c/1", "c/2", "c/3", "c/4", "c/5", "c/6", "c/7"};
    struct wire_bundle bundle = {0};
    for (int64_t t = first; t < first + n; t++) {
        const double values[3] = {value_of(t, 0), value_of(t, 1), value_of(t, 2)};
        assert_int_equal(wire_bundle_add(&bundle, (struct wire_text){names[which(t)], 3}, t, values, 3), 0);
    }
    struct wire_text message = wire_bundle_message(&bundle);
    rig_send(scene->push, message.at, message.n);
    wire_bundle_fini(&bundle);
}

static int alternating(int64_t t) {
    return (int)(t % 2);
}

/* Takes up to most records of a worker: ticks, in order of time, of the times that belong to it. Returns how many
 * ticks. */
static int take_ticks(struct scene *scene, int worker, int most, int64_t *next, int (*which)(int64_t t)) {
    int taken = 0;
    size_t n;
    for (const struct record *record;
         taken < most && (record = ring_peek(worker_input(scene->rig.workers[worker]), &n)) != NULL;) {
        const struct record_tick *tick = (const struct record_tick *)(const void *)record;
        if (record->kind == RECORD_TICK) {
            while (which(*next) % 2 != worker)
                ++*next;
            assert_int_equal(tick->t, *next);
            assert_int_equal(tick->arrival.number, *next + 1);
            assert_int_equal(tick->stream->name[2] - '0', which(*next));
            for (int f = 0; f < 3; f++)
                assert_true(tick->values[f] == value_of(*next, f));
            ++*next;
            taken++;
        }
        consume(scene, worker);
    }
    return taken;
}

/*
 * The first worker stands still: the bundle is parked in its midst at that worker's tick, nothing more is read, and
 * when it goes on so does the bundle, at that very tick.
 */
static void a_parked_tick_is_gone_on_with_where_it_was(void **state) {
    (void)state;
    enum { TICKS = 4000 };
    struct scene scene;
    open_scene(&scene);
    send_bundle(&scene, 0, TICKS, alternating);
    send_bundle(&scene, TICKS, 10, alternating);
    int64_t began = 0, next[2] = {0, 0};
    int taken[2] = {0, 0};
    while (!ingest_parked(scene.rig.ingest)) {
        ingest_read(scene.rig.ingest);
        taken[1] += take_ticks(&scene, 1, TICKS, &next[1], alternating);
        assert_true(rig_wait(&began));
    }
    assert_int_equal(counters(&scene)->messages, 1);
    assert_int_equal(counters(&scene)->parked, 1);
    uint64_t parked_at = counters(&scene)->ticks;
    assert_in_range(parked_at, 100, TICKS - 1);
    for (int i = 0; i < 10; i++) {
        assert_false(ingest_read(scene.rig.ingest));
        assert_int_equal(counters(&scene)->ticks, parked_at);
    }
    assert_int_equal(counters(&scene)->parked, 1); /* one tick, parked once */
    assert_int_equal(counters(&scene)->messages, 1);
    /* A record at a time is let go: the ring is on the brink all the time. */
    while (taken[0] + taken[1] < TICKS + 10) {
        taken[0] += take_ticks(&scene, 0, 1, &next[0], alternating);
        ingest_read(scene.rig.ingest);
        taken[1] += take_ticks(&scene, 1, TICKS, &next[1], alternating);
    }
    assert_int_equal(counters(&scene)->ticks, TICKS + 10);
    assert_int_equal(taken[0], TICKS / 2 + 5);
    assert_int_equal(taken[1], TICKS / 2 + 5);
    assert_true(counters(&scene)->parked > 100);
    assert_false(ingest_parked(scene.rig.ingest));
    assert_true(is_empty(&scene, 0) && is_empty(&scene, 1));
    close_scene(&scene);
}

/* Any streams, any sizes of bundles, workers that take what they like: each worker gets its ticks once, in order. */
static int scattered(int64_t t) {
    return (int)(rng_hash(1, &t, sizeof t) % 8);
}

static void nothing_is_lost_or_doubled_whatever_the_pace(void **state) {
    (void)state;
    struct scene scene;
    struct rng rng = {21};
    open_scene_on(&scene, "", 32768);
    /* The eight streams begin in turn, so that even ones are the first worker's. */
    int64_t next[2] = {0, 0}, sent = 0, total = 30000;
    int taken = 0;
    double zero[3] = {0};
    for (int i = 0; i < 8; i++) {
        char name[8];
        snprintf(name, sizeof name, "c/%d", i);
        rig_send_tick(scene.push, name, 0, zero, 3);
    }
    read_messages(&scene, 8);
    for (int w = 0; w < 2; w++)
        while (!is_empty(&scene, w))
            consume(&scene, w);
    /* Numbers go on from there. */
    int64_t began = 0;
    sent = 8;
    next[0] = next[1] = 8;
    while (taken < total - 8) {
        if (sent < total && rng_below(&rng, 4) == 0) {
            int n = 1 + (int)rng_below(&rng, rng_below(&rng, 8) == 0 ? 3000 : 20);
            n = n < total - sent ? n : (int)(total - sent);
            send_bundle(&scene, sent, n, scattered);
            sent += n;
        }
        ingest_read(scene.rig.ingest);
        int w = (int)rng_below(&rng, 2), before = taken;
        taken += take_ticks(&scene, w, (int)rng_below(&rng, 200), &next[w], scattered);
        if (taken > before)
            began = 0;
        else if (sent == total && !rig_wait(&began))
            fail_msg("%d ticks of %d", taken, (int)total);
    }
    assert_int_equal(counters(&scene)->ticks, total);
    assert_true(counters(&scene)->parked > 10);
    for (int i = 0; i < 100; i++)
        ingest_read(scene.rig.ingest);
    assert_int_equal(counters(&scene)->ticks, total);
    close_scene(&scene);
}

/* Fills a worker's ring with ticks until one is parked. */
static void park(struct scene *scene) {
    const double values[3] = {0};
    for (int64_t t = 0; !ingest_parked(scene->rig.ingest); t++) {
        rig_send_tick(scene->push, "c/0", t, values, 3);
        read_messages(scene, (uint64_t)t + 1);
    }
}

/* Room that ticks leave over: a command finds its place, behind the ticks that were taken, while one is parked. */
static void commands_have_room_while_a_tick_is_parked(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    park(&scene);
    assert_int_equal(ingest_reset(scene.rig.ingest, "c/0", -1), 0);
    assert_int_equal(ingest_reset(scene.rig.ingest, "nobody", -1), -1);
    assert_int_equal(ingest_end(scene.rig.ingest, "nobody"), -1);
    assert_true(ingest_parked(scene.rig.ingest));
    uint64_t ticks = counters(&scene)->ticks;
    consume(&scene, 0); /* the opening */
    for (uint64_t i = 0; i < ticks; i++) {
        peek(&scene, 0, RECORD_TICK);
        consume(&scene, 0);
    }
    const struct record_reset *reset = peek(&scene, 0, RECORD_RESET);
    assert_ptr_equal(reset->stream, find(&scene, "c/0"));
    close_scene(&scene);
}

static void a_command_without_room_is_told(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    park(&scene);
    int n = 0;
    while (ingest_reset(scene.rig.ingest, "c/0", -1) == 0)
        n++;
    assert_true(n > 100);
    assert_int_equal(ingest_reset(scene.rig.ingest, "c/0", -1), -2);
    assert_int_equal(ingest_end(scene.rig.ingest, "c/0"), -2);
    assert_non_null(find(&scene, "c/0")); /* not ended */
    close_scene(&scene);
}

/* A reset of all streams goes to every worker, or, where one has no room, to none. */
static void a_reset_of_all_goes_to_all_or_none(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    assert_int_equal(ingest_reset(scene.rig.ingest, NULL, 1), 0);
    for (int w = 0; w < 2; w++) {
        const struct record_reset *reset = peek(&scene, w, RECORD_RESET);
        assert_true(reset->stream == NULL && reset->model == 1);
        consume(&scene, w);
    }
    const struct record_repeat nothing = {RECORD_REPEAT, 0};
    while (ingest_command(scene.rig.ingest, 1, &nothing, sizeof nothing))
        ;
    size_t n;
    assert_int_equal(ingest_reset(scene.rig.ingest, NULL, -1), -2);
    assert_null(ring_peek(worker_input(scene.rig.workers[0]), &n));
    close_scene(&scene);
}

/* The stream ends while a tick of it is parked: that tick begins it again. */
static void a_stream_ends_while_its_tick_is_parked(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    park(&scene);
    struct stream *first = find(&scene, "c/0");
    assert_int_equal(ingest_end(scene.rig.ingest, "c/0"), 0);
    assert_null(find(&scene, "c/0"));
    assert_true(ingest_parked(scene.rig.ingest));
    for (size_t n; ((const struct record *)ring_peek(worker_input(scene.rig.workers[0]), &n))->kind != RECORD_END;)
        consume(&scene, 0);
    assert_ptr_equal(((const struct record_stream *)peek(&scene, 0, RECORD_END))->stream, first);
    consume(&scene, 0);
    /* Its slot is free only when the worker has let go: the new stream has another place. */
    ingest_read(scene.rig.ingest);
    assert_false(ingest_parked(scene.rig.ingest));
    struct stream *second = find(&scene, "c/0");
    assert_non_null(second);
    assert_int_equal(second->generation, 2);
    assert_ptr_not_equal(second->places[0].batch, first->places[0].batch);
    peek(&scene, second->worker, RECORD_OPEN);
    consume(&scene, second->worker);
    peek(&scene, second->worker, RECORD_TICK);
    assert_int_equal(counters(&scene)->ended, 0);
    ingest_ended(scene.rig.ingest, first, false);
    assert_int_equal(counters(&scene)->ended, 1);
    assert_int_equal(placement_n_streams(scene.rig.placement, 0), 1);
    close_scene(&scene);
}

/* The opening of a stream waits too, on whatever worker it will be; it is opened once. */
static void the_opening_of_a_stream_is_parked(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    park(&scene);
    consume(&scene, 0); /* the opening of c/0, and a tick: the parked one has room again */
    consume(&scene, 0);
    ingest_read(scene.rig.ingest);
    assert_false(ingest_parked(scene.rig.ingest));
    const double values[3] = {1, 2, 3};
    uint64_t messages = counters(&scene)->messages, taken = counters(&scene)->ticks;
    rig_send_tick(scene.push, "c/1", 5, values, 3);
    read_messages(&scene, messages + 1);
    assert_true(ingest_parked(scene.rig.ingest));
    assert_null(find(&scene, "c/1"));
    assert_int_equal(scene.rig.opening.started, 1);
    for (int i = 0; i < 3; i++)
        ingest_read(scene.rig.ingest);
    while (!is_empty(&scene, 0))
        consume(&scene, 0);
    ingest_read(scene.rig.ingest);
    assert_false(ingest_parked(scene.rig.ingest));
    assert_int_equal(scene.rig.opening.started, 2);
    assert_int_equal(counters(&scene)->ticks, taken + 1);
    int w = find(&scene, "c/1")->worker;
    peek(&scene, w, RECORD_OPEN);
    consume(&scene, w);
    expect_tick(&scene, w, "c/1", 5, values, 3);
    close_scene(&scene);
}

/* Closed with a tick parked in a message of each form: nothing is left behind, as a leak checker sees. */
static void it_closes_with_a_tick_parked(void **state) {
    (void)state;
    static const char *const messages[] = {
        "[[\"c/0\",1000000,[1,2,3]],[\"c/0\",1000001,[1,2,3]]]",
        "c,tag\\ with\\ blank=0 a=1 1000000\nc,tag=0 a=1 1000001\n",
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct scene scene;
        open_scene(&scene);
        park(&scene);
        consume(&scene, 0); /* the opening; and room for the tick that is parked, but not for one more */
        consume(&scene, 0);
        ingest_read(scene.rig.ingest);
        uint64_t seen = counters(&scene)->messages;
        send_text(&scene, messages[i]);
        read_messages(&scene, seen + 1);
        assert_true(ingest_parked(scene.rig.ingest));
        close_scene(&scene);
    }
}

/* A bundle larger than one go is gone on with in the next, without other messages coming between. */
static void a_long_bundle_takes_several_goes(void **state) {
    (void)state;
    enum { TICKS = 20000 };
    struct scene scene;
    open_scene_on(&scene, "", 4 << 20);
    send_bundle(&scene, 0, TICKS, alternating);
    send_bundle(&scene, TICKS, 1, alternating);
    int64_t began = 0, next[2] = {0, 0};
    int goes = 0;
    while (counters(&scene)->ticks < TICKS + 1) {
        uint64_t before = counters(&scene)->ticks;
        bool more = ingest_read(scene.rig.ingest);
        uint64_t took = counters(&scene)->ticks - before;
        assert_true(took < TICKS); /* not all in one go */
        assert_true(more || took == 0 || counters(&scene)->ticks == TICKS + 1);
        goes += took > 0;
        assert_true(rig_wait(&began));
    }
    assert_in_range(goes, 3, 10);
    int taken = 0;
    for (int w = 0; w < 2; w++)
        taken += take_ticks(&scene, w, TICKS + 1, &next[w], alternating);
    assert_int_equal(taken, TICKS + 1);
    close_scene(&scene);
}

/* The bus stops: the message at hand is gone on with to its end, parked or not, and no other is begun. */
static void the_message_at_hand_is_finished_alone(void **state) {
    (void)state;
    enum { TICKS = 20000 };
    struct scene scene;
    open_scene(&scene);
    assert_true(ingest_finish(scene.rig.ingest)); /* there is none */
    send_bundle(&scene, 0, TICKS, alternating);
    send_bundle(&scene, TICKS, TICKS, alternating);
    int64_t began = 0, next[2] = {0, 0};
    while (!ingest_parked(scene.rig.ingest)) {
        ingest_read(scene.rig.ingest);
        assert_true(rig_wait(&began));
    }
    int taken = 0;
    while (!ingest_finish(scene.rig.ingest))
        for (int w = 0; w < 2; w++)
            taken += take_ticks(&scene, w, TICKS, &next[w], alternating);
    assert_int_equal(counters(&scene)->ticks, TICKS);
    assert_int_equal(counters(&scene)->messages, 1);
    for (int w = 0; w < 2; w++)
        taken += take_ticks(&scene, w, TICKS, &next[w], alternating);
    assert_int_equal(taken, TICKS);
    assert_true(ingest_finish(scene.rig.ingest));
    assert_int_equal(counters(&scene)->messages, 1);
    close_scene(&scene);
}

/* ---- subscribing -------------------------------------------------------------------------------- */

static void ticks_of_a_publisher_are_another_source(void **state) {
    (void)state;
    struct scene scene;
    char endpoint[128], bus[256];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/publisher", rig_folder());
    snprintf(bus, sizeof bus, "  subscribe: ['%s', 'ipc://%s/nobody']\n", endpoint, rig_folder());
    open_scene_on(&scene, bus, 65536);
    void *xpub = zmq_socket(scene.rig.zmq, ZMQ_XPUB);
    assert_int_equal(zmq_bind(xpub, endpoint), 0);
    char subscription[8];
    assert_int_equal(rig_receive(xpub, subscription, sizeof subscription, RIG_WAIT_MS), 1); /* to everything */
    const double values[3] = {1, 2, 3};
    for (int t = 1; t <= 3; t++) {
        rig_send_tick(xpub, "c/1", t, values, 3);
        rig_send_tick(scene.push, "c/2", t, values, 3);
    }
    read_messages(&scene, 6);
    for (int w = 0; w < 2; w++) {
        bool subscribed =
            strcmp(((const struct record_stream *)peek(&scene, w, RECORD_OPEN))->stream->name, "c/1") == 0;
        consume(&scene, w);
        for (int t = 1; t <= 3; t++) {
            const struct record_tick *tick = peek(&scene, w, RECORD_TICK);
            assert_int_equal(tick->arrival.source, subscribed);
            assert_int_equal(tick->arrival.number, t); /* each source has numbers of its own */
            consume(&scene, w);
        }
    }
    zmq_close(xpub);
    close_scene(&scene);
}

static void an_endpoint_that_cannot_be_had_is_named(void **state) {
    (void)state;
    struct scene scene;
    struct error err;
    open_scene(&scene);
    struct config *config = scene.rig.config;
    const struct ingest_setup setup = {.config = config,
                                       .opening = &scene.rig.opening,
                                       .workers = scene.rig.workers,
                                       .streams = scene.rig.streams,
                                       .placement = scene.rig.placement,
                                       .publisher = scene.rig.publisher};
    char *ticks = config->bus.ticks;
    static char nowhere[] = "ipc:///nowhere/at/all", none[] = "", strange[] = "strange://x";
    config->bus.ticks = nowhere;
    assert_null(ingest_open(scene.rig.zmq, &setup, &err));
    assert_non_null(strstr(err.text, "bus.ticks: cannot bind to ipc:///nowhere/at/all"));
    config->bus.ticks = none;
    static char *endpoints[] = {strange};
    config->bus.subscribe = endpoints;
    config->bus.n_subscribe = 1;
    assert_null(ingest_open(scene.rig.zmq, &setup, &err));
    assert_non_null(strstr(err.text, "bus.subscribe: cannot connect to strange://x"));
    config->bus.subscribe = NULL;
    config->bus.n_subscribe = 0;
    struct ingest *without = ingest_open(scene.rig.zmq, &setup, &err);
    assert_non_null(without);
    assert_null(ingest_ticks_socket(without));
    assert_null(ingest_subscribe_socket(without));
    assert_false(ingest_read(without));
    ingest_close(without);
    ingest_close(NULL);
    config->bus.ticks = ticks;
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tick_reaches_its_worker_behind_the_opening),
        cmocka_unit_test(names_put_values_in_their_order),
        cmocka_unit_test(a_value_of_bad_quality_is_missing),
        cmocka_unit_test(a_tick_too_far_ahead_is_refused),
        cmocka_unit_test(of_a_name_that_comes_twice_the_last_value_counts),
        cmocka_unit_test(lines_pass_over_what_the_class_does_not_know),
        cmocka_unit_test(what_cannot_be_taken_is_refused_with_its_reason),
        cmocka_unit_test(a_label_goes_where_its_tick_went),
        cmocka_unit_test(a_message_has_one_frame_or_two),
        cmocka_unit_test(a_refused_tick_refuses_no_other),
        cmocka_unit_test(a_class_has_a_limit_of_streams),
        cmocka_unit_test(a_parked_tick_is_gone_on_with_where_it_was),
        cmocka_unit_test(nothing_is_lost_or_doubled_whatever_the_pace),
        cmocka_unit_test(commands_have_room_while_a_tick_is_parked),
        cmocka_unit_test(a_command_without_room_is_told),
        cmocka_unit_test(a_reset_of_all_goes_to_all_or_none),
        cmocka_unit_test(a_stream_ends_while_its_tick_is_parked),
        cmocka_unit_test(the_opening_of_a_stream_is_parked),
        cmocka_unit_test(it_closes_with_a_tick_parked),
        cmocka_unit_test(a_long_bundle_takes_several_goes),
        cmocka_unit_test(the_message_at_hand_is_finished_alone),
        cmocka_unit_test(ticks_of_a_publisher_are_another_source),
        cmocka_unit_test(an_endpoint_that_cannot_be_had_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
