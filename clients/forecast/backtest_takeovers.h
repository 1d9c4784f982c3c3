/*
 * A daemon's journal (daemon/journal.h) as a backtest replays it: the same versions take the same streams over, and
 * the same commands are carried out, at the same steps, so that the same is forecast to the last bit. One owner.
 */
#ifndef FORECAST_BACKTEST_TAKEOVERS_H
#define FORECAST_BACKTEST_TAKEOVERS_H

#include "clients/forecast/backtest_data.h"
#include "engine/config.h"

struct forecaster;
struct history;
struct backtest_takeovers;

/* Reads the file and the versions beside it: what it says of the model and the streams [n_streams], by their names;
 * of several generations of a name the first. NULL with the sentence in err. */
struct backtest_takeovers *backtest_takeovers_load(const char *path, const struct config_model *model,
                                                   const struct config_class *class,
                                                   const struct backtest_stream *streams, int n_streams,
                                                   struct error *err);
void backtest_takeovers_free(struct backtest_takeovers *takeovers);

/* The forecaster is that of one stream, in slot 0. Called with step 0 before the slot is acquired (history NULL) and
 * again when it has been, and then behind each step. Returns -1 where what was written cannot be done again: ticks or
 * configuration are not those of the journal. */
int backtest_takeovers_follow(struct backtest_takeovers *takeovers, int stream, struct forecaster *forecaster,
                              struct history *history, uint64_t step, struct error *err);

/* How many takeovers there were, of all streams. */
int backtest_takeovers_count(const struct backtest_takeovers *takeovers);

#endif
