#include "engine/forecaster.h"

#include "engine/lane.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * A slice of a takeover replays PRIME_STEPS steps of one slot in PRIME_STEPS of the batch: the work of
 * one full advance, but concentrated, so that a slot gains on the ticks that go on arriving.
 */
enum { PRIME_STEPS = 8 };

/* Steps over which the interval of an irregular stream is averaged. */
enum { INTERVAL_MEMORY = 64 };

enum takeover {
    TAKEOVER_WAITING, /* its replay has not begun */
    TAKEOVER_PRIMING, /* its replay is under way in the incoming lane */
    TAKEOVER_DONE,    /* the incoming lane serves it */
};

/* A state that was set. */
struct given {
    bool holds; /* it was as of `anew`, which a replay begins with */
    size_t n;
    float values[];
};

struct forecaster {
    const struct config_class *class;
    const struct config_model *model;
    const struct kernels *kernels;
    int n_slots, n_outputs;
    struct lane *serving;
    struct lane *incoming;          /* NULL unless a version is taking over */
    const struct history **history; /* [slots]; NULL: free */
    enum takeover *takeover;        /* [slots] */
    uint64_t *frozen;               /* [slots] the step at which the replay began: scalers hold until then */
    uint64_t *anew;       /* [slots] the step at which the state began anew or was set: no replay goes back */
    struct given **given; /* [slots] NULL: none was set */
    double *interval;     /* [slots] ns, the mean between steps; 0: not known */
    struct scores *scores;
    uint64_t not_finite, time_resets;

    /* The latest forecast of each slot. */
    struct forecast *forecasts; /* [slots] */
    int64_t *times;             /* [slots x horizon] */
    double *values;             /* [slots x n_targets] */
    double *mean;               /* [slots x n_outputs] */

    /* Workspace, by row of a call. */
    int *row;      /* [slots] slots */
    float *x, *y;  /* [slots x n_inputs], [slots x n_outputs] */
    float **state; /* [slots] */
    float *work;   /* the network's; grown when a version comes in */
    size_t work_size;
    double *units; /* [n_targets] */
};

struct network *forecaster_network(const struct config_model *model, struct error *err) {
    struct layer_spec *layers = calloc((size_t)model->n_layers + 1, sizeof *layers);
    if (layers == NULL) {
        error_set(err, "model %s: out of memory", model->name);
        return NULL;
    }
    for (int i = 0; i < model->n_layers; i++)
        layers[i] = model->layers[i];
    layers[model->n_layers] = layer_spec_of(LAYER_DENSE, model->horizon * model->n_targets);
    const struct network_spec spec = {
        .mode = NETWORK_STREAM, .n_inputs = model->n_inputs, .layers = layers, .n_layers = model->n_layers + 1};
    struct network *network = network_new(&spec, err);
    if (network == NULL)
        error_prefix(err, "model %s", model->name);
    free(layers);
    return network;
}

static bool allocate(struct forecaster *f) {
    size_t slots = (size_t)f->n_slots, n_targets = (size_t)f->model->n_targets;
    f->serving = lane_new(f->n_slots, f->class->n_features, NULL);
    f->history = calloc(slots, sizeof *f->history);
    f->takeover = calloc(slots, sizeof *f->takeover);
    f->frozen = calloc(slots, sizeof *f->frozen);
    f->anew = calloc(slots, sizeof *f->anew);
    f->given = calloc(slots, sizeof(struct given *));
    f->interval = calloc(slots, sizeof *f->interval);
    f->scores = scores_new(f->n_slots, f->model->horizon, f->model->n_targets);
    f->row = calloc(slots, sizeof *f->row);
    f->x = calloc(slots * (size_t)f->model->n_inputs, sizeof *f->x);
    f->y = calloc(slots * (size_t)f->n_outputs, sizeof *f->y);
    f->state = calloc(slots, sizeof *f->state);
    f->forecasts = calloc(slots, sizeof *f->forecasts);
    f->times = calloc(slots * (size_t)f->model->horizon, sizeof *f->times);
    f->values = calloc(slots * n_targets, sizeof *f->values);
    f->mean = calloc(slots * (size_t)f->n_outputs, sizeof *f->mean);
    f->units = calloc(n_targets, sizeof *f->units);
    return f->serving != NULL && f->history != NULL && f->takeover != NULL && f->frozen != NULL && f->anew != NULL &&
           f->given != NULL && f->interval != NULL && f->scores != NULL && f->row != NULL && f->x != NULL &&
           f->y != NULL && f->state != NULL && f->forecasts != NULL && f->times != NULL && f->values != NULL &&
           f->mean != NULL && f->units != NULL;
}

