/* Commands on a stream that is not in memory: it comes back first, and stays for as long as any that comes does. */
#include "daemon/control_internal.h"

#include "daemon/returns.h"
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

/* Has it come back. Returns false where it cannot. */
static bool bring(struct control *control, struct waiting *waiting, struct wire_text name) {
    int class = streams_class_of(control->setup.streams, name.at);
    waiting->brought = true;
    return class >= 0 && returns_bring(control->setup.returns, class, name.at, name.n) == 0;
}

static bool go_on_bringing(struct control *control, struct waiting *waiting, struct stored *answer) {
    struct wire_text name = name_of(waiting->request);
    bool here = is_here(control, name);
    bool comes = !here && returns_find(control->setup.returns, name.at, name.n) != NULL;
    (void)answer; /* it asks for none */
    bool fails = !here && store_degraded(control->setup.store);
    if (!here && !comes && !fails && !waiting->brought)
        comes = bring(control, waiting, name);
    if (comes && !fails)
        return false;
    /* Where the store does not know it either, the command says so. */
    requests_resume(control->requests, waiting->number);
    json_t *reply = fails ? control_failure("degraded", "the stream is on its way from a disk that fails: try again")
                          : waiting->answer(control, waiting->request);
    if (reply != NULL || requests_is_open(control->requests))
        requests_answer(control->requests, reply);
    return true;
}

json_t *control_bring(struct control *control, const json_t *request,
                      json_t *(*answer)(struct control *control, const json_t *request)) {
    json_t *failed = control_wait(control, request, go_on_bringing);
    if (failed == NULL)
        control->waiting->previous->answer = answer; /* utlist: the last one */
    return failed;
}
