/*
 * Who sends acknowledged ticks: producers by their ids, how far each has come, and the client that speaks for it. All
 * memory but that of refusals is taken when the table is made. Bus thread only.
 */
#ifndef DAEMON_PRODUCERS_H
#define DAEMON_PRODUCERS_H

#include "daemon/reasons.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PRODUCER_IDENTITY_MOST = 255 }; /* bytes of a ZeroMQ routing id */
enum { PRODUCERS_MOST = (1 << 20) - 1 };

/* Ticks that were refused, one behind the other and for one reason. */
struct refusal {
    uint64_t first, last; /* sequence numbers */
    enum reason reason;
    char *stream; /* NUL-terminated */
};

struct producer {
    uint64_t id;           /* 0: a free place */
    uint64_t taken;        /* the last sequence number that was taken; 0: none yet */
    uint64_t durable;      /* the last one that is acknowledged; at most taken */
    int64_t used;          /* when it was heard of last, ns since 1970 */
    uint64_t ticks, bytes; /* in flight: taken and not acknowledged */

    /* Its client; identity_n is 0 where it has none. */
    size_t identity_n;
    unsigned char identity[PRODUCER_IDENTITY_MOST];
    bool as_json; /* the form of replies */
    bool due;     /* there is something to tell it */
    bool says;    /* it says how far it has heard: what it was told is kept until then */

    struct refusal *refusals; /* [n_refusals], that have not been told, or perhaps not heard */
    size_t n_told;            /* the first ones were, in replies that may have been lost */
    size_t n_refusals, room;
    uint64_t untold; /* refused ticks that there was no memory for */

    /* Of what was taken before the start, up to `again`, refusals may have been told then; they were, or nobody asks for them, up to
     * `heard`. */
    uint64_t again, heard;
    uint64_t replayed; /* the first number of the latest message that the journal has of it */

    uint32_t forgotten;                    /* producers that had the place before */
    uint32_t next_by_id, next_by_identity; /* place + 1 of the next one of the bucket; 0: none */
};

struct producers;

/* For at most `most` producers, up to PRODUCERS_MOST; one that is not heard of for `idle` ns may be forgotten for another. NULL when memory is
 * short. */
struct producers *producers_new(int most, int64_t idle);
void producers_free(struct producers *producers);

/* The id that a name stands for, 2^63 or above: FNV-1a of its bytes, with the highest bit set. Numbers that producers
 * choose themselves are below. */
uint64_t producers_id_of_name(const char *name, size_t n);

/* The producer of the id, as new if it is not known, heard of now. NULL: as many are known as may be, and each has ticks in
 * flight, has to be told something, or was heard of in the last `idle`. ret_forgotten: the id that was forgotten for it, 0:
 * none. */
struct producer *producers_open(struct producers *producers, uint64_t id, int64_t now, uint64_t *ret_forgotten);

/* The producer of the id; NULL: it is not known. */
struct producer *producers_find(struct producers *producers, uint64_t id);

/* Its place, which it keeps until it is forgotten, and the other way round. */
uint32_t producers_place(const struct producers *producers, const struct producer *producer);
struct producer *producers_at(struct producers *producers, uint32_t place);

/* What its ticks have as its own, never 0: another one that gets its place has another mark, of 4,096 in turn. */
uint32_t producers_mark(const struct producers *producers, const struct producer *producer);
/* NULL: none, or it has been forgotten. */
struct producer *producers_marked(struct producers *producers, uint32_t mark);

/* The producer that a client speaks for; NULL: none. */
struct producer *producers_of_client(struct producers *producers, const void *identity, size_t n);
/* From now on the client (n from 1 to PRODUCER_IDENTITY_MOST) speaks for the producer and for no other, and nobody else
 * does. */
void producers_bind(struct producers *producers, struct producer *producer, const void *identity, size_t n);
void producers_unbind(struct producers *producers, struct producer *producer);

int producers_count(const struct producers *producers);
int producers_clients(const struct producers *producers);

/* What is to be done with a message of `count` ticks (at least 1) from number `first` (at least 1) on. */
enum producer_verdict {
    PRODUCER_NEXT,     /* it is the one that comes next */
    PRODUCER_REPEATED, /* all of it was taken before */
    PRODUCER_GAP,      /* it does not begin behind the last number that was taken */
};
enum producer_verdict producer_judge(const struct producer *producer, uint64_t first, uint64_t count);

/* Notes that ticks of the producer, all of one message, were refused, name [n] being their stream's. */
void producer_refused(struct producer *producer, uint64_t first, uint64_t last, enum reason reason, const char *name,
                      size_t n);
/* Puts the refusals that have not been told in order of their numbers. Returns how many there are with those that were and those up to
 * the last durable number, at the begin of producer->refusals. */
size_t producer_refusals(struct producer *producer);
/* The first n have been told. Those below the number need be kept no longer: they go many at a time. */
void producer_told(struct producer *producer, size_t n, uint64_t keep_from);
/* A message of the journal begins with that number. Where that has come before, it had been forgotten in between: what was before is no
 * more its own, and it has another mark. */
void producer_replay(struct producer *producer, uint64_t first);
/* Its client has heard what was refused of what was acknowledged up to a number (UINT64_MAX: it does not say how far it has
 * heard). */
void producer_heard(struct producer *producer, uint64_t number);
/* What else it was told it has not heard; those below the number are kept no longer. */
void producer_tell_again(struct producer *producer, uint64_t keep_from);

#endif
