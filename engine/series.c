#include "engine/series.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Which arrays of the open interval there are besides open. */
static bool has_newest(const struct time_policy_spec *spec) {
    return spec->every > 0 && spec->same_time == SAME_TIME_REPLACE;
}

static bool has_unseen(const struct time_policy_spec *spec) {
    return spec->gap == GAP_FILL;
}

static bool has_counts(const struct time_policy_spec *spec) {
    return spec->every > 0 && spec->aggregate == AGGREGATE_MEAN;
}

static size_t arrays_size(const struct time_policy_spec *spec, size_t n) {
    size_t doubles = 1 + (size_t)has_newest(spec) + (size_t)has_unseen(spec);
    return n * (sizeof(double) * doubles + sizeof(uint32_t) * (size_t)has_counts(spec));
}

/* The struct, its history, then the arrays of the open interval, of which newest, unseen and counts are for those that
 * need them. */
size_t series_size(const struct time_policy_spec *spec, int n_features, int kept, int pending) {
    size_t size =
        sizeof(struct series) + history_size(n_features, kept, pending) + arrays_size(spec, (size_t)n_features);
    return (size + HISTORY_LINE - 1) / HISTORY_LINE * HISTORY_LINE;
}

/* Nothing has come. */
static void begin_arrays(struct series *series) {
    for (int f = 0; f < series->history->n_features; f++) {
        series->open[f] = NAN;
        if (series->newest != NULL)
            series->newest[f] = NAN;
        if (series->unseen != NULL)
            series->unseen[f] = NAN;
        if (series->counts != NULL)
            series->counts[f] = 0;
    }
}

int series_init(struct series *series, const struct time_policy_spec *spec, int n_features, int kept, int pending) {
    size_t n = (size_t)n_features;
    *series = (struct series){.spec = spec, .history = (struct history *)(series + 1)};
    history_init(series->history, n_features, kept, pending);
    double *next = (double *)(void *)((char *)series->history + history_size(n_features, kept, pending));
    series->open = next;
    series->newest = has_newest(spec) ? next += n : NULL;
    series->unseen = has_unseen(spec) ? next += n : NULL;
    series->counts = has_counts(spec) ? (uint32_t *)(void *)(next + n) : NULL;
    begin_arrays(series);
    return spec->reorder == 0 || (series->held = reorder_new(n_features, spec->reorder_most)) != NULL ? 0 : -1;
}

void series_fini(struct series *series) {
    history_fini(series->history);
    reorder_free(series->held);
}

void series_renew(struct series *series) {
    struct series renewed = {.spec = series->spec,
                             .history = series->history,
                             .open = series->open,
                             .newest = series->newest,
                             .unseen = series->unseen,
                             .counts = series->counts,
                             .held = series->held};
    if (series->spec->reorder == 0) { /* of an image from when the class had some held */
        reorder_free(series->held);
        renewed.held = NULL;
    }
    *series = renewed;
    if (series->held != NULL)
        reorder_renew(series->held, series->spec->reorder_most);
    history_renew(series->history);
    begin_arrays(series);
}

struct series *series_new(const struct time_policy_spec *spec, int n_features, int kept, int pending) {
    struct series *series = aligned_alloc(HISTORY_LINE, series_size(spec, n_features, kept, pending));
    if (series == NULL || series_init(series, spec, n_features, kept, pending) == 0)
        return series;
    series_free(series);
    return NULL;
}

void series_free(struct series *series) {
    if (series == NULL)
        return;
    series_fini(series);
    free(series);
}

/* Flags of an interval that is open. */
static const uint8_t open_flags = STEP_REPLACED | STEP_REORDERED;

/* ---- the open interval ------------------------------------------------------------------------ */

static double aggregated(enum aggregate aggregate, double so_far, double value, uint32_t n) {
    switch (aggregate) {
    case AGGREGATE_LAST: break;
    case AGGREGATE_MEAN: return so_far + (value - so_far) / n; /* equal values stay what they are */
    case AGGREGATE_SUM: return so_far + value;
    case AGGREGATE_MIN: return value < so_far ? value : so_far;
    case AGGREGATE_MAX: return value > so_far ? value : so_far;
    }
    return value;
}

static void add_values(struct series *series, const double *values) {
    for (int f = 0; f < series->history->n_features; f++) {
        if (isnan(values[f]))
            continue;
        uint32_t n = series->counts != NULL ? ++series->counts[f] : 0;
        series->open[f] =
            isnan(series->open[f]) ? values[f] : aggregated(series->spec->aggregate, series->open[f], values[f], n);
    }
}

static void join(struct series *series, const double *values) {
    series->ticks++;
    if (series->newest == NULL) {
        add_values(series, values);
        return;
    }
    add_values(series, series->newest);
    memcpy(series->newest, values, (size_t)series->history->n_features * sizeof *values);
}

