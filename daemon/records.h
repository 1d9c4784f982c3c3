/* What crosses the rings: records by value, and the pointers whose ownership they hand over. */
#ifndef DAEMON_RECORDS_H
#define DAEMON_RECORDS_H

#include "daemon/reasons.h"
#include "daemon/stream.h"
#include "engine/error.h"
#include "engine/windows.h"

#include <stddef.h>
#include <stdint.h>

enum record_kind {
    /* Bus to worker. */
    RECORD_TICK,    /* struct record_tick */
    RECORD_LABEL,   /* struct record_label */
    RECORD_OPEN,    /* struct record_open: the worker's from now on */
    RECORD_LEAVE,   /* struct record_stream: its image goes to the store, and it comes back with RECORD_LEFT */
    RECORD_ROUND,   /* struct record_round: the images of all streams that have changed go to the store */
    RECORD_RESET,   /* struct record_reset */
    RECORD_PAUSE,   /* struct record_pause */
    RECORD_STATE,   /* struct record_state: the worker's until it comes back */
    RECORD_IMAGE,   /* struct record_image: the worker's until it comes back */
    RECORD_SCORES,  /* struct record_scores: the worker's until it comes back */
    RECORD_CLOSE,   /* struct record_close */
    RECORD_END,     /* struct record_stream */
    RECORD_VERSION, /* struct record_version: with a reference */
    RECORD_SHADOW,  /* struct record_shadow: with a reference */
    RECORD_WATCH,   /* struct record_watch: the worker's until it comes back */
    RECORD_COLLECT, /* struct record_windows: the worker's until it comes back */
    RECORD_REPEAT,  /* struct record_repeat */
    RECORD_STOP,    /* struct record: finish what has been taken, then say RECORD_STOPPED */

    /* Worker to bus. */
    RECORD_FORECAST,    /* struct record_message */
    RECORD_BUNDLE,      /* struct record_message */
    RECORD_REFUSED,     /* struct record_refused */
    RECORD_ANEW,        /* struct record_anew */
    RECORD_TOLD,        /* struct record_told */
    RECORD_STATE_DONE,  /* struct record_state */
    RECORD_IMAGE_DONE,  /* struct record_image */
    RECORD_SCORES_DONE, /* struct record_scores */
    RECORD_ENDED,       /* struct record_stream: the bus' again */
    RECORD_LEFT,        /* the same */
    RECORD_ROUND_DONE,  /* struct record_round */
    RECORD_UNREADABLE,  /* struct record_unreadable */
    RECORD_UNCLOSED,    /* struct record_unclosed */
    RECORD_COLLECTED,   /* struct record_windows */
    RECORD_WATCHED,     /* struct record_watch */
    RECORD_TAKEOVER,    /* struct record_takeover */
    RECORD_COMMANDED,   /* struct record_commanded */
    RECORD_STOPPED,     /* struct record */
};

struct record {
    enum record_kind kind;
};

struct record_tick {
    enum record_kind kind;
    uint32_t producer; /* of an acknowledged tick: its mark (producers.h); 0: none */
    struct stream *stream;
    uint64_t order; /* in the journal; 0: there is none */
    int64_t t;
    struct arrival arrival;
    double values[]; /* one per feature of the class; NaN: missing */
};

/* What the tick at t turned out to be. */
struct record_label {
    enum record_kind kind;
    uint32_t producer; /* and number: as of a tick */
    struct stream *stream;
    uint64_t order;
    int64_t t;
    uint64_t number;
    float label; /* a class of some model's event */
};

struct record_stream {
    enum record_kind kind;
    struct stream *stream;
};

struct record_open {
    enum record_kind kind;
    struct stream *stream;
    struct homecoming *homecoming; /* the worker's; NULL: a stream that begins */
};

struct record_round {
    enum record_kind kind;
    uint64_t round;
};

struct record_reset {
    enum record_kind kind;
    struct stream *stream; /* NULL: all that the worker has */
    uint64_t order;
    int model; /* -1: all models */
};

struct record_pause {
    enum record_kind kind;
    struct stream *stream;
    uint64_t order;
    bool paused;
};

/* By the clock: the stream's intervals that end at `end` or before. */
struct record_close {
    enum record_kind kind;
    struct stream *stream;
    uint64_t order;
    int64_t end;
    struct arrival arrival; /* of the decision */
};

struct record_state {
    enum record_kind kind;
    struct state_order *order;
};

