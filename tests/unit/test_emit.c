#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/emit.h"

#include "daemon/records.h"
#include "daemon/wire.h"
#include "tests/support/bus_fixture.h"

#include <math.h>
#include <pthread.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A batch of the first model with streams in its first slots, and an emitter to a ring. */
struct scene {
    struct config *config;
    struct batch *batch;
    struct stream **streams;
    int n;
    struct ring *ring;
    struct doorbell bell;
    struct interest interest;
    struct emitter *emitter;
    struct wire_arena arena;
};

static void open_scene(struct scene *scene, struct config *config, int n, size_t ring_bytes, const char *name) {
    *scene = (struct scene){.config = config, .n = n, .ring = ring_new(ring_bytes)};
    atomic_init(&scene->interest.single, true);
    atomic_init(&scene->interest.bundle, false);
    assert_int_equal(doorbell_init(&scene->bell), 0);
    scene->emitter = emitter_new(config, 99, scene->ring, &scene->bell, &scene->interest);
    scene->batch = batch_new(config, 0, 0, 0, kernels_choose(), NULL, NULL);
    scene->streams = calloc((size_t)n, sizeof(struct stream *));
    assert_true(scene->emitter != NULL && scene->batch != NULL && scene->streams != NULL);
    for (int i = 0; i < n; i++) {
        char numbered[300];
        snprintf(numbered, sizeof numbered, name, i);
        struct stream *stream = scene->streams[i] =
            stream_new(config, rig_pool(), 0, numbered, strlen(numbered), 4, 1);
        assert_non_null(stream);
        stream->places[0] = (struct place){scene->batch, i};
        scene->batch->streams[i] = stream;
        forecaster_acquire(scene->batch->forecaster, i, stream->series->history);
    }
}

static void close_scene(struct scene *scene) {
    emitter_free(scene->emitter);
    batch_free(scene->batch);
    for (int i = 0; i < scene->n; i++)
        stream_free(scene->streams[i]);
    free(scene->streams);
    ring_free(scene->ring);
    doorbell_fini(&scene->bell);
    wire_arena_fini(&scene->arena);
    config_free(scene->config);
}

/* A step of each stream: values that tell step, stream and feature; and its advance. */
static double value_of(uint64_t step, int slot, int feature) {
    return (double)step + 100 * slot + 0.25 * feature + (double)(slot % 3) * (double)(7 * step * step % 11);
}

static void advance(struct scene *scene, int64_t t) {
    int n_features = scene->config->classes[0].n_features;
    double *values = calloc((size_t)n_features, sizeof *values);
    int *slots = calloc((size_t)scene->n, sizeof *slots);
    assert_true(values != NULL && slots != NULL);
    for (int i = 0; i < scene->n; i++) {
        struct stream *stream = scene->streams[i];
        uint64_t step = stream->series->history->n + 1;
        for (int f = 0; f < n_features; f++)
            values[f] = value_of(step, i, f);
        enum time_verdict verdict;
        assert_int_equal(series_take(stream->series, t, values, &verdict), 1);
        *stream_arrival(stream, step) = (struct arrival){1, 1, 1000 * step + (uint64_t)i, 5000 + (int64_t)step};
        slots[i] = i;
    }
    forecaster_advance(scene->batch->forecaster, slots, scene->n);
    free(values);
    free(slots);
}

static void emit(struct scene *scene) {
    int *slots = calloc((size_t)scene->n, sizeof *slots);
    assert_non_null(slots);
    for (int i = 0; i < scene->n; i++)
        slots[i] = i;
    emitter_forecasts(scene->emitter, scene->batch, slots, scene->n, 0);
    emitter_flush(scene->emitter);
    free(slots);
}

static const struct record_message *take(struct scene *scene, enum record_kind kind) {
    size_t n;
    const struct record_message *message = ring_peek(scene->ring, &n);
    assert_non_null(message);
    assert_int_equal(message->kind, kind);
    assert_int_equal(n, sizeof *message + message->topic + message->payload);
    assert_int_equal(message->bytes[message->topic - 1], '\0');
    return message;
}