struct forecaster *forecaster_new(const struct config_class *class, const struct config_model *model,
                                  const struct kernels *kernels) {
    struct forecaster *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->class = class;
    f->model = model;
    f->kernels = kernels;
    f->n_slots = model->batch_size;
    f->n_outputs = model->horizon * model->n_targets;
    if (!allocate(f)) {
        forecaster_free(f);
        return NULL;
    }
    return f;
}

void forecaster_free(struct forecaster *f) {
    if (f == NULL)
        return;
    lane_free(f->serving);
    lane_free(f->incoming);
    free(f->history);
    free(f->takeover);
    free(f->frozen);
    free(f->anew);
    for (int slot = 0; f->given != NULL && slot < f->n_slots; slot++)
        free(f->given[slot]);
    free(f->given);
    free(f->interval);
    scores_free(f->scores);
    free(f->row);
    free(f->x);
    free(f->y);
    free(f->state);
    free(f->work);
    free(f->forecasts);
    free(f->times);
    free(f->values);
    free(f->mean);
    free(f->units);
    free(f);
}

/* The lane that serves a slot. */
static struct lane *lane_of(const struct forecaster *f, int slot) {
    return f->incoming != NULL && f->takeover[slot] == TAKEOVER_DONE ? f->incoming : f->serving;
}

void forecaster_acquire(struct forecaster *f, int slot, const struct history *history) {
    assert(slot >= 0 && slot < f->n_slots && f->history[slot] == NULL && history != NULL);
    f->history[slot] = history;
    f->anew[slot] = history->n;
    f->interval[slot] = 0;
    f->forecasts[slot].step = 0;
    scores_restart(f->scores, slot);
    lane_clear(f->serving, slot);
    lane_zero(f->serving, slot, history->n);
    if (f->incoming == NULL)
        return;
    /* A zero state is right under any version: the newer one serves it from the start. */
    lane_clear(f->incoming, slot);
    lane_zero(f->incoming, slot, history->n);
    f->takeover[slot] = TAKEOVER_DONE;
}

void forecaster_release(struct forecaster *f, int slot) {
    assert(f->history[slot] != NULL);
    f->history[slot] = NULL;
    free(f->given[slot]);
    f->given[slot] = NULL;
}

/* ---- states begin anew, are read and set -------------------------------------------------- */

/* As of the latest step that the slot has seen. */
static void begin_anew(struct forecaster *f, int slot) {
    struct lane *lane = lane_of(f, slot);
    uint64_t step = lane->seen[slot];
    f->anew[slot] = step;
    if (f->given[slot] != NULL)
        f->given[slot]->holds = false;
    lane_zero(lane, slot, step);
    if (f->incoming == NULL || lane == f->incoming)
        return;
    /* Nothing before that is replayed: the slot has taken over at once. */
    for (int i = 0; i < f->class->n_features; i++)
        lane_scalers(f->incoming, slot)[i] = lane_scalers(f->serving, slot)[i];
    lane_zero(f->incoming, slot, step);
    f->takeover[slot] = TAKEOVER_DONE;
    scores_restart(f->scores, slot);
}

void forecaster_reset(struct forecaster *f, int slot) {
    assert(f->history[slot] != NULL && forecaster_pending(f, slot) == 0);
    begin_anew(f, slot);
}

struct slot_state forecaster_state(const struct forecaster *f, int slot) {
    const struct lane *lane = lane_of(f, slot);
    uint64_t step = lane->seen[slot];
    return (struct slot_state){.version = lane->version,
                               .step = step,
                               .primed = lane->version != NULL ? step - lane->zero[slot] : 0,
                               .n = lane->state_size,
                               .values = lane_state(lane, slot)};
}

