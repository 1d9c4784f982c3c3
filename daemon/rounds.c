#include "daemon/rounds.h"

#include "daemon/clock.h"

#include <assert.h>

/* The lowest order that is kept for streams that cannot be read, which is not for ever; UINT64_MAX: none is. */
static uint64_t lowest_held(const struct rounds *rounds) {
    struct store_status status;
    store_status(rounds->store, &status);
    returns_let_go(rounds->returns, status.bytes, rounds->held_most);
    return returns_lowest_held(rounds->returns);
}

/* What nobody has handed to a worker yet stays in the journal. */
static uint64_t handed_over(const struct rounds *rounds) {
    uint64_t settled = ingest_settled(rounds->ingest), lowest = returns_lowest(rounds->returns),
             held = lowest_held(rounds);
    lowest = held < lowest ? held : lowest;
    return lowest <= settled ? lowest - 1 : settled;
}

static void begin(struct rounds *rounds) {
    int64_t now = clock_monotonic();
    bool due = now - rounds->began >= rounds->config->snapshot_every || store_round_wanted(rounds->store);
    /* What the journal's tail holds must be streams again before it can be let go. */
    if ((!due && !rounds->wanted) || returns_has_tail(rounds->returns) ||
        !store_round_begin(rounds->store, handed_over(rounds)))
        return;
    rounds->began = now;
    rounds->wanted = false;
    rounds->round++;
    rounds->told = 0;
    rounds->to_end = rounds->config->workers;
}

void rounds_poll(struct rounds *rounds) {
    if (rounds->to_close && !returns_has_ends(rounds->returns))
        rounds->to_close = !store_round_end(rounds->store);
    if (rounds->to_end == 0 && !rounds->to_close)
        begin(rounds);
    const struct record_round record = {RECORD_ROUND, rounds->round};
    while (rounds->to_end > 0 && rounds->told < rounds->config->workers &&
           ingest_command(rounds->ingest, rounds->told, &record, sizeof record))
        rounds->told++;
}

void rounds_want(struct rounds *rounds) {
    rounds->wanted = true;
}

bool rounds_busy(const struct rounds *rounds) {
    return rounds->to_end > 0 || rounds->to_close || rounds->wanted;
}

void rounds_done(struct rounds *rounds, const struct record_round *record) {
    assert(record->round == rounds->round && rounds->to_end > 0);
    (void)record;
    rounds->to_close = --rounds->to_end == 0;
}
