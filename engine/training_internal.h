/* A training job from within: for the files of training alone. */
#ifndef ENGINE_TRAINING_INTERNAL_H
#define ENGINE_TRAINING_INTERNAL_H

#include "engine/evaluation.h"
#include "engine/optimizer.h"
#include "engine/random.h"
#include "engine/training.h"

struct job {
    const struct config_model *model;
    const struct kernels *kernels;
    const struct training_watch *watch;
    struct network *network;
    struct optimizer *optimizer;
    struct tape *tape;
    struct chunk chunk;
    struct rng rng;
    float *state, *grads;
    float *best; /* the parameters with the lowest loss on the validation part so far; NULL: the latest count */
    const struct window **training, **validation; /* the windows of all sets */
    int n_training, n_validation;
    struct carried *carried; /* how they follow each other, where states are carried; else NULL */
    int at_once;             /* steps of a chunk: unrolled ones, or a sample */
    struct training_progress progress;
    /* Sums of this epoch: of the network, of zero as a forecast where the network's is enormous, of the weights. */
    double loss, zero_loss, weight;
    double first_loss; /* mean of the first chunk, before anything was learnt; NaN before it */
    int waited;        /* checks since the best one */
    bool stopped;      /* it has been told to */
    bool failed;       /* err says why */
    struct error *err;
};

/* Asks the watch. Its argument is a struct job, as evaluation has it. */
bool job_is_stopped(void *job);

/* The validation part of the job, with its scratch. */
struct evaluation job_evaluation(struct job *job, enum evaluation_part part);

/* One chunk of `steps` steps of the first rows of job->chunk: forward, loss, backward, a step of the optimiser. Returns
 * false when the loss is not a number. */
bool job_train_chunk(struct job *job, int rows, int steps);

/* Tells the watch how far it is. */
void job_tell(const struct job *job);

/* All epochs, until the last one, or until there is no better one to be had. Returns false when it was stopped or has
 * failed. */
bool job_train(struct job *job);

/*
 * Stateful training, as Keras does it: a fixed batch of slots; each takes a stream, trains its windows in their order, the
 * state carried from one chunk to the next, and then takes the next stream with a zero state. A slot without a stream
 * weighs nothing. States begin anew with each epoch. (training_carried.c)
 */

/* Puts the training windows in order. Returns -1 without memory. */
int job_carry(struct job *job);
void carried_free(struct carried *carried);

/* One epoch; returns false when it was stopped or has failed. And how many chunks it has. */
bool job_carried_epoch(struct job *job);
int64_t job_carried_chunks(const struct job *job);

#endif