static void assert_same_float(float a, float b) {
    assert_true(a == b || (isnan(a) && !isfinite(b)));
}

/* Those of the forecast, or outside of them by a little. */
static void assert_intervals(const struct wire_forecast *wire, const struct config_model *model,
                             const struct forecast *forecast) {
    static double lower[2 * 4096], upper[2 * 4096];
    int each = model->horizon * model->n_targets;
    assert_int_equal(wire->n_intervals, model->n_levels);
    forecast_intervals(model, forecast, lower, upper);
    for (int l = 0; l < model->n_levels; l++) {
        assert_true(wire->intervals[l].level == model->levels[l]);
        for (int i = 0; i < each; i++) {
            double low = wire->intervals[l].lower[i], high = wire->intervals[l].upper[i];
            double most = (upper[l * each + i] - lower[l * each + i]) / 2000;
            assert_int_equal(isnan(low), isnan(lower[l * each + i]));
            if (isnan(low))
                continue;
            assert_true(low <= lower[l * each + i] && low >= lower[l * each + i] - most);
            assert_true(high >= upper[l * each + i] && high <= upper[l * each + i] + most);
        }
    }
}

/* A forecast as it was read, which must be the slot's latest. */
static void expect_latest(struct scene *scene, struct wire_forecast wire, int slot, uint32_t flags) {
    const struct forecast *forecast = forecaster_latest(scene->batch->forecaster, slot);
    const struct config_model *model = &scene->config->models[0];
    const struct stream *stream = scene->streams[slot];
    assert_int_equal(wire.stream.n, stream->name_length);
    assert_memory_equal(wire.stream.at, stream->name, stream->name_length);
    assert_int_equal(wire.model.n, strlen(model->name));
    assert_memory_equal(wire.model.at, model->name, wire.model.n);
    assert_int_equal(wire.version, forecast->version);
    assert_int_equal(wire.epoch, 99);
    assert_int_equal(wire.generation, 4);
    assert_int_equal(wire.source_id, 1);
    assert_int_equal(wire.number, 1000 * forecast->step + (uint64_t)slot);
    assert_int_equal(wire.received, 5000 + (int64_t)forecast->step);
    assert_true(wire.sent > wire.received);
    assert_int_equal(wire.step, forecast->step);
    assert_int_equal(wire.primed, forecast->primed);
    assert_int_equal(wire.t, forecast->t);
    assert_int_equal(wire.flags, flags | (forecast->capped ? WIRE_FLAG(CAPPED) : 0));
    assert_int_equal(wire.source, forecast->from_network ? WIRE_SOURCE_NETWORK : WIRE_SOURCE_BASELINE);
    assert_int_equal(wire.baseline, model->period > 0 ? WIRE_BASELINE_SEASONAL : WIRE_BASELINE_LAST_VALUE);
    assert_int_equal(wire.horizon, model->horizon);
    assert_int_equal(wire.n_targets, model->n_targets);
    assert_int_equal(wire.n_scores, forecast->n_scores);
    assert_int_equal(wire.times == NULL, forecast->times == NULL);
    for (int h = 0; wire.times != NULL && h < model->horizon; h++)
        assert_int_equal(wire.times[h], forecast->times[h]);
    for (int j = 0; j < model->n_targets; j++) {
        const char *name = scene->config->classes[0].features[model->targets[j]];
        assert_int_equal(wire.targets[j].n, strlen(name));
        assert_memory_equal(wire.targets[j].at, name, strlen(name));
        assert_true(wire.values[j] == value_of(forecast->step, slot, model->targets[j]));
    }
    for (int i = 0; i < model->horizon * model->n_targets; i++)
        assert_memory_equal(&wire.mean[i], &forecast->mean[i], sizeof *wire.mean);
    for (int i = 0; i < wire.n_scores; i++) {
        assert_int_equal(wire.scores[i].h, forecast->scores[i].h);
        assert_int_equal(wire.scores[i].n, forecast->scores[i].n);
        assert_same_float(wire.scores[i].recent.mae, forecast->scores[i].recent.mae);
        assert_same_float(wire.scores[i].all.rmse, (float)score_rmse(&forecast->scores[i].all));
        assert_same_float(wire.scores[i].recent.mase,
                          (float)score_mase(&forecast->scores[i].recent, &forecast->scores[0].recent));
        for (int l = 0; l < model->n_levels; l++) {
            const struct score_level *level = &forecast->score_levels[i * model->n_levels + l];
            assert_same_float(wire.scores[i].recent.coverage[l], level->coverage);
            assert_same_float(wire.scores[i].all.coverage[l], (float)score_coverage(level));
            assert_same_float(wire.scores[i].all.width[l], level->width_all);
        }
    }
    assert_intervals(&wire, model, forecast);
    double sum = 0;
    int n_shares = 0;
    for (int e = 0; e < EXPERT_COUNT; e++) {
        if (!(forecast->shares[e] > 0))
            continue;
        assert_true(n_shares < wire.n_shares && wire.shares[n_shares].share == forecast->shares[e]);
        assert_int_equal(wire.shares[n_shares].expert.n, strlen(expert_name((enum expert)e)));
        assert_memory_equal(wire.shares[n_shares].expert.at, expert_name((enum expert)e),
                            wire.shares[n_shares].expert.n);
        sum += (double)wire.shares[n_shares++].share;
    }
    assert_int_equal(n_shares, wire.n_shares);
    assert_true(fabs(sum - 1) < 1e-5);
    assert_true(isnan(forecast->anomaly) ? isnan(wire.anomaly) : wire.anomaly == forecast->anomaly);
}

