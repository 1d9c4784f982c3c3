#include "clients/forecast/backtest_data.h"

#include <stdlib.h>
#include <string.h>

static int copy_names(struct backtest_data *data, char *const *names, int n, struct error *err) {
    data->features = calloc((size_t)n, sizeof *data->features);
    for (int i = 0; data->features != NULL && i < n; i++) {
        data->features[i] = strdup(names[i]);
        if (data->features[i] == NULL)
            break;
        data->n_features = i + 1;
    }
    return data->n_features == n ? 0 : error_set(err, "out of memory");
}

static void tell_left_out(const struct rows *rows, FILE *notices) {
    const char *separator = " is left out, as it holds no numbers: ";
    bool told = false;
    for (int c = 0; c < rows->n_header; c++) {
        bool used = c == rows->time_column || c == rows->stream_column || rows->header[c][0] == '\0';
        for (int i = 0; i < rows->n_values && !used; i++)
            used = rows->columns[i] == c;
        if (used)
            continue;
        fprintf(notices, "%s%s%s", told ? "" : rows->csv.name, told ? ", " : separator, rows->header[c]);
        told = true;
    }
    if (told)
        fputc('\n', notices);
}

/* Whether the columns that were chosen are the features, in their order. */
static int check_names(const struct rows *rows, const char *const *features, int n_features, struct error *err) {
    bool same = rows->n_values == n_features;
    for (int i = 0; same && i < n_features; i++)
        same = strcmp(rows->names[i], features[i]) == 0;
    if (same)
        return 0;
    char wants[256] = "", has[128] = "";
    size_t used = 0;
    for (int i = 0; i < n_features && used < sizeof wants; i++)
        used += (size_t)snprintf(wants + used, sizeof wants - used, "%s%s", i ? ", " : "", features[i]);
    used = 0;
    for (int i = 0; i < rows->n_values && used < sizeof has; i++)
        used += (size_t)snprintf(has + used, sizeof has - used, "%s%s", i ? ", " : "", rows->names[i]);
    return error_set(err, "%s: the features are %s, and the file has %s; --columns FEATURE=COLUMN names what is what",
                     rows->csv.name, wants, has);
}

static int load_rows(struct backtest_data *data, struct rows *rows, const struct backtest_columns *columns,
                     const char *const *features, int n_features, FILE *notices, struct error *err) {
    if (data->features != NULL) {
        features = (const char *const *)data->features;
        n_features = data->n_features;
    }
    if (rows_choose(rows, columns->spec, features, n_features) != 0)
        return error_set(err, "%s", rows->error);
    if (rows->n_values > CONFIG_MAX_FEATURES)
        return error_set(err, "%s: %d columns are more than %d features; --columns chooses", rows->csv.name,
                         rows->n_values, CONFIG_MAX_FEATURES);
    if (features != NULL && check_names(rows, features, n_features, err) != 0)
        return -1;
    if (data->features == NULL && copy_names(data, rows->names, rows->n_values, err) != 0)
        return -1;
    if (notices != NULL && columns->spec == NULL && features == NULL)
        tell_left_out(rows, notices);
    struct row_store store;
    struct backtest_stream *stream = &data->streams[data->n_streams];
    int failed = row_store_load(&store, rows);
    if (failed) {
        row_store_fini(&store);
        return error_set(err, "%s", rows->error);
    }
    *stream =
        (struct backtest_stream){.name = strdup(rows->stream), .t = store.t, .values = store.values, .n = store.n};
    data->n_streams++; /* the rows are its own from here on */
    return stream->name != NULL ? 0 : error_set(err, "out of memory");
}

int backtest_data_load(struct backtest_data *data, char *const *paths, int n_paths,
                       const struct backtest_columns *columns, const char *const *features, int n_features,
                       FILE *notices, struct error *err) {
    *data = (struct backtest_data){.streams = calloc((size_t)n_paths, sizeof *data->streams)};
    if (data->streams == NULL)
        return error_set(err, "out of memory");
    for (int i = 0; i < n_paths; i++) {
        struct rows rows;
        struct rows_options options = columns->rows;
        options.path = paths[i];
        int failed = rows_open(&rows, &options) != 0
                         ? error_set(err, "%s", rows.error)
                         : load_rows(data, &rows, columns, features, n_features, notices, err);
        rows_close(&rows);
        if (failed)
            return -1;
        data->streams[i].path = paths[i];
        /* Which windows are trained on goes by the name: two streams of one name would share theirs. */
        for (int j = 0; j < i; j++)
            if (strcmp(data->streams[i].name, data->streams[j].name) == 0)
                return error_set(err, "%s and %s are both the stream \"%s\"", paths[j], paths[i],
                                 data->streams[i].name);
    }
    return 0;
}

void backtest_data_fini(struct backtest_data *data) {
    for (int i = 0; i < data->n_streams; i++) {
        free(data->streams[i].name);
        free(data->streams[i].t);
        free(data->streams[i].values);
    }
    for (int i = 0; i < data->n_features; i++)
        free(data->features[i]);
    free(data->streams);
    free(data->features);
    *data = (struct backtest_data){0};
}

uint64_t backtest_stream_steps(const struct backtest_stream *stream, const struct time_policy_spec *spec) {
    struct time_policy policy = {0};
    uint64_t steps = 0;
    for (size_t i = 0; i < stream->n; i++) {
        int64_t t;
        bool gap;
        enum time_verdict verdict = time_policy_take(&policy, spec, stream->t[i], &t, &gap);
        steps += verdict == TIME_STEP || verdict == TIME_CLOSES;
    }
    return steps;
}

static int by_size(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int64_t backtest_stream_interval(const struct backtest_stream *stream) {
    int64_t *between = malloc((stream->n + 1) * sizeof *between);
    size_t n = 0;
    if (between == NULL)
        return 0;
    for (size_t i = 1; i < stream->n; i++)
        if (stream->t[i] > stream->t[i - 1] && !__builtin_sub_overflow(stream->t[i], stream->t[i - 1], &between[n]))
            n++;
    int64_t median = 0;
    if (n > 0) {
        qsort(between, n, sizeof *between, by_size);
        median = between[n / 2];
    }
    free(between);
    return median;
}
