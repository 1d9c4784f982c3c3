#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/worker_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define REST \
    "workers: 1\nstreams:\n" \
    "  - {class: c, pattern: 'c/*', features: [a, b], history: 96}\n" \
    "  - {class: e, pattern: 'e/*', features: [a, b], history: 32, every: 1us}\n" \
    "  - {class: g, pattern: 'g/*', features: [a, b], history: 32, gap: reset, gap_after: 1us}\n" \
    "  - {class: l, pattern: 'l/*', features: [a, b], history: 32, every: 1us}\n" \
    "  - {class: t, pattern: 't/*', features: [a, b], history: 96, pending: 4, every: 1us, aggregate: sum,\n" \
    "     same_time: replace, gap: fill}\n" \
    "models:\n" RIG_MODEL_OF("m", "c") \
        RIG_MODEL_OF("x", "e") "  - {name: o, class: c, horizon: 2, batch_size: 3, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n" RIG_MODEL_OF( \
            "g", \
            "g") "  - {name: l, class: l, head: event, classes: 3, batch_size: 2, layers: [], training: {window: 8, burn_in: 0, unroll: 8}}\n" RIG_MODEL_OF("t", \
                                                                                                                                                            "t")

void worker_scene_open(struct worker_scene *scene, const char *bus) {
    *scene = (struct worker_scene){0};
    const struct rig_setup setup = {.bus = bus, .rest = REST};
    rig_open(&scene->rig, &setup);
    scene->worker = scene->rig.workers[0];
    atomic_store(&scene->rig.interest.single, true);
}

void worker_scene_close(struct worker_scene *scene) {
    wire_arena_fini(&scene->arena);
    rig_close(&scene->rig);
}

void worker_scene_close_stopped(struct worker_scene *scene) {
    worker_stop(scene->worker);
    /* The rig is to ask nobody to stop. */
    scene->rig.idle = true;
    scene->rig.workers[0] = idle_worker_new(scene->rig.config, 4096);
    worker_scene_close(scene);
}

void worker_give(struct worker_scene *scene, const void *record, size_t n) {
    int64_t began = 0;
    while (!ingest_command(scene->rig.ingest, 0, record, n))
        assert_true(rig_wait(&began));
}

struct stream *worker_begin(struct worker_scene *scene, int class, const char *name) {
    size_t n = strlen(name);
    struct stream *stream =
        stream_new(scene->rig.config, streams_pool(scene->rig.streams), class, name, n,
                   streams_generation(scene->rig.streams, name, n), placement_n_models(scene->rig.placement, class));
    assert_non_null(stream);
    assert_int_equal(placement_acquire(scene->rig.placement, stream, -1), 0);
    assert_int_equal(streams_reserve(scene->rig.streams), 0);
    streams_add(scene->rig.streams, stream);
    worker_give(scene, &(struct record_open){.kind = RECORD_OPEN, .stream = stream}, sizeof(struct record_open));
    return stream;
}

void worker_begin_many(struct worker_scene *scene, struct stream **ret_streams, int n, int steps) {
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "c/%d", i);
        ret_streams[i] = worker_begin(scene, CLASS_C, name);
        for (int64_t t = 1; t <= steps; t++)
            worker_tick(scene, ret_streams[i], t);
    }
}

void worker_command(struct worker_scene *scene, enum record_kind kind, struct stream *stream) {
    if (kind == RECORD_END)
        streams_remove(scene->rig.streams, stream);
    if (kind == RECORD_RESET)
        worker_give(scene, &(struct record_reset){.kind = kind, .stream = stream, .model = -1},
                    sizeof(struct record_reset));
    else
        worker_give(scene, &(struct record_stream){kind, stream}, sizeof(struct record_stream));
}

double worker_value(int64_t t, int feature) {
    return sin(0.3 * (double)t) + feature;
}

void worker_tick(struct worker_scene *scene, struct stream *stream, int64_t t) {
    _Alignas(struct record_tick) char buffer[sizeof(struct record_tick) + 2 * sizeof(double)];
    struct record_tick *record = (struct record_tick *)(void *)buffer;
    *record =
        (struct record_tick){.kind = RECORD_TICK, .stream = stream, .t = t, .arrival = {0, 1, ++scene->number, 1}};
    const double values[2] = {worker_value(t, 0), worker_value(t, 1)};
    memcpy(record->values, values, sizeof values);
    worker_give(scene, buffer, sizeof buffer);
}

const void *worker_wait_for(struct worker_scene *scene, enum record_kind kind) {
    size_t n;
    int64_t began = 0;
    const struct record *record;
    for (;;) {
        while ((record = ring_peek(worker_output(scene->worker), &n)) == NULL)
            if (!rig_wait(&began))
                fail_msg("no record of kind %d comes", (int)kind);
        if (record->kind != RECORD_TOLD || kind == RECORD_TOLD)
            break;
        worker_consume(scene); /* a verdict, on networks that have learnt nothing */
    }
    assert_int_equal(record->kind, kind);
    return record;
}

void worker_consume(struct worker_scene *scene) {
    ring_consume(worker_output(scene->worker));
}

struct wire_forecast worker_next_forecast(struct worker_scene *scene) {
    const struct record_message *message = worker_wait_for(scene, RECORD_FORECAST);
    struct wire_forecast forecast;
    assert_true(wire_forecast_decode(message->bytes + message->topic, message->payload, &scene->arena, &forecast) >
                0);
    worker_consume(scene);
    return forecast;
}

struct worker_counters worker_counters_of(const struct worker_scene *scene) {
    struct worker_counters counters;
    worker_counters(scene->worker, &counters);
    return counters;
}

static struct version *seeded(const struct worker_scene *scene, int model, uint64_t number) {
    struct error err;
    struct network *network = forecaster_network(&scene->rig.config->models[model], &err);
    assert_non_null(network);
    network_init_weights(network, number);
    struct version *version = version_new(number, network);
    assert_non_null(version);
    return version;
}

void worker_promote(struct worker_scene *scene, int model, uint64_t number) {
    struct version *version = seeded(scene, model, number);
    placement_set_version(scene->rig.placement, model, version);
    worker_give(scene, &(struct record_version){RECORD_VERSION, model, version}, sizeof(struct record_version));
}

void worker_shadow(struct worker_scene *scene, int model, uint64_t number, uint64_t trial) {
    struct version *version = seeded(scene, model, number);
    worker_give(scene, &(struct record_shadow){RECORD_SHADOW, model, version, trial}, sizeof(struct record_shadow));
}
