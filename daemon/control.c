#include "daemon/control_internal.h"

#include "daemon/clock.h"
#include "daemon/returns.h"
#include "daemon/saver.h"
#include "daemon/scores_report.h"
#include "daemon/state_json.h"
#include "daemon/wire.h"
#include "engine/own.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Requests answered in one go; streams in one page. */
enum { SERVE_MOST = 16, PAGE_MOST = 1000 };

/* Requests that wait for the disk alone beside which others are read: soon they are answered, and there is room to wait. */
enum { WRITING_MOST = REQUESTS_KEPT_MOST / 2 };

struct control *control_open(void *zmq, const struct control_setup *setup, struct error *err) {
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL) {
        error_set(err, "control: out of memory");
        return NULL;
    }
    control->setup = *setup;
    control->started = clock_monotonic();
    control->requests = requests_open(zmq, &setup->config->bus, err);
    if (control->requests == NULL)
        goto close;
    control->saver = saver_new(setup->write, setup->bell);
    if (control->saver == NULL) {
        error_set(err, "control: out of memory");
        goto close;
    }
    return control;

close:
    control_close(control, 0);
    return NULL;
}

static void answer_saved(struct control *control);

void control_close(struct control *control, int linger_ms) {
    if (control == NULL)
        return;
    if (control->saver != NULL)
        answer_saved(control);
    saver_free(control->saver);
    while (control->waiting != NULL)
        control_forget(control, control->waiting);
    requests_close(control->requests, linger_ms);
    free(control);
}

void *control_socket(const struct control *control) {
    return requests_socket(control->requests);
}

/* ---- commands: each returns a reply map, or NULL where it has kept the request --------------------------------- */

json_t *control_failure(const char *code, const char *message) {
    return json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message);
}

