/* A slot as a section of an image, and back. */
#include "engine/forecaster_internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char tag[] = "fcst";
enum { FORMAT = 1 };

/* ---- what shapes a slot ------------------------------------------------------------------------- */

/* A key of the configuration, its value or a sum of it. */
struct key {
    const char *name;
    uint32_t value;
    bool number; /* its value, which can be said */
};
enum { KEYS = 16 };

static uint32_t sum_of(const void *bytes, size_t n) {
    return (uint32_t)image_sum(bytes, n);
}

static uint32_t features_sum(const struct config_class *class) {
    uint64_t sum = 0;
    for (int i = 0; i < class->n_features && class->features != NULL; i++) {
        const uint64_t both[] = {sum, image_sum(class->features[i], strlen(class->features[i]))};
        sum = image_sum(both, sizeof both);
    }
    return (uint32_t)sum ^ (uint32_t) class->n_features;
}

static void keys_of(const struct forecaster *f, struct key ret[KEYS]) {
    const struct config_model *model = f->model;
    const struct loss_spec loss = head_loss(model);
    bool full = f->experts != NULL && model->experts == EXPERTS_FULL;
    const struct key keys[KEYS] = {
        {"features", features_sum(f->class), false},
        {"inputs", sum_of(model->inputs, (size_t)model->n_inputs * sizeof *model->inputs), false},
        {"targets", sum_of(model->targets, (size_t)model->n_targets * sizeof *model->targets), false},
        {"horizon", (uint32_t)model->horizon, true},
        {"period", (uint32_t)model->period, true},
        {"levels", sum_of(model->levels, (size_t)model->n_levels * sizeof *model->levels), false},
        {"scored", (uint32_t)model->scored, false},
        {"experts", (uint32_t)model->experts, false},
        {"combine", (uint32_t)readout_is_wanted(model), false},
        {"head", (uint32_t)model->head, false},
        {"classes", (uint32_t)model->classes, true},
        {"mode", (uint32_t)model->mode, false},
        {"window", (uint32_t)model->window, true},
        {"scaler", (uint32_t)model->scaler, false},
        {"training.loss", (uint32_t)(loss_width(&loss) > 1), false},
        {"history", full ? (uint32_t)f->class->history : 0, true}, /* what regressions look back at */
    };
    memcpy(ret, keys, sizeof keys);
}

static void serialize_keys(const struct forecaster *f, struct image_io *io) {
    struct key keys[KEYS];
    keys_of(f, keys);
    for (int k = 0; k < KEYS; k++) {
        uint32_t value = keys[k].value;
        image_io(io, &value, 1);
        if (!image_reads(io) || !image_ok(io) || value == keys[k].value)
            continue;
        if (keys[k].number)
            image_refuse(io, "model %s: the image was made with %s %u, and the configuration has %u", f->model->name,
                         keys[k].name, value, keys[k].value);
        else
            image_refuse(io, "model %s: the image was made with another value of %s than the configuration has",
                         f->model->name, keys[k].name);
    }
}

/* ---- its parts ---------------------------------------------------------------------------------- */

/* A state that was set, while it holds. */
static void serialize_given(struct forecaster *f, int slot, struct image_io *io) {
    struct given *given = given_of(f, slot);
    bool holds = given != NULL && given->holds;
    image_bool(io, &holds);
    if (!holds)
        return;
    uint64_t n = image_reads(io) ? 0 : given->n;
    image_number(io, &n, UINT64_MAX, sizeof *given->values, "a state of another size");
    if (image_reads(io)) {
        given = given_new(f, (size_t)n);
        if (given == NULL) {
            image_refuse(io, "out of memory");
            return;
        }
        f->given[slot] = given;
    }
    image_io(io, given->values, (size_t)n);
}

