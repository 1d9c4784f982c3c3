/*
 * The forecaster: what one batch of one model does with the steps of its streams. The daemon's
 * workers and a backtest run the same code.
 *
 * A batch has a fixed number of slots. A slot carries, for one stream: the network's state, the
 * scalers of its features, the scores. An advance takes the ready slots given, one step each: scaler,
 * gather, network (state in, state out), unscale, scores; slots not given keep all of theirs
 * untouched. A forecast depends on the stream's steps, its resets, and the steps at which versions
 * took over; on nothing else, to the last bit.
 *
 * Taking over: a new version is proposed; forecaster_prime then replays each slot's history under it,
 * in slices, into states of its own, while the old version serves; a slot changes when its replay has caught
 * up. Replay begins where the state last began anew (by a reset, a gap or the time) or was set, with what was set if
 * the new version has a state of the same size, else from zero; at most `history` steps back, and then from zero;
 * with the scalers as they stood at the step where it began, so what serves afterwards depends on that step alone,
 * not on the slicing. (Where more arrives between two slices than the history holds, it begins anew. A slice gains on
 * what arrives as long as that is less than 8 steps.)
 *
 * One owner at a time. Only forecaster_new, _propose, _shadow, _set_state and _load take memory; advance and prime take
 * none.
 *
 * A slot leaves as a section of an image, and comes back into another forecaster of its model, of any size. There it
 * goes on as it would have: to the last bit, where the version serves that it has had; where another serves, as it
 * would have gone on if that had taken over at the step at which it stands.
 */
#ifndef ENGINE_FORECASTER_H
#define ENGINE_FORECASTER_H

#include "engine/baseline.h"
#include "engine/comparison.h"
#include "engine/config.h"
#include "engine/event.h"
#include "engine/history.h"
#include "engine/image.h"
#include "engine/scores.h"
#include "engine/version.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct forecaster;

/* An output of the network as it is. */
struct forecast_output {
    struct network_shape shape;
    const float *at; /* [steps x width] */
};

/* What an alert of the model says at a step. */
struct alert {
    bool raised, changed; /* changed: at this very step */
    int h;                /* steps ahead of the largest probability */
    float probability;    /* NaN: not known */
};

/* How a stream's recent forecasts stand (alerts_verdict). */
enum verdict {
    VERDICT_GOOD,
    VERDICT_WORSE_THAN_EVER,       /* than those of all time */
    VERDICT_WORSE_THAN_LAST_VALUE, /* than the last value would have been */
};

/* A slot's latest forecast; it and its arrays are the forecaster's and live until the next call for that forecaster, or
 * for one that shares its workspace. */
struct forecast {
    int slot;
    uint64_t step;
    int64_t t;              /* ns; of the step */
    uint64_t version;       /* that served, with a network or without; 0: none */
    uint64_t primed;        /* steps in the state behind it, since it was zero or was set */
    bool from_network;      /* the network's forecast is in it */
    bool warming;           /* the state has seen fewer steps than burn_in; windowed: than a sample has */
    enum baseline baseline; /* the model's */
    uint8_t step_flags;     /* STEP_* of the step */
    const int64_t *times;   /* [horizon] target times, or NULL while the interval is not known */
    const double *values;   /* [n_targets] observed at the step; NaN: missing */
    const double *mean;     /* [horizon x n_targets]; NaN where nothing is known */
    /* [n_levels x horizon x n_targets] half-widths of the network's own intervals around its own forecast, in the
     * targets' unit, >= 0; NULL: its head has none, or it did not run */
    const float *own;
    const float *shares; /* [EXPERT_COUNT] of the experts in it, over targets and scored steps, sum 1; NULL: raw */
    const struct score *scores;             /* [n_scores] over all targets, of the scored steps ahead */
    const struct score_level *score_levels; /* [n_scores x n_levels] the same of the intervals */
    int n_scores;
    /* [n_levels x n_scores x n_targets] half-widths of the intervals at these steps; forecast_intervals */
    const float *radii;
    bool capped;                /* some interval would be infinite, or larger than errors ever were, and is cut */
    double anomaly;             /* scores_anomaly: of the step */
    const struct alert *alerts; /* [n_alerts] of the model */
    enum verdict verdict;
    bool verdict_changed;            /* at this very step */
    const struct event_score *event; /* what the forecasts of an event were worth; NULL: the head is of none */
    /* [n_outputs] of a raw head, none where the network did not run; or one with the probabilities of an event
     * (event.h), of the baseline where the network did not run. */
    const struct forecast_output *outputs;
    int n_outputs;
    const float *state; /* [network_state_size] behind it, where the model publishes it; NULL: no network ran */
};

