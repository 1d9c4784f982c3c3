/* Aligned columns of text: cells are copied in and printed at once, so that widths are known. */
#ifndef FORECAST_TABLE_H
#define FORECAST_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_MAX_COLUMNS = 32 };

struct table {
    int n_columns;
    bool right[TABLE_MAX_COLUMNS]; /* alignment */
    char **cells;                  /* [n], row-major; the first row is the head */
    size_t n, size;
};

/* Zero-initialise; the first n_columns cells are the head. Memory that is short ends the program: a table
 * is only ever printed. */
void table_cell(struct table *table, const char *text);
void table_print(const struct table *table, FILE *out);
void table_fini(struct table *table);

/* Columns that a text takes on a terminal; bytes where it is not in the locale's encoding. */
int text_width(const char *text);

/* Replaces control characters by "?", in place: names come from whoever sends ticks, and are not to steer a
 * terminal. */
void text_tame(char *text);

/* Prints at most width columns of text and pads to width; text that is cut ends in '~'. */
void text_print(FILE *out, const char *text, int width, bool right);

/* The bytes of the longest beginning of text that takes at most width columns; *ret_width: how many it takes. */
size_t text_fit(const char *text, int width, int *ret_width);

#endif
