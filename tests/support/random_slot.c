#include "tests/support/random_slot.h"

#include "engine/head.h"
#include "engine/pooled.h"
#include "engine/random.h"
#include "engine/scores.h"
#include "tests/support/floats.h"
#include "tests/support/layers.h"
#include "tests/support/replay.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

enum { PENDING = 5 };

/* ---- models ------------------------------------------------------------------------------------- */

static int below(struct rng *rng, int n) {
    return (int)rng_below(rng, (uint64_t)n);
}

/* Layers as if they had been read from a file. */
static void from_file(struct random_model *random, struct rng *rng) {
    struct error err;
    struct network_spec *spec = &random->keras.spec;
    bool raw = random->model.head == HEAD_RAW;
    *spec = (struct network_spec){.n_inputs = random->model.n_inputs, .layers = random->layers, .n_layers = 2};
    random->layers[0] = layer_spec_of(LAYER_LSTM, 3);
    random->layers[0].return_sequences = raw;
    random->layers[1] = layer_spec_of(LAYER_DENSE, raw ? 3 : random->model.horizon * random->model.n_targets);
    struct network *network = network_new(spec, &err);
    if (network == NULL)
        fail_msg("%s", err.text);
    random->keras.n_params = network_n_params(network);
    random->keras.params = floats_random(rng, random->keras.n_params, 0.8);
    random->model.keras = &random->keras;
    network_free(network);
}

static void draw_answers(struct random_model *random, struct rng *rng, bool small) {
    struct config_model *model = &random->model;
    model->n_targets = small ? 1 : 1 + below(rng, random->class.n_features);
    for (int j = 0; j < model->n_targets; j++)
        random->targets[j] = random->class.n_features - 1 - j;
    model->horizon = small ? 2 : 1 + below(rng, 7);
    model->period = small ? 0 : below(rng, 3) * 3;
    model->n_levels = small ? 1 : below(rng, 3);
    model->levels[0] = 70;
    model->levels[1] = 90;
    model->scored = (enum scored_steps)below(rng, 2);
    model->experts = (enum config_experts)below(rng, 3);
    model->combine = model->experts == EXPERTS_NONE ? COMBINE_ONLY + EXPERT_NETWORK
                     : below(rng, 3) > 0            ? COMBINE_ONLINE
                                                    : COMBINE_ONLY + below(rng, EXPERT_COUNT);
    model->n_alerts = small ? 1 : below(rng, 3);
    for (int a = 0; a < model->n_alerts; a++)
        random->alerts[a] = (struct config_alert){.target = below(rng, model->n_targets),
                                                  .above = a == 0 ? 1 : (double)NAN,
                                                  .below = a == 0 ? (double)NAN : -1,
                                                  .steps = 1 + below(rng, model->horizon),
                                                  .probability = 0.3};
    const enum loss losses[] = {LOSS_MSE, LOSS_GAUSSIAN, LOSS_QUANTILE};
    model->training.loss = model->mode == MODEL_WINDOWED ? LOSS_MSE : losses[below(rng, 3)];
    model->residual = below(rng, 2) > 0;
    if (model->mode == MODEL_STATEFUL && below(rng, 4) == 0)
        model->form = FORECAST_DIRECT;
}

static struct version *version_of(struct random_model *random, uint64_t number, struct rng *rng) {
    struct error err;
    struct network *network = forecaster_network(&random->model, &err);
    if (network == NULL)
        fail_msg("%s", err.text);
    network_init_weights(network, rng_next(rng));
    struct version *version = version_new(number, network);
    if (pooled_is_kept(&random->model))
        version_set_ridge(version, floats_random(rng, pooled_size(&random->model), 0.1));
    return version;
}

