/* Those of whom the store has told: they are made, and handed to their workers with what was kept for them. */
#include "daemon/returns_internal.h"

#include "daemon/homecoming.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Records that are handed over in one go, and labels that are refused: bounds how long others wait. */
enum { HAND_OVER_MOST = 4096 };

uint32_t returns_generation_of(const struct returns *returns, const struct returning *returning) {
    const struct stored *answer = returning->answer;
    uint32_t next = streams_generation(returns->setup.opening->streams, returning->name, returning->n);
    if (answer->found == STORED_IMAGE)
        return answer->generation;
    return answer->found != STORED_NONE && answer->generation >= next ? answer->generation + 1 : next;
}

/* Whether the image has it. A message may have been half taken when the image was made; of_order counts its records. */
static bool has(const struct stored *answer, const struct kept *kept, uint32_t *of_order) {
    if (answer->found != STORED_IMAGE || kept->order > answer->order)
        return false;
    return kept->order < answer->order || (*of_order)++ < answer->taken;
}

/* What the image does not have of the journal's. */
static struct kept *take_tail(struct returns *returns, struct returning *returning) {
    struct kept *first = NULL, *last = NULL;
    uint32_t of_order = 0;
    while (returning->kept != NULL && returning->kept->order <= returns->tail) {
        struct kept *kept = returns_take_first(returns, returning);
        if (has(returning->answer, kept, &of_order)) {
            kept_free(kept);
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

/* Labels, and ends of intervals, are of a stream that there is: where the store has none they begin none. */
static bool begins(const struct returning *returning) {
    for (const struct kept *kept = returning->kept; kept != NULL; kept = kept->behind)
        if (kind_of(kept) != RECORD_LABEL && kind_of(kept) != RECORD_CLOSE)
            return true;
    return returning->brought && returning->anew && returning->answer->found == STORED_DAMAGED;
}

static bool is_orphaned(const struct returning *returning) {
    return returning->stage == ANSWERED && returning->answer->found != STORED_IMAGE && returning->kept != NULL &&
           !begins(returning);
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

static void tell_damaged(struct returns *returns, const struct returning *returning) {
    const char *error = returning->answer->err.text;
    returns->counters.damaged++;
    publisher_event(returns->setup.opening->publisher, "damaged", returning->name,
                    json_pack("{s:s%, s:s}", "stream", returning->name, returning->n, "error", error),
                    "%s; stream %.*s begins anew", error, (int)returning->n, returning->name);
}

/* Makes the stream, and hands it to its worker with what it was. Returns false to try again later: there is no room, or
 * memory is short. */
static bool place(struct returns *returns, struct returning *returning) {
    struct opening *opening = returns->setup.opening;
    if (!opening_has_room(opening, returning->class))
        return false;
    bool known = returning->answer->found == STORED_IMAGE, damaged = returning->answer->found == STORED_DAMAGED;
    struct homecoming *homecoming = homecoming_new();
    struct stream *stream = opening_make(opening, returning->class, returning->name, returning->n,
                                         returns_generation_of(returns, returning), -1);
    if (homecoming == NULL || stream == NULL) {
        homecoming_free(homecoming);
        if (stream != NULL)
            opening_unmake(opening, stream);
        return false;
    }
    if (damaged)
        tell_damaged(returns, returning);
    homecoming->closed_to = closed_to(returning);
    homecoming->tail = take_tail(returns, returning);
    homecoming->imported = returning->import != NULL;
    if (known)
        homecoming->image = returning->answer;
    else
        stored_free(returning->answer);
    returning->answer = NULL;
    returns->under_way--;
    opening_hand_over(opening, stream, homecoming, known);
    returns->handed[stream->worker] = true;
    returning->stream = stream;
    returning->stage = PLACED;
    return true;
}

/* Returns false when there is no room in the worker's ring now. */
static bool hand_over(struct returns *returns, struct returning *returning, int *budget) {
    struct worker *worker = returns->setup.opening->workers[returning->stream->worker];
    while (returning->kept != NULL && *budget > 0) {
        void *place = ring_reserve(worker_input(worker), returning->kept->n, WORKER_COMMAND_SPARE);
        if (place == NULL)
            break;
        struct kept *kept = returns_take_first(returns, returning);
        ((struct record_of_stream *)(void *)kept->record)->stream = returning->stream;
        memcpy(place, kept->record, kept->n);
        ring_commit(worker_input(worker), kept->n);
        free(kept);
        returns->handed[returning->stream->worker] = true;
        --*budget;
    }
    return returning->kept == NULL;
}

/* While nobody can leave, all come. */
static bool has_to_wait(const struct returns *returns, const struct returning *returning) {
    return returning->stage == ANSWERED && opening_is_crowded(returns->setup.opening, returning->class) &&
           !store_degraded(returns->setup.store);
}

/* It has been answered, and is to be no stream. */
static void let_be(struct returns *returns, struct returning *returning) {
    returns->under_way--;
    DL_DELETE2(returns->to_hand, returning, previous, next);
    returns_forget(returns, returning);
}

static bool hand_over_all(struct returns *returns) {
    int budget = HAND_OVER_MOST;
    struct returning *returning, *next;
    DL_FOREACH_SAFE(returns->to_hand, returning, next) {
        if (is_orphaned(returning)) {
            returns->has_orphans = true;
            continue;
        }
        bool wanted = returns_wants(returning);
        if (wanted && has_to_wait(returns, returning))
            continue;
        if (returning->stage == ANSWERED && wanted && !place(returns, returning))
            return false;
        if (!wanted) {
            let_be(returns, returning);
            continue;
        }
        if (!hand_over(returns, returning, &budget))
            return budget == 0;
        DL_DELETE2(returns->to_hand, returning, previous, next);
        streams_add(returns->setup.opening->streams, returning->stream);
        if (returns->setup.opening->closer != NULL)
            closer_returns(returns->setup.opening->closer, returning->stream);
        returns_forget(returns, returning);
    }
    return false;
}

bool returns_hand_over(struct returns *returns) {
    const struct opening *opening = returns->setup.opening;
    bool more = hand_over_all(returns);
    for (int w = 0; w < opening->config->workers; w++) {
        if (returns->handed[w])
            worker_wake(opening->workers[w]);
        returns->handed[w] = false;
    }
    return more;
}

bool returns_each_orphan(struct returns *returns,
                         bool (*refuse)(void *context, const char *name, size_t n, const struct kept *label),
                         void *context) {
    int budget = HAND_OVER_MOST;
    struct returning *returning, *next;
    if (!returns->has_orphans)
        return false;
    DL_FOREACH_SAFE(returns->to_hand, returning, next) {
        if (!is_orphaned(returning))
            continue;
        while (returning->kept != NULL) {
            if (budget-- == 0)
                return true;
            if (kind_of(returning->kept) == RECORD_LABEL &&
                !refuse(context, returning->name, returning->n, returning->kept))
                return false;
            kept_free(returns_take_first(returns, returning));
        }
        let_be(returns, returning);
    }
    returns->has_orphans = false;
    return false;
}
