/* The insides of control, for control*.c. */
#ifndef DAEMON_CONTROL_INTERNAL_H
#define DAEMON_CONTROL_INTERNAL_H

#include "daemon/control.h"
#include "daemon/requests.h"

struct control {
    struct control_setup setup;
    struct requests *requests;
    struct saver *saver;
    uint64_t reload; /* the request that waits for the configuration to be read; 0: none */
    int64_t started;
};

/* Replies. */
json_t *control_failure(const char *code, const char *message);
json_t *control_success(void);
json_t *control_busy(void);

/* The stream of a request, which the model (NULL: any) has to serve; NULL (an error reply in *ret_failure) where there is
 * none. */
struct stream *control_stream_of(const struct control *control, const json_t *request,
                                 const struct config_model *model, json_t **ret_failure);

/* Commands: each returns a reply map, or NULL where it has kept the request. */
json_t *control_export(struct control *control, const json_t *request);
json_t *control_import(struct control *control, const json_t *request);

/* Of imports that have had to ask the store. */
void control_answer_imports(struct control *control);

#endif
