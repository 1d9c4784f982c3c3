/*
 * The trainer: one thread that runs training jobs, one after another, on copies; below the ticks' priority, and
 * within its share of a processor (training_cpu). It owns a job from trainer_submit until it comes back through
 * trainer_take.
 */
#ifndef DAEMON_TRAINER_H
#define DAEMON_TRAINER_H

#include "daemon/doorbell.h"
#include "daemon/ring.h"
#include "engine/training.h"
#include "engine/version.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct training_job {
    int model;
    struct version *champion; /* with a reference; NULL: none */
    struct windows **sets;    /* [n_sets] */
    int n_sets;
    struct config_model of; /* the model's configuration as it was at trainer_submit; borrows what it points to */

    /* The trainer writes, anyone reads. */
    atomic_int epoch, epochs;                /* that are done, of all; 0 of 0 before the first is */
    atomic_int_fast64_t steps, steps_in_all; /* of the optimizer, in the same way */
    atomic_int_fast64_t began;               /* monotonic ns; 0: not yet */

    atomic_bool stop; /* anyone: it is to come back within a chunk's work, stopped */

    /* When it has come back. */
    bool failed; /* err says why, the outcome is empty */
    struct training_outcome outcome;
    struct error err;
    double seconds; /* that it took */
};

/* Sets with room for n_sets; NULL when memory is short. */
struct training_job *training_job_new(int model, int n_sets);
void training_job_free(struct training_job *job);

struct trainer;

/* bus: rung when a job comes back. NULL with the sentence in err. */
struct trainer *trainer_start(const struct config *config, struct doorbell *bus, struct error *err);
/* Stops the job under way at its next optimiser step, joins the thread, frees all jobs. NULL is fine. */
void trainer_stop(struct trainer *trainer);

/* The clock of the processor time that the thread takes. 0, or an errno. */
int trainer_cpu_clock(const struct trainer *trainer, clockid_t *ret_clock);

/* Bus: hands a job over. The queue has room for one job of every model, and there is never more than one. */
void trainer_submit(struct trainer *trainer, struct training_job *job);
/* Bus: whether a job has come back. */
bool trainer_has_result(struct trainer *trainer);
/* Bus: a job that came back, or NULL. */
struct training_job *trainer_take(struct trainer *trainer);

#endif
