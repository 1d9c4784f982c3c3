/* One section of a list of a configuration while it is checked. For config_check.c and config_file.c. */
#ifndef ENGINE_CONFIG_ENTRY_H
#define ENGINE_CONFIG_ENTRY_H

#include "engine/config_lines.h"
#include "engine/config_values.h"

#include <stdio.h>

struct entry {
    const struct config_lines *lines;
    const struct config_cell *cells;
    char path[64]; /* models[0] */
    struct error *err;
};

static inline const struct config_cell *cell(const struct config_cell *cells, enum config_section section,
                                             const char *key) {
    return &cells[config_table_index(section, key)];
}

static inline const char *path_of(char path[CONFIG_PATH], const struct entry *entry, const char *key) {
    snprintf(path, CONFIG_PATH, "%s.%s", entry->path, key);
    return path;
}

/* Whether the file says something of a key of the section. */
static inline bool says(const struct entry *entry, const char *key) {
    char path[CONFIG_PATH];
    return config_lines_has(entry->lines, path_of(path, entry, key));
}

#define fail(entry, key, ...) \
    config_lines_fail((entry)->lines, (entry)->err, path_of((char[CONFIG_PATH]){0}, (entry), (key)), __VA_ARGS__)

#endif
