#include "daemon/control.h"

#include "daemon/clock.h"
#include "daemon/endpoint.h"
#include "daemon/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Requests answered in one go; streams in one page. */
enum { SERVE_MOST = 16, PAGE_MOST = 1000 };

struct control {
    struct control_setup setup;
    void *socket;
    int64_t started;
    uint64_t requests, errors;
};

struct control *control_open(void *zmq, const struct control_setup *setup, struct error *err) {
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL) {
        error_set(err, "control: out of memory");
        return NULL;
    }
    const struct config_bus *bus = &setup->config->bus;
    control->setup = *setup;
    control->started = clock_monotonic();
    control->socket = zmq_socket(zmq, ZMQ_ROUTER);
    if (control->socket == NULL ||
        zmq_setsockopt(control->socket, ZMQ_MAXMSGSIZE, &bus->max_message, sizeof bus->max_message) != 0 ||
        endpoint_bind(control->socket, bus->control) != 0) {
        error_set(err, "bus.control: cannot bind to %s: %s", bus->control, zmq_strerror(errno));
        control_close(control, 0);
        return NULL;
    }
    return control;
}

void control_close(struct control *control, int linger_ms) {
    if (control == NULL)
        return;
    if (control->socket != NULL) {
        zmq_setsockopt(control->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(control->socket);
    }
    free(control);
}

void *control_socket(const struct control *control) {
    return control->socket;
}

/* ---- commands: each returns a reply map ------------------------------------------------------- */

static json_t *failure(const char *code, const char *message) {
    return json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message);
}

/* A text of a request; NULL where it is none, or holds a NUL, which no name does. */
static const char *text_of(const json_t *request, const char *key) {
    const json_t *value = json_object_get(request, key);
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

static json_t *success(void) {
    return json_pack("{s:b}", "ok", 1);
}

static json_t *integer(uint64_t x) {
    return json_integer((json_int_t)x);
}

static json_t *names(char *const *all, const int *indices, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_string(all[indices != NULL ? indices[i] : i]));
    return list;
}

static json_t *do_hello(struct control *control, const json_t *request) {
    const struct config *config = control->setup.config;
    const json_t *protocol = json_object_get(request, "protocol");
    if (!json_is_integer(protocol))
        return failure("argument", "hello needs protocol, an integer");
    if (json_integer_value(protocol) != WIRE_PROTOCOL)
        return failure("protocol", "this daemon speaks protocol 1 only");
    json_t *classes = json_array(), *models = json_array();
    for (int c = 0; c < config->n_classes; c++) {
        const struct config_class *class = &config->classes[c];
        json_array_append_new(classes, json_pack("{s:s, s:s, s:o}", "class", class->name, "pattern", class->pattern,
                                                 "features", names(class->features, NULL, class->n_features)));
    }
    for (int m = 0; m < config->n_models; m++) {
        const struct config_model *model = &config->models[m];
        char *const *features = config->classes[model->class].features;
        json_array_append_new(models, json_pack("{s:s, s:s, s:i, s:o, s:o}", "model", model->name, "class",
                                                config->classes[model->class].name, "horizon", model->horizon,
                                                "inputs", names(features, model->inputs, model->n_inputs), "targets",
                                                names(features, model->targets, model->n_targets)));
    }
    return json_pack("{s:b, s:i, s:s, s:o, s:i, s:o, s:o}", "ok", 1, "protocol", WIRE_PROTOCOL, "version",
                     FORECASTD_VERSION, "epoch", integer(control->setup.epoch), "workers", config->workers, "classes",
                     classes, "models", models);
}

static json_t *refused_counts(const uint64_t *counts) {
    json_t *map = json_object();
    for (int r = REASON_NONE + 1; r < N_REASONS; r++)
        if (counts[r] > 0)
            json_object_set_new(map, reason_name((enum reason)r), integer(counts[r]));
    return map;
}

