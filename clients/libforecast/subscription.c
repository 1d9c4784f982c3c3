#include "clients/libforecast/client.h"

#include "daemon/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

_Static_assert((int)FORECAST_FLAG_GAP == (int)WIRE_FLAG(GAP) &&
                   (int)FORECAST_FLAG_MISSING == (int)WIRE_FLAG(MISSING) &&
                   (int)FORECAST_FLAG_WARMING == (int)WIRE_FLAG(WARMING) &&
                   (int)FORECAST_FLAG_LAST == (int)WIRE_FLAG(REPEAT) &&
                   (int)FORECAST_FLAG_CAPPED == (int)WIRE_FLAG(CAPPED) &&
                   (int)FORECAST_FLAG_PAUSED == (int)WIRE_FLAG(PAUSED) &&
                   (int)FORECAST_FLAG_AGGREGATED == (int)WIRE_FLAG(AGGREGATED) &&
                   (int)FORECAST_FLAG_FILLED == (int)WIRE_FLAG(FILLED) &&
                   (int)FORECAST_FLAG_REPLACED == (int)WIRE_FLAG(REPLACED) &&
                   (int)FORECAST_FLAG_REORDERED == (int)WIRE_FLAG(REORDERED) &&
                   (int)FORECAST_FLAG_CLOCK == (int)WIRE_FLAG(CLOCK),
               "the flags of the library are those of the wire");
_Static_assert((int)FORECAST_SOURCE_NETWORK == (int)WIRE_SOURCE_NETWORK &&
                   (int)FORECAST_SOURCE_BASELINE == (int)WIRE_SOURCE_BASELINE &&
                   (int)FORECAST_BASELINE_LAST_VALUE == (int)WIRE_BASELINE_LAST_VALUE &&
                   (int)FORECAST_BASELINE_SEASONAL == (int)WIRE_BASELINE_SEASONAL &&
                   (int)FORECAST_BASELINE_LABELS == (int)WIRE_BASELINE_LABELS,
               "the sources of the library are those of the wire");

_Static_assert((int)FORECAST_MAX_LEVELS == (int)WIRE_MAX_LEVELS, "the levels of the library are those of the wire");

/* What was asked for: ZeroMQ filters by the beginning of a topic, which is too coarse for a stream of
 * every model and for a model whose name begins another's. */
struct rule {
    enum { RULE_FORECASTS, RULE_BUNDLES, RULE_EVENTS } kind;
    char *model, *stream; /* NULL: every one */
    bool prefix;          /* stream is the beginning of names */
    struct rule *next;
};

/* Memory that is grown and kept. */
struct room {
    char *at;
    size_t size;
};

struct forecast_subscription {
    struct forecast_client client;
    struct rule *rules;
    zmq_msg_t topic, payload; /* the message that is being read */
    const char *at, *end;     /* of a bundle: what has not been read */
    uint32_t left;            /* elements of a bundle that have not been read */
    bool behind;              /* one of the message has been read: the next one tells what has changed */
    bool given;               /* a forecast was given last */
    struct wire_arena arena;
    struct wire_forecast wire; /* the element that was read last */
    struct forecast forecast;
    struct forecast_event event;
    struct room names, copies; /* what forecast and event point to, with NUL: model and targets; the rest */
    char *json;                /* of what was given last */
    json_t *whole;             /* of the message's forecasts, as far as they were asked for: up to */
    const char *whole_end;
};

int forecast_subscription_open(const char *endpoint, int high_water_mark,
                               struct forecast_subscription **ret_subscription) {
    struct forecast_subscription *sub = calloc(1, sizeof *sub);
    int code;

    if (!sub)
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a subscription");
    zmq_msg_init(&sub->topic);
    zmq_msg_init(&sub->payload);
    code = forecast_client_init(&sub->client, ZMQ_SUB, endpoint ? endpoint : FORECAST_DEFAULT_FORECASTS,
                                high_water_mark);
    if (!code)
        code = forecast_client_connect(&sub->client);
    if (code) {
        forecast_subscription_close(&sub);
        return code;
    }
    *ret_subscription = sub;
    return FORECAST_OK;
}

static void free_rule(struct rule *rule) {
    if (!rule)
        return;
    free(rule->model);
    free(rule->stream);
    free(rule);
}

