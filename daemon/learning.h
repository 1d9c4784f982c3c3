/*
 * The bus' side of learning: when a model is trained, how its job comes together, who serves afterwards. Bus
 * thread only; the work itself is the workers' (copying windows, running shadows) and the trainer's.
 *
 *   idle -> collecting (each worker copies windows) -> waiting -> training -> idle, and the challenger is judged:
 *   rejected, or promoted, or (promote: shadow) put into the champion's shadow, or (manual) held for a command
 *
 * With a state_dir a version that is to take over is on disk first; when the disk fails it is tried again, and who
 * served goes on.
 *
 * What was promoted has what it replaced in its shadow for a while: where it is worse live, that serves again, once.
 */
#ifndef DAEMON_LEARNING_H
#define DAEMON_LEARNING_H

#include "daemon/ingest.h"
#include "daemon/journal.h"
#include "daemon/placement.h"
#include "daemon/publisher.h"
#include "daemon/records.h"
#include "daemon/trainer.h"
#include "daemon/versions.h"

#include <jansson.h>

struct learning;

struct learning_setup {
    const struct config *config;
    const struct kernels *kernels;
    struct worker **workers;
    struct streams *streams;
    struct placement *placement;
    struct publisher *publisher;
    struct ingest *ingest;
    struct trainer *trainer;
    struct journal *journal;   /* NULL: none */
    struct versions *versions; /* NULL: none are kept on disk */
};

/* Models get what served them when the daemon ended, as far as that is kept; else those that do not train get a version
 * of seeded weights at once. NULL with the sentence in err. */
struct learning *learning_new(const struct learning_setup *setup, struct error *err);
void learning_free(struct learning *learning);

/* Looks whether any model is due, and goes on with what could not be handed to a worker before. Called some times a
 * second. */
void learning_poll(struct learning *learning);

/* A worker has copied its windows. */
void learning_collected(struct learning *learning, const struct record_windows *record);
/* Takes finished jobs from the trainer. */
void learning_finished(struct learning *learning);

/* Takes what came of a version that was being written. */
void learning_written(struct learning *learning);

/* A worker has told what it sees of a model. */
void learning_watched(struct learning *learning, const struct record_watch *record);

/* Commands on a model, by its index. Each returns 0, or a negative number where it cannot be, which is -3 while a
 * version of the model is on its way to the disk: */
int learning_retrain(struct learning *learning, int model); /* as soon as it can; -1: the model does not train */
int learning_stop_training(struct learning *learning, int model); /* within a chunk's work; -1: there is none */
int learning_promote(struct learning *learning, int model);       /* -1: no challenger is held, or in the shadow */
int learning_reject(struct learning *learning, int model);        /* the same */
int learning_rollback(struct learning *learning, int model);      /* -1: nothing to go back to; -2: memory is short */

/* What serves, and why: an array of a map per model. */
json_t *learning_describe(const struct learning *learning);
/* The model's latest decisions, oldest first. */
json_t *learning_decisions(const struct learning *learning, int model);

#endif