int forecaster_set_state(struct forecaster *f, int slot, const float *values, size_t n) {
    assert(f->history[slot] != NULL && forecaster_pending(f, slot) == 0);
    if (n != lane_of(f, slot)->state_size || (f->incoming != NULL && n != f->incoming->state_size))
        return -2;
    struct given *given = malloc(sizeof *given + n * sizeof *given->values);
    if (given == NULL)
        return -1;
    const float *before = lane_state(lane_of(f, slot), slot);
    for (size_t i = 0; i < n; i++)
        given->values[i] = isnan(values[i]) ? before[i] : values[i];
    given->n = n;
    given->holds = true;
    free(f->given[slot]);
    f->given[slot] = NULL;
    begin_anew(f, slot);
    f->given[slot] = given;
    memcpy(lane_state(lane_of(f, slot), slot), given->values, n * sizeof *given->values);
    return 0;
}

uint64_t forecaster_pending(const struct forecaster *f, int slot) {
    return f->history[slot]->n - forecaster_seen(f, slot);
}

uint64_t forecaster_seen(const struct forecaster *f, int slot) {
    return lane_of(f, slot)->seen[slot];
}

uint64_t forecaster_version(const struct forecaster *f) {
    return f->serving->version != NULL ? version_number(f->serving->version) : 0;
}

uint64_t forecaster_not_finite(const struct forecaster *f) {
    return f->not_finite;
}

uint64_t forecaster_time_resets(const struct forecaster *f) {
    return f->time_resets;
}

/* ---- an advance --------------------------------------------------------------------------- */

static void see_interval(struct forecaster *f, int slot, uint64_t step) {
    const struct history *history = f->history[slot];
    if (step < 2 || (history_flags(history, step) & STEP_GAP) != 0)
        return;
    /* Subtracted as integers: a double counts today's ns by the hundreds. Unsigned: it may exceed int64. */
    double between = (double)((uint64_t)history_time(history, step) - (uint64_t)history_time(history, step - 1));
    /* The first one counts whole, also where the slot was acquired with a past. */
    uint64_t n = f->interval[slot] > 0 ? step - 1 : 1;
    f->interval[slot] += (between - f->interval[slot]) / (double)(n < INTERVAL_MEMORY ? n : INTERVAL_MEMORY);
}

/* Target times: exact for fixed intervals, by the mean interval otherwise. NULL while that is not known. */
static const int64_t *target_times(const struct forecaster *f, int slot, int64_t t) {
    int64_t interval = f->class->time.every > 0 ? f->class->time.every : llround(f->interval[slot]);
    int64_t *times = f->times + (size_t)slot * (size_t)f->model->horizon;
    for (int h = 0; h < f->model->horizon; h++) {
        int64_t ahead;
        if (interval <= 0 || __builtin_mul_overflow(interval, (int64_t)h + 1, &ahead) ||
            __builtin_add_overflow(t, ahead, &times[h]))
            return NULL;
    }
    return times;
}

static void forecast_baseline(const struct forecaster *f, struct forecast *forecast, double *mean) {
    const struct config_model *model = f->model;
    forecast->from_network = false;
    for (int h = 1; h <= model->horizon; h++)
        for (int j = 0; j < model->n_targets; j++)
            *mean++ = baseline_forecast(forecast->baseline, f->history[forecast->slot], forecast->step,
                                        model->targets[j], h, model->period);
}

/* The network's output y [n_outputs] in the unit of the targets. Returns false when it is not finite. */
static bool forecast_network(const struct forecaster *f, struct forecast *forecast, const struct lane *lane,
                             const float *y, double *mean) {
    const struct config_model *model = f->model;
    const struct history *history = f->history[forecast->slot];
    const struct scaler *scalers = lane_scalers(lane, forecast->slot);
    forecast->from_network = true;
    for (int j = 0; j < model->n_targets; j++) {
        int feature = model->targets[j];
        double unit = scaler_unit(model->scaler, &scalers[feature]);
        double from = model->residual ? baseline_last_value(history, forecast->step, feature)
                                      : scaler_unscale(model->scaler, &scalers[feature], 0);
        for (int h = 0; h < model->horizon; h++) {
            double z = (double)y[h * model->n_targets + j];
            if (!isfinite(z))
                return false;
            /* A target never seen (from is NaN) has no forecast, and that is no fault of the network. */
            mean[h * model->n_targets + j] = from + unit * z;
        }
    }
    return true;
}