void forecast_subscription_close(struct forecast_subscription **subscription) {
    struct forecast_subscription *sub = *subscription;

    if (!sub)
        return;
    *subscription = NULL;
    zmq_msg_close(&sub->topic);
    zmq_msg_close(&sub->payload);
    forecast_client_fini(&sub->client, 0);
    while (sub->rules) {
        struct rule *rule = sub->rules;

        sub->rules = rule->next;
        free_rule(rule);
    }
    wire_arena_fini(&sub->arena);
    free(sub->names.at);
    free(sub->copies.at);
    free(sub->json);
    json_decref(sub->whole);
    free(sub);
}

/* ---- what is wanted ----------------------------------------------------------------------- */

/* Takes a rule in and tells ZeroMQ the beginning of its topics. */
static int add_rule(struct forecast_subscription *sub, struct rule rule, const char *topic, size_t n) {
    struct rule *kept = malloc(sizeof *kept);

    if (!kept)
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a subscription");
    *kept = rule;
    kept->model = rule.model ? strdup(rule.model) : NULL;
    kept->stream = rule.stream ? strdup(rule.stream) : NULL;
    if ((rule.model && !kept->model) || (rule.stream && !kept->stream)) {
        free_rule(kept);
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a subscription");
    }
    if (zmq_setsockopt(sub->client.socket, ZMQ_SUBSCRIBE, topic, n)) {
        free_rule(kept);
        return forecast_client_fail_zmq("subscribing at", sub->client.endpoint);
    }
    if (kept->prefix)
        kept->stream[strlen(kept->stream) - 1] = '\0';
    kept->next = sub->rules;
    sub->rules = kept;
    return FORECAST_OK;
}

static int check_names(const char *model, const char *stream) {
    if (model && (!forecast_client_name_valid(model) || strchr(model, '/')))
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "\"%s\" cannot be the name of a model", model);
    if (stream && !forecast_client_name_valid(stream))
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "\"%s\" cannot be the name of a stream", stream);
    return FORECAST_OK;
}

int forecast_subscription_forecasts(struct forecast_subscription *subscription, const char *model,
                                    const char *stream) {
    char topic[2 * WIRE_MAX_NAME + 16];
    struct rule rule = {.kind = RULE_FORECASTS, .model = (char *)model, .stream = (char *)stream};
    int code = check_names(model, stream), n;

    if (code)
        return code;
    rule.prefix = stream && stream[strlen(stream) - 1] == '*';
    if (!model)
        n = snprintf(topic, sizeof topic, "forecast/");
    else if (!stream)
        n = snprintf(topic, sizeof topic, "forecast/%s/", model);
    else if (rule.prefix)
        n = snprintf(topic, sizeof topic, "forecast/%s/%.*s", model, (int)strlen(stream) - 1, stream);
    else
        n = snprintf(topic, sizeof topic, "forecast/%s/%s", model, stream) + 1; /* with the NUL that closes names */
    return add_rule(subscription, rule, topic, (size_t)n);
}

int forecast_subscription_bundles(struct forecast_subscription *subscription, const char *model) {
    char topic[WIRE_MAX_NAME + 16];
    int code = check_names(model, NULL);

    if (code)
        return code;
    int n = snprintf(topic, sizeof topic, "bundle/%s", model ? model : "") + (model ? 1 : 0); /* with the NUL */
    return add_rule(subscription, (struct rule){.kind = RULE_BUNDLES, .model = (char *)model}, topic, (size_t)n);
}

int forecast_subscription_events(struct forecast_subscription *subscription, const char *kind) {
    char topic[WIRE_MAX_NAME + 16];
    int code = check_names(kind, NULL);

    if (code)
        return code;
    int n = snprintf(topic, sizeof topic, "event/%s", kind ? kind : "");
    return add_rule(subscription, (struct rule){.kind = RULE_EVENTS, .model = (char *)kind}, topic, (size_t)n);
}

/* Cuts the part of a topic up to the next '/' or the end; a NUL at the end of a topic is none of it. */
static struct wire_text next_part(struct wire_text *topic) {
    const char *slash = memchr(topic->at, '/', topic->n);
    struct wire_text part = {topic->at, slash ? (size_t)(slash - topic->at) : topic->n};
    size_t taken = part.n + (slash ? 1 : 0);

