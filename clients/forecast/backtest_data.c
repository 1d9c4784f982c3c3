#include "clients/forecast/backtest_data.h"

#include "engine/series.h"

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
    const char *separator = ": left out, as it holds no numbers: ";
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

/* A stream of that name without rows. NULL with the sentence in err. */
static struct backtest_stream *add_stream(struct backtest_data *data, const char *name, const char *path,
                                          struct error *err) {
    /* Which windows are trained on goes by the name: two streams of one name would share theirs. */
    for (int i = 0; i < data->n_streams; i++)
        if (strcmp(name, data->streams[i].name) == 0) {
            error_set(err, "%s and %s both have the stream \"%s\"", data->streams[i].path, path, name);
            return NULL;
        }
    error_set(err, "out of memory");
    struct backtest_stream *streams = realloc(data->streams, ((size_t)data->n_streams + 1) * sizeof *streams);
    if (streams == NULL)
        return NULL;
    data->streams = streams;
    char *copy = strdup(name);
    if (copy == NULL)
        return NULL;
    streams[data->n_streams] = (struct backtest_stream){.name = copy, .path = path};
    return &streams[data->n_streams++];
}

/* The rows of a file of one stream; they are taken from the store. */
static int take_store(struct backtest_data *data, struct row_store *store, const char *name, const char *path,
                      struct error *err) {
    struct backtest_stream *stream = add_stream(data, name, path, err);
    if (stream == NULL)
        return -1;
    stream->t = store->t;
    stream->values = store->values;
    stream->n = store->n;
    *store = (struct row_store){0};
    return 0;
}

/* Finds the stream of each row, from the first-th on, and counts their rows. */
static int find_streams(struct backtest_data *data, const struct row_store *store, const char *path, int *ret_of,
                        struct error *err) {
    int first = data->n_streams;
    for (size_t row = 0; row < store->n; row++) {
        int s = row > 0 && strcmp(store->streams[row], store->streams[row - 1]) == 0 ? ret_of[row - 1] : first;
        while (s < data->n_streams && strcmp(data->streams[s].name, store->streams[row]) != 0)
            s++;
        if (s == data->n_streams && add_stream(data, store->streams[row], path, err) == NULL)
            return -1;
        ret_of[row] = s;
        data->streams[s].n++;
    }
    return 0;
}

/* The rows of a file of many streams. */
static int split_store(struct backtest_data *data, const struct row_store *store, const char *path,
                       struct error *err) {
    size_t width = (size_t)store->n_values;
    int first = data->n_streams, *of = malloc((store->n + 1) * sizeof *of);
    int failed = of == NULL ? error_set(err, "out of memory") : find_streams(data, store, path, of, err);
    for (int s = first; failed == 0 && s < data->n_streams; s++) {
        struct backtest_stream *stream = &data->streams[s];
        stream->t = malloc(stream->n * sizeof *stream->t);
        stream->values = malloc(stream->n * width * sizeof *stream->values);
        if (stream->t == NULL || stream->values == NULL)
            failed = error_set(err, "out of memory");
        stream->n = 0;
    }
    for (size_t row = 0; failed == 0 && row < store->n; row++) {
        struct backtest_stream *stream = &data->streams[of[row]];
        stream->t[stream->n] = store->t[row];
        memcpy(stream->values + stream->n * width, store->values + row * width, width * sizeof *stream->values);
        stream->n++;
    }
    free(of);
    return failed;
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
    int failed = row_store_load(&store, rows) != 0 ? error_set(err, "%s", rows->error)
                 : store.streams != NULL           ? split_store(data, &store, rows->csv.name, err)
                                                   : take_store(data, &store, rows->stream, rows->csv.name, err);
    row_store_fini(&store);
    return failed;
}

int backtest_data_load(struct backtest_data *data, char *const *paths, int n_paths,
                       const struct backtest_columns *columns, const char *const *features, int n_features,
                       FILE *notices, struct error *err) {
    *data = (struct backtest_data){0};
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
    static const double value = 0;
    struct series *series = series_new(spec, 1, 1, 1);
    for (size_t i = 0; series != NULL && i < stream->n; i++) {
        enum time_verdict verdict;
        series_take(series, stream->t[i], &value, &verdict);
        while (series_next(series))
            ;
    }
    uint64_t steps = series != NULL ? series->history->n : 0;
    series_free(series);
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