/* Before the network: the step enters scalers and scores. */
static void take_step(struct forecaster *f, struct lane *lane, int slot) {
    const struct config_model *model = f->model;
    const struct history *history = f->history[slot];
    uint64_t step = lane->seen[slot] + 1;
    assert(step <= history->n);
    lane_update_scalers(lane, slot, history, step);
    see_interval(f, slot, step);

    double *values = f->values + (size_t)slot * (size_t)model->n_targets;
    for (int j = 0; j < model->n_targets; j++) {
        values[j] = history_observed(history, step, model->targets[j]);
        f->units[j] = scaler_unit(model->scaler, &lane_scalers(lane, slot)[model->targets[j]]);
    }
    scores_answer(f->scores, slot, history, step, model->targets, f->units, model->period);
    lane->seen[slot] = step;
    int64_t t = history_time(history, step);
    f->forecasts[slot] = (struct forecast){
        .slot = slot,
        .step = step,
        .t = t,
        .version = lane->version != NULL ? version_number(lane->version) : 0,
        .baseline = model->period > 0 ? BASELINE_SEASONAL : BASELINE_LAST_VALUE,
        .step_flags = history_flags(history, step),
        .times = target_times(f, slot, t),
        .values = values,
        .mean = f->mean + (size_t)slot * (size_t)f->n_outputs,
        .scores = scores_of(f->scores, slot),
        .n_scores = scores_count(f->scores),
    };
}

/* After the network: y is the row's output, or NULL where no network serves. */
static void finish_step(struct forecaster *f, struct lane *lane, int slot, const float *y) {
    struct forecast *forecast = &f->forecasts[slot];
    double *mean = f->mean + (size_t)slot * (size_t)f->n_outputs;
    if (y != NULL && !forecast_network(f, forecast, lane, y, mean)) {
        f->not_finite++;
        lane_zero(lane, slot, forecast->step);
        y = NULL;
    }
    if (y == NULL)
        forecast_baseline(f, forecast, mean);
    forecast->primed = lane->version != NULL ? forecast->step - lane->zero[slot] : 0;
    forecast->warming = forecast->from_network && forecast->primed < (uint64_t)f->model->training.burn_in;
    scores_publish(f->scores, slot, forecast->step, mean);
}

static void run_network(const struct forecaster *f, const struct lane *lane, int rows) {
    network_forward(version_network(lane->version), f->kernels, rows, 1, f->x, f->state, &f->y, f->work);
}

/* Advances those of the given slots that a lane serves. */
static void advance_lane(struct forecaster *f, struct lane *lane, const int *slots, int n) {
    size_t n_inputs = (size_t)f->model->n_inputs, n_outputs = (size_t)f->n_outputs;
    int rows = 0;
    for (int i = 0; i < n; i++) {
        int slot = slots[i];
        if (lane_of(f, slot) != lane)
            continue;
        take_step(f, lane, slot);
        lane_gather(lane, slot, f->history[slot], lane->seen[slot], f->model, f->x + (size_t)rows * n_inputs);
        f->state[rows] = lane_state(lane, slot);
        f->row[rows++] = slot;
    }
    if (rows > 0 && lane->version != NULL)
        run_network(f, lane, rows);
    for (int r = 0; r < rows; r++)
        finish_step(f, lane, f->row[r], lane->version != NULL ? f->y + (size_t)r * n_outputs : NULL);
}

/* Before a step that a slot's state begins anew with. */
static void begin_anew_where_due(struct forecaster *f, int slot) {
    const struct history *history = f->history[slot];
    uint64_t step = forecaster_seen(f, slot) + 1;
    if (!history_begins_anew(history, step, f->model->reset_every))
        return;
    f->time_resets += (history_flags(history, step) & STEP_RESET) == 0;
    begin_anew(f, slot);
}

void forecaster_advance(struct forecaster *f, const int *slots, int n) {
    assert(n > 0 && n <= f->n_slots);
    for (int i = 0; i < n; i++)
        begin_anew_where_due(f, slots[i]);
    advance_lane(f, f->serving, slots, n);
    if (f->incoming != NULL)
        advance_lane(f, f->incoming, slots, n);
}

const struct forecast *forecaster_latest(const struct forecaster *f, int slot) {
    assert(f->history[slot] != NULL);
    return f->forecasts[slot].step > 0 ? &f->forecasts[slot] : NULL;
}

