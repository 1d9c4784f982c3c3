/*
 * Options of a command as a table: it parses, checks and explains them, so that --help cannot differ
 * from what is understood. Pure but for the variables that the table points at.
 */
#ifndef FORECAST_OPTIONS_H
#define FORECAST_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,      /* bool *: set to true */
    OPTION_TEXT,      /* const char **: points into argv */
    OPTION_CHARACTER, /* char *: one byte; "\t" is a tab */
    OPTION_INTEGER,   /* long * */
    OPTION_NUMBER,    /* double * */
};

struct option_row {
    const char *name; /* without dashes; NULL ends the table */
    char letter;      /* or 0 */
    enum option_kind kind;
    const char *metavar; /* NULL for flags */
    const char *help;    /* one line, or several divided by newlines */
    void *into;
    double min, max; /* of numbers, inclusive */
};

/* A row, for macros that stand for several. */
#define OPTION_ROW(...) \
    { __VA_ARGS__ }

struct option_command {
    const char *name;  /* "forecast feed" */
    const char *usage; /* what follows the name, a line per form */
    const char *summary;
    const struct option_row *rows; /* --help and -h are always known besides */
    const char *notes;             /* after the options; NULL for none */
    const char *examples;
};

enum options_result { OPTIONS_OK, OPTIONS_HELP, OPTIONS_WRONG };

/* Parses argv[1..argc). On OPTIONS_OK *ret_first is the index of the first operand (operands are moved
 * behind the options, "--" ends options). On OPTIONS_WRONG the sentence is in text. */
enum options_result options_parse(const struct option_command *command, int argc, char **argv, int *ret_first,
                                  char *text, size_t size);

void options_print_help(const struct option_command *command, FILE *out);

/* Both, as commands begin: prints help to stdout or the sentence to stderr. Returns -1 to go on, else
 * what to exit with. */
int options_begin(const struct option_command *command, int argc, char **argv, int *ret_first);

/* Says "NAME: sentence" on stderr, and where help is. Returns 2, the exit code of wrong use. */
int options_wrong(const struct option_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
