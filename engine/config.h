/*
 * The configuration: one table of keys (config_table.c) gives the YAML schema, the defaults, the
 * units, the checks and the commented conf/forecastd.yaml. A struct config is constant once loaded, and
 * any thread may read it; but for the keys that are live (config_live.h): those that several threads read are atomics.
 */
#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H

#include "engine/error.h"
#include "engine/expert.h"
#include "engine/loss.h"
#include "engine/network.h"
#include "engine/optimizer.h"
#include "engine/promotion.h"
#include "engine/scaler.h"
#include "engine/schedule.h"
#include "engine/time_policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { CONFIG_MAX_FEATURES = 1024, CONFIG_MAX_NAME = 255, CONFIG_MAX_LEVELS = 8, CONFIG_SCORED_ALL_MOST = 512 };

struct config_bus {
    char *ticks;        /* PULL binds here; "" for none */
    char *acknowledged; /* ROUTER, for ticks that are acknowledged; "" for none */
    char **subscribe;   /* [n_subscribe] publishers of ticks that SUB connects to */
    int n_subscribe;
    char *forecasts;                   /* XPUB, MessagePack */
    char *forecasts_json;              /* XPUB, JSON; "" for none */
    char *control;                     /* ROUTER */
    int64_t max_message;               /* bytes; a peer that sends more is disconnected */
    int receive_hwm, send_hwm;         /* messages per peer */
    int64_t tick_ring;                 /* bytes of waiting ticks per worker */
    int64_t forecast_ring;             /* bytes of waiting forecasts per worker */
    int credit_ticks;                  /* of a producer that may be taken and not acknowledged */
    int64_t credit_bytes;              /* the same of its messages */
    int producers;                     /* known at most */
    int64_t producer_idle;             /* ns since one was heard of, after which it may be forgotten for another */
    _Atomic double events_per_second;  /* per kind of event; more are counted, not sent */
    _Atomic double repeats_per_second; /* last forecasts sent again for new subscribers */
};

/* What a network sees of a value that is missing. */
enum missing_policy {
    MISSING_LAST, /* the one before */
    MISSING_MEAN, /* the mean of what its stream has had */
    MISSING_MASK, /* that, and behind all inputs one more for each: 1 where it was observed, else 0 */
};

/* The streams whose names match a pattern. */
struct config_class {
    char *name;
    char *pattern;   /* fnmatch(3) without special slashes; the first class that matches has the stream */
    char **features; /* [n_features] in the order of a tick's values */
    int n_features;
    int *vocabulary; /* [n_features] a model takes the feature as ids below this; 0: a number; NULL: none */
    int labels;      /* the most classes that a model has of labels of its ticks; 0: none learns them */
    struct time_policy_spec time; /* irregular, or every; gaps */
    int64_t max_clock_skew;       /* ns by which a tick's time may be ahead of the daemon's clock; 0: any */
    enum missing_policy missing;
    int64_t max_streams;
    _Atomic int64_t max_resident; /* of them in memory, the others in state_dir; 0: all */
    _Atomic int64_t idle_timeout; /* ns, after which one leaves memory; 0: never */
    int history;                  /* closed steps kept per stream */
    int pending;                  /* closed steps of a stream that may wait for its models */
};

/* How windows follow each other in training. */
enum training_order {
    ORDER_SHUFFLED, /* in an order that is drawn for each epoch, each from a zero state */
    ORDER_STATEFUL, /* as they follow each other in their streams, states carried: Keras' stateful training */
};

struct config_training {
    enum training_order order;
    int window;  /* steps of a window */
    int stride;  /* steps between two windows of a stream; 0: half a window */
    int burn_in; /* steps that warm the state before the loss counts */
    int unroll;  /* steps that a gradient reaches back */
    int batch;   /* windows per optimiser step */
    int epochs;
    int min_steps;   /* optimiser steps at least, by further epochs where the windows are few */
    int patience;    /* looks at the validation part without a better one before it ends; 0: it is not looked at */
    int max_windows; /* per job */
    int half_life;   /* steps after which a forecast weighs half as much in the loss; 0: all weigh the same */
    enum optimizer_kind optimizer;
    double learning_rate;
    double momentum; /* of SGD and RMSprop */
    bool nesterov;
    double weight_decay;
    double clip_norm, clip_value;  /* 0: none */
    struct schedule_spec schedule; /* of the learning rate over the job */
    enum loss loss;
    double validation; /* newest share of each stream's steps, unseen by training; 0.01 to 0.9 */
    double margin;     /* a challenger must beat champion and baseline by this share of their loss */
    int first_after;   /* steps of a stream before a model without weights is first trained */
    int new_steps;     /* steps between two jobs, at least, but on command */
};

/* When a model is trained again, beside command and clock. */
enum retrain_on { RETRAIN_ON_CLOCK, RETRAIN_ON_DRIFT };

/* How a network is run on a stream. */
enum model_mode {
    MODEL_STATEFUL, /* one step per tick, the state carried */
    MODEL_WINDOWED, /* the last `window` steps as one sample per tick */
};

enum forecast_form {
    FORECAST_DIRECT,    /* the network gives all steps of the horizon */
    FORECAST_RECURSIVE, /* it gives one, which is its next input */
};

