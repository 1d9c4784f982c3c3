/*
 * libforecast: the C client of forecastd. This header is the whole contract.
 *
 * Four kinds of handles, each with its own connection: a feed sends ticks, a sender sends ticks that are
 * acknowledged, a subscription receives forecasts and events, a control asks and commands. They share nothing: a handle may be used by one
 * thread at a time, different handles by different threads at once. After fork() the child must not
 * touch handles of its parent. No function installs signal handlers, starts processes or writes to
 * stdout or stderr. Opening never waits for the daemon: connections come up, and come back, by themselves.
 *
 * Functions return 0 (or a count) when they succeed and one of the negative codes below when they fail;
 * forecast_error_text() then has the sentence. Results through ret_... are untouched on failure.
 * Names and texts are UTF-8. Times are int64 nanoseconds since 1970 UTC. A missing value is NaN.
 * A timeout is in milliseconds: 0 does not wait, a negative one waits for ever. Every wait ends with
 * FORECAST_ERROR_INTERRUPTED when a signal handler ran in the waiting thread.
 *
 * Later versions add functions, codes, and members at the end of structures that the library hands
 * out; they change nothing that is here within one major version.
 */
#ifndef FORECAST_H
#define FORECAST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define FORECAST_API __attribute__((visibility("default")))
#else
#define FORECAST_API
#endif

#define FORECAST_VERSION_MAJOR 0
#define FORECAST_VERSION_MINOR 1
#define FORECAST_VERSION_PATCH 0

#define FORECAST_DEFAULT_TICKS        "tcp://127.0.0.1:7701"
#define FORECAST_DEFAULT_FORECASTS    "tcp://127.0.0.1:7702"
#define FORECAST_DEFAULT_CONTROL      "tcp://127.0.0.1:7703"
#define FORECAST_DEFAULT_ACKNOWLEDGED "tcp://127.0.0.1:7704" /* where a daemon has one, by its configuration */

enum {
    FORECAST_OK = 0,
    FORECAST_ERROR_ARGUMENT = -1, /* a bug of the caller: a name, a count, an endpoint that cannot be */
    FORECAST_ERROR_MEMORY = -2,
    FORECAST_ERROR_TIMEOUT = -3,     /* the time is up; nothing was sent or received */
    FORECAST_ERROR_INTERRUPTED = -4, /* a signal; nothing was sent or received, calling again is fine */
    FORECAST_ERROR_NETWORK = -5,     /* ZeroMQ or the system refused */
    FORECAST_ERROR_MESSAGE = -6,     /* the other side sent what is not the protocol; the handle goes on */
    FORECAST_ERROR_PROTOCOL = -7,    /* the daemon speaks another version of the protocol */
    FORECAST_ERROR_REFUSED = -8      /* the daemon answered that it will not; its sentence is the error text */
};

/* The version of the library that runs, "0.1.0". */
FORECAST_API const char *forecast_version(void);

/* One sentence on the last failure of a call from this thread; valid until its next failure. "" before any. */
FORECAST_API const char *forecast_error_text(void);

/* What a code means in general, "timeout"; never NULL. */
FORECAST_API const char *forecast_error_name(int code);

/* ---- sending ticks ------------------------------------------------------------------------ */

struct forecast_feed;

/* Opens a feed to an endpoint of ticks, e.g. FORECAST_DEFAULT_TICKS (NULL means that one). At most
 * high_water_mark messages (0: 1000) wait on this side; then sending waits, which is how a busy daemon
 * slows its senders down: nothing is dropped. */
FORECAST_API int forecast_feed_open(const char *endpoint, int high_water_mark, struct forecast_feed **ret_feed);

/* Waits until a connection stands. FORECAST_ERROR_TIMEOUT when there is none by then. Need not be
 * called: ticks sent before wait in the queue. */
FORECAST_API int forecast_feed_wait(struct forecast_feed *feed, int timeout_ms);

/* Sends one tick: n_values values (at most 1024) in the order of the class' features. Waits up to
 * timeout_ms while the queue is full. A sent tick was queued; the daemon takes, counts and, where
 * something is wrong with it, refuses it later. */
FORECAST_API int forecast_feed_send(struct forecast_feed *feed, const char *stream, int64_t t, const double *values,
                                    int n_values, int timeout_ms);

/* The same with each value under its feature's name; features that are not named are missing. */
FORECAST_API int forecast_feed_send_named(struct forecast_feed *feed, const char *stream, int64_t t,
                                          const char *const *names, const double *values, int n_values,
                                          int timeout_ms);