struct record_image {
    enum record_kind kind;
    struct image_order *order;
};

struct record_scores {
    enum record_kind kind;
    struct scores_report *report;
};

struct record_version {
    enum record_kind kind;
    int model;
    struct version *version;
};

/* A trial: a version in the shadow of the one that serves, in some of the worker's batches. It ends the one
 * before. */
struct record_shadow {
    enum record_kind kind;
    int model;
    struct version *version; /* NULL: none any more */
    uint64_t trial;          /* its number */
};

/* What a worker has seen of a model: filled by it. */
struct live {
    struct forecast_errors errors; /* since it was asked before */
    uint64_t trial;                /* whose losses these are */
    struct shadow_losses losses;   /* since the trial began, over its batches */
};

struct record_watch {
    enum record_kind kind;
    int model, worker;
    struct live *live;
};

struct record_windows {
    enum record_kind kind;
    int model;
    struct windows *windows;
};

/* The latest forecasts of the streams whose topic begins with prefix are to be sent again. */
struct record_repeat {
    enum record_kind kind;
    size_t n;
    char prefix[];
};

/* A finished message: topic (with its closing NUL), then payload. */
struct record_message {
    enum record_kind kind;
    uint32_t forecasts;    /* in it */
    size_t topic, payload; /* bytes */
    char bytes[];
};

struct record_refused {
    enum record_kind kind;
    enum reason reason;
    bool tell;         /* as an event; an acknowledged tick comes here in any case, for its reply */
    uint32_t producer; /* and number: as of the tick */
    uint64_t number;
    int64_t t;
    size_t n;
    char name[]; /* of the stream */
};

/* A version serves a stream from now on; for the journal, and without one not told. */
struct record_takeover {
    enum record_kind kind;
    int model;
    uint32_t generation;
    struct takeover takeover;
    size_t n;
    char name[]; /* of the stream */
};

/* A command on which a stream's forecasts depend has been carried out, behind the step; for the journal, as the one
 * above. A state that was set is told by its order. */
enum commanded { COMMANDED_RESET, COMMANDED_PAUSE, COMMANDED_RESUME };

struct record_commanded {
    enum record_kind kind;
    enum commanded what;
    int model; /* -1: all */
    uint32_t generation;
    uint64_t step;
    size_t n;
    char name[]; /* of the stream */
};

/* Something of what the store had of a stream could not be read: a model of it begins anew, or all of it. */
struct record_unreadable {
    enum record_kind kind;
    struct error err;
    size_t n;
    char name[]; /* of the stream */
};

/* A stream has come back with an interval that is open, up to `end`, and that the clock is to close. */
struct record_unclosed {
    enum record_kind kind;
    int class;
    int64_t end;
    size_t n;
    char name[]; /* of the stream */
};

/* Ticks, labels, resets and pauses begin alike: where they were kept, their stream is filled in later. */
struct record_of_stream {
    enum record_kind kind;
    struct stream *stream;
    uint64_t order;
};
#define SAME_PLACES(kind) \
    _Static_assert(offsetof(struct kind, stream) == offsetof(struct record_of_stream, stream) && \
                       offsetof(struct kind, order) == offsetof(struct record_of_stream, order), \
                   #kind " begins as struct record_of_stream")
SAME_PLACES(record_tick);
SAME_PLACES(record_label);
SAME_PLACES(record_reset);
SAME_PLACES(record_pause);
SAME_PLACES(record_close);
#undef SAME_PLACES

/* The states of a stream began anew, behind the step. */
struct record_anew {
    enum record_kind kind;
    bool gap;  /* else by command */
    int model; /* -1: in all models */
    uint64_t step;
    size_t n;
    char name[]; /* of the stream */
};

/* What subscribers are told of a stream. */
enum told {
    TOLD_PAUSED,
    TOLD_RESUMED,
    TOLD_ALERT,   /* of a model: an alert is raised, or over */
    TOLD_VERDICT, /* of a model: its forecasts have become worse, or good again */
};

struct record_told {
    enum record_kind kind;
    enum told what;
    uint64_t step; /* the latest of the stream, that the model has seen */
    int64_t t;     /* of the step */
    int model;     /* -1: of all */
    int index;     /* of the alert in the model */
    struct alert alert;
    enum verdict verdict;
    double mae, mae_last_value, mae_all; /* behind the verdict, means over scored steps */
    size_t n;
    char name[]; /* of the stream */
};

#endif
