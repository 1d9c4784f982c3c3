/* What a worker does between its advances: versions take over, windows are copied, forecasts sent again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/background.h"

#include "daemon/clock.h"
#include "tests/support/store_fixture.h"
#include "tests/support/worker_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

/* ---- versions ----------------------------------------------------------------------------------- */

static void version_of_all_becomes(struct worker_scene *scene, struct stream *stream, int64_t *t, uint64_t number) {
    int64_t began = 0;
    uint64_t version = 0;
    for (uint64_t before = 0; version != number; before = version) {
        assert_true(rig_wait(&began));
        worker_tick(scene, stream, ++*t);
        for (int i = 0; i < 2; i++) {
            struct wire_forecast forecast = worker_next_forecast(scene);
            assert_int_equal(forecast.t, *t); /* none is lost meanwhile */
            version = forecast.horizon == 3 ? forecast.version : version;
        }
        assert_true(version >= before); /* never back */
    }
}

static void a_version_takes_over_while_ticks_come(void **state) {
    (void)state;
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
    int64_t t = 0;
    for (; t < 200; t++)
        worker_tick(&scene, stream, t + 1);
    for (int i = 0; i < 400; i++)
        assert_int_equal(worker_next_forecast(&scene).source, WIRE_SOURCE_BASELINE);
    worker_promote(&scene, MODEL_M, 1);
    assert_int_equal(scene.rig.takeovers, 0); /* there is no journal */
    version_of_all_becomes(&scene, stream, &t, 1);
    worker_tick(&scene, stream, ++t);
    struct wire_forecast forecast = worker_next_forecast(&scene);
    assert_int_equal(forecast.source, WIRE_SOURCE_NETWORK);
    assert_in_range(forecast.primed, 96, 160); /* what the history keeps, and what came since */
    worker_next_forecast(&scene);
    worker_scene_close(&scene);
}

/* Versions on the heels of each other: the newest serves in the end, and those between are let go. */
static void versions_during_a_takeover_leave_the_newest(void **state) {
    (void)state;
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *streams[5];
    worker_begin_many(&scene, streams, 5, 90);
    int64_t t = 90;
    for (uint64_t number = 1; number <= 5; number++)
        worker_promote(&scene, MODEL_M, number);
    /* A stream that begins now is in a batch that was opened with the newest. */
    struct stream *late = worker_begin(&scene, CLASS_C, "c/late");
    for (int i = 0; i < 2 * 5 * 90; i++)
        worker_next_forecast(&scene);
    version_of_all_becomes(&scene, streams[0], &t, 5);
    worker_tick(&scene, late, 1);
    for (int i = 0; i < 2; i++) {
        struct wire_forecast forecast = worker_next_forecast(&scene);
        if (forecast.horizon == 3)
            assert_int_equal(forecast.version, 5);
    }
    worker_promote(&scene, MODEL_M, 6);
    version_of_all_becomes(&scene, streams[0], &t, 6);
    worker_scene_close(&scene);
}

/* The next forecast, and of which stream "c/N" it is. */
static struct wire_forecast next_of(struct worker_scene *scene, int *ret_stream) {
    const struct record_message *message = worker_wait_for(scene, RECORD_FORECAST);
    struct wire_forecast forecast;
    assert_true(wire_forecast_decode(message->bytes + message->topic, message->payload, &scene->arena, &forecast) >
                0);
    *ret_stream = atoi(forecast.stream.at + 2); /* ends at what is no digit, as names are followed by more */
    worker_consume(scene);
    return forecast;
}