    topic->at += taken;
    topic->n -= taken;
    return part;
}

static bool same(struct wire_text text, const char *name) {
    return !name || (strlen(name) == text.n && memcmp(text.at, name, text.n) == 0);
}

/* The kind of message that a topic announces, and whether a rule wants it; -1 for no topic of ours. */
static int classify(const struct forecast_subscription *sub, struct wire_text topic, bool *ret_wanted,
                    struct wire_text *ret_name) {
    if (topic.n && topic.at[topic.n - 1] == '\0')
        topic.n--;

    struct wire_text head = next_part(&topic), name = next_part(&topic);
    int kind = same(head, "forecast") ? RULE_FORECASTS
               : same(head, "bundle") ? RULE_BUNDLES
               : same(head, "event")  ? RULE_EVENTS
                                      : -1;

    *ret_wanted = false;
    *ret_name = name;
    for (const struct rule *rule = sub->rules; rule && !*ret_wanted; rule = rule->next) {
        if ((int)rule->kind != kind || !same(name, rule->model))
            continue;
        if (rule->prefix)
            *ret_wanted = topic.n >= strlen(rule->stream) && !memcmp(topic.at, rule->stream, strlen(rule->stream));
        else
            *ret_wanted = kind != RULE_FORECASTS || same(topic, rule->stream);
    }
    return kind;
}

/* ---- what comes --------------------------------------------------------------------------- */

static int receive(struct forecast_subscription *sub, int timeout_ms) {
    int code = forecast_client_timeout(&sub->client, ZMQ_RCVTIMEO, timeout_ms);

    if (code)
        return code;
    if (zmq_msg_recv(&sub->topic, sub->client.socket, 0) < 0)
        return forecast_client_fail_zmq("receiving from", sub->client.endpoint);
    int frames = 1;
    for (zmq_msg_t *last = &sub->topic; zmq_msg_more(last); frames++) {
        last = &sub->payload;
        /* The frames of a message come together: this neither waits nor ends early but for a signal. */
        while (zmq_msg_recv(&sub->payload, sub->client.socket, 0) < 0)
            if (errno != EINTR)
                return forecast_client_fail_zmq("receiving from", sub->client.endpoint);
    }
    if (frames != 2)
        return forecast_client_fail(FORECAST_ERROR_MESSAGE, "%s sent a message of %d frames instead of 2",
                                    sub->client.endpoint, frames);
    return FORECAST_OK;
}

static int reserve(struct room *room, size_t n) {
    if (n <= room->size)
        return FORECAST_OK;
    char *grown = realloc(room->at, 2 * n);
    if (!grown)
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a forecast");
    room->at = grown;
    room->size = 2 * n;
    return FORECAST_OK;
}

static const char *copy_text(char **at, struct wire_text text) {
    char *copy = *at;

    memcpy(copy, text.at, text.n);
    copy[text.n] = '\0';
    *at += text.n + 1;
    return copy;
}

static void take_measures(struct forecast_measures *measures, const struct wire_means *means) {
    measures->mae = (double)means->mae;
    measures->mae_last_value = (double)means->mae_last_value;
    measures->mae_seasonal = (double)means->mae_seasonal;
    measures->rmse = (double)means->rmse;
    measures->mase = (double)means->mase;
    measures->pinball = (double)means->pinball;
    for (int l = 0; l < WIRE_MAX_LEVELS; l++) {
        measures->coverage[l] = (double)means->coverage[l];
        measures->width[l] = (double)means->width[l];
    }
}

static void take_score(struct forecast_score *score, const struct wire_score *wire) {
    score->h = wire->h;
    score->n = wire->n;
    take_measures(&score->recent, &wire->recent);
    take_measures(&score->all, &wire->all);
    score->mae = score->recent.mae;
    score->mae_last_value = score->recent.mae_last_value;
    score->mae_seasonal = score->recent.mae_seasonal;
}

