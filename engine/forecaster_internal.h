/* The insides of a forecaster, for forecaster*.c: one concern in each. */
#ifndef ENGINE_FORECASTER_INTERNAL_H
#define ENGINE_FORECASTER_INTERNAL_H

#include "engine/experts.h"
#include "engine/forecaster.h"
#include "engine/lane.h"
#include "engine/workspace.h"

/* A state that was set. */
struct given {
    bool holds; /* it was as of `anew`, which a replay begins with */
    size_t n;
    float values[];
};

/* Of a slot's latest forecast, what does not follow from all else that is kept of the slot (forecaster_latest). */
struct made {
    uint64_t version, primed;
    uint8_t verdict;   /* enum verdict, of the stream: not of the forecast alone */
    uint8_t n_outputs; /* [slots x LAYER_PORTS] outputs that go with it */
    bool is_one : 1;   /* there is a forecast, made at the latest step that the slot has seen */
    bool from_network : 1, warming : 1;
    bool ran : 1, finite : 1; /* the network; what it gave is finite */
    bool verdict_changed : 1;
    bool news : 1; /* that, or some alert has changed */
};

struct forecaster {
    const struct config_class *class;
    const struct config_model *model;
    const struct kernels *kernels;
    int n_slots, n_outputs;
    struct lane *serving;
    struct lane *incoming;          /* NULL unless a version is taking over; it serves the slots that are ready */
    struct shadow *shadow;          /* NULL unless a version runs beside the one that serves */
    const struct history **history; /* [slots]; NULL: free */
    uint64_t *anew;          /* [slots] the step at which the state began anew or was set: no replay goes back */
    struct given **given;    /* [slots] NULL: none was set, of the slot or of any */
    double *interval;        /* [slots] ns, the mean between steps; 0: not known */
    struct scores *scores;   /* NULL: a raw head */
    struct alert *alerts;    /* [slots x n_alerts] */
    double *deviations;      /* [n_levels] of the normal distribution, within which it holds a level */
    struct experts *experts; /* NULL: a raw head, or a network without any */
    float *shares;           /* [slots x EXPERT_COUNT] without experts; else NULL */
    struct workspace *work;
    bool shares_work; /* others have the same: it is not its own */
    uint64_t not_finite, time_resets;
    struct forecast_errors errors; /* since they were asked for */
    int n_takeovers;               /* likewise, in the workspace; more than there are slots are not kept */

    /* The latest forecast of each slot. */
    struct made *made; /* [slots] */
    int *scored;       /* [horizon] which scored step each one is, whose means are in the scores; -1: none */
    double *unscored;  /* [slots x n_unscored x n_targets] the means of the others */
    int n_unscored;
    float *own;                /* [slots x n_levels x n_outputs] of a head that has intervals; else NULL */
    struct event_score *event; /* [slots] of a head of an event; else NULL */
    double *label_counts;      /* [slots x classes] of it: event_count */
    float *said;               /* [slots x steps of a history x event_width] its probabilities by step, NaN: none */
    float *raw;                /* [slots x floats of all outputs] of a raw head; NULL before a version comes in */
    size_t raw_size;
    struct forecast_output *outputs; /* [slots x LAYER_PORTS], into raw */
    float *states;                   /* [slots x state_size] as published; NULL: they are not */
    size_t state_size;
};

/* The state that was set of a slot; NULL: none. */
static inline struct given *given_of(const struct forecaster *f, int slot) {
    return f->given != NULL ? f->given[slot] : NULL;
}

/* Room for such a state of n numbers, and for some slot to have it (given). NULL when memory is short. */
struct given *given_new(struct forecaster *f, size_t n);
void given_free(struct forecaster *f, int slot);

/* The lane that serves a slot. */
static inline struct lane *lane_of(const struct forecaster *f, int slot) {
    return f->incoming != NULL && f->incoming->phase[slot] == LANE_READY ? f->incoming : f->serving;
}

/* The lane's readout, which it has, learns from the latest step of the slot. state: of the slot, NULL where it is not
 * finite. */
static inline void read_out(const struct forecaster *f, const struct lane *lane, int slot, const float *state) {
    uint64_t step = lane->seen[slot], last = (uint64_t)readout_last(lane->readout);
    bool warming = step - lane->zero[slot] < (uint64_t)f->model->training.burn_in;
    readout_see(lane->readout, slot, step, warming ? NULL : state,
                step > last ? residuals_of(experts_residuals(f->experts), slot, step - last) : NULL);
}

/* The lane's version serves the slot from the latest step on that it has seen, which forecaster_takeovers is to tell. */
void forecaster_note_takeover(struct forecaster *f, const struct lane *lane, int slot);
/* The version that comes in serves the slot from the latest step on that it has seen: its replay has caught up. */
void forecaster_take_over(struct forecaster *f, int slot);

/* Runs the lane's network for the slots row[rows] of the workspace, whose forecasts go to mean [slots x n_outputs] (a raw head's to
 * f->raw); finite says of which row they are. */
void forecaster_run(struct forecaster *f, const struct lane *lane, int rows, double *mean);

/* Its workspace has room for the network, or is given it: -1 when memory is short. */
int forecaster_fit(struct forecaster *f, const struct network *network);

/* A free slot becomes a stream's of which nothing is known; where its lanes stand the caller says. */
void forecaster_occupy(struct forecaster *f, int slot, const struct history *history);

/* The lane, which takes the slot over, replays its history at once, as of the latest step that it has seen in the
 * serving lane (which may be this one), with the scalers that it has there. */
void forecaster_replay_at_once(struct forecaster *f, struct lane *lane, int slot);

/* The replay of a slot in a lane that does not serve begins anew; one slice of it. Returns whether there was any slot
 * to be replayed. */
bool forecaster_prime_lane(struct forecaster *f, struct lane *lane);

/* What happens to the lane in the shadow (there is one): the slot is a new stream's, its state begins anew, or is
 * given; its replay has caught up. */
void shadow_acquire(struct forecaster *f, int slot);
void shadow_begin_anew(struct forecaster *f, int slot);
void shadow_give(struct forecaster *f, int slot, const float *values, size_t n);
void shadow_ready(struct forecaster *f, int slot);
/* It comes back from an image, and is to be replayed. */
void shadow_wait(struct forecaster *f, int slot);
/* What the version that serves has said at the latest step of the slot: mean [n_outputs], or NULL: the baseline. */
void shadow_note_serving(struct forecaster *f, int slot, const double *mean);
/* The shadow takes the step in that the serving lane has taken in, of each of the slots. */
void shadow_advance(struct forecaster *f, const int *slots, int n);

/* Of a head of an event (forecaster_event.c): memory, false where it is short; a slot begins; the probabilities of
 * the slot's latest step, the baseline's where the network gave none, are published, and kept until its label
 * comes. */
bool forecaster_event_new(struct forecaster *f);
void forecaster_event_acquire(struct forecaster *f, int slot);
void forecaster_event_finish(struct forecaster *f, int slot);
void forecaster_event_serialize(struct forecaster *f, int slot, uint64_t step, struct image_io *io);

/* Before the slot's next step: its state becomes zero where the step lies behind a gap or in another interval of
 * reset_every. */
void forecaster_begin_anew_where_due(struct forecaster *f, int slot);

#endif
