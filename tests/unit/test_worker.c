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
#include <math.h>
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

/* While the worker sleeps the bus serves a few ticks by itself; whoever does, steps come in order. */
static void a_few_ticks_need_no_worker(void **state) {
    (void)state;
    enum { TICKS = 100 };
    struct worker_scene scene;
    int alone = 0;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
    for (int64_t t = 1; t <= TICKS; t++) {
        struct record_tick *record = ring_reserve(worker_input(scene.worker), sizeof *record + 2 * sizeof(double), 0);
        assert_non_null(record);
        *record =
            (struct record_tick){.kind = RECORD_TICK, .stream = stream, .t = t, .arrival = {0, 1, (uint64_t)t, 1}};
        record->values[0] = record->values[1] = (double)t;
        ring_commit(worker_input(scene.worker), sizeof *record + 2 * sizeof(double));
        if (t % 3 == 0) {
            worker_wake(scene.worker);
        } else {
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
            worker_serve(scene.worker);
            alone += ring_used(worker_output(scene.worker)) > 0;
        }
        for (int model = 0; model < 2; model++)
            assert_int_equal(worker_next_forecast(&scene).step, t);
    }
    assert_true(alone > 0);
    assert_int_equal(worker_counters_of(&scene).steps, TICKS);
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
        assert_int_equal(forecast.flags & ~WIRE_FLAG(CAPPED), steps[i].flags);
    }
    assert_int_equal(worker_counters_of(&scene).ticks, 5);
    assert_int_equal(worker_counters_of(&scene).steps, 3);
    worker_scene_close(&scene);
}

/* One tick closes more steps than may wait; each is forecast from, in order, and has the tick's position. */
static void a_gap_is_filled(void **state) {
    (void)state;
    enum { FILLED = 51 };
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_T, "t/1");
    static const int64_t times[] = {100, 200, 200, 1000 * (FILLED + 1), 1000 * (FILLED + 2)};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        worker_tick(&scene, stream, times[i]);
    for (int step = 1; step <= FILLED + 2; step++) {
        struct wire_forecast forecast = worker_next_forecast(&scene);
        bool filled = step > 1 && step <= FILLED + 1;
        uint32_t flags = filled      ? WIRE_FLAG(FILLED) | WIRE_FLAG(MISSING)
                         : step == 1 ? WIRE_FLAG(AGGREGATED) | WIRE_FLAG(REPLACED)
                                     : 0;
        assert_int_equal(forecast.step, step);
        assert_int_equal(forecast.t, 1000 * (step - 1));
        assert_int_equal(forecast.flags & ~(WIRE_FLAG(CAPPED) | WIRE_FLAG(WARMING)), flags);
        assert_int_equal(forecast.number, step <= FILLED + 1 ? 4 : 5);
        assert_true(filled ? isnan(forecast.values[0])
                           : forecast.values[0] == (step == 1 ? worker_value(100, 0) + worker_value(200, 0)
                                                              : worker_value(times[3], 0)));
    }
    const struct worker_counters counters = worker_counters_of(&scene);
    assert_true(counters.ticks == 5 && counters.steps == FILLED + 2 && counters.pending_full > 0);
    assert_true(counters.time[TIME_CASE_FILLED] == FILLED && counters.time[TIME_CASE_MISSING] == FILLED &&
                counters.time[TIME_CASE_REPLACED] == 1 && counters.time[TIME_CASE_AGGREGATED] == 1);
    worker_scene_close(&scene);
}

/* The clock closes what has ended; its step has the position of that decision. */
static void an_interval_closes_by_the_clock(void **state) {
    (void)state;
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_T, "t/1");
    worker_tick(&scene, stream, 1100);
    for (int64_t end = 1000; end <= 3000; end += 1000) {
        const struct record_close record = {
            .kind = RECORD_CLOSE, .stream = stream, .end = end, .arrival = {3, 0, (uint64_t)end, 7}};
        worker_give(&scene, &record, sizeof record);
    }
    struct wire_forecast forecast = worker_next_forecast(&scene);
    assert_true(forecast.step == 1 && forecast.t == 1000 && forecast.source_id == 3 && forecast.number == 2000);
    assert_int_equal(forecast.flags & ~WIRE_FLAG(CAPPED), WIRE_FLAG(CLOCK));
    worker_tick(&scene, stream, 1900); /* too late */
    const struct record_refused *refused = worker_wait_for(&scene, RECORD_REFUSED);
    assert_int_equal(refused->reason, REASON_LATE);
    worker_consume(&scene);
    worker_tick(&scene, stream, 9100); /* what was empty since is filled */
    for (int step = 2; step <= 8; step++)
        assert_int_equal(worker_next_forecast(&scene).flags & ~WIRE_FLAG(CAPPED),
                         WIRE_FLAG(FILLED) | WIRE_FLAG(MISSING));
    const struct worker_counters counters = worker_counters_of(&scene);
    assert_true(counters.time[TIME_CASE_CLOSED] == 1 && counters.refused[REASON_LATE] == 1);
    worker_scene_close(&scene);
}

