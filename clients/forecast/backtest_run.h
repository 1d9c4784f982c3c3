/*
 * A progressive backtest: each step is forecast from, then learnt from, by the very forecaster and trainer that the
 * daemon runs, on the clock of the data. All on the caller's thread: a training job takes none of the data's time.
 *
 * The ticks of several streams come in the order of their times (of the same time: in the order of the streams). What
 * is learnt from is what has been taken in: the rows behind are not touched before their turn.
 */
#ifndef FORECAST_BACKTEST_RUN_H
#define FORECAST_BACKTEST_RUN_H

#include "clients/forecast/backtest_data.h"
#include "clients/forecast/backtest_scores.h"
#include "clients/forecast/backtest_takeovers.h"
#include "engine/config.h"
#include "engine/expert.h"
#include "engine/promotion.h"

#include <stdbool.h>

struct backtest_setup {
    const struct config_class *class;
    const struct config_model *model;
    const struct backtest_stream *streams; /* [n_streams], values [n x class->n_features] */
    int n_streams;
    const int *horizons; /* [n_horizons] ascending, the last at most the model's */
    int n_horizons;
    uint64_t train, valid, online; /* steps of each stream; online: at most */
    bool no_network;               /* the cheap experts alone */
    /* Of a daemon, to be followed, with a batch_size of 1; NULL: it learns by itself. */
    struct backtest_takeovers *takeovers;

    /* Called now and then; NULL: nobody. said: of each forecast, for those who compare; its arrays are lent. */
    void (*progress)(void *context, double share);
    bool (*stopped)(void *context);
    void (*said)(void *context, int stream, uint64_t step, const struct backtest_said *said);
    void *context;
};

/* What was decided on a version, after a training or live. */
struct backtest_decision {
    uint64_t step; /* of the stream with the most */
    bool live;     /* else after a training */
    bool failed;   /* the training did: nothing was decided */
    enum promotion decision;
    bool shadow, held; /* a challenger that has passed has to show it live, or waits for a person */
    uint64_t version;  /* that serves afterwards; 0: none */
    double loss;       /* of the challenger; live: of the version in the shadow */
    double other_loss; /* of the version before; live: of the champion */

    /* After a training. */
    double baseline_loss; /* of the best one */
    int windows;
    double seconds;
    char text[160]; /* why it failed */
};

struct backtest_result {
    struct backtest_scores *scores;      /* of EXPERT_COUNT experts */
    uint64_t steps, refused, not_finite; /* of all streams */
    uint64_t least, most;                /* steps of the shortest and the longest stream */
    struct backtest_decision *decisions; /* [n_decisions] */
    int n_decisions;
    double seconds;
    bool stopped;
};

/* Whether memory will do. Returns 0, or -1 with the sentence in err. */
int backtest_check(const struct backtest_setup *setup, struct error *err);

/* Returns 0, or -1 with the sentence in err; backtest_result_fini either way. */
int backtest_run(const struct backtest_setup *setup, struct backtest_result *ret, struct error *err);
void backtest_result_fini(struct backtest_result *result);

#endif
