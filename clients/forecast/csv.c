#include "clients/forecast/csv.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void csv_init(struct csv *csv, FILE *file, const char *name, char delimiter) {
    *csv = (struct csv){.file = file, .name = name, .delimiter = delimiter, .line = 1, .column = 1};
}

void csv_fini(struct csv *csv) {
    free(csv->buffer);
    free(csv->fields);
    *csv = (struct csv){0};
}

static int fail_at(struct csv *csv, int line, int column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int fail_at(struct csv *csv, int line, int column, const char *format, ...) {
    int n = snprintf(csv->error, sizeof csv->error, "%.200s:%d:%d: ", csv->name, line, column);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(csv->error + n, sizeof csv->error - (size_t)n, format, arguments);
    va_end(arguments);
    return -1;
}

static int next_byte(struct csv *csv) {
    int c = getc(csv->file);

    if (c == EOF)
        return EOF;
    csv->bytes++;
    if (c == '\n') {
        csv->line++;
        csv->column = 1;
    } else {
        csv->column++;
    }
    return c;
}

static void put_back(struct csv *csv, int c) {
    /* Only for what is neither the end nor a newline. */
    ungetc(c, csv->file);
    csv->bytes--;
    csv->column--;
}

static bool put(struct csv *csv, int c) {
    if (csv->used == csv->size) {
        size_t size = csv->size ? 2 * csv->size : 256;
        char *grown = size <= CSV_MAX_ROW ? realloc(csv->buffer, size) : NULL;

        if (!grown)
            return false;
        csv->buffer = grown;
        csv->size = size;
    }
    csv->buffer[csv->used++] = (char)c;
    return true;
}

/* Opens a field; its text is found when the row is whole, as the buffer moves until then. */
static struct csv_field *open_field(struct csv *csv) {
    if (csv->n_fields == csv->n_size) {
        int size = csv->n_size ? 2 * csv->n_size : 16;
        struct csv_field *grown = size <= CSV_MAX_FIELDS ? realloc(csv->fields, (size_t)size * sizeof *grown) : NULL;

        if (!grown)
            return NULL;
        csv->fields = grown;
        csv->n_size = size;
    }
    struct csv_field *field = &csv->fields[csv->n_fields++];
    *field = (struct csv_field){.line = csv->line, .column = csv->column};
    return field;
}

/* The rest of a quoted field, behind its opening quote. Returns the byte behind the closing one. */
static int read_quoted(struct csv *csv, const struct csv_field *field) {
    int c;

    while ((c = next_byte(csv)) != EOF) {
        if (c == '"') {
            c = next_byte(csv);
            if (c != '"')
                return c;
        }
        if (!put(csv, c))
            break;
    }
    if (c == EOF && csv->whole)
        return c; /* the row is not whole */
    fail_at(csv, field->line, field->column, "this quote is not closed%s", c == EOF ? "" : " within 16 MiB");
    return -2;
}

/* Reads one field with the byte that ends it. Returns that byte (delimiter, '\n' or EOF), or -2. */
static int read_field(struct csv *csv) {
    struct csv_field *field = open_field(csv);
    int c = next_byte(csv);

    if (!field)
        return fail_at(csv, csv->line, csv->column, "a row has more than %d fields", CSV_MAX_FIELDS), -2;
    if (c == '"') {
        field->quoted = true;
        c = read_quoted(csv, field);
        if (c == -2)
            return -2;
    }
    for (;; c = next_byte(csv)) {
        if (c == '\r') {
            c = next_byte(csv);
            if (c != '\n' && c != EOF) {
                put_back(csv, c);
                c = '\r';
            }
        }
        if (c == EOF || c == '\n' || c == csv->delimiter)
            break;
        if (c == '\0')
            return fail_at(csv, csv->line, csv->column - 1, "there is a NUL byte; is this text?"), -2;
        if (field->quoted && c != ' ' && c != '\t')
            return fail_at(csv, csv->line, csv->column - 1, "there is text behind a closing quote"), -2;
        if (!field->quoted && !put(csv, c))
            return fail_at(csv, field->line, field->column, "the row is longer than 16 MiB"), -2;
    }
    field->n = csv->used; /* where it ends is known once it has been read */
    return put(csv, '\0') ? c : (fail_at(csv, field->line, field->column, "the row is longer than 16 MiB"), -2);
}

static void skip_byte_order_mark(struct csv *csv) {
    static const unsigned char mark[] = {0xef, 0xbb, 0xbf};
    int c = getc(csv->file);

    if (c != mark[0]) {
        if (c != EOF)
            ungetc(c, csv->file);
        return;
    }
    /* Nothing but a mark begins with this byte where names and numbers do; what follows is passed over with it. */
    for (int i = 1; i < 3 && (c = getc(csv->file)) == mark[i]; i++)
        ;
    csv->bytes = 3;
}

static int read_row(struct csv *csv) {
    int end;
    size_t begin = 0;

    csv->used = 0;
    csv->n_fields = 0;
    do {
        end = read_field(csv);
        if (end == -2)
            return -1;
    } while (end == csv->delimiter);
    if (ferror(csv->file))
        return fail_at(csv, csv->line, csv->column, "reading fails");
    for (int i = 0; i < csv->n_fields; i++) {
        struct csv_field *field = &csv->fields[i];
        size_t stop = field->n;

        field->text = csv->buffer + begin;
        field->n = stop - begin;
        begin = stop + 1;
    }
    bool got = end != EOF || csv->n_fields > 1 || csv->fields[0].n || csv->fields[0].quoted;
    if (got && end == EOF && csv->whole) {
        csv->torn = csv->fields[0].line;
        return 0;
    }
    return got;
}

int csv_next(struct csv *csv) {
    int got;

    if (csv->bytes == 0)
        skip_byte_order_mark(csv);
    do
        got = read_row(csv);
    while (got == 1 && csv->n_fields == 1 && csv->fields[0].n == 0 && !csv->fields[0].quoted);
    return got;
}

/* The text without blanks around it. */
static const char *trim(const struct csv_field *field, size_t *ret_n) {
    const char *at = field->text;
    size_t n = field->n;

    while (n && (*at == ' ' || *at == '\t')) {
        at++;
        n--;
    }
    while (n && (at[n - 1] == ' ' || at[n - 1] == '\t'))
        n--;
    *ret_n = n;
    return at;
}

/* Whether a field, quoted or not, says that there is no value. */
static bool is_missing(const struct csv_field *field) {
    static const char *const words[] = {"", "NA", "NaN", "N/A", "null", "none", "-"};
    size_t n;
    const char *at = trim(field, &n);

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == n && strncasecmp(at, words[i], n) == 0)
            return true;
    return false;
}

bool csv_number(const struct csv_field *field, double *ret_value) {
    size_t n;
    const char *at = trim(field, &n);
    char *end;

    if (is_missing(field)) {
        *ret_value = NAN;
        return true;
    }
    /* strtod knows more than decimal numbers. */
    if (strspn(at, "+-0123456789.eE") < n)
        return false;
    double value = strtod(at, &end);
    if (end != at + n || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}