/* A hundred versions, one after the other, while ticks come: no forecast is missing, none is out of order. */
static void a_hundred_swaps_under_load(void **state) {
    (void)state;
    enum { STREAMS = 6, SWAPS = 100 };
    struct worker_scene scene;
    struct stream *streams[STREAMS];
    uint64_t next[STREAMS], served[STREAMS] = {0};
    worker_scene_open(&scene, "");
    worker_begin_many(&scene, streams, STREAMS, 60);
    int waiting = 2 * STREAMS * 60;
    for (int s = 0; s < STREAMS; s++)
        next[s] = 1;
    int64_t t = 60;
    for (uint64_t number = 1; number <= SWAPS; number++) {
        worker_promote(&scene, MODEL_M, number);
        for (bool all = false; !all;) {
            for (int s = 0; s < STREAMS; s++)
                worker_tick(&scene, streams[s], t + 1);
            t++;
            waiting += 2 * STREAMS;
            for (; waiting > 4 * STREAMS; waiting--) { /* some are always under way */
                int s;
                const struct wire_forecast forecast = next_of(&scene, &s);
                if (forecast.horizon != 3)
                    continue;
                assert_int_equal(forecast.step, next[s]++);
                assert_true(forecast.version >= served[s]);
                served[s] = forecast.version;
            }
            all = true;
            for (int s = 0; s < STREAMS; s++)
                all &= served[s] == number;
        }
    }
    print_message("%d swaps within %d steps of %d streams\n", SWAPS, (int)t, STREAMS);
    worker_scene_close(&scene);
}

/* Stopped in the middle of it: nothing is left over, as a leak checker sees. */
static void a_stop_during_a_takeover_lets_go(void **state) {
    (void)state;
    struct worker_scene scene;
    struct stream *streams[8];
    worker_scene_open(&scene, "");
    worker_begin_many(&scene, streams, 8, 96);
    worker_promote(&scene, MODEL_M, 1);
    worker_promote(&scene, MODEL_M, 2);
    worker_scene_close(&scene);
}

/* ---- shadows ------------------------------------------------------------------------------------ */

/* What the worker has seen of a model since it was asked before; forecasts before it are passed over. */
static void watch(struct worker_scene *scene, int model, struct live *live) {
    worker_give(scene, &(struct record_watch){RECORD_WATCH, model, 3, live}, sizeof(struct record_watch));
    size_t n;
    int64_t began = 0;
    for (bool back = false; !back;) {
        const struct record_watch *record = ring_peek(worker_output(scene->worker), &n);
        if (record == NULL) {
            assert_true(rig_wait(&began));
            continue;
        }
        back = record->kind == RECORD_WATCHED;
        if (back)
            assert_true(record->model == model && record->worker == 3 && record->live == live);
        worker_consume(scene);
    }
}

/* Ticks of all streams, a little at a time, as slices of a replay come between them. */
static void tick_all(struct worker_scene *scene, struct stream **streams, int n, int64_t from, int64_t to) {
    for (int64_t t = from; t <= to; t++) {
        for (int s = 0; s < n; s++)
            worker_tick(scene, streams[s], t);
        for (int i = 0; i < 2 * n; i++)
            worker_next_forecast(scene);
    }
}

static void a_version_runs_in_the_shadow(void **state) {
    (void)state;
    struct worker_scene scene;
    struct stream *streams[5];
    struct live live = {.trial = 99};
    worker_scene_open(&scene, "");
    worker_begin_many(&scene, streams, 5, 90);
    for (int i = 0; i < 2 * 5 * 90; i++)
        worker_next_forecast(&scene);
    worker_promote(&scene, MODEL_M, 1);
    watch(&scene, MODEL_M, &live);
    assert_true(live.trial == 0 && live.errors.n > 400 && loss_series_weight(&live.losses.shadow) == 0);
    worker_shadow(&scene, MODEL_M, 2, 7);
    tick_all(&scene, streams, 5, 91, 190);
    watch(&scene, MODEL_M, &live);
    assert_int_equal(live.trial, 7);
    assert_int_equal(live.errors.n, 500);
    assert_true(loss_series_steps(&live.losses.serving) > 50 && loss_series_steps(&live.losses.serving) <= 100);
    assert_true(loss_series_weight(&live.losses.serving) == loss_series_weight(&live.losses.shadow));
    assert_true(loss_series_mean(&live.losses.serving) != loss_series_mean(&live.losses.shadow));
    /* Another takes its place, with losses of its own. */
    worker_shadow(&scene, MODEL_M, 3, 8);
    watch(&scene, MODEL_M, &live);
    assert_true(live.trial == 8 && live.errors.n == 0 && loss_series_weight(&live.losses.serving) == 0);
    /* A version that takes over ends it, and another trial begins behind that. */
    worker_promote(&scene, MODEL_M, 4);
    worker_shadow(&scene, MODEL_M, 5, 9);
    tick_all(&scene, streams, 5, 191, 290);
    watch(&scene, MODEL_M, &live);
    assert_true(live.trial == 9 && loss_series_steps(&live.losses.shadow) > 20);
    worker_give(&scene, &(struct record_shadow){RECORD_SHADOW, MODEL_M, NULL, 10}, sizeof(struct record_shadow));
    tick_all(&scene, streams, 5, 291, 300);
    watch(&scene, MODEL_M, &live);
    assert_true(live.trial == 10 && loss_series_weight(&live.losses.shadow) == 0);
    worker_scene_close(&scene);
}