void random_model_init(struct random_model *random, uint64_t seed, enum random_kind kind, bool small) {
    static char name[] = "random";
    struct rng rng = {seed};
    int n_features = small ? 2 : 1 + below(&rng, RANDOM_FEATURES);
    *random = (struct random_model){
        .class = {.name = name,
                  .n_features = n_features,
                  .history = small ? 24 : 40 + below(&rng, 30),
                  .pending = PENDING,
                  .time.every = below(&rng, 3) == 0 ? 1000000000 : 0},
        .model = {.name = name,
                  .inputs = random->inputs,
                  .n_inputs = n_features,
                  .targets = random->targets,
                  .layers = random->layers,
                  .n_layers = 1,
                  .alerts = random->alerts,
                  .batch_size = RANDOM_FEW,
                  .window = 1,
                  .scaler = below(&rng, 4) == 0 ? SCALER_NONE : SCALER_STANDARD,
                  .publish_state = below(&rng, 2) > 0,
                  .reset_every = below(&rng, 3) == 0 ? INT64_C(60000000000) : 0,
                  .combine = COMBINE_ONLY + EXPERT_NETWORK,
                  .experts = EXPERTS_NONE,
                  .training = {.burn_in = below(&rng, 5)}},
        .layers = {LSTM(3)},
    };
    struct config_model *model = &random->model;
    for (int i = 0; i < n_features; i++)
        random->inputs[i] = i;
    if (kind == RANDOM_WINDOWED) {
        model->mode = MODEL_WINDOWED;
        model->window = 6;
        model->scaler = below(&rng, 2) > 0 ? SCALER_WINDOW : SCALER_STANDARD;
    }
    model->head = kind == RANDOM_RAW ? HEAD_RAW : kind == RANDOM_EVENT ? HEAD_EVENT : HEAD_FORECAST;
    if (model->head == HEAD_FORECAST)
        draw_answers(random, &rng, small);
    if (kind == RANDOM_EVENT) {
        random->class.labels = model->classes = 2 + below(&rng, 2);
        model->training.loss = model->classes == 2 ? LOSS_BINARY_CROSSENTROPY : LOSS_CATEGORICAL_CROSSENTROPY;
    }
    if (kind == RANDOM_WINDOWED || kind == RANDOM_RAW)
        from_file(random, &rng);
    for (uint64_t v = 1; v <= RANDOM_VERSIONS; v++)
        random->versions[v] = kind == RANDOM_BASELINE ? version_new(v, NULL) : version_of(random, v, &rng);
    random->many = *model;
    random->many.batch_size = RANDOM_MANY;
}

void random_model_fini(struct random_model *random) {
    for (int v = 0; v <= RANDOM_VERSIONS; v++)
        version_release(random->versions[v]);
    free(random->keras.params);
}

struct forecaster *random_forecaster(const struct random_model *random, int slots, int version) {
    const struct config_model *model = slots == RANDOM_FEW ? &random->model : &random->many;
    struct forecaster *forecaster = forecaster_new(&random->class, model, kernels_choose());
    assert_non_null(forecaster);
    if (version > 0)
        take_over(forecaster, version_acquire(random->versions[version]));
    return forecaster;
}

/* ---- a stream ----------------------------------------------------------------------------------- */

static struct history *history_of(const struct random_model *of) {
    struct history *history = history_new(of->class.n_features, of->class.history, of->class.pending);
    if (of->class.labels > 0)
        assert_int_equal(history_keep_labels(history), 0);
    return history;
}

void random_slot_open(struct random_slot *slot, struct random_model *of, struct forecaster *forecaster, int at,
                      uint64_t seed) {
    *slot = (struct random_slot){.of = of, .forecaster = forecaster, .slot = at, .seed = seed};
    slot->history = history_of(of);
    forecaster_acquire(forecaster, at, slot->history);
}

void random_slot_close(struct random_slot *slot) {
    forecaster_release(slot->forecaster, slot->slot);
    history_free(slot->history);
}

/* Some streams stand still at times, some leap. */
static double value_of(const struct random_slot *slot, struct rng *rng, uint64_t step, int feature) {
    double value = sin((double)(step + (uint64_t)feature)) + 0.5 * rng_normal(rng);
    if (slot->seed % 2 == 0 && step / 40 % 3 == 1)
        value = feature;
    if (slot->seed % 3 == 0 && rng_below(rng, 12) == 0)
        value += 60;
    if (slot->seed % 5 == 0 && step / 30 % 4 == 3)
        value *= 1e5;
    return rng_below(rng, 12) == 0 ? NAN : value;
}

