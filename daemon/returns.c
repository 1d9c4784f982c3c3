#include "daemon/returns_internal.h"

#include "daemon/clock.h"
#include "daemon/homecoming.h"
#include "daemon/stream_image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* How long a disk that cannot be read is left alone, ns. */
static const int64_t quiet = 50000000;

/* Answers taken in one go: bounds how long others wait. */
enum { ANSWERS_MOST = 128 };

struct returns *returns_new(const struct returns_setup *setup) {
    struct returns *returns = calloc(1, sizeof *returns);
    if (returns == NULL)
        return NULL;
    returns->setup = *setup;
    returns->count = calloc((size_t)setup->opening->config->n_classes, sizeof *returns->count);
    returns->handed = calloc((size_t)setup->opening->config->workers, sizeof *returns->handed);
    if (returns->count != NULL && returns->handed != NULL)
        return returns;
    returns_free(returns);
    return NULL;
}

/* ---- records that are kept ------------------------------------------------------------------ */

struct kept *returns_take_first(struct returns *returns, struct returning *returning) {
    struct kept *kept = returning->kept;
    returning->kept = kept->behind;
    if (returning->kept != NULL)
        returning->kept->before = NULL;
    kept->behind = NULL;
    DL_DELETE2(returns->kept, kept, previous, next);
    returns->counters.kept--;
    returns->counters.kept_bytes -= sizeof *kept + kept->n;
    if (kept->order <= returns->tail)
        returns->tail_bytes -= sizeof *kept + kept->n;
    return kept;
}

static void drop_kept(struct returns *returns, struct returning *returning) {
    while (returning->kept != NULL)
        kept_free(returns_take_first(returns, returning));
    returning->last = NULL;
}

void *returns_reserve(struct returns *returns, struct returning *returning, size_t n) {
    assert(returns->reserved == NULL);
    uint64_t bytes =
        returns->counters.kept_bytes - returns->tail_bytes - returns->held_bytes + sizeof *returns->kept + n;
    bool full = bytes > (uint64_t)returns->setup.opening->config->return_queue || returning->held;
    struct kept *kept = full && !returns->reads_tail ? NULL : malloc(sizeof *kept + n);
    if (kept == NULL) {
        returns->counters.full++;
        return NULL;
    }
    *kept = (struct kept){.n = n};
    returns->reserved = kept;
    returns->reserved_for = returning;
    return kept->record;
}

void returns_unreserve(struct returns *returns) {
    free(returns->reserved);
    returns->reserved = NULL;
}

void returns_commit(struct returns *returns, uint64_t order, uint32_t nth) {
    struct kept *kept = returns->reserved;
    struct returning *returning = returns->reserved_for;
    kept->order = order;
    kept->nth = nth;
    DL_APPEND2(returns->kept, kept, previous, next);
    if (returning->kept == NULL)
        returning->kept = kept;
    else
        returning->last->behind = kept;
    kept->before = returning->kept != kept ? returning->last : NULL;
    returning->last = kept;
    returns->counters.kept++;
    returns->counters.kept_bytes += sizeof *kept + kept->n;
    returns->reserved = NULL;
    if (!returns->reads_tail)
        returns_requeue(returns, returning);
}

struct kept *returns_refused(struct returns *returns, struct returning *returning, uint64_t order, uint32_t nth) {
    struct kept *kept = returning->kept != NULL ? returning->last : NULL;
    while (kept != NULL && kept->order >= order && (kept->order != order || kept->nth != nth))
        kept = kept->before;
    if (kept == NULL || kept->order != order)
        return NULL; /* an image has it, or it was none of the class */
    *(kept->before != NULL ? &kept->before->behind : &returning->kept) = kept->behind;
    *(kept->behind != NULL ? &kept->behind->before : &returning->last) = kept->before;
    DL_DELETE2(returns->kept, kept, previous, next);
    returns->counters.kept--;
    returns->counters.kept_bytes -= sizeof *kept + kept->n;
    return kept;
}

uint64_t returns_lowest(const struct returns *returns) {
    uint64_t kept = returns->kept != NULL ? returns->kept->order : UINT64_MAX,
             import = returns->imports != NULL ? returns->imports->order : UINT64_MAX;
    return kept < import ? kept : import;
}

/* ---- who returns ---------------------------------------------------------------------------- */

struct returning *returns_find(const struct returns *returns, const char *name, size_t n) {
    struct returning *returning;
    HASH_FIND(hh, returns->all, name, n, returning);
    return returning;
}

static struct returning *add(struct returns *returns, int class, const char *name, size_t n) {
    struct returning *returning = calloc(1, sizeof *returning + n + 1);
    if (returning == NULL)
        return NULL;
    returning->class = class;
    returning->n = n;
    memcpy(returning->name, name, n);
    HASH_ADD_KEYPTR(hh, returns->all, returning->name, n, returning);
    if (returning->hh.tbl == NULL) {
        free(returning);
        return NULL;
    }
    returns->count[class]++;
    return returning;
}

void returns_forget(struct returns *returns, struct returning *returning) {
    if (returning->held)
        returns_unhold(returns, returning);
    drop_kept(returns, returning);
    returns_drop_import(returns, returning);
    stored_free(returning->answer);
    returns->count[returning->class]--;
    HASH_DEL(returns->all, returning);
    free(returning);
}

struct returning *returns_begin(struct returns *returns, int class, const char *name, size_t n) {
    struct returning *returning = add(returns, class, name, n);
    if (returning != NULL)
        returns_enqueue(returns, returning);
    return returning;
}

