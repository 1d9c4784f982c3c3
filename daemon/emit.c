#include "daemon/emit.h"

#include "daemon/clock.h"
#include "daemon/records.h"
#include "daemon/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A bundle is closed at this size: large enough to be cheap, small enough to share the ring. */
enum { BUNDLE_BYTES = 128 * 1024 };

struct emitter {
    const struct config *config;
    uint64_t epoch;
    struct ring *ring;
    struct doorbell *bell;
    const struct interest *interest;
    struct wire_text **targets; /* [n_models] names of the targets */
    struct wire_score scores[SCORES_MAX];
    atomic_uint_fast64_t waits, count;
};

struct emitter *emitter_new(const struct config *config, uint64_t epoch, struct ring *ring, struct doorbell *bell,
                            const struct interest *interest) {
    struct emitter *emitter = calloc(1, sizeof *emitter);
    if (emitter == NULL)
        return NULL;
    emitter->config = config;
    emitter->epoch = epoch;
    emitter->ring = ring;
    emitter->bell = bell;
    emitter->interest = interest;
    atomic_init(&emitter->waits, 0);
    atomic_init(&emitter->count, 0);
    emitter->targets = calloc((size_t)config->n_models, sizeof(struct wire_text *));
    for (int m = 0; emitter->targets != NULL && m < config->n_models; m++) {
        const struct config_model *model = &config->models[m];
        emitter->targets[m] = calloc((size_t)model->n_targets, sizeof *emitter->targets[m]);
        if (emitter->targets[m] == NULL) {
            emitter_free(emitter);
            return NULL;
        }
        for (int j = 0; j < model->n_targets; j++) {
            const char *name = config->classes[model->class].features[model->targets[j]];
            emitter->targets[m][j] = (struct wire_text){name, strlen(name)};
        }
    }
    if (emitter->targets != NULL)
        return emitter;
    free(emitter);
    return NULL;
}

void emitter_free(struct emitter *emitter) {
    if (emitter == NULL)
        return;
    for (int m = 0; m < emitter->config->n_models; m++)
        free(emitter->targets[m]);
    free(emitter->targets);
    free(emitter);
}

static struct wire_text text_of(const char *string) {
    return (struct wire_text){string, strlen(string)};
}

static uint32_t flags_of(const struct forecast *forecast) {
    uint32_t flags = 0;
    if (forecast->step_flags & STEP_GAP)
        flags |= WIRE_FLAG(GAP);
    if (forecast->step_flags & STEP_IMPUTED)
        flags |= WIRE_FLAG(MISSING);
    if (forecast->warming)
        flags |= WIRE_FLAG(WARMING);
    return flags;
}

static struct wire_forecast wire_of(struct emitter *emitter, const struct batch *batch, int slot, int64_t now) {
    const struct forecast *forecast = forecaster_latest(batch->forecaster, slot);
    const struct config_model *model = &emitter->config->models[batch->model];
    const struct stream *stream = batch->streams[slot];
    const struct arrival *arrival = stream_arrival(stream, forecast->step);
    for (int i = 0; i < forecast->n_scores; i++) {
        const struct score *score = &forecast->scores[i];
        emitter->scores[i] =
            (struct wire_score){score->h, score->n, score->mae, score->mae_last_value, score->mae_seasonal};
    }
    return (struct wire_forecast){
        .stream = {stream->name, stream->name_length},
        .model = text_of(model->name),
        .version = forecast->version,
        .epoch = emitter->epoch,
        .generation = stream->generation,
        .source_id = arrival->source,
        .number = arrival->number,
        .step = forecast->step,
        .primed = forecast->primed,
        .t = forecast->t,
        .horizon = model->horizon,
        .n_targets = model->n_targets,
        .n_scores = forecast->n_scores,
        .times = forecast->times,
        .targets = emitter->targets[batch->model],
        .values = forecast->values,
        .mean = forecast->mean,
        .scores = emitter->scores,
        .flags = flags_of(forecast),
        .source = forecast->from_network ? WIRE_SOURCE_NETWORK : WIRE_SOURCE_BASELINE,
        .baseline = forecast->baseline == BASELINE_SEASONAL ? WIRE_BASELINE_SEASONAL : WIRE_BASELINE_LAST_VALUE,
        .received = arrival->received,
        .sent = now,
    };
}

size_t emitter_topic(const struct config_model *model, const struct stream *stream, char *topic) {
    static const char head[] = "forecast/";
    size_t n = sizeof head - 1, name = strlen(model->name);
    memcpy(topic, head, n);
    memcpy(topic + n, model->name, name);
    n += name;
    topic[n++] = '/';
    memcpy(topic + n, stream->name, stream->name_length + 1);
    return n + stream->name_length + 1;
}

