#include "engine/series.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct series *series_new(const struct time_policy_spec *spec, int n_features, int kept, int pending) {
    size_t n = (size_t)n_features;
    struct series *series = calloc(1, sizeof *series);
    if (series == NULL)
        return NULL;
    series->spec = spec;
    series->history = history_new(n_features, kept, pending);
    series->open = calloc(n, sizeof *series->open);
    bool means = spec->every > 0 && spec->aggregate == AGGREGATE_MEAN;
    bool replaces = spec->every > 0 && spec->same_time == SAME_TIME_REPLACE;
    series->counts = means ? calloc(n, sizeof *series->counts) : NULL;
    series->newest = replaces ? calloc(n, sizeof *series->newest) : NULL;
    if (series->history == NULL || series->open == NULL || (means && series->counts == NULL) ||
        (replaces && series->newest == NULL)) {
        series_free(series);
        return NULL;
    }
    for (size_t f = 0; f < n; f++) {
        series->open[f] = NAN;
        if (replaces)
            series->newest[f] = NAN;
    }
    return series;
}

void series_free(struct series *series) {
    if (series == NULL)
        return;
    history_free(series->history);
    free(series->open);
    free(series->counts);
    free(series->newest);
    free(series);
}

/* Flags of an interval that is open. */
static const uint8_t open_flags = STEP_REPLACED;

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

/* The next interval begins with a tick. */
static void begin(struct series *series, const double *values) {
    int n = series->history->n_features;
    series->ticks = 1;
    series->flags = 0;
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
    history_append(series->history, closed->t, series->open, gap_flags(series, closed->gap) | series->flags);
    series->of_ticks = series->ticks;
}

/* ---- ticks ------------------------------------------------------------------------------------ */

int series_take(struct series *series, int64_t t, const double *values, enum time_verdict *ret_verdict) {
    struct time_closed closed;
    assert(!series_due(series));
    *ret_verdict = time_policy_take(&series->time, series->spec, t, &closed);
    switch (*ret_verdict) {
    case TIME_LATE:
    case TIME_REPEATED: return -1;
    case TIME_JOINS: join(series, values); return 0;
    case TIME_REPLACES: replace(series, values); return 0;
    case TIME_CLOSES:
        close_open(series, &closed);
        begin(series, values);
        series->fill_left = closed.missing;
        return 1;
    case TIME_STEP: break;
    }
    history_append(series->history, closed.t, values, gap_flags(series, closed.gap));
    series->of_ticks = 1;
    return 1;
}

bool series_next(struct series *series) {
    if (series->fill_left == 0)
        return false;
    /* Unsigned: of an image that is damaged the numbers may be any. */
    int64_t t = (int64_t)((uint64_t)series->time.open - (uint64_t)series->fill_left * (uint64_t)series->spec->every);
    series->fill_left--;
    history_append(series->history, t, NULL, STEP_FILLED);
    series->of_ticks = 0;
    return true;
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
    image_int(io, &series->fill_left, 0, INT32_MAX, "less than no steps");
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

void series_serialize(struct series *series, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "seri", FORMAT, &section);
    history_serialize(series->history, &section);
    time_policy_serialize(&series->time, &section);
    serialize_open(series, &section);
    image_leave(io, &section);
}
