/*
 * Windows: runs of recent steps as training sees them, copied from the live histories by whoever
 * owns them, scaled by the stream's scalers as they stand at the copy.
 *
 * Which windows are taken depends on (seed, stream, step) alone. Of each stream, the newest share of its steps is
 * for validation: forecasts made there, whose answers lie wholly there, are scored and never
 * trained on; no window of the training part reaches into it. No window crosses a step with which the states begin
 * anew, nor reaches behind a reset by command.
 */
#ifndef ENGINE_WINDOWS_H
#define ENGINE_WINDOWS_H

#include "engine/config.h"
#include "engine/history.h"
#include "engine/scaler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One run of consecutive steps. Forecasts are made (and scored) at origins score_from .. n - horizon - 1, counted
 * from 0; the steps before warm the state. */
struct window {
    int n;      /* steps */
    int before; /* further steps before them that z has, for the seasonal baseline: at z - before x n_targets */
    int score_from;
    bool validation;
    float *x;    /* [n x n_inputs] scaled inputs */
    float *z;    /* [n x n_targets] scaled targets, not clipped; NaN: missing, or beyond a float */
    float *base; /* [n x n_targets] as z, with the last value for a missing one; NaN while there was none */
};

/* A bounded set of windows of one model. */
struct windows;

/* NULL when memory is short. keep is the share of the training windows that is taken, 0 to 1: see windows_keep; of
 * those for validation as many as keep their proportion, and of a few streams all. */
struct windows *windows_new(const struct config_model *model, int max, double keep);
void windows_free(struct windows *windows);

/* The share that fills max windows from so many streams with so many kept steps, about. */
double windows_keep(const struct config_model *model, int max, int64_t streams, int kept);

/* The windows of one stream, as a cursor over them: copied one at a time, so that between two
 * advances only a bounded number is. seen: the latest step that the model has taken in. */
struct windows_cursor {
    uint64_t stream; /* hash of the stream's name */
    uint64_t oldest, seen;
    uint64_t split; /* the latest step that training may know */
    uint64_t end;   /* last step of the next training window */
    bool validation_done;
};

/* Begins with a stream of the given name. Returns false when it has too few steps for any window. */
bool windows_begin(struct windows_cursor *cursor, const struct config_model *model, const char *stream,
                   const struct history *history, uint64_t seen);

/* Copies the stream's next window into the set; scalers [n_features]. Returns false when there are no
 * more, or when the steps have meanwhile left the ring. A window that does not fit is counted and passed over. */
bool windows_copy(struct windows *windows, struct windows_cursor *cursor, const struct history *history,
                  const struct scaler *scalers);

int windows_count(const struct windows *windows);
const struct window *windows_at(const struct windows *windows, int index);
uint64_t windows_left_out(const struct windows *windows); /* that did not fit, or whose steps are not held any more */

#endif