/* The streams come behind it, as after a restart. */
static void a_shadow_before_all_streams(void **state) {
    (void)state;
    enum { STEPS = 90 };
    struct worker_scene scene;
    struct stream *streams[5];
    struct live live = {.trial = 99};
    worker_scene_open(&scene, "");
    worker_promote(&scene, MODEL_M, 1);
    worker_shadow(&scene, MODEL_M, 2, 7);
    worker_begin_many(&scene, streams, 5, 0);
    tick_all(&scene, streams, 5, 1, STEPS);
    watch(&scene, MODEL_M, &live);
    assert_int_equal(live.trial, 7);
    assert_true(loss_series_steps(&live.losses.shadow) > STEPS / 2);
    worker_give(&scene, &(struct record_shadow){RECORD_SHADOW, MODEL_M, NULL, 8}, sizeof(struct record_shadow));
    streams[0] = worker_begin(&scene, CLASS_C, "c/behind");
    streams[1] = worker_begin(&scene, CLASS_C, "c/more");
    tick_all(&scene, streams, 2, STEPS + 1, 2 * STEPS);
    watch(&scene, MODEL_M, &live);
    assert_true(live.trial == 8 && loss_series_weight(&live.losses.shadow) == 0);
    worker_scene_close(&scene);
}

/* Stopped before it has begun, and in its replay. */
static void a_stop_with_a_shadow_lets_go(void **state) {
    (void)state;
    for (int promoted = 0; promoted < 2; promoted++) {
        struct worker_scene scene;
        struct stream *streams[8];
        worker_scene_open(&scene, "");
        worker_begin_many(&scene, streams, 8, 96);
        if (promoted)
            worker_promote(&scene, MODEL_M, 1);
        worker_shadow(&scene, MODEL_M, 2, 1);
        worker_scene_close(&scene);
    }
}

/* ---- windows ------------------------------------------------------------------------------------ */

static void collect(struct worker_scene *scene, int model, int max) {
    struct windows *windows = windows_new(&scene->rig.config->models[model], max, max < 10 ? 3 : 40, 1);
    assert_non_null(windows);
    worker_give(scene, &(struct record_windows){RECORD_COLLECT, model, windows}, sizeof(struct record_windows));
}

/* The set that comes back next, and whose it is; forecasts before it are passed over. */
static struct windows *collected(struct worker_scene *scene, int *ret_model) {
    size_t n;
    int64_t began = 0;
    for (;;) {
        const struct record *record = ring_peek(worker_output(scene->worker), &n);
        if (record == NULL) {
            assert_true(rig_wait(&began));
            continue;
        }
        struct windows *windows = NULL;
        if (record->kind == RECORD_COLLECTED) {
            *ret_model = ((const struct record_windows *)(const void *)record)->model;
            windows = ((const struct record_windows *)(const void *)record)->windows;
        }
        worker_consume(scene);
        if (windows != NULL)
            return windows;
    }
}

