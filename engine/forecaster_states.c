/* States begin anew, are read and set. */
#include "engine/forecaster_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct given *given_new(struct forecaster *f, size_t n) {
    if (f->given == NULL && (f->given = calloc((size_t)f->n_slots, sizeof(struct given *))) == NULL)
        return NULL;
    struct given *given = malloc(sizeof *given + n * sizeof *given->values);
    if (given != NULL)
        *given = (struct given){.holds = true, .n = n};
    return given;
}

void given_free(struct forecaster *f, int slot) {
    if (f->given == NULL)
        return;
    free(f->given[slot]);
    f->given[slot] = NULL;
}

/* The slot's state becomes zero as of the latest step that it has seen, under the version that comes in too. */
static void begin_anew(struct forecaster *f, int slot) {
    struct lane *lane = lane_of(f, slot);
    uint64_t step = lane->seen[slot];
    f->anew[slot] = step;
    if (given_of(f, slot) != NULL)
        given_of(f, slot)->holds = false;
    lane_zero(lane, slot, step);
    if (f->experts != NULL)
        experts_begin_anew(f->experts, slot);
    if (f->shadow != NULL)
        shadow_begin_anew(f, slot);
    if (f->incoming == NULL || lane == f->incoming)
        return;
    /* Nothing before that is replayed: the slot has taken over at once. */
    for (int i = 0; i < f->class->n_features; i++)
        lane_scalers(f->incoming, slot)[i] = lane_scalers(f->serving, slot)[i];
    lane_zero(f->incoming, slot, step);
    if (f->incoming->readout != NULL)
        readout_clear(f->incoming->readout, slot);
    f->incoming->frozen[slot] = step;
    forecaster_take_over(f, slot);
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
                               .primed = lane_network(lane) != NULL ? step - lane->zero[slot] : 0,
                               .n = lane->state_size,
                               .values = lane_state(lane, slot)};
}

int forecaster_set_state(struct forecaster *f, int slot, const float *values, size_t n) {
    assert(f->history[slot] != NULL && forecaster_pending(f, slot) == 0);
    if (n != lane_of(f, slot)->state_size || (f->incoming != NULL && n != f->incoming->state_size))
        return -2;
    struct given *given = given_new(f, n);
    if (given == NULL)
        return -1;
    const float *before = lane_state(lane_of(f, slot), slot);
    for (size_t i = 0; i < n; i++)
        given->values[i] = isnan(values[i]) ? before[i] : values[i];
    given_free(f, slot);
    begin_anew(f, slot);
    f->given[slot] = given;
    memcpy(lane_state(lane_of(f, slot), slot), given->values, n * sizeof *given->values);
    if (f->shadow != NULL)
        shadow_give(f, slot, given->values, n);
    return 0;
}

void forecaster_begin_anew_where_due(struct forecaster *f, int slot) {
    const struct history *history = f->history[slot];
    uint64_t step = forecaster_seen(f, slot) + 1;
    if (!history_begins_anew(history, step, f->model->reset_every))
        return;
    f->time_resets += (history_flags(history, step) & STEP_RESET) == 0;
    begin_anew(f, slot);
}
