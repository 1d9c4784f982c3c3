/* What a worker does with ticks and with commands on streams. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/worker.h"

#include "tests/support/worker_fixture.h"
#include "tests/support/fixtures.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- ticks -------------------------------------------------------------------------------------- */

/* Streams in turn, several ticks each: per (stream, model), every step once and in order, with its position. */
static void steps_come_in_order(void **state) {
    (void)state;
    enum { STREAMS = 5, STEPS = 100 };
    struct worker_scene scene;
    struct stream *streams[STREAMS];
    worker_scene_open(&scene, "");
    worker_begin_many(&scene, streams, STREAMS, 0);
    /* In runs of ten, so that slots have several steps pending. */
    for (int64_t t = 0; t < STEPS; t += 10)
        for (int i = 0; i < STREAMS; i++)
            for (int64_t k = 1; k <= 10; k++)
                worker_tick(&scene, streams[i], t + k);
    uint64_t seen[STREAMS][2] = {{0}};
    for (int n = 0; n < 2 * STREAMS * STEPS; n++) {
        const struct record_message *message = worker_wait_for(&scene, RECORD_FORECAST);
        char topic[64];
        snprintf(topic, sizeof topic, "%s", message->bytes);
        struct wire_forecast forecast = worker_next_forecast(&scene);
        int model, i = topic[strlen(topic) - 1] - '0';
        assert_in_range(i, 0, STREAMS - 1);
        model = topic[strlen("forecast/")] == 'o';
        uint64_t step = ++seen[i][model];
        assert_int_equal(forecast.step, step);
        assert_int_equal(forecast.t, step);
        assert_int_equal(forecast.horizon, model == 0 ? 3 : 2);
        assert_int_equal(forecast.epoch, 17);
        /* The number that the tick had, from its place in the runs. */
        uint64_t run = (step - 1) / 10;
        assert_int_equal(forecast.number, run * 10 * STREAMS + (uint64_t)i * 10 + (step - 1) % 10 + 1);
        assert_true(forecast.values[1] == worker_value((int64_t)step, 1));
    }
    assert_int_equal(worker_counters_of(&scene).ticks, STREAMS * STEPS);
    assert_int_equal(worker_counters_of(&scene).steps, STREAMS * STEPS);
    assert_int_equal(worker_counters_of(&scene).forecasts, 2 * STREAMS * STEPS);
    assert_int_equal(worker_most_steps(scene.worker, CLASS_C), STEPS);
    assert_int_equal(worker_most_steps(scene.worker, CLASS_E), 0);
    assert_int_equal(atomic_load(&streams[0]->steps), STEPS);
    worker_scene_close(&scene);
}

/* A tick of a later interval closes the one before; what stands is flagged. */
static void a_step_closes_with_its_interval(void **state) {
    (void)state;
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_E, "e/1");
    static const int64_t times[] = {100, 900, 1500, 5200, 6100};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        worker_tick(&scene, stream, times[i]);
    static const struct {
        int64_t t, value_at;
        uint32_t flags;
    } steps[] = {{0, 900, 0}, {1000, 1500, 0}, {5000, 5200, WIRE_FLAG(GAP)}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct wire_forecast forecast = worker_next_forecast(&scene);
        assert_int_equal(forecast.step, i + 1);
        assert_int_equal(forecast.t, steps[i].t);
        assert_true(forecast.values[0] == worker_value(steps[i].value_at, 0));
        assert_int_equal(forecast.flags, steps[i].flags);
    }
    assert_int_equal(worker_counters_of(&scene).ticks, 5);
    assert_int_equal(worker_counters_of(&scene).steps, 3);
    worker_scene_close(&scene);
}

/* All are counted; some are told, one by one, each second. */
static void what_comes_late_is_refused(void **state) {
    (void)state;
    enum { LATE = 300 };
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    atomic_store(&scene.rig.interest.single, false);
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
    worker_tick(&scene, stream, 1000);
    worker_tick(&scene, stream, 1000);
    const struct record_refused *refused = worker_wait_for(&scene, RECORD_REFUSED);
    assert_int_equal(refused->reason, REASON_REPEATED);
    assert_int_equal(refused->t, 1000);
    assert_int_equal(refused->n, 3);
    assert_memory_equal(refused->name, "c/1", 3);
    worker_consume(&scene);
    for (int64_t t = 0; t < LATE; t++)
        worker_tick(&scene, stream, t);
    refused = worker_wait_for(&scene, RECORD_REFUSED);
    assert_int_equal(refused->reason, REASON_LATE);
    int64_t began = 0;
    while (worker_counters_of(&scene).refused[REASON_LATE] < LATE)
        assert_true(rig_wait(&began));
    int told = 0;
    size_t n;
    for (; ring_peek(worker_output(scene.worker), &n) != NULL; told++)
        worker_consume(&scene);
    assert_in_range(told, 1, 60); /* of one second, or two, or three */
    assert_int_equal(worker_counters_of(&scene).refused[REASON_LATE], LATE);
    assert_int_equal(worker_counters_of(&scene).refused[REASON_REPEATED], 1);
    assert_int_equal(worker_counters_of(&scene).steps, 1);
    worker_scene_close(&scene);
}

