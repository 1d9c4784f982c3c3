#include "daemon/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct batch *batch_new(const struct config *config, int model, int id, int worker, const struct kernels *kernels,
                        struct version *version, struct workspace *workspace) {
    const struct config_model *of = &config->models[model];
    size_t slots = (size_t)of->batch_size;
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    batch->model = model;
    batch->id = id;
    batch->worker = worker;
    batch->free_slots = calloc(slots, sizeof *batch->free_slots);
    batch->streams = calloc(slots, sizeof(struct stream *));
    batch->ready = calloc(slots, sizeof *batch->ready);
    batch->is_ready = calloc(slots, sizeof *batch->is_ready);
    batch->forecaster = forecaster_new_sharing(&config->classes[of->class], of, kernels, workspace);
    if (batch->free_slots == NULL || batch->streams == NULL || batch->ready == NULL || batch->is_ready == NULL ||
        batch->forecaster == NULL || (version != NULL && forecaster_propose(batch->forecaster, version) != 0)) {
        batch_free(batch);
        return NULL;
    }
    /* With no stream in it there is nothing to replay. */
    while (forecaster_taking_over(batch->forecaster))
        forecaster_prime(batch->forecaster);
    for (size_t slot = slots; slot > 0; slot--)
        batch->free_slots[batch->n_free++] = (int)slot - 1;
    return batch;
}

void batch_free(struct batch *batch) {
    if (batch == NULL)
        return;
    forecaster_free(batch->forecaster);
    version_release(batch->next_version);
    version_release(batch->next_shadow);
    free(batch->free_slots);
    free(batch->streams);
    free(batch->ready);
    free(batch->is_ready);
    free(batch);
}

static size_t size_of_series(const struct config_class *of) {
    return series_size(&of->time, of->n_features, of->history, of->pending);
}

static struct series *new_series(const struct config_class *of, struct pool *pool) {
    struct series *series = pool_take(pool, size_of_series(of));
    if (series == NULL)
        return NULL;
    if (series_init(series, &of->time, of->n_features, of->history, of->pending) == 0 &&
        (of->labels == 0 || history_keep_labels(series->history) == 0))
        return series;
    series_fini(series);
    pool_give(pool, series, size_of_series(of));
    return NULL;
}

static void free_series(const struct stream *stream) {
    struct series *series = stream->series;
    if (series == NULL)
        return;
    const struct history *history = series->history;
    size_t size = series_size(series->spec, history->n_features, history->kept, history->pending);
    series_fini(series);
    pool_give(stream->pool, series, size);
}

/* A stream seldom has more steps that wait. */
enum { FIRST_ARRIVALS = 2 };

/* Where the places begin, with the first arrivals behind them: on lines of their own, as those are the worker's. */
static size_t places_at(bool closes, size_t name_length) {
    size_t node = closes ? sizeof(struct closing) + _Alignof(struct closing) : 0;
    return (offsetof(struct stream, text) + name_length + 1 + node + POOL_LINE - 1) / POOL_LINE * POOL_LINE;
}

/* Behind the places that it began with: while it is restored it may have others for a while. */
static struct arrival *first_arrivals(const struct stream *stream) {
    const char *places = (const char *)stream + places_at(stream->closes, stream->name_length);
    return (struct arrival *)(uintptr_t)(places + (size_t)stream->n_places * sizeof(struct place));
}

static size_t size_of(bool closes, size_t name_length, int n_places) {
    return places_at(closes, name_length) + (size_t)n_places * sizeof(struct place) +
           FIRST_ARRIVALS * sizeof(struct arrival);
}

int stream_place_of(const struct config *config, int model) {
    int place = 0;
    for (int m = 0; m < model; m++)
        place += config->models[m].class == config->models[model].class;
    return place;
}

int stream_model_at(const struct config *config, int class, int place) {
    int model = 0;
    while (config->models[model].class != class || place-- > 0)
        model++;
    return model;
}

struct stream *stream_new(const struct config *config, struct pool *pool, int class, const char *name,
                          size_t name_length, uint32_t generation, int n_places) {
    bool closes = config->classes[class].time.close_after > 0;
    size_t size = size_of(closes, name_length, n_places);
    struct stream *stream = pool_take(pool, size);
    if (stream == NULL)
        return NULL;
    memset(stream, 0, size);
    atomic_init(&stream->steps, 0);
    stream->pool = pool;
    stream->class = stream->of_class = class;
    stream->closes = closes;
    stream->generation = generation;
    stream->n_places = n_places;
    stream->name = stream->text;
    stream->name_length = name_length;
    memcpy(stream->text, name, name_length); /* which a zero follows */
    stream->places = (struct place *)(void *)((char *)stream + places_at(closes, name_length));
    stream->arrivals = first_arrivals(stream);
    stream->arrivals_mask = FIRST_ARRIVALS - 1;
    stream->series = new_series(&config->classes[class], pool);
    if (stream->series == NULL) {
        stream_free(stream);
        return NULL;
    }
    return stream;
}

void stream_free(struct stream *stream) {
    if (stream == NULL)
        return;
    free_series(stream);
    if (stream->arrivals != first_arrivals(stream))
        free(stream->arrivals);
    pool_give(stream->pool, stream, size_of(stream->closes, stream->name_length, stream->n_places));
}

bool stream_keep_arrivals(struct stream *stream, uint64_t waiting) {
    if (waiting <= stream->arrivals_mask)
        return true;
    uint32_t mask = 2 * stream->arrivals_mask + 1;
    uint64_t n = stream->series->history->n;
    struct arrival *arrivals = calloc((size_t)mask + 1, sizeof *arrivals);
    if (arrivals == NULL)
        return false;
    for (uint64_t step = n > stream->arrivals_mask ? n - stream->arrivals_mask : 0; step <= n; step++)
        arrivals[step & mask] = *stream_arrival(stream, step);
    if (stream->arrivals != first_arrivals(stream))
        free(stream->arrivals);
    stream->arrivals = arrivals;
    stream->arrivals_mask = mask;
    return true;
}

struct state_order *state_order_new(struct stream *stream, int place, bool set, struct version *layout) {
    size_t n = network_state_size(version_network(layout));
    struct state_order *order = calloc(1, sizeof *order + n * sizeof *order->values);
    if (order == NULL)
        return NULL;
    order->stream = stream;
    order->place = place;
    order->set = set;
    order->layout = version_acquire(layout);
    order->n = n;
    return order;
}

void state_order_free(struct state_order *order) {
    if (order == NULL)
        return;
    version_release(order->layout);
    free(order);
}

uint64_t stream_pending(const struct stream *stream) {
    uint64_t most = 0;
    for (int i = 0; i < stream->n_places; i++) {
        uint64_t pending = forecaster_pending(stream->places[i].batch->forecaster, stream->places[i].slot);
        most = pending > most ? pending : most;
    }
    return most;
}
