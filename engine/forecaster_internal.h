/* The insides of a forecaster, for forecaster*.c: one concern in each. */
#ifndef ENGINE_FORECASTER_INTERNAL_H
#define ENGINE_FORECASTER_INTERNAL_H

#include "engine/experts.h"
#include "engine/forecaster.h"
#include "engine/lane.h"
#include "engine/runner.h"

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
    uint64_t *anew;          /* [slots] the step at which the state began anew or was set: no replay goes back */
    struct given **given;    /* [slots] NULL: none was set */
    double *interval;        /* [slots] ns, the mean between steps; 0: not known */
    struct scores *scores;   /* NULL: a raw head */
    struct experts *experts; /* NULL: a raw head */
    struct runner *runner;
    uint64_t not_finite, time_resets;

    /* The latest forecast of each slot. */
    struct forecast *forecasts; /* [slots] */
    int64_t *times;             /* [slots x horizon] */
    double *values;             /* [slots x n_targets] */
    double *mean;               /* [slots x n_outputs] */
    float *raw;                 /* [slots x floats of all outputs] of a raw head; NULL before a version comes in */
    size_t raw_size;
    struct forecast_output *outputs; /* [slots x LAYER_PORTS], into raw */
    float *states;                   /* [slots x state_size] as published; NULL: they are not */
    size_t state_size;

    int *row, *replayed;  /* [slots] workspace: slots, by row of a call */
    bool *finite;         /* [slots] workspace: of each row */
    double *units, *from; /* [n_targets] workspace */
};

/* The lane that serves a slot. */
static inline struct lane *lane_of(const struct forecaster *f, int slot) {
    return f->incoming != NULL && f->takeover[slot] == TAKEOVER_DONE ? f->incoming : f->serving;
}

static inline void restart_scores(struct forecaster *f, int slot) {
    if (f->scores != NULL)
        scores_restart(f->scores, slot);
}

/* The slot's replay has caught up: the version that comes in serves it from now on. */
static inline void take_over(struct forecaster *f, int slot) {
    f->takeover[slot] = TAKEOVER_DONE;
    restart_scores(f, slot);
    if (f->experts != NULL)
        experts_change_network(f->experts, slot, f->incoming->seen[slot]);
}

/* The slot's state becomes zero as of the latest step that it has seen, under the version that comes in too. */
void forecaster_begin_anew(struct forecaster *f, int slot);
/* The same before the slot's next step, where it lies behind a gap or in another interval of reset_every. */
void forecaster_begin_anew_where_due(struct forecaster *f, int slot);

#endif
