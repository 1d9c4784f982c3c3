/*
 * The bus' side of learning: when a model is trained, how its job comes together, who serves afterwards. Bus
 * thread only; the work itself is the workers' (copying windows) and the trainer's.
 *
 *   idle -> collecting (each worker copies windows) -> training -> idle, a version promoted or not
 */
#ifndef DAEMON_LEARNING_H
#define DAEMON_LEARNING_H

#include "daemon/ingest.h"
#include "daemon/placement.h"
#include "daemon/publisher.h"
#include "daemon/records.h"
#include "daemon/trainer.h"

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
};

/* Models that do not train get a version of seeded weights at once. NULL with the sentence in err. */
struct learning *learning_new(const struct learning_setup *setup, struct error *err);
void learning_free(struct learning *learning);

/* Looks whether any model is due, and goes on with what could not be handed to a worker before. Called some times a second. */
void learning_poll(struct learning *learning);

/* A worker has copied its windows. */
void learning_collected(struct learning *learning, const struct record_windows *record);
/* Takes finished jobs from the trainer. */
void learning_finished(struct learning *learning);

/* Has a model trained as soon as it can. Returns 0; -1: there is no such model; -2: it does not train. */
int learning_retrain(struct learning *learning, const char *model);

/* One line per model for a person: what serves, and why. */
json_t *learning_describe(const struct learning *learning);

#endif
