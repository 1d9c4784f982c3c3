/*
 * A model that comes from a Keras file: what the file says stands in for what the configuration leaves open. One
 * owner at a time. Internal to the configuration.
 */
#ifndef ENGINE_CONFIG_FILE_H
#define ENGINE_CONFIG_FILE_H

#include "engine/config.h"
#include "engine/config_entry.h"
#include "engine/own.h"

/* Reads the model's file, where it has one, into model->keras, and takes over what the file's forecastd.json says and
 * the configuration does not, but for names: those are in ret_own, which is to be freed with own_fini in any case. */
int config_file_open(const struct entry *entry, struct config_model *model, struct own *ret_own);

/* Once inputs and targets are known: mode, window and horizon, and whether the network fits all of them. Also for a
 * model of layers. */
int config_file_apply(const struct entry *entry, struct config_model *model, const struct config_class *class,
                      const struct own *own);

#endif
