/* Questions to the store for requests of control, and for open intervals: who is looked at stays there. */
#include "daemon/returns_internal.h"

#include <stdlib.h>
#include <utlist.h>

/* NULL also while the disk is left alone. */
static struct look *new_look(const struct returns *returns, uint64_t request) {
    struct look *look = returns_is_quiet(returns) ? NULL : calloc(1, sizeof *look);
    if (look != NULL)
        *look = (struct look){.asking = {.looks = true}, .request = request};
    return look;
}

/* Keeps it, where it has been asked for. */
static bool keep_look(struct returns *returns, struct look *look, bool asked) {
    if (asked)
        DL_APPEND2(returns->looks, look, previous, next);
    else
        free(look);
    return asked;
}

bool returns_look(struct returns *returns, const char *name, size_t n, uint64_t request) {
    struct look *look = new_look(returns, request);
    return keep_look(returns, look, look != NULL && store_ask(returns->setup.store, name, n, look));
}

bool returns_look_for_names(struct returns *returns, const char *prefix, const char *after, int most,
                            uint64_t request) {
    struct look *look = new_look(returns, request);
    return keep_look(returns, look, look != NULL && store_ask_names(returns->setup.store, prefix, after, most, look));
}

bool returns_look_for_open(struct returns *returns, const char *after, int most) {
    struct look *look = new_look(returns, 0);
    return keep_look(returns, look, look != NULL && store_ask_open(returns->setup.store, after, most, look));
}

/* of_control: of a request, else for open intervals. */
static struct stored *take_look(struct returns *returns, bool of_control, uint64_t *ret_request) {
    struct look *look = returns->looks;
    while (look != NULL && (look->answer == NULL || of_control != (look->request > 0)))
        look = look->next;
    if (look == NULL)
        return NULL;
    struct stored *answer = look->answer;
    *ret_request = look->request;
    DL_DELETE2(returns->looks, look, previous, next);
    free(look);
    return answer;
}

struct stored *returns_looked(struct returns *returns, uint64_t *ret_request) {
    return take_look(returns, true, ret_request);
}

struct stored *returns_looked_open(struct returns *returns) {
    uint64_t none;
    return take_look(returns, false, &none);
}
