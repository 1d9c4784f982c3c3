#include "daemon/returns.h"

#include "daemon/clock.h"
#include "daemon/homecoming.h"
#include "daemon/stream_image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1 /* what has no room is not added: its hh.tbl is NULL */
#include <uthash.h>
#include <utlist.h>

/* Streams that the store is asked for, or that wait with its answer for their worker, at a time: enough to keep it busy,
 * and few enough that what ticks now comes before what was asked for long ago, and that their images take little. */
enum { UNDER_WAY_MOST = 256 };

/* How long a disk that cannot be read is left alone, ns. */
static const int64_t quiet = 50000000;

/* Answers taken in one go, and records handed over: bounds how long others wait. */
enum { ANSWERS_MOST = 32, HAND_OVER_MOST = 4096 };

enum stage {
    LEAVING, /* a worker still has what was there under the name */
    TO_ASK,
    ASKED,
    ANSWERED, /* and to be placed: memory was short */
    PLACED,   /* its worker knows it; what is kept follows as there is room */
};

/* What came of an import. */
struct outcome {
    struct outcome *next; /* utlist: of those that are to be told */
    uint64_t request, order;
    bool done;
};

/* An import, until its stream's worker has it, or the store has such a stream. */
struct import {
    struct import *previous, *next; /* utlist: of all, by order */
    uint64_t order;                 /* in the journal; 0: it is not there yet */
    struct stored *image;           /* NULL: it is the answer */
    struct outcome *outcome;        /* NULL: nobody waits for it */
};

/* What a question to the store is asked for: who returns, or a request of control, that looks only. Both begin so. */
struct asking {
    bool looks;
};

struct look {
    struct asking asking;
    struct look *previous, *next; /* utlist: of all */
    uint64_t request;             /* 0: for open intervals */
    struct stored *answer;        /* NULL: not yet */
};

struct returning {
    struct asking asking;
    UT_hash_handle hh;
    struct returning *previous, *next; /* utlist: among those who leave, are to be asked, or to be handed over */
    enum stage stage;
    bool forget;  /* what the store has of it is to be forgotten first */
    bool brought; /* it is to come back, if the store knows it */
    int class;
    uint32_t generation;      /* LEAVING: of the one that leaves */
    uint64_t leaving;         /* LEAVING: its number */
    struct kept *kept, *last; /* by behind */
    struct stored *answer;    /* ANSWERED */
    struct import *import;    /* what it is to become, if the store does not know it; or NULL */
    struct stream *stream;    /* PLACED */
    size_t n;
    char name[];
};

struct returns {
    struct returns_setup setup;
    struct returning *all;     /* uthash */
    struct returning *leaving; /* utlist, in their order */
    uint64_t leavings;         /* so many in all */
    struct look *looks;        /* utlist */
    struct returning *to_ask;  /* utlist, the next one first */
    struct import *imports;    /* utlist */
    struct outcome *outcomes;  /* utlist */
    struct returning *to_hand; /* utlist: answered, placed */
    struct kept *kept;         /* utlist: of all streams, by order */
    struct kept *reserved;     /* and is not filled in yet */
    struct returning *reserved_for;
    int n_leaving;
    int under_way;       /* ASKED or ANSWERED */
    int64_t quiet_until; /* monotonic, ns: the disk has failed, and is asked again then */
    bool reads_tail;     /* what is kept now comes from the journal, */
    uint64_t tail;       /* as does all up to this order */
    uint64_t tail_bytes; /* of what is kept */
    int64_t *count;      /* [n_classes] */
    struct returns_counters counters;
};

struct returns *returns_new(const struct returns_setup *setup) {
    struct returns *returns = calloc(1, sizeof *returns);
    if (returns == NULL)
        return NULL;
    returns->setup = *setup;
    returns->count = calloc((size_t)setup->opening->config->n_classes, sizeof *returns->count);
    if (returns->count != NULL)
        return returns;
    free(returns);
    return NULL;
}

/* ---- records that are kept ------------------------------------------------------------------ */

static struct kept *take_first(struct returns *returns, struct returning *returning) {
    struct kept *kept = returning->kept;
    returning->kept = kept->behind;
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
        free(take_first(returns, returning));
    returning->last = NULL;
}

