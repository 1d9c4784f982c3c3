#include "engine/config_values.h"

#include "engine/units.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One key of one section: what the steps below have in common. */
struct place {
    const struct config_lines *lines;
    const struct config_key *key;
    char path[CONFIG_PATH];
    struct error *err;
};

static int fail_value(const struct place *place, const char *text, const char *expected) {
    char quoted[CONFIG_QUOTED];
    return config_lines_fail(place->lines, place->err, place->path, "%s is not %s", config_quote(quoted, text),
                             expected);
}

static int fail_memory(const struct place *place) {
    return error_set(place->err, "out of memory");
}

static int check_range(const struct place *place, const char *text, double value) {
    if (value >= place->key->min && value <= place->key->max)
        return 0;
    char min[CONFIG_PRINTED], max[CONFIG_PRINTED], quoted[CONFIG_QUOTED];
    config_table_print(min, place->key, place->key->min);
    config_table_print(max, place->key, place->key->max);
    return config_lines_fail(place->lines, place->err, place->path, "%s is not within %s to %s",
                             config_quote(quoted, text), min, max);
}

static int read_integer(const struct place *place, const char *text, void *field) {
    int64_t value;
    int status;
    switch (place->key->type) {
    case CONFIG_DURATION:
        status = units_parse_duration(text, &value) ? fail_value(place, text, UNITS_DURATION) : 0;
        break;
    case CONFIG_BYTES: status = units_parse_bytes(text, &value) ? fail_value(place, text, UNITS_BYTES) : 0; break;
    default: status = units_parse_integer(text, &value) ? fail_value(place, text, UNITS_INTEGER) : 0;
    }
    if (status || check_range(place, text, (double)value))
        return -1;
    if (place->key->size == sizeof value) {
        memcpy(field, &value, sizeof value);
    } else {
        int narrow = (int)value; /* the table's range fits */
        assert(place->key->size == sizeof narrow && narrow == value);
        memcpy(field, &narrow, sizeof narrow);
    }
    return 0;
}

static int read_number(const struct place *place, const char *text, void *field) {
    double value;
    bool share = place->key->type == CONFIG_SHARE;
    if (share ? units_parse_share(text, &value) : units_parse_number(text, &value))
        return fail_value(place, text, share ? UNITS_SHARE : UNITS_NUMBER);
    if (check_range(place, text, value))
        return -1;
    float narrow = (float)value;
    if (place->key->size == sizeof narrow)
        memcpy(field, &narrow, sizeof narrow);
    else
        memcpy(field, &value, sizeof value);
    return 0;
}

static int read_boolean(const struct place *place, const char *text, void *field) {
    return units_parse_boolean(text, field) ? fail_value(place, text, UNITS_BOOLEAN) : 0;
}

