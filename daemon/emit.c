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

/* What of a model's forecasts never changes. */
struct model_form {
    struct wire_text name;
    struct wire_text *targets; /* [n_targets] their names */
    int n_states;
    /* [n_states] of a model that publishes its state; at: offsets from the state's begin. */
    struct wire_state *states;
    size_t *state_at;               /* [n_states] */
    char (*layers)[LAYER_NAME_MAX]; /* [n_states] their names */
    int n_outputs;
    struct wire_output outputs[WIRE_MAX_OUTPUTS]; /* of a raw head, without at */
    size_t beside;                                /* bytes that outputs and states add to a forecast at most */
};

/* The bundle that is being filled: a record that has room in the ring and is not committed. */
struct bundle {
    struct record_message *record; /* NULL: there is none */
    int model;
    char *at, *end; /* where the next forecast goes, and how far */
};

struct emitter {
    const struct config *config;
    uint64_t epoch;
    struct ring *ring;
    struct doorbell *bell;
    const struct interest *interest;
    struct model_form *forms; /* [n_models] */
    struct wire_score scores[CONFIG_SCORED_ALL_MOST];
    struct wire_interval intervals[WIRE_MAX_LEVELS];
    struct bundle bundle;
    struct wire_forecast latest[2]; /* by turns: in a bundle one tells what differs from the one before */
    struct wire_share shares[2][EXPERT_COUNT];
    int64_t *times[2];                      /* [horizon] of each, as there is room for any model's */
    int turn;                               /* of the two */
    struct wire_text experts[EXPERT_COUNT]; /* their names */
    double *bounds; /* of the intervals of any model: [n_levels x horizon x n_targets], lower, then upper */
    struct wire_output outputs[WIRE_MAX_OUTPUTS];
    atomic_uint_fast64_t waits, count;
};

static struct wire_text text_of(const char *string) {
    return (struct wire_text){string, strlen(string)};
}

/* The shapes of raw outputs, and the layers that have a state. Their names are the form's own. */
static bool form_network(struct model_form *form, const struct config_model *model) {
    struct error err;
    struct network *network = forecaster_network(model, &err);
    if (network == NULL)
        return false;
    form->n_outputs = model->head == HEAD_RAW ? network_n_outputs(network) : model->head == HEAD_EVENT;
    if (model->head == HEAD_EVENT)
        form->outputs[0] = (struct wire_output){.width = event_width(model->classes)};
    for (int o = 0; model->head == HEAD_RAW && o < form->n_outputs; o++) {
        struct network_shape shape = network_output(network, o, model->window);
        form->outputs[o] = (struct wire_output){.steps = shape.sequence ? shape.steps : 0, .width = shape.width};
    }
    int n_layers = network_spec(network)->n_layers;
    form->states = calloc((size_t)n_layers, sizeof *form->states);
    form->state_at = calloc((size_t)n_layers, sizeof *form->state_at);
    form->layers = calloc((size_t)n_layers, sizeof *form->layers);
    bool ok = form->states != NULL && form->state_at != NULL && form->layers != NULL;
    for (int i = 0; ok && model->publish_state && i < n_layers; i++) {
        int s = form->n_states;
        struct wire_state *state = &form->states[s];
        state->pieces = network_layer_states(network, i, &form->state_at[s], &state->n);
        if (state->pieces == 0)
            continue;
        memcpy(form->layers[s], network_spec(network)->layers[i].name, LAYER_NAME_MAX);
        state->layer = (struct wire_text){form->layers[s], strlen(form->layers[s])};
        form->n_states++;
    }
    network_free(network);
    const struct wire_forecast bare = {.n_outputs = 0};
    const struct wire_forecast with = {
        .outputs = form->outputs, .n_outputs = form->n_outputs, .states = form->states, .n_states = form->n_states};
    form->beside = wire_forecast_bound(&with) - wire_forecast_bound(&bare);
    return ok;
}

static void form_fini(struct model_form *form) {
    free(form->targets);
    free(form->states);
    free(form->state_at);
    free(form->layers);
}

