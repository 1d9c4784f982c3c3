/*
 * Where things stand in a configuration file: the line of a key path such as models[0].training.window,
 * for sentences about values that libcyaml hands over without one. Also judges the file as YAML, before
 * libcyaml sees it. One owner at a time; nothing blocks.
 */
#ifndef ENGINE_CONFIG_LINES_H
#define ENGINE_CONFIG_LINES_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_lines;

/* Reads one document of text [size]. On failure (not YAML, no document or several, an alias, too deep, a NUL
 * in a value) returns NULL, with a sentence naming file and line. Free with config_lines_free. */
struct config_lines *config_lines_new(const char *file, const uint8_t *text, size_t size, struct error *err);
void config_lines_free(struct config_lines *lines);

/* The path of the file. */
const char *config_lines_file(const struct config_lines *lines);

/* Whether the file has something at the path, be it empty. */
bool config_lines_has(const struct config_lines *lines, const char *path);

/* Sets err to "FILE:LINE: PATH: " and the formatted sentence. The line is that of the deepest part of the path
 * that the file has; without one there is none. An empty path is left out. Returns -1. */
int config_lines_fail(const struct config_lines *lines, struct error *err, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A value as a sentence can hold it: in quotes, on one line, cut where it is long. */
enum { CONFIG_QUOTED = 72 };
const char *config_quote(char out[CONFIG_QUOTED], const char *value);

#endif
