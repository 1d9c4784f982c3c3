#include "clients/forecast/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 64, HELP = 1000, FIRST = 1001 }; /* values of long options, apart from letters */

static bool in_range(const struct option_row *row, double value) {
    return value >= row->min && value <= row->max;
}

/* Takes one value. Returns false, with the sentence in text, when it is none. */
static bool take(const struct option_row *row, const char *value, char *text, size_t size) {
    char *end;

    errno = 0;
    if (row->kind == OPTION_FLAG) {
        *(bool *)row->into = true;
    } else if (row->kind == OPTION_TEXT) {
        *(const char **)row->into = value;
    } else if (row->kind == OPTION_CHARACTER) {
        bool is_tab = strcmp(value, "\\t") == 0;

        if (!is_tab && strlen(value) != 1) {
            snprintf(text, size, "--%s takes one character, not \"%s\"", row->name, value);
            return false;
        }
        *(char *)row->into = is_tab ? '\t' : *value;
    } else if (row->kind == OPTION_INTEGER) {
        long number = strtol(value, &end, 10);

        if (*value == '\0' || *end || errno || !in_range(row, (double)number)) {
            snprintf(text, size, "--%s takes a whole number from %.0f to %.0f, not \"%s\"", row->name, row->min,
                     row->max, value);
            return false;
        }
        *(long *)row->into = number;
    } else {
        double number = strtod(value, &end);

        if (*value == '\0' || *end || !isfinite(number) || !in_range(row, number)) {
            snprintf(text, size, "--%s takes a number from %g to %g, not \"%s\"", row->name, row->min, row->max,
                     value);
            return false;
        }
        *(double *)row->into = number;
    }
    return true;
}

enum options_result options_parse(const struct option_command *command, int argc, char **argv, int *ret_first,
                                  char *text, size_t size) {
    struct option long_options[MAX_ROWS + 2] = {{"help", no_argument, NULL, HELP}};
    char letters[2 * MAX_ROWS + 4] = ":h";
    int n = 0, got;

    for (const struct option_row *row = command->rows; row->name; row++, n++) {
        assert(n < MAX_ROWS);
        long_options[n + 1] =
            (struct option){row->name, row->kind == OPTION_FLAG ? no_argument : required_argument, NULL, FIRST + n};
        if (row->letter) {
            size_t at = strlen(letters);

            letters[at++] = row->letter;
            if (row->kind != OPTION_FLAG)
                letters[at++] = ':';
            letters[at] = '\0';
        }
    }
    opterr = 0;
    optind = 0; /* starts glibc's getopt anew */
    while ((got = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        const struct option_row *row = NULL;

        if (got == HELP || got == 'h')
            return OPTIONS_HELP;
        if (got == '?' || got == ':') {
            const char *given = argv[optind - 1];

            if (got == ':')
                snprintf(text, size, "%s needs a value", given);
            else if (optopt && optopt < HELP)
                snprintf(text, size, "there is no option -%c", optopt);
            else if (optopt)
                snprintf(text, size, "%.*s takes no value", (int)strcspn(given, "="), given);
            else
                snprintf(text, size, "there is no option %.*s (or more than one begins so)", (int)strcspn(given, "="),
                         given);
            return OPTIONS_WRONG;
        }
        for (int i = 0; i < n; i++)
            if (got == FIRST + i || got == command->rows[i].letter)
                row = &command->rows[i];
        if (!take(row, optarg, text, size))
            return OPTIONS_WRONG;
    }
    *ret_first = optind;
    return OPTIONS_OK;
}

/* Prints text with the lines after the first indented. */
static void print_lines(FILE *out, const char *text, int indent) {
    for (;;) {
        size_t n = strcspn(text, "\n");

        fprintf(out, "%.*s\n", (int)n, text);
        if (text[n] == '\0')
            return;
        text += n + 1;
        fprintf(out, "%*s", indent, "");
    }
}

void options_print_help(const struct option_command *command, FILE *out) {
    enum { COLUMN = 30 };
    char head[64];

    fprintf(out, "%s: ", command->name);
    print_lines(out, command->summary, 0);
    fprintf(out, "\nUsage: %s ", command->name);
    print_lines(out, command->usage, 7);
    fprintf(out, "\nOptions:\n");
    for (const struct option_row *row = command->rows; row->name; row++) {
        char letter[] = {'-', row->letter, ',', ' ', '\0'};

        snprintf(head, sizeof head, "  %s--%s%s%s", row->letter ? letter : "", row->name, row->metavar ? " " : "",
                 row->metavar ? row->metavar : "");
        if (strlen(head) > COLUMN - 2)
            fprintf(out, "%s\n%*s", head, COLUMN, "");
        else
            fprintf(out, "%-*s", COLUMN, head);
        print_lines(out, row->help, COLUMN);
    }
    fprintf(out, "%-*s%s\n", COLUMN, "  -h, --help", "this text");
    if (command->notes)
        fprintf(out, "\n%s", command->notes);
    fprintf(out, "\nExamples:\n%s", command->examples);
}

int options_begin(const struct option_command *command, int argc, char **argv, int *ret_first) {
    char text[256];

    switch (options_parse(command, argc, argv, ret_first, text, sizeof text)) {
    case OPTIONS_HELP: options_print_help(command, stdout); return 0;
    case OPTIONS_WRONG: return options_wrong(command, "%s", text);
    default: return -1;
    }
}

int options_wrong(const struct option_command *command, const char *format, ...) {
    va_list arguments;

    fprintf(stderr, "%s: ", command->name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see %s --help\n", command->name);
    return 2;
}