/* The intervals of a forecast of the model, mean less and plus a half-width that is linear between the scored steps:
 * lower and upper [n_levels x horizon x n_targets], NaN: not known. lower <= mean <= upper, and none within that of
 * the level before. */
void forecast_intervals(const struct config_model *model, const struct forecast *forecast, double *lower,
                        double *upper);
/* The half-width of one of them, h steps ahead. */
double forecast_radius(const struct config_model *model, const struct forecast *forecast, int level, int h,
                       int target);

/* A batch of model->batch_size slots, all free, without a version: it forecasts by the baseline until one
 * takes over. class, model and kernels must outlive it. NULL when memory is short. */
struct forecaster *forecaster_new(const struct config_class *class, const struct config_model *model,
                                  const struct kernels *kernels);

/* What forecasters need for the time of a call only: buffers of a network's run, and the forecast that is asked for.
 * Those of one model that have one owner may share one, which outlives them: it stays in the caches while they take
 * turns, and weighs nothing for a stream. Who makes and frees them need not be the owner. Versions that
 * serve on one are packed (network_pack). NULL when memory is short. */
struct workspace;
struct workspace *workspace_new(const struct config_model *model, const struct kernels *kernels);
void workspace_free(struct workspace *workspace);
struct forecaster *forecaster_new_sharing(const struct config_class *class, const struct config_model *model,
                                          const struct kernels *kernels, struct workspace *workspace);
void forecaster_free(struct forecaster *forecaster);

/* A free slot becomes a stream's, with a zero state and nothing forecast yet; the history must outlive its stay. */
void forecaster_acquire(struct forecaster *forecaster, int slot, const struct history *history);
void forecaster_release(struct forecaster *forecaster, int slot);

/* Whether a slot can be saved now: not while its replay is under way. */
bool forecaster_can_save(const struct forecaster *forecaster, int slot);
/* All of a slot, as it stands behind the latest step that it has seen: state, scalers, experts, scores, intervals,
 * alerts, what waits for answers and labels. What is not in it begins anew: the latest forecast (forecaster_latest is
 * NULL until the next step), a shadow's view of the slot (which is replayed), counters of the batch. */
void forecaster_save(const struct forecaster *forecaster, int slot, struct image_io *io);
/* A free slot becomes that of the next section of io, of a stream whose history has come back with at least the step at
 * which the slot stands (and, for the same bits, all that it held). Where neither the version that serves nor the one
 * that comes in is the one that it has had, the one that comes in, or else the one that serves, replays the history at
 * once and takes over, which forecaster_takeovers tells. Returns 0; or -1, with the slot free and the sentence in
 * io->err, where the section is damaged, the model's configuration shapes it otherwise (the sentence names the key),
 * or memory is short: what follows the section can be read all the same. */
int forecaster_load(struct forecaster *forecaster, int slot, const struct history *history, struct image_io *io);

/* The version that a slot has had, of the section that comes next, which is not read: its number and the sum of its
 * weights (version_weights), 0 without any. Returns 0, or -1 where there is none. */
struct saved_version {
    uint64_t number, weights;
    uint64_t step; /* the latest that the slot has seen */
};
int forecaster_peek(const struct image_io *io, struct saved_version *ret);

/* Zeroes the slot's state; the caller has let the slot see all its steps (and has marked the history, history_reset,
 * where all models of the stream are reset). By a gap or by time (history_begins_anew) states begin anew by
 * themselves. */
void forecaster_reset(struct forecaster *forecaster, int slot);

/* A slot's state behind the latest step that it has seen. Borrowed, until the slot's next step. */
struct slot_state {
    struct version *version; /* whose state it is; NULL: none serves, and it has none */
    uint64_t step, primed;
    size_t n; /* network_state_size */
    const float *values;
};
struct slot_state forecaster_state(const struct forecaster *forecaster, int slot);

/* The slot's state becomes values [n]; NaN: what it was there. The caller has let the slot see all its steps. Takes
 * memory. Returns 0; -1 without memory; -2 where n is not the size of the state of what serves the slot, or of the
 * version that is taking over. */
int forecaster_set_state(struct forecaster *forecaster, int slot, const float *values, size_t n);

/* Steps of the slot's history that it has not seen. */
uint64_t forecaster_pending(const struct forecaster *forecaster, int slot);
/* The latest step that the slot has seen. */
uint64_t forecaster_seen(const struct forecaster *forecaster, int slot);

/* Advances n different slots, each with a pending step, by one step; their forecasts are then forecaster_latest. */
void forecaster_advance(struct forecaster *forecaster, const int *slots, int n);

