/* A version takes over: its lane replays the histories while the other serves. */
#include "engine/forecaster_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * A slice of a takeover replays PRIME_STEPS steps of one slot in PRIME_STEPS of the batch: the work of
 * one full advance, but concentrated, so that a slot gains on the ticks that go on arriving.
 */
enum { PRIME_STEPS = FORECASTER_PRIME_STEPS };

/* Room for what goes out beside the forecasts. All versions of a model have the same shapes. */
static bool allocate_published(struct forecaster *f, const struct network *network) {
    size_t slots = (size_t)f->n_slots;
    if (f->model->head == HEAD_RAW && f->raw == NULL) {
        for (int o = 0; o < network_n_outputs(network); o++) {
            struct network_shape shape = network_output(network, o, f->model->window);
            f->raw_size += (size_t)shape.steps * (size_t)shape.width;
        }
        f->raw = calloc(slots * f->raw_size, sizeof *f->raw);
    }
    f->state_size = network_state_size(network);
    if (f->model->publish_state && f->states == NULL)
        f->states = calloc(slots * f->state_size + 1, sizeof *f->states);
    return (f->raw != NULL || f->model->head != HEAD_RAW) && (f->states != NULL || !f->model->publish_state);
}

/* ---- what is told of it ----------------------------------------------------------------------- */

void forecaster_note_takeover(struct forecaster *f, const struct lane *lane, int slot) {
    struct workspace *work = f->work;
    if (lane->version == NULL)
        return;
    if (work->takeovers_of != f)
        f->n_takeovers = 0;
    work->takeovers_of = f;
    if (f->n_takeovers < f->n_slots)
        work->takeovers[f->n_takeovers++] = (struct takeover){.slot = slot,
                                                              .version = version_number(lane->version),
                                                              .began = lane->frozen[slot],
                                                              .step = lane->seen[slot]};
}

const struct takeover *forecaster_takeovers(struct forecaster *f, int *ret_n) {
    *ret_n = f->work->takeovers_of == f ? f->n_takeovers : 0;
    f->n_takeovers = 0;
    return f->work->takeovers;
}

/* ---- replays ------------------------------------------------------------------------------------ */

void forecaster_take_over(struct forecaster *f, int slot) {
    f->incoming->phase[slot] = LANE_READY;
    forecaster_note_takeover(f, f->incoming, slot);
    if (f->experts != NULL)
        experts_change_network(f->experts, slot, f->incoming->seen[slot]);
}

int forecaster_propose(struct forecaster *f, struct version *version) {
    if (f->incoming != NULL)
        return -1;
    const struct network *network = version_network(version);
    if (network != NULL && (forecaster_fit(f, network) != 0 || !allocate_published(f, network)))
        return -1;
    struct lane *lane = lane_new(f->n_slots, f->class->n_features, version);
    if (lane == NULL || readout_new(f->model, network, f->kernels, &lane->readout) != 0) {
        lane_free(lane);
        return -1;
    }
    f->incoming = lane;
    f->n_takeovers = 0;       /* whoever wants to know them has asked */
    forecaster_end_shadow(f); /* it ran beside a version that goes */
    return 0;
}

bool forecaster_taking_over(const struct forecaster *f) {
    return f->incoming != NULL;
}

uint64_t forecaster_replaying(const struct forecaster *f, int slot) {
    bool replays = f->incoming != NULL && f->incoming->phase[slot] == LANE_PRIMING;
    return replays ? f->serving->seen[slot] - f->incoming->seen[slot] : 0;
}