static void append(struct random_slot *slot, struct rng *rng) {
    struct history *history = slot->history;
    uint64_t step = history->n + 1;
    double values[RANDOM_FEATURES];
    for (int f = 0; f < history->n_features; f++)
        values[f] = value_of(slot, rng, step, f);
    uint8_t gap = rng_below(rng, 40) == 0 ? STEP_GAP | (rng_below(rng, 2) > 0 ? STEP_RESET : 0) : 0;
    int64_t t =
        (int64_t)step * 1000000000 + (slot->of->class.time.every > 0 ? 0 : (int64_t)rng_below(rng, 500000000));
    history_append(history, t, values, gap);
}

static void tell_label(struct random_slot *slot, struct rng *rng) {
    struct history *history = slot->history;
    uint64_t back = rng_below(rng, 9);
    if (slot->of->class.labels == 0 || back >= history->n)
        return;
    uint64_t step = history_label(history, history_time(history, history->n - back),
                                  (float)rng_below(rng, (uint64_t)slot->of->class.labels));
    if (step > 0)
        forecaster_label(slot->forecaster, slot->slot, step);
}

static void set_state(struct random_slot *slot, struct rng *rng) {
    size_t n = forecaster_state(slot->forecaster, slot->slot).n;
    float *values = floats_random(rng, n, 0.9);
    if (n > 0)
        values[rng_below(rng, n)] = NAN;
    /* While one without a network takes over from one with, or the other way, no state is right. */
    assert_int_not_equal(forecaster_set_state(slot->forecaster, slot->slot, values, n), -1);
    free(values);
}

static bool see(struct random_slot *slot) {
    if (forecaster_pending(slot->forecaster, slot->slot) == 0)
        return false;
    forecaster_advance(slot->forecaster, &slot->slot, 1);
    return true;
}

void random_slot_settle(struct random_slot *slot) {
    while (see(slot))
        ;
}

bool random_slot_live(struct random_slot *slot) {
    const uint64_t key[] = {slot->seed, ++slot->happened};
    struct rng rng = {rng_hash(3, key, sizeof key)};
    uint64_t what = rng_below(&rng, 200);
    if (what < 40 && slot->of->class.labels > 0)
        tell_label(slot, &rng);
    else if (what < 42)
        history_pause(slot->history, !slot->history->paused);
    else if (what < 45) {
        random_slot_settle(slot);
        forecaster_reset(slot->forecaster, slot->slot);
        if (what == 42)
            history_reset(slot->history);
    } else if (what < 47) {
        random_slot_settle(slot);
        set_state(slot, &rng);
    } else if (forecaster_pending(slot->forecaster, slot->slot) < PENDING)
        append(slot, &rng);
    return what % 4 > 0 && see(slot);
}

/* ---- images ------------------------------------------------------------------------------------- */

void random_slot_save(const struct random_slot *slot, struct image *image) {
    struct image_io io;
    image_begin(&io, image);
    history_serialize(slot->history, &io);
    uint64_t n = slot->history->n, oldest = history_oldest(slot->history);
    if (n > 0)
        history_save(slot->history, oldest, n, &io);
    forecaster_save(slot->forecaster, slot->slot, &io);
    assert_int_equal(image_end(&io), 0);
}

int random_slot_load(struct random_slot *slot, struct random_model *of, struct forecaster *forecaster, int at,
                     uint64_t seed, uint64_t happened, const struct image *image, struct error *err) {
    struct image_io io;
    *slot = (struct random_slot){.of = of, .forecaster = forecaster, .slot = at, .seed = seed, .happened = happened};
    if (image_open(&io, image->bytes, image->n, err) != 0)
        return -1;
    slot->history = history_of(of);
    history_serialize(slot->history, &io);
    if (image_ok(&io) && slot->history->n > 0)
        history_load(slot->history, &io);
    if (forecaster_load(forecaster, at, slot->history, &io) == 0) {
        if (image_end(&io) == 0)
            return 0;
        forecaster_release(forecaster, at);
    }
    history_free(slot->history);
    return -1;
}