static void expect_single(struct scene *scene, int slot, uint32_t flags) {
    const struct record_message *message = take(scene, RECORD_FORECAST);
    assert_int_equal(message->forecasts, 1);
    char topic[600];
    snprintf(topic, sizeof topic, "forecast/%s/%s", scene->config->models[0].name, scene->streams[slot]->name);
    assert_string_equal(message->bytes, topic);
    struct wire_forecast wire;
    assert_int_equal(wire_forecast_decode(message->bytes + message->topic, message->payload, &scene->arena, &wire),
                     message->payload);
    expect_latest(scene, wire, slot, flags);
    ring_consume(scene->ring);
}

static void expect_empty(struct scene *scene) {
    size_t n;
    assert_null(ring_peek(scene->ring, &n));
}

static void want(struct scene *scene, bool single, bool bundle) {
    atomic_store(&scene->interest.single, single);
    atomic_store(&scene->interest.bundle, bundle);
}

/* ---- what is emitted ---------------------------------------------------------------------------- */

#define TWO_TARGETS RIG_CLASS "models:\n" RIG_MODEL_OF("m", "c") "    targets: [b, a]\n"

static void a_forecast_is_the_slots_latest(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, rig_config("", TWO_TARGETS), 2, 65536, "c/%d");
    for (int64_t t = 1; t <= 10; t++) {
        advance(&scene, t * 1000);
        emit(&scene);
        expect_single(&scene, 0, 0);
        expect_single(&scene, 1, 0);
        expect_empty(&scene);
    }
    assert_int_equal(emitter_count(scene.emitter), 20);
    assert_int_equal(emitter_waits(scene.emitter), 0);
    close_scene(&scene);
}