/* Tells the label of the tick at t, for the events that the stream's models forecast: a class by its number. */
FORECAST_API int forecast_feed_label(struct forecast_feed *feed, const char *stream, int64_t t, int64_t label,
                                     int timeout_ms);

/* Adds a tick to the bundle, which goes out as one message with forecast_feed_flush: far cheaper per
 * tick. Nothing is sent before that. Returns the ticks now in the bundle. Flush in time: a bundle that
 * would grow over 1 MiB is refused with FORECAST_ERROR_ARGUMENT (and stays as it was). */
FORECAST_API int forecast_feed_add(struct forecast_feed *feed, const char *stream, int64_t t, const double *values,
                                   int n_values);

/* Sends the bundle, if it has ticks, and empties it. When it fails the bundle stays, to be flushed again. */
FORECAST_API int forecast_feed_flush(struct forecast_feed *feed, int timeout_ms);

/* Closes *feed (NULL is fine) and clears the pointer. Ticks that wait in the queue are sent for up to
 * linger_ms; a bundle that was not flushed is dropped. FORECAST_ERROR_TIMEOUT says that the time ran
 * out with ticks unsent. Signals do not shorten it. */
FORECAST_API int forecast_feed_close(struct forecast_feed **feed, int linger_ms);

/* ---- sending ticks that are acknowledged ---------------------------------------------------- */

/*
 * A sender keeps every tick until the daemon has acknowledged it: that it is on disk there, or refused. Over a
 * broken connection or a daemon that began anew it asks how far the daemon has come, and sends the rest again; each
 * tick counts once. All of it happens within the calls below: a sender has no thread, and a program that adds nothing for
 * a while calls forecast_sender_poll now and then.
 *
 * A producer is who sends, over connections, processes and machines: its ticks have the numbers 1, 2, 3, ... One sender at a
 * time speaks for a producer: opening another one makes the calls of the first fail with FORECAST_ERROR_REFUSED.
 */
struct forecast_sender;

/* Ticks first .. last of the producer, of one stream, that the daemon refused; "late", ... Valid during the call. */
struct forecast_refusal {
    uint64_t first, last;
    const char *reason, *stream;
};

struct forecast_sender_options {
    const char *endpoint; /* NULL: FORECAST_DEFAULT_ACKNOWLEDGED */
    const char *producer; /* a name of 1 to 255 bytes of UTF-8; or NULL, and */
    int64_t producer_id;  /* a number above 0 */
    int bundle;           /* ticks that go in one message at most; 0: 256 */
    int max_ticks;        /* kept here at most; 0: 100,000. Then adding waits */
    /* Called, where it is not NULL, for what is refused, within a call of the sender, which it must not use. */
    void (*refused)(void *context, const struct forecast_refusal *refusal);
    void *context;
};

/* Opens a sender; options and what they point to are copied. Waits for nothing. */
FORECAST_API int forecast_sender_open(const struct forecast_sender_options *options,
                                      struct forecast_sender **ret_sender);

/* Waits until the daemon has told how far the producer has come: all its ticks up to *ret_durable are acknowledged, from
 * senders before this one too, and the first tick that is added has the next number. So a file whose n-th row is tick n goes on
 * at row *ret_durable + 1. */
FORECAST_API int forecast_sender_wait(struct forecast_sender *sender, int timeout_ms, uint64_t *ret_durable);

/* Adds a tick, of n_values values in the order of the class' features, and sends what makes a full bundle. Waits up to
 * timeout_ms until the daemon has answered for the first time, and while max_ticks are kept. When it fails nothing was
 * added. */
FORECAST_API int forecast_sender_add(struct forecast_sender *sender, const char *stream, int64_t t,
                                     const double *values, int n_values, int timeout_ms);
/* The same with each value under its feature's name, and of a label, as forecast_feed_send_named and forecast_feed_label. */
FORECAST_API int forecast_sender_add_named(struct forecast_sender *sender, const char *stream, int64_t t,
                                           const char *const *names, const double *values, int n_values,
                                           int timeout_ms);
FORECAST_API int forecast_sender_add_label(struct forecast_sender *sender, const char *stream, int64_t t,
                                           int64_t label, int timeout_ms);

/* Sends what was added, as far as the daemon lets it, and takes in what it answers, until something was answered or the
 * time is up, which is no failure. */
FORECAST_API int forecast_sender_poll(struct forecast_sender *sender, int timeout_ms);

/* Sends what was added and waits until all of it is acknowledged. */
FORECAST_API int forecast_sender_flush(struct forecast_sender *sender, int timeout_ms);

