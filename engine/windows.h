/*
 * Windows: runs of recent steps as training sees them, copied from the live histories by whoever
 * owns them, scaled by the stream's scalers as they stand at the copy.
 *
 * Of each stream, the newest share of its steps is for validation: forecasts made there, whose answers lie wholly
 * there, are scored and never trained on. Between the last answer of the training part and the first forecast that is
 * scored lies one horizon. No window crosses a step with which the states begin anew, nor reaches behind a reset by
 * command.
 *
 * A set is a reservoir: however many streams there are, it holds at most so many windows, those with the lowest keys.
 * A key is drawn by (seed, stream, step), with weights that give each stream the same share and prefer the newer half
 * of a history to the older; so neither the order in which streams are looked at nor their division among sets
 * changes what a job is made of (windows_choose). A window in which nothing can be learnt is not taken.
 */
#ifndef ENGINE_WINDOWS_H
#define ENGINE_WINDOWS_H

#include "engine/config.h"
#include "engine/history.h"
#include "engine/scaler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WINDOW_GAP =
        1, /* ticks are missing before the step: what is behind it does not answer what was forecast before it */
    WINDOW_BLIND = 2, /* none of the inputs was observed at the step: a forecast made there is not learnt from */
};

/* One run of consecutive steps. Forecasts are made (and scored) at origins score_from .. n - horizon - 1, counted
 * from 0; the steps before warm the state. */
struct window {
    int n;      /* steps */
    int before; /* further steps before them that z has, for the seasonal baseline: at z - before x n_targets */
    int score_from;
    bool validation;
    double key;
    uint64_t stream; /* hash of its name */
    uint64_t last;   /* the number of its last step */
    uint64_t age;    /* steps that the stream had seen after it */
    /* Scaled by the stream's scalers; inputs are clipped, but not with SCALER_WINDOW. The others lie behind x. */
    float *x;       /* [n x config_network_inputs] */
    float *z;       /* [n x n_targets] targets; NaN: missing, or beyond a float. Of an event: labels */
    float *base;    /* [n x n_targets] as z, with the last value for a missing one; NaN while there was none */
    uint8_t *flags; /* [n] WINDOW_* */
};

/* A bounded set of windows of one model. */
struct windows;

/* A set of at most max windows, of which a quarter at most are for validation. streams, steps: how
 * many streams there are in all sets of the job, and the most steps that any of them keeps: the same for each of
 * those sets. NULL when memory is short. */
struct windows *windows_new(const struct config_model *model, int max, int64_t streams, int steps);
void windows_free(struct windows *windows);

/* The windows of one stream, as a cursor over them: copied one at a time, so that between two
 * advances only a bounded number is. seen: the latest step that the model has taken in. */
struct windows_cursor {
    uint64_t stream; /* hash of the stream's name */
    uint64_t oldest, seen;
    uint64_t split; /* the first forecast that is judged is made here */
    uint64_t known; /* the latest step that training may know */
    uint64_t end;   /* last step of the next training window */
    bool validation_done;
};

/* The fewest steps of a stream, since it began anew, of which some are learnt from and some judge. */
uint64_t windows_fewest_steps(const struct config_model *model);

/* Begins with a stream of the given name. Returns false when it has too few steps for any window. */
bool windows_begin(struct windows_cursor *cursor, const struct config_model *model, const char *stream,
                   const struct history *history, uint64_t seen);

/* Looks at the stream's next window, and copies it into the set where its key is low enough; scalers [n_features].
 * Returns false when there are no more. */
bool windows_copy(struct windows *windows, struct windows_cursor *cursor, const struct history *history,
                  const struct scaler *scalers);

/* So far: windows that were copied, and those that found no place or lost it, or whose steps are not held any
 * more. */
uint64_t windows_copied(const struct windows *windows);
uint64_t windows_left_out(const struct windows *windows);

/* What the set holds, those for validation first. */
int windows_count(const struct windows *windows);
const struct window *windows_at(const struct windows *windows, int index);

/* The windows of a job, in the order of their keys: those with the lowest ones in all its sets, as many as one set
 * may hold. The list is the caller's to free; the windows are the sets'. Returns -1 without memory. */
int windows_choose(struct windows *const *sets, int n_sets, bool validation, const struct window ***ret_windows,
                   int *ret_n);

#endif
