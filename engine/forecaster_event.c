/* A head of an event: its probabilities wait for the label of their step, and are scored by it. */
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
    size_t slots = (size_t)f->n_slots;
    f->event = calloc(slots, sizeof *f->event);
    f->said = calloc(slots * (size_t)kept_steps(f) * (size_t)event_width(f->model->classes), sizeof *f->said);
    return f->event != NULL && f->said != NULL;
}

void forecaster_event_acquire(struct forecaster *f, int slot) {
    f->event[slot] = (struct event_score){0};
    for (int i = 0; i < kept_steps(f); i++)
        *said_of(f, slot, (uint64_t)i) = NAN;
}

/* Each forecast is scored once, by the first label. */
static void score(struct forecaster *f, int slot, uint64_t step) {
    float *said = said_of(f, slot, step), label = history_label_of(f->history[slot], step);
    if (isnan(*said) || !event_is_label(f->model->classes, (double)label))
        return;
    event_score_add(&f->event[slot], f->model->classes, said, (int)label);
    *said = NAN;
}

void forecaster_event_keep(struct forecaster *f, int slot) {
    const struct forecast *forecast = &f->forecasts[slot];
    float *said = said_of(f, slot, forecast->step);
    *said = NAN;
    if (!forecast->from_network || forecast->warming || (forecast->step_flags & STEP_PAUSED) != 0)
        return;
    memcpy(said, forecast->outputs[0].at, (size_t)event_width(f->model->classes) * sizeof *said);
    score(f, slot, forecast->step); /* where the label was quicker than the model */
}

void forecaster_label(struct forecaster *f, int slot, uint64_t step) {
    if (f->event != NULL && step <= forecaster_seen(f, slot))
        score(f, slot, step);
}