/* Of what is told, not of the bounds, which may change while streams live. */
static uint32_t alerts_sum(const struct config_model *model) {
    uint64_t sum = 0;
    for (int a = 0; a < model->n_alerts; a++) {
        const struct config_alert *alert = &model->alerts[a];
        const double parts[] = {(double)sum, alert->target, isnan(alert->above), alert->steps, (double)alert->time};
        sum = (uint32_t)image_sum(parts, sizeof parts);
    }
    return (uint32_t)sum;
}

/* Where they are others than they were, none is raised. */
static void serialize_alerts(struct forecaster *f, int slot, struct image_io *io) {
    enum { ALERTS_FORMAT = 1 };
    struct image_io section;
    uint32_t sum = alerts_sum(f->model), own = sum;
    int verdict = f->made[slot].verdict;
    image_enter(io, "alrt", ALERTS_FORMAT, &section);
    image_int(&section, &verdict, VERDICT_GOOD, VERDICT_WORSE_THAN_LAST_VALUE, "no verdict");
    f->made[slot].verdict = (uint8_t)verdict;
    image_io(&section, &sum, 1);
    for (int a = 0; a < f->model->n_alerts && sum == own; a++) {
        struct alert *alert = &f->alerts[slot * f->model->n_alerts + a];
        image_bool(&section, &alert->raised);
        image_int(&section, &alert->h, 0, f->model->horizon, "an alert beyond the horizon");
        image_io(&section, &alert->probability, 1);
    }
    if (sum != own)
        image_skip(&section, image_left(&section));
    image_leave(io, &section);
}

/* What goes on whichever version serves. */
static void serialize_learnt(struct forecaster *f, int slot, uint64_t step, struct image_io *io) {
    if (f->scores != NULL) {
        serialize_alerts(f, slot, io);
        scores_serialize(f->scores, slot, step, io);
    }
    if (f->experts != NULL)
        experts_serialize(f->experts, slot, step, f->history[slot]->first, io);
    if (f->event != NULL)
        forecaster_event_serialize(f, slot, step, io);
}

static void serialize_place(struct forecaster *f, struct lane *lane, int slot, struct image_io *io) {
    uint64_t *seen = &lane->seen[slot];
    image_count(io, seen, f->history[slot]->n, "it stands behind the newest step of its history");
    image_count(io, &f->anew[slot], *seen, "a state that begins behind the newest step");
    image_io(io, &f->interval[slot], 1);
    if (image_reads(io))
        image_check(io, f->interval[slot] >= 0 && isfinite(f->interval[slot]), "no interval between steps");
    for (int i = 0; i < f->class->n_features; i++)
        scaler_serialize(&lane_scalers(lane, slot)[i], io);
    serialize_given(f, slot, io);
}

static struct saved_version version_of(const struct lane *lane) {
    if (lane == NULL || lane->version == NULL)
        return (struct saved_version){0};
    return (struct saved_version){.number = version_number(lane->version), .weights = version_weights(lane->version)};
}

static void serialize_version(struct saved_version *version, struct image_io *io) {
    image_io(io, &version->number, 1);
    image_io(io, &version->weights, 1);
}

/* ---- out ---------------------------------------------------------------------------------------- */

bool forecaster_can_save(const struct forecaster *f, int slot) {
    return f->history[slot] != NULL && (f->incoming == NULL || f->incoming->phase[slot] != LANE_PRIMING);
}

void forecaster_save(const struct forecaster *from, int slot, struct image_io *io) {
    assert(forecaster_can_save(from, slot) && !image_reads(io));
    struct forecaster *f = (struct forecaster *)(uintptr_t)from; /* writing leaves all as it is */
    struct lane *lane = lane_of(f, slot);
    struct saved_version version = version_of(lane);
    struct image_io section;
    image_enter(io, tag, FORMAT, &section);
    serialize_version(&version, &section);
    serialize_keys(f, &section);
    serialize_place(f, lane, slot, &section);
    lane_serialize(lane, slot, &section);
    serialize_learnt(f, slot, lane->seen[slot], &section);
    image_leave(io, &section);
}

/* ---- and back ----------------------------------------------------------------------------------- */