int returns_bring(struct returns *returns, int class, const char *name, size_t n, bool anew) {
    struct returning *returning = returns_find(returns, name, n);
    if (returning == NULL && (returning = returns_begin(returns, class, name, n)) == NULL)
        return -1;
    returning->brought = true;
    returning->anew |= anew;
    returns_requeue(returns, returning);
    if (returning->stage == UNREAD)
        returns->unread_until = returning->again = 0;
    return 0;
}

int returning_class(const struct returning *returning) {
    return returning->class;
}

int returns_leaving(struct returns *returns, const struct stream *stream, bool forget_it) {
    struct returning *returning = add(returns, stream->class, stream->name, stream->name_length);
    if (returning == NULL)
        return -1;
    returning->stage = LEAVING;
    returns->n_leaving++;
    returning->forget = forget_it;
    returning->generation = stream->generation;
    returning->leaving = ++returns->leavings;
    DL_APPEND2(returns->leaving, returning, previous, next);
    return 0;
}

void returns_stays(struct returns *returns, const struct stream *stream) {
    struct returning *returning = returns_find(returns, stream->name, stream->name_length);
    assert(returning != NULL && returning->stage == LEAVING && returning->leaving == returns->leavings);
    returns->n_leaving--;
    returns->leavings--;
    DL_DELETE2(returns->leaving, returning, previous, next);
    returns_forget(returns, returning);
}

void returns_left(struct returns *returns, const struct stream *stream) {
    struct returning *returning = returns_find(returns, stream->name, stream->name_length);
    if (returning == NULL || returning->stage != LEAVING)
        return;
    returns->n_leaving--;
    DL_DELETE2(returns->leaving, returning, previous, next);
    if (returning->forget || returns_wants(returning))
        returns_enqueue(returns, returning);
    else
        returns_forget(returns, returning);
}

int returns_n_leaving(const struct returns *returns) {
    return returns->n_leaving;
}

uint64_t returns_leavings(const struct returns *returns) {
    return returns->leavings;
}

uint64_t returns_left_until(const struct returns *returns) {
    return returns->leaving != NULL ? returns->leaving->leaving - 1 : returns->leavings;
}

void returns_ended(struct returns *returns, struct returning *returning, uint32_t generation) {
    drop_kept(returns, returning);
    returns_drop_import(returns, returning);
    returning->forget = true;
    returning->generation = generation;
    returns_requeue(returns, returning);
}

void returns_free(struct returns *returns) {
    if (returns == NULL)
        return;
    struct returning *returning, *next;
    HASH_ITER (hh, returns->all, returning, next) {
        /* What is placed is not in the table of streams yet, but its worker's; it has stopped. */
        if (returning->stage == PLACED)
            stream_free(returning->stream);
        returns_forget(returns, returning);
    }
    struct outcome *outcome, *next_outcome;
    LL_FOREACH_SAFE(returns->outcomes, outcome, next_outcome)
    free(outcome);
    struct look *look, *next_look;
    DL_FOREACH_SAFE2(returns->looks, look, next_look, next) {
        stored_free(look->answer);
        free(look);
    }
    free(returns->count);
    free(returns->handed);
    free(returns);
}

/* ---- answers -------------------------------------------------------------------------------- */

static void take_answer(struct returns *returns, struct stored *answer) {
    if (answer->found == STORED_FAILED) /* the disk cannot be read now */
        returns->quiet_until = clock_monotonic() + quiet;
    if (((const struct asking *)answer->context)->looks) {
        ((struct look *)answer->context)->answer = answer;
        return;
    }
    struct returning *returning = answer->context;
    if (answer->found == STORED_FAILED) {
        returns->under_way--;
        stored_free(answer);
        returns_enqueue(returns, returning);
        return;
    }
    if (answer->found == STORED_IMAGE &&
        stream_image_fits(returns->setup.opening->config, returning->class, answer, &answer->err) != 0)
        answer->found = STORED_DAMAGED;
    if (answer->found == STORED_UNREADABLE)
        returns_not_read(returns, returning, answer);
    else
        returns_answered(returns, returning, answer);
}

void returns_answered(struct returns *returns, struct returning *returning, struct stored *answer) {
    if (returning->held)
        returns_unhold(returns, returning);
    returning->stage = ANSWERED;
    returning->answer = answer;
    DL_APPEND2(returns->to_hand, returning, previous, next);
    returns->counters.returned += answer->found == STORED_IMAGE;
    returns->counters.unknown += answer->found == STORED_NONE || answer->found == STORED_ENDED;
    if (returning->import != NULL)
        returns_end_import(returns, returning);
}

bool returns_poll(struct returns *returns) {
    struct stored *answer;
    int taken = 0;
    while (taken < ANSWERS_MOST && (answer = store_answer(returns->setup.store)) != NULL) {
        take_answer(returns, answer);
        taken++;
    }
    bool more = returns_hand_over(returns);
    returns_ask_again(returns);
    returns_ask(returns);
    return more || taken == ANSWERS_MOST;
}

/* ---- the journal's -------------------------------------------------------------------------- */

void returns_read_tail(struct returns *returns, bool reads) {
    returns->reads_tail = reads;
    if (!reads && returns->kept != NULL)
        returns->tail = returns->kept->previous->order; /* utlist: the last one */
    if (!reads && returns->imports != NULL && returns->imports->previous->order > returns->tail)
        returns->tail = returns->imports->previous->order;
    if (!reads)
        returns->tail_bytes = returns->counters.kept_bytes;
}

bool returns_has_ended(const struct returning *returning, uint32_t generation) {
    return returning->forget && generation <= returning->generation;
}

bool returns_has_tail(const struct returns *returns) {
    return returns->tail_bytes > 0 || (returns->imports != NULL && returns->imports->order <= returns->tail);
}

int64_t returns_count_of(const struct returns *returns, int class) {
    return returns->count[class];
}

struct returns_counters returns_counters(const struct returns *returns) {
    return returns->counters;
}