static int read_choice(const struct place *place, const char *text, void *field) {
    char all[256] = "";
    const char *const *choices = place->key->choices;
    for (int i = 0; choices[i]; i++) {
        if (!strcmp(text, choices[i])) {
            memcpy(field, &i, place->key->size); /* of 0 where it is not stored */
            return 0;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
    }
    return fail_value(place, text, all);
}

static int check_length(const struct place *place, const char *text, double min, double max) {
    size_t length = strlen(text);
    if (length < (size_t)min)
        return config_lines_fail(place->lines, place->err, place->path, "must not be empty");
    if (length > (size_t)max)
        return config_lines_fail(place->lines, place->err, place->path, "longer than %.0f bytes", max);
    return 0;
}

static int read_text(const struct place *place, const char *text, char **field) {
    if (check_length(place, text, place->key->min, place->key->max))
        return -1;
    if (place->key->size == 0)
        return 0;
    *field = strdup(text);
    return *field ? 0 : fail_memory(place);
}

static int read_scalar(const struct place *place, const char *text, void *field) {
    switch (place->key->type) {
    case CONFIG_TEXT: return read_text(place, text, field);
    case CONFIG_INTEGER:
    case CONFIG_DURATION:
    case CONFIG_BYTES: return read_integer(place, text, field);
    case CONFIG_NUMBER:
    case CONFIG_SHARE: return read_number(place, text, field);
    case CONFIG_BOOLEAN: return read_boolean(place, text, field);
    default: assert(place->key->type == CONFIG_CHOICE); return read_choice(place, text, field);
    }
}

/* Copies a pointer or a count into a field of any pointer type, or of type int. */
static void store_list(const struct place *place, char *base, void *list, uint32_t n) {
    int count = (int)n;
    memcpy(base + place->key->offset, &list, sizeof list);
    memcpy(base + place->key->count_offset, &count, sizeof count);
}

static int read_texts(struct place *place, const struct config_cell *cell, char *base) {
    char *const *texts = cell->p;
    char **copies = NULL;
    if (place->key->size && cell->n) {
        copies = calloc(cell->n, sizeof *copies);
        if (!copies)
            return fail_memory(place);
        store_list(place, base, copies, cell->n);
    }
    size_t length = strlen(place->path);
    for (uint32_t i = 0; i < cell->n; i++) {
        snprintf(place->path + length, sizeof place->path - length, "[%" PRIu32 "]", i);
        if (check_length(place, texts[i], 1, 255))
            return -1;
        if (copies && !(copies[i] = strdup(texts[i])))
            return fail_memory(place);
    }
    return 0;
}

static int read_numbers(struct place *place, const struct config_cell *cell, char *base) {
    char *const *texts = cell->p;
    double numbers[CONFIG_MAX_NUMBERS];
    int n = 0;
    size_t length = strlen(place->path);
    assert(place->key->size <= sizeof numbers);
    if (!config_lines_has(place->lines, place->path)) { /* the default: "[80, 95]" */
        char *at;
        for (const char *from = place->key->value; *from != ']'; from = at)
            numbers[n++] = strtod(from + 1, &at);
    }
    for (uint32_t i = 0; i < cell->n; i++, n++) {
        snprintf(place->path + length, sizeof place->path - length, "[%" PRIu32 "]", i);
        if (read_number(place, texts[i], &numbers[n]))
            return -1;
    }
    memcpy(base + place->key->offset, numbers, (size_t)n * sizeof *numbers);
    memcpy(base + place->key->count_offset, &n, sizeof n);
    return 0;
}

/* Gives the cell one entry of one key, as a default "KEY: VALUE" says. */
static int add_default_entry(const struct place *place, struct config_cell *cell) {
    char name[32];
    int used = 0, n;
    sscanf(place->key->value, "%31[a-z_]: %n", name, &used);
    assert(used);
    const char *value = place->key->value + used;
    config_table_keys(place->key->holds, &n);
    struct config_cell *entry = config_cells_alloc((size_t)n * sizeof *entry);
    if (!entry)
        return fail_memory(place);
    cell->p = entry; /* from here on the cells own it */
    cell->n = 1;
    char **text = (char **)&entry[config_table_index(place->key->holds, name)].p;
    *text = config_cells_alloc(strlen(value) + 1);
    if (!*text)
        return fail_memory(place);
    memcpy(*text, value, strlen(value));
    return 0;
}

static int read_list(struct place *place, struct config_cell *cell, char *base) {
    if (place->key->value && !config_lines_has(place->lines, place->path) && add_default_entry(place, cell))
        return -1;
    if (cell->n == 0)
        return 0;
    size_t size = config_table_size(place->key->holds);
    char *list = calloc(cell->n, size);
    if (!list)
        return fail_memory(place);
    store_list(place, base, list, cell->n);
    int n_keys;
    config_table_keys(place->key->holds, &n_keys);
    size_t length = strlen(place->path);
    for (uint32_t i = 0; i < cell->n; i++) {
        struct config_cell *entry = (struct config_cell *)cell->p + (size_t)i * (size_t)n_keys;
        snprintf(place->path + length, sizeof place->path - length, "[%" PRIu32 "]", i);
        if (config_values_read(place->lines, place->key->holds, place->path, entry, list + i * size, place->err))
            return -1;
    }
    return 0;
}

static int read_key(struct place *place, struct config_cell *cell, char *base) {
    struct config_cell nothing = {0};
    if (!cell)
        cell = &nothing;
    switch (place->key->type) {
    case CONFIG_MAPPING:
        return config_values_read(place->lines, place->key->holds, place->path, cell->p, base + place->key->offset,
                                  place->err);
    case CONFIG_LIST: return read_list(place, cell, base);
    case CONFIG_TEXTS: return read_texts(place, cell, base);
    case CONFIG_NUMBERS: return read_numbers(place, cell, base);
    default: {
        const char *text = cell->p ? cell->p : place->key->value;
        return text ? read_scalar(place, text, base + place->key->offset) : 0;
    }
    }
}

int config_values_read(const struct config_lines *lines, enum config_section section, const char *path,
                       struct config_cell *cells, void *ret_struct, struct error *err) {
    int n;
    const struct config_key *keys = config_table_keys(section, &n);
    for (int i = 0; i < n; i++) {
        struct place place = {.lines = lines, .key = &keys[i], .err = err};
        snprintf(place.path, sizeof place.path, "%s%s%s", path, *path ? "." : "", keys[i].key);
        if (read_key(&place, cells ? &cells[i] : NULL, ret_struct))
            return -1;
    }
    return 0;
}

static void free_list(const struct config_key *key, char *base) {
    char *list;
    int n;
    memcpy(&list, base + key->offset, sizeof list);
    memcpy(&n, base + key->count_offset, sizeof n);
    for (int i = 0; i < n; i++) {
        if (key->type == CONFIG_TEXTS)
            free(((char **)list)[i]);
        else
            config_values_free(key->holds, list + (size_t)i * config_table_size(key->holds));
    }
    free(list);
}

void config_values_free(enum config_section section, void *of) {
    int n;
    const struct config_key *keys = config_table_keys(section, &n);
    for (int i = 0; i < n; i++) {
        char *field = (char *)of + keys[i].offset;
        if (keys[i].size == 0)
            continue;
        if (keys[i].type == CONFIG_TEXT)
            free(*(char **)field);
        else if (keys[i].type == CONFIG_MAPPING)
            config_values_free(keys[i].holds, field);
        else if (keys[i].type == CONFIG_TEXTS || keys[i].type == CONFIG_LIST)
            free_list(&keys[i], of);
    }
}