static void windows_are_copied_and_come_back(void **state) {
    (void)state;
    struct worker_scene scene;
    struct stream *streams[3];
    worker_scene_open(&scene, "");
    collect(&scene, MODEL_M, 100); /* of nobody: at once, empty */
    int model;
    struct windows *windows = collected(&scene, &model), *sets[3] = {NULL};
    assert_int_equal(model, MODEL_M);
    assert_int_equal(windows_count(windows), 0);
    windows_free(windows);
    atomic_store(&scene.rig.interest.single, false);
    worker_begin_many(&scene, streams, 3, 96);
    worker_begin(&scene, CLASS_E, "e/other"); /* has none for this model */
    worker_begin(&scene, CLASS_C, "c/short"); /* and this one too few steps */
    collect(&scene, MODEL_M, 100);
    collect(&scene, MODEL_O, 4); /* two at a time, one of which has too little room */
    for (int i = 0; i < 2; i++) {
        windows = collected(&scene, &model);
        assert_null(sets[model]);
        sets[model] = windows;
    }
    windows = sets[MODEL_M];
    int validation = 0;
    for (int i = 0; i < windows_count(windows); i++)
        validation += windows_at(windows, i)->validation;
    assert_in_range(windows_count(windows), 10, 60);
    assert_int_equal(validation, 3);
    assert_int_equal(windows_count(sets[MODEL_O]), 4);
    assert_true(windows_left_out(sets[MODEL_O]) > 0);
    assert_int_equal(worker_counters_of(&scene).windows_left_out, windows_left_out(sets[MODEL_O]));
    windows_free(windows);
    windows_free(sets[MODEL_O]);
    worker_scene_close(&scene);
}

/* Streams that end while their windows are being copied are passed over; the set comes back all the same. */
static void streams_may_end_while_windows_are_copied(void **state) {
    (void)state;
    enum { STREAMS = 40 };
    struct worker_scene scene;
    struct stream *streams[STREAMS];
    worker_scene_open(&scene, "");
    atomic_store(&scene.rig.interest.single, false);
    worker_begin_many(&scene, streams, STREAMS, 96);
    /* What is in the ring together is taken together: some ends come when the copying has begun. */
    for (int i = 0; i < STREAMS; i += 2) {
        if (i == 10)
            collect(&scene, MODEL_M, 1000);
        worker_command(&scene, RECORD_END, streams[i]);
        worker_tick(&scene, streams[i + 1], 97);
    }
    int64_t began = 0;
    int ended = 0;
    struct windows *windows = NULL;
    while (windows == NULL || ended < STREAMS / 2) {
        size_t n;
        const struct record *record = ring_peek(worker_output(scene.worker), &n);
        if (record == NULL) {
            assert_true(rig_wait(&began));
            continue;
        }
        if (record->kind == RECORD_ENDED) {
            ingest_ended(scene.rig.ingest, ((const struct record_stream *)(const void *)record)->stream, false);
            ended++;
        } else {
            assert_int_equal(record->kind, RECORD_COLLECTED);
            windows = ((const struct record_windows *)(const void *)record)->windows;
        }
        worker_consume(&scene);
    }
    assert_true(windows_count(windows) > STREAMS / 2);
    windows_free(windows);
    worker_scene_close(&scene);
}

/* Stopped while it copies: the set is given back before the worker says that it has stopped. */
static void a_stop_gives_windows_back(void **state) {
    (void)state;
    struct worker_scene scene;
    struct stream *streams[30];
    worker_scene_open(&scene, "");
    atomic_store(&scene.rig.interest.single, false);
    worker_begin_many(&scene, streams, 30, 96);
    collect(&scene, MODEL_M, 1000);
    collect(&scene, MODEL_O, 1000);
    worker_give(&scene, &(struct record){RECORD_STOP}, sizeof(struct record));
    for (int m = 0; m < 2; m++) {
        const struct record_windows *record = worker_wait_for(&scene, RECORD_COLLECTED);
        windows_free(record->windows);
        worker_consume(&scene);
    }
    worker_wait_for(&scene, RECORD_STOPPED);
    worker_consume(&scene);
    worker_scene_close_stopped(&scene);
}

/* ---- last forecasts once more ------------------------------------------------------------------- */

static void repeat(struct worker_scene *scene, const char *prefix, size_t n) {
    _Alignas(struct record_repeat) char buffer[sizeof(struct record_repeat) + EMITTER_MAX_TOPIC];
    struct record_repeat *record = (struct record_repeat *)(void *)buffer;
    *record = (struct record_repeat){RECORD_REPEAT, n};
    memcpy(record->prefix, prefix, n);
    worker_give(scene, buffer, sizeof *record + n);
}