static void give_label(struct worker_scene *scene, struct stream *stream, int64_t t, float label) {
    worker_give(scene, &(struct record_label){.kind = RECORD_LABEL, .stream = stream, .t = t, .label = label},
                sizeof(struct record_label));
}

/* Steps are of a microsecond: a label is of the interval in which its time lies, once that has closed. */
static void a_label_scores_what_was_forecast(void **state) {
    (void)state;
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    worker_promote(&scene, MODEL_L, 3);
    struct stream *stream = worker_begin(&scene, CLASS_L, "l/1");
    worker_tick(&scene, stream, 100);
    for (int64_t step = 1; step <= 8; step++) {
        worker_tick(&scene, stream, step * 1000 + 100);
        struct wire_forecast forecast = worker_next_forecast(&scene);
        assert_true(forecast.step == (uint64_t)step && forecast.n_targets == 0);
        assert_true(forecast.has_labels && forecast.labels.n == 0 && isnan(forecast.labels.brier));
    }
    give_label(&scene, stream, 6100, 1);
    give_label(&scene, stream, 7900, 2);
    give_label(&scene, stream, 7000, 2); /* once more */
    give_label(&scene, stream, 8100, 1); /* which is still open */
    const struct record_refused *refused = worker_wait_for(&scene, RECORD_REFUSED);
    assert_true(refused->reason == REASON_LABEL && refused->t == 8100);
    worker_consume(&scene);
    worker_tick(&scene, stream, 9100);
    struct wire_forecast forecast = worker_next_forecast(&scene);
    assert_int_equal(forecast.n_outputs, 1);
    assert_int_equal(forecast.outputs[0].width, 3);
    const float *p = forecast.outputs[0].at;
    assert_true(p[0] > 0 && p[1] > 0 && p[2] > 0 && fabsf(p[0] + p[1] + p[2] - 1) < 1e-5f);
    assert_int_equal(forecast.labels.n, 2);
    assert_true(forecast.labels.brier > 0 && forecast.labels.brier < 2);
    worker_scene_close(&scene);
}

/* What a label says is known to the steps behind it, not to those before it that wait with it in the ring. */
static void a_label_is_behind_the_ticks_before_it(void **state) {
    (void)state;
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_L, "l/1");
    enum { STEPS = 200 };
    for (int64_t step = 0; step <= STEPS; step++) {
        worker_tick(&scene, stream, step * 1000 + 100);
        if (step > 1)
            give_label(&scene, stream, step * 1000 - 1500, (float)(step % 3));
    }
    double counts[3] = {0};
    for (int64_t step = 1; step <= STEPS; step++) {
        struct wire_forecast forecast = worker_next_forecast(&scene);
        float p[3];
        event_baseline(counts, 3, p);
        assert_true(forecast.source == WIRE_SOURCE_BASELINE && forecast.baseline == WIRE_BASELINE_LABELS);
        assert_memory_equal(forecast.outputs[0].at, p, sizeof p);
        assert_int_equal(forecast.labels.n, step < 2 ? 0 : step - 2);
        if (step >= 2)
            event_count(counts, 3, (int)(step % 3));
    }
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

/* Nobody takes its forecasts: a stream's ticks pile up in the ring, and no more than FIXTURE_PENDING in its
 * history. */
static void pending_steps_have_a_bound(void **state) {
    (void)state;
    enum { TICKS = 3000 };
    struct worker_scene scene;
    worker_scene_open(&scene, "  forecast_ring: 64KiB\n");
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
    for (int64_t t = 1; t <= TICKS; t++)
        worker_tick(&scene, stream, t);
    int64_t began = 0;
    struct worker_counters stuck;
    do {
        assert_true(rig_wait(&began));
        stuck = worker_counters_of(&scene);
    } while (stuck.waits == 0);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    stuck = worker_counters_of(&scene);
    /* Two models forecast each step; the slower has seen half of what was made. A worker that was quicker than its
     * sender waits with few steps. */
    assert_true(stuck.ticks < TICKS);
    assert_in_range(stuck.ticks - stuck.forecasts / 2, 0, FIXTURE_PENDING + 1);
    for (uint64_t i = 0; i < 2 * TICKS; i++) {
        struct wire_forecast forecast = worker_next_forecast(&scene);
        assert_int_equal(forecast.step, i / 2 + 1);
        assert_int_equal(forecast.number, i / 2 + 1); /* also of those that waited longest */
    }
    assert_int_equal(worker_counters_of(&scene).ticks, TICKS);
    assert_true(worker_counters_of(&scene).pending_full > 0); /* when it went on, the ring was full of ticks */
    worker_scene_close(&scene);
}