const char *control_text(const json_t *request, const char *key) {
    const json_t *value = json_object_get(request, key);
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

json_t *control_success(void) {
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
        return control_failure("argument", "hello needs protocol, an integer");
    if (json_integer_value(protocol) != WIRE_PROTOCOL)
        return control_failure("protocol", "this daemon speaks protocol 1 only");
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

static json_t *time_counts(const uint64_t *counts) {
    static const char *const names[N_TIME_CASES] = {
#define X(constant, name) [TIME_CASE_##constant] = name,
        TIME_CASES(X)
#undef X
    };
    json_t *map = json_object();
    for (int c = 0; c < N_TIME_CASES; c++)
        json_object_set_new(map, names[c], integer(counts[c]));
    return map;
}

/* Sums of the workers' counters, and what the rings hold and how often they were full. */
static void describe_workers(const struct control *control, json_t *reply, uint64_t *refused) {
    struct worker_counters sum = {0}, one;
    struct spent_counts advances = {0}, background = {0};
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
        sum.resets_asked += one.resets_asked;
        sum.resets_gap += one.resets_gap;
        sum.resets_time += one.resets_time;
        worker_spent(worker, &advances, &background);
        for (int c = 0; c < N_TIME_CASES; c++)
            sum.time[c] += one.time[c];
        for (int r = 0; r < N_REASONS; r++)
            refused[r] += one.refused[r];
        input_used += ring_used(worker_input(worker));
        input_full += ring_times_full(worker_input(worker));
        output_used += ring_used(worker_output(worker));
    }
    json_object_set_new(reply, "steps", integer(sum.steps));
    json_object_set_new(reply, "advances", integer(sum.advances));
    json_object_set_new(
        reply, "spent",
        json_pack("{s:o, s:o}", "advances", spent_describe(&advances), "background", spent_describe(&background)));
    json_object_set_new(reply, "pending_full", integer(sum.pending_full));
    json_object_set_new(reply, "not_finite", integer(sum.not_finite));
    json_object_set_new(reply, "resets",
                        json_pack("{s:o, s:o, s:o}", "command", integer(sum.resets_asked), "gap",
                                  integer(sum.resets_gap), "time", integer(sum.resets_time)));
    json_object_set_new(reply, "time", time_counts(sum.time));
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

static void describe_store(struct store *store, json_t *reply) {
    struct store_status status;
    store_status(store, &status);
    json_t *map = json_pack("{s:b, s:s}", "degraded", status.degraded, "reason", status.reason);
    const struct {
        const char *key;
        uint64_t value;
    } counts[] = {{"order", status.order},
                  {"durable", status.durable},
                  {"trimmed", status.trimmed},
                  {"untrimmed_bytes", status.untrimmed},
                  {"times_long", status.times_long},
                  {"entries", status.entries},
                  {"bytes", status.bytes},
                  {"blocks", status.blocks},
                  {"images", status.images},
                  {"rounds", status.rounds},
                  {"last_round_ns", (uint64_t)status.last_round},
                  {"image_bytes", status.image_bytes},
                  {"asked", status.asked},
                  {"dropped", status.dropped},
                  {"failures", status.failures},
                  {"times_full", status.full},
                  {"images_full", status.images_full},
                  {"cut", status.cut}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_set_new(map, counts[i].key, integer(counts[i].value));
    json_object_set_new(reply, "store", map);
}

/* Streams on their way to the disk and back. */
static void describe_returns(const struct control *control, json_t *reply) {
    const struct returns_counters counters = returns_counters(control->setup.returns);
    json_object_set_new(reply, "kept",
                        json_pack("{s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "evicted",
                                  integer(ingest_counters(control->setup.ingest)->evicted), "leaving",
                                  returns_n_leaving(control->setup.returns), "returned", integer(counters.returned),
                                  "unknown", integer(counters.unknown), "damaged", integer(counters.damaged),
                                  "unreadable", integer(counters.held), "waiting", integer(counters.kept),
                                  "waiting_bytes", integer(counters.kept_bytes), "times_full", integer(counters.full),
                                  "open", integer(ingest_n_open(control->setup.ingest))));
}

static void describe_acknowledged(const struct acknowledged *acknowledged, json_t *reply) {
    const struct acknowledged_counters n = acknowledged_counters(acknowledged);
    json_object_set_new(reply, "acknowledged",
                        json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "producers",
                                  n.producers, "clients", n.clients, "asked", integer(n.asked), "ticks",
                                  integer(n.ticks), "durable", integer(n.durable), "repeated", integer(n.repeated),
                                  "gaps", integer(n.gaps), "over_credit", integer(n.over_credit), "degraded",
                                  integer(n.degraded), "errors", integer(n.errors), "replies", integer(n.replies),
                                  "lost", integer(n.lost), "forgotten", integer(n.forgotten)));
}

static json_t *do_status(struct control *control, const json_t *request) {
    (void)request;
    const struct ingest_counters *taken = ingest_counters(control->setup.ingest);
    uint64_t refused[N_REASONS];
    memcpy(refused, taken->refused, sizeof refused);
    json_t *reply = control_success();
    json_object_set_new(reply, "version", json_string(FORECASTD_VERSION));
    json_object_set_new(reply, "kernels", json_string(kernels_choose()->level));
    json_object_set_new(reply, "epoch", integer(control->setup.epoch));
    json_object_set_new(reply, "uptime_s", json_real(1e-9 * (double)(clock_monotonic() - control->started)));
    json_object_set_new(reply, "workers", json_integer(control->setup.config->workers));
    json_object_set_new(reply, "streams", json_integer(streams_count(control->setup.streams)));
    json_object_set_new(reply, "started", integer(control->setup.opening->started));
    json_object_set_new(reply, "ended", integer(taken->ended));
    describe_workers(control, reply, refused);
    json_object_set_new(reply, "ticks",
                        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "taken", integer(taken->ticks), "bad",
                                  integer(taken->bad), "labels", integer(taken->labels), "messages",
                                  integer(taken->messages), "bytes", integer(taken->bytes), "parked",
                                  integer(taken->parked), "refused", refused_counts(refused)));
    json_object_set_new(reply, "disconnects", integer(*control->setup.disconnects));
    const struct requests_counters asked = requests_counters(control->requests);
    json_object_set_new(reply, "control",
                        json_pack("{s:o, s:o, s:o, s:o}", "requests", integer(asked.requests), "errors",
                                  integer(asked.errors), "waiting", integer(asked.kept), "busy",
                                  integer(asked.busy)));
    if (control->setup.store != NULL)
        describe_store(control->setup.store, reply);
    if (control->setup.returns != NULL)
        describe_returns(control, reply);
    if (ingest_acknowledged(control->setup.ingest) != NULL)
        describe_acknowledged(ingest_acknowledged(control->setup.ingest), reply);
    return reply;
}

json_t *control_read_page(const json_t *request, struct page *ret_page) {
    const json_t *prefix_value = json_object_get(request, "prefix"), *after_value = json_object_get(request, "after");
    if ((prefix_value != NULL && !json_is_string(prefix_value)) ||
        (after_value != NULL && !json_is_string(after_value)))
        return control_failure("argument", "prefix and after are text");
    const char *prefix = json_string_value(prefix_value), *after = json_string_value(after_value);
    const json_t *limit_value = json_object_get(request, "limit");
    json_int_t limit = limit_value != NULL ? json_integer_value(limit_value) : PAGE_MOST;
    if (limit < 1 || limit > PAGE_MOST) /* also where it is no integer */
        return control_failure("argument", "limit is an integer from 1 to 1000");
    *ret_page = (struct page){
        .prefix = prefix != NULL ? prefix : "", .after = after != NULL ? after : "", .limit = (int)limit};
    return NULL;
}

const struct stream **control_streams_in(const struct control *control, const struct page *page, int *ret_n,
                                         bool *ret_more) {
    const struct stream **streams = calloc(2 * (size_t)page->limit + 1, sizeof(struct stream *));
    if (streams != NULL)
        *ret_n = streams_page(control->setup.streams, page->prefix, page->after, page->limit, streams, ret_more);
    return streams;
}

static json_t *do_streams(struct control *control, const json_t *request) {
    struct page page;
    bool more;
    int n;
    json_t *failed = control_read_page(request, &page);
    const struct stream **streams = failed == NULL ? control_streams_in(control, &page, &n, &more) : NULL;
    if (streams == NULL)
        return failed != NULL ? failed : control_failure("memory", "out of memory");
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:i, s:i, s:b, s:o}", "stream", streams[i]->name, "class",
                                        control->setup.config->classes[streams[i]->class].name, "generation",
                                        (int)streams[i]->generation, "worker", streams[i]->worker, "paused",
                                        atomic_load_explicit(&streams[i]->paused, memory_order_relaxed), "step",
                                        integer(atomic_load_explicit(&streams[i]->steps, memory_order_relaxed))));
    free(streams);
    return json_pack("{s:b, s:o, s:b}", "ok", 1, "streams", list, "more", more);
}

