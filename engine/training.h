/*
 * A training job: from windows to a challenger with its losses. Truncated back-propagation
 * through time (Williams and Peng, 1990: chunks of `unroll` steps, the state carried, the gradient
 * cut), Adam, gradient clipping, a learning-rate schedule; with `patience`, early stopping: the older third of the
 * validation part chooses the epoch whose weights are kept, and the rest judges them. Seeded: the same windows and seed
 * give the same bits.
 *
 * No threads here: the caller's thread runs the whole job; OpenBLAS, which solves the pooled regression, is set to one
 * thread, for the whole process.
 */
#ifndef ENGINE_TRAINING_H
#define ENGINE_TRAINING_H

#include "engine/config.h"
#include "engine/promotion.h"
#include "engine/windows.h"

#include <stdbool.h>

struct training_progress {
    int epoch, epochs;           /* that are done, of all; fewer where patience ends them */
    int64_t steps, steps_in_all; /* of the optimiser, in the same way; all: about */
    double rate;                 /* the learning rate */
    double loss;                 /* mean over the epoch so far, scaled */
    double validation, best;     /* losses on the part that chooses: the latest, the lowest; NaN: none yet */
    int best_epoch;              /* that had the lowest */
};

/* What the job is told and asked between two optimiser steps, on the job's own thread. A stop takes one chunk at most
 * (`batch` windows by `unroll` steps, or by a sample's), forward and backward. */
struct training_watch {
    bool (*stop)(void *context);                                               /* NULL: never */
    void (*progress)(void *context, const struct training_progress *progress); /* NULL: nobody asks */
    void *context;
    bool keep; /* when stopped: the best weights so far are judged and given, all the same */
};

struct training_outcome {
    struct network *challenger; /* the caller's to free; NULL where the job was stopped or had no windows */
    float *ridge; /* of pooled.h, the caller's to free; NULL: the model has none, or it could not be solved */
    struct promotion_losses losses;
    double training_loss;         /* mean over the last epoch */
    int n_training, n_validation; /* windows */
    int steps;                    /* of the optimiser */
    int epochs, best_epoch;       /* that it took; and whose weights these are, 0: the last one's */
    bool stopped;
};

/* Frees what is left in it. */
void training_outcome_fini(struct training_outcome *outcome);

/* A model's network in the form that is trained: one forecast at every step, with the weights of its file, or zeros for
 * a model of layers. NULL with the reason in err, also for a file's network that cannot be given that form. */
struct network *training_network(const struct config_model *model, struct error *err);

/* Trains on sets[n_sets] (of one model), starting from the champion's weights, or from initial ones where it is NULL.
 * Returns 0, also where there are no windows to train on (the losses are NaN then); -1 with the sentence in err when memory is
 * short, or when the loss became no number or exploded. */
int training_run(const struct config_model *model, const struct kernels *kernels, struct windows *const *sets,
                 int n_sets, const struct network *champion, const struct training_watch *watch,
                 struct training_outcome *ret_outcome, struct error *err);

#endif