struct forecast_sender_status {
    uint64_t added, durable; /* the last number that was added, and the last one that is acknowledged */
    uint64_t acknowledged, refused, resent; /* ticks of this sender; refused ones are acknowledged too */
    int degraded; /* the daemon's disk fails: nothing is acknowledged until it works again */
    int kept;     /* ticks: added - durable */
};
FORECAST_API void forecast_sender_status(const struct forecast_sender *sender,
                                         struct forecast_sender_status *ret_status);

/* Closes *sender (NULL is fine) and clears the pointer, after a flush of at most linger_ms. FORECAST_ERROR_TIMEOUT says that
 * ticks are not acknowledged: they are lost unless they are added to a later sender of the producer, which tells
 * (forecast_sender_wait) from which on. */
FORECAST_API int forecast_sender_close(struct forecast_sender **sender, int linger_ms);

/* ---- receiving forecasts and events ------------------------------------------------------- */

enum forecast_source { FORECAST_SOURCE_NETWORK = 0, FORECAST_SOURCE_BASELINE = 1 };
/* LABELS: of an event, how often each label has come. */
enum forecast_baseline {
    FORECAST_BASELINE_LAST_VALUE = 0,
    FORECAST_BASELINE_SEASONAL = 1,
    FORECAST_BASELINE_LABELS = 2
};

enum {
    FORECAST_FLAG_GAP = 1,         /* ticks are missing before this step */
    FORECAST_FLAG_MISSING = 2,     /* a feature of this step was missing; its last value stood in */
    FORECAST_FLAG_WARMING = 4,     /* the state has seen fewer steps than the model's burn_in */
    FORECAST_FLAG_LAST = 8,        /* sent again because somebody subscribed */
    FORECAST_FLAG_CAPPED = 16,     /* an interval would be infinite, or wider than errors ever were, and is cut */
    FORECAST_FLAG_PAUSED = 32,     /* the step came in a pause: nothing is learnt from it */
    FORECAST_FLAG_AGGREGATED = 64, /* the step's values are the mean, sum or the like of several ticks */
    FORECAST_FLAG_FILLED = 128,    /* no tick came in the step's interval: all its values are missing */
    FORECAST_FLAG_REPLACED = 256,  /* a tick of the step took the place of another at the same time */
    FORECAST_FLAG_REORDERED = 512, /* a tick of the step came after a later one */
    FORECAST_FLAG_CLOCK = 1024     /* the step closed by the clock, without a later tick */
};

enum { FORECAST_MAX_LEVELS = 8 };

/* What this stream's forecasts h steps ahead were worth whose answers have arrived: means over targets, in units of
 * each target's standard deviation. Of the absolute error, of those of the last value and of the season before; of
 * the root of the squared error; of the absolute error by that of the last value one step ahead; of the quantile loss
 * of the intervals' ends; and of each level's intervals the share of the answers that they held, and the width. NaN:
 * not known. */
struct forecast_measures {
    double mae, mae_last_value, mae_seasonal, rmse, mase, pinball;
    double coverage[FORECAST_MAX_LEVELS], width[FORECAST_MAX_LEVELS]; /* [n_intervals] */
};
struct forecast_score {
    int h;
    uint64_t n;                               /* answers */
    double mae, mae_last_value, mae_seasonal; /* as in recent */
    struct forecast_measures recent;          /* exponential means */
    struct forecast_measures all;             /* over all answers */
};

/* Bounds between which `level` percent of the answers are to lie. */
struct forecast_interval {
    double level;
    const double *lower, *upper; /* [horizon x n_targets], row-major; NaN: not known */
};

/* What an expert ("network", "ridge", "last_value", ...) contributed to the forecast. */
struct forecast_share {
    const char *expert;
    double share; /* of 1 */
};

/* What a network gave, as it is, of a model with a raw head. */
struct forecast_output {
    int steps; /* 0: no time axis */
    int width;
    const float *at; /* [steps x width], or [width] */
};

/* What forecasts of an event were worth whose labels have come. */
struct forecast_labels {
    uint64_t n;                     /* labels; 0: the others are not known, or the model's head is of no event */
    double accuracy, brier;         /* exponential means */
    double accuracy_all, brier_all; /* over all labels */
};