int forecaster_peek(const struct image_io *io, struct saved_version *ret) {
    struct image_io copy = *io, section;
    struct saved_version version = {0};
    struct error err;
    copy.err = &err;
    if (!image_comes(io, tag))
        return -1;
    image_enter(&copy, tag, FORMAT, &section);
    serialize_version(&version, &section);
    image_skip(&section, KEYS * sizeof(uint32_t));
    image_count(&section, &version.step, UINT64_MAX, "a step");
    if (!image_ok(&section))
        return -1;
    *ret = version;
    return 0;
}

static bool is_of(const struct lane *lane, const struct saved_version *saved) {
    struct saved_version own = version_of(lane);
    return lane != NULL && own.number == saved->number && own.weights == saved->weights;
}

/* The lane that has the version, or NULL. */
static struct lane *find_lane(const struct forecaster *f, const struct saved_version *version) {
    if (is_of(f->incoming, version))
        return f->incoming;
    return is_of(f->serving, version) ? f->serving : NULL;
}

/* What a replay and the next step look back at must be there. */
static void check_history(const struct forecaster *f, int slot, struct image_io *io) {
    const struct history *history = f->history[slot];
    uint64_t seen = f->serving->seen[slot];
    if (!image_ok(io))
        return;
    if (seen > 0 && seen < history_oldest(history))
        image_refuse(io, "model %s: the image stands at step %llu, and the stream's history begins at %llu",
                     f->model->name, (unsigned long long)seen, (unsigned long long)history_oldest(history));
    else if (history->n - seen > (uint64_t)history->pending)
        image_refuse(io, "model %s: the image stands at step %llu, more than `pending` behind the newest one, %llu",
                     f->model->name, (unsigned long long)seen, (unsigned long long)history->n);
}

/* All of the slot but what follows from who serves. Returns the lane whose version it has had. */
static struct lane *load(struct forecaster *f, int slot, struct image_io *io) {
    struct saved_version version = {0};
    serialize_version(&version, io);
    serialize_keys(f, io);
    serialize_place(f, f->serving, slot, io);
    check_history(f, slot, io);
    uint64_t seen = f->serving->seen[slot];
    struct lane *lane = find_lane(f, &version);
    if (f->incoming != NULL) {
        lane_clear(f->incoming, slot);
        f->incoming->seen[slot] = seen;
        f->incoming->phase[slot] = LANE_WAITING;
    }
    if (lane != NULL)
        lane_serialize(lane, slot, io);
    else
        image_pass(io, "lane");
    serialize_learnt(f, slot, seen, io);
    return lane;
}

/* The slot takes its place: served by the lane, or by the one that replays its history (NULL). */
static void settle(struct forecaster *f, struct lane *lane, int slot) {
    uint64_t first = f->history[slot]->first;
    if (lane == NULL) {
        forecaster_replay_at_once(f, f->incoming != NULL ? f->incoming : f->serving, slot);
    } else if (lane == f->incoming) {
        memcpy(lane_scalers(lane, slot), lane_scalers(f->serving, slot),
               (size_t)lane->n_features * sizeof *lane->scalers);
        lane->phase[slot] = LANE_READY;
    }
    if (lane != NULL && first > 0 && f->model->mode == MODEL_WINDOWED && lane->zero[slot] < first - 1)
        lane->zero[slot] = first - 1; /* there is no window before */
    if (f->shadow != NULL)
        shadow_wait(f, slot);
}

int forecaster_load(struct forecaster *f, int slot, const struct history *history, struct image_io *io) {
    assert(image_reads(io));
    struct image_io behind = *io, section;
    if (!image_ok(io))
        return -1;
    image_enter(io, tag, FORMAT, &section);
    if (!image_ok(&section))
        return -1;
    image_pass(&behind, tag);
    forecaster_occupy(f, slot, history);
    struct lane *lane = load(f, slot, &section);
    image_leave(io, &section);
    bool good = image_ok(io);
    *io = behind;
    if (good)
        settle(f, lane, slot);
    else
        forecaster_release(f, slot);
    return good ? 0 : -1;
}
