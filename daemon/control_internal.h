/* What the parts of control share; only daemon/control*.c include it. */
#ifndef DAEMON_CONTROL_INTERNAL_H
#define DAEMON_CONTROL_INTERNAL_H

#include "daemon/control.h"
#include "daemon/requests.h"

enum needs {
    AS_IT_IS = 0,
    IN_MEMORY = 1, /* the command's stream has to be there, */
    OR_ANEW = 2,   /* as one that begins, where it cannot be read */
    DURABLE = 4,   /* what it has put into the journal has to be on disk before it is answered */
};

struct command {
    const char *name;
    /* Returns a reply map, or NULL where it has kept the request. */
    json_t *(*answer)(struct control *control, const json_t *request);
    unsigned needs;
};

/* A request that waits for the store, or for a stream on its way; at most REQUESTS_KEPT_MOST. */
struct waiting {
    struct waiting *previous, *next; /* utlist, of control */
    uint64_t number;                 /* of the request that is kept */
    json_t *request;                 /* or NULL */
    /* Called in each turn until it returns true, which takes it away: it is answered, or somebody else has it. answer: of
     * what it has had looked for, the caller's; NULL: that has not come. */
    bool (*go_on)(struct control *control, struct waiting *waiting, struct stored *answer);
    bool asked; /* it has had something looked for */

    /* Of a command on a stream that comes back. */
    const struct command *command;
    bool brought; /* it has been asked for */

    uint64_t order; /* where it stands in the journal; of an import 0 until the store has no such stream */
    json_t *reply;  /* when that is durable, */
    int64_t until;  /* or (monotonic ns) it is told that it is not */

    /* Of names. */
    bool begun;       /* what is in memory has been looked at: */
    json_t *memory;   /* a page of its names, */
    bool more;        /* behind which there are others; */
    uint64_t leaving; /* and so many streams had begun to leave */
};

struct control {
    struct control_setup setup;
    struct requests *requests;
    struct saver *saver;
    struct waiting *waiting;
    uint64_t reload; /* the request that waits for the configuration to be read; 0: none */
    int64_t started;
};

/* A page of names: its prefix, behind which name, and how many at most. */
struct page {
    const char *prefix, *after;
    int limit;
};

/* control.c */
/* Replies. */
json_t *control_failure(const char *code, const char *message);
json_t *control_success(void);
json_t *control_busy(void);
json_t *control_crowded(void);
json_t *control_no_memory(void);
/* A text of a request; NULL where it is none, or holds a NUL, which no name does. */
const char *control_text(const json_t *request, const char *key);
/* Keeps the request at hand, to go on with it so; an error reply where that cannot be. */
json_t *control_wait(struct control *control, const json_t *request,
                     bool (*go_on)(struct control *control, struct waiting *waiting, struct stored *answer));
/* The end of a go_on: what it returns. With a reply, or with an answer that there is no memory to tell of, the request is
 * answered; else it waits on. */
bool control_done(struct control *control, const struct waiting *waiting, const struct stored *answer, json_t *reply);
/* Takes one away that has been answered. */
void control_forget(struct control *control, struct waiting *waiting);

/* control_status.c */
json_t *control_hello(struct control *control, const json_t *request);
json_t *control_status(struct control *control, const json_t *request);

/* control_streams.c */
/* The stream of a request, which the model (-1: any) has to serve; NULL (an error reply in *ret_failure) where there is
 * none. */
struct stream *control_stream_of(const struct control *control, const json_t *request, int model,
                                 json_t **ret_failure);
/* NULL, or an error reply. */
json_t *control_read_page(const json_t *request, struct page *ret_page);
/* The page's streams in memory, [limit] of them (calloc), and whether there are further ones. NULL: no memory. */
const struct stream **control_streams_in(const struct control *control, const struct page *page, int *ret_n,
                                         bool *ret_more);
json_t *control_streams(struct control *control, const json_t *request);
json_t *control_pause(struct control *control, const json_t *request);
json_t *control_resume(struct control *control, const json_t *request);
json_t *control_end(struct control *control, const json_t *request);
json_t *control_reset(struct control *control, const json_t *request);
json_t *control_state(struct control *control, const json_t *request);
json_t *control_set_state(struct control *control, const json_t *request);
json_t *control_scores(struct control *control, const json_t *request);

/* control_models.c */
/* The model of a request; -1 (an error reply in *ret_failure) where there is none. */
int control_model_of(const struct control *control, const json_t *request, json_t **ret_failure);
/* The version whose network the model's slots have; NULL (an error reply in *ret_failure) where there is none. */
struct version *control_version_of(const struct control *control, int model, json_t **ret_failure);
json_t *control_models(struct control *control, const json_t *request);
json_t *control_retrain(struct control *control, const json_t *request);
json_t *control_stop_training(struct control *control, const json_t *request);
json_t *control_promote(struct control *control, const json_t *request);
json_t *control_reject(struct control *control, const json_t *request);
json_t *control_rollback(struct control *control, const json_t *request);
json_t *control_decisions(struct control *control, const json_t *request);
json_t *control_save(struct control *control, const json_t *request);
/* Who had a model saved. Waits for the file, if one is being written. */
void control_answer_saved(struct control *control);

/* control_names.c */
json_t *control_names(struct control *control, const json_t *request);

/* control_images.c */
json_t *control_export(struct control *control, const json_t *request);
json_t *control_import(struct control *control, const json_t *request);
/* Imports that have had to ask the store. */
void control_answer_imports(struct control *control);

/* control_away.c */
/* Whether the request's stream is not in memory, and may be on disk. Then its answer waits until it is there. */
bool control_is_away(const struct control *control, const json_t *request);
json_t *control_bring(struct control *control, const struct command *command, const json_t *request);
/* An error reply where the store could not read it; else NULL. And that of a stream that is held. */
json_t *control_unread(const struct stored *answer);
json_t *control_held(void);

/* control_durable.c */
/* Carries out a command whose stream is where it has to be: a reply, or NULL where the request is kept. */
json_t *control_carry_out(struct control *control, const struct command *command, const json_t *request);
/* Answers a request that is kept, whose command has been carried out, when that is durable; takes the reply's reference. */
void control_answer_durable(struct control *control, uint64_t number, json_t *reply);

#endif