static bool form_init(struct model_form *form, const struct config_model *model, char *const *features) {
    form->name = text_of(model->name);
    form->targets = calloc((size_t)model->n_targets + 1, sizeof *form->targets);
    for (int j = 0; form->targets != NULL && j < model->n_targets; j++)
        form->targets[j] = (struct wire_text){features[model->targets[j]], strlen(features[model->targets[j]])};
    if (form->targets == NULL)
        return false;
    return model->head != HEAD_FORECAST || model->publish_state ? form_network(form, model) : true;
}

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
    for (int e = 0; e < EXPERT_COUNT; e++)
        emitter->experts[e] = text_of(expert_name((enum expert)e));
    emitter->forms = calloc((size_t)config->n_models, sizeof *emitter->forms);
    if (emitter->forms == NULL)
        goto fail;
    size_t bounds = 1, horizon = 1;
    for (int m = 0; m < config->n_models; m++) {
        const struct config_model *model = &config->models[m];
        size_t own = 2 * (size_t)model->n_levels * (size_t)model->horizon * (size_t)model->n_targets;
        bounds = own > bounds ? own : bounds;
        horizon = (size_t)model->horizon > horizon ? (size_t)model->horizon : horizon;
        if (!form_init(&emitter->forms[m], model, config->classes[model->class].features))
            goto fail;
    }
    emitter->bounds = calloc(bounds, sizeof *emitter->bounds);
    for (int i = 0; i < 2; i++)
        emitter->times[i] = calloc(horizon, sizeof *emitter->times[i]);
    if (emitter->bounds != NULL && emitter->times[0] != NULL && emitter->times[1] != NULL)
        return emitter;
fail:
    emitter_free(emitter);
    return NULL;
}

void emitter_free(struct emitter *emitter) {
    if (emitter == NULL)
        return;
    for (int m = 0; emitter->forms != NULL && m < emitter->config->n_models; m++)
        form_fini(&emitter->forms[m]);
    free(emitter->forms);
    free(emitter->bounds);
    free(emitter->times[0]);
    free(emitter->times[1]);
    free(emitter);
}

static uint32_t flags_of(const struct forecast *forecast, const struct arrival *arrival) {
    uint32_t flags = arrival->ticks > 1 ? WIRE_FLAG(AGGREGATED) : 0;
    if (forecast->step_flags & STEP_GAP)
        flags |= WIRE_FLAG(GAP);
    if (forecast->step_flags & STEP_IMPUTED)
        flags |= WIRE_FLAG(MISSING);
    if (forecast->step_flags & STEP_PAUSED)
        flags |= WIRE_FLAG(PAUSED);
    if (forecast->step_flags & STEP_FILLED)
        flags |= WIRE_FLAG(FILLED);
    if (forecast->step_flags & STEP_REPLACED)
        flags |= WIRE_FLAG(REPLACED);
    if (forecast->step_flags & STEP_REORDERED)
        flags |= WIRE_FLAG(REORDERED);
    if (forecast->step_flags & STEP_CLOCK)
        flags |= WIRE_FLAG(CLOCK);
    if (forecast->warming)
        flags |= WIRE_FLAG(WARMING);
    if (forecast->capped)
        flags |= WIRE_FLAG(CAPPED);
    return flags;
}

static struct wire_means means_of(const struct score_means *means, const struct score_means *one_ahead,
                                  const struct score_level *levels, int n_levels, bool recent) {
    struct wire_means wire = {
        .mae = means->mae,
        .mae_last_value = means->mae_last_value,
        .mae_seasonal = means->mae_seasonal,
        .rmse = (float)score_rmse(means),
        .mase = (float)score_mase(means, one_ahead),
        .pinball = means->pinball,
    };
    for (int l = 0; l < n_levels; l++) {
        wire.coverage[l] = recent ? levels[l].coverage : (float)score_coverage(&levels[l]);
        wire.width[l] = recent ? levels[l].width : levels[l].width_all;
    }
    return wire;
}

static void add_scores(struct emitter *emitter, const struct config_model *model, const struct forecast *forecast,
                       struct wire_forecast *wire) {
    const struct score *scores = forecast->scores;
    for (int i = 0; i < forecast->n_scores; i++) {
        const struct score_level *levels = forecast->score_levels + i * model->n_levels;
        emitter->scores[i] = (struct wire_score){
            .h = scores[i].h,
            .n = scores[i].n,
            .recent = means_of(&scores[i].recent, &scores[0].recent, levels, model->n_levels, true),
            .all = means_of(&scores[i].all, &scores[0].all, levels, model->n_levels, false),
        };
    }
    wire->scores = emitter->scores;
    wire->n_scores = forecast->n_scores;
}

/* Copied: the forecaster has those of the latest forecast that it was asked for. */
static void add_times(struct emitter *emitter, const struct config_model *model, const struct forecast *forecast,
                      struct wire_forecast *wire) {
    if (forecast->times == NULL)
        return;
    memcpy(emitter->times[emitter->turn], forecast->times, (size_t)model->horizon * sizeof *forecast->times);
    wire->times = emitter->times[emitter->turn];
}