/* ---- comparison --------------------------------------------------------------------------------- */

static void same(const void *a, const void *b, size_t n, const char *what, const struct forecast *of) {
    if ((a == NULL) != (b == NULL) || (a != NULL && memcmp(a, b, n) != 0))
        fail_msg("%s at step %llu", what, (unsigned long long)of->step);
}

static void compare_alerts(const struct forecast *a, const struct forecast *b, int n) {
    for (int i = 0; i < n; i++) {
        const struct alert *one = &a->alerts[i], *other = &b->alerts[i];
        if (one->raised != other->raised || one->changed != other->changed || one->h != other->h)
            fail_msg("alert %d at step %llu", i, (unsigned long long)a->step);
        same(&one->probability, &other->probability, sizeof one->probability, "probability", a);
    }
    if (a->verdict != b->verdict || a->verdict_changed != b->verdict_changed)
        fail_msg("verdict at step %llu", (unsigned long long)a->step);
}

static void compare_outputs(const struct forecast *a, const struct forecast *b) {
    if (a->n_outputs != b->n_outputs)
        fail_msg("outputs at step %llu", (unsigned long long)a->step);
    for (int o = 0; o < a->n_outputs; o++) {
        size_t n = (size_t)a->outputs[o].shape.steps * (size_t)a->outputs[o].shape.width;
        same(a->outputs[o].at, b->outputs[o].at, n * sizeof(float), "output", a);
    }
    same(a->event, b->event, sizeof *a->event, "event's score", a);
}

void random_slots_compare(const struct random_slot *one, const struct random_slot *other) {
    const struct config_model *model = &one->of->model;
    const struct forecast *a = forecaster_latest(one->forecaster, one->slot);
    const struct forecast *b = forecaster_latest(other->forecaster, other->slot);
    assert_true(a != NULL && b != NULL);
    size_t targets = (size_t)model->n_targets, outputs = targets * (size_t)model->horizon;
    size_t levels = (size_t)model->n_levels, scores = (size_t)a->n_scores;
    if (a->step != b->step || a->t != b->t || a->version != b->version || a->primed != b->primed ||
        a->from_network != b->from_network || a->warming != b->warming || a->baseline != b->baseline ||
        a->step_flags != b->step_flags || a->n_scores != b->n_scores || a->capped != b->capped)
        fail_msg("step %llu of version %llu, %llu primed; %llu of %llu, %llu", (unsigned long long)a->step,
                 (unsigned long long)a->version, (unsigned long long)a->primed, (unsigned long long)b->step,
                 (unsigned long long)b->version, (unsigned long long)b->primed);
    same(a->times, b->times, (size_t)model->horizon * sizeof *a->times, "times", a);
    same(a->values, b->values, targets * sizeof *a->values, "values", a);
    same(a->mean, b->mean, outputs * sizeof *a->mean, "mean", a);
    same(a->own, b->own, levels * outputs * sizeof *a->own, "own intervals", a);
    same(a->shares, b->shares, EXPERT_COUNT * sizeof *a->shares, "shares", a);
    same(a->scores, b->scores, scores * sizeof *a->scores, "scores", a);
    same(a->score_levels, b->score_levels, scores * levels * sizeof *a->score_levels, "levels", a);
    same(a->radii, b->radii, levels * scores * targets * sizeof *a->radii, "radii", a);
    same(&a->anomaly, &b->anomaly, sizeof a->anomaly, "anomaly", a);
    compare_alerts(a, b, model->n_alerts);
    compare_outputs(a, b);
    same(a->state, b->state, forecaster_state(one->forecaster, one->slot).n * sizeof *a->state, "state", a);
}