void *returns_reserve(struct returns *returns, struct returning *returning, size_t n) {
    assert(returns->reserved == NULL);
    uint64_t bytes = returns->counters.kept_bytes - returns->tail_bytes + sizeof *returns->kept + n;
    bool full = bytes > (uint64_t)returns->setup.opening->config->return_queue;
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

void returns_commit(struct returns *returns, uint64_t order) {
    struct kept *kept = returns->reserved;
    struct returning *returning = returns->reserved_for;
    kept->order = order;
    DL_APPEND2(returns->kept, kept, previous, next);
    if (returning->kept == NULL)
        returning->kept = kept;
    else
        returning->last->behind = kept;
    returning->last = kept;
    returns->counters.kept++;
    returns->counters.kept_bytes += sizeof *kept + kept->n;
    returns->reserved = NULL;
    if (returning->stage != TO_ASK || returns->reads_tail)
        return;
    /* What ticks now comes before what is only to be brought to where it stood. */
    DL_DELETE2(returns->to_ask, returning, previous, next);
    DL_PREPEND2(returns->to_ask, returning, previous, next);
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
    struct returning *returning = calloc(1, sizeof *returning + n);
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

static void drop_import(struct returns *returns, struct returning *returning) {
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

static void forget(struct returns *returns, struct returning *returning) {
    drop_kept(returns, returning);
    drop_import(returns, returning);
    stored_free(returning->answer);
    returns->count[returning->class]--;
    HASH_DEL(returns->all, returning);
    free(returning);
}

struct returning *returns_begin(struct returns *returns, int class, const char *name, size_t n) {
    struct returning *returning = add(returns, class, name, n);
    if (returning != NULL) {
        returning->stage = TO_ASK;
        DL_APPEND2(returns->to_ask, returning, previous, next);
    }
    return returning;
}

int returns_bring(struct returns *returns, int class, const char *name, size_t n) {
    struct returning *returning = returns_begin(returns, class, name, n);
    if (returning != NULL)
        returning->brought = true;
    return returning != NULL ? 0 : -1;
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

void returns_left(struct returns *returns, const struct stream *stream) {
    struct returning *returning = returns_find(returns, stream->name, stream->name_length);
    if (returning == NULL || returning->stage != LEAVING)
        return;
    returns->n_leaving--;
    DL_DELETE2(returns->leaving, returning, previous, next);
    returning->stage = TO_ASK;
    DL_APPEND2(returns->to_ask, returning, previous, next);
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
    drop_import(returns, returning);
    returning->forget = true;
    returning->generation = generation;
}

void returns_free(struct returns *returns) {
    if (returns == NULL)
        return;
    struct returning *returning, *next;
    HASH_ITER (hh, returns->all, returning, next) {
        /* What is placed is not in the table of streams yet, but its worker's; it has stopped. */
        if (returning->stage == PLACED)
            stream_free(returning->stream);
        forget(returns, returning);
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
    free(returns);
}

/* ---- asking --------------------------------------------------------------------------------- */

/* Whether it is to be a stream, as far as is known by now. */
static bool is_wanted(const struct returning *returning) {
    const struct stored *answer = returning->answer;
    bool known = answer == NULL || answer->found == STORED_IMAGE || answer->found == STORED_DAMAGED;
    return returning->kept != NULL || returning->import != NULL || returning->stage == PLACED ||
           (returning->brought && known);
}

/* Returns false where the store takes no more now. */
static bool ask_next(struct returns *returns) {
    struct returning *returning = returns->to_ask;
    if (returning->forget &&
        !store_forget(returns->setup.store, returning->name, returning->n, returning->generation))
        return false;
    returning->forget = false;
    bool asks = is_wanted(returning);
    if (asks && !store_ask(returns->setup.store, returning->name, returning->n, returning))
        return false;
    DL_DELETE2(returns->to_ask, returning, previous, next);
    returning->stage = ASKED;
    returns->under_way += asks;
    if (!asks)
        forget(returns, returning); /* nobody wants it any more */
    return true;
}

static bool ask(struct returns *returns) {
    bool more = true;
    if (returns->to_ask == NULL || (returns->quiet_until > 0 && clock_monotonic() < returns->quiet_until))
        return false;
    while (more && returns->to_ask != NULL && returns->under_way < UNDER_WAY_MOST)
        more = ask_next(returns);
    return returns->to_ask != NULL && more && returns->under_way < UNDER_WAY_MOST;
}

/* ---- looking -------------------------------------------------------------------------------- */

static struct look *new_look(uint64_t request) {
    struct look *look = calloc(1, sizeof *look);
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
    struct look *look = new_look(request);
    return keep_look(returns, look, look != NULL && store_ask(returns->setup.store, name, n, look));
}

bool returns_look_for_names(struct returns *returns, const char *prefix, const char *after, int most,
                            uint64_t request) {
    struct look *look = new_look(request);
    return keep_look(returns, look, look != NULL && store_ask_names(returns->setup.store, prefix, after, most, look));
}

bool returns_look_for_open(struct returns *returns, const char *after, int most) {
    struct look *look = new_look(0);
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

/* ---- answers -------------------------------------------------------------------------------- */

static uint32_t generation_of(const struct returns *returns, const struct returning *returning) {
    const struct stored *answer = returning->answer;
    uint32_t next = streams_generation(returns->setup.opening->streams, returning->name, returning->n);
    if (answer->found == STORED_IMAGE)
        return answer->generation;
    return answer->found != STORED_NONE && answer->generation >= next ? answer->generation + 1 : next;
}

/* What the store knows stays; else the image takes the place of its answer. */
static void end_import(struct returns *returns, struct returning *returning) {
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
        drop_import(returns, returning);
        return;
    }
    import->image->generation = generation_of(returns, returning);
    import->image->found = STORED_IMAGE;
    stored_free(returning->answer);
    returning->answer = import->image;
    import->image = NULL;
}

static void take_answer(struct returns *returns, struct stored *answer) {
    if (((const struct asking *)answer->context)->looks) {
        ((struct look *)answer->context)->answer = answer;
        return;
    }
    struct returning *returning = answer->context;
    if (answer->found == STORED_FAILED) {
        returns->under_way--;
        /* The disk cannot be read now. */
        returns->quiet_until = clock_monotonic() + quiet;
        stored_free(answer);
        returning->stage = TO_ASK;
        DL_APPEND2(returns->to_ask, returning, previous, next);
        return;
    }
    if (answer->found == STORED_IMAGE &&
        stream_image_fits(returns->setup.opening->config, returning->class, answer, &answer->err) != 0)
        answer->found = STORED_DAMAGED;
    returning->stage = ANSWERED;
    returning->answer = answer;
    DL_APPEND2(returns->to_hand, returning, previous, next);
    returns->counters.returned += answer->found == STORED_IMAGE;
    returns->counters.unknown += answer->found == STORED_NONE || answer->found == STORED_ENDED;
    if (returning->import != NULL)
        end_import(returns, returning);
    if (returning->answer->found != STORED_DAMAGED)
        return;
    returns->counters.damaged++;
    publisher_event(returns->setup.opening->publisher, "damaged", returning->name,
                    json_pack("{s:s%, s:s}", "stream", returning->name, returning->n, "error", answer->err.text),
                    "%s; stream %.*s begins anew", answer->err.text, (int)returning->n, returning->name);
}

int returns_import(struct returns *returns, struct returning *returning, struct stored *image, uint64_t request) {
    /* What is there already, or comes before it, is the stream. */
    bool first = returning->kept == NULL && returning->import == NULL;
    struct import *import = first ? calloc(1, sizeof *import) : NULL;
    struct outcome *outcome = import != NULL && request > 0 ? calloc(1, sizeof *outcome) : NULL;
    if (import == NULL || (request > 0 && outcome == NULL)) {
        free(import);
        return -1;
    }
    if (outcome != NULL)
        outcome->request = request;
    *import = (struct import){.image = image, .outcome = outcome};
    returning->import = import;
    (void)returns;
    return 0;
}

void returns_import_at(struct returns *returns, struct returning *returning, uint64_t order) {
    struct import *import = returning->import;
    import->order = import->image->order = order;
    DL_APPEND2(returns->imports, import, previous, next);
}

void returns_import_not(struct returns *returns, struct returning *returning) {
    returning->import->image = NULL;
    drop_import(returns, returning);
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

/* ---- handing over --------------------------------------------------------------------------- */

/* What the image does not have of the journal's. */
static struct kept *take_tail(struct returns *returns, struct returning *returning) {
    struct kept *first = NULL, *last = NULL;
    while (returning->kept != NULL && returning->kept->order <= returns->tail) {
        struct kept *kept = take_first(returns, returning);
        if (returning->answer->found == STORED_IMAGE && kept->order <= returning->answer->order) {
            free(kept);
            continue;
        }
        if (first == NULL)
            first = kept;
        else
            last->behind = kept;
        last = kept;
    }
    return first;
}

static enum record_kind kind_of(const struct kept *kept) {
    return ((const struct record *)(const void *)kept->record)->kind;
}

/* Labels before the first tick of a stream that begins are of none of its steps, and nothing is to be closed. */
static void drop_labels(struct returns *returns, struct returning *returning) {
    while (returning->kept != NULL &&
           (kind_of(returning->kept) == RECORD_LABEL || kind_of(returning->kept) == RECORD_CLOSE))
        free(take_first(returns, returning));
}

/* Intervals up to the time are closed by what waits for the stream. */
static int64_t closed_to(const struct returning *returning) {
    int64_t end = INT64_MIN;
    for (const struct kept *kept = returning->kept; kept != NULL; kept = kept->behind) {
        const struct record_close *record = (const void *)kept->record;
        if (kind_of(kept) == RECORD_CLOSE && record->end > end)
            end = record->end;
    }
    return end;
}

/* Makes the stream, and hands it to its worker with what it was. Returns false to try again later: there is no room, or
 * memory is short. */
static bool place(struct returns *returns, struct returning *returning) {
    struct opening *opening = returns->setup.opening;
    if (!opening_has_room(opening, returning->class))
        return false;
    bool known = returning->answer->found == STORED_IMAGE;
    struct homecoming *homecoming = homecoming_new();
    struct stream *stream =
        opening_make(opening, returning->class, returning->name, returning->n, generation_of(returns, returning), -1);
    if (homecoming == NULL || stream == NULL) {
        homecoming_free(homecoming);
        if (stream != NULL)
            opening_unmake(opening, stream);
        return false;
    }
    homecoming->closed_to = closed_to(returning);
    homecoming->tail = take_tail(returns, returning);
    homecoming->imported = returning->import != NULL;
    drop_import(returns, returning);
    if (known)
        homecoming->image = returning->answer;
    else
        stored_free(returning->answer);
    returning->answer = NULL;
    returns->under_way--;
    opening_hand_over(opening, stream, homecoming, known);
    returning->stream = stream;
    returning->stage = PLACED;
    return true;
}

/* Returns false when there is no room in the worker's ring now. */
static bool hand_over(struct returns *returns, struct returning *returning, int *budget) {
    struct worker *worker = returns->setup.opening->workers[returning->stream->worker];
    bool put = false;
    while (returning->kept != NULL && *budget > 0) {
        void *place = ring_reserve(worker_input(worker), returning->kept->n, WORKER_COMMAND_SPARE);
        if (place == NULL)
            break;
        struct kept *kept = take_first(returns, returning);
        ((struct record_of_stream *)(void *)kept->record)->stream = returning->stream;
        memcpy(place, kept->record, kept->n);
        ring_commit(worker_input(worker), kept->n);
        free(kept);
        put = true;
        --*budget;
    }
    if (put)
        worker_wake(worker);
    return returning->kept == NULL;
}

/* While nobody can leave, all come. */
static bool has_to_wait(const struct returns *returns, const struct returning *returning) {
    return returning->stage == ANSWERED && opening_is_crowded(returns->setup.opening, returning->class) &&
           !store_degraded(returns->setup.store);
}

/* Goes on with who has been answered, each to its end if there is room; the others wait. */
static bool hand_all_over(struct returns *returns) {
    int budget = HAND_OVER_MOST;
    struct returning *returning, *next;
    DL_FOREACH_SAFE(returns->to_hand, returning, next) {
        if (returning->stage == ANSWERED && returning->answer->found != STORED_IMAGE)
            drop_labels(returns, returning);
        bool wanted = is_wanted(returning);
        if (wanted && has_to_wait(returns, returning))
            continue;
        if (returning->stage == ANSWERED && wanted && !place(returns, returning))
            return false;
        if (!wanted) {
            returns->under_way--;
            DL_DELETE2(returns->to_hand, returning, previous, next);
            forget(returns, returning);
            continue;
        }
        if (!hand_over(returns, returning, &budget))
            return budget == 0;
        DL_DELETE2(returns->to_hand, returning, previous, next);
        streams_add(returns->setup.opening->streams, returning->stream);
        if (returns->setup.opening->closer != NULL)
            closer_returns(returns->setup.opening->closer, returning->stream);
        forget(returns, returning);
    }
    return false;
}

bool returns_poll(struct returns *returns) {
    struct stored *answer;
    int taken = 0;
    while (taken < ANSWERS_MOST && (answer = store_answer(returns->setup.store)) != NULL) {
        take_answer(returns, answer);
        taken++;
    }
    bool more = hand_all_over(returns);
    return ask(returns) || more || taken == ANSWERS_MOST;
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

bool returns_has_tail(const struct returns *returns) {
    return returns->tail_bytes > 0 || (returns->imports != NULL && returns->imports->order <= returns->tail);
}

int64_t returns_count_of(const struct returns *returns, int class) {
    return returns->count[class];
}

struct returns_counters returns_counters(const struct returns *returns) {
    return returns->counters;
}