/* The names that most forecasts of a bundle share. */
static int take_names(struct forecast_subscription *sub, const struct wire_forecast *wire) {
    size_t n_targets = (size_t)wire->n_targets, size = n_targets * sizeof(char *) + wire->model.n + 1;
    for (size_t i = 0; i < n_targets; i++)
        size += wire->targets[i].n + 1;
    int code = reserve(&sub->names, size);
    if (code)
        return code;

    const char **targets = (const char **)(void *)sub->names.at;
    char *at = (char *)(targets + n_targets);
    for (size_t i = 0; i < n_targets; i++)
        targets[i] = copy_text(&at, wire->targets[i]);
    sub->forecast.targets = targets;
    sub->forecast.model = copy_text(&at, wire->model);
    return FORECAST_OK;
}

/* Bytes of what else is copied of a forecast: names with NUL, and arrays. */
static size_t copied_size(const struct wire_forecast *wire) {
    size_t size = wire->stream.n + 1;
    size += (size_t)wire->n_scores * sizeof(struct forecast_score);
    size += (size_t)wire->n_outputs * sizeof(struct forecast_output);
    size += (size_t)wire->n_intervals * sizeof(struct forecast_interval);
    size += (size_t)wire->n_shares * sizeof(struct forecast_share);
    for (int i = 0; i < wire->n_shares; i++)
        size += wire->shares[i].expert.n + 1;
    return size;
}

/* The forecast of the wire as the one of the library: names with NUL, scores by value. */
static int take_forecast(struct forecast_subscription *sub, const struct wire_forecast *wire) {
    size_t n_scores = (size_t)wire->n_scores;
    int code = reserve(&sub->copies, copied_size(wire));
    if (!code && sub->arena.renamed)
        code = take_names(sub, wire);
    if (code)
        return code;

    struct forecast_score *scores = (struct forecast_score *)(void *)sub->copies.at;
    struct forecast_output *outputs = (struct forecast_output *)(void *)(scores + n_scores);
    struct forecast_interval *intervals = (struct forecast_interval *)(void *)(outputs + wire->n_outputs);
    struct forecast_share *shares = (struct forecast_share *)(void *)(intervals + wire->n_intervals);
    char *at = (char *)(shares + wire->n_shares);
    for (size_t i = 0; i < n_scores; i++)
        take_score(&scores[i], &wire->scores[i]);
    for (int i = 0; i < wire->n_outputs; i++)
        outputs[i] = (struct forecast_output){wire->outputs[i].steps, wire->outputs[i].width, wire->outputs[i].at};
    for (int i = 0; i < wire->n_intervals; i++)
        intervals[i] =
            (struct forecast_interval){wire->intervals[i].level, wire->intervals[i].lower, wire->intervals[i].upper};
    for (int i = 0; i < wire->n_shares; i++)
        shares[i] = (struct forecast_share){copy_text(&at, wire->shares[i].expert), (double)wire->shares[i].share};
    sub->forecast = (struct forecast){
        .stream = copy_text(&at, wire->stream),
        .model = sub->forecast.model,
        .version = wire->version,
        .epoch = wire->epoch,
        .generation = wire->generation,
        .position_source = wire->source_id,
        .position = wire->number,
        .step = wire->step,
        .primed = wire->primed,
        .t = wire->t,
        .horizon = wire->horizon,
        .n_targets = wire->n_targets,
        .n_scores = wire->n_scores,
        .times = wire->times,
        .targets = sub->forecast.targets,
        .values = wire->values,
        .mean = wire->mean,
        .scores = scores,
        .n_outputs = wire->n_outputs,
        .outputs = outputs,
        .flags = wire->flags,
        .source = (enum forecast_source)wire->source,
        .baseline = (enum forecast_baseline)wire->baseline,
        .received = wire->received,
        .sent = wire->sent,
        .n_intervals = wire->n_intervals,
        .n_shares = wire->n_shares,
        .intervals = intervals,
        .shares = shares,
        .anomaly = wire->anomaly,
        .labels = {.n = wire->labels.n,
                   .accuracy = wire->labels.accuracy,
                   .brier = wire->labels.brier,
                   .accuracy_all = wire->labels.accuracy_all,
                   .brier_all = wire->labels.brier_all},
    };
    return FORECAST_OK;
}