static void flags_tell_of_warming_gaps_and_missing_values(void **state) {
    (void)state;
    struct scene scene;
    struct config *config =
        rig_config("", "streams:\n  - {class: c, pattern: '*', features: [a, b], every: 1us, history: 32}\n"
                       "models:\n" RIG_MODEL_OF("m", "c"));
    open_scene(&scene, config, 1, 65536, "c/%d");
    struct error err;
    struct network *network = forecaster_network(&config->models[0], &err);
    network_init_weights(network, 1);
    struct version *version = version_new(6, network);
    assert_int_equal(forecaster_propose(scene.batch->forecaster, version), 0);
    while (!forecaster_prime(scene.batch->forecaster))
        ;
    version_release(version);
    struct history *history = scene.streams[0]->series->history;
    static const struct {
        bool gap, missing;
        uint32_t flags;
    } steps[] = {{false, false, WIRE_FLAG(WARMING)},
                 {false, false, 0},
                 {true, false, WIRE_FLAG(GAP)},
                 {false, true, WIRE_FLAG(MISSING)},
                 {true, true, WIRE_FLAG(GAP) | WIRE_FLAG(MISSING)}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const double values[2] = {1, steps[i].missing ? NAN : 2};
        history_append(history, 1000 * (int64_t)i, values, steps[i].gap);
        forecaster_advance(scene.batch->forecaster, &(int){0}, 1);
        emit(&scene);
        const struct record_message *message = take(&scene, RECORD_FORECAST);
        struct wire_forecast wire;
        assert_int_equal(wire_forecast_decode(message->bytes + message->topic, message->payload, &scene.arena, &wire),
                         message->payload);
        assert_int_equal(wire.flags & ~WIRE_FLAG(CAPPED), steps[i].flags);
        assert_int_equal(wire.source, WIRE_SOURCE_NETWORK);
        assert_int_equal(wire.version, 6);
        assert_int_equal(wire.primed, i + 1);
        assert_int_equal(isnan(wire.values[1]), steps[i].missing);
        ring_consume(scene.ring);
    }
    close_scene(&scene);
}

static void only_what_somebody_wants_is_made(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, rig_config("", TWO_TARGETS), 2, 65536, "c/%d");
    advance(&scene, 1);
    want(&scene, false, false);
    emit(&scene);
    expect_empty(&scene);
    assert_int_equal(emitter_count(scene.emitter), 2); /* forecast all the same */
    want(&scene, true, true);
    emit(&scene);
    const struct record_message *message = take(&scene, RECORD_BUNDLE);
    assert_string_equal(message->bytes, "bundle/m");
    assert_int_equal(message->forecasts, 2);
    ring_consume(scene.ring);
    expect_single(&scene, 0, 0);
    expect_single(&scene, 1, 0);
    want(&scene, false, true);
    emit(&scene);
    take(&scene, RECORD_BUNDLE);
    ring_consume(scene.ring);
    expect_empty(&scene);
    close_scene(&scene);
}

static void a_repeat_is_flagged(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, rig_config("", TWO_TARGETS), 2, 65536, "c/%d");
    advance(&scene, 1);
    want(&scene, false, false); /* it was asked for: sent all the same */
    emitter_repeat(scene.emitter, scene.batch, 1);
    expect_single(&scene, 1, WIRE_FLAG(REPEAT));
    expect_empty(&scene);
    assert_int_equal(emitter_count(scene.emitter), 0);
    close_scene(&scene);
}

/* Reads a bundle of the slots' latest forecasts from the first one on. Returns how many; adds up bytes of whole maps. */
static int expect_bundle(struct scene *scene, int first, size_t *whole) {
    const struct record_message *message = take(scene, RECORD_BUNDLE);
    const char *at = message->bytes + message->topic, *end = at + message->payload;
    struct wire_forecast wire;
    uint32_t count;
    at += wire_array_open(at, message->payload, &count);
    assert_int_equal(count, message->forecasts);
    for (uint32_t i = 0; i < count; i++) {
        size_t used = i == 0 ? wire_forecast_decode(at, (size_t)(end - at), &scene->arena, &wire)
                             : wire_forecast_decode_next(at, (size_t)(end - at), &scene->arena, &wire);
        assert_true(used > 0);
        expect_latest(scene, wire, first + (int)i, 0);
        *whole += wire_forecast_bound(&wire);
        at += used;
    }
    assert_ptr_equal(at, end);
    ring_consume(scene->ring);
    return (int)count;
}