/* Sums of the workers' counters, and what the rings hold and how often they were full. */
static void describe_workers(const struct control *control, json_t *reply, uint64_t *refused) {
    struct worker_counters sum = {0}, one;
    uint64_t input_used = 0, input_full = 0, output_used = 0;
    for (int w = 0; w < control->setup.config->workers; w++) {
        struct worker *worker = control->setup.workers[w];
        worker_counters(worker, &one);
        sum.steps += one.steps;
        sum.advances += one.advances;
        sum.forecasts += one.forecasts;
        sum.waits += one.waits;
        sum.pending_full += one.pending_full;
        sum.not_finite += one.not_finite;
        sum.windows_left_out += one.windows_left_out;
        sum.repeats += one.repeats;
        for (int r = 0; r < N_REASONS; r++)
            refused[r] += one.refused[r];
        input_used += ring_used(worker_input(worker));
        input_full += ring_times_full(worker_input(worker));
        output_used += ring_used(worker_output(worker));
    }
    json_object_set_new(reply, "steps", integer(sum.steps));
    json_object_set_new(reply, "advances", integer(sum.advances));
    json_object_set_new(reply, "pending_full", integer(sum.pending_full));
    json_object_set_new(reply, "not_finite", integer(sum.not_finite));
    json_object_set_new(reply, "windows_left_out", integer(sum.windows_left_out));
    json_object_set_new(reply, "tick_rings",
                        json_pack("{s:o, s:o}", "bytes", integer(input_used), "times_full", integer(input_full)));
    json_object_set_new(reply, "forecast_rings",
                        json_pack("{s:o, s:o}", "bytes", integer(output_used), "waits", integer(sum.waits)));
    const struct publisher_counters published = publisher_counters(control->setup.publisher);
    json_object_set_new(reply, "forecasts",
                        json_pack("{s:o, s:o, s:o, s:o, s:o}", "made", integer(sum.forecasts), "singles",
                                  integer(published.forecasts), "bundles", integer(published.bundles), "repeated",
                                  integer(sum.repeats), "subscriptions", integer(published.subscriptions)));
    json_object_set_new(reply, "events",
                        json_pack("{s:o, s:o}", "sent", integer(published.events), "suppressed",
                                  integer(published.events_suppressed)));
}

static json_t *do_status(struct control *control, const json_t *request) {
    (void)request;
    const struct ingest_counters *taken = ingest_counters(control->setup.ingest);
    uint64_t refused[N_REASONS];
    memcpy(refused, taken->refused, sizeof refused);
    json_t *reply = success();
    json_object_set_new(reply, "version", json_string(FORECASTD_VERSION));
    json_object_set_new(reply, "kernels", json_string(kernels_choose()->level));
    json_object_set_new(reply, "epoch", integer(control->setup.epoch));
    json_object_set_new(reply, "uptime_s", json_real(1e-9 * (double)(clock_monotonic() - control->started)));
    json_object_set_new(reply, "workers", json_integer(control->setup.config->workers));
    json_object_set_new(reply, "streams", json_integer(streams_count(control->setup.streams)));
    json_object_set_new(reply, "started", integer(taken->started));
    json_object_set_new(reply, "ended", integer(taken->ended));
    describe_workers(control, reply, refused);
    json_object_set_new(reply, "ticks",
                        json_pack("{s:o, s:o, s:o, s:o, s:o}", "taken", integer(taken->ticks), "messages",
                                  integer(taken->messages), "bytes", integer(taken->bytes), "parked",
                                  integer(taken->parked), "refused", refused_counts(refused)));
    json_object_set_new(reply, "disconnects", integer(*control->setup.disconnects));
    json_object_set_new(
        reply, "control",
        json_pack("{s:o, s:o}", "requests", integer(control->requests), "errors", integer(control->errors)));
    return reply;
}

static json_t *do_streams(struct control *control, const json_t *request) {
    const json_t *prefix_value = json_object_get(request, "prefix"), *after_value = json_object_get(request, "after");
    if ((prefix_value != NULL && !json_is_string(prefix_value)) ||
        (after_value != NULL && !json_is_string(after_value)))
        return failure("argument", "prefix and after are text");
    const char *prefix = json_string_value(prefix_value), *after = json_string_value(after_value);
    const json_t *limit_value = json_object_get(request, "limit");
    json_int_t limit = limit_value != NULL ? json_integer_value(limit_value) : PAGE_MOST;
    if (limit < 1 || limit > PAGE_MOST) /* also where it is no integer */
        return failure("argument", "limit is an integer from 1 to 1000");
    const struct stream **page = calloc(2 * (size_t)limit + 1, sizeof(struct stream *));
    if (page == NULL)
        return failure("memory", "out of memory");
    bool more;
    int n = streams_page(control->setup.streams, prefix != NULL ? prefix : "", after != NULL ? after : "", (int)limit,
                         page, &more);
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:o}", "stream", page[i]->name, "class",
                                              control->setup.config->classes[page[i]->class].name, "generation",
                                              (int)page[i]->generation, "worker", page[i]->worker, "step",
                                              integer(atomic_load_explicit(&page[i]->steps, memory_order_relaxed))));
    free(page);
    return json_pack("{s:b, s:o, s:b}", "ok", 1, "streams", list, "more", more);
}

static json_t *do_models(struct control *control, const json_t *request) {
    (void)request;
    return json_pack("{s:b, s:o}", "ok", 1, "models", learning_describe(control->setup.learning));
}