/* Reads the next element at sub->at. */
static int next_forecast(struct forecast_subscription *sub, struct forecast_message *ret_message) {
    size_t left = (size_t)(sub->end - sub->at);
    size_t n = sub->behind ? wire_forecast_decode_next(sub->at, left, &sub->arena, &sub->wire)
                           : wire_forecast_decode(sub->at, left, &sub->arena, &sub->wire);

    if (n == 0) {
        sub->left = 0;
        return forecast_client_fail(FORECAST_ERROR_MESSAGE, "%s sent what is no forecast", sub->client.endpoint);
    }
    sub->behind = sub->given = true;
    sub->at += n;
    sub->left--;
    int code = take_forecast(sub, &sub->wire);
    if (code == FORECAST_OK)
        *ret_message = (struct forecast_message){.forecast = &sub->forecast};
    else
        sub->left = 0; /* names may be missing, for the next ones too */
    return code;
}

static int take_event(struct forecast_subscription *sub, struct wire_text kind,
                      struct forecast_message *ret_message) {
    bool is_json;
    json_t *event = wire_message_decode(sub->at, (size_t)(sub->end - sub->at), &is_json);
    char *text = event ? json_dumps(event, JSON_COMPACT) : NULL, *at;

    json_decref(event);
    if (!text)
        return forecast_client_fail(FORECAST_ERROR_MESSAGE, "%s sent what is no event", sub->client.endpoint);
    sub->json = text;
    int code = reserve(&sub->copies, kind.n + 1);
    if (code)
        return code;
    at = sub->copies.at;
    sub->event = (struct forecast_event){.kind = copy_text(&at, kind), .json = text};
    *ret_message = (struct forecast_message){.event = &sub->event};
    return FORECAST_OK;
}

/* Opens the message that was received. Returns 1 when nobody wants it. */
static int open_message(struct forecast_subscription *sub, struct forecast_message *ret_message) {
    struct wire_text name, topic = {zmq_msg_data(&sub->topic), zmq_msg_size(&sub->topic)};
    bool wanted;
    int kind = classify(sub, topic, &wanted, &name);

    if (kind < 0)
        return forecast_client_fail(FORECAST_ERROR_MESSAGE, "%s sent a topic that is none", sub->client.endpoint);
    if (!wanted)
        return 1;
    sub->at = zmq_msg_data(&sub->payload);
    sub->end = sub->at + zmq_msg_size(&sub->payload);
    if (kind == RULE_EVENTS)
        return take_event(sub, name, ret_message);
    sub->left = 1;
    if (kind == RULE_BUNDLES) {
        size_t n = wire_array_open(sub->at, (size_t)(sub->end - sub->at), &sub->left);

        if (n == 0) {
            sub->left = 0;
            return forecast_client_fail(FORECAST_ERROR_MESSAGE, "%s sent a bundle that is no array",
                                        sub->client.endpoint);
        }
        sub->at += n;
        if (sub->left == 0)
            return 1;
    }
    sub->behind = false;
    sub->whole_end = sub->at;
    json_decref(sub->whole);
    sub->whole = NULL;
    return next_forecast(sub, ret_message);
}

int forecast_subscription_next(struct forecast_subscription *subscription, int timeout_ms,
                               struct forecast_message *ret_message) {
    struct forecast_subscription *sub = subscription;
    int code, left = timeout_ms;

    free(sub->json);
    sub->json = NULL;
    sub->given = false;
    if (sub->left)
        return next_forecast(sub, ret_message);
    int64_t start = timeout_ms > 0 ? forecast_client_now() : 0;
    do {
        code = receive(sub, left);
        if (code)
            return code;
        code = open_message(sub, ret_message);
        if (timeout_ms > 0)
            left = forecast_client_left(start, timeout_ms);
    } while (code == 1);
    return code;
}

int forecast_subscription_json(struct forecast_subscription *subscription, const char **ret_json) {
    struct forecast_subscription *sub = subscription;

    if (!sub->json && !sub->given)
        return forecast_client_fail(FORECAST_ERROR_ARGUMENT, "no forecast or event came before");
    if (!sub->json && wire_forecast_overlay(&sub->whole, sub->whole_end, (size_t)(sub->at - sub->whole_end))) {
        sub->whole_end = sub->at;
        sub->json = json_dumps(sub->whole, JSON_COMPACT);
    }
    if (!sub->json)
        return forecast_client_fail(FORECAST_ERROR_MEMORY, "no memory for a forecast in JSON");
    *ret_json = sub->json;
    return FORECAST_OK;
}