static void add_intervals(struct emitter *emitter, const struct config_model *model, const struct forecast *forecast,
                          struct wire_forecast *wire) {
    size_t each = (size_t)model->horizon * (size_t)model->n_targets, n = (size_t)model->n_levels;
    if (forecast->radii == NULL) /* without levels, and of a raw head */
        return;
    forecast_intervals(model, forecast, emitter->bounds, emitter->bounds + n * each);
    for (size_t l = 0; l < n; l++)
        emitter->intervals[l] = (struct wire_interval){.level = model->levels[l],
                                                       .lower = emitter->bounds + l * each,
                                                       .upper = emitter->bounds + (n + l) * each};
    wire->intervals = emitter->intervals;
    wire->n_intervals = model->n_levels;
}

static void add_shares(struct emitter *emitter, const struct forecast *forecast, struct wire_forecast *wire) {
    struct wire_share *shares = emitter->shares[emitter->turn];
    int n = 0;
    for (int e = 0; forecast->shares != NULL && e < EXPERT_COUNT; e++)
        if (forecast->shares[e] > 0)
            shares[n++] = (struct wire_share){emitter->experts[e], forecast->shares[e]};
    wire->shares = shares;
    wire->n_shares = n;
}

/* What goes out beside the forecast, or instead of one, where the network has run. */
static void add_outputs(struct emitter *emitter, const struct model_form *form, const struct forecast *forecast,
                        struct wire_forecast *wire) {
    for (int o = 0; o < forecast->n_outputs; o++) {
        emitter->outputs[o] = form->outputs[o];
        emitter->outputs[o].at = forecast->outputs[o].at;
    }
    wire->outputs = emitter->outputs;
    wire->n_outputs = forecast->n_outputs;
    for (int s = 0; forecast->state != NULL && s < form->n_states; s++)
        form->states[s].at = forecast->state + form->state_at[s];
    wire->states = form->states;
    wire->n_states = forecast->state != NULL ? form->n_states : 0;
}

static void add_labels(const struct event_score *event, struct wire_forecast *wire) {
    wire->has_labels = true;
    wire->labels = (struct wire_labels){.n = event->n,
                                        .accuracy = event->n > 0 ? event->recent.accuracy : NAN,
                                        .brier = event->n > 0 ? event->recent.brier : NAN,
                                        .accuracy_all = event->n > 0 ? event->all.accuracy : NAN,
                                        .brier_all = event->n > 0 ? event->all.brier : NAN};
}

static const enum wire_baseline baselines[] = {[BASELINE_LAST_VALUE] = WIRE_BASELINE_LAST_VALUE,
                                               [BASELINE_SEASONAL] = WIRE_BASELINE_SEASONAL,
                                               [BASELINE_LABELS] = WIRE_BASELINE_LABELS};

/* The latest forecast of a slot; the one that was made before it stays. */
static struct wire_forecast *wire_of(struct emitter *emitter, const struct batch *batch, int slot, int64_t now) {
    const struct forecast *forecast = forecaster_latest(batch->forecaster, slot);
    const struct config_model *model = &emitter->config->models[batch->model];
    const struct stream *stream = batch->streams[slot];
    const struct arrival *arrival = stream_arrival(stream, forecast->step);
    const struct model_form *form = &emitter->forms[batch->model];
    struct wire_forecast *wire = &emitter->latest[emitter->turn ^= 1];
    *wire = (struct wire_forecast){
        .stream = {stream->name, stream->name_length},
        .model = form->name,
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
        .targets = form->targets,
        .values = forecast->values,
        .mean = forecast->mean,
        .anomaly = forecast->anomaly,
        .flags = flags_of(forecast, arrival),
        .source = forecast->from_network ? WIRE_SOURCE_NETWORK : WIRE_SOURCE_BASELINE,
        .baseline = baselines[forecast->baseline],
        .received = arrival->received,
        .sent = now,
    };
    add_times(emitter, model, forecast, wire);
    add_scores(emitter, model, forecast, wire);
    add_intervals(emitter, model, forecast, wire);
    add_shares(emitter, forecast, wire);
    add_outputs(emitter, form, forecast, wire);
    if (forecast->event != NULL)
        add_labels(forecast->event, wire);
    return wire;
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
        struct model_form form = {0};
        if (!form_init(&form, model, config->classes[model->class].features)) {
            form_fini(&form); /* short of memory: emitter_new says so */
            continue;
        }
        struct wire_share shares[EXPERT_COUNT];
        for (int e = 0; e < EXPERT_COUNT; e++)
            shares[e].expert = text_of(expert_name((enum expert)e));
        /* The bound of wire_forecast_bound depends on counts and on the lengths of the texts alone. */
        struct wire_forecast forecast = {.stream = {"", WIRE_MAX_NAME},
                                         .model = text_of(model->name),
                                         .horizon = model->horizon,
                                         .n_targets = model->n_targets,
                                         .n_scores = scores_steps(model->scored, model->horizon, NULL),
                                         .n_intervals = model->n_levels,
                                         .shares = shares,
                                         .n_shares = EXPERT_COUNT,
                                         .times = times,
                                         .targets = form.targets};
        size_t one = wire_forecast_bound(&forecast);
        size_t bound = sizeof(struct record_message) + EMITTER_MAX_TOPIC + one + form.beside;
        form_fini(&form);
        most = bound > most ? bound : most;
    }
    return most;
}

