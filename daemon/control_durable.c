/* Commands that stand in the journal: they are answered when they do on the disk. */
#include "daemon/control_internal.h"

#include "daemon/clock.h"

#include <stdlib.h>
#include <utlist.h>

/* A disk may take so long to fail that nobody would wait for it. */
static const int64_t patience = 2000000000;

/* Carried out, and may be gone with a crash. */
static json_t *not_durable(json_t *reply) {
    if (reply != NULL && json_object_get(reply, "error") == NULL)
        json_object_set_new(reply, "durable", json_false());
    return reply;
}

static bool go_on_until_durable(struct control *control, struct waiting *waiting, struct stored *answer) {
    const struct store *store = control->setup.store;
    bool degraded = store_degraded(store), durable = !degraded && store_durable(store) >= waiting->order;
    if (!durable && !degraded && clock_monotonic() <= waiting->until)
        return false;
    json_t *reply = durable ? waiting->reply : not_durable(waiting->reply);
    waiting->reply = NULL;
    return control_done(control, waiting, answer, reply); /* it asks for nothing, so there is no answer */
}

void control_answer_durable(struct control *control, uint64_t number, json_t *reply) {
    struct store *store = control->setup.store;
    bool failed = reply == NULL || json_object_get(reply, "error") != NULL;
    struct waiting *waiting = NULL;
    if (store != NULL && !failed && (store_degraded(store) || (waiting = calloc(1, sizeof *waiting)) == NULL))
        not_durable(reply);
    if (waiting == NULL) {
        requests_answer_kept(control->requests, number, reply);
        return;
    }
    *waiting = (struct waiting){.number = number,
                                .go_on = go_on_until_durable,
                                .reply = reply,
                                .order = store_order(store),
                                .until = clock_monotonic() + patience};
    DL_APPEND2(control->waiting, waiting, previous, next);
    store_hurry(store);
}

json_t *control_carry_out(struct control *control, const struct command *command, const json_t *request) {
    if ((command->needs & DURABLE) == 0 || control->setup.store == NULL)
        return command->answer(control, request);
    json_t *borrowed = json_incref((json_t *)(uintptr_t)request);
    uint64_t number = requests_keep(control->requests);
    if (number == 0) {
        json_decref(borrowed);
        return control_crowded();
    }
    control_answer_durable(control, number, command->answer(control, borrowed));
    json_decref(borrowed);
    return NULL;
}

bool control_settle(struct control *control) {
    struct waiting *waiting, *next;
    bool more = false;
    control_answer_imports(control);
    DL_FOREACH_SAFE2(control->waiting, waiting, next, next) {
        if (waiting->order > 0 && waiting->go_on(control, waiting, NULL))
            control_forget(control, waiting);
        else
            more |= waiting->order > 0;
    }
    return more;
}
