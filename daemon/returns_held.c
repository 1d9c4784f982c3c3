/* Those whom the store cannot read, while all else of the disk may be well. */
#include "daemon/returns_internal.h"

#include "daemon/clock.h"
#include "daemon/homecoming.h"

#include <utlist.h>

/* Attempts behind which nobody waits for a stream any more: in the first second. */
enum { TRIES = 5 };

/* Between two attempts, ns; each time twice as long. */
static const int64_t wait_first = 50000000, wait_most = 5000000000;

static int64_t wait_behind(int tries) {
    int64_t wait = wait_first;
    for (int i = 1; i < tries && wait < wait_most; i++)
        wait *= 2;
    return wait < wait_most ? wait : wait_most;
}

/* ---- what is kept for one who is held -------------------------------------------------------- */

/* The lowest order of what the journal has for it; UINT64_MAX: nothing. */
static uint64_t lowest_of(const struct returning *returning) {
    uint64_t lowest = returning->kept != NULL ? returning->kept->order : UINT64_MAX;
    return returning->import != NULL && returning->import->order < lowest ? returning->import->order : lowest;
}

static void hold(struct returns *returns, struct returning *returning) {
    struct store_status status;
    store_status(returns->setup.store, &status);
    returning->held_from = status.bytes;
    returning->held = true;
    returns->counters.held++;
    if (returning->import != NULL)
        DL_DELETE2(returns->imports, returning->import, previous, next);
    for (struct kept *kept = returning->kept; kept != NULL; kept = kept->behind) {
        size_t n = sizeof *kept + kept->n;
        DL_DELETE2(returns->kept, kept, previous, next);
        returns->held_bytes += n;
        if (kept->order <= returns->tail)
            returns->tail_bytes -= n;
    }
}

void returns_unhold(struct returns *returns, struct returning *returning) {
    struct kept *at = returns->kept;
    struct import *behind = returns->imports;
    returning->held = returning->let_go = false;
    returns->counters.held--;
    if (returning->import != NULL) {
        while (behind != NULL && behind->order <= returning->import->order)
            behind = behind->next;
        DL_PREPEND_ELEM2(returns->imports, behind, returning->import, previous, next); /* NULL: behind all */
    }
    for (struct kept *kept = returning->kept; kept != NULL; kept = kept->behind) {
        size_t n = sizeof *kept + kept->n;
        while (at != NULL && at->order <= kept->order)
            at = at->next;
        DL_PREPEND_ELEM2(returns->kept, at, kept, previous, next); /* NULL: behind all */
        returns->held_bytes -= n;
        if (kept->order <= returns->tail)
            returns->tail_bytes += n;
    }
}

bool returning_is_held(const struct returning *returning) {
    return returning->held;
}

bool returning_is_anew(const struct returning *returning) {
    return returning->anew;
}

uint64_t returns_lowest_held(const struct returns *returns) {
    uint64_t lowest = UINT64_MAX;
    for (const struct returning *at = returns->counters.held > 0 ? returns->all : NULL; at != NULL; at = at->hh.next)
        if (at->held && !at->let_go && lowest_of(at) < lowest)
            lowest = lowest_of(at);
    return lowest;
}

void returns_let_go(struct returns *returns, uint64_t bytes, uint64_t most) {
    for (struct returning *at = returns->counters.held > 0 ? returns->all : NULL; at != NULL; at = at->hh.next) {
        if (!at->held || at->let_go || bytes - at->held_from <= most)
            continue;
        at->let_go = true;
        publisher_event(
            returns->setup.opening->publisher, "held", at->name,
            json_pack("{s:s%, s:b}", "stream", at->name, at->n, "kept", 0),
            "stream %.*s still cannot be read, and the journal is as long as it may become for that: what "
            "waits for the stream is in memory alone",
            (int)at->n, at->name);
    }
}

/* ---- attempts -------------------------------------------------------------------------------- */

static void tell_held(struct returns *returns, const struct returning *returning, const struct stored *answer) {
    publisher_event(
        returns->setup.opening->publisher, "held", returning->name,
        json_pack("{s:s%, s:s, s:b}", "stream", returning->name, returning->n, "error", answer->err.text, "kept", 1),
        "%s; what comes for the stream is refused until it can be read", answer->err.text);
}

/* It was the last attempt that is waited for. Returns whether it stays on its way. */
static bool give_up(struct returns *returns, struct returning *returning, struct stored *answer) {
    /* For who waits for an import there is such a stream; one that the journal has may have come to be. */
    if (returning->import != NULL && returning->import->outcome != NULL) {
        returning->answer = answer;
        returns_end_import(returns, returning);
        returning->answer = NULL;
    }
    if (returning->kept == NULL && returning->import == NULL)
        return false;
    if (!returning->held) {
        hold(returns, returning);
        tell_held(returns, returning, answer);
    }
    return true;
}

void returns_not_read(struct returns *returns, struct returning *returning, struct stored *answer) {
    returning->tries++;
    /* Nothing waits for who is only brought. */
    bool only_brought = returning->kept == NULL && returning->import == NULL && !returning->anew,
         last = returning->tries >= TRIES || only_brought;
    if (last && returning->anew && answer->generation > 0) {
        answer->found = STORED_DAMAGED;
        returns_answered(returns, returning, answer);
        return;
    }
    returning->anew &= !last;
    returns->under_way--;
    bool stays = !last || give_up(returns, returning, answer);
    stored_free(answer);
    if (!stays) {
        returns_forget(returns, returning);
        return;
    }
    returning->stage = UNREAD;
    returning->again = clock_monotonic() + wait_behind(returning->tries);
    if (returns->unread == NULL || returning->again < returns->unread_until)
        returns->unread_until = returning->again;
    DL_APPEND2(returns->unread, returning, previous, next);
}

void returns_ask_again(struct returns *returns) {
    struct returning *returning, *next;
    int64_t now, until = INT64_MAX;
    if (returns->unread == NULL || (now = clock_monotonic()) < returns->unread_until)
        return;
    DL_FOREACH_SAFE2(returns->unread, returning, next, next) {
        if (returning->again > now) {
            until = returning->again < until ? returning->again : until;
            continue;
        }
        DL_DELETE2(returns->unread, returning, previous, next);
        returns_enqueue(returns, returning);
    }
    returns->unread_until = until;
}