static void *reserve(struct emitter *emitter, size_t n) {
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

void emitter_flush(struct emitter *emitter) {
    struct bundle *bundle = &emitter->bundle;
    struct record_message *record = bundle->record;
    if (record == NULL)
        return;
    char *begin = record->bytes + record->topic;
    record->payload = (size_t)(bundle->at - begin);
    wire_array_head(begin, record->forecasts);
    bundle->record = NULL;
    ring_commit(emitter->ring, sizeof *record + record->topic + record->payload);
}

void *emitter_reserve(struct emitter *emitter, size_t n) {
    emitter_flush(emitter);
    return reserve(emitter, n);
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

/* Asks for what wire_of reads of a stream, some slots ahead. */
enum { AHEAD = 4 };
static void fetch_stream(const struct stream *stream) {
    __builtin_prefetch(&stream->name);
    __builtin_prefetch(&stream->series);
}

/* With room for a forecast of `bound` bytes, and for so many of them as far as that is reasonable. */
static void open_bundle(struct emitter *emitter, int model, size_t bound, size_t forecasts) {
    static const char name[] = "bundle/";
    struct bundle *bundle = &emitter->bundle;
    struct wire_text text = emitter->forms[model].name;
    size_t head = sizeof *bundle->record + sizeof name + text.n + WIRE_ARRAY_HEAD,
           most = ring_max_record(emitter->ring);
    most = most < BUNDLE_BYTES ? most : BUNDLE_BYTES;
    most = most > head + bound ? most : head + bound;
    size_t size = (most - head) / bound < forecasts ? most : head + forecasts * bound;

    bundle->record = reserve(emitter, size);
    *bundle->record = (struct record_message){.kind = RECORD_BUNDLE, .topic = sizeof name + text.n};
    memcpy(bundle->record->bytes, name, sizeof name - 1);
    memcpy(bundle->record->bytes + sizeof name - 1, text.at, text.n + 1);
    bundle->model = model;
    bundle->at = bundle->record->bytes + bundle->record->topic + WIRE_ARRAY_HEAD;
    bundle->end = (char *)bundle->record + size;
}

/* to_come: forecasts, this one among them. */
static void emit_bundled(struct emitter *emitter, const struct batch *batch, int slot, size_t to_come, int64_t now) {
    struct bundle *bundle = &emitter->bundle;
    const struct wire_forecast *forecast = wire_of(emitter, batch, slot, now);
    size_t used = 0;
    if (bundle->record != NULL && bundle->model == batch->model)
        used = wire_forecast_encode_next(forecast, &emitter->latest[emitter->turn ^ 1], bundle->at,
                                         (size_t)(bundle->end - bundle->at));
    if (used == 0) {
        emitter_flush(emitter);
        open_bundle(emitter, batch->model, wire_forecast_bound(forecast), to_come);
        used = wire_forecast_encode(forecast, bundle->at, (size_t)(bundle->end - bundle->at));
        assert(used > 0);
    }
    bundle->at += used;
    bundle->record->forecasts++;
}

void emitter_forecasts(struct emitter *emitter, struct batch *batch, const int *slots, int n, int to_come) {
    int64_t now = clock_realtime();
    atomic_fetch_add_explicit(&emitter->count, (uint64_t)n, memory_order_relaxed);
    bool bundled = atomic_load_explicit(&emitter->interest->bundle, memory_order_relaxed);
    for (int i = 0; bundled && i < n; i++) {
        if (i + AHEAD < n)
            fetch_stream(batch->streams[slots[i + AHEAD]]);
        emit_bundled(emitter, batch, slots[i], (size_t)(n - i) + (size_t)to_come, now);
    }
    if (!atomic_load_explicit(&emitter->interest->single, memory_order_relaxed))
        return;
    for (int i = 0; i < n; i++)
        emit_single(emitter, batch, slots[i], wire_of(emitter, batch, slots[i], now));
}

void emitter_repeat(struct emitter *emitter, struct batch *batch, int slot) {
    struct wire_forecast *forecast = wire_of(emitter, batch, slot, clock_realtime());
    forecast->flags |= WIRE_FLAG(REPEAT);
    emit_single(emitter, batch, slot, forecast);
}

uint64_t emitter_waits(const struct emitter *emitter) {
    return atomic_load_explicit(&emitter->waits, memory_order_relaxed);
}

uint64_t emitter_count(const struct emitter *emitter) {
    return atomic_load_explicit(&emitter->count, memory_order_relaxed);
}