static json_t *do_models(struct control *control, const json_t *request) {
    (void)request;
    return json_pack("{s:b, s:o}", "ok", 1, "models", learning_describe(control->setup.learning));
}

json_t *control_busy(void) {
    return control_failure("busy", "the stream's worker is behind: try again");
}

static json_t *pause_stream(struct control *control, const json_t *request, bool paused) {
    const char *stream = control_text(request, "stream");
    if (stream == NULL)
        return control_failure("argument", "the command needs a stream");
    switch (ingest_pause(control->setup.ingest, stream, paused)) {
    case 0: return control_success();
    case -1: return control_failure("unknown_stream", "no such stream");
    default: return control_busy();
    }
}

static json_t *do_pause(struct control *control, const json_t *request) {
    return pause_stream(control, request, true);
}

static json_t *do_resume(struct control *control, const json_t *request) {
    return pause_stream(control, request, false);
}

static json_t *do_end(struct control *control, const json_t *request) {
    const char *stream = control_text(request, "stream");
    if (stream == NULL)
        return control_failure("argument", "end needs a stream");
    switch (ingest_end(control->setup.ingest, stream)) {
    case 0: return control_success();
    case -1: return control_failure("unknown_stream", "no such stream");
    default: return control_busy();
    }
}

/* The model of a request; NULL (an error reply in *ret_failure) where there is none. */
static const struct config_model *model_of(const struct control *control, const json_t *request,
                                           json_t **ret_failure) {
    const struct config *config = control->setup.config;
    const char *name = control_text(request, "model");
    const struct config_model *model = name != NULL ? config_find_model(config, name) : NULL;
    if (model != NULL)
        return model;
    *ret_failure = name == NULL ? control_failure("argument", "the command needs a model")
                                : control_failure("unknown_model", "no such model");
    return NULL;
}

