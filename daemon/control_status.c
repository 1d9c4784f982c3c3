/* What the daemon is, and how it is. */
#include "daemon/control_internal.h"

#include "daemon/clock.h"
#include "daemon/returns.h"
#include "daemon/wire.h"

#include <string.h>

static json_t *integer(uint64_t x) {
    return json_integer((json_int_t)x);
}

static json_t *names(char *const *all, const int *indices, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_string(all[indices != NULL ? indices[i] : i]));
    return list;
}

json_t *control_hello(struct control *control, const json_t *request) {
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

json_t *control_status(struct control *control, const json_t *request) {
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