const struct scaler *forecaster_scalers(const struct forecaster *f, int slot) {
    return lane_scalers(lane_of(f, slot), slot);
}

/* ---- taking over -------------------------------------------------------------------------- */

int forecaster_propose(struct forecaster *f, struct version *version) {
    if (f->incoming != NULL)
        return -1;
    const struct network *network = version_network(version);
    assert(network_n_inputs(network) == f->model->n_inputs && network_output(network, 0, 1).width == f->n_outputs);
    size_t work_size = network_work_size(network, f->n_slots, 1);
    if (work_size > f->work_size) {
        float *work = realloc(f->work, work_size * sizeof *work);
        if (work == NULL)
            return -1;
        f->work = work;
        f->work_size = work_size;
    }
    f->incoming = lane_new(f->n_slots, f->class->n_features, version);
    if (f->incoming == NULL)
        return -1;
    for (int slot = 0; slot < f->n_slots; slot++)
        f->takeover[slot] = TAKEOVER_WAITING;
    return 0;
}

bool forecaster_taking_over(const struct forecaster *f) {
    return f->incoming != NULL;
}

/* The slot's replay begins: where the state began anew, or as far back as is kept. */
static void begin_replay(struct forecaster *f, int slot) {
    const struct history *history = f->history[slot];
    uint64_t seen = f->serving->seen[slot], kept = (uint64_t)history->kept;
    uint64_t from = seen > kept ? seen - kept : 0;
    if (f->anew[slot] > from)
        from = f->anew[slot];
    for (int i = 0; i < f->class->n_features; i++)
        lane_scalers(f->incoming, slot)[i] = lane_scalers(f->serving, slot)[i];
    lane_zero(f->incoming, slot, from);
    const struct given *given = f->given[slot];
    if (given != NULL && given->holds && from == f->anew[slot] && given->n == f->incoming->state_size)
        memcpy(lane_state(f->incoming, slot), given->values, given->n * sizeof *given->values);
    f->frozen[slot] = seen;
    f->takeover[slot] = TAKEOVER_PRIMING;
}

/* Replays up to PRIME_STEPS steps of the given slots; those that have caught up take over. */
static void replay(struct forecaster *f, int *slots, int n) {
    struct lane *lane = f->incoming;
    size_t n_inputs = (size_t)f->model->n_inputs;
    for (int s = 0; s < PRIME_STEPS; s++) {
        int rows = 0;
        for (int i = 0; i < n; i++) {
            int slot = slots[i];
            if (lane->seen[slot] == f->serving->seen[slot])
                continue;
            uint64_t step = ++lane->seen[slot];
            if (step > f->frozen[slot])
                lane_update_scalers(lane, slot, f->history[slot], step);
            lane_gather(lane, slot, f->history[slot], step, f->model, f->x + (size_t)rows * n_inputs);
            f->state[rows++] = lane_state(lane, slot);
        }
        if (rows > 0)
            run_network(f, lane, rows);
    }
    for (int i = 0; i < n; i++) {
        if (lane->seen[slots[i]] != f->serving->seen[slots[i]])
            continue;
        f->takeover[slots[i]] = TAKEOVER_DONE;
        scores_restart(f->scores, slots[i]);
    }
}

bool forecaster_prime(struct forecaster *f) {
    assert(f->incoming != NULL);
    int most = f->n_slots / PRIME_STEPS > 0 ? f->n_slots / PRIME_STEPS : 1;
    int n = 0;
    /* Those under way first: their replay must stay ahead of the ring. */
    for (int slot = 0; slot < f->n_slots && n < most; slot++)
        if (f->history[slot] != NULL && f->takeover[slot] == TAKEOVER_PRIMING) {
            /* So much has come since the last slice that its next step has left the ring: anew. */
            if (f->incoming->seen[slot] + 1 < history_oldest(f->history[slot]))
                begin_replay(f, slot);
            f->row[n++] = slot;
        }
    for (int slot = 0; slot < f->n_slots && n < most; slot++)
        if (f->history[slot] != NULL && f->takeover[slot] == TAKEOVER_WAITING) {
            begin_replay(f, slot);
            f->row[n++] = slot;
        }
    if (n > 0) {
        replay(f, f->row, n);
        return false;
    }
    lane_free(f->serving);
    f->serving = f->incoming;
    f->incoming = NULL;
    return true;
}