/* The same for the stream, which the model (NULL: any) has to serve. */
struct stream *control_stream_of(const struct control *control, const json_t *request,
                                 const struct config_model *model, json_t **ret_failure) {
    const char *name = control_text(request, "stream");
    struct stream *stream = name != NULL ? streams_find(control->setup.streams, name, strlen(name)) : NULL;
    if (stream != NULL && (model == NULL || model->class == stream->class))
        return stream;
    *ret_failure = name == NULL     ? control_failure("argument", "the command needs a stream")
                   : stream == NULL ? control_failure("unknown_stream", "no such stream")
                                    : control_failure("argument", "the model does not serve this stream");
    return NULL;
}

/* ---- learning ---------------------------------------------------------------------------------- */

/* A command on a model that learning carries out or (below 0) cannot: then with that code and sentence. */
static json_t *command_model(struct control *control, const json_t *request,
                             int (*command)(struct learning *learning, int model), const char *code,
                             const char *sentence) {
    json_t *failed;
    const struct config_model *model = model_of(control, request, &failed);
    if (model == NULL)
        return failed;
    switch (command(control->setup.learning, (int)(model - control->setup.config->models))) {
    case 0: return control_success();
    case -1: return control_failure(code, sentence);
    case -3: return control_failure("busy", "a version of the model is being written: try again");
    default: return control_failure("memory", "out of memory");
    }
}

static json_t *do_retrain(struct control *control, const json_t *request) {
    return command_model(control, request, learning_retrain, "argument", "the model does not train (train: false)");
}

static json_t *do_stop_training(struct control *control, const json_t *request) {
    return command_model(control, request, learning_stop_training, "nothing", "the model is not being trained");
}

static json_t *do_promote(struct control *control, const json_t *request) {
    return command_model(control, request, learning_promote, "nothing", "the model has no challenger");
}

static json_t *do_reject(struct control *control, const json_t *request) {
    return command_model(control, request, learning_reject, "nothing", "the model has no challenger");
}

static json_t *do_rollback(struct control *control, const json_t *request) {
    return command_model(control, request, learning_rollback, "nothing", "there is no version to go back to");
}

static json_t *do_decisions(struct control *control, const json_t *request) {
    json_t *failed;
    const struct config_model *model = model_of(control, request, &failed);
    if (model == NULL)
        return failed;
    int m = (int)(model - control->setup.config->models);
    return json_pack("{s:b, s:o}", "ok", 1, "decisions", learning_decisions(control->setup.learning, m));
}

static json_t *do_reset(struct control *control, const json_t *request) {
    const json_t *all = json_object_get(request, "all");
    bool of_stream = json_object_get(request, "stream") != NULL, of_model = json_object_get(request, "model") != NULL;
    const struct config_model *model = NULL;
    const struct stream *stream = NULL;
    json_t *failed;
    if (all != NULL && (!json_is_boolean(all) || of_stream))
        return control_failure("argument", "all is true or false, and true without a stream");
    if (!json_is_true(all) && !of_stream && !of_model)
        return control_failure("argument", "reset needs a stream, a model, or all");
    if (of_model && (model = model_of(control, request, &failed)) == NULL)
        return failed;
    if (of_stream && (stream = control_stream_of(control, request, model, &failed)) == NULL)
        return failed;
    int index = model != NULL ? (int)(model - control->setup.config->models) : -1;
    int refused = ingest_reset(control->setup.ingest, stream != NULL ? stream->name : NULL, index);
    return refused == 0 ? control_success() : control_busy();
}

/* ---- states ------------------------------------------------------------------------------------ */

/* The version whose network the model's slots have, or NULL and an error reply. */
static struct version *version_of(const struct control *control, const struct config_model *model,
                                  json_t **ret_failure) {
    struct version *version =
        placement_version(control->setup.placement, (int)(model - control->setup.config->models));
    if (version != NULL && version_network(version) != NULL)
        return version;
    *ret_failure =
        control_failure("no_version", version == NULL ? "the model has no version yet"
                                                      : "the model's version has no network: the baseline serves");
    return NULL;
}

