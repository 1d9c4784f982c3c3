/*
 * A configuration file as texts: libcyaml reads it by a schema made from the table, so that what is
 * here has known keys only, each at most once, with lists and mappings where the table has them. One
 * owner at a time; nothing blocks.
 */
#ifndef ENGINE_CONFIG_CELLS_H
#define ENGINE_CONFIG_CELLS_H

#include "engine/config_lines.h"
#include "engine/config_table.h"
#include "engine/error.h"

/* What the file says of one key; p is NULL where it says nothing. A section is an array of cells, one for each of its
 * keys in the table's order. */
struct config_cell {
    void *p; /* scalars: char *; TEXTS: char *[n]; MAPPING: struct config_cell *; LIST: n sections in a row */
    uint32_t n;
};

/* The cells of the top section. On failure returns NULL, with a sentence in err. Free with config_cells_free. */
struct config_cell *config_cells_load(const struct config_lines *lines, const uint8_t *text, size_t size,
                                      struct error *err);
void config_cells_free(struct config_cell *cells);

/* Memory for cells, zero, that config_cells_free frees; NULL where there is none. */
void *config_cells_alloc(size_t size);

#endif