/* The slot's history was told the label of a step: what was forecast of it is scored, if it was. */
void forecaster_label(struct forecaster *forecaster, int slot, uint64_t step);

/* The forecast made at the latest step that the slot has seen; NULL before the first. */
const struct forecast *forecaster_latest(const struct forecaster *forecaster, int slot);
/* Whether an alert or the verdict has changed with it: quicker to know. */
bool forecaster_has_news(const struct forecaster *forecaster, int slot);

/* What an expert forecast at the latest step of the slot that was given last to the last advance,
 * [horizon x n_targets], NaN where it had none; NULL of a raw head. */
const double *forecaster_expert(const struct forecaster *forecaster, enum expert expert);

/* The scores of all slots; NULL: of a raw head. Borrowed. */
const struct scores *forecaster_scores(const struct forecaster *forecaster);

/* What a slot's probabilities were worth, by their labels; NULL but of a head of an event. Borrowed. */
const struct event_score *forecaster_event_score(const struct forecaster *forecaster, int slot);

/* The scalers of a slot as they stand, [n_features]; borrowed. */
const struct scaler *forecaster_scalers(const struct forecaster *forecaster, int slot);

/* Has a version take over, acquiring a reference; one without a network has the baseline serve. Returns 0; -1 when
 * memory is short or another is still being taken over. */
int forecaster_propose(struct forecaster *forecaster, struct version *version);
bool forecaster_taking_over(const struct forecaster *forecaster);

/* One slice of a takeover, at most one full advance's work. Returns true when it was the last one. */
bool forecaster_prime(struct forecaster *forecaster);

/* Steps that the replay of a slot still has to go, of which a slice does FORECASTER_PRIME_STEPS; 0 where none is
 * under way. */
enum { FORECASTER_PRIME_STEPS = 8 };
uint64_t forecaster_replaying(const struct forecaster *forecaster, int slot);

/* Losses of two versions, over the same answers: absolute errors in the scalers' unit, of what each has said by
 * itself (a version without a network: the baseline) 1, 2, 4, ... steps ahead and at the horizon, by the step at
 * which it was said, counted from the one at which the slot's comparison began. */
struct shadow_losses {
    struct loss_series serving, shadow;
};

/* Has a version run in the shadow of the one that serves: it replays the histories, sees each step, and forecasts,
 * but is not served; losses, which must outlive it and may be shared by one owner's forecasters, are told as answers
 * arrive. Acquires a reference. A takeover ends it. Not for a raw head. Returns 0; -1 when memory is short, or while
 * a version takes over or is in the shadow. */
int forecaster_shadow(struct forecaster *forecaster, struct version *version, struct shadow_losses *losses);
void forecaster_end_shadow(struct forecaster *forecaster); /* none is fine */
bool forecaster_has_shadow(const struct forecaster *forecaster);

/* One slice of its replay, at most one full advance's work. Returns true where there was nothing to be replayed. */
bool forecaster_prime_shadow(struct forecaster *forecaster);

/* Errors of what was published one step ahead, in the scalers' unit and SCALER_CLIP of it at most, mean over targets:
 * their sum and number over all slots since this was asked for. */
struct forecast_errors {
    double sum;
    uint64_t n;
};
struct forecast_errors forecaster_take_errors(struct forecaster *forecaster);

/* From when on a version serves a slot. All that is published afterwards follows from the version, the stream's steps
 * and these two. */
struct takeover {
    int slot;
    uint64_t version;
    uint64_t began; /* the latest step that the slot had seen when its replay began: its scalers held until then */
    uint64_t step;  /* and when it changed: the version serves the steps behind it */
};

/* The takeovers since this was asked for, as many as there are slots; *ret_n is their number. They live until the
 * next one. With a shared workspace they are to be asked for before there are any of another forecaster of it. */
const struct takeover *forecaster_takeovers(struct forecaster *forecaster, int *ret_n);

/* The number of the version that serves all slots, or 0. */
uint64_t forecaster_version(const struct forecaster *forecaster);

/* Steps at which a network's output was not finite: the baseline served, and the state began anew. */
uint64_t forecaster_not_finite(const struct forecaster *forecaster);
/* Times that a slot's state began anew by the model's reset_every. */
uint64_t forecaster_time_resets(const struct forecaster *forecaster);

/* A model's network in the mode it is served in: its file's, with its weights, or its layers with the head,
 * [horizon x n_targets] outputs, and weights of zero. */
struct network *forecaster_network(const struct config_model *model, struct error *err);

#endif
