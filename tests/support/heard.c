#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/heard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* ---- one forecast as bytes ------------------------------------------------------------------ */

static size_t doubles_of(const struct heard_forecast *f) {
    return (size_t)f->n_targets * (size_t)(1 + f->horizon * (1 + 2 * f->n_intervals));
}

static size_t size_of(const struct heard_forecast *f) {
    return sizeof *f + doubles_of(f) * sizeof(double) + (size_t)f->n_scores * sizeof(struct wire_score) +
           (size_t)f->horizon * sizeof(int64_t);
}

const double *heard_mean(const struct heard_forecast *forecast) {
    return forecast->numbers + forecast->n_targets;
}

const struct wire_score *heard_scores(const struct heard_forecast *forecast) {
    return (const struct wire_score *)(const void *)(forecast->numbers + doubles_of(forecast));
}

const int64_t *heard_times(const struct heard_forecast *forecast) {
    return (const int64_t *)(const void *)(heard_scores(forecast) + forecast->n_scores);
}

/* The wire has one NaN (nil); here it gets one pattern of bits. */
static double plain(double x) {
    return isnan(x) ? (double)NAN : x;
}

static void plain_means(struct wire_means *means) {
    float *const all[] = {&means->mae,  &means->mae_last_value, &means->mae_seasonal,
                          &means->rmse, &means->mase,           &means->pinball};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i] = (float)plain((double)*all[i]);
    for (int l = 0; l < WIRE_MAX_LEVELS; l++) {
        means->coverage[l] = (float)plain((double)means->coverage[l]);
        means->width[l] = (float)plain((double)means->width[l]);
    }
}

static void keep(struct heard_stream *stream, const struct wire_forecast *forecast) {
    struct heard_forecast head = {
        .step = forecast->step,
        .version = forecast->version,
        .primed = forecast->primed,
        .t = forecast->t,
        .flags = forecast->flags & ~WIRE_FLAG(REPEAT),
        .source = (int32_t)forecast->source,
        .baseline = (int32_t)forecast->baseline,
        .has_times = forecast->times != NULL,
        .horizon = forecast->horizon,
        .n_targets = forecast->n_targets,
        .n_scores = forecast->n_scores,
        .n_intervals = forecast->n_intervals,
        .generation = (int32_t)forecast->generation,
    };
    if (stream->n == 0)
        stream->each = size_of(&head);
    assert_int_equal(stream->each, size_of(&head)); /* a model's forecasts have one shape */
    if (stream->room < (stream->n + 1) * stream->each) {
        stream->room = 2 * (stream->n + 8) * stream->each;
        stream->data = realloc(stream->data, stream->room);
        assert_non_null(stream->data);
    }
    char *at = stream->data + stream->n++ * stream->each;
    memset(at, 0, stream->each); /* padding too is compared */
    memcpy(at, &head, sizeof head);
    double *numbers = (double *)(void *)(at + sizeof head);
    for (int i = 0; i < forecast->n_targets; i++)
        *numbers++ = plain(forecast->values[i]);
    for (int i = 0; i < forecast->horizon * forecast->n_targets; i++)
        *numbers++ = plain(forecast->mean[i]);
    for (int b = 0; b < 2 * forecast->n_intervals; b++) {
        const struct wire_interval *interval = &forecast->intervals[b / 2];
        const double *bounds = b % 2 == 0 ? interval->lower : interval->upper;
        for (int i = 0; i < forecast->horizon * forecast->n_targets; i++)
            *numbers++ = plain(bounds[i]);
    }
    struct wire_score *scores = (struct wire_score *)(void *)numbers;
    for (int i = 0; i < forecast->n_scores; i++, scores++) {
        scores->h = forecast->scores[i].h;
        scores->n = forecast->scores[i].n;
        scores->recent = forecast->scores[i].recent;
        scores->all = forecast->scores[i].all;
        plain_means(&scores->recent);
        plain_means(&scores->all);
    }
    if (forecast->times != NULL)
        memcpy(scores, forecast->times, (size_t)forecast->horizon * sizeof(int64_t));
}

/* ---- hearing -------------------------------------------------------------------------------- */

struct heard *heard_new(struct daemon *daemon, const char *prefix, size_t n, int subscriptions) {
    struct heard *heard = calloc(1, sizeof *heard);
    assert_non_null(heard);
    heard->events = json_array();
    heard->socket = daemon_connect(daemon, ZMQ_SUB, daemon->forecasts);
    heard_subscribe(heard, daemon, prefix, n, subscriptions);
    return heard;
}

void heard_subscribe(struct heard *heard, struct daemon *daemon, const char *prefix, size_t n, int subscriptions) {
    assert_int_equal(zmq_setsockopt(heard->socket, ZMQ_SUBSCRIBE, prefix, n), 0);
    daemon_await_count(daemon, "forecasts.subscriptions", subscriptions);
}

struct heard *heard_all(struct daemon *daemon) {
    struct heard *heard = heard_new(daemon, "forecast/", 9, 1);
    heard_subscribe(heard, daemon, "event/", 6, 2);
    return heard;
}