/* Over calls of one go, until it is full, something else comes, or the go is over. */
static void a_bundle_goes_on(void **state) {
    (void)state;
    struct scene scene;
    struct config *config = rig_config("", TWO_TARGETS);
    config->models[0].batch_size = 6;
    open_scene(&scene, config, 6, 65536, "c/%d");
    advance(&scene, 1);
    advance(&scene, 1001);
    want(&scene, false, true);
    const int slots[] = {0, 1, 2, 3, 4, 5};
    size_t whole = 0;

    emitter_forecasts(scene.emitter, scene.batch, slots, 2, 4);
    emitter_forecasts(scene.emitter, scene.batch, slots + 2, 1, 3);
    emitter_forecasts(scene.emitter, scene.batch, slots + 3, 3, 0);
    expect_empty(&scene);
    emitter_flush(scene.emitter);
    assert_int_equal(expect_bundle(&scene, 0, &whole), 6);
    emitter_flush(scene.emitter); /* there is none */
    expect_empty(&scene);

    emitter_forecasts(scene.emitter, scene.batch, slots, 2, 4);
    struct record *record = emitter_reserve(scene.emitter, sizeof *record);
    assert_int_equal(expect_bundle(&scene, 0, &whole), 2);
    record->kind = RECORD_STOPPED;
    ring_commit(scene.ring, sizeof *record);
    emitter_forecasts(scene.emitter, scene.batch, slots + 2, 4, 0);
    size_t n;
    assert_int_equal(((struct record *)ring_peek(scene.ring, &n))->kind, RECORD_STOPPED);
    ring_consume(scene.ring);
    expect_empty(&scene);
    emitter_flush(scene.emitter);
    assert_int_equal(expect_bundle(&scene, 2, &whole), 4);

    emitter_forecasts(scene.emitter, scene.batch, slots, 2, 0); /* room for these */
    for (int i = 2; i < 6; i++)
        emitter_forecasts(scene.emitter, scene.batch, slots + i, 1, 0);
    emitter_flush(scene.emitter);
    int seen = 0, bundles = 0;
    for (; ring_peek(scene.ring, &n) != NULL; bundles++)
        seen += expect_bundle(&scene, seen, &whole);
    assert_true(seen == 6 && bundles > 1);

    want(&scene, true, true); /* singles end it */
    emitter_forecasts(scene.emitter, scene.batch, slots, 2, 4);
    emitter_forecasts(scene.emitter, scene.batch, slots + 2, 1, 0);
    emitter_flush(scene.emitter);
    assert_int_equal(expect_bundle(&scene, 0, &whole), 2);
    expect_single(&scene, 0, 0);
    expect_single(&scene, 1, 0);
    assert_int_equal(expect_bundle(&scene, 2, &whole), 1);
    expect_single(&scene, 2, 0);
    expect_empty(&scene);
    close_scene(&scene);
}

/* Streams with shares, flags, times and scores of their own, some behind the others. */
static void bundles_tell_what_differs(void **state) {
    (void)state;
    enum { SLOTS = 12, STEPS = 60 };
    struct scene scene;
    open_scene(&scene,
               rig_config("",
                          RIG_CLASS "models:\n  - {name: m, class: c, horizon: 3, batch_size: 12, layers: [lstm: 4], "
                                    "targets: [b, a], experts: light, train: false}\n"),
               SLOTS, 1 << 20, "c/%d");
    want(&scene, false, true);
    int unlike = 0;
    for (int step = 1; step <= STEPS; step++) {
        size_t whole = 0;
        scene.n = step % 4 == 0 ? SLOTS / 2 : SLOTS;
        advance(&scene, step * 1000);
        scene.n = SLOTS;
        if (step < 4)
            continue;
        emit(&scene);
        assert_int_equal(expect_bundle(&scene, 0, &whole), SLOTS);
        expect_empty(&scene);
        for (int i = 1; i < SLOTS; i++)
            unlike +=
                memcmp(forecaster_latest(scene.batch->forecaster, i)->shares,
                       forecaster_latest(scene.batch->forecaster, i - 1)->shares, EXPERT_COUNT * sizeof(float)) != 0;
    }
    assert_true(unlike > STEPS);
    close_scene(&scene);
}

