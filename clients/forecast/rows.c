#include "clients/forecast/rows.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int fail(struct rows *rows, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct rows *rows, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(rows->error, sizeof rows->error, format, arguments);
    va_end(arguments);
    return -1;
}

static int fail_memory(struct rows *rows) {
    return fail(rows, "there is no memory for the rows");
}

/* "plant.csv" of "/data/plant.csv" is the stream "plant". */
static char *name_of_file(const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strcspn(base, ".");

    return strcmp(path, "-") == 0 ? strdup("csv") : strndup(base, n ? n : strlen(base));
}

static int find_column(const struct rows *rows, const char *name, size_t n) {
    for (int i = 0; i < rows->n_header; i++)
        if (strlen(rows->header[i]) == n && memcmp(rows->header[i], name, n) == 0)
            return i;
    return -1;
}

static int no_column(struct rows *rows, const char *name, size_t n) {
    char list[512] = "";
    size_t used = 0;

    for (int i = 0; i < rows->n_header && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", rows->header[i]);
    return fail(rows, "%s has no column \"%.*s\"; it has: %s", rows->csv.name, (int)n, name, list);
}

static int read_header(struct rows *rows) {
    struct csv *csv = &rows->csv;
    int got = csv_next(csv), n_numbers = 0;
    double number;

    if (got < 0)
        return fail(rows, "%s", csv->error);
    if (got == 0 && csv->torn)
        return fail(rows, "%s:%d: the row with the names of the columns has no newline at its end", csv->name,
                    csv->torn);
    if (got == 0)
        return fail(rows, "%s is empty; a row with the names of the columns comes first", csv->name);
    rows->header = calloc((size_t)csv->n_fields, sizeof *rows->header);
    if (!rows->header)
        return fail_memory(rows);
    for (rows->n_header = 0; rows->n_header < csv->n_fields; rows->n_header++) {
        const struct csv_field *field = &csv->fields[rows->n_header];
        const char *text = field->text + strspn(field->text, " \t");
        size_t n = strlen(text);

        while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
            n--;
        n_numbers += n && csv_number(field, &number);
        rows->header[rows->n_header] = strndup(text, n);
        if (!rows->header[rows->n_header])
            return fail_memory(rows);
    }
    if (n_numbers && n_numbers >= rows->n_header - 1)
        return fail(rows, "%s:1: this looks like data; a row with the names of the columns comes first", csv->name);
    return 0;
}

/* Whether the cell of the first row holds a time, in the format that *format has, or else in one that is
 * found and put there. Dates are looked for before numbers that may be one. */
static bool holds_time(const struct rows *rows, int column, bool numbers, struct time_format *format) {
    struct time_format found = *format;
    int64_t t;

    if (column >= rows->csv.n_fields)
        return false;
    const char *text = rows->csv.fields[column].text;
    if (found.kind != TIME_NONE)
        return time_text_parse(&found, text, &t);
    if (!time_format_detect(text, &found) || (found.kind != TIME_ISO && found.kind != TIME_US && !numbers))
        return false;
    *format = found;
    return true;
}

static int find_time(struct rows *rows, const struct rows_options *options) {
    struct time_format format = {0};

    if (options->time_format && !time_format_parse(options->time_format, &format))
        return fail(rows, "\"%s\" is no time format: epoch, epoch-ms, epoch-us, ns, iso, us or a pattern with %%",
                    options->time_format);
    rows->time_column = -1;
    if (options->time_column) {
        rows->time_column = find_column(rows, options->time_column, strlen(options->time_column));
        if (rows->time_column < 0)
            return no_column(rows, options->time_column, strlen(options->time_column));
        if (format.kind == TIME_NONE && !holds_time(rows, rows->time_column, true, &format))
            return fail(rows,
                        "%s:%d: what stands in the time column \"%s\" is no date or epoch that is known; "
                        "--time-format says what it is",
                        rows->csv.name, rows->csv.fields[0].line, options->time_column);
    }
    for (int numbers = 0; numbers < 2 && rows->time_column < 0; numbers++)
        for (int i = 0; i < rows->n_header && rows->time_column < 0; i++)
            if (i != rows->stream_column && i != rows->label_column && holds_time(rows, i, numbers, &format))
                rows->time_column = i;
    if (rows->time_column < 0)
        return fail(rows, "%s:%d: no column of this row holds a time; --time-column and --time-format say which does",
                    rows->csv.name, rows->csv.fields[0].line);
    rows->time_format = format;
    return 0;
}

int rows_open(struct rows *rows, const struct rows_options *options) {
    bool standard = strcmp(options->path, "-") == 0;
    struct stat status;

    *rows = (struct rows){.time_column = -1, .stream_column = -1, .label_column = -1};
    rows->file = standard ? stdin : fopen(options->path, "r");
    if (!rows->file)
        return fail(rows, "%s: %s", options->path, strerror(errno));
    if (fstat(fileno(rows->file), &status) == 0 && S_ISREG(status.st_mode))
        rows->size = status.st_size;
    csv_init(&rows->csv, rows->file, standard ? "standard input" : options->path, options->delimiter);
    rows->csv.whole = options->whole;
    if (read_header(rows))
        return -1;

    int got = csv_next(&rows->csv);
    if (got < 0)
        return fail(rows, "%s", rows->csv.error);
    if (got == 0 && rows->csv.torn)
        return fail(rows, "%s:%d: the first row behind the header has no newline at its end", rows->csv.name,
                    rows->csv.torn);
    if (got == 0)
        return fail(rows, "%s has no row behind its header", rows->csv.name);
    rows->pending = true;
    if (options->stream_column) {
        rows->stream_column = find_column(rows, options->stream_column, strlen(options->stream_column));
        if (rows->stream_column < 0)
            return no_column(rows, options->stream_column, strlen(options->stream_column));
    } else {
        rows->stream = options->stream ? strdup(options->stream) : name_of_file(options->path);
        if (!rows->stream)
            return fail_memory(rows);
    }
    if (options->label_column) {
        rows->label_column = find_column(rows, options->label_column, strlen(options->label_column));
        if (rows->label_column < 0)
            return no_column(rows, options->label_column, strlen(options->label_column));
    }
    return find_time(rows, options);
}

void rows_close(struct rows *rows) {
    for (int i = 0; i < rows->n_header; i++)
        free(rows->header[i]);
    for (int i = 0; i < rows->n_values; i++)
        free(rows->names[i]);
    if (rows->stream_column < 0)
        free(rows->stream);
    free(rows->header);
    free(rows->columns);
    free(rows->names);
    free(rows->values);
    csv_fini(&rows->csv);
    if (rows->file && rows->file != stdin)
        fclose(rows->file);
    rows->file = NULL;
}

const char *rows_first_stream(const struct rows *rows) {
    if (rows->stream_column < 0)
        return rows->stream;
    return rows->stream_column < rows->csv.n_fields ? rows->csv.fields[rows->stream_column].text : "";
}

/* ---- columns ------------------------------------------------------------------------------ */

static int choose(struct rows *rows, int column, const char *name, size_t n) {
    rows->columns[rows->n_values] = column;
    rows->names[rows->n_values] = strndup(name, n);
    if (!rows->names[rows->n_values])
        return fail_memory(rows);
    rows->n_values++;
    return 0;
}

static int choose_by_spec(struct rows *rows, const char *spec) {
    for (const char *at = spec;; at++) {
        size_t n = strcspn(at, ","), n_feature = 0;
        const char *equals = memchr(at, '=', n), *column = at;

        /* A column whose own name has an '=' is taken by it. */
        if (equals && find_column(rows, at, n) < 0) {
            n_feature = (size_t)(equals - at);
            column = equals + 1;
        }
        size_t n_column = n - (size_t)(column - at);
        int found = find_column(rows, column, n_column);
        if (found < 0)
            return no_column(rows, column, n_column);
        if (choose(rows, found, n_feature ? at : column, n_feature ? n_feature : n_column))
            return -1;
        at += n;
        if (*at == '\0')
            return 0;
    }
}

static bool has_all(const struct rows *rows, const char *const *features, int n_features) {
    for (int i = 0; i < n_features; i++)
        if (find_column(rows, features[i], strlen(features[i])) < 0)
            return false;
    return n_features > 0;
}

int rows_choose(struct rows *rows, const char *spec, const char *const *features, int n_features) {
    size_t most = (size_t)rows->n_header + (size_t)n_features + 1;
    double number;

    for (const char *at = spec; at && *at; at++)
        most += *at == ',';
    rows->columns = calloc(most, sizeof *rows->columns);
    rows->names = calloc(most, sizeof *rows->names);
    rows->values = calloc(most, sizeof *rows->values);
    if (!rows->columns || !rows->names || !rows->values)
        return fail_memory(rows);
    if (spec)
        return choose_by_spec(rows, spec);
    if (has_all(rows, features, n_features)) {
        for (int i = 0; i < n_features; i++)
            if (choose(rows, find_column(rows, features[i], strlen(features[i])), features[i], strlen(features[i])))
                return -1;
        return 0;
    }
    for (int i = 0; i < rows->n_header; i++) {
        if (i == rows->time_column || i == rows->stream_column || i == rows->label_column ||
            rows->header[i][0] == '\0')
            continue;
        if (i < rows->csv.n_fields && !csv_number(&rows->csv.fields[i], &number))
            continue;
        if (choose(rows, i, rows->header[i], strlen(rows->header[i])))
            return -1;
    }
    if (rows->n_values == 0)
        return fail(rows, "%s:%d: no column of this row but the time has a number", rows->csv.name,
                    rows->csv.fields[0].line);
    return 0;
}

/* ---- rows --------------------------------------------------------------------------------- */

static int wrong_cell(struct rows *rows, int column, const char *what) {
    const struct csv_field *field = &rows->csv.fields[column];

    return fail(rows, "%s:%d:%d: column \"%s\": \"%.60s\" is no %s", rows->csv.name, field->line, field->column,
                rows->header[column], field->text, what);
}

/* A cell of the current row as a number; what a short row does not have at its end is missing. */
static bool number_of(const struct rows *rows, int column, double *ret_number) {
    static const struct csv_field nothing = {.text = ""};

    return csv_number(column < rows->csv.n_fields ? &rows->csv.fields[column] : &nothing, ret_number);
}

/* Returns 0, or -1 where the cell holds no label. */
static int read_label(struct rows *rows) {
    double number = NAN;

    if (rows->label_column >= 0 && (!number_of(rows, rows->label_column, &number) || number < 0 ||
                                    number > INT32_MAX || (!isnan(number) && number != floor(number))))
        return wrong_cell(rows, rows->label_column, "label: the number of a class, from 0");
    rows->label = isnan(number) ? ROWS_NO_LABEL : (int64_t)number;
    return 0;
}

int rows_next(struct rows *rows) {
    const struct csv *csv = &rows->csv;
    int got = rows->pending ? 1 : csv_next(&rows->csv);

    rows->pending = false;
    if (got < 0)
        return fail(rows, "%s", csv->error);
    if (got == 0)
        return 0;
    for (int i = rows->n_header; i < csv->n_fields; i++)
        if (csv->fields[i].n)
            return fail(rows, "%s:%d: this row has %d fields, and the header %d names", csv->name,
                        csv->fields[0].line, csv->n_fields, rows->n_header);
    if (rows->time_column >= csv->n_fields || rows->stream_column >= csv->n_fields)
        return fail(rows, "%s:%d: this row ends before column \"%s\"", csv->name, csv->fields[0].line,
                    rows->header[rows->time_column >= csv->n_fields ? rows->time_column : rows->stream_column]);
    if (!time_text_parse(&rows->time_format, csv->fields[rows->time_column].text, &rows->t)) {
        char what[80];

        snprintf(what, sizeof what, "time in the form of %s", time_format_name(&rows->time_format));
        return wrong_cell(rows, rows->time_column, what);
    }
    if (rows->stream_column >= 0)
        rows->stream = (char *)csv->fields[rows->stream_column].text;
    for (int i = 0; i < rows->n_values; i++)
        if (!number_of(rows, rows->columns[i], &rows->values[i]))
            return wrong_cell(rows, rows->columns[i], "number");
    return read_label(rows) == 0 ? 1 : -1;
}

/* Makes room for one more row. */
static bool grow(struct row_store *store, bool with_streams) {
    size_t size = store->size ? 2 * store->size : 1024;

    if (store->n < store->size)
        return true;
    int64_t *t = realloc(store->t, size * sizeof *t);
    if (t)
        store->t = t;
    double *values = realloc(store->values, size * (size_t)store->n_values * sizeof *values);
    if (values)
        store->values = values;
    char **streams = with_streams ? realloc(store->streams, size * sizeof *streams) : NULL;
    if (streams)
        store->streams = streams;
    if (!t || !values || (with_streams && !streams))
        return false;
    store->size = size;
    return true;
}

int row_store_load(struct row_store *store, struct rows *rows) {
    int got;

    *store = (struct row_store){.n_values = rows->n_values};
    while ((got = rows_next(rows)) == 1) {
        size_t n = (size_t)store->n_values;

        if (!grow(store, rows->stream_column >= 0))
            return fail_memory(rows);
        if (store->streams && !(store->streams[store->n] = strdup(rows->stream)))
            return fail_memory(rows);
        store->t[store->n] = rows->t;
        memcpy(store->values + store->n * n, rows->values, n * sizeof *rows->values);
        store->n++;
    }
    return got;
}

void row_store_fini(struct row_store *store) {
    for (size_t i = 0; store->streams && i < store->n; i++)
        free(store->streams[i]);
    free(store->streams);
    free(store->t);
    free(store->values);
    *store = (struct row_store){0};
}