static void replace(struct series *series, const double *values) {
    memcpy(series->newest, values, (size_t)series->history->n_features * sizeof *values);
    series->flags |= STEP_REPLACED;
}

/* Nothing is in the open interval. */
static void clear(struct series *series) {
    series->ticks = 0;
    series->flags = 0;
    for (int f = 0; f < series->history->n_features; f++) {
        series->open[f] = NAN;
        if (series->counts != NULL)
            series->counts[f] = 0;
        if (series->newest != NULL)
            series->newest[f] = NAN;
    }
}

/* The next interval begins with a tick. */
static void begin(struct series *series, const double *values) {
    int n = series->history->n_features;
    series->ticks = 1;
    memcpy(series->newest != NULL ? series->newest : series->open, values, (size_t)n * sizeof *values);
    for (int f = 0; series->newest != NULL && f < n; f++)
        series->open[f] = NAN;
    for (int f = 0; series->counts != NULL && f < n; f++)
        series->counts[f] = series->newest == NULL && !isnan(values[f]);
}

static uint8_t gap_flags(const struct series *series, bool gap) {
    return (uint8_t)(!gap ? 0 : series->spec->gap == GAP_IGNORE ? STEP_GAP : STEP_GAP | STEP_RESET);
}

/* The open interval is a step. */
static void close_open(struct series *series, const struct time_closed *closed) {
    if (series->newest != NULL)
        add_values(series, series->newest);
    /* A sum may have left what a double holds, and then is none. */
    bool sums = series->spec->aggregate == AGGREGATE_SUM || series->spec->aggregate == AGGREGATE_MEAN;
    for (int f = 0; sums && f < series->history->n_features; f++)
        if (!isfinite(series->open[f]))
            series->open[f] = NAN;
    uint8_t flags = series->flags | (series->closing ? STEP_CLOCK : 0);
    history_append(series->history, closed->t, series->open, gap_flags(series, closed->gap) | flags);
    if (series->spec->aggregate != AGGREGATE_LAST)
        series->of_ticks = series->ticks;
}

/* ---- ticks ------------------------------------------------------------------------------------ */

/* In the order of times. flags: of the tick, STEP_*. */
static int take_in_order(struct series *series, int64_t t, const double *values, uint8_t flags,
                         enum time_verdict *ret_verdict) {
    struct time_closed closed;
    *ret_verdict = time_policy_take(&series->time, series->spec, t, &closed);
    switch (*ret_verdict) {
    case TIME_JOINS:
        join(series, values);
        series->fill_left = (uint16_t)closed.missing; /* behind what the clock has closed */
        break;
    case TIME_REPLACES: replace(series, values); break;
    case TIME_CLOSES:
        close_open(series, &closed);
        begin(series, values);
        series->flags = flags;
        series->fill_left = (uint16_t)closed.missing;
        return 1;
    case TIME_STEP:
        history_append(series->history, closed.t, values, gap_flags(series, closed.gap) | flags);
        return 1;
    default: return -1;
    }
    series->flags |= flags;
    return 0;
}

static int hold(struct series *series, int64_t t, const double *values, enum time_verdict *ret_verdict) {
    *ret_verdict = time_policy_judge(&series->time, series->spec, t);
    if (*ret_verdict == TIME_LATE || *ret_verdict == TIME_REPEATED)
        return -1;
    switch (reorder_put(series->held, series->spec->same_time, t, values)) {
    case REORDER_LAST: break;
    case REORDER_SORTED: *ret_verdict = *ret_verdict == TIME_REPLACES ? TIME_REPLACES : TIME_SORTED; break;
    case REORDER_REPLACES: *ret_verdict = TIME_REPLACES; break;
    case REORDER_REPEATED: *ret_verdict = TIME_REPEATED; return -1;
    }
    return 0;
}

int series_take(struct series *series, int64_t t, const double *values, enum time_verdict *ret_verdict) {
    assert(!series_due(series));
    return series->held != NULL ? hold(series, t, values, ret_verdict)
                                : take_in_order(series, t, values, 0, ret_verdict);
}

bool series_is_open(const struct series *series, int64_t *ret_end) {
    const struct time_policy *time = &series->time;
    const struct reorder *held = series->held;
    bool holds = held != NULL && held->n > 0;
    if (series->spec->every == 0 || !(holds || (time->started && !time->closed)))
        return false;
    int64_t start = holds ? time_interval_start(held->newest, series->spec->every) : time->open;
    *ret_end = start > INT64_MAX - series->spec->every ? INT64_MAX : start + series->spec->every;
    return true;
}

void series_close(struct series *series, int64_t t) {
    assert(!series_due(series));
    if (series->spec->every == 0)
        return;
    series->close_to = time_interval_start(t, series->spec->every);
    series->closing = true;
}

