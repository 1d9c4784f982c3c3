/* The insides of learning, for learning*.c: one concern in each. Bus thread only. */
#ifndef DAEMON_LEARNING_INTERNAL_H
#define DAEMON_LEARNING_INTERNAL_H

#include "daemon/learning.h"
#include "engine/contest.h"
#include "engine/drift.h"
#include "engine/retraining.h"

enum { DECISIONS_MOST = 64, REASON_MOST = 256 };

enum stage {
    STAGE_IDLE,
    STAGE_COLLECTING, /* the workers copy windows */
    STAGE_WAITING,    /* for the trainer, which has another model's job */
    STAGE_TRAINING,
};

/* A version that does not serve, beside the one that does. */
struct contest {
    enum contest_kind kind;
    struct version *version;          /* with a reference; NULL: none */
    uint64_t number;                  /* of contests so far; the workers' losses carry it */
    uint64_t seen, lasted;            /* the most steps of the class so far; steps of it since it began */
    struct promotion_verdict verdict; /* the latest, while it is undecided */
    double loss, champion_loss;       /* live, of the version and of the champion; NaN: no answer yet */
    uint64_t steps;                   /* that these are over */
};

/* What is to be done with a version, once it is on disk where there is one: nobody takes it over before. */
struct plan {
    struct version *version; /* with a reference; NULL: there is no plan */
    enum { PLAN_PROMOTE, PLAN_DEMOTE, PLAN_GO_BACK } what;
    const char *kind;   /* of the decision */
    json_t *fields;     /* of it, with a reference */
    char why[256];      /* the reason, behind who serves */
    bool being_written; /* by the errand of the versions */
    bool failed_before; /* and was told */
};

struct model_learning {
    /* The job at hand: learning.c. */
    enum stage stage;
    struct training_job *job; /* while there is one; while it trains it is the trainer's, but for its atomics */
    bool unwanted;            /* while it collects: to be dropped when that is done */
    int still_out;            /* workers that have not handed their set back */
    struct windows **unsent;  /* [workers] sets that did not fit into a ring yet */
    struct retraining retraining;
    enum retraining_reason why;    /* of the latest job */
    struct training_job *finished; /* that waits until what was decided before it is done */

    /* Who serves: learning_serving.c. */
    uint64_t last_number; /* of a version */
    struct plan plan;
    uint64_t origin;                /* sum of the weights of the configuration itself; 0: it has none */
    bool record_old;                /* people were told more than is on disk */
    int64_t write_again;            /* not before this, monotonic ns: the disk has failed */
    struct version *before;         /* what the champion has replaced, with a reference; NULL: there is no way back */
    struct version *unsent_version; /* that has not reached all workers */
    bool *version_sent;             /* [workers] */
    struct contest contest;
    bool shadow_unsent; /* the order for the contest at hand (no shadow, too) has not reached all workers */
    bool *shadow_sent;  /* [workers] */

    /* What the workers see of the model: learning_live.c. */
    struct live *live; /* [workers]; NULL: never asked */
    int watches_out;   /* workers that have not answered */
    int64_t watched;   /* when they were asked, monotonic ns */
    uint64_t watched_steps;
    struct drift drift;
    struct forecast_errors errors;

    /* For people: learning_describe.c. */
    json_t *latest;                   /* the latest job; NULL: none was judged */
    struct promotion_verdict verdict; /* of it */
    struct training_outcome outcome;  /* of it, without its network */
    double seconds;
    int64_t ended; /* ns since 1970 */
    uint64_t jobs, promoted, failed, stopped, rolled_back, drifts;
    char reason[REASON_MOST]; /* why who serves serves */
    json_t *decisions;        /* the latest ones, oldest first */
};

struct learning {
    struct learning_setup setup;
    struct model_learning *models; /* [n_models] */
    int first;                     /* model that is looked at first, in turn */
    bool trainer_busy;
};

/* The most steps of any stream of the class, and its time, which is the clock of the data. */
uint64_t learning_most_steps(const struct learning *learning, int class, int64_t *ret_clock);

static inline const struct config_model *model_config(const struct learning *learning, int m) {
    return &learning->setup.config->models[m];
}

/* ---- learning_serving.c */

/* The version, whose reference is taken, serves from the start; before (NULL: there is no way back), too. */
void serving_begin(struct learning *learning, int m, struct version *version, struct version *before);
/* "version 3 serves: " and why, where it is the version that serves. */
void serving_reason(const struct config_model *of, const struct version *version, const char *why,
                    char ret_reason[REASON_MOST]);
/* A challenger of before, whose reference is taken, is decided on as the configuration has it now. */
void serving_go_on(struct learning *learning, int m, struct version *challenger);
/* Who serves has to prove itself still beside what it has replaced, where the two can be compared. */
void serving_prove_on(struct learning *learning, int m);
/* The challenger that may serve yet; NULL: none. */
struct version *serving_challenger(const struct model_learning *model);
/* The plan's version is on disk, or there is no disk: it is taken over. */
void serving_carry_out(struct learning *learning, int m);
/* A job has judged its challenger, which is taken from the outcome where it is kept. */
void serving_judge(struct learning *learning, int m, struct training_outcome *outcome);
/* Live losses have been told. */
void serving_judge_live(struct learning *learning, int m, const struct shadow_losses *losses);
/* Sends what has not reached all workers. */
void serving_send(struct learning *learning, int m);
void serving_free(struct model_learning *model);

/* ---- learning_disk.c: nothing to do without a state_dir */

/* What served the model when the daemon ended serves again, if the network (NULL: none) that the configuration itself
 * gives is still the same; that one is not taken. Returns 1 where something serves, 0 where nothing does, with the
 * numbers of versions going on; -1 with the sentence in err. */
int disk_restore(struct learning *learning, int m, const struct network *own, struct error *err);
/* The first version of the configuration itself, written before anybody has it. */
int disk_put_first(struct learning *learning, int m, struct version *version, struct version *before,
                   struct error *err);
/* Goes on with what is to be written. */
void disk_poll(struct learning *learning, int m);
/* The end: what is not on disk yet of what people were told. */
void disk_finish(struct learning *learning);

/* ---- learning_live.c */

/* Asks the workers what they see, where that is needed and there is something new. */
void live_poll(struct learning *learning, int m, uint64_t steps);

/* ---- learning_describe.c */

json_t *describe_outcome(const struct model_learning *model);
json_t *describe_contest(const struct contest *contest);
/* Puts a decision behind the others: fields (a map) are made complete, and a copy of them is kept. */
void learning_decide(json_t *decisions, const char *model, const struct version *version, const char *kind,
                     const char *reason, json_t *fields);
/* Records and tells a decision: the event of that kind, with the model's reason as its text, and fields (the
 * reference is taken). */
void learning_tell(struct learning *learning, int m, const char *kind, json_t *fields);

#endif