/* Hands an order on the request at hand to the worker, taking it over. */
static json_t *send_order(struct control *control, struct state_order *order) {
    order->request = requests_keep(control->requests);
    if (order->request == 0) {
        state_order_free(order);
        return control_failure("busy", "too many requests wait: try again");
    }
    if (ingest_state(control->setup.ingest, order) != 0) {
        requests_answer_kept(control->requests, order->request, control_busy());
        state_order_free(order);
    }
    return NULL;
}

static json_t *order_state(struct control *control, const json_t *request, bool set) {
    json_t *failed = NULL;
    const struct config_model *model = model_of(control, request, &failed);
    struct stream *stream = model != NULL ? control_stream_of(control, request, model, &failed) : NULL;
    struct version *version = stream != NULL ? version_of(control, model, &failed) : NULL;
    if (version == NULL)
        return failed;
    int place = stream_place_of(control->setup.config, (int)(model - control->setup.config->models));
    struct state_order *order = state_order_new(stream, place, set, version);
    if (order == NULL)
        return control_failure("memory", "out of memory");
    struct error err;
    if (set &&
        state_json_read(version_network(version), json_object_get(request, "state"), order->values, &err) != 0) {
        state_order_free(order);
        return control_failure("argument", err.text);
    }
    return send_order(control, order);
}

static json_t *do_state(struct control *control, const json_t *request) {
    return order_state(control, request, false);
}

static json_t *do_set_state(struct control *control, const json_t *request) {
    return order_state(control, request, true);
}

static json_t *describe_state(const struct control *control, const struct state_order *order) {
    const struct batch *batch = order->stream->places[order->place].batch;
    json_t *reply = json_pack("{s:b, s:s, s:s, s:o, s:o, s:o}", "ok", 1, "stream", order->stream->name, "model",
                              control->setup.config->models[batch->model].name, "version", integer(order->version),
                              "step", integer(order->step), "primed", integer(order->primed));
    if (!order->set)
        json_object_set_new(reply, "state", state_json_make(version_network(order->layout), order->values));
    return reply;
}

void control_state_done(struct control *control, struct state_order *order) {
    json_t *reply = order->outcome == STATE_DONE ? describe_state(control, order)
                    : order->outcome == STATE_OTHER
                        ? control_failure("busy", "another version is taking over: try again")
                        : control_failure("memory", "out of memory");
    if (order->set)
        control_answer_durable(control, order->request, reply);
    else
        requests_answer_kept(control->requests, order->request, reply);
    state_order_free(order);
}

/* ---- scores ------------------------------------------------------------------------------------ */

/* The model of a request for a stream, or the only one that the stream has. */
static int place_of_request(const struct control *control, const json_t *request, const struct stream *stream,
                            json_t **ret_failure) {
    if (json_object_get(request, "model") == NULL) {
        if (stream->n_places == 1)
            return 0;
        *ret_failure = control_failure("argument", "the stream has several models: name one");
        return -1;
    }
    const struct config_model *model = model_of(control, request, ret_failure);
    if (model == NULL || control_stream_of(control, request, model, ret_failure) == NULL)
        return -1;
    return stream_place_of(control->setup.config, (int)(model - control->setup.config->models));
}

static json_t *do_scores(struct control *control, const json_t *request) {
    json_t *failed = NULL;
    const json_t *forecasts = json_object_get(request, "forecasts");
    if (forecasts != NULL && !json_is_boolean(forecasts))
        return control_failure("argument", "forecasts is true or false");
    struct stream *stream = control_stream_of(control, request, NULL, &failed);
    int place = stream != NULL ? place_of_request(control, request, stream, &failed) : -1;
    if (place < 0)
        return failed;
    struct scores_report *report = scores_report_new(control->setup.config, stream, place, json_is_true(forecasts));
    if (report == NULL)
        return control_failure("memory", "out of memory");
    report->request = requests_keep(control->requests);
    if (report->request == 0) {
        scores_report_free(report);
        return control_failure("busy", "too many requests wait: try again");
    }
    const struct record_scores record = {RECORD_SCORES, report};
    if (!ingest_command(control->setup.ingest, stream->worker, &record, sizeof record)) {
        requests_answer_kept(control->requests, report->request, control_busy());
        scores_report_free(report);
    }
    return NULL;
}