/* The next record tells that the states of a stream began anew. */
static void hear_anew(struct worker_scene *scene, const char *name, bool gap, int model, uint64_t step) {
    const struct record_anew *anew = worker_wait_for(scene, RECORD_ANEW);
    assert_int_equal(anew->n, strlen(name));
    assert_memory_equal(anew->name, name, anew->n);
    assert_true(anew->gap == gap && anew->model == model);
    assert_int_equal(anew->step, step);
    worker_consume(scene);
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
    ingest_ended(scene.rig.ingest, stream, false);
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
        ingest_ended(scene.rig.ingest, stream, false);
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
        if (step == BEFORE)
            hear_anew(&scene, "c/1", false, -1, BEFORE);
    }
    assert_int_equal(worker_counters_of(&scene).resets_asked, 1);
    worker_scene_close(&scene);
}

static void hear_told(struct worker_scene *scene, enum told what, uint64_t step) {
    const struct record_told *told = worker_wait_for(scene, RECORD_TOLD);
    assert_int_equal(told->what, what);
    assert_int_equal(told->step, step);
    assert_int_equal(told->n, 3);
    assert_memory_equal(told->name, "c/1", 3);
    worker_consume(scene);
}

static enum record_kind next_kind(struct worker_scene *scene) {
    size_t n;
    int64_t began = 0;
    const struct record *record;
    while ((record = ring_peek(worker_output(scene->worker), &n)) == NULL)
        assert_true(rig_wait(&began));
    return record->kind;
}

/* A pause is of the steps behind it, and is told once. */
static void a_pause_stands_in_the_order_of_ticks(void **state) {
    (void)state;
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
    for (int64_t t = 1; t <= 40; t++) {
        worker_tick(&scene, stream, t);
        if (t == 10 || t == 11 || t == 20)
            worker_give(&scene, &(struct record_pause){.kind = RECORD_PAUSE, .stream = stream, .paused = t < 20},
                        sizeof(struct record_pause));
    }
    int told = 0;
    for (uint64_t step = 1; step <= 40; step++)
        for (int model = 0; model < 2; model++) {
            while (next_kind(&scene) == RECORD_TOLD) {
                hear_told(&scene, told == 0 ? TOLD_PAUSED : TOLD_RESUMED, told == 0 ? 10 : 20);
                told++;
            }
            struct wire_forecast forecast = worker_next_forecast(&scene);
            assert_int_equal(forecast.step, step);
            assert_int_equal((forecast.flags & WIRE_FLAG(PAUSED)) != 0, step > 10 && step <= 20);
            assert_true(forecast.values[0] == worker_value((int64_t)step, 0));
        }
    assert_int_equal(told, 2);
    worker_scene_close(&scene);
}

static void give_reset(struct worker_scene *scene, struct stream *stream, int model) {
    worker_give(scene, &(struct record_reset){.kind = RECORD_RESET, .stream = stream, .model = model},
                sizeof(struct record_reset));
}

/* Of one model, of all streams, of all streams in one model. */
static void a_reset_may_be_of_some(void **state) {
    (void)state;
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    worker_promote(&scene, MODEL_M, 1);
    worker_promote(&scene, MODEL_O, 1);
    struct stream *streams[3];
    worker_begin_many(&scene, streams, 3, 0);
    struct stream *other = worker_begin(&scene, CLASS_E, "e/1");
    worker_tick(&scene, other, 1);
    uint64_t since[3][2] = {{0}}; /* the step of the latest reset, by stream and model */
    for (uint64_t round = 0; round < 4; round++) {
        for (int i = 0; i < 3; i++)
            for (uint64_t k = 1; k <= 5; k++)
                worker_tick(&scene, streams[i], (int64_t)(round * 5 + k));
        for (int n = 0; n < 3 * 5 * 2; n++) {
            const struct record_message *message = worker_wait_for(&scene, RECORD_FORECAST);
            int i = message->bytes[message->topic - 2] - '0';
            struct wire_forecast forecast = worker_next_forecast(&scene);
            assert_int_equal(forecast.primed, forecast.step - since[i][forecast.horizon == 2]);
        }
        uint64_t step = round * 5 + 5;
        if (round == 0) {
            give_reset(&scene, streams[1], MODEL_M);
            hear_anew(&scene, "c/1", false, MODEL_M, step);
            since[1][0] = step;
            give_reset(&scene, streams[1], MODEL_X); /* which it has not */
        } else if (round == 1) {
            give_reset(&scene, NULL, MODEL_O);
            for (int i = 0; i < 3; i++) {
                hear_anew(&scene, streams[i]->name, false, MODEL_O, step);
                since[i][1] = step;
            }
        } else if (round == 2) {
            give_reset(&scene, NULL, -1);
            for (int i = 0; i < 3; i++) {
                hear_anew(&scene, streams[i]->name, false, -1, step);
                since[i][0] = since[i][1] = step;
            }
            hear_anew(&scene, "e/1", false, -1, 0);
        }
    }
    assert_int_equal(worker_counters_of(&scene).resets_asked, 1 + 3 + 4);
    worker_scene_close(&scene);
}