void heard_free(struct heard *heard) {
    struct heard_stream *stream, *next;
    HASH_ITER (hh, heard->streams, stream, next) {
        HASH_DEL(heard->streams, stream);
        if (stream->repeated != NULL)
            free(stream->repeated->data);
        free(stream->repeated);
        free(stream->data);
        free(stream);
    }
    json_decref(heard->events);
    wire_arena_fini(&heard->arena);
    free(heard);
}

static void key_of(char *key, size_t size, struct wire_text model, struct wire_text stream) {
    int n = snprintf(key, size, "%.*s/%.*s", (int)model.n, model.at, (int)stream.n, stream.at);
    assert_true(n > 0 && (size_t)n < size);
}

static struct heard_stream *find(const struct heard *heard, const char *key) {
    struct heard_stream *stream;
    HASH_FIND_STR(heard->streams, key, stream);
    return stream;
}

struct heard_stream *heard_find(const struct heard *heard, const char *model, const char *stream) {
    char key[520];
    key_of(key, sizeof key, (struct wire_text){model, strlen(model)}, (struct wire_text){stream, strlen(stream)});
    return find(heard, key);
}

static void check_order(const struct heard *heard, const struct heard_stream *stream,
                        const struct wire_forecast *forecast) {
    if (stream->n == 0 || forecast->epoch != stream->epoch || forecast->generation != stream->generation) {
        assert_true(stream->n == 0 || forecast->epoch > stream->epoch || forecast->generation > stream->generation);
        if (forecast->step != 1 && !heard->any_gaps)
            fail_msg("%s begins with step %llu", stream->key, (unsigned long long)forecast->step);
        return;
    }
    uint64_t before = heard_at(stream, stream->n - 1)->step;
    if (heard->any_gaps ? forecast->step <= before : forecast->step != before + 1)
        fail_msg("%s: step %llu comes after %llu", stream->key, (unsigned long long)forecast->step,
                 (unsigned long long)before);
}

static void take(struct heard *heard, struct wire_forecast *forecast) {
    char key[520];
    key_of(key, sizeof key, forecast->model, forecast->stream);
    struct heard_stream *stream = find(heard, key);
    if (stream == NULL) {
        stream = calloc(1, sizeof *stream);
        assert_non_null(stream);
        memcpy(stream->key, key, sizeof key);
        HASH_ADD_STR(heard->streams, key, stream);
    }
    if (forecast->flags & WIRE_FLAG(REPEAT)) {
        if (stream->repeated == NULL && (stream->repeated = calloc(1, sizeof *stream->repeated)) != NULL)
            memcpy(stream->repeated->key, key, sizeof key);
        assert_non_null(stream->repeated);
        keep(stream->repeated, forecast);
        heard->repeats++;
        return;
    }
    check_order(heard, stream, forecast);
    stream->generation = forecast->generation;
    stream->epoch = forecast->epoch;
    heard->received_after_taken += forecast->received > 0 && forecast->sent >= forecast->received;
    keep(stream, forecast);
    heard->forecasts++;
}

static void take_single(struct heard *heard, const char *topic, size_t topic_n, const void *payload, size_t n) {
    struct wire_forecast forecast;
    assert_int_equal(wire_forecast_decode(payload, n, &heard->arena, &forecast), n);
    char wanted[600];
    int length = snprintf(wanted, sizeof wanted, "forecast/%.*s/%.*s", (int)forecast.model.n, forecast.model.at,
                          (int)forecast.stream.n, forecast.stream.at);
    assert_int_equal(topic_n, length + 1);
    assert_memory_equal(topic, wanted, topic_n);
    take(heard, &forecast);
}

static void take_bundle(struct heard *heard, const char *topic, const char *payload, size_t n) {
    uint32_t forecasts;
    size_t at = wire_array_open(payload, n, &forecasts);
    assert_true(at > 0 && forecasts > 0);
    struct wire_forecast forecast;
    for (uint32_t i = 0; i < forecasts; i++) {
        size_t used = i == 0 ? wire_forecast_decode(payload + at, n - at, &heard->arena, &forecast)
                             : wire_forecast_decode_next(payload + at, n - at, &heard->arena, &forecast);
        assert_true(used > 0);
        assert_int_equal(strlen(topic + strlen("bundle/")), forecast.model.n);
        assert_memory_equal(topic + strlen("bundle/"), forecast.model.at, forecast.model.n);
        take(heard, &forecast);
        at += used;
    }
    assert_int_equal(at, n);
    heard->bundles++;
}

static void take_event(struct heard *heard, const char *topic, const void *payload, size_t n) {
    bool is_json;
    json_t *event = wire_message_decode(payload, n, &is_json);
    assert_true(json_is_object(event));
    const char *kind = json_string_value(json_object_get(event, "kind"));
    assert_non_null(kind);
    assert_non_null(json_string_value(json_object_get(event, "text")));
    assert_true(json_integer_value(json_object_get(event, "t")) > 0);
    assert_memory_equal(topic + strlen("event/"), kind, strlen(kind));
    json_object_set_new(event, "topic", json_string(topic));
    json_array_append_new(heard->events, event);
}

