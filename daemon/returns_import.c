/* Streams that become what an image says. */
#include "daemon/returns_internal.h"

#include "daemon/homecoming.h"
#include "daemon/records.h"

#include <stdlib.h>
#include <utlist.h>

void returns_drop_import(struct returns *returns, struct returning *returning) {
    struct import *import = returning->import;
    if (import == NULL)
        return;
    if (import->order > 0)
        DL_DELETE2(returns->imports, import, previous, next);
    stored_free(import->image);
    free(import->outcome);
    free(import);
    returning->import = NULL;
}

void returns_end_import(struct returns *returns, struct returning *returning) {
    struct import *import = returning->import;
    enum stored_found found = returning->answer->found;
    bool done = found == STORED_NONE || found == STORED_ENDED;
    if (import->outcome != NULL) {
        import->outcome->done = done;
        import->outcome->order = import->order;
        LL_APPEND(returns->outcomes, import->outcome);
        import->outcome = NULL;
    }
    if (!done) {
        returns_drop_import(returns, returning);
        return;
    }
    import->image->generation = returns_generation_of(returns, returning);
    import->image->found = STORED_IMAGE;
    stored_free(returning->answer);
    returning->answer = import->image;
    import->image = NULL;
}

/* What is there already, or comes before it, is the stream; but for what only follows one that has ended. */
static bool is_to_be(const struct returning *returning) {
    bool is = returning->import != NULL;
    for (const struct kept *kept = returning->kept; kept != NULL; kept = kept->behind)
        is |= ((const struct record *)(const void *)kept->record)->kind == RECORD_TICK;
    return is;
}

bool returning_may_be_none(const struct returning *returning) {
    bool is = returning->held || returning->stage == PLACED || (returning->stage == LEAVING && !returning->forget) ||
              (returning->stage == ANSWERED && returning->answer->found == STORED_IMAGE);
    return !is && !is_to_be(returning);
}

int returns_import(struct returns *returns, struct returning *returning, struct stored *image, uint64_t request) {
    if (is_to_be(returning))
        return -1;
    struct import *import = calloc(1, sizeof *import);
    struct outcome *outcome = request > 0 ? calloc(1, sizeof *outcome) : NULL;
    if (import == NULL || (request > 0 && outcome == NULL)) {
        free(import);
        free(outcome);
        return -2;
    }
    if (outcome != NULL)
        outcome->request = request;
    *import = (struct import){.of = returning, .image = image, .outcome = outcome};
    returning->import = import;
    returns_requeue(returns, returning);
    return 0;
}

void returns_import_at(struct returns *returns, struct returning *returning, uint64_t order) {
    struct import *import = returning->import;
    import->order = import->image->order = order;
    DL_APPEND2(returns->imports, import, previous, next);
}

void returns_import_not(struct returns *returns, struct returning *returning) {
    returning->import->image = NULL;
    returns_drop_import(returns, returning);
}

void returns_each_imported(const struct returns *returns, void (*each)(void *context, const char *name, size_t n),
                           void *context) {
    for (const struct import *import = returns->imports; import != NULL; import = import->next)
        if (import->image == NULL) /* the store has told that there is none */
            each(context, import->of->name, import->of->n);
}

bool returns_imported(struct returns *returns, struct import_outcome *ret) {
    struct outcome *outcome = returns->outcomes;
    if (outcome == NULL)
        return false;
    *ret = (struct import_outcome){outcome->request, outcome->order, outcome->done};
    LL_DELETE(returns->outcomes, outcome);
    free(outcome);
    return true;
}
