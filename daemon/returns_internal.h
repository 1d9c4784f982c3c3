/* What the parts of returns share; only daemon/returns*.c include it. */
#ifndef DAEMON_RETURNS_INTERNAL_H
#define DAEMON_RETURNS_INTERNAL_H

#include "daemon/returns.h"

#define HASH_NONFATAL_OOM 1 /* what has no room is not added: its hh.tbl is NULL */
#include <uthash.h>

enum stage {
    LEAVING, /* a worker still has what was there under the name */
    TO_ASK,
    ASKED,
    UNREAD,   /* it could not be read, and is asked for again later */
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
    struct import *previous, *next; /* utlist: of all but those who are held, by order */
    const struct returning *of;
    uint64_t order;          /* in the journal; 0: it is not there yet */
    struct stored *image;    /* NULL: it is the answer */
    struct outcome *outcome; /* NULL: nobody waits for it */
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

/* Who is to be asked for. The store reads fastest in the order of names, so they are asked for in waves: who comes
 * while one is asked for is of the next one. */
struct queue {
    struct returning *wave;   /* utlist, by name */
    struct returning *behind; /* utlist */
};

struct returning {
    struct asking asking;
    UT_hash_handle hh;
    struct returning *previous, *next; /* utlist: among those who leave, are to be asked for, or to be handed over */
    struct returning **list;           /* TO_ASK: the one in which it is */
    enum stage stage;
    bool forget;  /* what the store has of it is to be forgotten first */
    bool brought; /* it is to come back, if the store knows it; */
    bool anew;    /* begun anew where it cannot be read */
    bool held;    /* it cannot be read for long: what is kept for it, and its import, are in no list; no more comes */
    bool let_go;  /* held, and what the journal has of it may go */
    uint64_t held_from; /* the store's bytes then */
    int tries;          /* that failed */
    int64_t again;      /* UNREAD: asked again then, monotonic ns */
    int class;
    uint32_t generation;      /* LEAVING: of the one that leaves */
    uint64_t leaving;         /* LEAVING: its number */
    struct kept *kept, *last; /* by behind */
    struct stored *answer;    /* ANSWERED */
    struct import *import;    /* what it is to become, if the store does not know it; or NULL */
    struct stream *stream;    /* PLACED */
    size_t n;
    char name[]; /* [n], and a NUL */
};

struct returns {
    struct returns_setup setup;
    struct returning *all;       /* uthash */
    struct returning *leaving;   /* utlist, in their order */
    uint64_t leavings;           /* so many in all */
    struct look *looks;          /* utlist */
    struct queue wanted;         /* something came for them; they go before */
    struct queue to_bring;       /* those that are to be brought to where they stood */
    int turn;                    /* of the two: asked for since the turn of the first began */
    struct returning *to_forget; /* utlist: the store is to be told of their ends */
    struct returning *unread;    /* utlist */
    int64_t unread_until;        /* none of them is asked for before */
    struct import *imports;      /* utlist */
    struct outcome *outcomes;    /* utlist */
    struct returning *to_hand;   /* utlist: answered, placed */
    bool has_orphans;            /* some of these have labels of no stream */
    struct kept *kept;           /* utlist: of all streams, by order */
    struct kept *reserved;       /* and is not filled in yet */
    struct returning *reserved_for;
    int n_leaving;
    int under_way;       /* ASKED or ANSWERED */
    bool *handed;        /* [workers] something was put into the ring of this one, and it is to be woken */
    int64_t quiet_until; /* monotonic, ns: the disk has failed, and is asked again then */
    bool reads_tail;     /* what is kept now comes from the journal, */
    uint64_t tail;       /* as does all up to this order */
    uint64_t tail_bytes; /* of what is kept, */
    uint64_t held_bytes; /* and of those who are held, which are not in those of the tail */
    int64_t *count;      /* [n_classes] */
    struct returns_counters counters;
};

/* returns.c */
/* The first record that is kept for it, now the caller's. */
struct kept *returns_take_first(struct returns *returns, struct returning *returning);
/* It is on its way no more; what is kept for it goes. */
void returns_forget(struct returns *returns, struct returning *returning);
/* An answer other than that it cannot be read. */
void returns_answered(struct returns *returns, struct returning *returning, struct stored *answer);

/* returns_ask.c */
/* Whether the disk has failed just now: it is left alone for a moment. */
bool returns_is_quiet(const struct returns *returns);
/* Whether it is to be a stream, as far as is known by now. */
bool returns_wants(const struct returning *returning);
/* It is to be asked for, behind those of its kind; and where it waits for that already, perhaps as one of another kind. */
void returns_enqueue(struct returns *returns, struct returning *returning);
void returns_requeue(struct returns *returns, struct returning *returning);
/* Asks, as long as the store takes more and few are under way. */
void returns_ask(struct returns *returns);

/* returns_held.c */
/* The store could not read it; the answer is taken over. */
void returns_not_read(struct returns *returns, struct returning *returning, struct stored *answer);
/* Those whose time has come are to be asked for. */
void returns_ask_again(struct returns *returns);
/* It is held no more. */
void returns_unhold(struct returns *returns, struct returning *returning);

/* returns_hand.c */
/* Of the stream that the answer is of, or that begins. */
uint32_t returns_generation_of(const struct returns *returns, const struct returning *returning);
/* Goes on with who has been answered, each to its end if there is room; the others wait. Returns whether it can go on at
 * once. */
bool returns_hand_over(struct returns *returns);

/* returns_import.c */
/* The store has told of one that has an import: what the store knows stays; else the image takes the place of its answer. */
void returns_end_import(struct returns *returns, struct returning *returning);
void returns_drop_import(struct returns *returns, struct returning *returning);

#endif
