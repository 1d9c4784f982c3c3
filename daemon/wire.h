/*
 * The wire: ticks, forecasts and control messages as bytes. Shared by the daemon and the clients;
 * knows neither sockets nor the engine. PROTOCOL.md is its specification.
 *
 * Ticks and forecasts are MessagePack without a tree and without allocation; the JSON forms of
 * everything go through jansson (wire_json.c), for convenience rather than speed.
 * All functions are pure in their arguments: any thread may call them. Views (struct wire_text)
 * point into the message that was decoded, or what was made of it: those of ticks live until
 * wire_ticks_end, those of forecasts as long as the message.
 */
#ifndef DAEMON_WIRE_H
#define DAEMON_WIRE_H

#include "daemon/reasons.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_PROTOCOL = 1,       /* version of PROTOCOL.md that this file speaks */
    WIRE_MAX_NAME = 255,     /* bytes of a stream's name */
    WIRE_MAX_VALUES = 1024,  /* values of one tick */
    WIRE_MAX_OUTPUTS = 8,    /* outputs of a network */
    WIRE_MAX_LEVELS = 8,     /* of intervals */
    WIRE_MAX_JSON = 1 << 20, /* bytes of a JSON message: parsed, it takes a hundred times as much */
};

struct wire_text {
    const char *at; /* not NUL-terminated */
    size_t n;
};

/* ---- ticks -------------------------------------------------------------------------------- */

struct wire_tick {
    struct wire_text stream;
    bool has_time; /* line protocol may leave the time to the receiver */
    int64_t t;     /* ns since 1970 UTC */
    bool has_seq;
    uint64_t seq;
    bool is_label; /* it tells the label of the tick at t, and has no values */
    int64_t label;
    int n_values;
    bool named;   /* values come by name, in names[]; otherwise in the order of the features. Of one name
	                 * that comes twice, the last value counts */
    int bad;      /* values that are missing as their quality is bad */
    bool lenient; /* of line protocol: names that the class does not know are passed over */
    double values[WIRE_MAX_VALUES]; /* NaN: missing */
    struct wire_text names[WIRE_MAX_VALUES];
};

/* The ticks of one message, one after another; can be left and gone on with later. */
struct wire_ticks {
    enum { WIRE_FORM_SINGLE, WIRE_FORM_BUNDLE, WIRE_FORM_JSON, WIRE_FORM_JSON_BUNDLE, WIRE_FORM_LINES } form;
    struct wire_text stream; /* the first of two frames */
    const char *at, *end;    /* what has not been read */
    size_t left;             /* elements of a bundle that have not been read */
    size_t index;            /* of the next element of a JSON bundle */
    json_t *json;
    char *unescaped; /* line protocol: the names, each where its line is in the message */
};

/* Opens a message of n_frames frames: two are a stream's name and a payload (MessagePack or JSON),
 * one is a bundle (MessagePack or JSON) or line protocol; the first byte tells which. The frames
 * must outlive the iteration. Returns REASON_NONE, or why the whole message is refused. Close with
 * wire_ticks_end, refused or not. */
enum reason wire_ticks_begin(struct wire_ticks *ticks, const struct wire_text *frames, size_t n_frames);

/* Reads the next tick. Returns 1 with ret_tick filled; 0 at the end; -1 with *ret_reason when a tick
 * is refused (ret_tick->stream is set where it could be read, else empty), after which the next call
 * goes on with the tick behind it, or ends where the rest cannot be read. */
int wire_ticks_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason);
void wire_ticks_end(struct wire_ticks *ticks);
/* How many ticks a message that has just been opened holds, refused ones among them; what cannot be read has the number that
 * it claims. Line protocol is read through for it, into scratch. */
size_t wire_ticks_count(const struct wire_ticks *ticks, struct wire_tick *scratch);
/* How many of them have been read; passed_before: when this was asked last, before the latest call of wire_ticks_next. */
static inline size_t wire_ticks_passed(const struct wire_ticks *ticks, size_t count, size_t passed_before) {
    return ticks->form == WIRE_FORM_LINES ? passed_before + 1 : count - ticks->left;
}
/* The stream, unchecked, of the tick that begins at `at` in a bundle in MessagePack: ticks->at, where the next one does, or
 * what this returned: where the tick behind it does. NULL: that is not plain to see without reading the tick. */
const char *wire_ticks_look(const struct wire_ticks *ticks, const char *at, struct wire_text *ret_stream);

/* 1 to 255 bytes of valid UTF-8 without NUL. */
bool wire_name_valid(struct wire_text name);

/* Writes the payload of a tick in MessagePack, [t, values] or, with seq, [t, values, seq]. Returns the
 * bytes written, or 0 where size is below WIRE_TICK_BOUND. */
#define WIRE_TICK_BOUND(n_values) (9 * ((size_t)(n_values) + 4))
size_t wire_tick_encode(char *buffer, size_t size, int64_t t, const double *values, int n_values,
                        const uint64_t *seq);

