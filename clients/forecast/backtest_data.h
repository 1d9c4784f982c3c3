/* What a backtest runs over: CSV files in memory, each the ticks of one stream, or of those that a column names. One
 * owner; blocks while files do. */
#ifndef FORECAST_BACKTEST_DATA_H
#define FORECAST_BACKTEST_DATA_H

#include "clients/forecast/rows.h"
#include "engine/config.h"
#include "engine/time_policy.h"

#include <stdio.h>

struct backtest_stream {
    char *name;
    const char *path; /* of its file; not owned */
    int64_t *t;       /* [n] ns, as the rows stand in the file */
    double *values;   /* [n x n_features]; NaN: missing */
    size_t n;
};

struct backtest_data {
    struct backtest_stream *streams; /* [n_streams] */
    int n_streams;
    char **features; /* [n_features] */
    int n_features;
};

/* How the columns are found; the rest of rows_options is given by the files. */
struct backtest_columns {
    struct rows_options rows; /* path is not looked at */
    const char *spec;         /* as rows_choose takes it; NULL: by the features */
};

/* Reads the files. features [n_features]: what the model takes, NULL: the columns of the first file that have
 * numbers; every file has these. Columns of text that are left out are told on notices (NULL: nowhere). Returns 0, or
 * -1 with the sentence in err; backtest_data_fini either way. */
int backtest_data_load(struct backtest_data *data, char *const *paths, int n_paths,
                       const struct backtest_columns *columns, const char *const *features, int n_features,
                       FILE *notices, struct error *err);
void backtest_data_fini(struct backtest_data *data);

/* How many steps the ticks of a stream make under a time policy; 0 also when memory is short. */
uint64_t backtest_stream_steps(const struct backtest_stream *stream, const struct time_policy_spec *spec);

/* The median of the times between two ticks, ns; 0 where no tick is later than the one before. */
int64_t backtest_stream_interval(const struct backtest_stream *stream);

#endif
