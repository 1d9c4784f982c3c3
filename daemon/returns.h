/*
 * Streams that are on disk, on their way back: what comes for them waits here, in order, until their worker has
 * them. Bus thread only; never blocks.
 *
 * A name of which nothing is in memory may be that of a stream in the store, so every such name is looked for there
 * first. What the journal holds behind the last images is kept in the same way when the daemon starts: such
 * streams return by themselves, and their workers bring them to where they stood before anything else.
 *
 *   (leaving: its worker still has it) -> to be asked -> asked -> placed: its worker gets what was kept -> resident
 */
#ifndef DAEMON_RETURNS_H
#define DAEMON_RETURNS_H

#include "daemon/opening.h"
#include "daemon/records.h"
#include "daemon/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct returns;
struct returning; /* one of them */
struct kept;      /* a record that waits for one (homecoming.h) */

struct returns_setup {
    struct opening *opening;
    struct store *store;
};

/* NULL when memory is short. */
struct returns *returns_new(const struct returns_setup *setup);
void returns_free(struct returns *returns);

struct returning *returns_find(const struct returns *returns, const char *name, size_t n);

/* Has a stream of which nothing is in memory looked for. NULL when memory is short. */
struct returning *returns_begin(struct returns *returns, int class, const char *name, size_t n);
/* Has one that the store knows come back without anything that comes for it. What cannot be read there does not, but (anew)
 * begins anew. Returns -1 when memory is short. */
int returns_bring(struct returns *returns, int class, const char *name, size_t n, bool anew);
int returning_class(const struct returning *returning);
/* Whether the store has not been able to read it for long, while others may be read: no more is taken for it, and nobody
 * waits for it. It comes back by itself when it can be read. */
bool returning_is_held(const struct returning *returning);
/* Whether it is not known yet that there is such a stream, and nothing is to begin one: it has a label, say. */
bool returning_may_be_none(const struct returning *returning);
/* Whether it is to begin anew where it cannot be read, and that may be: it is known which generation it has. */
bool returning_is_anew(const struct returning *returning);

/* Room for a record of n bytes that its worker will get, behind those before it; NULL: so much is kept that no more is
 * taken now, it is held, or memory is short. The record's stream is filled in later. */
void *returns_reserve(struct returns *returns, struct returning *returning, size_t n);
/* It is not to be. */
void returns_unreserve(struct returns *returns);
/* It is filled in; it stands at that order in the journal, as the nth tick of a message (0: it is none, or does not stand
 * there). */
void returns_commit(struct returns *returns, uint64_t order, uint32_t nth);
/* While the journal is read: that tick, the latest message's, was refused, and is kept no more, but the caller's. NULL: it was
 * not kept. */
struct kept *returns_refused(struct returns *returns, struct returning *returning, uint64_t order, uint32_t nth);

/* Labels begin no stream: each one that waits for a name of which the store has none is to be refused, and waits no more then.
 * From the first for which that cannot be done now (refuse returns false) on they are asked for again. A bounded number; returns whether
 * it can go on at once. */
bool returns_each_orphan(struct returns *returns,
                         bool (*refuse)(void *context, const char *name, size_t n, const struct kept *label),
                         void *context);

/* The worker is to let go of a resident stream, which is in the table of streams no more: who returns under its name
 * waits for that. forget: it ends for good, else it is on its way to the store. Returns -1 when memory is short. */
int returns_leaving(struct returns *returns, const struct stream *stream, bool forget);
/* It is not to, after all; it was the last one of whom that was said. */
void returns_stays(struct returns *returns, const struct stream *stream);
/* Those of whom it has not let go. */
int returns_n_leaving(const struct returns *returns);
/* The worker has let go of it. */
void returns_left(struct returns *returns, const struct stream *stream);

/* Has one become what its image says, which is taken over, if the store has none of the name either; one of the two below
 * follows before anything else. returns_imported tells, by the request (0: it does not), what came of it. Returns -1 where
 * something of the stream is there already, -2 where memory is short: nothing is taken over. */
int returns_import(struct returns *returns, struct returning *returning, struct stored *image, uint64_t request);
/* It stands at that order in the journal. It does not come to be, and the image is the caller's again. */
void returns_import_at(struct returns *returns, struct returning *returning, uint64_t order);
void returns_import_not(struct returns *returns, struct returning *returning);
/* The next import that has an end. False: there is none. */
struct import_outcome {
    uint64_t request, order;
    bool done; /* else the store has such a stream */
};
bool returns_imported(struct returns *returns, struct import_outcome *ret_outcome);
/* Each one that comes to be, and of which neither the table of streams nor the store knows yet. */
void returns_each_imported(const struct returns *returns, void (*each)(void *context, const char *name, size_t n),
                           void *context);

/* Asks the store for a stream that stays there, or for names (store_ask_names), for a request of control, to which returns_looked
 * gives the answer. false: too many are asked for, memory is short, or the disk has just failed, and is left alone. */
bool returns_look(struct returns *returns, const char *name, size_t n, uint64_t request);
bool returns_look_for_names(struct returns *returns, const char *prefix, const char *after, int most,
                            uint64_t request);
/* The next of these answers, the caller's; NULL: there is none. */
struct stored *returns_looked(struct returns *returns, uint64_t *ret_request);
/* The same for open intervals (store_ask_open), of which one is asked for at a time. */
bool returns_look_for_open(struct returns *returns, const char *after, int most);
struct stored *returns_looked_open(struct returns *returns);

/* Streams that have begun to leave are counted, and the store has all images up to this one of them. */
uint64_t returns_leavings(const struct returns *returns);
uint64_t returns_left_until(const struct returns *returns);

/* Asks the store, takes its answers, hands over. To be called often. Returns whether it can go on at once. */
bool returns_poll(struct returns *returns);

/* Between these two calls what is kept comes from the journal, without a bound: it brings streams to where they stood. */
void returns_read_tail(struct returns *returns, bool reads);
/* While it is read: the stream ended there for good. */
void returns_ended(struct returns *returns, struct returning *returning, uint32_t generation);
bool returns_has_ended(const struct returning *returning, uint32_t generation);
/* Whether streams are still to be brought to where they stood. */
bool returns_has_tail(const struct returns *returns);
/* Whether there are ends, of streams, of which the store has not been told: until then they stay in the journal. */
bool returns_has_ends(const struct returns *returns);

/* The lowest order of what is kept, so of what no worker has; UINT64_MAX: nothing. Those who are held are not in it, but in
 * the second one, */
uint64_t returns_lowest(const struct returns *returns);
uint64_t returns_lowest_held(const struct returns *returns);
/* if the journal has not become too long for them. Those for whom it has more than `most` bytes, by now the store's, have what is
 * kept in memory alone from here on. */
void returns_let_go(struct returns *returns, uint64_t bytes, uint64_t most);

int64_t returns_count_of(const struct returns *returns, int class);

struct returns_counters {
    uint64_t returned, unknown, damaged; /* streams that came back; that the store does not know; whose image is */
    uint64_t kept, kept_bytes;           /* records that wait now */
    uint64_t full;                       /* times that no more was taken */
    uint64_t held;                       /* streams that are held now */
};
struct returns_counters returns_counters(const struct returns *returns);

#endif