/* A bundle of ticks as it grows: buffer is allocated and grown by wire_bundle_add, reused after
 * wire_bundle_clear, freed by wire_bundle_fini. Zero-initialise. */
struct wire_bundle {
    char *buffer;
    size_t used, size;
    uint32_t n;
};
/* Returns 0, or -1 when memory is short (the bundle stays as it was). */
int wire_bundle_add(struct wire_bundle *bundle, struct wire_text stream, int64_t t, const double *values,
                    int n_values);
/* The finished message; valid until the bundle changes. */
struct wire_text wire_bundle_message(struct wire_bundle *bundle);
void wire_bundle_clear(struct wire_bundle *bundle);
void wire_bundle_fini(struct wire_bundle *bundle);

/* ---- forecasts ---------------------------------------------------------------------------- */

/* Flags of a forecast; on the wire an array of names. X(constant, name) */
#define WIRE_FLAGS(X) \
    X(GAP, "gap")               /* ticks are missing before this step */ \
    X(MISSING, "missing")       /* a feature of this step was missing and stood in for by its last value */ \
    X(WARMING, "warming")       /* the state has seen fewer steps than burn_in, or the stream than a window has */ \
    X(REPEAT, "last")           /* sent again because somebody subscribed */ \
    X(CAPPED, "capped")         /* an interval would be infinite, or wider than errors ever were, and is cut */ \
    X(PAUSED, "paused")         /* the step came in a pause: nothing is learnt from it, and no alarm raised */ \
    X(AGGREGATED, "aggregated") /* the step's values are the mean, sum or the like of several ticks */ \
    X(FILLED, "filled")         /* no tick came in the step's interval: all its values are missing */ \
    X(REPLACED, "replaced")     /* a tick of the step took the place of another at the same time */ \
    X(REORDERED, "reordered")   /* a tick of the step came after a later one */ \
    X(CLOCK, "clock")           /* the step closed by the clock, without a later tick */
enum wire_flag_bit {
#define X(constant, name) WIRE_FLAG_BIT_##constant,
    WIRE_FLAGS(X)
#undef X
        WIRE_N_FLAGS
};
#define WIRE_FLAG(constant) (1U << WIRE_FLAG_BIT_##constant)

/* OTHER is read for a name that a later protocol version added, and never written. */
enum wire_source { WIRE_SOURCE_NETWORK, WIRE_SOURCE_BASELINE, WIRE_SOURCE_OTHER }; /* "network", "baseline" */
enum wire_baseline {
    WIRE_BASELINE_LAST_VALUE,
    WIRE_BASELINE_SEASONAL,
    WIRE_BASELINE_LABELS,
    WIRE_BASELINE_OTHER
}; /* "last_value", "seasonal", "labels" */

/* What forecasts h steps ahead were worth whose answers have arrived, over targets, in units of each one's standard
 * deviation; levels as those of the intervals. NaN (nil): not known. */
struct wire_means {
    float mae, mae_last_value, mae_seasonal, rmse, mase, pinball;
    float coverage[WIRE_MAX_LEVELS], width[WIRE_MAX_LEVELS]; /* [n_intervals] */
};
struct wire_score {
    int32_t h;
    uint64_t n; /* answers */
    struct wire_means recent, all;
};

/* Bounds between which `level` percent of the answers are to lie. */
struct wire_interval {
    double level;
    const double *lower, *upper; /* [horizon x n_targets]; NaN: not known */
};

/* What an expert contributed to the forecast. */
struct wire_share {
    struct wire_text expert;
    float share;
};

/* What a network gave, unscaled: on the wire `steps` arrays of `width` numbers, or one where there is no time
 * axis. */
struct wire_output {
    int steps; /* 0: no time axis */
    int width;
    const float *at; /* [steps x width], or [width] */
};

/* The state of a layer behind the forecast (h, c), as return_state gives it: `pieces` arrays of n numbers. */
struct wire_state {
    struct wire_text layer;
    int pieces, n;
    const float *at; /* [pieces x n] */
};

/* What forecasts of an event were worth whose labels have come: how often the likeliest class was the label, and the
 * Brier score. */
struct wire_labels {
    uint64_t n;                     /* labels */
    double accuracy, brier;         /* exponential means */
    double accuracy_all, brier_all; /* over all labels */
};

