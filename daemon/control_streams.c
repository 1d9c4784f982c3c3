/* Commands on streams, and on the states that models have of them. */
#include "daemon/control_internal.h"

#include "daemon/scores_report.h"
#include "daemon/state_json.h"

#include <stdlib.h>
#include <string.h>

/* Streams in one page. */
enum { PAGE_MOST = 1000 };

struct stream *control_stream_of(const struct control *control, const json_t *request, int model,
                                 json_t **ret_failure) {
    const char *name = control_text(request, "stream");
    struct stream *stream = name != NULL ? streams_find(control->setup.streams, name, strlen(name)) : NULL;
    if (stream != NULL && (model < 0 || control->setup.config->models[model].class == stream->class))
        return stream;
    *ret_failure = name == NULL     ? control_failure("argument", "the command needs a stream")
                   : stream == NULL ? control_failure("unknown_stream", "no such stream")
                                    : control_failure("argument", "the model does not serve this stream");
    return NULL;
}

/* ---- pages ------------------------------------------------------------------------------------- */

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

json_t *control_streams(struct control *control, const json_t *request) {
    struct page page;
    bool more;
    int n;
    json_t *failed = control_read_page(request, &page);
    const struct stream **streams = failed == NULL ? control_streams_in(control, &page, &n, &more) : NULL;
    if (streams == NULL)
        return failed != NULL ? failed : control_no_memory();
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:i, s:i, s:b, s:I}", "stream", streams[i]->name, "class",
                                        control->setup.config->classes[streams[i]->class].name, "generation",
                                        (int)streams[i]->generation, "worker", streams[i]->worker, "paused",
                                        atomic_load_explicit(&streams[i]->paused, memory_order_relaxed), "step",
                                        (json_int_t)atomic_load_explicit(&streams[i]->steps, memory_order_relaxed)));
    free(streams);
    return json_pack("{s:b, s:o, s:b}", "ok", 1, "streams", list, "more", more);
}

/* ---- commands of the journal -------------------------------------------------------------------- */

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

json_t *control_pause(struct control *control, const json_t *request) {
    return pause_stream(control, request, true);
}

json_t *control_resume(struct control *control, const json_t *request) {
    return pause_stream(control, request, false);
}

json_t *control_end(struct control *control, const json_t *request) {
    const char *stream = control_text(request, "stream");
    if (stream == NULL)
        return control_failure("argument", "end needs a stream");
    switch (ingest_end(control->setup.ingest, stream)) {
    case 0: return control_success();
    case -1: return control_failure("unknown_stream", "no such stream");
    default: return control_busy();
    }
}

json_t *control_reset(struct control *control, const json_t *request) {
    const json_t *all = json_object_get(request, "all");
    bool of_stream = json_object_get(request, "stream") != NULL, of_model = json_object_get(request, "model") != NULL;
    const struct stream *stream = NULL;
    int model = -1;
    json_t *failed;
    if (all != NULL && (!json_is_boolean(all) || of_stream))
        return control_failure("argument", "all is true or false, and true without a stream");
    if (!json_is_true(all) && !of_stream && !of_model)
        return control_failure("argument", "reset needs a stream, a model, or all");
    if (of_model && (model = control_model_of(control, request, &failed)) < 0)
        return failed;
    if (of_stream && (stream = control_stream_of(control, request, model, &failed)) == NULL)
        return failed;
    int refused = ingest_reset(control->setup.ingest, stream != NULL ? stream->name : NULL, model);
    return refused == 0 ? control_success() : control_busy();
}

/* ---- states ------------------------------------------------------------------------------------ */

/* Hands an order on the request at hand to the worker, taking it over. */
static json_t *send_order(struct control *control, struct state_order *order) {
    order->request = requests_keep(control->requests);
    if (order->request == 0) {
        state_order_free(order);
        return control_crowded();
    }
    if (ingest_state(control->setup.ingest, order) != 0) {
        requests_answer_kept(control->requests, order->request, control_busy());
        state_order_free(order);
    }
    return NULL;
}

static json_t *order_state(struct control *control, const json_t *request, bool set) {
    json_t *failed = NULL;
    int model = control_model_of(control, request, &failed);
    struct stream *stream = model >= 0 ? control_stream_of(control, request, model, &failed) : NULL;
    struct version *version = stream != NULL ? control_version_of(control, model, &failed) : NULL;
    if (version == NULL)
        return failed;
    int place = stream_place_of(control->setup.config, model);
    struct state_order *order = state_order_new(stream, place, set, version);
    if (order == NULL)
        return control_no_memory();
    struct error err;
    if (set &&
        state_json_read(version_network(version), json_object_get(request, "state"), order->values, &err) != 0) {
        state_order_free(order);
        return control_failure("argument", err.text);
    }
    return send_order(control, order);
}

json_t *control_state(struct control *control, const json_t *request) {
    return order_state(control, request, false);
}

json_t *control_set_state(struct control *control, const json_t *request) {
    return order_state(control, request, true);
}

static json_t *describe_state(const struct control *control, const struct state_order *order) {
    const struct config *config = control->setup.config;
    int model = stream_model_at(config, order->stream->class, order->place);
    json_t *reply = json_pack("{s:b, s:s, s:s, s:I, s:I, s:I}", "ok", 1, "stream", order->stream->name, "model",
                              config->models[model].name, "version", (json_int_t)order->version, "step",
                              (json_int_t)order->step, "primed", (json_int_t)order->primed);
    if (!order->set)
        json_object_set_new(reply, "state", state_json_make(version_network(order->layout), order->values));
    return reply;
}

void control_state_done(struct control *control, struct state_order *order) {
    json_t *reply = order->outcome == STATE_DONE ? describe_state(control, order)
                    : order->outcome == STATE_OTHER
                        ? control_failure("busy", "another version is taking over: try again")
                        : control_no_memory();
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
    int model = control_model_of(control, request, ret_failure);
    if (model < 0 || control_stream_of(control, request, model, ret_failure) == NULL)
        return -1;
    return stream_place_of(control->setup.config, model);
}

json_t *control_scores(struct control *control, const json_t *request) {
    json_t *failed = NULL;
    const json_t *forecasts = json_object_get(request, "forecasts");
    if (forecasts != NULL && !json_is_boolean(forecasts))
        return control_failure("argument", "forecasts is true or false");
    struct stream *stream = control_stream_of(control, request, -1, &failed);
    int place = stream != NULL ? place_of_request(control, request, stream, &failed) : -1;
    if (place < 0)
        return failed;
    struct scores_report *report = scores_report_new(control->setup.config, stream, place, json_is_true(forecasts));
    if (report == NULL)
        return control_no_memory();
    report->request = requests_keep(control->requests);
    if (report->request == 0) {
        scores_report_free(report);
        return control_crowded();
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
