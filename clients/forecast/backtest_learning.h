/*
 * The learning of a backtest's model: what the daemon's learning, trainer and workers do of it on their threads, here
 * one after another between two steps. The decisions are the engine's. One owner.
 */
#ifndef FORECAST_BACKTEST_LEARNING_H
#define FORECAST_BACKTEST_LEARNING_H

#include "clients/forecast/backtest_run.h"
#include "engine/forecaster.h"

struct backtest_learning;

/* A stream as learning sees it. */
struct backtest_learner {
    const char *name;
    const struct history *history;
    struct forecaster *forecaster;
    int slot;
};

/* streams [n_streams] and forecasters [n_forecasters] are the caller's and outlive it. The first version, where the
 * model has one before it is trained, serves at once. NULL with the reason in err. */
struct backtest_learning *backtest_learning_new(const struct backtest_setup *setup, const struct kernels *kernels,
                                                const struct backtest_learner *streams,
                                                struct forecaster *const *forecasters, int n_forecasters,
                                                struct error *err);
void backtest_learning_free(struct backtest_learning *learning);

/* Behind a step: trains when that is due, and lets what comes of it take over. Returns 0, or -1 without memory. */
int backtest_learning_poll(struct backtest_learning *learning, struct error *err);

/* What was decided so far, [*ret_n]; it becomes the caller's, to be freed with free. */
struct backtest_decision *backtest_learning_take(struct backtest_learning *learning, int *ret_n);

#endif