/* The next record is the forecast of that topic, flagged as sent before. */
static void expect_repeat(struct worker_scene *scene, const char *topic) {
    const struct record_message *message = worker_wait_for(scene, RECORD_FORECAST);
    assert_string_equal(message->bytes, topic);
    assert_int_equal(worker_next_forecast(scene).flags & WIRE_FLAG(REPEAT), WIRE_FLAG(REPEAT));
}

/* A scene of n streams with a step each, whose forecasts have been taken. */
static void open_for_repeats(struct worker_scene *scene, const char *bus, struct stream **streams, int n) {
    worker_scene_open(scene, bus);
    worker_begin_many(scene, streams, n, 1);
    for (int i = 0; i < 2 * n; i++)
        worker_next_forecast(scene);
}

/* A tick of a stream is forecast after all that was repeated before: the end of a repetition. */
static void expect_no_more(struct worker_scene *scene, struct stream *stream, int64_t t) {
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    worker_tick(scene, stream, t);
    for (int i = 0; i < 2; i++)
        assert_int_equal(worker_next_forecast(scene).t, t);
}

static void last_forecasts_are_sent_again(void **state) {
    (void)state;
    struct worker_scene scene;
    struct stream *streams[12];
    open_for_repeats(&scene, "", streams, 12);
    worker_begin(&scene, CLASS_C, "c/1-without-a-step");
    repeat(&scene, "forecast/m/c/1", 15); /* with the NUL: one stream */
    expect_repeat(&scene, "forecast/m/c/1");
    expect_no_more(&scene, streams[0], 2);
    repeat(&scene, "forecast/m/c/1", 14);
    expect_repeat(&scene, "forecast/m/c/1");
    expect_repeat(&scene, "forecast/m/c/10");
    expect_repeat(&scene, "forecast/m/c/11");
    expect_no_more(&scene, streams[0], 3);
    repeat(&scene, "forecast/none/", 14);
    expect_no_more(&scene, streams[0], 4);
    repeat(&scene, "", 0);
    for (int i = 0; i < 24; i++)
        assert_int_equal(worker_next_forecast(&scene).flags & WIRE_FLAG(REPEAT), WIRE_FLAG(REPEAT));
    expect_no_more(&scene, streams[0], 5);
    assert_int_equal(worker_counters_of(&scene).repeats, 1 + 3 + 24);
    worker_scene_close(&scene);
}

/* A second's worth at once, the others at the rate. */
static void repeats_have_a_rate(void **state) {
    (void)state;
    enum { STREAMS = 400, RATE = 1000 };
    struct worker_scene scene;
    struct stream *streams[STREAMS];
    open_for_repeats(&scene, "  repeats_per_second: 1000\n", streams, STREAMS);
    int64_t began = clock_monotonic();
    repeat(&scene, "forecast/m/", 11);
    repeat(&scene, "forecast/o/", 11); /* while it is under way: all that both have in common, from the beginning */
    int n = 0;
    size_t size;
    while (worker_counters_of(&scene).repeats < 2 * STREAMS ||
           ring_peek(worker_output(scene.worker), &size) != NULL) {
        worker_next_forecast(&scene);
        double most = RATE + 2 + RATE * 1e-9 * (double)(clock_monotonic() - began);
        assert_true(++n <= most);
    }
    assert_in_range(n, 2 * STREAMS, 4 * STREAMS);
    /* What has been saved up is used up: the next time they come at the rate alone. */
    began = clock_monotonic();
    repeat(&scene, "forecast/", 9);
    for (int i = 0; i < 2 * STREAMS; i++)
        worker_next_forecast(&scene);
    assert_in_range(clock_monotonic() - began, INT64_C(500000000), INT64_C(3000000000));
    worker_scene_close(&scene);
}

