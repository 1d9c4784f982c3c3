/*
 * From the texts of a configuration file to typed structs, by the table: units, ranges, defaults. One
 * owner at a time; nothing blocks.
 */
#ifndef ENGINE_CONFIG_VALUES_H
#define ENGINE_CONFIG_VALUES_H

#include "engine/config_cells.h"
#include "engine/config_lines.h"
#include "engine/config_table.h"
#include "engine/error.h"

enum { CONFIG_PATH = 256 };

/* Fills a section's zeroed struct from its cells (NULL: all defaults), path being where it stands ("" at the top).
 * Adds to the cells what stands for a list that has a default. Returns 0, or -1 with a sentence in err; then, too,
 * what was allocated is config_values_free's. */
int config_values_read(const struct config_lines *lines, enum config_section section, const char *path,
                       struct config_cell *cells, void *ret_struct, struct error *err);

/* Frees what the fields of a section's struct own, not the struct itself. */
void config_values_free(enum config_section section, void *of);

#endif