struct forecast {
    const char *stream, *model;
    uint64_t version;         /* of the model; 0 before the first trained one */
    uint64_t epoch;           /* grows with each start of the daemon */
    uint32_t generation;      /* grows when an ended stream begins again */
    uint32_t position_source; /* position: (source, number) of the tick that this is the forecast after */
    uint64_t position;
    uint64_t step;   /* the count of the stream's closed ticks; deduplicate by generation and step */
    uint64_t primed; /* steps that the state behind this forecast has seen */
    int64_t t;       /* of the tick */
    int horizon, n_targets, n_scores;
    const int64_t *times;                  /* [horizon] of the forecasts, or NULL while the interval is not known */
    const char *const *targets;            /* [n_targets] names */
    const double *values;                  /* [n_targets] the targets at t; NaN: missing */
    const double *mean;                    /* [horizon x n_targets], row-major */
    const struct forecast_score *scores;   /* [n_scores] */
    int n_outputs;                         /* of a raw head: it has no targets */
    const struct forecast_output *outputs; /* [n_outputs] */
    unsigned flags;                        /* FORECAST_FLAG_... */
    enum forecast_source source;           /* what made it */
    enum forecast_baseline baseline;       /* which baseline serves, or would serve */
    int64_t received, sent;                /* tick taken by the daemon, forecast handed out */
    int n_intervals, n_shares;
    const struct forecast_interval *intervals; /* [n_intervals] the lowest level first */
    const struct forecast_share *shares;       /* [n_shares] */
    double anomaly; /* how far outside their intervals the values are: 0 inside, 1: a half-width; NaN: not known */
    struct forecast_labels labels;
};

struct forecast_event {
    const char *kind; /* "started", "refused", "promoted", ... */
    const char *json; /* the whole event */
};

/* Exactly one of the pointers is set. Both structures belong to the subscription. */
struct forecast_message {
    const struct forecast *forecast;
    const struct forecast_event *event;
};

struct forecast_subscription;

/* Opens a subscription to an endpoint of forecasts (NULL: FORECAST_DEFAULT_FORECASTS). At most
 * high_water_mark messages (0: 1000) wait on this side; more are lost, as a gap in steps shows. */
FORECAST_API int forecast_subscription_open(const char *endpoint, int high_water_mark,
                                            struct forecast_subscription **ret_subscription);

/* Subscribes to forecasts as single messages, of one model (NULL: every) and one stream (NULL: every;
 * a '*' at the end: every name that begins so). The daemon sends the last forecast of each again at
 * once, flagged FORECAST_FLAG_LAST. With a stream but no model, the library takes in all and drops the rest. */
FORECAST_API int forecast_subscription_forecasts(struct forecast_subscription *subscription, const char *model,
                                                 const char *stream);

/* Subscribes to the bundles of one model (NULL: every): the same forecasts, cheaper at high rates. */
FORECAST_API int forecast_subscription_bundles(struct forecast_subscription *subscription, const char *model);

/* Subscribes to events of one kind (NULL: every). */
FORECAST_API int forecast_subscription_events(struct forecast_subscription *subscription, const char *kind);

/* Gives the next forecast or event; bundles come apart here. What ret_message points to is valid until
 * the next call with this subscription. */
FORECAST_API int forecast_subscription_next(struct forecast_subscription *subscription, int timeout_ms,
                                            struct forecast_message *ret_message);

/* The forecast or event that came last, as the daemon sent it, in JSON (no newline; NaN is null). Valid
 * until the next call with this subscription. */
FORECAST_API int forecast_subscription_json(struct forecast_subscription *subscription, const char **ret_json);

/* Closes *subscription (NULL is fine) and clears the pointer. */
FORECAST_API void forecast_subscription_close(struct forecast_subscription **subscription);

/* ---- control ------------------------------------------------------------------------------ */

struct forecast_control;

/* Opens control (NULL: FORECAST_DEFAULT_CONTROL). */
FORECAST_API int forecast_control_open(const char *endpoint, struct forecast_control **ret_control);

/* Asks: request is the text of a JSON object with a member "cmd"; *ret_reply the text of the reply, valid
 * until the next call with this control. FORECAST_ERROR_REFUSED when the daemon replies with an error:
 * *ret_reply is set then, too. After a timeout the question is given up and a late answer is never
 * taken for that of another. */
FORECAST_API int forecast_control_request(struct forecast_control *control, const char *request, int timeout_ms,
                                          const char **ret_reply);

/* The same in two halves, for callers that must not wait: one question may be open at a time, another
 * forecast_control_send gives it up. */
FORECAST_API int forecast_control_send(struct forecast_control *control, const char *request);
FORECAST_API int forecast_control_receive(struct forecast_control *control, int timeout_ms, const char **ret_reply);

/* Says hello; fails with FORECAST_ERROR_PROTOCOL when the daemon speaks another version. The reply tells
 * the daemon's version, classes with their patterns and features, and models. */
FORECAST_API int forecast_control_hello(struct forecast_control *control, int timeout_ms, const char **ret_reply);

/* Closes *control (NULL is fine) and clears the pointer. */
FORECAST_API void forecast_control_close(struct forecast_control **control);

#ifdef __cplusplus
}
#endif

#endif