/* A rate of none: nothing is sent, nothing waits for it. */
static void without_a_rate_nothing_is_repeated(void **state) {
    (void)state;
    struct worker_scene scene;
    struct stream *streams[3];
    open_for_repeats(&scene, "  repeats_per_second: 0\n", streams, 3);
    repeat(&scene, "", 0);
    expect_no_more(&scene, streams[0], 2);
    assert_int_equal(worker_counters_of(&scene).repeats, 0);
    /* No task is left that would wake the worker again and again. */
    struct worker *idle = idle_worker_new(scene.rig.config, 4096);
    idle->streams = streams[0];
    struct record_repeat record = {RECORD_REPEAT, 0};
    background_repeat(idle, &record);
    background_slice(idle);
    assert_int_equal(background_timeout(idle), -1);
    idle_worker_free(idle);
    worker_scene_close(&scene);
}

/* The very stream at which a repetition stands ends: it goes on with the next. */
static void streams_may_end_while_they_are_repeated(void **state) {
    (void)state;
    enum { STREAMS = 100 };
    struct worker_scene scene;
    struct stream *streams[STREAMS];
    open_for_repeats(&scene, "  repeats_per_second: 100\n", streams, STREAMS);
    repeat(&scene, "forecast/", 9); /* stands still after a slice, for want of tokens */
    int64_t began = 0;
    while (worker_counters_of(&scene).repeats < 64)
        assert_true(rig_wait(&began));
    for (int i = 0; i < STREAMS; i++)
        worker_command(&scene, RECORD_END, streams[i]);
    int ended = 0;
    for (size_t n; ended < STREAMS;) {
        const struct record *record = ring_peek(worker_output(scene.worker), &n);
        if (record == NULL) {
            assert_true(rig_wait(&began));
            continue;
        }
        if (record->kind == RECORD_ENDED) {
            ingest_ended(scene.rig.ingest, ((const struct record_stream *)(const void *)record)->stream, false);
            ended++;
        }
        worker_consume(&scene);
    }
    /* And it is over: a stream that begins now is not repeated. */
    expect_no_more(&scene, worker_begin(&scene, CLASS_C, "c/new"), 1);
    worker_scene_close(&scene);
}

/* ---- slice by slice ----------------------------------------------------------------------------- */

/* A worker without a thread, with streams that have seen 90 steps each; the test takes the slices. */
struct bench {
    struct worker_scene scene;
    struct worker *worker;
    struct stream *streams[4];
};

static void add_by_hand(struct bench *bench, int i) {
    char name[8];
    snprintf(name, sizeof name, "h/%d", i);
    struct stream *stream = bench->streams[i] =
        stream_new(bench->scene.rig.config, rig_pool(), CLASS_C, name, 3, 1, 2);
    assert_non_null(stream);
    assert_int_equal(placement_acquire(bench->scene.rig.placement, stream, -1), 0);
    enum time_verdict verdict;
    for (int p = 0; p < 2; p++) {
        struct batch *batch = stream->places[p].batch;
        bool listed = false;
        for (int b = 0; b < bench->worker->n_batches; b++)
            listed |= bench->worker->batches[b] == batch;
        if (!listed)
            bench->worker->batches[bench->worker->n_batches++] = batch;
        batch->streams[stream->places[p].slot] = stream;
        forecaster_acquire(batch->forecaster, stream->places[p].slot, stream->series->history);
    }
    for (int64_t t = 1; t <= 90; t++) {
        const double values[2] = {worker_value(t, 0), worker_value(t, 1)};
        assert_int_equal(series_take(stream->series, t, values, &verdict), 1);
        for (int p = 0; p < 2; p++)
            forecaster_advance(stream->places[p].batch->forecaster, &stream->places[p].slot, 1);
    }
    DL_APPEND2(bench->worker->streams, stream, worker_previous, worker_next);
}

static void open_bench(struct bench *bench) {
    *bench = (struct bench){0};
    worker_scene_open(&bench->scene, "  repeats_per_second: 1\n");
    const struct config *config = bench->scene.rig.config;
    bench->worker = idle_worker_new(config, 4096);
    bench->worker->batches = calloc(16, sizeof(struct batch *));
    bench->worker->collections = calloc((size_t)config->n_models, sizeof *bench->worker->collections);
    assert_true(bench->worker->batches != NULL && bench->worker->collections != NULL);
    for (int i = 0; i < 4; i++)
        add_by_hand(bench, i);
}