bool heard_next(struct heard *heard, int ms) {
    zmq_pollitem_t item = {.socket = heard->socket, .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, ms) <= 0)
        return false;
    zmq_msg_t topic, payload;
    zmq_msg_init(&topic);
    zmq_msg_init(&payload);
    assert_true(zmq_msg_recv(&topic, heard->socket, ZMQ_DONTWAIT) >= 0);
    assert_true(zmq_msg_more(&topic));
    assert_true(zmq_msg_recv(&payload, heard->socket, ZMQ_DONTWAIT) >= 0);
    assert_false(zmq_msg_more(&payload));
    const char *name = zmq_msg_data(&topic);
    size_t n = zmq_msg_size(&topic);
    assert_true(n > 0 && name[n - 1] == '\0' && strlen(name) == n - 1);
    if (strncmp(name, "forecast/", 9) == 0)
        take_single(heard, name, n, zmq_msg_data(&payload), zmq_msg_size(&payload));
    else if (strncmp(name, "bundle/", 7) == 0)
        take_bundle(heard, name, zmq_msg_data(&payload), zmq_msg_size(&payload));
    else if (strncmp(name, "event/", 6) == 0)
        take_event(heard, name, zmq_msg_data(&payload), zmq_msg_size(&payload));
    else
        fail_msg("the topic %s", name);
    zmq_msg_close(&topic);
    zmq_msg_close(&payload);
    return true;
}

void heard_forget(struct heard *heard) {
    for (struct heard_stream *stream = heard->streams; stream != NULL; stream = stream->hh.next) {
        if (stream->n <= 1)
            continue;
        memmove(stream->data, stream->data + (stream->n - 1) * stream->each, stream->each);
        stream->n = 1;
    }
}

void heard_until(struct heard *heard, size_t forecasts) {
    int64_t until = scenario_now() + (scenario_slow() ? 100000 : 30000);
    while (heard->forecasts < forecasts) {
        if (!heard_next(heard, 100) && scenario_now() > until)
            fail_msg("%zu forecasts, not %zu", heard->forecasts, forecasts);
    }
}

void heard_rest(struct heard *heard, int ms) {
    while (heard_next(heard, ms))
        ;
}

size_t heard_count_events(const struct heard *heard, const char *kind) {
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(heard->events); i++)
        n += strcmp(json_string_value(json_object_get(json_array_get(heard->events, i), "kind")), kind) == 0;
    return n;
}

const json_t *heard_event(struct heard *heard, const char *kind, size_t skip, int seconds) {
    int64_t until = scenario_now() + 1000 * (int64_t)seconds * (scenario_slow() ? 5 : 1);
    while (heard_count_events(heard, kind) <= skip)
        if (!heard_next(heard, 50) && scenario_now() > until)
            fail_msg("no event %s after %zu of them", kind, skip);
    for (size_t i = 0;; i++) {
        const json_t *event = json_array_get(heard->events, i);
        if (strcmp(json_string_value(json_object_get(event, "kind")), kind) == 0 && skip-- == 0)
            return event;
    }
}

/* ---- comparing ------------------------------------------------------------------------------ */

const struct heard_forecast *heard_at(const struct heard_stream *stream, size_t i) {
    assert_true(i < stream->n);
    return (const struct heard_forecast *)(const void *)(stream->data + i * stream->each);
}

/* Which part of two forecasts differs first. */
static const char *differing(const struct heard_forecast *a, const struct heard_forecast *b) {
    if (a->step != b->step || a->t != b->t || a->has_times != b->has_times)
        return "step or time";
    if (a->version != b->version || a->source != b->source || a->baseline != b->baseline)
        return "version or source";
    if (a->primed != b->primed || a->flags != b->flags)
        return "primed or flags";
    size_t outputs = (size_t)a->horizon * (size_t)a->n_targets;
    if (memcmp(a->numbers, b->numbers, (size_t)a->n_targets * sizeof(double)) != 0)
        return "values";
    if (memcmp(heard_mean(a), heard_mean(b), outputs * sizeof(double)) != 0)
        return "mean";
    if (memcmp(heard_scores(a), heard_scores(b), (size_t)a->n_scores * sizeof(struct wire_score)) != 0)
        return "scores";
    return "target times";
}

void heard_compare(const struct heard_stream *a, size_t i, const struct heard_stream *b, size_t j, size_t n) {
    assert_non_null(a);
    assert_non_null(b);
    if (a->each != b->each || a->n < i + n || b->n < j + n)
        fail_msg("%s has %zu forecasts of %zu bytes, %s %zu of %zu; %zu wanted", a->key, a->n, a->each, b->key, b->n,
                 b->each, n);
    for (size_t k = 0; k < n; k++) {
        const struct heard_forecast *one = heard_at(a, i + k), *other = heard_at(b, j + k);
        size_t head = offsetof(struct heard_forecast, generation);
        if (memcmp(one, other, head) != 0 || memcmp(one->numbers, other->numbers, a->each - sizeof *one) != 0)
            fail_msg("%s: forecast %zu differs from that of %s, first in %s", a->key, i + k, b->key,
                     differing(one, other));
    }
}
