/*
 * The table of configuration keys, from which everything else is made: libcyaml's schema
 * (config_cells.c), defaults, units and ranges (config_values.c), and the commented example
 * (config_example.c). Constant; any thread may read it.
 */
#ifndef ENGINE_CONFIG_TABLE_H
#define ENGINE_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_section {
    CONFIG_TOP,      /* struct config */
    CONFIG_BUS,      /* struct config_bus */
    CONFIG_STREAM,   /* struct config_class */
    CONFIG_MODEL,    /* struct config_model */
    CONFIG_LAYER,    /* struct layer_spec */
    CONFIG_TRAINING, /* struct config_training */
    CONFIG_ALERT,    /* struct config_alert */
    CONFIG_SECTIONS,
};

enum config_type {
    CONFIG_TEXT,     /* char *, allocated */
    CONFIG_TEXTS,    /* char **, allocated, and int at count_offset */
    CONFIG_INTEGER,  /* int, int64_t or uint64_t, by size */
    CONFIG_NUMBER,   /* double or float, by size */
    CONFIG_SHARE,    /* the same */
    CONFIG_DURATION, /* int64_t, ns */
    CONFIG_BYTES,    /* int64_t */
    CONFIG_BOOLEAN,  /* bool */
    CONFIG_CHOICE,   /* an enum: the index into choices */
    CONFIG_NUMBERS,  /* double [], in place, which bounds them, and int at count_offset */
    CONFIG_MAPPING,  /* the struct of the section `holds`, in place */
    CONFIG_LIST,     /* an allocated array of the structs of `holds`, and int at count_offset */
};

enum { CONFIG_MAX_NUMBERS = 32 }; /* of one key */

struct config_key {
    enum config_section section;
    const char *key;
    enum config_type type;
    const char *value;          /* the default, as a file would say it; NULL for none: the struct's field stays zero.
	                       * Of a LIST, "KEY: VALUE" of its one entry; of TEXTS, only [] */
    double min, max;            /* both allowed; of a text its bytes, of a list its entries, of numbers each one */
    size_t offset, size;        /* of the field in the section's struct; size 0: the key is not stored by itself */
    size_t count_offset;        /* of the int that counts a list's entries */
    const char *const *choices; /* ended by NULL */
    enum config_section holds;
    const char *unit;    /* what an integer or a number counts, for people; NULL for nothing */
    const char *example; /* what the example says, NULL for the default; with a '#' first it is commented out, with
	                       * "#-" as an entry of its own */
    const char *help;    /* for the example, without a full stop */
    int required;
    bool live; /* a process that runs takes it over (config_live.h) */
};

/* The keys of a section, in the order of the example. */
const struct config_key *config_table_keys(enum config_section section, int *ret_n);

/* Index of a key of the section. The key exists. */
int config_table_index(enum config_section section, const char *key);

/* Size of the section's struct. */
size_t config_table_size(enum config_section section);

/* A bound or another value of a key's type as a file would say it, for sentences. Of texts and lists: a count. */
enum { CONFIG_PRINTED = 32 };
const char *config_table_print(char out[CONFIG_PRINTED], const struct config_key *key, double value);

#endif