static void close_bench(struct bench *bench) {
    for (int i = 0; i < 4; i++)
        stream_free(bench->streams[i]);
    free(bench->worker->batches);
    free(bench->worker->collections);
    idle_worker_free(bench->worker);
    worker_scene_close(&bench->scene);
}

static void give_version(struct bench *bench, uint64_t number) {
    struct error err;
    struct network *network = forecaster_network(&bench->scene.rig.config->models[MODEL_M], &err);
    assert_non_null(network);
    const struct record_version record = {RECORD_VERSION, MODEL_M, version_new(number, network)};
    background_version(bench->worker, &record);
}

/* A takeover is a bounded number of slices, the newest of all versions serves, and then there is nothing left to
 * do. */
static void a_takeover_ends(void **state) {
    (void)state;
    struct bench bench;
    open_bench(&bench);
    const struct forecaster *forecaster = bench.streams[0]->places[0].batch->forecaster;
    assert_false(background_slice(bench.worker));
    give_version(&bench, 1);
    for (int i = 0; i < 5; i++)
        assert_true(background_slice(bench.worker));
    assert_true(forecaster_taking_over(forecaster));
    for (uint64_t number = 2; number <= 4; number++)
        give_version(&bench, number); /* only the last of them comes after the first */
    int slices = 0;
    while (background_slice(bench.worker))
        assert_true(++slices < 200);
    assert_in_range(slices, 20, 100);
    for (int i = 0; i < 4; i++)
        assert_int_equal(forecaster_version(bench.streams[i]->places[0].batch->forecaster), 4);
    assert_int_equal(forecaster_version(bench.streams[0]->places[1].batch->forecaster), 0); /* another model's */
    /* What it has already is not taken over again. */
    give_version(&bench, 4);
    for (int i = 0; i < 3; i++) {
        background_slice(bench.worker);
        assert_false(forecaster_taking_over(forecaster));
    }
    assert_false(background_slice(bench.worker));
    close_bench(&bench);
}

/* The streams end at which the tasks stand: they stand at the next, and what has ended is looked at no more. */
static void tasks_do_not_stand_in_an_ended_stream(void **state) {
    (void)state;
    struct bench bench;
    open_bench(&bench);
    struct worker *worker = bench.worker;
    const struct record_windows record = {RECORD_COLLECT, MODEL_M,
                                          windows_new(&bench.scene.rig.config->models[MODEL_M], 100, 8, 1)};
    const struct record_repeat repeated = {RECORD_REPEAT, 0};
    background_collect(worker, &record);
    assert_true(background_slice(worker));
    background_repeat(worker, &repeated);
    for (int i = 0; i < 4; i++) {
        struct stream *stream = bench.streams[i];
        assert_ptr_equal(worker->collections[MODEL_M].stream, stream);
        assert_ptr_equal(worker->repeating.stream, stream);
        background_forget(worker, stream);
        assert_ptr_equal(worker->collections[MODEL_M].stream, stream->worker_next);
        DL_DELETE2(worker->streams, stream, worker_previous, worker_next);
        for (int p = 0; p < 2; p++)
            forecaster_release(stream->places[p].batch->forecaster, stream->places[p].slot);
        stream->worker_next = stream; /* a trap for who goes on from here */
    }
    assert_false(worker->repeating.active);
    assert_int_equal(background_timeout(worker), -1);
    background_slice(worker);
    assert_false(background_slice(worker));
    size_t n;
    const struct record_windows *back = ring_peek(worker->output, &n);
    assert_non_null(back);
    assert_ptr_equal(back->windows, record.windows);
    assert_in_range(windows_count(record.windows), 1, 3); /* of the first slice */
    windows_free(record.windows);
    close_bench(&bench);
}

/* A round has one image of each stream: what comes for streams that are in it already, while others wait, is the next
 * round's, else it would never end under load. */
