/* Who is to be asked for, and when. */
#include "daemon/returns_internal.h"

#include "daemon/clock.h"
#include "daemon/homecoming.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Streams that the store is asked for, or that wait with its answer for their worker, at a time: enough to keep it busy,
 * and few enough that what ticks now comes before what was asked for long ago, and that their images take little. */
enum { UNDER_WAY_MOST = 768 };

/* Of one wave: so many are sorted in some 10 ms, in which nothing else is done. */
enum { WAVE_MOST = 1 << 16 };

/* While something comes for others all the time: so many of them, then so many who are brought to where they stood. In runs,
 * as the store reads each kind in its own order. */
enum { WANTED_RUN = 512, BROUGHT_RUN = 64 };

/* ---- the queues ----------------------------------------------------------------------------- */

/* Something has come for it, or somebody waits for it. */
static bool is_wanted(const struct returns *returns, const struct returning *returning) {
    return returning->brought || returning->import != NULL ||
           (returning->kept != NULL && returning->last->order > returns->tail);
}

void returns_enqueue(struct returns *returns, struct returning *returning) {
    returning->stage = TO_ASK;
    returning->list = returning->forget               ? &returns->to_forget
                      : is_wanted(returns, returning) ? &returns->wanted.behind
                                                      : &returns->to_bring.behind;
    DL_APPEND2(*returning->list, returning, previous, next);
}

static void leave(struct returning *returning) {
    DL_DELETE2(*returning->list, returning, previous, next);
}

void returns_requeue(struct returns *returns, struct returning *returning) {
    bool is_to_bring = returning->list == &returns->to_bring.wave || returning->list == &returns->to_bring.behind;
    if (returning->stage != TO_ASK || !(returning->forget || (is_to_bring && is_wanted(returns, returning))))
        return;
    leave(returning);
    returns_enqueue(returns, returning);
}

/* ---- waves ---------------------------------------------------------------------------------- */

/* By its first bytes, which are there without a look at what lies elsewhere. */
struct sorted {
    char head[24];
    struct returning *returning;
};

/* The order of the store's keys. */
static int by_name(const void *left, const void *right) {
    const struct sorted *l = left, *r = right;
    const struct returning *a = l->returning, *b = r->returning;
    int differs = memcmp(l->head, r->head, sizeof l->head);
    if (differs == 0)
        differs = memcmp(a->name, b->name, a->n < b->n ? a->n : b->n);
    return differs != 0 ? differs : (a->n > b->n) - (a->n < b->n);
}

static void sort_wave(struct queue *queue, size_t n) {
    struct sorted *sorted = calloc(n, sizeof *sorted);
    struct returning *returning = queue->wave;
    if (sorted == NULL)
        return; /* it is slower so */
    for (size_t i = 0; i < n; i++, returning = returning->next) {
        size_t most = sizeof sorted->head;
        memcpy(sorted[i].head, returning->name, returning->n < most ? returning->n : most);
        sorted[i].returning = returning;
    }
    qsort(sorted, n, sizeof *sorted, by_name);
    queue->wave = NULL;
    for (size_t i = 0; i < n; i++)
        DL_APPEND2(queue->wave, sorted[i].returning, previous, next);
    free(sorted);
}

/* The first ones become the next wave. */
static void begin_wave(struct queue *queue) {
    size_t n = 0;
    for (struct returning *returning; n < WAVE_MOST && (returning = queue->behind) != NULL; n++) {
        leave(returning);
        returning->list = &queue->wave;
        DL_APPEND2(queue->wave, returning, previous, next);
    }
    if (n > 1)
        sort_wave(queue, n);
}

/* The next one; NULL: nobody is to be asked for. */
static struct returning *next_to_ask(struct returns *returns) {
    struct queue *wanted = &returns->wanted, *to_bring = &returns->to_bring;
    if (wanted->wave == NULL)
        begin_wave(wanted);
    if (to_bring->wave == NULL)
        begin_wave(to_bring);
    bool brings = to_bring->wave != NULL && (wanted->wave == NULL || returns->turn >= WANTED_RUN);
    return brings ? to_bring->wave : wanted->wave;
}

/* ---- asking --------------------------------------------------------------------------------- */

bool returns_wants(const struct returning *returning) {
    const struct stored *answer = returning->answer;
    bool known =
        answer == NULL || answer->found == STORED_IMAGE || (answer->found == STORED_DAMAGED && returning->anew);
    return returning->kept != NULL || returning->import != NULL || returning->stage == PLACED ||
           (returning->brought && known);
}

/* The store is told of ends before anything else, as a round may take them out of the journal. Returns false where it takes no
 * more now. */
static bool forget_all(struct returns *returns) {
    for (struct returning *returning; (returning = returns->to_forget) != NULL;) {
        if (!store_forget(returns->setup.store, returning->name, returning->n, returning->generation))
            return false;
        leave(returning);
        returning->forget = false;
        if (returns_wants(returning))
            returns_enqueue(returns, returning);
        else
            returns_forget(returns, returning);
    }
    return true;
}

bool returns_has_ends(const struct returns *returns) {
    return returns->to_forget != NULL;
}

/* Returns false where the store takes no more now. */
static bool ask_next(struct returns *returns, struct returning *returning) {
    bool asks = returns_wants(returning);
    if (asks && !store_ask(returns->setup.store, returning->name, returning->n, returning))
        return false;
    leave(returning);
    returns->turn = (returns->turn + 1) % (WANTED_RUN + BROUGHT_RUN);
    returning->stage = ASKED;
    returns->under_way += asks;
    if (!asks)
        returns_forget(returns, returning); /* nobody wants it any more */
    return true;
}

bool returns_is_quiet(const struct returns *returns) {
    return returns->quiet_until > 0 && clock_monotonic() < returns->quiet_until;
}

void returns_ask(struct returns *returns) {
    struct returning *next;
    bool more = forget_all(returns) && !returns_is_quiet(returns);
    while (more && returns->under_way < UNDER_WAY_MOST && (next = next_to_ask(returns)) != NULL)
        more = ask_next(returns, next);
}