enum model_head {
    HEAD_FORECAST, /* the output is the targets, unscaled and scored */
    HEAD_RAW,      /* the outputs go out as they are, unscored: then there are no targets and the horizon is 0 */
    HEAD_EVENT,    /* the output tells of the label that the tick has, and that comes later; no targets either */
};

/* Which of the steps ahead are scored and have an interval of their own; between them it is interpolated. */
enum scored_steps {
    SCORED_FEW, /* 1, 2, 4, ... and the horizon */
    SCORED_ALL, /* each one */
};

/* What is published: a mixture by the losses so far, or what one expert says: COMBINE_ONLY + enum expert. */
enum { COMBINE_ONLINE, COMBINE_ONLY };

/* Of the experts beside the network (expert.h). */
enum config_experts {
    EXPERTS_LIGHT, /* constant bytes per stream */
    EXPERTS_FULL,  /* a ridge regression per stream and target too */
    EXPERTS_NONE,  /* the network alone; the baseline stands in for it */
};

/* A forecast that is to be told of: that a value will probably lie beyond a bound. */
struct config_alert {
    int target;                  /* index into the model's targets */
    _Atomic double above, below; /* the bound: one of them, the other is NaN */
    int steps;                   /* that the forecast speaks of */
    int64_t time;                /* the same of irregular steps, ns; 0: steps alone */
    _Atomic double probability;  /* that raises it */
};

struct config_model {
    char *name;
    int class;                   /* index into classes */
    int *inputs, n_inputs;       /* feature indices */
    enum missing_policy missing; /* of its class */
    int *targets, n_targets;     /* feature indices */
    int horizon;                 /* steps ahead; the head gives all of them */
    int period;                  /* steps of a season; 0 for none */
    struct layer_spec *layers;   /* [n_layers], without the head, which is dense and linear; unused with a file */
    int n_layers;
    char *file, *architecture; /* a Keras file, NULL: layers; and a JSON beside it, or NULL */
    struct keras_model *keras; /* what the file holds; NULL: layers */
    enum model_mode mode;
    int window;     /* windowed: steps of a sample; stateful: 1 */
    int vocabulary; /* the one input is ids below this; 0: inputs are numbers */
    enum forecast_form form;
    enum model_head head;
    int classes;        /* of labels */
    bool probabilities; /* of an event: the file\'s network gives them, and no logits */
    int combine;        /* COMBINE_ONLINE, or COMBINE_ONLY + an expert */
    enum config_experts experts;
    bool experts_said;                /* the configuration says which; a backtest's default is another */
    bool publish_state;               /* the state goes out beside each forecast */
    double levels[CONFIG_MAX_LEVELS]; /* [n_levels] percent of the answers that an interval is to hold, ascending */
    int n_levels;
    enum scored_steps scored;
    struct config_alert *alerts; /* [n_alerts] */
    int n_alerts;
    int batch_size;           /* slots of a batch */
    enum precision precision; /* of the weights that serve */
    enum scaler_kind scaler;
    bool residual; /* the network forecasts the difference to the last value */
    bool train;    /* false: the seeded weights, or the file's, serve as they are */
    uint64_t seed;
    int64_t reset_every;   /* ns of the data's time: states begin anew in each such interval; 0 for never */
    int64_t retrain_every; /* ns of the data's time; 0 for not by the clock */
    enum retrain_on retrain_on;
    enum promotion_policy promote;
    struct config_training training;
};

enum config_log { CONFIG_LOG_ERROR, CONFIG_LOG_WARNING, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };

struct config {
    int workers;                                /* at least 1 */
    enum config_log log;                        /* the least that is logged */
    char *journal;                              /* folder for what backtest --takeovers needs; "": none */
    char *state_dir;                            /* folder of the durable store; "": none */
    _Atomic int64_t sync_every, snapshot_every; /* ns */
    int64_t journal_size;                       /* bytes behind the last images */
    int64_t journal_ring;                       /* bytes that wait for the store */
    int64_t return_queue;                       /* bytes that wait for streams to come back from it */
    _Atomic double training_cpu; /* the share of one processor that training takes, at most; 0.01 to 1 */
    struct config_bus bus;
    struct config_class *classes;
    int n_classes;
    struct config_model *models;
    int n_models;
};

/* Numbers that the network takes in at a step: n_inputs, and behind them as many of a mask. */
static inline int config_network_inputs(const struct config_model *model) {
    return model->missing == MISSING_MASK ? 2 * model->n_inputs : model->n_inputs;
}

/* Reads and checks a file of at most 1 MiB; the caller's LC_NUMERIC is "C". On failure returns -1, the sentence in
 * err naming file, line where there is one, and key ("forecastd.yaml:12: models[0].horizon: ..."). */
int config_load(const char *path, struct config **ret_config, struct error *err);
/* The same of text [size] that is in memory; name stands for the file in sentences, and its folder is where files are
 * looked for. */
int config_parse(const char *name, const uint8_t *text, size_t size, struct config **ret_config, struct error *err);
void config_free(struct config *config);

/* The model of the name; NULL: there is none. Borrowed. */
const struct config_model *config_find_model(const struct config *config, const char *name);

/* How a model is served, in one line for people: "direct.keras, windowed (24 steps), 7 inputs to 24 steps of 1
 * target, scaler none, not trained". */
void config_model_text(const struct config_model *model, char *ret_text, size_t size);

/* Writes the commented example, made from the table: what conf/forecastd.yaml is. */
void config_print_example(FILE *out);

#endif