/* One of all streams as well, behind the ticks of each. */
static void a_reset_of_all_waits_too(void **state) {
    (void)state;
    enum { STREAMS = 3, BEFORE = 100, AFTER = 10 };
    struct worker_scene scene;
    struct stream *streams[STREAMS];
    worker_scene_open(&scene, "");
    worker_promote(&scene, MODEL_M, 1);
    worker_begin_many(&scene, streams, STREAMS, BEFORE);
    give_reset(&scene, NULL, -1);
    for (int i = 0; i < STREAMS; i++)
        for (int64_t t = 1; t <= AFTER; t++)
            worker_tick(&scene, streams[i], BEFORE + t);
    int told = 0;
    for (int n = 0; n < 2 * STREAMS * (BEFORE + AFTER);) {
        size_t size;
        int64_t began = 0;
        const struct record *record;
        while ((record = ring_peek(worker_output(scene.worker), &size)) == NULL)
            assert_true(rig_wait(&began));
        if (record->kind == RECORD_ANEW) {
            hear_anew(&scene, streams[told++]->name, false, -1, BEFORE);
            continue;
        }
        struct wire_forecast forecast = worker_next_forecast(&scene);
        if (forecast.horizon == 3)
            assert_int_equal(forecast.primed, forecast.step <= BEFORE ? forecast.step : forecast.step - BEFORE);
        n++;
    }
    assert_int_equal(told, STREAMS);
    worker_scene_close(&scene);
}

/* Behind a gap the state begins anew in the step's own turn, however many steps are pending. */
static void a_gap_resets_in_its_turn(void **state) {
    (void)state;
    enum { TICKS = 200 };
    struct worker_scene scene;
    worker_scene_open(&scene, "  events_per_second: 1000\n");
    worker_promote(&scene, MODEL_G, 1);
    struct stream *stream = worker_begin(&scene, CLASS_G, "g/1");
    for (int64_t n = 0; n < TICKS; n++)
        worker_tick(&scene, stream, 10 * n + n / 7 * 1000); /* each seventh comes 1010 later */
    uint64_t seen = 0, told = 0;
    while (seen < TICKS) {
        size_t n;
        int64_t began = 0;
        const struct record *record;
        while ((record = ring_peek(worker_output(scene.worker), &n)) == NULL)
            assert_true(rig_wait(&began));
        if (record->kind == RECORD_ANEW) {
            hear_anew(&scene, "g/1", true, -1, 7 * ++told);
            continue;
        }
        struct wire_forecast forecast = worker_next_forecast(&scene);
        assert_int_equal(forecast.step, ++seen);
        assert_int_equal(forecast.primed, (seen - 1) % 7 + 1);
        assert_int_equal(forecast.flags & WIRE_FLAG(GAP), seen > 1 && seen % 7 == 1 ? WIRE_FLAG(GAP) : 0);
    }
    assert_int_equal(told, (TICKS - 1) / 7);
    assert_int_equal(worker_counters_of(&scene).resets_gap, (TICKS - 1) / 7);
    worker_scene_close(&scene);
}

/* ---- states ------------------------------------------------------------------------------------- */

static struct state_order *give_order(struct worker_scene *scene, struct stream *stream, bool set,
                                      const float *values) {
    struct version *layout = placement_version(scene->rig.placement, MODEL_M);
    struct state_order *order = state_order_new(stream, 0, set, layout);
    assert_non_null(order);
    assert_int_equal(order->n, 8); /* h and c of an LSTM of 4 */
    if (set)
        memcpy(order->values, values, 8 * sizeof *values);
    worker_give(scene, &(struct record_state){RECORD_STATE, order}, sizeof(struct record_state));
    return order;
}