struct wire_forecast {
    struct wire_text stream, model;
    uint64_t version; /* of the model; 0 before the first trained one */
    uint64_t epoch;
    uint32_t generation;
    uint32_t source_id; /* position: (source, number) of the tick */
    uint64_t number;
    uint64_t step;
    uint64_t primed; /* steps that the state behind this forecast has seen since zero */
    int64_t t;
    int horizon, n_targets, n_scores;
    const int64_t *times;            /* [horizon], or NULL while the interval is not known */
    const struct wire_text *targets; /* [n_targets] */
    const double *values;            /* [n_targets], the targets at t; NaN: missing */
    const double *mean;              /* [horizon x n_targets] */
    int n_intervals, n_shares;
    const struct wire_interval *intervals; /* [n_intervals] by level, at most WIRE_MAX_LEVELS */
    const struct wire_share *shares;       /* [n_shares] */
    double anomaly;                        /* how far outside its interval the values at t are; NaN: not known */
    const struct wire_score *scores;       /* [n_scores] */
    bool has_labels;                       /* of an event */
    struct wire_labels labels;
    uint32_t flags;
    enum wire_source source;
    enum wire_baseline baseline; /* what serves, or would serve, as the baseline */
    int n_outputs, n_states;
    const struct wire_output *outputs; /* [n_outputs] of a model with a raw head; such a forecast has no targets */
    const struct wire_state *states;   /* [n_states] of a model that publishes its state; not decoded */
    int64_t received, sent;            /* ns since 1970 UTC: tick taken from its socket, forecast handed to the bus */
};

/* An upper bound of the bytes that wire_forecast_encode writes. */
size_t wire_forecast_bound(const struct wire_forecast *forecast);

/* One forecast as a MessagePack map. Returns the bytes written, or 0 where size is below wire_forecast_bound. */
size_t wire_forecast_encode(const struct wire_forecast *forecast, char *buffer, size_t size);

/* The same of one that stands behind `before` in a bundle: what is as it was there is left out. `before` and its arrays are
 * as they were when it was encoded. */
size_t wire_forecast_encode_next(const struct wire_forecast *forecast, const struct wire_forecast *before,
                                 char *buffer, size_t size);

/* Memory for the arrays of decoded forecasts, and where in it they are: the bytes at `at` that are an array's own, and how
 * much of it was read. Grows, is reused by the next decode. Zero-initialise. */
struct wire_place {
    size_t at, size;
};
struct wire_arrays {
    struct wire_place times, targets, values, mean, scores, outputs, intervals, shares;
    struct wire_place output[WIRE_MAX_OUTPUTS], bounds[2 * WIRE_MAX_LEVELS]; /* numbers; of each level lower, upper */
    int n_times, n_values, n_columns;                                        /* n_columns of every row of mean */
    int n_bounds[2 * WIRE_MAX_LEVELS][2];                                    /* rows and columns of each bound */
    bool has_times, has_values;
};
struct wire_arena {
    char *buffer;
    size_t used, size;
    struct wire_arrays arrays;
    bool renamed; /* the map that was decoded last told the model or the targets */
};
void wire_arena_fini(struct wire_arena *arena);

/* Reads one MessagePack map at data (n bytes), or the first one of a bundle. Arrays go to the arena and live
 * until its next use. Unknown keys and flags are passed over (later protocol versions add some); stream, model,
 * step, t, targets and mean must be there, the others are 0, NULL or NaN. Returns the bytes read, or 0 when it
 * is not a forecast. */
size_t wire_forecast_decode(const void *data, size_t n, struct wire_arena *arena, struct wire_forecast *ret_forecast);

/* Reads the map behind it in a bundle: forecast is the one before, with its arena, and what the map does not tell stays as it
 * was. When it fails neither of them is a forecast any more. */
size_t wire_forecast_decode_next(const void *data, size_t n, struct wire_arena *arena,
                                 struct wire_forecast *forecast);

/* Writes the head of an array of n elements (a bundle of forecasts is that, then n maps, the first one whole): always WIRE_ARRAY_HEAD
 * bytes. */
enum { WIRE_ARRAY_HEAD = 5 };
void wire_array_head(char *buffer, uint32_t n);
/* Reads the head of an array; returns its bytes, or 0 when it is none. */
size_t wire_array_open(const void *data, size_t n, uint32_t *ret_n);

/* ---- control and events: small maps, built and read as jansson values ---------------------- */

/* Decodes MessagePack or JSON, told by the first byte. Returns a new reference, or NULL when it is
 * neither; *ret_is_json says which, also then, so that a reply can have the same form. Keys are strings, a
 * bin is taken as a string, an ext is refused, NaN and infinities become null. */
json_t *wire_message_decode(const void *data, size_t n, bool *ret_is_json);

/* Encodes a value; the caller frees *ret_data with free(). NaN and infinities cannot occur in a json_t.
 * Returns 0, or -1 when memory is short. */
int wire_message_encode(const json_t *value, bool as_json, char **ret_data, size_t *ret_n);

/* MessagePack to JSON text (NaN becomes null); the caller frees it. NULL when it is not MessagePack. */
char *wire_to_json(const void *data, size_t n, size_t *ret_n);

/* Reads maps of a bundle of forecasts, which fill n bytes, over those before them, *whole (NULL: the first one is whole): it
 * becomes the last of them, whole; the caller's. False when memory is short or something else is found. */
bool wire_forecast_overlay(json_t **whole, const void *data, size_t n);

#endif