/* The slot's replay begins: where the state began anew, or as far back as is kept. */
static void begin_replay(struct forecaster *f, struct lane *lane, int slot) {
    uint64_t seen = f->serving->seen[slot], from = seen - history_reach(f->history[slot], seen);
    if (f->anew[slot] > from)
        from = f->anew[slot];
    for (int i = 0; i < f->class->n_features; i++)
        lane_scalers(lane, slot)[i] = lane_scalers(f->serving, slot)[i];
    lane_zero(lane, slot, from);
    if (lane->readout != NULL)
        readout_clear(lane->readout, slot);
    const struct given *given = given_of(f, slot);
    if (given != NULL && given->holds && from == f->anew[slot] && given->n == lane->state_size)
        memcpy(lane_state(lane, slot), given->values, given->n * sizeof *given->values);
    lane->frozen[slot] = seen;
    lane->phase[slot] = LANE_PRIMING;
}

/* One step more of each of the slots replayed[rows] of the workspace. */
static void replay_step(struct forecaster *f, struct lane *lane, int rows) {
    for (int row = 0; row < rows; row++) {
        int slot = f->work->replayed[row];
        uint64_t step = ++lane->seen[slot];
        if (step > lane->frozen[slot])
            lane_update_scalers(lane, slot, f->history[slot], step);
    }
    /* A window is in the history, and without a network there is nothing: no state to be rebuilt. */
    if (rows > 0 && f->model->mode == MODEL_STATEFUL && lane_network(lane) != NULL)
        runner_run(f->work->runner, lane, f->history, f->work->replayed, rows);
    for (int row = 0; row < rows && lane->readout != NULL; row++)
        read_out(f, lane, f->work->replayed[row], lane_state(lane, f->work->replayed[row]));
}

void forecaster_replay_at_once(struct forecaster *f, struct lane *lane, int slot) {
    begin_replay(f, lane, slot);
    f->work->replayed[0] = slot;
    while (lane->seen[slot] < lane->frozen[slot])
        replay_step(f, lane, 1);
    lane->phase[slot] = LANE_READY;
    forecaster_note_takeover(f, lane, slot);
    if (f->experts != NULL)
        experts_change_network(f->experts, slot, lane->seen[slot]);
}

/* Replays up to PRIME_STEPS steps of the given slots; those that have caught up take over, or run along. */
static void replay(struct forecaster *f, struct lane *lane, const int *slots, int n) {
    for (int s = 0; s < PRIME_STEPS; s++) {
        int rows = 0;
        for (int i = 0; i < n; i++)
            if (lane->seen[slots[i]] != f->serving->seen[slots[i]])
                f->work->replayed[rows++] = slots[i];
        replay_step(f, lane, rows);
    }
    for (int i = 0; i < n; i++) {
        if (lane->seen[slots[i]] != f->serving->seen[slots[i]])
            continue;
        if (lane == f->incoming)
            forecaster_take_over(f, slots[i]);
        else
            shadow_ready(f, slots[i]);
    }
}

bool forecaster_prime_lane(struct forecaster *f, struct lane *lane) {
    int most = f->n_slots / PRIME_STEPS > 0 ? f->n_slots / PRIME_STEPS : 1;
    int n = 0;
    /* Those under way first: their replay must stay ahead of the ring. */
    for (int slot = 0; slot < f->n_slots && n < most; slot++)
        if (f->history[slot] != NULL && lane->phase[slot] == LANE_PRIMING) {
            /* So much has come since the last slice that its next step has left the ring: anew. */
            if (lane->seen[slot] + 1 < history_oldest(f->history[slot]))
                begin_replay(f, lane, slot);
            f->work->row[n++] = slot;
        }
    for (int slot = 0; slot < f->n_slots && n < most; slot++)
        if (f->history[slot] != NULL && lane->phase[slot] == LANE_WAITING) {
            begin_replay(f, lane, slot);
            f->work->row[n++] = slot;
        }
    if (n > 0)
        replay(f, lane, f->work->row, n);
    return n > 0;
}

bool forecaster_prime(struct forecaster *f) {
    assert(f->incoming != NULL);
    if (forecaster_prime_lane(f, f->incoming))
        return false;
    lane_free(f->serving);
    f->serving = f->incoming;
    f->incoming = NULL;
    return true;
}