/* Nobody takes its forecasts: a stream's ticks pile up in the ring, and no more than FIXTURE_PENDING in its history. */
static void pending_steps_have_a_bound(void **state) {
    (void)state;
    enum { TICKS = 3000 };
    struct worker_scene scene;
    worker_scene_open(&scene, "  forecast_ring: 64KiB\n");
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
    for (int64_t t = 1; t <= TICKS; t++)
        worker_tick(&scene, stream, t);
    int64_t began = 0;
    while (worker_counters_of(&scene).waits == 0)
        assert_true(rig_wait(&began));
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    struct worker_counters stuck = worker_counters_of(&scene);
    assert_true(stuck.ticks < TICKS);
    /* Two models forecast each step; the slower has seen half of what was made. */
    assert_in_range(stuck.ticks - stuck.forecasts / 2, FIXTURE_PENDING - 1, FIXTURE_PENDING + 1);
    for (uint64_t i = 0; i < 2 * TICKS; i++) {
        struct wire_forecast forecast = worker_next_forecast(&scene);
        assert_int_equal(forecast.step, i / 2 + 1);
        assert_int_equal(forecast.number, i / 2 + 1); /* also of those that waited longest */
    }
    assert_int_equal(worker_counters_of(&scene).ticks, TICKS);
    worker_scene_close(&scene);
}

/* ---- commands ----------------------------------------------------------------------------------- */

/* END stands behind the ticks before it, however many are pending; and before it is told the slots are let go. */
static void an_end_waits_for_the_ticks_before_it(void **state) {
    (void)state;
    enum { TICKS = 500 };
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1"), *other = worker_begin(&scene, CLASS_C, "c/2");
    for (int64_t t = 1; t <= TICKS; t++)
        worker_tick(&scene, stream, t);
    worker_command(&scene, RECORD_END, stream);
    worker_tick(&scene, other, 7);
    for (uint64_t i = 0; i < 2 * TICKS; i++)
        assert_int_equal(worker_next_forecast(&scene).step, i / 2 + 1);
    assert_ptr_equal(((const struct record_stream *)worker_wait_for(&scene, RECORD_ENDED))->stream, stream);
    assert_null(stream->places[0].batch->streams[stream->places[0].slot]);
    worker_consume(&scene);
    assert_int_equal(worker_next_forecast(&scene).t, 7);
    assert_int_equal(worker_next_forecast(&scene).t, 7);
    ingest_ended(scene.rig.ingest, stream);
    worker_scene_close(&scene);
}

/* What a stream's forecasts are, in the slot of an ended one or in a fresh batch: the same to the last bit. */
static void a_slot_is_as_new_for_the_next_stream(void **state) {
    (void)state;
    enum { TICKS = 60 };
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    worker_promote(&scene, MODEL_M, 1);
    double fresh[TICKS][6];
    for (int life = 0; life < 3; life++) {
        struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
        assert_int_equal(stream->places[0].slot, 0);
        assert_int_equal(stream->places[0].batch->id, 0);
        for (int64_t t = 1; t <= TICKS; t++)
            worker_tick(&scene, stream, t + (life == 1 ? 5000 : 0)); /* the second life is another one */
        worker_command(&scene, RECORD_END, stream);
        for (int n = 0; n < TICKS; n += 1) {
            struct wire_forecast forecast = worker_next_forecast(&scene);
            assert_int_equal(forecast.generation, life + 1);
            assert_int_equal(forecast.primed, n + 1);
            assert_int_equal(forecast.source, WIRE_SOURCE_NETWORK);
            if (life == 0)
                memcpy(fresh[n], forecast.mean, sizeof fresh[n]);
            else
                assert_int_equal(memcmp(fresh[n], forecast.mean, sizeof fresh[n]) == 0, life == 2);
            worker_next_forecast(&scene); /* of the other model */
        }
        worker_wait_for(&scene, RECORD_ENDED);
        worker_consume(&scene);
        ingest_ended(scene.rig.ingest, stream);
    }
    worker_scene_close(&scene);
}

/* RESET too: the step behind it is the first that the state has seen. */
static void a_reset_waits_for_the_ticks_before_it(void **state) {
    (void)state;
    enum { BEFORE = 200, AFTER = 20 };
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    worker_promote(&scene, MODEL_M, 1);
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
    for (int64_t t = 1; t <= BEFORE; t++)
        worker_tick(&scene, stream, t);
    worker_command(&scene, RECORD_RESET, stream);
    for (int64_t t = BEFORE + 1; t <= BEFORE + AFTER; t++)
        worker_tick(&scene, stream, t);
    for (uint64_t step = 1; step <= BEFORE + AFTER; step++) {
        struct wire_forecast forecast = worker_next_forecast(&scene);
        assert_int_equal(forecast.step, step);
        assert_int_equal(forecast.primed, step <= BEFORE ? step : step - BEFORE);
        assert_int_equal(worker_next_forecast(&scene).step, step);
    }
    worker_scene_close(&scene);
}

static void a_stop_is_said_last(void **state) {
    (void)state;
    enum { TICKS = 700 };
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
    for (int64_t t = 1; t <= TICKS; t++)
        worker_tick(&scene, stream, t);
    worker_give(&scene, &(struct record){RECORD_STOP}, sizeof(struct record));
    for (uint64_t i = 0; i < 2 * TICKS; i++)
        assert_int_equal(worker_next_forecast(&scene).step, i / 2 + 1);
    worker_wait_for(&scene, RECORD_STOPPED);
    worker_consume(&scene);
    worker_scene_close_stopped(&scene);
    worker_stop(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_come_in_order),
        cmocka_unit_test(a_step_closes_with_its_interval),
        cmocka_unit_test(what_comes_late_is_refused),
        cmocka_unit_test(pending_steps_have_a_bound),
        cmocka_unit_test(an_end_waits_for_the_ticks_before_it),
        cmocka_unit_test(a_slot_is_as_new_for_the_next_stream),
        cmocka_unit_test(a_reset_waits_for_the_ticks_before_it),
        cmocka_unit_test(a_stop_is_said_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