/* Many slots: bundles of bounded size, in which each forecast stands once, in order. */
static void bundles_are_split(void **state) {
    (void)state;
    enum { SLOTS = 700 };
    struct scene scene;
    struct config *config = rig_config("", TWO_TARGETS);
    config->models[0].batch_size = SLOTS;
    open_scene(&scene, config, SLOTS, 1 << 20, "c/a-stream-of-a-longer-name-%d");
    advance(&scene, 1);
    want(&scene, false, true);
    emit(&scene);
    int seen = 0, bundles = 0;
    size_t n, whole = 0, all = 0;
    while (ring_peek(scene.ring, &n) != NULL) {
        assert_true(n <= 128 * 1024);
        all += n;
        seen += expect_bundle(&scene, seen, &whole);
        bundles++;
    }
    assert_int_equal(seen, SLOTS);
    assert_true(bundles > 1 && bundles <= 4); /* filled */
    assert_true(all < whole / 4);
    close_scene(&scene);
}

/* ---- bounds ------------------------------------------------------------------------------------- */

/* A name of n bytes that ends in a number. */
static char *long_name(char *name, size_t n, int number) {
    memset(name, 'n', n);
    name[n] = '\0';
    for (; number > 0; number /= 10)
        name[--n] = (char)('0' + number % 10);
    return name;
}

static struct config *largest_config(int n_features, int horizon, int batch_size) {
    static char text[1024 * 300 + 4096];
    char name[256];
    char *at = text + sprintf(text, "streams:\n  - class: c\n    pattern: '*'\n    history: 8192\n    features: [");
    for (int f = 0; f < n_features; f++)
        at += sprintf(at, "%s%s", f > 0 ? ", " : "", long_name(name, 255, f));
    sprintf(at, "]\nmodels:\n  - {name: %s, class: c, horizon: %d, batch_size: %d, layers: []}\n",
            long_name(name, 255, 0), horizon, batch_size);
    return rig_config("  forecast_ring: 1GiB\n", text);
}

/* The largest forecasts there can be: all numbers as long as they get, all names as long as they may be. */
static void the_longest_record_is_known(void **state) {
    (void)state;
    static const struct { int n_features, horizon; } sizes[] = {{1, 1}, {1, 4096}, {16, 100}, {1024, 1}, {1024, 16}};
    char name[256];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct scene scene;
        struct config *config = largest_config(sizes[i].n_features, sizes[i].horizon, 1);
        size_t bound = emitter_max_record(config);
        open_scene(&scene, config, 1, 8 * bound, long_name(name, 255, 0));
        scene.streams[0]->generation = UINT32_MAX;
        /* The time's steps are such that target times are known and long. */
        for (int64_t t = 0; t < 3; t++)
            advance(&scene, INT64_MIN / 2 + t * INT64_C(1000000000000));
        struct arrival *arrival = stream_arrival(scene.streams[0], 3);
        *arrival = (struct arrival){UINT32_MAX, 1, UINT64_MAX, INT64_MIN};
        for (int bundle = 0; bundle < 2; bundle++) {
            size_t n;
            want(&scene, !bundle, bundle);
            emit(&scene);
            const struct record_message *message = take(&scene, bundle ? RECORD_BUNDLE : RECORD_FORECAST);
            ring_peek(scene.ring, &n);
            assert_true(n <= bound);
            assert_true(bound < 4096 + 6 * n); /* rings are sized by it */
            struct wire_forecast wire;
            size_t head = bundle ? WIRE_ARRAY_HEAD : 0;
            assert_int_equal(wire_forecast_decode(message->bytes + message->topic + head, message->payload - head,
                                                  &scene.arena, &wire) +
                                 head,
                             message->payload);
            assert_non_null(wire.times);
            ring_consume(scene.ring);
        }
        close_scene(&scene);
    }
}

