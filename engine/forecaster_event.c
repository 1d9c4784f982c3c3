/* A head of an event: its probabilities, or where there are none those of the labels so far, wait for the label of
 * their step, and are scored by it. */
#include "engine/forecaster_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int kept_steps(const struct forecaster *f) {
    return f->class->history + f->class->pending; /* as many as a history has */
}

static float *said_of(const struct forecaster *f, int slot, uint64_t step) {
    size_t at = (size_t)slot * (size_t)kept_steps(f) + (size_t)(step % (uint64_t)kept_steps(f));
    return f->said + at * (size_t)event_width(f->model->classes);
}

bool forecaster_event_new(struct forecaster *f) {
    size_t slots = (size_t)f->n_slots, width = (size_t)event_width(f->model->classes);
    f->raw_size = width;
    f->raw = calloc(slots * width, sizeof *f->raw);
    f->event = calloc(slots, sizeof *f->event);
    f->label_counts = calloc(slots * (size_t)f->model->classes, sizeof *f->label_counts);
    f->said = calloc(slots * (size_t)kept_steps(f) * width, sizeof *f->said);
    return f->raw != NULL && f->event != NULL && f->label_counts != NULL && f->said != NULL;
}

static double *counts_of(const struct forecaster *f, int slot) {
    return f->label_counts + (size_t)slot * (size_t)f->model->classes;
}

void forecaster_event_acquire(struct forecaster *f, int slot) {
    f->event[slot] = (struct event_score){0};
    memset(counts_of(f, slot), 0, (size_t)f->model->classes * sizeof(double));
    for (int i = 0; i < kept_steps(f); i++)
        *said_of(f, slot, (uint64_t)i) = NAN;
}

/* Instead of said probabilities: the step's label is not to score any. */
static const float unscored = -1;

/* The first label of a step counts. */
static void take(struct forecaster *f, int slot, uint64_t step) {
    float *said = said_of(f, slot, step), label = history_label_of(f->history[slot], step);
    if (isnan(*said) || !event_is_label(f->model->classes, (double)label))
        return;
    if (*said != unscored)
        event_score_add(&f->event[slot], f->model->classes, said, (int)label);
    event_count(counts_of(f, slot), f->model->classes, (int)label);
    *said = NAN;
}

void forecaster_event_finish(struct forecaster *f, int slot) {
    struct made *made = &f->made[slot];
    uint64_t step = forecaster_seen(f, slot);
    struct forecast_output *output = f->outputs + (size_t)slot * LAYER_PORTS;
    float *said = said_of(f, slot, step), *at = f->raw + (size_t)slot * f->raw_size;
    int width = event_width(f->model->classes);
    if (!made->from_network)
        event_baseline(counts_of(f, slot), f->model->classes, at);
    *output = (struct forecast_output){.shape = {.width = width, .steps = 1}, .at = at};
    made->n_outputs = 1;
    *said = NAN;
    if ((history_flags(f->history[slot], step) & STEP_PAUSED) != 0)
        return;
    memcpy(said, at, (size_t)width * sizeof *said);
    if (made->from_network && made->warming)
        *said = unscored;
    take(f, slot, step); /* where the label was quicker than the model */
}

void forecaster_label(struct forecaster *f, int slot, uint64_t step) {
    if (f->event != NULL && step <= forecaster_seen(f, slot))
        take(f, slot, step);
}

/* What waits for the label of a step. */
static void serialize_said(const struct forecaster *f, float *said, struct image_io *io) {
    enum { NOTHING, PROBABILITIES, UNSCORED };
    int what = isnan(*said) ? NOTHING : *said == unscored ? UNSCORED : PROBABILITIES;
    image_int(io, &what, NOTHING, UNSCORED, "neither probabilities nor none");
    if (what == PROBABILITIES)
        image_io(io, said, (size_t)event_width(f->model->classes));
    else
        *said = what == UNSCORED ? unscored : NAN;
}

void forecaster_event_serialize(struct forecaster *f, int slot, uint64_t step, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    struct event_score *score = &f->event[slot];
    uint64_t room = (uint64_t)kept_steps(f), n = step < room ? step : room;
    image_enter(io, "evnt", FORMAT, &section);
    image_io(&section, &score->n, 1);
    image_io(&section, &score->recent.brier, 1);
    image_io(&section, &score->recent.accuracy, 1);
    image_io(&section, &score->all.brier, 1);
    image_io(&section, &score->all.accuracy, 1);
    image_io(&section, counts_of(f, slot), (size_t)f->model->classes);
    image_number(&section, &n, step, sizeof(int32_t), "more probabilities than steps");
    /* Those that were written where the history was longer are overwritten by what follows. */
    for (uint64_t back = n; back > 0; back--)
        serialize_said(f, said_of(f, slot, step + 1 - back), &section);
    image_leave(io, &section);
}