void control_scores_done(struct control *control, struct scores_report *report) {
    requests_answer_kept(control->requests, report->request, scores_report_json(report));
    scores_report_free(report);
}

/* ---- saving ------------------------------------------------------------------------------------ */

/* Files with room for the daemon's own settings. */
static bool has_room_for_own(const char *file) {
    static const char ending[] = ".keras";
    size_t n = strlen(file), least = sizeof ending - 1;
    return n >= least && strcmp(file + n - least, ending) == 0;
}

static json_t *begin_save(struct control *control, const struct config_model *model, struct version *version,
                          const char *file) {
    struct error err;
    char *own = NULL, *path = strdup(file); /* the request is gone once it is kept */
    if (path == NULL || (has_room_for_own(file) &&
                         (own = model_own_json(model, &control->setup.config->classes[model->class])) == NULL)) {
        free(path);
        return control_failure("memory", "out of memory");
    }
    uint64_t number = requests_keep(control->requests);
    if (number == 0) {
        free(path);
        free(own);
        return control_failure("busy", "too many requests wait: try again");
    }
    int refused = saver_start(control->saver, number, version, path, own, &err);
    if (refused != 0)
        requests_answer_kept(control->requests, number,
                             refused == -1 ? control_failure("busy", "a model is being saved: try again")
                                           : control_failure("memory", err.text));
    return NULL;
}

static json_t *do_save(struct control *control, const json_t *request) {
    json_t *failed = NULL;
    const char *file = control_text(request, "file");
    if (file == NULL || file[0] != '/')
        return control_failure("argument", "save needs a file, by its absolute path");
    const struct config_model *model = model_of(control, request, &failed);
    struct version *version = model != NULL ? version_of(control, model, &failed) : NULL;
    return version != NULL ? begin_save(control, model, version, file) : failed;
}

/* Waits for the file, if one is being written. */
static void answer_saved(struct control *control) {
    struct saver_result result;
    if (!saver_take(control->saver, &result))
        return;
    requests_answer_kept(control->requests, result.request,
                         result.failed ? control_failure("file", result.err.text)
                                       : json_pack("{s:b, s:o}", "ok", 1, "version", integer(result.version)));
}

bool control_has_result(const struct control *control) {
    return saver_has_result(control->saver);
}

/* ---- the daemon -------------------------------------------------------------------------------- */

static json_t *do_reload(struct control *control, const json_t *request) {
    (void)request;
    uint64_t number = control->reload == 0 ? requests_keep(control->requests) : 0;
    if (number == 0)
        return control_failure("busy", "the configuration is being read, or too many requests wait: try again");
    control->reload = number;
    control->setup.reload(control->setup.context);
    return NULL;
}

void control_reloaded(struct control *control, json_t *reply) {
    requests_answer_kept(control->requests, control->reload, reply);
    control->reload = 0;
}

static json_t *do_stop(struct control *control, const json_t *request) {
    (void)request;
    control->setup.stop(control->setup.context);
    return control_success();
}

static const struct command commands[] = {
    {"hello", do_hello, AS_IT_IS},
    {"status", do_status, AS_IT_IS},
    {"streams", do_streams, AS_IT_IS},
    {"names", control_names, AS_IT_IS},
    {"models", do_models, AS_IT_IS},
    {"end", do_end, IN_MEMORY | OR_ANEW | DURABLE},
    {"retrain", do_retrain, AS_IT_IS},
    {"reset", do_reset, IN_MEMORY | DURABLE},
    {"state", do_state, IN_MEMORY},
    {"set_state", do_set_state, IN_MEMORY}, /* then durable, when its worker is done: control_state_done */
    {"save", do_save, AS_IT_IS},
    {"stop", do_stop, AS_IT_IS},
    {"stop_training", do_stop_training, AS_IT_IS},
    {"promote", do_promote, AS_IT_IS},
    {"reject", do_reject, AS_IT_IS},
    {"rollback", do_rollback, AS_IT_IS},
    {"decisions", do_decisions, AS_IT_IS},
    {"pause", do_pause, IN_MEMORY | DURABLE},
    {"resume", do_resume, IN_MEMORY | DURABLE},
    {"scores", do_scores, IN_MEMORY},
    {"export", control_export, AS_IT_IS},
    {"import", control_import, AS_IT_IS},
    {"reload", do_reload, AS_IT_IS},
};