static void order_comes_back(struct worker_scene *scene, const struct state_order *order) {
    assert_ptr_equal(((const struct record_state *)worker_wait_for(scene, RECORD_STATE_DONE))->order, order);
    worker_consume(scene);
}

/* Read behind the ticks before it, set before those behind it. */
static void a_state_is_carried_in_the_order_of_ticks(void **state) {
    (void)state;
    enum { TICKS = 300 };
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    worker_promote(&scene, MODEL_M, 1);
    struct stream *from = worker_begin(&scene, CLASS_C, "c/1"), *to = worker_begin(&scene, CLASS_C, "c/2");
    for (int64_t t = 1; t <= TICKS; t++)
        worker_tick(&scene, from, t);
    struct state_order *read = give_order(&scene, from, false, NULL);
    for (uint64_t i = 0; i < 2 * TICKS; i++)
        assert_int_equal(worker_next_forecast(&scene).step, i / 2 + 1);
    order_comes_back(&scene, read);
    assert_true(read->outcome == STATE_DONE && read->version == 1 && read->step == TICKS && read->primed == TICKS);
    float any = 0;
    for (int i = 0; i < 8; i++)
        any += read->values[i] != 0;
    assert_true(any > 6);

    for (int64_t t = 1; t <= TICKS; t++)
        worker_tick(&scene, to, t);
    give_reset(&scene, to, MODEL_M);
    struct state_order *set = give_order(&scene, to, true, read->values);
    worker_tick(&scene, to, TICKS + 1);
    worker_tick(&scene, from, TICKS + 1);
    for (uint64_t i = 0; i < 2 * TICKS; i++)
        worker_next_forecast(&scene);
    hear_anew(&scene, "c/2", false, MODEL_M, TICKS);
    order_comes_back(&scene, set);
    assert_true(set->outcome == STATE_DONE && set->step == TICKS && set->primed == 0);
    double mean[2][6];
    for (int i = 0, n = 0; i < 4; i++) {
        struct wire_forecast forecast = worker_next_forecast(&scene);
        assert_int_equal(forecast.step, TICKS + 1);
        if (forecast.horizon == 3)
            memcpy(mean[n++], forecast.mean, sizeof mean[0]);
    }
    assert_memory_equal(mean[0], mean[1], sizeof mean[0]);
    state_order_free(read);
    state_order_free(set);
    state_order_free(NULL);
    worker_scene_close(&scene);
}

/* The slot is served by nobody yet, while the bus knows of a version. */
static void a_state_of_nobody_is_told_so(void **state) {
    (void)state;
    struct worker_scene scene;
    worker_scene_open(&scene, "");
    struct stream *stream = worker_begin(&scene, CLASS_C, "c/1");
    struct error err;
    struct network *network = forecaster_network(&scene.rig.config->models[MODEL_M], &err);
    struct version *version = version_new(4, network);
    placement_set_version(scene.rig.placement, MODEL_M, version);
    const float values[8] = {0};
    for (int set = 0; set < 2; set++) {
        struct state_order *order = give_order(&scene, stream, set == 1, values);
        order_comes_back(&scene, order);
        assert_int_equal(order->outcome, STATE_OTHER);
        assert_int_equal(order->version, 0);
        state_order_free(order);
    }
    version_release(version);
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
        cmocka_unit_test(a_few_ticks_need_no_worker),
        cmocka_unit_test(a_step_closes_with_its_interval),
        cmocka_unit_test(a_gap_is_filled),
        cmocka_unit_test(an_interval_closes_by_the_clock),
        cmocka_unit_test(a_label_scores_what_was_forecast),
        cmocka_unit_test(a_label_is_behind_the_ticks_before_it),
        cmocka_unit_test(what_comes_late_is_refused),
        cmocka_unit_test(pending_steps_have_a_bound),
        cmocka_unit_test(an_end_waits_for_the_ticks_before_it),
        cmocka_unit_test(a_slot_is_as_new_for_the_next_stream),
        cmocka_unit_test(a_pause_stands_in_the_order_of_ticks),
        cmocka_unit_test(a_reset_waits_for_the_ticks_before_it),
        cmocka_unit_test(a_reset_may_be_of_some),
        cmocka_unit_test(a_reset_of_all_waits_too),
        cmocka_unit_test(a_gap_resets_in_its_turn),
        cmocka_unit_test(a_state_is_carried_in_the_order_of_ticks),
        cmocka_unit_test(a_state_of_nobody_is_told_so),
        cmocka_unit_test(a_stop_is_said_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
