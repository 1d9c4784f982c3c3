/*
 * What forecasts look like: a line of text, a sparkline, and the rows of the live table. Without a
 * terminal, so that it can be tested; any thread, one at a time per table.
 */
#ifndef FORECAST_VIEW_H
#define FORECAST_VIEW_H

#include "clients/libforecast/forecast.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The index of the target of this name (NULL: the first), or -1. */
int view_target(const struct forecast *forecast, const char *name);

/* One line on one target, without a newline. Returns its length. */
size_t view_line(const struct forecast *forecast, int target, char *buffer, size_t size);

/* The last width of n values as blocks between low and high, in UTF-8 or, without, in ASCII; NaN is a blank.
 * Returns how many columns were written; size >= 3 * width + 1. */
int view_sparkline(const double *values, int n, int width, double low, double high, bool utf8, char *buffer,
                   size_t size);

/* n values as means of at most width buckets, NaN where a bucket has none. Returns the number of buckets. */
int view_resample(const double *values, int n, int width, double *ret_values);

/* ---- the table ---------------------------------------------------------------------------- */

enum {
    VIEW_RECENT = 256,     /* values kept of each row */
    VIEW_PATH = 256,       /* steps ahead kept; of longer horizons, means of as many buckets */
    VIEW_MAX_ROWS = 20000, /* more streams are counted, not kept */
};

struct view_row {
    char *stream, *model, *target;
    double recent[VIEW_RECENT]; /* in order, the newest last */
    int n_recent;
    double path[VIEW_PATH];
    int n_path, horizon;
    double ratio; /* running error by that of the last value; NaN: not known */
    uint64_t version, epoch, step;
    uint32_t generation;
    unsigned flags;
    double lower, upper; /* the interval of the highest level at the end of the path; NaN: not known */
    char source[32];     /* who contributes the most */
};

struct view_table {
    const char *target;     /* NULL: each stream's first */
    struct view_row **rows; /* [n] sorted by stream, then model */
    size_t n, size;
    uint64_t forecasts; /* taken */
    uint64_t left_out;  /* forecasts of streams beyond VIEW_MAX_ROWS, or that memory was short for */
};

/* Takes a forecast in: a new row, or the next values of its row. One that was seen before changes nothing. */
void view_table_take(struct view_table *table, const struct forecast *forecast);
void view_table_fini(struct view_table *table);

/* The range of what a row shows: its last width values and its path. False when there is none. */
bool view_row_range(const struct view_row *row, int width, double *ret_low, double *ret_high);

/* One model of a reply to the command models, as a line: version, what serves, training, and why. */
void view_model_line(const char *model, long long version, const char *source, const char *training,
                     const char *reason, char *buffer, size_t size);

#endif