static json_t *answer(struct control *control, const json_t *request) {
    if (!json_is_object(request))
        return control_failure("malformed", "a request is a map in MessagePack or JSON");
    const char *cmd = control_text(request, "cmd");
    if (cmd == NULL)
        return control_failure("argument", "a request has a text cmd");
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++)
        if (strcmp(commands[c].name, cmd) == 0)
            return (commands[c].needs & IN_MEMORY) != 0 && control_is_away(control, request)
                       ? control_bring(control, &commands[c], request)
                       : control_carry_out(control, &commands[c], request);
    return control_failure("unknown_command", "no such command");
}

/* ---- requests that wait ------------------------------------------------------------------------- */

bool control_done(struct control *control, const struct waiting *waiting, const struct stored *answer,
                  json_t *reply) {
    if (reply == NULL && answer == NULL)
        return false;
    requests_answer_kept(control->requests, waiting->number, reply);
    return true;
}

void control_forget(struct control *control, struct waiting *waiting) {
    DL_DELETE2(control->waiting, waiting, previous, next);
    json_decref(waiting->request);
    json_decref(waiting->reply);
    json_decref(waiting->memory);
    free(waiting);
}

json_t *control_wait(struct control *control, const json_t *request,
                     bool (*go_on)(struct control *control, struct waiting *waiting, struct stored *answer)) {
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (waiting == NULL)
        return control_failure("memory", "out of memory");
    json_t *kept = json_incref((json_t *)(uintptr_t)request); /* NULL stays NULL */
    uint64_t number = requests_keep(control->requests);
    if (number == 0) {
        json_decref(kept);
        free(waiting);
        return control_failure("busy", "too many requests wait: try again");
    }
    *waiting = (struct waiting){.number = number, .request = kept, .go_on = go_on};
    DL_APPEND2(control->waiting, waiting, previous, next);
    return NULL;
}

static void take_looked(struct control *control) {
    uint64_t number;
    for (struct stored *answer; (answer = returns_looked(control->setup.returns, &number)) != NULL;) {
        struct waiting *waiting = control->waiting;
        while (waiting->number != number) /* it waits for nothing else */
            waiting = waiting->next;
        waiting->asked = false;
        if (waiting->go_on(control, waiting, answer))
            control_forget(control, waiting);
        stored_free(answer);
    }
}

static void go_on(struct control *control) {
    struct waiting *waiting, *next;
    if (control->waiting == NULL)
        return;
    take_looked(control);
    DL_FOREACH_SAFE2(control->waiting, waiting, next, next) {
        if (!waiting->asked && waiting->go_on(control, waiting, NULL))
            control_forget(control, waiting);
    }
}

bool control_is_full(const struct control *control) {
    const struct waiting *waiting;
    int writing = 0;
    DL_FOREACH2(control->waiting, waiting, next) {
        writing += waiting->reply != NULL;
    }
    return writing > WRITING_MOST;
}

bool control_waits(const struct control *control) {
    return control->waiting != NULL;
}

/* ---- serving ------------------------------------------------------------------------------------ */

bool control_serve(struct control *control) {
    if (saver_has_result(control->saver))
        answer_saved(control);
    control_answer_imports(control);
    go_on(control);
    const json_t *request;
    for (int i = 0; i < SERVE_MOST; i++) {
        if (control_is_full(control) || !requests_next(control->requests, &request))
            return false;
        json_t *reply = answer(control, request);
        if (reply != NULL || requests_is_open(control->requests)) /* else it is kept */
            requests_answer(control->requests, reply);
    }
    return true;
}