size_t emitter_max_record(const struct config *config) {
    static const int64_t times[1] = {0};
    size_t most = 0;
    for (int m = 0; m < config->n_models; m++) {
        const struct config_model *model = &config->models[m];
        size_t names = 0;
        for (int j = 0; j < model->n_targets; j++)
            names += strlen(config->classes[model->class].features[model->targets[j]]);
        /* The bound of wire_forecast_bound depends on counts and on the lengths of the texts alone. */
        const struct wire_text longest = {"", names};
        struct wire_forecast forecast = {.stream = {"", WIRE_MAX_NAME},
                                         .model = text_of(model->name),
                                         .horizon = model->horizon,
                                         .n_targets = 1,
                                         .n_scores = SCORES_MAX,
                                         .times = times,
                                         .targets = &longest};
        size_t one = wire_forecast_bound(&forecast);
        size_t numbers = (size_t)(model->horizon + 2) * (size_t)model->n_targets * 9 + (size_t)model->n_targets * 5;
        size_t bound = sizeof(struct record_message) + EMITTER_MAX_TOPIC + one + numbers;
        most = bound > most ? bound : most;
    }
    return most;
}

void *emitter_reserve(struct emitter *emitter, size_t n) {
    void *record = ring_reserve(emitter->ring, n, 0);
    if (record != NULL)
        return record;
    atomic_fetch_add_explicit(&emitter->waits, 1, memory_order_relaxed);
    while ((record = ring_reserve(emitter->ring, n, 0)) == NULL) {
        doorbell_ring(emitter->bell);
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    return record;
}

static void emit_single(struct emitter *emitter, const struct batch *batch, int slot,
                        const struct wire_forecast *forecast) {
    size_t bound = wire_forecast_bound(forecast);
    struct record_message *record = emitter_reserve(emitter, sizeof *record + EMITTER_MAX_TOPIC + bound);
    record->kind = RECORD_FORECAST;
    record->forecasts = 1;
    record->topic = emitter_topic(&emitter->config->models[batch->model], batch->streams[slot], record->bytes);
    record->payload = wire_forecast_encode(forecast, record->bytes + record->topic, bound);
    assert(record->payload > 0);
    ring_commit(emitter->ring, sizeof *record + record->topic + record->payload);
}

/* A bundle of the first of the slots, as many as fit. Returns their number. */
static int emit_bundle(struct emitter *emitter, const struct batch *batch, const int *slots, int n, int64_t now) {
    const char *model = emitter->config->models[batch->model].name;
    size_t most = ring_max_record(emitter->ring);
    most = most < BUNDLE_BYTES ? most : BUNDLE_BYTES;
    struct wire_forecast forecast = wire_of(emitter, batch, slots[0], now);
    /* Streams of a model differ in the lengths of their names alone. */
    size_t bound = wire_forecast_bound(&forecast) + WIRE_MAX_NAME;
    size_t head = sizeof(struct record_message) + EMITTER_MAX_TOPIC + WIRE_ARRAY_HEAD;
    int fit = most > head + bound ? (int)((most - head) / bound) : 1;
    n = n < fit ? n : fit;

    struct record_message *record = emitter_reserve(emitter, head + (size_t)n * bound);
    record->kind = RECORD_BUNDLE;
    record->forecasts = (uint32_t)n;
    record->topic = sizeof "bundle/" - 1 + strlen(model) + 1;
    memcpy(record->bytes, "bundle/", sizeof "bundle/" - 1);
    memcpy(record->bytes + sizeof "bundle/" - 1, model, strlen(model) + 1);
    char *at = record->bytes + record->topic;
    wire_array_head(at, (uint32_t)n);
    at += WIRE_ARRAY_HEAD;
    for (int i = 0; i < n; i++) {
        if (i > 0)
            forecast = wire_of(emitter, batch, slots[i], now);
        size_t used = wire_forecast_encode(&forecast, at, bound);
        assert(used > 0);
        at += used;
    }
    record->payload = (size_t)(at - record->bytes) - record->topic;
    ring_commit(emitter->ring, sizeof *record + record->topic + record->payload);
    return n;
}

void emitter_forecasts(struct emitter *emitter, struct batch *batch, const int *slots, int n) {
    int64_t now = clock_realtime();
    atomic_fetch_add_explicit(&emitter->count, (uint64_t)n, memory_order_relaxed);
    if (atomic_load_explicit(&emitter->interest->bundle, memory_order_relaxed))
        for (int done = 0; done < n;)
            done += emit_bundle(emitter, batch, slots + done, n - done, now);
    if (!atomic_load_explicit(&emitter->interest->single, memory_order_relaxed))
        return;
    for (int i = 0; i < n; i++) {
        struct wire_forecast forecast = wire_of(emitter, batch, slots[i], now);
        emit_single(emitter, batch, slots[i], &forecast);
    }
}

void emitter_repeat(struct emitter *emitter, struct batch *batch, int slot) {
    struct wire_forecast forecast = wire_of(emitter, batch, slot, clock_realtime());
    forecast.flags |= WIRE_FLAG(REPEAT);
    emit_single(emitter, batch, slot, &forecast);
}

uint64_t emitter_waits(const struct emitter *emitter) {
    return atomic_load_explicit(&emitter->waits, memory_order_relaxed);
}

uint64_t emitter_count(const struct emitter *emitter) {
    return atomic_load_explicit(&emitter->count, memory_order_relaxed);
}
