/*
 * Which intervals close by the wall clock (close_after): those that ended D ago, and of whose streams no tick has come for
 * D. Bus thread only. A decision by a clock becomes a record in the order of ingest, so that it can be journaled, and
 * what workers do follows from their records alone.
 *
 * A wheel of slots, each for the streams that are due within some milliseconds of a turn; a tick looks at its own
 * stream's node only, which is moved when its slot comes. Nodes are part of their streams, and no stream of another
 * class has one. What is open of a stream that is not in memory is kept by its name, until the stream is there again.
 */
#ifndef DAEMON_CLOSER_H
#define DAEMON_CLOSER_H

#include "engine/time_policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct closer;
struct stream;

/* Of one stream. Zero-initialise. */
struct closing {
    struct closing *previous, *next; /* in its slot; NULL: in none */
    struct stream *stream;           /* NULL: it is not in memory */
    int64_t end;                     /* of the latest interval that a tick of it lies in, ns */
    int64_t received;                /* when the latest came */
    int64_t after;                   /* close_after */
    int64_t at;                      /* when it is looked at */
};

/* NULL when memory is short. */
struct closer *closer_new(void);
void closer_free(struct closer *closer); /* before its streams; NULL is fine */

/* A tick of the stream at t, received then, goes to its worker; spec: of its class, with close_after. */
void closer_note(struct closer *closer, struct stream *stream, const struct time_policy_spec *spec, int64_t t,
                 int64_t received);
/* The same of an interval that ends at `end`. */
void closer_note_end(struct closer *closer, struct stream *stream, const struct time_policy_spec *spec, int64_t end,
                     int64_t received);
/* The same of a stream that is not in memory, or on its way there; without memory it is not noted. */
void closer_note_away(struct closer *closer, int class, const char *name, size_t n,
                      const struct time_policy_spec *spec, int64_t end, int64_t received);
/* The end of the interval in which t lies. */
int64_t closer_end_of(const struct time_policy_spec *spec, int64_t t);

/* The stream ends. Of a class without close_after: nothing. */
void closer_forget(struct stream *stream);
/* It leaves memory, but not for good: -1 when memory is short. And it is there again. */
int closer_leaves(struct closer *closer, struct stream *stream);
void closer_returns(struct closer *closer, struct stream *stream);

/* Whose intervals up to its end are to be closed now; NULL: there is none. It is given again until closer_done. */
struct closing *closer_next(struct closer *closer, int64_t now);
void closer_done(struct closer *closer, struct closing *node);
/* It cannot be now: again when as much time has passed as behind a tick. */
void closer_later(struct closer *closer, struct closing *node, int64_t now);
/* Of one that is not in memory. */
const char *closing_name(const struct closing *node, size_t *ret_n, int *ret_class);
/* So many of those are open. */
uint64_t closer_n_away(const struct closer *closer);

/* Milliseconds until closer_next may have one, `most` at most. */
int closer_wait_ms(const struct closer *closer, int64_t now, int most);

#endif
