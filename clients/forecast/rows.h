/*
 * A file of rows as ticks: which column is the time, which are the values, whose stream it is. One
 * header row with names, then a tick a row.
 */
#ifndef FORECAST_ROWS_H
#define FORECAST_ROWS_H

#include "clients/forecast/csv.h"
#include "clients/forecast/options.h"
#include "clients/forecast/timetext.h"

#include <stdbool.h>
#include <stdint.h>

struct rows_options {
    const char *path; /* "-": standard input */
    char delimiter;
    const char *stream;        /* NULL: from the file's name */
    const char *stream_column; /* NULL: one stream */
    const char *time_column;   /* NULL: the first that holds times */
    const char *time_format;   /* NULL: found from the first row */
    const char *label_column;  /* NULL: none */
    bool whole;                /* the file may grow: as of struct csv */
};

enum { ROWS_NO_LABEL = -1 };

/* What commands with such files have in common, as rows of a table of options. */
#define ROWS_OPTIONS(rows) \
    OPTION_ROW("stream-column", 0, OPTION_TEXT, "COL", "rows of many streams: the column with their names", \
               &(rows).stream_column, 0, 0), \
        OPTION_ROW("time-column", 0, OPTION_TEXT, "COL", \
                   "the column with the time (default: the first that holds dates or epochs)", &(rows).time_column, \
                   0, 0), \
        OPTION_ROW("time-format", 0, OPTION_TEXT, "FORMAT", \
                   "epoch, epoch-ms, epoch-us, ns, iso, us (month/day/year), or a pattern of\nstrptime as %d.%m.%Y " \
                   "(default: found from the first row; UTC without a zone)", \
                   &(rows).time_format, 0, 0), \
        OPTION_ROW("delimiter", 'd', OPTION_CHARACTER, "C", "what divides fields (default: a comma; tab is \\t)", \
                   &(rows).delimiter, 0, 0)

struct rows {
    struct csv csv;
    FILE *file;
    int64_t size;  /* bytes of the file, 0 where that is not known */
    char **header; /* [n_header] */
    int n_header;
    int time_column, stream_column, label_column; /* indices into header; -1: none */
    struct time_format time_format;
    int *columns; /* [n_values] indices into header */
    char **names; /* [n_values] of the features */
    int n_values;
    bool pending; /* the first row was read to learn from, and not given yet */

    /* The current row, valid until the next. */
    char *stream; /* the one stream's name, or the cell */
    int64_t t;
    int64_t label;  /* ROWS_NO_LABEL where there is none */
    double *values; /* [n_values] */
    char error[1024];
};

/* Opens the file, reads header and first row, and finds time and stream. Returns 0, or -1 with the sentence
 * in rows->error; rows_close either way. */
int rows_open(struct rows *rows, const struct rows_options *options);
void rows_close(struct rows *rows);

/* The stream of the first row, before rows_next: to ask the daemon what it wants. */
const char *rows_first_stream(const struct rows *rows);

/* Chooses the columns that are sent: spec is COLUMN or FEATURE=COLUMN, divided by commas. NULL: the columns
 * with the names of the n features, if all are there, else every column but time, stream and label that has
 * a number (or nothing) in the first row. Returns 0 or -1. */
int rows_choose(struct rows *rows, const char *spec, const char *const *features, int n_features);

/* Reads the next row into stream, t, label and values. Returns 1, 0 at the end, or -1. */
int rows_next(struct rows *rows);

/* Rows kept in memory, for those who read them more than once. */
struct row_store {
    int64_t *t;
    double *values; /* [n x n_values] */
    char **streams; /* [n], or NULL where there is one stream */
    size_t n, size;
    int n_values;
};
/* Reads what is left of rows. Returns 0 or -1. */
int row_store_load(struct row_store *store, struct rows *rows);
void row_store_fini(struct row_store *store);

#endif