static void a_round_ends_while_ticks_come(void **state) {
    (void)state;
    struct bench bench;
    struct store_scene store;
    open_bench(&bench);
    store_scene_open(&store);
    struct worker *worker = bench.worker;
    struct stream *late = bench.streams[0];
    const struct record_round record = {RECORD_ROUND, 1};
    enum time_verdict verdict;
    worker->store = store.store;
    worker->index = 0;
    assert_int_equal(series_take(late->series, 91, (const double[]){1, 2}, &verdict), 1); /* and is not seen yet */
    background_round(worker, &record);
    size_t n;
    for (int slice = 0; slice < 20; slice++) {
        for (int i = 0; i < 4; i++)
            bench.streams[i]->changed = true;
        background_slice(worker);
        assert_null(ring_peek(worker->output, &n));
    }
    assert_int_equal(worker->images, 3);
    for (int p = 0; p < 2; p++)
        forecaster_advance(late->places[p].batch->forecaster, &late->places[p].slot, 1);
    for (int slice = 0; slice < 3; slice++)
        background_slice(worker);
    assert_int_equal(worker->images, 4);
    const struct record_round *done = ring_peek(worker->output, &n);
    assert_non_null(done);
    assert_int_equal(done->kind, RECORD_ROUND_DONE);
    assert_int_equal(done->round, 1);
    store_scene_close(&store);
    close_bench(&bench);
}

static uint64_t order_in_store(struct store_scene *store, const char *name) {
    struct stored *stored;
    assert_true(store_ask(store->store, name, strlen(name), NULL));
    for (int64_t began = 0; (stored = store_answer(store->store)) == NULL;)
        assert_true(rig_wait(&began));
    uint64_t order = stored->order;
    assert_int_equal(stored->found, STORED_IMAGE);
    stored_free(stored);
    return order;
}

/* A state that is to be set waits for the steps before it. An image that is made meanwhile does not say that it has it, or a
 * restart would not set it. */
static void what_waits_for_its_turn_is_in_no_image(void **state) {
    (void)state;
    struct bench bench;
    struct store_scene store;
    open_bench(&bench);
    store_scene_open(&store);
    for (int i = 1; i <= 8; i++)
        store_scene_append(&store, i);
    struct worker *worker = bench.worker;
    struct stream *stream = bench.streams[0];
    struct state_order *order = calloc(1, sizeof *order);
    assert_non_null(order);
    *order = (struct state_order){.stream = stream, .set = true, .journaled = 8};
    enum time_verdict verdict;
    worker->store = store.store;
    worker->index = 0;
    assert_int_equal(series_take(stream->series, 91, (const double[]){1, 2}, &verdict), 1);
    worker_touch(stream, 7);
    assert_false(worker_take_state(worker, order));
    for (int p = 0; p < 2; p++)
        forecaster_advance(stream->places[p].batch->forecaster, &stream->places[p].slot, 1);
    background_round(worker, &(struct record_round){RECORD_ROUND, 1});
    background_slice(worker);
    assert_int_equal(worker->images, 1);
    assert_int_equal(order_in_store(&store, "h/0"), 7);
    assert_true(worker_take_state(worker, order));
    assert_int_equal(stream->order, 8);
    assert_true(stream->changed);
    state_order_free(order);
    store_scene_close(&store);
    close_bench(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_takes_over_while_ticks_come),
        cmocka_unit_test(versions_during_a_takeover_leave_the_newest),
        cmocka_unit_test(a_hundred_swaps_under_load),
        cmocka_unit_test(a_stop_during_a_takeover_lets_go),
        cmocka_unit_test(a_version_runs_in_the_shadow),
        cmocka_unit_test(a_shadow_before_all_streams),
        cmocka_unit_test(a_stop_with_a_shadow_lets_go),
        cmocka_unit_test(windows_are_copied_and_come_back),
        cmocka_unit_test(streams_may_end_while_windows_are_copied),
        cmocka_unit_test(a_stop_gives_windows_back),
        cmocka_unit_test(last_forecasts_are_sent_again),
        cmocka_unit_test(repeats_have_a_rate),
        cmocka_unit_test(without_a_rate_nothing_is_repeated),
        cmocka_unit_test(streams_may_end_while_they_are_repeated),
        cmocka_unit_test(a_takeover_ends),
        cmocka_unit_test(tasks_do_not_stand_in_an_ended_stream),
        cmocka_unit_test(a_round_ends_while_ticks_come),
        cmocka_unit_test(what_waits_for_its_turn_is_in_no_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
