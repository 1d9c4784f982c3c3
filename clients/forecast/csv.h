/*
 * Rows of delimited text as in RFC 4180, one after another from a stream of any length: quoted fields,
 * doubled quotes, newlines in quotes, LF or CRLF, a byte order mark. Blocks while the file does.
 */
#ifndef FORECAST_CSV_H
#define FORECAST_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct csv_field {
    const char *text; /* NUL-terminated; a NUL in the file is an error */
    size_t n;
    int line, column; /* where it begins, from 1; columns in bytes */
    bool quoted;
};

struct csv {
    FILE *file;       /* not owned */
    const char *name; /* of the file, for sentences; not owned */
    char delimiter;
    bool whole;       /* set behind csv_init: more may be written; a row is one when its newline has come */
    int torn;         /* then at the end: the line of a row of which only the begin is there; 0: none */
    int line, column; /* of the next byte, from 1 */
    size_t bytes;     /* read so far */
    char *buffer;     /* the text of the row, grown and kept */
    size_t used, size;
    struct csv_field *fields; /* [n_fields] of the row, in buffer; valid until the next row */
    int n_fields, n_size;
    char error[512]; /* "data.csv:3:7: ..." after csv_next failed */
};

enum {
    CSV_MAX_ROW = 1 << 24, /* bytes; what is longer has an open quote rather than that much to say */
    CSV_MAX_FIELDS = 1 << 16,
};

void csv_init(struct csv *csv, FILE *file, const char *name, char delimiter);
void csv_fini(struct csv *csv);

/* Reads the next row that is not blank. Returns 1, 0 at the end, or -1 with the sentence in csv->error. */
int csv_next(struct csv *csv);

/* Reads a decimal number; a missing one (empty, NA, NaN, N/A, null, none or -, in any case) is NaN. Returns false for
 * other text, infinities and hexadecimals. */
bool csv_number(const struct csv_field *field, double *ret_value);

#endif
