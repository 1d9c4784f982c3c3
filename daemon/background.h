/* What a worker does in slices between its advances. Worker thread only. */
#ifndef DAEMON_BACKGROUND_H
#define DAEMON_BACKGROUND_H

#include "daemon/records.h"
#include "daemon/worker_internal.h"

/* New tasks. */
void background_version(struct worker *worker, const struct record_version *record);
void background_shadow(struct worker *worker, const struct record_shadow *record);
void background_collect(struct worker *worker, const struct record_windows *record);
void background_repeat(struct worker *worker, const struct record_repeat *record);
void background_round(struct worker *worker, const struct record_round *record);

/* Fills it, and sends it back. */
void background_watch(struct worker *worker, const struct record_watch *record);

/* One bounded slice of each task. Returns whether any task can go on at once. */
bool background_slice(struct worker *worker);

/* The slice of shadows alone, and that of a round of images. */
bool background_shadow_slice(struct worker *worker);
bool background_round_slice(struct worker *worker);

/* Has the store have all of a stream that has changed; leaves: it then goes. Returns false to try again later. */
bool background_image(struct worker *worker, struct stream *stream, bool leaves);

/* How long the worker may sleep before a task can go on, ms; -1: for ever. */
int background_timeout(const struct worker *worker);

/* A batch is the worker's from now on: what is in the shadow of others is in its own, too, unless it sees enough streams. */
void background_opened(struct worker *worker, struct batch *batch);
/* A stream has come back to the batch: who is in its shadow, if anybody is, replays its history. */
void background_came_back(struct worker *worker, struct batch *batch);

/* A stream is about to end: no task may stand in it. */
void background_forget(struct worker *worker, struct stream *stream);

/* Gives back what the tasks hold: the worker stops. */
void background_abandon(struct worker *worker);

#endif
