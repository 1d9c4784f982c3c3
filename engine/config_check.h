/*
 * What the keys of a configuration mean together: names that refer to others, bounds that depend on
 * others, endpoints. One owner at a time; nothing blocks.
 */
#ifndef ENGINE_CONFIG_CHECK_H
#define ENGINE_CONFIG_CHECK_H

#include "engine/config.h"
#include "engine/config_cells.h"
#include "engine/config_lines.h"

/* Checks a configuration whose single values are good, and resolves in it what is named: workers, the models' class,
 * inputs and targets, the kinds of layers. Cells: the top section's. Returns 0, or -1 with a sentence in err. */
int config_check(const struct config_lines *lines, const struct config_cell *cells, struct config *config,
                 struct error *err);

#endif
