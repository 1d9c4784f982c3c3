#include "engine/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct series *series_new(const struct time_policy_spec *time, int n_features, int kept, int pending) {
    struct series *series = calloc(1, sizeof *series);
    if (series == NULL)
        return NULL;
    series->time_spec = *time;
    series->history = history_new(n_features, kept, pending);
    series->open = calloc((size_t)n_features, sizeof *series->open);
    if (series->history == NULL || series->open == NULL) {
        series_free(series);
        return NULL;
    }
    for (int f = 0; f < n_features; f++)
        series->open[f] = NAN;
    return series;
}

void series_free(struct series *series) {
    if (series == NULL)
        return;
    history_free(series->history);
    free(series->open);
    free(series);
}

/* The last known values of the open interval. */
static void join(struct series *series, const double *values) {
    for (int f = 0; f < series->history->n_features; f++)
        if (!isnan(values[f]))
            series->open[f] = values[f];
}

int series_take(struct series *series, int64_t t, const double *values, enum time_verdict *ret_verdict) {
    int64_t closed_t = 0;
    bool gap = false;
    *ret_verdict = time_policy_take(&series->time, &series->time_spec, t, &closed_t, &gap);
    uint8_t flags = gap ? STEP_GAP : 0;
    if (gap && series->time_spec.gap == GAP_RESET)
        flags |= STEP_RESET;
    switch (*ret_verdict) {
    case TIME_LATE:
    case TIME_REPEATED: return -1;
    case TIME_JOINS: join(series, values); return 0;
    case TIME_CLOSES:
        history_append(series->history, closed_t, series->open, flags);
        memcpy(series->open, values, (size_t)series->history->n_features * sizeof *values);
        return 1;
    case TIME_STEP: break;
    }
    history_append(series->history, closed_t, values, flags);
    return 1;
}

void series_serialize(struct series *series, struct image_io *io) {
    enum { FORMAT = 1 };
    struct image_io section;
    image_enter(io, "seri", FORMAT, &section);
    history_serialize(series->history, &section);
    time_policy_serialize(&series->time, &section);
    image_io(&section, series->open, (size_t)series->history->n_features);
    image_leave(io, &section);
}
