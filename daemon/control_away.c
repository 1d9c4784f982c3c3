/* Commands on a stream that is not in memory: it comes back first, and stays for as long as any that comes does. */
#include "daemon/control_internal.h"

#include "daemon/returns.h"
#include "daemon/stream_image.h"
#include "daemon/wire.h"

#include <string.h>

static struct wire_text name_of(const json_t *request) {
    const char *name = control_text(request, "stream");
    return (struct wire_text){name, name != NULL ? strlen(name) : 0};
}

static bool is_here(const struct control *control, struct wire_text name) {
    return streams_find(control->setup.streams, name.at, name.n) != NULL;
}

bool control_is_away(const struct control *control, const json_t *request) {
    struct wire_text name = name_of(request);
    return control->setup.returns != NULL && wire_name_valid(name) && !is_here(control, name);
}

json_t *control_unread(const struct stored *answer) {
    switch (answer->found) {
    case STORED_DAMAGED: return control_failure("damaged", answer->err.text);
    case STORED_FAILED: return control_failure("degraded", answer->err.text);
    case STORED_UNREADABLE: return control_failure("unreadable", answer->err.text);
    default: return NULL;
    }
}

json_t *control_held(void) {
    return control_failure("unreadable", "the stream cannot be read on the disk now: it comes back when it can be");
}

/* What stands in the way of its coming back: an error reply. */
static json_t *in_the_way(const struct control *control, const struct waiting *waiting,
                          const struct returning *returning, int class, struct stored *answer) {
    if (store_degraded(control->setup.store))
        return control_failure("degraded", "the stream is on its way from a disk that fails: try again");
    bool anew = (waiting->command->needs & OR_ANEW) != 0;
    if (returning != NULL && returning_is_held(returning) && (waiting->brought || !anew) &&
        !returning_is_anew(returning))
        return control_held();
    if (answer != NULL && answer->found == STORED_IMAGE && class >= 0 &&
        stream_image_fits(control->setup.config, class, answer, &answer->err) != 0)
        answer->found = STORED_DAMAGED;
    bool wanted = answer == NULL || (answer->found == STORED_DAMAGED && anew);
    return wanted ? NULL : control_unread(answer);
}

/* The request is answered; where there is no such stream (reply: NULL) the command says so. */
static bool go_on(struct control *control, struct waiting *waiting, json_t *reply) {
    requests_resume(control->requests, waiting->number);
    if (reply == NULL)
        reply = control_carry_out(control, waiting->command, waiting->request);
    if (reply != NULL || requests_is_open(control->requests))
        requests_answer(control->requests, reply);
    return true;
}

/* Where it was brought, and has not come, the store is asked why: what cannot be read there begins nothing. */
static bool go_on_bringing(struct control *control, struct waiting *waiting, struct stored *answer) {
    struct wire_text name = name_of(waiting->request);
    const struct returning *returning = returns_find(control->setup.returns, name.at, name.n);
    int class = streams_class_of(control->setup.streams, name.at);
    if (is_here(control, name))
        return go_on(control, waiting, NULL);
    json_t *reply = in_the_way(control, waiting, returning, class, answer);
    if (reply != NULL || class < 0 ||
        (answer != NULL && answer->found != STORED_IMAGE && answer->found != STORED_DAMAGED))
        return go_on(control, waiting, reply);
    if (answer == NULL && returning == NULL && waiting->brought)
        waiting->asked = returns_look(control->setup.returns, name.at, name.n, waiting->number);
    else if (returning == NULL || !waiting->brought)
        waiting->brought = returns_bring(control->setup.returns, class, name.at, name.n,
                                         (waiting->command->needs & OR_ANEW) != 0) == 0;
    return false;
}

json_t *control_bring(struct control *control, const struct command *command, const json_t *request) {
    json_t *failed = control_wait(control, request, go_on_bringing);
    if (failed != NULL)
        return failed;
    control->waiting->previous->command = command; /* utlist: the last one */
    return NULL;
}