/* The open interval, behind all that is held. Returns whether it closed. */
static bool close_by_clock(struct series *series) {
    struct time_closed closed;
    bool closes = time_policy_close(&series->time, series->spec, series->close_to, &closed);
    if (closes) {
        close_open(series, &closed);
        clear(series);
    }
    series->closing = false;
    return closes;
}

/* Whether the first tick that is held goes on. */
static bool goes_on(const struct series *series) {
    const struct reorder *held = series->held;
    return held != NULL && held->n > 0 &&
           (reorder_due(held, series->spec->reorder) || (series->closing && held->t[held->first] < series->close_to));
}

static void append_filled(struct series *series) {
    /* Unsigned: of an image that is damaged the numbers may be any. */
    int64_t t = (int64_t)((uint64_t)series->time.open - (uint64_t)series->fill_left * (uint64_t)series->spec->every);
    series->fill_left--;
    history_append(series->history, t, series->unseen, STEP_FILLED);
    series->of_ticks = 0;
}

bool series_next(struct series *series) {
    while (series_due(series)) {
        if (series->fill_left > 0) {
            append_filled(series);
            return true;
        }
        if (!goes_on(series)) {
            if (close_by_clock(series))
                return true;
            continue;
        }
        int64_t t;
        uint8_t flags;
        enum time_verdict verdict;
        const double *values = reorder_pop(series->held, &t, &flags);
        /* It was judged when it was put in, and none goes on before it that is later: it is taken, unless it comes from an
         * image, and its class judges otherwise since. */
        if (take_in_order(series, t, values, flags, &verdict) > 0)
            return true;
    }
    return false;
}

/* ---- images ----------------------------------------------------------------------------------- */

/* What the open interval has come to; where its class aggregates otherwise since, it goes on from that. */
static void serialize_open(struct series *series, struct image_io *io) {
    size_t n = (size_t)series->history->n_features;
    bool counts = series->counts != NULL, newest = series->newest != NULL;
    image_io(io, series->open, n);
    image_io(io, &series->ticks, 1);
    image_io(io, &series->of_ticks, 1);
    image_io(io, &series->flags, 1);
    if (image_reads(io) && !image_check(io, (series->flags & ~open_flags) == 0, "flags that no interval has"))
        series->flags = 0;
    image_io(io, &series->fill_left, 1);
    if (series->unseen == NULL) /* the class does not fill gaps any more */
        series->fill_left = 0;
    image_bool(io, &series->closing);
    image_io(io, &series->close_to, 1);
    image_bool(io, &counts);
    for (size_t f = 0; f < n; f++) {
        uint32_t count = series->counts != NULL ? series->counts[f] : 0;
        if (counts)
            image_io(io, &count, 1);
        else
            count = isnan(series->open[f]) ? 0U : 1U;
        if (series->counts != NULL)
            series->counts[f] = count;
    }
    image_bool(io, &newest);
    for (size_t f = 0; f < n && newest; f++) {
        double value = series->newest != NULL ? series->newest[f] : NAN;
        image_io(io, &value, 1);
        if (series->newest != NULL)
            series->newest[f] = value;
        else if (!isnan(value))
            series->open[f] = value;
    }
}

/* Where fewer may be held than were, all the same: they go on with the next tick. */
static void serialize_held(struct series *series, struct image_io *io) {
    enum { HELD_MOST = 1 << 20 };
    int n = series->held != NULL ? series->held->n : 0;
    size_t tick = sizeof(int64_t) + 1 + (size_t)series->history->n_features * sizeof(double);
    image_int(io, &n, 0, HELD_MOST, "more held ticks than can be");
    if (image_reads(io) && !image_check(io, (size_t)n <= image_left(io) / tick, "it ends too early"))
        n = 0;
    if (n > 0 && (series->held == NULL || n > series->held->most)) {
        struct reorder *held = reorder_new(series->history->n_features, n);
        if (held == NULL) {
            image_refuse(io, "out of memory");
            return;
        }
        reorder_free(series->held);
        series->held = held;
    }
    if (n == 0)
        return;
    series->held->n = n;
    reorder_serialize(series->held, io);
}

/* Without intervals none is open: where the class has some since, the first one begins behind that of the latest tick. */
static void settle_open(struct series *series) {
    struct time_policy *time = &series->time;
    if (series->spec->every == 0 || !time->started || time->closed || series->ticks > 0)
        return;
    time->open = time_interval_start(time->latest, series->spec->every);
    time->closed = true;
}

void series_serialize(struct series *series, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "seri", FORMAT, &section);
    history_serialize(series->history, &section);
    time_policy_serialize(&series->time, &section);
    serialize_open(series, &section);
    serialize_held(series, &section);
    image_leave(io, &section);
    if (image_reads(io))
        settle_open(series);
}