/* Even a ring that holds few of them takes bundles of them, in which names differ in length. */
static void bundles_of_the_largest_fit_into_the_smallest_ring(void **state) {
    (void)state;
    enum { SLOTS = 6 };
    struct scene scene;
    struct config *config = largest_config(1024, 16, SLOTS);
    open_scene(&scene, config, SLOTS, 8 * emitter_max_record(config), "s%d");
    char name[256];
    stream_free(scene.streams[3]);
    struct stream *stream = scene.streams[3] = stream_new(config, rig_pool(), 0, long_name(name, 255, 3), 255, 4, 1);
    stream->places[0] = (struct place){scene.batch, 3};
    scene.batch->streams[3] = stream;
    forecaster_release(scene.batch->forecaster, 3);
    forecaster_acquire(scene.batch->forecaster, 3, stream->series->history);
    advance(&scene, 1);
    want(&scene, false, true);
    int seen = 0;
    size_t n;
    for (emit(&scene); ring_peek(scene.ring, &n) != NULL; ring_consume(scene.ring))
        seen += (int)take(&scene, RECORD_BUNDLE)->forecasts;
    assert_int_equal(seen, SLOTS);
    close_scene(&scene);
}

static void the_longest_topic_fits(void **state) {
    (void)state;
    char name[256], topic[EMITTER_MAX_TOPIC];
    struct config *config = largest_config(1, 1, 1);
    struct stream *stream = stream_new(config, rig_pool(), 0, long_name(name, 255, 7), 255, 1, 1);
    size_t n = emitter_topic(&config->models[0], stream, topic);
    assert_int_equal(n, strlen("forecast/") + 255 + 1 + 255 + 1);
    assert_true(n <= EMITTER_MAX_TOPIC);
    assert_int_equal(topic[n - 1], '\0');
    assert_string_equal(topic + n - 256, name);
    stream_free(stream);
    config_free(config);
}

/* ---- a full ring -------------------------------------------------------------------------------- */

struct consumer {
    struct scene *scene;
    int forecasts;
};

/* Takes its time at first, and then takes everything. */
static void *consume(void *context) {
    struct consumer *consumer = context;
    struct scene *scene = consumer->scene;
    doorbell_arm(&scene->bell);
    doorbell_wait(&scene->bell, RIG_WAIT_MS); /* rung by who has no room */
    doorbell_disarm(&scene->bell);
    int64_t began = 0;
    size_t n;
    while (consumer->forecasts < 1000 && (ring_peek(scene->ring, &n) != NULL || rig_wait(&began)))
        if (ring_peek(scene->ring, &n) != NULL) {
            consumer->forecasts++;
            ring_consume(scene->ring);
        }
    return NULL;
}

static void a_full_ring_makes_the_worker_wait(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, rig_config("", TWO_TARGETS), 2, 8192, "c/%d");
    advance(&scene, 1);
    struct consumer consumer = {.scene = &scene};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, consume, &consumer), 0);
    for (int i = 0; i < 500; i++)
        emit(&scene);
    pthread_join(thread, NULL);
    assert_int_equal(consumer.forecasts, 1000); /* none is lost */
    assert_in_range(emitter_waits(scene.emitter), 1, 1000);
    assert_int_equal(emitter_count(scene.emitter), 1000);
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forecast_is_the_slots_latest),
        cmocka_unit_test(flags_tell_of_warming_gaps_and_missing_values),
        cmocka_unit_test(only_what_somebody_wants_is_made),
        cmocka_unit_test(a_repeat_is_flagged),
        cmocka_unit_test(a_bundle_goes_on),
        cmocka_unit_test(bundles_tell_what_differs),
        cmocka_unit_test(bundles_are_split),
        cmocka_unit_test(the_longest_record_is_known),
        cmocka_unit_test(bundles_of_the_largest_fit_into_the_smallest_ring),
        cmocka_unit_test(the_longest_topic_fits),
        cmocka_unit_test(a_full_ring_makes_the_worker_wait),
    };
    emitter_free(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
