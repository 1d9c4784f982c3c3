/* The commented example, made from the table. */
#include "engine/config.h"
#include "engine/config_table.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 110 };

/* What a comment tells beside the help: required or the default, choices, range and unit. */
static void print_facts(char *out, size_t size, const struct config_key *key) {
    char min[CONFIG_PRINTED], max[CONFIG_PRINTED];
    size_t used;
    if (key->value)
        used = (size_t)snprintf(out, size, "default %s", *key->value ? key->value : "\"\"");
    else
        used = (size_t)snprintf(out, size, key->required ? "required" : "optional");
    switch (key->type) {
    case CONFIG_BOOLEAN: snprintf(out + used, size - used, "; true or false"); break;
    case CONFIG_CHOICE:
        if (!key->choices[1]) {
            snprintf(out + used, size - used, "; so far the only choice");
            break;
        }
        for (int i = 0; key->choices[i]; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%s",
                                     i == 0                ? "; "
                                     : key->choices[i + 1] ? ", "
                                                           : " or ",
                                     key->choices[i]);
        break;
    case CONFIG_NUMBERS:
        used += (size_t)snprintf(out + used, size - used, "; at most %d, each", (int)(key->size / sizeof(double)));
        config_table_print(min, key, key->min);
        config_table_print(max, key, key->max);
        snprintf(out + used, size - used, " %s to %s%s%s", min, max, key->unit ? " " : "",
                 key->unit ? key->unit : "");
        break;
    case CONFIG_INTEGER:
    case CONFIG_NUMBER:
    case CONFIG_SHARE:
    case CONFIG_DURATION:
    case CONFIG_BYTES:
        config_table_print(min, key, key->min);
        config_table_print(max, key, key->max);
        snprintf(out + used, size - used, "; %s to %s%s%s", min, max, key->unit ? " " : "",
                 key->unit ? key->unit : "");
        break;
    default: break;
    }
}

/* Prints a text as comment lines of at most COLUMNS columns. */
static void print_comment(FILE *out, int indent, const char *text) {
    size_t room = (size_t)(COLUMNS - indent - 2);
    while (*text) {
        size_t n = strlen(text);
        if (n > room)
            for (n = room; n && text[n] != ' '; n--)
                ;
        fprintf(out, "%*s# %.*s\n", indent, "", (int)n, text);
        text += n + (text[n] == ' ');
    }
}

static void print_section(FILE *out, enum config_section section, int indent, int is_entry, int in_comment);

/* in_comment: of a section that is commented out as a whole. */
static void print_key(FILE *out, const struct config_key *key, int indent, int first_of_entry, int in_comment) {
    char facts[256], comment[512];
    int has_section = key->type == CONFIG_MAPPING || key->type == CONFIG_LIST;
    print_facts(facts, sizeof facts, key);
    if (key->live)
        snprintf(facts + strlen(facts), sizeof facts - strlen(facts), "; live");
    if (has_section && !key->value)
        snprintf(comment, sizeof comment, "%s.", key->help);
    else
        snprintf(comment, sizeof comment, "%s [%s].", key->help, facts);
    const char *value = key->example ? key->example : key->value;
    int dashed = value && !strncmp(value, "#-", 2), commented = value && *value == '#';
    int column = first_of_entry || dashed ? indent - 2 : indent;
    print_comment(out, column, comment);
    if (has_section) {
        fprintf(out, "%*s%s%s:\n", column, "", commented ? "# " : "", key->key);
        print_section(out, key->holds, indent + 2, key->type == CONFIG_LIST, commented);
        return;
    }
    value += commented + dashed;
    fprintf(out, "%*s%s%s%s: %s\n", column, "", commented || in_comment ? "# " : "",
            first_of_entry || dashed ? "- " : "", key->key, *value ? value : "\"\"");
}

/* The keys of a section; as the entry of a list, the first after a dash. */
static void print_section(FILE *out, enum config_section section, int indent, int is_entry, int in_comment) {
    int n;
    const struct config_key *keys = config_table_keys(section, &n);
    if (is_entry)
        indent += 2;
    for (int i = 0; i < n; i++) {
        if (section == CONFIG_TOP && i)
            fputc('\n', out);
        print_key(out, &keys[i], indent, is_entry && i == 0, in_comment);
    }
}

void config_print_example(FILE *out) {
    fputs("# The configuration of forecastd: every key, with its default. It is made from the table in\n"
          "# engine/config_table.c. What is left out has its default; an unknown key or a wrong unit is an\n"
          "# error. Units: ns, us, ms, s, m, h, d for durations; KiB, MiB, GiB, TiB for sizes. What\n"
          "# is live is taken over by a daemon that runs, on `forecast ctl reload` or SIGHUP.\n\n",
          out);
    print_section(out, CONFIG_TOP, 0, 0, 0);
}