static json_t *do_retrain(struct control *control, const json_t *request) {
    const char *model = text_of(request, "model");
    if (model == NULL)
        return failure("argument", "retrain needs a model");
    switch (learning_retrain(control->setup.learning, model)) {
    case 0: return success();
    case -1: return failure("unknown_model", "no such model");
    default: return failure("argument", "the model does not train (train: false)");
    }
}

static json_t *on_stream(struct control *control, const json_t *request,
                         int (*command)(struct ingest *, const char *)) {
    const char *stream = text_of(request, "stream");
    if (stream == NULL)
        return failure("argument", "the command needs a stream");
    switch (command(control->setup.ingest, stream)) {
    case 0: return success();
    case -1: return failure("unknown_stream", "no such stream");
    default: return failure("busy", "the stream's worker is behind: try again");
    }
}

static json_t *do_reset(struct control *control, const json_t *request) {
    return on_stream(control, request, ingest_reset);
}

static json_t *do_end(struct control *control, const json_t *request) {
    return on_stream(control, request, ingest_end);
}

static json_t *do_stop(struct control *control, const json_t *request) {
    (void)request;
    control->setup.stop(control->setup.context);
    return success();
}

static const struct {
    const char *name;
    json_t *(*answer)(struct control *control, const json_t *request);
} commands[] = {
    {"hello", do_hello},     {"status", do_status}, {"streams", do_streams}, {"models", do_models},
    {"retrain", do_retrain}, {"reset", do_reset},   {"end", do_end},         {"stop", do_stop},
};

static json_t *answer(struct control *control, const json_t *request) {
    if (!json_is_object(request))
        return failure("malformed", "a request is a map in MessagePack or JSON");
    const char *cmd = text_of(request, "cmd");
    if (cmd == NULL)
        return failure("argument", "a request has a text cmd");
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++)
        if (strcmp(commands[c].name, cmd) == 0)
            return commands[c].answer(control, request);
    return failure("unknown_command", "no such command");
}

/* ---- the socket ----------------------------------------------------------------------------- */

/* The frames of a request: the peer's identity, perhaps an empty delimiter (REQ), the payload. */
struct envelope {
    zmq_msg_t identity, payload;
    bool delimited, has_payload;
};

/* Returns false when there is no message. Frames behind the payload are dropped, and so is the request. */
static bool receive(void *socket, struct envelope *envelope) {
    *envelope = (struct envelope){0};
    zmq_msg_init(&envelope->identity);
    zmq_msg_init(&envelope->payload);
    if (zmq_msg_recv(&envelope->identity, socket, ZMQ_DONTWAIT) < 0)
        return false;
    int frames = 0;
    for (int more = zmq_msg_more(&envelope->identity); more; frames++) {
        if (zmq_msg_recv(&envelope->payload, socket, ZMQ_DONTWAIT) < 0)
            break;
        more = zmq_msg_more(&envelope->payload);
        if (frames == 0 && more && zmq_msg_size(&envelope->payload) == 0)
            envelope->delimited = true;
    }
    envelope->has_payload = frames == (envelope->delimited ? 2 : 1);
    return true;
}

static void reply_to(struct control *control, struct envelope *envelope, const json_t *reply, bool as_json) {
    char *data;
    size_t n;
    if (wire_message_encode(reply, as_json, &data, &n) != 0)
        return;
    /* A ROUTER drops what its peer does not take. */
    if (zmq_msg_send(&envelope->identity, control->socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
        (!envelope->delimited || zmq_send(control->socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0))
        zmq_send(control->socket, data, n, ZMQ_DONTWAIT);
    free(data);
}

static bool serve_one(struct control *control) {
    struct envelope envelope;
    bool got = receive(control->socket, &envelope);
    if (got) {
        control->requests++;
        bool as_json = false;
        json_t *request = NULL;
        if (envelope.has_payload)
            request = wire_message_decode(zmq_msg_data(&envelope.payload), zmq_msg_size(&envelope.payload), &as_json);
        json_t *reply = answer(control, request);
        control->errors += json_object_get(reply, "error") != NULL;
        json_t *id = json_object_get(request, "id");
        if (id != NULL)
            json_object_set(reply, "id", id);
        reply_to(control, &envelope, reply, as_json);
        json_decref(reply);
        json_decref(request);
    }
    zmq_msg_close(&envelope.identity);
    zmq_msg_close(&envelope.payload);
    return got;
}

bool control_serve(struct control *control) {
    for (int i = 0; i < SERVE_MOST; i++)
        if (!serve_one(control))
            return false;
    return true;
}
