#include "clients/forecast/table.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

size_t text_fit(const char *text, int width, int *ret_width) {
    mbstate_t state = {0};
    size_t used = 0, left = strlen(text);
    int columns = 0;

    while (left) {
        wchar_t c;
        size_t n = mbrtowc(&c, text + used, left, &state);
        int w = 1;

        if (n == 0 || n > left) {
            n = 1; /* not of this encoding: a byte, a column */
            state = (mbstate_t){0};
        } else if ((w = wcwidth(c)) < 0) {
            w = 1;
        }
        if (columns + w > width)
            break;
        columns += w;
        used += n;
        left -= n;
    }
    *ret_width = columns;
    return used;
}

int text_width(const char *text) {
    int width;

    text_fit(text, 1 << 30, &width);
    return width;
}

void text_tame(char *text) {
    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++) {
        /* In UTF-8 the C1 controls are C2 80 to C2 9F. */
        bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f;
        if (*at < ' ' || *at == 0x7f || c1)
            *at = '?';
        if (c1)
            *++at = '?';
    }
}

void text_print(FILE *out, const char *text, int width, bool right) {
    int taken;
    size_t n = text_fit(text, width, &taken);
    bool cut = text[n] != '\0' && width > 0;

    if (cut)
        n = text_fit(text, width - 1, &taken);
    int pad = width - taken - (cut ? 1 : 0);
    fprintf(out, "%*s%.*s%s%*s", right ? pad : 0, "", (int)n, text, cut ? "~" : "", right ? 0 : pad, "");
}

void table_cell(struct table *table, const char *text) {
    if (table->n == table->size) {
        table->size = table->size ? 2 * table->size : 64;
        table->cells = realloc(table->cells, table->size * sizeof *table->cells);
    }
    char *copy = table->cells ? strdup(text) : NULL;
    if (!copy) {
        fputs("forecast: there is no memory for a table\n", stderr);
        exit(1);
    }
    text_tame(copy);
    table->cells[table->n++] = copy;
}

void table_print(const struct table *table, FILE *out) {
    int widths[TABLE_MAX_COLUMNS] = {0}, n = table->n_columns;

    for (size_t i = 0; i < table->n; i++) {
        int width = text_width(table->cells[i]);

        if (width > widths[i % (size_t)n])
            widths[i % (size_t)n] = width;
    }
    for (size_t i = 0; i < table->n; i++) {
        int column = (int)(i % (size_t)n);
        bool last = column == n - 1;

        /* No blanks at the ends of lines. */
        if (last && !table->right[column])
            fputs(table->cells[i], out);
        else
            text_print(out, table->cells[i], widths[column], table->right[column]);
        fputs(last ? "\n" : "  ", out);
    }
}

void table_fini(struct table *table) {
    for (size_t i = 0; i < table->n; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){0};
}
